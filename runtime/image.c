/* Pictures in memory: sheets and resizing.  The formats are in image_png.c and
 * image_jpeg.c. */
#include "runtime/image.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/image_impl.h"

void image_fini(struct image *im)
{
    hyp_free(im->pixel);
    memset(im, 0, sizeof *im);
}

static size_t bytes_of(const struct image *im)
{
    return (size_t)im->width * im->height * im->channels;
}

enum hyp_status image_room(struct image *im, uint32_t width, uint32_t height,
                           uint32_t channels, struct hyp_error *err)
{
    *im = (struct image){width, height, channels, NULL};
    im->pixel = hyp_calloc(bytes_of(im) ? bytes_of(im) : 1, 1);
    if (!im->pixel)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for an image of %u x %u", width,
                        height);
    return HYP_OK;
}

enum hyp_status image_check_size(const char *file, uint64_t width, uint64_t height,
                                 struct hyp_error *err)
{
    if (width && height && width <= IMAGE_MAX_SIDE && height <= IMAGE_MAX_SIDE &&
        width * height <= IMAGE_MAX_PIXELS)
        return HYP_OK;
    return hyp_fail(
        err, HYP_EFORMAT,
        "%s: expected at most %d pixels and sides of 1 to %d, found %llu x %llu", file,
        IMAGE_MAX_PIXELS, IMAGE_MAX_SIDE, (unsigned long long)width,
        (unsigned long long)height);
}

static enum hyp_status decode(const uint8_t *bytes, size_t n, const char *file,
                              bool header_only, struct image *out, struct hyp_error *err)
{
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', 13, 10, 26, 10};
    static const uint8_t jpeg[3] = {0xff, 0xd8, 0xff};

    memset(out, 0, sizeof *out);
    if (n >= sizeof png && memcmp(bytes, png, sizeof png) == 0)
        return image_png_decode(bytes, n, file, header_only, out, err);
    if (n >= sizeof jpeg && memcmp(bytes, jpeg, sizeof jpeg) == 0)
        return image_jpeg_decode(bytes, n, file, header_only, out, err);
    return hyp_fail(err, HYP_EFORMAT,
                    "%s: offset 0: expected a PNG or JPEG image, found %s", file,
                    n ? "other bytes" : "nothing");
}

enum hyp_status image_decode(const uint8_t *bytes, size_t n, const char *file,
                             struct image *out, struct hyp_error *err)
{
    return decode(bytes, n, file, false, out, err);
}

enum hyp_status image_probe(const uint8_t *bytes, size_t n, const char *file,
                            struct image *out, struct hyp_error *err)
{
    return decode(bytes, n, file, true, out, err);
}

enum hyp_status image_to_rgb(struct image *im, struct hyp_error *err)
{
    struct image out;
    if (im->channels == 3)
        return HYP_OK;
    const enum hyp_status st = image_room(&out, im->width, im->height, 3, err);
    if (st)
        return st;
    for (size_t i = 0; i < bytes_of(&out); i++)
        out.pixel[i] = im->pixel[i / 3];
    image_fini(im);
    *im = out;
    return HYP_OK;
}

/* ---- resizing ---- */

/* Weights are fixed point with so many bits; their sum over a pixel is below 2^31. */
enum { WEIGHT_BITS = 22 };

/* For every output place: the first input place and `support` weights. */
struct resampling {
    uint32_t support;
    uint32_t *first;
    int32_t *weight;
    uint32_t *count;
};

static void resampling_fini(struct resampling *r)
{
    hyp_free(r->first);
    hyp_free(r->weight);
    hyp_free(r->count);
}

static double triangle(double x)
{
    x = x < 0 ? -x : x;
    return x < 1 ? 1 - x : 0;
}

/* The weights of output place i. */
static void weigh(struct resampling *r, uint32_t i, uint32_t n_in, double scale,
                  double width)
{
    const double centre = (i + 0.5) * scale;
    const double from = centre - width + 0.5, to = centre + width + 0.5;
    const uint32_t first = from < 0 ? 0 : (uint32_t)from;
    const uint32_t last = to > n_in ? n_in : (uint32_t)to;
    int32_t *const w = r->weight + (size_t)i * r->support;
    double sum = 0;

    for (uint32_t k = first; k < last; k++)
        sum += triangle((k - centre + 0.5) / width);
    for (uint32_t k = first; k < last; k++) {
        const double share = triangle((k - centre + 0.5) / width) / sum;
        w[k - first] = (int32_t)floor(share * (1 << WEIGHT_BITS) + 0.5);
    }
    r->first[i] = first;
    r->count[i] = last - first;
}

static enum hyp_status resampling_init(struct resampling *r, uint32_t n_in, uint32_t n_out,
                                       struct hyp_error *err)
{
    const double scale = (double)n_in / n_out, width = scale < 1 ? 1 : scale;

    r->support = (uint32_t)ceil(width) * 2 + 1;
    r->first = hyp_calloc(n_out, sizeof *r->first);
    r->count = hyp_calloc(n_out, sizeof *r->count);
    r->weight = hyp_calloc((size_t)n_out * r->support, sizeof *r->weight);
    if (!r->first || !r->count || !r->weight)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for resizing");
    for (uint32_t i = 0; i < n_out; i++)
        weigh(r, i, n_in, scale, width);
    return HYP_OK;
}

