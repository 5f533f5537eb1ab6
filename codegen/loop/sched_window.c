/*
 * Convolutions: sums of products over many axes, in all roles.  One axis of the result is
 * walked by one factor alone (rows: filters), the others by the second factor (an image).
 *
 * The innermost of these others make the lanes of a panel: as many whole axes as fit, and a
 * block of the next one (the box).  What the second factor reads for a panel, through
 * whatever strides and guards, is packed into a stack tile [k][lane] as long as it stays in
 * L1; tiles of rows then run over it with their accumulators in registers, and lay them
 * down between blocks of k.  A chain that is laid down and taken up again is the same
 * chain, so blocks change no bit.
 */
#include <string.h>

#include "codegen/loop/sched.h"

enum {
    MOST_ROWS = 2048,
    MOST_PHASES = 2,
    MOST_UNROLLED = 4,
    FEW_PIECES = 8,
    MOST_SHARED = 8
};

struct panel {
    struct item *it;
    const struct kstage *k;
    const struct kseg *seg;
    uint32_t nseg; /* number of the segment */
    int32_t mr, nr, rows;
    int32_t inner;            /* product of the reduced axes but the first */
    int32_t step;             /* of the first reduced axis, to a block of k */
    uint16_t packed, results; /* STACK [step * inner][nr], [rows or mr][nr] */
    bool whole; /* all of k fits a block: a tile is done when it is laid down */
    int32_t phases;
    struct index base_row; /* of the results: where the phase's or the panel's begin */
    struct index first;    /* of box[0] */
    struct index k0;       /* the first reduced axis at the block's begin */
};

static int32_t extent(const struct sched *s, int axis)
{
    return s->k->axis[axis].c;
}

/* ---- is it one? ---- */

static uint32_t axes_of_index(const struct index *x)
{
    uint32_t set = 0;
    for (unsigned i = 0; i < x->n; i++)
        set |= 1U << x->t[i].axis;
    return set;
}

static uint32_t axes_of_load(const struct koperand *p)
{
    uint32_t set = axes_of_index(&p->index);
    for (unsigned i = 0; i < p->nguard; i++)
        set |= axes_of_index(&p->guard[i].index);
    return set;
}

bool sched_factor_axes(const struct kernel *k, const bool *inlined, const struct kstage *s,
                       sx_id e, uint32_t *set)
{
    struct arena *a = arena_new();
    sx_id *order;
    bool ok = e != 0;
    const uint32_t n = sx_postorder(&k->sx, &e, 1, a, &order);
    for (uint32_t i = 0; i < n && ok; i++) {
        const struct sx_node *x = &k->sx.node[order[i]];
        const struct koperand *p = x->op == SX_ARG ? &s->operand[x->a] : NULL;
        if (x->op == SX_AXIS)
            *set |= 1U << x->a;
        else if (x->op == SX_RNG && k->rng[x->a].sample_axis >= 0)
            *set |= 1U << k->rng[x->a].sample_axis;
        else if (p && !p->stage)
            ok = !p->pick.from, *set |= axes_of_load(p);
        else if (p && inlined[p->id])
            ok =
                sched_factor_axes(k, inlined, &k->stage[p->id], k->stage[p->id].value, set);
        for (unsigned q = 0; p && p->stage && q < k->stage[p->id].naxis; q++)
            *set |= 1U << k->stage[p->id].axis[q];
    }
    arena_free(a);
    return ok;
}

static bool is_small(struct ext e)
{
    return e.b == 0;
}

/* The last axes of the list as lanes; what is before them is walked outside. */
static void choose_box(const struct kernel *k, struct group *g, const uint8_t *col,
                       unsigned n, int32_t lanes)
{
    int32_t inside = 1;
    unsigned first = n - 1;
    while (first > 0 && is_small(k->axis[col[first]]) &&
           inside * k->axis[col[first]].c * 2 <= lanes)
        inside *= k->axis[col[first--]].c;
    const bool batch = !is_small(k->axis[col[first]]); /* small images: several of them */
    const int32_t e = batch ? lanes / inside : k->axis[col[first]].c;
    const int32_t most = lanes / inside < e ? lanes / inside : e;
    const int32_t panels = (e + most - 1) / most;
    g->block = (e + panels - 1) / panels; /* even ones */
    g->nr = lanes;
    g->used = (double)e * inside / ((double)panels * lanes);
    g->nbox = g->nouter = 0;
    for (unsigned i = first; i < n; i++)
        g->box[g->nbox++] = col[i];
    for (unsigned i = 0; i < first; i++)
        g->outer[g->nouter++] = col[i];
}

