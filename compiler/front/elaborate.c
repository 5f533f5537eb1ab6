/* Layers, pathways and discriminators become networks and phases (docs/language.md, section
 * 6). */
#include "compiler/front/merge.h"
#include "compiler/front/model_internal.h"

static void refuse_unbuilt(struct model *m, const struct doc *file)
{
    static const char *const key[] = {"evolve", "experiments"};
    for (unsigned i = 0; i < sizeof key / sizeof *key; i++) {
        const struct doc_entry *e = doc_find(file, key[i]);
        if (e && !e->value->bad)
            diag(m->diags, E0001, e->loc, "`%s` is not built yet", key[i]);
    }
}

bool model_elaborate(struct model *m)
{
    struct doc *file = merge_drop_none(m->arena, merge_all(m->arena, m->merged));
    refuse_unbuilt(m, file);
    schema_need(m->arena, m->diags, file);
    m->elaborated = file;
    return diag_errors(m->diags) == 0;
}
