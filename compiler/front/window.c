/*
 * Images: convolutions, pools, enlarging, tiles.  An image is [depth, row, column] of a
 * sample (or shared); pools and enlarging keep any axes in front of the last two.  All are
 * forms over windows, index = stride * place + dilation * offset - pad, and what lies
 * outside the image does not exist: 0 in sums, no candidate for the largest.
 */
#include <string.h>

#include "compiler/front/prim.h"
#include "compiler/ir/range.h"
#include "runtime/base/arena.h"

enum { ROW, COLUMN };

struct window {
    int32_t k[2], stride[2], pad[2], dilation[2];
};

/* One whole number for rows and columns, or [rows, columns]; none below `least`. */
static bool pair_of(struct mb *b, struct val *v, struct loc loc, int32_t least,
                    const char *what, int32_t out[2])
{
    const bool two = (v->kind == VAL_LIST || v->kind == VAL_TUPLE) && v->n == 2;
    for (unsigned i = 0; i < 2; i++) {
        int64_t n = 0;
        if (!mb_whole(b, two ? v->item[i] : v, loc, &n))
            return false;
        if (n < least || n > INT16_MAX) {
            diag(b->ds, E0313, loc, "%s of %lld", what, (long long)n);
            diag_hint(b->ds, "from %d to %d", least, INT16_MAX);
            return false;
        }
        out[i] = (int32_t)n;
    }
    return true;
}

/* ---- extents ---- */

static int32_t reach(const struct window *w, unsigned d)
{
    return w->dilation[d] * (w->k[d] - 1) + 1;
}

/* The places of the window along both axes of an image. */
static bool places(struct mb *b, const struct window *w, const int32_t image[2],
                   int32_t out[2], struct loc loc)
{
    for (unsigned d = 0; d < 2; d++) {
        const int64_t room = (int64_t)image[d] + 2 * (int64_t)w->pad[d] - reach(w, d);
        if (room < 0) {
            diag(b->ds, E0313, loc, "a window of %d %s over an image of %d and a pad of %d",
                 reach(w, d), d == ROW ? "rows" : "columns", image[d], w->pad[d]);
            diag_hint(b->ds, "a smaller kernel, or `pad=%d` and more",
                      (int)(w->pad[d] + (1 - room) / 2));
            return false;
        }
        out[d] = (int32_t)(room / w->stride[d] + 1);
    }
    return true;
}

/* The image from which the window makes `place` places. */
static bool spread(struct mb *b, const struct window *w, const int32_t place[2],
                   const int32_t more[2], int32_t out[2], struct loc loc)
{
    for (unsigned d = 0; d < 2; d++) {
        const int64_t n = (int64_t)(place[d] - 1) * w->stride[d] + reach(w, d) -
                          2 * (int64_t)w->pad[d] + more[d];
        if (n < 1 || n > INT32_MAX) {
            diag(b->ds, E0313, loc, "a pad of %d leaves %lld %s", w->pad[d], (long long)n,
                 d == ROW ? "rows" : "columns");
            return false;
        }
        out[d] = (int32_t)n;
    }
    return true;
}

/* ---- convolutions ---- */

struct conv {
    struct window w;
    int32_t groups;
    value_id x, weight;
    struct type image, kernel; /* of x without its batch; [to or from, per group, k, k] */
};

static bool is_number(const struct type *t, unsigned from)
{
    for (unsigned i = from; i < t->rank; i++)
        if (t->dim[i].b)
            return false;
    return true;
}

