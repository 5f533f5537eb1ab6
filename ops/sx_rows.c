/*
 * The expander of sx_prim.def and elementwise.def, and the three things done with rows:
 * expansion into primitives, contraction into fma, and the reverse sweep.  No op is named
 * here except the three that contraction is about.
 */
#include <string.h>

#include "ops/sx_make.h"
#include "ops/sx_priv.h"
#include "runtime/base/arena.h"

typedef sx_id value_fn(struct sxb *b, const struct sx_row_in *in);
typedef void adjoint_fn(struct sxb *b, const struct sx_row_in *in, sx_id dx[3]);

/* relu-like rows read the sign of the result, if the slope is known not to change it. */
static sx_id sign_source(const struct sxb *b, sx_id x, sx_id slope, sx_id y)
{
    const struct sx_node *n = &b->node[slope];
    return n->op == SX_K && sx_k_double(n) > 0 ? y : x;
}

#define X0          (in->x[0])
#define X1          (in->x[1])
#define X2          (in->x[2])
#define G           (in->g)
#define Y           (in->y)
#define SPREAD(...) __VA_ARGS__

#define ADJOINT(fn, adj)                                                                   \
    static void fn(struct sxb *b, const struct sx_row_in *in, sx_id dx[3])                 \
    {                                                                                      \
        const sx_id d[3] = {SPREAD adj};                                                   \
        (void)b; /* a row such as add needs no new node */                                 \
        (void)in;                                                                          \
        memcpy(dx, d, sizeof d);                                                           \
    }

