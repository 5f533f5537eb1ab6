/*
 * Solving a form at a port: pieces whose output map is injective.
 *
 * Each dim of port p is h = off + sum coef * axis.  Nothing is to be done if the axes are
 * the digits of h (one axis that covers the dim is the common case).  Otherwise at most two
 * axes may overlap, h = s*o + d*k + off with s, d > 0 after reversing axes.  Write h = s*q
 * + phi for phi = 0..s-1, r = phi - off and g = gcd(s, d):
 *
 *   - if g does not divide r no term reaches the phase: it is zero;
 *   - else k = k0 + (s/g)*t with k0 the least k >= 0 such that d*k = r (mod s), and
 *     o = q + (r - d*k0)/s - (d/g)*t.
 *
 * q is kept, t is reduced, and what is left is 0 <= o < O.  That predicate usually follows
 * from another port, in which o is an index of its own (`pinned`).  Where it does not, q is
 * cut into runs in which the same t are valid, so a piece is always a plain form.
 *
 * Of the two axes, o is that with the larger span coef * extent: fewest t per element.
 */
#include <string.h>

#include "ops/form.h"
#include "runtime/base/arena.h"

struct solver {
    unsigned p;
    struct arena *arena;
    struct form_piece *piece;
    uint32_t n, cap;
    bool failed;
};

/* More pieces than this are a form that nobody meant. */
enum { MOST_PIECES = 1 << 14, WALKED_PIECES = 128 };

/* One overlapping dim: h = s*o + d*k + off; k is -1 if there is none. */
struct window {
    unsigned dim;
    int o, k;
    int64_t s, d, g;
    struct ext off, extent_o, extent_k, shape;
};

/* One phase of it; k = k0 + sigma*t, o = q + shift - delta*t, t < nt, q < nq. */
struct phase {
    int64_t phi, k0, sigma, delta;
    struct ext shift, nq, nt;
    bool zero;
};

/* A part of a phase: q from q0, nq of them, t from t0, nt of them. */
struct part {
    int64_t q0, t0;
    struct ext nq, nt;
};

/* ---- small arithmetic ---- */

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        const int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

static struct ext make_ext(struct solver *s, int64_t c, int64_t b)
{
    if (c < INT32_MIN || c > INT32_MAX || b < INT32_MIN || b > INT32_MAX)
        s->failed = true;
    return (struct ext){(int32_t)c, (int32_t)b};
}

static int32_t make_coef(struct solver *s, int64_t x)
{
    return make_ext(s, x, 0).c;
}

/* ceil(e / m), where that is again c + b*B. */
static struct ext ceil_div(struct solver *s, struct ext e, int64_t m)
{
    if (e.b % m != 0)
        s->failed = true;
    return make_ext(s, -floor_div(-(int64_t)e.c, m), e.b / m);
}

/* Less than 1 for every B; what is empty for some B only is not solved. */
static bool is_empty(struct solver *s, struct ext e)
{
    if (ext_at(e, 1) >= 1)
        return false;
    if (e.b > 0)
        s->failed = true;
    return true;
}

/* x <= y for every B >= 1 */
static bool at_most(int64_t xc, int64_t xb, int64_t yc, int64_t yb)
{
    return xc + xb <= yc + yb && xb <= yb;
}

/* ---- changing axes ---- */

/* Axis k by extent - 1 - k, everywhere. */
static void reverse_axis(struct solver *s, struct form *f, int k)
{
    for (unsigned j = 0; j < f->nport; j++) {
        for (unsigned r = 0; r < f->port[j].rank; r++) {
            struct dimmap *d = &f->port[j].dim[r];
            for (unsigned i = 0; i < d->n; i++) {
                if (d->axis[i] != k)
                    continue;
                const int64_t c = d->coef[i];
                d->off = make_ext(s, d->off.c + c * (f->axis[k].c - 1),
                                  d->off.b + c * f->axis[k].b);
                d->coef[i] = make_coef(s, -c);
            }
        }
    }
}

