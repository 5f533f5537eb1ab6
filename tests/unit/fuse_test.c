/*
 * Fusion: what the cost model says of hand-computed cases, what is attached to what in
 * small graphs, what is refused and why, and that deep graphs take time in proportion.
 */
#include "tests/unit/cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "compiler/ir/group.h"
#include "compiler/passes/fuse_cost.h"
#include "compiler/passes/pass.h"
#include "runtime/base/arena.h"
#include "tests/unit/made_graph.h"

enum { BATCH = 512 };

/* ---- the model ---- */

static void near(double got, double want)
{
    if (fabs(got - want) > 1e-9 * fabs(want))
        fail_msg("%.12g instead of %.12g", got, want);
}

static void prices_are_the_formula(void **state)
{
    const struct target *t = target_find("avx2");
    struct fuse_work w = {.product = 1e-3, .prims = 8e6, .bytes = {18.5e6, 22e6, 3.6e6}};
    (void)state;
    /* e = 0.92 * 512/516 * 512/516: tiles of 6 rows, chains of 512 */
    near(cost_product(t, 512, 512, 512, false), 0.0016508160892815624);
    near(cost_product(t, 64, 512, 512, false), 0.00021115089514066494);
    /* three units for two threads: 3/4 of them busy */
    near(cost_product(t, 64, 512, 512, true), 0.00028153452685422);
    near(cost_product(t, 0, 512, 512, false), 0);
    /* product 1 ms, elements 0.1 ms, memory 0.1 + 0.2 + 0.1 ms */
    near(cost_kernel(t, &w), 1e-3 + 0.25 * (0.1e-3 + 0.4e-3) + 0.9e-6);
    w.product = 0;
    near(cost_kernel(t, &w), 0.4e-3 + 0.25 * 0.1e-3 + 0.9e-6);
}

static void more_work_costs_more(void **state)
{
    const struct target *t = target_find("avx2");
    (void)state;
    for (double n = 24; n < 2000; n += 24) {
        assert_true(cost_product(t, n + 24, 512, 512, false) >
                    cost_product(t, n, 512, 512, false));
        assert_true(cost_product(t, 512, n + 24, 512, false) >
                    cost_product(t, 512, n, 512, false));
        assert_true(cost_product(t, 512, 512, n + 24, true) >
                    cost_product(t, 512, 512, n, true));
        assert_true(cost_product(t, n, 512, 512, true) >=
                    cost_product(t, n, 512, 512, false));
    }
    const struct fuse_work none = {.product = 0}, work = {1e-4, 1e6, {1e6, 1e6, 1e6}};
    assert_true(cost_kernel(t, &none) > 0);
    for (unsigned i = 0; i < 2 + MEM_LEVELS; i++) {
        struct fuse_work more = work;
        *(i == 0 ? &more.product : i == 1 ? &more.prims : &more.bytes[i - 2]) *= 2;
        assert_true(cost_kernel(t, &more) > cost_kernel(t, &work));
    }
}

static void levels_follow_distance(void **state)
{
    const struct target *t = target_find("avx2");
    (void)state;
    assert_int_equal(cost_level(t, 0), MEM_L2);
    assert_int_equal(cost_level(t, 2.0 * t->l2), MEM_L2);
    assert_int_equal(cost_level(t, 2.0 * t->l2 + 1), MEM_L3);
    assert_int_equal(cost_level(t, t->l3), MEM_L3);
    assert_int_equal(cost_level(t, t->l3 + 1.0), MEM_DRAM);
}

/* ---- small graphs ---- */

static value_id data(struct made *m, int32_t k)
{
    return made_leaf(m, LEAF_DATA, 2, 0, k);
}

static value_id weight(struct made *m, int32_t n, int32_t k)
{
    return made_leaf(m, LEAF_PARAM, 2, n, k);
}

static void result(struct made *m, value_id v)
{
    graph_root(m->g, m->g->at, ROOT_OUTPUT, 0, 0, v, arena_fmt(m->a, "o%u", m->nroot++));
}

static void run_fuse(struct made *m, int64_t batch)
{
    const struct fuse_options o = {.target = target_find("avx2"), .batch = batch};
    const struct pass_options none = {.remat_off = true}; /* what fusion does alone */
    struct diag_sink *ds = diag_sink_new(m->a, 5);
    assert_true(passes_run(&m->p, ds, &none));
    m->f = fuse(m->g, 3, &o, m->a);
}

