/*
 * Fusion: which nodes share a kernel.
 *
 * Work is grouped by walking the nodes in order and attaching each to a group that produces
 * one of its operands, contractions first: element-wise nodes become epilogues, sums along
 * a row stay in the kernel that made the row, an optimizer ends up in the epilogue of its
 * weight gradient.  Merges never change the order of a sum, so they cannot change a bit.
 *
 * Updates are in place: whoever reads the old weight must come before the updater.  These
 * anti-dependences are edges like any other; where they would close a cycle (a held node
 * whose derivative is needed after the step) the new weight gets storage of its own, and is
 * copied at the end.
 */
#include "compiler/ir/group.h"

#include <string.h>

#include "runtime/base/arena.h"

#define ROW_MAX     4096 /* elements of a row that stays in a unit's scratch */
#define NODE_MAX    64   /* members of a group */
#define OPERAND_MAX 24   /* buffers of a kernel */

static const char *const why_name[FUSE_WHY_COUNT] = {
    "fused", "cycle", "space", "anchor", "row", "order", "alias", "budget", "pinned",
};

const char *fuse_why_name(enum fuse_why why)
{
    return why_name[why];
}

/* ---- what each node is ---- */

struct edges { /* successor lists by node, in one array */
    uint32_t *first, *list;
};
struct cx {
    const struct graph *g;
    struct fusion *f;
    struct arena *a;
    struct edges succ;     /* compute and alias nodes: data, version and anti edges */
    uint32_t *mark, stamp; /* by group, for searches */
    uint32_t *parent;      /* merged groups */
};

/* Marks a value's node live; `stack` grows through operands. */
static void reach(struct cx *c, value_id v, node_id *stack, uint32_t *n)
{
    const node_id id = c->g->value[v].def;
    if (c->f->role[id] != ROLE_DEAD)
        return;
    c->f->role[id] = ROLE_COMPUTE;
    stack[(*n)++] = id;
}