/* The dim from one coefficient per axis. */
static void set_terms(struct solver *s, struct dimmap *d, const int64_t coef[HYP_AXES])
{
    d->n = 0;
    for (int k = 0; k < HYP_AXES; k++) {
        if (coef[k] == 0)
            continue;
        if (d->n == HYP_DIM_AXES) {
            s->failed = true;
            return;
        }
        d->axis[d->n] = (int8_t)k;
        d->coef[d->n++] = make_coef(s, coef[k]);
    }
}

/* o and k by their expressions in q (which takes o's place) and t (which takes k's). */
static void substitute(struct solver *s, struct dimmap *d, const struct window *w,
                       const struct phase *ph, const struct part *part)
{
    int64_t coef[HYP_AXES] = {0};
    for (unsigned i = 0; i < d->n; i++)
        coef[d->axis[i]] = d->coef[i];
    const int64_t co = coef[w->o], ck = w->k >= 0 ? coef[w->k] : 0;
    if (co == 0 && ck == 0)
        return;
    const int64_t o0 = ph->shift.c + part->q0 - ph->delta * part->t0;
    const int64_t k0 = ph->k0 + ph->sigma * part->t0;
    d->off =
        make_ext(s, d->off.c + co * o0 + ck * k0, d->off.b + co * (int64_t)ph->shift.b);
    if (w->k >= 0)
        coef[w->k] = ext_eq(part->nt, ext_const(1)) ? 0 : ck * ph->sigma - co * ph->delta;
    set_terms(s, d, coef);
}

static void delete_axis(struct form *f, int k)
{
    for (unsigned j = 0; j < f->nport; j++)
        for (unsigned r = 0; r < f->port[j].rank; r++)
            for (unsigned i = 0; i < f->port[j].dim[r].n; i++)
                if (f->port[j].dim[r].axis[i] > k)
                    f->port[j].dim[r].axis[i]--;
    f->naxis--;
    memmove(&f->axis[k], &f->axis[k + 1], (size_t)(f->naxis - k) * sizeof f->axis[0]);
    memset(&f->axis[f->naxis], 0, sizeof f->axis[0]);
}

static struct form form_of_part(struct solver *s, const struct form *f,
                                const struct window *w, const struct phase *ph,
                                const struct part *part)
{
    struct form g = *f;
    for (unsigned j = 0; j < g.nport; j++)
        for (unsigned r = 0; r < g.port[j].rank; r++)
            substitute(s, &g.port[j].dim[r], w, ph, part);
    struct dimmap *out = &g.port[s->p].dim[w->dim];
    *out = (struct dimmap){.n = 1,
                           .axis = {(int8_t)w->o},
                           .coef = {make_coef(s, w->s)},
                           .off = make_ext(s, ph->phi + w->s * part->q0, 0)};
    g.axis[w->o] = part->nq;
    if (w->k < 0)
        return g;
    g.axis[w->k] = part->nt;
    if (ext_eq(part->nt, ext_const(1)))
        delete_axis(&g, w->k);
    return g;
}

/* ---- pieces ---- */

static void emit(struct solver *s, const struct form *f, bool zero)
{
    if (s->failed || s->n == MOST_PIECES) {
        s->failed = true;
        return;
    }
    s->piece = arena_grow(s->arena, s->piece, &s->cap, s->n + 1, sizeof *s->piece);
    s->piece[s->n++] = (struct form_piece){*f, zero};
}

static int8_t add_axis(struct solver *s, struct form *f, struct ext extent)
{
    if (f->naxis == HYP_AXES) {
        s->failed = true;
        return 0;
    }
    f->axis[f->naxis] = extent;
    return (int8_t)f->naxis++;
}

/* h = stride*q + j + off, j < nj: elements that no term reaches, in the whole of later
 * dims. */
