/* hb_generate and hb_judge: a scheduler with one request, and a sink that collects its events. */
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "decode/drawing.h"
#include "signals/scores.h"

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
        [HB_FINISH_CANCELLED] = "cancelled",   [HB_FINISH_GIVEN] = "end of given text",
    };
    return (size_t)finish < sizeof names / sizeof *names ? names[finish] : "unknown";
}

/* ---- The collecting sink ------------------------------------------------------------------------- */

/* In full mode, text, tokens, trajectory and values grow; in score-only mode, nothing grows. */
typedef struct collector {
    const hb_generate_options *options;
    hb_drawing *beside; /* samples that are drawn in the same batches; NULL: none */
    hb_generation out;
    size_t n_signals; /* number of values of each step */
    hb_buffer text;
    size_t token_room, step_room, value_room;
    hb_status status; /* result of the generation */
    hb_error error;   /* set if `status` is a failure */
} collector;

static double *values_of(const collector *c, size_t step)
{
    return c->out.values + step * c->n_signals;
}

/* Adds a step to the trajectory. Pointers to values are set at the end (settle_steps), because the
 * array of values moves while it grows. */
static hb_status keep_step(collector *c, const hb_step *step, hb_error *err)
{
    hb_generation *out = &c->out;
    size_t n = out->n_steps, bytes = c->n_signals * sizeof *out->values;
    hb_step *steps = hb_grown(out->trajectory, n, sizeof *steps, &c->step_room);
    if (steps) out->trajectory = steps;
    double *values = hb_grown(out->values, n, bytes, &c->value_room);
    if (values) out->values = values;
    if (!steps || !values) return hb_fail_memory(err);
    steps[n] = *step;
    memcpy(values_of(c, n), step->values, bytes);
    return HB_OK;
}

static hb_status take_step(collector *c, const hb_step *step, hb_error *err)
{
    c->n_signals = hb_signal_set_count(step->signals);
    hb_status status = c->options->mode == HB_MODE_FULL ? keep_step(c, step, err) : HB_OK;
    if (status) return status;
    c->out.n_steps++;
    if (c->out.alarm < 0 && step->halts) c->out.alarm = step->step;
    return HB_OK;
}

static hb_status take_bytes(collector *c, const hb_event *event, hb_error *err)
{
    const hb_generate_options *o = c->options;
    if (o->mode == HB_MODE_FULL && !hb_buffer_add(&c->text, event->bytes, event->length))
        return hb_fail_memory(err);
    if (o->on_token) o->on_token(o->user, event->step, event->bytes, event->length);
    return HB_OK;
}

static hb_status take_token(collector *c, const hb_event *event, hb_error *err)
{
    hb_generation *out = &c->out;
    if (c->options->mode == HB_MODE_FULL) {
        size_t n = (size_t)out->n_tokens;
        int32_t *tokens = hb_grown(out->tokens, n, sizeof *tokens, &c->token_room);
        if (!tokens) return hb_fail_memory(err);
        out->tokens = tokens;
        tokens[n] = event->token;
    }
    out->n_tokens++;
    return take_bytes(c, event, err);
}

/* Points the kept steps to their values and to the copy of the signals that the generation owns. */
static hb_status settle_steps(collector *c, const hb_event *event, hb_error *err)
{
    hb_generation *out = &c->out;
    hb_status status = hb_signal_set_copy(event->outcome->signals, &out->signals, err);
    if (status || !event->step) return status;
    if (!out->values) { /* score-only mode keeps only the last step */
        out->values = malloc((c->n_signals + 1) * sizeof *out->values);
        if (!out->values) return hb_fail_memory(err);
        memcpy(out->values, event->step->values, c->n_signals * sizeof *out->values);
    }
    for (size_t i = 0; out->trajectory && i < out->n_steps; i++) {
        out->trajectory[i].signals = out->signals;
        out->trajectory[i].values = values_of(c, i);
    }
    out->last = *event->step;
    out->last.signals = out->signals;
    out->last.values = values_of(c, out->trajectory ? out->n_steps - 1 : 0);
    return HB_OK;
}

