/* Arithmetic of flat indices: sums of digit terms, an offset and a scalar. */
#ifndef HYP_CODEGEN_LOOP_INDEX_H
#define HYP_CODEGEN_LOOP_INDEX_H

#include "codegen/loop/loop.h"
#include "runtime/plan.h"

/* At most one of the two may hold B. */
struct ext ext_mul(struct ext x, struct ext y);
struct ext ext_add(struct ext x, struct ext y);

static inline bool term_is_plain(const struct term *t)
{
    return t->div == 1 && !t->mod;
}

struct index index_const(int32_t c);
struct index index_axis(unsigned axis, int32_t coef);
struct index index_offset(struct index x, int32_t c);
/* coef * ((axis / div) % mod); equal digits merge, what cancels is dropped. */
void index_term(struct index *x, struct term t);
void index_add(struct index *x, const struct index *y, struct ext coef); /* x += coef * y */
struct index index_sum(struct index x, struct index y);
bool index_equal(const struct index *x, const struct index *y);

/*
 * Replace every axis by at[axis], whose coefficients hold no B.  A digit term needs
 * at[axis] to be one plain axis or a constant.
 */
struct index index_substitute(const struct index *x, const struct index *at);
/* Is the index one plain axis, or a constant? Then digits of it can be taken. */
bool index_is_plain(const struct index *x);
bool index_has_digits(const struct index *x);
/* The coefficient of an axis that occurs only plainly; *plain is false where it has digits.
 */
struct ext index_coef(const struct index *x, unsigned axis, bool *plain);
bool index_uses(const struct index *x, unsigned axis);

int64_t index_eval(const struct index *x, const int64_t *axis, int64_t batch,
                   const union hyp_word *scalar);
bool guards_hold(const struct guard *g, unsigned n, const int64_t *axis, int64_t batch,
                 const union hyp_word *scalar);
bool guards_equal(const struct guard *x, const struct guard *y, unsigned n);

#endif