static bool was_decided(const struct made *m, enum fuse_kind kind, enum fuse_why why)
{
    for (uint32_t i = 0; i < m->f->nlog; i++)
        if (m->f->log[i].kind == kind && m->f->log[i].why == why)
            return true;
    return false;
}

/* Every decision by price says so; what is fused gains. */
static void check_log(const struct made *m)
{
    for (uint32_t i = 0; i < m->f->nlog; i++) {
        const struct fuse_decision *d = &m->f->log[i];
        if (d->why == FUSE_OK)
            assert_true(d->before > d->after);
        assert_int_equal(d->before > 0, d->why == FUSE_OK || d->why == FUSE_COST);
    }
}

/* A weight that two products read is packed once: worth it where products are short. */
static void two_of_one_weight(struct made *m, int64_t batch)
{
    const value_id w = weight(m, 512, 512);
    result(m, made_op1(m, SX_FN_tanh, graph_matmul(m->g, data(m, 512), w)));
    result(m, made_op1(m, SX_FN_tanh, graph_matmul(m->g, data(m, 512), w)));
    run_fuse(m, batch);
    check_log(m);
}

static void siblings_share_panels(void **state)
{
    struct made *m = *state;
    two_of_one_weight(m, 48);
    assert_int_equal(m->f->ngroup, 1);
    assert_true(was_decided(m, FUSE_SIBLING, FUSE_OK));
}

static void siblings_that_gain_little(void **state)
{
    struct made *m = *state;
    two_of_one_weight(m, BATCH);
    assert_int_equal(m->f->ngroup, 2);
    assert_true(was_decided(m, FUSE_SIBLING, FUSE_COST));
}

/* Heads of wide layers are faster apart; one column each, the launch is all that counts. */
static void heads_of_a_layer(struct made *m, int32_t n)
{
    const value_id x = data(m, 512);
    const value_id mean = graph_matmul(m->g, x, weight(m, 512, n));
    const value_id std =
        made_op1(m, SX_FN_softplus, graph_matmul(m->g, x, weight(m, 512, n)));
    result(m, made_op2(m, SX_ADD, mean, made_op2(m, SX_MUL, std, data(m, n))));
    run_fuse(m, BATCH);
    check_log(m);
}

static void narrow_heads(void **state)
{
    struct made *m = *state;
    heads_of_a_layer(m, 2);
    assert_int_equal(m->f->ngroup, 1);
}

static void wide_heads(void **state)
{
    struct made *m = *state;
    heads_of_a_layer(m, 784);
    assert_int_equal(m->f->ngroup, 2);
}

/* The row's sum, and what it scales, in the kernel of the product. */
static void row_with_its_norm(struct made *m, int32_t n)
{
    struct type one = {.dtype = DT_F32, .rank = 2, .sample = true, .dim = {{0, 1}, {1, 0}}};
    const value_id y = graph_matmul(m->g, data(m, 256), weight(m, 256, n));
    const value_id s = graph_sum(m->g, made_op1(m, SX_FN_square, y), 2);
    result(m, made_op2(m, SX_MUL, y, graph_reshape(m->g, made_op1(m, SX_SQRT, s), &one)));
    run_fuse(m, BATCH);
    check_log(m);
}

static void rows_of_a_product(void **state)
{
    struct made *m = *state;
    row_with_its_norm(m, 512);
    assert_int_equal(m->f->ngroup, 1);
    assert_true(was_decided(m, FUSE_ROWS, FUSE_OK));
}

/* A softmax, its largest element included, in the kernel of the product. */
static void softmax_of_a_product(void **state)
{
    struct made *m = *state;
    struct type one = {.dtype = DT_F32, .rank = 2, .sample = true, .dim = {{0, 1}, {1, 0}}};
    const value_id y = graph_matmul(m->g, data(m, 256), weight(m, 256, 10));
    const struct form f = form_sum(graph_type(m->g, y)->dim, 2, 2);
    const value_id top = graph_fold(m->g, &f, 1, COMB_MAX, y, true, NULL);
    const value_id e =
        made_op1(m, SX_FN_exp, made_op2(m, SX_SUB, y, graph_reshape(m->g, top, &one)));
    const value_id s = graph_sum(m->g, e, 2);
    result(m, made_op2(m, SX_DIV, e, graph_reshape(m->g, s, &one)));
    run_fuse(m, BATCH);
    check_log(m);
    assert_int_equal(m->f->ngroup, 1);
}

