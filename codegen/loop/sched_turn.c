/*
 * Panels of convolutions that leave out what lies outside of the image (sched_border.c).
 *
 * What a unit's places read of an image is turned once from [lane][row][column], as it lies
 * in memory, into [row][column][lane], whatever the number of taps that read an element.
 * The sums are turned back, place by place, before what follows them.
 */
#include "codegen/loop/sched_border.h"
#include "codegen/loop/sched_panel.h"

enum { MOST_UNROLLED = 4 };

/* ---- indices ---- */

static struct image image_of(const struct sched *s, const struct panel *p)
{
    struct image m;
    (void)border_image(s->k, s->g, p->k, p->nseg, &m);
    return m;
}

int32_t border_depth(const struct sched *s, const struct panel *p)
{
    return p->step * image_of(s, p).size;
}

int32_t border_places(const struct sched *s)
{
    int32_t n = 1;
    for (unsigned i = 0; i < s->g->nplace; i++)
        n *= panel_extent(s, s->g->place[i]);
    return n;
}

/* Row-major number of the places' axes up to the n-th. */
static struct index place_number(const struct sched *s, unsigned n)
{
    struct index at = index_const(0);
    for (unsigned i = 0; i < s->g->nplace; i++) {
        struct index up = index_const(0);
        index_add(&up, &at, ext_const(panel_extent(s, s->g->place[i])));
        at = i < n ? index_sum(up, s->at[s->g->place[i]]) : up;
    }
    return at;
}

/* ---- in ---- */

/* Elements e.. of a row of memory, of all lanes. */
static void turn_in(struct sched *s, const struct panel *p, const struct image *m,
                    struct index from, struct index to, struct index e, int32_t wide)
{
    const int32_t vec = s->t->vec;
    const uint8_t lane = s->g->box[0];
    struct stmt *half = nb_for(s, FOR_SEQ, index_const(0), index_const(p->nr), vec);
    const struct index first = index_sum(p->first, index_axis(half->axis, 1));
    const uint16_t tile = nb_tile(s, "t", TILE_REG, DT_F32, vec, wide, false);
    struct stmt *f = nb_for(s, FOR_UNROLL, index_const(0), index_const(vec), 1);
    s->at[lane] = index_sum(first, index_axis(f->axis, 1));
    const struct guard there = {s->at[lane], s->k->axis[lane]};
    struct index at = index_sum(index_sum(sched_index(s, &m->base), from), e);
    struct stmt *v = nb_for(s, FOR_VEC, index_const(0), index_const(wide), 1);
    at = index_sum(at, index_axis(v->axis, 1));
    struct stmt *st =
        nb_set_tile(s, tile, index_sum(index_axis(f->axis, wide), index_axis(v->axis, 1)));
    st->place = p->k->place;
    const bool idle = panel_is_cut(s) || s->g->block < p->nr; /* lanes of nobody */
    st->value = nb_load_buf(s, st, m->p->id, at, &there, idle);
    sched_close(s, 2);
    f = nb_for(s, FOR_UNROLL, index_const(0), index_const(wide), 1);
    v = nb_for(s, FOR_VEC, index_const(0), index_const(vec), 1);
    struct index out = index_const(0);
    const struct index number = index_sum(index_sum(to, e), index_axis(f->axis, 1));
    index_add(&out, &number, ext_const(p->nr));
    out = index_sum(index_sum(out, index_axis(half->axis, 1)), index_axis(v->axis, 1));
    st = nb_set_tile(s, p->packed, out);
    st->value = nb_load_tile(s, st, tile,
                             index_sum(index_axis(v->axis, wide), index_axis(f->axis, 1)));
    sched_close(s, 3);
}

/* Of the first reduced axis, as far as it is in the block. */
static struct index first_step(const struct sched *s, const struct panel *p)
{
    struct index at = s->at[p->seg->red[0]];
    index_add(&at, &p->k0, ext_const(-1));
    return at;
}

void border_pack(struct sched *s, const struct panel *p)
{
    const struct image m = image_of(s, p);
    int32_t run = m.c[m.n - 1].extent;
    unsigned rows = m.n - 1;
    while (rows > 0 && !m.c[rows - 1].cut && m.c[rows - 1].coef == run &&
           border_stride(&m, rows - 1) == run)
        run *= m.c[--rows].extent;
    unsigned opened = panel_first_loop(s, p);
    struct index from = index_const(0), to = index_const(0);
    const struct index k = first_step(s, p);
    index_add(&to, &k, ext_const(m.size));
    for (unsigned i = 0; i < rows; i++) {
        const struct coord *c = &m.c[i];
        struct stmt *f = nb_for(s, FOR_SEQ, index_const(0), index_const(c->extent), 1);
        const struct index at = index_offset(
            index_sum(sched_index(s, &c->outside), index_axis(f->axis, 1)), c->least);
        if (c->cut)
            nb_guard(s, f, at, c->guard->bound);
        index_add(&from, &at, ext_const(c->coef));
        index_term(&to, (struct term){f->axis, 1, 0, {border_stride(&m, i), 0}});
        opened++;
    }
    const int32_t vec = s->t->vec, whole = run / vec * vec;
    if (whole) {
        struct stmt *e = nb_for(s, FOR_SEQ, index_const(0), index_const(whole), vec);
        turn_in(s, p, &m, from, to, index_axis(e->axis, 1), vec);
        nb_close(s);
    }
    for (int32_t at = whole, w; at < run; at += w) {
        w = sched_fit(vec, run - at);
        turn_in(s, p, &m, from, to, index_const(at), w);
    }
    sched_close(s, opened);
}

