/* Writes MATLAB 5 files in memory, from the published format and not from our reader. */
#ifndef HYP_TESTS_UNIT_MAT_FILE_H
#define HYP_TESTS_UNIT_MAT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAT_DOUBLE = 6, MAT_UINT8 = 9 };
enum {
    MI_INT8 = 1,
    MI_UINT8,
    MI_INT16,
    MI_UINT16,
    MI_INT32,
    MI_UINT32,
    MI_SINGLE,
    MI_DOUBLE = 9,
    MI_INT64 = 12,
    MI_UINT64,
    MI_MATRIX,
    MI_COMPRESSED
};

struct mat_file {
    bool big;
    size_t n, start; /* bytes, and where the array begins */
    uint8_t bytes[1 << 16];
};

void mat_file_begin(struct mat_file *f, bool big);
/* The array's tag, flags (the class, and what is or-ed to it), extents and name. */
void mat_file_array(struct mat_file *f, const char *name, uint32_t flags, uint32_t rank,
                    const uint32_t *dim);
/* Its numbers: bytes as they are, or numbers as a type.  Few become a short element. */
void mat_file_bytes(struct mat_file *f, const void *bytes, size_t n);
void mat_file_numbers(struct mat_file *f, uint32_t type, const double *x, size_t n);
/* Its size goes into the tag that begins at `at`; packed, it is replaced. */
void mat_file_close(struct mat_file *f, size_t at, bool pack);
/* Pack all from `at` on as it is. */
void mat_file_pack(struct mat_file *f, size_t at);

#endif
