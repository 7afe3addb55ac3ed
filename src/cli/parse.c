/* Parsing of a command's arguments by its table of options. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "cli/cli.h"

/* ---- Values -------------------------------------------------------------------------------------- */

static bool parse_real(const char *text, double *value)
{
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    return end != text && !*end && !errno && isfinite(*value);
}

static bool parse_count(const char *text, uint64_t *value)
{
    char *end;
    if (*text < '0' || *text > '9') return false;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return !*end && !errno;
}

/* A number of bytes; a suffix stands for a power of 1024. */
static bool parse_bytes(const char *text, uint64_t *value)
{
    static const char suffixes[] = "KMGT";
    char digits[24];
    size_t n = strlen(text);
    const char *suffix = n ? strchr(suffixes, text[n - 1]) : NULL;
    if (n >= sizeof digits) return false;
    memcpy(digits, text, n + 1);
    if (suffix) digits[n - 1] = '\0';
    if (!parse_count(digits, value)) return false;
    int shift = suffix ? 10 * (int)(suffix - suffixes + 1) : 0;
    if (*value > UINT64_MAX >> shift) return false;
    *value <<= shift;
    return true;
}

const char cli_given[] = "command line";

/* Reports a bad value of an option, and where it stands. */
__attribute__((format(printf, 3, 4))) static int
refuse_value(const cli_command *command, const cli_option *o, const char *format, ...)
{
    char message[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (o->source == cli_given) return cli_usage(command, "--%s: %s", o->name, message);
    return cli_usage(command, "%s: %s: %s", o->source, o->name, message);
}

static int bad_value(const cli_command *command, const cli_option *o, const char *text)
{
    const char *number = o->kind == CLI_REAL ? "a number" : "a whole number";
    if (o->kind == CLI_BYTES)
        return refuse_value(command, o, "'%s' is not a number of bytes like 512M or 2G", text);
    if (o->max > 1e15 && o->min > 0 && o->min < 1e-15)
        return refuse_value(command, o, "'%s' is not %s above 0", text, number);
    if (o->max > 1e15 && o->min >= 0)
        return refuse_value(command, o, "'%s' is not %s of at least %g", text, number, o->min);
    return refuse_value(command, o, "'%s' is not %s from %g to %.10g", text, number, o->min, o->max);
}

static int set_choice(const cli_command *command, const cli_option *o, const char *text)
{
    char known[512] = "";
    for (int i = 0; o->choices[i]; i++) {
        if (strcmp(text, o->choices[i]) == 0) {
            *(int *)o->target = i;
            return CLI_DONE;
        }
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", o->choices[i]);
    }
    return refuse_value(command, o, "'%s' is not one of %s", text, known);
}

static int add_text(cli_list *list, const char *text)
{
    const char **texts = hb_grown(list->texts, list->n, sizeof *texts, &list->room);
    if (!texts) return cli_fail_memory();
    list->texts = texts;
    list->texts[list->n++] = text;
    return CLI_DONE;
}

static int set_number(const cli_command *command, const cli_option *o, const char *text)
{
    uint64_t count;
    bool ok = o->kind == CLI_BYTES ? parse_bytes(text, &count) : parse_count(text, &count);
    if (!ok || (double)count < o->min || (double)count > o->max) return bad_value(command, o, text);
    if (o->kind == CLI_INT) *(int32_t *)o->target = (int32_t)count;
    else *(uint64_t *)o->target = count;
    return CLI_DONE;
}

/* A flag that stands alone on the command line has no text. */
static int set_flag(const cli_command *command, const cli_option *o, const char *text)
{
    bool on = !text || strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
    if (!on && strcmp(text, "false") != 0 && strcmp(text, "0") != 0)
        return refuse_value(command, o, "'%s' is neither true nor false", text);
    *(bool *)o->target = on;
    if (o->given) *o->given = on;
    return CLI_DONE;
}

int cli_set_option(const cli_command *command, cli_option *o, const char *text)
{
    double real;
    bool refuses_empty = o->argument && (!strcmp(o->argument, "FILE") || !strcmp(o->argument, "WORD"));
    if (refuses_empty && !*text) return refuse_value(command, o, "the value is empty");
    if (o->given) *o->given = true;
    switch (o->kind) {
    case CLI_FLAG:
        return set_flag(command, o, text);
    case CLI_TEXT:
        *(const char **)o->target = text;
        return CLI_DONE;
    case CLI_LIST:
        return add_text(o->target, text);
    case CLI_CHOICE:
        return set_choice(command, o, text);
    case CLI_INT:
    case CLI_COUNT:
    case CLI_BYTES:
        return set_number(command, o, text);
    case CLI_REAL:
        if (!parse_real(text, &real) || real < o->min || real > o->max)
            return bad_value(command, o, text);
        *(double *)o->target = real;
        return CLI_DONE;
    }
    return CLI_USAGE;
}

/* Takes an option from the command line. */
static int take(const cli_command *command, cli_option *o, const char *text)
{
    if (o->source && o->kind != CLI_FLAG && o->kind != CLI_LIST)
        return cli_usage(command, "--%s is given twice but takes one value", o->name);
    o->source = cli_given;
    return cli_set_option(command, o, text);
}

/* ---- Parsing ------------------------------------------------------------------------------------- */

/* getopt's codes of options: the common ones, in their order, then those of the command. */
enum { FIRST_COMMON = 1000, FIRST_OPTION = 2000 };

/* getopt's tables, made from ours. */
typedef struct tables {
    struct option longs[CLI_MAX_OPTIONS + CLI_N_COMMON + 1];
    char shorts[2 * CLI_MAX_OPTIONS + 3];
} tables;

static void describe(const cli_options *options, tables *t)
{
    int n = 0;
    t->shorts[n++] = ':'; /* makes getopt distinguish a missing value from an unknown option */
    t->shorts[n++] = 'h';
    for (int i = 0; i < options->n; i++) {
        const cli_option *o = &options->list[i];
        int has = o->kind == CLI_FLAG ? optional_argument : required_argument;
        t->longs[i] = (struct option){o->name, has, NULL, FIRST_OPTION + i};
        if (!o->letter) continue;
        t->shorts[n++] = o->letter;
        if (has == required_argument) t->shorts[n++] = ':';
    }
    for (int i = 0; i < CLI_N_COMMON; i++) {
        const cli_option *o = &cli_common_options[i];
        int has = o->argument ? required_argument : no_argument;
        t->longs[options->n + i] = (struct option){o->name, has, NULL, FIRST_COMMON + i};
    }
    t->longs[options->n + CLI_N_COMMON] = (struct option){0};
    t->shorts[n] = '\0';
}

/* The common option of a code; NULL: it is none. */
static const cli_option *find_common(int code)
{
    bool is = code >= FIRST_COMMON && code < FIRST_COMMON + CLI_N_COMMON;
    return is ? &cli_common_options[code - FIRST_COMMON] : NULL;
}

static cli_option *find_option(cli_options *options, int code)
{
    if (code >= FIRST_OPTION && code < FIRST_OPTION + options->n)
        return &options->list[code - FIRST_OPTION];
    for (int i = 0; i < options->n; i++)
        if (options->list[i].letter && options->list[i].letter == code) return &options->list[i];
    return NULL;
}

static int refuse_no_value(const cli_command *command, cli_options *options)
{
    const cli_option *common = find_common(optopt);
    if (!common && optopt < FIRST_OPTION) return cli_usage(command, "-%c needs a value", optopt);
    return cli_usage(command, "--%s needs a value",
                     (common ? common : find_option(options, optopt))->name);
}

/* Whether a long option is a prefix of several names. */
static bool is_ambiguous(const cli_options *options, const char *argument)
{
    size_t length = strcspn(argument, "="), n = 0;
    if (length < 3 || strncmp(argument, "--", 2) != 0) return false;
    for (int i = 0; i < options->n; i++)
        if (strncmp(options->list[i].name, argument + 2, length - 2) == 0) n++;
    for (int i = 0; i < CLI_N_COMMON; i++)
        if (strncmp(cli_common_options[i].name, argument + 2, length - 2) == 0) n++;
    return n > 1;
}

/* getopt refused a long option, argv[optind - 1], or the letter `optopt`. A letter stands in
 * argv[optind - 1] if it is the last one there, and else in argv[optind]. */
static int refuse(const cli_command *command, cli_options *options, char **argv)
{
    const char *argument = argv[optind - 1];
    const cli_option *common = find_common(optopt), *o = common ? common : find_option(options, optopt);
    char hint[64] = "";
    if (o) return cli_usage(command, "--%s takes no value", o->name);
    if (command->operand)
        snprintf(hint, sizeof hint, "; a %s that starts with - goes after --", command->operand);
    if (optopt > 0 && optopt < 128 && isalnum(optopt))
        return cli_usage(command, "unknown option -%c%s", optopt, hint);
    if (optopt && (*argument != '-' || argument[strlen(argument) - 1] != (char)optopt))
        argument = argv[optind];
    if (is_ambiguous(options, argument))
        return cli_usage(command, "%s stands for several options", argument);
    return cli_usage(command, strchr(argument, ' ') ? "unknown option '%s'%s" : "unknown option %s%s",
                     argument, hint);
}

/* What the common options ask for. */
typedef struct asked {
    const char *config; /* NULL: no file is named */
    bool help, show_config;
} asked;

/* Takes a common option in the first walk. */
static int take_common(const cli_command *command, int code, asked *a)
{
    if (code == FIRST_COMMON + CLI_COMMON_HELP) a->help = true;
    if (code == FIRST_COMMON + CLI_COMMON_SHOW_CONFIG) a->show_config = true;
    if (code != FIRST_COMMON + CLI_COMMON_CONFIG) return CLI_DONE;
    if (a->config) return cli_usage(command, "--config is given twice but takes one value");
    if (!*optarg) return cli_usage(command, "--config: the value is empty");
    a->config = optarg;
    return CLI_DONE;
}

/* Goes through the options and, where `apply` says so, sets their values. Without it, sets `a` and ends
 * where help is asked for. */
static int walk(const cli_command *command, cli_options *options, const tables *t, int argc,
                char **argv, bool apply, asked *a)
{
    int c, code = CLI_DONE;
    optind = 0; /* restarts getopt in glibc */
    opterr = 0;
    while (!code && !a->help && (c = getopt_long(argc, argv, t->shorts, t->longs, NULL)) != -1) {
        cli_option *o = find_option(options, c);
        if (c == ':') code = refuse_no_value(command, options);
        else if (c == 'h') a->help = true;
        else if (find_common(c)) code = apply ? CLI_DONE : take_common(command, c, a);
        else if (!o) code = refuse(command, options, argv);
        else if (apply) code = take(command, o, optarg);
    }
    return code;
}

static int check_required(const cli_command *command, const cli_options *options, const char *operand)
{
    for (int i = 0; i < options->n; i++)
        if (options->list[i].required && !options->list[i].source)
            return cli_usage(command, "--%s is required", options->list[i].name);
    bool optional = command->operand && *command->operand == '[';
    if (command->operand && !operand && !optional)
        return cli_usage(command, "%s is required", command->operand);
    if (command->operand && strcmp(command->operand, "FILE") == 0 && !*operand)
        return cli_usage(command, "FILE is empty");
    return CLI_DONE;
}

/* The session would refuse this, too, but only when the model is loaded. */
static int check_session(const cli_command *command, const hb_session_options *session)
{
    if (!session || !session->exact || !session->kv_type || session->kv_type == HB_KV_F32)
        return CLI_DONE;
    return cli_usage(command, "--kv-type %s: the cache of an --exact session is %s",
                     hb_kv_type_name(session->kv_type), hb_kv_type_name(HB_KV_F32));
}

/* The first walk sets nothing, so that help finds every default in its place. Settings of files and
 * variables come last: they are for options that the command line leaves out. */
static bool parse_options(const cli_command *command, cli_options *options, int argc, char **argv,
                          int *code)
{
    tables t;
    asked a = {.config = NULL};
    describe(options, &t);
    *code = walk(command, options, &t, argc, argv, false, &a);
    if (!*code && a.help) cli_print_help(command, options);
    if (*code || a.help) return false;
    *code = walk(command, options, &t, argc, argv, true, &a);
    int operands = optind; /* cli_configure may parse for other commands, which changes optind */
    if (!*code) *code = cli_configure(command, options, a.config, a.show_config);
    optind = operands;
    if (!*code && a.show_config) cli_show_config(command, options);
    return !*code && !a.show_config;
}

bool cli_parse(const cli_command *command, cli_options *options, int argc, char **argv,
               const char **operand, int *code)
{
    *operand = NULL;
    if (!parse_options(command, options, argc, argv, code)) return false;
    if (optind < argc && command->operand) *operand = argv[optind++];
    if (optind < argc) *code = cli_usage(command, "unexpected argument '%s'", argv[optind]);
    if (!*code) *code = check_required(command, options, *operand);
    if (!*code) *code = check_session(command, options->session);
    return *code == CLI_DONE;
}

/* getopt has moved the operands to the end of argv. */
bool cli_parse_many(const cli_command *command, cli_options *options, int argc, char **argv,
                    char ***operands, size_t *n, int *code)
{
    if (!parse_options(command, options, argc, argv, code)) return false;
    *operands = argv + optind;
    *n = (size_t)(argc - optind);
    *code = check_required(command, options, *n ? argv[optind] : NULL);
    return *code == CLI_DONE;
}

/* ---- The operand --------------------------------------------------------------------------------- */

/* Longer than any prompt. Without a limit, endless input would use all memory. */
#define MAX_INPUT ((size_t)256 << 20)

static int read_input(hb_buffer *text)
{
    char block[4096];
    size_t n;
    errno = 0;
    while ((n = fread(block, 1, sizeof block, stdin)) > 0) {
        if (!hb_buffer_add(text, block, n)) return cli_fail_memory();
        if (text->length <= MAX_INPUT) continue;
        cli_message("standard input: more than %zu MiB", MAX_INPUT >> 20);
        return CLI_FAILED;
    }
    if (!ferror(stdin)) return CLI_DONE;
    cli_message("standard input: %s", strerror(errno));
    return CLI_FAILED;
}

/* Removes the line end that echo, editors and here-documents add. */
static void drop_line_end(hb_buffer *text)
{
    if (!text->length || text->data[text->length - 1] != '\n') return;
    text->length--;
    if (text->length && text->data[text->length - 1] == '\r') text->length--;
    text->data[text->length] = '\0';
}

int cli_read_operand(const char *operand, hb_buffer *text)
{
    if (strcmp(operand, "-") != 0)
        return hb_buffer_add_text(text, operand) ? CLI_DONE : cli_fail_memory();
    int code = hb_buffer_add(text, "", 0) ? read_input(text) : cli_fail_memory();
    drop_line_end(text);
    return code;
}
