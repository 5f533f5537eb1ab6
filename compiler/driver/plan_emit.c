/* What a phase program becomes in the plan: its entries, ops and inputs. */
#include <string.h>

#include "compiler/driver/place.h"
#include "compiler/driver/plan_program.h"
#include "runtime/base/arena.h"

static uint32_t param_slot(struct phase_builder *p, struct hyp_param x)
{
    struct builder *b = p->b;
    struct hyp_plan *pl = b->plan;
    const uint32_t hash = x.a * 8 + x.kind;
    for (uint32_t at = hash, i; hash_next(&p->params, hash, &at, &i);)
        if (pl->param[i].kind == x.kind && pl->param[i].a == x.a)
            return i;
    hash_add(&p->params, p->scratch, hash, pl->nparam);
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

/* Of a packing: the weights. */
static void place_packed(const struct phase_builder *p, const struct task *t,
                         struct hyp_entry *e)
{
    const struct graph *g = p->b->g;
    for (uint32_t i = 0; i < program_nslot(t); i++)
        for (uint32_t k = 0; k < t->low->kernel->nbuf; k++) {
            if (t->nest->buf[i].use != BUF_READ || t->low->slot[k] != t->slot[i])
                continue;
            struct hyp_place at =
                place_of(g, p->b->ds, g->node[g->value[t->low->value[k]].def].place);
            at.why = "packing of ";
            e->nplace = place_once(e->place, e->nplace, at);
        }
}

/* What is packed has no name but that of who packs it. */
static void note_packed(struct phase_builder *p, const struct task *t, uint32_t entry)
{
    for (uint32_t i = 0; i < program_nslot(t); i++)
        if (t->nest->buf[i].use == BUF_WRITE)
            p->what[p->slot[t->slot[i]].life].entry = 1 + entry;
}

static void add_entry(struct phase_builder *p, struct task *t)
{
    struct builder *b = p->b;
    struct hyp_plan *pl = b->plan;
    const uint32_t nk = program_nslot(t);

    const uint32_t kernel = plan_kernel(b, t->scheduled, t->low);
    pl->entry = arena_grow(b->a, pl->entry, &b->centry, pl->nentry + 1, sizeof *pl->entry);
    b->ir->group =
        arena_grow(b->a, b->ir->group, &b->cgroup, pl->nentry + 1, sizeof *b->ir->group);
    b->ir->group[pl->nentry] = t->group;
    if (t->private_bytes)
        p->what[t->interval].entry = 1 + pl->nentry;
    if (t->scheduled->packs)
        note_packed(p, t, pl->nentry);
    struct hyp_entry *e = &pl->entry[pl->nentry++];
    e->kernel = kernel;
    e->buf = arena_array(b->a, t->nest->nbuf + 1U, sizeof *e->buf);
    for (uint32_t i = 0; i < nk; i++)
        e->buf[i] = p->slot[t->slot[i]].buffer;
    for (uint32_t i = 0; i < t->nest->nprivate; i++)
        e->buf[nk + i] = plan_new_buffer(b, HYP_SEG_SCRATCH, HYP_F32, t->private_at[i],
                                         (i + 1 < t->nest->nprivate
                                              ? t->private_at[i + 1]
                                              : t->private_at[0] + t->private_bytes) -
                                             t->private_at[i],
                                         0);
    e->scalar = arena_array(b->a, t->nest->nscalar + 1U, sizeof *e->scalar);
    for (uint32_t i = 0; i < t->nest->nscalar; i++)
        e->scalar[i] = param_slot(p, param_of(b, &t->low->scalar[i]));
    e->place = arena_array(b->a, t->low->kernel->nplace + t->low->kernel->nbuf + 1U,
                           sizeof *e->place);
    e->step = t->step;
    if (t->scheduled->packs) {
        place_packed(p, t, e);
        return;
    }
    for (uint32_t i = 0; i < t->low->kernel->nplace; i++)
        e->nplace = place_once(e->place, e->nplace,
                               place_of(b->g, b->ds, t->low->kernel->place[i]));
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

/* What lies where, by launches in the place of levels, for reports. */
static void note_lives(struct phase_builder *p, const uint32_t *launch_of, uint32_t nlaunch)
{
    for (uint32_t i = 0; i < p->nlife; i++) {
        const struct interval *x = &p->life[i];
        p->what[i].bytes = x->bytes;
        p->what[i].offset = x->offset;
        p->what[i].first = launch_of[x->first];
        p->what[i].last = launch_of[x->last];
    }
    p->b->ir->memory[p->id] = (struct plan_memory){p->what, p->nlife, nlaunch};
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

void program_emit(struct phase_builder *p)
{
    const uint32_t first_param = p->b->plan->nparam;
    uint32_t *launch_of = arena_array(p->scratch, p->nlevel + 1U, sizeof *launch_of);
    uint32_t nlaunch = 0;
    add_inputs(p);
    count_updates(p);
    const uint32_t scalars = p->phase->nop;
    add_op(p, (struct hyp_op){HYP_OP_SCALARS, 0, 0, first_param, 0});
    const uint32_t *task = program_by_level(p), *end = task + p->ntask;
    for (uint32_t level = 0; level < p->nlevel; level++) {
        const uint32_t e0 = p->b->plan->nentry;
        launch_of[level] = nlaunch;
        for (; task < end && p->task[*task].level == level; task++)
            add_entry(p, &p->task[*task]);
        if (p->b->plan->nentry > e0) {
            add_op(p, (struct hyp_op){HYP_OP_LAUNCH, e0, p->b->plan->nentry, 0, 0});
            nlaunch++;
        }
    }
    p->phase->op[scalars].d = p->b->plan->nparam;
    note_lives(p, launch_of, nlaunch);
}
