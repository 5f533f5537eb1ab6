/*
 * The store of scalar expressions: interning, leaves, operand conversion.
 *
 * Every node carries a structural hash from its birth.  It finds the node again
 * (hash-consing), orders commutative operands, and is equal in every store, so nothing
 * depends on ids.
 */
#include <math.h>
#include <string.h>

#include "ops/sx_make.h"
#include "ops/sx_priv.h"
#include "runtime/base/arena.h"

static const struct sx_info info_table[] = {
#define TYPE_F SX_FLOAT
#define TYPE_I SX_I32
#define TYPE_U SX_U32
#define TYPE_B SX_BOOL
#define TYPE_X SX_ANY_TYPE
#define TYPE_N SX_ANY_INT
#define TYPE__ 0
#define HAS_F  1
#define HAS_I  1
#define HAS_U  1
#define HAS_B  1
#define HAS_X  1
#define HAS_N  1
#define HAS__  0
#define SX_PRIM(NAME, name, R, A, B, C, commutes, adj, doc)                                \
    {#name,    HAS_##A + HAS_##B + HAS_##C,                                                \
     TYPE_##R, {TYPE_##A, TYPE_##B, TYPE_##C},                                             \
     commutes, false,                                                                      \
     0,        0,                                                                          \
     doc},
#include "ops/sx_prim.def"
#undef SX_PRIM
#define OP_EW(name, A, B, C, lo, hi, f64, value, adj, doc)                                 \
    {#name,    HAS_##A + HAS_##B + HAS_##C,                                                \
     SX_FLOAT, {TYPE_##A, TYPE_##B, TYPE_##C},                                             \
     false,    true,                                                                       \
     lo,       hi,                                                                         \
     doc},
#include "ops/elementwise.def"
#undef OP_EW
};

const struct sx_info *sx_op_info(enum sx_op op)
{
    return op > SX_RNG && op < SX_OP_COUNT ? &info_table[op - SX_RNG - 1] : NULL;
}

bool sx_op_find(const char *name, enum sx_op *out)
{
    for (unsigned op = SX_RNG + 1; op < SX_OP_COUNT; op++) {
        if (!strcmp(name, info_table[op - SX_RNG - 1].name)) {
            *out = (enum sx_op)op;
            return true;
        }
    }
    return false;
}

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9e3779b97f4a7c15U;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9U;
    return h ^ (h >> 32);
}

unsigned sx_operands(const struct sx_node *n, sx_id in[3])
{
    const struct sx_info *info = sx_op_info((enum sx_op)n->op);

    if (n->op == SX_RNG) {
        in[0] = n->b;
        return 1;
    }
    in[0] = n->a;
    in[1] = n->b;
    in[2] = n->c;
    return info ? info->arity : 0;
}

static struct sx_hash node_hash(const struct sxb *b, const struct sx_node *n)
{
    struct sx_hash h = {mix(n->op + 0x100U, n->type), mix(n->type + 0x777U, n->op)};
    sx_id in[3] = {0};
    const unsigned arity = sx_operands(n, in);

    if (n->op <= SX_RNG) {
        h.lo = mix(h.lo, n->a);
        h.hi = mix(h.hi, n->a ^ 0x5555555555U);
    }
    if (n->op == SX_K) {
        h.lo = mix(h.lo, n->b);
        h.hi = mix(h.hi, n->b ^ 0x3333333333U);
    }
    for (unsigned i = 0; i < arity; i++) {
        h.lo = mix(h.lo, b->hash[in[i]].lo);
        h.hi = mix(h.hi, b->hash[in[i]].hi);
    }
    return h;
}

void sx_init(struct sxb *b, struct arena *a)
{
    *b = (struct sxb){.arena = a, .n = 1, .nbucket = 64};
    b->node = arena_grow(a, NULL, &b->cap, 16, sizeof *b->node);
    b->hash = arena_grow(a, NULL, &b->hcap, 16, sizeof *b->hash);
    b->bucket = arena_array(a, b->nbucket, sizeof *b->bucket);
}

struct sxb sx_copy(const struct sxb *b, struct arena *a)
{
    struct sxb to = *b;
    to.arena = a;
    to.node = arena_copy(a, b->node, b->n * sizeof *b->node);
    to.hash = arena_copy(a, b->hash, b->n * sizeof *b->hash);
    to.bucket = arena_copy(a, b->bucket, b->nbucket * sizeof *b->bucket);
    to.cap = to.hcap = b->n;
    return to;
}

