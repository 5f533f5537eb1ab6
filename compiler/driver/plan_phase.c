/*
 * One phase program of a plan.
 *
 * Its roots decide what is live, fusion makes groups, groups become kernels (equal ones
 * are one: plan_kernel.c), levels become launches, and the scratch values of all phases are
 * planned into one arena, since no two phases run at the same time.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/place.h"
#include "compiler/driver/plan_program.h"
#include "runtime/base/arena.h"

/* ---- slots ---- */

uint32_t program_add_slot(struct phase_builder *p, struct slot s)
{
    p->slot = arena_grow(p->scratch, p->slot, &p->cslot, p->nslot + 1, sizeof s);
    s.first = UINT32_MAX;
    p->slot[p->nslot] = s;
    return p->nslot++;
}

static uint32_t leaf_slot(struct phase_builder *p, leaf_id id)
{
    struct builder *b = p->b;
    const uint32_t buffer = plan_leaf_buffer(b, id);
    for (uint32_t at = buffer, i; hash_next(&p->leaves, buffer, &at, &i);)
        return i;
    hash_add(&p->leaves, p->scratch, buffer, p->nslot);
    return program_add_slot(
        p, (struct slot){.kind = b->g->leaf[id].what == LEAF_DATA ? SLOT_INPUT : SLOT_STATE,
                         .buffer = buffer,
                         .type = b->g->leaf[id].type});
}

/* storage_fn: where a base value lies */
static uint32_t slot_of(void *cx, value_id base)
{
    struct phase_builder *p = cx;
    const struct graph *g = p->b->g;
    const struct node *n = &g->node[g->value[base].def];

    if (!p->slot_of[base])
        p->slot_of[base] =
            1 + (n->op == OP_LEAF
                     ? leaf_slot(p, n->attr)
                     : program_add_slot(p, (struct slot){.kind = SLOT_SCRATCH,
                                                         .type = g->value[base].type,
                                                         .value = base}));
    return p->slot_of[base] - 1;
}

/* ---- tasks ---- */

/* What goes into the state has to be finite. */
static void watch_state(const struct phase_builder *p, const struct lowered *low)
{
    for (uint32_t i = 0; i < low->kernel->nbuf; i++) {
        struct kbuf *b = &low->kernel->buf[i];
        b->watched = p->slot[low->slot[i]].kind == SLOT_STATE && b->use != BUF_READ &&
                     b->dtype == DT_F32;
    }
}

/* Of a buffer that the kernel writes and does not read; else 0. */
static uint64_t bytes_written(const struct phase_builder *p, const struct lowered *low,
                              uint32_t buf)
{
    const struct kbuf *b = &low->kernel->buf[buf];
    return b->use == BUF_WRITE && b->dtype == DT_F32
               ? plan_type_bytes(p->b, &p->slot[low->slot[buf]].type)
               : 0;
}

/* Does it sum down columns what lies in no cache? Rows are then walked whole. */
static bool streams(const struct phase_builder *p, const struct lowered *low, uint32_t buf)
{
    const struct kernel *k = low->kernel;
    bool sums = false;
    for (uint32_t i = 0; i < k->nstage; i++)
        sums |= k->stage[i].op == K_SUM && k->stage[i].order == ORDER_CHUNK &&
                !k->stage[i].seg[0].factor[1];
    return sums && k->buf[buf].use == BUF_READ && k->buf[buf].dtype == DT_F32 &&
           plan_type_bytes(p->b, &p->slot[low->slot[buf]].type) >=
               (uint64_t)p->b->target->l3;
}

/*
 * What no cache holds until it is read need not go through them: all that a kernel writes,
 * where that is larger than L3, but for what L2 has room for.
 */
static void send_far(const struct phase_builder *p, const struct lowered *low)
{
    const struct target *t = p->b->target;
    uint64_t all = 0;
    for (uint32_t i = 0; i < low->kernel->nbuf; i++)
        all += bytes_written(p, low, i);
    for (uint32_t i = 0; i < low->kernel->nbuf; i++)
        low->kernel->buf[i].far =
            (all >= (uint64_t)t->l3 && bytes_written(p, low, i) >= (uint64_t)t->l2) ||
            streams(p, low, i);
}

