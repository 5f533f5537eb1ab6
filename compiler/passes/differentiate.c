/*
 * Reverse-mode differentiation, graph to graph.
 *
 * The cone between y and the x's is walked backwards once.  A map's adjoint is a map for
 * each operand (sx_vjp), summed over what the operand was broadcast along; a form's is the
 * same form read out at the operand's port; a fold's sends the cotangent to the element
 * that won, summed by the fold's own form at its other port; gather and scatter are each
 * other's.  The results are ordinary nodes, so a gradient is differentiated by doing the
 * same again.
 */
#include <string.h>

#include "compiler/passes/pass.h"
#include "runtime/base/arena.h"

struct sweep {
    struct graph *g;
    struct diag_sink *ds;
    value_id limit;    /* values from here on are adjoints */
    bool *depends;     /* by value: on an x, where a derivative may pass */
    value_id *adjoint; /* by value */
    bool failed;
};

static bool is_float(const struct graph *g, value_id v)
{
    return graph_type(g, v)->dtype == DT_F32;
}

static void find_dependents(struct sweep *s, const value_id *x, uint32_t n)
{
    const struct graph *g = s->g;
    for (uint32_t i = 0; i < n; i++)
        s->depends[x[i]] = is_float(g, x[i]);
    for (node_id id = 1; id < g->nnode && g->node[id].out0 < s->limit; id++) {
        const struct node *node = &g->node[id];
        bool any = false;
        for (unsigned i = 0; i < node->nin; i++)
            any |= s->depends[graph_in(g, node)[i]];
        if (!any || node->op == OP_STOP)
            continue;
        for (unsigned i = 0; i < node->nout; i++)
            s->depends[node->out0 + i] |= is_float(g, node->out0 + i);
    }
}

static void add_adjoint(struct sweep *s, value_id v, value_id d)
{
    value_id *a = &s->adjoint[v];
    *a = *a ? graph_op2(s->g, SX_ADD, *a, d) : d;
}

/* ---- rules ---- */

static void map_rule(struct sweep *s, const struct node *n, value_id y)
{
    struct graph *g = s->g;
    const unsigned nin = n->nin;
    value_id in[256];
    sx_id d[256] = {0};
    const struct type out = *graph_type(g, n->out0);
    memcpy(in, graph_in(g, n), nin * sizeof *in);
    in[nin] = n->out0;
    in[nin + 1] = y;
    const sx_id result = sx_arg(&g->sx, nin, SX_FLOAT);
    const sx_id cotangent = sx_arg(&g->sx, nin + 1, SX_FLOAT);
    sx_vjp(&g->sx, n->attr, cotangent, result, d, nin);
    for (unsigned i = 0; i < nin; i++) {
        if (!d[i] || !s->depends[in[i]])
            continue;
        g->expr = graph_new_expr(g);
        const value_id full = graph_map(g, d[i], in, (uint8_t)(nin + 2), &out);
        g->expr = 0;
        const struct type t = *graph_type(g, in[i]);
        add_adjoint(s, in[i], graph_sum_to(g, full, &t));
    }
}

static void form_rule(struct sweep *s, const struct node *n, value_id y)
{
    struct graph *g = s->g;
    struct form f = g->form[n->attr];
    const unsigned nin = f.nport - 1U, port = n->port;
    value_id tensor[HYP_PORTS] = {0};
    f.order = ORDER_SEQ;
    f.chunk = 0;
    for (unsigned i = 0; i < nin; i++)
        tensor[i < port ? i : i + 1] = graph_in(g, n)[i];
    tensor[port] = y;
    for (unsigned q = 0; q <= nin; q++) {
        value_id in[HYP_PORTS];
        unsigned k = 0;
        if (q == port || !s->depends[tensor[q]])
            continue;
        for (unsigned j = 0; j <= nin; j++)
            if (j != q)
                in[k++] = tensor[j];
        add_adjoint(
            s, tensor[q],
            graph_form(g, &f, (uint8_t)q, in, graph_type(g, tensor[q])->sample, DT_F32));
    }
    if (n->nin > nin && s->depends[graph_in(g, n)[nin]]) /* what the chain went on from */
        add_adjoint(s, graph_in(g, n)[nin], y);
}

/*
 * The box of a fold as a tensor: the kept axes as the output has them, then the reduced
 * ones. Fills `to_source`, whose port 0 is that tensor and port 1 the source.
 */
