#include "compiler/passes/fuse_cost.h"

#include <math.h>

#define OVERLAP   0.25 /* share of what the longest of the three does not hide */
#define BEST      0.92 /* of the peak, for long chains over whole tiles */
#define TWO_CORES 0.88 /* of twice one core, for caches and clocks that are shared */
#define CHAIN     4.0  /* steps of a chain that starting and storing a tile is worth */
#define COL_BLOCKS                                                                         \
    4.0 /* parts that the columns of 24 rows are cut into, 32 wide at least */
#define MIN_BLOCK 32.0

static double whole(double n, double tile)
{
    return n / (ceil(n / tile) * tile);
}

double cost_product(const struct target *t, double rows, double cols, double k,
                    bool whole_rows)
{
    const double blocks = fmax(1, fmin(COL_BLOCKS, floor(cols / MIN_BLOCK)));
    const double units = ceil(rows / t->unit_rows) * (whole_rows ? 1 : blocks);
    const double e = BEST * whole(rows, t->mr) * whole(cols, 16) * k / (k + CHAIN) *
                     whole(units, t->t_ref);
    if (rows < 1 || cols < 1 || k < 1)
        return 0;
    return 2 * rows * cols * k / (t->t_ref * t->flops * e * TWO_CORES);
}

double cost_kernel(const struct target *t, const struct fuse_work *w)
{
    const double elements = w->prims / (t->t_ref * t->prims);
    double memory = 0, longest = fmax(w->product, elements);
    for (unsigned i = 0; i < MEM_LEVELS; i++)
        memory += w->bytes[i] / t->bandwidth[i];
    longest = fmax(longest, memory);
    return longest + OVERLAP * (w->product + elements + memory - longest) + t->launch;
}

enum mem_level cost_level(const struct target *t, double distance)
{
    return distance <= (double)t->l2 * t->t_ref ? MEM_L2
           : distance <= t->l3                  ? MEM_L3
                                                : MEM_DRAM;
}