static bool conv_types(struct mb *b, struct args *a, struct conv *c)
{
    const struct type *tx = graph_type(b->g, c->x), *tw = graph_type(b->g, c->weight);
    const unsigned first = mb_first(tx);
    if (mb_axes(tx) != 3 || tw->sample || tw->rank != 4 || !is_number(tx, first) ||
        !is_number(tw, 0)) {
        diag(b->ds, E0301, a->loc,
             "shapes %s and %s do not fit: [depth, row, column] meets weights "
             "[depth, depth, row, column] that all samples share",
             mb_shape_text(b, tx), mb_shape_text(b, tw));
        diag_note(b->ds, a->at[0], "%s comes from here", mb_shape_text(b, tx));
        diag_note(b->ds, a->at[1], "%s comes from here", mb_shape_text(b, tw));
        return false;
    }
    c->image = *tx;
    memmove(c->image.dim, c->image.dim + first, 3 * sizeof *c->image.dim);
    c->kernel = *tw;
    for (unsigned d = 0; d < 2; d++)
        c->w.k[d] = tw->dim[2 + d].c;
    return true;
}

/* x, w, stride, pad, dilation, groups: the first six arguments of both. */
static bool conv_args(struct mb *b, struct args *a, struct conv *c)
{
    int32_t groups[2];
    c->x = mb_f32(b, a->val[0], a->at[0]);
    c->weight = mb_f32(b, a->val[1], a->at[1]);
    if (!c->x || !c->weight || !conv_types(b, a, c) ||
        !pair_of(b, a->val[2], a->at[2], 1, "a stride", c->w.stride) ||
        !pair_of(b, a->val[3], a->at[3], 0, "a pad", c->w.pad) ||
        !pair_of(b, a->val[4], a->at[4], 1, "a dilation", c->w.dilation) ||
        !pair_of(b, a->val[5], a->at[5], 1, "a number of groups", groups))
        return false;
    c->groups = groups[0];
    return true;
}

/* The depth axis in groups, where there are several. */
static value_id in_groups(struct mb *b, value_id v, int32_t groups)
{
    struct type t = *graph_type(b->g, v);
    const unsigned at = t.rank == 4 && !t.sample ? 0 : mb_first(&t);
    if (groups == 1)
        return v;
    memmove(t.dim + at + 1, t.dim + at, (t.rank - at) * sizeof *t.dim);
    t.rank++;
    t.dim[at] = ext_const(groups);
    t.dim[at + 1].c /= groups;
    return graph_reshape(b->g, v, &t);
}

static value_id out_of_groups(struct mb *b, value_id v, int32_t groups)
{
    struct type t = *graph_type(b->g, v);
    const unsigned at = mb_first(&t);
    if (groups == 1)
        return v;
    t.dim[at + 1].c *= groups;
    memmove(t.dim + at, t.dim + at + 1, (t.rank - at - 1U) * sizeof *t.dim);
    t.rank--;
    return graph_reshape(b->g, v, &t);
}

/* A shared image has no batch: the form's first axis goes. */
static void drop_batch(struct form *f)
{
    for (unsigned p = 0; p < f->nport; p++) {
        struct port *q = &f->port[p];
        if (p < 2) {
            memmove(q->dim, q->dim + 1, (q->rank - 1U) * sizeof *q->dim);
            memmove(q->shape, q->shape + 1, (q->rank - 1U) * sizeof *q->shape);
            q->rank--;
        }
        for (unsigned i = 0; i < q->rank; i++)
            for (unsigned k = 0; k < q->dim[i].n; k++)
                q->dim[i].axis[k]--;
    }
    memmove(f->axis, f->axis + 1, --f->naxis * sizeof *f->axis);
    f->axis[f->naxis] = (struct ext){0};
}

/* Read out at `port`: 0 makes `places` of an image, 1 an image of places. */
static struct val *convolved(struct mb *b, const struct conv *c, const int32_t image[3],
                             const int32_t place[3], uint8_t port)
{
    const bool sample = graph_type(b->g, c->x)->sample;
    const struct ext n = sample ? graph_type(b->g, c->x)->dim[0] : ext_const(1);
    struct form f =
        form_conv(n, image, place, c->w.k, c->w.stride, c->w.pad, c->w.dilation, c->groups);
    if (!sample)
        drop_batch(&f);
    const value_id in[2] = {in_groups(b, c->x, c->groups),
                            in_groups(b, c->weight, c->groups)};
    const value_id y = graph_form(b->g, &f, port, in, sample, DT_F32);
    struct val *out = mb_tensor(b, out_of_groups(b, y, c->groups));
    out->lost = "convolution";
    return out;
}

