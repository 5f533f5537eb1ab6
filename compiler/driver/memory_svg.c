/*
 * The same as a picture: launches to the right, the phases one after the other; addresses
 * upwards, the arena above what lives for good.  A box is a value; its title says which.
 */
#include <string.h>

#include "compiler/driver/memory_view.h"
#include "compiler/driver/report.h"
#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/plot_impl.h"

enum { WIDTH = 1120, HEIGHT = 700, LEFT = 76, RIGHT = 1096, TOP = 132, BOTTOM = 640 };

#define QUIET "fill=\"#555\" font-size=\"12\""

static const struct {
    const char *name, *colour;
} kinds[VIEW_KINDS] = {
    /* Okabe and Ito's, lightened so that names can be read on them */
    [VIEW_PARAMETER] = {"parameter", "#8cb9d9"},
    [VIEW_STATE] = {"optimizer and state", "#c9c9c9"},
    [VIEW_DATA] = {"data", "#f2e68a"},
    [VIEW_RESULT] = {"result", "#d9b38c"},
    [VIEW_ACTIVATION] = {"activation", "#7fcdb4"},
    [VIEW_GRADIENT] = {"gradient", "#e8a36b"},
    [VIEW_SCRATCH] = {"scratch and packed", "#dda9c6"},
};

struct drawing {
    const struct compiled *c;
    struct arena *a;
    struct svg svg;
    struct axis y;            /* MiB */
    uint32_t launches, begun; /* of all phases; before this one */
    uint64_t base[HYP_SEG_COUNT], total;
    bool used[VIEW_KINDS];
};

static double x_at(const struct drawing *d, double launch)
{
    return LEFT + launch / (d->launches ? d->launches : 1) * (RIGHT - LEFT);
}

static double y_at(const struct drawing *d, uint64_t at)
{
    return axis_place(&d->y, (double)at / 0x1p20);
}

/* The name, where there is room for it. */
static void label(struct drawing *d, const struct view_box *b, double x, double y, double w,
                  double h)
{
    const double size = h > 12 ? 10 : h - 1;
    const size_t room = w > 24 ? (size_t)((w - 8) / (0.58 * size)) : 0, n = strlen(b->name);
    char text[160], style[96];
    if (b->kind == VIEW_SCRATCH || size < 6 || (n > room && room < 14))
        return; /* a piece of a name says nothing */
    if (n <= room)
        snprintf(text, sizeof text, "%s", b->name);
    else
        snprintf(text, sizeof text, "%.*s...", (int)(room - 3), b->name);
    snprintf(style, sizeof style,
             "fill=\"#222\" font-size=\"%.1f\" pointer-events=\"none\"", size);
    svg_text(&d->svg, x + 4, y + h / 2 + 0.35 * size, "start", style, text);
}

static void title(struct drawing *d, const struct view_box *b)
{
    const char *where = b->file ? arena_fmt(d->a, ", %s:%u", b->file, b->line) : "";
    svg_add(&d->svg, "<title>");
    svg_words(&d->svg, b->name);
    if (b->bytes < 1 << 20)
        svg_add(&d->svg, ", %.1f KiB", (double)b->bytes / 0x1p10);
    else
        svg_add(&d->svg, ", %.2f MiB", (double)b->bytes / 0x1p20);
    svg_words(&d->svg, where);
    if (b->first <= b->last)
        svg_add(&d->svg, ", launches %u to %u", b->first, b->last);
    svg_add(&d->svg, "</title>");
}

static void box(struct drawing *d, const struct view_box *b, uint64_t base, double first,
                double end)
{
    const double x = x_at(d, first), w = x_at(d, end) - x;
    const double low = y_at(d, base + b->offset), y = y_at(d, base + b->offset + b->bytes);
    const bool lined = low - y > 2.5;
    d->used[b->kind] = true;
    svg_add(&d->svg,
            "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\"%s>", x,
            y, w, low - y, kinds[b->kind].colour,
            lined ? " stroke=\"#fff\" stroke-width=\"0.8\"" : "");
    title(d, b);
    svg_add(&d->svg, "</rect>\n");
    label(d, b, x, y, w, low - y);
}

