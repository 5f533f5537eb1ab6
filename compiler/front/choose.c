/*
 * Elements by index: `x[i]` where the run knows i, `take`, `put`.  Gathers and scatters;
 * what is out of range reads 0 and adds nothing.  Ranges that are known are checked here,
 * the others while running.
 */
#include <math.h>
#include <string.h>

#include "compiler/front/prim.h"
#include "compiler/ir/range.h"
#include "runtime/base/arena.h"

static bool whole_list(const struct val *v)
{
    for (uint32_t i = 0; v->kind == VAL_LIST && i < v->n; i++)
        if (v->item[i]->kind != VAL_NUM || v->item[i]->num != floor(v->item[i]->num))
            return false;
    return v->kind == VAL_LIST;
}

value_id mb_index(struct mb *b, struct val *v, struct loc loc)
{
    struct sxb *s = &b->g->sx;
    int64_t n;
    if (v->kind == VAL_NUM) {
        if (!mb_whole(b, v, loc, &n))
            return 0;
        const struct type t = type_scalar(DT_I32);
        return graph_map(b->g, sx_int(s, (int32_t)n), NULL, 0, &t);
    }
    const value_id id = mb_value(b, v, loc);
    if (!id || graph_type(b->g, id)->dtype == DT_I32)
        return id;
    if ((mb_is_host(b, id) && graph_type(b->g, id)->dtype == DT_F32) || whole_list(v)) {
        const sx_id down = sx_make(s, SX_FLOOR, sx_arg(s, 0, SX_FLOAT), 0, 0);
        return mb_map(b, sx_make(s, SX_F2I, down, 0, 0), &id, 1, NULL);
    }
    diag(b->ds, E0301, loc, "an index takes whole numbers (i32), found %s",
         type_print(graph_type(b->g, id), b->a));
    diag_hint(b->ds, "`floor(x)`, `argmax(x)` and labels are");
    return 0;
}

static struct range range_of(const struct mb *b, const struct val *v, value_id index)
{
    if (v->kind != VAL_LIST || !v->n)
        return program_range(b->p, index);
    struct range r = {true, true, v->item[0]->num, v->item[0]->num};
    for (uint32_t i = 1; i < v->n; i++) {
        r.lo = fmin(r.lo, v->item[i]->num);
        r.hi = fmax(r.hi, v->item[i]->num);
    }
    return r;
}

static bool in_range(struct mb *b, const struct val *v, value_id index, int64_t extent,
                     struct loc loc)
{
    const struct range r = range_of(b, v, index);
    if (range_fit(&r, extent) != RANGE_OUTSIDE)
        return true;
    diag(b->ds, E0312, loc, "index out of range: from %.0f to %.0f, of %lld elements", r.lo,
         r.hi, (long long)extent);
    diag_hint(b->ds, "from 0 to %lld", (long long)extent - 1);
    return false;
}

static bool varies(struct mb *b, struct ext extent, struct loc loc)
{
    if (extent.b)
        diag(b->ds, E0001, loc, "an index into an axis whose extent varies");
    return extent.b != 0;
}

/* The axis becomes the first one. */
static value_id to_front(struct graph *g, value_id v, unsigned axis)
{
    uint8_t perm[HYP_RANK], n = 0;
    perm[n++] = (uint8_t)axis;
    for (unsigned i = 0; i < graph_type(g, v)->rank; i++)
        if (i != axis)
            perm[n++] = (uint8_t)i;
    return graph_permute(g, v, perm);
}

value_id mb_pick(struct mb *b, value_id v, unsigned axis, struct val *at, struct loc loc)
{
    struct graph *g = b->g;
    value_id index = mb_index(b, at, loc);
    if (!index)
        return 0;
    const struct type t = *graph_type(g, v), *it = graph_type(g, index);
    if (mb_axes(it)) {
        diag(b->ds, E0301, loc, "an index is one number, found %s", type_print(it, b->a));
        diag_hint(b->ds, "`take(x, at)` takes many");
        return 0;
    }
    if (varies(b, t.dim[axis], loc) || !in_range(b, at, index, t.dim[axis].c, loc))
        return 0;
    if (it->sample && !t.sample)
        return graph_gather(g, axis ? to_front(g, v, axis) : v, index, 0);
    if (it->sample && axis > 1) { /* one number for all of a sample's other axes */
        struct type to = t;
        to.rank = (uint8_t)axis;
        index = mb_widen(b, index, &to);
    }
    return graph_gather(g, v, index, (uint8_t)axis);
}

