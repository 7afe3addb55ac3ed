#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/buffer.h"
#include "base/utf8.h"
#include "cli/cli.h"

typedef struct generate_options {
    const char *model_path, *params_path, *trajectory_path, *watched, *stop;
    int32_t n_ctx, n_threads;
    bool tau_given, lambda_given, direction_given, quiet, json;
    double tau, lambda;
    int direction;
    hb_params *params;               /* of params_path */
    hb_score_id score;               /* that they are about, unless they are of a joint model */
    const hb_signal *watched_signal; /* that --watch names */
    cli_chat chat;
    hb_generate_options engine;
} generate_options;

/* Text on its way to standard output as it is generated. */
typedef struct stream {
    bool terminal, coloured, begun;
    hb_buffer pending, clean; /* bytes of a character not yet whole; text ready to print */
    double cutoff;
} stream;

static void add_options(cli_options *options, generate_options *o)
{
    o->engine = hb_generate_defaults();
    hb_monitor *m = &o->engine.monitor;
    hb_sampling *s = &o->engine.sampling;
    const cli_option own[] = {
        {"model", 'm', CLI_TEXT, &o->model_path, "FILE", "the model, GGUF; the demo's", 0, 0, NULL,
         NULL},
        {"params", 'p', CLI_TEXT, &o->params_path, "FILE",
         "signal, tau, direction and map to P_fail as hbar calibrate found them; the demo's for its "
         "model",
         0, 0, NULL, NULL},
        {"tau", 0, CLI_REAL, &o->tau, "T", "threshold on the signal watched; 2.0", -1e300, 1e300, NULL,
         &o->tau_given},
        {"lambda", 0, CLI_REAL, &o->lambda, "L", "steepness of P_fail around tau; 5.0", 1e-300, 1e300,
         NULL, &o->lambda_given},
        {"direction", 0, CLI_CHOICE, &o->direction, "high|low", "which side of tau is risky; high", 0,
         0, cli_directions, &o->direction_given},
        {"watch", 0, CLI_TEXT, &o->watched, "SIGNAL", "the signal that tau is for; hbar_s", 0, 0, NULL,
         NULL},
        {"cutoff", 0, CLI_REAL, &m->cutoff, "P", "halt at this P_fail; above 1 never; 0.85", 1e-300,
         1e300, NULL, NULL},
        {"max-tokens", 'n', CLI_INT, &o->engine.max_tokens, "N", "512", 1, 1 << 24, NULL, NULL},
        {"stop", 0, CLI_TEXT, &o->stop, "TEXT", "end before this text; none", 0, 0, NULL, NULL},
        {"one-line", 0, CLI_FLAG, &o->engine.one_line, NULL,
         "end with the first line that is not blank", 0, 0, NULL, NULL},
        {"check-every", 'k', CLI_INT, &m->check_every, "K", "check every K-th token; 1", 1, 1 << 24,
         NULL, NULL},
        {"temperature", 0, CLI_REAL, &s->temperature, "T", "0, the most probable token", 0, 100, NULL,
         NULL},
        {"top-k", 0, CLI_INT, &s->top_k, "K", "sample from the K most probable; 0: all", 0, 1 << 24,
         NULL, NULL},
        {"top-p", 0, CLI_REAL, &s->top_p, "P", "and from the fewest that reach this probability; 1",
         1e-9, 1, NULL, NULL},
        {"seed", 0, CLI_COUNT, &s->seed, "N", "of the sampling; 42", 0, 9e18, NULL, NULL},
        {"trajectory", 0, CLI_TEXT, &o->trajectory_path, "FILE", "write every checked step, JSON Lines",
         0, 0, NULL, NULL},
        {"ctx-size", 0, CLI_INT, &o->n_ctx, "N", "context; the model's, at most 4096", 1, 1 << 24, NULL,
         NULL},
        {"threads", 't', CLI_INT, &o->n_threads, "N", "threads; one for each processor", 1, 1024, NULL,
         NULL},
    };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) cli_add(options, own[i]);
    cli_chat_add(options, &o->chat);
    cli_add_common(options, &o->quiet, &o->json);
}

/* ---- Parameters ---------------------------------------------------------------------------------- */

/* Takes tau, lambda, alpha, direction and map from the file; options given by hand win over it, and
 * what P_fail is then of is no longer what the map was fitted to. */
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
        bool same = strcmp(p->model_name, model->name) == 0 && p->model_size == model->file_size &&
                    strcmp(p->model_architecture, model->architecture) == 0;
        if (!same && !o->quiet)
            cli_message(
                "warning: %s was calibrated on another model (%s, %llu bytes), not %s, %llu bytes",
                o->params_path, *p->model_name ? p->model_name : "unknown",
                (unsigned long long)p->model_size, model->name, (unsigned long long)model->file_size);
        if (!hb_params_same_chat(p, o->chat.format, o->chat.system) && !o->quiet)
            cli_message("warning: %s was calibrated on prompts put otherwise (%s)", o->params_path,
                        *p->chat ? p->chat : "without --chat");
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

