#include <csv.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/names.h"
#include "cli/cli.h"

static const char *const formats[] = {"csv", "jsonl", NULL};

typedef struct exporting {
    const char *run_path;
    int format;
    bool generations;
    cli_grading grading;
} exporting;

/* ---- Rows --------------------------------------------------------------------------------------- */

typedef enum form { FORM_HEADER, FORM_CSV, FORM_JSON } form;

/* One line of output. */
typedef struct row {
    form form;
    bool begun;    /* a field was written to `out` */
    hb_writer out; /* header and CSV */
    hb_json json;
} row;

static void write_quoted(hb_writer *out, const char *text)
{
    size_t length = strlen(text), size = csv_write(NULL, 0, text, length);
    char *quoted = malloc(size);
    if (quoted) {
        csv_write(quoted, size, text, length);
        hb_write_bytes(out, quoted, size);
    } else {
        out->failed = true;
    }
    free(quoted);
}

/* Begins a field of CSV. Writes its name in a header; returns whether a value is to follow. */
static bool begin_field(row *r, const char *name)
{
    if (r->begun) hb_write(&r->out, ",");
    r->begun = true;
    if (r->form == FORM_CSV) return true;
    if (strpbrk(name, ",\"\r\n")) write_quoted(&r->out, name);
    else hb_write_bytes(&r->out, name, strlen(name));
    return false;
}

/* NULL is null in JSON and an empty field in CSV. */
static void put_text(row *r, const char *name, const char *text)
{
    if (r->form == FORM_JSON) hb_json_text(&r->json, name, text);
    else if (begin_field(r, name) && text) write_quoted(&r->out, text);
}

static void put_whole(row *r, const char *name, bool known, int64_t value)
{
    if (r->form == FORM_JSON && known) hb_json_whole(&r->json, name, value);
    else if (r->form == FORM_JSON) hb_json_null(&r->json, name);
    else if (begin_field(r, name) && known) hb_write(&r->out, "%" PRId64, value);
}

/* NaN counts as unknown. */
static void put_real(row *r, const char *name, double value)
{
    if (r->form == FORM_JSON) hb_json_number(&r->json, name, value);
    else if (begin_field(r, name) && isfinite(value)) hb_write(&r->out, "%.17g", value);
}

/* Prints the line. False when memory runs out or writing fails; cli_finish_output reports the latter.
 */
static bool print_row(row *r)
{
    hb_error err;
    char *text;
    if (r->form == FORM_JSON) {
        hb_json_end(&r->json);
        return cli_print_json(&r->json) == CLI_DONE;
    }
    hb_write(&r->out, "\n");
    if (hb_writer_finish(&r->out, &text, &err)) return cli_fail(&err), false;
    bool ok = cli_write_text(text, strlen(text));
    free(text);
    return ok;
}

/* ---- Samples ------------------------------------------------------------------------------------ */

static const char *const columns[] = {
    "index",          "id",           "label",       "status",         "reason",
    "text",           "finish",       "n_prompt",    "n_tokens",       "prompt_seconds",
    "decode_seconds", "answers",      "grade_exact", "grade_contains", "grade_f1",
    "grade_number",   "grade_choice", "abstained",   "prompt",         "prompt_sha256",
    "label_from",     "label_set_by", "own_label",   "group",          "overlap"};

/* A score that has the name of another column gets a prefix. */
static void put_other_score(row *r, const char *name, double value)
{
    hb_writer prefixed = {0};
    char *own;
    bool taken = hb_name_place(columns, sizeof columns / sizeof *columns, name) <
                 sizeof columns / sizeof *columns;
    hb_write(&prefixed, taken ? "score:%s" : "%s", name);
    if (hb_writer_finish(&prefixed, &own, NULL)) {
        r->out.failed = r->json.out.failed = true;
        return;
    }
    put_real(r, own, value);
    free(own);
}

/* Puts the scores of the signals that the run measured, then its other scores. A signal that it did not
 * measure has no column: no reader of the table then takes an empty column for a score. */
static void put_scores(row *r, const hb_run *run, const hb_scores *scores)
{
    const hb_signal_set *measured = hb_run_get_settings(run)->signals;
    hb_score_id id, other;
    const char *own;
    for (size_t i = 0; hb_score_at(NULL, i, &id); i++) {
        if (!hb_aggregation_is_measured(id.aggregation) || !hb_signal_set_has(measured, id.signal))
            continue;
        char *name = hb_score_name(id);
        if (name) put_real(r, name, hb_scores_get(scores, id));
        else r->out.failed = r->json.out.failed = true;
        free(name);
    }
    for (size_t i = 0; (own = hb_run_score_name(run, i)) != NULL; i++)
        if (!hb_score_find(own, &other)) put_other_score(r, own, hb_scores_at(scores, i));
}

/* The label of the data or of the grade. HB_LABEL_NONE for an abstention and for a sample without an
 * answer to grade. */
static int own_label(const hb_run_sample *s, const hb_grading *grading)
{
    bool ungraded = s->answers && s->status != HB_SAMPLE_SCORED;
    return ungraded ? HB_LABEL_NONE : hb_run_own_label(s, grading);
}

