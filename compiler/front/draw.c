/*
 * Draws: distributions, and what `~` makes of them: one map over words of Philox, addressed
 * by site and element (ARCHITECTURE.md).
 */
#include <math.h>
#include <string.h>

#include "compiler/front/prim.h"
#include "runtime/base/arena.h"

/* Shape and kind of a draw */

static bool plain(const struct mb *b, const struct val *v)
{
    return !v || v->kind == VAL_NUM || mb_is_host(b, v->v);
}

static void no_shape(struct mb *b, struct loc loc)
{
    diag(b->ds, E0306, loc, "this draw has no shape");
    diag_hint(b->ds, "give it one: `like=x`, `shape=[...]`, `per=sample` or `per=batch`");
}

static void set_sample(struct type *t, bool sample)
{
    if (t->sample == sample)
        return;
    if (sample) {
        memmove(t->dim + 1, t->dim, t->rank * sizeof t->dim[0]);
        t->dim[0] = (struct ext){0, 1};
        t->rank++;
    } else {
        memmove(t->dim, t->dim + 1, (t->rank - 1U) * sizeof t->dim[0]);
        t->rank--;
    }
    t->sample = sample;
}

/* What shape=, like= and per= say; *given: anything did. */
static bool draw_asked(struct mb *b, const struct dist *d, struct type *t, bool *given)
{
    bool sample = false;
    *given = d->shape || d->like || d->per;
    if (d->shape) {
        if (!mb_shape(b, d->shape, d->shape->loc, t))
            return false;
        sample = true;
    } else if (d->like) {
        const value_id v = mb_value(b, d->like, d->like->loc);
        if (!v)
            return false;
        *t = *graph_type(b->g, v);
        sample = t->sample;
    }
    if (d->per) {
        const bool ok = d->per->kind == VAL_WORD &&
                        (!strcmp(d->per->word, "sample") || !strcmp(d->per->word, "batch"));
        if (!ok) {
            if (d->per->kind != VAL_POISON)
                diag(b->ds, E0203, d->per->loc, "`per` is `sample` or `batch`");
            return false;
        }
        sample = !strcmp(d->per->word, "sample");
    }
    set_sample(t, sample);
    return true;
}

static bool draw_type(struct mb *b, const struct dist *d, const struct type *use,
                      struct loc loc, struct type *out)
{
    struct val *arg[2];
    uint32_t n = 0;
    bool given = false;
    struct type asked = type_scalar(DT_F32), params;
    for (unsigned i = 0; i < 2; i++)
        if (d->arg[i])
            arg[n++] = d->arg[i];
    if (!mb_join(b, arg, n, loc, &params) || !draw_asked(b, d, &asked, &given))
        return false;
    if (d->law == LAW_CATEGORICAL)
        params.rank--; /* the classes are drawn from, not drawn */
    const bool is_plain = plain(b, d->arg[0]) && plain(b, d->arg[1]);
    if (!given && is_plain && !use) {
        no_shape(b, loc);
        return false;
    }
    *out = given ? asked : is_plain ? *use : params;
    out->dtype = DT_F32;
    if (!given || is_plain)
        return true;
    if (d->per && !d->shape && !d->like) { /* the parameters' shape, of another kind */
        *out = params;
        set_sample(out, asked.sample);
    } else if (d->shape && !d->per) {
        set_sample(out, out->sample || params.sample);
    }
    struct type joined;
    unsigned axis = 0;
    if (!type_join(out, &params, &joined, &axis) || !mb_same_shape(&joined, out)) {
        diag(b->ds, E0301, loc, "shapes %s and %s do not fit", mb_shape_text(b, out),
             mb_shape_text(b, &params));
        diag_note(b->ds, loc,
                  "the first is the draw's, the second its parameters': %s and %s",
                  type_print(out, b->a), type_print(&params, b->a));
        return false;
    }
    return true;
}

/* Words */

/* Row-major index within the sample, over dims from..rank of t. */
static sx_id element(struct mb *b, const struct type *t, struct loc loc)
{
    struct sxb *s = &b->g->sx;
    sx_id e = sx_int(s, 0);
    for (unsigned i = t->sample ? 1 : 0; i < t->rank; i++) {
        if (t->dim[i].b && e != sx_int(s, 0)) {
            diag(b->ds, E0001, loc, "a draw whose inner extent varies with the batch");
            return 0;
        }
        e = sx_make(s, SX_IMUL, e, sx_int(s, t->dim[i].b ? 1 : t->dim[i].c), 0);
        e = sx_make(s, SX_IADD, e, sx_axis(s, i), 0);
    }
    return e;
}

