/*
 * One document laid over another, along the table of keys: mappings key by key, functions
 * and networks by name, all else replaced.  Results are new mappings over shared parts.
 *
 * Nodes need care where one side is a key list, whose value is one expression of several
 * results: of `lose.x, gain.x: f(...)` an override of lose.x leaves `lose.x.original,
 * gain.x: f(...)`, and that is also what `original` in it means.
 */
#include "compiler/front/merge.h"

#include <ctype.h>
#include <string.h>

#include "compiler/front/expr_edit.h"
#include "compiler/front/model_internal.h"
#include "runtime/base/arena.h"

enum { MOST_COMPARED = 256 }; /* "did you mean" is for mappings that people write */

static struct doc *lay_map(struct model *m, const struct doc *base, const struct doc *over,
                           enum schema_context context);

static struct doc *copy_map(struct arena *a, const struct doc *d)
{
    struct doc *to = doc_map(a, d->loc);
    to->flow = d->flow;
    for (uint32_t i = 0; i < d->n; i++)
        doc_push(a, to, d->entry[i]);
    return to;
}

/* `over` with `original` replaced by `was` (NULL: there is nothing, and it stays). */
static struct doc *with_original(struct model *m, struct doc *over, struct expr *was)
{
    struct expr *e = over->bad || over->kind == DOC_MAP || doc_is_none(over)
                         ? NULL
                         : expr_parse(m->arena, m->diags, over);
    if (!e || !was || !expr_mentions(e, "original"))
        return over;
    const struct expr_change change = {"original", was};
    e = expr_change(m->arena, m->diags, e, &change, 1);
    if (!e) {
        over->bad = true;
        return over;
    }
    struct doc *d = expr_doc(m->arena, e, over->loc);
    d->flow = over->flow;
    return d;
}

static struct expr *expr_of(struct model *m, struct doc *d)
{
    if (!d || d->bad || d->kind == DOC_MAP || doc_is_none(d))
        return NULL;
    return expr_parse(m->arena, m->diags, d);
}

/* Only a text in the place of an expression may say `original`. */
static struct doc *replace(struct model *m, enum schema_form form, struct doc *base,
                           struct doc *over)
{
    if (!schema_form[form].exprs || over->bad || over->kind != DOC_SCALAR ||
        !strstr(over->text.text, "original"))
        return over;
    return with_original(m, over, expr_of(m, base));
}

static bool same_but_digits(const char *a, const char *b)
{
    for (;; a++, b++) {
        while (isdigit((unsigned char)*a))
            a++;
        while (isdigit((unsigned char)*b))
            b++;
        if (*a != *b)
            return false;
        if (!*a)
            return true;
    }
}

/* Part by part: `gap.x` and `gap.y` are two names, `gaps.x` and `gap.x` may be one. */
static bool similar_parts(struct arena *a, const char *x, const char *y)
{
    while (*x && *y) {
        const size_t nx = strcspn(x, ".("), ny = strcspn(y, ".(");
        const char *px = arena_strn(a, x, nx), *py = arena_strn(a, y, ny);
        if (strcmp(px, py) != 0 && !diag_nearest(px, &py, 1))
            return false;
        x += nx + (x[nx] == '.');
        y += ny + (y[ny] == '.');
        if (*x == '(' || *y == '(')
            break;
    }
    return true;
}

static void warn_similar(struct model *m, const struct doc *base, const struct doc *over,
                         const struct doc_entry *e)
{
    const char *name[MOST_COMPARED];
    unsigned n = 0;
    if (base->n > MOST_COMPARED || over->n > MOST_COMPARED || doc_is_none(e->value))
        return;
    for (uint32_t i = 0; i < base->n; i++)
        if (!doc_find(over, base->entry[i].key.text))
            name[n++] = base->entry[i].key.text;
    const char *near = diag_nearest(e->key.text, name, n);
    if (!near || same_but_digits(near, e->key.text) ||
        !similar_parts(m->arena, near, e->key.text))
        return;
    diag(m->diags, W0803, e->loc,
         "an override adds `%s`, and the base has the similar `%s`", e->key.text, near);
    diag_note(m->diags, doc_find(base, near)->loc, "`%s` stands here", near);
    diag_hint(m->diags, "did you mean `%s`?", near);
}

