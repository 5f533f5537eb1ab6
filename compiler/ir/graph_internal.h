/* What the files of compiler/ir share and nobody else includes. */
#ifndef HYP_COMPILER_IR_GRAPH_INTERNAL_H
#define HYP_COMPILER_IR_GRAPH_INTERNAL_H

#include <stdlib.h>

#include "compiler/ir/graph.h"
#include "runtime/base/arena.h"

/* A broken contract of a builder's caller: the front end reports what a model can get
 * wrong. */
#define GRAPH_CHECK(condition) ((condition) ? (void)0 : abort())

/*
 * Append a node, or find the equal one.  `n` gives op, port, comb, nin, nout, missing_zero,
 * attr; region, place and expression are the graph's current ones where they are 0.  `out`
 * has nout types.
 */
node_id graph_add(struct graph *g, const struct node *n, const value_id *in,
                  const struct type *out);
/* Entry 0 unused; returns the new number. */
leaf_id graph_leaf_entry(struct graph *g, const struct leaf *l);

enum sx_type graph_sx_type(uint8_t dtype);
uint8_t graph_dtype_of(uint8_t sx_type);

/* The words of the text form (words.def). */
enum word_table {
    WORDS_leaf_what,
    WORDS_region_kind,
    WORDS_root_why,
    WORDS_place_why,
    WORDS_graph_op,
    WORDS_combiner,
    WORDS_dtype
};
const char *graph_word(enum word_table t, unsigned value); /* NULL: no such value */
bool graph_word_find(enum word_table t, const char *text, size_t n, unsigned *value);

#endif
