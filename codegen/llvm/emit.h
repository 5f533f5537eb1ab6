/*
 * Inside the LLVM walk.  One struct ll emits the stages of one nest into a module.
 *
 * Values: a scalar is the same for every lane of the open VEC loop, a vector has one
 * element a lane. Operations on scalars stay scalar and are spread when they meet a vector.
 * Everything is numbered: the same operation on the same values is emitted once per
 * straight line, so no IR pass is needed for what unrolling repeats.  Index arithmetic goes
 * to the set-up block of the loop it depends on.
 */
#ifndef HYP_CODEGEN_LLVM_EMIT_H
#define HYP_CODEGEN_LLVM_EMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "codegen/llvm/compat.h"
#include "codegen/loop/loop.h"
#include "runtime/base/arena.h"

enum { LL_LANES = 64, LL_REGIONS = 128, LL_WALKERS = 8 };

/* ---- what modules share: one per thread ---- */
struct ll_host {
    LLVMContextRef cx;
    LLVMTargetMachineRef tm;
    LLVMTargetDataRef layout;
    const char *cpu, *features;
    LLVMTypeRef i1, i8, i32, i64, f32, ptr, voidt;
};

/* ---- scopes: loops and guarded blocks ---- */
struct ll_memo {
    uint64_t key[4];
    LLVMValueRef value;
    struct ll_memo *chain;   /* in the bucket */
    struct ll_memo *sibling; /* in the region */
};
/* A pointer that an innermost loop moves on, instead of a product an iteration. */
struct ll_walker {
    LLVMValueRef phi;
    LLVMTypeRef elem;
    struct ext coef; /* elements, times the loop's counter */
};
struct ll_region {
    LLVMBasicBlockRef setup; /* where invariant arithmetic goes; NULL: a guarded block */
    struct ll_memo *memo;
    LLVMBasicBlockRef before; /* the loop; NULL: none */
    LLVMValueRef counter;     /* of an innermost loop, else NULL */
    LLVMValueRef first;       /* value of the counter */
    struct ll_walker walker[LL_WALKERS];
    unsigned nwalker;
};

/* Where the builder is: in a body, in a loop's set-up block, or before a loop. */
enum ll_where { LL_BODY, LL_SETUP, LL_BEFORE };

enum ll_axis_kind { LL_UNSET, LL_RUN, LL_CONST, LL_LANE };
struct ll_axis {
    uint8_t kind;
    LLVMValueRef run; /* i64 */
    int64_t value;    /* LL_CONST; LL_RUN: what is added to `run` */
    unsigned depth;   /* region that knows it */
    int64_t mod, rem; /* LL_RUN: run = rem modulo mod, a power of two */
};

/* A REG tile is cut into vectors along its last dimension; a STACK tile has an address. */
struct ll_tile {
    LLVMValueRef *piece;
    uint32_t npiece;
    int32_t *start, *width; /* of each piece */
    uint16_t *piece_of;     /* by element */
    LLVMValueRef *strip;    /* pieces that were turned last, then what they became */
    LLVMBasicBlockRef turned_in;
    int32_t turned_wide;
    LLVMValueRef base; /* STACK */
    uint32_t version;
};

struct ll {
    const struct nest *n;
    const struct target *t;
    struct ll_host *h;
    LLVMModuleRef mod;
    struct arena *arena;
    struct sxb sx; /* expanded expressions */
    LLVMBuilderRef b;
    LLVMValueRef fn, args, lo, hi, scratch;
    const char *fault; /* first thing that could not be compiled */

    struct ll_region region[LL_REGIONS];
    unsigned depth; /* of the innermost region */
    enum ll_where where;
    struct ll_memo *bucket[1024], *spare;

    struct ll_axis axis[NEST_AXES];
    struct ll_tile *tile;  /* the nest's, then the watch's */
    uint32_t *buf_version; /* grows with every store */

    bool around;          /* the stage has stores that go around the caches */
    int32_t vec;          /* floats of a machine vector */
    int32_t lane0, width; /* lanes being emitted; width 1: no VEC is open */
    int32_t vec_hi;       /* extent of the open VEC */
    int32_t vec_axis;     /* -1: none */

    struct sxb law;  /* a normal of words %0 and %1 */
    sx_id normal[2]; /* its even and odd element */

