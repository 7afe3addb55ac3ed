/* Resolves the scores of --score: one, several or all. */
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

/* Whether `part` [length] is `name`, or "all". */
static bool matches(const char *part, size_t length, const char *name)
{
    return (length == 3 && strncmp(part, "all", 3) == 0) ||
           (strlen(name) == length && strncmp(part, name, length) == 0);
}

/* Whether an item of the list, SIGNAL or SIGNAL:AGGREGATION, means a score. Either part may be "all".
 */
static bool means(const char *item, size_t length, hb_score_id id)
{
    const char *colon = memchr(item, ':', length);
    size_t first = colon ? (size_t)(colon - item) : length;
    if (!matches(item, first, hb_signal_name(id.signal))) return false;
    if (!colon) return id.aggregation == hb_signal_usual(id.signal);
    return matches(colon + 1, length - first - 1, hb_aggregation_name(id.aggregation));
}

static bool is_all(const char *item, size_t length)
{
    return matches(item, strcspn(item, ":,") < length ? strcspn(item, ":,") : length, "all");
}

/* Adds the scores of signals that an item means, and to `named` the signals that it names. False when
 * memory runs out. */
static bool add_scores(const char *item, size_t length, const hb_run *run, hb_texts *scores,
                       hb_signal_set *named, size_t *found)
{
    const hb_signal_set *measured = run ? hb_run_get_settings(run)->signals : NULL;
    hb_score_id id;
    bool ok = true, all = is_all(item, length);
    for (size_t i = 0; ok && hb_score_at(NULL, i, &id); i++) {
        if (!means(item, length, id)) continue;
        ++*found;
        if (all && !hb_signal_set_has(measured, id.signal)) continue;
        char *name = hb_score_name(id);
        ok = name && hb_texts_add_once(scores, name) &&
             (all || !named || hb_signal_set_add(named, id.signal, NULL) == HB_OK);
        free(name);
    }
    return ok;
}

static bool is_measure(const char *name)
{
    size_t place;
    return hb_measure_find(name, &place);
}

/* Whether runs may have a score of that name beside those of signals. */
static bool is_other(const char *name)
{
    return strcmp(name, HB_SCORE_P_YES) == 0 || is_measure(name);
}

/* Whether a name is that of a probe that the run's features allow; before there is a run, of any probe.
 */
static bool is_probe(const hb_run *run, const char *name)
{
    const char *kind;
    for (size_t i = 0; (kind = hb_probe_kind_name(i)) != NULL; i++)
        if (strcmp(kind, name) == 0) return !run || hb_run_has_probe(run, name);
    return false;
}

/* Adds the run's score of that name if it is not the score of a signal, or the probe of that name;
 * before there is a run, any score that a run may have. */
static bool add_other(const char *item, size_t length, const hb_run *run, hb_texts *scores,
                      size_t *found)
{
    char *name = strndup(item, length);
    bool ok = name != NULL;
    bool known = ok && (is_probe(run, name) || (run ? hb_run_has_score(run, name) : is_other(name)));
    if (known && !*found) ++*found, ok = hb_texts_add_once(scores, name);
    free(name);
    return ok;
}

/* For "all", adds the run's scores that are not the scores of signals, and the probes that its features
 * allow. */
static bool add_others(const char *item, size_t length, const hb_run *run, hb_texts *scores)
{
    hb_score_id id;
    const char *name;
    bool ok = true;
    if (!run || length != 3 || !is_all(item, length)) return true;
    for (size_t i = 0; ok && (name = hb_run_score_name(run, i)) != NULL; i++)
        if (!hb_score_find(name, &id)) ok = hb_texts_add_once(scores, name);
    for (size_t i = 0; ok && (name = hb_probe_kind_name(i)) != NULL; i++)
        if (is_probe(run, name)) ok = hb_texts_add_once(scores, name);
    return ok;
}