static struct val *wrong_depth(struct mb *b, struct args *a, const struct conv *c,
                               bool transposed)
{
    diag(b->ds, E0301, a->loc, "shapes %s and %s do not fit in %d group%s",
         mb_shape_text(b, graph_type(b->g, c->x)), mb_shape_text(b, &c->kernel), c->groups,
         c->groups == 1 ? "" : "s");
    diag_hint(b->ds, transposed
                         ? "weights are [depth of the image, depth of the result / groups, "
                           "row, column]; groups divide the image's depth"
                         : "weights are [depth of the result, depth of the image / groups, "
                           "row, column]; groups divide both depths");
    return mb_poison(b);
}

struct val *mb_convolve(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct conv c;
    (void)x;
    (void)p;
    if (!conv_args(b, a, &c))
        return mb_poison(b);
    const int32_t image[3] = {c.image.dim[0].c, c.image.dim[1].c, c.image.dim[2].c};
    int32_t place[3] = {c.kernel.dim[0].c};
    if (place[0] % c.groups || (int64_t)c.kernel.dim[1].c * c.groups != image[0])
        return wrong_depth(b, a, &c, false);
    if (!places(b, &c.w, image + 1, place + 1, a->loc))
        return mb_poison(b);
    return convolved(b, &c, image, place, 0);
}

struct val *mb_convolve_transpose(struct mb *b, struct ecx *x, const struct prim *p,
                                  struct args *a)
{
    struct conv c;
    int32_t more[2];
    (void)x;
    (void)p;
    if (!conv_args(b, a, &c) || !pair_of(b, a->val[6], a->at[6], 0, "an output pad", more))
        return mb_poison(b);
    const int32_t place[3] = {c.image.dim[0].c, c.image.dim[1].c, c.image.dim[2].c};
    const int64_t depth = (int64_t)c.kernel.dim[1].c * c.groups;
    int32_t image[3] = {(int32_t)depth};
    if (c.kernel.dim[0].c != place[0] || place[0] % c.groups || depth > INT32_MAX)
        return wrong_depth(b, a, &c, true);
    if (!spread(b, &c.w, place + 1, more, image + 1, a->loc))
        return mb_poison(b);
    return convolved(b, &c, image, place, 1);
}

/* ---- pools ---- */

bool mb_is_image(struct mb *b, value_id v, struct loc loc)
{
    const struct type *t = graph_type(b->g, v);
    if (mb_axes(t) >= 2 && is_number(t, t->rank - 2U) && t->rank + 2 <= HYP_AXES)
        return true;
    diag(b->ds, E0301, loc, "an image ends in [row, column], found %s",
         mb_shape_text(b, t));
    return false;
}

/* Port 0: the image; port 1: one element a place.  The offsets are the last two axes. */
static struct form window_form(const struct type *t, const struct window *w,
                               const int32_t place[2])
{
    struct form f = {.naxis = (uint8_t)(t->rank + 2), .nport = 2};
    const unsigned first = t->rank - 2U;
    f.port[0].rank = f.port[1].rank = t->rank;
    for (unsigned i = 0; i < t->rank; i++) {
        f.axis[i] = i < first ? t->dim[i] : ext_const(place[i - first]);
        f.port[0].shape[i] = t->dim[i];
        f.port[1].shape[i] = f.axis[i];
        f.port[0].dim[i] = f.port[1].dim[i] =
            (struct dimmap){.n = 1, .axis = {(int8_t)i}, .coef = {1}};
    }
    for (unsigned d = 0; d < 2; d++) {
        f.axis[t->rank + d] = ext_const(w->k[d]);
        f.port[0].dim[first + d] =
            (struct dimmap){.n = 2,
                            .axis = {(int8_t)(first + d), (int8_t)(t->rank + d)},
                            .coef = {w->stride[d], 1},
                            .off = ext_const(-w->pad[d])};
    }
    return f;
}

