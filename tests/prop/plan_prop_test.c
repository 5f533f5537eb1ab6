/*
 * Whole plans of random graphs: what the executor computes with kernels, fused or not, on
 * any number of threads, with what gradients read kept or recomputed, is what the graph
 * means, to the bit.  `plan_prop_test N SEED
 * [BACKEND]`.
 */
#include "tests/unit/cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/compile.h"
#include "runtime/base/arena.h"
#include "runtime/base/cache.h"
#include "runtime/exec.h"
#include "tests/prop/random_graph.h"
#include "tests/unit/scratch.h"

static unsigned ngraph = 200;
static uint64_t first_seed = 1;
static const struct backend *backend = &backend_interp;
static struct cache *cache; /* settings differ in kernels less than in plans */

static struct target target; /* what prices kernels and schedules them */

struct setting {
    bool fuse_off;
    unsigned threads;
    int64_t batch;
    double scarcity; /* so scarce that all is recomputed that can be */
    bool remat_off;
};
static const struct setting settings[] = {
    {true, 1, 1, 0, false},   {false, 1, 3, 0, false},  {false, 2, 5, 0, false},
    {true, 1, 3, 1e9, false}, {false, 3, 50, 0, false}, {false, 2, 5, 1e9, false},
    {false, 2, 25, 0, true}};

struct run {
    struct arena *a;
    struct program p;
    struct plan_ir ir;
    struct hyp_plan *plan;
    struct diag_sink *ds;
    struct code *code;
    struct pool *pool;
    struct exec *x;
};

static bool load_text(struct run *r, const char *text)
{
    r->p = (struct program){.arena = r->a, .host = 2, .name = "random", .batch_max = 64};
    graph_init(&r->p.graph, r->a);
    return graph_parse(&r->p.graph, text, r->ds, 0);
}

/* The text has no settings table: one for each leaf, with the value the reference takes. */
static void add_settings(struct run *r)
{
    const struct graph *g = &r->p.graph;
    const struct graph_eval e = random_eval(g, 1, true);

    r->p.setting = arena_array(r->a, g->nleaf, sizeof *r->p.setting);
    for (leaf_id i = 1; i < g->nleaf; i++) {
        if (g->leaf[i].what != LEAF_SETTING)
            continue;
        struct prog_setting *s = &r->p.setting[r->p.nsetting++];
        s->name = g->leaf[i].path;
        s->n = 1;
        s->value = arena_alloc(r->a, sizeof *s->value);
        e.leaf(e.cx, &g->leaf[i], 1, s->value);
    }
}

static bool load_code(struct run *r, const struct target *t)
{
    struct hyp_plan *p = r->plan;
    uint32_t n = 0, at = 0;
    for (uint32_t k = 0; k < p->nkernel; k++)
        n += p->kernel[k].nstage;
    struct loaded_stage *st = arena_array(r->a, n + 1U, sizeof *st);
    const struct load_job job = {
        .nest = r->ir.nest, .n = p->nkernel, .target = t, .cache = cache};
    r->code = backend->load(&job, r->ds, st, NULL);
    for (uint32_t k = 0; r->code && k < p->nkernel; k++)
        for (uint32_t s = 0; s < p->kernel[k].nstage; s++, at++) {
            p->kernel[k].stage[s].fn = st[at].fn;
            p->kernel[k].stage[s].self = st[at].self;
        }
    for (uint32_t i = 0; i < p->nphase; i++)
        p->phase[i].loaded = true;
    return r->code;
}

static void store(void *at, uint8_t dtype, const double *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (dtype == DT_F32)
            ((float *)at)[i] = (float)v[i];
        else if (dtype == DT_I32)
            ((int32_t *)at)[i] = (int32_t)v[i];
        else
            ((uint8_t *)at)[i] = v[i] != 0;
}

static void fill_leaves(struct run *r, const struct graph_eval *e)
{
    const struct graph *g = &r->p.graph;
    for (leaf_id i = 1; i < g->nleaf; i++) {
        const struct leaf *l = &g->leaf[i];
        if (!r->ir.leaf_buffer[i] || l->version)
            continue;
        const int64_t n = type_elems(&l->type, e->batch);
        double *v = arena_array(r->a, (size_t)n + 1, sizeof *v);
        e->leaf(e->cx, l, n, v);
        store(exec_address(r->x, r->ir.leaf_buffer[i] - 1), l->type.dtype, v, n);
    }
}

