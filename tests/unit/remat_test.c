/*
 * Recompute or store: minimum cuts and the choices made by them against brute force (the
 * experiment E6 of compiler-core), and what becomes of small graphs.
 */
#include "tests/unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/ir/group.h"
#include "compiler/passes/pass.h"
#include "compiler/passes/remat.h"
#include "runtime/base/arena.h"
#include "tests/prop/random_graph.h"
#include "tests/unit/made_graph.h"

enum { TRIALS = 400, BATCH = 512 };

/* ---- minimum cuts ---- */

struct edge {
    uint32_t from, to;
    int64_t capacity;
};

static int64_t cut_by_hand(const struct edge *e, uint32_t ne, uint32_t n)
{
    int64_t best = INT64_MAX;
    for (uint32_t s = 0; s < 1U << n; s++) { /* node 0 the source, node 1 the sink */
        int64_t sum = 0;
        if (!(s & 1) || s & 2)
            continue;
        for (uint32_t i = 0; i < ne; i++)
            sum += s >> e[i].from & 1 && !(s >> e[i].to & 1) ? e[i].capacity : 0;
        best = sum < best ? sum : best;
    }
    return best;
}

static void cuts_are_minimal(void **state)
{
    struct rng r = {1};
    (void)state;
    for (unsigned t = 0; t < TRIALS; t++) {
        struct arena *a = arena_new();
        struct edge e[40];
        bool at_sink[9];
        const uint32_t n = 2 + rng_below(&r, 8), ne = rng_below(&r, 40);
        struct mincut *m = mincut_new(a, n);
        int64_t sum = 0;
        for (uint32_t i = 0; i < ne; i++) {
            e[i] = (struct edge){rng_below(&r, n), rng_below(&r, n), rng_below(&r, 12)};
            mincut_edge(m, e[i].from, e[i].to, e[i].capacity);
        }
        const int64_t cut = mincut_run(m, 0, 1, at_sink);
        assert_int_equal(cut, cut_by_hand(e, ne, n));
        assert_false(at_sink[0]);
        assert_true(at_sink[1]);
        for (uint32_t i = 0; i < ne; i++)
            sum += !at_sink[e[i].from] && at_sink[e[i].to] ? e[i].capacity : 0;
        assert_int_equal(sum, cut);
        arena_free(a);
    }
}

static void long_paths_need_no_stack(void **state)
{
    enum { N = 200000 };
    struct arena *a = arena_new();
    struct mincut *m = mincut_new(a, N);
    bool *at_sink = arena_array(a, N, sizeof *at_sink);
    (void)state;
    for (uint32_t i = 0; i + 1 < N; i++)
        mincut_edge(m, i, i + 1, i == N / 2 ? 3 : 5);
    assert_int_equal(mincut_run(m, 0, N - 1, at_sink), 3);
    assert_false(at_sink[N / 2]);
    assert_true(at_sink[N / 2 + 1]);
    arena_free(a);
}

/* ---- E6 ---- */

enum { CHOICES = 10, OPERANDS = 3 };
struct dag {
    struct remat_choice choice[CHOICES];
    uint32_t n, operand[CHOICES * OPERANDS];
};

static struct dag random_dag(struct rng *r)
{
    struct dag d = {.n = 1 + rng_below(r, CHOICES)};
    uint32_t noperand = 0;
    for (uint32_t i = 0; i < d.n; i++) {
        struct remat_choice *x = &d.choice[i];
        x->save = rng_below(r, 12);
        x->comp = rng_below(r, 4) ? rng_below(r, 12) : MINCUT_NEVER;
        x->needed = !rng_below(r, 3);
        x->operand0 = noperand;
        x->noperand = i ? rng_below(r, OPERANDS + 1) : 0;
        for (uint32_t k = 0; k < x->noperand; k++)
            d.operand[noperand++] = rng_below(r, i);
    }
    return d;
}

/* What it costs if the values of `kept` are kept and all others that are needed computed;
 * NEVER or more: it cannot be. */
