/*
 * Three whole cycles of the papers' models against values computed once with PyTorch in
 * double (tests/reference): losses, every gradient and every weight after its update, by
 * the norm of the difference over the norm of the reference, over each optimizer group.
 * 1e-9 in the double interpreter, 2e-4 in generated float code.
 *
 * Of models too large for a file of values there are sketches: of each tensor its norm and
 * its products with rows of random signs, whose differences are on average as large as the
 * difference's norm.
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

enum kind {
    PLAIN,    /* one phase, a step for each group */
    BY_PHASE, /* gradients are named by phase, too; one without a name is exactly 0 */
    SKETCHED, /* by phase */
    DRAWN,    /* sketched, and drawn weights */
    LAST      /* the weights after the last cycle are all there is */
};
struct reference {
    const char *folder, *backend;
    const char *file; /* the shipped model; NULL: model.yaml of the folder */
    const char *condition, *prefix;
    const char *const *set; /* up to NULL */
    enum kind kind;
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
    uint32_t losses, cycle;
    double worst;
    char worst_name[256];
};

static const char *in_source(const struct fixture *f, const char *file)
{
    const char *root = getenv("HYP_SOURCE_DIR");
    return arena_fmt(f->a, "%s/%s", root ? root : ".", file);
}

static const char *path_of(const struct fixture *f, const char *file)
{
    return in_source(f, arena_fmt(f->a, "tests/reference/%s/%s", f->r->folder, file));
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
    struct compile_options o = {
        .backend = f->r->backend,
        .threads = 2,
        .model = {.data_dir = dirs, .ndata_dir = 1, .condition = f->r->condition}};
    bool ok;
    o.model.set = (const char **)f->r->set;
    while (f->r->set && f->r->set[o.model.nset])
        o.model.nset++;
    f->c = compile_model(f->r->file ? in_source(f, f->r->file) : path_of(f, "model.yaml"),
                         &o, UNTIL_CODE, &ok);
    if (!ok) {
        diag_print(f->c->diags, stderr, false);
        fail_msg("%s does not compile", f->r->folder);
    }
}

static void open_data(struct fixture *f)
{
    const char *dirs[] = {path_of(f, "data")};
    struct hyp_source_desc d;
    struct hyp_error err = {0};
    hyp_source_defaults(&d);
    d.name = d.kind = "npy";
    d.scale[0] = f->c->plan->source[0].scale_lo;
    d.scale[1] = f->c->plan->source[0].scale_hi;
    if (data_open(&d, dirs, 1, NULL, &f->src, &err) != HYP_OK)
        fail_msg("%s", err.text);
}

/* As pad.py draws its bits. */
static uint32_t scrambled(uint64_t i, uint64_t stream)
{
    uint64_t x = i + (stream << 32);
    x = (x ^ (x >> 31)) * 0x9E3779B97F4A7C15U;
    x = (x ^ (x >> 29)) * 0xBF58476D1CE4E5B9U;
    return (uint32_t)(x >> 32);
}

static void put_number(const struct exec *x, void *at, uint64_t i, double v)
{
    if (x->plan->f64)
        ((double *)at)[i] = v;
    else
        ((float *)at)[i] = (float)v;
}

static void draw_weight(struct fixture *f, const struct hyp_tensor *t, uint64_t stream)
{
    uint8_t *at = f->x->segment[HYP_SEG_STATE] + t->offset;
    for (uint64_t i = 0; i < t->bytes / sizeof(float); i++)
        put_number(f->x, at, i, ((double)(scrambled(i, stream) >> 8) - 0x1p23) / 0x1p28);
}

static void load_weight(struct fixture *f, const struct hyp_tensor *t)
{
    const struct safetensor *from = safetensors_find(&f->init, t->name);
    if (!from)
        fail_msg("no initial value of %s", t->name);
    for (uint64_t i = 0; i < count(from); i++)
        put_number(f->x, f->x->segment[HYP_SEG_STATE] + t->offset, i, element(from, i));
}

static void set_weights(struct fixture *f)
{
    struct hyp_plan *p = f->c->plan;
    uint32_t weights = 0;
    for (uint32_t i = 0; i < p->ntensor; i++) {
        if (!p->tensor[i].weight)
            continue;
        if (f->r->kind == DRAWN)
            draw_weight(f, &p->tensor[i], weights);
        else
            load_weight(f, &p->tensor[i]);
        weights++;
    }
    assert_int_equal(weights, f->init.ntensor);
}

