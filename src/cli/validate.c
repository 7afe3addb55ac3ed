#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "report/validation.h"
#include "report/values.h"

/* A calibrated score on this split. */
typedef struct judged {
    const hb_calibrated_score *calibrated;
    const double *scores; /* [table.n] */
    hb_validation result;
    double p, p_holm; /* DeLong's test against the first, alone and adjusted; NaN of the first */
} judged;

typedef struct validating {
    const char *params_path, *scores_path, *label;
    double min_recall;
    bool recall_given, force;
    uint64_t n_draws;
    cli_pass1 pass1;

    hb_params *params;
    hb_run *run;               /* NULL: scores from a table */
    const char *source;        /* where the scores are from, for messages */
    const hb_grading *grading; /* of the run's answers; NULL: labels were given */
    hb_score_table table;      /* of the joint model's scores, if there is one, then of those judged */
    double *log_odds;          /* [table.n], the joint model's */
    size_t n;       /* of the calibration's scores, those judged here; the one that it is about first */
    judged *judged; /* [n] */
    double *correlations; /* [n][n] */
    hb_quadrants quadrants;
    bool has_quadrants;
    bool same_data;              /* the calibration's samples are from the same file */
    hb_halting halting;          /* of a run, by the signal of the first score */
    bool has_halting;            /* not of a joint model */
    uint64_t n_shared, n_scored; /* samples that the calibration had, too; all */
} validating;

static void add_options(cli_options *options, validating *v)
{
    cli_pass1_add(options, &v->pass1);
    v->pass1.n_samples = 0;
    v->pass1.max_tokens = 0; /* until the calibration is read */
    cli_explain(options, "data", "prompts of the split, with labels or answers",
                "the demo's test split");
    cli_explain(options, "n-samples", "draw N samples; 0 means all", NULL);
    cli_explain(options, "max-tokens", "generate at most N tokens for a sample", "as calibrated");
    cli_explain(options, "run", "a run to judge; with --model and --data, where to keep samples",
                "DIR/NAME_run_HASH.db");
    cli_begin_group(options, CLI_GROUP_DATA);
    cli_add_text(options, "scores", 0, "FILE", &v->scores_path,
                 "instead of generating: a table with a column for each score");
    cli_add_text(options, "label", 'l', "NAME", &v->label, "column of labels in --scores")->standard =
        "label";
    cli_begin_group(options, CLI_GROUP_THRESHOLD);
    cli_add_text(options, "params", 'p', "FILE", &v->params_path, "parameters to validate")->required =
        true;
    cli_add_flag(options, "force", 0, &v->force, "accept parameters of another model or chat format");
    cli_option *recall = cli_add_real(options, "min-recall", 0, "R", &v->min_recall, 1e-9, 1,
                                      "find the highest precision at this recall or more");
    recall->given = &v->recall_given;
    recall->standard = "as calibrated";
    cli_draws_add(options, &v->n_draws);
}

/* ---- The split ----------------------------------------------------------------------------------- */

static int check_chat(const validating *v)
{
    const hb_params *p = v->params;
    const hb_run_settings *s = hb_run_get_settings(v->run);
    if (hb_params_same_chat(p, s->chat, s->system)) return CLI_DONE;
    cli_message("%s%s was calibrated on prompts put otherwise (%s)%s", v->force ? "warning: " : "",
                v->params_path, *p->chat ? p->chat : "without --chat", v->force ? "" : "; see --force");
    return v->force ? CLI_DONE : CLI_FAILED;
}

static int check_model(const validating *v)
{
    const hb_params *p = v->params;
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
    const hb_params *c = v->params;
    if (sample->status != HB_SAMPLE_SCORED) return HB_OK;
    v->n_scored++;
    if (!v->same_data && hb_id_is_place(sample->id)) return HB_OK;
    if (bsearch(sample->id, c->ids, c->n_ids, sizeof *c->ids, compare_id)) v->n_shared++;
    return HB_OK;
}

