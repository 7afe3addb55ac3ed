/* Tokens of given responses: what a run keeps of them, and their evaluation. */
#include "check.h"

#include <math.h>
#include <sqlite3.h>
#include "allocations.h"
#include "base/rng.h"
#include "store/run.h"

enum { SAMPLES = 40, TOKENS = 24, SPANS = 4, SIGNALS = 3 };
static const char list[] = "hbar_s,surprise,entropy";

/* A response's tokens, which own their arrays. */
typedef struct made {
    hb_response_span characters[TOKENS], spans[SPANS];
    float values[TOKENS * SIGNALS];
    hb_run_tokens tokens;
} made;

static made responses[SAMPLES];

static char path[160];

/* Random tokens, some without characters, and spans that may overlap or cover no token. */
static void make_response(hb_rng *rng, uint64_t index, made *m)
{
    uint64_t at = 0, width;
    size_t n = index ? hb_rng_below(rng, TOKENS + 1) : 7, n_spans = hb_rng_below(rng, SPANS + 1);
    for (size_t i = 0; i < n; i++) {
        width = hb_rng_below(rng, 4);
        m->characters[i] = (hb_response_span){at, at + width};
        at += width;
        for (size_t k = 0; k < SIGNALS; k++)
            m->values[i * SIGNALS + k] = (float)hb_rng_below(rng, 12) / 8; /* with ties */
    }
    for (size_t i = 0; i < n_spans; i++) {
        m->spans[i].start = hb_rng_below(rng, at + 3);
        m->spans[i].end = m->spans[i].start + hb_rng_below(rng, 9);
    }
    m->tokens = (hb_run_tokens){.index = index,
                                .n = n,
                                .characters = m->characters,
                                .values = m->values,
                                .spans = m->spans,
                                .n_spans = n_spans};
}

static hb_run *create(void **state, size_t n)
{
    hb_error err;
    hb_run *run;
    hb_signal_set *signals;
    hb_rng rng = {5};
    snprintf(path, sizeof path, "%s/run.db", (char *)*state);
    unlink(path);
    assert_ok(hb_signal_set_parse(list, &signals, &err));
    const hb_run_settings s = {
        .n_samples = n, .max_tokens = 1, .n_ctx = 8, .signals = signals, .read_as = "response"};
    assert_ok(hb_run_create(path, &s, &run, &err));
    hb_signal_set_free(signals);
    for (size_t i = 0; i < n; i++) {
        const hb_run_sample sample = {
            .index = i,
            .id = "i",
            .status = HB_SAMPLE_SKIPPED,
            .reason = "r",
            .prompt_sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};
        make_response(&rng, i, &responses[i]);
        assert_ok(hb_run_add(run, &sample, &err));
        if (i % 5 == 4) continue; /* a sample without tokens */
        assert_ok(hb_run_add_tokens(run, &responses[i].tokens, &err));
    }
    assert_ok(hb_run_commit(run, &err));
    return run;
}

/* ---- What is kept -------------------------------------------------------------------------------- */

static hb_status check_response(void *user, const hb_run_tokens *t)
{
    size_t *seen = user;
    if (*seen % 5 == 4) ++*seen;
    const hb_run_tokens *expected = &responses[(*seen)++].tokens;
    assert_int_equal(t->index, expected->index);
    assert_int_equal(t->n, expected->n);
    assert_int_equal(t->n_spans, expected->n_spans);
    assert_memory_equal(t->characters, expected->characters, t->n * sizeof *t->characters);
    assert_memory_equal(t->spans, expected->spans, t->n_spans * sizeof *t->spans);
    assert_memory_equal(t->values, expected->values, t->n * SIGNALS * sizeof *t->values);
    return HB_OK;
}

static hb_status stop(void *user, const hb_run_tokens *t)
{
    (void)user, (void)t;
    return HB_ERR_CANCELLED;
}

static void test_kept(void **state)
{
    hb_error err;
    size_t seen = 0;
    hb_run *run = create(state, SAMPLES);
    assert_ok(hb_run_each_tokens(run, check_response, &seen, &err));
    assert_int_equal(seen, SAMPLES - 1);
    assert_fails(hb_run_add_tokens(run, &responses[0].tokens, &err), HB_ERR_IO, path); /* again */
    hb_run_close(run);
    assert_ok(hb_run_open(path, &run, &err));
    assert_string_equal(hb_run_get_settings(run)->read_as, "response");
    seen = 0;
    assert_ok(hb_run_each_tokens(run, check_response, &seen, &err));
    assert_int_equal(seen, SAMPLES - 1);
    assert_fails(
        hb_run_each_tokens(run, stop, NULL, &err), HB_ERR_CALLBACK,
        "reading stopped at the tokens of sample 0, because the caller's function failed: cancelled");
    hb_run_close(run);
}

