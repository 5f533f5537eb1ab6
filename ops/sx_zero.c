/*
 * What an expression is where some of its operands are 0: a convolution reads 0 outside of
 * its image, and a map that is computed there has to give that, to the bit.
 *
 * A node whose operands have one value each is evaluated by itself, as kernels evaluate it.
 * What a draw, a scalar or another operand has a part in has no one value, unless a choice
 * leaves it out.
 */
#include "ops/sx_priv.h"
#include "runtime/base/arena.h"

static sx_id constant(struct sxb *b, uint8_t type, double v)
{
    switch (type) {
    case SX_FLOAT:
        return sx_const(b, v);
    case SX_I32:
        return sx_int(b, (int32_t)v);
    case SX_U32:
        return sx_u32(b, (uint32_t)v);
    default:
        return sx_bool(b, v != 0);
    }
}

/* Of node n, whose operands are the constants `in`, 0 where they are none; 0: nor is it. */
static sx_id value_of(struct sxb *own, const struct sx_node *n, const sx_id in[3],
                      const bool *zero)
{
    const struct sx_env none = {0};
    if (n->op == SX_ARG)
        return zero[n->a] ? constant(own, n->type, 0) : 0;
    if (n->op == SX_K)
        return sx_intern(own, SX_K, n->type, n->a, n->b, n->c);
    if (n->op <= SX_RNG)
        return 0;
    if (n->op == SX_SEL) /* of one and the same there is nothing to choose */
        return in[0] ? in[own->node[in[0]].a ? 1 : 2] : in[1] == in[2] ? in[1] : 0;
    for (unsigned i = 0; i < sx_op_info((enum sx_op)n->op)->arity; i++)
        if (!in[i])
            return 0;
    const sx_id e = sx_intern(own, (enum sx_op)n->op, n->type, in[0], in[1], in[2]);
    const double v = sx_eval_f32(own, e, &none);
    return n->type == SX_FLOAT && v != sx_eval_f64(own, e, &none)
               ? 0 /* what underflows in float alone is none either */
               : constant(own, n->type, v);
}

bool sx_is_zero_where(const struct sxb *b, sx_id root, const bool *zero)
{
    struct arena *a = arena_new();
    struct sx_order o;
    struct sxb own;

    sx_init(&own, a);
    sx_order(&o, b, &root, 1, a);
    sx_id *made = arena_array(a, o.n + 1U, sizeof *made);
    for (uint32_t k = 0; k < o.n; k++) {
        sx_id in[3];
        sx_order_operands(&o, b, k, made, in);
        made[k] = value_of(&own, &b->node[o.id[k]], in, zero);
    }
    const struct sx_node r = own.node[o.n ? made[o.n - 1] : 0];
    const bool is = r.op == SX_K && !r.a && !r.b; /* -0 has a bit */
    arena_free(a);
    return is;
}
