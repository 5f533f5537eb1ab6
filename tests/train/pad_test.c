/*
 * Perturbed and adversarial dreaming: what a phase changes and what it leaves alone, to the
 * bit; slopes of its losses; what is stored when; what its schedule does with its gates,
 * its order and a checkpoint in the middle of an epoch.  reference_test.c compares the
 * numbers themselves.
 */
#include "tests/unit/cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/file.h"
#include "runtime/safetensors.h"
#include "runtime/train.h"
#include "tests/train/dreamer.h"
#include "tests/unit/scratch.h"

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%.17g, want %.17g within %g", got, want, tolerance);
}

/* ---- shapes ---- */

/* Weights as published: maps, kernel, and the bound of the biases at first. */
static const struct layer {
    const char *path;
    int32_t dim[4], bias;
    double bound;
} layers[] = {
    {"E.h1", {64, 3, 4, 4}, 64, .14434},     {"E.h2", {128, 64, 4, 4}, 128, .03125},
    {"E.h3", {256, 128, 4, 4}, 256, .02210}, {"E.z", {256, 256, 4, 4}, 256, .01563},
    {"E.d", {1, 256, 4, 4}, 1, .01563},      {"G.h1", {256, 256, 4, 4}, 256, .01563},
    {"G.h2", {256, 128, 4, 4}, 128, .02210}, {"G.h3", {128, 64, 4, 4}, 64, .03125},
    {"G", {64, 3, 4, 4}, 3, .14434},
};

