/*
 * Inlining: a map is computed by every kernel that reads it, so that its buffer, and the
 * kernel that had nothing else to do, disappear; by all of them or by none.
 *
 * Products evaluate such a map while they pack that operand.  Where the operand would have
 * been read in place, packing it costs what the buffer did, which the price shows.  So do
 * convolutions, for every place that their window reads: with overlap that is many times an
 * element.
 */
#include "compiler/passes/fuse.h"

enum { READERS_MAX = 16, AROUND_MAX = 2 * READERS_MAX + 8 };

struct inlining {
    node_id map, reader[READERS_MAX];
    unsigned n;
    uint32_t around[AROUND_MAX]; /* groups whose price it changes; its own first */
    unsigned naround;
};

static bool find_readers(const struct fuse_cx *c, struct inlining *x, node_id map)
{
    const value_id v = c->g->node[map].out0;
    EACH_LINK(c, e, c->reader[v])
    {
        const node_id id = c->link[e].node;
        if (!group_may_compute(c->g, c->f->base, id, v))
            return false;
        if (c->f->role[id] == ROLE_INLINE) {
            if (!find_readers(c, x, id))
                return false;
            continue;
        }
        if (x->n == READERS_MAX)
            return false;
        x->reader[x->n++] = id;
    }
    return true;
}

static void add_around(struct fuse_cx *c, struct inlining *x, node_id id)
{
    const uint32_t grp = fuse_group_of(c, id);
    for (unsigned i = 0; i < x->naround; i++)
        if (x->around[i] == grp)
            return;
    if (grp != NO_GROUP && x->naround < AROUND_MAX)
        x->around[x->naround++] = grp;
}

static bool add_producer(struct fuse_cx *c, void *cx, node_id reader, unsigned operand)
{
    const value_id v = graph_in(c->g, &c->g->node[reader])[operand];
    add_around(c, cx, c->g->value[c->f->base[v]].def);
    return true;
}

/* Who updates what the map reads must come after all who now read it. */
static bool readers_come_before(struct fuse_cx *c, const struct inlining *x,
                                node_id updater)
{
    const uint32_t u = fuse_group_of(c, updater);
    for (unsigned i = 0; i < x->n; i++) {
        const uint32_t r = fuse_group_of(c, x->reader[i]);
        if (r == u ? x->reader[i] > updater : c->pos[r] > c->pos[u])
            return false;
    }
    return true;
}

/* What a reader's kernel takes in: the map, and what was inlined into its group. */
static uint32_t takes_in(struct fuse_cx *c, node_id map)
{
    return 1 + c->pulled[fuse_group_of(c, map)];
}

static bool too_large(struct fuse_cx *c, const struct inlining *x)
{
    for (unsigned i = 0; i < x->n; i++) {
        const uint32_t r = fuse_group_of(c, x->reader[i]);
        if (c->f->group[r].n + c->pulled[r] + takes_in(c, x->map) > NODE_MAX)
            return true;
    }
    return false;
}

static enum fuse_why may_inline(struct fuse_cx *c, struct inlining *x, node_id map)
{
    const struct node *n = &c->g->node[map];
    *x = (struct inlining){.map = map};
    if (c->is_root[n->out0])
        return FUSE_PINNED;
    if (!find_readers(c, x, map) || !x->n)
        return FUSE_SPACE;
    if (too_large(c, x))
        return FUSE_BUDGET;
    EACH_LINK(c, e, c->succ[map])
    {
        if (c->updates[c->link[e].node] && !readers_come_before(c, x, c->link[e].node))
            return FUSE_ALIAS;
    }
    add_around(c, x, map);
    for (unsigned i = 0; i < x->n; i++)
        add_around(c, x, x->reader[i]);
    fuse_reads(c, map, add_producer, x);
    return x->naround < 2 || x->naround == AROUND_MAX ? FUSE_SPACE : FUSE_OK;
}

/* ---- there and back ---- */

static void take_out(struct fuse_cx *c, node_id map)
{
    struct group *gr = &c->f->group[fuse_group_of(c, map)];
    uint32_t n = 0;
    for (uint32_t i = 0; i < gr->n; i++)
        if (gr->node[i] != map)
            gr->node[n++] = gr->node[i];
    gr->n = n;
    c->f->role[map] = ROLE_INLINE;
}

