/* Inside of plot.c and its parts: the growing text, and one axis. */
#ifndef HYP_RUNTIME_PLOT_IMPL_H
#define HYP_RUNTIME_PLOT_IMPL_H

#include <stdbool.h>
#include <stddef.h>

struct svg {
    char *text;
    size_t n, cap;
    bool failed; /* out of memory */
};
void svg_add(struct svg *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void svg_words(struct svg *s, const char *words); /* escaped */
/* `anchor`: start, middle or end; `style` is further attributes.  Escapes the words. */
void svg_text(struct svg *s, double x, double y, const char *anchor, const char *style,
              const char *words);
/* About how wide the words are at 12 px. */
double svg_width(const char *words);

enum { AXIS_MAX_TICKS = 24, AXIS_LABEL = 24 };

/* A range of values on a stretch of the page. */
struct axis {
    bool log, empty;
    double low, high; /* of values; of their decimal logarithms where log */
    double from, to;  /* page coordinates of low and high */
    unsigned ntick;
    double tick[AXIS_MAX_TICKS]; /* values */
    char label[AXIS_MAX_TICKS][AXIS_LABEL];
};

bool axis_shows(const struct axis *a,
                double v);                 /* finite (below 1e300); above 0 where log */
void axis_cover(struct axis *a, double v); /* widen the range */
/* Choose ticks, about `want` of them, and widen the range to whole ones. */
void axis_finish(struct axis *a, unsigned want, bool zero);
double axis_place(const struct axis *a, double v);

#endif
