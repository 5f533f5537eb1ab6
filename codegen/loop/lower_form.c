/*
 * Lowering of forms and folds.
 *
 * A form's box is rewritten over kernel axes: axes that the read-out port fixes become
 * indices over those of its dims, the others are reduced; a load that may leave its tensor
 * carries guards, which is zero padding.  An output dim that combines axes is solved into
 * pieces (lower_in.h); where that is not done either, the whole box is summed for every
 * element, of which the guards let pass what reaches it.
 */
#include <string.h>

#include "codegen/loop/lower_in.h"
#include "runtime/base/arena.h"

/* Every axis of a form's box over kernel axes. */
struct box {
    struct index at[HYP_AXES];
    bool known[HYP_AXES];
    struct koperand holes; /* guards: where they fail no term reaches the output */
};

static struct index minus(struct index x, struct ext off)
{
    x.off.c -= off.c;
    x.off.b -= off.b;
    return x;
}

static struct index times(struct index x, int32_t by)
{
    struct index r = index_const(0);
    index_add(&r, &x, ext_const(by));
    return r;
}

/* index of a dim at the point of the box: off + sum coef * box */
static struct index dim_index(const struct dimmap *d, const struct box *box)
{
    struct index ix = {.off = d->off};
    for (unsigned i = 0; i < d->n; i++)
        index_add(&ix, &box->at[d->axis[i]], ext_const(d->coef[i]));
    return ix;
}

/* True if the index surely stays in 0..extent-1: a plain axis of that very extent, or
 * numbers. */
static bool stays_inside(const struct lower *l, const struct index *ix, struct ext extent)
{
    int64_t lo = ix->off.c, hi = ix->off.c;
    if (ix->off.b)
        return false;
    if (ix->n == 0)
        return lo >= 0 && (extent.b ? lo == 0 : lo < extent.c);
    for (unsigned i = 0; i < ix->n; i++) {
        const struct ext e = l->k->axis[ix->t[i].axis], c = ix->t[i].coef;
        if (e.b)
            return ix->n == 1 && lo == 0 && c.c == 1 && !c.b && ext_eq(e, extent);
        *(c.c < 0 ? &lo : &hi) += (int64_t)c.c * (e.c - 1);
    }
    return !extent.b && lo >= 0 && hi < extent.c;
}

/* Load of operand v, which stands at port p of f, at the point of the box. */
static struct koperand load_port(struct lower *l, value_id v, const struct form *f,
                                 unsigned p, const struct box *box)
{
    const struct port *port = &f->port[p];
    struct koperand o = {.id = lower_buffer(l, v)};
    struct ext stride[HYP_RANK];

    lower_strides(l, port->shape, port->rank, stride);
    for (unsigned d = 0; d < port->rank; d++) {
        const struct index ix = dim_index(&port->dim[d], box);
        if (!stays_inside(l, &ix, port->shape[d]))
            lower_guard(l, &o, ix, port->shape[d]);
        if (stride[d].b && ix.off.b)
            l->failed = true;
        else
            index_add(&o.index, &ix, stride[d]);
    }
    return o;
}

/* ---- the box ---- */

/* Axes that nothing fixes are reduced, in box order. */
static void reduce_rest(struct lower *l, const struct form *f, struct box *box,
                        struct kseg *seg)
{
    for (unsigned x = 0; x < f->naxis; x++) {
        if (box->known[x])
            continue;
        box->known[x] = true;
        box->at[x] = index_const(0);
        if (is_one(f->axis[x]))
            continue;
        box->at[x] = lower_axis(l, f->axis[x]);
        seg->red[seg->nred++] = box->at[x].t[0].axis;
    }
}

/* An output dim of one axis fixes it: axis = coef * (dim - off), coef being 1 or -1. */
static void fix_axes(struct lower *l, const struct form *f, unsigned out,
                     const struct index *at, struct box *box)
{
    const struct port *q = &f->port[out];
    for (unsigned d = 0; d < q->rank; d++) {
        const struct dimmap *m = &q->dim[d];
        const struct index here = minus(at[d], m->off);
        const struct index ix = m->n ? times(here, m->coef[0]) : here;
        const struct ext extent = m->n ? f->axis[m->axis[0]] : ext_const(1);
        if (m->n) {
            box->at[m->axis[0]] = ix;
            box->known[m->axis[0]] = true;
        }
        if (!stays_inside(l, &ix, extent))
            lower_guard(l, &box->holes, ix, extent);
    }
}

