/*
 * Gradient sums become one chain: the sum of two gradients, both products that nothing else
 * reads, is one product that goes on from the other.
 *
 * It is part of the graph's meaning (the rounding of every step is fixed here), so that a
 * kernel that holds both products and a kernel that starts from a stored one give the same
 * bits.  Only chains of order SEQ can go on; at most SEGMENT_MAX products share one chain,
 * since each brings an axis of its own to the kernel.
 */
#include "compiler/passes/pass.h"
#include "runtime/base/arena.h"

#define SEGMENT_MAX 5

struct segment_cx {
    uint32_t *uses;           /* by old value */
    uint8_t *length;          /* by old value: products in the chain */
    value_id *first, *second; /* by old value: the two products this sum joins; 0: none */
    bool *joined;             /* by old value: emitted by the sum that reads it */
    form_id *form;            /* by old value: of a product, or of the chain's first */
};

static bool is_product(const struct graph *g, value_id v)
{
    const struct node *n = &g->node[g->value[v].def];
    return n->op == OP_FORM && g->form[n->attr].nport == 3 &&
           g->form[n->attr].order == ORDER_SEQ &&
           form_is_direct(&g->form[n->attr], n->port); /* pieces are chains of their own */
}

/*
 * Only sums that differentiation made: a probe may read a product that the model writes,
 * and must not change a bit by that, but it cannot name the parts of a gradient.
 */
static bool is_sum(const struct graph *g, const struct node *n)
{
    if (g->place[n->place].why != WHY_GRADIENT_OF)
        return false;
    if (n->op != OP_MAP || n->nin != 2)
        return false;
    const struct sx_node *x = &g->sx.node[n->attr];
    return x->op == SX_ADD && g->sx.node[x->a].op == SX_ARG &&
           g->sx.node[x->b].op == SX_ARG && x->a != x->b &&
           type_eq(graph_type(g, graph_in(g, n)[0]), graph_type(g, n->out0)) &&
           type_eq(graph_type(g, graph_in(g, n)[1]), graph_type(g, n->out0));
}

static void count_uses(const struct graph *g, uint32_t *uses)
{
    for (node_id id = 1; id < g->nnode; id++)
        for (unsigned i = 0; i < g->node[id].nin; i++)
            uses[graph_in(g, &g->node[id])[i]]++;
    for (region_id r = 1; r < g->nregion; r++)
        for (uint32_t i = 0; i < g->region[r].nroot; i++)
            uses[g->region[r].root[i].value]++;
    for (leaf_id l = 1; l < g->nleaf; l++)
        if (g->leaf[l].version)
            uses[g->leaf[l].def]++;
}

/* Convolutions share a chain only with their like: kernels walk it in one way. */
static bool is_convolution(const struct form *f)
{
    for (unsigned p = 0; p < f->nport; p++)
        if (!form_is_direct(f, p))
            return true;
    return false;
}

static bool alike(const struct graph *g, form_id x, form_id y)
{
    const struct form *fx = &g->form[x], *fy = &g->form[y];
    return x == y || (!is_convolution(fx) && !is_convolution(fy));
}

/* The right-hand one must be a lone product; the left may be a product or a chain of them.
 */
static void find_sums(const struct graph *g, struct segment_cx *c)
{
    for (value_id v = 1; v < g->nvalue; v++) {
        c->length[v] = is_product(g, v) && g->node[g->value[v].def].nin == 2;
        c->form[v] = c->length[v] ? g->node[g->value[v].def].attr : 0;
    }
    for (node_id id = 1; id < g->nnode; id++) {
        const struct node *n = &g->node[id];
        if (!is_sum(g, n))
            continue;
        value_id x = graph_in(g, n)[0], y = graph_in(g, n)[1];
        if (c->length[y] > 1 || (c->length[x] == 1 && c->length[y] == 1 && x > y)) {
            const value_id z = x;
            x = y;
            y = z;
        }
        if (x == y || !c->length[x] || c->length[y] != 1 || c->uses[x] != 1 ||
            c->uses[y] != 1 || c->length[x] + 1 > SEGMENT_MAX ||
            !alike(g, c->form[x], c->form[y]))
            continue;
        c->first[n->out0] = x;
        c->second[n->out0] = y;
        c->length[n->out0] = (uint8_t)(c->length[x] + 1);
        c->form[n->out0] = c->form[x];
        c->joined[y] = true;
    }
}

static bool join(struct rebuild *r, node_id id)
{
    const struct segment_cx *c = r->cx;
    const struct node *n = &r->from->node[id];
    const value_id y = n->nout ? c->second[n->out0] : 0;

    if (!y) {
        if (!n->nout || !c->joined[n->out0])
            graph_copy_node(r, id);
        return true;
    }
    const struct node *p = &r->from->node[r->from->value[y].def];
    const value_id *in = graph_in(r->from, p);
    const value_id to[2] = {r->map[in[0]], r->map[in[1]]};
    r->map[n->out0] = graph_form_onto(r->to, &r->from->form[p->attr], p->port, to,
                                      r->map[c->first[n->out0]]);
    r->map[y] = r->map[n->out0];
    return true;
}

pass_fn pass_segment;
enum pass_result pass_segment(struct pass_cx *cx)
{
    struct arena *a = arena_new();
    const struct graph *g = &cx->program->graph;
    struct segment_cx c = {
        arena_array(a, g->nvalue + 1, sizeof *c.uses),
        arena_array(a, g->nvalue + 1, 1),
        arena_array(a, g->nvalue + 1, sizeof *c.first),
        arena_array(a, g->nvalue + 1, sizeof *c.second),
        arena_array(a, g->nvalue + 1, sizeof *c.joined),
        arena_array(a, g->nvalue + 1, sizeof *c.form),
    };
    count_uses(g, c.uses);
    find_sums(g, &c);
    const bool ok = program_rebuild(cx->program, join, &c);
    arena_free(a);
    return ok ? PASS_CHANGED : PASS_FAILED;
}
