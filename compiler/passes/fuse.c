/*
 * Fusion: which nodes share a kernel.
 *
 * Candidates are edges (a producer and its reader) and siblings (sums of products that
 * share an operand), each priced by the cost model before and after.  A queue takes the
 * largest gain first; phases follow one another, each attaching only to what earlier ones
 * made, so that small edits of a model leave the rest as it was.  Merges never change the
 * order of a sum, so they cannot change a bit.
 */
#include "compiler/passes/fuse.h"

#include <math.h>

enum { SIBLING_WINDOW = 64, SIBLING_NEAR = 4 };

/* ---- groups ---- */

uint32_t fuse_find(struct fuse_cx *c, uint32_t grp)
{
    while (c->parent[grp] != grp)
        grp = c->parent[grp] = c->parent[c->parent[grp]];
    return grp;
}

uint32_t fuse_group_of(struct fuse_cx *c, node_id id)
{
    return c->f->group_of[id] == NO_GROUP ? NO_GROUP : fuse_find(c, c->f->group_of[id]);
}

static uint8_t kind_of(const struct graph *g, const struct node *n)
{
    if (fuse_is_contract(g, n))
        return g->form[n->attr].order == ORDER_CHUNK ? GROUP_CHUNK : GROUP_CONTRACT;
    return n->op == OP_FORM && form_reduced(&g->form[n->attr], n->port) &&
                   group_sum_kind(g, n) == SUM_OTHER
               ? GROUP_CHUNK
               : GROUP_MAP;
}

static void start_groups(struct fuse_cx *c)
{
    const struct graph *g = c->g;
    struct fusion *f = c->f;
    for (node_id id = 1; id < g->nnode; id++) {
        const struct node *n = &g->node[id];
        f->group_of[id] = NO_GROUP;
        if (f->role[id] != ROLE_COMPUTE)
            continue;
        f->group =
            arena_grow(c->scratch, f->group, &f->cgroup, f->ngroup + 1, sizeof *f->group);
        struct group *gr = &f->group[f->ngroup];
        gr->kind = kind_of(g, n);
        gr->main =
            *graph_type(g, group_sum_kind(g, n) == SUM_OTHER ? n->out0 : graph_in(g, n)[0]);
        gr->node = arena_grow(c->scratch, NULL, &gr->cap, 1, sizeof *gr->node);
        gr->node[gr->n++] = id;
        f->group_of[id] = f->ngroup++;
    }
    c->parent = arena_array(c->scratch, f->ngroup + 1, sizeof *c->parent);
    c->group_mark = arena_array(c->scratch, f->ngroup + 1, sizeof *c->group_mark);
    c->at = arena_array(c->scratch, f->ngroup + 1, sizeof *c->at);
    c->pos = arena_array(c->scratch, f->ngroup + 1, sizeof *c->pos);
    c->seconds = arena_array(c->scratch, f->ngroup + 1, sizeof *c->seconds);
    c->moved = arena_array(c->scratch, f->ngroup + 1, sizeof *c->moved);
    c->pulled = arena_array(c->scratch, f->ngroup + 1, sizeof *c->pulled);
    c->change = arena_array(c->scratch, f->ngroup + 1, sizeof *c->change);
    for (uint32_t i = 0; i < f->ngroup; i++) {
        c->parent[i] = i;
        c->seconds[i] = -1;
    }
}

static void merge(struct fuse_cx *c, uint32_t p, uint32_t q)
{
    struct group *to = &c->f->group[p], *from = &c->f->group[q];
    const struct group host = c->f->group[fuse_host(c, p, q)];
    to->node =
        arena_grow(c->scratch, to->node, &to->cap, to->n + from->n, sizeof *to->node);
    uint32_t i = to->n, j = from->n, k = to->n + from->n;
    while (j) /* merge two ascending lists from the back */
        to->node[--k] =
            i && to->node[i - 1] > from->node[j - 1] ? to->node[--i] : from->node[--j];
    to->n += from->n;
    to->kind = host.kind;
    to->main = host.main;
    from->n = 0;
    c->parent[q] = p;
    c->pulled[p] += c->pulled[q];
    c->seconds[p] = -1;
    c->change[p]++;
}

/* Products that go on from one another are one chain in one kernel, whatever else is fused.
 */
