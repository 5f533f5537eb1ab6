/*
 * JPEG through libjpeg.  A damaged file that libjpeg would patch over with a warning is an
 * error here: data that are not what was written are worse than none.
 */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include "runtime/image_impl.h"

struct jpeg_job {
    struct jpeg_error_mgr mgr; /* first: libjpeg hands back its address */
    jmp_buf back;
    struct jpeg_decompress_struct jpeg;
    const uint8_t *bytes;
    size_t n;
    const char *file;
    struct hyp_error *err;
    bool header_only;
    struct image *image;
    enum hyp_status status;
};

static void on_error(j_common_ptr cinfo)
{
    struct jpeg_job *job = (struct jpeg_job *)cinfo->err;
    char text[JMSG_LENGTH_MAX];

    cinfo->err->format_message(cinfo, text);
    if (!job->status)
        job->status =
            hyp_fail(job->err, HYP_EFORMAT, "%s: offset %zu: damaged JPEG: %.200s",
                     job->file, job->n - job->jpeg.src->bytes_in_buffer, text);
    longjmp(job->back, 1);
}

static void on_message(j_common_ptr cinfo, int level)
{
    if (level < 0)
        on_error(cinfo);
}

static void read_rows(struct jpeg_job *job)
{
    struct image *im = job->image;

    jpeg_start_decompress(&job->jpeg);
    job->status = image_room(im, im->width, im->height, im->channels, job->err);
    if (job->status)
        return;
    while (job->jpeg.output_scanline < job->jpeg.output_height) {
        JSAMPROW row =
            im->pixel + (size_t)job->jpeg.output_scanline * im->width * im->channels;
        jpeg_read_scanlines(&job->jpeg, &row, 1);
    }
    jpeg_finish_decompress(&job->jpeg);
}

static void read_picture(struct jpeg_job *job)
{
    if (setjmp(job->back))
        return;
    jpeg_create_decompress(&job->jpeg);
    jpeg_mem_src(&job->jpeg, job->bytes, job->n);
    jpeg_read_header(&job->jpeg, TRUE);
    job->image->width = job->jpeg.image_width;
    job->image->height = job->jpeg.image_height;
    job->status =
        image_check_size(job->file, job->image->width, job->image->height, job->err);
    if (job->status)
        return;
    if (job->jpeg.num_components != 1 && job->jpeg.num_components != 3) {
        job->status = hyp_fail(job->err, HYP_EFORMAT,
                               "%s: expected a grey or RGB image, found %d channels",
                               job->file, job->jpeg.num_components);
        return;
    }
    job->image->channels = (uint32_t)job->jpeg.num_components;
    job->jpeg.out_color_space = job->image->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    job->jpeg.dct_method = JDCT_ISLOW; /* the exact integer one */
    if (!job->header_only)
        read_rows(job);
}

enum hyp_status image_jpeg_decode(const uint8_t *bytes, size_t n, const char *file,
                                  bool header_only, struct image *out,
                                  struct hyp_error *err)
{
    struct jpeg_job job;

    memset(&job, 0, sizeof job);
    job.bytes = bytes;
    job.n = n;
    job.file = file;
    job.err = err;
    job.header_only = header_only;
    job.image = out;
    job.jpeg.err = jpeg_std_error(&job.mgr);
    job.mgr.error_exit = on_error;
    job.mgr.emit_message = on_message;
    read_picture(&job);
    jpeg_destroy_decompress(&job.jpeg);
    if (job.status)
        image_fini(out);
    return job.status;
}
