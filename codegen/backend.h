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
struct code; /* loaded code; owns everything the stages need */

struct loaded_stage {
    hyp_stage_fn *fn;
    const void *self;
};

struct backend {
    const char *name; /* "llvm", "interp", "interp64" */
    bool f64;         /* every F32 buffer holds doubles */
    /*
     * Compile and load `n` different nests on up to `threads` threads.  stage[] receives
     * all stages of nest 0, then of nest 1, ...  NULL: reported (E9999: a nest it cannot
     * compile is our fault).
     */
    struct code *(*load)(struct nest *const *nest, uint32_t n, const struct target *target,
                         unsigned threads, struct diag_sink *ds,
                         struct loaded_stage *stage);
    void (*free)(struct code *code);
};

extern const struct backend backend_interp, backend_interp64;
#ifdef HYP_WITH_LLVM
extern const struct backend backend_llvm;
/* The target row for this machine; NULL below the least (x86-64-v3, NEON). */
const struct target *llvm_host_target(void);
#endif

#endif
