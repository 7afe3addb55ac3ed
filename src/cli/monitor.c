/* How an answer is watched: the options, the parameters, and the results as JSON. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "report/values.h"

/* ---- Options ------------------------------------------------------------------------------------- */

void cli_monitor_add(cli_options *options, cli_monitor *w)
{
    *w = (cli_monitor){.monitor = hb_monitor_defaults()};
    hb_monitor *m = &w->monitor;
    w->tau = m->tau;
    w->lambda = m->lambda;
    w->direction = (int)m->direction;
    cli_begin_group(options, CLI_GROUP_THRESHOLD);
    cli_add_text(options, "params", 'p', "FILE", &w->params_path,
                 "parameters from hbar calibrate: signal, tau, direction, lambda, map and halt")
        ->standard =
        "the newest in " CLI_PARAMS_DIR " that match the model; else the demo model has its own";
    cli_add_text(options, "watch", 0, "SIGNAL", &w->watched,
                 "signal to compare with tau; overrides --params")
        ->standard = hb_signal_name(m->watched);
    cli_add_real(options, "tau", 0, "T", &w->tau, -1e300, 1e300,
                 "threshold of the signal; overrides --params")
        ->given = &w->tau_given;
    cli_add_choice(options, "direction", 0, NULL, &w->direction, cli_directions(false),
                   "which side of tau is risky; overrides --params")
        ->given = &w->direction_given;
    cli_add_real(options, "lambda", 0, "L", &w->lambda, 1e-300, 1e300,
                 "steepness of P_fail around tau; overrides --params")
        ->given = &w->lambda_given;
    cli_add_real(
        options, "cutoff", 0, "P", &m->cutoff, 1e-300, 1e300,
        "halt before a token whose P_fail reaches P, without a guarantee; above 1, never halt; "
        "replaces the halt of --params if it is given")
        ->given = &w->cutoff_given;
}

/* Finds the signal that --watch names. */
bool cli_monitor_check(const cli_command *command, cli_monitor *w, int *code)
{
    hb_error err;
    hb_signal_set *set = NULL;
    *code = CLI_DONE;
    size_t place;
    if (!w->watched) return true;
    if (hb_measure_find(w->watched, &place)) {
        *code = cli_usage(command, "--watch: %s %s the whole answer, so it cannot halt", w->watched,
                          hb_measure_question(place) ? "puts questions to a model about"
                                                     : "compares several samples of");
        return false;
    }
    if (hb_signal_set_parse(w->watched, &set, &err))
        *code = cli_usage(command, "--watch: %s", err.message);
    else if (hb_signal_set_count(set) > 1)
        *code = cli_usage(command, "--watch: takes one signal, not several");
    else w->watched_signal = hb_signal_set_at(set, 0);
    hb_signal_set_free(set);
    return *code == CLI_DONE;
}

int cli_monitor_embedded(const cli_command *command, cli_monitor *w, bool quiet,
                         const char **model_path, char **own)
{
    w->demo = !*model_path;
    return cli_embedded(command, "--model", CLI_DEMO_MODEL, quiet, model_path, own);
}

/* ---- Parameters ---------------------------------------------------------------------------------- */

void cli_warn_no_halt(const char *params_path)
{
    cli_message("warning: %s has no calibrated halt, so no answer is halted, only judged when it is "
                "finished; --cutoff P halts where P_fail reaches P, without a guarantee",
                params_path);
}

/* Warns if the parameters were calibrated with another rounding. */
static void check_rounding(const cli_monitor *w, const hb_session_options *session)
{
    const hb_params *p = w->params;
    hb_kv_type usual = session->exact ? HB_KV_F32 : HB_KV_F16;
    hb_kv_type here = session->kv_type ? session->kv_type : usual;
    if (p->knows_exact && p->exact != session->exact)
        cli_message("warning: %s was calibrated %s --exact", w->params_path,
                    p->exact ? "with" : "without");
    else if (p->kv_type && p->kv_type != here)
        cli_message("warning: %s was calibrated with --kv-type %s, not %s", w->params_path,
                    hb_kv_type_name(p->kv_type), hb_kv_type_name(here));
}

/* Warns if the parameters were calibrated on something else. */
static void check_params(const cli_monitor *w, const hb_model *opened, const cli_chat *chat,
                         const hb_session_options *session)
{
    const hb_params *p = w->params;
    const hb_model_info *model = hb_model_get_info(opened);
    if (!hb_params_same_model(p, model))
        cli_message("warning: %s was calibrated on another model (%s, %llu bytes), not %s, %llu bytes",
                    w->params_path, *p->model_name ? p->model_name : "unknown",
                    (unsigned long long)p->model_size, model->name,
                    (unsigned long long)model->file_size);
    if (!hb_params_same_chat(p, chat->format, chat->system))
        cli_message("warning: %s was calibrated with another chat format or system message (%s)",
                    w->params_path, *p->chat ? p->chat : "without --chat");
    check_rounding(w, session);
    if (p->knows_exact && strcmp(p->engine, cli_engine_setting(opened)) != 0)
        cli_message("warning: %s was calibrated with the engine %s", w->params_path,
                    cli_engine_name(p->engine));
}

