/*
 * Cycles of a plan, timed launch by launch: what `hypno tune` measures.
 *
 * The model's own stages run on its own data from freshly drawn weights; no probe is
 * evaluated and nothing is written.  An epoch that ends begins again: a stage never does.
 */
#ifndef HYP_RUNTIME_TIMING_H
#define HYP_RUNTIME_TIMING_H

#include "runtime/train.h"

struct timing;

enum hyp_status timing_open(struct hyp_plan *plan, struct pool *pool,
                            const struct hyp_run_options *o, struct timing **out,
                            struct hyp_error *err);
void timing_close(struct timing *t);

/* Go to that stage of the schedule, counters at 0, so that two plans run the same phases in
 * their next cycles; false: it has no cycles. */
bool timing_stage(struct timing *t, uint32_t stage);
/* One cycle of it; cycles of less than the whole batch do not count. */
enum hyp_status timing_cycle(struct timing *t, struct hyp_error *err);
void timing_forget(struct timing *t); /* all that was measured */

/* Seconds of the fastest run of an op of a phase; 0: it did not run. */
double timing_op(const struct timing *t, uint32_t phase, uint32_t op);

#endif
