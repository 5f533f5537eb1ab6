/* What loaders fill: fields, columns, names of classes. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/data_impl.h"

size_t data_field_size(const struct data_field *f)
{
    size_t n = 1;
    for (uint32_t i = 0; i < f->rank; i++)
        n *= f->dim[i];
    return n;
}

void data_info_fini(struct data_info *info)
{
    hyp_free(info->field);
    *info = (struct data_info){0};
}

void data_set_fini(struct data_set *s)
{
    if (s->borrowed) {
        hyp_free(s->column);
        data_info_fini(&s->info);
        memset(s, 0, sizeof *s);
        return;
    }
    for (uint32_t f = 0; s->column && f < s->info.nfield; f++) {
        hyp_free(s->column[f].block);
        hyp_free(s->column[f].state);
    }
    for (uint32_t c = 0; s->class_name && c < s->nclass; c++)
        hyp_free(s->class_name[c]);
    hyp_free(s->class_name);
    hyp_free(s->column);
    data_info_fini(&s->info);
    memset(s, 0, sizeof *s);
}

enum hyp_status data_add_field(struct data_info *info, const char *name,
                               enum data_dtype dtype, bool image, const uint32_t *dim,
                               struct hyp_error *err)
{
    struct data_field f = {.dtype = dtype, .image = image};
    struct data_field *all =
        hyp_realloc(info->field, (info->nfield + (size_t)1) * sizeof *all);
    if (!all)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for the fields of a data source");
    info->field = all;
    snprintf(f.name, sizeof f.name, "%s", name);
    while (dim && f.rank < DATA_MAX_RANK && dim[f.rank]) {
        f.dim[f.rank] = dim[f.rank];
        f.rank++;
    }
    all[info->nfield++] = f;
    return HYP_OK;
}

enum hyp_status data_image_fields(const struct data_where *w, uint32_t channels,
                                  uint32_t side, struct data_info *info,
                                  struct hyp_error *err)
{
    const uint32_t dim[] = {channels, side, side, 0};
    bool test;
    enum hyp_status st = data_train_test(w->desc, &test, err);
    if (!st)
        st = data_add_field(info, "image", DATA_F32, true, dim, err);
    return st ? st : data_add_field(info, "label", DATA_I32, false, NULL, err);
}

enum hyp_status data_add_columns(struct data_set *out, struct hyp_error *err)
{
    out->column = hyp_calloc(out->info.nfield ? out->info.nfield : 1, sizeof *out->column);
    return out->column ? HYP_OK
                       : hyp_fail(err, HYP_ENOMEM, "out of memory for a data source");
}

enum hyp_status data_room(struct data_set *out, unsigned f, enum data_storage storage,
                          uint32_t n, struct hyp_error *err)
{
    const bool bytes = storage == STORE_U8 || storage == STORE_DRAWN;
    const size_t size = data_field_size(&out->info.field[f]) * (bytes ? 1 : 4);
    struct data_column *c = &out->column[f];

    c->storage = storage;
    c->block = c->values = hyp_calloc(n ? n : 1, size);
    if (!c->block)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for %u samples of %zu bytes", n,
                        size);
    return HYP_OK;
}

enum hyp_status data_name_class(struct data_set *out, uint32_t c, const char *name,
                                struct hyp_error *err)
{
    if (!out->class_name)
        out->class_name = hyp_calloc(out->nclass, sizeof *out->class_name);
    if (out->class_name)
        out->class_name[c] = hyp_strdup(name);
    return out->class_name && out->class_name[c]
               ? HYP_OK
               : hyp_fail(err, HYP_ENOMEM, "out of memory for the names of classes");
}
