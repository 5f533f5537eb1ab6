/*
 * The library's losses, objectives and penalties, its convolutions and pools: values, first
 * and second derivatives, and gradients for weights, against PyTorch in double
 * (tests/reference/ops and images: `library_test [FOLDER]`).  The model is built and goes
 * through all passes; its graph is evaluated as it is defined, in double.
 */
#include "tests/unit/cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codegen/interp/graph_eval.h"
#include "compiler/front/model.h"
#include "compiler/passes/pass.h"
#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/file.h"
#include "runtime/npy.h"
#include "runtime/safetensors.h"

enum { BATCH = 8, MOST_FIELDS = 64 };
#define TOLERANCE 1e-9

static const char *folder = "ops";

struct fixture {
    struct arena *a;
    struct safetensors init, expect;
    const char *field[MOST_FIELDS];
    struct npy_array data[MOST_FIELDS];
    uint32_t nfield;
    struct program p;
    struct graph_eval eval;
};

static const char *path_of(struct fixture *f, const char *file)
{
    const char *root = getenv("HYP_SOURCE_DIR");
    return arena_fmt(f->a, "%s/tests/reference/%s/%s", root ? root : ".", folder, file);
}

static char *read_bytes(struct fixture *f, const char *path, size_t *n)
{
    uint8_t *data = NULL;
    struct hyp_error err = {0};
    if (file_read(path, 1U << 26, &data, n, &err) != HYP_OK)
        fail_msg("%s", err.text);
    char *copy = arena_copy(f->a, data, *n + 1);
    hyp_free(data);
    return copy;
}

static struct safetensors read_tensors(struct fixture *f, const char *file)
{
    size_t n = 0;
    struct safetensors s;
    struct hyp_error err = {0};
    const char *path = path_of(f, file);
    char *bytes = read_bytes(f, path, &n);
    if (safetensors_parse(f->a, (uint8_t *)bytes, n, path, &s, &err) != HYP_OK)
        fail_msg("%s", err.text);
    return s;
}

/* The fields are those that the model's text names. */
static void read_fields(struct fixture *f, const char *text)
{
    for (const char *s = text; (s = strstr(s, "given.")) != NULL;) {
        s += strlen("given.");
        const size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyz_0123456789");
        const char *name = arena_strn(f->a, s, len);
        bool known = false;
        for (uint32_t i = 0; i < f->nfield && !known; i++)
            known = strcmp(f->field[i], name) == 0;
        if (known)
            continue;
        size_t n = 0;
        struct hyp_error err = {0};
        const char *path = path_of(f, arena_fmt(f->a, "data/%s.npy", name));
        char *bytes = read_bytes(f, path, &n);
        assert_true(f->nfield < MOST_FIELDS);
        if (npy_parse((uint8_t *)bytes, n, path, &f->data[f->nfield], &err) != HYP_OK)
            fail_msg("%s", err.text);
        f->field[f->nfield++] = name;
    }
}

static bool fields(void *cx, struct arena *a, const char *kind, const struct doc *entry,
                   struct model_field **field, uint32_t *n, const char **why)
{
    struct fixture *f = cx;
    (void)kind;
    (void)entry;
    (void)why;
    *n = f->nfield;
    *field = arena_array(a, *n, sizeof **field);
    for (uint32_t i = 0; i < *n; i++) {
        struct model_field *to = &(*field)[i];
        const struct npy_array *x = &f->data[i];
        *to = (struct model_field){.name = f->field[i],
                                   .is_int = x->type != NPY_F32 && x->type != NPY_F64,
                                   .rank = (uint8_t)(x->rank - 1)};
        for (uint32_t k = 1; k < x->rank; k++)
            to->dim[k - 1] = (int32_t)x->dim[k];
    }
    return true;
}

/* "w.CASE.PATH" is the gradient of CASE for a weight; everything else is a node. */
static char *expression(struct fixture *f, const char *name)
{
    size_t best = 0;
    if (strncmp(name, "w.", 2) != 0)
        return arena_str(f->a, name);
    name += 2;
    for (uint32_t i = 0; i < f->expect.ntensor; i++) {
        const char *other = f->expect.tensor[i].name;
        const size_t n = strlen(other);
        if (n > best && strncmp(name, other, n) == 0 && name[n] == '.')
            best = n;
    }
    assert_true(best > 0);
    return arena_fmt(f->a, "'grad(%.*s, %s)'", (int)best, name, name + best + 1);
}

static bool is_after(const char *name)
{
    return strncmp(name, "after.", 6) == 0;
}

/* The reference's model, with a probe for every value that is to be compared. */
static const char *write_model(struct fixture *f, const char *text)
{
    char *out = arena_fmt(f->a, "%sprobes:\n", text);
    char *path = arena_str(f->a, "/tmp/hypnograph-library-XXXXXX");
    struct hyp_error err = {0};
    for (uint32_t i = 0; i < f->expect.ntensor; i++)
        if (!is_after(f->expect.tensor[i].name))
            out = arena_fmt(f->a, "%s  p%u: {image: %s}\n", out, i,
                            expression(f, f->expect.tensor[i].name));
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    if (file_put(path, out, strlen(out), &err) != HYP_OK)
        fail_msg("%s", err.text);
    return path;
}

static void refuse(struct diag_sink *ds, bool ok)
{
    if (ok)
        return;
    diag_print(ds, stderr, false);
    fail_msg("the model does not compile");
}

