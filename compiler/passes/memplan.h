/*
 * Memory planning: where intervals of known size and life lie in one arena.
 *
 * Four greedy orders (size, size times life, life, what makes the peak first), each buffer
 * into the tightest gap among those placed that live at the same time; then again, with
 * what reached highest placed first.  Far from the bound, plans are also built from below:
 * always at the lowest place, what is largest and lives longest of what fits there, weighed
 * in several ways.  The best is kept and mended.  What is small is placed last.  The bound
 * is the largest sum of sizes alive at one moment: no plan can be smaller.
 */
#ifndef HYP_COMPILER_PASSES_MEMPLAN_H
#define HYP_COMPILER_PASSES_MEMPLAN_H

#include <stdint.h>

struct arena;

#define MEMPLAN_ALIGN 64

struct interval {
    uint64_t bytes;
    uint32_t first, last; /* launches, inclusive */
    uint64_t offset;      /* result */
};

/* Returns the bytes needed; *bound is the lower bound. */
uint64_t memplan(struct interval *iv, uint32_t n, struct arena *scratch, uint64_t *bound);

#endif
