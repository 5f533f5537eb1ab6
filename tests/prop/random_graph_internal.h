/*
 * Inside the generator of random graphs: random_graph.c has maps, forms, folds and what is
 * made of them; random_graph_layer.c what networks and views are made of;
 * random_graph_window.c windows.  Every maker makes one value of values of the pool, or 0.
 */
#ifndef HYP_TESTS_PROP_RANDOM_GRAPH_INTERNAL_H
#define HYP_TESTS_PROP_RANDOM_GRAPH_INTERNAL_H

#include "runtime/base/arena.h"
#include "tests/prop/random_graph.h"

struct maker {
    struct graph *g;
    struct rng rng;
    const struct random_options *o;
    struct arena *a;
    value_id *pool;
    bool *used;
    uint32_t n, cap, cused;
    unsigned nleaf, nsite;
    region_id region;
};

uint32_t rg_below(struct maker *m, uint32_t n);
void rg_keep(struct maker *m, value_id v);
value_id rg_pick(struct maker *m);
int32_t rg_size(struct maker *m);
value_id rg_leaf(struct maker *m, enum leaf_what what, const struct type *t);
value_id rg_param(struct maker *m, unsigned rank, const struct ext *dim);
value_id rg_product(struct maker *m);
value_id rg_siblings(struct maker *m);
value_id rg_layer(struct maker *m);
value_id rg_normalized(struct maker *m);
value_id rg_places(struct maker *m);
value_id rg_permuted_sum(struct maker *m);
value_id rg_prologue(struct maker *m);
value_id rg_pair_product(struct maker *m);
value_id rg_covered_product(struct maker *m);
value_id rg_slice(struct maker *m);
value_id rg_concat(struct maker *m);
value_id rg_permute(struct maker *m);
value_id rg_flatten(struct maker *m);
value_id rg_retype(struct maker *m);
value_id rg_bury_batch(struct maker *m);
value_id rg_sum_at_once(struct maker *m);
value_id rg_broadcast(struct maker *m);
struct form rg_window_form(struct maker *m, const struct type *t, int32_t *out);
value_id rg_window(struct maker *m);
value_id rg_convolution(struct maker *m);
value_id rg_diagonal(struct maker *m);
value_id rg_image_convolution(struct maker *m);
value_id rg_stride_or_flip(struct maker *m);
bool rg_has_unit_axis(const struct type *t);

#endif
