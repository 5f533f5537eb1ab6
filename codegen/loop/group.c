/*
 * Cutting a kernel into groups.  A group is a set of stages that one walk over (rows,
 * columns) can compute: sums by register tiles, maps on top of them, sums along a row, sums
 * down the columns. Greedy and in stage order: the first item left opens a group and
 * decides its axes, then every later item joins whose operands are known there.  What does
 * not join is computed by a later group from stored values, so any valid kernel is served.
 */
#include <assert.h>
#include <string.h>

#include "codegen/loop/cut.h"

enum { MAX_ANCHORS = 4, MAX_TILE_COLS = 2048, MAX_ROW_COLS = 16384 };

bool sched_has_axis(const uint8_t *list, unsigned n, int axis)
{
    for (unsigned i = 0; i < n; i++)
        if (list[i] == axis)
            return true;
    return false;
}

/* ---- facts about stages ---- */

static bool buf_written(const struct kernel *k, uint16_t buf)
{
    for (uint32_t i = 0; i < k->nstage; i++)
        for (uint32_t o = 0; o < k->stage[i].nstore; o++)
            if (k->stage[i].store[o].buf == buf)
                return true;
    return false;
}

bool stage_is_pinned(const struct kernel *k, uint32_t stage)
{
    const struct kstage *s = &k->stage[stage];
    for (uint32_t o = 0; o < s->noperand; o++) {
        const struct koperand *p = &s->operand[o];
        if (p->stage ? k->stage[p->id].op == K_MAP && k->stage[p->id].nstore == 0 &&
                           stage_is_pinned(k, p->id)
                     : buf_written(k, p->id))
            return true;
    }
    return false;
}

/* A map that depends on buffers alone and may be evaluated anywhere, any number of times.
 */
static bool is_pure(const struct cutter *c, uint32_t stage)
{
    const struct kstage *s = &c->k->stage[stage];
    if (s->op != K_MAP || s->nstore || c->pinned[stage])
        return false;
    for (uint32_t o = 0; o < s->noperand; o++)
        if (s->operand[o].pick.from ||
            (s->operand[o].stage && !is_pure(c, s->operand[o].id)))
            return false;
    return true;
}

/* Data that decide an index are loaded, not computed in place. */
static bool is_index(const struct kernel *k, uint32_t stage)
{
    for (uint32_t i = stage + 1; i < k->nstage; i++) {
        const struct kstage *r = &k->stage[i];
        for (uint32_t o = 0; o < r->noperand; o++) {
            const uint16_t from = r->operand[o].pick.from;
            if (from && r->operand[from - 1].stage && r->operand[from - 1].id == stage)
                return true;
        }
        if (r->op == K_SCATTER && r->operand[r->at].stage && r->operand[r->at].id == stage)
            return true;
    }
    return false;
}

static bool reduces(const struct kstage *s, const struct kstage *operand)
{
    for (uint8_t i = 0; i < operand->naxis; i++)
        if (!sched_has_axis(s->axis, s->naxis, operand->axis[i]))
            return true;
    return false;
}

/* Are digits all that it has of an axis? Of a few places, then, which its readers walk with
 * their channels as one. */
static bool is_of_digits(const struct kstage *s)
{
    uint32_t digits = 0, plain = 0;
    for (uint32_t o = 0; o < s->noperand; o++)
        for (unsigned i = 0; i < s->operand[o].index.n; i++) {
            const struct term *t = &s->operand[o].index.t[i];
            *(term_is_plain(t) ? &plain : &digits) |= 1U << t->axis;
        }
    return digits & ~plain;
}

struct item *cut_provider(const struct cutter *c, uint32_t stage)
{
    for (uint32_t i = 0; i < c->gs->nitem; i++)
        if (c->gs->item[i].stage == stage && c->gs->item[i].part != PART_PARTIAL)
            return &c->gs->item[i];
    return NULL;
}

/* Prologues of sums, what only these read, and cheap maps over fewer axes than their reader
 * has. */