static void put_grades(row *r, const hb_run_sample *s)
{
    bool graded = s->answers && s->status == HB_SAMPLE_SCORED;
    const hb_grade *g = &s->grade;
    put_whole(r, "grade_exact", graded, g->exact);
    put_whole(r, "grade_contains", graded, g->contains);
    put_real(r, "grade_f1", graded ? g->f1 : NAN);
    put_real(r, "grade_number", graded ? g->number_error : NAN);
    put_whole(r, "grade_choice", graded, g->choice);
    put_whole(r, "abstained", graded, g->abstained);
}

/* Puts the prompt, and where the label comes from. */
static void put_origin(row *r, const hb_run_sample *s, const hb_grading *grading)
{
    int own = own_label(s, grading);
    put_text(r, "prompt", s->prompt);
    put_text(r, "prompt_sha256", s->prompt_sha256);
    put_text(r, "label_from", s->set_by ? "set" : s->answers ? "grade" : "data");
    put_text(r, "label_set_by", s->set_by);
    put_whole(r, "own_label", own != HB_LABEL_NONE, own);
}

static bool print_sample(form form, const hb_run *run, const hb_run_sample *s,
                         const hb_grading *grading)
{
    row r = {.form = form};
    bool scored = s->status == HB_SAMPLE_SCORED;
    int label = s->set_by ? s->set_label : own_label(s, grading);
    if (form == FORM_JSON) hb_json_row(&r.json, NULL);
    put_whole(&r, "index", true, (int64_t)s->index);
    put_text(&r, "id", s->id);
    put_whole(&r, "label", label != HB_LABEL_NONE, label);
    put_text(&r, "status", hb_sample_status_name(s->status));
    put_text(&r, "reason", s->reason);
    put_scores(&r, run, s->scores);
    put_text(&r, "text", s->text);
    put_text(&r, "finish", scored ? hb_finish_name(s->finish) : NULL);
    put_whole(&r, "n_prompt", true, s->n_prompt);
    put_whole(&r, "n_tokens", true, s->n_tokens);
    put_real(&r, "prompt_seconds", s->prompt_seconds);
    put_real(&r, "decode_seconds", s->decode_seconds);
    put_text(&r, "answers", s->answers);
    put_grades(&r, s);
    put_origin(&r, s, grading);
    put_text(&r, "group", s->group);
    put_real(&r, "overlap", scored ? s->overlap : NAN);
    return print_row(&r);
}

static bool print_generation(form form, const hb_run_generation *g)
{
    row r = {.form = form};
    if (form == FORM_JSON) hb_json_row(&r.json, NULL);
    put_whole(&r, "index", true, (int64_t)g->index);
    put_whole(&r, "k", true, g->k);
    put_text(&r, "text", g->text);
    put_real(&r, "log_prob", g->log_prob);
    put_whole(&r, "n_tokens", true, g->n_tokens);
    put_whole(&r, "n_measured", true, g->n_measured);
    put_text(&r, "finish", hb_finish_name(g->finish));
    return print_row(&r);
}

/* ---- Runs --------------------------------------------------------------------------------------- */

typedef struct writing {
    const hb_run *run;
    const hb_grading *grading;
    form form;
    bool failed; /* printing a row failed */
} writing;

static hb_status write_sample(void *user, const hb_run_sample *sample)
{
    writing *w = user;
    w->failed = !print_sample(w->form, w->run, sample, w->grading);
    return w->failed ? HB_ERR_IO : HB_OK;
}

static hb_status write_generation(void *user, const hb_run_generation *generation)
{
    writing *w = user;
    w->failed = !print_generation(w->form, generation);
    return w->failed ? HB_ERR_IO : HB_OK;
}

static int write_generations(const exporting *e, hb_run *run)
{
    hb_error err;
    writing w = {.run = run, .form = e->format == 0 ? FORM_CSV : FORM_JSON};
    const hb_run_generation none = {.text = ""};
    if (w.form == FORM_CSV && !print_generation(FORM_HEADER, &none)) return CLI_FAILED;
    if (!hb_run_each_generation(run, write_generation, &w, &err)) return CLI_DONE;
    return w.failed ? CLI_FAILED : cli_fail(&err);
}

static int write_run(exporting *e, hb_run *run)
{
    hb_error err;
    hb_run_counts counts;
    writing w = {.run = run, .form = e->format == 0 ? FORM_CSV : FORM_JSON};
    if (hb_run_count(run, &counts, &err)) return cli_fail(&err);
    int code = cli_grading_use(&e->grading, run, e->run_path, &counts, &w.grading);
    if (code) return code;
    const hb_run_sample none = {.id = ""};
    if (w.form == FORM_CSV && !print_sample(FORM_HEADER, run, &none, NULL)) return CLI_FAILED;
    if (!hb_run_each(run, write_sample, &w, &err)) return CLI_DONE;
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
    cli_add_flag(&options, "generations", 0, &e.generations,
                 "write the samples drawn beside the answers (hbar score --samples) instead");
    cli_grading_add(&options, &e.grading);
    if (!cli_parse(command, &options, argc, argv, &operand, &code)) return code;
    if (!cli_grading_check(command, &e.grading, &code)) return code;
    if (hb_run_open(e.run_path, &run, &err)) return cli_fail(&err);
    code = e.generations ? write_generations(&e, run) : write_run(&e, run);
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
