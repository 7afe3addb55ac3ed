/* Multiplying by a stored matrix. */
#include <omp.h>
#include "engine/session.h"

/* Multiplications below which waking the other threads costs more than they bring. */
#define PARALLEL_FROM (1 << 17)

void hb_matmul(const hb_session *s, const hb_matrix *w, const float *x, int32_t n, float *y)
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
