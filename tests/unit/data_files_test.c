/* The sources that read what a user made: tables, arrays, folders of images. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/data.h"
#include "runtime/data_impl.h"
#include "runtime/image.h"
#include "runtime/npy.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/scratch.h"

static struct hyp_source_desc describe(const char *kind, const char *file)
{
    struct hyp_source_desc d;
    hyp_source_defaults(&d);
    d.name = "things";
    d.kind = kind;
    d.file = file;
    d.batch = 4;
    return d;
}

static struct data_src *open_it(const struct hyp_source_desc *d)
{
    const char *dirs[] = {scratch_dir};
    struct hyp_error err = {0};
    struct data_src *s = NULL;
    if (data_open(d, dirs, 1, NULL, &s, &err))
        fail_msg("%s", err.text);
    return s;
}

static void refuse(const struct hyp_source_desc *d, enum hyp_status status,
                   const char *words)
{
    const char *dirs[] = {scratch_dir};
    struct hyp_error err = {0};
    struct data_src *s = NULL;
    char copy[256];

    assert_int_equal(data_open(d, dirs, 1, NULL, &s, &err), status);
    snprintf(copy, sizeof copy, "%s", words);
    for (char *w = strtok(copy, "|"); w; w = strtok(NULL, "|"))
        if (!strstr(err.text, w))
            fail_msg("`%s` lacks `%s`", err.text, w);
}

/* What a probe says is what an open has. */
static void probe_agrees(const struct hyp_source_desc *d, const struct data_src *s)
{
    const char *dirs[] = {scratch_dir};
    const struct data_info *have = data_fields(s);
    struct data_info info;
    assert_int_equal(data_probe(d, dirs, 1, &info, NULL), HYP_OK);
    assert_int_equal(info.nfield, have->nfield);
    for (uint32_t i = 0; i < info.nfield; i++) {
        assert_string_equal(info.field[i].name, have->field[i].name);
        assert_int_equal(info.field[i].dtype, have->field[i].dtype);
        assert_int_equal(info.field[i].rank, have->field[i].rank);
        assert_memory_equal(info.field[i].dim, have->field[i].dim,
                            sizeof info.field[i].dim);
    }
    data_info_fini(&info);
}

/* ---- loaded ahead ---- */

static float first_value(const struct hyp_source_desc *d, struct data_ahead *ahead)
{
    const char *dirs[] = {scratch_dir};
    struct hyp_error err = {0};
    struct data_src *s = NULL;
    float x = 0;
    if (data_open_loaded(d, dirs, 1, NULL, ahead, &s, &err))
        fail_msg("%s", err.text);
    data_batch(s, 0, 0, 1, &x);
    data_close(s);
    return x;
}

/* What was loaded is the source's, once; what could not be is reported when it is opened.
 */
static void loaded_ahead(void **state)
{
    const char *dirs[] = {scratch_dir};
    const struct hyp_source_desc d[] = {describe("csv", "ahead.csv"),
                                        describe("csv", "nowhere.csv"),
                                        describe("csv", "other.csv")};
    struct hyp_error err = {0};
    struct data_src *s = NULL;
    (void)state;
    scratch_put_text("csv/ahead.csv", "a\n1\n");
    scratch_put_text("csv/other.csv", "a\n5\n");
    struct data_ahead *ahead = data_ahead_new(d, 2, dirs, 1);
    assert_non_null(ahead);
    assert_int_equal(data_open_loaded(&d[1], dirs, 1, NULL, ahead, &s, &err), HYP_EMISSING);
    scratch_put_text("csv/ahead.csv", "a\n2\n"); /* all was read by now */
    assert_true(first_value(&d[2], ahead) == 5);
    assert_true(first_value(&d[0], ahead) == 1);
    assert_true(first_value(&d[0], ahead) == 2);
    data_ahead_free(ahead);
    data_ahead_free(data_ahead_new(d, 1, dirs, 1)); /* nobody wanted it */
    assert_null(data_ahead_new(d, 0, dirs, 1));
}

/* ---- csv ---- */

