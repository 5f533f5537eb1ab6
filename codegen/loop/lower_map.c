/*
 * Maps.  One that fusion inlined has a stage in every kernel that reads it, one for each
 * place at which it is read.
 */
#include "codegen/loop/lowering.h"

#include <string.h>

struct map_cx {
    struct lower *l;
    struct kstage *s;
    const struct node *n;
    sx_id *arg;             /* memo of operands */
    uint32_t *inner;        /* by operand: 1 + stage of the map inlined there */
    bool *zero;             /* by operand: it is 0 outside */
    const struct index *at; /* the output's dims */
    struct inside inside;
};

/* Where the dims of operand v are, of a map whose dims are at `at`. */
static void operand_at(struct lower *l, const struct node *n, value_id v,
                       const struct index *at, struct index out[HYP_RANK])
{
    const struct type *t = graph_type(l->g, v);
    int8_t to[HYP_RANK];
    if (!map_align(graph_type(l->g, n->out0), t, to))
        l->failed = true;
    for (unsigned d = 0; d < t->rank; d++)
        out[d] = to[d] < 0 ? index_const(0) : at[to[d]];
}

/* Outside of what a window reads nothing is loaded. */
static struct koperand guarded_load(struct map_cx *m, uint32_t i, value_id v,
                                    const struct index *at)
{
    struct koperand o = low_load(m->l, v, at);
    const struct type *t = graph_type(m->l->g, v);
    bool leaves = false;
    for (unsigned d = 0; m->inside.n && d < t->rank; d++)
        leaves |= !low_stays_inside(m->l, &at[d], t->dim[d]);
    for (unsigned k = 0; leaves && k < m->inside.n; k++)
        low_add_guard(m->l, &o, m->inside.guard[k].index, m->inside.guard[k].bound);
    m->zero[i] = leaves;
    return o;
}

static sx_id map_operand(struct map_cx *m, uint32_t i)
{
    struct lower *l = m->l;
    const value_id v = graph_in(l->g, m->n)[i];
    struct index at[HYP_RANK];

    if (m->inner[i])
        return low_use_stage(l, m->s, v, m->inner[i] - 1);
    if (l->f->host[l->g->value[v].def])
        return low_host(l, v);
    const int made = low_made(l, v);
    if (made >= 0)
        return low_use_stage(l, m->s, v, (uint32_t)made);
    operand_at(l, m->n, v, m->at, at);
    return sx_arg(&l->k->sx, low_add_operand(l, m->s, guarded_load(m, i, v, at)),
                  low_sx_type(l, v));
}

/* The number of an index, as an expression. */
static sx_id number_of(struct lower *l, struct sxb *b, const struct index *x)
{
    sx_id e = x->n && !x->off.c ? 0 : sx_int(b, x->off.c);
    if (x->off.b)
        l->failed = true;
    for (unsigned i = 0; i < x->n; i++) {
        sx_id term = sx_axis(b, x->t[i].axis);
        if (x->t[i].coef.c != 1)
            term = sx_make(b, SX_IMUL, term, sx_int(b, x->t[i].coef.c), 0);
        e = e ? sx_make(b, SX_IADD, e, term, 0) : term;
    }
    return e;
}

/* The axis that is the row of the batch. */
static int8_t sample_axis(struct lower *l, const struct index *at)
{
    if (at->n == 0 && !at->off.c)
        return -1;
    if (!index_is_plain(at) || at->n != 1)
        l->failed = true;
    return (int8_t)at->t[0].axis;
}

static sx_id map_leaf(void *cx, struct sxb *to, const struct sx_node *leaf, sx_id element)
{
    struct map_cx *m = cx;
    const struct type *t = graph_type(m->l->g, m->n->out0);

    switch (leaf->op) {
    case SX_ARG:
        if (!m->arg[leaf->a])
            m->arg[leaf->a] = map_operand(m, leaf->a);
        return m->arg[leaf->a];
    case SX_AXIS:
        return number_of(m->l, to, &m->at[leaf->a]);
    case SX_RNG:
        return sx_rng(
            to, low_draw(m->l, leaf->a, t->sample ? sample_axis(m->l, &m->at[0]) : -1),
            element);
    default:
        return 0;
    }
}

const struct node *low_inlined(const struct lower *l, value_id v)
{
    const node_id def = l->g->value[l->f->base[v]].def;
    return l->f->role[def] == ROLE_INLINE ? &l->g->node[def] : NULL;
}

/* ---- where windows read ---- */

