/*
 * The lane kernels, generated from sx_code.def and the f64 column of elementwise.def.
 *
 * This file is compiled twice (sx_lane_avx2.c): every expression in it is exact IEEE
 * arithmetic without contraction, so both objects give the same bits and only the speed
 * differs.
 */
#include "ops/sx_lane.h"

#include <math.h>
#include <string.h>

#include "ops/sx_priv.h"

#ifndef SX_LANES
#define SX_LANES sx_lanes_base
#endif

static inline int32_t lane_idiv(int32_t x, int32_t y)
{
    if (y == 0)
        return 0;
    return y == -1 ? (int32_t)(0U - (uint32_t)x) : x / y;
}

static inline int32_t lane_f2i(double x)
{
    if (x >= 2147483648.0)
        return INT32_MAX;
    if (x >= -2147483648.0)
        return (int32_t)x;
    return x < 0 ? INT32_MIN : 0;
}

static inline uint32_t lane_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float lane_from_bits(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* The f64 meaning of the named laws and of the functions libm does not have. */
static inline double ref_softplus(double x)
{
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

static inline double ref_sigmoid(double x)
{
    const double z = exp(-fabs(x));
    return (x < 0 ? z : 1) / (1 + z);
}

static inline double ref_pow(double x, double y)
{
    return y == 0 ? 1 : exp(y * log(x));
}

static inline double ref_uniform(uint32_t w)
{
    return (double)(w >> 8) * 0x1p-24;
}

static inline double ref_open(uint32_t w)
{
    return ((double)(w >> 9) + 0.5) * 0x1p-23;
}

static inline double ref_normal(uint32_t w0, uint32_t w1, int32_t e)
{
    const double r = sqrt(-2 * log(1 - ref_uniform(w0)));
    const double t = 6.283185307179586476925 * ref_uniform(w1);
    return r * (e & 1 ? sin(t) : cos(t));
}

static inline double ref_laplace(uint32_t w)
{
    const double v = ref_open(w);
    return v < 0.5 ? log(2 * v) : -log(2 * (1 - v));
}

/* Type letters: lane types, and the operand that a row does not have. */
typedef int32_t lane_I;
typedef uint32_t lane_U, lane_B;

#define LOAD_F(v, p) const lane_F v = ((const lane_F *)(p))[i];
#define LOAD_I(v, p) const lane_I v = ((const lane_I *)(p))[i];
#define LOAD_U(v, p) const lane_U v = ((const lane_U *)(p))[i];
#define LOAD_B(v, p) const lane_B v = ((const lane_B *)(p))[i];
#define LOAD__(v, p) (void)(p);

#define KERNEL(fn, R, A, B, C, expr)                                                       \
    static void fn(void *restrict d, const void *restrict a, const void *restrict b,       \
                   const void *restrict c, size_t n)                                       \
    {                                                                                      \
        lane_##R *restrict r = d;                                                          \
        for (size_t i = 0; i < n; i++) {                                                   \
            LOAD_##A(x, a) LOAD_##B(y, b) LOAD_##C(z, c) r[i] = (lane_##R)(expr);          \
        }                                                                                  \
    }

#define lane_F float
#define FMA_   fmaf
#define SQRT_  sqrtf
#define FLOOR_ floorf
#define ABS_   fabsf
#define SX_CODE(name, suffix, R, A, B, C, expr)                                            \
    KERNEL(name##_##suffix##_32, R, A, B, C, expr)
#include "ops/sx_code.def"
#undef SX_CODE
#undef lane_F
#undef FMA_
#undef SQRT_
#undef FLOOR_
#undef ABS_

#define lane_F double
#define FMA_   fma
#define SQRT_  sqrt
#define FLOOR_ floor
#define ABS_   fabs
#define SX_CODE(name, suffix, R, A, B, C, expr)                                            \
    KERNEL(name##_##suffix##_64, R, A, B, C, expr)
#include "ops/sx_code.def"
#undef SX_CODE
#define OP_EW(name, A, B, C, lo, hi, f64, value, adjoint, doc)                             \
    KERNEL(fn_##name, F, A, B, C, f64)
#include "ops/elementwise.def"
#undef OP_EW

#define TYPE_F SX_FLOAT
#define TYPE_I SX_I32
#define TYPE_U SX_U32
#define TYPE_B SX_BOOL
#define TYPE__ 0

const struct sx_code SX_LANES[] = {
#define SX_CODE(name, suffix, R, A, B, C, expr)                                            \
    {SX_##name,                                                                            \
     TYPE_##R,                                                                             \
     {TYPE_##A, TYPE_##B, TYPE_##C},                                                       \
     name##_##suffix##_32,                                                                 \
     name##_##suffix##_64},
#include "ops/sx_code.def"
#undef SX_CODE
#define OP_EW(name, A, B, C, lo, hi, f64, value, adjoint, doc)                             \
    {SX_FN_##name, SX_FLOAT, {TYPE_##A, TYPE_##B, TYPE_##C}, NULL, fn_##name},
#include "ops/elementwise.def"
#undef OP_EW
};

#ifndef SX_LANES_SECOND
const uint32_t sx_lanes_count = sizeof SX_LANES / sizeof SX_LANES[0];
#endif
