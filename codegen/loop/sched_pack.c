/*
 * Packing: operands of a group's sums are copied into the order in which tiles read them,
 * once by stages before the group's own, or by every unit what it needs itself.  Prologues
 * are evaluated on the way, once an element.
 *
 *   PANELS  columns:  [column / nr][k][column % nr], the last panel filled up with zeros
 *   BLOCKS  rows:     [row / n][k][row % n], where rows are contiguous in memory; n are
 *                     those of a tile, or 24 where tiles may begin anywhere
 *   ROWS    rows:     [row][k], for prologues of rows that lie along k
 *   CHUNK   rows:     [k][row % 24], for prologues of sums in chunks (sched_chunk.c)
 *
 * k is the row-major number over the segment's reduced axes.
 */
#include <string.h>

#include "codegen/loop/sched.h"

enum {
    STRIP = 4 /* elements along k that are turned at once: 128 bits */
};

/* ---- indices ---- */

static struct index flat_k(const struct sched *s, const struct kseg *g)
{
    struct index at = index_const(0);
    for (unsigned i = 0; i < g->nred; i++) {
        struct index up = index_const(0);
        index_add(&up, &at, s->k->axis[g->red[i]]);
        at = index_sum(up, s->at[g->red[i]]);
    }
    return at;
}

/* first * size of k, factor by factor: at most one holds B. */
static struct index times_k(const struct sched *s, struct index first, const struct kseg *g)
{
    for (unsigned i = 0; i < g->nred; i++) {
        struct index up = index_const(0);
        index_add(&up, &first, s->k->axis[g->red[i]]);
        first = up;
    }
    return first;
}

static struct index scaled(struct index x, int32_t by)
{
    struct index r = index_const(0);
    index_add(&r, &x, ext_const(by));
    return r;
}

static struct index panel_index(const struct sched *s, const struct kseg *g,
                                const struct pack *p, struct index base, struct index lane,
                                int32_t width)
{
    int32_t nr = s->pack_nr;
    if (p->in_tile)
        base = index_const(0);
    if (width < nr && !p->in_tile) { /* a part of a panel: which, and where it begins */
        const struct index col = base;
        base = index_const(col.off.c / nr * nr);
        lane.off.c += col.off.c % nr;
        if (col.n) {
            index_term(&base, (struct term){col.t[0].axis, nr, 0, {nr, 0}});
            index_term(&lane, (struct term){col.t[0].axis, 1, nr, {1, 0}});
        }
    }
    struct index at = times_k(s, base, g);
    struct index k = scaled(flat_k(s, g), nr);
    return index_sum(index_sum(at, k), lane);
}

/* Of a tile that begins with row `at` of a block, its rows there and as many of the next
 * block. */
static void in_two_blocks(struct index *first, struct index *in, int32_t at, int32_t width)
{
    const uint8_t row = in->t[0].axis;
    const int32_t half = width - at;
    *in = index_const(at);
    index_term(in, (struct term){row, 1, half, {1, 0}});
    index_term(in, (struct term){row, half, 0, {-at, 0}});
    first->off.c -= at;
    index_term(first, (struct term){row, half, 0, {width, 0}});
}

static struct index block_index(const struct sched *s, const struct kseg *g,
                                const struct pack *p, struct index row0, struct index row,
                                struct index k)
{
    struct index in = row, first = row0;
    index_add(&in, &row0, ext_const(-1));
    if (!row0.n && row0.off.c % p->width && in.n == 1)
        in_two_blocks(&first, &in, row0.off.c % p->width, p->width);
    for (unsigned i = 0; i < p->nshared; i++) {
        first = scaled(first, s->k->axis[p->shared[i]].c);
        index_add(&first, &s->at[p->shared[i]], ext_const(p->width));
    }
    return index_sum(index_sum(times_k(s, first, g), scaled(k, p->width)), in);
}

bool sched_in_blocks(const struct sched *s, const struct item *it, uint32_t seg,
                     unsigned which)
{
    return s->packs[(it->stage * 8U + seg) * 2 + which].kind == PACK_BLOCKS;
}

sx_id sched_block(struct sched *s, struct stmt *st, const struct item *it, uint32_t seg,
                  unsigned which, struct index first, struct index k)
{
    const struct kseg *g = &s->k->stage[it->stage].seg[seg];
    const struct pack *p = &s->packs[(it->stage * 8U + seg) * 2 + which];
    const struct index at = block_index(s, g, p, first, s->at[s->g->row], k);
    return nb_load_buf(s, st, p->buf, at, NULL, 0);
}

