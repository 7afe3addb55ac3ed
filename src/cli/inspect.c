#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

typedef struct inspect_options {
    int32_t n_ctx;
    bool quiet, json;
} inspect_options;

static void add_options(cli_options *options, inspect_options *o)
{
    cli_add_int(options, "ctx-size", 0, "N", &o->n_ctx, 1, 1 << 24,
                "context size, in tokens, to report the memory for")
        ->standard = CLI_CONTEXT_STANDARD;
    cli_add_common(options, &o->quiet, &o->json);
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    inspect_options o = {0};
    const char *path;
    char *report;
    int code;
    hb_error err;
    add_options(&options, &o);
    if (!cli_parse(command, &options, argc, argv, &path, &code)) return code;
    hb_status status = o.json ? hb_inspect(path, o.n_ctx, &report, &err)
                              : hb_inspect_text(path, o.n_ctx, &report, &err);
    if (status) return cli_fail(&err);
    cli_write(report, strlen(report));
    if (o.json) cli_write("\n", 1);
    free(report);
    return CLI_DONE;
}

const cli_command cli_inspect = {
    .name = "inspect",
    .operand = "FILE",
    .summary = "show what a model file holds and whether hbar can run it",
    .details = "Prints a GGUF file's metadata, tensors and types, the memory that a context takes, and "
               "whether hbar can run the model, or why not. Arrays and long texts are cut after their "
               "beginning.",
    .run = run,
};
