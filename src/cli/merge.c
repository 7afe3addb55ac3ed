/* hbar merge: one run of the runs of shards. */
#include <stdlib.h>
#include "cli/cli.h"

typedef struct merging {
    const char *output;
    bool partial, quiet, json;
} merging;

static int print_json(const merging *m, size_t n, const hb_merge_counts *c)
{
    hb_json json = {0};
    hb_json_object(&json, NULL);
    hb_json_text(&json, "run", m->output);
    hb_json_whole(&json, "merged", (int64_t)n);
    hb_json_whole(&json, "samples", (int64_t)c->n_samples);
    hb_json_whole(&json, "missing", (int64_t)c->n_missing);
    hb_json_whole(&json, "repeated", (int64_t)c->n_repeated);
    hb_json_end(&json);
    return cli_print_json(&json);
}

static int merge(const cli_command *command, const merging *m, char **paths, size_t n)
{
    hb_error err;
    hb_merge_counts c;
    hb_merge_options o = hb_merge_defaults();
    o.partial = m->partial;
    o.cancelled = cli_interrupted;
    for (size_t i = 0; i < n; i++) {
        if (!*paths[i]) return cli_usage(command, "RUN is empty");
        if (cli_is_same_file(m->output, paths[i]))
            return cli_usage(command, "--output: %s is one of the runs", m->output);
    }
    cli_catch_interrupts();
    if (hb_run_merge((const char *const *)paths, n, m->output, &o, &c, &err)) return cli_fail(&err);
    if (c.n_repeated && !m->quiet)
        cli_message("%llu samples are in several runs; the first of these runs counts",
                    (unsigned long long)c.n_repeated);
    if (c.n_missing && !m->quiet)
        cli_message("%s lacks %llu of the %llu samples drawn; hbar score without --shard adds them",
                    m->output, (unsigned long long)c.n_missing,
                    (unsigned long long)(c.n_missing + c.n_samples));
    if (c.grades_differ && !m->quiet)
        cli_message("the runs are graded by different rules, so %s names none, and hbar grades it by "
                    "%s; --grade names another",
                    m->output, hb_grade_rule_name(hb_grading_defaults().rule));
    if (m->json) return print_json(m, n, &c);
    cli_print("%llu samples of %zu runs merged into %s\n", (unsigned long long)c.n_samples, n,
              m->output);
    return CLI_DONE;
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    merging m = {0};
    char **paths;
    size_t n;
    int code;
    cli_add_text(&options, "output", 'o', "FILE", &m.output, "the new run, which must not exist")
        ->required = true;
    cli_add_flag(&options, "partial", 0, &m.partial,
                 "accept missing and unfinished shards, and shards given more than once");
    cli_add_common(&options, &m.quiet, &m.json);
    if (!cli_parse_many(command, &options, argc, argv, &paths, &n, &code)) return code;
    return merge(command, &m, paths, n);
}

const cli_command cli_merge = {
    .name = "merge",
    .operand = "RUN...",
    .summary = "make one run of the runs of hbar score --shard",
    .details =
        "Joins the runs of all shards, in any order, into one run. It has the same settings and "
        "samples as a run without shards. The settings of the shards must agree. The runs are only "
        "read, and the new run appears when it is complete.",
    .run = run,
};
