/*
 * What `hypno tune` found: kernels that another variant schedules better than the table.
 *
 * Kept by machine, one entry of a cache (base/cache.h), which `hypno tune` replaces whole.
 * A kernel is known by the nest that the table's row makes of it, so that what was measured
 * against another schedule, or on another processor or by another build, does not count. No
 * variant changes a bit of what is computed: what is missing, damaged or unknown costs
 * speed and nothing else.  Of two processes that write at once the last wins.
 */
#ifndef HYP_COMPILER_DRIVER_TUNED_H
#define HYP_COMPILER_DRIVER_TUNED_H

#include <stdbool.h>
#include <stdint.h>

struct arena;
struct target;

enum { TUNED_NAME = 24 };
struct tuned_kernel {
    uint8_t nest[32]; /* nest_key() of the table's choice */
    uint32_t threads; /* that it was measured on, */
    int64_t batch;    /* at this largest batch */
    char variant[TUNED_NAME];
    double before, after; /* seconds of a cycle, all its launches */
};
struct tuned;

/* None yet; lives in `a`. */
struct tuned *tuned_new(struct arena *a);
/* Every kernel is scheduled by this variant: for measuring it. */
void tuned_all(struct tuned *t, const char *variant);
/* In the place of what is there for this nest, threads and batch. */
void tuned_add(struct tuned *t, const struct tuned_kernel *k);
/* Forget what is there for this nest, threads and batch. */
void tuned_drop(struct tuned *t, const struct tuned_kernel *k);
uint32_t tuned_count(const struct tuned *t);

/* The variant of a kernel by these three; NULL: the table's choice. */
const struct tuned_kernel *tuned_find(const struct tuned *t, const uint8_t nest[32],
                                      uint32_t threads, int64_t batch);

/* What this machine keeps in `dir` for the target; NULL is nowhere.  Never fails: nothing
 * is kept. */
struct tuned *tuned_read(const char *dir, const struct target *target, struct arena *a);
/* In the place of what was kept (all kernels of the machine); false: it cannot be written.
 */
bool tuned_write(const char *dir, const struct target *target, const struct tuned *t);

#endif
