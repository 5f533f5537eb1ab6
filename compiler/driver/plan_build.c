/*
 * Plan building.
 *
 * Every phase program is built alone: its roots decide what is live, fusion makes groups,
 * groups become kernels (equal nests are one kernel), levels become launches, and the
 * scratch values of all phases are planned into one arena, since no two phases run at the
 * same time.
 */
#include "compiler/driver/plan_build.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/passes/memplan.h"
#include "runtime/base/arena.h"
#include "runtime/base/sha256.h"

#define SLACK_ROWS 12 /* a row tile may read this far beyond the batch */

enum slot_kind { SLOT_STATE, SLOT_INPUT, SLOT_OUTPUT, SLOT_SCRATCH };
struct slot {
    uint8_t kind;
    uint32_t buffer; /* of the plan; scratch: assigned after planning */
    struct type type;
    uint32_t first, last; /* launches */
    value_id value;       /* scratch and output */
};
struct task { /* one kernel of the phase program */
    struct lowered *low;
    struct nest *nest;
    uint32_t kernel, level;
    uint64_t *private_at; /* offsets of the nest's private buffers */
    uint64_t private_bytes;
    uint32_t interval;
};
struct builder {
    struct program *program;
    const struct graph *g;
    struct arena *a;
    struct diag_sink *ds;
    const struct target *target;
    const struct plan_options *opt;
    struct hyp_plan *plan;
    struct plan_ir *ir;
    struct host_builder host;
    uint32_t cbuffer, ckernel, centry, cphase, cparam, cnest, cwhat, cfusion;
    uint32_t *leaf_buffer; /* by version-0 leaf: 1 + plan buffer */
    uint64_t row_max;      /* bytes of the longest row, for slack */
    bool failed;
};
struct phase_builder {
    struct builder *b;
    struct fusion *f;
    struct hyp_phase *phase;
    struct slot *slot;
    uint32_t nslot, cslot;
    uint32_t *slot_of; /* by base value: 1 + slot */
    struct task *task;
    uint32_t ntask, ctask, nlevel;
    uint32_t cop, coutput, cinput;
};

/* ---- buffers ---- */

static uint64_t dtype_bytes(const struct builder *b, uint8_t dtype)
{
    return dtype == DT_BOOL ? 1 : dtype == DT_F32 && b->opt->f64 ? 8 : 4;
}

static uint64_t type_bytes(const struct builder *b, const struct type *t)
{
    return (uint64_t)type_elems(t, b->plan->batch_max) * dtype_bytes(b, t->dtype);
}

static uint8_t plan_dtype(uint8_t dtype)
{
    return dtype == DT_F32 ? HYP_F32 : dtype == DT_I32 ? HYP_I32 : HYP_BOOL;
}

static uint64_t align64(uint64_t n)
{
    return (n + 63) / 64 * 64;
}

static uint32_t new_buffer(struct builder *b, uint8_t segment, uint8_t dtype,
                           uint64_t offset, uint64_t bytes)
{
    struct hyp_plan *p = b->plan;
    p->buffer = arena_grow(b->a, p->buffer, &b->cbuffer, p->nbuffer + 1, sizeof *p->buffer);
    p->buffer[p->nbuffer] = (struct hyp_buffer){segment, dtype, offset, bytes};
    return p->nbuffer++;
}

/* A buffer that lives for good at the end of a segment. */
static uint32_t append_buffer(struct builder *b, uint8_t segment, const struct type *t)
{
    const uint64_t bytes = type_bytes(b, t), at = b->plan->segment_bytes[segment];
    const int64_t rows = t->rank ? ext_at(t->dim[0], b->plan->batch_max) : 1;

    b->plan->segment_bytes[segment] = at + align64(bytes);
    if (rows > 0 && bytes / (uint64_t)rows > b->row_max)
        b->row_max = bytes / (uint64_t)rows;
    return new_buffer(b, segment, plan_dtype(t->dtype), at, bytes);
}

static void copy_dims(struct hyp_ext *to, const struct type *t)
{
    for (unsigned i = 0; i < t->rank; i++)
        to[i] = (struct hyp_ext){t->dim[i].c, t->dim[i].b};
}

/* ---- state and inputs ---- */

static void add_tensor(struct builder *b, leaf_id id, bool weight, bool per_sample,
                       struct loc loc)
{
    struct hyp_plan *p = b->plan;
    const struct leaf *l = &b->g->leaf[id];
    const uint32_t buf = append_buffer(b, HYP_SEG_STATE, &l->type);
    struct hyp_tensor *t = &p->tensor[p->ntensor++];

