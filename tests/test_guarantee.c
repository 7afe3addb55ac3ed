/* Thresholds with guarantees: exact tails, the chosen threshold against a simple implementation of the
 * definition, refusals, and simulations on data with a known distribution. */
#include "check.h"

#include <math.h>
#include "base/rng.h"
#include "calibrate/binomial.h"

typedef struct tail_reference {
    size_t k, n;
    double q, at_most, at_least;
} tail_reference;
#include "reference/tails_reference.h"

static void test_binomial_tails(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof tail_references / sizeof *tail_references; i++) {
        const tail_reference *f = &tail_references[i];
        double low = hb_binomial_at_most(f->k, f->n, f->q),
               high = hb_binomial_at_least(f->k, f->n, f->q);
        assert_near(low, f->at_most, 1e-9);
        assert_near(high, f->at_least, 1e-9);
        if (f->at_most > 1e-300) assert_near(low / f->at_most, 1, 1e-8);
    }
}

/* ---- Data whose truth is known ------------------------------------------------------------------ */

enum { MOST = 2000 };

/* Faithful scores are normal; hallucinated ones are normal and `shift` higher, except a fraction `low`
 * that is uniform between -2.2 and -1.8. With such a fraction the risk falls and rises again with the
 * threshold. Scores are rounded down to multiples of `step`, unless that is 0. */
typedef struct world {
    double rate, shift, low, step;
} world;

typedef struct data {
    double scores[MOST];
    uint8_t labels[MOST];
    size_t n;
} data;

static double normal(hb_rng *rng)
{
    double u = 1 - hb_rng_unit(rng);
    return sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * hb_rng_unit(rng));
}

static void draw(const world *w, size_t n, hb_rng *rng, data *d)
{
    d->n = n;
    for (size_t i = 0; i < n; i++) {
        d->labels[i] = hb_rng_unit(rng) < w->rate;
        d->scores[i] = normal(rng) + w->shift * d->labels[i];
        if (d->labels[i] && hb_rng_unit(rng) < w->low) d->scores[i] = -2.2 + 0.4 * hb_rng_unit(rng);
        if (w->step > 0) d->scores[i] = floor(d->scores[i] / w->step) * w->step;
    }
}

/* P(score < t | label). Rounded scores are below t, a multiple of the step, when the others are. */
static double below(const world *w, int label, double t)
{
    double usual = erfc(-(t - w->shift * label) / sqrt(2)) / 2;
    double low = fmin(fmax((t + 2.2) / 0.4, 0), 1);
    return label ? (1 - w->low) * usual + w->low * low : usual;
}

static double risk_below(const world *w, double t)
{
    double ones = w->rate * below(w, 1, t), zeros = (1 - w->rate) * below(w, 0, t);
    return ones / (ones + zeros);
}

static hb_sweep_options options(hb_guarantee_kind kind, double target, hb_direction direction)
{
    hb_sweep_options o = hb_sweep_defaults();
    o.guarantee = (hb_guarantee){.kind = kind, .target = target, .delta = 0.05};
    o.direction = direction;
    return o;
}

/* ---- The choice ---------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* A simple implementation of the definition for distinct scores: tests every rank from the start until
 * one fails. Returns the number of accepted samples; 0 for none. */
static size_t plain_risk(const data *d, double target, double level, double *tau)
{
    double pairs[MOST][2];
    size_t k = 0, accepted = 0, fewest = 1;
    while (pow(1 - target, (double)fewest) > level) fewest++;
    size_t start = d->n / 10 > fewest ? d->n / 10 : fewest;
    for (size_t i = 0; i < d->n; i++) {
        pairs[i][0] = d->scores[i];
        pairs[i][1] = d->labels[i];
    }
    qsort(pairs, d->n, sizeof *pairs, compare);
    for (size_t n = 1; n < d->n; n++) {
        k += pairs[n - 1][1] > 0;
        if (n < start) continue;
        if (hb_binomial_at_most(k, n, target) > level) break;
        accepted = n;
        *tau = pairs[n][0];
    }
    return accepted;
}