static int check_ids(validating *v)
{
    hb_error err;
    v->same_data = strcmp(hb_run_get_settings(v->run)->data_sha256, v->params->data_sha256) == 0;
    if (hb_run_each(v->run, count_shared, v, &err)) return cli_fail(&err);
    if (v->n_shared)
        cli_message("warning: %llu of %llu samples have ids that the calibration had, too: what was "
                    "calibrated on is no test",
                    (unsigned long long)v->n_shared, (unsigned long long)v->n_scored);
    return CLI_DONE;
}

/* Scores grow with the tokens they are taken over. */
static void check_tokens(const validating *v)
{
    int32_t here = hb_run_get_settings(v->run)->max_tokens, there = v->params->max_tokens;
    if (there && here != there)
        cli_message("warning: samples of up to %d tokens, where the calibration's had up to %d", here,
                    there);
}

/* Opens the split: a run that is there, or one that pass 1 makes. */
static int open_split(const cli_command *command, validating *v)
{
    hb_error err;
    v->source = v->scores_path;
    if (v->scores_path) return CLI_DONE;
    if (!v->pass1.run_path || v->pass1.model_path) {
        if (!v->pass1.max_tokens) v->pass1.max_tokens = v->params->max_tokens;
        if (!v->pass1.max_tokens) v->pass1.max_tokens = CLI_MAX_TOKENS;
        int code = cli_pass1_run(command, &v->pass1);
        if (code) return code;
        v->run = v->pass1.run;
    } else if (hb_run_open(v->pass1.run_path, &v->run, &err) ||
               hb_run_count(v->run, &v->pass1.counts, &err)) {
        return cli_fail(&err);
    }
    v->source = v->pass1.run_path;
    int code = cli_grading_use(&v->pass1.grading, v->source, &v->pass1.counts, &v->grading);
    if (!code) code = check_model(v);
    if (code) return code;
    check_tokens(v);
    return check_ids(v);
}

/* ---- The scores ---------------------------------------------------------------------------------- */

/* Whether the split has a score. */
static bool is_there(const validating *v, const char *name, const cli_scores *columns)
{
    if (v->run) return hb_run_has_score(v->run, name);
    for (size_t i = 0; i < columns->n; i++)
        if (strcmp(columns->names[i], name) == 0) return true;
    return false;
}

/* Which of the calibration's scores to judge, telling of those that are not there. The first is asked
 * for in any case: reading will say what is wrong. */
static int choose_scores(validating *v, const char **names, size_t *n_names)
{
    const hb_joint *joint = &v->params->joint;
    hb_error err;
    cli_scores columns = {0};
    hb_buffer missing = {0};
    if (!v->run && hb_table_columns(v->scores_path, &columns.names, &columns.n, &err))
        return cli_fail(&err);
    bool ok = true;
    for (size_t j = 0; j < joint->n_features; j++) names[(*n_names)++] = joint->features[j].score;
    for (size_t i = 0; i < v->params->n_scores && ok; i++) {
        const hb_calibrated_score *s = &v->params->scores[i];
        if (i == 0 || is_there(v, s->name, &columns)) {
            if (i > 0 || !joint->n_features) names[(*n_names)++] = s->name;
            v->judged[v->n++] = (judged){.calibrated = s};
        } else {
            ok = hb_buffer_add_text(&missing, missing.length ? ", " : "") &&
                 hb_buffer_add_text(&missing, s->name);
        }
    }
    if (!ok) cli_message("out of memory");
    else if (missing.length && !v->pass1.quiet)
        cli_message("%s: calibrated, but not there, so not judged: %s", v->source, missing.data);
    hb_buffer_free(&missing);
    cli_scores_free(&columns);
    return ok ? CLI_DONE : CLI_FAILED;
}

