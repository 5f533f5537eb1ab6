/*
 * Contractions: a panel of columns, tiles of rows in it, one accumulator an element that
 * lives in a register through the whole sum; K is never split, so what follows (epilogue
 * maps, sums down the columns, stores) is attached to the finished tile.
 */
#include "codegen/loop/sched_tile.h"

enum {
    CHEAP_SUMS = 16,
    IN_FLIGHT = 3, /* operations for every primitive, of the vector at hand and the next */
    LATE_COST = 8  /* of an epilogue that is worth it */
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
            if (!sched_worth_panels(s, k, &k->seg[x]))
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

static bool draws(const struct sched *s)
{
    EACH_ITEM(s, i, it)
    {
        const sx_id e = s->k->stage[it->stage].value;
        if (e && sx_uses_rng(&s->k->sx, e))
            return true;
    }
    return false;
}

int32_t sched_map_lanes(const struct sched *s)
{
    const bool slow = IN_FLIGHT * (int64_t)sched_maps_cost(s) > s->t->flight;
    const int32_t lanes = (draws(s) ? 4 : slow ? 2 : 1) * s->t->vec;
    return lanes > LANES ? lanes : LANES;
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
    return width < LANES || sched_maps_cost(s) > CHEAP_SUMS ? sched_map_lanes(s) : width;
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

/* Blocks and panels have room for whole tiles, rows packed one by one where they are
 * samples. */
static bool factor_has_slack(const struct sched *s, const struct kstage *k, uint32_t stage,
                             uint32_t seg, unsigned which)
{
    const struct pack *p = &s->packs[(stage * 8U + seg) * 2 + which];
    sx_id e = k->seg[seg].factor[which];
    if (!e || p->kind == PACK_BLOCKS || p->kind == PACK_PANELS)
        return true;
    if (p->kind == PACK_ROWS)
        return s->k->axis[s->g->row].b != 0;
    return expr_has_slack(s, k, e);
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

/* ---- a tile ---- */

static void tile(struct sched *s, const struct tile_at *t, int32_t valid)
{
    tile_sum(s, t);
    if (!tile_is_copied(s, t->mr)) {
        tile_epilogue(s, t, valid);
        return;
    }
    tile_make_copies(s, t);
    tile_copy(s, t, index_const(0));
    tile_copied_epilogue(s, t, valid);
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
    tile_make_copies(s, &whole);
    struct stmt *once = nb_for(s, FOR_SEQ, index_const(0), index_const(1), 1);
    nb_guard(s, once, whole.row, (struct ext){rows.c - p->mr + 1, rows.b});
    tile_sum(s, &whole);
    tile_copy(s, &whole, index_const(0));
    nb_close(s);
    once = nb_for(s, FOR_SEQ, index_const(0), index_const(1), 1);
    const unsigned opened = few_tiles(s, p, &t, once, whole.row);
    struct index row = t.row;
    index_add(&row, &whole.row, ext_const(-1));
    tile_sum(s, &t);
    tile_copy(s, &t, row);
    sched_close(s, 1 + opened);
    tile_copied_epilogue(s, &whole, valid);
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
    tile_make_copies(s, &t);
    struct stmt *f =
        nb_for(s, FOR_SEQ, s->row0, index_offset(s->row0, s->rows + p->mr), p->mr);
    f->bound = ext_add(late.end, ext_const(p->mr));
    t.row = index_axis(f->axis, 1);
    tile_sum(s, &t);
    tile_late_rest(s, &t);
    const unsigned opened = tile_if_there(s, &t);
    tile_copy(s, &t, index_const(0));
    sched_close(s, 1 + opened);
}

static void row_tiles(struct sched *s, const struct panel *p, struct tile_at *t,
                      int32_t valid)
{
    const struct ext rows = s->k->axis[s->g->row];
    const bool few = rows.b && few_rows(p->mr);
    if (few && tile_is_copied(s, p->mr)) {
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
    const struct item *it = tile_first_anchor(s);
    const struct tile_shape shape = sched_tile_shape(s);
    return target_runs_ahead(s->t) && !rows.b && !cols.b && rows.c > shape.mr &&
           shape.nr >= s->t->vec && tile_is_copied(s, shape.mr) &&
           sched_maps_cost(s) >= LATE_COST && s->k->stage[it->stage].seg[0].nred == 1;
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
        int32_t w = sched_fit(width, valid - at);
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
