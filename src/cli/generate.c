#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buffer.h"
#include "base/file.h"
#include "base/utf8.h"
#include "cli/cli.h"

typedef struct generate_options {
    const char *model_path, *trajectory_path, *html_path, *on_halt;
    int32_t halt_exit; /* exit code after a halt */
    bool halt_exit_given;
    hb_session_options resources;
    cli_engine chosen;
    bool quiet, json;
    cli_list stops;
    cli_chat chat;
    cli_monitor watch;
    cli_samples samples;
    cli_agreement agreement; /* set if samples.n */
    hb_generate_options engine;
} generate_options;

/* State of printing text while it is generated. */
typedef struct stream {
    bool coloured, begun;
    char last;                /* last byte printed; 0: none */
    hb_buffer pending, clean; /* bytes of an incomplete character; text ready to print */
    double cutoff;
} stream;

static void add_generation_options(cli_options *options, generate_options *o)
{
    hb_sampling *s = &o->engine.sampling;
    cli_begin_group(options, CLI_GROUP_GENERATION);
    cli_add_int(options, "max-tokens", 'n', "N", &o->engine.max_tokens, 1, 1 << 24,
                "generate at most N tokens");
    cli_add_list(options, "stop", 0, "TEXT", &o->stops, "end before TEXT; may be given several times");
    cli_add_flag(options, "one-line", 0, &o->engine.one_line,
                 "end after the first line that is not blank");
    cli_add_real(options, "temperature", 0, "T", &s->temperature, 0, 100,
                 "sample at temperature T; 0 takes the most probable token");
    cli_add_int(options, "top-k", 0, "K", &s->top_k, 0, 1 << 24,
                "sample from the K most probable tokens; 0 means all");
    cli_add_real(options, "top-p", 0, "P", &s->top_p, 1e-9, 1,
                 "sample from the fewest tokens whose probabilities reach P together");
    cli_add_count(options, "seed", 0, "N", &s->seed, 0, 9e18, "seed of the sampling");
}

static void add_options(cli_options *options, generate_options *o)
{
    o->engine = hb_generate_defaults();
    cli_begin_group(options, CLI_GROUP_MODEL);
    cli_add_text(options, "model", 'm', "FILE", &o->model_path, "the model, a GGUF file")->standard =
        "the demo model";
    cli_chat_add(options, &o->chat);
    cli_monitor_add(options, &o->watch);
    cli_add_int(options, "check-every", 'k', "K", &o->watch.monitor.check_every, 1, 1 << 24,
                "check every K-th token only");
    cli_add_int(options, "halt-exit", 0, "N", &o->halt_exit, 0, 255, "exit with code N after a halt")
        ->given = &o->halt_exit_given;
    cli_add_text(options, "on-halt", 0, "TEXT", &o->on_halt,
                 "print TEXT in place of the rest after a halt");
    add_generation_options(options, o);
    cli_samples_add(options, &o->samples);
    cli_add_session(options, &o->resources, &o->chosen);
    cli_begin_group(options, CLI_GROUP_OUTPUT);
    cli_add_text(options, "trajectory", 0, "FILE", &o->trajectory_path,
                 "write each checked step to FILE as JSON Lines");
    cli_add_text(options, "html", 0, "FILE", &o->html_path,
                 "write the answer to FILE as a page in which each token has the colour of its risk");
    cli_add_common(options, &o->quiet, &o->json);
}

/* ---- Streaming ----------------------------------------------------------------------------------- */

/* Green, yellow or red, depending on how close P_fail is to the cutoff. */
static const char *colour_of(const stream *s, double p_fail)
{
    double share = isnan(p_fail) ? 0 : p_fail / fmin(s->cutoff, 1);
    return share < 0.34 ? "\033[32m" : share < 0.67 ? "\033[33m" : "\033[31m";
}

static void print_pending(stream *s, bool final, double p_fail)
{
    bool ok = true;
    hb_buffer_clear(&s->clean);
    size_t used = hb_utf8_clean(&s->clean, s->pending.data, s->pending.length, final, &ok);
    size_t left = s->pending.length - used;
    if (left) memmove(s->pending.data, s->pending.data + used, left);
    s->pending.length = left;
    if (!s->clean.length) return;
    s->begun = true;
    s->last = s->clean.data[s->clean.length - 1];
    if (s->coloured) cli_write(colour_of(s, p_fail), 5);
    cli_write_text(s->clean.data, s->clean.length);
    if (s->coloured) cli_write("\033[0m", 4);
    cli_flush();
}

