/*
 * Plots as SVG: lines, scattered points, bars.  One look for all: a white page, few grid
 * lines, colours that the colour-blind can tell apart.
 *
 * What cannot be shown (not finite; not above 0 on a logarithmic axis) is left out and
 * breaks a line.  A plot without a point says "no data".  The text depends on the numbers
 * alone.
 */
#ifndef HYP_RUNTIME_PLOT_H
#define HYP_RUNTIME_PLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/status.h"

enum plot_kind {
    PLOT_LINES,   /* series joined in the order of their points; more than fits the width is
                     shown by its least and greatest values */
    PLOT_SCATTER, /* a dot a point; dots on the same place are one */
    PLOT_BARS,    /* one bar a series, its length the series' y[0], from 0 */
};

struct plot_series {
    const char *name; /* in the legend, where there are several; of a bar: its label */
    const double *x;  /* NULL: 0, 1, 2 ... */
    const double *y;
    size_t n;
    bool open;       /* dots as rings */
    unsigned colour; /* 1 + number of its colour; 0: the series' own number */
};

struct plot {
    enum plot_kind kind;
    const char *title, *x_label, *y_label; /* each may be NULL */
    bool log_x, log_y;
    bool diagonal; /* y = x as a dashed line; both axes then have the same range */
    unsigned nseries;
    const struct plot_series *series;
};

/* The SVG's text, NUL-terminated, owned by the caller (hyp_free). */
enum hyp_status plot_svg(const struct plot *p, char **text, size_t *n,
                         struct hyp_error *err);
/* Atomically into a file. */
enum hyp_status plot_write(const char *path, const struct plot *p, struct hyp_error *err);

#endif
