#include "monitor/monitor.h"

#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/utf8.h"
#include "decode/sampler.h"
#include "engine/engine.h"
#include "monitor/watch.h"

/* The state of one generation. Its arrays are sized by the model alone; only in full mode do text,
 * tokens and trajectory grow. */
typedef struct loop {
    hb_session *session;
    const hb_generate_options *options;
    hb_generation *out;
    hb_error *err;
    hb_sampler sampler;
    hb_watch *watch;
    float *logits; /* [n_vocab] */
    float *states; /* [n_layers][n_embd] */
    float *lens;   /* [n_layers][n_lens]; NULL where it is not wanted */
    int32_t *lens_tokens, n_lens;
    hb_buffer text;
    hb_buffer held; /* appended, and not yet in the text: it may begin the stop text */
    hb_step chosen; /* the step checked last before the last token was appended */
    bool stopped;   /* the stop text came */
    size_t token_room, step_room;
    bool line_begun; /* something that is no white space was appended */
} loop;

hb_generate_options hb_generate_defaults(void)
{
    return (hb_generate_options){
        .monitor = {.watched = HB_SIGNAL_HBAR_S,
                    .signals = HB_SIGNALS_ALL,
                    .tau = 2.0,
                    .lambda = HB_DEFAULT_LAMBDA,
                    .cutoff = 0.85,
                    .alpha = 0.1,
                    .direction = HB_DIRECTION_HIGH,
                    .check_every = 1},
        .sampling = {.temperature = 0, .top_k = 0, .top_p = 1, .seed = 42},
        .max_tokens = 512,
        .mode = HB_MODE_FULL,
    };
}

const char *hb_finish_name(hb_finish finish)
{
    static const char *const names[] = {
        [HB_FINISH_HALTED] = "halted",         [HB_FINISH_END] = "end of text",
        [HB_FINISH_LINE] = "end of line",      [HB_FINISH_STOP] = "stop text",
        [HB_FINISH_MAX_TOKENS] = "max tokens", [HB_FINISH_CONTEXT] = "context full",
        [HB_FINISH_CANCELLED] = "cancelled",
    };
    return names[finish];
}

/* ---- Setting up --------------------------------------------------------------------------------- */

static hb_status open_loop(loop *l)
{
    const hb_model *model = l->session->model;
    size_t d = (size_t)model->info.n_embd, layers = (size_t)model->info.n_layers;
    hb_status status = hb_watch_open(model, &l->options->monitor, &l->watch, l->err);
    if (!status)
        status = hb_sampler_open(&l->sampler, &l->options->sampling, model->info.n_vocab, l->err);
    if (status) return status;
    l->logits = malloc((size_t)model->info.n_vocab * sizeof *l->logits);
    l->states = malloc(layers * d * sizeof *l->states);
    if (!l->logits || !l->states) return hb_fail_memory(l->err);
    if (!hb_watch_wants_lens(l->watch)) return HB_OK;
    l->n_lens = hb_watch_n_lens(model);
    l->lens = malloc(layers * (size_t)l->n_lens * sizeof *l->lens);
    l->lens_tokens = malloc((size_t)l->n_lens * sizeof *l->lens_tokens);
    return l->lens && l->lens_tokens ? HB_OK : hb_fail_memory(l->err);
}

static void close_loop(loop *l)
{
    hb_watch_close(l->watch);
    hb_sampler_close(&l->sampler);
    free(l->logits);
    free(l->states);
    free(l->lens);
    free(l->lens_tokens);
    hb_buffer_free(&l->text);
    hb_buffer_free(&l->held);
}

/* ---- One step ----------------------------------------------------------------------------------- */

static bool is_checked(const loop *l, int32_t step)
{
    return l->options->mode == HB_MODE_SCORE_ONLY || step % l->options->monitor.check_every == 0;
}

static bool is_cancelled(const loop *l)
{
    return l->options->cancelled && l->options->cancelled(l->options->user);
}

/* Evaluates tokens, keeping the last one's logits and, for a step to be checked, its blocks' states and
 * their lens. */
static hb_status evaluate(loop *l, const int32_t *tokens, int32_t n, int32_t step)
{
    int32_t last = n - 1;
    bool checked = is_checked(l, step);
    hb_tap tap = {.rows = &last, .n_rows = 1, .logits = l->logits};
    if (checked) {
        tap.states = l->states;
        tap.lens = l->lens;
        tap.lens_tokens = l->lens_tokens;
        tap.n_lens = l->n_lens;
    }
    hb_status status = hb_eval(l->session, tokens, n, &tap, l->err);
    if (!status && !checked) status = hb_check_logits(l->session->model, step, l->logits, l->err);
    return status;
}

