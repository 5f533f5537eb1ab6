/*
 * Changing expressions.  A changed tree is a copy: what an override replaced may be in use
 * elsewhere.  Copies are counted, since `original + original` over many files would double.
 */
#include "compiler/front/expr_edit.h"

#include <string.h>

#include "runtime/base/arena.h"

enum { MOST_NODES = 1 << 16 };

struct edit {
    struct arena *a;
    struct diag_sink *ds;
    const struct expr_change *change;
    unsigned nnode;
    bool failed;
};

struct expr *expr_name(struct arena *a, struct loc loc, const char *name)
{
    struct expr *e = arena_alloc(a, sizeof *e);
    e->kind = EX_NAME;
    e->depth = 1;
    e->loc = loc;
    e->name = arena_str(a, name);
    return e;
}

/* Is `path` the name, or a part of it?  Then the rest is behind the dot, or "". */
static const char *rest_of(const char *path, const char *name)
{
    const size_t n = strlen(name);
    if (strncmp(path, name, n) != 0 || (path[n] != 0 && path[n] != '.'))
        return NULL;
    return path[n] ? path + n + 1 : path + n;
}

bool expr_mentions(const struct expr *e, const char *name)
{
    if (!e)
        return false;
    if (e->kind == EX_NAME && rest_of(e->name, name))
        return true;
    for (uint32_t i = 0; i < e->n; i++)
        if (expr_mentions(e->child[i], name))
            return true;
    return false;
}

static struct expr *over_limit(struct edit *t, struct loc loc, const char *what)
{
    if (!t->failed)
        diag(t->ds, E0902, loc,
             "limit exceeded: with what it overrides, this expression is %s", what);
    t->failed = true;
    return NULL;
}

static struct expr *copy(struct edit *t, const struct expr *e, unsigned nchange);

static struct expr *put_in(struct edit *t, const struct expr *at,
                           const struct expr_change *c, const char *rest)
{
    if (c->to->kind == EX_NAME) {
        const char *name =
            *rest ? arena_fmt(t->a, "%s.%s", c->to->name, rest) : c->to->name;
        return expr_name(t->a, at->loc, name);
    }
    struct expr *to = copy(t, c->to, 0);
    if (!to || !*rest)
        return to;
    struct expr *part = expr_name(t->a, at->loc, rest);
    part->kind = EX_DOT;
    part->child = arena_array(t->a, 1, sizeof *part->child);
    part->child[0] = to;
    part->n = 1;
    part->depth = (uint16_t)(to->depth + 1);
    return part;
}

static struct expr *change_name(struct edit *t, const struct expr *e, unsigned nchange)
{
    for (unsigned i = 0; i < nchange; i++) {
        const char *rest = rest_of(e->name, t->change[i].from);
        if (!rest)
            continue;
        struct expr *to = put_in(t, e, &t->change[i], rest);
        if (to) {
            to->arg_name = e->arg_name;
            to->arg_loc = e->arg_loc;
        }
        return to;
    }
    return arena_copy(t->a, e, sizeof *e);
}

static struct expr *copy(struct edit *t, const struct expr *e, unsigned nchange)
{
    if (t->failed || ++t->nnode > MOST_NODES)
        return over_limit(t, e->loc, "too long");
    if (e->kind == EX_NAME)
        return change_name(t, e, nchange);
    struct expr *to = arena_copy(t->a, e, sizeof *e);
    unsigned depth = 0;
    to->child = arena_array(t->a, e->n + 1, sizeof *to->child);
    for (uint32_t i = 0; i < e->n; i++) {
        if (!e->child[i]) /* an open end of a range */
            continue;
        to->child[i] = copy(t, e->child[i], nchange);
        if (!to->child[i])
            return NULL;
        if (to->child[i]->depth > depth)
            depth = to->child[i]->depth;
    }
    if (depth >= EXPR_DEPTH)
        return over_limit(t, e->loc, "too deep");
    to->depth = (uint16_t)(depth + 1);
    return to;
}

static void number_draws(struct expr *e, uint16_t *draw)
{
    if (e && e->kind == EX_UNARY && e->op == XO_DRAW)
        e->draw = ++*draw;
    for (uint32_t i = 0; e && i < e->n; i++)
        number_draws(e->child[i], draw);
}

struct expr *expr_change(struct arena *a, struct diag_sink *ds, const struct expr *e,
                         const struct expr_change *change, unsigned nchange)
{
    struct edit t = {.a = a, .ds = ds, .change = change};
    struct expr *to = copy(&t, e, nchange);
    uint16_t draw = 0;
    number_draws(to, &draw);
    return to;
}

struct doc *expr_doc(struct arena *a, struct expr *e, struct loc loc)
{
    uint16_t draw = 0;
    struct doc *d = doc_scalar(a, loc, expr_print(e, a));
    number_draws(e, &draw);
    d->expr = e;
    return d;
}