static bool wants_inline(const struct cutter *c, uint32_t stage)
{
    const struct kernel *k = c->k;
    const struct kstage *s = &k->stage[stage];
    bool used = false, elsewhere = false, cheap = sx_cost(&k->sx, s->value) <= SCHED_CHEAP;
    for (uint32_t i = stage + 1; i < k->nstage; i++)
        for (uint32_t o = 0; o < k->stage[i].noperand; o++) {
            const struct kstage *r = &k->stage[i];
            if (!r->operand[o].stage || r->operand[o].id != stage)
                continue;
            used = true;
            elsewhere |= !c->gs->inlined[i];
            if (r->op == K_SUM && r->order != ORDER_LANES && reduces(r, s) &&
                (cheap || !across_sums(c, r)))
                return true;
            if (cheap && (is_of_digits(s) || (s->naxis < r->naxis && !across_keeps(c, s))))
                return true;
        }
    return !used || !elsewhere;
}

/* The number of the largest, where only its value is wanted, or the other way round. */
static bool is_unread_fold(const struct kernel *k, uint32_t stage)
{
    if (k->stage[stage].op != K_FOLD || k->stage[stage].nstore)
        return false;
    for (uint32_t i = stage + 1; i < k->nstage; i++)
        for (uint32_t o = 0; o < k->stage[i].noperand; o++)
            if (k->stage[i].operand[o].stage && k->stage[i].operand[o].id == stage)
                return false;
    return true;
}

static void find_inlined(struct cutter *c)
{
    for (uint32_t i = c->k->nstage; i-- > 0;)
        c->gs->inlined[i] = is_unread_fold(c->k, i) ||
                            (is_pure(c, i) && wants_inline(c, i) && !is_index(c->k, i));
}

/* ---- items ---- */

static void add_item(struct groups *gs, uint32_t stage, uint32_t seg, enum item_part part)
{
    gs->item[gs->nitem++] = (struct item){
        .stage = (uint16_t)stage, .seg = (uint16_t)seg, .part = part, .group = -1};
}

static void make_items(struct cutter *c)
{
    const struct kernel *k = c->k;
    uint32_t n = 1;
    for (uint32_t i = 0; i < k->nstage; i++)
        n += 1 + k->stage[i].nseg;
    c->gs->item = arena_array(c->a, n, sizeof *c->gs->item);
    for (uint32_t i = 0; i < k->nstage; i++) {
        const struct kstage *s = &k->stage[i];
        if (c->gs->inlined[i])
            continue;
        if (s->op != K_SUM || s->order != ORDER_CHUNK) {
            add_item(c->gs, i, 0, PART_ALL);
            continue;
        }
        for (uint32_t g = 0; g < s->nseg; g++)
            add_item(c->gs, i, g, PART_PARTIAL);
        add_item(c->gs, i, 0, PART_COMBINE);
    }
}

static void add_dep(struct deps *d, struct item *it)
{
    for (unsigned i = 0; i < d->n; i++)
        if (d->item[i] == it)
            return;
    if (d->n < MAX_DEPS)
        d->item[d->n++] = it;
}

void cut_deps(const struct cutter *c, uint32_t stage, struct deps *d)
{
    const struct kstage *s = &c->k->stage[stage];
    for (uint32_t o = 0; o < s->noperand; o++) {
        if (!s->operand[o].stage)
            continue;
        uint32_t id = s->operand[o].id;
        if (c->gs->inlined[id])
            cut_deps(c, id, d);
        else
            add_dep(d, cut_provider(c, id));
    }
}

static bool deps_known(const struct cutter *c, const struct item *it, struct deps *d)
{
    d->n = 0;
    if (it->part == PART_COMBINE) {
        for (uint32_t i = 0; i < c->gs->nitem; i++) {
            const struct item *p = &c->gs->item[i];
            if (p->stage == it->stage && p->part == PART_PARTIAL &&
                (p->group < 0 || p->group == c->now))
                return false;
        }
        return true;
    }
    cut_deps(c, it->stage, d);
    for (unsigned i = 0; i < d->n; i++)
        if (d->item[i]->group < 0)
            return false;
    return true;
}

