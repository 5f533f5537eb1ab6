/*
 * Update steps.
 *
 * Step k takes its losses at the weights that step k-1 left: the losses are cloned with the
 * weights' leaves replaced by their next versions, stopping at held values.  A next version
 * is a leaf that names the new value, not the optimizer's expression itself; otherwise the
 * gradient of a later step would run back through the update.  A held value still depends
 * on the versions it was made with, so with holds the gradient of a weight is summed over
 * its versions.
 *
 * "optimizer/PATH/t" counts a weight's updates.  The runtime raises it before the phase, by
 * the number of updates of that weight in the phase, so the j-th of n has number t - (n - 1
 * - j).
 */
#include <string.h>

#include "compiler/passes/pass.h"
#include "runtime/base/arena.h"

struct update {
    struct program *p;
    struct graph *g;
    struct diag_sink *ds;
    struct arena *scratch;
    struct prog_phase *phase;
    struct prog_step *step; /* of this variant of the phase */
    uint16_t variant;
    value_id *now; /* by leaf: its value at this step; 0: version 0 */
    uint32_t
        *left; /* by leaf: 1 + updates in this phase still to come; 0: not counted yet */
    value_id **versions; /* by leaf: all values so far, for gradients through held values */
    uint32_t *nversion;
    bool failed;
};

static value_id now_of(const struct update *u, leaf_id leaf)
{
    return u->now[leaf] ? u->now[leaf] : u->g->leaf[leaf].value;
}

static const struct prog_optimizer *optimizer_of(const struct update *u, leaf_id leaf)
{
    for (uint32_t i = 0; i < u->p->nweight; i++)
        if (u->p->weight[i].leaf == leaf && u->p->weight[i].optimizer >= 0)
            return &u->p->optimizer[u->p->weight[i].optimizer];
    return NULL;
}

/* ---- losses at this step ---- */

static value_id loss_now(struct update *u, value_id loss)
{
    struct graph *g = u->g;
    value_id *to = arena_array(u->scratch, g->nvalue, sizeof *to), out;
    for (leaf_id i = 1; i < g->nleaf; i++)
        if (!g->leaf[i].version && g->leaf[i].value && u->now[i])
            to[g->leaf[i].value] = u->now[i];
    graph_substitute(g, to, u->phase->hold, u->phase->nhold, &loss, 1, &out);
    return out;
}

/* ---- gradients ---- */

/* d loss / d leaf for every leaf of the update, summed over versions; 0 where none arrives.
 */
static bool gradients(struct update *u, const struct prog_update *x, value_id loss,
                      value_id *grad)
{
    uint32_t n = 0;
    const bool held = u->phase->nhold != 0;
    for (uint32_t i = 0; i < x->nleaf; i++)
        n += held ? 1 + u->nversion[x->leaf[i]] : 1;
    value_id *at = arena_array(u->scratch, n + 1, sizeof *at);
    value_id *d = arena_array(u->scratch, n + 1, sizeof *d);
    uint32_t k = 0;
    for (uint32_t i = 0; i < x->nleaf; i++) {
        at[k++] = now_of(u, x->leaf[i]);
        for (uint32_t j = 0; held && j < u->nversion[x->leaf[i]]; j++)
            at[k++] = u->versions[x->leaf[i]][j];
    }
    if (!differentiate(u->g, loss, at, n, u->ds, d))
        return false;
    k = 0;
    for (uint32_t i = 0; i < x->nleaf; i++) {
        grad[i] = d[k++];
        for (uint32_t j = 0; held && j < u->nversion[x->leaf[i]]; j++, k++)
            if (d[k])
                grad[i] = grad[i] ? graph_op2(u->g, SX_ADD, grad[i], d[k]) : d[k];
    }
    return true;
}

