/* The generator keeps a pool of float values; every step makes one value from values of the
 * pool. */
#include <string.h>

#include "runtime/base/philox.h"
#include "tests/prop/random_graph_internal.h"

uint32_t rng_below(struct rng *r, uint32_t n)
{
    r->state = r->state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)((r->state >> 33) % n);
}

uint32_t rg_below(struct maker *m, uint32_t n)
{
    return rng_below(&m->rng, n);
}

static bool fits(const struct maker *m, const struct type *t)
{
    return t->rank < HYP_RANK - 2 &&
           type_elems(t, 5) <= (m->o->max_elems ? m->o->max_elems : 400);
}

void rg_keep(struct maker *m, value_id v)
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
value_id rg_pick(struct maker *m)
{
    const uint32_t i = m->n - 1 - rg_below(m, 1 + rg_below(m, m->n));
    m->used[i] = true;
    return m->pool[i];
}

int32_t rg_size(struct maker *m)
{
    static const int32_t sizes[] = {1, 2, 3, 3, 4, 5, 7};
    return sizes[rg_below(m, sizeof sizes / sizeof *sizes)];
}

static struct type random_type(struct maker *m, bool sample)
{
    struct type t = {.dtype = DT_F32, .sample = sample};
    if (sample)
        t.dim[t.rank++] = (struct ext){0, 1};
    for (unsigned n = rg_below(m, 4); n > 0; n--)
        t.dim[t.rank++] = ext_const(rg_size(m));
    return t;
}

value_id rg_leaf(struct maker *m, enum leaf_what what, const struct type *t)
{
    const char *path = arena_fmt(m->a, "leaf%u", m->nleaf++);
    return graph_leaf(m->g, what, 0, 0, path, *t);
}

value_id rg_param(struct maker *m, unsigned rank, const struct ext *dim)
{
    struct type t = {.dtype = DT_F32, .rank = (uint8_t)rank};
    memcpy(t.dim, dim, rank * sizeof *dim);
    return rg_leaf(m, LEAF_PARAM, &t);
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
    const bool kink = !m->o->smooth && rg_below(m, 2);
    const enum sx_op op = kink ? kinked1[rg_below(m, 6)] : smooth1[rg_below(m, 8)];
    return graph_op1(m->g, op, rg_pick(m));
}

static value_id binary(struct maker *m)
{
    const bool kink = !m->o->smooth && rg_below(m, 3) == 0;
    const enum sx_op op = kink ? kinked2[rg_below(m, 4)] : smooth2[rg_below(m, 3)];
    struct type t;
    unsigned axis;
    for (unsigned tries = 0; tries < 8; tries++) {
        const value_id x = rg_pick(m), y = rg_pick(m);
        if (type_join(graph_type(m->g, x), graph_type(m->g, y), &t, &axis) && fits(m, &t))
            return graph_op2(m->g, op, x, y);
    }
    return 0;
}

/* x * y + c, over axes and draws: one expression written as several sx nodes. */
static value_id mixed(struct maker *m)
{
    struct sxb *b = &m->g->sx;
    const value_id x = rg_pick(m);
    const struct type t = *graph_type(m->g, x);
    sx_id fn = sx_arg(b, 0, SX_FLOAT);
    const unsigned dim = t.rank ? rg_below(m, t.rank) : 0;
    if (t.rank && !t.dim[dim].b) {
        const sx_id axis = sx_make(b, SX_I2F, sx_axis(b, dim), 0, 0);
        fn = sx_make(b, SX_ADD, sx_make(b, SX_MUL, fn, sx_const(b, 0.5), 0),
                     sx_make(b, SX_MUL, axis, sx_const(b, 0.125), 0), 0);
    }
    if (rg_below(m, 2)) {
        const char *path = arena_fmt(m->a, "phase/draw~%u", ++m->nsite);
        const site_id site = graph_site(m->g, path, m->region, rg_below(m, 3) != 0);
        const sx_id e = t.rank ? sx_axis(b, t.rank - 1U) : sx_int(b, 3);
        const sx_id w = rg_below(m, 2) ? sx_normal(b, site, e) : sx_uniform(b, site, e);
        fn = sx_make(b, SX_ADD, sx_make(b, SX_MUL, fn, w, 0), sx_const(b, -0.25), 0);
    }
    return graph_map(m->g, fn, &x, 1, NULL);
}

/* ---- forms ---- */

static value_id sum_some(struct maker *m)
{
    const value_id x = rg_pick(m);
    const unsigned rank = graph_type(m->g, x)->rank;
    const uint32_t over = rank ? rg_below(m, 1U << rank) : 0;
    return over ? graph_sum(m->g, x, over) : 0;
}

value_id rg_product(struct maker *m)
{
    const value_id x = rg_pick(m);
    const struct type *t = graph_type(m->g, x);
    if (t->rank <= t->sample || t->dim[t->rank - 1].b)
        return 0;
    struct ext d[2] = {t->dim[t->rank - 1], ext_const(rg_size(m))};
    if (rg_below(m, 4) == 0 && t->rank + 1 < HYP_RANK - 2)
        return graph_matmul(m->g, x, rg_param(m, 1, d));
    return graph_matmul(m->g, x, rg_param(m, 2, d));
}

