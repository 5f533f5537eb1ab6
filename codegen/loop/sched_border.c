/*
 * Convolutions without what lies outside of the image.
 *
 * Where lanes are places of the image, some of them are at its border when others are not,
 * and what they read there is a zero that is multiplied like any other element: a quarter
 * of all products of a small image.  Here lanes are samples (of a filter's gradient:
 * channels), which see the border at the same taps: the loops over the taps end with the
 * image.
 *
 * A product that is left out would have added +0 or -0 to its sum: that changes a sum of -0
 * alone, unless the other factor is not finite.
 */
#include "codegen/loop/sched_border.h"

#define WORTH 0.95 /* of the products of the other schedule */

enum { FEW_PLACES = 16, LINE = 64, WAYS = 8, MOST_SETS = 128, MOST_APART = 4 };

/* ---- what a factor reads ---- */

static bool is_inside(const struct group *g, const struct kseg *seg, uint8_t axis)
{
    return sched_has_axis(g->place, g->nplace, axis) ||
           sched_has_axis(seg->red + 1, seg->nred - 1U, axis);
}

static bool find_coord(const struct kernel *k, const struct group *g,
                       const struct kseg *seg, const struct index *x, struct coord *c)
{
    bool plain, reduced = false;
    const struct index *at = &c->guard->index;
    if (index_has_digits(at) || at->scalar || !at->n || at->off.b || c->guard->bound.b)
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
    const int32_t reached = most + 1; /* from the guard's offset on */
    c->extent = reached - c->least;
    if (!c->cut) { /* all of the image */
        c->inside.off = c->outside.off;
        c->outside.off = ext_const(0);
        c->least = 0;
        c->extent = at->off.c + reached < c->guard->bound.c ? at->off.c + reached
                                                            : c->guard->bound.c;
    }
    return c->coef > 0 && c->extent > 0;
}

int32_t border_stride(const struct image *m, unsigned coord)
{
    int32_t n = coord + 1 == m->n ? 1 : m->pitch;
    for (unsigned i = coord + 1; i + 1 < m->n; i++)
        n *= m->c[i].extent;
    return n;
}

static int32_t size_of(const struct image *m)
{
    return m->n == 1 ? m->pitch : border_stride(m, 0) * m->c[0].extent;
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
            line += border_stride(m, c) *
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
static void spread(const struct kernel *k, const struct target *t, struct group *g,
                   const struct kstage *s, uint32_t nseg, struct image m)
{
    const int32_t row = m.c[m.n - 1].extent;
    int32_t least = INT32_MAX;
    for (int32_t i = 0; i < MOST_APART * MOST_APART; i++) {
        m.pitch = row + 2 * (i / MOST_APART);
        m.size = size_of(&m) + 2 * (i % MOST_APART);
        const int32_t n = crowd(k, t, g, &s->seg[nseg], &m);
        if (n >= least)
            continue;
        least = n;
        g->pitch[nseg] = m.pitch;
        g->step[nseg] = m.size;
    }
}

bool border_image(const struct kernel *k, const struct group *g, const struct kstage *s,
                  uint32_t nseg, struct image *m)
{
    const struct kseg *seg = &s->seg[nseg];
    const struct sx_node *x = &k->sx.node[seg->factor[g->image[nseg]]];
    *m = (struct image){.size = 0};
    if (x->op != SX_ARG)
        return false;
    m->p = &s->operand[x->a];
    if (m->p->stage || m->p->pick.from || !m->p->nguard || m->p->nguard > COORDS ||
        index_has_digits(&m->p->index) || m->p->index.scalar)
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
    m->pitch = g->pitch[nseg];
    m->size = g->step[nseg];
    return m->c[m->n - 1].coef == 1 && !m->c[m->n - 1].cut;
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
        if (!first && !(cols >> x & 1) && !sched_is_phase(k->axis[x]))
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

static bool all_images(const struct kernel *k, const struct target *t, struct group *g,
                       const struct kstage *s, uint32_t first, uint32_t nseg,
                       double *inside)
{
    struct image m;
    for (uint32_t i = first; i < first + nseg; i++) {
        double share = 1;
        if (products_of(k, t, g, &s->seg[i]) < t->border_work ||
            !border_image(k, g, s, i, &m))
            return false;
        spread(k, t, g, s, i, m);
        if (4 * (int64_t)g->step[i] * g->nr > t->l2 / 4)
            return false;
        for (unsigned c = 0; c < m.n; c++)
            share *= share_inside(k, m.c[c].guard);
        *inside += share / nseg;
    }
    return true;
}

/* Their results, even those of the last axis alone; and no step of theirs is a number of
 * samples, as that of a lane must not be. */
static bool places_fit(const struct kernel *k, const struct target *t,
                       const struct group *g)
{
    int64_t bytes = 4 * (int64_t)k->axis[g->row].c * g->nr;
    for (unsigned i = 0; i < g->nplace; i++)
        bytes *= k->axis[g->place[i]].c;
    for (uint32_t i = 0; i < k->nstage; i++)
        for (uint32_t o = 0; o < k->stage[i].noperand + k->stage[i].nstore; o++) {
            const struct index *x = kstage_index(&k->stage[i], o);
            bool plain;
            for (unsigned p = 0; p < g->nplace; p++)
                if (index_coef(x, g->place[p], &plain).b)
                    return false;
        }
    return bytes <= t->l2;
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
    if (lanes + 1 >= ncol || t->border_work == INT32_MAX)
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
    if (!places_fit(k, t, &g) || !all_images(k, t, &g, s, first, nseg, &inside) ||
        inside / used > WORTH / g.used)
        return false;
    *out = g;
    return true;
}
