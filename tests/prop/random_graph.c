/* The generator keeps a pool of float values; every step makes one value from values of the
 * pool. */
#include "tests/prop/random_graph.h"

#include <string.h>

#include "runtime/base/arena.h"
#include "runtime/base/philox.h"

uint32_t rng_below(struct rng *r, uint32_t n)
{
    r->state = r->state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)((r->state >> 33) % n);
}

struct maker {
    struct graph *g;
    struct rng rng;
    const struct random_options *o;
    struct arena *a;
    value_id *pool;
    bool *used;
    uint32_t n, cap, cused;
    unsigned nleaf, nsite;
    region_id region;
};

static uint32_t below(struct maker *m, uint32_t n)
{
    return rng_below(&m->rng, n);
}

static bool fits(const struct maker *m, const struct type *t)
{
    return t->rank < HYP_RANK - 2 &&
           type_elems(t, 5) <= (m->o->max_elems ? m->o->max_elems : 400);
}

static void keep(struct maker *m, value_id v)
{
    if (!v || !fits(m, graph_type(m->g, v)) || graph_type(m->g, v)->dtype != DT_F32)
        return;
    for (uint32_t i = 0; i < m->n; i++)
        if (m->pool[i] == v)
            return;
    m->pool = arena_grow(m->a, m->pool, &m->cap, m->n + 1, sizeof *m->pool);
    m->used = arena_grow(m->a, m->used, &m->cused, m->n + 1, sizeof *m->used);
    m->pool[m->n] = v;
    m->used[m->n++] = false;
}

/* A value of the pool; recent ones more often. */
static value_id pick(struct maker *m)
{
    const uint32_t i = m->n - 1 - below(m, 1 + below(m, m->n));
    m->used[i] = true;
    return m->pool[i];
}

static int32_t size(struct maker *m)
{
    static const int32_t sizes[] = {1, 2, 3, 3, 4, 5, 7};
    return sizes[below(m, sizeof sizes / sizeof *sizes)];
}

static struct type random_type(struct maker *m, bool sample)
{
    struct type t = {.dtype = DT_F32, .sample = sample};
    if (sample)
        t.dim[t.rank++] = (struct ext){0, 1};
    for (unsigned n = below(m, 4); n > 0; n--)
        t.dim[t.rank++] = ext_const(size(m));
    return t;
}

static value_id leaf(struct maker *m, enum leaf_what what, const struct type *t)
{
    const char *path = arena_fmt(m->a, "leaf%u", m->nleaf++);
    return graph_leaf(m->g, what, 0, 0, path, *t);
}

static value_id param(struct maker *m, unsigned rank, const struct ext *dim)
{
    struct type t = {.dtype = DT_F32, .rank = (uint8_t)rank};
    memcpy(t.dim, dim, rank * sizeof *dim);
    return leaf(m, LEAF_PARAM, &t);
}

/* ---- maps ---- */

static const enum sx_op smooth1[] = {SX_FN_tanh, SX_FN_sigmoid, SX_FN_softplus, SX_FN_sin,
                                     SX_FN_cos,  SX_NEG,        SX_FN_square,   SX_FN_erf};
static const enum sx_op kinked1[] = {SX_FN_relu,         SX_ABS,    SX_FN_elu, SX_FN_sign,
                                     SX_FN_hard_sigmoid, SX_FN_tanh};
static const enum sx_op smooth2[] = {SX_ADD, SX_SUB, SX_MUL};
static const enum sx_op kinked2[] = {SX_MIN, SX_MAX, SX_FN_maximum, SX_FN_leaky_relu};

static value_id unary(struct maker *m)
{
    const bool kink = !m->o->smooth && below(m, 2);
    const enum sx_op op = kink ? kinked1[below(m, 6)] : smooth1[below(m, 8)];
    return graph_op1(m->g, op, pick(m));
}

static value_id binary(struct maker *m)
{
    const bool kink = !m->o->smooth && below(m, 3) == 0;
    const enum sx_op op = kink ? kinked2[below(m, 4)] : smooth2[below(m, 3)];
    struct type t;
    unsigned axis;
    for (unsigned tries = 0; tries < 8; tries++) {
        const value_id x = pick(m), y = pick(m);
        if (type_join(graph_type(m->g, x), graph_type(m->g, y), &t, &axis) && fits(m, &t))
            return graph_op2(m->g, op, x, y);
    }
    return 0;
}

