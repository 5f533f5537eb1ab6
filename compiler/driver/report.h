/* What a compilation decided, for people: `hypno show --stage plan|fused|loop` and `hypno
 * explain`. */
#ifndef HYP_COMPILER_DRIVER_REPORT_H
#define HYP_COMPILER_DRIVER_REPORT_H

#include <stdio.h>

#include "compiler/driver/compile.h"

/* `only`: the name of a phase; NULL: all. */
bool report_wanted(const struct compiled *c, uint32_t phase, const char *only);
/* Segments, phases, launches, kernels. */
void report_plan(const struct compiled *c, const char *only, FILE *out);
/* Kernels before scheduling, with their members. */
void report_fused(const struct compiled *c, const char *only, FILE *out);
/* Nests. */
void report_loops(const struct compiled *c, const char *only, FILE *out);
/* Every decision of fusion, one JSON object a line. */
void report_fusion_log(const struct compiled *c, const char *only, FILE *out);

#endif
