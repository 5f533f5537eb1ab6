/*
 * Shapes as outlines (shapes.def), turned, stretched a little, scaled and placed.
 *
 * Outlines become polygons.  A polygon covers a pixel by what its edges leave to their
 * right, summed along each row: on each of SUBLINES lines through the pixel an edge adds
 * what it covers, going down, or takes it away, going up.  Background and shape are painted
 * with a gradient of two colours and a wave; the shape throws a soft shadow.
 */
#include "runtime/shapes.h"

#include <stdbool.h>
#include <string.h>

#include "runtime/draw.h"

enum {
    SHAPES = 0x73686170, /* its stream of chance */
    OUTLINES = 2,
    POINTS = 24, /* of an outline, corners counted twice */
    POLYGON_MAX = POINTS * DRAW_SPAN,
    SIDE = SHAPES_SIDE,
    PLANE = SIDE * SIDE,
    SUBLINES = 4,
    FULL = 256, /* coverage */
    TURN = 1024,
    HUES = 1536
};

struct shape {
    uint8_t outline[OUTLINES][2 * POINTS + 1]; /* each ends at the first 0 */
};

static const struct shape shapes[] = {
#define CORNER(x, y) x, y, x, y
#define OUTLINE(...)                                                                       \
    {                                                                                      \
        __VA_ARGS__                                                                        \
    }
#define SHAPE(name, ...) {{__VA_ARGS__}},
#include "runtime/shapes.def"
#undef SHAPE
#undef OUTLINE
#undef CORNER
};
_Static_assert(sizeof shapes / sizeof *shapes == SHAPES_CLASSES, "a class a shape");

const char *const shapes_name[] = {
#define SHAPE(name, ...) #name,
#include "runtime/shapes.def"
#undef SHAPE
};

/* ---- where ---- */

/* What a point of an outline, less 50, is multiplied with; in 1/65536 pixel steps. */
struct pose {
    int32_t xx, xy, yx, yy;
};

static void choose_pose(struct chance *c, struct pose *p)
{
    const uint32_t turn = chance_below(c, TURN);
    const int32_t cosine = draw_sine(turn + TURN / 4), sine = draw_sine(turn);
    const int32_t size = 54 + (int32_t)chance_below(c, 34); /* pixel steps a unit */
    const int32_t stretch = draw_clamp(chance_bell(c, 24), -60, 60); /* in 1/256 */
    const int32_t wide = size * (256 + stretch) / 64, tall = size * (256 - stretch) / 64;
    p->xx = cosine * wide / 1024;
    p->xy = -sine * tall / 1024;
    p->yx = sine * wide / 1024;
    p->yy = cosine * tall / 1024;
}

struct polygon {
    unsigned n;
    struct draw_point p[POLYGON_MAX];
};

/* Point i of n of an outline, going round. */
static struct draw_point corner(const uint8_t *xy, unsigned i, unsigned n)
{
    const struct draw_point p = {xy[2 * (i % n)] - 50, xy[2 * (i % n) + 1] - 50};
    return p;
}

static struct draw_point place(const struct pose *pose, struct draw_point p)
{
    const struct draw_point out = {(pose->xx * p.x + pose->xy * p.y) / 64,
                                   (pose->yx * p.x + pose->yy * p.y) / 64};
    return out;
}

static void make_polygon(const uint8_t *xy, const struct pose *pose, struct polygon *out)
{
    unsigned n = 0;
    out->n = 0;
    while (xy[2 * n])
        n++;
    for (unsigned i = 0; i < n; i++) {
        const struct draw_point a = place(pose, corner(xy, i + n - 1, n)),
                                b = place(pose, corner(xy, i, n)),
                                c = place(pose, corner(xy, i + 1, n)),
                                d = place(pose, corner(xy, i + 2, n));
        if (b.x == c.x && b.y == c.y)
            continue;
        for (int32_t t = 0; t < DRAW_SPAN; t++) {
            out->p[out->n].x = draw_spline(a.x, b.x, c.x, d.x, t);
            out->p[out->n].y = draw_spline(a.y, b.y, c.y, d.y, t);
            out->n++;
        }
    }
}

/* By how much points from low to high may be moved, chosen so that they stay on the page.
 */
static int32_t choose_shift(struct chance *c, int32_t low, int32_t high)
{
    const int32_t page = SIDE * DRAW_PIXEL, margin = DRAW_PIXEL;
    const int32_t room = page - 2 * margin - (high - low);
    const int32_t at = (int32_t)chance_below(c, room > 0 ? (uint32_t)room : 1);
    return (room > 0 ? margin + at : (page - (high - low)) / 2) - low;
}