void program_set_nest(struct phase_builder *p, struct task *t, struct scheduled *s,
                      const uint32_t *slot)
{
    t->scheduled = s;
    t->nest = s->nest;
    t->slot = slot;
    t->private_at = arena_array(p->scratch, t->nest->nprivate + 1U, sizeof *t->private_at);
    t->private_bytes = nest_private_bytes(t->nest, p->b->plan->batch_max, t->private_at);
    if (!p->b->opt->f64)
        return;
    t->private_bytes *= 2;
    for (uint32_t i = 0; i < t->nest->nprivate; i++)
        t->private_at[i] *= 2;
}

struct task *program_add_task(struct phase_builder *p, const struct lowered *low,
                              struct scheduled *s, const uint32_t *slot, uint32_t level)
{
    p->task = arena_grow(p->scratch, p->task, &p->ctask, p->ntask + 1, sizeof *p->task);
    struct task *t = &p->task[p->ntask++];
    t->low = low;
    t->level = level;
    program_set_nest(p, t, s, slot);
    if (level + 1 > p->nlevel)
        p->nlevel = level + 1;
    return t;
}

static struct task *add_task(struct phase_builder *p, struct lowered *low, uint32_t level)
{
    if (!low) {
        p->b->failed = true;
        return NULL;
    }
    watch_state(p, low);
    send_far(p, low);
    return program_add_task(p, low, plan_nest(p->b, low->kernel), low->slot, level);
}

const uint32_t *program_by_level(const struct phase_builder *p)
{
    uint32_t *first = arena_array(p->scratch, p->nlevel + 2U, sizeof *first);
    uint32_t *order = arena_array(p->scratch, p->ntask + 1U, sizeof *order);
    for (uint32_t i = 0; i < p->ntask; i++)
        first[p->task[i].level + 1]++;
    for (uint32_t l = 0; l < p->nlevel; l++)
        first[l + 1] += first[l];
    for (uint32_t i = 0; i < p->ntask; i++)
        order[first[p->task[i].level]++] = i;
    return order;
}

static void touch(struct slot *s, uint32_t level)
{
    if (s->first > level)
        s->first = level;
    if (s->last < level)
        s->last = level;
}

/* ---- roots ---- */

static bool is_in_place(const struct phase_builder *p, const struct root *r)
{
    const value_id base = p->f->base[r->value];
    return r->why != ROOT_OUTPUT && !p->f->twin[r->leaf] && !p->slot_of[base] &&
           type_eq(graph_type(p->b->g, base), &p->b->g->leaf[r->leaf].type);
}

/* New weights lie where the old ones did, before anything else claims their values. */
static void claim_state(struct phase_builder *p)
{
    for (uint32_t i = 0; i < p->f->nroot; i++) {
        const struct root *r = p->f->root[i];
        if (is_in_place(p, r))
            p->slot_of[p->f->base[r->value]] = 1 + leaf_slot(p, r->leaf);
    }
}

/* Where the whole program of the phase has this output of a probe; no buffer: nowhere. */
static uint32_t shared_place(const struct phase_builder *p, const struct root *r)
{
    for (uint32_t i = 0; p->like && r->name && i < p->like->noutput; i++)
        if (strncmp(r->name, "probe/", 6) == 0 &&
            strcmp(p->like->output[i].name, r->name) == 0)
            return p->like->output[i].buffer;
    return UINT32_MAX;
}

static uint32_t output_place(const struct phase_builder *p, const struct root *r,
                             const struct type *t)
{
    const uint32_t shared = shared_place(p, r);
    return shared != UINT32_MAX ? shared : plan_append_buffer(p->b, HYP_SEG_OUTPUT, t);
}

/* The loss and probe values the runtime reads: in place if data or computed, else copied
 * first. */
static void claim_outputs(struct phase_builder *p)
{
    const struct graph *g = p->b->g;
    for (uint32_t i = 0; i < p->f->nroot; i++) {
        const struct root *r = p->f->root[i];
        const value_id base = p->f->base[r->value];
        if (r->why == ROOT_OUTPUT && g->node[g->value[base].def].op != OP_LEAF &&
            !p->slot_of[base])
            p->slot_of[base] =
                1 + program_add_slot(
                        p, (struct slot){.kind = SLOT_OUTPUT,
                                         .type = *graph_type(g, base),
                                         .buffer = output_place(p, r, graph_type(g, base)),
                                         .value = base});
    }
}

