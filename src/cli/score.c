#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

typedef struct tally {
    const hb_grading *grading;
    size_t n, hallucinated;
} tally;

static hb_status count(void *user, const hb_run_sample *sample)
{
    tally *t = user;
    if (!sample->text) return HB_OK;
    int label = hb_run_label(sample, t->grading);
    t->n += label != HB_LABEL_NONE;
    t->hallucinated += label == 1;
    return HB_OK;
}

static int print_json(const cli_pass1 *pass, const tally *t, double rate)
{
    hb_json json = {0};
    hb_json_object(&json, NULL);
    cli_pass1_json(&json, pass);
    hb_json_number(&json, "hallucination_rate", rate);
    hb_json_text(&json, "grade", t->grading ? hb_grade_rule_name(t->grading->rule) : NULL);
    hb_json_number(&json, "accuracy", t->grading ? 1 - rate : NAN);
    hb_json_whole(&json, "abstained", (int64_t)pass->counts.abstained);
    hb_json_end(&json);
    return cli_print_json(&json);
}

/* Prints how many answers are right or how many samples are labelled hallucinated. */
static int print_result(cli_pass1 *pass)
{
    tally t = {0};
    hb_error err;
    int code = cli_grading_use(&pass->grading, pass->run, pass->run_path, &pass->counts, &t.grading);
    if (code) return code;
    if (hb_run_each(pass->run, count, &t, &err)) return cli_fail(&err);
    cli_grading_advise(pass->run, pass->run_path, t.grading, pass->quiet);
    double rate = t.n ? (double)t.hallucinated / (double)t.n : NAN;
    if (pass->json) return print_json(pass, &t, rate);
    return cli_print_rate(t.n, rate, t.grading, pass->counts.abstained);
}

/* Reads a number from 1 to HB_SHARDS_MAX, without a sign or spaces. */
static bool read_number(const char *text, char **end, int32_t *number)
{
    if (*text < '1' || *text > '9') return false;
    errno = 0;
    long value = strtol(text, end, 10);
    *number = (int32_t)value;
    return !errno && value <= HB_SHARDS_MAX;
}

/* Reads "I/N". NULL: no shard is asked for. */
static int read_shard(const cli_command *command, const char *text, hb_dataset_options *o)
{
    char *end;
    if (!text) return CLI_DONE;
    if (read_number(text, &end, &o->shard) && *end == '/' && read_number(end + 1, &end, &o->shards) &&
        !*end && o->shard <= o->shards)
        return CLI_DONE;
    return cli_usage(command, "--shard: '%s' is not I/N with I from 1 to N, at most %d", text,
                     HB_SHARDS_MAX);
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    cli_pass1 pass;
    const char *operand, *shard = NULL;
    int code;
    cli_pass1_add(&options, &pass);
    cli_begin_group(&options, CLI_GROUP_DATA);
    cli_add_text(&options, "shard", 0, "I/N", &shard,
                 "score only part I of N of the samples, in a run of its own; hbar merge joins the N "
                 "runs")
        ->standard = "all samples";
    if (cli_parse(command, &options, argc, argv, &operand, &code)) {
        code = read_shard(command, shard, &pass.data.options);
        if (!code) code = cli_pass1_run(command, &pass);
        if (!code && !pass.joined) code = print_result(&pass);
    }
    cli_pass1_close(&pass);
    return code;
}

const cli_command cli_score = {
    .name = "score",
    .summary = "pass 1 alone: generate once per sample and keep the scores",
    .details =
        "Generates once for each sample of the data, greedily and without halting, and keeps its "
        "scores, text and timing in a run, an SQLite file. Then prints how many samples are "
        "hallucinated. After an interruption the same command continues the run. Several machines "
        "share the work with --shard. Next: hbar "
        "sweep --run FILE, or hbar export --run FILE.",
    .run = run,
};