/* x * y + c, over axes and draws: one expression written as several sx nodes. */
static value_id mixed(struct maker *m)
{
    struct sxb *b = &m->g->sx;
    const value_id x = pick(m);
    const struct type t = *graph_type(m->g, x);
    sx_id fn = sx_arg(b, 0, SX_FLOAT);
    const unsigned dim = t.rank ? below(m, t.rank) : 0;
    if (t.rank && !t.dim[dim].b) {
        const sx_id axis = sx_make(b, SX_I2F, sx_axis(b, dim), 0, 0);
        fn = sx_make(b, SX_ADD, sx_make(b, SX_MUL, fn, sx_const(b, 0.5), 0),
                     sx_make(b, SX_MUL, axis, sx_const(b, 0.125), 0), 0);
    }
    if (below(m, 2)) {
        const char *path = arena_fmt(m->a, "phase/draw~%u", ++m->nsite);
        const site_id site = graph_site(m->g, path, m->region, below(m, 3) != 0);
        const sx_id e = t.rank ? sx_axis(b, t.rank - 1U) : sx_int(b, 3);
        const sx_id w = below(m, 2) ? sx_normal(b, site, e) : sx_uniform(b, site, e);
        fn = sx_make(b, SX_ADD, sx_make(b, SX_MUL, fn, w, 0), sx_const(b, -0.25), 0);
    }
    return graph_map(m->g, fn, &x, 1, NULL);
}

/* ---- forms ---- */

static value_id sum_some(struct maker *m)
{
    const value_id x = pick(m);
    const unsigned rank = graph_type(m->g, x)->rank;
    const uint32_t over = rank ? below(m, 1U << rank) : 0;
    return over ? graph_sum(m->g, x, over) : 0;
}

static value_id product(struct maker *m)
{
    const value_id x = pick(m);
    const struct type *t = graph_type(m->g, x);
    if (t->rank <= t->sample || t->dim[t->rank - 1].b)
        return 0;
    struct ext d[2] = {t->dim[t->rank - 1], ext_const(size(m))};
    if (below(m, 4) == 0 && t->rank + 1 < HYP_RANK - 2)
        return graph_matmul(m->g, x, param(m, 1, d));
    return graph_matmul(m->g, x, param(m, 2, d));
}

/* What gradients are: several products added up. */
static value_id two_products(struct maker *m)
{
    const value_id x = product(m), y = product(m);
    if (!x || !y || !type_eq(graph_type(m->g, x), graph_type(m->g, y)))
        return x;
    keep(m, x);
    return graph_op2(m->g, SX_ADD, x, y);
}

/* ---- what networks are made of, so that fusion meets all it knows ---- */

/* Two products over one space: of one operand with two weights, or the other way round. */
static value_id siblings(struct maker *m)
{
    const value_id x = pick(m);
    const struct type *t = graph_type(m->g, x);
    if (t->rank <= t->sample || t->dim[t->rank - 1].b)
        return 0;
    static const uint8_t across[2] = {1, 0};
    const bool square = below(m, 3) == 0;
    const struct ext n = t->dim[t->rank - 1], d[2] = {n, square ? n : ext_const(size(m))};
    const value_id w = param(m, 2, d), y = graph_matmul(m->g, x, w);
    const value_id z = square ? graph_matmul(m->g, x, graph_permute(m->g, w, across))
                       : below(m, 2)
                           ? graph_matmul(m->g, x, param(m, 2, d))
                           : graph_matmul(m->g, graph_op1(m->g, SX_FN_tanh, x), w);
    keep(m, y);
    return graph_op2(m->g, SX_MUL, y, graph_op1(m->g, SX_FN_sigmoid, z));
}

/* A layer: product, bias, function; its rows and its columns summed; a part of it read
 * back. */
