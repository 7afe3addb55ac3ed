/* The scheduler: a request's events do not depend on other requests. */
#include "check.h"

#include <math.h>
#include "allocations.h"
#include "base/buffer.h"
#include "base/rng.h"
#include "decode/decode.h"
#include "decode/stops.h"
#include "engine/engine.h"

enum { MOST = 40, LONGEST = 800 };

/* The events that a sink received for one sample. */
typedef struct record {
    int32_t tokens[LONGEST];
    double hbar_s[LONGEST], surprise[LONGEST]; /* of the checked steps */
    int32_t step_of[LONGEST];
    int32_t n_tokens;
    size_t n_steps;
    hb_buffer text;
    int n_finish;
    int32_t n_shared;
    hb_finish finish;
    hb_status status;
    char message[480];
    double scores[5];
    double seconds[2];
} record;

/* A request and the records of its samples. */
typedef struct asked {
    hb_request request;
    uint64_t number;
    record *records;         /* [request.n_samples] */
    hb_scheduler *scheduler; /* for a sink that adds and cancels requests */
    struct asked *other;
    int32_t after; /* tokens after which that sink acts */
    bool fails;    /* the sink fails after `after` tokens */
} asked;

typedef struct fixture {
    hb_model *model;
    hb_session *session;
    hb_scheduler *scheduler;
} fixture;

static fixture open_fixture(const char *path, int32_t n_ctx, int32_t n_sequences, int64_t n_positions)
{
    fixture f;
    hb_error err;
    const hb_session_options o = {
        .n_ctx = n_ctx, .n_threads = 2, .n_sequences = n_sequences, .n_positions = n_positions};
    assert_ok(hb_model_open(path, &f.model, &err));
    assert_ok(hb_session_open(f.model, &o, &f.session, &err));
    assert_ok(hb_scheduler_open(f.session, &f.scheduler, &err));
    return f;
}

static fixture open_tiny(int32_t n_ctx, int32_t n_sequences, int64_t n_positions)
{
    return open_fixture(tiny_model("f32"), n_ctx, n_sequences, n_positions);
}

/* A session for hb_generate. */
static fixture open_alone(const char *path)
{
    fixture f = open_fixture(path, 256, 1, 0);
    hb_scheduler_close(f.scheduler);
    f.scheduler = NULL;
    return f;
}

static void close_fixture(fixture *f)
{
    hb_scheduler_close(f->scheduler); /* NULL if the session is for hb_generate */
    hb_session_close(f->session);
    hb_model_close(f->model);
}

/* ---- The sink ------------------------------------------------------------------------------------ */

static double step_value(const hb_step *step, const char *name)
{
    return hb_step_value(step, hb_signal_find(name));
}

static const char *const score_names[] = {"delta_h", "pri:mean", "entropy:min", "lens_depth",
                                          "perplexity"};

static void take_step(record *r, const hb_step *step)
{
    assert_int_equal(step->step, r->n_tokens);
    r->hbar_s[r->n_steps] = step_value(step, "hbar_s");
    r->surprise[r->n_steps] = step_value(step, "surprise");
    r->step_of[r->n_steps++] = step->step;
}

static void take_finish(record *r, const hb_outcome *o)
{
    r->n_finish++;
    r->n_shared = o->n_shared;
    r->finish = o->finish;
    r->seconds[0] = o->prompt_seconds;
    r->seconds[1] = o->decode_seconds;
    if (o->error) {
        r->status = o->error->status;
        snprintf(r->message, sizeof r->message, "%s", o->error->message);
        return;
    }
    assert_int_equal(o->n_tokens, r->n_tokens);
    assert_int_equal(o->n_steps, r->n_steps);
    for (int i = 0; i < 5; i++) r->scores[i] = hb_scores_value(o->scores, score_names[i]);
}

static void add(asked *a, hb_scheduler *scheduler)
{
    hb_error err;
    a->records = calloc((size_t)a->request.n_samples, sizeof *a->records);
    a->request.user = a;
    assert_ok(hb_scheduler_add(scheduler, &a->request, &a->number, &err));
}

static hb_status sink(void *user, const hb_event *event, hb_error *err)
{
    asked *a = user;
    assert_in_range(event->sample, 0, a->request.n_samples - 1);
    record *r = &a->records[event->sample];
    assert_int_equal(event->request, a->number);
    assert_int_equal(r->n_finish, 0); /* nothing comes after it */
    bool failed = event->kind == HB_EVENT_FINISH && event->outcome->error;
    assert_true((event->step == NULL) == (failed || (r->n_steps == 0 && event->kind != HB_EVENT_STEP)));
    if (event->kind == HB_EVENT_STEP) {
        assert_int_equal(event->step->token, event->token);
        take_step(r, event->step);
        return HB_OK;
    }
    assert_true(hb_buffer_add(&r->text, event->bytes, event->length));
    if (event->kind == HB_EVENT_FINISH) {
        take_finish(r, event->outcome);
        return HB_OK;
    }
    r->tokens[r->n_tokens++] = event->token;
    if (r->n_tokens != a->after) return HB_OK;
    if (a->fails) {
        err->status = HB_ERR_IO;
        strcpy(err->message, "the line is dead");
        return HB_ERR_IO;
    }
    if (a->other) add(a->other, a->scheduler);
    hb_scheduler_cancel(a->scheduler, a->number);
    return HB_OK;
}

static void run(hb_scheduler *scheduler)
{
    hb_error err;
    while (hb_scheduler_is_busy(scheduler)) assert_ok(hb_scheduler_step(scheduler, &err));
}

static void free_asked(asked *a)
{
    for (int32_t k = 0; a->records && k < a->request.n_samples; k++)
        hb_buffer_free(&a->records[k].text);
    free(a->records);
    a->records = NULL;
}

/* ---- Requests ------------------------------------------------------------------------------------ */

/* Token i of a prompt; prompts of the same family agree in their first `fork` tokens. */
static void fill_prompt(int32_t *tokens, int32_t n, int family, int32_t fork, int own)
{
    tokens[0] = 1;
    for (int32_t i = 1; i < n; i++)
        tokens[i] = 3 + (i * 37 + family * 111 + (i < fork ? 0 : own * 91)) % 500;
}

static hb_request plain_request(const int32_t *prompt, size_t n, int32_t max_tokens)
{
    const hb_generate_options o = hb_generate_defaults();
    hb_request r = {.prompt = prompt,
                    .n_prompt = n,
                    .monitor = o.monitor,
                    .sampling = o.sampling,
                    .n_samples = 1,
                    .max_tokens = max_tokens,
                    .sink = sink};
    r.monitor.cutoff = 1.1;
    return r;
}

/* MOST requests of all kinds. */
typedef struct mixture {
    hb_signal_set *sets[2];
    int32_t prompts[MOST][150];
    asked all[MOST];
} mixture;

static mixture *make_mixture(void)
{
    static const char *const stops[] = {"e", "a"};
    mixture *m = calloc(1, sizeof *m);
    hb_error err;
    assert_ok(hb_signal_set_parse("entropy", &m->sets[0], &err)); /* needs no blocks */
    assert_ok(hb_signal_set_parse("delta_h,lens_depth", &m->sets[1], &err));
    for (int i = 0; i < MOST; i++) {
        int32_t n = 1 + i * 29 % 140;
        fill_prompt(m->prompts[i], n, i % 3, 20 + i % 70, i / 2);
        hb_request *r = &m->all[i].request;
        *r = plain_request(m->prompts[i], (size_t)n, 1 + i * 7 % 23);
        if (i % 3 == 1) r->sampling = (hb_sampling){1.5, i % 4 ? 0 : 9, i % 5 ? 1 : 0.9, (uint64_t)i};
        if (i % 4 == 2) r->monitor.check_every = 3;
        if (i % 7 == 3) r->n_stops = 2, r->stops = stops, r->max_tokens = 60;
        if (i % 8 == 5) r->monitor.cutoff = 0.5, r->monitor.tau = 0.745, r->max_tokens = 60;
        if (i % 9 == 4) r->answer_lines = 1, r->max_tokens = 60;
        if (i % 5 < 2 && i % 8 != 5) r->monitor.signals = m->sets[i % 5], r->monitor.watched = NULL;
    }
    return m;
}

static void free_mixture(mixture *m)
{
    for (int i = 0; i < MOST; i++) free_asked(&m->all[i]);
    hb_signal_set_free(m->sets[0]);
    hb_signal_set_free(m->sets[1]);
    free(m);
}

/* NaN marks values that were not measured. */
static bool same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