/* The channels of an image, each place by its norm: f32[channels, size, size] a sample. */
static value_id image(struct made *m, int32_t channels, int32_t size)
{
    const struct type t = {.dtype = DT_F32,
                           .rank = 4,
                           .sample = true,
                           .dim = {{0, 1}, {channels, 0}, {size, 0}, {size, 0}}};
    return graph_leaf(m->g, LEAF_DATA, 0, 0, arena_fmt(m->a, "image%u", m->nleaf++), t);
}

static value_id norm_of_places(struct made *m, value_id x)
{
    return made_op1(m, SX_SQRT, graph_sum(m->g, made_op1(m, SX_FN_square, x), 2));
}

static void rows_along_a_middle_axis(void **state)
{
    struct made *m = *state;
    const value_id x = image(m, 64, 16);
    const value_id y = made_op2(m, SX_MUL, x, norm_of_places(m, x));
    result(m, y);
    result(m, made_op2(m, SX_DIV, y, norm_of_places(m, made_op2(m, SX_MUL, x, y))));
    run_fuse(m, BATCH);
    check_log(m);
    assert_int_equal(m->f->ngroup, 1);
    assert_true(was_decided(m, FUSE_ROWS, FUSE_OK));
}

/* Four places leave most lanes of a vector idle. */
static void rows_of_few_places(void **state)
{
    struct made *m = *state;
    const value_id x = image(m, 64, 2);
    result(m, made_op2(m, SX_MUL, x, norm_of_places(m, x)));
    run_fuse(m, BATCH);
    check_log(m);
    assert_int_equal(m->f->ngroup, 2);
    assert_true(was_decided(m, FUSE_ROWS, FUSE_COST));
}

static void rows_of_places_that_are_too_long(void **state)
{
    struct made *m = *state;
    const value_id x = image(m, 2048, 16);
    result(m, made_op2(m, SX_MUL, x, norm_of_places(m, x)));
    run_fuse(m, BATCH);
    assert_int_equal(m->f->ngroup, 2);
    assert_true(was_decided(m, FUSE_ROWS, FUSE_ROW));
}

/* A number of each place and one of each sample: two kinds of rows.  In a square image the
 * sum over its last axis has the shape of one over channels, but other places. */
static void rows_of_two_kinds(void **state)
{
    struct made *m = *state;
    struct type column = {.dtype = DT_F32,
                          .rank = 4,
                          .sample = true,
                          .dim = {{0, 1}, {16, 0}, {16, 0}, {1, 0}}};
    const value_id x = made_op1(m, SX_FN_tanh, image(m, 16, 16));
    const value_id y = made_op2(m, SX_MUL, x, norm_of_places(m, x));
    const value_id beside = graph_reshape(m->g, norm_of_places(m, x), &column);
    result(m, made_op2(m, SX_MUL, y, beside));
    result(m, graph_sum(m->g, y, 2 | 4 | 8));
    run_fuse(m, BATCH);
    check_log(m);
    assert_true(was_decided(m, FUSE_ROWS, FUSE_SPACE));
    assert_true(m->f->ngroup > 2);
}

static void rows_that_are_too_long(void **state)
{
    struct made *m = *state;
    row_with_its_norm(m, 2048);
    assert_int_equal(m->f->ngroup, 2);
    assert_true(was_decided(m, FUSE_ROWS, FUSE_ROW));
}

/* Three units for two threads: the product would take a third longer. */
static void rows_that_leave_threads_idle(void **state)
{
    struct made *m = *state;
    const value_id y = graph_matmul(m->g, data(m, 784), weight(m, 784, 512));
    result(m, y);
    result(m, graph_sum(m->g, made_op1(m, SX_FN_square, y), 2));
    run_fuse(m, 64);
    assert_int_equal(m->f->ngroup, 2);
    assert_true(was_decided(m, FUSE_ROWS, FUSE_COST));
    check_log(m);
}

/* A bias gradient: sums down the columns of a masked product, and the step that follows. */
static void columns_of_a_product(void **state)
{
    struct made *m = *state;
    const value_id b = made_leaf(m, LEAF_PARAM, 1, 512, 0);
    const value_id y =
        made_op1(m, SX_FN_relu, graph_matmul(m->g, data(m, 256), weight(m, 256, 512)));
    const value_id step = made_op2(m, SX_SUB, b, graph_sum(m->g, y, 1));
    graph_root(m->g, m->g->at, ROOT_UPDATE, 1, m->g->node[m->g->value[b].def].attr, step,
               NULL);
    run_fuse(m, BATCH);
    assert_int_equal(m->f->ngroup, 1);
    assert_false(m->f->twin[1]);
    check_log(m);
}