static bool deps_outside(const struct cutter *c, const struct deps *d)
{
    for (unsigned i = 0; i < d->n; i++)
        if (d->item[i]->group == c->now)
            return false;
    return true;
}

/* ---- roles ---- */

/* Which of the group's axes the space has: 1 rows, 2 columns; -1 where it is something
 * else. */
static int space_of(const struct group *g, const struct kstage *s)
{
    int have = 0;
    unsigned o = 0;
    for (uint8_t i = 0; i < s->naxis; i++) {
        if (o < g->nouter && s->axis[i] == g->outer[o])
            o++;
        else if (s->axis[i] == g->row && !(have & 1))
            have |= 1;
        else if (s->axis[i] == g->col && !(have & 2))
            have |= 2;
        else
            return -1;
    }
    return o == g->nouter ? have : -1;
}

static int whole(const struct group *g)
{
    return (g->row >= 0 ? 1 : 0) | (g->col >= 0 ? 2 : 0);
}

/* The walk in which a value over rows and columns is computed. */
static uint8_t point_pass(const struct cutter *c, const struct deps *d)
{
    uint8_t pass = 0;
    for (unsigned i = 0; i < d->n; i++)
        if (d->item[i]->group == c->now && d->item[i]->pass > pass)
            pass = d->item[i]->pass;
    return pass;
}

static uint8_t row_level(const struct cutter *c, const struct deps *d)
{
    uint8_t level = 0;
    for (unsigned i = 0; i < d->n; i++) {
        const struct item *p = d->item[i];
        uint8_t at = (uint8_t)(sched_is_row_value(p) ? p->pass : p->pass + 1);
        if (p->group == c->now && p->role != ROLE_UNITMAP && at > level)
            level = at;
    }
    return level;
}

static int32_t most_kept(const struct cutter *c, const struct group *g)
{
    return g->nanchor  ? MAX_TILE_COLS
           : g->across ? sched_most_across(c->t) / LANES
                       : MAX_ROW_COLS;
}

/* Values of an earlier walk are kept in a tile: that must fit. */
static bool tiles_fit(const struct cutter *c, const struct group *g, const struct deps *d,
                      uint8_t pass, bool along_row)
{
    for (unsigned i = 0; i < d->n; i++) {
        const struct item *p = d->item[i];
        if (p->group != c->now || sched_is_row_value(p) || p->role == ROLE_UNITMAP ||
            g->col < 0)
            continue;
        if (p->pass == pass && !(along_row && g->nanchor))
            continue;
        struct ext n = c->k->axis[g->col];
        if (n.b || n.c > most_kept(c, g))
            return false;
    }
    return true;
}

static bool fit_map(const struct cutter *c, const struct group *g, struct item *it,
                    const struct deps *d)
{
    const struct kstage *s = &c->k->stage[it->stage];
    int have = space_of(g, s);
    if (have < 0)
        return false;
    if (have == whole(g)) {
        it->role = ROLE_POINT;
        it->pass = point_pass(c, d);
        return tiles_fit(c, g, d, it->pass, false);
    }
    if (g->col >= 0 && have == (whole(g) & 1)) {
        it->role = ROLE_ROWMAP;
        it->pass = row_level(c, d);
        return s->nstore == 0 || g->across ||
               it->pass > 0; /* stored once: not in every block of columns */
    }
    it->role = ROLE_UNITMAP;
    return have == 0 && s->nstore == 0 && deps_outside(c, d);
}

static bool fit_row(const struct cutter *c, const struct group *g, struct item *it,
                    const struct deps *d)
{
    const struct kstage *s = &c->k->stage[it->stage];
    const uint8_t *red = s->op == K_FOLD ? s->red : s->seg[0].red;
    uint8_t nred = s->op == K_FOLD ? s->nred : s->seg[0].nred;
    bool own = g->nitem == 0; /* it opens the group: any reduced axes */
    if (g->chunked || space_of(g, s) != (whole(g) & 1) || (!own && g->col < 0))
        return false;
    if (g->col >= 0 && (nred != 1 || red[0] != g->col))
        return false;
    it->role = ROLE_ROWSUM;
    it->pass = (uint8_t)(point_pass(c, d) + 1);
    bool fold = s->op == K_FOLD;
    return tiles_fit(c, g, d, fold ? UINT8_MAX : (uint8_t)(it->pass - 1), true);
}

