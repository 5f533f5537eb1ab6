/*
 * Expressions: functions are unfolded into primitives once a statement, then every node is
 * evaluated once for the lanes at hand.  Normal draws stay calls, so that neighbours can be
 * made together.
 */
#include <assert.h>
#include <string.h>

#include "codegen/llvm/emit.h"

struct ll_expr {
    const struct stmt *st;
    sx_id value, value2;
};

/* ---- expansion ---- */

bool ll_is_normal(const struct sxb *b, const struct sx_node *call)
{
    if (call->op != SX_FN_normal)
        return false;
    const struct sx_node *even = &b->node[call->a], *odd = &b->node[call->b];
    if (even->op != SX_RNG || odd->op != SX_RNG || even->a != odd->a)
        return false;
    const struct sx_node *x = &b->node[even->b], *y = &b->node[odd->b];
    return x->op == SX_IAND && y->op == SX_IOR && x->a == call->c && y->a == call->c &&
           b->node[x->b].op == SX_K && b->node[y->b].op == SX_K &&
           b->node[x->b].a == 0xfffffffeU && b->node[y->b].a == 1;
}

struct expander {
    struct sxb *b;
    sx_id *made; /* by id */
    uint32_t cap;
    struct arena *scratch;
};

static sx_id expand(struct expander *e, sx_id id);

static sx_id expand_node(struct expander *e, sx_id id)
{
    struct sxb *b = e->b;
    const struct sx_node n = b->node[id];
    if (n.op == SX_RNG)
        return sx_rng(b, n.a, expand(e, n.b));
    if (n.op < SX_RNG)
        return id;
    const struct sx_info *info = sx_op_info((enum sx_op)n.op);
    sx_id in[3] = {n.a, n.b, n.c};
    for (unsigned i = 0; i < 3 && i < info->arity; i++)
        in[i] = expand(e, in[i]);
    sx_id made = sx_make(b, (enum sx_op)n.op, in[0], in[1], in[2]);
    const struct sx_node *m = &b->node[made];
    bool call = m->op > SX_RNG && sx_op_info((enum sx_op)m->op)->is_function;
    if (!call || ll_is_normal(b, m))
        return made;
    return expand(e, sx_unfold(b, made));
}

static sx_id expand(struct expander *e, sx_id id)
{
    if (!id)
        return 0;
    e->made = arena_grow(e->scratch, e->made, &e->cap, id + 1, sizeof *e->made);
    if (e->made[id])
        return e->made[id];
    sx_id made = expand_node(e, id);
    e->made[id] = made;
    return made;
}

sx_id ll_expand(struct ll *l, sx_id e)
{
    struct arena *scratch = arena_new();
    struct expander x = {.b = &l->sx, .scratch = scratch};
    sx_id made = expand(&x, e);
    arena_free(scratch);
    return made;
}

void ll_statement(struct ll *l, const struct stmt *st, sx_id *value, sx_id *value2)
{
    uint32_t i = 0;
    while (i < l->nexpr && l->expr[i].st != st)
        i++;
    if (i == l->nexpr) {
        l->expr = arena_grow(l->arena, l->expr, &l->cexpr, l->nexpr + 1, sizeof *l->expr);
        struct ll_expr *x = &l->expr[l->nexpr++];
        x->st = st;
        x->value = ll_expand(l, sx_import(&l->sx, &l->n->sx, st->value, NULL, 0));
        x->value2 = st->value2
                        ? ll_expand(l, sx_import(&l->sx, &l->n->sx, st->value2, NULL, 0))
                        : 0;
    }
    *value = l->expr[i].value;
    *value2 = l->expr[i].value2;
    l->stmt = st;
    l->gen++;
}

/* ---- evaluation ---- */

static double k_double(const struct sx_node *n)
{
    double x;
    uint32_t w[2] = {n->a, n->b};
    memcpy(&x, w, sizeof x);
    return x;
}

static LLVMValueRef constant(struct ll *l, const struct sx_node *n)
{
    if (n->type == SX_FLOAT)
        return ll_f32(l, k_double(n));
    if (n->type == SX_BOOL)
        return LLVMConstInt(l->h->i1, n->a, false);
    return ll_i32(l, n->a);
}

