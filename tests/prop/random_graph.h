/*
 * Seeded random graphs: maps, forms (products, convolutions, window sums, slices, flips),
 * folds, gathers and scatters over sample and shared values of odd sizes.  One seed, one
 * graph.
 */
#ifndef HYP_TESTS_PROP_RANDOM_GRAPH_H
#define HYP_TESTS_PROP_RANDOM_GRAPH_H

#include "codegen/interp/graph_eval.h"
#include "compiler/ir/program.h"

struct random_options {
    unsigned nodes; /* about as many values; 0: 14 */
    bool smooth;    /* nothing with kinks or jumps, no integers: for difference quotients */
    bool no_windows; /* no convolutions, pools or other forms with overlapping windows */
    bool computed;   /* many convolutions, whose operands maps compute */
    bool places;     /* many norms along one of several axes */
    int max_elems;   /* of a value at batch 5; 0: 400 */
};
struct rng {
    uint64_t state;
};
uint32_t rng_below(struct rng *r, uint32_t n);

/*
 * A program of one phase (region "phase") whose roots are named outputs "o0", "o1", ...;
 * every value is used or a root.
 */
void random_graph(struct arena *a, uint64_t seed, const struct random_options *o,
                  struct program *p);

/* What stands at a convolution's port: data at the first two, filters at the last. */
value_id form_leaf(struct graph *g, const struct form *f, unsigned port);

/* graph_eval with leaves made from their path, in [-1, 1] (integers: 0 to 4). */
struct graph_eval random_eval(const struct graph *g, int64_t batch, bool f32);

/*
 * `fails` says whether the program of a text shows the fault.  Returns the text of a
 * smaller program that still does: roots dropped, nodes replaced by leaves.
 */
char *shrink_graph(struct arena *a, const char *text,
                   bool (*fails)(const char *text, void *cx), void *cx);

#endif
