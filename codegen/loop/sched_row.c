/*
 * Rows: a row is walked once for every level of its sums.  A sum by lanes has 16 partials
 * in registers, filled while the row is walked, then added as a halving tree; its value and
 * the maps on it are known to the next walk.  Values that a later walk needs again lie in a
 * stack tile.
 *
 * Rows along a middle axis lie side by side, as the channels of an image's places do.  They
 * are walked together, a lane each: what is a number of a row is then a vector, and a sum a
 * chain in each lane.
 */
#include "codegen/loop/sched.h"

enum { FETCH_COST = 8 };

/* ---- values of a row ---- */

static void deliver_scalar(struct sched *s, struct item *it)
{
    s->home[it->stage].index = index_const(0);
    sched_deliver(s, it, index_const(0));
}

static void compute_scalar(struct sched *s, const struct item *it)
{
    const struct kstage *k = &s->k->stage[it->stage];
    uint16_t t = nb_tile(s, "x", TILE_REG, k->dtype, 1, 1, false);
    s->home[it->stage] = (struct home){HOME_TILE, t, index_const(0)};
    struct stmt *st = nb_set_tile(s, t, index_const(0));
    st->place = k->place;
    st->value = sched_expr(s, st, k, k->value);
}

static void row_map(struct sched *s, struct item *it)
{
    compute_scalar(s, it);
    deliver_scalar(s, it);
}

/* A value that all units share: each computes it; where a later walk reads it, the first
 * leaves it there.  With outer axes it is one for every setting of them: for every unit. */
static void unit_map(struct sched *s, struct item *it)
{
    const struct index unit = index_axis(0, 1);
    compute_scalar(s, it);
    if (!s->export_buf[it->stage])
        return;
    if (s->g->nouter) {
        deliver_scalar(s, it);
        return;
    }
    struct stmt *first = nb_for(s, FOR_SEQ, unit, index_offset(unit, 1), 1);
    first->bound = ext_const(1);
    deliver_scalar(s, it);
    nb_close(s);
}

static void halving_tree(struct sched *s, uint16_t tile)
{
    for (int32_t w = 8; w >= 1; w /= 2) {
        struct index j = index_const(0);
        if (w > 1) {
            struct stmt *f = nb_for(s, FOR_VEC, index_const(0), index_const(w), 1);
            j = index_axis(f->axis, 1);
        }
        struct stmt *st = nb_stmt(s, S_ACC);
        st->dst_tile = true;
        st->dst = tile;
        st->index = j;
        st->value = nb_load_tile(s, st, tile, index_offset(j, w));
        if (w > 1)
            nb_close(s);
    }
}

/* Lanes of a sum over several axes: element e of their flat number goes to partial e
 * mod 16. */
static void lanes_of_list(struct sched *s, struct item *it, uint16_t tile)
{
    const struct kstage *k = &s->k->stage[it->stage];
    const struct kseg *seg = &k->seg[0];
    unsigned opened = sched_loops(s, seg->red, seg->nred);
    struct index e = index_const(0);
    for (unsigned i = 0; i < seg->nred; i++) {
        struct index up = index_const(0);
        index_add(&up, &e, s->k->axis[seg->red[i]]);
        e = index_sum(up, s->at[seg->red[i]]);
    }
    struct stmt *f = nb_for(s, FOR_SEQ, e, index_offset(e, 1), 1);
    struct stmt *st = nb_stmt(s, S_ACC);
    st->place = k->place;
    st->dst_tile = true;
    st->dst = tile;
    index_term(&st->index, (struct term){f->axis, 1, 16, {1, 0}});
    st->value = sched_expr(s, st, k, seg->factor[0]);
    st->value2 = sched_expr(s, st, k, seg->factor[1]);
    sched_close(s, opened + 1);
}

static void row_sum(struct sched *s, struct item *it)
{
    const struct kstage *k = &s->k->stage[it->stage];
    if (k->op == K_FOLD) {
        sched_row_fold(s, it);
        deliver_scalar(s, it);
        return;
    }
    struct item_tiles *t = &s->tiles[it - s->gs.item];
    if (s->g->col < 0) {
        t->acc = (uint16_t)(1 + nb_tile(s, "l", TILE_STACK, k->dtype, 1, 16, true));
        lanes_of_list(s, it, (uint16_t)(t->acc - 1));
    }
    halving_tree(s, (uint16_t)(t->acc - 1));
    s->home[it->stage] = (struct home){HOME_TILE, (uint16_t)(t->acc - 1), index_const(0)};
    deliver_scalar(s, it);
}

