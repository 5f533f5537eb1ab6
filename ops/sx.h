/*
 * Scalar expressions: what one element of a map computes.
 *
 * A hash-consed DAG.  Leaves: the map's operands, constants, run-time scalars, axis indices
 * and random words.  Inner nodes: the primitives of sx_prim.def and the functions of
 * elementwise.def, which stay calls until sx_expand.  One meaning, printed by every
 * backend.
 *
 * Floats: constants are kept as doubles.  The float interpreter and all generated code
 * round them to f32 and compute in IEEE f32; the double interpreter computes in f64 and
 * takes the named functions from libm.
 */
#ifndef HYP_OPS_SX_H
#define HYP_OPS_SX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

typedef uint32_t sx_id; /* 0 is "none" */

enum sx_type { SX_FLOAT, SX_I32, SX_U32, SX_BOOL };
enum { SX_ANY_TYPE = 8, SX_ANY_INT = 9 }; /* in struct sx_info only */

/*
 * Leaf ops come first: SX_ARG(a = operand number), SX_K (a, b = low and high word of the
 * double, or a = the i32, u32 or bool), SX_SCALAR(a = index into the parameter block),
 * SX_AXIS(a = axis number, an i32), SX_RNG(a = site_id, b = sx of the i32 element; a u32
 * word).  Then SX_PRIM rows, then SX_FN rows.
 */
enum sx_op {
    SX_NONE,
    SX_ARG,
    SX_K,
    SX_SCALAR,
    SX_AXIS,
    SX_RNG,
#define SX_PRIM(name, ...) SX_##name,
#include "ops/sx_prim.def" /* ADD SUB MUL DIV NEG FMA ... */
#undef SX_PRIM
#define OP_EW(name, ...) SX_FN_##name,
#include "ops/elementwise.def" /* exp log tanh ... normal ... */
#undef OP_EW
    SX_OP_COUNT
};

struct sx_node {
    uint8_t op, type;
    uint32_t a, b, c;
};

/* Structural hash: equal for equal expressions in different stores. */
struct sx_hash {
    uint64_t lo, hi;
};

/* Builder and store.  Ids are dense; operands have smaller ids than their users. */
struct sxb {
    struct arena *arena;
    struct sx_node *node; /* [0] is none */
    struct sx_hash *hash; /* of each node */
    uint32_t n, cap, hcap;
    uint32_t *bucket, nbucket; /* hash-consing */
};

void sx_init(struct sxb *b, struct arena *a);
/* The same expressions with the same numbers; what is added to one is not in the other. */
struct sxb sx_copy(const struct sxb *b, struct arena *a);

sx_id sx_arg(struct sxb *b, uint32_t i, enum sx_type type);
sx_id sx_const(struct sxb *b, double x);
sx_id sx_int(struct sxb *b, int32_t x);
sx_id sx_u32(struct sxb *b, uint32_t x);
sx_id sx_bool(struct sxb *b, bool x);
sx_id sx_scalar(struct sxb *b, uint32_t j, enum sx_type type);
sx_id sx_axis(struct sxb *b, uint32_t axis);
sx_id sx_rng(struct sxb *b, uint32_t site, sx_id element);

/*
 * Any primitive or function; unused operands are 0.  Returns 0 if an operand is missing or
 * does not fit.  Folds constants (floats in double; never fma, the bit casts and the laws,
 * which are left to run time), identities that hold for every IEEE value (x*1, x+(-0),
 * sel(true, a, b),
 * ...), and orders commutative operands by structure.  Integer and bool operands of float
 * ops are converted; where i32 meets u32, words are taken as they are and the result is
 * i32.
 */
sx_id sx_make(struct sxb *b, enum sx_op op, sx_id x, sx_id y, sx_id z);

/* x**n by multiplications, squares first; a negative n divides once. */
sx_id sx_powi(struct sxb *b, sx_id x, int32_t n);

