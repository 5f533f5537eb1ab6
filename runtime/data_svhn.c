/*
 * SVHN's cropped digits: train_32x32.mat and test_32x32.mat hold X, bytes [row, column,
 * channel, sample] with the row running fastest, and y, labels 1 to 10, of which 10 is the
 * digit 0.
 */
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/data_impl.h"
#include "runtime/mat.h"

/* The published training file has 182 MB, its images 225. */
#define MAT_FILE_LIMIT ((size_t)1 << 30)
#define MAT_LIMIT      ((size_t)1 << 30)

enum { SIDE = 32, PLANE = SIDE * SIDE, CHANNELS = 3 };

enum hyp_status svhn_fields(const struct data_where *w, struct data_info *out,
                            struct hyp_error *err)
{
    return data_image_fields(w, CHANNELS, SIDE, out, err);
}

/* A single sample has no fourth axis. */
static bool are_images(const struct mat_array *x)
{
    return mat_is_bytes(x) && (x->rank == 3 || x->rank == 4) && x->count > 0 &&
           x->dim[0] == SIDE && x->dim[1] == SIDE && x->dim[2] == CHANNELS;
}

/* Rows are to run slowest, not fastest, in each plane. */
static void transpose(uint8_t *plane)
{
    for (unsigned i = 0; i < SIDE; i++)
        for (unsigned j = 0; j < i; j++) {
            const uint8_t swap = plane[i * SIDE + j];
            plane[i * SIDE + j] = plane[j * SIDE + i];
            plane[j * SIDE + i] = swap;
        }
}

static enum hyp_status take_images(const char *file, struct mat_array *x,
                                   struct data_set *out, struct hyp_error *err)
{
    struct data_column *image = &out->column[0];
    enum hyp_status st = HYP_OK;

    if (!are_images(x))
        return hyp_fail(err, HYP_EFORMAT,
                        "%s: expected `X` of class uint8 and 32 x 32 x 3 x n, found class "
                        "%s and %u x %u x %u%s",
                        file, x->class_name, x->dim[0], x->dim[1], x->dim[2],
                        x->rank > 3 ? " x ..." : "");
    out->n = (uint32_t)(x->count / (CHANNELS * PLANE));
    if (x->block) { /* the set keeps what was unpacked, 225 MB that need not be copied */
        *image = (struct data_column){.storage = STORE_U8,
                                      .block = x->block,
                                      .values = x->block + (x->data - x->block)};
        x->block = NULL;
    } else {
        st = data_room(out, 0, STORE_U8, out->n, err);
        if (!st)
            memcpy(image->values, x->data, x->count);
    }
    for (uint64_t at = 0; !st && at < x->count; at += PLANE)
        transpose((uint8_t *)image->values + at);
    return st;
}

static enum hyp_status take_labels(const char *file, const struct mat_array *y,
                                   struct data_set *out, struct hyp_error *err)
{
    if (y->count != out->n)
        return hyp_fail(err, HYP_EFORMAT, "%s: expected %u labels in `y`, found %llu", file,
                        out->n, (unsigned long long)y->count);
    enum hyp_status st = data_room(out, 1, STORE_I32, out->n, err);
    for (uint32_t i = 0; !st && i < out->n; i++) {
        const double label = mat_number(y, i);
        if (label >= 1 && label <= 10 && label == (int32_t)label)
            ((int32_t *)out->column[1].values)[i] = (int32_t)label % 10;
        else
            st = hyp_fail(err, HYP_EFORMAT,
                          "%s: `y`: sample %u: expected a label 1 to 10, found %g", file, i,
                          label);
    }
    return st;
}

enum hyp_status svhn_parse(const uint8_t *bytes, size_t n, const char *file, size_t limit,
                           struct data_set *out, struct hyp_error *err)
{
    struct mat_array x = {0}, y = {0};
    enum hyp_status st = mat_find(bytes, n, file, "X", limit, &x, err);

    if (!st)
        st = take_images(file, &x, out, err);
    if (!st)
        st = mat_find(bytes, n, file, "y", limit, &y, err);
    if (!st)
        st = take_labels(file, &y, out, err);
    out->nclass = 10;
    mat_fini(&x);
    mat_fini(&y);
    return st;
}

enum hyp_status svhn_open(const struct data_where *w, struct data_set *out,
                          struct hyp_error *err)
{
    char path[DATA_PATH_SIZE];
    uint8_t *bytes = NULL;
    size_t n = 0;
    bool test = false;
    enum hyp_status st = data_train_test(w->desc, &test, err);

    if (!st)
        st = svhn_fields(w, &out->info, err);
    if (!st)
        st = data_add_columns(out, err);
    if (!st)
        st = data_find(w, test ? "test_32x32.mat" : "train_32x32.mat", path, err);
    if (!st)
        st = file_read_packed(path, MAT_FILE_LIMIT, &bytes, &n, err);
    if (!st)
        st = svhn_parse(bytes, n, path, MAT_LIMIT, out, err);
    hyp_free(bytes);
    return st;
}