static void check_layer(const struct dreamer *d, const struct layer *l)
{
    const char *path = arena_fmt(d->a, "%s.weight", l->path);
    const char *bias = arena_fmt(d->a, "%s.bias", l->path);
    const struct hyp_tensor *w = tensor(d, path), *b = tensor(d, bias);
    double square = 0, most = 0;
    assert_int_equal(w->rank, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(w->dim[i].c, l->dim[i]);
    assert_int_equal(count(b), l->bias);
    for (uint64_t i = 0; i < count(w); i++)
        square += values(d, path)[i] * values(d, path)[i];
    for (uint64_t i = 0; i < count(b); i++)
        most = fmax(most, fabs(values(d, bias)[i]));
    near(sqrt(square / (double)count(w)), 0.02, 0.001);
    assert_true(most <= l->bound + 5e-6);
    assert_true(most > 0.9 * l->bound || l->bias < 64);
}

static void check_shapes(const struct dreamer *d)
{
    uint64_t of_E = 0, of_G = 0;
    for (unsigned i = 0; i < sizeof layers / sizeof *layers; i++)
        check_layer(d, &layers[i]);
    for (uint32_t i = 0; i < d->p->ntensor; i++) {
        of_E += is_weight_of(&d->p->tensor[i], "E") ? count(&d->p->tensor[i]) : 0;
        of_G += is_weight_of(&d->p->tensor[i], "G") ? count(&d->p->tensor[i]) : 0;
    }
    assert_int_equal(of_E, 1711809);
    assert_int_equal(of_G, 1707459);
}

/* Multiplications of products, a sample, in a phase. */
static double multiplications(const struct dreamer *d, const char *phase)
{
    const struct graph *g = &d->c->program.graph;
    double sum = 0;
    for (node_id i = 1; i < g->nnode; i++) {
        const struct node *n = &g->node[i];
        double box = 1;
        if (n->op != OP_FORM || n->nin < 2 || g->region[n->region].kind != REGION_PHASE ||
            strcmp(g->region[n->region].name, phase) != 0)
            continue;
        for (unsigned k = 0; k < g->form[n->attr].naxis; k++)
            box *= g->form[n->attr].axis[k].b ? 1 : g->form[n->attr].axis[k].c;
        sum += box;
    }
    return sum / 1e6;
}

static bool mentions(const struct dreamer *d, const char *phase, const char *name)
{
    for (uint32_t p = 0; p < d->p->nphase; p++) {
        const struct hyp_phase *ph = &d->p->phase[p];
        for (uint32_t i = 0; strcmp(ph->name, phase) == 0 && i < ph->nop; i++)
            for (uint32_t e = ph->op[i].a; ph->op[i].op == HYP_OP_LAUNCH && e < ph->op[i].b;
                 e++)
                for (uint32_t k = 0; k < d->p->entry[e].nplace; k++) {
                    const char *at = d->p->entry[e].place[k].name;
                    if (strncmp(at, name, strlen(name)) == 0)
                        return true;
                }
    }
    return false;
}

/* One backward pass a phase, no head that is not read, no gradient of an image that nobody
 * wants: the published counts. */
static void check_work(const struct dreamer *d)
{
    near(multiplications(d, "wake"), 110.9, 0.1);
    near(multiplications(d, "nrem"), 73.7, 0.1);
    near(multiplications(d, "rem"), 107.5, 0.1);
    assert_true(mentions(d, "wake", "E.d") && mentions(d, "wake", "E.z"));
    assert_true(mentions(d, "nrem", "E.z") && !mentions(d, "nrem", "E.d"));
    assert_true(mentions(d, "rem", "E.d") && !mentions(d, "rem", "E.z"));
}

static void is_as_large_as_published(void **state)
{
    static const char *const set[] = {"constants.width=64", "constants.latents=256", NULL};
    struct dreamer d = wake_up("skip_missing", set);
    (void)state;
    check_shapes(&d);
    check_work(&d);
    sleep_well(&d);
}

/* ---- slopes ---- */

static double sign_of(uint64_t i, uint32_t stream)
{
    uint64_t x = (i + ((uint64_t)stream << 32)) * 0x9E3779B97F4A7C15U;
    x = (x ^ (x >> 29)) * 0xBF58476D1CE4E5B9U;
    return x >> 63 ? 1 : -1;
}

static void shift(const struct dreamer *d, const char *net, double h)
{
    for (uint32_t k = 0; k < d->p->ntensor; k++) {
        const struct hyp_tensor *t = &d->p->tensor[k];
        for (uint64_t i = 0; is_weight_of(t, net) && i < count(t); i++)
            values(d, t->name)[i] += h * sign_of(i, k);
    }
}

/* The gradient along a direction is `sign` times the central difference of the loss. */
static void slope_is(struct dreamer *d, const char *phase, const char *net, double sign)
{
    const double h = 1e-7;
    const struct memory m = remember(d);
    double along = 0, square = 0;
    run(d, phase);
    for (uint32_t k = 0; k < d->p->ntensor; k++) {
        const struct hyp_tensor *t = &d->p->tensor[k];
        const double *g = is_weight_of(t, net) ? gradient(d, &m, t) : NULL;
        for (uint64_t i = 0; g && i < count(t); i++) {
            along += g[i] * sign_of(i, k);
            square += g[i] * g[i];
        }
    }
    go_back(d, &m);
    shift(d, net, h);
    const double above = run(d, phase);
    go_back(d, &m);
    shift(d, net, -h);
    const double below = run(d, phase);
    go_back(d, &m);
    near(along, sign * (above - below) / (2 * h), 1e-6 * sqrt(square) + 1e-7);
}

static void losses_have_their_slopes(void **state)
{
    static const double gates[][3] = {{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {1, 1, 0.5}};
    struct dreamer d = wake_up(NULL, NULL);
    (void)state;
    for (unsigned i = 0; i < 4; i++) { /* KL alone; with the image; with d; all, noise */
        *setting(&d, "W") = gates[i][0];
        *setting(&d, "R") = gates[i][1];
        *setting(&d, "noise") = gates[i][2];
        slope_is(&d, "wake", "E", 1);
        slope_is(&d, "wake", "G", 1);
    }
    run(&d, "wake");
    slope_is(&d, "nrem", "E", 1);
    run(&d, "nrem");
    slope_is(&d, "rem", "E", 1);
    slope_is(&d, "rem", "G", -1); /* G ascends */
    sleep_well(&d);
}

/* Moments of 0, after which a gradient is twice the moment exactly. */
static void forget_gradients(const struct dreamer *d)
{
    for (uint32_t k = 0; k < d->p->ntensor; k++) {
        const struct hyp_tensor *t = &d->p->tensor[k];
        if (t->weight)
            memset(values(d, moment_of(d, t->name, "m")), 0, t->bytes);
    }
}

static void reversal_turns_the_dreamer_alone(void **state)
{
    static const char *const set[] = {"phases.rem.nodes.d=E(xd).d", NULL};
    struct dreamer d = wake_up(NULL, NULL), plain = wake_up(NULL, set);
    struct dreamer *both[] = {&d, &plain};
    struct memory m[2];
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        run(both[i], "wake");
        forget_gradients(both[i]);
        m[i] = remember(both[i]);
        run(both[i], "rem");
    }
    for (uint32_t k = 0; k < d.p->ntensor; k++) {
        const struct hyp_tensor *t = &d.p->tensor[k];
        if (!t->weight)
            continue;
        const double *g = gradient(&d, &m[0], t), *h = gradient(&plain, &m[1], t);
        for (uint64_t i = 0; i < count(t); i++)
            assert_true(g[i] == (t->name[0] == 'G' ? -h[i] : h[i]));
    }
    assert_false(all_unchanged(&d, &m[0], "G"));
    sleep_well(&plain);
    sleep_well(&d);
}

/* ---- what a phase leaves alone ---- */

/* After this step without a gradient the first moment is half of what it was. */
static bool took_a_phantom_step(const struct dreamer *d, const struct memory *m,
                                const char *weight)
{
    const char *name = moment_of(d, weight, "m");
    for (uint64_t i = 0; i < count(tensor(d, name)); i++)
        if (values(d, name)[i] != then(d, m, name)[i] / 2)
            return false;
    return !unchanged(d, m, weight);
}

static void zeroed_gradients_move_what_a_phase_does_not_reach(void **state)
{
    struct dreamer d = wake_up(NULL, NULL);
    (void)state;
    run(&d, "wake");
    struct memory m = remember(&d);
    run(&d, "nrem");
    assert_true(all_unchanged(&d, &m, "G"));
    assert_false(took_a_phantom_step(&d, &m, "E.z.weight"));
    assert_true(took_a_phantom_step(&d, &m, "E.d.weight"));
    assert_true(took_a_phantom_step(&d, &m, "E.d.bias"));
    m = remember(&d);
    run(&d, "rem");
    assert_false(took_a_phantom_step(&d, &m, "E.d.weight"));
    assert_true(took_a_phantom_step(&d, &m, "E.z.weight"));
    near(*counter(&d, "E.z.weight"), 3, 0);
    near(*counter(&d, "E.d.weight"), 3, 0);
    near(*counter(&d, "G.weight"), 2, 0);
    sleep_well(&d);
}

static void skipped_weights_stay(void **state)
{
    struct dreamer d = wake_up("skip_missing", NULL);
    (void)state;
    run(&d, "wake");
    struct memory m = remember(&d);
    run(&d, "nrem");
    assert_true(all_unchanged(&d, &m, "G"));
    assert_true(all_unchanged(&d, &m, "E.d"));
    assert_false(all_unchanged(&d, &m, "E.z"));
    m = remember(&d);
    run(&d, "rem");
    assert_true(all_unchanged(&d, &m, "E.z"));
    assert_false(all_unchanged(&d, &m, "E.d"));
    near(*counter(&d, "E.h1.weight"), 3, 0);
    near(*counter(&d, "E.z.weight"), 2, 0);
    near(*counter(&d, "E.d.weight"), 2, 0);
    sleep_well(&d);
}

static const char constant_gradients[] =
    "hypnograph: 1\n"
    "settings: {batch: 4}\n"
    "networks:\n"
    "  f(x):\n"
    "    weights: {always: {shape: []}, often: {shape: []}}\n"
    "    return: x * always, x * often\n"
    "phases:\n"
    "  wake: {nodes: {a: f(1)}, update: {f: 'a[0] + a[1]'}}\n"
    "  nrem: {nodes: {a: f(1)}, update: {f: 'a[0]'}}\n"
    "  rem:  {nodes: {a: f(1)}, update: {f: 'a[0] + a[1]'}}\n"
    "optimizers: {f: 'adam(lr=1, betas=[0.5, 0.999], missing_gradient=%s)'}\n"
    "schedule: {epochs: 1, cycle: [wake, nrem, rem]}\n";

static double steps_of(const char *how, const char *weight)
{
    enum { CYCLES = 500 };
    char text[1024];
    snprintf(text, sizeof text, constant_gradients, how);
    scratch_put_text("constant.yaml", text);
    struct dreamer d = wake_up_as(scratch_path("constant.yaml"));
    for (unsigned i = 0; i < CYCLES; i++) {
        run(&d, "wake");
        run(&d, "nrem");
        run(&d, "rem");
    }
    const double mean = -values(&d, weight)[0] / CYCLES;
    sleep_well(&d);
    return mean;
}

/* v averages the squares with a third of zeros: steps are larger by sqrt(3 / 2). */
static void zeros_lengthen_steps(void **state)
{
    (void)state;
    near(steps_of("zero", "f.always"), 3, 1e-6);
    near(steps_of("skip", "f.often"), 2, 1e-6);
    near(steps_of("zero", "f.often") / steps_of("skip", "f.often"), 1.2247, 2e-3);
}

/* ---- what is remembered ---- */

static bool same(const struct dreamer *d, const char *x, const char *y)
{
    return memcmp(values(d, x), values(d, y), BATCH * LATENTS * sizeof(double)) == 0;
}

static void memories_are_older_than_the_step(void **state)
{
    static const char *const still[] = {"optimizers.E=adam(lr=0)", NULL};
    struct dreamer d = wake_up(NULL, NULL), fixed = wake_up(NULL, still);
    (void)state;
    run(&fixed, "wake");
    run(&d, "wake");
    assert_memory_equal(values(&d, "Z"), values(&fixed, "Z"),
                        BATCH * LATENTS * sizeof(double));
    struct memory m = remember(&d);
    run(&d, "nrem");
    assert_true(unchanged(&d, &m, "Z") && unchanged(&d, &m, "Z_old"));
    run(&d, "rem");
    assert_true(unchanged(&d, &m, "Z") && same(&d, "Z", "Z_old"));
    run(&d, "wake"); /* the same images, by what the encoder is now */
    assert_false(unchanged(&d, &m, "Z") || same(&d, "Z", "Z_old"));
    sleep_well(&fixed);
    sleep_well(&d);
}

static void an_epoch_begins_without_an_old_memory(void **state)
{
    static const char *const set[] = {"state.seen=[latents]", "phases.rem.next.seen=memory",
                                      NULL};
    struct dreamer d = wake_up(NULL, set);
    (void)state;
    for (unsigned k = 0; k < 2 * EPOCH; k++) {
        const struct memory m = remember(&d);
        const double *old = then(&d, &m, "Z_old");
        at_cycle(&d, k / EPOCH, k % EPOCH);
        run(&d, "wake");
        run(&d, "rem");
        for (unsigned i = 0; i < BATCH * LATENTS; i++) {
            const double z = values(&d, "Z")[i];
            near(values(&d, "seen")[i], k % EPOCH ? (z + old[i]) / 2 : z, 1e-15);
        }
    }
    sleep_well(&d);
}

/* What REM dreams of in two cycles of the second epoch and, at first, of the run, as shares
 * of Z, of Z_old and the noise's deviation. */
static const struct dream {
    const char *condition;
    double share[3][3];
} dreams[] = {
    {"pad", {{.5, 0, .5}, {.5, 0, .5}, {.25, .25, .5}}},
    {"without_mix", {{1, 0, 0}, {1, 0, 0}, {1, 0, 0}}},
    {"noise_only", {{0, 0, 1}, {0, 0, 1}, {0, 0, 1}}},
    {"memories_only", {{1, 0, 0}, {1, 0, 0}, {.5, .5, 0}}},
    {"text_first", {{1, 0, 0}, {.25, .25, .5}, {.25, .25, .5}}},
    {"nrem_from_mix", {{.5, 0, .5}, {.5, 0, .5}, {.25, .25, .5}}},
};

static void check_dream(struct dreamer *d, const double share[3])
{
    const struct memory m = remember(d);
    const double *old = then(d, &m, "Z_old"), n = BATCH * LATENTS;
    double square = 0;
    run(d, "wake");
    run(d, "nrem");
    run(d, "rem");
    for (unsigned i = 0; i < BATCH * LATENTS; i++) {
        const double known = share[0] * values(d, "Z")[i] + share[1] * old[i];
        square += pow(values(d, "dreamt")[i] - known, 2);
    }
    near(sqrt(square / n), share[2], 3 * share[2] / sqrt(2 * n) + 1e-15);
}

static void conditions_dream_of_what_they_say(void **state)
{
    static const char *const set[] = {"state.dreamt=[latents]",
                                      "phases.rem.next.dreamt=mix", NULL};
    (void)state;
    for (unsigned i = 0; i < sizeof dreams / sizeof *dreams; i++) {
        struct dreamer d = wake_up(dreams[i].condition, set);
        for (unsigned k = 0; k < 3; k++) {
            at_cycle(&d, k > 0, k == 2);
            check_dream(&d, dreams[i].share[k]);
        }
        sleep_well(&d);
    }
}

/* ---- occlusion ---- */

enum { SIDE = 32, PLANE = SIDE * SIDE, IMAGE = 3 * PLANE };
static const char masks[] = "hypnograph: 1\n"
                            "settings: {batch: 4}\n"
                            "state:\n"
                            "  ones:         {shape: [3, 32, 32], init: 1}\n"
                            "  shared, own:  [3, 32, 32]\n"
                            "  share, size:  {shape: [], per: batch}\n"
                            "phases:\n"
                            "  look:\n"
                            "    nodes:\n"
                            "      p:    ~uniform(0, 1, per=batch)\n"
                            "      tile: ~uniform_int(1, 8, per=batch)\n"
                            "    next:\n"
                            "      shared: occlude(ones, p, tile, per=batch)\n"
                            "      own:    occlude(ones, 0.3, 4)\n"
                            "      share:  p\n"
                            "      size:   tile + 0.0\n"
                            "schedule: {epochs: 1, cycle: [look]}\n";

/* Tiles that are left, all of which are whole. */
static double tiles_left(const double *mask, int size)
{
    double left = 0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            const double first = mask[y / size * size * SIDE + x / size * size];
            assert_true(mask[y * SIDE + x] == first);
            left += first * (y % size == 0 && x % size == 0);
        }
    return left;
}

