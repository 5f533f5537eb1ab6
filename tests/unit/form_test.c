/*
 * Forms: the adjoint rule, views, text, and the order in which a read-out sums: to the bit
 * against loops written by hand.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/form.h"
#include "runtime/base/arena.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/form_fixture.h"

static const struct ext B = {0, 1};

/* <g, C^p(...)> = F(..., t_p = g), the definition of a read-out and all of differentiation.
 */
static void adjoint_rule(void **state)
{
    (void)state;
    uint32_t seed = 3;
    for (int round = 0; round < 500; round++) {
        const struct form f = fixture_form(&seed, round % 2 == 0);
        const int64_t batch = fixture_between(&seed, 1, 3);
        double *t[HYP_PORTS] = {0}, total = 0;
        int64_t i[HYP_AXES] = {0};
        if (form_validate(&f))
            continue;
        for (unsigned j = 0; j < f.nport; j++) {
            t[j] = malloc((size_t)fixture_size(&f.port[j], batch) * sizeof *t[j]);
            fixture_fill(&seed, t[j], fixture_size(&f.port[j], batch));
        }
        do { /* F itself, over the box */
            double product = 1;
            for (unsigned j = 0; j < f.nport; j++) {
                const int64_t at = fixture_at(&f, j, i, batch);
                product *= at < 0 ? 0 : t[j][at];
            }
            total += product;
        } while (fixture_step(&f, i, batch));
        for (unsigned p = 0; p < f.nport; p++) {
            const int64_t size = fixture_size(&f.port[p], batch);
            double *out = malloc((size_t)size * sizeof *out), inner = 0;
            form_eval(&f, p, batch, (const double *const *)t, out, round % 3 == 0);
            for (int64_t at = 0; at < size; at++)
                inner += out[at] * t[p][at];
            assert_true(inner == total);
            free(out);
        }
        for (unsigned j = 0; j < f.nport; j++)
            free(t[j]);
    }
}

/* ---- orders ---- */

enum { N = 53, O = 3, I = 37 };

struct matrices {
    double y[N * O], x[N * I], w[O * I], got[N * I];
};

static double random_float(uint32_t *seed)
{
    return (double)((float)fixture_between(seed, -1000000, 1000000) / 777777.0F);
}

static void fill(struct matrices *m, uint32_t seed)
{
    for (int i = 0; i < N * O; i++)
        m->y[i] = random_float(&seed);
    for (int i = 0; i < N * I; i++)
        m->x[i] = random_float(&seed);
    for (int i = 0; i < O * I; i++)
        m->w[i] = random_float(&seed);
}

static void is_float(double got, float want)
{
    const float x = (float)got;
    assert_true((double)x == got);
    assert_memory_equal(&x, &want, sizeof x);
}

static struct form linear(enum form_order order, uint16_t chunk)
{
    struct form f = form_matmul(B, ext_const(O), ext_const(I));
    f.order = (uint8_t)order;
    f.chunk = chunk;
    return f;
}

static void sequential_order(void **state)
{
    (void)state;
    struct matrices m;
    fill(&m, 1);
    const double *t[3] = {m.y, m.x, m.w};
    const struct form f = linear(ORDER_SEQ, 0);
    form_eval(&f, 0, N, t, m.got, true);
    for (int n = 0; n < N; n++) {
        for (int o = 0; o < O; o++) {
            float acc = 0;
            for (int i = 0; i < I; i++)
                acc = fmaf((float)m.x[n * I + i], (float)m.w[o * I + i], acc);
            is_float(m.got[n * O + o], acc);
        }
    }
}

static float halved(float p[16])
{
    for (int l = 0; l < 8; l++)
        p[l] += p[l + 8];
    for (int l = 0; l < 4; l++)
        p[l] += p[l + 4];
    p[0] += p[2];
    p[1] += p[3];
    return p[0] + p[1];
}

