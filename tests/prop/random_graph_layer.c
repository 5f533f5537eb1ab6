/* Layers, norms, siblings, and views of values: slices, transposes, batches buried. */
#include <string.h>

#include "tests/prop/random_graph_internal.h"

/* Two products over one space: of one operand with two weights, or the other way round. */
value_id rg_siblings(struct maker *m)
{
    const value_id x = rg_pick(m);
    const struct type *t = graph_type(m->g, x);
    if (t->rank <= t->sample || t->dim[t->rank - 1].b)
        return 0;
    static const uint8_t across[2] = {1, 0};
    const bool square = rg_below(m, 3) == 0;
    const struct ext n = t->dim[t->rank - 1],
                     d[2] = {n, square ? n : ext_const(rg_size(m))};
    const value_id w = rg_param(m, 2, d), y = graph_matmul(m->g, x, w);
    const value_id z = square ? graph_matmul(m->g, x, graph_permute(m->g, w, across))
                       : rg_below(m, 2)
                           ? graph_matmul(m->g, x, rg_param(m, 2, d))
                           : graph_matmul(m->g, graph_op1(m->g, SX_FN_tanh, x), w);
    rg_keep(m, y);
    return graph_op2(m->g, SX_MUL, y, graph_op1(m->g, SX_FN_sigmoid, z));
}

/* A layer: rg_product, bias, function; its rows and its columns summed; a part of it read
 * back. */
value_id rg_layer(struct maker *m)
{
    const value_id x = rg_product(m);
    const struct type *t = x ? graph_type(m->g, x) : NULL;
    if (!x || !t->sample || t->rank != 2 || t->dim[1].b)
        return x;
    const value_id y =
        graph_op1(m->g, SX_FN_tanh, graph_op2(m->g, SX_ADD, x, rg_param(m, 1, &t->dim[1])));
    if (rg_below(m, 2))
        rg_keep(m, y);
    if (rg_below(m, 2))
        rg_keep(m,
                graph_op2(m->g, SX_ADD, graph_sum(m->g, y, 1), rg_param(m, 1, &t->dim[1])));
    const value_id row = graph_sum(m->g, graph_op1(m->g, SX_FN_square, y), 2);
    if (rg_below(m, 2))
        rg_keep(m, graph_op1(m->g, SX_FN_softplus, row));
    return y;
}

/* Every row by a number of its own: known once the whole row is. */
value_id rg_normalized(struct maker *m)
{
    const value_id x = rg_below(m, 2) ? rg_layer(m) : rg_pick(m);
    const struct type *t = x ? graph_type(m->g, x) : NULL;
    struct type one = {.dtype = DT_F32, .rank = 2, .sample = true, .dim = {{0, 1}, {1, 0}}};
    if (!x || !t->sample || t->rank != 2 || t->dim[1].b)
        return 0;
    const value_id row = graph_sum(m->g, graph_op1(m->g, SX_FN_square, x), 2);
    const value_id c = graph_reshape(m->g, graph_op1(m->g, SX_FN_sigmoid, row), &one);
    return graph_op2(m->g, SX_MUL, x, c);
}

static value_id picked_image(struct maker *m)
{
    const value_id x = rg_pick(m);
    struct type t = *graph_type(m->g, x);
    if (t.sample && t.rank > 2)
        return x;
    const struct ext n = ext_const(rg_size(m));
    t = (struct type){.dtype = DT_F32, .rank = 3, .sample = true, .dim = {{0, 1}, n, n}};
    if (rg_below(m, 2))
        t.dim[t.rank++] = rg_below(m, 2) ? n : ext_const(rg_size(m));
    return rg_leaf(m, LEAF_DATA, &t);
}

/* A number for the places beside an axis of x.  Where extents are equal it may be read at
 * others, as if another axis had been summed. */
static value_id along_some_axis(struct maker *m, value_id x)
{
    const struct type t = *graph_type(m->g, x);
    const unsigned at = 1 + rg_below(m, t.rank - 1U);
    struct type kept = t;
    int8_t to[HYP_RANK];
    if (t.dim[at].b)
        return x;
    const value_id row = graph_op1(
        m->g, SX_FN_sigmoid, graph_sum(m->g, graph_op1(m->g, SX_FN_square, x), 1U << at));
    kept.dim[at] = ext_const(1);
    if (rg_below(m, 2))
        rg_keep(m, row);
    const bool alike = map_align(&t, graph_type(m->g, row), to);
    return alike && rg_below(m, 2) ? row : graph_reshape(m->g, row, &kept);
}

/* Rows along one axis or two. */
value_id rg_places(struct maker *m)
{
    const value_id x = picked_image(m);
    const value_id y = graph_op2(m->g, SX_MUL, x, along_some_axis(m, x));
    return rg_below(m, 2) ? y : graph_op2(m->g, SX_MUL, y, along_some_axis(m, x));
}

