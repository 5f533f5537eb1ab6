/*
 * The thread pool: every thread runs the same function (SPMD) and meets the others at
 * barriers.
 *
 * Whoever waits spins for a while, then sleeps.  The calling thread is thread 0.  One pool
 * runs one job at a time.
 */
#ifndef HYP_RUNTIME_POOL_H
#define HYP_RUNTIME_POOL_H

#include <stdint.h>

#include "runtime/base/status.h"

struct pool;
typedef void pool_fn(void *cx, unsigned thread);

enum hyp_status pool_new(unsigned threads, struct pool **out, struct hyp_error *err);
void pool_free(struct pool *p);
unsigned pool_threads(const struct pool *p);

void pool_run(struct pool *p, pool_fn *fn, void *cx); /* returns when all threads have */
void pool_barrier(struct pool *p);                    /* inside a job, by every thread */

#endif
