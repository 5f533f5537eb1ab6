/*
 * What the second factor of a convolution reads for the lanes of a panel, through strides
 * and guards, laid down as [k][lane] block by block of k: from whole rows of the image
 * where lanes are a stride apart, in strips where they lie along the sum, else vector by
 * vector.
 */
#include <string.h>

#include "codegen/loop/sched_panel.h"

enum { MOST_UNROLLED = 4, FEW_PIECES = 8, MOST_SHARED = 8 };

/* ---- loops ---- */

struct lanes panel_box_loops(struct sched *s, const struct panel *p)
{
    const struct group *g = s->g;
    struct lanes l = {index_const(0), 0};
    for (unsigned i = 0; i + 1 < g->nbox; i++) {
        const int32_t n = i ? panel_extent(s, g->box[i]) : g->block;
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

int32_t panel_last_lanes(const struct sched *s)
{
    const struct group *g = s->g;
    return g->nbox == 1 ? g->block : panel_extent(s, g->col);
}

struct index panel_lane(const struct sched *s, struct index box)
{
    struct index at = index_const(0);
    index_add(&at, &box, ext_const(panel_last_lanes(s)));
    return at;
}

struct index panel_last_first(const struct sched *s, const struct panel *p)
{
    return s->g->nbox == 1 ? p->first : index_const(0);
}

bool panel_is_cut(const struct sched *s)
{
    return s->g->batch || panel_extent(s, s->g->box[0]) % s->g->block != 0;
}

unsigned panel_first_loop(struct sched *s, const struct panel *p)
{
    const uint8_t axis = p->seg->red[0];
    struct stmt *f = nb_for(s, FOR_SEQ, p->k0, index_offset(p->k0, p->step), 1);
    f->bound = s->k->axis[axis];
    s->at[axis] = index_axis(f->axis, 1);
    return 1;
}

struct index panel_k(const struct sched *s, const struct panel *p)
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
    struct index j = index_const(lane), to = panel_lane(s, box);
    unsigned opened = 0;
    const struct index k = panel_k(s, p);
    index_add(&to, &k, ext_const(p->nr));
    if (width > 1) {
        struct stmt *f = nb_for(s, FOR_VEC, index_const(0), index_const(width), 1);
        index_term(&j, (struct term){f->axis, 1, 0, {1, 0}});
        opened++;
    }
    s->at[s->g->col] = index_sum(panel_last_first(s, p), j);
    struct stmt *st = nb_set_tile(s, p->packed, index_sum(to, j));
    st->place = p->k->place;
    st->value = sched_expr(s, st, p->k, p->seg->factor[s->g->image[p->nseg]]);
    if (panel_is_cut(s))
        guard_loads(s, st, s->g->box[0]);
    if (lane + width > panel_last_lanes(s))
        guard_loads(s, st, (uint8_t)s->g->col);
    sched_close(s, opened);
}

/*
 * Lanes that are no power of two are rounded up, where there is room: what is too much is
 * 0, and the next lanes of the box come after it.
 */
static int32_t pack_width(const struct sched *s, const struct panel *p, int32_t at)
{
    const int32_t n = panel_last_lanes(s);
    int32_t width = 1, boxes = 1;
    for (unsigned i = 0; i + 1 < s->g->nbox; i++)
        boxes *= i ? panel_extent(s, s->g->box[i]) : s->g->block;
    while (width < n - at && width < 16)
        width *= 2;
    return (boxes - 1) * n + at + width <= p->nr ? width : sched_fit(width, n - at);
}

/* Is the box but a few vectors, each emitted by itself? */
static bool is_few(const struct sched *s, const struct panel *p)
{
    int32_t pieces = 0, n;
    for (int32_t at = 0; at < panel_last_lanes(s); at += pack_width(s, p, at))
        pieces++;
    for (unsigned i = 0; i + 1 < s->g->nbox; i++) {
        n = i ? panel_extent(s, s->g->box[i]) : s->g->block;
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
    if (panel_last_lanes(s) != panel_extent(s, s->g->col) || p->seg->nred < 2 ||
        s->scalar || !finds_row(s, p, r))
        return false;
    const int32_t n = panel_last_lanes(s),
                  k = panel_extent(s, p->seg->red[p->seg->nred - 1]);
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
            g[n++] =
                (struct guard){sched_index(s, &r->p->guard[i].index), r->p->guard[i].bound};
    const struct index from = index_offset(sched_index(s, &r->p->index), -r->off);
    for (int32_t at = 0, w; at < r->width; at += w) {
        w = sched_fit(vec, r->width - at);
        struct index j = index_const(at);
        struct stmt *f =
            w > 1 ? nb_for(s, FOR_VEC, index_const(0), index_const(w), 1) : NULL;
        if (f)
            index_term(&j, (struct term){f->axis, 1, 0, {1, 0}});
        struct stmt *st = nb_set_tile(s, tile, index_offset(j, vec));
        st->value = nb_load_buf(s, st, r->p->id, index_sum(from, j), g, n);
        if (panel_is_cut(s))
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
    unsigned opened = sched_loops(s, g->red + 1, g->nred - 2U) + panel_first_loop(s, p);
    const struct lanes l = panel_box_loops(s, p);
    s->at[s->g->col] = s->at[sum] = index_const(0);
    const uint16_t row = load_row(s, r);
    struct stmt *u =
        nb_for(s, FOR_UNROLL, index_const(0), index_const(panel_extent(s, sum)), 1);
    s->at[sum] = index_axis(u->axis, 1);
    const struct index k = panel_k(s, p);
    for (int32_t at = 0, w; at < panel_last_lanes(s); at += w) {
        struct index j = index_const(at), to = panel_lane(s, l.at);
        struct index from = index_const(s->t->vec + r->off);
        w = sched_fit(s->t->vec, panel_last_lanes(s) - at);
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
    struct index to = panel_lane(s, t->box);
    const struct index k = panel_k(s, t->p);
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
    if (!n || n == g->nred || panel_is_cut(s) || panel_last_lanes(s) % s->t->vec)
        return false;
    unsigned opened = panel_first_loop(s, p) + sched_loops(s, g->red + 1, g->nred - n - 1);
    const struct lanes l = panel_box_loops(s, p);
    struct turned to = {p, l.at, index_const(0)};
    t.cx = &to;
    t.rows = t.wide = s->t->vec;
    for (unsigned i = g->nred - n; i < g->nred; i++)
        s->at[g->red[i]] = index_const(0);
    struct stmt *v =
        nb_for(s, FOR_SEQ, index_const(0), index_const(panel_last_lanes(s)), s->t->vec);
    to.last = index_axis(v->axis, 1);
    t.first = index_sum(panel_last_first(s, p), to.last);
    sched_strips(s, &t);
    sched_close(s, opened + l.opened + 1);
    return true;
}

/*
 * The first reduced axis is innermost: guards and strides are those of the others.  A few
 * vectors share its loop.
 */
void panel_pack(struct sched *s, const struct panel *p)
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
        opened += panel_first_loop(s, p);
    const struct lanes l = panel_box_loops(s, p);
    const int32_t n = panel_last_lanes(s);
    for (int32_t at = 0, w; at < n; at += w) {
        w = pack_width(s, p, at);
        const unsigned inner = few ? 0 : panel_first_loop(s, p);
        pack_lanes(s, p, l.at, at, w);
        sched_close(s, inner);
    }
    sched_close(s, opened + l.opened);
}
