/* Float arithmetic shared by all instruction sets. The including file defines HB_LANES, TILE_ROWS and
 * TILE_VECTORS; products are accumulated in TILE_ROWS x TILE_VECTORS registers. With vector.h it also
 * defines
 *
 *   vf vf_halves(const uint16_t *from), vf vf_bytes(const int8_t *from)
 *       as many halves or bytes as a vector has lanes, as floats
 */
#ifndef HB_ENGINE_KERNELS_FLOAT_H
#define HB_ENGINE_KERNELS_FLOAT_H

#include <math.h>
#include "engine/kernels/kernels.h"
#include "engine/kernels/vector.h"

/* A matrix [depth][width] of floats (F32), halves (F16) or bytes (Q8_0). */
typedef struct matrix {
    const void *data;
    size_t stride;       /* numbers from one row to the next */
    const float *scales; /* of bytes; unused for other types */
} matrix;

/* The vector from column w on in row k of a matrix. Scales of bytes are each for HB_KV_GROUP numbers of
 * a column, if they go `down`, or else of a row. */
INLINE vf matrix_load(const hb_type type, const bool down, const matrix *b, size_t k, size_t w)
{
    size_t at = k * b->stride + w;
    if (type == HB_TYPE_F32) return vf_load((const float *)b->data + at);
    if (type == HB_TYPE_F16) return vf_halves((const uint16_t *)b->data + at);
    vf x = vf_bytes((const int8_t *)b->data + at);
    if (down) return x * vf_load(b->scales + k / HB_KV_GROUP * b->stride + w);
    return x * b->scales[k * hb_kv_groups(b->stride) + w / HB_KV_GROUP];
}

/* c[r][v] = c[r][v] (if `add`) + sum_k a[r * lda + k] * b[k][w + v], for R rows and V vectors; R, V,
 * `type` and `down` are constants where this is inlined. Each sum runs in the order of k. */
INLINE void outer_tile(const int R, const int V, const hb_type type, const bool down, const float *a,
                       size_t lda, const matrix *b, size_t w, size_t depth, bool add, float *c,
                       size_t ldc)
{
    vf acc[TILE_ROWS][TILE_VECTORS];
    EACH(r, R) EACH(v, V) acc[r][v] = add ? vf_load(c + (size_t)r * ldc + v * HB_LANES) : vf_all(0);
    for (size_t k = 0; k < depth; k++) {
        vf bv[TILE_VECTORS];
        EACH(v, V) bv[v] = matrix_load(type, down, b, k, w + (size_t)v * HB_LANES);
        EACH(r, R)
        {
            vf x = vf_all(a[(size_t)r * lda + k]);
            EACH(v, V) acc[r][v] += x * bv[v];
        }
    }
    EACH(r, R) EACH(v, V) vf_store(c + (size_t)r * ldc + v * HB_LANES, acc[r][v]);
}

/* Multiplies up to TILE_ROWS rows by V vectors of columns, with as few passes over b as possible. */
INLINE void outer_rows(const int V, const hb_type type, const bool down, const float *a, size_t lda,
                       int rows, const matrix *b, size_t w, size_t depth, bool add, float *c,
                       size_t ldc)
{
    for (int r = 0; r < rows;) {
        const float *from = a + (size_t)r * lda;
        float *to = c + (size_t)r * ldc;
        int left = rows - r;
        if (left >= TILE_ROWS)
            outer_tile(TILE_ROWS, V, type, down, from, lda, b, w, depth, add, to, ldc);
        else if (left >= 4) outer_tile(4, V, type, down, from, lda, b, w, depth, add, to, ldc);
        else if (left >= 2) outer_tile(2, V, type, down, from, lda, b, w, depth, add, to, ldc);
        else outer_tile(1, V, type, down, from, lda, b, w, depth, add, to, ldc);
        r += left >= TILE_ROWS ? TILE_ROWS : left >= 4 ? 4 : left >= 2 ? 2 : 1;
    }
}

