#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

void cli_add(cli_options *options, cli_option option)
{
    if (options->n < CLI_MAX_OPTIONS) options->list[options->n++] = option;
}

void cli_explain(cli_options *options, const char *name, const char *help)
{
    for (int i = 0; i < options->n; i++)
        if (strcmp(options->list[i].name, name) == 0) options->list[i].help = help;
}

void cli_add_common(cli_options *options, bool *quiet, bool *json)
{
    cli_add(options, (cli_option){.name = "quiet",
                                  .letter = 'q',
                                  .target = quiet,
                                  .help = "no progress and no messages but errors"});
    cli_add(
        options,
        (cli_option){.name = "json", .target = json, .help = "print the result as one JSON object"});
}

int cli_usage(const cli_command *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "hbar %s: ", command->name);
    vfprintf(stderr, format, args);
    fprintf(stderr, "; see hbar %s --help\n", command->name);
    va_end(args);
    return CLI_USAGE;
}

/* ---- Help ---------------------------------------------------------------------------------------- */

static void print_option(const cli_option *o)
{
    char left[64];
    int n = o->letter ? snprintf(left, sizeof left, "  -%c, --%s", o->letter, o->name)
                      : snprintf(left, sizeof left, "      --%s", o->name);
    if (o->argument) snprintf(left + n, sizeof left - (size_t)n, " %s", o->argument);
    printf(strlen(left) < 30 ? "%-30s%s\n" : "%s\n                              %s\n", left, o->help);
}

static void print_help(const cli_command *command, const cli_options *options)
{
    printf("Usage: hbar %s [OPTIONS]%s%s\n\n%s\n\nOptions:\n", command->name,
           command->operand ? " " : "", command->operand ? command->operand : "", command->details);
    for (int i = 0; i < options->n; i++) print_option(&options->list[i]);
    printf("  -h, --help                  this help\n");
}

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

/* A count of bytes, a suffix being a power of 1024. */
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

static int bad_value(const cli_command *command, const cli_option *o, const char *text)
{
    const char *number = o->kind == CLI_REAL ? "a number" : "a whole number";
    if (o->kind == CLI_BYTES)
        return cli_usage(command, "--%s: '%s' is not a number of bytes like 512M or 2G", o->name, text);
    if (o->min < -1e15) return cli_usage(command, "--%s: '%s' is not %s", o->name, text, number);
    if (o->max > 1e15 && o->min > 0 && o->min < 1e-15)
        return cli_usage(command, "--%s: '%s' is not %s above 0", o->name, text, number);
    if (o->max > 1e15)
        return cli_usage(command, "--%s: '%s' is not %s of at least %g", o->name, text, number, o->min);
    return cli_usage(command, "--%s: '%s' is not %s from %g to %.10g", o->name, text, number, o->min,
                     o->max);
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
    return cli_usage(command, "--%s: '%s' is not one of %s", o->name, text, known);
}

static int set_value(const cli_command *command, const cli_option *o, const char *text)
{
    uint64_t count;
    double real;
    if (o->given) *o->given = true;
    switch (o->kind) {
    case CLI_FLAG:
        *(bool *)o->target = true;
        return CLI_DONE;
    case CLI_TEXT:
        *(const char **)o->target = text;
        return CLI_DONE;
    case CLI_CHOICE:
        return set_choice(command, o, text);
    case CLI_INT:
    case CLI_COUNT:
        if (!parse_count(text, &count) || (double)count < o->min || (double)count > o->max)
            return bad_value(command, o, text);
        if (o->kind == CLI_INT) *(int32_t *)o->target = (int32_t)count;
        else *(uint64_t *)o->target = count;
        return CLI_DONE;
    case CLI_BYTES:
        if (!parse_bytes(text, o->target) || (double)*(uint64_t *)o->target < o->min ||
            (double)*(uint64_t *)o->target > o->max)
            return bad_value(command, o, text);
        return CLI_DONE;
    case CLI_REAL:
        if (!parse_real(text, &real) || real < o->min || real > o->max)
            return bad_value(command, o, text);
        *(double *)o->target = real;
        return CLI_DONE;
    }
    return CLI_USAGE;
}

/* ---- Parsing ------------------------------------------------------------------------------------- */

enum { HELP = 1000, FIRST_OPTION = 2000 };

/* Fills getopt's tables from ours. */
static void describe(const cli_options *options, struct option *longs, char *shorts)
{
    int n = 0;
    shorts[n++] = ':'; /* a missing argument is told from an unknown option */
    shorts[n++] = 'h';
    for (int i = 0; i < options->n; i++) {
        const cli_option *o = &options->list[i];
        int has = o->kind == CLI_FLAG ? no_argument : required_argument;
        longs[i] = (struct option){o->name, has, NULL, FIRST_OPTION + i};
        if (!o->letter) continue;
        shorts[n++] = o->letter;
        if (has == required_argument) shorts[n++] = ':';
    }
    longs[options->n] = (struct option){"help", no_argument, NULL, HELP};
    longs[options->n + 1] = (struct option){0};
    shorts[n] = '\0';
}

static const cli_option *find_option(const cli_options *options, int code)
{
    if (code >= FIRST_OPTION && code < FIRST_OPTION + options->n)
        return &options->list[code - FIRST_OPTION];
    for (int i = 0; i < options->n; i++)
        if (options->list[i].letter && options->list[i].letter == code) return &options->list[i];
    return NULL;
}

bool cli_parse(const cli_command *command, cli_options *options, int argc, char **argv,
               const char **operand, int *code)
{
    struct option longs[CLI_MAX_OPTIONS + 2];
    char shorts[2 * CLI_MAX_OPTIONS + 3];
    describe(options, longs, shorts);
    *code = CLI_DONE;
    *operand = NULL;
    opterr = 0;
    int c;
    while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        if (c == HELP || c == 'h') {
            print_help(command, options);
            return false;
        }
        const cli_option *o = find_option(options, c);
        if (o) *code = set_value(command, o, optarg);
        else if (c == ':') *code = cli_usage(command, "%s needs a value", argv[optind - 1]);
        else *code = cli_usage(command, "unknown option %s", argv[optind - 1]);
        if (*code) return false;
    }
    if (optind < argc && command->operand) *operand = argv[optind++];
    if (optind < argc) *code = cli_usage(command, "'%s' is one argument too many", argv[optind]);
    return *code == CLI_DONE;
}

int cli_read_operand(const char *operand, hb_buffer *text)
{
    char block[4096];
    size_t n;
    bool ok =
        strcmp(operand, "-") == 0 ? hb_buffer_add(text, "", 0) : hb_buffer_add_text(text, operand);
    if (ok && strcmp(operand, "-") == 0)
        while (ok && (n = fread(block, 1, sizeof block, stdin)) > 0) ok = hb_buffer_add(text, block, n);
    if (ok && !ferror(stdin)) return CLI_DONE;
    cli_message(ok ? "standard input cannot be read" : "out of memory");
    return CLI_FAILED;
}
