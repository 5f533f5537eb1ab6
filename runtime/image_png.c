/*
 * PNG through libpng.
 *
 * libpng reports errors by longjmp.  So what must survive one lives in a struct outside the
 * function that calls setjmp, and that function has no locals that change after it.
 */
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/image_impl.h"

struct png_job {
    const char *file;
    struct hyp_error *err;
    png_structp png;
    png_infop info;
    const uint8_t *bytes; /* reading */
    size_t n, at;
    uint8_t *out; /* writing; owned */
    size_t nout, cap;
    bool header_only;
    struct image *image;
    enum hyp_status status;
};

static void on_error(png_structp png, png_const_charp text)
{
    struct png_job *job = png_get_error_ptr(png);
    if (!job->status)
        job->status = hyp_fail(job->err, HYP_EFORMAT, "%s: offset %zu: damaged PNG: %s",
                               job->file, job->at, text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void give_bytes(png_structp png, png_bytep to, size_t n)
{
    struct png_job *job = png_get_io_ptr(png);
    if (n > job->n - job->at)
        png_error(png, "the file ends too early");
    memcpy(to, job->bytes + job->at, n);
    job->at += n;
}

/* ---- reading ---- */

/* Whatever the file holds becomes 8-bit grey or RGB. */
static void want_plain_pixels(struct png_job *job)
{
    const int colour = png_get_color_type(job->png, job->info);

    png_set_scale_16(job->png);
    if (colour == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(job->png);
    if (colour == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(job->png, job->info) < 8)
        png_set_expand_gray_1_2_4_to_8(job->png);
    png_set_strip_alpha(job->png);
    job->image->channels = colour & PNG_COLOR_MASK_COLOR ? 3 : 1;
}

static void read_rows(struct png_job *job)
{
    struct image *im = job->image;
    const size_t row = (size_t)im->width * im->channels;
    const int passes = png_set_interlace_handling(job->png);

    png_read_update_info(job->png, job->info);
    if (png_get_rowbytes(job->png, job->info) != row)
        png_error(job->png, "rows of an unexpected length");
    job->status = image_room(im, im->width, im->height, im->channels, job->err);
    if (job->status)
        png_error(job->png, "out of memory");
    for (int p = 0; p < passes; p++)
        for (uint32_t y = 0; y < im->height; y++)
            png_read_row(job->png, im->pixel + y * row, NULL);
    png_read_end(job->png, NULL);
}

static void read_picture(struct png_job *job)
{
    if (setjmp(png_jmpbuf(job->png)))
        return;
    png_set_user_limits(job->png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
    png_set_chunk_malloc_max(job->png, 1 << 24);
    png_set_read_fn(job->png, job, give_bytes);
    png_read_info(job->png, job->info);
    job->image->width = png_get_image_width(job->png, job->info);
    job->image->height = png_get_image_height(job->png, job->info);
    job->status =
        image_check_size(job->file, job->image->width, job->image->height, job->err);
    if (job->status)
        png_error(job->png, "too large");
    want_plain_pixels(job);
    if (!job->header_only)
        read_rows(job);
}

enum hyp_status image_png_decode(const uint8_t *bytes, size_t n, const char *file,
                                 bool header_only, struct image *out, struct hyp_error *err)
{
    struct png_job job = {.file = file,
                          .err = err,
                          .bytes = bytes,
                          .n = n,
                          .image = out,
                          .header_only = header_only};

    job.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning);
    if (job.png)
        job.info = png_create_info_struct(job.png);
    if (!job.info)
        job.status = hyp_fail(err, HYP_ENOMEM, "out of memory for %s", file);
    else
        read_picture(&job);
    png_destroy_read_struct(&job.png, &job.info, NULL);
    if (job.status)
        image_fini(out);
    return job.status;
}

/* ---- writing ---- */

static void take_bytes(png_structp png, png_bytep from, size_t n)
{
    struct png_job *job = png_get_io_ptr(png);
    if (job->cap - job->nout < n) {
        const size_t cap = (job->cap + n) * 2;
        uint8_t *more = hyp_realloc(job->out, cap);
        if (!more) {
            job->status = hyp_fail(job->err, HYP_ENOMEM, "out of memory for %s", job->file);
            png_error(png, "out of memory");
        }
        job->out = more;
        job->cap = cap;
    }
    memcpy(job->out + job->nout, from, n);
    job->nout += n;
}

static void flush_nothing(png_structp png)
{
    (void)png;
}

static void write_picture(struct png_job *job)
{
    const struct image *im = job->image;
    const int colour = im->channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY;

    if (setjmp(png_jmpbuf(job->png)))
        return;
    png_set_write_fn(job->png, job, take_bytes, flush_nothing);
    png_set_IHDR(job->png, job->info, im->width, im->height, 8, colour, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(job->png, job->info);
    for (uint32_t y = 0; y < im->height; y++)
        png_write_row(job->png, im->pixel + (size_t)y * im->width * im->channels);
    png_write_end(job->png, NULL);
}

enum hyp_status image_write_png(const char *path, const struct image *im,
                                struct hyp_error *err)
{
    struct image copy = *im;
    struct png_job job = {.file = path, .err = err, .image = &copy};

    job.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning);
    if (job.png)
        job.info = png_create_info_struct(job.png);
    if (!job.info)
        job.status = hyp_fail(err, HYP_ENOMEM, "out of memory for %s", path);
    else
        write_picture(&job);
    png_destroy_write_struct(&job.png, &job.info);
    if (!job.status)
        job.status = file_put(path, job.out, job.nout, err);
    hyp_free(job.out);
    return job.status;
}
