/*
 * Convolutions without what lies outside of the image: sched_border.c says which, and what
 * their units read, sched_turn.c makes their panels.
 */
#ifndef HYP_CODEGEN_LOOP_SCHED_BORDER_H
#define HYP_CODEGEN_LOOP_SCHED_BORDER_H

#include "codegen/loop/sched.h"

enum { COORDS = 3 };

/* One coordinate of the image, of those that a guard keeps inside. */
struct coord {
    const struct guard *guard;
    int32_t coef;          /* elements of the buffer to the next one */
    struct index inside;   /* what the unit's own loops add to it */
    struct index outside;  /* and what else does */
    bool cut;              /* other units begin elsewhere in it */
    int32_t least, extent; /* of what the unit reads: inside is least.. */
};
struct image {
    const struct koperand *p;
    struct coord c[COORDS]; /* outermost first */
    unsigned n;
    struct index base; /* of the buffer, where all coordinates are 0 */
    /* Packed: from one row to the next, and from one step of the first reduced axis. */
    int32_t pitch, size;
};

/* What the segment's second factor reads in a unit of the group; false: it is not so. */
bool border_image(const struct kernel *k, const struct group *g, const struct kstage *s,
                  uint32_t nseg, struct image *m);
/* Elements from one of a coordinate to the next one, as packed. */
int32_t border_stride(const struct image *m, unsigned coord);

#endif
