/*
 * Which node made the first value that is not finite?
 *
 * Runs are exact, so the cycles since the kept state run again, and in the last one a
 * looking glass walks in front: a second context, in which every node is a kernel of its
 * own, runs each phase on a copy of the state first.  After each launch it notes which
 * kernels wrote bad values, and what they had read: a kernel that read a bad one only
 * passes it on.  The bad loss or state at the end of the phase so leads back to the node
 * that made it of finite values; infinities that a model knows how to handle
 * (maximum(log(0), -100)) lead nowhere and blame nobody.
 *
 * Where there is no compiler, or no memory for the glass, the run's own kernels are looked
 * at, and the nodes of one kernel are named together.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/run.h"

enum { NAMED = 3 };

/* By buffer: 0, what lies there is finite; FROM_DATA; else 1 + the entry that made it bad.
 */
#define FROM_DATA UINT32_MAX

struct blame {
    struct run *run;
    struct exec *glass;
    bool own; /* the glass is ours to free */
    uint32_t *origin;
    uint32_t phase;
    int64_t batch;
    uint32_t seen; /* the first origin of this cycle, whatever became of it */
    uint32_t seen_phase;
};

/* ---- looking ---- */

static bool is_bad(const struct blame *b, uint32_t buffer)
{
    const struct hyp_plan *p = b->glass->plan;
    const struct hyp_buffer *f = &p->buffer[buffer];
    const uint64_t less = (uint64_t)(p->batch_max - b->batch) * f->sample_bytes;

    return (f->dtype == HYP_F32 || f->dtype == HYP_F64) &&
           !exec_finite(b->glass, exec_address(b->glass, buffer), f->bytes - less);
}

static void see(struct blame *b, uint32_t buffer, uint32_t origin)
{
    b->origin[buffer] = origin;
    if (!b->seen) {
        b->seen = origin;
        b->seen_phase = b->phase;
    }
}

static void look_at_entry(struct blame *b, uint32_t entry)
{
    const struct hyp_entry *e = &b->glass->plan->entry[entry];
    const struct hyp_kernel *k = &b->glass->plan->kernel[e->kernel];
    uint32_t from = 0;

    for (uint32_t i = 0; i < k->nbuf && !from; i++)
        if (k->use[i] == HYP_READ || k->use[i] == HYP_READ_WRITE)
            from = b->origin[e->buf[i]];
    for (uint32_t i = 0; i < k->nbuf; i++) {
        if (k->use[i] != HYP_WRITE && k->use[i] != HYP_READ_WRITE)
            continue;
        if (is_bad(b, e->buf[i]))
            see(b, e->buf[i], from ? from : 1 + entry);
        else
            b->origin[e->buf[i]] = 0;
    }
}

static void after_op(void *cx, const struct hyp_op *op)
{
    for (uint32_t e = op->a; op->op == HYP_OP_LAUNCH && e < op->b; e++)
        look_at_entry(cx, e);
}

static void look_at_data(struct blame *b)
{
    const struct hyp_phase *ph = &b->glass->plan->phase[b->phase];
    for (uint32_t i = 0; i < ph->ninput; i++)
        if (is_bad(b, ph->input[i].buffer))
            see(b, ph->input[i].buffer, FROM_DATA);
}

/* The first origin of what a run watches: its state and the phase's losses. */
static uint32_t verdict(const struct blame *b)
{
    const struct hyp_plan *p = b->glass->plan;
    const struct hyp_phase *ph = &p->phase[b->phase];
    uint32_t first = 0;

    for (uint32_t i = 0; i < p->nbuffer; i++)
        if (p->buffer[i].segment == HYP_SEG_STATE && b->origin[i] &&
            (!first || b->origin[i] < first))
            first = b->origin[i];
    for (uint32_t i = 0; i < ph->noutput; i++) {
        const uint32_t at = b->origin[ph->output[i].buffer];
        if (ph->output[i].loss && at && (!first || at < first))
            first = at;
    }
    return first;
}

/* ---- naming ---- */

static void say(struct run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct run *r, const char *fmt, ...)
{
    const size_t n = strlen(r->fault);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->fault + n, sizeof r->fault - n, fmt, ap);
    va_end(ap);
}

static void say_place(struct run *r, const struct hyp_place *p)
{
    say(r, "%s%s`%s` (%s:%u", r->fault[0] ? ", " : "", p->why, p->name, p->file, p->line);
    if (p->from_file)
        say(r, ", from %s:%u", p->from_file, p->from_line);
    say(r, ")");
}

static void say_data(const struct blame *b)
{
    const struct hyp_plan *p = b->glass->plan;
    const struct hyp_phase *ph = &p->phase[b->phase];

    for (uint32_t i = 0; i < ph->ninput; i++) {
        const struct hyp_source *s = &p->source[ph->input[i].source];
        if (b->origin[ph->input[i].buffer] != FROM_DATA)
            continue;
        say(b->run, "data `%s.%s`", s->name, s->field[ph->input[i].field].name);
        return;
    }
}

/* A phase's second program has its name. */
static const char *phase_name(const struct hyp_plan *p, uint32_t phase)
{
    for (uint32_t i = 0; i < p->nphase; i++)
        if (p->phase[i].with_probes == (int32_t)phase)
            return p->phase[i].name;
    return p->phase[phase].name;
}