struct nload sched_panel_load(const struct sched *s, const struct item *it, uint32_t seg,
                              unsigned which, const struct tile_point *t)
{
    const struct kseg *g = &s->k->stage[it->stage].seg[seg];
    const struct pack *p = &s->packs[(it->stage * 8U + seg) * 2 + which];
    return (struct nload){.tile = p->in_tile,
                          .id = p->in_tile ? (uint16_t)(p->buf - 1) : p->buf,
                          .index = panel_index(s, g, p, t->base, t->lane, t->width)};
}

sx_id sched_factor(struct sched *s, struct stmt *st, const struct item *it, uint32_t seg,
                   unsigned which, const struct tile_point *t)
{
    const struct kstage *k = &s->k->stage[it->stage];
    const struct kseg *g = &k->seg[seg];
    const struct pack *p = &s->packs[(it->stage * 8U + seg) * 2 + which];
    if (p->kind == PACK_NONE)
        return sched_expr(s, st, k, g->factor[which]);
    if (p->kind == PACK_CHUNK)
        return sched_chunk_factor(s, st, it, seg, which);
    if (p->kind == PACK_BLOCKS)
        return sched_block(s, st, it, seg, which, t->block, flat_k(s, g));
    if (p->kind == PACK_ROWS)
        return nb_load_buf(s, st, p->buf,
                           index_sum(times_k(s, s->at[s->g->row], g), flat_k(s, g)), NULL,
                           0);
    const struct nload l = sched_panel_load(s, it, seg, which, t);
    return nb_load(s, st, &l);
}

/* ---- the packing stages ---- */

struct job { /* one pack, at the unit it is for */
    const struct item *it;
    uint32_t seg;
    unsigned which;
    struct pack *p;
    struct index unit;
    struct index first; /* row of the block, of packed rows */
};

static struct stmt *set_packed(struct sched *s, const struct pack *p, struct index at)
{
    return p->in_tile ? nb_set_tile(s, (uint16_t)(p->buf - 1), at)
                      : nb_set_buf(s, p->buf, at);
}

static void put(struct sched *s, const struct job *j, struct index at)
{
    const struct kstage *k = &s->k->stage[j->it->stage];
    struct stmt *st = set_packed(s, j->p, at);
    st->place = k->place;
    st->value = sched_expr(s, st, k, k->seg[j->seg].factor[j->which]);
}

/* ---- strips ---- */

/* What is computed for a convolution is so along the last axis. */
static unsigned run_of_computed(const struct sched *s, const struct kseg *g,
                                int32_t *length)
{
    const struct ext e = s->k->axis[g->red[g->nred - 1]];
    *length = e.c;
    return s->g->window && !e.b && e.c >= STRIP;
}

/* Where element `lane` of the rows or columns of a job goes, the loops of k being open. */
typedef struct index place_fn(const struct sched *s, const struct job *j,
                              struct index lane);

/* Lanes of a pack: rows or columns [first, first + n), a multiple of `size` at once. */
struct lanes {
    const struct job *j;
    unsigned axis;
    struct index first, lane;
    int32_t n, size;
    place_fn *place;
};

static struct stmt *set_lane(struct sched *s, void *cx, struct index lane)
{
    const struct lanes *l = cx;
    return set_packed(s, l->j->p, l->place(s, l->j, index_sum(l->lane, lane)));
}

/* Of lanes whose rows of memory lie along k: how many of its axes do, and their length; or
 * 0. */
static unsigned strips_run(const struct sched *s, const struct lanes *l, int32_t *length)
{
    const struct kstage *k = &s->k->stage[l->j->it->stage];
    const struct kseg *g = &k->seg[l->j->seg];
    const sx_id factor = g->factor[l->j->which];
    if (l->n % l->size)
        return 0;
    return sched_plain_load(s, k, factor) ? sched_run(s, k, g, factor, l->axis, length)
                                          : run_of_computed(s, g, length);
}

/*
 * Such lanes in strips.  A vector of them after the other walks all of k, so that no more
 * rows than it has lanes are in the cache at once.  False: there is no such row.
 */
