#include "engine/lens.h"

#include <string.h>
#include "base/greatest.h"
#include "engine/norm.h"

/* Applies the output head to states [n_states][n_embd] for `tokens` only, and writes out
 * [n_states][n_tokens]. The head's rows are unpacked a few at a time and used for all states. */
static void apply_head(const hb_workspace *w, const hb_native_model *m, const float *states,
                       int32_t n_states, const int32_t *tokens, int32_t n_tokens, int32_t thread,
                       float *out)
{
    const hb_matrix *head = &m->output;
    hb_to_f32 *to_f32 = w->kernels->to_f32[head->type];
    size_t d = (size_t)m->base.info.n_embd;
    float *rows = w->thread_lens + (size_t)thread * w->lens_length;
    float *normed = rows + HB_TILE_ROWS * d;
    for (int32_t s = 0; s < n_states; s++)
        hb_rms_norm(states + (size_t)s * d, m->output_norm, m->norm_eps, d, normed + (size_t)s * d);
    for (int32_t t = 0; t < n_tokens; t += HB_TILE_ROWS) {
        int count = n_tokens - t < HB_TILE_ROWS ? n_tokens - t : HB_TILE_ROWS;
        for (int i = 0; i < count; i++) {
            const uint8_t *stored = head->data + (size_t)tokens[t + i] * head->row_bytes;
            if (to_f32) to_f32(stored, rows + (size_t)i * d, d);
            else memcpy(rows + (size_t)i * d, stored, d * sizeof *rows);
        }
        w->kernels->tile[HB_TYPE_F32](rows, d * sizeof *rows, count, normed, d, n_states, d, out + t,
                                      (size_t)n_tokens);
    }
    if (m->logit_cap > 0) w->kernels->softcap(out, (size_t)n_states * (size_t)n_tokens, m->logit_cap);
}

/* The arguments of one call, whose first row is `from`. */
typedef struct call {
    const hb_workspace *w;
    const hb_native_model *model;
    const hb_tap *tap;
    int32_t from;
} call;

/* Fills one row of the lens. For the last block the lens is the model's own logits. */
static void read_row(const void *context, int32_t item, int32_t thread)
{
    const call *c = context;
    const hb_native_model *m = c->model;
    const hb_tap *tap = c->tap;
    int32_t row = c->from + item;
    size_t k = (size_t)tap->n_lens, blocks = (size_t)tap->n_blocks;
    const float *logits = tap->logits + (size_t)row * (size_t)m->base.info.n_vocab;
    int32_t *tokens = tap->lens_tokens + (size_t)row * k;
    float *out = tap->lens + (size_t)row * blocks * k;
    hb_greatest(logits, m->base.info.n_vocab, tokens, tap->n_lens);
    bool with_last =
        tap->n_blocks > 0 && hb_tapped_block(tap, tap->n_blocks - 1) == m->base.info.n_layers - 1;
    apply_head(c->w, m, tap->states + (size_t)row * blocks * (size_t)m->base.info.n_embd,
               tap->n_blocks - with_last, tokens, tap->n_lens, thread, out);
    for (size_t t = 0; with_last && t < k; t++) out[(blocks - 1) * k + t] = logits[tokens[t]];
}

void hb_lens(const hb_workspace *w, const hb_native_model *model, const hb_tap *tap, int32_t from,
             int32_t to)
{
    hb_pool_each(w->pool, to - from, read_row, &(call){w, model, tap, from});
}