static void mark_live(struct cx *c)
{
    const struct graph *g = c->g;
    node_id *stack = arena_array(c->a, g->nnode + 1, sizeof *stack);
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

static uint8_t role_of(const struct cx *c, const struct node *n)
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

static void assign_roles(struct cx *c)
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
static void materialize_hosts(struct cx *c)
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

/* ---- dependences ---- */

static bool reads_leaf(const struct graph *g, const struct node *n, value_id leaf_value,
                       const value_id *base)
{
    for (unsigned i = 0; i < n->nin; i++)
        if (base[graph_in(g, n)[i]] == leaf_value)
            return true;
    return false;
}

/* The value of the leaf's version that root r replaces, or 0 if nobody made such a leaf. */
static value_id replaced(const struct graph *g, const struct root *r, region_id region)
{
    const struct leaf *l = &g->leaf[r->leaf];
    value_id old = l->value;
    uint16_t best = 0;

    if (r->why != ROOT_UPDATE)
        return old;
    for (leaf_id i = 1; i < g->nleaf; i++) {
        const struct leaf *x = &g->leaf[i];
        if (x->version > best && x->version <= r->step && x->region == region &&
            x->what == l->what && strcmp(x->path, l->path) == 0) {
            best = x->version;
            old = x->value;
        }
    }
    return old;
}

struct pair {
    node_id from, to;
};
struct pairs {
    struct pair *p;
    uint32_t n, cap;
};

static void add_pair(struct cx *c, struct pairs *ps, node_id from, node_id to)
{
    if (from == to)
        return;
    ps->p = arena_grow(c->a, ps->p, &ps->cap, ps->n + 1, sizeof *ps->p);
    ps->p[ps->n++] = (struct pair){from, to};
}

static void index_pairs(struct cx *c, const struct pairs *ps)
{
    const uint32_t n = c->g->nnode;
    c->succ.first = arena_array(c->a, n + 2, sizeof *c->succ.first);
    c->succ.list = arena_array(c->a, ps->n + 1, sizeof *c->succ.list);
    for (uint32_t i = 0; i < ps->n; i++)
        c->succ.first[ps->p[i].from + 1]++;
    for (uint32_t i = 1; i <= n; i++)
        c->succ.first[i] += c->succ.first[i - 1];
    uint32_t *at = arena_copy(c->a, c->succ.first, (n + 1) * sizeof *at);
    for (uint32_t i = 0; i < ps->n; i++)
        c->succ.list[at[ps->p[i].from]++] = ps->p[i].to;
}

static void data_edges(struct cx *c, struct pairs *ps)
{
    const struct graph *g = c->g;
    for (node_id id = 1; id < g->nnode; id++) {
        const struct node *n = &g->node[id];
        if (c->f->role[id] != ROLE_COMPUTE)
            continue;
        for (unsigned i = 0; i < n->nin; i++) {
            const node_id p = g->value[c->f->base[graph_in(g, n)[i]]].def;
            if (c->f->role[p] == ROLE_COMPUTE)
                add_pair(c, ps, p, id);
        }
    }
}

static void mark_from(struct cx *c, node_id from, bool *seen)
{
    node_id *stack = arena_array(c->a, c->g->nnode + 1, sizeof *stack);
    uint32_t n = 0;
    stack[n++] = from;
    while (n) {
        const node_id id = stack[--n];
        for (uint32_t e = c->succ.first[id]; e < c->succ.first[id + 1]; e++) {
            const node_id to = c->succ.list[e];
            if (!seen[to]) {
                seen[to] = true;
                stack[n++] = to;
            }
        }
    }
}

/*
 * Readers of an old version come before its updater.  A reader that itself depends on the
 * updater makes the leaf a twin; so does an update whose value is no work of its own (an
 * alias).
 */
static void anti_edges(struct cx *c, const struct root *r, struct pairs *ps)
{
    const struct graph *g = c->g;
    const value_id old = replaced(g, r, c->f->region), base = c->f->base[r->value];
    const node_id updater = g->value[base].def;
    bool *after = arena_array(c->a, g->nnode, sizeof *after);

    if (c->f->role[updater] != ROLE_COMPUTE || r->why == ROOT_COMMIT ||
        r->why == ROOT_INIT) {
        c->f->twin[r->leaf] = true;
        return;
    }
    mark_from(c, updater, after);
    for (node_id id = 1; id < g->nnode; id++)
        if (c->f->role[id] == ROLE_COMPUTE && after[id] &&
            reads_leaf(g, &g->node[id], old, c->f->base))
            c->f->twin[r->leaf] = true;
    if (c->f->twin[r->leaf])
        return;
    for (node_id id = 1; id < g->nnode; id++)
        if (c->f->role[id] == ROLE_COMPUTE && reads_leaf(g, &g->node[id], old, c->f->base))
            add_pair(c, ps, id, updater);
}

static void build_edges(struct cx *c)
{
    struct pairs ps = {0};
    data_edges(c, &ps);
    for (uint32_t i = 0; i < c->f->nroot; i++) {
        const struct root *r = c->f->root[i];
        if (r->why == ROOT_OUTPUT)
            continue;
        index_pairs(
            c, &ps); /* earlier anti edges count: two updaters may wait for each other */
        anti_edges(c, r, &ps);
    }
    index_pairs(c, &ps);
}

/* ---- groups ---- */

static uint32_t find(struct cx *c, uint32_t grp)
{
    while (c->parent[grp] != grp)
        grp = c->parent[grp] = c->parent[c->parent[grp]];
    return grp;
}

static uint32_t group_of(struct cx *c, node_id id)
{
    return c->f->group_of[id] == NO_GROUP ? NO_GROUP : find(c, c->f->group_of[id]);
}

static bool is_contract(const struct graph *g, const struct node *n)
{
    return n->op == OP_FORM && g->form[n->attr].nport == 3;
}

/* A two-port form that sums the whole sample: [B|...] -> [B|]. */
static bool is_row_sum(const struct graph *g, const struct node *n)
{
    const struct form *f = n->op == OP_FORM ? &g->form[n->attr] : NULL;
    return f && f->order == ORDER_LANES && form_is_plain_sum(f, n->port) &&
           graph_type(g, n->out0)->sample && graph_type(g, n->out0)->rank == 1 &&
           graph_type(g, graph_in(g, n)[0])->sample;
}

static uint8_t kind_of(const struct graph *g, const struct node *n)
{
    if (is_contract(g, n))
        return g->form[n->attr].order == ORDER_CHUNK ? GROUP_CHUNK : GROUP_CONTRACT;
    if (n->op == OP_FORM && form_reduced(&g->form[n->attr], n->port))
        return is_row_sum(g, n) ? GROUP_ROW : GROUP_CHUNK;
    return n->op == OP_FOLD ? GROUP_ROW : GROUP_MAP;
}

static void start_groups(struct cx *c)
{
    const struct graph *g = c->g;
    struct fusion *f = c->f;
    for (node_id id = 1; id < g->nnode; id++) {
        const struct node *n = &g->node[id];
        f->group_of[id] = NO_GROUP;
        if (f->role[id] != ROLE_COMPUTE)
            continue;
        f->group = arena_grow(c->a, f->group, &f->cgroup, f->ngroup + 1, sizeof *f->group);
        struct group *gr = &f->group[f->ngroup];
        gr->kind = kind_of(g, n);
        gr->main = *graph_type(g, is_row_sum(g, n) ? graph_in(g, n)[0] : n->out0);
        gr->node = arena_grow(c->a, NULL, &gr->cap, 1, sizeof *gr->node);
        gr->node[gr->n++] = id;
        f->group_of[id] = f->ngroup++;
    }
    c->parent = arena_array(c->a, f->ngroup + 1, sizeof *c->parent);
    c->mark = arena_array(c->a, f->ngroup + 1, sizeof *c->mark);
    for (uint32_t i = 0; i < f->ngroup; i++)
        c->parent[i] = i;
}

/* Is there a path from group p to group q through a third? */
static bool detour(struct cx *c, uint32_t p, uint32_t q)
{
    struct fusion *f = c->f;
    uint32_t *stack = arena_array(c->a, f->ngroup + 1, sizeof *stack), n = 0;

    c->stamp++;
    stack[n++] = p;
    c->mark[p] = c->stamp;
    while (n) {
        const uint32_t at = stack[--n];
        const struct group *gr = &f->group[at];
        for (uint32_t i = 0; i < gr->n; i++)
            for (uint32_t e = c->succ.first[gr->node[i]];
                 e < c->succ.first[gr->node[i] + 1]; e++) {
                const uint32_t to = group_of(c, c->succ.list[e]);
                if (to == at || (at == p && to == q))
                    continue;
                if (to == q)
                    return true;
                if (c->mark[to] != c->stamp) {
                    c->mark[to] = c->stamp;
                    stack[n++] = to;
                }
            }
    }
    return false;
}

static bool same_space(const struct type *x, const struct type *y)
{
    uint8_t dx[HYP_RANK], dy[HYP_RANK];
    const unsigned nx = type_space(x, dx), ny = type_space(y, dy);
    if (nx != ny || x->sample != y->sample)
        return false;
    for (unsigned i = 0; i < nx; i++)
        if (!ext_eq(x->dim[dx[i]], y->dim[dy[i]]))
            return false;
    return true;
}

/* One number per sample, in a group whose space is the samples' rows. */
static bool row_value(const struct type *main, const struct type *t)
{
    uint8_t d[HYP_RANK];
    return main->sample && t->sample && main->rank == 2 && type_space(t, d) == 1 &&
           ext_eq(t->dim[d[0]], main->dim[0]) && d[0] == 0;
}

static bool holds_row_sum(const struct graph *g, const struct group *gr)
{
    for (uint32_t i = 0; i < gr->n; i++)
        if (is_row_sum(g, &g->node[gr->node[i]]) || g->node[gr->node[i]].op == OP_FOLD)
            return true;
    return false;
}

/* Everything in q must be a map over p's space (or a row sum of it and what follows per
 * row). */
static uint8_t fits(const struct cx *c, const struct group *p, const struct group *q)
{
    const struct graph *g = c->g;
    const bool row = holds_row_sum(g, p);

    if (q->kind == GROUP_CONTRACT || q->kind == GROUP_CHUNK)
        return FUSE_ANCHOR;
    if (g->node[p->node[0]].op == OP_SCATTER) /* alone: data decide where its values go */
        return FUSE_SPACE;
    if (p->kind == GROUP_CHUNK && (holds_row_sum(g, q) || !same_space(&p->main, &q->main)))
        return FUSE_ORDER;
    for (uint32_t i = 0; i < q->n; i++) {
        const struct node *n = &g->node[q->node[i]];
        const struct type *t = graph_type(g, n->out0);
        if (n->op == OP_FOLD || n->op == OP_GATHER || n->op == OP_SCATTER)
            return FUSE_SPACE;
        if (is_row_sum(g, n)) {
            if (!same_space(&p->main, graph_type(g, graph_in(g, n)[0])) ||
                p->main.rank != 2 || p->main.dim[1].c > ROW_MAX)
                return FUSE_ROW;
            if (p->kind == GROUP_CONTRACT)
                return FUSE_ROW;
            continue;
        }
        if (row_value(&p->main, t) && (p->kind == GROUP_ROW || row))
            continue;
        if (!same_space(&p->main, t))
            return FUSE_SPACE;
        if (row && p->kind == GROUP_CONTRACT)
            return FUSE_ROW;
    }
    return FUSE_OK;
}

/* Its output is computed piece by piece, and with it the whole group: one window a group.
 */
static bool holds_window(const struct graph *g, const struct group *gr)
{
    for (uint32_t i = 0; i < gr->n; i++) {
        const struct node *n = &g->node[gr->node[i]];
        if (n->op == OP_FORM && !form_is_direct(&g->form[n->attr], n->port))
            return true;
    }
    return false;
}

static bool windows_clash(const struct graph *g, const struct group *p,
                          const struct group *q)
{
    const bool wp = holds_window(g, p), wq = holds_window(g, q);
    return (wp && wq) || ((wp || wq) && (holds_row_sum(g, p) || holds_row_sum(g, q)));
}

/* A copy or product in q would read p's values at other points than it computes. */
static bool moves(struct cx *c, uint32_t p, const struct group *q)
{
    const struct graph *g = c->g;
    for (uint32_t i = 0; i < q->n; i++) {
        const struct node *n = &g->node[q->node[i]];
        if (n->op != OP_FORM || is_row_sum(g, n))
            continue;
        for (unsigned k = 0; k < n->nin; k++)
            if (group_of(c, g->value[c->f->base[graph_in(g, n)[k]]].def) == p)
                return true;
    }
    return false;
}

static uint32_t operands(const struct cx *c, const struct group *p, const struct group *q)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n; i++)
        n += c->g->node[p->node[i]].nin;
    for (uint32_t i = 0; i < q->n; i++)
        n += c->g->node[q->node[i]].nin;
    return n;
}

