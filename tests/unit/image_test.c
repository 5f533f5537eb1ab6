/* Pictures: decoded, resized and written as other programs do it; sheets to the pixel. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/image.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/scratch.h"

static uint8_t *corpus(const char *name, size_t *n)
{
    char path[1024];
    uint8_t *bytes = NULL;
    const char *root = getenv("HYP_SOURCE_DIR");
    snprintf(path, sizeof path, "%s/tests/fuzz/corpus/image/%s", root ? root : ".", name);
    assert_int_equal(file_read(path, 1 << 20, &bytes, n, NULL), HYP_OK);
    return bytes;
}

/* Sums over all bytes and the first values, as Pillow has them. */
static void decodes(void **state)
{
    static const struct {
        const char *name;
        uint32_t width, height, channels, sum;
        uint8_t first[3];
    } rows[] = {
        {"grey.png", 7, 5, 1, 4437, {95, 130, 194}},
        {"rgb.png", 6, 4, 3, 10185, {120, 122, 50}},
        {"palette.png", 6, 4, 3, 10340, {127, 141, 140}},
        {"one_bit.png", 7, 5, 1, 4590, {0, 255, 255}},
        {"grey16.png", 4, 3, 1, 1294, {1, 20, 40}},
        {"rgba.png", 3, 3, 3, 3619, {115, 16, 153}},
        {"grey.jpeg", 7, 5, 1, 4412, {101, 118, 198}},
        {"rgb.jpeg", 6, 4, 3, 10179, {132, 91, 121}},
        {"progressive.jpeg", 6, 4, 3, 10179, {132, 91, 121}},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct image im, head;
        size_t n = 0;
        uint32_t sum = 0;
        uint8_t *bytes = corpus(rows[i].name, &n);
        assert_int_equal(image_decode(bytes, n, rows[i].name, &im, NULL), HYP_OK);
        assert_int_equal(image_probe(bytes, n, rows[i].name, &head, NULL), HYP_OK);
        assert_int_equal(im.width, rows[i].width);
        assert_int_equal(im.height, rows[i].height);
        assert_int_equal(im.channels, rows[i].channels);
        assert_true(head.width == im.width && head.height == im.height &&
                    head.channels == im.channels && !head.pixel);
        for (size_t k = 0; k < (size_t)im.width * im.height * im.channels; k++)
            sum += im.pixel[k];
        assert_int_equal(sum, rows[i].sum);
        assert_memory_equal(im.pixel, rows[i].first, 3);
        image_fini(&im);
        hyp_free(bytes);
    }
}

static void damage_is_named(void **state)
{
    static const struct {
        const char *name, *words;
    } rows[] = {
        {"cut.png", "offset|damaged PNG|ends too early"},
        {"flipped.png", "damaged PNG"},
        {"huge.png", "damaged PNG"},
        {"cut.jpeg", "damaged JPEG"},
        {"cmyk.jpeg", "grey or RGB image, found 4 channels"},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct image im;
        struct hyp_error err = {0};
        size_t n = 0;
        char words[128];
        uint8_t *bytes = corpus(rows[i].name, &n);
        assert_int_equal(image_decode(bytes, n, rows[i].name, &im, &err), HYP_EFORMAT);
        assert_null(im.pixel);
        assert_non_null(strstr(err.text, rows[i].name));
        snprintf(words, sizeof words, "%s", rows[i].words);
        for (char *w = strtok(words, "|"); w; w = strtok(NULL, "|"))
            if (!strstr(err.text, w))
                fail_msg("`%s` lacks `%s`", err.text, w);
        hyp_free(bytes);
    }
}

/* Image.resize((w, h), BILINEAR) by Pillow of x[i] = 37 i mod 256 on 9 x 7. */
static void resizes_as_pillow_does(void **state)
{
    static const uint8_t down[] = {97,  133, 112, 94,  120, 112,
                                   134, 126, 152, 134, 113, 149};
    static const uint8_t mixed[] = {46,  148, 90,  81,  144, 81,  127, 134, 78,  156, 92,
                                    127, 138, 92,  153, 85,  123, 161, 93,  154, 108, 119,
                                    154, 90,  168, 112, 119, 165, 102, 165, 156, 98,  200};
    static const uint8_t up_first[] = {0,   20,  46,  71, 97, 122, 148,
                                       174, 199, 205, 54, 20, 40};
    uint8_t pixel[63];
    const struct image in = {9, 7, 1, pixel};
    struct image out;
    (void)state;
    for (unsigned i = 0; i < 63; i++)
        pixel[i] = (uint8_t)(i * 37);
    assert_int_equal(image_resize(&in, 4, 3, &out, NULL), HYP_OK);
    assert_memory_equal(out.pixel, down, sizeof down);
    image_fini(&out);
    assert_int_equal(image_resize(&in, 3, 11, &out, NULL), HYP_OK);
    assert_memory_equal(out.pixel, mixed, sizeof mixed);
    image_fini(&out);
    assert_int_equal(image_resize(&in, 13, 10, &out, NULL), HYP_OK);
    assert_memory_equal(out.pixel, up_first, sizeof up_first);
    assert_int_equal(out.pixel[129], 246);
    image_fini(&out);
    assert_int_equal(image_resize(&in, 9, 7, &out, NULL), HYP_OK);
    assert_memory_equal(out.pixel, pixel, sizeof pixel);
    image_fini(&out);
    assert_int_equal(image_resize(&in, 1, 1, &out, NULL), HYP_OK);
    assert_int_equal(out.pixel[0], 123);
    image_fini(&out);
    assert_int_equal(image_resize(&in, 0, 1, &out, NULL), HYP_EFORMAT);
}

