/*
 * Elementwise operations work on all values: numbers fold in double, tuples go member by
 * member, and numbers beside tensors become constants inside the map, never nodes.
 */
#include <math.h>
#include <string.h>

#include "compiler/front/build.h"
#include "runtime/base/arena.h"

/* Joining */

static void clash(struct mb *b, const struct type *x, const struct type *y,
                  const struct val *vx, const struct val *vy, struct loc loc)
{
    diag(b->ds, E0301, loc, "shapes %s and %s do not fit", mb_shape_text(b, x),
         mb_shape_text(b, y));
    if (vx->loc.file)
        diag_note(b->ds, vx->loc, "%s comes from here", mb_shape_text(b, x));
    if (vy->loc.file)
        diag_note(b->ds, vy->loc, "%s comes from here", mb_shape_text(b, y));
    diag_hint(b->ds, "`reshape`, `along` and `expand` line shapes up");
}

bool mb_join(struct mb *b, struct val *const *x, uint32_t n, struct loc loc,
             struct type *out)
{
    const struct val *first = NULL;
    *out = type_scalar(DT_F32);
    for (uint32_t i = 0; i < n; i++) {
        unsigned axis = 0;
        struct type joined;
        if (x[i]->kind != VAL_TENSOR)
            continue;
        const struct type *t = graph_type(b->g, x[i]->v);
        if (!type_join(out, t, &joined, &axis)) {
            clash(b, out, t, first ? first : x[i], x[i], loc);
            return false;
        }
        *out = joined;
        if (!first || t->rank >= joined.rank)
            first = x[i];
    }
    return true;
}

/* Elementwise */

static struct val *fold(struct mb *b, int op, struct val *const *x, uint32_t n)
{
    struct graph *g = b->g;
    struct sx_env env = {0};
    sx_id in[3] = {0};
    for (uint32_t i = 0; i < n; i++)
        in[i] =
            x[i]->is_bool ? sx_bool(&g->sx, x[i]->num != 0) : sx_const(&g->sx, x[i]->num);
    for (uint32_t i = op == SX_SEL ? 1 : 0; i < n && (op == SX_EQ || op == SX_SEL); i++)
        if (x[i]->is_bool != x[n - 1]->is_bool)
            in[i] = sx_const(&g->sx, x[i]->num);
    const sx_id s = sx_make(&g->sx, (enum sx_op)op, in[0], in[1], in[2]);
    struct val *v = mb_num(b, sx_eval_f64(&g->sx, s, &env));
    v->is_bool = g->sx.node[s].type == SX_BOOL;
    return v;
}

static struct val *by_member(struct mb *b, int op, struct val *const *x, uint32_t n,
                             struct loc loc)
{
    struct val **item, *arg[3];
    uint32_t m = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (x[i]->kind != VAL_TUPLE)
            continue;
        if (m && x[i]->n != m) {
            diag(b->ds, E0309, loc, "%u values where %u are expected", x[i]->n, m);
            diag_hint(b->ds, "`t[0]` is a member, `flatten(t)` one vector");
            return mb_poison(b);
        }
        m = x[i]->n;
    }
    item = arena_array(b->a, m + 1, sizeof(struct val *));
    for (uint32_t k = 0; k < m; k++) {
        for (uint32_t i = 0; i < n; i++)
            arg[i] = x[i]->kind == VAL_TUPLE ? x[i]->item[k] : x[i];
        item[k] = mb_ew(b, op, arg, n, loc);
    }
    return mb_tuple(b, item, m);
}

static enum sx_type sx_type_of(uint8_t dtype)
{
    return dtype == DT_F32 ? SX_FLOAT : dtype == DT_I32 ? SX_I32 : SX_BOOL;
}

static sx_id to_float(struct sxb *s, sx_id x)
{
    const uint8_t t = s->node[x].type;
    if (t == SX_I32)
        return sx_make(s, SX_I2F, x, 0, 0);
    return t == SX_BOOL ? sx_make(s, SX_SEL, x, sx_const(s, 1), sx_const(s, 0)) : x;
}

