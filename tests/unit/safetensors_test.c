/* Safetensors: the bytes of the reference implementation, and every kind of damage. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/file.h"
#include "runtime/safetensors.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/scratch.h"

static struct arena *arena;

/* length, header, data */
static size_t make(uint8_t *out, const char *header, const void *data, size_t ndata)
{
    const uint64_t length = strlen(header);
    for (unsigned i = 0; i < 8; i++)
        out[i] = (uint8_t)(length >> (8 * i));
    for (uint64_t i = 0; i < length; i++)
        out[8 + i] = (uint8_t)header[i];
    memcpy(out + 8 + length, data, ndata);
    return 8 + length + ndata;
}

static void writes_the_format(void **state)
{
    static const float a[3] = {1, 2, 3};
    static const int64_t b[2] = {-1, 5};
    static const uint8_t c[1] = {7};
    const struct safetensor tensors[] = {
        {.name = "up.z.weight",
         .dtype = SAFETENSORS_F32,
         .rank = 2,
         .dim = {1, 3},
         .data = a},
        {.name = "cursor/cycle",
         .dtype = SAFETENSORS_I64,
         .rank = 1,
         .dim = {2},
         .data = b},
        {.name = "b\"", .dtype = SAFETENSORS_U8, .data = c},
    };
    const struct safetensors_note note = {"version", "0.1"};
    const struct safetensors s = {3, 1, tensors, &note};
    static const char header[] =
        "{\"__metadata__\":{\"version\":\"0.1\"},"
        "\"up.z.weight\":{\"dtype\":\"F32\",\"shape\":[1,3],\"data_offsets\":[0,12]},"
        "\"cursor/cycle\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[12,28]},"
        "\"b\\\"\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[28,29]}}";
    uint8_t *got = NULL;
    size_t n = 0;
    (void)state;
    assert_int_equal(safetensors_write(scratch_path("w"), &s, NULL), HYP_OK);
    assert_int_equal(file_read(scratch_path("w"), 1 << 20, &got, &n, NULL), HYP_OK);
    assert_int_not_equal((sizeof header - 1) % 8, 0); /* or padding were not tested */
    const size_t text = sizeof header - 1, padded = (text + 7) / 8 * 8;
    assert_int_equal(n, 8 + padded + 29);
    assert_int_equal(got[0] | got[1] << 8, padded);
    assert_memory_equal(got + 8, header, text);
    for (size_t i = text; i < padded; i++)
        assert_int_equal(got[8 + i], ' ');
    assert_memory_equal(got + 8 + padded, a, 12);
    assert_memory_equal(got + 8 + padded + 12, b, 16);
    assert_int_equal(got[n - 1], 7);

    struct safetensors back;
    assert_int_equal(safetensors_parse(arena, got, n, "w", &back, NULL), HYP_OK);
    assert_int_equal(back.ntensor, 3);
    assert_string_equal(safetensors_note(&back, "version"), "0.1");
    assert_null(safetensors_note(&back, "format"));
    const struct safetensor *t = safetensors_find(&back, "cursor/cycle");
    assert_non_null(t);
    assert_int_equal(t->dtype, SAFETENSORS_I64);
    assert_int_equal(t->nbytes, 16);
    assert_memory_equal(t->data, b, 16);
    assert_null(safetensors_find(&back, "cursor"));
    hyp_free(got);
}

/* safetensors.numpy.save({'a': arange(3, f4), 'b.c': ones((2, 2), i8)}, {'format': 'x'}),
 * 0.5 */
static void reads_the_reference_file(void **state)
{
    char path[1024];
    uint8_t *bytes = NULL;
    size_t n = 0;
    struct safetensors s;
    (void)state;
    const char *root = getenv("HYP_SOURCE_DIR");
    snprintf(path, sizeof path, "%s/tests/fuzz/corpus/safetensors/plain",
             root ? root : ".");
    assert_int_equal(file_read(path, 1 << 20, &bytes, &n, NULL), HYP_OK);
    assert_int_equal(safetensors_parse(arena, bytes, n, "plain", &s, NULL), HYP_OK);
    assert_int_equal(s.ntensor, 2);
    assert_string_equal(safetensors_note(&s, "format"), "x");
    const struct safetensor *a = safetensors_find(&s, "a"),
                            *b = safetensors_find(&s, "b.c");
    float x[3];
    int64_t y[4];
    memcpy(x, a->data, sizeof x);
    memcpy(y, b->data, sizeof y);
    assert_true(x[0] == 0 && x[1] == 1 && x[2] == 2);
    assert_true(y[0] == 1 && y[3] == 1 && b->rank == 2 && b->dim[1] == 2);
    hyp_free(bytes);
}

