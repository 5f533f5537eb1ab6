/*
 * Convolutions: sums of products over many axes, in all roles.  One axis of the result is
 * walked by one factor alone (rows: filters), the others by the second factor (an image).
 *
 * The innermost of these others make the lanes of a panel: as many whole axes as fit, and a
 * block of the next one (the box).  What the second factor reads for a panel is packed into
 * a stack tile [k][lane] as long as it stays in L1; tiles of rows then run over it with
 * their accumulators in registers, and lay them down between blocks of k.  A chain that is
 * laid down and taken up again is the same chain, so blocks change no bit.
 */
#include "codegen/loop/sched_panel.h"

/* ---- the end of rows ---- */

/* What follows for n rows, whose sums the results begin with. */
static void finish_rows(struct sched *s, const struct panel *p, struct index row,
                        int32_t n_rows)
{
    struct walk w = {.tile_width = p->nr};
    if (p->phases > 1) {
        const struct index zero = index_const(0);
        w.digit[w.ndigit++] =
            (struct walk_digit){(uint8_t)s->g->col, p->phases, 0, 1, zero};
        w.digit[w.ndigit++] = (struct walk_digit){(uint8_t)(s->g->phase - 1), 1, p->phases,
                                                  p->rows * p->nr, zero};
    }
    struct stmt *r = nb_for(s, FOR_SEQ, index_const(0), index_const(n_rows), 1);
    s->at[s->g->row] = index_sum(row, index_axis(r->axis, 1));
    w.tile_row = index_sum(p->base_row, index_axis(r->axis, 1));
    s->tiles[p->it - s->gs.item].acc = (uint16_t)(p->results + 1);
    const struct lanes l = panel_box_loops(s, p);
    unsigned guarded = 0;
    if (panel_is_cut(s) && s->g->nbox > 1) {
        struct stmt *f = nb_for(s, FOR_SEQ, index_const(0), index_const(1), 1);
        nb_guard(s, f, s->at[s->g->box[0]], s->k->axis[s->g->box[0]]);
        guarded = 1;
    }
    const int32_t n = panel_last_lanes(s) * p->phases;
    const bool one_by_one = panel_is_cut(s) && s->g->nbox == 1;
    for (int32_t at = 0, width; at < n; at += width) {
        struct index base = index_offset(panel_last_first(s, p), at / p->phases);
        width = one_by_one ? p->phases : sched_fit(16, n - at);
        w.tile_lane = index_offset(panel_lane(s, l.at), at / p->phases);
        if (one_by_one) {
            struct stmt *f =
                nb_for(s, FOR_SEQ, base, index_offset(base, panel_last_lanes(s)), 1);
            f->bound = s->k->axis[s->g->col];
            base = index_axis(f->axis, 1);
            w.tile_lane = index_sum(panel_lane(s, l.at), base);
            index_add(&w.tile_lane, &p->first, ext_const(-1));
            w.digit[0].first = base;
            sched_points(s, &w, base, width, -1);
            nb_close(s);
            break;
        }
        w.digit[0].first = base;
        sched_points(s, &w, base, width, 0);
    }
    sched_close(s, l.opened + guarded + 1);
}

/* ---- tiles ---- */

/* h = results or back, element by element. */
static void move_tile(struct sched *s, const struct panel *p, uint16_t reg,
                      struct index row, int32_t mr, bool back)
{
    struct index in = index_const(0), out;
    unsigned opened = 1;
    if (mr > 1) {
        struct stmt *m = nb_for(s, FOR_UNROLL, index_const(0), index_const(mr), 1);
        index_term(&in, (struct term){m->axis, 1, 0, {p->nr, 0}});
        opened++;
    }
    struct stmt *j = nb_for(s, FOR_VEC, index_const(0), index_const(p->nr), 1);
    index_term(&in, (struct term){j->axis, 1, 0, {1, 0}});
    out = in;
    index_add(&out, &row, ext_const(p->nr));
    index_add(&out, &p->base_row, ext_const(p->nr));
    struct stmt *st = nb_set_tile(s, back ? p->results : reg, back ? out : in);
    st->value = nb_load_tile(s, st, back ? reg : p->results, back ? in : out);
    sched_close(s, opened);
}

