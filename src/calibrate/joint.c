/* Logistic regression on several scores with liblinear (Fan, Chang, Hsieh, Wang and Lin, 2008). Its
 * solver for L2-regularised logistic loss is a trust-region Newton method without random numbers. */
#include <limits.h>
#include <linear.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "calibrate/folds.h"
#include "calibrate/metrics.h"

/* ---- One fit ------------------------------------------------------------------------------------- */

static void print_nothing(const char *text)
{
    (void)text;
}

/* liblinear stores feature numbers as int. */
#define MAX_SCORES (INT_MAX - 2)

/* A liblinear problem. Each row holds its features, then the bias, then the end mark. */
typedef struct rows {
    struct feature_node *nodes; /* [n][d + 2] */
    struct feature_node **x;    /* [n] */
    double *y;                  /* [n] */
    size_t n, d;
} rows;

static void free_rows(rows *r)
{
    free(r->nodes);
    free(r->x);
    free(r->y);
    *r = (rows){0};
}

static hb_status make_rows(rows *r, size_t n, size_t d, hb_error *err)
{
    size_t cells;
    if (__builtin_mul_overflow(n, d + 2, &cells)) return hb_fail_memory(err);
    *r = (rows){.nodes = calloc(cells, sizeof *r->nodes),
                .x = calloc(n, sizeof *r->x),
                .y = calloc(n, sizeof *r->y),
                .d = d};
    if (r->nodes && r->x && r->y) return HB_OK;
    free_rows(r);
    return hb_fail_memory(err);
}

/* Standardisation of the scores, weights for the standardised scores, and a buffer for one sample. */
typedef struct units {
    double *mean, *sd, *weights, *values; /* [d] each, in one block of memory */
    double intercept;
} units;

static hb_status make_units(units *u, size_t d, hb_error *err)
{
    double *block = calloc(4 * d, sizeof *block);
    *u = (units){0};
    if (!block) return hb_fail_memory(err);
    *u = (units){.mean = block, .sd = block + d, .weights = block + 2 * d, .values = block + 3 * d};
    return HB_OK;
}

static void free_units(units *u)
{
    free(u->mean);
    *u = (units){0};
}

/* Adds a row with the standardised u->values. */
static void add_row(rows *r, const units *u, uint8_t label)
{
    struct feature_node *nodes = r->nodes + r->n * (r->d + 2);
    for (size_t j = 0; j < r->d; j++)
        nodes[j] = (struct feature_node){(int)j + 1, (u->values[j] - u->mean[j]) / u->sd[j]};
    nodes[r->d].index = (int)r->d + 1;
    nodes[r->d + 1].index = -1;
    r->y[r->n] = label ? 1 : -1;
    r->x[r->n++] = nodes;
}

/* Whether the memory that liblinear will need can be allocated. It ends the process if it cannot. */
static bool has_memory(const rows *r)
{
    enum { A_ROW = 128, A_FEATURE = 256, REST = 1 << 16 };
    void *volatile memory = malloc(r->n * A_ROW + (r->d + 1) * A_FEATURE + REST);
    bool has = memory;
    free(memory);
    return has;
}

/* Minimises |w|^2 / 2 + c sum of log-losses. liblinear treats the bias as one more feature and
 * penalises its weight like the others, but the intercept should be free. The bias feature is therefore
 * so large, and its weight so small, that the penalty changes the intercept by a relative 1e-8 only. */
static hb_status fit(rows *r, double c, double *weights, double *intercept, hb_error *err)
{
    struct parameter parameter = {.solver_type = L2R_LR, .eps = 1e-10, .C = c};
    struct problem problem = {.l = (int)r->n, .n = (int)r->d + 1, .y = r->y, .x = r->x, .bias = -1};
    double bias = 1e4 / sqrt(c * (double)r->n);
    for (size_t i = 0; i < r->n; i++) r->x[i][r->d].value = bias;
    if (!has_memory(r)) return hb_fail_memory(err);
    set_print_string_function(print_nothing);
    struct model *model = train(&problem, &parameter);
    if (!model) return hb_fail_memory(err);
    double sign = model->label[0] == 1 ? 1 : -1;
    for (size_t j = 0; j < r->d; j++) weights[j] = sign * model->w[j];
    *intercept = sign * bias * model->w[r->d];
    free_and_destroy_model(&model);
    return HB_OK;
}

/* Larger values would overflow the sums of squares. */
#define MAX_VALUE 1e100

static hb_status check_column(const double *x, const uint8_t *labels, size_t n, const char *name,
                              hb_error *err)
{
    hb_error why;
    hb_status status = hb_check_scored(x, labels, n, &why);
    for (size_t i = 0; i < n && !status; i++)
        if (fabs(x[i]) > MAX_VALUE)
            status = hb_fail(&why, HB_ERR_DATA, "the score of sample %zu is %g, too large", i, x[i]);
    return status ? hb_fail(err, status, "%s: %s", name, why.message) : HB_OK;
}

