/*
 * Inside fusion.  Files: fuse.c (candidates, phases, merging, the log), fuse_roles.c (what
 * each node is), fuse_edges.c (what waits for what, who reads what), fuse_order.c
 * (positions, detours), fuse_launch.c (launches, and their order), fuse_legal.c (what may
 * share a kernel), fuse_work.c (what a kernel does) and fuse_cost.c (what that costs),
 * fuse_inline.c, fuse_heap.c.
 */
#ifndef HYP_COMPILER_PASSES_FUSE_H
#define HYP_COMPILER_PASSES_FUSE_H

#include "compiler/ir/group.h"
#include "compiler/passes/fuse_cost.h"
#include "runtime/base/arena.h"

enum {
    NODE_MAX = 64,           /* members of a group, and maps inlined into them */
    OPERAND_MAX = 96,        /* operands of all members */
    ANCHOR_MAX = 4,          /* sums of products that one walk computes */
    ROW_MAX = 4096,          /* elements of a row that stays in a unit's scratch */
    ROW_CONTRACT_MAX = 1024, /* the same where 24 rows of a product stay */
    ROW_PLACES_MAX = 1024,   /* the same where those of a vector of places stay */
    SEARCH_MAX = 4096        /* groups that a search for a detour looks at */
};

/* A list of node ids, linked through an array that grows. */
struct fuse_link {
    node_id node;
    uint32_t next; /* 0: the end */
};
struct fuse_cx {
    const struct graph *g;
    struct fusion *f;
    struct arena *a, *scratch; /* of the result; gone when it is made */
    const struct target *t;
    int64_t batch;
    struct fuse_link *link;
    uint32_t nlink, clink;
    uint32_t *succ, *pred; /* by node: who waits for it, whom it waits for */
    uint32_t *reader;      /* by base value: nodes that read it, through views */
    uint32_t *node_mark, *group_mark, stamp;       /* for searches */
    uint32_t *value_mark, *pack_mark, value_stamp; /* by base value, for surveys */
    uint32_t *parent;                              /* of merged groups */
    uint32_t *at, *pos; /* groups in an order that all edges follow, and its inverse */
    uint32_t npos;
    double *seconds;               /* by group; < 0: not known */
    double *moved;                 /* by group, with its seconds: bytes read and written */
    uint32_t *pulled;              /* by group: maps inlined into its members, at most */
    uint32_t *change;              /* by group: how often it changed */
    uint32_t *prims;               /* by node: 1 + cost of its expression; 0: not known */
    uint8_t *in_level, *out_level; /* by operand and value: enum mem_level */
    bool *is_root;                 /* by base value */
    bool *updates;                 /* by node: it overwrites what others read before */
};

/* fuse_roles.c */
void fuse_roles(struct fuse_cx *c, const struct fuse_options *o);

/* fuse_edges.c */
void fuse_edges(struct fuse_cx *c);
void fuse_add_edge(struct fuse_cx *c, node_id from, node_id to);
#define EACH_LINK(c, i, head) for (uint32_t i = (head); i; i = (c)->link[i].next)
/*
 * The operands of node id that lie in storage, those of the maps inlined into it in their
 * place: `reader` is id or such a map.  fn may stop it by false.
 */
typedef bool fuse_read_fn(struct fuse_cx *c, void *cx, node_id reader, unsigned operand);

bool fuse_reads(struct fuse_cx *c, node_id id, fuse_read_fn *fn, void *cx);

/* fuse_order.c */
void fuse_start_order(struct fuse_cx *c);
/* Is there a path between the two through a third, or, if `direct` counts, at all? */
bool fuse_detour(struct fuse_cx *c, uint32_t p, uint32_t q, bool direct);
/* q becomes part of p: no detour, and fuse_detour was the last search. */
void fuse_join_order(struct fuse_cx *c, uint32_t p, uint32_t q);
void fuse_compact(struct fuse_cx *c);

/* fuse_launch.c: level and order of every group */
void fuse_launches(struct fuse_cx *c);

/* fuse_legal.c */
bool fuse_is_contract(const struct graph *g, const struct node *n); /* a sum of products */
bool fuse_sums_rows(const struct fuse_cx *c, uint32_t group);
/* What sums along rows of places give, where maps walk these, too; NULL: there are none, or
 * register tiles walk them.  q: NO_GROUP, or the second of the two. */
const struct type *fuse_rows_walked(const struct fuse_cx *c, uint32_t p, uint32_t q);
/* May q's members join p's? sibling: they are two contractions that share an operand. */
enum fuse_why fuse_may_join(struct fuse_cx *c, uint32_t p, uint32_t q, bool sibling);
/* Whose space a group of both has: p's or q's. */
uint32_t fuse_host(const struct fuse_cx *c, uint32_t p, uint32_t q);

/* fuse_work.c */
double fuse_bytes(const struct fuse_cx *c, value_id v);
void fuse_find_levels(struct fuse_cx *c);
double fuse_group_seconds(struct fuse_cx *c, uint32_t p);
/* Of one kernel of both; *bytes: how much less it moves than the two. */
double fuse_joint_seconds(struct fuse_cx *c, uint32_t p, uint32_t q, double *bytes);
double fuse_lone_seconds(struct fuse_cx *c, node_id id); /* of a kernel of one node */
/* What merging the two can save at most: the value neither stored nor read, a launch less.
 */
double fuse_most_seconds(struct fuse_cx *c, node_id p, node_id consumer, bool sibling);
bool fuse_is_worth(double before, double after, double least);

/* fuse_inline.c: maps that all their readers compute for themselves */
void fuse_inline(struct fuse_cx *c);

/* fuse.c */
uint32_t fuse_find(struct fuse_cx *c, uint32_t grp);
uint32_t fuse_group_of(struct fuse_cx *c, node_id id); /* NO_GROUP: none */
void fuse_note(struct fuse_cx *c, const struct fuse_decision *d);

/* fuse_heap.c: largest key first, smaller id first among equals */
struct fuse_item {
    double key;
    uint32_t id;
};
struct fuse_heap {
    struct fuse_item *item;
    uint32_t n, cap;
};
void fuse_push(struct fuse_heap *h, struct arena *a, struct fuse_item x);
bool fuse_pop(struct fuse_heap *h, struct fuse_item *x);

#endif
