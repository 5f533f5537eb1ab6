/*
 * NumPy's .npy format, versions 1 to 3, little-endian, C order.
 *
 * Read: f4 f8 i1 i2 i4 i8 u1 u2 u4 and bool.  Write: any of them, version 1.
 */
#ifndef HYP_RUNTIME_NPY_H
#define HYP_RUNTIME_NPY_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

enum { NPY_MAX_RANK = 8 };

enum npy_type {
    NPY_F32,
    NPY_F64,
    NPY_I8,
    NPY_I16,
    NPY_I32,
    NPY_I64,
    NPY_U8,
    NPY_U16,
    NPY_U32,
    NPY_BOOL,
    NPY_NTYPE
};

size_t npy_size(enum npy_type t); /* bytes of one element */

struct npy_array {
    enum npy_type type;
    uint32_t rank;
    uint64_t dim[NPY_MAX_RANK];
    uint64_t count;      /* elements */
    uint64_t offset;     /* of the first element in the file */
    const uint8_t *data; /* into the bytes parsed, any alignment; NULL after npy_header() */
};

/*
 * The header of the first n bytes of a file.  HYP_EFORMAT names file, offset, what was
 * expected and found; *need is how many bytes the whole header takes where n was too few,
 * else 0.
 */
enum hyp_status npy_header(const uint8_t *bytes, size_t n, const char *file, size_t *need,
                           struct npy_array *out, struct hyp_error *err);
/* Header and data; the file must end where the data do. */
enum hyp_status npy_parse(const uint8_t *bytes, size_t n, const char *file,
                          struct npy_array *out, struct hyp_error *err);

/* Element i as a number; exact, but for 64-bit integers beyond 2^53. */
double npy_number(const struct npy_array *a, uint64_t i);
/* Element i of an integer or bool array. */
int64_t npy_integer(const struct npy_array *a, uint64_t i);

/* Written atomically; `data` holds the product of dim elements of `type`. */
enum hyp_status npy_write(const char *path, enum npy_type type, uint32_t rank,
                          const uint64_t *dim, const void *data, struct hyp_error *err);

#endif