static void emit_zero(struct solver *s, const struct form *f, unsigned dim, int64_t stride,
                      struct ext nq, int64_t nj, int64_t off)
{
    const struct port *from = &f->port[s->p];
    struct form z = {.nport = f->nport, .order = f->order, .chunk = f->chunk};
    struct port *to = &z.port[s->p];
    for (unsigned j = 0; j < f->nport; j++) {
        z.port[j].rank = f->port[j].rank;
        memcpy(z.port[j].shape, f->port[j].shape, sizeof f->port[j].shape);
    }
    for (unsigned r = 0; r < from->rank; r++) {
        struct dimmap *d = &to->dim[r];
        if (r < dim) {
            *d = from->dim[r];
            for (unsigned i = 0; i < d->n; i++)
                d->axis[i] = add_axis(s, &z, f->axis[from->dim[r].axis[i]]);
            continue;
        }
        const bool here = r == dim;
        d->axis[d->n] = add_axis(s, &z, here ? nq : from->shape[r]);
        d->coef[d->n++] = here ? make_coef(s, stride) : 1;
        if (here && nj > 1) {
            d->axis[d->n] = add_axis(s, &z, make_ext(s, nj, 0));
            d->coef[d->n++] = 1;
        }
        d->off = make_ext(s, here ? off : 0, 0);
    }
    emit(s, &z, true);
}

static void solve_from(struct solver *s, const struct form *f, unsigned dim);

static void solve_part(struct solver *s, const struct form *f, const struct window *w,
                       const struct phase *ph, const struct part *part)
{
    const struct form g = form_of_part(s, f, w, ph, part);
    solve_from(s, &g, w->dim + 1);
}

/* ---- the predicate 0 <= o < O ---- */

/* Does this dim, being one of another port, keep o inside? */
static bool dim_pins(const struct dimmap *d, struct ext shape, int o, struct ext extent)
{
    if (d->n != 1 || d->axis[0] != o)
        return false;
    const int64_t c = d->coef[0];
    if (c > 0) /* -off > -c gives o >= 0; shape - 1 - off < c * extent gives o < extent */
        return at_most(d->off.c, d->off.b, c - 1, 0) &&
               at_most((int64_t)shape.c - d->off.c, (int64_t)shape.b - d->off.b,
                       c * extent.c, c * extent.b);
    /* off - |c|*o < shape gives o > (off - shape)/|c|; off - |c|*o >= 0 gives o <= off/|c|
     */
    return at_most((int64_t)shape.c - 1 - d->off.c, (int64_t)shape.b - d->off.b, -c - 1,
                   0) &&
           at_most((int64_t)d->off.c + 1, d->off.b, -c * extent.c, -c * extent.b);
}

static bool pinned(const struct form *f, unsigned p, int o)
{
    for (unsigned j = 0; j < f->nport; j++) {
        if (j == p)
            continue;
        for (unsigned r = 0; r < f->port[j].rank; r++)
            if (dim_pins(&f->port[j].dim[r], f->port[j].shape[r], o, f->axis[o]))
                return true;
    }
    return false;
}

/* o = q + shift - delta*t is inside for all q and t. */
static bool always_inside(const struct window *w, const struct phase *ph)
{
    if (ph->nt.b != 0)
        return false;
    return at_most(ph->delta * ((int64_t)ph->nt.c - 1) - ph->shift.c, -ph->shift.b, 0, 0) &&
           at_most((int64_t)ph->nq.c + ph->shift.c, (int64_t)ph->nq.b + ph->shift.b,
                   w->extent_o.c, w->extent_o.b);
}

/* The t that are valid at q: [t0, t1), within [0, nt). */
static void valid_t(const struct window *w, const struct phase *ph, int64_t q, int64_t *t0,
                    int64_t *t1)
{
    const int64_t x = q + ph->shift.c; /* 0 <= x - delta*t < O */
    *t0 = 0;
    *t1 = ph->nt.c;
    const int64_t lo = -floor_div(-(x - w->extent_o.c + 1), ph->delta);
    const int64_t hi = floor_div(x, ph->delta) + 1;
    if (lo > 0)
        *t0 = lo;
    if (hi < *t1)
        *t1 = hi;
    if (*t1 <= *t0)
        *t0 = *t1 = 0;
}

