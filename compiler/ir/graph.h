/*
 * The graph IR: a pure SSA graph of nine ops over typed tensors; one graph holds all
 * phases.
 *
 * Values cross phases only through leaves.  State and `next` need no mechanism: reading a
 * state is a leaf, `next` is a COMMIT root.  Update steps are substitution of parameter
 * leaves by their next version (passes/update.c).  Random numbers are functions of (site,
 * draw step, sample, element) inside maps, so clones replay their noise.
 *
 * Ids are dense from 1 (0 is none); a node's operands are defined by nodes with smaller
 * ids, so id order is a topological order.  Passes rebuild: they walk the old graph in id
 * order and emit into a fresh one, which merges equal nodes; what nothing emits is gone.
 */
#ifndef HYP_COMPILER_IR_GRAPH_H
#define HYP_COMPILER_IR_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/form.h"
#include "ops/sx.h"
#include "runtime/base/diag.h"
#include "runtime/base/hash.h"

struct arena;

typedef uint32_t node_id, value_id, form_id, site_id, place_id, leaf_id, region_id;

enum dtype { DT_F32, DT_I32, DT_BOOL };

/* sample: dim[0] is the batch ({0,1}, unwritten in the language). Otherwise the value is
 * shared. */
struct type {
    uint8_t dtype, rank;
    bool sample;
    struct ext dim[HYP_RANK];
};

enum graph_op {
    OP_NOP,
    OP_LEAF, /* attr: leaf */
    OP_MAP,  /* attr: sx; in: operands, aligned to the output by map_align() */
    OP_FORM, /* attr: form; port: read-out; in: the other ports' tensors, in port order,
                then perhaps the value that its chains go on from (order SEQ) instead of +0
              */
    OP_FOLD, /* attr: form (2 ports), read out at port; out 0 the maximum, 1 its index (i32)
              */
    OP_GATHER,  /* in: source, index; attr: axis of the source (batch counted):
                   graph_gather() */
    OP_SCATTER, /* in: updates, index; attr: axis of the output */
    OP_LOOP,    /* attr: region; refused until ticks are built */
    OP_STOP,    /* identity without derivative */
    OP_GRAD     /* in: y, x1..xn; out i: d sum(y) / d x(i+1); seeded: y, w, x1..xn;
                   out i: d sum(y w) / d x(i+1), w held still */
};
/* The index counts the form's reduced axes, row-major in box order; the first of equals
 * wins; a largest of 0 is +0. A fold whose index nobody reads becomes COMB_MAX at the end
 * of the passes; both kinds have two outputs. */
enum combiner { COMB_MAX, COMB_ARGMAX };

struct node {
    uint8_t op, port, comb, nin, nout;
    bool missing_zero; /* OP_GRAD: where no gradient arrives give zeros instead of E0503 */
    bool seeded;       /* OP_GRAD: in 1 weights y, of its type */
    region_id region;
    place_id place;
    uint32_t
        expr; /* nodes of one written expression share it: fma contraction stays inside */
    uint32_t attr;
    uint32_t remat; /* 0, or: a clone that is computed again (passes/remat.c), not merged */
    uint32_t in0;   /* operands: graph->operand[in0 .. in0+nin) */
    value_id out0;  /* outputs: out0 .. out0+nout */
};
struct value {
    struct type type;
    node_id def;
    uint8_t index; /* which output */
};

enum leaf_what {
    LEAF_PARAM,   /* a weight, or optimizer state where path begins with "optimizer/" */
    LEAF_STATE,   /* model state */
    LEAF_DATA,    /* path "SOURCE.FIELD" */
    LEAF_SETTING, /* path "NAME" or "NAME[k]"; rank 0 */
    LEAF_COUNTER  /* host scalars: "batch_size" "epoch" "cycle" "step" "tick"
                     "optimizer/PATH/t" */
};
struct leaf {
    uint8_t what;
    uint16_t version; /* k > 0: the value left by update step k-1 of `region`'s phase */
    region_id region; /* of a version > 0 */
    const char *path;
    struct type type;
    value_id value; /* the OP_LEAF's output */
    value_id def;   /* version > 0: the value it names */
};

struct site {
    const char *path;
    uint64_t hash;    /* hyp_site(path) */
    region_id region; /* gives the draw step */
    bool per_sample;  /* false: sample 0 for all */
};

enum place_why {
    WHY_WRITTEN,
    WHY_CALLED_FROM,
    WHY_GRADIENT_OF,
    WHY_UPDATED_BY,
    WHY_RECOMPUTED_FOR,
    WHY_STORED_FOR,
    WHY_REPACKED_FOR
};
struct place {
    struct loc loc;
    place_id parent;
    uint8_t why;
    const char
        *name; /* path of the node it stands for: "compare/z.wake", "D.z.f2"; may be NULL */
};

