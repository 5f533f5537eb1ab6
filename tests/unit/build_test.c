/*
 * What names and expressions mean: values, types, sites and paths of built models.
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
#include "runtime/base/arena.h"
#include "runtime/base/file.h"
#include "runtime/base/philox.h"

enum { BATCH = 2, MOST = 8 };

struct built {
    struct arena *a;
    struct diag_sink *ds;
    struct program p;
};

/* `given` has x [3], m [2, 3], k (labels) and a condition-like c; other sources are images.
 */
static bool fields(void *cx, struct arena *a, const char *kind, const struct doc *entry,
                   struct model_field **field, uint32_t *n, const char **why)
{
    static const struct model_field given[] = {{"x", false, 1, {3}},
                                               {"m", false, 2, {2, 3}},
                                               {"k", true, 0, {0}},
                                               {"s", false, 0, {0}}};
    static const struct model_field images[] = {{"image", false, 3, {1, 28, 28}},
                                                {"label", true, 0, {0}}};
    (void)cx;
    (void)entry;
    (void)why;
    const bool npy = strcmp(kind, "npy") == 0;
    *n = npy ? 4 : 2;
    *field = arena_copy(a, npy ? given : images, *n * sizeof **field);
    return true;
}

static struct built load(const char *path)
{
    struct built b = {.a = arena_new()};
    const struct model_options o = {.fields = fields};
    b.ds = diag_sink_new(b.a, 100);
    struct model *m = model_load(b.a, b.ds, path, &o);
    if (!m || !model_elaborate(m) || !model_build(m, &b.p)) {
        diag_print(b.ds, stderr, false);
        fail_msg("%s does not build", path);
    }
    const char *bad = graph_validate(&b.p.graph, b.a);
    if (bad)
        fail_msg("%s", bad);
    return b;
}

static struct built load_shipped(const char *name)
{
    struct arena *a = arena_new();
    const char *root = getenv("HYP_SOURCE_DIR");
    struct built b = load(arena_fmt(a, "%s/graphs/papers/adversarial-wake-sleep/%s",
                                    root ? root : ".", name));
    arena_free(a);
    return b;
}

static struct built load_text(const char *text)
{
    char path[] = "/tmp/hypnograph-build-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(file_put(path, text, strlen(text), NULL), HYP_OK);
    struct built b = load(path);
    unlink(path);
    return b;
}

/* Leaves: x = [s, s + 1, s + 2] of sample s, m = 0..5 plus 10 s, k = s + 1, s = s + 1/2. */
static void leaf(void *cx, const struct leaf *l, int64_t n, double *out)
{
    (void)cx;
    for (int64_t i = 0; i < n; i++) {
        if (strcmp(l->path, "given.x") == 0)
            out[i] = (double)(i / 3 + i % 3);
        else if (strcmp(l->path, "given.m") == 0)
            out[i] = (double)(i / 6 * 10 + i % 6);
        else if (strcmp(l->path, "given.k") == 0)
            out[i] = (double)i + 1;
        else if (strcmp(l->path, "given.s") == 0)
            out[i] = (double)i + 0.5;
        else if (strcmp(l->path, "batch_size") == 0)
            out[i] = BATCH;
        else if (l->what == LEAF_SETTING)
            out[i] = strcmp(l->path, "gain") == 0      ? 3
                     : strcmp(l->path, "list[1]") == 0 ? 7
                                                       : 5;
        else
            out[i] = 0;
    }
}

static double *evaluate(struct built *b, value_id v)
{
    double *out;
    const struct graph_eval e = {
        .graph = &b->p.graph, .batch = BATCH, .seed = 7, .leaf = leaf};
    assert_true(graph_eval(&e, b->a, &v, 1, &out));
    return out;
}

/* ---- values ---- */

