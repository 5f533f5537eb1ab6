/*
 * CIFAR-10 in its binary version: records of a label and three planes of 32 x 32, red,
 * green, blue.  The training set is those of data_batch_1.bin to data_batch_5.bin that are
 * there; batches.meta.txt names the classes, one a line.
 */
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/data_impl.h"

/* A published batch has 31 MB, unpacked. */
#define BATCH_LIMIT ((size_t)64 << 20)

enum { BATCHES = 5, PIXELS = 3072, RECORD = 1 + PIXELS, CLASSES = 10, NAMES_LIMIT = 4096 };

enum hyp_status cifar_parse(const uint8_t *bytes, size_t n, const char *file,
                            uint32_t *count, struct hyp_error *err)
{
    if (n == 0 || n % RECORD)
        return hyp_fail(err, HYP_EFORMAT,
                        "%s: expected records of %d bytes, found %zu bytes in all, %zu "
                        "after the last whole record",
                        file, RECORD, n, n % RECORD);
    for (size_t at = 0; at < n; at += RECORD)
        if (bytes[at] >= CLASSES)
            return hyp_fail(err, HYP_EFORMAT,
                            "%s: offset %zu: expected a label 0 to 9, found %u", file, at,
                            bytes[at]);
    *count = (uint32_t)(n / RECORD);
    return HYP_OK;
}

enum hyp_status cifar_fields(const struct data_where *w, struct data_info *out,
                             struct hyp_error *err)
{
    return data_image_fields(w, 3, 32, out, err);
}

/* Room for `more` samples behind those that are there. */
static enum hyp_status grow(struct data_set *out, uint32_t more, const char *file,
                            struct hyp_error *err)
{
    const size_t n = (size_t)out->n + more;
    struct data_column *image = &out->column[0], *label = &out->column[1];
    void *pixels = hyp_realloc(image->block, n * PIXELS);
    if (pixels)
        image->block = image->values = pixels;
    void *labels = pixels ? hyp_realloc(label->block, n * sizeof(int32_t)) : NULL;
    if (!labels)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for the images of %s", file);
    label->block = label->values = labels;
    return HYP_OK;
}

/* Add the records of a batch file. */
static enum hyp_status add_batch(const char *path, struct data_set *out,
                                 struct hyp_error *err)
{
    uint8_t *bytes = NULL;
    size_t nbytes = 0;
    uint32_t n = 0;
    enum hyp_status st = file_read_packed(path, BATCH_LIMIT, &bytes, &nbytes, err);

    if (!st)
        st = cifar_parse(bytes, nbytes, path, &n, err);
    if (!st)
        st = grow(out, n, path, err);
    for (uint32_t i = 0; !st && i < n; i++, out->n++) {
        const uint8_t *record = bytes + (size_t)i * RECORD;
        ((int32_t *)out->column[1].values)[out->n] = record[0];
        memcpy((uint8_t *)out->column[0].values + (size_t)out->n * PIXELS, record + 1,
               PIXELS);
    }
    hyp_free(bytes);
    return st;
}

/* Those of the training batches that are there; at least one. */
static enum hyp_status add_training(const struct data_where *w, struct data_set *out,
                                    struct hyp_error *err)
{
    char name[32], path[DATA_PATH_SIZE], have[2 * BATCHES + 1] = "";
    struct hyp_error first = {0}; /* what is missing first is worth telling */
    enum hyp_status st = HYP_OK;
    unsigned n = 0;

    for (int b = 1; !st && b <= BATCHES; b++) {
        snprintf(name, sizeof name, "data_batch_%d.bin", b);
        if (data_find(w, name, path, &first))
            continue;
        snprintf(have + 2 * n++, 3, " %d", b);
        st = add_batch(path, out, err);
    }
    if (!st && n == 0)
        return hyp_fail(err, first.status, "%s", first.text);
    snprintf(out->note, sizeof out->note, "%u of %d training batches:%s", n, BATCHES, have);
    return st;
}

/* Cut the next line that is not empty out of *text; NULL: there is none. */
static char *next_line(char **text)
{
    static const char ends[] = "\r\n";
    char *const line = *text + strspn(*text, ends);
    char *const end = line + strcspn(line, ends);
    *text = *end ? end + 1 : end;
    *end = 0;
    return *line ? line : NULL;
}

/* Names of the classes, where there is the file that has them. */
static enum hyp_status name_classes(const struct data_where *w, struct data_set *out,
                                    struct hyp_error *err)
{
    char path[DATA_PATH_SIZE];
    uint8_t *text = NULL;
    size_t n = 0;
    uint32_t names = 0;

    if (data_find(w, "batches.meta.txt", path, NULL))
        return HYP_OK;
    enum hyp_status st = file_read_packed(path, NAMES_LIMIT, &text, &n, err);
    char *rest = (char *)text;
    for (const char *line; !st && (line = next_line(&rest)); names++)
        if (names < CLASSES)
            st = data_name_class(out, names, line, err);
    if (!st && names != CLASSES)
        st = hyp_fail(err, HYP_EFORMAT, "%s: expected %d names, found %u", path, CLASSES,
                      names);
    hyp_free(text);
    return st;
}

enum hyp_status cifar_open(const struct data_where *w, struct data_set *out,
                           struct hyp_error *err)
{
    char path[DATA_PATH_SIZE];
    bool test = false;
    enum hyp_status st = data_train_test(w->desc, &test, err);

    if (!st)
        st = cifar_fields(w, &out->info, err);
    if (!st)
        st = data_add_columns(out, err);
    if (!st)
        st = data_room(out, 0, STORE_U8, 0, err);
    if (!st)
        st = data_room(out, 1, STORE_I32, 0, err);
    if (!st && test)
        st = data_find(w, "test_batch.bin", path, err);
    if (!st)
        st = test ? add_batch(path, out, err) : add_training(w, out, err);
    out->nclass = CLASSES;
    return st ? st : name_classes(w, out, err);
}
