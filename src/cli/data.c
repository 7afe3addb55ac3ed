/* The options for data, and opening the dataset. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/error.h"
#include "base/file.h"
#include "cli/cli.h"

void cli_labels_add(cli_options *options, cli_labels *labels)
{
    cli_add_text(options, "correct", 0, "NAME", &labels->correct,
                 "column of labels in which 1 or true means that the answer is right");
    cli_add_text(options, "positive", 0, "WORD", &labels->positive,
                 "label that means hallucinated; all others mean faithful")
        ->standard = "1, true, yes, hallucinated, FAIL and the like";
}

void cli_data_add(cli_options *options, cli_data *d)
{
    static const char *choices[64] = {"auto"};
    for (size_t i = 0; hb_dataset_format(i) && i < 62; i++) choices[i + 1] = hb_dataset_format(i);
    *d = (cli_data){0};
    cli_add_list(
        options, "data", 'd', "FILE", &d->paths,
        "prompts with labels or answers: JSON, CSV or TSV, also as .gz; several files are read "
        "one after the other; - is standard input")
        ->standard = "the demo data";
    cli_add_choice(options, "format", 0, "NAME", &d->format, choices,
                   "format of the data; auto detects it from the fields");
    cli_add_list(options, "field", 0, "ROLE=PATH", &d->fields,
                 "path of a row's prompt, answers, id, label, response, context or spans, such as "
                 "answers=answer.aliases");
    cli_add_text(options, "answers-separator", 0, "TEXT", &d->separator,
                 "separator between answers in one field, such as '; '");
    cli_labels_add(options, &d->labels);
    cli_add_text(options, "where", 0, "FIELD=WORD", &d->where, "use only rows in which FIELD is WORD");
    cli_add_text(options, "join", 0, "FILE", &d->join, "second file of data published in two files")
        ->standard = "the one beside the data";
    cli_add_text(
        options, "prompt-template", 0, "TEXT|FILE", &d->template,
        "prompt with placeholders for fields, such as 'Q: {question}\\nA:', or a file with it");
    cli_add_int(options, "shots", 0, "N", &d->shots, 0, HB_SHOTS_MAX,
                "show N examples before each prompt, drawn from the data with the seed");
    cli_add_text(options, "shots-data", 0, "FILE", &d->shots_path,
                 "draw the examples from FILE instead");
}

void cli_data_add_as(cli_options *options, cli_data *d)
{
    static const char *const readings[] = {"auto", "judgement", "response", NULL};
    cli_add_choice(options, "as", 0, NULL, &d->read_as, readings,
                   "for data with responses: evaluate the response as the model's answer, or ask for a "
                   "judgement of it; auto judges HaluEval's and evaluates others");
}

/* ---- Values -------------------------------------------------------------------------------------- */

/* Takes one "ROLE=PATH". */
static int take_field(const cli_command *command, cli_data *d, const char *text)
{
    hb_dataset_options *o = &d->options;
    const struct {
        const char *name;
        const char **path;
    } roles[] = {{"prompt", &o->prompt}, {"answers", &o->answers},   {"id", &o->id},
                 {"label", &o->label},   {"response", &o->response}, {"context", &o->context},
                 {"spans", &o->spans}};
    const char *equals = strchr(text, '=');
    size_t length = equals ? (size_t)(equals - text) : 0;
    for (size_t i = 0; equals && i < sizeof roles / sizeof *roles; i++) {
        if (strlen(roles[i].name) != length || strncmp(text, roles[i].name, length) != 0) continue;
        if (*roles[i].path) return cli_usage(command, "--field: %s is named twice", roles[i].name);
        *roles[i].path = equals + 1;
        return CLI_DONE;
    }
    return cli_usage(command,
                     "--field: '%s' is not ROLE=PATH; roles are prompt, answers, id, label, response, "
                     "context and spans",
                     text);
}

/* Decodes a template from the command line, where \n is a line end and \t a tab. */
static int take_typed(cli_data *d)
{
    char *out = d->own_template = malloc(strlen(d->template) + 1);
    if (!out) return cli_fail_memory();
    for (const char *in = d->template; *in; in++) {
        bool escape = *in == '\\' && (in[1] == 'n' || in[1] == 't' || in[1] == '\\');
        if (escape) in++;
        *out++ = escape && *in != '\\' ? (*in == 'n' ? '\n' : '\t') : *in;
    }
    *out = '\0';
    return CLI_DONE;
}