/* Nothing is fixed: the sum runs over the whole box, and meets each element by guards. */
static void meet(struct lower *l, const struct form *f, unsigned out,
                 const struct index *at, struct box *box, struct kseg *seg)
{
    const struct port *q = &f->port[out];
    reduce_rest(l, f, box, seg);
    for (unsigned d = 0; d < q->rank; d++) {
        struct index ix = dim_index(&q->dim[d], box);
        index_add(&ix, &at[d], ext_const(-1));
        lower_guard(l, &box->holes, ix, ext_const(1));
    }
}

/* ---- pieces ---- */

/* Has each output dim of the piece axes of its own: they become the group's. */
void lower_piece(struct lower *l, const struct form_piece *piece)
{
    const struct node *n = &l->g->node[l->window];
    const struct form *f = &piece->form;
    const struct port *q = &f->port[n->port];
    const struct type *t = graph_type(l->g, n->out0);
    uint8_t d[HYP_RANK], m[HYP_RANK];
    const unsigned rank = type_space(t, d);

    type_space(&l->group->main, m);
    for (unsigned i = 0; i < l->group->main.rank; i++)
        l->main[i] = index_const(0);
    for (unsigned i = 0; i < rank; i++) {
        const struct dimmap *dim = &q->dim[d[i]];
        struct index *at = &l->main[m[i]];
        at->off = dim->off;
        for (unsigned k = 0; k < dim->n; k++) {
            const struct ext e = f->axis[dim->axis[k]];
            if (is_one(e))
                continue;
            const struct index axis = lower_axis(l, e);
            index_add(at, &axis, ext_const(dim->coef[k]));
        }
    }
}

/* The box of the piece: its own axes as lower_piece() has chosen them. */
static void piece_axes(struct lower *l, const struct node *n, struct box *box)
{
    const struct form *f = &l->piece->form;
    const struct port *q = &f->port[n->port];
    struct index at[HYP_RANK];

    lower_value_at(l, graph_type(l->g, n->out0), at);
    for (unsigned d = 0; d < q->rank; d++)
        for (unsigned k = 0; k < q->dim[d].n; k++) {
            const unsigned x = (unsigned)q->dim[d].axis[k];
            box->known[x] = true;
            box->at[x] = index_const(0);
            for (unsigned i = 0; i < at[d].n; i++) /* coefficients of digits differ */
                if (at[d].t[i].coef.c == q->dim[d].coef[k] &&
                    ext_eq(l->k->axis[at[d].t[i].axis], f->axis[x]))
                    box->at[x] = index_axis(at[d].t[i].axis, 1);
        }
}

static bool is_row_form(const struct lower *l, const struct node *n, const struct form *f)
{
    const struct type *in = graph_type(l->g, graph_in(l->g, n)[0]);
    uint8_t d[HYP_RANK], m[HYP_RANK];
    return l->group->kind == GROUP_ROW && form_is_plain_sum(f, n->port) && in->sample &&
           graph_type(l->g, n->out0)->rank == 1 &&
           type_space(in, d) == type_space(&l->group->main, m) && type_space(in, d) > 1;
}

node_id lower_find_window(const struct lower *l)
{
    for (uint32_t i = 0; i < l->group->n; i++) {
        const struct node *n = &l->g->node[l->group->node[i]];
        if (n->op == OP_FORM && !form_is_direct(&l->g->form[n->attr], n->port) &&
            !is_row_form(l, n, &l->g->form[n->attr]))
            return l->group->node[i];
    }
    return 0;
}

/* ---- sums ---- */

/* A sum along the row of a value of the same space: the reduced axis is the group's last
 * one. */
static void row_box(const struct lower *l, const struct form *f, unsigned out,
                    struct box *box, struct kseg *seg)
{
    uint8_t m[HYP_RANK];
    const unsigned nm = type_space(&l->group->main, m);
    const unsigned in = 1U - out;

    for (unsigned d = 0, k = 0; d < f->port[in].rank; d++) {
        const struct dimmap *dm = &f->port[in].dim[d];
        if (is_one(f->port[in].shape[d]) || dm->n != 1)
            continue;
        box->at[dm->axis[0]] = l->main[m[k++]];
    }
    for (unsigned i = 1; i < nm; i++)
        seg->red[seg->nred++] = l->main[m[i]].t[0].axis;
}

/* Fills box and segment; gives the form whose axes they are. */
static const struct form *find_box(struct lower *l, const struct node *n, struct box *box,
                                   struct kseg *seg)
{
    const struct form *f = &l->g->form[n->attr];
    struct index at[HYP_RANK];

