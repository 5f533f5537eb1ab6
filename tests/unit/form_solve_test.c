/*
 * Solving: pieces are disjoint, cover the port and sum to the definition; convolutions of
 * all kinds against loops written out; col2im o contract.
 */
#include <stdlib.h>
#include <string.h>

#include "ops/form.h"
#include "runtime/base/arena.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/form_fixture.h"

static double *zeros(int64_t n)
{
    double *x = calloc((size_t)n, sizeof *x);
    assert_non_null(x);
    return x;
}

static double *random_array(uint32_t *seed, int64_t n)
{
    double *x = zeros(n);
    fixture_fill(seed, x, n);
    return x;
}

/* Mark what a piece stores: its kept axes, each point once, all in range. */
static void mark_stores(const struct form_piece *piece, unsigned p, int64_t batch,
                        uint8_t *mark)
{
    struct form kept = piece->form;
    const uint32_t reduced = form_reduced(&kept, p);
    int64_t i[HYP_AXES] = {0};
    for (unsigned k = 0; k < kept.naxis; k++)
        if (reduced >> k & 1)
            kept.axis[k] = ext_const(1);
    do {
        const int64_t at = fixture_at(&kept, p, i, batch);
        assert_true(at >= 0);
        mark[at]++;
    } while (fixture_step(&kept, i, batch));
}

/* The pieces at p, evaluated by form_eval, into out; returns their terms. */
static int64_t run_pieces(const struct form_piece *piece, uint32_t n, unsigned p,
                          int64_t batch, const double *const *t, double *out)
{
    const int64_t size = fixture_size(&piece[0].form.port[p], batch);
    uint8_t *mark = calloc((size_t)size, 1);
    double *part = zeros(size), *check = zeros(size);
    int64_t terms = 0;
    for (uint32_t k = 0; k < n; k++) {
        assert_null(form_validate(&piece[k].form));
        mark_stores(&piece[k], p, batch, mark);
        if (piece[k].zero)
            continue;
        form_eval(&piece[k].form, p, batch, t, part, false);
        memset(check, 0, (size_t)size * sizeof *check);
        terms += fixture_read(&piece[k].form, p, batch, t, check);
        assert_memory_equal(part, check, (size_t)size * sizeof *part);
        for (int64_t at = 0; at < size; at++)
            out[at] += part[at];
    }
    for (int64_t at = 0; at < size; at++)
        assert_int_equal(mark[at], 1);
    free(mark);
    free(part);
    free(check);
    return terms;
}

/* Solve at p, run at this batch and compare with the definition. */
static void check_solved(const struct form *f, unsigned p, int64_t batch,
                         const struct form_piece *piece, uint32_t n, uint32_t *seed)
{
    double *t[HYP_PORTS] = {0};
    for (unsigned j = 0; j < f->nport; j++)
        t[j] = random_array(seed, fixture_size(&f->port[j], batch));
    const int64_t size = fixture_size(&f->port[p], batch);
    double *want = zeros(size), *got = zeros(size);
    const double *const *tc = (const double *const *)t;
    const int64_t terms = fixture_read(f, p, batch, tc, want);
    assert_int_equal(run_pieces(piece, n, p, batch, tc, got), terms);
    for (int64_t at = 0; at < size; at++)
        assert_true(got[at] == want[at]);
    form_eval(f, p, batch, tc, got, false);
    for (int64_t at = 0; at < size; at++)
        assert_true(got[at] == want[at]);
    free(want);
    free(got);
    for (unsigned j = 0; j < f->nport; j++)
        free(t[j]);
}

static bool small_enough(const struct form *f, int64_t batch)
{
    int64_t box = 1;
    for (unsigned k = 0; k < f->naxis; k++)
        box *= ext_at(f->axis[k], batch);
    for (unsigned j = 0; j < f->nport; j++)
        if (fixture_size(&f->port[j], batch) > FIXTURE_MOST)
            return false;
    return box <= 20000;
}