/* The recorded events agree with hb_generate for the same request alone. */
static void check_alone(hb_session *session, const asked *a)
{
    hb_error err;
    hb_generation g;
    hb_generate_options o = hb_generate_defaults();
    const hb_request *q = &a->request;
    const record *r = &a->records[0];
    o.monitor = q->monitor;
    o.sampling = q->sampling;
    o.max_tokens = q->max_tokens;
    o.stops = q->stops;
    o.n_stops = q->n_stops;
    o.one_line = q->answer_lines != 0;
    assert_ok(hb_generate_tokens(session, q->prompt, q->n_prompt, &o, &g, &err));
    assert_int_equal(r->n_finish, 1);
    assert_int_equal(r->status, HB_OK);
    assert_int_equal(r->finish, g.finish);
    assert_int_equal(r->n_tokens, g.n_tokens);
    assert_int_equal(r->n_steps, g.n_steps);
    if (g.n_tokens) assert_memory_equal(r->tokens, g.tokens, (size_t)g.n_tokens * sizeof *g.tokens);
    for (size_t i = 0; i < g.n_steps; i++) {
        assert_int_equal(r->step_of[i], g.trajectory[i].step);
        assert_true(same(r->hbar_s[i], step_value(&g.trajectory[i], "hbar_s")));
        assert_true(same(r->surprise[i], step_value(&g.trajectory[i], "surprise")));
    }
    for (int i = 0; i < 5; i++)
        assert_true(same(r->scores[i], hb_scores_value(g.scores, score_names[i])));
    hb_generation_free(&g);
}

/* ---- Many together ------------------------------------------------------------------------------- */

static void check_same(const record *a, const record *b)
{
    assert_int_equal(a->n_finish, b->n_finish);
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->finish, b->finish);
    assert_int_equal(a->n_tokens, b->n_tokens);
    assert_memory_equal(a->tokens, b->tokens, sizeof a->tokens);
    assert_int_equal(a->n_steps, b->n_steps);
    assert_memory_equal(a->step_of, b->step_of, sizeof a->step_of);
    assert_memory_equal(a->hbar_s, b->hbar_s, sizeof a->hbar_s);
    assert_memory_equal(a->surprise, b->surprise, sizeof a->surprise);
    assert_memory_equal(a->scores, b->scores, sizeof a->scores);
    assert_int_equal(a->text.length, b->text.length);
    assert_memory_equal(a->text.data, b->text.data, a->text.length);
}

/* For every number of sequences and every size of the cache. */
static void test_many_as_alone(void **state)
{
    static const struct {
        int32_t n_sequences;
        int64_t n_positions;
    } cases[] = {{1, 0}, {2, 0}, {3, 256}, {5, 0}, {16, 512}, {64, 0}};
    bool seen[HB_FINISH_GIVEN + 1] = {false};
    mixture *first = NULL;
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        fixture f = open_tiny(256, cases[c].n_sequences, cases[c].n_positions);
        mixture *m = make_mixture();
        for (int i = 0; i < MOST; i++) add(&m->all[i], f.scheduler);
        assert_int_equal(hb_scheduler_n_waiting(f.scheduler), MOST);
        run(f.scheduler);
        for (int i = 0; i < MOST && first; i++)
            check_same(&m->all[i].records[0], &first->all[i].records[0]);
        if (first) assert_true(hb_scheduler_get_work(f.scheduler).shared > 100);
        if (first) free_mixture(m);
        else first = m;
        close_fixture(&f);
    }
    fixture alone = open_alone(tiny_model("f32"));
    for (int i = 0; i < MOST; i++) {
        check_alone(alone.session, &first->all[i]);
        seen[first->all[i].records[0].finish] = true;
    }
    assert_true(seen[HB_FINISH_HALTED] && seen[HB_FINISH_STOP] && seen[HB_FINISH_MAX_TOKENS]);
    free_mixture(first);
    close_fixture(&alone);
}

/* Requests that arrive while others run, some of them from a sink. */
static void test_arrivals(void **state)
{
    (void)state;
    fixture f = open_tiny(256, 6, 0), alone = open_alone(tiny_model("f32"));
    mixture *m = make_mixture();
    hb_error err;
    int next = 0;
    while (next < MOST - 1 || hb_scheduler_is_busy(f.scheduler)) {
        if (next == 10) {
            m->all[next].after = 2; /* cancels itself after it has added the last request */
            m->all[next].other = &m->all[MOST - 1];
            m->all[next].scheduler = f.scheduler;
        }
        if (next < MOST - 1) add(&m->all[next++], f.scheduler);
        assert_ok(hb_scheduler_step(f.scheduler, &err));
    }
    assert_int_equal(m->all[10].records[0].finish, HB_FINISH_CANCELLED);
    assert_in_range(m->all[10].records[0].n_tokens, 2, 3);
    for (int i = 0; i < MOST; i++)
        if (i != 10) check_alone(alone.session, &m->all[i]);
    free_mixture(m);
    close_fixture(&f);
    close_fixture(&alone);
}

/* ---- Several samples of one prompt --------------------------------------------------------------- */

/* The samples of a request depend neither on the room in the cache nor on other requests. They differ
 * from each other, and the first equals the only sample of a request for one. */
static void test_samples(void **state)
{
    enum { N = 7, LENGTH = 100 };
    static const int32_t n_sequences[] = {1, 2, 3, 7, 20};
    int32_t prompt[LENGTH];
    asked first = {0};
    (void)state;
    fill_prompt(prompt, LENGTH, 0, 50, 3);
    fixture alone = open_alone(tiny_model("f32"));
    for (int c = 0; c < 5; c++) {
        fixture f = open_tiny(256, n_sequences[c], 0);
        mixture *m = make_mixture();
        asked a = {.request = plain_request(prompt, LENGTH, 12)};
        a.request.n_samples = N;
        a.request.sampling = (hb_sampling){2, 0, 1, 77};
        for (int i = 0; i < c; i++) add(&m->all[i], f.scheduler);
        add(&a, f.scheduler);
        run(f.scheduler);
        check_alone(alone.session, &a);
        for (int k = 0; k < N; k++) {
            assert_int_equal(a.records[k].n_finish, 1);
            assert_int_equal(a.records[k].n_tokens, 12);
            for (int j = 0; j < k; j++)
                assert_memory_not_equal(a.records[k].tokens, a.records[j].tokens, 12 * sizeof(int32_t));
            if (!c) continue;
            assert_memory_equal(a.records[k].tokens, first.records[k].tokens, 12 * sizeof(int32_t));
            assert_memory_equal(a.records[k].scores, first.records[k].scores, 5 * sizeof(double));
        }
        if (c == 0) first = a;
        else free_asked(&a);
        free_mixture(m);
        close_fixture(&f);
    }
    free_asked(&first);
    close_fixture(&alone);
}

/* The prompt is evaluated once. If there is room for all samples, so is its last token. */
static void test_samples_share_their_prompt(void **state)
{
    enum { N = 7, LENGTH = 100 };
    int32_t prompt[LENGTH];
    hb_error err;
    (void)state;
    fill_prompt(prompt, LENGTH, 0, 50, 3);
    for (int32_t n_sequences = 2; n_sequences < 20; n_sequences += 8) {
        fixture f = open_tiny(256, n_sequences, 0);
        asked a = {.request = plain_request(prompt, LENGTH, 12)};
        a.request.n_samples = N;
        a.request.sampling = (hb_sampling){2, 0, 1, 77};
        add(&a, f.scheduler);
        int steps = 0;
        for (; hb_scheduler_is_busy(f.scheduler); steps++)
            assert_ok(hb_scheduler_step(f.scheduler, &err));
        assert_true(steps <= 12 * (N / n_sequences + 1));                /* no sequence is idle */
        uint64_t late = n_sequences < N ? N - (uint64_t)n_sequences : 0; /* samples that had to wait */
        hb_scheduler_work work = hb_scheduler_get_work(f.scheduler);
        assert_int_equal(work.shared, (N - 1) * LENGTH - late);
        assert_int_equal(work.evaluated, LENGTH + late + N * (12 - 1));
        free_asked(&a);
        close_fixture(&f);
    }
}

/* ---- Cancelling ---------------------------------------------------------------------------------- */

