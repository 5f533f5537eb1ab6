/*
 * Loop IR: a kernel says what a fused group computes, a nest says how.
 *
 * Kernel: axes, buffers and stages.  A stage computes one value over a subset of the axes:
 * a map (one scalar expression), a sum (of products: a form), a fold or a scatter.  Stages
 * read buffers and earlier stages; a stage's meaning is the naive loop over its space, sums
 * in their recorded order.
 *
 * Nest: the statement tree a scheduler makes of a kernel for one target row: loops, tiles,
 * set, accumulate, fetch.  Back ends walk nests and know nothing else.  Both levels print,
 * parse, validate and run in the interpreter; nest = kernel = graph is a property test.
 */
#ifndef HYP_CODEGEN_LOOP_LOOP_H
#define HYP_CODEGEN_LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler/ir/graph.h"
#include "compiler/ir/target.h"

#define LOOP_AXES  KERNEL_AXES
#define LOOP_TERMS 16
#define LOOP_RED   KERNEL_REDUCED /* reduced axes of a sum or fold */
#define NEST_AXES  96

/* coef * ((axis / div) % mod); div 1 and mod 0: plain */
struct term {
    uint8_t axis;
    int32_t div, mod;
    struct ext coef;
};
/* A flat element index: sum of terms + off + scoef * scalar (scalar is 1 + its slot; 0:
 * none). */
struct index {
    uint8_t n;
    struct term t[LOOP_TERMS];
    struct ext off;
    uint16_t scalar;
    struct ext scoef;
};
struct guard { /* holds while 0 <= index < bound */
    struct index index;
    struct ext bound;
};

/*
 * A part of an index that data decide: coef * value, the value being another operand's i32.
 * Where it is not in 0..bound-1 a load reads 0 and a statement does nothing.
 */
struct pick {
    uint16_t from; /* 1 + operand or load, one before this; 0: none */
    struct ext coef, bound;
};

enum buf_use { BUF_READ, BUF_WRITE, BUF_READ_WRITE };
struct kbuf {
    const char *name;
    uint8_t dtype, use; /* use is derived from the stores, then verified */
    bool watched;       /* f32: what is stored and not finite is told (hyp_kargs.watch) */
    bool far;           /* no cache holds it, or what is written beside it: stores go around
                           them, sums down its columns walk whole rows */
    uint8_t rank;
    int32_t div; /* private buffers: dim[0] is ceil(dim[0] / div); 0 and 1: plain */
    struct ext dim[HYP_RANK]; /* row-major */
};

/* A draw of the kernel: SX_RNG's `a` is an index into this table. */
struct krng {
    uint16_t
        scalar; /* 4 consecutive u32 scalars: site low, site high, draw step low, high */
    int8_t sample_axis; /* axis that is the row of the batch; -1: sample 0 */
};

/*
 * In a kernel's expressions SX_ARG(i) is the stage's operand i, SX_SCALAR(j) the entry's
 * scalar j, SX_AXIS(a) kernel axis a, SX_RNG(r, e) a word of draw r.
 */
struct koperand {
    bool stage;  /* reads stage `id` at the same point (its axes are among this stage's) */
    uint16_t id; /* stage or buffer */
    struct index index;  /* of a buffer, over kernel axes */
    struct guard *guard; /* where any fails the operand reads 0 (pads, windows) */
    uint8_t nguard;
    struct pick pick; /* only maps have operands that pick (gather) */
};
struct kstore {
    uint16_t buf;
    struct index index; /* over the stage's axes */
};
struct kseg {                    /* one product of a sum */
    uint8_t nred, red[LOOP_RED]; /* reduced axes, outermost first */
    sx_id factor[2];             /* over the stage's operands; factor[1] 0: a plain sum */
};
/*
 * What a stage computes at a point of its space:
 * K_MAP   value.
 * K_SUM   order SEQ: one chain from +0 through all segments, each over its reduced axes
 *         lexicographically, acc = fma(factor0, factor1, acc) or acc + factor0.
 *         LANES: one segment; element e of the flattened reduced axes goes to partial e mod
 * 16 (from +0, by the same step), then p[l] += p[l + w] for l < w, w = 8, 4, 2, 1. CHUNK:
 * the outermost reduced axis of every segment in blocks of `chunk`; every block is a chain
 * from +0; the blocks' sums are added in the order (segment, block), starting from the
 *         first.  No block at all (B = 0): 0.
 *         In all orders a product may be left out where a guard of a factor's load fails:
 *         that is no other sum unless the other factor is not finite, or the sum so far -0.
 * K_FOLD  starts from the first element in lexicographic order; best = value > best ? value
 * : best. COMB_MAX gives best (+0 where it is 0), COMB_ARGMAX (i32) its row-major number
 * among the reduced axes. Elements at which a guard of an operand fails do not take part;
 * of none: 0, and -1. K_SCATTER one chain from +0 over the reduced axes lexicographically,
 * of the values whose operand `at` is the point's number along the axis `along`; neither
 * they nor `at` walk that axis.
 */
