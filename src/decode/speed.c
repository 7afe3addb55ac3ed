/* Measures how fast a session and the memory are. */
#include <math.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/memory.h"
#include "base/pool.h"
#include "engine/engine.h"

/* The most tokens of a measured prompt and of a measured answer. */
enum { MOST_PROMPT = 512, MOST_ANSWER = 32, LEAST_PROMPT = 8 };

typedef struct measuring {
    hb_session *session;
    double part; /* seconds for each of the four measurements */
    int32_t tokens[MOST_PROMPT];
    int32_t sequences[MOST_PROMPT];
    int32_t n_together; /* sequences that are evaluated together, at most MOST_PROMPT */
    float *logits;      /* [n_together][n_vocab] */
    hb_error *err;
} measuring;

static int32_t least(int32_t a, int64_t b)
{
    return (int32_t)(a < b ? a : b);
}

/* Evaluates n tokens and the logits of `rows` of them, the last ones; adds the time to *seconds. */
static hb_status eval(measuring *m, const int32_t *sequences, int32_t n, int32_t rows, double *seconds)
{
    int32_t list[MOST_PROMPT];
    hb_tap tap = hb_tap_defaults();
    for (int32_t i = 0; i < rows; i++) list[i] = n - rows + i;
    tap.rows = list;
    tap.n_rows = rows;
    tap.logits = m->logits;
    double start = hb_seconds();
    hb_status status = hb_eval_sequences(m->session, m->tokens, sequences, n, &tap, m->err);
    *seconds += hb_seconds() - start;
    return status;
}

/* Whether each sequence has room for another token. */
static bool has_room(const measuring *m, int32_t n_sequences)
{
    int32_t past = hb_session_n_past(m->session);
    bool in_page = past % hb_session_page(m->session) != 0;
    return past < hb_session_n_ctx(m->session) &&
           (in_page ||
            hb_session_n_free(m->session) >= (int64_t)n_sequences * hb_session_page(m->session));
}

/* The first evaluation, which is not counted, reads what the others then find in memory. */
static hb_status measure_decode(measuring *m, hb_speed *s)
{
    double seconds = 0, unused = 0;
    int32_t n = 0;
    hb_session_reset(m->session);
    hb_status status = eval(m, NULL, 1, 1, &unused);
    while (!status && n < MOST_ANSWER && has_room(m, 1) && (!n || seconds < m->part)) {
        status = eval(m, NULL, 1, 1, &seconds);
        n++;
    }
    s->decode = n / seconds;
    return status;
}

/* A prompt that takes about the planned time if each of its tokens takes a quarter of one alone. */
static hb_status measure_prefill(measuring *m, hb_speed *s)
{
    double seconds = 0;
    int32_t n, repeats = 0;
    hb_session_reset(m->session);
    n = least(MOST_PROMPT, hb_session_n_ctx(m->session));
    n = least(n, hb_session_n_free(m->session));
    if (4 * s->decode * m->part < n) n = (int32_t)(4 * s->decode * m->part);
    if (n < LEAST_PROMPT) n = LEAST_PROMPT;
    hb_status status = HB_OK;
    do {
        hb_session_reset(m->session);
        status = eval(m, NULL, n, 1, &seconds);
    } while (!status && ++repeats && seconds * (repeats + 1) / repeats < m->part);
    s->n_prefill = n;
    s->prefill = (double)n * repeats / seconds;
    return status;
}

static hb_status measure_together(measuring *m, hb_speed *s)
{
    hb_session *session = m->session;
    double seconds = 0;
    int32_t rounds = 0, n;
    hb_session_reset(session);
    n = least(m->n_together, hb_session_n_free(session) / hb_session_page(session));
    if (s->prefill * m->part < n) n = (int32_t)(s->prefill * m->part);
    if (n < 1) n = 1;
    for (int32_t i = 0; i < n; i++) m->sequences[i] = i;
    hb_status status = HB_OK;
    while (!status && has_room(m, n) && (!rounds || seconds < m->part)) {
        status = eval(m, m->sequences, n, n, &seconds);
        rounds++;
    }
    s->n_together = n;
    s->together = (double)n * rounds / seconds;
    return status;
}

