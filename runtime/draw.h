/*
 * What the drawn sources share: chance, and curves through points.  Integers only, no shift
 * of a negative number: C leaves nothing open, so the bytes are the same everywhere.
 */
#ifndef HYP_RUNTIME_DRAW_H
#define HYP_RUNTIME_DRAW_H

#include <stdint.h>

#include "runtime/base/philox.h"

enum {
    DRAW_PIXEL = 256, /* steps of a pixel */
    DRAW_SPAN = 8,    /* pieces a span between two points is cut into */
    DRAW_ONE = 16384  /* what draw_sine() calls 1 */
};

struct draw_point {
    int32_t x, y; /* to the right, down */
};

/* One stream of words a sample: `what` numbers the source. */
struct chance {
    uint32_t counter[4];
    struct philox block;
    unsigned used;
};

void chance_start(struct chance *c, uint32_t what, unsigned split, uint32_t k);
uint32_t chance_word(struct chance *c);
uint32_t chance_below(struct chance *c, uint32_t n);
/* Near enough to normal: four bytes summed; mean 0, standard deviation `sd` (sd < 2^15). */
int32_t chance_bell(struct chance *c, int32_t sd);
struct draw_point chance_wobble(struct chance *c, int32_t sd);

static inline int32_t draw_clamp(int32_t x, int32_t low, int32_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* t / DRAW_SPAN of the way from b to c on the Catmull-Rom curve. */
int32_t draw_spline(int32_t a, int32_t b, int32_t c, int32_t d, int32_t t);

/*
 * The sine, within 0.2 %, of a turn in 1024 parts: a parabola a half turn, and a part of
 * its square to bring it nearer.
 */
static inline int32_t draw_sine(uint32_t turn)
{
    const int32_t t = (int32_t)(turn % 512);
    const int32_t bow = t * (512 - t) / 64; /* 0 to 1024 */
    const int32_t y = (775 * bow + 225 * (bow * bow / 1024)) * 16 / 1000;
    return turn % 1024 < 512 ? y : -y;
}

#endif