/* A number per row times a row of weights, which two masks read, is no buffer; a long
 * expression of it is one. */
static void read_by_two_masks(struct made *m, enum sx_op op)
{
    const value_id scaled =
        made_op2(m, SX_MUL, data(m, 1), made_leaf(m, LEAF_PARAM, 1, 512, 0));
    const value_id by =
        op == SX_MUL ? scaled : made_op1(m, op, made_op1(m, SX_FN_sin, scaled));
    for (unsigned i = 0; i < 2; i++) {
        const value_id y = graph_matmul(m->g, data(m, 256), weight(m, 256, 512));
        result(m, made_op1(m, SX_FN_tanh, made_op2(m, SX_MUL, y, by)));
    }
    run_fuse(m, BATCH);
    check_log(m);
}

static void cheap_maps_are_computed_by_readers(void **state)
{
    struct made *m = *state;
    read_by_two_masks(m, SX_MUL);
    assert_int_equal(m->f->ngroup, 2);
    assert_true(was_decided(m, FUSE_INLINE, FUSE_OK));
}

static void dear_maps_are_stored(void **state)
{
    struct made *m = *state;
    read_by_two_masks(m, SX_FN_sin);
    assert_false(was_decided(m, FUSE_INLINE, FUSE_OK));
    assert_true(was_decided(m, FUSE_INLINE, FUSE_COST));
}

/* The old weight is read by who must come before the step, inlined maps included. */
static void readers_of_what_is_updated(void **state)
{
    struct made *m = *state;
    const value_id w = made_leaf(m, LEAF_PARAM, 1, 512, 0);
    const value_id twice = made_op2(m, SX_ADD, w, w);
    const value_id y = graph_matmul(m->g, data(m, 256), weight(m, 256, 512));
    const value_id z = made_op1(m, SX_FN_tanh, made_op2(m, SX_MUL, y, twice));
    const value_id step =
        made_op2(m, SX_SUB, w, made_op2(m, SX_MUL, twice, graph_sum(m->g, z, 1)));
    result(m, z);
    graph_root(m->g, m->g->at, ROOT_UPDATE, 1, m->g->node[m->g->value[w].def].attr, step,
               NULL);
    run_fuse(m, BATCH);
    assert_false(m->f->twin[1]);
    assert_int_equal(m->f->norder, m->f->ngroup);
    check_log(m);
}

/* A map of the old weight is inlined: its readers come before the step, as it did. */
static void readers_of_an_inlined_map(void **state)
{
    struct made *m = *state;
    const value_id w = made_leaf(m, LEAF_PARAM, 1, 512, 0);
    const value_id by = made_op2(m, SX_MUL, data(m, 1), w);
    for (unsigned i = 0; i < 2; i++) {
        const value_id y = graph_matmul(m->g, data(m, 256), weight(m, 256, 512));
        result(m, made_op1(m, SX_FN_tanh, made_op2(m, SX_MUL, y, by)));
    }
    const value_id step = made_op2(m, SX_SUB, w, made_leaf(m, LEAF_PARAM, 1, 512, 0));
    graph_root(m->g, m->g->at, ROOT_UPDATE, 1, m->g->node[m->g->value[w].def].attr, step,
               NULL);
    run_fuse(m, BATCH);
    assert_true(was_decided(m, FUSE_INLINE, FUSE_OK));
    assert_int_equal(m->f->ngroup, 3);
    const struct root *r = m->f->root[2];
    const uint32_t last = m->f->group_of[m->g->value[m->f->base[r->value]].def];
    for (uint32_t i = 0; i < m->f->ngroup; i++)
        assert_true(i == last || m->f->level[i] < m->f->level[last]);
}

/* ---- every reason to refuse ---- */

/* The node of the graph as it is after the passes, whose value the i-th result is. */
static node_id node_of_result(const struct made *m, unsigned i)
{
    return m->g->value[m->f->base[m->f->root[i]->value]].def;
}

static bool stands_apart(const struct made *m, const struct fuse_decision *d)
{
    if (d->kind == FUSE_INLINE)
        return m->f->role[d->producer] == ROLE_COMPUTE;
    return m->f->group_of[d->producer] != m->f->group_of[d->consumer];
}

