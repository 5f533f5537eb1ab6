/* What is in a source: asks the runtime's data layer for fields and shapes on the front
 * end's behalf. */
#include <string.h>

#include "compiler/driver/compile.h"
#include "compiler/driver/compile_internal.h"
#include "runtime/base/arena.h"
#include "runtime/data.h"

static const char *text_of(const struct doc *entry, const char *key)
{
    const struct doc *d = doc_get(entry, key);
    return d && d->kind == DOC_SCALAR ? d->text.text : NULL;
}

static void describe(struct hyp_source_desc *d, const char *kind, const struct doc *entry)
{
    hyp_source_defaults(d);
    d->name = kind;
    d->kind = kind;
    d->split = text_of(entry, "split");
    d->file = text_of(entry, "file");
    if (doc_get(entry, "parts"))
        d->split = NULL; /* shapes do not depend on the part */
}

/* What is given is there; parts are named by what only a run reads; what is read for its
 * classes would be held twice. */
static bool loads_ahead(const struct prog_source *s)
{
    return s->used && !s->parts && strcmp(s->kind, "given") != 0 &&
           !metrics_read_classes(s->kind);
}

struct data_ahead *driver_load_ahead(const struct compiled *c)
{
    const struct program *p = &c->program;
    struct hyp_source_desc *d = arena_array(c->arena, p->nsource + 1U, sizeof *d);
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->nsource; i++) {
        const struct prog_source *s = &p->source[i];
        if (!loads_ahead(s))
            continue;
        hyp_source_defaults(&d[n]);
        d[n].name = s->name;
        d[n].kind = s->kind;
        d[n].split = s->split;
        d[n].file = s->file;
        for (unsigned k = 0; k < 2; k++)
            d[n].resize[k] = s->resize[k] > 0 ? (uint32_t)s->resize[k] : 0;
        n++;
    }
    return data_ahead_new(d, n, c->options.data_dir, c->options.ndata_dir);
}

/* Rows that a metric hands over: numbers and a label. */
static void given_fields(struct arena *a, uint32_t width, struct model_field **field,
                         uint32_t *n)
{
    *field = arena_array(a, 2, sizeof **field);
    (*field)[0] = (struct model_field){.name = "x", .rank = 1, .dim = {(int32_t)width}};
    (*field)[1] = (struct model_field){.name = "label", .is_int = true};
    *n = 2;
}

/* Which diagnostic a failure is: what the front end reports it under. */
static const char *code_of(enum hyp_status s)
{
    return s == HYP_EMISSING                  ? "E0706"
           : s == HYP_EFORMAT || s == HYP_EIO ? "E0707"
           : s == HYP_EUNSUPPORTED            ? "E0001"
                                              : "E0705";
}

bool driver_fields(void *cx, struct arena *a, const char *kind, const struct doc *entry,
                   struct model_field **field, uint32_t *nfield, const char **why)
{
    const struct compiled *c = cx;
    const struct model_options *o = &c->options;
    struct hyp_source_desc d;
    struct data_info info;
    struct hyp_error err = {0};

    if (strcmp(kind, "given") == 0) {
        given_fields(a, c->given_width, field, nfield);
        return true;
    }
    describe(&d, kind, entry);
    if (data_probe(&d, o->data_dir, o->ndata_dir, &info, &err) != HYP_OK) {
        *why = arena_fmt(a, "%s %s", code_of(err.status), err.text);
        return false;
    }
    *field = arena_array(a, info.nfield + 1U, sizeof **field);
    *nfield = info.nfield;
    for (uint32_t i = 0; i < info.nfield; i++) {
        struct model_field *f = &(*field)[i];
        f->name = arena_str(a, info.field[i].name);
        f->is_int = info.field[i].dtype == DATA_I32;
        f->rank = info.field[i].rank < DATA_MAX_RANK ? (uint8_t)info.field[i].rank
                                                     : DATA_MAX_RANK;
        for (uint32_t k = 0; k < f->rank; k++)
            f->dim[k] = (int32_t)info.field[i].dim[k];
    }
    data_info_fini(&info);
    return true;
}
