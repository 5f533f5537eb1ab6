/*
 * The scheduler's driver: one stage of the nest for every group, its grid, and where values
 * go that another group reads.
 */
#include <assert.h>
#include <string.h>

#include "codegen/loop/sched.h"

enum {
    MAP_BLOCK = 4096,
    ROW_WORK = 2048,
    COL_BLOCKS = 4,
    COL_UNITS = 8,
    ENOUGH_UNITS = 4,
    SCATTER_BLOCKS = 8,
    LONG_ROWS = 96,
    LONG_UNITS = 16
};

/* ---- values between groups ---- */

static bool read_elsewhere(const struct sched *s, uint32_t reader, uint32_t stage,
                           int32_t group)
{
    const struct kstage *k = &s->k->stage[reader];
    for (uint32_t o = 0; o < k->noperand; o++) {
        if (!k->operand[o].stage || k->operand[o].id != stage)
            continue;
        if (s->gs.inlined[reader]) {
            for (uint32_t r = reader + 1; r < s->k->nstage; r++)
                if (read_elsewhere(s, r, reader, group))
                    return true;
            continue;
        }
        /* what combines partial sums reads these and nothing else */
        for (uint32_t i = 0; i < s->gs.nitem; i++)
            if (s->gs.item[i].stage == reader && s->gs.item[i].group != group &&
                s->gs.item[i].part != PART_COMBINE)
                return true;
    }
    return false;
}

static bool is_exported(const struct sched *s, const struct item *it)
{
    for (uint32_t r = it->stage + 1U; r < s->k->nstage; r++)
        if (read_elsewhere(s, r, it->stage, it->group))
            return true;
    return false;
}

struct index sched_row_major(const struct kernel *k, const struct kstage *st)
{
    struct index at = index_const(0);
    for (unsigned i = 0; i < st->naxis; i++) {
        struct index up = index_const(0);
        index_add(&up, &at, k->axis[st->axis[i]]);
        at = index_sum(up, index_axis(st->axis[i], 1));
    }
    return at;
}

static void make_exports(struct sched *s)
{
    for (uint32_t i = 0; i < s->gs.nitem; i++) {
        const struct item *it = &s->gs.item[i];
        const struct kstage *k = &s->k->stage[it->stage];
        if (it->part == PART_PARTIAL || k->nstore || !is_exported(s, it))
            continue;
        struct ext dim[LOOP_AXES];
        for (unsigned a = 0; a < k->naxis; a++)
            dim[a] = s->k->axis[k->axis[a]];
        s->export_buf[it->stage] =
            (uint16_t)(1 + nb_private(s, "v", k->dtype, dim, k->naxis, 1));
    }
}

static void make_partials(struct sched *s)
{
    for (uint32_t i = 0; i < s->gs.nitem; i++) {
        const struct item *it = &s->gs.item[i];
        const struct kstage *k = &s->k->stage[it->stage];
        if (it->part != PART_PARTIAL)
            continue;
        struct ext dim[LOOP_AXES + 1];
        dim[0] = s->k->axis[k->seg[it->seg].red[0]];
        for (unsigned a = 0; a < k->naxis; a++)
            dim[a + 1] = s->k->axis[k->axis[a]];
        assert(it->seg < 8);
        s->partial[it->stage][it->seg] =
            nb_private(s, "p", k->dtype, dim, (uint8_t)(k->naxis + 1), k->chunk);
    }
}

/* The group is done: its values are where later groups can read them, or nowhere. */
static void settle_homes(struct sched *s)
{
    EACH_ITEM(s, i, it)
    {
        const struct kstage *k = &s->k->stage[it->stage];
        struct home *h = &s->home[it->stage];
        *h = (struct home){0};
        if (it->part == PART_PARTIAL)
            continue;
        if (k->nstore)
            *h = (struct home){HOME_BUF, k->store[0].buf, k->store[0].index};
        else if (s->export_buf[it->stage])
            *h = (struct home){HOME_BUF, (uint16_t)(s->export_buf[it->stage] - 1),
                               sched_row_major(s->k, k)};
    }
}

/* ---- the grid ---- */

struct grid { /* times * ceil(units / div) units */
    struct ext units;
    int32_t div, times;
    bool rows_in_unit;   /* blocks of rows are walked inside */
    bool blocks_in_unit; /* so are those of a chunked convolution */
};

static int32_t round_up(int32_t x, int32_t q)
{
    return (x + q - 1) / q * q;
}

