/*
 * Inside the generator of random kernels.  Files: kernel_gen.c (pieces, most kernels, data)
 * and kernel_gen_window.c (convolutions, windows).  Every piece draws from g->state: the
 * order of calls is part of what a seed means.
 */
#ifndef HYP_TESTS_PROP_KERNEL_GEN_INTERNAL_H
#define HYP_TESTS_PROP_KERNEL_GEN_INTERNAL_H

#include "tests/prop/kernel_gen.h"

struct gen {
    struct arena *a;
    struct kernel *k;
    uint64_t state;
    uint32_t cap_buf, cap_stage;
};

bool gen_maybe(struct gen *g, int32_t percent);
int32_t gen_pick(struct gen *g, const int32_t *from, int32_t n);
#define PICK(g, list) gen_pick(g, list, (int32_t)(sizeof(list) / sizeof *(list)))
int32_t gen_some_rows(struct gen *g); /* extents around those of tiles and lanes */
int32_t gen_some_cols(struct gen *g);
struct ext gen_batch_or(struct gen *g, int32_t c);

uint8_t gen_axis(struct gen *g, char name, struct ext e);
uint16_t gen_buffer(struct gen *g, uint8_t dtype, uint8_t use, const uint8_t *ax,
                    uint8_t n);
struct index gen_walk(struct gen *g, const uint8_t *ax, uint8_t n); /* row-major */

/* A stage over the axes, and what its value may be made of. */
uint32_t gen_stage(struct gen *g, enum kstage_op op, const uint8_t *ax, uint8_t n);
uint32_t gen_sum(struct gen *g, enum form_order order, const uint8_t *ax, uint8_t n,
                 const uint8_t *red, uint8_t nred);
sx_id gen_read_buf(struct gen *g, uint32_t st, uint16_t buf, struct index x);
sx_id gen_read_new(struct gen *g, uint32_t st, const uint8_t *ax, uint8_t n);
sx_id gen_read_stage(struct gen *g, uint32_t st, uint32_t from);
sx_id gen_broadcast(struct gen *g, uint32_t st, const uint8_t *ax, uint8_t n);
sx_id gen_mix(struct gen *g, sx_id x, sx_id y);
void gen_store_new(struct gen *g, uint32_t st);

/* Whole kernels of kernel_gen_window.c. */
void gen_windows(struct gen *g);
void gen_images(struct gen *g);
void gen_pools(struct gen *g);

#endif
