#include "base/eigen.h"

#include <float.h>
#include <math.h>

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