static void name(struct blame *b, uint32_t origin, uint32_t phase)
{
    const struct hyp_plan *p = b->glass->plan;
    const struct hyp_entry *e = origin == FROM_DATA ? NULL : &p->entry[origin - 1];
    struct run *r = b->run;

    if (!e)
        say_data(b);
    for (uint32_t i = 0; e && i < e->nplace && i < NAMED; i++)
        say_place(r, &e->place[i]);
    if (e && !e->nplace)
        say(r, "kernel %s", p->kernel[e->kernel].name);
    say(r, ", phase %s", phase_name(p, phase));
    if (e && e->step)
        say(r, ", step %u", e->step);
}

/* ---- the looking glass ---- */

static bool same_shape(const struct hyp_plan *p, const struct hyp_plan *q)
{
    bool same = p->nphase == q->nphase && p->ntensor == q->ntensor &&
                p->nsetting_value == q->nsetting_value && p->ndraw == q->ndraw;
    for (uint32_t i = 0; same && i < p->ntensor; i++)
        same = p->tensor[i].offset == q->tensor[i].offset &&
               p->tensor[i].bytes == q->tensor[i].bytes;
    return same;
}

static bool open_glass(struct blame *b)
{
    struct run *r = b->run;
    struct hyp_error ignored = {0};
    struct hyp_plan *p = r->plan->unfused ? r->plan->unfused(r->plan) : NULL;

    if (p && same_shape(p, r->plan))
        b->own = exec_new(p, r->pool, r->x->seed, &b->glass, &ignored) == HYP_OK;
    if (!b->own && run_evaluation(r, &ignored) == HYP_OK)
        b->glass = r->y;
    if (b->glass)
        b->origin = hyp_calloc(b->glass->plan->nbuffer + 1U, sizeof *b->origin);
    return b->origin != NULL;
}

static void close_glass(struct blame *b)
{
    if (b->own)
        exec_free(b->glass);
    hyp_free(b->origin);
}

static void copy_inputs(struct exec *to, const struct exec *from, uint32_t phase)
{
    const struct hyp_phase *p = &to->plan->phase[phase], *q = &from->plan->phase[phase];
    for (uint32_t i = 0; i < p->ninput; i++)
        for (uint32_t k = 0; k < q->ninput; k++)
            if (p->input[i].source == q->input[k].source &&
                p->input[i].field == q->input[k].field)
                memcpy(exec_address(to, p->input[i].buffer),
                       exec_address(from, q->input[k].buffer),
                       to->plan->buffer[p->input[i].buffer].bytes);
}

/* All that a phase's results depend on, from x into the glass. */
static void mirror(struct exec *to, const struct exec *from, uint32_t phase)
{
    const struct hyp_plan *p = to->plan, *q = from->plan;

    for (uint32_t i = 0; i < p->ntensor; i++)
        memcpy(to->segment[HYP_SEG_STATE] + p->tensor[i].offset,
               from->segment[HYP_SEG_STATE] + p->tensor[i].offset, p->tensor[i].bytes);
    memcpy(to->setting, from->setting, p->nsetting_value * sizeof *to->setting);
    memcpy(to->fixed, from->fixed, sizeof to->fixed);
    memcpy(to->draw, from->draw, p->ndraw * sizeof *to->draw);
    for (uint32_t i = 0; i < p->ncounter; i++)
        for (uint32_t k = 0; k < q->ncounter; k++)
            if (strcmp(p->counter[i].name, q->counter[k].name) == 0)
                to->counter[i] = from->counter[k];
    to->seed = from->seed;
    copy_inputs(to, from, phase);
}

void blame_phase(struct blame *b, uint32_t phase)
{
    struct run *r = b->run;
    struct exec *z = b->glass;
    struct hyp_error ignored = {0};

    if (r->fault[0])
        return;
    b->phase = phase;
    b->batch = r->batch;
    mirror(z, r->x, phase);
    memset(b->origin, 0, z->plan->nbuffer * sizeof *b->origin);
    look_at_data(b);
    z->after_op = after_op;
    z->after_cx = b;
    exec_phase(z, phase, b->batch, &ignored);
    z->after_op = NULL;
    const uint32_t origin = verdict(b);
    if (origin)
        name(b, origin, phase);
}

void blame_cycle(struct run *r, int64_t fault_step)
{
    struct blame b = {.run = r};
    struct hyp_error ignored = {0};

    moment_copy(&r->now, &r->kept, r->plan);
    r->x->fixed[HYP_COUNTER_STEP] = (double)r->now.step;
    r->entered = -1;
    r->epoch_over = false;
    schedule_restore_sources(r);
    memset(r->with_probes, 0, r->plan->nphase * sizeof *r->with_probes);
    while (r->now.step < fault_step && !ignored.status && schedule_ready(r)) {
        if (r->now.step + 1 == fault_step && open_glass(&b))
            r->blame = &b;
        schedule_cycle(r, &ignored);
    }
    r->blame = NULL;
    if (!r->fault[0] && b.seen && b.seen != FROM_DATA)
        name(&b, b.seen, b.seen_phase);
    close_glass(&b);
}