/* name -> expression, or mapping of a context */
static struct doc *lay_names(struct model *m, const struct doc *base,
                             const struct doc *over, const struct schema_key *row)
{
    struct doc *to = copy_map(m->arena, base);
    for (uint32_t i = 0; i < over->n; i++) {
        const struct doc_entry *o = &over->entry[i];
        struct doc_entry *b = doc_find(to, o->key.text);
        if (!b) {
            warn_similar(m, base, over, o);
            doc_push(m->arena, to, *o);
        } else if (row->sub != CTX_NONE && b->value->kind == DOC_MAP &&
                   o->value->kind == DOC_MAP && !o->value->bad) {
            b->value = lay_map(m, b->value, o->value, row->sub);
        } else {
            b->value = replace(m, row->form, b->value, o->value);
            b->loc = o->loc;
        }
    }
    return to;
}

/* Nodes by name: which entry of a mapping has it. */
static struct doc *names_of(struct model *m, struct arena *a, const struct doc *d,
                            enum schema_context context)
{
    struct doc *names = doc_map(a, d->loc);
    for (uint32_t i = 0; i < d->n; i++) {
        struct expr_key k;
        struct doc *ref = doc_map(a, d->loc); /* n is the entry's number */
        ref->n = i;
        if (schema_find(context, d->entry[i].key.text) ||
            !expr_parse_key(a, m->diags, &d->entry[i].key, &k))
            continue;
        if (k.is_rate)
            doc_add(a, names, d->entry[i].key.text, d->entry[i].loc, ref);
        for (uint32_t j = 0; !k.is_rate && j < k.npath; j++)
            doc_add(a, names, k.path[j], k.path_loc[j], ref);
    }
    return names;
}

struct laying {
    struct model *m;
    struct arena *scratch; /* keys are parsed here; a large mapping has many */
    const struct doc *base, *over;
    struct doc *of_base, *of_over; /* names_of */
    struct doc *to;
    bool *done; /* over's entries that are in `to` */
};

static bool same_list(const struct laying *l, const struct doc_entry *o)
{
    return doc_find(l->base, o->key.text) != NULL;
}

/* What `original` means in this entry of the override; NULL: nothing. */
static struct expr *original_of(struct laying *l, const struct doc_entry *o,
                                const struct expr_key *k)
{
    struct arena *a = l->m->arena;
    struct expr *tuple = expr_name(a, o->loc, "original");
    if (same_list(l, o))
        return expr_of(l->m, doc_get(l->base, o->key.text));
    tuple->kind = EX_TUPLE;
    tuple->child = arena_array(a, k->npath, sizeof *tuple->child);
    for (uint32_t i = 0; i < k->npath; i++) {
        const struct doc *ref = doc_get(l->of_base, k->path[i]);
        if (!ref)
            return NULL;
        const struct doc_entry *b = &l->base->entry[ref->n];
        struct expr *e = strchr(b->key.text, ',')
                             ? expr_name(a, o->loc, arena_fmt(a, "%s.original", k->path[i]))
                             : expr_of(l->m, b->value);
        if (!e || k->npath == 1)
            return e;
        tuple->child[tuple->n++] = e;
    }
    return tuple; /* its depth does not matter: it is copied in */
}

static void put_node(struct laying *l, uint32_t i)
{
    struct doc_entry o = l->over->entry[i];
    struct expr_key k;
    if (l->done[i])
        return;
    l->done[i] = true;
    if (!o.value->bad && o.value->kind == DOC_SCALAR &&
        strstr(o.value->text.text, "original") &&
        expr_parse_key(l->m->arena, l->m->diags, &o.key, &k))
        o.value = with_original(l->m, o.value, original_of(l, &o, &k));
    doc_push(l->m->arena, l->to, o);
}

/* One entry of the base: kept, replaced, or a list that loses some of its names. */
static void put_base_node(struct laying *l, const struct doc_entry *b)
{
    struct arena *a = l->m->arena;
    struct expr_key k;
    if (!expr_parse_key(l->scratch, l->m->diags, &b->key, &k))
        return;
    const bool whole = k.npath == 1 || k.is_rate || doc_find(l->over, b->key.text);
    const char *list = "";
    bool touched = false;
    for (uint32_t i = 0; i < k.npath; i++) {
        const char *name = k.is_rate ? b->key.text : k.path[i];
        const struct doc *ref = doc_get(l->of_over, name);
        list = arena_fmt(l->scratch, "%s%s%s%s", list, i ? ", " : "", name,
                         ref ? ".original" : "");
        touched |= ref != NULL;
        if (ref && whole)
            put_node(l, ref->n);
    }
    if (!touched)
        doc_push(a, l->to, *b);
    else if (!whole)
        doc_add(a, l->to, list, b->loc, b->value);
    for (uint32_t i = 0; touched && !whole && i < k.npath; i++)
        if (doc_get(l->of_over, k.path[i]))
            put_node(l, doc_get(l->of_over, k.path[i])->n);
}

