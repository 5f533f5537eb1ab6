/*
 * Inside the generator of random kernels.  Files: kernel_gen.c (seeds, data),
 * kernel_gen_piece.c (what kernels are made of) and four of whole kernels: _map, _form,
 * _index, _window.  Every piece draws from g->state: the order of calls is part of what a
 * seed means.
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
int32_t gen_some_reds(struct gen *g);
struct ext gen_batch_or(struct gen *g, int32_t c);

uint8_t gen_axis(struct gen *g, char name, struct ext e);
uint16_t gen_buffer(struct gen *g, uint8_t dtype, uint8_t use, const uint8_t *ax,
                    uint8_t n);
struct index gen_walk(struct gen *g, const uint8_t *ax, uint8_t n); /* row-major */

/* A stage over the axes; of a sum, with one segment without factors. */
uint32_t gen_stage(struct gen *g, enum kstage_op op, const uint8_t *ax, uint8_t n);
uint32_t gen_sum(struct gen *g, enum form_order order, const uint8_t *ax, uint8_t n,
                 const uint8_t *red, uint8_t nred);

/* Operands of a stage: a buffer at an index, all of it, a new one over the axes (float
 * unless typed), a new one over some of them, another stage. */
sx_id gen_read_buf(struct gen *g, uint32_t st, uint16_t buf, struct index x);
sx_id gen_read_all(struct gen *g, uint32_t st, uint16_t buf, const uint8_t *ax, uint8_t n);
sx_id gen_read_typed(struct gen *g, uint32_t st, uint8_t dtype, const uint8_t *ax,
                     uint8_t n);
sx_id gen_read_new(struct gen *g, uint32_t st, const uint8_t *ax, uint8_t n);
sx_id gen_broadcast(struct gen *g, uint32_t st, const uint8_t *ax, uint8_t n);
sx_id gen_read_stage(struct gen *g, uint32_t st, uint32_t from);

/* Values: some function of two; a draw at the stage's own element (sample: which axis is
 * the batch, or -1). */
sx_id gen_op2(struct gen *g, enum sx_op op, sx_id x, sx_id y);
sx_id gen_number(struct gen *g);
sx_id gen_mix(struct gen *g, sx_id x, sx_id y);
sx_id gen_draw(struct gen *g, uint32_t st, int sample);

/* Store what a stage makes, over its own axes. */
void gen_store(struct gen *g, uint32_t st, uint16_t buf);
void gen_store_new(struct gen *g, uint32_t st);

/* What follows a stage: y := y / 2 + it in place; sums along its rows and maps of those;
 * sums down its columns. */
void gen_update(struct gen *g, uint32_t from);
void gen_row_tail(struct gen *g, const uint8_t ax[2], uint32_t y);
void gen_column_tail(struct gen *g, const uint8_t ax[2], uint32_t y);

/* Whole kernels: kernel_gen_map.c, */
void gen_maps(struct gen *g);
void gen_rows(struct gen *g);
void gen_places(struct gen *g);
void gen_scalars(struct gen *g);
void gen_in_place(struct gen *g);
void gen_old_value(struct gen *g);
void gen_types(struct gen *g);
/* kernel_gen_form.c, */
void gen_contract(struct gen *g);
void gen_chunks(struct gen *g);
void gen_weights(struct gen *g);
void gen_parts(struct gen *g);
void gen_batched(struct gen *g);
void gen_spread(struct gen *g);
void gen_pairs(struct gen *g);
/* kernel_gen_index.c, */
void gen_digits(struct gen *g);
void gen_gather(struct gen *g);
void gen_scatter(struct gen *g);
/* kernel_gen_window.c */
void gen_windows(struct gen *g);
void gen_images(struct gen *g);
void gen_pools(struct gen *g);

#endif
