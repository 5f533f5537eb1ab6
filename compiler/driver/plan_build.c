/*
 * Plan building.
 *
 * Where states, inputs and outputs lie; which phase programs there are; then each program
 * (plan_phase.c) and the tables of what is no tensor (plan_tables.c).
 */
#include "compiler/driver/plan_build.h"

#include <string.h>

#include "compiler/driver/plan_check.h"
#include "compiler/driver/plan_internal.h"
#include "runtime/base/arena.h"

#define SLACK_ROWS 12 /* a row tile may read this far beyond the batch */

/* ---- buffers ---- */

static uint64_t dtype_bytes(const struct builder *b, uint8_t dtype)
{
    return dtype == DT_BOOL ? 1 : dtype == DT_F32 && b->opt->f64 ? 8 : 4;
}

uint64_t plan_type_bytes(const struct builder *b, const struct type *t)
{
    return (uint64_t)type_elems(t, b->plan->batch_max) * dtype_bytes(b, t->dtype);
}

uint64_t plan_sample_bytes(const struct builder *b, const struct type *t)
{
    return (uint64_t)(type_elems(t, 2) - type_elems(t, 1)) * dtype_bytes(b, t->dtype);
}

uint8_t plan_dtype(uint8_t dtype)
{
    return dtype == DT_F32 ? HYP_F32 : dtype == DT_I32 ? HYP_I32 : HYP_BOOL;
}

uint64_t plan_align(uint64_t n)
{
    return (n + 63) / 64 * 64;
}

uint32_t plan_new_buffer(struct builder *b, uint8_t segment, uint8_t dtype, uint64_t offset,
                         uint64_t bytes, uint64_t sample_bytes)
{
    struct hyp_plan *p = b->plan;
    p->buffer = arena_grow(b->a, p->buffer, &b->cbuffer, p->nbuffer + 1, sizeof *p->buffer);
    p->buffer[p->nbuffer] =
        (struct hyp_buffer){segment, dtype, offset, bytes, sample_bytes};
    return p->nbuffer++;
}

uint32_t plan_append_buffer(struct builder *b, uint8_t segment, const struct type *t)
{
    const uint64_t bytes = plan_type_bytes(b, t), at = b->plan->segment_bytes[segment];
    const int64_t rows = t->rank ? ext_at(t->dim[0], b->plan->batch_max) : 1;

    b->plan->segment_bytes[segment] = at + plan_align(bytes);
    if (rows > 0 && bytes / (uint64_t)rows > b->row_max)
        b->row_max = bytes / (uint64_t)rows;
    return plan_new_buffer(b, segment, plan_dtype(t->dtype), at, bytes,
                           plan_sample_bytes(b, t));
}

void plan_copy_dims(struct hyp_ext *to, const struct type *t)
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
    const uint32_t buf = plan_append_buffer(b, HYP_SEG_STATE, &l->type);
    struct hyp_tensor *t = &p->tensor[p->ntensor++];

    b->leaf_buffer[id] = 1 + buf;
    t->name = l->path;
    t->dtype = plan_dtype(l->type.dtype);
    t->rank = l->type.rank;
    t->weight = weight;
    t->per_sample = per_sample;
    plan_copy_dims(t->dim, &l->type);
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

uint32_t plan_leaf_buffer(struct builder *b, leaf_id id)
{
    const leaf_id home = version0(b->g, id);
    if (!b->leaf_buffer[home])
        b->leaf_buffer[home] =
            1 + plan_append_buffer(b, HYP_SEG_INPUT, &b->g->leaf[home].type);
    return b->leaf_buffer[home] - 1;
}

/* ---- phases ---- */

static bool has_probe(const struct region *r)
{
    for (uint32_t i = 0; i < r->nroot; i++)
        if (root_is_probe(&r->root[i]))
            return true;
    return false;
}

const struct prog_phase *plan_phase_of(const struct program *p, region_id r)
{
    for (uint32_t i = 0; i < p->nphase; i++)
        if (p->phase[i].region == r)
            return &p->phase[i];
    return NULL;
}

/* The program of a scheduled phase (variant 0: the whole one), and its twin if it has
 * probes. */