/* Refuses parameters of a score that is not known while an answer is generated. */
static int refuse_score(const cli_monitor *w)
{
    const hb_params *p = w->params;
    const char *measure = cli_measure_needed(p, CLI_NEED_PASS1), *why = "hbar does not measure";
    if (cli_measure_needed(p, CLI_NEED_STATES)) {
        measure = cli_measure_needed(p, CLI_NEED_STATES);
        why = "reads the states of samples; generate, judge and serve do not keep them";
    } else if (measure) {
        why = "puts questions to a model; generate, judge and serve do not ask them";
    } else if ((measure = cli_measure_needed(p, CLI_NEED_SAMPLES)) != NULL) {
        why = "compares several samples of the whole answer, so it cannot halt; generate --samples N "
              "judges answers by it";
    } else if (strcmp(p->score, HB_SCORE_P_YES) == 0) {
        why = "only judgements of responses have";
    }
    cli_message("%s: calibrated on the score '%s', which %s", w->params_path,
                measure ? measure : p->score, why);
    return CLI_FAILED;
}

/* Takes the halt, unless an option overrides it. Without one nothing halts: tau was chosen for whole
 * answers, so halting by it at single tokens would stop an unknown share of the right answers. */
static void take_halt(cli_monitor *w, bool quiet)
{
    const hb_params *p = w->params;
    bool overridden = w->watched || w->tau_given || w->direction_given || w->cutoff_given;
    if (overridden) return;
    if (p->halt.rule.kind != HB_HALT_NONE) {
        w->monitor.halt = &p->halt;
    } else {
        w->monitor.cutoff = INFINITY;
        if (!quiet) cli_warn_no_halt(w->params_path);
    }
    if (w->monitor.halt && hb_halt_stops_all(w->monitor.halt) && !quiet)
        cli_message("warning: the halt of %s stops every answer before its first token: its cusum is "
                    "never below %g",
                    w->params_path, w->monitor.halt->tau);
    if (w->monitor.halt && w->monitor.check_every > 1 && !quiet)
        cli_message(
            "warning: --check-every %d leaves out tokens, so the guarantee of the halt does not "
            "hold",
            w->monitor.check_every);
}

/* Adds the probes of the parameters to the measured signals, where the calibrated score needs them. A
 * probe on another model would measure nothing, so it is refused. */
static int take_probes(cli_monitor *w, const hb_model *opened)
{
    const hb_model_info *model = hb_model_get_info(opened);
    const hb_params *p = w->params;
    hb_error err;
    if (!p->n_probes || w->watched) return CLI_DONE;
    if (!hb_params_same_model(p, model)) {
        cli_message("%s: its probes were trained on another model (%s, %llu bytes), not %s, %llu bytes",
                    w->params_path, *p->model_name ? p->model_name : "unknown",
                    (unsigned long long)p->model_size, model->name,
                    (unsigned long long)model->file_size);
        return CLI_FAILED;
    }
    if (hb_signal_set_of_model(opened, &w->signals, &err)) return cli_fail(&err);
    for (size_t i = 0; i < p->n_probes; i++) {
        const hb_signal *signal = hb_probe_signal(p->probes[i]);
        bool needed = strcmp(p->score, hb_probe_name(p->probes[i])) == 0;
        for (size_t k = 0; k < p->joint.n_features; k++)
            needed = needed || strcmp(p->joint.features[k].score, hb_probe_name(p->probes[i])) == 0;
        if (!needed) continue;
        if (!p->joint.n_features) w->score = (hb_score_id){signal, hb_signal_usual(signal)};
        if (hb_signal_set_add(w->signals, signal, &err)) return cli_fail(&err);
    }
    w->monitor.signals = w->signals;
    return CLI_DONE;
}

/* Whether the parameters have a probe of their score's name. */
static bool has_probe(const hb_params *p)
{
    for (size_t i = 0; i < p->n_probes; i++)
        if (strcmp(p->score, hb_probe_name(p->probes[i])) == 0) return true;
    return false;
}

/* Takes tau, lambda, alpha, direction and map from the file. The map is not used with options that
 * override the file, because it was fitted to another signal or threshold. */
