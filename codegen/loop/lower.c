/*
 * Lowering a group to a kernel: axes from the group's space, one stage a node.
 *
 * Node by node in graph order.  Operands become stage references inside the group, buffer
 * loads with row-major indices outside, and scalars where the host computes them.  A form's
 * box is rewritten over kernel axes: axes that the read-out port fixes become (+-)(axis -
 * offset), the others are reduced; a load that may leave its tensor carries guards, which
 * is zero padding.
 */
#include "codegen/loop/lower_in.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/arena.h"

/* ---- indices ---- */

void lower_strides(struct lower *l, const struct ext *dim, unsigned rank, struct ext *out)
{
    struct ext s = {1, 0};
    for (unsigned i = rank; i-- > 0;) {
        out[i] = s;
        if (s.b && dim[i].b && i > 0)
            l->failed = true;
        s = dim[i].b ? (struct ext){dim[i].c * s.c, dim[i].b * s.c}
                     : ext_scale(s, dim[i].c);
    }
}

struct index lower_axis(struct lower *l, struct ext extent)
{
    static const char names[] = "nopqrstuijklmvwxyzabcdefghABCDEF";
    _Static_assert(LOOP_AXES < sizeof names, "an axis without a name");
    struct kernel *k = l->k;
    uint8_t at = 0;
    while (at < k->naxis && (l->taken[at] || !ext_eq(k->axis[at], extent)))
        at++;
    if (at == LOOP_AXES) {
        l->failed = true;
        return index_const(0);
    }
    if (at == k->naxis) {
        k->axis[k->naxis] = extent;
        k->axis_name[k->naxis++] = names[at];
    }
    l->taken[at] = true;
    return index_axis(at, 1);
}

void lower_value_at(const struct lower *l, const struct type *t, struct index at[HYP_RANK])
{
    uint8_t d[HYP_RANK], m[HYP_RANK];
    const unsigned n = type_space(t, d), nm = type_space(&l->group->main, m);

    for (unsigned i = 0; i < t->rank; i++)
        at[i] = index_const(0);
    for (unsigned i = 0; i < n; i++) /* same space: one by one; a row value: the row axis */
        at[d[i]] = l->main[m[n == nm ? i : 0]];
}

/* ---- buffers, scalars, draws ---- */

uint16_t lower_buffer(struct lower *l, value_id v)
{
    const value_id base = l->f->base[v];
    const uint32_t slot = l->slot(l->cx, base);
    const struct type *t = graph_type(l->g, base);

    for (uint16_t i = 0; i < l->k->nbuf; i++)
        if (l->out->slot[i] == slot)
            return i;
    l->k->buf = arena_grow(l->a, l->k->buf, &l->cbuf, l->k->nbuf + 1, sizeof *l->k->buf);
    l->out->slot =
        arena_grow(l->a, l->out->slot, &l->cslot, l->k->nbuf + 1, sizeof(uint32_t));
    l->out->value =
        arena_grow(l->a, l->out->value, &l->cvalue, l->k->nbuf + 1, sizeof(value_id));
    struct kbuf *b = &l->k->buf[l->k->nbuf];
    b->name = arena_fmt(l->a, "b%u", l->k->nbuf);
    b->dtype = t->dtype;
    b->rank = t->rank;
    memcpy(b->dim, t->dim, sizeof b->dim);
    l->out->slot[l->k->nbuf] = slot;
    l->out->value[l->k->nbuf] = base;
    return (uint16_t)l->k->nbuf++;
}

uint16_t lower_scalar(struct lower *l, struct binding b)
{
    for (uint16_t i = 0; i < l->out->nscalar; i++)
        if (b.kind == BIND_HOST && l->out->scalar[i].kind == BIND_HOST &&
            l->out->scalar[i].host == b.host)
            return i;
    l->out->scalar =
        arena_grow(l->a, l->out->scalar, &l->cscalar, l->out->nscalar + 1, sizeof b);
    l->out->scalar[l->out->nscalar] = b;
    l->k->nscalar = l->out->nscalar + 1;
    return (uint16_t)l->out->nscalar++;
}

