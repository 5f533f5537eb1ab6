/*
 * What waits for what.  Updates are in place: whoever reads the old weight must come before
 * the updater.  These anti-dependences are edges like any other; where they would close a
 * cycle (a held node whose derivative is needed after the step) the new weight gets storage
 * of its own, and is copied at the end.
 */
#include <string.h>

#include "compiler/passes/fuse.h"

static void push(struct fuse_cx *c, uint32_t *head, node_id node)
{
    c->link = arena_grow(c->scratch, c->link, &c->clink, c->nlink + 2, sizeof *c->link);
    c->link[++c->nlink] = (struct fuse_link){node, *head};
    *head = c->nlink;
}

void fuse_add_edge(struct fuse_cx *c, node_id from, node_id to)
{
    if (from == to || (c->succ[from] && c->link[c->succ[from]].node == to))
        return;
    push(c, &c->succ[from], to);
    push(c, &c->pred[to], from);
}

bool fuse_reads(struct fuse_cx *c, node_id id, fuse_read_fn *fn, void *cx)
{
    const struct node *n = &c->g->node[id];
    for (unsigned i = 0; i < n->nin; i++) {
        const value_id v = graph_in(c->g, n)[i];
        const node_id def = c->g->value[c->f->base[v]].def;
        if (c->f->host[c->g->value[v].def] &&
            (n->op == OP_MAP || (n->op == OP_GATHER && i == 1)))
            continue;
        if (c->f->role[def] == ROLE_INLINE ? !fuse_reads(c, def, fn, cx)
                                           : !fn(c, cx, id, i))
            return false;
    }
    return true;
}

/* ---- readers of an old version ---- */

/* The value of the leaf's version that root r replaces, or 0 if nobody made such a leaf.
 * Versions that nothing here reads are passed over: another program of the phase has them.
 */
static value_id replaced(const struct fuse_cx *c, const struct root *r, region_id region)
{
    const struct graph *g = c->g;
    const struct leaf *l = &g->leaf[r->leaf];
    value_id old = l->value;
    uint16_t best = 0;

    if (r->why != ROOT_UPDATE)
        return old;
    const uint32_t hash = hash_text(l->path);
    for (uint32_t at = hash, i; hash_next(&g->leaf_index, hash, &at, &i);) {
        const struct leaf *x = &g->leaf[i];
        if (x->version > best && x->version <= r->step && x->region == region &&
            c->f->role[c->g->value[x->value].def] != ROLE_DEAD && x->what == l->what &&
            strcmp(x->path, l->path) == 0) {
            best = x->version;
            old = x->value;
        }
    }
    return old;
}

static void mark_from(struct fuse_cx *c, node_id from, node_id *stack)
{
    uint32_t n = 0;
    c->stamp++;
    stack[n++] = from;
    while (n)
        EACH_LINK(c, e, c->succ[stack[--n]])
        {
            const node_id to = c->link[e].node;
            if (c->node_mark[to] != c->stamp) {
                c->node_mark[to] = c->stamp;
                stack[n++] = to;
            }
        }
}

/*
 * Readers of an old version come before its updater.  A reader that itself depends on the
 * updater makes the leaf a twin; so does an update whose value is no work of its own (an
 * alias).
 */
static void anti_edges(struct fuse_cx *c, const struct root *r, node_id *stack)
{
    /* a version lies where the update before left it, and its readers are noted there */
    const value_id old = c->f->base[replaced(c, r, c->f->region)];
    const value_id base = c->f->base[r->value];
    const node_id updater = c->g->value[base].def;

    if (c->f->role[updater] != ROLE_COMPUTE || r->why == ROOT_COMMIT ||
        r->why == ROOT_INIT) {
        c->f->twin[r->leaf] = true;
        return;
    }
    mark_from(c, updater, stack);
    EACH_LINK(c, e, c->reader[old])
    {
        if (c->node_mark[c->link[e].node] == c->stamp)
            c->f->twin[r->leaf] = true;
    }
    EACH_LINK(c, e, c->f->twin[r->leaf] ? 0 : c->reader[old])
    {
        fuse_add_edge(c, c->link[e].node, updater);
        c->updates[updater] = true;
    }
}

static bool add_read(struct fuse_cx *c, void *cx, node_id reader, unsigned operand)
{
    const value_id base = c->f->base[graph_in(c->g, &c->g->node[reader])[operand]];
    const node_id def = c->g->value[base].def;
    (void)cx;
    if (!c->reader[base] || c->link[c->reader[base]].node != reader)
        push(c, &c->reader[base], reader);
    if (c->f->role[def] == ROLE_COMPUTE)
        fuse_add_edge(c, def, reader);
    return true;
}

void fuse_edges(struct fuse_cx *c)
{
    node_id *stack = arena_array(c->scratch, c->g->nnode + 1, sizeof *stack);
    for (node_id id = 1; id < c->g->nnode; id++)
        if (c->f->role[id] == ROLE_COMPUTE)
            fuse_reads(c, id, add_read, NULL);
    for (uint32_t i = 0; i < c->f->nroot; i++)
        if (c->f->root[i]->why != ROOT_OUTPUT)
            anti_edges(c, c->f->root[i], stack);
}
