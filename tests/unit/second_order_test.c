/*
 * Gradients of gradients where models use them: penalties on critics' input gradients, with
 * normalisation inside, convolutions and overlapping maxima.  Everything goes through
 * OP_GRAD and the pass pipeline; the reference is a difference quotient, in double, of the
 * penalty itself.
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
#include "tests/unit/made_graph.h"

enum { BATCH = 4 };

static value_id weight(struct made *m, const char *path, unsigned rank, const int32_t *dim)
{
    struct type t = {.dtype = DT_F32, .rank = (uint8_t)rank};
    for (unsigned i = 0; i < rank; i++)
        t.dim[i] = ext_const(dim[i]);
    m->w[m->nw] = graph_leaf(m->g, LEAF_PARAM, 0, 0, path, t);
    return m->w[m->nw++];
}

static value_id input(struct made *m, unsigned rank, const int32_t *dim)
{
    struct type t = {
        .dtype = DT_F32, .rank = (uint8_t)(rank + 1), .sample = true, .dim = {{0, 1}}};
    for (unsigned i = 0; i < rank; i++)
        t.dim[i + 1] = ext_const(dim[i]);
    return graph_leaf(m->g, LEAF_DATA, 0, 0, "x.image", t);
}

static value_id number(struct made *m, double x)
{
    return graph_const(m->g, x);
}

static value_id leaky(struct made *m, value_id x)
{
    return made_op2(m, SX_FN_leaky_relu, x, number(m, 0.2));
}

/* x / sqrt(mean of squares + eps), over the axes of `over`; keeps them as extents of 1. */
static value_id rms_norm(struct made *m, value_id x, uint32_t over, double count)
{
    struct type t = *graph_type(m->g, x);
    const value_id sum = graph_sum(m->g, made_op2(m, SX_MUL, x, x), over);
    const value_id mean = made_op2(m, SX_DIV, sum, number(m, count));
    const value_id r = made_op1(m, SX_FN_rsqrt, made_op2(m, SX_ADD, mean, number(m, 1e-3)));
    for (unsigned i = 0; i < t.rank; i++)
        if (over >> i & 1)
            t.dim[i] = ext_const(1);
    if (over & 1) { /* the batch went: shared, without its dim */
        memmove(t.dim, t.dim + 1, (t.rank - 1U) * sizeof *t.dim);
        t.rank--;
        t.sample = false;
    }
    return made_op2(m, SX_MUL, x, graph_reshape(m->g, r, &t));
}

static value_id linear(struct made *m, value_id x, const char *path, int32_t in,
                       int32_t out)
{
    const int32_t dim[2] = {out, in};
    const uint8_t turn[2] = {1, 0};
    const value_id w = weight(m, arena_fmt(m->a, "%s.weight", path), 2, dim);
    const value_id b = weight(m, arena_fmt(m->a, "%s.bias", path), 1, dim);
    return made_op2(m, SX_ADD, graph_matmul(m->g, x, graph_permute(m->g, w, turn)), b);
}

/* sum over the batch of (|d y / d x| - 1)^2 */
static value_id penalty(struct made *m, value_id y, value_id x)
{
    value_id d;
    struct graph *g = m->g;
    graph_grad(g, y, &x, 1, false, &d);
    const uint32_t units = (1U << graph_type(g, x)->rank) - 2;
    const value_id norm =
        made_op1(m, SX_SQRT, graph_sum(g, made_op2(m, SX_MUL, d, d), units));
    const value_id off = made_op2(m, SX_SUB, norm, number(m, 1));
    return graph_sum(g, made_op2(m, SX_MUL, off, off), 1);
}

/* ---- evaluation ---- */

struct moved {
    const struct graph_eval *plain;
    const char *path;
    double by;
};

static void moved_leaf(void *cx, const struct leaf *l, int64_t n, double *out)
{
    const struct moved *m = cx;
    m->plain->leaf(NULL, l, n, out);
    if (!m->path || strcmp(l->path, m->path) != 0)
        return;
    for (int64_t i = 0; i < n; i++)
        out[i] += m->by * cos(2.0 * (double)i + 1);
}

static double total(struct made *m, value_id v, const char *path, double by, bool directed)
{
    struct arena *a = arena_new();
    struct graph_eval plain = random_eval(m->g, BATCH, false), e = plain;
    struct moved moved = {&plain, path, by};
    double *out, sum = 0;
    e.leaf = moved_leaf;
    e.cx = &moved;
    assert_true(graph_eval(&e, a, &v, 1, &out));
    for (int64_t i = 0; i < type_elems(graph_type(m->g, v), BATCH); i++)
        sum += out[i] * (directed ? cos(2.0 * (double)i + 1) : 1);
    arena_free(a);
    return sum;
}