static int64_t price(const struct dag *d, uint32_t kept)
{
    uint32_t need = 0;
    int64_t sum = 0;
    for (uint32_t i = d->n; i-- > 0;) {
        const struct remat_choice *x = &d->choice[i];
        need |= (uint32_t)x->needed << i;
        if (kept >> i & 1)
            sum += x->save;
        else if (need >> i & 1) {
            if (x->comp == MINCUT_NEVER)
                return MINCUT_NEVER;
            sum += x->comp;
            for (uint32_t k = 0; k < x->noperand; k++)
                need |= 1U << d->operand[x->operand0 + k];
        }
    }
    return sum;
}

static void choices_are_the_cheapest(void **state)
{
    struct rng r = {1};
    unsigned recomputed = 0;
    (void)state;
    for (unsigned t = 0; t < TRIALS; t++) {
        struct arena *a = arena_new();
        struct dag d = random_dag(&r);
        int64_t best = MINCUT_NEVER;
        uint32_t kept = 0, again = 0;
        for (uint32_t s = 0; s < 1U << d.n; s++)
            best = price(&d, s) < best ? price(&d, s) : best;
        assert_int_equal(remat_cut(d.choice, d.n, d.operand, a), best);
        for (uint32_t i = 0; i < d.n; i++) {
            kept |= (uint32_t)d.choice[i].keep << i;
            again |= (uint32_t)d.choice[i].recompute << i;
            assert_true(d.choice[i].keep || d.choice[i].recompute || !d.choice[i].needed);
        }
        assert_int_equal(kept & again, 0);
        assert_int_equal(price(&d, kept), best);
        recomputed += again != 0;
        arena_free(a);
    }
    printf("%u of %u recompute something\n", recomputed, TRIALS);
    assert_true(recomputed > TRIALS / 4);
}

static void of_equals_values_are_kept(void **state)
{
    struct arena *a = arena_new();
    struct remat_choice x[2] = {{.save = 3, .comp = MINCUT_NEVER, .needed = true},
                                {.save = 4, .comp = 4, .needed = true, .noperand = 1}};
    const uint32_t operand[1] = {0};
    (void)state;
    assert_int_equal(remat_cut(x, 2, operand, a), 7);
    assert_true(x[0].keep && x[1].keep && !x[1].recompute);
    x[1].save = 5;
    assert_int_equal(remat_cut(x, 2, operand, a), 7);
    assert_true(x[0].keep && x[1].recompute && !x[1].keep);
    arena_free(a);
}

/* ---- small graphs ---- */

static struct made *at_batch(void)
{
    struct made *m = made_new();
    m->p.batch_max = BATCH;
    return m;
}

static value_id product(struct made *m)
{
    return graph_matmul(m->g, made_leaf(m, LEAF_DATA, 2, 0, 256),
                        made_leaf(m, LEAF_PARAM, 2, 256, 512));
}

static void result(struct made *m, value_id v)
{
    graph_root(m->g, m->g->at, ROOT_OUTPUT, 0, 0, graph_sum(m->g, v, UINT32_MAX), "loss");
}

static void run(struct made *m, double scarcity)
{
    const struct pass_options o = {
        .target = target_find("avx2"), .scarcity = scarcity, .twin = true};
    struct diag_sink *ds = diag_sink_new(m->a, 5);
    if (!passes_run(&m->p, ds, &o)) {
        diag_print(ds, stderr, false);
        fail_msg("the passes fail");
    }
}

static unsigned count_clones(const struct made *m)
{
    unsigned n = 0;
    for (node_id id = 1; id < m->g->nnode; id++)
        n += m->g->node[id].remat != 0;
    return n;
}

static node_id find_clone(const struct made *m)
{
    node_id id = m->g->nnode;
    while (--id && !m->g->node[id].remat) {
    }
    return id;
}

static unsigned count_noted(const struct made *m, bool recomputed)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < m->p.nremat; i++) {
        const struct prog_remat *r = &m->p.remat[i];
        assert_true(r->keeping >= 0 && r->recomputing >= 0 && r->bytes > 0);
        n += r->recomputed == recomputed;
    }
    return n;
}

/* The loss scales one product by v, what comes after it another. */
static void scales_both(struct made *m, value_id v)
{
    result(m, made_op2(m, SX_MUL, product(m), v));
    result(m, made_op2(m, SX_MUL, product(m), v));
}

