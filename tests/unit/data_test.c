/* The data layer: which samples, in which order, with which values; damage is named. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/philox.h"
#include "runtime/data.h"
#include "runtime/data_impl.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/scratch.h"

enum { N = 50, SIZE = 784 };

static uint8_t images[N * SIZE], labels[N];

/* 50 images whose pixels and labels are known. */
static void make_mnist(void)
{
    static uint8_t file[N * SIZE + 16];
    const uint32_t dim[3] = {N, 28, 28};

    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)(i * 2654435761U >> 13);
    for (size_t i = 0; i < N; i++)
        labels[i] = (uint8_t)(i * 7 % 10);
    scratch_put("mnist/train-images-idx3-ubyte", file, scratch_idx(file, 3, dim, images));
    scratch_put_gz("mnist/train-labels-idx1-ubyte.gz", file,
                   scratch_idx(file, 1, dim, labels));
}

static int setup(void **state)
{
    if (scratch_setup(state))
        return -1;
    make_mnist();
    return 0;
}

static struct hyp_source_desc describe(const char *kind)
{
    struct hyp_source_desc d;
    hyp_source_defaults(&d);
    d.name = "digits";
    d.kind = kind;
    d.batch = 8;
    return d;
}

static struct data_src *open_it(const struct hyp_source_desc *d,
                                const struct data_keep *keep)
{
    const char *dirs[] = {"/nonexistent", scratch_dir};
    struct hyp_error err = {0};
    struct data_src *s = NULL;
    if (data_open(d, dirs, 2, keep, &s, &err))
        fail_msg("%s", err.text);
    return s;
}

/* Opening must fail with this status and all these words (separated by |) in the text. */
static void refuse(const struct hyp_source_desc *d, enum hyp_status status,
                   const char *words)
{
    const char *dirs[] = {scratch_dir};
    struct hyp_error err = {0};
    struct data_src *s = NULL;
    char copy[256];

    assert_int_equal(data_open(d, dirs, 1, NULL, &s, &err), status);
    assert_int_equal(err.status, status);
    assert_null(s);
    snprintf(copy, sizeof copy, "%s", words);
    for (char *w = strtok(copy, "|"); w; w = strtok(NULL, "|"))
        if (!strstr(err.text, w))
            fail_msg("`%s` lacks `%s`", err.text, w);
}

static void values_are_exact(void **state)
{
    (void)state;
    struct hyp_source_desc d = describe("mnist");
    struct data_src *s = open_it(&d, NULL);
    static float x[N * SIZE];
    int32_t y[N];

    assert_int_equal(data_count(s), N);
    assert_int_equal(data_batches(s), 7);
    assert_int_equal(data_classes(s), 10);
    assert_int_equal(data_field_find(data_fields(s), "label"), 1);
    data_batch(s, 0, 0, N, x);
    data_batch(s, 1, 0, N, y);
    for (size_t i = 0; i < N * SIZE; i++)
        assert_true(x[i] == (float)(images[i] / 255.0));
    for (size_t i = 0; i < N; i++)
        assert_int_equal(y[i], labels[i]);
    data_close(s);
}

/* Another set of the same names and format, in a folder of its own. */
static void fashion_is_found_beside(void **state)
{
    (void)state;
    static uint8_t file[2 * SIZE + 16];
    static const uint8_t label[2] = {9, 0};
    const uint32_t dim[3] = {2, 28, 28};
    scratch_put_gz("fashion_mnist/t10k-images-idx3-ubyte.gz", file,
                   scratch_idx(file, 3, dim, images + 5 * SIZE));
    scratch_put_gz("fashion_mnist/t10k-labels-idx1-ubyte.gz", file,
                   scratch_idx(file, 1, dim, label));
    struct hyp_source_desc d = describe("fashion_mnist");
    d.split = "test";
    struct data_src *s = open_it(&d, NULL);
    float x[SIZE];
    int32_t y;
    assert_int_equal(data_count(s), 2);
    data_batch(s, 1, 0, 1, &y);
    assert_int_equal(y, 9);
    assert_string_equal(data_class_name(s, 9), "boot");
    data_batch(s, 0, 1, 1, x);
    for (size_t i = 0; i < SIZE; i++)
        assert_true(x[i] == (float)(images[6 * SIZE + i] / 255.0));
    data_close(s);
}