/* As many vectors a row as the target's tiles have, unless one to three leave much fewer
 * lanes idle. */
static void best_box(const struct kernel *k, const struct target *t, struct group *g,
                     const uint8_t *col, unsigned n)
{
    static const int32_t vectors[] = {2, 3, 1};
    struct group best = *g, try = *g;
    choose_box(k, &best, col, n, t->nr);
    for (unsigned i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        choose_box(k, &try, col, n, vectors[i] * t->vec);
        if (try.used > 1.2 * best.used)
            best = try;
    }
    for (unsigned i = 0; i < best.nouter; i++)
        g->outer[g->nouter++] = best.outer[i];
    g->nbox = best.nbox;
    memcpy(g->box, best.box, sizeof g->box);
    g->block = best.block;
    g->nr = best.nr;
}

static bool inner_fits(const struct kernel *k, const struct kseg *seg,
                       const struct target *t)
{
    int64_t n = 1;
    for (unsigned i = 1; i < seg->nred; i++) {
        if (!is_small(k->axis[seg->red[i]]))
            return false;
        n *= k->axis[seg->red[i]].c;
    }
    return seg->nred && n * t->nr * 4 <= t->l2 / 2;
}

/* Who walks which axis of the result in a segment. */
struct walkers {
    uint8_t image, row, ncol, nrest, phase;  /* phase: 1 + axis, as the group's */
    uint8_t col[LOOP_AXES], rest[LOOP_AXES]; /* rest: both, or neither */
};

static bool is_phase(struct ext e)
{
    return is_small(e) && e.c <= MOST_PHASES;
}

static bool find_walkers(const struct kernel *k, const bool *inlined,
                         const struct kstage *s, const struct kseg *seg, struct walkers *w)
{
    uint32_t set[2] = {0};
    unsigned rows = 0;
    unsigned n = s->naxis;
    *w = (struct walkers){0};
    if (!sched_factor_axes(k, inlined, s, seg->factor[0], &set[0]) ||
        !sched_factor_axes(k, inlined, s, seg->factor[1], &set[1]))
        return false;
    if ((set[0] & set[1]) >> s->axis[n - 1] & 1 && n > 2 &&
        is_phase(k->axis[s->axis[n - 1]]))
        w->phase = (uint8_t)(s->axis[--n] + 1);
    const uint8_t last = s->axis[n - 1];
    w->image = set[1] >> last & 1;
    for (unsigned i = 0; i < n; i++) {
        const uint8_t x = s->axis[i];
        const bool in = set[w->image] >> x & 1, other = set[1 - w->image] >> x & 1;
        if (in && !other)
            w->col[w->ncol++] = x;
        else if (other && !in && is_small(k->axis[x]) && ++rows)
            w->row = x;
        else
            w->rest[w->nrest++] = x;
    }
    return rows == 1 && (w->ncol > 1 || (s->order == ORDER_CHUNK && seg->nred > 1)) &&
           w->ncol && w->col[w->ncol - 1] == last && is_small(k->axis[last]) &&
           k->axis[w->row].c <= MOST_ROWS;
}

static bool same_walkers(const struct walkers *x, const struct walkers *y)
{
    return x->row == y->row && x->ncol == y->ncol && x->phase == y->phase &&
           x->nrest == y->nrest && !memcmp(x->col, y->col, x->ncol) &&
           !memcmp(x->rest, y->rest, x->nrest);
}

