/*
 * Digits drawn by a pen.
 *
 * A style (digits.def) is a few strokes through control points.  Each point is jittered,
 * the whole is bent by a random quadratic map, slanted and stretched, turned into a smooth
 * curve (Catmull-Rom), scaled into a box of about 20 x 20 and moved so that its centre of
 * mass is about the image's, as the makers of MNIST did; then a round soft pen is stamped
 * along it.
 *
 * Integers only, no shift of a negative number: C leaves nothing open, so the bytes are the
 * same everywhere.  Units: a style's 100 is UNIT * 100; pixels have DRAW_PIXEL steps.
 */
#include "runtime/digits.h"

#include <stdbool.h>
#include <string.h>

#include "runtime/draw.h"

enum {
    DIGITS = 0x64696769, /* its stream of chance */
    UNIT = 256,
    STROKE_POINTS = 14,
    STYLE_STROKES = 2,
    CURVE_MAX = STYLE_STROKES * STROKE_POINTS * DRAW_SPAN,
    STAMP_STEP = DRAW_PIXEL / 2
};

struct stroke {
    uint8_t xy[2 * STROKE_POINTS]; /* ends at the first 0 (no coordinate of a style is 0) */
};

struct style {
    uint8_t digit, share;
    struct stroke stroke[STYLE_STROKES];
};

static const struct style styles[] = {
#define STROKE(...)                                                                        \
    {                                                                                      \
        {                                                                                  \
            __VA_ARGS__                                                                    \
        }                                                                                  \
    }
#define STYLE(digit, share, ...) {digit, share, {__VA_ARGS__}},
#include "runtime/digits.def"
#undef STYLE
#undef STROKE
};
enum { NSTYLE = sizeof styles / sizeof *styles };

/* ---- the hand ---- */

/* How this sample is written; numbers that multiply are in 1/1024. */
struct hand {
    int32_t slant, climb, width;       /* shears and the stretch of x */
    int32_t xx, xy, yy, yxx, yxy, yyy; /* the bend: x += xx x^2 + xy x y + yy y^2 */
    int32_t jitter;                    /* of control points, in units */
    int32_t pen, pressure;             /* radius in pixel steps; its change along */
    int32_t box;                       /* longer side, in pixel steps */
    struct draw_point shift;           /* off the centre of mass, pixel steps */
};

static void choose_hand(struct chance *c, struct hand *h)
{
    const int32_t turn = chance_bell(c, 100);
    h->slant = 115 + turn + chance_bell(c, 245);
    h->climb = chance_bell(c, 90) - turn;
    h->width = draw_clamp(930 + chance_bell(c, 190), 500, 1450);
    h->xx = chance_bell(c, 125);
    h->xy = chance_bell(c, 165);
    h->yy = chance_bell(c, 165);
    h->yxx = chance_bell(c, 120);
    h->yxy = chance_bell(c, 135);
    h->yyy = chance_bell(c, 125);
    h->jitter = UNIT * 13 / 4;
    h->pen = draw_clamp(320 + chance_bell(c, 95), 160, 600);
    h->pressure = chance_bell(c, 60);
    h->box = 19 * DRAW_PIXEL + chance_bell(c, DRAW_PIXEL * 5 / 4);
    h->shift = chance_wobble(c, DRAW_PIXEL * 3 / 4);
}

/* A style's point through the hand; the middle of the style is the origin. */
static struct draw_point write_point(const struct hand *h, struct draw_point p)
{
    const int64_t x = p.x, y = p.y, half = 50 * UNIT;
    const int64_t xx = x * x / half, xy = x * y / half, yy = y * y / half;
    const int64_t bent_x = x + (h->xx * xx + h->xy * xy + h->yy * yy) / 1024;
    const int64_t bent_y = y + (h->yxx * xx + h->yxy * xy + h->yyy * yy) / 1024;
    const struct draw_point out = {
        .x = (int32_t)((bent_x * h->width - bent_y * h->slant) / 1024),
        .y = (int32_t)(bent_y - bent_x * h->climb / 1024),
    };
    return out;
}

struct curve {
    unsigned n;
    struct draw_point p[CURVE_MAX];
    bool pen_up[CURVE_MAX]; /* no line from the point before */
};

