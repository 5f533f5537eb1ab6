/* A growing text in an arena. */
#ifndef HYP_COMPILER_FRONT_TEXT_H
#define HYP_COMPILER_FRONT_TEXT_H

#include <stdint.h>

struct arena;

struct text { /* {.arena = a} begins an empty one */
    struct arena *arena;
    char *s; /* NUL-terminated once something was put */
    uint32_t n, cap;
};
void text_put(struct text *t, const char *s);
void text_putn(struct text *t, const char *s, uint32_t n);
void text_fill(struct text *t, char c, uint32_t n);
void text_fmt(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