static void lane_order(void **state)
{
    (void)state;
    struct matrices m;
    fill(&m, 2);
    const double *t[3] = {m.y, m.x, m.w};
    const struct form f = linear(ORDER_LANES, 0);
    form_eval(&f, 0, N, t, m.got, true);
    for (int n = 0; n < N; n++) {
        for (int o = 0; o < O; o++) {
            float p[16] = {0};
            for (int i = 0; i < I; i++)
                p[i % 16] = fmaf((float)m.x[n * I + i], (float)m.w[o * I + i], p[i % 16]);
            is_float(m.got[n * O + o], halved(p));
        }
    }
}

static void chunk_order(void **state)
{
    (void)state;
    struct matrices m;
    fill(&m, 3);
    const double *t[3] = {m.y, m.x, m.w};
    const struct form f = linear(ORDER_CHUNK, 24); /* 53 = 24 + 24 + 5 */
    form_eval(&f, 2, N, t, m.got, true);
    for (int o = 0; o < O; o++) {
        for (int i = 0; i < I; i++) {
            float part[3] = {0};
            for (int n = 0; n < N; n++)
                part[n / 24] =
                    fmaf((float)m.y[n * O + o], (float)m.x[n * I + i], part[n / 24]);
            is_float(m.got[o * I + i], part[0] + part[1] + part[2]);
        }
    }
}

/* A sum of [53,3,37] over its first and last axis: two ports, plain adds. */
static void orders_of_a_sum(void **state)
{
    (void)state;
    const struct ext shape[] = {B, {O, 0}, {I, 0}};
    static double a[N * O * I];
    uint32_t seed = 4;
    double got[O];
    const double *t[2] = {a, NULL};
    for (int i = 0; i < N * O * I; i++)
        a[i] = random_float(&seed);
    struct form f = form_sum(shape, 3, 5);
    for (int order = ORDER_SEQ; order <= ORDER_CHUNK; order++) {
        f.order = (uint8_t)order;
        f.chunk = 7;
        form_eval(&f, 1, N, t, got, true);
        for (int o = 0; o < O; o++) {
            float seq = 0, total = 0, block = 0, p[16] = {0};
            for (int n = 0; n < N; n++) {
                for (int i = 0; i < I; i++) {
                    const float x = (float)a[(n * O + o) * I + i];
                    seq += x;
                    block += x;
                    p[(n * I + i) % 16] += x;
                }
                if (n % 7 == 6 || n == N - 1) {
                    total = n < 7 ? block : total + block;
                    block = 0;
                }
            }
            is_float(got[o], order == ORDER_SEQ     ? seq
                             : order == ORDER_LANES ? halved(p)
                                                    : total);
        }
    }
}

/* Padding is left out of the chain, and a chain starts at +0. */
static void order_of_a_convolution(void **state)
{
    (void)state;
    enum { H = 9, K = 3 };
    const int32_t in[3] = {2, H, 1}, out[3] = {1, 5, 1}, k[2] = {K, 1}, s[2] = {2, 1},
                  p[2] = {1, 0}, d[2] = {1, 1};
    const struct form f = form_conv(B, in, out, k, s, p, d, 1);
    uint32_t seed = 5;
    double x[2 * H], w[2 * K], y[5];
    const double *t[3] = {NULL, x, w};
    for (int i = 0; i < 2 * H; i++)
        x[i] = random_float(&seed);
    for (int i = 0; i < 2 * K; i++)
        w[i] = random_float(&seed);
    form_eval(&f, 0, 1, t, y, true);
    for (int o = 0; o < 5; o++) {
        float acc = 0;
        for (int c = 0; c < 2; c++)
            for (int u = 0; u < K; u++)
                if (2 * o + u - 1 >= 0 && 2 * o + u - 1 < H)
                    acc = fmaf((float)x[c * H + 2 * o + u - 1], (float)w[c * K + u], acc);
        is_float(y[o], acc);
    }
}

/* ---- views and common forms ---- */

