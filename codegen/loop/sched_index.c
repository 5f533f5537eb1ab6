/*
 * Indices over kernel axes, moved to where the walk stands, and the digits in them.  A
 * digit of an axis is one of a sum of nest axes then: of all of them but one, multiples of
 * the digit's range are known, as loops over columns go by whole vectors.
 */
#include <assert.h>
#include <stdlib.h>

#include "codegen/loop/sched.h"

enum { FAR = 1 << 14 }; /* larger multiples count as multiples of it: digits are of less */

static int32_t gcd(int32_t x, int32_t y)
{
    while (y) {
        const int32_t r = x % y;
        x = y;
        y = r;
    }
    return abs(x);
}

static int32_t multiple_of(const struct sched *s, const struct index *x);

/* All values of a nest axis are multiples of it. */
static int32_t axis_multiple(const struct sched *s, unsigned axis)
{
    const struct stmt *f = s->open[0].stmt;
    for (unsigned i = 0; i < s->depth; i++)
        if (s->open[i].stmt->axis == axis)
            f = s->open[i].stmt;
    struct index length = f->hi;
    index_add(&length, &f->lo, ext_const(-1));
    const bool once =
        !length.n && !length.scalar && !length.off.b && length.off.c <= f->step;
    const int32_t first = multiple_of(s, &f->lo);
    return once ? first : gcd(first, f->step);
}

/* 0: it is 0. */
static int32_t multiple_of(const struct sched *s, const struct index *x)
{
    int32_t m = x->scalar || x->off.b ? 1 : abs(x->off.c);
    for (unsigned i = 0; i < x->n && m != 1; i++) {
        const struct term *t = &x->t[i];
        const bool plain = term_is_plain(t) && !t->coef.b && abs(t->coef.c) < FAR;
        const int32_t of_axis = plain ? gcd(axis_multiple(s, t->axis), FAR) : 1;
        m = gcd(m, t->coef.b ? 1 : t->coef.c * of_axis);
    }
    return m;
}

/* r += coef * (a multiple of div / div) */
static void quotient(struct index *r, const struct term *digit, const struct term *t)
{
    struct term q = *t;
    q.coef = ext_mul(digit->coef, ext_const(t->coef.c / digit->div));
    if (t->coef.c % digit->div) {
        assert(ext_eq(t->coef, ext_const(1)) && term_is_plain(t));
        q.div = digit->div;
        q.coef = digit->coef;
    }
    index_term(r, q);
}

static struct index digit_of(const struct term *digit, struct index at)
{
    struct index all[LOOP_AXES] = {0}, one = {.n = 1, .t = {*digit}};
    all[digit->axis] = at;
    return index_substitute(&one, all);
}

static struct index digit_at(const struct sched *s, const struct term *digit,
                             const struct index *at)
{
    const int32_t range = digit->div * (digit->mod ? digit->mod : 1);
    if (index_is_plain(at))
        return digit_of(digit, *at);
    assert(!at->off.b && !at->scalar);
    struct index r = index_const(0), rest = index_const(at->off.c % range);
    const int32_t whole = digit->mod ? 0 : (at->off.c - rest.off.c) / digit->div;
    r.off = ext_mul(digit->coef, ext_const(whole));
    for (unsigned i = 0; i < at->n; i++) {
        const struct index alone = {.n = 1, .t = {at->t[i]}};
        if (multiple_of(s, &alone) % range)
            index_term(&rest, at->t[i]);
        else if (!digit->mod)
            quotient(&r, digit, &at->t[i]);
    }
    return index_sum(r, digit_of(digit, rest));
}

struct index sched_index(const struct sched *s, const struct index *x)
{
    struct index plain = *x, r = index_const(0);
    plain.n = 0;
    for (unsigned i = 0; i < x->n; i++) {
        const struct term *t = &x->t[i];
        if (term_is_plain(t))
            index_term(&plain, *t);
        else
            r = index_sum(r, digit_at(s, t, &s->at[t->axis]));
    }
    return index_sum(index_substitute(&plain, s->at), r);
}

/* ---- kernels with digits ---- */

bool sched_has_digits(const struct kernel *k)
{
    for (uint32_t i = 0; i < k->nstage; i++)
        for (uint32_t o = 0; o < k->stage[i].noperand + k->stage[i].nstore; o++)
            if (index_has_digits(kstage_index(&k->stage[i], o)))
                return true;
    return false;
}

static bool is_digit_of_lanes(const struct sched *s, const struct term *t)
{
    const struct group *g = s->g;
    const int32_t width = sched_tile_shape(s).nr, range = t->div * (t->mod ? t->mod : 1);
    return !g->window && !g->nouter && !g->chunked && t->axis == g->col &&
           (width & (width - 1)) == 0 && width % range == 0;
}

/*
 * Are all digits that a stage reads, or what is inlined there, of the group's lanes? Pieces
 * of columns begin at multiples of their widths, and of a digit's range where widths are
 * powers of two.
 */
static bool digits_are_lanes(const struct sched *s, uint32_t stage)
{
    const struct kstage *k = &s->k->stage[stage];
    for (uint32_t o = 0; o < k->noperand; o++) {
        const struct koperand *p = &k->operand[o];
        if (p->stage && s->gs.inlined[p->id] && !digits_are_lanes(s, p->id))
            return false;
        for (unsigned i = 0; i < p->index.n; i++)
            if (!term_is_plain(&p->index.t[i]) && !is_digit_of_lanes(s, &p->index.t[i]))
                return false;
    }
    return true;
}

/* Can lanes have digits, if maps read them? */
static bool fits_digits(struct sched *s)
{
    bool ok = true;
    for (uint32_t i = 0; i < s->gs.ngroup; i++) {
        s->g = &s->gs.group[i];
        EACH_ITEM(s, n, it)
        {
            ok &= digits_are_lanes(s, it->stage);
        }
    }
    return ok;
}

bool sched_has_window(const struct groups *gs)
{
    for (uint32_t i = 0; i < gs->ngroup; i++)
        if (gs->group[i].window)
            return true;
    return false;
}

void sched_simplify(struct sched *s, const struct kernel *k)
{
    const struct kernel *from = kernel_phases(k, s->scratch);
    const struct kernel *plain = kernel_simplify(from, false, s->scratch);
    s->k = plain;
    s->scalar = sched_has_digits(plain);
    sched_group(s->k, s->t, s->scratch, &s->gs);
    if (s->scalar || sched_has_window(&s->gs))
        return;
    s->k = kernel_simplify(from, true, s->scratch);
    if (sched_has_digits(s->k)) {
        sched_group(s->k, s->t, s->scratch, &s->gs);
        if (fits_digits(s))
            return;
        sched_group(plain, s->t, s->scratch, &s->gs);
    }
    s->k = plain;
}