static void fill_input(struct fixture *f, const struct hyp_input *in)
{
    const struct hyp_field *field = &f->c->plan->source[in->source].field[in->field];
    const int k = data_field_find(data_fields(f->src), field->name);
    assert_true(k >= 0);
    const size_t n = BATCH * data_field_size(&data_fields(f->src)->field[k]);
    void *at = exec_address(f->x, in->buffer);
    if (field->is_int) {
        data_batch(f->src, (unsigned)k, f->cycle * BATCH, BATCH, at);
        return;
    }
    float *tmp = arena_array(f->a, n, sizeof *tmp);
    data_batch(f->src, (unsigned)k, f->cycle * BATCH, BATCH, tmp);
    for (size_t i = 0; i < n; i++)
        put_number(f->x, at, i, (double)tmp[i]);
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

static const char *name_of(const struct fixture *f, const char *kind, const char *rest)
{
    return arena_fmt(f->a, "%scycle%u/%s/%s", f->r->prefix ? f->r->prefix : "", f->cycle,
                     kind, rest);
}

static void check_losses(struct fixture *f, const struct hyp_phase *ph)
{
    for (uint32_t i = 0; i < ph->noutput; i++) {
        if (!ph->output[i].loss)
            continue;
        const char *name = name_of(f, "loss", ph->output[i].name);
        const struct safetensor *t = safetensors_find(&f->expect, name);
        if (!t)
            fail_msg("no reference for %s", name);
        judge(f, name, fabs(exec_number(f->x, &ph->output[i]) - element(t, 0)),
              fabs(element(t, 0)));
        f->losses++;
    }
}

/* Squares of the difference and of the reference, over a group. */
struct sums {
    double diff, norm;
};

static void add_sketch(const struct safetensor *want, const double *got, uint64_t n,
                       struct sums *sums)
{
    const uint64_t rows = count(want) - 1;
    for (uint64_t r = 0; r < rows; r++) {
        double product = 0;
        for (uint64_t i = 0; i < n; i++)
            product += scrambled(i, 1000) >> r & 1 ? got[i] : -got[i];
        product -= element(want, 1 + r);
        sums->diff += product * product / (double)rows;
    }
    sums->norm += element(want, 0) * element(want, 0);
}

static void add_values(struct fixture *f, const char *name, const double *got, uint64_t n,
                       struct sums *sums)
{
    const struct safetensor *want = safetensors_find(&f->expect, name);
    if (!want && f->r->kind == PLAIN)
        fail_msg("no reference for %s", name);
    if (want && (f->r->kind == SKETCHED || f->r->kind == DRAWN)) {
        add_sketch(want, got, n, sums);
        return;
    }
    assert_true(!want || count(want) == n);
    for (uint64_t i = 0; i < n; i++) {
        const double w = want ? element(want, i) : 0;
        if (!want && got[i] != 0)
            fail_msg("%s should be 0, found %g", name, got[i]);
        sums->diff += (got[i] - w) * (got[i] - w);
        sums->norm += w * w;
    }
}

static double *values_of(const struct fixture *f, const uint8_t *state,
                         const struct hyp_tensor *t, uint64_t *n)
{
    const void *at = state + t->offset;
    *n = t->bytes / (f->x->plan->f64 ? sizeof(double) : sizeof(float));
    double *out = arena_array(f->a, *n, sizeof *out);
    for (uint64_t i = 0; i < *n; i++)
        out[i] = f->x->plan->f64 ? ((const double *)at)[i] : (double)((const float *)at)[i];
    return out;
}

/* ---- gradients, from what Adam remembers of them ---- */

#define BETA1 0.5
#define DECAY 2e-5 /* of the first paper's networks; its critics and PAD have none */

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

static double updates(const struct fixture *f, const double *counter, const char *weight)
{
    const char *name = arena_fmt(f->a, "optimizer/%s/t", weight);
    for (uint32_t i = 0; i < f->c->plan->ncounter; i++)
        if (strcmp(f->c->plan->counter[i].name, name) == 0)
            return counter[i];
    fail_msg("no counter %s", name);
    return 0;
}

/* Weights and counters as they were before a phase. */
struct before {
    const uint8_t *state;
    const double *counter;
};

/* g = (m - beta1 m_before) / (1 - beta1) - decay * w_before */
static void add_gradient(struct fixture *f, const struct hyp_phase *ph,
                         const struct before *before, const struct hyp_tensor *t,
                         struct sums *sums)
{
    const bool by_phase = f->r->kind != PLAIN;
    const struct hyp_tensor *m = moment(f->c->plan, t->name);
    const double decay = by_phase || t->name[0] == 'D' ? 0 : DECAY;
    uint64_t n;
    if (updates(f, f->x->counter, t->name) == updates(f, before->counter, t->name))
        return;
    double *g = values_of(f, f->x->segment[HYP_SEG_STATE], m, &n);
    const double *old = values_of(f, before->state, m, &n);
    const double *w = values_of(f, before->state, t, &n);
    for (uint64_t i = 0; i < n; i++)
        g[i] = (g[i] - BETA1 * old[i]) / (1 - BETA1) - decay * w[i];
    const char *rest = by_phase ? arena_fmt(f->a, "%s/%s", ph->name, t->name) : t->name;
    add_values(f, name_of(f, "grad", rest), g, n, sums);
}

static void add_weight(struct fixture *f, const struct hyp_tensor *t, struct sums *sums)
{
    uint64_t n;
    const double *w = values_of(f, f->x->segment[HYP_SEG_STATE], t, &n);
    add_values(f, name_of(f, "param", t->name), w, n, sums);
}

/* ---- groups ---- */

/* The first part of a path names its group: D, up, down, q, p; E, G. */
static bool same_group(const char *x, const char *y)
{
    const size_t n = strcspn(x, ".");
    return n == strcspn(y, ".") && memcmp(x, y, n) == 0;
}

static bool first_of_group(const struct hyp_plan *p, uint32_t i)
{
    bool first = p->tensor[i].weight;
    for (uint32_t j = 0; j < i; j++)
        first = first &&
                !(p->tensor[j].weight && same_group(p->tensor[i].name, p->tensor[j].name));
    return first;
}

/* Gradients that `ph` took; ph NULL: weights. */
static void check_groups(struct fixture *f, const struct hyp_phase *ph,
                         const struct before *before)
{
    const struct hyp_plan *p = f->c->plan;
    for (uint32_t i = 0; i < p->ntensor; i++) {
        struct sums sums = {0};
        if (!first_of_group(p, i))
            continue;
        for (uint32_t j = i; j < p->ntensor; j++) {
            const struct hyp_tensor *t = &p->tensor[j];
            if (!t->weight || !same_group(p->tensor[i].name, t->name))
                continue;
            if (ph)
                add_gradient(f, ph, before, t, &sums);
            else
                add_weight(f, t, &sums);
        }
        const char *rest = arena_fmt(f->a, "%s/%s", ph ? ph->name : "", p->tensor[i].name);
        judge(f, name_of(f, ph ? "grad" : "param", rest), sqrt(sums.diff), sqrt(sums.norm));
    }
}

/* ---- cycles ---- */

static void run_phase(struct fixture *f, uint32_t phase)
{
    const struct hyp_plan *p = f->c->plan;
    const struct hyp_phase *ph = &p->phase[phase];
    const struct before before = {
        arena_copy(f->a, f->x->segment[HYP_SEG_STATE], p->segment_bytes[HYP_SEG_STATE]),
        arena_copy(f->a, f->x->counter, p->ncounter * sizeof *f->x->counter)};
    struct hyp_error err = {0};
    for (uint32_t i = 0; i < ph->ninput; i++)
        fill_input(f, &ph->input[i]);
    f->x->fixed[HYP_COUNTER_CYCLE] = f->x->fixed[HYP_COUNTER_STEP] = f->cycle;
    if (exec_phase(f->x, phase, BATCH, &err) != HYP_OK)
        fail_msg("%s", err.text);
    if (f->r->kind == LAST)
        return;
    check_losses(f, ph);
    check_groups(f, ph, &before);
}

static void run_cycle(struct fixture *f)
{
    const struct hyp_plan *p = f->c->plan;
    for (uint32_t i = 0; i < p->nphase; i++)
        if (p->phase[i].draw != UINT32_MAX && p->phase[i].loaded)
            run_phase(f, i);
    if (f->r->kind != LAST || f->cycle + 1 == CYCLES)
        check_groups(f, NULL, NULL);
}

static void three_cycles(void **state)
{
    struct fixture f = {.r = *state, .a = arena_new()};
    const double tolerance = strcmp(f.r->backend, "interp64") == 0 ? 1e-9 : 2e-4;
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
    for (f.cycle = 0; f.cycle < CYCLES; f.cycle++)
        run_cycle(&f);
    assert_true(f.losses > 0 || f.r->kind == LAST);
    printf("%s %s: worst %.3g at %s\n", f.r->folder, f.r->backend, f.worst, f.worst_name);
    if (!(f.worst <= tolerance))
        fail_msg("%s is off by %.3g, allowed %.3g", f.worst_name, f.worst, tolerance);
    exec_free(f.x);
    pool_free(f.pool);
    data_close(f.src);
    compiled_free(f.c);
    arena_free(f.a);
}

/* PAD's draws are fields of the data folder. */
#define PAD "graphs/papers/dreaming/pad.yaml"
#define PAD_DATA                                                                           \
    "probes=none", "data.all.source=npy", "data.photos.split=none",                        \
        "data.unseen.split=none", "data.scored.split=none", "settings.batch=8",            \
        "phases.nrem.nodes.p=mean(photos.p, over=batch)",                                  \
        "phases.nrem.nodes.tile=floor(mean(photos.tile, over=batch))",                     \
        "phases.nrem.nodes.u=(mean(photos.u, over=batch) + 128) / 256",                    \
        "phases.nrem.nodes.zr=E(where(tiles(u, tile) < p, 0, xn)).z"
#define PAD_DRAWS(eps) PAD_DATA, "phases.rem.nodes.mix=memory / 2 + photos." eps " / 2"
#define PAD_NARROW     "constants.width=4", "constants.latents=6"
static const char *const narrow[] = {PAD_DRAWS("eps"), PAD_NARROW, NULL};
/* All noise of a condition is that field; without REM, its phase is not in the cycle. */
#define PAD_NOISE PAD_DATA, PAD_NARROW, "functions.noise(x, std)=std * photos.eps"
static const char *const with_noise[] = {PAD_NOISE, NULL};
static const char *const without_rem[] = {PAD_NOISE, "schedule.cycle=[wake, nrem]", NULL};
#define CONDITION(name, set)                                                               \
    {                                                                                      \
        "pad", "interp64", PAD, name, name "/", set, SKETCHED, 2                           \
    }
static const char *const shipped[] = {PAD_DRAWS("eps_shipped"), NULL};

/* cifar-six with the channels of tests/reference/generate.py */
#define SIX "graphs/papers/adversarial-wake-sleep/cifar-six.yaml"
static const char *const six[] = {
    "data.all.source=npy", "data.photos.split=none",   "data.unseen=none",
    "probes=none",         "settings.batch=8",         "constants.c1=4",
    "constants.c2=5",      "constants.c3=6",           "constants.c4=7",
    "constants.c5=9",      "constants.seen1=4",        "constants.seen2=6",
    "constants.seen3=7",   "constants.image_hidden=5", NULL,
};

static const struct reference rows[] = {
    {.folder = "mnist-oscillation", .backend = "interp64", .threads = 2},
    {.folder = "mnist-global", .backend = "interp64", .threads = 1},
    {.folder = "mnist-vae", .backend = "interp64", .threads = 1},
    {.folder = "mnist-oscillation", .backend = "interp", .threads = 1},
    {.folder = "cifar-six", .backend = "interp64", .file = SIX, .set = six, .threads = 2},
    {"pad", "interp64", PAD, NULL, NULL, narrow, BY_PHASE, 2},
    {"pad", "interp64", PAD, "skip_missing", "skip/", narrow, LAST, 1},
    CONDITION("text_scale", with_noise),
    CONDITION("without_rem_text", without_rem),
    CONDITION("wake_only_text", without_rem),
    CONDITION("nrem_from_mix", with_noise),
#ifdef HYP_WITH_LLVM
    {.folder = "mnist-oscillation", .backend = "llvm", .threads = 2},
    {.folder = "mnist-global", .backend = "llvm", .threads = 2},
    {.folder = "mnist-vae", .backend = "llvm", .threads = 2},
    {.folder = "cifar-six", .backend = "llvm", .file = SIX, .set = six, .threads = 2},
    {"pad", "llvm", PAD, NULL, NULL, narrow, BY_PHASE, 2},
    {"pad", "llvm", PAD, "skip_missing", "skip/", narrow, LAST, 1},
    {"pad", "llvm", PAD, NULL, "shipped/", shipped, DRAWN, 2},
#endif
};
enum { ROWS = sizeof rows / sizeof *rows };

int main(void)
{
    struct CMUnitTest test[ROWS];
    char name[ROWS][64];
    for (unsigned i = 0; i < ROWS; i++) {
        const struct reference *r = &rows[i];
        snprintf(name[i], sizeof name[i], "%s%s %s", r->prefix ? r->prefix : "", r->folder,
                 r->backend);
        test[i] = (struct CMUnitTest){.name = name[i],
                                      .test_func = three_cycles,
                                      .initial_state = (void *)(uintptr_t)r};
    }
    return cmocka_run_group_tests_name("reference", test, NULL, NULL);
}