/* ---- sums ---- */

unsigned border_place_loops(struct sched *s, struct panel *p)
{
    const unsigned n = sched_loops(s, s->g->place, s->g->nplace);
    const struct index at = place_number(s, n);
    p->base_row = index_const(0);
    index_add(&p->base_row, &at, ext_const(p->rows));
    return n;
}

/* The taps of a place that are inside of the image; *k: which of the packed elements they
 * read. */
unsigned border_k_loops(struct sched *s, const struct panel *p, struct index *k)
{
    const struct image m = image_of(s, p);
    const struct kseg *g = p->seg;
    bool done[COORDS] = {false};
    unsigned opened = panel_first_loop(s, p), few = g->nred;
    for (int32_t n = 1; few > 1; few--)
        if ((n *= panel_extent(s, g->red[few - 1])) > MOST_UNROLLED)
            break;
    for (unsigned i = 1; i < g->nred; i++) {
        struct stmt *f = nb_for(s, i < few ? FOR_SEQ : FOR_UNROLL, index_const(0),
                                index_const(panel_extent(s, g->red[i])), 1);
        s->at[g->red[i]] = index_axis(f->axis, 1);
        opened++;
        for (unsigned c = 0; c < m.n; c++) {
            bool later = done[c] || !index_uses(&m.c[c].guard->index, g->red[i]);
            for (unsigned r = i + 1; r < g->nred; r++)
                later |= index_uses(&m.c[c].guard->index, g->red[r]);
            if (later)
                continue;
            nb_guard(s, f, sched_index(s, &m.c[c].guard->index), m.c[c].guard->bound);
            done[c] = true;
        }
    }
    const struct index step = first_step(s, p);
    *k = index_const(0);
    index_add(k, &step, ext_const(m.size));
    for (unsigned c = 0; c < m.n; c++) {
        const struct index in = index_offset(sched_index(s, &m.c[c].inside), -m.c[c].least);
        index_add(k, &in, ext_const(border_stride(&m, c)));
    }
    return opened;
}

/* ---- out ---- */

/* `w` places from `at` on, of vec lanes from `first` on: a row of [row][lane][place]. */
static void turn_places(struct sched *s, const struct panel *p, struct index first,
                        struct index at, int32_t w, uint16_t turned, struct index to_row)
{
    const int32_t vec = s->t->vec, places = border_places(s);
    const uint16_t tile = nb_tile(s, "t", TILE_REG, p->k->dtype, w, vec, false);
    struct stmt *f = nb_for(s, FOR_UNROLL, index_const(0), index_const(w), 1);
    struct stmt *v = nb_for(s, FOR_VEC, index_const(0), index_const(vec), 1);
    struct index from = index_sum(index_axis(v->axis, 1), first);
    const struct index place = index_sum(at, index_axis(f->axis, 1));
    index_add(&from, &s->at[s->g->row], ext_const(p->nr));
    index_add(&from, &place, ext_const(p->rows * p->nr));
    struct stmt *st =
        nb_set_tile(s, tile, index_sum(index_axis(f->axis, vec), index_axis(v->axis, 1)));
    st->value = nb_load_tile(s, st, p->results, from);
    sched_close(s, 2);
    f = nb_for(s, FOR_UNROLL, index_const(0), index_const(vec), 1);
    v = nb_for(s, FOR_VEC, index_const(0), index_const(w), 1);
    struct index to = index_sum(index_axis(v->axis, 1), at);
    const struct index lane = index_sum(first, index_axis(f->axis, 1));
    index_add(&to, &lane, ext_const(places));
    index_add(&to, &to_row, ext_const(p->nr * places));
    st = nb_set_tile(s, turned, to);
    st->value = nb_load_tile(s, st, tile,
                             index_sum(index_axis(v->axis, vec), index_axis(f->axis, 1)));
    sched_close(s, 2);
}