static sx_id is_inside(struct map_cx *m)
{
    struct sxb *b = &m->l->k->sx;
    sx_id all = 0;
    for (unsigned i = 0; i < m->inside.n; i++) {
        const struct guard *g = &m->inside.guard[i];
        const sx_id at = sx_make(b, SX_I2U, number_of(m->l, b, &g->index), 0, 0);
        const sx_id in = sx_make(b, SX_LT, at, sx_u32(b, (uint32_t)g->bound.c), 0);
        all = all ? sx_make(b, SX_AND, all, in, 0) : in;
        low_space_of(m->l, m->s, &g->index);
        m->l->failed |= g->bound.b != 0;
    }
    return all;
}

/* 0 outside: as it is of zeros, or by choice.  Number of its kind, since a sum of -0 is not
 * one of +0. */
static bool cut_off(struct map_cx *m, bool wanted)
{
    struct lower *l = m->l;
    struct sxb *b = &l->k->sx;
    const uint8_t dtype = m->s->dtype;
    if (!m->inside.n || (!l->f->host[l->g->value[m->n->out0].def] &&
                         sx_is_zero_where(&l->g->sx, m->n->attr, m->zero)))
        return true;
    if (wanted)
        m->s->value = sx_make(b, SX_SEL, is_inside(m), m->s->value,
                              dtype == DT_F32   ? sx_const(b, 0)
                              : dtype == DT_I32 ? sx_int(b, 0)
                                                : sx_bool(b, false));
    return wanted;
}

static struct inlined *inline_map(struct lower *l, const struct node *n,
                                  const struct index *at, struct inside inside, bool zero);

/* The stage of a map where its dims are at `at`, after those it reads.  True: it is 0 where
 * that is outside, as it has to be if `zero` is set. */
static bool map_stage(struct lower *l, const struct node *n, const struct index *at,
                      struct inside inside, bool zero)
{
    struct map_cx m = {.l = l, .n = n, .at = at, .inside = inside};

    m.arg = arena_array(l->a, n->nin + 1U, sizeof *m.arg);
    m.inner = arena_array(l->a, n->nin + 1U, sizeof *m.inner);
    m.zero = arena_array(l->a, n->nin + 1U, sizeof *m.zero);
    for (unsigned i = 0; i < n->nin; i++) {
        const value_id v = graph_in(l->g, n)[i];
        const struct node *in = low_inlined(l, v);
        struct index inner[HYP_RANK];
        if (in) {
            operand_at(l, n, v, at, inner);
            const struct inlined *x = inline_map(l, in, inner, inside, false);
            m.inner[i] = 1 + x->stage;
            m.zero[i] = x->zero;
        }
    }
    struct kstage *s = m.s = low_new_stage(l, n, K_MAP);
    low_space(l, s, graph_type(l->g, n->out0), at);
    if (l->f->host[l->g->value[n->out0].def])
        s->value = low_host(l, n->out0);
    else
        s->value = sx_rewrite(&l->k->sx, &l->g->sx, n->attr, map_leaf, &m);
    for (uint32_t o = 0; o < s->noperand; o++)
        for (unsigned k = 0; k < s->operand[o].nguard; k++)
            low_space_of(l, s, &s->operand[o].guard[k].index);
    return cut_off(&m, zero);
}

static bool same_place(const struct index *x, const struct index *y, unsigned rank)
{
    for (unsigned i = 0; i < rank; i++)
        if (!index_equal(&x[i], &y[i]))
            return false;
    return true;
}

/* One stage for every place. */
static struct inlined *inline_map(struct lower *l, const struct node *n,
                                  const struct index *at, struct inside inside, bool zero)
{
    const unsigned rank = graph_type(l->g, n->out0)->rank;
    for (uint32_t i = 0; i < l->ninlined; i++) {
        struct inlined *x = &l->inlined[i];
        if (x->node == n && same_place(x->at, at, rank) && x->inside.n == inside.n &&
            guards_equal(x->inside.guard, inside.guard, inside.n) && (x->zero || !zero))
            return x;
    }
    const bool is_zero = map_stage(l, n, at, inside, zero);
    low_add_place(l, n->place);
    l->inlined =
        arena_grow(l->a, l->inlined, &l->cinlined, l->ninlined + 1, sizeof *l->inlined);
    struct inlined *x = &l->inlined[l->ninlined++];
    *x = (struct inlined){.node = n,
                          .stage = l->k->nstage - 1,
                          .at = arena_copy(l->a, at, rank * sizeof *at),
                          .inside = inside,
                          .zero = is_zero};
    return x;
}

uint32_t low_inline(struct lower *l, const struct node *n, const struct index *at,
                    struct inside inside)
{
    return inline_map(l, n, at, inside, true)->stage;
}

void low_map(struct lower *l, const struct node *n)
{
    struct index at[HYP_RANK];
    low_value_at(l, graph_type(l->g, n->out0), at);
    map_stage(l, n, at, (struct inside){0}, false);
    low_finish(l, n->out0);
}
