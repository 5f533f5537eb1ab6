/*
 * Arrangements on axis 0: forms, and maps over axis indices.
 */
#include <math.h>
#include <string.h>

#include "compiler/front/prim.h"
#include "runtime/base/arena.h"

static struct ext ext_mul(struct ext x, struct ext y)
{
    return x.b ? (struct ext){x.c * y.c, x.b * y.c} : (struct ext){x.c * y.c, x.c * y.b};
}

static struct ext elements(const struct type *t)
{
    struct ext n = ext_const(1);
    for (unsigned i = mb_first(t); i < t->rank; i++)
        n = ext_mul(n, t->dim[i]);
    return n;
}

static struct val *reshaped(struct mb *b, value_id v, const struct type *to, struct loc loc)
{
    value_id out = graph_reshape(b->g, v, to);
    if (!out) { /* by way of one vector */
        const struct type *t = graph_type(b->g, v);
        struct type flat = *t;
        flat.rank = (uint8_t)mb_first(t);
        flat.dim[flat.rank++] = elements(t);
        v = graph_reshape(b->g, v, &flat);
        out = v ? graph_reshape(b->g, v, to) : 0;
    }
    if (out)
        return mb_tensor(b, out);
    diag(b->ds, E0001, loc, "this reshape, from %s to %s",
         type_print(graph_type(b->g, v), b->a), type_print(to, b->a));
    return mb_poison(b);
}

/* Shapes */

struct val *mb_reshape(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct type t;
    const value_id v = mb_value(b, a->val[0], a->at[0]);
    (void)x;
    (void)p;
    if (!v || !mb_shape(b, a->val[1], a->at[1], &t))
        return mb_poison(b);
    const struct type from = *graph_type(b->g, v);
    if (!ext_eq(elements(&from), elements(&t))) {
        diag(b->ds, E0301, a->loc, "shapes %s and %s do not fit: %d elements and %d",
             mb_shape_text(b, &from), mb_shape_text(b, &t), elements(&from).c,
             elements(&t).c);
        return mb_poison(b);
    }
    if (from.sample) {
        memmove(t.dim + 1, t.dim, t.rank * sizeof t.dim[0]);
        t.dim[0] = from.dim[0];
        t.sample = true;
        t.rank++;
    }
    t.dtype = from.dtype;
    struct val *out = reshaped(b, v, &t, a->loc);
    mb_track_reshape(b, out, a->val[0]);
    return out;
}

static struct val *flat_one(struct mb *b, struct val *v, struct loc loc)
{
    const value_id id = mb_value(b, v, loc);
    if (!id)
        return mb_poison(b);
    struct type t = *graph_type(b->g, id);
    if (mb_axes(&t) == 1)
        return v->kind == VAL_TENSOR ? v : mb_tensor(b, id);
    t.dim[mb_first(&t)] = elements(&t);
    t.rank = (uint8_t)(mb_first(&t) + 1);
    struct val *out = reshaped(b, id, &t, loc);
    mb_track_reshape(b, out, v);
    return out;
}

static uint32_t leaves(struct mb *b, struct val *x, struct val **out, uint32_t n,
                       struct loc loc)
{
    for (uint32_t i = 0; x->kind == VAL_TUPLE && i < x->n; i++)
        n = leaves(b, x->item[i], out, n, loc);
    if (x->kind != VAL_TUPLE && n < MB_PARTS)
        out[n++] = flat_one(b, x, loc);
    return n;
}

/* One vector; of a tuple, of all members. */
struct val *mb_flat(struct mb *b, struct val *x, struct loc loc)
{
    if (x->kind != VAL_TUPLE)
        return flat_one(b, x, loc);
    struct val **all = arena_array(b->a, MB_PARTS, sizeof(struct val *));
    const uint32_t n = leaves(b, x, all, 0, loc);
    return mb_concat_values(b, all, n, loc);
}

struct val *mb_flatten(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    (void)x;
    (void)p;
    return mb_flat(b, a->val[0], a->at[0]);
}

struct val *mb_transpose(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    uint8_t perm[HYP_RANK];
    const value_id v = mb_value(b, a->val[0], a->at[0]);
    (void)x;
    (void)p;
    if (!v)
        return mb_poison(b);
    const struct type *t = graph_type(b->g, v);
    const unsigned first = mb_first(t);
    for (unsigned i = 0; i < t->rank; i++)
        perm[i] = (uint8_t)(i < first ? i : t->rank - 1 - (i - first));
    return mb_tensor(b, graph_permute(b->g, v, perm));
}

/* Side by side */

static bool same_behind(const struct type *x, const struct type *y)
{
    const unsigned fx = mb_first(x), fy = mb_first(y);
    if (mb_axes(x) != mb_axes(y))
        return false;
    for (unsigned i = 1; i < mb_axes(x); i++)
        if (!ext_eq(x->dim[fx + i], y->dim[fy + i]))
            return false;
    return true;
}