/*
 * Draws at element e (an i32 sx) of a site (architecture.md, "Randomness").  All are of the
 * standard law: the caller shifts and scales.  sx_normal is one node normal(rng(site, e &
 * ~1), rng(site, e | 1), e), so that generators may make neighbours together.
 */
sx_id sx_uniform(struct sxb *b, uint32_t site, sx_id e);     /* [0, 1) */
sx_id sx_normal(struct sxb *b, uint32_t site, sx_id e);      /* mean 0, deviation 1 */
sx_id sx_exponential(struct sxb *b, uint32_t site, sx_id e); /* rate 1 */
sx_id sx_laplace(struct sxb *b, uint32_t site, sx_id e);     /* scale 1 */
sx_id sx_gumbel(struct sxb *b, uint32_t site, sx_id e);
sx_id sx_bernoulli(struct sxb *b, uint32_t site, sx_id e, sx_id p); /* bool: u < p */
/* low + mulhi(word, high - low + 1), an i32; both ends included, both i32 sx. */
sx_id sx_uniform_int(struct sxb *b, uint32_t site, sx_id e, sx_id low, sx_id high);

/* Rebuild `root` with operand i replaced by arg[i] (0 keeps it). */
sx_id sx_substitute(struct sxb *b, sx_id root, const sx_id *arg, uint32_t narg);
/* Rebuild `root` with the node `what` (not 0) replaced, in the same store. */
sx_id sx_replace(struct sxb *b, sx_id root, sx_id what, sx_id with);
/* Copy between stores. `arg` as above, ids of `to`; rng sites and scalars are kept. */
sx_id sx_import(struct sxb *to, const struct sxb *from, sx_id root, const sx_id *arg,
                uint32_t narg);
/*
 * General rewrite: fn(leaf) returns the replacement in `to`, or 0 for a plain copy;
 * `element` is the rewritten element of an rng leaf.
 */
typedef sx_id sx_leaf_fn(void *cx, struct sxb *to, const struct sx_node *leaf,
                         sx_id element);
sx_id sx_rewrite(struct sxb *to, const struct sxb *from, sx_id root, sx_leaf_fn *fn,
                 void *cx);

/* One call of a function row, replaced by the row's value over primitives and other rows.
 */
sx_id sx_unfold(struct sxb *b, sx_id call);
sx_id sx_expand(struct sxb *b, sx_id root); /* functions into primitives, to the bottom */
/*
 * a*b+c, a*b-c, c-a*b into fma; of two products the first (in structural order) goes in.
 * Once, on an expression as the model or a row writes it, before any merging; never after
 * sx_expand.
 */
sx_id sx_contract(struct sxb *b, sx_id root);

/*
 * Reverse sweep: d[i] += adjoint of operand i, for cotangent `g` (an sx, usually one more
 * arg). `y` may name an operand that holds the value of root itself (0: none); rows that
 * know their derivative from the result use it.  d has narg entries; 0 stays 0 where
 * nothing flows. Nothing flows through words, integers, bools and bit casts: differentiate
 * before sx_expand.
 */
void sx_vjp(struct sxb *b, sx_id root, sx_id g, sx_id y, sx_id *d, uint32_t narg);

uint32_t sx_args(const struct sxb *b, sx_id root); /* 1 + largest operand number, or 0 */
/* Operands of an inner node, the element of an rng leaf; returns how many. */
unsigned sx_operands(const struct sx_node *n, sx_id in[3]);
bool sx_uses_arg(const struct sxb *b, sx_id root, uint32_t i);
bool sx_uses_rng(const struct sxb *b, sx_id root);
uint32_t sx_cost(const struct sxb *b, sx_id root); /* primitives after expansion */
/*
 * Is it +0 wherever the operands that `zero` (by number) names are, whatever all else is?
 * What is not seen to be so counts as no.
 */
