/* The table of functions by name: the model's own, imported ones, the library's. */
#include <string.h>

#include "compiler/front/model_internal.h"
#include "runtime/base/arena.h"

const struct model_function *model_function(const struct model *m, const char *name)
{
    const uint32_t i = names_get(&m->function_index, name);
    return i == NO_NAME ? NULL : &m->function[i];
}

static struct model_function *place_for(struct model *m, const struct model_function *f)
{
    const uint32_t i = names_get(&m->function_index, f->name);
    if (i != NO_NAME)
        return &m->function[i];
    m->function = arena_grow(m->arena, m->function, &m->cfunction, m->nfunction + 1,
                             sizeof *m->function);
    names_put(m->arena, &m->function_index, f->name, m->nfunction);
    return &m->function[m->nfunction++];
}

/* What comes from nearer hides what comes from farther away. */
static void add(struct model *m, const struct doc_entry *e, enum function_from from)
{
    struct model_function f = {
        .signature = e->key.text, .body = e->value, .from = from, .loc = e->loc};
    if (!expr_parse_key(m->arena, m->diags, &e->key, &f.key))
        return;
    f.name = f.key.path[0];
    struct model_function *place = place_for(m, &f);
    if (place->name && place->from == from) {
        diag(m->diags, E0206, e->loc, "function `%s` is defined twice", f.name);
        diag_note(m->diags, place->loc, "it is defined here first");
        return;
    }
    if (place->name && place->from == FROM_LIBRARY && !doc_equal(place->body, f.body)) {
        diag(m->diags, W0211, f.loc, "function `%s` hides the library's", f.name);
        diag_note(m->diags, place->loc, "the library's");
        diag_hint(m->diags, "rename it, or keep it if that is meant");
    }
    if (!place->name || from < place->from)
        *place = f;
}

void functions_add(struct model *m, const struct doc *file, enum function_from from)
{
    const struct doc *f = doc_get(file, "functions");
    for (uint32_t i = 0; f && f->kind == DOC_MAP && i < f->n; i++)
        if (!f->entry[i].value->bad && !doc_is_none(f->entry[i].value))
            add(m, &f->entry[i], from);
}

void functions_add_library(struct model *m)
{
    const char *name;
    for (unsigned i = 0; (name = library_name(i)) != NULL; i++) {
        size_t nbytes;
        if (strncmp(name, "std/metrics/", 12) == 0)
            continue; /* models, not functions */
        const char *text = library_text(name, &nbytes);
        const uint32_t file = diag_file(m->diags, name, text, nbytes);
        const struct doc *d = doc_read(m->arena, m->diags, file, text, nbytes);
        if (d)
            functions_add(m, d, FROM_LIBRARY);
    }
}
