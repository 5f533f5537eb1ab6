/* Internal to ops/sx*.c. */
#ifndef HYP_OPS_SX_PRIV_H
#define HYP_OPS_SX_PRIV_H

#include "ops/sx.h"

#define SELU_L 1.0507009873554805
#define SELU_A 1.6732632423543772

/* Intern a node as it stands: no folding, no conversion. */
sx_id sx_intern(struct sxb *b, enum sx_op op, unsigned type, uint32_t x, uint32_t y,
                uint32_t z);
/* The folded form of an op on converted operands, or 0 to build the node. */
sx_id sx_fold(struct sxb *b, enum sx_op op, unsigned type, const sx_id in[3]);

double sx_k_double(const struct sx_node *n); /* SX_K of any type, as a double */
bool sx_is_float(const struct sxb *b, sx_id id,
                 double x); /* this very constant, sign of zero too */

/*
 * The post-order of some roots, with the place of each node in it.  Costs what the
 * expression costs, however large the store.
 */
struct sx_slot;
struct sx_order {
    sx_id *id;
    uint32_t n;
    /* private: a table from ids to places, the stack of the walk */
    struct arena *arena;
    struct sx_slot *slot;
    sx_id *stack;
    uint32_t nslot, shift, nentered, top, cap_id, cap_stack;
};
void sx_order(struct sx_order *o, const struct sxb *b, const sx_id *root, uint32_t nroot,
              struct arena *a);
uint32_t sx_order_at(const struct sx_order *o, sx_id id); /* of a node in the order */
/* made[] of the operands of node k of the order; 0 beyond its arity. */
void sx_order_operands(const struct sx_order *o, const struct sxb *b, uint32_t k,
                       const sx_id *made, sx_id in[3]);

/* Value and adjoint of a primitive or function (sx_rows.c). */
struct sx_row_in {
    sx_id x[3], g, y;
};
sx_id sx_row_value(struct sxb *b, enum sx_op op, const struct sx_row_in *in);
void sx_row_adjoint(struct sxb *b, enum sx_op op, const struct sx_row_in *in, sx_id dx[3]);

/* Own functions as polynomials (sx_math.c). */
sx_id own_exp(struct sxb *b, sx_id x);
sx_id own_expm1(struct sxb *b, sx_id x);
sx_id own_log(struct sxb *b, sx_id x);
sx_id own_tanh(struct sxb *b, sx_id x);
sx_id own_sigmoid(struct sxb *b, sx_id x);
sx_id own_softplus(struct sxb *b, sx_id x);
sx_id own_sin(struct sxb *b, sx_id x);
sx_id own_cos(struct sxb *b, sx_id x);
sx_id own_erf(struct sxb *b, sx_id x);
sx_id own_acos(struct sxb *b, sx_id x);
sx_id own_round(struct sxb *b, sx_id x);
sx_id own_normal(struct sxb *b, sx_id w0, sx_id w1, sx_id e);
sx_id own_laplace(struct sxb *b, sx_id w);

#endif
