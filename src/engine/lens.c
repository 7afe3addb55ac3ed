#include "engine/lens.h"

#include <string.h>
#include "base/greatest.h"
#include "engine/norm.h"

void hb_finish_logits(const hb_workspace *w, const hb_native_model *m, float *logits, size_t n)
{
    for (size_t i = 0; m->logit_scale != 1 && i < n; i++) logits[i] *= m->logit_scale;
    if (m->logit_cap > 0) w->kernels->softcap(logits, n, m->logit_cap);
}

/* Unpacks the output head's rows of `n` tokens. */
static void unpack_head(const hb_workspace *w, const hb_native_model *m, const int32_t *tokens,
                        int32_t n, float *rows)
{
    const hb_matrix *head = &m->output;
    hb_to_f32 *to_f32 = w->kernels->to_f32[head->type];
    size_t d = (size_t)m->base.info.n_embd;
    for (int32_t i = 0; i < n; i++) {
        const uint8_t *stored = head->data + (size_t)tokens[i] * head->row_bytes;
        if (to_f32) to_f32(stored, rows + (size_t)i * d, d);
        else memcpy(rows + (size_t)i * d, stored, d * sizeof *rows);
    }
}

/* Applies the output head to states [n_states][n_embd] for `n_tokens` of `tokens` only, and writes as
 * many columns of out, whose rows are `stride` apart. */
static void apply_head(const hb_workspace *w, const hb_native_model *m, const float *states,
                       int32_t n_states, const int32_t *tokens, int32_t n_tokens, int32_t thread,
                       float *out, size_t stride)
{
    size_t d = (size_t)m->base.info.n_embd;
    float *rows = w->thread_lens + (size_t)thread * w->lens_length;
    float *normed = rows + HB_TILE_ROWS * d;
    for (int32_t s = 0; s < n_states; s++)
        hb_rms_norm(states + (size_t)s * d, m->output_norm, m->norm_eps, d, normed + (size_t)s * d);
    for (int32_t t = 0; t < n_tokens; t += HB_TILE_ROWS) {
        int count = n_tokens - t < HB_TILE_ROWS ? n_tokens - t : HB_TILE_ROWS;
        unpack_head(w, m, tokens + t, count, rows);
        w->kernels->tile[HB_TYPE_F32](rows, d * sizeof *rows, count, normed, d, n_states, d, out + t,
                                      stride);
    }
    for (int32_t s = 0; s < n_states; s++)
        hb_finish_logits(w, m, out + (size_t)s * stride, (size_t)n_tokens);
}

/* The number of parts in which a row is read, if a batch has few rows. */
enum { FEW_ROWS = 4, PARTS = 4 };

/* The arguments of one call, whose first row is `from`. */
typedef struct call {
    const hb_workspace *w;
    const hb_native_model *model;
    const hb_tap *tap;
    int32_t from, parts;
} call;

static const float *logits_of(const call *c, int32_t row)
{
    return c->tap->logits + (size_t)row * (size_t)c->model->base.info.n_vocab;
}

/* Finds the tokens of one row. */
static void find_tokens(const void *context, int32_t item, int32_t thread)
{
    const call *c = context;
    int32_t row = c->from + item, k = c->tap->n_lens;
    (void)thread;
    hb_greatest(logits_of(c, row), c->model->base.info.n_vocab,
                c->tap->lens_tokens + (size_t)row * (size_t)k, k);
}

/* Fills the lens of some of a row's blocks. For the last block it is the model's own logits. */
static void read_lens(const call *c, int32_t row, int32_t first, int32_t end, int32_t thread)
{
    const hb_native_model *m = c->model;
    const hb_tap *tap = c->tap;
    size_t blocks = (size_t)tap->n_blocks, k = (size_t)tap->n_lens, d = (size_t)m->base.info.n_embd;
    size_t at = (size_t)row * blocks + (size_t)first;
    const float *logits = logits_of(c, row);
    const int32_t *tokens = tap->lens_tokens + (size_t)row * k;
    float *out = tap->lens + at * k;
    bool with_last = end > first && end == tap->n_blocks &&
                     hb_tapped_block(tap, end - 1) == m->base.info.n_layers - 1;
    int32_t n = end - first - with_last;
    if (n) apply_head(c->w, m, tap->states + at * d, n, tokens, tap->n_lens, thread, out, k);
    for (size_t t = 0; with_last && t < k; t++) out[(size_t)n * k + t] = logits[tokens[t]];
}

/* Fills one part of a row of the tap: some tokens of `head`, and some blocks of the lens. */
static void read_part(const void *context, int32_t item, int32_t thread)
{
    const call *c = context;
    const hb_tap *tap = c->tap;
    int32_t row = c->from + item / c->parts, part = item % c->parts, k = tap->n_lens;
    int32_t first = k * part / c->parts, end = k * (part + 1) / c->parts;
    size_t at = (size_t)row * (size_t)k + (size_t)first;
    if (tap->head)
        unpack_head(c->w, c->model, tap->lens_tokens + at, end - first,
                    tap->head + at * (size_t)c->model->base.info.n_embd);
    if (tap->lens)
        read_lens(c, row, tap->n_blocks * part / c->parts, tap->n_blocks * (part + 1) / c->parts,
                  thread);
}

void hb_lens(const hb_workspace *w, const hb_native_model *model, const hb_tap *tap, int32_t from,
             int32_t to)
{
    int32_t n = to - from;
    const call c = {w, model, tap, from, n > FEW_ROWS ? 1 : PARTS};
    hb_pool_each(w->pool, n, find_tokens, &c);
    hb_pool_each(w->pool, n * c.parts, read_part, &c);
}
