/*
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) and
 * the way hypnograph numbers its draws (ARCHITECTURE.md, "Randomness").
 */
#ifndef HYP_RUNTIME_BASE_PHILOX_H
#define HYP_RUNTIME_BASE_PHILOX_H

#include <stdint.h>

struct philox {
    uint32_t w[4];
};

struct philox philox4x32(const uint32_t counter[4], const uint32_t key[2]);

/* Word (element mod 4) of the block of (seed, site, draw step, sample, element / 4). */
uint32_t hyp_random_word(uint64_t seed, uint64_t site, uint64_t step, uint32_t sample,
                         uint32_t element);

/* First 8 bytes, little-endian, of SHA-256 of the draw's path. */
uint64_t hyp_site(const char *path);

static inline float hyp_uniform(uint32_t w) /* [0, 1) */
{
    return (float)(w >> 8) * 0x1p-24F;
}

static inline uint32_t hyp_mulhi(uint32_t a, uint32_t b)
{
    return (uint32_t)(((uint64_t)a * b) >> 32);
}

#endif
