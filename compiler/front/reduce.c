/*
 * Reductions.  Which dims are meant is decided here; what is built are sums, folds and
 * maps.
 *
 * Tuples are reduced all members together: sums add up, other reductions see one vector.
 */
#include <math.h>
#include <string.h>

#include "compiler/front/prim.h"
#include "runtime/base/arena.h"

struct axes {
    bool units, batch, member, given;
    int32_t axis[HYP_RANK];
    uint32_t naxis;
    bool keep;
    int32_t kept;
    struct loc loc;
};

static bool over_item(struct mb *b, struct val *v, struct axes *x, struct loc loc)
{
    int64_t n = 0;
    if (v->kind == VAL_POISON)
        return false;
    if (v->kind == VAL_WORD) {
        x->units |= !strcmp(v->word, "units");
        x->batch |= !strcmp(v->word, "batch");
        x->member |= !strcmp(v->word, "member");
        if (!strcmp(v->word, "ticks"))
            diag(b->ds, E0001, loc, "`over=ticks` is not built yet");
        else if (!strcmp(v->word, "sample"))
            diag(b->ds, E0303, loc, "`over=sample`: the batch's axis is called `batch`");
        else
            return true;
        return false;
    }
    if (v->kind != VAL_NUM || !mb_whole(b, v, loc, &n)) {
        if (v->kind != VAL_NUM)
            diag(b->ds, E0303, loc,
                 "`over` takes `units`, `batch`, `member`, an axis number or a list of "
                 "these");
        return false;
    }
    if (x->naxis < HYP_RANK)
        x->axis[x->naxis++] = (int32_t)n;
    return true;
}

static bool read_axes(struct mb *b, struct val *over, struct val *keep, struct axes *x)
{
    int64_t n = 0;
    x->given = over || keep;
    if (keep) {
        x->keep = true;
        if (!mb_whole(b, keep, keep->loc, &n))
            return false;
        x->kept = (int32_t)n;
    }
    if (!over)
        return true;
    x->loc = over->loc;
    if (over->kind != VAL_LIST && over->kind != VAL_TUPLE)
        return over_item(b, over, x, over->loc);
    for (uint32_t i = 0; i < over->n; i++)
        if (!over_item(b, over->item[i], x, over->loc))
            return false;
    return true;
}

bool mb_axis(struct mb *b, struct val *v, const struct type *t, struct loc loc,
             unsigned *dim)
{
    int64_t n = 0;
    const int64_t m = mb_axes(t);
    if (!mb_whole(b, v, loc, &n))
        return false;
    if (n < -m || n >= m) {
        diag(b->ds, E0303, loc, "axis %lld of a value with %lld", (long long)n,
             (long long)m);
        diag_hint(b->ds, "it is %s", type_print(t, b->a));
        return false;
    }
    *dim = (unsigned)(n < 0 ? n + m : n) + mb_first(t);
    return true;
}

static bool axis_bit(struct mb *b, int32_t n, const struct type *t, struct loc loc,
                     uint32_t *bits)
{
    unsigned dim = 0;
    struct val v = {.kind = VAL_NUM, .num = n};
    if (!mb_axis(b, &v, t, loc, &dim))
        return false;
    *bits |= 1U << dim;
    return true;
}

/* The dims of t as bits. `small`: without `over`, units only. */
static bool dims_of(struct mb *b, const struct axes *x, const struct type *t, bool small,
                    struct loc loc, uint32_t *bits)
{
    const uint32_t all = (1U << t->rank) - 1, batch = t->sample ? 1 : 0;
    *bits = 0;
    const bool listed = x->units || x->batch || x->naxis;
    if (x->keep) {
        uint32_t kept = 0;
        if (!axis_bit(b, x->kept, t, loc, &kept))
            return false;
        *bits = all & ~kept;
        return true;
    }
    if (!listed)
        *bits = small ? all & ~batch : all;
    if (x->units)
        *bits |= all & ~batch;
    if (x->batch && !t->sample) {
        diag(b->ds, E0303, loc, "cannot reduce over `batch`: the value is shared");
        diag_hint(b->ds, "it is %s", type_print(t, b->a));
        return false;
    }
    if (x->batch)
        *bits |= batch;
    for (uint32_t i = 0; i < x->naxis; i++)
        if (!axis_bit(b, x->axis[i], t, loc, bits))
            return false;
    return true;
}

