#include <string.h>
#include "cli/cli.h"

/* What is checked before pass 1, which may take hours. */
typedef struct plan {
    const cli_pass1 *pass1;
    const cli_pass2 *pass2;
    const char *report; /* path of the page; NULL: none */
} plan;

/* Checks that parameters can be saved. */
static int check_place(void *user)
{
    const plan *p = user;
    hb_error err;
    int code = p->report ? cli_check_output(p->report) : CLI_DONE;
    if (code) return code;
    return hb_params_try(p->pass1->output_dir, p->pass1->name, &err) ? cli_fail(&err) : CLI_DONE;
}

/* Checks that the data have enough samples. */
static hb_status check_data(void *user, const hb_dataset_info *info, hb_error *err)
{
    const plan *p = user;
    hb_error why;
    hb_status status = hb_calibrate_check(info->n_selected, &p->pass2->options, &why);
    return status ? hb_fail(err, status, "%s: %s", info->path, why.message) : HB_OK;
}

static int calibrate_run(cli_pass1 *pass1, const cli_pass2 *pass2, const hb_texts *scores,
                         const char *report)
{
    hb_error err;
    hb_calibration_result result;
    hb_params_source source = {.run = hb_run_get_settings(pass1->run), .counts = pass1->counts};
    int code =
        cli_grading_use(&pass1->grading, pass1->run, pass1->run_path, &pass1->counts, &source.grading);
    if (code) return code;
    cli_grading_advise(pass1->run, pass1->run_path, source.grading, pass1->quiet);
    if (hb_calibrate_run(pass1->run, (const char *const *)scores->list, scores->n, source.grading,
                         &pass2->options, &result, &err))
        return cli_fail(&err);
    code = cli_pass2_report(pass2, &source, &result, pass1->output_dir, pass1->name, pass1->json);
    if (!code) code = cli_report_calibration(report, &source, &result, pass1->run, pass1->quiet);
    hb_calibration_result_free(&result);
    return code;
}

/* Makes pass 1 keep the features of the probes and of the EigenScore among the scores, and those of
 * their halt. */
static void need_features(const hb_texts *scores, const cli_pass2 *pass2, cli_pass1 *pass1)
{
    const char *kind;
    for (size_t i = 0; (kind = hb_probe_kind_name(i)) != NULL; i++) {
        if (!hb_texts_has(scores, kind)) continue;
        cli_pass1_need(pass1, hb_probe_kind_features(i));
        if (pass2->options.needs_halt && strcmp(kind, "probe") == 0) pass1->needs_states = "states";
    }
    if (hb_texts_has(scores, "eigenscore")) pass1->needs_hidden = "hidden";
}

/* Parses the list again when the measured signals are known, because "all" means these. */
static int calibrate(const cli_command *command, cli_pass1 *pass1, cli_pass2 *pass2, const char *list,
                     const char *report)
{
    hb_texts scores;
    size_t place, i = 0;
    int code = cli_scores_of_run(command, list, NULL, &scores, &pass1->needed);
    if (!code) code = cli_pass2_check_scores(command, pass2, &scores);
    if (!code) code = cli_pass2_check_probes(command, pass2, &scores);
    pass1->needs_p_yes = hb_texts_has(&scores, HB_SCORE_P_YES);
    while (i < scores.n && !hb_measure_find(scores.list[i], &place)) i++;
    if (i < scores.n) pass1->needed_measure = hb_measure_name(place);
    need_features(&scores, pass2, pass1);
    hb_texts_free(&scores);
    if (!code) code = cli_pass1_run(command, pass1);
    if (code || pass1->joined) return code;
    pass2->demo = pass1->own_model_path != NULL;
    pass2->chat_template = pass1->chat.template_given;
    if (pass1->data.read_as) pass2->read_as = hb_read_as_name((hb_read_as)pass1->data.read_as);
    code = cli_scores_of_run(command, list, pass1->run, &scores, NULL);
    if (!code) code = calibrate_run(pass1, pass2, &scores, report);
    hb_texts_free(&scores);
    return code;
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    cli_pass1 pass1;
    cli_pass2 pass2;
    const char *operand, *score = NULL;
    int code;
    cli_pass1_add(&options, &pass1);
    cli_explain(&options, "features", CLI_FEATURES_HELP, "none; those of the probes in --score");
    cli_begin_group(&options, CLI_GROUP_SCORES);
    cli_add_text(
        &options, "score", 's', "LIST", &score,
        "score to calibrate: SIGNAL, SIGNAL:AGGREGATION, a probe (probe, probe_first, probe_last, "
        "wepr) or, with --samples, a measure; of several, separated by commas, or all, the one "
        "with the highest AUROC")
        ->standard = "hbar_s; with --joint, all";
    cli_pass2_add(&options, &pass2);
    plan checked = {&pass1, &pass2, NULL};
    cli_report_add(&options, &checked.report);
    pass1.check = check_place;
    pass1.check_data = check_data;
    pass1.user = &checked;
    bool ready = cli_parse(command, &options, argc, argv, &operand, &code) &&
                 cli_pass2_check(command, &pass2, &code);
    if (ready) code = cli_check_apart(command, &options, "report");
    if (!score) score = pass2.joint ? "all" : "hbar_s";
    if (ready && !code) code = calibrate(command, &pass1, &pass2, score, checked.report);
    cli_pass1_close(&pass1);
    return code;
}

const cli_command cli_calibrate = {
    .name = "calibrate",
    .summary = "find the threshold for a model on labelled data",
    .details = "Generates once for each sample of the data and keeps its scores (pass 1), then sweeps "
               "thresholds over them (pass 2) and writes parameters for hbar generate to "
               "DIR/NAME_<date>_<time>_n<N>.json. After an interruption the same command continues "
               "the run.",
    .run = run,
};
