/*
 * Checks of a file as it is read, driven by the table: keys, forms, names, and the grammar
 * of every expression.  What is wrong is marked bad, so that later stages pass over it and
 * the rest of the file is still looked at.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler/front/schema.h"
#include "compiler/front/text.h"
#include "runtime/base/arena.h"

enum {
    MOST_HINTS = 1000
}; /* reports beyond are only counted: no search for the nearest key */

struct check {
    struct arena *a;
    struct diag_sink *ds;
};

static void check_form(struct check *c, const struct schema_key *row, struct doc *d);
static void check_map(struct check *c, struct doc *map, enum schema_context context);

static const char *kind_words(const struct doc *d)
{
    static const char *const word[] = {"a text", "a list", "a mapping"};
    return d->kind == DOC_SCALAR && d->text.n == 0 ? "nothing" : word[d->kind];
}

static void wrong_form(struct check *c, struct doc *d, const char *wanted)
{
    if (d->bad)
        return;
    d->bad = true;
    if (d->kind == DOC_SCALAR && d->text.n == 0) {
        diag(c->ds, E0109, d->loc, "empty value");
        diag_hint(c->ds, "expected %s; `none` removes an inherited entry", wanted);
        return;
    }
    if (d->kind == DOC_SCALAR && d->text.n < 40)
        diag(c->ds, E0108, d->loc, "expected %s, found `%s`", wanted, d->text.text);
    else
        diag(c->ds, E0108, d->loc, "expected %s, found %s", wanted, kind_words(d));
}

/* Words that no node, weight, state, function, network, source, layer or constant may be
 * called. */
static bool is_reserved(const char *name)
{
    static const char *const word[] = {
        "epoch", "cycle", "step",  "tick",  "batch_size", "training", "all",    "none",
        "now",   "T",     "batch", "units", "member",     "ticks",    "sample", "original",
        "true",  "false", "pi",    "inf",   "and",        "or",       "not"};
    for (unsigned i = 0; i < sizeof word / sizeof *word; i++)
        if (strcmp(word[i], name) == 0)
            return true;
    return schema_find(CTX_FILE, name) || schema_find(CTX_BODY, name) ||
           schema_find(CTX_PHASE, name);
}

static bool path_is_reserved(struct check *c, const char *path)
{
    const char *part = path, *dot;
    for (bool first = true; part; part = dot ? dot + 1 : NULL, first = false) {
        dot = strchr(part, '.');
        const char *name =
            dot ? arena_strn(c->a, part, (size_t)(dot - part)) : arena_str(c->a, part);
        if (first ? is_reserved(name) : strcmp(name, "T") == 0)
            return true;
    }
    return false;
}

static bool refuse_reserved(struct check *c, const char *name, struct loc loc)
{
    if (!path_is_reserved(c, name))
        return false;
    diag(c->ds, E0205, loc, "`%s` is reserved", name);
    const char *first = arena_strn(c->a, name, strcspn(name, "."));
    if (is_reserved(first))
        diag_hint(c->ds, "call it `%s_`, or something that says more", first);
    else
        diag_hint(c->ds, "`.T` is the adjoint of a call; call that part something else");
    return true;
}

static void defined_twice(struct check *c, const char *name, struct loc loc,
                          struct loc first)
{
    diag(c->ds, E0206, loc, "`%s` is defined twice", name);
    diag_note(c->ds, first, "it is defined here first");
}

/* What a key may be. */
enum key_rule {
    KEY_LIST = 1,
    KEY_CALL = 2,
    KEY_RATE = 4,
    KEY_NAMES = 8,
    KEY_ALL = 16, /* the entry `all` */
    KEY_PI =
        32 /* weights may be called `pi`: a body's own names come before the constant */
};

static bool check_key_names(struct check *c, const struct expr_key *k, unsigned rule)
{
    bool ok = true;
    for (uint32_t i = 0; i < k->npath; i++) {
        const bool free = ((rule & KEY_ALL) && strcmp(k->path[i], "all") == 0) ||
                          ((rule & KEY_PI) && strcmp(k->path[i], "pi") == 0);
        if ((rule & KEY_NAMES) && !free && refuse_reserved(c, k->path[i], k->path_loc[i]))
            ok = false;
        for (uint32_t j = 0; ok && j < i; j++) {
            if (strcmp(k->path[i], k->path[j]) == 0) {
                defined_twice(c, k->path[i], k->path_loc[i], k->path_loc[j]);
                ok = false;
            }
        }
    }
    for (uint32_t i = 0; i < k->nparam; i++) {
        const struct expr_param *p = &k->param[i];
        if (strcmp(p->name, "units") != 0 && strcmp(p->name, "weights") != 0 &&
            refuse_reserved(c, p->name, p->loc))
            ok = false;
        for (uint32_t j = 0; ok && j < i; j++) {
            if (strcmp(p->name, k->param[j].name) == 0) {
                defined_twice(c, p->name, p->loc, k->param[j].loc);
                ok = false;
            }
        }
    }
    return ok;
}

