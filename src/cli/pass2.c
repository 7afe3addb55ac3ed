/* Pass 2 in `calibrate` and `sweep`: its options and the output of its result. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "cli/cli.h"

enum { GRID_QUANTILES, GRID_EXACT }; /* indices of the choices of --tau-grid */

void cli_draws_add(cli_options *options, uint64_t *n_draws)
{
    *n_draws = hb_bootstrap_defaults().n_draws;
    cli_add_count(options, "draws", 0, "N", n_draws, 0, 1e6,
                  "bootstrap draws for confidence intervals; 0 means no intervals");
}

bool cli_draws_check(const cli_command *command, uint64_t n_draws, int *code)
{
    if (n_draws == 0 || n_draws >= 100) return true;
    *code = cli_usage(command, "--draws: 0, or 100 and more");
    return false;
}

/* Names of enum values, used as choices of options. */
typedef struct choices {
    const char *maps[5], *grids[3];
} choices;

static const choices *name_choices(void)
{
    static choices c;
    for (int i = 0; i <= HB_MAP_ISOTONIC; i++) c.maps[i] = hb_map_kind_name((hb_map_kind)i);
    c.grids[GRID_QUANTILES] = hb_grid_name(HB_GRID_QUANTILES);
    c.grids[GRID_EXACT] = hb_grid_name(HB_GRID_EXACT);
    return &c;
}

const char *const *cli_directions(bool automatic)
{
    static const char *names[2][4];
    for (int i = 0; i <= (automatic ? HB_DIRECTION_AUTO : HB_DIRECTION_LOW); i++)
        names[automatic][i] = hb_direction_name((hb_direction)i);
    return names[automatic];
}

static void add_range_options(cli_options *options, cli_pass2 *p)
{
    cli_option *start = cli_add_real(options, "tau-start", 0, "A", &p->start, -1e300, 1e300,
                                     "try the thresholds A, A + S ... B instead of quantiles");
    cli_option *stop =
        cli_add_real(options, "tau-stop", 0, "B", &p->stop, -1e300, 1e300, "last threshold to try");
    cli_option *step = cli_add_real(options, "tau-step", 0, "S", &p->step, 1e-300, 1e300,
                                    "step between these thresholds");
    start->given = &p->start_given;
    stop->given = &p->stop_given;
    step->given = &p->step_given;
    start->standard = stop->standard = step->standard = "none";
}

void cli_pass2_add(cli_options *options, cli_pass2 *p)
{
    const choices *c = name_choices();
    *p = (cli_pass2){.min_recall = hb_sweep_defaults().min_recall, .direction = HB_DIRECTION_AUTO};
    cli_begin_group(options, CLI_GROUP_THRESHOLD);
    cli_add_real(options, "min-recall", 0, "R", &p->min_recall, 1e-9, 1,
                 "choose the highest precision among thresholds with at least this recall")
        ->given = &p->recall_given;
    cli_add_text(options, "guarantee", 0, "KIND=R,delta=D", &p->guarantee,
                 "choose tau so that, with probability 1 - D, at most R of the accepted answers are "
                 "hallucinated (risk=R), or at least R of the hallucinated ones are flagged "
                 "(recall=R)");
    cli_add_text(options, "halt", 0, "RULE", &p->halt,
                 "the statistic that halts: token, window:K, ewma:A, cusum, or none; over the value of "
                 "the score's signal, probe or joint model at each token")
        ->standard = "token";
    cli_add_text(options, "false-halts", 0, "R", &p->false_halts,
                 "choose the halt so that, with probability 0.95, it stops at most the share R of the "
                 "right answers; R,delta=D: with probability 1 - D")
        ->standard = "0.05";
    cli_add_text(
        options, "halts", 0, "R", &p->halts,
        "instead of --false-halts: choose the halt so that, with probability 0.95, it stops at least "
        "the share R of the hallucinated answers; R,delta=D as above");
    cli_add_choice(options, "direction", 0, NULL, &p->direction, cli_directions(true),
                   "which scores are risky; auto finds it from the data");
    cli_add_choice(options, "tau-grid", 0, NULL, &p->grid, c->grids,
                   "thresholds to try: quantiles of the scores, or every score");
    add_range_options(options, p);
    cli_option *map =
        cli_add_choice(options, "map", 0, "KIND", &p->map, c->maps,
                       "how a score becomes P_fail; all but lambda are fitted to the data");
    map->given = &p->map_given;
    map->standard = "lambda; with --joint and for one probe, platt";
    cli_add_flag(options, "joint", 0, &p->joint,
                 "calibrate a joint model of all the scores that --score names, instead of the best "
                 "one");
    cli_draws_add(options, &p->n_draws);
}