static void tables(void **state)
{
    static const char text[] = "\xEF\xBB\xBFwidth,\"the \"\"height\"\"\", 2nd ,label\r\n"
                               "1.5,\"-2\",3e2,0\r\n"
                               "\r\n"
                               "+0.1 ,4,5,2";
    (void)state;
    scratch_put_text("csv/t.csv", text);
    const struct hyp_source_desc d = describe("csv", "t.csv");
    struct data_src *s = open_it(&d);
    const struct data_info *info = data_fields(s);
    float x[2];
    int32_t y[2];
    probe_agrees(&d, s);
    assert_int_equal(data_count(s), 2);
    assert_int_equal(info->nfield, 4);
    assert_string_equal(info->field[1].name, "the__height_");
    assert_string_equal(info->field[2].name, "_nd");
    data_batch(s, 0, 0, 2, x);
    assert_true(x[0] == 1.5F && x[1] == 0.1F);
    data_batch(s, 1, 0, 2, x);
    assert_true(x[0] == -2 && x[1] == 4);
    data_batch(s, 2, 0, 2, x);
    assert_true(x[0] == 300 && x[1] == 5);
    assert_int_equal(info->field[3].dtype, DATA_I32);
    data_batch(s, 3, 0, 2, y);
    assert_true(y[0] == 0 && y[1] == 2);
    assert_int_equal(data_classes(s), 3);
    data_close(s);
}

static void damaged_tables(void **state)
{
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"", "line 1, offset 0: expected the name of a column"},
        {"a,,b\n", "line 1, offset 2: expected the name"},
        {"a,b,a\n1,2,3\n", "line 1, offset 4: two columns are called `a`"},
        {"a,b\n", "no line after the header"},
        {"a,b\n1,2\n3\n", "line 3: expected 2 cells, found only 1"},
        {"a,b\n1,2,3\n", "line 2: expected 2 cells, found more than 2"},
        {"a,b\n1,x\n", "line 2, offset 6, column `b`: expected a number, found `x`"},
        {"a,b\n1,\n", "line 2, offset 6, column `b`: expected a number, found ``"},
        {"a\n1e99\n", "expected a number, found `1e99`"},
        {"a\nnan\n", "found `nan`"},
        {"a\n\"1\n", "line 3, offset 2: this quote is never closed"},
        {"a\n\"1\"2\n", "line 2, offset 5: expected `,` or the end"},
        {"label\n1.5\n", "sample 0: expected a whole number in column `label`, found 1.5"},
    };
    const struct hyp_source_desc d = describe("csv", "t.csv");
    char text[600];
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        scratch_put_text("csv/t.csv", rows[i].text);
        refuse(&d, HYP_EFORMAT, rows[i].words);
    }
    memset(text, '1', sizeof text);
    text[0] = 'a';
    text[1] = '\n';
    scratch_put("csv/t.csv", text, sizeof text);
    refuse(&d, HYP_EFORMAT, "line 2, offset 2: a cell of more than");
    scratch_put("csv/t.csv",
                "a\n1\0"
                "2\n",
                6);
    refuse(&d, HYP_EFORMAT, "line 2, offset 2|expected a number");
    const struct hyp_source_desc none = describe("csv", NULL),
                                 other = describe("csv", "u.csv");
    refuse(&none, HYP_EARG, "needs `file`");
    refuse(&other, HYP_EMISSING, "u.csv (or .gz, .xz) is missing");
    struct hyp_source_desc split = d;
    split.split = "test";
    refuse(&split, HYP_EARG, "no split `test`|parts");
}

static void packed_tables(void **state)
{
    (void)state;
    scratch_put_gz("packed.csv.gz", "a\n7\n", 4);
    const struct hyp_source_desc d = describe("csv", "packed.csv");
    struct data_src *s = open_it(&d);
    float x;
    data_batch(s, 0, 0, 1, &x);
    assert_true(x == 7);
    data_close(s);
}

/* ---- npy ---- */

static void save(const char *name, enum npy_type type, uint32_t rank, const uint64_t *dim,
                 const void *data)
{
    scratch_put(name, "", 0); /* makes the folders */
    assert_int_equal(npy_write(scratch_path(name), type, rank, dim, data, NULL), HYP_OK);
}

