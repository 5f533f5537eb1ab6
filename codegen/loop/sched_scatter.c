/*
 * Scatters.  A unit owns a block of columns of the destination (and one place of the outer
 * axes): it clears them, then walks all values in order and adds each where its index says.
 * So the order of every sum is that of the values, whatever the threads, and no two units
 * touch one element.
 */
#include "codegen/loop/sched.h"

struct piece {
    const struct kstage *stage;
    const struct kstore *to;
    bool add;
};

/* Where `along` is 0, and what a place along it adds. */
static struct index destination(struct sched *s, const struct piece *p, struct ext *coef)
{
    bool plain;
    s->at[p->stage->along] = index_const(0);
    *coef = index_coef(&p->to->index, p->stage->along, &plain);
    return sched_index(s, &p->to->index);
}

static void clear_at(struct sched *s, const struct piece *p)
{
    struct stmt *st = nb_set_buf(s, p->to->buf, sched_index(s, &p->to->index));
    st->place = p->stage->place;
    st->value = sx_const(&s->n->sx, 0);
}

static void add_at(struct sched *s, const struct piece *p)
{
    struct ext coef;
    const struct index at = destination(s, p, &coef);
    struct stmt *st = nb_stmt(s, S_ACC);
    st->place = p->stage->place;
    st->dst = p->to->buf;
    st->index = at;
    st->pick.from = sched_operand(s, st, p->stage, p->stage->at);
    st->pick.coef = coef;
    st->pick.bound = s->k->axis[p->stage->along];
    st->value = sched_expr(s, st, p->stage, p->stage->value);
}

static void columns(struct sched *s, void *cx, struct index base, int32_t width,
                    int32_t lane)
{
    const struct piece *p = cx;
    unsigned opened = 0;
    (void)lane;
    if (s->g->col >= 0) {
        s->at[s->g->col] = base;
        opened += sched_bind(s, (unsigned)s->g->col);
    }
    if (width > 1) {
        struct stmt *f = nb_for(s, FOR_VEC, index_const(0), index_const(width), 1);
        s->at[s->g->col] = index_sum(base, index_axis(f->axis, 1));
        opened++;
    }
    if (p->add)
        add_at(s, p);
    else
        clear_at(s, p);
    sched_close(s, opened);
}

static void pass(struct sched *s, struct piece *p, bool add)
{
    const struct kstage *k = p->stage;
    p->add = add;
    unsigned opened = add ? sched_loops(s, k->red, k->nred) : sched_loops(s, &k->along, 1);
    if (s->g->col >= 0)
        sched_cols(s, &s->cols, (unsigned)s->g->col, columns, p);
    else
        columns(s, p, index_const(0), 1, -1);
    sched_close(s, opened);
}

void sched_scatter(struct sched *s)
{
    const struct item *it = &s->gs.item[s->g->item[0]];
    const struct kstage *k = &s->k->stage[it->stage];
    struct kstore own = {0};
    struct piece p = {.stage = k, .to = &own};

    for (uint32_t i = 0; i < k->nstore; i++) {
        p.to = &k->store[i];
        pass(s, &p, false);
        pass(s, &p, true);
    }
    if (k->nstore || !s->export_buf[it->stage])
        return;
    own.buf = (uint16_t)(s->export_buf[it->stage] - 1);
    own.index = sched_row_major(s->k, k);
    pass(s, &p, false);
    pass(s, &p, true);
}
