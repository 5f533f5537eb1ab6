/*
 * Expressions: a parser by recursive descent, one function a level of the grammar
 * (docs/language.md, section 3).  It stops at the first mistake of an expression.  Depth
 * counts nodes from a leaf to the root, so that whoever walks a tree may recurse.
 */
#include "compiler/front/parser.h"

#include <float.h>
#include <string.h>

#include "runtime/base/arena.h"

static void too_deep(struct parser *p, struct loc loc)
{
    if (!p->failed)
        diag(p->ds, E0902, loc, "limit exceeded: an expression is at most %d deep",
             EXPR_DEPTH);
    p->failed = true;
}

/* What recurses in the grammar: a part one level further down. */
static struct expr *deeper(struct parser *p, struct expr *(*part)(struct parser *))
{
    if (++p->nested > EXPR_DEPTH)
        too_deep(p, p->now.loc);
    if (p->failed)
        return NULL;
    struct expr *e = part(p);
    p->nested--;
    return e;
}

static struct expr *make(struct parser *p, enum expr_kind kind, struct loc loc)
{
    struct expr *e = arena_alloc(p->a, sizeof *e);
    e->kind = (uint8_t)kind;
    e->loc = loc;
    e->depth = 1;
    return e;
}

/* A growing row of children. */
struct row {
    struct expr **e;
    uint32_t n, cap;
};

static void push(struct parser *p, struct row *r, struct expr *e)
{
    r->e = arena_grow(p->a, r->e, &r->cap, r->n + 1, sizeof *r->e);
    r->e[r->n++] = e;
}

/* Give e its children and its depth. NULL on a mistake. */
static struct expr *finish(struct parser *p, struct expr *e, struct row children)
{
    unsigned depth = 0;
    for (uint32_t i = 0; i < children.n; i++)
        if (children.e[i] && children.e[i]->depth > depth)
            depth = children.e[i]->depth;
    if (depth >= EXPR_DEPTH)
        too_deep(p, e->loc);
    if (p->failed)
        return NULL;
    e->depth = (uint16_t)(depth + 1);
    e->child = children.e;
    e->n = children.n;
    return e;
}

static struct expr *with_children(struct parser *p, struct expr *e, struct expr *x,
                                  struct expr *y)
{
    struct row r = {0};
    push(p, &r, x);
    if (y)
        push(p, &r, y);
    return finish(p, e, r);
}

static enum expr_unit unit_now(const struct parser *p)
{
    static const char *const unit[] = {"", "s", "ms", "us", "Hz", "kHz"};
    for (unsigned i = UNIT_S; i <= UNIT_KHZ; i++)
        if (parser_sees_word(p, unit[i]))
            return (enum expr_unit)i;
    return UNIT_NONE;
}

static struct expr *parse_number(struct parser *p)
{
    struct expr *e = make(p, EX_NUMBER, p->now.loc);
    e->number = p->now.number;
    if (e->number > (double)FLT_MAX) {
        diag(p->ds, E0113, e->loc, "a number out of range");
        diag_hint(p->ds, "the largest is %.7g", (double)FLT_MAX);
        p->failed = true;
        return NULL;
    }
    parser_advance(p);
    e->unit = (uint8_t)unit_now(p);
    if (e->unit != UNIT_NONE) {
        parser_advance(p);
        e->loc = parser_whole(p, e->loc);
    }
    return e;
}

static struct row parse_values(struct parser *p)
{
    struct row r = {0};
    do
        push(p, &r, parser_expr(p));
    while (parser_take(p, ","));
    return r;
}

static struct expr *parse_group(struct parser *p)
{
    const struct token open = p->now;
    const bool list = token_is(&open, "[");
    struct row r = {0};
    parser_advance(p);
    if (!list || !parser_sees(p, "]"))
        r = parse_values(p);
    parser_expect_close(p, list ? "]" : ")", &open);
    if (p->failed)
        return NULL;
    if (!list && r.n == 1)
        return r.e[0];
    return finish(p, make(p, list ? EX_LIST : EX_TUPLE, parser_whole(p, open.loc)), r);
}

