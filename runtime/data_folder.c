/*
 * The source `folder`: PNG and JPEG images, one folder per class; classes and files sorted
 * bytewise.  The first image says how many channels there are and, without `resize`, the
 * size; grey images among coloured ones become RGB, everything else that differs is
 * refused.
 */
#include <string.h>
#include <strings.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/data_impl.h"
#include "runtime/image.h"

/* No image file may be larger. */
#define IMAGE_FILE_LIMIT ((size_t)256 << 20)

struct listing {
    char dir[DATA_PATH_SIZE];
    struct data_names class;  /* the class folders */
    struct data_names *files; /* of each class */
    uint32_t n;               /* images in all */
};

static void listing_fini(struct listing *l)
{
    for (uint32_t c = 0; l->files && c < l->class.n; c++)
        data_names_fini(&l->files[c]);
    hyp_free(l->files);
    data_names_fini(&l->class);
}

static bool is_image_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (!strcasecmp(dot, ".png") || !strcasecmp(dot, ".jpg") ||
                   !strcasecmp(dot, ".jpeg"));
}

/* Leave in `names` those that pass. */
static void filter_images(struct data_names *names)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < names->n; i++) {
        if (is_image_name(names->name[i]))
            names->name[n++] = names->name[i];
        else
            hyp_free(names->name[i]);
    }
    names->n = n;
}

static enum hyp_status filter_folders(const char *dir, struct data_names *names,
                                      struct hyp_error *err)
{
    char path[DATA_PATH_SIZE];
    uint32_t n = 0;
    enum hyp_status st = HYP_OK;
    for (uint32_t i = 0; i < names->n; i++) {
        st = st ? st : data_join(path, dir, names->name[i], err);
        if (!st && file_is_dir(path))
            names->name[n++] = names->name[i];
        else
            hyp_free(names->name[i]);
    }
    names->n = n;
    return st;
}

static enum hyp_status find_root(const struct data_where *w, char dir[DATA_PATH_SIZE],
                                 struct hyp_error *err)
{
    char below[DATA_PATH_SIZE];
    const struct hyp_source_desc *d = w->desc;
    const char *split = d->split && !d->npart ? d->split : "";
    const enum hyp_status st =
        d->file ? data_join(below, d->file, split, err) : data_join(below, split, "", err);
    return st ? st : data_find_dir(w, below, dir, err);
}

static enum hyp_status list_class(struct listing *l, uint32_t c, struct hyp_error *err)
{
    char path[DATA_PATH_SIZE];
    enum hyp_status st = data_join(path, l->dir, l->class.name[c], err);
    if (!st)
        st = data_list(path, &l->files[c], err);
    if (st)
        return st;
    filter_images(&l->files[c]);
    l->n += l->files[c].n;
    return l->files[c].n
               ? HYP_OK
               : hyp_fail(err, HYP_EMISSING, "%s holds no PNG or JPEG image", path);
}

static enum hyp_status list_images(const struct data_where *w, struct listing *l,
                                   struct hyp_error *err)
{
    enum hyp_status st = find_root(w, l->dir, err);
    if (!st)
        st = data_list(l->dir, &l->class, err);
    if (!st)
        st = filter_folders(l->dir, &l->class, err);
    if (!st && l->class.n == 0)
        st = hyp_fail(err, HYP_EMISSING, "%s holds no folder (one for each class)", l->dir);
    if (!st) {
        l->files = hyp_calloc(l->class.n, sizeof *l->files);
        st = l->files ? HYP_OK : hyp_fail(err, HYP_ENOMEM, "out of memory for %s", l->dir);
    }
    for (uint32_t c = 0; !st && c < l->class.n; c++)
        st = list_class(l, c, err);
    return st;
}

static enum hyp_status path_of(const struct listing *l, uint32_t c, uint32_t i,
                               char path[DATA_PATH_SIZE], struct hyp_error *err)
{
    char dir[DATA_PATH_SIZE];
    const enum hyp_status st = data_join(dir, l->dir, l->class.name[c], err);
    return st ? st : data_join(path, dir, l->files[c].name[i], err);
}

/* The fields, from the first image's header. */
static enum hyp_status first_fields(const struct data_where *w, const struct listing *l,
                                    struct data_info *out, struct hyp_error *err)
{
    char path[DATA_PATH_SIZE];
    uint8_t *bytes = NULL;
    size_t n = 0;
    struct image im = {0};
    const uint32_t *resize = w->desc->resize;
    enum hyp_status st = path_of(l, 0, 0, path, err);

