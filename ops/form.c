/* Forms: comparison, checks and the reference read-out.  See form.h for what a form means.
 */
#include "ops/form.h"

#include <math.h>
#include <string.h>

/* ---- comparison ---- */

static uint64_t mix(uint64_t h, int64_t x)
{
    h ^= (uint64_t)x;
    h *= 0x9E3779B97F4A7C15U;
    return h ^ h >> 29;
}

static uint64_t mix_ext(uint64_t h, struct ext e)
{
    return mix(mix(h, e.c), e.b);
}

static uint64_t mix_dim(uint64_t h, const struct dimmap *d)
{
    h = mix_ext(mix(h, d->n), d->off);
    for (unsigned k = 0; k < d->n; k++)
        h = mix(mix(h, d->axis[k]), d->coef[k]);
    return h;
}

uint64_t form_hash(const struct form *f)
{
    uint64_t h = mix(mix(mix(1, f->naxis), f->nport), f->order);
    if (f->order == ORDER_CHUNK)
        h = mix(h, f->chunk);
    for (unsigned k = 0; k < f->naxis; k++)
        h = mix_ext(h, f->axis[k]);
    for (unsigned j = 0; j < f->nport; j++) {
        const struct port *q = &f->port[j];
        h = mix(h, q->rank);
        for (unsigned r = 0; r < q->rank; r++)
            h = mix_dim(mix_ext(h, q->shape[r]), &q->dim[r]);
    }
    return h;
}

static bool dim_equal(const struct dimmap *x, const struct dimmap *y)
{
    if (x->n != y->n || !ext_eq(x->off, y->off))
        return false;
    for (unsigned k = 0; k < x->n; k++)
        if (x->axis[k] != y->axis[k] || x->coef[k] != y->coef[k])
            return false;
    return true;
}

static bool port_equal(const struct port *x, const struct port *y)
{
    if (x->rank != y->rank)
        return false;
    for (unsigned r = 0; r < x->rank; r++)
        if (!ext_eq(x->shape[r], y->shape[r]) || !dim_equal(&x->dim[r], &y->dim[r]))
            return false;
    return true;
}

bool form_equal(const struct form *x, const struct form *y)
{
    if (x->naxis != y->naxis || x->nport != y->nport || x->order != y->order)
        return false;
    if (x->order == ORDER_CHUNK && x->chunk != y->chunk)
        return false;
    for (unsigned k = 0; k < x->naxis; k++)
        if (!ext_eq(x->axis[k], y->axis[k]))
            return false;
    for (unsigned j = 0; j < x->nport; j++)
        if (!port_equal(&x->port[j], &y->port[j]))
            return false;
    return true;
}

/* ---- checks ---- */

static bool extent_ok(struct ext e)
{
    return e.b >= 0 && ext_at(e, 1) >= 1;
}

static const char *validate_dim(const struct form *f, const struct dimmap *d)
{
    uint32_t seen = 0;
    if (d->n > HYP_DIM_AXES)
        return "a dim with too many axes";
    for (unsigned k = 0; k < d->n; k++) {
        if (d->axis[k] < 0 || d->axis[k] >= f->naxis)
            return "a dim names an axis that is not in the box";
        if (d->coef[k] == 0)
            return "a dim with a zero coefficient";
        if (seen >> d->axis[k] & 1)
            return "a dim names an axis twice";
        seen |= 1U << d->axis[k];
    }
    return NULL;
}

const char *form_validate(const struct form *f)
{
    if (f->nport < 2 || f->nport > HYP_PORTS)
        return "a form has two or three ports";
    if (f->naxis > HYP_AXES)
        return "too many axes";
    if (f->order > ORDER_CHUNK || (f->order == ORDER_CHUNK && f->chunk == 0))
        return "no such order";
    for (unsigned k = 0; k < f->naxis; k++)
        if (!extent_ok(f->axis[k]))
            return "an axis without extent";
    for (unsigned j = 0; j < f->nport; j++) {
        const struct port *q = &f->port[j];
        if (q->rank > HYP_RANK)
            return "a port with too many dims";
        for (unsigned r = 0; r < q->rank; r++) {
            const char *why = validate_dim(f, &q->dim[r]);
            if (why)
                return why;
            if (!extent_ok(q->shape[r]))
                return "a port with an empty shape";
        }
    }
    return NULL;
}