static double slope(struct made *m, value_id y, const char *path)
{
    const double h = 1e-4;
    const double near = total(m, y, path, h, false) - total(m, y, path, -h, false);
    const double far = total(m, y, path, 2 * h, false) - total(m, y, path, -2 * h, false);
    return (8 * near - far) / (12 * h);
}

/* loss and its gradients by all weights through the passes, against slopes of the loss. */
static void check(struct made *m, value_id loss, unsigned at_least)
{
    value_id d[16];
    unsigned reached = 0;
    const char *path[16];
    const struct pass_options o = {.twin = true};
    struct diag_sink *ds = diag_sink_new(m->a, 5);
    struct region *r;
    graph_grad(m->g, loss, m->w, (uint8_t)m->nw, true, d);
    m->g->expr = 0;
    graph_root(m->g, m->g->at, ROOT_OUTPUT, 0, 0, loss, "loss");
    for (unsigned i = 0; i < m->nw; i++) {
        path[i] = m->g->leaf[m->g->node[m->g->value[m->w[i]].def].attr].path;
        graph_root(m->g, m->g->at, ROOT_OUTPUT, 0, 0, d[i], path[i]);
    }
    if (!passes_run(&m->p, ds, &o)) {
        diag_print(ds, stderr, false);
        fail_msg("the passes refuse the model");
    }
    r = &m->g->region[3];
    for (unsigned i = 0; i < m->nw; i++) {
        const double want = slope(m, r->root[0].value, path[i]);
        const double got = total(m, r->root[i + 1].value, NULL, 0, true);
        reached += fabs(want) > 1e-3;
        if (!(fabs(got - want) <= 1e-7 * (1 + fabs(want))))
            fail_msg("%s: %.12g, want %.12g", path[i], got, want);
    }
    assert_true(reached >= at_least);
}

/* ---- models ---- */

static void critic_penalty(void **state)
{
    struct made *m = *state;
    const int32_t dim = 6;
    const value_id x = input(m, 1, &dim);
    const value_id f1 = leaky(m, linear(m, x, "f1", 6, 7));
    const value_id f2 = leaky(m, linear(m, f1, "f2", 7, 5));
    check(m, penalty(m, linear(m, f2, "f3", 5, 1), x), 3);
}

static void critic_penalty_with_pixel_norm(void **state)
{
    struct made *m = *state;
    const int32_t dim = 6;
    const value_id x = input(m, 1, &dim);
    const value_id f1 = rms_norm(m, leaky(m, linear(m, x, "f1", 6, 7)), 2, 7);
    const value_id f2 = rms_norm(m, leaky(m, linear(m, f1, "f2", 7, 5)), 2, 5);
    check(m, penalty(m, linear(m, f2, "f3", 5, 1), x), 5);
}

static value_id conv(struct made *m, value_id x, const char *path, const int32_t in[3],
                     const int32_t out[3], int32_t k, int32_t stride, int32_t pad)
{
    const int32_t kernel[2] = {k, k}, s[2] = {stride, stride}, p[2] = {pad, pad},
                  d[2] = {1, 1};
    const int32_t dim[4] = {out[0], in[0], k, k};
    const struct form f = form_conv((struct ext){0, 1}, in, out, kernel, s, p, d, 1);
    const value_id operand[2] = {x, weight(m, path, 4, dim)};
    return graph_form(m->g, &f, 0, operand, true, DT_F32);
}

static value_id flat(struct made *m, value_id x, int32_t n)
{
    const struct type t = {
        .dtype = DT_F32, .rank = 2, .sample = true, .dim = {{0, 1}, {n, 0}}};
    return graph_reshape(m->g, x, &t);
}

static void conv_critic_penalty(void **state)
{
    struct made *m = *state;
    const int32_t image[3] = {2, 7, 7}, mid[3] = {3, 4, 4}, top[3] = {2, 2, 2};
    const value_id x = input(m, 3, image);
    /* smooth, since 100 kinks are more than a difference quotient can avoid */
    const value_id c1 = made_op1(m, SX_FN_softplus, conv(m, x, "c1", image, mid, 4, 2, 2));
    const value_id n1 = rms_norm(m, c1, 2, 3); /* over channels */
    const value_id c2 = made_op1(m, SX_FN_softplus, conv(m, n1, "c2", mid, top, 4, 2, 1));
    check(m, penalty(m, linear(m, flat(m, c2, 8), "head", 8, 1), x), 3);
}

/* Statistics over the batch couple the samples: every one's gradient passes through all. */
static void batch_norm_in_a_penalty(void **state)
{
    struct made *m = *state;
    const int32_t dim = 5;
    const value_id x = input(m, 1, &dim);
    const value_id a = linear(m, x, "f1", 5, 6);
    const value_id mean = made_op2(m, SX_DIV, graph_sum(m->g, a, 1), number(m, BATCH));
    const value_id b = rms_norm(m, made_op2(m, SX_SUB, a, mean), 1, BATCH);
    const value_id y = linear(m, made_op1(m, SX_FN_tanh, b), "f2", 6, 1);
    check(m, penalty(m, y, x), 2);
}

