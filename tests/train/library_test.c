/*
 * The library's losses, objectives and penalties, its convolutions and pools, a network
 * around each: values, first and second derivatives, and gradients for weights, against
 * PyTorch in double (tests/reference/ops, images and second: `library_test [FOLDER]`).  The
 * model is built and goes through all passes; its graph is evaluated as it is defined, in
 * double.  The derivatives are compared with differences of the values, too.
 */
#include "tests/train/library_case.h"

#include "tests/unit/cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "codegen/interp/graph_eval.h"
#include "compiler/front/model.h"
#include "compiler/passes/pass.h"
#include "runtime/base/arena.h"
#include "runtime/npy.h"

enum { BATCH = LIBRARY_BATCH, MOST_FIELDS = 64, MOST_WEIGHTS = 16 };
#define TOLERANCE 1e-9
/* Central differences: their step, and what step^2 and the rounding of values cost. */
#define STEP       1e-5
#define DIFFERENCE 1e-6

static const char *folder = "ops";

struct fixture {
    struct arena *a;
    struct library_case ref;
    const char *field[MOST_FIELDS];
    struct npy_array data[MOST_FIELDS];
    uint32_t nfield;
    struct program p;
    struct graph_eval eval;
    bool moved[MOST_FIELDS]; /* these fields are displaced by `move` times their u_FIELD */
    bool weights_moved;      /* and all weights by `move` times weight_step() */
    double move;
};

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
        const char *path = library_path(&f->ref, arena_fmt(f->a, "data/%s.npy", name));
        char *bytes = library_read(&f->ref, path, &n);
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
    const char *text = library_read(&f->ref, library_path(&f->ref, "model.yaml"), &n);
    read_fields(f, text);
    const char *path = library_model(&f->ref);
    struct model *m = model_load(f->a, ds, path, &o);
    unlink(path);
    refuse(ds, m && model_elaborate(m) && model_build(m, &f->p));
    refuse(ds, passes_run(&f->p, ds, &none));
}

/* Leaves */

static uint32_t field_of(const struct fixture *f, const char *name)
{
    for (uint32_t i = 0; i < f->nfield; i++)
        if (strcmp(f->field[i], name) == 0)
            return i;
    fail_msg("the model reads no field %s", name);
    return 0;
}

static void data_leaf(struct fixture *f, const char *path, int64_t n, double *out)
{
    const uint32_t i = field_of(f, strchr(path, '.') + 1);
    for (int64_t k = 0; k < n; k++)
        out[k] = npy_number(&f->data[i], (uint64_t)k);
    if (!f->moved[i])
        return;
    const uint32_t u = field_of(f, arena_fmt(f->a, "u_%s", f->field[i]));
    for (int64_t k = 0; k < n; k++)
        out[k] += f->move * npy_number(&f->data[u], (uint64_t)k);
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

/* Element i of the direction in which weights are displaced. */
static double weight_step(int64_t i)
{
    return cos((double)i + 1);
}

static void leaf(void *cx, const struct leaf *l, int64_t n, double *out)
{
    struct fixture *f = cx;
    const struct safetensor *t = safetensors_find(&f->ref.init, l->path);
    memset(out, 0, (size_t)n * sizeof *out);
    if (l->what == LEAF_DATA)
        data_leaf(f, l->path, n, out);
    else if (t)
        for (int64_t k = 0; k < n; k++)
            out[k] = library_number(t, k);
    else if (l->what == LEAF_STATE)
        initial(f, l->path, out);
    else if (l->what == LEAF_SETTING || strcmp(l->path, "batch_size") == 0)
        out[0] = BATCH;
    for (int64_t k = 0; f->weights_moved && l->what == LEAF_PARAM && k < n; k++)
        out[k] += f->move * weight_step(k);
}

/* Comparing */

static void compare(struct fixture *f, const struct safetensor *t, value_id v,
                    double *worst)
{
    double *got;
    assert_true(graph_eval(&f->eval, f->a, &v, 1, &got));
    const double error =
        library_error(t, got, type_elems(graph_type(&f->p.graph, v), BATCH));
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
            if ((x->why == ROOT_UPDATE || x->why == ROOT_COMMIT) &&
                strcmp(g->leaf[x->leaf].path, path) == 0)
                return x->value;
        }
    /* what no gradient reaches keeps its value */
    const leaf_id leaf_of = graph_find_leaf(g, LEAF_PARAM, path);
    assert_true(leaf_of != 0);
    return g->leaf[leaf_of].value;
}

/* Differences */

/* Elements of the node `name`, the moved fields displaced by `move`. */
static double *displaced(struct fixture *f, const char *name, double move, int64_t *n)
{
    double *out;
    const struct safetensor *t = safetensors_find(&f->ref.expect, name);
    assert_non_null(t);
    const value_id v = value_of(f, (uint32_t)(t - f->ref.expect.tensor), name);
    f->move = move;
    assert_true(graph_eval(&f->eval, f->a, &v, 1, &out));
    f->move = 0;
    *n = type_elems(graph_type(&f->p.graph, v), BATCH);
    return out;
}

