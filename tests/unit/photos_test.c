/* CIFAR-10 and SVHN: as published, as others write them, and damaged. */
#include <lzma.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/base/sha256.h"
#include "runtime/data.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/mat_file.h"
#include "tests/unit/scratch.h"

enum { PIXELS = 3072, RECORD = PIXELS + 1 };

static struct hyp_source_desc describe(const char *kind, const char *split)
{
    struct hyp_source_desc d;
    hyp_source_defaults(&d);
    d.name = "photos";
    d.kind = kind;
    d.split = split;
    d.batch = 4;
    return d;
}

static struct data_src *open_in(const struct hyp_source_desc *d, const char *dir)
{
    struct hyp_error err = {0};
    struct data_src *s = NULL;
    if (data_open(d, &dir, 1, NULL, &s, &err))
        fail_msg("%s", err.text);
    return s;
}

static void refuse(const char *kind, const char *split, enum hyp_status status,
                   const char *words)
{
    const char *dirs[] = {scratch_dir};
    const struct hyp_source_desc d = describe(kind, split);
    struct hyp_error err = {0};
    struct data_src *s = NULL;
    char copy[256];

    assert_int_equal(data_open(&d, dirs, 1, NULL, &s, &err), status);
    assert_null(s);
    snprintf(copy, sizeof copy, "%s", words);
    for (char *w = strtok(copy, "|"); w; w = strtok(NULL, "|"))
        if (!strstr(err.text, w))
            fail_msg("`%s` lacks `%s`", err.text, w);
}

/* What sample i of a source has to be. */
typedef uint8_t pixel_fn(unsigned i, unsigned channel, unsigned row, unsigned column);

static void check(struct data_src *s, unsigned n, pixel_fn *pixel, const int32_t *label)
{
    float x[PIXELS];
    int32_t y;
    assert_int_equal(data_count(s), n);
    assert_int_equal(data_classes(s), 10);
    for (unsigned i = 0; i < n; i++) {
        data_batch(s, 0, i, 1, x);
        data_batch(s, 1, i, 1, &y);
        assert_int_equal(y, label[i]);
        for (unsigned at = 0; at < PIXELS; at++) {
            const uint8_t v = pixel(i, at / 1024, at / 32 % 32, at % 32);
            assert_true(x[at] == (float)(v / 255.0));
        }
    }
}

/* ---- CIFAR-10 ---- */

static uint8_t record_pixel(unsigned i, unsigned channel, unsigned row, unsigned column)
{
    return (uint8_t)((i * PIXELS + channel * 1024 + row * 32 + column) * 2654435761U >> 11);
}

/* Records first to first + n - 1, labelled by their number. */
static size_t records(uint8_t *out, unsigned first, unsigned n)
{
    for (unsigned i = first; i < first + n; i++) {
        *out++ = (uint8_t)(i % 10);
        for (unsigned at = 0; at < PIXELS; at++)
            *out++ = record_pixel(i, at / 1024, at / 32 % 32, at % 32);
    }
    return (size_t)n * RECORD;
}

static void put_xz(const char *name, const uint8_t *bytes, size_t n, size_t cut, bool flip)
{
    static uint8_t packed[8 * RECORD];
    size_t len = 0;
    assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, NULL, bytes, n, packed,
                                             &len, sizeof packed),
                     LZMA_OK);
    packed[len / 2] ^= flip;
    scratch_put(name, packed, len - cut);
}

static const char names[] = "airplane\nautomobile\nbird\ncat\ndeer\r\n"
                            "dog\nfrog\nhorse\nship\ntruck\n\n";

static void put_cifar(void)
{
    static uint8_t bytes[5 * RECORD];
    scratch_put_gz("cifar10/data_batch_2.bin.gz", bytes, records(bytes, 0, 2));
    put_xz("cifar10/data_batch_4.bin.xz", bytes, records(bytes, 2, 3), 0, false);
    scratch_put("cifar10/test_batch.bin", bytes, records(bytes, 5, 1));
    scratch_put_text("cifar10/batches.meta.txt", names);
}

