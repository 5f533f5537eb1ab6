/*
 * cases.bin: a u32 count, then for each case a head, its buffers, its stages, its scalars,
 * the bytes of all buffers before, and those of all buffers after.
 */
#ifndef HYP_TESTS_CODEGEN_EMULATE_H
#define HYP_TESTS_CODEGEN_EMULATE_H

#include <stdint.h>

enum { EMULATE_SEED = 7 }; /* of all draws */

struct emulate_case {
    uint64_t seed;
    int64_t batch;
    uint32_t nbuf, nscalar, nstage, none;
};
struct emulate_buffer {
    uint64_t bytes, elems, dtype; /* bytes: with slack rows; elems: without */
};
struct emulate_stage {
    uint64_t units, scratch;
};

#endif
