/*
 * The safetensors format: a little-endian 64-bit length, a JSON header of that length
 * padded with spaces to a multiple of 8, then the tensors' bytes, in the header's order,
 * without gaps.
 */
#ifndef HYP_RUNTIME_SAFETENSORS_H
#define HYP_RUNTIME_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

struct arena;
struct file_writer;

enum { SAFETENSORS_MAX_RANK = 8 };

enum safetensors_dtype {
    SAFETENSORS_F32,
    SAFETENSORS_F64,
    SAFETENSORS_I32,
    SAFETENSORS_I64,
    SAFETENSORS_U8,
    SAFETENSORS_NTYPE
};

const char *safetensors_dtype_name(enum safetensors_dtype t); /* "F32" */
size_t safetensors_dtype_size(enum safetensors_dtype t);

struct safetensor {
    const char *name;
    enum safetensors_dtype dtype;
    uint32_t rank;
    uint64_t dim[SAFETENSORS_MAX_RANK];
    const void *data; /* may be NULL for the streaming writer */
    uint64_t nbytes;  /* filled by the reader */
};

struct safetensors_note { /* an entry of __metadata__ */
    const char *key, *value;
};

struct safetensors {
    uint32_t ntensor, nnote;
    const struct safetensor *tensor; /* in the order of their data */
    const struct safetensors_note *note;
};

/*
 * Streaming: the header goes to a file begun with file_begin(); the caller then writes each
 * tensor's bytes in order with file_write() and commits.  Two tensors of one name, a name
 * `__metadata__` or a rank above the limit are HYP_EARG.
 */
enum hyp_status safetensors_header(struct file_writer *w, const struct safetensors *s,
                                   struct hyp_error *err);
/* All at once and atomically; every tensor has its data. */
enum hyp_status safetensors_write(const char *path, const struct safetensors *s,
                                  struct hyp_error *err);

/*
 * Check a whole file in memory; what *out points to lives in `a` and in `bytes`.
 * HYP_EFORMAT names file, offset, expected and found: a header that is no such JSON, an
 * unknown dtype, sizes that disagree, tensors that overlap or leave gaps, bytes behind the
 * last one.  Data are aligned as the file has them.
 */
enum hyp_status safetensors_parse(struct arena *a, const uint8_t *bytes, size_t n,
                                  const char *file, struct safetensors *out,
                                  struct hyp_error *err);

/* NULL: absent. */
const struct safetensor *safetensors_find(const struct safetensors *s, const char *name);
const char *safetensors_note(const struct safetensors *s, const char *key);

#endif
