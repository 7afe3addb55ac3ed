/* The forward pass of a transformer of any architecture that architecture.c describes, for a batch of
 * tokens of any sequences. Activations are float, one row for a token. */
#include <string.h>
#include "engine/norm.h"
#include "engine/session.h"

/* The row of the embedding table that belongs to a token, scaled as the architecture asks. */
static void embed(const hb_session *s, int32_t token, float *out)
{
    const hb_matrix *w = &s->model->token_embd;
    const uint8_t *row = w->data + (size_t)token * w->row_bytes;
    hb_to_f32 *to_f32 = s->kernels->to_f32[w->type];
    if (to_f32) to_f32(row, out, (size_t)w->cols);
    else memcpy(out, row, w->row_bytes);
    for (int32_t i = 0; s->model->embedding_scale != 1 && i < w->cols; i++)
        out[i] *= s->model->embedding_scale;
}

/* The batch's rows of `from`, the residual stream or s->normed itself, normed into s->normed. */
static void rms_norm(const hb_session *s, const float *from, const float *weight)
{
    size_t d = (size_t)s->model->info.n_embd;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (s->n_rows > 8)
    for (int32_t row = 0; row < s->n_rows; row++)
        hb_rms_norm(from + (size_t)row * d, weight, s->model->norm_eps, d, s->normed + (size_t)row * d);
}

static void add(float *to, const float *bias, size_t n)
{
    for (size_t i = 0; bias && i < n; i++) to[i] += bias[i];
}

/* Rotates neighbouring pairs of a head by its position's angles. */
static void rotate_pairs(float *head, const float *angles, int32_t n_rot)
{
    for (int32_t i = 0; i < n_rot; i += 2) {
        float a = head[i], b = head[i + 1], c = angles[i], sn = angles[i + 1];
        head[i] = a * c - b * sn;
        head[i + 1] = a * sn + b * c;
    }
}

/* The same where a pair's two lie half of the rotated dimensions apart. */
static void rotate_halves(float *head, const float *angles, int32_t n_rot)
{
    float *upper = head + n_rot / 2;
    for (int32_t i = 0; i < n_rot / 2; i++) {
        float a = head[i], b = upper[i], c = angles[2 * i], sn = angles[2 * i + 1];
        head[i] = a * c - b * sn;
        upper[i] = a * sn + b * c;
    }
}

/* Makes one token's heads of queries or keys ready for its position. */
static void place_heads(const hb_session *s, const hb_layer *l, float *heads, int32_t n_heads,
                        const float *bias, const float *norm, int32_t position)
{
    const hb_model *m = s->model;
    size_t dim = (size_t)m->head_dim;
    const float *angles = s->rope[l->rope] + (size_t)position * (size_t)m->n_rot;
    add(heads, bias, (size_t)n_heads * dim);
    for (int32_t h = 0; h < n_heads; h++, heads += dim) {
        if (norm) hb_rms_norm(heads, norm, m->norm_eps, dim, heads);
        if (m->architecture->rotates_halves) rotate_halves(heads, angles, m->n_rot);
        else rotate_pairs(heads, angles, m->n_rot);
    }
}

/* Causal self-attention over the positions up to each token's own, all or those in a window. */
static void self_attention(hb_session *s, int32_t layer)
{
    const hb_layer *l = &s->model->layers[layer];
    int32_t heads = s->model->info.n_heads, kv_heads = s->model->info.n_kv_heads;
    size_t q = (size_t)l->wq.rows, kv = (size_t)l->wk.rows;
    const hb_product products[] = {{&l->wq, s->q}, {&l->wk, s->k}, {&l->wv, s->v}};
    hb_matmul(s, s->normed, s->n_rows, products, 3);
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (s->n_rows > 8)
    for (int32_t row = 0; row < s->n_rows; row++) {
        const hb_span *span = s->span_of[row];
        int32_t position = span->position + row - span->row;
        place_heads(s, l, s->q + (size_t)row * q, heads, l->bq, l->q_norm, position);
        place_heads(s, l, s->k + (size_t)row * kv, kv_heads, l->bk, l->k_norm, position);
        add(s->v + (size_t)row * kv, l->bv, kv);
    }
    hb_attention(s, layer);
}

/* SwiGLU or GeGLU (Shazeer, GLU Variants Improve Transformer, 2020), leaving silu(gate) * up or
 * gelu(gate) * up in s->gate. */
static void feed_forward(hb_session *s, const hb_layer *l)
{
    size_t ff = (size_t)s->model->n_ff;
    void (*glu)(float *, const float *, size_t) =
        s->model->architecture->gelu ? s->kernels->gelu_mul : s->kernels->silu_mul;
    const hb_product products[] = {{&l->w_gate, s->gate}, {&l->w_up, s->up}};
    hb_matmul(s, s->normed, s->n_rows, products, 2);
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (s->n_rows > 8)
    for (int32_t row = 0; row < s->n_rows; row++)
        glu(s->gate + (size_t)row * ff, s->up + (size_t)row * ff, ff);
}

/* Projects back to the residual stream's width, norms where there is a norm, and adds to the stream.
 * s->normed is free by then. */
static void add_projected(hb_session *s, const hb_matrix *w, const float *from, const float *norm)
{
    hb_matmul(s, from, s->n_rows, &(hb_product){w, s->normed}, 1);
    if (norm) rms_norm(s, s->normed, norm);
    size_t d = (size_t)s->model->info.n_embd;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (s->n_rows > 8)
    for (int32_t row = 0; row < s->n_rows; row++)
        add(s->x + (size_t)row * d, s->normed + (size_t)row * d, d);
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
        hb_rms_norm(s->x + (size_t)(tap->rows[r] - first) * d, m->output_norm, m->norm_eps, d,
                    s->normed + (size_t)(r - from) * d);
    hb_matmul(s, s->normed, to - from, &(hb_product){&m->output, tap->logits + (size_t)from * vocab},
              1);
    if (m->logit_cap > 0)
        s->kernels->softcap(tap->logits + (size_t)from * vocab, (size_t)(to - from) * vocab,
                            m->logit_cap);
}

