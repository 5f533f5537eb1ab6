/*
 * Compiled nests in the cache: compiled once, whatever the number of threads; the same code
 * from the cache; what is wrong there is compiled again.
 */
#include <stdio.h>
#include <string.h>

#include "codegen/backend.h"
#include "codegen/interp/nest_eval.h"
#include "codegen/llvm/llvm.h"
#include "codegen/loop/loop.h"
#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/cache.h"
#include "runtime/base/diag.h"
#include "tests/prop/kernel_gen.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/scratch.h"

enum { NESTS = 12, STAGES = 16, SAME = 3 };

static struct arena *arena;
static struct nest *nest[NESTS + SAME]; /* the last ones equal the first ones */
static uint8_t key[NESTS][32];          /* of the objects */

static void make_nests(const struct target *t)
{
    for (unsigned i = 0; i < NESTS + SAME; i++)
        nest[i] = nest_schedule(kernel_random(1 + i % NESTS, arena), t, arena);
    for (unsigned i = 0; i < NESTS; i++) {
        uint8_t k[32];
        nest_key(nest[i], t, "llvm", k);
        llvm_object_key(k, t, key[i]);
        assert_memory_not_equal(k, key[i], 32);
    }
}

static size_t dtype_bytes(const struct kbuf *b)
{
    return b->dtype == DT_BOOL ? 1 : 4;
}

/* Runs every stage over inputs of its own; a digest of all buffers comes back. */
static uint64_t run_all(const struct loaded_stage *stage)
{
    uint64_t sum = 14695981039346656037U;
    for (unsigned i = 0; i < NESTS + SAME; stage += nest[i++]->nstage) {
        const struct nest *n = nest[i];
        struct kernel_data d =
            kernel_data_new(n->buf, n->nbuf, n->nscalar, false, 13, 5, arena);
        uint64_t stack = 64;
        for (uint32_t s = 0; s < n->nstage; s++)
            stack = n->stage[s].stack_bytes > stack ? n->stage[s].stack_bytes : stack;
        void *scratch = hyp_aligned(64, stack);
        const struct hyp_kargs args = {
            .buf = d.buf, .scalar = d.scalar, .batch = 13, .seed = 7, .watch = d.watch};
        for (uint32_t s = 0; s < n->nstage; s++)
            stage[s].fn(&args, 0, interp_units(n, s, 13), scratch);
        for (uint32_t b = 0; b < n->nbuf; b++)
            for (size_t k = 0; k < (size_t)d.elems[b] * dtype_bytes(&n->buf[b]); k++)
                sum = (sum ^ ((const uint8_t *)d.buf[b])[k]) * 1099511628211U;
        hyp_free(scratch);
    }
    return sum;
}

static uint64_t load_and_run(struct cache *c, unsigned threads, uint32_t want)
{
    struct diag_sink *ds = diag_sink_new(arena, 10);
    struct loaded_stage stage[(NESTS + SAME) * STAGES];
    uint32_t compiled = UINT32_MAX;
    const struct load_job job = {.nest = nest,
                                 .n = NESTS + SAME,
                                 .target = llvm_host_target(),
                                 .threads = threads,
                                 .cache = c};
    struct code *code = backend_llvm.load(&job, ds, stage, &compiled);
    diag_print(ds, stderr, false);
    assert_non_null(code);
    assert_int_equal(compiled, want);
    const uint64_t sum = run_all(stage);
    backend_llvm.free(code);
    return sum;
}

static void test_cached(void **state)
{
    (void)state;
    const char *why;
    struct cache *c = cache_open(scratch_path("cache"), 64 << 20, &why);
    const uint64_t want = load_and_run(NULL, 1, NESTS);
    assert_int_equal(load_and_run(NULL, 3, NESTS), want);
    assert_int_equal(load_and_run(c, 3, NESTS), want);
    assert_int_equal(cache_size(c).entries, NESTS);
    assert_int_equal(load_and_run(c, 1, 0), want);
    assert_int_equal(load_and_run(c, 2, 0), want);
    cache_close(c);
}

/* Entries that are whole but hold another nest's object, or no object at all. */
static void test_lies(void **state)
{
    (void)state;
    const char *why;
    struct cache *c = cache_open(scratch_path("lies"), 64 << 20, &why);
    const uint64_t want = load_and_run(c, 2, NESTS);
    uint8_t *object, *good;
    size_t n, ngood;
    assert_true(cache_get(c, key[1], &object, &n));
    assert_true(cache_get(c, key[0], &good, &ngood));
    for (unsigned lie = 0; lie < 10; lie++) {
        if (lie == 0)
            cache_put(c, key[0], object, n);
        else if (lie == 1)
            cache_put(c, key[0], "", 0);
        else if (lie == 2)
            cache_put(c, key[0], "no object", 9);
        else
            cache_put(c, key[0], good, ngood * (lie - 3) / 7);
        assert_int_equal(load_and_run(c, 2, NESTS), want);
        assert_int_equal(load_and_run(c, 2, 0), want); /* it was put right */
    }
    hyp_free(object);
    hyp_free(good);
    cache_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cached),
                                       cmocka_unit_test(test_lies)};
    const struct target *t = llvm_host_target();
    if (!t)
        return 0;
    arena = arena_new();
    make_nests(t);
    const int failed = cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
    arena_free(arena);
    return failed;
}
