/* hbar diff: compares two results. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/cli.h"

typedef struct differing {
    bool quiet, json;
    cli_grading grading;
} differing;

/* ---- Text ---------------------------------------------------------------------------------------- */

static void print_settings(const hb_diff *d)
{
    cli_print(d->n_settings ? "Settings that differ\n" : "All settings are the same\n");
    for (size_t i = 0; i < d->n_settings; i++) {
        const hb_changed_setting *s = &d->settings[i];
        cli_print("  %s\n", s->name);
        for (int r = 0; r < 2; r++)
            cli_print("    %c  %s\n", 'A' + r, s->values[r] ? s->values[r] : "none");
    }
}

static void print_auroc(const hb_compared_result *s, int r)
{
    const char *sign = s->direction[r] == HB_DIRECTION_AUTO ? "" : hb_direction_sign(s->direction[r]);
    if (isnan(s->auroc[r])) cli_print("  %-24s", "unknown");
    else if (isnan(s->interval[r].lower)) cli_print("  %.3f %-18s", s->auroc[r], sign);
    else
        cli_print("  %.3f [%.3f, %.3f] %-2s", s->auroc[r], s->interval[r].lower, s->interval[r].upper,
                  sign);
}

static void print_scores(const hb_diff *d)
{
    if (d->n_scores) cli_print("%-24s  %-24s  %-24s", "AUROC [95 %]", "A", "B");
    if (d->n_scores) cli_print("%s\n", d->untested ? "" : "  A - B   p        p (Holm)");
    for (size_t i = 0; i < d->n_scores; i++) {
        const hb_compared_result *s = &d->scores[i];
        cli_print("  %-22.22s", s->name);
        print_auroc(s, 0);
        print_auroc(s, 1);
        if (!isnan(s->difference.p))
            cli_print("  %+.3f  %-7.2g  %.2g", s->difference.difference, s->difference.p, s->p_holm);
        cli_print("\n");
    }
}

static void print_samples(const hb_diff *d)
{
    cli_print("Samples: %zu in A, %zu in B", d->n[0], d->n[1]);
    if (d->n_shared) cli_print(", %zu in both", d->n_shared);
    if (d->n_relabelled) cli_print(", %zu of them with different labels", d->n_relabelled);
    cli_print("\n");
    if (d->untested) cli_print("No paired test: %s\n", d->untested);
    else
        cli_print("A - B and p: on the samples in both, %s\n",
                  d->n_relabelled ? "by a paired test for labels that differ (Obuchowski)"
                                  : "by DeLong's paired test");
    if (!d->n_scores) cli_print("No score is in both\n");
}

/* ---- JSON ---------------------------------------------------------------------------------------- */

static void write_side(hb_json *json, const char *key, const hb_compared_result *s, int r)
{
    const hb_interval *i = &s->interval[r];
    hb_json_row(json, key);
    hb_json_number(json, "auroc", s->auroc[r]);
    hb_json_number(json, "lower", i->lower);
    hb_json_number(json, "upper", i->upper);
    hb_json_text(json, "direction",
                 s->direction[r] == HB_DIRECTION_AUTO ? NULL : hb_direction_sign(s->direction[r]));
    hb_json_end(json);
}

static void write_score(hb_json *json, const hb_compared_result *s)
{
    hb_json_object(json, s->name);
    write_side(json, "a", s, 0);
    write_side(json, "b", s, 1);
    hb_json_number(json, "difference", s->difference.difference);
    hb_json_number(json, "se", s->difference.se);
    hb_json_number(json, "p", s->difference.p);
    hb_json_number(json, "p_holm", s->p_holm);
    hb_json_end(json);
}

static int print_json(char *const paths[2], const hb_diff *d)
{
    hb_json json = {0};
    hb_json_object(&json, NULL);
    hb_json_text(&json, "a", paths[0]);
    hb_json_text(&json, "b", paths[1]);
    hb_json_object(&json, "settings");
    for (size_t i = 0; i < d->n_settings; i++) {
        hb_json_row(&json, d->settings[i].name);
        hb_json_text(&json, "a", d->settings[i].values[0]);
        hb_json_text(&json, "b", d->settings[i].values[1]);
        hb_json_end(&json);
    }
    hb_json_end(&json);
    hb_json_row(&json, "samples");
    hb_json_whole(&json, "a", (int64_t)d->n[0]);
    hb_json_whole(&json, "b", (int64_t)d->n[1]);
    hb_json_whole(&json, "shared", (int64_t)d->n_shared);
    hb_json_whole(&json, "relabelled", (int64_t)d->n_relabelled);
    hb_json_end(&json);
    hb_json_object(&json, "scores");
    for (size_t i = 0; i < d->n_scores; i++) write_score(&json, &d->scores[i]);
    hb_json_end(&json);
    hb_json_text(&json, "untested", d->untested);
    hb_json_end(&json);
    return cli_print_json(&json);
}

