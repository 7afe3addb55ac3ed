/* Prints --help from the table of options, and shows that table to the writers of other forms. */
#include <stdio.h>
#include <string.h>
#include "cli/cli.h"

/* Line width, column of the option descriptions, and the number of options above which help shows
 * headings. */
enum { WIDTH = 80, HELP_COLUMN = 28, MANY = 12 };

static const char *const headings[CLI_N_GROUPS] = {
    [CLI_GROUP_MODEL] = "Model",         [CLI_GROUP_CHAT] = "Chat",
    [CLI_GROUP_DATA] = "Data",           [CLI_GROUP_SCORES] = "Scores",
    [CLI_GROUP_THRESHOLD] = "Threshold", [CLI_GROUP_GENERATION] = "Generation",
    [CLI_GROUP_SERVER] = "Server",       [CLI_GROUP_RESOURCES] = "Resources",
    [CLI_GROUP_OUTPUT] = "Output",
};

/* Prints text from `column` on, breaking lines between words; lines after the first begin at `indent`.
 */
static void print_wrapped(const char *text, size_t column, size_t indent)
{
    for (bool first = true; *text; first = false) {
        size_t length = strcspn(text, " ");
        if (!first && column + 1 + length > WIDTH) {
            cli_write("\n", 1);
            cli_print("%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            cli_write(" ", 1);
            column++;
        }
        cli_write(text, length);
        column += length;
        text += length + strspn(text + length, " ");
    }
    cli_write("\n", 1);
}

/* ---- Options ------------------------------------------------------------------------------------- */

/* Appends the choices to `text` [size], which has room for them: they are our own. */
static void add_choices(char *text, size_t size, const cli_option *o, const char *between)
{
    for (int i = 0; o->choices[i]; i++) {
        size_t n = strlen(text);
        snprintf(text + n, size - n, "%s%s", i ? between : "", o->choices[i]);
    }
}

void cli_option_argument(const cli_option *o, char *text, size_t size)
{
    snprintf(text, size, "%s", o->argument ? o->argument : "");
    if (o->kind == CLI_CHOICE && !o->argument) add_choices(text, size, o, "|");
}

/* "  -m, --model FILE" */
static void name_option(const cli_option *o, char *text, size_t size)
{
    char letter[8] = "    ", argument[64];
    if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
    cli_option_argument(o, argument, sizeof argument);
    snprintf(text, size, "  %s--%s%s%s", letter, o->name, *argument ? " " : "", argument);
}

/* A number of bytes with the largest suffix that leaves a whole number, as the option takes it. */
static void print_bytes(char *text, size_t size, uint64_t bytes)
{
    static const char *const suffixes[] = {"", "K", "M", "G", "T"};
    int i = 0;
    for (; i < 4 && bytes && bytes % 1024 == 0; i++) bytes /= 1024;
    snprintf(text, size, "%llu%s", (unsigned long long)bytes, suffixes[i]);
}

/* The default as text; NULL for flags, which have none. */
static const char *default_text(const cli_option *o, char *number, size_t size)
{
    if (o->standard) return o->standard;
    switch (o->kind) {
    case CLI_FLAG:
        return NULL;
    case CLI_TEXT:
        return *(const char **)o->target ? *(const char **)o->target : "none";
    case CLI_LIST:
        return "none";
    case CLI_CHOICE:
        return o->choices[*(int *)o->target];
    case CLI_INT:
        snprintf(number, size, "%d", *(int32_t *)o->target);
        return number;
    case CLI_BYTES:
        print_bytes(number, size, *(uint64_t *)o->target);
        return number;
    case CLI_COUNT:
        snprintf(number, size, "%llu", (unsigned long long)*(uint64_t *)o->target);
        return number;
    case CLI_REAL:
        snprintf(number, size, "%g", *(double *)o->target);
        return number;
    }
    return NULL;
}

void cli_option_default(const cli_option *o, char *text, size_t size)
{
    char number[32];
    const char *standard = default_text(o, number, sizeof number);
    snprintf(text, size, "%s", standard ? standard : "false");
}

void cli_option_text(const cli_option *o, char *text, size_t size)
{
    char number[32];
    const char *standard = default_text(o, number, sizeof number);
    snprintf(text, size, "%s%s", o->help, o->kind == CLI_CHOICE && o->argument ? "; one of " : "");
    if (o->kind == CLI_CHOICE && o->argument) add_choices(text, size, o, ", ");
    size_t n = strlen(text);
    if (o->required) snprintf(text + n, size - n, " (required)");
    else if (standard) snprintf(text + n, size - n, " (default: %s)", standard);
}

static void print_option(const cli_option *o)
{
    char left[96], right[CLI_OPTION_TEXT];
    name_option(o, left, sizeof left);
    cli_option_text(o, right, sizeof right);
    size_t length = strlen(left);
    cli_write(left, length);
    if (length + 2 > HELP_COLUMN) {
        cli_write("\n", 1);
        length = 0;
    }
    cli_print("%*s", (int)(HELP_COLUMN - length), "");
    print_wrapped(right, HELP_COLUMN, HELP_COLUMN);
}

const cli_option cli_common_options[CLI_N_COMMON] = {
    [CLI_COMMON_CONFIG] = {.name = "config",
                           .kind = CLI_TEXT,
                           .argument = "FILE",
                           .help = "take defaults of options from FILE; none: from no file",
                           .standard = "hbar.toml in the working folder, and the user's"},
    [CLI_COMMON_SHOW_CONFIG] = {.name = "show-config",
                                .help = "print the options, their values and where these come from"},
    [CLI_COMMON_HELP] = {.name = "help", .letter = 'h', .help = "show this help"},
};

/* A command with few options shows them in one group, in the order of the table. */
void cli_walk_options(const cli_options *options, cli_option_writer *write)
{
    const char *heading = NULL;
    for (int g = 0; g < CLI_N_GROUPS; g++)
        for (int i = 0; i < options->n; i++) {
            const cli_option *o = &options->list[i];
            bool grouped = options->n > MANY;
            if (grouped ? (int)o->group != g : g > 0) continue;
            const char *own = grouped ? headings[g] : "Options";
            write(o, own == heading ? NULL : own);
            heading = own;
        }
    for (int i = 0; i < CLI_N_COMMON; i++)
        write(&cli_common_options[i], heading || i > 0 ? NULL : "Options");
}

static void print_row(const cli_option *o, const char *heading)
{
    if (heading) {
        cli_write("\n", 1);
        cli_print("%s:\n", heading);
    }
    print_option(o);
}

void cli_write_help(const cli_command *command, const cli_options *options)
{
    const char *operand = command->operand ? command->operand : "";
    cli_print("Usage: hbar %s [OPTIONS]%s%s\n", command->name, *operand ? " " : "", operand);
    cli_write("\n", 1);
    print_wrapped(command->details, 0, 0);
    cli_walk_options(options, print_row);
    cli_write("\n", 1);
    print_wrapped(CLI_ABOUT_FLAGS, 0, 0);
}

/* ---- Other forms --------------------------------------------------------------------------------- */

/* What a command writes for --help. */
static cli_writer *writer = cli_write_help;

void cli_print_help(const cli_command *command, const cli_options *options)
{
    writer(command, options);
}

int cli_show_command(const cli_command *command, cli_writer *write)
{
    char name[64], option[] = "--help";
    char *argv[] = {name, option, NULL};
    snprintf(name, sizeof name, "%s", command->name);
    writer = write;
    int code = command->run(command, 2, argv);
    writer = cli_write_help;
    return code;
}

int cli_show_commands(cli_writer *write)
{
    int code = CLI_DONE;
    for (const cli_command *const *c = cli_commands; *c && !code; c++)
        code = cli_show_command(*c, write);
    return code;
}