static value_id by_row(struct made *m)
{
    return made_op2(m, SX_MUL, made_leaf(m, LEAF_DATA, 2, 0, 1),
                    made_leaf(m, LEAF_PARAM, 1, 512, 0));
}

static void cheap_values_are_recomputed(void **state)
{
    struct made *m = at_batch();
    (void)state;
    m->g->where = graph_place(m->g, (struct loc){1, 7, 1, 1}, 0, WHY_WRITTEN, "v");
    const value_id v = by_row(m);
    m->g->where = 0;
    scales_both(m, v);
    run(m, 1);
    assert_int_equal(count_clones(m), 1);
    assert_int_equal(count_noted(m, true), 1);
    const struct node *n = &m->g->node[find_clone(m)];
    const struct place *p = &m->g->place[n->place];
    assert_int_equal(p->why, WHY_RECOMPUTED_FOR);
    assert_int_equal(p->loc.line, 7);
    assert_string_equal(m->g->place[p->parent].name, "v");
    made_free(m);
}

static void dear_values_are_kept(void **state)
{
    struct made *m = at_batch();
    (void)state;
    scales_both(m, made_op1(m, SX_FN_sin, made_op1(m, SX_FN_sin, by_row(m))));
    run(m, 1);
    assert_int_equal(count_clones(m), 0);
    assert_int_equal(count_noted(m, true), 0);
    assert_int_equal(count_noted(m, false), 1);
    made_free(m);
}

/* Kept at first; where memory is scarce, computed again, operands included. */
static void scarcity_recomputes(void **state)
{
    struct made *m = at_batch();
    const struct pass_options scarce = {.target = target_find("avx2"), .scarcity = 1e6};
    (void)state;
    scales_both(m, made_op1(m, SX_FN_sin, made_op1(m, SX_FN_sin, by_row(m))));
    run(m, 1);
    const uint32_t before = m->g->nnode;
    assert_true(passes_again(&m->p, diag_sink_new(m->a, 5), &scarce));
    assert_int_equal(m->g->nnode, before + 3);
    assert_int_equal(count_clones(m), 3);
    assert_int_equal(count_noted(m, true), 3);
    assert_int_equal(count_noted(m, false), 0);
    assert_true(passes_again(&m->p, diag_sink_new(m->a, 5), &scarce));
    assert_int_equal(m->g->nnode, before + 3);
    assert_int_equal(count_noted(m, true), 3);
    made_free(m);
}

static void nothing_is_recomputed_if_told_so(void **state)
{
    struct made *m = at_batch();
    const struct pass_options off = {.remat_off = true, .scarcity = 1e6};
    (void)state;
    scales_both(m, by_row(m));
    assert_true(passes_run(&m->p, diag_sink_new(m->a, 5), &off));
    assert_int_equal(count_clones(m), 0);
    assert_int_equal(m->p.nremat, 0);
    made_free(m);
}

/* A draw is drawn again: same expression, so same site and step. */
static void draws_are_replayed(void **state)
{
    struct made *m = at_batch();
    struct sxb *b = &m->g->sx;
    const struct type *like = graph_type(m->g, product(m));
    const site_id site = graph_site(m->g, "phase/v~1", m->g->at, true);
    (void)state;
    m->g->expr = graph_new_expr(m->g);
    const sx_id fn = sx_uniform(b, site, sx_axis(b, 1));
    const value_id v = graph_map(m->g, fn, NULL, 0, like);
    scales_both(m, made_op1(m, SX_FN_sin, v));
    run(m, 1e6);
    unsigned drawn = 0;
    for (node_id id = 1; id < m->g->nnode; id++)
        drawn += m->g->node[id].op == OP_MAP && m->g->node[id].attr == fn;
    assert_int_equal(drawn, 2);
    made_free(m);
}

