#include <csv.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

static const char *const formats[] = {"csv", "jsonl", NULL};

typedef struct exporting {
    const char *run_path;
    int format;
    cli_grading grading;
} exporting;

/* The label given, or else the grade's; null for a sample that has no answer to be graded. */
static json_t *label_json(const hb_run_sample *s, const hb_grading *grading)
{
    return s->answers && s->status != HB_SAMPLE_SCORED ? json_null()
                                                       : json_integer(hb_run_label(s, grading));
}

/* A grade, taken over, or null for a sample that has none. */
static json_t *grade_json(const hb_run_sample *s, json_t *value)
{
    if (s->answers && s->status == HB_SAMPLE_SCORED) return value;
    json_decref(value);
    return json_null();
}

/* Adds the scores: those of all signals, so that runs have the same columns whatever they measured,
 * then the run's others. */
static bool add_scores(json_t *row, const hb_run *run, const hb_scores *scores)
{
    hb_score_id id, other;
    const char *own;
    bool ok = true;
    for (size_t i = 0; ok && hb_score_at(NULL, i, &id); i++) {
        char *name = hb_score_name(id);
        ok = name && json_object_set_new(row, name, cli_number(hb_scores_get(scores, id))) == 0;
        free(name);
    }
    for (size_t i = 0; ok && (own = hb_run_score_name(run, i)) != NULL; i++)
        if (!hb_score_find(own, &other))
            ok = json_object_set_new(row, own, cli_number(hb_scores_at(scores, i))) == 0;
    return ok;
}

/* A sample as a JSON object, its keys in the order of the columns: the scores stand in the middle. */
static json_t *row_json(const hb_run *run, const hb_run_sample *s, const hb_grading *grading)
{
    bool scored = s->status == HB_SAMPLE_SCORED;
    json_t *row = json_pack("{s:I, s:s, s:o, s:s, s:s?}", "index", (json_int_t)s->index, "id", s->id,
                            "label", label_json(s, grading), "status", hb_sample_status_name(s->status),
                            "reason", s->reason);
    json_t *rest =
        json_pack("{s:s?, s:s?, s:i, s:i, s:o, s:o, s:s?, s:o, s:o, s:o}", "text", s->text, "finish",
                  scored ? hb_finish_name(s->finish) : NULL, "n_prompt", s->n_prompt, "n_tokens",
                  s->n_tokens, "prompt_seconds", cli_number(s->prompt_seconds), "decode_seconds",
                  cli_number(s->decode_seconds), "answers", s->answers, "grade_exact",
                  grade_json(s, json_integer(s->grade.exact)), "grade_contains",
                  grade_json(s, json_integer(s->grade.contains)), "grade_f1",
                  grade_json(s, cli_number(s->grade.f1)));
    bool ok = row && rest && add_scores(row, run, s->scores) && json_object_update(row, rest) == 0;
    json_decref(rest);
    if (ok) return row;
    json_decref(row);
    return NULL;
}

/* One field of a CSV row: null is empty, anything but numbers is quoted. */
static bool write_field(const json_t *value)
{
    if (json_is_string(value) &&
        csv_fwrite(stdout, json_string_value(value), json_string_length(value)) != 0)
        return false;
    if (json_is_integer(value)) printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    if (json_is_real(value)) printf("%.17g", json_real_value(value));
    return true;
}

/* A row's keys or its values, separated by commas. */
static bool write_row(json_t *row, bool keys)
{
    const char *key;
    json_t *value;
    size_t n = 0;
    json_object_foreach(row, key, value)
    {
        if (n++ > 0) putchar(',');
        if (keys && strpbrk(key, ",\"\r\n")) csv_fwrite(stdout, key, strlen(key));
        else if (keys) fputs(key, stdout);
        else if (!write_field(value)) return false;
    }
    return putchar('\n') != EOF;
}

/* A run on its way to standard output. */
typedef struct writing {
    const hb_run *run;
    const hb_grading *grading;
    hb_status why; /* a row could not be written */
} writing;

static bool write_header(const hb_run *run)
{
    json_t *row = row_json(run, &(hb_run_sample){.id = "", .reason = ""}, NULL);
    bool ok = row && write_row(row, true);
    json_decref(row);
    return ok;
}

static hb_status write_csv(void *user, const hb_run_sample *sample)
{
    writing *w = user;
    json_t *row = row_json(w->run, sample, w->grading);
    bool ok = row && write_row(row, false);
    w->why = ok ? HB_OK : row ? HB_ERR_IO : HB_ERR_MEMORY;
    json_decref(row);
    return w->why;
}

static hb_status write_jsonl(void *user, const hb_run_sample *sample)
{
    writing *w = user;
    w->why = cli_print_json(row_json(w->run, sample, w->grading), JSON_COMPACT) ? HB_ERR_IO : HB_OK;
    return w->why;
}

static int write_run(const exporting *e, hb_run *run)
{
    hb_error err;
    hb_run_counts counts;
    writing w = {.run = run};
    if (hb_run_count(run, &counts, &err)) return cli_fail(&err);
    int code = cli_grading_use(&e->grading, e->run_path, &counts, &w.grading);
    if (code) return code;
    bool csv = e->format == 0;
    if (csv && !write_header(run)) w.why = HB_ERR_MEMORY;
    if (!w.why && !hb_run_each(run, csv ? write_csv : write_jsonl, &w, &err)) return CLI_DONE;
    if (!w.why) return cli_fail(&err);
    cli_message("%s", w.why == HB_ERR_MEMORY ? "out of memory" : "standard output cannot be written");
    return CLI_FAILED;
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    exporting e = {0};
    hb_error err;
    hb_run *run;
    const char *operand;
    int code;
    cli_add(&options, (cli_option){"run", 'r', CLI_TEXT, &e.run_path, "FILE", "the run (required)", 0,
                                   0, NULL, NULL});
    cli_add(&options,
            (cli_option){"format", 0, CLI_CHOICE, &e.format, "csv|jsonl", "csv", 0, 0, formats, NULL});
    cli_grading_add(&options, &e.grading);
    if (!cli_parse(command, &options, argc, argv, &operand, &code)) return code;
    if (!e.run_path) return cli_usage(command, "--run is required");
    if (!cli_grading_check(command, &e.grading, &code)) return code;
    if (hb_run_open(e.run_path, &run, &err)) return cli_fail(&err);
    code = write_run(&e, run);
    hb_run_close(run);
    return code;
}

const cli_command cli_export = {
    .name = "export",
    .summary = "write a run as CSV or JSON Lines",
    .details =
        "Writes one row for each finished sample of a run to standard output, skipped and failed ones\n"
        "included, with their reasons and without scores. Where the data has answers, their grade is "
        "the "
        "label.",
    .run = run,
};