static const struct style *choose_style(struct chance *c, unsigned digit)
{
    uint32_t total = 0;
    for (unsigned i = 0; i < NSTYLE; i++)
        total += styles[i].digit == digit ? styles[i].share : 0;
    uint32_t left = chance_below(c, total);
    for (unsigned i = 0; i < NSTYLE; i++) {
        if (styles[i].digit != digit)
            continue;
        if (left < styles[i].share)
            return &styles[i];
        left -= styles[i].share;
    }
    return &styles[0];
}

/* The stroke's points, jittered and written; a corner's two points stay together. */
static unsigned place_points(struct chance *c, const struct hand *h, const struct stroke *s,
                             struct draw_point out[STROKE_POINTS])
{
    const struct draw_point wander = chance_wobble(c, h->jitter / 2);
    unsigned n = 0;

    for (; n < STROKE_POINTS && s->xy[2 * n]; n++) {
        const uint8_t *xy = s->xy + 2 * n;
        if (n > 0 && xy[0] == xy[-2] && xy[1] == xy[-1]) {
            out[n] = out[n - 1];
            continue;
        }
        struct draw_point p = chance_wobble(c, h->jitter);
        p.x += (xy[0] - 50) * UNIT + wander.x;
        p.y += (xy[1] - 50) * UNIT + wander.y;
        out[n] = write_point(h, p);
    }
    return n;
}

/* Catmull-Rom through the points, the ends doubled. */
static void add_stroke(struct curve *out, const struct draw_point *p, unsigned n)
{
    for (unsigned i = 0; i + 1 < n; i++) {
        const struct draw_point a = p[i ? i - 1 : 0], b = p[i], c = p[i + 1],
                                d = p[i + 2 < n ? i + 2 : n - 1];
        if (b.x == c.x && b.y == c.y)
            continue;
        for (int32_t t = i ? 1 : 0; t <= DRAW_SPAN && out->n < CURVE_MAX; t++) {
            out->p[out->n].x = draw_spline(a.x, b.x, c.x, d.x, t);
            out->p[out->n].y = draw_spline(a.y, b.y, c.y, d.y, t);
            out->pen_up[out->n] = i == 0 && t == 0;
            out->n++;
        }
    }
}

/* ---- onto the page ---- */

static int32_t magnitude(int32_t x)
{
    return x < 0 ? -x : x;
}

/* About the length of a vector (within 12 %), enough to space stamps. */
static int32_t rough_length(int32_t dx, int32_t dy)
{
    const int32_t x = magnitude(dx), y = magnitude(dy);
    return x > y ? x + y / 2 : y + x / 2;
}

static void bounds(const struct curve *c, struct draw_point *low, struct draw_point *high)
{
    *low = *high = c->p[0];
    for (unsigned i = 1; i < c->n; i++) {
        low->x = c->p[i].x < low->x ? c->p[i].x : low->x;
        low->y = c->p[i].y < low->y ? c->p[i].y : low->y;
        high->x = c->p[i].x > high->x ? c->p[i].x : high->x;
        high->y = c->p[i].y > high->y ? c->p[i].y : high->y;
    }
}

/* The curve's centre of mass, by length. */
static struct draw_point centre(const struct curve *c)
{
    int64_t x = 0, y = 0, mass = 0;
    for (unsigned i = 1; i < c->n; i++) {
        const struct draw_point a = c->p[i - 1], b = c->p[i];
        const int32_t length = c->pen_up[i] ? 0 : rough_length(b.x - a.x, b.y - a.y);
        x += (int64_t)length * (a.x + b.x) / 2;
        y += (int64_t)length * (a.y + b.y) / 2;
        mass += length;
    }
    mass = mass ? mass : 1;
    const struct draw_point out = {(int32_t)(x / mass), (int32_t)(y / mass)};
    return out;
}

/*
 * Scale the curve into the box and move its centre of mass to the middle and a little off
 * it, as far as the page allows.
 */