static bool fold_box(const struct form *f, unsigned port, const struct type *out,
                     struct type *box, struct form *to_source)
{
    const uint32_t reduced = form_reduced(f, port);
    const struct port *kept = &f->port[port];
    struct port *p = &to_source->port[0];
    *to_source = (struct form){.naxis = f->naxis, .nport = 2};
    memcpy(to_source->axis, f->axis, sizeof f->axis);
    to_source->port[1] = f->port[1 - port];
    for (unsigned i = 0; i < kept->rank; i++) {
        p->dim[p->rank] = kept->dim[i];
        p->shape[p->rank++] = kept->shape[i];
        if (kept->dim[i].n > 1 || (kept->dim[i].n == 1 && kept->dim[i].coef[0] != 1))
            return false; /* overlapping outputs: no pool is written so */
    }
    for (unsigned k = 0; k < f->naxis; k++) {
        if (!(reduced >> k & 1))
            continue;
        if (p->rank == HYP_RANK)
            return false;
        p->dim[p->rank] = (struct dimmap){.n = 1, .axis = {(int8_t)k}, .coef = {1}};
        p->shape[p->rank++] = f->axis[k];
    }
    *box = (struct type){.dtype = DT_F32, .rank = p->rank, .sample = out->sample};
    memcpy(box->dim, p->shape, p->rank * sizeof *box->dim);
    return true;
}

/* The number of the element in the reduced part, of the box's trailing axes. */
static sx_id fold_number(struct graph *g, const struct type *box, unsigned kept)
{
    struct sxb *b = &g->sx;
    sx_id at = sx_int(b, 0);
    for (unsigned d = kept; d < box->rank; d++) {
        at = sx_make(b, SX_IMUL, at, sx_int(b, box->dim[d].c), 0);
        at = sx_make(b, SX_IADD, at, sx_axis(b, d), 0);
    }
    return at;
}

/* Trailing extents of 1 as many as the box has more dims. */
static value_id widen(struct graph *g, value_id v, unsigned rank)
{
    struct type t = *graph_type(g, v);
    while (t.rank < rank)
        t.dim[t.rank++] = ext_const(1);
    return graph_reshape(g, v, &t);
}

static void fold_rule(struct sweep *s, const struct node *n, value_id y)
{
    struct graph *g = s->g;
    const value_id src = graph_in(g, n)[0], index = n->out0 + 1;
    const struct type out = *graph_type(g, n->out0);
    struct type box;
    struct form to_source;
    value_id in[2];
    if (!fold_box(&g->form[n->attr], n->port, &out, &box, &to_source) ||
        !(in[0] = widen(g, index, box.rank)) || !(in[1] = widen(g, y, box.rank))) {
        diag(s->ds, E0509, g->place[n->place].loc,
             "no derivative of this maximum is defined");
        s->failed = true;
        return;
    }
    const sx_id here = sx_make(&g->sx, SX_EQ, sx_arg(&g->sx, 0, SX_I32),
                               fold_number(g, &box, out.rank), 0);
    const sx_id sent =
        sx_make(&g->sx, SX_SEL, here, sx_arg(&g->sx, 1, SX_FLOAT), sx_const(&g->sx, 0));
    const value_id won = graph_map(g, sent, in, 2, &box);
    add_adjoint(s, src,
                graph_form(g, &to_source, 1, &won, graph_type(g, src)->sample, DT_F32));
}

static void gather_rule(struct sweep *s, const struct node *n, value_id y)
{
    struct graph *g = s->g;
    const value_id from = graph_in(g, n)[0], index = graph_in(g, n)[1];
    const struct type t = *graph_type(g, from);
    const uint8_t axis = (uint8_t)n->attr;
    if (n->op == OP_GATHER)
        add_adjoint(s, from, graph_scatter(g, y, index, axis, &t));
    else
        add_adjoint(s, from, graph_gather(g, y, index, axis));
}

