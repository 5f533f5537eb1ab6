/*
 * Calls as they are written: which of them own weights, as far as names tell, and their
 * numbers within an expression, which paths and sites go by.
 */
#include <string.h>

#include "compiler/front/build.h"
#include "runtime/base/arena.h"

static bool expr_weighted(struct mb *b, const struct expr *e, const struct expr_key *key,
                          const struct body *body)
{
    if (e->kind == EX_NAME) {
        for (uint32_t i = 0; key && i < key->nparam; i++)
            if (!strcmp(key->param[i].name, e->name))
                return false;
        const struct model_function *fn =
            mb_net(b, e->name) ? NULL : model_function(b->m, e->name);
        return fn && fn->body != body->doc && mb_weighted(b, fn->body, &fn->key);
    }
    for (uint32_t i = 0; i < e->n; i++)
        if (e->child[i] && expr_weighted(b, e->child[i], key, body))
            return true;
    return false;
}

static bool doc_weighted(struct mb *b, struct doc *d, const struct expr_key *key,
                         const struct body *body)
{
    if (!d || d->kind != DOC_SCALAR)
        return false;
    const struct expr *e = expr_parse(b->a, b->ds, d);
    return e && expr_weighted(b, e, key, body);
}

bool mb_weighted(struct mb *b, const struct doc *d, const struct expr_key *key)
{
    struct body *body = mb_body(b, d, "");
    if (body->weighted == 1)
        return false; /* recursion: reported where it is called */
    if (body->weighted)
        return body->weighted == 3;
    body->weighted = 1;
    bool yes = body->weights || body->state || doc_weighted(b, body->ret, key, body);
    for (uint32_t i = 0; i < body->nnode && !yes; i++)
        yes = doc_weighted(b, body->node[i].value, key, body);
    body->weighted = yes ? 3 : 2;
    return yes;
}

static bool func_weighted(struct mb *b, struct ecx *x, const struct expr *e)
{
    if (e->kind != EX_NAME)
        return false;
    for (struct frame *f = x->f; f; f = f->outer) {
        const struct bind *bind = mb_find(f, e->name);
        if (bind && bind->kind == BIND_VALUE && bind->value->kind == VAL_FUNC) {
            const struct func *fn = bind->value->func;
            return fn->kind == FUNC_MODEL && mb_weighted(b, fn->fn->body, &fn->fn->key);
        }
    }
    const struct model_function *fn =
        mb_net(b, e->name) ? NULL : model_function(b->m, e->name);
    return fn && mb_weighted(b, fn->body, &fn->key);
}

static bool has_hole(const struct expr *call)
{
    for (uint32_t i = 1; i < call->n; i++)
        if (call->child[i]->kind == EX_HOLE)
            return true;
    return false;
}

static bool call_weighted(struct mb *b, struct ecx *x, const struct expr *e)
{
    if (has_hole(e))
        return false;
    if (func_weighted(b, x, e->child[0]))
        return true;
    for (uint32_t i = 1; i < e->n; i++) {
        const struct expr *arg = e->child[i];
        if (func_weighted(b, x,
                          arg->kind == EX_CALL && has_hole(arg) ? arg->child[0] : arg))
            return true;
    }
    return false;
}

static void number_walk(struct mb *b, struct ecx *x, const struct expr *e,
                        const struct expr *call, unsigned *count, unsigned *mine)
{
    if (e->kind == EX_CALL && call_weighted(b, x, e)) {
        ++*count;
        if (e == call)
            *mine = *count;
    }
    for (uint32_t i = 0; i < e->n; i++)
        if (e->child[i])
            number_walk(b, x, e->child[i], call, count, mine);
}

unsigned mb_call_number(struct mb *b, struct ecx *x, const struct expr *call,
                        unsigned *total)
{
    unsigned mine = 0;
    *total = 0;
    if (x->root && call)
        number_walk(b, x, x->root, call, total, &mine);
    return mine;
}

static bool ordinal_walk(const struct expr *e, const struct expr *call, unsigned *n)
{
    if (e->kind == EX_CALL && e->child[0]->kind == EX_NAME &&
        call->child[0]->kind == EX_NAME && !strcmp(e->child[0]->name, call->child[0]->name))
        ++*n;
    if (e == call)
        return true;
    for (uint32_t i = 0; i < e->n; i++)
        if (e->child[i] && ordinal_walk(e->child[i], call, n))
            return true;
    return false;
}

/* How often the expression calls `name`; places left open are no calls. */
unsigned mb_call_count(const struct expr *root, const char *name)
{
    unsigned n = root->kind == EX_CALL && !has_hole(root) &&
                 root->child[0]->kind == EX_NAME && !strcmp(root->child[0]->name, name);
    for (uint32_t i = 0; i < root->n; i++)
        if (root->child[i])
            n += mb_call_count(root->child[i], name);
    return n;
}

/* The how-many-eth call of its name in the expression, from 1. */
unsigned mb_call_ordinal(const struct expr *root, const struct expr *call)
{
    unsigned n = 0;
    if (!root || !call || call->kind != EX_CALL || !ordinal_walk(root, call, &n))
        return 1;
    return n;
}
