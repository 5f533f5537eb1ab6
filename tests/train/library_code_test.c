/*
 * The library's cases (library_test.c) once more, as a run computes them: the whole plan
 * with its fused kernels, in the double interpreter and in generated float code (of the
 * many small kernels of `second` none is compiled: that takes long).
 */
#include "tests/train/library_case.h"

#include "tests/unit/cmocka_all.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/compile.h"
#include "runtime/base/arena.h"
#include "runtime/data.h"
#include "runtime/exec.h"

struct row {
    const char *folder, *backend;
    double tolerance;
};
struct fixture {
    const struct row *row;
    struct arena *a;
    struct library_case ref;
    const char *data; /* folder of the fields */
    struct compiled *c;
    struct pool *pool;
    struct exec *x, *beside; /* beside: evaluates, on the state before the cycle */
    struct data_src *src;
    double worst;
    const char *worst_name;
};

static void compile(struct fixture *f)
{
    const struct compile_options o = {.backend = f->row->backend,
                                      .threads = 2,
                                      .model = {.data_dir = &f->data, .ndata_dir = 1}};
    bool ok;
    const char *path = library_model(&f->ref);
    f->c = compile_model(path, &o, UNTIL_CODE, &ok);
    unlink(path);
    if (ok)
        return;
    diag_print(f->c->diags, stderr, false);
    fail_msg("%s does not compile", f->row->folder);
}

static void require(enum hyp_status s, const struct hyp_error *err)
{
    if (s != HYP_OK)
        fail_msg("%s", err->text);
}

static void put(const struct exec *x, void *to, int64_t i, double v)
{
    if (x->plan->f64)
        ((double *)to)[i] = v;
    else
        ((float *)to)[i] = (float)v;
}

static void set_state(struct fixture *f)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < f->c->plan->ntensor; i++) {
        const struct hyp_tensor *to = &f->c->plan->tensor[i];
        const struct safetensor *t = safetensors_find(&f->ref.init, to->name);
        for (int64_t k = 0; t && k < library_size(t); k++)
            put(f->x, f->x->segment[HYP_SEG_STATE] + to->offset, k, library_number(t, k));
        found += t != NULL;
    }
    assert_int_equal(found, f->ref.init.ntensor);
    exec_copy_state(f->beside, f->x);
}

static void start(struct fixture *f)
{
    struct hyp_source_desc d;
    struct hyp_error err = {0};
    hyp_source_defaults(&d);
    d.name = d.kind = "npy";
    require(data_open(&d, &f->data, 1, NULL, &f->src, &err), &err);
    require(pool_new(2, &f->pool, &err), &err);
    require(exec_new(f->c->plan, f->pool, 0, &f->x, &err), &err);
    require(exec_init(f->x, &err), &err);
    require(exec_new_beside(f->x, &f->beside, &err), &err);
    set_state(f);
}

static void fill(struct fixture *f, struct exec *x, const struct hyp_phase *ph)
{
    for (uint32_t i = 0; i < ph->ninput; i++) {
        const struct hyp_field *field =
            &x->plan->source[ph->input[i].source].field[ph->input[i].field];
        const int at = data_field_find(data_fields(f->src), field->name);
        assert_true(at >= 0);
        const size_t n = LIBRARY_BATCH * data_field_size(&data_fields(f->src)->field[at]);
        float *tmp = arena_array(f->a, n, sizeof *tmp); /* or int32_t, as big */
        void *to = exec_address(x, ph->input[i].buffer);
        data_batch(f->src, (unsigned)at, 0, LIBRARY_BATCH, tmp);
        if (field->is_int)
            memcpy(to, tmp, n * sizeof *tmp);
        for (size_t k = 0; !field->is_int && k < n; k++)
            put(x, to, (int64_t)k, (double)tmp[k]);
    }
}

static void run(struct fixture *f, struct exec *x, uint32_t phase)
{
    struct hyp_error err = {0};
    if (x->plan->load_phase)
        require(x->plan->load_phase(x->plan, phase, &err), &err);
    fill(f, x, &x->plan->phase[phase]);
    require(exec_phase(x, phase, LIBRARY_BATCH, &err), &err);
}