/* ---- what is drawn ---- */

static void state(struct drawing *d)
{
    const struct view v = view_state(d->c, d->a);
    for (uint32_t i = 0; i < v.n; i++)
        box(d, &v.box[i], d->base[HYP_SEG_STATE], 0, d->launches);
}

static void segment(struct drawing *d, enum hyp_segment s, enum view_kind kind,
                    const char *name)
{
    const struct view_box b = {.kind = (uint8_t)kind,
                               .name = name,
                               .bytes = d->c->plan->segment_bytes[s],
                               .first = 1};
    if (b.bytes > 64 << 10) /* less is slack alone */
        box(d, &b, d->base[s], 0, d->launches);
}

static void phase_head(struct drawing *d, const struct hyp_phase *ph, uint32_t n)
{
    const double x0 = x_at(d, d->begun), x1 = x_at(d, d->begun + n);
    const double bound = y_at(d, d->base[HYP_SEG_SCRATCH] + ph->arena_bound);
    svg_add(&d->svg, "<path d=\"M%.1f %dV%d\" stroke=\"#555\" stroke-width=\"1\"/>\n", x0,
            TOP - 18, BOTTOM);
    svg_text(&d->svg, x0 + 5, TOP - 7, "start",
             "fill=\"#111\" font-size=\"13\" font-weight=\"600\"", ph->name);
    svg_add(&d->svg,
            "<path d=\"M%.1f %.1fH%.1f\" stroke=\"#000\" stroke-width=\"1.2\" "
            "stroke-dasharray=\"5 3\"><title>lower bound of %s: %.2f MiB</title></path>\n",
            x0, bound, x1, ph->name, (double)ph->arena_bound / 0x1p20);
}

static void launch_numbers(struct drawing *d, uint32_t n)
{
    const double wide = (RIGHT - LEFT) / (double)(d->launches ? d->launches : 1);
    const uint32_t step = wide > 24 ? 1 : wide > 5 ? 5 : wide > 2.5 ? 10 : 50;
    for (uint32_t i = 0; i < n; i += step) {
        char text[16];
        snprintf(text, sizeof text, "%u", i);
        svg_text(&d->svg, x_at(d, d->begun + i + 0.5), BOTTOM + 16, "middle",
                 "fill=\"#555\" font-size=\"11\"", text);
    }
}

static void phase(struct drawing *d, uint32_t id)
{
    const struct view v = view_arena(d->c, id, d->a);
    for (uint32_t i = 0; i < v.n; i++)
        box(d, &v.box[i], d->base[HYP_SEG_SCRATCH], d->begun + v.box[i].first,
            d->begun + v.box[i].last + 1.0);
    phase_head(d, &d->c->plan->phase[id], v.nlaunch);
    launch_numbers(d, v.nlaunch);
    d->begun += v.nlaunch;
}

static void legend(struct drawing *d)
{
    double x = 20;
    for (unsigned i = 0; i < VIEW_KINDS; i++) {
        if (!d->used[i])
            continue;
        svg_add(&d->svg,
                "<rect x=\"%.1f\" y=\"76\" width=\"12\" height=\"12\" fill=\"%s\"/>\n", x,
                kinds[i].colour);
        svg_text(&d->svg, x + 18, 87, "start", QUIET, kinds[i].name);
        x += 18 + svg_width(kinds[i].name) + 16;
    }
    svg_add(&d->svg,
            "<path d=\"M%.1f 82H%.1f\" stroke=\"#000\" stroke-width=\"1.2\" "
            "stroke-dasharray=\"5 3\"/>\n",
            x, x + 22);
    svg_text(&d->svg, x + 28, 87, "start", QUIET, "lower bound of the arena");
}