static void test_cancel_in_mid_run(void **state)
{
    (void)state;
    fixture f = open_tiny(256, 3, 0), alone = open_alone(tiny_model("f32"));
    mixture *m = make_mixture();
    hb_error err;
    m->all[1].request.max_tokens = m->all[2].request.max_tokens = 40;
    m->all[2].request.n_samples = 6; /* of which at most three run */
    for (int i = 0; i < 8; i++) add(&m->all[i], f.scheduler);
    hb_scheduler_cancel(f.scheduler, 12345);
    for (int i = 0; i < 6; i++) assert_ok(hb_scheduler_step(f.scheduler, &err));
    hb_scheduler_cancel(f.scheduler, m->all[1].number);
    hb_scheduler_cancel(f.scheduler, m->all[2].number);
    hb_scheduler_cancel(f.scheduler, m->all[7].number);
    assert_ok(hb_scheduler_step(f.scheduler, &err));
    for (int k = 0; k < 6; k++) {
        assert_int_equal(m->all[2].records[k].n_finish, 1);
        assert_int_equal(m->all[2].records[k].finish, HB_FINISH_CANCELLED);
        if (!m->all[2].records[k].n_steps) assert_true(isnan(m->all[2].records[k].scores[0]));
    }
    assert_int_equal(m->all[1].records[0].finish, HB_FINISH_CANCELLED);
    assert_int_equal(m->all[7].records[0].finish, HB_FINISH_CANCELLED);
    hb_scheduler_cancel(f.scheduler, m->all[7].number); /* a second time, which does nothing */
    run(f.scheduler);
    for (int i = 0; i < 7; i++)
        if (i != 1 && i != 2) check_alone(alone.session, &m->all[i]);
    free_mixture(m);
    close_fixture(&f);
    close_fixture(&alone);
}

/* A long prompt is evaluated in parts; cancelling works between them. */
static void test_cancel_in_a_prompt(void **state)
{
    enum { LENGTH = 1400 };
    int32_t prompt[LENGTH];
    hb_error err;
    (void)state;
    fill_prompt(prompt, LENGTH, 0, LENGTH, 0);
    fixture f = open_tiny(1500, 1, 0);
    asked a = {.request = plain_request(prompt, LENGTH, 5)};
    add(&a, f.scheduler);
    assert_ok(hb_scheduler_step(f.scheduler, &err));
    assert_ok(hb_scheduler_step(f.scheduler, &err));
    assert_int_equal(hb_scheduler_get_work(f.scheduler).evaluated, 1024);
    hb_scheduler_cancel(f.scheduler, a.number);
    assert_ok(hb_scheduler_step(f.scheduler, &err));
    assert_false(hb_scheduler_is_busy(f.scheduler));
    assert_int_equal(a.records[0].finish, HB_FINISH_CANCELLED);
    assert_true(a.records[0].seconds[0] > 0);
    assert_int_equal(hb_scheduler_get_work(f.scheduler).evaluated, 1024);
    free_asked(&a);
    close_fixture(&f);
}

/* Closing a scheduler ends what is unfinished, so that every sample has its last event. */
static void test_close(void **state)
{
    (void)state;
    fixture f = open_tiny(256, 2, 0);
    mixture *m = make_mixture();
    hb_error err;
    m->all[3].request.n_samples = 4;
    for (int i = 0; i < 6; i++) add(&m->all[i], f.scheduler);
    for (int i = 0; i < 3; i++) assert_ok(hb_scheduler_step(f.scheduler, &err));
    close_fixture(&f);
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < m->all[i].request.n_samples; k++)
            assert_int_equal(m->all[i].records[k].n_finish, 1);
    free_mixture(m);
}

/* ---- Stop texts ---------------------------------------------------------------------------------- */

/* The text ends before the first stop text, at any token boundaries and also when stop texts overlap.
 */
static void test_several_stops(void **state)
{
    (void)state;
    fixture f = open_tiny(256, 4, 0);
    int32_t prompt[20];
    fill_prompt(prompt, 20, 1, 20, 0);
    asked all = {.request = plain_request(prompt, 20, 60)};
    add(&all, f.scheduler);
    run(f.scheduler);
    const hb_buffer *text = &all.records[0].text;
    for (size_t at = 3; at + 9 < text->length && at < 80; at += 2) {
        char second[6] = "", first[4] = "";
        memcpy(second, text->data + at + 4, 5);
        memcpy(first, text->data + at, 3);
        if (strlen(first) < 3 || strlen(second) < 5) continue;
        const char *stops[] = {"not in it", second, first, second};
        asked a = {.request = plain_request(prompt, 20, 60)};
        a.request.stops = stops;
        a.request.n_stops = 4;
        add(&a, f.scheduler);
        run(f.scheduler);
        const char *one = memmem(text->data, text->length, first, 3);
        const char *two = memmem(text->data, text->length, second, 5);
        size_t expected = (size_t)((two < one ? two : one) - text->data);
        const record *r = &a.records[0];
        assert_int_equal(r->finish, HB_FINISH_STOP);
        assert_int_equal(r->text.length, expected);
        if (expected) assert_memory_equal(r->text.data, text->data, expected);
        free_asked(&a);
    }
    free_asked(&all);
    close_fixture(&f);
}

/* Texts of two letters arrive in pieces. The released bytes end before the first stop text and before
 * any bytes that may still become one. */
static void test_stops_in_pieces(void **state)
{
    hb_rng rng = {11};
    int found = 0;
    (void)state;
    for (int turn = 0; turn < 3000; turn++) {
        char texts[3][6] = {""}, all[64] = "";
        const char *stops[] = {texts[0], texts[1], texts[2]};
        for (int i = 0; i < 3; i++)
            for (uint64_t n = 2 + hb_rng_below(&rng, 4); n > 0; n--)
                texts[i][n - 1] = "ab"[hb_rng_below(&rng, 2)];
        hb_stops s = {.texts = stops, .n = 1 + (size_t)hb_rng_below(&rng, 3)};
        size_t length = 0, released = 0, n;
        while (!s.found && length < 50) {
            size_t piece = (size_t)hb_rng_below(&rng, 9), expected = length + piece, held = 0;
            for (size_t i = 0; i < piece; i++) all[length + i] = "ab"[hb_rng_below(&rng, 2)];
            assert_true(hb_stops_add(&s, all + length, piece, &n));
            length += piece;
            bool any = false;
            for (size_t i = 0; i < s.n; i++) {
                const char *at = strstr(all, stops[i]);
                any = any || at;
                if (at && (size_t)(at - all) < expected) expected = (size_t)(at - all);
                for (size_t k = strlen(stops[i]) - 1; k > held; k--)
                    if (k <= length && memcmp(all + length - k, stops[i], k) == 0) held = k;
            }
            assert_int_equal(s.found, any);
            assert_int_equal(released + n, any ? expected : length - held);
            assert_memory_equal(s.held.data, all + released, s.held.length);
            hb_stops_release(&s, n);
            released += n;
        }
        found += s.found;
        hb_buffer_free(&s.held);
    }
    assert_true(found > 2000);
}

/* ---- A given continuation ------------------------------------------------------------------------ */

/* A given continuation that the model itself chose is measured the same as when generated, however it
 * is split into evaluations. */
static void test_given_is_measured_as_chosen(void **state)
{
    enum { LENGTH = 70, N = 700 };
    static const int32_t counts[] = {1, 2, 31, 32, 33, 64, 200, N};
    int32_t prompt[LENGTH];
    (void)state;
    fill_prompt(prompt, LENGTH, 2, 30, 5);
    fixture f = open_tiny(1000, 3, 0);
    mixture *m = make_mixture();
    asked chosen = {.request = plain_request(prompt, LENGTH, N)};
    add(&chosen, f.scheduler);
    run(f.scheduler);
    const record *c = &chosen.records[0];
    assert_int_equal(c->n_tokens, N);
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        int32_t n = counts[k];
        asked a = {.request = plain_request(prompt, LENGTH, N + 1)};
        a.request.given = c->tokens;
        a.request.n_given = (size_t)n;
        if (k % 2) add(&m->all[k], f.scheduler);
        add(&a, f.scheduler);
        run(f.scheduler);
        const record *r = &a.records[0];
        assert_int_equal(r->finish, HB_FINISH_GIVEN);
        assert_int_equal(r->n_tokens, n);
        assert_int_equal(r->n_steps, n);
        assert_memory_equal(r->tokens, c->tokens, (size_t)n * sizeof *r->tokens);
        assert_memory_equal(r->hbar_s, c->hbar_s, (size_t)n * sizeof *r->hbar_s);
        assert_memory_equal(r->surprise, c->surprise, (size_t)n * sizeof *r->surprise);
        if (n == N) assert_memory_equal(r->scores, c->scores, sizeof r->scores);
        assert_memory_equal(r->text.data, c->text.data, r->text.length);
        free_asked(&a);
    }
    free_asked(&chosen);
    free_mixture(m);
    close_fixture(&f);
}