static void join_segments(struct fuse_cx *c)
{
    const struct graph *g = c->g;
    for (node_id id = 1; id < g->nnode; id++) {
        const struct node *n = &g->node[id];
        if (c->f->role[id] == ROLE_COMPUTE && n->op == OP_FORM &&
            n->nin == g->form[n->attr].nport)
            merge(c, fuse_group_of(c, g->value[graph_in(g, n)[n->nin - 1]].def),
                  fuse_group_of(c, id));
    }
}

void fuse_note(struct fuse_cx *c, const struct fuse_decision *d)
{
    struct fusion *f = c->f;
    f->log = arena_grow(c->scratch, f->log, &f->clog, f->nlog + 1, sizeof *f->log);
    f->log[f->nlog++] = *d;
}

/* ---- candidates ---- */

struct candidate {
    node_id p, c;
    bool sibling, queued;
    uint32_t seen;           /* changes of both groups when it was priced */
    uint32_t next_p, next_c; /* 1 + next of the node */
};
struct queue {
    struct candidate *cand;
    uint32_t n, cap;
    uint32_t *first; /* by node: 1 + candidate */
    struct fuse_heap heap;
};

static void add_candidate(struct fuse_cx *c, struct queue *q, node_id p, node_id consumer,
                          bool sibling)
{
    const uint32_t last = q->first[consumer];
    if (last && q->cand[last - 1].p == p && q->cand[last - 1].c == consumer)
        return; /* read twice */
    q->cand = arena_grow(c->scratch, q->cand, &q->cap, q->n + 1, sizeof *q->cand);
    q->cand[q->n] = (struct candidate){.p = p,
                                       .c = consumer,
                                       .sibling = sibling,
                                       .next_p = q->first[p],
                                       .next_c = q->first[consumer]};
    q->first[p] = q->first[consumer] = ++q->n;
}

struct edge_cx {
    struct queue *q;
    node_id consumer;
};

static bool add_edge(struct fuse_cx *c, void *cx, node_id reader, unsigned operand)
{
    const struct edge_cx *e = cx;
    const value_id v = graph_in(c->g, &c->g->node[reader])[operand];
    const node_id p = c->g->value[c->f->base[v]].def;
    if (c->f->group_of[p] != NO_GROUP && p != e->consumer)
        add_candidate(c, e->q, p, e->consumer, false);
    return true;
}

static bool is_near(struct fuse_cx *c, node_id x, node_id y)
{
    const uint32_t p = c->pos[fuse_group_of(c, x)], q = c->pos[fuse_group_of(c, y)];
    return (p < q ? q - p : p - q) <= SIBLING_WINDOW;
}

/* Each of a value's readers with the next few. */
static void add_siblings(struct fuse_cx *c, struct queue *q, value_id v)
{
    EACH_LINK(c, e, c->reader[v])
    {
        const node_id x = c->link[e].node;
        unsigned n = 0;
        if (c->f->role[x] != ROLE_COMPUTE || !fuse_is_contract(c->g, &c->g->node[x]))
            continue;
        EACH_LINK(c, o, c->link[e].next)
        {
            const node_id y = c->link[o].node;
            if (n++ == SIBLING_NEAR)
                break;
            if (c->f->role[y] == ROLE_COMPUTE && fuse_is_contract(c->g, &c->g->node[y]) &&
                is_near(c, x, y))
                add_candidate(c, q, y, x, true);
        }
    }
}

static void find_candidates(struct fuse_cx *c, struct queue *q)
{
    *q =
        (struct queue){.first = arena_array(c->scratch, c->g->nnode + 1, sizeof *q->first)};
    for (node_id id = 1; id < c->g->nnode; id++) {
        struct edge_cx e = {q, id};
        if (c->f->role[id] == ROLE_COMPUTE)
            fuse_reads(c, id, add_edge, &e);
    }
    for (value_id v = 1; v < c->g->nvalue; v++)
        add_siblings(c, q, v);
}

/* What a candidate is about, as the groups are now. */
static enum fuse_kind candidate_kind(struct fuse_cx *c, const struct candidate *x)
{
    const uint32_t p = fuse_group_of(c, x->p), q = fuse_group_of(c, x->c);
    if (x->sibling)
        return FUSE_SIBLING;
    if (c->g->place[c->g->node[x->c].place].why == WHY_UPDATED_BY)
        return FUSE_OPTIMIZER;
    if (fuse_sums_rows(c, p) || fuse_sums_rows(c, q) ||
        (c->f->group[p].kind == GROUP_MAP && c->f->group[q].kind == GROUP_MAP))
        return FUSE_ROWS;
    return FUSE_EPILOGUE;
}

