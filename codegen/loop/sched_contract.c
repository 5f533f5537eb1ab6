/*
 * Contractions: a panel of columns, tiles of rows in it, one accumulator an element that
 * lives in a register through the whole sum; K is never split, so what follows (epilogue
 * maps, sums down the columns, stores) is attached to the finished tile.
 */
#include "codegen/loop/sched.h"

enum {
    ROLL_COST = 1,
    CHEAP_SUMS = 16,
    LATE_COST = 8, /* of an epilogue that is worth it */
    LATE_STEP = 8  /* elements of a sum to a row of the tile before */
};

/* ---- shapes ---- */

/* Are the columns' factors packed whatever the tile's width? Then a last panel that is not
 * full costs nothing. */
static bool packs_anyway(const struct sched *s)
{
    if (!sched_packs(s) || s->g->row < 0 || s->g->nouter)
        return false;
    EACH_ITEM(s, i, it)
    {
        const struct kstage *k = &s->k->stage[it->stage];
        for (uint32_t x = 0; it->role == ROLE_ANCHOR && x < k->nseg; x++)
            if (!sched_worth_panels(s, &k->seg[x]))
                return false;
    }
    return true;
}

static int32_t clamp_width(const struct sched *s, int32_t nr)
{
    if (s->g->col < 0)
        return 1;
    struct ext n = s->k->axis[s->g->col];
    if (n.b)
        return nr;
    while (nr > 16 && n.c > nr && n.c % nr && n.c % (nr / 2) == 0 && !packs_anyway(s))
        nr /= 2;
    /* with rows, what is missing to a whole panel is packed as zeros */
    while (s->g->row < 0 || !s->g->nanchor || s->g->chunked || s->g->nouter ? nr > n.c
                                                                            : nr / 2 >= n.c)
        nr /= 2;
    return nr;
}

uint32_t sched_maps_cost(const struct sched *s)
{
    uint32_t cost = 0;
    EACH_ITEM(s, i, it)
    {
        if (it->role == ROLE_POINT || it->role == ROLE_ROWMAP)
            cost += sx_cost(&s->k->sx, s->k->stage[it->stage].value);
    }
    return cost;
}

/* Lanes of sums down columns alone: several chains side by side, where what is summed is
 * cheap. */
static int32_t sums_width(const struct sched *s)
{
    int32_t sums = 0;
    EACH_ITEM(s, i, it)
    {
        sums += it->role == ROLE_COLSUM;
    }
    const int32_t width = sums ? 4 / sums * s->t->vec : 0;
    return width < 16 || sched_maps_cost(s) > CHEAP_SUMS ? 16 : width;
}

struct tile_shape sched_tile_shape(const struct sched *s)
{
    static const int32_t rows[] = {12, 8, 6, 4, 3, 2, 1};
    const struct target *t = s->t;
    int32_t acc = (int32_t)s->g->nanchor, nr = t->nr, mr = 1;
    int32_t budget = t->mr * t->nr / t->vec;
    if (s->scalar)
        return (struct tile_shape){1, 1};
    if (acc == 0)
        return (struct tile_shape){1, clamp_width(s, sums_width(s))};
    if (acc > 1)
        nr = t->vec;
    if (s->g->row < 0)
        nr = acc > 1 ? 16 : 64;
    nr = clamp_width(s, nr);
    if (s->g->row < 0)
        return (struct tile_shape){1, nr};
    int32_t vectors = (nr + t->vec - 1) / t->vec;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows && mr == 1; i++)
        if (rows[i] * vectors * acc <= budget)
            mr = rows[i];
    return (struct tile_shape){mr, nr};
}

/* May the rows past the last be read? Buffers of samples have 11 rows of slack. */
static bool load_has_slack(const struct sched *s, const struct kbuf *b,
                           const struct index *index)
{
    bool plain;
    struct ext c = index_coef(index, (unsigned)s->g->row, &plain);
    int64_t row = 1;
    if (!index_uses(index, (unsigned)s->g->row))
        return true;
    for (unsigned i = 1; i < b->rank; i++)
        row *= b->dim[i].b ? 0 : b->dim[i].c;
    return plain && b->rank && b->dim[0].b && c.b == 0 && c.c >= 0 && c.c <= row;
}

