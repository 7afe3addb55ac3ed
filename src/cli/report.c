/* `hbar report`, and --report of other commands. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "cli/cli.h"

typedef struct reporting {
    const char *output, *svg_dir, *title, *score;
    bool score_given, quiet;
    cli_grading grading;
    hb_report *report;
    const char *graded_path; /* the first run with graded answers; NULL: none yet */
    hb_grading graded_by;    /* its grading */
} reporting;

/* ---- Writing ------------------------------------------------------------------------------------- */

static int save_page(const hb_report *report, const char *path, bool quiet)
{
    hb_error err;
    char *html;
    if (hb_report_html(report, &html, &err)) return cli_fail(&err);
    int code = CLI_DONE;
    if (strcmp(path, "-") == 0) cli_write(html, strlen(html));
    else code = cli_save(path, html, strlen(html));
    if (!code && !quiet && strcmp(path, "-") != 0) cli_message("report: %s", path);
    free(html);
    return code;
}

static int save_figure(const char *dir, const char *name, const char *svg)
{
    char *path;
    if (asprintf(&path, "%s/%s.svg", dir, name) < 0) return cli_fail_memory();
    int code = cli_save(path, svg, strlen(svg));
    free(path);
    return code;
}

static int save_figures(const hb_report *report, const char *dir, bool quiet)
{
    hb_error err;
    char name[HB_FIGURE_NAME_BYTES], *svg;
    int code = CLI_DONE;
    for (size_t i = 0; !code; i++) {
        if (hb_report_figure(report, i, name, &svg, &err)) return cli_fail(&err);
        if (!svg && !quiet) cli_message("%zu figures in %s", i, dir);
        if (!svg) break;
        code = save_figure(dir, name, svg);
        free(svg);
    }
    return code;
}

/* ---- --report ------------------------------------------------------------------------------------ */

void cli_report_add(cli_options *options, const char **path)
{
    cli_begin_group(options, CLI_GROUP_OUTPUT);
    cli_add_text(options, "report", 0, "FILE", path,
                 "also write the result as one HTML page with figures and samples (hbar report)");
}

int cli_report_calibration(const char *path, const hb_params_source *source,
                           const hb_calibration_result *result, hb_run *run, bool quiet)
{
    hb_error err;
    hb_report *report;
    if (!path) return CLI_DONE;
    if (hb_report_open(NULL, &report, &err)) return cli_fail(&err);
    int code = hb_report_add_calibration(report, source->run->model_name, source, result, run, &err)
                   ? cli_fail(&err)
                   : save_page(report, path, quiet);
    hb_report_close(report);
    return code;
}

int cli_report_validation(const char *path, const hb_validation_source *source,
                          const hb_validation_result *result, hb_run *run, bool quiet)
{
    hb_error err;
    hb_report *report;
    if (!path) return CLI_DONE;
    if (hb_report_open(NULL, &report, &err)) return cli_fail(&err);
    int code = hb_report_add_validation(report, hb_base_name(source->scores), source, result, run, &err)
                   ? cli_fail(&err)
                   : save_page(report, path, quiet);
    hb_report_close(report);
    return code;
}

/* ---- Results ------------------------------------------------------------------------------------- */

static int add_scores(reporting *r, const char *path, hb_run *run, const hb_params_source *source,
                      const hb_texts *scores, const hb_calibrate_options *options)
{
    hb_error err;
    hb_calibration_result result;
    if (hb_calibrate_run(run, (const char *const *)scores->list, scores->n, source->grading, options,
                         &result, &err))
        return cli_fail(&err);
    int code = hb_report_add_calibration(r->report, hb_base_name(path), source, &result, run, &err)
                   ? cli_fail(&err)
                   : CLI_DONE;
    hb_calibration_result_free(&result);
    return code;
}

/* Warns if the answers of this run are graded in another way than those of the first one. */
static void compare_grading(reporting *r, const char *path, const hb_grading *grading)
{
    char texts[2][CLI_GRADING_BYTES];
    if (!grading) return;
    if (!r->graded_path) {
        r->graded_path = path;
        r->graded_by = *grading;
    }
    if (hb_grading_same(grading, &r->graded_by)) return;
    cli_grading_describe(&r->graded_by, texts[0]);
    cli_grading_describe(grading, texts[1]);
    cli_message(
        "warning: %s is graded by %s, and %s by %s; --grade and --abstain-as grade all runs alike",
        r->graded_path, texts[0], path, texts[1]);
}

