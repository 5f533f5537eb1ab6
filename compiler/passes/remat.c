/*
 * Recompute or store.
 *
 * A phase is cut in two: what its first loss depends on (the forward part), and the rest,
 * which is gradients, updates and later steps.  Whatever of the forward part the rest reads
 * is either kept in memory until then or computed again; a minimum cut takes the cheapest
 * way, at the cost model's prices.  What is recomputed becomes a clone (node.remat) that
 * only the rest reads, with the same noise; fusion lets readers compute it for themselves.
 *
 * Prices are those of fused kernels.  Every reader reads what is kept; it is written only
 * if the forward part does not have it in memory anyway.  Every reader of what is
 * recomputed reads its operands instead, and computes it; where it cannot, the clone is a
 * kernel of its own.  Without the operands' reads masks of activations and concatenations
 * were recomputed, and nothing was gained: mnist-global had three kernels more and 1.7 MB
 * more of scratch.
 */
#include "compiler/passes/remat.h"

#include <math.h>

#include "compiler/ir/group.h"
#include "compiler/passes/fuse_cost.h"
#include "compiler/passes/pass.h"
#include "runtime/base/arena.h"

enum part { PART_NONE, PART_FORWARD, PART_REST };

#define PICOSECONDS 1e12
#define DEAREST     1e13 /* capacity that no price exceeds, so that sums stay in range */

struct of_value {    /* of a value that is no view, and of its views */
    uint32_t choice; /* 1 + number; 0: none */
    node_id first;   /* its first reader in the rest; 0: none */
    uint32_t readers;
    bool stored; /* the forward part has it in memory in any case */
    bool alone;  /* a reader cannot compute it: a clone is a kernel of its own */
};
struct remat_cx {
    struct program *program;
    const struct graph *g;
    const struct pass_cx *pass;
    struct arena *a;
    int64_t batch;
    region_id region;
    bool *host;          /* by node */
    uint8_t *part;       /* by node: enum part */
    bool *late;          /* by node: part of the rest that reads it follows an update */
    bool *updated;       /* by leaf */
    double *made;        /* by node: bytes that the region made before it */
    value_id *base;      /* by value: the value whose storage it lies in */
    struct of_value *of; /* by base value */
    bool *wanted;        /* by value: the rest reads a clone of it */
    value_id *rest;      /* by value: what stands for it where the rest reads it */
    struct remat_choice *choice;
    uint32_t nchoice, cchoice, *operand, noperand, coperand;
};

/* ---- the cut ---- */

int64_t remat_cut(struct remat_choice *choice, uint32_t n, const uint32_t *operand,
                  struct arena *a)
{
    struct mincut *m = mincut_new(a, 2 * n + 2); /* in 2i, out 2i + 1 */
    const uint32_t source = 2 * n, sink = source + 1;
    bool *at_sink = arena_array(a, 2 * n + 2, sizeof *at_sink);

    for (uint32_t i = 0; i < n; i++) {
        const struct remat_choice *x = &choice[i];
        mincut_edge(m, 2 * i, 2 * i + 1, x->save);
        mincut_edge(m, source, 2 * i, x->comp);
        if (x->needed)
            mincut_edge(m, 2 * i + 1, sink, MINCUT_NEVER);
        for (uint32_t k = 0; k < x->noperand; k++)
            mincut_edge(m, 2 * operand[x->operand0 + k] + 1, 2 * i, MINCUT_NEVER);
    }
    const int64_t price = mincut_run(m, source, sink, at_sink);
    for (uint32_t i = 0; i < n; i++) {
        choice[i].recompute = at_sink[2 * i];
        choice[i].keep = at_sink[2 * i + 1] && !at_sink[2 * i];
    }
    return price;
}

/* ---- the two parts ---- */

static bool is_view(const struct graph *g, const struct node *n)
{
    return n->op == OP_STOP ||
           (n->op == OP_FORM && n->nin == 1 && form_is_view(&g->form[n->attr], n->port));
}

/* Everything that the marked nodes need. */
static void mark_cone(const struct graph *g, bool *live)
{
    for (node_id id = g->nnode; id-- > 1;) {
        const struct node *n = &g->node[id];
        for (unsigned i = 0; live[id] && i < n->nin; i++)
            live[g->value[graph_in(g, n)[i]].def] = true;
        if (live[id] && n->op == OP_LEAF && g->leaf[n->attr].version)
            live[g->value[g->leaf[n->attr].def].def] = true;
    }
}

