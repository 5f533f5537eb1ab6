/*
 * Rebuilding a graph: the only way passes change one.
 *
 * The new graph shares the tables that only grow (expressions, forms, sites, places,
 * regions) with the old one and has nodes of its own, so handles into those tables stay
 * what they were.
 */
#include <string.h>

#include "compiler/ir/graph_internal.h"

/* Everything the kept values need. A version of a weight needs the value it names. */
static bool *reached_nodes(const struct graph *g, const value_id *keep, uint32_t nkeep)
{
    bool *live = arena_array(g->tables, g->nnode, sizeof *live);
    for (uint32_t i = 0; i < nkeep; i++)
        if (keep[i])
            live[g->value[keep[i]].def] = true;
    for (region_id r = 1; r < g->nregion; r++)
        for (uint32_t i = 0; i < g->region[r].nroot; i++)
            live[g->value[g->region[r].root[i].value].def] = true;
    for (node_id id = g->nnode; id-- > 1;) {
        const struct node *n = &g->node[id];
        if (!live[id])
            continue;
        for (unsigned i = 0; i < n->nin; i++)
            live[g->value[graph_in(g, n)[i]].def] = true;
        if (n->op == OP_LEAF && g->leaf[n->attr].def)
            live[g->value[g->leaf[n->attr].def].def] = true;
    }
    live[0] = false;
    return live;
}

static void copy_leaves(struct graph *to)
{
    to->leaf = arena_copy(to->tables, to->leaf, to->nleaf * sizeof *to->leaf);
    to->cleaf = to->nleaf;
    to->leaf_index.slot = arena_copy(to->tables, to->leaf_index.slot,
                                     to->leaf_index.cap * sizeof *to->leaf_index.slot);
}

static void fresh_nodes(struct graph *to)
{
    to->node = NULL;
    to->value = NULL;
    to->bucket = NULL;
    to->nnode = to->nvalue = 1;
    to->noperand = 0;
    to->cnode = to->cvalue = to->coperand = to->nbucket = 0;
    if (to->tables != to->arena)
        to->tables = arena_new();
    to->operand = arena_grow(to->tables, NULL, &to->coperand, 1, sizeof *to->operand);
    copy_leaves(to);
    for (leaf_id i = 1; i < to->nleaf; i++)
        to->leaf[i].value = to->leaf[i].def = 0;
}

static void copy_leaf(struct rebuild *r, leaf_id id)
{
    const struct leaf *l = &r->from->leaf[id];
    if (!l->value)
        return;
    const struct node *old = &r->from->node[r->from->value[l->value].def];
    r->to->where = old->place;
    r->map[l->value] = graph_leaf(r->to, l->what, l->version, l->region, l->path, l->type);
    if (l->def)
        r->to->leaf[id].def = r->map[l->def];
}

void graph_copy_node(struct rebuild *r, node_id id)
{
    const struct graph *from = r->from;
    const struct node *n = &from->node[id];
    value_id in[256] = {0};
    struct type type[256];
    if (n->op == OP_LEAF) {
        copy_leaf(r, n->attr);
        return;
    }
    for (unsigned i = 0; i < n->nin; i++) {
        in[i] = r->map[graph_in(from, n)[i]];
        GRAPH_CHECK(in[i]);
    }
    type[0] = from->value[n->out0].type;
    for (unsigned i = 1; i < n->nout; i++)
        type[i] = from->value[n->out0 + i].type;
    if (n->op == OP_MAP) {
        r->map[n->out0] = graph_map(r->to, n->attr, in, n->nin, type);
        return;
    }
    if (n->op == OP_FORM) {
        if (n->nin == from->form[n->attr].nport)
            r->map[n->out0] =
                graph_form_onto(r->to, &from->form[n->attr], n->port, in, in[n->nin - 1]);
        else
            r->map[n->out0] = graph_form(r->to, &from->form[n->attr], n->port, in,
                                         type->sample, type->dtype);
        return;
    }
    struct node copy = *n;
    copy.region = 0;
    copy.place = 0;
    const node_id made = graph_add(r->to, &copy, in, type);
    for (unsigned i = 0; i < n->nout; i++)
        r->map[n->out0 + i] = r->to->node[made].out0 + i;
}

static bool walk(struct rebuild *r, rebuild_fn *fn, const bool *live)
{
    const struct graph *from = r->from;
    struct graph *to = r->to;
    for (leaf_id i = 1; i < from->nleaf; i++)
        if (!from->leaf[i].version)
            copy_leaf(r, i);
    for (node_id id = 1; id < from->nnode; id++) {
        const struct node *n = &from->node[id];
        if (!live[id] || (n->op == OP_LEAF && !from->leaf[n->attr].version))
            continue;
        to->at = n->region;
        to->where = n->place;
        to->expr = n->expr;
        to->remat = n->remat;
        if (!fn(r, id))
            return false;
    }
    return true;
}

static void map_roots(struct graph *to, const value_id *map)
{
    for (region_id r = 1; r < to->nregion; r++) {
        struct region *x = &to->region[r];
        for (uint32_t i = 0; i < x->nroot; i++) {
            GRAPH_CHECK(map[x->root[i].value]);
            x->root[i].value = map[x->root[i].value];
        }
    }
}