static struct expr *parse_setting(struct parser *p)
{
    const struct token dollar = p->now;
    parser_advance(p);
    if (p->now.kind != TK_PATH || p->now.dotted || p->now.from != dollar.from + 1) {
        parser_unexpected(p, "the name of a setting follows `$` at once");
        return NULL;
    }
    struct expr *e = make(p, EX_SETTING, dollar.loc);
    e->name = parser_name(p);
    parser_advance(p);
    e->loc = parser_whole(p, dollar.loc);
    return e;
}

static struct expr *parse_atom(struct parser *p)
{
    struct expr *e = NULL;
    if (p->now.kind == TK_NUMBER)
        return parse_number(p);
    if (parser_sees(p, "(") || parser_sees(p, "["))
        return parse_group(p);
    if (parser_sees(p, "$"))
        return parse_setting(p);
    if (parser_sees(p, "_")) {
        e = make(p, EX_HOLE, p->now.loc);
    } else if (p->now.kind == TK_PATH && !parser_sees_operator(p)) {
        e = make(p, EX_NAME, p->now.loc);
        e->name = parser_name(p);
    } else {
        parser_unexpected(
            p, "a number, a name, `$name`, `(`, `[`, `-`, `~` or `not` may stand here");
        return NULL;
    }
    parser_advance(p);
    return e;
}

static struct expr *parse_argument(struct parser *p)
{
    if (p->now.kind != TK_PATH || p->now.dotted || !token_is(&p->next, "="))
        return parser_expr(p);
    const char *name = parser_name(p);
    const struct loc loc = p->now.loc;
    parser_advance(p);
    parser_advance(p);
    struct expr *value = parser_expr(p);
    if (!value)
        return NULL;
    struct expr *e =
        arena_copy(p->a, value, sizeof *value); /* the keyword belongs to this use */
    e->arg_name = name;
    e->arg_loc = loc;
    return e;
}

static struct expr *parse_call(struct parser *p, struct expr *callee)
{
    const struct token open = p->now;
    struct row r = {0};
    push(p, &r, callee);
    parser_advance(p);
    if (!parser_sees(p, ")")) {
        do
            push(p, &r, parse_argument(p));
        while (parser_take(p, ","));
    }
    parser_expect_close(p, ")", &open);
    return finish(p, make(p, EX_CALL, parser_whole(p, callee->loc)), r);
}

static struct expr *parse_range(struct parser *p)
{
    struct loc loc = p->now.loc;
    struct row r = {0};
    struct expr *from = parser_sees(p, ":") ? NULL : parser_expr(p);
    if (p->failed || !parser_take(p, ":"))
        return from;
    struct expr *to = parser_sees(p, ",") || parser_sees(p, "]") ? NULL : parser_expr(p);
    push(p, &r, from);
    push(p, &r, to);
    return finish(p, make(p, EX_RANGE, parser_whole(p, loc)), r);
}

static struct expr *parse_index(struct parser *p, struct expr *of)
{
    const struct token open = p->now;
    struct row r = {0};
    push(p, &r, of);
    parser_advance(p);
    do
        push(p, &r, parse_range(p));
    while (parser_take(p, ","));
    parser_expect_close(p, "]", &open);
    return finish(p, make(p, EX_INDEX, parser_whole(p, of->loc)), r);
}

