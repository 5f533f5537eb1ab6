/* A growing text in an arena. */
#include "compiler/front/text.h"

#include <stdarg.h>
#include <string.h>

#include "runtime/base/arena.h"

void text_putn(struct text *t, const char *s, uint32_t n)
{
    t->s = arena_grow(t->arena, t->s, &t->cap, t->n + n + 1, 1);
    memcpy(t->s + t->n, s, n);
    t->n += n;
    t->s[t->n] = 0;
}

void text_put(struct text *t, const char *s)
{
    text_putn(t, s, (uint32_t)strlen(s));
}

void text_fill(struct text *t, char c, uint32_t n)
{
    while (n-- > 0)
        text_putn(t, &c, 1);
}

void text_fmt(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    text_put(t, arena_vfmt(t->arena, fmt, ap));
    va_end(ap);
}