/* min(1, clip / norm) over the gradients of one optimizer's group; 0: not wanted. */
static value_id clip_scale(struct update *u, const struct prog_update *x,
                           const struct prog_optimizer *o, const value_id *grad)
{
    struct graph *g = u->g;
    value_id sum = 0;
    if (!o->clip || o->clip_max)
        return 0;
    for (uint32_t i = 0; i < x->nleaf; i++) {
        if (!grad[i] || optimizer_of(u, x->leaf[i]) != o)
            continue;
        const value_id square = graph_op2(g, SX_MUL, grad[i], grad[i]);
        const value_id s = graph_sum(g, square, UINT32_MAX);
        sum = sum ? graph_op2(g, SX_ADD, sum, s) : s;
    }
    if (!sum)
        return 0;
    const value_id ratio = graph_op2(g, SX_DIV, o->clip, graph_op1(g, SX_SQRT, sum));
    return graph_op2(g, SX_MIN, ratio, graph_const(g, 1)); /* norm 0: infinity, so 1 */
}

/* ---- one weight ---- */

/* A leaf of optimizer state, zero at first. */
static leaf_id state_leaf(struct update *u, leaf_id weight, const char *suffix)
{
    struct graph *g = u->g;
    const struct type t = g->leaf[weight].type;
    const char *path = arena_fmt(g->arena, "optimizer/%s/%s", g->leaf[weight].path, suffix);
    leaf_id id = graph_find_leaf(g, LEAF_PARAM, path);
    if (id)
        return id;
    graph_leaf(g, LEAF_PARAM, 0, 0, path, t);
    id = graph_find_leaf(g, LEAF_PARAM, path);
    if (u->p->init) {
        const region_id at = g->at;
        g->at = u->p->init;
        const value_id zero = graph_map(g, sx_const(&g->sx, 0), NULL, 0, &t);
        graph_root(g, u->p->init, ROOT_INIT, 0, id, zero, NULL);
        g->at = at;
    }
    return id;
}

/* How often this phase updates the weight: where the loss reaches it. */
static uint32_t count_updates(struct update *u, leaf_id leaf)
{
    const struct prog_optimizer *o = optimizer_of(u, leaf);
    uint32_t named = 0, reached = 0;
    for (uint32_t k = 0; k < u->phase->nstep; k++)
        for (uint32_t j = 0; j < u->step[k].nupdate; j++) {
            const struct prog_update *x = &u->step[k].update[j];
            for (uint32_t i = 0; i < x->nleaf; i++) {
                value_id d = 0;
                if (x->leaf[i] != leaf)
                    continue;
                named++;
                if (u->phase->nstep > 1)
                    differentiate(u->g, x->loss, &u->g->leaf[leaf].value, 1, u->ds, &d);
                reached += d || o->missing_zero;
            }
        }
    return named > 1 ? reached : 1;
}

/* The number of this update of the weight, as a host scalar. */
static value_id update_number(struct update *u, leaf_id leaf)
{
    struct graph *g = u->g;
    const region_id at = g->at;
    const char *path = arena_fmt(g->arena, "optimizer/%s/t", g->leaf[leaf].path);
    if (!u->left[leaf])
        u->left[leaf] = 1 + count_updates(u, leaf);
    u->left[leaf]--;
    value_id t = graph_leaf(g, LEAF_COUNTER, 0, 0, path, type_scalar(DT_F32));
    g->at = u->p->host;
    if (u->left[leaf] > 1)
        t = graph_op2(g, SX_SUB, t, graph_const(g, u->left[leaf] - 1));
    g->at = at;
    return t;
}

/* A phase of several variants tells its roots, and its steps, apart by their number. */
static uint16_t step_number(const struct update *u, uint16_t step)
{
    return (uint16_t)(u->variant * u->phase->nstep + step);
}

static void root(struct update *u, enum root_why why, uint16_t step, leaf_id leaf,
                 value_id v, const char *name)
{
    struct region *r = &u->g->region[u->phase->region];
    graph_root(u->g, u->phase->region, why, step_number(u, step), leaf, v, name);
    if (u->phase->nvariant)
        r->root[r->nroot - 1].variant = (uint16_t)(1 + u->variant);
}