/* Generates with all signals. An answer of k steps has k - 1 evaluations beside that of its prompt. */
static hb_status measure_signals(measuring *m, hb_speed *s)
{
    hb_generation g;
    hb_generate_options o = hb_generate_defaults();
    o.monitor.watched = NULL; /* nothing halts */
    o.max_tokens = (int32_t)fmin(MOST_ANSWER, fmax(2, m->part * s->decode));
    hb_status status = hb_generate_tokens(m->session, m->tokens, 1, &o, &g, m->err);
    if (status) return status;
    double steps = (double)g.n_steps;
    double rest = steps > 0 ? (g.decode_seconds - (steps - 1) / s->decode) / steps : 0;
    s->measuring = fmax(rest, 0);
    hb_generation_free(&g);
    return HB_OK;
}

hb_status hb_measure_speed(hb_session *session, double seconds, hb_speed *speed, hb_error *err)
{
    double start = hb_seconds();
    const int32_t n_vocab = session->model->info.n_vocab;
    hb_speed s = {0};
    measuring m = {.session = session,
                   .part = seconds / 4,
                   .n_together = least(MOST_PROMPT, session->n_sequences),
                   .err = err};
    if (!(seconds > 0)) return hb_fail(err, HB_ERR_ARGUMENT, "seconds: %g is not above 0", seconds);
    m.logits = malloc((size_t)m.n_together * (size_t)n_vocab * sizeof *m.logits);
    if (!m.logits) return hb_fail_memory(err);
    for (int32_t i = 0; i < MOST_PROMPT; i++) m.tokens[i] = (int32_t)((int64_t)i * 7919 % n_vocab);
    hb_status status = measure_decode(&m, &s);
    if (!status) status = measure_prefill(&m, &s);
    if (!status) status = measure_together(&m, &s);
    if (!status) status = measure_signals(&m, &s);
    hb_session_reset(session);
    free(m.logits);
    if (status) return status;
    s.seconds = hb_seconds() - start;
    *speed = s;
    return HB_OK;
}

double hb_score_seconds(const hb_speed *s, uint64_t n, double n_prompt, double n_answer)
{
    return (double)n * (n_prompt / s->prefill + n_answer * (1 / s->together + s->measuring));
}

/* ---- Memory -------------------------------------------------------------------------------------- */

/* Larger than any processor's cache; and the least, where little memory is free. */
#define READ_BYTES  ((size_t)512 << 20)
#define LEAST_BYTES ((size_t)32 << 20)

typedef struct reading {
    const uint64_t *words; /* [n_parts][n] */
    size_t n;
    uint64_t *sums; /* [n_parts], so that nothing is optimised away */
} reading;

static void read_part(const void *context, int32_t part, int32_t thread)
{
    const reading *r = context;
    const uint64_t *words = r->words + (size_t)part * r->n;
    uint64_t sum = 0;
    (void)thread;
    for (size_t i = 0; i < r->n; i++) sum += words[i];
    r->sums[part] = sum;
}

/* Reserves READ_BYTES, or less if they are more than half of what is free or if a limit forbids them.
 */
static uint64_t *reserve_words(size_t *bytes)
{
    double available = (double)hb_available_memory();
    double limit = hb_memory_limit(HB_OWN_GROUPS, HB_GROUPS_ROOT);
    if (limit > 0 && limit < available) available = limit;
    *bytes = READ_BYTES;
    while (*bytes > LEAST_BYTES && (double)*bytes > available / 2) *bytes /= 2;
    uint64_t *words = hb_reserve(*bytes, true);
    while (!words && *bytes > LEAST_BYTES) words = hb_reserve(*bytes /= 2, true);
    return words;
}

hb_status hb_measure_reading(int32_t n_threads, double seconds, double *bytes_per_second, hb_error *err)
{
    hb_pool *pool;
    int32_t n = n_threads ? n_threads : hb_usable_processors();
    if (n < 1 || n > 1024 || !(seconds > 0))
        return hb_fail(err, HB_ERR_ARGUMENT, "%d threads for %g seconds are not possible", n, seconds);
    size_t bytes;
    uint64_t *words = reserve_words(&bytes), *sums = calloc((size_t)n, sizeof *sums);
    hb_status status = words && sums ? hb_pool_open(&pool, n, err) : hb_fail_memory(err);
    if (!status) {
        const reading r = {words, bytes / sizeof *words / (size_t)n, sums};
        double start = hb_seconds(), elapsed;
        double read = 0;
        do {
            hb_pool_each(pool, n, read_part, &r);
            read += (double)(r.n * sizeof *words) * n;
            elapsed = hb_seconds() - start;
        } while (elapsed < seconds);
        *bytes_per_second = read / elapsed;
        hb_pool_close(pool);
    }
    free(words);
    free(sums);
    return status;
}
