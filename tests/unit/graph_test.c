/* Builders, merging, types, and what the reader and the validator refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/ir/graph.h"
#include "runtime/base/arena.h"
#include "tests/prop/random_graph.h"

struct fixture {
    struct arena *a;
    struct graph g;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->a = arena_new();
    graph_init(&f->g, f->a);
    f->g.at = graph_region(&f->g, REGION_PHASE, "phase");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    arena_free(f->a);
    free(f);
    return 0;
}

/* [c0, c1, ...]; a first extent of -1 is the batch of a sample. */
static struct type type_of(unsigned rank, const int32_t *c)
{
    struct type t = {.dtype = DT_F32, .rank = (uint8_t)rank, .sample = rank && c[0] < 0};
    for (unsigned i = 0; i < rank; i++)
        t.dim[i] = c[i] < 0 ? (struct ext){0, 1} : ext_const(c[i]);
    return t;
}

static value_id leaf(struct fixture *f, const char *path, unsigned rank, const int32_t *c)
{
    return graph_leaf(&f->g, LEAF_PARAM, 0, 0, path, type_of(rank, c));
}

static void types_join_from_the_right(void **state)
{
    struct fixture *f = *state;
    const int32_t s[3] = {-1, 3, 4}, one[2] = {3, 1}, b[1] = {-1}, bad[1] = {3},
                  deep[3] = {2, 3, 4};
    const struct type ts = type_of(3, s), t1 = type_of(2, one), tb = type_of(1, b);
    const struct type t3 = type_of(1, bad), td = type_of(3, deep);
    struct type out;
    int8_t to[HYP_RANK];
    unsigned axis = 99;
    assert_true(type_join(&ts, &t1, &out, &axis));
    assert_true(type_eq(&out, &ts));
    assert_true(map_align(&ts, &t1, to));
    assert_int_equal(to[0], 1);
    assert_int_equal(to[1], -1);
    assert_true(map_align(&ts, &tb, to)); /* batch with batch, nothing else */
    assert_int_equal(to[0], 0);
    assert_false(type_join(&ts, &t3, &out, &axis));
    assert_int_equal(axis, 2);
    assert_true(type_join(&tb, &td, &out, &axis)); /* more unit axes than the sample has */
    assert_int_equal(out.rank, 4);
    assert_false(map_align(&td, &tb, to)); /* a shared value cannot take a sample */
    assert_string_equal(type_print(&ts, f->a), "f32[3, 4] per sample");
    assert_string_equal(type_print(&td, f->a), "f32[2, 3, 4] shared");
    out = type_scalar(DT_I32);
    assert_string_equal(type_print(&out, f->a), "i32 shared");
    out = tb;
    out.dim[0].b = 2;
    out.sample = false;
    assert_string_equal(type_print(&out, f->a), "f32[2B] shared");
    assert_int_equal(type_elems(&ts, 5), 60);
}

static void equal_nodes_are_one(void **state)
{
    struct fixture *f = *state;
    struct graph *g = &f->g;
    const int32_t d[1] = {3};
    const value_id x = leaf(f, "x", 1, d), y = leaf(f, "y", 1, d);
    const value_id sum = graph_op2(g, SX_ADD, x, y);
    assert_int_equal(graph_op2(g, SX_ADD, x, y), sum);
    assert_int_equal(leaf(f, "x", 1, d), x);
    g->expr = graph_new_expr(g);
    assert_int_not_equal(graph_op2(g, SX_ADD, x, y), sum); /* until contraction is done */
    g->expr = 0;
    g->at = graph_region(g, REGION_PHASE, "other");
    assert_int_not_equal(graph_op2(g, SX_ADD, x, y), sum);
}

static void maps_are_tidied(void **state)
{
    struct fixture *f = *state;
    struct graph *g = &f->g;
    const int32_t d[1] = {3};
    const value_id x = leaf(f, "x", 1, d);
    const value_id twice = graph_op2(g, SX_MUL, x, x);
    assert_int_equal(g->node[g->value[twice].def].nin, 1);
    const value_id scaled = graph_op2(g, SX_MUL, x, graph_const(g, 2));
    assert_int_equal(g->node[g->value[scaled].def].nin, 1);
    assert_int_equal(graph_op2(g, SX_MUL, x, graph_const(g, 1)), x);
    const value_id folded = graph_op2(g, SX_ADD, graph_const(g, 2), graph_const(g, 3));
    assert_int_equal(folded, graph_const(g, 5));
}

