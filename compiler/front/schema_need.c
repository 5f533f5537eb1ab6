/*
 * E0202: what must stand in each mapping, asked of a merged file whose entries have taken
 * what they lack from `all`.
 */
#include <string.h>

#include "compiler/front/schema.h"

/* A key that was misspelt is reported already, and is perhaps the one that lacks. */
static bool has_bad(const struct doc *map)
{
    for (uint32_t i = 0; i < map->n; i++)
        if (map->entry[i].value->bad)
            return true;
    return map->bad;
}

static void need_keys(struct diag_sink *ds, const struct doc *map,
                      enum schema_context context, struct loc at)
{
    for (unsigned i = 0; i < schema_nkey && !has_bad(map); i++) {
        const struct schema_key *row = &schema_key[i];
        if (row->context != context || !row->must || doc_get(map, row->key))
            continue;
        diag(ds, E0202, at, "key `%s` is missing", row->key);
        diag_hint(ds, "for example `%s: %s`", row->key, row->example);
    }
}

static void need_each(struct diag_sink *ds, const struct doc *d,
                      enum schema_context context)
{
    for (uint32_t i = 0; d && d->kind == DOC_MAP && i < d->n; i++) {
        const struct doc *v = d->entry[i].value;
        if (!v->bad && v->kind == DOC_MAP && strcmp(d->entry[i].key.text, "all") != 0)
            need_keys(ds, v, context, d->entry[i].loc);
    }
}

static void need_probes(struct diag_sink *ds, const struct doc *d)
{
    for (uint32_t i = 0; d && d->kind == DOC_MAP && i < d->n; i++) {
        const struct doc *v = d->entry[i].value;
        const int n =
            !!doc_get(v, "value") + !!doc_get(v, "image") + !!doc_get(v, "metric");
        if (v->kind != DOC_MAP || has_bad(v) || n == 1 ||
            strcmp(d->entry[i].key.text, "all") == 0)
            continue;
        diag(ds, E0202, d->entry[i].loc, "one of `value`, `image`, `metric` %s",
             n ? "is enough" : "is missing");
        diag_hint(ds, "for example `value: gap.x`");
    }
}

static void need_bodies(struct diag_sink *ds, const struct doc *d)
{
    for (uint32_t i = 0; d && d->kind == DOC_MAP && i < d->n; i++) {
        const struct doc *v = d->entry[i].value;
        if (v->bad || v->kind != DOC_MAP)
            continue;
        need_each(ds, doc_get(v, "weights"), CTX_WEIGHT);
        need_each(ds, doc_get(v, "state"), CTX_STATE);
    }
}

void schema_need(struct diag_sink *ds, const struct doc *file)
{
    const struct doc *stage = doc_get(file, "schedule"), *phase = doc_get(file, "phases");
    need_each(ds, doc_get(file, "settings"), CTX_SETTING);
    need_each(ds, doc_get(file, "data"), CTX_SOURCE);
    need_each(ds, doc_get(file, "layers"), CTX_LAYER);
    need_each(ds, doc_get(file, "discriminators"), CTX_DISCRIMINATOR);
    need_bodies(ds, doc_get(file, "functions"));
    need_bodies(ds, doc_get(file, "networks"));
    need_each(ds, doc_get(file, "state"), CTX_STATE);
    for (uint32_t i = 0; phase && phase->kind == DOC_MAP && i < phase->n; i++)
        if (!phase->entry[i].value->bad)
            need_keys(ds, phase->entry[i].value, CTX_PHASE, phase->entry[i].loc);
    if (stage && stage->kind == DOC_MAP && !stage->bad)
        need_keys(ds, stage, CTX_STAGE, doc_find(file, "schedule")->loc);
    for (uint32_t i = 0; stage && stage->kind == DOC_LIST && i < stage->n; i++)
        if (stage->entry[i].value->kind == DOC_MAP && !stage->entry[i].value->bad)
            need_keys(ds, stage->entry[i].value, CTX_STAGE, stage->entry[i].value->loc);
    need_probes(ds, doc_get(file, "probes"));
    need_each(ds, doc_get(file, "experiments"), CTX_EXPERIMENT);
}