/* The text as valid UTF-8. */
static hb_status clean_text(collector *c, hb_error *err)
{
    hb_buffer clean;
    bool ok = hb_utf8_text(&clean, c->text.data, c->text.length);
    c->out.text = clean.data;
    return ok ? HB_OK : hb_fail_memory(err);
}

/* Turns the collected data into the generation. */
static hb_status complete(collector *c, const hb_event *event, hb_error *err)
{
    hb_outcome *o = event->outcome;
    c->out.finish = o->finish;
    c->out.prompt_seconds = o->prompt_seconds;
    c->out.scores = o->scores;
    o->scores = NULL;
    hb_status status = event->length ? take_bytes(c, event, err) : HB_OK;
    if (!status) status = settle_steps(c, event, err);
    if (!status && c->options->mode == HB_MODE_FULL) status = clean_text(c, err);
    return status;
}

static hb_status collect(void *user, const hb_event *event, hb_error *err)
{
    collector *c = user;
    if (event->kind == HB_EVENT_STEP) return take_step(c, event->step, err);
    if (event->kind == HB_EVENT_TOKEN) return take_token(c, event, err);
    const hb_error *error = event->outcome->error;
    if (error) c->error = *error;
    c->status = error ? error->status : complete(c, event, &c->error);
    return HB_OK;
}

/* ---- Generating ---------------------------------------------------------------------------------- */

static hb_status run(hb_scheduler *scheduler, const hb_request *request, collector *c, hb_error *err)
{
    const hb_generate_options *o = c->options;
    hb_drawing *beside = c->beside;
    uint64_t number;
    hb_status status = hb_scheduler_add(scheduler, request, &number, err);
    if (!status && beside)
        status = hb_drawing_add(beside, scheduler, request->prompt, request->n_prompt, err);
    while (!status && hb_scheduler_is_busy(scheduler)) {
        if (o->cancelled && o->cancelled(o->user)) {
            hb_scheduler_cancel(scheduler, number);
            if (beside) hb_scheduler_cancel(scheduler, beside->request);
        }
        status = hb_scheduler_step(scheduler, err);
    }
    return status;
}

static hb_request request_of(collector *c, const int32_t *prompt, size_t n_prompt)
{
    const hb_generate_options *o = c->options;
    hb_request r = {.prompt = prompt,
                    .n_prompt = n_prompt,
                    .monitor = o->monitor,
                    .sampling = o->sampling,
                    .n_samples = 1,
                    .max_tokens = o->max_tokens,
                    .stops = o->stops,
                    .n_stops = o->n_stops,
                    .answer_lines = o->one_line,
                    .sink = collect,
                    .user = c};
    if (o->mode == HB_MODE_SCORE_ONLY && r.monitor.check_every > 1) r.monitor.check_every = 1;
    return r;
}

static collector collector_of(const hb_generate_options *options, size_t n_prompt)
{
    return (collector){.options = options, .out = {.n_prompt = (int32_t)n_prompt, .alarm = -1}};
}

static hb_status check_mode(hb_mode mode, hb_error *err)
{
    if (mode == HB_MODE_FULL || mode == HB_MODE_SCORE_ONLY) return HB_OK;
    return hb_fail(err, HB_ERR_ARGUMENT, "unknown mode %d", (int)mode);
}

static hb_status generate(hb_scheduler *scheduler, const hb_request *request, collector *c,
                          hb_generation *generation, hb_error *err)
{
    double start = hb_seconds();
    hb_status status = check_mode(c->options->mode, err);
    if (!status) status = run(scheduler, request, c, err);
    c->out.decode_seconds = hb_seconds() - start - c->out.prompt_seconds;
    hb_scheduler_close(scheduler);
    if (!status && c->status) status = hb_fail(err, c->status, "%s", c->error.message);
    c->out.cutoff = c->options->monitor.cutoff;
    hb_buffer_free(&c->text);
    if (status) hb_generation_free(&c->out);
    else *generation = c->out;
    return status;
}

