/* Pass 2 as `calibrate` and `sweep` run it: sweep, save, and say what came out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

const char *const cli_directions[] = {"high", "low", "auto", NULL};
static const char *const maps[] = {"lambda", "fit-lambda", "platt", "isotonic", NULL};
static const char *const grids[] = {"quantiles", "exact", NULL};

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

static void add_range_options(cli_options *options, cli_pass2 *p)
{
    cli_option *start = cli_add_real(options, "tau-start", 0, "A", &p->start, -1e300, 1e300,
                                     "try the thresholds A, A + S ... B instead");
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
    *p = (cli_pass2){.min_recall = hb_sweep_defaults().min_recall, .direction = HB_DIRECTION_AUTO};
    cli_begin_group(options, CLI_GROUP_THRESHOLD);
    cli_add_real(options, "min-recall", 0, "R", &p->min_recall, 1e-9, 1,
                 "choose the highest precision among thresholds with at least this recall")
        ->given = &p->recall_given;
    cli_add_text(options, "guarantee", 0, "KIND=R,delta=D", &p->guarantee,
                 "choose tau so that, with probability 1 - D, at most R of the accepted answers are "
                 "hallucinated (risk=R), or at least R of the hallucinated ones are flagged "
                 "(recall=R)");
    cli_add_choice(options, "direction", 0, NULL, &p->direction, cli_directions,
                   "which scores are risky; auto finds it from the data");
    cli_add_choice(options, "tau-grid", 0, NULL, &p->grid, grids,
                   "thresholds to try: quantiles of the scores, or every score");
    add_range_options(options, p);
    cli_option *map =
        cli_add_choice(options, "map", 0, "KIND", &p->map, maps,
                       "how a score becomes P_fail; all but lambda are fitted to the data");
    map->given = &p->map_given;
    map->standard = "lambda; with --joint, platt";
    cli_add_flag(options, "joint", 0, &p->joint,
                 "calibrate a joint model of all the scores that --score names, instead of the best "
                 "one");
    cli_draws_add(options, &p->n_draws);
}

/* "risk=0.1,delta=0.05" or "recall=..."; without delta it is 0.05. */
static bool parse_guarantee(const char *text, hb_guarantee *p)
{
    char *end;
    if (strncmp(text, "risk=", 5) == 0) p->kind = HB_GUARANTEE_RISK;
    else if (strncmp(text, "recall=", 7) == 0) p->kind = HB_GUARANTEE_RECALL;
    else return false;
    p->target = strtod(strchr(text, '=') + 1, &end);
    p->delta = 0.05;
    if (strncmp(end, ",delta=", 7) == 0) p->delta = strtod(end + 7, &end);
    return !*end && p->target > 0 && p->target < 1 && p->delta >= 1e-6 && p->delta <= 0.5;
}

static int check_guarantee(const cli_command *command, cli_pass2 *p)
{
    if (!p->guarantee) return CLI_DONE;
    if (!parse_guarantee(p->guarantee, &p->options.guarantee))
        return cli_usage(command, "--guarantee: '%s' is not like risk=0.1,delta=0.05 or recall=0.9",
                         p->guarantee);
    if (p->start_given || p->stop_given || p->step_given || p->grid == 1 || p->recall_given)
        return cli_usage(command, "--guarantee chooses tau among all scores: it excludes --min-recall "
                                  "and what tells the grid of tau");
    return CLI_DONE;
}

/* A joint model's log-odds rise with the risk, and need a map that was fitted to them. */
static int check_joint(const cli_command *command, cli_pass2 *p)
{
    if (!p->joint) return CLI_DONE;
    if (p->guarantee)
        return cli_usage(command, "--guarantee needs a score that was not made from the same samples: "
                                  "it and --joint exclude each other");
    if (p->direction == HB_DIRECTION_LOW)
        return cli_usage(command,
                         "--direction: a joint model's log-odds are risky where they are high");
    p->options.direction = HB_DIRECTION_HIGH;
    if (!p->map_given) p->map = HB_MAP_PLATT;
    return CLI_DONE;
}