static void judge(struct fixture *f, const struct safetensor *t, const double *got,
                  int64_t n)
{
    const double error = library_error(t, got, n);
    if (!(error <= f->row->tolerance))
        fail_msg("%s is off by %.3g", t->name, error);
    if (error >= f->worst) {
        f->worst = error;
        f->worst_name = t->name;
    }
}

static void check_probe(struct fixture *f, uint32_t i)
{
    const struct hyp_plan *p = f->c->plan;
    const char *name = arena_fmt(f->a, "p%u", i);
    uint32_t k = 0;
    while (k < p->nprobe && strcmp(p->probe[k].name, name) != 0)
        k++;
    assert_true(k < p->nprobe && p->probe[k].nvalue == 1);
    const struct hyp_probe_value *v = &p->probe[k].value[0];
    const struct hyp_output *o = &p->phase[v->phase].output[v->output];
    const int64_t n = library_size(&f->ref.expect.tensor[i]);
    double *got = arena_array(f->a, (size_t)n, sizeof *got);
    exec_read(v->source < 0 ? f->x : f->beside, o->buffer, o->dtype, 0, n, got);
    judge(f, &f->ref.expect.tensor[i], got, n);
}

static void check_after(struct fixture *f, const struct safetensor *t)
{
    const struct hyp_plan *p = f->c->plan;
    const int64_t n = library_size(t);
    double *got = arena_array(f->a, (size_t)n, sizeof *got);
    for (uint32_t i = 0; i < p->ntensor; i++) {
        const void *at = f->x->segment[HYP_SEG_STATE] + p->tensor[i].offset;
        if (strcmp(p->tensor[i].name, t->name + strlen("after.")) != 0)
            continue;
        for (int64_t k = 0; k < n; k++)
            got[k] = p->f64 ? ((const double *)at)[k] : (double)((const float *)at)[k];
        judge(f, t, got, n);
        return;
    }
    fail_msg("no tensor for %s", t->name);
}

/* The cycle with its probes, and before it what the source evaluates. */
static void run_all(struct fixture *f)
{
    const struct hyp_plan *p = f->c->plan;
    for (uint32_t i = 0; i < p->nphase; i++) {
        bool evaluates = false;
        for (uint32_t k = 0; k < p->nprobe; k++)
            evaluates = evaluates || (p->probe[k].value[0].phase == i &&
                                      p->probe[k].value[0].source >= 0);
        if (evaluates)
            run(f, f->beside, i);
    }
    for (uint32_t i = 0; i < p->nphase; i++)
        if (p->phase[i].draw != UINT32_MAX && p->phase[i].with_probes >= 0)
            run(f, f->x, (uint32_t)p->phase[i].with_probes);
}

static void code(void **state)
{
    struct fixture f = {.row = *state, .a = arena_new()};
    library_open(&f.ref, f.a, f.row->folder);
    f.data = library_path(&f.ref, "data");
    compile(&f);
    start(&f);
    run_all(&f);
    for (uint32_t i = 0; i < f.ref.expect.ntensor; i++)
        if (library_is_after(f.ref.expect.tensor[i].name))
            check_after(&f, &f.ref.expect.tensor[i]);
        else
            check_probe(&f, i);
    printf("%s %s: worst %.2g at %s\n", f.row->folder, f.row->backend, f.worst,
           f.worst_name);
    exec_free(f.beside);
    exec_free(f.x);
    pool_free(f.pool);
    data_close(f.src);
    compiled_free(f.c);
    arena_free(f.a);
}

#define ROW(folder, backend, tolerance)                                                    \
    {                                                                                      \
#folder " " #backend, code, NULL, NULL, (void *)&(const struct row)                \
        {                                                                                  \
#folder, #backend, tolerance                                                   \
        }                                                                                  \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(ops, interp64, 1e-9), ROW(images, interp64, 1e-9), ROW(second, interp64, 1e-9),
#ifdef HYP_WITH_LLVM
        ROW(ops, llvm, 2e-4),     ROW(images, llvm, 2e-4),
#endif
    };
    return cmocka_run_group_tests_name("library_code", tests, NULL, NULL);
}
