/*
 * Lane kernels: one primitive, or in f64 one named function, over n lanes.
 *
 * A lane is a float (double in f64) or a 4-byte word; operands never overlap the result.
 * Internal to ops/.
 */
#ifndef HYP_OPS_SX_LANE_H
#define HYP_OPS_SX_LANE_H

#include <stddef.h>
#include <stdint.h>

typedef void sx_lane_fn(void *d, const void *a, const void *b, const void *c, size_t n);

struct sx_code {
    uint8_t op, type, in[3];
    sx_lane_fn *f32, *f64; /* f32 is NULL for named functions, which are expanded first */
};

/* Same rows and the same bits, for the baseline machine and for one with AVX2 and FMA. */
extern const struct sx_code sx_lanes_base[], sx_lanes_avx2[];
extern const uint32_t sx_lanes_count;

/* The rows for this machine. */
const struct sx_code *sx_lanes(void);
/* Row for an op on these types; NULL if there is none. */
const struct sx_code *sx_code_find(unsigned op, unsigned type, const uint8_t in[3]);

#endif
