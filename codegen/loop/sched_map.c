/*
 * Walking columns: vectors of lanes, what is left over as narrower ones, one by one where
 * nothing else is possible.  Every element is computed by the same expression whatever the
 * width.
 */
#include "codegen/loop/sched.h"

/* ---- ranges of columns ---- */

struct range {
    struct sched *s;
    const struct cols *c;
    cols_fn *fn;
    void *cx;
    struct ext n;
};

static void guard_block(const struct range *r, struct stmt *f, struct index at)
{
    if (!r->c->len)
        return;
    index_add(&at, &r->c->lo, ext_const(-1));
    nb_guard(r->s, f, at, ext_const(r->c->len));
}

static void one_by_one(const struct range *r, struct index from)
{
    struct stmt *f = nb_for(r->s, FOR_SEQ, from, (struct index){.off = r->n}, 1);
    guard_block(r, f, index_axis(f->axis, 1));
    r->fn(r->s, r->cx, index_axis(f->axis, 1), 1, -1);
    nb_close(r->s);
}

/* A vector at a constant column. */
static void piece(const struct range *r, int32_t at, int32_t width)
{
    if (!r->c->len) {
        r->fn(r->s, r->cx, index_const(at), width, at % 16);
        return;
    }
    struct stmt *f = nb_for(r->s, FOR_SEQ, index_const(at), index_const(at + 1), 1);
    guard_block(r, f, index_axis(f->axis, 1));
    r->fn(r->s, r->cx, index_axis(f->axis, 1), width, at % 16);
    nb_close(r->s);
}

static void tail(const struct range *r, int32_t at)
{
    int32_t left = r->n.c - at;
    bool exact = r->c->lanes || left == 1;
    for (int32_t w = r->c->width / 2; w > 0 && left > 0; w /= 2) {
        if (w > left || (w < 4 && !exact))
            continue;
        piece(r, at, w);
        at += w;
        left -= w;
    }
    if (left > 0)
        one_by_one(r, index_const(at));
}

static void constant(const struct range *r)
{
    int32_t w = r->c->width, full = r->n.c / w * w;
    if (full == w && !r->c->len) {
        r->fn(r->s, r->cx, index_const(0), w, 0);
    } else if (full) {
        struct index hi = r->c->len ? index_offset(r->c->lo, r->c->len) : index_const(full);
        struct stmt *f = nb_for(r->s, FOR_SEQ, r->c->lo, hi, w);
        if (r->c->len)
            f->bound = ext_const(full);
        r->fn(r->s, r->cx, index_axis(f->axis, 1), w, w % 16 ? -1 : 0);
        nb_close(r->s);
    }
    tail(r, full);
}

/* The extent is known at run time only: whole vectors, then from the last multiple of the
 * width. */
static void dynamic(const struct range *r)
{
    struct sched *s = r->s;
    int32_t w = r->c->width;
    struct index end = {.off = r->n};
    struct index hi = r->c->len ? index_offset(r->c->lo, r->c->len) : end;
    if (w == 1) {
        struct stmt *f = nb_for(s, FOR_SEQ, r->c->lo, hi, 1);
        f->bound = r->n;
        r->fn(s, r->cx, index_axis(f->axis, 1), 1, -1);
        nb_close(s);
        return;
    }
    struct stmt *f = nb_for(s, FOR_SEQ, r->c->lo, hi, w);
    f->bound = (struct ext){r->n.c - (w - 1), r->n.b};
    r->fn(s, r->cx, index_axis(f->axis, 1), w, -1);
    nb_close(s);
    struct stmt *z = nb_for(s, FOR_SEQ, end, index_offset(end, 1), 1);
    struct index from = {0};
    index_term(&from, (struct term){z->axis, w, 0, {w, 0}});
    one_by_one(r, from);
    nb_close(s);
}

void sched_cols(struct sched *s, const struct cols *c, unsigned axis, cols_fn *fn, void *cx)
{
    struct cols own = *c;
    struct range r = {s, &own, fn, cx, s->k->axis[axis]};
    if (c->limit)
        r.n = ext_const(c->limit);
    if (s->scalar || (c->lanes && r.n.b))
        own.width = 1;
    if (r.n.b || own.width == 1)
        dynamic(&r);
    else
        constant(&r);
}

unsigned sched_loops(struct sched *s, const uint8_t *axis, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct index hi = {.off = s->k->axis[axis[i]]};
        struct stmt *f = nb_for(s, FOR_SEQ, index_const(0), hi, 1);
        s->at[axis[i]] = index_axis(f->axis, 1);
    }
    return n;
}

void sched_close(struct sched *s, unsigned n)
{
    while (n--)
        nb_close(s);
}

/* ---- values at a point ---- */