bool window_open(const struct kernel *k, const bool *inlined, const struct target *t,
                 struct group *g, const struct kstage *s, uint32_t first, uint32_t nseg)
{
    struct walkers w, all = {0};
    struct group own = {.row = -1};
    if (s->naxis < 2 || nseg > sizeof own.image)
        return false;
    for (uint32_t i = first; i < first + nseg; i++) {
        if (!inner_fits(k, &s->seg[i], t) || !find_walkers(k, inlined, s, &s->seg[i], &w) ||
            (i > first && !same_walkers(&w, &all)))
            return false;
        own.image[i] = w.image;
        all = w;
    }
    memcpy(own.outer, all.rest, all.nrest);
    own.nouter = all.nrest;
    best_box(k, t, &own, all.col, all.ncol);
    own.batch = !is_small(k->axis[own.box[0]]);
    for (unsigned i = 0; (own.batch || s->order == ORDER_CHUNK) && i < own.nouter; i++)
        if (!is_small(k->axis[own.outer[i]]))
            return false;
    own.row = all.row;
    own.phase = all.phase;
    own.col = all.col[all.ncol - 1];
    own.window = true;
    own.item = g->item;
    *g = own;
    return true;
}

/* ---- loops ---- */

/* Lane number of the box at the current point: row-major, box[0] from its block's first. */
struct lanes {
    struct index at;
    unsigned opened;
};

/* Loops over all of the box but its last axis. */
static struct lanes box_loops(struct sched *s, const struct panel *p)
{
    const struct group *g = s->g;
    struct lanes l = {index_const(0), 0};
    for (unsigned i = 0; i + 1 < g->nbox; i++) {
        const int32_t n = i ? extent(s, g->box[i]) : g->block;
        struct index up = index_const(0), here = index_const(0);
        if (n > 1) {
            const enum for_kind kind = n <= MOST_UNROLLED ? FOR_UNROLL : FOR_SEQ;
            struct stmt *f = nb_for(s, kind, index_const(0), index_const(n), 1);
            here = index_axis(f->axis, 1);
            l.opened++;
        }
        s->at[g->box[i]] = i ? here : index_sum(p->first, here);
        index_add(&up, &l.at, ext_const(n));
        l.at = index_sum(up, here);
    }
    return l;
}

/* Lanes of the box's last axis: how many, and what the first one's number is. */
static int32_t last_lanes(const struct sched *s)
{
    const struct group *g = s->g;
    return g->nbox == 1 ? g->block : extent(s, g->col);
}

static struct index lane_index(const struct sched *s, struct index box)
{
    struct index at = index_const(0);
    index_add(&at, &box, ext_const(last_lanes(s)));
    return at;
}

static struct index last_first(const struct sched *s, const struct panel *p)
{
    return s->g->nbox == 1 ? p->first : index_const(0);
}

static bool is_cut(const struct sched *s)
{
    return s->g->batch || extent(s, s->g->box[0]) % s->g->block != 0;
}

/* The first reduced axis, within the block. */
static unsigned first_loop(struct sched *s, const struct panel *p)
{
    const uint8_t axis = p->seg->red[0];
    struct stmt *f = nb_for(s, FOR_SEQ, p->k0, index_offset(p->k0, p->step), 1);
    f->bound = s->k->axis[axis];
    s->at[axis] = index_axis(f->axis, 1);
    return 1;
}

/* k within the block, where all the reduced axes have their loops. */
static struct index block_k(const struct sched *s, const struct panel *p)
{
    const struct kseg *g = p->seg;
    struct index at = s->at[g->red[0]];
    index_add(&at, &p->k0, ext_const(-1));
    for (unsigned i = 1; i < g->nred; i++) {
        struct index up = index_const(0);
        index_add(&up, &at, s->k->axis[g->red[i]]);
        at = index_sum(up, s->at[g->red[i]]);
    }
    return at;
}

/* ---- packing ---- */

static bool moves_along(const struct index *x, const struct index *at)
{
    for (unsigned i = 0; i < at->n; i++)
        if (index_uses(x, at->t[i].axis))
            return true;
    return false;
}

/*
 * Beyond the axis's end nothing is loaded.  What lanes there hold nobody stores, so that it
 * may be what an inlined map makes of it.
 */