    b->leaf_buffer[id] = 1 + buf;
    t->name = l->path;
    t->dtype = plan_dtype(l->type.dtype);
    t->rank = l->type.rank;
    t->weight = weight;
    t->per_sample = per_sample;
    copy_dims(t->dim, &l->type);
    t->offset = p->buffer[buf].offset;
    t->bytes = p->buffer[buf].bytes;
    t->file = diag_file_name(b->ds, loc.file);
    t->line = loc.line;
}

static void add_state(struct builder *b)
{
    const struct program *pr = b->program;
    b->plan->tensor =
        arena_array(b->a, b->g->nleaf + pr->nweight + 1U, sizeof *b->plan->tensor);
    for (uint32_t i = 0; i < pr->nweight; i++)
        add_tensor(b, pr->weight[i].leaf, !pr->weight[i].state, pr->weight[i].per_sample,
                   pr->weight[i].loc);
    for (leaf_id i = 1; i < b->g->nleaf; i++) {
        const struct leaf *l = &b->g->leaf[i];
        if (l->version == 0 && !b->leaf_buffer[i] &&
            (l->what == LEAF_PARAM || l->what == LEAF_STATE))
            add_tensor(b, i, false, false, (struct loc){0});
    }
}

static uint32_t version0(const struct graph *g, leaf_id id)
{
    const struct leaf *l = &g->leaf[id];
    return l->version ? graph_find_leaf(g, l->what, l->path) : id;
}

static uint32_t leaf_buffer(struct builder *b, leaf_id id)
{
    const leaf_id home = version0(b->g, id);
    if (!b->leaf_buffer[home])
        b->leaf_buffer[home] = 1 + append_buffer(b, HYP_SEG_INPUT, &b->g->leaf[home].type);
    return b->leaf_buffer[home] - 1;
}

/* ---- slots ---- */

static uint32_t add_slot(struct phase_builder *p, struct slot s)
{
    p->slot = arena_grow(p->b->a, p->slot, &p->cslot, p->nslot + 1, sizeof s);
    s.first = UINT32_MAX;
    p->slot[p->nslot] = s;
    return p->nslot++;
}

