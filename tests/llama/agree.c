/* Compares what the engine over libllama gives with what the native engine gives, for each model named:
 * every output of a tap, in one sequence, in batches of several, and after forks. Prints the greatest
 * difference of each output, relative to the greatest value of its row. Exits with 1 if one is above
 * LIMIT, or if a session does not behave as hbar.h says.
 * usage: agree LIMIT MODEL... */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hbar.h"

enum { CTX = 96, SEQUENCES = 3, ROWS = 8, LENS = 10 };

typedef enum output { LOGITS, STATES, LENSES, NORMED, HEAD, N_OUTPUTS } output;
static const char *const names[] = {"logits", "states", "lens", "normed", "head"};

static bool failed;

static void complain(const char *path, const char *what)
{
    fprintf(stderr, "%s: %s\n", path, what);
    failed = true;
}

static void require(hb_status status, const hb_error *err)
{
    if (!status) return;
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

typedef struct engine {
    hb_model *model;
    hb_session *session;
    hb_tap tap;
    size_t row[N_OUTPUTS]; /* floats of an output for a row; 0: the model lacks it */
    float *outputs[N_OUTPUTS];
} engine;

static void open_engine(engine *e, const char *path, hb_engine_choice choice)
{
    hb_error err;
    hb_model_options o = hb_model_defaults();
    const hb_session_options so = {.n_ctx = CTX,
                                   .n_threads = 2,
                                   .n_sequences = SEQUENCES,
                                   .n_positions = 2 * CTX,
                                   .kv_type = HB_KV_F32};
    o.engine = choice;
    require(hb_model_open_with(path, &o, &e->model, &err), &err);
    require(hb_session_open(e->model, &so, &e->session, &err), &err);
    const hb_model_info *m = hb_model_get_info(e->model);
    const size_t d = (size_t)m->n_embd, blocks = (size_t)m->n_layers;
    bool lens = hb_model_can_measure(e->model, hb_signal_find("lens_jsd"));
    const size_t rows[N_OUTPUTS] = {(size_t)m->n_vocab, blocks * d, lens ? blocks * LENS : 0, d,
                                    lens ? LENS * d : 0};
    for (int i = 0; i < N_OUTPUTS; i++) {
        e->row[i] = rows[i];
        e->outputs[i] = rows[i] ? calloc(ROWS * rows[i], sizeof(float)) : NULL;
    }
    e->tap = hb_tap_defaults();
    e->tap.logits = e->outputs[LOGITS];
    e->tap.states = e->outputs[STATES];
    e->tap.lens = e->outputs[LENSES];
    e->tap.normed = e->outputs[NORMED];
    e->tap.head = e->outputs[HEAD];
    e->tap.n_lens = LENS;
    e->tap.lens_tokens = calloc(ROWS * LENS, sizeof(int32_t));
}

static void close_engine(engine *e)
{
    for (int i = 0; i < N_OUTPUTS; i++) free(e->outputs[i]);
    free(e->tap.lens_tokens);
    hb_session_close(e->session);
    hb_model_close(e->model);
}

/* The greatest difference of two rows, relative to the greatest value. */
static double difference(const float *a, const float *b, size_t n)
{
    double worst = 0, most = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i]));
        worst = isnan(a[i]) || isnan(b[i]) ? INFINITY : fmax(worst, fabs((double)a[i] - b[i]));
    }
    return most > 0 ? worst / most : worst;
}

/* Evaluates the same tokens with both engines and compares all rows of all outputs. The lens and the
 * head are compared where both found the same tokens. */
static void compare(engine two[2], const int32_t *tokens, const int32_t *sequences, int32_t n,
                    const int32_t *rows, int32_t n_rows, double worst[N_OUTPUTS])
{
    hb_error err;
    for (int i = 0; i < 2; i++) {
        two[i].tap.rows = rows;
        two[i].tap.n_rows = n_rows;
        require(hb_eval_sequences(two[i].session, tokens, sequences, n, &two[i].tap, &err), &err);
    }
    for (int32_t r = 0; r < n_rows; r++)
        for (int o = 0; o < N_OUTPUTS; o++) {
            size_t length = two[1].row[o];
            bool of_tokens = o == LENSES || o == HEAD;
            if (of_tokens && memcmp(two[0].tap.lens_tokens + r * LENS,
                                    two[1].tap.lens_tokens + r * LENS, LENS * sizeof(int32_t)) != 0)
                continue;
            if (length)
                worst[o] = fmax(worst[o], difference(two[0].outputs[o] + (size_t)r * length,
                                                     two[1].outputs[o] + (size_t)r * length, length));
        }
}