static void views_and_identities_vanish(void **state)
{
    struct fixture *f = *state;
    struct graph *g = &f->g;
    const int32_t d[2] = {3, 4};
    const uint8_t same[2] = {0, 1};
    const value_id x = leaf(f, "x", 2, d);
    const struct type t = *graph_type(g, x);
    assert_int_equal(graph_permute(g, x, same), x);
    assert_int_equal(graph_reshape(g, x, &t), x);
    assert_int_equal(graph_broadcast(g, x, &t), x);
    assert_int_equal(graph_sum_to(g, x, &t), x);
    assert_int_equal(graph_retype(g, x, false), x);
    assert_int_equal(graph_sum(g, x, 0), x);
    const int32_t odd[2] = {4, 3};
    const struct type u = type_of(2, odd);
    assert_int_equal(graph_reshape(g, x, &u), 0); /* no common digits: said, not built */
}

static void gather_types(void **state)
{
    struct fixture *f = *state;
    const int32_t table[2] = {10, 3}, rows[3] = {-1, 6, 2}, b[1] = {-1};
    struct type src = type_of(2, table), index = type_of(1, b), out;
    bool aligned;
    (void)f;
    index.dtype = DT_I32;
    assert_true(
        gather_type(&src, &index, 0, &out, &aligned)); /* embedding: a row a sample */
    assert_true(out.sample && out.rank == 2 && !aligned);
    src = type_of(3, rows);
    assert_true(
        gather_type(&src, &index, 1, &out, &aligned)); /* one of six for each sample */
    assert_true(aligned && out.rank == 2 && out.dim[1].c == 2);
    index = type_scalar(DT_I32);
    assert_true(gather_type(&src, &index, 1, &out, &aligned)); /* the same for all */
    assert_true(!aligned && out.rank == 2);
    assert_false(gather_type(&src, &index, 0, &out, &aligned)); /* the batch would go */
    index.dtype = DT_F32;
    assert_false(gather_type(&src, &index, 1, &out, &aligned));
}

static bool reads(struct arena *a, const char *text)
{
    struct graph g;
    graph_init(&g, a);
    return graph_parse(&g, text, diag_sink_new(a, 3), 0);
}

static void reader_refuses(void **state)
{
    struct fixture *f = *state;
    static const char head[] =
        "region 2 phase \"p\"\nleaf 1 param \"w\" f32[3]\n%1:f32[3] = leaf 1\n";
    static const char *const wrong[] = {
        "%2:f32[3] = map tanh(%0) (%3) r2\n",            /* an operand that comes later */
        "%3:f32[3] = map tanh(%0) (%1) r2\n",            /* a number left out */
        "%2:f32[3] = map tanh(%0) (%1)\n",               /* no region */
        "%2:f32[4] = map tanh(%0) (%1) r2\n",            /* does not line up */
        "%2:i32[3] = map tanh(%0) (%1) r2\n",            /* dtype */
        "%2:f32[3] = map tanh(%1) (%1) r2\n",            /* no such operand */
        "%2:f32[3] = map tanh(%0:i) (%1) r2\n",          /* operand of another dtype */
        "%2:f32[3] = map i2f(@1) () r2\n",               /* no such axis */
        "%2:f32[3] = map uniform01(rng(1, 0i)) () r2\n", /* no such site */
        "%2:f32[3] = map $0 () r2\n",                    /* run-time scalars come later */
        "%2:f32[3] = form {a:3} S[a] += A[a] () r2\n",   /* no operand */
        "%2:f32[4] = form {a:3} S[a] += A[a] (%1) r2\n", /* not the port's shape */
        "%2:f32[3] = frob (%1) r2\n",                    /* no such op */
        "%2:f32[3] = stop (%1) r7\n",                    /* no such region */
        "%2:f32[3] = stop (%1) r2 p4\n",                 /* no such place */
        "%2:f32[3] = gather 0 (%1, %1) r2\n",            /* an index that is no integer */
        "root 2 update 0 leaf 1 := %9\n",                /* no such value */
        "root 2 frob 0 := %1\n",
        "leaf 3 param \"v\" f32[3]\n",       /* numbers in order */
        "leaf 2 param \"v\" f32[3] := %1\n", /* only versions name values */
        "leaf 2 param \"v\n",                /* the quote is not closed */
        "place 1 1:1:1+1 written 5\n",       /* a parent that comes later */
        "%2:f32[3] = stop (%1) r2\n%3:f32[3] = stop (%1) r2\n", /* the same node twice */
        "%2:f32[3] = stop (%1) r2 nonsense\n",
        "nonsense\n",
    };
    assert_true(reads(f->a, head));
    assert_true(reads(f->a, arena_fmt(f->a, "%s%s", head,
                                      "# remark\n%2:f32[3] = map tanh(%0) (%1) r2\n")));
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (reads(f->a, arena_fmt(f->a, "%s%s", head, wrong[i])))
            fail_msg("accepted: %s", wrong[i]);
}

