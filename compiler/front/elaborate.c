/*
 * Layers, pathways and discriminators become networks and the phase `compare`, and the
 * file's own phase of that name is laid over it (docs/language.md, section 6).  What comes
 * out is a plain document: printed, it is a valid model file with the same meaning.
 */
#include "compiler/front/elaborate.h"

#include <string.h>

#include "compiler/front/merge.h"
#include "runtime/base/arena.h"

static void refuse_unbuilt(struct model *m, const struct doc *file)
{
    static const char *const key[] = {"evolve", "experiments"};
    for (unsigned i = 0; i < sizeof key / sizeof *key; i++) {
        const struct doc_entry *e = doc_find(file, key[i]);
        if (e && !e->value->bad)
            diag(m->diags, E0001, e->loc, "`%s` is not built yet", key[i]);
    }
    const struct doc *phase = doc_get(file, "phases");
    for (uint32_t i = 0; phase && phase->kind == DOC_MAP && i < phase->n; i++) {
        const struct doc_entry *t = doc_find(phase->entry[i].value, "ticks");
        if (t && !t->value->bad)
            diag(m->diags, E0001, t->loc, "ticks are not built yet");
    }
}

static bool is_layered(const struct doc *file)
{
    return doc_get(file, "layers") || doc_get(file, "pathways") ||
           doc_get(file, "discriminators");
}

/* E0205: the names of the networks made here. */
static void refuse_names(struct elaboration *e)
{
    const struct doc *all = doc_get(e->file, "networks");
    for (uint32_t i = 0; all && all->kind == DOC_MAP && i < all->n; i++) {
        const struct doc_entry *x = &all->entry[i];
        const char *name = arena_strn(e->a, x->key.text, strcspn(x->key.text, ".("));
        if (strcmp(name, "up") != 0 && strcmp(name, "down") != 0 && strcmp(name, "D") != 0)
            continue;
        diag(e->m->diags, E0205, x->loc, "`%s` is reserved", name);
        diag_hint(e->m->diags, "a model with layers has networks of that name already");
    }
}

static struct doc *joined(struct arena *a, const struct doc *first,
                          const struct doc *second)
{
    struct doc *to = doc_map(a, first->loc);
    for (uint32_t i = 0; i < first->n; i++)
        doc_push(a, to, first->entry[i]);
    for (uint32_t i = 0; second && second->kind == DOC_MAP && i < second->n; i++)
        doc_push(a, to, second->entry[i]);
    return to;
}

/* {phases: {compare: {nodes: values and games, update}}} with the file's phases laid over
 */
static struct doc *make_phases(struct elaboration *e)
{
    struct arena *a = e->a;
    struct doc *file = doc_map(a, e->file->loc), *phases = doc_map(a, e->file->loc);
    struct doc *compare = doc_map(a, e->file->loc), *over = doc_map(a, e->file->loc);
    const struct doc_entry *own = doc_find(e->file, "phases");
    doc_add(a, compare, "nodes", e->file->loc, joined(a, e->values, e->games));
    for (uint32_t i = 0; i < e->phase->n; i++)
        doc_push(a, compare, e->phase->entry[i]);
    doc_add(a, phases, "compare", e->file->loc, compare);
    doc_add(a, file, "phases", e->file->loc, phases);
    if (own)
        doc_push(a, over, *own);
    struct doc *all = doc_get(merge_over(e->m, file, over), "phases");
    struct doc_entry *c = doc_find(all, "compare");
    if (c && c->value->kind == DOC_MAP && !c->value->bad)
        c->value = elaborate_prune(e, c->value);
    return all;
}

/* What is gone from an elaborated file: the layered keys, and what may change them. */
static bool is_gone(const char *key)
{
    static const char *const gone[] = {"layers", "pathways",   "discriminators", "networks",
                                       "phases", "conditions", "sweep"};
    for (unsigned i = 0; i < sizeof gone / sizeof *gone; i++)
        if (strcmp(key, gone[i]) == 0)
            return true;
    return false;
}

static struct doc *elaborate_file(struct elaboration *e)
{
    struct arena *a = e->a;
    struct doc *to = doc_map(a, e->file->loc), *phases = make_phases(e);
    const struct doc_entry *own = doc_find(e->file, "networks");
    struct doc *networks = joined(a, e->networks, own ? own->value : NULL);
    bool placed = false;
    for (uint32_t i = 0; i < e->file->n; i++) {
        const struct doc_entry *x = &e->file->entry[i];
        const char *key = x->key.text;
        const bool layered = strcmp(key, "layers") == 0 || strcmp(key, "pathways") == 0 ||
                             strcmp(key, "discriminators") == 0;
        if (layered && !placed) {
            doc_add(a, to, "networks", x->loc, networks);
            doc_add(a, to, "phases", x->loc, phases);
            placed = true;
        }
        if (!is_gone(key))
            doc_push(a, to, *x);
    }
    return to;
}

/* In the phases of a layered model `none` may yet remove what is made here. */
static struct doc *drop_none_but_phases(struct model *m, struct doc *file)
{
    struct doc *dropped = merge_drop_none(m->arena, m->diags, file);
    if (dropped == file || !is_layered(dropped))
        return dropped;
    struct doc *to = joined(m->arena, dropped, NULL);
    struct doc_entry *phases = doc_find(to, "phases");
    if (phases)
        phases->value = doc_get(file, "phases");
    return to;
}

bool model_elaborate(struct model *m)
{
    struct arena *a = m->arena;
    struct doc *file = drop_none_but_phases(m, merge_all(a, m->merged));
    refuse_unbuilt(m, file);
    schema_need(m->diags, file);
    if (is_layered(file)) {
        struct elaboration e = {.m = m, .a = a, .file = file};
        e.networks = doc_map(a, file->loc);
        e.values = doc_map(a, file->loc);
        e.games = doc_map(a, file->loc);
        e.phase = doc_map(a, file->loc);
        refuse_names(&e);
        elaborate_layers(&e);
        elaborate_critics(&e);
        file = merge_drop_none(a, m->diags, elaborate_file(&e));
    }
    merge_refuse_original(m, file);
    m->elaborated = file;
    return diag_errors(m->diags) == 0;
}