int cli_pass2_check_scores(const cli_command *command, const cli_pass2 *p, const cli_scores *scores)
{
    if (p->guarantee && scores->n > 1)
        return cli_usage(command, "--guarantee is for one score named beforehand, not for the best of "
                                  "several");
    return CLI_DONE;
}

bool cli_pass2_check(const cli_command *command, cli_pass2 *p, int *code)
{
    p->options = (hb_sweep_options){.grid = p->grid == 1 ? HB_GRID_EXACT : HB_GRID_QUANTILES,
                                    .min_recall = p->min_recall,
                                    .direction = (hb_direction)p->direction};
    p->bootstrap = hb_bootstrap_defaults();
    p->bootstrap.n_draws = (size_t)p->n_draws;
    p->bootstrap.min_recall = p->min_recall;
    if (!cli_draws_check(command, p->n_draws, code)) return false;
    *code = check_guarantee(command, p);
    if (!*code) *code = check_joint(command, p);
    if (*code) return false;
    int given = p->start_given + p->stop_given + p->step_given;
    if (!given) return true;
    *code = CLI_USAGE;
    if (given != 3) cli_usage(command, "--tau-start, --tau-stop and --tau-step go together");
    else if (p->grid == 1) cli_usage(command, "--tau-grid exact and a range of tau exclude each other");
    else if (p->stop < p->start) cli_usage(command, "--tau-stop is below --tau-start");
    else if ((p->stop - p->start) / p->step > 1e6)
        cli_usage(command, "--tau-step gives more than a million values of tau");
    else *code = CLI_DONE;
    p->options.grid = HB_GRID_RANGE;
    p->options.start = p->start;
    p->options.stop = p->stop;
    p->options.step = p->step;
    return *code == CLI_DONE;
}

/* ---- The result, for people ---------------------------------------------------------------------- */

static void print_class(const char *what, const hb_class_summary *c)
{
    printf("  %-22s %.6g +- %.6g  (n %zu)\n", what, c->mean, c->sd, c->n);
}

static void print_scores(const hb_params_source *source, const hb_sweep_result *r)
{
    cli_print_rate(r->n, r->hallucination_rate, source->grading);
    hb_score_id id;
    if (source->store && hb_score_find(source->score, &id))
        cli_print("Score %s (%s%s%s)\n", source->score, hb_signal_about(id.signal),
                  *hb_signal_unit(id.signal) ? ", " : "", hb_signal_unit(id.signal));
    else cli_print("Score %s\n", source->score);
    printf("  %-22s %.6g to %.6g\n", "range", r->score_min, r->score_max);
    print_class("faithful (label 0)", &r->by_label[0]);
    print_class("hallucinated (label 1)", &r->by_label[1]);
    if (isfinite(r->cohens_d)) printf("  %-22s %.3f\n", "Cohen's d", r->cohens_d);
}

/* Of 95 % confidence, where it was found. */
static void print_interval(const hb_interval *interval, bool found)
{
    if (found) printf(" [%.4f, %.4f]", interval->lower, interval->upper);
}

static void print_curves(const hb_params_source *source, const hb_sweep_result *r)
{
    bool low = r->direction == HB_DIRECTION_LOW;
    const hb_uncertainty *u = source->uncertainty;
    bool drawn = u->options.n_draws > 0;
    printf("AUROC %.4f", r->auroc);
    print_interval(&u->bootstrap.auroc, drawn);
    printf(", PR-AUC %.4f", r->pr_auc);
    print_interval(&u->bootstrap.pr_auc, drawn);
    printf(": %s scores are risky (%s)\n", low ? "low" : "high",
           source->sweep->direction == HB_DIRECTION_AUTO ? "found from the data" : "as asked");
    printf("  of a hallucinated and a faithful sample, the hallucinated one scores %s in %.0f of 100 "
           "pairs\n",
           low ? "lower" : "higher", 100 * r->auroc);
    printf("  %-22s high %.4f, low %.4f", "AUROC by direction", r->auroc_high, r->auroc_low);
    if (isfinite(u->auroc_se)) {
        printf("; DeLong's interval");
        print_interval(&u->auroc_delong, true);
    }
    putchar('\n');
    if (r->within_noise)
        printf("  warning: an AUROC within %.4f of 0.5 is what a score that tells nothing gives by "
               "chance\n",
               1.96 * r->auroc_null_se);
}