static int take_params(cli_monitor *w, const hb_model *model, const cli_chat *chat,
                       const hb_session_options *session, bool quiet)
{
    hb_error err;
    hb_monitor *m = &w->monitor;
    if (hb_params_load(w->params_path, &w->params, &err)) return cli_fail(&err);
    const hb_params *p = w->params;
    hb_score_find("hbar_s", &w->score);
    bool known = p->joint.n_features || has_probe(p) || hb_score_find(p->score, &w->score);
    bool by_samples = cli_measure_needed(p, CLI_NEED_SAMPLES),
         asked = cli_measure_needed(p, CLI_NEED_PASS1);
    if ((!known && !by_samples) || (by_samples && !w->draws) || asked) return refuse_score(w);
    int code = take_probes(w, model);
    if (code) return code;
    if (!quiet) check_params(w, model, chat, session);
    m->watched = w->score.signal;
    if (by_samples) m->watched = NULL; /* the score is known only after the answer */
    else if (p->joint.n_features && !w->watched) m->joint = &p->joint;
    m->tau = p->tau;
    m->lambda = p->lambda;
    m->alpha = p->alpha;
    m->direction = p->direction;
    if (!w->watched && !w->tau_given && !w->lambda_given && !w->direction_given) m->map = &p->map;
    if (!by_samples) take_halt(w, quiet);
    return CLI_DONE;
}

/* Says which file was passed over, and why. */
static void say_broken(void *user, const hb_error *why)
{
    const bool *quiet = user;
    if (!*quiet) cli_message("warning: passed over broken parameters: %s", why->message);
}

/* Finds parameters when none are named. */
static int find_params(const cli_command *command, cli_monitor *w, const hb_model *model,
                       const cli_chat *chat, bool quiet)
{
    hb_error err;
    if (hb_params_find(CLI_PARAMS_DIR, model, chat->format, chat->system, say_broken, &quiet,
                       &w->own_params_path, &err))
        return cli_fail(&err);
    w->params_path = w->own_params_path;
    if (w->params_path && !quiet)
        cli_message("no --params given: using the newest that match the model, %s", w->params_path);
    if (w->params_path || !w->demo) return CLI_DONE;
    return cli_embedded(command, "--params", CLI_DEMO_PARAMS, quiet, &w->params_path,
                        &w->own_params_path);
}

int cli_monitor_open(const cli_command *command, cli_monitor *w, const hb_model *model,
                     const cli_chat *chat, const hb_session_options *session, bool quiet)
{
    bool by_hand = w->watched || w->tau_given || w->lambda_given || w->direction_given;
    int code = w->params_path || by_hand ? CLI_DONE : find_params(command, w, model, chat, quiet);
    if (!code && w->params_path) code = take_params(w, model, chat, session, quiet);
    if (w->watched) w->monitor.watched = w->watched_signal;
    if (w->tau_given) w->monitor.tau = w->tau;
    if (w->lambda_given) w->monitor.lambda = w->lambda;
    if (w->direction_given) w->monitor.direction = (hb_direction)w->direction;
    return code;
}

void cli_monitor_close(cli_monitor *w)
{
    hb_signal_set_free(w->signals);
    hb_params_free(w->params);
    free(w->own_params_path);
}

const char *cli_watched_name(const hb_monitor *m)
{
    return m->joint ? "joint" : m->watched ? hb_signal_name(m->watched) : "none";
}

/* The value of one of the parameters' scores, by the name of its tail. NaN if it is not known. */
static double value_of(const cli_monitor *w, const hb_generation *g, const char *name)
{
    double value = hb_scores_value(g->scores, name);
    return isnan(value) ? hb_scores_value(w->of_samples, name) : value;
}

/* The value of a calibrated score that has measures over samples. */
static double value_by_samples(const cli_monitor *w, const hb_generation *g)
{
    const hb_joint *joint = &w->params->joint;
    double *values, log_odds;
    if (!joint->n_features) return value_of(w, g, w->params->score);
    values = calloc(joint->n_features, sizeof *values);
    if (!values) return NAN;
    for (size_t i = 0; i < joint->n_features; i++) values[i] = value_of(w, g, joint->features[i].score);
    log_odds = hb_joint_log_odds(joint, values);
    free(values);
    return log_odds;
}

bool cli_monitor_judge(const cli_monitor *w, const hb_generation *g, cli_verdict *v)
{
    const hb_monitor *m = &w->monitor;
    if (!w->params || w->watched || g->n_steps == 0) return false;
    if (cli_measure_needed(w->params, CLI_NEED_SAMPLES)) v->value = value_by_samples(w, g);
    else if (m->joint) v->value = g->last.watched;
    else v->value = hb_scores_get(g->scores, hb_score_tail(w->score, m->direction));
    if (isnan(v->value)) return false;
    v->p_fail = hb_p_fail_by(m->map, v->value, m->tau, m->lambda, m->direction);
    v->risky = hb_is_flagged(v->value, m->tau, m->direction);
    return true;
}