/* 0: equal, 1: not covered by kernels yet, 2: differs */
static int compare(struct run *r, const struct graph_eval *e)
{
    const struct region *region = &r->p.graph.region[3];
    value_id *want = arena_array(r->a, region->nroot + 1U, sizeof *want);
    double **v = arena_array(r->a, region->nroot + 1U, sizeof *v);

    for (uint32_t i = 0; i < region->nroot; i++)
        want[i] = region->root[i].value;
    if (!graph_eval(e, r->a, want, region->nroot, v))
        fail_msg("the graph cannot be evaluated");
    for (uint32_t i = 0; i < region->nroot; i++) {
        const struct hyp_output *o = &r->plan->phase[0].output[i];
        const int64_t n = type_elems(graph_type(&r->p.graph, want[i]), e->batch);
        double *got = arena_array(r->a, (size_t)n + 1, sizeof *got);
        exec_read(r->x, o->buffer, o->dtype, 0, n, got);
        for (int64_t k = 0; k < n; k++)
            if (!(isnan(got[k]) && isnan(v[i][k])) &&
                memcmp(&got[k], &v[i][k], sizeof *got) != 0) {
                fprintf(stderr, "%s[%lld] is %.9g, should be %.9g\n", o->name, (long long)k,
                        got[k], v[i][k]);
                return 2;
            }
    }
    return 0;
}

/* The last output, which most of the graph leads to, takes the place of a loss. */
static void put_last_first(struct region *r)
{
    if (!r->nroot)
        return;
    const struct root first = r->root[0];
    r->root[0] = r->root[r->nroot - 1];
    r->root[r->nroot - 1] = first;
}

static unsigned nkernel; /* of the last plan, without packings of weights */
static unsigned nforced; /* runs that were forced to compute something again, and did */

/* false: the setting says otherwise */
static bool recomputes_as_set(const struct program *p, const struct setting *s)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < p->nremat; i++)
        n += p->remat[i].recomputed;
    nforced += n && s->scarcity > 0;
    if (n && s->remat_off)
        fprintf(stderr, "%u values are computed again though that is off\n", n);
    return !n || !s->remat_off;
}

static int run_once(const char *text, const struct setting *s)
{
    struct run r = {.a = arena_new()};
    const struct target *t = &target;
    const struct plan_options po = {.fuse_off = s->fuse_off};
    const struct pass_options passes = {.scarcity = s->scarcity, .remat_off = s->remat_off};
    struct hyp_error err = {0};
    int result = 2;

    r.ds = diag_sink_new(r.a, 5);
    if (!load_text(&r, text))
        goto done;
    put_last_first(&r.p.graph.region[3]);
    if (!passes_run(&r.p, r.ds, &passes) || !recomputes_as_set(&r.p, s))
        goto done;
    add_settings(&r);
    r.plan = plan_build(&r.p, t, &po, r.a, r.ds, &r.ir);
    if (!r.plan || !r.plan->nphase) {
        result = 1;
        goto done;
    }
    nkernel = 0;
    for (uint32_t k = 0; k < r.plan->nkernel; k++)
        nkernel += r.ir.kernel[k] != NULL;
    if (!load_code(&r, t) || pool_new(s->threads, &r.pool, &err) != HYP_OK ||
        exec_new(r.plan, r.pool, 0, &r.x, &err) != HYP_OK)
        goto done;
    const struct graph_eval e = random_eval(&r.p.graph, s->batch, true);
    r.x->seed = e.seed;
    fill_leaves(&r, &e);
    const enum hyp_status st = exec_phase(r.x, 0, s->batch, &err);
    if (st == HYP_OK || st == HYP_EINDEX) /* random indices are out of range, too */
        result = compare(&r, &e);
done:
    if (result == 2) {
        diag_print(r.ds, stderr, false);
        fprintf(stderr, "%s", err.text);
    }
    exec_free(r.x);
    pool_free(r.pool);
    if (r.code)
        backend->free(r.code);
    arena_free(r.a);
    return result;
}