/* Sums over the batch whose other dims change places. */
value_id rg_permuted_sum(struct maker *m)
{
    static const uint8_t across[2] = {1, 0};
    const value_id x = rg_pick(m);
    const struct type *t = graph_type(m->g, x);
    if (!t->sample || t->rank != 2 || t->dim[1].b)
        return 0;
    struct type row = *t, column = *t;
    row.rank = column.rank = 3;
    row.dim[1] = column.dim[2] = ext_const(1);
    row.dim[2] = t->dim[1];
    const value_id y = graph_op2(m->g, SX_SUB, graph_reshape(m->g, x, &column),
                                 graph_reshape(m->g, graph_op1(m->g, SX_FN_tanh, x), &row));
    return graph_permute(m->g, graph_sum(m->g, y, 1), across);
}

/* A cheap map before a rg_product, which others may read as well. */
value_id rg_prologue(struct maker *m)
{
    const value_id x = rg_pick(m);
    const struct type t = *graph_type(m->g, x);
    if (t.rank <= t.sample || t.dim[t.rank - 1].b)
        return 0;
    const value_id by = rg_param(m, 1, &t.dim[t.rank - 1]);
    const value_id y = graph_op2(m->g, rg_below(m, 2) ? SX_MUL : SX_SUB, x, by);
    const struct ext d[2] = {t.dim[t.rank - 1], ext_const(rg_size(m))};
    if (rg_below(m, 2))
        rg_keep(m, graph_op1(m->g, SX_FN_tanh, y));
    if (rg_below(m, 4) == 0 && t.sample)
        rg_keep(m, graph_sum(m->g, y, 1));
    return graph_matmul(m->g, y, rg_param(m, 2, d));
}

/* Two values of the pool, one axis of each: every pair summed over the batch or a unit
 * axis. */
value_id rg_pair_product(struct maker *m)
{
    const value_id x = rg_pick(m), y = rg_pick(m);
    const struct type *s = graph_type(m->g, x), *t = graph_type(m->g, y);
    const value_id in[2] = {x, y};
    if (!s->rank || !t->rank || !ext_eq(s->dim[0], t->dim[0]) || s->rank > 3 || t->rank > 3)
        return 0;
    struct form f = {.nport = 3};
    const struct type *side[2] = {s, t};
    f.axis[f.naxis++] = s->dim[0];
    for (unsigned p = 0; p < 2; p++) {
        struct port *q = &f.port[p + 1];
        q->rank = side[p]->rank;
        q->shape[0] = side[p]->dim[0];
        q->dim[0] = (struct dimmap){.n = 1, .axis = {0}, .coef = {1}};
        for (unsigned i = 1; i < q->rank; i++) {
            const struct dimmap d = {.n = 1, .axis = {(int8_t)f.naxis}, .coef = {1}};
            q->shape[i] = f.axis[f.naxis++] = side[p]->dim[i];
            q->dim[i] = d;
            f.port[0].shape[f.port[0].rank] = side[p]->dim[i];
            f.port[0].dim[f.port[0].rank++] = d;
        }
    }
    return graph_form(m->g, &f, 0, in, false, DT_F32);
}

/* Adds the axes of `set` to a port, in random order. */
static void random_port(struct maker *m, struct form *f, unsigned p, uint32_t set)
{
    struct port *q = &f->port[p];
    for (unsigned k = 0; k < f->naxis; k++) {
        const unsigned at = q->rank ? rg_below(m, q->rank + 1U) : 0;
        if (!(set >> k & 1))
            continue;
        for (unsigned i = q->rank++; i > at; i--) {
            q->dim[i] = q->dim[i - 1];
            q->shape[i] = q->shape[i - 1];
        }
        q->dim[at] = (struct dimmap){.n = 1, .axis = {(int8_t)k}, .coef = {1}};
        q->shape[at] = f->axis[k];
    }
}

/* A product in which one tensor has all axes: no matrix product. */
value_id rg_covered_product(struct maker *m)
{
    const value_id x = rg_pick(m);
    const struct type *t = graph_type(m->g, x);
    struct form f = {.naxis = t->rank, .nport = 3};
    if (!t->rank)
        return 0;
    const uint32_t all = (1U << t->rank) - 1, units = t->dim[0].b ? all & ~1U : all;
    memcpy(f.axis, t->dim, sizeof f.axis[0] * t->rank);
    for (unsigned i = 0; i < t->rank; i++)
        if (i && t->dim[i].b)
            return 0;
    f.port[1].rank = t->rank;
    for (unsigned i = 0; i < t->rank; i++) {
        f.port[1].dim[i] = (struct dimmap){.n = 1, .axis = {(int8_t)i}, .coef = {1}};
        f.port[1].shape[i] = t->dim[i];
    }
    random_port(m, &f, 2, units & rg_below(m, 1U << t->rank));
    random_port(m, &f, 0, rg_below(m, 3) ? rg_below(m, 1U << t->rank) : all);
    const value_id w = rg_param(m, f.port[2].rank, f.port[2].shape);
    const value_id in[2] = {x, w};
    const value_id y = graph_form(m->g, &f, 0, in, false, DT_F32);
    if (rg_below(m, 2))
        return y;
    const value_id back[2] = {y, rg_below(m, 2) ? w : x};
    return graph_form(m->g, &f, back[1] == w ? 1 : 2, back, back[1] == w && t->sample,
                      DT_F32);
}