static void guard_loads(struct sched *s, struct stmt *st, uint8_t axis)
{
    for (uint32_t i = 0; i < st->nload; i++) {
        struct nload *l = &st->load[i];
        if (!moves_along(&l->index, &s->at[axis]))
            continue;
        struct guard *g = arena_array(s->arena, l->nguard + 1U, sizeof *g);
        if (l->nguard)
            memcpy(g, l->guard, l->nguard * sizeof *g);
        g[l->nguard++] = (struct guard){s->at[axis], s->k->axis[axis]};
        l->guard = g;
    }
}

static void pack_lanes(struct sched *s, const struct panel *p, struct index box,
                       int32_t lane, int32_t width)
{
    struct index j = index_const(lane), to = lane_index(s, box);
    unsigned opened = 0;
    const struct index k = block_k(s, p);
    index_add(&to, &k, ext_const(p->nr));
    if (width > 1) {
        struct stmt *f = nb_for(s, FOR_VEC, index_const(0), index_const(width), 1);
        index_term(&j, (struct term){f->axis, 1, 0, {1, 0}});
        opened++;
    }
    s->at[s->g->col] = index_sum(last_first(s, p), j);
    struct stmt *st = nb_set_tile(s, p->packed, index_sum(to, j));
    st->place = p->k->place;
    st->value = sched_expr(s, st, p->k, p->seg->factor[s->g->image[p->nseg]]);
    if (is_cut(s))
        guard_loads(s, st, s->g->box[0]);
    if (lane + width > last_lanes(s))
        guard_loads(s, st, (uint8_t)s->g->col);
    sched_close(s, opened);
}

static int32_t fit_width(int32_t width, int32_t left)
{
    while (width > left)
        width /= 2;
    return width;
}

/*
 * Lanes that are no power of two are rounded up, where there is room: what is too much is
 * 0, and the next lanes of the box come after it.
 */
static int32_t pack_width(const struct sched *s, const struct panel *p, int32_t at)
{
    const int32_t n = last_lanes(s);
    int32_t width = 1, boxes = 1;
    for (unsigned i = 0; i + 1 < s->g->nbox; i++)
        boxes *= i ? extent(s, s->g->box[i]) : s->g->block;
    while (width < n - at && width < 16)
        width *= 2;
    return (boxes - 1) * n + at + width <= p->nr ? width : fit_width(width, n - at);
}

/* Is the box but a few vectors, each emitted by itself? */
static bool is_few(const struct sched *s, const struct panel *p)
{
    int32_t pieces = 0, n;
    for (int32_t at = 0; at < last_lanes(s); at += pack_width(s, p, at))
        pieces++;
    for (unsigned i = 0; i + 1 < s->g->nbox; i++) {
        n = i ? extent(s, s->g->box[i]) : s->g->block;
        pieces *= n > MOST_UNROLLED ? FEW_PIECES + 1 : n;
    }
    return pieces <= FEW_PIECES;
}

/* ---- rows of the image ---- */

/*
 * A load that walks rows of an image by two axes, the lanes' last and the last of the sum:
 * element lane_step * lane + sum_step * k + off of a row of `width`, beyond whose ends it
 * reads 0.
 */
struct image_row {
    const struct koperand *p;
    unsigned guard; /* which of the load's is the row's ends */
    int32_t lane_step, sum_step, off, width;
};

static bool step_of(const struct index *x, unsigned axis, int32_t *step)
{
    bool plain;
    const struct ext c = index_coef(x, axis, &plain);
    *step = c.c;
    return plain && !c.b && c.c;
}