hb_status hb_logistic_fit(const double *x, const uint8_t *labels, size_t n, size_t d, double c,
                          double *weights, double *intercept, hb_error *err)
{
    if (n < 2 || n > HB_JOINT_MAX_SAMPLES || d < 1 || d > MAX_SCORES)
        return hb_fail(
            err, HB_ERR_DATA,
            "%zu samples of %zu scores cannot be fitted: at most %d samples, at least 1 score", n, d,
            HB_JOINT_MAX_SAMPLES);
    if (!(c >= 1e-9 && c <= 1e9))
        return hb_fail(err, HB_ERR_ARGUMENT, "c %g is not from 1e-9 to 1e9", c);
    for (size_t j = 0; j < d; j++) {
        char name[32];
        snprintf(name, sizeof name, "score %zu", j);
        hb_status status = check_column(x + j * n, labels, n, name, err);
        if (status) return status;
    }
    rows r;
    units u;
    hb_status status = make_rows(&r, n, d, err);
    if (status) return status;
    status = make_units(&u, d, err);
    for (size_t j = 0; j < d && !status; j++) u.sd[j] = 1;
    for (size_t i = 0; i < n && !status; i++) {
        for (size_t j = 0; j < d; j++) u.values[j] = x[j * n + i];
        add_row(&r, &u, labels[i]);
    }
    if (!status) status = fit(&r, c, u.weights, &u.intercept, err);
    if (!status) {
        memcpy(weights, u.weights, d * sizeof *weights);
        *intercept = u.intercept;
    }
    free_units(&u);
    free_rows(&r);
    return status;
}

/* ---- Folds --------------------------------------------------------------------------------------- */

/* State of the cross-validation. */
typedef struct joining {
    const double *x; /* [d][n] */
    const uint8_t *labels;
    size_t n, d;
    const hb_joint_options *options;
    uint32_t *fold;      /* [n], the fold in which each sample is held out */
    double *out_of_fold; /* [N_TRIALS][n], log-odds */
    rows rows;
    units units;
} joining;

static hb_status deal(joining *w, hb_error *err)
{
    size_t n_groups = 0, folds = w->options->n_folds;
    hb_status status = hb_deal_folds(w->labels, w->options->groups, w->n, folds, w->options->seed,
                                     w->fold, &n_groups, err);
    if (status || n_groups >= folds) return status;
    return hb_fail(err, HB_ERR_DATA, "%zu folds need as many groups of samples; there are %zu", folds,
                   n_groups);
}

/* Each fold must leave samples of either label to fit a model to. */
static hb_status check_folds(const joining *w, hb_error *err)
{
    for (size_t fold = 0; fold < w->options->n_folds; fold++) {
        size_t left[2] = {0};
        for (size_t i = 0; i < w->n; i++) left[w->labels[i]] += w->fold[i] != fold;
        if (!left[0] || !left[1])
            return hb_fail(err, HB_ERR_DATA,
                           "the samples of one label are in too few groups for %zu folds",
                           w->options->n_folds);
    }
    return HB_OK;
}

/* Mean and standard deviation (with n) of each score over the samples not held out by `fold`; a
 * constant score gets the standard deviation 1, so its weight becomes 0. */
static void standardise(const joining *w, size_t fold)
{
    double *mean = w->units.mean, *sd = w->units.sd;
    for (size_t j = 0; j < w->d; j++) {
        const double *x = w->x + j * w->n;
        double sum = 0, squares = 0, count = 0;
        for (size_t i = 0; i < w->n; i++)
            if (w->fold[i] != fold) sum += x[i], count++;
        mean[j] = sum / count;
        for (size_t i = 0; i < w->n; i++)
            if (w->fold[i] != fold) squares += (x[i] - mean[j]) * (x[i] - mean[j]);
        sd[j] = sqrt(squares / count);
        if (!(sd[j] > 1e-12 * fabs(mean[j]))) sd[j] = 1;
    }
}

/* Fills the rows with the samples not held out by `fold`, standardised on these samples. */
static void fill(joining *w, size_t fold)
{
    standardise(w, fold);
    w->rows.n = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (w->fold[i] == fold) continue;
        for (size_t j = 0; j < w->d; j++) w->units.values[j] = w->x[j * w->n + i];
        add_row(&w->rows, &w->units, w->labels[i]);
    }
}

static const double strengths[] = {1e-4, 1e-3, 1e-2, 1e-1, 1, 1e1, 1e2, 1e3, 1e4};
#define N_TRIALS (sizeof strengths / sizeof *strengths)

/* Sample i's log-odds from the latest model. */
static double log_odds(const joining *w, size_t i)
{
    const units *u = &w->units;
    double z = u->intercept;
    for (size_t j = 0; j < w->d; j++) z += u->weights[j] * (w->x[j * w->n + i] - u->mean[j]) / u->sd[j];
    return z;
}

static hb_status cross_validate(joining *w, hb_error *err)
{
    for (size_t fold = 0; fold < w->options->n_folds; fold++) {
        fill(w, fold);
        for (size_t t = 0; t < N_TRIALS; t++) {
            hb_status status = fit(&w->rows, strengths[t], w->units.weights, &w->units.intercept, err);
            if (status) return status;
            for (size_t i = 0; i < w->n; i++)
                if (w->fold[i] == fold) w->out_of_fold[t * w->n + i] = log_odds(w, i);
        }
    }
    return HB_OK;
}

