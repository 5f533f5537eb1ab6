/*
 * Checks of indices that only the run knows: for every index whose range the graph does not
 * tell, the first of its numbers that is out of range (or, where none is, its first number)
 * becomes an output of the phase, which the executor looks at.  Gathers and scatters
 * themselves read 0 and do nothing there.
 */
#include <string.h>

#include "compiler/ir/range.h"
#include "compiler/passes/pass.h"
#include "runtime/base/arena.h"

struct bounds {
    struct program *p;
    struct arena *a;
    bool *wanted; /* by node: something other than a probe needs it */
};

static int32_t extent_of(const struct graph *g, const struct node *n)
{
    const struct type *big =
        graph_type(g, n->op == OP_GATHER ? graph_in(g, n)[0] : n->out0);
    return big->dim[n->attr].b ? 0 : big->dim[n->attr].c;
}

static void want(struct bounds *b, value_id v)
{
    b->wanted[b->p->graph.value[v].def] = true;
}

/* From the last node to the first: operands come before. */
static void find_wanted(struct bounds *b)
{
    const struct graph *g = &b->p->graph;
    for (region_id r = 1; r < g->nregion; r++)
        for (uint32_t i = 0; i < g->region[r].nroot; i++) {
            const struct root *x = &g->region[r].root[i];
            if (x->why != ROOT_OUTPUT || !x->name || strncmp(x->name, "probe/", 6) != 0)
                want(b, x->value);
        }
    for (node_id id = g->nnode; id-- > 1;)
        for (unsigned i = 0; b->wanted[id] && i < g->node[id].nin; i++)
            want(b, graph_in(g, &g->node[id])[i]);
}

/* All elements in a row, batch included. */
static value_id flat(struct graph *g, value_id x)
{
    const struct type *t = graph_type(g, x);
    struct type to = {.dtype = t->dtype, .rank = 1, .dim = {{1, 0}}};
    for (unsigned i = 0; i < t->rank; i++) {
        const struct ext e = t->dim[i], d = to.dim[0];
        if (d.b && e.b)
            return 0;
        to.dim[0] = (struct ext){d.c * e.c, d.c * e.b + d.b * e.c};
    }
    return graph_reshape(g, graph_retype(g, x, false), &to);
}

static value_id first_outside(struct graph *g, value_id index, int32_t extent)
{
    if (graph_type(g, index)->rank == 0)
        return index;
    const value_id row = flat(g, index);
    if (!row)
        return 0;
    struct sxb *s = &g->sx;
    const sx_id x = sx_arg(s, 0, SX_I32);
    const sx_id outside = sx_make(s, SX_OR, sx_make(s, SX_LT, x, sx_int(s, 0), 0),
                                  sx_make(s, SX_LE, sx_int(s, extent), x, 0), 0);
    const sx_id mark = sx_make(s, SX_SEL, outside, sx_const(s, 1), sx_const(s, 0));
    const value_id marks = graph_map(g, mark, &row, 1, NULL);
    const struct form f = form_sum(graph_type(g, row)->dim, 1, 1);
    value_id at;
    graph_fold(g, &f, 1, COMB_ARGMAX, marks, false, &at);
    return graph_gather(g, row, at, 0);
}

static bool is_checked(const struct region *r, value_id v, const char *name)
{
    for (uint32_t i = 0; i < r->nroot; i++)
        if (r->root[i].value == v && r->root[i].name && !strcmp(r->root[i].name, name))
            return true;
    return false;
}

static bool add_check(struct bounds *b, node_id id)
{
    struct graph *g = &b->p->graph;
    const struct node n = g->node[id];
    const value_id index = graph_in(g, &n)[1];
    const int32_t extent = extent_of(g, &n);
    const struct range r = program_range(b->p, index);

    if (!extent || range_fit(&r, extent) == RANGE_INSIDE)
        return false;
    const char *name =
        arena_fmt(g->arena, "%s%d", b->wanted[id] ? "index/" : "probe/index/", extent);
    g->at = n.region;
    g->where = n.place;
    const value_id v = first_outside(g, index, extent);
    if (v && !is_checked(&g->region[n.region], v, name))
        graph_root(g, n.region, ROOT_OUTPUT, 0, 0, v, name);
    return v;
}

pass_fn pass_bounds;
enum pass_result pass_bounds(struct pass_cx *cx)
{
    struct graph *g = &cx->program->graph;
    struct bounds b = {.p = cx->program, .a = arena_new()};
    const region_id at = g->at;
    const place_id where = g->where;
    const uint32_t n = g->nnode, expr = g->expr;
    bool changed = false;

    g->expr = 0; /* no written expression: none is contracted any more */
    b.wanted = arena_array(b.a, n + 1, sizeof *b.wanted);
    find_wanted(&b);
    for (node_id id = 1; id < n; id++)
        if (g->node[id].op == OP_GATHER || g->node[id].op == OP_SCATTER)
            changed |= add_check(&b, id);
    g->at = at;
    g->where = where;
    g->expr = expr;
    arena_free(b.a);
    return changed ? PASS_CHANGED : PASS_UNCHANGED;
}
