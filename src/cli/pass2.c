/* Pass 2 as `calibrate` and `sweep` run it: sweep, save, and say what came out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "cli/cli.h"

const char *const cli_directions[] = {"high", "low", "auto", NULL};
static const char *const grids[] = {"quantiles", "exact", NULL};

void cli_pass2_add(cli_options *options, cli_pass2 *p)
{
    *p = (cli_pass2){.min_recall = hb_sweep_defaults().min_recall, .direction = HB_DIRECTION_AUTO};
    const cli_option own[] = {
        {"tau-start", 0, CLI_REAL, &p->start, "A", "sweep tau over A, A + S ... B instead of quantiles",
         -1e300, 1e300, NULL, &p->start_given},
        {"tau-stop", 0, CLI_REAL, &p->stop, "B", "the end of that range", -1e300, 1e300, NULL,
         &p->stop_given},
        {"tau-step", 0, CLI_REAL, &p->step, "S", "and its step", 1e-300, 1e300, NULL, &p->step_given},
        {"tau-grid", 0, CLI_CHOICE, &p->grid, "quantiles|exact",
         "which tau to try: quantiles of the scores, or every score; quantiles", 0, 0, grids, NULL},
        {"min-recall", 0, CLI_REAL, &p->min_recall, "R",
         "choose the highest precision at this recall or more; 0.9", 1e-9, 1, NULL, NULL},
        {"direction", 0, CLI_CHOICE, &p->direction, "auto|high|low",
         "which scores are risky; auto: found from the data", 0, 0, cli_directions, NULL},
    };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) cli_add(options, own[i]);
}

bool cli_pass2_check(const cli_command *command, cli_pass2 *p, int *code)
{
    p->options = (hb_sweep_options){.grid = p->grid == 1 ? HB_GRID_EXACT : HB_GRID_QUANTILES,
                                    .min_recall = p->min_recall,
                                    .direction = (hb_direction)p->direction};
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
    if (source->grading)
        printf("%zu answers, %.1f %% of them right (%s)\n", r->n, 100 - 100 * r->hallucination_rate,
               hb_grade_rule_name(source->grading->rule));
    printf("Score %s of %zu samples, %.1f %% of them hallucinated\n", source->score, r->n,
           100 * r->hallucination_rate);
    printf("  %-22s %.6g to %.6g\n", "range", r->score_min, r->score_max);
    print_class("faithful (label 0)", &r->by_label[0]);
    print_class("hallucinated (label 1)", &r->by_label[1]);
    if (isfinite(r->cohens_d)) printf("  %-22s %.3f\n", "Cohen's d", r->cohens_d);
}

static void print_curves(const hb_params_source *source, const hb_sweep_result *r)
{
    bool low = r->direction == HB_DIRECTION_LOW;
    printf("AUROC %.4f, PR-AUC %.4f: %s scores are risky (%s)\n", r->auroc, r->pr_auc,
           low ? "low" : "high",
           source->sweep->direction == HB_DIRECTION_AUTO ? "found from the data" : "as asked");
    printf("  %-22s high %.4f, low %.4f\n", "AUROC by direction", r->auroc_high, r->auroc_low);
    if (r->within_noise)
        printf("  warning: an AUROC within %.4f of 0.5 is what a score that tells nothing gives by "
               "chance\n",
               1.96 * r->auroc_null_se);
}

static void print_threshold(const hb_sweep_result *r)
{
    const hb_sweep_point *b = &r->best;
    printf("Threshold: %s %.10g is risky", r->direction == HB_DIRECTION_LOW ? "at most" : "at least",
           b->tau);
    if (r->selection == HB_SELECT_PRECISION_AT_RECALL)
        printf(" (highest precision at recall >= %g)\n", r->min_recall);
    else printf(" (best F1: no threshold reached recall %g)\n", r->min_recall);
    printf("  precision %.4f, recall %.4f, F1 %.4f\n", b->precision, b->recall, b->f1);
    printf("  flagged %zu of %zu: %zu hallucinated, %zu faithful; missed %zu\n", b->tp + b->fp, r->n,
           b->tp, b->fp, b->fn);
    if (r->wide_grid)
        printf(
            "  no tau among the quantiles 0.60 to 0.99 reached the recall: 0.01 to 0.99 were swept\n");
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

int cli_pass2_run(const cli_pass2 *pass, const hb_score_table *table, hb_params_source *source,
                  const char *output_dir, const char *name, bool json)
{
    hb_error err;
    hb_sweep_result r;
    char *path = NULL;
    int code = CLI_DONE;
    if (hb_sweep(table->scores, table->labels, table->n, &pass->options, &r, &err))
        return cli_fail(&err);
    source->sweep = &pass->options;
    if (output_dir && hb_params_save(output_dir, name, source, &r, &path, &err)) {
        code = cli_fail(&err);
    } else if (json) {
        code = print_json(source, &r, path);
    } else {
        print_scores(source, &r);
        print_curves(source, &r);
        print_threshold(&r);
        if (path) printf("Parameters: %s\n", path);
    }
    free(path);
    hb_sweep_free(&r);
    return code;
}
