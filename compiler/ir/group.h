/*
 * Fused groups: the nodes of one region that one kernel computes (compiler-core: fusion).
 *
 * fuse() looks at one region and the roots that are wanted of it, decides what every live
 * node is (a host scalar, an alias of another value's storage, or work), and groups the
 * work.
 */
#ifndef HYP_COMPILER_IR_GROUP_H
#define HYP_COMPILER_IR_GROUP_H

#include "compiler/ir/graph.h"
#include "compiler/ir/target.h"

#define NO_GROUP   UINT32_MAX
#define GROUP_ROWS 24 /* rows of a unit, and of a chunk of a sum down the rows */

enum node_role {
    ROLE_DEAD,
    ROLE_HOST,    /* rank-0 arithmetic over settings and counters: evaluated by the host in
                     double */
    ROLE_ALIAS,   /* a leaf, or a view: lies in another value's storage */
    ROLE_COMPUTE, /* part of a kernel */
    ROLE_INLINE   /* a map that every kernel which reads it computes for itself */
};
enum group_kind {
    GROUP_MAP,      /* maps, sums along the rows of their space and down its columns */
    GROUP_CONTRACT, /* sums of products over one space, and what is attached to them */
    GROUP_CHUNK     /* sums in chunks whose space is the output's */
};
enum fuse_kind { /* what a decision is about */
#define FUSE_KIND(id, ...) FUSE_##id,
#include "compiler/ir/fuse.def"
                 FUSE_KIND_COUNT
};
enum fuse_why { /* why a merge was refused */
#define FUSE_WHY(id, ...) FUSE_##id,
#include "compiler/ir/fuse.def"
                FUSE_WHY_COUNT
};
struct fuse_row { /* of fuse.def */
    const char *word, *sentence;
    const char *change; /* of a reason: what would change it */
};
extern const struct fuse_row fuse_kind_row[FUSE_KIND_COUNT], fuse_why_row[FUSE_WHY_COUNT];

struct group {
    uint8_t kind;
    struct type main; /* the space: every member's value lines up with it (group_align) */
    node_id *node;    /* ascending */
    uint32_t n, cap;
};
struct fuse_decision {
    uint8_t kind, why;          /* enum fuse_kind, fuse_why */
    node_id producer, consumer; /* inlined: consumer is the first reader */
    double before, after;       /* seconds by the model; 0 where it was not asked */
    double bytes;               /* not stored, not read again */
    double most; /* refused without asking: seconds it can save at most; else 0 */
};
struct fusion {
    const struct graph *g;
    region_id region;
    const struct root **root; /* wanted, in order */
    uint32_t nroot;
    uint8_t *role;  /* by node */
    bool *host;     /* by node: host arithmetic, also where a kernel has to store it */
    value_id *base; /* by value: the value whose storage it lies in (itself if none) */
    bool *stored;   /* by value: somebody outside its group reads it */
    bool *twin; /* by leaf: its update must not be in place (old and new are both needed) */
    uint32_t *group_of; /* by node */
    struct group *group;
    uint32_t ngroup, cgroup;
    uint32_t *order, norder; /* groups, in launch order */
    uint32_t *level;         /* by group: groups of one level are one launch */
    double *seconds;         /* by group, by the cost model */
    double *moved;           /* by group: bytes read and written */
    struct fuse_decision *log;
    uint32_t nlog, clog;
};

struct fuse_options {
    bool off;                                       /* every node its own kernel */
    const struct target *target;                    /* whose row prices kernels */
    int64_t batch;                                  /* that they are priced at */
    bool (*wanted)(void *cx, const struct root *r); /* NULL: all roots of the region */
    void *cx;
};
struct fusion *fuse(const struct graph *g, region_id region, const struct fuse_options *o,
                    struct arena *a);

/*
 * How a value lies in a group's space [rows x columns...] (rows: the batch): at every
 * point, one for each row, or one for each setting of the columns.  Rows may be many for a
 * sample, one for each of its places: those are the last dims of the space.  to[i]: the
 * space's dim that dim i of t is, -1 where the extent is 1.
 */
enum group_at { AT_NONE, AT_POINT, AT_ROW, AT_COL };
enum group_at group_align(const struct type *main, const struct type *t,
                          int8_t to[HYP_RANK]);
/* Are there rows for every place, if this is one for each row? */
bool group_has_places(const struct type *row);
bool group_same_space(const struct type *x, const struct type *y);

/* Sums, and the largest of a row with its number, that a walk over the space of their
 * operand can compute. */
enum group_sum {
    SUM_OTHER,
    SUM_ROW, /* along the whole row: by lanes, or, of rows of places, in a chain each */
    SUM_COL  /* down the rows, in chunks of GROUP_ROWS */
};
enum group_sum group_sum_kind(const struct graph *g, const struct node *n);

/*
 * Can a kernel of `reader` compute its operands that lie at v, the output of a map, instead
 * of reading them?  base: by value, the value whose storage it lies in.
 */
bool group_may_compute(const struct graph *g, const value_id *base, node_id reader,
                       value_id v);
/* Is the reader a sum that meets its operands through a window, most elements many times?
 */
bool group_reads_window(const struct graph *g, node_id reader);

#endif