static int read_table(validating *v, const char *const *names, size_t n_names)
{
    hb_error err;
    cli_broken broken = {0};
    const hb_table_options o = {.score_columns = names,
                                .n_scores = n_names,
                                .label_column = v->label,
                                .strict = v->pass1.strict,
                                .on_broken = cli_show_broken,
                                .user = &broken};
    if (!v->run) {
        if (hb_table_read(v->scores_path, &o, &v->table, &err)) return cli_fail(&err);
        if (v->table.n_broken)
            cli_message("%s: %zu rows are broken and passed over, %zu are good", v->source,
                        v->table.n_broken, v->table.n);
        return CLI_DONE;
    }
    return hb_run_table(v->run, names, n_names, v->grading, &v->table, &err) ? cli_fail(&err)
                                                                             : CLI_DONE;
}

/* The joint model's log-odds, from the first of the table's scores. */
static int join(validating *v)
{
    const hb_joint *joint = &v->params->joint;
    double *values = calloc(joint->n_features + 1, sizeof *values);
    v->log_odds = values ? calloc(v->table.n + 1, sizeof *v->log_odds) : NULL;
    if (!v->log_odds) free(values);
    if (!v->log_odds) return cli_fail_memory();
    for (size_t i = 0; i < v->table.n; i++) {
        for (size_t j = 0; j < joint->n_features; j++) values[j] = v->table.scores[j * v->table.n + i];
        v->log_odds[i] = hb_joint_log_odds(joint, values);
    }
    free(values);
    return CLI_DONE;
}

static int read_scores(validating *v)
{
    size_t n_joint = v->params->joint.n_features, n_names = 0;
    const char **names = calloc(v->params->n_scores + n_joint, sizeof *names);
    v->judged = calloc(v->params->n_scores, sizeof *v->judged);
    int code = names && v->judged ? CLI_DONE : cli_fail_memory();
    if (!code) code = choose_scores(v, names, &n_names);
    if (!code) code = read_table(v, names, n_names);
    if (!code && n_joint) code = join(v);
    for (size_t i = 0; i < v->n && !code; i++)
        v->judged[i].scores = v->table.scores + (n_joint ? n_joint + i - 1 : i) * v->table.n;
    if (!code && n_joint) v->judged[0].scores = v->log_odds;
    free(names);
    return code;
}

/* ---- Judging ------------------------------------------------------------------------------------- */

static hb_status judge(const validating *v, judged *j, hb_error *err)
{
    hb_validation_options o = {.tau = j->calibrated->tau,
                               .lambda = v->params->lambda,
                               .direction = j->calibrated->direction,
                               .bootstrap = hb_bootstrap_defaults()};
    if (j->calibrated == &v->params->scores[0]) {
        o.guarantee = v->params->guarantee;
        o.map = &v->params->map;
    }
    o.bootstrap.n_draws = (size_t)v->n_draws;
    o.bootstrap.min_recall = v->recall_given ? v->min_recall : v->params->min_recall;
    return hb_validate(j->scores, v->table.labels, v->table.n, &o, &j->result, err);
}

/* The score that the parameters are about must be judged; another that cannot be is told of, and left
 * out. */
static int judge_each(validating *v)
{
    hb_error err;
    size_t n = 0;
    for (size_t i = 0; i < v->n; i++) {
        judged j = v->judged[i];
        hb_status status = judge(v, &j, &err);
        if (status && (i == 0 || status != HB_ERR_DATA)) {
            v->n = n;
            return cli_fail(&err);
        }
        if (!status) v->judged[n++] = j;
        else if (!v->pass1.quiet)
            cli_message("%s: %s is not judged: %s", v->source, j.calibrated->name, err.message);
    }
    v->n = n;
    return CLI_DONE;
}