/* How many elements: of[k] times the k-th power of the batch, summed. */
struct count {
    double of[HYP_RANK + 1];
};

/* How many elements dims `bits` of t hold. */
static struct count count_of(const struct type *t, uint32_t bits)
{
    struct count n = {{1}};
    for (unsigned i = 0; i < t->rank; i++) {
        if (!(bits >> i & 1))
            continue;
        for (unsigned k = HYP_RANK; k > 0; k--)
            n.of[k] = n.of[k] * t->dim[i].c + n.of[k - 1] * t->dim[i].b;
        n.of[0] *= t->dim[i].c;
    }
    return n;
}

/* v / (n - less): a multiplication by the inverse, which the host computes if the batch
 * counts. */
static value_id divided(struct mb *b, value_id v, struct count n, int32_t less)
{
    struct sxb *s = &b->g->sx;
    value_id in[2] = {v, 0};
    unsigned degree = HYP_RANK;
    while (degree > 0 && n.of[degree] == 0)
        degree--;
    n.of[0] -= less;
    sx_id inverse = 0;
    if (degree == 0 && n.of[0] == 1)
        return v;
    if (degree) {
        const value_id count = mb_polynomial(b, n.of, degree);
        in[1] = mb_map(b, sx_make(s, SX_DIV, sx_const(s, 1), sx_arg(s, 0, SX_FLOAT), 0),
                       &count, 1, NULL);
        inverse = sx_arg(s, 1, SX_FLOAT);
    } else {
        inverse = sx_const(s, 1.0 / n.of[0]);
    }
    return mb_map(b, sx_make(s, SX_MUL, sx_arg(s, 0, SX_FLOAT), inverse, 0), in,
                  degree ? 2 : 1, NULL);
}

/* A reduced value with 1 where its dims were, so that it lines up with `like` again. */
static value_id kept(struct mb *b, value_id v, const struct type *like, uint32_t bits)
{
    struct type t = *graph_type(b->g, v);
    const bool sample = like->sample && !(bits & 1);
    t.rank = 0;
    t.sample = sample;
    for (unsigned i = like->sample && !sample ? 1 : 0; i < like->rank; i++)
        t.dim[t.rank++] = bits >> i & 1 ? ext_const(1) : like->dim[i];
    return graph_reshape(b->g, v, &t);
}

static value_id op1(struct mb *b, enum sx_op op, value_id v)
{
    struct sxb *s = &b->g->sx;
    return mb_map(b, sx_make(s, op, sx_arg(s, 0, SX_FLOAT), 0, 0), &v, 1, NULL);
}

static value_id op2(struct mb *b, enum sx_op op, value_id x, value_id y)
{
    struct sxb *s = &b->g->sx;
    const value_id in[2] = {x, y};
    return mb_map(b, sx_make(s, op, sx_arg(s, 0, SX_FLOAT), sx_arg(s, 1, SX_FLOAT), 0), in,
                  2, NULL);
}

/* sqrt(s), with the derivative 0 where s is 0. */
static value_id safe_sqrt(struct mb *b, value_id v, double at_zero)
{
    struct sxb *s = &b->g->sx;
    const sx_id x = sx_arg(s, 0, SX_FLOAT), zero = sx_const(s, 0);
    const sx_id is = sx_make(s, SX_EQ, x, zero, 0);
    const sx_id root = sx_make(s, SX_SQRT, sx_make(s, SX_SEL, is, sx_const(s, 1), x), 0, 0);
    return mb_map(b, sx_make(s, SX_SEL, is, sx_const(s, at_zero), root), &v, 1, NULL);
}

static value_id variance(struct mb *b, value_id v, uint32_t bits, bool unbiased)
{
    const struct type t = *graph_type(b->g, v);
    const struct count n = count_of(&t, bits);
    const value_id mean = divided(b, graph_sum(b->g, v, bits), n, 0);
    const value_id d = op2(b, SX_SUB, v, kept(b, mean, &t, bits));
    return divided(b, graph_sum(b->g, op1(b, SX_FN_square, d), bits), n, unbiased ? 1 : 0);
}

static value_id extreme(struct mb *b, value_id v, uint32_t bits, enum combiner comb)
{
    value_id index = 0;
    const struct type t = *graph_type(b->g, v);
    const struct form f = form_sum(t.dim, t.rank, bits);
    const value_id out = graph_fold(b->g, &f, 1, comb, v, t.sample && !(bits & 1), &index);
    return comb == COMB_ARGMAX ? index : out;
}