#define SX_PRIM(NAME, name, R, A, B, C, commutes, adj, doc)                                \
    ADJOINT(name##_prim_adjoint, adj)
#include "ops/sx_prim.def"
#undef SX_PRIM
#define OP_EW(name, A, B, C, lo, hi, f64, val, adj, doc)                                   \
    static sx_id name##_value(struct sxb *b, const struct sx_row_in *in)                   \
    {                                                                                      \
        (void)b;                                                                           \
        return val;                                                                        \
    }                                                                                      \
    ADJOINT(name##_adjoint, adj)
#include "ops/elementwise.def"
#undef OP_EW

static adjoint_fn *const adjoint_of[] = {
#define SX_PRIM(NAME, name, R, A, B, C, commutes, adj, doc) name##_prim_adjoint,
#include "ops/sx_prim.def"
#undef SX_PRIM
#define OP_EW(name, A, B, C, lo, hi, f64, val, adj, doc) name##_adjoint,
#include "ops/elementwise.def"
#undef OP_EW
};

static value_fn *const value_of[] = {
#define OP_EW(name, A, B, C, lo, hi, f64, val, adj, doc) name##_value,
#include "ops/elementwise.def"
#undef OP_EW
};

enum { FIRST_FN = SX_OP_COUNT - (int)(sizeof value_of / sizeof value_of[0]) };

sx_id sx_row_value(struct sxb *b, enum sx_op op, const struct sx_row_in *in)
{
    if (op < (enum sx_op)FIRST_FN)
        return sx_make(b, op, X0, X1, X2);
    return value_of[op - FIRST_FN](b, in);
}

void sx_row_adjoint(struct sxb *b, enum sx_op op, const struct sx_row_in *in, sx_id dx[3])
{
    adjoint_of[op - SX_RNG - 1](b, in, dx);
}

/* ---- node-by-node rebuilding: expand and contract ---- */

typedef sx_id rebuild_fn(struct sxb *b, enum sx_op op, const sx_id in[3]);

/* Operands first; each inner node is remade by fn from its remade operands. */
static sx_id rebuild(struct sxb *b, sx_id root, rebuild_fn *fn)
{
    struct arena *a = arena_new();
    struct sx_order o;
    sx_id *made, in[3], result;

    sx_order(&o, b, &root, 1, a);
    made = arena_array(a, o.n + 1, sizeof *made); /* by place in the order */
    for (uint32_t k = 0; k < o.n; k++) {
        const struct sx_node node = b->node[o.id[k]];
        sx_order_operands(&o, b, k, made, in);
        if (node.op == SX_RNG)
            made[k] = sx_rng(b, node.a, in[0]);
        else
            made[k] = node.op < SX_RNG ? o.id[k] : fn(b, (enum sx_op)node.op, in);
    }
    result = root ? made[o.n - 1] : 0;
    arena_free(a);
    return result;
}

static sx_id expand_node(struct sxb *b, enum sx_op op, const sx_id in[3])
{
    const struct sx_row_in row = {.x = {in[0], in[1], in[2]}};

    if (op < (enum sx_op)FIRST_FN)
        return sx_make(b, op, in[0], in[1], in[2]);
    return sx_expand(
        b, sx_row_value(b, op, &row)); /* rows may call rows: depth of the table */
}

sx_id sx_unfold(struct sxb *b, sx_id call)
{
    const struct sx_node n = b->node[call];
    const struct sx_row_in row = {.x = {n.a, n.b, n.c}};
    return sx_row_value(b, (enum sx_op)n.op, &row);
}

static bool has_call(const struct sxb *b, sx_id root)
{
    struct arena *a = arena_new();
    sx_id *order;
    const uint32_t n = sx_postorder(b, &root, 1, a, &order);
    bool found = false;

    for (uint32_t k = 0; k < n && !found; k++)
        found = b->node[order[k]].op >= FIRST_FN;
    arena_free(a);
    return found;
}

sx_id sx_expand(struct sxb *b, sx_id root)
{
    return has_call(b, root) ? rebuild(b, root, expand_node) : root;
}

static bool is_product(const struct sxb *b, sx_id x)
{
    return b->node[x].op == SX_MUL;
}

/* -x*y as (x, -y), the minus going into a constant where there is one (constants stand
 * last). */
static sx_id minus_product(struct sxb *b, sx_id product, sx_id c)
{
    const struct sx_node p = b->node[product];
    return FMA(p.a, NEG(p.b), c);
}

static sx_id contract_node(struct sxb *b, enum sx_op op, const sx_id in[3])
{
    const sx_id x = in[0], y = in[1];

    if (op == SX_ADD && is_product(b, x))
        return FMA(b->node[x].a, b->node[x].b, y);
    if (op == SX_ADD && is_product(b, y))
        return FMA(b->node[y].a, b->node[y].b, x);
    if (op == SX_SUB && is_product(b, x))
        return FMA(b->node[x].a, b->node[x].b, NEG(y));
    if (op == SX_SUB && is_product(b, y))
        return minus_product(b, y, x);
    return sx_make(b, op, x, y, in[2]);
}

sx_id sx_contract(struct sxb *b, sx_id root)
{
    return rebuild(b, root, contract_node);
}

/* ---- reverse sweep ---- */

static void accumulate(struct sxb *b, sx_id *sum, sx_id term)
{
    if (term)
        *sum = *sum ? ADD(*sum, term) : term;
}

/* The adjoint of one node, added to its float operands; `adj` by place in the order. */
static void sweep_node(struct sxb *b, const struct sx_order *o, sx_id id, sx_id g, sx_id y,
                       sx_id *adj)
{
    const struct sx_node n = b->node[id];
    struct sx_row_in row = {.x = {0}, .g = g, .y = y};
    const unsigned arity = sx_operands(&n, row.x);
    sx_id dx[3];

    sx_row_adjoint(b, (enum sx_op)n.op, &row, dx);
    for (unsigned i = 0; i < arity; i++) {
        const struct sx_node *x = &b->node[row.x[i]];
        if (x->type == SX_FLOAT && x->op != SX_K)
            accumulate(b, &adj[sx_order_at(o, row.x[i])], dx[i]);
    }
}

void sx_vjp(struct sxb *b, sx_id root, sx_id g, sx_id y, sx_id *d, uint32_t narg)
{
    struct arena *a = arena_new();
    struct sx_order o;
    sx_id *adj;

    sx_order(&o, b, &root, 1, a);
    adj = arena_array(a, o.n + 1, sizeof *adj);
    if (root && b->node[root].type == SX_FLOAT)
        adj[o.n - 1] = g;
    for (uint32_t k = o.n; k-- > 0;) {
        const sx_id id = o.id[k];
        const struct sx_node node = b->node[id];
        if (!adj[k])
            continue;
        if (node.op > SX_RNG)
            sweep_node(b, &o, id, adj[k], id == root && y ? y : id, adj);
        else if (node.op == SX_ARG && node.a < narg)
            accumulate(b, &d[node.a], adj[k]);
    }
    arena_free(a);
}
