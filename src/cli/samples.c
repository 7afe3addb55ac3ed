/* The options that draw several samples of a prompt. */
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "cli/cli.h"
#include "measures/asks.h"

void cli_samples_add(cli_options *options, cli_samples *s)
{
    *s = (cli_samples){.temperature = 1, .top_p = 1};
    cli_begin_group(options, CLI_GROUP_GENERATION);
    cli_add_int(options, "samples", 0, "N", &s->n, 0, HB_MAX_SAMPLES,
                "also draw N samples of each prompt, and measure how far they agree with the answer")
        ->given = &s->n_given;
    cli_add_real(options, "sample-temperature", 0, "T", &s->temperature, 1e-9, 100,
                 "temperature of these samples")
        ->given = &s->temperature_given;
    cli_add_real(options, "sample-top-p", 0, "P", &s->top_p, 1e-9, 1,
                 "draw them from the fewest tokens whose probabilities reach P together")
        ->given = &s->top_p_given;
    cli_option *limit = cli_add_int(options, "sample-max-tokens", 0, "N", &s->max_tokens, 1, 1 << 24,
                                    "generate at most N tokens for each of them");
    limit->given = &s->max_tokens_given;
    limit->standard = "as --max-tokens";
}

void cli_samples_add_asking(cli_options *options, cli_samples *s)
{
    static const char *const judges[] = {"none", "self", NULL};
    cli_begin_group(options, CLI_GROUP_SCORES);
    cli_add_choice(options, "entailment", 0, NULL, &s->entailment, judges,
                   "whether the model judges which samples follow from each other");
    cli_add_text(options, "judge", 0, "FILE", &s->judge_path,
                 "another model that judges this, a GGUF file");
    cli_add_text(options, "ask", 0, "LIST", &s->ask,
                 "ask the model about its answer: p_true, verbalised and, with --samples, "
                 "self_assessment, selfcheck; or all");
    cli_add_text(options, "prompts", 0, "DIR", &s->questions_dir,
                 "folder with files that replace the texts of these questions");
}

/* Combines the options to the list of questions. Returns an exit code. */
static int list_questions(const cli_command *command, cli_samples *s)
{
    hb_error err;
    unsigned asks;
    const char *needs = s->judge_path ? "--judge" : s->entailment ? "--entailment" : NULL;
    if (hb_asks_parse(s->ask, &asks, &err)) return cli_usage(command, "--ask: %s", err.message);
    if (needs) asks |= HB_ASKS_ENTAILMENT;
    if (!needs && (asks & HB_ASKS_OF_SAMPLES)) needs = "--ask: the question";
    if (needs && !s->n) return cli_usage(command, "%s needs --samples", needs);
    if (s->questions_dir && !asks)
        return cli_usage(command, "--prompts needs --ask, --entailment or --judge");
    if (!asks) return CLI_DONE;
    s->asks = hb_asks_text(asks);
    return s->asks ? CLI_DONE : cli_fail_memory();
}

/* The chat of the judge: its own template, or none. */
static hb_status open_judge_chat(cli_samples *s, hb_error *err)
{
    hb_error why;
    hb_status status = hb_chat_open(s->judge, NULL, &s->judge_chat, &why);
    return status && status != HB_ERR_UNSUPPORTED ? hb_fail(err, status, "%s", why.message) : HB_OK;
}

hb_status cli_samples_open(cli_samples *s, const hb_session_options *resources,
                           const cli_engine *engine, hb_error *err)
{
    if (!s->asks) return HB_OK;
    hb_status status = hb_questions_open(s->questions_dir, &s->questions, err);
    if (status || !s->judge_path) return status;
    status = cli_open_model(s->judge_path, engine, &s->judge, err);
    if (!status) cli_show_warnings(s->judge);
    if (!status) status = hb_model_sha256(s->judge, s->judge_sha256, err);
    if (!status) status = open_judge_chat(s, err);
    return status ? status : hb_session_open(s->judge, resources, &s->judge_session, err);
}

void cli_samples_close(cli_samples *s)
{
    hb_session_close(s->judge_session);
    hb_chat_close(s->judge_chat);
    hb_model_close(s->judge);
    hb_questions_free(s->questions);
    free(s->asks);
}

int cli_samples_check(const cli_command *command, cli_samples *s)
{
    const char *given = s->temperature_given  ? "--sample-temperature"
                        : s->top_p_given      ? "--sample-top-p"
                        : s->max_tokens_given ? "--sample-max-tokens"
                                              : NULL;
    if (given && !s->n) return cli_usage(command, "%s needs --samples", given);
    return list_questions(command, s);
}

void cli_samples_take(cli_samples *s, const hb_params *p)
{
    if (p->samples) {
        if (!s->n_given) s->n = p->samples;
        if (!s->temperature_given) s->temperature = p->sample_temperature;
        if (!s->top_p_given) s->top_p = p->sample_top_p;
        if (!s->max_tokens_given) s->max_tokens = p->sample_max_tokens;
    }
    if (!s->ask && !s->entailment && !s->judge_path && *p->asks) s->ask = p->asks;
}

void cli_samples_warn(const hb_params *there, int32_t n, double temperature, double top_p,
                      int32_t max_tokens)
{
    if (!there->samples) return;
    if (n != there->samples)
        cli_message("warning: prompts have %d samples each, but those of the calibration had %d", n,
                    there->samples);
    else if (temperature != there->sample_temperature || top_p != there->sample_top_p ||
             max_tokens != there->sample_max_tokens)
        cli_message("warning: samples were drawn with another temperature, top-p or limit of tokens "
                    "than those of the calibration");
}

static bool is_measure(const char *score)
{
    size_t place;
    return hb_measure_find(score, &place);
}

static bool reads_states(const char *score)
{
    size_t place;
    return hb_measure_find(score, &place) && hb_measure_needs_states(place);
}

static bool is_of_pass1(const char *score)
{
    size_t place;
    return reads_states(score) || (hb_measure_find(score, &place) && hb_measure_question(place));
}

const char *cli_measure_needed(const hb_params *p, cli_need need)
{
    static bool (*const tests[])(const char *score) = {[CLI_NEED_SAMPLES] = is_measure,
                                                       [CLI_NEED_PASS1] = is_of_pass1,
                                                       [CLI_NEED_STATES] = reads_states};
    if (tests[need](p->score)) return p->score;
    for (size_t i = 0; i < p->joint.n_features; i++)
        if (tests[need](p->joint.features[i].score)) return p->joint.features[i].score;
    return NULL;
}

int cli_samples_check_measure(const cli_command *command, const cli_samples *s, const char *measure)
{
    size_t place;
    unsigned asks;
    hb_error err;
    if (!measure || !hb_measure_find(measure, &place)) return CLI_DONE;
    if (hb_measure_needs_samples(place) && !s->n)
        return cli_usage(command, "--samples: the score %s needs samples of each prompt", measure);
    if (hb_asks_parse(s->asks, &asks, &err)) return cli_fail(&err);
    if (hb_measure_is_kept(place, s->n, asks, true)) return CLI_DONE;
    const char *question = hb_measure_question(place);
    if (strcmp(question, "entailment") == 0)
        return cli_usage(command, "--entailment: the score %s needs it, or --judge", measure);
    return cli_usage(command, "--ask: the score %s needs the question %s", measure, question);
}
