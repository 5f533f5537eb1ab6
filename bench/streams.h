/*
 * What memory gives: a loop that does nothing but load and store, as many streams at once
 * as a kernel has.  Compiled for the machine it runs on.
 */
#ifndef HYP_BENCH_STREAMS_H
#define HYP_BENCH_STREAMS_H

#include <stdbool.h>
#include <stddef.h>

enum { STREAMS_MOST = 4, STREAMS_STEP = 64 }; /* floats that ranges are multiples of */

/* An output may be an input as well. */
struct streams {
    float *in[STREAMS_MOST], *out[STREAMS_MOST];
    unsigned nin, nout;
};

/*
 * Elements from..to-1: every output gets the inputs' mean; without any their sum is lost.
 * `around`: stores do not go through the caches.  False: there is no such loop.
 */
bool streams_pass(const struct streams *s, size_t from, size_t to, bool around);

#endif