static void batches_that_are_there(void **state)
{
    static const int32_t label[] = {0, 1, 2, 3, 4, 5};
    (void)state;
    put_cifar();
    struct hyp_source_desc d = describe("cifar10", "train");
    struct data_src *s = open_in(&d, scratch_dir);
    check(s, 5, record_pixel, label);
    assert_string_equal(data_note(s), "2 of 5 training batches: 2 4");
    assert_string_equal(data_class_name(s, 4), "deer");
    assert_string_equal(data_class_name(s, 9), "truck");
    data_close(s);

    d = describe("cifar10", "test");
    d.scale[0] = -1;
    s = open_in(&d, scratch_dir);
    assert_string_equal(data_note(s), "");
    float x[PIXELS];
    data_batch(s, 0, 0, 1, x);
    for (unsigned at = 0; at < PIXELS; at++) {
        const uint8_t v = record_pixel(5, at / 1024, at / 32 % 32, at % 32);
        assert_true(x[at] == (float)(-1 + 2 * (v / 255.0)));
    }
    data_close(s);
    remove(scratch_path("cifar10/batches.meta.txt"));
    s = open_in(&d, scratch_dir);
    assert_null(data_class_name(s, 0));
    data_close(s);
}

static void damaged_batches(void **state)
{
    static uint8_t bytes[3 * RECORD];
    const char *const batch = "cifar10/data_batch_4.bin";
    (void)state;
    put_cifar();
    records(bytes, 0, 3);
    scratch_put(batch, bytes, 2 * RECORD + 1500);
    refuse("cifar10", NULL, HYP_EFORMAT,
           "data_batch_4.bin: expected records of 3073 bytes, found 7646|1500 after");
    scratch_put(batch, "", 0);
    refuse("cifar10", NULL, HYP_EFORMAT,
           "data_batch_4.bin: expected records|found 0 bytes");
    bytes[RECORD] = 10;
    scratch_put(batch, bytes, sizeof bytes);
    refuse("cifar10", NULL, HYP_EFORMAT,
           "data_batch_4.bin: offset 3073: expected a label 0 to 9, found 10");
    remove(scratch_path(batch));
    put_xz("cifar10/data_batch_4.bin.xz", bytes, sizeof bytes, 40, false);
    refuse("cifar10", NULL, HYP_EFORMAT, "data_batch_4.bin.xz: damaged xz data");
    put_xz("cifar10/data_batch_4.bin.xz", bytes, sizeof bytes, 0, true);
    refuse("cifar10", NULL, HYP_EFORMAT, "data_batch_4.bin.xz: damaged xz data");
    put_cifar();
    scratch_put_text("cifar10/batches.meta.txt", "cat\ndog\n");
    refuse("cifar10", NULL, HYP_EFORMAT, "batches.meta.txt: expected 10 names, found 2");
    scratch_put_text("cifar10/batches.meta.txt", names);
    remove(scratch_path("cifar10/data_batch_2.bin.gz"));
    remove(scratch_path("cifar10/data_batch_4.bin.xz"));
    refuse("cifar10", NULL, HYP_EMISSING,
           "data_batch_1.bin (or .gz, .xz) is missing: looked in|/cifar10");
    refuse("cifar10", "valid", HYP_EARG, "splits train and test, not `valid`");
}

/* A file that grows without end is given up at a size that no batch has. */
static void endless_batch(void **state)
{
    const size_t n = (size_t)66 << 20;
    uint8_t *zeros = calloc(n, 1);
    (void)state;
    scratch_put_gz("cifar10/data_batch_1.bin.gz", zeros, n);
    free(zeros);
    refuse("cifar10", NULL, HYP_EFORMAT, "data_batch_1.bin.gz: too large");
    remove(scratch_path("cifar10/data_batch_1.bin.gz"));
}

/* The real files, where they are: labels, and SHA-256 of all pixels and of all labels. */
static void real_batch(const char *dir, const char *split, const int32_t first[16],
                       const char *pixels, const char *labels)
{
    const struct hyp_source_desc d = describe("cifar10", split);
    struct data_src *s = open_in(&d, dir);
    struct sha256 hx, hy;
    uint8_t digest[32], bytes[PIXELS];
    float x[PIXELS];
    char hex[65];

    assert_int_equal(data_count(s), 10000);
    sha256_init(&hx);
    sha256_init(&hy);
    for (uint32_t i = 0; i < 10000; i++) {
        int32_t y;
        data_batch(s, 1, i, 1, &y);
        data_batch(s, 0, i, 1, x);
        assert_true(i >= 16 || y == first[i]);
        for (unsigned at = 0; at < PIXELS; at++)
            bytes[at] = (uint8_t)(x[at] * 255 + 0.5F);
        sha256_add(&hx, bytes, PIXELS);
        bytes[0] = (uint8_t)y;
        sha256_add(&hy, bytes, 1);
    }
    data_close(s);
    sha256_end(&hx, digest);
    sha256_hex(digest, hex);
    assert_string_equal(hex, pixels);
    sha256_end(&hy, digest);
    sha256_hex(digest, hex);
    assert_string_equal(hex, labels);
}

