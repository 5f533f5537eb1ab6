/*
 * Forms and folds.
 *
 * A form's box is rewritten over kernel axes: axes that the read-out port fixes become
 * indices over those of its dims, the others are reduced; a load that may leave its tensor
 * carries guards, which is zero padding.  An output dim that combines axes is solved into
 * pieces (lower_piece.c); where that is not done either, the whole box is summed for every
 * element, of which the guards let pass what reaches it.
 */
#include "codegen/loop/lowering.h"

#include <string.h>

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
bool low_stays_inside(const struct lower *l, const struct index *ix, struct ext extent)
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

void low_add_guard(struct lower *l, struct koperand *o, struct index ix, struct ext bound)
{
    struct guard *p = arena_array(l->a, o->nguard + 1U, sizeof *p);
    if (o->nguard)
        memcpy(p, o->guard, o->nguard * sizeof *p);
    p[o->nguard++] = (struct guard){ix, bound};
    o->guard = p;
}

/* Load of operand v, which stands at port p of f, at the point of the box. */
static struct koperand load_port(struct lower *l, value_id v, const struct form *f,
                                 unsigned p, const struct box *box)
{
    const struct port *port = &f->port[p];
    struct koperand o = {.id = low_buffer(l, v)};
    struct ext stride[HYP_RANK];

    low_strides(l, port->shape, port->rank, stride);
    for (unsigned d = 0; d < port->rank; d++) {
        const struct index ix = dim_index(&port->dim[d], box);
        if (!low_stays_inside(l, &ix, port->shape[d]))
            low_add_guard(l, &o, ix, port->shape[d]);
        if (stride[d].b && ix.off.b)
            l->failed = true;
        else
            index_add(&o.index, &ix, stride[d]);
    }
    return o;
}

/* ---- the box ---- */

/* The axis of a chain's link that other products of the group may have as well. */
static uint8_t reduced_axis(struct lower *l, unsigned link, unsigned place,
                            struct ext extent)
{
    for (uint32_t i = 0; i < l->nreduced; i++)
        if (l->reduced[i].link == link && l->reduced[i].place == place &&
            ext_eq(l->k->axis[l->reduced[i].axis], extent))
            return l->reduced[i].axis;
    l->reduced = arena_grow(l->scratch, l->reduced, &l->creduced, l->nreduced + 1,
                            sizeof *l->reduced);
    const struct index ix = low_axis(l, extent, LOW_SUM);
    const uint8_t axis = ix.n ? ix.t[0].axis : 0;
    l->reduced[l->nreduced++] = (struct reduced){link, place, axis};
    return axis;
}

/* Axes that nothing fixes are reduced, in box order. */
static void reduce_rest(struct lower *l, const struct form *f, unsigned link,
                        struct box *box, struct kseg *seg)
{
    for (unsigned x = 0; x < f->naxis; x++) {
        if (box->known[x])
            continue;
        box->known[x] = true;
        box->at[x] = index_const(0);
        if (low_is_one(f->axis[x]))
            continue;
        if (seg->nred == LOOP_RED) {
            l->failed = true;
            return;
        }
        const uint8_t axis = reduced_axis(l, link, seg->nred, f->axis[x]);
        box->at[x] = index_axis(axis, 1);
        seg->red[seg->nred++] = axis;
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
        if (!low_stays_inside(l, &ix, extent))
            low_add_guard(l, &box->holes, ix, extent);
    }
}

/* Nothing is fixed: the sum runs over the whole box, and meets each element by guards. */
static void meet(struct lower *l, const struct form *f, unsigned out, unsigned link,
                 const struct index *at, struct box *box, struct kseg *seg)
{
    const struct port *q = &f->port[out];
    reduce_rest(l, f, link, box, seg);
    for (unsigned d = 0; d < q->rank; d++) {
        struct index ix = dim_index(&q->dim[d], box);
        index_add(&ix, &at[d], ext_const(-1));
        low_add_guard(l, &box->holes, ix, ext_const(1));
    }
}

/* ---- sums ---- */