/* The block's k: by axes, or as one number where no factor asks for more. */
static unsigned k_loops(struct sched *s, const struct panel *p, bool flat, struct index row,
                        int32_t mr, struct index *k)
{
    if (s->g->border)
        return border_k_loops(s, p, k);
    if (!flat) {
        panel_first_loop(s, p);
        const unsigned n =
            sched_fetching_rows(s, p->k, p->seg, 1U - s->g->image[p->nseg], row, mr);
        *k = panel_k(s, p);
        return n + 1;
    }
    struct index lo = index_const(0);
    index_add(&lo, &p->k0, ext_const(p->inner));
    struct stmt *f = nb_for(s, FOR_SEQ, lo, index_offset(lo, p->step * p->inner), 1);
    f->bound = ext_mul(s->k->axis[p->seg->red[0]], ext_const(p->inner));
    *k = index_axis(f->axis, 1);
    index_add(k, &lo, ext_const(-1));
    return 1;
}

/*
 * As many as the accumulators allow.  At borders there are many tiles of short sums, and a
 * last one of fewer rows is code of its own: eight of a multiple of eight will do, where a
 * core has room for the loads that they cost.
 */
int32_t sched_window_rows(const struct sched *s)
{
    static const int32_t sizes[] = {12, 8, 6, 4, 3, 2, 1};
    const int32_t rows = panel_extent(s, s->g->row), most = s->t->mr * s->t->nr / s->g->nr;
    unsigned i = 0;
    if (s->g->border && target_runs_ahead(s->t) && rows % 12 && rows % 8 == 0 && most >= 8)
        return 8;
    while (sizes[i] > 1 && (sizes[i] > most || sizes[i] > rows))
        i++;
    return sizes[i];
}

static void tile(struct sched *s, const struct panel *p, struct index row, int32_t mr)
{
    const uint16_t h = nb_tile(s, "h", TILE_REG, p->k->dtype, mr, p->nr, p->whole);
    const unsigned image = s->g->image[p->nseg];
    const bool flat = !s->g->border && sched_in_blocks(s, p->it, p->nseg, 1U - image);
    struct index m = index_const(0), k, from = index_const(0);
    if (!p->whole)
        move_tile(s, p, h, row, mr, false);
    unsigned opened = k_loops(s, p, flat, row, mr, &k);
    if (mr > 1) {
        struct stmt *f = nb_for(s, FOR_UNROLL, index_const(0), index_const(mr), 1);
        m = index_axis(f->axis, 1);
        opened++;
    }
    struct stmt *f = nb_for(s, FOR_VEC, index_const(0), index_const(p->nr), 1);
    const struct index j = index_axis(f->axis, 1);
    s->at[s->g->row] = index_sum(row, m);
    struct stmt *st = nb_stmt(s, S_ACC);
    st->place = p->k->place;
    st->dst_tile = true;
    st->dst = h;
    st->index = j;
    index_add(&st->index, &m, ext_const(p->nr));
    index_add(&from, &k, ext_const(p->nr));
    const sx_id lanes = nb_load_tile(s, st, p->packed, index_sum(from, j));
    sx_id rows;
    if (flat) {
        index_add(&k, &p->k0, ext_const(p->inner));
        rows = sched_block(s, st, p->it, p->nseg, 1U - image, row, k);
    } else {
        const struct tile_point at = {.block = row};
        rows = sched_factor(s, st, p->it, p->nseg, 1U - image, &at);
    }
    st->value = image ? rows : lanes;
    st->value2 = image ? lanes : rows;
    sched_close(s, opened + 1);
    move_tile(s, p, h, p->whole ? index_const(0) : row, mr, true);
    if (p->whole)
        finish_rows(s, p, row, mr);
}

/* Do tiles of six leave two rows?  Two tiles of four end them: of two, with four sums in
 * flight, one would take as long. */
static bool ends_in_fours(const struct sched *s, const struct panel *p)
{
    const bool blocks = sched_in_blocks(s, p->it, p->nseg, 1U - s->g->image[p->nseg]);
    return p->mr == 6 && p->rows % 6 == 2 && p->rows > 6 &&
           !(blocks && s->k->axis[p->seg->red[0]].b);
}

