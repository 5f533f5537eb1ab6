/*
 * Samples as a Gaussian: their mean and covariance, in double, without keeping them.
 *
 * The linear algebra below is what metrics need of it: two one-page routines for positive
 * semidefinite matrices of some hundred rows.
 */
#ifndef HYP_RUNTIME_GAUSS_H
#define HYP_RUNTIME_GAUSS_H

#include <stdbool.h>
#include <stdint.h>

enum { GAUSS_MOST = 1024 }; /* dimensions */

struct gauss {
    uint32_t width;
    uint64_t n;
    double *origin; /* [width] the first sample: what is summed is the distance from it */
    double *sum;    /* [width] */
    double *square; /* [width x width] lower triangle of the sum of products */
    double *room;   /* a block of distances */
};
bool gauss_init(struct gauss *g, uint32_t width); /* false: no memory; fini in any case */
void gauss_fini(struct gauss *g);
void gauss_add(struct gauss *g, const float *row, uint32_t rows);

/* |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), covariances unbiased; of at least two
 * samples each and of one width.  NaN where samples were not finite.  False: no memory. */
bool gauss_distance(const struct gauss *a, const struct gauss *b, double *out);

/* The factor L of a = L L', lower, in place; a positive semidefinite [n x n], of which the
 * lower triangle is read.  Directions without variance become 0. */
void cholesky(double *a, uint32_t n);
/*
 * One-sided Jacobi: rotates the rows of a [n x width] until they are orthogonal, the
 * longest first.  norm[k]: the length of row k, a singular value.  Of a symmetric positive
 * semidefinite matrix they are the eigenvalues, and the rows the eigenvectors times them.
 */
void orthogonal_rows(double *a, uint32_t n, uint32_t width, double *norm);

#endif
