#include <stdio.h>
#include <string.h>
#include "cli/cli.h"

static const cli_command *const commands[] = {&cli_generate, &cli_calibrate, &cli_score,
                                              &cli_sweep,    &cli_validate,  &cli_export,
                                              &cli_tokenize, &cli_inspect};
#define N_COMMANDS (sizeof commands / sizeof *commands)

static void print_help(FILE *out)
{
    fprintf(
        out,
        "Usage: hbar COMMAND [OPTIONS]\n\n"
        "Runs a local language model, watches its uncertainty token by token, and stops it before it\n"
        "makes something up.\n\nCommands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-10s  %s\n", commands[i]->name, commands[i]->summary);
    fprintf(out,
            "\n  hbar COMMAND --help  explains a command\n  hbar --version       prints the version\n\n"
            "Exit codes: 0 done, 1 failed, 2 bad usage, 130 interrupted.\n");
}

const char *cli_program = "hbar";

int main(int argc, char **argv)
{
    if (argc > 0) cli_program = argv[0];
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return cli_finish_output(CLI_DONE);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("hbar %s\n", hb_version());
        return cli_finish_output(CLI_DONE);
    }
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(argv[1], commands[i]->name) == 0)
            return cli_finish_output(commands[i]->run(commands[i], argc - 1, argv + 1));
    cli_message("'%s' is not a command; see hbar --help", argv[1]);
    return CLI_USAGE;
}