/* A factor: a map inlined there, a stage of the group, or a load. */
static sx_id form_operand(struct lower *l, struct kstage *s, value_id v,
                          const struct form *f, unsigned port, const struct box *box,
                          uint32_t inner)
{
    const int made = inner ? (int)inner - 1 : low_made(l, v);
    if (made >= 0)
        return low_use_stage(l, s, v, (uint32_t)made);
    struct koperand o = load_port(l, v, f, port, box);
    for (unsigned i = 0; i < box->holes.nguard; i++)
        low_add_guard(l, &o, box->holes.guard[i].index, box->holes.guard[i].bound);
    return sx_arg(&l->k->sx, low_add_operand(l, s, o), low_sx_type(l, v));
}

/* A sum over points of the group's own space: along its rows or down its columns. */
static bool own_box(const struct lower *l, const struct node *n, const struct form *f,
                    struct box *box, struct kseg *seg)
{
    const unsigned in = 1U - n->port;
    const uint32_t reduced = form_reduced(f, n->port);
    int8_t to[HYP_RANK];

    if (group_sum_kind(l->g, n) == SUM_OTHER ||
        group_align(&l->group->main, graph_type(l->g, graph_in(l->g, n)[0]), to) !=
            AT_POINT)
        return false;
    for (unsigned d = 0; d < f->port[in].rank; d++) {
        const struct dimmap *dm = &f->port[in].dim[d];
        if (to[d] < 0 || dm->n != 1)
            continue;
        box->at[dm->axis[0]] = l->main[to[d]];
        if (reduced >> dm->axis[0] & 1)
            seg->red[seg->nred++] = l->main[to[d]].t[0].axis;
    }
    return true;
}

/* A product or sum of a chain, and where its factors come from. */
struct link {
    const struct node *n;
    const struct form *f;
    unsigned link; /* number of those before it in the chain */
    struct box box;
    struct kseg seg;
    uint32_t inner[2]; /* 1 + stage of a map inlined into a factor */
};

/* Fills box and segment; of a window, the form becomes its piece's. */
static void find_box(struct lower *l, struct link *k)
{
    const struct node *n = k->n;
    struct index at[HYP_RANK];

    if (own_box(l, n, k->f, &k->box, &k->seg))
        return;
    if (l->piece && n == &l->g->node[l->window]) {
        k->f = &l->piece->form;
        low_piece_box(l, n, &k->box);
        reduce_rest(l, k->f, k->link, &k->box, &k->seg);
        return;
    }
    low_value_at(l, graph_type(l->g, n->out0), at);
    if (!form_is_direct(k->f, n->port)) {
        meet(l, k->f, n->port, k->link, at, &k->box, &k->seg);
        return;
    }
    fix_axes(l, k->f, n->port, at, &k->box);
    reduce_rest(l, k->f, k->link, &k->box, &k->seg);
}

/* The map at the point of the box: a factor is 0 where a load of it would be. */
static uint32_t inline_factor(struct lower *l, const struct node *map,
                              const struct port *port, const struct box *box)
{
    struct koperand o = box->holes;
    struct index at[HYP_RANK];
    for (unsigned d = 0; d < port->rank; d++) {
        at[d] = dim_index(&port->dim[d], box);
        if (!low_stays_inside(l, &at[d], port->shape[d]))
            low_add_guard(l, &o, at[d], port->shape[d]);
    }
    return low_inline(l, map, at, (struct inside){o.guard, o.nguard});
}

static bool prepare_link(struct lower *l, struct link *k)
{
    find_box(l, k);
    if (l->failed)
        return low_refuse(l, k->n, "so many axes");
    const struct form *f = k->f;
    for (unsigned p = 0, i = 0; p < f->nport; p++) {
        if (p == k->n->port)
            continue;
        const struct node *in = low_inlined(l, graph_in(l->g, k->n)[i++]);
        k->inner[i - 1] = in ? 1 + inline_factor(l, in, &f->port[p], &k->box) : 0;
    }
    return true;
}

