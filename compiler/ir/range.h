/*
 * What whole numbers a value can be, as far as the graph says: by intervals, through
 * integer arithmetic, draws of integers, places of the largest, settings with a range.
 */
#ifndef HYP_COMPILER_IR_RANGE_H
#define HYP_COMPILER_IR_RANGE_H

#include "compiler/ir/program.h"

struct range {
    bool known;
    bool exact; /* both ends are taken, for all that is known */
    double lo, hi;
};
struct range program_range(const struct program *p, value_id v);

enum range_fit { RANGE_INSIDE, RANGE_OUTSIDE, RANGE_UNKNOWN };
/* Is every value in 0..extent-1; OUTSIDE: surely not every one. */
enum range_fit range_fit(const struct range *r, int64_t extent);

#endif
