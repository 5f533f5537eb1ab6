/*
 * The largest of a row, or its number.  Element by element, or by lanes: each starts from
 * the row's first element, so that none is a number that the row does not have, and the
 * largest of the lanes is the row's.
 */
#include "codegen/loop/sched.h"

enum { FOLD_LANES = 64 /* chains side by side: a comparison takes some cycles */ };

static sx_id fold_wins(struct sched *s, struct stmt *st, struct item *it, uint16_t best,
                       struct index at, sx_id *value)
{
    const struct kstage *k = &s->k->stage[it->stage];
    sx_id b = nb_load_tile(s, st, best, at);
    *value = sched_expr(s, st, k, k->value);
    return sx_make(&s->n->sx, SX_LT, b, *value, 0);
}

/* Values kept from walk to walk, at the element that the loops are at. */
static void fold_homes(struct sched *s)
{
    if (s->g->col < 0)
        return;
    struct index at = s->at[s->g->col];
    if (s->g->nanchor && s->g->row >= 0) {
        const struct index row = sched_row_at(s);
        index_add(&at, &row, s->k->axis[s->g->col]);
    }
    EACH_ITEM(s, i, it)
    {
        const struct item_tiles *t = &s->tiles[it - s->gs.item];
        if (t->stack && it->role != ROLE_COLSUM && it->role != ROLE_ROWSUM)
            s->home[it->stage] = (struct home){HOME_TILE, (uint16_t)(t->stack - 1), at};
    }
}

/* Row-major number of the element that the loops are at. */
static sx_id flat_number(struct sched *s, const struct kstage *k)
{
    struct sxb *b = &s->n->sx;
    sx_id e = sx_int(b, 0);
    for (unsigned i = 0; i < k->nred; i++) {
        sx_id n = sx_int(b, s->k->axis[k->red[i]].c);
        sx_id at = sx_axis(b, s->at[k->red[i]].t[0].axis);
        e = sx_make(b, SX_IADD, sx_make(b, SX_IMUL, e, n, 0), at, 0);
    }
    return e;
}

static bool is_guarded(const struct kstage *k)
{
    for (uint32_t o = 0; o < k->noperand; o++)
        if (k->operand[o].nguard)
            return true;
    return false;
}

/* Elements outside of the source do not take part: their iterations are skipped. */
static bool guard_elements(struct sched *s, const struct kstage *k)
{
    if (!is_guarded(k))
        return false;
    struct stmt *f = nb_for(s, FOR_SEQ, index_const(0), index_const(1), 1);
    for (uint32_t o = 0; o < k->noperand; o++)
        for (unsigned i = 0; i < k->operand[o].nguard; i++)
            nb_guard(s, f, sched_index(s, &k->operand[o].guard[i].index),
                     k->operand[o].guard[i].bound);
    return true;
}

/* The value and number of the first element; guarded: of none yet. */
static void first_element(struct sched *s, struct item *it, uint16_t best, uint16_t where)
{
    const struct kstage *k = &s->k->stage[it->stage];
    const bool guarded = is_guarded(k);
    for (unsigned i = 0; i < k->nred; i++)
        s->at[k->red[i]] = index_const(0);
    fold_homes(s);
    struct stmt *st = nb_set_tile(s, best, index_const(0));
    st->value = guarded ? sx_const(&s->n->sx, 0) : sched_expr(s, st, k, k->value);
    if (where == best)
        return;
    st = nb_set_tile(s, where, index_const(0));
    st->value = sx_int(&s->n->sx, guarded ? -1 : 0);
}

/* The number first: it says whether the element that the loops are at has won. */
static void fold_number(struct sched *s, struct item *it, uint16_t best, uint16_t where)
{
    const struct kstage *k = &s->k->stage[it->stage];
    struct sxb *b = &s->n->sx;
    struct stmt *st = nb_set_tile(s, where, index_const(0));
    sx_id value, wins = fold_wins(s, st, it, best, index_const(0), &value);
    const sx_id at = nb_load_tile(s, st, where, index_const(0));
    if (is_guarded(k))
        wins = sx_make(b, SX_OR, wins, sx_make(b, SX_LT, at, sx_int(b, 0), 0), 0);
    st->value = sx_make(b, SX_SEL, wins, flat_number(s, k), at);
}

static void fold_value(struct sched *s, struct item *it, uint16_t best, uint16_t where)
{
    const struct kstage *k = &s->k->stage[it->stage];
    struct sxb *b = &s->n->sx;
    struct stmt *st = nb_set_tile(s, best, index_const(0));
    sx_id value, wins = fold_wins(s, st, it, best, index_const(0), &value);
    if (is_guarded(k))
        wins = sx_make(b, SX_EQ, nb_load_tile(s, st, where, index_const(0)),
                       flat_number(s, k), 0);
    st->place = k->place;
    st->value = sx_make(b, SX_SEL, wins, value, nb_load_tile(s, st, best, index_const(0)));
}