static LLVMValueRef axis_value(struct ll *l, uint32_t axis)
{
    const struct ll_axis *a = &l->axis[axis];
    if (a->kind == LL_CONST)
        return ll_i32(l, a->value);
    if (a->kind == LL_LANE) {
        int64_t x[LL_LANES];
        for (int32_t i = 0; i < l->width; i++)
            x[i] = l->lane0 + i;
        return ll_lanes(l, l->h->i32, x, l->width);
    }
    if (a->kind == LL_UNSET) {
        ll_fault(l, "an expression uses an axis outside its loop");
        return ll_i32(l, 0);
    }
    struct ll_place back = ll_hoist(l, a->depth);
    LLVMValueRef v = ll_cast(l, LLVMTrunc, a->run, l->h->i32);
    if (a->value)
        v = ll_bin(l, LLVMAdd, v, ll_i32(l, a->value));
    ll_unhoist(l, back);
    return v;
}

static LLVMValueRef inner(struct ll *l, const struct sx_node *n)
{
    const struct sx_info *info = sx_op_info((enum sx_op)n->op);
    const sx_id in[3] = {n->a, n->b, n->c};
    LLVMValueRef x[3] = {NULL, NULL, NULL};
    uint8_t type[3] = {0, 0, 0};
    if (info->is_function)
        return ll_normal(l, n);
    for (unsigned i = 0; i < 3 && i < info->arity; i++) {
        x[i] = ll_eval(l, in[i]);
        type[i] = l->sx.node[in[i]].type;
    }
    return ll_prim(l, n, type, x);
}

static LLVMValueRef compute(struct ll *l, const struct sx_node *n)
{
    switch (n->op) {
    case SX_ARG:
        if (n->a < l->stmt->nload)
            return ll_load(l, &l->stmt->load[n->a]);
        ll_fault(l, "an expression uses a load that the statement does not have");
        return LLVMConstNull(ll_type(l, n->type));
    case SX_K:
        return constant(l, n);
    case SX_SCALAR:
        return ll_scalar(l, n->a, n->type);
    case SX_AXIS:
        return axis_value(l, n->a);
    case SX_RNG:
        return ll_word(l, n->a, n->b);
    default:
        return inner(l, n);
    }
}

static void make_room(struct ll *l)
{
    uint32_t cap = l->cval;
    if (l->val && l->val_gen && l->sx.n <= cap)
        return;
    l->val = arena_grow(l->arena, l->val, &cap, l->sx.n, sizeof *l->val);
    l->val_gen = arena_grow(l->arena, l->val_gen, &l->cval, l->sx.n, sizeof *l->val_gen);
    l->cval = cap < l->cval ? cap : l->cval;
}

LLVMValueRef ll_eval(struct ll *l, sx_id e)
{
    make_room(l);
    assert(l->val && l->val_gen);
    if (l->val_gen[e] == l->gen)
        return l->val[e];
    const struct sx_node n = l->sx.node[e];
    LLVMValueRef v = compute(l, &n);
    make_room(l);
    l->val[e] = v;
    l->val_gen[e] = l->gen;
    return v;
}

LLVMValueRef ll_eval_at(struct ll *l, sx_id e, int64_t lane)
{
    struct ll_axis keep = {0};
    int32_t width = l->width;
    LLVMValueRef *val = l->val;
    uint32_t *val_gen = l->val_gen;
    uint32_t cval = l->cval;
    l->val = NULL;
    l->val_gen = NULL;
    l->cval = 0;
    if (l->vec_axis >= 0) {
        keep = l->axis[l->vec_axis];
        l->axis[l->vec_axis] = (struct ll_axis){.kind = LL_CONST, .value = lane};
    }
    l->width = 1;
    LLVMValueRef v = ll_eval(l, e);
    if (l->vec_axis >= 0)
        l->axis[l->vec_axis] = keep;
    l->width = width;
    l->val = val;
    l->val_gen = val_gen;
    l->cval = cval;
    return v;
}