/* Move the polygons to where they are seen; the first is the outer one. */
static void move(struct chance *c, struct polygon *p, unsigned n)
{
    struct draw_point low = p->p[0], high = low;
    for (unsigned i = 1; i < p->n; i++) {
        low.x = p->p[i].x < low.x ? p->p[i].x : low.x;
        low.y = p->p[i].y < low.y ? p->p[i].y : low.y;
        high.x = p->p[i].x > high.x ? p->p[i].x : high.x;
        high.y = p->p[i].y > high.y ? p->p[i].y : high.y;
    }
    const int32_t dx = choose_shift(c, low.x, high.x);
    const int32_t dy = choose_shift(c, low.y, high.y);
    for (unsigned k = 0; k < n; k++)
        for (unsigned i = 0; i < p[k].n; i++) {
            p[k].p[i].x += dx;
            p[k].p[i].y += dy;
        }
}

/* ---- coverage ---- */

/* What lies right of an edge, as differences along the rows. */
struct mask {
    int32_t at[SIDE][SIDE + 2];
};

static void add_edge(struct mask *m, struct draw_point a, struct draw_point b)
{
    const int32_t way = b.y > a.y ? 1 : -1, step = DRAW_PIXEL / SUBLINES;
    const struct draw_point top = b.y > a.y ? a : b, low = b.y > a.y ? b : a;
    const int32_t first = draw_clamp((top.y + step / 2 - 1) / step, 0, SIDE * SUBLINES);

    for (int32_t line = first; line < SIDE * SUBLINES; line++) {
        const int32_t y = line * step + step / 2;
        if (y >= low.y)
            return;
        const int32_t across = (low.x - top.x) * (y - top.y) / (low.y - top.y);
        const int32_t x = draw_clamp(top.x + across, 0, SIDE * DRAW_PIXEL - 1);
        int32_t *at = &m->at[line / SUBLINES][x / DRAW_PIXEL];
        at[0] += way * (DRAW_PIXEL - x % DRAW_PIXEL);
        at[1] += way * (x % DRAW_PIXEL);
    }
}

/* The differences become coverage, 0 to FULL. */
static void sum_rows(struct mask *m)
{
    for (unsigned y = 0; y < SIDE; y++) {
        int32_t sum = 0;
        for (unsigned x = 0; x < SIDE; x++) {
            sum += m->at[y][x];
            m->at[y][x] = draw_clamp((sum < 0 ? -sum : sum) / SUBLINES, 0, FULL);
        }
    }
}

static void cover(struct chance *c, unsigned kind, struct mask *m)
{
    struct pose pose;
    struct polygon polygon[OUTLINES];
    unsigned n = 0;

    choose_pose(c, &pose);
    for (; n < OUTLINES && shapes[kind].outline[n][0]; n++)
        make_polygon(shapes[kind].outline[n], &pose, &polygon[n]);
    move(c, polygon, n);
    memset(m, 0, sizeof *m);
    for (unsigned k = 0; k < n; k++)
        for (unsigned i = 0; i < polygon[k].n; i++)
            add_edge(m, polygon[k].p[i], polygon[k].p[(i + 1) % polygon[k].n]);
    sum_rows(m);
}

/* ---- colours ---- */

struct colour {
    int32_t of[3];
};

/* Of a hue (0 to HUES - 1), saturation and lightness (0 to 256). */
static struct colour mix(uint32_t hue, int32_t saturation, int32_t light)
{
    struct colour out;
    for (uint32_t k = 0; k < 3; k++) {
        const int32_t h = (int32_t)((hue + HUES - k * (HUES / 3)) % HUES);
        const int32_t far = h < HUES / 2 ? h : HUES - h; /* from the channel's own hue */
        const int32_t pure = draw_clamp(512 - far, 0, 256);
        const int32_t v = 128 + (pure - 128) * saturation / 256;
        out.of[k] = light < 128 ? v * light / 128 : v + (256 - v) * (light - 128) / 128;
    }
    return out;
}

struct paint {
    struct colour from, to;
    int32_t x, y;                   /* the gradient's direction */
    uint32_t wave_x, wave_y, phase; /* turns a pixel, and at the corner */
    int32_t height;                 /* of the wave */
};