static void add_segment(struct lower *l, struct kstage *s, struct link *k)
{
    unsigned nf = 0;
    for (unsigned p = 0; p < k->f->nport; p++)
        if (p != k->n->port) {
            k->seg.factor[nf] = form_operand(l, s, graph_in(l->g, k->n)[nf], k->f, p,
                                             &k->box, k->inner[nf]);
            nf++;
        }
    if (s->op == K_MAP) {
        s->value = k->seg.factor[0];
        return;
    }
    struct kseg *all = arena_array(l->a, s->nseg + 1, sizeof *all);
    if (s->nseg)
        memcpy(all, s->seg, s->nseg * sizeof *all);
    all[s->nseg++] = k->seg;
    s->seg = all;
    s->order = k->seg.nred ? k->f->order : ORDER_SEQ;
    s->chunk = k->f->chunk;
}

/* The chain that ends in node n, first product first. */
static struct link *chain_of(struct lower *l, const struct node *n, unsigned *count)
{
    unsigned m = 1;
    for (const struct node *x = n; x->nin == l->g->form[x->attr].nport; m++)
        x = &l->g->node[l->g->value[graph_in(l->g, x)[x->nin - 1]].def];
    struct link *k = arena_array(l->scratch, m, sizeof *k);
    for (unsigned i = m; i-- > 0;) {
        k[i].n = n;
        k[i].link = i;
        k[i].f = &l->g->form[n->attr];
        if (i)
            n = &l->g->node[l->g->value[graph_in(l->g, n)[n->nin - 1]].def];
    }
    *count = m;
    return k;
}

/* Elements that no term reaches. */
static bool low_nothing(struct lower *l, const struct node *n)
{
    struct index at[HYP_RANK];
    struct kstage *s = low_new_stage(l, n, K_MAP);
    low_value_at(l, graph_type(l->g, n->out0), at);
    low_space(l, s, graph_type(l->g, n->out0), at);
    s->value = s->dtype == DT_F32   ? sx_const(&l->k->sx, 0)
               : s->dtype == DT_I32 ? sx_int(&l->k->sx, 0)
                                    : sx_bool(&l->k->sx, false);
    low_finish(l, n->out0);
    return !l->failed;
}

bool low_form(struct lower *l, const struct node *n)
{
    struct index at[HYP_RANK];
    unsigned count;

    if (l->piece && l->piece->zero && n == &l->g->node[l->window])
        return low_nothing(l, n);
    struct link *k = chain_of(l, n, &count);

    for (unsigned i = 0; i < count; i++)
        if (!prepare_link(l, &k[i]))
            return false;
    struct kstage *s =
        low_new_stage(l, n, k[0].seg.nred || k[0].f->nport == 3 ? K_SUM : K_MAP);
    low_value_at(l, graph_type(l->g, n->out0), at);
    low_space(l, s, graph_type(l->g, n->out0), at);
    for (unsigned i = 0; i < count; i++) {
        add_segment(l, s, &k[i]);
        if (i + 1 < count)
            low_add_place(l, k[i].n->place);
    }
    low_finish(l, n->out0);
    return !l->failed;
}

bool low_fold(struct lower *l, const struct node *n)
{
    struct link k = {.n = n, .f = &l->g->form[n->attr]};
    struct index at[HYP_RANK];

    if (!prepare_link(l, &k))
        return false;
    low_value_at(l, graph_type(l->g, n->out0), at);
    for (unsigned o = 0; o < 2; o++) {
        struct kstage *s = low_new_stage(l, n, K_FOLD);
        s->comb = o ? COMB_ARGMAX : COMB_MAX;
        s->dtype = graph_type(l->g, n->out0 + o)->dtype;
        low_space(l, s, graph_type(l->g, n->out0), at);
        s->value =
            form_operand(l, s, graph_in(l->g, n)[0], k.f, 1U - n->port, &k.box, k.inner[0]);
        s->nred = k.seg.nred;
        memcpy(s->red, k.seg.red, sizeof s->red);
        low_finish(l, n->out0 + o);
    }
    return !l->failed;
}