/* For that reason, of that kind, the node of the result and another one are no kernel. */
static void refused(const struct made *m, enum fuse_kind kind, enum fuse_why why,
                    unsigned result_at)
{
    const node_id node = node_of_result(m, result_at);
    bool found = false;
    for (uint32_t i = 0; i < m->f->nlog; i++) {
        const struct fuse_decision *d = &m->f->log[i];
        if (d->kind != kind || d->why != why ||
            (d->producer != node && d->consumer != node))
            continue;
        assert_true(stands_apart(m, d));
        found = true;
    }
    if (!found)
        fail_msg("no %s is refused for %s", fuse_kind_row[kind].word,
                 fuse_why_row[why].word);
    check_log(m);
}

static void update(struct made *m, value_id of, value_id by)
{
    graph_root(m->g, m->g->at, ROOT_UPDATE, 1, m->g->node[m->g->value[of].def].attr, by,
               NULL);
}

static value_id layer(struct made *m, value_id x, int32_t k, int32_t n)
{
    return made_op1(m, SX_FN_tanh, graph_matmul(m->g, x, weight(m, k, n)));
}

/* Read in two blocks of columns, each scaled by the same weights. */
static void space_of_another_shape(void **state)
{
    struct made *m = *state;
    const struct type halves = {
        .dtype = DT_F32, .rank = 3, .sample = true, .dim = {{0, 1}, {2, 0}, {256, 0}}};
    const value_id y = graph_matmul(m->g, data(m, 256), weight(m, 256, 512));
    result(m, made_op2(m, SX_MUL, graph_reshape(m->g, y, &halves),
                       made_leaf(m, LEAF_PARAM, 1, 256, 0)));
    run_fuse(m, BATCH);
    refused(m, FUSE_EPILOGUE, FUSE_SPACE, 0);
}

/* An image that each place of a smaller one spreads over: it is made in pieces, of which
 * none has the whole image to sum, and packs what lies in memory. */
static void space_of_a_window(void **state)
{
    struct made *m = *state;
    const int32_t in[3] = {3, 16, 16}, out[3] = {8, 8, 8};
    const int32_t k[2] = {4, 4}, two[2] = {2, 2}, one[2] = {1, 1};
    const struct form f = form_conv((struct ext){0, 1}, in, out, k, two, one, one, 1);
    struct type x = {.dtype = DT_F32, .rank = 4, .sample = true};
    struct type w = {.dtype = DT_F32, .rank = 4};
    memcpy(x.dim, f.port[0].shape, sizeof *x.dim * 4);
    memcpy(w.dim, f.port[2].shape, sizeof *w.dim * 4);
    const value_id operand[2] = {
        made_op1(m, SX_FN_sin, graph_leaf(m->g, LEAF_DATA, 0, 0, "image", x)),
        graph_leaf(m->g, LEAF_PARAM, 0, 0, "weights", w)};
    const value_id y = graph_form(m->g, &f, 1, operand, true, DT_F32);
    result(m, operand[0]);
    result(m, y);
    result(m, graph_sum(m->g, made_op1(m, SX_FN_square, y), 14));
    run_fuse(m, BATCH);
    refused(m, FUSE_EPILOGUE, FUSE_SPACE, 0);
    refused(m, FUSE_ROWS, FUSE_SPACE, 2);
}

/* Seconds of a convolution of 64 channels read out at a port: values, images, filters. */
static double seconds_of_role(uint8_t port)
{
    const int32_t in[3] = {64, 16, 16}, out[3] = {128, 8, 8};
    const int32_t k[2] = {4, 4}, two[2] = {2, 2}, one[2] = {1, 1};
    const struct form f = form_conv((struct ext){0, 1}, in, out, k, two, one, one, 1);
    struct made *m = NULL;
    value_id operand[2];
    made_set_up((void **)&m);
    for (uint8_t p = 0, i = 0; p < 3; p++) {
        struct type t = {.dtype = DT_F32, .rank = 4, .sample = p < 2};
        memcpy(t.dim, f.port[p].shape, sizeof *t.dim * 4);
        if (p != port)
            operand[i++] = graph_leaf(m->g, p < 2 ? LEAF_DATA : LEAF_PARAM, 0, 0,
                                      arena_fmt(m->a, "operand%u", p), t);
    }
    result(m, graph_form(m->g, &f, port, operand, port < 2, DT_F32));
    run_fuse(m, BATCH);
    double seconds = 0;
    for (uint32_t i = 0; i < m->f->ngroup; i++)
        seconds = fmax(seconds, m->f->seconds[i]);
    made_tear_down((void **)&m);
    return seconds;
}