/* false: the region has no loss. */
static bool find_parts(struct remat_cx *c)
{
    const struct graph *g = c->g;
    const struct region *r = &g->region[c->region];
    bool *forward = arena_array(c->a, g->nnode, sizeof *forward);
    bool *all = arena_array(c->a, g->nnode, sizeof *all);
    const struct root *loss = NULL;

    for (uint32_t i = 0; i < r->nroot; i++) {
        if (root_is_probe(&r->root[i]))
            continue;
        all[g->value[r->root[i].value].def] = true;
        if (!loss && r->root[i].why == ROOT_OUTPUT)
            loss = &r->root[i];
        if (r->root[i].why == ROOT_UPDATE)
            c->updated[r->root[i].leaf] = true;
    }
    if (!loss)
        return false;
    forward[g->value[loss->value].def] = true;
    mark_cone(g, forward);
    mark_cone(g, all);
    for (node_id id = 1; id < g->nnode; id++)
        if (all[id] && g->node[id].region == c->region && !c->host[id])
            c->part[id] = forward[id] ? PART_FORWARD : PART_REST;
    return true;
}

/* A clone that reads what an update replaces must not be read behind the update. */
static void find_late(struct remat_cx *c)
{
    const struct graph *g = c->g;
    for (node_id id = 1; id < g->nnode; id++) {
        const struct node *n = &g->node[id];
        c->late[id] = n->op == OP_LEAF && g->leaf[n->attr].version;
        for (unsigned i = 0; i < n->nin; i++)
            c->late[id] |= c->late[g->value[graph_in(g, n)[i]].def];
    }
    for (node_id id = g->nnode; id-- > 1;)
        for (unsigned i = 0; c->late[id] && i < g->node[id].nin; i++) {
            const node_id u = g->value[graph_in(g, &g->node[id])[i]].def;
            c->late[u] |= c->part[u] == PART_FORWARD;
        }
}

/* ---- who reads what ---- */

static double bytes_of(const struct remat_cx *c, value_id v)
{
    const struct type *t = graph_type(c->g, v);
    return (double)type_elems(t, c->batch) * (t->dtype == DT_BOOL ? 1 : 4);
}

static void read_by_forward(struct remat_cx *c, const struct node *n, value_id v)
{
    struct of_value *x = &c->of[c->base[v]];
    if ((n->op != OP_MAP && group_sum_kind(c->g, n) == SUM_OTHER) ||
        !type_eq(graph_type(c->g, v), graph_type(c->g, c->base[v])))
        x->stored = true;
}

static void read_by_rest(struct remat_cx *c, node_id id, value_id base)
{
    struct of_value *x = &c->of[base];
    if (!x->first)
        x->first = id;
    x->readers++;
    /* through a window it would be computed once a place */
    x->alone |= group_reads_window(c->g, id) || !group_may_compute(c->g, c->base, id, base);
}

static void find_readers(struct remat_cx *c)
{
    const struct graph *g = c->g;
    double made = 0;
    for (node_id id = 1; id < g->nnode; id++) {
        const struct node *n = &g->node[id];
        const bool view = is_view(g, n);
        for (unsigned o = 0; o < n->nout; o++) {
            c->base[n->out0 + o] = view ? c->base[graph_in(g, n)[0]] : n->out0 + o;
            made += c->part[id] && !view ? bytes_of(c, n->out0 + o) : 0;
        }
        c->made[id] = made;
        for (unsigned i = 0; c->part[id] && !view && i < n->nin; i++) {
            if (c->part[id] == PART_FORWARD)
                read_by_forward(c, n, graph_in(g, n)[i]);
            else
                read_by_rest(c, id, c->base[graph_in(g, n)[i]]);
        }
    }
    for (uint32_t i = 0; i < g->region[c->region].nroot; i++)
        c->of[c->base[g->region[c->region].root[i].value]].stored = true;
}

/* ---- prices ---- */

static int64_t capacity(double seconds)
{
    return (int64_t)fmin(seconds * PICOSECONDS, DEAREST);
}

/* Seconds in which the node `at`, of the rest, reads v; 0: the last node. */
static double read_seconds(const struct remat_cx *c, value_id v, node_id at)
{
    const struct target *t = c->pass->target;
    const double made = c->made[at ? at : c->g->nnode - 1];
    const double since = made - c->made[c->g->value[v].def];
    return bytes_of(c, v) / t->bandwidth[cost_level(t, since)];
}

static int64_t save_price(const struct remat_cx *c, value_id v)
{
    const struct of_value *x = &c->of[v];
    const double read = read_seconds(c, v, x->first);
    if (c->part[c->g->value[v].def] != PART_FORWARD)
        return 0; /* resident */
    return capacity(c->pass->scarcity * read * (fmax(1, x->readers) + !x->stored));
}

