/* The named results of a run: the last value of every loss and probe. */
#ifndef HYP_RUNTIME_VALUES_H
#define HYP_RUNTIME_VALUES_H

#include "runtime/train.h"

struct values {
    struct hyp_value *value; /* names and numbers are owned */
    uint32_t n, cap;
};

/* Index of `name`, made if new (no number known yet); UINT32_MAX: out of memory. */
uint32_t values_find(struct values *v, const char *name);
/* Allocates only where there are more numbers than ever before. */
enum hyp_status values_set(struct values *v, uint32_t i, const double *number, uint32_t n,
                           bool list, struct hyp_error *err);
/* Numbers first .. first + n - 1 of a list of `total`; the others keep theirs, or are NaN.
 */
enum hyp_status values_set_part(struct values *v, uint32_t i, const double *number,
                                uint32_t n, uint32_t first, uint32_t total,
                                struct hyp_error *err);
void values_fini(struct values *v);

#endif