value_id rg_slice(struct maker *m)
{
    const value_id x = rg_pick(m);
    const struct type *t = graph_type(m->g, x);
    const unsigned axis = t->rank ? rg_below(m, t->rank) : 0;
    if (t->rank <= t->sample || t->dim[axis].b || t->dim[axis].c < 2)
        return 0;
    const int32_t n = t->dim[axis].c, from = (int32_t)rg_below(m, (uint32_t)n);
    const int32_t count = 1 + (int32_t)rg_below(m, (uint32_t)(n - from));
    return graph_slice(m->g, x, (uint8_t)axis, ext_const(from), ext_const(count));
}

value_id rg_concat(struct maker *m)
{
    const value_id x = rg_pick(m);
    const struct type *t = graph_type(m->g, x);
    value_id in[2] = {x, 0};
    if (t->rank <= t->sample)
        return 0;
    const unsigned axis = t->sample + rg_below(m, (uint32_t)(t->rank - t->sample));
    /* no -x: sums that cancel exactly in one order only would meet jumps */
    in[1] = rg_below(m, 2) ? x : graph_op2(m->g, SX_MUL, x, graph_const(m->g, -0.75));
    return graph_concat(m->g, in, 2, (uint8_t)axis);
}

value_id rg_permute(struct maker *m)
{
    const value_id x = rg_pick(m);
    const struct type *t = graph_type(m->g, x);
    uint8_t perm[HYP_RANK];
    if (t->rank < t->sample + 2)
        return 0;
    for (unsigned i = 0; i < t->rank; i++)
        perm[i] = (uint8_t)i;
    for (unsigned i = t->rank - 1U; i > t->sample; i--) {
        const unsigned j = t->sample + rg_below(m, i + 1 - t->sample);
        const uint8_t swap = perm[i];
        perm[i] = perm[j];
        perm[j] = swap;
    }
    return graph_permute(m->g, x, perm);
}

value_id rg_flatten(struct maker *m)
{
    const value_id x = rg_pick(m);
    const struct type *t = graph_type(m->g, x);
    struct type flat = {.dtype = DT_F32, .rank = t->sample, .sample = t->sample};
    int32_t n = 1;
    flat.dim[0] = t->dim[0];
    for (unsigned i = t->sample; i < t->rank; i++) {
        if (t->dim[i].b)
            return 0;
        n *= t->dim[i].c;
    }
    if (n > 2 && n % 2 == 0 && rg_below(m, 2)) {
        flat.dim[flat.rank++] = ext_const(2);
        n /= 2;
    }
    flat.dim[flat.rank++] = ext_const(n);
    return graph_reshape(m->g, x, &flat);
}

/* As an axis and back: the flag alone. */
value_id rg_retype(struct maker *m)
{
    const value_id x = rg_pick(m);
    const struct type *t = graph_type(m->g, x);
    if (t->sample)
        return graph_retype(m->g, x, false);
    return t->rank && t->dim[0].b == 1 && !t->dim[0].c ? graph_retype(m->g, x, true) : 0;
}

/* The batch as an axis between others. */
value_id rg_bury_batch(struct maker *m)
{
    const value_id x = rg_pick(m);
    const struct type *t = graph_type(m->g, x);
    uint8_t perm[HYP_RANK];
    if (!t->sample || t->rank < 2)
        return 0;
    const unsigned rank = t->rank, at = 1 + rg_below(m, rank - 1U);
    for (unsigned i = 0; i < rank && i < HYP_RANK; i++)
        perm[i] = (uint8_t)(i == at ? 0 : i < at ? i + 1 : i);
    return graph_permute(m->g, graph_retype(m->g, x, false), perm);
}

/* Units and batch in one form, as the adjoint of a broadcast has it; kept dims anywhere. */
value_id rg_sum_at_once(struct maker *m)
{
    const value_id x = rg_pick(m);
    const struct type *t = graph_type(m->g, x);
    const uint32_t over = t->rank ? 1 | rg_below(m, 1U << t->rank) : 0;
    if (!over)
        return 0;
    const struct form f = form_sum(t->dim, t->rank, over);
    return graph_form(m->g, &f, 1, &x, false, DT_F32);
}

/* To the type of another value: as a map operand, and by a form along any axes. */
value_id rg_broadcast(struct maker *m)
{
    const value_id x = rg_pick(m), y = rg_pick(m);
    const struct type *t = graph_type(m->g, y);
    int8_t to[HYP_RANK];
    if (map_align(t, graph_type(m->g, x), to))
        return graph_broadcast(m->g, x, t);
    const uint32_t over = t->rank > 1 ? rg_below(m, 1U << t->rank) & ~1U : 0;
    if (!over)
        return 0;
    const value_id part = graph_sum(m->g, y, over);
    const struct form f = form_sum(t->dim, t->rank, over);
    return graph_op2(m->g, SX_MUL, graph_form(m->g, &f, 0, &part, t->sample, DT_F32), y);
}