/* `@now`, or `@-` and a whole number */
static struct expr *parse_at(struct parser *p, struct expr *of)
{
    struct expr *e = make(p, EX_AT, of->loc);
    parser_advance(p);
    if (parser_sees_word(p, "now")) {
        parser_advance(p);
    } else if (parser_sees(p, "-") && p->next.kind == TK_NUMBER && p->next.number >= 1 &&
               p->next.number < UINT16_MAX &&
               !memchr(p->text + p->next.from, '.', p->next.n)) {
        e->delay = (uint16_t)p->next.number;
        parser_advance(p);
        parser_advance(p);
    } else {
        parser_unexpected(p, "`@now`, or `@-` and a number of ticks");
        return NULL;
    }
    e->loc = parser_whole(p, of->loc);
    return with_children(p, e, of, NULL);
}

static struct expr *parse_part(struct parser *p, struct expr *of)
{
    struct expr *e = make(p, EX_DOT, of->loc);
    parser_advance(p);
    if (p->now.kind != TK_PATH) {
        parser_unexpected(p, "the name of a part follows `.`");
        return NULL;
    }
    e->name = parser_name(p);
    parser_advance(p);
    e->loc = parser_whole(p, of->loc);
    return with_children(p, e, of, NULL);
}

static struct expr *parse_postfix(struct parser *p)
{
    struct expr *e = parse_atom(p);
    while (e && !p->failed) {
        if (parser_sees(p, "("))
            e = parse_call(p, e);
        else if (parser_sees(p, "["))
            e = parse_index(p, e);
        else if (parser_sees(p, "@"))
            e = parse_at(p, e);
        else if (parser_sees(p, "."))
            e = parse_part(p, e);
        else
            return e;
    }
    return NULL;
}

static struct expr *parse_unary(struct parser *p);

static struct expr *binary(struct parser *p, enum expr_op op, struct loc loc,
                           struct expr *x, struct expr *y)
{
    struct expr *e = make(p, EX_BINARY, loc);
    e->op = (uint8_t)op;
    return with_children(p, e, x, y);
}

static struct expr *parse_power(struct parser *p)
{
    struct expr *x = parse_postfix(p);
    const struct loc loc = p->now.loc;
    if (!parser_take(p, "**"))
        return x;
    struct expr *y = deeper(p, parse_unary);
    return binary(p, XO_POW, loc, x, y);
}

static struct expr *parse_unary(struct parser *p)
{
    if (!parser_sees(p, "-") && !parser_sees(p, "~"))
        return parse_power(p);
    struct expr *e = make(p, EX_UNARY, p->now.loc);
    e->op = parser_sees(p, "~") ? XO_DRAW : XO_NEG;
    if (e->op == XO_DRAW)
        e->draw = ++*p->draw;
    parser_advance(p);
    return with_children(p, e, deeper(p, parse_unary), NULL);
}

struct infix {
    const char *sign;
    enum expr_op op;
};

static const struct infix *infix_now(const struct parser *p, const struct infix *row,
                                     unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (parser_sees(p, row[i].sign) || parser_sees_word(p, row[i].sign))
            return &row[i];
    return NULL;
}

/* x op y op z, to the left. */
static struct expr *parse_chain(struct parser *p, struct expr *(*part)(struct parser *),
                                const struct infix *row, unsigned n)
{
    struct expr *x = part(p);
    const struct infix *f;
    while (!p->failed && (f = infix_now(p, row, n)) != NULL) {
        const struct loc loc = p->now.loc;
        parser_advance(p);
        struct expr *y = part(p);
        x = binary(p, f->op, loc, x, y);
    }
    return p->failed ? NULL : x;
}

static struct expr *parse_product(struct parser *p)
{
    static const struct infix row[] = {{"*", XO_MUL}, {"/", XO_DIV}};
    return parse_chain(p, parse_unary, row, 2);
}

static struct expr *parse_sum(struct parser *p)
{
    static const struct infix row[] = {{"+", XO_ADD}, {"-", XO_SUB}};
    return parse_chain(p, parse_product, row, 2);
}

