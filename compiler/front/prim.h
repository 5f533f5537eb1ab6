/* Handlers of the rows of primitive.def, by file. */
#ifndef HYP_COMPILER_FRONT_PRIM_H
#define HYP_COMPILER_FRONT_PRIM_H

#include "compiler/front/build.h"

enum reduction {
    RED_SUM,
    RED_MEAN,
    RED_VAR,
    RED_STD,
    RED_MAX,
    RED_MIN,
    RED_NORM,
    RED_ARGMAX,
    RED_LOGSUMEXP
};

enum pool { POOL_MAX, POOL_MEAN, POOL_ARGMAX };

/* prim.c */
prim_fn mb_where, mb_scalar, mb_floor, mb_identity, mb_refused;
/* reduce.c */
prim_fn mb_reduce, mb_dot, mb_correlation, mb_unit_norm;
/* contract.c */
prim_fn mb_matmul, mb_outer;
/* arrange.c */
prim_fn mb_reshape, mb_flatten, mb_transpose, mb_concat, mb_split, mb_roll, mb_expand,
    mb_along, mb_fill, mb_arange, mb_linspace, mb_eye, mb_onehot, mb_take, mb_put;
/* window.c, resample.c */
prim_fn mb_convolve, mb_convolve_transpose, mb_pool, mb_upsample, mb_tiles, mb_resample;
/* [.., row, column], both constant; E0301 */
bool mb_is_image(struct mb *b, value_id v, struct loc loc);
/* structure.c */
prim_fn mb_shape_of, mb_dim, mb_depth, mb_size, mb_as_axis, mb_as_samples, mb_map_over,
    mb_chain, mb_taps_of, mb_stop, mb_scale_grad, mb_grad;
/* draw.c, density.c */
prim_fn mb_distribution, mb_log_prob, mb_kl, mb_entropy, mb_moment;

/* Language axes: dims of a tensor without the batch. */
static inline unsigned mb_first(const struct type *t)
{
    return t->sample ? 1 : 0;
}
static inline unsigned mb_axes(const struct type *t)
{
    return t->rank - mb_first(t);
}
/* An axis number, negative from the end, as a dim; E0303. */
bool mb_axis(struct mb *b, struct val *v, const struct type *t, struct loc loc,
             unsigned *dim);
struct val *mb_flat(struct mb *b, struct val *x, struct loc loc);
/* Tensors side by side on axis 0. */
struct val *mb_concat_values(struct mb *b, struct val **x, uint32_t n, struct loc loc);

#endif
