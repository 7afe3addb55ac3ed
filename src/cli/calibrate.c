#include "cli/cli.h"

static int sweep_run(cli_pass1 *pass1, const cli_pass2 *pass2, const char *score)
{
    hb_error err;
    hb_score_table table;
    hb_params_source source = {.store = pass1->run,
                               .run = hb_run_get_settings(pass1->run),
                               .counts = pass1->counts,
                               .score = score};
    if (pass1->counts.graded) source.grading = &pass1->grading.grading;
    if (hb_run_scores(pass1->run, source.score, source.grading, &table, &err)) return cli_fail(&err);
    int code = cli_pass2_run(pass2, &table, &source, pass1->output_dir, pass1->name, pass1->json);
    hb_score_table_free(&table);
    return code;
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    cli_pass1 pass1;
    cli_pass2 pass2;
    const char *operand, *score = "hbar_s";
    int code;
    cli_pass1_add(&options, &pass1);
    cli_add(&options,
            (cli_option){"score", 's', CLI_TEXT, &score, "NAME",
                         "what to calibrate: SIGNAL or SIGNAL:AGGREGATION; hbar_s", 0, 0, NULL, NULL});
    cli_pass2_add(&options, &pass2);
    if (!cli_parse(command, &options, argc, argv, &operand, &code)) return code;
    if (!cli_pass2_check(command, &pass2, &code)) return code;
    hb_score_id id;
    if (!hb_score_find(score, &id)) return cli_usage(command, "--score: there is no score '%s'", score);
    pass1.needed = HB_SIGNAL_BIT(id.signal);
    code = cli_pass1_run(command, &pass1);
    if (!code) code = sweep_run(&pass1, &pass2, score);
    cli_pass1_close(&pass1);
    return code;
}

const cli_command cli_calibrate = {
    .name = "calibrate",
    .summary = "find the threshold for a model on labelled data",
    .details =
        "Generates once for each sample of the data, keeping its scores (pass 1), then sweeps "
        "thresholds\n"
        "over them (pass 2) and writes DIR/NAME_<date>_<time>_n<N>.json for hbar generate --params.\n"
        "Run again, the same command continues where it was interrupted.",
    .run = run,
};