/* ---- values of rows side by side ---- */

int32_t sched_rows_across(const struct sched *s)
{
    const int32_t rows = s->k->axis[s->g->row].c,
                  fit = sched_most_across(s->t) / s->k->axis[s->g->col].c / LANES * LANES;
    return rows < fit ? rows : fit < LANES ? LANES : fit;
}

struct index sched_row_at(const struct sched *s)
{
    struct index row = s->at[s->g->row];
    index_add(&row, &s->row0, ext_const(-1));
    return row;
}

void sched_row_homes(struct sched *s)
{
    EACH_ITEM(s, i, it)
    {
        if (sched_is_row_value(it))
            s->home[it->stage].index = sched_row_at(s);
    }
}

/* So few that no loop runs over vectors of them: their values are in registers. */
static bool are_few(const struct sched *s)
{
    const int32_t rows = s->k->axis[s->g->row].c;
    return rows < 2 * LANES && rows <= s->rows;
}

static uint16_t across_tile(struct sched *s, const struct item *it, bool zero)
{
    return nb_tile(s, "r", are_few(s) ? TILE_REG : TILE_STACK, s->k->stage[it->stage].dtype,
                   1, s->rows, zero);
}

static void value_across(struct sched *s, void *cx, struct index base, int32_t width,
                         int32_t lane)
{
    struct item *it = cx;
    const struct kstage *k = &s->k->stage[it->stage];
    const struct home *h = &s->home[it->stage];
    (void)lane;
    s->at[s->g->row] = base;
    if (width > 1) {
        struct stmt *f = nb_for(s, FOR_VEC, index_const(0), index_const(width), 1);
        s->at[s->g->row] = index_sum(base, index_axis(f->axis, 1));
    }
    sched_row_homes(s);
    if (it->role == ROLE_ROWMAP) {
        struct stmt *st = nb_set_tile(s, h->id, h->index);
        st->place = k->place;
        st->value = sched_expr(s, st, k, k->value);
    }
    sched_deliver(s, it, h->index);
    sched_close(s, width > 1);
}

static void values_across(struct sched *s, struct item *it)
{
    const bool map = it->role == ROLE_ROWMAP;
    const uint16_t tile =
        map ? across_tile(s, it, false) : (uint16_t)(s->tiles[it - s->gs.item].acc - 1);
    s->home[it->stage] = (struct home){.kind = HOME_TILE, .id = tile};
    if (map || s->k->stage[it->stage].nstore || s->export_buf[it->stage])
        sched_cols(s, &s->cols, (unsigned)s->g->row, value_across, it);
}

void sched_row_values(struct sched *s, unsigned level)
{
    EACH_ITEM(s, i, it)
    {
        if (s->g->across && it->pass == level && sched_is_row_value(it))
            values_across(s, it);
        else if (it->pass == level && it->role == ROLE_ROWSUM)
            row_sum(s, it);
        else if (it->pass == level && it->role == ROLE_ROWMAP)
            row_map(s, it);
    }
}

void sched_unit_values(struct sched *s)
{
    EACH_ITEM(s, i, it)
    {
        if (it->role == ROLE_UNITMAP)
            unit_map(s, it);
    }
}

/* ---- walks ---- */

static void lanes_tiles(struct sched *s, unsigned level)
{
    bool dynamic = s->scalar || (s->g->col >= 0 && s->k->axis[s->g->col].b);
    if (s->g->col < 0)
        return;
    EACH_ITEM(s, i, it)
    {
        const struct kstage *k = &s->k->stage[it->stage];
        if (it->role != ROLE_ROWSUM || it->pass != level || k->op != K_SUM)
            continue;
        const uint16_t tile =
            s->g->across
                ? across_tile(s, it, true)
                : nb_tile(s, "l", dynamic ? TILE_STACK : TILE_REG, k->dtype, 1, 16, true);
        s->tiles[it - s->gs.item].acc = (uint16_t)(1 + tile);
    }
}

void sched_stack_tiles(struct sched *s)
{
    int32_t rows = s->g->nanchor && s->g->row >= 0 ? s->rows : 1;
    EACH_ITEM(s, i, it)
    {
        if (!it->needed_later || s->g->col < 0)
            continue;
        struct ext n = s->k->axis[s->g->col];
        uint8_t dtype = s->k->stage[it->stage].dtype;
        const int32_t across = s->g->across ? s->rows : 1;
        s->tiles[it - s->gs.item].stack =
            (uint16_t)(1 + nb_tile(s, "s", TILE_STACK, dtype, rows, n.c * across, false));
    }
}