/* ---- Checks ------------------------------------------------------------------------------------- */

/* "0.1" or "0.1,delta=0.05"; without delta it is 0.05. */
static bool parse_target(const char *text, hb_guarantee *g)
{
    char *end;
    g->target = strtod(text, &end);
    g->delta = 0.05;
    if (strncmp(end, ",delta=", 7) == 0) g->delta = strtod(end + 7, &end);
    return !*end && g->target >= 1e-6 && g->target <= 1 - 1e-6 && g->delta >= 1e-6 && g->delta <= 0.5;
}

/* "risk=0.1,delta=0.05" or "recall=...". */
static bool parse_guarantee(const char *text, hb_guarantee *g)
{
    if (strncmp(text, "risk=", 5) == 0) g->kind = HB_GUARANTEE_RISK;
    else if (strncmp(text, "recall=", 7) == 0) g->kind = HB_GUARANTEE_RECALL;
    else return false;
    return parse_target(strchr(text, '=') + 1, g);
}

/* What halts. The halt is needed if an option asks for it. */
static int check_halt(const cli_command *command, cli_pass2 *p)
{
    hb_halt_options *o = &p->options.halt;
    const char *target = p->halts ? p->halts : p->false_halts;
    if (p->halt && !hb_halt_rule_parse(p->halt, &o->rule))
        return cli_usage(command,
                         "--halt: '%s' is not none, token, window:K with K from 1 to %d, ewma:A "
                         "with A above 0 and at most 1, or cusum",
                         p->halt, HB_HALT_WINDOW_MAX);
    if (p->halts && p->false_halts)
        return cli_usage(command, "--false-halts and --halts exclude each other");
    if (target && o->rule.kind == HB_HALT_NONE)
        return cli_usage(command, "--%s: --halt none calibrates no halt",
                         p->halts ? "halts" : "false-halts");
    if (target && !parse_target(target, &o->guarantee))
        return cli_usage(command, "--%s: '%s' is not like 0.05 or 0.05,delta=0.05",
                         p->halts ? "halts" : "false-halts", target);
    if (p->halts) o->guarantee.kind = HB_GUARANTEE_HALTS;
    p->options.needs_halt = target || (p->halt && o->rule.kind != HB_HALT_NONE);
    return CLI_DONE;
}

static int check_guarantee(const cli_command *command, cli_pass2 *p)
{
    if (!p->guarantee) return CLI_DONE;
    if (!parse_guarantee(p->guarantee, &p->options.sweep.guarantee))
        return cli_usage(command, "--guarantee: '%s' is not like risk=0.1,delta=0.05 or recall=0.9",
                         p->guarantee);
    if (p->start_given || p->stop_given || p->step_given || p->grid == GRID_EXACT || p->recall_given)
        return cli_usage(command, "--guarantee chooses tau among all scores; it excludes --min-recall, "
                                  "--tau-grid and a range of tau");
    return CLI_DONE;
}

/* A joint model's log-odds increase with the risk and need a fitted map. */
static int check_joint(const cli_command *command, cli_pass2 *p)
{
    if (!p->joint) return CLI_DONE;
    if (p->guarantee)
        return cli_usage(command, "--guarantee and --joint exclude each other: a guarantee needs a "
                                  "score that was not fitted to the same samples");
    if (p->direction == HB_DIRECTION_LOW)
        return cli_usage(command, "--direction: a joint model requires that high values are risky");
    if (!p->map_given) p->options.map = HB_MAP_PLATT;
    p->options.joint = true;
    return CLI_DONE;
}

static int check_range(const cli_command *command, cli_pass2 *p)
{
    int given = p->start_given + p->stop_given + p->step_given;
    if (!given) return CLI_DONE;
    if (given != 3) return cli_usage(command, "--tau-start, --tau-stop and --tau-step go together");
    if (p->grid == GRID_EXACT)
        return cli_usage(command, "--tau-grid exact and a range of tau exclude each other");
    if (p->stop < p->start) return cli_usage(command, "--tau-stop is below --tau-start");
    if ((p->stop - p->start) / p->step > 1e6)
        return cli_usage(command, "--tau-step gives more than a million values of tau");
    hb_sweep_options *o = &p->options.sweep;
    o->grid = HB_GRID_RANGE;
    o->start = p->start;
    o->stop = p->stop;
    o->step = p->step;
    return CLI_DONE;
}

