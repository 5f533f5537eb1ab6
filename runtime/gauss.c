/*
 * Means, covariances and the Frechet distance.
 *
 * With S1 = L1 L1' and S2 = L2 L2', the eigenvalues of S1 S2 are the squared singular
 * values of L1' L2, so tr (S1 S2)^(1/2) is their sum: no root of a matrix has to be formed,
 * and covariances without full rank (fewer samples than dimensions) need no care.
 */
#include "runtime/gauss.h"

#include <math.h>
#include <string.h>

#include "runtime/base/alloc.h"

/* ---- sums ---- */

enum { BLOCK = 32 };

bool gauss_init(struct gauss *g, uint32_t width)
{
    *g = (struct gauss){
        .width = width,
        .origin = hyp_calloc(width + 1U, sizeof(double)),
        .sum = hyp_calloc(width + 1U, sizeof(double)),
        .square = hyp_calloc((size_t)width * width + 1, sizeof(double)),
        .room = hyp_calloc((size_t)width * BLOCK + 1, sizeof(double)),
    };
    return g->origin && g->sum && g->square && g->room;
}

void gauss_fini(struct gauss *g)
{
    hyp_free(g->origin);
    hyp_free(g->sum);
    hyp_free(g->square);
    hyp_free(g->room);
    *g = (struct gauss){0};
}

/* A block at a time, so that a row of the triangle stays at hand for all of its samples. */
static void add_block(struct gauss *g, const float *row, uint32_t rows)
{
    const uint32_t w = g->width;

    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t i = 0; i < w; i++) {
            const double d = (double)row[(size_t)r * w + i] - g->origin[i];
            g->room[(size_t)r * w + i] = d;
            g->sum[i] += d;
        }
    for (uint32_t i = 0; i < w; i++) {
        double *to = g->square + (size_t)i * w;
        for (uint32_t r = 0; r < rows; r++) {
            const double *d = g->room + (size_t)r * w;
            for (uint32_t k = 0; k <= i; k++)
                to[k] += d[i] * d[k];
        }
    }
}

void gauss_add(struct gauss *g, const float *row, uint32_t rows)
{
    for (uint32_t i = 0; g->n == 0 && rows && i < g->width; i++)
        g->origin[i] = (double)row[i];
    g->n += rows;
    for (uint32_t at = 0; at < rows; at += BLOCK)
        add_block(g, row + (size_t)at * g->width, rows - at < BLOCK ? rows - at : BLOCK);
}

/* Unbiased; the lower triangle. */
static void covariance(const struct gauss *g, double *out)
{
    const double n = (double)g->n;
    for (uint32_t i = 0; i < g->width; i++)
        for (uint32_t k = 0; k <= i; k++) {
            const size_t at = (size_t)i * g->width + k;
            out[at] = (g->square[at] - g->sum[i] * g->sum[k] / n) / (n - 1);
        }
}

/* ---- matrices ---- */

void cholesky(double *a, uint32_t n)
{
    double most = 0;

    for (uint32_t i = 0; i < n; i++)
        most = fmax(most, a[(size_t)i * n + i]);
    const double none = most * n * 2.3e-16; /* what rounding leaves of nothing */
    for (uint32_t i = 0; i < n; i++) {
        double *row = a + (size_t)i * n;
        for (uint32_t k = 0; k <= i; k++) {
            const double *of = a + (size_t)k * n;
            double s = row[k];
            for (uint32_t j = 0; j < k; j++)
                s -= row[j] * of[j];
            if (k < i)
                row[k] = of[k] > 0 ? s / of[k] : 0;
            else
                row[k] = s > none ? sqrt(s) : 0;
        }
        memset(row + i + 1, 0, (n - i - 1) * sizeof *row);
    }
}

/* In four sums: the order is fixed, and their latencies overlap. */
static double dot(const double *a, const double *b, uint32_t n)
{
    double s[4] = {0, 0, 0, 0};
    uint32_t i = 0;

    for (; i + 4 <= n; i += 4)
        for (unsigned k = 0; k < 4; k++)
            s[k] += a[i + k] * b[i + k];
    for (; i < n; i++)
        s[0] += a[i] * b[i];
    return (s[0] + s[1]) + (s[2] + s[3]);
}

