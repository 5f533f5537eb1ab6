/*
 * Adjoints of every row of sx_prim.def and elementwise.def, first and second order, against
 * central differences in double; a new row is tested the moment it exists.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ops/sx.h"
#include "runtime/base/arena.h"

enum { SAMPLES = 64, G = 3, Y = 4, NARG = 5, H = 5 /* cotangent of the second sweep */ };

static double sample(uint32_t *seed, double lo, double hi)
{
    *seed = *seed * 1664525U + 1013904223U;
    return lo + (hi - lo) * (double)(*seed >> 8) * 0x1p-24;
}

static double value(const struct sxb *b, sx_id root, const double *arg)
{
    const struct sx_env env = {.arg = arg};
    return sx_eval_f64(b, root, &env);
}

/* Richardson's central difference in argument i. */
static double slope(const struct sxb *b, sx_id root, const double *arg, unsigned i)
{
    double x[H + 1], d[2];

    memcpy(x, arg, sizeof x);
    for (int k = 0; k < 2; k++) {
        const double h = k ? 5e-5 : 1e-4;
        x[i] = arg[i] + h;
        d[k] = value(b, root, x);
        x[i] = arg[i] - h;
        d[k] = (d[k] - value(b, root, x)) / (2 * h);
    }
    return (4 * d[1] - d[0]) / 3;
}

static void compare(const struct sxb *b, sx_id root, sx_id d, const double *arg, unsigned i,
                    const char *what)
{
    const double want = slope(b, root, arg, i);
    const double got = d ? value(b, d, arg) : 0;

    if (!(fabs(got - want) <= 2e-7 * (1 + fabs(want))))
        fail_msg("%s: d/d%u at (%g, %g, %g) is %.9g, want %.9g", what, i, arg[0], arg[1],
                 arg[2], got, want);
}

struct row {
    sx_id f, adj[NARG];
};

/* f(x0, x1, x2) and its adjoints for the cotangent in operand G. */
static struct row make_row(struct sxb *b, enum sx_op op, bool with_y)
{
    const struct sx_info *info = sx_op_info(op);
    struct row r = {0};
    sx_id in[3] = {0};

    for (unsigned i = 0; i < info->arity; i++)
        in[i] = sx_arg(b, i, SX_FLOAT);
    if (op == SX_SEL)
        in[0] = sx_make(b, SX_LT, in[1], in[2], 0);
    r.f = sx_make(b, op, in[0], in[1], in[2]);
    sx_vjp(b, r.f, sx_arg(b, G, SX_FLOAT), with_y ? sx_arg(b, Y, SX_FLOAT) : 0, r.adj, 3);
    return r;
}

static void draw(const struct sx_info *info, uint32_t *seed, double *x)
{
    const double lo = info->is_function ? info->test_lo : 0.3;
    const double hi = info->is_function ? info->test_hi : 3.0;

    for (unsigned i = 0; i <= H; i++)
        x[i] = sample(seed, lo, hi);
    x[G] = sample(seed, -2, 2);
    x[H] = sample(seed, -2, 2);
}

static bool differentiable(const struct sx_info *info)
{
    if (info->is_function && info->test_lo == info->test_hi)
        return false; /* a row that says it is not its own derivative */
    for (unsigned i = 0; i < info->arity; i++) {
        if (info->in[i] == SX_FLOAT || info->in[i] == SX_ANY_TYPE)
            return info->type == SX_FLOAT || info->type == SX_ANY_TYPE;
    }
    return false;
}

/* Steps: differences across a jump mean nothing.  False near one. */
static bool away_from_jumps(enum sx_op op, const double *x)
{
    double q = x[0];

    if (op == SX_FN_round)
        q = x[0] + 0.5;
    else if (op == SX_FN_mod)
        q = x[0] / x[1];
    else if (op != SX_FLOOR)
        return true;
    return fabs(q - rint(q)) > 1e-3;
}