/* Of the outputs that pass `bounds` adds; 0: another. */
static int32_t index_extent(const char *name)
{
    if (name && strncmp(name, "probe/", 6) == 0)
        name += 6;
    return name && strncmp(name, "index/", 6) == 0 ? (int32_t)strtol(name + 6, NULL, 10)
                                                   : 0;
}

static bool is_loss(const struct root *r)
{
    return r->why == ROOT_OUTPUT && r->name && strncmp(r->name, "probe/", 6) != 0 &&
           strncmp(r->name, "dream/", 6) != 0 && !index_extent(r->name);
}

static void add_output(struct phase_builder *p, const struct root *r, uint32_t buffer)
{
    struct hyp_phase *ph = p->phase;
    const struct type *t = graph_type(p->b->g, r->value);

    ph->output =
        arena_grow(p->b->a, ph->output, &p->coutput, ph->noutput + 1, sizeof *ph->output);
    struct hyp_output *o = &ph->output[ph->noutput++];
    o->name = r->name;
    o->buffer = buffer;
    o->dtype = plan_dtype(t->dtype);
    o->rank = t->rank;
    o->sample = t->sample;
    o->extent = index_extent(r->name);
    if (o->extent)
        o->name = place_text(p->b->g, p->b->ds,
                             p->b->g->node[p->b->g->value[r->value].def].place, p->b->a);
    o->loss = is_loss(r);
    plan_copy_dims(o->dim, t);
}

static void output_root(struct phase_builder *p, const struct root *r)
{
    const value_id base = p->f->base[r->value];
    const uint32_t from = slot_of(p, base); /* may move the table */
    const struct slot *s = &p->slot[from];

    const uint32_t shared = shared_place(p, r);
    const bool there = s->kind == SLOT_INPUT || s->kind == SLOT_OUTPUT;
    if (there && (shared == UINT32_MAX || shared == s->buffer)) {
        add_output(p, r, s->buffer);
        return;
    }
    const uint32_t to = program_add_slot(
        p, (struct slot){.kind = SLOT_OUTPUT,
                         .type = *graph_type(p->b->g, r->value),
                         .buffer = output_place(p, r, graph_type(p->b->g, r->value))});
    const bool from_leaf = p->b->g->node[p->b->g->value[base].def].op == OP_LEAF;
    add_task(p, lower_copy(p->f, r->value, to, slot_of, p, p->scratch, p->b->ds),
             from_leaf ? 0 : p->nlevel);
    add_output(p, r, p->slot[to].buffer);
}

/* States are committed after everything has run; what another commit overwrites is kept
 * first. */
static void commit_root(struct phase_builder *p, const struct root *r, uint32_t end)
{
    const value_id base = p->f->base[r->value];
    const uint32_t home = leaf_slot(p, r->leaf);
    const bool from_leaf = p->b->g->node[p->b->g->value[base].def].op == OP_LEAF;

    if (p->slot_of[base] == home + 1)
        return;
    if (!from_leaf) {
        add_task(p, lower_copy(p->f, r->value, home, slot_of, p, p->scratch, p->b->ds),
                 end);
        return;
    }
    const uint32_t keep = program_add_slot(
        p, (struct slot){.kind = SLOT_SCRATCH, .type = *graph_type(p->b->g, r->value)});
    add_task(p, lower_copy(p->f, r->value, keep, slot_of, p, p->scratch, p->b->ds), 0);
    struct lowered *low =
        lower_copy(p->f, r->value, home, slot_of, p, p->scratch, p->b->ds);
    for (uint32_t i = 0; low && i < low->kernel->nbuf; i++)
        if (low->slot[i] != home)
            low->slot[i] = keep;
    add_task(p, low, end);
}

static void finish_roots(struct phase_builder *p)
{
    for (uint32_t i = 0; i < p->f->nroot; i++)
        if (p->f->root[i]->why == ROOT_OUTPUT)
            output_root(p, p->f->root[i]);
    const uint32_t end = p->nlevel;
    for (uint32_t i = 0; i < p->f->nroot; i++)
        if (p->f->root[i]->why != ROOT_OUTPUT)
            commit_root(p, p->f->root[i], end);
}