static value_id layer(struct maker *m)
{
    const value_id x = product(m);
    const struct type *t = x ? graph_type(m->g, x) : NULL;
    if (!x || !t->sample || t->rank != 2 || t->dim[1].b)
        return x;
    const value_id y =
        graph_op1(m->g, SX_FN_tanh, graph_op2(m->g, SX_ADD, x, param(m, 1, &t->dim[1])));
    if (below(m, 2))
        keep(m, y);
    if (below(m, 2))
        keep(m, graph_op2(m->g, SX_ADD, graph_sum(m->g, y, 1), param(m, 1, &t->dim[1])));
    const value_id row = graph_sum(m->g, graph_op1(m->g, SX_FN_square, y), 2);
    if (below(m, 2))
        keep(m, graph_op1(m->g, SX_FN_softplus, row));
    return y;
}

/* Every row by a number of its own: known once the whole row is. */
static value_id normalized(struct maker *m)
{
    const value_id x = below(m, 2) ? layer(m) : pick(m);
    const struct type *t = x ? graph_type(m->g, x) : NULL;
    struct type one = {.dtype = DT_F32, .rank = 2, .sample = true, .dim = {{0, 1}, {1, 0}}};
    if (!x || !t->sample || t->rank != 2 || t->dim[1].b)
        return 0;
    const value_id row = graph_sum(m->g, graph_op1(m->g, SX_FN_square, x), 2);
    const value_id c = graph_reshape(m->g, graph_op1(m->g, SX_FN_sigmoid, row), &one);
    return graph_op2(m->g, SX_MUL, x, c);
}

