/* Between the files of the driver. */
#ifndef HYP_COMPILER_DRIVER_COMPILE_INTERNAL_H
#define HYP_COMPILER_DRIVER_COMPILE_INTERNAL_H

#include "compiler/driver/compile.h"

/* The models of metrics that learn, nested in c's plan.  False: reported. */
bool compile_metrics(struct compiled *c, const struct compile_options *o);
/* Sources of a kind that brings its own classes: they may be read while compiling. */
bool metrics_read_classes(const char *kind);

uint64_t plan_bytes(const struct hyp_plan *p); /* of all its segments */
/*
 * The plan of c's program, in at most `limit` bytes (0: any number): recomputing more than
 * pays where that is what it takes.  NULL: reported (E0901).
 */
struct hyp_plan *plan_within(struct compiled *c, const struct plan_options *o,
                             struct pass_options *pass, uint64_t limit);

#endif
