/* Shared by the interpreters: memory of a dtype, scalars as doubles, words of draws. */
#ifndef HYP_CODEGEN_INTERP_EVAL_COMMON_H
#define HYP_CODEGEN_INTERP_EVAL_COMMON_H

#include <math.h>
#include <string.h>

#include "codegen/loop/loop.h"
#include "runtime/base/arena.h"
#include "runtime/base/philox.h"
#include "runtime/plan.h"

static inline size_t eval_bytes(uint8_t dtype, bool f64)
{
    return dtype == DT_BOOL ? 1 : dtype == DT_F32 && f64 ? 8 : 4;
}

static inline double eval_get(const void *p, uint8_t dtype, bool f64, int64_t i)
{
    if (dtype == DT_BOOL)
        return ((const uint8_t *)p)[i] != 0;
    if (dtype == DT_I32)
        return ((const int32_t *)p)[i];
    return f64 ? ((const double *)p)[i] : (double)((const float *)p)[i];
}

static inline void eval_put(void *p, uint8_t dtype, bool f64, int64_t i, double v)
{
    if (dtype == DT_BOOL)
        ((uint8_t *)p)[i] = v != 0;
    else if (dtype == DT_I32)
        ((int32_t *)p)[i] = (int32_t)v;
    else if (f64)
        ((double *)p)[i] = v;
    else
        ((float *)p)[i] = (float)v;
}

/* Scalars as sx reads them, by the type under which the store mentions them. */
static inline void eval_scalars(const struct sxb *b, const union hyp_word *scalar, bool f64,
                                double *out)
{
    for (uint32_t i = 1; i < b->n; i++) {
        const struct sx_node *n = &b->node[i];
        if (n->op != SX_SCALAR)
            continue;
        const union hyp_word *w = &scalar[n->a];
        if (n->type == SX_FLOAT)
            out[n->a] = f64 ? w->d : (double)w->f;
        else
            out[n->a] = n->type == SX_U32 ? (double)w->u : (double)w->i;
    }
}

static inline uint32_t eval_word(const union hyp_word *s, uint64_t seed, int64_t sample,
                                 int32_t element)
{
    uint64_t site = s[0].u | (uint64_t)s[1].u << 32, step = s[2].u | (uint64_t)s[3].u << 32;
    return hyp_random_word(seed, site, step, (uint32_t)sample, (uint32_t)element);
}

#endif