static void merge(struct cx *c, uint32_t p, uint32_t q)
{
    struct group *to = &c->f->group[p], *from = &c->f->group[q];
    to->node = arena_grow(c->a, to->node, &to->cap, to->n + from->n, sizeof *to->node);
    uint32_t i = to->n, j = from->n, k = to->n + from->n;
    while (j) /* merge two ascending lists from the back */
        to->node[--k] =
            i && to->node[i - 1] > from->node[j - 1] ? to->node[--i] : from->node[--j];
    to->n += from->n;
    if (from->kind == GROUP_ROW && to->kind == GROUP_MAP)
        to->kind = GROUP_ROW;
    from->n = 0;
    c->parent[q] = p;
}

static void note(struct cx *c, node_id p, node_id q, uint8_t why, double bytes)
{
    struct fusion *f = c->f;
    f->log = arena_grow(c->a, f->log, &f->clog, f->nlog + 1, sizeof *f->log);
    f->log[f->nlog++] = (struct fuse_decision){p, q, why, bytes};
}

static bool attach(struct cx *c, value_id v, node_id consumer)
{
    const struct graph *g = c->g;
    const value_id base = c->f->base[v];
    const node_id producer = g->value[base].def;
    const uint32_t p = group_of(c, producer), q = group_of(c, consumer);
    uint8_t why;

    if (p == NO_GROUP || p == q)
        return false;
    if (!same_space(graph_type(g, v), graph_type(g, base)))
        why = FUSE_SPACE;
    else
        why = fits(c, &c->f->group[p], &c->f->group[q]);
    if (why == FUSE_OK && (c->f->group[p].n + c->f->group[q].n > NODE_MAX ||
                           operands(c, &c->f->group[p], &c->f->group[q]) > 4 * OPERAND_MAX))
        why = FUSE_BUDGET;
    if (why == FUSE_OK && moves(c, p, &c->f->group[q]))
        why = FUSE_SPACE;
    if (why == FUSE_OK && windows_clash(g, &c->f->group[p], &c->f->group[q]))
        why = FUSE_SPACE;
    if (why == FUSE_OK && detour(c, p, q))
        why = FUSE_CYCLE;
    note(c, producer, consumer, why, 8.0 * (double)type_elems(graph_type(g, base), 512));
    if (why == FUSE_OK)
        merge(c, p, q);
    return why == FUSE_OK;
}