/* For given tokens that the model would not choose, the surprise equals the one from evaluating the
 * text. */
static void test_given_surprises(void **state)
{
    enum { LENGTH = 25, N = 40 };
    int32_t all[LENGTH + N], rows[N];
    hb_error err;
    (void)state;
    fill_prompt(all, LENGTH + N, 1, 10, 8);
    fixture f = open_tiny(256, 1, 0);
    asked a = {.request = plain_request(all, LENGTH, 100)};
    a.request.given = all + LENGTH;
    a.request.n_given = N;
    a.request.monitor.check_every = 3;
    add(&a, f.scheduler);
    run(f.scheduler);
    const record *r = &a.records[0];
    assert_int_equal(r->n_tokens, N);
    assert_int_equal(r->n_steps, (N + 2) / 3);
    size_t vocab = (size_t)hb_model_get_info(f.model)->n_vocab;
    float *logits = malloc(N * vocab * sizeof *logits);
    for (int i = 0; i < N; i++) rows[i] = LENGTH - 1 + i;
    hb_tap tap = {.rows = rows, .n_rows = N, .logits = logits};
    hb_session_reset(f.session);
    assert_ok(hb_eval(f.session, all, LENGTH + N, &tap, &err));
    for (size_t i = 0; i < r->n_steps; i++) {
        size_t step = 3 * i;
        const float *x = logits + step * vocab;
        hb_distribution d;
        assert_true(hb_distribution_gather(x, vocab, &d));
        assert_int_equal(r->step_of[i], step);
        assert_near(r->surprise[i], hb_surprise(hb_probability(&d, x[all[LENGTH + step]])), 0);
    }
    free(logits);
    free_asked(&a);
    close_fixture(&f);
}

/* Runs a text, given token by token after a prompt, until its answer ends. */
static void run_answer(fixture *f, const char *prompt, const char *text, int32_t lines, asked *a)
{
    int32_t *p, *t;
    size_t n_p, n_t;
    hb_error err;
    assert_ok(hb_tokenize(f->model, prompt, strlen(prompt), true, true, &p, &n_p, &err));
    assert_ok(hb_tokenize(f->model, text, strlen(text), false, true, &t, &n_t, &err));
    *a = (asked){.request = plain_request(p, n_p, 200)};
    a->request.given = t;
    a->request.n_given = n_t;
    a->request.answer_lines = lines;
    add(a, f->scheduler);
    run(f->scheduler);
    free(p);
    free(t);
}

/* The text, without the blank that the tokenizer puts before it. */
static const char *text_of(const asked *a)
{
    const char *text = a->records[0].text.data;
    return text + (*text == ' ');
}

/* A text ends with its answer: after the line with the answer, not after the reasoning before it. */
static void test_answers_end_samples(void **state)
{
    static const struct {
        const char *prompt, *text, *whole;
        int32_t lines;
    } rows[] = {
        {"Who?", "\n Me\nYou", "\n Me\n", 1},
        {"Who?", "Me\n\nYou\nThey", "Me\n\nYou\n", 2},
        {"Who?", "<think>\nI\n</think>\n\nMe\nYou", "<think>\nI\n</think>\n\nMe\n", 1},
        {"Who?<think>\n", "I\n</think>\nMe\nYou", "I\n</think>\nMe\n", 1},
        {"<think></think>\n", "Me\n</think>\nYou", "Me\n", 1},
        {"Who?", "Sure!\nMe\nYou", "Sure!\nMe\n", 1},
    };
    (void)state;
    fixture f = open_tiny(256, 2, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        asked a;
        const char *prompt = rows[i].prompt, *text = rows[i].text;
        run_answer(&f, prompt, text, rows[i].lines, &a);
        assert_string_equal(text_of(&a), rows[i].whole);
        assert_int_equal(a.records[0].finish, HB_FINISH_LINE);
        free_asked(&a);
        for (int32_t lines = HB_ALL_LINES; lines <= 0; lines++) {
            run_answer(&f, prompt, text, lines, &a);
            assert_string_equal(text_of(&a), text);
            assert_int_equal(a.records[0].finish, HB_FINISH_GIVEN);
            free_asked(&a);
        }
    }
    close_fixture(&f);
}

/* A given continuation ends for the same reasons as a generated one: a halt, a stop text, a limit, the
 * context. */
static void test_given_ends_early(void **state)
{
    enum { LENGTH = 30, N = 50 };
    int32_t prompt[LENGTH];
    (void)state;
    fill_prompt(prompt, LENGTH, 0, 5, 2);
    fixture f = open_tiny(64, 2, 0);
    asked chosen = {.request = plain_request(prompt, LENGTH, N)};
    add(&chosen, f.scheduler);
    run(f.scheduler);
    record *c = &chosen.records[0];
    assert_int_equal(c->finish, HB_FINISH_CONTEXT);
    assert_int_equal(c->n_tokens, 35); /* the last one needs no room of its own */

    asked a = {.request = plain_request(prompt, LENGTH, 20)};
    a.request.given = c->tokens;
    a.request.n_given = 35;
    add(&a, f.scheduler);
    run(f.scheduler);
    assert_int_equal(a.records[0].finish, HB_FINISH_MAX_TOKENS);
    assert_int_equal(a.records[0].n_tokens, 20);
    free_asked(&a);

    a.request.max_tokens = N;
    memcpy(c->tokens + 35, c->tokens, 10 * sizeof *c->tokens);
    a.request.n_given = 45;
    add(&a, f.scheduler);
    run(f.scheduler);
    assert_int_equal(a.records[0].finish, HB_FINISH_CONTEXT);
    assert_int_equal(a.records[0].n_tokens, 35);
    free_asked(&a);

    int32_t riskiest = 1;
    for (int32_t i = 2; i < 35; i++)
        if (c->hbar_s[i] > c->hbar_s[riskiest]) riskiest = i;
    a.request.monitor.tau = c->hbar_s[riskiest];
    a.request.monitor.cutoff = 0.5;
    add(&a, f.scheduler);
    run(f.scheduler);
    assert_int_equal(a.records[0].finish, HB_FINISH_HALTED);
    assert_true(a.records[0].n_tokens <= riskiest);
    assert_int_equal(a.records[0].n_steps, a.records[0].n_tokens + 1);
    free_asked(&a);
    free_asked(&chosen);
    close_fixture(&f);
}

/* ---- What goes wrong ----------------------------------------------------------------------------- */

/* A copy of the model in which the embedding of one token is NaN, so that only texts with this token
 * fail. The embeddings are the first tensor, and data follow the description of the last tensor. */
static const char *spoil_token(const char *dir, int32_t token)
{
    static char path[160];
    fixture f = open_tiny(64, 1, 0);
    size_t d = (size_t)hb_model_get_info(f.model)->n_embd;
    close_fixture(&f);
    file_bytes file = load_file(tiny_model("f32"), dir, "spoiled.gguf");
    const float nan = NAN;
    size_t described = (size_t)(after(&file, "blk.2.ffn_down.weight") + 32 - file.data);
    size_t data = (described + 31) / 32 * 32;
    memcpy(file.data + data + (size_t)token * d * sizeof nan, &nan, sizeof nan);
    save_file(&file, file.size);
    free(file.data);
    strcpy(path, file.path);
    return path;
}

static void test_fails_alone(void **state)
{
    enum { BAD = 300, N = 6, LENGTH = 30 };
    int32_t prompts[N][LENGTH];
    asked all[N] = {0};
    (void)state;
    const char *path = spoil_token(*state, BAD);
    fixture f = open_fixture(path, 256, 2, 0), alone = open_alone(path);
    for (int i = 0; i < N; i++) {
        fill_prompt(prompts[i], LENGTH, 0, 10, i);
        for (int k = 0; k < LENGTH; k++) prompts[i][k] -= prompts[i][k] == BAD;
        all[i].request = plain_request(prompts[i], LENGTH, 20);
        if (i % 2) prompts[i][LENGTH - 3] = BAD;
        if (i == 3) all[i].request.n_samples = 3;
        if (i == 5)
            all[i].request.monitor.check_every = 50; /* also detected when nothing is measured */
        add(&all[i], f.scheduler);
    }
    run(f.scheduler);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < all[i].request.n_samples; k++) {
            const record *r = &all[i].records[k];
            if (i % 2 == 0) check_alone(alone.session, &all[i]);
            assert_int_equal(r->n_finish, 1);
            assert_int_equal(r->status, i % 2 ? HB_ERR_NUMERIC : HB_OK);
            if (i % 2) assert_non_null(strstr(r->message, "not finite"));
        }
    for (int i = 0; i < N; i++) free_asked(&all[i]);
    close_fixture(&f);
    close_fixture(&alone);
}