static void build(struct fixture *f)
{
    size_t n = 0;
    struct diag_sink *ds = diag_sink_new(f->a, 100);
    struct model_options o = {.fields = fields, .cx = f};
    const struct pass_options none = {0};
    const char *text = read_bytes(f, path_of(f, "model.yaml"), &n);
    read_fields(f, text);
    const char *path = write_model(f, text);
    struct model *m = model_load(f->a, ds, path, &o);
    unlink(path);
    refuse(ds, m && model_elaborate(m) && model_build(m, &f->p));
    refuse(ds, passes_run(&f->p, ds, &none));
}

/* Leaves */

static void number(const struct safetensor *t, int64_t n, double *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = t->dtype == SAFETENSORS_F32 ? (double)((const float *)t->data)[i]
                                             : ((const double *)t->data)[i];
}

static void data_leaf(struct fixture *f, const char *path, int64_t n, double *out)
{
    for (uint32_t i = 0; i < f->nfield; i++)
        if (strcmp(f->field[i], strchr(path, '.') + 1) == 0)
            for (int64_t k = 0; k < n; k++)
                out[k] = npy_number(&f->data[i], (uint64_t)k);
}

static void initial(struct fixture *f, const char *path, double *out)
{
    const struct graph *g = &f->p.graph;
    const struct region *r = &g->region[f->p.init];
    for (uint32_t i = 0; i < r->nroot; i++) {
        if (strcmp(g->leaf[r->root[i].leaf].path, path) != 0)
            continue;
        double *v;
        assert_true(graph_eval(&f->eval, f->a, &r->root[i].value, 1, &v));
        memcpy(out, v,
               (size_t)type_elems(graph_type(g, r->root[i].value), BATCH) * sizeof *v);
    }
}

static void leaf(void *cx, const struct leaf *l, int64_t n, double *out)
{
    struct fixture *f = cx;
    const struct safetensor *t = safetensors_find(&f->init, l->path);
    memset(out, 0, (size_t)n * sizeof *out);
    if (l->what == LEAF_DATA)
        data_leaf(f, l->path, n, out);
    else if (t)
        number(t, n, out);
    else if (l->what == LEAF_STATE)
        initial(f, l->path, out);
    else if (l->what == LEAF_SETTING || strcmp(l->path, "batch_size") == 0)
        out[0] = BATCH;
}

/* Comparing */

static void compare(struct fixture *f, const struct safetensor *t, value_id v,
                    double *worst)
{
    double *got, *want, d = 0, norm = 0;
    const int64_t n = type_elems(graph_type(&f->p.graph, v), BATCH);
    int64_t size = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        size *= (int64_t)t->dim[i];
    if (n != size)
        fail_msg("%s has %d elements, the reference %d", t->name, (int)n, (int)size);
    assert_true(graph_eval(&f->eval, f->a, &v, 1, &got));
    want = arena_array(f->a, (size_t)n, sizeof *want);
    number(t, n, want);
    for (int64_t i = 0; i < n; i++) {
        d += (got[i] - want[i]) * (got[i] - want[i]);
        norm += want[i] * want[i];
    }
    const double error = norm > 1e-24 ? sqrt(d / norm) : sqrt(d);
    if (!(error <= TOLERANCE))
        fail_msg("%s is off by %.3g", t->name, error);
    *worst = error > *worst ? error : *worst;
}

static value_id value_of(struct fixture *f, uint32_t i, const char *name)
{
    const char *probe = arena_fmt(f->a, "p%u", i);
    for (uint32_t k = 0; k < f->p.nprobe; k++)
        if (strcmp(f->p.probe[k].name, probe) == 0 && f->p.probe[k].nvalue == 1)
            return f->p.probe[k].value[0].value;
    fail_msg("%s is no value of the model", name);
    return 0;
}

static value_id after(struct fixture *f, const char *path)
{
    const struct graph *g = &f->p.graph;
    for (uint32_t r = 1; r < g->nregion; r++)
        for (uint32_t i = 0; i < g->region[r].nroot; i++) {
            const struct root *x = &g->region[r].root[i];
            if (x->why == ROOT_UPDATE && strcmp(g->leaf[x->leaf].path, path) == 0)
                return x->value;
        }
    /* what no gradient reaches keeps its value */
    const leaf_id leaf_of = graph_find_leaf(g, LEAF_PARAM, path);
    assert_true(leaf_of != 0);
    return g->leaf[leaf_of].value;
}

static void library(void **state)
{
    double worst = 0;
    struct fixture f = {.a = arena_new()};
    (void)state;
    f.init = read_tensors(&f, "init.safetensors");
    f.expect = read_tensors(&f, "expect.safetensors");
    build(&f);
    f.eval =
        (struct graph_eval){.graph = &f.p.graph, .batch = BATCH, .leaf = leaf, .cx = &f};
    for (uint32_t i = 0; i < f.expect.ntensor; i++) {
        const struct safetensor *t = &f.expect.tensor[i];
        compare(&f, t,
                is_after(t->name) ? after(&f, t->name + 6) : value_of(&f, i, t->name),
                &worst);
    }
    printf("%u values, the worst off by %.2g\n", f.expect.ntensor, worst);
    arena_free(f.a);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(library)};
    if (argc > 1)
        folder = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
