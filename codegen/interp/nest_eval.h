/*
 * Nests, interpreted: any order of units gives the same bits.  Statements under a vec loop
 * run as blocks of lanes.
 */
#ifndef HYP_CODEGEN_INTERP_NEST_EVAL_H
#define HYP_CODEGEN_INTERP_NEST_EVAL_H

#include "codegen/loop/loop.h"
#include "runtime/plan.h"

/*
 * Tests: every access is checked, and the first fault is recorded.  stored[b] counts the
 * stores to each element of buffer b (may be NULL); only for one thread.
 */
struct interp_check {
    uint8_t *const *stored;
    char fault[256];
};

/* One stage of a nest, made ready.  hyp_kargs.self points to it. */
struct interp_stage;
struct interp_stage *interp_prepare(const struct nest *n, uint32_t stage, bool f64,
                                    struct arena *a);
void interp_set_check(struct interp_stage *s, struct interp_check *check);

/* hyp_stage_fn; with f64, F32 buffers hold doubles.  `scratch` is not used. */
void interp_stage_fn(const struct hyp_kargs *args, int64_t lo, int64_t hi, void *scratch);

/* Number of units of a stage at a batch. */
int64_t interp_units(const struct nest *n, uint32_t stage, int64_t batch);

#endif