static void adjoint_is_derivative(void **state)
{
    const enum sx_op op = *(const enum sx_op *)*state;
    const struct sx_info *info = sx_op_info(op);
    struct arena *a = arena_new();
    struct sxb b;
    struct row r, ry;
    uint32_t seed = (uint32_t)op;
    double x[H + 1];

    sx_init(&b, a);
    r = make_row(&b, op, false);
    ry = make_row(&b, op, true);
    for (unsigned s = 0; s < SAMPLES; s++) {
        draw(info, &seed, x);
        if (!away_from_jumps(op, x))
            continue;
        x[Y] = value(&b, r.f, x);
        for (unsigned i = 0; i < info->arity; i++) {
            const double g = x[G];
            const double got = r.adj[i] ? value(&b, r.adj[i], x) : 0;
            const double by_y = ry.adj[i] ? value(&b, ry.adj[i], x) : 0;
            x[G] = 1;
            compare(&b, r.f, r.adj[i], x, i, info->name);
            x[G] = g;
            /* Linear in the cotangent, and the same from the result's value. */
            {
                const double want = g * slope(&b, r.f, x, i);
                assert_true(fabs(got - want) <= 4e-7 * (1 + fabs(want)));
            }
            assert_true(fabs(got - by_y) <= 1e-12 * (1 + fabs(got)));
        }
    }
    arena_free(a);
}

/* The adjoint's adjoint, in every operand and in the cotangent. */
static void second_order_too(void **state)
{
    const enum sx_op op = *(const enum sx_op *)*state;
    const struct sx_info *info = sx_op_info(op);
    struct arena *a = arena_new();
    struct sxb b;
    struct row r;
    uint32_t seed = 1000 + (uint32_t)op;
    double x[H + 1];

    sx_init(&b, a);
    r = make_row(&b, op, false);
    for (unsigned i = 0; i < info->arity; i++) {
        sx_id d[4] = {0};
        if (!r.adj[i])
            continue;
        sx_vjp(&b, r.adj[i], sx_arg(&b, H, SX_FLOAT), 0, d, 4);
        for (unsigned s = 0; s < SAMPLES; s++) {
            draw(info, &seed, x);
            x[H] = 1;
            for (unsigned j = 0; j < 4 && away_from_jumps(op, x); j++)
                compare(&b, r.adj[i], d[j], x, j, info->name);
        }
    }
    arena_free(a);
}

/* Results, not pre-activations: these adjoints read Y only. */
static void adjoints_prefer_results(void **state)
{
    static const enum sx_op ops[] = {SX_SQRT,       SX_FN_exp,      SX_FN_expm1, SX_FN_tanh,
                                     SX_FN_sigmoid, SX_FN_softplus, SX_FN_relu,  SX_FN_elu,
                                     SX_FN_selu,    SX_FN_rsqrt};
    struct arena *a = arena_new();
    struct sxb b;
    sx_id x, y, d[5] = {0};

    (void)state;
    sx_init(&b, a);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        const struct row r = make_row(&b, ops[i], true);
        assert_false(sx_uses_arg(&b, r.adj[0], 0));
        assert_true(sx_uses_arg(&b, r.adj[0], Y));
    }
    x = sx_arg(&b, 0, SX_FLOAT);
    y = sx_arg(&b, Y, SX_FLOAT);
    sx_vjp(&b, sx_make(&b, SX_FN_leaky_relu, x, sx_const(&b, 0.2), 0),
           sx_arg(&b, G, SX_FLOAT), y, d, 1);
    assert_false(sx_uses_arg(&b, d[0], 0));
    d[0] = 0;
    sx_vjp(&b, sx_make(&b, SX_FN_leaky_relu, x, sx_const(&b, -0.2), 0),
           sx_arg(&b, G, SX_FLOAT), y, d, 1);
    assert_true(sx_uses_arg(&b, d[0], 0)); /* a negative slope hides the sign */
    arena_free(a);
}

