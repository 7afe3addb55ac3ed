#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "report/validation.h"

typedef struct validating {
    const char *params_path, *scores_path, *label;
    double min_recall;
    bool recall_given, force;
    uint64_t n_draws;
    cli_pass1 pass1;

    hb_calibration calibration;
    hb_run *run;            /* NULL: scores from a table */
    const char *source;     /* where the scores are from, for messages */
    hb_score_table *tables; /* [n_scores], as the calibration's scores; empty where there are none */
    hb_validation *results; /* [n_scores], of those */
    double *p, *p_adjusted; /* [n_scores], DeLong's test against the first score, and Holm's */
    hb_quadrants quadrants;
    bool has_quadrants;
    uint64_t n_shared, n_scored; /* ids that the calibration had, too; all */
} validating;

static void add_options(cli_options *options, validating *v)
{
    const cli_option own[] = {
        {"params", 'p', CLI_TEXT, &v->params_path, "FILE", "what was calibrated (required)", 0, 0, NULL,
         NULL},
        {"scores", 0, CLI_TEXT, &v->scores_path, "FILE",
         "instead of generating: a table, with a column for each score", 0, 0, NULL, NULL},
        {"label", 'l', CLI_TEXT, &v->label, "NAME", "the table's column of labels; label", 0, 0, NULL,
         NULL},
        {"min-recall", 0, CLI_REAL, &v->min_recall, "R", "of the best precision; the calibration's",
         1e-9, 1, NULL, &v->recall_given},
        {"draws", 0, CLI_COUNT, &v->n_draws, "N", "of the bootstrap, 0 for none; 2000", 0, 1e6, NULL,
         NULL},
        {"force", 0, CLI_FLAG, &v->force, NULL, "accept parameters of another model or chat", 0, 0,
         NULL, NULL},
    };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) cli_add(options, own[i]);
    cli_pass1_add(options, &v->pass1);
}

/* ---- The split ----------------------------------------------------------------------------------- */

static int check_chat(const validating *v)
{
    const hb_params *p = &v->calibration.params;
    const hb_run_settings *s = hb_run_get_settings(v->run);
    if (hb_params_same_chat(p, s->chat, s->system)) return CLI_DONE;
    cli_message("%s%s was calibrated on prompts put otherwise (%s)%s", v->force ? "warning: " : "",
                v->params_path, *p->chat ? p->chat : "without --chat", v->force ? "" : "; see --force");
    return v->force ? CLI_DONE : CLI_FAILED;
}

static int check_model(const validating *v)
{
    const hb_params *p = &v->calibration.params;
    const hb_run_settings *s = hb_run_get_settings(v->run);
    bool same = strcmp(p->model_name, s->model_name) == 0 && p->model_size == s->model_size &&
                strcmp(p->model_architecture, s->model_architecture) == 0;
    if (same) return check_chat(v);
    cli_message("%s%s was calibrated on another model (%s, %llu bytes), not %s, %llu bytes%s",
                v->force ? "warning: " : "", v->params_path, *p->model_name ? p->model_name : "unknown",
                (unsigned long long)p->model_size, s->model_name, (unsigned long long)s->model_size,
                v->force ? "" : "; see --force");
    return v->force ? check_chat(v) : CLI_FAILED;
}

static int compare_id(const void *key, const void *id)
{
    return strcmp(key, *(char *const *)id);
}

static hb_status count_shared(void *user, const hb_run_sample *sample)
{
    validating *v = user;
    const hb_calibration *c = &v->calibration;
    if (strcmp(sample->status, "scored") != 0) return HB_OK;
    v->n_scored++;
    if (bsearch(sample->id, c->ids, c->n_ids, sizeof *c->ids, compare_id)) v->n_shared++;
    return HB_OK;
}

static int check_ids(validating *v)
{
    hb_error err;
    if (hb_run_each(v->run, count_shared, v, &err)) return cli_fail(&err);
    if (v->n_shared)
        cli_message("warning: %llu of %llu samples have ids that the calibration had, too: what was "
                    "calibrated on is no test",
                    (unsigned long long)v->n_shared, (unsigned long long)v->n_scored);
    return CLI_DONE;
}

