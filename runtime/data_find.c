/* Where the files of a source lie. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/data_impl.h"

enum hyp_status data_join(char out[DATA_PATH_SIZE], const char *dir, const char *name,
                          struct hyp_error *err)
{
    const int n = snprintf(out, DATA_PATH_SIZE, "%s%s%s", dir, *name ? "/" : "", name);
    if (n < 0 || n >= DATA_PATH_SIZE)
        return hyp_fail(err, HYP_EARG, "the path of %.200s is too long", name);
    return HYP_OK;
}

/* Does DIR/KIND/NAME or DIR/NAME exist; `kind` "" is the second. */
static bool try_place(const char *dir, const char *kind, const char *name, bool want_dir,
                      char path[DATA_PATH_SIZE])
{
    char folder[DATA_PATH_SIZE];
    return data_join(folder, dir, kind, NULL) == HYP_OK &&
           data_join(path, folder, name, NULL) == HYP_OK &&
           (want_dir ? file_is_dir(path) : file_exists(path) && !file_is_dir(path));
}

static enum hyp_status missing(const struct data_where *w, const char *name,
                               const char *or_else, struct hyp_error *err)
{
    char places[384] = "";
    size_t n = 0;

    for (unsigned i = 0; i < w->ndirs && n < sizeof places; i++) {
        const int k = snprintf(places + n, sizeof places - n, "%s%s/%s, %s", i ? ", " : "",
                               w->dirs[i], w->desc->kind, w->dirs[i]);
        n += k > 0 ? (size_t)k : 0;
    }
    if (w->ndirs == 0)
        return hyp_fail(err, HYP_EMISSING, "%s%s is needed, and no data folder is given",
                        name, or_else);
    return hyp_fail(err, HYP_EMISSING, "%s%s is missing: looked in %s", name, or_else,
                    places);
}

enum hyp_status data_find(const struct data_where *w, const char *name,
                          char path[DATA_PATH_SIZE], struct hyp_error *err)
{
    static const char *const ending[] = {"", ".gz", ".xz"};
    char packed[DATA_PATH_SIZE];

    for (unsigned i = 0; i < w->ndirs; i++)
        for (int inner = 1; inner >= 0; inner--)
            for (unsigned e = 0; e < sizeof ending / sizeof *ending; e++) {
                const int n = snprintf(packed, sizeof packed, "%s%s", name, ending[e]);
                if (n < 0 || n >= DATA_PATH_SIZE)
                    return hyp_fail(err, HYP_EARG, "the path of %.200s is too long", name);
                if (try_place(w->dirs[i], inner ? w->desc->kind : "", packed, false, path))
                    return HYP_OK;
            }
    return missing(w, name, " (or .gz, .xz)", err);
}

enum hyp_status data_find_dir(const struct data_where *w, const char *name,
                              char path[DATA_PATH_SIZE], struct hyp_error *err)
{
    for (unsigned i = 0; i < w->ndirs; i++)
        if (try_place(w->dirs[i], w->desc->kind, name, true, path) ||
            try_place(w->dirs[i], "", name, true, path))
            return HYP_OK;
    return missing(w, *name ? name : w->desc->kind, "", err);
}

enum hyp_status data_train_test(const struct hyp_source_desc *d, bool *test,
                                struct hyp_error *err)
{
    *test = d->npart == 0 && d->split && strcmp(d->split, "test") == 0;
    if (d->npart || !d->split || *test || strcmp(d->split, "train") == 0)
        return HYP_OK;
    return hyp_fail(err, HYP_EARG, "`%s` has the splits train and test, not `%s`", d->kind,
                    d->split);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum hyp_status add_name(struct data_names *out, const char *name,
                                struct hyp_error *err)
{
    if (out->n == out->cap) {
        const uint32_t cap = out->cap ? out->cap * 2 : 64;
        char **more = hyp_realloc(out->name, cap * sizeof *more);
        if (!more)
            return hyp_fail(err, HYP_ENOMEM, "out of memory for a list of files");
        out->name = more;
        out->cap = cap;
    }
    out->name[out->n] = hyp_strdup(name);
    if (!out->name[out->n])
        return hyp_fail(err, HYP_ENOMEM, "out of memory for a list of files");
    out->n++;
    return HYP_OK;
}

enum hyp_status data_list(const char *dir, struct data_names *out, struct hyp_error *err)
{
    enum hyp_status st = HYP_OK;
    DIR *d = opendir(dir);

    *out = (struct data_names){0};
    if (!d)
        return hyp_fail(err, HYP_EIO, "cannot read the folder %s: %s", dir,
                        strerror(errno));
    for (const struct dirent *e; !st && (e = readdir(d));)
        if (e->d_name[0] != '.')
            st = add_name(out, e->d_name, err);
    closedir(d);
    if (st)
        data_names_fini(out);
    else if (out->n)
        qsort(out->name, out->n, sizeof *out->name, by_bytes);
    return st;
}

void data_names_fini(struct data_names *names)
{
    for (uint32_t i = 0; i < names->n; i++)
        hyp_free(names->name[i]);
    hyp_free(names->name);
    *names = (struct data_names){0};
}
