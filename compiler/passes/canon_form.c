/*
 * Canonical forms.
 *
 * Extents of 1 leave the box.  A form reads through copies (permutations, slices,
 * broadcasts, constants) by composing index maps, so a transposed weight is a product with
 * its ports the other way round, and its gradient needs no transposing.  A product that is
 * no matrix product, because one tensor has all axes of the box (a critic's last layer,
 * outer products with a vector, dots), is a map and perhaps a sum: kernels attach those to
 * what they belong to.  Sums over units and batch are split in that order; views of views
 * are one view.
 */
#include "compiler/passes/canon.h"

#include <string.h>

static void drop_unit_axes(struct form *f)
{
    uint8_t to[HYP_AXES], n = 0;
    for (unsigned k = 0; k < f->naxis; k++) {
        const bool unit = f->axis[k].c == 1 && f->axis[k].b == 0;
        to[k] = unit ? HYP_AXES : n;
        if (!unit)
            f->axis[n++] = f->axis[k];
    }
    for (unsigned k = n; k < f->naxis; k++)
        f->axis[k] = (struct ext){0};
    f->naxis = n;
    for (unsigned p = 0; p < f->nport; p++)
        for (unsigned i = 0; i < f->port[p].rank; i++) {
            struct dimmap *d = &f->port[p].dim[i], old = *d;
            *d = (struct dimmap){.off = old.off};
            for (unsigned k = 0; k < old.n; k++)
                if (to[old.axis[k]] < HYP_AXES) {
                    d->axis[d->n] = (int8_t)to[old.axis[k]];
                    d->coef[d->n++] = old.coef[k];
                }
        }
}

/* Each dim is one whole axis of its own, or an extent of 1. */
static bool is_plain_port(const struct form *f, unsigned p)
{
    const struct port *q = &f->port[p];
    uint32_t seen = 0;
    for (unsigned i = 0; i < q->rank; i++) {
        const struct dimmap *d = &q->dim[i];
        if (d->n > 1 || d->off.c || d->off.b)
            return false;
        if (d->n ? d->coef[0] != 1 || !ext_eq(f->axis[d->axis[0]], q->shape[i])
                 : !ext_eq(q->shape[i], ext_const(1)))
            return false;
        if (d->n && (seen >> d->axis[0] & 1)) /* a diagonal */
            return false;
        seen |= d->n ? 1U << d->axis[0] : 0;
    }
    return true;
}

static bool constant(const struct graph *g, value_id v)
{
    const struct node *n = &g->node[g->value[v].def];
    return n->op == OP_MAP && n->nin == 0 && g->sx.node[n->attr].op == SX_K;
}

/* A sum over units and batch as two: the port between them has the units' sums, batch
 * first. */
static value_id split_sum(struct graph *g, const struct form *f, uint8_t port, value_id x,
                          const struct type *out)
{
    const uint32_t reduced = form_reduced(f, port);
    struct form units = *f, batch = *f;
    struct port mid = {0};
    bool sample = out->sample;
    for (unsigned k = 0; k < f->naxis; k++)
        if ((reduced >> k & 1) && f->axis[k].b) {
            mid.dim[mid.rank] = (struct dimmap){.n = 1, .axis = {(int8_t)k}, .coef = {1}};
            mid.shape[mid.rank++] = f->axis[k];
        }
    sample |= mid.rank == 1 && graph_type(g, x)->sample;
    for (unsigned i = 0; i < f->port[port].rank; i++) {
        mid.dim[mid.rank] = f->port[port].dim[i];
        mid.shape[mid.rank++] = f->port[port].shape[i];
    }
    units.port[port] = mid;
    batch.port[1 - port] = mid;
    const value_id partial = graph_form(g, &units, port, &x, sample, out->dtype);
    uint32_t gone = 0; /* axes of the units' sums are not in the second box */
    for (unsigned k = 0; k < f->naxis; k++)
        if ((reduced >> k & 1) && !f->axis[k].b) {
            batch.axis[k] = ext_const(1);
            gone |= 1U << k;
        }
    if (gone)
        drop_unit_axes(&batch);
    return graph_form(g, &batch, port, &partial, out->sample, out->dtype);
}