static void real_photographs(void **state)
{
    static const int32_t train[] = {6, 9, 9, 4, 1, 1, 2, 7, 8, 3, 4, 7, 7, 2, 9, 9},
                         test[] = {3, 8, 8, 0, 6, 6, 1, 6, 3, 1, 0, 9, 5, 7, 9, 8};
    const char *given = getenv("HYPNO_DATA"), *source = getenv("HYP_SOURCE_DIR");
    char dir[512], probe[600];
    (void)state;
    snprintf(dir, sizeof dir, "%s", given ? given : source ? source : ".");
    if (!given)
        strncat(dir, "/../shared/data", sizeof dir - strlen(dir) - 1);
    snprintf(probe, sizeof probe, "%s/cifar10/data_batch_1.bin.xz", dir);
    if (!file_exists(probe)) {
        print_message("skipped: there is no %s\n", probe);
        skip();
    }
    real_batch(dir, "train", train,
               "ab14ff7b2ce517d27f093af58e8e0992a627eb8620d74671a7a201f2bc74b04b",
               "d829dbdf32167c9d7b3687cee66d92d80d46c441308b5aca0d11e8b69e27dac9");
    real_batch(dir, "test", test,
               "1fe46ff47f5fb6c1b24f0b5448654cac0e0d3e1e0c16f9cbac842307814b553a",
               "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5");
}

/* ---- SVHN ---- */

/* As tests/reference/svhn.py has it. */
static uint8_t ramp(unsigned i, unsigned channel, unsigned row, unsigned column)
{
    return (uint8_t)(7 * row + 3 * column + 50 * channel + 11 * i);
}

static void written_by_scipy(void **state)
{
    static const int32_t label[] = {1, 9, 0, 5};
    char dir[512];
    const char *source = getenv("HYP_SOURCE_DIR");
    (void)state;
    snprintf(dir, sizeof dir, "%s/tests/reference/svhn", source ? source : ".");
    for (unsigned k = 0; k < 2; k++) {
        const struct hyp_source_desc d = describe("svhn", k ? "test" : "train");
        struct data_src *s = open_in(&d, dir);
        check(s, 4, ramp, label);
        data_close(s);
    }
}

static const uint8_t *ramps(unsigned n)
{
    static uint8_t x[4 * PIXELS];
    for (unsigned at = 0; at < n * PIXELS; at++)
        x[at] = ramp(at / PIXELS, at / 1024 % 3, at % 32, at / 32 % 32);
    return x;
}

/* What a test changes of a file of images and labels. */
struct recipe {
    bool big, pack, labels_first;
    unsigned n;
    uint32_t x_class, y_class, y_type, flags;
    uint32_t dim[4], y_count;
    double label[4];
};

static const struct recipe sound = {.n = 3,
                                    .x_class = MAT_UINT8,
                                    .y_class = MAT_UINT8,
                                    .y_type = MI_UINT8,
                                    .dim = {32, 32, 3, 3},
                                    .y_count = 3,
                                    .label = {10, 1, 7}};

static void put_images(struct mat_file *f, const struct recipe *r)
{
    const size_t at = f->n;
    mat_file_array(f, "X", r->x_class, r->n == 1 ? 3 : 4, r->dim);
    mat_file_bytes(f, ramps(r->n), (size_t)r->n * PIXELS);
    mat_file_close(f, at, r->pack);
}

static void put_labels(struct mat_file *f, const struct recipe *r)
{
    const uint32_t dim[] = {r->y_count, 1};
    const size_t at = f->n;
    mat_file_array(f, "y", r->y_class | r->flags, 2, dim);
    mat_file_numbers(f, r->y_type, r->label, r->y_count);
    mat_file_close(f, at, r->pack);
}