static void is_view(const char *text, bool want)
{
    struct form f;
    unsigned p;
    assert_true(form_parse(text, &f, &p, NULL));
    if (form_is_view(&f, p) != want)
        fail_msg("%s: not %d", text, want);
    assert_int_equal(form_is_view(&f, 1 - p), want);
}

static void views(void **state)
{
    (void)state;
    is_view("{a:B,b:2,c:3} S[a,3b+c/6] += A[a,b,c]", true);
    is_view("{a:B,b:2,c:3} S[a,b+2c/6] += A[a,b,c]", false); /* transposed */
    is_view("{a:B,b:3} S[a,b] += A[a,b]", true);             /* the identity */
    is_view("{a:B,b:3} S[b,a] += A[a,b]", false);
    is_view("{a:B,b:1} S[b,a] += A[a,b]", true); /* an axis of extent 1 moves */
    is_view("{a:4,b:3} S[a,b,0/1] += A[a,b]", true);
    is_view("{a:4} S[a] += A[a/5]", false);    /* a slice */
    is_view("{a:4} S[a/5] += A[a/5]", false);  /* elements without a term */
    is_view("{a:4} S[-a+3/4] += A[a]", false); /* a flip */
    is_view("{a:4} S[-a+3/4] += A[-a+3/4]", true);
    is_view("{a:2,b:2} S[a+b/4] += A[a+b/4]", false); /* the same, but not one to one */
    is_view("{a:4,b:3} S[a] += A[a,b]", false);       /* a sum */
    is_view("{a:4} S[a+1/5] += A[a+1/5]", false);
    is_view("{a:4} S[a+1/4] += A[a+1/4]", false);
    is_view("{a:B,b:B} S[2a+b/3B-2] += A[a,b]", false); /* a view at B = 1 and 2 */
    is_view("{a:B,b:2} S[2a+b/2B] += A[a,b]", true);
    is_view("{a:2,b:B} S[a,b] += A[b,a]", false); /* equal sizes only at B = 2 */
}

static void reshape_is(const struct ext *from, uint8_t nfrom, const struct ext *to,
                       uint8_t nto, const char *want)
{
    bool ok;
    struct arena *a = arena_new();
    const struct form f = form_reshape(from, nfrom, to, nto, &ok);
    assert_int_equal(ok, want != NULL);
    if (ok) {
        assert_null(form_validate(&f));
        assert_true(form_is_view(&f, 0) && form_is_view(&f, 1));
        assert_string_equal(form_print(&f, 1, a), want);
    }
    arena_free(a);
}

static void reshapes(void **state)
{
    (void)state;
    const struct ext b3[] = {{0, 1}, {2, 0}, {6, 0}}, b2[] = {{0, 1}, {12, 0}},
                     b4[] = {{0, 1}, {4, 0}, {1, 0}, {3, 0}}, two[] = {{0, 2}, {2, 0}},
                     flat[] = {{0, 12}}, x[] = {{2, 0}, {3, 0}}, y[] = {{3, 0}, {2, 0}},
                     one[] = {{1, 0}}, bx[] = {{2, 0}, {0, 1}}, xb[] = {{0, 1}, {2, 0}},
                     four[] = {{0, 1}, {4, 0}};
    reshape_is(b3, 3, b2, 2, "{a:B,b:2,c:6} S[a,6b+c/12] += A[a,b,c]");
    reshape_is(b2, 2, b3, 3, "{a:B,b:2,c:6} S[a,b,c] += A[a,6b+c/12]");
    reshape_is(b3, 3, b4, 4, "{a:B,b:2,c:2,d:3} S[a,2b+c/4,0/1,d] += A[a,b,3c+d/6]");
    reshape_is(b2, 2, flat, 1, "{a:B,b:12} S[12a+b/12B] += A[a,b]");
    reshape_is(four, 2, two, 2, "{a:B,b:2,c:2} S[2a+b/2B,c] += A[a,2b+c/4]");
    reshape_is(x, 2, y, 2, NULL);
    reshape_is(x, 2, b2, 2, NULL);
    reshape_is(bx, 2, xb, 2, NULL);
    reshape_is(one, 1, one, 0, "{} S[] += A[0/1]");
}

