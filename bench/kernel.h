/*
 * A kernel compiled alone, with memory of its own, and how long it takes.
 */
#ifndef HYP_BENCH_KERNEL_H
#define HYP_BENCH_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codegen/backend.h"
#include "codegen/loop/loop.h"
#include "runtime/base/arena.h"
#include "runtime/pool.h"

enum { MOST_KERNELS = 4, MOST_SLOTS = 16, THREADS = 2 };

struct bench {
    const struct target *target;
    struct arena *a;
    int64_t batch;
    struct nest *nest[MOST_KERNELS]; /* one after the other */
    uint32_t nnest;
    uint32_t *slot[MOST_KERNELS]; /* NULL: buffers are its own */
    struct code *code;
    struct loaded_stage *stage; /* of all */
    bool *alone;                /* by stage: too little for several threads */
    struct hyp_kargs args[MOST_KERNELS];
    float *memory[MOST_SLOTS]; /* by slot */
    struct pool *pool;
    unsigned threads, passes; /* of a call of the pool */
    void *scratch[THREADS];
};

/* Scheduled for a batch (0: unknown) and so many threads. */
void bench_new(struct bench *b, const struct target *t, struct pool *pool, int64_t batch,
               unsigned threads);
void bench_free(struct bench *b);
/* What is wrong with what is to be compiled ends the program. */
void bench_compile(struct bench *b); /* its nests */
void bench_kernel(struct bench *b, const char *text);
void bench_nest(struct bench *b, const char *text);
double bench_seconds(struct bench *b, unsigned threads);

/* n floats in [-0.5, 0.5). */
float *bench_numbers(struct arena *a, size_t n);
double bench_now(void);
/* The median of samples of some milliseconds.  `alone`: of this thread's time. */
typedef void work_fn(void *cx);
double bench_time(work_fn *fn, void *cx, bool alone);

#endif