/*
 * Sums share a walk where they share the rows' factor: it is loaded once for all of their
 * tiles.  A factor of columns alone is shared through its packed panels, and the tiles stay
 * larger in walks of their own.
 */
static bool share_rows(const struct cutter *c, const struct group *g, const struct item *it)
{
    const struct item *first = NULL;
    for (uint32_t i = 0; i < g->nitem && !first; i++)
        if (c->gs->item[g->item[i]].role == ROLE_ANCHOR)
            first = &c->gs->item[g->item[i]];
    if (!first || g->row < 0 || g->col < 0 || g->chunked)
        return true;
    const struct kstage *s = &c->k->stage[it->stage], *f = &c->k->stage[first->stage];
    for (uint32_t i = 0; i < s->noperand; i++)
        for (uint32_t o = 0; o < f->noperand; o++) {
            const struct koperand *x = &s->operand[i], *y = &f->operand[o];
            if (x->stage == y->stage && x->id == y->id &&
                (x->stage ? sched_has_axis(c->k->stage[x->id].axis,
                                           c->k->stage[x->id].naxis, g->row)
                          : index_uses(&x->index, (unsigned)g->row) &&
                                index_uses(&y->index, (unsigned)g->row)))
                return true;
        }
    return false;
}

static bool fit_anchor(const struct cutter *c, const struct group *g, struct item *it,
                       const struct deps *d)
{
    const struct kstage *s = &c->k->stage[it->stage];
    if (g->nanchor == MAX_ANCHORS || g->rowsum || !deps_outside(c, d) ||
        !share_rows(c, g, it))
        return false;
    if (g->chunked && g->nitem) { /* the same blocks as the group's first */
        const struct item *f = &c->gs->item[g->item[0]];
        const struct kstage *fs = &c->k->stage[f->stage];
        if (it->part != PART_PARTIAL || fs->chunk != s->chunk ||
            !ext_eq(c->k->axis[fs->seg[f->seg].red[0]], c->k->axis[s->seg[it->seg].red[0]]))
            return false;
    } else if (!g->chunked && it->part == PART_PARTIAL) {
        return false;
    }
    it->role = ROLE_ANCHOR;
    return space_of(g, s) == whole(g);
}

static bool fit_partial(const struct cutter *c, const struct group *g, struct item *it,
                        const struct deps *d)
{
    const struct kstage *s = &c->k->stage[it->stage];
    const struct kseg *seg = &s->seg[it->seg];
    if (g->chunked)
        return fit_anchor(c, g, it, d);
    if (g->nouter || g->row < 0 || seg->nred != 1 || seg->red[0] != g->row ||
        s->chunk != c->t->unit_rows || space_of(g, s) != (whole(g) & 2))
        return false;
    it->role = ROLE_COLSUM;
    it->pass = point_pass(c, d);
    if (g->rowsum && g->col >= 0 && c->k->axis[g->col].b)
        return false;
    return tiles_fit(c, g, d, it->pass, false);
}

/* Over all of the convolution's axes, in any order. */
static bool fit_window(const struct cutter *c, const struct group *g, struct item *it,
                       const struct deps *d)
{
    const struct kstage *s = &c->k->stage[it->stage];
    if (g->nitem == 0) {
        it->role = ROLE_ANCHOR;
        return true;
    }
    const struct kstage *first = &c->k->stage[c->gs->item[g->item[0]].stage];
    it->role = ROLE_POINT;
    it->pass = point_pass(c, d);
    return !g->chunked && s->op == K_MAP && it->pass == 0 && s->naxis == first->naxis &&
           !memcmp(s->axis, first->axis, s->naxis);
}