/* Sums whose panel of columns is more than the first cache has room for beside the rows. */
static bool sums_are_long(const struct sched *s)
{
    EACH_ITEM(s, i, it)
    {
        const struct kstage *k = &s->k->stage[it->stage];
        for (uint32_t g = 0; it->role == ROLE_ANCHOR && g < k->nseg; g++) {
            const struct ext n = sched_size_of_k(s, &k->seg[g]);
            const int64_t batch = s->t->batch ? s->t->batch : s->t->l1;
            if (ext_at(n, batch) * sched_tile_shape(s).nr * 4 > s->t->l1 / 2)
                return true;
        }
    }
    return false;
}

/* Long products whose rows are a constant number, nothing summed of what comes of them:
 * their units are long, too, so that a panel of columns serves many tiles. */
static bool is_long(const struct sched *s)
{
    const struct group *g = s->g;
    return g->nanchor && !s->scalar && !g->window && !g->nouter && !g->chunked &&
           !g->colsum && !g->rowsum && g->row >= 0 && g->col >= 0 &&
           !s->k->axis[g->row].b && !s->k->axis[g->col].b && sums_are_long(s);
}

/* Many tiles of one panel, and yet enough units. */
static int32_t long_rows(const struct sched *s)
{
    int32_t rows = LONG_ROWS;
    const int32_t panels = (s->k->axis[s->g->col].c - 1) / sched_tile_shape(s).nr + 1;
    while (rows > s->t->unit_rows &&
           (s->k->axis[s->g->row].c + rows - 1) / rows * panels < LONG_UNITS)
        rows /= 2;
    return rows;
}

static int32_t unit_rows(const struct sched *s)
{
    const struct group *g = s->g;
    int32_t q = s->t->unit_rows;
    if (g->across)
        return sched_rows_across(s);
    if (is_long(s))
        return long_rows(s);
    if (g->nanchor || g->colsum || g->row < 0)
        return q;
    int64_t n = g->col < 0 ? 1 : s->k->axis[g->col].b ? 64 : s->k->axis[g->col].c;
    int64_t want = ROW_WORK / (n < 1 ? 1 : n);
    return want <= q ? q : round_up((int32_t)want, q);
}

/*
 * Sums down the columns of what no cache holds: rows are walked whole, as memory gives
 * them, with the sums of all columns in L1.
 */
static bool streams_rows(const struct sched *s)
{
    const struct group *g = s->g;
    if (!g->colsum || g->nanchor || g->col < 0 || g->row < 0 || s->k->axis[g->col].b ||
        s->k->axis[g->col].c > s->t->l1 / 8)
        return false;
    EACH_ITEM(s, i, it)
    {
        const struct kstage *k = &s->k->stage[it->stage];
        for (uint32_t o = 0; o < k->noperand; o++)
            if (!k->operand[o].stage && s->k->buf[k->operand[o].id].use == BUF_READ &&
                s->k->buf[k->operand[o].id].far)
                return true;
    }
    return false;
}

/* Blocks of columns, so that few rows still make work for two threads. */
static void plan_cols(struct sched *s)
{
    const struct group *g = s->g;
    s->ncb = 1;
    s->cols = (struct cols){.width = 16};
    bool panels = g->nanchor || (g->colsum && !streams_rows(s));
    if (g->col < 0 || g->window || g->nouter || g->rowsum || s->k->axis[g->col].b ||
        s->scalar)
        return;
    int32_t n = s->k->axis[g->col].c;
    if (s->tall > 1) { /* a panel each */
        s->cols.len = n > s->pack_nr ? s->pack_nr : 0;
    } else if (is_long(s)) {
        const int32_t nr = sched_tile_shape(s).nr;
        s->cols.len = n > nr ? nr : 0;
    } else if (panels) {
        int32_t nr = sched_tile_shape(s).nr, wide = nr > 32 ? nr : 32;
        int32_t most = g->row < 0 ? 4 * COL_BLOCKS : COL_BLOCKS;
        int32_t blocks = n / wide < most ? n / wide : most;
        if (blocks > 1)
            s->cols.len = round_up((n + blocks - 1) / blocks, nr);
    } else if (g->scatter && n >= 32) {
        s->cols.len = round_up((n + SCATTER_BLOCKS - 1) / SCATTER_BLOCKS, 16);
    } else if (g->row < 0 && n > MAP_BLOCK) {
        s->cols.len = MAP_BLOCK;
    }
    if (s->cols.len)
        s->ncb = (n - 1) / s->cols.len + 1;
}

