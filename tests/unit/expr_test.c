/* Expressions: precedence, places, round trips of random trees. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/front/expr.h"
#include "runtime/base/arena.h"
#include "tests/unit/cmocka_all.h"

static struct expr *parse(struct arena *a, struct diag_sink *ds, const char *text)
{
    return expr_parse(a, ds, doc_scalar(a, (struct loc){1, 1, 1, 0}, text));
}

/* The tree with every bracket written: (+ a (* b c)). */
static const char *shape(struct arena *a, const struct expr *e)
{
    static const char *const op[] = {"-", "~",  "not", "+",  "-",  "*",  "/",   "**",
                                     "<", "<=", ">",   ">=", "==", "!=", "and", "or"};
    const char *s;
    if (!e)
        return "";
    switch ((enum expr_kind)e->kind) {
    case EX_NUMBER:
        return arena_fmt(a, "%g%s", e->number, e->unit ? "u" : "");
    case EX_NAME:
        return e->name;
    case EX_SETTING:
        return arena_fmt(a, "$%s", e->name);
    case EX_HOLE:
        return "_";
    case EX_TUPLE:
        s = "(,";
        break;
    case EX_LIST:
        s = "([";
        break;
    case EX_CALL:
        s = "(call";
        break;
    case EX_DOT:
        s = arena_fmt(a, "(.%s", e->name);
        break;
    case EX_INDEX:
        s = "(index";
        break;
    case EX_RANGE:
        s = "(:";
        break;
    case EX_UNARY:
    case EX_BINARY:
        s = arena_fmt(a, "(%s", op[e->op]);
        break;
    case EX_AT:
        s = arena_fmt(a, "(@%u", e->delay);
        break;
    default:
        s = "(?";
        break;
    }
    for (uint32_t i = 0; i < e->n; i++)
        s = arena_fmt(a, "%s %s%s%s", s,
                      e->child[i] && e->child[i]->arg_name ? e->child[i]->arg_name : "",
                      e->child[i] && e->child[i]->arg_name ? "=" : "",
                      shape(a, e->child[i]));
    return arena_fmt(a, "%s)", s);
}

static void trees(void **state)
{
    static const char *const row[][2] = {
        {"a + b * c", "(+ a (* b c))"},
        {"a - b - c", "(- (- a b) c)"},
        {"a ** b ** c", "(** a (** b c))"},
        {"-a**2", "(- (** a 2))"},
        {"2**-a", "(** 2 (- a))"},
        {"~normal()/2", "(/ (~ (call normal)) 2)"},
        {"-~a", "(- (~ a))"},
        {"not a < b and c or d", "(or (and (not (< a b)) c) d)"},
        {"a.b.c(x).d.e[1:2, :, 3]", "(index (.d.e (call a.b.c x)) (: 1 2) (:  ) 3)"},
        {"f(x, over=[batch, 1], k=$s)", "(call f x over=([ batch 1) k=$s)"},
        {"u@now + u@-3", "(+ (@0 u) (@3 u))"},
        {"E(x).z@now.y", "(.y (@0 (.z (call E x))))"},
        {"a, b", "(, a b)"},
        {"(a, b)", "(, a b)"},
        {"(a)", "a"},
        {"[]", "([)"},
        {"q(_, 64)", "(call q _ 64)"},
        {"10 ms * 5Hz", "(* 10u 5u)"},
        {"n.T(e)", "(call n.T e)"},
        {"x[: 3]", "(index x (:  3))"},
        {"encode.1.bias", "encode.1.bias"},
        {"1e-4 + 2.5E+3", "(+ 0.0001 2500)"},
        {"f(a=b == c)", "(call f a=(== b c))"},
    };
    (void)state;
    struct arena *a = arena_new();
    struct diag_sink *ds = diag_sink_new(a, 10);
    for (unsigned i = 0; i < sizeof row / sizeof *row; i++) {
        const struct expr *e = parse(a, ds, row[i][0]);
        diag_print(ds, stderr, false);
        assert_string_equal(shape(a, e), row[i][1]);
    }
    arena_free(a);
}

