/*
 * A generation counter starts jobs and another one counts arrivals at the barrier.  Waking
 * a sleeping thread costs some 50 us, so idle workers spin first; a job is a whole phase,
 * never a kernel.
 */
#include "runtime/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "runtime/base/alloc.h"

#define SPIN_IDLE  20000 /* about 0.3 ms: longer than what stands between two phases */
#define SPIN_YIELD 4000  /* in a barrier, before giving the processor away once */

struct worker {
    struct pool *pool;
    pthread_t thread;
    unsigned index;
};
struct pool {
    unsigned n;
    pool_fn *fn;
    void *cx;
    /* Even and odd generations are jobs alike; a stop is a flag read only after a
     * generation moves. */
    _Alignas(64) atomic_uint generation;
    _Alignas(64) atomic_uint arrived;
    _Alignas(64) atomic_uint phase;
    _Alignas(64) atomic_uint done;
    atomic_uint sleepers;
    atomic_bool stop;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct worker *worker;
};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* Wait until *at differs from `seen`. */
static void spin_until(atomic_uint *at, unsigned seen)
{
    for (unsigned i = 0; atomic_load_explicit(at, memory_order_acquire) == seen; i++) {
        relax();
        if (i > SPIN_YIELD) {
            sched_yield();
            i = 0;
        }
    }
}

static void wait_for_job(struct pool *p, unsigned seen)
{
    for (unsigned i = 0; i < SPIN_IDLE; i++) {
        if (atomic_load_explicit(&p->generation, memory_order_acquire) != seen)
            return;
        relax();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (atomic_load(&p->generation) == seen)
        pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;
    unsigned seen = 0;

    for (;;) {
        wait_for_job(p, seen);
        seen++;
        if (atomic_load(&p->stop))
            return NULL;
        p->fn(p->cx, w->index);
        atomic_fetch_add_explicit(&p->done, 1, memory_order_release);
    }
}

static void start_job(struct pool *p)
{
    atomic_fetch_add(&p->generation, 1);
    if (atomic_load(&p->sleepers)) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
}

void pool_run(struct pool *p, pool_fn *fn, void *cx)
{
    p->fn = fn;
    p->cx = cx;
    if (p->n > 1) {
        atomic_store(&p->done, 0);
        start_job(p);
    }
    fn(cx, 0);
    for (unsigned i = 0;
         p->n > 1 && atomic_load_explicit(&p->done, memory_order_acquire) != p->n - 1;
         i++) {
        relax();
        if (i > SPIN_YIELD)
            sched_yield();
    }
}

void pool_barrier(struct pool *p)
{
    if (p->n == 1)
        return;
    const unsigned phase = atomic_load_explicit(&p->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&p->arrived, 1, memory_order_acq_rel) == p->n - 1) {
        atomic_store_explicit(&p->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&p->phase, phase + 1, memory_order_release);
    } else {
        spin_until(&p->phase, phase);
    }
}

unsigned pool_threads(const struct pool *p)
{
    return p->n;
}

enum hyp_status pool_new(unsigned threads, struct pool **out, struct hyp_error *err)
{
    struct pool *p = hyp_aligned(64, sizeof *p);
    if (!p)
        return hyp_fail(err, HYP_ENOMEM, "no memory for the thread pool");
    *p = (struct pool){.n = 1};
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->worker = hyp_calloc(threads ? threads : 1, sizeof *p->worker);
    if (!p->worker) {
        pool_free(p);
        return hyp_fail(err, HYP_ENOMEM, "no memory for %u threads", threads);
    }
    for (unsigned i = 1; i < threads; i++) {
        p->worker[i] = (struct worker){.pool = p, .index = i};
        if (pthread_create(&p->worker[i].thread, NULL, work, &p->worker[i]) != 0) {
            pool_free(p);
            return hyp_fail(err, HYP_ENOMEM, "thread %u of %u could not be started", i + 1,
                            threads);
        }
        p->n = i + 1;
    }
    *out = p;
    return HYP_OK;
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    atomic_store(&p->stop, true);
    start_job(p);
    for (unsigned i = 1; i < p->n; i++)
        pthread_join(p->worker[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    hyp_free(p->worker);
    hyp_free(p);
}
