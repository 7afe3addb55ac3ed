#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/writer.h"
#include "cli/cli.h"

/* The columns of the text output without --signals. */
#define FEW_SIGNALS "hbar_s,pri,surprise,entropy"

typedef struct judging {
    const char *model_path, *prompt, *response, *signal_list;
    hb_session_options resources;
    cli_engine chosen;
    bool quiet, json;
    cli_chat chat;
    cli_monitor watch;
    cli_data data;
    hb_generate_options engine;
    hb_signal_set *signals; /* to measure */
    hb_model *model;
    hb_session *session;
    hb_dataset *dataset; /* of --data; NULL: one answer from the command line */
    size_t n_done;
    bool failed; /* a row of the data could not be judged */
} judging;

/* An answer to judge. */
typedef struct answer {
    const hb_sample *sample; /* NULL: it is not from data */
    const char *prompt;      /* [n_prompt], if it is not from data */
    const char *text;        /* [n_text] */
    size_t n_prompt, n_text;
} answer;

static void add_options(cli_options *options, judging *j)
{
    j->engine = hb_generate_defaults();
    cli_begin_group(options, CLI_GROUP_MODEL);
    cli_add_text(options, "model", 'm', "FILE", &j->model_path, "the model, a GGUF file")->standard =
        "the demo model";
    cli_chat_add(options, &j->chat);
    cli_begin_group(options, CLI_GROUP_DATA);
    cli_add_text(options, "prompt", 0, "TEXT", &j->prompt,
                 "the prompt; - reads it from standard input");
    cli_add_text(options, "response", 0, "TEXT", &j->response,
                 "the answer to judge; - reads it from standard input");
    cli_data_add(options, &j->data);
    cli_explain(
        options, "data",
        "judge rows with a prompt and a response instead; a label is optional. JSON, CSV or TSV, "
        "also as .gz; - is standard input",
        "none");
    cli_begin_group(options, CLI_GROUP_SCORES);
    cli_add_text(options, "signals", 0, "LIST", &j->signal_list,
                 "signals to measure, separated by commas")
        ->standard = FEW_SIGNALS "; with --json, all";
    cli_monitor_add(options, &j->watch);
    cli_explain(options, "cutoff", "report the first token whose P_fail reaches P", NULL);
    cli_add_session(options, &j->resources, &j->chosen);
    cli_add_common(options, &j->quiet, &j->json);
    cli_explain(options, "json", "print each answer as a JSON object; with --data, one on each line",
                NULL);
}

/* ---- Text ---------------------------------------------------------------------------------------- */

static int width_of(const char *name)
{
    return strlen(name) < 9 ? 10 : (int)strlen(name) + 2;
}

static void write_heading(hb_writer *w, const hb_generation *g)
{
    const hb_signal *signal;
    hb_write(w, " step    P_fail");
    for (size_t i = 0; (signal = hb_signal_set_at(g->signals, i)) != NULL; i++)
        hb_write(w, "%*s", width_of(hb_signal_name(signal)), hb_signal_name(signal));
    hb_write(w, "  token\n");
}

static void write_token(hb_writer *w, const hb_model *model, int32_t token)
{
    size_t n;
    const char *bytes = hb_token_bytes(model, token, &n);
    if (n) hb_write_quoted(w, bytes, n);
    else {
        bytes = hb_token_piece(model, token, &n); /* a control token has no bytes */
        hb_write_printable(w, bytes, n);
    }
    hb_write(w, "\n");
}

static void write_steps(hb_writer *w, const hb_model *model, const hb_generation *g)
{
    const hb_signal *signal;
    write_heading(w, g);
    for (size_t k = 0; k < g->n_steps; k++) {
        const hb_step *s = &g->trajectory[k];
        hb_write(w, "%5d%10.4f", s->step, s->p_fail);
        for (size_t i = 0; (signal = hb_signal_set_at(g->signals, i)) != NULL; i++)
            hb_write(w, "%*.4g", width_of(hb_signal_name(signal)), s->values[i]);
        hb_write(w, "  ");
        write_token(w, model, s->token);
    }
}

/* The signal's usual score. If that has two tails, it is the risky tail's: the parameters say which one
 * for the watched signal and for signals without a settled direction, the definition says it for the
 * others. */
static double usual_score(const hb_monitor *m, const hb_generation *g, const hb_signal *signal)
{
    hb_direction risky = hb_signal_risky(signal);
    if (signal == m->watched || risky == HB_DIRECTION_AUTO) risky = m->direction;
    return hb_scores_get(g->scores,
                         hb_score_tail((hb_score_id){signal, hb_signal_usual(signal)}, risky));
}

static void write_alarm(hb_writer *w, const cli_monitor *watch, const hb_generation *g)
{
    char why[256];
    size_t i = 0;
    while (g->trajectory[i].step != g->alarm) i++;
    cli_monitor_why(watch, &g->trajectory[i], why, sizeof why);
    hb_write(w, "generate would halt at step %d: %s\n", g->alarm, why);
}

