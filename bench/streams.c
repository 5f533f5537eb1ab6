/*
 * Vectors and stores around the caches are extensions of the compiler: what is measured
 * against is the best loop that can be written for the machine.
 */
#include "bench/streams.h"

#include <string.h>
#ifdef __AVX__
#include <immintrin.h>
#endif

#if defined __AVX512F__
enum { LANES = 16 };
#else
enum { LANES = 8 };
#endif
enum { VECTORS = STREAMS_STEP / LANES };
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static volatile float lost; /* where sums go that nobody wants */

static inline void put(float *at, vec x, bool around)
{
#if defined __AVX512F__
    if (around) {
        _mm512_stream_ps(at, (__m512)x);
        return;
    }
#elif defined __AVX__
    if (around) {
        _mm256_stream_ps(at, (__m256)x);
        return;
    }
#endif
    (void)around;
    *(vec *)at = x;
}

static inline __attribute__((always_inline)) void pass(const struct streams *s, size_t from,
                                                       size_t to, unsigned nin,
                                                       unsigned nout, bool around)
{
    const float *in[STREAMS_MOST];
    float *out[STREAMS_MOST];
    vec sum[VECTORS] = {{0}};
    memcpy(in, s->in, sizeof in);
    memcpy(out, s->out, sizeof out);
    for (size_t i = from; i < to; i += STREAMS_STEP) {
        vec x[VECTORS];
        for (unsigned v = 0; v < VECTORS; v++)
            x[v] = *(const vec *)(in[0] + i + v * LANES);
        for (unsigned k = 1; k < nin; k++)
            for (unsigned v = 0; v < VECTORS; v++)
                x[v] += *(const vec *)(in[k] + i + v * LANES);
        for (unsigned v = 0; v < VECTORS && !nout; v++)
            sum[v] += x[v];
        for (unsigned k = 0; k < nout; k++)
            for (unsigned v = 0; v < VECTORS; v++)
                put(out[k] + i + v * LANES, x[v] * (1.0F / (float)nin), around);
    }
    for (unsigned v = 0; v < VECTORS && !nout; v++)
        lost = sum[v][0];
}

#define LOOP(nin, nout)                                                                    \
    case 8 * (nin) + (nout):                                                               \
        if (around)                                                                        \
            pass(s, from, to, nin, nout, true);                                            \
        else                                                                               \
            pass(s, from, to, nin, nout, false);                                           \
        break

bool streams_pass(const struct streams *s, size_t from, size_t to, bool around)
{
    switch (8 * s->nin + s->nout) {
        LOOP(1, 0);
        LOOP(2, 0);
        LOOP(1, 1);
        LOOP(2, 1);
        LOOP(3, 1);
        LOOP(4, 1);
        LOOP(2, 2);
        LOOP(3, 2);
        LOOP(4, 2);
        LOOP(4, 3);
    default:
        return false;
    }
#ifdef __SSE__
    if (around)
        _mm_sfence();
#endif
    return true;
}
