#include <csv.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "cli/cli.h"

static const char *const formats[] = {"csv", "jsonl", NULL};
static const char *const columns[] = {
    "index",  "id",       "label",       "status",         "reason",        "hbar_s",
    "pri",    "delta_mu", "delta_sigma", "delta_h",        "surprise",      "text",
    "finish", "n_prompt", "n_tokens",    "prompt_seconds", "decode_seconds"};
#define N_COLUMNS (sizeof columns / sizeof *columns)

/* A sample as a JSON object whose keys are the columns. */
static json_t *row_json(const hb_run_sample *s)
{
    const hb_scores *c = &s->scores;
    json_t *values[N_COLUMNS] = {json_integer((json_int_t)s->index),
                                 json_string(s->id),
                                 json_integer(s->label),
                                 json_string(s->status),
                                 s->reason ? json_string(s->reason) : json_null(),
                                 cli_number(c->hbar_s),
                                 cli_number(c->pri),
                                 cli_number(c->delta_mu),
                                 cli_number(c->delta_sigma),
                                 cli_number(c->delta_h),
                                 cli_number(c->surprise),
                                 s->text ? json_string(s->text) : json_null(),
                                 s->finish ? json_string(s->finish) : json_null(),
                                 json_integer(s->n_prompt),
                                 json_integer(s->n_tokens),
                                 cli_number(s->prompt_seconds),
                                 cli_number(s->decode_seconds)};
    json_t *row = json_object();
    for (size_t i = 0; i < N_COLUMNS; i++)
        if (json_object_set_new(row, columns[i], values[i]) != 0 && row) {
            json_decref(row);
            row = NULL;
        }
    return row;
}

/* One field of a CSV row: null is empty, anything but numbers is quoted. */
static bool write_field(const json_t *value, bool last)
{
    if (json_is_string(value) &&
        csv_fwrite(stdout, json_string_value(value), json_string_length(value)) != 0)
        return false;
    if (json_is_integer(value)) printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    if (json_is_real(value)) printf("%.17g", json_real_value(value));
    return putchar(last ? '\n' : ',') != EOF;
}

static hb_status write_csv(void *user, const hb_run_sample *sample)
{
    (void)user;
    json_t *row = row_json(sample);
    if (!row) return HB_ERR_MEMORY;
    bool ok = true;
    for (size_t i = 0; i < N_COLUMNS && ok; i++)
        ok = write_field(json_object_get(row, columns[i]), i + 1 == N_COLUMNS);
    json_decref(row);
    return ok ? HB_OK : HB_ERR_IO;
}

static hb_status write_jsonl(void *user, const hb_run_sample *sample)
{
    (void)user;
    return cli_print_json(row_json(sample), JSON_COMPACT) ? HB_ERR_IO : HB_OK;
}

static int export_run(const char *path, bool csv)
{
    hb_run *run;
    hb_error err = {HB_OK, ""};
    if (hb_run_open(path, &run, &err)) return cli_fail(&err);
    for (size_t i = 0; csv && i < N_COLUMNS; i++)
        printf("%s%c", columns[i], i + 1 == N_COLUMNS ? '\n' : ',');
    hb_status status = hb_run_each(run, csv ? write_csv : write_jsonl, NULL, &err);
    hb_run_close(run);
    if (!status) return CLI_DONE;
    if (*err.message) return cli_fail(&err);
    cli_message("%s", status == HB_ERR_MEMORY ? "out of memory" : "standard output cannot be written");
    return CLI_FAILED;
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    const char *path = NULL, *operand;
    int format = 0, code;
    cli_add(&options,
            (cli_option){"run", 'r', CLI_TEXT, &path, "FILE", "the run (required)", 0, 0, NULL, NULL});
    cli_add(&options,
            (cli_option){"format", 0, CLI_CHOICE, &format, "csv|jsonl", "csv", 0, 0, formats, NULL});
    if (!cli_parse(command, &options, argc, argv, &operand, &code)) return code;
    if (!path) return cli_usage(command, "--run is required");
    return export_run(path, format == 0);
}

const cli_command cli_export = {
    .name = "export",
    .summary = "write a run as CSV or JSON Lines",
    .details =
        "Writes one row for each finished sample of a run to standard output, skipped and failed ones\n"
        "included, with their reasons and without scores.",
    .run = run,
};