struct row {
    const char *expr, *type;
    double want[MOST]; /* all elements, the samples first */
};
#define B "per sample"
#define S "shared"
static const struct row rows[] = {
    {"1 + 2 * 3 ** 2", "f32 " S, {19}},
    {"-2 ** 2", "f32 " S, {-4}},
    {"given.s / 2", "f32 " B, {0.25, 0.75}},
    {"given.k / 2", "f32 " B, {0.5, 1}},
    {"given.x[1]", "f32 " B, {1, 2}},
    {"given.x[1:]", "f32[2] " B, {1, 2, 2, 3}},
    {"given.x[-1]", "f32 " B, {2, 3}},
    {"given.m[1, 0:2]", "f32[2] " B, {3, 4, 13, 14}},
    {"given.x + [10, 20, 30]", "f32[3] " B, {10, 21, 32, 11, 22, 33}},
    {"[$gain, 1]", "f32[2] " S, {3, 1}},
    {"$list[1] + $list[0]", "f32 " S, {12}},
    {"sum(given.x)", "f32 " S, {9}},
    {"sum(given.x, over=units)", "f32 " B, {3, 6}},
    {"sum(given.x, over=batch)", "f32[3] " S, {1, 3, 5}},
    {"sum(given.m, over=0)", "f32[3] " B, {3, 5, 7, 23, 25, 27}},
    {"sum(given.m, over=[batch, 1])", "f32[2] " S, {36, 54}},
    {"sum(given.m, over=-1)", "f32[2] " B, {3, 12, 33, 42}},
    {"mean(given.m, keep=0)", "f32[2] " S, {6, 9}},
    {"mean(given.x)", "f32 " S, {1.5}},
    {"mean((given.x, given.s))", "f32 " S, {11.0 / 8}},
    {"sum((given.x, given.s), over=units)", "f32 " B, {3.5, 7.5}},
    {"norm((given.x, 2 * given.s), over=member)",
     "f32[2] " B,
     {2.23606797749979, 1, 3.7416573867739413, 3}},
    {"var(given.x, over=units)", "f32 " B, {2.0 / 3, 2.0 / 3}},
    {"var(given.x, over=batch, unbiased=true)", "f32[3] " S, {0.5, 0.5, 0.5}},
    {"std(given.x, over=batch)", "f32[3] " S, {0.5, 0.5, 0.5}},
    {"max(given.x)", "f32 " S, {3}},
    {"min(given.m, over=1)", "f32[2] " B, {0, 3, 10, 13}},
    {"argmax(given.x)", "i32 " B, {2, 2}},
    {"logsumexp(0 * given.x)", "f32 " B, {1.0986122886681098, 1.0986122886681098}},
    {"norm(given.x)", "f32 " B, {2.23606797749979, 3.7416573867739413}},
    {"unit_norm(0 * given.x)", "f32[3] " B, {0, 0, 0, 0, 0, 0}},
    {"dot(given.x, given.x)", "f32 " B, {5, 14}},
    {"correlation(given.x, -given.x)", "f32 " B, {-1, -1}},
    {"matmul(given.m, given.x)", "f32[2] " B, {5, 14, 68, 86}},
    {"matmul(given.x, transpose(reshape(arange(6), [2, 3])))", "f32[2] " B, {5, 14, 8, 26}},
    {"outer(given.x[0:2], [1, 2])", "f32[2, 2] " B, {0, 0, 1, 2, 1, 2, 2, 4}},
    {"flatten((given.x, given.s))", "f32[4] " B, {0, 1, 2, 0.5, 1, 2, 3, 1.5}},
    {"concat(given.x[0:1], [9])", "f32[2] " B, {0, 9, 1, 9}},
    {"split([1, 2, 3, 4], 2)[1]", "f32[2] " S, {3, 4}},
    {"roll([1, 2, 3], 1)", "f32[3] " S, {3, 1, 2}},
    {"roll(as_axis(given.s), -1)", "f32[B] " S, {1.5, 0.5}},
    {"as_samples(2 * as_axis(given.s))", "f32 " B, {1, 3}},
    {"expand(given.s, 2)", "f32[2] " B, {0.5, 0.5, 1.5, 1.5}},
    {"along([1, 2], given.m, 0) + 0 * given.m[:, 0:1]", "f32[2, 1] " B, {1, 2, 1, 2}},
    {"fill(given.s, 2)", "f32[2] " B, {0.5, 0.5, 1.5, 1.5}},
    {"linspace(1, 3, 3)", "f32[3] " S, {1, 2, 3}},
    {"eye(2)", "f32[2, 2] " S, {1, 0, 0, 1}},
    {"onehot(given.k, 3)", "f32[3] " B, {0, 1, 0, 0, 0, 1}},
    {"dim(given.m) + 10 * depth(given.m) + 100 * size(given.m)", "f32 " S, {623}},
    {"fill(1, dim(as_axis(given.x), 0))", "f32[B] " S, {1, 1}},
    {"given.x[given.k]", "f32 " B, {1, 3}},
    {"given.m[floor(given.s), given.k]", "f32 " B, {1, 15}},
    {"given.m[given.k, 1]", "f32 " B, {4, 0}}, /* out of range reads 0 */
    {"given.m[0:2, given.k]", "f32[2] " B, {1, 4, 12, 15}},
    {"given.m[1, $gain - 2]", "f32 " B, {4, 14}},
    {"reshape(arange(6), [2, 3])[:, given.k]", "f32[2] " B, {1, 4, 2, 5}},
    {"reshape(arange(6), [3, 2])[given.k]", "f32[2] " B, {2, 3, 4, 5}},
    {"arange(6)[floor($gain / 2)]", "f32 " S, {1}},
    {"(given.x > 1)[given.k]", "bool " B, {0, 1}},
    {"take(given.m, [3, 0])", "f32[2] " B, {3, 0, 13, 10}},
    {"take(given.m, floor(argmax(given.x) + given.k))", "f32 " B, {3, 14}},
    {"take(arange(4), given.k)", "f32 " B, {1, 2}},
    {"put(given.s, given.k, [2, 2])", "f32[2, 2] " B, {0, 0.5, 0, 0, 0, 0, 1.5, 0}},
    {"put(given.x, floor(given.x / 2), [2])", "f32[2] " B, {1, 2, 1, 5}},
    {"put(1, given.k, [3])", "f32[3] " B, {0, 1, 0, 0, 0, 1}},
    {"put(given.k > 1, 0, [1])", "f32[1] " B, {0, 1}},
    {"grad(given.m[floor(given.s), 1]**2, given.m)[0]", "f32[3] " B, {0, 2, 0, 0, 0, 0}},
    {"grad(put(given.x**2, floor(given.x / 2), [2])[1], given.x)",
     "f32[3] " B,
     {0, 0, 4, 0, 4, 6}},
    {"given.k == 2", "bool " B, {0, 1}},
    {"given.x > 1 and not (given.x > 2)", "bool[3] " B, {0, 0, 1, 0, 1, 0}},
    {"where(given.s > 1, given.x, -1)", "f32[3] " B, {-1, -1, -1, 1, 2, 3}},
    {"where(training, 1, 2)", "f32 " S, {1}},
    {"floor(given.s)", "i32 " B, {0, 1}},
    {"mod(-given.s, 2)", "f32 " B, {1.5, 0.5}},
    {"clip(given.x, 1, 2)", "f32[3] " B, {1, 1, 2, 1, 2, 2}},
    {"((given.x, given.s) * 2 + (1, 2))[1]", "f32 " B, {3, 5}},
    {"map(relu, (given.x - 1, -given.s))[0]", "f32[3] " B, {0, 0, 1, 0, 1, 2}},
    {"chain(grow(_, by=2), given.s, 3)", "f32 " B, {6.5, 7.5}},
    {"grad(given.x**3, given.x)", "f32[3] " B, {0, 3, 12, 3, 12, 27}},
    {"grad(grad(given.x**3, given.x), given.x)", "f32[3] " B, {0, 6, 12, 6, 12, 18}},
    {"grad(given.s * sum(given.x, over=units), (given.x, given.s))[1]", "f32 " B, {3, 6}},
    {"grad(stop(given.s) * given.s, given.s)", "f32 " B, {0.5, 1.5}},
    {"grad(scale_grad(given.s, -2) * 3, given.s)", "f32 " B, {-6, -6}},
    {"grad(norm(0 * given.x), given.x)", "f32[3] " B, {0}},
    {"log_prob(normal(0, 2), given.s)", "f32 " B, {-1.643335713764618, -1.893335713764618}},
    {"kl(normal(1, 2), normal())", "f32 " S, {1.3068528194400546}},
    {"entropy(normal(0, 1))", "f32 " S, {1.4189385332046727}},
    {"log_prob(uniform(0, 2), given.s)",
     "f32 " B,
     {-0.6931471805599453, -0.6931471805599453}},
    {"mean_of(drawn) + std_of(drawn)", "f32 " B, {4, 4}},
    {"batch_size", "f32 " S, {2}},
    {"pair.b[0]", "f32 " B, {0, 2}},
    {"pair(given.x).b[1] + named", "f32 " B, {4, 8}},
};

