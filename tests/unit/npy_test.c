/* NPY: what NumPy wrote is read, what is written NumPy reads, damage is named. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/npy.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/scratch.h"

/* numpy.save of numpy.arange(6, dtype='<f4').reshape(2, 3) * 0.5, version 1.0. */
static const char numpy_dict[] =
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";

/* A file of the given version around `dict`, the header padded to 118 bytes; returns its
 * length. */
static size_t make(uint8_t *out, unsigned version, const char *dict, const void *data,
                   size_t ndata)
{
    const size_t length = 118, begin = version == 1 ? 10 : 12;
    memset(out, ' ', begin + length);
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (uint8_t)version;
    out[7] = 0;
    out[8] = (uint8_t)length;
    out[9] = 0;
    if (version > 1)
        out[10] = out[11] = 0;
    memcpy(out + begin, dict, strlen(dict));
    out[begin + length - 1] = '\n';
    memcpy(out + begin + length, data, ndata);
    return begin + length + ndata;
}

static void refuse(const uint8_t *bytes, size_t n, const char *words)
{
    struct npy_array a;
    struct hyp_error err = {0};
    char copy[256];

    assert_int_equal(npy_parse(bytes, n, "x.npy", &a, &err), HYP_EFORMAT);
    assert_non_null(strstr(err.text, "x.npy"));
    snprintf(copy, sizeof copy, "%s", words);
    for (char *w = strtok(copy, "|"); w; w = strtok(NULL, "|"))
        if (!strstr(err.text, w))
            fail_msg("`%s` lacks `%s`", err.text, w);
}

static void reads_all_versions(void **state)
{
    static const float values[6] = {0, 0.5F, 1, 1.5F, 2, 2.5F};
    uint8_t file[512];
    struct npy_array a;
    (void)state;
    for (unsigned version = 1; version <= 3; version++) {
        const size_t n = make(file, version, numpy_dict, values, sizeof values);
        assert_int_equal(npy_parse(file, n, "x.npy", &a, NULL), HYP_OK);
        assert_int_equal(a.type, NPY_F32);
        assert_int_equal(a.rank, 2);
        assert_int_equal(a.dim[0], 2);
        assert_int_equal(a.dim[1], 3);
        assert_int_equal(a.offset, version == 1 ? 128 : 130);
        for (uint64_t i = 0; i < 6; i++)
            assert_true(npy_number(&a, i) == values[i]);
    }
}

/* Every element type at its extremes. */
static void reads_all_types(void **state)
{
    static const struct {
        const char *descr;
        uint8_t bytes[8];
        double value;
    } rows[] = {
        {"<f4", {0, 0, 0x20, 0xc0}, -2.5},
        {"<f8", {0, 0, 0, 0, 0, 0, 4, 0xc0}, -2.5},
        {"|i1", {0x80}, -128},
        {"<i2", {0, 0x80}, -32768},
        {"<i4", {0, 0, 0, 0x80}, -2147483648.0},
        {"<i8", {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, -2},
        {"|u1", {0xff}, 255},
        {"<u2", {0xff, 0xff}, 65535},
        {"<u4", {0xff, 0xff, 0xff, 0xff}, 4294967295.0},
        {"|b1", {1}, 1},
        {"=f4", {0, 0, 0x80, 0x3f}, 1},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t file[512];
        char dict[128];
        struct npy_array a;
        snprintf(dict, sizeof dict,
                 "{\"shape\": (), \"descr\": \"%s\", \"fortran_order\": True}",
                 rows[i].descr);
        size_t n = make(file, 1, dict, rows[i].bytes, 8);
        const size_t size = (size_t)(rows[i].descr[2] - '0');
        n -= 8 - size;
        assert_int_equal(npy_parse(file, n, "x.npy", &a, NULL), HYP_OK);
        assert_int_equal(a.rank, 0);
        assert_true(npy_number(&a, 0) == rows[i].value);
    }
}

static void damage_is_named(void **state)
{
    static const struct {
        const char *dict, *words;
    } rows[] = {
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (6,)}",
         "offset 20|little-endian|`>f4`"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (3,)}", "`<c8`"},
        {"{'descr': [('a', '<f4')], 'shape': (6,)}",
         "offset 20: expected a quoted word, found `[`"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}",
         "expected C order, found Fortran"},
        {"{'descr': '<f4', 'fortran_order': no, 'shape': (2, 3)}",
         "expected True or False, found `n`"},
        {"{'descr': '<f4', 'shape': (2, 3)}", "lacks"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, -3)}",
         "offset 64: expected an extent, found `-`"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
         "too large"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
         "too many elements"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}",
         "more than 8 axes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)} x",
         "the end of the header, found `x`"},
        {"{'descr': '<f4' 'shape': (2, 3)}", "expected `,` or `}`, found `'`"},
        {"{'descr': '<f4', 'order': 1}", "unknown header key `order`"},
        {"('descr')", "offset 10: expected `{`, found `(`"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3", "and the header ends"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}",
         "expected 16 bytes of data at offset 128, found 24"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4)}",
         "expected 32 bytes of data at offset 128, found 24"},
    };
    static const float values[6];
    uint8_t file[512];
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        refuse(file, make(file, 1, rows[i].dict, values, sizeof values), rows[i].words);
}

