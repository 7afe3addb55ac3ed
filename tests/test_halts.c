/* Halting: the running statistics against their definitions, the calibrated threshold against brute
 * force, groups, reports, and simulations that show whether the guarantee holds. */
#include "check.h"

#include <math.h>
#include "base/rng.h"
#include "calibrate/binomial.h"
#include "calibrate/halts.h"

/* ---- Rules and statistics ------------------------------------------------------------------------ */

static void test_rules_as_text(void **state)
{
    (void)state;
    static const char *const good[] = {"none",      "token",  "window:1", "window:4096",
                                       "ewma:0.25", "ewma:1", "cusum"};
    static const char *const bad[] = {
        "",     "tokens", "token:1",  "window", "window:",  "window:0", "window:2.5", "window:4097",
        "ewma", "ewma:0", "ewma:1.1", "ewma:x", "ewma:nan", "cusum:1",  "Token",      "window:3 "};
    hb_halt_rule rule;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char text[HB_HALT_RULE_BYTES];
        assert_true(hb_halt_rule_parse(good[i], &rule));
        hb_halt_rule_text(&rule, text);
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (hb_halt_rule_parse(bad[i], &rule)) fail_msg("'%s' is a rule", bad[i]);
}

static void compute(hb_halt_rule rule, const double *values, size_t n, double *out)
{
    hb_error err;
    assert_ok(hb_halt_statistics(&rule, values, n, out, &err));
}

static void test_statistics_by_hand(void **state)
{
    (void)state;
    static const double x[] = {4, 1, 3, 0, 8, 2};
    static const double window[] = {4, 2.5, 8.0 / 3, 4.0 / 3, 11.0 / 3, 10.0 / 3},
                        ewma[] = {4, 2.5, 2.75, 1.375, 4.6875, 3.34375},
                        cusum[] = {1, 0.5, 1, 0, 3, 3}; /* l(x) = (x - 2) / 2 */
    double out[6];
    compute((hb_halt_rule){.kind = HB_HALT_TOKEN}, x, 6, out);
    for (int i = 0; i < 6; i++) assert_near(out[i], x[i], 0);
    compute((hb_halt_rule){.kind = HB_HALT_WINDOW, .window = 3}, x, 6, out);
    for (int i = 0; i < 6; i++) assert_near(out[i], window[i], 1e-15);
    compute((hb_halt_rule){.kind = HB_HALT_EWMA, .weight = 0.5}, x, 6, out);
    for (int i = 0; i < 6; i++) assert_near(out[i], ewma[i], 0);
    compute((hb_halt_rule){.kind = HB_HALT_CUSUM, .mean = {1, 3}, .sd = 2}, x, 6, out);
    for (int i = 0; i < 6; i++) assert_near(out[i], cusum[i], 1e-15);
    compute((hb_halt_rule){.kind = HB_HALT_CUSUM, .mean = {3, 1}, .sd = 2}, x, 2,
            out); /* low is risky */
    assert_near(out[0], 0, 0);
    assert_near(out[1], 0.5, 0);
    const double large = 1e300;
    compute((hb_halt_rule){.kind = HB_HALT_TOKEN}, &large, 1, out);
    assert_true(isfinite(out[0])); /* values are floats */
}

