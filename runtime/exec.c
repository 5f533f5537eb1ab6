/*
 * The SPMD executor: every thread walks the phase's ops itself and takes its share of each
 * launch.
 *
 * The units of a launch's entries are shared out stage by stage (share.h), with a barrier
 * after each stage.  What costs little more than that is run by the first thread alone, one
 * such after the other; the others wait where the next stage is shared.
 */
#include "runtime/exec.h"

#include <stddef.h>

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t units_of(const struct hyp_stage *s, int64_t batch)
{
    return s->units_times *
           ceil_div(s->units.c + (int64_t)s->units.b * batch, s->units_div);
}

static void fill_params(struct exec *x, uint32_t first, uint32_t end, uint64_t draw)
{
    for (uint32_t i = first; i < end; i++) {
        const struct hyp_param *p = &x->plan->param[i];
        union hyp_word *w = &x->param[i];
        switch (p->kind) {
        case HYP_PARAM_HOST_F32:
            if (x->plan->f64)
                w->d = x->host[p->a];
            else
                w->f = (float)x->host[p->a];
            break;
        case HYP_PARAM_HOST_I32:
            w->i = (int32_t)x->host[p->a];
            break;
        case HYP_PARAM_DRAW_LO:
            w->u = (uint32_t)draw;
            break;
        case HYP_PARAM_DRAW_HI:
            w->u = (uint32_t)(draw >> 32);
            break;
        default:
            w->u = p->a;
            break;
        }
    }
}

struct run {
    struct exec *x;
    const struct hyp_phase *phase;
    int64_t batch;
    uint64_t draw;
    uint32_t round; /* of sharing units: the last one before the first launch */
};

static void run_units(const struct run *r, uint32_t e, const struct hyp_stage *s,
                      int64_t lo, int64_t hi, unsigned thread)
{
    struct exec *x = r->x;
    const struct hyp_entry *en = &x->plan->entry[e];
    const struct hyp_kernel *k = &x->plan->kernel[en->kernel];
    union hyp_word *word = x->words[thread];

    for (uint32_t i = 0; i < k->nscalar; i++)
        word[i] = x->param[en->scalar[i]];
    const struct hyp_kargs args = {
        .buf = x->bufs + x->buf_first[e],
        .scalar = word,
        .batch = r->batch,
        .seed = x->seed,
        .self = s->self,
        .watch = x->watch + (size_t)thread * HYP_WATCH,
    };
    s->fn(&args, lo, hi, x->scratch[thread]);
}

/* The same stage of the entries of a launch: their units, one entry after the other. */
struct stage_units {
    const struct run *run;
    uint32_t e0, e1, stage;
    int64_t units, cost; /* all of them */
};

static const struct hyp_stage *stage_of(const struct stage_units *s, uint32_t e)
{
    const struct hyp_plan *p = s->run->x->plan;
    const struct hyp_kernel *k = &p->kernel[p->entry[e].kernel];
    return s->stage < k->nstage ? &k->stage[s->stage] : NULL;
}

static int64_t cost_of(const struct hyp_stage *s)
{
    return s->cost ? s->cost : 1;
}

static void count_units(struct stage_units *s)
{
    for (uint32_t e = s->e0; e < s->e1; e++) {
        const struct hyp_stage *g = stage_of(s, e);
        const int64_t n = g ? units_of(g, s->run->batch) : 0;
        s->units += n;
        s->cost += g ? n * cost_of(g) : 0;
    }
}

/* How many units begin before so much of the cost. */
static int64_t units_before(const struct stage_units *s, int64_t cost)
{
    int64_t units = 0;
    for (uint32_t e = s->e0; e < s->e1 && cost > 0; e++) {
        const struct hyp_stage *g = stage_of(s, e);
        if (!g)
            continue;
        const int64_t n = units_of(g, s->run->batch), some = ceil_div(cost, cost_of(g));
        units += some < n ? some : n;
        cost -= n * cost_of(g);
    }
    return units;
}

static void run_range(const struct stage_units *s, int64_t lo, int64_t hi, unsigned thread)
{
    for (uint32_t e = s->e0; e < s->e1 && hi > 0; e++) {
        const struct hyp_stage *g = stage_of(s, e);
        const int64_t n = g ? units_of(g, s->run->batch) : 0;
        const int64_t from = lo > 0 ? lo : 0, to = hi < n ? hi : n;
        if (from < to)
            run_units(s->run, e, g, from, to, thread);
        lo -= n;
        hi -= n;
    }
}

static void cut(const void *cx, unsigned thread, uint32_t *lo, uint32_t *hi)
{
    const struct stage_units *s = cx;
    const int64_t threads = pool_threads(s->run->x->pool);
    *lo = (uint32_t)units_before(s, s->cost * thread / threads);
    *hi = (uint32_t)units_before(s, s->cost * (thread + 1) / threads);
}