static void damage_of_the_frame_is_named(void **state)
{
    static const float values[6];
    uint8_t file[512];
    (void)state;
    const size_t n = make(file, 2, numpy_dict, values, sizeof values);
    refuse(file, 0, "offset 0: expected an NPY file, found its end");
    refuse(file, 11, "offset 8: the header's length is cut off");
    refuse(file, 100, "expected a header of 130 bytes, found 100");
    refuse(file, n - 1, "found 23");
    file[11] = 0xff;
    refuse(file, n, "expected a header of 4278190210 bytes");
    file[6] = 4;
    refuse(file, n, "offset 6: expected version 1, 2 or 3, found 4");
    file[0] = 0;
    refuse(file, n, "offset 0: expected an NPY file, found other bytes");
}

static void writes_what_numpy_writes(void **state)
{
    static const float values[6] = {0, 0.5F, 1, 1.5F, 2, 2.5F};
    const uint64_t dim[2] = {2, 3};
    uint8_t want[512], *got = NULL;
    size_t n = 0;
    (void)state;
    const size_t size = make(want, 1, numpy_dict, values, sizeof values);
    assert_int_equal(npy_write(scratch_path("w.npy"), NPY_F32, 2, dim, values, NULL),
                     HYP_OK);
    assert_int_equal(file_read(scratch_path("w.npy"), 1 << 20, &got, &n, NULL), HYP_OK);
    assert_int_equal(n, size);
    assert_memory_equal(got, want, n);
    hyp_free(got);
}

static void round_trips(void **state)
{
    static const int64_t values[24] = {1, -2, 3, INT64_MAX, INT64_MIN};
    const uint64_t dim[NPY_MAX_RANK] = {1, 2, 3, 4, 1, 1, 1, 1};
    static const uint32_t ranks[] = {0, 1, 4, 8};
    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        struct npy_array a;
        uint8_t *bytes = NULL;
        size_t n = 0;
        assert_int_equal(
            npy_write(scratch_path("r.npy"), NPY_I64, ranks[k], dim, values, NULL), HYP_OK);
        assert_int_equal(file_read(scratch_path("r.npy"), 1 << 20, &bytes, &n, NULL),
                         HYP_OK);
        assert_int_equal(npy_parse(bytes, n, "r.npy", &a, NULL), HYP_OK);
        assert_int_equal(a.offset % 64, 0);
        assert_int_equal(a.rank, ranks[k]);
        for (uint64_t i = 0; i < a.count; i++)
            assert_true(npy_integer(&a, i) == values[i]);
        hyp_free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_versions),
        cmocka_unit_test(reads_all_types),
        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(damage_of_the_frame_is_named),
        cmocka_unit_test(writes_what_numpy_writes),
        cmocka_unit_test(round_trips),
    };
    return cmocka_run_group_tests_name("npy", tests, scratch_setup, scratch_teardown);
}