/* Writing and reading back, grey and RGB; nothing is left behind when a write fails. */
static void png_round_trip(void **state)
{
    uint8_t pixel[5 * 4 * 3];
    (void)state;
    for (unsigned i = 0; i < sizeof pixel; i++)
        pixel[i] = (uint8_t)(i * 91);
    for (uint32_t channels = 1; channels <= 3; channels += 2) {
        const struct image im = {5, 4, channels, pixel};
        struct image back;
        uint8_t *bytes = NULL;
        size_t n = 0;
        assert_int_equal(image_write_png(scratch_path("a.png"), &im, NULL), HYP_OK);
        assert_int_equal(file_read(scratch_path("a.png"), 1 << 20, &bytes, &n, NULL),
                         HYP_OK);
        assert_int_equal(image_decode(bytes, n, "a.png", &back, NULL), HYP_OK);
        assert_int_equal(back.channels, channels);
        assert_memory_equal(back.pixel, pixel, 20 * channels);
        image_fini(&back);
        hyp_free(bytes);
        assert_true(image_write_png("/nonexistent/a.png", &im, NULL) != HYP_OK);
    }
}

/* Five 2 x 1 images in two columns, twice as large, one pixel between. */
static void sheets(void **state)
{
    static const float x[10] = {-1, 1, 0, -5, 5, NAN, 0.5F, -0.5F, 0, 0};
    const struct image_sheet s = {.values = x,
                                  .n = 5,
                                  .channels = 1,
                                  .height = 1,
                                  .width = 2,
                                  .columns = 2,
                                  .low = -1,
                                  .high = 1,
                                  .zoom = 2,
                                  .gutter = 1};
    static const uint8_t want[] = {0, 255, 128, 0, 255, 0, 191, 64, 128, 128};
    struct image im;
    (void)state;
    assert_int_equal(image_sheet_draw(&s, &im, NULL), HYP_OK);
    assert_int_equal(im.width, 2 * 5 + 1);
    assert_int_equal(im.height, 3 * 3 + 1);
    assert_int_equal(im.channels, 1);
    for (uint32_t i = 0; i < 10; i++) {
        const uint32_t k = i / 2, left = 1 + k % 2 * 5 + i % 2 * 2, top = 1 + k / 2 * 3;
        for (uint32_t d = 0; d < 4; d++)
            assert_int_equal(im.pixel[(top + d / 2) * im.width + left + d % 2], want[i]);
    }
    assert_int_equal(im.pixel[0], 64);
    assert_int_equal(im.pixel[5], 64);
    image_fini(&im);
    struct image_sheet none = s;
    none.n = 0;
    assert_int_equal(image_sheet_draw(&none, &im, NULL), HYP_EARG);
}

static void coloured_sheets(void **state)
{
    static const float x[6] = {0, 0, 0.5F, NAN, 1, 1}; /* two pixels, planes apart */
    struct image_sheet s = {.values = x,
                            .n = 1,
                            .channels = 3,
                            .height = 1,
                            .width = 2,
                            .low = 0,
                            .high = 1,
                            .zoom = 1,
                            .gutter = 1};
    struct image im;
    (void)state;
    assert_int_equal(image_sheet_draw(&s, &im, NULL), HYP_OK);
    assert_int_equal(im.channels, 3);
    const uint8_t first[] = {0, 128, 255}, second[] = {255, 0, 0};
    assert_memory_equal(im.pixel + (im.width + 1) * 3, first, 3);
    assert_memory_equal(im.pixel + (im.width + 2) * 3, second, 3); /* NaN is red */
    image_fini(&im);
    s.channels = 2; /* each channel an image of its own */
    assert_int_equal(image_sheet_draw(&s, &im, NULL), HYP_OK);
    assert_int_equal(im.channels, 1);
    assert_int_equal(im.width, 7);
    image_fini(&im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes),
        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(resizes_as_pillow_does),
        cmocka_unit_test(png_round_trip),
        cmocka_unit_test(sheets),
        cmocka_unit_test(coloured_sheets),
    };
    return cmocka_run_group_tests_name("image", tests, scratch_setup, scratch_teardown);
}