sx_id sched_value_of(struct sched *s, struct stmt *st, uint32_t stage)
{
    const struct home *h = &s->home[stage];
    return nb_load_tile(s, st, h->id, h->index);
}

static struct index stack_index(const struct sched *s)
{
    struct index x = index_const(0);
    if (s->g->col < 0)
        return x;
    x = s->at[s->g->col];
    if (s->g->across) {
        struct index up = index_const(0);
        index_add(&up, &x, ext_const(s->rows));
        return index_sum(up, sched_row_at(s));
    }
    if (s->g->nanchor && s->g->row >= 0) {
        struct index row = sched_row_at(s);
        index_add(&x, &row, s->k->axis[s->g->col]);
    }
    return x;
}

void sched_deliver(struct sched *s, struct item *it, struct index value)
{
    const struct kstage *k = &s->k->stage[it->stage];
    uint16_t tile = s->home[it->stage].id;
    for (uint32_t i = 0; i < k->nstore; i++) {
        struct stmt *st =
            nb_set_buf(s, k->store[i].buf, sched_index(s, &k->store[i].index));
        st->place = k->place;
        st->value = nb_load_tile(s, st, tile, value);
    }
    if (s->export_buf[it->stage]) {
        uint16_t buf = (uint16_t)(s->export_buf[it->stage] - 1);
        struct index at = index_const(0);
        for (unsigned i = 0; i < k->naxis; i++) {
            struct ext n = s->k->axis[k->axis[i]];
            struct index up = index_const(0);
            index_add(&up, &at, n);
            at = index_sum(up, s->at[k->axis[i]]);
        }
        struct stmt *st = nb_set_buf(s, buf, at);
        st->value = nb_load_tile(s, st, tile, value);
    }
    struct item_tiles *t = &s->tiles[it - s->gs.item];
    if (it->needed_later && t->stack) {
        struct stmt *st = nb_set_tile(s, (uint16_t)(t->stack - 1), stack_index(s));
        st->value = nb_load_tile(s, st, tile, value);
    }
}

static void lane_sum(struct sched *s, struct item *it, struct index j, int32_t lane)
{
    const struct kstage *k = &s->k->stage[it->stage];
    struct index at = index_offset(j, lane);
    if (s->g->across) {
        at = sched_row_at(s);
    } else if (lane < 0) { /* one by one: the digit of the column, which is one axis */
        at = index_const(0);
        index_term(&at, (struct term){s->at[s->g->col].t[0].axis, 1, 16, {1, 0}});
    }
    struct stmt *st = nb_stmt(s, S_ACC);
    st->place = k->place;
    st->dst_tile = true;
    st->dst = (uint16_t)(s->tiles[it - s->gs.item].acc - 1);
    st->index = at;
    st->value = sched_expr(s, st, k, k->seg[0].factor[0]);
    st->value2 = sched_expr(s, st, k, k->seg[0].factor[1]);
}

static void column_sum(struct sched *s, const struct walk *w, struct item *it,
                       struct index j)
{
    const struct kstage *k = &s->k->stage[it->stage];
    struct stmt *st = nb_stmt(s, S_ACC);
    st->place = k->place;
    st->dst_tile = true;
    st->dst = (uint16_t)(s->tiles[it - s->gs.item].acc - 1);
    st->index = w->reg_colsum || s->g->col < 0 ? j : s->at[s->g->col];
    if (w->reg_colsum)
        st->index = index_sum(j, w->tile_lane);
    st->value = sched_expr(s, st, k, k->seg[it->seg].factor[0]);
    st->value2 = sched_expr(s, st, k, k->seg[it->seg].factor[1]);
}

static void point(struct sched *s, struct item *it, struct index j)
{
    const struct kstage *k = &s->k->stage[it->stage];
    struct home *h = &s->home[it->stage];
    h->index = j;
    struct stmt *st = nb_set_tile(s, h->id, j);
    st->place = k->place;
    st->value = sched_expr(s, st, k, k->value);
    sched_deliver(s, it, j);
}

/* Can the value go straight to its buffer? */
static bool stored_only(const struct sched *s, const struct item *it)
{
    if (it->needed_later || s->export_buf[it->stage] || s->k->stage[it->stage].nstore != 1)
        return false;
    for (uint32_t i = it->stage + 1U; i < s->k->nstage; i++)
        for (uint32_t o = 0; o < s->k->stage[i].noperand; o++)
            if (s->k->stage[i].operand[o].stage &&
                s->k->stage[i].operand[o].id == it->stage)
                return false;
    return true;
}

static void point_store(struct sched *s, const struct item *it)
{
    const struct kstage *k = &s->k->stage[it->stage];
    struct stmt *st = nb_set_buf(s, k->store[0].buf, sched_index(s, &k->store[0].index));
    st->place = k->place;
    st->value = sched_expr(s, st, k, k->value);
}