static void row_tiles(struct sched *s, const struct panel *p)
{
    const bool fours = ends_in_fours(s, p);
    const int32_t last = fours ? 4 : p->rows % p->mr;
    const int32_t full = p->rows - (fours ? 2 : 1) * last;
    if (full) {
        struct stmt *r = nb_for(s, FOR_SEQ, index_const(0), index_const(full), p->mr);
        tile(s, p, index_axis(r->axis, 1), p->mr);
        nb_close(s);
    }
    for (int32_t row = full; row < p->rows; row += last)
        tile(s, p, index_const(row), last);
}

/* ---- panels ---- */

/* As much of k as half of L1 holds (at borders: of a place's, and a quarter of L2 of the
 * unit's); blocks of a chunk end with it. */
static int32_t k_step(const struct sched *s, const struct panel *p)
{
    const struct ext n = s->k->axis[p->seg->red[0]];
    const int32_t most = s->t->l1 / 2 / (4 * p->nr * p->inner);
    int32_t step = most < 1 ? 1 : most;
    if (s->g->border && 4 * (int64_t)step * s->g->step[p->nseg] * p->nr > s->t->l2 / 4)
        step = s->t->l2 / 4 / (4 * s->g->step[p->nseg] * p->nr);
    if (!n.b && step > n.c)
        step = n.c;
    while (s->g->chunked && p->k->chunk % step)
        step--;
    return step;
}

/* The panel sums this segment now. */
static void set_segment(const struct sched *s, struct panel *p, uint32_t seg)
{
    p->nseg = seg;
    p->seg = &p->k->seg[seg];
    p->inner = 1;
    for (unsigned i = 1; i < p->seg->nred; i++)
        p->inner *= panel_extent(s, p->seg->red[i]);
    p->step = k_step(s, p);
}

/* The segment's k from lo to hi. */
static void sum_range(struct sched *s, struct panel *p, struct index lo, struct index hi)
{
    struct stmt *f = nb_for(s, FOR_SEQ, lo, hi, p->step);
    f->bound = s->k->axis[p->seg->red[0]];
    p->k0 = index_axis(f->axis, 1);
    if (s->g->border)
        border_pack(s, p);
    else
        panel_pack(s, p);
    const unsigned places = s->g->border ? border_place_loops(s, p) : 0;
    row_tiles(s, p);
    sched_close(s, places + 1);
}

static void sum_segment(struct sched *s, struct panel *p)
{
    struct index lo = index_const(0), hi = {.off = s->k->axis[p->seg->red[0]]};
    if (s->g->chunked) {
        index_add(&lo, &s->unit, ext_const(p->k->chunk));
        hi = index_offset(lo, p->k->chunk);
    }
    sum_range(s, p, lo, hi);
}

/* One segment, one block of k. */
static bool is_whole(const struct sched *s, const struct panel *p, uint32_t first,
                     uint32_t end)
{
    const struct ext n = s->k->axis[p->seg->red[0]];
    return first + 1 == end && p->phases == 1 && !s->g->chunked && !s->g->border && !n.b &&
           p->step >= n.c;
}

struct segments { /* of the sum */
    uint32_t first, end;
};

/* One panel from begin to end. */
static void one_panel(struct sched *s, struct panel *p, struct segments g)
{
    p->whole = is_whole(s, p, g.first, g.end);
    p->results = nb_tile(s, "y", TILE_STACK, p->k->dtype,
                         p->whole ? p->mr : p->places * p->rows, p->nr, !p->whole);
    if (p->phases > 1) {
        struct stmt *f = nb_for(s, FOR_SEQ, index_const(0), index_const(p->phases), 1);
        s->at[s->g->phase - 1] = index_axis(f->axis, 1);
        index_add(&p->base_row, &s->at[s->g->phase - 1], ext_const(p->rows));
    }
    for (uint32_t i = g.first; i < g.end; i++) {
        set_segment(s, p, i);
        sum_segment(s, p);
    }
    sched_close(s, p->phases > 1);
    p->base_row = index_const(0);
    if (s->g->border)
        border_finish(s, p);
    else if (!p->whole)
        finish_rows(s, p, index_const(0), p->rows);
}