static bool finds_row(const struct sched *s, const struct panel *p, struct image_row *r)
{
    const struct sx_node *x = &s->k->sx.node[p->seg->factor[s->g->image[p->nseg]]];
    const unsigned lane = (unsigned)s->g->col, sum = p->seg->red[p->seg->nred - 1];
    int32_t a, b;
    unsigned found = 0;
    if (x->op != SX_ARG)
        return false;
    r->p = &p->k->operand[x->a];
    if (r->p->stage || r->p->pick.from || !step_of(&r->p->index, lane, &r->lane_step) ||
        !step_of(&r->p->index, sum, &r->sum_step))
        return false;
    for (unsigned i = 0; i < r->p->nguard; i++) {
        const struct guard *g = &r->p->guard[i];
        if (!index_uses(&g->index, lane) && !index_uses(&g->index, sum))
            continue;
        if (found++ || g->index.n != 2 || !step_of(&g->index, lane, &a) ||
            !step_of(&g->index, sum, &b) || a != r->lane_step || b != r->sum_step ||
            g->bound.b || g->index.off.b || g->index.scalar)
            return false;
        r->guard = i;
        r->off = g->index.off.c;
        r->width = g->bound.c;
    }
    return found == 1;
}

/* Worth it where lanes are far apart, or few: a row then serves many vectors. */
static bool packs_rows(const struct sched *s, const struct panel *p, struct image_row *r)
{
    const int32_t vec = s->t->vec;
    if (s->g->nbox < 2 || p->seg->nred < 2 || s->scalar || !finds_row(s, p, r))
        return false;
    const int32_t n = last_lanes(s), k = extent(s, p->seg->red[p->seg->nred - 1]);
    const int32_t a = r->lane_step * (n - 1), b = r->sum_step * (k - 1);
    const int32_t least = r->off + (a < 0 ? a : 0) + (b < 0 ? b : 0);
    const int32_t most = r->off + (a > 0 ? a : 0) + (b > 0 ? b : 0);
    return r->lane_step > 1 && k <= MOST_SHARED && r->width <= 4 * vec && least >= -vec &&
           most < (r->width + vec - 1) / vec * vec + vec;
}

/* A vector of zeros, the row (and zeros to a whole vector), a vector of zeros. */
static uint16_t load_row(struct sched *s, const struct image_row *r)
{
    const int32_t vec = s->t->vec, whole = (r->width + vec - 1) / vec * vec;
    const uint16_t tile = nb_tile(s, "r", TILE_REG, DT_F32, 1, vec + whole + vec, true);
    struct guard *g = arena_array(s->scratch, r->p->nguard + 1U, sizeof *g);
    uint8_t n = 0;
    for (unsigned i = 0; i < r->p->nguard; i++)
        if (i != r->guard)
            g[n++] = (struct guard){index_substitute(&r->p->guard[i].index, s->at),
                                    r->p->guard[i].bound};
    const struct index from = index_offset(index_substitute(&r->p->index, s->at), -r->off);
    for (int32_t at = 0, w; at < r->width; at += w) {
        w = fit_width(vec, r->width - at);
        struct index j = index_const(at);
        struct stmt *f =
            w > 1 ? nb_for(s, FOR_VEC, index_const(0), index_const(w), 1) : NULL;
        if (f)
            index_term(&j, (struct term){f->axis, 1, 0, {1, 0}});
        struct stmt *st = nb_set_tile(s, tile, index_offset(j, vec));
        st->value = nb_load_buf(s, st, r->p->id, index_sum(from, j), g, n);
        if (is_cut(s))
            guard_loads(s, st, s->g->box[0]);
        sched_close(s, f ? 1 : 0);
    }
    return tile;
}

/* Every row is loaded once; lanes of all elements of the sum's last axis are of it. */
static void pack_from_rows(struct sched *s, const struct panel *p,
                           const struct image_row *r)
{
    const struct kseg *g = p->seg;
    const uint8_t sum = g->red[g->nred - 1];
    unsigned opened = sched_loops(s, g->red + 1, g->nred - 2U) + first_loop(s, p);
    const struct lanes l = box_loops(s, p);
    s->at[s->g->col] = s->at[sum] = index_const(0);
    const uint16_t row = load_row(s, r);
    struct stmt *u = nb_for(s, FOR_UNROLL, index_const(0), index_const(extent(s, sum)), 1);
    s->at[sum] = index_axis(u->axis, 1);
    const struct index k = block_k(s, p);
    for (int32_t at = 0, w; at < last_lanes(s); at += w) {
        struct index j = index_const(at), to = lane_index(s, l.at);
        struct index from = index_const(s->t->vec + r->off);
        w = fit_width(s->t->vec, last_lanes(s) - at);
        struct stmt *f =
            w > 1 ? nb_for(s, FOR_VEC, index_const(0), index_const(w), 1) : NULL;
        if (f)
            index_term(&j, (struct term){f->axis, 1, 0, {1, 0}});
        index_add(&to, &k, ext_const(p->nr));
        index_add(&from, &j, ext_const(r->lane_step));
        index_add(&from, &s->at[sum], ext_const(r->sum_step));
        struct stmt *st = nb_set_tile(s, p->packed, index_sum(to, j));
        st->place = p->k->place;
        st->value = nb_load_tile(s, st, row, from);
        sched_close(s, f ? 1 : 0);
    }
    sched_close(s, opened + l.opened + 1);
}

