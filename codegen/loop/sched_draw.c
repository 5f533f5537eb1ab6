/*
 * Draws in the epilogues of sums.  A row of a tile has few of them, and each is a long
 * chain of operations: so they are stages of their own, and what a tile draws is computed
 * before its other maps, row after row, two rows at once where they share a vector of
 * counters (codegen/llvm/draw.c).  Which numbers come of it does not depend on that.
 */
#include <string.h>

#include "codegen/loop/sched_tile.h"

/* ---- the kernel, with draws apart ---- */

static bool walks(const struct sxb *b, sx_id root, uint8_t axis, struct arena *a)
{
    sx_id *order;
    const uint32_t n = sx_postorder(b, &root, 1, a, &order);
    for (uint32_t i = 0; i < n; i++)
        if (b->node[order[i]].op == SX_AXIS && b->node[order[i]].a == axis)
            return true;
    return false;
}

/* A law of words that differ from row to row and from column to column of a sum. */
static bool is_law(const struct kernel *k, const struct kstage *s, sx_id e, struct arena *a)
{
    const struct sx_node *n = &k->sx.node[e];
    sx_id in[3];
    bool words = false;
    const unsigned arity = sx_operands(n, in);
    for (unsigned i = 0; i < arity && n->op != SX_RNG; i++) {
        const struct sx_node *w = &k->sx.node[in[i]];
        words |= w->op == SX_RNG && k->rng[w->a].sample_axis == s->axis[s->naxis - 2];
    }
    return words && n->type == SX_FLOAT && !sx_args(&k->sx, e) &&
           walks(&k->sx, e, s->axis[s->naxis - 1], a);
}

/* The first one in the stage's value; 0: there is none, or it is nothing but that. */
static sx_id find_law(const struct kernel *k, const struct kstage *s, struct arena *a)
{
    sx_id *order;
    if (s->op != K_MAP || s->naxis < 2)
        return 0;
    const uint32_t n = sx_postorder(&k->sx, &s->value, 1, a, &order);
    for (uint32_t i = 0; i + 1 < n; i++)
        if (is_law(k, s, order[i], a))
            return order[i];
    return 0;
}

/* Stages from `at` on move up by one. */
static void make_room(struct kernel *k, uint32_t at, struct arena *a)
{
    struct kstage *stage = arena_array(a, k->nstage + 1U, sizeof *stage);
    memcpy(stage, k->stage, at * sizeof *stage);
    memcpy(stage + at + 1, k->stage + at, (k->nstage - at) * sizeof *stage);
    k->stage = stage;
    k->nstage++;
    for (uint32_t i = at + 1; i < k->nstage; i++)
        for (uint32_t o = 0; o < stage[i].noperand; o++)
            if (stage[i].operand[o].stage && stage[i].operand[o].id >= at)
                stage[i].operand[o].id++;
}

static void split_off(struct kernel *k, uint32_t at, sx_id law, struct arena *a)
{
    make_room(k, at, a);
    struct kstage *draw = &k->stage[at], *reader = draw + 1;
    *draw = (struct kstage){.op = K_MAP,
                            .dtype = DT_F32,
                            .naxis = reader->naxis,
                            .value = law,
                            .place = reader->place,
                            .name = reader->name};
    memcpy(draw->axis, reader->axis, sizeof draw->axis);
    struct koperand *operand = arena_array(a, reader->noperand + 1U, sizeof *operand);
    memcpy(operand, reader->operand, reader->noperand * sizeof *operand);
    operand[reader->noperand] = (struct koperand){.stage = true, .id = (uint16_t)at};
    reader->operand = operand;
    reader->value = sx_replace(&k->sx, reader->value, law,
                               sx_arg(&k->sx, reader->noperand++, SX_FLOAT));
}

static bool same_space(const struct kstage *x, const struct kstage *y)
{
    return x->naxis == y->naxis && !memcmp(x->axis, y->axis, x->naxis);
}

/* Draws for each place of a sum become stages before those that read them. */
static bool split_draws(struct kernel *k, struct arena *a)
{
    const struct kstage *sum = NULL;
    const uint32_t nstage = k->nstage;
    for (uint32_t i = 0; i < k->nstage; i++) {
        const struct kstage *s = &k->stage[i];
        if (s->op == K_SUM && s->order == ORDER_SEQ && s->seg[0].factor[1])
            sum = s;
        const sx_id law = sum && same_space(sum, s) ? find_law(k, s, a) : 0;
        if (law)
            split_off(k, i, law, a);
    }
    return k->nstage > nstage;
}

