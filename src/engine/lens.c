#include "engine/lens.h"

#include <math.h>
#include <string.h>
#include "engine/norm.h"

/* Whether any of n values is above the bar: most stretches of a vocabulary have none. */
static bool any_above(const float *x, int32_t n, float bar)
{
    int above = 0;
#pragma omp simd reduction(| : above)
    for (int32_t i = 0; i < n; i++) above |= x[i] > bar;
    return above;
}

/* Puts an id in its place among the `held` before it, dropping the last when there are k. */
static int32_t insert(const float *logits, int32_t *ids, int32_t held, int32_t k, int32_t id)
{
    int32_t at = held < k ? held : k - 1;
    for (; at > 0 && logits[id] > logits[ids[at - 1]]; at--) ids[at] = ids[at - 1];
    ids[at] = id;
    return held < k ? held + 1 : k;
}

void hb_greatest(const float *logits, int32_t n, int32_t *ids, int32_t k)
{
    enum { STRETCH = 64 };
    int32_t held = 0;
    for (int32_t start = 0; start < n; start += STRETCH) {
        int32_t end = n - start < STRETCH ? n : start + STRETCH;
        if (held == k && !any_above(logits + start, end - start, logits[ids[k - 1]])) continue;
        for (int32_t id = start; id < end; id++)
            if (held < k || logits[id] > logits[ids[k - 1]]) held = insert(logits, ids, held, k, id);
    }
}

size_t hb_lens_scratch(const hb_model *model, int32_t n_states, int32_t n_tokens)
{
    return (size_t)(n_states + n_tokens) * (size_t)model->info.n_embd;
}

void hb_lens_logits(const hb_kernels *kernels, const hb_model *model, const float *states,
                    int32_t n_states, const int32_t *tokens, int32_t n_tokens, float *scratch,
                    float *out)
{
    const hb_matrix *head = &model->output;
    hb_to_f32 *to_f32 = kernels->to_f32[head->type];
    size_t d = (size_t)model->info.n_embd;
    float *rows = scratch, *normed = scratch + (size_t)n_tokens * d;
    for (int32_t t = 0; t < n_tokens; t++) {
        const uint8_t *stored = head->data + (size_t)tokens[t] * head->row_bytes;
        if (to_f32) to_f32(stored, rows + (size_t)t * d, d);
        else memcpy(rows + (size_t)t * d, stored, d * sizeof *rows);
    }
    for (int32_t s = 0; s < n_states; s++)
        hb_rms_norm(states + (size_t)s * d, model->output_norm, model->norm_eps, d,
                    normed + (size_t)s * d);
    for (int32_t t = 0; t < n_tokens; t += HB_TILE_ROWS) {
        int count = n_tokens - t < HB_TILE_ROWS ? n_tokens - t : HB_TILE_ROWS;
        kernels->tile[HB_TYPE_F32](rows + (size_t)t * d, d * sizeof *rows, count, normed, d, n_states,
                                   d, out + t, (size_t)n_tokens);
    }
    if (model->logit_cap > 0)
        kernels->softcap(out, (size_t)n_states * (size_t)n_tokens, model->logit_cap);
}
