#include "tests/unit/form_fixture.h"

uint32_t fixture_random(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 8;
}

int32_t fixture_between(uint32_t *seed, int32_t lo, int32_t hi)
{
    return lo + (int32_t)(fixture_random(seed) % (uint32_t)(hi - lo + 1));
}

void fixture_fill(uint32_t *seed, double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = fixture_between(seed, -9, 9);
}

int64_t fixture_size(const struct port *q, int64_t batch)
{
    int64_t n = 1;
    for (unsigned r = 0; r < q->rank; r++)
        n *= ext_at(q->shape[r], batch);
    return n;
}

static struct dimmap random_dim(uint32_t *seed, const struct form *f, uint32_t *free_axes,
                                bool symbolic)
{
    static const int32_t coef[] = {1, 1, 1, 1, 2, 2, 3, 5, -1, -1, -2, -3};
    struct dimmap d = {0};
    const int want = fixture_between(seed, 0, 5);
    for (int k = 0; k < (want == 0 ? 0 : want < 3 ? 1 : 2); k++) {
        const int a = fixture_between(seed, 0, f->naxis - 1);
        if (!(*free_axes >> a & 1))
            continue;
        *free_axes &= ~(1U << a);
        d.axis[d.n] = (int8_t)a;
        d.coef[d.n++] = coef[fixture_between(seed, 0, 11)];
    }
    if (fixture_between(seed, 0, 1))
        d.off.c = fixture_between(seed, -4, 4);
    if (symbolic && fixture_between(seed, 0, 7) == 0)
        d.off.b = fixture_between(seed, -1, 1);
    return d;
}

/* Often what the axes need, else too little or too much. */
static struct ext random_shape(uint32_t *seed, const struct form *f, const struct dimmap *d,
                               bool symbolic)
{
    struct ext e = {d->off.c + 1, 0};
    for (unsigned k = 0; k < d->n; k++) {
        const struct ext x = f->axis[d->axis[k]];
        if (d->coef[k] > 0)
            e = (struct ext){e.c + d->coef[k] * (x.c - 1), e.b + d->coef[k] * x.b};
    }
    if (!symbolic)
        e.b = 0;
    if (fixture_between(seed, 0, 2) == 0)
        e.c += fixture_between(seed, -3, 3);
    if (e.c + e.b < 1 || e.c > 12)
        e.c = fixture_between(seed, 1, 7);
    return e;
}

struct form fixture_form(uint32_t *seed, bool symbolic)
{
    struct form f = {.naxis = (uint8_t)fixture_between(seed, 1, 5),
                     .nport = (uint8_t)fixture_between(seed, 2, 3)};
    for (unsigned k = 0; k < f.naxis; k++) {
        f.axis[k] = ext_const(fixture_between(seed, 1, 4));
        if (symbolic && fixture_between(seed, 0, 2) == 0)
            f.axis[k] =
                (struct ext){fixture_between(seed, 0, 1), fixture_between(seed, 1, 2)};
    }
    for (unsigned j = 0; j < f.nport; j++) {
        struct port *q = &f.port[j];
        uint32_t free_axes = (1U << f.naxis) - 1;
        q->rank = (uint8_t)fixture_between(seed, 0, 3);
        for (unsigned r = 0; r < q->rank; r++) {
            q->dim[r] = random_dim(seed, &f, &free_axes, symbolic);
            q->shape[r] = random_shape(seed, &f, &q->dim[r], symbolic);
        }
    }
    return f;
}

int64_t fixture_at(const struct form *f, unsigned j, const int64_t *i, int64_t batch)
{
    int64_t at = 0;
    for (unsigned r = 0; r < f->port[j].rank; r++) {
        const struct dimmap *d = &f->port[j].dim[r];
        int64_t h = d->off.c + d->off.b * batch;
        for (unsigned k = 0; k < d->n; k++)
            h += d->coef[k] * i[d->axis[k]];
        const int64_t n = f->port[j].shape[r].c + f->port[j].shape[r].b * batch;
        if (h < 0 || h >= n)
            return -1;
        at = at * n + h;
    }
    return at;
}

bool fixture_step(const struct form *f, int64_t *i, int64_t batch)
{
    for (int k = f->naxis - 1; k >= 0; k--) {
        if (++i[k] < f->axis[k].c + f->axis[k].b * batch)
            return true;
        i[k] = 0;
    }
    return false;
}

int64_t fixture_read(const struct form *f, unsigned p, int64_t batch,
                     const double *const *t, double *out)
{
    int64_t i[HYP_AXES] = {0}, terms = 0;
    do {
        double product = 1;
        int64_t to = 0;
        bool inside = true;
        for (unsigned j = 0; j < f->nport; j++) {
            const int64_t at = fixture_at(f, j, i, batch);
            if (at < 0)
                inside = false;
            else if (j == p)
                to = at;
            else
                product *= t[j][at];
        }
        if (inside) {
            out[to] += product;
            terms++;
        }
    } while (fixture_step(f, i, batch));
    return terms;
}
