#include "cli/cli.h"

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    cli_pass1 pass;
    const char *operand;
    int code;
    cli_pass1_add(&options, &pass);
    if (!cli_parse(command, &options, argc, argv, &operand, &code)) return code;
    code = cli_pass1_run(command, &pass);
    if (!code && pass.json) code = cli_print_json(cli_pass1_json(&pass), JSON_INDENT(2));
    cli_pass1_close(&pass);
    return code;
}

const cli_command cli_score = {
    .name = "score",
    .summary = "pass 1 alone: generate once for each sample and keep its scores",
    .details =
        "Generates once for each sample of the data, greedily and with halting off, and keeps its "
        "scores,\n"
        "text and timing in a run, an SQLite file. Run again, the same command continues where it was\n"
        "interrupted. Then: hbar sweep --run FILE, or hbar export --run FILE.",
    .run = run,
};