static struct doc *lay_nodes(struct model *m, const struct doc *base,
                             const struct doc *over, enum schema_context context)
{
    struct arena *scratch = arena_new();
    struct laying l = {m,
                       scratch,
                       base,
                       over,
                       names_of(m, scratch, base, context),
                       names_of(m, scratch, over, context),
                       doc_map(m->arena, base->loc),
                       arena_array(m->arena, over->n + 1, sizeof(bool))};
    l.to->flow = base->flow && over->flow;
    for (uint32_t i = 0; i < base->n; i++) {
        const struct schema_key *row = schema_find(context, base->entry[i].key.text);
        if (!row)
            put_base_node(&l, &base->entry[i]);
        else
            doc_push(m->arena, l.to, base->entry[i]);
    }
    for (uint32_t i = 0; i < over->n; i++) {
        if (l.done[i] || schema_find(context, over->entry[i].key.text))
            continue;
        warn_similar(m, base, over, &over->entry[i]);
        put_node(&l, i);
    }
    arena_free(scratch);
    return l.to;
}

/* Base's body with over's parameter names, position by position. */
struct renaming {
    struct model *m;
    struct expr_change *change;
    unsigned n;
};

static struct doc *rename_in(const struct renaming *r, struct doc *d)
{
    struct arena *a = r->m->arena;
    if (d->bad)
        return d;
    if (d->kind == DOC_SCALAR) {
        struct expr *e = expr_of(r->m, d);
        bool any = false;
        for (unsigned i = 0; e && i < r->n; i++)
            any |= expr_mentions(e, r->change[i].from);
        e = any ? expr_change(a, r->m->diags, e, r->change, r->n) : NULL;
        return e ? expr_doc(a, e, d->loc) : d;
    }
    struct doc *to = d->kind == DOC_MAP ? doc_map(a, d->loc) : doc_list(a, d->loc);
    to->flow = d->flow;
    for (uint32_t i = 0; i < d->n; i++) {
        struct doc_entry e = d->entry[i];
        if (strcmp(e.key.text ? e.key.text : "", "about") != 0)
            e.value = rename_in(r, e.value);
        doc_push(a, to, e);
    }
    return to;
}

static struct doc *rename_parameters(struct model *m, struct doc *body,
                                     const struct expr_key *b, const struct expr_key *o)
{
    struct renaming r = {m, arena_array(m->arena, b->nparam + 1, sizeof *r.change), 0};
    for (uint32_t i = 0; o->is_call && i < b->nparam && i < o->nparam; i++)
        if (strcmp(b->param[i].name, o->param[i].name) != 0)
            r.change[r.n++] = (struct expr_change){
                b->param[i].name, expr_name(m->arena, o->param[i].loc, o->param[i].name)};
    return r.n ? rename_in(&r, body) : body;
}

/* The body of `o` over that of `b`; a one-line form is only a `return`. */
static struct doc *lay_body(struct model *m, struct doc *b, const struct doc_entry *o)
{
    struct doc *over = o->value;
    if (over->bad || b->bad || doc_is_none(b))
        return over;
    if (over->kind == DOC_MAP) {
        struct doc *map = b;
        if (b->kind != DOC_MAP) {
            map = doc_map(m->arena, b->loc);
            doc_add(m->arena, map, "return", b->loc, b);
        }
        return lay_map(m, map, over, CTX_BODY);
    }
    if (over->kind != DOC_SCALAR || !strstr(over->text.text, "original"))
        return over;
    if (b->kind != DOC_MAP)
        return with_original(m, over, expr_of(m, b));
    struct doc *to = copy_map(m->arena, b);
    struct doc_entry *back = doc_find(to, "return");
    if (back)
        back->value = with_original(m, over, expr_of(m, back->value));
    return back ? to : over;
}

static struct doc *by_name(struct model *m, const struct doc *d)
{
    struct doc *names = doc_map(m->arena, d->loc);
    for (uint32_t i = 0; i < d->n; i++) {
        struct expr_key k;
        struct doc *ref = doc_map(m->arena, d->loc);
        ref->n = i;
        if (!d->entry[i].value->bad &&
            expr_parse_key(m->arena, m->diags, &d->entry[i].key, &k))
            doc_add(m->arena, names, k.path[0], d->entry[i].loc, ref);
    }
    return names;
}

/* What an override without a signature builds on, if the model has no such function itself.
 */
static const struct doc_entry *library_entry(struct model *m, const char *name)
{
    const struct model_function *f = model_function(m, name);
    if (!f || !f->from)
        return NULL;
    struct doc *d = doc_map(m->arena, f->loc);
    doc_add(m->arena, d, f->signature, f->loc, f->body);
    return &d->entry[0];
}

