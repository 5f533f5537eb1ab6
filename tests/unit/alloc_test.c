/* The allocator's failure hook, and arenas: alignment, zeroing, growth, running out. */
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/status.h"
#include "tests/unit/cmocka_all.h"

static void nth_call_fails(void **state)
{
    (void)state;
    hyp_alloc_fail_at(3);
    void *p = hyp_malloc(1), *q = hyp_calloc(2, 2);
    char *s = hyp_strdup("x");
    void *r = hyp_aligned(64, 64);
    hyp_alloc_fail_at(0);
    assert_non_null(p);
    assert_non_null(q);
    assert_null(s);
    assert_null(r);
    p = hyp_realloc(p, 100);
    assert_non_null(p);
    hyp_free(p);
    hyp_free(q);
}

static void aligned_and_counted(void **state)
{
    (void)state;
    const uint64_t before = hyp_alloc_count();
    void *p = hyp_aligned(256, 10);
    assert_int_equal((uintptr_t)p % 256, 0);
    assert_int_equal(hyp_alloc_count(), before + 1);
    hyp_free(p);
    assert_int_equal(hyp_alloc_count(), before + 1);
    assert_null(hyp_calloc(SIZE_MAX / 2, 3));
}

/* Also what was used before, and what lies beside it stays. */
static void zeroed_are_zero(void **state)
{
    static const size_t size[] = {1, 100, 1 << 20, (1 << 20) + 123, 17 << 20, 3 << 20};
    (void)state;
    for (unsigned i = 0; i < 3 * sizeof size / sizeof *size; i++) {
        const size_t n = size[i % (sizeof size / sizeof *size)];
        char *p = hyp_zeroed(64, n), *beside = hyp_zeroed(64, n), any = 0;
        assert_non_null(p);
        assert_non_null(beside);
        assert_int_equal((uintptr_t)p % 64, 0);
        memset(beside, 1, n);
        for (size_t k = 0; k < n; k++)
            any |= p[k];
        assert_int_equal(any, 0);
        memset(p, -1, n);
        hyp_free(p);
        p = hyp_zeroed(64, n);
        for (size_t k = 0; k < n; k++)
            any |= (char)(p[k] | (beside[k] ^ 1));
        assert_int_equal(any, 0);
        memset(p, -1, n);
        hyp_free(p);
        hyp_free(beside);
    }
}

static void *allocate_thousand(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++)
        hyp_free(hyp_malloc(8));
    return NULL;
}

static void counting_is_thread_safe(void **state)
{
    (void)state;
    pthread_t t[4];
    const uint64_t before = hyp_alloc_count();
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, allocate_thousand, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(hyp_alloc_count(), before + 4000);
}

static void arena_is_zeroed_and_aligned(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    for (int round = 0; round < 2; round++) {
        size_t sum = 0;
        for (size_t n = 1; n < 3000; n += 7) {
            uint8_t *p = arena_alloc(a, n);
            assert_int_equal((uintptr_t)p % 16, 0);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(p[i], 0);
            memset(p, 0xFF, n);
            sum += n;
        }
        assert_int_equal(arena_bytes(a), sum);
        arena_reset(a);
        assert_int_equal(arena_bytes(a), 0);
    }
    memset(arena_alloc(a, 5000000), 1, 5000000); /* larger than any block */
    arena_free(a);
    arena_free(NULL);
}

static void arena_strings(void **state)
{
    (void)state;
    char large[1000];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    struct arena *a = arena_new();
    assert_string_equal(arena_fmt(a, "%d-%s", 7, "ab"), "7-ab");
    assert_string_equal(arena_fmt(a, "%s", large), large);
    assert_string_equal(arena_strn(a, "abcdef", 3), "abc");
    assert_memory_equal(arena_copy(a, "abc", 3), "abc", 3);
    arena_free(a);
}

static void arena_grows(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    uint32_t cap = 0, *x = NULL;
    for (uint32_t i = 0; i < 1000; i++) {
        x = arena_grow(a, x, &cap, i + 1, sizeof *x);
        assert_int_equal(x[i], 0);
        x[i] = i + 1;
    }
    for (uint32_t i = 0; i < cap; i++)
        assert_int_equal(x[i], i < 1000 ? i + 1 : 0);
    arena_free(a);
}

static jmp_buf oom;

static void jump(void)
{
    longjmp(oom, 1);
}

static bool runs_out(struct arena *a, size_t n, size_t size)
{
    if (setjmp(oom))
        return true;
    arena_array(a, n, size);
    return false;
}

static void arena_calls_its_hook(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    arena_on_oom(jump);
    assert_true(runs_out(a, SIZE_MAX / 16 + 2, 16));
    assert_true(runs_out(a, SIZE_MAX, 1));
    hyp_alloc_fail_at(1);
    const bool out = runs_out(a, 100, 1);
    hyp_alloc_fail_at(0);
    assert_true(out);
    assert_false(runs_out(a, 100, 1));
    arena_on_oom(NULL);
    arena_free(a);
}

static void first_error_stays(void **state)
{
    (void)state;
    struct hyp_error e = {0};
    assert_int_equal(hyp_fail(&e, HYP_EIO, "disk %d", 3), HYP_EIO);
    assert_int_equal(hyp_fail(&e, HYP_EBUG, "later"), HYP_EBUG);
    assert_int_equal(e.status, HYP_EIO);
    assert_string_equal(e.text, "disk 3");
    assert_int_equal(hyp_fail(NULL, HYP_EARG, "nobody listens"), HYP_EARG);
    assert_string_equal(hyp_strerror(HYP_ENOMEM), "out of memory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nth_call_fails),
        cmocka_unit_test(aligned_and_counted),
        cmocka_unit_test(zeroed_are_zero),
        cmocka_unit_test(counting_is_thread_safe),
        cmocka_unit_test(arena_is_zeroed_and_aligned),
        cmocka_unit_test(arena_strings),
        cmocka_unit_test(arena_grows),
        cmocka_unit_test(arena_calls_its_hook),
        cmocka_unit_test(first_error_stays),
    };
    return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