/* ---- memory ---- */

static uint32_t add_life(struct phase_builder *p, value_id value, uint64_t bytes,
                         uint32_t first, uint32_t last)
{
    p->life[p->nlife] = (struct interval){bytes, first, last, 0};
    p->what[p->nlife] = (struct plan_life){.value = value, .buffer = UINT32_MAX};
    return p->nlife++;
}

bool program_in_arena(const struct slot *s)
{
    return s->kind == SLOT_SCRATCH && s->first != UINT32_MAX;
}

void program_touch(struct phase_builder *p)
{
    for (uint32_t i = 0; i < p->ntask; i++)
        for (uint32_t k = 0; k < program_nslot(&p->task[i]); k++)
            touch(&p->slot[p->task[i].slot[k]], p->task[i].level);
}

static void find_lives(struct phase_builder *p, uint32_t *of_slot)
{
    program_touch(p);
    for (uint32_t i = 0; i < p->ntask; i++) {
        struct task *t = &p->task[i];
        if (t->private_bytes)
            t->interval = add_life(p, 0, t->private_bytes, t->level, t->level);
    }
    for (uint32_t i = 0; i < p->nslot; i++)
        if (program_in_arena(&p->slot[i]))
            of_slot[i] =
                add_life(p, p->slot[i].value, plan_type_bytes(p->b, &p->slot[i].type),
                         p->slot[i].first, p->slot[i].last);
}

static void place_slot(struct phase_builder *p, struct slot *s, uint32_t life)
{
    struct builder *b = p->b;
    const struct type *t = &s->type;
    const struct interval *x = &p->life[life];
    const int64_t rows = t->rank ? ext_at(t->dim[0], b->plan->batch_max) : 1;

    s->buffer = plan_new_buffer(b, HYP_SEG_SCRATCH, plan_dtype(t->dtype), x->offset,
                                x->bytes, plan_sample_bytes(b, t));
    p->what[life].buffer = s->buffer;
    s->life = life;
    if (rows > 0 && !s->packed && x->bytes / (uint64_t)rows > b->row_max)
        b->row_max = x->bytes / (uint64_t)rows;
}

static void plan_scratch(struct phase_builder *p)
{
    struct builder *b = p->b;
    uint32_t *of_slot = arena_array(p->scratch, p->nslot + 1U, sizeof *of_slot);

    p->life = arena_array(p->scratch, p->nslot + p->ntask + 1U, sizeof *p->life);
    p->what = arena_array(b->a, p->nslot + p->ntask + 1U, sizeof *p->what);
    find_lives(p, of_slot);
    p->phase->arena_bytes = memplan(p->life, p->nlife, p->scratch, &p->phase->arena_bound);
    for (uint32_t i = 0; i < p->nslot; i++)
        if (program_in_arena(&p->slot[i]))
            place_slot(p, &p->slot[i], of_slot[i]);
    for (uint32_t i = 0; i < p->ntask; i++)
        for (uint32_t j = 0; j < p->task[i].nest->nprivate; j++)
            p->task[i].private_at[j] += p->life[p->task[i].interval].offset;
    if (p->phase->arena_bytes > b->plan->segment_bytes[HYP_SEG_SCRATCH])
        b->plan->segment_bytes[HYP_SEG_SCRATCH] = p->phase->arena_bytes;
}

/* ---- update steps ---- */

/* Marks what value v needs and no earlier step needed. */
static void mark_step(const struct phase_builder *p, value_id v, uint32_t step,
                      uint32_t *step_of, node_id *stack)
{
    const struct graph *g = p->b->g;
    uint32_t n = 0;

    stack[n++] = g->value[v].def;
    while (n) {
        const node_id id = stack[--n];
        const struct node *nd = &g->node[id];
        if (step_of[id])
            continue;
        step_of[id] = step;
        if (nd->op == OP_LEAF && g->leaf[nd->attr].version)
            stack[n++] = g->value[g->leaf[nd->attr].def].def;
        for (unsigned i = 0; i < nd->nin; i++)
            stack[n++] = g->value[graph_in(g, nd)[i]].def;
    }
}

