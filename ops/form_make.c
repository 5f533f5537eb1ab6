/* The common forms, and col2im o contract. */
#include <assert.h>
#include <string.h>

#include "ops/form.h"

static uint8_t add_axis(struct form *f, struct ext extent)
{
    assert(f->naxis < HYP_AXES);
    f->axis[f->naxis] = extent;
    return f->naxis++;
}

static struct dimmap *add_dim(struct port *q, struct ext shape)
{
    assert(q->rank < HYP_RANK);
    q->shape[q->rank] = shape;
    return &q->dim[q->rank++];
}

static void add_term(struct dimmap *d, unsigned axis, int32_t coef)
{
    assert(d->n < HYP_DIM_AXES);
    d->axis[d->n] = (int8_t)axis;
    d->coef[d->n++] = coef;
}

/* A dim that is the whole of one axis. */
static void add_plain(struct form *f, unsigned j, unsigned axis)
{
    add_term(add_dim(&f->port[j], f->axis[axis]), axis, 1);
}

struct form form_matmul(struct ext n, struct ext o, struct ext i)
{
    struct form f = {.nport = 3};
    const unsigned an = add_axis(&f, n), ao = add_axis(&f, o), ai = add_axis(&f, i);
    add_plain(&f, 0, an);
    add_plain(&f, 0, ao);
    add_plain(&f, 1, an);
    add_plain(&f, 1, ai);
    add_plain(&f, 2, ao);
    add_plain(&f, 2, ai);
    return f;
}

struct form form_sum(const struct ext *shape, uint8_t rank, uint32_t over)
{
    struct form f = {.nport = 2};
    for (unsigned r = 0; r < rank; r++) {
        const unsigned a = add_axis(&f, shape[r]);
        add_plain(&f, 0, a);
        if (!(over >> r & 1))
            add_plain(&f, 1, a);
    }
    return f;
}

struct form form_permute(const struct ext *shape, uint8_t rank, const uint8_t *perm)
{
    struct form f = {.nport = 2};
    for (unsigned r = 0; r < rank; r++)
        add_plain(&f, 0, add_axis(&f, shape[r]));
    for (unsigned r = 0; r < rank; r++)
        add_plain(&f, 1, perm[r]);
    return f;
}

struct form form_slice(const struct ext *shape, uint8_t rank, uint8_t axis, struct ext from,
                       struct ext count)
{
    struct form f = {.nport = 2};
    for (unsigned r = 0; r < rank; r++) {
        const unsigned a = add_axis(&f, r == axis ? count : shape[r]);
        struct dimmap *d = add_dim(&f.port[0], shape[r]);
        add_term(d, a, 1);
        if (r == axis)
            d->off = from;
        add_plain(&f, 1, a);
    }
    return f;
}

/* ---- reshape: one axis per common digit, found from the least significant one ---- */

struct side {
    const struct ext *shape;
    struct port *port;
    int at;          /* dim being cut up; -1: all done */
    struct ext left; /* of it */
    int64_t coef;    /* of its next digit */
};

static bool is_one(struct ext e)
{
    return e.c == 1 && e.b == 0;
}

static void skip_ones(struct side *s)
{
    while (s->at >= 0 && is_one(s->left)) {
        s->at--;
        s->coef = 1;
        if (s->at >= 0)
            s->left = s->shape[s->at];
    }
}

static struct side side_of(const struct ext *shape, uint8_t rank, struct port *q)
{
    struct side s = {.shape = shape, .port = q, .at = rank, .left = {1, 0}};
    q->rank = rank;
    memcpy(q->shape, shape, rank * sizeof *shape);
    skip_ones(&s);
    return s;
}

static bool divides(struct ext d, struct ext e)
{
    return d.b == 0 && e.c % d.c == 0 && e.b % d.c == 0;
}

static bool take_digit(struct side *s, unsigned axis, struct ext digit)
{
    struct dimmap *d = &s->port->dim[s->at];
    if (d->n == HYP_DIM_AXES || s->coef > INT32_MAX)
        return false;
    add_term(d, axis, (int32_t)s->coef);
    if (ext_eq(digit, s->left)) {
        s->left = ext_const(1);
    } else { /* then the digit is a constant that divides */
        s->left = (struct ext){s->left.c / digit.c, s->left.b / digit.c};
        s->coef *= digit.c;
    }
    skip_ones(s);
    return true;
}

/* Axes were numbered, and terms listed, from the least significant digit: turn both round.
 */
static void most_significant_first(struct form *f)
{
    for (unsigned a = 0, b = f->naxis; a + 1 < b; a++) {
        const struct ext e = f->axis[a];
        f->axis[a] = f->axis[--b];
        f->axis[b] = e;
    }
    for (unsigned j = 0; j < 2; j++) {
        for (unsigned r = 0; r < f->port[j].rank; r++) {
            struct dimmap *d = &f->port[j].dim[r], from = *d;
            for (unsigned k = 0; k < d->n; k++) {
                d->axis[k] = (int8_t)(f->naxis - 1 - from.axis[d->n - 1U - k]);
                d->coef[k] = from.coef[d->n - 1U - k];
            }
        }
    }
}

