/*
 * Properties of random graphs: the text form reads back, and no pass changes what is
 * computed. `graph_prop_test N SEED` runs N graphs from SEED on (200 from 1 otherwise).
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/passes/pass.h"
#include "runtime/base/arena.h"
#include "tests/prop/random_graph.h"

static unsigned ngraph = 200;
static uint64_t first_seed = 1;
static unsigned nrecomputed; /* graphs in which remat found something to do */

struct outputs {
    double **v;
    int64_t *n;
    uint32_t count;
};

static struct outputs evaluate(struct arena *a, const struct graph *g, int64_t batch,
                               bool f32)
{
    const struct graph_eval e = random_eval(g, batch, f32);
    const struct region *r = &g->region[3];
    struct outputs o = {0};
    value_id *want = arena_array(a, r->nroot + 1U, sizeof *want);
    o.v = arena_array(a, r->nroot + 1U, sizeof *o.v);
    o.n = arena_array(a, r->nroot + 1U, sizeof *o.n);
    for (uint32_t i = 0; i < r->nroot; i++) {
        if (strncmp(r->root[i].name, "index/", 6) == 0) /* of pass `bounds` */
            continue;
        want[o.count] = r->root[i].value;
        o.n[o.count] = type_elems(graph_type(g, want[o.count]), batch);
        o.count++;
    }
    if (!graph_eval(&e, a, want, o.count, o.v))
        fail_msg("the graph cannot be evaluated");
    return o;
}

/* `limit` 0: to the bit. Differences are measured against the largest element. */
static bool same(const struct outputs *x, const struct outputs *y, double limit)
{
    if (x->count != y->count)
        return false;
    for (uint32_t i = 0; i < x->count; i++) {
        double scale = 1;
        for (int64_t k = 0; k < x->n[i]; k++)
            scale = fmax(scale, fabs(x->v[i][k]));
        for (int64_t k = 0; k < x->n[i]; k++) {
            const double p = x->v[i][k], q = y->v[i][k];
            if (isnan(p) && isnan(q))
                continue;
            if (limit == 0 ? memcmp(&p, &q, sizeof p) != 0
                           : !(p == q || fabs(p - q) <= limit * scale))
                return false;
        }
    }
    return true;
}

static bool load(struct arena *a, const char *text, struct program *p)
{
    memset(p, 0, sizeof *p);
    p->arena = a;
    graph_init(&p->graph, a);
    p->host = 2;
    return graph_parse(&p->graph, text, diag_sink_new(a, 1), 0);
}

/* ---- the properties, as "does this text show the fault?" ---- */

static bool pipeline_fails(const char *text, void *cx)
{
    struct arena *a = arena_new();
    struct program p, q;
    const struct pass_options o = {.stop_after = cx, .twin = true};
    bool bad = false;
    if (load(a, text, &p) && load(a, text, &q)) {
        bad = !passes_run(&q, diag_sink_new(a, 5), &o);
        for (int64_t batch = 1; batch <= 3 && !bad; batch += 2) {
            const struct outputs x = evaluate(a, &p.graph, batch, false);
            const struct outputs y = evaluate(a, &q.graph, batch, false);
            bad = !same(&x, &y, 1e-12);
        }
    }
    arena_free(a);
    return bad;
}

/* Without orders and contraction to do, passes must not change a bit, in f32 either. */
static bool second_run_fails(const char *text, void *cx)
{
    struct arena *a = arena_new();
    struct program p, q;
    const struct pass_options once = {0}, again = {.stop_after = "canon"};
    bool bad = false;
    (void)cx;
    if (load(a, text, &p) && passes_run(&p, diag_sink_new(a, 5), &once)) {
        const struct outputs x = evaluate(a, &p.graph, 3, true);
        const char *canonical = graph_print(&p.graph, a);
        if (!load(a, canonical, &q) || !passes_run(&q, diag_sink_new(a, 5), &again))
            bad = true;
        const struct outputs y = evaluate(a, &q.graph, 3, true);
        bad |= !same(&x, &y, 0);
    }
    arena_free(a);
    return bad;
}

/* A loss, the first root, and its gradients by every leaf, as OP_GRAD nodes or taken at
 * once. */
static bool add_gradients(struct graph *g, bool as_nodes)
{
    struct region *r = &g->region[3];
    value_id x[64], d[64], sum = 0;
    uint8_t n = 0;
    g->at = 3;
    for (uint32_t i = 0; i < r->nroot; i++) {
        const value_id s =
            graph_sum(g, graph_op1(g, SX_FN_sin, r->root[i].value), UINT32_MAX);
        sum = sum ? graph_op2(g, SX_ADD, sum, s) : s;
    }
    for (leaf_id i = 1; i < g->nleaf && n < 64; i++)
        x[n++] = g->leaf[i].value;
    if (!sum)
        return false;
    graph_root(g, 3, ROOT_OUTPUT, 0, 0, sum, "loss");
    struct root *root = g->region[3].root, loss = root[g->region[3].nroot - 1];
    memmove(root + 1, root, (g->region[3].nroot - 1) * sizeof *root);
    root[0] = loss;
    if (as_nodes)
        graph_grad(g, sum, x, n, true, d);
    else if (!differentiate(g, sum, x, n, diag_sink_new(g->arena, 1), d))
        return false;
    for (unsigned i = 0; i < n; i++) {
        const struct type t = *graph_type(g, x[i]);
        if (!d[i])
            d[i] = graph_map(g, sx_const(&g->sx, 0), NULL, 0, &t);
        graph_root(g, 3, ROOT_OUTPUT, 0, 0, d[i], "d");
    }
    return true;
}

