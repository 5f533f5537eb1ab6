/* What every graph must satisfy; run after each pass and on every text that is read. */
#include <string.h>

#include "compiler/ir/graph_internal.h"

struct check {
    const struct graph *g;
    struct arena *arena, *scratch;
    const char *wrong;
};

static bool bad(struct check *c, node_id id, const char *what)
{
    if (!c->wrong)
        c->wrong = arena_fmt(c->arena, "node %u (%s): %s", id,
                             graph_word(WORDS_graph_op, c->g->node[id].op), what);
    return false;
}

static const struct type *in_type(const struct graph *g, const struct node *n, unsigned i)
{
    return graph_type(g, graph_in(g, n)[i]);
}

static bool same_dims(const struct type *t, const struct port *p)
{
    bool ok = t->rank == p->rank;
    for (unsigned i = 0; ok && i < t->rank; i++)
        ok = ext_eq(t->dim[i], p->shape[i]);
    return ok;
}

/* Every sx leaf means something here: operands, axes of the output, sites. */
static const char *sx_wrong(const struct check *c, const struct node *n,
                            const struct type *out)
{
    const struct graph *g = c->g;
    sx_id *order;
    if (!n->attr || n->attr >= g->sx.n)
        return "no such expression";
    const sx_id root = n->attr;
    const uint32_t count = sx_postorder(&g->sx, &root, 1, c->scratch, &order);
    for (uint32_t i = 0; i < count; i++) {
        const struct sx_node *x = &g->sx.node[order[i]];
        if (x->op == SX_ARG &&
            (x->a >= n->nin || x->type != graph_sx_type(in_type(g, n, x->a)->dtype)))
            return "an operand of the expression is missing or has another dtype";
        if (x->op == SX_AXIS && x->a >= out->rank)
            return "the expression uses an axis that the output lacks";
        if (x->op == SX_RNG && (!x->a || x->a >= g->nsite))
            return "the expression draws at no site";
        if (x->op == SX_SCALAR)
            return "the expression uses a run-time scalar: those come with kernels";
    }
    return graph_dtype_of(g->sx.node[root].type) == out->dtype ? NULL : "dtype";
}

static bool check_map(struct check *c, node_id id)
{
    const struct graph *g = c->g;
    const struct node *n = &g->node[id];
    const struct type *out = graph_type(g, n->out0);
    const char *wrong = sx_wrong(c, n, out);
    int8_t to[HYP_RANK];
    if (wrong)
        return bad(c, id, wrong);
    for (unsigned i = 0; i < n->nin; i++)
        if (!map_align(out, in_type(g, n, i), to))
            return bad(c, id, "an operand does not line up with the output");
    return true;
}

static bool check_form(struct check *c, node_id id)
{
    const struct graph *g = c->g;
    const struct node *n = &g->node[id];
    if (!n->attr || n->attr >= g->nform)
        return bad(c, id, "no such form");
    const struct form *f = &g->form[n->attr];
    const char *wrong = form_validate(f);
    if (wrong)
        return bad(c, id, wrong);
    const bool onto = n->op == OP_FORM && n->nin == f->nport;
    if (n->port >= f->nport || (n->nin != f->nport - 1 && !onto) ||
        (n->op == OP_FOLD && f->nport != 2))
        return bad(c, id, "ports and operands differ in number");
    if (onto && (f->order != ORDER_SEQ ||
                 !type_eq(in_type(g, n, n->nin - 1), graph_type(g, n->out0))))
        return bad(c, id, "a chain that goes on needs order SEQ and the output's type");
    for (unsigned i = 0; i + 1 < f->nport; i++)
        if (!same_dims(in_type(g, n, i), &f->port[i < n->port ? i : i + 1]))
            return bad(c, id, "an operand has not its port's shape");
    for (unsigned i = 0; i < n->nout; i++)
        if (!same_dims(graph_type(g, n->out0 + i), &f->port[n->port]))
            return bad(c, id, "the output has not its port's shape");
    if (n->nout != (n->op == OP_FOLD ? 2 : 1))
        return bad(c, id, "number of outputs");
    return true;
}

static bool check_gather(struct check *c, node_id id)
{
    const struct graph *g = c->g;
    const struct node *n = &g->node[id];
    struct type t;
    bool aligned;
    if (n->nin != 2 || n->nout != 1)
        return bad(c, id, "number of operands");
    const struct type *big = n->op == OP_GATHER ? in_type(g, n, 0) : graph_type(g, n->out0);
    const struct type *small =
        n->op == OP_GATHER ? graph_type(g, n->out0) : in_type(g, n, 0);
    if (!gather_type(big, in_type(g, n, 1), (uint8_t)n->attr, &t, &aligned) ||
        !type_eq(&t, small))
        return bad(c, id, "source, index and result do not fit");
    return true;
}