static void test_risk_is_the_definition(void **state)
{
    (void)state;
    static data d;
    size_t found = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        hb_rng rng = {seed};
        hb_error err;
        hb_sweep_result r;
        double tau = 0, target = seed % 2 ? 0.1 : 0.2;
        world w = {.rate = 0.4, .shift = 0.5 + 0.05 * (double)seed};
        draw(&w, 100 + 10 * seed, &rng, &d);
        hb_sweep_options o = options(HB_GUARANTEE_RISK, target, HB_DIRECTION_HIGH);
        size_t accepted = plain_risk(&d, target, 0.05, &tau);
        hb_status status = hb_sweep(d.scores, d.labels, d.n, &o, &r, &err);
        assert_int_equal(status, accepted ? HB_OK : HB_ERR_DATA);
        if (status) continue;
        found++;
        assert_near(r.best.tau, tau, 0);
        assert_int_equal(r.best.fn + r.best.tn, accepted);
        assert_int_equal(r.guarantee.n, accepted);
        assert_int_equal(r.guarantee.k, r.best.fn);
        assert_int_equal(r.selection, HB_SELECT_GUARANTEE);
        assert_near(r.guarantee.level, 0.05, 0);
        assert_near(r.guarantee.p, hb_binomial_at_most(r.best.fn, accepted, target), 1e-12);
        hb_sweep_free(&r);
    }
    assert_true(found > 20 && found < 60);
}

/* With reversed scores and automatic direction, the threshold is the same at half the level. */
static void test_direction(void **state)
{
    (void)state;
    static data d;
    hb_rng rng = {3};
    hb_error err;
    hb_sweep_result a, b, c;
    world w = {.rate = 0.4, .shift = 2};
    draw(&w, 800, &rng, &d);
    hb_sweep_options o = options(HB_GUARANTEE_RISK, 0.1, HB_DIRECTION_AUTO);
    assert_ok(hb_sweep(d.scores, d.labels, d.n, &o, &a, &err));
    assert_near(a.guarantee.level, 0.025, 0);
    o.direction = HB_DIRECTION_HIGH;
    assert_ok(hb_sweep(d.scores, d.labels, d.n, &o, &b, &err));
    assert_true(b.guarantee.n >= a.guarantee.n);
    for (size_t i = 0; i < d.n; i++) d.scores[i] = -d.scores[i];
    o.direction = HB_DIRECTION_LOW;
    assert_ok(hb_sweep(d.scores, d.labels, d.n, &o, &c, &err));
    assert_near(b.best.tau, -c.best.tau, 0);
    assert_int_equal(b.guarantee.n, c.guarantee.n);
    hb_sweep_free(&a);
    hb_sweep_free(&b);
    hb_sweep_free(&c);
}

/* A recall of 0.95 allows no miss among 59 hallucinated samples, one among 93 and two among 124
 * (Wilks). */
static void test_recall_by_hand(void **state)
{
    (void)state;
    static const size_t ones[] = {59, 92, 93, 124}, missed[] = {0, 0, 1, 2};
    static data d;
    for (int c = 0; c < 4; c++) {
        hb_error err;
        hb_sweep_result r;
        d.n = 2 * ones[c];
        for (size_t i = 0; i < d.n; i++) {
            d.labels[i] = i % 2;
            d.scores[i] = (double)(i * 7919 % d.n);
        }
        hb_sweep_options o = options(HB_GUARANTEE_RECALL, 0.95, HB_DIRECTION_HIGH);
        assert_ok(hb_sweep(d.scores, d.labels, d.n, &o, &r, &err));
        assert_int_equal(r.best.fn, missed[c]);
        assert_int_equal(r.guarantee.n, ones[c]);
        assert_int_equal(r.guarantee.k, missed[c]);
        assert_true(r.guarantee.p <= 0.05);
        hb_sweep_free(&r);
    }
}

/* ---- Refusals ------------------------------------------------------------------------------------ */

static void fill(data *d, size_t n, double score, uint8_t label)
{
    for (size_t i = 0; i < n; i++) {
        d->scores[d->n] = score;
        d->labels[d->n++] = label;
    }
}