/* Legality, then price.  false: the two are one kernel already. */
static bool decide(struct fuse_cx *c, const struct candidate *x, struct fuse_decision *d)
{
    const uint32_t p = fuse_group_of(c, x->p), q = fuse_group_of(c, x->c);
    *d = (struct fuse_decision){.producer = x->p, .consumer = x->c};
    if (p == q)
        return false;
    d->kind = (uint8_t)candidate_kind(c, x);
    d->why = (uint8_t)fuse_may_join(c, p, q, x->sibling);
    if (d->why != FUSE_OK)
        return true;
    const double tp = fuse_group_seconds(c, p), tq = fuse_group_seconds(c, q);
    d->before = tp + tq;
    d->after = fuse_joint_seconds(c, p, q, &d->bytes);
    if (!fuse_is_worth(d->before, d->after, fmin(tp, tq)))
        d->why = FUSE_COST;
    return true;
}

static void enqueue(struct fuse_cx *c, struct queue *q, uint32_t i, enum fuse_kind kind)
{
    struct candidate *x = &q->cand[i];
    const uint32_t gp = fuse_group_of(c, x->p), gq = fuse_group_of(c, x->c);
    struct fuse_decision d;
    if (x->queued || gp == gq || candidate_kind(c, x) != kind || !decide(c, x, &d) ||
        d.why != FUSE_OK)
        return;
    x->queued = true;
    x->seen = c->change[gp] + c->change[gq];
    fuse_push(&q->heap, c->scratch, (struct fuse_item){d.before - d.after, i});
}

/* What the merge may have made possible, or changed the price of. */
static void enqueue_around(struct fuse_cx *c, struct queue *q, uint32_t grp,
                           enum fuse_kind kind)
{
    const struct group *gr = &c->f->group[grp];
    for (uint32_t i = 0; i < gr->n; i++)
        for (uint32_t x = q->first[gr->node[i]]; x; x = q->cand[x - 1].p == gr->node[i]
                                                            ? q->cand[x - 1].next_p
                                                            : q->cand[x - 1].next_c)
            enqueue(c, q, x - 1, kind);
}

static void run_phase(struct fuse_cx *c, struct queue *q, enum fuse_kind kind)
{
    struct fuse_item top;
    for (uint32_t i = 0; i < q->n; i++)
        enqueue(c, q, i, kind);
    while (fuse_pop(&q->heap, &top)) {
        struct candidate *x = &q->cand[top.id];
        const uint32_t gp = fuse_group_of(c, x->p), gq = fuse_group_of(c, x->c);
        struct fuse_decision d;
        x->queued = false;
        if (gp == gq)
            continue;
        if (x->seen != c->change[gp] + c->change[gq]) {
            enqueue(c, q, top.id, kind);
            continue;
        }
        if (!decide(c, x, &d) || d.why != FUSE_OK)
            continue; /* another merge closed a way around */
        fuse_join_order(c, gp, gq);
        merge(c, gp, gq);
        fuse_note(c, &d);
        enqueue_around(c, q, gp, kind);
    }
}

/* What stayed apart, and why. */
static void note_refusals(struct fuse_cx *c, const struct queue *q)
{
    struct fuse_decision d;
    for (uint32_t i = 0; i < q->n; i++) {
        if (!decide(c, &q->cand[i], &d))
            continue;
        if (d.before <= 0)
            d.most = fuse_most_seconds(c, d.producer, d.consumer, q->cand[i].sibling);
        fuse_note(c, &d);
    }
}

static void run_phases(struct fuse_cx *c)
{
    struct queue q;
    fuse_find_levels(c);
    find_candidates(c, &q);
    run_phase(c, &q, FUSE_SIBLING);
    run_phase(c, &q, FUSE_EPILOGUE);
    fuse_inline(c);
    find_candidates(c, &q); /* readers of an inlined map read its operands now */
    run_phase(c, &q, FUSE_EPILOGUE);
    run_phase(c, &q, FUSE_ROWS);
    run_phase(c, &q, FUSE_OPTIMIZER);
    note_refusals(c, &q);
}

/* ---- all ---- */

