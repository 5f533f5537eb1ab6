/*
 * From a differentiated program to a plan: fuse, lower, schedule, plan memory, phase by
 * phase.
 */
#ifndef HYP_COMPILER_DRIVER_PLAN_BUILD_H
#define HYP_COMPILER_DRIVER_PLAN_BUILD_H

#include "codegen/backend.h"
#include "codegen/loop/loop.h"
#include "codegen/loop/lower.h"
#include "compiler/driver/tuned.h"
#include "compiler/ir/group.h"
#include "compiler/ir/program.h"
#include "runtime/base/hash.h"

struct plan_life {   /* of something in the arena of a phase */
    value_id value;  /* 0: a kernel's own, what is packed, or a state kept for its commit */
    uint32_t buffer; /* of the plan; UINT32_MAX: a kernel's own */
    uint32_t entry;  /* 1 + whose own it is, or who packs it; else 0 */
    uint32_t first, last; /* launches of the phase, from 0, inclusive */
    uint64_t offset, bytes;
};
struct plan_memory { /* of one phase */
    struct plan_life *life;
    uint32_t n, nlaunch;
};

struct plan_ir {
    struct arena *arena;
    const struct program *program;
    const struct target *target;
    uint32_t *leaf_buffer; /* by leaf: 1 + buffer of the plan */
    struct nest **nest;    /* by plan kernel */
    struct kernel *
        *kernel; /* likewise: what the nest was made of; NULL: it packs weights */
    const struct tuned_kernel **tuned; /* likewise: its variant; NULL: the table's choice */
    uint32_t
        *group; /* by plan entry: 1 + group of its phase's fusion; 0: a copy or packing */
    struct fusion **fusion;     /* by plan phase */
    struct plan_memory *memory; /* likewise */
    uint32_t nphase;
};
struct plan_options {
    bool fuse_off, f64;
    bool whole;                /* kernels pack for themselves */
    const struct tuned *tuned; /* NULL: the table chooses all schedules */
    uint32_t threads;          /* of which it knows */
};
/* NULL: reported.  No code yet: every stage's fn is NULL. Lives in `a`. */
struct hyp_plan *plan_build(struct program *p, const struct target *t,
                            const struct plan_options *o, struct arena *a,
                            struct diag_sink *ds, struct plan_ir *ir);

/* Host scalars (host.c): values of the graph's host kind as a straight-line program in
 * double. */
struct host_builder {
    const struct program *program;
    struct hyp_plan *plan;
    struct arena *arena;
    uint32_t *slot;    /* by value: 1 + host slot */
    struct host_memo { /* by expression */
        const struct node *node;
        uint32_t slot;
    } * memo;
    struct hash_index sinsts, counters; /* of the plan's tables */
    uint32_t csinst, ccounter, cmemo;
};
uint32_t host_slot(struct host_builder *h, value_id v);
uint32_t host_counter(struct host_builder *h,
                      const char *name); /* index into plan->counter */

#endif