static void masks_are_tiles(void **state)
{
    enum { RUNS = 200 };
    double off = 0, variance = 0, share = 0;
    unsigned sizes = 0;
    (void)state;
    scratch_put_text("masks.yaml", masks);
    struct dreamer d = wake_up_as(scratch_path("masks.yaml"));
    for (unsigned k = 0; k < RUNS; k++) {
        run(&d, "look");
        const double *mask = values(&d, "shared"), p = values(&d, "share")[0];
        const int size = (int)values(&d, "size")[0];
        const double tiles = pow(ceil((double)SIDE / size), 2);
        for (unsigned i = 1; i < BATCH * 3; i++) /* all channels of all images */
            assert_memory_equal(mask + (size_t)i * PLANE, mask, PLANE * sizeof *mask);
        off += tiles_left(mask, size) - tiles * (1 - p);
        variance += tiles * p * (1 - p);
        share += p / RUNS;
        sizes |= 1U << size;
    }
    near(off, 0, 3 * sqrt(variance));
    near(share, 0.5, 3 / sqrt(12 * RUNS));
    assert_int_equal(sizes, 0x1fe);
    assert_memory_not_equal(values(&d, "own"), values(&d, "own") + IMAGE,
                            IMAGE * sizeof(double)); /* in evaluation, one an image */
    sleep_well(&d);
}