/* A sink that fails ends its own sample. */
static void test_sink_fails(void **state)
{
    (void)state;
    fixture f = open_tiny(256, 4, 0), alone = open_alone(tiny_model("f32"));
    mixture *m = make_mixture();
    m->all[6].after = 2;
    m->all[6].fails = true;
    for (int i = 0; i < 12; i++) add(&m->all[i], f.scheduler);
    run(f.scheduler);
    const record *r = &m->all[6].records[0];
    assert_int_equal(r->n_finish, 1);
    assert_int_equal(r->status, HB_ERR_IO);
    assert_string_equal(r->message, "the line is dead");
    assert_int_equal(r->n_tokens, 2);
    for (int i = 0; i < 12; i++)
        if (i != 6) check_alone(alone.session, &m->all[i]);
    free_mixture(m);
    close_fixture(&f);
    close_fixture(&alone);
}

/* A sample that has filled the context, or a cache that is smaller, ends while others go on. */
static void test_context(void **state)
{
    int32_t long_one[60], short_one[10];
    (void)state;
    fill_prompt(long_one, 60, 0, 60, 0);
    fill_prompt(short_one, 10, 1, 10, 0);
    for (int32_t n_ctx = 64; n_ctx <= 500; n_ctx += 436) {
        fixture f = open_tiny(n_ctx, 2, 128);
        asked a = {.request = plain_request(long_one, 60, 200)};
        asked b = {.request = plain_request(short_one, 10, 50)};
        assert_int_equal(hb_scheduler_positions(f.scheduler), n_ctx == 64 ? 64 : 128);
        add(&a, f.scheduler);
        add(&b, f.scheduler);
        run(f.scheduler);
        assert_int_equal(a.records[0].finish, HB_FINISH_CONTEXT);
        assert_int_equal(a.records[0].n_tokens, hb_scheduler_positions(f.scheduler) - 60 + 1);
        assert_int_equal(b.records[0].finish, HB_FINISH_MAX_TOKENS);
        free_asked(&a);
        free_asked(&b);
        close_fixture(&f);
    }
}

static void refused(hb_scheduler *s, const hb_request *r, hb_status status, const char *part)
{
    uint64_t number;
    hb_error err;
    assert_fails(hb_scheduler_add(s, r, &number, &err), status, part);
}

static void test_refusals(void **state)
{
    int32_t prompt[100];
    const char *stops[] = {"a", ""};
    hb_error err;
    (void)state;
    fill_prompt(prompt, 100, 0, 100, 0);
    fixture f = open_tiny(64, 2, 0), small = open_tiny(500, 2, 64);
    const hb_request good = plain_request(prompt, 50, 10);
    hb_request r = good;
    r.n_prompt = 0;
    refused(f.scheduler, &r, HB_ERR_ARGUMENT, "the prompt is empty");
    r.n_prompt = 65;
    refused(f.scheduler, &r, HB_ERR_CONTEXT, "the context of 64");
    refused(small.scheduler, &r, HB_ERR_CONTEXT, "the cache of 64");
    r = good;
    r.max_tokens = 0;
    refused(f.scheduler, &r, HB_ERR_ARGUMENT, "max-tokens 0");
    r = good;
    r.n_samples = 0;
    refused(f.scheduler, &r, HB_ERR_ARGUMENT, "samples is 0");
    r.n_samples = 2;
    r.given = prompt;
    r.n_given = 3;
    refused(f.scheduler, &r, HB_ERR_ARGUMENT, "one sample, not 2");
    r.n_samples = 1;
    r.n_given = 0;
    refused(f.scheduler, &r, HB_ERR_ARGUMENT, "continuation is empty");
    r = good;
    r.stops = stops;
    r.n_stops = 2;
    refused(f.scheduler, &r, HB_ERR_ARGUMENT, "stop text is empty");
    r = good;
    r.sampling.top_p = 2;
    refused(f.scheduler, &r, HB_ERR_ARGUMENT, "top-p 2");
    r = good;
    r.monitor.tau = NAN;
    refused(f.scheduler, &r, HB_ERR_ARGUMENT, "tau");
    r = good;
    prompt[7] = 1 << 20;
    refused(f.scheduler, &r, HB_ERR_ARGUMENT, "outside the vocabulary");
    assert_false(hb_scheduler_is_busy(f.scheduler));
    assert_ok(hb_scheduler_step(f.scheduler, &err));
    close_fixture(&f);
    close_fixture(&small);
}

/* ---- When memory runs out ------------------------------------------------------------------------ */

/* The events of a sample, recorded without allocation. */
typedef struct small_record {
    int32_t tokens[10];
    int n_tokens, n_finish;
    hb_status status;
} small_record;

static hb_status small_sink(void *user, const hb_event *event, hb_error *err)
{
    small_record *r = (small_record *)user + event->sample;
    (void)err;
    if (event->kind == HB_EVENT_TOKEN) r->tokens[r->n_tokens++] = event->token;
    if (event->kind != HB_EVENT_FINISH) return HB_OK;
    r->n_finish++;
    r->status = event->outcome->error ? event->outcome->error->status : HB_OK;
    return HB_OK;
}

/* Runs three requests with five samples in all while allocation number `n` fails. Every accepted
 * request ends exactly once; *refused counts the others. */
static void run_failing(hb_session *session, long n, small_record records[3][3], int *refused)
{
    static const char *const stops[] = {"no such text", "nor that"};
    int32_t prompts[3][20];
    hb_scheduler *scheduler;
    hb_error err;
    uint64_t number;
    bool taken[3] = {false};
    memset(records, 0, 3 * sizeof *records);
    fail_allocations(n, false);
    hb_status status = hb_scheduler_open(session, &scheduler, &err);
    for (int i = 0; i < 3 && !status; i++) {
        fill_prompt(prompts[i], 20, i, 20, 0);
        hb_request r = plain_request(prompts[i], 20, 8);
        r.sink = small_sink;
        r.user = records[i];
        if (i == 0) r.stops = stops, r.n_stops = 2;
        if (i == 1) r.n_samples = 3, r.sampling = (hb_sampling){1, 0, 1, 5};
        if (i == 2) r.given = prompts[0], r.n_given = 10;
        hb_status added = hb_scheduler_add(scheduler, &r, &number, &err);
        if (added) assert_int_equal(err.status, HB_ERR_MEMORY);
        taken[i] = added == HB_OK;
    }
    while (!status && hb_scheduler_is_busy(scheduler))
        assert_int_equal(hb_scheduler_step(scheduler, &err), HB_OK);
    if (status) assert_int_equal(err.status, HB_ERR_MEMORY);
    else hb_scheduler_close(scheduler);
    stop_failing();
    *refused = 0;
    for (int i = 0; i < 3; i++) {
        *refused += !taken[i];
        for (int k = 0; k < (i == 1 ? 3 : 1); k++)
            assert_int_equal(records[i][k].n_finish, taken[i] ? 1 : 0);
    }
}

/* Each allocation fails in turn. At most one sample fails or one request is refused, unless the
 * scheduler cannot open. The other results stay the same. */
static void test_memory_runs_out(void **state)
{
    (void)state;
    fixture f = open_alone(tiny_model("f32"));
    hb_error err;
    hb_session *session;
    const hb_session_options o = {.n_ctx = 64, .n_threads = 1, .n_sequences = 3};
    assert_ok(hb_session_open(f.model, &o, &session, &err));
    small_record whole[3][3], records[3][3];
    int refused, n_failed = 0, n_refused = 0, n_untouched = 0;
    run_failing(session, -1, whole, &refused);
    assert_int_equal(refused, 0);
    const long n = allocations.made;
    for (long i = 0; i < n; i += ALLOCATION_STEP) {
        int failed = 0;
        run_failing(session, i, records, &refused);
        for (int k = 0; k < 9; k++) {
            const small_record *r = &records[k / 3][k % 3], *w = &whole[k / 3][k % 3];
            if (r->status) assert_int_equal(r->status, HB_ERR_MEMORY);
            failed += r->status != HB_OK;
            if (r->n_finish && !r->status) assert_memory_equal(r, w, sizeof *r);
        }
        assert_true(refused == 3 || refused + failed <= 1);
        n_failed += failed;
        n_refused += refused == 1;
        n_untouched += refused + failed == 0;
    }
    assert_true(n_failed * ALLOCATION_STEP >= 30 && n_refused * ALLOCATION_STEP >= 30);
    assert_true(n_untouched <= 2);
    hb_session_close(session);
    close_fixture(&f);
}

