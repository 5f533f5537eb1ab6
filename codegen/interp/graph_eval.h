/*
 * The graph as it is defined: every value of a graph computed from its leaves, slowly.
 *
 * In f32 mode sums run in their recorded order and scalar expressions as the kernels
 * compute them, so that what generated code stores can be compared to the bit; host scalars
 * are always double.
 */
#ifndef HYP_CODEGEN_INTERP_GRAPH_EVAL_H
#define HYP_CODEGEN_INTERP_GRAPH_EVAL_H

#include "compiler/ir/graph.h"

struct graph_eval {
    const struct graph *graph;
    int64_t batch;
    bool f32; /* else everything in double */
    uint64_t seed;
    void *cx;
    /* The n elements of a leaf, row-major; integers and bools as exact doubles. Never asked
     * for a version that has a `def`. */
    void (*leaf)(void *cx, const struct leaf *l, int64_t n, double *out);
    uint64_t (*step)(void *cx, region_id region); /* the draw step; NULL: 0 */
};

/*
 * The elements of each wanted value, in `a`.  False: the graph holds an op that has to be
 * differentiated or built first (grad, loop).
 */
bool graph_eval(const struct graph_eval *e, struct arena *a, const value_id *want,
                uint32_t n, double **out);

#endif