static void write_file(const struct recipe *r)
{
    static struct mat_file f;
    const uint32_t dim[] = {1, 3};
    mat_file_begin(&f, r->big);
    const size_t at = f.n;
    mat_file_array(&f, "meta", 4, 2, dim); /* text, which is passed over */
    mat_file_bytes(&f, "abc", 3);
    mat_file_close(&f, at, r->pack);
    if (r->labels_first)
        put_labels(&f, r);
    put_images(&f, r);
    if (!r->labels_first)
        put_labels(&f, r);
    scratch_put("svhn/train_32x32.mat", f.bytes, f.n);
}

/* Byte orders, packing, orders of arrays, a single sample, and every type of a label. */
static void every_way_to_write_it(void **state)
{
    static const uint32_t types[] = {MI_INT8,   MI_UINT8,  MI_INT16,  MI_UINT16, MI_INT32,
                                     MI_UINT32, MI_SINGLE, MI_DOUBLE, MI_INT64,  MI_UINT64};
    static const int32_t label[] = {0, 1, 7};
    const struct hyp_source_desc d = describe("svhn", NULL);
    (void)state;
    for (unsigned k = 0; k < 80; k++) {
        struct recipe r = sound;
        r.big = k & 1;
        r.pack = k & 2;
        r.labels_first = k & 4;
        r.y_type = types[k / 8];
        r.y_class = k / 8 == 1 ? MAT_UINT8 : MAT_DOUBLE;
        if (k % 3 == 0)
            r.n = r.y_count = r.dim[3] = 1; /* whose label is a short element */
        write_file(&r);
        struct data_src *s = open_in(&d, scratch_dir);
        check(s, r.n, ramp, label);
        data_close(s);
    }
}

static void refuse_recipe(const struct recipe *r, const char *words)
{
    for (unsigned k = 0; k < 4; k++) {
        struct recipe each = *r;
        each.big = k & 1;
        each.pack = k & 2;
        write_file(&each);
        refuse("svhn", NULL, HYP_EFORMAT, words);
    }
}

static void wrong_arrays(void **state)
{
    struct recipe r = sound;
    (void)state;
    r.x_class = MAT_DOUBLE;
    refuse_recipe(&r, "train_32x32.mat: expected `X` of class uint8|found class double");
    r.x_class = 1;
    refuse_recipe(&r, "`X`: expected an array of real numbers, found class cell");
    r.x_class = 77;
    refuse_recipe(&r, "there is no class 77");
    r = sound;
    r.dim[1] = 16;
    r.dim[3] = 6;
    refuse_recipe(&r, "32 x 32 x 3 x n, found class uint8 and 32 x 16 x 3");
    r.dim[3] = 7;
    refuse_recipe(&r, "`X`: expected 10752 numbers of 1 bytes, found 9216 bytes");
    r.dim[0] = r.dim[1] = r.dim[2] = 0x7fffffff;
    refuse_recipe(&r, "extent 2147483647 is out of range");
    r = sound;
    r.y_count = 2;
    refuse_recipe(&r, "expected 3 labels in `y`, found 2");
    r = sound;
    r.flags = 0x800;
    refuse_recipe(&r, "`y`: expected an array of real numbers, found class complex");
    r = sound;
    r.label[1] = 0;
    refuse_recipe(&r, "`y`: sample 1: expected a label 1 to 10, found 0");
    r.label[1] = 11;
    refuse_recipe(&r, "sample 1: expected a label 1 to 10, found 11");
    r.y_type = MI_DOUBLE;
    r.label[1] = 1.5;
    refuse_recipe(&r, "sample 1: expected a label 1 to 10, found 1.5");
    r.label[1] = NAN;
    refuse_recipe(&r, "sample 1: expected a label 1 to 10, found");
}

static void damaged_headers(void **state)
{
    static struct mat_file f;
    (void)state;
    mat_file_begin(&f, false);
    scratch_put("svhn/train_32x32.mat", f.bytes, 100);
    refuse("svhn", NULL, HYP_EFORMAT, "a header of 128 bytes, and the file has 100");
    scratch_put("svhn/train_32x32.mat", f.bytes, 128);
    refuse("svhn", NULL, HYP_EFORMAT, "expected an array `X`, found none");
    f.bytes[126] = 'X';
    scratch_put("svhn/train_32x32.mat", f.bytes, 128);
    refuse("svhn", NULL, HYP_EFORMAT, "offset 126: expected MI or IM|found 58 4d");
    mat_file_begin(&f, true);
    f.bytes[124] = 2;
    scratch_put("svhn/train_32x32.mat", f.bytes, 128);
    refuse("svhn", NULL, HYP_EFORMAT,
           "offset 124: expected version 0x100, found 0x200|-v7");
    refuse("svhn", "test", HYP_EMISSING, "test_32x32.mat (or .gz, .xz) is missing");
}