/* x, k, stride, pad: the image, and its windows as a form. */
static value_id pool_args(struct mb *b, struct args *a, struct window *w, struct form *f)
{
    int32_t place[2];
    const value_id v = mb_f32(b, a->val[0], a->at[0]);
    *w = (struct window){.dilation = {1, 1}};
    if (!v || !mb_is_image(b, v, a->at[0]) ||
        !pair_of(b, a->val[1], a->at[1], 1, "a window", w->k) ||
        !pair_of(b, a->val[2] ? a->val[2] : a->val[1], a->at[a->val[2] ? 2 : 1], 1,
                 "a stride", w->stride) ||
        !pair_of(b, a->val[3], a->at[3], 0, "a pad", w->pad))
        return 0;
    const struct type *t = graph_type(b->g, v);
    const int32_t image[2] = {t->dim[t->rank - 2].c, t->dim[t->rank - 1].c};
    for (unsigned d = 0; d < 2; d++)
        if (w->pad[d] >= w->k[d]) {
            diag(b->ds, E0313, a->at[3],
                 "a pad of %d: a window of %d lies outside of the image", w->pad[d],
                 w->k[d]);
            diag_hint(b->ds, "a pad below the window's size");
            return 0;
        }
    if (!places(b, w, image, place, a->loc))
        return 0;
    *f = window_form(t, w, place);
    return v;
}

/*
 * The number of the winner among the elements of its sample, from that in its window: the
 * axes in front, then stride * place - pad + offset.
 */
static value_id element_number(struct mb *b, value_id index, const struct type *image,
                               const struct window *w)
{
    struct sxb *s = &b->g->sx;
    const sx_id in = sx_arg(s, 0, SX_I32), width = sx_int(s, w->k[COLUMN]);
    const sx_id offset[2] = {sx_make(s, SX_IDIV, in, width, 0),
                             sx_make(s, SX_IREM, in, width, 0)};
    sx_id at = sx_int(s, 0);
    for (unsigned i = mb_first(image); i < image->rank; i++) {
        sx_id here = sx_axis(s, i);
        if (i + 2 >= image->rank) {
            const unsigned d = i + 2 - image->rank;
            here = sx_make(s, SX_IMUL, here, sx_int(s, w->stride[d]), 0);
            here = sx_make(s, SX_IADD, here, offset[d], 0);
            here = sx_make(s, SX_ISUB, here, sx_int(s, w->pad[d]), 0);
        }
        at = sx_make(s, SX_IMUL, at, sx_int(s, image->dim[i].c), 0);
        at = sx_make(s, SX_IADD, at, here, 0);
    }
    return graph_map(b->g, at, &index, 1, NULL);
}

struct val *mb_pool(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct window w;
    struct form f;
    value_id index, y;
    const value_id v = pool_args(b, a, &w, &f);
    (void)x;
    if (!v)
        return mb_poison(b);
    const struct type t = *graph_type(b->g, v);
    if (p->op == POOL_MEAN) {
        y = graph_form(b->g, &f, 1, &v, t.sample, DT_F32);
        y = graph_op2(b->g, SX_DIV, y, graph_const(b->g, (double)w.k[0] * w.k[1]));
    } else if (p->op == POOL_MAX) {
        y = graph_fold(b->g, &f, 1, COMB_MAX, v, t.sample, NULL);
    } else {
        for (unsigned i = mb_first(&t); i < t.rank; i++)
            if (t.dim[i].b) {
                diag(b->ds, E0001, a->at[0], "places in an image whose extent varies");
                return mb_poison(b);
            }
        graph_fold(b->g, &f, 1, COMB_ARGMAX, v, t.sample, &index);
        y = element_number(b, index, &t, &w);
    }
    struct val *out = mb_tensor(b, y);
    out->lost = p->name;
    return out;
}