/* Of what a node reads in the place of the value that it computes. */
static double operand_seconds(const struct remat_cx *c, const struct node *n, node_id at)
{
    double sum = 0;
    for (unsigned i = 0; i < n->nin; i++) {
        const value_id u = c->base[graph_in(c->g, n)[i]];
        if (!c->host[c->g->value[u].def])
            sum += read_seconds(c, u, at);
    }
    return sum;
}

static bool reads_updated(const struct remat_cx *c, const struct node *n)
{
    for (unsigned i = 0; i < n->nin; i++) {
        const struct node *d = &c->g->node[c->g->value[c->base[graph_in(c->g, n)[i]]].def];
        if (d->op == OP_LEAF && c->updated[d->attr])
            return true;
    }
    return false;
}

static int64_t comp_price(const struct remat_cx *c, value_id v)
{
    const struct target *t = c->pass->target;
    const node_id id = c->g->value[v].def;
    const struct node *n = &c->g->node[id];
    const struct of_value *x = &c->of[v];
    const bool map = n->op == OP_MAP,
               sum = n->op == OP_FORM && group_sum_kind(c->g, n) == SUM_ROW;
    const double points =
        (double)type_elems(graph_type(c->g, sum ? graph_in(c->g, n)[0] : v), c->batch);

    if (c->part[id] != PART_FORWARD || (c->late[id] && reads_updated(c, n)) ||
        !(map || sum ||
          (n->op == OP_FORM && n->nin == 1 &&
           !form_reduced(&c->g->form[n->attr], n->port))))
        return MINCUT_NEVER;
    const double prims = points * (map ? sx_cost(&c->g->sx, n->attr) : 1);
    const double once = prims / (t->t_ref * t->prims) + operand_seconds(c, n, x->first);
    if (map && !x->alone)
        return capacity(once * fmax(1, x->readers));
    return capacity(once + t->launch +
                    (1 + x->readers) * bytes_of(c, v) / t->bandwidth[MEM_L2]);
}

/* ---- the choices ---- */

static uint32_t choice_of(struct remat_cx *c, value_id v)
{
    if (!c->of[v].choice) {
        c->choice =
            arena_grow(c->a, c->choice, &c->cchoice, c->nchoice + 1, sizeof *c->choice);
        c->choice[c->nchoice] = (struct remat_choice){
            .save = save_price(c, v), .comp = comp_price(c, v), .needed = c->of[v].readers};
        c->of[v].choice = ++c->nchoice;
    }
    return c->of[v].choice - 1;
}

static void add_operands(struct remat_cx *c, uint32_t choice, const struct node *n)
{
    c->choice[choice].operand0 = c->noperand;
    for (unsigned i = 0; i < n->nin; i++) {
        const value_id u = c->base[graph_in(c->g, n)[i]];
        if (c->host[c->g->value[u].def])
            continue;
        const uint32_t k = choice_of(c, u);
        c->operand =
            arena_grow(c->a, c->operand, &c->coperand, c->noperand + 1, sizeof *c->operand);
        c->operand[c->noperand++] = k;
    }
    c->choice[choice].noperand = c->noperand - c->choice[choice].operand0;
}

static void find_choices(struct remat_cx *c)
{
    const struct graph *g = c->g;
    for (node_id id = 1; id < g->nnode; id++) {
        const struct node *n = &g->node[id];
        if (c->part[id] != PART_FORWARD || is_view(g, n))
            continue;
        for (unsigned o = 0; o < n->nout; o++) {
            const uint32_t k = choice_of(c, n->out0 + o);
            if (c->choice[k].comp < MINCUT_NEVER)
                add_operands(c, k, n);
        }
    }
}

static bool is_recomputed(const struct remat_cx *c, value_id v)
{
    const uint32_t k = c->of[c->base[v]].choice;
    return k && c->choice[k - 1].recompute;
}

static void note_choices(struct remat_cx *c)
{
    struct program *p = c->program;
    for (value_id v = 1; v < c->g->nvalue; v++) {
        const uint32_t k = c->base[v] == v ? c->of[v].choice : 0;
        const struct remat_choice *x = k ? &c->choice[k - 1] : NULL;
        if (!x || x->comp == MINCUT_NEVER || (!x->recompute && !x->keep))
            continue;
        p->remat =
            arena_grow(p->arena, p->remat, &p->cremat, p->nremat + 1, sizeof *p->remat);
        p->remat[p->nremat++] =
            (struct prog_remat){.region = c->region,
                                .place = c->g->node[c->g->value[v].def].place,
                                .recomputed = x->recompute,
                                .keeping = (double)x->save / PICOSECONDS,
                                .recomputing = (double)x->comp / PICOSECONDS,
                                .bytes = bytes_of(c, v)};
    }
}