static void on_token(void *user, const hb_step *step, const char *bytes, size_t length)
{
    stream *s = user;
    if (hb_buffer_add(&s->pending, bytes, length)) print_pending(s, false, step->p_fail);
}

/* Prints the text that stands in place of the rest. A space separates it from a word before it. */
static void print_on_halt(const stream *s, const char *text)
{
    if (s->last && !strchr(" \t\n", s->last)) cli_write(" ", 1);
    cli_write_text(text, strlen(text));
}

/* ---- Results ------------------------------------------------------------------------------------- */

static void write_step(hb_json *json, const hb_step *s)
{
    hb_json_row(json, NULL);
    cli_write_step(json, s);
    hb_json_end(json);
}

static int print_result(const generate_options *o, const hb_generation *g)
{
    hb_json json = {0};
    hb_json_object(&json, NULL);
    hb_json_text(&json, "text", g->text);
    hb_json_list(&json, "tokens");
    for (int32_t i = 0; i < g->n_tokens; i++) hb_json_whole(&json, NULL, g->tokens[i]);
    hb_json_end(&json);
    hb_json_whole(&json, "n_tokens", g->n_tokens);
    hb_json_whole(&json, "n_prompt", g->n_prompt);
    hb_json_bool(&json, "halted", g->finish == HB_FINISH_HALTED);
    hb_json_text(&json, "reason", hb_finish_name(g->finish));
    cli_write_halt(&json, &o->watch, g);
    hb_json_text(&json, "on_halt", g->finish == HB_FINISH_HALTED ? o->on_halt : NULL);
    cli_write_verdict(&json, &o->watch, g);
    cli_write_scores(&json, g);
    if (o->agreement.n) cli_agreement_write(&json, &o->agreement);
    cli_write_monitor(&json, &o->watch);
    hb_json_number(&json, "prompt_seconds", g->prompt_seconds);
    hb_json_number(&json, "decode_seconds", g->decode_seconds);
    hb_json_array(&json, "trajectory");
    for (size_t i = 0; i < g->n_steps; i++) write_step(&json, &g->trajectory[i]);
    hb_json_end(&json);
    hb_json_end(&json);
    return cli_print_json(&json);
}

/* The watched signal's score by its usual aggregation. */
static double value_of_watched(const hb_monitor *m, const hb_generation *g)
{
    const hb_score_id usual = {m->watched, hb_signal_usual(m->watched)};
    return hb_scores_get(g->scores, hb_score_tail(usual, m->direction));
}

static void print_summary(const generate_options *o, const hb_generation *g)
{
    const hb_monitor *m = &o->watch.monitor;
    cli_verdict v;
    bool halted = g->finish == HB_FINISH_HALTED;
    if (halted && (!o->quiet || !o->halt_exit_given)) {
        char why[256];
        cli_monitor_why(&o->watch, &g->last, why, sizeof why);
        cli_message("halted at step %d: %s", g->last.step, why);
    }
    if (o->quiet) return;
    if (!halted && !m->watched && !m->joint)
        cli_message("%s: %d tokens", hb_finish_name(g->finish), g->n_tokens);
    else if (!halted)
        cli_message("%s: %d tokens, %s %.4f", hb_finish_name(g->finish), g->n_tokens,
                    cli_watched_name(m), m->joint ? g->last.watched : value_of_watched(m, g));
    if (o->agreement.n) cli_agreement_print(&o->agreement);
    if (cli_monitor_judge(&o->watch, g, &v))
        cli_message("the answer is %srisky: %s %.4f, tau %.4f, P_fail %.4f", v.risky ? "" : "not ",
                    o->watch.params->score, v.value, m->tau, v.p_fail);
}

/* Opens the file before generation, so that a bad path fails early. It is truncated only afterwards.
 * Refuses to replace what is read. */
static FILE *open_trajectory(const generate_options *o)
{
    static char buffer[BUFSIZ]; /* as for standard output (main.c) */
    const char *path = o->trajectory_path;
    if (cli_is_same_file(path, o->model_path) || cli_is_same_file(path, o->watch.params_path)) {
        cli_message("--trajectory: %s: is read by this command, and would be replaced", path);
        return NULL;
    }
    int fd = cli_open_output(path);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "wb");
    if (file && setvbuf(file, buffer, _IOFBF, sizeof buffer) == 0) return file;
    if (fd >= 0) {
        cli_message("%s: %s", path, strerror(errno));
        close(fd);
    }
    return NULL;
}

