/*
 * Lowering a group to a kernel: axes from the group's space, one stage a node.
 *
 * Node by node in graph order.  Operands become stage references inside the group, buffer
 * loads with row-major indices outside, and scalars where the host computes them.  A form's
 * box is rewritten over kernel axes: axes that the read-out port fixes become (+-)(axis -
 * offset), the others are reduced; a load that may leave its tensor carries guards, which
 * is zero padding.
 */
#include "codegen/loop/lower.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/arena.h"

struct lower {
    const struct fusion *f;
    const struct graph *g;
    struct arena *a;
    struct diag_sink *ds;
    storage_fn *slot;
    void *cx;
    struct lowered *out;
    struct kernel *k;
    const struct group *group;
    uint32_t cbuf, cscalar, crng, cstage, cplace, cslot, cvalue;
    uint16_t *stage_of;         /* by value: 1 + stage */
    int8_t main_axis[HYP_RANK]; /* kernel axis of the group's dims; -1: extent 1 */
    bool failed;
};

static const struct index no_index = {0};

/* ---- indices ---- */

/* Sorted by axis, as indices are everywhere. */
static void index_add(struct lower *l, struct index *ix, uint8_t axis, struct ext coef)
{
    unsigned at = 0;
    while (at < ix->n && ix->t[at].axis < axis)
        at++;
    if (at < ix->n && ix->t[at].axis == axis) {
        ix->t[at].coef.c += coef.c;
        ix->t[at].coef.b += coef.b;
        return;
    }
    if (ix->n == LOOP_TERMS) {
        l->failed = true;
        return;
    }
    for (unsigned i = ix->n++; i > at; i--)
        ix->t[i] = ix->t[i - 1];
    ix->t[at] = (struct term){axis, 1, 0, coef};
}

static struct ext ext_scale(struct ext e, int32_t by)
{
    return (struct ext){e.c * by, e.b * by};
}

/* Row-major strides; a stride is a product, of which at most one factor may hold B. */
static void strides(struct lower *l, const struct ext *dim, unsigned rank, struct ext *out)
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

/* Kernel axis of an extent; a fresh one. */
static int8_t new_axis(struct lower *l, struct ext extent, char name)
{
    if (l->k->naxis == LOOP_AXES) {
        l->failed = true;
        return 0;
    }
    l->k->axis[l->k->naxis] = extent;
    l->k->axis_name[l->k->naxis] = name;
    return (int8_t)l->k->naxis++;
}

static bool is_one(struct ext e)
{
    return e.c == 1 && e.b == 0;
}

/* The kernel axis of every dim of a member's value; -1 where the extent is 1. */
static void value_axes(const struct lower *l, const struct type *t, int8_t axis[HYP_RANK])
{
    uint8_t d[HYP_RANK], m[HYP_RANK];
    const unsigned n = type_space(t, d), nm = type_space(&l->group->main, m);

    for (unsigned i = 0; i < t->rank; i++)
        axis[i] = -1;
    for (unsigned i = 0; i < n; i++) /* same space: one by one; a row value: the row axis */
        axis[d[i]] = l->main_axis[m[n == nm ? i : 0]];
}

/* ---- buffers, scalars, draws ---- */

static uint16_t buffer_of(struct lower *l, value_id v)
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

static uint16_t scalar_of(struct lower *l, struct binding b)
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
    const uint16_t at = scalar_of(l, (struct binding){.kind = BIND_WORD, .word = lo});
    scalar_of(l, (struct binding){.kind = BIND_WORD, .word = hi});
    scalar_of(l, (struct binding){.kind = BIND_DRAW_LO});
    scalar_of(l, (struct binding){.kind = BIND_DRAW_HI});
    l->k->rng = arena_grow(l->a, l->k->rng, &l->crng, l->k->nrng + 1, sizeof *l->k->rng);
    l->k->rng[l->k->nrng] = (struct krng){at, sample};
    return l->k->nrng++;
}

/* ---- stages ---- */