static void execute(const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) fail_msg("%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

/* Counts the samples with steps; those with even indices have spans, and half of the others characters.
 */
static hb_status count_steps(void *user, const hb_run_tokens *t)
{
    size_t *seen = user;
    const hb_run_tokens *expected = &responses[t->index].tokens;
    assert_int_equal(t->index, (*seen)++);
    assert_int_equal(t->n, expected->n);
    assert_memory_equal(t->values, expected->values, t->n * SIGNALS * sizeof *t->values);
    assert_true((t->spans != NULL) == (t->index % 2 == 0));
    assert_true((t->characters != NULL) == (t->index % 4 != 1));
    return HB_OK;
}

static hb_status count(void *user, const hb_run_tokens *t)
{
    size_t *seen = user;
    assert_non_null(t->spans);
    ++*seen;
    return HB_OK;
}

/* Steps of samples without spans are kept, but are not tokens of responses. */
static void test_steps_without_spans(void **state)
{
    hb_error err;
    size_t steps = 0, tokens = 0;
    hb_rng rng = {6};
    hb_run *run = create(state, 0);
    for (size_t i = 0; i < SAMPLES; i++) {
        make_response(&rng, i, &responses[i]);
        hb_run_tokens t = responses[i].tokens;
        if (i % 2) t.spans = NULL;
        if (i % 4 == 1) t.characters = NULL;
        assert_ok(hb_run_add_tokens(run, &t, &err));
    }
    hb_run_close(run);
    assert_ok(hb_run_open(path, &run, &err));
    assert_ok(hb_run_each_steps(run, count_steps, &steps, &err));
    assert_ok(hb_run_each_tokens(run, count, &tokens, &err));
    assert_int_equal(steps, SAMPLES);
    assert_int_equal(tokens, SAMPLES / 2);
    hb_run_close(run);
    execute("UPDATE tokens SET measured = x'0000000000000000' WHERE idx = 1");
    assert_ok(hb_run_open(path, &run, &err));
    steps = 0;
    assert_fails(hb_run_each_steps(run, count_steps, &steps, &err), HB_ERR_FORMAT,
                 "the tokens of sample 1 are damaged");
    hb_run_close(run);
    execute("PRAGMA ignore_check_constraints = 1; UPDATE tokens SET characters = NULL WHERE idx = 0");
    assert_ok(hb_run_open(path, &run, &err));
    assert_fails(hb_run_each_tokens(run, count, &tokens, &err), HB_ERR_FORMAT,
                 "the tokens of sample 0 are damaged");
    hb_run_close(run);
}

static hb_status report(hb_run *run, const hb_monitor *m, hb_token_report *r, hb_error *err)
{
    const hb_calibrated_score scores[] = {{.name = (char[]){"entropy"}, .direction = HB_DIRECTION_LOW}};
    return hb_run_report_tokens(run, m, scores, 1, r, err);
}

/* Blobs of other lengths or with impossible numbers are refused, and so is a view. */
static void test_damaged(void **state)
{
    static const char *const damages[] = {
        "UPDATE tokens SET spans = x'0102'",
        "UPDATE tokens SET spans = x'00000000'",
        "UPDATE tokens SET spans = x'0200000001000000'",
        "UPDATE tokens SET characters = x'0000000001000000'",
        "UPDATE tokens SET characters = 'text'",
        "UPDATE tokens SET measured = x''",
        "UPDATE tokens SET characters = x'0000000001000000', measured = x'000000000000C07F00000000'",
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        hb_error err;
        hb_run *run = create(state, 2);
        hb_token_report r;
        const hb_monitor m = hb_monitor_defaults();
        hb_run_close(run);
        execute(damages[i]);
        assert_ok(hb_run_open(path, &run, &err));
        assert_fails(report(run, &m, &r, &err), HB_ERR_FORMAT, "the tokens of sample 0 are damaged");
        hb_run_close(run);
    }
    hb_error err;
    hb_run *run = create(state, 2);
    hb_run_close(run);
    execute("ALTER TABLE tokens RENAME TO other; CREATE VIEW tokens AS SELECT * FROM other");
    assert_fails(hb_run_open(path, &run, &err), HB_ERR_FORMAT, "no table 'tokens'");
}

/* ---- The evaluation ------------------------------------------------------------------------------ */

static bool overlaps(const hb_response_span *a, const hb_response_span *b)
{
    return a->start < b->end && b->start < a->end;
}

static bool is_hallucinated(const hb_run_tokens *t, size_t i)
{
    bool any = false;
    for (size_t k = 0; k < t->n_spans; k++) any = any || overlaps(&t->characters[i], &t->spans[k]);
    return any;
}

/* The tokens that count, as a flat list. */
typedef struct flat {
    float values[SAMPLES * TOKENS][SIGNALS];
    bool hallucinated[SAMPLES * TOKENS];
    size_t n, n_hallucinated;
} flat;

static flat flatten(void)
{
    flat f = {.n = 0};
    for (size_t s = 0; s < SAMPLES; s++)
        for (size_t i = 0; i < responses[s].tokens.n && s % 5 != 4; i++) {
            const hb_run_tokens *t = &responses[s].tokens;
            if (t->characters[i].start == t->characters[i].end) continue;
            memcpy(f.values[f.n], t->values + i * SIGNALS, sizeof f.values[0]);
            f.hallucinated[f.n] = is_hallucinated(t, i);
            f.n_hallucinated += f.hallucinated[f.n++];
        }
    return f;
}

/* The share of pairs in which the hallucinated token has the higher value, ties being half. */
static double auroc_of(const flat *f, int signal, double sign)
{
    double won = 0;
    for (size_t a = 0; a < f->n; a++)
        for (size_t b = 0; b < f->n; b++) {
            if (!f->hallucinated[a] || f->hallucinated[b]) continue;
            double difference = sign * ((double)f->values[a][signal] - f->values[b][signal]);
            won += difference > 0 ? 1 : difference == 0 ? 0.5 : 0;
        }
    return won / ((double)f->n_hallucinated * (double)(f->n - f->n_hallucinated));
}

/* Alarms counted span by span and token by token. */
static hb_alarms count_alarms(bool (*alarm)(double value), size_t *n_spans)
{
    hb_alarms a = {0};
    double delays[SAMPLES * SPANS];
    size_t n = 0;
    *n_spans = 0;
    for (size_t s = 0; s < SAMPLES; s++) {
        const hb_run_tokens *t = &responses[s].tokens;
        for (size_t i = 0; i < t->n && s % 5 != 4; i++) {
            if (t->characters[i].start == t->characters[i].end || is_hallucinated(t, i)) continue;
            a.n_outside++;
            a.n_false += alarm(t->values[i * SIGNALS + 1]);
        }
        for (size_t k = 0; k < t->n_spans && s % 5 != 4; k++) {
            size_t inside = 0;
            bool alarmed = false;
            for (size_t i = 0; i < t->n; i++) {
                if (t->characters[i].start == t->characters[i].end) continue;
                if (!overlaps(&t->characters[i], &t->spans[k])) continue;
                if (!alarmed && alarm(t->values[i * SIGNALS + 1])) {
                    alarmed = true;
                    delays[n++] = (double)inside;
                }
                inside++;
            }
            *n_spans += inside > 0;
            a.n_alarmed += alarmed;
        }
    }
    for (size_t i = 0; i < n; i++) /* in order */
        for (size_t k = i + 1; k < n; k++)
            if (delays[k] < delays[i]) {
                double other = delays[i];
                delays[i] = delays[k];
                delays[k] = other;
            }
    a.median_delay = n % 2 ? delays[n / 2] : (delays[n / 2 - 1] + delays[n / 2]) / 2;
    return a;
}

static bool beyond_tau(double value)
{
    return value >= 0.75;
}

static bool beyond_cutoff(double value)
{
    return hb_p_fail(value, 0.75, 5, HB_DIRECTION_HIGH) >= 0.85;
}

static void check_alarms(const hb_alarms *a, bool (*alarm)(double value), size_t n_spans)
{
    size_t expected_spans;
    hb_alarms expected = count_alarms(alarm, &expected_spans);
    assert_int_equal(n_spans, expected_spans);
    assert_int_equal(a->n_alarmed, expected.n_alarmed);
    assert_int_equal(a->n_outside, expected.n_outside);
    assert_int_equal(a->n_false, expected.n_false);
    assert_near(a->median_delay, expected.median_delay, 0);
    assert_in_range(a->n_alarmed, 5, n_spans - 5);
    assert_in_range(a->n_false, 5, a->n_outside - 5);
}

static void test_evaluation(void **state)
{
    static const char *const names[] = {"hbar_s", "surprise", "entropy"};
    hb_error err;
    hb_token_report r;
    hb_monitor m = hb_monitor_defaults();
    hb_run *run = create(state, SAMPLES);
    const flat f = flatten();
    m.watched = hb_signal_find("surprise");
    m.tau = 0.75;
    assert_ok(report(run, &m, &r, &err));
    assert_int_equal(r.n_answers, SAMPLES - SAMPLES / 5);
    assert_int_equal(r.n_tokens, f.n);
    assert_int_equal(r.n_hallucinated, f.n_hallucinated);
    assert_in_range(f.n_hallucinated, 50, f.n - 50);
    assert_int_equal(r.n_scores, SIGNALS);
    for (size_t i = 0; i < SIGNALS; i++) {
        const hb_token_score *s = &r.scores[i];
        int signal = 0;
        while (strcmp(names[signal], hb_signal_name(s->signal)) != 0) signal++;
        bool low = signal == 2; /* as calibrated */
        double values[SAMPLES * TOKENS], precision;
        uint8_t labels[SAMPLES * TOKENS];
        for (size_t k = 0; k < f.n; k++) {
            values[k] = low ? -f.values[k][signal] : f.values[k][signal];
            labels[k] = f.hallucinated[k];
        }
        assert_ok(hb_average_precision(values, labels, f.n, &precision, &err));
        assert_int_equal(s->direction, low ? HB_DIRECTION_LOW : HB_DIRECTION_HIGH);
        assert_near(s->auroc, auroc_of(&f, signal, low ? -1 : 1), 1e-12);
        assert_near(s->average_precision, precision, 0);
        if (i) assert_true(s->auroc <= r.scores[i - 1].auroc);
    }
    assert_ptr_equal(r.watched, m.watched);
    check_alarms(&r.at_tau, beyond_tau, r.n_spans);
    check_alarms(&r.at_cutoff, beyond_cutoff, r.n_spans);
    hb_token_report_free(&r);
    hb_run_close(run);
}

/* Reports without tokens, without hallucinated tokens, and without a signal of the run. */
static void test_little(void **state)
{
    hb_error err;
    hb_token_report r;
    hb_monitor m = hb_monitor_defaults();
    hb_joint joint = {.n_features = 1};
    hb_run *run = create(state, 0);
    assert_ok(report(run, &m, &r, &err));
    assert_int_equal(r.n_tokens, 0);
    hb_token_report_free(&r);
    hb_run_close(run);
    run = create(state, 3);
    m.watched = hb_signal_find("margin");
    assert_ok(report(run, &m, &r, &err));
    assert_null(r.watched);
    hb_token_report_free(&r);
    m = hb_monitor_defaults();
    m.joint = &joint;
    assert_ok(report(run, &m, &r, &err));
    assert_null(r.watched);
    hb_token_report_free(&r);
    hb_run_close(run);
    execute("UPDATE tokens SET spans = x''");
    assert_ok(hb_run_open(path, &run, &err));
    assert_ok(report(run, &m, &r, &err));
    assert_true(r.n_tokens > 0);
    assert_int_equal(r.n_hallucinated, 0);
    assert_true(isnan(r.scores[0].auroc) && isnan(r.scores[0].average_precision));
    hb_token_report_free(&r);
    hb_token_report_free(NULL);
    hb_run_close(run);
}

static void test_without_memory(void **state)
{
    hb_error err;
    hb_token_report r;
    hb_monitor m = hb_monitor_defaults();
    hb_run *run = create(state, 6);
    for (long i = 0;; i++) {
        fail_allocations(i, false);
        hb_status status = report(run, &m, &r, &err);
        stop_failing();
        if (!status) hb_token_report_free(&r);
        if (!allocations.failed) break;
        assert_int_equal(status, HB_ERR_MEMORY);
    }
    hb_run_close(run);
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, make_scratch, remove_scratch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(test_kept),    WITH_SCRATCH(test_steps_without_spans),
        WITH_SCRATCH(test_damaged), WITH_SCRATCH(test_evaluation),
        WITH_SCRATCH(test_little),  WITH_SCRATCH(test_without_memory),
    };
    return cmocka_run_group_tests_name("tokens", tests, NULL, NULL);
}
