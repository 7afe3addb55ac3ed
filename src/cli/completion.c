/* Completions for bash, zsh and fish, from the tables of options. The names of options and choices are
 * words without special characters. */
#include <string.h>
#include "cli/cli.h"

/* What a shell completes in place of a placeholder such as "FILE". */
typedef enum completed { NOTHING, FILES, DIRECTORIES, COMMANDS } completed;

static completed completed_by(const char *placeholder)
{
    if (!placeholder) return NOTHING;
    if (strstr(placeholder, "FILE")) return FILES;
    if (strstr(placeholder, "COMMAND")) return COMMANDS;
    return strcmp(placeholder, "DIR") == 0 ? DIRECTORIES : NOTHING;
}

/* Whether it is a flag that takes --FLAG=true and --FLAG=false, and not one like --help. */
static bool is_switch(const cli_option *o)
{
    return o->kind == CLI_FLAG && o->target;
}

/* Puts `with` before each character of `text` that is one of `special`. */
static void put_escaped(const char *text, const char *special, const char *with)
{
    for (; *text; text++) {
        if (strchr(special, *text)) cli_put(with);
        cli_write(text, 1);
    }
}

static void put_choices(const cli_option *o)
{
    for (int i = 0; o->choices[i]; i++) cli_print("%s%s", i ? " " : "", o->choices[i]);
}

static void put_commands(void)
{
    for (const cli_command *const *c = cli_commands; *c; c++)
        cli_print("%s%s", c == cli_commands ? "" : " ", (*c)->name);
}

/* ---- bash ---------------------------------------------------------------------------------------- */

static void put_bash_name(const cli_option *o, const char *heading)
{
    (void)heading;
    cli_print(" --%s", o->name);
    if (o->letter) cli_print(" -%c", o->letter);
}

static void put_bash_value(const cli_option *o, const char *heading)
{
    static const char *const actions[] = {
        [NOTHING] = "", [FILES] = "compopt -o default; ", [DIRECTORIES] = "compopt -o dirnames; "};
    (void)heading;
    if (o->kind == CLI_FLAG) return;
    cli_print("        --%s", o->name);
    if (o->letter) cli_print(" | -%c", o->letter);
    cli_put(") ");
    if (o->kind == CLI_CHOICE) {
        cli_put("_hbar_words '");
        put_choices(o);
        cli_put("'; ");
    } else cli_put(actions[completed_by(o->argument)]);
    cli_put("return ;;\n");
}

static void write_bash(const cli_command *command, const cli_options *options)
{
    static const char *const operands[] = {
        [FILES] = "        operand=files\n", [COMMANDS] = "        operand=commands\n", [NOTHING] = ""};
    cli_print("    %s)\n", command->name);
    cli_put("        options='");
    cli_walk_options(options, put_bash_name);
    cli_put("'\n");
    cli_put(operands[completed_by(command->operand)]);
    cli_put("        case $prev in\n");
    cli_walk_options(options, put_bash_value);
    cli_put("        esac\n"
            "        if [[ $value ]]; then\n"
            "            _hbar_words 'true false'\n"
            "            return\n"
            "        fi ;;\n");
}

int cli_write_program_bash(void)
{
    cli_put("# Completion of hbar for bash, written by: hbar help --format bash\n"
            "_hbar_words() {\n"
            "    mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\")\n"
            "}\n\n"
            "_hbar() {\n"
            "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
            "    local options operand= value= commands='");
    put_commands();
    cli_put("'\n"
            "    COMPREPLY=()\n"
            "    # --option=value is three words.\n"
            "    if [[ $cur == '=' ]]; then\n"
            "        cur= value=1\n"
            "    elif [[ $prev == '=' ]]; then\n"
            "        prev=${COMP_WORDS[COMP_CWORD - 2]} value=1\n"
            "    fi\n"
            "    if ((COMP_CWORD == 1)); then\n"
            "        _hbar_words \"$commands --help --version\"\n"
            "        return\n"
            "    fi\n"
            "    case ${COMP_WORDS[1]} in\n");
    int code = cli_show_commands(write_bash);
    cli_put("    *) return ;;\n"
            "    esac\n"
            "    if [[ $operand == files && $cur != -* ]]; then\n"
            "        compopt -o default\n"
            "    elif [[ $operand == commands && $cur != -* ]]; then\n"
            "        _hbar_words \"$commands\"\n"
            "    else\n"
            "        _hbar_words \"$options\"\n"
            "    fi\n"
            "}\n\n"
            "complete -F _hbar hbar\n");
    return code;
}