/* ---- strips ---- */

/* Where lane `lane` of a strip goes. */
struct turned {
    const struct panel *p;
    struct index box, last; /* number of the lane in the box, and in its last axis */
};

static struct stmt *set_turned(struct sched *s, void *cx, struct index lane)
{
    const struct turned *t = cx;
    struct index to = lane_index(s, t->box);
    const struct index k = block_k(s, t->p);
    index_add(&to, &k, ext_const(t->p->nr));
    return nb_set_tile(s, t->p->packed, index_sum(index_sum(to, t->last), lane));
}

/*
 * Lanes that lie far apart, but along the sum in rows of memory: a row's piece is as long
 * as there are rows, so that it is loaded once however few of them the cache keeps.
 */
static bool pack_strips(struct sched *s, const struct panel *p)
{
    const struct kseg *g = p->seg;
    struct strips t = {.k = p->k,
                       .factor = g->factor[s->g->image[p->nseg]],
                       .axis = (unsigned)s->g->col,
                       .along = g->red[g->nred - 1],
                       .set = set_turned};
    const unsigned n = sched_run(s, p->k, g, t.factor, t.axis, &t.length);
    if (!n || n == g->nred || is_cut(s) || last_lanes(s) % s->t->vec)
        return false;
    unsigned opened = first_loop(s, p) + sched_loops(s, g->red + 1, g->nred - n - 1);
    const struct lanes l = box_loops(s, p);
    struct turned to = {p, l.at, index_const(0)};
    t.cx = &to;
    t.rows = t.wide = s->t->vec;
    for (unsigned i = g->nred - n; i < g->nred; i++)
        s->at[g->red[i]] = index_const(0);
    struct stmt *v =
        nb_for(s, FOR_SEQ, index_const(0), index_const(last_lanes(s)), s->t->vec);
    to.last = index_axis(v->axis, 1);
    t.first = index_sum(last_first(s, p), to.last);
    sched_strips(s, &t);
    sched_close(s, opened + l.opened + 1);
    return true;
}

/*
 * The first reduced axis is innermost: guards and strides are those of the others.  A few
 * vectors share its loop.
 */
static void pack_block(struct sched *s, const struct panel *p)
{
    struct image_row row;
    if (packs_rows(s, p, &row)) {
        pack_from_rows(s, p, &row);
        return;
    }
    if (pack_strips(s, p))
        return;
    const struct kseg *g = p->seg;
    const bool few = is_few(s, p);
    unsigned opened = sched_loops(s, g->red + 1, g->nred - 1U);
    if (few)
        opened += first_loop(s, p);
    const struct lanes l = box_loops(s, p);
    const int32_t n = last_lanes(s);
    for (int32_t at = 0, w; at < n; at += w) {
        w = pack_width(s, p, at);
        const unsigned inner = few ? 0 : first_loop(s, p);
        pack_lanes(s, p, l.at, at, w);
        sched_close(s, inner);
    }
    sched_close(s, opened + l.opened);
}

/* ---- the end of rows ---- */

