/*
 * The shipped models give the same bits whatever runs them: any number of threads, kernels
 * fused or not, what gradients read kept or recomputed, generated code or the interpreter,
 * a plan for a larger batch.
 */
#include "tests/unit/cmocka_all.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/arena.h"
#include "tests/train/model_run.h"

#ifdef HYP_WITH_LLVM
#define FAST    "llvm"
#define BATCH   96
#define PARTIAL 25 /* no multiple of a tile's rows */
#else
#define FAST    "interp"
#define BATCH   8
#define PARTIAL 5
#endif

static void threads_agree(void **state)
{
    struct model_case m = *(const struct model_case *)*state;
    const int64_t batches[] = {BATCH, PARTIAL};
    struct arena *a = arena_new();

    m.backend = FAST;
    m.batch = BATCH;
    struct compiled *c = model_compile(&m);
    for (unsigned b = 0; b < 2; b++) {
        const char *one = model_train(a, c, 1, batches[b], 2);
        for (unsigned t = 2; t <= 7; t = t == 3 ? 7 : t + 1)
            same_run(arena_fmt(a, "%s: 1 and %u threads", m.path, t), one,
                     model_train(a, c, t, batches[b], 2));
    }
    compiled_free(c);
    arena_free(a);
}

/* What `x` and `y`, differing in one respect, make of the same batches. */
static void agree(const struct model_case *x, const struct model_case *y, int64_t batch,
                  unsigned cycles, const char *what)
{
    struct arena *a = arena_new();
    struct compiled *cx = model_compile(x), *cy = model_compile(y);
    same_run(arena_fmt(a, "%s: %s", x->path, what), model_train(a, cx, 2, batch, cycles),
             model_train(a, cy, 2, batch, cycles));
    compiled_free(cx);
    compiled_free(cy);
    arena_free(a);
}

static void fusion_keeps_bits(void **state)
{
    struct model_case x = *(const struct model_case *)*state, y;
    x.backend = FAST;
    x.batch = PARTIAL;
    y = x;
    y.fuse_off = true;
    agree(&x, &y, PARTIAL, 2, "fused and not fused");
}

static void recomputing_keeps_bits(void **state)
{
    struct model_case x = *(const struct model_case *)*state, y;
    x.backend = FAST;
    x.batch = PARTIAL;
    y = x;
    x.remat_off = true;
    y.scarcity = 1e9;
    agree(&x, &y, PARTIAL, 2, "kept and recomputed");
}

static void plans_serve_smaller_batches(void **state)
{
    struct model_case x = *(const struct model_case *)*state, y;
    x.backend = FAST;
    x.batch = 8;
    y = x;
    y.batch = 5;
    agree(&x, &y, 5, 2, "a plan for 8 and one for 5");
}

#ifdef HYP_WITH_LLVM
static void code_is_the_interpreter(void **state)
{
    struct model_case x = *(const struct model_case *)*state, y;
    x.backend = "llvm";
    x.batch = 8;
    y = x;
    y.backend = "interp";
    agree(&x, &y, 8, 1, "LLVM and interpreter");
}
#endif

int main(void)
{
    enum { MODELS = 10, KINDS = 5 };
    struct CMUnitTest test[MODELS * KINDS];
    const struct CMUnitTest kind[] = {
        cmocka_unit_test(threads_agree),
        cmocka_unit_test(fusion_keeps_bits),
        cmocka_unit_test(recomputing_keeps_bits),
        cmocka_unit_test(plans_serve_smaller_batches),
#ifdef HYP_WITH_LLVM
        cmocka_unit_test(code_is_the_interpreter),
#endif
    };
    static struct model_case model[MODELS];
    size_t n = 0;
    for (unsigned i = 0; shipped_models[i].path; i++) {
        model[i] = shipped_models[i];
        for (size_t k = 0; k < sizeof kind / sizeof *kind; k++) {
            test[n] = kind[k];
            test[n++].initial_state = &model[i];
        }
    }
    return _cmocka_run_group_tests("whole models", test, n, model_cache_setup,
                                   model_cache_teardown);
}