static bool mark_read(struct fuse_cx *c, void *cx, node_id reader, unsigned operand)
{
    const value_id b = c->f->base[graph_in(c->g, &c->g->node[reader])[operand]];
    const node_id *id = cx;
    if (c->f->group_of[c->g->value[b].def] != c->f->group_of[*id])
        c->f->stored[b] = true;
    return true;
}

/* Of the groups as they are in the end. */
static void note_prices(struct fuse_cx *c)
{
    struct fusion *f = c->f;
    f->seconds = arena_array(c->scratch, f->ngroup + 1, sizeof *f->seconds);
    f->moved = arena_array(c->scratch, f->ngroup + 1, sizeof *f->moved);
    for (uint32_t i = 0; i < f->ngroup; i++)
        if (f->group[i].n) {
            f->seconds[i] = fuse_group_seconds(c, i);
            f->moved[i] = c->moved[i];
        }
}

static void mark_stored(struct fuse_cx *c)
{
    for (node_id id = 1; id < c->g->nnode; id++)
        if (c->f->role[id] == ROLE_COMPUTE)
            fuse_reads(c, id, mark_read, &id);
    for (uint32_t i = 0; i < c->f->nroot; i++)
        c->f->stored[c->f->base[c->f->root[i]->value]] = true;
}

/* What has grown, as long as it is now. */
static void keep(struct fuse_cx *c)
{
    struct fusion *f = c->f;
    f->group = arena_copy(c->a, f->group, f->ngroup * sizeof *f->group);
    f->seconds = arena_copy(c->a, f->seconds, f->ngroup * sizeof *f->seconds);
    f->moved = arena_copy(c->a, f->moved, f->ngroup * sizeof *f->moved);
    f->log = arena_copy(c->a, f->log, f->nlog * sizeof *f->log);
    f->cgroup = f->ngroup;
    f->clog = f->nlog;
    for (uint32_t i = 0; i < f->ngroup; i++) {
        struct group *gr = &f->group[i];
        gr->node = arena_copy(c->a, gr->node, gr->n * sizeof *gr->node);
        gr->cap = gr->n;
    }
}

struct fusion *fuse(const struct graph *g, region_id region, const struct fuse_options *o,
                    struct arena *a)
{
    struct fusion *f = arena_alloc(a, sizeof *f);
    struct fuse_cx c = {
        .g = g, .f = f, .a = a, .scratch = arena_new(), .t = o->target, .batch = o->batch};

    f->g = g;
    f->region = region;
    f->role = arena_array(a, g->nnode + 1, sizeof *f->role);
    f->host = graph_hosts(g, a);
    f->base = arena_array(a, g->nvalue + 1, sizeof *f->base);
    f->stored = arena_array(a, g->nvalue + 1, sizeof *f->stored);
    f->twin = arena_array(a, g->nleaf + 1, sizeof *f->twin);
    f->group_of = arena_array(a, g->nnode + 1, sizeof *f->group_of);
    c.succ = arena_array(c.scratch, g->nnode + 1, sizeof *c.succ);
    c.pred = arena_array(c.scratch, g->nnode + 1, sizeof *c.pred);
    c.node_mark = arena_array(c.scratch, g->nnode + 1, sizeof *c.node_mark);
    c.prims = arena_array(c.scratch, g->nnode + 1, sizeof *c.prims);
    c.reader = arena_array(c.scratch, g->nvalue + 1, sizeof *c.reader);
    c.value_mark = arena_array(c.scratch, g->nvalue + 1, sizeof *c.value_mark);
    c.pack_mark = arena_array(c.scratch, g->nvalue + 1, sizeof *c.pack_mark);
    c.out_level = arena_array(c.scratch, g->nvalue + 1, 1);
    c.in_level = arena_array(c.scratch, g->noperand + 1, 1);
    c.is_root = arena_array(c.scratch, g->nvalue + 1, sizeof *c.is_root);
    c.updates = arena_array(c.scratch, g->nnode + 1, sizeof *c.updates);
    fuse_roles(&c, o);
    fuse_edges(&c);
    start_groups(&c);
    join_segments(&c);
    fuse_start_order(&c);
    if (!o->off)
        run_phases(&c);
    else
        fuse_find_levels(&c);
    note_prices(&c);
    fuse_compact(&c);
    mark_stored(&c);
    fuse_launches(&c);
    keep(&c);
    arena_free(c.scratch);
    return f;
}
