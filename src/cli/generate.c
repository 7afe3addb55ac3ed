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
    const char *model_path, *params_path, *trajectory_path, *watched;
    int32_t n_ctx, n_threads;
    bool tau_given, lambda_given, direction_given, quiet, json;
    double tau, lambda;
    int direction;
    hb_params *params;               /* read from params_path */
    hb_score_id score;               /* the calibrated score, unless it is a joint model */
    const hb_signal *watched_signal; /* named by --watch */
    cli_list stops;
    cli_chat chat;
    hb_generate_options engine;
} generate_options;

/* State of printing text while it is generated. */
typedef struct stream {
    bool coloured, begun;
    hb_buffer pending, clean; /* bytes of an incomplete character; text ready to print */
    double cutoff;
} stream;

static void add_monitor_options(cli_options *options, generate_options *o)
{
    hb_monitor *m = &o->engine.monitor;
    cli_begin_group(options, CLI_GROUP_THRESHOLD);
    cli_add_text(options, "params", 'p', "FILE", &o->params_path,
                 "parameters from hbar calibrate: signal, tau, direction, lambda and map")
        ->standard = "none; with the demo model, its own";
    cli_add_text(options, "watch", 0, "SIGNAL", &o->watched,
                 "signal to compare with tau; overrides --params")
        ->standard = hb_signal_name(m->watched);
    cli_add_real(options, "tau", 0, "T", &o->tau, -1e300, 1e300,
                 "threshold of the signal; overrides --params")
        ->given = &o->tau_given;
    cli_add_choice(options, "direction", 0, NULL, &o->direction, cli_directions(false),
                   "which side of tau is risky; overrides --params")
        ->given = &o->direction_given;
    cli_add_real(options, "lambda", 0, "L", &o->lambda, 1e-300, 1e300,
                 "steepness of P_fail around tau; overrides --params")
        ->given = &o->lambda_given;
    cli_add_real(options, "cutoff", 0, "P", &m->cutoff, 1e-300, 1e300,
                 "halt before a token whose P_fail reaches P; above 1, never halt");
    cli_add_int(options, "check-every", 'k', "K", &m->check_every, 1, 1 << 24,
                "check every K-th token only");
}

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
    const hb_monitor *m = &o->engine.monitor;
    o->tau = m->tau;
    o->lambda = m->lambda;
    o->direction = (int)m->direction;
    cli_begin_group(options, CLI_GROUP_MODEL);
    cli_add_text(options, "model", 'm', "FILE", &o->model_path, "the model, a GGUF file")->standard =
        "the demo model";
    cli_chat_add(options, &o->chat);
    add_monitor_options(options, o);
    add_generation_options(options, o);
    cli_add_session(options, &o->n_ctx, &o->n_threads);
    cli_begin_group(options, CLI_GROUP_OUTPUT);
    cli_add_text(options, "trajectory", 0, "FILE", &o->trajectory_path,
                 "write each checked step to FILE as JSON Lines");
    cli_add_common(options, &o->quiet, &o->json);
}

/* ---- Parameters ---------------------------------------------------------------------------------- */

/* Takes tau, lambda, alpha, direction and map from the file. Options override the file. The map is then
 * not used, because it was fitted to another signal or threshold. */