static void fit(struct curve *c, const struct hand *h)
{
    const int32_t page = DIGITS_SIDE * DRAW_PIXEL, margin = h->pen + DRAW_PIXEL;
    struct draw_point low, high;

    bounds(c, &low, &high);
    const int32_t width = high.x - low.x, height = high.y - low.y;
    const int64_t longer = (width > height ? width : height) + 1;
    const int64_t side = h->box - 2 * h->pen;
    for (unsigned i = 0; i < c->n; i++) {
        c->p[i].x = (int32_t)((c->p[i].x - low.x) * side / longer);
        c->p[i].y = (int32_t)((c->p[i].y - low.y) * side / longer);
    }
    const struct draw_point mid = centre(c);
    const int32_t right = page - margin - (int32_t)(width * side / longer);
    const int32_t bottom = page - margin - (int32_t)(height * side / longer);
    const int32_t dx = draw_clamp(page / 2 - mid.x + h->shift.x, margin, right);
    const int32_t dy = draw_clamp(page / 2 - mid.y + h->shift.y, margin, bottom);
    for (unsigned i = 0; i < c->n; i++) {
        c->p[i].x += dx;
        c->p[i].y += dy;
    }
}

/*
 * One dab of the pen: full ink within radius - 0.6 pixels, none beyond radius + 0.6, linear
 * in the squared distance between; darker ink stays.
 */
static void stamp(uint8_t *page, struct draw_point at, int32_t radius)
{
    const int32_t outer = radius + 154, inner = radius > 154 ? radius - 154 : 0;
    const int32_t reach = outer * outer, slope = 255 * 65536 / (reach - inner * inner);
    const int32_t y0 = draw_clamp((at.y - outer) / DRAW_PIXEL, 0, DIGITS_SIDE - 1);
    const int32_t y1 = draw_clamp((at.y + outer) / DRAW_PIXEL, 0, DIGITS_SIDE - 1);
    const int32_t x0 = draw_clamp((at.x - outer) / DRAW_PIXEL, 0, DIGITS_SIDE - 1);
    const int32_t x1 = draw_clamp((at.x + outer) / DRAW_PIXEL, 0, DIGITS_SIDE - 1);

    for (int32_t y = y0; y <= y1; y++) {
        const int32_t dy = y * DRAW_PIXEL + DRAW_PIXEL / 2 - at.y;
        for (int32_t x = x0; x <= x1; x++) {
            const int32_t dx = x * DRAW_PIXEL + DRAW_PIXEL / 2 - at.x;
            const int32_t left = reach - dx * dx - dy * dy;
            const int32_t ink = left > 0 ? left * slope / 65536 : 0;
            uint8_t *const p = &page[y * DIGITS_SIDE + x];
            if (ink > *p)
                *p = (uint8_t)(ink > 255 ? 255 : ink);
        }
    }
}

static void ink(uint8_t *page, const struct curve *c, const struct hand *h)
{
    for (unsigned i = 1; i < c->n; i++) {
        const struct draw_point a = c->p[i - 1], b = c->p[i];
        const int32_t radius =
            h->pen + h->pressure * ((int32_t)i * 2 - (int32_t)c->n) / (int32_t)c->n;
        const int32_t steps = rough_length(b.x - a.x, b.y - a.y) / STAMP_STEP + 1;

        if (c->pen_up[i])
            continue;
        for (int32_t s = c->pen_up[i - 1] ? 0 : 1; s <= steps; s++) {
            const struct draw_point at = {a.x + (b.x - a.x) * s / steps,
                                          a.y + (b.y - a.y) * s / steps};
            stamp(page, at, draw_clamp(radius, 140, 600));
        }
    }
}

unsigned digits_label(unsigned split, uint32_t k)
{
    struct chance c;
    chance_start(&c, DIGITS, split, k);
    return chance_below(&c, 10);
}

void digits_draw(unsigned split, uint32_t k, uint8_t pixels[DIGITS_PIXELS])
{
    struct chance c;
    struct hand h;
    struct curve curve;
    struct draw_point p[STROKE_POINTS];

    memset(pixels, 0, DIGITS_PIXELS);
    chance_start(&c, DIGITS, split, k);
    const unsigned digit = chance_below(&c, 10); /* as digits_label() has it */
    const struct style *style = choose_style(&c, digit);
    choose_hand(&c, &h);
    curve.n = 0;
    for (unsigned s = 0; s < STYLE_STROKES && style->stroke[s].xy[0]; s++)
        add_stroke(&curve, p, place_points(&c, &h, &style->stroke[s], p));
    if (curve.n == 0)
        return; /* no style is empty */
    fit(&curve, &h);
    ink(pixels, &curve, &h);
}