/* By node: the first of several update steps that needs it, from 1; NULL: only one. */
static uint32_t *steps_of(const struct phase_builder *p)
{
    const struct fusion *f = p->f;
    const struct graph *g = p->b->g;
    uint32_t first = UINT32_MAX, last = 0, edges = g->nnode + 1;

    for (uint32_t i = 0; i < f->nroot; i++)
        if (f->root[i]->why == ROOT_UPDATE || is_loss(f->root[i])) {
            first = f->root[i]->step < first ? f->root[i]->step : first;
            last = f->root[i]->step > last ? f->root[i]->step : last;
        }
    if (last <= first || first == UINT32_MAX)
        return NULL;
    for (node_id id = 1; id < g->nnode; id++)
        edges += g->node[id].nin + 1U;
    uint32_t *step_of = arena_array(p->scratch, g->nnode + 1, sizeof *step_of);
    node_id *stack = arena_array(p->scratch, edges, sizeof *stack);
    for (uint32_t s = first; s <= last; s++)
        for (uint32_t i = 0; i < f->nroot; i++)
            if (f->root[i]->step == s &&
                (f->root[i]->why == ROOT_UPDATE || is_loss(f->root[i])))
                mark_step(p, f->root[i]->value, s - first + 1, step_of, stack);
    return step_of;
}

static uint32_t group_step(const struct group *gr, const uint32_t *step_of)
{
    uint32_t first = 0;
    for (uint32_t i = 0; step_of && i < gr->n; i++)
        if (step_of[gr->node[i]] && (!first || step_of[gr->node[i]] < first))
            first = step_of[gr->node[i]];
    return first;
}

/* ---- one phase program ---- */

static void add_groups(struct phase_builder *p)
{
    struct builder *b = p->b;
    const struct fusion *f = p->f;
    const uint32_t *step_of = steps_of(p);

    for (uint32_t i = 0; i < f->norder && !b->failed; i++) {
        const uint32_t gr = f->order[i];
        struct task *t = add_task(p, lower_group(f, gr, slot_of, p, p->scratch, b->ds),
                                  1 + f->level[gr]);
        if (t) {
            t->step = group_step(&f->group[gr], step_of);
            t->group = 1 + gr;
        }
    }
}

static bool wanted(void *cx, const struct root *r)
{
    const struct phase_wish *w = cx;
    if (r->variant && r->variant != w->variant + 1)
        return false;
    return !w->no_probes || !root_is_probe(r);
}

uint32_t plan_phase(struct builder *b, region_id region, const struct phase_wish *wish)
{
    struct hyp_plan *pl = b->plan;
    struct phase_wish w = *wish;
    struct phase_builder p = {.b = b, .scratch = arena_new()};
    struct fuse_options fo = {.off = b->opt->fuse_off,
                              .target = b->target,
                              .batch = b->plan->batch_max,
                              .wanted = wanted,
                              .cx = &w};

    pl->phase = arena_grow(b->a, pl->phase, &b->cphase, pl->nphase + 1, sizeof *pl->phase);
    const uint32_t id = pl->nphase++;
    struct hyp_phase ph = {.name = wish->name, .with_probes = -1, .draw = UINT32_MAX};
    p.phase = &ph;
    p.like = w.like ? &pl->phase[w.like - 1] : NULL;
    p.f = fuse(b->g, region, &fo, b->a);
    b->ir->fusion =
        arena_grow(b->a, b->ir->fusion, &b->cfusion, id + 1, sizeof *b->ir->fusion);
    b->ir->fusion[id] = p.f;
    b->ir->memory =
        arena_grow(b->a, b->ir->memory, &b->cmemory, id + 1, sizeof *b->ir->memory);
    b->ir->nphase = id + 1;
    p.id = id;
    p.slot_of = arena_array(p.scratch, b->g->nvalue + 1, sizeof *p.slot_of);
    claim_state(&p);
    claim_outputs(&p);
    add_groups(&p);
    if (!b->failed)
        finish_roots(&p);
    if (!b->failed) {
        if (!b->opt->whole)
            program_share_packs(&p);
        plan_scratch(&p);
        program_emit(&p);
    }
    pl->phase[id] = ph;
    arena_free(p.scratch);
    return id;
}
