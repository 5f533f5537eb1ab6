/*
 * Recompute or store: what a phase keeps of its forward part (compiler-core, section 6).
 */
#ifndef HYP_COMPILER_PASSES_REMAT_H
#define HYP_COMPILER_PASSES_REMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler/passes/mincut.h"

/* A value that the rest may need: keep it, or compute it again from its operands. */
struct remat_choice {
    int64_t save, comp; /* comp: MINCUT_NEVER where it cannot be computed again */
    bool needed;        /* the rest reads it */
    uint32_t operand0, noperand;
    bool recompute; /* result; a choice neither recomputed nor kept has both false */
    bool keep;
};

/*
 * The cheapest way to have all that is needed, operands of what is recomputed included;
 * equally cheap values are kept.  choice[i]'s operands are numbers of other choices, in
 * `operand`; they must not form a cycle.  Returns its price.
 */
int64_t remat_cut(struct remat_choice *choice, uint32_t n, const uint32_t *operand,
                  struct arena *a);

#endif