static void test_bad_rules(void **state)
{
    (void)state;
    hb_error err;
    double x = 1;
    const hb_halt_rule bad[] = {{.kind = HB_HALT_NONE},
                                {.kind = (hb_halt_kind)9},
                                {.kind = HB_HALT_WINDOW},
                                {.kind = HB_HALT_WINDOW, .window = HB_HALT_WINDOW_MAX + 1},
                                {.kind = HB_HALT_EWMA},
                                {.kind = HB_HALT_EWMA, .weight = NAN},
                                {.kind = HB_HALT_CUSUM, .mean = {0, 1}},
                                {.kind = HB_HALT_CUSUM, .mean = {0, INFINITY}, .sd = 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(hb_halt_statistics(&bad[i], &x, 1, &x, &err), HB_ERR_ARGUMENT, "");
}

/* ---- Answers whose truth is known ---------------------------------------------------------------- */

enum { MOST = 1200, STEPS = 6, POOL = 200000 };

/* Values at steps are normal, with mean `shift` in hallucinated answers, rounded down to multiples of
 * `step` unless that is 0. With groups of `size`, all values of a group share a normal effect. */
typedef struct world {
    double shift, step;
    size_t size;
} world;

static double normal(hb_rng *rng)
{
    double u = 1 - hb_rng_unit(rng);
    return sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * hb_rng_unit(rng));
}

static void draw_answer(const world *w, hb_rng *rng, uint8_t label, double effect, float *values)
{
    for (size_t t = 0; t < STEPS; t++) {
        double x = normal(rng) + w->shift * label + effect;
        values[t] = (float)(w->step > 0 ? floor(x / w->step) * w->step : x);
    }
}

/* n answers, half of them hallucinated. A group has answers of one label. */
static hb_series draw(const world *w, size_t n, hb_rng *rng)
{
    static float values[POOL * STEPS];
    static size_t starts[POOL + 1];
    static uint8_t labels[POOL];
    static uint32_t groups[POOL];
    double effect = 0;
    for (size_t i = 0; i < n; i++) {
        groups[i] = (uint32_t)(w->size ? i / w->size : i);
        labels[i] = groups[i] % 2;
        if (w->size && i % w->size == 0) effect = 2 * normal(rng);
        draw_answer(w, rng, labels[i], effect, values + i * STEPS);
        starts[i + 1] = (i + 1) * STEPS;
    }
    return (hb_series){values, starts, labels, w->size ? groups : NULL, n, false};
}

static hb_halt_options options(const char *rule, hb_guarantee_kind kind, double target)
{
    hb_halt_options o = hb_halt_defaults();
    assert_true(hb_halt_rule_parse(rule, &o.rule));
    o.guarantee.kind = kind;
    o.guarantee.target = target;
    return o;
}

/* The largest statistic of an answer, oriented. */
static double largest_of(const hb_series *s, const hb_halt *halt, size_t i)
{
    double x[STEPS], best = -INFINITY;
    hb_error err;
    for (size_t t = 0; t < STEPS; t++) x[t] = (double)s->values[s->starts[i] + t];
    assert_ok(hb_halt_statistics(&halt->rule, x, STEPS, x, &err));
    for (size_t t = 0; t < STEPS; t++)
        best = fmax(best, halt->direction == HB_DIRECTION_LOW ? -x[t] : x[t]);
    return best;
}

/* ---- The threshold ------------------------------------------------------------------------------- */

/* The lowest threshold that stops at most the number of right answers that the exact test allows. */
static void test_threshold_by_brute_force(void **state)
{
    (void)state;
    static const char *const rules[] = {"token", "window:3", "ewma:0.3"};
    hb_rng rng = {7};
    for (int turn = 0; turn < 60; turn++) {
        hb_error err;
        hb_halt_calibration c;
        const world w = {1, turn % 2 ? 0.25 : 0, 0};
        hb_series s = draw(&w, 400, &rng);
        hb_halt_options o = options(rules[turn % 3], HB_GUARANTEE_FALSE_HALTS, 0.1);
        o.direction = turn / 3 % 2 ? HB_DIRECTION_LOW : HB_DIRECTION_HIGH;
        o.n_choices = 1 + turn % 4;
        assert_ok(hb_calibrate_halt(&s, &o, &c, &err));
        size_t right = 0, stopped = 0, wrong = 0, next = 0;
        double below = -INFINITY; /* the largest statistic below tau */
        double tau = o.direction == HB_DIRECTION_LOW ? -c.halt.tau : c.halt.tau;
        for (size_t i = 0; i < s.n; i++) {
            double largest = largest_of(&s, &c.halt, i);
            right += !s.labels[i];
            stopped += !s.labels[i] && largest >= tau;
            wrong += s.labels[i] && largest >= tau;
            if (largest < tau) below = fmax(below, largest);
        }
        for (size_t i = 0; i < s.n; i++) next += !s.labels[i] && largest_of(&s, &c.halt, i) >= below;
        assert_true(hb_binomial_at_most(stopped, right, 0.1) <= 0.05 / (double)o.n_choices);
        assert_true(hb_binomial_at_most(next, right, 0.1) > 0.05 / (double)o.n_choices);
        assert_int_equal(c.guarantee.n, right);
        assert_int_equal(c.guarantee.k, stopped);
        assert_int_equal(c.report.halted[0], stopped);
        assert_int_equal(c.report.halted[1], wrong);
    }
}

/* The other way round: the highest threshold that stops enough hallucinated answers. */
static void test_halts_by_brute_force(void **state)
{
    (void)state;
    hb_rng rng = {8};
    for (int turn = 0; turn < 20; turn++) {
        hb_error err;
        hb_halt_calibration c;
        const world w = {1, turn % 2 ? 0.25 : 0, 0};
        hb_series s = draw(&w, 400, &rng);
        const hb_halt_options o = options("window:2", HB_GUARANTEE_HALTS, 0.8);
        assert_ok(hb_calibrate_halt(&s, &o, &c, &err));
        size_t wrong = 0, missed = 0, next = 0;
        for (size_t i = 0; i < s.n; i++) {
            wrong += s.labels[i];
            missed += s.labels[i] && largest_of(&s, &c.halt, i) < c.halt.tau;
            next += s.labels[i] && largest_of(&s, &c.halt, i) <= c.halt.tau;
        }
        assert_true(hb_binomial_at_most(missed, wrong, 0.2) <= 0.05);
        assert_true(hb_binomial_at_most(next, wrong, 0.2) > 0.05);
        assert_int_equal(c.guarantee.k, missed);
        assert_int_equal(c.report.halted[1], wrong - missed);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    hb_error err;
    hb_halt_calibration c;
    hb_halt_report r;
    hb_rng rng = {9};
    const world w = {1, 0, 0};
    hb_series s = draw(&w, 116, &rng);
    hb_halt_options o = options("token", HB_GUARANTEE_FALSE_HALTS, 0.05);
    assert_fails(hb_calibrate_halt(&s, &o, &c, &err), HB_ERR_DATA,
                 "needs 59 right answers to choose its threshold; there are 58");
    s = draw(&w, 118, &rng);
    assert_ok(hb_calibrate_halt(&s, &o, &c, &err));
    o.guarantee.kind = HB_GUARANTEE_HALTS;
    o.guarantee.target = 0.96;
    assert_fails(hb_calibrate_halt(&s, &o, &c, &err), HB_ERR_DATA, "needs 74 hallucinated answers");
    o.guarantee.kind = HB_GUARANTEE_RECALL;
    assert_fails(hb_calibrate_halt(&s, &o, &c, &err), HB_ERR_ARGUMENT, "false halts or of halts");
    o = options("window:2", HB_GUARANTEE_FALSE_HALTS, 0.05);
    s.extremes = true;
    assert_fails(hb_calibrate_halt(&s, &o, &c, &err), HB_ERR_ARGUMENT,
                 "the only rule for a halt is token");
    s.extremes = false;
    o.direction = HB_DIRECTION_AUTO;
    assert_fails(hb_calibrate_halt(&s, &o, &c, &err), HB_ERR_ARGUMENT, "direction");
    o.direction = HB_DIRECTION_HIGH;
    o.rule.kind = HB_HALT_NONE;
    assert_fails(hb_calibrate_halt(&s, &o, &c, &err), HB_ERR_ARGUMENT, "no rule");
    assert_fails(hb_validate_halt(&s, &(hb_halt){.tau = 1}, 1, &r, &err), HB_ERR_ARGUMENT, "no rule");
    o = options("cusum", HB_GUARANTEE_FALSE_HALTS, 0.1);
    for (size_t i = 0; i < s.n * STEPS; i++) s.values[i] = 1;
    assert_fails(hb_calibrate_halt(&s, &o, &c, &err), HB_ERR_DATA, "cannot be fitted");
    for (size_t i = 0; i < s.n * STEPS; i++) { /* means that differ by rounding */
        bool label = s.labels[i / STEPS];
        s.values[i] = i % 2 ? 1 : label ? nextafterf(2, 3) : 2;
    }
    assert_fails(hb_calibrate_halt(&s, &o, &c, &err), HB_ERR_DATA, "the same mean");
}

/* ---- The report ---------------------------------------------------------------------------------- */

/* The intervals against tables: Clopper-Pearson for 2 of 10 and 0 of 20; the order statistics of the
 * median of 9 values are the 2nd and the 8th. */
static void test_report(void **state)
{
    (void)state;
    hb_error err;
    hb_halt_report r;
    float values[60];
    size_t starts[31];
    uint8_t labels[30];
    for (size_t i = 0; i < 30; i++) {
        labels[i] = i < 10;
        starts[i] = 2 * i;
        values[2 * i] = 0;
        values[2 * i + 1] = i < 2;
    }
    starts[30] = 60;
    const hb_series s = {values, starts, labels, NULL, 30, false};
    const hb_halt halt = {.rule = {.kind = HB_HALT_TOKEN}, .tau = 0.5};
    assert_ok(hb_validate_halt(&s, &halt, 1, &r, &err));
    assert_int_equal(r.n[1], 10);
    assert_int_equal(r.halted[1], 2);
    assert_near(r.share[1].lower, 0.025210726, 1e-8);
    assert_near(r.share[1].upper, 0.556095462, 1e-8);
    assert_near(r.share[0].lower, 0, 0);
    assert_near(r.share[0].upper, 0.168433471, 1e-8);
    assert_near(r.printed[0], 1, 0);
    assert_true(isinf(r.printed_interval[0].upper)); /* two values */
    assert_int_equal(r.n_left_out, 0);
    for (size_t i = 0; i < 9; i++) { /* answer i is stopped at step i */
        starts[i + 1] = starts[i] + i + 1;
        for (size_t t = starts[i]; t < starts[i + 1]; t++) values[t] = t + 1 == starts[i + 1];
    }
    const hb_series nine = {values, starts, labels, NULL, 9, false};
    assert_ok(hb_validate_halt(&nine, &halt, 1, &r, &err));
    assert_near(r.printed[0], 4, 0);
    assert_near(r.printed_interval[0].lower, 1, 0);
    assert_near(r.printed_interval[0].upper, 7, 0);
    assert_near(r.printed[1], 7.2, 1e-12);
    hb_series whole = nine;
    whole.extremes = true;
    assert_ok(hb_validate_halt(&whole, &halt, 1, &r, &err));
    assert_int_equal(r.halted[1], 9);
    assert_true(isnan(r.printed[0]) && isnan(r.printed_interval[1].upper));
}

/* One answer of each label counts in each group, and each has the same chance. */
static void test_groups(void **state)
{
    (void)state;
    enum { GROUPS = 300 };
    hb_error err;
    float values[4 * GROUPS];
    size_t starts[4 * GROUPS + 1], counted[3] = {0};
    uint8_t labels[4 * GROUPS];
    uint32_t groups[4 * GROUPS];
    for (size_t i = 0; i < 4 * GROUPS; i++) {
        starts[i + 1] = i + 1;
        labels[i] = i % 4 == 3;
        groups[i] = (uint32_t)(i / 4);
    }
    starts[0] = 0;
    const hb_series s = {values, starts, labels, groups, 4 * GROUPS, false};
    const hb_halt halt = {.rule = {.kind = HB_HALT_TOKEN}, .tau = 0.5};
    for (size_t place = 0; place < 3; place++) { /* the halt stops one answer of each group */
        hb_halt_report r;
        for (size_t i = 0; i < s.n; i++) values[i] = i % 4 == place || labels[i];
        assert_ok(hb_validate_halt(&s, &halt, 42, &r, &err));
        assert_int_equal(r.n[0], GROUPS);
        assert_int_equal(r.n[1], GROUPS);
        assert_int_equal(r.halted[1], GROUPS);
        assert_int_equal(r.n_left_out, 2 * GROUPS);
        counted[place] = r.halted[0];
    }
    assert_int_equal(counted[0] + counted[1] + counted[2], GROUPS);
    for (size_t place = 0; place < 3; place++) assert_near((double)counted[place], 100, 30);
}

/* ---- Guarantees are kept ------------------------------------------------------------------------- */

/* The number of failures that `n` guarantees with delta 0.05 exceed with probability 0.001. */
static int most_broken(int n)
{
    int k = n / 20;
    while (hb_binomial_at_least((size_t)k, (size_t)n, 0.05) > 0.001) k++;
    return k;
}

/* Answers that no calibration sees, by which a threshold's true rates are known. Their largest
 * statistics are sorted by label. */
typedef struct pool {
    double largest[2][POOL];
    size_t n[2];
} pool;

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The rate at which a threshold stops answers of a label. */
static double rate(const pool *p, int label, double tau)
{
    size_t low = 0, high = p->n[label];
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (p->largest[label][middle] < tau) low = middle + 1;
        else high = middle;
    }
    return (double)(p->n[label] - low) / (double)p->n[label];
}

static void fill_pool(const world *w, const hb_halt *halt, size_t n, pool *p)
{
    hb_rng rng = {99};
    hb_series s = draw(w, n, &rng);
    p->n[0] = p->n[1] = 0;
    for (size_t i = 0; i < s.n; i++)
        p->largest[s.labels[i]][p->n[s.labels[i]]++] = largest_of(&s, halt, i);
    for (int label = 0; label < 2; label++)
        qsort(p->largest[label], p->n[label], sizeof(double), compare);
}

/* Runs 1,000 calibrations and counts the guarantees that the true rate breaks. A cusum has other
 * parameters each time, so its rates come from a fresh pool; there are fewer of these calibrations. */
static void check_kept(const world *w, size_t n, const char *rule, hb_guarantee_kind kind,
                       double target)
{
    static pool p;
    const hb_halt_options o = options(rule, kind, target);
    bool cusum = o.rule.kind == HB_HALT_CUSUM;
    int times = cusum ? 100 : 1000, broken = 0;
    double used = 0;
    hb_rng rng = {n};
    if (!cusum) fill_pool(w, &(hb_halt){.rule = o.rule, .direction = HB_DIRECTION_HIGH}, POOL, &p);
    for (int i = 0; i < times; i++) {
        hb_error err;
        hb_halt_calibration c;
        hb_series s = draw(w, n, &rng);
        assert_ok(hb_calibrate_halt(&s, &o, &c, &err));
        if (cusum) fill_pool(w, &c.halt, POOL / 10, &p);
        double stopped = rate(&p, kind == HB_GUARANTEE_HALTS, c.halt.tau);
        broken += kind == HB_GUARANTEE_HALTS ? stopped < target : stopped > target;
        used += stopped / times;
    }
    print_message("%s, %zu answers: broken %d of %d, mean rate %.4f\n", rule, n, broken, times, used);
    assert_in_range(broken, 0, most_broken(times));
    if (w->step == 0 && !w->size && !cusum)
        assert_true(broken >= times / 200); /* it is not too careful */
}

static void test_guarantee_is_kept(void **state)
{
    (void)state;
    const world plain = {1, 0, 0}, ties = {1, 0.5, 0}, grouped = {1, 0, 4};
    check_kept(&plain, 400, "token", HB_GUARANTEE_FALSE_HALTS, 0.05);
    check_kept(&plain, 200, "window:3", HB_GUARANTEE_FALSE_HALTS, 0.1);
    check_kept(&plain, 200, "ewma:0.3", HB_GUARANTEE_HALTS, 0.8);
    check_kept(&ties, 400, "token", HB_GUARANTEE_FALSE_HALTS, 0.05);
    check_kept(&ties, 200, "window:2", HB_GUARANTEE_HALTS, 0.8);
    check_kept(&grouped, MOST, "token", HB_GUARANTEE_FALSE_HALTS, 0.05);
    check_kept(&plain, 400, "cusum", HB_GUARANTEE_FALSE_HALTS, 0.1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_as_text),
        cmocka_unit_test(test_statistics_by_hand),
        cmocka_unit_test(test_bad_rules),
        cmocka_unit_test(test_threshold_by_brute_force),
        cmocka_unit_test(test_halts_by_brute_force),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_guarantee_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