static const char *const head = "hypnograph: 1\n"
                                "settings: {batch: 2, gain: 3, list: [5, 7]}\n"
                                "data: {given: {source: npy, batch: $batch}}\n"
                                "functions:\n"
                                "  grow(x, by=1): x + by\n"
                                "networks:\n"
                                "  pair(x):\n"
                                "    a: x + 0\n"
                                "    b: a * 2\n"
                                "    return: a, b\n"
                                "phases:\n"
                                "  run:\n"
                                "    nodes:\n"
                                "      drawn: 2 * (1 - ~normal(0, 1, per=sample)) / 1 + 0\n"
                                "      pair: pair(given.x)\n"
                                "      first, second: pair(given.x)\n"
                                "      named: second[1]\n";

static void values(void **state)
{
    struct arena *a = arena_new();
    char *text = arena_str(a, head);
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        text = arena_fmt(a, "%s      n%u: %s\n", text, i, rows[i].expr);
    text = arena_fmt(a, "%sschedule: {epochs: 1, cycle: [run]}\nprobes:\n", text);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        text = arena_fmt(a, "%s  p%u: {image: n%u}\n", text, i, i);
    struct built b = load_text(text);
    const struct pass_options none = {0};
    if (!passes_run(&b.p, b.ds, &none)) {
        diag_print(b.ds, stderr, false);
        fail();
    }
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        const value_id v = b.p.probe[i].value[0].value;
        const struct type *t = graph_type(&b.p.graph, v);
        const char *type = type_print(t, b.a);
        if (strcmp(type, rows[i].type) != 0)
            fail_msg("%s is %s, not %s", rows[i].expr, type, rows[i].type);
        const double *got = evaluate(&b, v);
        for (int64_t k = 0; k < type_elems(t, BATCH); k++)
            if (!(fabs(got[k] - rows[i].want[k]) <= 1e-12))
                fail_msg("%s: element %d is %.17g, not %.17g", rows[i].expr, (int)k, got[k],
                         rows[i].want[k]);
    }
    arena_free(b.a);
    arena_free(a);
}

