/*
 * Constant folding and the identities that hold for every IEEE value, NaN and signed zeros
 * included.  Folding is done in double: a constant of the model is known better than f32.
 */
#include <math.h>
#include <string.h>

#include "ops/sx_lane.h"
#include "ops/sx_make.h"
#include "ops/sx_priv.h"

/* fma carries the rounding tricks of the polynomials, casts see f32 words, laws see words.
 */
static bool may_fold(enum sx_op op)
{
    return op != SX_FMA && op != SX_BITS && op != SX_FROM_BITS && op < SX_FN_uniform01;
}

static sx_id fold_constants(struct sxb *b, enum sx_op op, unsigned type, const sx_id in[3])
{
    const struct sx_info *info = sx_op_info(op);
    union {
        double f;
        int32_t i;
        uint32_t u;
    } v[4] = {{0}, {0}, {0}, {0}};
    uint8_t types[3] = {0};

    if (!may_fold(op))
        return 0;
    for (unsigned i = 0; i < info->arity; i++) {
        const struct sx_node *n = &b->node[in[i]];
        if (n->op != SX_K)
            return 0;
        types[i] = n->type;
        if (n->type == SX_FLOAT)
            v[i].f = sx_k_double(n);
        else
            v[i].u = n->a;
    }
    sx_code_find(op, type, types)->f64(&v[3], &v[0], &v[1], &v[2], 1);
    if (type == SX_FLOAT)
        return sx_const(b, v[3].f);
    return sx_intern(b, SX_K, type, v[3].u, 0, 0);
}

static bool is_op(const struct sxb *b, sx_id x, enum sx_op op)
{
    return b->node[x].op == op;
}

static bool is_word(const struct sxb *b, sx_id x, uint32_t w)
{
    const struct sx_node *n = &b->node[x];
    return n->op == SX_K && n->type != SX_FLOAT && n->a == w;
}

static sx_id fold_float(struct sxb *b, enum sx_op op, sx_id x, sx_id y)
{
    if (op == SX_ADD && sx_is_float(b, y, -0.0))
        return x;
    if (op == SX_ADD && is_op(b, y, SX_NEG))
        return SUB(x, b->node[y].a);
    if (op == SX_ADD && is_op(b, x, SX_NEG))
        return SUB(y, b->node[x].a);
    if (op == SX_SUB && sx_is_float(b, y, 0.0))
        return x;
    if (op == SX_SUB && is_op(b, y, SX_NEG))
        return ADD(x, b->node[y].a);
    if ((op == SX_MUL || op == SX_DIV) && sx_is_float(b, y, 1))
        return x;
    if ((op == SX_MUL || op == SX_DIV) && sx_is_float(b, y, -1))
        return NEG(x);
    if (op == SX_NEG && is_op(b, x, SX_NEG))
        return b->node[x].a;
    if (op == SX_ABS && is_op(b, x, SX_NEG))
        return ABS(b->node[x].a);
    if ((op == SX_ABS && is_op(b, x, SX_ABS)) ||
        (op == SX_FLOOR && is_op(b, x, SX_FLOOR)) ||
        (op == SX_FLOOR && is_op(b, x, SX_I2F)))
        return x;
    return 0;
}

static sx_id fold_logic(struct sxb *b, enum sx_op op, const sx_id in[3])
{
    const sx_id x = in[0], y = in[1], z = in[2];

    if (op == SX_SEL && is_op(b, x, SX_K))
        return b->node[x].a ? y : z;
    if (op == SX_SEL && y == z)
        return y;
    if (op == SX_SEL && is_op(b, x, SX_NOT))
        return SEL(b->node[x].a, z, y);
    if (op == SX_SEL && b->node[y].type == SX_BOOL && is_word(b, y, 1) && is_word(b, z, 0))
        return x;
    if (op == SX_AND && is_op(b, y, SX_K))
        return b->node[y].a ? x : y;
    if (op == SX_OR && is_op(b, y, SX_K))
        return b->node[y].a ? y : x;
    if ((op == SX_AND || op == SX_OR) && x == y)
        return x;
    if (op == SX_NOT && is_op(b, x, SX_NOT))
        return b->node[x].a;
    return 0;
}

static sx_id fold_int(struct sxb *b, enum sx_op op, sx_id x, sx_id y)
{
    const bool zero = is_word(b, y, 0), one = is_word(b, y, 1);

    if (zero && (op == SX_IADD || op == SX_ISUB || op == SX_SHL || op == SX_SHR ||
                 op == SX_IOR || op == SX_IXOR))
        return x;
    if (one && (op == SX_IMUL || op == SX_IDIV))
        return x;
    if (zero && (op == SX_IMUL || op == SX_IAND))
        return y;
    if (op == SX_I2U && is_op(b, x, SX_U2I))
        return b->node[x].a;
    if (op == SX_U2I && is_op(b, x, SX_I2U))
        return b->node[x].a;
    return 0;
}

sx_id sx_fold(struct sxb *b, enum sx_op op, unsigned type, const sx_id in[3])
{
    sx_id id = fold_constants(b, op, type, in);

    if (!id && op <= SX_FLOOR)
        id = fold_float(b, op, in[0], in[1]);
    if (!id && op >= SX_LT && op <= SX_SEL)
        id = fold_logic(b, op, in);
    if (!id && op >= SX_IADD && op <= SX_U2I)
        id = fold_int(b, op, in[0], in[1]);
    return id;
}
