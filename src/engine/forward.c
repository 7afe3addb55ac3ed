/* The forward pass of a transformer for a batch of tokens, which may belong to several sequences.
 * architecture.c describes the architectures. Activations are floats, one row for each token. */
#include <math.h>
#include <string.h>
#include "engine/attention.h"
#include "engine/feed_forward.h"
#include "engine/lens.h"
#include "engine/matmul.h"
#include "engine/norm.h"
#include "engine/session.h"

/* Calls work for each row of the batch. */
static void each_row(const hb_native_session *s, hb_pool_work *work, const void *context)
{
    hb_workspace_each_row(&s->work, s->batch.n_rows, work, context);
}

/* Copies a token's row of the embedding table, scaled as the architecture requires. */
static void embed(const hb_native_session *s, int32_t token, float *out)
{
    const hb_matrix *w = &s->model->token_embd;
    const uint8_t *row = w->data + (size_t)token * w->row_bytes;
    hb_to_f32 *to_f32 = s->work.kernels->to_f32[w->type];
    if (to_f32) to_f32(row, out, (size_t)w->cols);
    else memcpy(out, row, w->row_bytes);
    for (int32_t i = 0; s->model->embedding_scale != 1 && i < w->cols; i++)
        out[i] *= s->model->embedding_scale;
}

typedef struct norming {
    const hb_native_session *s;
    const float *from, *weight;
} norming;

static void norm_row(const void *context, int32_t row, int32_t thread)
{
    const norming *n = context;
    size_t d = (size_t)n->s->model->base.info.n_embd, at = (size_t)row * d;
    (void)thread;
    hb_rms_norm(n->from + at, n->weight, n->s->model->norm_eps, d, n->s->work.normed + at);
}

/* Norms the batch's rows of `from` into s->work.normed; `from` is the residual stream or s->work.normed
 * itself. */