    struct ll_expr *expr; /* expanded expressions by statement */
    uint32_t nexpr, cexpr;
    const struct stmt *stmt; /* whose loads SX_ARG are */
    LLVMValueRef *val;       /* by expression node, of this statement */
    uint32_t *val_gen, gen, cval;
};

/* ---- value.c: types, numbered operations ---- */
void ll_fault(struct ll *l, const char *what);
LLVMTypeRef ll_type(struct ll *l, enum sx_type type);
LLVMTypeRef ll_vector(LLVMTypeRef elem,
                      int32_t width); /* the element itself where width is 1 */
bool ll_is_vector(LLVMValueRef v);
int32_t ll_width(LLVMValueRef v);
LLVMValueRef ll_i32(struct ll *l, int64_t x);
LLVMValueRef ll_i64(struct ll *l, int64_t x);
LLVMValueRef ll_f32(struct ll *l, double x);
LLVMValueRef ll_zero(struct ll *l, LLVMValueRef like);
LLVMValueRef ll_splat(struct ll *l, LLVMValueRef v, int32_t width);
/* The lanes' numbers lane0.. times step plus base, as constants. */
LLVMValueRef ll_lanes(struct ll *l, LLVMTypeRef elem, const int64_t *x, int32_t width);

LLVMValueRef *ll_memo(struct ll *l, unsigned depth, uint64_t op, const void *a,
                      const void *b, uint64_t c, bool *found);
/*
 * Move the builder to the set-up block of a region, and back.  What is emitted there is
 * numbered apart from the rest, by the depth of its operands alone.
 */
struct ll_place {
    LLVMBasicBlockRef block;
    unsigned depth;
    enum ll_where where;
};
struct ll_place ll_hoist(struct ll *l, unsigned depth);
/* Move it before the innermost loop, unless that loop is what knows `depth`. */
bool ll_leave(struct ll *l, unsigned depth, struct ll_place *back);
/* Likewise, unless v is computed in that loop. */
bool ll_leave_for(struct ll *l, LLVMValueRef v, struct ll_place *back);
void ll_unhoist(struct ll *l, struct ll_place back);