/* Is the value in a tile already, since its rows were drawn? */
static bool is_drawn(const struct sched *s, const struct item *it)
{
    return s->tiles[it - s->gs.item].drawn;
}

static void open_homes(struct sched *s, const struct walk *w, struct index base,
                       int32_t width)
{
    EACH_ITEM(s, i, it)
    {
        if (it->role == ROLE_COMBINE && w->pass == 0 && !w->replay)
            sched_combine(s, it, base, width);
        if (it->role == ROLE_FOLD && w->pass == 0 && !w->replay)
            sched_fold(s, it, base, width);
        if (it->role != ROLE_POINT || it->pass != w->pass || w->replay || is_drawn(s, it) ||
            stored_only(s, it))
            continue;
        uint16_t t =
            nb_tile(s, "v", TILE_REG, s->k->stage[it->stage].dtype, 1, width, false);
        s->home[it->stage] = (struct home){.kind = HOME_TILE, .id = t};
    }
}

static struct index digit(struct index j, int32_t div, int32_t mod, int32_t coef)
{
    struct index r = index_const(0);
    for (unsigned i = 0; i < j.n; i++)
        index_term(&r, (struct term){j.t[i].axis, div, mod, {coef, 0}});
    return r;
}

static struct index anchor_index(const struct walk *w, struct index j)
{
    struct index at = w->tile_lane;
    for (unsigned i = 0; i < w->ndigit; i++)
        at = index_sum(at, digit(j, w->digit[i].div, w->digit[i].mod, w->digit[i].step));
    if (!w->ndigit)
        at = index_sum(j, at);
    index_add(&at, &w->tile_row, ext_const(w->tile_width));
    return at;
}

/* Homes whose index depends on the lane: anchors, combined sums, values of earlier walks.
 */
static void lane_homes(struct sched *s, const struct walk *w, struct index j)
{
    EACH_ITEM(s, i, it)
    {
        struct item_tiles *t = &s->tiles[it - s->gs.item];
        struct home *h = &s->home[it->stage];
        bool kept = t->stack && (it->pass < w->pass || w->replay);
        if (kept && it->role != ROLE_COLSUM) {
            *h = (struct home){HOME_TILE, (uint16_t)(t->stack - 1), stack_index(s)};
        } else if (it->role == ROLE_ANCHOR || is_drawn(s, it)) {
            const uint16_t tile = t->drawn ? t->drawn : t->acc;
            *h = (struct home){HOME_TILE, (uint16_t)(tile - 1), anchor_index(w, j)};
        } else if (it->role == ROLE_COMBINE || it->role == ROLE_FOLD) {
            h->index = j;
        }
    }
    if (s->g->across)
        sched_row_homes(s);
}

void sched_points(struct sched *s, const struct walk *w, struct index base, int32_t width,
                  int32_t lane)
{
    const int lanes = group_lanes(s->g);
    struct index j = index_const(0);
    unsigned opened = 0;
    if (lanes >= 0) {
        s->at[lanes] = base;
        opened += sched_bind(s, (unsigned)lanes);
    }
    open_homes(s, w, base, width);
    if (width > 1) {
        struct stmt *f = nb_for(s, FOR_VEC, index_const(0), index_const(width), 1);
        j = index_axis(f->axis, 1);
        s->at[lanes] = index_sum(base, w->ndigit ? index_const(0) : j);
        for (unsigned i = 0; i < w->ndigit; i++) {
            const struct walk_digit *d = &w->digit[i];
            s->at[d->axis] = index_sum(d->first, digit(j, d->div, d->mod, 1));
        }
        opened++;
    }
    lane_homes(s, w, j);
    EACH_ITEM(s, i, it)
    {
        bool here = it->pass == w->pass && !w->replay && !is_drawn(s, it);
        if (it->role == ROLE_POINT && here && stored_only(s, it))
            point_store(s, it);
        else if (it->role == ROLE_POINT && here)
            point(s, it, j);
        else if ((it->role == ROLE_COMBINE || it->role == ROLE_FOLD ||
                  it->role == ROLE_ANCHOR) &&
                 here && !s->g->chunked)
            sched_deliver(s, it, s->home[it->stage].index);
        else if (it->role == ROLE_ANCHOR && here)
            sched_partial_store(s, it, anchor_index(w, j));
        else if (it->role == ROLE_COLSUM && it->pass == w->pass && !w->no_sums)
            column_sum(s, w, it, j);
        else if (it->role == ROLE_ROWSUM && it->pass == w->pass + 1 && !w->no_sums &&
                 s->k->stage[it->stage].op == K_SUM && s->g->col >= 0)
            lane_sum(s, it, j, lane);
    }
    sched_close(s, opened);
}
