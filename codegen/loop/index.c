/*
 * Indices are kept sorted by (axis, div, mod), so equal ones compare member by member.
 * Digits are floor divisions of axes that are never negative.
 */
#include "codegen/loop/index.h"

#include <assert.h>

struct ext ext_mul(struct ext x, struct ext y)
{
    assert(x.b == 0 || y.b == 0);
    return (struct ext){x.c * y.c, x.c * y.b + x.b * y.c};
}

struct ext ext_add(struct ext x, struct ext y)
{
    return (struct ext){x.c + y.c, x.b + y.b};
}

struct index index_const(int32_t c)
{
    return (struct index){.off = {c, 0}};
}

struct index index_axis(unsigned axis, int32_t coef)
{
    struct index x = {0};
    index_term(&x, (struct term){(uint8_t)axis, 1, 0, {coef, 0}});
    return x;
}

struct index index_offset(struct index x, int32_t c)
{
    x.off.c += c;
    return x;
}

static int term_order(const struct term *x, const struct term *y)
{
    if (x->axis != y->axis)
        return x->axis < y->axis ? -1 : 1;
    if (x->div != y->div)
        return x->div < y->div ? -1 : 1;
    return x->mod == y->mod ? 0 : x->mod < y->mod ? -1 : 1;
}

static void term_remove(struct index *x, unsigned i)
{
    for (unsigned k = i + 1; k < x->n; k++)
        x->t[k - 1] = x->t[k];
    x->t[--x->n] = (struct term){0};
}

void index_term(struct index *x, struct term t)
{
    unsigned i = 0;
    while (i < x->n && term_order(&x->t[i], &t) < 0)
        i++;
    if (i < x->n && term_order(&x->t[i], &t) == 0) {
        x->t[i].coef = ext_add(x->t[i].coef, t.coef);
        if (x->t[i].coef.c == 0 && x->t[i].coef.b == 0)
            term_remove(x, i);
        return;
    }
    if (t.coef.c == 0 && t.coef.b == 0)
        return;
    assert(x->n < LOOP_TERMS);
    for (unsigned k = x->n; k > i; k--)
        x->t[k] = x->t[k - 1];
    x->t[i] = t;
    x->n++;
}

void index_add(struct index *x, const struct index *y, struct ext coef)
{
    for (unsigned i = 0; i < y->n; i++) {
        struct term t = y->t[i];
        t.coef = ext_mul(t.coef, coef);
        index_term(x, t);
    }
    x->off = ext_add(x->off, ext_mul(y->off, coef));
    if (y->scalar) {
        assert(!x->scalar || x->scalar == y->scalar);
        x->scalar = y->scalar;
        x->scoef = ext_add(x->scoef, ext_mul(y->scoef, coef));
    }
}

struct index index_sum(struct index x, struct index y)
{
    index_add(&x, &y, ext_const(1));
    return x;
}

bool index_equal(const struct index *x, const struct index *y)
{
    if (x->n != y->n || !ext_eq(x->off, y->off) || x->scalar != y->scalar ||
        (x->scalar && !ext_eq(x->scoef, y->scoef)))
        return false;
    for (unsigned i = 0; i < x->n; i++)
        if (term_order(&x->t[i], &y->t[i]) != 0 || !ext_eq(x->t[i].coef, y->t[i].coef))
            return false;
    return true;
}

bool index_has_digits(const struct index *x)
{
    for (unsigned i = 0; i < x->n; i++)
        if (!term_is_plain(&x->t[i]))
            return true;
    return false;
}

bool index_is_plain(const struct index *x)
{
    if (x->scalar || x->off.b)
        return false;
    if (x->n == 0)
        return true;
    return x->n == 1 && term_is_plain(&x->t[0]) && ext_eq(x->t[0].coef, ext_const(1)) &&
           x->off.c == 0;
}

static void digit(struct index *r, const struct term *t, const struct index *at)
{
    assert(index_is_plain(at));
    if (at->n == 0) {
        int32_t v = at->off.c / t->div;
        v = t->mod ? v % t->mod : v;
        r->off = ext_add(r->off, ext_mul(ext_const(v), t->coef));
        return;
    }
    struct term d = *t;
    d.axis = at->t[0].axis;
    index_term(r, d);
}

struct index index_substitute(const struct index *x, const struct index *at)
{
    struct index r = {.off = x->off, .scalar = x->scalar, .scoef = x->scoef};
    for (unsigned i = 0; i < x->n; i++) {
        const struct term *t = &x->t[i];
        if (term_is_plain(t))
            index_add(&r, &at[t->axis], t->coef);
        else
            digit(&r, t, &at[t->axis]);
    }
    return r;
}

struct ext index_coef(const struct index *x, unsigned axis, bool *plain)
{
    struct ext c = {0, 0};
    *plain = true;
    for (unsigned i = 0; i < x->n; i++) {
        if (x->t[i].axis != axis)
            continue;
        *plain &= term_is_plain(&x->t[i]);
        c = ext_add(c, x->t[i].coef);
    }
    return c;
}

bool index_uses(const struct index *x, unsigned axis)
{
    for (unsigned i = 0; i < x->n; i++)
        if (x->t[i].axis == axis)
            return true;
    return false;
}

int64_t index_eval(const struct index *x, const int64_t *axis, int64_t batch,
                   const union hyp_word *scalar)
{
    int64_t v = ext_at(x->off, batch);
    for (unsigned i = 0; i < x->n; i++) {
        const struct term *t = &x->t[i];
        int64_t d = axis[t->axis] / t->div;
        v += ext_at(t->coef, batch) * (t->mod ? d % t->mod : d);
    }
    if (x->scalar)
        v += ext_at(x->scoef, batch) * scalar[x->scalar - 1].i;
    return v;
}

bool guards_hold(const struct guard *g, unsigned n, const int64_t *axis, int64_t batch,
                 const union hyp_word *scalar)
{
    for (unsigned i = 0; i < n; i++) {
        int64_t v = index_eval(&g[i].index, axis, batch, scalar);
        if (v < 0 || v >= ext_at(g[i].bound, batch))
            return false;
    }
    return true;
}

bool guards_equal(const struct guard *x, const struct guard *y, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!index_equal(&x[i].index, &y[i].index) || !ext_eq(x[i].bound, y[i].bound))
            return false;
    return true;
}