static bool gradient_fails(const char *text, void *cx)
{
    struct arena *a = arena_new();
    struct program p, q;
    const struct pass_options o = {.twin = true};
    bool bad = false;
    (void)cx;
    if (load(a, text, &p) && load(a, text, &q) && add_gradients(&p.graph, false)) {
        bad = !add_gradients(&q.graph, true) || !passes_run(&q, diag_sink_new(a, 5), &o);
        for (int64_t batch = 1; batch <= 3 && !bad; batch += 2) {
            const struct outputs x = evaluate(a, &p.graph, batch, false);
            const struct outputs y = evaluate(a, &q.graph, batch, false);
            bad = !same(&x, &y, 1e-9); /* of values up to 1e6 that nearly cancel */
        }
    }
    arena_free(a);
    return bad;
}

/* What else is computed (a probe reads one value more) must not change a bit. */
static bool probe_fails(const char *text, void *cx)
{
    struct arena *a = arena_new();
    struct program p, q;
    const struct pass_options o = {0};
    bool bad = false;
    (void)cx;
    if (load(a, text, &p) && passes_run(&p, diag_sink_new(a, 5), &o)) {
        const struct outputs all = evaluate(a, &p.graph, 3, true);
        for (uint32_t i = 0; i < all.count && !bad; i++) {
            struct outputs one = all, alone;
            if (!load(a, text, &q))
                break;
            q.graph.region[3].root[0] = q.graph.region[3].root[i];
            q.graph.region[3].nroot = 1;
            bad = !passes_run(&q, diag_sink_new(a, 5), &o);
            alone = evaluate(a, &q.graph, 3, true);
            one.v += i;
            one.n += i;
            one.count = 1;
            bad |= !same(&one, &alone, 0);
        }
    }
    arena_free(a);
    return bad;
}

/* Recomputing whatever can be must not change a bit. */
static bool remat_fails(const char *text, void *cx)
{
    struct arena *a = arena_new();
    struct program p, q;
    const struct pass_options off = {.remat_off = true};
    const struct pass_options o = {.scarcity = 1e9, .twin = true};
    bool bad = false;
    (void)cx;
    if (load(a, text, &p) && load(a, text, &q) && add_gradients(&p.graph, true) &&
        add_gradients(&q.graph, true) && passes_run(&p, diag_sink_new(a, 5), &off)) {
        bad = !passes_run(&q, diag_sink_new(a, 5), &o);
        const struct outputs x = evaluate(a, &p.graph, 3, true);
        const struct outputs y = evaluate(a, &q.graph, 3, true);
        bad |= !same(&x, &y, 0);
        nrecomputed += q.graph.nnode > p.graph.nnode;
    }
    arena_free(a);
    return bad;
}

static void fail_small(uint64_t seed, const char *text)
{
    fputs(text, stderr); /* longer than cmocka prints */
    fail_msg("seed %llu", (unsigned long long)seed);
}

static void try_all(bool (*fails)(const char *text, void *cx), void *cx)
{
    for (unsigned i = 0; i < ngraph; i++) {
        struct arena *a = arena_new();
        struct program p;
        const struct random_options o = {0};
        random_graph(a, first_seed + i, &o, &p);
        const char *text = graph_print(&p.graph, a);
        if (fails(text, cx))
            fail_small(first_seed + i, shrink_graph(a, text, fails, cx));
        arena_free(a);
    }
}

static void text_reads_back(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ngraph; i++) {
        struct arena *a = arena_new();
        struct program p;
        struct graph twin;
        const struct random_options o = {0};
        random_graph(a, first_seed + i, &o, &p);
        const char *wrong = graph_validate(&p.graph, a);
        if (wrong)
            fail_msg("seed %llu: %s", (unsigned long long)(first_seed + i), wrong);
        const char *text = graph_print(&p.graph, a);
        struct diag_sink *ds = diag_sink_new(a, 3);
        graph_init(&twin, a);
        if (!graph_parse(&twin, text, ds, diag_file(ds, "graph", text, strlen(text)))) {
            diag_print(ds, stderr, false);
            fail_msg("seed %llu does not read back:\n%s",
                     (unsigned long long)(first_seed + i), text);
        }
        assert_true(graph_equal(&p.graph, &twin));
        assert_string_equal(text, graph_print(&twin, a));
        arena_free(a);
    }
}

static void canon_preserves_values(void **state)
{
    char pass[] = "canon";
    (void)state;
    try_all(pipeline_fails, pass);
}

static void pipeline_preserves_values(void **state)
{
    (void)state;
    try_all(pipeline_fails, NULL);
}

static void passes_take_gradients(void **state)
{
    (void)state;
    try_all(gradient_fails, NULL);
}

static void probes_change_no_bit(void **state)
{
    (void)state;
    try_all(probe_fails, NULL);
}

static void recomputing_changes_no_bit(void **state)
{
    (void)state;
    nrecomputed = 0;
    try_all(remat_fails, NULL);
    printf("something recomputed in %u of %u graphs\n", nrecomputed, ngraph);
    assert_true(2 * nrecomputed > ngraph);
}

static void canonical_stays_to_the_bit(void **state)
{
    (void)state;
    try_all(second_run_fails, NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_reads_back),
        cmocka_unit_test(canon_preserves_values),
        cmocka_unit_test(pipeline_preserves_values),
        cmocka_unit_test(canonical_stays_to_the_bit),
        cmocka_unit_test(passes_take_gradients),
        cmocka_unit_test(probes_change_no_bit),
        cmocka_unit_test(recomputing_changes_no_bit),
    };
    if (argc > 1)
        ngraph = (unsigned)strtoul(argv[1], NULL, 10);
    if (argc > 2)
        first_seed = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests_name("graph_prop", tests, NULL, NULL);
}