static bool expr_has_slack(const struct sched *s, const struct kstage *k, sx_id e)
{
    for (uint32_t o = 0; o < k->noperand; o++) {
        const struct koperand *p = &k->operand[o];
        const struct home *h = p->stage ? &s->home[p->id] : NULL;
        if (!sx_uses_arg(&s->k->sx, e, o))
            continue;
        if (!h && !load_has_slack(s, &s->n->buf[p->id], &p->index))
            return false;
        if (h && h->kind == HOME_BUF && !load_has_slack(s, &s->n->buf[h->id], &h->index))
            return false;
        if (h && h->kind == HOME_NONE &&
            !expr_has_slack(s, &s->k->stage[p->id], s->k->stage[p->id].value))
            return false;
    }
    return true;
}

/* Of a constant number, only blocks are filled up to whole tiles. */
static bool factor_has_slack(const struct sched *s, const struct kstage *k, uint32_t stage,
                             uint32_t seg, unsigned which)
{
    const struct pack *p = &s->packs[(stage * 8U + seg) * 2 + which];
    sx_id e = k->seg[seg].factor[which];
    if (!e || p->kind == PACK_BLOCKS || p->kind == PACK_PANELS)
        return true;
    if (!s->k->axis[s->g->row].b)
        return false;
    return p->kind == PACK_ROWS || expr_has_slack(s, k, e);
}

static bool rows_have_slack(struct sched *s)
{
    EACH_ITEM(s, i, it)
    {
        const struct kstage *k = &s->k->stage[it->stage];
        for (uint32_t g = 0; it->role == ROLE_ANCHOR && g < k->nseg; g++)
            for (unsigned w = 0; w < 2; w++)
                if (!factor_has_slack(s, k, it->stage, g, w))
                    return false;
    }
    return s->g->nanchor > 0;
}

struct tile_at {
    struct index row;  /* first row */
    struct index base; /* first column */
    int32_t mr, width;
    int32_t panel; /* lanes of the packed panel that it is of */
    bool guarded;  /* rows may end inside the tile */
    const struct late *late;
};

/*
 * A tile whose epilogue is computed while the next tile is summed, a row with every few
 * elements of the sum: roots and quotients take no time of the sum's multiplications.
 */
struct late {
    const struct tile_at *tile;
    struct ext end; /* rows before which a tile begins */
    int32_t valid;
    bool guarded;   /* the last tile has rows that do not exist */
};

/* ---- copies of tiles, and what follows them ---- */

/* The next vector of a panel's columns: as wide as fits. */
static int32_t next_width(int32_t width, int32_t left)
{
    while (width > left)
        width /= 2;
    return width;
}

/*
 * Columns of a padded panel beyond the last are computed and dropped.  Where the tile is a
 * copy in memory, wide panels are walked 16 lanes at a time.
 */
static void epilogue_cols(struct sched *s, struct walk *w, const struct tile_at *t,
                          int32_t valid, bool copied)
{
    if (copied && valid > 16 && valid % 16 == 0 && !w->reg_colsum) {
        struct stmt *q = nb_for(s, FOR_SEQ, index_const(0), index_const(valid), 16);
        w->tile_lane = index_axis(q->axis, 1);
        sched_points(s, w, index_sum(t->base, w->tile_lane), 16, 0);
        nb_close(s);
        return;
    }
    for (int32_t at = 0; at < valid;) {
        int32_t width = next_width(t->width, valid - at);
        w->tile_lane = index_const(at);
        sched_points(s, w, index_offset(t->base, at), width, 0);
        at += width;
    }
}

/* Are the epilogue's maps worth a copy of the tile in memory, over whose rows they loop? */
static bool copies(const struct sched *s, int32_t mr)
{
    return mr > 1 && sched_maps_cost(s) > ROLL_COST;
}