static struct kstage *new_stage(struct lower *l, const struct node *n, uint8_t op)
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

static void stage_space(struct lower *l, struct kstage *s, const struct type *t)
{
    int8_t axis[HYP_RANK];
    value_axes(l, t, axis);
    for (unsigned i = 0; i < t->rank; i++)
        if (axis[i] >= 0)
            s->axis[s->naxis++] = (uint8_t)axis[i];
}

/* The stage that made value v, if it is in this group and lines up; NULL otherwise. */
static int stage_made(const struct lower *l, value_id v)
{
    const value_id base = l->f->base[v];
    return l->stage_of[base] ? l->stage_of[base] - 1 : -1;
}

static uint32_t add_operand(struct lower *l, struct kstage *s, struct koperand o)
{
    struct koperand *p = arena_array(l->a, s->noperand + 1, sizeof *p);
    if (s->noperand)
        memcpy(p, s->operand, s->noperand * sizeof *p);
    p[s->noperand] = o;
    s->operand = p;
    return s->noperand++;
}

/* Load of value v at the point where its dim i has kernel axis axis[i] (-1: 0). */
static struct koperand load_at(struct lower *l, value_id v, const int8_t *axis)
{
    const struct type *t = graph_type(l->g, v);
    struct koperand o = {.id = buffer_of(l, v), .index = no_index};
    struct ext stride[HYP_RANK];

    strides(l, t->dim, t->rank, stride);
    for (unsigned i = 0; i < t->rank; i++)
        if (axis[i] >= 0)
            index_add(l, &o.index, (uint8_t)axis[i], stride[i]);
    return o;
}

static void add_store(struct lower *l, struct kstage *s, value_id v)
{
    const struct type *t = graph_type(l->g, v);
    struct kstore *p = arena_array(l->a, s->nstore + 1, sizeof *p);
    int8_t axis[HYP_RANK];
    struct ext stride[HYP_RANK];

    if (s->nstore)
        memcpy(p, s->store, s->nstore * sizeof *p);
    p[s->nstore] = (struct kstore){buffer_of(l, v), no_index};
    value_axes(l, t, axis);
    strides(l, t->dim, t->rank, stride);
    for (unsigned i = 0; i < t->rank; i++)
        if (axis[i] >= 0)
            index_add(l, &p[s->nstore].index, (uint8_t)axis[i], stride[i]);
    s->store = p;
    s->nstore++;
}

static void finish_stage(struct lower *l, value_id v)
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
    sx_id *arg;            /* memo of operands */
    int8_t axis[HYP_RANK]; /* kernel axis of the output's dims */
};

static uint8_t sx_type_of(const struct lower *l, value_id v)
{
    const uint8_t dt = graph_type(l->g, v)->dtype;
    return dt == DT_F32 ? SX_FLOAT : dt == DT_I32 ? SX_I32 : SX_BOOL;
}

static sx_id host_scalar(struct lower *l, value_id v)
{
    const struct binding b = {.kind = BIND_HOST, .host = v};
    return sx_scalar(&l->k->sx, scalar_of(l, b), sx_type_of(l, v));
}

static sx_id map_operand(struct map_cx *m, uint32_t i)
{
    struct lower *l = m->l;
    const value_id v = graph_in(l->g, m->n)[i];
    const struct type *t = graph_type(l->g, v), *out = graph_type(l->g, m->n->out0);
    const uint8_t sxt = sx_type_of(l, v);
    int8_t to[HYP_RANK], axis[HYP_RANK];

    if (l->f->host[l->g->value[v].def])
        return host_scalar(l, v);
    const int made = stage_made(l, v);
    if (made >= 0)
        return sx_arg(
            &l->k->sx,
            add_operand(l, m->s, (struct koperand){.stage = true, .id = (uint16_t)made}),
            sxt);
    if (!map_align(out, t, to))
        l->failed = true;
    for (unsigned d = 0; d < t->rank; d++)
        axis[d] = to[d] < 0 ? -1 : m->axis[to[d]];
    return sx_arg(&l->k->sx, add_operand(l, m->s, load_at(l, v, axis)), sxt);
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
        return m->axis[leaf->a] < 0 ? sx_int(to, 0)
                                    : sx_axis(to, (uint32_t)m->axis[leaf->a]);
    case SX_RNG:
        return sx_rng(to, rng_of(m->l, leaf->a, t->sample ? m->axis[0] : -1), element);
    default:
        return 0;
    }
}

