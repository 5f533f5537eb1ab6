/*
 * log_prob, kl, entropy, mean_of, std_of: closed forms of each law, per element, summed
 * over units.  Of a categorical the classes are the logits' last axis.
 */
#include <math.h>
#include <string.h>

#include "compiler/front/prim.h"
#include "runtime/base/arena.h"

#define NUM(x)        mb_num(b, x)
#define EW2(op, x, y) mb_ew2(b, SX_##op, x, y, loc)
#define EW1(op, x)    mb_ew1(b, SX_##op, x, loc)

static struct val *pick(struct mb *b, struct val *c, struct val *x, struct val *y,
                        struct loc loc)
{
    struct val *in[3] = {c, x, y};
    return mb_ew(b, SX_SEL, in, 3, loc);
}

/* low <= v <= high */
static struct val *within(struct mb *b, struct val *low, struct val *v, struct val *high,
                          struct loc loc)
{
    return EW2(AND, EW2(LE, low, v), EW2(LE, v, high));
}

/* p (log p - q), with 0 at p = 0 */
static struct val *weighted(struct mb *b, struct val *p, struct val *q, struct loc loc)
{
    struct val *log_p = EW1(FN_log, EW2(FN_maximum, p, NUM(0x1p-126)));
    return pick(b, EW2(LT, NUM(0), p), EW2(MUL, p, EW2(SUB, log_p, q)), NUM(0), loc);
}

static struct val *one_minus(struct mb *b, struct val *p, struct loc loc)
{
    return EW2(SUB, NUM(1), p);
}

/* How many whole numbers there are from low to high. */
static struct val *count(struct mb *b, const struct density *d, struct loc loc)
{
    return EW2(ADD, EW2(SUB, d->arg[1], d->arg[0]), NUM(1));
}

/* Classes: the last axis of the logits */

static struct val *last(struct mb *b, enum reduction r, struct val *v, struct loc loc)
{
    const struct prim p = {.op = r};
    struct args a = {.val = {v, NUM(-1)}, .n = 3, .nall = 3, .loc = loc};
    return mb_reduce(b, NULL, &p, &a);
}

/* With a last axis of one, to meet the classes. */
static struct val *upright(struct mb *b, struct val *v, struct loc loc)
{
    const value_id id = mb_value(b, v, loc);
    if (!id)
        return mb_poison(b);
    struct type t = *graph_type(b->g, id);
    t.dim[t.rank++] = ext_const(1);
    return mb_tensor(b, graph_reshape(b->g, id, &t));
}

static struct val *log_softmax(struct mb *b, struct val *logits, struct loc loc)
{
    return EW2(SUB, logits, upright(b, last(b, RED_LOGSUMEXP, logits, loc), loc));
}

/* 0, 1, 2, ... along the last axis of `like` */
static struct val *classes(struct mb *b, const struct val *like)
{
    struct sxb *s = &b->g->sx;
    struct type t = *graph_type(b->g, like->v);
    t.dtype = DT_F32;
    const sx_id i = sx_make(s, SX_I2F, sx_axis(s, t.rank - 1U), 0, 0);
    return mb_tensor(b, mb_map(b, i, NULL, 0, &t));
}

static struct val *class_log_prob(struct mb *b, struct val *logits, struct val *k,
                                  struct loc loc)
{
    struct val *here = EW2(EQ, classes(b, logits), upright(b, k, loc));
    struct val *log_p = log_softmax(b, logits, loc);
    return last(b, RED_MAX, pick(b, here, log_p, NUM(-HUGE_VAL), loc), loc);
}

/* sum over classes of p (log p - q) */
static struct val *class_sum(struct mb *b, struct val *logits, struct val *q,
                             struct loc loc)
{
    struct val *log_p = log_softmax(b, logits, loc);
    return last(b, RED_SUM, EW2(MUL, EW1(FN_exp, log_p), EW2(SUB, log_p, q)), loc);
}

static struct val *class_moment(struct mb *b, struct val *logits, bool deviation,
                                struct loc loc)
{
    struct val *p = EW1(FN_exp, log_softmax(b, logits, loc)), *i = classes(b, logits);
    struct val *mean = last(b, RED_SUM, EW2(MUL, p, i), loc);
    if (!deviation)
        return mean;
    struct val *off = EW1(FN_square, EW2(SUB, i, upright(b, mean, loc)));
    return EW1(SQRT, last(b, RED_SUM, EW2(MUL, p, off), loc));
}

/* Of the law itself; what an affine map does to it comes on top */

