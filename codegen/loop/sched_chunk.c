/*
 * Sums in chunks: every block's chain is finished by one unit, which leaves it in a private
 * buffer [block, space...]; a later stage adds the blocks in order.  Nothing depends on who
 * ran which unit.
 *
 * What is more than a load of the rows' factor of a product in chunks is computed by the
 * unit before, once for all columns.
 */
#include "codegen/loop/sched.h"

static struct index partial_index(struct sched *s, const struct kstage *k,
                                  struct index block)
{
    struct index at = block;
    for (unsigned i = 0; i < k->naxis; i++) {
        struct index up = index_const(0);
        index_add(&up, &at, s->k->axis[k->axis[i]]);
        at = index_sum(up, s->at[k->axis[i]]);
    }
    return at;
}

void sched_colsum_tiles(struct sched *s, int32_t width, enum tile_space space)
{
    EACH_ITEM(s, i, it)
    {
        if (it->role == ROLE_COLSUM)
            s->tiles[it - s->gs.item].acc =
                (uint16_t)(1 + nb_tile(s, "c", space, s->k->stage[it->stage].dtype, 1,
                                       width, true));
    }
}

void sched_colsum_store(struct sched *s, struct index base, int32_t width, int32_t reg)
{
    struct index j = index_const(0);
    if (width > 1) {
        struct stmt *f = nb_for(s, FOR_VEC, index_const(0), index_const(width), 1);
        j = index_axis(f->axis, 1);
    }
    struct index col = index_sum(base, j);
    if (s->g->col >= 0)
        s->at[s->g->col] = col;
    EACH_ITEM(s, i, it)
    {
        if (it->role != ROLE_COLSUM)
            continue;
        uint16_t tile = (uint16_t)(s->tiles[it - s->gs.item].acc - 1);
        struct stmt *st = nb_set_buf(s, s->partial[it->stage][it->seg],
                                     partial_index(s, &s->k->stage[it->stage], s->unit));
        st->value = nb_load_tile(s, st, tile, reg >= 0 ? index_offset(j, reg) : col);
    }
    if (width > 1)
        nb_close(s);
}

void sched_partial_store(struct sched *s, struct item *it, struct index value)
{
    struct stmt *st = nb_set_buf(s, s->partial[it->stage][it->seg],
                                 partial_index(s, &s->k->stage[it->stage], s->unit));
    uint16_t tile = (uint16_t)(s->tiles[it - s->gs.item].acc - 1);
    st->value = nb_load_tile(s, st, tile, value);
}

/* Blocks lo.. of a segment into the tile: the very first is copied, the others are added.
 */
static void add_blocks(struct sched *s, struct item *it, uint32_t seg, bool first,
                       struct index base, int32_t width, uint16_t tile)
{
    const struct kstage *k = &s->k->stage[it->stage];
    struct ext n = s->k->axis[k->seg[seg].red[0]];
    struct index hi = first ? index_const(1) : (struct index){.off = n};
    struct stmt *u = nb_for(s, FOR_SEQ, index_const(!first && seg == 0), hi, 1);
    u->bound = n;
    u->bound_div = k->chunk;
    struct index j = index_const(0);
    if (width > 1) {
        struct stmt *f = nb_for(s, FOR_VEC, index_const(0), index_const(width), 1);
        j = index_axis(f->axis, 1);
    }
    if (s->g->col >= 0)
        s->at[s->g->col] = index_sum(base, j);
    struct stmt *st = first ? nb_set_tile(s, tile, j) : nb_stmt(s, S_ACC);
    st->place = k->place;
    st->dst_tile = true;
    st->dst = tile;
    st->index = j;
    st->value = nb_load_buf(s, st, s->partial[it->stage][seg],
                            partial_index(s, k, index_axis(u->axis, 1)), NULL, 0);
    sched_close(s, width > 1 ? 2 : 1);
    if (s->g->col >= 0)
        s->at[s->g->col] = base;
}

void sched_combine(struct sched *s, struct item *it, struct index base, int32_t width)
{
    const struct kstage *k = &s->k->stage[it->stage];
    uint16_t tile = nb_tile(s, "t", TILE_REG, k->dtype, 1, width, true);
    for (uint32_t g = 0; g < k->nseg; g++) {
        if (g == 0)
            add_blocks(s, it, g, true, base, width, tile);
        add_blocks(s, it, g, false, base, width, tile);
    }
    s->home[it->stage] = (struct home){HOME_TILE, tile, index_const(0)};
}

