/*
 * Structure: extents as numbers, batches as axes, functions over tuples, derivatives.
 */
#include <string.h>

#include "compiler/front/prim.h"
#include "runtime/base/arena.h"

static struct val *extent(struct mb *b, struct ext e)
{
    if (!e.b)
        return mb_num(b, e.c);
    struct val *v = mb_tensor(b, mb_ext(b, e));
    v->is_ext = true;
    v->ext = e;
    return v;
}

struct val *mb_shape_of(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct val *item[HYP_RANK];
    const value_id v = mb_value(b, a->val[0], a->at[0]);
    (void)x;
    (void)p;
    if (!v)
        return mb_poison(b);
    const struct type t = *graph_type(b->g, v);
    for (unsigned i = 0; i < mb_axes(&t); i++)
        item[i] = extent(b, t.dim[mb_first(&t) + i]);
    struct val *out = mb_tuple(b, item, mb_axes(&t));
    out->kind = VAL_LIST;
    return out;
}

struct val *mb_dim(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    unsigned dim = 0;
    const value_id v = mb_value(b, a->val[0], a->at[0]);
    (void)x;
    (void)p;
    if (!v || !mb_axis(b, a->val[1], graph_type(b->g, v), a->loc, &dim))
        return mb_poison(b);
    return extent(b, graph_type(b->g, v)->dim[dim]);
}

struct val *mb_depth(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    a->val[1] = mb_num(b, 0);
    return mb_dim(b, x, p, a);
}

struct val *mb_size(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    const value_id v = mb_value(b, a->val[0], a->at[0]);
    (void)x;
    (void)p;
    if (!v)
        return mb_poison(b);
    const struct type t = *graph_type(b->g, v);
    struct ext n = ext_const(1);
    for (unsigned i = mb_first(&t); i < t.rank; i++) {
        const struct ext d = t.dim[i];
        n = d.b ? (struct ext){n.c * d.c, n.c * d.b} : (struct ext){n.c * d.c, n.b * d.c};
    }
    return extent(b, n);
}

struct val *mb_as_axis(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    const value_id v = mb_value(b, a->val[0], a->at[0]);
    (void)x;
    (void)p;
    if (!v)
        return mb_poison(b);
    if (!graph_type(b->g, v)->sample) {
        diag(b->ds, E0303, a->at[0], "`as_axis` of a shared value: it has no batch");
        diag_hint(b->ds, "it is %s", type_print(graph_type(b->g, v), b->a));
        return mb_poison(b);
    }
    return mb_tensor(b, graph_retype(b->g, v, false));
}

struct val *mb_as_samples(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    const value_id v = mb_value(b, a->val[0], a->at[0]);
    (void)x;
    (void)p;
    if (!v)
        return mb_poison(b);
    struct type t = *graph_type(b->g, v);
    if (!mb_axes(&t)) {
        diag(b->ds, E0303, a->at[0], "`as_samples` of a value without an axis");
        diag_hint(b->ds, "it is %s", type_print(&t, b->a));
        return mb_poison(b);
    }
    if (!t.sample && t.dim[0].b)
        return mb_tensor(b, graph_retype(b->g, v, true));
    if (t.sample && !t.dim[1].b &&
        !t.dim[0].c) { /* element i of sample j: sample j k + i */
        const int32_t k = t.dim[1].c;
        t.dim[0].b *= k;
        memmove(t.dim + 1, t.dim + 2, (t.rank - 2U) * sizeof t.dim[0]);
        t.rank--;
        const value_id out = graph_reshape(b->g, v, &t);
        if (out)
            return mb_tensor(b, out);
    }
    diag(b->ds, E0001, a->loc, "`as_samples` of %s", type_print(&t, b->a));
    return mb_poison(b);
}

/* Functions over tuples */

static bool callable(struct mb *b, const struct val *f, struct loc loc)
{
    if (f->kind == VAL_FUNC)
        return true;
    diag(b->ds, E0307, loc, "expected a function, found %s", mb_kind_text(f));
    return false;
}

/* Members are counted on from the calls of that name that the expression writes. */
static const char *member_suffix(struct mb *b, struct ecx *x, const char *name)
{
    struct tally *t = x->tally ? *x->tally : NULL;
    while (t && strcmp(t->name, name) != 0)
        t = t->next;
    if (!t) {
        t = arena_alloc(b->a, sizeof *t);
        *t = (struct tally){name, x->root ? mb_call_count(x->root, name) : 0,
                            x->tally ? *x->tally : NULL};
        if (x->tally)
            *x->tally = t;
    }
    return ++t->n > 1 ? arena_fmt(b->a, "#%u", t->n) : "";
}

static struct val *apply(struct mb *b, struct ecx *x, struct args *a, struct val **arg,
                         uint32_t n, uint32_t k, bool numbered)
{
    struct ecx one = *x;
    struct slot slot[MB_ARGS] = {{0}};
    one.suffix = member_suffix(b, x, a->val[0]->func->written);
    if (numbered)
        one.number = arena_fmt(b->a, ".%u", k + 1);
    for (uint32_t i = 0; i < n; i++)
        slot[i] =
            (struct slot){.val = arg[i], .loc = arg[i]->loc.file ? arg[i]->loc : a->loc};
    return mb_call(b, &one, a->call, a->val[0]->func, slot, n, a->loc);
}

