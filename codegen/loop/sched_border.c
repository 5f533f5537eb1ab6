/*
 * Convolutions without what lies outside of the image.
 *
 * Where lanes are places of the image, some of them are at its border when others are not,
 * and what they read there is a zero that is multiplied like any other element: a quarter
 * of all products of a small image.  Here lanes are samples (of a filter's gradient:
 * channels), which see the border at the same taps: the loops over the taps end with the
 * image.
 *
 * What a unit's places read of an image is turned once from [lane][row][column], as it lies
 * in memory, into [row][column][lane], whatever the number of taps that read an element.
 * The sums are turned back, place by place, before what follows them.
 *
 * A product that is left out would have added +0 or -0 to its sum: that changes a sum of -0
 * alone, unless the other factor is not finite.
 */
#include "codegen/loop/sched_panel.h"

#define WORTH 0.95 /* of the products of the other schedule */

enum {
    COORDS = 3,
    FEW_PLACES = 16,
    LINE = 64,
    WAYS = 8,
    MOST_SETS = 128,
    MOST_APART = 8,
    MOST_UNROLLED = 4
};

/* One coordinate of the image, of those that a guard keeps inside. */
struct coord {
    const struct guard *guard;
    int32_t coef;          /* elements of the buffer to the next one */
    struct index inside;   /* what the unit's own loops add to it */
    struct index outside;  /* and what else does */
    bool cut;              /* other units begin elsewhere in it */
    int32_t least, extent; /* of what the unit reads: inside is least.. */
};
struct image {
    const struct koperand *p;
    struct coord c[COORDS]; /* outermost first */
    unsigned n;
    struct index base; /* of the buffer, where all coordinates are 0 */
    /* Packed: from one row to the next, and from one step of the first reduced axis. */
    int32_t pitch, size;
};

/* ---- what a factor reads ---- */

static bool is_plain(const struct index *x)
{
    for (unsigned i = 0; i < x->n; i++)
        if (x->t[i].div != 1 || x->t[i].mod)
            return false;
    return !x->scalar;
}

static bool is_inside(const struct group *g, const struct kseg *seg, uint8_t axis)
{
    for (unsigned i = 0; i < g->nplace; i++)
        if (g->place[i] == axis)
            return true;
    for (unsigned i = 1; i < seg->nred; i++)
        if (seg->red[i] == axis)
            return true;
    return false;
}

static bool find_coord(const struct kernel *k, const struct group *g,
                       const struct kseg *seg, const struct index *x, struct coord *c)
{
    bool plain, reduced = false;
    const struct index *at = &c->guard->index;
    if (!is_plain(at) || !at->n || at->off.b || c->guard->bound.b)
        return false;
    c->inside = c->outside = index_const(0);
    c->outside.off = at->off;
    int32_t most = 0;
    for (unsigned i = 0; i < at->n; i++) {
        const struct term *t = &at->t[i];
        const struct ext e = k->axis[t->axis];
        if (t->coef.b || e.b)
            return false;
        const bool in = is_inside(g, seg, t->axis);
        index_term(in ? &c->inside : &c->outside, *t);
        c->cut |= !in;
        *(t->coef.c < 0 ? &c->least : &most) += in ? t->coef.c * (e.c - 1) : 0;
        for (unsigned r = 1; r < seg->nred; r++)
            reduced |= seg->red[r] == t->axis;
    }
    const struct ext of = index_coef(x, at->t[0].axis, &plain);
    if (!reduced || !plain || of.b || of.c % at->t[0].coef.c)
        return false;
    c->coef = of.c / at->t[0].coef.c;
    c->extent = most - c->least + 1;
    if (!c->cut) { /* all of the image */
        c->inside.off = c->outside.off;
        c->outside.off = ext_const(0);
        c->least = 0;
        c->extent = c->guard->bound.c;
    }
    return c->coef > 0;
}

/* Elements from one of a coordinate to the next one, as packed. */
static int32_t stride_of(const struct image *m, unsigned coord)
{
    int32_t n = coord + 1 == m->n ? 1 : m->pitch;
    for (unsigned i = coord + 1; i + 1 < m->n; i++)
        n *= m->c[i].extent;
    return n;
}