/* ---- what a chunk sums ---- */

unsigned sched_chunk_loop(struct sched *s, const struct item *it, uint8_t axis)
{
    const int32_t chunk = s->k->stage[it->stage].chunk;
    struct index lo = index_const(0);
    index_add(&lo, &s->unit, ext_const(chunk));
    struct stmt *f = nb_for(s, FOR_SEQ, lo, index_offset(lo, chunk), 1);
    f->bound = s->k->axis[axis];
    s->at[axis] = index_axis(f->axis, 1);
    return 1;
}

struct chunk_pack {
    const struct kstage *k;
    const struct kseg *g;
    uint16_t tile;
    unsigned which;
};

/* [k of the chunk][row of the block], where the reduced axes and the row are now. */
static struct index chunk_index(const struct sched *s, const struct kstage *k,
                                const struct kseg *g)
{
    struct index at = s->at[g->red[0]], in = s->at[s->g->row], to = index_const(0);
    index_add(&at, &s->unit, ext_const(-k->chunk));
    for (unsigned i = 1; i < g->nred; i++) {
        struct index up = index_const(0);
        index_add(&up, &at, s->k->axis[g->red[i]]);
        at = index_sum(up, s->at[g->red[i]]);
    }
    index_add(&in, &s->row0, ext_const(-1));
    index_add(&to, &at, ext_const(s->t->unit_rows));
    return index_sum(to, in);
}

static void put_rows(struct sched *s, void *cx, struct index base, int32_t width,
                     int32_t lane)
{
    const struct chunk_pack *c = cx;
    struct index j = index_const(0);
    (void)lane;
    if (width > 1) {
        struct stmt *f = nb_for(s, FOR_VEC, index_const(0), index_const(width), 1);
        j = index_axis(f->axis, 1);
    }
    s->at[s->g->row] = index_sum(base, j);
    struct stmt *st = nb_set_tile(s, c->tile, chunk_index(s, c->k, c->g));
    st->place = c->k->place;
    st->value = sched_expr(s, st, c->k, c->g->factor[c->which]);
    sched_close(s, width > 1);
}

static void pack_factor(struct sched *s, const struct item *it, unsigned which)
{
    struct chunk_pack c = {.k = &s->k->stage[it->stage], .which = which};
    struct pack *p = &s->packs[(it->stage * 8U + it->seg) * 2 + which];
    const struct cols rows = {.lo = s->row0, .len = s->t->unit_rows, .width = BLOCK_LANES};
    int32_t size = c.k->chunk;
    c.g = &c.k->seg[it->seg];
    for (unsigned i = 1; i < c.g->nred; i++)
        size *= s->k->axis[c.g->red[i]].c;
    c.tile = nb_tile(s, "w", TILE_STACK, DT_F32, size, s->t->unit_rows, true);
    p->buf = (uint16_t)(1 + c.tile);
    unsigned opened = sched_chunk_loop(s, it, c.g->red[0]);
    opened += sched_loops(s, c.g->red + 1, c.g->nred - 1U);
    sched_cols(s, &rows, (unsigned)s->g->row, put_rows, &c);
    sched_close(s, opened);
}

void sched_pack_chunk(struct sched *s)
{
    EACH_ITEM(s, i, it)
    {
        for (unsigned w = 0; it->role == ROLE_ANCHOR && it->part == PART_PARTIAL && w < 2;
             w++)
            if (s->packs[(it->stage * 8U + it->seg) * 2 + w].kind == PACK_CHUNK)
                pack_factor(s, it, w);
    }
}

sx_id sched_chunk_factor(struct sched *s, struct stmt *st, const struct item *it,
                         uint32_t seg, unsigned which)
{
    const struct kstage *k = &s->k->stage[it->stage];
    const struct pack *p = &s->packs[(it->stage * 8U + seg) * 2 + which];
    return nb_load_tile(s, st, (uint16_t)(p->buf - 1), chunk_index(s, k, &k->seg[seg]));
}