/* Fails on a name that is no score: no run has it, or this run lacks it. */
static int no_score(const cli_command *command, const hb_run *run, const char *item, size_t length)
{
    char *name = strndup(item, length);
    if (!name) return cli_fail_memory();
    size_t place;
    bool states = hb_measure_find(name, &place) && hb_measure_needs_states(place);
    const char *from = is_probe(NULL, name) ? "--features"
                       : states             ? "--samples and --features hidden"
                       : is_measure(name)   ? "--samples, --ask or --entailment"
                                            : NULL;
    int code = run && from ? cli_usage(command, "--score: this run has no score '%s'; score it with %s",
                                       name, from)
                           : cli_usage(command, "--score: there is no score '%s'", name);
    free(name);
    return code;
}

int cli_scores_of_run(const cli_command *command, const char *list, const hb_run *run, hb_texts *scores,
                      hb_signal_set **named)
{
    hb_error err;
    *scores = (hb_texts){0};
    if (named && hb_signal_set_new(named, &err)) return cli_fail(&err);
    for (const char *item = list;;) {
        size_t length = strcspn(item, ","), found = 0;
        bool ok = add_scores(item, length, run, scores, named ? *named : NULL, &found) &&
                  add_other(item, length, run, scores, &found) && add_others(item, length, run, scores);
        if (!ok) return cli_fail_memory();
        if (!found) return no_score(command, run, item, length);
        if (!item[length]) return CLI_DONE;
        item += length + 1;
    }
}

/* Whether the columns hold a score: the column of its name or, for a score with tail5, those of both
 * tails. */
static bool holds(const hb_texts *columns, hb_score_id id, const char *name)
{
    bool both = id.aggregation == HB_AGGREGATION_TAIL5;
    for (int d = HB_DIRECTION_HIGH; both && d <= HB_DIRECTION_LOW; d++) {
        char *tail = hb_score_name(hb_score_tail(id, (hb_direction)d));
        both = tail && hb_texts_has(columns, tail);
        free(tail);
    }
    return both || hb_texts_has(columns, name);
}

/* Adds the columns that an item means: the column of that name or, for "all", all scores of hbar that
 * the columns hold. */
static bool add_columns(const char *item, size_t length, const hb_texts *columns, hb_texts *scores)
{
    char *name = strndup(item, length);
    bool ok = name != NULL;
    if (ok && (hb_texts_has(columns, name) || !is_all(item, length)))
        ok = hb_texts_add_once(scores, name);
    else {
        hb_score_id id;
        for (size_t i = 0; ok && hb_score_at(NULL, i, &id); i++) {
            if (!means(item, length, id)) continue;
            char *known = hb_score_name(id);
            ok = known && (!holds(columns, id, known) || hb_texts_add_once(scores, known));
            free(known);
        }
        for (size_t i = 0; ok && length == strlen("all") && i < columns->n; i++)
            if (is_other(columns->list[i])) ok = hb_texts_add_once(scores, columns->list[i]);
    }
    free(name);
    return ok;
}

int cli_scores_of_table(const char *list, const char *path, const hb_table *table, hb_texts *scores)
{
    hb_texts columns = {0};
    size_t n;
    *scores = (hb_texts){0};
    bool ok = true;
    const char *const *names = hb_table_columns(table, &n);
    for (size_t i = 0; i < n && ok; i++) ok = hb_texts_add(&columns, names[i], strlen(names[i]));
    if (!ok) {
        hb_texts_free(&columns);
        return cli_fail_memory();
    }
    if (!list) {
        const char *usual = hb_texts_has(&columns, "score") ? "score" : "hbar_s";
        hb_score_id id = {NULL, HB_AGGREGATION_MEAN};
        hb_score_find(usual, &id);
        if (holds(&columns, id, usual)) ok = hb_texts_add_once(scores, usual);
    } else if (hb_texts_has(&columns, list)) {
        ok = hb_texts_add_once(scores, list); /* the name may contain a comma */
    } else {
        for (const char *item = list; ok; item += strcspn(item, ",") + 1) {
            ok = add_columns(item, strcspn(item, ","), &columns, scores);
            if (!item[strcspn(item, ",")]) break;
        }
        if (ok && !scores->n) cli_message("%s: no column is named like a score of hbar", path);
    }
    hb_texts_free(&columns);
    if (!ok) return cli_fail_memory();
    return list && !scores->n ? CLI_FAILED : CLI_DONE;
}
