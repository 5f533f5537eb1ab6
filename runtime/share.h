/*
 * How the threads of a pool share the units of a stage.
 *
 * Each begins with a range of its own, cut by what units are thought to cost (so that it
 * meets what it made in the launch before), and takes pieces from its front.  Who has none
 * left takes pieces from the back of another's: costs are guesses, and on a busy machine a
 * thread may not run at all.  Which thread runs a unit never changes a result.
 */
#ifndef HYP_RUNTIME_SHARE_H
#define HYP_RUNTIME_SHARE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    SHARE_UNITS = 1 << 28, /* more units than that cannot be shared */
    SHARE_ALONE = 6000     /* what costs less, some microseconds at most, is not */
};

struct share { /* one a thread, zeroed before the first round */
    _Alignas(64) _Atomic uint64_t range;
};

/* The units that a thread begins with. */
typedef void share_cut_fn(const void *cx, unsigned thread, uint32_t *lo, uint32_t *hi);

/* One stage, as all threads see it. */
struct share_round {
    struct share *share;
    unsigned threads;
    uint32_t number; /* of the round: another one than the round before */
    uint32_t least;  /* units of a piece */
    share_cut_fn *cut;
    const void *cx;
};

/* The next piece for a thread; false: all units are taken. Rounds are parted by barriers.
 */
bool share_take(const struct share_round *r, unsigned thread, uint32_t *lo, uint32_t *hi);

#endif