static bool any_fails(const char *text, void *cx)
{
    (void)cx;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (run_once(text, &settings[i]) == 2)
            return true;
    return false;
}

/* How many of n graphs kernels cover. */
static unsigned try_graphs(const struct random_options *o, unsigned n)
{
    unsigned covered = 0;
    for (unsigned i = 0; i < n; i++) {
        struct arena *a = arena_new();
        struct program p;
        random_graph(a, first_seed + i, o, &p);
        const char *text = graph_print(&p.graph, a);
        if (any_fails(text, NULL)) { /* cmocka's messages are cut */
            fputs(shrink_graph(a, text, any_fails, NULL), stderr);
            fail_msg("seed %llu", (unsigned long long)(first_seed + i));
        }
        covered += run_once(text, &settings[1]) == 0;
        cache_clear(cache);
        arena_free(a);
    }
    return covered;
}

static void plans_compute_graphs(void **state)
{
    const struct random_options o = {0};
    const unsigned covered = try_graphs(&o, ngraph);
    (void)state;
    printf(
        "%u of %u graphs are covered by kernels, %u runs had to compute something again\n",
        covered, ngraph, nforced);
    assert_true(covered * 10 > ngraph * 9);
    assert_true(nforced * 10 > ngraph || ngraph < 100);
}

/* Maps cost nothing and launches do: all are computed where they are read that can be. */
static void compute_eagerly(void)
{
    target.launch = 1;
    target.prims = 1e18;
}

static void plans_compute_operands_of_windows(void **state)
{
    const struct random_options o = {.computed = true};
    const unsigned n = (ngraph + 3) / 4;
    (void)state;
    compute_eagerly();
    assert_true(try_graphs(&o, n) * 10 > n * 9 || n == 1);
}

static void plans_compute_rows_of_places(void **state)
{
    const struct random_options o = {.places = true};
    const unsigned n = (ngraph + 3) / 4;
    (void)state;
    compute_eagerly(); /* rows of few places, too */
    assert_true(try_graphs(&o, n) * 10 > n * 9 || n == 1);
}

/* ---- what a convolution computes while it packs ---- */

enum before { MASKED, BIASED, DROPPED, NOISED, TURNED, BEFORE_COUNT };

/* x, by a map that is 0 where x is, or is not. */
static value_id made_before(struct graph *g, value_id x, enum before what)
{
    struct sxb *b = &g->sx;
    struct type t = *graph_type(g, x);
    const site_id site = graph_site(g, "phase/before~1", g->at, t.sample);
    const sx_id v = sx_arg(b, 0, SX_FLOAT);
    sx_id e = sx_int(b, 0);
    for (unsigned d = t.sample; d < t.rank; d++)
        e = sx_make(b, SX_IADD, sx_make(b, SX_IMUL, e, sx_int(b, t.dim[d].c), 0),
                    sx_axis(b, d), 0);
    switch (what) {
    case MASKED:
        return graph_op2(g, SX_MUL, x, graph_leaf(g, LEAF_DATA, 0, 0, "mask", t));
    case BIASED:
        for (unsigned d = 0; d < t.rank; d++)
            t.dim[d] = d == t.sample ? t.dim[d] : ext_const(1);
        memmove(t.dim, t.dim + t.sample, sizeof t.dim - t.sample * sizeof *t.dim);
        t.rank = (uint8_t)(t.rank - t.sample);
        t.sample = false;
        return graph_op2(g, SX_ADD, x, graph_leaf(g, LEAF_PARAM, 0, 0, "bias", t));
    case DROPPED:
        e = sx_make(b, SX_SEL, sx_bernoulli(b, site, e, sx_const(b, 0.5)), v,
                    sx_const(b, 0));
        break;
    case NOISED:
        e = sx_make(b, SX_ADD, v, sx_normal(b, site, e), 0);
        break;
    case TURNED: /* cos(0) is not 0 */
    case BEFORE_COUNT:
        e = sx_make(b, SX_NEG, sx_make(b, SX_FN_cos, v, 0, 0), 0, 0);
    }
    return graph_map(g, e, &x, 1, NULL);
}