static void arrays(void **state)
{
    static const double real[6] = {0.1, 1, 2, 3, 4, -5};
    static const int64_t integer[2] = {-7, INT32_MAX};
    static const uint8_t picture[8] = {0, 51, 102, 153, 204, 255, 1, 2}, flag[2] = {1, 0};
    const uint64_t d23[] = {2, 3}, d2[] = {2}, d2122[] = {2, 1, 2, 2};
    const struct hyp_source_desc d = describe("npy", "set");
    float x[8];
    int32_t y[2];
    (void)state;
    save("set/noise.npy", NPY_F64, 2, d23, real);
    save("set/count.npy", NPY_I64, 1, d2, integer);
    save("set/image.npy", NPY_U8, 4, d2122, picture);
    save("set/flag.npy", NPY_BOOL, 1, d2, flag);
    scratch_put_text("set/notes.txt", "not an array");
    struct data_src *s = open_it(&d);
    const struct data_info *info = data_fields(s);
    probe_agrees(&d, s);
    assert_int_equal(data_count(s), 2);
    assert_int_equal(info->nfield, 4);
    data_batch(s, (unsigned)data_field_find(info, "noise"), 0, 2, x);
    for (unsigned i = 0; i < 6; i++)
        assert_true(x[i] == (float)real[i]);
    data_batch(s, (unsigned)data_field_find(info, "count"), 0, 2, y);
    assert_true(y[0] == -7 && y[1] == INT32_MAX);
    data_batch(s, (unsigned)data_field_find(info, "image"), 0, 2, x);
    for (unsigned i = 0; i < 8; i++)
        assert_true(x[i] == (float)(picture[i] / 255.0));
    data_batch(s, (unsigned)data_field_find(info, "flag"), 0, 2, y);
    assert_true(y[0] == 1 && y[1] == 0);
    data_close(s);
}

static void damaged_arrays(void **state)
{
    static const int64_t large[2] = {0, 1LL << 40};
    static const float x[4];
    const uint64_t d2[] = {2}, d3[] = {3}, d0[] = {0};
    const struct hyp_source_desc d = describe("npy", "bad"),
                                 none = describe("npy", "nowhere");
    (void)state;
    refuse(&none, HYP_EMISSING, "nowhere is missing");
    scratch_put_text("bad/readme", "");
    refuse(&d, HYP_EMISSING, "no file NAME.npy");
    save("bad/a.npy", NPY_I64, 1, d2, large);
    refuse(&d, HYP_EFORMAT,
           "bad/a.npy: offset 136: expected a 32-bit integer, found 1099511627776");
    save("bad/a.npy", NPY_F32, 1, d2, x);
    save("bad/b.npy", NPY_F32, 1, d3, x);
    refuse(&d, HYP_EFORMAT, "bad/b.npy: expected 2 samples as in `a`, found 3");
    save("bad/b.npy", NPY_F32, 0, NULL, x);
    refuse(&d, HYP_EFORMAT, "bad/b.npy|axes, samples first, found 0");
    save("bad/b.npy", NPY_F32, 1, d0, x);
    refuse(&d, HYP_EFORMAT, "axis 0 has the extent 0");
    scratch_put_text("bad/b.npy", "nothing like it");
    refuse(&d, HYP_EFORMAT, "bad/b.npy: offset 0: expected an NPY file");
}

static void signals(void **state)
{
    static float x[3 * 40];
    static const int64_t y[3] = {4, 0, 9};
    const uint64_t dx[] = {3, 40}, dy[] = {3}, wrong[] = {3, 20};
    const struct hyp_source_desc d = describe("mnist1d", NULL);
    float got[120];
    (void)state;
    for (unsigned i = 0; i < 120; i++)
        x[i] = (float)i / 7;
    save("mnist1d/x_train.npy", NPY_F32, 2, dx, x);
    save("mnist1d/y_train.npy", NPY_I64, 1, dy, y);
    struct data_src *s = open_it(&d);
    probe_agrees(&d, s);
    data_batch(s, 0, 0, 3, got);
    assert_memory_equal(got, x, sizeof x);
    assert_int_equal(data_classes(s), 10);
    data_close(s);
    save("mnist1d/x_train.npy", NPY_F32, 2, wrong, x);
    refuse(&d, HYP_EFORMAT, "expected x [n, 40]");
}

/* ---- folders ---- */

static void put_image(const char *name, uint32_t width, uint32_t height, uint32_t channels,
                      uint8_t base)
{
    uint8_t pixel[64 * 3];
    const struct image im = {width, height, channels, pixel};
    for (unsigned i = 0; i < sizeof pixel; i++)
        pixel[i] = (uint8_t)(base + i);
    scratch_put(name, "", 0);
    assert_int_equal(image_write_png(scratch_path(name), &im, NULL), HYP_OK);
}

