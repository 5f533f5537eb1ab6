/*
 * IDX, the format of MNIST and its relatives: two zero bytes, the element type (8: unsigned
 * byte), the rank, one big-endian 32-bit extent per axis, then the elements, row-major.
 */
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/data_impl.h"

/* Both sets of MNIST are far below; a gzip bomb is not. */
#define IDX_LIMIT ((size_t)1 << 30)

static uint32_t big32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

enum hyp_status idx_parse(const uint8_t *bytes, size_t n, const char *file, uint32_t rank,
                          struct idx_array *out, struct hyp_error *err)
{
    const size_t header = 4 + 4 * (size_t)rank;
    const uint32_t magic = 0x0800 | rank;
    uint64_t size = 1;

    *out = (struct idx_array){.rank = rank};
    if (n < header)
        return hyp_fail(err, HYP_EFORMAT, "%s: a header of %zu bytes, and the file has %zu",
                        file, header, n);
    if (big32(bytes) != magic)
        return hyp_fail(err, HYP_EFORMAT, "%s: offset 0: expected the number %u, found %u",
                        file, magic, big32(bytes));
    for (uint32_t i = 0; i < rank; i++) {
        out->dim[i] = big32(bytes + 4 + 4 * (size_t)i);
        if (out->dim[i] == 0 || size > (uint64_t)DATA_FILE_LIMIT / out->dim[i])
            return hyp_fail(err, HYP_EFORMAT, "%s: offset %u: extent %u is out of range",
                            file, 4 + 4 * i, out->dim[i]);
        size *= out->dim[i];
    }
    if (n - header != size)
        return hyp_fail(err, HYP_EFORMAT,
                        "%s: expected %llu bytes of data at offset %zu, found %zu", file,
                        (unsigned long long)size, header, n - header);
    out->data = bytes + header;
    out->nbytes = n - header;
    return HYP_OK;
}

enum hyp_status mnist_fields(const struct data_where *w, struct data_info *out,
                             struct hyp_error *err)
{
    return data_image_fields(w, 1, 28, out, err);
}

/* Read NAME, packed or not, and parse it; *bytes is owned by the caller. */
static enum hyp_status read_idx(const struct data_where *w, const char *name, uint32_t rank,
                                uint8_t **bytes, struct idx_array *out,
                                struct hyp_error *err)
{
    char path[DATA_PATH_SIZE];
    size_t n = 0;
    enum hyp_status st = data_find(w, name, path, err);
    if (!st)
        st = file_read_packed(path, IDX_LIMIT, bytes, &n, err);
    return st ? st : idx_parse(*bytes, n, path, rank, out, err);
}

static enum hyp_status take_images(const struct data_where *w, const char *name,
                                   struct data_set *out, struct hyp_error *err)
{
    uint8_t *bytes = NULL;
    struct idx_array a;
    enum hyp_status st = read_idx(w, name, 3, &bytes, &a, err);

    if (!st && (a.dim[1] != 28 || a.dim[2] != 28))
        st = hyp_fail(err, HYP_EFORMAT,
                      "%s: offset 8: expected images of 28 x 28, found %u x %u", name,
                      a.dim[1], a.dim[2]);
    if (!st) { /* the set keeps the file's bytes, 47 MB that need not be copied */
        out->column[0] = (struct data_column){
            .storage = STORE_U8, .block = bytes, .values = bytes + (a.data - bytes)};
        out->n = a.dim[0];
        bytes = NULL;
    }
    hyp_free(bytes);
    return st;
}

static enum hyp_status take_labels(const struct data_where *w, const char *name,
                                   struct data_set *out, struct hyp_error *err)
{
    uint8_t *bytes = NULL;
    struct idx_array a;
    enum hyp_status st = read_idx(w, name, 1, &bytes, &a, err);

    if (!st && a.dim[0] != out->n)
        st = hyp_fail(err, HYP_EFORMAT, "%s: offset 4: expected %u labels, found %u", name,
                      out->n, a.dim[0]);
    if (!st)
        st = data_room(out, 1, STORE_I32, out->n, err);
    for (uint32_t i = 0; !st && i < out->n; i++) {
        ((int32_t *)out->column[1].values)[i] = a.data[i];
        if (a.data[i] > 9)
            st = hyp_fail(err, HYP_EFORMAT,
                          "%s: offset %u: expected a label 0 to 9, found %u", name, 8 + i,
                          a.data[i]);
    }
    out->nclass = 10;
    hyp_free(bytes);
    return st;
}

/* Digits have no names, clothes do. */
static enum hyp_status name_classes(const struct data_where *w, struct data_set *out,
                                    struct hyp_error *err)
{
    static const char *const clothes[] = {"top",    "trouser", "pullover", "dress", "coat",
                                          "sandal", "shirt",   "sneaker",  "bag",   "boot"};
    enum hyp_status st = HYP_OK;
    if (strcmp(w->desc->kind, "fashion_mnist") == 0)
        for (uint32_t c = 0; !st && c < out->nclass; c++)
            st = data_name_class(out, c, clothes[c], err);
    return st;
}

enum hyp_status mnist_open(const struct data_where *w, struct data_set *out,
                           struct hyp_error *err)
{
    char name[64];
    bool test = false;
    const char *part;
    enum hyp_status st = data_train_test(w->desc, &test, err);

    if (!st)
        st = mnist_fields(w, &out->info, err);
    if (!st)
        st = data_add_columns(out, err);
    part = test ? "t10k" : "train";
    if (!st) {
        snprintf(name, sizeof name, "%s-images-idx3-ubyte", part);
        st = take_images(w, name, out, err);
    }
    if (!st) {
        snprintf(name, sizeof name, "%s-labels-idx1-ubyte", part);
        st = take_labels(w, name, out, err);
    }
    return st ? st : name_classes(w, out, err);
}