static void print_guarantee(const hb_guarantee *p)
{
    if (p->kind == HB_GUARANTEE_RISK)
        printf(
            "  guarantee: at most %g of the accepted hallucinated, but for a probability of %g; here "
            "%zu of %zu",
            p->target, p->delta, p->k, p->n);
    else
        printf(
            "  guarantee: at least %g of the hallucinated flagged, but for a probability of %g; here "
            "%zu of %zu",
            p->target, p->delta, p->n - p->k, p->n);
    printf(" (p %.4f, level %g)\n", p->p, p->level);
}

static void print_threshold(const hb_params_source *source, const hb_sweep_result *r)
{
    const hb_uncertainty *u = source->uncertainty;
    const hb_sweep_point *b = &r->best;
    printf("Threshold tau: a score of %s %.10g is risky",
           r->direction == HB_DIRECTION_LOW ? "at most" : "at least", b->tau);
    if (r->selection == HB_SELECT_PRECISION_AT_RECALL)
        printf(" (highest precision at recall >= %g)\n", r->min_recall);
    else if (r->selection == HB_SELECT_GUARANTEE) printf(" (guaranteed)\n");
    else printf(" (best F1: no threshold reached recall %g)\n", r->min_recall);
    printf("  precision %.4f, recall %.4f, F1 %.4f\n", b->precision, b->recall, b->f1);
    if (u->options.n_draws) {
        printf("  of every tau at that recall, precision %.4f", u->bootstrap.precision);
        print_interval(&u->bootstrap.precision_at_recall, true);
        putchar('\n');
    }
    printf("  it flags %zu of the %zu hallucinated, and %zu of the %zu faithful\n", b->tp,
           b->tp + b->fn, b->fp, b->fp + b->tn);
    if (r->selection == HB_SELECT_GUARANTEE) print_guarantee(&r->guarantee);
    else if (r->wide_grid)
        printf(
            "  no tau among the quantiles 0.60 to 0.99 reached the recall: 0.01 to 0.99 were swept\n");
}

/* How good the map's probabilities are on the samples it was fitted to. */
static void print_map(const double *scores, const hb_score_table *table, const hb_map *map)
{
    double squares = 0;
    for (size_t i = 0; i < table->n; i++) {
        double off = hb_map_p(map, scores[i]) - table->labels[i];
        squares += off * off;
    }
    printf("P_fail by %s", hb_map_kind_name(map->kind));
    if (map->kind == HB_MAP_PLATT) printf(", 1 / (1 + exp(%.6g score + %.6g))", map->a, map->b);
    else if (map->kind == HB_MAP_ISOTONIC) printf(", %zu knots", map->n_knots);
    else printf(" %.6g", map->lambda);
    printf(": Brier %.4f on these samples\n", squares / (double)table->n);
}

static double percent(size_t part, size_t whole)
{
    return whole ? 100 * (double)part / (double)whole : 0;
}

void cli_print_halting(const hb_halting *h)
{
    printf("Halting at the first token whose P_fail reaches %g would stop\n"
           "  %zu of the %zu hallucinated (%.1f %%), and %zu of the %zu faithful (%.1f %%)\n",
           h->cutoff, h->halted[1], h->n[1], percent(h->halted[1], h->n[1]), h->halted[0], h->n[0],
           percent(h->halted[0], h->n[0]));
}

int cli_find_halting(hb_run *run, const char *score, double tau, hb_direction direction,
                     const hb_map *map, const hb_grading *grading, hb_halting *halting)
{
    hb_error err;
    hb_score_id id;
    hb_monitor m = hb_generate_defaults().monitor;
    if (!hb_score_find(score, &id)) {
        cli_message("there is no score '%s'", score);
        return CLI_FAILED;
    }
    m.watched = id.signal;
    m.tau = tau;
    m.direction = direction;
    m.map = map;
    return hb_run_halting(run, &m, grading, halting, &err) ? cli_fail(&err) : CLI_DONE;
}