static void frame(struct drawing *d)
{
    for (unsigned i = 0; i < d->y.ntick; i++) {
        const double y = axis_place(&d->y, d->y.tick[i]);
        svg_add(&d->svg, "<path d=\"M%d %.1fH%d\" stroke=\"#e4e4e4\"/>\n", LEFT, y, RIGHT);
        svg_text(&d->svg, LEFT - 8, y + 4, "end", QUIET, d->y.label[i]);
    }
    svg_text(&d->svg, 20, (TOP + BOTTOM) / 2.0, "middle",
             "fill=\"#333\" font-size=\"13\" transform=\"rotate(-90 20 386)\"", "MiB");
    svg_text(&d->svg, (LEFT + RIGHT) / 2.0, BOTTOM + 40, "middle",
             "fill=\"#333\" font-size=\"13\"", "launch");
}

static void head(struct drawing *d, uint64_t arena, uint64_t bound)
{
    const struct hyp_plan *p = d->c->plan;
    svg_add(&d->svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "viewBox=\"0 0 %d %d\" font-family=\"Helvetica, Arial, sans-serif\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT);
    svg_text(&d->svg, 20, 32, "start", "fill=\"#111\" font-size=\"17\" font-weight=\"600\"",
             arena_fmt(d->a, "Memory of %s over one cycle", p->name));
    svg_text(
        &d->svg, 20, 56, "start", "fill=\"#333\" font-size=\"13\"",
        arena_fmt(
            d->a,
            "%.1f MiB in all at batch %lld: state %.1f, data and results %.1f, arena "
            "%.2f (lower bound %.2f)",
            (double)d->total / 0x1p20, (long long)p->batch_max,
            (double)p->segment_bytes[HYP_SEG_STATE] / 0x1p20,
            (double)(p->segment_bytes[HYP_SEG_INPUT] + p->segment_bytes[HYP_SEG_OUTPUT]) /
                0x1p20,
            (double)arena / 0x1p20, (double)bound / 0x1p20));
}

static bool is_drawn(const struct compiled *c, uint32_t phase, const char *only)
{
    return only ? report_wanted(c, phase, only) : report_scheduled(c->plan, phase);
}

/* Segments upwards: what lives for good, then the arena. */
static void stack_up(struct drawing *d)
{
    static const uint8_t order[] = {HYP_SEG_STATE, HYP_SEG_INPUT, HYP_SEG_OUTPUT,
                                    HYP_SEG_SCRATCH};
    for (unsigned i = 0; i < HYP_SEG_COUNT; i++) {
        d->base[order[i]] = d->total;
        d->total += d->c->plan->segment_bytes[order[i]];
    }
    d->y = (struct axis){.empty = true, .from = BOTTOM, .to = TOP};
    axis_cover(&d->y, (double)d->total / 0x1p20);
    axis_finish(&d->y, 8, true);
}

void view_svg(const struct compiled *c, const char *only, FILE *out)
{
    struct drawing d = {.c = c, .a = arena_new()};
    uint64_t arena = 0, bound = 0;

    for (uint32_t i = 0; i < c->plan->nphase; i++) {
        const struct hyp_phase *ph = &c->plan->phase[i];
        if (!is_drawn(c, i, only))
            continue;
        d.launches += c->ir.memory[i].nlaunch;
        arena = ph->arena_bytes > arena ? ph->arena_bytes : arena;
        bound = ph->arena_bound > bound ? ph->arena_bound : bound;
    }
    stack_up(&d);
    head(&d, arena, bound);
    frame(&d);
    state(&d);
    segment(&d, HYP_SEG_INPUT, VIEW_DATA, "the batch's data");
    segment(&d, HYP_SEG_OUTPUT, VIEW_RESULT, "losses and what probes read");
    for (uint32_t i = 0; i < c->plan->nphase; i++)
        if (is_drawn(c, i, only))
            phase(&d, i);
    legend(&d);
    svg_add(&d.svg, "</svg>\n");
    if (d.svg.text && !d.svg.failed)
        fputs(d.svg.text, out);
    hyp_free(d.svg.text);
    arena_free(d.a);
}