static void lower_map(struct lower *l, const struct node *n)
{
    struct kstage *s = new_stage(l, n, K_MAP);
    struct map_cx m = {.l = l, .s = s, .n = n};

    m.arg = arena_array(l->a, n->nin + 1U, sizeof *m.arg);
    stage_space(l, s, graph_type(l->g, n->out0));
    value_axes(l, graph_type(l->g, n->out0), m.axis);
    if (l->f->host[l->g->value[n->out0].def])
        s->value = host_scalar(l, n->out0);
    else
        s->value = sx_rewrite(&l->k->sx, &l->g->sx, n->attr, map_leaf, &m);
    finish_stage(l, n->out0);
}

/* ---- forms ---- */

/* A box axis over kernel axes: sign * (axis - off), or a kernel axis of its own. */
struct box_axis {
    int8_t axis; /* -1: constant `off` */
    int32_t sign;
    struct ext off;
    bool known;
};

static bool fix_axis(struct lower *l, const struct form *f, const struct dimmap *d,
                     int8_t axis, struct box_axis *box)
{
    if (d->n == 0)
        return true; /* guarded by the caller */
    if (d->n != 1 || (d->coef[0] != 1 && d->coef[0] != -1))
        return false;
    (void)l;
    (void)f;
    box[d->axis[0]] = (struct box_axis){axis, d->coef[0], d->off, true};
    return true;
}

/* index of a dim at the point of the box: off + sum coef * box */
static struct index dim_index(struct lower *l, const struct dimmap *d,
                              const struct box_axis *box)
{
    struct index ix = {.off = d->off};
    for (unsigned i = 0; i < d->n; i++) {
        const struct box_axis *b = &box[d->axis[i]];
        const int32_t c = d->coef[i] * b->sign;
        if (b->axis >= 0)
            index_add(l, &ix, (uint8_t)b->axis, ext_const(c));
        ix.off.c -= c * b->off.c;
        ix.off.b -= c * b->off.b;
    }
    return ix;
}

/* True if the index surely stays in 0..extent-1: one plain axis of that very extent, or a
 * constant. */
static bool stays_inside(const struct lower *l, const struct index *ix, struct ext extent)
{
    if (ix->off.b || ix->off.c < 0)
        return false;
    if (ix->n == 0)
        return extent.b ? ix->off.c == 0 : ix->off.c < extent.c;
    int64_t hi = ix->off.c;
    for (unsigned i = 0; i < ix->n; i++) {
        const struct ext e = l->k->axis[ix->t[i].axis];
        if (ix->t[i].coef.b || ix->t[i].coef.c < 0)
            return false;
        if (e.b)
            return ix->n == 1 && ix->off.c == 0 && ix->t[i].coef.c == 1 &&
                   ext_eq(e, extent);
        hi += (int64_t)ix->t[i].coef.c * (e.c - 1);
    }
    return !extent.b && hi < extent.c;
}

static void add_guard(struct lower *l, struct koperand *o, struct index ix,
                      struct ext bound)
{
    struct guard *p = arena_array(l->a, o->nguard + 1U, sizeof *p);
    if (o->nguard)
        memcpy(p, o->guard, o->nguard * sizeof *p);
    p[o->nguard++] = (struct guard){ix, bound};
    o->guard = p;
}

