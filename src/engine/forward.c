/* The forward pass of a llama-architecture transformer (Touvron et al., LLaMA, 2023), for a batch of
 * tokens of one sequence. Activations are float, one row for a token. */
#include <math.h>
#include <omp.h>
#include <string.h>
#include "engine/session.h"

/* Multiplications below which waking the other threads costs more than they bring. */
#define PARALLEL_FROM (1 << 17)

/* y [n][rows] = x [n][cols] times the transpose of w [rows][cols]. */
static void multiply(const hb_session *s, const hb_matrix *w, const float *x, int32_t n, float *y)
{
    const hb_kernels *k = s->kernels;
    hb_to_f32 *to_f32 = k->to_f32[w->type];
    size_t cols = (size_t)w->cols, rows = (size_t)w->rows;
    bool parallel = (double)cols * (double)rows * n > PARALLEL_FROM;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (parallel)
    for (size_t first = 0; first < rows; first += HB_TILE_ROWS) {
        int count = rows - first < HB_TILE_ROWS ? (int)(rows - first) : HB_TILE_ROWS;
        const uint8_t *stored = w->data + first * w->row_bytes;
        float *scratch = s->thread_rows + (size_t)omp_get_thread_num() * HB_TILE_ROWS * s->row_length;
        const float *weights = scratch;
        size_t stride = s->row_length;
        if (to_f32) {
            for (int r = 0; r < count; r++)
                to_f32(stored + (size_t)r * w->row_bytes, scratch + (size_t)r * stride, cols);
        } else {
            weights = (const float *)(const void *)stored;
            stride = cols;
        }
        k->tile(weights, stride, count, x, cols, n, cols, y + first, rows);
    }
}

/* The row of the embedding table that belongs to a token. */
static void embed(const hb_session *s, int32_t token, float *out)
{
    const hb_matrix *w = &s->model->token_embd;
    const uint8_t *row = w->data + (size_t)token * w->row_bytes;
    hb_to_f32 *to_f32 = s->kernels->to_f32[w->type];
    if (to_f32) to_f32(row, out, (size_t)w->cols);
    else memcpy(out, row, w->row_bytes);
}

/* Root mean square normalisation (Zhang and Sennrich, 2019) of n rows. */
static void rms_norm(const hb_session *s, const float *x, const float *weight, int32_t n, float *out)
{
    size_t d = (size_t)s->model->info.n_embd;
    for (int32_t t = 0; t < n; t++, x += d, out += d) {
        double squares = 0;
        for (size_t i = 0; i < d; i++) squares += (double)x[i] * x[i];
        float scale = 1.0f / sqrtf((float)(squares / (double)d) + s->model->norm_eps);
        for (size_t i = 0; i < d; i++) out[i] = x[i] * scale * weight[i];
    }
}

/* Rotates neighbouring pairs of each head by its position's angles. */
static void rotate(const hb_session *s, float *heads, int32_t n_heads, int32_t position)
{
    const float *angles = s->rope + (size_t)position * (size_t)s->model->n_rot;
    for (int32_t h = 0; h < n_heads; h++, heads += s->model->head_dim) {
        for (int32_t i = 0; i < s->model->n_rot; i += 2) {
            float a = heads[i], b = heads[i + 1], c = angles[i], sn = angles[i + 1];
            heads[i] = a * c - b * sn;
            heads[i + 1] = a * sn + b * c;
        }
    }
}

/* Attention of one query head over the first `length` positions of its key and value heads. `scores`
 * is scratch. */
static void attend(const hb_session *s, const float *q, const float *keys, const float *values,
                   size_t length, float *scores, float *out)
{
    const hb_model *m = s->model;
    size_t dim = (size_t)m->head_dim, stride = (size_t)m->info.n_kv_heads * dim;
    float scale = 1.0f / sqrtf((float)dim), max = -INFINITY;
    for (size_t p = 0; p < length; p += HB_TILE_ROWS) {
        int count = length - p < HB_TILE_ROWS ? (int)(length - p) : HB_TILE_ROWS;
        s->kernels->tile(keys + p * stride, stride, count, q, dim, 1, dim, &scores[p], 1);
    }
    for (size_t p = 0; p < length; p++) {
        scores[p] *= scale;
        if (scores[p] > max) max = scores[p];
    }
    double sum = 0;
    for (size_t p = 0; p < length; p++) sum += scores[p] = expf(scores[p] - max);
    for (size_t p = 0; p < length; p++) scores[p] = (float)(scores[p] / sum);
    s->kernels->mix(scores, values, stride, length, dim, out);
}

/* Causal self-attention with grouped query heads (Ainslie et al., GQA, 2023): adds the new tokens' keys
 * and values to the cache and attends over all positions up to each token's own. */
static void self_attention(hb_session *s, int32_t layer, int32_t n)
{
    const hb_model *m = s->model;
    const hb_layer *l = &m->layers[layer];
    int32_t heads = m->info.n_heads, group = heads / m->info.n_kv_heads;
    size_t dim = (size_t)m->head_dim, kv = (size_t)m->info.n_kv_heads * dim, past = (size_t)s->n_past;
    float *keys = s->k_cache + (size_t)layer * (size_t)s->n_ctx * kv;
    float *values = s->v_cache + (size_t)layer * (size_t)s->n_ctx * kv;

    multiply(s, &l->wq, s->normed, n, s->q);
    multiply(s, &l->wk, s->normed, n, keys + past * kv);
    multiply(s, &l->wv, s->normed, n, values + past * kv);
    for (int32_t t = 0; t < n; t++) {
        rotate(s, s->q + (size_t)t * (size_t)heads * dim, heads, s->n_past + t);
        rotate(s, keys + (past + (size_t)t) * kv, m->info.n_kv_heads, s->n_past + t);
    }
    bool parallel = (double)n * (double)(past + (size_t)n) * heads * (double)dim > PARALLEL_FROM;
#pragma omp parallel for collapse(2) schedule(static) num_threads(s->n_threads) if (parallel)
    for (int32_t t = 0; t < n; t++) {
        for (int32_t h = 0; h < heads; h++) {
            float *scores = s->thread_scores + (size_t)omp_get_thread_num() * (size_t)s->n_ctx;
            size_t at = ((size_t)t * (size_t)heads + (size_t)h) * dim,
                   kv_at = (size_t)(h / group) * dim;
            attend(s, s->q + at, keys + kv_at, values + kv_at, past + (size_t)t + 1, scores,
                   s->attention + at);
        }
    }
}

