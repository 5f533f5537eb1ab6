/*
 * Scalar expressions: what one element of a map computes.
 *
 * A hash-consed DAG.  Leaves: the map's operands, constants, run-time scalars, axis indices and
 * random words.  Inner nodes: the primitives of sx_prim.def and the functions of
 * elementwise.def, which stay calls until sx_expand.  One meaning, printed by every backend.
 *
 * Floats: constants are kept as doubles.  The float interpreter and all generated code round
 * them to f32 and compute in IEEE f32; the double interpreter computes in f64 and takes the
 * named functions from libm.
 */
#ifndef HYP_OPS_SX_H
#define HYP_OPS_SX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

typedef uint32_t sx_id; /* 0 is "none" */

enum sx_type { SX_FLOAT, SX_I32, SX_U32, SX_BOOL };

/*
 * Leaf ops come first: SX_ARG(a = operand number), SX_K (a, b = low and high word of the double,
 * or a = the i32, u32 or bool), SX_SCALAR(a = index into the parameter block), SX_AXIS(a = axis
 * number, an i32), SX_RNG(a = site_id, b = sx of the i32 element; a u32 word).  Then SX_PRIM rows,
 * then SX_FN rows.
 */
enum sx_op {
    SX_NONE,
    SX_ARG,
    SX_K,
    SX_SCALAR,
    SX_AXIS,
    SX_RNG,
#define SX_PRIM(name, ...) SX_##name,
#include "ops/sx_prim.def" /* SX_PRIM(ADD, arity, result type, ...): ADD SUB MUL DIV NEG FMA ... */
#undef SX_PRIM
#define OP_EW(name, ...) SX_FN_##name,
#include "ops/elementwise.def" /* OP_EW(exp, arity, ...) */
#undef OP_EW
    SX_OP_COUNT
};

struct sx_node {
    uint8_t op, type;
    uint32_t a, b, c;
};

/* Builder and store.  Ids are dense; operands have smaller ids than their users. */
struct sxb {
    struct arena *arena;
    struct sx_node *node;
    uint32_t n, cap;
    uint32_t *bucket, nbucket; /* hash-consing */
};

void sx_init(struct sxb *b, struct arena *a);

sx_id sx_arg(struct sxb *b, uint32_t i, enum sx_type type);
sx_id sx_const(struct sxb *b, double x);
sx_id sx_int(struct sxb *b, int32_t x);
sx_id sx_u32(struct sxb *b, uint32_t x);
sx_id sx_bool(struct sxb *b, bool x);
sx_id sx_scalar(struct sxb *b, uint32_t j, enum sx_type type);
sx_id sx_axis(struct sxb *b, uint32_t axis);
sx_id sx_rng(struct sxb *b, uint32_t site, sx_id element);

/*
 * Any primitive or function; unused operands are 0.  Folds constants (in double, for floats: only
 * where exact in both widths is not needed, i.e. both operands are model constants) and the
 * identities that hold for every IEEE value (x*1, x+(-0), sel(true, a, b), ...); i32 and bool
 * operands of float ops are converted.
 */
sx_id sx_make(struct sxb *b, enum sx_op op, sx_id x, sx_id y, sx_id z);

/* Rebuild `root` with operand i replaced by arg[i] (0 keeps it).  Axis a becomes axis[a] if given. */
sx_id sx_substitute(struct sxb *b, sx_id root, const sx_id *arg, uint32_t narg);
/* Copy between stores. `arg` as above, ids of `to`; rng sites and scalars are kept. */
sx_id sx_import(struct sxb *to, const struct sxb *from, sx_id root, const sx_id *arg,
                uint32_t narg);
/* General rewrite: fn(leaf) returns the replacement in `to`, or 0 for a plain copy. */
typedef sx_id sx_leaf_fn(void *cx, struct sxb *to, const struct sx_node *leaf, sx_id element);
sx_id sx_rewrite(struct sxb *to, const struct sxb *from, sx_id root, sx_leaf_fn *fn, void *cx);

sx_id sx_expand(struct sxb *b, sx_id root);   /* functions into primitives, to the bottom */
sx_id sx_contract(struct sxb *b, sx_id root); /* a*b+c, a*b-c, c-a*b into fma, once */

/*
 * Reverse sweep: d[i] += adjoint of operand i, for cotangent `g` (an sx, usually one more arg).
 * `y` may name an operand that holds the value of root itself (0: none); rows that know their
 * derivative from the result use it.  d has narg entries; 0 stays 0 where nothing flows.
 */
void sx_vjp(struct sxb *b, sx_id root, sx_id g, sx_id y, sx_id *d, uint32_t narg);

uint32_t sx_args(const struct sxb *b, sx_id root);       /* 1 + largest operand number, or 0 */
bool sx_uses_arg(const struct sxb *b, sx_id root, uint32_t i);
bool sx_uses_rng(const struct sxb *b, sx_id root);
uint32_t sx_cost(const struct sxb *b, sx_id root);       /* primitives after expansion */
uint32_t sx_size(const struct sxb *b, sx_id root);       /* nodes reachable */
/* Nodes reachable from the roots, operands first: a deterministic post-order from the roots. */
uint32_t sx_postorder(const struct sxb *b, const sx_id *root, uint32_t nroot, struct arena *a,
                      sx_id **out);

/* Structural hash: equal for equal expressions in different stores. */
struct sx_hash { uint64_t lo, hi; };
struct sx_hash sx_hash(const struct sxb *b, sx_id root);

/* What leaves mean during evaluation. */
struct sx_env {
    const double *arg;      /* operands; floats as exact f32 values in the float mode */
    const double *scalar;   /* parameter block */
    const int64_t *axis;
    uint32_t (*rng)(void *cx, uint32_t site, int32_t element);
    void *cx;
};
/* One element.  Integers and bools come back as exact doubles.  `root` may hold calls. */
double sx_eval_f64(const struct sxb *b, sx_id root, const struct sx_env *env); /* libm functions */
double sx_eval_f32(const struct sxb *b, sx_id root, const struct sx_env *env); /* own, rounds as the kernels do */

/*
 * Compiled for the interpreter: serial postfix program with several roots over shared values.
 * run() evaluates one element; `reg` has prog->nreg doubles of scratch.
 */
struct sx_prog;
struct sx_prog *sx_compile(struct arena *a, const struct sxb *b, const sx_id *root,
                           uint32_t nroot, bool f64);
uint32_t sx_prog_regs(const struct sx_prog *p);
void sx_prog_run(const struct sx_prog *p, const struct sx_env *env, double *reg, double *out);

/* Text, parses back: fma(%0, 0.5, sel(lt(%1, 0), ...)); named operands through `name` if given. */
char *sx_print(const struct sxb *b, sx_id root, struct arena *a,
               const char *(*name)(void *cx, const struct sx_node *leaf), void *cx);
/* 0 on a mistake; *end is where reading stopped. */
sx_id sx_parse(struct sxb *b, const char *text, const char **end);

struct sx_info {
    const char *name; /* "add", "exp" */
    uint8_t arity, type; /* result type; operand types follow the row */
    bool commutative, is_function;
    double test_lo, test_hi; /* functions: domain of the derivative test */
    const char *doc;
};
const struct sx_info *sx_op_info(enum sx_op op); /* NULL for leaves */
bool sx_op_find(const char *name, enum sx_op *out);

#endif