/* hb_generate reports the failed allocation and leaks nothing. */
static void test_generation_without_memory(void **state)
{
    (void)state;
    fixture f = open_alone(tiny_model("f32"));
    hb_error err;
    hb_generate_options o = hb_generate_defaults();
    o.monitor.cutoff = 1.1;
    o.max_tokens = 70; /* arrays grow several times */
    hb_generation g;
    fail_allocations(-1, false);
    assert_ok(hb_generate(f.session, "What is it?", 11, &o, &g, &err));
    long n = allocations.made;
    hb_generation_free(&g);
    assert_true(n > 50);
    for (long i = 0; i < n; i++) {
        fail_allocations(i, false);
        hb_status status = hb_generate(f.session, "What is it?", 11, &o, &g, &err);
        stop_failing();
        assert_int_equal(status, HB_ERR_MEMORY);
        assert_int_equal(err.status, HB_ERR_MEMORY);
    }
    close_fixture(&f);
}

/* ---- Scheduling ---------------------------------------------------------------------------------- */

/* A later request reuses the prefix that it shares with the prompt of a finished sample, even after
 * requests that share nothing. */
static void test_kept_prompts(void **state)
{
    enum { LENGTH = 120 };
    static const int families[] = {0, 1, 0, 1, 0};
    int32_t prompt[LENGTH];
    (void)state;
    fixture f = open_tiny(256, 4, 0);
    for (int i = 0; i < 5; i++) {
        fill_prompt(prompt, LENGTH, families[i], 100, i);
        prompt[0] = 1 + families[i];
        asked a = {.request = plain_request(prompt, LENGTH, 3)};
        add(&a, f.scheduler);
        run(f.scheduler);
        assert_int_equal(hb_scheduler_get_work(f.scheduler).shared, i < 2 ? 0 : (i - 1) * 100);
        free_asked(&a);
    }
    close_fixture(&f);
}

/* A request without a shared prefix does not wait forever while others overtake it. */
static void test_nothing_waits_for_ever(void **state)
{
    enum { N = 60, LENGTH = 60 };
    int32_t prompts[N][LENGTH], lonely[LENGTH];
    asked all[N] = {0};
    int at = -1;
    hb_error err;
    (void)state;
    fixture f = open_tiny(256, 2, 0);
    for (int i = 0; i < N; i++) {
        fill_prompt(prompts[i], LENGTH, 0, 50, i);
        all[i].request = plain_request(prompts[i], LENGTH, 4);
    }
    fill_prompt(lonely, LENGTH, 2, LENGTH, 0);
    asked l = {.request = plain_request(lonely, LENGTH, 4)};
    for (int i = 0; i < N || hb_scheduler_is_busy(f.scheduler);) {
        while (i < N && hb_scheduler_n_waiting(f.scheduler) < 6) {
            if (i == 8) add(&l, f.scheduler);
            add(&all[i++], f.scheduler);
        }
        assert_ok(hb_scheduler_step(f.scheduler, &err));
        if (at < 0 && l.records && l.records[0].n_finish) at = i;
    }
    assert_in_range(at, 8, 30);
    for (int i = 0; i < N; i++) free_asked(&all[i]);
    free_asked(&l);
    close_fixture(&f);
}

/* Where attention goes through all sequences, no more samples run than are worth it, and kept prompts
 * make room. */
static void test_crowd(void **state)
{
    enum { N = 12, LENGTH = 100, ANSWER = 4, CROWD = 150, PAGES = 3 * 64 };
    int32_t prompts[N][LENGTH];
    hb_error err;
    (void)state;
    for (int has_crowd = 0; has_crowd < 2; has_crowd++) {
        fixture f = open_tiny(256, N, 0);
        asked all[N] = {0};
        int64_t capacity = hb_session_n_free(f.session), most = 0;
        f.session->crowd = has_crowd ? CROWD : 0;
        for (int i = 0; i < N; i++) {
            fill_prompt(prompts[i], LENGTH, i % 6, 64, i);
            all[i].request = plain_request(prompts[i], LENGTH, ANSWER);
            add(&all[i], f.scheduler);
        }
        while (hb_scheduler_is_busy(f.scheduler)) {
            assert_ok(hb_scheduler_step(f.scheduler, &err));
            int64_t held = capacity - hb_session_n_free(f.session);
            if (held > most) most = held;
        }
        /* one sample more, of 2 pages, and the page that it shares */
        assert_int_equal(most > CROWD + PAGES, !has_crowd);
        for (int i = 0; i < N; i++) assert_int_equal(all[i].records[0].n_tokens, ANSWER);
        for (int i = 0; i < N; i++) free_asked(&all[i]);
        close_fixture(&f);
    }
}

/* ---- A server's scheduler ------------------------------------------------------------------------ */

/* Requests have the results that they have alone, also with a prefix cache that holds answers. */
static void test_serving_as_alone(void **state)
{
    static const hb_serving cases[] = {{1, 1}, {2, 7}, {4, 64}, {16, 512}};
    mixture *first = NULL;
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        fixture f = open_tiny(256, 12, 1024);
        hb_scheduler_serve(f.scheduler, cases[c]);
        mixture *m = make_mixture();
        hb_error err;
        for (int next = 0; next < MOST || hb_scheduler_is_busy(f.scheduler);) {
            if (next < MOST) add(&m->all[next++], f.scheduler);
            assert_ok(hb_scheduler_step(f.scheduler, &err));
            assert_in_range(hb_scheduler_n_running(f.scheduler), 0, cases[c].n_running);
        }
        for (int i = 0; i < MOST && first; i++)
            check_same(&m->all[i].records[0], &first->all[i].records[0]);
        if (first) free_mixture(m);
        else first = m;
        close_fixture(&f);
    }
    fixture alone = open_alone(tiny_model("f32"));
    for (int i = 0; i < MOST; i++) check_alone(alone.session, &first->all[i]);
    free_mixture(first);
    close_fixture(&alone);
}

/* A prompt that continues a finished conversation takes over its answer, too. Without a server the
 * prompt alone is kept. */
static void test_answers_are_kept(void **state)
{
    enum { LENGTH = 70, ANSWER = 10 };
    (void)state;
    for (int serves = 0; serves < 2; serves++) {
        int32_t prompt[LENGTH + ANSWER + 5];
        fixture f = open_tiny(256, 4, 0);
        if (serves) hb_scheduler_serve(f.scheduler, (hb_serving){2, 32});
        fill_prompt(prompt, LENGTH, 0, LENGTH, 0);
        asked first = {.request = plain_request(prompt, LENGTH, ANSWER)};
        add(&first, f.scheduler);
        run(f.scheduler);
        assert_int_equal(first.records[0].n_tokens, ANSWER);
        memcpy(prompt + LENGTH, first.records[0].tokens, ANSWER * sizeof *prompt);
        for (int32_t i = 0; i < 5; i++) prompt[LENGTH + ANSWER + i] = 9 + i;
        asked second = {.request = plain_request(prompt, LENGTH + ANSWER + 5, 3)};
        add(&second, f.scheduler);
        run(f.scheduler);
        int32_t shared = serves ? LENGTH + ANSWER - 1 : LENGTH; /* the last token is not evaluated */
        assert_int_equal(hb_scheduler_get_work(f.scheduler).shared, shared);
        assert_int_equal(second.records[0].n_shared, shared);
        free_asked(&first);
        free_asked(&second);
        close_fixture(&f);
    }
}

/* Samples of a prompt that was just answered evaluate its last token alone. The request for them comes
 * from the answer's last event, as in a server. */
static hb_status ask_for_samples(void *user, const hb_event *event, hb_error *err)
{
    asked *a = user;
    hb_status status = sink(user, event, err);
    if (event->kind == HB_EVENT_FINISH) add(a->other, a->scheduler);
    return status;
}

static void test_samples_after_an_answer(void **state)
{
    enum { LENGTH = 150, ANSWER = 10, SAMPLES = 6, TOKENS = 4 };
    int32_t prompt[LENGTH];
    (void)state;
    for (int32_t running = 1; running <= 4; running += 3) {
        fixture f = open_tiny(256, 12, 0);
        hb_scheduler_serve(f.scheduler, (hb_serving){running, 32});
        fill_prompt(prompt, LENGTH, 0, LENGTH, 0);
        asked samples = {.request = plain_request(prompt, LENGTH, TOKENS)};
        samples.request.n_samples = SAMPLES;
        samples.request.sampling.temperature = 1;
        asked answer = {.request = plain_request(prompt, LENGTH, ANSWER),
                        .scheduler = f.scheduler,
                        .other = &samples};
        answer.request.sink = ask_for_samples;
        add(&answer, f.scheduler);
        run(f.scheduler);
        uint64_t of_samples = hb_scheduler_get_work(f.scheduler).evaluated - (LENGTH + ANSWER - 1);
        assert_in_range(of_samples, SAMPLES * (TOKENS - 1) + 1, SAMPLES * TOKENS);
        free_asked(&answer);
        free_asked(&samples);
        close_fixture(&f);
    }
}