/* Takes in the next n tokens' sequences: gives them their positions in the cache, and divides them into
 * spans of neighbours and these into blocks of queries, the blocks that see the most positions first.
 */
static void plan_batch(hb_session *s, const int32_t *sequences, int32_t n)
{
    int32_t group = s->model->info.n_heads / s->model->info.n_kv_heads;
    s->n_rows = n;
    s->n_spans = s->n_blocks = 0;
    for (int32_t row = 0, end; row < n; row = end) {
        int32_t sequence = sequences ? sequences[row] : 0;
        for (end = row + 1; end < n && (!sequences || sequences[end] == sequence);) end++;
        hb_span *span = &s->spans[s->n_spans++];
        *span = (hb_span){sequence, row, end - row, s->cache.sequences[sequence].n};
        hb_kv_extend(&s->cache, sequence, span->n);
        for (int32_t r = row; r < end; r++) s->span_of[r] = span;
        int32_t queries = span->n * group, count = (queries + HB_QUERY_ROWS - 1) / HB_QUERY_ROWS;
        for (int32_t b = count - 1; b >= 0; b--) {
            int32_t first = b * HB_QUERY_ROWS, left = queries - first;
            s->blocks[s->n_blocks++] =
                (hb_query_block){span, first, left < HB_QUERY_ROWS ? left : HB_QUERY_ROWS};
        }
    }
}

/* Evaluates the batch that is planned, the first token of which is number `first` of the call. */
static void eval_batch(hb_session *s, const int32_t *tokens, const hb_tap *tap, int32_t first)
{
    const hb_model *m = s->model;
    int32_t from = 0, to = 0, n = s->n_rows;
    if (tap) {
        while (from < tap->n_rows && tap->rows[from] < first) from++;
        for (to = from; to < tap->n_rows && tap->rows[to] < first + n;) to++;
    }
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > 8)
    for (int32_t t = 0; t < n; t++) embed(s, tokens[t], s->x + (size_t)t * (size_t)m->info.n_embd);
    for (int32_t i = 0; i < m->info.n_layers; i++) {
        const hb_layer *l = &m->layers[i];
        rms_norm(s, s->x, l->attn_norm);
        self_attention(s, i);
        add_projected(s, &l->wo, s->attention, l->attn_post_norm);
        rms_norm(s, s->x, l->ffn_norm);
        feed_forward(s, l);
        add_projected(s, &l->w_down, s->gate, l->ffn_post_norm);
        tap_states(s, tap, from, to, first, i);
    }
    tap_logits(s, tap, from, to, first);
}

static hb_status check_tokens(const hb_session *s, const int32_t *tokens, int32_t n, const hb_tap *tap,
                              hb_error *err)
{
    if (n < 1) return hb_fail(err, HB_ERR_ARGUMENT, "no tokens to evaluate");
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

/* Whether the cache has room for the tokens: in each sequence, and in pages for all. */
static hb_status check_room(const hb_session *s, const int32_t *sequences, int32_t n, hb_error *err)
{
    const hb_kv_cache *c = &s->cache;
    int64_t pages = 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t q = sequences ? sequences[i] : 0;
        if (q < 0 || q >= c->n_sequences)
            return hb_fail(err, HB_ERR_ARGUMENT, "sequence %d is not among the session's %d", q,
                           c->n_sequences);
        c->sequences[q].wanted = 0;
    }
    for (int32_t i = 0; i < n; i++) c->sequences[sequences ? sequences[i] : 0].wanted++;
    for (int32_t i = 0; i < n; i++) {
        int32_t q = sequences ? sequences[i] : 0;
        if (c->sequences[q].wanted > s->n_ctx - c->sequences[q].n)
            return hb_fail(err, HB_ERR_CONTEXT, "%d tokens after %d do not fit the context of %d",
                           c->sequences[q].wanted, c->sequences[q].n, s->n_ctx);
        pages += hb_kv_lacks(c, q, c->sequences[q].wanted);
        c->sequences[q].wanted = 0; /* counted once */
    }
    if (pages <= c->n_free) return HB_OK;
    return hb_fail(err, HB_ERR_CONTEXT, "the cache has %d pages of %d positions left, not %lld",
                   c->n_free, HB_PAGE, (long long)pages);
}

hb_status hb_eval_sequences(hb_session *session, const int32_t *tokens, const int32_t *sequences,
                            int32_t n_tokens, const hb_tap *tap, hb_error *err)
{
    hb_status status = check_tokens(session, tokens, n_tokens, tap, err);
    if (!status) status = check_room(session, sequences, n_tokens, err);
    if (status) return status;
    for (int32_t first = 0; first < n_tokens; first += HB_BATCH) {
        int32_t n = n_tokens - first < HB_BATCH ? n_tokens - first : HB_BATCH;
        plan_batch(session, sequences ? sequences + first : NULL, n);
        eval_batch(session, tokens + first, tap, first);
    }
    return HB_OK;
}

hb_status hb_eval(hb_session *session, const int32_t *tokens, int32_t n_tokens, const hb_tap *tap,
                  hb_error *err)
{
    return hb_eval_sequences(session, tokens, NULL, n_tokens, tap, err);
}