static uint32_t used_axes(const struct port *q)
{
    uint32_t used = 0;
    for (unsigned r = 0; r < q->rank; r++)
        for (unsigned k = 0; k < q->dim[r].n; k++)
            used |= 1U << q->dim[r].axis[k];
    return used;
}

uint32_t form_reduced(const struct form *f, unsigned p)
{
    return ((1U << f->naxis) - 1) & ~used_axes(&f->port[p]);
}

/* Row-major address of a port as off + sum coef[k] * axis[k], modulo 2^64, and its size. */
struct address {
    uint64_t off, coef[HYP_AXES], size;
};

static struct address address_of(const struct port *q, int64_t batch)
{
    struct address a = {.size = 1};
    for (unsigned r = q->rank; r-- > 0;) {
        const struct dimmap *d = &q->dim[r];
        a.off += (uint64_t)ext_at(d->off, batch) * a.size;
        for (unsigned k = 0; k < d->n; k++)
            a.coef[d->axis[k]] += (uint64_t)d->coef[k] * a.size;
        a.size *= (uint64_t)ext_at(q->shape[r], batch);
    }
    return a;
}

/* Every index of the box inside the port, at this batch size. */
static bool all_inside(const struct form *f, const struct port *q, int64_t batch)
{
    for (unsigned r = 0; r < q->rank; r++) {
        const struct dimmap *d = &q->dim[r];
        int64_t lo = ext_at(d->off, batch), hi = lo;
        for (unsigned k = 0; k < d->n; k++) {
            const int64_t span = d->coef[k] * (ext_at(f->axis[d->axis[k]], batch) - 1);
            *(span < 0 ? &lo : &hi) += span;
        }
        if (lo < 0 || hi >= ext_at(q->shape[r], batch))
            return false;
    }
    return true;
}

/* The coefficients are 1, e1, e1*e2, ... up to order and sign: each address is met once. */
static bool is_mixed_radix(const struct form *f, const struct address *a, int64_t batch)
{
    uint64_t reach = 1;
    uint32_t left = 0;
    for (unsigned k = 0; k < f->naxis; k++)
        if (ext_at(f->axis[k], batch) > 1)
            left |= 1U << k;
    while (left) {
        unsigned k = 0;
        while (k < f->naxis &&
               !(left >> k & 1 && (a->coef[k] == reach || a->coef[k] == 0 - reach)))
            k++;
        if (k == f->naxis)
            return false;
        left &= ~(1U << k);
        reach *= (uint64_t)ext_at(f->axis[k], batch);
    }
    return reach == a->size;
}

static bool is_view_at(const struct form *f, int64_t batch)
{
    const struct address a = address_of(&f->port[0], batch);
    const struct address b = address_of(&f->port[1], batch);
    if (a.off != b.off || a.size != b.size)
        return false;
    for (unsigned k = 0; k < f->naxis; k++)
        if (a.coef[k] != b.coef[k] && ext_at(f->axis[k], batch) > 1)
            return false;
    return is_mixed_radix(f, &a, batch) && all_inside(f, &f->port[0], batch) &&
           all_inside(f, &f->port[1], batch);
}

/*
 * All quantities are polynomials in B of degree at most HYP_RANK + 1, so agreement at more
 * batch sizes than that is agreement.
 */
bool form_is_view(const struct form *f, unsigned p)
{
    if (f->nport != 2 || form_reduced(f, p) != 0 || form_reduced(f, 1 - p) != 0)
        return false;
    for (int64_t batch = 1; batch <= HYP_RANK + 3; batch++)
        if (!is_view_at(f, batch))
            return false;
    return true;
}

/* ---- reference read-out ---- */

struct cursor {
    const struct form *f;
    unsigned p;
    int64_t batch;
    const double *const *t;
    bool f32;
    int64_t i[HYP_AXES];
};

/* The next point of the box in lexicographic order, over `axes` only; false after the last.
 */
static bool step(struct cursor *c, uint32_t axes)
{
    for (unsigned k = c->f->naxis; k-- > 0;) {
        if (!(axes >> k & 1))
            continue;
        if (++c->i[k] < ext_at(c->f->axis[k], c->batch))
            return true;
        c->i[k] = 0;
    }
    return false;
}

