#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cli/cli.h"

const cli_command *const cli_commands[] = {
    &cli_generate, &cli_judge,   &cli_calibrate, &cli_score, &cli_sweep, &cli_validate,
    &cli_report,   &cli_runs,    &cli_diff,      &cli_label, &cli_merge, &cli_export,
    &cli_tokenize, &cli_inspect, &cli_doctor,    &cli_serve, &cli_help,  NULL};

const cli_command *cli_find_command(const char *name)
{
    const cli_command *const *c = cli_commands;
    while (*c && strcmp((*c)->name, name) != 0) c++;
    return *c;
}

void cli_print_commands(FILE *out)
{
    fputs("Usage: hbar COMMAND [OPTIONS]\n\n" CLI_ABOUT "\n\nCommands:\n", out);
    for (const cli_command *const *c = cli_commands; *c; c++)
        fprintf(out, "  %-10s  %s\n", (*c)->name, (*c)->summary);
    fputs("\nhbar COMMAND --help explains a command; hbar --version prints the version.\n\n"
          "Exit codes: 0 done, 1 failed, 2 bad usage, 130 interrupted.\n",
          out);
}

const char *cli_program = "hbar";

/* Opens placeholders for those of the descriptors 0, 1 and 2 that are closed. Otherwise the next opened
 * file would get such a number, and messages or results would be written into it. Each placeholder is
 * opened in the wrong direction, so that using it fails: a result that cannot be written is an error.
 */
static bool occupy_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
        if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) return false;
    }
    return true;
}

/* The usual buffer of standard output is allocated at the first write, and glibc loses text when that
 * fails. */
static void give_output_a_buffer(void)
{
    static char buffer[BUFSIZ];
    setvbuf(stdout, buffer, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, sizeof buffer);
}

int main(int argc, char **argv)
{
    if (!occupy_standard_descriptors()) return CLI_FAILED;
    give_output_a_buffer();
    cli_catch_faults();
    if (argc > 0) cli_program = argv[0];
    if (argc < 2) {
        cli_print_commands(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        cli_print_commands(stdout);
        return cli_finish_output(CLI_DONE);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("hbar %s\n", hb_version());
        return cli_finish_output(CLI_DONE);
    }
    const cli_command *command = cli_find_command(argv[1]);
    if (command) return cli_finish_output(command->run(command, argc - 1, argv + 1));
    cli_message("'%s' is not a command; see hbar --help", argv[1]);
    return CLI_USAGE;
}