/* Writes one line. False with errno set when it fails. */
static bool write_line(FILE *file, const hb_step *step)
{
    hb_json json = {0};
    char *text;
    write_step(&json, step);
    if (hb_json_finish(&json, &text, NULL)) {
        errno = ENOMEM;
        return false;
    }
    bool ok = fputs(text, file) != EOF && fputc('\n', file) != EOF;
    int reason = errno;
    free(text);
    errno = reason;
    return ok;
}

static bool write_steps(FILE *file, const hb_generation *g)
{
    struct stat st;
    if (fstat(fileno(file), &st) != 0) return false;
    if (S_ISREG(st.st_mode) && ftruncate(fileno(file), 0) != 0) return false;
    for (size_t i = 0; i < g->n_steps; i++)
        if (!write_line(file, &g->trajectory[i])) return false;
    return fflush(file) == 0;
}

static int write_trajectory(FILE *file, const char *path, const hb_generation *g)
{
    bool ok = write_steps(file, g);
    int reason = errno;
    if (fclose(file) != 0 && ok) {
        ok = false;
        reason = errno;
    }
    if (!ok) cli_message("%s: %s", path, strerror(reason));
    return ok ? CLI_DONE : CLI_FAILED;
}

/* Writes the answer as a page, if it was asked for. */
static int write_html(const generate_options *o, const hb_model *model, const hb_generation *g,
                      const hb_buffer *prompt)
{
    hb_error err;
    char *html;
    if (!o->html_path) return CLI_DONE;
    if (hb_generation_html(model, g, prompt->data, prompt->length, &html, &err)) return cli_fail(&err);
    int code = cli_save(o->html_path, html, strlen(html));
    free(html);
    return code;
}

/* Refuses a path of --html before the answer is generated. */
static int check_html(const generate_options *o)
{
    if (!o->html_path) return CLI_DONE;
    if (!cli_is_same_file(o->html_path, o->model_path) &&
        !cli_is_same_file(o->html_path, o->watch.params_path))
        return cli_check_output(o->html_path);
    cli_message("--html: %s: is read by this command, and would be replaced", o->html_path);
    return CLI_FAILED;
}

/* ---- Running ------------------------------------------------------------------------------------- */

static hb_status generate_from(generate_options *o, hb_session *session, const hb_buffer *prompt,
                               hb_generation *g, hb_error *err)
{
    int32_t *tokens;
    size_t n;
    hb_status status = hb_chat_prompt(hb_session_model(session), o->chat.chat, o->chat.system,
                                      prompt->data, prompt->length, &tokens, &n, err);
    if (status) return status;
    if (!o->samples.n) {
        status = hb_generate_tokens(session, tokens, n, &o->engine, g, err);
    } else {
        status =
            cli_agreement_generate(session, tokens, n, &o->engine, &o->samples, g, &o->agreement, err);
        if (!status) o->watch.of_samples = o->agreement.scores;
    }
    free(tokens);
    return status;
}

static int generate(generate_options *o, hb_session *session, const hb_buffer *prompt, FILE *trajectory)
{
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
    bool terminal = isatty(STDOUT_FILENO);
    stream s = {.coloured =
                    terminal && !(no_colour && *no_colour) && !(term && strcmp(term, "dumb") == 0),
                .cutoff = o->watch.monitor.cutoff};
    hb_generation g;
    hb_error err;
    o->engine.monitor = o->watch.monitor;
    if (!o->json) o->engine.on_token = on_token;
    o->engine.cancelled = cli_interrupted;
    o->engine.user = &s;
    cli_catch_interrupts();
    hb_status status = generate_from(o, session, prompt, &g, &err);
    print_pending(&s, true, 0);
    if (!o->json && !status && g.finish == HB_FINISH_HALTED && o->on_halt)
        print_on_halt(&s, o->on_halt);
    bool line_ended = !status && g.finish == HB_FINISH_LINE;
    if (!o->json && (s.begun || !status) && !line_ended) cli_write("\n", 1);
    cli_flush();
    hb_buffer_free(&s.pending);
    hb_buffer_free(&s.clean);
    if (status) {
        if (trajectory) fclose(trajectory);
        return cli_fail(&err);
    }
    int code = o->json ? print_result(o, &g) : CLI_DONE;
    print_summary(o, &g);
    if (trajectory && write_trajectory(trajectory, o->trajectory_path, &g)) code = CLI_FAILED;
    if (!code) code = write_html(o, hb_session_model(session), &g, prompt);
    if (!code && g.finish == HB_FINISH_CANCELLED) code = CLI_INTERRUPTED;
    if (!code && g.finish == HB_FINISH_HALTED) code = o->halt_exit;
    hb_generation_free(&g);
    return code;
}