static bool sums_both(const struct form *f, unsigned port)
{
    const uint32_t reduced = form_reduced(f, port);
    bool units = false, batch = false;
    for (unsigned k = 0; k < f->naxis; k++)
        if (reduced >> k & 1)
            *(f->axis[k].b ? &batch : &units) = true;
    return f->nport == 2 && units && batch && f->port[port].rank + 1 <= HYP_RANK &&
           is_plain_port(f, 0) && is_plain_port(f, 1);
}

/* A view of a view is one view. */
static value_id view_of(struct graph *g, const struct form *f, uint8_t port, value_id x,
                        const struct type *out)
{
    const struct node *n = &g->node[g->value[x].def];
    if (n->op != OP_FORM || !form_is_view(f, port) ||
        !form_is_view(&g->form[n->attr], n->port))
        return 0;
    const value_id src = graph_in(g, n)[0];
    struct type t = *out;
    t.dtype = graph_type(g, src)->dtype;
    if (type_eq(&t, graph_type(g, src)))
        return src;
    bool ok;
    const struct type *from = graph_type(g, src);
    struct form whole = form_reshape(from->dim, from->rank, t.dim, t.rank, &ok);
    if (!ok)
        return 0;
    drop_unit_axes(&whole);
    return graph_form(g, &whole, 1, &src, t.sample, t.dtype);
}

/* ---- reading through copies ---- */

/* A value that copies elements of another: its form, read out at `port`. */
struct copy {
    struct form f;
    unsigned port;
    value_id of;
};

static bool map_is_copy(const struct graph *g, value_id v, struct copy *c)
{
    const struct node *n = &g->node[g->value[v].def];
    const struct type *whole = graph_type(g, v), *part;
    int8_t to[HYP_RANK];
    if (n->op != OP_MAP || n->nin != 1 || g->sx.node[n->attr].op != SX_ARG)
        return false;
    c->of = graph_in(g, n)[0];
    part = graph_type(g, c->of);
    if (part->dtype != whole->dtype || !map_align(whole, part, to))
        return false;
    c->f = (struct form){.naxis = whole->rank, .nport = 2};
    c->port = 0;
    c->f.port[0].rank = whole->rank;
    c->f.port[1].rank = part->rank;
    for (unsigned i = 0; i < whole->rank; i++) {
        c->f.axis[i] = c->f.port[0].shape[i] = whole->dim[i];
        c->f.port[0].dim[i] = (struct dimmap){.n = 1, .axis = {(int8_t)i}, .coef = {1}};
    }
    for (unsigned i = 0; i < part->rank; i++) {
        c->f.port[1].shape[i] = part->dim[i];
        if (to[i] >= 0)
            c->f.port[1].dim[i] = (struct dimmap){.n = 1, .axis = {to[i]}, .coef = {1}};
    }
    drop_unit_axes(&c->f);
    return true;
}

static uint32_t axes_of(const struct port *p)
{
    uint32_t set = 0;
    for (unsigned i = 0; i < p->rank; i++)
        for (unsigned k = 0; k < p->dim[i].n; k++)
            set |= 1U << p->dim[i].axis[k];
    return set;
}

/* Plain at its own side: every dim a whole axis of its own. */
static bool is_copy(const struct graph *g, value_id v, struct copy *c)
{
    const struct node *n = &g->node[g->value[v].def];
    if (map_is_copy(g, v, c))
        return true;
    if (n->op != OP_FORM || g->form[n->attr].nport != 2 || n->nin != 1)
        return false;
    c->f = g->form[n->attr];
    c->port = n->port;
    c->of = graph_in(g, n)[0];
    unsigned ndim = 0;
    for (unsigned i = 0; i < c->f.port[c->port].rank; i++)
        ndim += c->f.port[c->port].dim[i].n;
    return !form_reduced(&c->f, c->port) && is_plain_port(&c->f, c->port) &&
           ndim == c->f.naxis;
}

