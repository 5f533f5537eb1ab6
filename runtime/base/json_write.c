#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/json.h"

void json_init(struct json_writer *w)
{
    *w = (struct json_writer){.first = 1};
}

void json_fini(struct json_writer *w)
{
    hyp_free(w->text);
    *w = (struct json_writer){.first = 1};
}

static void put(struct json_writer *w, const char *s, size_t n)
{
    if (w->failed)
        return;
    if (w->n + n + 1 > w->cap) {
        const size_t cap = (w->n + n + 1) * 2 < 256 ? 256 : (w->n + n + 1) * 2;
        char *text = hyp_realloc(w->text, cap);
        if (!text) {
            hyp_free(w->text);
            w->text = NULL;
            w->failed = true;
            return;
        }
        w->text = text;
        w->cap = cap;
    }
    memcpy(w->text + w->n, s, n);
    w->n += n;
    w->text[w->n] = '\0';
}

/* Before every value and every key: the comma, and the bookkeeping of what may stand here.
 */
static void separate(struct json_writer *w, bool key)
{
    const uint64_t bit = (uint64_t)1 << w->depth;
    const bool in_object = (w->object & bit) != 0;
    assert(key ? in_object && !w->after_key : w->after_key == in_object);
    (void)in_object;
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (!(w->first & bit))
        put(w, w->depth ? "," : "\n", 1); /* at the top: one value a line */
    w->first &= ~bit;
    if (key)
        w->after_key = true;
}

void json_open(struct json_writer *w, char bracket)
{
    assert((bracket == '{' || bracket == '[') && w->depth < 63);
    separate(w, false);
    put(w, &bracket, 1);
    w->depth++;
    const uint64_t bit = (uint64_t)1 << w->depth;
    w->first |= bit;
    w->object = bracket == '{' ? w->object | bit : w->object & ~bit;
}

void json_close(struct json_writer *w)
{
    assert(w->depth > 0 && !w->after_key);
    put(w, w->object >> w->depth & 1 ? "}" : "]", 1);
    w->depth--;
}

static void put_quoted(struct json_writer *w, const char *s)
{
    put(w, "\"", 1);
    for (; *s; s++) {
        const unsigned char c = (unsigned char)*s;
        char esc[8];
        if (c == '"' || c == '\\')
            put(w, esc, (size_t)snprintf(esc, sizeof esc, "\\%c", c));
        else if (c == '\n')
            put(w, "\\n", 2);
        else if (c < 0x20)
            put(w, esc, (size_t)snprintf(esc, sizeof esc, "\\u%04x", c));
        else
            put(w, s, 1);
    }
    put(w, "\"", 1);
}

void json_key(struct json_writer *w, const char *key)
{
    separate(w, true);
    put_quoted(w, key);
    put(w, ":", 1);
}

void json_string(struct json_writer *w, const char *s)
{
    separate(w, false);
    put_quoted(w, s);
}

void json_number(struct json_writer *w, double x)
{
    char text[32];
    separate(w, false);
    put(w, text, (size_t)json_format_double(text, x));
}

void json_float(struct json_writer *w, float x)
{
    char text[32];
    separate(w, false);
    put(w, text, (size_t)json_format_float(text, x));
}

void json_int(struct json_writer *w, int64_t x)
{
    char text[32];
    separate(w, false);
    put(w, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)x));
}

void json_bool(struct json_writer *w, bool x)
{
    separate(w, false);
    put(w, x ? "true" : "false", x ? 4 : 5);
}

void json_null(struct json_writer *w)
{
    separate(w, false);
    put(w, "null", 4);
}

/*
 * Lay out digits d1 d2 ... dn of value 0.d1d2...dn * 10^point, as ECMAScript does: plain
 * while that is readable, else d.ddde±x.  At most 1 + 7 + 17 or 1 + 21 characters.
 */
static int lay_out(char out[32], bool negative, const char *digit, int n, int point)
{
    char *p = out;
    if (negative)
        *p++ = '-';
    if (point > 21 || point < -5) {
        *p++ = digit[0];
        if (n > 1)
            *p++ = '.';
        memcpy(p, digit + 1, (size_t)(n - 1));
        p += n - 1;
        p += snprintf(p, 8, "e%d", point - 1);
    } else if (point <= 0) {
        p += snprintf(p, 10, "0.%.*s", -point, "00000");
        memcpy(p, digit, (size_t)n);
        p += n;
    } else {
        for (int i = 0; i < n || i < point; i++) {
            if (i == point)
                *p++ = '.';
            *p++ = i < n ? digit[i] : '0';
        }
    }
    *p = '\0';
    return (int)(p - out);
}

static bool reads_back(const char *text, double x, bool as_float)
{
    return as_float ? strtof(text, NULL) == (float)x : strtod(text, NULL) == x;
}

static int format(char out[32], double x, bool as_float)
{
    char text[40], digit[20];
    if (!isfinite(x))
        return snprintf(out, 32, "null");
    if (x == 0)
        return snprintf(out, 32, signbit(x) ? "-0" : "0");
    for (int precision = 0; precision < (as_float ? 9 : 17); precision++) {
        snprintf(text, sizeof text, "%.*e", precision, fabs(x));
        if (reads_back(text, fabs(x), as_float))
            break;
    }
    int n = 0;
    const char *s = text;
    for (; *s != 'e'; s++)
        if (*s >= '0' && *s <= '9')
            digit[n++] = *s;
    return lay_out(out, x < 0, digit, n, (int)strtol(s + 1, NULL, 10) + 1);
}

int json_format_double(char out[32], double x)
{
    return format(out, x, false);
}

int json_format_float(char out[32], float x)
{
    return format(out, (double)x, true);
}
