/* The store, folding, text, contraction and programs of scalar expressions. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ops/sx.h"
#include "ops/sx_lane.h"
#include "runtime/base/arena.h"
#include "runtime/base/philox.h"

struct fixture {
    struct arena *a;
    struct sxb b;
    sx_id x, y, z;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->a = arena_new();
    sx_init(&f->b, f->a);
    f->x = sx_arg(&f->b, 0, SX_FLOAT);
    f->y = sx_arg(&f->b, 1, SX_FLOAT);
    f->z = sx_arg(&f->b, 2, SX_FLOAT);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    arena_free(f->a);
    free(f);
    return 0;
}

static sx_id parse(struct fixture *f, const char *text)
{
    const char *end;
    const sx_id id = sx_parse(&f->b, text, &end);

    if (!id || *end)
        fail_msg("'%s' does not parse, stopped at '%s'", text, end);
    return id;
}

static double f32(struct fixture *f, const char *text, const double *arg)
{
    const struct sx_env env = {.arg = arg};
    return sx_eval_f32(&f->b, parse(f, text), &env);
}

static void equal_nodes_are_one(void **state)
{
    struct fixture *f = *state;
    struct sxb *b = &f->b;
    const sx_id p = sx_make(b, SX_MUL, f->x, f->y, 0);
    struct sxb c;

    assert_int_equal(p, sx_make(b, SX_MUL, f->y, f->x, 0));
    assert_int_not_equal(sx_make(b, SX_SUB, f->x, f->y, 0),
                         sx_make(b, SX_SUB, f->y, f->x, 0));
    assert_int_equal(sx_const(b, 0.5), sx_const(b, 0.5));
    assert_int_not_equal(sx_const(b, 0.0), sx_const(b, -0.0));
    assert_int_not_equal(sx_const(b, 1), sx_int(b, 1));
    for (int i = 0; i < 5000; i++)
        assert_int_equal(sx_const(b, i), sx_const(b, i));
    /* Another store, another order of making: the same structure and text. */
    sx_init(&c, f->a);
    {
        const sx_id y = sx_arg(&c, 1, SX_FLOAT), x = sx_arg(&c, 0, SX_FLOAT);
        const sx_id q = sx_make(&c, SX_MUL, y, x, 0);
        const struct sx_hash hp = sx_hash(b, p), hq = sx_hash(&c, q);
        assert_memory_equal(&hp, &hq, sizeof hp);
        assert_string_equal(sx_print(b, p, f->a, NULL, NULL),
                            sx_print(&c, q, f->a, NULL, NULL));
    }
}

struct fold_case {
    const char *text, *want;
};

static const struct fold_case folds[] = {
    {"mul(%0, 1)", "%0"},
    {"mul(%0, -1)", "neg(%0)"},
    {"add(%0, -0)", "%0"},
    {"add(%0, 0)", "add(%0, 0)"},
    {"sub(%0, 0)", "%0"},
    {"mul(%0, 0)", "mul(%0, 0)"},
    {"div(%0, 1)", "%0"},
    {"add(%0, neg(%1))", "sub(%0, %1)"},
    {"neg(neg(%0))", "%0"},
    {"abs(neg(%0))", "abs(%0)"},
    {"sel(true, %0, %1)", "%0"},
    {"sel(false, %0, %1)", "%1"},
    {"sel(%2:b, %0, %0)", "%0"},
    {"sel(not(%2:b), %0, %1)", "sel(%2:b, %1, %0)"},
    {"and(%2:b, true)", "%2:b"},
    {"or(%2:b, true)", "true"},
    {"not(not(%2:b))", "%2:b"},
    {"add(0.1, 0.2)", "0.30000000000000004"},
    {"exp(1)", "2.7182818284590451"},
    {"iadd(2i, 3i)", "5i"},
    {"idiv(-7i, 2i)", "-3i"},
    {"irem(-7i, 2i)", "-1i"},
    {"idiv(7i, 0i)", "0i"},
    {"mulhi(4294967295u, 4294967295u)", "4294967294u"},
    {"shr(-8i, 1i)", "-4i"},
    {"shr(4294967288u, 1u)", "2147483644u"},
    {"iadd(%3:i, 0i)", "%3:i"},
    {"imul(%3:i, 0i)", "0i"},
    {"f2i(floor(-2.5))", "-3i"},
    {"f2i(nan)", "0i"},
    {"f2i(inf)", "2147483647i"},
    {"lt(1i, 2i)", "true"},
    {"eq(nan, nan)", "false"},
    {"irem(7u, 4u)", "3u"},
    {"irem(7u, 0u)", "7u"},
    {"irem(7i, 0i)", "7i"},
    {"idiv(4294967290u, 3u)", "1431655763u"},
    {"isub(1u, 2u)", "4294967295u"},
    {"imul(65537u, 65537u)", "131073u"},
    {"shl(1i, 31i)", "-2147483648i"},
    {"shl(1u, 33u)", "2u"},
    {"iand(12u, 10u)", "8u"},
    {"ior(12u, 10u)", "14u"},
    {"ixor(12u, 10u)", "6u"},
    {"i2u(-1i)", "4294967295u"},
    {"u2i(4294967295u)", "-1i"},
    {"i2f(-3i)", "-3"},
    {"u2f(4294967295u)", "4294967295"},
    {"min(1, 2)", "1"},
    {"max(1, 2)", "2"},
    {"abs(-2)", "2"},
    {"sqrt(2)", "1.4142135623730951"},
    {"floor(-0.5)", "-1"},
    {"le(2u, 2u)", "true"},
    {"lt(-1i, 0i)", "true"},
    {"lt(4294967295u, 0u)", "false"},
    {"eq(true, false)", "false"},
    {"and(true, false)", "false"},
    {"or(true, false)", "true"},
    {"fma(1, 2, 3)", "fma(1, 2, 3)"},
    {"add(%3:i, %0)", "add(%0, i2f(%3:i))"},
    {"mul(%2:b, %0)", "mul(%0, sel(%2:b, 1, 0))"},
};