/* The entry's key by this rule; false: reported, and the entry is bad. */
static bool check_key(struct check *c, struct doc_entry *e, unsigned rule)
{
    struct expr_key k;
    bool ok = expr_parse_key(c->a, c->ds, &e->key, &k);
    if (ok && ((k.is_call && !(rule & KEY_CALL)) || (k.is_rate && !(rule & KEY_RATE)) ||
               (k.npath > 1 && !(rule & KEY_LIST)))) {
        const char *what = k.is_call ? "(" : k.is_rate ? "/" : ",";
        diag(c->ds, E0110, doc_at(&e->key, (uint32_t)strcspn(e->key.text, what), 1),
             "unexpected `%s` in a name", what);
        diag_hint(c->ds, "expected %s",
                  rule & KEY_LIST ? "a name, or names with commas between" : "one name");
        ok = false;
    }
    if (ok)
        ok = check_key_names(c, &k, rule);
    if (!ok)
        e->value->bad = true;
    return ok;
}

static bool check_is_map(struct check *c, struct doc *d, const char *wanted)
{
    if (d->bad || doc_is_none(d))
        return false;
    if (d->kind == DOC_MAP)
        return true;
    wrong_form(c, d, wanted);
    return false;
}

static void check_expr(struct check *c, struct doc *d)
{
    if (!doc_is_none(d))
        expr_parse(c->a, c->ds, d);
}

/* names -> expressions */
static void check_exprs(struct check *c, struct doc *d, unsigned rule, const char *wanted)
{
    if (!check_is_map(c, d, wanted))
        return;
    for (uint32_t i = 0; i < d->n; i++) {
        check_key(c, &d->entry[i], rule);
        check_expr(c, d->entry[i].value);
    }
}

static void check_word(struct check *c, struct doc *d, const char *words,
                       const char *wanted)
{
    if (d->bad || doc_is_none(d))
        return;
    if (d->kind != DOC_SCALAR || d->text.n == 0) {
        wrong_form(c, d, wanted);
        return;
    }
    for (const char *w = words; *w;) {
        const size_t n = strcspn(w, " ");
        if (n == d->text.n && memcmp(w, d->text.text, n) == 0)
            return;
        w += n + (w[n] == ' ');
    }
    struct expr_key k;
    if (*words) {
        struct text list = {.arena = c->a};
        for (const char *w = words; *w; w++)
            text_put(&list, *w == ' ' ? "` or `" : (char[2]){*w, 0});
        wrong_form(c, d, arena_fmt(c->a, "`%s`", list.s));
    } else if (!expr_parse_key(c->a, c->ds, &d->text, &k)) {
        d->bad = true;
    } else if (k.npath != 1 || k.is_call || k.is_rate) {
        wrong_form(c, d, wanted);
    }
}

static void check_paths(struct check *c, struct doc *d, const char *wanted)
{
    struct expr_key k;
    if (d->bad || doc_is_none(d))
        return;
    if (d->kind == DOC_LIST) {
        for (uint32_t i = 0; i < d->n; i++)
            check_word(c, d->entry[i].value, "", "a name");
        return;
    }
    const bool text = d->kind == DOC_SCALAR && d->text.n > 0;
    if (text && !expr_parse_key(c->a, c->ds, &d->text, &k))
        d->bad = true;
    else if (!text || k.is_call || k.is_rate)
        wrong_form(c, d, wanted);
}

static bool is_whole(const struct doc *d)
{
    return d->kind == DOC_SCALAR && d->text.n > 0 &&
           strspn(d->text.text, "0123456789") == d->text.n;
}