/* ---- draws ---- */

static double word(const char *site, uint32_t sample, uint32_t element)
{
    return (double)(hyp_random_word(7, hyp_site(site), 0, sample, element) >> 8) * 0x1p-24;
}

static void draws(void **state)
{
    static const char *const text =
        "phases:\n  run:\n    nodes:\n"
        "      u: ~uniform(0, 1, shape=[2, 3])\n"
        "      v: ~uniform(2, 4, per=batch)\n"
        "      w: noisy(u) + noisy(u)\n"
        "      i: ~uniform_int(3, 5, shape=[4])\n"
        "      m: concat(map(noisy, (u, u))[1], map(noisy, (u, u))[1])\n"
        "schedule: {epochs: 1, cycle: [run]}\n"
        "probes:\n  u: {image: u}\n  v: {image: v}\n  w: {image: w}\n  i: {image: i}\n"
        "  m: {image: m}\n"
        "functions:\n  noisy(x): ~uniform(0, 1, like=x)\n";
    struct arena *a = arena_new();
    (void)state;
    struct built b = load_text(arena_fmt(a, "hypnograph: 1\n%s", text));
    const double *u = evaluate(&b, b.p.probe[0].value[0].value);
    const double *v = evaluate(&b, b.p.probe[1].value[0].value);
    const double *w = evaluate(&b, b.p.probe[2].value[0].value);
    const double *n = evaluate(&b, b.p.probe[3].value[0].value);
    for (uint32_t s = 0; s < BATCH; s++)
        for (uint32_t e = 0; e < 6; e++) {
            assert_true(u[s * 6 + e] == word("run/u~1", s, e));
            const double two = word("run/w/noisy~1", s, e) + word("run/w/noisy#2~1", s, e);
            assert_true(fabs(w[s * 6 + e] - two) < 1e-15);
        }
    assert_true(v[0] == 2 + 2 * word("run/v~1", 0, 0));
    const double *m = evaluate(&b, b.p.probe[4].value[0].value);
    assert_true(m[0] == word("run/m/noisy#2~1", 0, 0));
    assert_true(m[6] == word("run/m/noisy#4~1", 0, 0));
    for (uint32_t s = 0; s < BATCH; s++)
        for (uint32_t e = 0; e < 4; e++) {
            const uint32_t r = hyp_random_word(7, hyp_site("run/i~1"), 0, s, e);
            assert_true(n[s * 4 + e] == 3 + (double)hyp_mulhi(r, 3));
        }
    arena_free(b.a);
    arena_free(a);
}