/* Opens the split: a run that is there, or one that pass 1 makes. */
static int open_split(const cli_command *command, validating *v)
{
    hb_error err;
    v->source = v->scores_path;
    if (v->scores_path) return CLI_DONE;
    if (v->pass1.model_path || v->pass1.data_path) {
        int code = cli_pass1_run(command, &v->pass1);
        if (code) return code;
        v->run = v->pass1.run;
    } else if (hb_run_open(v->pass1.run_path, &v->run, &err)) {
        return cli_fail(&err);
    }
    v->source = v->pass1.run_path;
    int code = check_model(v);
    return code ? code : check_ids(v);
}

static hb_status read_score(validating *v, const char *name, hb_score_table *table, hb_error *err)
{
    cli_broken broken = {0};
    const hb_table_options o = {.score_column = name,
                                .label_column = v->label,
                                .strict = v->pass1.strict,
                                .on_broken = cli_show_broken,
                                .user = &broken};
    const hb_grading *grading = v->pass1.counts.graded ? &v->pass1.grading.grading : NULL;
    if (v->run) return hb_run_scores(v->run, name, grading, table, err);
    return hb_table_read(v->scores_path, &o, table, err);
}

/* ---- Judging ------------------------------------------------------------------------------------- */

/* The score that the parameters are about must be there; others may be missing. */
static int judge(validating *v, size_t i)
{
    hb_error err;
    const hb_calibrated_score *s = &v->calibration.scores[i];
    hb_validation_options o = {.tau = s->tau,
                               .lambda = v->calibration.params.lambda,
                               .direction = s->direction,
                               .bootstrap = hb_bootstrap_defaults()};
    o.bootstrap.n_draws = (size_t)v->n_draws;
    o.bootstrap.min_recall = v->recall_given ? v->min_recall : v->calibration.min_recall;
    hb_status status = read_score(v, s->name, &v->tables[i], &err);
    if (!status) {
        hb_score_table *t = &v->tables[i];
        status = hb_validate(t->scores, t->labels, t->n, &o, &v->results[i], &err);
        if (status) hb_score_table_free(t);
    }
    if (!status || (i > 0 && status != HB_ERR_MEMORY && status != HB_ERR_IO)) return CLI_DONE;
    return cli_fail(&err);
}

/* Values oriented so that high is risky, released with free(). */
static double *oriented(const validating *v, size_t i)
{
    const hb_score_table *t = &v->tables[i];
    double *values = calloc(t->n + 1, sizeof *values);
    bool low = v->calibration.scores[i].direction == HB_DIRECTION_LOW;
    for (size_t k = 0; values && k < t->n; k++) values[k] = low ? -t->scores[k] : t->scores[k];
    return values;
}

/* DeLong's test of each score against the first, on the same samples. */
static int compare_scores(validating *v)
{
    hb_error err = {HB_OK, ""};
    size_t n = v->calibration.n_scores, n_tests = 0;
    double *tests = calloc(n + 1, sizeof *tests), *first = oriented(v, 0);
    hb_status status = tests && first ? HB_OK : HB_ERR_MEMORY;
    for (size_t i = 0; i < n; i++) v->p[i] = v->p_adjusted[i] = NAN;
    for (size_t i = 1; i < n && !status; i++) {
        hb_auroc_difference d;
        if (v->tables[i].n != v->tables[0].n) continue;
        double *other = oriented(v, i);
        if (!other) status = HB_ERR_MEMORY;
        else status = hb_delong_compare(other, first, v->tables[0].labels, v->tables[0].n, &d, &err);
        free(other);
        if (!status) v->p[i] = tests[n_tests++] = d.p;
    }
    if (!status) status = hb_holm(tests, n_tests, tests, &err);
    for (size_t i = 1, k = 0; i < n && !status; i++)
        if (!isnan(v->p[i])) v->p_adjusted[i] = tests[k++];
    free(tests);
    free(first);
    if (!status) return CLI_DONE;
    cli_message("%s", *err.message ? err.message : "out of memory");
    return CLI_FAILED;
}

static bool is_flagged(const validating *v, size_t score, size_t sample)
{
    const hb_calibrated_score *s = &v->calibration.scores[score];
    double value = v->tables[score].scores[sample];
    return s->direction == HB_DIRECTION_LOW ? value <= s->tau : value >= s->tau;
}