static int32_t group_of(const struct groups *gs, uint32_t stage)
{
    for (uint32_t i = 0; i < gs->nitem; i++)
        if (gs->item[i].stage == stage)
            return gs->item[i].group;
    return -1;
}

static bool draws_alone(const struct kernel *k, uint32_t stage)
{
    const struct kstage *s = &k->stage[stage];
    return s->op == K_MAP && !s->noperand && !s->nstore && sx_uses_rng(&k->sx, s->value);
}

/* Is no draw read by another group than the one that it is of, nor in a later walk? */
static bool read_where_drawn(const struct kernel *k, const struct groups *gs)
{
    for (uint32_t i = 0; i < k->nstage; i++)
        for (uint32_t o = 0; o < k->stage[i].noperand; o++) {
            const struct koperand *p = &k->stage[i].operand[o];
            if (p->stage && draws_alone(k, p->id) && group_of(gs, p->id) != group_of(gs, i))
                return false;
        }
    for (uint32_t i = 0; i < gs->nitem; i++)
        if (gs->item[i].needed_later && draws_alone(k, gs->item[i].stage))
            return false;
    return true;
}

void sched_draws_apart(struct sched *s)
{
    struct groups gs;
    bool draws = false;
    if (s->scalar || sched_has_digits(s->k) || sched_has_window(&s->gs))
        return;
    for (uint32_t i = 0; i < s->k->nrng; i++)
        draws |= s->k->rng[i].sample_axis >= 0;
    struct kernel *k = draws ? kernel_copy(s->k, s->scratch) : NULL;
    if (!k || !split_draws(k, s->scratch))
        return;
    sched_group(k, s->t, s->scratch, &gs);
    if (!read_where_drawn(k, &gs))
        return;
    s->k = k;
    s->gs = gs;
}

/* ---- what a tile draws ---- */

static bool is_draw(const struct sched *s, const struct item *it)
{
    return s->g->row >= 0 && s->g->col >= 0 && it->role == ROLE_POINT &&
           !it->needed_later && draws_alone(s->k, it->stage);
}

static void draw_row(struct sched *s, const struct tile_at *t, struct index row)
{
    struct index at = row;
    index_add(&at, &t->row, ext_const(-1));
    struct stmt *j = nb_for(s, FOR_VEC, index_const(0), index_const(t->width), 1);
    struct index to = index_axis(j->axis, 1);
    index_add(&to, &at, ext_const(t->width));
    s->at[s->g->row] = row;
    s->at[s->g->col] = index_sum(t->base, index_axis(j->axis, 1));
    EACH_ITEM(s, i, it)
    {
        const struct kstage *k = &s->k->stage[it->stage];
        if (!is_draw(s, it))
            continue;
        struct stmt *st =
            nb_set_tile(s, (uint16_t)(s->tiles[it - s->gs.item].drawn - 1), to);
        st->place = k->place;
        st->value = sched_expr(s, st, k, k->value);
    }
    nb_close(s);
}

void tile_draw(struct sched *s, const struct tile_at *t)
{
    bool any = false;
    EACH_ITEM(s, i, it)
    {
        if (!is_draw(s, it))
            continue;
        any = true;
        s->tiles[it - s->gs.item].drawn =
            (uint16_t)(1 + nb_tile(s, "z", TILE_STACK, DT_F32, t->mr, t->width, false));
    }
    if (!any)
        return;
    const bool pairs = t->mr % 2 == 0 && t->width == 2 * s->t->vec;
    struct stmt *f = nb_for(s, FOR_SEQ, t->row, index_offset(t->row, t->mr), pairs ? 2 : 1);
    f->bound = s->k->axis[s->g->row];
    const struct index row = index_axis(f->axis, 1);
    draw_row(s, t, row);
    if (pairs)
        draw_row(s, t, index_offset(row, 1));
    nb_close(s);
}

void tile_drawn(struct sched *s)
{
    EACH_ITEM(s, i, it)
    {
        if (is_draw(s, it))
            s->tiles[it - s->gs.item].drawn = 0;
    }
}
