/*
 * Primitives of the language: the table, how their arguments are bound, and the elementwise
 * ones.
 */
#include "compiler/front/prim.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/arena.h"

const struct prim mb_prims[] = {
#define PRIM(name, sig, fn, op, doc) {#name, sig, fn, op, doc},
#include "compiler/front/primitive.def"
#undef PRIM
};
const unsigned mb_nprims = ARRAY_LEN(mb_prims);

const struct prim *mb_prim(const char *name)
{
    for (unsigned i = 0; i < mb_nprims; i++)
        if (!strcmp(mb_prims[i].name, name))
            return &mb_prims[i];
    return NULL;
}

/* One "name=default" of a signature; the text after it. */
static const char *sig_param(struct mb *b, const char *s, struct param *p,
                             const char **text)
{
    const size_t n = strcspn(s, "=,");
    *p = (struct param){.name = arena_strn(b->a, s, n), .has_default = s[n] == '='};
    *text = NULL;
    s += n;
    if (*s == '=') {
        const size_t m = strcspn(++s, ",");
        *text = arena_strn(b->a, s, m);
        s += m;
    }
    return s + strspn(s, ", ");
}

static struct val *sig_default(struct mb *b, const char *text)
{
    if (!text || !strcmp(text, "none"))
        return NULL;
    if (!strcmp(text, "false") || !strcmp(text, "true"))
        return mb_bool(b, *text == 't');
    return mb_num(b, strtod(text, NULL));
}

struct val *mb_prim_call(struct mb *b, struct ecx *x, const struct expr *call,
                         struct func *fn, const struct slot *slot, uint32_t nslot,
                         struct loc loc)
{
    struct param param[16];
    const char *text[16] = {NULL};
    struct args a = {.loc = loc, .call = call};
    bool variadic = false;
    for (const char *s = fn->prim->sig; *s; a.n++) {
        if (!strncmp(s, "...", 3)) {
            variadic = true;
            break;
        }
        s = sig_param(b, s, &param[a.n], &text[a.n]);
    }
    const uint32_t fixed = variadic && nslot > a.n ? a.n : nslot;
    if (nslot > MB_ARGS || !mb_bind_args(b, fn, param, a.n, slot, fixed, loc, a.val))
        return mb_poison(b);
    a.nall = a.n;
    for (uint32_t i = fixed; i < nslot; i++)
        a.val[a.nall++] = slot[i].val;
    for (uint32_t i = 0; i < a.n; i++)
        if (!a.val[i])
            a.val[i] = sig_default(b, text[i]);
    for (uint32_t i = 0; i < a.nall; i++) {
        a.at[i] = a.val[i] && a.val[i]->loc.file ? a.val[i]->loc : loc;
        if (a.val[i] && a.val[i]->kind == VAL_POISON)
            return a.val[i];
    }
    struct val *v = fn->prim->fn(b, x, fn->prim, &a);
    if (v->kind == VAL_TENSOR && !v->loc.file)
        v->loc = loc;
    return v;
}

struct val *mb_scalar(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    (void)x;
    return mb_ew(b, p->op, a->val, a->n, a->loc);
}

struct val *mb_identity(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    (void)b;
    (void)x;
    (void)p;
    return a->val[0];
}

struct val *mb_refused(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    (void)x;
    diag(b->ds, E0001, a->loc, "`%s` is not built yet", p->name);
    return mb_poison(b);
}

struct val *mb_where(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct val *c = a->val[0];
    (void)x;
    const bool ok = c->kind == VAL_NUM
                        ? c->is_bool
                        : c->kind == VAL_TENSOR && graph_type(b->g, c->v)->dtype == DT_BOOL;
    if (!ok && c->kind != VAL_TUPLE) {
        diag(b->ds, E0314, a->at[0], "expected a condition (bool), found %s",
             mb_show(b, c));
        diag_hint(b->ds, "`x > 0`");
        return mb_poison(b);
    }
    return mb_ew(b, p->op, a->val, 3, a->loc);
}

struct val *mb_floor(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    (void)x;
    struct val *v = mb_ew1(b, p->op, a->val[0], a->loc);
    if (v->kind != VAL_TENSOR)
        return v;
    struct sxb *s = &b->g->sx;
    return mb_tensor(
        b, mb_map(b, sx_make(s, SX_F2I, sx_arg(s, 0, SX_FLOAT), 0, 0), &v->v, 1, NULL));
}