static void check_refusal(const data *d, hb_sweep_options o, const char *part)
{
    hb_error err;
    hb_sweep_result r;
    assert_fails(hb_sweep(d->scores, d->labels, d->n, &o, &r, &err), HB_ERR_DATA, part);
}

static void test_refusals(void **state)
{
    (void)state;
    static data d;
    const hb_sweep_options risk = options(HB_GUARANTEE_RISK, 0.1, HB_DIRECTION_HIGH),
                           recall = options(HB_GUARANTEE_RECALL, 0.9, HB_DIRECTION_HIGH);
    d.n = 0;
    fill(&d, 20, 1, 0);
    fill(&d, 9, 2, 1);
    check_refusal(
        &d, risk,
        "needs 29 accepted samples without a hallucination, that is at least 30 samples; there are 29");
    check_refusal(&d, recall,
                  "needs 29 hallucinated samples, about 94 samples at the rate of these data");
    fill(&d, 20, 1, 1); /* half of the least risky */
    check_refusal(&d, risk, "more samples cannot help");
    d.n = 0;
    for (int i = 0; i < 500; i++) fill(&d, 1, i, i % 20 == 19 || i > 100); /* one of each twenty */
    check_refusal(
        &d, risk,
        "2 of the 50 least risky samples are hallucinated, but at most 1 may be; at this rate");
    d.n = 0;
    fill(&d, 1, 0, 1);
    fill(&d, 199, 1, 0); /* all samples could be accepted, but no score lies above them */
    check_refusal(&d, options(HB_GUARANTEE_RISK, 0.3, HB_DIRECTION_HIGH), "too many scores are equal");
}

static void test_bad_guarantees(void **state)
{
    (void)state;
    static data d;
    hb_error err;
    hb_sweep_result r;
    d.n = 0;
    for (int i = 0; i < 100; i++) fill(&d, 1, i, i > 50);
    hb_sweep_options o = options(HB_GUARANTEE_RISK, 0, HB_DIRECTION_HIGH);
    assert_fails(hb_sweep(d.scores, d.labels, d.n, &o, &r, &err), HB_ERR_ARGUMENT, "risk of 0");
    o.guarantee = (hb_guarantee){.kind = HB_GUARANTEE_RECALL, .target = 1, .delta = 0.05};
    assert_fails(hb_sweep(d.scores, d.labels, d.n, &o, &r, &err), HB_ERR_ARGUMENT, "recall of 1");
    o.guarantee.target = 0.9;
    o.guarantee.delta = NAN;
    assert_fails(hb_sweep(d.scores, d.labels, d.n, &o, &r, &err), HB_ERR_ARGUMENT, "delta nan");
    o.guarantee.kind = (hb_guarantee_kind)7;
    assert_fails(hb_sweep(d.scores, d.labels, d.n, &o, &r, &err), HB_ERR_ARGUMENT,
                 "unknown kind of guarantee");
}

/* The number of samples in a refusal suffices: with that many samples, and the observed hallucination
 * rate among the least risky, most calibrations find a guarantee. */
static void test_the_number_named_does(void **state)
{
    (void)state;
    static data d;
    hb_error err;
    hb_sweep_result r;
    double needed = 0;
    d.n = 0;
    for (int i = 0; i < 300; i++) fill(&d, 1, i, i % 15 == 14 || i > 100);
    hb_sweep_options o = options(HB_GUARANTEE_RISK, 0.1, HB_DIRECTION_HIGH);
    assert_int_equal(hb_sweep(d.scores, d.labels, d.n, &o, &r, &err), HB_ERR_DATA);
    assert_int_equal(sscanf(strstr(err.message, "about ") + 6, "%lf", &needed), 1);
    assert_true(needed > 300 && needed <= 10 * MOST);
    double *scores = malloc((size_t)needed * sizeof *scores);
    uint8_t *labels = malloc((size_t)needed);
    for (size_t i = 0; i < (size_t)needed; i++) {
        double part = (double)i / needed;
        scores[i] = (double)i;
        labels[i] = part < 0.5 ? i % 30 == 29 : i % 2; /* 1 of 30, as in the 30 least risky samples */
    }
    assert_ok(hb_sweep(scores, labels, (size_t)needed, &o, &r, &err));
    hb_sweep_free(&r);
    free(scores);
    free(labels);
}

