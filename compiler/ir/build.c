/*
 * Conveniences: what the front end and the passes say in one call, as maps and forms.
 *
 * Nothing here is remembered: a slice or a sum is the form it built.
 */
#include <string.h>

#include "compiler/ir/graph_internal.h"

value_id graph_const(struct graph *g, double x)
{
    return graph_map(g, sx_const(&g->sx, x), NULL, 0, NULL);
}

static sx_id operand_sx(struct graph *g, unsigned i, value_id v)
{
    return sx_arg(&g->sx, i, graph_sx_type(graph_type(g, v)->dtype));
}

value_id graph_op1(struct graph *g, enum sx_op op, value_id x)
{
    return graph_map(g, sx_make(&g->sx, op, operand_sx(g, 0, x), 0, 0), &x, 1, NULL);
}

value_id graph_op2(struct graph *g, enum sx_op op, value_id x, value_id y)
{
    const value_id in[2] = {x, y};
    const sx_id a = operand_sx(g, 0, x), b = operand_sx(g, 1, y);
    return graph_map(g, sx_make(&g->sx, op, a, b, 0), in, 2, NULL);
}

value_id graph_op3(struct graph *g, enum sx_op op, value_id x, value_id y, value_id z)
{
    const value_id in[3] = {x, y, z};
    const sx_id a = operand_sx(g, 0, x), b = operand_sx(g, 1, y), c = operand_sx(g, 2, z);
    return graph_map(g, sx_make(&g->sx, op, a, b, c), in, 3, NULL);
}

value_id graph_scale_grad(struct graph *g, value_id x, value_id c)
{
    return graph_op2(g, SX_FN_scale_grad, x, c);
}

/* ---- two-port forms ---- */

static struct dimmap dim_of(unsigned axis)
{
    return (struct dimmap){.n = 1, .axis = {(int8_t)axis}, .coef = {1}};
}

/* One axis for each dim; port 0 is the whole, port 1 has no dims yet. */
static struct form form_over(const struct type *t)
{
    struct form f = {.naxis = t->rank, .nport = 2};
    f.port[0].rank = t->rank;
    for (unsigned i = 0; i < t->rank; i++) {
        f.axis[i] = f.port[0].shape[i] = t->dim[i];
        f.port[0].dim[i] = dim_of(i);
    }
    return f;
}

static void add_dim(struct port *p, struct dimmap d, struct ext shape)
{
    p->dim[p->rank] = d;
    p->shape[p->rank++] = shape;
}

static bool is_batch_dim(struct ext e)
{
    return e.b != 0;
}

static value_id sum_once(struct graph *g, value_id x, uint32_t over)
{
    const struct type *t = graph_type(g, x);
    struct form f = form_over(t);
    const bool sample = t->sample && !(over & 1);
    for (unsigned i = 0; i < t->rank; i++)
        if (!(over >> i & 1))
            add_dim(&f.port[1], dim_of(i), t->dim[i]);
    return graph_form(g, &f, 1, &x, sample, t->dtype);
}

/* The same dims less those summed, as a bit set. */
static uint32_t drop_bits(uint32_t set, uint32_t dropped)
{
    uint32_t out = 0, n = 0;
    for (unsigned i = 0; i < 32; i++)
        if (!(dropped >> i & 1))
            out |= (set >> i & 1) << n++;
    return out;
}

value_id graph_sum(struct graph *g, value_id x, uint32_t over)
{
    const struct type *t = graph_type(g, x);
    uint32_t batch = 0;
    over &= (1U << t->rank) - 1;
    for (unsigned i = 0; i < t->rank; i++)
        batch |= (uint32_t)is_batch_dim(t->dim[i]) << i;
    const uint32_t units = over & ~batch;
    batch &= over;
    if (units) {
        x = sum_once(g, x, units);
        batch = drop_bits(batch, units);
    }
    return batch ? sum_once(g, x, batch) : x;
}

/* Whole: `like`; port 1: `part`, aligned as map operands are. */
static struct form form_aligned(const struct type *like, const struct type *part)
{
    int8_t to[HYP_RANK];
    struct form f = form_over(like);
    GRAPH_CHECK(map_align(like, part, to));
    for (unsigned i = 0; i < part->rank; i++)
        add_dim(&f.port[1], to[i] < 0 ? (struct dimmap){0} : dim_of((unsigned)to[i]),
                part->dim[i]);
    return f;
}

value_id graph_broadcast(struct graph *g, value_id x, const struct type *like)
{
    const struct type *t = graph_type(g, x);
    const struct form f = form_aligned(like, t);
    return graph_form(g, &f, 0, &x, like->sample, t->dtype);
}

value_id graph_sum_to(struct graph *g, value_id x, const struct type *to)
{
    int8_t at[HYP_RANK];
    const struct type *t = graph_type(g, x);
    struct type mid = *to;
    GRAPH_CHECK(map_align(t, to, at));
    if (t->sample && !to->sample) { /* units first, then the batch */
        memmove(mid.dim + 1, mid.dim, (HYP_RANK - 1) * sizeof *mid.dim);
        mid.dim[0] = t->dim[0];
        mid.sample = true;
        mid.rank++;
    }
    mid.dtype = t->dtype;
    if (!type_eq(t, &mid)) {
        const struct form f = form_aligned(t, &mid);
        x = graph_form(g, &f, 1, &x, mid.sample, mid.dtype);
    }
    return mid.rank == to->rank ? x : sum_once(g, x, 1);
}