/* SwiGLU (Shazeer, 2020), leaving silu(gate) * up in s->gate. */
static void feed_forward(hb_session *s, const hb_layer *l, int32_t n)
{
    multiply(s, &l->w_gate, s->normed, n, s->gate);
    multiply(s, &l->w_up, s->normed, n, s->up);
    size_t count = (size_t)n * (size_t)s->model->n_ff;
    for (size_t i = 0; i < count; i++) s->gate[i] = s->gate[i] / (1.0f + expf(-s->gate[i])) * s->up[i];
}

/* Projects back to the residual stream's width and adds to it. s->normed is free by then. */
static void add_projected(hb_session *s, const hb_matrix *w, const float *from, int32_t n)
{
    multiply(s, w, from, n, s->normed);
    size_t count = (size_t)n * (size_t)s->model->info.n_embd;
    for (size_t i = 0; i < count; i++) s->x[i] += s->normed[i];
}

/* Copies the tapped tokens' states after a block. Rows [from, to) of the tap are in this batch, whose
 * first token is `first`. */
static void tap_states(const hb_session *s, const hb_tap *tap, int32_t from, int32_t to, int32_t first,
                       int32_t layer)
{
    if (!tap || !tap->states) return;
    size_t d = (size_t)s->model->info.n_embd, layers = (size_t)s->model->info.n_layers;
    for (int32_t r = from; r < to; r++)
        memcpy(tap->states + ((size_t)r * layers + (size_t)layer) * d,
               s->x + (size_t)(tap->rows[r] - first) * d, d * sizeof(float));
}

/* The output head, for tapped tokens only. */
static void tap_logits(hb_session *s, const hb_tap *tap, int32_t from, int32_t to, int32_t first)
{
    if (!tap || !tap->logits || from == to) return;
    const hb_model *m = s->model;
    size_t d = (size_t)m->info.n_embd, vocab = (size_t)m->info.n_vocab;
    for (int32_t r = from; r < to; r++)
        rms_norm(s, s->x + (size_t)(tap->rows[r] - first) * d, m->output_norm, 1,
                 s->normed + (size_t)(r - from) * d);
    multiply(s, &m->output, s->normed, to - from, tap->logits + (size_t)from * vocab);
}

/* Evaluates at most HB_BATCH tokens, the first of which is number `first` of the call. */
static void eval_batch(hb_session *s, const int32_t *tokens, int32_t n, const hb_tap *tap,
                       int32_t first)
{
    const hb_model *m = s->model;
    int32_t from = 0, to = 0;
    if (tap) {
        while (from < tap->n_rows && tap->rows[from] < first) from++;
        for (to = from; to < tap->n_rows && tap->rows[to] < first + n;) to++;
    }
    for (int32_t t = 0; t < n; t++) embed(s, tokens[t], s->x + (size_t)t * (size_t)m->info.n_embd);
    for (int32_t i = 0; i < m->info.n_layers; i++) {
        const hb_layer *l = &m->layers[i];
        rms_norm(s, s->x, l->attn_norm, n, s->normed);
        self_attention(s, i, n);
        add_projected(s, &l->wo, s->attention, n);
        rms_norm(s, s->x, l->ffn_norm, n, s->normed);
        feed_forward(s, l, n);
        add_projected(s, &l->w_down, s->gate, n);
        tap_states(s, tap, from, to, first, i);
    }
    tap_logits(s, tap, from, to, first);
    s->n_past += n;
}

static hb_status check_call(const hb_session *s, const int32_t *tokens, int32_t n, const hb_tap *tap,
                            hb_error *err)
{
    if (n < 1) return hb_fail(err, HB_ERR_ARGUMENT, "no tokens to evaluate");
    if (n > s->n_ctx - s->n_past)
        return hb_fail(err, HB_ERR_CONTEXT, "%d tokens after %d do not fit the context of %d", n,
                       s->n_past, s->n_ctx);
    for (int32_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= s->model->info.n_vocab)
            return hb_fail(err, HB_ERR_ARGUMENT, "token %d is outside the vocabulary of %d", tokens[i],
                           s->model->info.n_vocab);
    for (int32_t r = 0; tap && r < tap->n_rows; r++)
        if (tap->rows[r] >= n || tap->rows[r] < (r ? tap->rows[r - 1] + 1 : 0))
            return hb_fail(err, HB_ERR_ARGUMENT, "tapped row %d is out of range or order",
                           tap->rows[r]);
    return HB_OK;
}

hb_status hb_eval(hb_session *session, const int32_t *tokens, int32_t n_tokens, const hb_tap *tap,
                  hb_error *err)
{
    hb_status status = check_call(session, tokens, n_tokens, tap, err);
    if (status) return status;
    for (int32_t first = 0; first < n_tokens; first += HB_BATCH) {
        int32_t n = n_tokens - first < HB_BATCH ? n_tokens - first : HB_BATCH;
        eval_batch(session, tokens + first, n, tap, first);
    }
    return HB_OK;
}
