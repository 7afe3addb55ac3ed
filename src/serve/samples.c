#include "serve/samples.h"

#include <stdlib.h>
#include "base/utf8.h"

bool hb_samples_open(hb_samples *s, size_t n)
{
    s->list = calloc(1 + n, sizeof *s->list);
    s->cluster = calloc(1 + n, sizeof *s->cluster);
    s->n = n;
    return s->list && s->cluster;
}

void hb_samples_close(hb_samples *s)
{
    for (size_t i = 0; s->list && i <= s->n; i++) hb_buffer_free(&s->list[i].bytes);
    free(s->list);
    free(s->cluster);
    hb_scores_free(s->measures);
    *s = (hb_samples){0};
}

/* A step has the log-probability of every chosen token, also of the one that ends the text. */
bool hb_samples_add(hb_samples *s, size_t i, const hb_event *event)
{
    hb_drawn *d = &s->list[i];
    if (event->kind != HB_EVENT_STEP) return hb_buffer_add(&d->bytes, event->bytes, event->length);
    d->log_prob += event->logprob;
    d->n_tokens++;
    return true;
}

/* ---- Measuring ----------------------------------------------------------------------------------- */

/* Turns the bytes of an answer into the text that is measured: the answer without reasoning. */
static hb_status settle(hb_drawn *d, hb_sampled *out, hb_error *err)
{
    hb_buffer clean, text = {0};
    bool ok = hb_utf8_text(&clean, d->bytes.data, d->bytes.length) && hb_buffer_add_text(&text, "");
    if (ok) {
        const hb_answer a = hb_answer_find(clean.data, clean.length, HB_ALL_LINES);
        ok = hb_buffer_add(&text, clean.data + a.start, a.end - a.start);
    }
    hb_buffer_free(&clean);
    hb_buffer_free(&d->bytes);
    d->bytes = text;
    *out = (hb_sampled){text.data, d->log_prob, d->n_tokens > 0 ? d->n_tokens : 1};
    return ok ? HB_OK : hb_fail_memory(err);
}

hb_status hb_samples_measure(hb_samples *s, hb_error *err)
{
    hb_sampled *answers = calloc(1 + s->n, sizeof *answers);
    hb_status status = answers ? HB_OK : hb_fail_memory(err);
    for (size_t i = 0; i <= s->n && !status; i++) status = settle(&s->list[i], &answers[i], err);
    if (!status) status = hb_cluster_samples(answers, s->n, NULL, s->cluster, &s->n_clusters, err);
    if (!status) status = hb_measure_samples(answers, s->n, NULL, &s->measures, err);
    free(answers);
    return status;
}

/* ---- JSON ---------------------------------------------------------------------------------------- */

static size_t size_of(const hb_samples *s, size_t cluster)
{
    size_t n = 0;
    for (size_t i = 1; i <= s->n; i++) n += s->cluster[i] == cluster;
    return n;
}

static void write_cluster(hb_json *json, const hb_samples *s, size_t cluster)
{
    size_t first = 1;
    while (s->cluster[first] != cluster) first++;
    hb_json_row(json, NULL);
    hb_json_bytes(json, "text", s->list[first].bytes.data, s->list[first].bytes.length);
    hb_json_whole(json, "n", (int64_t)size_of(s, cluster));
    hb_json_number(json, "share", (double)size_of(s, cluster) / (double)s->n);
    hb_json_bool(json, "answer", s->cluster[0] == cluster);
    hb_json_end(json);
}

void hb_samples_write(hb_json *json, const hb_samples *s)
{
    const char *name;
    hb_json_row(json, "samples");
    hb_json_whole(json, "n", (int64_t)s->n);
    hb_json_list(json, "clusters");
    for (size_t size = s->n; size > 0; size--)
        for (size_t k = 0; k < s->n_clusters; k++)
            if (size_of(s, k) == size) write_cluster(json, s, k);
    hb_json_end(json);
    hb_json_row(json, "measures");
    for (size_t i = 0; (name = hb_scores_name(s->measures, i)); i++)
        hb_json_number(json, name, hb_scores_at(s->measures, i));
    hb_json_end(json);
    hb_json_end(json);
}