/* Behind an update the old weight is gone: what reads it is kept, whatever the price. */
static void nothing_old_is_read_behind_an_update(void **state)
{
    for (unsigned late = 0; late < 2; late++) {
        struct made *m = at_batch();
        const value_id w = made_leaf(m, LEAF_PARAM, 1, 512, 0);
        const leaf_id l = m->g->node[m->g->value[w].def].attr;
        const value_id v = made_op2(m, SX_MUL, made_leaf(m, LEAF_DATA, 2, 0, 1), w);
        (void)state;
        const value_id loss = made_op2(m, SX_MUL, product(m), v);
        result(m, loss);
        const value_id step = made_op2(m, SX_SUB, w, graph_sum(m->g, loss, 1));
        const value_id next = graph_leaf(m->g, LEAF_PARAM, 1, m->g->at, m->g->leaf[l].path,
                                         m->g->leaf[l].type);
        m->g->leaf[m->g->node[m->g->value[next].def].attr].def = step;
        graph_root(m->g, m->g->at, ROOT_UPDATE, 0, l, step, NULL);
        result(m, made_op2(m, SX_MUL, made_op2(m, SX_MUL, product(m), late ? next : w), v));
        run(m, 1e6);
        assert_int_equal(count_noted(m, true), !late);
        made_free(m);
    }
}

/* ---- what fusion makes of clones ---- */

static struct fusion *fuse_it(struct made *m)
{
    const struct fuse_options o = {.target = target_find("avx2"), .batch = BATCH};
    return fuse(m->g, 3, &o, m->a);
}

static void readers_compute_clones(void **state)
{
    struct made *m = at_batch();
    (void)state;
    scales_both(m, by_row(m));
    run(m, 1);
    const struct fusion *f = fuse_it(m);
    const node_id clone = find_clone(m);
    assert_true(f->role[clone] == ROLE_INLINE || !f->stored[m->g->node[clone].out0]);
    made_free(m);
}

/* The reader wants it in another shape: a kernel of its own, behind and just before. */
static void clones_of_their_own_come_late(void **state)
{
    struct made *m = at_batch();
    struct type flat = {.dtype = DT_F32, .rank = 3, .sample = true};
    (void)state;
    flat.dim[0] = (struct ext){0, 1};
    flat.dim[1] = ext_const(2);
    flat.dim[2] = ext_const(256);
    const value_id kept = made_op1(m, SX_FN_relu, product(m)),
                   v = made_op1(m, SX_FN_sin, kept);
    const value_id loss = made_op2(m, SX_MUL, v, product(m));
    result(m, loss);
    const value_id deep = made_op1(m, SX_FN_tanh, graph_sum(m->g, loss, UINT32_MAX));
    const value_id after = made_op2(m, SX_ADD, graph_reshape(m->g, v, &flat), deep);
    result(m, made_op2(m, SX_MUL, made_op2(m, SX_ADD, kept, deep), product(m)));
    result(m, graph_sum(m->g, made_op1(m, SX_FN_sin, after), 4));
    run(m, 1e6);
    const node_id clone = find_clone(m);
    assert_true(clone);
    const struct fusion *f = fuse_it(m);
    const uint32_t own = f->group_of[clone];
    const value_id from = graph_in(m->g, &m->g->node[clone])[0];
    assert_int_not_equal(own, NO_GROUP);
    assert_int_equal(f->group[own].n, 1);
    assert_true(f->level[own] > f->level[f->group_of[m->g->value[from].def]] + 1);
    unsigned told = 0;
    for (uint32_t i = 0; i < f->nlog; i++)
        if (f->log[i].consumer == clone && f->log[i].producer == m->g->value[from].def) {
            assert_int_equal(f->log[i].why, FUSE_REMAT);
            told++;
        }
    assert_true(told);
    made_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_are_minimal),
        cmocka_unit_test(long_paths_need_no_stack),
        cmocka_unit_test(choices_are_the_cheapest),
        cmocka_unit_test(of_equals_values_are_kept),
        cmocka_unit_test(cheap_values_are_recomputed),
        cmocka_unit_test(dear_values_are_kept),
        cmocka_unit_test(scarcity_recomputes),
        cmocka_unit_test(nothing_is_recomputed_if_told_so),
        cmocka_unit_test(draws_are_replayed),
        cmocka_unit_test(nothing_old_is_read_behind_an_update),
        cmocka_unit_test(readers_compute_clones),
        cmocka_unit_test(clones_of_their_own_come_late),
    };
    return cmocka_run_group_tests_name("remat", tests, NULL, NULL);
}
