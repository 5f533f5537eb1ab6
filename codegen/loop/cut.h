/* Cutting a kernel into groups (group.c), and those of rows side by side (group_across.c).
 */
#ifndef HYP_CODEGEN_LOOP_CUT_H
#define HYP_CODEGEN_LOOP_CUT_H

#include "codegen/loop/sched.h"

enum { MAX_DEPS = 64 };

struct cutter {
    const struct kernel *k;
    const struct target *t;
    struct arena *a;
    struct groups *gs;
    bool *pinned;
    int32_t now; /* number of the group being made */
};

/* Items a stage reads, through inlined maps. */
struct deps {
    struct item *item[MAX_DEPS];
    unsigned n;
};

/* group.c */
struct item *cut_provider(const struct cutter *c,
                          uint32_t stage); /* who computes a stage */
void cut_deps(const struct cutter *c, uint32_t stage, struct deps *d); /* added to d */

/* group_across.c */
bool across_is_chain(const struct kstage *s); /* a sum in one chain along one axis */
/* Is it summed across, with maps left at the points that it walks? Else register tiles
 * walk it. */
bool across_sums(const struct cutter *c, const struct kstage *sum);
/* Is it computed once for a row, and read at all points of it? */
bool across_keeps(const struct cutter *c, const struct kstage *map);
/* Does the item open a group of rows side by side? Then it has its axes. */
bool across_opens(const struct cutter *c, struct group *g, const struct item *it);
void across_passes(struct cutter *c); /* in which walk points are computed */

#endif
