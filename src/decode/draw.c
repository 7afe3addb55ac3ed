/* Draws several samples of one prompt. */
#include "decode/drawing.h"

#include <stdlib.h>
#include "base/utf8.h"

hb_draw_options hb_draw_defaults(void)
{
    return (hb_draw_options){
        .n = 10, .sampling = {.temperature = 1, .top_p = 1, .seed = 42}, .max_tokens = 512};
}

static hb_status finish(hb_drawing *d, int32_t k, const hb_outcome *o, hb_error *err)
{
    hb_drawn_sample *sample = &d->samples[k];
    hb_buffer clean;
    if (o->error) return hb_fail(err, o->error->status, "%s", o->error->message);
    bool ok = hb_utf8_text(&clean, d->raw[k].data, d->raw[k].length);
    *sample = (hb_drawn_sample){.text = clean.data,
                                .log_prob = hb_scores_value(o->scores, HB_LOG_PROB),
                                .n_tokens = o->n_tokens,
                                .n_measured = (int32_t)o->n_steps,
                                .finish = o->finish};
    d->cancelled = d->cancelled || o->finish == HB_FINISH_CANCELLED;
    return ok ? HB_OK : hb_fail_memory(err);
}

static hb_status collect(void *user, const hb_event *event, hb_error *err)
{
    hb_drawing *d = user;
    if (event->kind == HB_EVENT_STEP) return HB_OK;
    if (!hb_buffer_add(&d->raw[event->sample], event->length ? event->bytes : "", event->length))
        return hb_fail_memory(err);
    if (event->kind == HB_EVENT_TOKEN || d->failed) return HB_OK;
    d->failed = finish(d, event->sample, event->outcome, &d->why);
    return HB_OK;
}

static hb_status make_room(hb_drawing *d, hb_error *err)
{
    size_t n = (size_t)d->options.n;
    d->raw = calloc(n, sizeof *d->raw);
    d->samples = calloc(n, sizeof *d->samples);
    if (!d->raw || !d->samples) return hb_fail_memory(err);
    hb_status status = hb_signal_set_new(&d->signals, err);
    return status ? status : hb_signal_set_add(d->signals, hb_signal_find(HB_LOG_PROB), err);
}

hb_status hb_drawing_open(const hb_draw_options *options, hb_drawing *d, hb_error *err)
{
    *d = (hb_drawing){.options = options ? *options : hb_draw_defaults()};
    if (d->options.n < 1 || d->options.n > HB_MAX_SAMPLES)
        return hb_fail(err, HB_ERR_ARGUMENT, "the number of samples is %d, not 1 to %d", d->options.n,
                       HB_MAX_SAMPLES);
    hb_status status = make_room(d, err);
    if (status) hb_drawing_close(d);
    return status;
}

hb_status hb_drawing_add(hb_drawing *d, hb_scheduler *scheduler, const int32_t *prompt, size_t n_prompt,
                         hb_error *err)
{
    const hb_draw_options *o = &d->options;
    hb_request r = {.prompt = prompt,
                    .n_prompt = n_prompt,
                    .monitor = hb_monitor_defaults(),
                    .sampling = o->sampling,
                    .n_samples = o->n,
                    .max_tokens = o->max_tokens,
                    .stops = o->stops,
                    .n_stops = o->n_stops,
                    .answer_lines = o->one_line,
                    .sink = collect,
                    .user = d};
    r.monitor.watched = NULL; /* nothing halts */
    r.monitor.signals = d->signals;
    return hb_scheduler_add(scheduler, &r, &d->request, err);
}

hb_status hb_drawing_take(hb_drawing *d, hb_drawn_sample **samples, hb_error *err)
{
    if (d->failed) return hb_fail(err, d->failed, "%s", d->why.message);
    if (d->cancelled) return hb_fail(err, HB_ERR_CANCELLED, "interrupted");
    *samples = d->samples;
    d->samples = NULL;
    return HB_OK;
}

void hb_drawing_close(hb_drawing *d)
{
    size_t n = (size_t)d->options.n;
    for (size_t k = 0; d->raw && k < n; k++) hb_buffer_free(&d->raw[k]);
    free(d->raw);
    hb_drawn_samples_free(d->samples, n);
    hb_signal_set_free(d->signals);
    *d = (hb_drawing){0};
}

/* ---- Samples alone ------------------------------------------------------------------------------- */

static hb_status run(hb_scheduler *scheduler, hb_drawing *d, hb_error *err)
{
    const hb_draw_options *o = &d->options;
    hb_status status = HB_OK;
    while (!status && !d->failed && hb_scheduler_is_busy(scheduler)) {
        if (o->cancelled && o->cancelled(o->user)) return hb_fail(err, HB_ERR_CANCELLED, "interrupted");
        status = hb_scheduler_step(scheduler, err);
    }
    return status;
}

hb_status hb_draw_samples(hb_session *session, const int32_t *prompt, size_t n_prompt,
                          const hb_draw_options *options, hb_drawn_sample **samples, hb_error *err)
{
    hb_drawing d;
    hb_scheduler *scheduler = NULL;
    hb_status status = hb_drawing_open(options, &d, err);
    if (status) return status;
    status = hb_scheduler_open(session, &scheduler, err);
    if (!status) status = hb_drawing_add(&d, scheduler, prompt, n_prompt, err);
    if (!status) status = run(scheduler, &d, err);
    hb_scheduler_close(scheduler);
    if (!status) status = hb_drawing_take(&d, samples, err);
    hb_drawing_close(&d);
    return status;
}

void hb_drawn_samples_free(hb_drawn_sample *samples, size_t n)
{
    for (size_t k = 0; samples && k < n; k++) free(samples[k].text);
    free(samples);
}
