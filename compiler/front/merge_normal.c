/* Key lists taken apart; `all` handed out; `none` taken out. */
#include <string.h>

#include "compiler/front/expr_edit.h"
#include "compiler/front/merge.h"
#include "compiler/front/probe.h"
#include "runtime/base/arena.h"

enum { MOST_VALUES = 1000000 };

struct normal {
    struct arena *a;
    struct diag_sink *ds;
    uint32_t nname; /* key lists could make many entries of a short file */
};

static struct doc *normal_map(struct normal *n, const struct doc *d,
                              enum schema_context context);

/* A mapping as it was, without its entries. */
static struct doc *like(struct arena *a, const struct doc *d)
{
    struct doc *to = doc_map(a, d->loc);
    to->flow = d->flow;
    to->bad = d->bad;
    return to;
}

/* Twice the same name in a mapping? `seen` maps names to their first entries. */
static bool is_double(struct normal *n, struct doc *seen, const char *name, struct loc loc,
                      struct doc *value)
{
    const struct doc_entry *e = doc_find(seen, name);
    if (!e) {
        doc_add(n->a, seen, name, loc, value);
        return false;
    }
    if (!value->bad) {
        diag(n->ds, E0206, loc, "`%s` is defined twice", name);
        diag_note(n->ds, e->loc, "it is defined here first");
    }
    return true;
}

static bool too_many(struct normal *n, struct loc loc)
{
    if (n->nname++ == MOST_VALUES)
        diag(n->ds, E0902, loc, "limit exceeded: a file has at most 1,000,000 values");
    return n->nname > MOST_VALUES;
}

static void add_names(struct normal *n, struct doc *to, struct doc *seen,
                      const struct expr_key *k, struct doc *value)
{
    for (uint32_t i = 0; i < k->npath; i++)
        if (!too_many(n, k->path_loc[i]) &&
            !is_double(n, seen, k->path[i], k->path_loc[i], value))
            doc_add(n->a, to, k->path[i], k->path_loc[i], value);
}

/* `a, b: x, y` is `a: x` and `b: y`. */
static void add_node(struct normal *n, struct doc *to, struct doc *seen,
                     const struct doc_entry *e, const struct expr_key *k)
{
    struct expr *x =
        e->value->kind == DOC_SCALAR ? expr_parse(n->a, n->ds, e->value) : NULL;
    bool twice = false;
    if (k->npath > 1 && x && x->kind == EX_TUPLE && x->n == k->npath) {
        for (uint32_t i = 0; i < k->npath; i++) {
            struct doc *v = expr_doc(n->a, x->child[i], x->child[i]->loc);
            if (!is_double(n, seen, k->path[i], k->path_loc[i], v))
                doc_add(n->a, to, k->path[i], k->path_loc[i], v);
        }
        return;
    }
    for (uint32_t i = 0; i < k->npath; i++)
        twice |= is_double(n, seen, k->path[i], k->path_loc[i], e->value);
    if (!twice)
        doc_push(n->a, to, *e);
}

/* A mistake was reported here: its names stay known, if they are names. */
static void add_bad(struct normal *n, struct doc *to, struct doc *seen,
                    const struct doc_entry *e, enum schema_lists lists)
{
    struct expr_key k;
    const struct diag_mark mark = diag_mark(n->ds);
    const bool named = expr_parse_key(n->a, n->ds, &e->key, &k);
    diag_rewind(n->ds, mark);
    if (!named || (k.is_call && lists == LISTS_TUPLE))
        return;
    if (!k.is_call && !k.is_rate)
        add_names(n, to, seen, &k, e->value);
    else if (!is_double(n, seen, k.path[0], k.path_loc[0], e->value))
        doc_push(n->a, to, *e);
}

/* One entry whose key is a name, a key list, a signature or a rate. */
static void add_entry(struct normal *n, struct doc *to, struct doc *seen,
                      const struct doc_entry *e, enum schema_lists lists)
{
    struct expr_key k;
    if (e->value->bad) {
        add_bad(n, to, seen, e, lists);
    } else if (!expr_parse_key(n->a, n->ds, &e->key, &k)) {
        e->value->bad = true;
    } else if (k.is_call || k.is_rate) {
        if (!is_double(n, seen, k.path[0], k.path_loc[0], e->value) || k.is_rate)
            doc_push(n->a, to, *e);
    } else if (lists == LISTS_TUPLE) {
        add_node(n, to, seen, e, &k);
    } else {
        add_names(n, to, seen, &k, e->value);
    }
}