static void random_forms_are_solved(void **state)
{
    (void)state;
    uint32_t seed = 1, many = 0;
    struct arena *a = arena_new();
    for (int round = 0; round < 900; round++) {
        const struct form f = fixture_form(&seed, false);
        assert_null(form_validate(&f));
        for (unsigned p = 0; p < f.nport; p++) {
            struct form_piece *piece;
            const uint32_t n = form_solve(&f, p, a, &piece);
            if (n == 0)
                fail_msg("not solved at %u: %s", p, form_print(&f, p, a));
            many += n > 1;
            check_solved(&f, p, 1, piece, n, &seed);
        }
        arena_reset(a);
    }
    assert_true(many > 300); /* the generator still asks for something */
    arena_free(a);
}

/* With B in extents and offsets a form may be refused, but one solution holds for every B.
 */
static void symbolic_forms_are_solved_for_all_batches(void **state)
{
    (void)state;
    uint32_t seed = 2, solved = 0, split = 0;
    struct arena *a = arena_new();
    for (int round = 0; round < 900; round++) {
        const struct form f = fixture_form(&seed, true);
        if (form_validate(&f))
            continue;
        for (unsigned p = 0; p < f.nport; p++) {
            struct form_piece *piece;
            const uint32_t n = form_solve(&f, p, a, &piece);
            solved += n > 0;
            split += n > 1;
            for (int64_t batch = 1; n > 0 && batch <= 4; batch++)
                if (small_enough(&f, batch))
                    check_solved(&f, p, batch, piece, n, &seed);
        }
        arena_reset(a);
    }
    assert_true(solved > 1000 && split > 100);
    arena_free(a);
}

static void refuses_what_it_cannot(void **state)
{
    static const char *const text[] = {
        "{a:3} A[a,a] += S[a]",                 /* an axis in two dims */
        "{a:2,b:3,c:2} A[a+b+c/5] += S[a,b,c]", /* three overlapping axes */
        "{a:B} A[2a/B] += S[a]",                /* phases that change with B */
        "{a:B} A[a+B/2B] += S[]",               /* holes known only at run time */
        "{a:3} A[3a+B/2B+9] += S[a]",
    };
    (void)state;
    struct arena *a = arena_new();
    for (size_t i = 0; i < sizeof text / sizeof text[0]; i++) {
        struct form f;
        struct form_piece *piece;
        unsigned p;
        assert_true(form_parse(text[i], &f, &p, NULL));
        assert_int_equal(form_solve(&f, p, a, &piece), 0);
    }
    arena_free(a);
}

/* What codegen relies on: the pieces of common forms look as one expects. */
static void pieces_of_common_forms(void **state)
{
    static const struct {
        const char *form;
        uint32_t n;
        const char *piece; /* the first */
    } row[] = {
        {"{a:B,b:8,c:4} Y[a,b] += X[a,c] * W[b,c]", 1,
         "{a:B,b:8,c:4} Y[a,b] += X[a,c] * W[b,c]"},
        {"{a:B,b:12} A[a,b+4/16] += S[a,b]", 1, "{a:B,b:16} A[a,b] += S[a,b-4/12]"},
        {"{a:B} A[a+B/2B] += S[a]", 1, "{a:2B} A[a] += S[a-B/B]"},
        {"{a:B,b:3} A[a,2-b/3] += S[a,b]", 1, "{a:B,b:3} A[a,b] += S[a,-b+2/3]"},
        {"{a:2B} A[a/B] += S[]", 1, "{a:B} A[a] += S[]"},
        {"{a:7,b:2} A[2a+b/14] += S[a]", 1, "{a:7,b:2} A[2a+b/14] += S[a]"},
        {"{a:7,b:4} A[2a+b-1/14] += S[a]", 2, "{a:7,b:2} A[2a/14] += S[a-b/7]"},
        {"{a:3} A[4a+1/12] += S[a]", 3, "{a:3} A[4a/12] += S[/]"},
        {"{} A[3/10] += S[]", 3, "{a:3} A[a/10] += S[]"},
    };
    (void)state;
    struct arena *a = arena_new();
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct form f;
        struct form_piece *piece;
        unsigned p;
        assert_true(form_parse(row[i].form, &f, &p, NULL));
        const uint32_t n = form_solve(&f, p, a, &piece);
        if (n != row[i].n)
            fail_msg("%s: %u pieces", row[i].form, n);
        if (!piece[0].zero)
            assert_string_equal(form_print(&piece[0].form, p, a), row[i].piece);
    }
    arena_free(a);
}