/* What gradients are: several products added up. */
static value_id two_products(struct maker *m)
{
    const value_id x = rg_product(m), y = rg_product(m);
    if (!x || !y || !type_eq(graph_type(m->g, x), graph_type(m->g, y)))
        return x;
    rg_keep(m, x);
    return graph_op2(m->g, SX_ADD, x, y);
}

/* ---- folds and choices ---- */

static value_id fold(struct maker *m)
{
    const value_id x = rg_pick(m);
    const struct type *t = graph_type(m->g, x);
    int32_t out;
    if (m->o->smooth || !rg_has_unit_axis(t))
        return 0;
    if (rg_below(m, 2) && !m->o->no_windows) {
        const struct form f = rg_window_form(m, t, &out);
        /* every window must meet the image: pads of 1 do with kernels of 2 and more */
        if (out < 1 || (f.port[0].dim[t->rank - 1].off.c && f.axis[t->rank].c < 2))
            return 0;
        return graph_fold(m->g, &f, 1, COMB_MAX, x, t->sample, NULL);
    }
    const struct form f = form_sum(t->dim, t->rank, 1U << (t->rank - 1));
    value_id index;
    const value_id v = graph_fold(m->g, &f, 1, COMB_ARGMAX, x, t->sample, &index);
    rg_keep(m, graph_op1(m->g, SX_I2F, index));
    return v;
}

/* Integers from -1 to the extent: out of range on both sides. */
static value_id random_index(struct maker *m, const struct type *t, int32_t n)
{
    struct sxb *b = &m->g->sx;
    sx_id at = sx_int(b, (int32_t)rg_below(m, 7));
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
    const value_id x = rg_leaf(m, LEAF_SETTING, &t);
    const value_id far = graph_const(m->g, 1 + (double)rg_below(m, 9));
    return graph_op1(m->g, SX_F2I, graph_op2(m->g, SX_MUL, x, far));
}

static value_id choose(struct maker *m)
{
    const value_id x = rg_pick(m);
    const struct type t = *graph_type(m->g, x);
    if (!rg_has_unit_axis(&t))
        return 0;
    const unsigned axis = t.rank - 1U;
    struct type at = t;
    at.dim[axis] = ext_const(rg_size(m));
    at.rank = (uint8_t)(axis + rg_below(m, 2));
    const value_id index = rg_below(m, 4) || m->o->smooth
                               ? random_index(m, &at, t.dim[axis].c)
                               : setting_index(m);
    const value_id got = graph_gather(m->g, x, index, (uint8_t)axis);
    return rg_below(m, 2) ? got : graph_scatter(m->g, got, index, (uint8_t)axis, &t);
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
                                  rg_product,
                                  rg_product,
                                  rg_pair_product,
                                  rg_slice,
                                  rg_concat,
                                  rg_permute,
                                  rg_flatten,
                                  rg_retype,
                                  rg_window,
                                  fold,
                                  rg_convolution,
                                  rg_image_convolution,
                                  rg_diagonal,
                                  rg_stride_or_flip,
                                  choose,
                                  rg_bury_batch,
                                  rg_sum_at_once,
                                  rg_broadcast,
                                  rg_covered_product,
                                  rg_covered_product,
                                  two_products,
                                  two_products,
                                  rg_siblings,
                                  rg_layer,
                                  rg_normalized,
                                  rg_prologue,
                                  rg_permuted_sum};

static void name_places(struct maker *m, unsigned step)
{
    const struct loc loc = {1, step + 1, 3, 5};
    m->g->where =
        graph_place(m->g, loc, 0, WHY_WRITTEN, arena_fmt(m->a, "phase/n\"%u", step));
    if (rg_below(m, 2))
        m->g->expr = graph_new_expr(m->g);
}

static void add_roots(struct maker *m)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < m->n; i++)
        if (!m->used[i] || rg_below(m, 5) == 0) /* some that others read, as probes do */
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
        rg_keep(&m, rg_leaf(&m, i < 2 ? LEAF_DATA : LEAF_PARAM, &t));
    }
    while (m.n < 3) {
        const struct type t = type_scalar(DT_F32);
        rg_keep(&m, rg_leaf(&m, LEAF_SETTING, &t));
    }
    for (unsigned i = 0; m.n < nodes && i < 10 * nodes; i++) {
        name_places(&m, i);
        const value_id v = o->computed && rg_below(&m, 3) == 0 ? rg_image_convolution(&m)
                           : o->places && rg_below(&m, 2)
                               ? rg_places(&m)
                               : makers[rg_below(&m, sizeof makers / sizeof *makers)](&m);
        /* difference quotients need values that stay small */
        rg_keep(&m, v && o->smooth ? graph_op1(m.g, SX_FN_sin, v) : v);
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
