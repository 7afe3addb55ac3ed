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
#include "signals/scores.h"

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
    float *states; /* [n_blocks][n_embd], of the blocks that the watch needs */
    float *lens;   /* [n_blocks][n_lens] */
    int32_t *lens_tokens;
    hb_tap tap; /* of a checked step */
    size_t n_signals;
    double *values; /* [n_steps][n_signals], of the trajectory */
    double *chosen_values;
    hb_buffer text;
    hb_buffer held; /* appended, and not yet in the text: it may begin a stop text */
    hb_step chosen; /* the step checked last before the last token was appended */
    bool stopped;   /* a stop text came */
    size_t token_room, step_room, value_room;
    bool line_begun; /* something that is no white space was appended */
} loop;

hb_generate_options hb_generate_defaults(void)
{
    return (hb_generate_options){
        .monitor = hb_monitor_defaults(),
        .sampling = hb_sampling_defaults(),
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
    return (size_t)finish < sizeof names / sizeof *names ? names[finish] : "unknown";
}

/* ---- Setting up --------------------------------------------------------------------------------- */

/* Room for what the watch needs of a checked step; false without memory. */
static bool open_tap(loop *l)
{
    l->tap = (hb_tap){.n_rows = 1, .logits = l->logits};
    hb_watch_request(l->watch, &l->tap);
    size_t blocks = (size_t)l->tap.n_blocks, k = (size_t)l->tap.n_lens;
    size_t d = (size_t)l->session->model->info.n_embd;
    if (blocks) l->tap.states = l->states = malloc(blocks * d * sizeof *l->states);
    if (k) l->tap.lens = l->lens = malloc(blocks * k * sizeof *l->lens);
    if (k) l->tap.lens_tokens = l->lens_tokens = malloc(k * sizeof *l->lens_tokens);
    return (!blocks || l->states) && (!k || (l->lens && l->lens_tokens));
}

static hb_status open_loop(loop *l)
{
    const hb_model *model = l->session->model;
    hb_status status = hb_watch_open(model, &l->options->monitor, &l->watch, l->err);
    if (!status)
        status = hb_sampler_open(&l->sampler, &l->options->sampling, model->info.n_vocab, l->err);
    if (status) return status;
    l->logits = malloc((size_t)model->info.n_vocab * sizeof *l->logits);
    l->n_signals = hb_signal_set_count(hb_watch_signals(l->watch));
    l->chosen_values = calloc(l->n_signals + 1, sizeof *l->chosen_values);
    if (!l->logits || !l->chosen_values || !open_tap(l)) return hb_fail_memory(l->err);
    return hb_signal_set_copy(hb_watch_signals(l->watch), &l->out->signals, l->err);
}

static void close_loop(loop *l)
{
    hb_watch_close(l->watch);
    hb_sampler_close(&l->sampler);
    free(l->logits);
    free(l->states);
    free(l->lens);
    free(l->lens_tokens);
    free(l->values);
    free(l->chosen_values);
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
    hb_tap tap = {.rows = &last, .n_rows = 1, .logits = l->logits};
    bool checked = is_checked(l, step);
    if (checked) {
        l->tap.rows = &last;
        tap = l->tap;
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

/* Adds the step measured last to the trajectory. Its values are found by its place until all have
 * come. */
static hb_status keep_step(loop *l)
{
    hb_generation *out = l->out;
    size_t row = (l->n_signals + 1) * sizeof *l->values;
    hb_step *steps = grow(out->trajectory, &l->step_room, out->n_steps, sizeof *steps);
    if (steps) out->trajectory = steps;
    double *values = grow(l->values, &l->value_room, out->n_steps, row);
    if (values) l->values = values;
    if (!steps || !values) return hb_fail_memory(l->err);
    steps[out->n_steps] = out->last;
    memcpy(values + out->n_steps * l->n_signals, out->last.values, l->n_signals * sizeof *values);
    return HB_OK;
}

/* Measures the step from l->logits and l->states, and keeps it where steps are kept. */
static hb_status measure(loop *l, int32_t step, int32_t token, bool *halt)
{
    const hb_reading reading = hb_watch_reading(l->watch, &l->tap, 0);
    hb_status status = hb_watch_step(l->watch, step, token, &reading, &l->out->last, halt, l->err);
    if (!status && l->options->mode == HB_MODE_FULL) status = keep_step(l);
    if (!status) l->out->n_steps++;
    return status;
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

/* Gives out what comes before the first stop text, or before what may begin one, and holds the rest. */
static hb_status hold(loop *l, const char *bytes, size_t length)
{
    if (!hb_buffer_add(&l->held, bytes, length)) return hb_fail_memory(l->err);
    size_t first = l->held.length, begun = 0;
    for (size_t k = 0; k < l->options->n_stops; k++) {
        const char *stop = l->options->stops[k];
        const char *found = memmem(l->held.data, first, stop, strlen(stop));
        size_t may = may_begin(&l->held, stop);
        if (found) l->stopped = true, first = (size_t)(found - l->held.data);
        if (may > begun) begun = may;
    }
    size_t n = l->stopped ? first : l->held.length - begun;
    hb_status status = give_out(l, l->held.data, n);
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
    memcpy(l->chosen_values, l->out->last.values, l->n_signals * sizeof *l->chosen_values);
    l->chosen.values = l->chosen_values;
    return l->options->n_stops ? hold(l, bytes, length) : give_out(l, bytes, length);
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
            bool halt;
            hb_status status = measure(l, step, token, &halt);
            if (status) return status;
            if (halt) return stop(l, HB_FINISH_HALTED);
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

/* Makes the kept steps point to their values, and to the signals that the generation owns. */
static hb_status settle_steps(loop *l)
{
    hb_generation *out = l->out;
    if (!out->n_steps) return HB_OK;
    if (!out->trajectory) { /* only the last step is kept */
        l->values = calloc(l->n_signals + 1, sizeof *l->values);
        if (!l->values) return hb_fail_memory(l->err);
        memcpy(l->values, out->last.values, l->n_signals * sizeof *l->values);
    }
    for (size_t i = 0; out->trajectory && i < out->n_steps; i++) {
        out->trajectory[i].signals = out->signals;
        out->trajectory[i].values = l->values + i * l->n_signals;
    }
    out->last.signals = out->signals;
    out->last.values = l->values + (out->trajectory ? out->n_steps - 1 : 0) * l->n_signals;
    out->values = l->values;
    l->values = NULL;
    return HB_OK;
}

/* Turns what was gathered into results. */
static hb_status finish(loop *l)
{
    hb_status status = hb_watch_get_scores(l->watch, &l->out->scores, l->err);
    if (!status && l->held.length && !l->stopped) status = give_out(l, l->held.data, l->held.length);
    if (!status) status = settle_steps(l);
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
    for (size_t k = 0; k < options->n_stops; k++)
        if (!options->stops[k] || !*options->stops[k])
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
    free(generation->values);
    hb_signal_set_free(generation->signals);
    hb_scores_free(generation->scores);
    *generation = (hb_generation){0};
}