static void check_every(struct check *c, struct doc *d)
{
    bool ok = doc_is_none(d);
    if (d->kind == DOC_LIST) {
        for (uint32_t i = 0; i < d->n; i++)
            if (!is_whole(d->entry[i].value))
                wrong_form(c, d->entry[i].value, "the number of an epoch");
        return;
    }
    if (d->kind == DOC_SCALAR) {
        const char *s = d->text.text;
        const size_t digits = strspn(s, "0123456789");
        ok |= strcmp(s, "epoch") == 0 || strcmp(s, "end") == 0 ||
              (strspn(s, "0") < digits &&
               (strcmp(s + digits, " cycles") == 0 || strcmp(s + digits, " epochs") == 0));
    }
    if (!ok)
        wrong_form(c, d, schema_form[FORM_EVERY].words);
}

static void check_each(struct check *c, const struct schema_key *row, struct doc *d)
{
    const struct schema_title *title = &schema_title[row->sub];
    const bool bodies = row->form == FORM_BODIES;
    unsigned rule = KEY_LIST | (schema_has_all(row->sub) ? KEY_ALL : 0) |
                    (bodies ? KEY_CALL : 0) | (row->sub == CTX_WEIGHT ? KEY_PI : 0);
    if (row->sub != CTX_SETTING && row->sub != CTX_FILE && row->sub != CTX_PROBE &&
        row->sub != CTX_EXPERIMENT)
        rule |= KEY_NAMES;
    if (!check_is_map(c, d, schema_form[row->form].words))
        return;
    for (uint32_t i = 0; i < d->n; i++) {
        struct doc *v = d->entry[i].value;
        check_key(c, &d->entry[i], rule);
        if (v->bad || doc_is_none(v))
            continue;
        if (v->kind == DOC_MAP)
            check_map(c, v, row->sub);
        else if (title->shorthand == FORM_EXPR)
            check_expr(c, v);
        else
            wrong_form(c, v, arena_fmt(c->a, "a mapping, %s", title->title));
    }
}

static void check_steps(struct check *c, struct doc *d)
{
    if (d->bad || doc_is_none(d))
        return;
    if (d->kind != DOC_LIST) {
        check_exprs(c, d, KEY_LIST, schema_form[FORM_STEPS].words);
        return;
    }
    for (uint32_t i = 0; i < d->n; i++)
        check_exprs(c, d->entry[i].value, KEY_LIST, "a mapping of groups to losses");
}

static void check_stages(struct check *c, struct doc *d)
{
    if (d->kind != DOC_LIST) {
        if (check_is_map(c, d, schema_form[FORM_STAGES].words))
            check_map(c, d, CTX_STAGE);
        return;
    }
    for (uint32_t i = 0; i < d->n; i++)
        if (check_is_map(c, d->entry[i].value, "a stage"))
            check_map(c, d->entry[i].value, CTX_STAGE);
}

static void check_cycle(struct check *c, struct doc *d)
{
    if (d->bad || doc_is_none(d))
        return;
    if (d->kind != DOC_LIST) {
        wrong_form(c, d, "a list of phases");
        return;
    }
    for (uint32_t i = 0; i < d->n; i++) {
        struct doc *v = d->entry[i].value;
        if (v->kind == DOC_MAP)
            check_map(c, v, CTX_ENTRY);
        else
            check_word(c, v, "", "the name of a phase");
    }
}

static void check_credit(struct check *c, const struct schema_key *row, struct doc *d)
{
    if (d->kind != DOC_MAP) {
        check_word(c, d, row->words, schema_form[FORM_CREDIT].words);
        return;
    }
    for (uint32_t i = 0; i < d->n; i++) {
        struct doc_entry *e = &d->entry[i];
        if (strcmp(e->key.text, "up") != 0 && strcmp(e->key.text, "down") != 0)
            diag(c->ds, E0201, e->loc, "unknown key `%s` in credit", e->key.text);
        else
            check_word(c, e->value, row->words, schema_form[FORM_CREDIT].words);
    }
}

static void check_text(struct check *c, struct doc *d, enum schema_form form)
{
    if (form == FORM_TEXTS && d->kind == DOC_LIST) {
        for (uint32_t i = 0; i < d->n; i++)
            check_text(c, d->entry[i].value, FORM_TEXT);
    } else if (d->kind != DOC_SCALAR || d->text.n == 0) {
        wrong_form(c, d, schema_form[form].words);
    }
}

