/* The same words and the same curves for every drawn source. */
#include "runtime/draw.h"

void chance_start(struct chance *c, uint32_t what, unsigned split, uint32_t k)
{
    *c = (struct chance){.counter = {0, k, split, what}, .used = 4};
}

uint32_t chance_word(struct chance *c)
{
    static const uint32_t key[2] = {0x68797020, 0x64726177};
    if (c->used == 4) {
        c->block = philox4x32(c->counter, key);
        c->counter[0]++;
        c->used = 0;
    }
    return c->block.w[c->used++];
}

uint32_t chance_below(struct chance *c, uint32_t n)
{
    return hyp_mulhi(chance_word(c), n);
}

int32_t chance_bell(struct chance *c, int32_t sd)
{
    const uint32_t w = chance_word(c);
    const int32_t sum =
        (int32_t)((w & 255) + (w >> 8 & 255) + (w >> 16 & 255) + (w >> 24)) - 510;
    return sum * sd / 148;
}

/* In two statements: C leaves open which initialiser of a list is evaluated first. */
struct draw_point chance_wobble(struct chance *c, int32_t sd)
{
    struct draw_point p;
    p.x = chance_bell(c, sd);
    p.y = chance_bell(c, sd);
    return p;
}

int32_t draw_spline(int32_t a, int32_t b, int32_t c, int32_t d, int32_t t)
{
    const int64_t n = DRAW_SPAN, t1 = t, t2 = t1 * t1, t3 = t2 * t1;
    const int64_t wa = -t3 + 2 * t2 * n - t1 * n * n;
    const int64_t wb = 3 * t3 - 5 * t2 * n + 2 * n * n * n;
    const int64_t wc = -3 * t3 + 4 * t2 * n + t1 * n * n;
    const int64_t wd = t3 - t2 * n;
    return (int32_t)((wa * a + wb * b + wc * c + wd * d) / (2 * n * n * n));
}