/* Their values, [n][table.n], turned so that high ones are risky, or not. NULL without memory. */
static double *gather(const validating *v, bool turned)
{
    size_t n = v->table.n;
    double *values = calloc(v->n * n, sizeof *values);
    for (size_t i = 0; values && i < v->n; i++) {
        bool low = turned && v->judged[i].calibrated->direction == HB_DIRECTION_LOW;
        for (size_t k = 0; k < n; k++)
            values[i * n + k] = low ? -v->judged[i].scores[k] : v->judged[i].scores[k];
    }
    return values;
}

/* Each score's AUROC against the first's. */
static hb_status test_each(validating *v, hb_error *err)
{
    double *values = gather(v, true), *p_holm = calloc(v->n, sizeof *p_holm);
    hb_auroc_difference *differences = calloc(v->n, sizeof *differences);
    hb_status status = values && p_holm && differences ? HB_OK : HB_ERR_MEMORY;
    if (!status)
        status =
            hb_delong_compare_all(values, v->n, v->table.labels, v->table.n, differences, p_holm, err);
    for (size_t i = 0; i < v->n && !status; i++) {
        v->judged[i].p = differences[i].p;
        v->judged[i].p_holm = p_holm[i];
    }
    free(values);
    free(p_holm);
    free(differences);
    return status;
}

static hb_status correlate(validating *v, hb_error *err)
{
    double *values = gather(v, false);
    v->correlations = calloc(v->n * v->n, sizeof *v->correlations);
    hb_status status = values && v->correlations ? HB_OK : HB_ERR_MEMORY;
    if (!status) status = hb_spearman(values, v->n, v->table.n, v->correlations, err);
    free(values);
    return status;
}

static bool is_flagged(const judged *j, size_t sample)
{
    const hb_calibrated_score *s = j->calibrated;
    return s->direction == HB_DIRECTION_LOW ? j->scores[sample] <= s->tau : j->scores[sample] >= s->tau;
}

static void divide(validating *v)
{
    const judged *hbar = NULL, *pri = NULL;
    for (size_t i = 0; i < v->n; i++) {
        if (strcmp(v->judged[i].calibrated->name, "hbar_s") == 0) hbar = &v->judged[i];
        if (strcmp(v->judged[i].calibrated->name, "pri") == 0) pri = &v->judged[i];
    }
    if (!hbar || !pri) return;
    for (size_t k = 0; k < v->table.n; k++) {
        bool a = is_flagged(hbar, k), b = is_flagged(pri, k);
        v->quadrants.count[a][b]++;
        v->quadrants.hallucinated[a][b] += v->table.labels[k];
    }
    v->has_quadrants = true;
}

static int judge_all(validating *v)
{
    hb_error err = {HB_ERR_MEMORY, "out of memory"};
    int code = read_scores(v);
    if (!code) code = judge_each(v);
    if (code) return code;
    if (test_each(v, &err) || correlate(v, &err)) return cli_fail(&err);
    divide(v);
    const hb_calibrated_score *first = v->judged[0].calibrated;
    v->has_halting = v->run && !v->params->joint.n_features;
    if (!v->has_halting) return CLI_DONE;
    return cli_find_halting(v->run, first->name, first->tau, first->direction, &v->params->map,
                            v->grading, &v->halting);
}

/* ---- Results ------------------------------------------------------------------------------------- */

static const char **names_of(const validating *v)
{
    const char **names = calloc(v->n + 1, sizeof *names);
    for (size_t i = 0; names && i < v->n; i++) names[i] = v->judged[i].calibrated->name;
    return names;
}

static int print_json(const validating *v, const char *const *names)
{
    json_t *scores = json_object();
    for (size_t i = 0; i < v->n; i++) {
        const judged *j = &v->judged[i];
        json_t *score = hb_validation_json(j->calibrated, &j->result);
        json_object_set_new(score, "p_difference", cli_number(j->p));
        json_object_set_new(score, "p_difference_holm", cli_number(j->p_holm));
        json_object_set_new(scores, names[i], score);
    }
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:o}", "params", v->params_path, "source",
                  v->source, "score", v->params->score, "shared_ids", (json_int_t)v->n_shared, "scores",
                  scores, "correlations", hb_json_correlations(names, v->correlations, v->n),
                  "quadrants", v->has_quadrants ? hb_quadrants_json(&v->quadrants) : json_null(),
                  "halting", v->has_halting ? hb_halting_json(&v->halting) : json_null());
    return cli_print_json(root, JSON_INDENT(2));
}