static void divide(validating *v)
{
    size_t n = v->calibration.n_scores, hbar = n, pri = n;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(v->calibration.scores[i].name, "hbar_s") == 0) hbar = i;
        if (strcmp(v->calibration.scores[i].name, "pri") == 0) pri = i;
    }
    if (hbar == n || pri == n || !v->tables[hbar].n || v->tables[hbar].n != v->tables[pri].n) return;
    for (size_t k = 0; k < v->tables[hbar].n; k++) {
        bool a = is_flagged(v, hbar, k), b = is_flagged(v, pri, k);
        v->quadrants.count[a][b]++;
        v->quadrants.hallucinated[a][b] += v->tables[hbar].labels[k];
    }
    v->has_quadrants = true;
}

static int judge_all(validating *v)
{
    size_t n = v->calibration.n_scores;
    v->tables = calloc(n, sizeof *v->tables);
    v->results = calloc(n, sizeof *v->results);
    v->p = calloc(n, sizeof *v->p);
    v->p_adjusted = calloc(n, sizeof *v->p_adjusted);
    if (!v->tables || !v->results || !v->p || !v->p_adjusted) {
        cli_message("out of memory");
        return CLI_FAILED;
    }
    for (size_t i = 0; i < n; i++) {
        int code = judge(v, i);
        if (code) return code;
    }
    divide(v);
    return compare_scores(v);
}

/* ---- Results ------------------------------------------------------------------------------------- */

static int print_json(const validating *v)
{
    json_t *scores = json_object();
    for (size_t i = 0; i < v->calibration.n_scores; i++) {
        if (!v->tables[i].n) continue;
        json_t *score = hb_validation_json(&v->calibration.scores[i], &v->results[i]);
        json_object_set_new(score, "p_difference", cli_number(v->p[i]));
        json_object_set_new(score, "p_difference_holm", cli_number(v->p_adjusted[i]));
        json_object_set_new(scores, v->calibration.scores[i].name, score);
    }
    json_t *root = json_pack("{s:s, s:s, s:s, s:I, s:o, s:o}", "params", v->params_path, "source",
                             v->source, "score", v->calibration.params.score, "shared_ids",
                             (json_int_t)v->n_shared, "scores", scores, "quadrants",
                             v->has_quadrants ? hb_quadrants_json(&v->quadrants) : json_null());
    return cli_print_json(root, JSON_INDENT(2));
}

static void print_interval(const validating *v, const hb_interval *interval)
{
    if (v->n_draws) printf(" [%.4f, %.4f]", interval->lower, interval->upper);
}

/* In full the score that the parameters are about. */
static void print_first(const validating *v)
{
    const hb_calibrated_score *s = &v->calibration.scores[0];
    const hb_validation *r = &v->results[0];
    const hb_sweep_point *t = &r->at_tau, *b = &r->sweep.best;
    printf("Score %s of %zu samples, %.1f %% of them hallucinated; %s scores are risky\n", s->name,
           r->sweep.n, 100 * r->sweep.hallucination_rate,
           s->direction == HB_DIRECTION_LOW ? "low" : "high");
    printf("  AUROC                  %.4f", r->sweep.auroc);
    print_interval(v, &r->intervals.auroc);
    printf(", DeLong's [%.4f, %.4f]; at calibration %.4f\n  PR-AUC                 %.4f",
           r->sweep.auroc - 1.96 * r->auroc_se, r->sweep.auroc + 1.96 * r->auroc_se, s->auroc,
           r->sweep.pr_auc);
    print_interval(v, &r->intervals.pr_auc);
    printf("\n  at tau %-15.8g precision %.4f, recall %.4f, F1 %.4f\n", t->tau, t->precision, t->recall,
           t->f1);
    printf("                         flagged %zu hallucinated, %zu faithful; passed %zu hallucinated, "
           "%zu faithful\n",
           t->tp, t->fp, t->fn, t->tn);
    printf("  best on this split     precision %.4f", b->precision);
    print_interval(v, &r->intervals.precision_at_recall);
    printf(" at recall %.4f, tau %.8g\n", b->recall, b->tau);
    for (int c = 0; c < 2; c++)
        printf("  label %d, calibration   %.6g +- %.6g (n %zu); here %.6g +- %.6g (n %zu)\n", c,
               s->by_label[c].mean, s->by_label[c].sd, s->by_label[c].n, r->sweep.by_label[c].mean,
               r->sweep.by_label[c].sd, r->sweep.by_label[c].n);
    printf("  risk at coverage       ");
    for (int i = HB_RISK_POINTS / 5; i <= HB_RISK_POINTS; i += HB_RISK_POINTS / 5)
        printf("%s%.1f: %.4f", i > HB_RISK_POINTS / 5 ? ", " : "", (double)i / HB_RISK_POINTS,
               r->risks[i - 1]);
    printf("\n  AURC %.4f, PRR %.4f; P_fail: ECE %.4f, Brier %.4f\n", r->aurc, r->prr, r->ece,
           r->brier);
}