static bool put_strips(struct sched *s, struct lanes l)
{
    const struct kstage *k = &s->k->stage[l.j->it->stage];
    const struct kseg *g = &k->seg[l.j->seg];
    struct strips t = {.k = k,
                       .factor = g->factor[l.j->which],
                       .axis = l.axis,
                       .along = g->red[g->nred - 1],
                       .rows = l.size,
                       .wide = STRIP,
                       .set = set_lane,
                       .cx = &l};
    const unsigned n = strips_run(s, &l, &t.length);
    if (!n)
        return false;
    unsigned opened = sched_loops(s, g->red, g->nred - n);
    for (unsigned i = g->nred - n; i < g->nred; i++)
        s->at[g->red[i]] = index_const(0);
    if (l.n > l.size) {
        struct stmt *v = nb_for(s, FOR_SEQ, index_const(0), index_const(l.n), l.size);
        l.first = index_sum(l.first, index_axis(v->axis, 1));
        l.lane = index_sum(l.lane, index_axis(v->axis, 1));
        opened++;
    }
    t.first = l.first;
    sched_strips(s, &t);
    sched_close(s, opened);
    return true;
}

/* ---- panels, blocks, rows ---- */

/* Column `lane` of the unit's panel. */
static struct index panel_place(const struct sched *s, const struct job *j,
                                struct index lane)
{
    const struct kseg *g = &s->k->stage[j->it->stage].seg[j->seg];
    return panel_index(s, g, j->p, scaled(j->unit, s->pack_nr), lane, s->pack_nr);
}

/* Columns [base, base + width) of a panel from its lane `lane` on. */
static void put_panel(struct sched *s, const struct job *j, struct index base, int32_t lane,
                      int32_t width, bool zero)
{
    const struct kseg *g = &s->k->stage[j->it->stage].seg[j->seg];
    const struct lanes all = {
        j,         (unsigned)s->g->col, index_offset(base, lane), index_const(lane), width,
        s->t->vec, panel_place};
    if (!zero && put_strips(s, all))
        return;
    unsigned opened = sched_loops(s, g->red, g->nred);
    struct index l = index_const(lane);
    if (width > 1) {
        struct stmt *f = nb_for(s, FOR_VEC, index_const(0), index_const(width), 1);
        index_term(&l, (struct term){f->axis, 1, 0, {1, 0}});
        opened++;
    }
    s->at[s->g->col] = index_sum(base, l);
    struct index at = panel_index(s, g, j->p, base, l, s->pack_nr);
    if (zero) {
        struct stmt *st = set_packed(s, j->p, at);
        st->value = sx_const(&s->n->sx, 0);
    } else {
        put(s, j, at);
    }
    sched_close(s, opened);
}

static unsigned only_if(struct sched *s, struct index index, struct ext bound)
{
    nb_guard(s, nb_for(s, FOR_SEQ, index_const(0), index_const(1), 1), index, bound);
    return 1;
}

static void pack_panels(struct sched *s, const struct job *j)
{
    struct ext n = s->k->axis[s->g->col];
    int32_t nr = s->pack_nr;
    struct index base = scaled(j->unit, nr), last = base;
    bool even = n.b == 0 && n.c % nr == 0;
    unsigned guarded = even ? 0 : only_if(s, base, (struct ext){n.c - nr + 1, n.b});
    put_panel(s, j, base, 0, nr, false);
    sched_close(s, guarded);
    if (even)
        return;
    last.off = ext_add(last.off,
                       (struct ext){nr - 1 - n.c, -n.b}); /* how much is missing, less 1 */
    only_if(s, last, ext_const(nr));
    if (n.b) {
        for (int32_t l = 0; l < nr; l++) {
            only_if(s, index_offset(base, l), n);
            put_panel(s, j, base, l, 1, false);
            nb_close(s);
        }
    } else {
        int32_t left = n.c % nr;
        for (int32_t l = 0, w = nr; l < nr;) {
            int32_t room = l < left ? left - l : nr - l;
            while (w > room)
                w /= 2;
            put_panel(s, j, base, l, w, l >= left);
            l += w;
            w = nr;
        }
    }
    nb_close(s);
}

/* Row `lane` of the block that begins with row `first`. */
static struct index block_place(const struct sched *s, const struct job *j,
                                struct index lane)
{
    const struct kseg *g = &s->k->stage[j->it->stage].seg[j->seg];
    return block_index(s, g, j->p, j->first, index_sum(j->first, lane), flat_k(s, g));
}