static value_id log_sum_exp(struct mb *b, value_id v, uint32_t bits)
{
    const struct type t = *graph_type(b->g, v);
    const value_id top = graph_stop(b->g, extreme(b, v, bits, COMB_MAX));
    const value_id e = op1(b, SX_FN_exp, op2(b, SX_SUB, v, kept(b, top, &t, bits)));
    return op2(b, SX_ADD, op1(b, SX_FN_log, graph_sum(b->g, e, bits)), top);
}

static value_id reduced(struct mb *b, enum reduction r, value_id v, uint32_t bits,
                        bool unbiased)
{
    struct graph *g = b->g;
    const struct type t = *graph_type(g, v);
    switch (r) {
    case RED_SUM:
        return bits ? graph_sum(g, v, bits) : v;
    case RED_MEAN:
        return bits ? divided(b, graph_sum(g, v, bits), count_of(&t, bits), 0) : v;
    case RED_VAR:
        return variance(b, v, bits, unbiased);
    case RED_STD:
        return safe_sqrt(b, variance(b, v, bits, unbiased), 0);
    case RED_MAX:
        return extreme(b, v, bits, COMB_MAX);
    case RED_MIN:
        return op1(b, SX_NEG, extreme(b, op1(b, SX_NEG, v), bits, COMB_MAX));
    case RED_NORM: {
        const value_id q = op1(b, SX_FN_square, v);
        return safe_sqrt(b, bits ? graph_sum(g, q, bits) : q, 0);
    }
    case RED_ARGMAX:
        return extreme(b, v, bits, COMB_ARGMAX);
    case RED_LOGSUMEXP:
    default:
        return log_sum_exp(b, v, bits);
    }
}

static bool is_small(enum reduction r)
{
    return r == RED_NORM || r == RED_ARGMAX || r == RED_LOGSUMEXP;
}

static struct val *reduce_one(struct mb *b, enum reduction r, struct val *x,
                              const struct axes *ax, bool unbiased, struct loc loc)
{
    uint32_t bits = 0;
    const value_id v = mb_f32(b, x, loc);
    if (!v || !dims_of(b, ax, graph_type(b->g, v), is_small(r),
                       ax->loc.file ? ax->loc : loc, &bits))
        return mb_poison(b);
    return mb_tensor(b, reduced(b, r, v, bits, unbiased));
}

/* Sum, mean and norm of a tuple: the members' sums, added. */
static struct val *added(struct mb *b, enum reduction r, struct val *x,
                         const struct axes *ax, struct loc loc)
{
    struct val *total = NULL;
    struct count n = {{0}};
    for (uint32_t i = 0; i < x->n; i++) {
        uint32_t bits = 0;
        const value_id v = mb_f32(b, x->item[i], loc);
        if (!v || !dims_of(b, ax, graph_type(b->g, v), is_small(r), loc, &bits))
            return mb_poison(b);
        const struct count more = count_of(graph_type(b->g, v), bits);
        for (unsigned k = 0; k <= HYP_RANK; k++)
            n.of[k] += more.of[k];
        const value_id q = r == RED_NORM ? op1(b, SX_FN_square, v) : v;
        struct val *part = mb_tensor(b, bits ? graph_sum(b->g, q, bits) : q);
        total = total ? mb_ew2(b, SX_ADD, total, part, loc) : part;
        if (total->kind == VAL_POISON)
            return total;
    }
    if (!total) {
        diag(b->ds, E0309, loc, "a reduction of no values");
        return mb_poison(b);
    }
    if (r == RED_MEAN)
        return mb_tensor(b, divided(b, total->v, n, 0));
    return r == RED_NORM ? mb_tensor(b, safe_sqrt(b, total->v, 0)) : total;
}

/* over=member: each apart, giving one value [M]. */
static struct val *by_member(struct mb *b, enum reduction r, struct val *x, struct axes ax,
                             bool unbiased, struct loc loc)
{
    struct val **part = arena_array(b->a, x->n + 1, sizeof(struct val *));
    for (uint32_t i = 0; i < x->n; i++) {
        part[i] = x->item[i]->kind == VAL_TUPLE &&
                          (r == RED_SUM || r == RED_MEAN || r == RED_NORM)
                      ? added(b, r, x->item[i], &ax, loc)
                      : reduce_one(b, r, x->item[i], &ax, unbiased, loc);
        if (part[i]->kind == VAL_POISON)
            return part[i];
    }
    return mb_stack_values(b, part, x->n, loc);
}