/* The conversation that was used least recently is dropped. */
static void test_least_recently_used(void **state)
{
    enum { LENGTH = 100 };
    static const struct {
        int family;
        int32_t shared;
    } rounds[] = {{0, 0}, {1, 0}, {0, LENGTH - 1}, {2, 0}, {3, 0}, {0, LENGTH - 1}, {1, 0}};
    int32_t prompt[LENGTH];
    (void)state;
    fixture f = open_tiny(256, 4, 0);
    hb_scheduler_serve(f.scheduler, (hb_serving){1, 32});
    for (size_t i = 0; i < sizeof rounds / sizeof *rounds; i++) {
        fill_prompt(prompt, LENGTH, rounds[i].family, LENGTH, 0);
        prompt[0] = 1 + rounds[i].family;
        asked a = {.request = plain_request(prompt, LENGTH, 3)};
        add(&a, f.scheduler);
        run(f.scheduler);
        assert_int_equal(a.records[0].n_shared, rounds[i].shared);
        free_asked(&a);
    }
    close_fixture(&f);
}

/* Requests that share a prefix with the cache begin first, but after as many of them as run at once,
 * the others begin in the order of their arrival, whatever their tokens. */
static void test_order_of_waiting(void **state)
{
    enum { N = 7, LENGTH = 40 };
    static const int families[N] = {0, 3, 0, 2, 0, 1, 0}; /* the first one runs when the others come */
    int32_t prompts[N][LENGTH];
    int order[N], n = 0;
    asked all[N] = {0};
    hb_error err;
    (void)state;
    fixture f = open_tiny(256, 4, 0);
    hb_scheduler_serve(f.scheduler, (hb_serving){1, 64});
    for (int i = 0; i < N; i++) {
        fill_prompt(prompts[i], LENGTH, families[i], 30, i);
        prompts[i][0] = 1 + families[i];
        all[i].request = plain_request(prompts[i], LENGTH, 3);
        add(&all[i], f.scheduler);
        if (i == 0) assert_ok(hb_scheduler_step(f.scheduler, &err));
    }
    for (bool seen[N] = {false}; hb_scheduler_is_busy(f.scheduler);) {
        assert_ok(hb_scheduler_step(f.scheduler, &err));
        for (int i = 0; i < N; i++) {
            if (seen[i] || !all[i].records[0].n_tokens) continue;
            seen[i] = true;
            order[n++] = i;
        }
    }
    assert_int_equal(n, N);
    for (int i = 0; i < 3; i++) assert_int_equal(families[order[i]], 0);
    assert_int_equal(order[3], 1);
    for (int i = 4; i < N; i++) assert_in_range(order[i], order[i - 1] + 1, N - 1);
    for (int i = 0; i < N; i++) free_asked(&all[i]);
    close_fixture(&f);
}

/* A request for many samples does not keep the others waiting until all of them have begun. */
static void test_samples_take_turns(void **state)
{
    enum { N = 8, LENGTH = 20, OTHERS = 2 };
    int32_t prompts[1 + OTHERS][LENGTH];
    asked all[1 + OTHERS] = {0};
    hb_error err;
    (void)state;
    fixture f = open_tiny(256, 4, 0);
    hb_scheduler_serve(f.scheduler, (hb_serving){1, 64});
    for (int i = 0; i <= OTHERS; i++) {
        fill_prompt(prompts[i], LENGTH, i, LENGTH, 0);
        prompts[i][0] = 1 + i;
        all[i].request = plain_request(prompts[i], LENGTH, 3);
        all[i].request.n_samples = i ? 1 : N;
        add(&all[i], f.scheduler);
        if (i == 0) assert_ok(hb_scheduler_step(f.scheduler, &err));
    }
    while (!all[1].records[0].n_finish || !all[2].records[0].n_finish)
        assert_ok(hb_scheduler_step(f.scheduler, &err));
    int n_ended = 0;
    for (int k = 0; k < N; k++) n_ended += all[0].records[k].n_finish;
    assert_in_range(n_ended, 1, N / 2);
    run(f.scheduler);
    for (int i = 0; i <= OTHERS; i++) free_asked(&all[i]);
    close_fixture(&f);
}

/* While a long prompt is evaluated, a sample that decodes gets a token in each evaluation, and a short
 * prompt is not kept waiting. */
static void test_long_prompts_share(void **state)
{
    enum { LONG = 1500, SHORT = 20, PREFILL = 64 };
    int32_t longest[LONG], shorter[SHORT], other[SHORT];
    hb_error err;
    (void)state;
    fixture f = open_tiny(2048, 4, 0);
    hb_scheduler_serve(f.scheduler, (hb_serving){4, PREFILL});
    fill_prompt(longest, LONG, 0, LONG, 0);
    fill_prompt(shorter, SHORT, 1, SHORT, 0);
    fill_prompt(other, SHORT, 2, SHORT, 0);
    asked l = {.request = plain_request(longest, LONG, 2)},
          d = {.request = plain_request(other, SHORT, 100)},
          s = {.request = plain_request(shorter, SHORT, 5)};
    add(&d, f.scheduler);
    assert_ok(hb_scheduler_step(f.scheduler, &err));
    assert_int_equal(d.records[0].n_tokens, 1);
    add(&l, f.scheduler);
    add(&s, f.scheduler);
    for (int32_t i = 0; !l.records[0].n_tokens; i++) {
        uint64_t before = hb_scheduler_get_work(f.scheduler).evaluated;
        assert_ok(hb_scheduler_step(f.scheduler, &err));
        assert_in_range(hb_scheduler_get_work(f.scheduler).evaluated - before, 1, PREFILL + 2);
        assert_int_equal(d.records[0].n_tokens, 2 + i);
        assert_int_equal(s.records[0].n_tokens, i < 5 ? 1 + i : 5);
    }
    run(f.scheduler);
    free_asked(&l);
    free_asked(&d);
    free_asked(&s);
    close_fixture(&f);
}

/* ---- Biases, penalties and log-probabilities ----------------------------------------------------- */

static void test_biases(void **state)
{
    static const hb_bias forced[] = {{40, 100}}, bad_token[] = {{-1, 1}}, bad_bias[] = {{1, 101}};
    const int32_t prompt[] = {1, 5, 6};
    (void)state;
    fixture f = open_tiny(256, 2, 0);
    asked a = {.request = plain_request(prompt, 3, 6)};
    a.request.adjustment = (hb_adjustment){.biases = forced, .n_biases = 1};
    add(&a, f.scheduler);
    run(f.scheduler);
    for (int32_t i = 0; i < 6; i++) assert_int_equal(a.records[0].tokens[i], 40);
    assert_true(a.records[0].surprise[0] > 1); /* measured without the bias */
    free_asked(&a);
    a.request.adjustment.presence_penalty = 2; /* too small to outweigh the bias */
    add(&a, f.scheduler);
    run(f.scheduler);
    assert_int_equal(a.records[0].tokens[5], 40);
    free_asked(&a);
    const hb_adjustment bad[] = {{.biases = bad_token, .n_biases = 1},
                                 {.biases = bad_bias, .n_biases = 1},
                                 {.frequency_penalty = 2.5},
                                 {.presence_penalty = NAN}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hb_error err;
        uint64_t number;
        a.request.adjustment = bad[i];
        assert_int_equal(hb_scheduler_add(f.scheduler, &a.request, &number, &err), HB_ERR_ARGUMENT);
        assert_non_null(strstr(err.message, i < 2 ? "logit_bias" : "penalty"));
    }
    close_fixture(&f);
}