static bool fit_across(const struct cutter *c, const struct group *g, struct item *it,
                       const struct deps *d)
{
    const struct kstage *s = &c->k->stage[it->stage];
    if (s->op == K_MAP)
        return fit_map(c, g, it, d);
    return across_is_chain(s) && fit_row(c, g, it, d);
}

static bool fit_role(const struct cutter *c, const struct group *g, struct item *it,
                     const struct deps *d)
{
    const struct kstage *s = &c->k->stage[it->stage];
    if (g->window)
        return fit_window(c, g, it, d);
    if (g->across)
        return fit_across(c, g, it, d);
    if (it->part == PART_PARTIAL)
        return !g->scatter && fit_partial(c, g, it, d);
    if (g->chunked || (g->scatter && g->nitem))
        return false;
    if (s->op == K_SCATTER) {
        it->role = ROLE_SCATTER;
        return g->scatter;
    }
    if (it->part == PART_COMBINE) {
        it->role = ROLE_COMBINE;
        return space_of(g, s) == whole(g);
    }
    if (s->op == K_MAP)
        return fit_map(c, g, it, d);
    if (sched_is_window_fold(c->k, s)) {
        it->role = ROLE_FOLD;
        return !g->nanchor && !g->rowsum && g->col == s->axis[s->naxis - 1] &&
               space_of(g, s) == whole(g);
    }
    if (s->op == K_FOLD || s->order == ORDER_LANES)
        return fit_row(c, g, it, d);
    return fit_anchor(c, g, it, d);
}

/* ---- in place ---- */

static bool reads_buf(const struct cutter *c, uint32_t stage, uint16_t buf)
{
    const struct kstage *s = &c->k->stage[stage];
    for (uint32_t o = 0; o < s->noperand; o++) {
        const struct koperand *p = &s->operand[o];
        if (p->stage ? c->gs->inlined[p->id] && reads_buf(c, p->id, buf) : p->id == buf)
            return true;
    }
    return false;
}

/* Whoever reads the old value of what this item stores must have read it by then. */
static bool stores_wait(const struct cutter *c, const struct item *it)
{
    const struct kstage *s = &c->k->stage[it->stage];
    if (it->part == PART_PARTIAL)
        return true;
    for (uint32_t o = 0; o < s->nstore; o++)
        for (uint32_t i = 0; i < c->gs->nitem; i++) {
            const struct item *r = &c->gs->item[i];
            if (r == it || r->part == PART_COMBINE ||
                !reads_buf(c, r->stage, s->store[o].buf))
                continue;
            if (r->group < 0)
                return false;
            if (r->group == c->now && (r->role != it->role || r->pass > it->pass))
                return false;
        }
    return true;
}

/* ---- making groups ---- */

static void group_add(struct cutter *c, struct group *g, uint32_t i)
{
    struct item *it = &c->gs->item[i];
    it->group = c->now;
    g->item[g->nitem++] = i;
    g->nanchor += it->role == ROLE_ANCHOR;
    g->rowsum |= it->role == ROLE_ROWSUM;
    g->colsum |= it->role == ROLE_COLSUM;
    uint8_t passes = (uint8_t)(it->pass + 1);
    if (passes > g->npass)
        g->npass = passes;
}

static bool try_add(struct cutter *c, struct group *g, uint32_t i)
{
    struct item *it = &c->gs->item[i];
    struct deps d;
    it->pass = 0;
    if (!deps_known(c, it, &d) || !fit_role(c, g, it, &d) || !stores_wait(c, it))
        return false;
    group_add(c, g, i);
    return true;
}

/* Does a sum over one axis of space read it with stride 1 only, so that lanes suit it? */
static bool axis_is_contiguous(const struct cutter *c, uint32_t stage, unsigned axis)
{
    const struct kstage *s = &c->k->stage[stage];
    bool any = false;
    for (uint32_t o = 0; o < s->noperand; o++) {
        const struct koperand *p = &s->operand[o];
        if (p->stage && c->gs->inlined[p->id] && !axis_is_contiguous(c, p->id, axis))
            return false;
        if (p->stage || !index_uses(&p->index, axis))
            continue;
        bool plain;
        struct ext e = index_coef(&p->index, axis, &plain);
        if (!plain || !ext_eq(e, ext_const(1)))
            return false;
        any = true;
    }
    return any || s->op == K_MAP;
}