static int apply_params(generate_options *o, const hb_model_info *model)
{
    hb_error err;
    hb_monitor *m = &o->engine.monitor;
    if (o->params_path) {
        if (hb_params_load(o->params_path, &o->params, &err)) return cli_fail(&err);
        const hb_params *p = o->params;
        hb_score_find("hbar_s", &o->score);
        if (!p->joint.n_features && !hb_score_find(p->score, &o->score)) {
            cli_message("%s: calibrated on the score '%s', which hbar does not measure", o->params_path,
                        p->score);
            return CLI_FAILED;
        }
        if (!hb_params_same_model(p, model) && !o->quiet)
            cli_message(
                "warning: %s was calibrated on another model (%s, %llu bytes), not %s, %llu bytes",
                o->params_path, *p->model_name ? p->model_name : "unknown",
                (unsigned long long)p->model_size, model->name, (unsigned long long)model->file_size);
        if (!hb_params_same_chat(p, o->chat.format, o->chat.system) && !o->quiet)
            cli_message("warning: %s was calibrated with another chat format or system message (%s)",
                        o->params_path, *p->chat ? p->chat : "without --chat");
        m->watched = o->score.signal;
        if (p->joint.n_features && !o->watched) m->joint = &p->joint;
        m->tau = p->tau;
        m->lambda = p->lambda;
        m->alpha = p->alpha;
        m->direction = p->direction;
        if (!o->watched && !o->tau_given && !o->lambda_given && !o->direction_given) m->map = &p->map;
    }
    if (o->watched) m->watched = o->watched_signal;
    if (o->tau_given) m->tau = o->tau;
    if (o->lambda_given) m->lambda = o->lambda;
    if (o->direction_given) m->direction = (hb_direction)o->direction;
    return CLI_DONE;
}

/* ---- Streaming ----------------------------------------------------------------------------------- */