static struct doc *normal_entries(struct normal *n, struct doc *d, enum schema_lists lists,
                                  enum schema_context sub)
{
    struct doc *to = like(n->a, d), *seen = doc_map(n->a, d->loc);
    for (uint32_t i = 0; i < d->n; i++) {
        struct doc_entry e = d->entry[i];
        if (sub != CTX_NONE && e.value->kind == DOC_MAP && !e.value->bad)
            e.value = normal_map(n, e.value, sub);
        add_entry(n, to, seen, &e, lists);
    }
    return to;
}

static struct doc *normal_form(struct normal *n, const struct schema_key *row,
                               struct doc *d)
{
    const struct schema_form_row *form = &schema_form[row->form];
    if (d->kind != DOC_MAP || d->bad)
        return d;
    if (form->inside == INSIDE_KEYS)
        return normal_map(n, d, row->sub);
    return form->lists == LISTS_KEPT ? d : normal_entries(n, d, form->lists, row->sub);
}

static struct doc *normal_map(struct normal *n, const struct doc *d,
                              enum schema_context context)
{
    struct doc *to = like(n->a, d), *seen = doc_map(n->a, d->loc);
    for (uint32_t i = 0; i < d->n; i++) {
        struct doc_entry e = d->entry[i];
        const struct schema_key *row = schema_find(context, e.key.text);
        if (row) {
            e.value = normal_form(n, row, e.value);
            doc_push(n->a, to, e);
        } else if (schema_title[context].names == NAMES_NODES) {
            add_entry(n, to, seen, &e, LISTS_TUPLE);
        } else {
            doc_push(n->a, to, e);
        }
    }
    return to;
}

struct doc *merge_normal(struct arena *a, struct diag_sink *ds, struct doc *file)
{
    struct normal n = {a, ds, 0};
    return file->kind == DOC_MAP ? normal_map(&n, file, CTX_FILE) : file;
}

/* `all` under each entry: keys that the entry lacks; of probes those that it takes. */
static struct doc *hand_out(struct arena *a, const struct doc *d, bool probes)
{
    const struct doc *all = doc_get(d, "all");
    struct doc *to = like(a, d);
    for (uint32_t i = 0; i < d->n; i++) {
        struct doc_entry e = d->entry[i];
        if (e.value == all)
            continue;
        if (all && all->kind == DOC_MAP && e.value->kind == DOC_MAP && !e.value->bad) {
            struct doc *v = like(a, e.value);
            for (uint32_t k = 0; k < e.value->n; k++)
                doc_push(a, v, e.value->entry[k]);
            for (uint32_t k = 0; k < all->n; k++)
                if (!doc_find(e.value, all->entry[k].key.text) &&
                    (!probes || mb_probe_takes(e.value, all->entry[k].key.text)))
                    doc_push(a, v, all->entry[k]);
            e.value = v;
        }
        doc_push(a, to, e);
    }
    return to;
}

struct doc *merge_all(struct arena *a, const struct doc *file)
{
    struct doc *to = like(a, file);
    for (uint32_t i = 0; i < file->n; i++) {
        struct doc_entry e = file->entry[i];
        const struct schema_key *row = schema_find(CTX_FILE, e.key.text);
        if (row && row->form == FORM_EACH && schema_has_all(row->sub) &&
            e.value->kind == DOC_MAP)
            e.value = hand_out(a, e.value, row->sub == CTX_PROBE);
        doc_push(a, to, e);
    }
    return to;
}

struct dropping {
    struct arena *a;
    uint32_t nvalue;
};

/* What holds no `none` is not copied. */
static struct doc *drop(struct dropping *x, struct doc *d)
{
    struct doc *to = NULL;
    if (d->kind != DOC_MAP || d->bad || x->nvalue > MOST_VALUES)
        return d;
    for (uint32_t i = 0; i < d->n; i++) {
        struct doc_entry e = d->entry[i];
        const bool value = strcmp(e.key.text, "learn") == 0;
        const bool other =
            strcmp(e.key.text, "conditions") == 0 || strcmp(e.key.text, "experiments") == 0;
        const bool gone = doc_is_none(e.value) && !value;
        x->nvalue++;
        if (!other && !gone)
            e.value = drop(x, e.value);
        if (!to && (gone || e.value != d->entry[i].value)) {
            to = like(x->a, d);
            for (uint32_t k = 0; k < i; k++)
                doc_push(x->a, to, d->entry[k]);
        }
        if (to && !gone)
            doc_push(x->a, to, e);
    }
    return to ? to : d;
}

struct doc *merge_drop_none(struct arena *a, struct diag_sink *ds, struct doc *file)
{
    struct dropping x = {a, 0};
    struct doc *to = drop(&x, file);
    if (x.nvalue > MOST_VALUES)
        diag(ds, E0902, file->loc,
             "limit exceeded: a model has at most 1,000,000 values after elaboration");
    return to;
}