enum kstage_op { K_MAP, K_SUM, K_FOLD, K_SCATTER };
struct kstage {
    uint8_t op, order, comb, dtype; /* order: enum form_order */
    uint16_t chunk;
    uint8_t naxis, axis[LOOP_AXES]; /* its space, outermost first */
    struct koperand *operand;
    uint32_t noperand;
    sx_id value; /* K_MAP; K_FOLD, K_SCATTER: what is folded or added */
    struct kseg
        *seg; /* K_SUM: segments, accumulated one after the other into the same chain */
    uint32_t nseg;
    uint8_t nred, red[LOOP_RED]; /* K_FOLD, K_SCATTER */
    uint8_t along;               /* K_SCATTER */
    uint16_t at;                 /* K_SCATTER: operand, an i32 */
    struct kstore *store;
    uint32_t nstore;
    place_id place;
    const char *name; /* node path, for dumps */
};
struct kernel {
    struct arena *arena;
    const char *name;
    struct sxb sx;
    struct ext axis[LOOP_AXES];
    char axis_name[LOOP_AXES];
    uint8_t naxis;
    struct kbuf *buf;
    uint32_t nbuf;
    struct krng *rng;
    uint32_t nrng, nscalar;
    struct kstage *stage;
    uint32_t nstage;
    place_id *place; /* members, ordered, clones included */
    uint32_t nplace;
};

/* ---- nests ----
 *
 * In a statement SX_ARG(i) is its load i, SX_AXIS(a) nest axis a, SX_RNG(r, e) a word of
 * nest draw r. A FOR_GRID stands only at the root of a stage; its axis runs over the units
 * lo..hi of the call. UNROLL and VEC run from 0 to the constant hi by 1; REG tiles are
 * indexed by constants and their axes alone.  Lanes of a VEC are independent: none reads
 * what another one writes.  Where a guard of a for fails, that iteration is skipped.
 * Loops one after the other may share an axis number; nested ones do not.
 */

enum for_kind { FOR_GRID, FOR_SEQ, FOR_UNROLL, FOR_VEC };
enum tile_space { TILE_REG, TILE_STACK };
struct tile {
    const char *name;
    uint8_t space, dtype, rank;
    int32_t dim[4];
};
struct nload { /* SX_ARG(i) of a statement */
    bool tile;
    uint16_t id;         /* buffer or tile */
    struct index index;  /* flat, over nest axes */
    struct guard *guard; /* where any fails: 0 */
    uint8_t nguard;
    struct pick pick; /* of buffers */
};
struct nrng {
    uint16_t scalar;
    struct index sample;
};
/* S_FETCH: what lies at dst's index will be read soon; a hint, and it may lie outside. */
enum stmt_op { S_FOR, S_TILE, S_SET, S_ACC, S_FETCH };
struct stmt {
    uint8_t op;
    place_id place;
    /* S_FOR: axis from lo to min(hi, bound) by step; a unit of the grid is one value of the
     * axis */
    uint8_t axis, kind;
    union {
        struct {
            struct index lo, hi;
        };
        struct index index; /* S_SET, S_ACC, S_FETCH: of dst */
    };
    struct ext bound;  /* b = 0 and c = 0: no bound */
    int32_t bound_div; /* bound is ceil(bound / bound_div); 1 if plain */
    int32_t step;
    struct guard *guard; /* the body runs while all hold (rows beyond the batch) */
    uint8_t nguard;
    struct stmt **body;
    uint32_t nbody;
    /* S_TILE: the tile comes to life here, every element `init` (or left undefined) */
    uint16_t tile;
    bool has_init;
    double init;
    /* S_SET, S_ACC: dst = value; or dst = fma(value, value2, dst), or dst + value where
     * value2 is 0 */
    bool dst_tile;
    uint16_t dst;
    struct pick pick; /* of buffers; the same for all lanes */
    sx_id value, value2;
    struct nload *load;
    uint32_t nload;
};
struct nstage {       /* stages of one nest are separated by a barrier */
    struct ext units; /* grid extent: units_times * ceil(units / units_div) */
    int32_t units_div, units_times;
    struct stmt *root;    /* a FOR_GRID, or a statement without grid: one unit */
    uint64_t stack_bytes; /* STACK tiles of one thread */
};
struct nest {
    struct arena *arena;
    const char *name;
    struct sxb sx;
    uint8_t naxis;
    char axis_name[NEST_AXES][8];
    struct kbuf *buf; /* the kernel's, then private scratch (packed panels, partials) */
    uint32_t nbuf, nprivate;
    struct nrng *rng;
    uint32_t nrng, nscalar;
    struct tile *tile;
    uint32_t ntile;
    struct nstage *stage;
    uint32_t nstage;
    bool borders; /* a convolution leaves out what lies outside of its image: to be told; no
                     part of the text */
};