static bool locate(const struct cursor *c, const struct port *q, int64_t *address)
{
    int64_t at = 0;
    for (unsigned r = 0; r < q->rank; r++) {
        const struct dimmap *d = &q->dim[r];
        const int64_t n = ext_at(q->shape[r], c->batch);
        int64_t index = ext_at(d->off, c->batch);
        for (unsigned k = 0; k < d->n; k++)
            index += d->coef[k] * c->i[d->axis[k]];
        if (index < 0 || index >= n)
            return false;
        at = at * n + index;
    }
    *address = at;
    return true;
}

/* acc with the term at this point, if all its operands are inside. */
static double add_term(const struct cursor *c, double acc)
{
    double x[HYP_PORTS];
    unsigned n = 0;
    int64_t at;
    for (unsigned j = 0; j < c->f->nport; j++) {
        if (j == c->p)
            continue;
        if (!locate(c, &c->f->port[j], &at))
            return acc;
        x[n++] = c->t[j][at];
    }
    if (n == 1)
        return c->f32 ? (double)((float)acc + (float)x[0]) : acc + x[0];
    return c->f32 ? (double)fmaf((float)x[0], (float)x[1], (float)acc)
                  : fma(x[0], x[1], acc);
}

static double add(const struct cursor *c, double x, double y)
{
    return c->f32 ? (double)((float)x + (float)y) : x + y;
}

static double chain(struct cursor *c, uint32_t axes, double acc)
{
    do {
        acc = add_term(c, acc);
    } while (step(c, axes));
    return acc;
}

static double lanes(struct cursor *c, uint32_t axes)
{
    double p[16] = {0};
    unsigned e = 0;
    do {
        p[e % 16] = add_term(c, p[e % 16]);
        e++;
    } while (step(c, axes));
    for (unsigned h = 8; h > 0; h /= 2)
        for (unsigned l = 0; l < h; l++)
            p[l] = add(c, p[l], p[l + h]);
    return p[0];
}

static double chunks(struct cursor *c, uint32_t axes)
{
    if (axes == 0)
        return chain(c, 0, 0);
    unsigned first = 0;
    while (!(axes >> first & 1))
        first++;
    const int64_t n = ext_at(c->f->axis[first], c->batch);
    double total = 0, acc = 0;
    for (int64_t i = 0; i < n; i++) {
        c->i[first] = i;
        acc = chain(c, axes & ~(1U << first), acc);
        if ((i + 1) % c->f->chunk == 0 || i + 1 == n) {
            total = i < c->f->chunk ? acc : add(c, total, acc);
            acc = 0;
        }
    }
    c->i[first] = 0;
    return total;
}

void form_eval_onto(const struct form *f, unsigned p, int64_t batch, const double *const *t,
                    double *out, bool f32)
{
    struct cursor c = {.f = f, .p = p, .batch = batch, .t = t, .f32 = f32};
    const uint32_t reduced = form_reduced(f, p);
    const uint32_t kept = used_axes(&f->port[p]);
    int64_t at;
    do {
        if (!locate(&c, &f->port[p], &at))
            continue;
        if (f->order == ORDER_SEQ)
            out[at] = chain(&c, reduced, out[at]);
        else
            out[at] =
                add(&c, out[at],
                    f->order == ORDER_LANES ? lanes(&c, reduced) : chunks(&c, reduced));
    } while (step(&c, kept));
}

void form_eval(const struct form *f, unsigned p, int64_t batch, const double *const *t,
               double *out, bool f32)
{
    int64_t size = 1;
    for (unsigned r = 0; r < f->port[p].rank; r++)
        size *= ext_at(f->port[p].shape[r], batch);
    memset(out, 0, (size_t)size * sizeof *out);
    form_eval_onto(f, p, batch, t, out, f32);
}

bool form_is_plain_sum(const struct form *f, unsigned p)
{
    const struct port *src = &f->port[p ? 0 : 1];
    if (f->nport != 2 || !form_reduced(f, p))
        return false;
    for (unsigned k = 0; k < f->naxis; k++) /* an axis of its own takes elements again */
        if ((form_reduced(f, p ? 0 : 1) >> k & 1) && !ext_eq(f->axis[k], ext_const(1)))
            return false;
    for (unsigned i = 0; i < src->rank; i++) {
        const struct dimmap *d = &src->dim[i];
        if (d->n == 0 && src->shape[i].c == 1 && src->shape[i].b == 0)
            continue;
        if (d->n != 1 || d->coef[0] != 1 || d->off.c || d->off.b ||
            !ext_eq(f->axis[d->axis[0]], src->shape[i]))
            return false;
    }
    return true;
}
