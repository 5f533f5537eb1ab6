/* Random kernels of every shape that schedulers know, at awkward sizes; equal seeds, equal
 * kernels. */
#ifndef HYP_TESTS_PROP_KERNEL_GEN_H
#define HYP_TESTS_PROP_KERNEL_GEN_H

#include "codegen/loop/loop.h"
#include "runtime/plan.h"

struct kernel *kernel_random(uint64_t seed, struct arena *a);

/* Memory for a kernel or nest at a batch, filled from the seed; slack rows hold NaN. */
struct kernel_data {
    void **buf;
    int64_t *elems; /* without slack */
    union hyp_word *scalar;
    uint32_t *watch; /* hyp_kargs.watch */
};
struct kernel_data kernel_data_new(const struct kbuf *buf, uint32_t nbuf, uint32_t nscalar,
                                   bool f64, int64_t batch, uint64_t seed, struct arena *a);

/* Has a watched buffer been told of; does one hold what is not finite (all its elements are
 * stored)? */
bool kernel_data_told(const struct kernel_data *d);
bool kernel_data_bad(const struct kernel_data *d, const struct kbuf *buf, uint32_t nbuf,
                     bool f64);

uint32_t gen_next(uint64_t *state);
int32_t gen_below(uint64_t *state, int32_t n);
const char *gen_variant(uint64_t *state); /* a name of variant.def */

#endif
