/*
 * Expressions: a parser by recursive descent, one function a level of the grammar
 * (docs/language.md, section 3).  It stops at the first mistake of an expression.  Depth
 * counts nodes from a leaf to the root, so that whoever walks a tree may recurse.
 */
#include "compiler/front/expr.h"

#include <float.h>
#include <string.h>

#include "compiler/front/lex.h"
#include "runtime/base/arena.h"

struct parser {
    struct arena *a;
    struct diag_sink *ds;
    struct lexer lex;
    struct token now, next;
    const char *text;
    unsigned nested; /* levels of recursion */
    uint16_t *draw;  /* draws counted so far in this expression */
    struct loc last; /* the token taken last */
    bool failed;
};

static struct expr *parse_expr(struct parser *p);

static void advance(struct parser *p)
{
    p->last = p->now.loc;
    p->now = p->next;
    p->next = lexer_next(&p->lex);
}

static void start(struct parser *p, struct arena *a, struct diag_sink *ds,
                  const struct doc_text *t, uint16_t *draw)
{
    *p = (struct parser){.a = a, .ds = ds, .text = t->text, .draw = draw};
    lexer_start(&p->lex, t);
    p->now = lexer_next(&p->lex);
    p->next = lexer_next(&p->lex);
}

static bool is_sign(const struct token *k, const char *sign)
{
    return k->kind == TK_SIGN && strcmp(k->sign, sign) == 0;
}

static bool is_word(const struct parser *p, const struct token *k, const char *word)
{
    return k->kind == TK_PATH && k->n == strlen(word) &&
           memcmp(p->text + k->from, word, k->n) == 0;
}

static bool take_sign(struct parser *p, const char *sign)
{
    if (p->failed || !is_sign(&p->now, sign))
        return false;
    advance(p);
    return true;
}

static const char *spelled(struct parser *p, const struct token *k)
{
    return arena_strn(p->a, p->text + k->from, k->n);
}

/* E0110, once. */
static void unexpected(struct parser *p, const char *wanted)
{
    if (p->failed)
        return;
    p->failed = true;
    if (p->now.kind == TK_END)
        diag(p->ds, E0110, p->now.loc, "unexpected end of the expression");
    else
        diag(p->ds, E0110, p->now.loc, "unexpected `%s` in an expression",
             spelled(p, &p->now));
    if (is_sign(&p->now, ":"))
        diag_hint(p->ds, "keyword arguments take `=`");
    else
        diag_hint(p->ds, "%s", wanted);
}

static void too_deep(struct parser *p, struct loc loc)
{
    if (!p->failed)
        diag(p->ds, E0902, loc, "limit exceeded: an expression is at most %d deep",
             EXPR_DEPTH);
    p->failed = true;
}

static bool enter(struct parser *p)
{
    if (++p->nested > EXPR_DEPTH)
        too_deep(p, p->now.loc);
    return !p->failed;
}

/* From `from` to the token taken last; on one line. */
static struct loc whole(const struct parser *p, struct loc from)
{
    if (p->last.line == from.line && p->last.col + p->last.len > from.col)
        from.len = p->last.col + p->last.len - from.col;
    return from;
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
    return p->failed ? NULL : finish(p, e, r);
}

static enum expr_unit unit_of(const struct parser *p, const struct token *k)
{
    static const char *const unit[] = {"", "s", "ms", "us", "Hz", "kHz"};
    for (unsigned i = UNIT_S; i <= UNIT_KHZ; i++)
        if (is_word(p, k, unit[i]))
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
    advance(p);
    e->unit = (uint8_t)unit_of(p, &p->now);
    if (e->unit != UNIT_NONE) {
        advance(p);
        e->loc = whole(p, e->loc);
    }
    return e;
}

/* The closing bracket of `open`. */
static void expect_close(struct parser *p, const char *sign, const struct token *open)
{
    if (take_sign(p, sign) || p->failed)
        return;
    if (p->now.kind == TK_END) {
        diag(p->ds, E0111, open->loc, "`%s` is never closed", open->sign);
        p->failed = true;
        return;
    }
    unexpected(p, arena_fmt(p->a, "`,` or `%s` may stand here", sign));
    diag_note(p->ds, open->loc, "the `%s` stands here", open->sign);
}

static struct row parse_values(struct parser *p)
{
    struct row r = {0};
    do
        push(p, &r, parse_expr(p));
    while (take_sign(p, ","));
    return r;
}

static struct expr *parse_group(struct parser *p)
{
    const struct token open = p->now;
    const bool list = is_sign(&open, "[");
    struct row r = {0};
    advance(p);
    if (!list || !is_sign(&p->now, "]"))
        r = parse_values(p);
    expect_close(p, list ? "]" : ")", &open);
    if (p->failed)
        return NULL;
    if (!list && r.n == 1)
        return r.e[0];
    return finish(p, make(p, list ? EX_LIST : EX_TUPLE, whole(p, open.loc)), r);
}

static bool is_operator_word(const struct parser *p)
{
    return is_word(p, &p->now, "and") || is_word(p, &p->now, "or") ||
           is_word(p, &p->now, "not");
}