static void settle_zero(struct sched *s, uint16_t best)
{
    struct stmt *st = nb_set_tile(s, best, index_const(0));
    st->value = sched_plus_zero(&s->n->sx, nb_load_tile(s, st, best, index_const(0)));
}

/* Starts from the first element: the loop meets it again, which changes nothing. */
static void fold_in_order(struct sched *s, struct item *it, uint16_t best)
{
    const struct kstage *k = &s->k->stage[it->stage];
    uint16_t where = best;
    if (k->comb == COMB_ARGMAX || is_guarded(k))
        where = nb_tile(s, "i", TILE_REG, DT_I32, 1, 1, false);
    first_element(s, it, best, where);
    unsigned opened = sched_loops(s, k->red, k->nred);
    fold_homes(s);
    opened += guard_elements(s, k);
    if (where != best)
        fold_number(s, it, best, where);
    fold_value(s, it, best, where);
    sched_close(s, opened);
    s->home[it->stage] =
        (struct home){HOME_TILE, k->comb == COMB_ARGMAX ? where : best, index_const(0)};
}

/* ---- the largest of a row by lanes: each starts from the first element ---- */

struct lane_fold {
    struct item *it;
    uint16_t best;
};

static bool folds_by_lanes(const struct sched *s, const struct kstage *k)
{
    return k->comb == COMB_MAX && !is_guarded(k) && k->nred == 1 && !s->scalar &&
           k->red[0] == s->g->col && !s->k->axis[s->g->col].b;
}

/* Lanes of the tile, or one of them, take what is larger. */
static void keep_larger(struct sched *s, void *cx, struct index base, int32_t width,
                        int32_t lane)
{
    const struct lane_fold *f = cx;
    struct index j = index_const(0);
    (void)lane;
    s->at[s->g->col] = base;
    unsigned opened = sched_bind(s, (unsigned)s->g->col);
    if (width > 1) {
        j = index_axis(nb_for(s, FOR_VEC, j, index_const(width), 1)->axis, 1);
        s->at[s->g->col] = index_sum(base, j);
        opened++;
    }
    fold_homes(s);
    struct stmt *st = nb_set_tile(s, f->best, j);
    sx_id value, wins = fold_wins(s, st, f->it, f->best, j, &value);
    st->place = s->k->stage[f->it->stage].place;
    st->value = sx_make(&s->n->sx, SX_SEL, wins, value, nb_load_tile(s, st, f->best, j));
    sched_close(s, opened);
}

static void largest_lane(struct sched *s, uint16_t best, int32_t lanes)
{
    for (int32_t w = lanes / 2; w >= 1; w /= 2) {
        struct index j = index_const(0);
        if (w > 1)
            j = index_axis(nb_for(s, FOR_VEC, j, index_const(w), 1)->axis, 1);
        struct stmt *st = nb_set_tile(s, best, j);
        const sx_id x = nb_load_tile(s, st, best, j),
                    y = nb_load_tile(s, st, best, index_offset(j, w));
        st->value = sx_make(&s->n->sx, SX_SEL, sx_make(&s->n->sx, SX_LT, x, y, 0), y, x);
        sched_close(s, w > 1);
    }
}

static void fold_by_lanes(struct sched *s, struct item *it, uint16_t best, int32_t lanes)
{
    const struct kstage *k = &s->k->stage[it->stage];
    struct lane_fold f = {it, best};
    struct cols all = {.width = lanes};
    struct stmt *first = nb_for(s, FOR_VEC, index_const(0), index_const(lanes), 1);
    s->at[s->g->col] = index_const(0);
    fold_homes(s);
    struct stmt *st = nb_set_tile(s, best, index_axis(first->axis, 1));
    st->value = sched_expr(s, st, k, k->value);
    nb_close(s);
    sched_cols(s, &all, (unsigned)s->g->col, keep_larger, &f);
    largest_lane(s, best, lanes);
    s->home[it->stage] = (struct home){HOME_TILE, best, index_const(0)};
}

void sched_row_fold(struct sched *s, struct item *it)
{
    const struct kstage *k = &s->k->stage[it->stage];
    const bool by_lanes = folds_by_lanes(s, k);
    const int32_t lanes = !by_lanes                              ? 1
                          : s->k->axis[s->g->col].c < FOLD_LANES ? 16
                                                                 : FOLD_LANES;
    const uint16_t best = nb_tile(s, "b", TILE_REG, DT_F32, 1, lanes, false);
    if (by_lanes)
        fold_by_lanes(s, it, best, lanes);
    else
        fold_in_order(s, it, best);
    if (k->comb == COMB_MAX)
        settle_zero(s, best);
}