/* What `geometry_code` looks at: a mask of 8 x 8 tiles for each class, the same for all its
 * images in all cycles. */
static void classes_have_masks_of_their_own(void **state)
{
    static const char *const set[] = {"state.ones={shape: [3, 32, 32], init: 1}",
                                      "state.dark=[3, 32, 32]",
                                      "state.class=[]",
                                      "phases.wake.next.dark=shaded(ones, photos.label)",
                                      "phases.wake.next.class=photos.label + 0.0",
                                      NULL};
    struct dreamer d = wake_up(NULL, set);
    const double *first[10] = {0};
    double off = 0;
    unsigned again = 0, classes = 0;
    (void)state;
    for (unsigned i = 0; i < EPOCH * BATCH; i++) {
        if (i % BATCH == 0) {
            at_cycle(&d, 0, i / BATCH);
            run(&d, "wake");
        }
        const double *mask = values(&d, "dark") + (size_t)(i % BATCH) * IMAGE;
        const unsigned class = (unsigned)values(&d, "class")[i % BATCH];
        for (unsigned k = 1; k < 3; k++)
            assert_memory_equal(mask + (size_t)k * PLANE, mask, PLANE * sizeof *mask);
        again += first[class] != NULL;
        if (first[class]) {
            assert_memory_equal(mask, first[class], PLANE * sizeof *mask);
            continue;
        }
        for (unsigned k = 0; k < 10; k++)
            assert_true(!first[k] || memcmp(mask, first[k], PLANE * sizeof *mask) != 0);
        first[class] = arena_copy(d.a, mask, PLANE * sizeof *mask);
        off += tiles_left(mask, 4) - 64 * 0.7;
        classes++;
    }
    assert_true(again > 2 && classes > 2);
    near(off, 0, 3 * sqrt(64 * classes * 0.3 * 0.7));
    sleep_well(&d);
}