/* Runs of q with the same valid t.  Extents must be numbers here. */
static void solve_runs(struct solver *s, const struct form *f, const struct window *w,
                       const struct phase *ph)
{
    if (ph->nq.b || ph->nt.b || ph->shift.b || w->extent_o.b) {
        s->failed = true;
        return;
    }
    for (int64_t q = 0, next; q < ph->nq.c && !s->failed; q = next) {
        int64_t t0, t1, u0, u1;
        valid_t(w, ph, q, &t0, &t1);
        for (next = q + 1; next < ph->nq.c; next++) {
            valid_t(w, ph, next, &u0, &u1);
            if (u0 != t0 || u1 != t1)
                break;
        }
        const struct part part = {q, t0, make_ext(s, next - q, 0), make_ext(s, t1 - t0, 0)};
        if (t0 == t1)
            emit_zero(s, f, w->dim, w->s, part.nq, 1, ph->phi + w->s * q);
        else
            solve_part(s, f, w, ph, &part);
    }
}

/* ---- phases ---- */

static struct phase phase_of(struct solver *s, const struct window *w, int64_t phi)
{
    struct phase ph = {.phi = phi, .sigma = w->s / w->g, .delta = w->d / w->g};
    const int64_t r = phi - w->off.c;
    ph.nq = ceil_div(s, make_ext(s, w->shape.c - phi, w->shape.b), w->s);
    if (w->off.b % w->s != 0)
        s->failed = true; /* the phase would change with B */
    ph.zero = r % w->g != 0;
    if (ph.zero || s->failed)
        return ph;
    while ((r - w->d * ph.k0) % w->s != 0)
        ph.k0++;
    ph.shift = make_ext(s, (r - w->d * ph.k0) / w->s, -w->off.b / w->s);
    ph.nt = ceil_div(s, make_ext(s, w->extent_k.c - ph.k0, w->extent_k.b), ph.sigma);
    ph.zero = is_empty(s, ph.nt);
    return ph;
}

static void solve_window(struct solver *s, const struct form *f, const struct window *w)
{
    const bool implied = pinned(f, s->p, w->o);
    struct phase zero = {.phi = -1}; /* begin of the current run of zero phases */
    for (int64_t phi = 0; phi <= w->s && !s->failed; phi++) {
        struct phase ph = {.phi = phi};
        if (phi < w->s)
            ph = phase_of(s, w, phi);
        const bool end = phi == w->s || is_empty(s, ph.nq);
        if (zero.phi >= 0 && (end || !ph.zero || !ext_eq(ph.nq, zero.nq))) {
            emit_zero(s, f, w->dim, w->s, zero.nq, phi - zero.phi, zero.phi);
            zero.phi = -1;
        }
        if (end || s->failed)
            return;
        const struct part all = {0, 0, ph.nq, ph.nt};
        if (ph.zero)
            zero = zero.phi < 0 ? ph : zero;
        else if (implied || always_inside(w, &ph))
            solve_part(s, f, w, &ph, &all);
        else
            solve_runs(s, f, w, &ph);
    }
}

/* ---- dims ---- */

/* The axes are the digits of the index, and nothing else: "a", "28a+b" of 784. */
static bool covers(const struct form *f, const struct dimmap *d, struct ext shape)
{
    struct ext reach = {1, 0};
    uint32_t left = (1U << d->n) - 1;
    if (!ext_eq(d->off, ext_const(0)))
        return false;
    while (left) {
        unsigned i = 0;
        while (i < d->n && !(left >> i & 1 && reach.b == 0 && d->coef[i] == reach.c))
            i++;
        if (i == d->n)
            return false;
        const struct ext e = f->axis[d->axis[i]];
        const int64_t c = (int64_t)reach.c * e.c, b = (int64_t)reach.c * e.b;
        if (c > INT32_MAX || b > INT32_MAX)
            return false;
        reach = (struct ext){(int32_t)c, (int32_t)b};
        left &= ~(1U << i);
    }
    return ext_eq(reach, shape);
}