static void choose_paint(struct chance *c, int32_t saturation, int32_t light,
                         int32_t height, struct paint *p)
{
    const uint32_t hue = chance_below(c, HUES), turn = chance_below(c, TURN);
    const uint32_t other = hue + chance_below(c, HUES / 4);
    const int32_t step = (int32_t)chance_below(c, 48);
    const uint32_t along = chance_below(c, TURN);
    const int32_t rate = 48 + (int32_t)chance_below(c, 160);

    p->from = mix(hue, saturation, draw_clamp(light - step / 2, 0, 256));
    p->to = mix(other % HUES, saturation, draw_clamp(light + step / 2, 0, 256));
    p->x = draw_sine(turn + TURN / 4) / 64;
    p->y = draw_sine(turn) / 64;
    p->wave_x = (uint32_t)(draw_sine(along + TURN / 4) * rate / DRAW_ONE);
    p->wave_y = (uint32_t)(draw_sine(along) * rate / DRAW_ONE);
    p->phase = chance_below(c, TURN);
    p->height = height * (int32_t)(chance_below(c, 33) * chance_below(c, 33)) / 1024;
}

static struct colour paint_at(const struct paint *p, unsigned x, unsigned y)
{
    const int32_t way =
        p->x * (2 * (int32_t)x + 1 - SIDE) + p->y * (2 * (int32_t)y + 1 - SIDE);
    const int32_t t = draw_clamp(128 + way / 64, 0, 256);
    const uint32_t turn = p->phase + p->wave_x * x + p->wave_y * y;
    const int32_t wave = draw_sine(turn) * p->height / DRAW_ONE;
    struct colour out;
    for (unsigned k = 0; k < 3; k++)
        out.of[k] = p->from.of[k] + (p->to.of[k] - p->from.of[k]) * t / 256 + wave;
    return out;
}

/* ---- the image ---- */

unsigned shapes_label(unsigned split, uint32_t k)
{
    struct chance c;
    chance_start(&c, SHAPES, split, k);
    return chance_below(&c, SHAPES_CLASSES);
}

struct scene {
    struct mask mask;
    struct paint ground, shape;
    unsigned shadow_x, shadow_y; /* how far it falls, in pixels */
    int32_t shade, grain;        /* its strength; the noise's */
};

static void choose_scene(struct chance *c, struct scene *s)
{
    const int32_t light = 40 + (int32_t)chance_below(c, 176);
    /* at least 88 of the 256 away, whichever way */
    const int32_t other = (light + 88 + (int32_t)chance_below(c, 80)) % 256;

    choose_paint(c, 64 + (int32_t)chance_below(c, 128), light, 40, &s->ground);
    choose_paint(c, 160 + (int32_t)chance_below(c, 96), draw_clamp(other, 24, 232), 20,
                 &s->shape);
    s->shadow_x = chance_below(c, 3);
    s->shadow_y = chance_below(c, 3);
    s->shade = (int32_t)chance_below(c, 112);
    s->grain = 1 + (int32_t)chance_below(c, 7);
}

/* What a pixel is before noise. */
static struct colour light_at(const struct scene *s, unsigned x, unsigned y)
{
    const int32_t covered = s->mask.at[y][x];
    const bool fallen = x >= s->shadow_x && y >= s->shadow_y;
    const int32_t shadow = fallen ? s->mask.at[y - s->shadow_y][x - s->shadow_x] : 0;
    const int32_t lit = FULL - shadow * s->shade / FULL;
    struct colour out = paint_at(&s->ground, x, y);
    for (unsigned n = 0; n < 3; n++)
        out.of[n] = out.of[n] * lit / FULL;
    if (covered) {
        const struct colour over = paint_at(&s->shape, x, y);
        for (unsigned n = 0; n < 3; n++)
            out.of[n] += (over.of[n] - out.of[n]) * covered / FULL;
    }
    return out;
}

void shapes_draw(unsigned split, uint32_t k, uint8_t pixels[SHAPES_PIXELS])
{
    struct chance c;
    struct scene s;

    chance_start(&c, SHAPES, split, k);
    const unsigned kind = chance_below(&c, SHAPES_CLASSES); /* as shapes_label() has it */
    cover(&c, kind, &s.mask);
    choose_scene(&c, &s);
    for (unsigned i = 0; i < PLANE; i++) {
        const struct colour light = light_at(&s, i % SIDE, i / SIDE);
        const uint32_t grain = chance_word(&c);
        for (unsigned n = 0; n < 3; n++) {
            const int32_t noise = ((int32_t)(grain >> 8 * n & 255) - 128) * s.grain / 128;
            pixels[n * PLANE + i] = (uint8_t)draw_clamp(light.of[n] + noise, 0, 255);
        }
    }
}