static void scales(void **state)
{
    (void)state;
    struct hyp_source_desc d = describe("mnist");
    static float x[SIZE];

    d.scale[0] = -1;
    struct data_src *s = open_it(&d, NULL);
    data_batch(s, 0, 3, 1, x);
    for (size_t i = 0; i < SIZE; i++)
        assert_true(x[i] == (float)(-1 + 2 * (images[3 * SIZE + i] / 255.0)));
    data_close(s);
    d.nmean = 1;
    d.mean[0] = 0.1307;
    d.std[0] = 0.3081;
    s = open_it(&d, NULL);
    data_batch(s, 0, 3, 1, x);
    for (size_t i = 0; i < SIZE; i++)
        assert_true(x[i] == (float)((images[3 * SIZE + i] / 255.0 - 0.1307) / 0.3081));
    data_close(s);
    d.nmean = 3;
    d.std[1] = d.std[2] = 1;
    refuse(&d, HYP_EARG, "3 means|1 channels|image");
    d.nmean = 1;
    d.std[0] = 0;
    refuse(&d, HYP_EARG, "std must be above 0");
}

/* ---- order ---- */

/* The permutation as language.md words it, one word at a time. */
static void reference_order(uint32_t *order, uint32_t n, const char *site, uint64_t pass,
                            uint64_t seed)
{
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t i = n - 1; i >= 1; i--) {
        const uint32_t w = hyp_random_word(seed, hyp_site(site), pass, 0, i);
        const uint32_t j = (uint32_t)(((uint64_t)w * (i + 1)) >> 32);
        const uint32_t t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
}

static void check_pass(struct data_src *s, uint64_t pass, uint64_t seed, int32_t *first)
{
    const uint32_t n = data_count(s);
    uint32_t *want = calloc(n, sizeof *want);
    int32_t *y = calloc(n, sizeof *y), *parts = calloc(n, sizeof *parts);

    data_set_pass(s, pass, seed);
    reference_order(want, n, "data/numbers", pass, seed);
    data_batch(s, 0, 0, n, y);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(y[i], want[i]);
    for (uint32_t at = 0, b = 1; at < n; at += b, b = b % 7 + 1)
        data_batch(s, 0, at, b < n - at ? b : n - at, parts + at);
    assert_memory_equal(y, parts, n * sizeof *y);
    *first = y[0];
    free(want);
    free(y);
    free(parts);
}

/* Sample i of a CSV holds the label i, so that an order can be read off. */
static struct data_src *numbers(uint32_t n)
{
    static char text[4096];
    size_t at = (size_t)snprintf(text, sizeof text, "label\n");
    struct hyp_source_desc d = describe("csv");