/* The array with room for one more element of `size` bytes after its n, possibly moved; NULL, and the
 * array as it was, when memory runs out. */
static void *grow(void *array, size_t *room, size_t n, size_t size)
{
    if (n < *room) return array;
    size_t wanted = *room ? 2 * *room : 32;
    void *bigger = realloc(array, wanted * size);
    if (bigger) *room = wanted;
    return bigger;
}

/* Measures the step from l->logits and l->states, and keeps it where steps are kept. */
static hb_status measure(loop *l, int32_t step, int32_t token)
{
    hb_generation *out = l->out;
    const hb_tapped_row row = {l->logits, l->states, l->lens};
    hb_status status = hb_watch_measure(l->watch, step, token, &row, &out->last, l->err);
    if (status) return status;
    if (l->options->mode == HB_MODE_FULL) {
        hb_step *steps = grow(out->trajectory, &l->step_room, out->n_steps, sizeof *steps);
        if (!steps) return hb_fail_memory(l->err);
        out->trajectory = steps;
        steps[out->n_steps] = out->last;
    }
    out->n_steps++;
    return HB_OK;
}

static hb_status give_out(loop *l, const char *bytes, size_t length)
{
    if (l->options->mode == HB_MODE_FULL && !hb_buffer_add(&l->text, bytes, length))
        return hb_fail_memory(l->err);
    if (l->options->on_token) l->options->on_token(l->options->user, &l->chosen, bytes, length);
    return HB_OK;
}

/* How many bytes at the end of `held` may begin the stop text. */
static size_t may_begin(const hb_buffer *held, const char *stop)
{
    size_t n = strlen(stop) - 1;
    if (n > held->length) n = held->length;
    while (n > 0 && memcmp(held->data + held->length - n, stop, n) != 0) n--;
    return n;
}

/* Gives out what comes before the stop text, or before what may begin it, and holds the rest. */
static hb_status hold(loop *l, const char *bytes, size_t length)
{
    const char *stop = l->options->stop;
    if (!hb_buffer_add(&l->held, bytes, length)) return hb_fail_memory(l->err);
    const char *found = memmem(l->held.data, l->held.length, stop, strlen(stop));
    size_t n = found ? (size_t)(found - l->held.data) : l->held.length - may_begin(&l->held, stop);
    hb_status status = give_out(l, l->held.data, n);
    l->stopped = found != NULL;
    l->held.length -= n;
    memmove(l->held.data, l->held.data + n, l->held.length);
    return status;
}

static hb_status append(loop *l, int32_t token)
{
    size_t length;
    const char *bytes = hb_token_bytes(l->session->model, token, &length);
    if (l->options->mode == HB_MODE_FULL) {
        size_t n = (size_t)l->out->n_tokens;
        int32_t *tokens = grow(l->out->tokens, &l->token_room, n, sizeof token);
        if (!tokens) return hb_fail_memory(l->err);
        l->out->tokens = tokens;
        tokens[n] = token;
    }
    l->out->n_tokens++;
    l->chosen = l->out->last;
    return l->options->stop ? hold(l, bytes, length) : give_out(l, bytes, length);
}

/* ---- The loop ----------------------------------------------------------------------------------- */

/* The prompt in parts, so that a long one can be cancelled. */
static hb_status evaluate_prompt(loop *l, const int32_t *prompt, int32_t n, bool *cancelled)
{
    hb_status status = HB_OK;
    int32_t part = l->session->n_batch;
    for (int32_t at = 0; at < n && !status; at += part) {
        *cancelled = is_cancelled(l);
        if (*cancelled) return HB_OK;
        if (n - at > part) status = hb_eval(l->session, prompt + at, part, NULL, l->err);
        else status = evaluate(l, prompt + at, n - at, 0);
    }
    return status;
}

bool hb_ends_line(const hb_model *model, int32_t token, bool *begun)
{
    size_t length;
    const char *bytes = hb_token_bytes(model, token, &length);
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == '\n' && *begun) return true;
        if (!hb_is_space(bytes[i])) *begun = true;
    }
    return false;
}

static hb_status stop(loop *l, hb_finish why)
{
    l->out->finish = why;
    return HB_OK;
}