struct val *mb_reduce(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    const enum reduction r = (enum reduction)p->op;
    struct axes ax = {0};
    bool unbiased = false;
    struct val *v = a->val[0];
    (void)x;
    if (!read_axes(b, a->val[1], a->val[2], &ax))
        return mb_poison(b);
    if (a->n > 3)
        unbiased = a->val[3]->kind == VAL_NUM && a->val[3]->num != 0;
    if (ax.member && v->kind != VAL_TUPLE) /* a penalty of one layer: a tuple of one */
        v = mb_tuple(b, &v, 1);
    if (v->kind != VAL_TUPLE)
        return reduce_one(b, r, v, &ax, unbiased, a->loc);
    if (ax.member)
        return by_member(b, r, v, ax, unbiased, a->loc);
    if (r == RED_SUM || r == RED_MEAN || r == RED_NORM)
        return added(b, r, v, &ax, a->loc);
    return reduce_one(b, r, mb_flat(b, v, a->loc), &ax, unbiased, a->loc);
}

struct val *mb_reduce_sum(struct mb *b, struct val *x, bool units, bool batch,
                          struct loc loc)
{
    const struct axes ax = {.units = units, .batch = batch, .given = true};
    if (x->kind == VAL_POISON)
        return x;
    return reduce_one(b, RED_SUM, x, &ax, false, loc);
}

struct val *mb_dot(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    (void)x;
    (void)p;
    return mb_reduce_sum(b, mb_ew2(b, SX_MUL, a->val[0], a->val[1], a->loc), true, false,
                         a->loc);
}

static struct val *centred(struct mb *b, struct val *v, struct loc loc)
{
    uint32_t bits = 0;
    const struct axes ax = {.units = true};
    const value_id id = mb_f32(b, v, loc);
    if (!id || !dims_of(b, &ax, graph_type(b->g, id), true, loc, &bits))
        return mb_poison(b);
    const struct type t = *graph_type(b->g, id);
    const value_id mean = divided(b, graph_sum(b->g, id, bits), count_of(&t, bits), 0);
    return mb_tensor(b, op2(b, SX_SUB, id, kept(b, mean, &t, bits)));
}

struct val *mb_correlation(struct mb *b, struct ecx *x, const struct prim *p,
                           struct args *a)
{
    struct val *c[2], *s[3];
    const struct loc loc = a->loc;
    (void)x;
    (void)p;
    for (unsigned i = 0; i < 2; i++)
        c[i] = centred(b, a->val[i], a->at[i]);
    for (unsigned i = 0; i < 3; i++)
        s[i] = mb_reduce_sum(b, mb_ew2(b, SX_MUL, c[i == 2], c[i != 0], loc), true, false,
                             loc);
    struct val *scale = mb_ew1(b, SX_SQRT, mb_ew2(b, SX_MUL, s[0], s[2], loc), loc);
    return mb_ew2(b, SX_DIV, s[1], scale, loc);
}

/* x / norm(x); a zero vector is divided by infinity, so that value and derivative are 0. */
struct val *mb_unit_norm(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct axes ax = {0};
    uint32_t bits = 0;
    struct val *v = a->val[0];
    if (v->kind == VAL_TUPLE) {
        struct val **item = arena_array(b->a, v->n + 1, sizeof(struct val *));
        for (uint32_t i = 0; i < v->n; i++) {
            struct args one = *a;
            one.val[0] = v->item[i];
            item[i] = mb_unit_norm(b, x, p, &one);
        }
        return mb_tuple(b, item, v->n);
    }
    const value_id id = mb_f32(b, v, a->loc);
    if (!id || !read_axes(b, a->val[1], NULL, &ax) ||
        !dims_of(b, &ax, graph_type(b->g, id), true, a->loc, &bits))
        return mb_poison(b);
    const struct type t = *graph_type(b->g, id);
    const value_id q = op1(b, SX_FN_square, id);
    const value_id n = safe_sqrt(b, bits ? graph_sum(b->g, q, bits) : q, (double)INFINITY);
    return mb_tensor(b, op2(b, SX_DIV, id, kept(b, n, &t, bits)));
}
