/*
 * Documents as YAML: block style with values in one column; what was written inside { } or
 * [ ] stays there if it fits on a line.  Texts are plain where YAML and our own rules leave
 * them alone, else in quotes.
 */
#include <string.h>

#include "compiler/front/doc.h"
#include "compiler/front/text.h"
#include "runtime/base/arena.h"

enum { STEP = 2, WIDEST_KEY = 24, WIDEST_LINE = 110, WIDEST_FLOW = 88 };

static bool plain_start(const char *s)
{
    if (strchr("-?:", s[0]))
        return s[1] != 0 && s[1] != ' ';
    return !strchr(",[]{}#&*!|>'\"%@`", s[0]);
}

/* Would this text come back as it is without quotes? */
static bool is_plain(const struct doc_text *t, bool flow)
{
    if (t->n == 0 || t->text[0] == ' ' || t->text[t->n - 1] == ' ' ||
        t->text[t->n - 1] == ':' || !plain_start(t->text))
        return false;
    if (strncmp(t->text, "---", 3) == 0 || strncmp(t->text, "...", 3) == 0)
        return false;
    for (uint32_t i = 0; i < t->n; i++) {
        const char c = t->text[i], before = i ? t->text[i - 1] : ' ';
        if (c == '\n' || c == '\t' || (c == ' ' && before == ':') ||
            (c == '#' && before == ' '))
            return false;
        if (flow && strchr(",[]{}:?", c))
            return false;
    }
    return true;
}

static void print_double(struct text *out, const struct doc_text *t)
{
    text_put(out, "\"");
    for (uint32_t i = 0; i < t->n; i++) {
        const char c = t->text[i];
        if (c == '\n' || c == '\t')
            text_put(out, c == '\n' ? "\\n" : "\\t");
        else if (c == '"' || c == '\\')
            text_fmt(out, "\\%c", c);
        else if ((unsigned char)c < 0x20)
            text_fmt(out, "\\x%02x", (unsigned)c);
        else if ((unsigned char)c == 0xC2 && (unsigned char)t->text[i + 1] < 0xA0)
            text_fmt(out, "\\x%02x",
                     (unsigned char)t->text[++i]); /* C1: NEL and its like */
        else if (strncmp(t->text + i, "\xE2\x80\xA8", 3) == 0 ||
                 strncmp(t->text + i, "\xE2\x80\xA9", 3) == 0)
            text_put(out, (unsigned char)t->text[i += 2] == 0xA8 ? "\\L" : "\\P");
        else if (strncmp(t->text + i, "\xEF\xBB\xBF", 3) == 0 ||
                 strncmp(t->text + i, "\xEF\xBF\xBE", 3) == 0 ||
                 strncmp(t->text + i, "\xEF\xBF\xBF", 3) == 0)
            text_put(out,
                     (unsigned char)t->text[i += 2] == 0xBF
                         ? ((unsigned char)t->text[i - 1] == 0xBB ? "\\uFEFF" : "\\uFFFF")
                         : "\\uFFFE");
        else if ((unsigned char)c == 0x7F)
            text_put(out, "\\x7f");
        else
            text_putn(out, &c, 1);
    }
    text_put(out, "\"");
}

static bool needs_double(const struct doc_text *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        const unsigned char c = (unsigned char)t->text[i];
        const unsigned char d = i + 1 < t->n ? (unsigned char)t->text[i + 1] : 0;
        if (c < 0x20 || c == 0x7F || (c == 0xC2 && d < 0xA0) || (c == 0xE2 && d == 0x80) ||
            (c == 0xEF && d >= 0xBB))
            return true;
    }
    return false;
}

static void print_text(struct text *out, const struct doc_text *t, bool flow)
{
    if (needs_double(t)) {
        print_double(out, t);
    } else if (is_plain(t, flow)) {
        text_putn(out, t->text, t->n);
    } else {
        text_put(out, "'");
        for (uint32_t i = 0; i < t->n; i++)
            text_putn(out, t->text[i] == '\'' ? "''" : &t->text[i],
                      t->text[i] == '\'' ? 2 : 1);
        text_put(out, "'");
    }
}

/* A text of several lines that `|` can hold: no blanks at its start, no other control
 * characters. */
static bool is_literal(const struct doc_text *t)
{
    struct doc_text line = *t;
    if (!memchr(t->text, '\n', t->n) || strchr(" \n\t", t->text[0]))
        return false;
    for (uint32_t i = 0, from = 0; i <= t->n; i++) {
        if (i < t->n && t->text[i] != '\n')
            continue;
        line.text = t->text + from;
        line.n = i - from;
        if (needs_double(&line) || (line.n && line.text[line.n - 1] == ' '))
            return false;
        from = i + 1;
    }
    return true;
}

static void print_literal(struct text *out, const struct doc_text *t, uint32_t indent)
{
    const bool ends = t->text[t->n - 1] == '\n';
    const bool more = ends && t->n > 1 && t->text[t->n - 2] == '\n';
    text_put(out, more ? "|+" : ends ? "|" : "|-");
    const char *s = t->text, *stop = t->text + t->n;
    while (s < stop) {
        const char *nl = memchr(s, '\n', (size_t)(stop - s));
        const char *end = nl ? nl : stop;
        text_put(out, "\n");
        if (end > s)
            text_fill(out, ' ', indent);
        text_putn(out, s, (uint32_t)(end - s));
        s = end + 1;
    }
}

