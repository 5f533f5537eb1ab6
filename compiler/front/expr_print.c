/* Expressions as text, with the fewest parentheses that parse back to the same tree. */
#include <string.h>

#include "compiler/front/expr.h"
#include "compiler/front/text.h"
#include "runtime/base/arena.h"
#include "runtime/base/json.h"

/* How tightly a node holds together; an operand below what its place needs gets
 * parentheses. */
enum level {
    L_VALUES,
    L_OR,
    L_AND,
    L_NOT,
    L_COMPARE,
    L_SUM,
    L_PRODUCT,
    L_UNARY,
    L_POWER,
    L_POSTFIX
};

struct op_row {
    const char *sign;
    enum level level, left, right;
};
static const struct op_row op_row[] = {
    [XO_NEG] = {"-", L_UNARY, L_UNARY, L_UNARY},
    [XO_DRAW] = {"~", L_UNARY, L_UNARY, L_UNARY},
    [XO_NOT] = {"not ", L_NOT, L_NOT, L_NOT},
    [XO_ADD] = {" + ", L_SUM, L_SUM, L_PRODUCT},
    [XO_SUB] = {" - ", L_SUM, L_SUM, L_PRODUCT},
    [XO_MUL] = {" * ", L_PRODUCT, L_PRODUCT, L_UNARY},
    [XO_DIV] = {" / ", L_PRODUCT, L_PRODUCT, L_UNARY},
    [XO_POW] = {"**", L_POWER, L_POSTFIX, L_UNARY},
    [XO_LT] = {" < ", L_COMPARE, L_SUM, L_SUM},
    [XO_LE] = {" <= ", L_COMPARE, L_SUM, L_SUM},
    [XO_GT] = {" > ", L_COMPARE, L_SUM, L_SUM},
    [XO_GE] = {" >= ", L_COMPARE, L_SUM, L_SUM},
    [XO_EQ] = {" == ", L_COMPARE, L_SUM, L_SUM},
    [XO_NE] = {" != ", L_COMPARE, L_SUM, L_SUM},
    [XO_AND] = {" and ", L_AND, L_AND, L_NOT},
    [XO_OR] = {" or ", L_OR, L_OR, L_AND},
};

static void print(struct text *t, const struct expr *e, enum level least);

static enum level level_of(const struct expr *e)
{
    if (e->kind == EX_UNARY || e->kind == EX_BINARY)
        return op_row[e->op].level;
    return L_POSTFIX; /* tuples bring their own parentheses */
}

static void print_row(struct text *t, struct expr *const *e, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            text_put(t, ", ");
        if (e[i]->arg_name)
            text_fmt(t, "%s=", e[i]->arg_name);
        print(t, e[i], L_OR);
    }
}

static void print_number(struct text *t, const struct expr *e)
{
    static const char *const unit[] = {"", " s", " ms", " us", " Hz", " kHz"};
    char s[32];
    json_format_double(s, e->number);
    text_put(t, s);
    text_put(t, unit[e->unit]);
}

static void print_range(struct text *t, const struct expr *e)
{
    if (e->child[0])
        print(t, e->child[0], L_OR);
    text_put(t, ":");
    if (e->child[1])
        print(t, e->child[1], L_OR);
}

static void print_index(struct text *t, const struct expr *e)
{
    print(t, e->child[0], L_POSTFIX);
    text_put(t, "[");
    for (uint32_t i = 1; i < e->n; i++) {
        text_put(t, i > 1 ? ", " : "");
        print(t, e->child[i], L_OR);
    }
    text_put(t, "]");
}

/* What ends in a word would run into the `.` behind it. */
static void print_part(struct text *t, const struct expr *e)
{
    const struct expr *of = e->child[0];
    const bool wrap =
        of->kind == EX_NUMBER || of->kind == EX_NAME || of->kind == EX_SETTING;
    text_put(t, wrap ? "(" : "");
    print(t, of, L_POSTFIX);
    text_fmt(t, wrap ? ").%s" : ".%s", e->name);
}

static void print_operator(struct text *t, const struct expr *e)
{
    const struct op_row *r = &op_row[e->op];
    if (e->kind == EX_BINARY)
        print(t, e->child[0], r->left);
    text_put(t, r->sign);
    print(t, e->child[e->n - 1], r->right);
}

static void print_node(struct text *t, const struct expr *e)
{
    switch ((enum expr_kind)e->kind) {
    case EX_NUMBER:
        print_number(t, e);
        break;
    case EX_NAME:
        text_put(t, e->name);
        break;
    case EX_SETTING:
        text_fmt(t, "$%s", e->name);
        break;
    case EX_HOLE:
        text_put(t, "_");
        break;
    case EX_TUPLE:
    case EX_LIST:
        text_put(t, e->kind == EX_TUPLE ? "(" : "[");
        print_row(t, e->child, e->n);
        text_put(t, e->kind == EX_TUPLE ? ")" : "]");
        break;
    case EX_CALL:
        print(t, e->child[0], L_POSTFIX);
        text_put(t, "(");
        print_row(t, e->child + 1, e->n - 1);
        text_put(t, ")");
        break;
    case EX_DOT:
        print_part(t, e);
        break;
    case EX_INDEX:
        print_index(t, e);
        break;
    case EX_RANGE:
        print_range(t, e);
        break;
    case EX_UNARY:
    case EX_BINARY:
        print_operator(t, e);
        break;
    case EX_AT:
        print(t, e->child[0], L_POSTFIX);
        if (e->delay)
            text_fmt(t, "@-%u", e->delay);
        else
            text_put(t, "@now");
        break;
    default:
        break;
    }
}

static void print(struct text *t, const struct expr *e, enum level least)
{
    const bool wrap = level_of(e) < least;
    text_put(t, wrap ? "(" : "");
    print_node(t, e);
    text_put(t, wrap ? ")" : "");
}

char *expr_print(const struct expr *e, struct arena *a)
{
    struct text t = {.arena = a};
    text_put(&t, "");
    if (e->kind == EX_TUPLE)
        print_row(&t, e->child, e->n);
    else
        print(&t, e, L_OR);
    return t.s;
}