/* A session that is full refuses tokens and stays as it is. */
static void check_full(engine *e, const char *path)
{
    hb_error err;
    int32_t tokens[CTX + 1] = {0};
    hb_session_reset(e->session);
    if (hb_eval(e->session, tokens, CTX + 1, NULL, &err) != HB_ERR_CONTEXT ||
        hb_session_n_past(e->session) != 0)
        complain(path, "more tokens than the context has were not refused");
    require(hb_eval(e->session, tokens, CTX, NULL, &err), &err);
    int64_t before = hb_session_n_free(e->session);
    require(hb_sequence_fork(e->session, 0, CTX / 2, 1, &err), &err);
    if (before - hb_session_n_free(e->session) > hb_session_page(e->session))
        complain(path, "a fork takes positions of its own");
    if (hb_eval(e->session, tokens, 1, NULL, &err) != HB_ERR_CONTEXT ||
        hb_session_n_past(e->session) != CTX)
        complain(path, "a full sequence did not refuse a token");
    hb_session_reset(e->session);
    if (hb_session_n_free(e->session) < 2 * CTX) complain(path, "dropped positions are not free");
}

/* What the engine cannot do is refused. */
static void check_refusals(const char *path)
{
    hb_error err;
    hb_model *model;
    hb_session *session;
    hb_model_options o = hb_model_defaults();
    const hb_session_options exact = {.exact = true}, bytes = {.kv_type = HB_KV_Q8_0};
    o.engine = HB_ENGINE_LLAMA;
    require(hb_model_open_with(path, &o, &model, &err), &err);
    if (hb_session_open(model, &exact, &session, &err) != HB_ERR_UNSUPPORTED)
        complain(path, "an exact session was opened");
    if (hb_session_open(model, &bytes, &session, &err) != HB_ERR_UNSUPPORTED)
        complain(path, "a cache of q8_0 was opened");
    require(hb_session_open(model, NULL, &session, &err), &err);
    const int32_t token = 0, prompt = 1;
    const hb_model_info *m = hb_model_get_info(model);
    float *attention = calloc((size_t)m->n_layers * (size_t)m->n_heads * HB_N_ATTENTION, sizeof(float));
    const hb_tap tap = {.rows = &token, .n_rows = 1, .attention = attention, .prompts = &prompt};
    if (hb_eval(session, &token, 1, &tap, &err) != HB_ERR_UNSUPPORTED ||
        hb_session_n_past(session) != 0)
        complain(path, "attention was not refused");
    free(attention);
    hb_session_close(session);
    hb_model_close(model);
}

static void compare_model(const char *path, double limit)
{
    engine two[2];
    hb_error err;
    double worst[N_OUTPUTS] = {0};
    int32_t tokens[CTX], sequences[CTX];
    open_engine(&two[0], path, HB_ENGINE_NATIVE);
    open_engine(&two[1], path, HB_ENGINE_LLAMA);
    int32_t vocab = hb_model_get_info(two[0].model)->n_vocab;
    for (int32_t i = 0; i < CTX; i++)
        tokens[i] = (int32_t)((uint32_t)(i + 1) * 2654435761U % (uint32_t)vocab);
    const int32_t of_prompt[] = {0, 17, 39}, all[] = {0, 1, 2, 3, 4, 5}, one = 0;
    compare(two, tokens, NULL, 40, of_prompt, 3, worst);
    compare(two, tokens + 40, NULL, 1, &one, 1, worst);
    for (int i = 0; i < 2; i++) {
        require(hb_sequence_fork(two[i].session, 0, 25, 1, &err), &err);
        require(hb_sequence_fork(two[i].session, 0, 41, 2, &err), &err);
    }
    for (int32_t i = 0; i < 6; i++) sequences[i] = i / 2;
    compare(two, tokens + 50, sequences, 6, all, 6, worst);
    for (int i = 0; i < 2; i++) hb_sequence_drop(two[i].session, 0);
    for (int32_t i = 0; i < 40; i++) sequences[i] = i % 4 == 3 ? 1 : i % 2 ? 2 : 0;
    compare(two, tokens + 30, sequences, 40, of_prompt, 3, worst);
    printf("%-24s", strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
    for (int o = 0; o < N_OUTPUTS; o++) {
        if (two[1].row[o]) printf(" %s %.1e", names[o], worst[o]);
        else printf(" %s -", names[o]);
        if (!(worst[o] <= limit)) complain(path, "the engines differ");
    }
    printf("\n");
    check_full(&two[1], path);
    close_engine(&two[0]);
    close_engine(&two[1]);
    check_refusals(path);
}

int main(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) compare_model(argv[i], atof(argv[1]));
    return argc < 3 || failed;
}