/* The rows of a unit, block by block in strips; false: there are none. */
static bool put_block_strips(struct sched *s, const struct job *j, struct index row0)
{
    const int32_t block = j->p->width;
    int32_t length, size = BLOCK_LANES;
    while (block % size)
        size /= 2;
    struct job in = *j;
    struct lanes all = {.j = &in,
                        .axis = (unsigned)s->g->row,
                        .lane = index_const(0),
                        .n = block,
                        .size = size,
                        .place = block_place};
    if (!strips_run(s, &all, &length))
        return false;
    const int32_t rows = s->t->unit_rows;
    struct stmt *b = nb_for(s, FOR_SEQ, index_const(0), index_const(rows), block);
    all.first = in.first = index_sum(row0, index_axis(b->axis, 1));
    put_strips(s, all);
    nb_close(s);
    return true;
}

static void full_blocks(struct sched *s, const struct job *j, struct index row0)
{
    const struct kseg *g = &s->k->stage[j->it->stage].seg[j->seg];
    const int32_t block = j->p->width;
    struct job in = *j;
    if (put_block_strips(s, j, row0))
        return;
    const unsigned opened = sched_loops(s, g->red, g->nred);
    struct stmt *b =
        nb_for(s, FOR_UNROLL, index_const(0), index_const(s->t->unit_rows / block), 1);
    in.first = index_sum(row0, index_axis(b->axis, block));
    for (int32_t at = 0, n; at < block; at += n) {
        n = sched_fit(BLOCK_LANES, block - at);
        struct stmt *v = nb_for(s, FOR_VEC, index_const(0), index_const(n), 1);
        const struct index lane = index_offset(index_axis(v->axis, 1), at);
        s->at[s->g->row] = index_sum(in.first, lane);
        put(s, j, block_place(s, &in, lane));
        nb_close(s);
    }
    sched_close(s, opened + 1);
}

/* Rows of a unit that is not full, one by one. */
static void part_of_blocks(struct sched *s, const struct job *j, struct index row0)
{
    const struct kseg *g = &s->k->stage[j->it->stage].seg[j->seg];
    const struct ext n = s->k->axis[s->g->row];
    const int32_t unit = s->t->unit_rows, block = j->p->width;
    struct index rest = row0;
    rest.off = ext_add(rest.off, (struct ext){unit - 1 - n.c, -n.b});
    struct stmt *part = nb_for(s, FOR_SEQ, index_const(0), index_const(unit), 1);
    nb_guard(s, part, rest, ext_const(unit));
    nb_guard(s, part, index_sum(row0, index_axis(part->axis, 1)), n);
    struct job in = *j;
    struct index at = index_const(0);
    index_term(&at, (struct term){part->axis, block, 0, {block, 0}});
    in.first = index_sum(row0, at);
    s->at[s->g->row] = index_sum(row0, index_axis(part->axis, 1));
    unsigned opened = sched_loops(s, j->p->shared, j->p->nshared);
    opened += sched_loops(s, g->red, g->nred);
    put(s, j, block_index(s, g, j->p, in.first, s->at[s->g->row], flat_k(s, g)));
    sched_close(s, opened + 1);
}

static void pack_blocks(struct sched *s, const struct job *j)
{
    const struct ext n = s->k->axis[s->g->row];
    const int32_t unit = s->t->unit_rows;
    const struct index row0 = scaled(j->unit, unit);
    const bool even = n.b == 0 && n.c % unit == 0;
    unsigned opened = even ? 0 : only_if(s, row0, (struct ext){n.c - unit + 1, n.b});
    opened += sched_loops(s, j->p->shared, j->p->nshared);
    full_blocks(s, j, row0);
    sched_close(s, opened);
    if (!even)
        part_of_blocks(s, j, row0);
}

static void put_row(struct sched *s, void *cx, struct index base, int32_t width,
                    int32_t lane)
{
    const struct job *j = cx;
    const struct kseg *g = &s->k->stage[j->it->stage].seg[j->seg];
    struct index l = index_const(0);
    (void)lane;
    if (width > 1) {
        struct stmt *f = nb_for(s, FOR_VEC, index_const(0), index_const(width), 1);
        l = index_axis(f->axis, 1);
    }
    s->at[g->red[g->nred - 1]] = index_sum(base, l);
    put(s, j, index_sum(times_k(s, s->at[s->g->row], g), flat_k(s, g)));
    sched_close(s, width > 1);
}

