/* Draws several samples of one prompt. */
#include <stdlib.h>
#include "base/buffer.h"
#include "base/utf8.h"
#include "decode/decode.h"

hb_draw_options hb_draw_defaults(void)
{
    return (hb_draw_options){
        .n = 10, .sampling = {.temperature = 1, .top_p = 1, .seed = 42}, .max_tokens = 512};
}

/* Collects the samples of the request. */
typedef struct drawing {
    hb_buffer *raw; /* [n] */
    hb_drawn_sample *samples;
    hb_status failed;
    hb_error why; /* set if `failed` */
    bool cancelled;
} drawing;

static hb_status finish(drawing *d, int32_t k, const hb_outcome *o, hb_error *err)
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
    drawing *d = user;
    if (event->kind == HB_EVENT_STEP) return HB_OK;
    if (!hb_buffer_add(&d->raw[event->sample], event->length ? event->bytes : "", event->length))
        return hb_fail_memory(err);
    if (event->kind == HB_EVENT_TOKEN || d->failed) return HB_OK;
    d->failed = finish(d, event->sample, event->outcome, &d->why);
    return HB_OK;
}

static hb_status run(hb_scheduler *scheduler, const hb_draw_options *o, drawing *d, hb_error *err)
{
    hb_status status = HB_OK;
    while (!status && !d->failed && hb_scheduler_is_busy(scheduler)) {
        if (o->cancelled && o->cancelled(o->user)) return hb_fail(err, HB_ERR_CANCELLED, "interrupted");
        status = hb_scheduler_step(scheduler, err);
    }
    return !status && d->failed ? hb_fail(err, d->failed, "%s", d->why.message) : status;
}

static hb_status draw(hb_session *session, const int32_t *prompt, size_t n_prompt,
                      const hb_draw_options *o, const hb_signal_set *signals, drawing *d, hb_error *err)
{
    hb_scheduler *scheduler;
    uint64_t number;
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
    r.monitor.signals = signals;
    hb_status status = hb_scheduler_open(session, &scheduler, err);
    if (status) return status;
    status = hb_scheduler_add(scheduler, &r, &number, err);
    if (!status) status = run(scheduler, o, d, err);
    hb_scheduler_close(scheduler);
    return status;
}

hb_status hb_draw_samples(hb_session *session, const int32_t *prompt, size_t n_prompt,
                          const hb_draw_options *options, hb_drawn_sample **samples, hb_error *err)
{
    const hb_draw_options o = options ? *options : hb_draw_defaults();
    drawing d = {0};
    hb_signal_set *signals = NULL;
    if (o.n < 1 || o.n > HB_MAX_SAMPLES)
        return hb_fail(err, HB_ERR_ARGUMENT, "the number of samples is %d, not 1 to %d", o.n,
                       HB_MAX_SAMPLES);
    size_t n = (size_t)o.n;
    d.raw = calloc(n, sizeof *d.raw);
    d.samples = calloc(n, sizeof *d.samples);
    hb_status status = d.raw && d.samples ? HB_OK : hb_fail_memory(err);
    if (!status) status = hb_signal_set_new(&signals, err);
    if (!status) status = hb_signal_set_add(signals, hb_signal_find(HB_LOG_PROB), err);
    if (!status) status = draw(session, prompt, n_prompt, &o, signals, &d, err);
    for (size_t k = 0; d.raw && k < n; k++) hb_buffer_free(&d.raw[k]);
    free(d.raw);
    hb_signal_set_free(signals);
    if (status) hb_drawn_samples_free(d.samples, d.samples ? n : 0);
    else *samples = d.samples;
    return status;
}

void hb_drawn_samples_free(hb_drawn_sample *samples, size_t n)
{
    for (size_t k = 0; samples && k < n; k++) free(samples[k].text);
    free(samples);
}