static int32_t size_of(const struct image *m)
{
    return m->n == 1 ? m->pitch : stride_of(m, 0) * m->c[0].extent;
}

/* Lines that a place's taps read more of than a set of the first cache has ways: m->size
 * elements each step. */
static int32_t crowd(const struct kernel *k, const struct target *t, const struct group *g,
                     const struct kseg *seg, const struct image *m)
{
    int64_t at[LOOP_AXES] = {0};
    int32_t inner = 1, crowded = 0;
    uint16_t lines[MOST_SETS] = {0};
    const int32_t sets =
        t->l1 / (LINE * WAYS) < MOST_SETS ? t->l1 / (LINE * WAYS) : MOST_SETS;
    for (unsigned i = 1; i < seg->nred; i++)
        inner *= k->axis[seg->red[i]].c;
    const int32_t steps = t->l1 / 2 / (4 * g->nr * inner);
    for (unsigned i = 0; i < g->nplace; i++)
        at[g->place[i]] = k->axis[g->place[i]].c / 2;
    for (int32_t e = 0; e < inner * (steps < 1 ? 1 : steps); e++) {
        int32_t rest = e, line = e / inner * m->size;
        for (unsigned i = seg->nred; i-- > 1; rest /= k->axis[seg->red[i]].c)
            at[seg->red[i]] = rest % k->axis[seg->red[i]].c;
        for (unsigned c = 0; c < m->n; c++)
            line += stride_of(m, c) *
                    ((int32_t)index_eval(&m->c[c].inside, at, 0, NULL) - m->c[c].least);
        for (int32_t i = 0; i < 4 * g->nr / LINE; i++) {
            const int32_t set = (line * (4 * g->nr / LINE) + i) % sets;
            crowded += ++lines[set < 0 ? 0 : set] > WAYS;
        }
    }
    return crowded;
}

/* Rows of a power of two of bytes would meet in a few sets of the first cache: some
 * elements between them, or between steps, spread them. */
static void spread(const struct kernel *k, const struct target *t, const struct group *g,
                   const struct kseg *seg, struct image *m)
{
    int32_t least = INT32_MAX;
    struct image try = *m, best;
    for (int32_t row = 0; row < MOST_APART; row += 2)
        for (int32_t step = 0; step < MOST_APART; step += 2) {
            try.pitch = m->c[m->n - 1].extent + row;
            try.size = size_of(&try) + step;
            const int32_t n = crowd(k, t, g, seg, &try);
            if (n < least) {
                least = n;
                best = try;
            }
        }
    *m = best;
}

static bool find_image(const struct kernel *k, const struct target *t,
                       const struct group *g, const struct kstage *s, uint32_t nseg,
                       struct image *m)
{
    const struct kseg *seg = &s->seg[nseg];
    const struct sx_node *x = &k->sx.node[seg->factor[g->image[nseg]]];
    *m = (struct image){.size = 0};
    if (x->op != SX_ARG)
        return false;
    m->p = &s->operand[x->a];
    if (m->p->stage || m->p->pick.from || !m->p->nguard || m->p->nguard > COORDS ||
        !is_plain(&m->p->index))
        return false;
    m->base = m->p->index;
    for (unsigned i = 0; i < m->p->nguard; i++) {
        struct coord c = {.guard = &m->p->guard[i]};
        if (!find_coord(k, g, seg, &m->p->index, &c))
            return false;
        unsigned to = m->n++;
        for (; to > 0 && m->c[to - 1].coef < c.coef; to--)
            m->c[to] = m->c[to - 1];
        m->c[to] = c;
        index_add(&m->base, &c.guard->index, ext_const(-c.coef));
    }
    for (unsigned i = 0; i < m->base.n; i++) {
        bool twice = is_inside(g, seg, m->base.t[i].axis);
        for (unsigned c = 0; c < m->n; c++)
            twice |= index_uses(&m->c[c].guard->index, m->base.t[i].axis);
        if (twice)
            return false;
    }
    if (m->c[m->n - 1].coef != 1 || m->c[m->n - 1].cut)
        return false;
    spread(k, t, g, seg, m);
    return true;
}

/* ---- what is worth it ---- */

