/*
 * Canonical form.
 *
 * Maps: the maps of one written expression become one map, and its products and sums are
 * contracted into fma there, once; later runs never contract again, because the merged map
 * belongs to no expression.  What is merged depends on the expression alone, never on who
 * else reads a part of it, so a probe cannot change a bit.  Forms: extents of 1 leave the
 * box, views of views and broadcasts that maps do anyway vanish, a sum over units and batch
 * is split in that order.  Once no gradient is left to take, stops and scale_grad go. Equal
 * nodes are merged by the builders.
 */
#include <string.h>

#include "compiler/passes/pass.h"
#include "runtime/base/arena.h"

enum { OPERANDS_MAX = 48 };

/* A map before contraction: an expression over values of the old graph. */
struct merged {
    sx_id fn;
    value_id *in;
    uint8_t nin;
};
struct canon {
    struct program *program;
    struct arena *scratch;
    bool *pinned;          /* by old value: somebody names the node itself */
    bool *index_read;      /* by old node: a fold whose second output is used */
    struct merged *merged; /* by old node */
    bool last;             /* no gradient will be taken any more */
};

/* ---- maps ---- */

static bool same_space(const struct type *x, const struct type *y)
{
    struct type t = *x;
    t.dtype = y->dtype;
    return type_eq(&t, y);
}

/* The map that operand v of n becomes part of, or NULL. */
static const struct merged *part_of(const struct canon *c, const struct graph *g,
                                    const struct node *n, value_id v)
{
    const node_id def = g->value[v].def;
    const struct node *d = &g->node[def];
    if (d->op != OP_MAP || !n->expr || d->expr != n->expr || d->region != n->region ||
        c->pinned[v] || !same_space(graph_type(g, v), graph_type(g, n->out0)))
        return NULL;
    return &c->merged[def];
}

static uint8_t add_operand(struct merged *m, value_id v)
{
    unsigned i = 0;
    while (i < m->nin && m->in[i] != v)
        i++;
    if (i == m->nin)
        m->in[m->nin++] = v;
    return (uint8_t)i;
}

static sx_id operand_sx(struct sxb *b, const struct graph *g, struct merged *m, value_id v)
{
    const uint8_t dtype = graph_type(g, v)->dtype;
    const enum sx_type t = dtype == DT_F32 ? SX_FLOAT : dtype == DT_I32 ? SX_I32 : SX_BOOL;
    return sx_arg(b, add_operand(m, v), t);
}

/* The whole written expression that ends in this map. */
static void merge_map(struct canon *c, struct sxb *b, const struct graph *g, node_id id)
{
    const struct node *n = &g->node[id];
    struct merged *m = &c->merged[id];
    sx_id arg[256];
    unsigned total = n->nin;
    for (unsigned i = 0; i < n->nin; i++) {
        const struct merged *p = part_of(c, g, n, graph_in(g, n)[i]);
        total += p ? p->nin : 0;
    }
    m->in = arena_array(c->scratch, total + 1, sizeof *m->in);
    for (unsigned i = 0; i < n->nin; i++) {
        const value_id v = graph_in(g, n)[i];
        const struct merged *p = total <= OPERANDS_MAX ? part_of(c, g, n, v) : NULL;
        if (!p) {
            arg[i] = operand_sx(b, g, m, v);
            continue;
        }
        sx_id inner[256];
        for (unsigned k = 0; k < p->nin; k++)
            inner[k] = operand_sx(b, g, m, p->in[k]);
        arg[i] = sx_substitute(b, p->fn, inner, p->nin);
    }
    m->fn = sx_substitute(b, n->attr, arg, n->nin);
}