/* Operands of comparisons and selections must have one type: that of the tensors, else
 * float. */
static void same_type(struct sxb *s, struct val *const *x, sx_id *in, uint32_t from,
                      uint32_t n)
{
    bool i32 = true, boolean = true;
    for (uint32_t i = from; i < n; i++) {
        const uint8_t t = s->node[in[i]].type;
        const bool whole = x[i]->kind == VAL_NUM && !x[i]->is_bool &&
                           x[i]->num == floor(x[i]->num) && fabs(x[i]->num) < 0x1p31;
        i32 &= t == SX_I32 || whole;
        boolean &= t == SX_BOOL;
    }
    bool tensor = false;
    for (uint32_t i = from; i < n; i++)
        tensor |= x[i]->kind == VAL_TENSOR;
    for (uint32_t i = from; i < n && !boolean; i++) {
        if (i32 && tensor && x[i]->kind == VAL_NUM)
            in[i] = sx_int(s, (int32_t)x[i]->num);
        else if (!(i32 && tensor))
            in[i] = to_float(s, in[i]);
    }
}

static bool usable(struct mb *b, struct val **x, uint32_t n, struct loc loc)
{
    for (uint32_t i = 0; i < n; i++) {
        if (x[i]->kind == VAL_NUM || x[i]->kind == VAL_TENSOR)
            continue;
        const value_id v = mb_value(b, x[i], x[i]->loc.file ? x[i]->loc : loc);
        if (!v)
            return false;
        const struct loc from = x[i]->loc;
        x[i] = mb_tensor(b, v);
        x[i]->loc = from;
    }
    return true;
}

static struct val *ew_map(struct mb *b, int op, struct val *const *x, uint32_t n,
                          struct loc loc)
{
    struct graph *g = b->g;
    struct sxb *s = &g->sx;
    value_id in[3];
    sx_id arg[3] = {0};
    uint32_t nin = 0;
    struct type t;
    if (!mb_join(b, x, n, loc, &t))
        return mb_poison(b);
    for (uint32_t i = 0; i < n; i++) {
        if (x[i]->kind == VAL_NUM) {
            arg[i] = x[i]->is_bool ? sx_bool(s, x[i]->num != 0) : sx_const(s, x[i]->num);
            continue;
        }
        uint32_t k = 0;
        while (k < nin && in[k] != x[i]->v)
            k++;
        in[k] = x[i]->v;
        nin += k == nin;
        arg[i] = sx_arg(s, k, sx_type_of(graph_type(g, x[i]->v)->dtype));
    }
    if (op == SX_EQ || op == SX_LT || op == SX_LE)
        same_type(s, x, arg, 0, n);
    if (op == SX_SEL)
        same_type(s, x, arg, 1, n);
    struct val *v = mb_tensor(
        b, mb_map(b, sx_make(s, (enum sx_op)op, arg[0], arg[1], arg[2]), in, nin, NULL));
    mb_track(b, v, op, x, n);
    return v;
}

struct val *mb_ew(struct mb *b, int op, struct val *const *x, uint32_t n, struct loc loc)
{
    struct val *arg[3];
    bool num = true, tuple = false;
    for (uint32_t i = 0; i < n; i++) {
        if (x[i]->kind == VAL_POISON)
            return x[i];
        num &= x[i]->kind == VAL_NUM;
        tuple |= x[i]->kind == VAL_TUPLE;
        arg[i] = x[i];
    }
    struct val *v = NULL;
    if (num)
        v = fold(b, op, x, n);
    else if (tuple)
        v = by_member(b, op, x, n, loc);
    else if (!usable(b, arg, n, loc))
        v = mb_poison(b);
    else
        v = ew_map(b, op, arg, n, loc);
    v->loc = loc;
    return v;
}

struct val *mb_ew1(struct mb *b, int op, struct val *x, struct loc loc)
{
    return mb_ew(b, op, &x, 1, loc);
}

struct val *mb_ew2(struct mb *b, int op, struct val *x, struct val *y, struct loc loc)
{
    struct val *in[2] = {x, y};
    return mb_ew(b, op, in, 2, loc);
}
