/*
 * What programs are compiled for: one row per target in target.def.  Schedulers take vector
 * widths and tiles from it, the cost model of fusion its rates.
 */
#ifndef HYP_COMPILER_IR_TARGET_H
#define HYP_COMPILER_IR_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#define KERNEL_AXES    31 /* of all spaces and sums of a kernel together */
#define KERNEL_REDUCED 12 /* of one sum or fold */

enum mem_level { MEM_L2, MEM_L3, MEM_DRAM, MEM_LEVELS };

struct target {
    const char *name;              /* "avx2", ... */
    int32_t vec;                   /* floats in a vector register */
    int32_t mr, nr;                /* register tile: rows divide 24 */
    int32_t direct_k, direct_step; /* below these, what lies side by side is not packed */
    int32_t flight;                /* operations that a core has under way */
    int32_t border_work; /* least products of an image's element for which the zeros around
                            it are left out */
    int32_t unit_rows;   /* 24 */
    int32_t l1, l2, l3;  /* bytes */
    int32_t t_ref;       /* threads that order-changing choices and prices are made for */
    double flops;        /* f32 flop/s of one thread, nominal */
    double prims;        /* primitives of scalar expressions a second, one thread */
    double bandwidth[MEM_LEVELS]; /* bytes/s of t_ref threads together */
    double launch;                /* seconds: a barrier and its skew */
    /* What is known of the run that schedules are made for; 0: nothing, maybe few samples
     */
    int64_t batch;
    uint32_t threads;
};
/* Has a core room for a chain of operations that wait, and for what passes them? */
static inline bool target_runs_ahead(const struct target *t)
{
    return t->flight >= 320;
}
/* The rows of target.def, in order; NULL past the last. */
const struct target *target_at(unsigned i);
const struct target *target_find(const char *name);
const struct target *target_default(void);

/* Rows of variant.def: other schedules of what the target's row decides. */
struct variant {
    const char *name, *doc;
    void (*alter)(struct target *t);
};
extern const struct variant target_variant[];
extern const unsigned target_nvariant;
/* The row as the variant of that name has it; false: there is none for this target. */
bool target_vary(const struct target *t, const char *name, struct target *out);

#endif