static void put_back(struct fuse_cx *c, node_id map)
{
    struct group *gr = &c->f->group[fuse_find(c, c->f->group_of[map])];
    uint32_t i = gr->n++;
    for (; i && gr->node[i - 1] > map; i--)
        gr->node[i] = gr->node[i - 1];
    gr->node[i] = map;
    c->f->role[map] = ROLE_COMPUTE;
}

static void forget_prices(struct fuse_cx *c, const struct inlining *x)
{
    for (unsigned i = 0; i < x->naround; i++)
        c->seconds[x->around[i]] = -1;
}

static double price(struct fuse_cx *c, const struct inlining *x, double *bytes)
{
    double sum = 0;
    *bytes = 0;
    for (unsigned i = 0; i < x->naround; i++) {
        sum += fuse_group_seconds(c, x->around[i]);
        *bytes += c->f->group[x->around[i]].n ? c->moved[x->around[i]] : 0;
    }
    return sum;
}

static void decide(struct fuse_cx *c, struct inlining *x, node_id map,
                   struct fuse_decision *d)
{
    double before, after;
    *d = (struct fuse_decision){.kind = FUSE_INLINE, .producer = map, .consumer = map};
    d->why = (uint8_t)may_inline(c, x, map);
    if (x->n)
        d->consumer = x->reader[x->n - 1];
    if (d->why != FUSE_OK)
        return;
    const double least = fuse_lone_seconds(c, map);
    d->before = price(c, x, &before);
    take_out(c, map);
    forget_prices(c, x);
    d->after = price(c, x, &after);
    put_back(c, map);
    forget_prices(c, x);
    d->bytes = before - after;
    if (!fuse_is_worth(d->before, d->after, least))
        d->why = FUSE_COST;
}

static bool link_producer(struct fuse_cx *c, void *cx, node_id reader, unsigned operand)
{
    const struct inlining *x = cx;
    const value_id v = graph_in(c->g, &c->g->node[reader])[operand];
    const node_id def = c->g->value[c->f->base[v]].def;
    for (unsigned i = 0; i < x->n && c->f->group_of[def] != NO_GROUP; i++)
        fuse_add_edge(c, def, x->reader[i]);
    return true;
}

static void apply(struct fuse_cx *c, struct inlining *x)
{
    const uint32_t takes = takes_in(c, x->map);
    EACH_LINK(c, e, c->succ[x->map])
    {
        for (unsigned i = 0; i < x->n && c->updates[c->link[e].node]; i++)
            fuse_add_edge(c, x->reader[i], c->link[e].node);
    }
    fuse_reads(c, x->map, link_producer, x);
    for (unsigned i = 0; i < x->n; i++)
        c->pulled[fuse_group_of(c, x->reader[i])] += takes;
    take_out(c, x->map);
    c->f->group_of[x->map] = NO_GROUP;
    for (unsigned i = 0; i < x->naround; i++)
        c->change[x->around[i]]++;
    forget_prices(c, x);
}

static bool is_candidate(struct fuse_cx *c, node_id id)
{
    const struct node *n = &c->g->node[id];
    if (n->op != OP_MAP || c->f->role[id] != ROLE_COMPUTE || c->f->host[id])
        return false;
    EACH_LINK(c, e, c->reader[n->out0])
    {
        const node_id r = c->link[e].node;
        if (c->f->role[r] == ROLE_INLINE || fuse_group_of(c, r) != fuse_group_of(c, id))
            return true;
    }
    return false;
}

void fuse_inline(struct fuse_cx *c)
{
    struct fuse_heap heap = {0};
    struct fuse_item top;
    struct fuse_decision d;
    struct inlining x;

    for (node_id id = 1; id < c->g->nnode; id++) {
        if (!is_candidate(c, id))
            continue;
        decide(c, &x, id, &d);
        if (d.why == FUSE_OK) {
            fuse_push(&heap, c->scratch, (struct fuse_item){d.before - d.after, id});
            continue;
        }
        if (d.before <= 0 && d.why != FUSE_PINNED) /* that is stored in any case */
            d.most = fuse_most_seconds(c, d.producer, d.consumer, false);
        fuse_note(c, &d);
    }
    while (fuse_pop(&heap, &top)) {
        decide(c, &x, top.id, &d);
        if (d.why == FUSE_OK && d.before - d.after < top.key) {
            fuse_push(&heap, c->scratch, (struct fuse_item){d.before - d.after, top.id});
            continue;
        }
        fuse_note(c, &d);
        if (d.why == FUSE_OK)
            apply(c, &x);
    }
}