static void pack_rows(struct sched *s, struct job *j)
{
    const struct kseg *g = &s->k->stage[j->it->stage].seg[j->seg];
    struct index row0 = scaled(j->unit, s->t->unit_rows);
    struct cols cols = {.width = 16};
    struct stmt *r = nb_for(s, FOR_SEQ, row0, index_offset(row0, s->t->unit_rows), 1);
    r->bound = s->k->axis[s->g->row];
    s->at[s->g->row] = index_axis(r->axis, 1);
    unsigned opened = sched_loops(s, g->red, g->nred - 1U);
    sched_cols(s, &cols, g->red[g->nred - 1], put_row, j);
    sched_close(s, opened + 1);
}

static void pack_buffer(struct sched *s, const struct job *j)
{
    const struct kseg *g = &s->k->stage[j->it->stage].seg[j->seg];
    bool panels = j->p->kind == PACK_PANELS;
    const int32_t inner = panels ? s->pack_nr : j->p->width;
    j->p->group = s->g;
    if (j->p->in_tile) {
        j->p->buf = (uint16_t)(1 + nb_tile(s, "w", TILE_STACK, DT_F32,
                                           sched_size_of_k(s, g).c, inner, false));
        return;
    }
    struct ext dim[HYP_RANK];
    uint8_t n = 0;
    dim[n++] = s->k->axis[panels ? s->g->col : s->g->row];
    for (unsigned i = 0; i < j->p->nshared; i++)
        dim[n++] = s->k->axis[j->p->shared[i]];
    for (unsigned i = 0; i < g->nred; i++)
        dim[n++] = s->k->axis[g->red[i]];
    if (j->p->kind != PACK_ROWS)
        dim[n++] = ext_const(inner);
    const char *name = panels ? "panels" : j->p->kind == PACK_ROWS ? "rows" : "blocks";
    j->p->buf = nb_private(s, name, DT_F32, dim, n, j->p->kind == PACK_ROWS ? 1 : inner);
}

static void pack_unit(struct sched *s, struct job *j)
{
    if (j->p->kind == PACK_PANELS)
        pack_panels(s, j);
    else if (j->p->kind == PACK_BLOCKS)
        pack_blocks(s, j);
    else
        pack_rows(s, j);
}

static struct ext pack_extent(const struct sched *s, const struct job *j, int32_t *div)
{
    bool panels = j->p->kind == PACK_PANELS;
    *div = panels ? s->pack_nr : s->t->unit_rows;
    return s->k->axis[panels ? s->g->col : s->g->row];
}

/* Packs of constant extent share a stage: units 0.. are the first's, then the second's. */
static void pack_together(struct sched *s, struct job *job, uint32_t n)
{
    int32_t total = 0, div;
    for (uint32_t i = 0; i < n; i++) {
        struct ext e = pack_extent(s, &job[i], &div);
        total += e.b ? 0 : (e.c + div - 1) / div;
    }
    if (total == 0)
        return;
    nb_stage(s, ext_const(total), 1, 1);
    struct index unit = index_axis(s->open[0].stmt->axis, 1);
    for (uint32_t i = 0; i < n; i++) {
        struct ext e = pack_extent(s, &job[i], &div);
        if (e.b)
            continue;
        int32_t units = (e.c + div - 1) / div;
        unsigned guarded = units == total ? 0 : only_if(s, unit, ext_const(units));
        job[i].unit = unit;
        pack_unit(s, &job[i]);
        sched_close(s, guarded);
        unit = index_offset(unit, -units);
    }
    nb_end_stage(s);
}

static void pack_alone(struct sched *s, struct job *j)
{
    int32_t div;
    struct ext e = pack_extent(s, j, &div);
    if (!e.b)
        return;
    nb_stage(s, e, div, 1);
    j->unit = index_axis(s->open[0].stmt->axis, 1);
    pack_unit(s, j);
    nb_end_stage(s);
}

/* ---- packs that are there already ---- */

/* The term that t is where the axes of `from` are called as in `to`. */
static struct term renamed(struct term t, const struct kseg *from, const struct kseg *to)
{
    for (unsigned i = 0; i < from->nred; i++)
        if (t.axis == from->red[i]) {
            t.axis = to->red[i];
            return t;
        }
    return t;
}

static bool has_term(const struct index *x, struct term t)
{
    for (unsigned i = 0; i < x->n; i++)
        if (x->t[i].axis == t.axis && x->t[i].div == t.div && x->t[i].mod == t.mod &&
            ext_eq(x->t[i].coef, t.coef))
            return true;
    return false;
}