static bool check_rest(struct check *c, node_id id)
{
    const struct graph *g = c->g;
    const struct node *n = &g->node[id];
    if (n->op == OP_LEAF) {
        if (!n->attr || n->attr >= g->nleaf || n->nout != 1 ||
            g->leaf[n->attr].value != n->out0 ||
            !type_eq(&g->leaf[n->attr].type, graph_type(g, n->out0)))
            return bad(c, id, "leaf and node differ");
        return true;
    }
    if (n->op == OP_STOP)
        return (n->nin == 1 && n->nout == 1 &&
                type_eq(in_type(g, n, 0), graph_type(g, n->out0))) ||
               bad(c, id, "type");
    if (n->op != OP_GRAD)
        return bad(c, id, "no such op");
    const unsigned first = n->seeded ? 2 : 1;
    if (n->nin <= first || n->nout != n->nin - first)
        return bad(c, id, "number of operands");
    if (n->seeded && !type_eq(in_type(g, n, 0), in_type(g, n, 1)))
        return bad(c, id, "a weight has not its value's type");
    for (unsigned i = 0; i < n->nout; i++)
        if (!type_eq(in_type(g, n, i + first), graph_type(g, n->out0 + i)))
            return bad(c, id, "a gradient has not its operand's type");
    return true;
}

static bool check_links(struct check *c, node_id id)
{
    const struct graph *g = c->g;
    const struct node *n = &g->node[id];
    if (!n->region || n->region >= g->nregion || n->place >= g->nplace)
        return bad(c, id, "no such region or place");
    for (unsigned i = 0; i < n->nin; i++) {
        const value_id v = graph_in(g, n)[i];
        if (!v || v >= n->out0)
            return bad(c, id, "an operand is not defined before");
        const region_id r = g->node[g->value[v].def].region;
        const uint8_t kind = g->region[r].kind;
        if (r != n->region && kind != REGION_GLOBAL && kind != REGION_HOST)
            return bad(c, id, "an operand of another phase");
    }
    for (unsigned i = 0; i < n->nout; i++) {
        const struct type *t = graph_type(g, n->out0 + i);
        if (g->value[n->out0 + i].def != id || g->value[n->out0 + i].index != i)
            return bad(c, id, "an output is another node's");
        if (t->rank > HYP_RANK || (t->sample && (!t->rank || t->dim[0].b <= 0)))
            return bad(c, id, "a sample type without batch");
    }
    return true;
}

static bool check_node(struct check *c, node_id id)
{
    const struct node *n = &c->g->node[id];
    if (!check_links(c, id))
        return false;
    switch ((enum graph_op)n->op) {
    case OP_MAP:
        return check_map(c, id);
    case OP_FORM:
    case OP_FOLD:
        return check_form(c, id);
    case OP_GATHER:
    case OP_SCATTER:
        return check_gather(c, id);
    case OP_NOP:
    case OP_LEAF:
    case OP_LOOP:
    case OP_STOP:
    case OP_GRAD:
        break;
    }
    return check_rest(c, id);
}

static bool check_tables(struct check *c)
{
    const struct graph *g = c->g;
    for (leaf_id i = 1; i < g->nleaf; i++) {
        const struct leaf *l = &g->leaf[i];
        if (l->region >= g->nregion || l->value >= g->nvalue || l->def >= g->nvalue ||
            (l->def && (!l->version || !type_eq(&l->type, graph_type(g, l->def))))) {
            c->wrong = arena_fmt(c->arena, "leaf %u (%s): its version's value", i, l->path);
            return false;
        }
    }
    for (region_id r = 1; r < g->nregion; r++)
        for (uint32_t i = 0; i < g->region[r].nroot; i++) {
            const struct root *x = &g->region[r].root[i];
            const bool known = x->value && x->value < g->nvalue && x->leaf < g->nleaf;
            if (!known ||
                (x->leaf && !type_eq(&g->leaf[x->leaf].type, graph_type(g, x->value)))) {
                c->wrong = arena_fmt(c->arena, "root %u of %s: %s", i, g->region[r].name,
                                     known ? "the leaf has another type" : "no such value");
                return false;
            }
        }
    for (place_id i = 1; i < g->nplace; i++)
        if (g->place[i].parent >= i) {
            c->wrong = arena_fmt(c->arena, "place %u: its parent comes later", i);
            return false;
        }
    return true;
}

const char *graph_validate(const struct graph *g, struct arena *a)
{
    struct check c = {g, a, arena_new(), NULL};
    bool ok = true;
    for (node_id id = 1; ok && id < g->nnode; id++) {
        ok = check_node(&c, id);
        arena_reset(c.scratch);
    }
    arena_free(c.scratch);
    if (ok)
        check_tables(&c);
    return c.wrong;
}
