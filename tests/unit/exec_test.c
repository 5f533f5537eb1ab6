/* A stage begins when those before it are done, whoever runs them: all threads, or one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/exec.h"

enum { LAUNCHES = 600, UNITS = 40, RUNS = 40, THREADS = 3, LITTLE = 1, MUCH = 20000 };

static atomic_int done[LAUNCHES], early, spin;

/* The number of a launch is the first scalar of its entry, those of some before it are
 * looked at. */
static void run(const struct hyp_kargs *k, int64_t lo, int64_t hi, void *scratch)
{
    const uint32_t launch = k->scalar[0].u;
    (void)scratch;
    for (uint32_t before = launch < 8 ? 0 : launch - 8; before < launch; before++)
        early += done[before] != UNITS;
    for (int64_t u = lo; u < hi; u++) {
        for (int i = 0; i < 50; i++)
            spin++;
        done[launch]++;
    }
}

static struct hyp_stage stage[2];
static struct hyp_kernel kernel[2];
static struct hyp_entry entry[LAUNCHES];
static uint32_t scalar[LAUNCHES];
static struct hyp_param param[LAUNCHES];
static struct hyp_op op[2 * LAUNCHES]; /* before each launch its scalar is set */
static struct hyp_phase phase[1] = {
    {.name = "all", .op = op, .nop = 2 * LAUNCHES, .loaded = true, .draw = UINT32_MAX}};
static struct hyp_plan plan = {.kernel = kernel,
                               .nkernel = 2,
                               .entry = entry,
                               .nentry = LAUNCHES,
                               .param = param,
                               .nparam = LAUNCHES,
                               .phase = phase,
                               .nphase = 1,
                               .batch_max = 1};

/* A phase of all launches, of much work or little. */
static void make_plan(bool much(uint32_t))
{
    for (uint32_t i = 0; i < 2; i++) {
        stage[i] = (struct hyp_stage){.fn = run,
                                      .symbol = "run",
                                      .units = {UNITS, 0},
                                      .units_div = 1,
                                      .units_times = 1,
                                      .cost = i ? MUCH : LITTLE};
        kernel[i] =
            (struct hyp_kernel){.name = "k", .stage = &stage[i], .nstage = 1, .nscalar = 1};
    }
    for (uint32_t i = 0; i < LAUNCHES; i++) {
        scalar[i] = i;
        param[i] = (struct hyp_param){HYP_PARAM_WORD, i};
        entry[i] = (struct hyp_entry){.kernel = much(i), .scalar = &scalar[i]};
        op[2 * i] = (struct hyp_op){HYP_OP_SCALARS, 0, 0, i, i + 1};
        op[2 * i + 1] = (struct hyp_op){HYP_OP_LAUNCH, i, i + 1, 0, 0};
    }
}

/* Several of a kind in a row. */
static bool now_and_then(uint32_t launch)
{
    return (0x5a3c96U >> launch % 24) & 1;
}

/* 255 of little between two of much: the rounds of sharing are numbered by a byte. */
static bool rarely(uint32_t launch)
{
    return launch % 256 == 3;
}

static void after(void *cx, const struct hyp_op *o)
{
    *(int *)cx += o->op == HYP_OP_LAUNCH && done[o->a] == UNITS;
}

static void run_phases(bool much(uint32_t), bool watched)
{
    struct exec *x;
    struct pool *pool;
    struct hyp_error err;
    int seen = 0;
    make_plan(much);
    assert_int_equal(pool_new(THREADS, &pool, &err), HYP_OK);
    assert_int_equal(exec_new(&plan, pool, 1, &x, &err), HYP_OK);
    x->after_op = watched ? after : NULL;
    x->after_cx = &seen;
    for (int r = 0; r < RUNS; r++) {
        for (uint32_t i = 0; i < LAUNCHES; i++) {
            done[i] = 0;
            x->param[i].u = LAUNCHES - 1;
        }
        assert_int_equal(exec_phase(x, 0, 1, &err), HYP_OK);
        for (uint32_t i = 0; i < LAUNCHES; i++)
            assert_int_equal(done[i], UNITS);
        assert_int_equal(early, 0);
    }
    assert_int_equal(seen, watched ? RUNS * LAUNCHES : 0);
    exec_free(x);
    pool_free(pool);
}

static void stages_wait_for_those_before(void **state)
{
    (void)state;
    run_phases(now_and_then, false);
    run_phases(rarely, false);
}

static void who_looks_sees_all_done(void **state)
{
    (void)state;
    run_phases(now_and_then, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(stages_wait_for_those_before),
                                       cmocka_unit_test(who_looks_sees_all_done)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