/* Green, yellow or red, depending on how close P_fail is to the cutoff. */
static const char *colour_of(const stream *s, double p_fail)
{
    double share = p_fail / fmin(s->cutoff, 1);
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

/* ---- Results ------------------------------------------------------------------------------------- */

static void write_step(hb_json *json, const hb_step *s)
{
    const hb_signal *signal;
    hb_json_row(json, NULL);
    hb_json_whole(json, "step", s->step);
    hb_json_whole(json, "token", s->token);
    hb_json_number(json, "impurity", s->impurity);
    hb_json_number(json, "watched", s->watched);
    hb_json_number(json, "p_fail", s->p_fail);
    for (size_t i = 0; (signal = hb_signal_set_at(s->signals, i)) != NULL; i++)
        hb_json_number(json, hb_signal_name(signal), s->values[i]);
    hb_json_end(json);
}

static void write_halt(hb_json *json, const hb_generation *g)
{
    if (g->finish != HB_FINISH_HALTED) {
        hb_json_null(json, "halt");
        return;
    }
    hb_json_row(json, "halt");
    hb_json_whole(json, "step", g->last.step);
    hb_json_number(json, "p_fail", g->last.p_fail);
    hb_json_number(json, "cutoff", g->cutoff);
    hb_json_end(json);
}

static const char *watched_name(const hb_monitor *m)
{
    return m->joint ? "joint" : hb_signal_name(m->watched);
}

static void write_monitor(hb_json *json, const hb_monitor *m)
{
    hb_json_object(json, "monitor");
    hb_json_text(json, "watched", watched_name(m));
    hb_json_number(json, "tau", m->tau);
    hb_json_number(json, "lambda", m->lambda);
    hb_json_text(json, "map", hb_map_kind_name(m->map ? m->map->kind : HB_MAP_LAMBDA));
    hb_json_number(json, "cutoff", m->cutoff);
    hb_json_number(json, "alpha", m->alpha);
    hb_json_text(json, "direction", hb_direction_sign(m->direction));
    hb_json_whole(json, "check_every", m->check_every);
    hb_json_end(json);
}

/* The judgement of the whole answer by the parameters. */
typedef struct verdict {
    double value, p_fail;
    bool risky;
} verdict;

/* False when there are no parameters for the watched signal. */
static bool judge(const generate_options *o, const hb_generation *g, verdict *v)
{
    const hb_monitor *m = &o->engine.monitor;
    if (!o->params_path || o->watched || g->n_steps == 0) return false;
    v->value = m->joint ? g->last.watched : hb_scores_get(g->scores, o->score);
    v->p_fail = hb_p_fail_by(m->map, v->value, m->tau, m->lambda, m->direction);
    v->risky = hb_is_flagged(v->value, m->tau, m->direction);
    return true;
}

static void write_answer(hb_json *json, const generate_options *o, const hb_generation *g)
{
    verdict v;
    if (!judge(o, g, &v)) {
        hb_json_null(json, "answer");
        return;
    }
    hb_json_row(json, "answer");
    hb_json_text(json, "score", o->params->score);
    hb_json_number(json, "value", v.value);
    hb_json_number(json, "p_fail", v.p_fail);
    hb_json_bool(json, "risky", v.risky);
    hb_json_end(json);
}

/* Each signal's score by its usual aggregation. */
static void write_scores(hb_json *json, const hb_generation *g)
{
    const hb_signal *signal;
    hb_json_object(json, "scores");
    for (size_t i = 0; (signal = hb_signal_set_at(g->signals, i)) != NULL; i++) {
        hb_score_id id = {signal, hb_signal_usual(signal)};
        hb_json_number(json, hb_signal_name(signal), hb_scores_get(g->scores, id));
    }
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
    write_halt(&json, g);
    write_answer(&json, o, g);
    write_scores(&json, g);
    write_monitor(&json, &o->engine.monitor);
    hb_json_number(&json, "prompt_seconds", g->prompt_seconds);
    hb_json_number(&json, "decode_seconds", g->decode_seconds);
    hb_json_array(&json, "trajectory");
    for (size_t i = 0; i < g->n_steps; i++) write_step(&json, &g->trajectory[i]);
    hb_json_end(&json);
    hb_json_end(&json);
    return cli_print_json(&json);
}

static void print_summary(const generate_options *o, const hb_generation *g)
{
    const hb_monitor *m = &o->engine.monitor;
    double whole = hb_scores_value(g->scores, hb_signal_name(m->watched));
    verdict v;
    if (o->quiet) return;
    if (g->finish == HB_FINISH_HALTED)
        cli_message("halted at step %d: P_fail %.4f reached the cutoff %g (%s %.4f, tau %.4f)",
                    g->last.step, g->last.p_fail, g->cutoff, watched_name(m), g->last.watched, m->tau);
    else
        cli_message("%s: %d tokens, %s %.4f", hb_finish_name(g->finish), g->n_tokens, watched_name(m),
                    m->joint ? g->last.watched : whole);
    if (judge(o, g, &v))
        cli_message("the answer is %srisky: %s %.4f, tau %.4f, P_fail %.4f", v.risky ? "" : "not ",
                    o->params->score, v.value, m->tau, v.p_fail);
}

/* Opens the file before generation, so that a bad path fails early. Truncates it only afterwards. Opens
 * a pipe without waiting for its reader. */
static FILE *open_trajectory(const char *path)
{
    int fd = hb_open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY, 0666);
    FILE *file = fd < 0 || fcntl(fd, F_SETFL, 0) != 0 ? NULL : fdopen(fd, "wb");
    if (file) return file;
    cli_message("%s: %s", path, errno == ENXIO ? "is a pipe that nothing reads" : strerror(errno));
    if (fd >= 0) close(fd);
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

/* ---- Running ------------------------------------------------------------------------------------- */

static hb_status generate_from(const generate_options *o, hb_session *session, const hb_buffer *prompt,
                               hb_generation *g, hb_error *err)
{
    int32_t *tokens;
    size_t n;
    hb_status status = hb_chat_prompt(hb_session_model(session), o->chat.chat, o->chat.system,
                                      prompt->data, prompt->length, &tokens, &n, err);
    if (status) return status;
    status = hb_generate_tokens(session, tokens, n, &o->engine, g, err);
    free(tokens);
    return status;
}

static int generate(generate_options *o, hb_session *session, const hb_buffer *prompt, FILE *trajectory)
{
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
    bool terminal = isatty(STDOUT_FILENO);
    stream s = {.coloured =
                    terminal && !(no_colour && *no_colour) && !(term && strcmp(term, "dumb") == 0),
                .cutoff = o->engine.monitor.cutoff};
    hb_generation g;
    hb_error err;
    if (!o->json) o->engine.on_token = on_token;
    o->engine.cancelled = cli_interrupted;
    o->engine.user = &s;
    cli_catch_interrupts();
    hb_status status = generate_from(o, session, prompt, &g, &err);
    print_pending(&s, true, 0);
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
    if (!code && g.finish == HB_FINISH_CANCELLED) code = CLI_INTERRUPTED;
    hb_generation_free(&g);
    return code;
}

static int open_and_generate(generate_options *o, const hb_buffer *prompt)
{
    hb_model *model = NULL;
    hb_session *session = NULL;
    hb_error err;
    hb_session_options so = {.n_ctx = o->n_ctx, .n_threads = o->n_threads};
    FILE *trajectory = NULL;
    int code = CLI_DONE;
    if (hb_model_open(o->model_path, &model, &err)) return cli_fail(&err);
    cli_show_warnings(model);
    if (cli_chat_find(&o->chat, model, &err)) code = cli_fail(&err);
    else if (!o->quiet) cli_chat_warn(&o->chat, model, prompt);
    if (!code) code = apply_params(o, hb_model_get_info(model));
    if (!code && hb_session_open(model, &so, &session, &err)) code = cli_fail(&err);
    if (!code && o->trajectory_path && !(trajectory = open_trajectory(o->trajectory_path)))
        code = CLI_FAILED;
    if (!code) code = generate(o, session, prompt, trajectory);
    hb_session_close(session);
    cli_chat_close(&o->chat);
    hb_model_close(model);
    hb_params_free(o->params);
    return code;
}

/* Finds the signal that --watch names. False, with *code, for none or several. */
static bool find_watched(const cli_command *command, generate_options *o, int *code)
{
    hb_error err;
    hb_signal_set *set = NULL;
    *code = CLI_DONE;
    if (!o->watched) return true;
    if (hb_signal_set_parse(o->watched, &set, &err))
        *code = cli_usage(command, "--watch: %s", err.message);
    else if (hb_signal_set_count(set) > 1)
        *code = cli_usage(command, "--watch: takes one signal, not several");
    else o->watched_signal = hb_signal_set_at(set, 0);
    hb_signal_set_free(set);
    return *code == CLI_DONE;
}

/* Without --model, uses the demo model, and its parameters unless an option selects what to watch. */
static int take_embedded(const cli_command *command, generate_options *o, char **own_model,
                         char **own_params)
{
    bool told = o->model_path || o->watched || o->tau_given || o->lambda_given || o->direction_given;
    int code = cli_embedded(command, "--model", CLI_DEMO_MODEL, o->quiet, &o->model_path, own_model);
    if (code || told) return code;
    return cli_embedded(command, "--params", CLI_DEMO_PARAMS, o->quiet, &o->params_path, own_params);
}

static int check_usage(const cli_command *command, generate_options *o)
{
    int code = CLI_DONE;
    for (size_t i = 0; i < o->stops.n; i++)
        if (!*o->stops.texts[i]) return cli_usage(command, "--stop: the text is empty");
    o->engine.stops = o->stops.texts;
    o->engine.n_stops = o->stops.n;
    if (!find_watched(command, o, &code)) return code;
    cli_chat_check(command, &o->chat, &code);
    return code;
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    generate_options o = {0};
    const char *operand;
    char *own_model = NULL, *own_params = NULL;
    hb_buffer prompt = {0};
    int code;
    add_options(&options, &o);
    bool ready = cli_parse(command, &options, argc, argv, &operand, &code);
    if (ready) code = check_usage(command, &o);
    if (ready && !code) code = take_embedded(command, &o, &own_model, &own_params);
    if (ready && !code) code = cli_read_operand(operand, &prompt);
    if (ready && !code) code = open_and_generate(&o, &prompt);
    hb_buffer_free(&prompt);
    free(own_model);
    free(own_params);
    free(o.stops.texts);
    return code;
}

const cli_command cli_generate = {
    .name = "generate",
    .operand = "PROMPT",
    .summary = "generate text, and halt before a likely hallucination",
    .details = "Continues PROMPT (- reads it from standard input), measures the model's uncertainty at "
               "each token, and halts before a risky one. On a terminal, P_fail colours the tokens "
               "green, yellow or red; NO_COLOR=1 switches that off. --json prints the text, tokens, "
               "reason for ending, scores and trajectory.",
    .run = run,
};