static uint32_t rng_of(struct lower *l, uint32_t site, int8_t batch_axis)
{
    const struct site *s = &l->g->site[site];
    const int8_t sample = s->per_sample ? batch_axis : -1;
    const uint32_t lo = (uint32_t)s->hash, hi = (uint32_t)(s->hash >> 32);

    for (uint32_t i = 0; i < l->k->nrng; i++) {
        const uint16_t j = l->k->rng[i].scalar;
        if (l->out->scalar[j].word == lo && l->out->scalar[j + 1].word == hi &&
            l->k->rng[i].sample_axis == sample)
            return i;
    }
    const uint16_t at = lower_scalar(l, (struct binding){.kind = BIND_WORD, .word = lo});
    lower_scalar(l, (struct binding){.kind = BIND_WORD, .word = hi});
    lower_scalar(l, (struct binding){.kind = BIND_DRAW_LO});
    lower_scalar(l, (struct binding){.kind = BIND_DRAW_HI});
    l->k->rng = arena_grow(l->a, l->k->rng, &l->crng, l->k->nrng + 1, sizeof *l->k->rng);
    l->k->rng[l->k->nrng] = (struct krng){at, sample};
    return l->k->nrng++;
}

/* ---- stages ---- */

struct kstage *lower_stage(struct lower *l, const struct node *n, uint8_t op)
{
    l->k->stage =
        arena_grow(l->a, l->k->stage, &l->cstage, l->k->nstage + 1, sizeof *l->k->stage);
    struct kstage *s = &l->k->stage[l->k->nstage++];
    s->op = op;
    s->dtype = graph_type(l->g, n->out0)->dtype;
    s->place = n->place;
    s->name = l->g->place[n->place].name;
    return s;
}

/* Axes of a dim, the most significant first. */
static void add_axes(struct kstage *s, const struct index *at)
{
    bool done[LOOP_TERMS] = {false};
    for (unsigned n = 0; n < at->n; n++) {
        unsigned best = LOOP_TERMS;
        for (unsigned i = 0; i < at->n; i++)
            if (!done[i] && (best == LOOP_TERMS || at->t[i].coef.c > at->t[best].coef.c))
                best = i;
        done[best] = true;
        s->axis[s->naxis++] = at->t[best].axis;
    }
}

void lower_space(struct lower *l, struct kstage *s, const struct type *t)
{
    struct index at[HYP_RANK];
    lower_value_at(l, t, at);
    for (unsigned i = 0; i < t->rank; i++)
        add_axes(s, &at[i]);
}

int lower_made(const struct lower *l, value_id v)
{
    const value_id base = l->f->base[v];
    return l->stage_of[base] ? l->stage_of[base] - 1 : -1;
}

uint32_t lower_add_operand(struct lower *l, struct kstage *s, struct koperand o)
{
    struct koperand *p = arena_array(l->a, s->noperand + 1, sizeof *p);
    if (s->noperand)
        memcpy(p, s->operand, s->noperand * sizeof *p);
    p[s->noperand] = o;
    s->operand = p;
    return s->noperand++;
}

static struct index address(struct lower *l, const struct type *t, const struct index *at)
{
    struct index ix = index_const(0);
    struct ext stride[HYP_RANK] = {{0}};
    lower_strides(l, t->dim, t->rank, stride);
    for (unsigned i = 0; i < t->rank; i++)
        if (stride[i].b && at[i].off.b)
            l->failed = true;
        else
            index_add(&ix, &at[i], stride[i]);
    return ix;
}

struct koperand lower_load(struct lower *l, value_id v, const struct index *at)
{
    return (struct koperand){.id = lower_buffer(l, v),
                             .index = address(l, graph_type(l->g, v), at)};
}