/* Columns alone, of a number that only the run knows. */
static bool plan_flat(struct sched *s, struct grid *gr)
{
    const struct group *g = s->g;
    if (g->row >= 0 || g->col < 0 || g->nouter || g->rowsum || g->chunked || g->scatter ||
        !s->k->axis[g->col].b)
        return false;
    s->cols.len = MAP_BLOCK;
    *gr = (struct grid){.units = s->k->axis[g->col], .div = MAP_BLOCK, .times = 1};
    return true;
}

/* Units are blocks of something, and of the outer axes where it is a convolution. */
static bool in_blocks(const struct group *g)
{
    return g->chunked || g->batch;
}

/* What a block of a chunked sum is a block of; or of a convolution of small images. */
static struct ext block_extent(const struct sched *s, int32_t *div)
{
    if (s->g->batch) {
        *div = s->g->block;
        return s->k->axis[s->g->box[0]];
    }
    const struct item *it = &s->gs.item[s->g->item[0]];
    const struct kstage *k = &s->k->stage[it->stage];
    *div = k->chunk;
    return s->k->axis[k->seg[it->seg].red[0]];
}

/* Panels of a convolution are units where nothing else makes many. */
static int32_t window_panels(const struct sched *s)
{
    const struct group *g = s->g;
    if (!g->window || g->batch)
        return 1;
    for (unsigned i = 0; i < g->nouter; i++)
        if (s->k->axis[g->outer[i]].b)
            return 1;
    return (s->k->axis[g->box[0]].c + g->block - 1) / g->block;
}

/* Panels that a unit walks block by block of the batch, if that is what is summed. */
static int32_t panels_per_unit(const struct sched *s)
{
    const struct group *g = s->g;
    const struct kstage *k = &s->k->stage[s->gs.item[g->item[0]].stage];
    if (!g->window || g->border || g->chunked || !s->k->axis[k->seg[0].red[0]].b)
        return 1;
    const int64_t bytes = 4 * (int64_t)s->k->axis[g->row].c * g->nr;
    const int64_t fit = s->t->l2 / 4 / bytes, even = s->panels / COL_UNITS;
    const int64_t n = fit < even ? fit : even;
    return n < 1 ? 1 : (int32_t)n;
}

static struct grid plan_grid(struct sched *s)
{
    const struct group *g = s->g;
    struct grid gr = {.units = {1, 0}, .div = 1, .times = 1, .rows_in_unit = true};
    plan_cols(s);
    s->rows = unit_rows(s);
    s->panels = window_panels(s);
    s->per_unit = panels_per_unit(s);
    s->panels = (s->panels + s->per_unit - 1) / s->per_unit;
    if (plan_flat(s, &gr))
        return gr;
    if (in_blocks(g)) {
        gr.units = block_extent(s, &gr.div);
        for (unsigned i = 0; g->window && i < g->nouter; i++)
            s->ncb *= s->k->axis[g->outer[i]].c;
        s->ncb *= s->panels;
        gr.times = s->ncb;
        gr.blocks_in_unit = g->window && !g->batch && s->ncb >= ENOUGH_UNITS;
        if (gr.blocks_in_unit) /* the last block is short: units would not be even */
            gr.units = ext_const(gr.div = 1);
    } else if (g->nouter || g->window) {
        gr.units = ext_const(s->panels);
        for (unsigned i = 0; i < g->nouter && !(gr.units.b && s->k->axis[g->outer[i]].b);
             i++)
            gr.units = ext_mul(gr.units, s->k->axis[g->outer[i]]);
    } else if (!g->window) {
        gr.rows_in_unit = false;
        gr.units = g->row < 0 ? ext_const(1) : s->k->axis[g->row];
        gr.div = s->rows * s->tall;
        gr.times = s->ncb;
    }
    return gr;
}

static struct index digit_of(uint8_t axis, int32_t div, int32_t mod)
{
    struct index x = index_const(0);
    if (mod != 1)
        index_term(&x, (struct term){axis, div, mod, {1, 0}});
    return x;
}

