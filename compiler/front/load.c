/*
 * Reading a model: its file, what it extends and imports, the condition and the settings
 * given.
 *
 * Files are checked one by one and all of them are read, whatever is wrong with one, so
 * that a run reports every mistake.  Paths stay in the folder of the file that names them.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler/front/merge.h"
#include "compiler/front/model_internal.h"
#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/file.h"

enum { READ_LIMIT = 5 << 20 }; /* the reader refuses more than 4 MiB, and says so better */
enum { MOST_FILES = 64 };

struct loading { /* one file, and who asked for it */
    const char *path;
    struct loc from;
    const struct loading *parent;
};
struct loader {
    struct model *m;
    const char *import[MOST_FILES];
    unsigned nfile, nimport;
    struct doc *imported; /* mapping of functions */
};

static struct doc *load_file(struct loader *l, const struct loading *here);

static struct doc *read_file(struct loader *l, const struct loading *here)
{
    struct model *m = l->m;
    uint8_t *data = NULL;
    size_t n = 0;
    struct hyp_error err = {0};
    if (++l->nfile > MOST_FILES) {
        diag(m->diags, E0902, here->from, "limit exceeded: a model has at most %d files",
             MOST_FILES);
        return NULL;
    }
    const char *shipped = library_text(here->path, &n); /* a metric's own model */
    if (shipped) {
        const uint32_t id = diag_file(m->diags, here->path, shipped, n);
        return doc_read(m->arena, m->diags, id, shipped, n);
    }
    if (file_read(here->path, READ_LIMIT, &data, &n, &err) != 0) {
        struct loc none = {diag_file(m->diags, here->path, "", 0), 0, 0, 0};
        if (here->parent)
            diag(m->diags, E0801, here->from, "the file `%s` is not there", here->path);
        else
            diag(m->diags, E0002, none, "the file cannot be read: %s", err.text);
        return NULL;
    }
    const uint32_t file = diag_file(m->diags, here->path, (const char *)data, n);
    struct doc *d = doc_read(m->arena, m->diags, file, (const char *)data, n);
    hyp_free(data);
    return d;
}