static void refusals(void **state)
{
    static const char *const wrong[] = {
        "",          "a b",         "a +",    "+ a",    "(",        ")",     "a)",
        "[a",        "f(a",         "f(a b)", "f(, a)", "a.",       ".a",    "1.",
        "a..b",      "$",           "$ a",    "$a.b",   "_a",       "a@",    "a@later",
        "a@-",       "a@-1.5",      "a@3",    "x[]",    "x[1",      "a = b", "f(a.b=c)",
        "a < b < c", "a == b != c", "#",      "a ; b",  "\"a\"",    "'a'",   "not",
        "and",       "a or",        "f(not)", "1 2",    "a ? b",    "1e999", "()",
        "a,",        ",a",          "a !",    "a ! b",  "\xc3\xa9", "a: b",  "x[a:b:c]",
        "1..2",      "~",           "- -",    "a*/b",   "**a"};
    (void)state;
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct arena *a = arena_new();
        struct diag_sink *ds = diag_sink_new(a, 10);
        if (parse(a, ds, wrong[i]) || diag_errors(ds) != 1)
            fail_msg("`%s` gave %u mistakes", wrong[i], diag_errors(ds));
        arena_free(a);
    }
}

static void places_of_nodes(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    struct diag_sink *ds = diag_sink_new(a, 10);
    const struct expr *e = parse(a, ds, "ab + f(x, key = yy[2])");
    assert_int_equal(e->loc.col, 4);
    assert_int_equal(e->child[0]->loc.len, 2);
    const struct expr *call = e->child[1];
    assert_int_equal(call->loc.col, 6);
    assert_int_equal(call->loc.len, 17);
    assert_int_equal(call->child[2]->loc.col, 17);
    assert_int_equal(call->child[2]->loc.len, 5);
    assert_int_equal(call->child[2]->arg_loc.col, 11);
    arena_free(a);
}

static void draws_are_numbered(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    struct diag_sink *ds = diag_sink_new(a, 10);
    const struct expr *e = parse(a, ds, "~a + f(~b, ~(~c))");
    const struct expr *call = e->child[1];
    assert_int_equal(e->child[0]->draw, 1);
    assert_int_equal(call->child[1]->draw, 2);
    assert_int_equal(call->child[2]->draw, 3);
    assert_int_equal(call->child[2]->child[0]->draw, 4);
    arena_free(a);
}

static struct expr_key key(struct arena *a, struct diag_sink *ds, const char *text)
{
    struct expr_key k;
    const struct doc *d = doc_scalar(a, (struct loc){1, 1, 1, 0}, text);
    assert_true(expr_parse_key(a, ds, &d->text, &k));
    return k;
}

static void keys(void **state)
{
    static const char *const wrong[] = {"",        "a b",     "f(x", "f(1)", "a,",
                                        "f(x=)",   "a, f(x)", "1",   "d/dt", "du/dx",
                                        "du/dt x", "$a",      "not", "a-b",  "f(x.y)"};
    (void)state;
    struct arena *a = arena_new();
    struct diag_sink *ds = diag_sink_new(a, 100);
    struct expr_key k = key(a, ds, "lose.x, gain.x");
    assert_int_equal(k.npath, 2);
    assert_string_equal(k.path[1], "gain.x");
    assert_int_equal(k.path_loc[1].col, 9);
    k = key(a, ds, "D.x(h, units=f(2), weights)");
    assert_true(k.is_call);
    assert_int_equal(k.nparam, 3);
    assert_string_equal(k.param[1].name, "units");
    assert_int_equal(k.param[1].value->kind, EX_CALL);
    assert_int_equal(k.param[2].loc.col, 20);
    k = key(a, ds, "du/dt");
    assert_true(k.is_rate);
    assert_string_equal(k.path[0], "u");
    k = key(a, ds, "f()");
    assert_true(k.is_call && k.nparam == 0);
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const unsigned before = diag_errors(ds);
        const struct doc *d = doc_scalar(a, (struct loc){1, 1, 1, 0}, wrong[i]);
        if (expr_parse_key(a, ds, &d->text, &k) || diag_errors(ds) != before + 1)
            fail_msg("the key `%s` is taken", wrong[i]);
    }
    arena_free(a);
}

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static struct expr *make(struct arena *a, enum expr_kind kind, uint32_t n)
{
    struct expr *e = arena_alloc(a, sizeof *e);
    e->kind = (uint8_t)kind;
    e->n = n;
    e->child = arena_array(a, n + 1, sizeof *e->child);
    return e;
}

static struct expr *random_tree(struct arena *a, uint32_t *seed, int depth);