/* From calm to risky, against the cutoff in force: green, yellow, red. */
static const char *colour_of(const stream *s, double p_fail)
{
    double share = p_fail / fmin(s->cutoff, 1);
    return share < 0.34 ? "\033[32m" : share < 0.67 ? "\033[33m" : "\033[31m";
}

/* A model can emit any byte: on a terminal, control characters other than line breaks and tabs are
 * shown as question marks, so that none can drive it. */
static void tame(hb_buffer *text)
{
    for (size_t i = 0; i < text->length; i++) {
        unsigned char c = (unsigned char)text->data[i];
        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7F) text->data[i] = '?';
        /* C1 controls are C2 80 to C2 9F in UTF-8. */
        if (c == 0xC2 && (unsigned char)text->data[i + 1] < 0xA0)
            text->data[i] = text->data[i + 1] = '?';
    }
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
    if (s->terminal) tame(&s->clean);
    if (s->coloured) fputs(colour_of(s, p_fail), stdout);
    fwrite(s->clean.data, 1, s->clean.length, stdout);
    if (s->coloured) fputs("\033[0m", stdout);
    fflush(stdout);
}

static void on_token(void *user, const hb_step *step, const char *bytes, size_t length)
{
    stream *s = user;
    if (hb_buffer_add(&s->pending, bytes, length)) print_pending(s, false, step->p_fail);
}

/* ---- Results ------------------------------------------------------------------------------------- */

static json_t *step_json(const hb_step *s)
{
    json_t *step = json_pack("{s:i, s:i, s:f, s:f, s:f}", "step", s->step, "token", s->token,
                             "impurity", s->impurity, "watched", s->watched, "p_fail", s->p_fail);
    const hb_signal *signal;
    for (size_t i = 0; (signal = hb_signal_set_at(s->signals, i)) != NULL; i++)
        json_object_set_new(step, hb_signal_name(signal), cli_number(s->values[i]));
    return step;
}

static json_t *halt_json(const hb_generation *g)
{
    if (g->finish != HB_FINISH_HALTED) return json_null();
    return json_pack("{s:i, s:f, s:f}", "step", g->last.step, "p_fail", g->last.p_fail, "cutoff",
                     g->cutoff);
}

static const char *watched_name(const hb_monitor *m)
{
    return m->joint ? "joint" : hb_signal_name(m->watched);
}

static json_t *monitor_json(const hb_monitor *m)
{
    return json_pack("{s:s, s:f, s:f, s:s, s:f, s:f, s:s, s:i}", "watched", watched_name(m), "tau",
                     m->tau, "lambda", m->lambda, "map",
                     hb_map_kind_name(m->map ? m->map->kind : HB_MAP_LAMBDA), "cutoff", m->cutoff,
                     "alpha", m->alpha, "direction",
                     m->direction == HB_DIRECTION_LOW ? "<=" : ">=", "check_every", m->check_every);
}

/* The whole answer, by the score that the parameters are about. */
typedef struct verdict {
    double value, p_fail;
    bool risky;
} verdict;

/* False where there are no parameters for what is watched. */
static bool judge(const generate_options *o, const hb_generation *g, verdict *v)
{
    const hb_monitor *m = &o->engine.monitor;
    if (!o->params_path || o->watched || g->n_steps == 0) return false;
    v->value = m->joint ? g->last.watched : hb_scores_get(g->scores, o->score);
    v->p_fail = hb_p_fail_by(m->map, v->value, m->tau, m->lambda, m->direction);
    v->risky = m->direction == HB_DIRECTION_LOW ? v->value <= m->tau : v->value >= m->tau;
    return true;
}

static json_t *answer_json(const generate_options *o, const hb_generation *g)
{
    verdict v;
    if (!judge(o, g, &v)) return json_null();
    return json_pack("{s:s, s:f, s:f, s:b}", "score", o->params->score, "value", v.value, "p_fail",
                     v.p_fail, "risky", (int)v.risky);
}

/* Each signal's score by its usual aggregation. */
static json_t *scores_json(const hb_generation *g)
{
    const hb_signal *signal;
    json_t *object = json_object();
    for (size_t i = 0; (signal = hb_signal_set_at(g->signals, i)) != NULL; i++) {
        hb_score_id id = {signal, hb_signal_usual(signal)};
        json_object_set_new(object, hb_signal_name(signal), cli_number(hb_scores_get(g->scores, id)));
    }
    return object;
}