/* They multiply as often, whatever is summed. */
static void roles_of_a_convolution_cost_alike(void **state)
{
    const struct target *t = target_find("avx2");
    const double flops = 2.0 * BATCH * 64 * 128 * 8 * 8 * 4 * 4;
    const double least = flops / (2 * t->flops);
    (void)state;
    for (uint8_t port = 0; port < 3; port++) {
        const double seconds = seconds_of_role(port);
        if (seconds < least || seconds > 1.5 * least)
            fail_msg("port %u: %.3g s, the peak takes %.3g", port, seconds, least);
    }
}

static void anchors_walk_alone(void **state)
{
    struct made *m = *state;
    const value_id y = graph_matmul(m->g, data(m, 256), weight(m, 256, 512));
    result(m, y);
    result(m, graph_matmul(m->g, y, weight(m, 512, 64)));
    run_fuse(m, BATCH);
    refused(m, FUSE_EPILOGUE, FUSE_ANCHOR, 1);
}

/* The rows' sums, and the gradient of a weight that is too small not to sum the batch in
 * chunks. */
static void order_of_chunks(void **state)
{
    struct made *m = *state;
    const value_id y = made_op1(m, SX_FN_tanh, data(m, 64)), w = weight(m, 64, 512);
    value_id dw;
    result(m, y);
    result(m, graph_sum(m->g, made_op1(m, SX_FN_square, y), 2));
    graph_grad(
        m->g,
        graph_sum(m->g, made_op2(m, SX_MUL, data(m, 512), graph_matmul(m->g, y, w)), 3), &w,
        1, false, &dw);
    result(m, dw);
    run_fuse(m, BATCH);
    refused(m, FUSE_ROWS, FUSE_ORDER, 2);
}

/* The new weight is a product; what is added to it reads the old one, which has to come
 * before. */
static void alias_of_a_product(void **state)
{
    struct made *m = *state;
    const value_id w = weight(m, 256, 512);
    const value_id before = made_op1(m, SX_FN_sin, w);
    const value_id after = graph_matmul(m->g, weight(m, 256, 64), weight(m, 64, 512));
    result(m, before);
    result(m, made_op2(m, SX_ADD, before, after));
    update(m, w, after);
    run_fuse(m, BATCH);
    assert_false(m->f->twin[1]);
    refused(m, FUSE_EPILOGUE, FUSE_ALIAS, 0);
}

/* A map of the old weight, read by what waits for the new one. */
static void alias_of_an_inlined_map(void **state)
{
    struct made *m = *state;
    const value_id w = made_leaf(m, LEAF_PARAM, 1, 512, 0);
    const value_id scaled = made_op2(m, SX_MUL, data(m, 1), w);
    const value_id step = made_op2(m, SX_SUB, w, made_leaf(m, LEAF_PARAM, 1, 512, 0));
    const value_id x = made_op2(m, SX_ADD, data(m, 512), step);
    result(m, made_op2(m, SX_MUL, graph_matmul(m->g, x, weight(m, 512, 512)), scaled));
    update(m, w, step);
    run_fuse(m, BATCH);
    assert_false(m->f->twin[1]);
    refused(m, FUSE_INLINE, FUSE_ALIAS, 0);
}

/* One more map than a kernel has room for. */
static void budget_of_members(void **state)
{
    struct made *m = *state;
    value_id x = data(m, 16);
    uint32_t members = 0;
    for (unsigned i = 0; i < 65; i++)
        result(m, x = made_op1(m, i % 2 ? SX_FN_sin : SX_FN_tanh, x));
    run_fuse(m, 24);
    assert_true(was_decided(m, FUSE_ROWS, FUSE_BUDGET));
    assert_int_equal(m->f->ngroup, 2);
    for (uint32_t i = 0; i < m->f->ngroup; i++)
        members += m->f->group[i].n;
    assert_int_equal(members, 65);
    check_log(m);
}

/* Chains of as many links as operands allow; each sums along an axis of its own. */
static value_id chain(struct made *m, value_id first, int32_t k)
{
    value_id sum = graph_matmul(m->g, first, weight(m, 8, 512));
    for (unsigned i = 0; i < 15; i++, k += 2) {
        const struct form f = form_matmul((struct ext){0, 1}, ext_const(512), ext_const(k));
        const value_id in[2] = {data(m, k), weight(m, 512, k)};
        sum = graph_form_onto(m->g, &f, 0, in, sum);
    }
    return sum;
}

static void budget_of_axes(void **state)
{
    struct made *m = *state;
    const value_id x = data(m, 8);
    result(m, chain(m, x, 16));
    result(m, chain(m, x, 17));
    run_fuse(m, BATCH);
    assert_int_equal(m->f->ngroup, 2);
    assert_true(was_decided(m, FUSE_SIBLING, FUSE_BUDGET));
    check_log(m);
}