/* ---- gates ---- */

static void gates_close(void **state)
{
    struct dreamer d = wake_up(NULL, NULL);
    (void)state;
    *setting(&d, "W") = 0; /* nothing reaches G */
    struct memory m = remember(&d);
    run(&d, "wake");
    assert_true(unchanged(&d, &m, "G.h2.weight") && !unchanged(&d, &m, "E.h2.weight"));
    *setting(&d, "N") = 0; /* a step of zeros for all of E */
    m = remember(&d);
    near(run(&d, "nrem"), 0, 0);
    assert_true(took_a_phantom_step(&d, &m, "E.h1.weight"));
    assert_true(took_a_phantom_step(&d, &m, "E.z.weight"));
    *setting(&d, "R") = 0; /* d learns nothing */
    go_back(&d, &m);
    m = remember(&d);
    run(&d, "wake");
    for (uint64_t i = 0; i < count(tensor(&d, "E.d.weight")); i++)
        assert_true(gradient(&d, &m, tensor(&d, "E.d.weight"))[i] == 0);
    sleep_well(&d);
}

/* ---- whole runs ---- */

static const char *run_folder(const struct dreamer *d, const char *out, const char *file)
{
    return arena_fmt(d->a, "%s/%s/%s", scratch_dir, out, file);
}