/* Sums over the batch whose other dims change places. */
static value_id permuted_sum(struct maker *m)
{
    static const uint8_t across[2] = {1, 0};
    const value_id x = pick(m);
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

/* A cheap map before a product, which others may read as well. */
static value_id prologue(struct maker *m)
{
    const value_id x = pick(m);
    const struct type t = *graph_type(m->g, x);
    if (t.rank <= t.sample || t.dim[t.rank - 1].b)
        return 0;
    const value_id by = param(m, 1, &t.dim[t.rank - 1]);
    const value_id y = graph_op2(m->g, below(m, 2) ? SX_MUL : SX_SUB, x, by);
    const struct ext d[2] = {t.dim[t.rank - 1], ext_const(size(m))};
    if (below(m, 2))
        keep(m, graph_op1(m->g, SX_FN_tanh, y));
    if (below(m, 4) == 0 && t.sample)
        keep(m, graph_sum(m->g, y, 1));
    return graph_matmul(m->g, y, param(m, 2, d));
}

/* Two values of the pool, one axis of each: every pair summed over the batch or a unit
 * axis. */
static value_id pair_product(struct maker *m)
{
    const value_id x = pick(m), y = pick(m);
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
        const unsigned at = q->rank ? below(m, q->rank + 1U) : 0;
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
static value_id covered_product(struct maker *m)
{
    const value_id x = pick(m);
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
    random_port(m, &f, 2, units & below(m, 1U << t->rank));
    random_port(m, &f, 0, below(m, 3) ? below(m, 1U << t->rank) : all);
    const value_id w = param(m, f.port[2].rank, f.port[2].shape);
    const value_id in[2] = {x, w};
    const value_id y = graph_form(m->g, &f, 0, in, false, DT_F32);
    if (below(m, 2))
        return y;
    const value_id back[2] = {y, below(m, 2) ? w : x};
    return graph_form(m->g, &f, back[1] == w ? 1 : 2, back, back[1] == w && t->sample,
                      DT_F32);
}

static value_id slice(struct maker *m)
{
    const value_id x = pick(m);
    const struct type *t = graph_type(m->g, x);
    const unsigned axis = t->rank ? below(m, t->rank) : 0;
    if (t->rank <= t->sample || t->dim[axis].b || t->dim[axis].c < 2)
        return 0;
    const int32_t n = t->dim[axis].c, from = (int32_t)below(m, (uint32_t)n);
    const int32_t count = 1 + (int32_t)below(m, (uint32_t)(n - from));
    return graph_slice(m->g, x, (uint8_t)axis, ext_const(from), ext_const(count));
}

static value_id concat(struct maker *m)
{
    const value_id x = pick(m);
    const struct type *t = graph_type(m->g, x);
    value_id in[2] = {x, 0};
    if (t->rank <= t->sample)
        return 0;
    const unsigned axis = t->sample + below(m, (uint32_t)(t->rank - t->sample));
    /* no -x: sums that cancel exactly in one order only would meet jumps */
    in[1] = below(m, 2) ? x : graph_op2(m->g, SX_MUL, x, graph_const(m->g, -0.75));
    return graph_concat(m->g, in, 2, (uint8_t)axis);
}

static value_id permute(struct maker *m)
{
    const value_id x = pick(m);
    const struct type *t = graph_type(m->g, x);
    uint8_t perm[HYP_RANK];
    if (t->rank < t->sample + 2)
        return 0;
    for (unsigned i = 0; i < t->rank; i++)
        perm[i] = (uint8_t)i;
    for (unsigned i = t->rank - 1U; i > t->sample; i--) {
        const unsigned j = t->sample + below(m, i + 1 - t->sample);
        const uint8_t swap = perm[i];
        perm[i] = perm[j];
        perm[j] = swap;
    }
    return graph_permute(m->g, x, perm);
}

static value_id flatten(struct maker *m)
{
    const value_id x = pick(m);
    const struct type *t = graph_type(m->g, x);
    struct type flat = {.dtype = DT_F32, .rank = t->sample, .sample = t->sample};
    int32_t n = 1;
    flat.dim[0] = t->dim[0];
    for (unsigned i = t->sample; i < t->rank; i++) {
        if (t->dim[i].b)
            return 0;
        n *= t->dim[i].c;
    }
    if (n > 2 && n % 2 == 0 && below(m, 2)) {
        flat.dim[flat.rank++] = ext_const(2);
        n /= 2;
    }
    flat.dim[flat.rank++] = ext_const(n);
    return graph_reshape(m->g, x, &flat);
}

/* As an axis and back: the flag alone. */
static value_id retype(struct maker *m)
{
    const value_id x = pick(m);
    const struct type *t = graph_type(m->g, x);
    if (t->sample)
        return graph_retype(m->g, x, false);
    return t->rank && t->dim[0].b == 1 && !t->dim[0].c ? graph_retype(m->g, x, true) : 0;
}

/* The batch as an axis between others. */
static value_id bury_batch(struct maker *m)
{
    const value_id x = pick(m);
    const struct type *t = graph_type(m->g, x);
    uint8_t perm[HYP_RANK];
    if (!t->sample || t->rank < 2)
        return 0;
    const unsigned rank = t->rank, at = 1 + below(m, rank - 1U);
    for (unsigned i = 0; i < rank && i < HYP_RANK; i++)
        perm[i] = (uint8_t)(i == at ? 0 : i < at ? i + 1 : i);
    return graph_permute(m->g, graph_retype(m->g, x, false), perm);
}

/* Units and batch in one form, as the adjoint of a broadcast has it; kept dims anywhere. */
static value_id sum_at_once(struct maker *m)
{
    const value_id x = pick(m);
    const struct type *t = graph_type(m->g, x);
    const uint32_t over = t->rank ? 1 | below(m, 1U << t->rank) : 0;
    if (!over)
        return 0;
    const struct form f = form_sum(t->dim, t->rank, over);
    return graph_form(m->g, &f, 1, &x, false, DT_F32);
}

/* To the type of another value: as a map operand, and by a form along any axes. */
static value_id broadcast(struct maker *m)
{
    const value_id x = pick(m), y = pick(m);
    const struct type *t = graph_type(m->g, y);
    int8_t to[HYP_RANK];
    if (map_align(t, graph_type(m->g, x), to))
        return graph_broadcast(m->g, x, t);
    const uint32_t over = t->rank > 1 ? below(m, 1U << t->rank) & ~1U : 0;
    if (!over)
        return 0;
    const value_id part = graph_sum(m->g, y, over);
    const struct form f = form_sum(t->dim, t->rank, over);
    return graph_op2(m->g, SX_MUL, graph_form(m->g, &f, 0, &part, t->sample, DT_F32), y);
}

/* One window dim h = s o + d k - p over the last axis, the rest plain. */
static struct form window_form(struct maker *m, const struct type *t, int32_t *out)
{
    struct form f = {.naxis = t->rank, .nport = 2};
    const unsigned last = t->rank - 1U;
    const int32_t n = t->dim[last].c, k = 1 + (int32_t)below(m, 3);
    const int32_t s = 1 + (int32_t)below(m, 3), d = 1 + (int32_t)below(m, 2);
    const int32_t pad = (int32_t)below(m, 2);
    const int32_t o = (n + 2 * pad - d * (k - 1) - 1) / s + 1;
    *out = n + 2 * pad < d * (k - 1) + 1 ? 0 : o;
    for (unsigned i = 0; i < t->rank; i++) {
        f.axis[i] = i == last ? ext_const(*out) : t->dim[i];
        f.port[0].dim[i] = f.port[1].dim[i] =
            (struct dimmap){.n = 1, .axis = {(int8_t)i}, .coef = {1}};
        f.port[0].shape[i] = t->dim[i];
        f.port[1].shape[i] = f.axis[i];
    }
    f.port[0].rank = f.port[1].rank = t->rank;
    f.axis[f.naxis++] = ext_const(k);
    f.port[0].dim[last] = (struct dimmap){.n = 2,
                                          .axis = {(int8_t)last, (int8_t)t->rank},
                                          .coef = {s, d},
                                          .off = ext_const(-pad)};
    return f;
}

static bool has_unit_axis(const struct type *t)
{
    return t->rank > t->sample && !t->dim[t->rank - 1].b;
}

/* Sums, or the largest, of windows; or spread back by the same form. */
static value_id window(struct maker *m)
{
    const value_id x = pick(m);
    const struct type *t = graph_type(m->g, x);
    int32_t out;
    if (!has_unit_axis(t) || m->o->no_windows)
        return 0;
    const struct form f = window_form(m, t, &out);
    if (out < 1)
        return 0;
    const value_id y = graph_form(m->g, &f, 1, &x, t->sample, DT_F32);
    return below(m, 2) ? y : graph_form(m->g, &f, 0, &y, t->sample, DT_F32);
}

/* A product along the last axis with a window: a convolution in one dim, or its transpose.
 */
static value_id convolution(struct maker *m)
{
    const value_id x = pick(m);
    const struct type t = *graph_type(m->g, x);
    int32_t out;
    if (!has_unit_axis(&t) || t.rank < t.sample + 2 || m->o->no_windows || t.rank > 4)
        return 0;
    struct form f = window_form(m, &t, &out);
    if (out < 1)
        return 0;
    /* port 2: weights [f, c, k]; the channel axis (last but one) is summed, f takes its
     * place */
    const unsigned c = t.rank - 2U;
    const struct ext channels = t.dim[c], filters = ext_const(size(m)), k = f.axis[t.rank];
    if (channels.b)
        return 0;
    const struct port image = f.port[0];
    struct port result = f.port[1];
    const int8_t af = (int8_t)f.naxis;
    f.axis[f.naxis++] = filters;
    result.dim[c].axis[0] = af;
    result.shape[c] = filters;
    f.nport = 3;
    f.port[0] = result;
    f.port[1] = image;
    f.port[2] = (struct port){.rank = 3, .shape = {filters, channels, k}};
    const int8_t axes[3] = {af, (int8_t)c, (int8_t)t.rank};
    for (unsigned i = 0; i < 3; i++)
        f.port[2].dim[i] = (struct dimmap){.n = 1, .axis = {axes[i]}, .coef = {1}};
    value_id in[2] = {x, param(m, 3, f.port[2].shape)};
    const value_id y = graph_form(m->g, &f, 0, in, t.sample, DT_F32);
    if (below(m, 2))
        return y;
    in[0] = y;
    return graph_form(m->g, &f, 1, in, t.sample, DT_F32);
}

/* The last axis as a diagonal: an axis in two dims, which form_solve() leaves whole. */
static value_id diagonal(struct maker *m)
{
    const value_id x = pick(m);
    const struct type *t = graph_type(m->g, x);
    struct form f = {.naxis = t->rank, .nport = 2};
    if (!has_unit_axis(t) || t->rank == HYP_RANK || m->o->no_windows)
        return 0;
    for (unsigned i = 0; i <= t->rank; i++) {
        const unsigned k = i < t->rank ? i : t->rank - 1U;
        f.port[0].shape[i] = f.port[1].shape[i] = f.axis[k] = t->dim[k];
        f.port[0].dim[i] = f.port[1].dim[i] =
            (struct dimmap){.n = 1, .axis = {(int8_t)k}, .coef = {1}};
    }
    f.port[0].rank = (uint8_t)(t->rank + 1);
    f.port[1].rank = t->rank;
    return graph_form(m->g, &f, 0, &x, t->sample, DT_F32);
}

/* A tensor for a port of a form: data, or a weight. */
static value_id port_leaf(struct maker *m, const struct port *q, bool sample)
{
    struct type t = {.dtype = DT_F32, .rank = q->rank, .sample = sample};
    memcpy(t.dim, q->shape, q->rank * sizeof *t.dim);
    return leaf(m, sample ? LEAF_DATA : LEAF_PARAM, &t);
}

/* The number of an element of all dims but the batch. */
static sx_id element_of(struct maker *m, const struct type *t)
{
    struct sxb *b = &m->g->sx;
    sx_id e = sx_int(b, 1);
    for (unsigned d = t->sample; d < t->rank; d++)
        e = sx_make(b, SX_IADD, sx_make(b, SX_IMUL, e, sx_int(b, t->dim[d].c), 0),
                    sx_axis(b, d), 0);
    return e;
}

/* A draw for every element: added, or what some of them are left out by. */
static value_id noisy(struct maker *m, value_id x)
{
    struct sxb *b = &m->g->sx;
    const struct type *t = graph_type(m->g, x);
    const char *path = arena_fmt(m->a, "phase/draw~%u", ++m->nsite);
    const site_id site = graph_site(m->g, path, m->region, t->sample && below(m, 3) != 0);
    const sx_id e = element_of(m, t), v = sx_arg(b, 0, SX_FLOAT);
    const sx_id fn =
        below(m, 2) ? sx_make(b, SX_ADD, v, sx_normal(b, site, e), 0)
                    : sx_make(b, SX_SEL, sx_bernoulli(b, site, e, sx_const(b, 0.5)),
                              sx_make(b, SX_MUL, v, sx_const(b, 2), 0), sx_const(b, 0));
    return graph_map(m->g, fn, &x, 1, NULL);
}

/* What a convolution may compute where it reads x: 0 at 0, or something else. */
static value_id before_window(struct maker *m, value_id x)
{
    static const enum sx_op fn[] = {SX_FN_relu, SX_FN_cos, SX_NEG, SX_FN_sigmoid};
    struct type t = *graph_type(m->g, x);
    if (below(m, 3) == 0)
        x = noisy(m, x);
    if (below(m, 3) == 0)
        x = graph_op2(m->g, SX_MUL, x, leaf(m, t.sample ? LEAF_DATA : LEAF_PARAM, &t));
    for (unsigned d = t.sample; d < t.rank; d++) /* a bias of some dims */
        t.dim[d] = below(m, 2) ? ext_const(1) : t.dim[d];
    if (below(m, 3) == 0)
        x = graph_op2(m->g, SX_ADD, x, param(m, t.rank - t.sample, t.dim + t.sample));
    return below(m, 2) ? x : graph_op1(m->g, fn[below(m, 4)], x);
}

static value_id read_out(struct maker *m, const struct form *f, uint8_t port,
                         const value_id t[3])
{
    const value_id in[2] = {t[port == 0], t[port == 2 ? 1 : 2]};
    return graph_form(m->g, f, port, in, port < 2, DT_F32);
}

/* Operands that maps compute, read by two, of which one reads more of them. */
static value_id computed_convolution(struct maker *m, const struct form *f, uint8_t port)
{
    value_id t[2][3];
    const unsigned first = below(m, 2), more = below(m, 3);
    for (unsigned j = 0; j < 3; j++)
        t[0][j] = t[1][j] = before_window(m, port_leaf(m, &f->port[j], j < 2));
    t[1][more] = before_window(m, t[1][more]);
    keep(m, read_out(m, f, below(m, 2) ? port : (uint8_t)below(m, 3), t[first]));
    return read_out(m, f, port, t[1 - first]);
}

/* Images of two dims with any kernel, stride, pad, dilation and groups; read out at the
 * result, the image (rows that no window reaches, too) or the weights. */
static value_id image_convolution(struct maker *m)
{
    int32_t in[3], out[3], k[2], s[2], p[2], d[2];
    const int32_t groups = below(m, 4) ? 1 : 2;
    if (m->o->no_windows)
        return 0;
    in[0] = groups * (1 + (int32_t)below(m, 3));
    out[0] = groups * (1 + (int32_t)below(m, 3));
    for (unsigned i = 0; i < 2; i++) {
        k[i] = 1 + (int32_t)below(m, 5);
        s[i] = 1 + (int32_t)below(m, 3);
        d[i] = 1 + (int32_t)below(m, 2);
        p[i] = (int32_t)below(m, 3);
        out[1 + i] = 1 + (int32_t)below(m, 3);
        const int32_t least = s[i] * (out[1 + i] - 1) + d[i] * (k[i] - 1) + 1 - 2 * p[i];
        in[1 + i] = (least < 1 ? 1 : least) + (int32_t)below(m, (uint32_t)s[i]);
    }
    const struct form f = form_conv((struct ext){0, 1}, in, out, k, s, p, d, groups);
    const uint8_t port = (uint8_t)below(m, 3);
    value_id t[3] = {0};
    if (m->o->computed)
        return computed_convolution(m, &f, port);
    for (unsigned j = 0; j < 3; j++)
        if (j != port)
            t[j] = port_leaf(m, &f.port[j], j < 2);
    return read_out(m, &f, port, t);
}

/* The last axis reversed, or every second element of it. */
static value_id stride_or_flip(struct maker *m)
{
    const value_id x = pick(m);
    const struct type *t = graph_type(m->g, x);
    struct form f = {.naxis = t->rank, .nport = 2};
    if (!has_unit_axis(t))
        return 0;
    const unsigned last = t->rank - 1U;
    const int32_t n = t->dim[last].c;
    const bool flip = below(m, 2);
    for (unsigned i = 0; i < t->rank; i++) {
        f.axis[i] = i < last || flip ? t->dim[i] : ext_const((n + 1) / 2);
        f.port[0].dim[i] = f.port[1].dim[i] =
            (struct dimmap){.n = 1, .axis = {(int8_t)i}, .coef = {1}};
        f.port[0].shape[i] = t->dim[i];
        f.port[1].shape[i] = f.axis[i];
    }
    f.port[0].rank = f.port[1].rank = t->rank;
    f.port[0].dim[last].coef[0] = flip ? -1 : 2;
    f.port[0].dim[last].off = ext_const(flip ? n - 1 : 0);
    return graph_form(m->g, &f, 1, &x, t->sample, DT_F32);
}

/* ---- folds and choices ---- */

static value_id fold(struct maker *m)
{
    const value_id x = pick(m);
    const struct type *t = graph_type(m->g, x);
    int32_t out;
    if (m->o->smooth || !has_unit_axis(t))
        return 0;
    if (below(m, 2) && !m->o->no_windows) {
        const struct form f = window_form(m, t, &out);
        /* every window must meet the image: pads of 1 do with kernels of 2 and more */
        if (out < 1 || (f.port[0].dim[t->rank - 1].off.c && f.axis[t->rank].c < 2))
            return 0;
        return graph_fold(m->g, &f, 1, COMB_MAX, x, t->sample, NULL);
    }
    const struct form f = form_sum(t->dim, t->rank, 1U << (t->rank - 1));
    value_id index;
    const value_id v = graph_fold(m->g, &f, 1, COMB_ARGMAX, x, t->sample, &index);
    keep(m, graph_op1(m->g, SX_I2F, index));
    return v;
}

/* Integers from -1 to the extent: out of range on both sides. */
static value_id random_index(struct maker *m, const struct type *t, int32_t n)
{
    struct sxb *b = &m->g->sx;
    sx_id at = sx_int(b, (int32_t)below(m, 7));
    for (unsigned d = 0; d < t->rank; d++)
        at =
            sx_make(b, SX_IADD, sx_make(b, SX_IMUL, at, sx_int(b, 3), 0), sx_axis(b, d), 0);
    at = sx_make(b, SX_ISUB, sx_make(b, SX_IREM, at, sx_int(b, n + 2), 0), sx_int(b, 1), 0);
    struct type index = *t;
    index.dtype = DT_I32;
    return graph_map(m->g, at, NULL, 0, &index);
}

/* One that the host knows: a setting, scaled. */
static value_id setting_index(struct maker *m)
{
    const struct type t = type_scalar(DT_F32);
    const value_id x = leaf(m, LEAF_SETTING, &t);
    const value_id far = graph_const(m->g, 1 + (double)below(m, 9));
    return graph_op1(m->g, SX_F2I, graph_op2(m->g, SX_MUL, x, far));
}

static value_id choose(struct maker *m)
{
    const value_id x = pick(m);
    const struct type t = *graph_type(m->g, x);
    if (!has_unit_axis(&t))
        return 0;
    const unsigned axis = t.rank - 1U;
    struct type at = t;
    at.dim[axis] = ext_const(size(m));
    at.rank = (uint8_t)(axis + below(m, 2));
    const value_id index = below(m, 4) || m->o->smooth ? random_index(m, &at, t.dim[axis].c)
                                                       : setting_index(m);
    const value_id got = graph_gather(m->g, x, index, (uint8_t)axis);
    return below(m, 2) ? got : graph_scatter(m->g, got, index, (uint8_t)axis, &t);
}

/* ---- all ---- */

typedef value_id make_fn(struct maker *m);
static make_fn *const makers[] = {unary,
                                  unary,
                                  binary,
                                  binary,
                                  mixed,
                                  mixed,
                                  sum_some,
                                  product,
                                  product,
                                  pair_product,
                                  slice,
                                  concat,
                                  permute,
                                  flatten,
                                  retype,
                                  window,
                                  fold,
                                  convolution,
                                  image_convolution,
                                  diagonal,
                                  stride_or_flip,
                                  choose,
                                  bury_batch,
                                  sum_at_once,
                                  broadcast,
                                  covered_product,
                                  covered_product,
                                  two_products,
                                  two_products,
                                  siblings,
                                  layer,
                                  normalized,
                                  prologue,
                                  permuted_sum};

static void name_places(struct maker *m, unsigned step)
{
    const struct loc loc = {1, step + 1, 3, 5};
    m->g->where =
        graph_place(m->g, loc, 0, WHY_WRITTEN, arena_fmt(m->a, "phase/n\"%u", step));
    if (below(m, 2))
        m->g->expr = graph_new_expr(m->g);
}

static void add_roots(struct maker *m)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < m->n; i++)
        if (!m->used[i] || below(m, 5) == 0) /* some that others read, as probes do */
            graph_root(m->g, m->region, ROOT_OUTPUT, 0, 0, m->pool[i],
                       arena_fmt(m->a, "o%u", n++));
}

