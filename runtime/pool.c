/*
 * Waiting is spinning first, then sleeping: waking a thread costs some 50 us, a barrier
 * where nobody sleeps some 0.2; but who spins on a busy machine takes the processor from
 * those that are waited for.  A job is a whole phase, never a kernel.
 */
#include "runtime/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "runtime/base/alloc.h"

enum {
    SPIN = 20000, /* a third of a millisecond or more: most waits are over by then */
    SHARE = 512   /* after so many rounds somebody else may have the processor once */
};

/*
 * A word that only grows, and who waits for it to move.
 *
 * Nobody sleeps through a move: the mover changes the word and then reads `sleepers`, a
 * sleeper raises `sleepers` and then reads the word, all in one order (seq_cst), so that at
 * least one of the two sees the other.  A sleeper holds the lock from raising `sleepers`
 * until it waits, and the mover takes it before it wakes.
 */
struct gate {
    _Alignas(64) atomic_uint word;
    atomic_uint sleepers;
    pthread_mutex_t lock;
    pthread_cond_t moved;
};

struct worker {
    struct pool *pool;
    pthread_t thread;
    unsigned index;
};
struct pool {
    unsigned n;
    pool_fn *fn;
    void *cx;
    struct gate job;      /* moves when a job begins, or to stop */
    struct gate barrier;  /* when all threads have arrived */
    struct gate finished; /* when all workers have done the job */
    _Alignas(64) atomic_uint arrived;
    _Alignas(64) atomic_uint done;
    atomic_bool stop;
    struct worker *worker;
};

/* ---- gates ---- */

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void gate_init(struct gate *g)
{
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->moved, NULL);
}

static void gate_fini(struct gate *g)
{
    pthread_cond_destroy(&g->moved);
    pthread_mutex_destroy(&g->lock);
}

static unsigned gate_at(const struct gate *g)
{
    return atomic_load_explicit(&g->word, memory_order_acquire);
}

/* Wait until the word is not `seen`. */
static void gate_wait(struct gate *g, unsigned seen)
{
    for (unsigned i = 1; i < SPIN; i++) {
        if (gate_at(g) != seen)
            return;
        if (i % SHARE == 0)
            sched_yield();
        relax();
    }
    pthread_mutex_lock(&g->lock);
    atomic_fetch_add(&g->sleepers, 1);
    while (atomic_load(&g->word) == seen)
        pthread_cond_wait(&g->moved, &g->lock);
    atomic_fetch_sub(&g->sleepers, 1);
    pthread_mutex_unlock(&g->lock);
}

static void gate_move(struct gate *g)
{
    atomic_fetch_add(&g->word, 1);
    if (atomic_load(&g->sleepers) == 0)
        return;
    pthread_mutex_lock(&g->lock);
    pthread_cond_broadcast(&g->moved);
    pthread_mutex_unlock(&g->lock);
}

/* ---- jobs ---- */

static void *work(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;

    for (unsigned seen = 0;; seen++) {
        gate_wait(&p->job, seen);
        if (atomic_load(&p->stop))
            return NULL;
        p->fn(p->cx, w->index);
        if (atomic_fetch_add(&p->done, 1) + 2 == p->n)
            gate_move(&p->finished);
    }
}

void pool_run(struct pool *p, pool_fn *fn, void *cx)
{
    const unsigned before = gate_at(&p->finished);

    p->fn = fn;
    p->cx = cx;
    if (p->n > 1) {
        atomic_store(&p->done, 0);
        gate_move(&p->job);
    }
    fn(cx, 0);
    if (p->n > 1)
        gate_wait(&p->finished, before);
}

/* The word cannot move between the look at it and the arrival: all have to arrive first. */
void pool_barrier(struct pool *p)
{
    if (p->n == 1)
        return;
    const unsigned before = gate_at(&p->barrier);
    if (atomic_fetch_add(&p->arrived, 1) + 1 < p->n) {
        gate_wait(&p->barrier, before);
        return;
    }
    atomic_store_explicit(&p->arrived, 0, memory_order_relaxed);
    gate_move(&p->barrier);
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
    gate_init(&p->job);
    gate_init(&p->barrier);
    gate_init(&p->finished);
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
    gate_move(&p->job);
    for (unsigned i = 1; i < p->n; i++)
        pthread_join(p->worker[i].thread, NULL);
    gate_fini(&p->job);
    gate_fini(&p->barrier);
    gate_fini(&p->finished);
    hyp_free(p->worker);
    hyp_free(p);
}
