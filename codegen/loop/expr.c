/*
 * Expressions of kernel stages, moved to a place in the nest: operands become loads of the
 * statement, kernel axes sums of nest axes, draws get the row they are for.  Inlined maps
 * are followed.
 */
#include <assert.h>

#include "codegen/loop/sched.h"

struct mover {
    struct sched *s;
    struct stmt *st;
    const struct kstage *stage;
};

static sx_id term_value(struct sxb *to, const struct term *t)
{
    sx_id v = sx_axis(to, t->axis);
    assert(t->coef.b == 0);
    if (t->div != 1)
        v = sx_make(to, SX_IDIV, v, sx_int(to, t->div), 0);
    if (t->mod)
        v = sx_make(to, SX_IREM, v, sx_int(to, t->mod), 0);
    return t->coef.c == 1 ? v : sx_make(to, SX_IMUL, v, sx_int(to, t->coef.c), 0);
}

static sx_id index_value(struct sxb *to, const struct index *x)
{
    sx_id sum = 0;
    assert(x->off.b == 0 && !x->scalar);
    for (unsigned i = 0; i < x->n; i++) {
        sx_id v = term_value(to, &x->t[i]);
        sum = sum ? sx_make(to, SX_IADD, sum, v, 0) : v;
    }
    if (!sum || x->off.c)
        sum =
            sum ? sx_make(to, SX_IADD, sum, sx_int(to, x->off.c), 0) : sx_int(to, x->off.c);
    return sum;
}

static uint16_t rng_at(struct sched *s, uint32_t site)
{
    const struct krng *r = &s->k->rng[site];
    struct nest *n = s->n;
    struct nrng x = {.scalar = r->scalar};
    if (r->sample_axis >= 0)
        x.sample = s->at[r->sample_axis];
    for (uint32_t i = 0; i < n->nrng; i++)
        if (n->rng[i].scalar == x.scalar && index_equal(&n->rng[i].sample, &x.sample))
            return (uint16_t)i;
    n->rng = arena_grow(s->arena, n->rng, &s->cap_rng, n->nrng + 1, sizeof *n->rng);
    n->rng[n->nrng] = x;
    return (uint16_t)n->nrng++;
}

static sx_id move_leaf(void *cx, struct sxb *to, const struct sx_node *leaf, sx_id element);

static sx_id stage_value(struct mover *m, uint32_t id)
{
    struct sched *s = m->s;
    const struct home *h = &s->home[id];
    if (h->kind == HOME_TILE)
        return nb_load_tile(s, m->st, h->id, h->index);
    if (h->kind == HOME_BUF)
        return nb_load_buf(s, m->st, h->id, sched_index(s, &h->index), NULL, 0);
    assert(s->gs.inlined[id]);
    struct mover inner = {s, m->st, &s->k->stage[id]};
    return sx_rewrite(&s->n->sx, &s->k->sx, s->k->stage[id].value, move_leaf, &inner);
}

static sx_id operand_value(struct mover *m, uint32_t i)
{
    struct sched *s = m->s;
    const struct koperand *p = &m->stage->operand[i];
    if (p->stage)
        return stage_value(m, p->id);
    struct guard *g = arena_array(s->arena, p->nguard, sizeof *g);
    for (unsigned k = 0; k < p->nguard; k++)
        g[k] = (struct guard){sched_index(s, &p->guard[k].index), p->guard[k].bound};
    struct nload l = {.id = p->id,
                      .index = sched_index(s, &p->index),
                      .guard = g,
                      .nguard = p->nguard,
                      .pick = p->pick};
    sched_fetch_ahead(s, p, &l.index);
    if (p->pick.from)
        l.pick.from = sched_operand(s, m->st, m->stage, p->pick.from - 1U);
    return nb_load(s, m->st, &l);
}

static sx_id move_leaf(void *cx, struct sxb *to, const struct sx_node *leaf, sx_id element)
{
    struct mover *m = cx;
    switch (leaf->op) {
    case SX_ARG:
        return operand_value(m, leaf->a);
    case SX_AXIS:
        return index_value(to, &m->s->at[leaf->a]);
    case SX_RNG:
        return sx_rng(to, rng_at(m->s, leaf->a), element);
    default:
        return 0;
    }
}

sx_id sched_expr(struct sched *s, struct stmt *st, const struct kstage *stage, sx_id e)
{
    struct mover m = {s, st, stage};
    return e ? sx_rewrite(&s->n->sx, &s->k->sx, e, move_leaf, &m) : 0;
}

sx_id sched_number(struct sched *s, const struct index *x)
{
    return index_value(&s->n->sx, x);
}

/* What others pick by is never inlined, so it is a load. */
uint16_t sched_operand(struct sched *s, struct stmt *st, const struct kstage *stage,
                       uint32_t operand)
{
    struct mover m = {s, st, stage};
    const sx_id e = operand_value(&m, operand);
    assert(s->n->sx.node[e].op == SX_ARG);
    return (uint16_t)(s->n->sx.node[e].a + 1);
}

uint8_t sched_bind(struct sched *s, unsigned axis)
{
    if (!s->scalar || index_is_plain(&s->at[axis]))
        return 0;
    struct stmt *f = nb_for(s, FOR_SEQ, s->at[axis], index_offset(s->at[axis], 1), 1);
    s->at[axis] = index_axis(f->axis, 1);
    return 1;
}
