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

/* The label of the data or of the grade; null for an abstention and for a sample without an answer to
 * grade. */
static json_t *own_label_json(const hb_run_sample *s, const hb_grading *grading)
{
    bool ungraded = s->answers && s->status != HB_SAMPLE_SCORED;
    int label = ungraded ? HB_LABEL_NONE : hb_run_own_label(s, grading);
    return label == HB_LABEL_NONE ? json_null() : json_integer(label);
}

/* The label set later, or the sample's own. */
static json_t *label_json(const hb_run_sample *s, const hb_grading *grading)
{
    return s->set_by ? json_integer(s->set_label) : own_label_json(s, grading);
}

/* The prompt, and where the label comes from. */
static json_t *origin_json(const hb_run_sample *s, const hb_grading *grading)
{
    return json_pack("{s:s?, s:s, s:s, s:s?, s:o}", "prompt", s->prompt, "prompt_sha256",
                     s->prompt_sha256, "label_from",
                     s->set_by    ? "set"
                     : s->answers ? "grade"
                                  : "data",
                     "label_set_by", s->set_by, "own_label", own_label_json(s, grading));
}

/* Takes the reference of `value`; returns it, or null for a sample without a grade. */
static json_t *grade_json(const hb_run_sample *s, json_t *value)
{
    if (s->answers && s->status == HB_SAMPLE_SCORED) return value;
    json_decref(value);
    return json_null();
}

/* Adds the scores of all signals, so that all runs have the same columns, then the run's other scores.
 */
static bool add_scores(json_t *row, const hb_run *run, const hb_scores *scores)
{
    hb_score_id id, other;
    const char *own;
    bool ok = true;
    for (size_t i = 0; ok && hb_score_at(NULL, i, &id); i++) {
        if (!hb_aggregation_is_measured(id.aggregation)) continue;
        char *name = hb_score_name(id);
        ok = name && json_object_set_new(row, name, cli_number(hb_scores_get(scores, id))) == 0;
        free(name);
    }
    for (size_t i = 0; ok && (own = hb_run_score_name(run, i)) != NULL; i++)
        if (!hb_score_find(own, &other))
            ok = json_object_set_new(row, own, cli_number(hb_scores_at(scores, i))) == 0;
    return ok;
}

/* A sample as a JSON object. The order of its keys is the order of the columns. */
static json_t *row_json(const hb_run *run, const hb_run_sample *s, const hb_grading *grading)
{
    bool scored = s->status == HB_SAMPLE_SCORED;
    json_t *row = json_pack("{s:I, s:s, s:o, s:s, s:s?}", "index", (json_int_t)s->index, "id", s->id,
                            "label", label_json(s, grading), "status", hb_sample_status_name(s->status),
                            "reason", s->reason);
    json_t *rest =
        json_pack("{s:s?, s:s?, s:i, s:i, s:o, s:o, s:s?, s:o, s:o, s:o, s:o, s:o, s:o}", "text",
                  s->text, "finish", scored ? hb_finish_name(s->finish) : NULL, "n_prompt", s->n_prompt,
                  "n_tokens", s->n_tokens, "prompt_seconds", cli_number(s->prompt_seconds),
                  "decode_seconds", cli_number(s->decode_seconds), "answers", s->answers, "grade_exact",
                  grade_json(s, json_integer(s->grade.exact)), "grade_contains",
                  grade_json(s, json_integer(s->grade.contains)), "grade_f1",
                  grade_json(s, cli_number(s->grade.f1)), "grade_number",
                  grade_json(s, cli_number(s->grade.number_error)), "grade_choice",
                  grade_json(s, json_integer(s->grade.choice)), "abstained",
                  grade_json(s, json_integer(s->grade.abstained)));
    json_t *origin = origin_json(s, grading);
    bool ok = row && rest && origin && add_scores(row, run, s->scores) &&
              json_object_update(row, rest) == 0 && json_object_update(row, origin) == 0;
    json_decref(rest);
    json_decref(origin);
    if (ok) return row;
    json_decref(row);
    return NULL;
}

/* Writes text in CSV quotes. */
static bool write_text(const char *text, size_t length)
{
    size_t size = csv_write(NULL, 0, text, length);
    char *quoted = malloc(size);
    if (quoted) csv_write(quoted, size, text, length);
    else cli_fail_memory();
    bool ok = quoted && cli_write_text(quoted, size);
    free(quoted);
    return ok;
}

static bool write_key(const char *key)
{
    size_t length = strlen(key);
    return strpbrk(key, ",\"\r\n") ? write_text(key, length) : cli_write_text(key, length);
}

/* Writes one CSV field. null is empty; only texts are quoted. */
static bool write_field(const json_t *value)
{
    char number[40] = "";
    if (json_is_string(value)) return write_text(json_string_value(value), json_string_length(value));
    if (json_is_integer(value))
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    if (json_is_real(value)) snprintf(number, sizeof number, "%.17g", json_real_value(value));
    return cli_write(number, strlen(number));
}

/* Writes a row's keys or values, separated by commas. */
static bool write_row(json_t *row, bool keys)
{
    const char *key;
    json_t *value;
    bool first = true;
    json_object_foreach(row, key, value)
    {
        if (!first && !cli_write(",", 1)) return false;
        first = false;
        if (!(keys ? write_key(key) : write_field(value))) return false;
    }
    return cli_write("\n", 1);
}

/* State of an export. */
typedef struct writing {
    const hb_run *run;
    const hb_grading *grading;
    bool failed; /* writing a row failed: lack of memory was reported; cli_finish_output reports other
                    failures */
} writing;

/* Writes a row as CSV and takes its reference. */
static bool write_line(json_t *row, bool keys)
{
    if (!row) cli_fail_memory();
    bool ok = row && write_row(row, keys);
    json_decref(row);
    return ok;
}

static hb_status write_csv(void *user, const hb_run_sample *sample)
{
    writing *w = user;
    w->failed = !write_line(row_json(w->run, sample, w->grading), false);
    return w->failed ? HB_ERR_IO : HB_OK;
}

static hb_status write_jsonl(void *user, const hb_run_sample *sample)
{
    writing *w = user;
    w->failed = cli_print_row(row_json(w->run, sample, w->grading)) != CLI_DONE;
    return w->failed ? HB_ERR_IO : HB_OK;
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
    const hb_run_sample none = {.id = "", .reason = "", .prompt_sha256 = ""};
    if (csv && !write_line(row_json(run, &none, NULL), true)) return CLI_FAILED;
    if (!hb_run_each(run, csv ? write_csv : write_jsonl, &w, &err)) return CLI_DONE;
    return w.failed ? CLI_FAILED : cli_fail(&err);
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    exporting e = {0};
    hb_error err;
    hb_run *run;
    const char *operand;
    int code;
    cli_add_text(&options, "run", 'r', "FILE", &e.run_path, "the run")->required = true;
    cli_add_choice(&options, "format", 0, NULL, &e.format, formats, "format of the output");
    cli_grading_add(&options, &e.grading);
    if (!cli_parse(command, &options, argc, argv, &operand, &code)) return code;
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
        "Writes one row for each finished sample of a run to standard output. Skipped and failed "
        "samples are included, with the reason and without scores. For data with answers, the "
        "label is the grade of the model's answer.",
    .run = run,
};
