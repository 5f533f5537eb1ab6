/*
 * Where a cycle's time goes: every kernel of a model's scheduled phases, run alone on
 * one thread over random inputs.
 *
 *     profile_bench MODEL.yaml [backend] [data folder] [kernel number: print its nest and
 * assembly]
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codegen/loop/loop.h"
#include "compiler/driver/compile.h"
#include "runtime/base/arena.h"
#include "runtime/base/diag.h"
#include "runtime/exec.h"
#ifdef HYP_WITH_LLVM
#include "codegen/llvm/llvm.h"
#endif

static double clock_now(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double now(void)
{
    return clock_now(CLOCK_MONOTONIC);
}

/* What this thread used: neighbours on a shared machine do not count. */
static double used(void)
{
    return clock_now(CLOCK_THREAD_CPUTIME_ID);
}

/* Phases that train draw numbers. */
static bool trains(const struct hyp_phase *ph)
{
    return ph->draw != UINT32_MAX;
}

static void fill_inputs(struct exec *x, uint32_t phase)
{
    const struct hyp_phase *ph = &x->plan->phase[phase];
    uint32_t state = 1;
    for (uint32_t i = 0; i < ph->ninput; i++) {
        const struct hyp_buffer *b = &x->plan->buffer[ph->input[i].buffer];
        float *at = exec_address(x, ph->input[i].buffer);
        for (uint64_t k = 0; b->dtype == HYP_F32 && k < b->bytes / sizeof *at; k++) {
            state = state * 1664525U + 1013904223U;
            at[k] = (float)(state >> 8) * 0x1p-24F;
        }
    }
}

static int64_t units_of(const struct hyp_stage *s, int64_t batch)
{
    return (s->units.c + (int64_t)s->units.b * batch + s->units_div - 1) / s->units_div *
           s->units_times;
}

static void run_stage(struct exec *x, uint32_t e, const struct hyp_stage *st, int64_t batch)
{
    const struct hyp_kargs args = {.buf = x->bufs + x->buf_first[e],
                                   .scalar = x->words[0],
                                   .batch = batch,
                                   .seed = x->seed,
                                   .self = st->self,
                                   .watch = x->watch};
    st->fn(&args, 0, units_of(st, batch), x->scratch[0]);
}

/* The fastest of some rounds, and of each stage in them. */
static double run_entry(struct exec *x, uint32_t e, int64_t batch, double *stage)
{
    const struct hyp_entry *en = &x->plan->entry[e];
    const struct hyp_kernel *k = &x->plan->kernel[en->kernel];
    double best = 1e9;
    for (uint32_t s = 0; s < k->nstage; s++)
        stage[s] = 1e9;
    for (uint32_t i = 0; i < k->nscalar; i++)
        x->words[0][i] = x->param[en->scalar[i]];
    for (int round = 0; round < 7; round++) {
        const double start = used();
        double last = start;
        for (uint32_t s = 0; s < k->nstage; s++) {
            run_stage(x, e, &k->stage[s], batch);
            const double at = used();
            stage[s] = fmin(stage[s], at - last);
            last = at;
        }
        best = fmin(best, last - start);
    }
    return best;
}

/* Of the products that are summed. */
static double flops(const struct kernel *k, int64_t batch)
{
    double all = 0;
    for (uint32_t i = 0; k && i < k->nstage; i++) {
        const struct kstage *s = &k->stage[i];
        double space = 2;
        for (unsigned a = 0; a < s->naxis; a++)
            space *= (double)ext_at(k->axis[s->axis[a]], batch);
        for (uint32_t g = 0; s->op == K_SUM && g < s->nseg; g++) {
            double n = s->seg[g].factor[1] ? space : 0;
            for (unsigned r = 0; r < s->seg[g].nred; r++)
                n *= (double)ext_at(k->axis[s->seg[g].red[r]], batch);
            all += n;
        }
    }
    return all;
}

struct totals { /* seconds on one thread and on two */
    double one, two, flops;
};

static void profile(struct compiled *c, struct exec *x, uint32_t phase, int64_t batch,
                    const double *two, struct totals *all)
{
    const struct hyp_phase *ph = &c->plan->phase[phase];
    for (uint32_t i = 0; i < ph->nop; i++) {
        double launch = 0;
        for (uint32_t e = ph->op[i].a; ph->op[i].op == HYP_OP_LAUNCH && e < ph->op[i].b;
             e++) {
            const struct hyp_kernel *k = &c->plan->kernel[c->plan->entry[e].kernel];
            double *stage = calloc(k->nstage, sizeof *stage);
            double t = stage ? run_entry(x, e, batch, stage) : 0;
            double f = flops(c->ir.kernel[c->plan->entry[e].kernel], batch);
            launch += t;
            all->flops += f;
            printf(
                "%8.1f us %6.1f GFLOP/s  phase %u launch %-3u kernel %-3u %s, units x cost",
                1e6 * t, 1e-9 * f / t, phase, i, c->plan->entry[e].kernel, k->name);
            for (uint32_t s = 0; stage && s < k->nstage; s++)
                printf(" %lld x %u (%.1f us)", (long long)units_of(&k->stage[s], batch),
                       k->stage[s].cost, 1e6 * stage[s]);
            free(stage);
            printf("\n");
        }
        if (ph->op[i].op == HYP_OP_LAUNCH)
            printf("%8.1f us on two threads, %.2f times as fast       launch %u\n",
                   1e6 * two[i], launch / two[i], i);
        all->one += launch;
        all->two += two[i];
    }
}