static struct expr *parse_compare(struct parser *p)
{
    static const struct infix row[] = {{"<", XO_LT},  {"<=", XO_LE}, {">", XO_GT},
                                       {">=", XO_GE}, {"==", XO_EQ}, {"!=", XO_NE}};
    struct expr *x = parse_sum(p);
    const struct infix *f = infix_now(p, row, 6);
    if (p->failed || !f)
        return x;
    const struct loc loc = p->now.loc;
    parser_advance(p);
    struct expr *y = parse_sum(p);
    if (!p->failed && infix_now(p, row, 6)) {
        diag(p->ds, E0112, p->now.loc, "comparisons do not chain");
        diag_hint(p->ds, "write `a < b and b < c`");
        p->failed = true;
    }
    return binary(p, f->op, loc, x, y);
}

static struct expr *parse_not(struct parser *p)
{
    if (!parser_sees_word(p, "not"))
        return parse_compare(p);
    struct expr *e = make(p, EX_UNARY, p->now.loc);
    e->op = XO_NOT;
    parser_advance(p);
    return with_children(p, e, deeper(p, parse_not), NULL);
}

static struct expr *parse_and(struct parser *p)
{
    static const struct infix row[] = {{"and", XO_AND}};
    return parse_chain(p, parse_not, row, 1);
}

static struct expr *parse_or(struct parser *p)
{
    static const struct infix row[] = {{"or", XO_OR}};
    return parse_chain(p, parse_and, row, 1);
}

struct expr *parser_expr(struct parser *p)
{
    return deeper(p, parse_or);
}

static struct expr *parse_text(struct arena *a, struct diag_sink *ds,
                               const struct doc_text *t, uint16_t *draw)
{
    struct parser p;
    if (t->n > EXPR_BYTES) {
        diag(ds, E0902, doc_at(t, 0, 1),
             "limit exceeded: an expression has at most 64 KiB");
        return NULL;
    }
    parser_start(&p, a, ds, t, draw);
    const struct loc from = p.now.loc;
    struct row r = parse_values(&p);
    if (!p.failed && p.now.kind != TK_END)
        parser_unexpected(&p, "an operator or the end of the expression may stand here");
    if (p.failed || r.n == 1)
        return p.failed ? NULL : r.e[0];
    return finish(&p, make(&p, EX_TUPLE, parser_whole(&p, from)), r);
}

static struct expr *parse_doc(struct arena *a, struct diag_sink *ds, struct doc *d,
                              uint16_t *draw);

/* A YAML list in the place of an expression. */
static struct expr *parse_list(struct arena *a, struct diag_sink *ds, struct doc *d,
                               uint16_t *draw)
{
    struct parser p = {.a = a, .ds = ds};
    struct row r = {0};
    for (uint32_t i = 0; i < d->n; i++) {
        struct expr *e = parse_doc(a, ds, d->entry[i].value, draw);
        p.failed |= !e;
        push(&p, &r, e);
    }
    return p.failed ? NULL : finish(&p, make(&p, EX_LIST, d->loc), r);
}

static struct expr *parse_doc(struct arena *a, struct diag_sink *ds, struct doc *d,
                              uint16_t *draw)
{
    if (d->bad)
        return NULL;
    if (d->kind == DOC_LIST)
        return parse_list(a, ds, d, draw);
    if (d->kind == DOC_MAP) {
        diag(ds, E0108, d->loc, "expected an expression, found a mapping");
        return NULL;
    }
    if (d->text.n == 0 || strcmp(d->text.text, "~") == 0) {
        diag(ds, E0109, d->loc, "empty value");
        diag_hint(ds,
                  "`~` alone is no expression: draw something, or write `none` to remove");
        return NULL;
    }
    return parse_text(a, ds, &d->text, draw);
}

struct expr *expr_parse(struct arena *a, struct diag_sink *ds, struct doc *d)
{
    uint16_t draw = 0;
    if (d->expr || d->bad)
        return d->bad ? NULL : d->expr;
    d->expr = parse_doc(a, ds, d, &draw);
    d->bad = !d->expr;
    return d->expr;
}
