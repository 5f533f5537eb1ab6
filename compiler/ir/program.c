/* A program's own references into its graph, so that rebuilding the graph keeps them right.
 */
#include "compiler/ir/program.h"

#include <string.h>

#include "runtime/base/arena.h"

bool root_is_probe(const struct root *r)
{
    return r->why == ROOT_OUTPUT && r->name && strncmp(r->name, "probe/", 6) == 0;
}

int64_t program_batch_max(const struct program *p)
{
    int64_t n = p->batch_max > 1 ? p->batch_max : 1;
    for (uint32_t i = 0; i < p->nsource; i++)
        n = p->source[i].batch_max > n ? p->source[i].batch_max : n;
    return n;
}

static void each_entry(struct prog_entry *e, uint32_t n, program_value_fn *fn, void *cx)
{
    for (uint32_t i = 0; i < n; i++) {
        fn(cx, &e[i].times);
        fn(cx, &e[i].when);
        each_entry(e[i].entry, e[i].nentry, fn, cx);
    }
}

static void each_named(struct prog_named *x, uint32_t n, program_value_fn *fn, void *cx)
{
    for (uint32_t i = 0; i < n; i++)
        fn(cx, &x[i].value);
}

static void each_phase(struct prog_phase *p, program_value_fn *fn, void *cx)
{
    for (uint32_t i = 0; i < p->nhold; i++)
        fn(cx, &p->hold[i]);
    for (uint32_t i = 0; i < p->nstep; i++)
        for (uint32_t j = 0; j < p->step[i].nupdate; j++)
            fn(cx, &p->step[i].update[j].loss);
}

static void each_optimizer(struct prog_optimizer *o, program_value_fn *fn, void *cx)
{
    value_id *v[] = {&o->lr,    &o->beta1, &o->beta2,        &o->eps, &o->momentum,
                     &o->decay, &o->clip,  &o->weight_decay, &o->low, &o->high};
    for (unsigned i = 0; i < sizeof v / sizeof *v; i++)
        fn(cx, v[i]);
}

void program_each_value(struct program *p, program_value_fn *fn, void *cx)
{
    for (uint32_t i = 0; i < p->nsource; i++) {
        fn(cx, &p->source[i].batch);
        fn(cx, &p->source[i].keep);
    }
    for (uint32_t i = 0; i < p->noptimizer; i++)
        each_optimizer(&p->optimizer[i], fn, cx);
    for (uint32_t i = 0; i < p->nplateau; i++) {
        fn(cx, &p->plateau[i].factor);
        fn(cx, &p->plateau[i].patience);
    }
    for (uint32_t i = 0; i < p->nphase; i++)
        each_phase(&p->phase[i], fn, cx);
    for (uint32_t i = 0; i < p->nstage; i++) {
        each_entry(p->stage[i].entry, p->stage[i].nentry, fn, cx);
        fn(cx, &p->stage[i].epochs);
        fn(cx, &p->stage[i].cycles);
        fn(cx, &p->stage[i].until);
        each_named(p->stage[i].set, p->stage[i].nset, fn, cx);
    }
    for (uint32_t i = 0; i < p->nprobe; i++) {
        each_named(p->probe[i].value, p->probe[i].nvalue, fn, cx);
        each_named(p->probe[i].set, p->probe[i].nset, fn, cx);
    }
    each_named(p->node, p->nnode, fn, cx);
}

struct list {
    struct arena *arena;
    value_id *v;
    uint32_t n, cap;
};

static void collect(void *cx, value_id *v)
{
    struct list *l = cx;
    l->v = arena_grow(l->arena, l->v, &l->cap, l->n + 1, sizeof *l->v);
    l->v[l->n++] = *v;
}

static void remap(void *cx, value_id *v)
{
    *v = ((const value_id *)cx)[*v];
}

/* By value: something that the rebuilt graph has too read it. */
static bool *was_read(const struct graph *old, const value_id *map, struct arena *a)
{
    bool *read = arena_array(a, old->nvalue, sizeof *read);
    for (node_id id = 1; id < old->nnode; id++) {
        const struct node *n = &old->node[id];
        for (unsigned i = 0; map[n->out0] && i < n->nin; i++)
            read[graph_in(old, n)[i]] = true;
    }
    return read;
}

static void follow_names(struct program *p, const struct graph *old, const value_id *map)
{
    const bool *read = was_read(old, map, old->tables);
    for (uint32_t i = 0; i < p->ncalled; i++) {
        struct prog_called *x = &p->called[i];
        if (x->value && !map[x->value])
            x->fate = read[x->value] ? CALLED_ABSORBED : CALLED_UNREAD;
        x->value = map[x->value];
    }
}

bool program_rebuild(struct program *p, rebuild_fn *fn, void *cx)
{
    const struct graph old = p->graph;
    struct list keep = {.arena = p->graph.tables};
    value_id *map;
    program_each_value(p, collect, &keep);
    if (!graph_rebuild_keep(&p->graph, fn, cx, keep.v, keep.n, &map))
        return false;
    program_each_value(p, remap, map);
    follow_names(p, &old, map);
    graph_drop_tables(&old);
    return true;
}