static struct expr *parse_setting(struct parser *p)
{
    const struct token dollar = p->now;
    advance(p);
    if (p->now.kind != TK_PATH || p->now.dotted || p->now.from != dollar.from + 1) {
        unexpected(p, "the name of a setting follows `$` at once");
        return NULL;
    }
    struct expr *e = make(p, EX_SETTING, dollar.loc);
    e->name = spelled(p, &p->now);
    advance(p);
    e->loc = whole(p, dollar.loc);
    return e;
}

static struct expr *parse_atom(struct parser *p)
{
    struct expr *e = NULL;
    if (p->now.kind == TK_NUMBER)
        return parse_number(p);
    if (is_sign(&p->now, "(") || is_sign(&p->now, "["))
        return parse_group(p);
    if (is_sign(&p->now, "$"))
        return parse_setting(p);
    if (is_sign(&p->now, "_")) {
        e = make(p, EX_HOLE, p->now.loc);
    } else if (p->now.kind == TK_PATH && !is_operator_word(p)) {
        e = make(p, EX_NAME, p->now.loc);
        e->name = spelled(p, &p->now);
    } else {
        unexpected(p,
                   "a number, a name, `$name`, `(`, `[`, `-`, `~` or `not` may stand here");
        return NULL;
    }
    advance(p);
    return e;
}

static struct expr *parse_argument(struct parser *p)
{
    if (p->now.kind != TK_PATH || p->now.dotted || !is_sign(&p->next, "="))
        return parse_expr(p);
    const char *name = spelled(p, &p->now);
    const struct loc loc = p->now.loc;
    advance(p);
    advance(p);
    struct expr *value = parse_expr(p);
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
    advance(p);
    if (!is_sign(&p->now, ")")) {
        do
            push(p, &r, parse_argument(p));
        while (take_sign(p, ","));
    }
    expect_close(p, ")", &open);
    return finish(p, make(p, EX_CALL, whole(p, callee->loc)), r);
}

static struct expr *parse_range(struct parser *p)
{
    struct loc loc = p->now.loc;
    struct row r = {0};
    struct expr *from = is_sign(&p->now, ":") ? NULL : parse_expr(p);
    if (p->failed || !take_sign(p, ":"))
        return from;
    struct expr *to = is_sign(&p->now, ",") || is_sign(&p->now, "]") ? NULL : parse_expr(p);
    push(p, &r, from);
    push(p, &r, to);
    return finish(p, make(p, EX_RANGE, whole(p, loc)), r);
}

static struct expr *parse_index(struct parser *p, struct expr *of)
{
    const struct token open = p->now;
    struct row r = {0};
    push(p, &r, of);
    advance(p);
    do
        push(p, &r, parse_range(p));
    while (take_sign(p, ","));
    expect_close(p, "]", &open);
    return finish(p, make(p, EX_INDEX, whole(p, of->loc)), r);
}

/* `@now`, or `@-` and a whole number */
static struct expr *parse_at(struct parser *p, struct expr *of)
{
    struct expr *e = make(p, EX_AT, of->loc);
    advance(p);
    if (is_word(p, &p->now, "now")) {
        advance(p);
    } else if (is_sign(&p->now, "-") && p->next.kind == TK_NUMBER && p->next.number >= 1 &&
               p->next.number < UINT16_MAX &&
               !memchr(p->text + p->next.from, '.', p->next.n)) {
        e->delay = (uint16_t)p->next.number;
        advance(p);
        advance(p);
    } else {
        unexpected(p, "`@now`, or `@-` and a number of ticks");
        return NULL;
    }
    e->loc = whole(p, of->loc);
    return with_children(p, e, of, NULL);
}

static struct expr *parse_part(struct parser *p, struct expr *of)
{
    struct expr *e = make(p, EX_DOT, of->loc);
    advance(p);
    if (p->now.kind != TK_PATH) {
        unexpected(p, "the name of a part follows `.`");
        return NULL;
    }
    e->name = spelled(p, &p->now);
    advance(p);
    e->loc = whole(p, of->loc);
    return with_children(p, e, of, NULL);
}