    for (uint32_t i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%u\n", i);
    scratch_put("numbers.csv", text, at);
    d.name = "numbers";
    d.file = "numbers.csv";
    d.random = true;
    return open_it(&d, NULL);
}

static void a_pass_is_the_specified_permutation(void **state)
{
    static const uint32_t sizes[] = {1, 2, 3, 4, 5, 17, 64, 201};
    (void)state;
    for (unsigned k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        struct data_src *s = numbers(sizes[k]);
        int32_t a, b, c;
        check_pass(s, 0, 0, &a);
        check_pass(s, 1, 0, &b);
        check_pass(s, (1ULL << 40) + 3, 0x123456789ABCDEFULL, &c);
        check_pass(s, 0, 0, &b);
        assert_int_equal(a, b);
        data_close(s);
    }
}

static void file_order_stays(void **state)
{
    (void)state;
    struct hyp_source_desc d = describe("mnist");
    struct data_src *s = open_it(&d, NULL);
    int32_t y[N];

    data_set_pass(s, 3, 5);
    data_batch(s, 1, 0, N, y);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(y[i], labels[i]);
    data_close(s);
}

static void nothing_is_allocated_in_a_pass(void **state)
{
    (void)state;
    struct hyp_source_desc d = describe("digits");
    d.random = true;
    struct data_src *s = open_it(&d, NULL);
    static float x[8 * SIZE];
    const uint64_t before = hyp_alloc_count();

    for (uint64_t pass = 0; pass < 3; pass++) {
        data_set_pass(s, pass, 1);
        data_batch(s, 0, 0, 8, x);
        data_batch(s, 1, 0, 8, x);
    }
    assert_int_equal(hyp_alloc_count(), before);
    data_close(s);
}

/* ---- which samples ---- */

static void last_batches(void **state)
{
    (void)state;
    struct hyp_source_desc d = describe("mnist");
    d.drop_last = true;
    struct data_src *s = open_it(&d, NULL);
    assert_int_equal(data_batches(s), 6);
    data_close(s);
    d.drop_last = false;
    d.batch = 25;
    s = open_it(&d, NULL);
    assert_int_equal(data_batches(s), 2);
    data_close(s);
}

static void takes(void **state)
{
    (void)state;
    struct hyp_source_desc d = describe("mnist");
    int32_t y[10];
    d.take[0] = 20;
    d.take[1] = 30;
    struct data_src *s = open_it(&d, NULL);
    assert_int_equal(data_count(s), 10);
    assert_int_equal(data_rows(s)[0], 20);
    data_batch(s, 1, 0, 10, y);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(y[i], labels[20 + i]);
    data_close(s);
    d.take[1] = 51;
    refuse(&d, HYP_EARG, "take [20, 51] of 50");
}

/* The parts of two entries that share `parts` are disjoint and cover everything. */
static void parts_are_disjoint(void **state)
{
    static const char *const names[] = {"train", "held", "test"};
    static const uint32_t counts[] = {32, 8, 10};
    (void)state;
    unsigned seen[N] = {0};
    uint32_t order[N];

    reference_order(order, N, "parts/mnist", 0, 1234);
    for (unsigned p = 0, at = 0; p < 3; at += counts[p++]) {
        struct hyp_source_desc d = describe("mnist");
        d.name = d.split = names[p];
        d.npart = 3;
        d.part[0] = (struct hyp_source_part){"train", 0.64};
        d.part[1] = (struct hyp_source_part){"held", 0.16};
        d.part[2] = (struct hyp_source_part){"test", 0.2};
        d.parts_seed = 1234;
        struct data_src *s = open_it(&d, NULL);
        assert_int_equal(data_count(s), counts[p]);
        for (uint32_t i = 0; i < data_count(s); i++) {
            seen[data_rows(s)[i]]++;
            assert_true(i == 0 || data_rows(s)[i] > data_rows(s)[i - 1]);
        }
        for (uint32_t i = 0, found = 0; i < counts[p]; i++, found = 0) {
            for (uint32_t k = 0; k < counts[p]; k++)
                found += data_rows(s)[k] == order[at + i];
            assert_int_equal(found, 1);
        }
        data_close(s);
        d.split = "valid";
        refuse(&d, HYP_EARG, "no part `valid`");
    }
    for (size_t i = 0; i < N; i++)
        assert_int_equal(seen[i], 1);
}

static enum hyp_status without_seven(void *cx, const struct data_src *s, uint8_t *keep,
                                     struct hyp_error *err)
{
    int32_t y[N];
    (void)err;
    data_batch(s, 1, 0, data_count(s), y);
    for (uint32_t i = 0; i < data_count(s); i++)
        keep[i] = y[i] != *(const int32_t *)cx;
    return HYP_OK;
}

static void keeps_and_per_class(void **state)
{
    (void)state;
    int32_t seven = 7, y[N];
    const struct data_keep keep = {without_seven, &seven};
    struct hyp_source_desc d = describe("mnist");
    struct data_src *s = open_it(&d, &keep);
    assert_int_equal(data_count(s), 45);
    data_close(s);
    d.per_class = 2;
    s = open_it(&d, &keep);
    assert_int_equal(data_count(s), 18);
    data_batch(s, 1, 0, 18, y);
    unsigned count[10] = {0};
    for (size_t i = 0; i < 18; i++)
        count[y[i]]++;
    for (int32_t c = 0; c < 10; c++)
        assert_int_equal(count[c], c == 7 ? 0 : 2);
    data_close(s);
}

/* ---- files ---- */

static void damage_of_idx_is_named(void **state)
{
    (void)state;
    struct hyp_source_desc d = describe("mnist");
    static uint8_t file[N * SIZE + 17];
    const uint32_t dim[3] = {N, 28, 28}, wrong[3] = {N, 14, 56};
    const size_t n = scratch_idx(file, 3, dim, images);
    const char *name = "mnist/train-images-idx3-ubyte";

    scratch_put(name, file, n - 1);
    refuse(&d, HYP_EFORMAT, "train-images|expected 39200 bytes|offset 16|found 39199");
    scratch_put(name, file, n + 1);
    refuse(&d, HYP_EFORMAT, "expected 39200 bytes|found 39201");
    scratch_put(name, file, 9);
    refuse(&d, HYP_EFORMAT, "a header of 16 bytes, and the file has 9");
    scratch_put(name, file, 0);
    refuse(&d, HYP_EFORMAT, "header of 16 bytes|has 0");
    file[3] = 1;
    scratch_put(name, file, n);
    refuse(&d, HYP_EFORMAT, "offset 0: expected the number 2051, found 2049");
    file[3] = 3;
    memset(file + 4, 0xff, 12);
    scratch_put(name, file, n);
    refuse(&d, HYP_EFORMAT, "offset 8: extent 4294967295");
    scratch_put(name, file, scratch_idx(file, 3, wrong, images));
    refuse(&d, HYP_EFORMAT, "offset 8|28 x 28, found 14 x 56");
    make_mnist();
}

static void damage_of_labels_is_named(void **state)
{
    (void)state;
    struct hyp_source_desc d = describe("mnist");
    uint8_t file[N + 8];
    uint32_t dim[1] = {N};
    const char *name = "mnist/train-labels-idx1-ubyte";

    labels[13] = 10;
    scratch_put(name, file, scratch_idx(file, 1, dim, labels));
    refuse(&d, HYP_EFORMAT, "offset 21: expected a label 0 to 9, found 10");
    dim[0] = N - 1;
    scratch_put(name, file, scratch_idx(file, 1, dim, labels));
    refuse(&d, HYP_EFORMAT, "offset 4: expected 50 labels, found 49");
    remove(scratch_path(name));
    scratch_put("mnist/train-labels-idx1-ubyte.gz", "\x1f\x8b\x08\x00garbage....", 16);
    refuse(&d, HYP_EFORMAT, "train-labels-idx1-ubyte.gz");
    make_mnist();
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    struct hyp_source_desc d = describe("fashion_mnist");
    char places[600];
    snprintf(places, sizeof places,
             "train-images-idx3-ubyte (or .gz, .xz) is missing|%s/fashion_mnist",
             scratch_dir);
    refuse(&d, HYP_EMISSING, places);
    d = describe("mnist");
    d.split = "test";
    refuse(&d, HYP_EMISSING, "t10k-images");
    d.split = "validation";
    refuse(&d, HYP_EARG, "splits train and test, not `validation`");
    d = describe("moving_mnist");
    refuse(&d, HYP_EUNSUPPORTED, "moving_mnist");
    d = describe("minst");
    refuse(&d, HYP_EARG, "no source `minst`");
}

static void probing_needs_no_files(void **state)
{
    static const char *const kinds[] = {"mnist", "fashion_mnist", "digits", "shapes"};
    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        const unsigned size = k == 3 ? 3072 : 784;
        struct hyp_source_desc d = describe(kinds[k]);
        struct data_info info;
        assert_int_equal(data_probe(&d, NULL, 0, &info, NULL), HYP_OK);
        assert_int_equal(info.nfield, 2);
        assert_string_equal(info.field[0].name, "image");
        assert_int_equal(info.field[0].rank, 3);
        assert_int_equal(data_field_size(&info.field[0]), size);
        assert_int_equal(info.field[1].dtype, DATA_I32);
        data_info_fini(&info);
    }
}

