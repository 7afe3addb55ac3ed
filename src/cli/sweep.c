#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

typedef struct sweep_options {
    const char *run_path, *data_path, *score, *label, *group, *output_dir, *name;
    bool strict, quiet, json;
    cli_pass2 pass2;
    cli_grading grading;
    cli_labels labels;
} sweep_options;

static void add_options(cli_options *options, sweep_options *o)
{
    cli_begin_group(options, CLI_GROUP_DATA);
    cli_add_text(options, "run", 'r', "FILE", &o->run_path, "a run of hbar score or calibrate");
    cli_add_text(options, "data", 'd', "FILE", &o->data_path,
                 "instead of a run: scores and labels as CSV, TSV or JSON, also as .gz; - is standard "
                 "input");
    cli_add_text(options, "label", 'l', "NAME", &o->label, "column of labels in --data")->standard =
        "label";
    cli_labels_add(options, &o->labels);
    cli_add_text(options, "group", 0, "NAME", &o->group,
                 "column of --data that is the same in rows that belong together; these are resampled "
                 "together and share a fold")
        ->standard = "groups by the column id, if there is one";
    cli_add_flag(options, "strict", 0, &o->strict, "stop at the first broken row of the data");
    cli_begin_group(options, CLI_GROUP_SCORES);
    cli_add_text(options, "score", 's', "LIST", &o->score,
                 "score of the run, or column of the data; of several, separated by commas, or all, "
                 "the one with the highest AUROC")
        ->standard = "hbar_s; in --data, score if there is one";
    cli_pass2_add(options, &o->pass2);
    cli_begin_group(options, CLI_GROUP_OUTPUT);
    cli_add_text(options, "output-dir", 'o', "DIR", &o->output_dir, "write parameters to DIR");
    cli_add_text(options, "name", 0, "NAME", &o->name, "beginning of the parameters' file name")
        ->standard = "the model's, or the data's";
    cli_grading_add(options, &o->grading);
    cli_add_common(options, &o->quiet, &o->json);
}

/* Saves and prints the parameters. Their name is `usual_name` unless one was given. Frees `usual_name`.
 */
static int report(const sweep_options *o, const hb_params_source *source,
                  const hb_calibration_result *result, char *usual_name)
{
    const char *name = o->name ? o->name : usual_name ? usual_name : "scores";
    int code = cli_pass2_report(&o->pass2, source, result, o->output_dir, name, o->json);
    free(usual_name);
    return code;
}

/* ---- A run -------------------------------------------------------------------------------------- */

static void warn_unfinished(const sweep_options *o, const hb_run_counts *c)
{
    uint64_t finished = c->scored + c->skipped + c->failed;
    if (finished < c->total && !o->quiet)
        cli_message("%s: not finished: %llu of %llu samples", o->run_path, (unsigned long long)finished,
                    (unsigned long long)c->total);
}

static int sweep_scores(const sweep_options *o, hb_run *run, const hb_params_source *source,
                        const hb_texts *scores)
{
    hb_error err;
    hb_calibration_result result;
    warn_unfinished(o, &source->counts);
    if (hb_calibrate_run(run, (const char *const *)scores->list, scores->n, source->grading,
                         &o->pass2.options, &result, &err))
        return cli_fail(&err);
    int code = report(o, source, &result, cli_file_name(source->run->model_name));
    hb_calibration_result_free(&result);
    return code;
}

static int sweep_open_run(const cli_command *command, sweep_options *o, hb_run *run)
{
    hb_error err;
    hb_texts scores = {0};
    hb_params_source source = {.run = hb_run_get_settings(run)};
    const char *list = o->score ? o->score : o->pass2.joint ? "all" : "hbar_s";
    if (hb_run_count(run, &source.counts, &err)) return cli_fail(&err);
    int code = cli_grading_use(&o->grading, run, o->run_path, &source.counts, &source.grading);
    if (code) return code;
    cli_grading_advise(run, o->run_path, source.grading, o->quiet);
    code = cli_scores_of_run(command, list, run, &scores, NULL);
    if (!code) code = cli_pass2_check_scores(command, &o->pass2, &scores);
    if (!code) code = cli_pass2_check_probes(command, &o->pass2, &scores);
    if (!code) code = sweep_scores(o, run, &source, &scores);
    hb_texts_free(&scores);
    return code;
}