/* ---- zsh ----------------------------------------------------------------------------------------- */

/* Text in single quotes, for a word in which a backslash protects the characters of `special`. */
static void put_zsh(const char *text, const char *special)
{
    for (; *text; text++) {
        if (*text == '\'') cli_put("'\\'"); /* with the quote that follows: '\'' */
        else if (strchr(special, *text)) cli_put("\\");
        cli_write(text, 1);
    }
}

static void put_zsh_action(const char *placeholder)
{
    static const char *const actions[] = {
        [NOTHING] = " ", [FILES] = "_files", [DIRECTORIES] = "_files -/", [COMMANDS] = "("};
    completed by = completed_by(placeholder);
    cli_put(actions[by]);
    if (by != COMMANDS) return;
    put_commands();
    cli_put(")");
}

/* The opening quote and the description of a specification: '[the model] */
static void put_zsh_words(const cli_option *o)
{
    char text[CLI_OPTION_TEXT];
    cli_put("'[");
    cli_option_text(o, text, sizeof text);
    put_zsh(text, "\\[]");
    cli_put("]");
}

static void put_zsh_value(const cli_option *o)
{
    char argument[64];
    cli_option_argument(o, argument, sizeof argument);
    cli_put(":");
    put_zsh(o->kind == CLI_CHOICE ? o->name : argument, "\\:");
    cli_put(o->kind == CLI_CHOICE ? ":(" : ":");
    if (o->kind == CLI_CHOICE) put_choices(o);
    else put_zsh_action(argument);
    if (o->kind == CLI_CHOICE) cli_put(")");
}

/* --exact=-'[help]::value:(true false)'. Only the long name takes the value. */
static void put_zsh_switch(const cli_option *o)
{
    if (o->letter) {
        cli_print("'(-%c --%s)'-%c", o->letter, o->name, o->letter);
        put_zsh_words(o);
        cli_put("' \\\n            ");
        cli_print("'(-%c --%s)'", o->letter, o->name);
    }
    cli_print("--%s=-", o->name);
    put_zsh_words(o);
    cli_put("::value:(true false)'");
}

/* '(-m --model)'{-m+,--model=}'[the model]:FILE:_files' */
static void put_zsh_option(const cli_option *o, const char *heading)
{
    bool flag = o->kind == CLI_FLAG;
    (void)heading;
    cli_put(" \\\n            ");
    if (is_switch(o)) {
        put_zsh_switch(o);
        return;
    }
    if (o->kind == CLI_LIST) cli_put("'*'");
    else if (o->letter) cli_print("'(-%c --%s)'", o->letter, o->name);
    if (o->letter) cli_print("{-%c%s,--%s%s}", o->letter, flag ? "" : "+", o->name, flag ? "" : "=");
    else cli_print("--%s%s", o->name, flag ? "" : "=");
    put_zsh_words(o);
    if (!flag) put_zsh_value(o);
    cli_put("'");
}

/* An operand that cannot be completed is left out: its message would keep zsh from completing options.
 */
static void put_zsh_operand(const char *operand)
{
    if (completed_by(operand) == NOTHING) return;
    bool several = strstr(operand, "...") || strchr(operand, ' ');
    cli_put(several ? " \\\n            '*:" : " \\\n            '1:");
    put_zsh(operand, "\\:");
    cli_put(":");
    put_zsh_action(operand);
    cli_put("'");
}