/* ---- the flagship: what language.md prints ---- */

static bool has_site(const struct built *b, const char *path, bool per_sample)
{
    for (uint32_t i = 1; i < b->p.graph.nsite; i++)
        if (strcmp(b->p.graph.site[i].path, path) == 0)
            return b->p.graph.site[i].per_sample == per_sample &&
                   b->p.graph.site[i].hash == hyp_site(path);
    return false;
}

static void flagship(void **state)
{
    static const char *const weights[] = {
        "up.z.s.a.weight", "up.z.s.a.bias",     "up.z.s.mean.weight",
        "up.z.r.std.bias", "down.x.s.a.weight", "down.x.r.mean.bias",
        "D.x.f1.weight",   "D.x.f2.bias",       "D.x.weight",
        "D.z.f1.bias",     "D.z.bias"};
    static const char *const sites[] = {
        "compare/z.wake/up.z/settle/s/gaussian~1",
        "compare/z.wake/up.z/settle/r/gaussian~1",
        "compare/x.oscillation/down.x/settle/s/gaussian~1",
        "compare/z.oscillation~1",
        "compare/penalty.x/interpolated/t~1",
        "compare/penalty.z/interpolated/t~1",
        "probe/error/compare/z.wake/up.z/settle/s/gaussian~1",
        "dream/compare/z.sleep~1"};
    struct built b = load_shipped("mnist-oscillation.yaml");
    (void)state;
    for (unsigned i = 0; i < sizeof weights / sizeof *weights; i++)
        if (!graph_find_leaf(&b.p.graph, LEAF_PARAM, weights[i]))
            fail_msg("no weight %s", weights[i]);
    assert_int_equal(b.p.nweight, 36);
    for (unsigned i = 0; i < sizeof sites / sizeof *sites; i++)
        if (!has_site(&b, sites[i], true))
            fail_msg("no draw at %s", sites[i]);
    assert_true(has_site(&b, "init/up.z.s.a.weight~1", false));
    const struct prog_phase *ph = &b.p.phase[0];
    assert_int_equal(ph->nstep, 2);
    assert_string_equal(ph->step[0].update[0].name, "compare.loss.D");
    assert_string_equal(ph->step[1].update[0].name, "compare.loss.net");
    assert_int_equal(ph->step[0].update[0].nleaf, 12);
    assert_int_equal(ph->step[1].update[0].nleaf, 24);
    assert_string_equal(b.p.stage[0].over, "digits");
    assert_string_equal(b.p.node[0].name, "x.sleep");
    arena_free(b.a);
}

static void others(void **state)
{
    (void)state;
    struct built b = load_shipped("mnist-vae.yaml");
    assert_string_equal(b.p.phase[0].step[0].update[0].name, "wake.q, p");
    assert_true(has_site(&b, "wake/z/q/settle/s/gaussian~1", true));
    assert_true(has_site(&b, "probe/overlap/sleep/z~1", true));
    assert_false(b.p.phase[1].scheduled);
    assert_string_equal(b.p.node[0].name, "sleep.x");
    arena_free(b.a);
    b = load_shipped("toy-4-neurons.yaml");
    assert_true(has_site(&b, "awake/wake/target/c~1", true));
    assert_int_equal(b.p.probe[1].nvalue, 4);
    assert_string_equal(b.p.probe[1].value[3].name, "of.1.1");
    assert_null(b.p.stage[0].over);
    arena_free(b.a);
    b = load_shipped("mnist-global.yaml");
    assert_non_null(
        (void *)(uintptr_t)graph_find_leaf(&b.p.graph, LEAF_PARAM, "D.both.f1.weight"));
    arena_free(b.a);
}

