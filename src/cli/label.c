/* hbar label: labels from a judge or a person for the samples of a run. */
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "cli/cli.h"

enum { BY_ID, BY_INDEX };
static const char *const keys[] = {"id", "index", NULL};

typedef struct labelling {
    const char *run_path, *labels_path, *id, *label, *source;
    cli_labels polarity;
    int by;
    bool dry_run, clear, strict, quiet, json;
    hb_labels labels;
    hb_set_labels_counts counts;
} labelling;

static void add_options(cli_options *options, labelling *l)
{
    cli_begin_group(options, CLI_GROUP_DATA);
    cli_add_text(options, "run", 'r', "FILE", &l->run_path, "the run")->required = true;
    cli_add_text(options, "labels", 'l', "FILE", &l->labels_path,
                 "ids and labels: CSV, TSV or JSON, also as .gz; - is standard input");
    cli_add_choice(options, "by", 0, NULL, &l->by, keys, "what names a sample, as hbar export has it");
    cli_add_text(options, "id", 0, "NAME", &l->id, "column of ids or indices")->standard =
        "id; with --by index, index";
    cli_add_text(options, "label", 0, "NAME", &l->label, "column of labels")->standard = "label";
    cli_labels_add(options, &l->polarity);
    cli_add_text(options, "source", 0, "NAME", &l->source, "who gave the labels; kept in the run")
        ->standard = "the name of the file";
    cli_add_flag(options, "strict", 0, &l->strict, "stop at the first broken row");
    cli_add_flag(options, "dry-run", 0, &l->dry_run, "check and count, and change nothing");
    cli_add_flag(options, "clear", 0, &l->clear, "remove all labels that were set, and set none");
    cli_add_common(options, &l->quiet, &l->json);
}

/* ---- Reading ------------------------------------------------------------------------------------- */

static int read_labels(labelling *l)
{
    hb_error err;
    hb_table *table;
    cli_broken broken = {0};
    const char *correct = l->polarity.correct;
    const hb_label_options o = {.id_column = l->id ? l->id : keys[l->by],
                                .label_column = correct ? correct : l->label,
                                .label_is_correct = correct != NULL,
                                .positive = l->polarity.positive,
                                .strict = l->strict,
                                .on_broken = cli_show_broken,
                                .on_warning = cli_show_warning,
                                .user = &broken};
    if (hb_table_open(l->labels_path, &table, &err)) return cli_fail(&err);
    hb_status status = hb_table_labels(table, &o, &l->labels, &err);
    hb_table_close(table);
    return status ? cli_fail(&err) : CLI_DONE;
}

/* ---- The result ---------------------------------------------------------------------------------- */

/* Reports skipped rows. */
static void report(const labelling *l)
{
    const hb_set_labels_counts *c = &l->counts;
    const char *path = l->labels.path;
    cli_report_broken(path, l->labels.n_broken, l->labels.n + l->labels.n_empty);
    if (l->quiet) return;
    if (l->labels.n_empty)
        cli_message("%s: %zu rows have no label and are skipped", path, l->labels.n_empty);
    if (c->n_repeated)
        cli_message("%s: %zu rows repeat an id with the same label", path, c->n_repeated);
    if (c->n_unknown)
        cli_message("%s: %zu ids are not in the run, for example '%s'", path, c->n_unknown, c->unknown);
    if (c->n_missing)
        cli_message("%s: %zu scored samples are not in the labels and keep the labels they have",
                    l->run_path, c->n_missing);
}

static void add_counts(hb_json *j, const labelling *l)
{
    const hb_set_labels_counts *c = &l->counts;
    hb_json_text(j, "labels", l->labels.path);
    hb_json_text(j, "source", l->source);
    hb_json_bool(j, "dry_run", l->dry_run);
    hb_json_whole(j, "labelled", (int64_t)(c->set[0] + c->set[1]));
    hb_json_whole(j, "hallucinated", (int64_t)c->set[1]);
    hb_json_whole(j, "faithful", (int64_t)c->set[0]);
    hb_json_whole(j, "unknown_ids", (int64_t)c->n_unknown);
    hb_json_whole(j, "missing_ids", (int64_t)c->n_missing);
    hb_json_whole(j, "repeated_rows", (int64_t)c->n_repeated);
    hb_json_whole(j, "rows_without_label", (int64_t)l->labels.n_empty);
    hb_json_whole(j, "broken_rows", (int64_t)l->labels.n_broken);
}

static int print_json(const labelling *l, uint64_t cleared)
{
    hb_error err;
    hb_json j = {0};
    char *text;
    hb_json_object(&j, NULL);
    hb_json_text(&j, "run", l->run_path);
    if (l->clear) hb_json_whole(&j, "cleared", (int64_t)cleared);
    else add_counts(&j, l);
    hb_json_end(&j);
    if (hb_json_finish(&j, &text, &err)) return cli_fail(&err);
    cli_write(text, strlen(text));
    cli_write("\n", 1);
    free(text);
    return CLI_DONE;
}

/* ---- Running ------------------------------------------------------------------------------------- */

static int set_labels(labelling *l)
{
    hb_error err;
    int code = read_labels(l);
    if (code) return code;
    if (!l->source) l->source = hb_base_name(l->labels.path);
    const hb_set_labels_options o = {
        .by_index = l->by == BY_INDEX, .source = l->source, .dry_run = l->dry_run};
    if (hb_run_set_labels(l->run_path, &l->labels, &o, &l->counts, &err)) return cli_fail(&err);
    report(l);
    if (l->json) return print_json(l, 0);
    cli_print("%zu samples %s: %zu hallucinated, %zu not\n", l->counts.set[0] + l->counts.set[1],
              l->dry_run ? "would be labelled" : "labelled", l->counts.set[1], l->counts.set[0]);
    return CLI_DONE;
}

static int clear_labels(const labelling *l)
{
    hb_error err;
    uint64_t n;
    if (hb_run_clear_labels(l->run_path, &n, &err)) return cli_fail(&err);
    if (l->json) return print_json(l, n);
    cli_print("%llu labels removed\n", (unsigned long long)n);
    return CLI_DONE;
}

static int check_usage(const cli_command *command, const labelling *l)
{
    bool how = l->id || l->label || l->polarity.correct || l->polarity.positive || l->source ||
               l->dry_run || l->strict || l->by;
    if (!l->labels_path == !l->clear) return cli_usage(command, "give either --labels or --clear");
    if (l->clear && how) return cli_usage(command, "--clear goes with --run alone");
    return cli_labels_check(command, &l->polarity, l->label, "--label");
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    labelling l = {0};
    const char *operand;
    int code;
    add_options(&options, &l);
    if (!cli_parse(command, &options, argc, argv, &operand, &code)) return code;
    code = check_usage(command, &l);
    if (!code) code = l.clear ? clear_labels(&l) : set_labels(&l);
    hb_labels_free(&l.labels);
    return code;
}

const cli_command cli_label = {
    .name = "label",
    .summary = "set the labels of a run from a judge or a person",
    .details =
        "Reads labels (1: hallucinated, 0: not) for the samples of a finished or unfinished run and "
        "keeps them in the run. hbar sweep, calibrate and validate then use them instead of the "
        "labels of the data and the grades. The run keeps these, too. After an error, no label is "
        "set. hbar export writes ids, prompts and answers for a judge.",
    .run = run,
};
