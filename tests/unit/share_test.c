/* Sharing units: every unit is taken once, whoever comes, whatever the cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/pool.h"
#include "runtime/share.h"

enum { THREADS = 3, UNITS = 997, ROUNDS = 1000 };

struct round {
    struct share *share;
    struct pool *pool;
    uint32_t units, least;
    atomic_uint taken[UNITS];
};

/* All for the last thread where units are odd: the others have to take theirs from it. */
static void cut(const void *cx, unsigned thread, uint32_t *lo, uint32_t *hi)
{
    const struct round *r = cx;
    *lo = r->units % 2 ? 0 : r->units * thread / THREADS;
    *hi = r->units % 2 ? (thread + 1 == THREADS ? r->units : 0)
                       : r->units * (thread + 1) / THREADS;
}

static void take_all(struct round *r, uint32_t number, unsigned thread)
{
    const struct share_round s = {r->share, THREADS, number, r->least, cut, r};
    uint32_t lo, hi;
    while (share_take(&s, thread, &lo, &hi))
        for (uint32_t i = lo; i < hi; i++)
            atomic_fetch_add(&r->taken[i], 1);
}

static void work(void *cx, unsigned thread)
{
    struct round *r = cx;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        take_all(r, i + 1, thread);
        pool_barrier(r->pool);
        if (thread == 0) {
            r->units = 1 + (r->units * 7 + i) % UNITS;
            r->least = 1 + i % 5;
        }
        pool_barrier(r->pool);
    }
}

static void each_unit_is_taken_once(void **state)
{
    struct share share[THREADS] = {0};
    struct round r = {.share = share, .units = UNITS, .least = 1};
    uint32_t units = UNITS, want[UNITS] = {0};
    struct hyp_error err;
    (void)state;
    assert_int_equal(pool_new(THREADS, &r.pool, &err), HYP_OK);
    pool_run(r.pool, work, &r);
    pool_free(r.pool);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        for (uint32_t u = 0; u < units; u++)
            want[u]++;
        units = 1 + (units * 7 + i) % UNITS;
    }
    for (uint32_t u = 0; u < UNITS; u++)
        assert_int_equal(r.taken[u], want[u]);
}

/* Threads that never come: one does it all. */
static void one_takes_what_others_leave(void **state)
{
    struct share share[THREADS] = {0};
    struct round r = {.share = share, .units = 100, .least = 3};
    (void)state;
    take_all(&r, 1, 1);
    for (uint32_t u = 0; u < 100; u++)
        assert_int_equal(r.taken[u], 1);
    take_all(&r, 1, 0); /* too late: nothing is left */
    assert_int_equal(r.taken[0], 1);
    take_all(&r, 2, 0);
    assert_int_equal(r.taken[0], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_unit_is_taken_once),
                                       cmocka_unit_test(one_takes_what_others_leave)};
    return cmocka_run_group_tests_name("share", tests, NULL, NULL);
}