/* The penalties of OpenAI's interface: count times frequency, plus presence once. */
static void test_penalties(void **state)
{
    enum { N = 6 };
    static const hb_bias biases[] = {{2, 1.5f}};
    static const int32_t generated[] = {3, 2, 3, 3};
    const float logits[N] = {0, 1, 2, 3, 4, 5}, expected[N] = {0, 1, 3.5f - 0.75f, 3 - 1.25f, 4, 5};
    const hb_adjustment a = {biases, 1, .frequency_penalty = 0.25, .presence_penalty = 0.5}, none = {0};
    hb_adjuster s;
    hb_error err;
    (void)state;
    assert_ok(hb_adjuster_open(&s, &a, N, &err));
    for (size_t i = 0; i < 4; i++) assert_ok(hb_adjuster_count(&s, generated[i], &err));
    for (int i = 0; i < 2; i++)
        assert_memory_equal(hb_adjuster_apply(&s, logits), expected, sizeof expected);
    hb_adjuster_close(&s);
    assert_ok(hb_adjuster_open(&s, &none, N, &err));
    assert_ok(hb_adjuster_count(&s, 3, &err));
    assert_ptr_equal(hb_adjuster_apply(&s, logits), logits);
    hb_adjuster_close(&s);
    fixture f = open_tiny(256, 2, 0);
    const int32_t prompt[] = {1, 5, 6};
    static const hb_bias even[] = {{40, 100}, {41, 100}};
    asked r = {.request = plain_request(prompt, 3, 40)};
    r.request.adjustment = (hb_adjustment){even, 2, .frequency_penalty = 2};
    add(&r, f.scheduler);
    run(f.scheduler);
    int32_t n = 0;
    for (int32_t i = 0; i < 40; i++) n += r.records[0].tokens[i] == 40;
    assert_in_range(n, 15, 25); /* without the penalty, it is nearly always the same one */
    free_asked(&r);
    close_fixture(&f);
}

typedef struct logprob_check {
    int n;
} logprob_check;

static hb_status check_logprobs(void *user, const hb_event *event, hb_error *err)
{
    logprob_check *c = user;
    (void)err;
    if (event->kind != HB_EVENT_TOKEN) return HB_OK;
    double surprise = step_value(event->step, "surprise");
    assert_true(fabs(event->logprob + surprise) < 1e-4 * (1 + surprise));
    assert_int_equal(event->top[0].token, event->token); /* greedy */
    assert_true(event->top[0].logprob == event->logprob);
    for (int i = 1; i < 5; i++) assert_true(event->top[i].logprob <= event->top[i - 1].logprob);
    c->n++;
    return HB_OK;
}

static void test_logprobs(void **state)
{
    const int32_t prompt[] = {1, 5, 6};
    logprob_check c = {0};
    uint64_t number;
    hb_error err;
    (void)state;
    fixture f = open_tiny(256, 2, 0);
    hb_request r = plain_request(prompt, 3, 6);
    r.logprobs = true;
    r.n_top = 5;
    r.sink = check_logprobs;
    r.user = &c;
    assert_ok(hb_scheduler_add(f.scheduler, &r, &number, &err));
    run(f.scheduler);
    assert_int_equal(c.n, 6);
    r.n_top = HB_MAX_LOGPROBS + 1;
    assert_int_equal(hb_scheduler_add(f.scheduler, &r, &number, &err), HB_ERR_ARGUMENT);
    close_fixture(&f);
}

/* ---- Samples beside an answer ---------------------------------------------------------------------
 */

/* Counts evaluations, and cancels after `most` of them. */
typedef struct evaluations {
    int n, most;
} evaluations;

static bool count_evaluation(void *user)
{
    evaluations *e = user;
    return e->n++ >= e->most;
}

enum { BESIDE = 5 };

static void check_beside(hb_session *session, const hb_generate_options *o, const hb_draw_options *draw,
                         const hb_generation *alone, const hb_drawn_sample *drawn)
{
    const int32_t prompt[] = {1, 5, 6, 9};
    hb_generation g;
    hb_drawn_sample *samples;
    hb_error err;
    assert_ok(hb_generate_samples(session, prompt, 4, o, draw, &g, &samples, &err));
    assert_string_equal(g.text, alone->text);
    assert_int_equal(g.n_steps, alone->n_steps);
    for (int k = 0; k < BESIDE; k++) {
        assert_string_equal(samples[k].text, drawn[k].text);
        assert_int_equal(samples[k].n_measured, drawn[k].n_measured);
        assert_true(samples[k].log_prob == drawn[k].log_prob && samples[k].log_prob < 0);
    }
    hb_drawn_samples_free(samples, BESIDE);
    hb_generation_free(&g);
}

/* The answer and its samples are those of separate calls, with fewer evaluations; with fewer sequences
 * they take turns. */
static void test_samples_beside_an_answer(void **state)
{
    const int32_t prompt[] = {1, 5, 6, 9};
    evaluations separate = {.most = 1000}, together = {.most = 1000};
    hb_generate_options o = hb_generate_defaults();
    hb_draw_options draw = hb_draw_defaults();
    hb_generation g;
    hb_drawn_sample *samples;
    hb_error err;
    (void)state;
    fixture f = open_fixture(tiny_model("f32"), 256, 1 + BESIDE, 0),
            few = open_alone(tiny_model("f32"));
    o.max_tokens = draw.max_tokens = 12;
    o.monitor.watched = NULL;
    o.cancelled = draw.cancelled = count_evaluation;
    o.user = draw.user = &separate;
    draw.n = BESIDE;
    assert_ok(hb_generate_tokens(f.session, prompt, 4, &o, &g, &err));
    assert_ok(hb_draw_samples(f.session, prompt, 4, &draw, &samples, &err));
    o.user = &together;
    check_beside(f.session, &o, &draw, &g, samples);
    assert_true(together.n > 0 && 3 * together.n < 2 * separate.n);
    check_beside(few.session, &o, &draw, &g, samples);
    hb_drawn_samples_free(samples, BESIDE);
    hb_generation_free(&g);
    close_fixture(&f);
    close_fixture(&few);
}

static void test_samples_beside_an_answer_end(void **state)
{
    const int32_t prompt[] = {1, 5, 6, 9};
    evaluations e = {.most = 3};
    hb_generate_options o = hb_generate_defaults();
    hb_draw_options draw = hb_draw_defaults();
    hb_generation g;
    hb_drawn_sample *samples;
    hb_error err;
    (void)state;
    fixture f = open_fixture(tiny_model("f32"), 256, 1 + BESIDE, 0);
    o.max_tokens = draw.max_tokens = 12;
    o.monitor.watched = NULL;
    o.cancelled = count_evaluation;
    o.user = &e;
    draw.n = BESIDE;
    assert_ok(hb_generate_samples(f.session, prompt, 4, &o, &draw, &g, &samples, &err));
    assert_int_equal(g.finish, HB_FINISH_CANCELLED);
    assert_null(samples);
    hb_generation_free(&g);
    o.max_tokens = 1; /* the answer has ended when the samples are cancelled */
    e = (evaluations){.most = 3};
    assert_fails(hb_generate_samples(f.session, prompt, 4, &o, &draw, &g, &samples, &err),
                 HB_ERR_CANCELLED, "interrupted");
    draw.n = 0;
    assert_fails(hb_generate_samples(f.session, prompt, 4, NULL, &draw, &g, &samples, &err),
                 HB_ERR_ARGUMENT, "the number of samples is 0");
    assert_fails(hb_generate_samples(f.session, prompt, 0, NULL, NULL, &g, &samples, &err),
                 HB_ERR_ARGUMENT, "empty");
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_as_alone),
        cmocka_unit_test(test_arrivals),
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_samples_share_their_prompt),
        cmocka_unit_test(test_cancel_in_mid_run),
        cmocka_unit_test(test_cancel_in_a_prompt),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_several_stops),
        cmocka_unit_test(test_stops_in_pieces),
        cmocka_unit_test(test_given_is_measured_as_chosen),
        cmocka_unit_test(test_given_surprises),
        cmocka_unit_test(test_given_ends_early),
        cmocka_unit_test(test_answers_end_samples),
        cmocka_unit_test_setup_teardown(test_fails_alone, make_scratch, remove_scratch),
        cmocka_unit_test(test_sink_fails),
        cmocka_unit_test(test_context),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_generation_without_memory),
        cmocka_unit_test(test_kept_prompts),
        cmocka_unit_test(test_nothing_waits_for_ever),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_serving_as_alone),
        cmocka_unit_test(test_answers_are_kept),
        cmocka_unit_test(test_samples_after_an_answer),
        cmocka_unit_test(test_least_recently_used),
        cmocka_unit_test(test_order_of_waiting),
        cmocka_unit_test(test_samples_take_turns),
        cmocka_unit_test(test_long_prompts_share),
        cmocka_unit_test(test_biases),
        cmocka_unit_test(test_penalties),
        cmocka_unit_test(test_logprobs),
        cmocka_unit_test(test_samples_beside_an_answer),
        cmocka_unit_test(test_samples_beside_an_answer_end),
    };
    setenv("HBAR_KERNELS", "portable",
           1); /* results are bit-identical, whatever other tokens are evaluated */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
