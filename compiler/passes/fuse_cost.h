/*
 * What a kernel costs, in seconds of t_ref threads: the model by which fusion decides
 * (compiler-core: fusion).  All constants stand in the target's row.
 *
 * t = max(product, elements, memory) + a quarter of the other two + one launch: the three
 * overlap, but not wholly.
 */
#ifndef HYP_COMPILER_PASSES_FUSE_COST_H
#define HYP_COMPILER_PASSES_FUSE_COST_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler/ir/target.h"
#include "ops/form.h"

struct fuse_work {
    double product;           /* seconds: sum of cost_product() */
    double prims;             /* primitives of scalar expressions, over all elements */
    double bytes[MEM_LEVELS]; /* read and written, by the level they come from */
};

/*
 * Seconds of a sum of products with rows x cols outputs, each a chain of k steps.
 * whole_rows: a unit of work is 24 rows with all columns (row epilogues); otherwise columns
 * are shared out too.
 */
double cost_product(const struct target *t, double rows, double cols, double k,
                    bool whole_rows);
double cost_kernel(const struct target *t, const struct fuse_work *w);
/*
 * How often the packing of a convolution, read out at port `out`, reads an element of its
 * operand, all together: a map that is inlined there is computed as often.
 */
double cost_window(const struct target *t, const struct form *f, unsigned out,
                   unsigned operand, int64_t batch);
/* Where bytes are found that were last touched `distance` bytes of traffic ago. */
enum mem_level cost_level(const struct target *t, double distance);

#endif
