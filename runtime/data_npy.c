/*
 * The sources `npy` (a folder of NAME.npy, one field each, first axis samples) and
 * `mnist1d` (x_train.npy, y_train.npy and so on).
 *
 * Element types: f4, f8 become f32; integers and bool become i32; u1 with an axis beyond
 * the samples is taken for images (u8 / 255).
 */
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/data_impl.h"
#include "runtime/npy.h"

static enum hyp_status add_array_field(struct data_info *info, const char *name,
                                       const char *file, const struct npy_array *a,
                                       struct hyp_error *err)
{
    const bool image = a->type == NPY_U8 && a->rank > 1;
    const bool real = image || a->type == NPY_F32 || a->type == NPY_F64;
    uint32_t dim[DATA_MAX_RANK + 1] = {0};

    if (a->rank == 0)
        return hyp_fail(err, HYP_EFORMAT, "%s: expected axes, samples first, found 0",
                        file);
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->dim[i] == 0 || a->dim[i] > UINT32_MAX)
            return hyp_fail(err, HYP_EFORMAT, "%s: axis %u has the extent %llu", file, i,
                            (unsigned long long)a->dim[i]);
    for (uint32_t i = 1; i < a->rank; i++)
        dim[i - 1] = (uint32_t)a->dim[i];
    return data_add_field(info, name, real ? DATA_F32 : DATA_I32, image, dim, err);
}

static enum hyp_status take_reals(const struct npy_array *a, float *out)
{
    for (uint64_t i = 0; i < a->count; i++)
        out[i] = (float)npy_number(a, i);
    return HYP_OK;
}

static enum hyp_status take_integers(const struct npy_array *a, const char *file,
                                     int32_t *out, struct hyp_error *err)
{
    for (uint64_t i = 0; i < a->count; i++) {
        const int64_t v = npy_integer(a, i);
        if (v < INT32_MIN || v > INT32_MAX)
            return hyp_fail(
                err, HYP_EFORMAT, "%s: offset %llu: expected a 32-bit integer, found %lld",
                file, (unsigned long long)a->offset + i * npy_size(a->type), (long long)v);
        out[i] = (int32_t)v;
    }
    return HYP_OK;
}

static enum hyp_status take_values(struct data_set *out, unsigned f, const char *file,
                                   const struct npy_array *a, struct hyp_error *err)
{
    const struct data_field *field = &out->info.field[f];
    enum hyp_status st;

    if (field->image) {
        st = data_room(out, f, STORE_U8, (uint32_t)a->dim[0], err);
        if (!st)
            memcpy(out->column[f].values, a->data, a->count);
        return st;
    }
    if (field->dtype == DATA_F32) {
        st = data_room(out, f, STORE_F32, (uint32_t)a->dim[0], err);
        return st ? st : take_reals(a, out->column[f].values);
    }
    st = data_room(out, f, STORE_I32, (uint32_t)a->dim[0], err);
    return st ? st : take_integers(a, file, out->column[f].values, err);
}

/* Read `path` whole as the next field; the column list must have room for it. */
static enum hyp_status load_field(const char *path, const char *name, struct data_set *out,
                                  struct hyp_error *err)
{
    const uint32_t f = out->info.nfield;
    uint8_t *bytes = NULL;
    size_t n = 0;
    struct npy_array a;
    enum hyp_status st = file_read_packed(path, DATA_FILE_LIMIT, &bytes, &n, err);

    if (!st)
        st = npy_parse(bytes, n, path, &a, err);
    if (!st)
        st = add_array_field(&out->info, name, path, &a, err);
    if (!st && f > 0 && a.dim[0] != out->n)
        st = hyp_fail(err, HYP_EFORMAT, "%s: expected %u samples as in `%s`, found %llu",
                      path, out->n, out->info.field[0].name, (unsigned long long)a.dim[0]);
    if (!st) {
        out->n = (uint32_t)a.dim[0];
        st = take_values(out, f, path, &a, err);
    }
    hyp_free(bytes);
    return st;
}

/* The field alone, from the first bytes of the file. */
static enum hyp_status probe_field(const char *path, const char *name,
                                   struct data_info *out, struct hyp_error *err)
{
    uint8_t head[4096];
    size_t need = 0, n = 0;
    struct npy_array a;
    FILE *file = fopen(path, "rb");

    if (!file)
        return hyp_fail(err, HYP_EIO, "cannot open %s", path);
    n = fread(head, 1, sizeof head, file);
    fclose(file);
    enum hyp_status st = npy_header(head, n, path, &need, &a, err);
    return st ? st : add_array_field(out, name, path, &a, err);
}

/* ---- npy ---- */