LLVMValueRef ll_bin(struct ll *l, LLVMOpcode op, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef ll_cast(struct ll *l, LLVMOpcode op, LLVMValueRef x, LLVMTypeRef elem);
LLVMValueRef ll_icmp(struct ll *l, LLVMIntPredicate p, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef ll_fcmp(struct ll *l, LLVMRealPredicate p, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef ll_select(struct ll *l, LLVMValueRef c, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef ll_neg(struct ll *l, LLVMValueRef x);
/* An intrinsic with these types overloaded, emitted where the builder is. */
LLVMValueRef ll_call(struct ll *l, const char *name, LLVMTypeRef *over, unsigned nover,
                     LLVMValueRef *x, unsigned n);
/* Numbered: one that is overloaded by its result (and for casts by its operand). */
LLVMValueRef ll_intrinsic(struct ll *l, const char *name, LLVMTypeRef result,
                          bool by_operand, LLVMValueRef *x, unsigned n);
LLVMValueRef ll_shuffle(struct ll *l, LLVMValueRef x, LLVMValueRef y, const int32_t *at,
                        int32_t width);                           /* -1: any */
LLVMValueRef ll_lane(struct ll *l, LLVMValueRef v, int32_t lane); /* a scalar stays */

void ll_region_open(struct ll *l, LLVMBasicBlockRef setup);
void ll_region_close(struct ll *l);
LLVMBasicBlockRef ll_block(struct ll *l, const char *name);

/* ---- index.c ---- */
LLVMValueRef ll_karg(struct ll *l, int64_t byte,
                     LLVMTypeRef type); /* member of struct hyp_kargs */
LLVMValueRef ll_batch(struct ll *l);
LLVMValueRef ll_gep(struct ll *l, LLVMTypeRef elem, LLVMValueRef p, LLVMValueRef at);
LLVMValueRef ll_ext(struct ll *l, struct ext e);
LLVMValueRef ll_scalar(struct ll *l, uint32_t slot, enum sx_type type);
/* What an index is at every lane: a scalar i64 part and constant offsets. */
struct ll_at {
    LLVMValueRef base; /* i64; NULL: 0 */
    unsigned depth;    /* region that knows the base */
    int64_t lane[LL_LANES];
    struct ext step; /* lanes also differ by step * lane (B is in it) */
    bool uniform, contiguous;
};
/* `pointer`: the base is this pointer to `elem`, moved. */
struct ll_at ll_index(struct ll *l, const struct index *x, LLVMValueRef pointer,
                      LLVMTypeRef elem);
LLVMValueRef ll_index_value(struct ll *l,
                            const struct index *x); /* i64, scalar or vector */
/* Ends a loop that counts by `step`: its walkers move on, in the latch. */
void ll_walkers_end(struct ll *l, const struct ll_region *r, int64_t step,
                    LLVMBasicBlockRef latch);
/* All guards as i1 (scalar or vector); NULL: they hold. *never: one fails for good. */
LLVMValueRef ll_guards(struct ll *l, const struct guard *g, unsigned n, bool *never);
unsigned ll_index_depth(const struct ll *l, const struct index *x);
/* Of the first lane: rem modulo mod, a power of two. */
void ll_index_mod(const struct ll *l, const struct index *x, int64_t *mod, int64_t *rem);

/* ---- memory.c: loads and stores ---- */
LLVMValueRef ll_load(struct ll *l, const struct nload *x);
/* Is what data add to an index in range: i1, scalar or vector; NULL: nothing is added. */
LLVMValueRef ll_pick_holds(struct ll *l, const struct pick *p);
void ll_store(struct ll *l, const struct stmt *st, LLVMValueRef v);
void ll_fetch(struct ll *l, const struct stmt *st);
LLVMValueRef ll_current(struct ll *l, const struct stmt *st); /* what dst holds */
LLVMTypeRef ll_dtype(struct ll *l, uint8_t dtype);      /* in memory: a bool is a byte */
LLVMTypeRef ll_value_type(struct ll *l, uint8_t dtype); /* as a value */
/* The n elements of a STACK tile become v. */
void ll_fill(struct ll *l, uint32_t tile, uint64_t n, LLVMValueRef v);
/* Around a stage: what stores to watched buffers saw goes to hyp_kargs.watch. */
void ll_watch_start(struct ll *l);
void ll_watch_end(struct ll *l);
/* Ends a stage: others see what was stored around the caches. */
void ll_stores_end(struct ll *l);

/* ---- tile.c ---- */
void ll_tiles_init(struct ll *l, unsigned stage);
void ll_tile_start(struct ll *l, const struct stmt *st);
/* Of a REG tile. */
LLVMValueRef ll_tile_read(struct ll *l, uint32_t id, const struct index *x);
void ll_tile_write(struct ll *l, uint32_t id, const struct index *x, LLVMValueRef v);

/* ---- prim.c, expr.c, draw.c ---- */
LLVMValueRef ll_prim(struct ll *l, const struct sx_node *node, const uint8_t in[3],
                     LLVMValueRef x[3]);
LLVMValueRef ll_eval(struct ll *l, sx_id e);
LLVMValueRef ll_eval_at(struct ll *l, sx_id e,
                        int64_t lane); /* with the VEC axis at a constant */
/* The statement's expressions, expanded. */
void ll_statement(struct ll *l, const struct stmt *st, sx_id *value, sx_id *value2);
sx_id ll_expand(struct ll *l,
                sx_id e); /* functions into primitives, but not normal draws */
LLVMValueRef ll_word(struct ll *l, uint32_t draw, sx_id element);
LLVMValueRef ll_normal(struct ll *l, const struct sx_node *call);
bool ll_is_normal(const struct sxb *b, const struct sx_node *call);

/* ---- walk.c ---- */
void ll_walk_stage(struct ll *l, const struct nstage *g);

/* ---- module.c ---- */
void llvm_start(void); /* before anything of LLVM is called; any number of times */
/* Context and target machine; NULL: *why says so. */
struct ll_host *ll_host_new(const struct target *t, const char **why);
void ll_host_free(struct ll_host *h);
LLVMModuleRef ll_module(struct ll_host *h);
/* Add all stages of a nest as functions NAME_<stage>.  NULL, or what is wrong. */
const char *ll_emit(struct ll_host *h, LLVMModuleRef mod, const struct nest *n,
                    const struct target *t, const char *name);

#endif