/* Windows 3 x 3 with stride 2 share elements, which then get several gradients. */
static void overlapping_max_pool(void **state)
{
    struct made *m = *state;
    const int32_t image[3] = {2, 7, 7}, mid[3] = {2, 7, 7};
    const value_id x = input(m, 3, image);
    const value_id c = made_op1(m, SX_FN_tanh, conv(m, x, "c", image, mid, 3, 1, 1));
    struct form f = {.naxis = 6, .nport = 2};
    const int32_t axis[6] = {0, 2, 4, 4, 3, 3};
    for (unsigned k = 0; k < 6; k++)
        f.axis[k] = k ? ext_const(axis[k]) : (struct ext){0, 1};
    for (unsigned i = 0; i < 4; i++) {
        f.port[0].dim[i] = f.port[1].dim[i] =
            (struct dimmap){.n = 1, .axis = {(int8_t)i}, .coef = {1}};
        f.port[0].shape[i] = i < 2 ? f.axis[i] : ext_const(7);
        f.port[1].shape[i] = f.axis[i];
    }
    for (int i = 2; i < 4; i++)
        f.port[0].dim[i] = (struct dimmap){.n = 2,
                                           .axis = {(int8_t)i, (int8_t)(i + 2)},
                                           .coef = {2, 1},
                                           .off = ext_const(-1)};
    f.port[0].rank = f.port[1].rank = 4;
    const value_id pooled = graph_fold(m->g, &f, 1, COMB_MAX, c, true, NULL);
    const value_id y =
        linear(m, flat(m, made_op1(m, SX_FN_tanh, pooled), 32), "head", 32, 1);
    check(m, penalty(m, y, x), 2);
}

/* The last layer's bias moves no gradient of the critic: nothing arrives. */
static void missing_gradient_is_an_error(void **state)
{
    struct made *m = *state;
    const int32_t dim = 3;
    const value_id x = input(m, 1, &dim);
    const value_id loss = penalty(m, linear(m, x, "f", 3, 1), x);
    const struct pass_options o = {0};
    struct diag_sink *ds = diag_sink_new(m->a, 5);
    value_id d;
    graph_grad(m->g, loss, &m->w[1], 1, false, &d);
    graph_root(m->g, m->g->at, ROOT_OUTPUT, 0, 0, d, "d");
    assert_false(passes_run(&m->p, ds, &o));
    assert_int_equal(diag_errors(ds), 1);
}

/* stop and scale_grad act on gradients and are gone afterwards. */
static void stops_and_reversal(void **state)
{
    struct made *m = *state;
    struct graph *g = m->g;
    const int32_t dim = 3;
    const value_id x = weight(m, "x", 1, &dim), y = weight(m, "y", 1, &dim);
    const value_id turned = graph_scale_grad(g, x, number(m, -2));
    const value_id z =
        made_op2(m, SX_MUL, turned, made_op2(m, SX_MUL, graph_stop(g, y), y));
    const struct pass_options o = {.twin = true};
    value_id d[2];
    double *out[4];
    graph_grad(g, z, m->w, 2, false, d);
    g->expr = 0;
    const value_id v[4] = {d[0], d[1], x, y};
    for (unsigned i = 0; i < 4; i++)
        graph_root(g, 3, ROOT_OUTPUT, 0, 0, v[i], "v");
    assert_true(passes_run(&m->p, diag_sink_new(m->a, 5), &o));
    const struct graph_eval e = random_eval(g, 1, false);
    value_id want[4];
    for (unsigned i = 0; i < 4; i++)
        want[i] = g->region[3].root[i].value;
    assert_true(graph_eval(&e, m->a, want, 4, out));
    for (unsigned i = 0; i < 3; i++) {
        const double xi = out[2][i], yi = out[3][i];
        assert_true(fabs(out[0][i] - -2 * yi * yi) < 1e-14);
        assert_true(fabs(out[1][i] - xi * yi) < 1e-14);
    }
    for (node_id id = 1; id < g->nnode; id++)
        assert_int_not_equal(g->node[id].op, OP_STOP);
}

int main(void)
{
#define MODEL_TEST(f) cmocka_unit_test_setup_teardown(f, made_set_up, made_tear_down)
    const struct CMUnitTest tests[] = {
        MODEL_TEST(critic_penalty),       MODEL_TEST(critic_penalty_with_pixel_norm),
        MODEL_TEST(conv_critic_penalty),  MODEL_TEST(batch_norm_in_a_penalty),
        MODEL_TEST(overlapping_max_pool), MODEL_TEST(missing_gradient_is_an_error),
        MODEL_TEST(stops_and_reversal),
    };
    return cmocka_run_group_tests_name("second_order", tests, NULL, NULL);
}
