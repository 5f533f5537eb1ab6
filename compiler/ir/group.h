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

#define NO_GROUP UINT32_MAX

enum node_role {
    ROLE_DEAD,
    ROLE_HOST,   /* rank-0 arithmetic over settings and counters: evaluated by the host in
                    double */
    ROLE_ALIAS,  /* a leaf, or a view: lies in another value's storage */
    ROLE_COMPUTE /* part of a kernel */
};
enum group_kind { GROUP_MAP, GROUP_ROW, GROUP_CONTRACT, GROUP_CHUNK };
enum fuse_why { /* why a merge was refused, or what it gained; texts in fuse.c's table */
                FUSE_OK,
                FUSE_CYCLE,
                FUSE_SPACE,
                FUSE_ANCHOR,
                FUSE_ROW,
                FUSE_ORDER,
                FUSE_ALIAS,
                FUSE_BUDGET,
                FUSE_PINNED,
                FUSE_WHY_COUNT
};
struct group {
    uint8_t kind;
    struct type main; /* the space: every member's value lines up with it (map_align) */
    node_id *node;    /* ascending */
    uint32_t n, cap;
};
struct fuse_decision {
    node_id producer, consumer;
    uint8_t why;  /* enum fuse_why */
    double bytes; /* not stored, not read again */
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
    struct fuse_decision *log;
    uint32_t nlog, clog;
};

struct fuse_options {
    bool off;                                       /* every node its own kernel */
    bool (*wanted)(void *cx, const struct root *r); /* NULL: all roots of the region */
    void *cx;
};
struct fusion *fuse(const struct graph *g, region_id region, const struct fuse_options *o,
                    struct arena *a);
const char *fuse_why_name(enum fuse_why why);

#endif