static struct safetensors train_on(struct dreamer *d, struct pool *pool, const char *out,
                                   int64_t cycles, bool resume)
{
    const char *dir = in_source(d->a, "tests/reference/pad/data");
    const char *path = run_folder(d, out, "checkpoint.safetensors");
    struct hyp_run_options o;
    struct hyp_summary s;
    struct safetensors made = {0};
    struct hyp_error err = {0};
    uint8_t *bytes;
    size_t n;
    hyp_run_defaults(&o);
    o.out = arena_fmt(d->a, "%s/%s", scratch_dir, out);
    o.cycles = cycles;
    o.resume = resume;
    o.dirs = &dir;
    o.ndirs = 1;
    if (hyp_train(d->p, pool, &o, NULL, &s, &err) != HYP_OK ||
        file_read(path, 1U << 28, &bytes, &n, &err) != HYP_OK ||
        safetensors_parse(d->a, arena_copy(d->a, bytes, n), n, path, &made, &err) != HYP_OK)
        fail_msg("%s", err.text);
    hyp_summary_fini(&s);
    hyp_free(bytes);
    return made;
}

static struct safetensors train(struct dreamer *d, const char *out, int64_t cycles)
{
    return train_on(d, d->pool, out, cycles, false);
}

static const void *saved(const struct safetensors *s, const char *name)
{
    const struct safetensor *t = safetensors_find(s, name);
    if (!t)
        fail_msg("no `%s` in the checkpoint", name);
    return t->data;
}

/* Updates of E's trunk and heads and of G in four cycles. */
static void updates_are(const struct safetensors *s, int h, int z, int d, int G)
{
    const char *const name[] = {"E.h1.weight", "E.z.weight", "E.d.weight", "G.weight"};
    const int want[] = {h, z, d, G};
    for (unsigned i = 0; i < 4; i++) {
        char path[64];
        snprintf(path, sizeof path, "optimizer/%s/t", name[i]);
        assert_int_equal(*(const int64_t *)saved(s, path), want[i]);
    }
}