    if (n->op == OP_FORM && is_row_form(l, n, f)) {
        row_box(l, f, n->port, box, seg);
        return f;
    }
    if (l->piece && n == &l->g->node[l->window]) {
        f = &l->piece->form;
        piece_axes(l, n, box);
        reduce_rest(l, f, box, seg);
        return f;
    }
    lower_value_at(l, graph_type(l->g, n->out0), at);
    if (!form_is_direct(f, n->port)) {
        meet(l, f, n->port, at, box, seg);
        return f;
    }
    fix_axes(l, f, n->port, at, box);
    reduce_rest(l, f, box, seg);
    return f;
}

/* Operands of a form outside the group are loads; inside only a sum along the row reads a
 * stage. */
static sx_id form_operand(struct lower *l, struct kstage *s, value_id v,
                          const struct form *f, unsigned port, const struct box *box)
{
    const uint8_t sxt = lower_type(l, v);
    const int made = lower_made(l, v);
    if (made >= 0)
        return sx_arg(
            &l->k->sx,
            lower_add_operand(l, s, (struct koperand){.stage = true, .id = (uint16_t)made}),
            sxt);
    struct koperand o = load_port(l, v, f, port, box);
    for (unsigned i = 0; i < box->holes.nguard; i++)
        lower_guard(l, &o, box->holes.guard[i].index, box->holes.guard[i].bound);
    return sx_arg(&l->k->sx, lower_add_operand(l, s, o), sxt);
}

/* The sum's own stage, or the stage of the sum it goes on from, which becomes its own. */
static struct kstage *sum_stage(struct lower *l, const struct node *n, const struct form *f,
                                bool reduces)
{
    if (n->nin == f->nport) {
        const int made = lower_made(l, graph_in(l->g, n)[n->nin - 1]);
        if (made >= 0 && (uint32_t)made + 1 == l->k->nstage)
            return &l->k->stage[made];
        lower_refuse(l, n, "a sum that goes on from a stored value");
        return NULL;
    }
    struct kstage *s = lower_stage(l, n, reduces || f->nport == 3 ? K_SUM : K_MAP);
    lower_space(l, s, graph_type(l->g, n->out0));
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

/* Elements that no term reaches. */
static bool lower_nothing(struct lower *l, const struct node *n)
{
    struct kstage *s = lower_stage(l, n, K_MAP);
    lower_space(l, s, graph_type(l->g, n->out0));
    s->value = s->dtype == DT_F32   ? sx_const(&l->k->sx, 0)
               : s->dtype == DT_I32 ? sx_int(&l->k->sx, 0)
                                    : sx_bool(&l->k->sx, false);
    lower_finish(l, n->out0);
    return !l->failed;
}

bool lower_form(struct lower *l, const struct node *n)
{
    struct box box = {.holes = {0}};
    struct kseg seg = {0};
    sx_id factor[2] = {0};
    unsigned nf = 0;

    if (l->piece && l->piece->zero && n == &l->g->node[l->window])
        return lower_nothing(l, n);
    const struct form *f = find_box(l, n, &box, &seg);
    if (l->failed)
        return lower_refuse(l, n, "so many axes");
    struct kstage *s = sum_stage(l, n, f, seg.nred != 0);
    if (!s)
        return false;
    for (unsigned p = 0, i = 0; p < f->nport; p++)
        if (p != n->port)
            factor[nf++] = form_operand(l, s, graph_in(l->g, n)[i++], f, p, &box);
    seg.factor[0] = factor[0];
    seg.factor[1] = factor[1];
    if (s->op == K_MAP)
        s->value = factor[0];
    else
        add_segment(l, s, f, &seg);
    lower_finish(l, n->out0);
    return !l->failed;
}

bool lower_fold(struct lower *l, const struct node *n)
{
    struct box box = {.holes = {0}};
    struct kseg seg = {0};
    const struct form *f = find_box(l, n, &box, &seg);

    if (l->failed)
        return lower_refuse(l, n, "so many axes");
    for (unsigned o = 0; o < 2; o++) {
        struct kstage *s = lower_stage(l, n, K_FOLD);
        s->comb = o ? COMB_ARGMAX : COMB_MAX;
        s->dtype = graph_type(l->g, n->out0 + o)->dtype;
        lower_space(l, s, graph_type(l->g, n->out0));
        s->value = form_operand(l, s, graph_in(l->g, n)[0], f, 1U - n->port, &box);
        s->nred = seg.nred;
        memcpy(s->red, seg.red, sizeof s->red);
        lower_finish(l, n->out0 + o);
    }
    return !l->failed;
}
