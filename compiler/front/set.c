/*
 * --set PATH=VALUE is an override file of one entry: PATH walks along the table of keys,
 * VALUE is what would stand behind the last key, and the result merges as everything else
 * does. A path that is a setting's name is that setting.  The text counts as a file called
 * `--set`, so that mistakes in it have a place.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler/front/merge.h"
#include "compiler/front/model_internal.h"
#include "compiler/front/text.h"
#include "runtime/base/arena.h"

struct set {
    struct model *m;
    const struct doc *file;
    uint32_t source;
    const char *path;
    uint32_t n; /* bytes of the path */
    struct doc *value;
};

static struct doc *in_map(struct set *s, const struct doc *old, enum schema_context context,
                          uint32_t at);

/* The part of the path from `at` on that is `len` bytes long. */
static struct loc part_loc(const struct set *s, uint32_t at, uint32_t len)
{
    return (struct loc){s->source, 1, at + 1, len ? len : 1};
}

static const char *part(const struct set *s, uint32_t at, uint32_t len)
{
    return arena_strn(s->m->arena, s->path + at, len);
}

static uint32_t until_dot(const struct set *s, uint32_t at)
{
    const char *dot = memchr(s->path + at, '.', s->n - at);
    return dot ? (uint32_t)(dot - s->path) - at : s->n - at;
}

/* Behind a part that ends at `end`: the next one, or the path's end. */
static uint32_t behind(const struct set *s, uint32_t end)
{
    return end < s->n ? end + 1 : end;
}

static struct doc *nest(struct set *s, uint32_t at, uint32_t len, struct doc *value)
{
    if (!value)
        return NULL;
    struct doc *d = doc_map(s->m->arena, part_loc(s, at, len));
    doc_add(s->m->arena, d, part(s, at, len), part_loc(s, at, len), value);
    return d;
}

/* `names`: what there is; NULL is returned for the caller to return. */
static struct doc *no_such(struct set *s, const char *what, uint32_t at, uint32_t len,
                           const char *const *names, unsigned n)
{
    const char *name = part(s, at, len), *near = diag_nearest(name, names, n);
    struct text list = {.arena = s->m->arena};
    diag(s->m->diags, E0804, part_loc(s, at, len), "`--set`: no %s `%s`", what, name);
    if (near)
        diag_hint(s->m->diags, "did you mean `%s`?", near);
    for (unsigned i = 0; i < n && n <= 64; i++)
        text_fmt(&list, i ? ", %s" : "%s", names[i]);
    if (list.n)
        diag_hint(s->m->diags, "there is: %s", list.s);
    return NULL;
}

static struct doc *no_key(struct set *s, enum schema_context context, uint32_t at)
{
    const char **names = arena_array(s->m->arena, schema_nkey, sizeof *names);
    unsigned n = 0;
    for (unsigned i = 0; i < schema_nkey; i++)
        if (schema_key[i].context == context)
            names[n++] = schema_key[i].key;
    const char *what = arena_fmt(s->m->arena, "key of %s", schema_title[context].title);
    return no_such(s, what, at, until_dot(s, at), names, n);
}

/* "setting" of "settings" */
static const char *noun(struct set *s, const struct schema_key *row)
{
    const size_t n = strlen(row->key);
    if (row->sub == CTX_SOURCE)
        return "source";
    return arena_strn(s->m->arena, row->key, n - (row->key[n - 1] == 's'));
}

static struct doc *no_entry(struct set *s, const struct schema_key *row,
                            const struct doc *old, uint32_t at)
{
    const uint32_t n = old && old->kind == DOC_MAP ? old->n : 0;
    const char **names = arena_array(s->m->arena, n + 1, sizeof *names);
    for (uint32_t i = 0; i < n; i++)
        names[i] = arena_strn(s->m->arena, old->entry[i].key.text,
                              strcspn(old->entry[i].key.text, "("));
    return no_such(s, noun(s, row), at, until_dot(s, at), names, n);
}

/* The longest entry of `old` that the path from `at` on begins with; a body's by its name.
 */
static const struct doc_entry *longest(const struct set *s, const struct doc *old,
                                       uint32_t at, uint32_t *len)
{
    const struct doc_entry *found = NULL;
    for (uint32_t i = 0; old && old->kind == DOC_MAP && i < old->n; i++) {
        const char *key = old->entry[i].key.text;
        const uint32_t n = (uint32_t)strcspn(key, "(");
        if (n > s->n - at || strncmp(key, s->path + at, n) != 0 ||
            (at + n < s->n && s->path[at + n] != '.') || (found && n <= *len))
            continue;
        found = &old->entry[i];
        *len = n;
    }
    return found;
}