static bool leaves_folder(const char *path)
{
    for (const char *p = path; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (strcmp(p, "..") == 0 || strncmp(p, "../", 3) == 0)
            return true;
    return path[0] == '/';
}

/* The path that `d` names; NULL: reported. */
static const char *resolve(struct loader *l, const struct loading *here,
                           const struct doc *d)
{
    struct model *m = l->m;
    const char *name = d->text.text, *slash = strrchr(here->path, '/');
    while (strncmp(name, "./", 2) == 0)
        name += 2;
    if (leaves_folder(name)) {
        diag(m->diags, E0801, d->loc, "`%s` leaves the folder of this file", d->text.text);
        return NULL;
    }
    const int folder = slash ? (int)(slash - here->path) + 1 : 0;
    const char *path = arena_fmt(m->arena, "%.*s%s", folder, here->path, name);
    for (const struct loading *up = here; up; up = up->parent) {
        if (strcmp(up->path, path) != 0)
            continue;
        diag(m->diags, E0801, d->loc, "`%s` comes back to a file that reads this one",
             d->text.text);
        for (up = here; up->parent; up = up->parent)
            diag_note(m->diags, up->from, "which is read because of this line");
        return NULL;
    }
    return path;
}

static bool is_imported(struct loader *l, const char *path)
{
    for (unsigned i = 0; i < l->nimport; i++)
        if (strcmp(l->import[i], path) == 0)
            return true;
    if (l->nimport < MOST_FILES)
        l->import[l->nimport++] = path;
    return false;
}

static void load_import(struct loader *l, const struct loading *here, const struct doc *d)
{
    struct loading next = {NULL, d->loc, here};
    if (d->bad || d->kind != DOC_SCALAR || doc_is_none(d))
        return;
    next.path = resolve(l, here, d);
    if (!next.path || is_imported(l, next.path))
        return;
    const struct doc *file = load_file(l, &next);
    const struct doc *f = file ? doc_get(file, "functions") : NULL;
    if (!f || f->kind != DOC_MAP)
        return;
    functions_add(l->m, file, FROM_IMPORT);
    for (uint32_t i = 0; i < f->n; i++)
        doc_push(l->m->arena, l->imported, f->entry[i]);
}

static void load_imports(struct loader *l, const struct loading *here,
                         const struct doc *file)
{
    const struct doc *d = doc_get(file, "imports");
    if (!d || d->bad)
        return;
    if (d->kind == DOC_SCALAR)
        load_import(l, here, d);
    for (uint32_t i = 0; i < d->n; i++)
        load_import(l, here, d->entry[i].value);
}

/* Checked, normal, and laid over what it extends. */
static struct doc *load_file(struct loader *l, const struct loading *here)
{
    struct model *m = l->m;
    struct doc *d = read_file(l, here);
    if (!d)
        return NULL;
    schema_check(m->arena, m->diags, d);
    if (d->kind != DOC_MAP)
        return NULL;
    d = merge_normal(m->arena, m->diags, d);
    load_imports(l, here, d);
    const struct doc *extends = doc_get(d, "extends");
    if (!extends || extends->bad || extends->kind != DOC_SCALAR)
        return d;
    const struct loading next = {resolve(l, here, extends), extends->loc, here};
    const struct doc *base = next.path ? load_file(l, &next) : NULL;
    return base ? merge_over(m, base, d) : d;
}

/* The file stands for itself: what it extends and imports is in it. */
static struct doc *self_contained(struct loader *l, const struct doc *file)
{
    struct arena *a = l->m->arena;
    struct doc *to = doc_map(a, file->loc), *f = doc_map(a, file->loc);
    bool has = false;
    for (uint32_t i = 0; i < l->imported->n; i++) {
        struct expr_key k;
        const struct doc_entry *e = &l->imported->entry[i];
        if (e->value->bad || !expr_parse_key(a, l->m->diags, &e->key, &k))
            continue;
        const struct model_function *known = model_function(l->m, k.path[0]);
        if (known && known->body == e->value)
            doc_push(a, f, *e);
    }
    for (uint32_t i = 0; i < file->n; i++) {
        struct doc_entry e = file->entry[i];
        const bool functions = strcmp(e.key.text, "functions") == 0;
        if (strcmp(e.key.text, "extends") == 0 || strcmp(e.key.text, "imports") == 0)
            continue;
        if (functions && e.value->kind == DOC_MAP && f->n) {
            for (uint32_t k = 0; k < e.value->n; k++)
                doc_push(a, f, e.value->entry[k]);
            e.value = f;
        }
        has |= functions;
        doc_push(a, to, e);
    }
    if (f->n && !has)
        doc_add(a, to, "functions", f->loc, f);
    return to;
}

static struct doc *apply_condition(struct model *m, struct doc *file)
{
    const char *name = m->options.condition;
    const struct doc *all = doc_get(file, "conditions");
    const struct doc *d = name ? doc_get(all, name) : NULL;
    if (!name)
        return file;
    if (d && d->kind == DOC_MAP && !d->bad)
        return merge_over(m, file, d);
    if (d && d->bad)
        return file;
    const uint32_t n = all && all->kind == DOC_MAP ? all->n : 0;
    const char **names = arena_array(m->arena, n + 1, sizeof *names);
    uint32_t known = 0;
    for (uint32_t i = 0; i < n; i++)
        if (!doc_is_none(all->entry[i].value)) /* else it was removed */
            names[known++] = all->entry[i].key.text;
    const uint32_t line = diag_file(m->diags, "--condition", name, strlen(name));
    diag(m->diags, E0203, (struct loc){line, 1, 1, (uint32_t)strlen(name)},
         "unknown condition `%s`", name);
    const char *near = diag_nearest(name, names, known);
    if (near)
        diag_hint(m->diags, "did you mean `%s`?", near);
    return file;
}

struct model *model_load(struct arena *a, struct diag_sink *ds, const char *path,
                         const struct model_options *o)
{
    struct model *m = arena_alloc(a, sizeof *m);
    struct loader *l = arena_alloc(a, sizeof *l);
    const struct loading here = {path, {0}, NULL};
    m->arena = a;
    m->diags = ds;
    if (o)
        m->options = *o;
    l->m = m;
    l->imported = doc_map(a, (struct loc){0});
    functions_add_library(m);
    struct doc *d = load_file(l, &here);
    if (!d)
        return NULL;
    d = apply_condition(m, d);
    d = set_apply(m, d);
    functions_add(m, d, FROM_MODEL);
    m->merged = self_contained(l, d);
    return diag_errors(ds) && !m->options.go_on ? NULL : m;
}