/* Load of operand v, which stands at port p of f, at the point of the box. */
static struct koperand load_port(struct lower *l, value_id v, const struct form *f,
                                 unsigned p, const struct box_axis *box)
{
    const struct port *port = &f->port[p];
    struct koperand o = {.id = buffer_of(l, v)};
    struct ext stride[HYP_RANK];

    strides(l, port->shape, port->rank, stride);
    for (unsigned d = 0; d < port->rank; d++) {
        struct index ix = dim_index(l, &port->dim[d], box);
        if (!stays_inside(l, &ix, port->shape[d]))
            add_guard(l, &o, ix, port->shape[d]);
        for (unsigned i = 0; i < ix.n; i++)
            index_add(l, &o.index, ix.t[i].axis,
                      stride[d].b ? ext_scale(stride[d], ix.t[i].coef.c)
                                  : ext_scale(ix.t[i].coef, stride[d].c));
        if (stride[d].b && ix.off.b)
            l->failed = true;
        const struct ext off =
            stride[d].b ? ext_scale(stride[d], ix.off.c) : ext_scale(ix.off, stride[d].c);
        o.index.off.c += off.c;
        o.index.off.b += off.b;
    }
    return o;
}

/* Axes the output fixes, guards for holes of the output, fresh axes for the reduced ones.
 */
static bool solve_box(struct lower *l, const struct node *n, const struct form *f,
                      struct box_axis *box, struct koperand *holes, struct kseg *seg)
{
    const struct port *out = &f->port[n->port];
    int8_t axis[HYP_RANK];

    value_axes(l, graph_type(l->g, n->out0), axis);
    for (unsigned d = 0; d < out->rank; d++) {
        if (!fix_axis(l, f, &out->dim[d], axis[d], box))
            return false;
        struct index ix = {0};
        if (axis[d] >= 0)
            index_add(l, &ix, (uint8_t)axis[d], ext_const(1));
        if (out->dim[d].n == 0) {
            ix.off = (struct ext){-out->dim[d].off.c, -out->dim[d].off.b};
            if (axis[d] >= 0 || ix.off.c || ix.off.b)
                add_guard(l, holes, ix, ext_const(1));
            continue;
        }
        const struct box_axis *b = &box[out->dim[d].axis[0]];
        if (axis[d] < 0) { /* extent 1: the box axis is the constant -sign * off */
            ix.off = ext_scale(b->off, -b->sign);
        } else {
            ix.n = 0;
            index_add(l, &ix, (uint8_t)axis[d], ext_const(b->sign));
            ix.off = ext_scale(b->off, -b->sign);
        }
        if (!stays_inside(l, &ix, f->axis[out->dim[d].axis[0]]))
            add_guard(l, holes, ix, f->axis[out->dim[d].axis[0]]);
    }
    for (unsigned x = 0; x < f->naxis; x++) {
        if (box[x].known)
            continue;
        box[x] = (struct box_axis){-1, 1, {0, 0}, true};
        if (is_one(f->axis[x]))
            continue;
        box[x].axis = new_axis(l, f->axis[x], (char)('i' + (int)x));
        if (seg->nred == 4)
            return false;
        seg->red[seg->nred++] = (uint8_t)box[x].axis;
    }
    return true;
}

static bool refuse(struct lower *l, const struct node *n, const char *what)
{
    diag(l->ds, E0001, l->g->place[n->place].loc, "kernels do not cover %s yet", what);
    l->failed = true;
    return false;
}

/* Operands of a form outside the group are loads; inside only a sum along the row reads a
 * stage. */
static sx_id form_operand(struct lower *l, struct kstage *s, value_id v,
                          const struct form *f, unsigned port, const struct box_axis *box,
                          const struct koperand *holes)
{
    const uint8_t sxt = sx_type_of(l, v);
    const int made = stage_made(l, v);
    if (made >= 0)
        return sx_arg(
            &l->k->sx,
            add_operand(l, s, (struct koperand){.stage = true, .id = (uint16_t)made}), sxt);
    struct koperand o = load_port(l, v, f, port, box);
    for (unsigned i = 0; i < holes->nguard; i++)
        add_guard(l, &o, holes->guard[i].index, holes->guard[i].bound);
    return sx_arg(&l->k->sx, add_operand(l, s, o), sxt);
}