static void check_form(struct check *c, const struct schema_key *row, struct doc *d)
{
    const char *wanted = schema_form[row->form].words;
    if (d->bad)
        return;
    switch (row->form) {
    case FORM_TEXT:
    case FORM_TEXTS:
        check_text(c, d, row->form);
        break;
    case FORM_WORD:
        check_word(c, d, row->words, wanted);
        break;
    case FORM_EXPR:
        check_expr(c, d);
        break;
    case FORM_PATHS:
        check_paths(c, d, wanted);
        break;
    case FORM_EVERY:
        check_every(c, d);
        break;
    case FORM_CREDIT:
        check_credit(c, row, d);
        break;
    case FORM_SUB:
        if (check_is_map(c, d, wanted))
            check_map(c, d, row->sub);
        break;
    case FORM_EACH:
    case FORM_BODIES:
        check_each(c, row, d);
        break;
    case FORM_LEARN:
    case FORM_EXPRS:
        check_exprs(c, d, KEY_LIST | (strcmp(row->key, "constants") == 0 ? KEY_NAMES : 0),
                    wanted);
        break;
    case FORM_NODES:
        check_exprs(c, d, KEY_LIST | KEY_NAMES, wanted);
        break;
    case FORM_STEPS:
        check_steps(c, d);
        break;
    case FORM_STAGES:
        check_stages(c, d);
        break;
    case FORM_CYCLE:
        check_cycle(c, d);
        break;
    case FORM_NONE:
    default:
        break;
    }
}

static void unknown_key(struct check *c, const struct doc_entry *e,
                        enum schema_context context)
{
    const char **names = NULL;
    struct text list = {.arena = c->a};
    unsigned n = 0;
    e->value->bad = true;
    if (diag_count(c->ds) >= MOST_HINTS) {
        diag(c->ds, E0201, e->loc, "unknown key `%s`", e->key.text);
        return;
    }
    names = arena_array(c->a, schema_nkey, sizeof *names);
    for (unsigned i = 0; i < schema_nkey; i++) {
        if (schema_key[i].context != context)
            continue;
        text_fmt(&list, n ? ", %s" : "%s", schema_key[i].key);
        names[n++] = schema_key[i].key;
    }
    const char *near = diag_nearest(e->key.text, names, n);
    diag(c->ds, E0201, e->loc, "unknown key `%s` in %s", e->key.text,
         schema_title[context].title);
    if (near)
        diag_hint(c->ds, "did you mean `%s`?", near);
    diag_hint(c->ds, "the keys here: %s", list.s);
}

static void check_map(struct check *c, struct doc *map, enum schema_context context)
{
    for (uint32_t i = 0; i < map->n; i++) {
        struct doc_entry *e = &map->entry[i];
        const struct schema_key *row = schema_find(context, e->key.text);
        if (e->value->bad)
            continue;
        if (row) {
            check_form(c, row, e->value);
        } else if (schema_title[context].names == NAMES_CLOSED) {
            unknown_key(c, e, context);
        } else {
            const bool node = schema_title[context].names == NAMES_NODES;
            check_key(c, e, node ? KEY_LIST | KEY_NAMES | KEY_RATE : 0);
            check_expr(c, e->value);
        }
    }
}

static void check_version(struct check *c, struct doc *file)
{
    const struct doc_entry *e = doc_find(file, "hypnograph");
    struct loc top = file->n ? file->entry[0].loc : file->loc;
    if (!e || e != &file->entry[0]) {
        diag(c->ds, E0107, e ? e->loc : top, "`hypnograph: 1` must come first");
        diag_hint(c->ds, "begin the file with the line `hypnograph: 1`");
        return;
    }
    const struct doc *v = e->value;
    if (v->bad || (v->kind == DOC_SCALAR && strcmp(v->text.text, "1") == 0))
        return;
    if (is_whole(v) && strcmp(v->text.text, "0") != 0)
        diag(c->ds, E0107, v->loc, "version %s is newer than this compiler", v->text.text);
    else
        diag(c->ds, E0107, v->loc, "`hypnograph: 1` must come first");
    diag_hint(c->ds, "this compiler reads version 1");
}

void schema_check(struct arena *a, struct diag_sink *ds, struct doc *file)
{
    struct check c = {a, ds};
    if (file->kind != DOC_MAP) {
        wrong_form(&c, file, "a mapping");
        return;
    }
    check_version(&c, file);
    check_map(&c, file, CTX_FILE);
}

void schema_check_part(struct arena *a, struct diag_sink *ds, struct doc *part)
{
    struct check c = {a, ds};
    check_map(&c, part, CTX_FILE);
}