static void add_store(struct lower *l, struct kstage *s, value_id v)
{
    const struct type *t = graph_type(l->g, v);
    struct kstore *p = arena_array(l->a, s->nstore + 1, sizeof *p);
    struct index at[HYP_RANK];

    if (s->nstore)
        memcpy(p, s->store, s->nstore * sizeof *p);
    lower_value_at(l, t, at);
    p[s->nstore++] = (struct kstore){lower_buffer(l, v), address(l, t, at)};
    s->store = p;
}

void lower_guard(struct lower *l, struct koperand *o, struct index ix, struct ext bound)
{
    struct guard *p = arena_array(l->a, o->nguard + 1U, sizeof *p);
    if (o->nguard)
        memcpy(p, o->guard, o->nguard * sizeof *p);
    p[o->nguard++] = (struct guard){ix, bound};
    o->guard = p;
}

void lower_finish(struct lower *l, value_id v)
{
    struct kstage *s = &l->k->stage[l->k->nstage - 1];
    l->stage_of[v] = (uint16_t)l->k->nstage;
    if (l->f->stored[v])
        add_store(l, s, v);
    l->k->place =
        arena_grow(l->a, l->k->place, &l->cplace, l->k->nplace + 1, sizeof(place_id));
    l->k->place[l->k->nplace++] = s->place;
}

/* ---- maps ---- */

struct map_cx {
    struct lower *l;
    struct kstage *s;
    const struct node *n;
    sx_id *arg;                /* memo of operands */
    struct index at[HYP_RANK]; /* the output's dims */
};

uint8_t lower_type(const struct lower *l, value_id v)
{
    const uint8_t dt = graph_type(l->g, v)->dtype;
    return dt == DT_F32 ? SX_FLOAT : dt == DT_I32 ? SX_I32 : SX_BOOL;
}

static sx_id host_scalar(struct lower *l, value_id v)
{
    const struct binding b = {.kind = BIND_HOST, .host = v};
    return sx_scalar(&l->k->sx, lower_scalar(l, b), lower_type(l, v));
}

static sx_id map_operand(struct map_cx *m, uint32_t i)
{
    struct lower *l = m->l;
    const value_id v = graph_in(l->g, m->n)[i];
    const struct type *t = graph_type(l->g, v), *out = graph_type(l->g, m->n->out0);
    const uint8_t sxt = lower_type(l, v);
    int8_t to[HYP_RANK];
    struct index at[HYP_RANK];

    if (l->f->host[l->g->value[v].def])
        return host_scalar(l, v);
    const int made = lower_made(l, v);
    if (made >= 0)
        return sx_arg(&l->k->sx,
                      lower_add_operand(
                          l, m->s, (struct koperand){.stage = true, .id = (uint16_t)made}),
                      sxt);
    if (!map_align(out, t, to))
        l->failed = true;
    for (unsigned d = 0; d < t->rank; d++)
        at[d] = to[d] < 0 ? index_const(0) : m->at[to[d]];
    return sx_arg(&l->k->sx, lower_add_operand(l, m->s, lower_load(l, v, at)), sxt);
}

/* The number of an index, as an expression. */
static sx_id number_of(struct lower *l, struct sxb *b, const struct index *x)
{
    sx_id e = x->n && !x->off.c ? 0 : sx_int(b, x->off.c);
    if (x->off.b)
        l->failed = true;
    for (unsigned i = 0; i < x->n; i++) {
        sx_id term = sx_axis(b, x->t[i].axis);
        if (x->t[i].coef.c != 1)
            term = sx_make(b, SX_IMUL, term, sx_int(b, x->t[i].coef.c), 0);
        e = e ? sx_make(b, SX_IADD, e, term, 0) : term;
    }
    return e;
}

/* The axis that is the row of the batch. */
static int8_t sample_axis(struct lower *l, const struct index *at)
{
    if (at->n == 0 && !at->off.c)
        return -1;
    if (!index_is_plain(at) || at->n != 1)
        l->failed = true;
    return (int8_t)at->t[0].axis;
}