static void print_interval(const hb_interval *interval, bool known)
{
    if (known) printf(" [%.4f, %.4f]", interval->lower, interval->upper);
}

/* In full the score that the parameters are about. */
static void print_first(const validating *v)
{
    const hb_calibrated_score *s = v->judged[0].calibrated;
    const hb_validation *r = &v->judged[0].result;
    const hb_bootstrap *intervals = &r->uncertainty.bootstrap;
    const hb_sweep_point *t = &r->at_tau, *b = &r->sweep.best;
    bool drawn = v->n_draws > 0;
    cli_print("Score %s of %zu samples, %.1f %% of them hallucinated; %s scores are risky\n", s->name,
              r->sweep.n, 100 * r->sweep.hallucination_rate,
              s->direction == HB_DIRECTION_LOW ? "low" : "high");
    printf("  AUROC                  %.4f", r->sweep.auroc);
    print_interval(&intervals->auroc, drawn);
    printf(", DeLong's");
    print_interval(&r->uncertainty.auroc_delong, true);
    if (isfinite(s->auroc)) printf("; at calibration %.4f", s->auroc);
    printf("\n  PR-AUC                 %.4f", r->sweep.pr_auc);
    print_interval(&intervals->pr_auc, drawn);
    printf("\n  at tau %-15.8g precision %.4f, recall %.4f, F1 %.4f\n", t->tau, t->precision, t->recall,
           t->f1);
    printf("                         flagged %zu hallucinated, %zu faithful; passed %zu hallucinated, "
           "%zu faithful\n",
           t->tp, t->fp, t->fn, t->tn);
    printf("  best on this split     precision %.4f", b->precision);
    print_interval(&intervals->precision_at_recall, drawn);
    printf(" at recall %.4f, tau %.8g\n", b->recall, b->tau);
    for (int c = 0; c < 2; c++) {
        printf("  label %d               ", c);
        if (s->by_label[c].n)
            printf(" calibration %.6g +- %.6g (n %zu); here", s->by_label[c].mean, s->by_label[c].sd,
                   s->by_label[c].n);
        printf(" %.6g +- %.6g (n %zu)\n", r->sweep.by_label[c].mean, r->sweep.by_label[c].sd,
               r->sweep.by_label[c].n);
    }
    printf("  risk at coverage       ");
    for (int i = HB_RISK_POINTS / 5; i <= HB_RISK_POINTS; i += HB_RISK_POINTS / 5)
        printf("%s%.1f: %.4f", i > HB_RISK_POINTS / 5 ? ", " : "", (double)i / HB_RISK_POINTS,
               r->risks[i - 1]);
    printf("\n  AURC %.4f, PRR %.4f; P_fail by %s: ECE %.4f, Brier %.4f, log-loss %.4f\n", r->aurc,
           r->prr, hb_map_kind_name(r->options.map->kind), r->ece, r->brier, r->log_loss);
}

static void print_guarantee(const validating *v)
{
    const hb_guarantee *p = &v->judged[0].result.options.guarantee;
    const hb_guarantee_check *c = &v->judged[0].result.guarantee;
    if (p->kind == HB_GUARANTEE_NONE) return;
    if (p->kind == HB_GUARANTEE_RISK)
        printf("Guarantee: at most %g of the accepted hallucinated (delta %g): %s, %zu of %zu",
               p->target, p->delta, c->held ? "kept" : "not kept", c->k, c->n);
    else
        printf("Guarantee: at least %g of the hallucinated flagged (delta %g): %s, %zu of %zu",
               p->target, p->delta, c->held ? "kept" : "not kept", c->n - c->k, c->n);
    if (c->n) printf(" are, %.4f", c->value);
    if (!c->held) printf("; as bad by chance with probability %.4f", c->p);
    putchar('\n');
}