static void make_copies(struct sched *s, const struct tile_at *t)
{
    EACH_ITEM(s, i, it)
    {
        if (it->role == ROLE_ANCHOR)
            s->tiles[it - s->gs.item].copy =
                (uint16_t)(1 + nb_tile(s, "y", TILE_STACK, s->k->stage[it->stage].dtype,
                                       t->mr, t->width, false));
    }
}

/* The tile goes to its copies, from their row `row` on. */
static void copy_tiles(struct sched *s, const struct tile_at *t, struct index row)
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

/* Row `number` of the copies. */
static void copied_row(struct sched *s, const struct tile_at *t, struct index number,
                       int32_t valid)
{
    struct walk w = epilogue_walk(s, t);
    w.tile_row = number;
    change_tiles(s);
    sched_row_values(s, 0);
    epilogue_cols(s, &w, t, valid, true);
    change_tiles(s);
}

/* Over the rows of the copies that exist. */
static void copied_epilogue(struct sched *s, const struct tile_at *t, int32_t valid)
{
    struct stmt *f = nb_for(s, FOR_SEQ, t->row, index_offset(t->row, t->mr), 1);
    f->bound = s->k->axis[s->g->row];
    struct index number = index_axis(f->axis, 1);
    index_add(&number, &t->row, ext_const(-1));
    s->at[s->g->row] = index_axis(f->axis, 1);
    copied_row(s, t, number, valid);
    nb_close(s);
}

/* ---- the sum ---- */

static const struct kseg *seg_of(const struct sched *s, const struct item *it, uint32_t seg)
{
    const struct kstage *k = &s->k->stage[it->stage];
    return &k->seg[it->part == PART_PARTIAL ? it->seg : seg];
}

static uint32_t nseg_of(const struct sched *s, const struct item *it)
{
    return it->part == PART_PARTIAL ? 1 : s->k->stage[it->stage].nseg;
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
    struct tile_point at = {t->base, j, t->panel};
    uint32_t real = it->part == PART_PARTIAL ? it->seg : seg;
    st->value = sched_factor(s, st, it, real, 0, &at);
    st->value2 = k->seg[real].factor[1] ? sched_factor(s, st, it, real, 1, &at) : 0;
    sched_close(s, opened);
}

/* Opens what runs where there is a tile (else it is the one after the last). */
static unsigned if_tile(struct sched *s, const struct tile_at *t)
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
    copied_row(s, t, number, t->late->valid);
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
    const unsigned opened = if_tile(s, t);
    sched_fetch_row(s, number, t->row, t->base, t->mr, t->width);
    struct stmt *k = nb_for(s, FOR_SEQ, first, index_offset(first, LATE_STEP), 1);
    k->bound = n;
    s->at[axis] = index_axis(k->axis, 1);
    return 2 + opened;
}

/* Rows that a short sum had no time for. */
static void late_rest(struct sched *s, const struct tile_at *t, uint8_t axis)
{
    const struct ext n = s->k->axis[axis];
    if (!n.b && n.c > LATE_STEP * (t->mr - 1))
        return;
    struct stmt *c = nb_for(s, FOR_SEQ, index_const(0), index_const(t->mr), 1);
    struct index over = index_axis(c->axis, LATE_STEP);
    over.off = ext_add(over.off, (struct ext){-n.c, -n.b});
    nb_guard(s, c, over, ext_const(LATE_STEP * t->mr));
    late_row(s, t, index_axis(c->axis, 1));
    nb_close(s);
}