static void common_forms(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    const struct ext shape[] = {B, {3, 0}, {5, 0}};
    const uint8_t perm[] = {2, 0, 1};
    struct form f = form_matmul(B, ext_const(4), ext_const(7));
    assert_string_equal(form_print(&f, 0, a), "{a:B,b:4,c:7} Y[a,b] += X[a,c] * W[b,c]");
    assert_string_equal(form_print(&f, 2, a), "{a:B,b:4,c:7} W[b,c] += Y[a,b] * X[a,c]");
    assert_int_equal(form_reduced(&f, 0), 4);
    assert_int_equal(form_reduced(&f, 2), 1);
    f = form_sum(shape, 3, 3);
    assert_string_equal(form_print(&f, 1, a), "{a:B,b:3,c:5} S[c] += A[a,b,c]");
    f = form_permute(shape, 3, perm);
    assert_string_equal(form_print(&f, 1, a), "{a:B,b:3,c:5} S[c,a,b] += A[a,b,c]");
    f = form_slice(shape, 3, 2, ext_const(1), ext_const(2));
    assert_string_equal(form_print(&f, 1, a), "{a:B,b:3,c:2} S[a,b,c] += A[a,b,c+1/5]");
    const int32_t in[3] = {4, 9, 8}, out[3] = {6, 4, 5}, k[2] = {3, 2}, s[2] = {2, 1},
                  p[2] = {0, 1}, d[2] = {1, 3};
    f = form_conv(B, in, out, k, s, p, d, 2);
    assert_string_equal(form_print(&f, 0, a),
                        "{a:B,b:2,c:3,d:4,e:5,f:2,g:3,h:2} Y[a,b,c,d,e] += "
                        "X[a,b,f,2d+g/9,e+3h-1/8] * W[b,c,f,g,h]");
    struct form contract, fold;
    assert_true(form_factor(&f, 1, &contract, &fold));
    assert_string_equal(form_print(&contract, 1, a),
                        "{a:B,b:2,c:3,d:4,e:5,f:2,g:3,h:2} X[a,b,f,g,h,d,e] += "
                        "Y[a,b,c,d,e] * W[b,c,f,g,h]");
    assert_string_equal(form_print(&fold, 1, a),
                        "{a:B,b:2,c:2,d:3,e:2,f:4,g:5} S[a,b,c,2f+d/9,g+3e-1/8] += "
                        "A[a,b,c,d,e,f,g]");
    assert_false(form_factor(&f, 0, &contract, &fold)); /* nothing overlaps */
    assert_false(form_factor(&fold, 1, &contract, &fold));
    arena_free(a);
}

/* ---- text and identity ---- */

static void text_round_trip(void **state)
{
    (void)state;
    uint32_t seed = 6;
    struct arena *a = arena_new();
    for (int round = 0; round < 2000; round++) {
        struct form f = fixture_form(&seed, round % 2 == 0), g;
        if (form_validate(&f))
            continue;
        f.order = (uint8_t)(round % 3);
        f.chunk = f.order == ORDER_CHUNK ? (uint16_t)(1 + round) : 0;
        const unsigned p = (unsigned)round % f.nport;
        unsigned q = 99;
        const char *text = form_print(&f, p, a), *end;
        if (!form_parse(text, &g, &q, &end) || !form_equal(&f, &g) || q != p || *end)
            fail_msg("%s does not come back", text);
        assert_true(form_hash(&f) == form_hash(&g));
        arena_reset(a);
    }
    arena_free(a);
}