/* ---- enlarging ---- */

struct val *mb_upsample(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct window w = {.dilation = {1, 1}};
    const value_id v = mb_value(b, a->val[0], a->at[0]);
    (void)x;
    (void)p;
    if (!v || !mb_is_image(b, v, a->at[0]) ||
        !pair_of(b, a->val[1], a->at[1], 1, "a factor", w.k))
        return mb_poison(b);
    const struct type t = *graph_type(b->g, v);
    struct type big = t;
    int32_t place[2];
    for (unsigned d = 0; d < 2; d++) {
        struct ext *e = &big.dim[t.rank - 2U + d];
        place[d] = e->c;
        w.stride[d] = w.k[d];
        if ((int64_t)e->c * w.k[d] > INT32_MAX) {
            diag(b->ds, E0902, a->loc, "limit exceeded: extents go to 2^31 - 1");
            return mb_poison(b);
        }
        e->c *= w.k[d];
    }
    const struct form f = window_form(&big, &w, place);
    return mb_tensor(b, graph_form(b->g, &f, 0, &v, t.sample, t.dtype));
}

/* ---- tiles ---- */

/* (row / t) * ceil(columns / t) + column / t, for t of 1 and more. */
static value_id tile_number(struct mb *b, value_id size, const struct type *image)
{
    struct sxb *s = &b->g->sx;
    const unsigned first = image->rank - 2U;
    const sx_id given = sx_arg(s, 0, SX_I32), one = sx_int(s, 1);
    const sx_id small = sx_make(s, SX_LT, given, one, 0);
    const sx_id t = sx_make(s, SX_SEL, small, one, given);
    const sx_id row = sx_make(s, SX_IDIV, sx_axis(s, first), t, 0);
    const sx_id column = sx_make(s, SX_IDIV, sx_axis(s, first + 1), t, 0);
    const sx_id up = sx_make(s, SX_ISUB, t, one, 0);
    const sx_id wide = sx_make(s, SX_IADD, sx_int(s, image->dim[first + 1].c), up, 0);
    const sx_id across = sx_make(s, SX_IDIV, wide, t, 0);
    const sx_id at = sx_make(s, SX_IADD, sx_make(s, SX_IMUL, row, across, 0), column, 0);
    return graph_map(b->g, at, &size, 1, image);
}

struct val *mb_tiles(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    const value_id v = mb_value(b, a->val[0], a->at[0]);
    const value_id size = mb_index(b, a->val[1], a->at[1]);
    (void)x;
    (void)p;
    if (!v || !size || !mb_is_image(b, v, a->at[0]))
        return mb_poison(b);
    struct type image = *graph_type(b->g, v);
    const struct type *ts = graph_type(b->g, size);
    const struct range r = program_range(b->p, size);
    if (mb_axes(&image) != 2 || mb_axes(ts)) {
        diag(b->ds, E0301, a->loc,
             "`tiles` takes [row, column] and one number, found %s "
             "and %s",
             mb_shape_text(b, &image), mb_shape_text(b, ts));
        return mb_poison(b);
    }
    if (r.known && r.hi < 1) {
        diag(b->ds, E0313, a->at[1], "a tile of %.0f pixels", r.hi);
        return mb_poison(b);
    }
    image.dtype = DT_I32;
    if (ts->sample && !image.sample) {
        image.dim[2] = image.dim[1];
        image.dim[1] = image.dim[0];
        image.dim[0] = ts->dim[0];
        image.rank = 3;
        image.sample = true;
    } else if (!ts->sample && image.sample) {
        image.dim[0] = image.dim[1];
        image.dim[1] = image.dim[2];
        image.rank = 2;
        image.sample = false;
    }
    const value_id y = mb_take_at(b, v, tile_number(b, size, &image), a->loc);
    return y ? mb_tensor(b, y) : mb_poison(b);
}