/* Products that go on from one another are one chain in one kernel, whatever else is fused.
 */
static void join_segments(struct cx *c)
{
    const struct graph *g = c->g;
    for (node_id id = 1; id < g->nnode; id++) {
        const struct node *n = &g->node[id];
        if (c->f->role[id] != ROLE_COMPUTE || n->op != OP_FORM ||
            n->nin != g->form[n->attr].nport)
            continue;
        const uint32_t p = group_of(c, g->value[graph_in(g, n)[n->nin - 1]].def);
        merge(c, p, group_of(c, id));
    }
}

/* Contractions first: an epilogue saves more than joining two maps. */
static void attach_all(struct cx *c, bool contracts)
{
    const struct graph *g = c->g;
    for (node_id id = 1; id < g->nnode; id++) {
        const struct node *n = &g->node[id];
        if (c->f->role[id] != ROLE_COMPUTE || is_contract(g, n) ||
            c->f->group_of[id] == NO_GROUP)
            continue;
        for (unsigned i = 0; i < n->nin; i++) {
            const value_id v = graph_in(g, n)[i];
            const uint32_t p = group_of(c, g->value[c->f->base[v]].def);
            if (p == NO_GROUP)
                continue;
            const uint8_t kind = c->f->group[p].kind;
            if ((kind == GROUP_CONTRACT || kind == GROUP_CHUNK) == contracts)
                attach(c, v, id);
        }
    }
}

