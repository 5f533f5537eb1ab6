/*
 * A range is one word: the round's number (8 bits), lo and hi (28 bits each).  Whoever
 * looks at a range first in a round cuts it, so that those of threads that do not run are
 * taken too.
 */
#include "runtime/share.h"

enum { BITS = 28, OWN = 4, OTHERS = 2 }; /* of what is left: the part taken at a time */

static uint64_t word_of(uint32_t number, uint32_t lo, uint32_t hi)
{
    return (uint64_t)number << 2 * BITS | (uint64_t)lo << BITS | hi;
}

static uint32_t low(uint64_t w)
{
    return (uint32_t)(w >> BITS) & (SHARE_UNITS - 1);
}

static uint32_t high(uint64_t w)
{
    return (uint32_t)w & (SHARE_UNITS - 1);
}

static uint64_t range_now(const struct share_round *r, unsigned thread)
{
    _Atomic uint64_t *range = &r->share[thread].range;
    uint64_t w = atomic_load(range);
    uint32_t lo, hi;
    if (w >> 2 * BITS == (r->number & 255))
        return w;
    r->cut(r->cx, thread, &lo, &hi);
    const uint64_t whole = word_of(r->number & 255, lo, hi);
    return atomic_compare_exchange_strong(range, &w, whole) ? whole : w;
}

static bool take_from(const struct share_round *r, unsigned whose, bool own, uint32_t *lo,
                      uint32_t *hi)
{
    uint64_t w = range_now(r, whose), left;
    do {
        *lo = low(w);
        *hi = high(w);
        if (*lo >= *hi)
            return false;
        uint32_t n = (*hi - *lo) / (own ? OWN : OTHERS);
        n = n < r->least ? r->least : n;
        if (n < *hi - *lo && own)
            *hi = *lo + n;
        else if (n < *hi - *lo)
            *lo = *hi - n;
        left = own ? word_of(r->number & 255, *hi, high(w))
                   : word_of(r->number & 255, low(w), *lo);
    } while (!atomic_compare_exchange_weak(&r->share[whose].range, &w, left));
    return true;
}

bool share_take(const struct share_round *r, unsigned thread, uint32_t *lo, uint32_t *hi)
{
    for (unsigned k = 0; k < r->threads; k++)
        if (take_from(r, (thread + k) % r->threads, k == 0, lo, hi))
            return true;
    return false;
}
