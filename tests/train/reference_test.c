/*
 * Three whole cycles of the paper's models against values computed once with PyTorch in
 * double (tests/reference): losses and every weight after its update, by the norm of the
 * difference over the norm of the reference, over each optimizer group.  1e-9 in the double
 * interpreter, 2e-4 in generated float code.
 */
#include "tests/unit/cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/compile.h"
#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/file.h"
#include "runtime/data.h"
#include "runtime/exec.h"
#include "runtime/safetensors.h"

#define CYCLES 3
#define BATCH  8

struct reference {
    const char *model, *backend;
    double tolerance;
    unsigned threads;
};
struct fixture {
    const struct reference *r;
    struct arena *a;
    struct safetensors init, expect;
    struct compiled *c;
    struct pool *pool;
    struct exec *x;
    struct data_src *src;
    double worst;
    char worst_name[256];
};

static const char *path_of(const struct fixture *f, const char *file)
{
    const char *root = getenv("HYP_SOURCE_DIR");
    return arena_fmt(f->a, "%s/tests/reference/%s/%s", root ? root : ".", f->r->model,
                     file);
}

static struct safetensors read_tensors(struct fixture *f, const char *file)
{
    struct safetensors s = {0};
    struct hyp_error err = {0};
    uint8_t *bytes;
    size_t n;
    const char *path = path_of(f, file);
    if (file_read(path, 1U << 28, &bytes, &n, &err) != HYP_OK ||
        safetensors_parse(f->a, arena_copy(f->a, bytes, n), n, path, &s, &err) != HYP_OK)
        fail_msg("%s", err.text);
    hyp_free(bytes);
    return s;
}

static double element(const struct safetensor *t, uint64_t i)
{
    return t->dtype == SAFETENSORS_F64 ? ((const double *)t->data)[i]
                                       : (double)((const float *)t->data)[i];
}

static uint64_t count(const struct safetensor *t)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        n *= t->dim[i];
    return n;
}

/* ---- running ---- */

static void compile(struct fixture *f)
{
    const char *dirs[] = {path_of(f, "data")};
    struct compile_options o = {.backend = f->r->backend,
                                .threads = 2,
                                .model = {.data_dir = dirs, .ndata_dir = 1}};
    bool ok;
    f->c = compile_model(path_of(f, "model.yaml"), &o, UNTIL_CODE, &ok);
    if (!ok) {
        diag_print(f->c->diags, stderr, false);
        fail_msg("%s does not compile", f->r->model);
    }
}

static void open_data(struct fixture *f)
{
    const char *dirs[] = {path_of(f, "data")};
    struct hyp_source_desc d;
    struct hyp_error err = {0};
    hyp_source_defaults(&d);
    d.name = d.kind = "npy";
    if (data_open(&d, dirs, 1, NULL, &f->src, &err) != HYP_OK)
        fail_msg("%s", err.text);
}

static void put_floats(const struct exec *x, void *at, const struct safetensor *t)
{
    for (uint64_t i = 0; i < count(t); i++)
        if (x->plan->f64)
            ((double *)at)[i] = element(t, i);
        else
            ((float *)at)[i] = (float)element(t, i);
}

static void set_weights(struct fixture *f)
{
    struct hyp_plan *p = f->c->plan;
    uint32_t weights = 0;
    for (uint32_t i = 0; i < p->ntensor; i++) {
        if (!p->tensor[i].weight)
            continue;
        const struct safetensor *t = safetensors_find(&f->init, p->tensor[i].name);
        if (!t)
            fail_msg("no initial value of %s", p->tensor[i].name);
        put_floats(f->x, f->x->segment[HYP_SEG_STATE] + p->tensor[i].offset, t);
        weights++;
    }
    assert_int_equal(weights, f->init.ntensor);
}

static void fill_inputs(struct fixture *f, const struct hyp_phase *ph, uint32_t cycle)
{
    const struct hyp_plan *p = f->c->plan;
    for (uint32_t i = 0; i < ph->ninput; i++) {
        const struct hyp_source *s = &p->source[ph->input[i].source];
        const int field =
            data_field_find(data_fields(f->src), s->field[ph->input[i].field].name);
        assert_true(field >= 0);
        const size_t n = BATCH * data_field_size(&data_fields(f->src)->field[field]);
        float *tmp = arena_array(f->a, n, sizeof *tmp);
        data_batch(f->src, (unsigned)field, cycle * BATCH, BATCH, tmp);
        void *at = exec_address(f->x, ph->input[i].buffer);
        for (size_t k = 0; k < n; k++)
            if (p->f64)
                ((double *)at)[k] = (double)tmp[k];
            else
                ((float *)at)[k] = tmp[k];
    }
}