void random_graph(struct arena *a, uint64_t seed, const struct random_options *o,
                  struct program *p)
{
    struct maker m = {.g = &p->graph, .rng = {seed * 7919 + 1}, .o = o, .a = a};
    const unsigned nodes = o->nodes ? o->nodes : 14;
    memset(p, 0, sizeof *p);
    p->arena = a;
    graph_init(&p->graph, a);
    p->host = graph_region(&p->graph, REGION_HOST, "host");
    m.region = m.g->at = graph_region(&p->graph, REGION_PHASE, "phase");
    for (unsigned i = 0; i < 3; i++) {
        const struct type t = random_type(&m, i < 2);
        keep(&m, leaf(&m, i < 2 ? LEAF_DATA : LEAF_PARAM, &t));
    }
    while (m.n < 3) {
        const struct type t = type_scalar(DT_F32);
        keep(&m, leaf(&m, LEAF_SETTING, &t));
    }
    for (unsigned i = 0; m.n < nodes && i < 10 * nodes; i++) {
        name_places(&m, i);
        const value_id v = o->computed && below(&m, 3) == 0
                               ? image_convolution(&m)
                               : makers[below(&m, sizeof makers / sizeof *makers)](&m);
        /* difference quotients need values that stay small */
        keep(&m, v && o->smooth ? graph_op1(m.g, SX_FN_sin, v) : v);
    }
    m.g->expr = 0;
    add_roots(&m);
}

/* ---- evaluation ---- */

static void leaf_values(void *cx, const struct leaf *l, int64_t n, double *out)
{
    const uint64_t site = hyp_site(l->path);
    (void)cx;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t w = hyp_random_word(1, site, 0, 0, (uint32_t)i);
        out[i] = l->type.dtype == DT_F32   ? 2 * (double)hyp_uniform(w) - 1
                 : l->type.dtype == DT_I32 ? w % 5
                                           : w & 1;
    }
}

struct graph_eval random_eval(const struct graph *g, int64_t batch, bool f32)
{
    return (struct graph_eval){
        .graph = g, .batch = batch, .f32 = f32, .seed = 7, .leaf = leaf_values};
}
