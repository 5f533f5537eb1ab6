/*
 * Printing: indices as sums like 512*n0 + (e3/16)%4 + 2, extents like 3+2B.  Every kernel
 * is printed for its key, so that the printer has numbers of its own.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codegen/loop/text.h"

const char *const text_dtypes[3] = {"f32", "i32", "bool"};
const char *const text_orders[3] = {"seq", "lanes", "chunk"};
const char *const text_uses[3] = {"read", "write", "inplace"};

/* Room for n more bytes and the NUL. */
static char *room(struct out *o, size_t n)
{
    const uint32_t need = o->n + (uint32_t)n + 1;
    if (need > o->cap)
        o->text = arena_grow(o->a, o->text, &o->cap, need, 1);
    return o->text + o->n;
}

static void out_bytes(struct out *o, const char *s, size_t n)
{
    memcpy(room(o, n), s, n);
    o->n += (uint32_t)n;
}

static void out_number(struct out *o, bool sign, bool negative, unsigned long long x)
{
    char digits[24], *at = digits + sizeof digits;
    do
        *--at = (char)('0' + x % 10);
    while (x /= 10);
    if (sign || negative)
        *--at = negative ? '-' : '+';
    out_bytes(o, at, (size_t)(digits + sizeof digits - at));
}

/* What one conversion prints; answers what follows it in the format. */
static const char *out_one(struct out *o, const char *f, va_list *ap)
{
    const bool sign = *f == '+';
    f += sign;
    if (*f == 's') {
        const char *s = va_arg(*ap, const char *);
        out_bytes(o, s, strlen(s));
    } else if (*f == 'd') {
        const long long x = va_arg(*ap, int);
        out_number(o, sign, x < 0, (unsigned long long)(x < 0 ? -x : x));
    } else if (*f == 'u') {
        out_number(o, sign, false, va_arg(*ap, unsigned));
    } else if (strncmp(f, "llu", 3) == 0) {
        out_number(o, sign, false, va_arg(*ap, unsigned long long));
        f += 2;
    } else if (strncmp(f, ".17g", 4) == 0) {
        o->n += (uint32_t)snprintf(room(o, 32), 32, "%.17g", va_arg(*ap, double));
        f += 3;
    } else {
        const char c = *f == 'c' ? (char)va_arg(*ap, int) : *f;
        out_bytes(o, &c, 1);
    }
    return f + 1;
}

void out_fmt(struct out *o, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    while (*fmt) {
        const size_t n = strcspn(fmt, "%");
        out_bytes(o, fmt, n);
        fmt += n;
        if (*fmt)
            fmt = out_one(o, fmt + 1, &ap);
    }
    va_end(ap);
    *room(o, 0) = '\0';
}

void out_ext(struct out *o, struct ext e)
{
    if (e.b == 0)
        out_fmt(o, "%d", e.c);
    else if (e.c == 0)
        out_fmt(o, "%dB", e.b);
    else
        out_fmt(o, "%d%+dB", e.c, e.b);
}

static void out_digit(struct out *o, const struct term *t, axis_name_fn *name,
                      const void *cx)
{
    char s[16];
    name(cx, t->axis, s);
    out_fmt(o, "%s", s);
    if (t->div != 1)
        out_fmt(o, "/%d", t->div);
    if (t->mod)
        out_fmt(o, "%%%d", t->mod);
}

void out_index(struct out *o, const struct index *x, axis_name_fn *name, const void *cx)
{
    const char *plus = "";
    for (unsigned i = 0; i < x->n; i++) {
        out_fmt(o, "%s", plus);
        if (!ext_eq(x->t[i].coef, ext_const(1))) {
            out_ext(o, x->t[i].coef);
            out_fmt(o, "*");
        }
        out_digit(o, &x->t[i], name, cx);
        plus = " + ";
    }
    if (x->scalar) {
        out_fmt(o, "%s", plus);
        out_ext(o, x->scoef);
        out_fmt(o, "*$%u", x->scalar - 1U);
        plus = " + ";
    }
    if (x->off.c || x->off.b || !*plus) {
        out_fmt(o, "%s", plus);
        out_ext(o, x->off);
    }
}

void out_guards(struct out *o, const struct guard *g, unsigned n, axis_name_fn *name,
                const void *cx)
{
    for (unsigned i = 0; i < n; i++) {
        out_fmt(o, " when 0 <= ");
        out_index(o, &g[i].index, name, cx);
        out_fmt(o, " < ");
        out_ext(o, g[i].bound);
    }
}

void out_pick(struct out *o, const struct pick *p)
{
    if (!p->from)
        return;
    out_fmt(o, " pick ");
    out_ext(o, p->coef);
    out_fmt(o, "*%%%u < ", p->from - 1U);
    out_ext(o, p->bound);
}

void out_quoted(struct out *o, const char *s)
{
    out_fmt(o, "\"");
    for (; s && *s; s++) {
        if (*s == '"' || *s == '\\')
            out_fmt(o, "\\%c", *s);
        else if ((unsigned char)*s < ' ')
            out_fmt(o, " ");
        else
            out_fmt(o, "%c", *s);
    }
    out_fmt(o, "\"");
}

void out_bufs(struct out *o, const struct kbuf *b, uint32_t n, uint32_t nprivate)
{
    for (uint32_t i = 0; i < n; i++) {
        out_fmt(o, "  buf #%u %s[", i, text_dtypes[b[i].dtype]);
        for (unsigned d = 0; d < b[i].rank; d++) {
            if (d)
                out_fmt(o, ", ");
            out_ext(o, b[i].dim[d]);
            if (d == 0 && b[i].div > 1)
                out_fmt(o, "/%d", b[i].div);
        }
        out_fmt(o, "] %s %s%s", i + nprivate >= n ? "private" : text_uses[b[i].use],
                b[i].watched ? "watched " : "", b[i].far ? "far " : "");
        out_quoted(o, b[i].name);
        out_fmt(o, "\n");
    }
}

void out_sx(struct out *o, const struct sxb *b, sx_id e)
{
    out_fmt(o, "%s", sx_print(b, e, o->a, NULL, NULL));
}