static void write_zsh(const cli_command *command, const cli_options *options)
{
    cli_print("    %s)\n", command->name);
    cli_put("        _arguments -s -S");
    cli_walk_options(options, put_zsh_option);
    put_zsh_operand(command->operand);
    cli_put(" ;;\n");
}

int cli_write_program_zsh(void)
{
    cli_put("#compdef hbar\n"
            "# Completion of hbar for zsh, written by: hbar help --format zsh\n\n"
            "_hbar() {\n"
            "    local -a commands\n"
            "    commands=(\n");
    for (const cli_command *const *c = cli_commands; *c; c++) {
        cli_print("        '%s:", (*c)->name);
        put_zsh((*c)->summary, "\\");
        cli_put("'\n");
    }
    cli_put("    )\n"
            "    if (( CURRENT == 2 )); then\n"
            "        _describe -t commands command commands\n"
            "        _arguments '(- *)--help[show help]' '(- *)--version[print the version]'\n"
            "        return\n"
            "    fi\n"
            "    shift words\n"
            "    (( CURRENT-- ))\n"
            "    case $words[1] in\n");
    int code = cli_show_commands(write_zsh);
    cli_put("    esac\n"
            "}\n\n"
            "if [[ $funcstack[1] == _hbar ]]; then\n"
            "    _hbar \"$@\"\n"
            "else\n"
            "    compdef _hbar hbar\n"
            "fi\n");
    return code;
}

/* ---- fish ---------------------------------------------------------------------------------------- */

/* The command whose lines are written. */
static const char *fish_command;

static void put_fish_action(const char *placeholder)
{
    static const char *const actions[] = {[NOTHING] = " -x",
                                          [FILES] = " -r -F",
                                          [DIRECTORIES] = " -x -a '(__fish_complete_directories)'"};
    cli_put(actions[completed_by(placeholder)]);
}

static void put_fish_description(const char *text)
{
    cli_put(" -d '");
    put_escaped(text, "\\'", "\\");
    cli_put("'\n");
}

static void put_fish_option(const cli_option *o, const char *heading)
{
    char text[CLI_OPTION_TEXT];
    (void)heading;
    cli_print("complete -c hbar -n '__hbar_command %s' -l %s", fish_command, o->name);
    if (o->letter) cli_print(" -s %c", o->letter);
    if (o->kind == CLI_CHOICE) {
        cli_put(" -x -a '");
        put_choices(o);
        cli_put("'");
    } else if (is_switch(o)) cli_put(" -a 'true false'");
    else if (o->kind != CLI_FLAG) put_fish_action(o->argument);
    cli_option_text(o, text, sizeof text);
    put_fish_description(text);
}

static void write_fish(const cli_command *command, const cli_options *options)
{
    completed by = completed_by(command->operand);
    fish_command = command->name;
    if (by == FILES) cli_print("complete -c hbar -n '__hbar_command %s' -F\n", command->name);
    if (by == COMMANDS) {
        cli_print("complete -c hbar -n '__hbar_command %s' -a '", command->name);
        put_commands();
        cli_put("'\n");
    }
    cli_walk_options(options, put_fish_option);
}

int cli_write_program_fish(void)
{
    cli_put("# Completion of hbar for fish, written by: hbar help --format fish\n"
            "function __hbar_command\n"
            "    set -l words (commandline -opc)\n"
            "    test (count $words) -gt 1; and test \"$words[2]\" = \"$argv[1]\"\n"
            "end\n\n"
            "complete -c hbar -f\n"
            "complete -c hbar -n __fish_is_first_arg -l help -s h -d 'show help'\n"
            "complete -c hbar -n __fish_is_first_arg -l version -d 'print the version'\n");
    for (const cli_command *const *c = cli_commands; *c; c++) {
        cli_print("complete -c hbar -n __fish_is_first_arg -a %s", (*c)->name);
        put_fish_description((*c)->summary);
    }
    return cli_show_commands(write_fish);
}
