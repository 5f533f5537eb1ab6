/*
 * What a unit of a nest costs: statements times the trips of the loops around them; and how
 * large its code is: times those that are unrolled.
 */
#include "codegen/loop/loop.h"

/* Trips of a loop whose ends move with outer axes are taken at those axes' 0. */
static double trips(const struct stmt *s, int64_t batch)
{
    int64_t hi = ext_at(s->hi.off, batch);
    if (s->bound.c || s->bound.b) {
        const int64_t div = s->bound_div > 1 ? s->bound_div : 1;
        const int64_t bound = (ext_at(s->bound, batch) + div - 1) / div;
        hi = hi < bound ? hi : bound;
    }
    const int64_t lo = ext_at(s->lo.off, batch), step = s->step > 0 ? s->step : 1;
    return hi > lo ? (double)((hi - lo + step - 1) / step) : 0;
}

enum measure { TIME, CODE };

static double times(const struct stmt *s, const struct target *t, int64_t batch,
                    enum measure of)
{
    if (s->kind == FOR_GRID || (of == CODE && s->kind == FOR_SEQ))
        return 1;
    const double many = trips(s, batch);
    return s->kind == FOR_VEC ? (many + t->vec - 1) / t->vec : many;
}

static double cost(const struct nest *n, const struct stmt *s, const struct target *t,
                   int64_t batch, enum measure of)
{
    double sum = 0;
    if (s->op == S_SET)
        return 1 + (double)sx_cost(&n->sx, s->value);
    if (s->op == S_ACC)
        return 1 + (double)sx_cost(&n->sx, s->value) +
               (s->value2 ? (double)sx_cost(&n->sx, s->value2) : 0);
    if (s->op != S_FOR)
        return 0;
    for (uint32_t i = 0; i < s->nbody; i++)
        sum += cost(n, s->body[i], t, batch, of);
    return sum * times(s, t, batch, of);
}

uint32_t nest_unit_cost(const struct nest *n, uint32_t stage, const struct target *t,
                        int64_t batch)
{
    const double c =
        n->stage[stage].root ? cost(n, n->stage[stage].root, t, batch, TIME) : 1;
    return c < 1 ? 1 : c > 1e9 ? 1000000000U : (uint32_t)c;
}

double nest_code_size(const struct nest *n, const struct target *t)
{
    double size = 0;
    for (uint32_t i = 0; i < n->nstage; i++)
        size += cost(n, n->stage[i].root, t, 1, CODE);
    return size;
}