/* The slope of `name` along the displacement against the node `slope`. */
static void differ(struct fixture *f, const char *name, const char *slope, double *worst)
{
    int64_t n, m;
    double d = 0, norm = 0, size = 0;
    const double *high = displaced(f, name, STEP, &n);
    const double *low = displaced(f, name, -STEP, &n);
    const double *want = displaced(f, slope, 0, &m);
    assert_int_equal(n, m);
    for (int64_t i = 0; i < n; i++) {
        const double got = (high[i] - low[i]) / (2 * STEP);
        d += (got - want[i]) * (got - want[i]);
        norm += want[i] * want[i];
        size += high[i] * high[i];
    }
    const double scale = sqrt(norm) + sqrt(size), error = scale > 0 ? sqrt(d) / scale : d;
    if (!(error <= DIFFERENCE))
        fail_msg("%s is not the slope of %s: off by %.3g", slope, name, error);
    *worst = error > *worst ? error : *worst;
}

/* A case is a value with "along.CASE"; its inputs are those of "d.CASE.INPUT".  `at` is
 * "eval." where a source evaluates it. */
static void differ_case(struct fixture *f, const char *at, const char *name, double *worst)
{
    const char *first = arena_fmt(f->a, "%sd.%s.", at, name);
    memset(f->moved, 0, sizeof f->moved);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < f->ref.expect.ntensor; i++) {
            const char *d = f->ref.expect.tensor[i].name;
            const char *input = d + strlen(first);
            if (strncmp(d, first, strlen(first)) != 0 || strchr(input, '.'))
                continue;
            if (pass == 0)
                f->moved[field_of(f, input)] = true;
            else
                differ(f, d, arena_fmt(f->a, "%sdd.%s.%s", at, name, input), worst);
        }
    }
    differ(f, arena_fmt(f->a, "%s%s", at, name), arena_fmt(f->a, "%salong.%s", at, name),
           worst);
}

/* The products, added up, of the gradients "w.CASE.PATH" with the direction; false: the
 * case has no weights. */
static bool slope_by_weights(struct fixture *f, const char *first, double *slope)
{
    value_id v[MOST_WEIGHTS];
    double *got[MOST_WEIGHTS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->ref.expect.ntensor; i++) {
        const char *name = f->ref.expect.tensor[i].name;
        if (strncmp(name, first, strlen(first)) != 0)
            continue;
        assert_true(n < MOST_WEIGHTS);
        v[n++] = value_of(f, i, name);
    }
    assert_true(graph_eval(&f->eval, f->a, v, n, got));
    *slope = 0;
    for (uint32_t i = 0; i < n; i++)
        for (int64_t k = 0; k < type_elems(graph_type(&f->p.graph, v[i]), BATCH); k++)
            *slope += got[i][k] * weight_step(k);
    return n > 0;
}

/* The value `name` along the displaced weights.  Not of spectral norms: what they stop is
 * no constant of the weights. */
static bool differ_weights(struct fixture *f, const char *at, const char *name,
                           double *worst)
{
    int64_t n;
    double want;
    const char *value = arena_fmt(f->a, "%s%s", at, name);
    if (strstr(name, "bounded") ||
        !slope_by_weights(f, arena_fmt(f->a, "%sw.%s.", at, name), &want))
        return false;
    memset(f->moved, 0, sizeof f->moved);
    f->weights_moved = true;
    const double high = *displaced(f, value, STEP, &n),
                 low = *displaced(f, value, -STEP, &n);
    f->weights_moved = false;
    const double error = fabs((high - low) / (2 * STEP) - want) / (fabs(want) + fabs(high));
    if (!(error <= DIFFERENCE))
        fail_msg("w.%s is not the slope of %s: off by %.3g", value, value, error);
    *worst = error > *worst ? error : *worst;
    return true;
}

static void differences(struct fixture *f)
{
    double worst = 0;
    uint32_t cases = 0;
    for (uint32_t i = 0; i < f->ref.expect.ntensor; i++) {
        const char *name = f->ref.expect.tensor[i].name;
        const char *at = strncmp(name, "eval.", 5) == 0 ? "eval." : "";
        name += strlen(at);
        cases += differ_weights(f, at, name, &worst);
        if (strncmp(name, "along.", 6) != 0)
            continue;
        differ_case(f, at, name + 6, &worst);
        cases++;
    }
    assert_true(cases > 0);
    printf("%u cases by differences, the worst off by %.2g\n", cases, worst);
}

static void library(void **state)
{
    double worst = 0;
    struct fixture f = {.a = arena_new()};
    (void)state;
    library_open(&f.ref, f.a, folder);
    build(&f);
    f.eval =
        (struct graph_eval){.graph = &f.p.graph, .batch = BATCH, .leaf = leaf, .cx = &f};
    for (uint32_t i = 0; i < f.ref.expect.ntensor; i++) {
        const struct safetensor *t = &f.ref.expect.tensor[i];
        compare(&f, t,
                library_is_after(t->name) ? after(&f, t->name + 6)
                                          : value_of(&f, i, t->name),
                &worst);
    }
    printf("%u values, the worst off by %.2g\n", f.ref.expect.ntensor, worst);
    differences(&f);
    arena_free(f.a);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(library)};
    if (argc > 1)
        folder = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
