/*
 * What follows the sum of a register tile: maps, sums along and down, stores.  Long ones
 * loop over the rows of a copy in memory.
 */
#include "codegen/loop/sched_tile.h"

enum { ROLL_COST = 1 };

/*
 * Columns of a padded panel beyond the last are computed and dropped.  Where the tile is a
 * copy in memory, wide panels are walked some lanes at a time.
 */
static void epilogue_cols(struct sched *s, struct walk *w, const struct tile_at *t,
                          int32_t valid, bool copied)
{
    const int32_t most = sched_fit(sched_map_lanes(s), t->width);
    const int32_t lanes = valid % most ? LANES : most;
    if (copied && valid > lanes && valid % lanes == 0 && !w->reg_colsum) {
        struct stmt *q = nb_for(s, FOR_SEQ, index_const(0), index_const(valid), lanes);
        w->tile_lane = index_axis(q->axis, 1);
        sched_points(s, w, index_sum(t->base, w->tile_lane), lanes, 0);
        nb_close(s);
        return;
    }
    for (int32_t at = 0; at < valid;) {
        int32_t width = sched_fit(t->width, valid - at);
        w->tile_lane = index_const(at);
        sched_points(s, w, index_offset(t->base, at), width, 0);
        at += width;
    }
}

bool tile_is_copied(const struct sched *s, int32_t mr)
{
    return mr > 1 && sched_maps_cost(s) > ROLL_COST;
}

void tile_make_copies(struct sched *s, const struct tile_at *t)
{
    EACH_ITEM(s, i, it)
    {
        if (it->role == ROLE_ANCHOR)
            s->tiles[it - s->gs.item].copy =
                (uint16_t)(1 + nb_tile(s, "y", TILE_STACK, s->k->stage[it->stage].dtype,
                                       t->mr, t->width, false));
    }
}

void tile_copy(struct sched *s, const struct tile_at *t, struct index row)
{
    EACH_ITEM(s, i, it)
    {
        const struct item_tiles *tiles = &s->tiles[it - s->gs.item];
        if (it->role != ROLE_ANCHOR)
            continue;
        struct index at = index_const(0), to = index_const(0);
        struct stmt *m = nb_for(s, FOR_UNROLL, index_const(0), index_const(t->mr), 1);
        index_term(&at, (struct term){m->axis, 1, 0, {t->width, 0}});
        if (t->width > 1) {
            struct stmt *j = nb_for(s, FOR_VEC, index_const(0), index_const(t->width), 1);
            index_term(&at, (struct term){j->axis, 1, 0, {1, 0}});
        }
        index_add(&to, &row, ext_const(t->width));
        struct stmt *st = nb_set_tile(s, (uint16_t)(tiles->copy - 1), index_sum(to, at));
        st->value = nb_load_tile(s, st, (uint16_t)(tiles->acc - 1), at);
        sched_close(s, t->width > 1 ? 2 : 1);
    }
}

static struct walk epilogue_walk(const struct sched *s, const struct tile_at *t)
{
    return (struct walk){.tile_width = t->width,
                         .reg_colsum = s->g->colsum && !s->g->rowsum,
                         .no_sums = s->g->rowsum};
}

/* What follows a sum reads its copy, or its accumulators again. */
static void change_tiles(struct sched *s)
{
    EACH_ITEM(s, i, it)
    {
        struct item_tiles *tiles = &s->tiles[it - s->gs.item];
        const uint16_t acc = tiles->acc;
        if (it->role != ROLE_ANCHOR)
            continue;
        tiles->acc = tiles->copy;
        tiles->copy = acc;
    }
}

void tile_copied_row(struct sched *s, const struct tile_at *t, struct index number,
                     int32_t valid)
{
    struct walk w = epilogue_walk(s, t);
    w.tile_row = number;
    change_tiles(s);
    sched_row_values(s, 0);
    epilogue_cols(s, &w, t, valid, true);
    change_tiles(s);
}

void tile_copied_epilogue(struct sched *s, const struct tile_at *t, int32_t valid)
{
    tile_draw(s, t);
    struct stmt *f = nb_for(s, FOR_SEQ, t->row, index_offset(t->row, t->mr), 1);
    f->bound = s->k->axis[s->g->row];
    struct index number = index_axis(f->axis, 1);
    index_add(&number, &t->row, ext_const(-1));
    s->at[s->g->row] = index_axis(f->axis, 1);
    tile_copied_row(s, t, number, valid);
    nb_close(s);
    tile_drawn(s);
}

void tile_epilogue(struct sched *s, const struct tile_at *t, int32_t valid)
{
    struct walk w = epilogue_walk(s, t);
    unsigned opened = 0;
    if (t->mr > 1) {
        struct stmt *f = nb_for(s, FOR_UNROLL, index_const(0), index_const(t->mr), 1);
        w.tile_row = index_axis(f->axis, 1);
        s->at[s->g->row] = index_sum(t->row, w.tile_row);
        if (t->guarded)
            nb_guard(s, f, s->at[s->g->row], s->k->axis[s->g->row]);
        opened = 1;
    } else if (s->g->row >= 0) {
        s->at[s->g->row] = t->row;
    }
    sched_row_values(s, 0);
    epilogue_cols(s, &w, t, valid, false);
    sched_close(s, opened);
}