/* ---- convolutions ---- */

/* Image extent = (out - 1) * s - 2p + d(k - 1) + 1 + extra; extra is torch's
 * output_padding. */
static const struct line {
    int32_t out, k, s, p, d, extra;
} line[32] = {
    {5, 1, 1, 0, 1, 0}, {5, 3, 1, 1, 1, 0}, {4, 4, 2, 1, 1, 0}, {3, 5, 2, 2, 1, 1},
    {4, 3, 2, 1, 1, 1}, {4, 2, 2, 0, 1, 0}, {3, 1, 3, 0, 1, 2}, {2, 3, 4, 0, 1, 0},
    {2, 2, 5, 0, 1, 3}, {2, 1, 6, 0, 1, 5}, {4, 3, 1, 2, 2, 0}, {4, 3, 2, 2, 2, 1},
    {3, 3, 3, 1, 2, 0}, {3, 2, 2, 1, 3, 1}, {3, 3, 2, 0, 4, 0}, {2, 4, 4, 2, 2, 3},
    {5, 5, 1, 2, 1, 0}, {3, 4, 3, 1, 3, 2}, {2, 5, 6, 2, 1, 5}, {2, 5, 4, 1, 2, 1},
    {1, 4, 2, 0, 1, 0}, {1, 3, 1, 1, 1, 0}, {6, 2, 1, 0, 4, 0}, {4, 4, 2, 2, 1, 1},
    {3, 2, 6, 0, 4, 0}, {3, 3, 6, 2, 3, 4}, {2, 5, 5, 2, 3, 0}, {4, 1, 2, 0, 1, 1},
    {3, 4, 4, 1, 1, 0}, {2, 3, 6, 1, 4, 2}, {5, 2, 1, 1, 1, 0}, {3, 5, 3, 0, 1, 1},
};

struct conv {
    int32_t n, groups, in[3], out[3], k[2], s[2], p[2], d[2];
    int64_t nx, ny, nw;
};

static int32_t image_extent(const struct line *l)
{
    return (l->out - 1) * l->s - 2 * l->p + l->d * (l->k - 1) + 1 + l->extra;
}

static struct conv conv_case(unsigned i)
{
    const struct line *l[2] = {&line[i], &line[(5 * i + 3) % 32]};
    struct conv c = {.n = 2, .groups = i % 3 == 2 ? 2 : 1};
    c.in[0] = c.groups * (int32_t)(1 + i % 2);
    c.out[0] = c.groups * (int32_t)(1 + i / 2 % 3);
    for (int a = 0; a < 2; a++) {
        c.in[1 + a] = image_extent(l[a]);
        c.out[1 + a] = l[a]->out;
        c.k[a] = l[a]->k;
        c.s[a] = l[a]->s;
        c.p[a] = l[a]->p;
        c.d[a] = l[a]->d;
        assert_true(c.in[1 + a] > 0);
    }
    c.nx = (int64_t)c.n * c.in[0] * c.in[1] * c.in[2];
    c.ny = (int64_t)c.n * c.out[0] * c.out[1] * c.out[2];
    c.nw = (int64_t)c.out[0] * (c.in[0] / c.groups) * c.k[0] * c.k[1];
    return c;
}

static int64_t weight_at(const struct conv *c, int32_t f, int32_t ch, int32_t u, int32_t v)
{
    const int32_t cg = c->in[0] / c->groups;
    return (((int64_t)f * cg + ch % cg) * c->k[0] + u) * c->k[1] + v;
}

