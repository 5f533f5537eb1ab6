/*
 * Maps.  One that fusion inlined has a stage in every kernel that reads it, one for each
 * setting of axes at which it is read.
 */
#include "codegen/loop/lowering.h"

#include <string.h>

struct map_cx {
    struct lower *l;
    struct kstage *s;
    const struct node *n;
    sx_id *arg;         /* memo of operands */
    uint32_t *inner;    /* by operand: 1 + stage of the map inlined there */
    const int8_t *axis; /* kernel axis of the output's dims */
};

/* Kernel axes of operand v of a map whose dims have `axis`. */
static void operand_axes(struct lower *l, const struct node *n, value_id v,
                         const int8_t *axis, int8_t out[HYP_RANK])
{
    const struct type *t = graph_type(l->g, v);
    int8_t to[HYP_RANK];
    if (!map_align(graph_type(l->g, n->out0), t, to))
        l->failed = true;
    for (unsigned d = 0; d < t->rank; d++)
        out[d] = (int8_t)(to[d] < 0 ? -1 : axis[to[d]]);
}

static sx_id map_operand(struct map_cx *m, uint32_t i)
{
    struct lower *l = m->l;
    const value_id v = graph_in(l->g, m->n)[i];
    int8_t axis[HYP_RANK];

    if (m->inner[i])
        return low_use_stage(l, m->s, v, m->inner[i] - 1);
    if (l->f->host[l->g->value[v].def])
        return low_host(l, v);
    const int made = low_made(l, v);
    if (made >= 0)
        return low_use_stage(l, m->s, v, (uint32_t)made);
    operand_axes(l, m->n, v, m->axis, axis);
    return sx_arg(&l->k->sx, low_add_operand(l, m->s, low_load(l, v, axis)),
                  low_sx_type(l, v));
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
        return m->axis[leaf->a] < 0 ? sx_int(to, 0)
                                    : sx_axis(to, (uint32_t)m->axis[leaf->a]);
    case SX_RNG:
        return sx_rng(to, low_draw(m->l, leaf->a, t->sample ? m->axis[0] : -1), element);
    default:
        return 0;
    }
}

const struct node *low_inlined(const struct lower *l, value_id v)
{
    const node_id def = l->g->value[l->f->base[v]].def;
    return l->f->role[def] == ROLE_INLINE ? &l->g->node[def] : NULL;
}

/* The stage of a map at the point where its dims have `axis`, after those it reads. */
static void map_stage(struct lower *l, const struct node *n, const int8_t *axis)
{
    struct map_cx m = {.l = l, .n = n, .axis = axis};

    m.arg = arena_array(l->a, n->nin + 1U, sizeof *m.arg);
    m.inner = arena_array(l->a, n->nin + 1U, sizeof *m.inner);
    for (unsigned i = 0; i < n->nin; i++) {
        const value_id v = graph_in(l->g, n)[i];
        const struct node *in = low_inlined(l, v);
        int8_t at[HYP_RANK];
        operand_axes(l, n, v, axis, at);
        m.inner[i] = in ? 1 + low_inline(l, in, at) : 0;
    }
    struct kstage *s = m.s = low_new_stage(l, n, K_MAP);
    low_space(s, graph_type(l->g, n->out0), axis);
    if (l->f->host[l->g->value[n->out0].def])
        s->value = low_host(l, n->out0);
    else
        s->value = sx_rewrite(&l->k->sx, &l->g->sx, n->attr, map_leaf, &m);
}

/* One stage for every setting of axes. */
uint32_t low_inline(struct lower *l, const struct node *n, const int8_t *axis)
{
    const unsigned rank = graph_type(l->g, n->out0)->rank;
    for (uint32_t i = 0; i < l->ninlined; i++)
        if (l->inlined[i].node == n && memcmp(l->inlined[i].axis, axis, rank) == 0)
            return l->inlined[i].stage;
    map_stage(l, n, axis);
    low_add_place(l, n->place);
    l->inlined =
        arena_grow(l->a, l->inlined, &l->cinlined, l->ninlined + 1, sizeof *l->inlined);
    struct inlined *x = &l->inlined[l->ninlined++];
    x->node = n;
    x->stage = l->k->nstage - 1;
    memcpy(x->axis, axis, rank);
    return x->stage;
}

void low_map(struct lower *l, const struct node *n)
{
    int8_t axis[HYP_RANK];
    low_value_axes(l, graph_type(l->g, n->out0), axis);
    map_stage(l, n, axis);
    low_finish(l, n->out0);
}