/* The read-out of a form at a port, of operands of which one is computed. */
static const char *computed_window(struct arena *a, const struct form *f, uint8_t port,
                                   unsigned operand, enum before what)
{
    struct graph g;
    value_id in[2];
    graph_init(&g, a);
    graph_region(&g, REGION_HOST, "host");
    graph_region(&g, REGION_INIT, "init");
    g.at = graph_region(&g, REGION_PHASE, "phase");
    for (unsigned j = 0, n = 0; j < 3; j++) {
        if (j == port)
            continue;
        in[n] = form_leaf(&g, f, j);
        in[n] = n == operand ? made_before(&g, in[n], what) : in[n];
        n++;
    }
    graph_root(&g, g.at, ROOT_OUTPUT, 0, 0, graph_form(&g, f, port, in, port < 2, DT_F32),
               "o0");
    return graph_print(&g, a);
}

/* Strides, pads, dilations, groups. */
static const struct form_case {
    int32_t kernel, stride, pad, dilation, groups;
} form_cases[] = {{3, 1, 1, 1, 1}, {4, 2, 1, 1, 1}, {3, 2, 2, 2, 1},
                  {2, 3, 0, 1, 1}, {3, 1, 1, 1, 2}, {1, 1, 0, 1, 1}};

static struct form form_of(const struct form_case *c)
{
    const int32_t k[2] = {c->kernel, c->kernel}, s[2] = {c->stride, c->stride};
    const int32_t p[2] = {c->pad, c->pad}, d[2] = {c->dilation, c->dilation};
    const int32_t size = (c->stride + c->dilation * (c->kernel - 1)) + 1 - 2 * c->pad;
    const int32_t in[3] = {2, size + c->stride, size}, out[3] = {4, 3, 2};
    return form_conv((struct ext){0, 1}, in, out, k, s, p, d, c->groups);
}

/* Fused, one kernel is left (two where a read-out is folded); the bits are the graph's. */
static void windows_compute_maps(void **state)
{
    static const struct setting both[] = {{true, 1, 3, 0, false}, {false, 2, 5, 0, false}};
    (void)state;
    compute_eagerly();
    for (unsigned i = 0; i < sizeof form_cases / sizeof *form_cases * 6 * BEFORE_COUNT;
         i++) {
        struct arena *a = arena_new();
        const struct form f = form_of(&form_cases[i / 6 / BEFORE_COUNT]);
        const uint8_t port = (uint8_t)(i % 3);
        const char *text =
            computed_window(a, &f, port, i / 3 % 2, (enum before)(i / 6 % BEFORE_COUNT));
        for (unsigned k = backend != &backend_interp; k < 2; k++)
            if (run_once(text, &both[k]) != 0 || nkernel != 2 - k) {
                fputs(text, stderr);
                fail_msg("case %u: %u kernels", i, nkernel);
            }
        cache_clear(cache);
        arena_free(a);
    }
}

static int open_cache(void **state)
{
    const char *why;
    if (scratch_setup(state) != 0)
        return -1;
    cache = cache_open(scratch_dir, UINT64_MAX, &why);
    return cache ? 0 : -1;
}

static int close_cache(void **state)
{
    cache_close(cache);
    return scratch_teardown(state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(plans_compute_graphs),
                                       cmocka_unit_test(plans_compute_rows_of_places),
                                       cmocka_unit_test(plans_compute_operands_of_windows),
                                       cmocka_unit_test(windows_compute_maps)};
    target = *target_default();
    if (argc > 1)
        ngraph = (unsigned)strtoul(argv[1], NULL, 10);
    if (argc > 2)
        first_seed = strtoull(argv[2], NULL, 10);
#ifdef HYP_WITH_LLVM
    if (argc > 3 && strcmp(argv[3], "llvm") == 0)
        backend = &backend_llvm;
#endif
    return cmocka_run_group_tests_name("plan properties", tests, open_cache, close_cache);
}