/* Scaled by a number that all of it makes: the norm stands between. */
static void cycle_through_a_norm(void **state)
{
    struct made *m = *state;
    const value_id y = layer(m, data(m, 256), 256, 512);
    const value_id norm = graph_sum(m->g, made_op1(m, SX_FN_square, y), 3);
    result(m, y);
    result(m, made_op2(m, SX_MUL, y, made_op1(m, SX_SQRT, norm)));
    run_fuse(m, BATCH);
    refused(m, FUSE_ROWS, FUSE_CYCLE, 1);
}

/* The same map is inlined where it is no result (cheap_maps_are_computed_by_readers). */
static void pinned_by_the_runtime(void **state)
{
    struct made *m = *state;
    const value_id by =
        made_op2(m, SX_MUL, data(m, 1), made_leaf(m, LEAF_PARAM, 1, 512, 0));
    result(m, by);
    for (unsigned i = 0; i < 2; i++)
        result(m, made_op2(m, SX_MUL, graph_matmul(m->g, data(m, 256), weight(m, 256, 512)),
                           by));
    run_fuse(m, BATCH);
    refused(m, FUSE_INLINE, FUSE_PINNED, 0);
}

/* ---- launches ---- */

/* Small critics of layers that have nothing in common, each of two products. */
static void small_groups_share_launches(void **state)
{
    enum { CRITICS = 6 };
    struct made *m = *state;
    uint32_t first[CRITICS], last[CRITICS];
    for (int32_t i = 0; i < CRITICS; i++) {
        const int32_t width = 8 + 4 * i;
        const value_id h = layer(m, data(m, width), width, 16 + width);
        result(m, h);
        result(m, layer(m, h, 16 + width, 3 + i));
    }
    run_fuse(m, 32);
    for (unsigned i = 0; i < CRITICS; i++) {
        first[i] = m->f->group_of[node_of_result(m, 2 * i)];
        last[i] = m->f->group_of[node_of_result(m, 2 * i + 1)];
        assert_int_not_equal(first[i], last[i]);
        assert_int_equal(m->f->level[first[i]], m->f->level[first[0]]);
        assert_int_equal(m->f->level[last[i]], m->f->level[last[0]]);
        for (unsigned j = 0; j < i; j++)
            assert_int_not_equal(first[i], first[j]);
    }
    assert_true(m->f->level[first[0]] < m->f->level[last[0]]);
}

/* However many are ready at a time: whoever reads waits for the launch after. */
static void dependent_groups_never_share(void **state)
{
    struct made *m = *state;
    value_id x[4];
    for (unsigned i = 0; i < 4; i++)
        x[i] = data(m, 16);
    for (unsigned k = 0; k < 5; k++)
        for (unsigned i = 0; i < 4; i++)
            result(m, x[i] = layer(m, made_op2(m, SX_ADD, x[i], x[(i + k) % 4]), 16, 16));
    run_fuse(m, 32);
    unsigned edges = 0;
    for (node_id id = 1; id < m->g->nnode; id++)
        for (unsigned i = 0; m->f->group_of[id] != NO_GROUP && i < m->g->node[id].nin;
             i++) {
            const value_id v = graph_in(m->g, &m->g->node[id])[i];
            const uint32_t to = m->f->group_of[id],
                           from = m->f->group_of[m->g->value[m->f->base[v]].def];
            if (from == NO_GROUP || from == to)
                continue;
            assert_true(m->f->level[from] < m->f->level[to]);
            edges++;
        }
    assert_true(edges >= 4 * 4);
}

/* What is large is read before the next is made. */
static void large_values_are_not_in_use_together(void **state)
{
    enum { BRANCHES = 5, WIDE = 1 << 18 };
    struct made *m = *state;
    uint32_t wide[BRANCHES], narrow[BRANCHES];
    for (unsigned i = 0; i < BRANCHES; i++) {
        const value_id y = graph_matmul(m->g, data(m, 64), weight(m, 64, WIDE));
        result(m, graph_matmul(m->g, y, weight(m, WIDE, 16)));
    }
    run_fuse(m, 256);
    for (unsigned i = 0; i < BRANCHES; i++) {
        const node_id last = node_of_result(m, i);
        const value_id y = graph_in(m->g, &m->g->node[last])[0];
        narrow[i] = m->f->level[m->f->group_of[last]];
        wide[i] = m->f->level[m->f->group_of[m->g->value[m->f->base[y]].def]];
        assert_true(wide[i] < narrow[i]);
    }
    for (unsigned i = 0; i < BRANCHES; i++)
        for (unsigned j = 0; j < i; j++)
            assert_true(narrow[i] < wide[j] || narrow[j] < wide[i]);
}

