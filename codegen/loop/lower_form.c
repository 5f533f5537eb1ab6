/*
 * Forms and folds.  A form's box is rewritten over kernel axes: axes that the read-out port
 * fixes become (+-)(axis - offset), the others are reduced; a load that may leave its
 * tensor carries guards, which is zero padding.
 */
#include "codegen/loop/lowering.h"

#include <string.h>

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
            low_index_add(l, &ix, (uint8_t)b->axis, ext_const(c));
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
                                 unsigned p, const struct box_axis *box)
{
    const struct port *port = &f->port[p];
    struct koperand o = {.id = low_buffer(l, v)};
    struct ext stride[HYP_RANK];

    low_strides(l, port->shape, port->rank, stride);
    for (unsigned d = 0; d < port->rank; d++) {
        struct index ix = dim_index(l, &port->dim[d], box);
        if (!stays_inside(l, &ix, port->shape[d]))
            low_add_guard(l, &o, ix, port->shape[d]);
        for (unsigned i = 0; i < ix.n; i++)
            low_index_add(l, &o.index, ix.t[i].axis,
                          stride[d].b ? low_ext_scale(stride[d], ix.t[i].coef.c)
                                      : low_ext_scale(ix.t[i].coef, stride[d].c));
        if (stride[d].b && ix.off.b)
            l->failed = true;
        const struct ext off = stride[d].b ? low_ext_scale(stride[d], ix.off.c)
                                           : low_ext_scale(ix.off, stride[d].c);
        o.index.off.c += off.c;
        o.index.off.b += off.b;
    }
    return o;
}

/* The axis of a chain's link that other products of the group may have as well. */
static int8_t reduced_axis(struct lower *l, unsigned link, unsigned place,
                           struct ext extent)
{
    for (uint32_t i = 0; i < l->nreduced; i++)
        if (l->reduced[i].link == link && l->reduced[i].place == place &&
            ext_eq(l->k->axis[l->reduced[i].axis], extent))
            return l->reduced[i].axis;
    l->reduced =
        arena_grow(l->a, l->reduced, &l->creduced, l->nreduced + 1, sizeof *l->reduced);
    const int8_t axis = low_new_axis(l, extent, (char)('i' + (int)l->nreduced % 8));
    l->reduced[l->nreduced++] = (struct reduced){link, place, axis};
    return axis;
}

/* Axes the output fixes, guards for holes of the output, fresh axes for the reduced ones.
 */
static bool solve_box(struct lower *l, const struct node *n, const struct form *f,
                      unsigned link, struct box_axis *box, struct koperand *holes,
                      struct kseg *seg)
{
    const struct port *out = &f->port[n->port];
    int8_t axis[HYP_RANK];

    low_value_axes(l, graph_type(l->g, n->out0), axis);
    for (unsigned d = 0; d < out->rank; d++) {
        if (!fix_axis(l, f, &out->dim[d], axis[d], box))
            return false;
        struct index ix = {0};
        if (axis[d] >= 0)
            low_index_add(l, &ix, (uint8_t)axis[d], ext_const(1));
        if (out->dim[d].n == 0) {
            ix.off = (struct ext){-out->dim[d].off.c, -out->dim[d].off.b};
            if (axis[d] >= 0 || ix.off.c || ix.off.b)
                low_add_guard(l, holes, ix, ext_const(1));
            continue;
        }
        const struct box_axis *b = &box[out->dim[d].axis[0]];
        if (axis[d] < 0) { /* extent 1: the box axis is the constant -sign * off */
            ix.off = low_ext_scale(b->off, -b->sign);
        } else {
            ix.n = 0;
            low_index_add(l, &ix, (uint8_t)axis[d], ext_const(b->sign));
            ix.off = low_ext_scale(b->off, -b->sign);
        }
        if (!stays_inside(l, &ix, f->axis[out->dim[d].axis[0]]))
            low_add_guard(l, holes, ix, f->axis[out->dim[d].axis[0]]);
    }
    for (unsigned x = 0; x < f->naxis; x++) {
        if (box[x].known)
            continue;
        box[x] = (struct box_axis){-1, 1, {0, 0}, true};
        if (low_is_one(f->axis[x]))
            continue;
        box[x].axis = reduced_axis(l, link, seg->nred, f->axis[x]);
        if (seg->nred == 4)
            return false;
        seg->red[seg->nred++] = (uint8_t)box[x].axis;
    }
    return true;
}