struct kernel *kernel_copy(const struct kernel *k, struct arena *a); /* all of it */

/* NULL or what is wrong. Batches 0, 1, tile-1, tile, tile+1 are tried. */
const char *kernel_validate(const struct kernel *k, struct arena *a);
const char *nest_validate(const struct nest *n, struct arena *a);
/*
 * What the statements do to each buffer: by buffer NEST_WRITES if one stores to it, and
 * NEST_READS if one reads it that no store to it comes before.
 */
enum { NEST_READS = 1, NEST_WRITES = 2 };
void nest_access(const struct nest *n, uint8_t *access);
char *kernel_print(const struct kernel *k, struct arena *a);
char *nest_print(const struct nest *n, struct arena *a);
struct kernel *kernel_parse(struct arena *a, const char *text, struct diag_sink *ds,
                            uint32_t file);
struct nest *nest_parse(struct arena *a, const char *text, struct diag_sink *ds,
                        uint32_t file);

/*
 * Choose a template (map, row, contract, chunked) by the kernel's stages and make the nest.
 * Never fails on a valid kernel.  All of the nest lives in `a`.
 */
struct nest *nest_schedule(const struct kernel *k, const struct target *t, struct arena *a);

/*
 * What one unit of a stage costs, in vector operations, roughly: threads share out units by
 * it. Never 0.
 */
uint32_t nest_unit_cost(const struct nest *n, uint32_t stage, const struct target *t,
                        int64_t batch);

/* Operations of its code, roughly. */
double nest_code_size(const struct nest *n, const struct target *t);

/*
 * Bytes of the nest's private buffers at a batch, laid one after the other, 64-aligned.
 * Floats are counted with 4 bytes here and in stack_bytes: the double interpreter needs
 * twice as much of all.
 */
uint64_t nest_private_bytes(const struct nest *n, int64_t batch_max, uint64_t *offset);

/*
 * A nest whose first stage only packs weights (buffers without batch that it does not
 * write), in two: `pack` has that stage, `rest` all others.  Buffers of pack are n's
 * buffers of[]: some it reads, and private ones, which it writes.  Buffers of rest: n's but
 * the private ones, then those that pack writes, in its order, then its own private ones.
 * All of it lives in `a`, but pack in `of_pack`.  false: it has no such stage.
 */
struct hoisted {
    struct nest *pack, *rest;
    uint16_t *of;
};
bool nest_hoist(const struct nest *n, struct arena *a, struct arena *of_pack,
                struct hoisted *out);

/* SHA-256 of the text without names: equal kernels make equal nests by one target's row. */
void kernel_key(const struct kernel *k, uint8_t key[32]);
/* SHA-256 of the canonical text without names, target row and back end: equal nests share
 * code. */
void nest_key(const struct nest *n, const struct target *t, const char *backend,
              uint8_t key[32]);

#endif