static sx_id word(struct mb *b, site_id site, sx_id e)
{
    return sx_rng(&b->g->sx, site, e);
}

static sx_id standard_normal(struct mb *b, site_id site, sx_id e)
{
    struct sxb *s = &b->g->sx;
    const sx_id even = sx_make(s, SX_IAND, e, sx_int(s, ~1), 0);
    const sx_id odd = sx_make(s, SX_IOR, e, sx_int(s, 1), 0);
    const sx_id w0 = word(b, site, even), w1 = word(b, site, odd);
    return sx_make(s, SX_FN_normal, w0, w1, e);
}

struct operands {
    value_id in[8];
    uint32_t n;
};

static sx_id operand(struct mb *b, struct operands *o, const struct val *v)
{
    struct sxb *s = &b->g->sx;
    if (v->kind == VAL_NUM)
        return sx_const(s, v->num);
    const uint8_t dt = graph_type(b->g, v->v)->dtype;
    o->in[o->n] = v->v;
    const sx_id x = sx_arg(s, o->n++,
                           dt == DT_F32   ? SX_FLOAT
                           : dt == DT_I32 ? SX_I32
                                          : SX_BOOL);
    if (dt == DT_I32)
        return sx_make(s, SX_I2F, x, 0, 0);
    return dt == DT_BOOL ? sx_make(s, SX_SEL, x, sx_const(s, 1), sx_const(s, 0)) : x;
}

static bool is_num(const struct val *v, double x)
{
    return v->kind == VAL_NUM && v->num == x;
}

static sx_id scaled(struct mb *b, struct operands *o, const struct dist *d, sx_id x)
{
    struct sxb *s = &b->g->sx;
    if (!is_num(d->arg[1], 1))
        x = sx_make(s, SX_MUL, operand(b, o, d->arg[1]), x, 0);
    return is_num(d->arg[0], 0) ? x : sx_make(s, SX_ADD, operand(b, o, d->arg[0]), x, 0);
}

static sx_id law_int(struct mb *b, struct operands *o, const struct dist *d, sx_id w)
{
    struct sxb *s = &b->g->sx;
    sx_id end[2];
    for (unsigned i = 0; i < 2; i++)
        end[i] = d->arg[i]->kind == VAL_NUM
                     ? sx_int(s, (int32_t)d->arg[i]->num)
                     : sx_make(s, SX_F2I, operand(b, o, d->arg[i]), 0, 0);
    const sx_id span =
        sx_make(s, SX_IADD, sx_make(s, SX_ISUB, end[1], end[0], 0), sx_int(s, 1), 0);
    const sx_id hi = sx_make(s, SX_MULHI, w, sx_make(s, SX_I2U, span, 0, 0), 0);
    return sx_make(s, SX_IADD, end[0], sx_make(s, SX_U2I, hi, 0, 0), 0);
}

static sx_id law_sx(struct mb *b, struct operands *o, const struct dist *d, site_id site,
                    sx_id e)
{
    struct sxb *s = &b->g->sx;
    const sx_id w = word(b, site, e);
    sx_id u = 0;
    switch (d->law) {
    case LAW_NORMAL:
        return scaled(b, o, d, standard_normal(b, site, e));
    case LAW_LAPLACE:
        return scaled(b, o, d, sx_make(s, SX_FN_laplace, w, 0, 0));
    case LAW_UNIFORM: {
        u = sx_make(s, SX_FN_uniform01, w, 0, 0);
        if (is_num(d->arg[0], 0) && is_num(d->arg[1], 1))
            return u;
        const sx_id low = operand(b, o, d->arg[0]), high = operand(b, o, d->arg[1]);
        return sx_make(s, SX_FMA, sx_make(s, SX_SUB, high, low, 0), u, low);
    }
    case LAW_UNIFORM_INT:
        return law_int(b, o, d, w);
    case LAW_BERNOULLI:
        u = sx_make(s, SX_FN_uniform01, w, 0, 0);
        return sx_make(s, SX_LT, u, operand(b, o, d->arg[0]), 0);
    case LAW_EXPONENTIAL:
        u = sx_make(s, SX_FN_exponential, w, 0, 0);
        return is_num(d->arg[0], 1) ? u
                                    : sx_make(s, SX_DIV, u, operand(b, o, d->arg[0]), 0);
    case LAW_CATEGORICAL:
    default: /* Gumbel noise on the logits; the caller takes the largest */
        u = sx_make(s, SX_FN_gumbel, w, 0, 0);
        return sx_make(s, SX_ADD, operand(b, o, d->arg[0]), u, 0);
    }
}