struct edge {
    const char *text; /* in %0, %1, %2; cotangent 1 */
    double x[3], d[3];
};

/* What the language promises at kinks and ties. */
static void edges_are_as_promised(void **state)
{
    static const struct edge edges[] = {
        {"relu(%0)", {0}, {0}},
        {"abs(%0)", {0}, {0}},
        {"clip(%0, %1, %2)", {-1, -1, 1}, {1, 0, 0}},
        {"clip(%0, %1, %2)", {1, -1, 1}, {1, 0, 0}},
        {"clip(%0, %1, %2)", {2, -1, 1}, {0, 0, 1}},
        {"clip(%0, %1, %2)", {-2, -1, 1}, {0, 1, 0}},
        {"hard_sigmoid(%0)", {0}, {1}},
        {"hard_sigmoid(%0)", {1}, {1}},
        {"maximum(%0, %1)", {2, 2}, {0, 1}},
        {"minimum(%0, %1)", {2, 2}, {0, 1}},
        {"max(%0, %1)", {2, 2}, {0, 1}},
        {"pow(%0, %1)", {0, 2.5}, {0, 0}},
        {"pow(%0, %1)", {0, 1}, {1, 0}},
        {"mul(%0, %0)", {3}, {6}},
        {"add(i2f(f2i(%0)), %0)", {3}, {1}},
    };
    struct arena *a = arena_new();
    struct sxb b;

    (void)state;
    sx_init(&b, a);
    for (size_t k = 0; k < sizeof edges / sizeof *edges; k++) {
        sx_id d[3] = {0};
        sx_vjp(&b, sx_parse(&b, edges[k].text, NULL), sx_const(&b, 1), 0, d, 3);
        for (int i = 0; i < 3; i++) {
            const double got = d[i] ? value(&b, d[i], edges[k].x) : 0;
            if (got != edges[k].d[i])
                fail_msg("%s, operand %d: %g, want %g", edges[k].text, i, got,
                         edges[k].d[i]);
        }
    }
    arena_free(a);
}

/* Linear size: a chain of n squares has an adjoint of O(n) nodes. */
static void sweep_is_linear(void **state)
{
    struct arena *a = arena_new();
    struct sxb b;
    sx_id x, d[1] = {0};

    (void)state;
    sx_init(&b, a);
    x = sx_arg(&b, 0, SX_FLOAT);
    for (int i = 0; i < 2000; i++)
        x = sx_make(&b, SX_FN_tanh, sx_make(&b, SX_MUL, x, x, 0), 0, 0);
    sx_vjp(&b, x, sx_const(&b, 1), 0, d, 1);
    assert_true(sx_size(&b, d[0]) < 2000 * 12);
    arena_free(a);
}

static const enum sx_op all_ops[] = {
#define SX_PRIM(NAME, ...) SX_##NAME,
#include "ops/sx_prim.def"
#undef SX_PRIM
#define OP_EW(name, ...) SX_FN_##name,
#include "ops/elementwise.def"
#undef OP_EW
};

int main(void)
{
    enum { OPS = sizeof all_ops / sizeof *all_ops };
    static struct CMUnitTest tests[2 * OPS + 3];
    size_t n = 0;

    tests[n++] = (struct CMUnitTest)cmocka_unit_test(adjoints_prefer_results);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(edges_are_as_promised);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(sweep_is_linear);
    for (size_t i = 0; i < OPS; i++) {
        const struct sx_info *info = sx_op_info(all_ops[i]);
        if (!differentiable(info) || all_ops[i] == SX_FROM_BITS)
            continue;
        tests[n++] = (struct CMUnitTest){info->name, adjoint_is_derivative, NULL, NULL,
                                         (void *)(uintptr_t)&all_ops[i]};
        tests[n++] = (struct CMUnitTest){info->name, second_order_too, NULL, NULL,
                                         (void *)(uintptr_t)&all_ops[i]};
    }
    return _cmocka_run_group_tests("sx adjoints", tests, n, NULL, NULL);
}
