/* Random forms and a read-out that shares no code with ops/. */
#ifndef HYP_TESTS_UNIT_FORM_FIXTURE_H
#define HYP_TESTS_UNIT_FORM_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/form.h"

enum { FIXTURE_MOST = 1 << 14 }; /* elements of a port in these tests */

uint32_t fixture_random(uint32_t *seed);
int32_t fixture_between(uint32_t *seed, int32_t lo, int32_t hi);
/* Small whole numbers: sums of products are exact in every order. */
void fixture_fill(uint32_t *seed, double *x, int64_t n);

int64_t fixture_size(const struct port *q, int64_t batch);

/* Any offsets, signs, strides, holes and overhangs; `symbolic`: extents and offsets of B
 * too. */
struct form fixture_form(uint32_t *seed, bool symbolic);

/* Row-major offset of port j at point i of the box; -1 outside. */
int64_t fixture_at(const struct form *f, unsigned j, const int64_t *i, int64_t batch);
/* Advance over the whole box; false at the end, with i all zero again. */
bool fixture_step(const struct form *f, int64_t *i, int64_t batch);

/* out += the read-out at p by its definition; returns the number of terms inside. */
int64_t fixture_read(const struct form *f, unsigned p, int64_t batch,
                     const double *const *t, double *out);

#endif