static int print_result(const generate_options *o, const hb_generation *g)
{
    json_t *tokens = json_array(), *trajectory = json_array();
    for (int32_t i = 0; i < g->n_tokens; i++) json_array_append_new(tokens, json_integer(g->tokens[i]));
    for (size_t i = 0; i < g->n_steps; i++)
        json_array_append_new(trajectory, step_json(&g->trajectory[i]));
    json_t *root =
        json_pack("{s:s, s:o, s:i, s:i, s:b, s:s, s:o, s:o, s:o, s:o, s:f, s:f, s:o}", "text", g->text,
                  "tokens", tokens, "n_tokens", g->n_tokens, "n_prompt", g->n_prompt, "halted",
                  (int)(g->finish == HB_FINISH_HALTED), "reason", hb_finish_name(g->finish), "halt",
                  halt_json(g), "answer", answer_json(o, g), "scores", scores_json(g), "monitor",
                  monitor_json(&o->engine.monitor), "prompt_seconds", g->prompt_seconds,
                  "decode_seconds", g->decode_seconds, "trajectory", trajectory);
    return cli_print_json(root, JSON_INDENT(2));
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

/* Opened before generating, so that a bad path costs nothing, and emptied only after. */
static FILE *open_trajectory(const char *path)
{
    FILE *file = fopen(path, "ab");
    if (!file) cli_message("%s: %s", path, strerror(errno));
    return file;
}

static int write_trajectory(FILE *file, const char *path, const hb_generation *g)
{
    bool ok = ftruncate(fileno(file), 0) == 0;
    for (size_t i = 0; i < g->n_steps && ok; i++) {
        json_t *step = step_json(&g->trajectory[i]);
        ok = step && json_dumpf(step, file, JSON_COMPACT) == 0 && fputc('\n', file) != EOF;
        json_decref(step);
    }
    ok = fclose(file) == 0 && ok;
    if (!ok) cli_message("%s: %s", path, strerror(errno));
    return ok ? CLI_DONE : CLI_FAILED;
}

/* ---- Running ------------------------------------------------------------------------------------- */

static hb_status generate_from(const generate_options *o, hb_session *session, const hb_buffer *prompt,
                               hb_generation *g, hb_error *err)
{
    int32_t *tokens;
    size_t n;
    hb_status status = hb_prompt_tokenize(hb_session_model(session), o->chat.format, o->chat.system,
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
    stream s = {.terminal = terminal,
                .coloured =
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
    if (!o->json && (s.begun || !status) && !line_ended) putchar('\n');
    fflush(stdout);
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
    if (!code) code = apply_params(o, hb_model_get_info(model));
    if (!code && hb_session_open(model, &so, &session, &err)) code = cli_fail(&err);
    if (!code && o->trajectory_path && !(trajectory = open_trajectory(o->trajectory_path)))
        code = CLI_FAILED;
    if (!code) code = generate(o, session, prompt, trajectory);
    hb_session_close(session);
    hb_model_close(model);
    hb_params_free(o->params);
    return code;
}

/* Which signal --watch names; false, with *code, for none or several. */
static bool find_watched(const cli_command *command, generate_options *o, int *code)
{
    hb_error err;
    hb_signal_set *set = NULL;
    *code = CLI_DONE;
    if (!o->watched) return true;
    if (hb_signal_set_parse(o->watched, &set, &err))
        *code = cli_usage(command, "--watch: %s", err.message);
    else if (hb_signal_set_count(set) > 1)
        *code = cli_usage(command, "--watch: one signal alone can be watched");
    else o->watched_signal = hb_signal_set_at(set, 0);
    hb_signal_set_free(set);
    return *code == CLI_DONE;
}

/* The demo's model where none is given, with what was calibrated for it unless anything is told of
 * that. */
static int take_embedded(const cli_command *command, generate_options *o, char **own_model,
                         char **own_params)
{
    bool told = o->model_path || o->watched || o->tau_given || o->lambda_given || o->direction_given;
    int code = cli_embedded(command, "--model", CLI_DEMO_MODEL, o->quiet, &o->model_path, own_model);
    if (code || told) return code;
    return cli_embedded(command, "--params", CLI_DEMO_PARAMS, o->quiet, &o->params_path, own_params);
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    generate_options o = {0};
    const char *operand;
    int code;
    add_options(&options, &o);
    if (!cli_parse(command, &options, argc, argv, &operand, &code)) return code;
    if (!operand) return cli_usage(command, "a prompt is required");
    o.engine.stops = &o.stop;
    o.engine.n_stops = o.stop != NULL;
    if (o.stop && !*o.stop) return cli_usage(command, "--stop: the text is empty");
    if (!find_watched(command, &o, &code) || !cli_chat_check(command, &o.chat, &code)) return code;
    if (o.direction_given && o.direction == HB_DIRECTION_AUTO)
        return cli_usage(command, "--direction: auto needs data; high or low");
    char *own_model = NULL, *own_params = NULL;
    hb_buffer prompt = {0};
    code = take_embedded(command, &o, &own_model, &own_params);
    if (!code) code = cli_read_operand(operand, &prompt);
    if (!code) code = open_and_generate(&o, &prompt);
    hb_buffer_free(&prompt);
    free(own_model);
    free(own_params);
    return code;
}

const cli_command cli_generate = {
    .name = "generate",
    .operand = "PROMPT",
    .summary = "continue a prompt, watching and halting",
    .details =
        "Continues PROMPT (- reads it from standard input), measuring the model's uncertainty at each "
        "token\n"
        "and halting before a risky one. On a terminal, tokens are coloured by P_fail: green, yellow, "
        "red\n"
        "(NO_COLOR switches that off). --json gives text, tokens, reason, scores and the trajectory.",
    .run = run,
};