/* ---- deep graphs ---- */

/* A chain of layers and its gradients. */
static double seconds_of_chain(unsigned layers)
{
    struct made *m = NULL;
    made_set_up((void **)&m);
    value_id *w = arena_array(m->a, 250, sizeof *w),
             *dw = arena_array(m->a, 250, sizeof *w);
    value_id x = data(m, 64);
    unsigned n = 0;
    for (unsigned i = 0; i < layers; i++) {
        const value_id wi = weight(m, 64, 64);
        if (i % (1 + layers / 250) == 0 && n < 250)
            w[n++] = wi;
        x = made_op1(m, SX_FN_tanh,
                     made_op2(m, SX_ADD, graph_matmul(m->g, x, wi),
                              made_leaf(m, LEAF_PARAM, 1, 64, 0)));
    }
    graph_grad(m->g, graph_sum(m->g, x, 3), w, (uint8_t)n, false, dw);
    for (unsigned i = 0; i < n; i++)
        result(m, dw[i]);
    const struct pass_options none = {.remat_off = true}; /* what fusion does alone */
    assert_true(passes_run(&m->p, diag_sink_new(m->a, 5), &none));
    const struct fuse_options o = {.target = target_find("avx2"), .batch = BATCH};
    const clock_t start = clock();
    m->f = fuse(m->g, 3, &o, m->a);
    const double t = (double)(clock() - start) / CLOCKS_PER_SEC;
    assert_true(m->f->ngroup >= layers && m->f->ngroup < 4 * layers + 300);
    assert_int_equal(m->f->norder, m->f->ngroup);
    made_tear_down((void **)&m);
    return t;
}

/* Four times the layers: 4 times the time would be linear, 16 times quadratic. */
static void deep_graphs_take_time_in_proportion(void **state)
{
    double few = 1e9, many = 1e9;
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        few = fmin(few, seconds_of_chain(500));
        many = fmin(many, seconds_of_chain(2000));
    }
    printf("500 layers %.1f ms, 2000 layers %.1f ms\n", few * 1e3, many * 1e3);
    assert_true(many < 9 * few);
}

#define IN_GRAPH(test) cmocka_unit_test_setup_teardown(test, made_set_up, made_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prices_are_the_formula),
        cmocka_unit_test(more_work_costs_more),
        cmocka_unit_test(levels_follow_distance),
        IN_GRAPH(siblings_share_panels),
        IN_GRAPH(siblings_that_gain_little),
        IN_GRAPH(narrow_heads),
        IN_GRAPH(wide_heads),
        IN_GRAPH(rows_of_a_product),
        IN_GRAPH(softmax_of_a_product),
        IN_GRAPH(rows_along_a_middle_axis),
        IN_GRAPH(rows_of_few_places),
        IN_GRAPH(rows_of_places_that_are_too_long),
        IN_GRAPH(rows_of_two_kinds),
        IN_GRAPH(rows_that_are_too_long),
        IN_GRAPH(rows_that_leave_threads_idle),
        IN_GRAPH(columns_of_a_product),
        IN_GRAPH(cheap_maps_are_computed_by_readers),
        IN_GRAPH(dear_maps_are_stored),
        IN_GRAPH(readers_of_what_is_updated),
        IN_GRAPH(readers_of_an_inlined_map),
        IN_GRAPH(space_of_another_shape),
        IN_GRAPH(space_of_a_window),
        cmocka_unit_test(roles_of_a_convolution_cost_alike),
        IN_GRAPH(anchors_walk_alone),
        IN_GRAPH(order_of_chunks),
        IN_GRAPH(alias_of_a_product),
        IN_GRAPH(alias_of_an_inlined_map),
        IN_GRAPH(budget_of_members),
        IN_GRAPH(budget_of_axes),
        IN_GRAPH(cycle_through_a_norm),
        IN_GRAPH(pinned_by_the_runtime),
        IN_GRAPH(small_groups_share_launches),
        IN_GRAPH(dependent_groups_never_share),
        IN_GRAPH(large_values_are_not_in_use_together),
        cmocka_unit_test(deep_graphs_take_time_in_proportion),
    };
    return cmocka_run_group_tests_name("fusion", tests, NULL, NULL);
}