/* ---- launches on two threads ---- */

enum { ROUNDS = 9 };

struct stopwatch {
    double last;
    double *best; /* by op of the phase */
    const struct hyp_phase *phase;
};

static void note_launch(void *cx, const struct hyp_op *op)
{
    struct stopwatch *w = cx;
    const double t = now(), took = t - w->last;
    double *best = &w->best[op - w->phase->op];
    if (op->op == HYP_OP_LAUNCH)
        *best = *best == 0 || took < *best ? took : *best;
    w->last = now();
}

/* The fastest of some cycles, for each launch. */
static bool time_launches(struct exec *x, uint32_t phase, int64_t batch, double *best)
{
    struct stopwatch w = {.best = best, .phase = &x->plan->phase[phase]};
    struct hyp_error err;
    x->after_op = note_launch;
    x->after_cx = &w;
    for (int i = 0; i < ROUNDS; i++) {
        w.last = now();
        if (exec_phase(x, phase, batch, &err) != HYP_OK)
            return false;
    }
    x->after_op = NULL;
    return true;
}

static void print_kernel(struct compiled *c, uint32_t k)
{
    printf("%s\n", nest_print(c->ir.nest[k], c->arena));
#ifdef HYP_WITH_LLVM
    const char *why;
    if (!llvm_print(c->ir.nest[k], c->target, LLVM_TEXT_ASM, stdout, &why))
        printf("%s\n", why);
#endif
}

int main(int argc, char **argv)
{
    struct compile_options o = {.threads = 2};
    struct hyp_error err = {0};
    struct exec *x;
    struct pool *pool;
    bool ok;
    if (argc < 2)
        return 2;
    const char *dirs[] = {argc > 3 ? argv[3] : "."};
    o.model.data_dir = dirs;
    o.model.ndata_dir = 1;
    o.backend = argc > 2 ? argv[2] : NULL;
    double start = now();
    struct compiled *c = compile_model(argv[1], &o, UNTIL_PLAN, &ok);
    double planned = now();
    double cpu = (double)clock() / CLOCKS_PER_SEC;
    if (ok)
        compiled_free(c);
    c = compile_model(argv[1], &o, UNTIL_CODE, &ok);
    diag_print(c->diags, stderr, false);
    if (!ok)
        return 1;
    cpu = (double)clock() / CLOCKS_PER_SEC - cpu;
    printf("%u kernels; to the plan %.3f s, to code %.3f s (%.3f s of processor time)\n",
           c->plan->nkernel, planned - start, now() - planned, cpu);
    if (argc > 4)
        print_kernel(c, (uint32_t)atoi(argv[4]));
    int64_t batch = c->plan->batch_max;
    if (pool_new(2, &pool, &err) != HYP_OK ||
        exec_new(c->plan, pool, 1, &x, &err) != HYP_OK || exec_init(x, &err) != HYP_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (uint32_t p = 0; p < c->plan->nphase; p++)
        if (trains(&c->plan->phase[p]))
            fill_inputs(x, p);
    for (int i = 0; i < 5; i++) {
        start = now();
        for (uint32_t p = 0; p < c->plan->nphase; p++)
            if (trains(&c->plan->phase[p]) && exec_phase(x, p, batch, &err) != HYP_OK)
                return 1;
        printf("cycle on two threads %.2f ms\n", 1e3 * (now() - start));
    }
    struct totals all = {0};
    for (uint32_t p = 0; p < c->plan->nphase; p++) {
        double *two = calloc(c->plan->phase[p].nop + 1U, sizeof *two);
        const bool fine =
            two && (!trains(&c->plan->phase[p]) || time_launches(x, p, batch, two));
        if (fine && trains(&c->plan->phase[p]))
            profile(c, x, p, batch, two, &all);
        free(two);
        if (!fine)
            return 1;
    }
    printf("%8.1f us %6.1f GFLOP/s  all; launches on two threads %8.1f us %6.1f GFLOP/s\n",
           1e6 * all.one, 1e-9 * all.flops / all.one, 1e6 * all.two,
           1e-9 * all.flops / all.two);
    exec_free(x);
    pool_free(pool);
    compiled_free(c);
    return 0;
}