/* ---- weights: numbers of calls, chains, key lists ---- */

static void paths(void **state)
{
    static const char *const text =
        "hypnograph: 1\n"
        "data: {given: {source: npy, batch: 2}}\n"
        "functions:\n"
        "  deep(x): linear(relu(linear(x, 4)), 3)\n"
        "networks:\n"
        "  E(x):\n"
        "    h:      relu(linear(x, 4))\n"
        "    z, d:   linear(h, 2), sigmoid(linear(h, 1))\n"
        "    c:      chain(linear(_, 3), x, 2)\n"
        "    k:      deep(x)\n"
        "    return: z, d, c, k\n"
        "phases:\n  run:\n    nodes:\n      z, d, c, k: E(given.x)\n"
        "      loss: mean(z) + mean(d) + mean(c) + mean(k)\n"
        "    update: [{E: loss}]\n"
        "optimizers: {E: sgd(lr=1), E.h: adam(lr=1)}\n"
        "schedule: {epochs: 1, cycle: [run]}\n";
    static const char *const want[] = {"E.h.weight",   "E.z.weight",   "E.d.weight",
                                       "E.c.1.weight", "E.c.2.weight", "E.k.1.weight",
                                       "E.k.2.weight"};
    struct built b = load_text(text);
    (void)state;
    for (unsigned i = 0; i < sizeof want / sizeof *want; i++)
        if (!graph_find_leaf(&b.p.graph, LEAF_PARAM, want[i]))
            fail_msg("no weight %s", want[i]);
    assert_int_equal(b.p.nweight, 14);
    for (uint32_t i = 0; i < b.p.nweight; i++)
        assert_int_equal(b.p.weight[i].optimizer,
                         strncmp(b.p.weight[i].path, "E.h.", 4) == 0 ? 1 : 0);
    arena_free(b.a);
}

/* An initial value that only asks for the size of a list builds it where its members are.
 */
static void lists_into_layers(void **state)
{
    static const char *const text =
        "hypnograph: 1\n"
        "data: {given: {source: npy, batch: 2}}\n"
        "networks: {E(x): 'linear(x, 4)'}\n"
        "phases:\n  run:\n    nodes:\n"
        "      loss: mean(E([given.x[0], given.x[1]])) + mean(E([2 * given.s, given.s]))\n"
        "    update: [{E: loss}]\n"
        "optimizers: {E: sgd(lr=1)}\n"
        "schedule: {epochs: 1, cycle: [run]}\n";
    struct built b = load_text(text);
    (void)state;
    assert_int_equal(b.p.nweight, 2);
    arena_free(b.a);
}

/* ---- probes that repeat, and their draws ---- */

static void repeated(void **state)
{
    static const char *const text =
        "hypnograph: 1\n"
        "data: {given: {source: npy, batch: 2}}\n"
        "phases:\n  run:\n    nodes: {x: given.x + ~normal(like=given.x)}\n"
        "schedule: {epochs: 1, cycle: [run]}\n"
        "probes:\n"
        "  p: {value: mean(x) * a - b, from: given, over: {a: [2, 4], b: [0, 1, 2]}}\n";
    struct built b = load_text(text);
    (void)state;
    assert_int_equal(b.p.nprobe, 6);
    assert_string_equal(b.p.probe[5].name, "p.5");
    const double one = evaluate(&b, b.p.probe[0].value[0].value)[0];
    for (unsigned i = 0; i < 6; i++) {
        const double v = evaluate(&b, b.p.probe[i].value[0].value)[0];
        assert_true(fabs(v - (one * (i < 3 ? 1 : 2) - i % 3)) < 1e-12);
    }
    assert_true(has_site(&b, "probe/p/run/x~1", true));
    arena_free(b.a);
}