/* ---- order ---- */

static void compact(struct cx *c)
{
    struct fusion *f = c->f;
    uint32_t *to = arena_array(c->a, f->ngroup + 1, sizeof *to), n = 0;
    for (uint32_t i = 0; i < f->ngroup; i++)
        if (c->parent[i] == i)
            to[i] = n++;
    for (node_id id = 1; id < c->g->nnode; id++)
        if (f->group_of[id] != NO_GROUP)
            f->group_of[id] = to[group_of(c, id)];
    for (uint32_t i = 0; i < f->ngroup; i++)
        if (c->parent[i] == i)
            f->group[to[i]] = f->group[i];
    f->ngroup = n;
    for (uint32_t i = 0; i < n; i++)
        c->parent[i] = i;
}

/* Longest-path levels over the group graph; a level is a launch. */
static void assign_levels(struct cx *c)
{
    struct fusion *f = c->f;
    uint32_t *waits = arena_array(c->a, f->ngroup + 1, sizeof *waits), n = 0;
    f->level = arena_array(c->a, f->ngroup + 1, sizeof *f->level);
    f->order = arena_array(c->a, f->ngroup + 1, sizeof *f->order);

    for (uint32_t p = 0; p < f->ngroup; p++)
        for (uint32_t i = 0; i < f->group[p].n; i++) {
            const node_id id = f->group[p].node[i];
            for (uint32_t e = c->succ.first[id]; e < c->succ.first[id + 1]; e++)
                if (f->group_of[c->succ.list[e]] != p)
                    waits[f->group_of[c->succ.list[e]]]++;
        }
    for (uint32_t p = 0; p < f->ngroup; p++)
        if (!waits[p])
            f->order[n++] = p;
    for (uint32_t at = 0; at < n; at++) {
        const struct group *gr = &f->group[f->order[at]];
        for (uint32_t i = 0; i < gr->n; i++)
            for (uint32_t e = c->succ.first[gr->node[i]];
                 e < c->succ.first[gr->node[i] + 1]; e++) {
                const uint32_t to = f->group_of[c->succ.list[e]];
                if (to == f->order[at])
                    continue;
                if (f->level[to] < f->level[f->order[at]] + 1)
                    f->level[to] = f->level[f->order[at]] + 1;
                if (!--waits[to])
                    f->order[n++] = to;
            }
    }
    f->norder = n;
}