static value_id largest(struct mb *b, value_id v)
{
    const struct type t = *graph_type(b->g, v);
    const struct form f = form_sum(t.dim, t.rank, 1U << (t.rank - 1U));
    value_id index = 0;
    graph_fold(b->g, &f, 1, COMB_ARGMAX, v, t.sample, &index);
    return index;
}

/* `site`: the draw's path.  `use`: the type it takes where it says nothing itself, or NULL.
 */
struct val *mb_draw(struct mb *b, struct ecx *x, struct val *d, const char *site,
                    const struct type *use, struct loc loc)
{
    struct type t;
    (void)x;
    if (d->kind == VAL_POISON)
        return d;
    if (d->kind != VAL_DIST) {
        diag(b->ds, E0307, loc, "expected a distribution behind `~`, found %s",
             mb_show(b, d));
        diag_hint(b->ds, d->kind == VAL_FUNC ? "call it: `~normal()`"
                                             : "`~normal(mean, std)` draws");
        return mb_poison(b);
    }
    if (!draw_type(b, d->dist, use ? use : b->use, loc, &t))
        return mb_poison(b);
    if (d->dist->law == LAW_CATEGORICAL)
        t.dim[t.rank++] = graph_type(b->g, d->dist->arg[0]->v)
                              ->dim[graph_type(b->g, d->dist->arg[0]->v)->rank - 1];
    const sx_id e = element(b, &t, loc);
    if (!e)
        return mb_poison(b);
    struct operands o = {.n = 0};
    const char *key = arena_fmt(b->a, "%u %s", b->g->at, site);
    if (names_get(&b->site_index, key) != NO_NAME) {
        diag(b->ds, E9999, loc, "two draws at `%s`", site);
        return mb_poison(b);
    }
    names_put(b->a, &b->site_index, key, 0);
    const site_id id = graph_site(b->g, site, b->g->at, t.sample);
    const sx_id law = law_sx(b, &o, d->dist, id, e);
    value_id v = mb_map(b, law, o.in, o.n, &t);
    if (d->dist->law == LAW_CATEGORICAL)
        v = largest(b, v);
    struct val *out = mb_tensor(b, v);
    out->track = arena_alloc(b->a, sizeof *out->track);
    *out->track = (struct track){.dist = d->dist, .draw = v, .serial = ++b->serial};
    out->loc = loc;
    if (d->dist->law == LAW_BERNOULLI || d->dist->law == LAW_CATEGORICAL ||
        d->dist->law == LAW_UNIFORM_INT) {
        b->discrete = arena_grow(b->a, b->discrete, &b->cdiscrete, b->ndiscrete + 1,
                                 sizeof *b->discrete);
        b->discrete[b->ndiscrete++] = (struct discrete){.value = v, .loc = loc};
    }
    return out;
}

/* A distribution as a value: p->op is its law. */
struct val *mb_distribution(struct mb *b, struct ecx *x, const struct prim *p,
                            struct args *a)
{
    const unsigned nparam = a->n - 3;
    struct dist d = {.law = (enum law)p->op, .loc = a->loc};
    (void)x;
    for (unsigned i = 0; i < nparam; i++) {
        struct val *v = a->val[i];
        if (v->kind != VAL_NUM && v->kind != VAL_TENSOR) {
            const value_id id = mb_value(b, v, a->at[i]);
            if (!id)
                return mb_poison(b);
            v = mb_tensor(b, id);
            v->loc = a->at[i];
        }
        d.arg[i] = v;
    }
    if (d.law == LAW_CATEGORICAL &&
        (!mb_is(d.arg[0], VAL_TENSOR) ||
         graph_type(b->g, d.arg[0]->v)->rank == graph_type(b->g, d.arg[0]->v)->sample)) {
        diag(b->ds, E0301, a->at[0], "`categorical` needs a vector of logits");
        return mb_poison(b);
    }
    d.shape = a->val[nparam];
    d.like = a->val[nparam + 1];
    d.per = a->val[nparam + 2];
    struct val *v = mb_word(b, NULL);
    v->kind = VAL_DIST;
    v->dist = arena_copy(b->a, &d, sizeof d);
    v->loc = a->loc;
    return v;
}