/* A sum along the row of a value of the same space: the reduced axis is the group's last
 * one. */
static void row_box(const struct lower *l, const struct form *f, unsigned out,
                    struct box_axis *box, struct kseg *seg)
{
    uint8_t m[HYP_RANK];
    const unsigned nm = type_space(&l->group->main, m);
    const unsigned in = 1U - out;

    for (unsigned d = 0, k = 0; d < f->port[in].rank; d++) {
        const struct dimmap *dm = &f->port[in].dim[d];
        if (is_one(f->port[in].shape[d]) || dm->n != 1)
            continue;
        box[dm->axis[0]] = (struct box_axis){l->main_axis[m[k++]], 1, {0, 0}, true};
    }
    for (unsigned i = 1; i < nm; i++)
        seg->red[seg->nred++] = (uint8_t)l->main_axis[m[i]];
}

static bool is_row_form(const struct lower *l, const struct node *n, const struct form *f)
{
    const struct type *in = graph_type(l->g, graph_in(l->g, n)[0]);
    uint8_t d[HYP_RANK], m[HYP_RANK];
    return l->group->kind == GROUP_ROW && form_is_plain_sum(f, n->port) && in->sample &&
           graph_type(l->g, n->out0)->rank == 1 &&
           type_space(in, d) == type_space(&l->group->main, m) && type_space(in, d) > 1;
}

/* The sum's own stage, or the stage of the sum it goes on from, which becomes its own. */
static struct kstage *sum_stage(struct lower *l, const struct node *n, const struct form *f,
                                bool reduces)
{
    if (n->nin == f->nport) {
        const int made = stage_made(l, graph_in(l->g, n)[n->nin - 1]);
        if (made >= 0 && (uint32_t)made + 1 == l->k->nstage)
            return &l->k->stage[made];
        refuse(l, n, "a sum that goes on from a stored value");
        return NULL;
    }
    struct kstage *s = new_stage(l, n, reduces || f->nport == 3 ? K_SUM : K_MAP);
    stage_space(l, s, graph_type(l->g, n->out0));
    return s;
}

static void add_segment(struct lower *l, struct kstage *s, const struct form *f,
                        const struct kseg *seg)
{
    struct kseg *all = arena_array(l->a, s->nseg + 1, sizeof *all);
    if (s->nseg)
        memcpy(all, s->seg, s->nseg * sizeof *all);
    all[s->nseg++] = *seg;
    s->seg = all;
    s->order = seg->nred ? f->order : ORDER_SEQ;
    s->chunk = f->chunk;
}

static bool lower_form(struct lower *l, const struct node *n)
{
    const struct form *f = &l->g->form[n->attr];
    struct box_axis box[HYP_AXES] = {{0}};
    struct koperand holes = {0};
    struct kseg seg = {0};
    sx_id factor[2] = {0};
    unsigned nf = 0;

    if (is_row_form(l, n, f))
        row_box(l, f, n->port, box, &seg);
    else if (!solve_box(l, n, f, box, &holes, &seg))
        return refuse(l, n, "windows");
    struct kstage *s = sum_stage(l, n, f, seg.nred != 0);
    if (!s)
        return false;
    for (unsigned p = 0, i = 0; p < f->nport; p++)
        if (p != n->port)
            factor[nf++] = form_operand(l, s, graph_in(l->g, n)[i++], f, p, box, &holes);
    seg.factor[0] = factor[0];
    seg.factor[1] = factor[1];
    if (s->op == K_MAP)
        s->value = factor[0];
    else
        add_segment(l, s, f, &seg);
    finish_stage(l, n->out0);
    return !l->failed;
}

/* Folds skip what lies outside their source; kernels' folds would read 0 there. */
static bool is_windowed(const struct port *p)
{
    for (unsigned d = 0; d < p->rank; d++)
        if (p->dim[d].n > 1)
            return true;
    return false;
}