void cli_monitor_why(const cli_monitor *w, const hb_step *s, char *text, size_t size)
{
    const hb_monitor *m = &w->monitor;
    char rule[HB_HALT_RULE_BYTES];
    if (m->halt) {
        hb_halt_rule_text(&m->halt->rule, rule);
        bool token = m->halt->rule.kind == HB_HALT_TOKEN;
        snprintf(text, size, "%s%s%s %.4f reached %.4f", token ? "" : rule, token ? "" : " of ",
                 cli_watched_name(m), s->halt, m->halt->tau);
    } else {
        snprintf(text, size, "P_fail %.4f reached the cutoff %g (%s %.4f, tau %.4f)", s->p_fail,
                 m->cutoff, cli_watched_name(m), s->watched, m->tau);
    }
}

/* ---- JSON ---------------------------------------------------------------------------------------- */

void cli_write_step(hb_json *json, const hb_step *s)
{
    const hb_signal *signal;
    hb_json_whole(json, "step", s->step);
    hb_json_whole(json, "token", s->token);
    hb_json_number(json, "impurity", s->impurity);
    hb_json_number(json, "watched", s->watched);
    hb_json_number(json, "p_fail", s->p_fail);
    hb_json_number(json, "halt", s->halt);
    for (size_t i = 0; (signal = hb_signal_set_at(s->signals, i)) != NULL; i++)
        hb_json_number(json, hb_signal_name(signal), s->values[i]);
}

void cli_write_halt(hb_json *json, const cli_monitor *w, const hb_generation *g)
{
    const hb_halt *halt = w->monitor.halt;
    size_t i = 0;
    while (i < g->n_steps && g->trajectory[i].step != g->alarm) i++;
    if (i == g->n_steps) {
        hb_json_null(json, "halt");
        return;
    }
    hb_json_row(json, "halt");
    hb_json_whole(json, "step", g->alarm);
    hb_json_number(json, "p_fail", g->trajectory[i].p_fail);
    if (halt) hb_json_number(json, "statistic", g->trajectory[i].halt);
    if (halt) hb_json_number(json, "tau", halt->tau);
    else hb_json_number(json, "cutoff", g->cutoff);
    hb_json_end(json);
}

void cli_write_verdict(hb_json *json, const cli_monitor *w, const hb_generation *g)
{
    cli_verdict v;
    if (!cli_monitor_judge(w, g, &v)) {
        hb_json_null(json, "answer");
        return;
    }
    hb_json_row(json, "answer");
    hb_json_text(json, "score", w->params->score);
    hb_json_number(json, "value", v.value);
    hb_json_number(json, "p_fail", v.p_fail);
    hb_json_bool(json, "risky", v.risky);
    hb_json_end(json);
}

/* Writes each signal's score by its usual aggregation: both tails, because most signals have no
 * direction here. */
void cli_write_scores(hb_json *json, const hb_generation *g)
{
    hb_score_id id;
    hb_json_object(json, "scores");
    for (size_t i = 0, measured = 0; hb_score_at(g->signals, i, &id); i++) {
        if (!hb_aggregation_is_measured(id.aggregation)) continue;
        const hb_score_id usual = {id.signal, hb_signal_usual(id.signal)};
        if (hb_score_tail(usual, HB_DIRECTION_HIGH).aggregation == id.aggregation ||
            hb_score_tail(usual, HB_DIRECTION_LOW).aggregation == id.aggregation)
            hb_json_number(json, hb_scores_name(g->scores, measured),
                           hb_scores_at(g->scores, measured));
        measured++;
    }
    hb_json_end(json);
}

void cli_write_monitor(hb_json *json, const cli_monitor *w)
{
    const hb_monitor *m = &w->monitor;
    hb_json_object(json, "monitor");
    hb_json_text(json, "watched", cli_watched_name(m));
    hb_json_number(json, "tau", m->tau);
    hb_json_number(json, "lambda", m->lambda);
    hb_json_text(json, "map", hb_map_kind_name(m->map ? m->map->kind : HB_MAP_LAMBDA));
    hb_json_number(json, "cutoff", m->cutoff);
    hb_json_number(json, "alpha", m->alpha);
    hb_json_text(json, "direction", hb_direction_sign(m->direction));
    hb_json_whole(json, "check_every", m->check_every);
    hb_json_halt(json, "halt", m->halt);
    hb_json_end(json);
}