/* Calibrates the run as hbar sweep does. */
static int add_open_run(const cli_command *command, reporting *r, const char *path, hb_run *run)
{
    hb_error err;
    hb_texts scores = {0};
    cli_pass2 pass2 = {.options = hb_calibrate_defaults()};
    hb_params_source source = {.run = hb_run_get_settings(run)};
    cli_grading grading = r->grading;
    if (hb_run_count(run, &source.counts, &err)) return cli_fail(&err);
    int code = cli_grading_use(&grading, run, path, &source.counts, &source.grading);
    if (code) return code;
    compare_grading(r, path, source.grading);
    cli_grading_advise(run, path, source.grading, r->quiet);
    code = cli_scores_of_run(command, r->score, run, &scores, NULL);
    if (!code) code = cli_pass2_check_probes(command, &pass2, &scores);
    if (!code) code = add_scores(r, path, run, &source, &scores, &pass2.options);
    hb_texts_free(&scores);
    return code;
}

static int add_file(const cli_command *command, reporting *r, const char *path)
{
    hb_error err;
    hb_run *run;
    if (!cli_is_run(path)) return hb_report_add_file(r->report, path, &err) ? cli_fail(&err) : CLI_DONE;
    if (hb_run_open(path, &run, &err)) return cli_fail(&err);
    int code = add_open_run(command, r, path, run);
    hb_run_close(run);
    return code;
}

/* ---- Running ------------------------------------------------------------------------------------- */

/* Makes the directory of --svg before the work, which would be lost without it. */
static int check_svg_dir(const char *dir)
{
    hb_error err;
    if (hb_make_directory(dir, &err)) return cli_fail(&err);
    if (access(dir, W_OK | X_OK) == 0) return CLI_DONE;
    cli_message("%s: %s", dir, strerror(errno));
    return CLI_FAILED;
}

/* Refuses what would fail after the work, and an output that is one of the inputs. */
static int check(const cli_command *command, const reporting *r, char **paths, size_t n)
{
    if (n > HB_REPORT_RESULTS)
        return cli_usage(command, "%zu files are given, and a report has at most %d results", n,
                         HB_REPORT_RESULTS);
    for (size_t i = 0; i < n; i++) {
        if (!*paths[i]) return cli_usage(command, "FILE is empty");
        if (cli_is_same_file(r->output, paths[i]))
            return cli_usage(command, "--output: %s is one of the results, and would be replaced",
                             r->output);
        if (r->score_given && !cli_is_run(paths[i]))
            return cli_usage(command, "--score goes with runs; %s is not a run", paths[i]);
    }
    int code = strcmp(r->output, "-") == 0 ? CLI_DONE : cli_check_output(r->output);
    return code || !r->svg_dir ? code : check_svg_dir(r->svg_dir);
}

static int report(const cli_command *command, reporting *r, char **paths, size_t n)
{
    hb_error err;
    hb_report_options o = hb_report_defaults();
    o.title = r->title;
    int code = check(command, r, paths, n);
    if (code) return code;
    if (hb_report_open(&o, &r->report, &err)) return cli_fail(&err);
    for (size_t i = 0; i < n && !code; i++) code = add_file(command, r, paths[i]);
    if (!code) code = save_page(r->report, r->output, r->quiet);
    if (!code && r->svg_dir) code = save_figures(r->report, r->svg_dir, r->quiet);
    hb_report_close(r->report);
    return code;
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    reporting r = {.output = "report.html", .score = "all"};
    char **paths;
    size_t n;
    int code;
    cli_add_text(&options, "output", 'o', "FILE", &r.output, "the page; - is standard output");
    cli_add_text(&options, "svg", 0, "DIR", &r.svg_dir, "also write each figure to DIR as SVG");
    cli_add_text(&options, "title", 0, "TEXT", &r.title, "title of the page")->standard =
        "made from the files' names";
    cli_add_text(
        &options, "score", 's', "LIST", &r.score,
        "of a run, the score to calibrate; if several are named, the one with the highest AUROC")
        ->given = &r.score_given;
    cli_grading_add(&options, &r.grading);
    cli_add_flag(&options, "quiet", 'q', &r.quiet, "only errors");
    if (!cli_parse_many(command, &options, argc, argv, &paths, &n, &code)) return code;
    if (!cli_grading_check(command, &r.grading, &code)) return code;
    return report(command, &r, paths, n);
}

const cli_command cli_report = {
    .name = "report",
    .operand = "FILE...",
    .summary = "show results as one HTML page with figures",
    .details =
        "Writes one page about parameters (of hbar calibrate), runs (RUN.db) and validations (of "
        "hbar validate --json); several are shown side by side. The page needs nothing else, "
        "neither files nor network. A run is calibrated as hbar sweep does, and its samples are "
        "shown, the most wrong first.",
    .run = run,
};