static void folders(void **state)
{
    const struct hyp_source_desc d = describe("folder", "zoo");
    float x[3 * 4 * 2 * 3];
    int32_t y[3];
    (void)state;
    put_image("zoo/bear/2.png", 4, 2, 3, 10);
    put_image("zoo/bear/10.PNG", 4, 2, 1, 20); /* sorts first; grey among colours */
    put_image("zoo/Ape/x.png", 4, 2, 3, 30);   /* bytewise: capitals first */
    scratch_put_text("zoo/Ape/readme.txt", "");
    scratch_put_text("zoo/list.txt", "");
    struct data_src *s = open_it(&d);
    probe_agrees(&d, s);
    assert_int_equal(data_count(s), 3);
    assert_string_equal(data_class_name(s, 0), "Ape");
    assert_string_equal(data_class_name(s, 1), "bear");
    assert_null(data_class_name(s, 2));
    data_batch(s, 1, 0, 3, y);
    assert_true(y[0] == 0 && y[1] == 1 && y[2] == 1);
    data_batch(s, 0, 0, 3, x);
    for (unsigned c = 0; c < 3; c++)
        for (unsigned i = 0; i < 8; i++) {
            assert_true(x[c * 8 + i] == (float)((30 + i * 3 + c) / 255.0));
            assert_true(x[24 + c * 8 + i] == (float)((20 + i) / 255.0));
            assert_true(x[48 + c * 8 + i] == (float)((10 + i * 3 + c) / 255.0));
        }
    data_close(s);
}

static void channels_have_their_own_scale(void **state)
{
    struct hyp_source_desc d = describe("folder", "colours");
    float x[12 + 1];
    (void)state;
    put_image("colours/a/1.png", 2, 2, 3, 100);
    d.nmean = 3;
    for (unsigned c = 0; c < 3; c++) {
        d.mean[c] = 0.1 * (c + 1);
        d.std[c] = 0.5 + c;
    }
    struct data_src *s = open_it(&d);
    x[12] = 77; /* nothing is written behind the sample */
    data_batch(s, 0, 0, 1, x);
    for (unsigned c = 0; c < 3; c++)
        for (unsigned i = 0; i < 4; i++)
            assert_true(x[c * 4 + i] ==
                        (float)(((100 + i * 3 + c) / 255.0 - d.mean[c]) / d.std[c]));
    assert_true(x[12] == 77);
    data_close(s);
}

/* f32 fields are scaled as images are; numbers and i32 fields are not. */
static void arrays_are_scaled(void **state)
{
    static const float x[4] = {0, 0.25F, 0.5F, 1}, y[2] = {0.25F, 1};
    const uint64_t d22[] = {2, 2}, d2[] = {2};
    struct hyp_source_desc d = describe("npy", "scaled");
    float got[4];
    (void)state;
    save("scaled/x.npy", NPY_F32, 2, d22, x);
    save("scaled/y.npy", NPY_F32, 1, d2, y);
    d.scale[0] = -1;
    struct data_src *s = open_it(&d);
    data_batch(s, 0, 0, 2, got);
    for (unsigned i = 0; i < 4; i++)
        assert_true(got[i] == 2 * x[i] - 1);
    data_batch(s, 1, 0, 2, got);
    assert_true(got[0] == y[0] && got[1] == y[1]);
    data_close(s);
}

static void folders_are_resized(void **state)
{
    struct hyp_source_desc d = describe("folder", "sizes");
    float x[2 * 6];
    (void)state;
    put_image("sizes/a/1.png", 6, 4, 1, 0);
    put_image("sizes/a/2.png", 5, 4, 1, 0);
    refuse(&d, HYP_EFORMAT, "2.png: expected 6 x 4|found 5 x 4|resize");
    d.resize[0] = 2;
    d.resize[1] = 3;
    struct data_src *s = open_it(&d);
    probe_agrees(&d, s);
    assert_int_equal(data_field_size(&data_fields(s)->field[0]), 6);
    data_batch(s, 0, 0, 2, x);
    data_close(s);
    put_image("sizes/a/3.png", 5, 4, 3, 0);
    refuse(&d, HYP_EFORMAT, "3.png: expected a grey image|coloured");
}