/* c [rows][width] = c (if `add`) + a [rows][depth] b [depth][width], width being a multiple of 16. */
INLINE void outer_typed(const hb_type type, const bool down, const float *a, size_t lda, int rows,
                        const matrix *b, size_t depth, size_t width, bool add, float *c, size_t ldc)
{
    const size_t step = TILE_VECTORS * HB_LANES;
    size_t w = 0;
    for (; width - w >= step; w += step)
        outer_rows(TILE_VECTORS, type, down, a, lda, rows, b, w, depth, add, c + w, ldc);
    for (; w < width; w += HB_LANES)
        outer_rows(1, type, down, a, lda, rows, b, w, depth, add, c + w, ldc);
}

#ifdef BYTE_VECTORS /* only kernels with panels have it */
static void outer(const float *a, size_t lda, int rows, const float *b, size_t ldb, size_t depth,
                  size_t width, bool add, float *c, size_t ldc)
{
    const matrix m = {.data = b, .stride = ldb};
    outer_typed(HB_TYPE_F32, false, a, lda, rows, &m, depth, width, add, c, ldc);
}
#endif

/* cap * tanh(x / cap), where tanh(y) = 1 - 2 / (e^2y + 1). NaN for infinity, too: an infinite logit is
 * an error that must show. */
static inline vf capped(vf x, float cap)
{
    return cap - 2 * cap / (vf_exp(x * (2 / cap)) + 1.0f) + x * 0.0f;
}

/* x = capped(x). */
static void softcap(float *x, size_t n, float cap)
{
    float rest[HB_LANES] = {0};
    size_t whole = n / HB_LANES * HB_LANES;
    for (size_t i = 0; i < whole; i += HB_LANES) vf_store(x + i, capped(vf_load(x + i), cap));
    memcpy(rest, x + whole, (n - whole) * sizeof *rest);
    vf_store(rest, capped(vf_load(rest), cap));
    memcpy(x + whole, rest, (n - whole) * sizeof *rest);
}

/* Sets the scores of positions that the query does not see to -infinity, and caps the others if cap >
 * 0. Returns the greatest score. */
static float mask_scores(float *scores, int32_t from, int32_t to, float cap)
{
    vf max = vf_all(-INFINITY);
    vi place;
    for (int i = 0; i < HB_LANES; i++) place[i] = i;
    if (cap > 0) softcap(scores, HB_PAGE, cap);
    for (int j = 0; j < HB_PAGE; j += HB_LANES, place += HB_LANES) {
        vf s = vf_select((place >= from) & (place < to), vf_load(scores + j), vf_all(-INFINITY));
        max = vf_max(max, s);
        vf_store(scores + j, s);
    }
    return vf_greatest(max);
}

/* Scales a tap's sums down when the greatest score has grown by `growth`. `sum` is the sum of weights
 * before. */
static void shrink_tap(hb_attend_tap *tap, float shrink, float growth, float sum)
{
    tap->in_context *= shrink;
    tap->in_generated *= shrink;
    tap->moment = shrink > 0 ? shrink * (tap->moment - growth * sum) : 0;
}

/* Adds a page to a tap: its scores, which are -infinity where the query does not see a position, and
 * their weights. Weights of scores below max - 87 are 0. */
static void tap_page(hb_attend_tap *tap, const float *scores, const float *weights, float max)
{
    vf context = vf_all(0), generated = vf_all(0), moment = vf_all(0);
    vi place;
    for (int i = 0; i < HB_LANES; i++) place[i] = i;
    for (int j = 0; j < HB_PAGE; j += HB_LANES, place += HB_LANES) {
        vf weight = vf_load(weights + j);
        moment += weight * vf_max(vf_all(-100), vf_load(scores + j) - max);
        context += vf_select((place >= tap->context) & (place < tap->prompt), weight, vf_all(0));
        generated += vf_select(place >= tap->prompt, weight, vf_all(0));
    }
    tap->moment += vf_sum(moment);
    tap->in_context += vf_sum(context);
    tap->in_generated += vf_sum(generated);
    for (int i = 0; i < HB_N_MARKS; i++)
        if (tap->marks[i] >= 0) tap->scores[i] = scores[tap->marks[i]];
}

/* One query's step of the running softmax. Scores become weights relative to the greatest score so far;
 * if that score has grown, the sums accumulated so far are scaled down. A page in which the query sees
 * nothing is left out. One whose scores are all NaN has no greatest score either, but must show. */
