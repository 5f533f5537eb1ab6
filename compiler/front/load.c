/* Reading a model: its file, and the functions it may call. */
#include <string.h>

#include "compiler/front/model_internal.h"
#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/file.h"

enum { READ_LIMIT = 5 << 20 }; /* the reader refuses more than 4 MiB, and says so better */

static struct doc *read_file(struct model *m, const char *path)
{
    uint8_t *data = NULL;
    size_t n = 0;
    struct hyp_error err = {0};
    if (file_read(path, READ_LIMIT, &data, &n, &err) != 0) {
        const uint32_t none = diag_file(m->diags, path, "", 0);
        diag(m->diags, E0002, (struct loc){none, 0, 0, 0}, "%s", err.text);
        return NULL;
    }
    const uint32_t file = diag_file(m->diags, path, (const char *)data, n);
    struct doc *d = doc_read(m->arena, m->diags, file, (const char *)data, n);
    hyp_free(data);
    return d;
}

struct model *model_load(struct arena *a, struct diag_sink *ds, const char *path,
                         const struct model_options *o)
{
    struct model *m = arena_alloc(a, sizeof *m);
    m->arena = a;
    m->diags = ds;
    if (o)
        m->options = *o;
    m->merged = read_file(m, path);
    if (!m->merged || diag_errors(ds))
        return NULL;
    functions_add(m, m->merged, FROM_MODEL);
    functions_add_library(m);
    return diag_errors(ds) ? NULL : m;
}

bool model_elaborate(struct model *m)
{
    m->elaborated = m->merged;
    return diag_errors(m->diags) == 0;
}