static void damage_is_named(void **state)
{
#define T(name, dtype, shape, from, to)                                                    \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #from   \
    "," #to "]}"
    static const struct {
        const char *header, *words;
    } rows[] = {
        {"{" T("a", "F16", "[2]", 0, 4) "}",
         "tensor `a`|F32, F64, I32, I64 or U8|found `F16`"},
        {"{" T("a", "F32", "[2]", 0, 4) "}", "takes 8 bytes|[0, 4]|4 apart"},
        {"{" T("a", "F32", "[1]", 0, 8) "}", "takes 4 bytes|8 apart"},
        {"{" T("a", "F32", "[3]", 0, 12) "}", "within 8 bytes of data, found [0, 12]"},
        {"{" T("a", "F32", "[1]", 4, 0) "}", "found [4, 0]"},
        {"{" T("a", "F32", "[1]", 4, 8) "}", "tensor `a` begins at 4|nothing covers"},
        {"{" T("a", "F32", "[1]", 0, 4) "}", "expected 4 bytes of data, found 8"},
        {"{" T("a", "U8", "[5]", 0, 5) "," T("b", "U8", "[4]", 4, 8) "}",
         "tensor `b` begins at 4|within"},
        {"{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[1]", 0, 4) "}",
         "tensor `|begins at 0|within"},
        {"{" T("a", "F32", "[1]", 0, 4) "," T("a", "F32", "[1]", 4, 8) "}",
         "two tensors are called `a`|"},
        {"{" T("a", "F32", "[-1]", 0, 4) "}", "extent 0 is no whole number"},
        {"{" T("a", "F32", "[1.5]", 0, 4) "}", "extent 0 is no whole number"},
        {"{" T("a", "F32", "[4294967296,4294967296]", 0, 0) "}", "too large"},
        {"{" T("a", "F32", "[1,1,1,1,1,1,1,1,2]", 0, 8) "}", "at most 8 extents"},
        {"{\"a\":{\"shape\":[],\"data_offsets\":[0,8]}}", "expected a dtype"},
        {"{\"a\":{\"dtype\":\"F64\",\"data_offsets\":[0,8]}}", "expected a shape"},
        {"{\"a\":{\"dtype\":\"F64\",\"shape\":[]}}", "two data_offsets"},
        {"{\"a\":1}", "tensor `a` is no object"},
        {"{\"__metadata__\":{\"a\":1}}", "`a` is no string"},
        {"{\"__metadata__\":[]}", "to be an object"},
        {"[]", "offset 8: expected a JSON object"},
        {"{\"a\":}", "offset 13: the header is no JSON"},
        {"{}", "expected 0 bytes of data, found 8"},
    };
    uint8_t file[1024];
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct safetensors s;
        struct hyp_error err = {0};
        char words[128];
        const size_t n = make(file, rows[i].header, "12345678", 8);
        assert_int_equal(safetensors_parse(arena, file, n, "x.st", &s, &err), HYP_EFORMAT);
        snprintf(words, sizeof words, "%s", rows[i].words);
        for (char *w = strtok(words, "|"); w; w = strtok(NULL, "|"))
            if (!strstr(err.text, w))
                fail_msg("row %u: `%s` lacks `%s`", i, err.text, w);
    }
#undef T
}

static void damage_of_the_length_is_named(void **state)
{
    uint8_t file[64];
    struct safetensors s;
    struct hyp_error err = {0};
    (void)state;
    const size_t n = make(file, "{}      ", "", 0);
    assert_int_equal(safetensors_parse(arena, file, n, "x", &s, NULL), HYP_OK);
    assert_int_equal(safetensors_parse(arena, file, 7, "x", &s, &err), HYP_EFORMAT);
    assert_non_null(strstr(err.text, "length of 8 bytes, found 7"));
    err = (struct hyp_error){0};
    assert_int_equal(safetensors_parse(arena, file, n - 1, "x", &s, &err), HYP_EFORMAT);
    assert_non_null(strstr(err.text, "at most 7 bytes, found the length 8"));
    memset(file, 0xff, 8);
    err = (struct hyp_error){0};
    assert_int_equal(safetensors_parse(arena, file, n, "x", &s, &err), HYP_EFORMAT);
    assert_non_null(strstr(err.text, "18446744073709551615"));
}

static void writer_refuses_what_nobody_could_read(void **state)
{
    static const float x[1] = {0};
    struct safetensor t[2] = {{.name = "a", .data = x}, {.name = "a", .data = x}};
    struct safetensors s = {2, 0, t, NULL};
    (void)state;
    assert_int_equal(safetensors_write(scratch_path("no"), &s, NULL), HYP_EARG);
    t[1].name = "__metadata__";
    assert_int_equal(safetensors_write(scratch_path("no"), &s, NULL), HYP_EARG);
    t[1].name = "b";
    t[1].rank = 9;
    assert_int_equal(safetensors_write(scratch_path("no"), &s, NULL), HYP_EARG);
    assert_false(file_exists(scratch_path("no")));
    t[1].rank = 0;
    for (uint64_t n = 1, done = 0; !done; n++) {
        hyp_io_fail_at(n);
        done = safetensors_write(scratch_path("no"), &s, NULL) == HYP_OK;
        hyp_io_fail_at(0);
        if (!done && n < 3)
            assert_false(file_exists(scratch_path("no")));
        assert_in_range(n, 1, 50);
    }
    assert_true(file_exists(scratch_path("no")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_format),
        cmocka_unit_test(reads_the_reference_file),
        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(damage_of_the_length_is_named),
        cmocka_unit_test(writer_refuses_what_nobody_could_read),
    };
    arena = arena_new();
    const int failed =
        cmocka_run_group_tests_name("safetensors", tests, scratch_setup, scratch_teardown);
    arena_free(arena);
    return failed;
}
