/*
 * --set NAME=VALUE: a setting, constants.NAME or data.SOURCE.KEY.  Each becomes a small
 * override document, so that it merges as everything else does.  Its text counts as a file
 * called `--set`.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler/front/merge.h"
#include "compiler/front/model_internal.h"
#include "runtime/base/arena.h"

struct set {
    struct model *m;
    const struct doc *file;
    struct loc name_loc;
    struct doc *value;
};

static void no_such(struct set *s, const char *what, const char *name, const struct doc *in)
{
    const uint32_t n = in && in->kind == DOC_MAP ? in->n : 0;
    const char **names = arena_array(s->m->arena, n + 1, sizeof *names);
    for (uint32_t i = 0; i < n; i++)
        names[i] = in->entry[i].key.text;
    const char *near = diag_nearest(name, names, n);
    diag(s->m->diags, E0804, s->name_loc, "`--set`: no %s `%s`", what, name);
    if (near)
        diag_hint(s->m->diags, "did you mean `%s`?", near);
}

static bool number_of(const struct expr *e, double *x)
{
    const bool minus = e && e->kind == EX_UNARY && e->op == XO_NEG;
    if (minus)
        e = e->child[0];
    if (!e || e->kind != EX_NUMBER)
        return false;
    *x = minus ? -e->number : e->number;
    return true;
}

static bool in_range(struct set *s, const struct doc *setting)
{
    struct doc *range = doc_get(setting, "range");
    const struct expr *r = range ? expr_parse(s->m->arena, s->m->diags, range) : NULL;
    double x, low, high;
    if (!r || r->kind != EX_LIST || r->n != 2 || !number_of(s->value->expr, &x) ||
        !number_of(r->child[0], &low) || !number_of(r->child[1], &high) ||
        (x >= low && x <= high))
        return true;
    diag(s->m->diags, E0804, s->value->loc, "`--set`: %g is outside the range [%g, %g]", x,
         low, high);
    diag_note(s->m->diags, range->loc, "the range");
    return false;
}

/* {key: value} */
static struct doc *nest(struct set *s, const char *key, struct doc *value)
{
    struct doc *d = doc_map(s->m->arena, s->name_loc);
    doc_add(s->m->arena, d, key, s->name_loc, value);
    return d;
}

static struct doc *set_setting(struct set *s, const char *name)
{
    const struct doc *all = doc_get(s->file, "settings"), *old = doc_get(all, name);
    if (!old) {
        no_such(s, "setting", name, all);
        return NULL;
    }
    if (!expr_parse(s->m->arena, s->m->diags, s->value) || !in_range(s, old))
        return NULL;
    return nest(
        s, "settings",
        nest(s, name, old->kind == DOC_MAP ? nest(s, "value", s->value) : s->value));
}

static struct doc *set_constant(struct set *s, const char *name)
{
    const struct doc *all = doc_get(s->file, "constants");
    if (!doc_get(all, name)) {
        no_such(s, "constant", name, all);
        return NULL;
    }
    if (!expr_parse(s->m->arena, s->m->diags, s->value))
        return NULL;
    return nest(s, "constants", nest(s, name, s->value));
}

static struct doc *set_data(struct set *s, const char *path)
{
    const struct doc *all = doc_get(s->file, "data");
    const char *dot = strchr(path, '.');
    const char *source = dot ? arena_strn(s->m->arena, path, (size_t)(dot - path)) : path;
    const struct schema_key *row = dot ? schema_find(CTX_SOURCE, dot + 1) : NULL;
    if (!doc_get(all, source)) {
        no_such(s, "source", source, all);
        return NULL;
    }
    if (!row) {
        no_such(s, "key of a source", dot ? dot + 1 : "", NULL);
        diag_hint(s->m->diags,
                  "write `data.%s.KEY=VALUE`, for example `data.%s.source=digits`", source,
                  source);
        return NULL;
    }
    if (row->form == FORM_EXPR && !expr_parse(s->m->arena, s->m->diags, s->value))
        return NULL;
    return nest(s, "data", nest(s, source, nest(s, row->key, s->value)));
}

static struct doc *set_one(struct model *m, struct doc *file, const char *text)
{
    struct arena *a = m->arena;
    const uint32_t source = diag_file(m->diags, "--set", text, strlen(text));
    const char *equals = strchr(text, '=');
    const uint32_t n = equals ? (uint32_t)(equals - text) : 0;
    struct set s = {m, file, {source, 1, 1, n ? n : 1}, NULL};
    const char *name = arena_strn(a, text, n);
    if (n == 0 || !equals[1]) {
        diag(m->diags, E0804, s.name_loc, "`--set` takes NAME=VALUE");
        return file;
    }
    s.value = doc_scalar(a, (struct loc){source, 1, n + 2, (uint32_t)strlen(equals + 1)},
                         equals + 1);
    const struct doc *over =
        strncmp(name, "constants.", 10) == 0 ? set_constant(&s, name + 10)
        : strncmp(name, "data.", 5) == 0     ? set_data(&s, name + 5)
        : strncmp(name, "settings.", 9) == 0 ? set_setting(&s, name + 9)
                                             : set_setting(&s, name);
    return over ? merge_over(m, file, over) : file;
}

struct doc *set_apply(struct model *m, struct doc *file)
{
    for (uint32_t i = 0; i < m->options.nset; i++)
        file = set_one(m, file, m->options.set[i]);
    return file;
}