bool graph_rebuild_keep(struct graph *g, rebuild_fn *fn, void *cx, const value_id *keep,
                        uint32_t nkeep, value_id **map_out)
{
    struct graph to = *g, from = *g;
    const bool *live = reached_nodes(g, keep, nkeep);
    struct rebuild r = {.from = &from, .to = &to, .cx = cx};
    r.map = arena_array(g->tables, g->nvalue, sizeof *r.map);
    fresh_nodes(&to);
    const bool ok = walk(&r, fn, live);
    to.at = g->at;
    to.where = g->where;
    to.expr = g->expr;
    to.remat = g->remat;
    if (ok) {
        map_roots(&to, r.map);
        *g = to;
    } else { /* the shared tables may have moved */
        graph_drop_tables(&to);
        g->sx = to.sx;
        g->form = to.form, g->cform = to.cform, g->nform = to.nform;
        g->place = to.place, g->cplace = to.cplace, g->nplace = to.nplace;
        g->site = to.site, g->csite = to.csite, g->nsite = to.nsite;
        g->region = to.region, g->cregion = to.cregion, g->nregion = to.nregion;
    }
    if (map_out)
        *map_out = r.map;
    return ok;
}

bool graph_rebuild(struct graph *g, rebuild_fn *fn, void *cx, value_id **map_out)
{
    return graph_rebuild_keep(g, fn, cx, NULL, 0, map_out);
}

/* ---- tables of their own ---- */

void graph_own_tables(struct graph *g)
{
    if (g->tables == g->arena)
        g->tables = arena_new();
}

void graph_drop_tables(const struct graph *old)
{
    if (old->tables != old->arena)
        arena_free(old->tables);
}

/* A graph without nodes has no table of them. */
static void *settle(struct arena *a, const void *table, uint32_t n, uint32_t *cap,
                    size_t size)
{
    *cap = table ? n : 0;
    return table ? arena_copy(a, table, n * size) : NULL;
}

void graph_settle_tables(struct graph *g)
{
    const struct graph old = *g;
    struct arena *a = g->arena;
    if (g->tables == a)
        return;
    g->tables = a;
    g->node = settle(a, old.node, old.nnode, &g->cnode, sizeof *g->node);
    g->value = settle(a, old.value, old.nvalue, &g->cvalue, sizeof *g->value);
    g->operand = settle(a, old.operand, old.noperand, &g->coperand, sizeof *g->operand);
    g->bucket = settle(a, old.bucket, old.nbucket, &g->nbucket, sizeof *g->bucket);
    copy_leaves(g);
    graph_drop_tables(&old);
}

/* ---- equality ---- */

static bool str_eq(const char *x, const char *y)
{
    return x == y || (x && y && !strcmp(x, y));
}

static bool attr_eq(const struct graph *x, const struct node *n, const struct graph *y,
                    const struct node *m)
{
    if (n->op == OP_MAP) {
        const struct sx_hash h = sx_hash(&x->sx, n->attr), k = sx_hash(&y->sx, m->attr);
        return h.lo == k.lo && h.hi == k.hi;
    }
    if (n->op == OP_FORM || n->op == OP_FOLD)
        return form_equal(&x->form[n->attr], &y->form[m->attr]);
    return n->attr == m->attr;
}

static bool node_eq(const struct graph *x, const struct node *n, const struct graph *y,
                    const struct node *m)
{
    if (n->op != m->op || n->port != m->port || n->comb != m->comb || n->nin != m->nin ||
        n->nout != m->nout || n->missing_zero != m->missing_zero ||
        n->seeded != m->seeded || n->region != m->region || n->place != m->place ||
        n->expr != m->expr || n->remat != m->remat || !attr_eq(x, n, y, m))
        return false;
    for (unsigned i = 0; i < n->nin; i++)
        if (graph_in(x, n)[i] != graph_in(y, m)[i])
            return false;
    for (unsigned i = 0; i < n->nout; i++)
        if (!type_eq(graph_type(x, n->out0 + i), graph_type(y, m->out0 + i)))
            return false;
    return true;
}

static bool leaf_eq(const struct leaf *x, const struct leaf *y)
{
    return x->what == y->what && x->version == y->version && x->region == y->region &&
           str_eq(x->path, y->path) && type_eq(&x->type, &y->type) &&
           x->value == y->value && x->def == y->def;
}

static bool region_eq(const struct region *x, const struct region *y)
{
    if (x->kind != y->kind || x->training != y->training || !str_eq(x->name, y->name) ||
        x->nroot != y->nroot)
        return false;
    for (uint32_t i = 0; i < x->nroot; i++) {
        const struct root *a = &x->root[i], *b = &y->root[i];
        if (a->why != b->why || a->step != b->step || a->variant != b->variant ||
            a->leaf != b->leaf || a->value != b->value || !str_eq(a->name, b->name))
            return false;
    }
    return true;
}

static bool place_eq(const struct place *x, const struct place *y)
{
    return !memcmp(&x->loc, &y->loc, sizeof x->loc) && x->parent == y->parent &&
           x->why == y->why && str_eq(x->name, y->name);
}

bool graph_equal(const struct graph *x, const struct graph *y)
{
    bool ok = x->nnode == y->nnode && x->nvalue == y->nvalue && x->nleaf == y->nleaf &&
              x->nsite == y->nsite && x->nplace == y->nplace && x->nregion == y->nregion;
    for (node_id i = 1; ok && i < x->nnode; i++)
        ok = node_eq(x, &x->node[i], y, &y->node[i]);
    for (leaf_id i = 1; ok && i < x->nleaf; i++)
        ok = leaf_eq(&x->leaf[i], &y->leaf[i]);
    for (region_id i = 1; ok && i < x->nregion; i++)
        ok = region_eq(&x->region[i], &y->region[i]);
    for (place_id i = 1; ok && i < x->nplace; i++)
        ok = place_eq(&x->place[i], &y->place[i]);
    for (site_id i = 1; ok && i < x->nsite; i++)
        ok = str_eq(x->site[i].path, y->site[i].path) &&
             x->site[i].region == y->site[i].region &&
             x->site[i].per_sample == y->site[i].per_sample;
    return ok;
}