/* Outer axes as digits of the unit; those that do not fit in (a second B) are loops. */
static unsigned decode_outer(struct sched *s, uint8_t grid)
{
    const struct group *g = s->g;
    unsigned in = 0, opened = 0;
    bool b = false;
    for (; in < g->nouter && !(b && s->k->axis[g->outer[in]].b); in++)
        b |= s->k->axis[g->outer[in]].b != 0;
    /* an axis of B must be the leading digit: it has no modulus */
    int32_t div = s->panels;
    int lead = -1;
    for (unsigned i = 0; i < in; i++)
        if (s->k->axis[g->outer[i]].b)
            lead = (int)i;
    for (unsigned i = in; i-- > 0;) {
        if ((int)i == lead)
            continue;
        int32_t n = s->k->axis[g->outer[i]].c;
        bool last = lead < 0 && i == 0;
        s->at[g->outer[i]] = digit_of(grid, div, last ? 0 : n);
        div *= n;
    }
    if (lead >= 0)
        s->at[g->outer[lead]] = digit_of(grid, div, 0);
    for (unsigned i = 0; i < in; i++)
        opened += sched_bind(s, g->outer[i]);
    return opened + sched_loops(s, g->outer + in, g->nouter - in);
}

/* Packs what the unit's blocks of rows share; a loop over these. */
static unsigned tall_unit(struct sched *s)
{
    const uint8_t grid = s->open[0].stmt->axis;
    if (s->tall == 1)
        return 0;
    sched_pack_unit(s, s->ncb > 1 ? digit_of(grid, 1, s->ncb) : index_const(0));
    struct index first = index_const(0);
    index_add(&first, &s->unit, ext_const(s->tall));
    struct stmt *f = nb_for(s, FOR_SEQ, first, index_offset(first, s->tall), 1);
    f->bound = s->k->axis[s->g->row];
    f->bound_div = s->rows;
    s->unit = index_axis(f->axis, 1);
    s->row0 = index_axis(f->axis, s->rows);
    return 1;
}

/* The unit's part of every block. */
static unsigned block_loop(struct sched *s)
{
    int32_t chunk;
    const struct ext e = block_extent(s, &chunk);
    struct stmt *f = nb_for(s, FOR_SEQ, index_const(0), (struct index){.off = e}, 1);
    f->bound = e;
    f->bound_div = chunk;
    s->unit = index_axis(f->axis, 1);
    return 1;
}

static unsigned decode(struct sched *s, const struct grid *gr)
{
    const struct group *g = s->g;
    uint8_t grid = s->open[0].stmt->axis;
    s->row0 = index_const(0);
    s->unit = index_axis(grid, 1);
    s->panel = digit_of(grid, 1, g->nouter || in_blocks(g) ? s->panels : 0);
    if ((g->nouter || g->window) && !in_blocks(g))
        return decode_outer(s, grid);
    if (s->ncb > 1)
        s->unit = digit_of(grid, s->ncb, 0);
    if (s->cols.len) {
        struct index cb = s->ncb > 1 ? digit_of(grid, 1, s->ncb) : index_axis(grid, 1);
        index_add(&s->cols.lo, &cb, ext_const(s->cols.len));
    }
    if (in_blocks(g)) {
        if (g->window) {
            for (int32_t i = g->nouter, div = s->panels; i-- > 0;) {
                const int32_t n = s->k->axis[g->outer[i]].c;
                s->at[g->outer[i]] = digit_of(grid, div, n);
                div *= n;
            }
            return gr->blocks_in_unit ? block_loop(s) : 0;
        }
        return sched_loops(s, g->outer, g->nouter);
    }
    if (gr->rows_in_unit || g->row < 0)
        return 0;
    index_add(&s->row0, &s->unit, ext_const(s->rows));
    return tall_unit(s);
}

/* ---- a group ---- */

static void store_stack_colsums(struct sched *s, void *cx, struct index base, int32_t width,
                                int32_t lane)
{
    (void)cx;
    (void)lane;
    sched_colsum_store(s, base, width, -1);
}

static void unit_body(struct sched *s)
{
    const struct group *g = s->g;
    bool panels = (g->nanchor || (g->colsum && !streams_rows(s))) && !g->rowsum;
    if (g->scatter) {
        sched_scatter(s);
        return;
    }
    if (g->window) {
        sched_window(s);
        return;
    }
    if (panels) {
        sched_panels(s);
        return;
    }
    if (g->colsum)
        sched_colsum_tiles(s, g->col < 0 ? 1 : s->k->axis[g->col].c, TILE_STACK);
    sched_stack_tiles(s);
    if (g->nanchor)
        sched_panels(s);
    sched_rows(s, g->nanchor > 0);
    if (g->colsum && g->col >= 0)
        sched_cols(s, &s->cols, (unsigned)g->col, store_stack_colsums, NULL);
    else if (g->colsum)
        sched_colsum_store(s, index_const(0), 1, -1);
}

