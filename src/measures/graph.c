#include "measures/graph.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* ---- Eigenvalues -------------------------------------------------------------------------------- */

#define MAX_SWEEPS 60 /* a dozen suffice; the limit only ends a matrix that is not finite */

/* The sum of squares off the diagonal, and of all elements. */
static double off_diagonal(const double *a, size_t n, double *all)
{
    double off = 0;
    *all = 0;
    for (size_t i = 0; i < n * n; i++) {
        *all += a[i] * a[i];
        if (i / n != i % n) off += a[i] * a[i];
    }
    return off;
}

/* Replaces x and y by the coordinates in a system rotated by the angle. */
static void turn(double *x, double *y, double cosine, double sine)
{
    double old = *x;
    *x = cosine * old - sine * *y;
    *y = sine * old + cosine * *y;
}

/* Rotates rows and columns p and q so that a[p][q] becomes zero. */
static void rotate(double *a, double *vectors, size_t n, size_t p, size_t q)
{
    double apq = a[p * n + q];
    if (apq == 0) return;
    double theta = (a[q * n + q] - a[p * n + p]) / (2 * apq);
    double tangent = copysign(1, theta) / (fabs(theta) + hypot(theta, 1));
    double cosine = 1 / hypot(tangent, 1), sine = tangent * cosine;
    for (size_t k = 0; k < n; k++) turn(&a[k * n + p], &a[k * n + q], cosine, sine);
    for (size_t k = 0; k < n; k++) turn(&a[p * n + k], &a[q * n + k], cosine, sine);
    for (size_t k = 0; k < n; k++) turn(&vectors[k * n + p], &vectors[k * n + q], cosine, sine);
    a[p * n + q] = a[q * n + p] = 0;
}

void hb_eigen_symmetric(double *a, double *vectors, size_t n)
{
    double all;
    for (size_t i = 0; i < n * n; i++) vectors[i] = i / n == i % n;
    for (int sweep = 0; sweep < MAX_SWEEPS; sweep++) {
        double off = off_diagonal(a, n, &all);
        if (!(off > all * DBL_EPSILON * DBL_EPSILON)) break;
        for (size_t p = 0; p + 1 < n; p++)
            for (size_t q = p + 1; q < n; q++) rotate(a, vectors, n, p, q);
    }
}

/* ---- Measures ----------------------------------------------------------------------------------- */

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