static struct val *log_density(struct mb *b, const struct density *d, struct val *v,
                               struct loc loc)
{
    struct val *p = d->arg[0], *q = d->arg[1], *z = NULL, *never = NUM(-HUGE_VAL);
    switch (d->law) {
    case LAW_NORMAL:
        z = EW2(DIV, EW2(SUB, v, p), q);
        z = EW2(MUL, NUM(-0.5), EW1(FN_square, z));
        return EW2(SUB, EW2(SUB, z, EW1(FN_log, q)), NUM(0.91893853320467274178));
    case LAW_LAPLACE:
        z = EW2(DIV, EW1(ABS, EW2(SUB, v, p)), q);
        return EW2(SUB, EW1(NEG, z), EW1(FN_log, EW2(MUL, NUM(2), q)));
    case LAW_EXPONENTIAL:
        z = EW2(SUB, EW1(FN_log, p), EW2(MUL, p, v));
        return pick(b, EW2(LE, NUM(0), v), z, never, loc);
    case LAW_UNIFORM:
        z = EW1(NEG, EW1(FN_log, EW2(SUB, q, p)));
        return pick(b, within(b, p, v, q, loc), z, never, loc);
    case LAW_UNIFORM_INT:
        z = EW2(AND, within(b, p, v, q, loc), EW2(EQ, EW1(FN_round, v), v));
        return pick(b, z, EW1(NEG, EW1(FN_log, count(b, d, loc))), never, loc);
    case LAW_BERNOULLI:
        return pick(b, EW2(LT, NUM(0), v), EW1(FN_log, p),
                    EW1(FN_log, one_minus(b, p, loc)), loc);
    case LAW_CATEGORICAL:
    default:
        return class_log_prob(b, p, v, loc);
    }
}

static struct val *entropy(struct mb *b, const struct density *d, struct loc loc)
{
    struct val *p = d->arg[0], *q = d->arg[1];
    switch (d->law) {
    case LAW_NORMAL:
        return EW2(ADD, NUM(1.41893853320467274178), EW1(FN_log, q));
    case LAW_LAPLACE:
        return EW2(ADD, NUM(1), EW1(FN_log, EW2(MUL, NUM(2), q)));
    case LAW_UNIFORM:
        return EW1(FN_log, EW2(SUB, q, p));
    case LAW_EXPONENTIAL:
        return EW2(SUB, NUM(1), EW1(FN_log, p));
    case LAW_UNIFORM_INT:
        return EW1(FN_log, count(b, d, loc));
    case LAW_BERNOULLI:
        return EW1(NEG, EW2(ADD, weighted(b, p, NUM(0), loc),
                            weighted(b, one_minus(b, p, loc), NUM(0), loc)));
    case LAW_CATEGORICAL:
    default:
        return EW1(NEG, class_sum(b, p, NUM(0), loc));
    }
}

static struct val *moment(struct mb *b, const struct density *d, bool deviation,
                          struct loc loc)
{
    struct val *p = d->arg[0], *q = d->arg[1];
    switch (d->law) {
    case LAW_NORMAL:
        return deviation ? q : p;
    case LAW_LAPLACE:
        return deviation ? EW2(MUL, NUM(sqrt(2)), q) : p;
    case LAW_UNIFORM:
        return deviation ? EW2(DIV, EW2(SUB, q, p), NUM(sqrt(12)))
                         : EW2(DIV, EW2(ADD, p, q), NUM(2));
    case LAW_UNIFORM_INT:
        if (!deviation)
            return EW2(DIV, EW2(ADD, p, q), NUM(2));
        q = EW2(SUB, EW1(FN_square, count(b, d, loc)), NUM(1));
        return EW1(SQRT, EW2(DIV, q, NUM(12)));
    case LAW_EXPONENTIAL:
        return EW2(DIV, NUM(1), p);
    case LAW_BERNOULLI:
        return deviation ? EW1(SQRT, EW2(MUL, p, one_minus(b, p, loc))) : p;
    case LAW_CATEGORICAL:
    default:
        return class_moment(b, p, deviation, loc);
    }
}

/* kl(d, e) of one law */

static struct val *normal_kl(struct mb *b, struct val *const *d, struct val *const *e,
                             struct loc loc)
{
    struct val *off = EW2(SUB, d[0], e[0]), *s = d[1];
    struct val *square = EW2(ADD, EW1(FN_square, s), EW1(FN_square, off));
    struct val *ratio = EW2(DIV, square, EW2(MUL, NUM(2), EW1(FN_square, e[1])));
    struct val *log_ratio = EW2(SUB, EW1(FN_log, e[1]), EW1(FN_log, s));
    return EW2(SUB, EW2(ADD, log_ratio, ratio), NUM(0.5));
}