static void rehash(struct sxb *b)
{
    b->nbucket *= 2;
    b->bucket = arena_array(b->arena, b->nbucket, sizeof *b->bucket);
    for (sx_id id = 1; id < b->n; id++) {
        uint32_t k = (uint32_t)b->hash[id].lo & (b->nbucket - 1);
        while (b->bucket[k])
            k = (k + 1) & (b->nbucket - 1);
        b->bucket[k] = id;
    }
}

sx_id sx_intern(struct sxb *b, enum sx_op op, unsigned type, uint32_t x, uint32_t y,
                uint32_t z)
{
    const struct sx_node n = {(uint8_t)op, (uint8_t)type, x, y, z};
    const struct sx_hash h = node_hash(b, &n);
    uint32_t k = (uint32_t)h.lo & (b->nbucket - 1);

    for (; b->bucket[k]; k = (k + 1) & (b->nbucket - 1)) {
        const struct sx_node *m = &b->node[b->bucket[k]];
        if (m->op == op && m->type == type && m->a == x && m->b == y && m->c == z)
            return b->bucket[k];
    }
    b->node = arena_grow(b->arena, b->node, &b->cap, b->n + 1, sizeof *b->node);
    b->hash = arena_grow(b->arena, b->hash, &b->hcap, b->n + 1, sizeof *b->hash);
    b->node[b->n] = n;
    b->hash[b->n] = h;
    b->bucket[k] = b->n++;
    if (b->n * 2 > b->nbucket)
        rehash(b);
    return b->n - 1;
}

sx_id sx_arg(struct sxb *b, uint32_t i, enum sx_type type)
{
    return sx_intern(b, SX_ARG, type, i, 0, 0);
}

sx_id sx_const(struct sxb *b, double x)
{
    uint64_t w;

    if (isnan(x))
        x = (double)NAN; /* one NaN: sign and payload carry no meaning */
    memcpy(&w, &x, sizeof w);
    return sx_intern(b, SX_K, SX_FLOAT, (uint32_t)w, (uint32_t)(w >> 32), 0);
}

sx_id sx_int(struct sxb *b, int32_t x)
{
    return sx_intern(b, SX_K, SX_I32, (uint32_t)x, 0, 0);
}

sx_id sx_u32(struct sxb *b, uint32_t x)
{
    return sx_intern(b, SX_K, SX_U32, x, 0, 0);
}

sx_id sx_bool(struct sxb *b, bool x)
{
    return sx_intern(b, SX_K, SX_BOOL, x, 0, 0);
}

sx_id sx_scalar(struct sxb *b, uint32_t j, enum sx_type type)
{
    return sx_intern(b, SX_SCALAR, type, j, 0, 0);
}

sx_id sx_axis(struct sxb *b, uint32_t axis)
{
    return sx_intern(b, SX_AXIS, SX_I32, axis, 0, 0);
}

double sx_k_double(const struct sx_node *n)
{
    const uint64_t w = n->a | (uint64_t)n->b << 32;
    double x;

    if (n->type == SX_I32)
        return (int32_t)n->a;
    if (n->type != SX_FLOAT)
        return n->a;
    memcpy(&x, &w, sizeof x);
    return x;
}

bool sx_is_float(const struct sxb *b, sx_id id, double x)
{
    const struct sx_node *n = &b->node[id];
    double v;

    if (n->op != SX_K || n->type != SX_FLOAT)
        return false;
    v = sx_k_double(n);
    return v == x && signbit(v) == signbit(x);
}

/* ---- operand conversion ---- */

/* `x` as a value of `type`, or 0. */
static sx_id convert(struct sxb *b, sx_id x, unsigned type)
{
    const unsigned from = b->node[x].type;

    if (!x || from == type)
        return x;
    if (type == SX_FLOAT) {
        if (from == SX_BOOL)
            return SEL(x, K(1), K(0));
        return from == SX_I32 ? I2F(x) : U2F(x);
    }
    if (from == SX_FLOAT || type == SX_BOOL)
        return 0;
    if (from == SX_BOOL)
        return type == SX_I32 ? SEL(x, I(1), I(0)) : SEL(x, U(1), U(0));
    return type == SX_I32 ? U2I(x) : I2U(x);
}