static sx_id drop_scale_grad(struct sxb *b, sx_id root, struct arena *scratch)
{
    sx_id *order;
    const uint32_t n = sx_postorder(b, &root, 1, scratch, &order);
    sx_id *made = arena_array(scratch, root + 1U, sizeof *made);
    bool any = false;
    for (uint32_t i = 0; i < n; i++)
        any |= b->node[order[i]].op == SX_FN_scale_grad;
    for (uint32_t i = 0; any && i < n; i++) {
        const sx_id id = order[i];
        const struct sx_node x = b->node[id];
        const struct sx_info *info = sx_op_info((enum sx_op)x.op);
        if (x.op == SX_FN_scale_grad)
            made[id] = made[x.a];
        else if (x.op == SX_RNG)
            made[id] = sx_rng(b, x.a, made[x.b]);
        else if (!info)
            made[id] = id;
        else
            made[id] =
                sx_make(b, (enum sx_op)x.op, made[x.a], info->arity > 1 ? made[x.b] : 0,
                        info->arity > 2 ? made[x.c] : 0);
    }
    return any ? made[root] : root;
}

/* A map reads the source of a broadcast that it would do itself. */
static value_id look_through(const struct canon *c, const struct rebuild *r, value_id v,
                             const struct type *out)
{
    const struct graph *g = r->from;
    for (;;) {
        const struct node *n = &g->node[g->value[v].def];
        const struct form *f = n->op == OP_FORM ? &g->form[n->attr] : NULL;
        int8_t to[HYP_RANK], at[HYP_RANK];
        if (!f || f->nport != 2 || c->pinned[v] || form_reduced(f, n->port))
            return v;
        const value_id src = graph_in(g, n)[0];
        const struct type *t = graph_type(g, src), *wide = graph_type(g, v);
        const struct port *whole = &f->port[n->port], *part = &f->port[1 - n->port];
        bool plain = map_align(wide, t, to) && map_align(out, t, at);
        for (unsigned i = 0; plain && i < wide->rank; i++)
            plain =
                whole->dim[i].n <= 1 && !whole->dim[i].off.c && !whole->dim[i].off.b &&
                (whole->dim[i].n ? whole->dim[i].coef[0] == 1 &&
                                       ext_eq(f->axis[whole->dim[i].axis[0]], wide->dim[i])
                                 : ext_eq(wide->dim[i], ext_const(1)));
        for (unsigned i = 0; plain && i < t->rank; i++) {
            const struct dimmap *d = &part->dim[i];
            plain = d->n <= 1 && !d->off.c && !d->off.b;
            if (plain && d->n)
                plain = d->coef[0] == 1 && to[i] >= 0 && whole->dim[to[i]].n == 1 &&
                        whole->dim[to[i]].axis[0] == d->axis[0];
        }
        if (!plain)
            return v;
        v = src;
    }
}

static void canon_map(struct rebuild *r, node_id id)
{
    struct canon *c = r->cx;
    const struct graph *g = r->from;
    const struct node *n = &g->node[id];
    const struct type *out = graph_type(g, n->out0);
    value_id in[256];
    merge_map(c, &r->to->sx, g, id);
    const struct merged *m = &c->merged[id];
    sx_id fn = n->expr ? sx_contract(&r->to->sx, m->fn) : m->fn;
    if (c->last)
        fn = drop_scale_grad(&r->to->sx, fn, c->scratch);
    for (unsigned i = 0; i < m->nin; i++)
        in[i] = r->map[look_through(c, r, m->in[i], out)];
    r->to->expr = 0;
    r->map[n->out0] = graph_map(r->to, fn, in, m->nin, out);
}

/* ---- forms ---- */

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