/* A shared member beside samples becomes one. */
static value_id as_sample(struct mb *b, value_id v, struct ext batch)
{
    struct type t = *graph_type(b->g, v);
    if (t.sample)
        return v;
    memmove(t.dim + 1, t.dim, t.rank * sizeof t.dim[0]);
    t.dim[0] = batch;
    t.sample = true;
    t.rank++;
    return mb_widen(b, v, &t);
}

struct val *mb_concat_values(struct mb *b, struct val **x, uint32_t n, struct loc loc)
{
    value_id *in = arena_array(b->a, n + 1, sizeof *in);
    struct ext batch = {0, 0};
    double extent = 0;
    bool mixed = false;
    for (uint32_t i = 0; i < n; i++) {
        in[i] = mb_value(b, x[i], x[i]->loc.file ? x[i]->loc : loc);
        if (!in[i])
            return mb_poison(b);
        mixed |= graph_type(b->g, in[i])->dtype != graph_type(b->g, in[0])->dtype;
        if (graph_type(b->g, in[i])->sample)
            batch = graph_type(b->g, in[i])->dim[0];
    }
    for (uint32_t i = 0; i < n; i++) {
        if (mixed)
            in[i] = mb_to_f32(b, in[i]);
        if (batch.b || batch.c)
            in[i] = as_sample(b, in[i], batch);
        const struct type *t = graph_type(b->g, in[i]), *t0 = graph_type(b->g, in[0]);
        if (!mb_axes(t) || !same_behind(t0, t)) {
            diag(b->ds, E0301, loc, "shapes %s and %s do not fit side by side",
                 mb_shape_text(b, t0), mb_shape_text(b, t));
            diag_hint(b->ds, mb_axes(t) ? "all axes but the first must agree"
                                        : "`fill(x, 1)` makes a vector of one number");
            return mb_poison(b);
        }
        extent += t->dim[mb_first(t)].c;
    }
    if (extent > INT32_MAX) {
        diag(b->ds, E0902, loc, "limit exceeded: extents go to 2^31 - 1");
        return mb_poison(b);
    }
    if (n == 1)
        return mb_tensor(b, in[0]);
    const struct type *t0 = graph_type(b->g, in[0]);
    return mb_tensor(b, graph_concat(b->g, in, n, (uint8_t)mb_first(t0)));
}

struct val *mb_stack_values(struct mb *b, struct val *const *x, uint32_t n, struct loc loc)
{
    struct type t;
    struct val **part = arena_array(b->a, n + 1, sizeof(struct val *));
    if (!mb_join(b, x, n, loc, &t))
        return mb_poison(b);
    t.dtype = DT_F32;
    if (t.rank == HYP_RANK) {
        diag(b->ds, E0902, loc, "limit exceeded: rank of a list");
        return mb_poison(b);
    }
    struct type row = t;
    const unsigned first = mb_first(&t);
    memmove(row.dim + first + 1, row.dim + first, mb_axes(&t) * sizeof row.dim[0]);
    row.dim[first] = ext_const(1);
    row.rank++;
    for (uint32_t i = 0; i < n; i++) {
        const value_id v = mb_f32(b, x[i], loc);
        if (!v)
            return mb_poison(b);
        part[i] = mb_tensor(b, graph_reshape(b->g, mb_widen(b, v, &t), &row));
    }
    return mb_concat_values(b, part, n, loc);
}

struct val *mb_concat(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    (void)x;
    (void)p;
    if (!a->nall) {
        diag(b->ds, E0208, a->loc, "`concat` of nothing");
        return mb_poison(b);
    }
    if (a->nall == 1 && (a->val[0]->kind == VAL_TUPLE || a->val[0]->kind == VAL_LIST))
        return mb_concat_values(b, a->val[0]->item, a->val[0]->n, a->loc);
    return mb_concat_values(b, a->val, a->nall, a->loc);
}

struct val *mb_split(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    int64_t n = 0;
    const value_id v = mb_value(b, a->val[0], a->at[0]);
    (void)x;
    (void)p;
    if (!v || !mb_whole(b, a->val[1], a->at[1], &n))
        return mb_poison(b);
    const struct type t = *graph_type(b->g, v);
    const unsigned axis = mb_first(&t);
    if (!mb_axes(&t) || t.dim[axis].b || n < 1 || n > MB_PARTS || t.dim[axis].c % n) {
        diag(b->ds, E0305, a->loc, "%s does not split into %lld equal parts",
             mb_shape_text(b, &t), (long long)n);
        return mb_poison(b);
    }
    struct val **part = arena_array(b->a, (size_t)n, sizeof(struct val *));
    const int32_t m = (int32_t)(t.dim[axis].c / n);
    for (int32_t i = 0; i < (int32_t)n; i++)
        part[i] = mb_tensor(
            b, graph_slice(b->g, v, (uint8_t)axis, ext_const(i * m), ext_const(m)));
    return mb_tuple(b, part, (uint32_t)n);
}