static bool add_scaled(struct dimmap *d, const struct dimmap *x, int32_t by)
{
    d->off.c += by * x->off.c;
    d->off.b += by * x->off.b;
    for (unsigned k = 0; k < x->n; k++) {
        unsigned j = 0;
        while (j < d->n && d->axis[j] != x->axis[k])
            j++;
        if (j == HYP_DIM_AXES || (j < d->n && d->coef[j] + by * x->coef[k] == 0))
            return false;
        if (j == d->n)
            d->axis[d->n++] = x->axis[k];
        d->coef[j] += by * x->coef[k];
    }
    return true;
}

/* Does f's port q stay inside dim r whatever the axes are? */
static bool stays_inside(const struct form *f, unsigned q, unsigned r)
{
    const struct dimmap *d = &f->port[q].dim[r];
    if (d->off.c || d->off.b || d->n > 1)
        return false;
    return d->n == 0 ||
           (d->coef[0] == 1 && ext_eq(f->axis[d->axis[0]], f->port[q].shape[r]));
}

/* Is the copy's axis a whole dim of its source? Then bounds carry over. */
static bool is_whole_dim(const struct copy *c, int8_t axis, struct ext extent)
{
    const struct port *p = &c->f.port[1 - c->port];
    for (unsigned i = 0; i < p->rank; i++)
        if (p->dim[i].n == 1 && p->dim[i].axis[0] == axis && p->dim[i].coef[0] == 1 &&
            !p->dim[i].off.c && !p->dim[i].off.b && ext_eq(p->shape[i], extent))
            return true;
    return false;
}

/* f with port q reading the copy's source. */
static bool compose(const struct form *f, unsigned q, const struct copy *c,
                    struct form *out)
{
    const struct port *t = &c->f.port[c->port], *u = &c->f.port[1 - c->port];
    const struct dimmap *of_axis[HYP_AXES] = {0};
    for (unsigned r = 0; r < t->rank; r++) {
        const struct dimmap *d = &t->dim[r];
        if (d->n)
            of_axis[d->axis[0]] = &f->port[q].dim[r];
        if (!stays_inside(f, q, r) && !(d->n && is_whole_dim(c, d->axis[0], t->shape[r])))
            return false;
    }
    *out = *f;
    out->port[q] = (struct port){.rank = u->rank};
    for (unsigned r = 0; r < u->rank; r++) {
        struct dimmap *d = &out->port[q].dim[r];
        out->port[q].shape[r] = u->shape[r];
        d->off = u->dim[r].off;
        for (unsigned k = 0; k < u->dim[r].n; k++)
            if (!add_scaled(d, of_axis[u->dim[r].axis[k]], u->dim[r].coef[k]))
                return false;
    }
    return true;
}

/* ---- products that are none ---- */

static uint32_t whole_box(const struct form *f)
{
    return (1U << f->naxis) - 1;
}

static bool all_plain(const struct form *f)
{
    for (unsigned p = 0; p < f->nport; p++) {
        unsigned n = 0;
        uint32_t seen = axes_of(&f->port[p]);
        for (unsigned i = 0; i < f->port[p].rank; i++)
            n += f->port[p].dim[i].n;
        for (; seen; seen &= seen - 1)
            n--;
        if (n || !is_plain_port(f, p))
            return false;
    }
    return true;
}

/* The port, if any, whose tensor has all axes; HYP_PORTS if none. The read-out's first. */
static unsigned full_port(const struct form *f, unsigned port)
{
    if (f->nport != 3 || !all_plain(f))
        return HYP_PORTS;
    if (axes_of(&f->port[port]) == whole_box(f))
        return port;
    for (unsigned p = 0; p < f->nport; p++)
        if (axes_of(&f->port[p]) == whole_box(f))
            return p;
    return HYP_PORTS;
}