static void commit(struct update *u, leaf_id leaf, value_id v, uint16_t step)
{
    struct graph *g = u->g;
    const bool last = step + 1U == u->phase->nstep;
    root(u, ROOT_UPDATE, step, leaf, v, NULL);
    if (last)
        return;
    const value_id next =
        graph_leaf(g, LEAF_PARAM, (uint16_t)(step_number(u, step) + 1), u->phase->region,
                   g->leaf[leaf].path, g->leaf[leaf].type);
    g->leaf[g->node[g->value[next].def].attr].def = v;
    if (u->phase->nhold) {
        value_id *all = arena_array(u->scratch, u->nversion[leaf] + 1U, sizeof *all);
        if (u->nversion[leaf])
            memcpy(all, u->versions[leaf], u->nversion[leaf] * sizeof *all);
        all[u->nversion[leaf]++] = now_of(u, leaf);
        u->versions[leaf] = all;
    }
    u->now[leaf] = next;
}

static void update_weight(struct update *u, leaf_id leaf, const struct prog_optimizer *o,
                          value_id grad, value_id scale, uint16_t step)
{
    struct graph *g = u->g;
    leaf_id slot[3] = {0};
    bool has[3];
    static const char *const suffix[3] = {"m", "v", "vmax"};
    struct optimizer_io io = {.weight = now_of(u, leaf),
                              .grad = grad,
                              .scale = scale,
                              .t = update_number(u, leaf),
                              .host = u->p->host};
    value_id *in[3] = {&io.m, &io.v, &io.vmax};
    const struct loc here = g->place[g->where].loc;
    optimizer_slots(g, o, &has[0], &has[1], &has[2]);
    for (unsigned i = 0; i < 3; i++)
        if (has[i]) {
            slot[i] = state_leaf(u, leaf, suffix[i]);
            *in[i] = now_of(u, slot[i]);
        }
    g->where = graph_place(g, o->loc.file ? o->loc : here, g->where, WHY_UPDATED_BY,
                           g->leaf[leaf].path);
    const struct optimizer_state s = optimizer_step(g, o, &io);
    const value_id made[3] = {s.m, s.v, s.vmax};
    for (unsigned i = 0; i < 3; i++)
        if (has[i])
            commit(u, slot[i], made[i], step);
    commit(u, leaf, s.weight, step);
}

/* ---- steps ---- */

/* The gradients of one entry; all entries of a step are taken before any weight changes. */
struct pending {
    value_id *grad;
};

static void take_gradients(struct update *u, struct prog_update *x, struct pending *out,
                           uint16_t step)
{
    struct graph *g = u->g;
    bool any = false;
    g->where = graph_place(g, x->loc, 0, WHY_WRITTEN, x->name);
    const value_id loss = loss_now(u, x->loss);
    root(u, ROOT_OUTPUT, step, 0, loss, x->name);
    out->grad = arena_array(u->scratch, x->nleaf + 1U, sizeof *out->grad);
    if (!gradients(u, x, loss, out->grad)) {
        u->failed = true;
        return;
    }
    for (uint32_t i = 0; i < x->nleaf; i++)
        any |= out->grad[i] != 0;
    if (any || x->rests || u->variant)
        return;
    diag(u->ds, E0503, x->loc, "the loss does not reach any weight of `%s`", x->groups);
    u->failed = true;
}

static void apply_gradients(struct update *u, const struct prog_update *x,
                            const struct pending *from, uint16_t step)
{
    struct graph *g = u->g;
    const uint32_t noptimizer = u->p->noptimizer;
    value_id *scale = arena_array(u->scratch, noptimizer + 1U, sizeof *scale);
    g->where = graph_place(g, x->loc, 0, WHY_WRITTEN, x->name);
    for (uint32_t i = 0; i < noptimizer; i++)
        scale[i] = clip_scale(u, x, &u->p->optimizer[i], from->grad);
    const place_id where = g->where;
    for (uint32_t i = 0; i < x->nleaf; i++) {
        const struct prog_optimizer *o = optimizer_of(u, x->leaf[i]);
        value_id grad = from->grad[i];
        if (!o || (!grad && !o->missing_zero))
            continue;
        const struct type t = g->leaf[x->leaf[i]].type;
        if (!grad)
            grad = graph_map(g, sx_const(&g->sx, 0), NULL, 0, &t);
        update_weight(u, x->leaf[i], o, grad, scale[o - u->p->optimizer], step);
        g->where = where;
    }
}