/* y[i] = x[i + off] on one axis; nothing where that lies outside. */
static value_id shifted(struct mb *b, value_id v, unsigned axis, struct ext off)
{
    const struct type t = *graph_type(b->g, v);
    struct form f = {.naxis = t.rank, .nport = 2};
    for (unsigned j = 0; j < 2; j++) {
        f.port[j].rank = t.rank;
        for (unsigned i = 0; i < t.rank; i++) {
            f.axis[i] = f.port[j].shape[i] = t.dim[i];
            f.port[j].dim[i] = (struct dimmap){.n = 1, .axis = {(int8_t)i}, .coef = {1}};
        }
    }
    f.port[0].dim[axis].off = off;
    return graph_form(b->g, &f, 1, &v, t.sample, t.dtype);
}

/* Element i moves to i + n: two shifts that cover the axis together. */
struct val *mb_roll(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct ext n;
    value_id v = mb_value(b, a->val[0], a->at[0]);
    (void)x;
    (void)p;
    if (!v || !mb_ext_of(b, a->val[1], a->at[1], &n))
        return mb_poison(b);
    const struct type t = *graph_type(b->g, v);
    if (!mb_axes(&t)) {
        diag(b->ds, E0303, a->loc, "axis 0 of a value with 0");
        return mb_poison(b);
    }
    const unsigned axis = mb_first(&t);
    const struct ext len = t.dim[axis];
    if (!len.b && n.b) {
        diag(b->ds, E0305, a->at[1], "a roll by the batch along an axis of %d", len.c);
        return mb_poison(b);
    }
    if (!len.b)
        n.c = n.c % len.c;
    if (!n.c && !n.b)
        return a->val[0];
    const int32_t turn = n.c < 0 || n.b < 0 ? -1 : 1;
    const value_id one = shifted(b, v, axis, (struct ext){-n.c, -n.b});
    const value_id two =
        shifted(b, v, axis, (struct ext){turn * len.c - n.c, turn * len.b - n.b});
    const enum sx_op add = t.dtype == DT_I32    ? SX_IADD
                           : t.dtype == DT_BOOL ? SX_OR
                                                : SX_ADD;
    return mb_tensor(b, graph_op2(b->g, add, one, two));
}

/* Copies */

struct val *mb_expand(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct ext n;
    const value_id v = mb_value(b, a->val[0], a->at[0]);
    (void)x;
    (void)p;
    if (!v || !mb_ext_of(b, a->val[1], a->at[1], &n))
        return mb_poison(b);
    struct type t = *graph_type(b->g, v);
    const unsigned first = mb_first(&t);
    if (t.rank == HYP_RANK || (n.c < 1 && !n.b)) {
        diag(b->ds, t.rank == HYP_RANK ? E0902 : E0305, a->loc, "`expand` by %d", n.c);
        return mb_poison(b);
    }
    memmove(t.dim + first + 1, t.dim + first, mb_axes(&t) * sizeof t.dim[0]);
    t.dim[first] = ext_const(1);
    t.rank++;
    const value_id one = graph_reshape(b->g, v, &t);
    t.dim[first] = n;
    return mb_tensor(b, mb_widen(b, one, &t));
}

struct val *mb_along(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    unsigned dim = 0;
    const value_id v = mb_value(b, a->val[0], a->at[0]),
                   like = mb_value(b, a->val[1], a->at[1]);
    (void)x;
    (void)p;
    if (!v || !like || !mb_axis(b, a->val[2], graph_type(b->g, like), a->at[2], &dim))
        return mb_poison(b);
    const struct type l = *graph_type(b->g, like);
    struct type t = *graph_type(b->g, v);
    if (mb_axes(&t) != 1 || !ext_eq(t.dim[mb_first(&t)], l.dim[dim])) {
        diag(b->ds, E0301, a->loc,
             "shapes %s and %s do not fit: a vector of %d lies along that axis",
             mb_shape_text(b, &t), mb_shape_text(b, &l), l.dim[dim].c);
        return mb_poison(b);
    }
    t.rank = (uint8_t)mb_first(&t);
    for (unsigned i = mb_first(&l); i < l.rank; i++)
        t.dim[t.rank++] = i == dim ? l.dim[i] : ext_const(1);
    return reshaped(b, v, &t, a->loc);
}

static value_id by_axes(struct mb *b, sx_id s, const struct type *t)
{
    return graph_map(b->g, s, NULL, 0, t);
}

