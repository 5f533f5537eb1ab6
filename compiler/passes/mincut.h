/*
 * Minimum cuts of directed networks with integer capacities (Dinic's algorithm).
 *
 * Nodes are 0..n-1.  The cut returned is the one nearest to the sink: of equally cheap ones
 * it leaves as many nodes as can be on the source's side.
 */
#ifndef HYP_COMPILER_PASSES_MINCUT_H
#define HYP_COMPILER_PASSES_MINCUT_H

#include <stdbool.h>
#include <stdint.h>

struct arena;
struct mincut;

#define MINCUT_NEVER (INT64_MAX / 4) /* capacity of an edge that is not to be cut */

struct mincut *mincut_new(struct arena *a, uint32_t n);
void mincut_edge(struct mincut *m, uint32_t from, uint32_t to, int64_t capacity);
/*
 * The cut's capacity, at least MINCUT_NEVER if there is none without such edges;
 * at_sink[i]: node i lies on the sink's side.  Once.
 */
int64_t mincut_run(struct mincut *m, uint32_t source, uint32_t sink, bool *at_sink);

#endif