static void print_flow(struct text *out, const struct doc *d)
{
    if (d->kind == DOC_SCALAR) {
        print_text(out, &d->text, true);
        return;
    }
    text_put(out, d->kind == DOC_MAP ? "{" : "[");
    for (uint32_t i = 0; i < d->n; i++) {
        text_put(out, i ? ", " : "");
        if (d->kind == DOC_MAP) {
            print_text(out, &d->entry[i].key, true);
            text_put(out, ": ");
        }
        print_flow(out, d->entry[i].value);
    }
    text_put(out, d->kind == DOC_MAP ? "}" : "]");
}

static uint32_t columns(const char *s, uint32_t n)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < n; i++)
        k += ((unsigned char)s[i] & 0xC0) != 0x80;
    return k;
}

/* The flow form, if this value is to be written in it. */
static const char *flow_form(const struct doc *d, struct arena *a, uint32_t indent)
{
    struct text t = {.arena = a};
    if (d->kind == DOC_SCALAR || (d->n > 0 && !d->flow) || d->n > WIDEST_LINE)
        return NULL;
    print_flow(&t, d);
    return d->n == 0 || (t.n <= WIDEST_FLOW && indent + t.n <= WIDEST_LINE) ? t.s : NULL;
}

static const char *key_form(const struct doc_entry *e, struct arena *a)
{
    struct text t = {.arena = a};
    print_text(&t, &e->key, false);
    return t.s;
}

static bool is_block(const struct doc *d)
{
    return d->kind != DOC_SCALAR && d->n > 0 && !d->flow;
}

/* Not a block of its own lines, if values begin in `column`. */
static bool is_beside(const struct doc *v, struct arena *a, uint32_t indent,
                      uint32_t column)
{
    return v->kind == DOC_SCALAR || v->n == 0 || flow_form(v, a, indent + column);
}

static uint32_t widest_key(const struct doc *d, struct arena *a, uint32_t indent,
                           uint32_t column)
{
    uint32_t widest = 0;
    for (uint32_t i = 0; d->kind == DOC_MAP && i < d->n; i++) {
        const char *key = key_form(&d->entry[i], a);
        const uint32_t n = columns(key, (uint32_t)strlen(key));
        if (n <= WIDEST_KEY && n > widest &&
            is_beside(d->entry[i].value, a, indent, column))
            widest = n;
    }
    return widest + 2;
}

/*
 * The column, counted from the key, in which the values of a mapping begin: by the keys of
 * those values that fit beside them there, so that what is read back is printed alike.
 */
static uint32_t column_of(const struct doc *d, struct arena *a, uint32_t indent)
{
    uint32_t column = WIDEST_KEY + 2, next = widest_key(d, a, indent, 0);
    while (next < column) {
        column = next;
        next = widest_key(d, a, indent, column);
    }
    return column;
}

/* The steps of an `update` line up like one mapping. */
static uint32_t column_of_items(const struct doc *list, struct arena *a, uint32_t indent)
{
    uint32_t widest = 0;
    for (uint32_t i = 0; i < list->n; i++) {
        const struct doc *item = list->entry[i].value;
        const uint32_t n = is_block(item) ? column_of(item, a, indent + STEP) : 0;
        widest = n > widest ? n : widest;
    }
    return widest;
}

static void print_block(struct text *out, const struct doc *d, uint32_t indent,
                        uint32_t column);

static void print_value(struct text *out, const struct doc *d, uint32_t indent)
{
    const char *flow = flow_form(d, out->arena, indent);
    if (flow)
        text_put(out, flow);
    else if (d->kind == DOC_SCALAR && is_literal(&d->text))
        print_literal(out, &d->text, indent);
    else if (d->kind == DOC_SCALAR)
        print_text(out, &d->text, false);
    else
        print_block(out, d, indent, 0);
}

static void print_entry(struct text *out, const struct doc_entry *e, uint32_t indent,
                        uint32_t column)
{
    const char *key = key_form(e, out->arena);
    const uint32_t n = columns(key, (uint32_t)strlen(key));
    const struct doc *v = e->value;
    text_put(out, key);
    text_put(out, ":");
    if (!is_beside(v, out->arena, indent, column)) {
        text_put(out, "\n");
        text_fill(out, ' ', indent + STEP);
        print_block(out, v, indent + STEP, 0);
        return;
    }
    text_fill(out, ' ', n + 1 < column ? column - n - 1 : 1);
    print_value(out, v, indent + STEP);
}

/* The first line stands where the caller is; `column` 0: this mapping finds its own. */
static void print_block(struct text *out, const struct doc *d, uint32_t indent,
                        uint32_t column)
{
    const uint32_t at = column ? column : column_of(d, out->arena, indent);
    const uint32_t items = d->kind == DOC_LIST ? column_of_items(d, out->arena, indent) : 0;
    for (uint32_t i = 0; i < d->n; i++) {
        const struct doc *v = d->entry[i].value;
        if (i) {
            text_put(out, "\n");
            text_fill(out, ' ', indent);
        }
        if (d->kind == DOC_MAP) {
            print_entry(out, &d->entry[i], indent, at);
            continue;
        }
        text_put(out, "- ");
        if (v->kind == DOC_MAP && is_block(v))
            print_block(out, v, indent + STEP, items);
        else
            print_value(out, v, indent + STEP);
    }
}

char *doc_print(const struct doc *d, struct arena *a)
{
    struct text out = {.arena = a};
    print_value(&out, d, d->kind == DOC_SCALAR ? STEP : 0);
    text_put(&out, "\n");
    return out.s;
}