struct val *mb_fill(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct ext n;
    (void)x;
    (void)p;
    if (!mb_ext_of(b, a->val[1], a->at[1], &n))
        return mb_poison(b);
    if (n.c < 1 && !n.b) {
        diag(b->ds, E0305, a->at[1], "an extent must be at least 1, found %d", n.c);
        return mb_poison(b);
    }
    struct type t = type_scalar(DT_F32);
    t.rank = 1;
    t.dim[0] = n;
    if (a->val[0]->kind == VAL_NUM)
        return mb_tensor(b, by_axes(b, sx_const(&b->g->sx, a->val[0]->num), &t));
    const value_id v = mb_f32(b, a->val[0], a->at[0]);
    if (!v)
        return mb_poison(b);
    t = *graph_type(b->g, v);
    if (mb_axes(&t)) {
        diag(b->ds, E0301, a->at[0], "`fill` repeats one number, found %s",
             type_print(&t, b->a));
        diag_hint(b->ds, "`expand(x, n)` repeats a vector");
        return mb_poison(b);
    }
    t.dim[t.rank++] = n;
    return mb_tensor(b, mb_widen(b, v, &t));
}

static bool vector_type(struct mb *b, struct val *n, struct loc loc, unsigned rank,
                        struct type *t)
{
    struct ext e;
    *t = type_scalar(DT_F32);
    if (!mb_ext_of(b, n, loc, &e))
        return false;
    if (e.c < 1 && !e.b) {
        diag(b->ds, E0305, loc, "an extent must be at least 1, found %d", e.c);
        return false;
    }
    t->rank = (uint8_t)rank;
    for (unsigned i = 0; i < rank; i++)
        t->dim[i] = e;
    return true;
}

struct val *mb_arange(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct type t;
    struct sxb *s = &b->g->sx;
    (void)x;
    (void)p;
    if (!vector_type(b, a->val[0], a->at[0], 1, &t))
        return mb_poison(b);
    return mb_tensor(b, by_axes(b, sx_make(s, SX_I2F, sx_axis(s, 0), 0, 0), &t));
}

struct val *mb_linspace(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct type t;
    struct sxb *s = &b->g->sx;
    (void)x;
    (void)p;
    if (!vector_type(b, a->val[2], a->at[2], 1, &t))
        return mb_poison(b);
    const struct val *low = a->val[0], *high = a->val[1];
    if (low->kind != VAL_NUM || high->kind != VAL_NUM) {
        diag(b->ds, E0305, a->loc, "`linspace` takes numbers known when compiling");
        return mb_poison(b);
    }
    const double step = t.dim[0].c > 1 ? (high->num - low->num) / (t.dim[0].c - 1) : 0;
    const sx_id i = sx_make(s, SX_I2F, sx_axis(s, 0), 0, 0);
    return mb_tensor(
        b, by_axes(b, sx_make(s, SX_FMA, i, sx_const(s, step), sx_const(s, low->num)), &t));
}

struct val *mb_eye(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct type t;
    struct sxb *s = &b->g->sx;
    (void)x;
    (void)p;
    if (!vector_type(b, a->val[0], a->at[0], 2, &t))
        return mb_poison(b);
    const sx_id same = sx_make(s, SX_EQ, sx_axis(s, 0), sx_axis(s, 1), 0);
    return mb_tensor(
        b, by_axes(b, sx_make(s, SX_SEL, same, sx_const(s, 1), sx_const(s, 0)), &t));
}

struct val *mb_onehot(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct ext n;
    struct sxb *s = &b->g->sx;
    value_id v = mb_value(b, a->val[0], a->at[0]);
    (void)x;
    (void)p;
    if (!v || !mb_ext_of(b, a->val[1], a->at[1], &n))
        return mb_poison(b);
    struct type t = *graph_type(b->g, v);
    if (t.dtype == DT_BOOL || t.rank == HYP_RANK) {
        diag(b->ds, E0301, a->at[0], "`onehot` takes whole numbers, found %s",
             type_print(&t, b->a));
        return mb_poison(b);
    }
    t.dim[t.rank++] = ext_const(1);
    v = graph_reshape(b->g, v, &t);
    const sx_id label = t.dtype == DT_I32
                            ? sx_arg(s, 0, SX_I32)
                            : sx_make(s, SX_F2I, sx_arg(s, 0, SX_FLOAT), 0, 0);
    const sx_id here = sx_make(s, SX_EQ, label, sx_axis(s, t.rank - 1U), 0);
    t.dim[t.rank - 1] = n;
    t.dtype = DT_F32;
    return mb_tensor(
        b, mb_map(b, sx_make(s, SX_SEL, here, sx_const(s, 1), sx_const(s, 0)), &v, 1, &t));
}