enum region_kind { REGION_GLOBAL, REGION_INIT, REGION_PHASE, REGION_HOST, REGION_LOOP };
enum root_why {
    ROOT_COMMIT, /* leaf := value at the end of the phase (next) */
    ROOT_UPDATE, /* leaf := value at step `step` (weights, optimizer state) */
    ROOT_OUTPUT, /* a named result the runtime reads: losses, probes */
    ROOT_INIT    /* leaf := value, in the init region */
};
struct root {
    uint8_t why;
    uint16_t step;
    uint16_t variant; /* of the phase's programs: the one it belongs to, from 1; 0: all */
    leaf_id leaf;     /* version 0; 0 for outputs */
    value_id value;
    const char *name; /* outputs */
};
struct region {
    uint8_t kind;
    bool training;
    const char *name; /* "compare", "init", "probe/error" */
    struct root *root;
    uint32_t nroot, croot;
};

struct graph {
    struct arena *arena;
    struct arena *tables; /* of nodes, values, leaves, buckets: the same, or their own */
    struct sxb sx;
    struct node *node;
    uint32_t nnode, cnode; /* [0] unused, here and below; n counts it */
    struct value *value;
    uint32_t nvalue, cvalue;
    uint32_t *operand;
    uint32_t noperand, coperand;
    struct form *form;
    uint32_t nform, cform;
    struct leaf *leaf;
    uint32_t nleaf, cleaf;
    struct hash_index leaf_index; /* by path */
    struct site *site;
    uint32_t nsite, csite;
    struct place *place;
    uint32_t nplace, cplace;
    struct region *region;
    uint32_t nregion, cregion; /* region 1 is global */
    uint32_t *bucket, nbucket; /* merging of equal nodes */
    region_id at;              /* where new nodes go; set by the builder's user */
    place_id where;            /* their place */
    uint32_t expr;             /* their expression; graph_new_expr() */
    uint32_t nexpr;
    uint32_t remat; /* theirs, likewise */
};

void graph_init(struct graph *g, struct arena *a);
region_id graph_region(struct graph *g, enum region_kind kind, const char *name);
place_id graph_place(struct graph *g, struct loc loc, place_id parent, enum place_why why,
                     const char *name);
/* Of the place, or the nearest around it that has one; "node" where none has. */
const char *graph_place_name(const struct graph *g, place_id p);
uint32_t graph_new_expr(struct graph *g);
site_id graph_site(struct graph *g, const char *path, region_id region, bool per_sample);
form_id graph_form_id(struct graph *g, const struct form *f); /* merged by value */

/* Leaves live in the global region; equal (what, version, region, path) is one leaf. */
value_id graph_leaf(struct graph *g, enum leaf_what what, uint16_t version,
                    region_id region, const char *path, struct type type);
leaf_id graph_find_leaf(const struct graph *g, enum leaf_what what, const char *path);

/*
 * Builders; equal nodes (op, attributes, operands, region) are merged and keep their first
 * place. A map's type: operands are aligned (batch with batch, the rest from the right; 1
 * and missing expand); `type` may widen it (draws without operands).  What does not fit is
 * asserted here and reported by the front end before.
 */
value_id graph_map(struct graph *g, sx_id fn, const value_id *in, uint8_t nin,
                   const struct type *type);
value_id graph_form(struct graph *g, const struct form *f, uint8_t port, const value_id *in,
                    bool sample, uint8_t dtype);
/* The same sum going on from `acc`, of the output's type: gradient sums as one chain. */
value_id graph_form_onto(struct graph *g, const struct form *f, uint8_t port,
                         const value_id *in, value_id acc);
value_id graph_fold(struct graph *g, const struct form *f, uint8_t port, enum combiner comb,
                    value_id in, bool sample, value_id *index);
/*
 * out[p.., i.., t..] = src[p.., index[p.., i..], t..]: p are the source's dims before
 * `axis`, t those behind. An index without the dims p (a scalar, or a shared source with
 * axis 0) is the same for all p.  Out of range reads 0.  Scatter is the adjoint: out[p..,
 * index[p.., i..], t..] += updates[p.., i.., t..], in row-major order of the updates; the
 * output has the type `like`.
 */
value_id graph_gather(struct graph *g, value_id src, value_id index, uint8_t axis);
value_id graph_scatter(struct graph *g, value_id updates, value_id index, uint8_t axis,
                       const struct type *like);
/* The type gather gives; false if they do not fit. *aligned: the index has the dims p. */
bool gather_type(const struct type *src, const struct type *index, uint8_t axis,
                 struct type *out, bool *aligned);
value_id graph_stop(struct graph *g, value_id x);
void graph_grad(struct graph *g, value_id y, const value_id *x, uint8_t n,
                bool missing_zero, value_id *out); /* out[i] receives d sum(y) / d x[i] */
/* Reverse mode from w in the place of ones: the adjoint of y, as a map of x, applied to w.
 */