/* NAME of NAME.npy; false where the file is none. */
static bool field_name(const char *file, char name[DATA_NAME_SIZE])
{
    const size_t n = strlen(file);
    if (n < 5 || n - 4 >= DATA_NAME_SIZE || strcmp(file + n - 4, ".npy") != 0)
        return false;
    snprintf(name, DATA_NAME_SIZE, "%.*s", (int)(n - 4), file);
    return true;
}

/* The folder's NPY files, sorted; `split` (no part) is a folder below. */
static enum hyp_status list_arrays(const struct data_where *w, char dir[DATA_PATH_SIZE],
                                   struct data_names *names, struct hyp_error *err)
{
    char below[DATA_PATH_SIZE], name[DATA_NAME_SIZE];
    const struct hyp_source_desc *d = w->desc;
    const char *split = d->split && !d->npart ? d->split : "";
    uint32_t n = 0;
    enum hyp_status st = HYP_OK;

    if (d->file)
        st = data_join(below, d->file, split, err);
    else
        st = data_join(below, split, "", err);
    if (!st)
        st = data_find_dir(w, below, dir, err);
    if (!st)
        st = data_list(dir, names, err);
    if (st)
        return st;
    for (uint32_t i = 0; i < names->n; i++)
        if (field_name(names->name[i], name)) {
            char *const keep = names->name[i];
            names->name[i] = names->name[n];
            names->name[n++] = keep;
        }
    for (uint32_t i = n; i < names->n; i++)
        hyp_free(names->name[i]);
    names->n = n;
    return n ? HYP_OK : hyp_fail(err, HYP_EMISSING, "no file NAME.npy is in %s", dir);
}

enum hyp_status npy_fields(const struct data_where *w, struct data_info *out,
                           struct hyp_error *err)
{
    char dir[DATA_PATH_SIZE], path[DATA_PATH_SIZE], name[DATA_NAME_SIZE];
    struct data_names names = {0};
    enum hyp_status st = list_arrays(w, dir, &names, err);

    for (uint32_t i = 0; !st && i < names.n; i++) {
        field_name(names.name[i], name);
        st = data_join(path, dir, names.name[i], err);
        if (!st)
            st = probe_field(path, name, out, err);
    }
    data_names_fini(&names);
    return st;
}

enum hyp_status npy_open(const struct data_where *w, struct data_set *out,
                         struct hyp_error *err)
{
    char dir[DATA_PATH_SIZE], path[DATA_PATH_SIZE], name[DATA_NAME_SIZE];
    struct data_names names = {0};
    enum hyp_status st = list_arrays(w, dir, &names, err);

    if (!st) {
        out->column = hyp_calloc(names.n, sizeof *out->column);
        st = out->column ? HYP_OK : hyp_fail(err, HYP_ENOMEM, "out of memory for npy data");
    }
    for (uint32_t i = 0; !st && i < names.n; i++) {
        field_name(names.name[i], name);
        st = data_join(path, dir, names.name[i], err);
        if (!st)
            st = load_field(path, name, out, err);
    }
    data_names_fini(&names);
    return st;
}

/* ---- mnist1d ---- */

static const struct {
    const char *field, *stem;
} signal_files[] = {{"x", "x"}, {"label", "y"}};

enum hyp_status mnist1d_fields(const struct data_where *w, struct data_info *out,
                               struct hyp_error *err)
{
    const uint32_t dim[] = {40, 0};
    bool test;
    enum hyp_status st = data_train_test(w->desc, &test, err);
    if (!st)
        st = data_add_field(out, "x", DATA_F32, false, dim, err);
    return st ? st : data_add_field(out, "label", DATA_I32, false, NULL, err);
}

enum hyp_status mnist1d_open(const struct data_where *w, struct data_set *out,
                             struct hyp_error *err)
{
    char path[DATA_PATH_SIZE], name[32];
    bool test = false;
    enum hyp_status st = data_train_test(w->desc, &test, err);

    out->column = hyp_calloc(2, sizeof *out->column);
    if (!st && !out->column)
        st = hyp_fail(err, HYP_ENOMEM, "out of memory for mnist1d");
    for (unsigned i = 0; !st && i < 2; i++) {
        snprintf(name, sizeof name, "%s_%s.npy", signal_files[i].stem,
                 test ? "test" : "train");
        st = data_find(w, name, path, err);
        if (!st)
            st = load_field(path, signal_files[i].field, out, err);
    }
    if (st)
        return st;
    const struct data_field *f = out->info.field;
    if (f[0].dtype != DATA_F32 || f[0].rank != 1 || f[0].dim[0] != 40 ||
        f[1].dtype != DATA_I32 || f[1].rank != 0)
        return hyp_fail(err, HYP_EFORMAT,
                        "mnist1d: expected x [n, 40] of floats and y [n] of "
                        "integers");
    out->nclass = 10;
    return HYP_OK;
}
