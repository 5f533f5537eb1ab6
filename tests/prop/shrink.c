/* Greedy shrinking over the text form: fewer roots first, then fewer nodes, until nothing
 * helps. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/arena.h"
#include "tests/prop/random_graph.h"

struct cut {
    node_id node; /* becomes leaves */
};

static bool cut_node(struct rebuild *r, node_id id)
{
    const struct cut *c = r->cx;
    const struct node *n = &r->from->node[id];
    if (id != c->node) {
        graph_copy_node(r, id);
        return true;
    }
    for (unsigned i = 0; i < n->nout; i++) {
        char path[32];
        for (unsigned again = 0; again == 0 || graph_find_leaf(r->from, LEAF_PARAM, path);
             again++) /* numbers of nodes change from cut to cut */
            snprintf(path, sizeof path, "cut%u.%u.%u", id, i, again);
        r->map[n->out0 + i] =
            graph_leaf(r->to, LEAF_PARAM, 0, 0, path, r->from->value[n->out0 + i].type);
    }
    return true;
}

static bool copy_all(struct rebuild *r, node_id id)
{
    graph_copy_node(r, id);
    return true;
}

/* The text with root `root` gone or node `node` cut; NULL if there is none such. */
static char *smaller(struct arena *a, const char *text, uint32_t root, node_id node)
{
    struct graph g;
    struct cut c = {node};
    uint32_t seen = 0;
    graph_init(&g, a);
    if (!graph_parse(&g, text, diag_sink_new(a, 1), 0) || node >= g.nnode)
        return NULL;
    for (region_id r = 1; r < g.nregion && !node; r++) {
        struct region *x = &g.region[r];
        for (uint32_t i = 0; i < x->nroot; i++)
            if (seen++ == root) {
                memmove(x->root + i, x->root + i + 1, (x->nroot - i - 1) * sizeof *x->root);
                x->nroot--;
                return graph_rebuild(&g, copy_all, NULL, NULL) ? graph_print(&g, a) : NULL;
            }
    }
    if (!node || g.node[node].op == OP_LEAF)
        return NULL;
    return graph_rebuild(&g, cut_node, &c, NULL) ? graph_print(&g, a) : NULL;
}

/* Nodes that compute, and roots. */
static unsigned weight(const char *text)
{
    unsigned n = 0;
    for (const char *line = text; *line; line++) {
        const char *end = strchr(line, '\n');
        const char *leaf = strstr(line, "= leaf ");
        n += (*line == '%' && !(leaf && leaf < end)) || !strncmp(line, "root ", 5);
        line = end;
    }
    return n;
}

char *shrink_graph(struct arena *a, const char *text,
                   bool (*fails)(const char *text, void *cx), void *cx)
{
    char *best = arena_str(a, text);
    for (bool progress = true; progress;) {
        progress = false;
        for (uint32_t i = 0; i < 400 && !progress; i++) {
            char *s = smaller(a, best, i / 2, i % 2 ? 1 + i / 2 : 0);
            if (s && weight(s) < weight(best) && fails(s, cx)) {
                best = s;
                progress = true;
            }
        }
    }
    return best;
}
