/*
 * Substitution: the graph as it would be with other values in some places.
 *
 * Only what depends on a replaced value is cloned, once; the builders merge clones that
 * turn out equal.  Maps carry their noise sites along, so a clone draws what the original
 * drew.
 */
#include "compiler/passes/pass.h"
#include "runtime/base/arena.h"

static void mark_needed(const struct graph *g, bool *need, const value_id *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        need[g->value[v[i]].def] = true;
    for (node_id id = g->nnode; id-- > 1;)
        for (unsigned i = 0; need[id] && i < g->node[id].nin; i++)
            need[g->value[graph_in(g, &g->node[id])[i]].def] = true;
}

static bool is_changed(const struct rebuild *r, const struct node *n)
{
    for (unsigned i = 0; i < n->nin; i++) {
        const value_id v = graph_in(r->from, n)[i];
        if (r->map[v] != v)
            return true;
    }
    return false;
}

static void clone_node(struct rebuild *r, node_id id)
{
    struct graph *g = r->to;
    const struct node *n = &r->from->node[id];
    const struct place *p = &g->place[n->place];
    g->at = n->region;
    g->expr = n->expr;
    g->remat = n->remat;
    g->where = graph_place(g, p->loc, n->place, WHY_RECOMPUTED_FOR, p->name);
    graph_copy_node(r, id);
}

void graph_substitute(struct graph *g, const value_id *to, const value_id *hold,
                      uint32_t nhold, const value_id *v, uint32_t n, value_id *out)
{
    struct arena *scratch = arena_new();
    struct graph from = *g; /* its tables stay readable while g's grow */
    struct rebuild r = {.from = &from, .to = g};
    bool *need = arena_array(scratch, from.nnode, sizeof *need);
    bool *fixed = arena_array(scratch, from.nvalue, sizeof *fixed);
    r.map = arena_array(scratch, from.nvalue, sizeof *r.map);
    mark_needed(&from, need, v, n);
    for (uint32_t i = 0; i < nhold; i++)
        fixed[hold[i]] = true;
    for (value_id i = 1; i < from.nvalue; i++)
        r.map[i] = to[i] && !fixed[i] ? to[i] : i;
    for (node_id id = 1; id < from.nnode; id++) {
        const struct node *node = &from.node[id];
        if (!need[id] || !is_changed(&r, node))
            continue;
        clone_node(&r, id);
        for (unsigned i = 0; i < node->nout; i++)
            if (fixed[node->out0 + i])
                r.map[node->out0 + i] = node->out0 + i;
    }
    for (uint32_t i = 0; i < n; i++)
        out[i] = r.map[v[i]];
    g->at = from.at;
    g->where = from.where;
    g->expr = from.expr;
    g->remat = from.remat;
    arena_free(scratch);
}