static bool is_guarded(const struct kstage *s, uint8_t axis)
{
    for (uint32_t o = 0; o < s->noperand; o++)
        for (unsigned i = 0; i < s->operand[o].nguard; i++)
            if (index_uses(&s->operand[o].guard[i].index, axis))
                return true;
    return false;
}

/* The share of a coordinate's combinations that are inside of the image. */
static double share_inside(const struct kernel *k, const struct guard *g)
{
    int64_t at[LOOP_AXES] = {0}, all = 0, in = 0;
    for (;;) {
        in += guards_hold(g, 1, at, 0, NULL);
        all++;
        unsigned i = 0;
        while (i < g->index.n && ++at[g->index.t[i].axis] == k->axis[g->index.t[i].axis].c)
            at[g->index.t[i++].axis] = 0;
        if (i == g->index.n)
            return (double)in / (double)all;
    }
}

/* As many lanes as the target's tiles have; *used: the share of them that is not idle. */
static int32_t lanes_of(const struct kernel *k, const struct target *t, uint8_t axis,
                        double *used)
{
    const struct ext e = k->axis[axis];
    const int64_t n = e.b ? t->batch : e.c, panels = (n + t->nr - 1) / t->nr;
    if (n < 1 || (e.b && (e.b != 1 || e.c)))
        return 0;
    *used = (double)n / (double)(panels * t->nr);
    return e.b ? t->nr : (int32_t)((n + panels - 1) / panels);
}

static bool is_phase(const struct kernel *k, uint8_t axis)
{
    return !k->axis[axis].b && k->axis[axis].c <= 2;
}

/* More places to a unit of so many: their results stay in L2, and there are units for all
 * threads, two each once a place's results fill lines. */
static bool has_room(const struct kernel *k, const struct target *t, const struct group *g,
                     int64_t places, int32_t more, double units)
{
    const double threads = t->threads ? (double)t->threads : (double)t->t_ref;
    return 4 * (int64_t)k->axis[g->row].c * places * more * g->nr <= t->l2 / 2 &&
           units / more >= (places < FEW_PLACES ? 1 : 2) * threads;
}

/* The result's axes but rows and lanes, as its places lie in memory. */
static uint8_t places_in_order(const struct kernel *k, const struct group *g,
                               const struct kstage *s, uint8_t *axis)
{
    const struct index *x = NULL;
    uint8_t n = 0;
    bool plain;
    for (uint32_t i = 0; i < k->nstage && !x; i++)
        if (k->stage[i].nstore && index_uses(&k->stage[i].store[0].index, (unsigned)g->col))
            x = &k->stage[i].store[0].index;
    for (unsigned i = 0; i < s->naxis; i++) {
        const uint8_t a = s->axis[i];
        if (a == g->row || a == g->box[0])
            continue;
        unsigned to = n++;
        for (; x && to > 0 &&
               index_coef(x, axis[to - 1], &plain).c < index_coef(x, a, &plain).c;
             to--)
            axis[to] = axis[to - 1];
        axis[to] = a;
    }
    return n;
}

/*
 * The last axes of the result, as many as there is room for; the next one in blocks where
 * that divides it (g->split).  What the rows' factor walks too is but a phase.
 */
static void choose_places(const struct kernel *k, const struct target *t, struct group *g,
                          const struct kstage *s, uint32_t cols)
{
    uint8_t rest[LOOP_AXES], n = places_in_order(k, g, s, rest), from;
    int64_t places = 1;
    const struct ext e = k->axis[g->box[0]];
    double units = (double)(((e.b ? t->batch : e.c) + g->block - 1) / g->block);
    for (unsigned i = 0; i < n; i++)
        units *= k->axis[rest[i]].c;
    for (from = n; from > 0; from--) {
        const uint8_t x = rest[from - 1];
        const int32_t all = k->axis[x].c;
        const bool first = from + (g->phase ? 1U : 0U) >= n; /* the last axis, its phase */
        if (!first && !(cols >> x & 1) && !is_phase(k, x))
            break;
        int32_t by = all;
        while (!first && by > 1 && (all % by || !has_room(k, t, g, places, by, units)))
            by--;
        if (by < all) {
            g->split = by > 1 ? (uint8_t)(x + 1) : 0;
            g->split_by = by;
            break;
        }
        places *= all;
        units /= all;
    }
    g->nouter = g->nplace = 0;
    for (unsigned i = 0; i < n; i++)
        if (i < from)
            g->outer[g->nouter++] = rest[i];
        else
            g->place[g->nplace++] = rest[i];
}

