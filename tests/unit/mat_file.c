#include "tests/unit/mat_file.h"

#include <string.h>
#include <zlib.h>

#include "tests/unit/cmocka_all.h"

static void put(struct mat_file *f, uint64_t bits, unsigned size)
{
    assert_true(f->n + size <= sizeof f->bytes);
    for (unsigned i = 0; i < size; i++)
        f->bytes[f->n++] = (uint8_t)(bits >> 8 * (f->big ? size - 1 - i : i));
}

static void pad(struct mat_file *f)
{
    while ((f->n - f->start) % 8)
        put(f, 0, 1);
}

void mat_file_begin(struct mat_file *f, bool big)
{
    memset(f, 0, sizeof *f);
    f->big = big;
    memset(f->bytes, ' ', 116);
    memcpy(f->bytes, "MATLAB 5.0 MAT-file", 19);
    f->n = 124;
    put(f, 0x0100, 2);
    put(f, 0x4D49, 2);
}

/* A tag; up to 4 bytes of data go into its second half. */
static void tag(struct mat_file *f, uint32_t type, size_t nbytes)
{
    const bool brief = nbytes > 0 && nbytes <= 4;
    put(f, brief ? (uint32_t)nbytes << 16 | type : type, 4);
    if (!brief)
        put(f, nbytes, 4);
}

void mat_file_array(struct mat_file *f, const char *name, uint32_t flags, uint32_t rank,
                    const uint32_t *dim)
{
    f->start = f->n;
    put(f, MI_MATRIX, 4);
    put(f, 0, 4);
    tag(f, MI_UINT32, 8);
    put(f, flags, 4);
    put(f, 0, 4);
    tag(f, MI_INT32, 4 * (size_t)rank);
    for (uint32_t i = 0; i < rank; i++)
        put(f, dim[i], 4);
    pad(f);
    tag(f, MI_INT8, strlen(name));
    for (; *name; name++)
        put(f, (uint8_t)*name, 1);
    pad(f);
}

void mat_file_bytes(struct mat_file *f, const void *bytes, size_t n)
{
    tag(f, MI_UINT8, n);
    for (size_t i = 0; i < n; i++)
        put(f, ((const uint8_t *)bytes)[i], 1);
    pad(f);
}

static uint64_t as_bits(uint32_t type, double x)
{
    const float single = (float)x;
    uint64_t bits = 0;
    if (type == MI_SINGLE)
        memcpy(&bits, &single, sizeof single);
    else if (type == MI_DOUBLE)
        memcpy(&bits, &x, sizeof x);
    else
        bits = (uint64_t)(int64_t)x;
    return bits;
}

void mat_file_numbers(struct mat_file *f, uint32_t type, const double *x, size_t n)
{
    static const uint8_t size[] = {0, 1, 1, 2, 2, 4, 4, 4, 0, 8, 0, 0, 8, 8};
    tag(f, type, n * size[type]);
    for (size_t i = 0; i < n; i++)
        put(f, as_bits(type, x[i]), size[type]);
    pad(f);
}

void mat_file_close(struct mat_file *f, size_t at, bool pack)
{
    const size_t end = f->n;
    f->n = at + 4;
    put(f, end - at - 8, 4);
    f->n = end;
    if (pack)
        mat_file_pack(f, at);
}

void mat_file_pack(struct mat_file *f, size_t at)
{
    static uint8_t packed[1 << 16];
    uLongf n = sizeof packed;
    assert_int_equal(compress(packed, &n, f->bytes + at, f->n - at), Z_OK);
    f->n = at;
    put(f, MI_COMPRESSED, 4);
    put(f, n, 4);
    assert_true(f->n + n <= sizeof f->bytes);
    memcpy(f->bytes + f->n, packed, n);
    f->n += n;
}
