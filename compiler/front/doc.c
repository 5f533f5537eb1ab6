/*
 * The document tree: places inside texts, lookup, building.  Reading is doc_read.c,
 * printing doc_print.c.
 *
 * Small mappings are searched in order; from INDEX_FROM entries on a mapping carries an
 * open hash of its keys, so that files made to be slow are not.
 */
#include "compiler/front/doc.h"

#include <string.h>

#include "runtime/base/arena.h"

enum { INDEX_FROM = 16 };

static bool continues(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80; /* inside a code point */
}

static uint32_t code_points(const char *s, uint32_t from, uint32_t to)
{
    uint32_t n = 0;
    for (uint32_t i = from; i < to; i++)
        n += !continues(s[i]);
    return n;
}

struct loc doc_at(const struct doc_text *t, uint32_t offset, uint32_t len)
{
    uint32_t lo = 0, hi = t->nmark;
    if (t->nmark == 0)
        return (struct loc){t->file, 0, 0, 0};
    while (hi - lo > 1) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (t->mark[mid].offset <= offset)
            lo = mid;
        else
            hi = mid;
    }
    const struct doc_mark *m = &t->mark[lo];
    const uint32_t at = offset < t->n ? offset : t->n;
    uint32_t end = at + len < t->n ? at + len : t->n;
    if (hi < t->nmark && end > t->mark[hi].offset)
        end = t->mark[hi].offset;
    return (struct loc){t->file, m->line, m->col + code_points(t->text, m->offset, at),
                        code_points(t->text, at, end)};
}

static uint32_t hash(const char *s, uint32_t n)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (uint32_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 16777619u;
    return h ^ (h >> 15);
}

static bool same_key(const struct doc_entry *e, const char *key, uint32_t n)
{
    return e->key.text && e->key.n == n && strncmp(e->key.text, key, n) == 0;
}

/* The slot of `key`: of its first entry, or the empty one where it belongs. */
static uint32_t *slot_of(const struct doc *d, const char *key, uint32_t n)
{
    uint32_t i = hash(key, n) & (d->nslot - 1);
    while (d->slot[i] && !same_key(&d->entry[d->slot[i] - 1], key, n))
        i = (i + 1) & (d->nslot - 1);
    return &d->slot[i];
}

static void index_entry(struct doc *d, uint32_t i)
{
    uint32_t *slot = slot_of(d, d->entry[i].key.text, d->entry[i].key.n);
    if (!*slot)
        *slot = i + 1;
}

static void keep_index(struct arena *a, struct doc *d)
{
    if (d->kind != DOC_MAP || d->n < INDEX_FROM)
        return;
    if (d->n * 2 <= d->nslot) {
        index_entry(d, d->n - 1);
        return;
    }
    d->nslot = d->nslot ? d->nslot * 4 : INDEX_FROM * 4;
    d->slot = arena_array(a, d->nslot, sizeof *d->slot);
    for (uint32_t i = 0; i < d->n; i++)
        index_entry(d, i);
}

struct doc_entry *doc_find(const struct doc *map, const char *key)
{
    const uint32_t n = (uint32_t)strlen(key);
    if (!map || map->kind != DOC_MAP)
        return NULL;
    if (map->nslot) {
        const uint32_t at = *slot_of(map, key, n);
        return at ? &map->entry[at - 1] : NULL;
    }
    for (uint32_t i = 0; i < map->n; i++)
        if (same_key(&map->entry[i], key, n))
            return &map->entry[i];
    return NULL;
}

struct doc *doc_get(const struct doc *map, const char *key)
{
    const struct doc_entry *e = doc_find(map, key);
    return e ? e->value : NULL;
}

static struct doc_text text_at(struct arena *a, struct loc loc, const char *text)
{
    struct doc_text t = {arena_str(a, text), (uint32_t)strlen(text), NULL, 1, loc.file};
    t.mark = arena_alloc(a, sizeof *t.mark);
    t.mark[0] = (struct doc_mark){0, loc.line, loc.col};
    return t;
}

static struct doc *doc_new(struct arena *a, enum doc_kind kind, struct loc loc)
{
    struct doc *d = arena_alloc(a, sizeof *d);
    d->kind = (uint8_t)kind;
    d->loc = loc;
    return d;
}

struct doc *doc_scalar(struct arena *a, struct loc loc, const char *text)
{
    struct doc *d = doc_new(a, DOC_SCALAR, loc);
    d->text = text_at(a, loc, text);
    return d;
}

struct doc *doc_map(struct arena *a, struct loc loc)
{
    return doc_new(a, DOC_MAP, loc);
}

struct doc *doc_list(struct arena *a, struct loc loc)
{
    return doc_new(a, DOC_LIST, loc);
}

void doc_push(struct arena *a, struct doc *to, struct doc_entry entry)
{
    to->entry = arena_grow(a, to->entry, &to->cap, to->n + 1, sizeof *to->entry);
    to->entry[to->n++] = entry;
    keep_index(a, to);
}

void doc_add(struct arena *a, struct doc *to, const char *key, struct loc loc,
             struct doc *value)
{
    struct doc_entry e = {{0}, loc, value};
    if (key)
        e.key = text_at(a, loc, key);
    doc_push(a, to, e);
}

bool doc_is_none(const struct doc *d)
{
    return d->kind == DOC_SCALAR && strcmp(d->text.text, "none") == 0;
}

bool doc_equal(const struct doc *a, const struct doc *b)
{
    if (!a || !b || a->kind != b->kind)
        return a == b;
    if (a->kind == DOC_SCALAR)
        return a->text.n == b->text.n && memcmp(a->text.text, b->text.text, a->text.n) == 0;
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++) {
        const struct doc_entry *x = &a->entry[i], *y = &b->entry[i];
        if (a->kind == DOC_MAP &&
            (x->key.n != y->key.n || memcmp(x->key.text, y->key.text, x->key.n) != 0))
            return false;
        if (!doc_equal(x->value, y->value))
            return false;
    }
    return true;
}