/* ---- comparing ---- */

static void judge(struct fixture *f, const char *name, double diff, double norm)
{
    const double relative = norm > 0 ? diff / norm : diff;
    if (!(relative <= f->worst)) {
        f->worst = relative;
        snprintf(f->worst_name, sizeof f->worst_name, "%s", name);
    }
}

static void check_losses(struct fixture *f, const struct hyp_phase *ph, uint32_t cycle)
{
    uint32_t seen = 0;
    for (uint32_t i = 0; i < ph->noutput; i++) {
        if (!ph->output[i].loss)
            continue;
        const char *name = arena_fmt(f->a, "cycle%u/loss/%s", cycle, ph->output[i].name);
        const struct safetensor *t = safetensors_find(&f->expect, name);
        if (!t)
            fail_msg("no reference for %s", name);
        judge(f, name, fabs(exec_number(f->x, &ph->output[i]) - element(t, 0)),
              fabs(element(t, 0)));
        seen++;
    }
    assert_true(seen > 0);
}

/* The first part of a path names its group: D, up, down, q, p. */
static bool same_group(const char *x, const char *y)
{
    const size_t n = strcspn(x, ".");
    return n == strcspn(y, ".") && memcmp(x, y, n) == 0;
}

static void add_tensor(struct fixture *f, const struct hyp_tensor *t, const char *kind,
                       uint32_t cycle, double *diff, double *norm)
{
    const char *name = arena_fmt(f->a, "cycle%u/%s/%s", cycle, kind, t->name);
    const struct safetensor *want = safetensors_find(&f->expect, name);
    if (!want)
        fail_msg("no reference for %s", name);
    double *got = arena_array(f->a, count(want), sizeof *got);
    const uint8_t *at = f->x->segment[HYP_SEG_STATE] + t->offset;
    for (uint64_t i = 0; i < count(want); i++)
        got[i] = f->x->plan->f64 ? ((const double *)(const void *)at)[i]
                                 : (double)((const float *)(const void *)at)[i];
    for (uint64_t i = 0; i < count(want); i++) {
        *diff += (got[i] - element(want, i)) * (got[i] - element(want, i));
        *norm += element(want, i) * element(want, i);
    }
}

/* ---- gradients, from what Adam remembers of them ---- */

#define BETA1 0.5
#define DECAY 2e-5 /* of the networks; critics have none */

static const struct hyp_tensor *moment(const struct hyp_plan *p, const char *weight)
{
    for (uint32_t i = 0; i < p->ntensor; i++) {
        const char *n = p->tensor[i].name;
        if (strncmp(n, "optimizer/", 10) == 0 &&
            strncmp(n + 10, weight, strlen(weight)) == 0 &&
            strcmp(n + 10 + strlen(weight), "/m") == 0)
            return &p->tensor[i];
    }
    fail_msg("no first moment of %s", weight);
    return NULL;
}

static double state_at(const struct exec *x, const uint8_t *segment,
                       const struct hyp_tensor *t, uint64_t i)
{
    const void *at = segment + t->offset;
    return x->plan->f64 ? ((const double *)at)[i] : (double)((const float *)at)[i];
}

/* g = (m - beta1 m_before) / (1 - beta1) - decay * w_before */
static void add_gradient(struct fixture *f, const uint8_t *before,
                         const struct hyp_tensor *t, uint32_t cycle, double *diff,
                         double *norm)
{
    const char *name = arena_fmt(f->a, "cycle%u/grad/%s", cycle, t->name);
    const struct safetensor *want = safetensors_find(&f->expect, name);
    const struct hyp_tensor *m = moment(f->c->plan, t->name);
    const double decay = t->name[0] == 'D' ? 0 : DECAY;
    if (!want)
        fail_msg("no reference for %s", name);
    for (uint64_t i = 0; i < count(want); i++) {
        const double now = state_at(f->x, f->x->segment[HYP_SEG_STATE], m, i);
        const double g = (now - BETA1 * state_at(f->x, before, m, i)) / (1 - BETA1) -
                         decay * state_at(f->x, before, t, i);
        *diff += (g - element(want, i)) * (g - element(want, i));
        *norm += element(want, i) * element(want, i);
    }
}