static int64_t pixel_at(const int32_t shape[3], int32_t n, int32_t ch, int32_t y, int32_t x)
{
    return (((int64_t)n * shape[0] + ch) * shape[1] + y) * shape[2] + x;
}

/* Forward as a window that slides over the image. */
static void conv_forward(const struct conv *c, const double *x, const double *w, double *y)
{
    const int32_t cg = c->in[0] / c->groups, fg = c->out[0] / c->groups;
    memset(y, 0, (size_t)c->ny * sizeof *y);
    for (int32_t n = 0; n < c->n; n++)
        for (int32_t f = 0; f < c->out[0]; f++)
            for (int32_t i = 0; i < c->out[1]; i++)
                for (int32_t j = 0; j < c->out[2]; j++)
                    for (int32_t ch = f / fg * cg; ch < (f / fg + 1) * cg; ch++)
                        for (int32_t u = 0; u < c->k[0]; u++)
                            for (int32_t v = 0; v < c->k[1]; v++) {
                                const int32_t a = i * c->s[0] + u * c->d[0] - c->p[0];
                                const int32_t b = j * c->s[1] + v * c->d[1] - c->p[1];
                                if (a >= 0 && a < c->in[1] && b >= 0 && b < c->in[2])
                                    y[pixel_at(c->out, n, f, i, j)] +=
                                        x[pixel_at(c->in, n, ch, a, b)] *
                                        w[weight_at(c, f, ch, u, v)];
                            }
}

/* The o with o * s + u * d - p = at, or -1. */
static int32_t window_over(int32_t at, int32_t u, int32_t s, int32_t p, int32_t d,
                           int32_t n)
{
    const int32_t o = at + p - u * d;
    return o >= 0 && o % s == 0 && o / s < n ? o / s : -1;
}

/* Gradient of the image (and conv_transpose), gathered pixel by pixel. */
static void conv_image(const struct conv *c, const double *y, const double *w, double *x)
{
    const int32_t cg = c->in[0] / c->groups, fg = c->out[0] / c->groups;
    memset(x, 0, (size_t)c->nx * sizeof *x);
    for (int32_t n = 0; n < c->n; n++)
        for (int32_t ch = 0; ch < c->in[0]; ch++)
            for (int32_t a = 0; a < c->in[1]; a++)
                for (int32_t b = 0; b < c->in[2]; b++)
                    for (int32_t f = ch / cg * fg; f < (ch / cg + 1) * fg; f++)
                        for (int32_t u = 0; u < c->k[0]; u++)
                            for (int32_t v = 0; v < c->k[1]; v++) {
                                const int32_t i =
                                    window_over(a, u, c->s[0], c->p[0], c->d[0], c->out[1]);
                                const int32_t j =
                                    window_over(b, v, c->s[1], c->p[1], c->d[1], c->out[2]);
                                if (i >= 0 && j >= 0)
                                    x[pixel_at(c->in, n, ch, a, b)] +=
                                        y[pixel_at(c->out, n, f, i, j)] *
                                        w[weight_at(c, f, ch, u, v)];
                            }
}