/* Reads a template from a file, without its last line end. */
static int take_file(cli_data *d)
{
    hb_buffer text = {0};
    hb_error err;
    if (access(d->template, F_OK) != 0) {
        cli_message(
            "--prompt-template: '%s' has no placeholder like {question} and is not a readable file",
            d->template);
        return CLI_FAILED;
    }
    if (hb_read_file(d->template, CLI_TEMPLATE_BYTES, &text, &err)) {
        cli_message("--prompt-template: %s", err.message);
        return CLI_FAILED;
    }
    d->own_template = text.data;
    if (text.data[text.length - 1] == '\n') text.data[--text.length] = '\0';
    if (!memchr(text.data, '\0', text.length)) return CLI_DONE;
    cli_message("--prompt-template: %s: has zero bytes, so it is no text", d->template);
    return CLI_FAILED;
}

int cli_labels_check(const cli_command *command, const cli_labels *labels, const char *label,
                     const char *option)
{
    if (labels->correct && label)
        return cli_usage(command, "--correct and %s exclude each other", option);
    if (labels->correct && labels->positive)
        return cli_usage(command, "--correct and --positive exclude each other");
    return CLI_DONE;
}

int cli_data_check(const cli_command *command, cli_data *d)
{
    hb_dataset_options *o = &d->options;
    int code = CLI_DONE;
    for (size_t i = 0; i < d->fields.n && !code; i++) code = take_field(command, d, d->fields.texts[i]);
    if (!code) code = cli_labels_check(command, &d->labels, o->label, "--field label");
    if (!code && d->shots_path && !d->shots)
        code = cli_usage(command, "--shots-data goes with --shots N");
    if (!code && d->template) code = strchr(d->template, '{') ? take_typed(d) : take_file(d);
    if (code) return code;
    if (d->format) o->format = hb_dataset_format((size_t)d->format - 1);
    if (d->labels.correct) o->label = d->labels.correct;
    o->read_as = (hb_read_as)d->read_as;
    o->label_is_correct = d->labels.correct != NULL;
    o->positive = d->labels.positive;
    o->answers_separator = d->separator;
    o->group = d->group;
    o->prompt_template = d->own_template;
    o->where = d->where;
    o->join = d->join;
    o->shots = (size_t)d->shots;
    o->shots_path = d->shots_path;
    return CLI_DONE;
}

/* ---- Opening ------------------------------------------------------------------------------------- */

void cli_show_warning(void *unused, const char *message)
{
    (void)unused;
    cli_message("warning: %s", message);
}

hb_status cli_data_open(cli_data *d, uint64_t n_samples, uint64_t seed, bool quiet,
                        hb_dataset **dataset, hb_error *err)
{
    cli_broken broken = {0};
    hb_dataset_options o = d->options;
    o.n_samples = n_samples;
    o.seed = seed;
    o.strict = d->strict;
    o.on_broken = cli_show_broken;
    o.on_warning = cli_show_warning;
    o.user = &broken;
    hb_status status = hb_dataset_open_files(d->paths.texts, d->paths.n, &o, dataset, err);
    if (status) return status;
    const hb_dataset_info *info = hb_dataset_get_info(*dataset);
    cli_report_broken(info->path, info->n_broken, info->n_rows);
    if (info->n_left_out && !quiet)
        cli_message("%s: %llu rows are left out, %llu are used", info->path,
                    (unsigned long long)info->n_left_out, (unsigned long long)info->n_rows);
    if (info->read_as == HB_READ_RESPONSE && !d->options.unlabelled && !quiet)
        cli_message("%s: responses are given, so they are evaluated instead of generated", info->path);
    if (n_samples > info->n_drawn && !quiet)
        cli_message("%s: has only %llu samples; all are used", info->path,
                    (unsigned long long)info->n_drawn);
    return HB_OK;
}

void cli_data_free(cli_data *d)
{
    free(d->paths.texts);
    free(d->fields.texts);
    free(d->own_template);
}

hb_status cli_read_table(hb_table *file, const char *path, hb_table_options options,
                         const cli_labels *labels, const char *label, hb_score_table *table,
                         hb_error *err)
{
    cli_broken broken = {0};
    options.label_column = labels->correct ? labels->correct : label;
    options.label_is_correct = labels->correct != NULL;
    options.positive = labels->positive;
    options.on_broken = cli_show_broken;
    options.on_warning = cli_show_warning;
    options.user = &broken;
    hb_status status = hb_table_scores(file, &options, table, err);
    if (!status) cli_report_broken(path, table->n_broken, table->n);
    return status;
}