/* ---- Guarantees are kept ------------------------------------------------------------------------ */

typedef struct tally {
    int found, broken;
    double flagged; /* mean fraction flagged, when a threshold was found */
} tally;

/* Runs 2,000 calibrations and checks each threshold against the true distribution. */
static tally simulate(const world *w, size_t n, hb_guarantee_kind kind, double target,
                      hb_direction direction)
{
    static data d;
    tally t = {0};
    hb_rng rng = {n};
    hb_sweep_options o = options(kind, target, direction);
    for (int repetition = 0; repetition < 2000; repetition++) {
        hb_error err;
        hb_sweep_result r;
        draw(w, n, &rng, &d);
        hb_status status = hb_sweep(d.scores, d.labels, n, &o, &r, &err);
        if (status && status != HB_ERR_DATA) fail_msg("%s", err.message);
        if (status) continue;
        bool kept = kind == HB_GUARANTEE_RISK ? risk_below(w, r.best.tau) <= target
                                              : 1 - below(w, 1, r.best.tau) >= target;
        t.found++;
        t.broken += r.direction == HB_DIRECTION_LOW || !kept;
        t.flagged += (double)(r.best.tp + r.best.fp) / (double)n;
        hb_sweep_free(&r);
    }
    if (t.found) t.flagged /= t.found;
    print_message("found %d, broken %d, flagged %.3f\n", t.found, t.broken, t.flagged);
    return t;
}

/* The number of failures that 2,000 guarantees with delta 0.05 exceed with probability 0.001. */
static int most_broken(void)
{
    int k = 100;
    while (hb_binomial_at_least((size_t)k, 2000, 0.05) > 0.001) k++;
    return k;
}

static void check_kept(const world *w, size_t n, hb_guarantee_kind kind, double target, int found,
                       double flagged)
{
    tally t = simulate(w, n, kind, target, HB_DIRECTION_HIGH);
    assert_true(t.broken <= most_broken());
    assert_true(t.found >= found);
    assert_true(t.flagged <= flagged);
}

static void test_risk_is_kept(void **state)
{
    (void)state;
    /* An ideal threshold for a risk of 0.1 flags 0.40 of the first world, 0.39 of the second. */
    check_kept(&(world){.rate = 0.4, .shift = 2.3}, 600, HB_GUARANTEE_RISK, 0.1, 1980, 0.50);
    check_kept(&(world){.rate = 0.4, .shift = 2.3, .step = 0.25}, 600, HB_GUARANTEE_RISK, 0.1, 1950,
               0.55);
    check_kept(&(world){.rate = 0.4, .shift = 1.2}, 300, HB_GUARANTEE_RISK, 0.2, 500, 0.9);
}

/* Every threshold slightly violates the guarantee here, so every threshold found is a failure. At most
 * 5 in 100 calibrations may find one; far fewer would mean that the test wastes data. The first test,
 * on 46 samples, rejects in 4.8 of 100. */
static void test_risk_at_the_edge(void **state)
{
    (void)state;
    tally t = simulate(&(world){.rate = 0.1001}, 460, HB_GUARANTEE_RISK, 0.1, HB_DIRECTION_HIGH);
    assert_int_equal(t.broken, t.found);
    assert_in_range(t.broken, 50, most_broken());
    t = simulate(&(world){.rate = 0.1001, .step = 0.5}, 460, HB_GUARANTEE_RISK, 0.1, HB_DIRECTION_HIGH);
    assert_in_range(t.broken, 10, most_broken()); /* a sequence may end among equal scores */
}

/* The risk is high, then low, then high again; the start varies between these parts. */
static void test_risk_that_rises_and_falls(void **state)
{
    (void)state;
    static const double low[] = {0.01, 0.02, 0.04};
    for (int i = 0; i < 3; i++)
        check_kept(&(world){.rate = 0.4, .shift = 2.3, .low = low[i]}, 500, HB_GUARANTEE_RISK, 0.1, 0,
                   1);
}

