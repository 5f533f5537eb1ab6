/*
 * The meaning of a kernel: its stages one after the other, each by the naive loop over its
 * space, sums in their recorded order.  Slow and obvious; what nests are tested against.
 */
#ifndef HYP_CODEGEN_INTERP_KERNEL_EVAL_H
#define HYP_CODEGEN_INTERP_KERNEL_EVAL_H

#include "codegen/loop/loop.h"
#include "runtime/plan.h"

/*
 * buf: one array a buffer, row-major.  With f64, F32 buffers hold doubles, float scalars
 * are read from .d and all arithmetic is double.
 */
void kernel_eval(const struct kernel *k, bool f64, int64_t batch, uint64_t seed,
                 void *const *buf, const union hyp_word *scalar);

#endif