static void node_rule(struct sweep *s, node_id id)
{
    struct graph *g = s->g;
    const struct node n = g->node[id]; /* a copy: the table grows */
    const value_id y = s->adjoint[n.out0];
    if (!y)
        return;
    g->where = graph_place(g, g->place[n.place].loc, n.place, WHY_GRADIENT_OF,
                           g->place[n.place].name);
    switch ((enum graph_op)n.op) {
    case OP_MAP:
        map_rule(s, &n, y);
        return;
    case OP_FORM:
        form_rule(s, &n, y);
        return;
    case OP_FOLD:
        fold_rule(s, &n, y);
        return;
    case OP_GATHER:
    case OP_SCATTER:
        gather_rule(s, &n, y);
        return;
    case OP_NOP:
    case OP_LEAF:
    case OP_LOOP:
    case OP_STOP:
    case OP_GRAD:
        break;
    }
    diag(s->ds, E0509, g->place[n.place].loc, "no derivative of this node is defined");
    s->failed = true;
}

/* Derivatives of derivatives grow as powers. */
static bool too_many(struct sweep *s, struct loc where)
{
    enum { MOST_NODES = 250000 };
    if (s->g->nnode <= MOST_NODES)
        return false;
    diag(s->ds, E0902, where, "limit exceeded: %d nodes, where this derivative is taken",
         MOST_NODES);
    s->failed = true;
    return true;
}

static void walk_back(struct sweep *s, node_id last)
{
    const struct graph *g = s->g;
    const struct loc where = g->place[g->where].loc;
    for (node_id id = last; id >= 1 && !s->failed && !too_many(s, where); id--) {
        const struct node *n = &g->node[id];
        bool any = false;
        for (unsigned i = 0; i < n->nin; i++)
            any |= s->depends[graph_in(g, n)[i]];
        if (any && n->op != OP_STOP)
            node_rule(s, id);
    }
}

/* `seed`: what y is weighted with; 0: ones. */
static bool sweep_back(struct graph *g, value_id y, value_id seed, const value_id *x,
                       uint32_t n, struct diag_sink *ds, value_id *out)
{
    struct arena *scratch = arena_new();
    const place_id where = g->where;
    const uint32_t expr = g->expr;
    struct sweep s = {.g = g, .ds = ds, .limit = g->nvalue};
    s.depends = arena_array(scratch, g->nvalue, sizeof *s.depends);
    s.adjoint = arena_array(scratch, g->nvalue, sizeof *s.adjoint);
    find_dependents(&s, x, n);
    if (s.depends[y]) {
        const struct type t = *graph_type(g, y);
        g->expr = 0;
        s.adjoint[y] = seed ? seed : graph_map(g, sx_const(&g->sx, 1), NULL, 0, &t);
        walk_back(&s, g->value[y].def);
    }
    for (uint32_t i = 0; i < n; i++)
        out[i] = s.adjoint[x[i]];
    g->where = where;
    g->expr = expr;
    arena_free(scratch);
    return !s.failed;
}

bool differentiate(struct graph *g, value_id y, const value_id *x, uint32_t n,
                   struct diag_sink *ds, value_id *out)
{
    return sweep_back(g, y, 0, x, n, ds, out);
}

/* ---- the pass ---- */

static bool expand_grad(struct rebuild *r, node_id id)
{
    const struct pass_cx *cx = r->cx;
    struct graph *g = r->to;
    const struct node *n = &r->from->node[id];
    value_id in[256] = {0}, out[256] = {0};
    if (n->op != OP_GRAD) {
        graph_copy_node(r, id);
        return true;
    }
    for (unsigned i = 0; i < n->nin; i++)
        in[i] = r->map[graph_in(r->from, n)[i]];
    if (!sweep_back(g, in[0], n->seeded ? in[1] : 0, in + (n->seeded ? 2 : 1), n->nout,
                    cx->diags, out))
        return false;
    for (unsigned i = 0; i < n->nout; i++) {
        const struct type t = r->from->value[n->out0 + i].type;
        if (!out[i] && !n->missing_zero) {
            diag(cx->diags, E0503, g->place[n->place].loc,
                 "the gradient is 0: what it is taken of does not depend on this");
            return false;
        }
        if (!out[i])
            out[i] = graph_map(g, sx_const(&g->sx, 0), NULL, 0, &t);
        r->map[n->out0 + i] = out[i];
    }
    return true;
}

pass_fn pass_differentiate;
enum pass_result pass_differentiate(struct pass_cx *cx)
{
    return program_rebuild(cx->program, expand_grad, cx) ? PASS_CHANGED : PASS_FAILED;
}