/* The tensor at port q so that a map over the tensor at port `full` (type t) reads it. */
static value_id lift(struct graph *g, const struct form *f, unsigned q, value_id v,
                     unsigned full, const struct type *t)
{
    const struct port *whole = &f->port[full], *part = &f->port[q];
    const struct type *from = graph_type(g, v);
    const uint32_t have = axes_of(part);
    struct type view = {.dtype = from->dtype, .sample = from->sample && t->sample};
    int next = -1;
    bool ordered = from->sample == view.sample;
    for (unsigned i = 0; i < part->rank; i++) { /* the same order of axes on both sides? */
        int at = 0;
        if (!part->dim[i].n)
            continue;
        while (!whole->dim[at].n || whole->dim[at].axis[0] != part->dim[i].axis[0])
            at++;
        ordered &= at > next && (view.sample || !t->sample || at > 0);
        next = at;
    }
    for (unsigned i = 0; i < whole->rank; i++) {
        const bool has = whole->dim[i].n && (have >> whole->dim[i].axis[0] & 1);
        if (has || view.rank)
            view.dim[view.rank++] = has ? whole->shape[i] : ext_const(1);
    }
    if (ordered && view.sample)
        ordered = view.rank == whole->rank;
    const value_id w = ordered ? graph_reshape(g, v, &view) : 0;
    if (w)
        return w;
    struct form b = {.naxis = f->naxis, .nport = 2, .port = {*whole, *part}};
    memcpy(b.axis, f->axis, sizeof b.axis);
    return graph_form(g, &b, 0, &v, t->sample, from->dtype);
}

static value_id product_as_map(struct graph *g, const struct form *f, unsigned port,
                               unsigned full, const value_id *in, const struct type *out)
{
    const unsigned q[2] = {port == 0 ? 1 : 0, port == 2 ? 1 : 2};
    const struct type t = full == port ? *out : *graph_type(g, in[q[0] == full ? 0 : 1]);
    value_id side[2];
    for (unsigned i = 0; i < 2; i++)
        side[i] = q[i] == full ? in[i] : lift(g, f, q[i], in[i], full, &t);
    const sx_id fn = sx_make(&g->sx, SX_MUL, sx_arg(&g->sx, 0, SX_FLOAT),
                             sx_arg(&g->sx, 1, SX_FLOAT), 0);
    const value_id product = graph_map(g, fn, side, 2, &t);
    if (full == port)
        return product;
    struct form sum = {
        .naxis = f->naxis, .nport = 2, .port = {f->port[full], f->port[port]}};
    memcpy(sum.axis, f->axis, sizeof sum.axis);
    const bool opaque = false;
    return canon_form(g, &sum, 1, &product, &opaque, out);
}

/* ---- all ---- */

/* A product drops an axis of its operand only where it stops being a product. */
static bool worth_it(const struct form *f, const struct form *composed, unsigned q,
                     unsigned port)
{
    if (f->nport == 2)
        return is_plain_port(f, port);
    return axes_of(&composed->port[q]) == axes_of(&f->port[q]) ||
           full_port(composed, port) < HYP_PORTS;
}

static void read_through(struct graph *g, struct form *f, unsigned port, value_id *in,
                         const bool *opaque)
{
    for (unsigned i = 0; i + 1U < f->nport; i++) {
        const unsigned q = i < port ? i : i + 1;
        struct copy c;
        struct form composed;
        /* sources of copies are canonical, so one step reaches the end, unless it was
         * refused */
        if (opaque[i] || !is_copy(g, in[i], &c) || !compose(f, q, &c, &composed) ||
            !worth_it(f, &composed, q, port))
            continue;
        *f = composed;
        in[i] = c.of;
    }
}

value_id canon_form(struct graph *g, const struct form *form, uint8_t port,
                    const value_id *in, const bool *opaque, const struct type *out)
{
    struct form f = *form;
    value_id from[HYP_PORTS];
    memcpy(from, in, (f.nport - 1U) * sizeof *from);
    drop_unit_axes(&f);
    read_through(g, &f, port, from, opaque);
    const unsigned full = full_port(&f, port);
    if (full < HYP_PORTS)
        return product_as_map(g, &f, port, full, from, out);
    if (f.nport == 2 && constant(g, from[0]) && !form_reduced(&f, port) &&
        is_plain_port(&f, 0) && is_plain_port(&f, 1))
        return graph_map(g, g->node[g->value[from[0]].def].attr, NULL, 0, out);
    if (sums_both(&f, port))
        return split_sum(g, &f, port, from[0], out);
    const value_id view = f.nport == 2 ? view_of(g, &f, port, from[0], out) : 0;
    return view ? view : graph_form(g, &f, port, from, out->sample, out->dtype);
}
