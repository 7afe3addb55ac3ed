/* The input is a file of parameters: loaded, and used as a monitor and a validation use them. */
#include <math.h>
#include "fuzz.h"

enum { N = 24 };

static void use_halt(const hb_halt *halt)
{
    hb_error err;
    char text[HB_HALT_RULE_BYTES];
    double values[] = {0, 1e30, -1e30, 0.5, 2, 2, 2};
    hb_halt_rule_text(&halt->rule, text);
    require(text[0]);
    if (hb_halt_statistics(&halt->rule, values, sizeof values / sizeof *values, values, &err))
        require(err.message[0]);
}

static void use_probes(const hb_params *p)
{
    for (size_t k = 0; k < p->n_probes; k++) {
        size_t n, n_trials, best;
        double intercept;
        const float *weights = hb_probe_weights(p->probes[k], &n, &intercept);
        float *x = calloc(n + 1, sizeof *x);
        require(weights && x && isfinite(intercept));
        require(isfinite(hb_probe_log_odds(p->probes[k], x)));
        require(hb_probe_name(p->probes[k]) && hb_probe_signal(p->probes[k]));
        hb_probe_trials(p->probes[k], &n_trials, &best);
        free(x);
    }
}

static void validate(const hb_params *p)
{
    hb_error err;
    hb_validation_result v;
    const char **names;
    size_t n_names;
    const hb_bootstrap_options none = {.n_draws = 0};
    if (hb_params_columns(p, NULL, 0, &names, &n_names, &err)) return;
    double *scores = calloc(n_names * N + 1, sizeof *scores);
    uint8_t labels[N];
    require(scores);
    for (size_t i = 0; i < n_names * N; i++) scores[i] = (double)(i * 7 % 19);
    for (size_t i = 0; i < N; i++) labels[i] = i % 3 == 0;
    const hb_score_table t = {.scores = scores, .labels = labels, .n = N, .n_scores = n_names};
    if (!hb_validate_scores(p, &t, names, &none, &v, &err)) hb_validation_result_free(&v);
    free(scores);
    free(names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hb_error err;
    hb_params *p;
    const double values[] = {-1e300, -1, 0, 0.5, 1e300};
    if (hb_params_load(file_of(data, size), &p, &err)) {
        require(err.message[0] && !strchr(err.message, '\n'));
        return 0;
    }
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        double p_fail = hb_p_fail_by(&p->map, values[i], p->tau, p->lambda, p->direction);
        require(p_fail >= 0 && p_fail <= 1);
    }
    double *features = calloc(p->joint.n_features + 1, sizeof *features);
    require(features && !isnan(hb_joint_log_odds(&p->joint, features)));
    free(features);
    use_halt(&p->halt);
    use_probes(p);
    validate(p);
    hb_params_free(p);
    return 0;
}
