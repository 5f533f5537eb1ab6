/* What `hypno tune` found, and how it is told. */
#ifndef HYP_COMPILER_CLI_TUNE_H
#define HYP_COMPILER_CLI_TUNE_H

#include "compiler/driver/compile.h"

struct tune_kernel {
    const char *variant; /* NULL: the table's choice is as good as any */
    bool measured;
    double before, after; /* seconds of a cycle: launches that it is in */
};
struct tune_result {
    struct tune_kernel *kernel; /* by kernel of the plan */
    uint32_t nkernel;
    double before, after; /* seconds of a cycle (of every stage one) */
    bool kept;
};
void tune_text(const struct compiled *c, const struct tune_result *r);
bool tune_json(const struct compiled *c, const struct tune_result *r); /* false: memory */

#endif