static void print_table(const validating *v)
{
    printf("%-18s %6s %6s  %12s  %6s %6s %6s  %6s %7s  %8s\n", "all scores", "AUROC", "PR-AUC", "tau",
           "prec.", "recall", "F1", "AURC", "PRR", "p (Holm)");
    for (size_t i = 0; i < v->n; i++) {
        const judged *j = &v->judged[i];
        const hb_validation *r = &j->result;
        cli_print("%-18s %.4f %.4f  %s%11.6g  %.4f %.4f %.4f  %.4f %7.4f", j->calibrated->name,
                  r->sweep.auroc, r->sweep.pr_auc, r->sweep.direction == HB_DIRECTION_LOW ? "<" : ">",
                  r->at_tau.tau, r->at_tau.precision, r->at_tau.recall, r->at_tau.f1, r->aurc, r->prr);
        if (isnan(j->p_holm)) putchar('\n');
        else printf("  %8.2g\n", j->p_holm);
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

static int print_text(const validating *v, const char *const *names)
{
    print_first(v);
    print_guarantee(v);
    if (v->has_halting) cli_print_halting(&v->halting);
    if (v->n > 1) {
        print_table(v);
        cli_print_correlations(names, v->correlations, v->n);
    }
    print_quadrants(v);
    return CLI_DONE;
}

static int validate(const cli_command *command, validating *v)
{
    hb_error err;
    if (hb_params_load(v->params_path, &v->params, &err)) return cli_fail(&err);
    int code = open_split(command, v);
    if (!code) code = judge_all(v);
    if (code) return code;
    const char **names = names_of(v);
    if (!names) return cli_fail_memory();
    code = v->pass1.json ? print_json(v, names) : print_text(v, names);
    free(names);
    return code;
}

static void close_validating(validating *v)
{
    for (size_t i = 0; i < v->n; i++) hb_validation_free(&v->judged[i].result);
    free(v->judged);
    free(v->correlations);
    free(v->log_odds);
    hb_score_table_free(&v->table);
    hb_params_free(v->params);
    if (v->run != v->pass1.run) hb_run_close(v->run);
    cli_pass1_close(&v->pass1);
}

static int check_usage(const cli_command *command, validating *v)
{
    int code;
    bool model = v->pass1.model_path, data = v->pass1.data_path, run = v->pass1.run_path;
    if (v->label && !v->scores_path) return cli_usage(command, "--label goes with --scores");
    if (v->scores_path && v->pass1.grading.rule_given)
        return cli_usage(command, "--grade is not for --scores, whose labels are given");
    if ((run && model != data) || (v->scores_path && (model || data || run)))
        return cli_usage(command, "give --model and --data, or --run, or --scores");
    if (!cli_draws_check(command, v->n_draws, &code) ||
        !cli_grading_check(command, &v->pass1.grading, &code))
        return code;
    return CLI_DONE;
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    validating v = {0};
    const char *operand;
    int code;
    add_options(&options, &v);
    v.pass1.demo_data = CLI_DEMO_TEST;
    if (!cli_parse(command, &options, argc, argv, &operand, &code)) return code;
    code = check_usage(command, &v);
    if (!code) code = validate(command, &v);
    close_validating(&v);
    return code;
}

const cli_command cli_validate = {
    .name = "validate",
    .summary = "test calibrated thresholds on held-out data",
    .details = "Scores a held-out split (--model and --data, as hbar score does), or takes the scores "
               "of a run (--run alone) or of a table (--scores). Reports for each calibrated score how "
               "it ranks, what its threshold does, and how far the scores moved since the calibration.",
    .run = run,
};