static bool lower_fold(struct lower *l, const struct node *n)
{
    const struct form *f = &l->g->form[n->attr];
    struct box_axis box[HYP_AXES] = {{0}};
    struct koperand holes = {0};
    struct kseg seg = {0};

    if (is_windowed(&f->port[1U - n->port]) || !solve_box(l, n, f, box, &holes, &seg))
        return refuse(l, n, "windows");
    for (unsigned o = 0; o < 2; o++) {
        struct kstage *s = new_stage(l, n, K_FOLD);
        s->comb = o ? COMB_ARGMAX : COMB_MAX;
        s->dtype = graph_type(l->g, n->out0 + o)->dtype;
        stage_space(l, s, graph_type(l->g, n->out0));
        s->value = form_operand(l, s, graph_in(l->g, n)[0], f, 1U - n->port, box, &holes);
        if (s->operand[s->noperand - 1].nguard)
            return refuse(l, n, "folds that leave their source");
        s->nred = seg.nred;
        memcpy(s->red, seg.red, sizeof s->red);
        finish_stage(l, n->out0 + o);
    }
    return !l->failed;
}

/* ---- gather and scatter ---- */

/*
 * Kernel axes of big[p.., at, t..], index[p.., i..] and small[p.., i.., t..]; the index may
 * be the same for all p.
 */
struct chosen {
    int8_t big[HYP_RANK], index[HYP_RANK], small[HYP_RANK];
    unsigned np, ni; /* dims p; dims i */
    bool aligned;
};

static struct chosen chosen_dims(const struct type *big, const struct type *index,
                                 uint8_t axis)
{
    struct chosen c = {.np = axis};
    struct type out;
    gather_type(big, index, axis, &out, &c.aligned);
    c.ni = index->rank - (c.aligned ? axis : 0U);
    return c;
}

/* The index's axes from those of `small`. */
static void index_axes(struct chosen *c)
{
    const unsigned skip = c->aligned ? c->np : 0;
    for (unsigned i = 0; i < skip; i++)
        c->index[i] = c->small[i];
    for (unsigned i = 0; i < c->ni; i++)
        c->index[skip + i] = c->small[c->np + i];
}

/* A scalar that the host knows is a term of the index; other data pick. */
static void choose_by(struct lower *l, struct kstage *s, struct koperand *o, value_id index,
                      const struct chosen *c, struct ext stride, struct ext extent)
{
    if (l->f->host[l->g->value[index].def]) {
        const struct binding b = {.kind = BIND_HOST, .host = index};
        const struct index at = {.scalar = (uint16_t)(scalar_of(l, b) + 1),
                                 .scoef = ext_const(1)};
        o->index.scalar = at.scalar;
        o->index.scoef = stride;
        add_guard(l, o, at, extent);
        return;
    }
    const uint32_t from = add_operand(l, s, load_at(l, index, c->index));
    o->pick = (struct pick){(uint16_t)(from + 1), stride, extent};
}

static bool lower_gather(struct lower *l, const struct node *n)
{
    const value_id *in = graph_in(l->g, n);
    const struct type *big = graph_type(l->g, in[0]);
    const uint8_t axis = (uint8_t)n->attr;
    struct chosen c = chosen_dims(big, graph_type(l->g, in[1]), axis);
    struct ext stride[HYP_RANK];
    struct kstage *s = new_stage(l, n, K_MAP);

    stage_space(l, s, graph_type(l->g, n->out0));
    value_axes(l, graph_type(l->g, n->out0), c.small);
    index_axes(&c);
    for (unsigned i = 0; i < big->rank; i++)
        c.big[i] = i == axis ? -1 : c.small[i < axis ? i : i - 1 + c.ni];
    strides(l, big->dim, big->rank, stride);
    struct koperand o = load_at(l, in[0], c.big);
    choose_by(l, s, &o, in[1], &c, stride[axis], big->dim[axis]);
    s->value = sx_arg(&l->k->sx, add_operand(l, s, o), sx_type_of(l, in[0]));
    finish_stage(l, n->out0);
    return !l->failed;
}