static void axes_from_space(struct group *g, const struct kstage *s, bool has_col)
{
    int n = s->naxis;
    if (has_col && n > 0)
        g->col = s->axis[--n];
    if (n > 0)
        g->row = s->axis[--n];
    for (int i = 0; i < n; i++)
        g->outer[g->nouter++] = s->axis[i];
}

/* Columns are contiguous places that `at` is the same for; the rest of the space is outer.
 */
static void scatter_axes(const struct kernel *k, struct group *g, const struct kstage *s)
{
    const struct koperand *at = &s->operand[s->at];
    g->scatter = true;
    for (unsigned i = s->naxis; i-- > 0;) {
        const uint8_t x = s->axis[i];
        bool walked = index_uses(&at->index, x);
        for (unsigned q = 0; at->stage && q < k->stage[at->id].naxis; q++)
            walked |= k->stage[at->id].axis[q] == x;
        for (unsigned q = 0; q < at->nguard; q++)
            walked |= index_uses(&at->guard[q].index, x);
        if (x != s->along && !walked && g->col < 0)
            g->col = x;
    }
    for (unsigned i = 0; i < s->naxis; i++)
        if (s->axis[i] != s->along && s->axis[i] != g->col)
            g->outer[g->nouter++] = s->axis[i];
}

static bool is_convolution(const struct cutter *c, struct group *g, const struct item *it)
{
    const struct kstage *s = &c->k->stage[it->stage];
    const bool part = it->part == PART_PARTIAL;
    const bool whole = it->part == PART_ALL && s->order == ORDER_SEQ;
    if (s->op != K_SUM || !(part || whole) || sched_has_digits(c->k) ||
        !window_open(c->k, c->gs->inlined, c->t, g, s, it->seg, part ? 1 : s->nseg))
        return false;
    g->chunked = part;
    return true;
}

/* What the factor of the columns walks, and what the other one does, in all segments. */
struct factors {
    uint32_t cols, rows;
};

static bool find_factors(const struct cutter *c, const struct kstage *s, int col,
                         struct factors *f)
{
    *f = (struct factors){0, UINT32_MAX};
    for (uint32_t i = 0; i < s->nseg; i++) {
        uint32_t set[2] = {0};
        for (unsigned w = 0; w < 2; w++)
            if (!sched_factor_axes(c->k, c->gs->inlined, s, s->seg[i].factor[w], &set[w]))
                return false;
        const unsigned of_cols = set[1] >> col & 1;
        f->cols |= set[of_cols];
        f->rows &= set[1 - of_cols];
    }
    return s->nseg > 0;
}

/*
 * Rows share what is loaded for their columns.  Where the next to last axis is walked by
 * the factor of the columns alone, as in a transposed convolution of a single place, an
 * axis of the other factor makes the rows.
 */
static void rows_of_other_factor(const struct cutter *c, struct group *g,
                                 const struct kstage *s)
{
    struct factors f;
    int found = -1;
    if (g->row < 0 || g->col < 0 || !find_factors(c, s, g->col, &f) ||
        (f.rows | ~f.cols) >> g->row & 1)
        return;
    for (unsigned i = 0; i < g->nouter; i++)
        if ((f.rows & ~f.cols) >> g->outer[i] & 1)
            found = g->outer[i];
    if (found < 0)
        return;
    g->nouter = 0;
    g->row = found;
    for (unsigned i = 0; i < s->naxis; i++)
        if (s->axis[i] != g->row && s->axis[i] != g->col)
            g->outer[g->nouter++] = s->axis[i];
}

