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

#include "compiler/passes/canon.h"
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
    bool any = false;
    for (uint32_t i = 0; i < n; i++)
        any |= b->node[order[i]].op == SX_FN_scale_grad;
    if (!any)
        return root;
    sx_id *made = arena_array(scratch, root + 1U, sizeof *made);
    for (uint32_t i = 0; i < n; i++) {
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
    return made[root];
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
        uint32_t seen = 0; /* an axis in two dims is a diagonal */
        for (unsigned i = 0; plain && i < wide->rank; i++)
            plain =
                whole->dim[i].n <= 1 && !whole->dim[i].off.c && !whole->dim[i].off.b &&
                (whole->dim[i].n ? whole->dim[i].coef[0] == 1 &&
                                       ext_eq(f->axis[whole->dim[i].axis[0]], wide->dim[i])
                                 : ext_eq(wide->dim[i], ext_const(1)));
        for (unsigned i = 0; plain && i < wide->rank; i++)
            if (whole->dim[i].n) {
                plain = !(seen >> whole->dim[i].axis[0] & 1);
                seen |= 1U << whole->dim[i].axis[0];
            }
        for (unsigned i = 0; plain && i < t->rank; i++) {
            const struct dimmap *d = &part->dim[i];
            plain = d->n <= 1 && !d->off.c && !d->off.b &&
                    (d->n || ext_eq(t->dim[i], ext_const(1)));
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

static void form_node(struct rebuild *r, node_id id)
{
    const struct canon *c = r->cx;
    const struct node *n = &r->from->node[id];
    const struct type out = r->from->value[n->out0].type;
    const struct form f = r->from->form[n->attr];
    value_id in[HYP_PORTS];
    bool opaque[HYP_PORTS];
    for (unsigned i = 0; i < n->nin; i++) {
        const value_id v = graph_in(r->from, n)[i];
        in[i] = r->map[v];
        opaque[i] = c->pinned[v];
    }
    r->map[n->out0] = canon_form(r->to, &f, n->port, in, opaque, &out);
}

/* ---- all ---- */

static bool canon_node(struct rebuild *r, node_id id)
{
    struct canon *c = r->cx;
    const struct node *n = &r->from->node[id];
    if (n->op == OP_MAP) {
        canon_map(r, id);
    } else if (n->op == OP_FORM && n->nin != r->from->form[n->attr].nport) {
        form_node(r, id);
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