/* The sums of a row, of the block that begins at `block`. */
static void turn_out(struct sched *s, const struct panel *p, struct index block,
                     uint16_t turned)
{
    const int32_t vec = s->t->vec, places = border_places(s), whole = places / vec * vec;
    struct index to = s->at[s->g->row];
    struct stmt *half = nb_for(s, FOR_SEQ, index_const(0), index_const(p->nr), vec);
    const struct index first = index_axis(half->axis, 1);
    index_add(&to, &block, ext_const(-1));
    if (whole) {
        struct stmt *a = nb_for(s, FOR_SEQ, index_const(0), index_const(whole), vec);
        turn_places(s, p, first, index_axis(a->axis, 1), vec, turned, to);
        nb_close(s);
    }
    for (int32_t at = whole, w; at < places; at += w) {
        w = sched_fit(vec, places - at);
        turn_places(s, p, first, index_const(at), w, turned, to);
    }
    nb_close(s);
}

/* Lanes are the axes from place[from] on; of the first one `n` places from `first` on. */
static void points(struct sched *s, struct walk w, unsigned from, struct index first,
                   int32_t n)
{
    const struct group *g = s->g;
    int32_t width = 1;
    for (unsigned i = g->nplace; i-- > from;) {
        const int32_t e = i == from ? n : panel_extent(s, g->place[i]);
        const struct index at = i == from ? first : index_const(0);
        w.digit[w.ndigit++] =
            (struct walk_digit){g->place[i], width, i == from ? 0 : e, width, at};
        s->at[g->place[i]] = at;
        width *= e;
    }
    w.tile_lane = place_number(s, g->nplace);
    sched_points(s, &w, s->at[g->col], width, 0);
}

/* All places of a row of one lane: whole axes as lanes, and as much of the next as fits. */
static void lane_points(struct sched *s, const struct walk *w)
{
    const struct group *g = s->g;
    const int32_t vec = s->t->vec < 16 ? 16 : s->t->vec;
    const unsigned col = g->nplace - (g->phase ? 2U : 1U);
    int32_t inner = 1, n = 1;
    unsigned from = g->nplace;
    while (from > 0 && inner * panel_extent(s, g->place[from - 1]) <= vec)
        inner *= panel_extent(s, g->place[--from]);
    const int32_t next = from ? panel_extent(s, g->place[from - 1]) : 1;
    for (int32_t d = 2; d * inner <= vec; d++)
        n = next % d == 0 ? d : n;
    if (n == 1 && from <= col) { /* columns are lanes already */
        const unsigned opened = sched_loops(s, g->place, from);
        points(s, *w, from, index_const(0), panel_extent(s, g->place[from]));
        sched_close(s, opened);
        return;
    }
    const unsigned opened = sched_loops(s, g->place, --from);
    if (n > 1) {
        struct stmt *f = nb_for(s, FOR_SEQ, index_const(0), index_const(next), n);
        points(s, *w, from, index_axis(f->axis, 1), n);
        nb_close(s);
    }
    for (int32_t at = 0, few; n == 1 && at < next; at += few) {
        few = sched_fit(vec / inner, next - at);
        points(s, *w, from, index_const(at), few);
    }
    sched_close(s, opened);
}

/* Rows that are turned before a lane's are stored together, as they lie in memory. */
static int32_t turned_rows(const struct sched *s, const struct panel *p, int32_t places)
{
    int32_t n = 16;
    while (n > 1 && (n * p->nr * places * 4 > s->t->l1 || n > p->rows))
        n /= 2;
    return n;
}

/* The rows of a block, opened; their number in it. */
static struct index row_loop(struct sched *s, const struct panel *p, struct index first,
                             int32_t block)
{
    struct stmt *f = nb_for(s, FOR_SEQ, first, index_offset(first, block), 1);
    f->bound = ext_const(p->rows);
    s->at[s->g->row] = index_axis(f->axis, 1);
    struct index number = s->at[s->g->row];
    index_add(&number, &first, ext_const(-1));
    return number;
}

void border_finish(struct sched *s, const struct panel *p)
{
    const int32_t places = border_places(s), block = turned_rows(s, p, places);
    const uint8_t lane = s->g->box[0];
    const uint16_t turned =
        nb_tile(s, "z", TILE_STACK, p->k->dtype, block * p->nr, places, false);
    struct walk w = {.tile_width = places};
    struct stmt *b = nb_for(s, FOR_SEQ, index_const(0), index_const(p->rows), block);
    const struct index first = index_axis(b->axis, 1);
    row_loop(s, p, first, block);
    turn_out(s, p, first, turned);
    nb_close(s);
    struct stmt *f = nb_for(s, FOR_SEQ, index_const(0), index_const(s->g->block), 1);
    s->at[lane] = index_sum(p->first, index_axis(f->axis, 1));
    if (panel_is_cut(s))
        nb_guard(s, f, s->at[lane], s->k->axis[lane]);
    w.tile_row = row_loop(s, p, first, block);
    index_add(&w.tile_row, &w.tile_row, ext_const(p->nr - 1));
    index_term(&w.tile_row, (struct term){f->axis, 1, 0, {1, 0}});
    s->tiles[p->it - s->gs.item].acc = (uint16_t)(turned + 1);
    lane_points(s, &w);
    sched_close(s, 3);
}
