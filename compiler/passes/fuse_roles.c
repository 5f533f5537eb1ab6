/*
 * What each node of the region is: dead, a scalar of the host, an alias of another value's
 * storage, or work.
 */
#include "compiler/passes/fuse.h"

static void want_roots(struct fuse_cx *c, const struct fuse_options *o)
{
    const struct region *r = &c->g->region[c->f->region];
    c->f->root = arena_array(c->a, r->nroot + 1, sizeof *c->f->root);
    for (uint32_t i = 0; i < r->nroot; i++)
        if (!o->wanted || o->wanted(o->cx, &r->root[i]))
            c->f->root[c->f->nroot++] = &r->root[i];
}

/* Marks a value's node live; `stack` grows through operands. */
static void reach(struct fuse_cx *c, value_id v, node_id *stack, uint32_t *n)
{
    const node_id id = c->g->value[v].def;
    if (c->f->role[id] != ROLE_DEAD)
        return;
    c->f->role[id] = ROLE_COMPUTE;
    stack[(*n)++] = id;
}

static void mark_live(struct fuse_cx *c)
{
    const struct graph *g = c->g;
    node_id *stack = arena_array(c->scratch, g->nnode + 1, sizeof *stack);
    uint32_t n = 0;

    for (uint32_t i = 0; i < c->f->nroot; i++)
        reach(c, c->f->root[i]->value, stack, &n);
    while (n) {
        const struct node *nd = &g->node[stack[--n]];
        if (nd->op == OP_LEAF && g->leaf[nd->attr].version)
            reach(c, g->leaf[nd->attr].def, stack, &n);
        for (unsigned i = 0; i < nd->nin; i++)
            reach(c, graph_in(g, nd)[i], stack, &n);
    }
}

static uint8_t role_of(const struct fuse_cx *c, const struct node *n)
{
    const struct graph *g = c->g;
    if (c->f->host[n - g->node])
        return ROLE_HOST;
    switch (n->op) {
    case OP_LEAF:
    case OP_STOP:
        return ROLE_ALIAS;
    case OP_FORM:
        if (n->nin == 1 && form_is_view(&g->form[n->attr], n->port) &&
            c->f->role[g->value[graph_in(g, n)[0]].def] != ROLE_HOST)
            return ROLE_ALIAS;
        return ROLE_COMPUTE;
    default:
        return ROLE_COMPUTE;
    }
}

static void assign_roles(struct fuse_cx *c)
{
    const struct graph *g = c->g;
    for (node_id id = 1; id < g->nnode; id++) {
        const struct node *n = &g->node[id];
        if (c->f->role[id] == ROLE_DEAD)
            continue;
        c->f->role[id] = role_of(c, n);
        for (unsigned o = 0; o < n->nout; o++)
            c->f->base[n->out0 + o] = n->out0 + o;
        if (c->f->role[id] == ROLE_ALIAS && n->op != OP_LEAF)
            c->f->base[n->out0] = c->f->base[graph_in(g, n)[0]];
        if (n->op == OP_LEAF && g->leaf[n->attr].version)
            c->f->base[n->out0] = c->f->base[g->leaf[n->attr].def];
    }
}

/* A host scalar that something other than a map (or an index) reads, or that is a result,
 * is computed as well. */
static void materialize_hosts(struct fuse_cx *c)
{
    const struct graph *g = c->g;
    for (node_id id = 1; id < g->nnode; id++) {
        const struct node *n = &g->node[id];
        if (c->f->role[id] != ROLE_COMPUTE || n->op == OP_MAP)
            continue;
        const unsigned nin =
            n->op == OP_GATHER ? 1 : n->nin; /* its index may be a scalar */
        for (unsigned i = 0; i < nin; i++) {
            const node_id p = g->value[graph_in(g, n)[i]].def;
            if (c->f->role[p] == ROLE_HOST)
                c->f->role[p] = ROLE_COMPUTE;
        }
    }
    for (uint32_t i = 0; i < c->f->nroot; i++) {
        const node_id p = g->value[c->f->root[i]->value].def;
        if (c->f->role[p] == ROLE_HOST)
            c->f->role[p] = ROLE_COMPUTE;
    }
}

void fuse_roles(struct fuse_cx *c, const struct fuse_options *o)
{
    want_roots(c, o);
    mark_live(c);
    assign_roles(c);
    materialize_hosts(c);
    for (uint32_t i = 0; i < c->f->nroot; i++)
        c->is_root[c->f->base[c->f->root[i]->value]] = true;
}
