/*
 * What the compiler prints can be read back: the elaborated model is a valid model that
 * trains to the same bits, and the texts of graph, kernels and nests parse to what they
 * were printed from.
 */
#include "tests/unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/arena.h"
#include "tests/train/model_run.h"

#define CYCLES 3
#define BATCH  12

static const struct model_case *with_batch(void **state)
{
    static struct model_case m;
    m = *(const struct model_case *)*state;
    m.batch = BATCH;
#ifndef HYP_WITH_LLVM
    m.backend = "interp";
#endif
    return &m;
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* `text` as a model of its own, beside nothing that it could import. */
static void trains_alike(struct arena *a, const char *text, const char *want)
{
    char dir[] = "roundtrip-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *cwd = getcwd(NULL, 0);
    const char *path = arena_fmt(a, "%s/%s/model.yaml", cwd, dir);
    struct model_case m = {.path = path};
    free(cwd);
#ifndef HYP_WITH_LLVM
    m.backend = "interp";
#endif
    write_text(path, text);
    struct compiled *c = model_compile(&m);
    same_run("the printed model", want, model_train(a, c, 1, BATCH, CYCLES));
    assert_string_equal(doc_print(c->model->elaborated, a), text);
    compiled_free(c);
    unlink(path);
    rmdir(dir);
}

static void elaborated_models_train_alike(void **state)
{
    struct arena *a = arena_new();
    struct compiled *c = model_compile(with_batch(state));
    trains_alike(a, doc_print(c->model->elaborated, a),
                 model_train(a, c, 1, BATCH, CYCLES));
    compiled_free(c);
    arena_free(a);
}

static void graph_reads_back(struct arena *a, const struct compiled *c)
{
    struct diag_sink *ds = diag_sink_new(a, 5);
    struct graph g;
    const char *text = graph_print(&c->program.graph, a);
    graph_init(&g, a);
    if (!graph_parse(&g, text, ds, 0)) {
        diag_print(ds, stderr, false);
        fail_msg("the graph does not parse");
    }
    assert_null(graph_validate(&g, a));
    assert_string_equal(graph_print(&g, a), text);
}

/* A copy has all of the kernel, and a nest needs nothing of what it was made of. */
static const struct nest *nest_of_copy(struct arena *a, const struct kernel *k,
                                       const struct target *t)
{
    struct arena *other = arena_new();
    const struct kernel *copy = kernel_copy(k, other);
    assert_string_equal(kernel_print(copy, other), kernel_print(k, a));
    const struct nest *n = nest_schedule(copy, t, a);
    arena_free(other);
    return n;
}

/* The whole nest of the kernel, or what is left where its weights come packed. */
static void kernel_makes(struct arena *a, const struct kernel *k, const struct target *t,
                         const char *text)
{
    const struct nest *n = nest_of_copy(a, k, t);
    struct hoisted h;
    const char *whole = nest_print(n, a);
    if (strcmp(whole, text) != 0 && nest_hoist(n, a, a, &h))
        whole = nest_print(h.rest, a);
    assert_string_equal(whole, text);
}

static void nest_reads_back(struct arena *a, const char *text, struct diag_sink *ds)
{
    const struct nest *n = nest_parse(a, text, ds, 0);
    if (!n) {
        diag_print(ds, stderr, false);
        fail_msg("a nest does not parse:\n%s", text);
    }
    assert_null(nest_validate(n, a));
    assert_string_equal(nest_print(n, a), text);
}

static void code_reads_back(struct arena *a, const struct compiled *c, uint32_t k)
{
    struct diag_sink *ds = diag_sink_new(a, 5);
    const char *nt = nest_print(c->ir.nest[k], a);
    nest_reads_back(a, nt, ds);
    if (!c->ir.kernel[k]) /* a packing */
        return;
    const char *kt = kernel_print(c->ir.kernel[k], a);
    const struct kernel *kernel = kernel_parse(a, kt, ds, 0);
    if (!kernel) {
        diag_print(ds, stderr, false);
        fail_msg("kernel %u does not parse:\n%s", k, kt);
    }
    assert_null(kernel_validate(kernel, a));
    assert_string_equal(kernel_print(kernel, a), kt);
    kernel_makes(a, kernel, c->ir.target, nt);
}

/* Of a compilation its results stay; what it took to get there is larger. */
static void only_results_stay(const struct compiled *c)
{
    enum { PER_KERNEL = 180 << 10 };
    assert_in_range(arena_bytes(c->arena), 1, (size_t)c->plan->nkernel * PER_KERNEL);
}

static void texts_read_back(void **state)
{
    struct compiled *c = model_compile(with_batch(state));
    struct arena *a = arena_new();
    graph_reads_back(a, c);
    assert_true(c->plan->nkernel > 0);
    only_results_stay(c);
    for (uint32_t k = 0; k < c->plan->nkernel; k++) {
        struct arena *mine = arena_new();
        code_reads_back(mine, c, k);
        arena_free(mine);
    }
    compiled_free(c);
    arena_free(a);
}

int main(void)
{
    enum { MODELS = 10, KINDS = 2 };
    struct CMUnitTest test[MODELS * KINDS];
    const struct CMUnitTest kind[KINDS] = {
        cmocka_unit_test(elaborated_models_train_alike),
        cmocka_unit_test(texts_read_back),
    };
    static struct model_case model[MODELS];
    size_t n = 0;
    for (unsigned i = 0; shipped_models[i].path; i++) {
        model[i] = shipped_models[i];
        for (size_t k = 0; k < KINDS; k++) {
            test[n] = kind[k];
            test[n++].initial_state = &model[i];
        }
    }
    return _cmocka_run_group_tests("round trips", test, n, model_cache_setup,
                                   model_cache_teardown);
}
