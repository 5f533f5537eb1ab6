/*
 * The largest in windows: a lane for every place, a loop over the window.  An element that
 * lies outside of its source does not take part; that differs from lane to lane, so it is a
 * condition of the statements.  The value and the number of one fold are found together.
 */
#include <string.h>

#include "codegen/loop/sched.h"

/* ---- is it one? ---- */

static bool is_number(const struct guard *g)
{
    bool ok = !g->bound.b && !g->index.off.b && !g->index.scalar;
    for (unsigned i = 0; i < g->index.n; i++)
        ok &= !g->index.t[i].coef.b;
    return ok;
}

bool sched_is_window_fold(const struct kernel *k, const struct kstage *s)
{
    unsigned guards = 0;
    if (s->op != K_FOLD || s->naxis == 0 || k->axis[s->axis[s->naxis - 1]].b)
        return false;
    for (uint32_t o = 0; o < s->noperand; o++) {
        const struct koperand *p = &s->operand[o];
        if (p->stage)
            return false;
        for (unsigned i = 0; i < p->nguard; i++, guards++)
            if (!is_number(&p->guard[i]))
                return false;
    }
    for (unsigned i = 0; i < s->nred; i++)
        if (k->axis[s->red[i]].b)
            return false;
    return s->nred > 1 || guards > 0;
}

/* The same elements, of which one wants the value and the other the number. */
static bool is_sibling(const struct kernel *k, const struct kstage *x,
                       const struct kstage *y)
{
    const struct koperand *p = x->operand, *q = y->operand;
    return y->op == K_FOLD && x->comb != y->comb && x->noperand == 1 && y->noperand == 1 &&
           k->sx.node[x->value].op == SX_ARG && k->sx.node[y->value].op == SX_ARG &&
           x->nred == y->nred && !memcmp(x->red, y->red, x->nred) && p->id == q->id &&
           p->nguard == q->nguard && index_equal(&p->index, &q->index) &&
           guards_equal(p->guard, q->guard, p->nguard);
}

static struct item *sibling(struct sched *s, const struct item *it)
{
    EACH_ITEM(s, i, other)
    {
        if (other->role == ROLE_FOLD && other->pass == it->pass &&
            is_sibling(s->k, &s->k->stage[it->stage], &s->k->stage[other->stage]))
            return other;
    }
    return NULL;
}

/* ---- the loop ---- */

/* Row-major number of the element that the loops are at. */
static sx_id number_here(struct sched *s, const struct kstage *k)
{
    struct sxb *b = &s->n->sx;
    sx_id e = sx_int(b, 0);
    for (unsigned i = 0; i < k->nred; i++) {
        const sx_id n = sx_int(b, s->k->axis[k->red[i]].c);
        e = sx_make(b, SX_IADD, sx_make(b, SX_IMUL, e, n, 0),
                    sched_number(s, &s->at[k->red[i]]), 0);
    }
    return e;
}

/* 0 where it always is. */
static sx_id is_inside(struct sched *s, const struct kstage *k)
{
    struct sxb *b = &s->n->sx;
    sx_id all = 0;
    for (uint32_t o = 0; o < k->noperand; o++)
        for (unsigned i = 0; i < k->operand[o].nguard; i++) {
            const struct guard *g = &k->operand[o].guard[i];
            const struct index at = sched_index(s, &g->index);
            const sx_id x = sched_number(s, &at);
            const sx_id low = sx_make(b, SX_LT, sx_int(b, -1), x, 0);
            const sx_id high = sx_make(b, SX_LT, x, sx_int(b, g->bound.c), 0);
            const sx_id both = sx_make(b, SX_AND, low, high, 0);
            all = all ? sx_make(b, SX_AND, all, both, 0) : both;
        }
    return all;
}

static void take(struct sched *s, const struct kstage *k, uint16_t best, uint16_t where,
                 struct index j)
{
    struct sxb *b = &s->n->sx;
    const sx_id number = number_here(s, k), inside = is_inside(s, k);
    struct stmt *st = nb_set_tile(s, where, j);
    const sx_id at = nb_load_tile(s, st, where, j);
    const sx_id larger =
        sx_make(b, SX_LT, nb_load_tile(s, st, best, j), sched_expr(s, st, k, k->value), 0);
    const sx_id none = sx_make(b, SX_LT, at, sx_int(b, 0), 0);
    sx_id wins = sx_make(b, SX_OR, none, larger, 0);
    if (inside)
        wins = sx_make(b, SX_AND, wins, inside, 0);
    st->value = sx_make(b, SX_SEL, wins, number, at);
    st = nb_set_tile(s, best, j);
    st->place = k->place;
    wins = sx_make(b, SX_EQ, nb_load_tile(s, st, where, j), number, 0);
    st->value = sx_make(b, SX_SEL, wins, sched_expr(s, st, k, k->value),
                        nb_load_tile(s, st, best, j));
}

sx_id sched_plus_zero(struct sxb *b, sx_id x)
{
    const sx_id zero = sx_const(b, 0);
    return sx_make(b, SX_SEL, sx_make(b, SX_EQ, x, zero, 0), zero, x);
}

static void settle_zeros(struct sched *s, uint16_t best, int32_t width)
{
    struct index j = index_const(0);
    if (width > 1)
        j = index_axis(nb_for(s, FOR_VEC, j, index_const(width), 1)->axis, 1);
    struct stmt *st = nb_set_tile(s, best, j);
    st->value = sched_plus_zero(&s->n->sx, nb_load_tile(s, st, best, j));
    sched_close(s, width > 1);
}

void sched_fold(struct sched *s, struct item *it, struct index base, int32_t width)
{
    const struct kstage *k = &s->k->stage[it->stage];
    struct item *other = sibling(s, it);
    struct index j = index_const(0);
    if (other && other->stage < it->stage)
        return; /* found with it */
    const uint16_t best = nb_tile(s, "b", TILE_REG, DT_F32, 1, width, true);
    const uint16_t where = nb_tile(s, "i", TILE_REG, DT_I32, 1, width, true);
    struct stmt *first = s->open[s->depth - 1].stmt;
    first->body[first->nbody - 1]->init = -1; /* of none yet */
    unsigned opened = sched_loops(s, k->red, k->nred);
    if (width > 1) {
        struct stmt *f = nb_for(s, FOR_VEC, index_const(0), index_const(width), 1);
        j = index_axis(f->axis, 1);
        s->at[s->g->col] = index_sum(base, j);
        opened++;
    }
    take(s, k, best, where, j);
    sched_close(s, opened);
    settle_zeros(s, best, width);
    s->home[it->stage] =
        (struct home){HOME_TILE, k->comb == COMB_ARGMAX ? where : best, index_const(0)};
    if (other)
        s->home[other->stage] =
            (struct home){HOME_TILE, k->comb == COMB_ARGMAX ? best : where, index_const(0)};
}
