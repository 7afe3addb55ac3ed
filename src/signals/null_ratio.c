/* The null ratio. Of a matrix with few long rows, the products of its rows are enough: an eigenvector u
 * of A A' with the eigenvalue s^2 gives the right singular vector A'u / s of A, and its product with a
 * change c is u'(A c) / s. */
#include <math.h>
#include "base/wide.h"
#include "hbar.h"

/* Rows whose probability is below this part of the largest one do not change the result. */
#define FAINT 1e-9

enum { MAX = HB_LENS_TOKENS, STEPS = 500 }; /* the second: of the power iteration, at most */

/* The products of some rows with each other, and with the change. */
typedef struct rows {
    size_t n;
    double squares[MAX][MAX], changes[MAX];
} rows;

/* The products of two rows a with four rows b. */
HB_WIDE static void multiply_rows(const float *const a[2], const float *const b[4], size_t n,
                                  float out[2][4])
{
    const float *a0 = a[0], *a1 = a[1], *b0 = b[0], *b1 = b[1], *b2 = b[2], *b3 = b[3];
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0, t0 = 0, t1 = 0, t2 = 0, t3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3, t0, t1, t2, t3)
    for (size_t i = 0; i < n; i++) {
        s0 += a0[i] * b0[i];
        s1 += a0[i] * b1[i];
        s2 += a0[i] * b2[i];
        s3 += a0[i] * b3[i];
        t0 += a1[i] * b0[i];
        t1 += a1[i] * b1[i];
        t2 += a1[i] * b2[i];
        t3 += a1[i] * b3[i];
    }
    out[0][0] = s0, out[0][1] = s1, out[0][2] = s2, out[0][3] = s3;
    out[1][0] = t0, out[1][1] = t1, out[1][2] = t2, out[1][3] = t3;
}

HB_WIDE static double product_of_change(const float *a, const float *state, const float *before,
                                        size_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * ((double)state[i] - (double)before[i]);
    return sum;
}

HB_WIDE static double squared_change(const float *state, const float *before, size_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += ((double)state[i] - (double)before[i]) * ((double)state[i] - (double)before[i]);
    return sum;
}

/* Fills in the products of the rows, each scaled by the root of its probability. */
static void multiply_all(rows *r, const float *const *kept, const double *roots, size_t d)
{
    for (size_t i = 0; i < r->n; i += 2)
        for (size_t j = 0; j < i + 2 && j < r->n; j += 4) {
            const float *const a[2] = {kept[i], kept[i + 1]};
            float products[2][4];
            multiply_rows(a, kept + j, d, products);
            for (size_t k = 0; k < 8; k++) {
                size_t row = i + k / 4, column = j + k % 4;
                if (row >= r->n || column > row) continue;
                r->squares[row][column] = r->squares[column][row] =
                    roots[row] * roots[column] * (double)products[k / 4][k % 4];
            }
        }
}

static void fill_rows(rows *r, const float *head, const double *p, size_t n, const float *state,
                      const float *before, size_t d)
{
    const float *kept[MAX + 4];
    double roots[MAX], largest = 0;
    for (size_t i = 0; i < n; i++) largest = fmax(largest, p[i]);
    for (size_t i = 0; i < n; i++) {
        if (p[i] < FAINT * largest) continue;
        roots[r->n] = sqrt(p[i]);
        kept[r->n++] = head + i * d;
    }
    for (size_t i = 0; i < 4; i++) kept[r->n + i] = head; /* in place of rows beyond the last one */
    multiply_all(r, kept, roots, d);
    for (size_t i = 0; i < r->n; i++)
        r->changes[i] = roots[i] * product_of_change(kept[i], state, before, d);
}

/* Multiplies u by the rows' products and scales it to length 1. Returns the length before; 0 leaves u
 * as it is. Beyond the rows, both have zeros. */
HB_WIDE static double iterate(const rows *r, double u[MAX])
{
    double next[MAX] = {0}, length = 0;
    for (size_t i = 0; i < r->n; i++)
        for (size_t j = 0; j < MAX; j++) next[j] += r->squares[i][j] * u[i];
    for (size_t j = 0; j < MAX; j++) length += next[j] * next[j];
    length = sqrt(length);
    for (size_t j = 0; j < MAX && length > 0; j++) u[j] = next[j] / length;
    return length;
}

double hb_null_ratio(const float *head, const double *p, size_t n, const float *state,
                     const float *before, size_t n_embd)
{
    rows r = {.n = 0};
    double u[MAX] = {0}, value = 0, previous = -1, seen = 0;
    if (n < 1 || n > MAX) return NAN;
    double whole = squared_change(state, before, n_embd);
    if (whole == 0) return 0;
    fill_rows(&r, head, p, n, state, before, n_embd);
    for (size_t i = 0; i < r.n; i++) u[i] = sqrt(r.squares[i][i]); /* not orthogonal to the result */
    for (int k = 0; k < STEPS && fabs(value - previous) > 1e-14 * value; k++) {
        previous = value;
        value = iterate(&r, u);
    }
    for (size_t i = 0; i < r.n; i++) seen += u[i] * r.changes[i];
    double part = value > 0 ? 1 - seen * seen / value / whole : 1;
    return sqrt(fmin(fmax(part, 0), 1));
}