/* A piece is worth some microseconds, so that taking it costs nothing beside. */
static void share_units(const struct stage_units *s, uint32_t round, unsigned thread)
{
    enum { PIECE = 20000 };
    const int64_t least = s->units * PIECE / s->cost;
    const struct share_round r = {s->run->x->share,
                                  pool_threads(s->run->x->pool),
                                  round,
                                  least < s->units ? (uint32_t)least + 1
                                                   : (uint32_t)s->units,
                                  cut,
                                  s};
    uint32_t lo, hi;
    while (share_take(&r, thread, &lo, &hi))
        run_range(s, lo, hi, thread);
}

static void run_stage(const struct stage_units *s, uint32_t round, unsigned thread)
{
    uint32_t lo, hi;
    if (s->units < SHARE_UNITS && pool_threads(s->run->x->pool) > 1) {
        share_units(s, round, thread);
        return;
    }
    cut(s, thread, &lo, &hi);
    run_range(s, lo, hi, thread);
}

/* One thread on its way through a phase. */
struct walker {
    struct run *run;
    unsigned thread;
    uint32_t round;
    bool alone; /* what was done last was done by the first thread alone */
};

static void walk_stage(struct walker *w, const struct stage_units *s)
{
    struct pool *pool = w->run->x->pool;
    if (s->cost < SHARE_ALONE) {
        if (w->thread == 0)
            run_range(s, 0, s->units, 0);
        w->alone = true;
        return;
    }
    if (w->alone)
        pool_barrier(pool);
    run_stage(s, ++w->round, w->thread);
    pool_barrier(pool);
    w->alone = false;
}

static void walk_launch(struct walker *w, const struct hyp_op *op)
{
    const struct hyp_plan *p = w->run->x->plan;
    uint32_t nstage = 0;
    for (uint32_t e = op->a; e < op->b; e++)
        if (p->kernel[p->entry[e].kernel].nstage > nstage)
            nstage = p->kernel[p->entry[e].kernel].nstage;
    for (uint32_t i = 0; i < nstage; i++) {
        struct stage_units s = {.run = w->run, .e0 = op->a, .e1 = op->b, .stage = i};
        count_units(&s);
        if (s.units)
            walk_stage(w, &s);
    }
}

static void host_op(struct run *r, const struct hyp_op *op)
{
    struct exec *x = r->x;
    if (op->op == HYP_OP_COUNT) {
        for (uint32_t i = op->a; i < op->b; i++)
            x->counter[r->phase->count_list[i]] += 1;
        return;
    }
    exec_host(x);
    fill_params(x, op->c, op->d, r->draw);
}

static void walk(void *cx, unsigned thread)
{
    struct run *r = cx;
    struct exec *x = r->x;
    struct walker w = {.run = r, .thread = thread, .round = r->round};
    for (uint32_t i = 0; i < r->phase->nop; i++) {
        const struct hyp_op *op = &r->phase->op[i];
        if (op->op == HYP_OP_LAUNCH)
            walk_launch(&w, op);
        else if (thread == 0)
            host_op(r, op);
        if (thread == 0 && x->after_op)
            x->after_op(x->after_cx, op);
        w.alone |= op->op != HYP_OP_LAUNCH || x->after_op;
    }
    if (thread == 0)
        x->round = w.round;
}

/* The first index that left its range. */
static enum hyp_status check_indices(const struct exec *x, const struct hyp_phase *ph,
                                     struct hyp_error *err)
{
    for (uint32_t i = 0; i < ph->noutput; i++) {
        const struct hyp_output *o = &ph->output[i];
        const double v = o->extent ? exec_number(x, o) : 0;
        if (v < 0 || (o->extent && v >= o->extent))
            return hyp_fail(err, HYP_EINDEX,
                            "index out of range: %s takes element %.0f of %d (from 0 to %d)"
                            " in cycle %.0f, phase %s",
                            o->name, v, o->extent, o->extent - 1,
                            x->fixed[HYP_COUNTER_STEP] + 1, ph->name);
    }
    return HYP_OK;
}

enum hyp_status exec_phase(struct exec *x, uint32_t phase, int64_t batch,
                           struct hyp_error *err)
{
    const struct hyp_phase *ph = &x->plan->phase[phase];
    struct run r = {x, ph, batch, 0, x->round};

    if (batch < 0 || batch > x->plan->batch_max)
        return hyp_fail(err, HYP_EARG, "phase %s: batch %lld is larger than planned (%lld)",
                        ph->name, (long long)batch, (long long)x->plan->batch_max);
    if (!ph->loaded && x->plan->load_phase) {
        const enum hyp_status s = x->plan->load_phase(x->plan, phase, err);
        if (s != HYP_OK)
            return s;
    }
    r.draw = ph->draw != UINT32_MAX ? x->draw[ph->draw]++ : x->eval_draw++;
    x->fixed[HYP_COUNTER_BATCH] = (double)batch;
    pool_run(x->pool, walk, &r);
    return check_indices(x, ph, err);
}

enum hyp_status exec_init(struct exec *x, struct hyp_error *err)
{
    x->eval_draw = 0;
    return exec_phase(x, x->plan->init_phase, x->plan->batch_max, err);
}
