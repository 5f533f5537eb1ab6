/* What `hypno tune` keeps: by nest, threads and batch, in memory and on disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "codegen/backend.h"
#include "compiler/driver/tuned.h"
#include "compiler/ir/target.h"
#include "runtime/base/arena.h"
#include "tests/unit/scratch.h"

static struct tuned_kernel kernel(uint8_t nest, uint32_t threads, int64_t batch,
                                  const char *variant)
{
    struct tuned_kernel k = {
        .threads = threads, .batch = batch, .before = 0.25, .after = 0.125};
    memset(k.nest, nest, sizeof k.nest);
    snprintf(k.variant, sizeof k.variant, "%s", variant);
    return k;
}

static const char *found(const struct tuned *t, uint8_t nest, uint32_t threads,
                         int64_t batch)
{
    const struct tuned_kernel like = kernel(nest, threads, batch, "");
    const struct tuned_kernel *k = tuned_find(t, like.nest, threads, batch);
    return k ? k->variant : "table";
}

static void add(struct tuned *t, uint8_t nest, uint32_t threads, int64_t batch,
                const char *variant)
{
    const struct tuned_kernel k = kernel(nest, threads, batch, variant);
    tuned_add(t, &k);
}

static void by_nest_threads_and_batch(void **unused)
{
    struct arena *a = arena_new();
    struct tuned *t = tuned_new(a);
    (void)unused;
    assert_string_equal(found(t, 1, 2, 64), "table");
    add(t, 1, 2, 64, "wide");
    add(t, 1, 1, 64, "rows");
    add(t, 2, 2, 64, "columns");
    assert_string_equal(found(t, 1, 2, 64), "wide");
    assert_string_equal(found(t, 1, 1, 64), "rows");
    assert_string_equal(found(t, 1, 2, 32), "table");
    add(t, 1, 2, 64, "wider"); /* in its place */
    assert_string_equal(found(t, 1, 2, 64), "wider");
    assert_int_equal(tuned_count(t), 3);
    const struct tuned_kernel gone = kernel(1, 2, 64, "");
    tuned_drop(t, &gone);
    tuned_drop(t, &gone);
    assert_string_equal(found(t, 1, 2, 64), "table");
    assert_int_equal(tuned_count(t), 2);
    add(t, 1, 2, 64, "both");
    assert_int_equal(tuned_count(t), 3);
    tuned_all(t, "rows");
    assert_string_equal(found(t, 7, 7, 7), "rows");
    arena_free(a);
}

static void is_kept(void **unused)
{
    const struct target *here = target_default();
    struct arena *a = arena_new();
    struct tuned *t = tuned_new(a);
    const char *dir = scratch_path("tuned");
    (void)unused;
#ifdef HYP_WITH_LLVM
    add(t, 1, 2, 64, "wide");
    add(t, 2, 2, 64, "rows");
    const struct tuned_kernel gone = kernel(2, 2, 64, "");
    tuned_drop(t, &gone);
    assert_true(tuned_write(dir, here, t));
    const struct tuned *back = tuned_read(dir, here, a);
    assert_int_equal(tuned_count(back), 1);
    assert_string_equal(found(back, 1, 2, 64), "wide");
    const struct tuned_kernel like = kernel(1, 2, 64, "");
    assert_true(tuned_find(back, like.nest, 2, 64)->after == 0.125);
    assert_int_equal(tuned_count(tuned_read(dir, target_find("neon"), a)), 0);
    assert_true(tuned_write(dir, here, tuned_new(a)));
    assert_int_equal(tuned_count(tuned_read(dir, here, a)), 0);
    assert_false(tuned_write("/proc/none", here, t));
#else
    assert_false(tuned_write(dir, here, t)); /* there is no code to be measured */
#endif
    assert_int_equal(tuned_count(tuned_read(NULL, here, a)), 0);
    arena_free(a);
}

static void variants_are_of_their_target(void **unused)
{
    struct target out;
    (void)unused;
    for (unsigned i = 0; i < target_nvariant; i++) {
        assert_true(strlen(target_variant[i].name) < TUNED_NAME);
        const struct target *t;
        for (unsigned n = 0; (t = target_at(n)); n++) {
            if (!target_vary(t, target_variant[i].name, &out))
                continue;
            assert_int_equal(out.unit_rows % out.mr, 0);
            assert_int_equal(out.unit_rows, t->unit_rows); /* orders of sums are by these */
            assert_int_equal(out.t_ref, t->t_ref);
            assert_int_equal(out.vec, t->vec);
            assert_true(out.flops == t->flops && out.launch == t->launch);
        }
    }
    assert_false(target_vary(target_default(), "no_such", &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_nest_threads_and_batch),
                                       cmocka_unit_test(is_kept),
                                       cmocka_unit_test(variants_are_of_their_target)};
    return cmocka_run_group_tests_name("tuned", tests, scratch_setup, scratch_teardown);
}