/* The axes that the values walk and the destination does not: summed, in order. */
static void scatter_axes(struct lower *l, struct kstage *s, const struct type *values,
                         struct chosen *c)
{
    for (unsigned i = 0; i < values->rank; i++) {
        const bool summed = i >= c->np && i < c->np + c->ni;
        c->small[i] = -1;
        if (!summed)
            c->small[i] = c->big[i < c->np ? i : i - c->ni + 1];
        else if (!is_one(values->dim[i]) && s->nred < 4)
            s->red[s->nred++] = (uint8_t)(c->small[i] = new_axis(l, values->dim[i], 'i'));
        else if (!is_one(values->dim[i]))
            l->failed = true;
    }
}

static bool lower_scatter(struct lower *l, const struct node *n)
{
    const value_id *in = graph_in(l->g, n);
    const struct type *big = graph_type(l->g, n->out0), *values = graph_type(l->g, in[0]);
    const uint8_t axis = (uint8_t)n->attr;
    struct chosen c = chosen_dims(big, graph_type(l->g, in[1]), axis);

    if (values->dtype != DT_F32)
        return refuse(l, n, "scatters of whole numbers");
    struct kstage *s = new_stage(l, n, K_SCATTER);

    stage_space(l, s, big);
    value_axes(l, big, c.big);
    if (c.big[axis] < 0) /* one place only, but data say who gets there */
        s->axis[s->naxis++] = (uint8_t)(c.big[axis] = new_axis(l, ext_const(1), 'a'));
    s->along = (uint8_t)c.big[axis];
    scatter_axes(l, s, values, &c);
    index_axes(&c);
    s->at = (uint16_t)add_operand(l, s, load_at(l, in[1], c.index));
    s->value = sx_arg(&l->k->sx, add_operand(l, s, load_at(l, in[0], c.small)),
                      sx_type_of(l, in[0]));
    finish_stage(l, n->out0);
    return !l->failed;
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
        return refuse(l, n, "this node");
    }
}

static void start(struct lower *l, const struct group *gr)
{
    static const char names[] = "nopqrstu";
    l->group = gr;
    l->out = arena_alloc(l->a, sizeof *l->out);
    l->k = l->out->kernel = arena_alloc(l->a, sizeof *l->k);
    l->k->arena = l->a;
    l->k->name = "k";
    sx_init(&l->k->sx, l->a);
    l->stage_of = arena_array(l->a, l->g->nvalue + 1, sizeof *l->stage_of);
    for (unsigned d = 0; d < gr->main.rank; d++)
        l->main_axis[d] =
            is_one(gr->main.dim[d]) ? -1 : new_axis(l, gr->main.dim[d], names[l->k->naxis]);
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
    for (uint32_t i = 0; i < gr->n && !l.failed; i++)
        lower_node(&l, &l.g->node[gr->node[i]]);
    if (l.failed) {
        if (!diag_errors(ds))
            refuse(&l, &l.g->node[gr->node[0]], "a space of this rank");
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
    int8_t axis[HYP_RANK];

    start(&l, &gr);
    struct kstage *s = new_stage(&l, n, K_MAP);
    s->dtype = gr.main.dtype;
    stage_space(&l, s, &gr.main);
    value_axes(&l, &gr.main, axis);
    if (f->role[f->g->value[v].def] == ROLE_HOST)
        s->value = host_scalar(&l, v);
    else
        s->value =
            sx_arg(&l.k->sx, add_operand(&l, s, load_at(&l, v, axis)), sx_type_of(&l, v));
    struct kstore *st = arena_alloc(a, sizeof *st);
    struct ext stride[HYP_RANK];
    strides(&l, gr.main.dim, gr.main.rank, stride);
    for (unsigned i = 0; i < gr.main.rank; i++)
        if (axis[i] >= 0)
            index_add(&l, &st->index, (uint8_t)axis[i], stride[i]);
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