static void print_next(bool demo, const char *model, const char *path)
{
    printf("Next, to watch with these, and to judge them on other data:\n");
    if (demo) {
        cli_print("  %s generate --params %s \"What is the capital of France?\"\n", cli_program, path);
        cli_print("  %s validate --params %s\n", cli_program, path);
    } else {
        cli_print("  %s generate --model %s --params %s \"Who wrote Faust?\"\n", cli_program, model,
                  path);
        cli_print("  %s validate --model %s --params %s --data FILE\n", cli_program, model, path);
    }
}

static void print_text(const cli_pass2 *pass, const double *scores, const hb_score_table *table,
                       const hb_params_source *source, const hb_sweep_result *r, const char *path)
{
    print_scores(source, r);
    print_curves(source, r);
    print_threshold(source, r);
    if (source->map->kind != HB_MAP_LAMBDA) print_map(scores, table, source->map);
    if (source->halting) cli_print_halting(source->halting);
    if (path) cli_print("Parameters: %s\n", path);
    if (path && source->run) print_next(pass->demo, source->run->model_path, path);
}

/* ---- Several scores, for people ------------------------------------------------------------------ */

/* As many scores as are shown in a table that can be read. */
#define MATRIX_MAX 20

void cli_print_correlations(const char *const *names, const double *correlations, size_t n)
{
    if (n > MATRIX_MAX) {
        printf("Correlations of %zu scores: see --json\n", n);
        return;
    }
    printf("Rank correlations (Spearman), in hundredths\n%27s", "");
    for (size_t k = 1; k <= n; k++) printf("%5zu", k);
    putchar('\n');
    for (size_t a = 0; a < n; a++) {
        cli_print("%4zu %-22.22s", a + 1, names[a]);
        for (size_t b = 0; b <= a; b++) printf("%5.0f", 100 * correlations[a * n + b]);
        putchar('\n');
    }
}

static void print_estimate(double value, const hb_interval *interval, bool known)
{
    printf("  %.3f", value);
    if (known) printf(" [%.3f, %.3f]", interval->lower, interval->upper);
}

static void print_ranking(const hb_comparison *c, const hb_bootstrap_options *o)
{
    bool drawn = o->n_draws > 0;
    printf("%-27s  %-20s  %-*s  %-*s  p (Holm)\n", "By AUROC [95 %]", "AUROC", drawn ? 20 : 6, "PR-AUC",
           drawn ? 20 : 9, "precision");
    for (size_t k = 0; k < c->n; k++) {
        const hb_compared_score *s = &c->scores[k];
        const hb_bootstrap *b = &s->uncertainty.bootstrap;
        cli_print("%4zu %-22.22s", k + 1, s->name);
        print_estimate(s->sweep.auroc, &s->uncertainty.auroc_delong, true);
        print_estimate(s->sweep.pr_auc, &b->pr_auc, drawn);
        print_estimate(drawn ? b->precision : s->sweep.best.precision, &b->precision_at_recall, drawn);
        if (isnan(s->p_holm)) printf("  %s\n", k ? "-" : "");
        else printf("  %.2g\n", s->p_holm);
    }
    if (c->n_constant) printf("%zu scores are left out: all their values are equal\n", c->n_constant);
    printf("precision: %s; p: that a score ranks as well as the first (DeLong's\npaired test, Holm's "
           "correction)\n",
           drawn ? "the highest at the recall asked for" : "at the threshold chosen");
}

static int print_comparison(const hb_comparison *c, const hb_bootstrap_options *o)
{
    const char **names = calloc(c->n + 1, sizeof *names);
    if (!names) return cli_fail_memory();
    for (size_t k = 0; k < c->n; k++) names[k] = c->scores[k].name;
    print_ranking(c, o);
    cli_print_correlations(names, c->correlations, c->n);
    printf(
        "The first was chosen of %zu on these data, so its numbers flatter it: hbar validate judges it "
        "on others\n",
        c->n);
    free(names);
    return CLI_DONE;
}

/* ---- Running ------------------------------------------------------------------------------------- */

/* The saved document, with the place it was saved to. */
static int print_json(const hb_params_source *source, const hb_sweep_result *r, const char *path)
{
    char *text;
    hb_error err;
    if (hb_params_json(source, r, &text, &err)) return cli_fail(&err);
    json_t *root = json_loads(text, 0, NULL);
    free(text);
    if (root && path) json_object_set_new(root, "parameters", json_string(path));
    return cli_print_json(root, JSON_INDENT(2));
}

