/* Opening and closing what a run works with. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/base/alloc.h"
#include "runtime/run.h"

double run_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void run_message(const struct run *r, enum hyp_message kind, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    if (!r->cb || !r->cb->message)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    r->cb->message(r->cb->cx, kind, text);
}

void hyp_run_defaults(struct hyp_run_options *o)
{
    *o = (struct hyp_run_options){.epochs = -1, .cycles = -1};
}

/* ---- losses ---- */

static uint32_t count_losses(const struct hyp_plan *p)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->nphase; i++)
        n += p->phase[i].noutput;
    return n;
}

/* Outputs of scheduled programs that are losses; a phase and its twin share the name. */
static enum hyp_status list_losses(struct run *r, struct hyp_error *err)
{
    const struct hyp_plan *p = r->plan;

    r->loss = hyp_calloc(count_losses(p) + 1U, sizeof *r->loss);
    r->line = hyp_calloc(r->now.nloss + 1U, sizeof *r->line);
    if (!r->loss || !r->line)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for the losses");
    /* in the order of moment_losses, before any other value */
    for (uint32_t i = 0; i < p->nphase; i++)
        for (uint32_t o = 0; o < p->phase[i].noutput; o++) {
            if (p->phase[i].draw == UINT32_MAX || !p->phase[i].output[o].loss)
                continue;
            const uint32_t v = values_find(&r->values, p->phase[i].output[o].name);
            if (v == UINT32_MAX)
                return hyp_fail(err, HYP_ENOMEM, "out of memory for the losses");
            r->values.value[v].loss = true;
            r->loss[r->nloss++] = (struct run_loss){i, o, v};
        }
    return HYP_OK;
}

/* ---- all of it ---- */

static enum hyp_status make_state(struct run *r, struct hyp_error *err)
{
    enum hyp_status st = exec_new(r->plan, r->pool, r->opt->seed, &r->x, err);

    if (st == HYP_OK)
        st = moment_init(&r->now, r->plan, false, err);
    if (st != HYP_OK)
        return st;
    r->now.state = r->x->segment[HYP_SEG_STATE];
    r->now.counter = r->x->counter;
    r->now.draw = r->x->draw;
    r->now.seed = r->opt->seed;
    for (uint32_t i = 0; i < r->plan->nplateau; i++)
        r->now.plateau[i].best = r->plan->plateau[i].goal_max ? -INFINITY : INFINITY;
    r->with_probes = hyp_calloc(r->plan->nphase + 1U, sizeof *r->with_probes);
    r->ran = hyp_calloc(r->plan->nphase + 1U, sizeof *r->ran);
    r->scan = hyp_calloc(pool_threads(r->pool), sizeof *r->scan);
    if (!r->with_probes || !r->ran || !r->scan)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for a run");
    return HYP_OK;
}

enum hyp_status run_open(struct run *r, struct hyp_error *err)
{
    enum hyp_status st = make_state(r, err);

    r->entered = -1;
    if (st != HYP_OK)
        return st;
    if (!r->base_setting)
        r->base_setting = r->plan->setting_value;
    memcpy(r->x->setting, r->base_setting, r->plan->nsetting_value * sizeof(double));
    st = sources_open(r, err);
    if (st == HYP_OK)
        st = list_losses(r, err);
    return st == HYP_OK ? probes_open(r, err) : st;
}

void run_close(struct run *r)
{
    probes_close(r);
    sources_close(r);
    exec_free(r->y);
    exec_free(r->x);
    moment_fini(&r->now, false);
    moment_fini(&r->kept, true);
    values_fini(&r->values);
    hyp_free(r->loss);
    hyp_free((void *)r->line);
    hyp_free(r->with_probes);
    hyp_free(r->ran);
    hyp_free(r->scan);
}

enum hyp_status run_evaluation(struct run *r, struct hyp_error *err)
{
    enum hyp_status st = HYP_OK;
    if (!r->y)
        st = exec_new_beside(r->x, &r->y, err);
    if (st == HYP_OK) {
        exec_copy_state(r->y, r->x);
        r->y->seed = r->x->seed;
        r->y->eval_draw = 0;
    }
    return st;
}
