/* Products of activations with stored matrices. */
#ifndef HB_ENGINE_MATMUL_H
#define HB_ENGINE_MATMUL_H

#include "engine/workspace.h"

typedef struct hb_product {
    const hb_matrix *w;
    float *y; /* [n][w->rows] */
} hb_product;

/* Computes y = x w^T for each of up to HB_PRODUCTS products, with x [n][cols]. All matrices have `cols`
 * columns. */
void hb_matmul(const hb_workspace *space, const float *x, int32_t n, const hb_product *products,
               int count);

#endif