static void soften(const hb_attend *job, int r, float *scores)
{
    if (job->from[r] >= job->to[r]) {
        memset(scores, 0, HB_PAGE * sizeof *scores);
        return;
    }
    float max = mask_scores(scores, job->from[r], job->to[r], job->softcap);
    float *acc = job->acc + (size_t)r * job->padded, kept[HB_PAGE];
    hb_attend_tap *tap = job->taps && job->taps[r].is_tapped ? &job->taps[r] : NULL;
    if (max > job->max[r]) {
        float shrink = job->max[r] == -INFINITY ? 0 : expf(job->max[r] - max);
        if (tap) shrink_tap(tap, shrink, max - job->max[r], job->sum[r]);
        job->max[r] = max;
        job->sum[r] *= shrink;
        for (size_t i = 0; i < job->padded; i += HB_LANES) vf_store(acc + i, vf_load(acc + i) * shrink);
    }
    if (tap) memcpy(kept, scores, sizeof kept);
    vf sum = vf_all(0);
    for (int j = 0; j < HB_PAGE; j += HB_LANES) {
        vf weight = vf_exp(vf_load(scores + j) - job->max[r]);
        sum += weight;
        vf_store(scores + j, weight);
    }
    job->sum[r] += vf_sum(sum);
    if (tap) tap_page(tap, kept, scores, job->max[r]);
}

/* Attention over a page whose keys and values are of a type. */
INLINE void attend_typed(const hb_type type, const hb_attend *job)
{
    const matrix keys = {job->kv.keys, HB_PAGE, job->kv.key_scales};
    const matrix values = {job->kv.values, job->padded, job->kv.value_scales};
    float scores[TILE_ROWS * HB_PAGE];
    for (int r = 0; r < job->n_queries; r += TILE_ROWS) {
        int rows = job->n_queries - r < TILE_ROWS ? job->n_queries - r : TILE_ROWS;
        int32_t last = 0;
        outer_typed(type, true, job->q + (size_t)r * job->dim, job->dim, rows, &keys, job->dim, HB_PAGE,
                    false, scores, HB_PAGE);
        for (int i = 0; i < rows; i++) {
            soften(job, r + i, scores + i * HB_PAGE);
            if (job->to[r + i] > last) last = job->to[r + i];
        }
        outer_typed(type, false, scores, HB_PAGE, rows, &values, (size_t)last, job->padded, true,
                    job->acc + (size_t)r * job->padded, job->padded);
    }
}

static void attend(const hb_attend *job)
{
    if (job->type == HB_TYPE_F16) attend_typed(HB_TYPE_F16, job);
    else if (job->type == HB_TYPE_Q8_0) attend_typed(HB_TYPE_Q8_0, job);
    else attend_typed(HB_TYPE_F32, job);
}

/* x * logistic(x). */
static vf silu(vf x)
{
    return x / (1.0f + vf_exp(-x));
}

/* x / 2 * (1 + tanh(u)) with u = sqrt(2 / pi) (x + 0.044715 x^3); 1 + tanh(u) = 2 logistic(2 u). */
static vf gelu(vf x)
{
    return x / (1.0f + vf_exp(x * (-1.59576912f - 0.0713548163f * x * x)));
}

INLINE void glu(vf (*activation)(vf), float *gate, const float *up, size_t n)
{
    float rest[HB_LANES] = {0};
    size_t whole = n / HB_LANES * HB_LANES;
    for (size_t i = 0; i < whole; i += HB_LANES)
        vf_store(gate + i, activation(vf_load(gate + i)) * vf_load(up + i));
    memcpy(rest, gate + whole, (n - whole) * sizeof *rest);
    vf_store(rest, activation(vf_load(rest)));
    for (size_t i = whole; i < n; i++) gate[i] = rest[i - whole] * up[i];
}

static void silu_mul(float *gate, const float *up, size_t n)
{
    glu(silu, gate, up, n);
}

static void gelu_mul(float *gate, const float *up, size_t n)
{
    glu(gelu, gate, up, n);
}

#endif