static int sweep_run(const cli_command *command, sweep_options *o)
{
    hb_error err;
    hb_run *run;
    if (hb_run_open(o->run_path, &run, &err)) return cli_fail(&err);
    int code = sweep_open_run(command, o, run);
    hb_run_close(run);
    return code;
}

/* ---- A table ------------------------------------------------------------------------------------ */

/* Without a list of scores, reads the table's usual column and names it "score" in every case. */
static int sweep_table(const sweep_options *o, const hb_texts *scores, hb_table *file)
{
    static const char *const usual[] = {"score"};
    hb_error err;
    hb_score_table table;
    hb_calibration_result result;
    int code = CLI_DONE;
    const hb_table_options options = {.score_columns = (const char *const *)scores->list,
                                      .n_scores = scores->n,
                                      .group_column = o->group,
                                      .strict = o->strict};
    if (cli_read_table(file, o->data_path, options, &o->labels, o->label, &table, &err))
        return cli_fail(&err);
    const hb_params_source source = {
        .data_path = o->data_path, .data_sha256 = hb_table_sha256(file), .n_broken = table.n_broken};
    const char *const *names = scores->n ? (const char *const *)scores->list : usual;
    if (hb_calibrate(&table, names, &o->pass2.options, &result, &err)) {
        code = cli_fail(&err);
    } else {
        code = report(o, &source, &result, cli_base_name(o->data_path));
        hb_calibration_result_free(&result);
    }
    hb_score_table_free(&table);
    return code;
}

static int sweep_data(const cli_command *command, const sweep_options *o)
{
    hb_error err;
    hb_table *file;
    hb_texts scores;
    if (hb_table_open(o->data_path, &file, &err)) return cli_fail(&err);
    const char *list = o->score ? o->score : o->pass2.joint ? "all" : NULL;
    int code = cli_scores_of_table(list, o->data_path, file, &scores);
    if (!code) code = cli_pass2_check_scores(command, &o->pass2, &scores);
    if (!code) code = sweep_table(o, &scores, file);
    hb_texts_free(&scores);
    hb_table_close(file);
    return code;
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    sweep_options o = {0};
    const char *operand;
    int code;
    add_options(&options, &o);
    if (!cli_parse(command, &options, argc, argv, &operand, &code)) return code;
    if (!cli_pass2_check(command, &o.pass2, &code)) return code;
    if (!o.run_path == !o.data_path) return cli_usage(command, "give either --run or --data");
    if (!cli_grading_check(command, &o.grading, &code)) return code;
    if (o.data_path && o.pass2.options.needs_halt)
        return cli_usage(command, "--halt, --false-halts and --halts go with --run, which has tokens");
    if (o.data_path && o.grading.rule_given) return cli_usage(command, "--grade goes with --run");
    if (o.run_path && (o.label || o.labels.correct || o.labels.positive || o.group))
        return cli_usage(command, "--label, --correct, --positive and --group go with --data");
    code = cli_labels_check(command, &o.labels, o.label, "--label");
    if (code) return code;
    return o.run_path ? sweep_run(command, &o) : sweep_data(command, &o);
}

const cli_command cli_sweep = {
    .name = "sweep",
    .summary = "pass 2 alone: find the threshold for existing scores",
    .details = "Sweeps thresholds over the scores of a run, or over any CSV or JSON Lines file with a "
               "score and a label (1: hallucinated, 0: not) in each row, and reports the best. Several "
               "scores are ranked first. --score all stands for every signal of the run, or every "
               "column with the name of a signal; all:mean takes each by another aggregation, all:all "
               "by every aggregation.",
    .run = run,
};
