/* Between the files that build a plan. */
#ifndef HYP_COMPILER_DRIVER_PLAN_INTERNAL_H
#define HYP_COMPILER_DRIVER_PLAN_INTERNAL_H

#include "compiler/driver/plan_build.h"

struct builder {
    struct program *program;
    const struct graph *g;
    struct arena *a;
    struct diag_sink *ds;
    const struct target *target;
    const struct plan_options *opt;
    struct hyp_plan *plan;
    struct plan_ir *ir;
    struct host_builder host;
    struct scheduled **scheduled;
    uint32_t nscheduled, cscheduled;
    struct hash_index by_kernel, by_nest; /* of `scheduled`; of the plan's kernels */
    struct scheduled **pack;              /* packings, each once */
    uint32_t npack, cpack;
    struct hash_index by_pack;
    uint32_t cbuffer, ckernel, centry, cphase, cparam, cnest, cwhat, ctuned, cfusion,
        cmemory, cgroup;
    uint32_t *leaf_buffer; /* by version-0 leaf: 1 + plan buffer */
    uint64_t row_max;      /* bytes of the longest row, for slack */
    bool failed;
};

/* plan_build.c: buffers */
uint64_t plan_align(uint64_t n); /* to 64 */
uint8_t plan_dtype(uint8_t dtype);
uint64_t plan_type_bytes(const struct builder *b, const struct type *t);
uint64_t plan_sample_bytes(const struct builder *b, const struct type *t); /* one more */
void plan_copy_dims(struct hyp_ext *to, const struct type *t);
uint32_t plan_new_buffer(struct builder *b, uint8_t segment, uint8_t dtype, uint64_t offset,
                         uint64_t bytes, uint64_t sample_bytes);
/* A buffer that lives for good at the end of a segment. */
uint32_t plan_append_buffer(struct builder *b, uint8_t segment, const struct type *t);
/* Where a state or the batch's data lie, whatever the leaf's version. */
uint32_t plan_leaf_buffer(struct builder *b, leaf_id id);
/* The program's phase of this region, or NULL. */
const struct prog_phase *plan_phase_of(const struct program *p, region_id r);

/* plan_kernel.c: what is equal is one */
struct scheduled {
    struct nest *nest;
    /* The same in two, where its first stage packs weights (nest_hoist()); else NULL. */
    struct scheduled *pack, *rest;
    const uint16_t *of;               /* by buffer of pack: the nest's */
    bool packs;                       /* it is such a first stage */
    const struct tuned_kernel *tuned; /* what schedules it in the table's place, or NULL */
    uint8_t from[32], key[32];        /* kernel_key() of what it was made of, nest_key() */
    uint32_t kernel;                  /* 1 + the plan's; 0: none yet */
};
/* The nest of a kernel, or of an equal one that came before. */
struct scheduled *plan_nest(struct builder *b, const struct kernel *k);
/* The plan's kernel of that nest, or of an equal one. */
uint32_t plan_kernel(struct builder *b, struct scheduled *s, const struct lowered *low);

/* Region -> plan phase (with probes, where there are two programs), for probes and the
 * schedule. */
struct phase_map {
    uint32_t *plain, *probed; /* by region: 1 + phase */
    uint32_t **variant;       /* by region and variant, from 1: likewise */
};

/* plan_phase.c: roots of the region as a phase program; its number. */
struct phase_wish {
    const char *name;
    bool no_probes;
    uint32_t variant; /* of the phase: root.variant - 1 */
    uint32_t like;    /* 1 + the phase whose places for probes it shares; 0: none */
};
uint32_t plan_phase(struct builder *b, region_id region, const struct phase_wish *wish);

/* plan_tables.c: what the runtime reads of a model apart from its phases */
void plan_settings(struct builder *b);
void plan_sources(struct builder *b);
void plan_schedule(struct builder *b, const struct phase_map *m);
/* probes, what plateaus watch, what is dreamt */
void plan_probes(struct builder *b, const struct phase_map *m);

#endif