/* The reduced axes; the outermost of a block of a chunked sum runs over the block. */
static unsigned reduction_loops(struct sched *s, const struct tile_at *t,
                                const struct item *it, const struct kseg *g, bool fetch)
{
    unsigned opened = 0, first = 0;
    if (t->late && fetch)
        return late_loops(s, t, g->red[0]);
    if (t->late)
        opened = if_tile(s, t);
    if (fetch && g->nred == 1)
        opened = sched_fetching_loop(s, g->red[0], t->row, t->base, t->mr, t->width);
    if (opened && !t->late)
        return opened;
    if (s->g->chunked) {
        int32_t chunk = s->k->stage[it->stage].chunk;
        struct index lo = index_const(0);
        index_add(&lo, &s->unit, ext_const(chunk));
        struct stmt *f = nb_for(s, FOR_SEQ, lo, index_offset(lo, chunk), 1);
        f->bound = s->k->axis[g->red[0]];
        s->at[g->red[0]] = index_axis(f->axis, 1);
        opened = first = 1;
    }
    return opened + sched_loops(s, g->red + first, g->nred - first);
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

static uint32_t first_anchor(const struct sched *s)
{
    uint32_t i = 0;
    while (s->gs.item[s->g->item[i]].role != ROLE_ANCHOR)
        i++;
    return i;
}

/* Sums with the same loops walk them together, so that they share what they load. */
static void sum_segments(struct sched *s, const struct tile_at *t, uint32_t seg)
{
    bool *done = arena_array(s->arena, s->g->nitem, sizeof *done);
    EACH_ITEM(s, i, lead)
    {
        if (lead->role != ROLE_ANCHOR || seg >= nseg_of(s, lead) || done[i])
            continue;
        const struct kseg *g = seg_of(s, lead, seg);
        unsigned opened = reduction_loops(s, t, lead, g, seg == 0 && i == first_anchor(s));
        for (uint32_t o = i; o < s->g->nitem; o++) {
            struct item *it = &s->gs.item[s->g->item[o]];
            if (it->role != ROLE_ANCHOR || seg >= nseg_of(s, it) || done[o] ||
                !same_loops(s, g, seg_of(s, it, seg)))
                continue;
            const struct kseg *h = seg_of(s, it, seg);
            for (unsigned r = 0; r < g->nred; r++)
                s->at[h->red[r]] = s->at[g->red[r]];
            accumulate(s, t, it, seg);
            done[o] = true;
        }
        sched_close(s, opened);
    }
}

static void anchor_sums(struct sched *s, const struct tile_at *t)
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

/* ---- what follows ---- */

static void epilogue(struct sched *s, const struct tile_at *t, int32_t valid)
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

static void tile(struct sched *s, const struct tile_at *t, int32_t valid)
{
    anchor_sums(s, t);
    if (!copies(s, t->mr)) {
        epilogue(s, t, valid);
        return;
    }
    make_copies(s, t);
    copy_tiles(s, t, index_const(0));
    copied_epilogue(s, t, valid);
}

/* ---- panels ---- */

struct panel {
    int32_t mr;
    bool slack;
    int32_t valid; /* > 0: columns of a padded panel that exist */
    int32_t nr;    /* lanes of the panel where only the first of them are summed; or 0 */
};

/* Rows of the tiles that end a batch: few, but enough to hide what a sum waits for. */
static int32_t few_rows(int32_t mr)
{
    return mr >= 12 ? mr / 3 : mr >= 6 ? mr / 2 : 0;
}

static void full_tiles(struct sched *s, const struct panel *p, struct tile_at *t,
                       int32_t valid)
{
    struct ext rows = s->k->axis[s->g->row];
    struct stmt *f = nb_for(s, FOR_SEQ, s->row0, index_offset(s->row0, s->rows), p->mr);
    const bool whole = rows.b && few_rows(p->mr); /* the last ones follow */
    t->mr = p->mr;
    t->guarded = p->mr > 1 && !whole && (rows.b || (p->slack && rows.c % p->mr));
    f->bound = (rows.b && !whole) || p->slack ? rows : ext_const(rows.c - p->mr + 1);
    if (whole)
        f->bound = (struct ext){rows.c - p->mr + 1, rows.b};
    t->row = index_axis(f->axis, 1);
    tile(s, t, valid);
    nb_close(s);
}

/* Rows of the batch from `first` on that make no whole tile, in tiles of a few: opened. */
static unsigned few_tiles(struct sched *s, const struct panel *p, struct tile_at *t,
                          struct stmt *guarded, struct index first)
{
    const struct ext rows = s->k->axis[s->g->row];
    struct index over = first;
    over.off = ext_add(over.off, (struct ext){p->mr - 1 - rows.c, -rows.b});
    nb_guard(s, guarded, over, ext_const(p->mr));
    t->mr = few_rows(p->mr);
    struct stmt *f = nb_for(s, FOR_SEQ, first, index_offset(first, p->mr), t->mr);
    f->bound = rows;
    t->guarded = true;
    t->row = index_axis(f->axis, 1);
    return 1;
}

static void last_tiles(struct sched *s, const struct panel *p, struct tile_at *t,
                       int32_t valid)
{
    struct stmt *q = nb_for(s, FOR_SEQ, s->row0, index_offset(s->row0, s->rows), p->mr);
    q->bound = s->k->axis[s->g->row];
    const unsigned opened = few_tiles(s, p, t, q, index_axis(q->axis, 1));
    tile(s, t, valid);
    sched_close(s, 1 + opened);
}

/* Tiles of a batch whose epilogue is long: whole ones and the last rows share its code. */
static void copied_tiles(struct sched *s, const struct panel *p, const struct tile_at *at,
                         int32_t valid)
{
    const struct ext rows = s->k->axis[s->g->row];
    struct tile_at t = *at;
    struct stmt *q = nb_for(s, FOR_SEQ, s->row0, index_offset(s->row0, s->rows), p->mr);
    q->bound = rows;
    t.mr = p->mr;
    t.row = index_axis(q->axis, 1);
    const struct tile_at whole = t;
    make_copies(s, &whole);
    struct stmt *once = nb_for(s, FOR_SEQ, index_const(0), index_const(1), 1);
    nb_guard(s, once, whole.row, (struct ext){rows.c - p->mr + 1, rows.b});
    anchor_sums(s, &whole);
    copy_tiles(s, &whole, index_const(0));
    nb_close(s);
    once = nb_for(s, FOR_SEQ, index_const(0), index_const(1), 1);
    const unsigned opened = few_tiles(s, p, &t, once, whole.row);
    struct index row = t.row;
    index_add(&row, &whole.row, ext_const(-1));
    anchor_sums(s, &t);
    copy_tiles(s, &t, row);
    sched_close(s, 1 + opened);
    copied_epilogue(s, &whole, valid);
    nb_close(s);
}

/* The last rows of a constant number: a tile of just so many. */
static void rest_tile(struct sched *s, const struct panel *p, struct tile_at *t,
                      int32_t valid)
{
    struct ext rows = s->k->axis[s->g->row];
    int32_t rest = rows.c % p->mr, at = rows.c - rest;
    struct stmt *f = nb_for(s, FOR_SEQ, index_const(at), index_const(at + 1), 1);
    struct index inside = index_axis(f->axis, 1);
    index_add(&inside, &s->row0, ext_const(-1));
    nb_guard(s, f, inside, ext_const(s->rows));
    t->mr = rest;
    t->guarded = false;
    t->row = index_axis(f->axis, 1);
    tile(s, t, valid);
    nb_close(s);
}

/* Full tiles of a constant number of rows, each one's epilogue with the next one's sum. */
static void late_tiles(struct sched *s, const struct panel *p, const struct tile_at *at,
                       int32_t valid)
{
    const struct ext rows = s->k->axis[s->g->row];
    const struct late late = {.end = p->slack ? rows : ext_const(rows.c - p->mr + 1),
                              .valid = valid,
                              .guarded = p->slack && rows.c % p->mr};
    struct tile_at t = *at;
    t.mr = p->mr;
    t.late = &late;
    make_copies(s, &t);
    struct stmt *f =
        nb_for(s, FOR_SEQ, s->row0, index_offset(s->row0, s->rows + p->mr), p->mr);
    f->bound = ext_add(late.end, ext_const(p->mr));
    t.row = index_axis(f->axis, 1);
    anchor_sums(s, &t);
    late_rest(s, &t, seg_of(s, &s->gs.item[s->g->item[first_anchor(s)]], 0)->red[0]);
    const unsigned opened = if_tile(s, &t);
    copy_tiles(s, &t, index_const(0));
    sched_close(s, 1 + opened);
}

static void row_tiles(struct sched *s, const struct panel *p, struct tile_at *t,
                      int32_t valid)
{
    const struct ext rows = s->k->axis[s->g->row];
    const bool few = rows.b && few_rows(p->mr);
    if (few && copies(s, p->mr)) {
        copied_tiles(s, p, t, valid);
        return;
    }
    if (s->late && (p->slack || rows.c >= p->mr))
        late_tiles(s, p, t, valid);
    else if (rows.b || p->slack || rows.c >= p->mr)
        full_tiles(s, p, t, valid);
    if (few)
        last_tiles(s, p, t, valid);
    if (!rows.b && !p->slack && rows.c % p->mr)
        rest_tile(s, p, t, valid);
}

bool sched_is_late(const struct sched *s)
{
    const struct group *g = s->g;
    if (s->scalar || g->nanchor != 1 || g->window || g->nouter || g->chunked || g->colsum ||
        g->rowsum || g->row < 0 || g->col < 0)
        return false;
    const struct ext rows = s->k->axis[g->row], cols = s->k->axis[g->col];
    const struct item *it = &s->gs.item[g->item[first_anchor(s)]];
    const struct tile_shape shape = sched_tile_shape(s);
    return !rows.b && !cols.b && rows.c > shape.mr && shape.nr >= s->t->vec &&
           copies(s, shape.mr) && sched_maps_cost(s) >= LATE_COST &&
           s->k->stage[it->stage].seg[0].nred == 1;
}

static void panel(struct sched *s, void *cx, struct index base, int32_t width, int32_t lane)
{
    const struct panel *p = cx;
    struct tile_at t = {
        .base = base, .width = width, .mr = 1, .panel = p->nr ? p->nr : width};
    int32_t valid = p->valid ? p->valid : width;
    (void)lane;
    if (s->g->colsum && !s->g->rowsum)
        sched_colsum_tiles(s, width, TILE_REG);
    if (s->g->row < 0) {
        tile(s, &t, valid);
    } else {
        row_tiles(s, p, &t, valid);
    }
    if (!s->g->colsum || s->g->rowsum)
        return;
    for (int32_t at = 0; at < valid;) {
        int32_t w = next_width(width, valid - at);
        sched_colsum_store(s, index_offset(base, at), w, at);
        at += w;
    }
}

/* The last panel of a constant number of columns: whole in the packed buffers, cut when
 * stored. */
static void padded_panel(struct sched *s, struct panel *p, int32_t nr)
{
    int32_t n = s->k->axis[s->g->col].c, at = n / nr * nr;
    struct stmt *f = nb_for(s, FOR_SEQ, index_const(at), index_const(at + 1), 1);
    if (s->cols.len) {
        struct index in = index_axis(f->axis, 1);
        index_add(&in, &s->cols.lo, ext_const(-1));
        nb_guard(s, f, in, ext_const(s->cols.len));
    }
    p->valid = n - at;
    p->nr = nr;
    while (nr / 2 >= p->valid && nr > s->t->vec)
        nr /= 2;
    panel(s, p, index_axis(f->axis, 1), nr, 0);
    nb_close(s);
}

void sched_panels(struct sched *s)
{
    struct tile_shape shape = sched_tile_shape(s);
    struct panel p = {.mr = shape.mr};
    struct cols cols = s->cols;
    cols.width = shape.nr;
    cols.lanes = false;
    p.slack = s->g->row >= 0 && rows_have_slack(s);
    if (s->g->row >= 0 && s->k->axis[s->g->row].b && !p.slack)
        p.mr = 1;
    if (s->g->col < 0) {
        panel(s, &p, index_const(0), 1, 0);
        return;
    }
    struct ext n = s->k->axis[s->g->col];
    bool padded = !n.b && n.c % shape.nr && sched_packs_columns(s);
    if (padded)
        cols.limit = n.c / shape.nr * shape.nr;
    if (!padded || cols.limit)
        sched_cols(s, &cols, (unsigned)s->g->col, panel, &p);
    if (padded)
        padded_panel(s, &p, shape.nr);
}