/* Every allocation of an open fails once: an error each time, and nothing leaks (ASan). */
static void survives_lack_of_memory(void **state)
{
    static const char *const kinds[] = {"mnist", "digits", "shapes", "csv"};
    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        struct hyp_source_desc d = describe(kinds[k]);
        const char *dirs[] = {scratch_dir};
        struct data_src *s = NULL;
        enum hyp_status st = HYP_ENOMEM;
        d.file = "numbers.csv";
        for (uint64_t n = 1; n < 200 && st; n++) {
            struct hyp_error err = {0};
            hyp_alloc_fail_at(n);
            st = data_open(&d, dirs, 1, NULL, &s, &err);
            hyp_alloc_fail_at(0);
            assert_true(st == HYP_OK || st == HYP_ENOMEM);
        }
        assert_int_equal(st, HYP_OK);
        data_close(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_exact),
        cmocka_unit_test(fashion_is_found_beside),
        cmocka_unit_test(scales),
        cmocka_unit_test(a_pass_is_the_specified_permutation),
        cmocka_unit_test(file_order_stays),
        cmocka_unit_test(nothing_is_allocated_in_a_pass),
        cmocka_unit_test(last_batches),
        cmocka_unit_test(takes),
        cmocka_unit_test(parts_are_disjoint),
        cmocka_unit_test(keeps_and_per_class),
        cmocka_unit_test(damage_of_idx_is_named),
        cmocka_unit_test(damage_of_labels_is_named),
        cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(probing_needs_no_files),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests_name("data", tests, setup, scratch_teardown);
}