/* Entries that may be named although the file does not have them. */
static bool is_implied(const struct set *s, const struct schema_key *row, uint32_t at,
                       uint32_t len)
{
    const char *name = part(s, at, len);
    if (schema_has_all(row->sub) && strcmp(name, "all") == 0)
        return true;
    if (row->sub == CTX_PHASE) /* elaboration makes it */
        return strcmp(name, "compare") == 0 && doc_get(s->file, "layers") != NULL;
    return row->form == FORM_BODIES && strcmp(row->key, "functions") == 0 &&
           model_function(s->m, name) != NULL;
}

/* `data.all.source=...` where every source says what it is. */
static bool changes_nothing(struct set *s, const struct doc *old, uint32_t at, uint32_t key)
{
    const char *name = part(s, key, until_dot(s, key));
    uint32_t lack = 0;
    for (uint32_t i = 0; old && old->kind == DOC_MAP && i < old->n; i++)
        lack += strcmp(old->entry[i].key.text, "all") != 0 &&
                !doc_get(old->entry[i].value, name);
    if (lack)
        return false;
    diag(s->m->diags, E0804, part_loc(s, at, s->n - at),
         "`--set`: every entry gives `%s` itself, so `all` changes nothing", name);
    diag_hint(s->m->diags, "name the entry in the place of `all`");
    return true;
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
    if (!r || r->kind != EX_LIST || r->n != 2 || s->value->kind != DOC_SCALAR ||
        !number_of(expr_parse(s->m->arena, s->m->diags, s->value), &x) ||
        !number_of(r->child[0], &low) || !number_of(r->child[1], &high) ||
        (x >= low && x <= high))
        return true;
    diag(s->m->diags, E0804, s->value->loc, "`--set`: %g is outside the range [%g, %g]", x,
         low, high);
    diag_note(s->m->diags, range->loc, "the range");
    return false;
}

/* A setting of the long form keeps its range: only its value changes. */
static struct doc *in_setting(struct set *s, const struct doc *old, uint32_t at)
{
    const bool value = at == s->n || strcmp(s->path + at, "value") == 0;
    if (value && !in_range(s, old))
        return NULL;
    if (at < s->n)
        return in_map(s, old, CTX_SETTING, at);
    if (old->kind != DOC_MAP || s->value->kind == DOC_MAP)
        return s->value;
    struct doc *d = doc_map(s->m->arena, s->value->loc);
    doc_add(s->m->arena, d, "value", s->value->loc, s->value);
    return d;
}

/* names -> mappings: settings, sources, layers, functions, phases, probes ... */
static struct doc *in_each(struct set *s, const struct schema_key *row,
                           const struct doc *old, uint32_t at)
{
    uint32_t len = until_dot(s, at);
    const struct doc_entry *e = longest(s, old, at, &len);
    const bool leaf = at + len == s->n;
    if (!e && !is_implied(s, row, at, len) &&
        (!leaf || row->sub == CTX_SETTING || row->sub == CTX_SOURCE))
        return no_entry(s, row, old, at);
    const uint32_t next = behind(s, at + len);
    if (row->sub == CTX_SETTING)
        return nest(s, at, len, in_setting(s, e->value, next));
    if (leaf)
        return nest(s, at, len, s->value);
    if (schema_has_all(row->sub) && strcmp(part(s, at, len), "all") == 0 &&
        schema_find(row->sub, part(s, next, until_dot(s, next))) &&
        changes_nothing(s, old, at, next))
        return NULL;
    return nest(s, at, len, in_map(s, e ? e->value : NULL, row->sub, next));
}

/* `schedule.1.epochs`: one item of a list is changed, the rest stays. */
static struct doc *in_list(struct set *s, const struct schema_key *row,
                           const struct doc *old, uint32_t at)
{
    const uint32_t len = until_dot(s, at), next = behind(s, at + len);
    const char *name = part(s, at, len);
    const unsigned long i = strtoul(name, NULL, 10);
    if (strspn(name, "0123456789") != len || len > 9 || i >= old->n) {
        diag(s->m->diags, E0804, part_loc(s, at, len), "`--set`: no item `%s`", name);
        diag_hint(s->m->diags, "`%s` is a list: its items are 0 to %u", row->key,
                  old->n - 1);
        return NULL;
    }
    struct doc *item = old->entry[i].value, *over = s->value;
    if (next < s->n && row->form == FORM_STAGES)
        over = in_map(s, item, row->sub, next);
    else if (next < s->n)
        over = nest(s, next, s->n - next, s->value);
    if (!over)
        return NULL;
    struct doc *to = doc_list(s->m->arena, s->value->loc);
    for (uint32_t k = 0; k < old->n; k++)
        doc_add(s->m->arena, to, NULL, old->entry[k].loc,
                k == i ? merge_value(s->m, row, item, over) : old->entry[k].value);
    return to;
}