static hb_status generate_beside(hb_session *session, const int32_t *prompt, size_t n_prompt,
                                 const hb_generate_options *options, hb_drawing *beside,
                                 hb_generation *generation, hb_error *err)
{
    const hb_generate_options defaults = hb_generate_defaults();
    collector c = collector_of(options ? options : &defaults, n_prompt);
    const hb_request request = request_of(&c, prompt, n_prompt);
    hb_scheduler *scheduler;
    c.beside = beside;
    hb_status status = hb_scheduler_open(session, &scheduler, err);
    return status ? status : generate(scheduler, &request, &c, generation, err);
}

hb_status hb_generate_tokens(hb_session *session, const int32_t *prompt, size_t n_prompt,
                             const hb_generate_options *options, hb_generation *generation,
                             hb_error *err)
{
    return generate_beside(session, prompt, n_prompt, options, NULL, generation, err);
}

hb_status hb_generate_samples(hb_session *session, const int32_t *prompt, size_t n_prompt,
                              const hb_generate_options *options, const hb_draw_options *draw,
                              hb_generation *generation, hb_drawn_sample **samples, hb_error *err)
{
    hb_drawing d;
    hb_generation g;
    hb_status status = hb_drawing_open(draw, &d, err);
    if (status) return status;
    status = generate_beside(session, prompt, n_prompt, options, &d, &g, err);
    if (!status) status = hb_drawing_take(&d, samples, err);
    else g = (hb_generation){0};
    if (status == HB_ERR_CANCELLED && g.finish == HB_FINISH_CANCELLED) {
        *samples = NULL;
        status = HB_OK;
    }
    if (status) hb_generation_free(&g);
    else *generation = g;
    hb_drawing_close(&d);
    return status;
}

hb_status hb_generate(hb_session *session, const char *prompt, size_t length,
                      const hb_generate_options *options, hb_generation *generation, hb_error *err)
{
    int32_t *tokens;
    size_t n_tokens;
    double start = hb_seconds();
    hb_status status =
        hb_tokenize(hb_session_model(session), prompt, length, true, false, &tokens, &n_tokens, err);
    if (status) return status;
    double tokenizing = hb_seconds() - start;
    status = hb_generate_tokens(session, tokens, n_tokens, options, generation, err);
    if (!status) generation->prompt_seconds += tokenizing;
    free(tokens);
    return status;
}

/* ---- Judging ------------------------------------------------------------------------------------- */

hb_status hb_judge(hb_session *session, const hb_given *given, const hb_generate_options *options,
                   hb_generation *generation, hb_error *err)
{
    const hb_generate_options defaults = hb_generate_defaults();
    collector c = collector_of(options ? options : &defaults, given->n_prompt);
    hb_request r = request_of(&c, given->tokens, given->n_prompt);
    hb_scheduler *scheduler;
    if (!given->n_answer) return hb_fail(err, HB_ERR_ARGUMENT, "the answer is empty");
    hb_status status = hb_scheduler_open(session, &scheduler, err);
    if (status) return status;
    size_t room = (size_t)hb_scheduler_positions(scheduler) + 1; /* the last token is not evaluated */
    if (given->n_prompt >= room || given->n_answer > room - given->n_prompt) {
        hb_scheduler_close(scheduler);
        return hb_fail(err, HB_ERR_CONTEXT,
                       "the prompt's %zu tokens and the answer's %zu do not fit the context of %zu",
                       given->n_prompt, given->n_answer, room - 1);
    }
    r.given = given->tokens + given->n_prompt;
    r.n_given = given->n_answer;
    r.max_tokens = (int32_t)given->n_answer;
    r.answer_lines = 0;
    r.n_stops = 0;
    r.sampling = hb_sampling_defaults();
    r.goes_on = true;
    return generate(scheduler, &r, &c, generation, err);
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
