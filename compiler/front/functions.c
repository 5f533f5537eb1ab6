/* The table of functions by name: the model's own, imported ones, the library's. */
#include <string.h>

#include "compiler/front/model_internal.h"
#include "runtime/base/arena.h"

const struct model_function *model_function(const struct model *m, const char *name)
{
    for (uint32_t i = 0; i < m->nfunction; i++)
        if (strcmp(m->function[i].name, name) == 0)
            return &m->function[i];
    return NULL;
}

static void add(struct model *m, const struct doc_entry *e, enum function_from from)
{
    struct model_function f = {.body = e->value, .from = from, .loc = e->loc};
    if (!expr_parse_key(m->arena, m->diags, &e->key, &f.key))
        return;
    f.name = f.key.path[0];
    const struct model_function *other = model_function(m, f.name);
    if (other && other->from == from) {
        diag(m->diags, E0206, e->loc, "function `%s` is defined twice", f.name);
        diag_note(m->diags, other->loc, "it is defined here first");
        return;
    }
    if (other && other->from == FROM_MODEL && from == FROM_LIBRARY) {
        diag(m->diags, W0211, other->loc, "function `%s` hides the library's", f.name);
        diag_note(m->diags, e->loc, "the library's");
    }
    m->function = arena_grow(m->arena, m->function, &m->cfunction, m->nfunction + 1,
                             sizeof *m->function);
    m->function[m->nfunction++] = f;
}

void functions_add(struct model *m, const struct doc *file, enum function_from from)
{
    const struct doc *f = doc_get(file, "functions");
    for (uint32_t i = 0; f && f->kind == DOC_MAP && i < f->n; i++)
        if (!f->entry[i].value->bad)
            add(m, &f->entry[i], from);
}

void functions_add_library(struct model *m)
{
    const char *name;
    for (unsigned i = 0; (name = library_name(i)) != NULL; i++) {
        size_t nbytes;
        const char *text = library_text(name, &nbytes);
        const uint32_t file = diag_file(m->diags, name, text, nbytes);
        const struct doc *d = doc_read(m->arena, m->diags, file, text, nbytes);
        if (d)
            functions_add(m, d, FROM_LIBRARY);
    }
}