/* Photographs as CIFAR-10 has them, as files: 32 x 32 as they are, others resized to it. */
static void folders_of_photographs(void **state)
{
    static uint8_t pixel[40 * 36 * 3];
    struct image im = {32, 32, 3, pixel};
    struct hyp_source_desc d = describe("folder", "photos");
    float x[2 * 3072];
    (void)state;
    for (unsigned i = 0; i < sizeof pixel; i++)
        pixel[i] = (uint8_t)(i * 7);
    scratch_put("photos/cat/1.png", "", 0);
    assert_int_equal(image_write_png(scratch_path("photos/cat/1.png"), &im, NULL), HYP_OK);
    d.resize[0] = d.resize[1] = 32;
    d.scale[0] = -1;
    for (unsigned k = 0; k < 2; k++) { /* the second time among others */
        struct data_src *s = open_it(&d);
        probe_agrees(&d, s);
        assert_int_equal(data_count(s), k + 1);
        assert_int_equal(data_field_size(&data_fields(s)->field[0]), 3072);
        data_batch(s, 0, 0, k + 1, x);
        for (unsigned i = 0; i < 3072; i++)
            assert_true(x[i] == (float)(-1 + 2 * ((uint8_t)(7 * (i % 1024 * 3 + i / 1024)) /
                                                  255.0)));
        for (unsigned i = 0; i < 3072 * k; i++)
            assert_true(x[3072 + i] >= -1 && x[3072 + i] <= 1);
        data_close(s);
        im.width = 40;
        im.height = 36;
        scratch_put("photos/dog/1.png", "", 0);
        assert_int_equal(image_write_png(scratch_path("photos/dog/1.png"), &im, NULL),
                         HYP_OK);
    }
}

static void damaged_folders(void **state)
{
    const struct hyp_source_desc d = describe("folder", "broken");
    (void)state;
    scratch_put_text("broken/readme", "");
    refuse(&d, HYP_EMISSING, "holds no folder");
    scratch_put_text("broken/a/readme", "");
    refuse(&d, HYP_EMISSING, "broken/a holds no PNG or JPEG");
    put_image("broken/a/1.png", 6, 4, 1, 0);
    scratch_put_text("broken/a/2.jpg", "text");
    refuse(&d, HYP_EFORMAT,
           "2.jpg: offset 0: expected a PNG or JPEG image, found other bytes");
    scratch_put_text("broken/a/2.jpg", "");
    refuse(&d, HYP_EFORMAT, "2.jpg: offset 0|found nothing");
}

/* Allocation and input fail at every point in turn: an error each time, and nothing leaks.
 */
static void survives_failures(void **state)
{
    static const char *const kinds[][2] = {
        {"csv", "packed.csv"}, {"npy", "set"}, {"folder", "zoo"}};
    const char *dirs[] = {scratch_dir};
    (void)state;
    for (unsigned k = 0; k < 6; k++) {
        const struct hyp_source_desc d = describe(kinds[k % 3][0], kinds[k % 3][1]);
        enum hyp_status st = HYP_EIO;
        for (uint64_t n = 1; n < 2000 && st; n++) {
            struct data_src *s = NULL;
            if (k < 3)
                hyp_alloc_fail_at(n);
            else
                hyp_io_fail_at(n);
            st = data_open(&d, dirs, 1, NULL, &s, NULL);
            hyp_alloc_fail_at(0);
            hyp_io_fail_at(0);
            assert_true(st ? !s : s != NULL);
            data_close(s);
        }
        assert_int_equal(st, HYP_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loaded_ahead),
        cmocka_unit_test(tables),
        cmocka_unit_test(damaged_tables),
        cmocka_unit_test(packed_tables),
        cmocka_unit_test(arrays),
        cmocka_unit_test(damaged_arrays),
        cmocka_unit_test(signals),
        cmocka_unit_test(folders),
        cmocka_unit_test(channels_have_their_own_scale),
        cmocka_unit_test(arrays_are_scaled),
        cmocka_unit_test(folders_are_resized),
        cmocka_unit_test(folders_of_photographs),
        cmocka_unit_test(damaged_folders),
        cmocka_unit_test(survives_failures),
    };
    return cmocka_run_group_tests_name("data files", tests, scratch_setup,
                                       scratch_teardown);
}
