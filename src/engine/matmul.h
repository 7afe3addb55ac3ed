/* Multiplying activations by stored matrices. */
#ifndef HB_ENGINE_MATMUL_H
#define HB_ENGINE_MATMUL_H

#include "engine/workspace.h"

typedef struct hb_product {
    const hb_matrix *w;
    float *y; /* [n][w->rows] */
} hb_product;

/* y = x times the transpose of w, for x [n][cols] and each of up to HB_PRODUCTS products, whose
 * matrices all have `cols` columns. */
void hb_matmul(const hb_workspace *space, const float *x, int32_t n, const hb_product *products,
               int count);

#endif