static struct expr *parse_postfix(struct parser *p)
{
    struct expr *e = parse_atom(p);
    while (e && !p->failed) {
        if (is_sign(&p->now, "("))
            e = parse_call(p, e);
        else if (is_sign(&p->now, "["))
            e = parse_index(p, e);
        else if (is_sign(&p->now, "@"))
            e = parse_at(p, e);
        else if (is_sign(&p->now, "."))
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
    return p->failed ? NULL : with_children(p, e, x, y);
}

static struct expr *parse_power(struct parser *p)
{
    struct expr *x = parse_postfix(p);
    const struct loc loc = p->now.loc;
    if (!take_sign(p, "**"))
        return x;
    if (!enter(p))
        return NULL;
    struct expr *y = parse_unary(p);
    p->nested--;
    return binary(p, XO_POW, loc, x, y);
}

static struct expr *parse_unary(struct parser *p)
{
    if (!is_sign(&p->now, "-") && !is_sign(&p->now, "~"))
        return parse_power(p);
    struct expr *e = make(p, EX_UNARY, p->now.loc);
    e->op = is_sign(&p->now, "~") ? XO_DRAW : XO_NEG;
    if (e->op == XO_DRAW)
        e->draw = ++*p->draw;
    advance(p);
    if (!enter(p))
        return NULL;
    struct expr *x = parse_unary(p);
    p->nested--;
    return p->failed ? NULL : with_children(p, e, x, NULL);
}

struct infix {
    const char *sign;
    enum expr_op op;
};

static const struct infix *infix_now(const struct parser *p, const struct infix *row,
                                     unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (is_sign(&p->now, row[i].sign) || is_word(p, &p->now, row[i].sign))
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
        advance(p);
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
    advance(p);
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
    if (!is_word(p, &p->now, "not"))
        return parse_compare(p);
    struct expr *e = make(p, EX_UNARY, p->now.loc);
    e->op = XO_NOT;
    advance(p);
    if (!enter(p))
        return NULL;
    struct expr *x = parse_not(p);
    p->nested--;
    return p->failed ? NULL : with_children(p, e, x, NULL);
}

static struct expr *parse_and(struct parser *p)
{
    static const struct infix row[] = {{"and", XO_AND}};
    return parse_chain(p, parse_not, row, 1);
}

static struct expr *parse_expr(struct parser *p)
{
    static const struct infix row[] = {{"or", XO_OR}};
    if (!enter(p))
        return NULL;
    struct expr *e = parse_chain(p, parse_and, row, 1);
    p->nested--;
    return e;
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
    start(&p, a, ds, t, draw);
    const struct loc from = p.now.loc;
    struct row r = parse_values(&p);
    if (!p.failed && p.now.kind != TK_END)
        unexpected(&p, "an operator or the end of the expression may stand here");
    if (p.failed || r.n == 1)
        return p.failed ? NULL : r.e[0];
    return finish(&p, make(&p, EX_TUPLE, whole(&p, from)), r);
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

/* `du/dt` */
static bool parse_rate(struct parser *p, struct expr_key *out)
{
    if (p->now.kind != TK_PATH || p->now.dotted || p->now.n < 2 ||
        p->text[p->now.from] != 'd' || !is_sign(&p->next, "/"))
        return false;
    out->path[0] = arena_strn(p->a, p->text + p->now.from + 1, p->now.n - 1);
    out->path_loc[0] = p->now.loc;
    out->path_loc[0].col++;
    out->path_loc[0].len--;
    out->npath = 1;
    out->is_rate = true;
    advance(p);
    advance(p);
    if (!is_word(p, &p->now, "dt"))
        unexpected(p, "a rate is written `du/dt`");
    else
        advance(p);
    return true;
}

static void parse_params(struct parser *p, struct expr_key *out)
{
    const struct token open = p->now;
    uint32_t cap = 0;
    out->is_call = true;
    advance(p);
    while (!p->failed && !is_sign(&p->now, ")")) {
        if (p->now.kind != TK_PATH || p->now.dotted || is_operator_word(p)) {
            if (p->now.kind == TK_END)
                break;
            unexpected(p, "the name of an argument may stand here");
            return;
        }
        out->param =
            arena_grow(p->a, out->param, &cap, out->nparam + 1, sizeof *out->param);
        struct expr_param *q = &out->param[out->nparam++];
        *q = (struct expr_param){spelled(p, &p->now), p->now.loc, NULL};
        advance(p);
        if (take_sign(p, "="))
            q->value = parse_expr(p);
        if (!take_sign(p, ","))
            break;
    }
    expect_close(p, ")", &open);
}

static void parse_paths(struct parser *p, struct expr_key *out)
{
    uint32_t cap = 0, loc_cap = 0;
    do {
        if (p->now.kind != TK_PATH || is_operator_word(p)) {
            unexpected(
                p, "a name may stand here: letters, digits, `_`, and `.` between names");
            return;
        }
        out->path = arena_grow(p->a, out->path, &cap, out->npath + 1, sizeof *out->path);
        out->path_loc = arena_grow(p->a, out->path_loc, &loc_cap, out->npath + 1,
                                   sizeof *out->path_loc);
        out->path_loc[out->npath] = p->now.loc;
        out->path[out->npath++] = spelled(p, &p->now);
        advance(p);
    } while (take_sign(p, ","));
    if (!p->failed && out->npath == 1 && is_sign(&p->now, "("))
        parse_params(p, out);
}

bool expr_parse_key(struct arena *a, struct diag_sink *ds, const struct doc_text *t,
                    struct expr_key *out)
{
    struct parser p;
    uint16_t draw = 0;
    *out = (struct expr_key){.path = arena_array(a, 1, sizeof *out->path),
                             .path_loc = arena_array(a, 1, sizeof *out->path_loc)};
    start(&p, a, ds, t, &draw);
    if (!parse_rate(&p, out)) {
        out->path = NULL;
        out->path_loc = NULL;
        parse_paths(&p, out);
    }
    if (!p.failed && p.now.kind != TK_END)
        unexpected(&p, "a key is a list of names, `name(arguments)` or `du/dt`");
    return !p.failed;
}