/* From the prompt's evaluation on: choose, measure, decide, append, evaluate. Sets out->finish. */
static hb_status decode(loop *l)
{
    hb_generation *out = l->out;
    for (int32_t step = 0;; step++) {
        if (is_cancelled(l)) return stop(l, HB_FINISH_CANCELLED);
        int32_t token = hb_sampler_choose(&l->sampler, l->logits);
        if (is_checked(l, step)) {
            hb_status status = measure(l, step, token);
            if (status) return status;
            if (out->last.p_fail >= out->cutoff) return stop(l, HB_FINISH_HALTED);
        }
        if (hb_token_is_end(l->session->model, token)) return stop(l, HB_FINISH_END);
        hb_status status = append(l, token);
        if (status) return status;
        if (l->options->one_line && hb_ends_line(l->session->model, token, &l->line_begun))
            return stop(l, HB_FINISH_LINE);
        if (l->stopped) return stop(l, HB_FINISH_STOP);
        if (out->n_tokens == l->options->max_tokens) return stop(l, HB_FINISH_MAX_TOKENS);
        if (hb_session_n_past(l->session) == l->session->n_ctx) return stop(l, HB_FINISH_CONTEXT);
        status = evaluate(l, &token, 1, step + 1);
        if (status) return status;
    }
}

static hb_status run(loop *l, const int32_t *prompt, int32_t n_prompt)
{
    bool cancelled = false;
    double start = hb_seconds();
    hb_status status = evaluate_prompt(l, prompt, n_prompt, &cancelled);
    l->out->prompt_seconds = hb_seconds() - start;
    if (status) return status;
    l->out->finish = HB_FINISH_CANCELLED;
    if (!cancelled) status = decode(l);
    l->out->decode_seconds = hb_seconds() - start - l->out->prompt_seconds;
    return status;
}

/* Turns what was gathered into results. */
static hb_status finish(loop *l)
{
    hb_watch_get_scores(l->watch, &l->out->scores);
    hb_status status = HB_OK;
    if (l->held.length && !l->stopped) status = give_out(l, l->held.data, l->held.length);
    if (status) return status;
    if (l->options->mode == HB_MODE_SCORE_ONLY) return HB_OK;
    hb_buffer clean = {0};
    bool ok = hb_buffer_add(&clean, "", 0);
    hb_utf8_clean(&clean, l->text.data, l->text.length, true, &ok);
    if (!ok) {
        hb_buffer_free(&clean);
        return hb_fail_memory(l->err);
    }
    l->out->text = clean.data;
    return HB_OK;
}

hb_status hb_generate_tokens(hb_session *session, const int32_t *prompt, size_t n_prompt,
                             const hb_generate_options *options, hb_generation *generation,
                             hb_error *err)
{
    if (options->max_tokens < 1)
        return hb_fail(err, HB_ERR_ARGUMENT, "max-tokens %d is not at least 1", options->max_tokens);
    if (options->stop && !*options->stop)
        return hb_fail(err, HB_ERR_ARGUMENT, "the stop text is empty");
    if (n_prompt < 1) return hb_fail(err, HB_ERR_ARGUMENT, "the prompt is empty");
    if (n_prompt > (size_t)session->n_ctx)
        return hb_fail(err, HB_ERR_CONTEXT, "the prompt's %zu tokens do not fit the context of %d",
                       n_prompt, session->n_ctx);
    hb_generation out = {.n_prompt = (int32_t)n_prompt, .cutoff = options->monitor.cutoff};
    loop l = {.session = session, .options = options, .out = &out, .err = err};
    hb_session_reset(session);
    hb_status status = open_loop(&l);
    if (!status) status = run(&l, prompt, (int32_t)n_prompt);
    if (!status) status = finish(&l);
    close_loop(&l);
    if (status) hb_generation_free(&out);
    else *generation = out;
    return status;
}

hb_status hb_generate(hb_session *session, const char *prompt, size_t length,
                      const hb_generate_options *options, hb_generation *generation, hb_error *err)
{
    int32_t *tokens;
    size_t n_tokens;
    double start = hb_seconds();
    hb_status status =
        hb_tokenize(session->model, prompt, length, true, false, &tokens, &n_tokens, err);
    if (status) return status;
    double tokenizing = hb_seconds() - start;
    status = hb_generate_tokens(session, tokens, n_tokens, options, generation, err);
    if (!status) generation->prompt_seconds += tokenizing;
    free(tokens);
    return status;
}

void hb_generation_free(hb_generation *generation)
{
    if (!generation) return;
    free(generation->text);
    free(generation->tokens);
    free(generation->trajectory);
    *generation = (hb_generation){0};
}