/* Turns two rows until they are orthogonal; false: they were. */
static bool turn(double *a, double *b, uint32_t width, double *na, double *nb)
{
    const double c = dot(a, b, width);

    if (!(fabs(c) > 1e-15 * sqrt(*na * *nb)))
        return false;
    const double zeta = (*nb - *na) / (2 * c);
    const double t = copysign(1, zeta) / (fabs(zeta) + sqrt(1 + zeta * zeta));
    const double cosine = 1 / sqrt(1 + t * t), sine = cosine * t;
    for (uint32_t i = 0; i < width; i++) {
        const double x = a[i], y = b[i];
        a[i] = cosine * x - sine * y;
        b[i] = sine * x + cosine * y;
    }
    *na -= t * c;
    *nb += t * c;
    return true;
}

static void swap_rows(double *a, double *b, uint32_t width)
{
    for (uint32_t i = 0; i < width; i++) {
        const double x = a[i];
        a[i] = b[i];
        b[i] = x;
    }
}

static void longest_first(double *a, uint32_t n, uint32_t width, double *norm)
{
    for (uint32_t i = 0; i + 1 < n; i++) {
        uint32_t most = i;
        for (uint32_t k = i + 1; k < n; k++)
            if (norm[k] > norm[most])
                most = k;
        if (most == i)
            continue;
        swap_rows(a + (size_t)i * width, a + (size_t)most * width, width);
        const double x = norm[i];
        norm[i] = norm[most];
        norm[most] = x;
    }
}

void orthogonal_rows(double *a, uint32_t n, uint32_t width, double *norm)
{
    enum { SWEEPS = 40 }; /* seven or so are enough */
    bool turned = true;

    for (unsigned s = 0; turned && s < SWEEPS; s++) {
        double most = 0;
        turned = false;
        for (uint32_t i = 0; i < n; i++) {
            norm[i] = dot(a + (size_t)i * width, a + (size_t)i * width, width);
            most = fmax(most, norm[i]);
        }
        const double none = most * 1e-32; /* rows that rounding alone has made */
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t k = i + 1; k < n; k++)
                if (norm[i] > none && norm[k] > none)
                    turned |= turn(a + (size_t)i * width, a + (size_t)k * width, width,
                                   &norm[i], &norm[k]);
    }
    for (uint32_t i = 0; i < n; i++)
        norm[i] = sqrt(dot(a + (size_t)i * width, a + (size_t)i * width, width));
    longest_first(a, n, width, norm);
}

/* ---- the distance ---- */

/* l1' l2 of two lower triangular factors */
static void product(const double *l1, const double *l2, uint32_t n, double *out)
{
    memset(out, 0, (size_t)n * n * sizeof *out);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j <= i; j++) {
            const double x = l1[(size_t)i * n + j];
            const double *from = l2 + (size_t)i * n;
            double *to = out + (size_t)j * n;
            for (uint32_t k = 0; k <= i; k++)
                to[k] += x * from[k];
        }
}

static bool finite_square(const double *a, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k <= i; k++)
            if (!isfinite(a[(size_t)i * n + k]))
                return false;
    return true;
}

bool gauss_distance(const struct gauss *a, const struct gauss *b, double *out)
{
    const uint32_t w = a->width;
    const size_t size = (size_t)w * w + 1;
    double *all = hyp_malloc((3 * size + w) * sizeof *all);
    double *s1 = all, *s2 = all + size, *both = s2 + size, *norm = both + size;
    double d = 0;

    *out = NAN;
    if (!all)
        return false;
    covariance(a, s1);
    covariance(b, s2);
    if (a->n > 1 && b->n > 1 && finite_square(s1, w) && finite_square(s2, w)) {
        for (uint32_t i = 0; i < w; i++) {
            const double m = a->origin[i] + a->sum[i] / (double)a->n - b->origin[i] -
                             b->sum[i] / (double)b->n;
            d += m * m + s1[(size_t)i * w + i] + s2[(size_t)i * w + i];
        }
        cholesky(s1, w);
        cholesky(s2, w);
        product(s1, s2, w, both);
        orthogonal_rows(both, w, w, norm);
        for (uint32_t i = w; i-- > 0;)
            d -= 2 * norm[i];
        *out = d > 0 ? d : 0;
    }
    hyp_free(all);
    return true;
}
