/*
 * Whole numbers that expressions make of axes: sums of multiples, such as the place of an
 * element of a draw.  Arithmetic of 32 bits wraps, so that such a sum may be written in any
 * order.
 */
#include "codegen/loop/number.h"

#include "runtime/base/arena.h"

struct number { /* sum of coef[i] * axis i, and c; not `is`: something else */
    bool is;
    uint32_t coef[LOOP_AXES], c;
};

static bool is_constant(const struct number *x)
{
    for (unsigned i = 0; i < LOOP_AXES; i++)
        if (x->coef[i])
            return false;
    return x->is;
}

static struct number times(const struct number *x, uint32_t f)
{
    struct number r = {.is = true, .c = x->c * f};
    for (unsigned i = 0; i < LOOP_AXES; i++)
        r.coef[i] = x->coef[i] * f;
    return r;
}

static struct number plus(const struct number *x, const struct number *y)
{
    struct number r = {.is = true, .c = x->c + y->c};
    for (unsigned i = 0; i < LOOP_AXES; i++)
        r.coef[i] = x->coef[i] + y->coef[i];
    return r;
}

static struct number product(const struct number *x, const struct number *y)
{
    const struct number none = {0};
    if (is_constant(y))
        return times(x, y->c);
    return is_constant(x) ? times(y, x->c) : none;
}

static struct number number_of(const struct sx_node *n, const struct number *all)
{
    struct number r = {.is = n->type == SX_I32};
    if (n->op == SX_K)
        r.c = n->a;
    else if (n->op == SX_AXIS)
        r.coef[n->a] = 1;
    else if ((n->op != SX_IADD && n->op != SX_IMUL) || !all[n->a].is || !all[n->b].is)
        r.is = false;
    else if (r.is)
        r = n->op == SX_IADD ? plus(&all[n->a], &all[n->b])
                             : product(&all[n->a], &all[n->b]);
    return r;
}

/* Of every expression. */
static struct number *numbers(const struct sxb *b, struct arena *a)
{
    struct number *all = arena_array(a, b->n + 1U, sizeof *all);
    for (sx_id e = 1; e < b->n; e++)
        all[e] = number_of(&b->node[e], all);
    return all;
}

struct pair {
    uint8_t x, y;
    uint32_t n;
};

static bool fits(const struct number *e, const struct pair *p)
{
    return !e->is || e->coef[p->x] == e->coef[p->y] * p->n;
}

bool numbers_pair(const struct kernel *k, uint8_t x, uint8_t y, int32_t n)
{
    struct arena *a = arena_new();
    const struct number *all = numbers(&k->sx, a);
    const struct pair p = {x, y, (uint32_t)n};
    bool ok = true;
    for (sx_id e = 1; ok && e < k->sx.n; e++) {
        sx_id in[3];
        const unsigned arity = all[e].is ? 0 : sx_operands(&k->sx.node[e], in);
        for (unsigned i = 0; i < arity; i++)
            ok &= fits(&all[in[i]], &p);
    }
    for (uint32_t i = 0; ok && i < k->nstage; i++) {
        const struct kstage *s = &k->stage[i];
        ok &= fits(&all[s->value], &p);
        for (uint32_t g = 0; g < s->nseg; g++)
            ok &=
                fits(&all[s->seg[g].factor[0]], &p) && fits(&all[s->seg[g].factor[1]], &p);
    }
    arena_free(a);
    return ok;
}

/* ---- without an axis ---- */

static sx_id sum_of(struct sxb *b, const struct number *x, uint8_t gone)
{
    sx_id e = 0;
    for (unsigned i = 0; i < LOOP_AXES; i++) {
        if (i == gone || !x->coef[i])
            continue;
        const sx_id term =
            sx_make(b, SX_IMUL, sx_axis(b, i), sx_int(b, (int32_t)x->coef[i]), 0);
        e = e ? sx_make(b, SX_IADD, e, term, 0) : term;
    }
    if (!e || x->c)
        e = e ? sx_make(b, SX_IADD, e, sx_int(b, (int32_t)x->c), 0)
              : sx_int(b, (int32_t)x->c);
    return e;
}

static sx_id again(struct sxb *to, const struct sxb *from, sx_id e, const sx_id *made)
{
    const struct sx_node *n = &from->node[e];
    sx_id in[3] = {0};
    const unsigned arity = sx_operands(n, in);
    if (n->op == SX_RNG)
        return sx_rng(to, n->a, made[in[0]]);
    for (unsigned i = 0; i < 3; i++)
        in[i] = i < arity ? made[in[i]] : 0;
    return arity ? sx_make(to, (enum sx_op)n->op, in[0], in[1], in[2])
                 : sx_import(to, from, e, NULL, 0);
}

void numbers_drop(struct kernel *k, uint8_t gone)
{
    struct arena *a = arena_new();
    const struct sxb from = k->sx;
    const struct number *all = numbers(&from, a);
    sx_id *made = arena_array(a, from.n + 1U, sizeof *made);

    sx_init(&k->sx, k->arena);
    for (sx_id e = 1; e < from.n; e++)
        made[e] = all[e].is && all[e].coef[gone] ? sum_of(&k->sx, &all[e], gone)
                                                 : again(&k->sx, &from, e, made);
    for (uint32_t i = 0; i < k->nstage; i++) {
        struct kstage *s = &k->stage[i];
        s->value = made[s->value];
        for (uint32_t g = 0; g < s->nseg; g++)
            for (unsigned w = 0; w < 2; w++)
                s->seg[g].factor[w] = made[s->seg[g].factor[w]];
    }
    arena_free(a);
}