static void check_groups(struct fixture *f, const uint8_t *before, uint32_t cycle)
{
    const struct hyp_plan *p = f->c->plan;
    for (uint32_t i = 0; i < p->ntensor; i++) {
        double diff = 0, norm = 0, gdiff = 0, gnorm = 0;
        bool first = p->tensor[i].weight;
        for (uint32_t j = 0; j < i; j++)
            first = first && !(p->tensor[j].weight &&
                               same_group(p->tensor[i].name, p->tensor[j].name));
        for (uint32_t j = i; first && j < p->ntensor; j++) {
            if (!p->tensor[j].weight || !same_group(p->tensor[i].name, p->tensor[j].name))
                continue;
            add_tensor(f, &p->tensor[j], "param", cycle, &diff, &norm);
            add_gradient(f, before, &p->tensor[j], cycle, &gdiff, &gnorm);
        }
        if (!first)
            continue;
        judge(f, arena_fmt(f->a, "cycle%u/param/%s", cycle, p->tensor[i].name), sqrt(diff),
              sqrt(norm));
        judge(f, arena_fmt(f->a, "cycle%u/grad/%s", cycle, p->tensor[i].name), sqrt(gdiff),
              sqrt(gnorm));
    }
}

static uint32_t training_phase(const struct hyp_plan *p)
{
    for (uint32_t i = 0; i < p->nphase; i++)
        if (p->phase[i].draw != UINT32_MAX)
            return i;
    fail_msg("no scheduled phase");
    return 0;
}

static void three_cycles(void **state)
{
    struct fixture f = {.r = *state, .a = arena_new()};
    struct hyp_error err = {0};

    f.init = read_tensors(&f, "init.safetensors");
    f.expect = read_tensors(&f, "expect.safetensors");
    compile(&f);
    open_data(&f);
    if (pool_new(f.r->threads, &f.pool, &err) != HYP_OK ||
        exec_new(f.c->plan, f.pool, 0, &f.x, &err) != HYP_OK ||
        exec_init(f.x, &err) != HYP_OK)
        fail_msg("%s", err.text);
    set_weights(&f);
    const uint32_t phase = training_phase(f.c->plan);
    for (uint32_t cycle = 0; cycle < CYCLES; cycle++) {
        const uint8_t *before = arena_copy(f.a, f.x->segment[HYP_SEG_STATE],
                                           f.c->plan->segment_bytes[HYP_SEG_STATE]);
        fill_inputs(&f, &f.c->plan->phase[phase], cycle);
        if (exec_phase(f.x, phase, BATCH, &err) != HYP_OK)
            fail_msg("%s", err.text);
        check_losses(&f, &f.c->plan->phase[phase], cycle);
        check_groups(&f, before, cycle);
    }
    printf("%s %s: worst %.3g at %s\n", f.r->model, f.r->backend, f.worst, f.worst_name);
    if (!(f.worst <= f.r->tolerance))
        fail_msg("%s is off by %.3g, allowed %.3g", f.worst_name, f.worst, f.r->tolerance);
    exec_free(f.x);
    pool_free(f.pool);
    data_close(f.src);
    compiled_free(f.c);
    arena_free(f.a);
}

#define ROW(model, backend, tolerance, threads)                                            \
    {                                                                                      \
#model " " backend, three_cycles, NULL, NULL, (void *)&(const struct reference)    \
        {                                                                                  \
            model, backend, tolerance, threads                                             \
        }                                                                                  \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW("mnist-oscillation", "interp64", 1e-9, 2),
        ROW("mnist-global", "interp64", 1e-9, 1),
        ROW("mnist-vae", "interp64", 1e-9, 1),
        ROW("mnist-oscillation", "interp", 2e-4, 1),
#ifdef HYP_WITH_LLVM
        ROW("mnist-oscillation", "llvm", 2e-4, 2),
        ROW("mnist-global", "llvm", 2e-4, 2),
        ROW("mnist-vae", "llvm", 2e-4, 2),
#endif
    };
    return cmocka_run_group_tests_name("reference", tests, NULL, NULL);
}
