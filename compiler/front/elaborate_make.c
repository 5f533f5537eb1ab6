/* Expression trees as elaboration builds them; every node stands where its cause stands. */
#include <string.h>

#include "compiler/front/elaborate.h"
#include "runtime/base/arena.h"

static struct expr *make(struct elaboration *e, enum expr_kind kind, struct loc loc,
                         struct expr *const *child, uint32_t n)
{
    struct expr *x = arena_alloc(e->a, sizeof *x);
    unsigned depth = 0;
    x->kind = (uint8_t)kind;
    x->loc = loc;
    x->n = n;
    x->child = arena_array(e->a, n + 1, sizeof *x->child);
    for (uint32_t i = 0; i < n; i++) {
        if (!child[i])
            return NULL;
        x->child[i] = child[i];
        depth = child[i]->depth > depth ? child[i]->depth : depth;
    }
    if (depth >= EXPR_DEPTH) {
        diag(e->m->diags, E0902, loc, "limit exceeded: an expression is at most %d deep",
             EXPR_DEPTH);
        return NULL;
    }
    x->depth = (uint16_t)(depth + 1);
    return x;
}

struct expr *make_name(struct elaboration *e, struct loc loc, const char *name)
{
    return expr_name(e->a, loc, name);
}

struct expr *make_call(struct elaboration *e, struct loc loc, const char *callee,
                       struct expr *const *arg, uint32_t narg)
{
    struct expr **child = arena_array(e->a, narg + 1, sizeof *child);
    child[0] = make_name(e, loc, callee);
    for (uint32_t i = 0; i < narg; i++)
        child[i + 1] = arg[i];
    return make(e, EX_CALL, loc, child, narg + 1);
}

struct expr *make_tuple(struct elaboration *e, struct loc loc, struct expr *const *item,
                        uint32_t n)
{
    return n == 1 ? item[0] : make(e, EX_TUPLE, loc, item, n);
}

struct expr *make_binary(struct elaboration *e, struct loc loc, enum expr_op op,
                         struct expr *x, struct expr *y)
{
    struct expr *const child[] = {x, y};
    struct expr *to = make(e, EX_BINARY, loc, child, 2);
    if (to)
        to->op = (uint8_t)op;
    return to;
}

struct expr *make_draw(struct elaboration *e, struct expr *distribution)
{
    if (!distribution || (distribution->kind == EX_UNARY && distribution->op == XO_DRAW))
        return distribution;
    struct expr *to = make(e, EX_UNARY, distribution->loc, &distribution, 1);
    if (to)
        to->op = XO_DRAW;
    return to;
}

struct expr *make_copy(struct elaboration *e, struct doc *d)
{
    const struct expr *x = d && !d->bad ? expr_parse(e->a, e->m->diags, d) : NULL;
    return x ? expr_change(e->a, e->m->diags, x, NULL, 0) : NULL;
}

bool is_number(struct elaboration *e, struct doc *d, double value)
{
    const struct expr *x = d && !d->bad ? expr_parse(e->a, e->m->diags, d) : NULL;
    return x && x->kind == EX_NUMBER && x->unit == UNIT_NONE && x->number == value;
}

struct expr *make_scaled(struct elaboration *e, struct doc *weight, struct expr *x)
{
    return is_number(e, weight, 1)
               ? x
               : make_binary(e, weight->loc, XO_MUL, make_copy(e, weight), x);
}

void add_node(struct elaboration *e, struct doc *to, struct loc loc, const char *key,
              struct expr *x)
{
    struct doc *d;
    if (x) {
        d = expr_doc(e->a, x, loc);
    } else {
        d = doc_scalar(e->a, loc, "0"); /* its mistake has been reported */
        d->bad = true;
    }
    doc_add(e->a, to, key, loc, d);
}
