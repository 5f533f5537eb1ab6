/*
 * The sum of a register tile.  K is never split: one accumulator an element lives in a
 * register through the whole of it.
 */
#include "codegen/loop/sched_tile.h"

enum {
    LATE_STEP = 8, /* elements of a sum to a row of the tile before */
    FETCH_ROWS = 6 /* of a tile that hides the fetching of its factors */
};

static const struct kseg *seg_of(const struct sched *s, const struct item *it, uint32_t seg)
{
    const struct kstage *k = &s->k->stage[it->stage];
    return &k->seg[it->part == PART_PARTIAL ? it->seg : seg];
}

static uint32_t nseg_of(const struct sched *s, const struct item *it)
{
    return it->part == PART_PARTIAL ? 1 : s->k->stage[it->stage].nseg;
}

/* Blocks of packed rows are those of a tile, or of a unit of samples. */
static struct index first_of_block(const struct sched *s, const struct tile_at *t)
{
    const bool samples = s->g->row < 0 || s->k->axis[s->g->row].b;
    return samples ? s->row0 : t->row;
}

static void accumulate(struct sched *s, const struct tile_at *t, struct item *it,
                       uint32_t seg)
{
    const struct kstage *k = &s->k->stage[it->stage];
    struct index m = index_const(0), j = index_const(0);
    unsigned opened = 0;
    if (t->mr > 1) {
        struct stmt *f = nb_for(s, FOR_UNROLL, index_const(0), index_const(t->mr), 1);
        m = index_axis(f->axis, 1);
        opened++;
    }
    if (t->width > 1) {
        struct stmt *f = nb_for(s, FOR_VEC, index_const(0), index_const(t->width), 1);
        j = index_axis(f->axis, 1);
        opened++;
    }
    if (s->g->row >= 0)
        s->at[s->g->row] = index_sum(t->row, m);
    if (s->g->col >= 0)
        s->at[s->g->col] = index_sum(t->base, j);
    struct stmt *st = nb_stmt(s, S_ACC);
    st->place = k->place;
    st->dst_tile = true;
    st->dst = (uint16_t)(s->tiles[it - s->gs.item].acc - 1);
    st->index = j;
    index_add(&st->index, &m, ext_const(t->width));
    const struct tile_point at = {t->base, j, t->panel, first_of_block(s, t)};
    uint32_t real = it->part == PART_PARTIAL ? it->seg : seg;
    st->value = sched_factor(s, st, it, real, 0, &at);
    st->value2 = k->seg[real].factor[1] ? sched_factor(s, st, it, real, 1, &at) : 0;
    sched_close(s, opened);
}

unsigned tile_if_there(struct sched *s, const struct tile_at *t)
{
    struct stmt *once = nb_for(s, FOR_SEQ, index_const(0), index_const(1), 1);
    struct index inside = t->row;
    index_add(&inside, &s->row0, ext_const(-1));
    nb_guard(s, once, inside, ext_const(s->rows));
    nb_guard(s, once, t->row, t->late->end);
    return 1;
}

/* Row `number` of the tile before, if there is one. */
static void late_row(struct sched *s, const struct tile_at *t, struct index number)
{
    const struct ext rows = s->k->axis[s->g->row];
    const struct index row = index_offset(index_sum(t->row, number), -t->mr);
    struct index before = index_offset(t->row, -t->mr);
    struct stmt *once = nb_for(s, FOR_SEQ, row, index_offset(row, 1), 1);
    index_add(&before, &s->row0, ext_const(-1));
    nb_guard(s, once, before, ext_const(s->rows));
    nb_guard(s, once, number, ext_const(t->mr));
    if (t->late->guarded)
        nb_guard(s, once, row, rows);
    s->at[s->g->row] = index_axis(once->axis, 1);
    tile_copied_row(s, t, number, t->late->valid);
    nb_close(s);
}

static unsigned late_loops(struct sched *s, const struct tile_at *t, uint8_t axis)
{
    const struct ext n = s->k->axis[axis];
    struct stmt *step =
        nb_for(s, FOR_SEQ, index_const(0), (struct index){.off = n}, LATE_STEP);
    const struct index first = index_axis(step->axis, 1);
    struct index number = index_const(0);
    index_term(&number, (struct term){step->axis, LATE_STEP, 0, {1, 0}});
    late_row(s, t, number);
    const unsigned opened = tile_if_there(s, t);
    sched_fetch_row(s, number, t->row, t->base, t->mr, t->width);
    struct stmt *k = nb_for(s, FOR_SEQ, first, index_offset(first, LATE_STEP), 1);
    k->bound = n;
    s->at[axis] = index_axis(k->axis, 1);
    return 2 + opened;
}