static uint32_t leaf_slot(struct phase_builder *p, leaf_id id)
{
    struct builder *b = p->b;
    const uint32_t buffer = leaf_buffer(b, id);
    for (uint32_t i = 0; i < p->nslot; i++)
        if (p->slot[i].kind <= SLOT_INPUT && p->slot[i].buffer == buffer)
            return i;
    return add_slot(
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
            1 + (n->op == OP_LEAF ? leaf_slot(p, n->attr)
                                  : add_slot(p, (struct slot){.kind = SLOT_SCRATCH,
                                                              .type = g->value[base].type,
                                                              .value = base}));
    return p->slot_of[base] - 1;
}

/* ---- tasks ---- */

static struct task *add_task(struct phase_builder *p, struct lowered *low, uint32_t level)
{
    struct builder *b = p->b;
    if (!low) {
        b->failed = true;
        return NULL;
    }
    p->task = arena_grow(b->a, p->task, &p->ctask, p->ntask + 1, sizeof *p->task);
    struct task *t = &p->task[p->ntask++];
    t->low = low;
    t->level = level;
    t->nest = nest_schedule(low->kernel, b->target, b->a);
    t->private_at = arena_array(b->a, t->nest->nprivate + 1U, sizeof *t->private_at);
    t->private_bytes = nest_private_bytes(t->nest, b->plan->batch_max, t->private_at);
    if (b->opt->f64) {
        t->private_bytes *= 2;
        for (uint32_t i = 0; i < t->nest->nprivate; i++)
            t->private_at[i] *= 2;
    }
    if (level + 1 > p->nlevel)
        p->nlevel = level + 1;
    return t;
}

static const char *place_text(const struct builder *b, place_id id)
{
    const struct place *pl = &b->g->place[id];
    const char *name = pl->name;
    for (place_id q = id; !name && q; q = b->g->place[q].parent)
        name = b->g->place[q].name;
    const char *why = pl->why == WHY_GRADIENT_OF  ? "gradient of "
                      : pl->why == WHY_UPDATED_BY ? "update of "
                                                  : "";
    return arena_fmt(b->a, "%s%s (%s:%u)", why, name ? name : "node",
                     pl->loc.file ? diag_file_name(b->ds, pl->loc.file) : "-",
                     pl->loc.line);
}

static uint32_t intern_kernel(struct builder *b, const struct task *t)
{
    struct hyp_plan *p = b->plan;
    uint8_t key[32];

    nest_key(t->nest, b->target, p->backend, key);
    for (uint32_t i = 0; i < p->nkernel; i++)
        if (memcmp(p->kernel[i].key, key, sizeof key) == 0)
            return i;
    p->kernel = arena_grow(b->a, p->kernel, &b->ckernel, p->nkernel + 1, sizeof *p->kernel);
    b->ir->nest =
        arena_grow(b->a, b->ir->nest, &b->cnest, p->nkernel + 1, sizeof *b->ir->nest);
    struct hyp_kernel *k = &p->kernel[p->nkernel];
    memcpy(k->key, key, sizeof key);
    k->name = t->low->name;
    k->nstage = t->nest->nstage;
    k->nbuf = t->nest->nbuf;
    k->nscalar = t->low->nscalar;
    k->stage = arena_array(b->a, k->nstage, sizeof *k->stage);
    for (uint32_t s = 0; s < k->nstage; s++) {
        const struct nstage *ns = &t->nest->stage[s];
        k->stage[s].symbol = arena_fmt(b->a, "k%u_%u", p->nkernel, s);
        k->stage[s].units = (struct hyp_ext){ns->units.c, ns->units.b};
        k->stage[s].units_div = ns->units_div ? ns->units_div : 1;
        k->stage[s].cost = nest_unit_cost(t->nest, s, b->target, b->plan->batch_max);
        const uint64_t stack = ns->stack_bytes * (b->opt->f64 ? 2 : 1);
        if (stack > k->scratch)
            k->scratch = stack;
    }
    k->nplace = t->low->kernel->nplace;
    k->place = arena_array(b->a, k->nplace + 1, sizeof *k->place);
    for (uint32_t i = 0; i < k->nplace; i++)
        k->place[i] = place_text(b, t->low->kernel->place[i]);
    b->ir->kernel =
        arena_grow(b->a, b->ir->kernel, &b->cwhat, p->nkernel + 1, sizeof *b->ir->kernel);
    b->ir->nest[p->nkernel] = t->nest;
    b->ir->kernel[p->nkernel] = t->low->kernel;
    return p->nkernel++;
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
                1 + add_slot(p, (struct slot){.kind = SLOT_OUTPUT,
                                              .type = *graph_type(g, base),
                                              .buffer = append_buffer(p->b, HYP_SEG_OUTPUT,
                                                                      graph_type(g, base)),
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
        o->name = place_text(p->b, p->b->g->node[p->b->g->value[r->value].def].place);
    o->loss = !o->extent && r->name && strncmp(r->name, "probe/", 6) != 0 &&
              strncmp(r->name, "dream/", 6) != 0;
    copy_dims(o->dim, t);
}

static void output_root(struct phase_builder *p, const struct root *r)
{
    const value_id base = p->f->base[r->value];
    const uint32_t from = slot_of(p, base); /* may move the table */
    const struct slot *s = &p->slot[from];

    if (s->kind == SLOT_INPUT || s->kind == SLOT_OUTPUT) {
        add_output(p, r, s->buffer);
        return;
    }
    const uint32_t to =
        add_slot(p, (struct slot){.kind = SLOT_OUTPUT,
                                  .type = *graph_type(p->b->g, r->value),
                                  .buffer = append_buffer(p->b, HYP_SEG_OUTPUT,
                                                          graph_type(p->b->g, r->value))});
    const bool from_leaf = p->b->g->node[p->b->g->value[base].def].op == OP_LEAF;
    add_task(p, lower_copy(p->f, r->value, to, slot_of, p, p->b->a, p->b->ds),
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
        add_task(p, lower_copy(p->f, r->value, home, slot_of, p, p->b->a, p->b->ds), end);
        return;
    }
    const uint32_t keep = add_slot(
        p, (struct slot){.kind = SLOT_SCRATCH, .type = *graph_type(p->b->g, r->value)});
    add_task(p, lower_copy(p->f, r->value, keep, slot_of, p, p->b->a, p->b->ds), 0);
    struct lowered *low = lower_copy(p->f, r->value, home, slot_of, p, p->b->a, p->b->ds);
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

static void plan_scratch(struct phase_builder *p)
{
    struct builder *b = p->b;
    struct interval *iv = arena_array(b->a, p->nslot + p->ntask + 1U, sizeof *iv);
    uint32_t n = 0, *of_slot = arena_array(b->a, p->nslot + 1U, sizeof *of_slot);

    for (uint32_t i = 0; i < p->ntask; i++) {
        struct task *t = &p->task[i];
        for (uint32_t j = 0; j < t->low->kernel->nbuf; j++)
            touch(&p->slot[t->low->slot[j]], t->level);
        if (t->private_bytes) {
            t->interval = n;
            iv[n++] = (struct interval){t->private_bytes, t->level, t->level, 0};
        }
    }
    for (uint32_t i = 0; i < p->nslot; i++)
        if (p->slot[i].kind == SLOT_SCRATCH && p->slot[i].first != UINT32_MAX) {
            of_slot[i] = n;
            iv[n++] = (struct interval){type_bytes(b, &p->slot[i].type), p->slot[i].first,
                                        p->slot[i].last, 0};
        }
    p->phase->arena_bytes = memplan(iv, n, b->a, &p->phase->arena_bound);
    for (uint32_t i = 0; i < p->nslot; i++)
        if (p->slot[i].kind == SLOT_SCRATCH && p->slot[i].first != UINT32_MAX) {
            const struct type *t = &p->slot[i].type;
            const struct interval *x = &iv[of_slot[i]];
            const int64_t rows = t->rank ? ext_at(t->dim[0], b->plan->batch_max) : 1;
            p->slot[i].buffer =
                new_buffer(b, HYP_SEG_SCRATCH, plan_dtype(t->dtype), x->offset, x->bytes);
            if (rows > 0 && x->bytes / (uint64_t)rows > b->row_max)
                b->row_max = x->bytes / (uint64_t)rows;
        }
    for (uint32_t i = 0; i < p->ntask; i++)
        for (uint32_t j = 0; j < p->task[i].nest->nprivate; j++)
            p->task[i].private_at[j] += iv[p->task[i].interval].offset;
    if (p->phase->arena_bytes > b->plan->segment_bytes[HYP_SEG_SCRATCH])
        b->plan->segment_bytes[HYP_SEG_SCRATCH] = p->phase->arena_bytes;
}

/* ---- entries and ops ---- */

static uint32_t param_slot(struct phase_builder *p, uint32_t first, struct hyp_param x)
{
    struct builder *b = p->b;
    struct hyp_plan *pl = b->plan;
    for (uint32_t i = first; i < pl->nparam; i++)
        if (pl->param[i].kind == x.kind && pl->param[i].a == x.a)
            return i;
    pl->param = arena_grow(b->a, pl->param, &b->cparam, pl->nparam + 1, sizeof x);
    pl->param[pl->nparam] = x;
    return pl->nparam++;
}

static struct hyp_param param_of(struct builder *b, const struct binding *x)
{
    switch (x->kind) {
    case BIND_HOST: {
        const bool f = graph_type(b->g, x->host)->dtype == DT_F32;
        return (struct hyp_param){f ? HYP_PARAM_HOST_F32 : HYP_PARAM_HOST_I32,
                                  host_slot(&b->host, x->host)};
    }
    case BIND_DRAW_LO:
        return (struct hyp_param){HYP_PARAM_DRAW_LO, 0};
    case BIND_DRAW_HI:
        return (struct hyp_param){HYP_PARAM_DRAW_HI, 0};
    default:
        return (struct hyp_param){HYP_PARAM_WORD, x->word};
    }
}

static void add_entry(struct phase_builder *p, struct task *t, uint32_t first_param)
{
    struct builder *b = p->b;
    struct hyp_plan *pl = b->plan;
    const uint32_t nk = t->low->kernel->nbuf;

    t->kernel = intern_kernel(b, t);
    pl->entry = arena_grow(b->a, pl->entry, &b->centry, pl->nentry + 1, sizeof *pl->entry);
    struct hyp_entry *e = &pl->entry[pl->nentry++];
    e->kernel = t->kernel;
    e->buf = arena_array(b->a, t->nest->nbuf + 1U, sizeof *e->buf);
    for (uint32_t i = 0; i < nk; i++)
        e->buf[i] = p->slot[t->low->slot[i]].buffer;
    for (uint32_t i = 0; i < t->nest->nprivate; i++)
        e->buf[nk + i] =
            new_buffer(b, HYP_SEG_SCRATCH, HYP_F32, t->private_at[i],
                       (i + 1 < t->nest->nprivate ? t->private_at[i + 1]
                                                  : t->private_at[0] + t->private_bytes) -
                           t->private_at[i]);
    e->scalar = arena_array(b->a, t->low->nscalar + 1U, sizeof *e->scalar);
    for (uint32_t i = 0; i < t->low->nscalar; i++)
        e->scalar[i] = param_slot(p, first_param, param_of(b, &t->low->scalar[i]));
}

static void add_op(struct phase_builder *p, struct hyp_op op)
{
    p->phase->op = arena_grow(p->b->a, p->phase->op, &p->cop, p->phase->nop + 1, sizeof op);
    p->phase->op[p->phase->nop++] = op;
}

/* The t of every weight that this program updates. */
static void count_updates(struct phase_builder *p)
{
    struct hyp_phase *ph = p->phase;
    uint32_t n = 0;

    ph->count_list = arena_array(p->b->a, p->f->nroot + 1U, sizeof *ph->count_list);
    for (uint32_t i = 0; i < p->f->nroot; i++) {
        const struct root *r = p->f->root[i];
        const char *path = r->leaf ? p->b->g->leaf[r->leaf].path : "";
        if (r->why != ROOT_UPDATE || strncmp(path, "optimizer/", 10) == 0)
            continue;
        const char *name = arena_fmt(p->b->a, "optimizer/%s/t", path);
        if (graph_find_leaf(p->b->g, LEAF_COUNTER, name))
            ph->count_list[n++] = host_counter(&p->b->host, name) - HYP_COUNTER_FIRST;
    }
    if (n)
        add_op(p, (struct hyp_op){HYP_OP_COUNT, 0, n, 0, 0});
}

static void emit_ops(struct phase_builder *p)
{
    const uint32_t first_param = p->b->plan->nparam;
    count_updates(p);
    const uint32_t scalars = p->phase->nop;
    add_op(p, (struct hyp_op){HYP_OP_SCALARS, 0, 0, first_param, 0});
    for (uint32_t level = 0; level < p->nlevel; level++) {
        const uint32_t e0 = p->b->plan->nentry;
        for (uint32_t i = 0; i < p->ntask; i++)
            if (p->task[i].level == level)
                add_entry(p, &p->task[i], first_param);
        if (p->b->plan->nentry > e0)
            add_op(p, (struct hyp_op){HYP_OP_LAUNCH, e0, p->b->plan->nentry, 0, 0});
    }
    p->phase->op[scalars].d = p->b->plan->nparam;
}

static void add_inputs(struct phase_builder *p)
{
    struct builder *b = p->b;
    for (uint32_t i = 0; i < p->nslot; i++) {
        if (p->slot[i].kind != SLOT_INPUT)
            continue;
        for (leaf_id l = 1; l < b->g->nleaf; l++) {
            if (b->g->leaf[l].what != LEAF_DATA || !b->leaf_buffer[l] ||
                b->leaf_buffer[l] - 1 != p->slot[i].buffer)
                continue;
            struct hyp_input in = {.buffer = p->slot[i].buffer};
            const char *dot = strrchr(b->g->leaf[l].path, '.');
            const size_t n = dot ? (size_t)(dot - b->g->leaf[l].path) : 0;
            for (uint32_t s = 0; dot && s < b->plan->nsource; s++) {
                const struct hyp_source *src = &b->plan->source[s];
                if (strlen(src->name) != n || memcmp(src->name, b->g->leaf[l].path, n) != 0)
                    continue;
                in.source = s;
                for (uint32_t k = 0; k < src->nfield; k++)
                    if (strcmp(src->field[k].name, dot + 1) == 0)
                        in.field = k;
            }
            p->phase->input = arena_grow(b->a, p->phase->input, &p->cinput,
                                         p->phase->ninput + 1, sizeof in);
            p->phase->input[p->phase->ninput++] = in;
        }
    }
}

/* ---- one phase program ---- */

static uint32_t build_phase(struct builder *b, region_id region, const char *name,
                            bool (*wanted)(void *, const struct root *))
{
    struct hyp_plan *pl = b->plan;
    struct phase_builder p = {.b = b};
    struct fuse_options fo = {.off = b->opt->fuse_off, .wanted = wanted};

    pl->phase = arena_grow(b->a, pl->phase, &b->cphase, pl->nphase + 1, sizeof *pl->phase);
    const uint32_t id = pl->nphase++;
    struct hyp_phase ph = {.name = name, .with_probes = -1, .draw = UINT32_MAX};
    p.phase = &ph;
    p.f = fuse(b->g, region, &fo, b->a);
    b->ir->fusion =
        arena_grow(b->a, b->ir->fusion, &b->cfusion, id + 1, sizeof *b->ir->fusion);
    b->ir->fusion[id] = p.f;
    b->ir->nphase = id + 1;
    p.slot_of = arena_array(b->a, b->g->nvalue + 1, sizeof *p.slot_of);
    claim_state(&p);
    claim_outputs(&p);
    for (uint32_t i = 0; i < p.f->norder && !b->failed; i++)
        add_task(&p, lower_group(p.f, p.f->order[i], slot_of, &p, b->a, b->ds),
                 1 + p.f->level[p.f->order[i]]);
    if (!b->failed)
        finish_roots(&p);
    if (!b->failed) {
        plan_scratch(&p);
        add_inputs(&p);
        emit_ops(&p);
    }
    pl->phase[id] = ph;
    return id;
}

static bool not_probe(void *cx, const struct root *r)
{
    (void)cx;
    return r->why != ROOT_OUTPUT || !r->name || strncmp(r->name, "probe/", 6) != 0;
}

static bool has_probe(const struct region *r)
{
    for (uint32_t i = 0; i < r->nroot; i++)
        if (!not_probe(NULL, &r->root[i]))
            return true;
    return false;
}

static const struct prog_phase *phase_of(const struct program *p, region_id r)
{
    for (uint32_t i = 0; i < p->nphase; i++)
        if (p->phase[i].region == r)
            return &p->phase[i];
    return NULL;
}

/* Region -> plan phase (with probes, where there are two programs), for probes and the
 * schedule. */
struct phase_map {
    uint32_t *plain, *probed; /* by region: 1 + phase */
};

static void build_phases(struct builder *b, struct phase_map *m)
{
    const struct graph *g = b->g;
    m->plain = arena_array(b->a, g->nregion + 1, sizeof *m->plain);
    m->probed = arena_array(b->a, g->nregion + 1, sizeof *m->probed);
    for (region_id r = 1; r < g->nregion && !b->failed; r++) {
        const struct prog_phase *ph = phase_of(b->program, r);
        const uint8_t kind = g->region[r].kind;
        if ((ph && !ph->scheduled) || (kind != REGION_PHASE && kind != REGION_INIT) ||
            (kind == REGION_PHASE && g->region[r].nroot == 0))
            continue;
        const uint32_t id = build_phase(b, r, g->region[r].name, ph ? not_probe : NULL);
        m->plain[r] = m->probed[r] = 1 + id;
        if (g->region[r].kind == REGION_INIT)
            b->plan->init_phase = id;
        if (!ph || b->failed)
            continue;
        b->plan->phase[id].draw = b->plan->ndraw++;
        if (!has_probe(&g->region[r]))
            continue;
        const uint32_t twin =
            build_phase(b, r, arena_fmt(b->a, "%s (with probes)", g->region[r].name), NULL);
        b->plan->phase[twin].draw = b->plan->phase[id].draw;
        b->plan->phase[id].with_probes = (int32_t)twin;
        m->probed[r] = 1 + twin;
    }
}

/* ---- settings, sources, schedule, probes ---- */

static void add_settings(struct builder *b)
{
    const struct program *pr = b->program;
    struct hyp_plan *p = b->plan;
    uint32_t total = 0;
    for (uint32_t i = 0; i < pr->nsetting; i++)
        total += pr->setting[i].n;
    p->setting = arena_array(b->a, pr->nsetting + 1U, sizeof *p->setting);
    p->setting_value = arena_array(b->a, total + 1U, sizeof(double));
    for (uint32_t i = 0; i < pr->nsetting; i++) {
        const struct prog_setting *s = &pr->setting[i];
        p->setting[p->nsetting++] = (struct hyp_setting){
            s->name, p->nsetting_value, s->n, s->is_list, s->has_range, s->lo, s->hi};
        for (uint32_t k = 0; k < s->n; k++)
            p->setting_value[p->nsetting_value++] = s->value[k];
    }
}

static void add_sources(struct builder *b)
{
    const struct program *pr = b->program;
    struct hyp_plan *p = b->plan;
    p->source = arena_array(b->a, pr->nsource + 1U, sizeof *p->source);
    for (uint32_t i = 0; i < pr->nsource; i++) {
        const struct prog_source *s = &pr->source[i];
        struct hyp_source *d = &p->source[p->nsource++];
        *d = (struct hyp_source){.name = s->name,
                                 .kind = s->kind,
                                 .split = s->split,
                                 .file = s->file,
                                 .parts = s->parts,
                                 .parts_seed = s->parts_seed,
                                 .take_from = s->take_from,
                                 .take_to = s->take_to,
                                 .per_class = s->per_class,
                                 .resize = s->resize,
                                 .scale_lo = s->scale_lo,
                                 .scale_hi = s->scale_hi,
                                 .nmean = s->nmean,
                                 .random = s->random,
                                 .drop_last = s->drop_last,
                                 .scheduled = s->scheduled,
                                 .keep_phase = -1};
        memcpy(d->mean, s->mean, sizeof d->mean);
        memcpy(d->std, s->std, sizeof d->std);
        d->batch = s->batch ? host_slot(&b->host, s->batch) : 0;
        d->field = arena_array(b->a, s->nfield + 1U, sizeof *d->field);
        for (uint32_t k = 0; k < s->nfield; k++) {
            const struct type *t = &s->field[k].type;
            struct hyp_field *f = &d->field[d->nfield++];
            f->name = s->field[k].name;
            f->is_int = t->dtype == DT_I32;
            f->used = s->field[k].used;
            f->rank = (uint8_t)(t->rank - 1);
            for (unsigned j = 1; j < t->rank; j++)
                f->dim[j - 1] = t->dim[j].c;
        }
        if (s->batch_max > p->batch_max)
            p->batch_max = s->batch_max;
    }
}

static int32_t source_index(const struct hyp_plan *p, const char *name)
{
    for (uint32_t i = 0; name && i < p->nsource; i++)
        if (strcmp(p->source[i].name, name) == 0)
            return (int32_t)i;
    return -1;
}

static int64_t opt_slot(struct builder *b, value_id v)
{
    return v ? (int64_t)host_slot(&b->host, v) : -1;
}

static struct hyp_sched_entry *sched_entries(struct builder *b, const struct phase_map *m,
                                             const struct prog_entry *e, uint32_t n)
{
    struct hyp_sched_entry *out = arena_array(b->a, n + 1U, sizeof *out);
    for (uint32_t i = 0; i < n; i++) {
        out[i].repeat = e[i].repeat;
        out[i].times_slot = opt_slot(b, e[i].times);
        out[i].when_slot = opt_slot(b, e[i].when);
        if (e[i].repeat) {
            out[i].entry = sched_entries(b, m, e[i].entry, e[i].nentry);
            out[i].nentry = e[i].nentry;
        } else {
            out[i].phase = m->plain[b->program->phase[e[i].phase].region] - 1;
        }
    }
    return out;
}

static struct hyp_stage_set *stage_sets(struct builder *b, const struct prog_named *set,
                                        uint32_t n)
{
    struct hyp_stage_set *out = arena_array(b->a, n + 1U, sizeof *out);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < b->plan->nsetting; k++)
            if (strcmp(b->plan->setting[k].name, set[i].name) == 0)
                out[i].setting = k;
        out[i].slot = host_slot(&b->host, set[i].value);
    }
    return out;
}

static void add_schedule(struct builder *b, const struct phase_map *m)
{
    const struct program *pr = b->program;
    b->plan->stage = arena_array(b->a, pr->nstage + 1U, sizeof *b->plan->stage);
    for (uint32_t i = 0; i < pr->nstage; i++) {
        const struct prog_stage *s = &pr->stage[i];
        struct hyp_sched_stage *d = &b->plan->stage[b->plan->nstage++];
        d->entry = sched_entries(b, m, s->entry, s->nentry);
        d->nentry = s->nentry;
        d->epochs_slot = opt_slot(b, s->epochs);
        d->cycles_slot = opt_slot(b, s->cycles);
        d->until_slot = opt_slot(b, s->until);
        d->over = source_index(b->plan, s->over);
        d->set = stage_sets(b, s->set, s->nset);
        d->nset = s->nset;
    }
}

/* The output of `phase` called "probe/PROBE/NAME" (or "dream/..."). */
static bool find_output(const struct hyp_phase *ph, const char *name, uint32_t *out)
{
    for (uint32_t i = 0; i < ph->noutput; i++)
        if (strcmp(ph->output[i].name, name) == 0) {
            *out = i;
            return true;
        }
    return false;
}

static void probe_value(struct builder *b, const struct phase_map *m,
                        const struct prog_probe *pr, const struct prog_named *v,
                        struct hyp_probe *d)
{
    struct hyp_probe_value *out = &d->value[d->nvalue];
    const char *name = arena_fmt(b->a, "probe/%s/%s", pr->name, v->name);

    if (!m->probed[v->region])
        return;
    out->name = v->name;
    out->phase = m->probed[v->region] - 1;
    const struct hyp_phase *ph = &b->plan->phase[out->phase];
    if (!find_output(ph, name, &out->output))
        return;
    const struct prog_phase *own = phase_of(b->program, v->region);
    out->source = own || !ph->ninput ? -1 : (int32_t)ph->input[0].source;
    d->nvalue++;
}

static void add_probe(struct builder *b, const struct phase_map *m,
                      const struct prog_probe *pr)
{
    struct hyp_probe *d = &b->plan->probe[b->plan->nprobe++];
    *d = (struct hyp_probe){.name = pr->name,
                            .metric = pr->metric,
                            .kind = (uint8_t)pr->kind,
                            .every = (uint8_t)pr->every,
                            .cycles = pr->cycles,
                            .epoch = pr->epoch,
                            .nepoch = pr->nepoch,
                            .from = source_index(b->plan, pr->from),
                            .image_hi = 1};
    for (uint32_t i = 0; i < b->plan->nsource; i++)
        if (b->plan->source[i].scheduled) {
            d->image_lo = b->plan->source[i].scale_lo;
            d->image_hi = b->plan->source[i].scale_hi;
            break;
        }
    d->value = arena_array(b->a, pr->nvalue + 1U, sizeof *d->value);
    for (uint32_t i = 0; i < pr->nvalue; i++)
        probe_value(b, m, pr, &pr->value[i], d);
    d->param = arena_array(b->a, pr->nparam + 1U, sizeof *d->param);
    d->nparam = pr->nparam;
    for (uint32_t i = 0; i < pr->nparam; i++)
        d->param[i] = (struct hyp_probe_param){pr->param[i].name, pr->param[i].text,
                                               pr->param[i].number};
    d->set = stage_sets(b, pr->set, pr->nset);
    d->nset = pr->nset;
}

static void add_plateaus(struct builder *b)
{
    const struct program *pr = b->program;
    b->plan->plateau = arena_array(b->a, pr->nplateau + 1U, sizeof *b->plan->plateau);
    for (uint32_t i = 0; i < pr->nplateau; i++) {
        const struct prog_plateau *x = &pr->plateau[i];
        struct hyp_plateau *d = &b->plan->plateau[b->plan->nplateau++];
        d->probe = -1;
        for (uint32_t k = 0; k < pr->nprobe; k++)
            if (strcmp(pr->probe[k].name, x->watch) == 0)
                d->probe = (int32_t)k;
        d->goal_max = x->goal_max;
        d->factor_slot = host_slot(&b->host, x->factor);
        d->patience_slot = host_slot(&b->host, x->patience);
        d->counter = host_counter(&b->host, x->counter) - HYP_COUNTER_FIRST;
    }
}

static void find_dream(struct builder *b)
{
    b->plan->dream_phase = -1;
    for (uint32_t i = 0; i < b->plan->nphase; i++)
        for (uint32_t o = 0; o < b->plan->phase[i].noutput; o++)
            if (strncmp(b->plan->phase[i].output[o].name, "dream/", 6) == 0 &&
                b->plan->dream_phase < 0) {
                b->plan->dream_phase = (int32_t)i;
                b->plan->dream_output = o;
            }
}

/* ---- limits ---- */

static bool fits_memory(struct builder *b)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < HYP_SEG_COUNT; i++)
        total += b->plan->segment_bytes[i];
    if (!b->opt->memory_limit || total <= b->opt->memory_limit)
        return true;
    diag(b->ds, E0901, (struct loc){0}, "the model needs %.2f GiB, the limit is %.2f",
         (double)total / 0x1p30, (double)b->opt->memory_limit / 0x1p30);
    diag_hint(b->ds, "a smaller batch, or a larger --memory");
    return false;
}

