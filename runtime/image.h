/*
 * Pictures: PNG and JPEG in, PNG out, sheets of many small images, resizing.
 */
#ifndef HYP_RUNTIME_IMAGE_H
#define HYP_RUNTIME_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

/* No picture read may have more pixels, nor a longer side. */
enum { IMAGE_MAX_SIDE = 32768, IMAGE_MAX_PIXELS = 1 << 26 };

/* 8 bits a channel, channels together (grey, or RGB), rows from the top. */
struct image {
    uint32_t width, height, channels; /* channels: 1 or 3 */
    uint8_t *pixel;                   /* owned: image_fini() */
};

void image_fini(struct image *im);

/* PNG or JPEG by its first bytes; transparency is dropped, 16 bits become 8, palettes RGB.
 */
enum hyp_status image_decode(const uint8_t *bytes, size_t n, const char *file,
                             struct image *out, struct hyp_error *err);
/* Width, height and channels alone; out->pixel is NULL. */
enum hyp_status image_probe(const uint8_t *bytes, size_t n, const char *file,
                            struct image *out, struct hyp_error *err);

/*
 * Bilinear with a triangle as wide as the shrinking asks for (no aliasing), horizontally,
 * then vertically, each rounded to 8 bits: what Pillow's BILINEAR does, in fixed point.
 */
enum hyp_status image_resize(const struct image *in, uint32_t width, uint32_t height,
                             struct image *out, struct hyp_error *err);
enum hyp_status image_to_rgb(struct image *im,
                             struct hyp_error *err); /* grey to RGB, in place */

/* Atomically. */
enum hyp_status image_write_png(const char *path, const struct image *im,
                                struct hyp_error *err);

/*
 * `n` images of floats, [channels, height, width] each (channels 1 or 3; else each channel
 * is shown as an image of its own), `low` black and `high` white, clipped, NaN red (grey:
 * black).
 */
struct image_sheet {
    const float *values;
    uint32_t n, channels, height, width;
    uint32_t columns; /* 0: about square */
    float low, high;
    uint32_t zoom;   /* every pixel becomes zoom x zoom; 0: so that an image has some 56 */
    uint32_t gutter; /* pixels between the images; 0: 2 */
};
enum hyp_status image_sheet_draw(const struct image_sheet *s, struct image *out,
                                 struct hyp_error *err);
enum hyp_status image_sheet_write(const char *path, const struct image_sheet *s,
                                  struct hyp_error *err);

#endif
