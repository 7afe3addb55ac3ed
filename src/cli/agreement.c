/* Several samples beside a generated answer: clusters with their shares, and measures. */
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

/* The part of a text that is compared: the answer. With --one-line, of one line. */
static char *answer_of(const char *text, bool one_line)
{
    const hb_answer a = hb_answer_find(text, strlen(text), one_line ? 1 : HB_ALL_LINES);
    return strndup(text + a.start, a.end - a.start);
}

static hb_status gather(const hb_generation *g, const hb_drawn_sample *drawn, bool one_line,
                        cli_agreement *a, hb_error *err)
{
    size_t n = (size_t)a->n;
    a->answers = calloc(n + 1, sizeof *a->answers);
    a->cluster = calloc(n + 1, sizeof *a->cluster);
    if (!a->answers || !a->cluster) return hb_fail_memory(err);
    a->answers[0] = (hb_sampled){answer_of(g->text, one_line),
                                 hb_scores_value(g->scores, "sequence_logprob"), (int32_t)g->n_steps};
    bool ok = a->answers[0].text;
    for (size_t k = 0; k < n && ok; k++) {
        a->answers[1 + k] =
            (hb_sampled){answer_of(drawn[k].text, one_line), drawn[k].log_prob, drawn[k].n_measured};
        ok = a->answers[1 + k].text;
    }
    return ok ? HB_OK : hb_fail_memory(err);
}

static hb_draw_options options_of(const hb_generate_options *engine, const cli_samples *samples)
{
    hb_draw_options o = hb_draw_defaults();
    o.n = samples->n;
    o.sampling.temperature = samples->temperature;
    o.sampling.top_p = samples->top_p;
    o.sampling.seed = engine->sampling.seed;
    o.max_tokens = samples->max_tokens ? samples->max_tokens : engine->max_tokens;
    o.one_line = engine->one_line;
    o.stops = engine->stops;
    o.n_stops = engine->n_stops;
    return o;
}

static hb_status measure(const hb_generation *g, const hb_drawn_sample *drawn, bool one_line,
                         cli_agreement *a, hb_error *err)
{
    size_t n = (size_t)a->n;
    hb_status status = gather(g, drawn, one_line, a, err);
    if (!status) status = hb_measure_samples(a->answers, n, NULL, &a->scores, err);
    if (!status) status = hb_cluster_samples(a->answers, n, NULL, a->cluster, &a->n_clusters, err);
    return status;
}

hb_status cli_agreement_generate(hb_session *session, const int32_t *prompt, size_t n_prompt,
                                 const hb_generate_options *engine, const cli_samples *samples,
                                 hb_generation *g, cli_agreement *a, hb_error *err)
{
    const hb_draw_options o = options_of(engine, samples);
    hb_drawn_sample *drawn;
    hb_status status = hb_generate_samples(session, prompt, n_prompt, engine, &o, g, &drawn, err);
    if (status) return status;
    if (drawn && g->n_steps) {
        *a = (cli_agreement){.n = samples->n};
        status = measure(g, drawn, engine->one_line, a, err);
    }
    hb_drawn_samples_free(drawn, (size_t)samples->n);
    if (!status) return HB_OK;
    cli_agreement_free(a);
    hb_generation_free(g);
    return status;
}

void cli_agreement_free(cli_agreement *a)
{
    for (int32_t k = 0; a->answers && k <= a->n; k++) free((char *)(uintptr_t)a->answers[k].text);
    free(a->answers);
    free(a->cluster);
    hb_scores_free(a->scores);
    *a = (cli_agreement){0};
}

/* ---- Clusters ------------------------------------------------------------------------------------ */

/* The number of samples in a cluster, and its first sample. */
static int32_t size_of(const cli_agreement *a, size_t number, int32_t *first)
{
    int32_t size = 0;
    for (int32_t k = a->n; k >= 1; k--)
        if (a->cluster[k] == number) size++, *first = k;
    return size;
}

/* Visits the clusters, the largest first. */
static void each_cluster(const cli_agreement *a, void *user,
                         void (*visit)(const cli_agreement *a, size_t number, void *user))
{
    int32_t first;
    for (int32_t size = a->n; size >= 1; size--)
        for (size_t number = 0; number < a->n_clusters; number++)
            if (size_of(a, number, &first) == size) visit(a, number, user);
}

static void print_cluster(const cli_agreement *a, size_t number, void *user)
{
    int32_t first = 0, size = size_of(a, number, &first);
    (void)user;
    cli_message("%3.0f %%  %s%s", 100.0 * size / a->n, a->answers[first].text,
                a->cluster[0] == number ? "  (as the answer)" : "");
}

void cli_agreement_print(const cli_agreement *a)
{
    cli_message("%d samples, %zu different, %.0f %% agree with the answer", a->n, a->n_clusters,
                100 * hb_scores_value(a->scores, "consistency"));
    each_cluster(a, NULL, print_cluster);
}

static void write_cluster(const cli_agreement *a, size_t number, void *user)
{
    hb_json *json = user;
    int32_t first = 0, size = size_of(a, number, &first);
    hb_json_row(json, NULL);
    hb_json_text(json, "text", a->answers[first].text);
    hb_json_whole(json, "samples", size);
    hb_json_number(json, "share", (double)size / a->n);
    hb_json_bool(json, "is_answer", a->cluster[0] == number);
    hb_json_end(json);
}

void cli_agreement_write(hb_json *json, const cli_agreement *a)
{
    hb_json_object(json, "samples");
    hb_json_array(json, "texts");
    for (int32_t k = 1; k <= a->n; k++) hb_json_text(json, NULL, a->answers[k].text);
    hb_json_end(json);
    hb_json_array(json, "clusters");
    each_cluster(a, json, write_cluster);
    hb_json_end(json);
    hb_json_object(json, "scores");
    for (size_t i = 0; i < hb_scores_count(a->scores); i++)
        hb_json_number(json, hb_scores_name(a->scores, i), hb_scores_at(a->scores, i));
    hb_json_end(json);
    hb_json_end(json);
}