/* One output value: inputs from `in`, `stride` apart. */
static uint8_t resample(const struct resampling *r, uint32_t i, const uint8_t *in,
                        size_t stride)
{
    const int32_t *w = r->weight + (size_t)i * r->support;
    int32_t sum = 1 << (WEIGHT_BITS - 1);

    in += r->first[i] * stride;
    for (uint32_t k = 0; k < r->count[i]; k++)
        sum += w[k] * in[k * stride];
    sum /= 1 << WEIGHT_BITS;
    return (uint8_t)(sum > 255 ? 255 : sum);
}

static enum hyp_status resize_across(const struct image *in, uint32_t width,
                                     struct image *out, struct hyp_error *err)
{
    struct resampling r = {0};
    const uint32_t ch = in->channels;
    enum hyp_status st = resampling_init(&r, in->width, width, err);

    if (!st)
        st = image_room(out, width, in->height, ch, err);
    for (uint32_t y = 0; !st && y < in->height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t c = 0; c < ch; c++)
                out->pixel[((size_t)y * width + x) * ch + c] =
                    resample(&r, x, in->pixel + (size_t)y * in->width * ch + c, ch);
    resampling_fini(&r);
    return st;
}

static enum hyp_status resize_down(const struct image *in, uint32_t height,
                                   struct image *out, struct hyp_error *err)
{
    struct resampling r = {0};
    const size_t row = (size_t)in->width * in->channels;
    enum hyp_status st = resampling_init(&r, in->height, height, err);

    if (!st)
        st = image_room(out, in->width, height, in->channels, err);
    for (uint32_t y = 0; !st && y < height; y++)
        for (size_t i = 0; i < row; i++)
            out->pixel[y * row + i] = resample(&r, y, in->pixel + i, row);
    resampling_fini(&r);
    return st;
}

enum hyp_status image_resize(const struct image *in, uint32_t width, uint32_t height,
                             struct image *out, struct hyp_error *err)
{
    struct image across = {0};
    enum hyp_status st = image_check_size("resize", width, height, err);
    if (!st)
        st = resize_across(in, width, &across, err);
    if (!st)
        st = resize_down(&across, height, out, err);
    image_fini(&across);
    return st;
}

/* ---- sheets ---- */

static uint8_t shade(const struct image_sheet *s, float v)
{
    const float span = s->high > s->low ? s->high - s->low : 1;
    const float g = (v - s->low) / span * 255;
    return g >= 255 ? 255 : g > 0 ? (uint8_t)lroundf(g) : 0;
}

/* Colour of pixel i (row-major) of image k; `planes` is 1 or 3. */
static void colour_of(const struct image_sheet *s, uint32_t planes, size_t k, size_t i,
                      uint8_t out[3])
{
    const size_t plane = (size_t)s->height * s->width;
    const float *v = s->values + k * plane * planes + i;
    bool nan = false;

    for (uint32_t c = 0; c < 3; c++) {
        const float x = v[(planes == 3 ? c : 0) * plane];
        nan = nan || isnan(x);
        out[c] = shade(s, x);
    }
    if (nan && planes == 3)
        memcpy(out, (uint8_t[3]){255, 0, 0}, 3);
}

static void draw_one(const struct image_sheet *s, uint32_t zoom, uint32_t k, uint32_t left,
                     uint32_t top, struct image *out)
{
    uint8_t rgb[3];
    for (uint32_t y = 0; y < s->height * zoom; y++)
        for (uint32_t x = 0; x < s->width * zoom; x++) {
            colour_of(s, out->channels, k, (size_t)(y / zoom) * s->width + x / zoom, rgb);
            memcpy(out->pixel + ((size_t)(top + y) * out->width + left + x) * out->channels,
                   rgb, out->channels);
        }
}

enum hyp_status image_sheet_draw(const struct image_sheet *s, struct image *out,
                                 struct hyp_error *err)
{
    const uint32_t planes = s->channels == 3 ? 3 : 1;
    const uint64_t n = (uint64_t)s->n * s->channels / planes;
    const uint32_t longer = s->height > s->width ? s->height : s->width;
    const uint32_t fit = longer && longer < 56 ? 56 / longer : 1;
    const uint32_t zoom = s->zoom ? s->zoom : fit, gap = s->gutter ? s->gutter : 2;
    uint64_t columns = s->columns ? s->columns : (uint64_t)ceil(sqrt((double)n));

    memset(out, 0, sizeof *out);
    columns = columns > n ? n : columns;
    if (n == 0 || longer == 0 || s->width == 0 || s->height == 0)
        return hyp_fail(err, HYP_EARG, "there is no image to show");
    const uint64_t rows = (n + columns - 1) / columns;
    const uint64_t cell_w = (uint64_t)s->width * zoom + gap;
    const uint64_t cell_h = (uint64_t)s->height * zoom + gap;
    enum hyp_status st =
        image_check_size("image sheet", columns * cell_w + gap, rows * cell_h + gap, err);
    if (!st)
        st = image_room(out, (uint32_t)(columns * cell_w + gap),
                        (uint32_t)(rows * cell_h + gap), planes, err);
    if (st)
        return st;
    memset(out->pixel, 64, bytes_of(out));
    for (uint32_t k = 0; k < n; k++)
        draw_one(s, zoom, k, (uint32_t)(gap + k % columns * cell_w),
                 (uint32_t)(gap + k / columns * cell_h), out);
    return HYP_OK;
}

enum hyp_status image_sheet_write(const char *path, const struct image_sheet *s,
                                  struct hyp_error *err)
{
    struct image im;
    enum hyp_status st = image_sheet_draw(s, &im, err);
    if (!st)
        st = image_write_png(path, &im, err);
    image_fini(&im);
    return st;
}