static void open_group(const struct cutter *c, struct group *g, const struct item *it)
{
    const struct kstage *s = &c->k->stage[it->stage];
    g->row = g->col = -1;
    if (is_convolution(c, g, it) || across_opens(c, g, it))
        return;
    if (it->part == PART_PARTIAL) {
        const struct kseg *seg = &s->seg[it->seg];
        if (seg->nred == 1 && s->naxis <= 1 && s->chunk == c->t->unit_rows) {
            g->row = seg->red[0];
            g->col = s->naxis ? s->axis[0] : -1;
            return;
        }
        g->chunked = true;
        axes_from_space(g, s, true);
    } else if (s->op == K_SCATTER) {
        scatter_axes(c->k, g, s);
    } else if (sched_is_window_fold(c->k, s)) {
        axes_from_space(g, s, true);
    } else if (s->op == K_FOLD || (s->op == K_SUM && s->order == ORDER_LANES)) {
        axes_from_space(g, s, false);
        const uint8_t *red = s->op == K_FOLD ? s->red : s->seg[0].red;
        if ((s->op == K_FOLD ? s->nred : s->seg[0].nred) == 1)
            g->col = red[0];
    } else {
        bool rows = s->op == K_SUM && it->part == PART_ALL && s->naxis == 1 &&
                    !axis_is_contiguous(c, it->stage, s->axis[0]);
        axes_from_space(g, s, !rows);
        if (s->op == K_SUM && s->order == ORDER_SEQ)
            rows_of_other_factor(c, g, s);
    }
}

static bool ready(struct cutter *c, const struct item *it)
{
    struct deps d;
    return it->group < 0 && deps_known(c, it, &d) && stores_wait(c, it);
}

static void make_group(struct cutter *c, uint32_t first)
{
    struct groups *gs = c->gs;
    struct group *g = &gs->group[gs->ngroup++];
    *g = (struct group){.item = arena_array(c->a, gs->nitem, sizeof *g->item)};
    open_group(c, g, &gs->item[first]);
    bool opened = try_add(c, g, first);
    assert(opened);
    (void)opened;
    for (uint32_t i = 0; i < gs->nitem; i++)
        if (gs->item[i].group < 0)
            try_add(c, g, i);
}

static void find_needed(struct cutter *c)
{
    struct groups *gs = c->gs;
    for (uint32_t i = 0; i < gs->nitem; i++) {
        struct deps d = {.n = 0};
        const struct item *it = &gs->item[i];
        if (it->part != PART_COMBINE)
            cut_deps(c, it->stage, &d);
        for (unsigned k = 0; k < d.n; k++) {
            struct item *p = d.item[k];
            const struct group *g = &gs->group[it->group];
            if (p->group != it->group || sched_is_row_value(p) || p->role == ROLE_UNITMAP)
                continue;
            bool fold = c->k->stage[it->stage].op == K_FOLD;
            if (it->role == ROLE_ROWSUM)
                p->needed_later |= g->nanchor || fold || p->pass + 1 < it->pass;
            else
                p->needed_later |= p->pass < it->pass ||
                                   (g->nanchor && it->role == ROLE_COLSUM && g->rowsum);
        }
    }
}

void sched_group(const struct kernel *k, const struct target *t, struct arena *a,
                 struct groups *out)
{
    struct cutter c = {.k = k, .t = t, .a = a, .gs = out};
    memset(out, 0, sizeof *out);
    out->inlined = arena_array(a, k->nstage + 1, sizeof *out->inlined);
    c.pinned = arena_array(a, k->nstage + 1, sizeof *c.pinned);
    for (uint32_t i = 0; i < k->nstage; i++)
        c.pinned[i] = stage_is_pinned(k, i);
    find_inlined(&c);
    make_items(&c);
    out->group = arena_array(a, out->nitem + 1, sizeof *out->group);
    for (bool more = true; more; c.now++) {
        more = false;
        for (uint32_t i = 0; i < out->nitem && !more; i++)
            if (ready(&c, &out->item[i])) {
                make_group(&c, i);
                more = true;
            }
    }
    across_passes(&c);
    find_needed(&c);
}
