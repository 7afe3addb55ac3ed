/* The table of options that a command builds. */
#include <assert.h>
#include <string.h>
#include "cli/cli.h"

void cli_begin_group(cli_options *options, cli_group group)
{
    options->group = group;
}

static cli_option *add(cli_options *options, cli_kind kind, const char *name, char letter,
                       const char *argument, void *target, const char *help)
{
    assert(options->n < CLI_MAX_OPTIONS);
    cli_option *row = &options->list[options->n++];
    *row = (cli_option){.name = name,
                        .letter = letter,
                        .kind = kind,
                        .group = options->group,
                        .argument = argument,
                        .target = target,
                        .help = help};
    return row;
}

static cli_option *add_number(cli_options *options, cli_kind kind, const char *name, char letter,
                              const char *argument, void *target, double min, double max,
                              const char *help)
{
    cli_option *row = add(options, kind, name, letter, argument, target, help);
    row->min = min;
    row->max = max;
    return row;
}

cli_option *cli_add_flag(cli_options *options, const char *name, char letter, bool *target,
                         const char *help)
{
    return add(options, CLI_FLAG, name, letter, NULL, target, help);
}

cli_option *cli_add_text(cli_options *options, const char *name, char letter, const char *argument,
                         const char **target, const char *help)
{
    return add(options, CLI_TEXT, name, letter, argument, target, help);
}

cli_option *cli_add_list(cli_options *options, const char *name, char letter, const char *argument,
                         cli_list *target, const char *help)
{
    return add(options, CLI_LIST, name, letter, argument, target, help);
}

cli_option *cli_add_int(cli_options *options, const char *name, char letter, const char *argument,
                        int32_t *target, int32_t min, int32_t max, const char *help)
{
    return add_number(options, CLI_INT, name, letter, argument, target, min, max, help);
}

cli_option *cli_add_count(cli_options *options, const char *name, char letter, const char *argument,
                          uint64_t *target, double min, double max, const char *help)
{
    return add_number(options, CLI_COUNT, name, letter, argument, target, min, max, help);
}

cli_option *cli_add_bytes(cli_options *options, const char *name, char letter, const char *argument,
                          uint64_t *target, double min, double max, const char *help)
{
    return add_number(options, CLI_BYTES, name, letter, argument, target, min, max, help);
}

cli_option *cli_add_real(cli_options *options, const char *name, char letter, const char *argument,
                         double *target, double min, double max, const char *help)
{
    return add_number(options, CLI_REAL, name, letter, argument, target, min, max, help);
}

cli_option *cli_add_choice(cli_options *options, const char *name, char letter, const char *argument,
                           int *target, const char *const *choices, const char *help)
{
    cli_option *row = add(options, CLI_CHOICE, name, letter, argument, target, help);
    row->choices = choices;
    return row;
}

void cli_explain(cli_options *options, const char *name, const char *help, const char *standard)
{
    for (int i = 0; i < options->n; i++) {
        if (strcmp(options->list[i].name, name) != 0) continue;
        if (help) options->list[i].help = help;
        options->list[i].standard = standard;
    }
}

static void add_kv_type(cli_options *options, hb_kv_type *type)
{
    static const char *choices[HB_KV_Q8_0 + 2];
    for (int i = 0; i <= HB_KV_Q8_0; i++) choices[i] = hb_kv_type_name((hb_kv_type)i);
    cli_add_choice(options, "kv-type", 0, NULL, (int *)type, choices,
                   "type of the numbers in the KV cache; auto: f16, or f32 with --exact");
}

void cli_add_session(cli_options *options, hb_session_options *session, cli_engine *engine)
{
    cli_begin_group(options, CLI_GROUP_RESOURCES);
    cli_add_int(options, "ctx-size", 0, "N", &session->n_ctx, 1, 1 << 24, "context size in tokens")
        ->standard = CLI_CONTEXT_STANDARD;
    cli_add_int(options, "threads", 't', "N", &session->n_threads, 1, 1024, "threads to compute with")
        ->standard = "one per processor";
    cli_add_flag(options, "exact", 0, &session->exact,
                 "do not round activations to 8 bits: slower, and comparable with other programs");
    add_kv_type(options, &session->kv_type);
    options->session = session;
    cli_add_engine(options, engine);
}

void cli_add_common(cli_options *options, bool *quiet, bool *json)
{
    cli_begin_group(options, CLI_GROUP_OUTPUT);
    cli_add_flag(options, "quiet", 'q', quiet,
                 "no progress bar, and only errors and warnings about the model");
    cli_add_flag(options, "json", 0, json, "print the result as one JSON object");
}