/* Sweeps one score and tells of it. */
static int run_one(const cli_pass2 *pass, const double *scores, const hb_score_table *table,
                   hb_params_source *source, const char *output_dir, const char *name, bool json)
{
    hb_error err;
    hb_sweep_result r;
    hb_uncertainty uncertainty;
    hb_halting halting;
    hb_map map = {0};
    char *path = NULL;
    if (hb_sweep(scores, table->labels, table->n, &pass->options, &r, &err)) return cli_fail(&err);
    source->sweep = &pass->options;
    source->map = &map;
    source->uncertainty = &uncertainty;
    int code = CLI_DONE;
    if (hb_find_uncertainty(scores, table->labels, table->n, r.direction, &pass->bootstrap,
                            &uncertainty, &err) ||
        hb_map_fit(scores, table->labels, table->n, (hb_map_kind)pass->map, r.best.tau, r.direction,
                   &map, &err))
        code = cli_fail(&err);
    if (!code && source->store && !source->joint) {
        source->halting = &halting;
        code = cli_find_halting(source->store, source->score, r.best.tau, r.direction, &map,
                                source->grading, &halting);
    }
    if (!code && output_dir && hb_params_save(output_dir, name, source, &r, &path, &err))
        code = cli_fail(&err);
    if (!code && json) code = print_json(source, &r, path);
    else if (!code) print_text(pass, scores, table, source, &r, path);
    free(path);
    hb_map_free(&map);
    hb_sweep_free(&r);
    return code;
}

static void print_joint(const hb_joint *joint)
{
    const hb_joint_trial *best = &joint->trials[joint->best];
    printf("Joint model of %zu scores, c %g chosen by %zu folds: out of fold AUROC %.4f, log-loss "
           "%.4f\n",
           joint->n_features, best->c, joint->options.n_folds, best->auroc, best->log_loss);
    for (size_t j = 0; j < joint->n_features; j++)
        cli_print("  %-22s %+.4f a standard deviation (%.6g +- %.6g)\n", joint->features[j].score,
                  joint->features[j].weight, joint->features[j].mean, joint->features[j].sd);
}

/* All of the scores as one, of which what is swept are the log-odds out of fold. */
static int run_joint(const cli_pass2 *pass, const hb_score_table *table, const cli_scores *scores,
                     hb_params_source *source, const char *output_dir, const char *name, bool json)
{
    hb_error err = {HB_ERR_MEMORY, "out of memory"};
    hb_joint joint = {0};
    hb_joint_options o = hb_joint_defaults();
    double *log_odds = calloc(table->n + 1, sizeof *log_odds);
    int code = CLI_DONE;
    if (!log_odds || hb_joint_fit(table->scores, table->labels, table->n, table->n_scores,
                                  (const char *const *)scores->names, &o, &joint, log_odds, &err))
        code = cli_fail(&err);
    source->score = "joint";
    source->joint = &joint;
    if (!code && !json) print_joint(&joint);
    if (!code) code = run_one(pass, log_odds, table, source, output_dir, name, json);
    hb_joint_free(&joint);
    free(log_odds);
    return code;
}

int cli_pass2_run(const cli_pass2 *pass, const hb_score_table *table, const cli_scores *scores,
                  hb_params_source *source, const char *output_dir, const char *name, bool json)
{
    hb_error err;
    hb_comparison c;
    if (pass->joint) return run_joint(pass, table, scores, source, output_dir, name, json);
    source->score = scores->n ? scores->names[0] : "score";
    if (table->n_scores == 1)
        return run_one(pass, table->scores, table, source, output_dir, name, json);
    if (hb_compare_scores(table, (const char *const *)scores->names, &pass->options, &pass->bootstrap,
                          &c, &err))
        return cli_fail(&err);
    const hb_compared_score *best = &c.scores[0];
    source->score = best->name;
    source->comparison = &c;
    int code = json ? CLI_DONE : print_comparison(&c, &pass->bootstrap);
    if (!code)
        code = run_one(pass, table->scores + best->place * table->n, table, source, output_dir, name,
                       json);
    hb_comparison_free(&c);
    return code;
}
