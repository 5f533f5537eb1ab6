/*
 * The pool: every thread runs every job, nobody passes a barrier early, nobody sleeps
 * through a wake-up; on free processors and on ones that somebody else keeps busy.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "runtime/base/alloc.h"
#include "runtime/pool.h"
#include "tests/unit/cmocka_all.h"

enum { MOST = 7, BARRIERS = 5 };
static const unsigned counts[] = {1, 2, 3, 7};

struct job {
    struct pool *pool;
    uint64_t number;
    int late;          /* the thread that comes late to every barrier, or -1 */
    long nanoseconds;  /* how late: longer than anybody spins, or not */
    uint64_t at[MOST]; /* by thread: barriers it has reached; plain memory */
    uint64_t runs[MOST];
    atomic_bool early; /* somebody saw a thread that had not arrived */
};

static void rest(long nanoseconds)
{
    const struct timespec t = {0, nanoseconds};
    nanosleep(&t, NULL);
}

static void meet(void *cx, unsigned thread)
{
    struct job *j = cx;
    const unsigned n = pool_threads(j->pool);

    j->runs[thread]++;
    for (uint64_t b = 1; b <= BARRIERS; b++) {
        if ((int)thread == j->late)
            rest(j->nanoseconds);
        j->at[thread]++;
        pool_barrier(j->pool);
        for (unsigned i = 0; i < n; i++)
            if (j->at[i] != j->number * BARRIERS + b)
                j->early = true;
        pool_barrier(j->pool);
    }
}

static void run_jobs(struct pool *pool, uint64_t jobs, long nanoseconds)
{
    struct job j = {.pool = pool, .nanoseconds = nanoseconds};
    const unsigned n = pool_threads(pool);

    for (; j.number < jobs; j.number++) {
        j.late = nanoseconds ? (int)(j.number % (n + 1)) - 1 : -1;
        if (nanoseconds && j.number % 3 == 0)
            rest(nanoseconds); /* workers fall asleep between jobs */
        pool_run(pool, meet, &j);
    }
    assert_false(j.early);
    for (unsigned i = 0; i < n; i++)
        assert_true(j.runs[i] == jobs);
}

static void each_count(uint64_t jobs, long nanoseconds)
{
    struct hyp_error err = {0};
    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct pool *pool = NULL;
        assert_int_equal(pool_new(counts[i], &pool, &err), HYP_OK);
        assert_int_equal(pool_threads(pool), counts[i]);
        run_jobs(pool, jobs, nanoseconds);
        pool_free(pool);
    }
}

static void nobody_passes_early(void **state)
{
    (void)state;
    each_count(50, 0);
}

static void sleepers_wake(void **state)
{
    (void)state;
    each_count(8, 3000000);
}

/* About as long as the spinning: the move and the falling asleep meet. */
static void sleepers_wake_at_the_edge(void **state)
{
    (void)state;
    for (long ns = 200000; ns <= 1400000; ns += 200000)
        each_count(3, ns);
}

static atomic_bool stop;

static void *keep_busy(void *cx)
{
    uint64_t *n = cx;
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        ++*n;
    return NULL;
}

static void busy_neighbours(void **state)
{
    pthread_t neighbour[4];
    uint64_t n[4] = {0};
    (void)state;
    stop = false;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&neighbour[i], NULL, keep_busy, &n[i]), 0);
    each_count(3, 0);
    stop = true;
    for (unsigned i = 0; i < 4; i++)
        pthread_join(neighbour[i], NULL);
}

static void pools_come_and_go(void **state)
{
    struct hyp_error err = {0};
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        struct pool *pool = NULL;
        assert_int_equal(pool_new(1 + i % MOST, &pool, &err), HYP_OK);
        if (i % 3 == 0)
            rest(1500000); /* all asleep */
        if (i % 2)
            run_jobs(pool, 1, 0);
        pool_free(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_passes_early),       cmocka_unit_test(sleepers_wake),
        cmocka_unit_test(sleepers_wake_at_the_edge), cmocka_unit_test(busy_neighbours),
        cmocka_unit_test(pools_come_and_go),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
