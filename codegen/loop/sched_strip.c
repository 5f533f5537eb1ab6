/*
 * Strips: what is packed side by side may lie far apart, but along the sum in rows of
 * memory.  A vector of such elements takes a cache line each; so a piece of every row is
 * loaded and the pieces are turned in registers.
 */
#include "codegen/loop/sched.h"

unsigned sched_run(const struct sched *s, const struct kstage *k, const struct kseg *g,
                   sx_id factor, unsigned axis, int32_t *length)
{
    const struct index *x = sched_plain_load(s, k, factor);
    unsigned n = 0;
    bool plain;
    *length = 1;
    if (!x || ext_eq(index_coef(x, axis, &plain), ext_const(1)) || s->scalar)
        return 0;
    for (; n < g->nred; n++) {
        const uint8_t red = g->red[g->nred - 1 - n];
        const struct ext e = s->k->axis[red];
        if (e.b || !ext_eq(index_coef(x, red, &plain), ext_const(*length)) || !plain)
            break;
        *length *= e.c;
    }
    return *length >= s->t->vec ? n : 0;
}

/* Elements k.. of all rows into a tile, and across them out again. */
static void turn(struct sched *s, const struct strips *t, struct index k)
{
    const uint16_t tile = nb_tile(s, "t", TILE_REG, DT_F32, t->rows, t->wide, false);
    for (unsigned out = 0; out < 2; out++) {
        const int32_t outer = out ? t->wide : t->rows, inner = out ? t->rows : t->wide;
        struct stmt *f = nb_for(s, FOR_UNROLL, index_const(0), index_const(outer), 1);
        struct stmt *v = nb_for(s, FOR_VEC, index_const(0), index_const(inner), 1);
        const uint8_t row = out ? v->axis : f->axis, col = out ? f->axis : v->axis;
        const struct index at = index_sum(index_axis(row, t->wide), index_axis(col, 1));
        s->at[t->axis] = index_sum(t->first, index_axis(row, 1));
        s->at[t->along] = index_sum(k, index_axis(col, 1));
        struct stmt *st =
            out ? t->set(s, t->cx, index_axis(row, 1)) : nb_set_tile(s, tile, at);
        st->place = t->k->place;
        st->value =
            out ? nb_load_tile(s, st, tile, at) : sched_expr(s, st, t->k, t->factor);
        sched_close(s, 2);
    }
}

void sched_strips(struct sched *s, const struct strips *t)
{
    const int32_t whole = t->length / t->wide * t->wide;
    struct stmt *k = nb_for(s, FOR_SEQ, index_const(0), index_const(whole), t->wide);
    turn(s, t, index_axis(k->axis, 1));
    nb_close(s);
    if (whole == t->length)
        return;
    k = nb_for(s, FOR_SEQ, index_const(whole), index_const(t->length), 1);
    struct stmt *v = nb_for(s, FOR_VEC, index_const(0), index_const(t->rows), 1);
    s->at[t->along] = index_axis(k->axis, 1);
    s->at[t->axis] = index_sum(t->first, index_axis(v->axis, 1));
    struct stmt *st = t->set(s, t->cx, index_axis(v->axis, 1));
    st->place = t->k->place;
    st->value = sched_expr(s, st, t->k, t->factor);
    sched_close(s, 2);
}