static void walk_cols(struct sched *s, void *cx, struct index base, int32_t width,
                      int32_t lane)
{
    sched_points(s, cx, base, width, lane);
}

static bool walk_is_empty(const struct sched *s, unsigned pass, bool replay)
{
    EACH_ITEM(s, i, it)
    {
        bool point =
            (it->role == ROLE_POINT || it->role == ROLE_COMBINE || it->role == ROLE_FOLD) &&
            !replay;
        if ((point || it->role == ROLE_COLSUM) && it->pass == pass)
            return false;
        if (it->role == ROLE_ROWSUM && it->pass == pass + 1 &&
            s->k->stage[it->stage].op == K_SUM && s->g->col >= 0)
            return false;
    }
    return true;
}

static int32_t walk_width(const struct sched *s)
{
    if (s->g->rowsum || s->g->col < 0)
        return LANES;
    const struct ext n = s->k->axis[s->g->col];
    if (n.b)
        return s->g->row < 0 ? sched_map_lanes(s) : LANES;
    return n.c > LANES ? sched_fit(sched_map_lanes(s), n.c) : LANES;
}

/* Processors fetch streams themselves, but not far enough where each element takes long. */
static enum fetch fetched(const struct sched *s, unsigned pass)
{
    const struct group *g = s->g;
    if (g->nanchor || g->col < 0)
        return FETCH_NOTHING;
    if (g->across) /* the last walk stores: meanwhile */
        return pass > 0 && pass + 1U == g->npass ? FETCH_ROW : FETCH_NOTHING;
    if (g->rowsum)
        return pass == 0 && g->npass > 1 && g->row >= 0 ? FETCH_ROW : FETCH_NOTHING;
    return sched_maps_cost(s) >= FETCH_COST ? FETCH_ON : FETCH_NOTHING;
}

/* Column by column, the rows side by side. */
static void walk_across(struct sched *s, struct walk *w)
{
    const uint8_t col = (uint8_t)s->g->col;
    const unsigned opened = sched_loops(s, &col, 1);
    sched_cols(s, &s->cols, (unsigned)s->g->row, walk_cols, w);
    sched_close(s, opened);
}

static void one_row(struct sched *s, bool replay)
{
    for (unsigned pass = 0; pass < s->g->npass; pass++) {
        struct walk w = {.pass = (uint8_t)pass, .replay = replay && pass == 0};
        struct cols cols = s->cols;
        sched_row_values(s, pass);
        if (walk_is_empty(s, pass, w.replay))
            continue;
        lanes_tiles(s, pass + 1);
        cols.width = walk_width(s);
        cols.lanes = s->g->rowsum;
        s->fetch = (uint8_t)fetched(s, pass);
        if (s->g->col < 0)
            sched_points(s, &w, index_const(0), 1, 0);
        else if (s->g->across)
            walk_across(s, &w);
        else
            sched_cols(s, &cols, (unsigned)s->g->col, walk_cols, &w);
        s->fetch = FETCH_NOTHING;
    }
}

/* All rows of the unit, or blocks of them, each through all of its walks. */
static void rows_across(struct sched *s)
{
    const struct ext n = s->k->axis[s->g->row];
    const bool blocks = n.c > s->rows;
    s->cols.width = sched_map_lanes(s);
    while (s->cols.width > LANES &&
           (blocks ? s->rows % s->cols.width : n.c < s->cols.width))
        s->cols.width /= 2;
    s->cols.lanes = are_few(s);
    if (blocks) {
        struct stmt *f =
            nb_for(s, FOR_SEQ, index_const(0), (struct index){.off = n}, s->rows);
        s->row0 = s->cols.lo = index_axis(f->axis, 1);
        s->cols.len = s->rows;
    }
    one_row(s, false);
    sched_close(s, blocks);
}

void sched_rows(struct sched *s, bool replay)
{
    if (s->g->across) {
        rows_across(s);
        return;
    }
    if (s->g->row < 0) {
        one_row(s, replay);
        return;
    }
    struct stmt *f = nb_for(s, FOR_SEQ, s->row0, index_offset(s->row0, s->rows), 1);
    f->bound = s->k->axis[s->g->row];
    s->at[s->g->row] = index_axis(f->axis, 1);
    one_row(s, replay);
    nb_close(s);
}
