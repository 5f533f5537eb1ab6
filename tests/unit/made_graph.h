/* A graph that a test makes by hand: a host region, and a phase that what is added goes to.
 */
#ifndef HYP_TESTS_UNIT_MADE_GRAPH_H
#define HYP_TESTS_UNIT_MADE_GRAPH_H

#include "compiler/ir/group.h"
#include "compiler/ir/program.h"
#include "runtime/base/arena.h"

enum { MADE_WEIGHTS = 16 };

struct made {
    struct arena *a;
    struct program p;
    struct graph *g;  /* p's */
    struct fusion *f; /* where the test fuses it */
    unsigned nleaf, nroot;
    value_id w[MADE_WEIGHTS]; /* where the test notes its weights */
    unsigned nw;
};

struct made *made_new(void);
void made_free(struct made *m);
/* The same for cmocka. */
int made_set_up(void **state);
int made_tear_down(void **state);

/* f32[n, k], or f32[k] of rank 1; of data the first extent is the batch. */
value_id made_leaf(struct made *m, enum leaf_what what, unsigned rank, int32_t n,
                   int32_t k);
/* Maps that are expressions of their own. */
value_id made_op1(struct made *m, enum sx_op op, value_id x);
value_id made_op2(struct made *m, enum sx_op op, value_id x, value_id y);

#endif
