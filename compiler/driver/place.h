/* Where a node of the graph stands in the model, for people. */
#ifndef HYP_COMPILER_DRIVER_PLACE_H
#define HYP_COMPILER_DRIVER_PLACE_H

#include "compiler/ir/graph.h"
#include "runtime/plan.h"

/* Its strings live as long as the graph and the sink. */
struct hyp_place place_of(const struct graph *g, const struct diag_sink *ds, place_id id);
/* "gradient of D.z.f2 (model.yaml:22)" */
const char *place_text(const struct graph *g, const struct diag_sink *ds, place_id id,
                       struct arena *a);

/* Behind n places, if it is not one of them; how many there are then. */
uint32_t place_once(struct hyp_place *list, uint32_t n, struct hyp_place p);

/* Several places told together: every name once, in the order in which they came, with the
 * lines that it came with. */
struct place_name {
    const char *name, **line;
    uint32_t n, cap;
};
struct place_names {
    struct arena *a;
    struct place_name *item;
    uint32_t n, cap;
};
/* Both are copied; an empty line is none. */
void place_add(struct place_names *s, const char *name, const char *line);
/* "std/layers.yaml:26, :30, std/noise.yaml:24": a file that repeats is left out. */
const char *place_lines(const struct place_names *s, uint32_t i);

#endif
