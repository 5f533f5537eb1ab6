/* Printing: indices as sums like 512*n0 + (e3/16)%4 + 2, extents like 3+2B. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codegen/loop/text.h"

const char *const text_dtypes[3] = {"f32", "i32", "bool"};
const char *const text_orders[3] = {"seq", "lanes", "chunk"};
const char *const text_uses[3] = {"read", "write", "inplace"};

void out_fmt(struct out *o, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = arena_vfmt(o->a, fmt, ap);
    va_end(ap);
    uint32_t n = (uint32_t)strlen(s);
    o->text = arena_grow(o->a, o->text, &o->cap, o->n + n + 1, 1);
    memcpy(o->text + o->n, s, n + 1);
    o->n += n;
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
        out_fmt(o, "] %s %s", i + nprivate >= n ? "private" : text_uses[b[i].use],
                b[i].watched ? "watched " : "");
        out_quoted(o, b[i].name);
        out_fmt(o, "\n");
    }
}

void out_sx(struct out *o, const struct sxb *b, sx_id e)
{
    out_fmt(o, "%s", sx_print(b, e, o->a, NULL, NULL));
}