static void write_summary(hb_writer *w, const cli_monitor *watch, const hb_generation *g)
{
    const hb_monitor *m = &watch->monitor;
    const hb_signal *signal;
    cli_verdict v;
    hb_write(w, "%zu tokens; ", g->n_steps);
    if (g->alarm < 0 && (m->halt || isinf(m->cutoff))) hb_write(w, "generate would not halt\n");
    else if (g->alarm < 0) hb_write(w, "no P_fail reaches the cutoff %g\n", g->cutoff);
    else write_alarm(w, watch, g);
    for (size_t i = 0; (signal = hb_signal_set_at(g->signals, i)) != NULL; i++)
        hb_write(w, "%s%s %.6g", i ? ", " : "scores: ", hb_signal_name(signal),
                 usual_score(m, g, signal));
    hb_write(w, "\n");
    if (!cli_monitor_judge(watch, g, &v)) return;
    hb_write(w, "the answer is %srisky: ", v.risky ? "" : "not ");
    hb_write_printable(w, watch->params->score, strlen(watch->params->score));
    hb_write(w, " %.4f, tau %.4f, P_fail %.4f\n", v.value, m->tau, v.p_fail);
}

static void write_title(hb_writer *w, const judging *j, const hb_sample *s)
{
    hb_write(w, j->n_done ? "\n" : "");
    hb_write_printable(w, s->id, strlen(s->id));
    hb_write(w, s->label == 1 ? ", hallucinated\n" : s->label == 0 ? ", faithful\n" : "\n");
}

static int print_text(const judging *j, const answer *a, const hb_generation *g)
{
    hb_error err;
    hb_writer w = {0};
    char *text;
    if (a->sample) write_title(&w, j, a->sample);
    write_steps(&w, j->model, g);
    write_summary(&w, &j->watch, g);
    if (hb_writer_finish(&w, &text, &err)) return cli_fail(&err);
    cli_write(text, strlen(text));
    free(text);
    return CLI_DONE;
}

/* ---- JSON ---------------------------------------------------------------------------------------- */

static void write_trajectory(hb_json *json, const hb_model *model, const hb_given *given,
                             const hb_generation *g)
{
    hb_json_array(json, "trajectory");
    for (size_t k = 0; k < g->n_steps; k++) {
        const hb_response_span *c = &given->characters[k];
        size_t n;
        const char *bytes = hb_token_bytes(model, g->trajectory[k].token, &n);
        hb_json_row(json, NULL);
        cli_write_step(json, &g->trajectory[k]);
        hb_json_bytes(json, "text", bytes, n);
        hb_json_whole(json, "start", (int64_t)c->start);
        hb_json_whole(json, "end", (int64_t)c->end);
        hb_json_end(json);
    }
    hb_json_end(json);
}

static int print_json(const judging *j, const answer *a, const hb_given *given, const hb_generation *g)
{
    hb_json json = {0};
    const hb_sample *s = a->sample;
    if (s) hb_json_row(&json, NULL);
    else hb_json_object(&json, NULL);
    if (s) hb_json_text(&json, "id", s->id);
    if (s && (s->label == 0 || s->label == 1)) hb_json_whole(&json, "label", s->label);
    hb_json_bytes(&json, "text", a->text, a->n_text);
    hb_json_list(&json, "tokens");
    for (size_t i = 0; i < given->n_answer; i++)
        hb_json_whole(&json, NULL, given->tokens[given->n_prompt + i]);
    hb_json_end(&json);
    hb_json_whole(&json, "n_tokens", (int64_t)given->n_answer);
    hb_json_whole(&json, "n_prompt", (int64_t)given->n_prompt);
    hb_json_text(&json, "reason", hb_finish_name(g->finish));
    cli_write_halt(&json, &j->watch, g);
    cli_write_verdict(&json, &j->watch, g);
    cli_write_scores(&json, g);
    cli_write_monitor(&json, &j->watch);
    hb_json_number(&json, "prompt_seconds", g->prompt_seconds);
    hb_json_number(&json, "decode_seconds", g->decode_seconds);
    write_trajectory(&json, j->model, given, g);
    hb_json_end(&json);
    return cli_print_json(&json);
}

/* ---- Judging ------------------------------------------------------------------------------------- */

/* Reports that an answer cannot be judged. The other answers of the data are still judged, unless the
 * reason also applies to them. */
static int pass_over(judging *j, const answer *a, const hb_error *err)
{
    bool own = err->status == HB_ERR_ARGUMENT || err->status == HB_ERR_CONTEXT ||
               err->status == HB_ERR_NUMERIC;
    if (a->sample && a->sample->n_messages > 1) /* a template may fail on this conversation alone */
        own |= err->status == HB_ERR_FORMAT || err->status == HB_ERR_UNSUPPORTED;
    if (!a->sample || !own) return cli_fail(err);
    cli_message("%s: %s", a->sample->id, err->message);
    j->failed = true;
    return CLI_DONE;
}

