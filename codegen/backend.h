/*
 * A back end: nests in, callable stages out.  One const struct per back end; nobody asks
 * its name.
 */
#ifndef HYP_CODEGEN_BACKEND_H
#define HYP_CODEGEN_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/plan.h"

struct nest;
struct target;
struct diag_sink;
struct cache;
struct code; /* loaded code; owns everything the stages need */

struct loaded_stage {
    hyp_stage_fn *fn;
    const void *self;
};

/* What to compile and load, and how. */
struct load_job {
    struct nest *const *nest;
    const uint8_t *const *key; /* nest_key() of each; NULL: it is worked out */
    uint32_t n;
    const struct target *target;
    unsigned
        threads; /* at most so many compile, 0 is 1; the result does not depend on it */
    struct cache *cache; /* of compiled nests; NULL: none */
};

struct backend {
    const char *name; /* "llvm", "interp", "interp64" */
    bool f64;         /* every F32 buffer holds doubles */
    /*
     * stage[] receives all stages of nest 0, then of nest 1, ...; equal nests share code.
     * *compiled (may be NULL): how many had to be compiled.  NULL: reported (E9999: a nest
     * it cannot compile is our fault).
     */
    struct code *(*load)(const struct load_job *job, struct diag_sink *ds,
                         struct loaded_stage *stage, uint32_t *compiled);
    void (*free)(struct code *code);
};

extern const struct backend backend_interp, backend_interp64;
#ifdef HYP_WITH_LLVM
extern const struct backend backend_llvm;
/* The target row for this machine; NULL below the least (x86-64-v3, NEON). */
const struct target *llvm_host_target(void);
#endif

#endif