/* Each dim is one whole axis, or an extent of 1. */
static bool is_plain_port(const struct form *f, unsigned p)
{
    const struct port *q = &f->port[p];
    for (unsigned i = 0; i < q->rank; i++) {
        const struct dimmap *d = &q->dim[i];
        if (d->n > 1 || d->off.c || d->off.b)
            return false;
        if (d->n ? d->coef[0] != 1 || !ext_eq(f->axis[d->axis[0]], q->shape[i])
                 : !ext_eq(q->shape[i], ext_const(1)))
            return false;
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

static void canon_form(struct rebuild *r, node_id id)
{
    struct graph *g = r->to;
    const struct node *n = &r->from->node[id];
    const struct type out = r->from->value[n->out0].type;
    struct form f = r->from->form[n->attr];
    value_id in[HYP_PORTS];
    value_id *result = &r->map[n->out0];
    for (unsigned i = 0; i < n->nin; i++)
        in[i] = r->map[graph_in(r->from, n)[i]];
    drop_unit_axes(&f);
    if (f.nport == 2 && constant(g, in[0]) && !form_reduced(&f, n->port) &&
        is_plain_port(&f, 0) && is_plain_port(&f, 1)) {
        *result = graph_map(g, g->node[g->value[in[0]].def].attr, NULL, 0, &out);
        return;
    }
    if (sums_both(&f, n->port)) {
        *result = split_sum(g, &f, n->port, in[0], &out);
        return;
    }
    *result = f.nport == 2 ? view_of(g, &f, n->port, in[0], &out) : 0;
    if (!*result)
        *result = graph_form(g, &f, n->port, in, out.sample, out.dtype);
}

/* ---- all ---- */

static bool canon_node(struct rebuild *r, node_id id)
{
    struct canon *c = r->cx;
    const struct node *n = &r->from->node[id];
    if (n->op == OP_MAP) {
        canon_map(r, id);
    } else if (n->op == OP_FORM && n->nin != r->from->form[n->attr].nport) {
        canon_form(r, id);
    } else if (n->op == OP_STOP && c->last) {
        r->map[n->out0] = r->map[graph_in(r->from, n)[0]];
    } else {
        graph_copy_node(r, id);
        if (n->op == OP_FOLD && c->last) {
            const value_id v = r->map[n->out0];
            r->to->node[r->to->value[v].def].comb =
                c->index_read[id] ? COMB_ARGMAX : COMB_MAX;
        }
    }
    return true;
}

static void pin(void *cx, value_id *v)
{
    ((struct canon *)cx)->pinned[*v] = true;
}

static void look_around(struct canon *c, const struct graph *g)
{
    c->pinned = arena_array(c->scratch, g->nvalue, sizeof *c->pinned);
    c->index_read = arena_array(c->scratch, g->nnode, sizeof *c->index_read);
    c->merged = arena_array(c->scratch, g->nnode, sizeof *c->merged);
    for (node_id id = 1; id < g->nnode; id++) {
        const struct node *n = &g->node[id];
        for (unsigned i = 0; i < n->nin; i++) {
            const value_id v = graph_in(g, n)[i];
            if (g->value[v].index == 1)
                c->index_read[g->value[v].def] = true;
            if (n->op == OP_GRAD)
                c->pinned[v] = true;
        }
    }
    for (region_id r = 1; r < g->nregion; r++)
        for (uint32_t i = 0; i < g->region[r].nroot; i++) {
            const value_id v = g->region[r].root[i].value;
            if (g->value[v].index == 1)
                c->index_read[g->value[v].def] = true;
        }
    for (uint32_t i = 0; !c->last && i < c->program->nphase; i++)
        for (uint32_t k = 0; k < c->program->phase[i].nhold; k++)
            pin(c, &c->program->phase[i].hold[k]);
}

pass_fn pass_canon;
enum pass_result pass_canon(struct pass_cx *cx)
{
    struct canon c = {.program = cx->program, .scratch = arena_new()};
    const unsigned done = FACT_NO_GRAD | FACT_NO_STEPS;
    c.last = (pass_facts(cx->program) & done) == done;
    look_around(&c, &cx->program->graph);
    const bool ok = program_rebuild(cx->program, canon_node, &c);
    arena_free(c.scratch);
    return ok ? PASS_CHANGED : PASS_FAILED;
}