static void test_recall_is_kept(void **state)
{
    (void)state;
    /* An ideal threshold for a recall of 0.9 flags 0.45 of the first world. */
    check_kept(&(world){.rate = 0.4, .shift = 2.3}, 300, HB_GUARANTEE_RECALL, 0.9, 2000, 0.58);
    check_kept(&(world){.rate = 0.4, .shift = 2.3, .step = 0.25}, 300, HB_GUARANTEE_RECALL, 0.9, 2000,
               0.62);
    check_kept(&(world){.rate = 0.1, .shift = 0}, 600, HB_GUARANTEE_RECALL, 0.9, 1990, 1);
}

static void test_direction_found_from_the_data(void **state)
{
    (void)state;
    /* The first test of either direction, on 54 samples, rejects in 2.4 of 100. */
    tally t = simulate(&(world){.rate = 0.1001}, 540, HB_GUARANTEE_RISK, 0.1, HB_DIRECTION_AUTO);
    assert_int_equal(t.broken, t.found);
    assert_in_range(t.broken, 20, most_broken());
    t = simulate(&(world){.rate = 0.4, .shift = 2.3}, 600, HB_GUARANTEE_RISK, 0.1, HB_DIRECTION_AUTO);
    assert_true(t.broken <= most_broken() && t.found >= 1950);
}

/* ---- Judged on other samples -------------------------------------------------------------------- */

static void test_judged(void **state)
{
    (void)state;
    static data d;
    hb_error err;
    hb_validation v;
    hb_validation_options o = {.tau = 5, .lambda = 5, .direction = HB_DIRECTION_HIGH};
    o.bootstrap.min_recall = 0.9;
    d.n = 0;
    fill(&d, 17, 1, 0);
    fill(&d, 3, 1, 1);
    fill(&d, 9, 9, 1);
    fill(&d, 4, 9, 0);
    o.guarantee = (hb_guarantee){.kind = HB_GUARANTEE_RISK, .target = 0.1, .delta = 0.05};
    assert_ok(hb_validate(d.scores, d.labels, d.n, &o, &v, &err));
    assert_int_equal(v.guarantee.n, 20);
    assert_int_equal(v.guarantee.k, 3);
    assert_near(v.guarantee.value, 0.15, 1e-15);
    assert_false(v.guarantee.held);
    assert_near(v.guarantee.p, hb_binomial_at_least(3, 20, 0.1), 1e-15);
    hb_validation_free(&v);
    o.guarantee = (hb_guarantee){.kind = HB_GUARANTEE_RECALL, .target = 0.75, .delta = 0.05};
    assert_ok(hb_validate(d.scores, d.labels, d.n, &o, &v, &err));
    assert_int_equal(v.guarantee.n, 12);
    assert_int_equal(v.guarantee.k, 3);
    assert_near(v.guarantee.value, 0.75, 1e-15);
    assert_true(v.guarantee.held);
    hb_validation_free(&v);
    o.tau = 0; /* accepts nothing */
    o.guarantee.kind = HB_GUARANTEE_RISK;
    assert_ok(hb_validate(d.scores, d.labels, d.n, &o, &v, &err));
    assert_int_equal(v.guarantee.n, 0);
    assert_true(isnan(v.guarantee.value) && v.guarantee.held);
    hb_validation_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_binomial_tails),
        cmocka_unit_test(test_risk_is_the_definition),
        cmocka_unit_test(test_direction),
        cmocka_unit_test(test_recall_by_hand),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bad_guarantees),
        cmocka_unit_test(test_the_number_named_does),
        cmocka_unit_test(test_risk_is_kept),
        cmocka_unit_test(test_risk_at_the_edge),
        cmocka_unit_test(test_risk_that_rises_and_falls),
        cmocka_unit_test(test_recall_is_kept),
        cmocka_unit_test(test_direction_found_from_the_data),
        cmocka_unit_test(test_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