static void print_table(const validating *v)
{
    printf("%-18s %6s %6s  %12s  %6s %6s %6s  %6s %7s  %8s\n", "all scores", "AUROC", "PR-AUC", "tau",
           "prec.", "recall", "F1", "AURC", "PRR", "p (Holm)");
    for (size_t i = 0; i < v->calibration.n_scores; i++) {
        const hb_validation *r = &v->results[i];
        if (!v->tables[i].n) continue;
        printf("%-18s %.4f %.4f  %s%11.6g  %.4f %.4f %.4f  %.4f %7.4f", v->calibration.scores[i].name,
               r->sweep.auroc, r->sweep.pr_auc, r->sweep.direction == HB_DIRECTION_LOW ? "<" : ">",
               r->at_tau.tau, r->at_tau.precision, r->at_tau.recall, r->at_tau.f1, r->aurc, r->prr);
        if (isnan(v->p_adjusted[i])) putchar('\n');
        else printf("  %8.4f\n", v->p_adjusted[i]);
    }
}

static void print_quadrants(const validating *v)
{
    static const char *const names[2][2] = {{"neither risky", "PRI alone"}, {"hbar_s alone", "both"}};
    if (!v->has_quadrants) return;
    printf("hbar_s and PRI\n");
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 2; b++) {
            size_t n = v->quadrants.count[a][b], ones = v->quadrants.hallucinated[a][b];
            printf("  %-22s %zu samples, %.1f %% hallucinated\n", names[a][b], n,
                   n ? 100 * (double)ones / (double)n : 0);
        }
}

static int validate(const cli_command *command, validating *v)
{
    hb_error err;
    if (hb_calibration_load(v->params_path, &v->calibration, &err)) return cli_fail(&err);
    int code = open_split(command, v);
    if (!code) code = judge_all(v);
    if (!code && v->pass1.json) return print_json(v);
    if (!code) {
        print_first(v);
        if (v->calibration.n_scores > 1) print_table(v);
        print_quadrants(v);
    }
    return code;
}

static void close_validating(validating *v)
{
    for (size_t i = 0; v->tables && v->results && i < v->calibration.n_scores; i++) {
        hb_score_table_free(&v->tables[i]);
        hb_validation_free(&v->results[i]);
    }
    free(v->tables);
    free(v->results);
    free(v->p);
    free(v->p_adjusted);
    hb_calibration_free(&v->calibration);
    if (v->run != v->pass1.run) hb_run_close(v->run);
    cli_pass1_close(&v->pass1);
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    validating v = {.n_draws = hb_bootstrap_defaults().n_draws};
    const char *operand;
    int code;
    add_options(&options, &v);
    if (!cli_parse(command, &options, argc, argv, &operand, &code)) return code;
    bool generates = v.pass1.model_path || v.pass1.data_path;
    if (!v.params_path) return cli_usage(command, "--params is required");
    if (v.n_draws > 0 && v.n_draws < 100) return cli_usage(command, "--draws: 0, or 100 and more");
    if (v.label && !v.scores_path) return cli_usage(command, "--label goes with --scores");
    if (v.scores_path ? generates || v.pass1.run_path : !generates && !v.pass1.run_path)
        return cli_usage(command, "give --model and --data, or --run, or --scores");
    code = validate(command, &v);
    close_validating(&v);
    return code;
}

const cli_command cli_validate = {
    .name = "validate",
    .summary = "judge calibrated thresholds on data they were not found on",
    .details = "Scores a held-out split (--model and --data, as hbar score does), or takes the scores "
               "of a run\n"
               "(--run alone) or of a table (--scores), and reports for each calibrated score how it "
               "ranks, what\n"
               "its threshold does, and how far the scores have moved from the calibration's.",
    .run = run,
};