/* One load of a buffer that this kernel does not write, from the same place. */
static bool same_factor(const struct sched *s, const struct kstage *k, const struct kseg *g,
                        unsigned w, const struct kstage *k2, const struct kseg *g2,
                        unsigned w2)
{
    const struct sx_node *x = &s->k->sx.node[g->factor[w]];
    const struct sx_node *y = &s->k->sx.node[g2->factor[w2]];
    if (x->op != SX_ARG || y->op != SX_ARG || g->nred != g2->nred)
        return false;
    const struct koperand *p = &k->operand[x->a], *q = &k2->operand[y->a];
    if (p->stage && q->stage)
        return p->id == q->id && memcmp(g->red, g2->red, g->nred) == 0;
    if (p->stage || q->stage || p->id != q->id || p->nguard || q->nguard || p->pick.from ||
        q->pick.from || s->k->buf[p->id].use != BUF_READ || p->index.n != q->index.n ||
        !ext_eq(p->index.off, q->index.off) || p->index.scalar || q->index.scalar)
        return false;
    for (unsigned i = 0; i < g->nred; i++)
        if (!ext_eq(s->k->axis[g->red[i]], s->k->axis[g2->red[i]]))
            return false;
    for (unsigned i = 0; i < q->index.n; i++)
        if (!has_term(&p->index, renamed(q->index.t[i], g2, g)))
            return false;
    return true;
}

/* An earlier sum's pack with the same content; NULL: none. */
static const struct pack *packed_before(const struct sched *s, const struct item *it,
                                        uint32_t seg, unsigned which)
{
    const struct pack *mine = &s->packs[(it->stage * 8U + seg) * 2 + which];
    const struct kstage *k = &s->k->stage[it->stage];
    for (uint32_t i = 0; i < (it->stage * 8U + seg) * 2 + which; i++) {
        const struct pack *p = &s->packs[i];
        const struct kstage *o = &s->k->stage[i / 16];
        if (p->buf && p->kind == mine->kind && p->in_tile == mine->in_tile &&
            (!p->in_tile || p->group == s->g) && p->axis == mine->axis &&
            p->width == mine->width && p->nshared == mine->nshared &&
            !memcmp(p->shared, mine->shared, mine->nshared) &&
            same_factor(s, k, &k->seg[seg], which, o, &o->seg[i / 2 % 8], i % 2))
            return p;
    }
    return NULL;
}

/* Of the packs in tiles, or of all others. */
static uint32_t find_jobs(struct sched *s, struct job **job, bool in_tile)
{
    uint32_t n = 0, cap = 0;
    *job = NULL;
    EACH_ITEM(s, i, it)
    {
        for (uint32_t g = 0; it->role == ROLE_ANCHOR && g < s->k->stage[it->stage].nseg;
             g++)
            for (unsigned w = 0; w < 2; w++) {
                struct pack *p = &s->packs[(it->stage * 8U + g) * 2 + w];
                if (p->kind == PACK_NONE || p->in_tile != in_tile)
                    continue;
                p->axis = p->kind == PACK_PANELS ? s->g->col : s->g->row;
                p->width = p->kind == PACK_PANELS   ? s->pack_nr
                           : p->kind == PACK_BLOCKS ? s->pack_mr
                                                    : 1;
                const struct pack *same = packed_before(s, it, g, w);
                const struct job j = {.it = it, .seg = g, .which = w, .p = p};
                if (same)
                    p->buf = same->buf;
                else
                    pack_buffer(s, &j);
                if (same)
                    continue;
                *job = arena_grow(s->scratch, *job, &cap, n + 1, sizeof **job);
                (*job)[n++] = j;
            }
    }
    return n;
}

void sched_pack(struct sched *s)
{
    if (!sched_packs(s))
        return;
    EACH_ITEM(s, i, it)
    {
        for (uint32_t x = 0; (sched_packs_in_units(s) || s->g->nouter) && !s->g->window &&
                             it->role == ROLE_ANCHOR && x < 16;
             x++)
            s->packs[it->stage * 16U + x].in_tile =
                s->packs[it->stage * 16U + x].kind == PACK_PANELS;
    }
    struct job *job;
    const uint32_t n = find_jobs(s, &job, false);
    pack_together(s, job, n);
    for (uint32_t i = 0; i < n; i++)
        pack_alone(s, &job[i]);
}

void sched_pack_unit(struct sched *s, struct index panel)
{
    struct job *job;
    const uint32_t n = find_jobs(s, &job, true);
    for (uint32_t i = 0; i < n; i++) {
        job[i].unit = panel;
        pack_unit(s, &job[i]);
    }
}