static void rms_norm(const hb_native_session *s, const float *from, const float *weight)
{
    each_row(s, norm_row, &(norming){s, from, weight});
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

/* Rotates pairs of dimensions i and i + n_rot / 2 of a head by its position's angles. */
static void rotate_halves(float *head, const float *angles, int32_t n_rot)
{
    float *upper = head + n_rot / 2;
    for (int32_t i = 0; i < n_rot / 2; i++) {
        float a = head[i], b = upper[i], c = angles[2 * i], sn = angles[2 * i + 1];
        head[i] = a * c - b * sn;
        upper[i] = a * sn + b * c;
    }
}

/* Adds the bias to one token's heads of queries or keys, norms them and rotates them; `angles` is NULL
 * in blocks without rotation. */
static void place_heads(const hb_native_model *m, float *heads, int32_t n_heads, const float *bias,
                        const float *norm, const float *angles)
{
    size_t dim = (size_t)m->head_dim, all = (size_t)n_heads * dim;
    add(heads, bias, all);
    if (m->architecture->qk_norm == HB_QK_ROWS) hb_rms_norm(heads, norm, m->norm_eps, all, heads);
    for (int32_t h = 0; h < n_heads; h++, heads += dim) {
        if (m->architecture->qk_norm == HB_QK_HEADS) hb_rms_norm(heads, norm, m->norm_eps, dim, heads);
        if (angles && m->architecture->rotates_halves) rotate_halves(heads, angles, m->n_rot);
        else if (angles) rotate_pairs(heads, angles, m->n_rot);
    }
}

/* Multiplies a row's queries by the temperature of its position. */
static void heat(const hb_native_model *m, float *q, size_t n, int32_t position)
{
    if (m->temperature == 0) return;
    float factor = 1 + m->temperature * (float)log1p(floor(position / m->rope.n_original));
    for (size_t i = 0; i < n; i++) q[i] *= factor;
}

/* A session and the block of the model that it evaluates. */
typedef struct at_layer {
    const hb_native_session *s;
    int32_t layer;
} at_layer;

/* Turns the products of one row into its queries, keys and values, and stores keys and values in the
 * cache. */
static void place_row(const void *context, int32_t row, int32_t thread)
{
    const at_layer *a = context;
    const hb_workspace *w = &a->s->work;
    const hb_native_model *m = a->s->model;
    const hb_layer *l = &m->layers[a->layer];
    const float *angles = l->rope < 0 ? NULL : w->angles[l->rope] + (size_t)row * (size_t)m->n_rot;
    size_t kv = (size_t)row * (size_t)l->wk.rows, n = (size_t)l->wq.rows;
    float *q = w->q + (size_t)row * n;
    (void)thread;
    place_heads(m, q, m->base.info.n_heads, l->bq, l->q_norm, angles);
    heat(m, q, n, hb_batch_position(&a->s->batch, row));
    place_heads(m, w->k + kv, m->base.info.n_kv_heads, l->bk, l->k_norm, angles);
    add(w->v + kv, l->bv, (size_t)l->wk.rows);
    hb_attention_store(w, &a->s->cache, &a->s->batch, a->layer, row);
}

/* The rows that a block's attention or feed-forward reads: the residual stream, normed if there is a
 * norm. */
static const float *input(const hb_native_session *s, const float *norm)
{
    if (!norm) return s->work.x;
    rms_norm(s, s->work.x, norm);
    return s->work.normed;
}

/* Causal self-attention: each token sees the positions up to its own, all of them or those in a window.
 */
static void self_attention(hb_native_session *s, int32_t layer)
{
    const hb_layer *l = &s->model->layers[layer];
    const hb_product products[] = {{&l->wq, s->work.q}, {&l->wk, s->work.k}, {&l->wv, s->work.v}};
    hb_matmul(&s->work, input(s, l->attn_norm), s->batch.n_rows, products, 3);
    each_row(s, place_row, &(at_layer){s, layer});
    hb_attention(&s->work, s->model, &s->cache, &s->batch, layer, s->attention_tap, s->tap_rows);
}

/* Adds the bias to one row of s->work.normed. */
static void bias_row(const void *context, int32_t row, int32_t thread)
{
    const norming *n = context;
    size_t d = (size_t)n->s->model->base.info.n_embd;
    (void)thread;
    add(n->s->work.normed + (size_t)row * d, n->weight, d);
}

/* Adds one row of s->work.normed to the residual stream. */
static void add_row(const void *context, int32_t row, int32_t thread)
{
    const hb_native_session *s = context;
    size_t d = (size_t)s->model->base.info.n_embd, at = (size_t)row * d;
    float scale = s->model->residual_scale;
    (void)thread;
    if (scale != 1)
        for (size_t i = 0; i < d; i++) s->work.normed[at + i] *= scale;
    add(s->work.x + at, s->work.normed + at, d);
}

/* Projects to the residual stream's width, applies the bias and the norm if there are any, and adds the
 * result to the stream. Overwrites s->work.normed, which is no longer needed. */
static void add_projected(hb_native_session *s, const hb_matrix *w, const float *bias,
                          const float *from, const float *norm)
{
    hb_matmul(&s->work, from, s->batch.n_rows, &(hb_product){w, s->work.normed}, 1);
    if (bias) each_row(s, bias_row, &(norming){s, NULL, bias});
    if (norm) rms_norm(s, s->work.normed, norm);
    each_row(s, add_row, s);
}

/* The feed-forward part of a block: experts, a dense part, or both. */
static void feed_forward(hb_native_session *s, const hb_layer *l)
{
    const float *x = input(s, l->ffn_norm);
    if (l->router.data) hb_experts(&s->work, s->model, l, x, s->batch.n_rows);
    if (!l->w_gate.data) return;
    hb_feed_forward(&s->work, s->model, l, x, s->batch.n_rows);
    add_projected(s, &l->w_down, NULL, s->work.gate, l->ffn_post_norm);
}

/* The tap's rows [from, to), which lie in this batch. The batch's first token is token number `first`
 * of the call. */
typedef struct tapped {
    const hb_tap *tap;
    int32_t from, to, first;
} tapped;

static tapped tap_of_batch(const hb_tap *tap, int32_t first, int32_t n)
{
    tapped t = {.tap = tap, .first = first};
    while (t.from < tap->n_rows && tap->rows[t.from] < first) t.from++;
    for (t.to = t.from; t.to < tap->n_rows && tap->rows[t.to] < first + n;) t.to++;
    return t;
}

/* Prepares the batch for a tap of attention. */
static void tap_attention(hb_native_session *s, const tapped *t)
{
    s->attention_tap = t->tap->attention && t->from < t->to ? t->tap : NULL;
    if (!s->attention_tap) return;
    for (int32_t r = 0; r < s->batch.n_rows; r++) s->tap_rows[r] = -1;
    for (int32_t r = t->from; r < t->to; r++) s->tap_rows[t->tap->rows[r] - t->first] = r;
}

/* The residual stream of a tapped row. */
static const float *stream_of(const hb_native_session *s, const tapped *t, int32_t row)
{
    return s->work.x + (size_t)(t->tap->rows[row] - t->first) * (size_t)s->model->base.info.n_embd;
}

/* Copies the tapped tokens' states after the tap's chosen block b. */
static void tap_states(const hb_native_session *s, const tapped *t, int32_t b)
{
    size_t d = (size_t)s->model->base.info.n_embd, blocks = (size_t)t->tap->n_blocks;
    for (int32_t r = t->from; r < t->to; r++)
        memcpy(t->tap->states + ((size_t)r * blocks + (size_t)b) * d, stream_of(s, t, r),
               d * sizeof(float));
}

/* Computes logits for the tapped tokens. */
static void tap_logits(hb_native_session *s, const tapped *t)
{
    const hb_native_model *m = s->model;
    int32_t n = t->to - t->from;
    size_t d = (size_t)m->base.info.n_embd, vocab = (size_t)m->base.info.n_vocab;
    float *logits = t->tap->logits + (size_t)t->from * vocab;
    for (int32_t r = 0; r < n; r++)
        hb_rms_norm(stream_of(s, t, t->from + r), m->output_norm, m->norm_eps, d,
                    s->work.normed + (size_t)r * d);
    hb_matmul(&s->work, s->work.normed, n, &(hb_product){&m->output, logits}, 1);
    hb_finish_logits(&s->work, m, logits, (size_t)n * vocab);
}

/* Writes the tapped tokens' states after the final norm. */
static void tap_normed(const hb_native_session *s, const tapped *t)
{
    const hb_native_model *m = s->model;
    size_t d = (size_t)m->base.info.n_embd;
    for (int32_t r = t->from; r < t->to; r++)
        hb_rms_norm(stream_of(s, t, r), m->output_norm, m->norm_eps, d, t->tap->normed + (size_t)r * d);
}

typedef struct beginning {
    const hb_native_session *s;
    const int32_t *tokens;
} beginning;

/* Computes one row's embedding and RoPE angles. */
static void begin_row(const void *context, int32_t row, int32_t thread)
{
    const beginning *b = context;
    const hb_native_session *s = b->s;
    const hb_native_model *m = s->model;
    (void)thread;
    embed(s, b->tokens[row], s->work.x + (size_t)row * (size_t)m->base.info.n_embd);
    for (int i = 0; i < 2 && s->work.angles[i]; i++)
        hb_rope_angles(s->frequencies[i], s->magnitude[i], m->n_rot, hb_batch_position(&s->batch, row),
                       s->work.angles[i] + (size_t)row * (size_t)m->n_rot);
}

/* Evaluates the planned batch. Its first token is token number `first` of the call. */
static void eval_batch(hb_native_session *s, const int32_t *tokens, const hb_tap *tap, int32_t first)
{
    const hb_native_model *m = s->model;
    const tapped t = tap_of_batch(tap, first, s->batch.n_rows);
    tap_attention(s, &t);
    each_row(s, begin_row, &(beginning){s, tokens});
    for (int32_t i = 0, b = 0; i < m->base.info.n_layers; i++) {
        const hb_layer *l = &m->layers[i];
        self_attention(s, i);
        add_projected(s, &l->wo, l->bo, s->work.attention, l->attn_post_norm);
        feed_forward(s, l);
        if (tap->states && b < tap->n_blocks && hb_tapped_block(tap, b) == i) tap_states(s, &t, b++);
    }
    if (tap->logits && t.from < t.to) tap_logits(s, &t);
    if (tap->normed) tap_normed(s, &t);
    if (tap->lens || tap->head) hb_lens(&s->work, m, tap, t.from, t.to);
}

/* Checks that each sequence has room for its tokens, and that the cache has enough free pages for all
 * of them. */
static hb_status check_room(const hb_native_session *s, const int32_t *sequences, int32_t n,
                            hb_error *err)
{
    const hb_kv_cache *c = &s->cache;
    int64_t pages = 0;
    for (int32_t i = 0; i < n; i++) c->sequences[sequences ? sequences[i] : 0].wanted = 0;
    for (int32_t i = 0; i < n; i++) c->sequences[sequences ? sequences[i] : 0].wanted++;
    for (int32_t i = 0; i < n; i++) {
        int32_t q = sequences ? sequences[i] : 0;
        if (c->sequences[q].wanted > s->base.n_ctx - c->sequences[q].n)
            return hb_fail(err, HB_ERR_CONTEXT, "%d tokens after %d do not fit the context of %d",
                           c->sequences[q].wanted, c->sequences[q].n, s->base.n_ctx);
        pages += hb_kv_lacks(c, q, c->sequences[q].wanted);
        c->sequences[q].wanted = 0; /* counted once */
    }
    if (pages <= c->n_free) return HB_OK;
    return hb_fail(err, HB_ERR_CONTEXT,
                   "the cache has %d free pages of %d positions, but %lld are needed", c->n_free,
                   HB_PAGE, (long long)pages);
}

hb_status hb_native_eval(hb_session *session, const int32_t *tokens, const int32_t *sequences,
                         int32_t n_tokens, const hb_tap *tap, hb_error *err)
{
    hb_native_session *s = (hb_native_session *)(void *)session;
    hb_status status = check_room(s, sequences, n_tokens, err);
    if (status) return status;
    for (int32_t first = 0; first < n_tokens; first += HB_BATCH) {
        int32_t n = n_tokens - first < HB_BATCH ? n_tokens - first : HB_BATCH;
        hb_batch_plan(&s->batch, &s->cache, sequences ? sequences + first : NULL, n);
        eval_batch(s, tokens + first, tap, first);
    }
    return HB_OK;
}