/* ---- clones ---- */

/* Clones are wanted of what the rest reads and of what wanted clones read. */
static void find_wanted(struct remat_cx *c)
{
    const struct graph *g = c->g;
    for (node_id id = g->nnode; id-- > 1;) {
        const struct node *n = &g->node[id];
        bool reads = c->part[id] == PART_REST;
        for (unsigned o = 0; o < n->nout; o++)
            reads |= c->wanted[n->out0 + o];
        for (unsigned i = 0; reads && i < n->nin; i++)
            c->wanted[graph_in(g, n)[i]] |= is_recomputed(c, graph_in(g, n)[i]);
    }
}

static void copy_for_rest(struct rebuild *r, const struct node *n, node_id id)
{
    const struct remat_cx *c = r->cx;
    struct rebuild rest = *r;
    rest.map = c->rest;
    for (unsigned i = 0; i < n->nin; i++) {
        const value_id v = graph_in(r->from, n)[i];
        if (!rest.map[v])
            rest.map[v] = r->map[v];
    }
    graph_copy_node(&rest, id);
}

static bool copy(struct rebuild *r, node_id id)
{
    const struct remat_cx *c = r->cx;
    const struct node *n = &r->from->node[id];
    const struct place *p = &r->from->place[n->place];
    bool wanted = false;

    if (c->part[id] == PART_REST) {
        copy_for_rest(r, n, id);
        for (unsigned o = 0; o < n->nout; o++)
            r->map[n->out0 + o] = c->rest[n->out0 + o];
        return true;
    }
    graph_copy_node(r, id);
    for (unsigned o = 0; o < n->nout; o++)
        wanted |= c->wanted[n->out0 + o];
    if (wanted) {
        r->to->remat = 1;
        r->to->where = graph_place(r->to, p->loc, n->place, WHY_RECOMPUTED_FOR, p->name);
        copy_for_rest(r, n, id);
    }
    return true;
}

/* ---- the pass ---- */

/* false: nothing of the region is recomputed. */
static bool decide(struct remat_cx *c)
{
    bool any = false;
    if (!find_parts(c))
        return false;
    find_late(c);
    find_readers(c);
    find_choices(c);
    remat_cut(c->choice, c->nchoice, c->operand, c->a);
    note_choices(c);
    for (uint32_t i = 0; i < c->nchoice; i++)
        any |= c->choice[i].recompute;
    return any;
}

static bool remat_region(const struct pass_cx *pass, region_id region, struct arena *a)
{
    const struct graph *g = &pass->program->graph;
    struct remat_cx c = {.program = pass->program,
                         .g = g,
                         .pass = pass,
                         .a = a,
                         .batch = program_batch_max(pass->program),
                         .region = region,
                         .host = graph_hosts(g, a)};
    c.part = arena_array(a, g->nnode, sizeof *c.part);
    c.late = arena_array(a, g->nnode, sizeof *c.late);
    c.made = arena_array(a, g->nnode, sizeof *c.made);
    c.updated = arena_array(a, g->nleaf, sizeof *c.updated);
    c.base = arena_array(a, g->nvalue, sizeof *c.base);
    c.of = arena_array(a, g->nvalue, sizeof *c.of);
    c.wanted = arena_array(a, g->nvalue, sizeof *c.wanted);
    c.rest = arena_array(a, g->nvalue, sizeof *c.rest);
    if (!decide(&c))
        return false;
    find_wanted(&c);
    return program_rebuild(pass->program, copy, &c);
}

/* Decided again, what is recomputed already stays so. */
static void forget_kept(struct program *p)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->nremat; i++)
        if (p->remat[i].recomputed)
            p->remat[n++] = p->remat[i];
    p->nremat = n;
}

pass_fn pass_remat;
enum pass_result pass_remat(struct pass_cx *cx)
{
    struct program *p = cx->program;
    struct arena *a = arena_new();
    bool changed = false;
    forget_kept(p);
    for (region_id r = 1; r < p->graph.nregion && cx->scarcity > 0; r++) {
        if (p->graph.region[r].kind == REGION_PHASE)
            changed |= remat_region(cx, r, a);
        arena_reset(a);
    }
    arena_free(a);
    return changed ? PASS_CHANGED : PASS_UNCHANGED;
}
