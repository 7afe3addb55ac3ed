/* Which scores --score names: one, several, or all. */
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

static bool has(const cli_scores *scores, const char *name)
{
    for (size_t i = 0; i < scores->n; i++)
        if (strcmp(scores->names[i], name) == 0) return true;
    return false;
}

/* Adds a name once. */
static bool add(cli_scores *scores, const char *name)
{
    if (has(scores, name)) return true;
    char **names = realloc(scores->names, (scores->n + 1) * sizeof *names);
    if (!names) return false;
    scores->names = names;
    names[scores->n] = strdup(name);
    return names[scores->n++] != NULL;
}

/* Whether `part` [length] is `name`, or "all". */
static bool matches(const char *part, size_t length, const char *name)
{
    return (length == 3 && strncmp(part, "all", 3) == 0) ||
           (strlen(name) == length && strncmp(part, name, length) == 0);
}

/* Whether an item of the list, SIGNAL or SIGNAL:AGGREGATION, means a score; "all" may stand for either.
 */
static bool means(const char *item, size_t length, hb_score_id id)
{
    const hb_signal_info *signal = hb_signal_get_info(id.signal);
    const char *colon = memchr(item, ':', length);
    size_t first = colon ? (size_t)(colon - item) : length;
    if (!matches(item, first, signal->name)) return false;
    if (!colon) return id.aggregation == signal->usual;
    return matches(colon + 1, length - first - 1, hb_aggregation_name(id.aggregation));
}

static bool is_all(const char *item, size_t length)
{
    return matches(item, strcspn(item, ":,") < length ? strcspn(item, ":,") : length, "all");
}

int cli_scores_of_run(const cli_command *command, const char *list, hb_signal_set measured,
                      cli_scores *scores, hb_signal_set *named)
{
    *scores = (cli_scores){0};
    *named = 0;
    for (const char *item = list;;) {
        size_t length = strcspn(item, ","), found = 0;
        bool ok = true;
        for (size_t i = 0; i < HB_N_SCORES && ok; i++) {
            hb_score_id id = hb_score_at(i);
            char name[HB_SCORE_NAME_MAX];
            if (!means(item, length, id)) continue;
            found++;
            if (!is_all(item, length)) *named |= HB_SIGNAL_BIT(id.signal);
            else if (!(measured & HB_SIGNAL_BIT(id.signal))) continue;
            hb_score_name(id, name);
            ok = add(scores, name);
        }
        if (!ok) return cli_fail(&(hb_error){HB_ERR_MEMORY, "out of memory"});
        if (!found) return cli_usage(command, "--score: there is no score '%.*s'", (int)length, item);
        if (!item[length]) return CLI_DONE;
        item += length + 1;
    }
}

/* Adds the columns that an item means: one of that name, or those named as scores of hbar's are. */
static bool add_columns(const char *item, size_t length, const cli_scores *columns, cli_scores *scores)
{
    char *name = strndup(item, length);
    bool ok = name != NULL;
    if (ok && (has(columns, name) || !is_all(item, length))) ok = add(scores, name);
    else
        for (size_t i = 0; i < HB_N_SCORES && ok; i++) {
            char known[HB_SCORE_NAME_MAX];
            hb_score_name(hb_score_at(i), known);
            if (means(item, length, hb_score_at(i)) && has(columns, known)) ok = add(scores, known);
        }
    free(name);
    return ok;
}

int cli_scores_of_table(const char *list, const char *path, cli_scores *scores)
{
    hb_error err;
    cli_scores columns = {0};
    *scores = (cli_scores){0};
    if (hb_table_columns(path, &columns.names, &columns.n, &err)) return cli_fail(&err);
    bool ok = true;
    if (!list) {
        const char *usual = has(&columns, "score") ? "score" : "hbar_s";
        if (has(&columns, usual)) ok = add(scores, usual);
    } else if (has(&columns, list)) {
        ok = add(scores, list); /* which may have a comma in its name */
    } else {
        for (const char *item = list; ok; item += strcspn(item, ",") + 1) {
            ok = add_columns(item, strcspn(item, ","), &columns, scores);
            if (!item[strcspn(item, ",")]) break;
        }
        if (ok && !scores->n) cli_message("%s: no column is named as a score of hbar's", path);
    }
    cli_scores_free(&columns);
    if (!ok) return cli_fail(&(hb_error){HB_ERR_MEMORY, "out of memory"});
    return list && !scores->n ? CLI_FAILED : CLI_DONE;
}

void cli_scores_free(cli_scores *scores)
{
    hb_table_columns_free(scores->names, scores->n);
    *scores = (cli_scores){0};
}