/* Mean log-loss, from log-odds. */
static double log_loss(const double *z, const uint8_t *labels, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double against = labels[i] ? -z[i] : z[i];
        sum += against > 0 ? against + log1p(exp(-against)) : log1p(exp(against));
    }
    return sum / (double)n;
}

/* ---- The joint model ----------------------------------------------------------------------------- */

/* Chooses the strength with the lowest out-of-fold log-loss (on ties the strongest regularisation),
 * then fits a model on all samples with it. */
static hb_status choose(joining *w, const char *const *names, hb_joint *joint, hb_error *err)
{
    const units *u = &w->units;
    size_t best = 0;
    for (size_t t = 0; t < N_TRIALS; t++) {
        hb_joint_trial *trial = &joint->trials[t];
        const double *z = w->out_of_fold + t * w->n;
        trial->c = strengths[t];
        trial->log_loss = log_loss(z, w->labels, w->n);
        hb_status status = hb_auroc(z, w->labels, w->n, &trial->auroc, err);
        if (status) return status;
        if (trial->log_loss < joint->trials[best].log_loss) best = t;
    }
    joint->best = best;
    memmove(w->out_of_fold, w->out_of_fold + best * w->n, w->n * sizeof *w->out_of_fold);
    fill(w, w->options->n_folds);
    hb_status status = fit(&w->rows, strengths[best], u->weights, &joint->intercept, err);
    for (size_t j = 0; j < w->d && !status; j++) {
        char *name = strdup(names[j]);
        if (!name) return hb_fail_memory(err);
        joint->features[joint->n_features++] =
            (hb_joint_feature){name, u->mean[j], u->sd[j], u->weights[j]};
    }
    return status;
}

static hb_status check_joint(const joining *w, const char *const *names, hb_error *err)
{
    size_t count[2] = {0}, folds = w->options->n_folds;
    if (folds < 2 || folds > 100)
        return hb_fail(err, HB_ERR_ARGUMENT, "%zu folds are not from 2 to 100", folds);
    if (w->d < 1 || w->d > MAX_SCORES)
        return hb_fail(err, HB_ERR_ARGUMENT, "a joint model cannot take %zu scores", w->d);
    if (w->n > HB_JOINT_MAX_SAMPLES)
        return hb_fail(err, HB_ERR_DATA, "%zu samples are too many for a joint model (at most %d)",
                       w->n, HB_JOINT_MAX_SAMPLES);
    for (size_t j = 0; j < w->d; j++) {
        hb_status status = check_column(w->x + j * w->n, w->labels, w->n, names[j], err);
        if (status) return status;
    }
    hb_status status = hb_check_groups(w->options->groups, w->n, err);
    if (status) return status;
    for (size_t i = 0; i < w->n; i++) count[w->labels[i]]++;
    if (count[0] >= folds && count[1] >= folds) return HB_OK;
    return hb_fail(err, HB_ERR_DATA,
                   "%zu folds need as many samples of either label; %zu are faithful (0), %zu "
                   "hallucinated (1)",
                   folds, count[0], count[1]);
}

hb_joint_options hb_joint_defaults(void)
{
    return (hb_joint_options){.n_folds = 5, .seed = 42};
}

hb_status hb_joint_fit(const double *x, const uint8_t *labels, size_t n, size_t d,
                       const char *const *names, const hb_joint_options *options, hb_joint *joint,
                       double *out_of_fold, hb_error *err)
{
    const hb_joint_options defaults = hb_joint_defaults();
    if (!options) options = &defaults;
    joining w = {.x = x, .labels = labels, .n = n, .d = d, .options = options};
    hb_status status = check_joint(&w, names, err);
    if (status) return status;
    hb_joint j = {.features = calloc(d, sizeof *j.features),
                  .options = {options->n_folds, options->seed, NULL},
                  .trials = calloc(N_TRIALS, sizeof *j.trials),
                  .n_trials = N_TRIALS};
    w.fold = calloc(n, sizeof *w.fold);
    w.out_of_fold = calloc(N_TRIALS * n, sizeof *w.out_of_fold);
    status = make_rows(&w.rows, n, d, err);
    if (!status) status = make_units(&w.units, d, err);
    if (!status && (!w.fold || !w.out_of_fold || !j.features || !j.trials))
        status = hb_fail_memory(err);
    if (!status) status = deal(&w, err);
    if (!status) status = check_folds(&w, err);
    if (!status) status = cross_validate(&w, err);
    if (!status) status = choose(&w, names, &j, err);
    if (!status) {
        memcpy(out_of_fold, w.out_of_fold, n * sizeof *out_of_fold);
        *joint = j;
    } else {
        hb_joint_free(&j);
    }
    free_units(&w.units);
    free(w.fold);
    free(w.out_of_fold);
    free_rows(&w.rows);
    return status;
}