static void mark_stored(struct cx *c)
{
    const struct graph *g = c->g;
    struct fusion *f = c->f;
    for (node_id id = 1; id < g->nnode; id++) {
        const struct node *n = &g->node[id];
        if (f->role[id] != ROLE_COMPUTE)
            continue;
        for (unsigned i = 0; i < n->nin; i++) {
            const value_id b = f->base[graph_in(g, n)[i]];
            if (f->group_of[g->value[b].def] != f->group_of[id])
                f->stored[b] = true;
        }
    }
    for (uint32_t i = 0; i < f->nroot; i++)
        f->stored[f->base[f->root[i]->value]] = true;
}

static void want_roots(struct cx *c, const struct fuse_options *o)
{
    const struct region *r = &c->g->region[c->f->region];
    c->f->root = arena_array(c->a, r->nroot + 1, sizeof *c->f->root);
    for (uint32_t i = 0; i < r->nroot; i++)
        if (!o->wanted || o->wanted(o->cx, &r->root[i]))
            c->f->root[c->f->nroot++] = &r->root[i];
}

struct fusion *fuse(const struct graph *g, region_id region, const struct fuse_options *o,
                    struct arena *a)
{
    struct fusion *f = arena_alloc(a, sizeof *f);
    struct cx c = {.g = g, .f = f, .a = a};

    f->g = g;
    f->region = region;
    f->role = arena_array(a, g->nnode + 1, sizeof *f->role);
    f->host = graph_hosts(g, a);
    f->base = arena_array(a, g->nvalue + 1, sizeof *f->base);
    f->stored = arena_array(a, g->nvalue + 1, sizeof *f->stored);
    f->twin = arena_array(a, g->nleaf + 1, sizeof *f->twin);
    f->group_of = arena_array(a, g->nnode + 1, sizeof *f->group_of);
    want_roots(&c, o);
    mark_live(&c);
    assign_roles(&c);
    materialize_hosts(&c);
    build_edges(&c);
    start_groups(&c);
    join_segments(&c);
    if (!o->off) {
        attach_all(&c, true);
        attach_all(&c, false);
    }
    compact(&c);
    assign_levels(&c);
    mark_stored(&c);
    return f;
}
