/* hbar help: the same help in other forms, for man and for shells. */
#include <string.h>
#include "cli/cli.h"

static int print_program(void)
{
    cli_print_commands(stdout);
    return CLI_DONE;
}

/* `one` is NULL if the form describes all commands together. */
static const struct form {
    int (*program)(void);
    cli_writer *one;
} forms[] = {
    {print_program, cli_write_help},    {cli_write_program_man, cli_write_man},
    {cli_write_program_markdown, NULL}, {cli_write_program_bash, NULL},
    {cli_write_program_zsh, NULL},      {cli_write_program_fish, NULL},
};
static const char *const form_names[] = {"text", "man", "markdown", "bash", "zsh", "fish", NULL};

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {.group = CLI_GROUP_OUTPUT};
    int form = 0, code;
    const char *name;
    cli_add_choice(&options, "format", 'f', NULL, &form, form_names,
                   "text; a man page; a document on all commands; or the completion for a shell");
    if (!cli_parse(command, &options, argc, argv, &name, &code)) return code;
    if (!name) return forms[form].program();
    const cli_command *one = cli_find_command(name);
    if (!one) return cli_usage(command, "'%s' is not a command", name);
    if (!forms[form].one)
        return cli_usage(command, "--format %s describes all commands; it takes no COMMAND",
                         form_names[form]);
    return cli_show_command(one, forms[form].one);
}

const cli_command cli_help = {
    .name = "help",
    .operand = "[COMMAND]",
    .summary = "show help, as text, man page or completion for a shell",
    .details =
        "Shows the help of hbar or of COMMAND, as --help does. --format bash, zsh or fish writes "
        "what the shell needs to complete commands, options and values, for example: source "
        "<(hbar help --format bash). An installed hbar has its man pages and completions already.",
    .run = run,
};