static struct expr *random_leaf(struct arena *a, uint32_t *seed)
{
    static const char *const name[] = {"a",    "wake", "x.wake", "e1.2.w",
                                       "not_", "s",    "now",    "T"};
    static const double number[] = {0, 1, 0.1, 1e-4, 2.5, 1e20, 3e38, 123456789};
    const uint32_t k = next(seed) % 8;
    struct expr *e = make(a,
                          k < 3    ? EX_NUMBER
                          : k < 6  ? EX_NAME
                          : k == 6 ? EX_SETTING
                                   : EX_HOLE,
                          0);
    if (e->kind == EX_NUMBER) {
        e->number = number[next(seed) % 8];
        e->unit = next(seed) % 4 ? UNIT_NONE : (uint8_t)(next(seed) % 6);
    } else if (e->kind != EX_HOLE) {
        e->name = name[e->kind == EX_SETTING ? next(seed) % 2 : next(seed) % 8];
    }
    return e;
}

static struct expr *random_row(struct arena *a, uint32_t *seed, int depth,
                               enum expr_kind kind, uint32_t least)
{
    struct expr *e = make(a, kind, least + next(seed) % 3);
    for (uint32_t i = 0; i < e->n; i++)
        e->child[i] = random_tree(a, seed, depth - 1);
    for (uint32_t i = 1; kind == EX_CALL && i < e->n; i++)
        if (next(seed) % 3 == 0)
            e->child[i]->arg_name = "over";
    for (uint32_t i = 1; kind == EX_INDEX && i < e->n; i++) {
        if (next(seed) % 2)
            continue;
        struct expr *range = make(a, EX_RANGE, 2);
        range->child[0] = next(seed) % 2 ? e->child[i] : NULL;
        range->child[1] = next(seed) % 2 ? random_tree(a, seed, depth - 1) : NULL;
        e->child[i] = range;
    }
    return e;
}

static struct expr *random_tree(struct arena *a, uint32_t *seed, int depth)
{
    if (depth <= 0)
        return random_leaf(a, seed);
    struct expr *e;
    switch (next(seed) % 10) {
    case 0:
        return random_row(a, seed, depth, EX_TUPLE, 2);
    case 1:
        return random_row(a, seed, depth, EX_LIST, 0);
    case 2:
        return random_row(a, seed, depth, EX_CALL, 1);
    case 3:
        return random_row(a, seed, depth, EX_INDEX, 2);
    case 4:
        e = random_row(a, seed, depth, EX_DOT, 1);
        e->n = 1;
        e->name = next(seed) % 2 ? "part" : "part.of";
        return e->child[0]->kind == EX_DOT ? e->child[0] : e; /* one path */
    case 5:
        e = random_row(a, seed, depth, EX_AT, 1);
        e->n = 1;
        e->delay = (uint16_t)(next(seed) % 3);
        return e;
    case 6:
        e = random_row(a, seed, depth, EX_UNARY, 1);
        e->n = 1;
        e->op = (uint8_t)(next(seed) % 3);
        return e;
    default:
        e = random_row(a, seed, depth, EX_BINARY, 2);
        e->n = 2;
        e->op = (uint8_t)(XO_ADD + next(seed) % (XO_OR - XO_ADD + 1));
        return e;
    }
}

static void random_trees_round_trip(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 5000; seed++) {
        struct arena *a = arena_new();
        struct diag_sink *ds = diag_sink_new(a, 10);
        uint32_t s = seed;
        const struct expr *e = random_tree(a, &s, 1 + (int)(seed % 6));
        const char *text = expr_print(e, a);
        const struct expr *again = parse(a, ds, text);
        diag_print(ds, stderr, false);
        if (!again || strcmp(shape(a, e), shape(a, again)) != 0)
            fail_msg("seed %u: %s\nwas %s\nis  %s", seed, text, shape(a, e),
                     again ? shape(a, again) : "no expression");
        assert_string_equal(text, expr_print(again, a));
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees),
        cmocka_unit_test(refusals),
        cmocka_unit_test(places_of_nodes),
        cmocka_unit_test(draws_are_numbered),
        cmocka_unit_test(keys),
        cmocka_unit_test(random_trees_round_trip),
    };
    return cmocka_run_group_tests_name("expr", tests, NULL, NULL);
}
