#include "measures/graph.h"

#include <math.h>
#include <stdlib.h>
#include "base/eigen.h"

/* Writes the Laplacian. Returns the sum of W. */
static double write_laplacian(const double *w, size_t n, double *degrees, double *laplacian)
{
    double total = 0;
    for (size_t i = 0; i < n; i++) {
        degrees[i] = 0;
        for (size_t j = 0; j < n; j++) degrees[i] += w[i * n + j];
        total += degrees[i];
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            laplacian[i * n + j] = (i == j) - w[i * n + j] / (sqrt(degrees[i]) * sqrt(degrees[j]));
    return total;
}

/* The squared length of a vector's components after their mean is subtracted. */
static double spread(const double *vectors, size_t n, size_t column)
{
    double mean = 0, sum = 0;
    for (size_t i = 0; i < n; i++) mean += vectors[i * n + column] / (double)n;
    for (size_t i = 0; i < n; i++) sum += pow(vectors[i * n + column] - mean, 2);
    return sum;
}

hb_status hb_graph_measure(const double *w, size_t n, hb_graph *graph, hb_error *err)
{
    double *degrees = calloc(n * (2 * n + 1), sizeof *degrees);
    if (!degrees) return hb_fail_memory(err);
    double *laplacian = degrees + n, *vectors = laplacian + n * n, squares = 0;
    double total = write_laplacian(w, n, degrees, laplacian);
    hb_eigen_symmetric(laplacian, vectors, n);
    *graph = (hb_graph){.deg = 1 - total / ((double)n * (double)n)};
    for (size_t i = 0; i < n; i++) {
        double eigenvalue = laplacian[i * n + i];
        graph->eigv += fmax(0, 1 - eigenvalue);
        if (eigenvalue < HB_ECC_LIMIT) squares += spread(vectors, n, i);
    }
    graph->ecc = sqrt(squares);
    free(degrees);
    return HB_OK;
}