static int judge(judging *j, const answer *a)
{
    hb_error err;
    hb_given given;
    hb_generation g;
    const cli_chat *c = &j->chat;
    hb_status status = a->sample
                           ? hb_sample_tokenize(j->model, c->chat, c->system, a->sample, &given, &err)
                           : hb_given_tokenize(j->model, c->chat, c->system, a->prompt, a->n_prompt,
                                               a->text, a->n_text, &given, &err);
    if (status) return pass_over(j, a, &err);
    if (hb_judge(j->session, &given, &j->engine, &g, &err)) {
        hb_given_free(&given);
        return pass_over(j, a, &err);
    }
    int code = CLI_INTERRUPTED;
    if (g.finish != HB_FINISH_CANCELLED)
        code = j->json ? print_json(j, a, &given, &g) : print_text(j, a, &g);
    j->n_done++;
    hb_generation_free(&g);
    hb_given_free(&given);
    return code;
}

static int judge_data(judging *j)
{
    hb_error err;
    hb_sample s;
    bool found = true;
    int code = CLI_DONE;
    while (!code && found) {
        if (hb_dataset_next(j->dataset, &s, &found, &err)) return cli_fail(&err);
        if (!found) break;
        if (!s.response) {
            cli_message("%s: has no response", s.id);
            j->failed = true;
            continue;
        }
        const answer a = {.sample = &s, .text = s.response, .n_text = strlen(s.response)};
        code = judge(j, &a);
    }
    return !code && j->failed ? CLI_FAILED : code;
}

static int judge_one(judging *j)
{
    hb_buffer prompt = {0}, response = {0};
    int code = cli_read_operand(j->prompt, &prompt);
    if (!code) code = cli_read_operand(j->response, &response);
    if (!code && !j->quiet) cli_chat_warn(&j->chat, j->model, &prompt);
    const answer a = {.prompt = prompt.data,
                      .text = response.data,
                      .n_prompt = prompt.length,
                      .n_text = response.length};
    if (!code) code = judge(j, &a);
    hb_buffer_free(&prompt);
    hb_buffer_free(&response);
    return code;
}

/* ---- Running ------------------------------------------------------------------------------------- */

static int check_usage(const cli_command *command, judging *j)
{
    hb_error err;
    int code;
    bool data = j->data.paths.n > 0;
    if (data ? j->prompt || j->response : !j->prompt || !j->response)
        return cli_usage(command, "give --prompt and --response, or --data");
    if (!data && strcmp(j->prompt, "-") == 0 && strcmp(j->response, "-") == 0)
        return cli_usage(command, "only one of --prompt and --response can be standard input");
    if (!j->signal_list) j->signal_list = j->json ? "all" : FEW_SIGNALS;
    if (hb_signal_set_parse(j->signal_list, &j->signals, &err))
        return cli_usage(command, "--signals: %s", err.message);
    if (!cli_monitor_check(command, &j->watch, &code) || !cli_chat_check(command, &j->chat, &code))
        return code;
    j->data.read_as = HB_READ_RESPONSE;
    j->data.options.unlabelled = true;
    return cli_data_check(command, &j->data);
}

static int open_all(const cli_command *command, judging *j)
{
    hb_error err;
    if (cli_open_model(j->model_path, &j->chosen, &j->model, &err)) return cli_fail(&err);
    cli_show_warnings(j->model);
    if (cli_chat_find(&j->chat, j->model, &err)) return cli_fail(&err);
    int code = cli_monitor_open(command, &j->watch, j->model, &j->chat, &j->resources, j->quiet);
    if (!code) code = cli_choose_signals(j->model, j->signal_list, j->quiet, &j->signals);
    if (code) return code;
    j->engine.monitor = j->watch.monitor;
    j->engine.monitor.signals = j->signals;
    j->engine.cancelled = cli_interrupted;
    if (j->data.paths.n && cli_data_open(&j->data, 0, 0, j->quiet, &j->dataset, &err))
        return cli_fail(&err);
    if (j->dataset) j->failed = hb_dataset_get_info(j->dataset)->n_broken > 0;
    return hb_session_open(j->model, &j->resources, &j->session, &err) ? cli_fail(&err) : CLI_DONE;
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    judging j = {0};
    const char *operand;
    char *own_model = NULL;
    int code;
    add_options(&options, &j);
    bool ready = cli_parse(command, &options, argc, argv, &operand, &code);
    if (ready) code = check_usage(command, &j);
    if (ready && !code)
        code = cli_monitor_embedded(command, &j.watch, j.quiet, &j.model_path, &own_model);
    if (ready && !code) code = open_all(command, &j);
    if (ready && !code) {
        cli_catch_interrupts();
        code = j.dataset ? judge_data(&j) : judge_one(&j);
    }
    hb_dataset_close(j.dataset);
    hb_session_close(j.session);
    cli_chat_close(&j.chat);
    hb_model_close(j.model);
    cli_monitor_close(&j.watch);
    cli_data_free(&j.data);
    hb_signal_set_free(j.signals);
    free(own_model);
    return code;
}

const cli_command cli_judge = {
    .name = "judge",
    .summary = "measure an answer that is given",
    .details =
        "Evaluates a given answer to a prompt as if the model had generated it, and prints the "
        "measurements of each token, the answer's scores, where hbar generate would have halted, "
        "and with parameters whether the answer is risky. --data judges the responses of a file, "
        "with or without labels, in the formats of hbar score.",
    .run = run,
};