/* Refuses a halt over scores that have no values at the steps. */
static int check_halting(const cli_command *command, const cli_pass2 *p, const hb_texts *scores)
{
    if (!p->options.needs_halt || (scores->n > 1 && !p->joint)) return CLI_DONE;
    for (size_t i = 0; i < scores->n; i++) {
        if (hb_score_can_halt(scores->list[i], p->joint)) continue;
        if (p->joint)
            return cli_usage(command,
                             "--halt: a joint model halts by means over the tokens, as in --score "
                             "probe,entropy:mean, and '%s' is none",
                             scores->list[i]);
        return cli_usage(command, "--halt: '%s' has no value at each token", scores->list[i]);
    }
    return CLI_DONE;
}

int cli_pass2_check_scores(const cli_command *command, const cli_pass2 *p, const hb_texts *scores)
{
    if (p->guarantee && scores->n > 1)
        return cli_usage(command, "--guarantee requires a single score chosen in advance, not the best "
                                  "of several");
    return check_halting(command, p, scores);
}

/* Log-odds need a fitted map. */
int cli_pass2_check_probes(const cli_command *command, cli_pass2 *p, const hb_texts *scores)
{
    const char *kind;
    for (size_t i = 0; (kind = hb_probe_kind_name(i)) != NULL; i++) {
        if (!hb_texts_has(scores, kind)) continue;
        if (p->guarantee)
            return cli_usage(command,
                             "--guarantee: a guarantee needs a score that was not fitted to the same "
                             "samples, so the probe '%s' cannot have one",
                             kind);
        if (!p->map_given && scores->n == 1) p->options.map = HB_MAP_PLATT;
    }
    return CLI_DONE;
}

bool cli_pass2_check(const cli_command *command, cli_pass2 *p, int *code)
{
    p->options = hb_calibrate_defaults();
    p->options.sweep.grid = p->grid == GRID_EXACT ? HB_GRID_EXACT : HB_GRID_QUANTILES;
    p->options.sweep.min_recall = p->min_recall;
    p->options.sweep.direction = (hb_direction)p->direction;
    p->options.map = (hb_map_kind)p->map;
    p->options.bootstrap.n_draws = (size_t)p->n_draws;
    if (!cli_draws_check(command, p->n_draws, code)) return false;
    *code = check_guarantee(command, p);
    if (!*code) *code = check_halt(command, p);
    if (!*code) *code = check_joint(command, p);
    if (!*code) *code = check_range(command, p);
    return *code == CLI_DONE;
}

/* ---- The result ---------------------------------------------------------------------------------- */

/* Prints a report, which is already clean text. */
static void put(const char *text)
{
    cli_write(text, strlen(text));
}

/* Prints the saved document with its path added as the last member. */
static int print_json(const char *json, const char *path)
{
    hb_error err;
    hb_json place = {0};
    char *text;
    if (!path) {
        put(json);
        put("\n");
        return CLI_DONE;
    }
    hb_json_text(&place, NULL, path);
    if (hb_json_finish(&place, &text, &err)) return cli_fail(&err);
    cli_write(json, strlen(json) - strlen("\n}"));
    put(",\n  \"parameters\": ");
    put(text);
    put("\n}\n");
    free(text);
    return CLI_DONE;
}

static int print_text(const hb_params_source *source, const hb_calibration_result *result,
                      const char *path)
{
    hb_error err;
    char *text;
    if (hb_params_text(source, result, &text, &err)) return cli_fail(&err);
    put(text);
    free(text);
    if (path) cli_print("Parameters: %s\n", path);
    return CLI_DONE;
}

int cli_pass2_report(const cli_pass2 *pass, const hb_params_source *source,
                     const hb_calibration_result *result, const char *output_dir, const char *name,
                     bool json)
{
    hb_error err;
    char *document = NULL, *path = NULL;
    uint64_t n = source->run ? source->run->n_samples : result->sweep.n;
    int code = CLI_DONE;
    if ((json || output_dir) && hb_params_json(source, result, &document, &err)) return cli_fail(&err);
    if (output_dir && hb_params_save(output_dir, name, n, document, &path, &err)) code = cli_fail(&err);
    if (!code) code = json ? print_json(document, path) : print_text(source, result, path);
    if (!code && !json && path && source->run) code = cli_print_next(source->run, pass, path);
    free(document);
    free(path);
    return code;
}