/* The elements of a sample (or of what all share) in a row. */
static struct type in_a_row(const struct type *t)
{
    struct type to = *t;
    to.rank = (uint8_t)(mb_first(t) + 1);
    to.dim[mb_first(t)] = ext_const(1);
    for (unsigned i = mb_first(t); i < t->rank; i++) {
        const struct ext e = t->dim[i];
        struct ext *n = &to.dim[mb_first(t)];
        *n = (struct ext){n->c * e.c, n->c * e.b};
        if (n->b) /* refused by the caller */
            break;
    }
    return to;
}

value_id mb_take_at(struct mb *b, value_id v, value_id at, struct loc loc)
{
    const struct type row = in_a_row(graph_type(b->g, v));
    const unsigned axis = mb_first(&row);
    struct type out;
    bool aligned;
    if (!gather_type(&row, graph_type(b->g, at), (uint8_t)axis, &out, &aligned)) {
        diag(b->ds, E0902, loc, "limit exceeded: rank %d", HYP_RANK);
        return 0;
    }
    const value_id flat = graph_reshape(b->g, v, &row);
    return graph_gather(b->g, flat, at, (uint8_t)axis);
}

struct val *mb_take(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    const value_id v = mb_value(b, a->val[0], a->at[0]);
    const value_id at = mb_index(b, a->val[1], a->at[1]);
    (void)x;
    (void)p;
    if (!v || !at)
        return mb_poison(b);
    const struct type row = in_a_row(graph_type(b->g, v));
    const unsigned axis = mb_first(&row);
    if (varies(b, row.dim[axis], a->at[0]) ||
        !in_range(b, a->val[1], at, row.dim[axis].c, a->at[1]))
        return mb_poison(b);
    const value_id y = mb_take_at(b, v, at, a->loc);
    return y ? mb_tensor(b, y) : mb_poison(b);
}

struct val *mb_put(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct type shape, out, joined;
    bool aligned;
    unsigned clash;
    const value_id e = mb_f32(b, a->val[0], a->at[0]);
    const value_id at = mb_index(b, a->val[1], a->at[1]);
    (void)x;
    (void)p;
    if (!mb_shape(b, a->val[2], a->at[2], &shape) || !e || !at)
        return mb_poison(b);
    const struct type *te = graph_type(b->g, e), *ta = graph_type(b->g, at);
    struct type row = in_a_row(&shape);
    if (varies(b, row.dim[0], a->at[2]) ||
        !in_range(b, a->val[1], at, row.dim[0].c, a->at[1]))
        return mb_poison(b);
    if (te->sample || ta->sample) {
        row = (struct type){
            .dtype = DT_F32, .rank = 2, .sample = true, .dim = {{0, 1}, row.dim[0]}};
        memmove(shape.dim + 1, shape.dim, shape.rank * sizeof *shape.dim);
        shape.dim[0] = row.dim[0];
        shape.rank++;
        shape.sample = true;
    }
    const uint8_t axis = (uint8_t)mb_first(&row);
    if (!gather_type(&row, ta, axis, &out, &aligned) ||
        !type_join(&out, te, &joined, &clash) || !mb_same_shape(&joined, &out)) {
        diag(b->ds, E0301, a->loc,
             "shapes %s and %s do not fit: one place for each element",
             mb_shape_text(b, te), mb_shape_text(b, ta));
        return mb_poison(b);
    }
    const value_id sum = graph_scatter(b->g, mb_widen(b, e, &out), at, axis, &row);
    return mb_tensor(b, graph_reshape(b->g, sum, &shape));
}
