/* Canonical forms, for the files of the canon pass. */
#ifndef HYP_COMPILER_PASSES_CANON_H
#define HYP_COMPILER_PASSES_CANON_H

#include "compiler/ir/graph.h"

/*
 * The read-out of f at `port` as a canonical value.  opaque[i]: operand i must stay what it
 * is (somebody names the node).
 */
value_id canon_form(struct graph *g, const struct form *f, uint8_t port, const value_id *in,
                    const bool *opaque, const struct type *out);

#endif