static sx_id map_leaf(void *cx, struct sxb *to, const struct sx_node *leaf, sx_id element)
{
    struct map_cx *m = cx;
    const struct type *t = graph_type(m->l->g, m->n->out0);

    switch (leaf->op) {
    case SX_ARG:
        if (!m->arg[leaf->a])
            m->arg[leaf->a] = map_operand(m, leaf->a);
        return m->arg[leaf->a];
    case SX_AXIS:
        return number_of(m->l, to, &m->at[leaf->a]);
    case SX_RNG:
        return sx_rng(to,
                      rng_of(m->l, leaf->a, t->sample ? sample_axis(m->l, &m->at[0]) : -1),
                      element);
    default:
        return 0;
    }
}

static void lower_map(struct lower *l, const struct node *n)
{
    struct kstage *s = lower_stage(l, n, K_MAP);
    struct map_cx m = {.l = l, .s = s, .n = n};

    m.arg = arena_array(l->a, n->nin + 1U, sizeof *m.arg);
    lower_space(l, s, graph_type(l->g, n->out0));
    lower_value_at(l, graph_type(l->g, n->out0), m.at);
    if (l->f->host[l->g->value[n->out0].def])
        s->value = host_scalar(l, n->out0);
    else
        s->value = sx_rewrite(&l->k->sx, &l->g->sx, n->attr, map_leaf, &m);
    lower_finish(l, n->out0);
}

/* ---- groups ---- */

bool lower_refuse(struct lower *l, const struct node *n, const char *what)
{
    diag(l->ds, E0001, l->g->place[n->place].loc, "kernels do not cover %s yet", what);
    l->failed = true;
    return false;
}

static bool lower_node(struct lower *l, const struct node *n)
{
    switch (n->op) {
    case OP_MAP:
        lower_map(l, n);
        return !l->failed;
    case OP_FORM:
        return lower_form(l, n);
    case OP_FOLD:
        return lower_fold(l, n);
    case OP_GATHER:
        return lower_gather(l, n);
    case OP_SCATTER:
        return lower_scatter(l, n);
    default:
        return lower_refuse(l, n, "this node");
    }
}

static void start(struct lower *l, const struct group *gr)
{
    l->group = gr;
    l->out = arena_alloc(l->a, sizeof *l->out);
    l->k = l->out->kernel = arena_alloc(l->a, sizeof *l->k);
    l->k->arena = l->a;
    l->k->name = "k";
    sx_init(&l->k->sx, l->a);
}

/* Every member, over the dims as they are (NULL) or over a piece of the window's output. */
static void lower_members(struct lower *l, const struct form_piece *piece)
{
    const struct type *t = &l->group->main;
    l->stage_of = arena_array(l->a, l->g->nvalue + 1, sizeof *l->stage_of);
    memset(l->taken, 0, sizeof l->taken);
    l->piece = piece;
    if (piece)
        lower_piece(l, piece);
    else
        for (unsigned d = 0; d < t->rank; d++)
            l->main[d] = is_one(t->dim[d]) ? index_const(0) : lower_axis(l, t->dim[d]);
    for (uint32_t i = 0; i < l->group->n && !l->failed; i++)
        lower_node(l, &l->g->node[l->group->node[i]]);
}

static void lower_pieces(struct lower *l)
{
    struct form_piece *piece = NULL;
    uint32_t n = 0;
    l->window = lower_find_window(l);
    if (l->window) {
        const struct node *w = &l->g->node[l->window];
        n = form_pieces(&l->g->form[w->attr], w->port, l->a, &piece);
    }
    for (uint32_t i = 0; i < n && !l->failed; i++)
        lower_members(l, &piece[i]);
    if (n == 0)
        lower_members(l, NULL);
}

