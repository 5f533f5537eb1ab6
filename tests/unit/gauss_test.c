/* The Frechet distance against closed forms and NumPy; the matrices under it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/gauss.h"
#include "tests/unit/cmocka_all.h"

/* Numbers from -2 to 2, the same as the ones that NumPy was given. */
static float *numbers(size_t n, uint32_t seed, float scale, float shift)
{
    float *v = malloc((n + 1) * sizeof *v);
    assert_non_null(v);
    for (size_t i = 0; i < n; i++) {
        seed = (seed * 1103515245U + 12345U) & 0x7fffffff;
        v[i] = (float)((seed >> 16) % 1000 / 250.0 - 2);
        v[i] = v[i] * scale + shift;
    }
    return v;
}

/* In pieces of `piece` rows. */
static void fill(struct gauss *g, const float *v, uint32_t n, uint32_t width,
                 uint32_t piece)
{
    assert_true(gauss_init(g, width));
    for (uint32_t i = 0; i < n; i += piece)
        gauss_add(g, v + (size_t)i * width, n - i < piece ? n - i : piece);
}

static double distance(const float *a, uint32_t na, const float *b, uint32_t nb,
                       uint32_t width, uint32_t piece)
{
    struct gauss x, y;
    double d = 0;
    fill(&x, a, na, width, piece);
    fill(&y, b, nb, width, piece);
    assert_true(gauss_distance(&x, &y, &d));
    gauss_fini(&x);
    gauss_fini(&y);
    return d;
}

static void near(double got, double want, double within)
{
    if (!(fabs(got - want) <= within))
        fail_msg("%.17g, not %.17g", got, want);
}

/* Two units: 0 2 0 2 and 1 1 5 5 have the means 1 and 3, the variances 4/3 and 16/3, no
 * covariance.  Of independent units: |m|^2 + sum (s1 - s2)^2. */
static void closed_forms(void **state)
{
    static const float a[] = {0, 1, 2, 1, 0, 5, 2, 5};
    static const float b[] = {3, 1, 9, 1, 3, 5, 9, 5}; /* the first unit times 3, plus 3 */
    static const float c[] = {7, 3, 7, 3, 7, 3};       /* no variance */
    (void)state;
    near(distance(a, 4, a, 4, 2, 1), 0, 1e-14);
    near(distance(a, 4, b, 4, 2, 4), 25 + 4.0 / 3 * 4, 1e-13);
    near(distance(a, 4, c, 3, 2, 2), 36 + 4.0 / 3 + 16.0 / 3, 1e-13);
    near(distance(c, 3, c, 2, 2, 2), 0, 0);
}

/* A covariance of full correlation: 1 and 2 the deviations, and the same turned by 90
 * degrees: S1 S2 = 0, so that nothing is taken off the traces. */
static void orthogonal_directions(void **state)
{
    static const float a[] = {-1, -2, 1, 2, -1, -2, 1, 2};
    static const float b[] = {-2, 1, 2, -1, -2, 1, 2, -1};
    (void)state;
    near(distance(a, 4, b, 4, 2, 3), 2 * (1 + 4) * 4.0 / 3, 1e-7);
}

/* NumPy 2: eigh of S1, then the trace of the root of S1^(1/2) S2 S1^(1/2). */
static void as_numpy_has_it(void **state)
{
    static const struct {
        uint32_t na, nb, width;
        double want, within;
    } rows[] = {{40, 60, 5, 9.065193713736162, 1e-12},
                {8, 7, 12, 33.454998129871925, 1e-6}, /* without full rank */
                {300, 200, 33, 46.54020173802228, 1e-11}};
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        for (uint32_t piece = 1; piece < 128; piece = piece * 7 + 2) {
            float *a = numbers((size_t)rows[i].na * rows[i].width, 1, 1, 0);
            float *b = numbers((size_t)rows[i].nb * rows[i].width, 2, 0.5F, 1);
            near(distance(a, rows[i].na, b, rows[i].nb, rows[i].width, piece), rows[i].want,
                 rows[i].within);
            free(a);
            free(b);
        }
}

/* A mean a million times the deviations costs no digits: sums begin at the first sample. */
static void far_from_the_origin(void **state)
{
    float *a = numbers(400, 3, 1, 0), *b = numbers(400, 4, 1, 0);
    (void)state;
    for (unsigned i = 0; i < 400; i++) { /* both exact in float */
        a[i] = roundf(a[i] * 4) / 4;
        b[i] = roundf(b[i] * 4) / 4;
    }
    const double d = distance(a, 100, b, 100, 4, 10);
    for (unsigned i = 0; i < 400; i++) {
        a[i] += 1e6F;
        b[i] += 1e6F;
    }
    near(distance(a, 100, b, 100, 4, 10), d, 1e-9);
    free(a);
    free(b);
}

static void too_few_or_not_finite(void **state)
{
    float a[] = {1, 2, 3, 4, 5, 6};
    (void)state;
    assert_true(isnan(distance(a, 1, a, 3, 2, 1)));
    a[3] = INFINITY;
    assert_true(isnan(distance(a, 3, a, 3, 2, 1)));
}

static void factors_and_singular_values(void **state)
{
    /* L = 2 0 0 / 1 3 0 / 0 0 0: the last direction has no variance */
    double s[] = {4, 0, 0, 2, 10, 0, 0, 0, 0};
    static const double l[] = {2, 0, 0, 1, 3, 0, 0, 0, 0};
    static const double singular[] = {5.547359059395085,  4.133762901273589,
                                      3.371999535109179,  2.204032280376878,
                                      1.4247185434194578, 0.9266895994094074};
    float *v = numbers(54, 3, 1, 0);
    double a[54], norm[9], dot;
    (void)state;
    cholesky(s, 3);
    assert_memory_equal(s, l, sizeof l);
    for (unsigned i = 0; i < 54; i++)
        a[i] = (double)v[i];
    orthogonal_rows(a, 9, 6, norm);
    for (unsigned i = 0; i < 9; i++) /* nine rows in six dimensions */
        near(norm[i], i < 6 ? singular[i] : 0, 1e-13);
    for (unsigned i = 0; i < 6; i++)
        for (unsigned k = i + 1; k < 6; k++) {
            dot = 0;
            for (unsigned j = 0; j < 6; j++)
                dot += a[i * 6 + j] * a[k * 6 + j];
            near(dot, 0, 1e-13);
        }
    free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closed_forms),
        cmocka_unit_test(orthogonal_directions),
        cmocka_unit_test(as_numpy_has_it),
        cmocka_unit_test(far_from_the_origin),
        cmocka_unit_test(too_few_or_not_finite),
        cmocka_unit_test(factors_and_singular_values),
    };
    return cmocka_run_group_tests_name("gauss", tests, NULL, NULL);
}
