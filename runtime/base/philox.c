/*
 * Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1,
 * 2, 3" (SC 2011): ten rounds of two widening multiplications, the key advancing by Weyl
 * constants.
 */
#include "runtime/base/philox.h"

#include <string.h>

#include "runtime/base/sha256.h"

static struct philox round_once(struct philox c, uint32_t k0, uint32_t k1)
{
    const uint64_t x = (uint64_t)0xD2511F53U * c.w[0];
    const uint64_t y = (uint64_t)0xCD9E8D57U * c.w[2];
    return (struct philox){{(uint32_t)(y >> 32) ^ c.w[1] ^ k0, (uint32_t)y,
                            (uint32_t)(x >> 32) ^ c.w[3] ^ k1, (uint32_t)x}};
}

struct philox philox4x32(const uint32_t counter[4], const uint32_t key[2])
{
    struct philox c = {{counter[0], counter[1], counter[2], counter[3]}};
    uint32_t k0 = key[0], k1 = key[1];
    for (int i = 0; i < 10; i++) {
        c = round_once(c, k0, k1);
        k0 += 0x9E3779B9U;
        k1 += 0xBB67AE85U;
    }
    return c;
}

uint32_t hyp_random_word(uint64_t seed, uint64_t site, uint64_t step, uint32_t sample,
                         uint32_t element)
{
    const uint32_t counter[4] = {element / 4, sample, (uint32_t)step, (uint32_t)site};
    const uint32_t key[2] = {(uint32_t)seed ^ (uint32_t)(site >> 32),
                             (uint32_t)(seed >> 32) ^ (uint32_t)(step >> 32)};
    return philox4x32(counter, key).w[element % 4];
}

uint64_t hyp_site(const char *path)
{
    struct sha256 s;
    uint8_t digest[32];
    uint64_t site = 0;
    sha256_init(&s);
    sha256_add(&s, path, strlen(path));
    sha256_end(&s, digest);
    for (int i = 7; i >= 0; i--)
        site = site << 8 | digest[i];
    return site;
}