static uint32_t build_scheduled(struct builder *b, const struct prog_phase *ph,
                                uint32_t variant, const uint32_t *whole, uint32_t *twin)
{
    const char *name = variant ? arena_fmt(b->a, "%s (without %s)", ph->name,
                                           ph->variant[variant - 1].name)
                               : ph->name;
    const struct phase_wish plain = {name, true, variant, 0};
    const uint32_t id = plan_phase(b, ph->region, &plain);

    b->plan->phase[id].draw = variant ? b->plan->phase[whole[0]].draw : b->plan->ndraw++;
    b->plan->phase[id].variant_of = variant ? 1 + whole[0] : 0;
    *twin = id;
    if (b->failed || !has_probe(&b->g->region[ph->region]))
        return id;
    const struct phase_wish probed = {arena_fmt(b->a, "%s (with probes)", name), false,
                                      variant, variant ? 1 + whole[1] : 0};
    *twin = plan_phase(b, ph->region, &probed);
    b->plan->phase[*twin].draw = b->plan->phase[id].draw;
    b->plan->phase[id].with_probes = (int32_t)*twin;
    return id;
}

static void build_variants(struct builder *b, struct phase_map *m,
                           const struct prog_phase *ph)
{
    uint32_t whole[2] = {0, 0}, twin = 0;
    whole[0] = build_scheduled(b, ph, 0, NULL, &whole[1]);
    m->plain[ph->region] = 1 + whole[0];
    m->probed[ph->region] = 1 + whole[1];
    m->variant[ph->region] = arena_array(b->a, ph->nvariant + 1U, sizeof **m->variant);
    m->variant[ph->region][0] = 1 + whole[0];
    for (uint32_t v = 1; v <= ph->nvariant && !b->failed; v++)
        m->variant[ph->region][v] = 1 + build_scheduled(b, ph, v, whole, &twin);
}

static void build_phases(struct builder *b, struct phase_map *m)
{
    const struct graph *g = b->g;
    m->plain = arena_array(b->a, g->nregion + 1, sizeof *m->plain);
    m->probed = arena_array(b->a, g->nregion + 1, sizeof *m->probed);
    m->variant = arena_array(b->a, g->nregion + 1, sizeof *m->variant);
    for (region_id r = 1; r < g->nregion && !b->failed; r++) {
        const struct prog_phase *ph = plan_phase_of(b->program, r);
        const uint8_t kind = g->region[r].kind;
        if ((ph && !ph->scheduled) || (kind != REGION_PHASE && kind != REGION_INIT) ||
            (!ph && kind == REGION_PHASE && g->region[r].nroot == 0))
            continue;
        if (ph) { /* the schedule runs it, even if nothing of it is used */
            build_variants(b, m, ph);
            continue;
        }
        const struct phase_wish all = {.name = g->region[r].name};
        const uint32_t id = plan_phase(b, r, &all);
        m->plain[r] = m->probed[r] = 1 + id;
        if (kind == REGION_INIT)
            b->plan->init_phase = id;
    }
}

/* ---- segments ---- */

static void finish_segments(struct builder *b)
{
    for (unsigned i = 0; i < HYP_SEG_COUNT; i++)
        b->plan->segment_bytes[i] =
            plan_align(b->plan->segment_bytes[i] + SLACK_ROWS * b->row_max + 4096);
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
    b.plan->batch_max = program_batch_max(p);
    struct target *row = arena_copy(a, t, sizeof *t);
    row->batch = b.plan->batch_max;
    row->threads = o->threads;
    b.target = ir->target = row;
    b.host = (struct host_builder){.program = p, .plan = b.plan, .arena = a};
    b.host.slot = arena_array(a, p->graph.nvalue + 1U, sizeof *b.host.slot);
    b.leaf_buffer = arena_array(a, p->graph.nleaf + 1U, sizeof *b.leaf_buffer);
    ir->leaf_buffer = b.leaf_buffer;
    plan_settings(&b);
    plan_sources(&b);
    add_state(&b);
    build_phases(&b, &m);
    if (b.failed)
        return NULL;
    for (uint32_t i = 0; i < p->nsource; i++)
        if (p->source[i].keep)
            b.plan->source[i].keep_phase = (int32_t)m.plain[p->source[i].keep_region] - 1;
    plan_schedule(&b, &m);
    plan_probes(&b, &m);
    finish_segments(&b);
    const char *wrong = plan_check(b.plan, ir->nest, a);
    if (wrong)
        diag(ds, E9999, (struct loc){0}, "the plan: %s", wrong);
    return wrong ? NULL : b.plan;
}
