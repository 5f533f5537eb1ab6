/*
 * Gradients of random smooth graphs against central differences in double: first
 * derivatives by every parameter and sample, and second ones as gradients of a function of
 * the first. `differentiate_test N SEED`.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/passes/pass.h"
#include "runtime/base/arena.h"
#include "tests/prop/random_graph.h"

static unsigned ngraph = 200;
static uint64_t first_seed = 1;

enum { BATCH = 3 };
static const double limit = 1e-6; /* of relative error */

/* A leaf whose elements are moved along a direction. */
struct moved {
    const struct graph_eval *plain;
    leaf_id leaf;
    const struct graph *g;
    double by;
};

static void moved_leaf(void *cx, const struct leaf *l, int64_t n, double *out)
{
    const struct moved *m = cx;
    m->plain->leaf(NULL, l, n, out);
    if (l != &m->g->leaf[m->leaf])
        return;
    for (int64_t i = 0; i < n; i++)
        out[i] += m->by * cos(3.0 * (double)i + 1);
}

static double value_at(const struct graph *g, value_id y, leaf_id leaf, double by)
{
    struct arena *a = arena_new();
    struct graph_eval plain = random_eval(g, BATCH, false), e = plain;
    struct moved m = {&plain, leaf, g, by};
    double *out, sum = 0;
    e.leaf = moved_leaf;
    e.cx = &m;
    if (!graph_eval(&e, a, &y, 1, &out))
        fail_msg("the graph cannot be evaluated");
    for (int64_t i = 0; i < type_elems(graph_type(g, y), BATCH); i++)
        sum += out[i];
    arena_free(a);
    return sum;
}

/* Fourth-order central difference along the direction. */
static double slope(const struct graph *g, value_id y, leaf_id leaf, double h)
{
    const double near = value_at(g, y, leaf, h) - value_at(g, y, leaf, -h);
    const double far = value_at(g, y, leaf, 2 * h) - value_at(g, y, leaf, -2 * h);
    return (8 * near - far) / (12 * h);
}

static double along(const struct graph *g, value_id d)
{
    struct arena *a = arena_new();
    const struct graph_eval e = random_eval(g, BATCH, false);
    double *out, sum = 0;
    if (!graph_eval(&e, a, &d, 1, &out))
        fail_msg("the gradient cannot be evaluated");
    for (int64_t i = 0; i < type_elems(graph_type(g, d), BATCH); i++)
        sum += out[i] * cos(3.0 * (double)i + 1);
    arena_free(a);
    return sum;
}

/* The relative error of the gradient of y by every leaf; the worst. */
static double worst(struct graph *g, value_id y, const value_id *x, const value_id *d,
                    uint32_t n)
{
    double bad = 0;
    for (uint32_t i = 0; i < n; i++) {
        const leaf_id leaf = g->node[g->value[x[i]].def].attr;
        const double got = d[i] ? along(g, d[i]) : 0;
        double error = INFINITY;
        /* curvature against rounding: one of the steps fits both */
        for (double h = 1e-3; h > 1e-8 && !(error <= limit); h /= 3) {
            const double want = slope(g, y, leaf, h);
            error = fmin(error, fabs(got - want) / (1 + fabs(want)));
        }
        bad = error > bad || isnan(error) ? error : bad;
    }
    return bad;
}

static value_id total(struct graph *g, const struct region *r)
{
    value_id sum = 0;
    for (uint32_t i = 0; i < r->nroot; i++) {
        const value_id s =
            graph_sum(g, graph_op1(g, SX_FN_sin, r->root[i].value), UINT32_MAX);
        sum = sum ? graph_op2(g, SX_ADD, sum, s) : s;
    }
    return sum;
}

static uint32_t leaves(const struct graph *g, value_id *x)
{
    uint32_t n = 0;
    for (leaf_id i = 1; i < g->nleaf && n < 32; i++)
        if (g->leaf[i].what == LEAF_PARAM || g->leaf[i].what == LEAF_DATA)
            x[n++] = g->leaf[i].value;
    return n;
}

struct errors {
    double first, second;
};

static struct errors errors_of(const char *text)
{
    struct arena *a = arena_new();
    struct graph g;
    struct errors e = {NAN, NAN};
    graph_init(&g, a);
    if (graph_parse(&g, text, diag_sink_new(a, 1), 0) && !g.region[3].nroot) {
        e = (struct errors){0, 0};
    } else if (g.nregion > 3) {
        value_id x[32], d[32], dd[32], z = 0;
        const uint32_t n = leaves(&g, x);
        g.at = 3;
        const value_id y = total(&g, &g.region[3]);
        assert_true(differentiate(&g, y, x, n, diag_sink_new(a, 1), d));
        e.first = worst(&g, y, x, d, n);
        for (uint32_t i = 0; i < n; i++) {
            if (!d[i])
                continue;
            const value_id s = graph_sum(&g, graph_op1(&g, SX_FN_sin, d[i]), UINT32_MAX);
            z = z ? graph_op2(&g, SX_ADD, z, s) : s;
        }
        e.second = 0;
        if (z) {
            assert_true(differentiate(&g, z, x, n, diag_sink_new(a, 1), dd));
            e.second = worst(&g, z, x, dd, n);
        }
        assert_null(graph_validate(&g, a));
    }
    arena_free(a);
    return e;
}

static bool first_fails(const char *text, void *cx)
{
    (void)cx;
    return !(errors_of(text).first <= limit);
}

static bool second_fails(const char *text, void *cx)
{
    (void)cx;
    return !(errors_of(text).second <= limit);
}

static void gradients_are_slopes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ngraph; i++) {
        struct arena *a = arena_new();
        struct program p;
        const struct random_options o = {.smooth = true, .nodes = 10, .max_elems = 150};
        random_graph(a, first_seed + i, &o, &p);
        char *text = graph_print(&p.graph, a);
        const struct errors e = errors_of(text);
        if (!(e.first <= limit)) {
            fputs(shrink_graph(a, text, first_fails, NULL), stderr);
            fail_msg("seed %llu, first derivative off by %g",
                     (unsigned long long)(first_seed + i), e.first);
        }
        if (!(e.second <= limit)) {
            fputs(shrink_graph(a, text, second_fails, NULL), stderr);
            fail_msg("seed %llu, second derivative off by %g",
                     (unsigned long long)(first_seed + i), e.second);
        }
        arena_free(a);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gradients_are_slopes)};
    if (argc > 1)
        ngraph = (unsigned)strtoul(argv[1], NULL, 10);
    if (argc > 2)
        first_seed = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests_name("differentiate", tests, NULL, NULL);
}
