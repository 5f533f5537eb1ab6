/*
 * Memory over time: what lies where during each launch of a phase, as text for a terminal
 * and as SVG.
 */
#ifndef HYP_COMPILER_DRIVER_MEMORY_VIEW_H
#define HYP_COMPILER_DRIVER_MEMORY_VIEW_H

#include <stdio.h>

#include "compiler/driver/compile.h"

enum view_kind {
    VIEW_PARAMETER,
    VIEW_STATE, /* of optimizers and of the model */
    VIEW_DATA,
    VIEW_RESULT,
    VIEW_ACTIVATION,
    VIEW_GRADIENT, /* and what optimizers make of it */
    VIEW_SCRATCH,  /* a kernel's own, and what is packed */
    VIEW_KINDS
};
struct view_box {
    uint8_t kind;
    const char *name; /* "gradient of D.z.f2" */
    const char *file; /* NULL: no line */
    uint32_t line;
    uint64_t offset, bytes; /* of its segment */
    uint32_t first, last;   /* launches, inclusive; first > last: for good */
};
struct view { /* boxes of one arena */
    struct view_box *box;
    uint32_t n, nlaunch;
};
/* What the phase has in the arena. */
struct view view_arena(const struct compiled *c, uint32_t phase, struct arena *a);
/* Weights, optimizers and states. */
struct view view_state(const struct compiled *c, struct arena *a);

/* Address over launch number, the largest values by letters. */
void view_chart(const struct compiled *c, uint32_t phase, FILE *out);
/* `only`: a phase; NULL: the scheduled ones, one after the other. */
void view_svg(const struct compiled *c, const char *only, FILE *out);

#endif