/* The type that operands of "any, all the same" agree on. */
static unsigned common_type(const struct sxb *b, const struct sx_info *info,
                            const sx_id in[3], unsigned arity)
{
    bool seen[4] = {false};
    bool ints = false;

    for (unsigned i = 0; i < arity; i++) {
        if (info->in[i] == SX_ANY_INT)
            ints = true;
        if (info->in[i] >= SX_ANY_TYPE)
            seen[b->node[in[i]].type] = true;
    }
    if (seen[SX_FLOAT])
        return SX_FLOAT;
    if (seen[SX_BOOL] && !seen[SX_I32] && !seen[SX_U32] && !ints)
        return SX_BOOL;
    return seen[SX_I32] || !seen[SX_U32] ? SX_I32 : SX_U32;
}

/* Constants last, then by structure. */
static bool out_of_order(const struct sxb *b, sx_id x, sx_id y)
{
    const bool kx = b->node[x].op == SX_K, ky = b->node[y].op == SX_K;
    const struct sx_hash hx = b->hash[x], hy = b->hash[y];

    if (kx != ky)
        return kx;
    return hx.lo != hy.lo ? hx.lo > hy.lo : hx.hi > hy.hi;
}

sx_id sx_make(struct sxb *b, enum sx_op op, sx_id x, sx_id y, sx_id z)
{
    const struct sx_info *info = sx_op_info(op);
    sx_id in[3] = {x, y, z}, folded;
    unsigned arity, common, type;

    if (!info)
        return 0;
    arity = info->arity < 3 ? info->arity : 3;
    for (unsigned i = 0; i < arity; i++) {
        if (!in[i])
            return 0;
    }
    common = common_type(b, info, in, arity);
    for (unsigned i = 0; i < arity; i++) {
        const unsigned want = info->in[i] >= SX_ANY_TYPE ? common : info->in[i];
        if (info->in[i] == SX_ANY_INT && common == SX_FLOAT)
            return 0;
        in[i] = convert(b, in[i], want);
        if (!in[i])
            return 0;
    }
    type = info->type >= SX_ANY_TYPE ? common : info->type;
    if (info->commutative && out_of_order(b, in[0], in[1])) {
        const sx_id swap = in[0];
        in[0] = in[1];
        in[1] = swap;
    }
    for (unsigned i = arity; i < 3; i++)
        in[i] = 0;
    folded = sx_fold(b, op, type, in);
    return folded ? folded : sx_intern(b, op, type, in[0], in[1], in[2]);
}

sx_id sx_rng(struct sxb *b, uint32_t site, sx_id element)
{
    element = convert(b, element, SX_I32);
    return element ? sx_intern(b, SX_RNG, SX_U32, site, element, 0) : 0;
}

sx_id sx_powi(struct sxb *b, sx_id x, int32_t n)
{
    uint32_t k = n < 0 ? 0U - (uint32_t)n : (uint32_t)n;
    sx_id power = x, y = 0;

    for (; k; k >>= 1) {
        if (k & 1)
            y = y ? MUL(y, power) : power;
        if (k > 1)
            power = MUL(power, power);
    }
    if (!y)
        return K(1);
    return n < 0 ? DIV(K(1), y) : y;
}

/* ---- draws ---- */

sx_id sx_uniform(struct sxb *b, uint32_t site, sx_id e)
{
    return FN(uniform01, sx_rng(b, site, e), 0);
}

sx_id sx_normal(struct sxb *b, uint32_t site, sx_id e)
{
    const sx_id even = IAND(e, I(-2)), odd = IOR(e, I(1));
    return sx_make(b, SX_FN_normal, sx_rng(b, site, even), sx_rng(b, site, odd), e);
}

sx_id sx_exponential(struct sxb *b, uint32_t site, sx_id e)
{
    return FN(exponential, sx_rng(b, site, e), 0);
}

sx_id sx_laplace(struct sxb *b, uint32_t site, sx_id e)
{
    return FN(laplace, sx_rng(b, site, e), 0);
}

sx_id sx_gumbel(struct sxb *b, uint32_t site, sx_id e)
{
    return FN(gumbel, sx_rng(b, site, e), 0);
}

sx_id sx_bernoulli(struct sxb *b, uint32_t site, sx_id e, sx_id p)
{
    return LT(sx_uniform(b, site, e), p);
}

sx_id sx_uniform_int(struct sxb *b, uint32_t site, sx_id e, sx_id low, sx_id high)
{
    const sx_id count = I2U(IADD(ISUB(high, low), I(1)));
    return IADD(low, U2I(MULHI(sx_rng(b, site, e), count)));
}
