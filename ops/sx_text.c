/*
 * Expressions as text, and back.
 *
 * A node that several others read is written once, as #1=exp(%0), and then as #1, so the
 * text is as large as the graph.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/sx_priv.h"
#include "runtime/base/arena.h"

enum { TEXT_DEPTH = 4000 }; /* nesting that the parser follows */

/* ---- printing ---- */

struct printer {
    const struct sxb *b;
    struct arena *arena, *scratch;
    const char *(*name)(void *cx, const struct sx_node *leaf);
    void *cx;
    char *text;
    uint32_t n, cap;
    struct sx_order order;
    uint32_t *uses;  /* by place in the order */
    uint32_t *label; /* likewise: 0 until written */
    uint32_t nlabel;
};

static void put(struct printer *p, const char *s)
{
    const uint32_t len = (uint32_t)strlen(s);

    p->text = arena_grow(p->scratch, p->text, &p->cap, p->n + len + 1, 1);
    memcpy(p->text + p->n, s, len + 1);
    p->n += len;
}

static void put_number(struct printer *p, double x)
{
    char s[40];

    if (isnan(x) || isinf(x)) {
        put(p, isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(s, sizeof s, "%.*g", digits, x);
        if (strtod(s, NULL) == x)
            break;
    }
    put(p, s);
}

static const char *const type_suffix[] = {"", ":i", ":u", ":b"};

static void put_leaf(struct printer *p, const struct sx_node *n)
{
    const char *name = p->name ? p->name(p->cx, n) : NULL;
    char s[40];

    if (name) {
        put(p, name);
        return;
    }
    if (n->op == SX_K && n->type == SX_FLOAT) {
        put_number(p, sx_k_double(n));
        return;
    }
    if (n->op == SX_K && n->type == SX_BOOL) {
        put(p, n->a ? "true" : "false");
        return;
    }
    if (n->op == SX_K)
        (void)snprintf(s, sizeof s, "%.0f%c", sx_k_double(n),
                       n->type == SX_I32 ? 'i' : 'u');
    else if (n->op == SX_AXIS)
        (void)snprintf(s, sizeof s, "@%u", n->a);
    else
        (void)snprintf(s, sizeof s, "%c%u%s", n->op == SX_ARG ? '%' : '$', n->a,
                       type_suffix[n->type]);
    put(p, s);
}

/* What stands before the operands; returns whether operands follow. */
static bool put_head(struct printer *p, sx_id id)
{
    const struct sx_node *n = &p->b->node[id];
    const struct sx_info *info = sx_op_info((enum sx_op)n->op);
    const uint32_t k = sx_order_at(&p->order, id);
    char s[40];

    if (p->label[k]) {
        (void)snprintf(s, sizeof s, "#%u", p->label[k]);
        put(p, s);
        return false;
    }
    if (n->op < SX_RNG) {
        put_leaf(p, n);
        return false;
    }
    if (p->uses[k] > 1) {
        p->label[k] = ++p->nlabel;
        (void)snprintf(s, sizeof s, "#%u=", p->label[k]);
        put(p, s);
    }
    if (info) {
        put(p, info->name);
        put(p, "(");
        return true;
    }
    {
        const char *name = p->name ? p->name(p->cx, n) : NULL;
        (void)snprintf(s, sizeof s, "%u", n->a);
        put(p, "rng(");
        put(p, name ? name : s);
        put(p, ", ");
    }
    return true;
}

struct frame {
    sx_id id;
    unsigned next;
};

static void print_tree(struct printer *p, sx_id root)
{
    struct frame *stack = NULL;
    uint32_t top = 0, cap = 0;
    sx_id in[3];

    if (!put_head(p, root))
        return;
    stack = arena_grow(p->scratch, stack, &cap, 1, sizeof *stack);
    stack[top++] = (struct frame){root, 0};
    while (top) {
        struct frame *f = &stack[top - 1];
        const unsigned arity = sx_operands(&p->b->node[f->id], in);
        if (f->next == arity) {
            put(p, ")");
            top--;
            continue;
        }
        if (f->next)
            put(p, ", ");
        const sx_id child = in[f->next++];
        if (put_head(p, child)) {
            stack = arena_grow(p->scratch, stack, &cap, top + 1, sizeof *stack);
            stack[top++] = (struct frame){child, 0};
        }
    }
}

char *sx_print(const struct sxb *b, sx_id root, struct arena *a,
               const char *(*name)(void *cx, const struct sx_node *leaf), void *cx)
{
    struct arena *scratch = arena_new();
    struct printer p = {.b = b, .arena = a, .scratch = scratch, .name = name, .cx = cx};
    sx_id in[3];
    char *text;

    sx_order(&p.order, b, &root, 1, scratch);
    p.uses = arena_array(scratch, p.order.n + 1, sizeof *p.uses);
    p.label = arena_array(scratch, p.order.n + 1, sizeof *p.label);
    for (uint32_t k = 0; k < p.order.n; k++) {
        for (unsigned i = sx_operands(&b->node[p.order.id[k]], in); i-- > 0;)
            p.uses[sx_order_at(&p.order, in[i])]++;
    }
    put(&p, "");
    print_tree(&p, root);
    text = arena_strn(a, p.text, p.n);
    arena_free(scratch);
    return text;
}

/* ---- parsing ---- */

struct parser {
    struct sxb *b;
    const char *s;
    sx_id *label;
    uint32_t nlabel, cap, depth;
    struct arena *scratch;
};

static sx_id parse_expr(struct parser *p);

static void skip_space(struct parser *p)
{
    while (isspace((unsigned char)*p->s))
        p->s++;
}

static bool accept(struct parser *p, char c)
{
    skip_space(p);
    if (*p->s != c)
        return false;
    p->s++;
    return true;
}

static bool parse_index(struct parser *p, uint32_t *out)
{
    unsigned long long x;
    char *end;

    if (!isdigit((unsigned char)*p->s))
        return false;
    errno = 0;
    x = strtoull(p->s, &end, 10);
    if (errno || x > UINT32_MAX)
        return false;
    p->s = end;
    *out = (uint32_t)x;
    return true;
}

static enum sx_type parse_suffix(struct parser *p)
{
    if (*p->s != ':')
        return SX_FLOAT;
    for (int t = SX_I32; t <= SX_BOOL; t++) {
        if (p->s[1] == type_suffix[t][1]) {
            p->s += 2;
            return (enum sx_type)t;
        }
    }
    return SX_FLOAT;
}

static sx_id parse_leaf(struct parser *p)
{
    const char sigil = *p->s++;
    uint32_t i;

    if (!parse_index(p, &i))
        return 0;
    if (sigil == '@')
        return sx_axis(p->b, i);
    if (sigil == '%')
        return sx_arg(p->b, i, parse_suffix(p));
    return sx_scalar(p->b, i, parse_suffix(p));
}

/* #3 or #3=expression; labels count up from 1 as they open. */
static sx_id parse_label(struct parser *p)
{
    uint32_t i;
    sx_id x;

    p->s++;
    if (!parse_index(p, &i))
        return 0;
    if (!accept(p, '='))
        return i && i <= p->nlabel ? p->label[i] : 0;
    if (i != p->nlabel + 1)
        return 0;
    p->nlabel = i;
    p->label = arena_grow(p->scratch, p->label, &p->cap, i + 1, sizeof *p->label);
    p->label[i] = 0; /* a reference to itself fails */
    x = parse_expr(p);
    p->label[i] = x;
    return x;
}

static sx_id parse_number(struct parser *p)
{
    char *end;
    const double x = strtod(p->s, &end);

    if (end == p->s)
        return 0;
    p->s = end;
    if (*end != 'i' && *end != 'u')
        return sx_const(p->b, x);
    p->s++;
    if (x != floor(x) || x < (*end == 'i' ? INT32_MIN : 0) ||
        x > (*end == 'i' ? (double)INT32_MAX : (double)UINT32_MAX))
        return 0;
    return *end == 'i' ? sx_int(p->b, (int32_t)x) : sx_u32(p->b, (uint32_t)x);
}

static sx_id parse_rng(struct parser *p)
{
    uint32_t site;
    sx_id e;

    skip_space(p);
    if (!parse_index(p, &site) || !accept(p, ','))
        return 0;
    e = parse_expr(p);
    return e && accept(p, ')') ? sx_rng(p->b, site, e) : 0;
}

static sx_id parse_call(struct parser *p)
{
    const struct sx_info *info;
    sx_id in[3] = {0};
    enum sx_op op;
    char name[24];
    size_t n = 0;

    while (isalnum((unsigned char)p->s[n]) || p->s[n] == '_')
        n++;
    if (n == 0 || n >= sizeof name)
        return 0;
    memcpy(name, p->s, n);
    name[n] = 0;
    p->s += n;
    if (!strcmp(name, "true") || !strcmp(name, "false"))
        return sx_bool(p->b, name[0] == 't');
    if (!strcmp(name, "rng"))
        return accept(p, '(') ? parse_rng(p) : 0;
    if (!sx_op_find(name, &op) || !accept(p, '('))
        return 0;
    info = sx_op_info(op);
    for (unsigned i = 0; i < info->arity; i++) {
        if (i && !accept(p, ','))
            return 0;
        in[i] = parse_expr(p);
        if (!in[i])
            return 0;
    }
    return accept(p, ')') ? sx_make(p->b, op, in[0], in[1], in[2]) : 0;
}

static bool starts_number(const char *s)
{
    return isdigit((unsigned char)*s) || *s == '-' || *s == '.' || !strncmp(s, "inf", 3) ||
           !strncmp(s, "nan", 3);
}

static sx_id parse_expr(struct parser *p)
{
    sx_id x;

    if (p->depth == TEXT_DEPTH)
        return 0;
    p->depth++;
    skip_space(p);
    if (*p->s == '%' || *p->s == '$' || *p->s == '@')
        x = parse_leaf(p);
    else if (*p->s == '#')
        x = parse_label(p);
    else
        x = starts_number(p->s) ? parse_number(p) : parse_call(p);
    p->depth--;
    return x;
}

sx_id sx_parse(struct sxb *b, const char *text, const char **end)
{
    struct parser p = {.b = b, .s = text, .scratch = arena_new()};
    const sx_id x = parse_expr(&p);

    if (end)
        *end = p.s;
    arena_free(p.scratch);
    return x;
}