value_id graph_adjoint(struct graph *g, value_id y, value_id w, value_id x);
void graph_root(struct graph *g, region_id r, enum root_why why, uint16_t step,
                leaf_id leaf, value_id v, const char *name);

/* Conveniences over the above (compiler/ir/build.c), for front and passes. */
value_id graph_const(struct graph *g, double x); /* f32 shared, rank 0 */
value_id graph_op1(struct graph *g, enum sx_op op, value_id x);
value_id graph_op2(struct graph *g, enum sx_op op, value_id x, value_id y);
value_id graph_op3(struct graph *g, enum sx_op op, value_id x, value_id y, value_id z);
value_id graph_scale_grad(struct graph *g, value_id x,
                          value_id c); /* x; gradients times c */
/* `over`: bit set of dims (of a sample, dim 0 is the batch). Sums units first, then the
 * batch. */
value_id graph_sum(struct graph *g, value_id x, uint32_t over);
value_id graph_broadcast(struct graph *g, value_id x,
                         const struct type *like); /* as map operands */
value_id graph_sum_to(struct graph *g, value_id x, const struct type *to); /* its adjoint */
value_id graph_reshape(struct graph *g, value_id x,
                       const struct type *to); /* same order; 0: digits do not fit */
value_id graph_permute(struct graph *g, value_id x, const uint8_t *perm);
value_id graph_slice(struct graph *g, value_id x, uint8_t axis, struct ext from,
                     struct ext count);
value_id graph_concat(struct graph *g, const value_id *x, uint32_t n,
                      uint8_t axis); /* sum of pads */
/* Last axis of a with first axis of b, batches not counted; batch of either leads the
 * result. */
value_id graph_matmul(struct graph *g, value_id a, value_id b);
value_id graph_retype(struct graph *g, value_id x,
                      bool sample); /* as_axis and back: the flag alone */

static inline const struct type *graph_type(const struct graph *g, value_id v)
{
    return &g->value[v].type;
}
static inline const value_id *graph_in(const struct graph *g, const struct node *n)
{
    return g->operand + n->in0;
}

bool type_eq(const struct type *x, const struct type *y);
struct type type_scalar(enum dtype dt);
char *type_print(const struct type *t,
                 struct arena *a); /* "f32[784] per sample", "f32 shared" */
int64_t type_elems(const struct type *t, int64_t batch);

/* Non-1 dims of a type: the axes a value really has. Returns their count. */
unsigned type_space(const struct type *t, uint8_t dim[HYP_RANK]);

/*
 * How a map operand lines up with the output: dim i of the operand is output dim to[i], or
 * -1 where it is broadcast (extent 1 against something else).  False if they do not fit.
 */
bool map_align(const struct type *out, const struct type *in, int8_t to[HYP_RANK]);
/* The joined type of two operands (dtype is x's); false and *axis (of the output) where
 * they clash. */
bool type_join(const struct type *x, const struct type *y, struct type *out,
               unsigned *axis);

/*
 * Rebuilding.  `fn` sees every node of `from` that a root reaches, in order, and must set
 * map[old value] for its outputs; graph_copy_node does the plain thing.  Leaves, sites,
 * places, regions, roots and leaf defs are carried over.  The new graph takes the place of
 * the old.
 */
struct rebuild {
    struct graph *from, *to;
    value_id *map;
    void *cx;
};
typedef bool rebuild_fn(struct rebuild *r, node_id id); /* false: failed, reported */
bool graph_rebuild(struct graph *g, rebuild_fn *fn, void *cx, value_id **map_out);
/* As well for values that no root reaches (0 is skipped): what a program names. */
bool graph_rebuild_keep(struct graph *g, rebuild_fn *fn, void *cx, const value_id *keep,
                        uint32_t nkeep, value_id **map_out);
void graph_copy_node(struct rebuild *r, node_id id);
/*
 * While a graph is rebuilt again and again: from graph_own_tables() on nodes, values and
 * leaves live in an arena that a rebuilding makes anew; graph_settle_tables() copies them
 * into the graph's.  Whoever rebuilds such a graph drops the tables of the old one when he
 * has no more use for them, nor for the map.  No effect on tables in the graph's arena.
 */
void graph_own_tables(struct graph *g);
void graph_settle_tables(struct graph *g);
void graph_drop_tables(const struct graph *old);

/*
 * Host arithmetic, by node (in `a`): settings, counters and the rank-0 maps over them that
 * draw nothing.  The runtime evaluates it in double, once per phase; kernels get the
 * results rounded.
 */
bool *graph_hosts(const struct graph *g, struct arena *a);

/* Text form; parses back to an equal graph. */
char *graph_print(const struct graph *g, struct arena *a);
bool graph_parse(struct graph *g, const char *text, struct diag_sink *ds, uint32_t file);
/* NULL, or what is wrong (operand order, types, alignment, form shapes, dangling ids). */
const char *graph_validate(const struct graph *g, struct arena *a);
bool graph_equal(const struct graph *x, const struct graph *y);

#endif