/* ---- Running ------------------------------------------------------------------------------------- */

/* Refuses runs whose answers would be graded by different rules. */
static int refuse_gradings(char **paths, const hb_grading *a, const hb_grading *b)
{
    char texts[2][CLI_GRADING_BYTES];
    if (!a || !b || hb_grading_same(a, b)) return CLI_DONE;
    cli_grading_describe(a, texts[0]);
    cli_grading_describe(b, texts[1]);
    cli_message("%s is graded by %s, and %s by %s; --grade and --abstain-as grade both alike", paths[0],
                texts[0], paths[1], texts[1]);
    return CLI_FAILED;
}

/* Uses the grading of the run that has answers to grade. */
static int diff_open_runs(const differing *o, char **paths, hb_run *const runs[2], hb_diff *diff)
{
    hb_error err;
    cli_grading gradings[2] = {o->grading, o->grading};
    const hb_grading *used[2];
    for (int r = 0; r < 2; r++) {
        hb_run_counts counts;
        if (hb_run_count(runs[r], &counts, &err)) return cli_fail(&err);
        int code = cli_grading_use(&gradings[r], runs[r], paths[r], &counts, &used[r]);
        if (code) return code;
    }
    int code = refuse_gradings(paths, used[0], used[1]);
    if (code) return code;
    const hb_grading *grading = used[0] ? used[0] : used[1];
    return hb_diff_runs(runs[0], runs[1], grading, diff, &err) ? cli_fail(&err) : CLI_DONE;
}

static int diff_runs(const differing *o, char **paths, hb_diff *diff)
{
    hb_error err;
    hb_run *runs[2] = {NULL, NULL};
    int code = CLI_DONE;
    for (int r = 0; r < 2 && !code; r++)
        if (hb_run_open(paths[r], &runs[r], &err)) code = cli_fail(&err);
    if (!code) code = diff_open_runs(o, paths, runs, diff);
    hb_run_close(runs[0]);
    hb_run_close(runs[1]);
    return code;
}

/* Refuses a run and something else; a file that cannot be read is named as such. */
static int refuse_mixed(const cli_command *command, const char *run, const char *other)
{
    if (access(other, R_OK) == 0)
        return cli_usage(command,
                         "%s is a run, and %s is not; hbar sweep --run makes parameters of a run", run,
                         other);
    cli_message("%s: %s", other, strerror(errno));
    return CLI_FAILED;
}

static int find_diff(const cli_command *command, const differing *o, char **paths, hb_diff *diff)
{
    hb_error err;
    bool is_run[2] = {cli_is_run(paths[0]), cli_is_run(paths[1])};
    if (is_run[0] && is_run[1]) return diff_runs(o, paths, diff);
    if (is_run[0] != is_run[1]) return refuse_mixed(command, paths[is_run[1]], paths[is_run[0]]);
    if (o->grading.rule_given)
        return cli_usage(command, "--grade goes with runs; %s is not a run", paths[0]);
    return hb_diff_files(paths[0], paths[1], diff, &err) ? cli_fail(&err) : CLI_DONE;
}

static int print(const differing *o, char **paths, const hb_diff *d)
{
    if (o->json) return print_json(paths, d);
    cli_print("A  %s\n", paths[0]);
    cli_print("B  %s\n", paths[1]);
    print_settings(d);
    print_scores(d);
    print_samples(d);
    return CLI_DONE;
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    differing o = {0};
    hb_diff diff;
    char **paths;
    size_t n;
    int code;
    cli_grading_add(&options, &o.grading);
    cli_add_common(&options, &o.quiet, &o.json);
    if (!cli_parse_many(command, &options, argc, argv, &paths, &n, &code)) return code;
    if (!cli_grading_check(command, &o.grading, &code)) return code;
    if (n != 2) return cli_usage(command, "two files are compared, not %zu", n);
    if (!*paths[0] || !*paths[1]) return cli_usage(command, "FILE is empty");
    code = find_diff(command, &o, paths, &diff);
    if (code) return code;
    code = print(&o, paths, &diff);
    hb_diff_free(&diff);
    return code;
}

const cli_command cli_diff = {
    .name = "diff",
    .operand = "FILE FILE",
    .summary = "compare two runs, or two parameters or validations",
    .details =
        "Shows the settings that differ, and the AUROC of each score that both have. Each AUROC is "
        "that of the direction that ranks better. Two runs that share samples are compared by DeLong's "
        "paired test, adjusted for the number of scores (Holm). Samples match by their place in the "
        "data or, if the data differ, by their prompts.",
    .run = run,
};