static struct doc *no_keys(struct set *s, const struct schema_key *row, uint32_t at)
{
    diag(s->m->diags, E0804, part_loc(s, at, s->n - at),
         "`--set`: `%s` has no keys of its own", row->key);
    diag_hint(s->m->diags, "its value is %s", schema_form[row->form].words);
    return NULL;
}

static struct doc *in_form(struct set *s, const struct schema_key *row,
                           const struct doc *old, uint32_t at)
{
    const enum schema_inside inside = schema_form[row->form].inside;
    if (at == s->n)
        return s->value;
    if (inside == INSIDE_VALUE)
        return no_keys(s, row, at);
    if ((row->form == FORM_STAGES || row->form == FORM_STEPS) && old &&
        old->kind == DOC_LIST)
        return in_list(s, row, old, at);
    if (inside == INSIDE_KEYS)
        return in_map(s, old, row->sub, at);
    if (row->sub != CTX_NONE)
        return in_each(s, row, old, at);
    if (strcmp(row->key, "constants") == 0 && !doc_get(old, part(s, at, s->n - at)))
        return no_entry(s, row, old, at);
    return nest(s, at, s->n - at, s->value);
}

static struct doc *in_map(struct set *s, const struct doc *old, enum schema_context context,
                          uint32_t at)
{
    const uint32_t len = until_dot(s, at);
    const char *key = part(s, at, len);
    const struct schema_key *row = schema_find(context, key);
    if (row)
        return nest(s, at, len, in_form(s, row, doc_get(old, key), behind(s, at + len)));
    if (schema_title[context].names == NAMES_CLOSED)
        return no_key(s, context, at);
    return nest(s, at, s->n - at, s->value); /* a node */
}

/* What has been read before `--set` is. */
static bool is_too_late(struct set *s)
{
    static const char *const key[] = {"hypnograph", "extends", "imports", "conditions"};
    const uint32_t len = until_dot(s, 0);
    for (unsigned i = 0; i < sizeof key / sizeof *key; i++) {
        if (strcmp(part(s, 0, len), key[i]) != 0)
            continue;
        diag(s->m->diags, E0804, part_loc(s, 0, len),
             "`--set`: `%s` has been read before `--set` is", key[i]);
        return true;
    }
    return false;
}

/* As it would stand in a file: a list or mapping in YAML, else a text to the end. */
static struct doc *read_value(struct set *s, const char *text)
{
    struct arena *a = s->m->arena;
    uint32_t at = s->n + 1;
    while (text[at] == ' ')
        at++;
    const uint32_t n = (uint32_t)strlen(text + at);
    if (text[at] != '[' && text[at] != '{')
        return doc_scalar(a, part_loc(s, at, n), text + at);
    char *yaml = arena_str(a, text); /* with the path blank, places are those of the text */
    memset(yaml, ' ', at);
    return doc_read(a, s->m->diags, s->source, yaml, at + n);
}

static struct doc *override_of(struct set *s)
{
    const struct doc *settings = doc_get(s->file, "settings");
    const struct doc *setting = doc_get(settings, part(s, 0, s->n));
    if (is_too_late(s))
        return NULL;
    if (!setting && until_dot(s, 0) == s->n && !schema_find(CTX_FILE, part(s, 0, s->n)))
        return no_entry(s, schema_find(CTX_FILE, "settings"), settings, 0);
    if (!setting)
        return in_map(s, s->file, CTX_FILE, 0);
    struct doc *all = doc_map(s->m->arena, part_loc(s, 0, s->n));
    struct doc *one = nest(s, 0, s->n, in_setting(s, setting, s->n));
    doc_add(s->m->arena, all, "settings", part_loc(s, 0, s->n), one);
    return one ? all : NULL;
}

static struct doc *set_one(struct model *m, struct doc *file, const char *text)
{
    const uint32_t source = diag_file(m->diags, "--set", text, strlen(text));
    const char *equals = strchr(text, '=');
    struct set s = {m, file, source, text, equals ? (uint32_t)(equals - text) : 0, NULL};
    const unsigned errors = diag_errors(m->diags);
    if (s.n == 0 || !equals[1]) {
        diag(m->diags, E0804, part_loc(&s, 0, s.n), "`--set` takes PATH=VALUE");
        diag_hint(m->diags, "for example `lambda=0.3` or `data.all.source=digits`");
        return file;
    }
    s.value = read_value(&s, text);
    struct doc *over = s.value ? override_of(&s) : NULL;
    if (!over)
        return file;
    schema_check_part(m->arena, m->diags, over);
    over = merge_normal(m->arena, m->diags, over);
    return diag_errors(m->diags) > errors ? file : merge_over(m, file, over);
}

struct doc *set_apply(struct model *m, struct doc *file)
{
    for (uint32_t i = 0; i < m->options.nset; i++)
        file = set_one(m, file, m->options.set[i]);
    return file;
}
