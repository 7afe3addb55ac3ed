/* Measures of the graph whose nodes are answers and whose edges are their similarities (Lin, Trivedi
 * and Sun, Generating with Confidence, 2024). W [n][n] is symmetric, within [0, 1], with ones on its
 * diagonal; n >= 1. The Laplacian is L = I - D^(-1/2) W D^(-1/2), where D has the row sums of W. */
#ifndef HB_MEASURES_GRAPH_H
#define HB_MEASURES_GRAPH_H

#include "base/error.h"

typedef struct hb_graph {
    double eigv; /* sum over the eigenvalues of max(0, 1 - eigenvalue): a continuous number of groups */
    double deg;  /* 1 - the mean of W */
    double ecc;  /* the length of the centred coordinates of all answers, along the eigenvectors of L
                    whose eigenvalue is below HB_ECC_LIMIT */
} hb_graph;
#define HB_ECC_LIMIT 0.9

/* HB_ERR_MEMORY. */
hb_status hb_graph_measure(const double *w, size_t n, hb_graph *graph, hb_error *err);

#endif
