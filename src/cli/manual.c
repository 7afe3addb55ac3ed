/* Man pages and the Markdown document, from the tables of options. */
#include <ctype.h>
#include <string.h>
#include "cli/cli.h"

/* ---- Man pages ----------------------------------------------------------------------------------- */

/* Characters that roff would replace, and how it writes them. */
static const char *roff_escape(char c)
{
    switch (c) {
    case '\\':
        return "\\e";
    case '-':
        return "\\-";
    case '\'':
        return "\\(aq";
    case '`':
        return "\\(ga";
    case '^':
        return "\\(ha";
    case '~':
        return "\\(ti";
    }
    return NULL;
}

/* Text within a line. A period at the beginning of a line would be a request. */
static void put_roff(const char *text)
{
    if (*text == '.') cli_put("\\&");
    for (; *text; text++) {
        const char *escape = roff_escape(*text);
        if (escape) cli_put(escape);
        else cli_write(text, 1);
    }
}

static void put_roff_line(const char *text)
{
    put_roff(text);
    cli_put("\n");
}

static void put_roff_italic(const char *before, const char *text)
{
    cli_put(before);
    cli_put("\\fI");
    put_roff(text);
    cli_put("\\fR");
}

static void put_title(const char *name, const char *summary)
{
    cli_print(".TH \"%s\" 1 \"\" \"hbar %s\" \"hbar manual\"\n", name, hb_version());
    cli_put(".SH NAME\n");
    put_roff(name);
    cli_put(" \\- ");
    put_roff_line(summary);
}

static void put_man_option(const cli_option *o, const char *heading)
{
    char argument[64], text[CLI_OPTION_TEXT];
    if (heading && strcmp(heading, "Options") != 0) cli_print(".SS %s\n", heading);
    cli_put(".TP\n");
    if (o->letter) cli_print("\\fB\\-%c\\fR, ", o->letter);
    cli_put("\\fB\\-\\-");
    put_roff(o->name);
    cli_put("\\fR");
    cli_option_argument(o, argument, sizeof argument);
    if (*argument) put_roff_italic(" ", argument);
    cli_put("\n");
    cli_option_text(o, text, sizeof text);
    put_roff_line(text);
}

static void put_exit_status(void)
{
    cli_put(".SH EXIT STATUS\n.TP\n.B 0\ndone\n.TP\n.B 1\nfailed\n.TP\n.B 2\nbad usage\n.TP\n.B 130\n"
            "interrupted\n");
}

void cli_write_man(const cli_command *command, const cli_options *options)
{
    char name[64];
    snprintf(name, sizeof name, "hbar-%s", command->name);
    put_title(name, command->summary);
    cli_put(".SH SYNOPSIS\n");
    cli_print(".B hbar %s\n", command->name);
    put_roff_italic("[", "OPTIONS");
    cli_put("]");
    if (command->operand) put_roff_italic(" ", command->operand);
    cli_put("\n.SH DESCRIPTION\n");
    put_roff_line(command->details);
    cli_put(".SH OPTIONS\n");
    put_roff_line(CLI_ABOUT_FLAGS);
    cli_walk_options(options, put_man_option);
    put_exit_status();
    cli_put(".SH SEE ALSO\n.BR hbar (1)\n");
}

static void put_man_see_also(void)
{
    cli_put(".SH SEE ALSO\n");
    for (const cli_command *const *c = cli_commands; *c; c++)
        cli_print(".BR hbar\\-%s (1)%s\n", (*c)->name, c[1] ? "," : "");
}

int cli_write_program_man(void)
{
    put_title("hbar", "local language models that stop before they make something up");
    cli_put(".SH SYNOPSIS\n.B hbar\n");
    put_roff_italic("", "COMMAND");
    put_roff_italic(" [", "OPTIONS");
    cli_put("]\n.br\n.B hbar \\-\\-version\n.br\n.B hbar \\-\\-help\n.SH DESCRIPTION\n");
    put_roff_line(CLI_ABOUT);
    cli_put(".SH COMMANDS\n");
    for (const cli_command *const *c = cli_commands; *c; c++) {
        cli_put(".TP\n");
        cli_print(".BR hbar\\-%s (1)\n", (*c)->name);
        put_roff_line((*c)->summary);
    }
    put_exit_status();
    put_man_see_also();
    return CLI_DONE;
}

/* ---- Markdown ------------------------------------------------------------------------------------ */

/* An underscore within a word is no markup. */
static bool is_markup(const char *text, size_t i)
{
    bool in_word = i && isalnum((unsigned char)text[i - 1]) && isalnum((unsigned char)text[i + 1]);
    return strchr("\\*<[]`", text[i]) || (text[i] == '_' && !in_word);
}

static void put_markdown(const char *text)
{
    for (size_t i = 0; text[i]; i++) {
        if (is_markup(text, i)) cli_put("\\");
        cli_write(text + i, 1);
    }
}

static void put_markdown_option(const cli_option *o, const char *heading)
{
    char argument[64], text[CLI_OPTION_TEXT];
    if (heading) {
        cli_put("\n");
        cli_print("%s:\n", heading);
        cli_put("\n");
    }
    cli_put("- ");
    if (o->letter) cli_print("`-%c`, ", o->letter);
    cli_option_argument(o, argument, sizeof argument);
    cli_print("`--%s%s%s`: ", o->name, *argument ? " " : "", argument);
    cli_option_text(o, text, sizeof text);
    put_markdown(text);
    cli_put("\n");
}

static void write_markdown(const cli_command *command, const cli_options *options)
{
    const char *operand = command->operand ? command->operand : "";
    cli_put("\n");
    cli_print("## hbar %s\n", command->name);
    cli_put("\n");
    cli_print("`hbar %s [OPTIONS]%s%s`\n", command->name, *operand ? " " : "", operand);
    cli_put("\n");
    put_markdown(command->details);
    cli_put("\n");
    cli_walk_options(options, put_markdown_option);
}

int cli_write_program_markdown(void)
{
    cli_put("# Commands and options\n\n"
            "Written by `hbar help --format markdown`, from the tables that `--help` prints.\n"
            "[usage.md](usage.md) explains what the commands are for.\n\n" CLI_ABOUT_FLAGS "\n\n"
            "| command | |\n| --- | --- |\n");
    for (const cli_command *const *c = cli_commands; *c; c++) {
        cli_print("| [`%s`](#hbar-%s) | ", (*c)->name, (*c)->name);
        put_markdown((*c)->summary);
        cli_put(" |\n");
    }
    return cli_show_commands(write_markdown);
}
