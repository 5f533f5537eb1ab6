/*
 * Fitting a plan into the memory it may have: what gradients read is recomputed as long as
 * that helps, in steps that make kept bytes twice as dear.  Where nothing helps, the
 * diagnostic names the largest values at the peak, and a batch that fits.
 */
#include "compiler/driver/compile_internal.h"

#include <string.h>

#include "runtime/base/arena.h"

enum { TOP = 5 }; /* values that the diagnostic names */

#define SCARCEST 0x1p40 /* dearer than any recomputing */

uint64_t plan_bytes(const struct hyp_plan *p)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < HYP_SEG_COUNT; i++)
        sum += p->segment_bytes[i];
    return sum;
}

/* Doubles the scarcity until remat finds something more to do.  false: no more. */
static bool recompute_more(struct compiled *c, struct pass_options *pass)
{
    const uint32_t before = c->program.graph.nnode;
    for (; pass->scarcity < SCARCEST; pass->scarcity *= 2) {
        if (!passes_again(&c->program, c->diags, pass))
            return false;
        if (c->program.graph.nnode != before)
            return true;
    }
    return false;
}

/* ---- what does not fit ---- */

static void limit_batch(struct program *p, int64_t batch)
{
    p->batch_max = batch < p->batch_max ? batch : p->batch_max;
    for (uint32_t i = 0; i < p->nsource; i++)
        if (batch < p->source[i].batch_max)
            p->source[i].batch_max = batch;
}

/* The largest of the batch's halves, quarters, ... that fits; 0: none. */
static int64_t fitting_batch(struct compiled *c, const struct plan_options *o,
                             uint64_t limit)
{
    int64_t batch = program_batch_max(&c->program);
    while ((batch /= 2)) {
        struct plan_ir ir;
        limit_batch(&c->program, batch);
        const struct hyp_plan *p =
            plan_build(&c->program, c->target, o, c->arena, c->diags, &ir);
        if (p && plan_bytes(p) <= limit)
            break;
    }
    return batch;
}

static const char *in_units(struct arena *a, uint64_t bytes)
{
    return bytes < 1 << 20   ? arena_fmt(a, "%.1f KiB", (double)bytes / 0x1p10)
           : bytes < 1 << 30 ? arena_fmt(a, "%.1f MiB", (double)bytes / 0x1p20)
                             : arena_fmt(a, "%.2f GiB", (double)bytes / 0x1p30);
}

/* The launch at which most bytes of the arena are in use. */
static uint32_t peak_of(const struct plan_memory *m)
{
    uint64_t most = 0;
    uint32_t when = 0;
    for (uint32_t at = 0; at < m->nlaunch; at++) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < m->n; i++)
            if (m->life[i].first <= at && at <= m->life[i].last)
                sum += m->life[i].bytes;
        if (sum > most) {
            most = sum;
            when = at;
        }
    }
    return when;
}

/* The phase whose arena is the largest. */
static uint32_t fullest(const struct hyp_plan *p)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < p->nphase; i++)
        if (p->phase[i].arena_bytes > p->phase[best].arena_bytes)
            best = i;
    return best;
}

/* The largest values that live when the phase's arena is fullest. */
static uint32_t largest(const struct plan_memory *m, uint32_t when,
                        const struct plan_life *top[TOP])
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n; i++) {
        const struct plan_life *x = &m->life[i];
        uint32_t at = n;
        if (!x->value || x->first > when || x->last < when)
            continue;
        while (at && top[at - 1]->bytes < x->bytes)
            at--;
        if (at == TOP)
            continue;
        n += n < TOP;
        memmove(top + at + 1, top + at, (n - 1 - at) * sizeof(const struct plan_life *));
        top[at] = x;
    }
    return n;
}

static void report(struct compiled *c, const struct plan_options *o,
                   const struct hyp_plan *p, uint64_t need, uint64_t limit)
{
    const struct graph *g = &c->program.graph;
    const uint32_t phase = fullest(p);
    const struct plan_life *top[TOP];
    const uint32_t n = largest(&c->ir.memory[phase], peak_of(&c->ir.memory[phase]), top);

    diag(c->diags, E0901, (struct loc){0}, "the model needs %s, the limit is %s",
         in_units(c->arena, need), in_units(c->arena, limit));
    for (uint32_t i = 0; i < n; i++) {
        const place_id place = g->node[g->value[top[i]->value].def].place;
        diag_note(c->diags, g->place[place].loc, "%s at the peak of `%s`: %s%s",
                  in_units(c->arena, top[i]->bytes), p->phase[phase].name,
                  g->place[place].why == WHY_GRADIENT_OF ? "gradient of " : "",
                  graph_place_name(g, place));
    }
    const int64_t batch = fitting_batch(c, o, limit);
    if (batch)
        diag_hint(c->diags, "a batch of %lld fits; `--memory` raises the limit",
                  (long long)batch);
    else
        diag_hint(c->diags, "no batch fits; `--memory` raises the limit");
}

struct hyp_plan *plan_within(struct compiled *c, const struct plan_options *o,
                             struct pass_options *pass, uint64_t limit)
{
    struct plan_options how = *o;
    uint64_t least = UINT64_MAX;
    struct hyp_plan *p;
    pass->scarcity = pass->scarcity > 0 ? pass->scarcity : 1;
    for (;;) {
        p = plan_build(&c->program, c->target, &how, c->arena, c->diags, &c->ir);
        if (!p || !limit || plan_bytes(p) <= limit)
            return p;
        least = plan_bytes(p) < least ? plan_bytes(p) : least;
        if (how.whole && !recompute_more(c, pass))
            break;
        how.whole = true; /* what is packed may have been one value too many */
    }
    if (!diag_errors(c->diags))
        report(c, &how, p, least, limit);
    return NULL;
}