static void emit_group(struct sched *s, const struct group *g)
{
    s->g = g;
    sched_choose_packs(s);
    s->tall = sched_is_tall(s) ? TALL : 1;
    s->late = sched_is_late(s);
    struct grid gr = plan_grid(s);
    sched_pack(s);
    nb_stage(s, gr.units, gr.div, gr.times);
    unsigned opened = decode(s, &gr);
    sched_unit_values(s);
    if (g->nouter && !g->window && sched_packs(s))
        sched_pack_unit(s, index_const(0));
    if (gr.rows_in_unit && g->row >= 0 && !g->window && !g->across) {
        struct stmt *f = nb_for(s, FOR_SEQ, index_const(0),
                                (struct index){.off = s->k->axis[g->row]}, s->rows);
        s->row0 = index_axis(f->axis, 1);
        opened++;
        sched_pack_chunk(s);
    }
    unit_body(s);
    sched_close(s, opened);
    nb_end_stage(s);
    settle_homes(s);
}

/* Groups may want an axis as two. */
static void split_axes(struct sched *s)
{
    for (uint32_t i = 0; i < s->gs.ngroup; i++) {
        const struct group *g = &s->gs.group[i];
        const struct kernel *two =
            g->split ? kernel_split(s->k, g->split - 1U, g->split_by, s->scratch) : NULL;
        if (!two)
            continue;
        s->k = two;
        sched_group(s->k, s->t, s->scratch, &s->gs);
        return;
    }
}

static struct nest *new_nest(const struct kernel *k, struct sched *s)
{
    struct nest *n = arena_alloc(s->arena, sizeof *n);
    n->arena = s->arena;
    n->name = arena_str(s->arena, k->name);
    n->nscalar = k->nscalar;
    sx_init(&n->sx, s->arena);
    s->cap_buf = k->nbuf;
    n->buf = arena_copy(s->arena, k->buf, k->nbuf * sizeof *k->buf);
    n->nbuf = k->nbuf;
    for (uint32_t i = 0; i < n->nbuf; i++)
        n->buf[i].name = arena_str(s->arena, n->buf[i].name);
    return n;
}

struct nest *nest_schedule(const struct kernel *k, const struct target *t, struct arena *a)
{
    struct arena *scratch = arena_new();
    struct sched *s = arena_alloc(scratch, sizeof *s);
    s->arena = a;
    s->scratch = scratch;
    s->t = t;
    s->n = new_nest(k, s);
    sched_simplify(s, k);
    sched_draws_apart(s);
    split_axes(s);
    const uint32_t nstage = s->k->nstage;
    s->home = arena_array(scratch, nstage + 1, sizeof *s->home);
    s->partial = arena_array(scratch, nstage + 1, sizeof *s->partial);
    s->export_buf = arena_array(scratch, nstage + 1, sizeof *s->export_buf);
    s->tiles = arena_array(scratch, s->gs.nitem + 1, sizeof *s->tiles);
    s->packs = arena_array(scratch, nstage * 16U + 1, sizeof *s->packs);
    make_exports(s);
    make_partials(s);
    for (uint32_t i = 0; i < s->gs.ngroup; i++)
        emit_group(s, &s->gs.group[i]);
    assert(!nest_validate(s->n, scratch));
    struct nest *n = s->n;
    arena_free(scratch);
    return n;
}

uint64_t nest_private_bytes(const struct nest *n, int64_t batch_max, uint64_t *offset)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < n->nprivate; i++) {
        const struct kbuf *b = &n->buf[n->nbuf - n->nprivate + i];
        uint64_t size = b->dtype == DT_BOOL ? 1 : 4;
        for (unsigned d = 0; d < b->rank; d++) {
            int64_t e = ext_at(b->dim[d], batch_max);
            if (d == 0 && b->div > 1)
                e = (e + b->div - 1) / b->div;
            if (d == 0 && b->dim[0].b)
                e += 11; /* rows that tiles may read past the last */
            size *= (uint64_t)e;
        }
        if (offset)
            offset[i] = total;
        total += (size + 63) & ~(uint64_t)63;
    }
    return total;
}
