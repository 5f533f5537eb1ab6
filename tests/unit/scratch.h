/* A folder of its own for a test program, and small helpers for files in it. */
#ifndef HYP_TESTS_UNIT_SCRATCH_H
#define HYP_TESTS_UNIT_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

extern char scratch_dir[256];

int scratch_setup(void **state); /* cmocka group functions */
int scratch_teardown(void **state);

/* A path in the folder; a few stay valid at a time. */
const char *scratch_path(const char *name);
/* Write a file, making the folders above it. */
void scratch_put(const char *name, const void *bytes, size_t n);
void scratch_put_text(const char *name, const char *text);
void scratch_put_gz(const char *name, const void *bytes, size_t n);

/* A big-endian IDX file of unsigned bytes into out; returns its length. */
size_t scratch_idx(uint8_t *out, uint32_t rank, const uint32_t *dim, const uint8_t *data);

#endif