static region_id train_region(const struct prog_probe *p)
{
    for (uint32_t i = 0; i < p->nvalue; i++)
        if (strcmp(p->value[i].name, "train.of") == 0)
            return p->value[i].region;
    fail_msg("%s trains on nothing", p->name);
    return 0;
}

/* What is fitted is fitted once for all repetitions, unless it reads what they change,
 * itself or by way of a node. */
static void fitted_once(void **state)
{
    static const char *const text =
        "hypnograph: 1\n"
        "data: {given: {source: npy, batch: 2}}\n"
        "phases:\n  run:\n    nodes: {z: 2 * given.x}\n"
        "schedule: {epochs: 1, cycle: [run]}\n"
        "probes:\n"
        "  all:  {metric: linear_readout, labels: given.k, over: {k: [1, 2]}}\n"
        "  once: {of: run.z, test_of: 'run.z * k'}\n"
        "  node: {of: clean, test_of: dark, nodes: {clean: run.z + 1, dark: run.z * k}}\n"
        "  each: {of: run.z * k}\n"
        "  deep: {of: b, nodes: {b: a + 1, a: run.z * k}}\n";
    struct built b = load_text(text);
    const struct prog_probe *p = b.p.probe;
    (void)state;
    assert_int_equal(b.p.nprobe, 8);
    for (unsigned i = 0; i < 8; i += 2) {
        const bool once = train_region(&p[i]) == train_region(&p[i + 1]);
        if (once != (i < 4))
            fail_msg("%s is fitted %s", p[i].base, once ? "once" : "twice");
    }
    assert_string_equal(p[1].over, "k");
    assert_true(p[1].at[0] == 1 && p[1].at[1] == 2 && p[1].run == 1 && p[1].runs == 2);
    arena_free(b.a);
}

/* ---- states: calls in reading order, reset, commits at the end ---- */

static double committed(struct built *b, const char *path)
{
    const struct graph *g = &b->p.graph;
    for (uint32_t r = 1; r < g->nregion; r++)
        for (uint32_t i = 0; i < g->region[r].nroot; i++) {
            const struct root *x = &g->region[r].root[i];
            if (x->why == ROOT_COMMIT && strcmp(g->leaf[x->leaf].path, path) == 0)
                return evaluate(b, x->value)[0];
        }
    fail_msg("%s is not committed", path);
    return 0;
}

static void states(void **state)
{
    static const char *const text = "hypnograph: 1\n"
                                    "data: {given: {source: npy, batch: 2}}\n"
                                    "state:\n"
                                    "  Z: [3]\n"
                                    "  W: {shape: [], init: 5}\n"
                                    "functions:\n"
                                    "  count(by=1):\n"
                                    "    state:  {n: {shape: [], per: batch}}\n"
                                    "    next:   {n: n + by}\n"
                                    "    return: n\n"
                                    "networks:\n"
                                    "  c: count\n"
                                    "phases:\n  run:\n    reset: [W]\n    nodes:\n"
                                    "      a: c() + 0 * mean(given.x)\n"
                                    "      b: c(by=10)\n"
                                    "      two: count() + count(2)\n"
                                    "      old: Z + W\n"
                                    "    next: {Z: given.x}\n"
                                    "schedule: {epochs: 1, cycle: [run]}\n"
                                    "probes: {b: {image: b}, old: {image: old}}\n";
    struct built b = load_text(text);
    (void)state;
    assert_true(evaluate(&b, b.p.probe[0].value[0].value)[0] == 1);
    assert_true(evaluate(&b, b.p.probe[1].value[0].value)[0] == 5);
    assert_true(committed(&b, "c.n") == 11);
    assert_true(committed(&b, "run.two.1.n") == 1);
    assert_true(committed(&b, "run.two.2.n") == 2);
    assert_true(committed(&b, "W") == 5);
    assert_true(committed(&b, "Z") == 0);
    assert_int_equal(b.p.nweight, 5);
    arena_free(b.a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(values),
                                       cmocka_unit_test(draws),
                                       cmocka_unit_test(flagship),
                                       cmocka_unit_test(others),
                                       cmocka_unit_test(paths),
                                       cmocka_unit_test(states),
                                       cmocka_unit_test(lists_into_layers),
                                       cmocka_unit_test(repeated),
                                       cmocka_unit_test(fitted_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