bool sx_is_zero_where(const struct sxb *b, sx_id root, const bool *zero);
uint32_t sx_size(const struct sxb *b, sx_id root); /* nodes reachable */
/* Nodes reachable from the roots, operands first: a deterministic post-order from the
 * roots. */
uint32_t sx_postorder(const struct sxb *b, const sx_id *root, uint32_t nroot,
                      struct arena *a, sx_id **out);

struct sx_hash sx_hash(const struct sxb *b, sx_id root);

/* What leaves mean during evaluation. */
struct sx_env {
    const double *arg;    /* operands; floats as exact f32 values in the float mode */
    const double *scalar; /* parameter block */
    const int64_t *axis;
    uint32_t (*rng)(void *cx, uint32_t site, int32_t element);
    void *cx;
};
/* One element.  Integers and bools come back as exact doubles.  `root` may hold calls. */
double sx_eval_f64(const struct sxb *b, sx_id root,
                   const struct sx_env *env); /* libm functions */
double sx_eval_f32(const struct sxb *b, sx_id root,
                   const struct sx_env *env); /* own, rounds as the kernels do */

/*
 * Compiled for the interpreter: serial postfix program with several roots over shared
 * values. run() evaluates one element; `reg` has sx_prog_regs() doubles of scratch.
 */
struct sx_prog;
struct sx_prog *sx_compile(struct arena *a, const struct sxb *b, const sx_id *root,
                           uint32_t nroot, bool f64);
uint32_t sx_prog_regs(const struct sx_prog *p);
void sx_prog_run(const struct sx_prog *p, const struct sx_env *env, double *reg,
                 double *out);

/*
 * Many elements at once: the same values, SX_BLOCK lanes per instruction.  Lanes are float
 * (f32 programs), double (f64 programs), int32_t or uint32_t; bools are uint32_t 0 or 1.
 */
enum { SX_BLOCK = 128 };
struct sx_block {
    const void *const *arg;  /* operand i, lane 0 */
    const int32_t *arg_step; /* lanes to the next element: 0 broadcasts, 1 is contiguous */
    const double *scalar;
    const int64_t *axis;      /* of lane 0 */
    const int32_t *axis_step; /* per lane */
    uint32_t (*rng)(void *cx, uint32_t site, int32_t element, uint32_t lane);
    void *cx;
};
size_t sx_prog_scratch(const struct sx_prog *p); /* bytes, to be aligned to 16 */
void sx_prog_prepare(const struct sx_prog *p, void *scratch); /* once per scratch */
/* n <= SX_BLOCK lanes; root k goes to out[k], contiguous. */
void sx_prog_run_block(const struct sx_prog *p, const struct sx_block *env, uint32_t n,
                       void *scratch, void *const *out);

/*
 * Text, parses back: fma(%0, 0.5, sel(lt(%1, 0), ...)); named operands through `name` if
 * given. Leaves: operand %0, scalar $0, axis @0, rng(7, @0); whole-number constants 3i,
 * words 3u; other types than float after a colon (%1:i, $0:b).  A shared node is #1=...,
 * then #1.
 */
char *sx_print(const struct sxb *b, sx_id root, struct arena *a,
               const char *(*name)(void *cx, const struct sx_node *leaf), void *cx);
/* 0 on a mistake; *end is where reading stopped. */
sx_id sx_parse(struct sxb *b, const char *text, const char **end);

struct sx_info {
    const char *name;    /* "add", "exp" */
    uint8_t arity, type; /* result type; SX_ANY_TYPE: the last operand's */
    uint8_t in[3];       /* operand types, or SX_ANY_TYPE, SX_ANY_INT (the same in all) */
    bool commutative, is_function;
    double test_lo, test_hi; /* functions: domain of the derivative test */
    const char *doc;
};
const struct sx_info *sx_op_info(enum sx_op op); /* NULL for leaves */
bool sx_op_find(const char *name, enum sx_op *out);

#endif
