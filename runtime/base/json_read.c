/* A strict reader of RFC 8259: no comments, no trailing commas, no U+0000, finite numbers.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/arena.h"
#include "runtime/base/json.h"

enum { DEEPEST = 64 };

struct reader {
    struct arena *arena;
    const char *text;
    size_t n, at;
    unsigned depth;
};

static int peek(const struct reader *r)
{
    return r->at < r->n ? (unsigned char)r->text[r->at] : -1;
}

static void skip_space(struct reader *r)
{
    while (peek(r) == ' ' || peek(r) == '\t' || peek(r) == '\n' || peek(r) == '\r')
        r->at++;
}

static bool take(struct reader *r, const char *word)
{
    const size_t n = strlen(word);
    if (r->n - r->at < n || memcmp(r->text + r->at, word, n) != 0)
        return false;
    r->at += n;
    return true;
}

static bool read_hex4(struct reader *r, uint32_t *out)
{
    uint32_t x = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        const int c = peek(r);
        if (c >= '0' && c <= '9')
            x = x * 16 + (uint32_t)(c - '0');
        else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
            x = x * 16 + (uint32_t)((c | 32) - 'a' + 10);
        else
            return false;
    }
    *out = x;
    return true;
}

static char *encode(char *p, uint32_t c)
{
    if (c < 0x80) {
        *p++ = (char)c;
    } else if (c < 0x800) {
        *p++ = (char)(0xC0 | c >> 6);
        *p++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *p++ = (char)(0xE0 | c >> 12);
        *p++ = (char)(0x80 | (c >> 6 & 63));
        *p++ = (char)(0x80 | (c & 63));
    } else {
        *p++ = (char)(0xF0 | c >> 18);
        *p++ = (char)(0x80 | (c >> 12 & 63));
        *p++ = (char)(0x80 | (c >> 6 & 63));
        *p++ = (char)(0x80 | (c & 63));
    }
    return p;
}

static bool read_unicode(struct reader *r, char **p)
{
    uint32_t c, low;
    if (!read_hex4(r, &c) || c == 0 || (c >= 0xDC00 && c < 0xE000))
        return false;
    if (c >= 0xD800 && c < 0xDC00) {
        if (!take(r, "\\u") || !read_hex4(r, &low) || low < 0xDC00 || low >= 0xE000)
            return false;
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    *p = encode(*p, c);
    return true;
}

static bool read_escape(struct reader *r, char **p)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const int c = peek(r);
    r->at++;
    if (c == 'u')
        return read_unicode(r, p);
    const char *at = c > 0 ? strchr(from, c) : NULL;
    if (!at)
        return false;
    *(*p)++ = to[at - from];
    return true;
}

static const char *read_string(struct reader *r)
{
    if (!take(r, "\""))
        return NULL;
    size_t n =
        0; /* escapes only shrink, so the text up to the closing quote is room enough */
    while (r->at + n < r->n && r->text[r->at + n] != '"')
        n += r->text[r->at + n] == '\\' ? 2 : 1;
    char *out = arena_alloc(r->arena, n + 1), *p = out;
    for (;;) {
        const int c = peek(r);
        if (c < 0x20)
            return NULL;
        r->at++;
        if (c == '"')
            return out;
        if (c != '\\')
            *p++ = (char)c;
        else if (!read_escape(r, &p))
            return NULL;
    }
}

static bool skip_digits(struct reader *r)
{
    const size_t from = r->at;
    while (peek(r) >= '0' && peek(r) <= '9')
        r->at++;
    return r->at > from;
}

static bool read_number(struct reader *r, double *out)
{
    const size_t from = r->at;
    (void)take(r, "-");
    if (!take(r, "0") && !skip_digits(r))
        return false;
    if (take(r, ".") && !skip_digits(r))
        return false;
    if (take(r, "e") || take(r, "E")) {
        if (!take(r, "+"))
            (void)take(r, "-");
        if (!skip_digits(r))
            return false;
    }
    *out = strtod(arena_strn(r->arena, r->text + from, r->at - from), NULL);
    return isfinite(*out);
}

static struct json *read_value(struct reader *r);

static bool read_member(struct reader *r, bool object, struct json **out)
{
    const char *key = NULL;
    skip_space(r);
    if (object) {
        key = read_string(r);
        skip_space(r);
        if (!key || !take(r, ":"))
            return false;
    }
    *out = read_value(r);
    if (!*out)
        return false;
    (*out)->key = key;
    return true;
}

static bool read_members(struct reader *r, struct json *j, const char *close)
{
    struct json **tail = &j->child;
    const bool object = *close == '}';
    j->kind = object ? JSON_OBJECT : JSON_LIST;
    skip_space(r);
    if (take(r, close))
        return true;
    do {
        if (!read_member(r, object, tail))
            return false;
        tail = &(*tail)->next;
        j->n++;
        skip_space(r);
    } while (take(r, ","));
    return take(r, close);
}

static bool read_into(struct reader *r, struct json *j)
{
    if (take(r, "{"))
        return read_members(r, j, "}");
    if (take(r, "["))
        return read_members(r, j, "]");
    if (take(r, "null"))
        return true;
    if (peek(r) == '"') {
        j->kind = JSON_STRING;
        j->string = read_string(r);
        return j->string != NULL;
    }
    if (peek(r) == 't' || peek(r) == 'f') {
        j->kind = JSON_BOOL;
        j->number = peek(r) == 't';
        return take(r, "true") || take(r, "false");
    }
    j->kind = JSON_NUMBER;
    return read_number(r, &j->number);
}

static struct json *read_value(struct reader *r)
{
    struct json *j = arena_alloc(r->arena, sizeof *j);
    skip_space(r);
    if (r->depth == DEEPEST)
        return NULL;
    r->depth++;
    const bool ok = read_into(r, j);
    r->depth--;
    return ok ? j : NULL;
}

const struct json *json_parse(struct arena *a, const char *text, size_t n, size_t *where)
{
    struct reader r = {.arena = a, .text = text, .n = n};
    const struct json *j = read_value(&r);
    if (j)
        skip_space(&r);
    if (j && r.at == r.n)
        return j;
    if (where)
        *where = r.at < r.n ? r.at : r.n;
    return NULL;
}

const struct json *json_get(const struct json *object, const char *key)
{
    if (!object || object->kind != JSON_OBJECT)
        return NULL;
    for (const struct json *j = object->child; j; j = j->next)
        if (strcmp(j->key, key) == 0)
            return j;
    return NULL;
}