static void do_step(struct update *u, uint16_t k)
{
    struct prog_step *s = &u->step[k];
    struct pending *p = arena_array(u->scratch, s->nupdate + 1U, sizeof *p);
    for (uint32_t j = 0; j < s->nupdate && !u->failed; j++)
        take_gradients(u, &s->update[j], &p[j], k);
    for (uint32_t j = 0; j < s->nupdate && !u->failed; j++)
        apply_gradients(u, &s->update[j], &p[j], k);
}

/* The steps without the frozen weights. */
static struct prog_step *steps_without(struct update *u, const struct prog_variant *v)
{
    const struct prog_phase *ph = u->phase;
    struct prog_step *out = arena_array(u->scratch, ph->nstep + 1U, sizeof *out);
    for (uint32_t k = 0; k < ph->nstep; k++) {
        out[k] = ph->step[k];
        out[k].update = arena_array(u->scratch, out[k].nupdate + 1U, sizeof *out->update);
        for (uint32_t j = 0; j < out[k].nupdate; j++) {
            const struct prog_update *from = &ph->step[k].update[j];
            struct prog_update *to = &out[k].update[j];
            *to = *from;
            to->nleaf = 0;
            to->leaf = arena_array(u->scratch, from->nleaf + 1U, sizeof *to->leaf);
            for (uint32_t i = 0; i < from->nleaf; i++) {
                bool frozen = false;
                for (uint32_t f = 0; f < v->nfrozen; f++)
                    frozen |= v->frozen[f] == from->leaf[i];
                if (!frozen)
                    to->leaf[to->nleaf++] = from->leaf[i];
            }
        }
    }
    return out;
}

static void do_variant(struct update *u, uint32_t variant)
{
    const struct prog_phase *phase = u->phase;
    uint32_t n = u->g->nleaf;
    u->variant = (uint16_t)variant;
    u->step = variant ? steps_without(u, &phase->variant[variant - 1]) : phase->step;
    for (uint32_t k = 0; k < phase->nstep; k++)
        for (uint32_t j = 0; j < phase->step[k].nupdate; j++)
            n += 8 * phase->step[k].update[j].nleaf; /* state and versions are new leaves */
    u->now = arena_array(u->scratch, n, sizeof *u->now);
    u->left = arena_array(u->scratch, n, sizeof *u->left);
    u->versions = arena_array(u->scratch, n, sizeof *u->versions);
    u->nversion = arena_array(u->scratch, n, sizeof *u->nversion);
    for (uint32_t k = 0; k < phase->nstep; k++)
        do_step(u, (uint16_t)k);
    arena_reset(u->scratch);
}

static void do_phase(struct update *u, struct prog_phase *phase)
{
    u->phase = phase;
    u->g->at = phase->region;
    for (uint32_t v = 0; v <= phase->nvariant; v++)
        do_variant(u, v);
    for (uint32_t k = 0; k < phase->nstep; k++)
        for (uint32_t j = 0; j < phase->step[k].nupdate; j++)
            phase->step[k].update[j].loss = 0; /* roots hold them now */
    phase->nhold = 0;
}

pass_fn pass_update;
enum pass_result pass_update(struct pass_cx *cx)
{
    struct program *p = cx->program;
    struct update u = {.p = p, .g = &p->graph, .ds = cx->diags, .scratch = arena_new()};
    const region_id at = p->graph.at;
    bool failed = false, any = false;
    for (uint32_t i = 0; i < p->nphase; i++) {
        u.failed = false;
        if (p->phase[i].nstep)
            do_phase(&u, &p->phase[i]);
        any |= p->phase[i].nstep != 0;
        failed |= u.failed;
    }
    p->graph.at = at;
    p->graph.where = 0;
    arena_free(u.scratch);
    return failed ? PASS_FAILED : any ? PASS_CHANGED : PASS_UNCHANGED;
}