/* The most sequences that are evaluated together. */
#define MAX_TOGETHER 64

/* Warns if a calibrated score compares samples that were drawn in another way. */
static void check_samples(const generate_options *o)
{
    const hb_params *p = o->watch.params;
    if (!o->quiet && p && o->samples.n && cli_measure_needed(p, CLI_NEED_SAMPLES))
        cli_samples_warn(p, o->samples.n, o->samples.temperature, o->samples.top_p,
                         p->sample_max_tokens);
}

static int open_and_generate(const cli_command *command, generate_options *o, const hb_buffer *prompt)
{
    hb_model *model = NULL;
    hb_session *session = NULL;
    hb_error err;
    FILE *trajectory = NULL;
    int code = CLI_DONE;
    if (cli_open_model(o->model_path, &o->chosen, &model, &err)) return cli_fail(&err);
    cli_show_warnings(model);
    if (cli_chat_find(&o->chat, model, &err)) code = cli_fail(&err);
    else if (!o->quiet) cli_chat_warn(&o->chat, model, prompt);
    if (!code) code = cli_monitor_open(command, &o->watch, model, &o->chat, &o->resources, o->quiet);
    if (!code) check_samples(o);
    hb_session_options resources = o->resources;
    if (o->samples.n)
        resources.n_sequences = o->samples.n < MAX_TOGETHER ? o->samples.n + 1 : MAX_TOGETHER;
    if (!code && hb_session_open(model, &resources, &session, &err)) code = cli_fail(&err);
    if (!code) code = check_html(o);
    if (!code && o->trajectory_path && !(trajectory = open_trajectory(o))) code = CLI_FAILED;
    if (!code) code = generate(o, session, prompt, trajectory);
    cli_agreement_free(&o->agreement);
    hb_session_close(session);
    cli_chat_close(&o->chat);
    hb_model_close(model);
    cli_monitor_close(&o->watch);
    return code;
}

static int check_usage(const cli_command *command, generate_options *o)
{
    int code = CLI_DONE;
    for (size_t i = 0; i < o->stops.n; i++)
        if (!*o->stops.texts[i]) return cli_usage(command, "--stop: the text is empty");
    o->engine.stops = o->stops.texts;
    o->engine.n_stops = o->stops.n;
    if (cli_monitor_check(command, &o->watch, &code)) cli_chat_check(command, &o->chat, &code);
    o->watch.draws = o->samples.n > 0;
    return code ? code : cli_samples_check(command, &o->samples);
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    generate_options o = {0};
    const char *operand;
    char *own_model = NULL;
    hb_buffer prompt = {0};
    int code;
    add_options(&options, &o);
    bool ready = cli_parse(command, &options, argc, argv, &operand, &code);
    if (ready) code = check_usage(command, &o);
    if (ready && !code) code = cli_check_apart(command, &options, "html");
    if (ready && !code) code = cli_check_apart(command, &options, "trajectory");
    if (ready && !code)
        code = cli_monitor_embedded(command, &o.watch, o.quiet, &o.model_path, &own_model);
    if (ready && !code) code = cli_read_operand(operand, &prompt);
    if (ready && !code) code = open_and_generate(command, &o, &prompt);
    hb_buffer_free(&prompt);
    free(own_model);
    free(o.stops.texts);
    return code;
}

const cli_command cli_generate = {
    .name = "generate",
    .operand = "PROMPT",
    .summary = "generate text, and halt before a likely hallucination",
    .details =
        "Continues PROMPT (- reads it from standard input), measures the model's uncertainty at each "
        "token, and halts before a risky one by the halt of the parameters. --cutoff halts by P_fail "
        "instead. The reason of a halt is printed even with --quiet, unless --halt-exit sets an exit "
        "code for halts. On a terminal, P_fail colours the tokens green, yellow or red; NO_COLOR=1 "
        "switches that off. --samples also shows how far samples agree with the answer. --json prints "
        "the text, tokens, reason for ending, scores and trajectory.",
    .run = run,
};