struct val *mb_map_over(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    uint32_t m = 0;
    struct val *arg[MB_ARGS];
    (void)p;
    if (!callable(b, a->val[0], a->at[0]))
        return mb_poison(b);
    for (uint32_t i = 1; i < a->nall; i++) {
        const struct val *v = a->val[i];
        if (v->kind != VAL_TUPLE)
            continue;
        if (m && v->n != m) {
            diag(b->ds, E0309, a->at[i], "%u values where %u are expected", v->n, m);
            return mb_poison(b);
        }
        m = v->n;
    }
    struct val **out = arena_array(b->a, m + 1, sizeof(struct val *));
    for (uint32_t k = 0; k < (m ? m : 1); k++) {
        for (uint32_t i = 1; i < a->nall; i++)
            arg[i - 1] = a->val[i]->kind == VAL_TUPLE ? a->val[i]->item[k] : a->val[i];
        out[k] = apply(b, x, a, arg, a->nall - 1, k, false);
    }
    return m ? mb_tuple(b, out, m) : out[0];
}

struct val *mb_chain(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    int64_t n = 0;
    struct val *v = a->val[1];
    (void)p;
    if (!callable(b, a->val[0], a->at[0]) || !mb_whole(b, a->val[2], a->at[2], &n))
        return mb_poison(b);
    if (n < 0 || n > 10000) {
        diag(b->ds, E0902, a->at[2], "limit exceeded: a chain of %lld", (long long)n);
        return mb_poison(b);
    }
    for (int64_t k = 0; k < n && v->kind != VAL_POISON; k++)
        v = apply(b, x, a, &v, 1, (uint32_t)k, true);
    return v;
}

struct val *mb_taps_of(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    (void)p;
    return mb_taps(b, x, a->call, a->val[0], a->val[1], a->loc);
}

/* Derivatives */

struct val *mb_stop(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct val *v = a->val[0];
    if (v->kind == VAL_NUM)
        return v;
    if (v->kind == VAL_TUPLE) {
        struct val **item = arena_array(b->a, v->n + 1, sizeof(struct val *));
        for (uint32_t i = 0; i < v->n; i++) {
            struct args one = *a;
            one.val[0] = v->item[i];
            item[i] = mb_stop(b, x, p, &one);
        }
        return mb_tuple(b, item, v->n);
    }
    const value_id id = mb_value(b, v, a->at[0]);
    return id ? mb_tensor(b, graph_stop(b->g, id)) : mb_poison(b);
}

struct val *mb_scale_grad(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct val *v = a->val[0];
    const value_id c = mb_f32(b, a->val[1], a->at[1]);
    if (!c)
        return mb_poison(b);
    if (graph_type(b->g, c)->rank) {
        diag(b->ds, E0301, a->at[1], "`scale_grad` scales by one number, found %s",
             mb_show(b, a->val[1]));
        return mb_poison(b);
    }
    if (v->kind == VAL_NUM)
        return v;
    if (v->kind == VAL_TUPLE) {
        struct val **item = arena_array(b->a, v->n + 1, sizeof(struct val *));
        for (uint32_t i = 0; i < v->n; i++) {
            struct args one = *a;
            one.val[0] = v->item[i];
            item[i] = mb_scale_grad(b, x, p, &one);
        }
        return mb_tuple(b, item, v->n);
    }
    const value_id id = mb_f32(b, v, a->at[0]);
    return id ? mb_tensor(b, graph_scale_grad(b->g, id, c)) : mb_poison(b);
}

static uint32_t tensors(struct mb *b, struct val *x, value_id *out, uint32_t n,
                        struct loc loc)
{
    if (x->kind == VAL_TUPLE) {
        for (uint32_t i = 0; i < x->n; i++)
            n = tensors(b, x->item[i], out, n, loc);
        return n;
    }
    if (n < 250)
        out[n] = mb_value(b, x, loc);
    return n + 1;
}

static struct val *like_tuple(struct mb *b, const struct val *x, const value_id *v,
                              uint32_t *k)
{
    if (x->kind != VAL_TUPLE)
        return mb_tensor(b, v[(*k)++]);
    struct val **item = arena_array(b->a, x->n + 1, sizeof(struct val *));
    for (uint32_t i = 0; i < x->n; i++)
        item[i] = like_tuple(b, x->item[i], v, k);
    return mb_tuple(b, item, x->n);
}

static value_id total(struct mb *b, struct val *y, struct loc loc)
{
    if (y->kind != VAL_TUPLE)
        return mb_f32(b, y, loc);
    struct val *sum = NULL;
    for (uint32_t i = 0; i < y->n; i++) {
        const value_id v = total(b, y->item[i], loc);
        if (!v)
            return 0;
        struct val *part =
            mb_tensor(b, graph_sum(b->g, v, (1U << graph_type(b->g, v)->rank) - 1));
        sum = sum ? mb_ew2(b, SX_ADD, sum, part, loc) : part;
    }
    return sum ? sum->v : 0;
}

struct val *mb_grad(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    value_id in[250], out[250];
    uint32_t k = 0;
    (void)x;
    (void)p;
    const value_id y = total(b, a->val[0], a->at[0]);
    if (!y || a->val[1]->kind == VAL_NUM) {
        if (y)
            diag(b->ds, E0307, a->at[1],
                 "expected a node, argument or weight, found a number");
        return mb_poison(b);
    }
    const uint32_t n = tensors(b, a->val[1], in, 0, a->at[1]);
    if (n > 250) {
        diag(b->ds, E0902, a->loc, "limit exceeded: derivatives by more than 250 values");
        return mb_poison(b);
    }
    for (uint32_t i = 0; i < n; i++)
        if (!in[i])
            return mb_poison(b);
    graph_grad(b->g, y, in, (uint8_t)n, true, out);
    return like_tuple(b, a->val[1], out, &k);
}
