/*
 * Products of tensors: forms of two.
 */
#include "compiler/front/prim.h"

static void no_product(struct mb *b, const struct type *x, const struct type *y,
                       const struct args *a)
{
    diag(b->ds, E0301, a->loc,
         "shapes %s and %s do not fit: the last axis of the first meets the first of the "
         "second",
         mb_shape_text(b, x), mb_shape_text(b, y));
    diag_note(b->ds, a->at[0], "%s comes from here", mb_shape_text(b, x));
    diag_note(b->ds, a->at[1], "%s comes from here", mb_shape_text(b, y));
}

struct val *mb_matmul(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    const value_id u = mb_f32(b, a->val[0], a->at[0]), v = mb_f32(b, a->val[1], a->at[1]);
    (void)x;
    (void)p;
    if (!u || !v)
        return mb_poison(b);
    const struct type tu = *graph_type(b->g, u), tv = *graph_type(b->g, v);
    if (!mb_axes(&tu) || !mb_axes(&tv) ||
        !ext_eq(tu.dim[tu.rank - 1], tv.dim[mb_first(&tv)])) {
        no_product(b, &tu, &tv, a);
        return mb_poison(b);
    }
    if (mb_axes(&tu) + mb_axes(&tv) + 1 > HYP_RANK) {
        diag(b->ds, E0902, a->loc, "limit exceeded: rank of a product");
        return mb_poison(b);
    }
    struct val *out = mb_tensor(b, graph_matmul(b->g, u, v));
    out->lost = "matmul";
    return out;
}

/* a with a 1 behind, times b. */
struct val *mb_outer(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    const value_id u = mb_f32(b, a->val[0], a->at[0]), v = mb_f32(b, a->val[1], a->at[1]);
    (void)x;
    (void)p;
    if (!u || !v)
        return mb_poison(b);
    struct type t = *graph_type(b->g, u);
    if (t.rank == HYP_RANK) {
        diag(b->ds, E0902, a->loc, "limit exceeded: rank of a product");
        return mb_poison(b);
    }
    t.dim[t.rank++] = ext_const(1);
    struct val *wide = mb_tensor(b, graph_reshape(b->g, u, &t));
    return mb_ew2(b, SX_MUL, wide, mb_tensor(b, v), a->loc);
}