void tile_late_rest(struct sched *s, const struct tile_at *t)
{
    const struct ext n = s->k->axis[seg_of(s, tile_first_anchor(s), 0)->red[0]];
    if (!n.b && n.c > LATE_STEP * (t->mr - 1))
        return;
    struct stmt *c = nb_for(s, FOR_SEQ, index_const(0), index_const(t->mr), 1);
    struct index over = index_axis(c->axis, LATE_STEP);
    over.off = ext_add(over.off, (struct ext){-n.c, -n.b});
    nb_guard(s, c, over, ext_const(LATE_STEP * t->mr));
    late_row(s, t, index_axis(c->axis, 1));
    nb_close(s);
}

/* The reduced axes.  `first`: of the first sum, along which other things are done. */
static unsigned reduction_loops(struct sched *s, const struct tile_at *t,
                                const struct item *it, const struct kseg *g, bool first)
{
    unsigned opened = 0;
    if (t->late && first)
        return late_loops(s, t, g->red[0]);
    if (t->late)
        opened = tile_if_there(s, t);
    else if (first && g->nred == 1)
        opened = sched_fetching_loop(s, g->red[0], t->row, t->base, t->mr, t->width);
    if (opened && !t->late)
        return opened;
    const unsigned chunked = s->g->chunked ? sched_chunk_loop(s, it, g->red[0]) : 0;
    return opened + chunked + sched_loops(s, g->red + chunked, g->nred - chunked);
}

static bool same_loops(const struct sched *s, const struct kseg *x, const struct kseg *y)
{
    if (x->nred != y->nred)
        return false;
    for (unsigned i = 0; i < x->nred; i++)
        if (!ext_eq(s->k->axis[x->red[i]], s->k->axis[y->red[i]]))
            return false;
    return true;
}

const struct item *tile_first_anchor(const struct sched *s)
{
    uint32_t i = 0;
    while (s->gs.item[s->g->item[i]].role != ROLE_ANCHOR)
        i++;
    return &s->gs.item[s->g->item[i]];
}

/* A tile's factors, some steps ahead. */
static void fetch_factors(struct sched *s, const struct tile_at *t, const struct item *it,
                          uint32_t seg)
{
    const struct kstage *k = &s->k->stage[it->stage];
    const struct kseg *g = seg_of(s, it, seg);
    const struct pack *p = &s->packs[(it->stage * 8U + (uint32_t)(g - k->seg)) * 2];
    if (s->scalar || s->g->row < 0 || s->g->col < 0 || g->nred != 1 ||
        t->width < s->t->vec || t->mr < FETCH_ROWS)
        return;
    s->at[s->g->row] = t->row;
    s->at[s->g->col] = t->base;
    const struct tile_point at = {t->base, index_const(0), t->panel, s->row0};
    for (unsigned w = 0; w < 2; w++)
        if (g->factor[w] && p[w].kind == PACK_NONE)
            sched_fetch_factor(s, k, g->factor[w], g->red[0],
                               p[w].depends_on_col ? t->width : 1);
        else if (g->factor[w] && p[w].kind == PACK_PANELS)
            sched_fetch_panel(s, it, (uint32_t)(g - k->seg), w, &at, t->width);
}

/* Sums with the same loops walk them together, so that they share what they load. */
static void sum_segments(struct sched *s, const struct tile_at *t, uint32_t seg)
{
    bool *done = arena_array(s->scratch, s->g->nitem, sizeof *done);
    EACH_ITEM(s, i, lead)
    {
        if (lead->role != ROLE_ANCHOR || seg >= nseg_of(s, lead) || done[i])
            continue;
        const struct kseg *g = seg_of(s, lead, seg);
        unsigned opened =
            reduction_loops(s, t, lead, g, seg == 0 && lead == tile_first_anchor(s));
        for (uint32_t o = i; o < s->g->nitem; o++) {
            struct item *it = &s->gs.item[s->g->item[o]];
            if (it->role != ROLE_ANCHOR || seg >= nseg_of(s, it) || done[o] ||
                !same_loops(s, g, seg_of(s, it, seg)))
                continue;
            const struct kseg *h = seg_of(s, it, seg);
            for (unsigned r = 0; r < g->nred; r++)
                s->at[h->red[r]] = s->at[g->red[r]];
            fetch_factors(s, t, it, seg);
            accumulate(s, t, it, seg);
            done[o] = true;
        }
        sched_close(s, opened);
    }
}

void tile_sum(struct sched *s, const struct tile_at *t)
{
    uint32_t nseg = 0;
    EACH_ITEM(s, i, it)
    {
        if (it->role != ROLE_ANCHOR)
            continue;
        uint8_t dtype = s->k->stage[it->stage].dtype;
        s->tiles[it - s->gs.item].acc =
            (uint16_t)(1 + nb_tile(s, "h", TILE_REG, dtype, t->mr, t->width, true));
        if (nseg_of(s, it) > nseg)
            nseg = nseg_of(s, it);
    }
    for (uint32_t g = 0; g < nseg; g++)
        sum_segments(s, t, g);
}
