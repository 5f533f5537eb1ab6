/* What a compilation made, for people: `hypno show --stage plan|fused|loop`. */
#ifndef HYP_COMPILER_DRIVER_REPORT_H
#define HYP_COMPILER_DRIVER_REPORT_H

#include <stdio.h>

#include "compiler/driver/compile.h"

/* `only`: the name of a phase; NULL: all. */
bool report_wanted(const struct compiled *c, uint32_t phase, const char *only);
/* Part of a cycle; its twin with probes and its variants do not count. */
bool report_scheduled(const struct hyp_plan *p, uint32_t phase);
/* Segments, phases, launches, kernels; the arena over time as a chart. */
void report_plan(const struct compiled *c, const char *only, FILE *out);
/* Kernels before scheduling, with their members. */
void report_fused(const struct compiled *c, const char *only, FILE *out);
/* Nests. */
void report_loops(const struct compiled *c, const char *only, FILE *out);

#endif
