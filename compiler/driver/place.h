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

#endif
