#ifndef HB_BASE_EIGEN_H
#define HB_BASE_EIGEN_H

#include <stddef.h>

/* Eigenvalues and eigenvectors of the symmetric matrix a [n][n], which becomes diagonal: a[i][i] is an
 * eigenvalue, and column i of `vectors` [n][n] its eigenvector of length 1 (Jacobi, 1846; Golub and Van
 * Loan, Matrix Computations, 8.5). */
void hb_eigen_symmetric(double *a, double *vectors, size_t n);

#endif