static struct doc *lay_bodies(struct model *m, const struct doc *base,
                              const struct doc *over, bool functions)
{
    struct doc *to = copy_map(m->arena, base), *names = by_name(m, base);
    for (uint32_t i = 0; i < over->n; i++) {
        struct doc_entry o = over->entry[i];
        struct expr_key bk, ok;
        if (o.value->bad || !expr_parse_key(m->arena, m->diags, &o.key, &ok))
            continue;
        const struct doc *ref = doc_get(names, ok.path[0]);
        const struct doc_entry *b = ref ? &base->entry[ref->n]
                                    : functions && !ok.is_call
                                        ? library_entry(m, ok.path[0])
                                        : NULL;
        if (b && expr_parse_key(m->arena, m->diags, &b->key, &bk)) {
            struct doc_entry e = {ok.is_call ? o.key : b->key, o.loc, NULL};
            e.value = lay_body(m, rename_parameters(m, b->value, &bk, &ok), &o);
            o = e;
        } else if (!functions || ok.is_call) {
            warn_similar(m, names, over, &o);
        }
        if (ref)
            to->entry[ref->n] = o;
        else
            doc_push(m->arena, to, o);
    }
    return to;
}

struct doc *merge_value(struct model *m, const struct schema_key *row, struct doc *b,
                        struct doc *o)
{
    const bool maps = b->kind == DOC_MAP && o->kind == DOC_MAP && !b->bad && !o->bad;
    if (!maps)
        return replace(m, row->form, b, o);
    const enum schema_inside inside = schema_form[row->form].inside;
    if (inside == INSIDE_VALUE)
        return o;
    if (inside == INSIDE_KEYS)
        return lay_map(m, b, o, row->sub);
    if (row->form == FORM_BODIES)
        return lay_bodies(m, b, o, strcmp(row->key, "functions") == 0);
    if (row->form == FORM_NODES)
        return lay_nodes(m, b, o, CTX_NONE);
    return lay_names(m, b, o, row);
}

/* A key that the base lacks: `functions` may still build on the library's. */
static struct doc_entry new_entry(struct model *m, const struct schema_key *row,
                                  const struct doc_entry *o)
{
    struct doc_entry e = *o;
    if (row && row->form == FORM_BODIES && o->value->kind == DOC_MAP && !o->value->bad)
        e.value = lay_bodies(m, doc_map(m->arena, o->value->loc), o->value,
                             strcmp(row->key, "functions") == 0);
    return e;
}

static struct doc *lay_map(struct model *m, const struct doc *base, const struct doc *over,
                           enum schema_context context)
{
    struct doc *to = schema_title[context].names == NAMES_NODES
                         ? lay_nodes(m, base, over, context)
                         : copy_map(m->arena, base);
    for (uint32_t i = 0; i < over->n; i++) {
        const struct doc_entry *o = &over->entry[i];
        const struct schema_key *row = schema_find(context, o->key.text);
        struct doc_entry *b = doc_find(to, o->key.text);
        if (!row && schema_title[context].names == NAMES_NODES)
            continue;
        if (!row || !b)
            doc_push(m->arena, to, new_entry(m, row, o));
        else if (doc_is_none(b->value) || doc_is_none(o->value))
            b->value = o->value;
        else
            b->value = merge_value(m, row, b->value, o->value);
    }
    return to;
}

struct doc *merge_over(struct model *m, const struct doc *base, const struct doc *over)
{
    return lay_map(m, base, over, CTX_FILE);
}

static void refuse_in(struct model *m, const struct expr *e, bool *found)
{
    if (!e || *found)
        return;
    if (e->kind == EX_NAME &&
        (strcmp(e->name, "original") == 0 || strncmp(e->name, "original.", 9) == 0)) {
        diag(m->diags, E0608, e->loc, "`original` outside an override");
        diag_hint(m->diags,
                  "it stands for what an override replaces, and nothing stood here");
        *found = true;
    }
    for (uint32_t i = 0; i < e->n; i++)
        refuse_in(m, e->child[i], found);
}

void merge_refuse_original(struct model *m, struct doc *d)
{
    bool found = false;
    if (d->bad)
        return;
    refuse_in(m, d->expr, &found);
    d->bad = found;
    for (uint32_t i = 0; i < d->n; i++) {
        const char *key = d->entry[i].key.text;
        if (!key || (strcmp(key, "conditions") != 0 && strcmp(key, "experiments") != 0))
            merge_refuse_original(m, d->entry[i].value);
    }
}
