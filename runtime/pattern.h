/*
 * How often patterns occur on two sides, by 64-bit digests: two patterns of one digest
 * among 10^5 have probability 10^-9.
 */
#ifndef HYP_RUNTIME_PATTERN_H
#define HYP_RUNTIME_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/probe.h"

struct pattern_cell {
    uint64_t key;
    uint32_t count[2];
};
struct pattern_table {
    struct pattern_cell *cell; /* the patterns seen, dense, in order of first sight */
    uint32_t *slot;            /* of each */
    uint32_t *at;              /* slot -> 1 + cell; 0: free */
    uint32_t n, mask;
};

bool pattern_init(struct pattern_table *t, uint32_t most); /* false: pattern_fini() it */
void pattern_fini(struct pattern_table *t);

/* Digests of n samples of `units` columns, which lie `stride` apart. */
void pattern_digest(const int16_t *column, uint32_t units, size_t stride, uint32_t n,
                    uint64_t *key);
void pattern_count(struct pattern_table *t, const uint64_t *key, uint32_t n, unsigned side);
/* Back to the first n cells and the first side's counts. */
void pattern_forget(struct pattern_table *t, uint32_t n);
/* Of na samples on the first side and nb on the second. */
struct divergence pattern_compare(const struct pattern_table *t, double na, double nb);

#endif