static void text_of_mistakes(void **state)
{
    static const struct {
        const char *text;
        int where; /* -1: reads, but is no form */
    } row[] = {
        {"", 0},
        {"{b:3} A[b] += S[b]", 1},
        {"{a:3 A[a] += S[a]", 5},
        {"{a:3} Q[a] += S[a]", 6},
        {"{a:3} A[a] = S[a]", 11},
        {"{a:3} A[a] += A[a]", -1},
        {"{a:3} Y[a] += X[a]", 18},
        {"{a:3} A[2a] += S[a]", 10},
        {"{a:3} A[a+] += S[a]", 10},
        {"{a:3} A[a/] += S[a]", 10},
        {"{a:3} A[b/4] += S[a]", -1},
        {"{a:3} A[a+a/4] += S[a]", -1},
        {"{a:0} A[a] += S[a]", -1},
        {"{a:3} A[99999999999a/3] += S[a]", 18},
        {"{a:3} A[a] += S[a] chunk", 24},
        {"{a:3} A[a] += S[a] chunk 0", 26},
        {"{a:3} A[a,a,a,a,a,a,a,a,a,a] += S[a]", 26},
    };
    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct form f;
        unsigned p;
        const char *end;
        assert_false(form_parse(row[i].text, &f, &p, &end));
        if (row[i].where >= 0 && end - row[i].text != row[i].where)
            fail_msg("%s: stopped at %d", row[i].text, (int)(end - row[i].text));
    }
}

static void text_may_go_on(void **state)
{
    (void)state;
    struct form f;
    unsigned p;
    const char *end;
    assert_true(form_parse("{ a : 2B + 1 } S[ ] += A[ a ] lanes ; more", &f, &p, &end));
    assert_string_equal(end, " ; more");
    assert_int_equal(f.order, ORDER_LANES);
    assert_true(ext_eq(f.axis[0], (struct ext){1, 2}));
    assert_int_equal(p, 1);
}

static void every_field_counts(void **state)
{
    static const char *const text[] = {
        "{a:3,b:2} A[a,b] += S[a]",         "{a:3,b:2} A[a,b] += S[b]",
        "{a:4,b:2} A[a,b] += S[a]",         "{a:3,b:2} A[a,b/3] += S[a]",
        "{a:3,b:2} A[a,b/2B] += S[a]",      "{a:3,b:2} A[a,b+1/2] += S[a]",
        "{a:3,b:2} A[a,2b/2] += S[a]",      "{a:3,b:2} A[a,b+B/2] += S[a]",
        "{a:3,b:2} A[a,b] += S[a] lanes",   "{a:3,b:2} A[a,b] += S[a] chunk 2",
        "{a:3,b:2} A[a,b] += S[a] chunk 3", "{a:3,b:2} A[a,b] += S[a,0/1]",
        "{a:3,b:3} A[a,b] += S[a]",         "{a:3,b:3} A[a,b] += S[b]",
        "{a:3,b:2,c:1} A[a,b] += S[a]",     "{a:3,b:2} Y[a,b] += X[a] * W[]",
    };
    enum { COUNT = sizeof text / sizeof text[0] };
    (void)state;
    struct form f[COUNT];
    for (int i = 0; i < COUNT; i++) {
        unsigned p;
        assert_true(form_parse(text[i], &f[i], &p, NULL));
        for (int j = 0; j <= i; j++) {
            assert_int_equal(form_equal(&f[i], &f[j]), i == j);
            assert_int_equal(form_hash(&f[i]) == form_hash(&f[j]), i == j);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adjoint_rule),
        cmocka_unit_test(sequential_order),
        cmocka_unit_test(lane_order),
        cmocka_unit_test(chunk_order),
        cmocka_unit_test(orders_of_a_sum),
        cmocka_unit_test(order_of_a_convolution),
        cmocka_unit_test(views),
        cmocka_unit_test(reshapes),
        cmocka_unit_test(common_forms),
        cmocka_unit_test(text_round_trip),
        cmocka_unit_test(text_of_mistakes),
        cmocka_unit_test(text_may_go_on),
        cmocka_unit_test(every_field_counts),
    };
    return cmocka_run_group_tests_name("form", tests, NULL, NULL);
}
