/* SHA-256 (FIPS 180-4). */
#ifndef HYP_RUNTIME_BASE_SHA256_H
#define HYP_RUNTIME_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct sha256 {
    uint32_t h[8];
    uint64_t nbytes;
    uint8_t block[64];
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *p, size_t nbytes);
void sha256_end(struct sha256 *s, uint8_t out[32]);
void sha256_hex(const uint8_t digest[32], char out[65]);

#endif