static void folding_keeps_ieee(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof folds / sizeof *folds; i++) {
        const sx_id got = parse(f, folds[i].text), want = parse(f, folds[i].want);
        if (got != want)
            fail_msg("%s became %s", folds[i].text, sx_print(&f->b, got, f->a, NULL, NULL));
    }
    assert_int_equal(sx_make(&f->b, SX_IADD, f->x, f->y, 0), 0);
    assert_int_equal(sx_make(&f->b, SX_ADD, f->x, 0, 0), 0);
    assert_int_equal(sx_make(&f->b, SX_AND, f->x, f->y, 0), 0);
}

static void text_round_trips(void **state)
{
    static const char *const texts[] = {
        "fma(%0, 0.5, sel(lt(%1, 0), 1e-30, inf))",
        "add(#1=exp(%0), div(#1, neg(#1)))",
        "normal(rng(7, iand(#1=iadd(@0, imul(@1, 3i)), -2i)), rng(7, ior(#1, 1i)), #1)",
        "sel(and(%4:b, le(%1:i, 4i)), u2f(%2:u), $3)",
        "i2f(iadd($1:i, -5i))",
        "nan",
    };
    static const char *const bad[] = {
        "",       "%",       "%x",      "exp",         "exp(",       "exp()",
        "exp(%0", "exp(%0,", "foo(%0)", "#1",          "#1=exp(#1)", "#2=exp(%0)",
        "1.5i",   "-1u",     "rng(1)",  "and(%0, %1)", "add(%0 %1)"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const sx_id id = parse(f, texts[i]);
        const char *text = sx_print(&f->b, id, f->a, NULL, NULL);
        if (parse(f, text) != id)
            fail_msg("%s printed as %s", texts[i], text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (sx_parse(&f->b, bad[i], NULL))
            fail_msg("'%s' parses", bad[i]);
    }
    { /* expanded polynomials are shared graphs: their text must not explode */
        const sx_id id = sx_expand(&f->b, parse(f, "sin(softplus(%0))"));
        const char *text = sx_print(&f->b, id, f->a, NULL, NULL);
        assert_true(strlen(text) < 10000);
        assert_int_equal(parse(f, text), id);
    }
}

static void products_are_contracted_once(void **state)
{
    static const struct fold_case cases[] = {
        {"add(mul(%0, %1), %2)", "fma(%0, %1, %2)"},
        {"sub(mul(%0, %1), %2)", "fma(%0, %1, neg(%2))"},
        {"sub(%2, mul(%0, 3))", "fma(%0, -3, %2)"},
        {"mul(%0, add(%1, %2))", "mul(%0, add(%1, %2))"},
        {"exp(add(mul(%0, %1), 1))", "exp(fma(%0, %1, 1))"},
        {"sub(mul(%0, %1), 2)", "fma(%0, %1, -2)"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sx_id got = sx_contract(&f->b, parse(f, cases[i].text));
        if (got != parse(f, cases[i].want))
            fail_msg("%s became %s", cases[i].text, sx_print(&f->b, got, f->a, NULL, NULL));
        assert_int_equal(sx_contract(&f->b, got), got);
    }
    { /* of two products one goes in, the same whatever the order of writing */
        const sx_id p = sx_contract(&f->b, parse(f, "add(mul(%0, %1), mul(%2, %3))"));
        const sx_id q = sx_contract(&f->b, parse(f, "add(mul(%3, %2), mul(%1, %0))"));
        assert_int_equal(p, q);
        assert_int_equal(f->b.node[p].op, SX_FMA);
    }
}

static void primitives_round_to_f32(void **state)
{
    struct fixture *f = *state;
    const double x[] = {1 + 0x1p-23, 1 + 0x1p-22, -1, 0.1F};
    const float a = 1 + 0x1p-23F, b = 1 + 0x1p-22F, c = 0.1F;

    assert_true(f32(f, "mul(%0, %1)", x) == (double)(a * b));
    assert_true(f32(f, "fma(%0, %1, %2)", x) == (double)fmaf(a, b, -1));
    assert_true(f32(f, "div(%0, %3)", x) == (double)(a / c));
    assert_true(f32(f, "sqrt(%3)", x) == (double)sqrtf(c));
    assert_true(f32(f, "0.1", x) == (double)0.1F);
    assert_true(f32(f, "bits(%3)", x) == 0x3dcccccd);
    assert_true(f32(f, "from_bits(1036831949u)", x) == (double)0.1F);
    assert_true(f32(f, "max(%0, %2)", x) == (double)a);
    {
        const double nan_first[] = {(double)NAN, 1, 0.0, -0.0};
        assert_true(f32(f, "max(%0, %1)", nan_first) == 1); /* sel(nan > 1, nan, 1) */
        assert_true(isnan(f32(f, "max(%1, %0)", nan_first)));
        assert_true(isnan(f32(f, "relu(%0)", nan_first)));
        assert_true(signbit(f32(f, "max(%2, %3)", nan_first)) != 0);
        assert_true(f32(f, "lt(%0, %1)", nan_first) == 0);
    }
}

static void powers_multiply(void **state)
{
    struct fixture *f = *state;
    struct sxb *b = &f->b;

    assert_int_equal(sx_powi(b, f->x, 0), sx_const(b, 1));
    assert_int_equal(sx_powi(b, f->x, 1), f->x);
    assert_int_equal(sx_powi(b, f->x, 2), parse(f, "mul(%0, %0)"));
    assert_int_equal(sx_powi(b, f->x, 3), parse(f, "mul(%0, mul(%0, %0))"));
    assert_int_equal(sx_powi(b, f->x, -1), parse(f, "div(1, %0)"));
    for (int n = -9; n <= 9; n++) {
        const double x[] = {-1.5};
        const struct sx_env env = {.arg = x};
        const double got = sx_eval_f64(b, sx_powi(b, f->x, n), &env);
        assert_true(fabs(got - pow(-1.5, n)) <= 1e-15 * fabs(got));
    }
}

static void substitution_and_queries(void **state)
{
    struct fixture *f = *state;
    const sx_id e = parse(f, "add(exp(%0), mul(%2, rng(3, @0)))");
    const sx_id with[] = {0, 0, parse(f, "sin(%1)")};
    const sx_id got = sx_substitute(&f->b, e, with, 3);
    struct sxb c;

    assert_int_equal(got, parse(f, "add(exp(%0), mul(sin(%1), rng(3, @0)))"));
    assert_int_equal(sx_args(&f->b, e), 3);
    assert_int_equal(sx_args(&f->b, parse(f, "3")), 0);
    assert_true(sx_uses_arg(&f->b, e, 2));
    assert_false(sx_uses_arg(&f->b, e, 1));
    assert_true(sx_uses_rng(&f->b, e));
    assert_int_equal(sx_size(&f->b, parse(f, "mul(exp(%0), exp(%0))")), 3);
    assert_int_equal(sx_cost(&f->b, parse(f, "relu(%0)")), 1);
    sx_init(&c, f->a);
    {
        const struct sx_hash h = sx_hash(&f->b, e);
        const struct sx_hash g = sx_hash(&c, sx_import(&c, &f->b, e, NULL, 0));
        assert_memory_equal(&h, &g, sizeof h);
    }
}

/* Of operands 0 and 1 as 0, and 2 as anything: not where a sign or a NaN could differ. */
static void zero_where_operands_are(void **state)
{
    static const bool zero[] = {true, true, false};
    static const char *const yes[] = {"%0",
                                      "mul(%0, %1)",
                                      "tanh(%0)",
                                      "relu(add(%0, mul(%1, 3)))",
                                      "max(%0, -1)",
                                      "sel(lt(%2, 0), %0, mul(%1, 2))",
                                      "sel(lt(%0, 1), %1, %2)",
                                      "sub(cos(%0), 1)",
                                      "sel(lt(uniform01(rng(3, @0)), 0.5), %0, 0)",
                                      "0"};
    static const char *const no[] = {"%2",
                                     "cos(%0)",
                                     "add(%0, 1)",
                                     "mul(%0, %2)",
                                     "mul(%0, $0)",
                                     "neg(%0)",
                                     "mul(%0, -0.5)",
                                     "add(%0, %2)",
                                     "sel(lt(%2, 0), %0, neg(%0))",
                                     "div(%0, %1)",
                                     "sel(lt(%2, 0), %0, 1)",
                                     "normal(rng(3, @0), rng(3, @0), @0)"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (!sx_is_zero_where(&f->b, parse(f, yes[i]), zero))
            fail_msg("%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (sx_is_zero_where(&f->b, parse(f, no[i]), zero))
            fail_msg("%s", no[i]);
}

/* ---- random laws ---- */

static uint32_t word(void *cx, uint32_t site, int32_t e)
{
    return hyp_random_word(*(const uint64_t *)cx, site, 0, 0, (uint32_t)e);
}

static uint32_t block_word(void *cx, uint32_t site, int32_t e, uint32_t lane)
{
    (void)lane;
    return word(cx, site, e);
}

static void words_become_numbers(void **state)
{
    struct fixture *f = *state;
    const double w[] = {4294967295.0, 0, 511, 2147483648.0};

    assert_true(f32(f, "uniform01(%0:u)", w) == 1 - 0x1p-24);
    assert_true(f32(f, "uniform01(%1:u)", w) == 0);
    assert_true(f32(f, "uniform01(%2:u)", w) == 0x1p-24);
    assert_true(f32(f, "open01(%0:u)", w) == 1 - 0x1p-24);
    assert_true(f32(f, "open01(%1:u)", w) == 0x1p-24);
    assert_true(f32(f, "laplace(%1:u)", w) == (double)logf(0x1p-23F));
    assert_true(f32(f, "normal(%1:u, %0:u, 0i)", w) == 0);
    /* u = 1 - 2^-24: radius sqrt(48 log 2); angles 0, a quarter and a half turn. */
    assert_true(fabs(f32(f, "normal(%0:u, %1:u, 4i)", w) - 5.7681084) < 1e-6);
    assert_true(f32(f, "normal(%0:u, %1:u, 5i)", w) == 0);
    assert_true(fabs(f32(f, "normal(%0:u, %3:u, 4i)", w) + 5.7681084) < 1e-6);
    assert_true(fabs(f32(f, "normal(%0:u, 1073741824u, 5i)", w) - 5.7681084) < 1e-6);
}

struct law_case {
    sx_id (*make)(struct sxb *, uint32_t, sx_id);
    double mean, var;
};

/* Moments of each law, and f32 against the double meaning of the same words. */
static void laws_have_their_moments(void **state)
{
    static const struct law_case laws[] = {
        {sx_uniform, 0.5, 1.0 / 12},
        {sx_normal, 0, 1},
        {sx_exponential, 1, 1},
        {sx_laplace, 0, 2},
        {sx_gumbel, 0.5772156649, 1.6449340668},
    };
    enum { N = 1 << 17 };
    struct fixture *f = *state;
    uint64_t seed = 12345;
    const int32_t step[] = {1};

    for (size_t l = 0; l < sizeof laws / sizeof *laws; l++) {
        const sx_id root = laws[l].make(&f->b, 9, sx_axis(&f->b, 0));
        struct sx_prog *p = sx_compile(f->a, &f->b, &root, 1, false);
        struct sx_prog *q = sx_compile(f->a, &f->b, &root, 1, true);
        void *sp = malloc(sx_prog_scratch(p)), *sq = malloc(sx_prog_scratch(q));
        double sum = 0, sum2 = 0;

        sx_prog_prepare(p, sp);
        sx_prog_prepare(q, sq);
        for (int64_t i = 0; i < N; i += SX_BLOCK) {
            const struct sx_block env = {
                .axis = &i, .axis_step = step, .rng = block_word, .cx = &seed};
            float y[SX_BLOCK];
            double z[SX_BLOCK];
            void *oy[] = {y}, *oz[] = {z};
            sx_prog_run_block(p, &env, SX_BLOCK, sp, oy);
            sx_prog_run_block(q, &env, SX_BLOCK, sq, oz);
            for (int k = 0; k < SX_BLOCK; k++) {
                sum += z[k];
                sum2 += z[k] * z[k];
                if (!(fabs((double)y[k] - z[k]) <= 4e-7 * (1 + fabs(z[k]))))
                    fail_msg("law %zu element %d: %g, double %g", l, (int)i + k,
                             (double)y[k], z[k]);
            }
        }
        sum /= N;
        sum2 = sum2 / N - sum * sum;
        if (fabs(sum - laws[l].mean) > 5 * sqrt(laws[l].var / N) ||
            fabs(sum2 / laws[l].var - 1) > 0.03)
            fail_msg("law %zu: mean %g, variance %g", l, sum, sum2);
        free(sp);
        free(sq);
    }
}

static void whole_numbers_and_coins(void **state)
{
    struct fixture *f = *state;
    struct sxb *b = &f->b;
    uint64_t seed = 7;
    const sx_id e = sx_axis(b, 0);
    const sx_id die = sx_uniform_int(b, 2, e, sx_int(b, -1), sx_int(b, 4));
    const sx_id coin = sx_bernoulli(b, 3, e, sx_const(b, 0.3));
    const sx_id roots[] = {die, coin};
    struct sx_prog *p = sx_compile(f->a, b, roots, 2, false);
    double *reg = calloc(sx_prog_regs(p), sizeof *reg);
    int count[6] = {0}, heads = 0;

    assert_int_equal(b->node[die].type, SX_I32);
    assert_int_equal(b->node[coin].type, SX_BOOL);
    for (int64_t i = 0; i < 60000; i++) {
        const struct sx_env env = {.axis = &i, .rng = word, .cx = &seed};
        double out[2];
        sx_prog_run(p, &env, reg, out);
        assert_true(out[0] >= -1 && out[0] <= 4);
        count[(int)out[0] + 1]++;
        heads += out[1] != 0;
    }
    for (int k = 0; k < 6; k++)
        assert_true(abs(count[k] - 10000) < 500);
    assert_true(abs(heads - 18000) < 600);
    free(reg);
}

/* ---- programs ---- */

static double random_float(uint32_t *seed, bool wild)
{
    uint32_t w;
    float x;

    *seed = *seed * 1664525U + 1013904223U;
    w = *seed ^ *seed >> 15;
    if (!wild)
        return (double)(float)((double)w * 0x1p-29 - 4);
    memcpy(&x, &w, sizeof x);
    return isnan(x) ? (double)NAN : (double)x; /* words of NaNs are nobody's promise */
}

static bool same(double x, double y)
{
    return (isnan(x) && isnan(y)) || (x == y && signbit(x) == signbit(y));
}

/* The op on operands 0..2, bit casts and a comparison standing in for words and bools. */
static sx_id call_on_floats(struct sxb *b, enum sx_op op)
{
    const struct sx_info *info = sx_op_info(op);
    sx_id in[3] = {0}, root;

    for (unsigned i = 0; i < info->arity; i++) {
        in[i] = sx_arg(b, i, SX_FLOAT);
        if (info->in[i] == SX_BOOL)
            in[i] = sx_make(b, SX_LT, in[i], sx_arg(b, 2 - i, SX_FLOAT), 0);
        else if (info->in[i] != SX_FLOAT && info->in[i] != SX_ANY_TYPE)
            in[i] = sx_make(b, SX_BITS, in[i], 0, 0);
    }
    root = sx_make(b, op, in[0], in[1], in[2]);
    if (b->node[root].type == SX_FLOAT)
        return root;
    return sx_make(b, SX_MUL, root, sx_const(b, 1.5), 0); /* to float */
}

struct lanes {
    double d[3][SX_BLOCK], out_d[SX_BLOCK];
    float f[3][SX_BLOCK], out_f[SX_BLOCK];
};

static void run_lanes(struct sx_prog *p, struct lanes *x, uint32_t *seed, bool wide)
{
    const void *arg[3];
    const int32_t step[] = {1, 1, 1};
    const struct sx_block env = {.arg = arg, .arg_step = step};
    void *scratch = malloc(sx_prog_scratch(p));
    void *out[] = {wide ? (void *)x->out_d : (void *)x->out_f};

    for (int k = 0; k < 3; k++) {
        arg[k] = wide ? (const void *)x->d[k] : (const void *)x->f[k];
        for (int i = 0; i < SX_BLOCK; i++) {
            x->d[k][i] = random_float(seed, i % 5 != 0);
            x->f[k][i] = (float)x->d[k][i];
        }
    }
    sx_prog_prepare(p, scratch);
    sx_prog_run_block(p, &env, SX_BLOCK, scratch, out);
    free(scratch);
}

static void check_lanes(struct fixture *f, enum sx_op op, uint32_t *seed, bool wide)
{
    const sx_id root = call_on_floats(&f->b, op);
    struct sx_prog *p = sx_compile(f->a, &f->b, &root, 1, wide);
    double *reg = calloc(sx_prog_regs(p), sizeof *reg);
    struct lanes x;

    run_lanes(p, &x, seed, wide);
    for (int i = 0; i < SX_BLOCK; i++) {
        const double arg[] = {x.d[0][i], x.d[1][i], x.d[2][i]};
        const struct sx_env e = {.arg = arg};
        const double got = wide ? x.out_d[i] : (double)x.out_f[i];
        double one;
        sx_prog_run(p, &e, reg, &one);
        if (!same(one, got))
            fail_msg("%s%s(%a, %a, %a): one %a, block %a", sx_op_info(op)->name,
                     wide ? " in f64" : "", arg[0], arg[1], arg[2], one, got);
        one = wide ? sx_eval_f64(&f->b, root, &e) : sx_eval_f32(&f->b, root, &e);
        assert_true(same(one, got));
    }
    free(reg);
}

/*
 * Every function and primitive: the block program, the program of one element and the
 * evaluation agree to the bit, in both widths, on any patterns.
 */
static void blocks_agree_with_elements(void **state)
{
    uint32_t seed = 99;

    for (unsigned op = SX_ADD; op < SX_OP_COUNT; op++) {
        check_lanes(*state, (enum sx_op)op, &seed, false);
        check_lanes(*state, (enum sx_op)op, &seed, true);
    }
}

static uint32_t word_of(float x)
{
    uint32_t w;
    memcpy(&w, &x, sizeof w);
    return w;
}

/* The fast lanes and the plain ones: the same bits, row by row. */
static void lanes_agree(void **state)
{
    enum { N = 1024 };
    static float x[3][N], y[N], z[N];
    const struct sx_code *rows = sx_lanes();
    uint32_t seed = 5;

    (void)state;
    if (rows == sx_lanes_base)
        skip();
    for (uint32_t r = 0; r < sx_lanes_count && rows[r].f32; r++) {
        const unsigned arity = sx_op_info((enum sx_op)rows[r].op)->arity;
        for (int i = 0; i < 3 * N; i++) {
            const uint32_t w = ((uint32_t)i * 2654435761U) >> 31;
            x[i % 3][i / 3] = (float)random_float(&seed, i % 5 != 0);
            if (rows[r].in[i % 3] == SX_BOOL && (unsigned)i % 3 < arity)
                memcpy(&x[i % 3][i / 3], &w, sizeof w);
        }
        rows[r].f32(y, x[0], x[1], x[2], N);
        sx_lanes_base[r].f32(z, x[0], x[1], x[2], N);
        for (int i = 0; i < N; i++) {
            const bool nans = rows[r].type == SX_FLOAT && isnan(y[i]) && isnan(z[i]);
            if (!nans && word_of(y[i]) != word_of(z[i]))
                fail_msg("%s, row %u: %a and %a", sx_op_info((enum sx_op)rows[r].op)->name,
                         r, (double)y[i], (double)z[i]);
        }
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(equal_nodes_are_one),
        TEST(folding_keeps_ieee),
        TEST(text_round_trips),
        TEST(products_are_contracted_once),
        TEST(primitives_round_to_f32),
        TEST(powers_multiply),
        TEST(substitution_and_queries),
        TEST(zero_where_operands_are),
        TEST(words_become_numbers),
        TEST(laws_have_their_moments),
        TEST(whole_numbers_and_coins),
        TEST(blocks_agree_with_elements),
        TEST(lanes_agree),
    };
    return cmocka_run_group_tests_name("sx", tests, NULL, NULL);
}