struct form form_reshape(const struct ext *from, uint8_t nfrom, const struct ext *to,
                         uint8_t nto, bool *ok)
{
    struct form f = {.nport = 2};
    struct side x = side_of(from, nfrom, &f.port[0]), y = side_of(to, nto, &f.port[1]);
    *ok = true;
    while (*ok && x.at >= 0 && y.at >= 0) {
        struct ext digit = x.left;
        if (ext_eq(x.left, y.left) || divides(x.left, y.left))
            digit = x.left;
        else if (divides(y.left, x.left))
            digit = y.left;
        else
            *ok = false;
        if (f.naxis == HYP_AXES)
            *ok = false;
        if (!*ok)
            break;
        const unsigned a = add_axis(&f, digit);
        *ok = take_digit(&x, a, digit) && take_digit(&y, a, digit);
    }
    if (x.at >= 0 || y.at >= 0)
        *ok = false;
    most_significant_first(&f);
    return f;
}

/* ---- convolution ---- */

/* stride * o + dilation * k - pad */
static void add_window(struct port *q, int32_t shape, unsigned o, int32_t stride,
                       unsigned k, int32_t dilation, int32_t pad)
{
    struct dimmap *d = add_dim(q, ext_const(shape));
    add_term(d, o, stride);
    add_term(d, k, dilation);
    d->off = ext_const(-pad);
}

struct form form_conv(struct ext n, const int32_t in[3], const int32_t out[3],
                      const int32_t kernel[2], const int32_t stride[2],
                      const int32_t pad[2], const int32_t dilation[2], int32_t groups)
{
    struct form f = {.nport = 3};
    const unsigned an = add_axis(&f, n);
    const unsigned ag = groups > 1 ? add_axis(&f, ext_const(groups)) : 0;
    const unsigned af = add_axis(&f, ext_const(out[0] / groups));
    const unsigned ay = add_axis(&f, ext_const(out[1])),
                   ax = add_axis(&f, ext_const(out[2]));
    const unsigned ac = add_axis(&f, ext_const(in[0] / groups));
    const unsigned au = add_axis(&f, ext_const(kernel[0]));
    const unsigned av = add_axis(&f, ext_const(kernel[1]));
    add_plain(&f, 0, an);
    add_plain(&f, 1, an);
    for (unsigned j = 0; groups > 1 && j < 3; j++)
        add_plain(&f, j, ag);
    add_plain(&f, 0, af);
    add_plain(&f, 0, ay);
    add_plain(&f, 0, ax);
    add_plain(&f, 1, ac);
    add_window(&f.port[1], in[1], ay, stride[0], au, dilation[0], pad[0]);
    add_window(&f.port[1], in[2], ax, stride[1], av, dilation[1], pad[1]);
    add_plain(&f, 2, af);
    add_plain(&f, 2, ac);
    add_plain(&f, 2, au);
    add_plain(&f, 2, av);
    return f;
}

/* ---- col2im o contract ---- */

static bool has_overlap(const struct port *q)
{
    for (unsigned r = 0; r < q->rank; r++)
        if (q->dim[r].n > 1)
            return true;
    return false;
}

static bool dim_has(const struct port *q, unsigned axis, bool shared)
{
    for (unsigned r = 0; r < q->rank; r++)
        for (unsigned k = 0; k < q->dim[r].n; k++)
            if ((unsigned)q->dim[r].axis[k] == axis && (!shared || q->dim[r].n > 1))
                return true;
    return false;
}

/* Places of the other image: the last dims between the two forms, as they lie in it. */
static bool is_place(const struct form *f, unsigned p, unsigned axis)
{
    return dim_has(&f->port[p], axis, true) && dim_has(&f->port[p == 0], axis, false);
}

bool form_factor(const struct form *f, unsigned p, struct form *contract, struct form *fold)
{
    const uint32_t reduced = form_reduced(f, p);
    int8_t to[HYP_AXES] = {0};
    struct form c = *f, g = {.nport = 2};
    if (f->nport != 3 || !has_overlap(&f->port[p]))
        return false;
    c.port[p] = (struct port){0};
    for (unsigned k = 0; k < 2U * f->naxis; k++) {
        const unsigned axis = k % f->naxis;
        if (reduced >> axis & 1 || is_place(f, p, axis) != (k >= f->naxis))
            continue;
        if (c.port[p].rank == HYP_RANK)
            return false;
        add_plain(&c, p, axis);
        to[axis] = (int8_t)add_axis(&g, f->axis[axis]);
        add_plain(&g, 0, (unsigned)to[axis]);
    }
    g.port[1] = f->port[p];
    for (unsigned r = 0; r < g.port[1].rank; r++)
        for (unsigned k = 0; k < g.port[1].dim[r].n; k++)
            g.port[1].dim[r].axis[k] = to[g.port[1].dim[r].axis[k]];
    *contract = c;
    *fold = g;
    return true;
}
