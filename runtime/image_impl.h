/* Inside of image.c and the two formats. */
#ifndef HYP_RUNTIME_IMAGE_IMPL_H
#define HYP_RUNTIME_IMAGE_IMPL_H

#include <stdbool.h>

#include "runtime/image.h"

/* Pixels, zeroed. */
enum hyp_status image_room(struct image *im, uint32_t width, uint32_t height,
                           uint32_t channels, struct hyp_error *err);
/* HYP_EFORMAT, naming `file`, beyond the limits of image.h. */
enum hyp_status image_check_size(const char *file, uint64_t width, uint64_t height,
                                 struct hyp_error *err);

enum hyp_status image_png_decode(const uint8_t *bytes, size_t n, const char *file,
                                 bool header_only, struct image *out,
                                 struct hyp_error *err);
enum hyp_status image_jpeg_decode(const uint8_t *bytes, size_t n, const char *file,
                                  bool header_only, struct image *out,
                                  struct hyp_error *err);

#endif