value_id graph_reshape(struct graph *g, value_id x, const struct type *to)
{
    const struct type *t = graph_type(g, x);
    bool ok;
    if (t->sample == to->sample && t->rank == to->rank &&
        !memcmp(t->dim, to->dim, t->rank * sizeof *t->dim))
        return x;
    const struct form f = form_reshape(t->dim, t->rank, to->dim, to->rank, &ok);
    return ok ? graph_form(g, &f, 1, &x, to->sample, t->dtype) : 0;
}

value_id graph_permute(struct graph *g, value_id x, const uint8_t *perm)
{
    const struct type *t = graph_type(g, x);
    struct form f = form_over(t);
    for (unsigned i = 0; i < t->rank; i++)
        add_dim(&f.port[1], dim_of(perm[i]), t->dim[perm[i]]);
    return graph_form(g, &f, 1, &x, t->sample && perm[0] == 0, t->dtype);
}

/* Elements from..from+count of `axis` of the whole `t` at port 0; the part is port 1. */
static struct form form_part(const struct type *t, uint8_t axis, struct ext from,
                             struct ext count)
{
    struct form f = form_over(t);
    f.axis[axis] = count;
    f.port[0].dim[axis].off = from;
    for (unsigned i = 0; i < t->rank; i++)
        add_dim(&f.port[1], dim_of(i), f.axis[i]);
    return f;
}

value_id graph_slice(struct graph *g, value_id x, uint8_t axis, struct ext from,
                     struct ext count)
{
    const struct type *t = graph_type(g, x);
    const struct form f = form_part(t, axis, from, count);
    return graph_form(g, &f, 1, &x, t->sample, t->dtype);
}

value_id graph_concat(struct graph *g, const value_id *x, uint32_t n, uint8_t axis)
{
    struct type whole = *graph_type(g, x[0]);
    struct ext at = {0, 0};
    value_id sum = 0;
    for (uint32_t i = 1; i < n; i++) {
        const struct ext e = graph_type(g, x[i])->dim[axis];
        whole.dim[axis].c += e.c;
        whole.dim[axis].b += e.b;
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct type *t = graph_type(g, x[i]);
        const struct ext e = t->dim[axis];
        const struct form f = form_part(&whole, axis, at, e);
        const value_id pad = graph_form(g, &f, 0, &x[i], whole.sample, whole.dtype);
        const enum sx_op add = whole.dtype == DT_I32    ? SX_IADD
                               : whole.dtype == DT_BOOL ? SX_OR
                                                        : SX_ADD;
        sum = sum ? graph_op2(g, add, sum, pad) : pad;
        at.c += e.c;
        at.b += e.b;
    }
    return sum;
}

value_id graph_retype(struct graph *g, value_id x, bool sample)
{
    const struct type *t = graph_type(g, x);
    struct form f = form_over(t);
    if (t->sample == sample)
        return x;
    f.port[1] = f.port[0];
    return graph_form(g, &f, 1, &x, sample, t->dtype);
}

/* Box: batch, a's free axes, b's free axes, the contracted one; ports Y, a, b. */
value_id graph_matmul(struct graph *g, value_id a, value_id b)
{
    const struct type *ta = graph_type(g, a), *tb = graph_type(g, b);
    const value_id in[2] = {a, b};
    const bool sample = ta->sample || tb->sample;
    const unsigned na = (unsigned)(ta->rank - ta->sample),
                   nb = (unsigned)(tb->rank - tb->sample);
    const unsigned naxis = sample + na + nb - 1, k = naxis - 1;
    struct form f = {.naxis = (uint8_t)naxis, .nport = 3};
    GRAPH_CHECK(na && nb && naxis <= HYP_AXES &&
                ext_eq(ta->dim[ta->rank - 1], tb->dim[tb->sample]));
    unsigned axis = 0;
    if (sample) {
        f.axis[axis] = ta->sample ? ta->dim[0] : tb->dim[0];
        add_dim(&f.port[0], dim_of(0), f.axis[0]);
        if (ta->sample)
            add_dim(&f.port[1], dim_of(0), f.axis[0]);
        if (tb->sample)
            add_dim(&f.port[2], dim_of(0), f.axis[0]);
        axis = 1;
    }
    for (unsigned i = ta->sample; i + 1u < ta->rank; i++, axis++) {
        f.axis[axis] = ta->dim[i];
        add_dim(&f.port[0], dim_of(axis), ta->dim[i]);
        add_dim(&f.port[1], dim_of(axis), ta->dim[i]);
    }
    f.axis[k] = ta->dim[ta->rank - 1];
    add_dim(&f.port[1], dim_of(k), f.axis[k]);
    add_dim(&f.port[2], dim_of(k), f.axis[k]);
    for (unsigned i = tb->sample + 1u; i < tb->rank; i++, axis++) {
        f.axis[axis] = tb->dim[i];
        add_dim(&f.port[0], dim_of(axis), tb->dim[i]);
        add_dim(&f.port[2], dim_of(axis), tb->dim[i]);
    }
    return graph_form(g, &f, 0, in, sample, DT_F32);
}