static struct val *laplace_kl(struct mb *b, struct val *const *d, struct val *const *e,
                              struct loc loc)
{
    struct val *off = EW1(ABS, EW2(SUB, d[0], e[0]));
    struct val *tail = EW1(FN_exp, EW1(NEG, EW2(DIV, off, d[1])));
    struct val *ratio = EW2(DIV, EW2(ADD, EW2(MUL, d[1], tail), off), e[1]);
    struct val *log_ratio = EW2(SUB, EW1(FN_log, e[1]), EW1(FN_log, d[1]));
    return EW2(SUB, EW2(ADD, log_ratio, ratio), NUM(1));
}

static struct val *divergence(struct mb *b, const struct density *d,
                              const struct density *e, struct loc loc)
{
    struct val *p = d->arg[0], *q = e->arg[0], *x = NULL, *y = NULL;
    switch (d->law) {
    case LAW_NORMAL:
        return normal_kl(b, d->arg, e->arg, loc);
    case LAW_LAPLACE:
        return laplace_kl(b, d->arg, e->arg, loc);
    case LAW_EXPONENTIAL:
        x = EW2(SUB, EW1(FN_log, p), EW1(FN_log, q));
        return EW2(SUB, EW2(ADD, x, EW2(DIV, q, p)), NUM(1));
    case LAW_UNIFORM:
    case LAW_UNIFORM_INT: /* infinite where e gives nothing */
        x = EW2(SUB, entropy(b, e, loc), entropy(b, d, loc));
        y = EW2(AND, EW2(LE, q, p), EW2(LE, d->arg[1], e->arg[1]));
        return pick(b, y, x, NUM(HUGE_VAL), loc);
    case LAW_BERNOULLI:
        x = weighted(b, p, EW1(FN_log, q), loc);
        y = EW1(FN_log, one_minus(b, q, loc));
        return EW2(ADD, x, weighted(b, one_minus(b, p, loc), y, loc));
    case LAW_CATEGORICAL:
    default:
        return class_sum(b, p, log_softmax(b, q, loc), loc);
    }
}

/* The primitives */

static bool is_discrete(const struct density *d)
{
    return d->law == LAW_UNIFORM_INT || d->law == LAW_BERNOULLI ||
           d->law == LAW_CATEGORICAL;
}

/* log |slope| of a continuous law; NULL: none */
static struct val *stretch(struct mb *b, const struct density *d, struct loc loc)
{
    return d->slope && !is_discrete(d) ? EW1(FN_log, EW1(ABS, d->slope)) : NULL;
}

struct val *mb_log_prob(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct density d;
    const struct loc loc = a->loc;
    struct val *v = a->val[1];
    (void)x;
    (void)p;
    if (!mb_density(b, a->val[0], a->at[0], &d) || v->kind == VAL_POISON)
        return mb_poison(b);
    if (d.slope)
        v = EW2(DIV, EW2(SUB, v, d.shift), d.slope);
    struct val *wide = stretch(b, &d, loc), *out = log_density(b, &d, v, loc);
    return mb_reduce_sum(b, wide ? EW2(SUB, out, wide) : out, true, false, loc);
}

struct val *mb_kl(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct density d, e;
    (void)x;
    (void)p;
    const bool ok = mb_density(b, a->val[0], a->at[0], &d);
    if (!mb_density(b, a->val[1], a->at[1], &e) || !ok)
        return mb_poison(b);
    if (d.law != e.law || d.slope || e.slope) {
        diag(b->ds, E0001, a->loc,
             d.law != e.law ? "`kl` between distributions of two kinds"
                            : "`kl` of affine maps of this distribution");
        return mb_poison(b);
    }
    return mb_reduce_sum(b, divergence(b, &d, &e, a->loc), true, false, a->loc);
}

struct val *mb_entropy(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct density d;
    const struct loc loc = a->loc;
    (void)x;
    (void)p;
    if (!mb_density(b, a->val[0], a->at[0], &d))
        return mb_poison(b);
    struct val *v = entropy(b, &d, loc), *wide = stretch(b, &d, loc);
    if (wide)
        v = EW2(ADD, v, wide);
    if (d.type.rank)
        v = mb_wide(b, v, &d.type);
    return mb_reduce_sum(b, v, true, false, loc);
}

/* p->op: 0 the mean, 1 the standard deviation */
struct val *mb_moment(struct mb *b, struct ecx *x, const struct prim *p, struct args *a)
{
    struct density d;
    const struct loc loc = a->loc;
    (void)x;
    if (!mb_density(b, a->val[0], a->at[0], &d))
        return mb_poison(b);
    struct val *v = moment(b, &d, p->op, loc);
    if (d.slope && p->op)
        v = EW2(MUL, v, EW1(ABS, d.slope));
    else if (d.slope)
        v = EW2(ADD, EW2(MUL, v, d.slope), d.shift);
    return d.type.rank ? mb_wide(b, v, &d.type) : v;
}