/* Products of an element of the image, or of the filter where that is more, at most. */
static int64_t products_of(const struct kernel *k, const struct target *t,
                           const struct group *g, const struct kseg *seg)
{
    int64_t n = k->axis[g->row].c;
    for (unsigned i = 0; i < seg->nred; i++)
        n *= k->axis[seg->red[i]].b ? t->border_work + 1L : k->axis[seg->red[i]].c;
    return n;
}

static bool all_images(const struct kernel *k, const struct target *t,
                       const struct group *g, const struct kstage *s, uint32_t first,
                       uint32_t nseg, double *inside)
{
    struct image m;
    for (uint32_t i = first; i < first + nseg; i++) {
        double share = 1;
        if (products_of(k, t, g, &s->seg[i]) < t->border_work ||
            !find_image(k, t, g, s, i, &m) || 4 * (int64_t)m.size * g->nr > t->l2 / 4)
            return false;
        for (unsigned c = 0; c < m.n; c++)
            share *= share_inside(k, m.c[c].guard);
        *inside += share / nseg;
    }
    return true;
}

bool border_open(const struct kernel *k, const struct target *t, const struct kstage *s,
                 uint32_t first, uint32_t nseg, const uint8_t *col, unsigned ncol,
                 struct group *out)
{
    struct group g = *out;
    double used = 0, inside = 0;
    uint32_t cols = 0;
    unsigned lanes = 0;
    while (lanes + 1 < ncol && is_guarded(s, col[lanes]))
        lanes++;
    if (lanes + 1 >= ncol)
        return false;
    for (unsigned i = 0; i < ncol; i++)
        cols |= i == lanes ? 0 : 1U << col[i];
    for (unsigned i = 0; i < s->naxis; i++)
        if (k->axis[s->axis[i]].b && s->axis[i] != col[lanes])
            return false;
    g.border = true;
    g.box[0] = col[lanes];
    g.nbox = 1;
    g.nr = t->nr;
    g.block = lanes_of(k, t, g.box[0], &used);
    if (!g.block)
        return false;
    choose_places(k, t, &g, s, cols);
    if (!all_images(k, t, &g, s, first, nseg, &inside) || inside / used > WORTH / g.used)
        return false;
    *out = g;
    return true;
}

/* ---- indices ---- */

static struct image image_of(const struct sched *s, const struct panel *p)
{
    struct image m;
    (void)find_image(s->k, s->t, s->g, p->k, p->nseg, &m);
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
    struct index at = index_sum(index_sum(index_substitute(&m->base, s->at), from), e);
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
           stride_of(&m, rows - 1) == run)
        run *= m.c[--rows].extent;
    unsigned opened = panel_first_loop(s, p);
    struct index from = index_const(0), to = index_const(0);
    const struct index k = first_step(s, p);
    index_add(&to, &k, ext_const(m.size));
    for (unsigned i = 0; i < rows; i++) {
        const struct coord *c = &m.c[i];
        struct stmt *f = nb_for(s, FOR_SEQ, index_const(0), index_const(c->extent), 1);
        const struct index at = index_offset(
            index_sum(index_substitute(&c->outside, s->at), index_axis(f->axis, 1)),
            c->least);
        if (c->cut)
            nb_guard(s, f, at, c->guard->bound);
        index_add(&from, &at, ext_const(c->coef));
        index_term(&to, (struct term){f->axis, 1, 0, {stride_of(&m, i), 0}});
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
            nb_guard(s, f, index_substitute(&m.c[c].guard->index, s->at),
                     m.c[c].guard->bound);
            done[c] = true;
        }
    }
    const struct index step = first_step(s, p);
    *k = index_const(0);
    index_add(k, &step, ext_const(m.size));
    for (unsigned c = 0; c < m.n; c++) {
        const struct index in =
            index_offset(index_substitute(&m.c[c].inside, s->at), -m.c[c].least);
        index_add(k, &in, ext_const(stride_of(&m, c)));
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