/* A factor: a map inlined there, a stage of the group, or a load. */
static sx_id form_operand(struct lower *l, struct kstage *s, value_id v,
                          const struct form *f, unsigned port, const struct box_axis *box,
                          const struct koperand *holes, uint32_t inner)
{
    const int made = inner ? (int)inner - 1 : low_made(l, v);
    if (made >= 0)
        return low_use_stage(l, s, v, (uint32_t)made);
    struct koperand o = load_port(l, v, f, port, box);
    for (unsigned i = 0; i < holes->nguard; i++)
        low_add_guard(l, &o, holes->guard[i].index, holes->guard[i].bound);
    return sx_arg(&l->k->sx, low_add_operand(l, s, o), low_sx_type(l, v));
}

/* A sum over points of the group's own space: along its rows or down its columns. */
static bool own_box(const struct lower *l, const struct node *n, const struct form *f,
                    struct box_axis *box, struct kseg *seg)
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
        box[dm->axis[0]] = (struct box_axis){l->main_axis[to[d]], 1, {0, 0}, true};
        if (reduced >> dm->axis[0] & 1)
            seg->red[seg->nred++] = (uint8_t)l->main_axis[to[d]];
    }
    return true;
}

/* A product or sum of a chain, and where its factors come from. */
struct link {
    const struct node *n;
    const struct form *f;
    unsigned link; /* number of those before it in the chain */
    struct box_axis box[HYP_AXES];
    struct koperand holes;
    struct kseg seg;
    uint32_t inner[2]; /* 1 + stage of a map inlined into a factor */
};

static bool prepare_link(struct lower *l, struct link *k)
{
    const struct form *f = k->f;
    if (!own_box(l, k->n, f, k->box, &k->seg) &&
        !solve_box(l, k->n, f, k->link, k->box, &k->holes, &k->seg))
        return low_refuse(l, k->n, "windows");
    for (unsigned p = 0, i = 0; p < f->nport; p++) {
        if (p == k->n->port)
            continue;
        const struct node *in = low_inlined(l, graph_in(l->g, k->n)[i++]);
        int8_t axis[HYP_RANK];
        for (unsigned d = 0; in && d < f->port[p].rank; d++)
            axis[d] =
                (int8_t)(f->port[p].dim[d].n ? k->box[f->port[p].dim[d].axis[0]].axis : -1);
        k->inner[i - 1] = in ? 1 + low_inline(l, in, axis) : 0;
    }
    return true;
}

static void add_segment(struct lower *l, struct kstage *s, struct link *k)
{
    unsigned nf = 0;
    for (unsigned p = 0; p < k->f->nport; p++)
        if (p != k->n->port) {
            k->seg.factor[nf] = form_operand(l, s, graph_in(l->g, k->n)[nf], k->f, p,
                                             k->box, &k->holes, k->inner[nf]);
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
    struct link *k = arena_array(l->a, m, sizeof *k);
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

bool low_form(struct lower *l, const struct node *n)
{
    int8_t axis[HYP_RANK];
    unsigned count;
    struct link *k = chain_of(l, n, &count);

    for (unsigned i = 0; i < count; i++)
        if (!prepare_link(l, &k[i]))
            return false;
    struct kstage *s =
        low_new_stage(l, n, k[0].seg.nred || k[0].f->nport == 3 ? K_SUM : K_MAP);
    low_value_axes(l, graph_type(l->g, n->out0), axis);
    low_space(s, graph_type(l->g, n->out0), axis);
    for (unsigned i = 0; i < count; i++) {
        add_segment(l, s, &k[i]);
        if (i + 1 < count)
            low_add_place(l, k[i].n->place);
    }
    low_finish(l, n->out0);
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

bool low_fold(struct lower *l, const struct node *n)
{
    struct link k = {.n = n, .f = &l->g->form[n->attr]};
    int8_t axis[HYP_RANK];

    if (is_windowed(&k.f->port[1U - n->port]))
        return low_refuse(l, n, "windows");
    if (!prepare_link(l, &k))
        return false;
    low_value_axes(l, graph_type(l->g, n->out0), axis);
    for (unsigned o = 0; o < 2; o++) {
        struct kstage *s = low_new_stage(l, n, K_FOLD);
        s->comb = o ? COMB_ARGMAX : COMB_MAX;
        s->dtype = graph_type(l->g, n->out0 + o)->dtype;
        low_space(s, graph_type(l->g, n->out0), axis);
        s->value = form_operand(l, s, graph_in(l->g, n)[0], k.f, 1U - n->port, k.box,
                                &k.holes, k.inner[0]);
        if (s->operand[s->noperand - 1].nguard)
            return low_refuse(l, n, "folds that leave their source");
        s->nred = k.seg.nred;
        memcpy(s->red, k.seg.red, sizeof s->red);
        low_finish(l, n->out0 + o);
    }
    return !l->failed;
}