/* READ, WRITE or both, from the loads and stores. */
static void derive_use(struct kernel *k)
{
    bool *read = arena_array(k->arena, k->nbuf + 1, sizeof *read);
    bool *write = arena_array(k->arena, k->nbuf + 1, sizeof *write);
    for (uint32_t i = 0; i < k->nstage; i++) {
        for (uint32_t j = 0; j < k->stage[i].noperand; j++)
            if (!k->stage[i].operand[j].stage)
                read[k->stage[i].operand[j].id] = true;
        for (uint32_t j = 0; j < k->stage[i].nstore; j++)
            write[k->stage[i].store[j].buf] = true;
    }
    for (uint32_t b = 0; b < k->nbuf; b++)
        k->buf[b].use = !write[b] ? BUF_READ : read[b] ? BUF_READ_WRITE : BUF_WRITE;
}

/* The member that names the kernel: a contraction before a sum before a map, the last of
 * its kind. */
static const char *dominant(const struct lower *l, const struct group *gr)
{
    const char *name = NULL;
    int best = -1;
    for (uint32_t i = 0; i < gr->n; i++) {
        const struct node *n = &l->g->node[gr->node[i]];
        const int rank = n->op == OP_FORM ? l->g->form[n->attr].nport : 0;
        if (rank >= best && l->g->place[n->place].name) {
            best = rank;
            name = l->g->place[n->place].name;
        }
    }
    return name ? name : "kernel";
}

struct lowered *lower_group(const struct fusion *f, uint32_t group, storage_fn *slot,
                            void *cx, struct arena *a, struct diag_sink *ds)
{
    struct lower l = {.f = f, .g = f->g, .a = a, .ds = ds, .slot = slot, .cx = cx};
    const struct group *gr = &f->group[group];

    start(&l, gr);
    lower_pieces(&l);
    if (l.failed) {
        if (!diag_errors(ds))
            lower_refuse(&l, &l.g->node[gr->node[0]], "a space of this rank");
        return NULL;
    }
    derive_use(l.k);
    l.out->name = dominant(&l, gr);
    return l.out;
}

struct lowered *lower_copy(const struct fusion *f, value_id v, uint32_t to,
                           storage_fn *slot, void *cx, struct arena *a,
                           struct diag_sink *ds)
{
    struct lower l = {.f = f, .g = f->g, .a = a, .ds = ds, .slot = slot, .cx = cx};
    struct group gr = {.kind = GROUP_MAP, .main = *graph_type(f->g, v)};
    const struct node *n = &f->g->node[f->g->value[v].def];
    struct index at[HYP_RANK];

    start(&l, &gr);
    lower_members(&l, NULL);
    struct kstage *s = lower_stage(&l, n, K_MAP);
    s->dtype = gr.main.dtype;
    lower_space(&l, s, &gr.main);
    lower_value_at(&l, &gr.main, at);
    if (f->role[f->g->value[v].def] == ROLE_HOST)
        s->value = host_scalar(&l, v);
    else
        s->value = sx_arg(&l.k->sx, lower_add_operand(&l, s, lower_load(&l, v, at)),
                          lower_type(&l, v));
    struct kstore *st = arena_alloc(a, sizeof *st);
    st->index = address(&l, &gr.main, at);
    st->buf = (uint16_t)l.k->nbuf;
    l.k->buf = arena_grow(a, l.k->buf, &l.cbuf, l.k->nbuf + 1, sizeof *l.k->buf);
    l.out->slot = arena_grow(a, l.out->slot, &l.cslot, l.k->nbuf + 1, sizeof(uint32_t));
    l.out->value = arena_grow(a, l.out->value, &l.cvalue, l.k->nbuf + 1, sizeof(value_id));
    l.k->buf[l.k->nbuf] = (struct kbuf){.name = arena_fmt(a, "b%u", l.k->nbuf),
                                        .dtype = gr.main.dtype,
                                        .rank = gr.main.rank};
    memcpy(l.k->buf[l.k->nbuf].dim, gr.main.dim, sizeof gr.main.dim);
    l.out->slot[l.k->nbuf] = to;
    l.out->value[l.k->nbuf++] = v;
    s->store = st;
    s->nstore = 1;
    derive_use(l.k);
    l.out->name = f->g->place[n->place].name ? f->g->place[n->place].name : "copy";
    return l.failed ? NULL : l.out;
}