/* Sizes that lie: what is given is no more than what is there. */
static void lying_sizes(void **state)
{
    static struct mat_file f;
    struct rusage before, after;
    (void)state;
    getrusage(RUSAGE_SELF, &before);
    mat_file_begin(&f, false);
    put_images(&f, &sound);
    scratch_put("svhn/train_32x32.mat", f.bytes, 132);
    refuse("svhn", NULL, HYP_EFORMAT, "offset 128: expected an element's 8 bytes, found 4");
    scratch_put("svhn/train_32x32.mat", f.bytes, f.n - 5000);
    refuse("svhn", NULL, HYP_EFORMAT, "offset 128: an element of|and the file has only");
    memset(f.bytes + 132, 0xff, 4); /* the array's size */
    scratch_put("svhn/train_32x32.mat", f.bytes, f.n);
    refuse("svhn", NULL, HYP_EFORMAT, "an element of 4294967295 bytes");

    mat_file_begin(&f, false);
    put_images(&f, &sound);
    memset(f.bytes + 132, 0xff, 4);
    mat_file_pack(&f, 128);
    scratch_put("svhn/train_32x32.mat", f.bytes, f.n);
    refuse("svhn", NULL, HYP_EFORMAT,
           "offset 128: an array of 4294967295 bytes is too large");

    mat_file_begin(&f, false);
    put_images(&f, &sound);
    memcpy(f.bytes + 132, "\0\0\0\x20", 4); /* half a gigabyte */
    mat_file_pack(&f, 128);
    scratch_put("svhn/train_32x32.mat", f.bytes, f.n);
    refuse("svhn", NULL, HYP_EFORMAT, "expected an array of 536870920 bytes, found 92");

    mat_file_begin(&f, false);
    put_images(&f, &sound);
    memcpy(f.bytes + 132, "\0\x10\0", 4); /* more comes out than it says */
    mat_file_pack(&f, 128);
    scratch_put("svhn/train_32x32.mat", f.bytes, f.n);
    refuse("svhn", NULL, HYP_EFORMAT, "too large: more than 4104 bytes");
    f.bytes[200] ^= 0x55;
    scratch_put("svhn/train_32x32.mat", f.bytes, f.n);
    refuse("svhn", NULL, HYP_EFORMAT, "offset 128: damaged zlib data");
    getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_maxrss - before.ru_maxrss < 64 << 10); /* KiB */
}

/* Allocation and input fail at every point in turn: an error each time, and nothing leaks.
 */
static void survives_failures(void **state)
{
    static const char *const kinds[] = {"cifar10", "svhn"};
    const char *dirs[] = {scratch_dir};
    struct recipe r = sound;
    (void)state;
    put_cifar();
    r.pack = true;
    write_file(&r);
    for (unsigned k = 0; k < 4; k++) {
        const struct hyp_source_desc d = describe(kinds[k % 2], NULL);
        enum hyp_status st = HYP_EIO;
        for (uint64_t n = 1; n < 500 && st; n++) {
            struct data_src *s = NULL;
            if (k < 2)
                hyp_alloc_fail_at(n);
            else
                hyp_io_fail_at(n);
            st = data_open(&d, dirs, 1, NULL, &s, NULL);
            hyp_alloc_fail_at(0);
            hyp_io_fail_at(0);
            assert_true(st == HYP_OK || st == HYP_ENOMEM || st == HYP_EIO);
            assert_true(st ? !s : s != NULL);
            data_close(s);
        }
        assert_int_equal(st, HYP_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_that_are_there),
        cmocka_unit_test(damaged_batches),
        cmocka_unit_test(endless_batch),
        cmocka_unit_test(real_photographs),
        cmocka_unit_test(written_by_scipy),
        cmocka_unit_test(every_way_to_write_it),
        cmocka_unit_test(wrong_arrays),
        cmocka_unit_test(damaged_headers),
        cmocka_unit_test(lying_sizes),
        cmocka_unit_test(survives_failures),
    };
    return cmocka_run_group_tests_name("photographs", tests, scratch_setup,
                                       scratch_teardown);
}
