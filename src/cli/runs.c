/* hbar runs: lists the results in a folder. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>
#include "cli/cli.h"

/* Results of this folder are shown without its path. */
#define HERE "."

static const char *shown_path(const hb_result *r)
{
    return strncmp(r->path, HERE "/", 2) == 0 ? r->path + 2 : r->path;
}

/* ---- Text ---------------------------------------------------------------------------------------- */

static void print_headline(const hb_result *r)
{
    if (r->score && isfinite(r->tau))
        cli_print(", %s %s %.4g", r->score, hb_direction_sign(r->direction), r->tau);
    if (isfinite(r->auroc)) cli_print(", AUROC %.3f", r->auroc);
    if (isfinite(r->interval.lower)) cli_print(" [%.3f, %.3f]", r->interval.lower, r->interval.upper);
}

static void print_result(const hb_result *r)
{
    cli_print("%-10s  %s\n", hb_result_kind_name(r->kind), shown_path(r));
    if (r->kind == HB_RESULT_DAMAGED) {
        cli_print("            %s\n", r->reason);
        return;
    }
    cli_print("            %s, %s: ", r->model ? r->model : "no model", r->data ? r->data : "no data");
    if (r->shards) cli_print("shard %d/%d, ", r->shard, r->shards);
    cli_print("%llu", (unsigned long long)r->n_scored);
    if (r->n_drawn) cli_print(" of %llu", (unsigned long long)r->n_drawn);
    cli_print(" samples");
    if (isfinite(r->hallucination_rate))
        cli_print(", %.1f %% hallucinated", 100 * r->hallucination_rate);
    if (r->grade) cli_print(" (by %s)", r->grade);
    print_headline(r);
    if (r->created) cli_print(", %s", r->created);
    cli_print("\n");
}

/* ---- JSON ---------------------------------------------------------------------------------------- */

static void write_interval(hb_json *json, const hb_interval *i)
{
    if (!isfinite(i->lower)) {
        hb_json_null(json, "interval");
        return;
    }
    hb_json_list(json, "interval");
    hb_json_number(json, NULL, i->lower);
    hb_json_number(json, NULL, i->upper);
    hb_json_end(json);
}

static void write_result(hb_json *json, const hb_result *r)
{
    hb_json_object(json, NULL);
    hb_json_text(json, "kind", hb_result_kind_name(r->kind));
    hb_json_text(json, "path", shown_path(r));
    hb_json_text(json, "reason", r->reason);
    if (r->kind != HB_RESULT_DAMAGED) {
        hb_json_text(json, "model", r->model);
        hb_json_text(json, "data", r->data);
        hb_json_whole(json, "samples", (int64_t)r->n_drawn);
        hb_json_whole(json, "scored", (int64_t)r->n_scored);
        hb_json_whole(json, "shard", r->shard);
        hb_json_whole(json, "shards", r->shards);
        hb_json_number(json, "hallucination_rate", r->hallucination_rate);
        hb_json_text(json, "grade", r->grade);
        hb_json_text(json, "score", r->score);
        hb_json_text(json, "direction",
                     r->direction == HB_DIRECTION_AUTO ? NULL : hb_direction_sign(r->direction));
        hb_json_number(json, "tau", r->tau);
        hb_json_number(json, "auroc", r->auroc);
        write_interval(json, &r->interval);
        hb_json_text(json, "created", r->created);
    }
    hb_json_end(json);
}

/* ---- Running ------------------------------------------------------------------------------------- */

static void print_list(const hb_result_list *list)
{
    for (size_t i = 0; i < list->n; i++) print_result(&list->list[i]);
}

static int print_json(const hb_result_list *lists, size_t n)
{
    hb_json json = {0};
    hb_json_object(&json, NULL);
    hb_json_array(&json, "results");
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < lists[k].n; i++) write_result(&json, &lists[k].list[i]);
    hb_json_end(&json);
    hb_json_end(&json);
    return cli_print_json(&json);
}

/* Lists `dir` or, if it is NULL, the folders where commands store results by default and by name. */
static int list(const char *dir, bool quiet, bool as_json)
{
    const char *dirs[2] = {dir ? dir : HERE, CLI_PARAMS_DIR};
    size_t n = dir || access(CLI_PARAMS_DIR, F_OK) != 0 ? 1 : 2, found = 0;
    hb_result_list lists[2] = {{0}, {0}};
    hb_error err;
    int code = CLI_DONE;
    for (size_t k = 0; k < n && !code; k++) {
        if (hb_results_list(dirs[k], &lists[k], &err)) code = cli_fail(&err);
        found += lists[k].n;
    }
    for (size_t k = 0; k < n && !code && !as_json; k++) print_list(&lists[k]);
    if (!code && as_json) code = print_json(lists, n);
    if (!code && !found && !quiet)
        cli_message("no runs, parameters or validations in %s%s", dirs[0],
                    n > 1 ? " and " CLI_PARAMS_DIR : "");
    for (size_t k = 0; k < n; k++) hb_result_list_free(&lists[k]);
    return code;
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    bool quiet = false, as_json = false;
    const char *dir;
    int code;
    cli_add_common(&options, &quiet, &as_json);
    if (!cli_parse(command, &options, argc, argv, &dir, &code)) return code;
    if (dir && !*dir) return cli_usage(command, "DIR is empty");
    return list(dir, quiet, as_json);
}

const cli_command cli_runs = {
    .name = "runs",
    .operand = "[DIR]",
    .summary = "list the runs, parameters and validations of a folder",
    .details =
        "Lists each result with its model, its data, the number of samples, the rate of hallucinations "
        "and the rule by which answers were graded. Parameters and validations also have the "
        "threshold, and the AUROC with its 95 % interval. A file that cannot be read is listed with "
        "the reason. Without DIR, hbar looks in this folder and in " CLI_PARAMS_DIR " in it.",
    .run = run,
};