/* coef * extent, for a large batch */
static bool larger_span(const struct form *f, const struct dimmap *d, unsigned i,
                        unsigned j)
{
    const struct ext x = f->axis[d->axis[i]], y = f->axis[d->axis[j]];
    const int64_t bx = (int64_t)d->coef[i] * x.b, by = (int64_t)d->coef[j] * y.b;
    const int64_t cx = (int64_t)d->coef[i] * x.c, cy = (int64_t)d->coef[j] * y.c;
    if (bx != by)
        return bx > by;
    return cx != cy ? cx > cy : d->coef[i] > d->coef[j];
}

static struct window window_of(struct solver *s, struct form *f, unsigned dim)
{
    struct dimmap *d = &f->port[s->p].dim[dim];
    struct window w = {.dim = dim, .k = -1, .off = d->off};
    w.shape = f->port[s->p].shape[dim];
    w.extent_k = ext_const(1);
    if (d->n == 0) { /* a constant index: an axis of extent 1 for its element */
        d->axis[0] = add_axis(s, f, ext_const(1));
        d->coef[d->n++] = 1;
    }
    const unsigned o = d->n == 2 && larger_span(f, d, 1, 0);
    w.o = d->axis[o];
    w.s = w.d = d->coef[o];
    w.extent_o = f->axis[w.o];
    if (d->n == 2) {
        w.k = d->axis[1 - o];
        w.d = d->coef[1 - o];
        w.extent_k = f->axis[w.k];
    }
    w.g = gcd(w.s, w.d);
    return w;
}

static void solve_from(struct solver *s, const struct form *f, unsigned dim)
{
    const struct port *q = &f->port[s->p];
    while (dim < q->rank && covers(f, &q->dim[dim], q->shape[dim]))
        dim++;
    if (dim == q->rank) {
        emit(s, f, false);
        return;
    }
    struct form g = *f;
    const struct dimmap *d = &g.port[s->p].dim[dim];
    for (unsigned i = 0; i < d->n; i++)
        if (d->coef[i] < 0)
            reverse_axis(s, &g, d->axis[i]);
    if (covers(&g, d, q->shape[dim])) {
        solve_from(s, &g, dim + 1);
        return;
    }
    if (d->n > 2) {
        s->failed = true;
        return;
    }
    const struct window w = window_of(s, &g, dim);
    if (!s->failed)
        solve_window(s, &g, &w);
}

static bool axis_in_two_dims(const struct port *q)
{
    uint32_t seen = 0;
    for (unsigned r = 0; r < q->rank; r++) {
        for (unsigned i = 0; i < q->dim[r].n; i++) {
            if (seen >> q->dim[r].axis[i] & 1)
                return true;
            seen |= 1U << q->dim[r].axis[i];
        }
    }
    return false;
}

uint32_t form_solve(const struct form *f, unsigned p, struct arena *a,
                    struct form_piece **out)
{
    struct solver s = {.p = p, .arena = a};
    *out = NULL;
    if (form_validate(f) || axis_in_two_dims(&f->port[p]))
        return 0;
    solve_from(&s, f, 0);
    if (s.failed)
        return 0;
    *out = s.piece;
    return s.n;
}

bool form_is_direct(const struct form *f, unsigned p)
{
    const struct port *q = &f->port[p];
    for (unsigned r = 0; r < q->rank; r++)
        if (q->dim[r].n > 1 ||
            (q->dim[r].n == 1 && q->dim[r].coef[0] != 1 && q->dim[r].coef[0] != -1))
            return false;
    return !axis_in_two_dims(q);
}

uint32_t form_pieces(const struct form *f, unsigned p, struct arena *a,
                     struct form_piece **out)
{
    const uint32_t n = form_is_direct(f, p) ? 0 : form_solve(f, p, a, out);
    return n <= WALKED_PIECES ? n : 0;
}