    if (!st)
        st = file_read(path, IMAGE_FILE_LIMIT, &bytes, &n, err);
    if (!st)
        st = image_probe(bytes, n, path, &im, err);
    hyp_free(bytes);
    const uint32_t dim[] = {im.channels, resize[0] ? resize[0] : im.height,
                            resize[1] ? resize[1] : im.width, 0};
    if (!st)
        st = data_add_field(out, "image", DATA_F32, true, dim, err);
    return st ? st : data_add_field(out, "label", DATA_I32, false, NULL, err);
}

enum hyp_status folder_fields(const struct data_where *w, struct data_info *out,
                              struct hyp_error *err)
{
    struct listing l = {0};
    enum hyp_status st = list_images(w, &l, err);
    if (!st)
        st = first_fields(w, &l, out, err);
    listing_fini(&l);
    return st;
}

/* Bring the picture to the field's shape, or say what is wrong with it. */
static enum hyp_status make_fit(const char *path, const struct data_field *f,
                                const uint32_t resize[2], struct image *im,
                                struct hyp_error *err)
{
    enum hyp_status st = HYP_OK;
    if (f->dim[0] == 3)
        st = image_to_rgb(im, err);
    if (!st && im->channels != f->dim[0])
        st = hyp_fail(err, HYP_EFORMAT,
                      "%s: expected a grey image as the first one is, found a coloured one",
                      path);
    if (!st && resize[0] && (im->height != f->dim[1] || im->width != f->dim[2])) {
        struct image sized = {0};
        st = image_resize(im, f->dim[2], f->dim[1], &sized, err);
        image_fini(im);
        *im = sized;
    }
    if (!st && (im->height != f->dim[1] || im->width != f->dim[2]))
        st =
            hyp_fail(err, HYP_EFORMAT,
                     "%s: expected %u x %u pixels (width x height) as the first image has, "
                     "found %u x %u; `resize: [height, width]` makes them alike",
                     path, f->dim[2], f->dim[1], im->width, im->height);
    return st;
}

/* Channels together in the picture, apart in the set. */
static void store(const struct image *im, uint8_t *out)
{
    const size_t plane = (size_t)im->width * im->height;
    for (uint32_t c = 0; c < im->channels; c++)
        for (size_t i = 0; i < plane; i++)
            out[c * plane + i] = im->pixel[i * im->channels + c];
}

static enum hyp_status load_one(const struct data_where *w, const char *path,
                                struct data_set *out, uint32_t at, struct hyp_error *err)
{
    const struct data_field *f = &out->info.field[0];
    struct image im = {0};
    uint8_t *bytes = NULL;
    size_t n = 0;
    enum hyp_status st = file_read(path, IMAGE_FILE_LIMIT, &bytes, &n, err);

    if (!st)
        st = image_decode(bytes, n, path, &im, err);
    if (!st)
        st = make_fit(path, f, w->desc->resize, &im, err);
    if (!st)
        store(&im, (uint8_t *)out->column[0].values + at * data_field_size(f));
    image_fini(&im);
    hyp_free(bytes);
    return st;
}

static enum hyp_status load_class(const struct data_where *w, const struct listing *l,
                                  uint32_t c, struct data_set *out, struct hyp_error *err)
{
    char path[DATA_PATH_SIZE];
    enum hyp_status st = data_name_class(out, c, l->class.name[c], err);
    for (uint32_t i = 0; !st && i < l->files[c].n; i++) {
        st = path_of(l, c, i, path, err);
        if (!st)
            st = load_one(w, path, out, out->n, err);
        if (!st)
            ((int32_t *)out->column[1].values)[out->n++] = (int32_t)c;
    }
    return st;
}

enum hyp_status folder_open(const struct data_where *w, struct data_set *out,
                            struct hyp_error *err)
{
    struct listing l = {0};
    enum hyp_status st = list_images(w, &l, err);

    if (!st)
        st = first_fields(w, &l, &out->info, err);
    if (!st)
        st = data_add_columns(out, err);
    if (!st)
        st = data_room(out, 0, STORE_U8, l.n, err);
    if (!st)
        st = data_room(out, 1, STORE_I32, l.n, err);
    out->nclass = l.class.n;
    for (uint32_t c = 0; !st && c < l.class.n; c++)
        st = load_class(w, &l, c, out, err);
    listing_fini(&l);
    return st;
}
