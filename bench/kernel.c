/* Kernels run as the runtime runs them: all stages, with a barrier after each. */
#include "bench/kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codegen/llvm/llvm.h"
#include "runtime/base/diag.h"
#include "runtime/share.h"

enum { SAMPLES = 7 };
#define SAMPLE 1e-3 /* seconds that a sample lasts at least */

static double clock_now(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double bench_now(void)
{
    return clock_now(CLOCK_MONOTONIC);
}

/* What this thread used: neighbours on a shared machine do not count. */
static double used(void)
{
    return clock_now(CLOCK_THREAD_CPUTIME_ID);
}

static void *memory(struct arena *a, size_t bytes)
{
    uintptr_t p = (uintptr_t)arena_alloc(a, bytes + 4096);
    return (void *)((p + 63) & ~(uintptr_t)63);
}

float *bench_numbers(struct arena *a, size_t n)
{
    float *f = memory(a, 4 * n);
    for (size_t i = 0; i < n; i++)
        f[i] = (float)(i * 2654435761U % 1000) * 1e-3F - 0.5F;
    return f;
}

static float *buffer(struct bench *b, const struct kbuf *k)
{
    size_t n = 1, row = 1;
    for (unsigned d = 0; d < k->rank; d++) {
        n *= (size_t)ext_at(k->dim[d], b->batch);
        row *= d ? (size_t)ext_at(k->dim[d], b->batch) : 1;
    }
    return bench_numbers(b->a, n + 12 * row);
}

static struct hyp_kargs give_memory(struct bench *b, uint32_t nest)
{
    const struct nest *n = b->nest[nest];
    void **buf = arena_array(b->a, n->nbuf + 1, sizeof *buf);
    for (uint32_t i = 0; i < n->nbuf; i++) {
        float *own = NULL, **at = &own;
        if (b->slot[nest] && i < n->nbuf - n->nprivate)
            at = &b->memory[b->slot[nest][i]];
        if (!*at)
            *at = buffer(b, &n->buf[i]);
        buf[i] = *at;
    }
    union hyp_word *scalar = arena_array(b->a, n->nscalar + 1, sizeof *scalar);
    for (uint32_t i = 0; i < n->nscalar; i++)
        scalar[i].f = 1e-3F;
    return (struct hyp_kargs){.buf = buf,
                              .scalar = scalar,
                              .batch = b->batch,
                              .seed = 1,
                              .watch = memory(b->a, sizeof(uint32_t) * HYP_WATCH)};
}

static void need(const void *made, const struct diag_sink *ds)
{
    if (made)
        return;
    diag_print(ds, stderr, false);
    exit(1);
}

static int64_t units(const struct bench *b, const struct nstage *s)
{
    const int64_t n = ext_at(s->units, b->batch);
    return (n + s->units_div - 1) / s->units_div * s->units_times;
}

void bench_compile(struct bench *b)
{
    struct diag_sink *ds = diag_sink_new(b->a, 10);
    uint64_t stack = 64;
    uint32_t stages = 0;
    for (uint32_t k = 0; k < b->nnest; k++)
        for (uint32_t i = 0; i < b->nest[k]->nstage; i++, stages++)
            if (b->nest[k]->stage[i].stack_bytes > stack)
                stack = b->nest[k]->stage[i].stack_bytes;
    b->stage = arena_array(b->a, stages, sizeof *b->stage);
    b->alone = arena_array(b->a, stages, sizeof *b->alone);
    for (uint32_t k = 0, i = 0; k < b->nnest; k++)
        for (uint32_t s = 0; s < b->nest[k]->nstage; s++, i++)
            b->alone[i] = units(b, &b->nest[k]->stage[s]) *
                              nest_unit_cost(b->nest[k], s, b->target, b->batch) <
                          SHARE_ALONE;
    const struct load_job job = {.nest = b->nest, .n = b->nnest, .target = b->target};
    b->code = backend_llvm.load(&job, ds, b->stage, NULL);
    need(b->code, ds);
    for (unsigned t = 0; t < THREADS; t++)
        b->scratch[t] = memory(b->a, (size_t)stack);
    for (uint32_t k = 0; k < b->nnest; k++)
        b->args[k] = give_memory(b, k);
}

void bench_kernel(struct bench *b, const char *text)
{
    struct diag_sink *ds = diag_sink_new(b->a, 10);
    struct kernel *k =
        kernel_parse(b->a, text, ds, diag_file(ds, "kernel", text, strlen(text)));
    need(k, ds);
    b->nest[b->nnest++] = nest_schedule(k, b->target, b->a);
    bench_compile(b);
}

void bench_nest(struct bench *b, const char *text)
{
    struct diag_sink *ds = diag_sink_new(b->a, 10);
    struct nest *n = nest_parse(b->a, text, ds, diag_file(ds, "nest", text, strlen(text)));
    need(n, ds);
    b->nest[b->nnest++] = n;
    bench_compile(b);
}

/* As the executor walks launches: what is little is run by the first thread alone. */
static void one_pass(const struct bench *b, unsigned thread, bool *waits)
{
    const struct loaded_stage *stage = b->stage;
    uint32_t i = 0;
    for (uint32_t k = 0; k < b->nnest; k++)
        for (uint32_t s = 0; s < b->nest[k]->nstage; s++, i++) {
            const int64_t n = units(b, &b->nest[k]->stage[s]);
            const unsigned threads = b->alone[i] ? 1 : b->threads;
            const int64_t lo = n * thread / threads, hi = n * (thread + 1) / threads;
            const bool shared = threads > 1;
            if (shared && *waits)
                pool_barrier(b->pool);
            if (lo < hi && thread < threads)
                stage[i].fn(&b->args[k], lo, hi, b->scratch[thread]);
            if (shared)
                pool_barrier(b->pool);
            *waits = !shared;
        }
}

static void run(void *cx, unsigned thread)
{
    const struct bench *b = cx;
    bool waits = false;
    for (unsigned i = 0; i < b->passes; i++)
        one_pass(b, thread, &waits);
}

/* ---- samples ---- */

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double sample(work_fn *fn, void *cx, long times, bool alone)
{
    const double start = alone ? used() : bench_now();
    for (long i = 0; i < times; i++)
        fn(cx);
    return (alone ? used() : bench_now()) - start;
}

/* The median of samples of some milliseconds; the first ones find out how long it takes. */
double bench_time(work_fn *fn, void *cx, bool alone)
{
    double took[SAMPLES];
    long times = 1;
    for (double t = sample(fn, cx, 1, alone); t < SAMPLE; t = sample(fn, cx, times, alone))
        times = t > SAMPLE / 50 ? (long)(1.2 * SAMPLE / t * (double)times) + 1 : 8 * times;
    for (int i = 0; i < SAMPLES; i++)
        took[i] = sample(fn, cx, times, alone) / (double)times;
    qsort(took, SAMPLES, sizeof *took, compare);
    return took[SAMPLES / 2];
}

static void run_all(void *cx)
{
    struct bench *b = cx;
    if (b->threads > 1)
        pool_run(b->pool, run, b);
    else
        run(b, 0);
}

double bench_seconds(struct bench *b, unsigned threads)
{
    b->threads = threads;
    return bench_time(run_all, b, threads == 1) / b->passes;
}

void bench_new(struct bench *b, const struct target *t, struct pool *pool, int64_t batch,
               unsigned threads)
{
    *b = (struct bench){.a = arena_new(), .pool = pool, .batch = batch, .passes = 1};
    struct target *row = arena_copy(b->a, t, sizeof *row);
    row->batch = batch;
    row->threads = threads;
    b->target = row;
}

void bench_free(struct bench *b)
{
    if (b->code)
        backend_llvm.free(b->code);
    arena_free(b->a);
}