/* What follows for n rows, whose sums the results begin with. */
static void finish_rows(struct sched *s, const struct panel *p, struct index row,
                        int32_t n_rows)
{
    struct walk w = {
        .tile_width = p->nr, .phases = p->phases, .phase_step = p->rows * p->nr};
    struct stmt *r = nb_for(s, FOR_SEQ, index_const(0), index_const(n_rows), 1);
    s->at[s->g->row] = index_sum(row, index_axis(r->axis, 1));
    w.tile_row = index_sum(p->base_row, index_axis(r->axis, 1));
    s->tiles[p->it - s->gs.item].acc = (uint16_t)(p->results + 1);
    const struct lanes l = box_loops(s, p);
    unsigned guarded = 0;
    if (is_cut(s) && s->g->nbox > 1) {
        struct stmt *f = nb_for(s, FOR_SEQ, index_const(0), index_const(1), 1);
        nb_guard(s, f, s->at[s->g->box[0]], s->k->axis[s->g->box[0]]);
        guarded = 1;
    }
    const int32_t n = last_lanes(s) * p->phases;
    const bool one_by_one = is_cut(s) && s->g->nbox == 1;
    for (int32_t at = 0, width; at < n; at += width) {
        struct index base = index_offset(last_first(s, p), at / p->phases);
        width = one_by_one ? p->phases : fit_width(16, n - at);
        w.tile_lane = index_offset(lane_index(s, l.at), at / p->phases);
        if (one_by_one) {
            struct stmt *f = nb_for(s, FOR_SEQ, base, index_offset(base, last_lanes(s)), 1);
            f->bound = s->k->axis[s->g->col];
            base = index_axis(f->axis, 1);
            w.tile_lane = index_sum(lane_index(s, l.at), base);
            index_add(&w.tile_lane, &p->first, ext_const(-1));
            sched_points(s, &w, base, width, -1);
            nb_close(s);
            break;
        }
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
    if (!flat) {
        first_loop(s, p);
        const unsigned n =
            sched_fetching_rows(s, p->k, p->seg, 1U - s->g->image[p->nseg], row, mr);
        *k = block_k(s, p);
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

static void tile(struct sched *s, const struct panel *p, struct index row, int32_t mr)
{
    const uint16_t h = nb_tile(s, "h", TILE_REG, p->k->dtype, mr, p->nr, p->whole);
    const unsigned image = s->g->image[p->nseg];
    const bool flat = sched_in_blocks(s, p->it, p->nseg, 1U - image);
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
        rows = sched_block(s, st, p->it, p->nseg, 1U - image, k);
    } else {
        rows = sched_factor(s, st, p->it, p->nseg, 1U - image, NULL);
    }
    st->value = image ? rows : lanes;
    st->value2 = image ? lanes : rows;
    sched_close(s, opened + 1);
    move_tile(s, p, h, p->whole ? index_const(0) : row, mr, true);
    if (p->whole)
        finish_rows(s, p, row, mr);
}

static void row_tiles(struct sched *s, const struct panel *p)
{
    const int32_t full = p->rows / p->mr * p->mr, block = s->t->unit_rows;
    if (full) {
        struct stmt *u = nb_for(s, FOR_SEQ, index_const(0), index_const(full), block);
        s->row0 = index_axis(u->axis, 1);
        struct stmt *r = nb_for(s, FOR_SEQ, s->row0, index_offset(s->row0, block), p->mr);
        r->bound = ext_const(full);
        tile(s, p, index_axis(r->axis, 1), p->mr);
        sched_close(s, 2);
    }
    if (p->rows == full)
        return;
    s->row0 = index_const(full / block * block);
    tile(s, p, index_const(full), p->rows - full);
}

/* ---- panels ---- */

/* As much of k as half of L1 holds; blocks of a chunk end with it. */
static int32_t k_step(const struct sched *s, const struct panel *p)
{
    const struct ext n = s->k->axis[p->seg->red[0]];
    const int32_t most = s->t->l1 / 2 / (4 * p->nr * p->inner);
    int32_t step = most < 1 ? 1 : most;
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
        p->inner *= extent(s, p->seg->red[i]);
    p->step = k_step(s, p);
}

/* The segment's k from lo to hi. */
static void sum_range(struct sched *s, struct panel *p, struct index lo, struct index hi)
{
    struct stmt *f = nb_for(s, FOR_SEQ, lo, hi, p->step);
    f->bound = s->k->axis[p->seg->red[0]];
    p->k0 = index_axis(f->axis, 1);
    pack_block(s, p);
    row_tiles(s, p);
    nb_close(s);
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

static int32_t row_tile(const struct sched *s, int32_t rows)
{
    static const int32_t sizes[] = {12, 8, 6, 4, 3, 2, 1};
    int32_t best = 1;
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i] * s->g->nr <= s->t->mr * s->t->nr && sizes[i] <= rows && best == 1)
            best = sizes[i];
    return best;
}

/* One segment, one block of k. */
static bool is_whole(const struct sched *s, const struct panel *p, uint32_t first,
                     uint32_t end)
{
    const struct ext n = s->k->axis[p->seg->red[0]];
    return first + 1 == end && p->phases == 1 && !s->g->chunked && !n.b && p->step >= n.c;
}

struct segments { /* of the sum */
    uint32_t first, end;
};

/* One panel from begin to end. */
static void one_panel(struct sched *s, struct panel *p, struct segments g)
{
    p->whole = is_whole(s, p, g.first, g.end);
    p->results = nb_tile(s, "y", TILE_STACK, p->k->dtype,
                         p->whole ? p->mr : p->phases * p->rows, p->nr, !p->whole);
    if (s->g->phase) {
        struct stmt *f = nb_for(s, FOR_SEQ, index_const(0), index_const(p->phases), 1);
        s->at[s->g->phase - 1] = index_axis(f->axis, 1);
        index_add(&p->base_row, &s->at[s->g->phase - 1], ext_const(p->rows));
    }
    for (uint32_t i = g.first; i < g.end; i++) {
        set_segment(s, p, i);
        sum_segment(s, p);
    }
    sched_close(s, s->g->phase ? 1 : 0);
    p->base_row = index_const(0);
    if (!p->whole)
        finish_rows(s, p, index_const(0), p->rows);
}

/* A loop over the unit's panels, each with results of its own. */
static void panel_loop(struct sched *s, struct panel *p)
{
    struct index lo = index_const(0);
    index_add(&lo, &s->panel, ext_const(s->per_unit));
    struct stmt *f = nb_for(s, FOR_SEQ, lo, index_offset(lo, s->per_unit), 1);
    f->bound = ext_const((extent(s, s->g->box[0]) + s->g->block - 1) / s->g->block);
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

/* Room for the longest block of k. */
static void packed_tile(struct sched *s, struct panel *p, struct segments g)
{
    int32_t depth = 0;
    for (uint32_t i = g.first; i < g.end; i++) {
        set_segment(s, p, i);
        depth = p->step * p->inner > depth ? p->step * p->inner : depth;
    }
    p->packed = nb_tile(s, "x", TILE_STACK, p->k->dtype, depth, p->nr, true);
}

void sched_window(struct sched *s)
{
    const struct group *g = s->g;
    struct panel p = {.it = &s->gs.item[g->item[0]],
                      .nr = g->nr,
                      .phases = g->phase ? extent(s, g->phase - 1) : 1};
    const bool part = p.it->part == PART_PARTIAL;
    p.k = &s->k->stage[p.it->stage];
    const struct segments segs = {part ? p.it->seg : 0, part ? p.it->seg + 1U : p.k->nseg};
    p.rows = extent(s, g->row);
    p.mr = row_tile(s, p.rows);
    packed_tile(s, &p, segs);
    if (s->per_unit > 1) {
        panels_by_blocks(s, &p, segs);
        return;
    }
    if (g->batch || s->panels > 1) {
        index_add(&p.first, g->batch ? &s->unit : &s->panel, ext_const(g->block));
    } else {
        struct stmt *f =
            nb_for(s, FOR_SEQ, index_const(0), index_const(extent(s, g->box[0])), g->block);
        p.first = index_axis(f->axis, 1);
    }
    one_panel(s, &p, segs);
    sched_close(s, !g->batch && s->panels == 1);
}
