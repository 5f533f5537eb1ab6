/*
 * Turned and shifted images.  A pixel reads where it comes from, between four neighbours:
 * four gathers, whose weights are 0 outside of the image.  Differentiable by the image and
 * by the angle and the shifts.
 */
#include <string.h>

#include "compiler/front/prim.h"
#include "runtime/base/arena.h"

enum { ANGLE, DX, DY, PARTS };

struct turn {
    value_id part[PARTS];
    struct type image; /* of the result */
    value_id at[2];    /* where a pixel comes from: column, row */
};

static bool one_number(struct mb *b, value_id v, struct loc loc)
{
    if (v && mb_axes(graph_type(b->g, v)))
        diag(b->ds, E0301, loc, "expected one number, found %s",
             mb_shape_text(b, graph_type(b->g, v)));
    return v && !mb_axes(graph_type(b->g, v));
}

/* From the middle of the image, before the shift, along an axis (the last: columns). */
static sx_id from_middle(struct sxb *s, const struct type *t, unsigned back, unsigned shift)
{
    const unsigned axis = t->rank - 1U - back;
    const sx_id middle = sx_const(s, (t->dim[axis].c - 1) / 2.0);
    const sx_id at = sx_make(s, SX_I2F, sx_axis(s, axis), 0, 0);
    return sx_make(s, SX_SUB, sx_make(s, SX_SUB, at, middle, 0), sx_arg(s, shift, SX_FLOAT),
                   0);
}

/* A turn to the left by `angle` (rows go down), undone. */
static void sources(struct mb *b, struct turn *r)
{
    struct sxb *s = &b->g->sx;
    const struct type *t = &r->image;
    const sx_id x = from_middle(s, t, 0, DX), y = from_middle(s, t, 1, DY);
    const sx_id angle = sx_arg(s, ANGLE, SX_FLOAT);
    const sx_id c = sx_make(s, SX_FN_cos, angle, 0, 0);
    const sx_id n = sx_make(s, SX_FN_sin, angle, 0, 0);
    const sx_id mx = sx_const(s, (t->dim[t->rank - 1].c - 1) / 2.0);
    const sx_id my = sx_const(s, (t->dim[t->rank - 2].c - 1) / 2.0);
    const sx_id column =
        sx_make(s, SX_SUB, sx_make(s, SX_MUL, x, c, 0), sx_make(s, SX_MUL, y, n, 0), 0);
    const sx_id row =
        sx_make(s, SX_ADD, sx_make(s, SX_MUL, x, n, 0), sx_make(s, SX_MUL, y, c, 0), 0);
    r->at[0] = graph_map(b->g, sx_make(s, SX_ADD, column, mx, 0), r->part, PARTS, t);
    r->at[1] = graph_map(b->g, sx_make(s, SX_ADD, row, my, 0), r->part, PARTS, t);
}

/* The neighbour before (0) or behind (1) along a direction, as a float. */
static sx_id neighbour(struct sxb *s, unsigned direction, unsigned behind)
{
    const sx_id at = sx_arg(s, direction, SX_FLOAT);
    const sx_id low = sx_make(s, SX_FLOOR, at, 0, 0);
    return behind ? sx_make(s, SX_ADD, low, sx_const(s, 1), 0) : low;
}

static double last_of(const struct type *t, unsigned direction)
{
    return t->dim[t->rank - 1U - direction].c - 1;
}

/* Number of a neighbour within its sample, drawn into the image. */
static value_id number(struct mb *b, const struct turn *r, const unsigned behind[2])
{
    struct sxb *s = &b->g->sx;
    struct type t = r->image;
    sx_id at = sx_int(s, 0);
    t.dtype = DT_I32;
    for (unsigned i = mb_first(&t); i < t.rank; i++) {
        const unsigned d = t.rank - 1U - i;
        sx_id here = sx_axis(s, i);
        if (d < 2) {
            const sx_id top = sx_const(s, last_of(&t, d)), zero = sx_const(s, 0);
            const sx_id x = sx_make(s, SX_MIN, neighbour(s, d, behind[d]), top, 0);
            here = sx_make(s, SX_F2I, sx_make(s, SX_MAX, x, zero, 0), 0, 0);
        }
        at = sx_make(s, SX_IMUL, at, sx_int(s, t.dim[i].c), 0);
        at = sx_make(s, SX_IADD, at, here, 0);
    }
    return graph_map(b->g, at, r->at, 2, &t);
}

/* How near it is, along both directions; 0 outside. */
static value_id weight(struct mb *b, const struct turn *r, const unsigned behind[2])
{
    struct sxb *s = &b->g->sx;
    const sx_id zero = sx_const(s, 0), one = sx_const(s, 1);
    sx_id w = one;
    for (unsigned d = 0; d < 2; d++) {
        const sx_id at = sx_arg(s, d, SX_FLOAT), x = neighbour(s, d, behind[d]);
        const sx_id away =
            behind[d] ? sx_make(s, SX_SUB, x, at, 0) : sx_make(s, SX_SUB, at, x, 0);
        const sx_id low = sx_make(s, SX_LE, zero, x, 0);
        const sx_id high = sx_make(s, SX_LE, x, sx_const(s, last_of(&r->image, d)), 0);
        const sx_id near = sx_make(s, SX_SUB, one, away, 0);
        w = sx_make(s, SX_MUL, w,
                    sx_make(s, SX_SEL, sx_make(s, SX_AND, low, high, 0), near, zero), 0);
    }
    return graph_map(b->g, w, r->at, 2, &r->image);
}

/* The result's type: that of the image, of samples where a part differs among them. */
static struct type image_type(struct mb *b, value_id v, const value_id part[PARTS])
{
    struct type t = *graph_type(b->g, v);
    for (unsigned i = 0; i < PARTS && !t.sample; i++) {
        const struct type *p = graph_type(b->g, part[i]);
        if (!p->sample)
            continue;
        memmove(t.dim + 1, t.dim, t.rank * sizeof *t.dim);
        t.dim[0] = p->dim[0];
        t.sample = true;
        t.rank++;
    }
    return t;
}

struct val *mb_resample(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct turn r;
    value_id sum = 0;
    const value_id v = mb_f32(b, a->val[0], a->at[0]);
    (void)x;
    for (unsigned i = 0; i < PARTS; i++) {
        r.part[i] = mb_f32(b, a->val[1 + i], a->at[1 + i]);
        if (!one_number(b, r.part[i], a->at[1 + i]))
            return mb_poison(b);
    }
    if (!v || !mb_is_image(b, v, a->at[0]))
        return mb_poison(b);
    r.image = image_type(b, v, r.part);
    sources(b, &r);
    for (unsigned i = 0; i < 4; i++) {
        const unsigned behind[2] = {i & 1, i >> 1};
        const value_id pixel = mb_take_at(b, v, number(b, &r, behind), a->loc);
        if (!pixel)
            return mb_poison(b);
        const value_id part = graph_op2(b->g, SX_MUL, weight(b, &r, behind), pixel);
        sum = sum ? graph_op2(b->g, SX_ADD, sum, part) : part;
    }
    struct val *out = mb_tensor(b, sum);
    out->lost = p->name;
    return out;
}