/* Whatever the text: refused or read, never a crash (run under sanitizers). */
static void damaged_text_is_safe(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 60; seed++) {
        struct arena *a = arena_new();
        struct program p;
        struct rng rng = {seed};
        const struct random_options o = {.nodes = 8};
        random_graph(a, seed, &o, &p);
        const char *text = graph_print(&p.graph, a);
        const uint32_t n = (uint32_t)strlen(text);
        for (unsigned k = 0; k < 40; k++) {
            struct arena *scratch = arena_new();
            char *s = arena_str(scratch, text);
            for (unsigned m = 0; m < 1 + k % 3; m++) {
                const uint32_t at = rng_below(&rng, n);
                if (k % 2)
                    s[at] = text[rng_below(&rng, n)];
                else
                    memmove(s + at, s + at + 1, strlen(s + at));
            }
            reads(scratch, s);
            arena_free(scratch);
        }
        arena_free(a);
    }
}

static bool copy(struct rebuild *r, node_id id)
{
    graph_copy_node(r, id);
    return true;
}

static void rebuilding_keeps_what_is_reached(void **state)
{
    struct fixture *f = *state;
    struct graph *g = &f->g;
    const int32_t d[1] = {3};
    const value_id x = leaf(f, "x", 1, d);
    const value_id dead = graph_op1(g, SX_FN_exp, x), named = graph_op1(g, SX_FN_sin, x);
    const value_id out = graph_op1(g, SX_FN_cos, x);
    const leaf_id id = graph_find_leaf(g, LEAF_PARAM, "x");
    value_id *map;
    graph_root(g, g->at, ROOT_UPDATE, 0, id, out, NULL);
    const value_id next = graph_leaf(g, LEAF_PARAM, 1, g->at, "x", *graph_type(g, x));
    g->leaf[g->node[g->value[next].def].attr].def = out;
    graph_root(g, g->at, ROOT_OUTPUT, 1, 0, graph_op1(g, SX_FN_tanh, next), "y");
    assert_true(graph_rebuild_keep(g, copy, NULL, &named, 1, &map));
    assert_null(graph_validate(g, f->a));
    assert_int_equal(map[dead], 0);
    assert_int_not_equal(map[named], 0);
    assert_int_equal(g->leaf[2].def, map[out]);
    assert_int_equal(g->region[2].root[0].value, map[out]);
    assert_int_equal(g->nnode - 1, 5);
}

/* Nothing of a graph that was rebuilt is left but its last tables. */
static void rebuilding_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct graph *g = &f->g;
    const int32_t d[1] = {3};
    value_id y = leaf(f, "x", 1, d);
    for (unsigned i = 0; i < 100; i++)
        y = graph_op1(g, i % 2 ? SX_FN_sin : SX_FN_exp, y);
    graph_root(g, g->at, ROOT_OUTPUT, 0, 0, y, "y");
    const char *text = graph_print(g, f->a);
    const size_t before = arena_bytes(f->a);
    graph_own_tables(g);
    for (unsigned i = 0; i < 20; i++) {
        const struct graph old = *g;
        assert_true(graph_rebuild(g, copy, NULL, NULL));
        graph_drop_tables(&old);
    }
    graph_settle_tables(g);
    const size_t once = g->nnode * sizeof *g->node + g->nvalue * sizeof *g->value;
    assert_in_range(arena_bytes(f->a) - before, once, 2 * once);
    assert_null(graph_validate(g, f->a));
    assert_string_equal(graph_print(g, f->a), text);
    const node_id n = g->nnode;
    graph_op1(g, SX_FN_exp, graph_leaf(g, LEAF_PARAM, 0, 0, "x", *graph_type(g, y)));
    assert_int_equal(g->nnode, n); /* it is found */
}

static void nothing_is_rebuilt(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 2; i++) {
        graph_own_tables(&f->g);
        const struct graph old = f->g;
        assert_true(graph_rebuild(&f->g, copy, NULL, NULL));
        graph_drop_tables(&old);
        graph_settle_tables(&f->g);
    }
    assert_null(graph_validate(&f->g, f->a));
    const int32_t d[1] = {3};
    graph_op1(&f->g, SX_FN_exp, leaf(f, "x", 1, d));
    assert_int_equal(f->g.nnode, 3);
}

int main(void)
{
#define GRAPH_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        GRAPH_TEST(types_join_from_the_right),
        GRAPH_TEST(equal_nodes_are_one),
        GRAPH_TEST(maps_are_tidied),
        GRAPH_TEST(views_and_identities_vanish),
        GRAPH_TEST(gather_types),
        GRAPH_TEST(reader_refuses),
        GRAPH_TEST(damaged_text_is_safe),
        GRAPH_TEST(rebuilding_keeps_what_is_reached),
        GRAPH_TEST(rebuilding_leaves_nothing),
        GRAPH_TEST(nothing_is_rebuilt),
    };
    return cmocka_run_group_tests_name("graph", tests, NULL, NULL);
}
