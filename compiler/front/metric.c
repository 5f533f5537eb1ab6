/*
 * The table of metrics as the front end sees it: which there are, and which keys each kind
 * of probe takes.
 */
#include <string.h>

#include "compiler/front/probe.h"
#include "runtime/base/arena.h"

static const struct metric_row rows[] = {
#define METRIC(name, keys, model, doc)                                                     \
    {#name, "metric! " keys, model, "the metric `" #name "`", true},
#define METRIC_LATER(name) {#name, "", "", "", false},
#include "runtime/base/metric.def"
#undef METRIC
#undef METRIC_LATER
};
static const struct metric_row value_row = {"", "value!", "", "a probe of a value", true};
static const struct metric_row image_row = {"", "image! beside grid shape", "",
                                            "a probe of an image", true};
static const char common[] = "every from settings nodes over training";

bool mb_probe_word(const char *list, const char *word, bool *must)
{
    const size_t n = strlen(word);
    for (const char *s = list; *s; s += strspn(s, " ")) {
        const size_t len = strcspn(s, " !");
        const bool same = len == n && !memcmp(s, word, n);
        s += len;
        *must = *s == '!';
        s += *must;
        if (same)
            return true;
    }
    return false;
}

bool metric_takes(const struct metric_row *row, const char *key)
{
    bool must;
    return mb_probe_word(row->keys, key, &must);
}

const char *metric_model(const struct metric_row *row, const struct doc *probe,
                         struct arena *a)
{
    const size_t n = strcspn(row->model, " (");
    const char *open = strchr(row->model, '(');
    const char *key = open ? arena_strn(a, open + 1, strcspn(open + 1, ")")) : NULL;
    return n && (!key || doc_get(probe, key)) ? arena_strn(a, row->model, n) : NULL;
}

static const struct metric_row *find(struct mb *b, const struct doc *d)
{
    const char *names[ARRAY_LEN(rows)];
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        names[i] = rows[i].name;
        if (strcmp(rows[i].name, d->text.text) != 0)
            continue;
        if (rows[i].built)
            return &rows[i];
        diag(b->ds, E0001, d->loc, "the metric `%s` is not built yet", d->text.text);
        return NULL;
    }
    const char *near = diag_nearest(d->text.text, names, ARRAY_LEN(names));
    diag(b->ds, E0705, d->loc, "unknown kind of metric `%s`", d->text.text);
    if (near)
        diag_hint(b->ds, "did you mean `%s`?", near);
    return NULL;
}

bool mb_probe_takes(const struct doc *probe, const char *key)
{
    const struct doc *metric = doc_get(probe, "metric");
    const struct metric_row *row = doc_get(probe, "value")   ? &value_row
                                   : doc_get(probe, "image") ? &image_row
                                                             : NULL;
    bool must;
    for (unsigned i = 0;
         !row && metric && metric->kind == DOC_SCALAR && i < ARRAY_LEN(rows); i++)
        if (rows[i].built && !strcmp(rows[i].name, metric->text.text))
            row = &rows[i];
    return !row || mb_probe_word(row->keys, key, &must) ||
           mb_probe_word(common, key, &must);
}

/* "`of`, `labels`" of "of! labels!" */
static char *listed(struct arena *a, const char *keys)
{
    char *out = arena_str(a, "");
    for (const char *s = keys; *s; s += strspn(s, " !")) {
        const size_t n = strcspn(s, " !");
        out = arena_fmt(a, "%s%s`%.*s`", out, *out ? ", " : "", (int)n, s);
        s += n;
    }
    return out;
}

static void unknown_keys(struct mb *b, const struct doc *d, const struct metric_row *row)
{
    for (uint32_t i = 0; i < d->n; i++) {
        const struct doc_entry *e = &d->entry[i];
        if (mb_probe_takes(d, e->key.text))
            continue;
        diag(b->ds, E0201, e->loc, "unknown key `%s` in %s", e->key.text, row->title);
        diag_hint(b->ds, "it takes %s", listed(b->a, row->keys));
    }
}

static bool missing_key(struct mb *b, const struct doc_entry *e,
                        const struct metric_row *row)
{
    bool must;
    for (const char *s = row->keys; *s; s += strspn(s, " !")) {
        const size_t n = strcspn(s, " !");
        const char *key = arena_strn(b->a, s, n);
        s += n;
        if (!mb_probe_word(row->keys, key, &must) || !must || doc_get(e->value, key))
            continue;
        diag(b->ds, E0202, e->loc, "key `%s` is missing in `%s`", key, row->name);
        diag_hint(b->ds, !strcmp(key, "of")       ? "`of: z.wake`: what is measured"
                         : !strcmp(key, "labels") ? "`labels: digits.label`: the classes"
                                                  : "`against: digits.image`: what `of` "
                                                    "is compared with");
        return true;
    }
    return false;
}

const struct metric_row *mb_probe_row(struct mb *b, const struct doc_entry *e)
{
    const struct doc *d = e->value, *metric = doc_get(d, "metric");
    const struct metric_row *row = doc_get(d, "value")   ? &value_row
                                   : doc_get(d, "image") ? &image_row
                                                         : NULL;
    if (!row && (metric->kind != DOC_SCALAR || metric->bad))
        return NULL;
    row = row ? row : find(b, metric);
    if (!row)
        return NULL;
    unknown_keys(b, d, row);
    return missing_key(b, e, row) ? NULL : row;
}
