/*
 * MATLAB's level 5 format: real numeric arrays by their names.
 *
 * Either byte order, elements packed with zlib or not, short elements, arrays in any order.
 * Not read: level 4, 7.3 (which is HDF5), complex and sparse arrays, cells, structs, text.
 */
#ifndef HYP_RUNTIME_MAT_H
#define HYP_RUNTIME_MAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

enum { MAT_MAX_RANK = 8, MAT_NAME_SIZE = 64 };

struct mat_array {
    char name[MAT_NAME_SIZE];
    const char *class_name; /* what it is in MATLAB: "uint8", "double" */
    uint32_t rank, dim[MAT_MAX_RANK];
    uint64_t count;      /* elements, the first axis running fastest */
    unsigned type;       /* how an element is stored: mat.c's table */
    bool big;            /* stored big end first */
    const uint8_t *data; /* any alignment; in `block`, or in the bytes of the file */
    uint8_t *block;      /* owned: what was unpacked; or NULL */
};

/*
 * The array called `name`.  HYP_EFORMAT names file, offset, what was expected and found.
 * No more than about `limit` bytes are unpacked.  `bytes` are needed until mat_fini().
 */
enum hyp_status mat_find(const uint8_t *bytes, size_t n, const char *file, const char *name,
                         size_t limit, struct mat_array *out, struct hyp_error *err);
void mat_fini(struct mat_array *a); /* safe on zeroed ones, and twice */

bool mat_is_bytes(const struct mat_array *a); /* class uint8, stored as it is */
/* Element i as a number; exact, but for 64-bit integers beyond 2^53. */
double mat_number(const struct mat_array *a, uint64_t i);

#endif