static void conditions_run_their_phases(void **state)
{
    static const struct {
        const char *condition, *set;
        int updates[4];
    } rows[] = {
        {"pad", NULL, {12, 12, 12, 8}},
        {"without_nrem", NULL, {12, 12, 12, 8}}, /* of zeros */
        {"without_rem", NULL, {8, 8, 8, 4}},
        {"wake_only", NULL, {8, 8, 8, 4}},
        {"rem_first", NULL, {12, 12, 12, 8}},
        {"skip_missing", NULL, {12, 8, 8, 8}},
        {"skip_missing", "settings.N=0", {8, 4, 8, 8}},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *set[] = {rows[i].set, NULL};
        struct dreamer d = wake_up(rows[i].condition, set);
        const struct safetensors s = train(&d, arena_fmt(d.a, "condition%u", i), 4);
        const int *u = rows[i].updates;
        const double *old = saved(&s, "Z_old");
        updates_are(&s, u[0], u[1], u[2], u[3]);
        assert_true((old[0] == 0) == (u[3] == 4)); /* stored by REM */
        sleep_well(&d);
    }
}

/* A cycle of the schedule is its phases one after another. */
static void phases_come_in_order(void **state)
{
    static const char *const order[][4] = {{"pad", "wake", "nrem", "rem"},
                                           {"rem_first", "wake", "rem", "nrem"}};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct dreamer d = wake_up(order[i][0], NULL);
        const struct safetensors s = train(&d, order[i][0], 2);
        for (unsigned cycle = 0; cycle < 2; cycle++) {
            at_cycle(&d, 0, cycle);
            for (unsigned k = 1; k < 4; k++)
                run(&d, order[i][k]);
        }
        for (uint32_t k = 0; k < d.p->ntensor; k++)
            assert_memory_equal(saved(&s, d.p->tensor[k].name),
                                values(&d, d.p->tensor[k].name), d.p->tensor[k].bytes);
        sleep_well(&d);
    }
}

/* On two threads, too. */
static void a_resumed_run_is_the_whole_one(void **state)
{
    static const char *const set[] = {"data.photos.order=random", NULL};
    static const char *const file[] = {"checkpoint.safetensors", "metrics.csv"};
    struct dreamer d = wake_up(NULL, set);
    struct pool *two;
    struct hyp_error err = {0};
    (void)state;
    assert_int_equal(pool_new(2, &two, &err), HYP_OK);
    train(&d, "whole", 8);
    train_on(&d, two, "parts", 4, false); /* an epoch and a cycle */
    train_on(&d, two, "parts", 8, true);
    pool_free(two);
    for (unsigned i = 0; i < 2; i++) {
        uint8_t *x, *y;
        size_t nx, ny;
        if (file_read(run_folder(&d, "whole", file[i]), 1U << 28, &x, &nx, &err) !=
                HYP_OK ||
            file_read(run_folder(&d, "parts", file[i]), 1U << 28, &y, &ny, &err) != HYP_OK)
            fail_msg("%s", err.text);
        assert_int_equal(nx, ny);
        assert_memory_equal(x, y, nx);
        hyp_free(x);
        hyp_free(y);
    }
    sleep_well(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_as_large_as_published),
        cmocka_unit_test(losses_have_their_slopes),
        cmocka_unit_test(reversal_turns_the_dreamer_alone),
        cmocka_unit_test(zeroed_gradients_move_what_a_phase_does_not_reach),
        cmocka_unit_test(skipped_weights_stay),
        cmocka_unit_test(zeros_lengthen_steps),
        cmocka_unit_test(memories_are_older_than_the_step),
        cmocka_unit_test(an_epoch_begins_without_an_old_memory),
        cmocka_unit_test(conditions_dream_of_what_they_say),
        cmocka_unit_test(masks_are_tiles),
        cmocka_unit_test(classes_have_masks_of_their_own),
        cmocka_unit_test(gates_close),
        cmocka_unit_test(conditions_run_their_phases),
        cmocka_unit_test(phases_come_in_order),
        cmocka_unit_test(a_resumed_run_is_the_whole_one),
    };
    return cmocka_run_group_tests_name("pad", tests, scratch_setup, scratch_teardown);
}
