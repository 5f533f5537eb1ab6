/*
 * Judging a finished plan by its nests alone: what they load and store, not what fusion or
 * the memory planner believed.
 *
 * - A kernel's nest writes what hyp_kernel.use says it writes, and reads nothing that is
 *   only written.
 * - What is stored around the caches begins at a line of them.
 * - What an entry of a launch writes no other entry of that launch touches.
 * - A value in the arena is written before it is read, and while it lives nothing else lies
 *   on it.  What lives for good shares no byte; everything lies in its segment.
 */
#ifndef HYP_COMPILER_DRIVER_PLAN_CHECK_H
#define HYP_COMPILER_DRIVER_PLAN_CHECK_H

#include "codegen/loop/loop.h"
#include "runtime/plan.h"

/* NULL, or what is wrong (in `a`).  nest: by kernel of the plan. */
const char *plan_check(const struct hyp_plan *p, struct nest *const *nest, struct arena *a);

#endif