/* Gradient of the weights, one weight after the other. */
static void conv_weight(const struct conv *c, const double *y, const double *x, double *w)
{
    const int32_t cg = c->in[0] / c->groups, fg = c->out[0] / c->groups;
    memset(w, 0, (size_t)c->nw * sizeof *w);
    for (int32_t f = 0; f < c->out[0]; f++)
        for (int32_t ch = f / fg * cg; ch < (f / fg + 1) * cg; ch++)
            for (int32_t u = 0; u < c->k[0]; u++)
                for (int32_t v = 0; v < c->k[1]; v++)
                    for (int32_t n = 0; n < c->n; n++)
                        for (int32_t i = 0; i < c->out[1]; i++)
                            for (int32_t j = 0; j < c->out[2]; j++) {
                                const int32_t a = i * c->s[0] + u * c->d[0] - c->p[0];
                                const int32_t b = j * c->s[1] + v * c->d[1] - c->p[1];
                                if (a >= 0 && a < c->in[1] && b >= 0 && b < c->in[2])
                                    w[weight_at(c, f, ch, u, v)] +=
                                        y[pixel_at(c->out, n, f, i, j)] *
                                        x[pixel_at(c->in, n, ch, a, b)];
                            }
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void same(const double *a, const double *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (a[i] != b[i])
            fail_msg("element %d is %g, want %g", (int)i, a[i], b[i]);
}

struct conv_data {
    struct conv c;
    struct form f;
    double *x, *y, *w, *dx, *dw; /* operands, and directions for second derivatives */
    double *want, *got;
    struct form_piece *piece[3];
    uint32_t npiece[3];
};

/* Pieces at p of these operands into `got`; the number of multiplications. */
static int64_t conv_read(struct conv_data *k, unsigned p, const double *y, const double *x,
                         const double *w)
{
    const double *t[3] = {y, x, w};
    const int64_t size = fixture_size(&k->f.port[p], k->c.n);
    memset(k->got, 0, (size_t)size * sizeof *k->got);
    return run_pieces(k->piece[p], k->npiece[p], p, k->c.n, t, k->got);
}

/*
 * With g = y: dX = C^X(g, w) and dW = C^W(g, x) are first derivatives of <g, conv>.  Those
 * of <dx, dX> and <dw, dW> are read-outs too, with dx or dw in the place of x or w.  The
 * loops say what they must be; and since all is linear, differences of the loops are
 * derivatives.
 */
static void conv_second(struct conv_data *k)
{
    const struct conv *c = &k->c;
    conv_read(k, 0, NULL, k->dx, k->w); /* d<dx, dX>/dg */
    conv_forward(c, k->dx, k->w, k->want);
    same(k->got, k->want, c->ny);
    conv_read(k, 0, NULL, k->x, k->dw); /* d<dw, dW>/dg */
    conv_forward(c, k->x, k->dw, k->want);
    same(k->got, k->want, c->ny);
    conv_read(k, 2, k->y, k->dx, NULL); /* d<dx, dX>/dw, against differences */
    conv_image(c, k->y, k->w, k->want);
    const double at_w = dot(k->dx, k->want, c->nx);
    for (int64_t i = 0; i < c->nw; i += 1 + c->nw / 7) {
        k->w[i] += 1;
        conv_image(c, k->y, k->w, k->want);
        k->w[i] -= 1;
        assert_true(dot(k->dx, k->want, c->nx) - at_w == k->got[i]);
    }
    conv_read(k, 1, k->y, NULL, k->dw); /* d<dw, dW>/dx, against differences */
    conv_weight(c, k->y, k->x, k->want);
    const double at_x = dot(k->dw, k->want, c->nw);
    for (int64_t i = 0; i < c->nx; i += 1 + c->nx / 7) {
        k->x[i] += 1;
        conv_weight(c, k->y, k->x, k->want);
        k->x[i] -= 1;
        assert_true(dot(k->dw, k->want, c->nw) - at_x == k->got[i]);
    }
}

static void conv_first(struct conv_data *k)
{
    const struct conv *c = &k->c;
    const int64_t forward = conv_read(k, 0, NULL, k->x, k->w);
    conv_forward(c, k->x, k->w, k->want);
    same(k->got, k->want, c->ny);
    const int64_t image = conv_read(k, 1, k->y, NULL, k->w);
    conv_image(c, k->y, k->w, k->want);
    same(k->got, k->want, c->nx);
    const int64_t weight = conv_read(k, 2, k->y, k->x, NULL);
    conv_weight(c, k->y, k->x, k->want);
    same(k->got, k->want, c->nw);
    assert_int_equal(forward, image);
    assert_int_equal(forward, weight);
}

/* contract, then fold, is the read-out at X. */
static void conv_factored(struct conv_data *k)
{
    struct form contract, fold;
    assert_true(form_factor(&k->f, 1, &contract, &fold));
    assert_null(form_validate(&contract));
    assert_null(form_validate(&fold));
    double *columns = zeros(fixture_size(&contract.port[1], k->c.n));
    const double *t[3] = {k->y, NULL, k->w}, *u[2] = {columns, NULL};
    fixture_read(&contract, 1, k->c.n, t, columns);
    memset(k->got, 0, (size_t)k->c.nx * sizeof *k->got);
    fixture_read(&fold, 1, k->c.n, u, k->got);
    conv_image(&k->c, k->y, k->w, k->want);
    same(k->got, k->want, k->c.nx);
    free(columns);
}

static void convolutions_in_every_role(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    for (unsigned i = 0; i < 32; i++) {
        uint32_t seed = i + 1;
        struct conv_data k = {.c = conv_case(i)};
        const struct conv *c = &k.c;
        const int64_t most = c->nx > c->ny ? c->nx : c->ny;
        k.f =
            form_conv((struct ext){0, 1}, c->in, c->out, c->k, c->s, c->p, c->d, c->groups);
        assert_null(form_validate(&k.f));
        double **array[] = {&k.x, &k.y, &k.w, &k.dx, &k.dw, &k.want, &k.got};
        const int64_t n[] = {c->nx, c->ny, c->nw, c->nx, c->nw, most + c->nw, most + c->nw};
        for (int j = 0; j < 7; j++)
            *array[j] = random_array(&seed, n[j]);
        for (unsigned p = 0; p < 3; p++) {
            k.npiece[p] = form_solve(&k.f, p, a, &k.piece[p]);
            assert_true(k.npiece[p] > 0);
        }
        assert_int_equal(k.npiece[0], 1);
        assert_int_equal(k.npiece[2], 1);
        conv_first(&k);
        conv_second(&k);
        conv_factored(&k);
        for (int j = 0; j < 7; j++)
            free(*array[j]);
    }
    arena_free(a);
}

/* k4 s2 p1: four phases of 2x2 weights, equal but for offsets. */
static void phases_of_a_transposed_convolution(void **state)
{
    (void)state;
    const int32_t in[3] = {3, 8, 8}, out[3] = {5, 4, 4}, k[2] = {4, 4}, s[2] = {2, 2},
                  p[2] = {1, 1}, d[2] = {1, 1};
    struct arena *a = arena_new();
    struct form_piece *piece;
    const struct form f = form_conv((struct ext){0, 1}, in, out, k, s, p, d, 1);
    assert_string_equal(form_print(&f, 1, a),
                        "{a:B,b:5,c:4,d:4,e:3,f:4,g:4} X[a,e,2c+f-1/8,2d+g-1/8] += "
                        "Y[a,b,c,d] * W[b,e,f,g]");
    assert_int_equal(form_solve(&f, 1, a, &piece), 4);
    assert_string_equal(form_print(&piece[0].form, 1, a),
                        "{a:B,b:5,c:4,d:4,e:3,f:2,g:2} X[a,e,2c/8,2d/8] += "
                        "Y[a,b,c-f/4,d-g/4] * W[b,e,2f+1/4,2g+1/4]");
    assert_string_equal(form_print(&piece[3].form, 1, a),
                        "{a:B,b:5,c:4,d:4,e:3,f:2,g:2} X[a,e,2c+1/8,2d+1/8] += "
                        "Y[a,b,c-f+1/4,d-g+1/4] * W[b,e,2f/4,2g/4]");
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_forms_are_solved),
        cmocka_unit_test(symbolic_forms_are_solved_for_all_batches),
        cmocka_unit_test(refuses_what_it_cannot),
        cmocka_unit_test(pieces_of_common_forms),
        cmocka_unit_test(convolutions_in_every_role),
        cmocka_unit_test(phases_of_a_transposed_convolution),
    };
    return cmocka_run_group_tests_name("form_solve", tests, NULL, NULL);
}
