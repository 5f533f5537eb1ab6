#include "runtime/timing.h"

#include "runtime/base/alloc.h"
#include "runtime/run.h"

struct timing {
    struct run r;
    struct hyp_run_options options;
    double *now,
        *best;       /* seconds of the cycle that runs, and the least; ops of all phases */
    uint32_t *first; /* by phase: number of its first op */
    uint32_t nop;
    double last;
    int64_t batch; /* of a whole cycle of this stage */
};

static void after_op(void *cx, const struct hyp_op *op)
{
    struct timing *t = cx;
    const struct hyp_plan *p = t->r.plan;
    const double at = run_clock();
    uint32_t i = 0;
    while (op < p->phase[i].op || op >= p->phase[i].op + p->phase[i].nop)
        i++;
    t->now[t->first[i] + (op - p->phase[i].op)] += at - t->last;
    t->last = run_clock();
}

static enum hyp_status make_room(struct timing *t, struct hyp_error *err)
{
    const struct hyp_plan *p = t->r.plan;
    t->first = hyp_calloc(p->nphase + 1U, sizeof *t->first);
    for (uint32_t i = 0; t->first && i < p->nphase; i++) {
        t->first[i] = t->nop;
        t->nop += p->phase[i].nop;
    }
    t->now = hyp_calloc(t->nop + 1U, sizeof *t->now);
    t->best = hyp_calloc(t->nop + 1U, sizeof *t->best);
    return t->first && t->now && t->best
               ? HYP_OK
               : hyp_fail(err, HYP_ENOMEM, "out of memory for timing");
}

enum hyp_status timing_open(struct hyp_plan *plan, struct pool *pool,
                            const struct hyp_run_options *o, struct timing **out,
                            struct hyp_error *err)
{
    struct timing *t = hyp_calloc(1, sizeof *t);
    if (!t)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for timing");
    t->options = *o;
    t->r.plan = plan;
    t->r.pool = pool;
    t->r.opt = &t->options;
    enum hyp_status st = run_open(&t->r, err);
    if (st == HYP_OK)
        st = exec_init(t->r.x, err);
    if (st == HYP_OK)
        st = make_room(t, err);
    if (st != HYP_OK) {
        timing_close(t);
        return st;
    }
    t->r.x->after_op = after_op;
    t->r.x->after_cx = t;
    *out = t;
    return HYP_OK;
}

void timing_close(struct timing *t)
{
    if (!t)
        return;
    run_close(&t->r);
    hyp_free(t->first);
    hyp_free(t->now);
    hyp_free(t->best);
    hyp_free(t);
}

bool timing_stage(struct timing *t, uint32_t stage)
{
    t->r.now.stage = stage;
    t->r.now.stage_epoch = t->r.now.epoch = t->r.now.cycle = t->r.now.step = 0;
    t->batch = 0;
    schedule_enter(&t->r);
    return t->r.stage.cycles != 0 && t->r.stage.epochs != 0;
}

static void keep_least(double *best, double now)
{
    if (now > 0 && (*best == 0 || now < *best))
        *best = now;
}

enum hyp_status timing_cycle(struct timing *t, struct hyp_error *err)
{
    struct run *r = &t->r;
    for (uint32_t i = 0; i < t->nop; i++)
        t->now[i] = 0;
    t->last = run_clock();
    const enum hyp_status st = schedule_cycle(r, err);
    if (st != HYP_OK)
        return st;
    if (r->epoch_over) {
        r->now.epoch++;
        r->now.cycle = 0;
        r->epoch_over = false;
    }
    if (r->batch < t->batch)
        return HYP_OK;
    t->batch = r->batch;
    for (uint32_t i = 0; i < t->nop; i++)
        keep_least(&t->best[i], t->now[i]);
    return HYP_OK;
}

void timing_forget(struct timing *t)
{
    for (uint32_t i = 0; i < t->nop; i++)
        t->best[i] = 0;
}

double timing_op(const struct timing *t, uint32_t phase, uint32_t op)
{
    return t->best[t->first[phase] + op];
}