/* A loop over the unit's panels, each with results of its own. */
static void panel_loop(struct sched *s, struct panel *p)
{
    struct index lo = index_const(0);
    index_add(&lo, &s->panel, ext_const(s->per_unit));
    struct stmt *f = nb_for(s, FOR_SEQ, lo, index_offset(lo, s->per_unit), 1);
    f->bound = ext_const((panel_extent(s, s->g->box[0]) + s->g->block - 1) / s->g->block);
    const struct index number = index_axis(f->axis, 1);
    p->first = p->base_row = index_const(0);
    index_add(&p->first, &number, ext_const(s->g->block));
    index_add(&p->base_row, &number, ext_const(p->rows));
    index_add(&p->base_row, &lo, ext_const(-p->rows));
}

/* Samples of which a quarter of L2 holds what the rows' factor reads. */
static int32_t batch_block(const struct sched *s, const struct panel *p)
{
    const int64_t most = s->t->l2 / 4 / (4 * (int64_t)p->rows * p->inner);
    return most <= p->step ? p->step : (int32_t)(most / p->step) * p->step;
}

/* Sums over the batch: a block of it serves all panels of the unit while it is near. */
static void panels_by_blocks(struct sched *s, struct panel *p, struct segments g)
{
    p->results =
        nb_tile(s, "y", TILE_STACK, p->k->dtype, s->per_unit * p->rows, p->nr, true);
    for (uint32_t i = g.first; i < g.end; i++) {
        set_segment(s, p, i);
        const int32_t block = batch_block(s, p);
        struct stmt *f = nb_for(s, FOR_SEQ, index_const(0),
                                (struct index){.off = s->k->axis[p->seg->red[0]]}, block);
        const struct index lo = index_axis(f->axis, 1);
        panel_loop(s, p);
        sum_range(s, p, lo, index_offset(lo, block));
        sched_close(s, 2);
    }
    panel_loop(s, p);
    finish_rows(s, p, index_const(0), p->rows);
    nb_close(s);
}

/* Do the box's lanes fill a panel? Else zeros do, which stay where they are. */
static bool is_full(const struct sched *s)
{
    int32_t lanes = s->g->block;
    for (unsigned i = 1; i < s->g->nbox; i++)
        lanes *= panel_extent(s, s->g->box[i]);
    return lanes == s->g->nr;
}

/* Room for the longest block of k. */
static void packed_tile(struct sched *s, struct panel *p, struct segments g)
{
    int32_t depth = 0;
    for (uint32_t i = g.first; i < g.end; i++) {
        set_segment(s, p, i);
        const int32_t n = s->g->border ? border_depth(s, p) : p->step * p->inner;
        depth = n > depth ? n : depth;
    }
    p->packed = nb_tile(s, "x", TILE_STACK, p->k->dtype, depth, p->nr,
                        !s->g->border && !is_full(s));
}

void sched_window(struct sched *s)
{
    const struct group *g = s->g;
    s->n->borders |= g->border;
    struct panel p = {.it = &s->gs.item[g->item[0]], .nr = g->nr, .phases = 1};
    if (g->phase && !g->border)
        p.phases = panel_extent(s, g->phase - 1);
    p.places = g->border ? border_places(s) : p.phases;
    const bool part = p.it->part == PART_PARTIAL;
    p.k = &s->k->stage[p.it->stage];
    const struct segments segs = {part ? p.it->seg : 0, part ? p.it->seg + 1U : p.k->nseg};
    p.rows = panel_extent(s, g->row);
    p.mr = sched_window_rows(s);
    packed_tile(s, &p, segs);
    if (s->per_unit > 1) {
        panels_by_blocks(s, &p, segs);
        return;
    }
    if (g->batch || s->panels > 1) {
        index_add(&p.first, g->batch ? &s->unit : &s->panel, ext_const(g->block));
    } else {
        struct stmt *f = nb_for(s, FOR_SEQ, index_const(0),
                                index_const(panel_extent(s, g->box[0])), g->block);
        p.first = index_axis(f->axis, 1);
    }
    one_panel(s, &p, segs);
    sched_close(s, !g->batch && s->panels == 1);
}
