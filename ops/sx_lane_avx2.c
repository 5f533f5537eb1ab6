/* The lane kernels once more, for machines with AVX2 and FMA (compiled with -mavx2 -mfma).
 */
#define SX_LANES sx_lanes_avx2
#define SX_LANES_SECOND
#include "ops/sx_lane.c"