static void finish_segments(struct builder *b)
{
    for (unsigned i = 0; i < HYP_SEG_COUNT; i++)
        b->plan->segment_bytes[i] =
            align64(b->plan->segment_bytes[i] + SLACK_ROWS * b->row_max + 4096);
    for (uint32_t i = 0; i < b->plan->nphase; i++) {
        struct hyp_phase *ph = &b->plan->phase[i];
        for (uint32_t o = 0; o < ph->nop; o++)
            if (ph->op[o].op == HYP_OP_SCALARS)
                ph->op[o].b = b->plan->nsinst;
    }
    b->plan->control1 = b->plan->nsinst;
}

struct hyp_plan *plan_build(struct program *p, const struct target *t,
                            const struct plan_options *o, struct arena *a,
                            struct diag_sink *ds, struct plan_ir *ir)
{
    struct builder b = {
        .program = p, .g = &p->graph, .a = a, .ds = ds, .target = t, .opt = o, .ir = ir};
    struct phase_map m;

    *ir = (struct plan_ir){.arena = a, .program = p, .target = t};
    b.plan = arena_alloc(a, sizeof *b.plan);
    b.plan->version = HYP_PLAN_VERSION;
    b.plan->name = p->name;
    b.plan->target = t->name;
    b.plan->backend = o->f64 ? "interp64" : "any";
    b.plan->f64 = o->f64;
    b.plan->batch_max = 1;
    b.host = (struct host_builder){.program = p, .plan = b.plan, .arena = a};
    b.host.slot = arena_array(a, p->graph.nvalue + 1U, sizeof *b.host.slot);
    b.leaf_buffer = arena_array(a, p->graph.nleaf + 1U, sizeof *b.leaf_buffer);
    ir->leaf_buffer = b.leaf_buffer;
    add_settings(&b);
    add_sources(&b);
    if (p->batch_max > b.plan->batch_max)
        b.plan->batch_max = p->batch_max;
    add_state(&b);
    build_phases(&b, &m);
    if (b.failed)
        return NULL;
    for (uint32_t i = 0; i < p->nsource; i++)
        if (p->source[i].keep)
            b.plan->source[i].keep_phase = (int32_t)m.plain[p->source[i].keep_region] - 1;
    add_schedule(&b, &m);
    b.plan->probe = arena_array(a, p->nprobe + 1U, sizeof *b.plan->probe);
    for (uint32_t i = 0; i < p->nprobe; i++)
        add_probe(&b, &m, &p->probe[i]);
    add_plateaus(&b);
    find_dream(&b);
    finish_segments(&b);
    return fits_memory(&b) ? b.plan : NULL;
}
