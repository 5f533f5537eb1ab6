/* Plots: layout, series and legend.  Axes and text are in plot_axis.c. */
#include "runtime/plot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/plot_impl.h"

/* Okabe and Ito's colours, without the yellow that a white page swallows. */
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                      "#e69f00", "#56b4e9", "#6b6b6b", "#000000"};
enum { NCOLOUR = sizeof colours / sizeof *colours };

enum { WIDTH = 720, HEIGHT = 440, SQUARE = 520, BAR = 26, BAR_GAP = 12 };

#define QUIET "fill=\"#555\" font-size=\"12\""
#define TITLE "fill=\"#111\" font-size=\"16\" font-weight=\"600\""

struct page {
    const struct plot *plot;
    struct svg svg;
    double width, height;
    double left, right, top, bottom; /* of the field that axes enclose */
    struct axis x, y;
};

static const char *colour(const struct page *g, unsigned series)
{
    const unsigned own = g->plot->series[series].colour;
    return colours[(own ? own - 1 : series) % NCOLOUR];
}

static double x_of(const struct plot_series *s, size_t i)
{
    return s->x ? s->x[i] : (double)i;
}

/* ---- frame ---- */

static void begin(struct page *g)
{
    svg_add(&g->svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
            "viewBox=\"0 0 %.0f %.0f\" font-family=\"Helvetica, Arial, sans-serif\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            g->width, g->height, g->width, g->height);
    if (g->plot->title)
        svg_text(&g->svg, 20, 30, "start", TITLE, g->plot->title);
}

/* A ring stands for all series of rings, whatever their colours. */
static void legend_mark(struct page *g, unsigned i, double x, double y)
{
    if (g->plot->series[i].open)
        svg_add(&g->svg,
                "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"none\" stroke=\"#555\" "
                "stroke-width=\"1.5\"/>\n",
                x, y);
    else
        svg_add(&g->svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"%s\"/>\n", x, y,
                colour(g, i));
}

/* Names with a dot of their colour, in rows below the title; returns where they end. */
static double legend(struct page *g, double y)
{
    const struct plot *p = g->plot;
    double x = 20;

    if (p->nseries < 2)
        return y;
    y += 16;
    for (unsigned i = 0; i < p->nseries; i++) {
        const char *name = p->series[i].name ? p->series[i].name : "";
        const double width = 24 + svg_width(name) + 10;
        if (p->series[i].open && !*name)
            continue;
        if (x > 20 && x + width > g->width - 20) {
            x = 20;
            y += 18;
        }
        legend_mark(g, i, x + 6, y - 4);
        svg_text(&g->svg, x + 17, y, "start", "fill=\"#333\" font-size=\"12\"", name);
        x += width;
    }
    return y;
}

static void grid_x(struct page *g)
{
    for (unsigned i = 0; i < g->x.ntick; i++) {
        const double x = axis_place(&g->x, g->x.tick[i]);
        svg_add(&g->svg,
                "<path d=\"M%.1f %.1fV%.1f\" stroke=\"#eee\" stroke-width=\"1\"/>\n", x,
                g->top, g->bottom);
        svg_text(&g->svg, x, g->bottom + 18, "middle", QUIET, g->x.label[i]);
    }
    if (g->plot->x_label)
        svg_text(&g->svg, (g->left + g->right) / 2, g->bottom + 40, "middle",
                 "fill=\"#333\" font-size=\"13\"", g->plot->x_label);
}

static void grid_y(struct page *g)
{
    char turn[128];
    const double middle = (g->top + g->bottom) / 2;

    for (unsigned i = 0; i < g->y.ntick; i++) {
        const double y = axis_place(&g->y, g->y.tick[i]);
        svg_add(&g->svg,
                "<path d=\"M%.1f %.1fH%.1f\" stroke=\"#e4e4e4\" stroke-width=\"1\"/>\n",
                g->left, y, g->right);
        svg_text(&g->svg, g->left - 8, y + 4, "end", QUIET, g->y.label[i]);
    }
    snprintf(turn, sizeof turn,
             "fill=\"#333\" font-size=\"13\" transform=\"rotate(-90 18 %.1f)\"", middle);
    if (g->plot->y_label)
        svg_text(&g->svg, 18, middle, "middle", turn, g->plot->y_label);
    svg_add(&g->svg, "<path d=\"M%.1f %.1fH%.1f\" stroke=\"#888\" stroke-width=\"1\"/>\n",
            g->left, g->bottom, g->right);
}

static double widest_label(const struct axis *a)
{
    double w = 0;
    for (unsigned i = 0; i < a->ntick; i++)
        w = fmax(w, svg_width(a->label[i]));
    return w;
}

/* Ranges from all points that both axes can show; returns how many there are. */
static size_t cover(struct page *g)
{
    const struct plot *p = g->plot;
    size_t n = 0;
    g->x = (struct axis){.log = p->log_x, .empty = true};
    g->y = (struct axis){.log = p->log_y, .empty = true};
    for (unsigned k = 0; k < p->nseries; k++)
        for (size_t i = 0; i < p->series[k].n; i++) {
            const double x = x_of(&p->series[k], i), y = p->series[k].y[i];
            if (!axis_shows(&g->x, x) || !axis_shows(&g->y, y))
                continue;
            axis_cover(&g->x, p->diagonal ? y : x);
            axis_cover(&g->y, p->diagonal ? x : y);
            axis_cover(&g->x, x);
            axis_cover(&g->y, y);
            n++;
        }
    return n;
}

/* Axes and grid; the field is what titles and labels leave. */
static void frame(struct page *g)
{
    const struct plot *p = g->plot;

    axis_finish(&g->x, p->kind == PLOT_SCATTER ? 5 : 8, false);
    axis_finish(&g->y, 5, false);
    g->left = (p->y_label ? 44 : 24) + widest_label(&g->y);
    g->right = g->width - 28;
    g->top = legend(g, p->title ? 36 : 14) + 18;
    g->bottom = g->height - (p->x_label ? 56 : 36);
    g->x.from = g->left;
    g->x.to = g->right;
    g->y.from = g->bottom;
    g->y.to = g->top;
    grid_x(g);
    grid_y(g);
}

/* ---- lines ---- */

struct pen {
    struct page *g;
    bool down;
    size_t drawn; /* points since the pen was put down */
    double x, y;
};

static void pen_to(struct pen *pen, double x, double y)
{
    svg_add(&pen->g->svg, "%c%.1f %.1f", pen->down ? 'L' : 'M', x, y);
    pen->drawn = pen->down ? pen->drawn + 1 : 1;
    pen->down = true;
    pen->x = x;
    pen->y = y;
}

/* A point without neighbours is a line of no length: round caps make it a dot. */
static void pen_up(struct pen *pen)
{
    if (pen->down && pen->drawn == 1)
        svg_add(&pen->g->svg, "h0");
    pen->down = false;
}

/*
 * Points that fall into one column of half a pixel are drawn as first, least, greatest,
 * last: what a reader would see of them all.
 */
static size_t draw_column(struct pen *pen, const struct plot_series *s, size_t i)
{
    const struct axis *ax = &pen->g->x, *ay = &pen->g->y;
    const double column = floor(axis_place(ax, x_of(s, i)) * 2);
    const double x = axis_place(ax, x_of(s, i)), first = axis_place(ay, s->y[i]);
    double least = first, greatest = first, last = first;
    size_t k = i + 1;

    for (; k < s->n && axis_shows(ax, x_of(s, k)) && axis_shows(ay, s->y[k]); k++) {
        if (floor(axis_place(ax, x_of(s, k)) * 2) != column)
            break;
        last = axis_place(ay, s->y[k]);
        least = fmin(least, last);
        greatest = fmax(greatest, last);
    }
    pen_to(pen, x, first);
    if (least < fmin(first, last))
        pen_to(pen, x, least);
    if (greatest > fmax(first, last))
        pen_to(pen, x, greatest);
    if (k > i + 1)
        pen_to(pen, x, last);
    return k;
}

static void draw_line(struct page *g, const struct plot_series *s, const char *stroke,
                      double width, double opacity)
{
    struct pen pen = {.g = g};

    svg_add(&g->svg,
            "<path fill=\"none\" stroke=\"%s\" stroke-width=\"%.1f\" "
            "stroke-opacity=\"%.2f\" stroke-linejoin=\"round\" stroke-linecap=\"round\" "
            "d=\"",
            stroke, width, opacity);
    for (size_t i = 0; i < s->n;) {
        if (axis_shows(&g->x, x_of(s, i)) && axis_shows(&g->y, s->y[i])) {
            i = draw_column(&pen, s, i);
        } else {
            pen_up(&pen);
            i++;
        }
    }
    pen_up(&pen);
    svg_add(&g->svg, "\"/>\n");
}

/* From so many points on a series is drawn faintly, and its mean over stretches boldly; up
 * to so many each is marked. */
enum { MARKED = 24, MANY = 600, STRETCHES = 120 };

/* What was measured, on the line that joins it. */
static void draw_marks(struct page *g, const struct plot_series *s, const char *fill)
{
    svg_add(&g->svg, "<g fill=\"%s\">\n", fill);
    for (size_t i = 0; i < s->n; i++)
        if (axis_shows(&g->x, x_of(s, i)) && axis_shows(&g->y, s->y[i]))
            svg_add(&g->svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n",
                    axis_place(&g->x, x_of(s, i)), axis_place(&g->y, s->y[i]));
    svg_add(&g->svg, "</g>\n");
}

/* The mean of points from .. to - 1; false where none can be shown. */
static bool mean_point(const struct page *g, const struct plot_series *s, size_t from,
                       size_t to, double *x, double *y)
{
    double sx = 0, sy = 0, n = 0;
    for (size_t i = from; i < to; i++)
        if (axis_shows(&g->x, x_of(s, i)) && axis_shows(&g->y, s->y[i])) {
            sx += x_of(s, i);
            sy += s->y[i];
            n++;
        }
    *x = sx / n;
    *y = sy / n;
    return n > 0;
}

static void draw_course(struct page *g, unsigned k)
{
    const struct plot_series *s = &g->plot->series[k];
    double x[STRETCHES], y[STRETCHES];
    const struct plot_series mean = {.x = x, .y = y, .n = STRETCHES};

    if (s->n < MANY) {
        draw_line(g, s, colour(g, k), 2, 1);
        if (s->n <= MARKED)
            draw_marks(g, s, colour(g, k));
        return;
    }
    draw_line(g, s, colour(g, k), 1, 0.3);
    for (size_t i = 0; i < STRETCHES; i++) {
        const size_t from = s->n * i / STRETCHES, to = s->n * (i + 1) / STRETCHES;
        if (!mean_point(g, s, from, to, &x[i], &y[i]))
            x[i] = y[i] = NAN;
    }
    draw_line(g, &mean, colour(g, k), 2, 1);
}

/* ---- dots ---- */

enum { CELLS = SQUARE * 2, FEW = 200 /* dots of a series, drawn boldly */ };

static void draw_dots(struct page *g, unsigned k, unsigned char *taken)
{
    const struct plot_series *s = &g->plot->series[k];

    memset(taken, 0, (size_t)CELLS * CELLS / 8);
    if (s->open)
        svg_add(&g->svg, "<g fill=\"none\" stroke=\"%s\" stroke-width=\"1.3\">\n",
                colour(g, k));
    else
        svg_add(&g->svg, "<g fill=\"%s\" fill-opacity=\"%.2f\">\n", colour(g, k),
                s->n < FEW ? 0.75 : 0.45);
    for (size_t i = 0; i < s->n; i++) {
        if (!axis_shows(&g->x, x_of(s, i)) || !axis_shows(&g->y, s->y[i]))
            continue;
        const double x = axis_place(&g->x, x_of(s, i)), y = axis_place(&g->y, s->y[i]);
        const size_t cell = (size_t)(y * 2) * CELLS + (size_t)(x * 2);
        if (taken[cell / 8] >> cell % 8 & 1)
            continue;
        taken[cell / 8] |= (unsigned char)(1U << cell % 8);
        svg_add(&g->svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>\n", x, y,
                s->n < FEW ? 3.2 : 2.6);
    }
    svg_add(&g->svg, "</g>\n");
}

static void draw_diagonal(struct page *g)
{
    svg_add(&g->svg,
            "<path d=\"M%.1f %.1fL%.1f %.1f\" stroke=\"#888\" stroke-width=\"1.2\" "
            "stroke-dasharray=\"5 4\"/>\n",
            g->left, g->bottom, g->right, g->top);
}

/* ---- kinds ---- */

static void no_data(struct page *g)
{
    svg_text(&g->svg, g->width / 2, g->height / 2, "middle",
             "fill=\"#888\" font-size=\"14\"", "no data");
}

static void draw_lines(struct page *g)
{
    g->width = WIDTH;
    g->height = HEIGHT;
    begin(g);
    if (!cover(g)) {
        no_data(g);
        return;
    }
    frame(g);
    if (g->plot->diagonal)
        draw_diagonal(g);
    for (unsigned k = 0; k < g->plot->nseries; k++)
        draw_course(g, k);
}

static void draw_scatter(struct page *g)
{
    unsigned char *taken = hyp_malloc((size_t)CELLS * CELLS / 8);

    g->svg.failed = !taken;
    g->width = g->height = SQUARE;
    begin(g);
    if (!cover(g)) {
        no_data(g);
    } else if (taken) {
        frame(g);
        if (g->plot->diagonal)
            draw_diagonal(g);
        for (unsigned k = g->plot->nseries; k-- > 0;) /* the first on top */
            draw_dots(g, k, taken);
    }
    hyp_free(taken);
}

static void draw_bar(struct page *g, unsigned k)
{
    const struct plot_series *s = &g->plot->series[k];
    const double y = g->top + 8 + k * (double)(BAR + BAR_GAP), middle = y + BAR / 2.0 + 4;
    const double v = s->n ? s->y[0] : NAN, zero = axis_place(&g->x, 0);
    char number[32];

    svg_text(&g->svg, g->left - 10, middle, "end", "fill=\"#333\" font-size=\"13\"",
             s->name ? s->name : "");
    if (!axis_shows(&g->x, v)) {
        svg_text(&g->svg, zero + 8, middle, "start", QUIET,
                 isfinite(v) ? "too large to show" : "not finite");
        return;
    }
    const double end = axis_place(&g->x, v);
    svg_add(
        &g->svg,
        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"2\" fill=\"%s\"/>\n",
        fmin(zero, end), y, fabs(end - zero), BAR, colour(g, k));
    snprintf(number, sizeof number, "%.4g", v);
    svg_text(&g->svg, end + (v < 0 ? -6 : 6), middle, v < 0 ? "end" : "start",
             "fill=\"#333\" font-size=\"12\"", number);
}

static void draw_bars(struct page *g)
{
    const struct plot *p = g->plot;
    double label = 0;

    g->x = (struct axis){.empty = true};
    for (unsigned k = 0; k < p->nseries; k++) {
        label = fmax(label, svg_width(p->series[k].name ? p->series[k].name : "") * 1.08);
        if (p->series[k].n)
            axis_cover(&g->x, p->series[k].y[0]);
    }
    g->top = p->title ? 48 : 16;
    g->bottom = g->top + 8 + p->nseries * (double)(BAR + BAR_GAP);
    g->width = WIDTH;
    g->height = g->bottom + (p->x_label ? 56 : 36);
    begin(g);
    axis_finish(&g->x, 6, true);
    g->left = 30 + label;
    g->right = g->width - 64; /* the numbers stand right of the bars */
    g->x.from = g->left;
    g->x.to = g->right;
    grid_x(g);
    for (unsigned k = 0; k < p->nseries; k++)
        draw_bar(g, k);
    const double zero = axis_place(&g->x, 0);
    svg_add(&g->svg, "<path d=\"M%.1f %.1fV%.1f\" stroke=\"#888\" stroke-width=\"1\"/>\n",
            zero, g->top, g->bottom);
}

enum hyp_status plot_svg(const struct plot *p, char **text, size_t *n,
                         struct hyp_error *err)
{
    static void (*const draw[])(struct page *) = {draw_lines, draw_scatter, draw_bars};
    struct page g = {.plot = p};

    draw[p->kind](&g);
    svg_add(&g.svg, "</svg>\n");
    if (g.svg.failed) {
        hyp_free(g.svg.text);
        return hyp_fail(err, HYP_ENOMEM, "out of memory for a plot");
    }
    *text = g.svg.text;
    *n = g.svg.n;
    return HYP_OK;
}

enum hyp_status plot_write(const char *path, const struct plot *p, struct hyp_error *err)
{
    char *text = NULL;
    size_t n = 0;
    enum hyp_status st = plot_svg(p, &text, &n, err);
    if (!st)
        st = file_put(path, text, n, err);
    hyp_free(text);
    return st;
}
