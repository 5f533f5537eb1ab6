/* SHA-256 as FIPS 180-4 writes it down. */
#include "runtime/base/sha256.h"

#include <string.h>

static const uint32_t round_constant[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
    0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
    0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
    0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
    0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
    0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
    0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2};

static uint32_t rotr(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void expand(uint32_t w[64], const uint8_t *block)
{
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | (uint32_t)block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        const uint32_t a = w[i - 15], b = w[i - 2];
        const uint32_t s0 = rotr(a, 7) ^ rotr(a, 18) ^ a >> 3;
        const uint32_t s1 = rotr(b, 17) ^ rotr(b, 19) ^ b >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
}

/* Round i, in which v[(k - i) mod 8] is what the standard calls a, b, ... for k = 0, 1, ...
 */
static inline void round_of(uint32_t v[8], unsigned i, uint32_t add)
{
    const uint32_t a = v[-i & 7], b = v[(1 - i) & 7], c = v[(2 - i) & 7];
    const uint32_t e = v[(4 - i) & 7], f = v[(5 - i) & 7], g = v[(6 - i) & 7];
    const uint32_t s1 = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25);
    const uint32_t t1 = v[(7 - i) & 7] + s1 + ((e & f) ^ (~e & g)) + add;
    const uint32_t s0 = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22);
    v[(3 - i) & 7] += t1;
    v[(7 - i) & 7] = t1 + s0 + ((a & b) ^ (a & c) ^ (b & c));
}

static void compress(uint32_t h[8], const uint8_t *block)
{
    uint32_t w[64], v[8];
    expand(w, block);
    memcpy(v, h, sizeof v);
    for (unsigned i = 0; i < 64; i += 8) { /* written out, v stays in registers */
        const uint32_t *k = round_constant + i, *x = w + i;
        round_of(v, 0, k[0] + x[0]);
        round_of(v, 1, k[1] + x[1]);
        round_of(v, 2, k[2] + x[2]);
        round_of(v, 3, k[3] + x[3]);
        round_of(v, 4, k[4] + x[4]);
        round_of(v, 5, k[5] + x[5]);
        round_of(v, 6, k[6] + x[6]);
        round_of(v, 7, k[7] + x[7]);
    }
    for (int i = 0; i < 8; i++)
        h[i] += v[i];
}

void sha256_init(struct sha256 *s)
{
    *s = (struct sha256){.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                               0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void sha256_add(struct sha256 *s, const void *p, size_t nbytes)
{
    const uint8_t *q = p;
    size_t have = (size_t)(s->nbytes % 64);
    s->nbytes += nbytes;
    while (nbytes > 0) {
        const size_t n = nbytes < 64 - have ? nbytes : 64 - have;
        memcpy(s->block + have, q, n);
        q += n;
        nbytes -= n;
        have = (have + n) % 64;
        if (have == 0)
            compress(s->h, s->block);
    }
}

void sha256_end(struct sha256 *s, uint8_t out[32])
{
    const uint64_t nbits = s->nbytes * 8;
    const uint8_t one = 0x80, zero = 0;
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)(nbits >> (56 - 8 * i));
    sha256_add(s, &one, 1);
    while (s->nbytes % 64 != 56)
        sha256_add(s, &zero, 1);
    sha256_add(s, length, 8);
    for (int i = 0; i < 32; i++)
        out[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

void sha256_hex(const uint8_t digest[32], char out[65])
{
    static const char hex[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        out[2 * i] = hex[digest[i] >> 4];
        out[2 * i + 1] = hex[digest[i] & 15];
    }
    out[64] = '\0';
}
