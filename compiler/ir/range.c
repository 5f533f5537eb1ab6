/* Interval arithmetic over maps and what carries their values on. */
#include "compiler/ir/range.h"

#include <math.h>
#include <string.h>

enum { DEPTH = 64 };

struct cx {
    const struct program *p;
    unsigned depth;
};

static const struct range unknown = {0};

static struct range value_range(struct cx *c, value_id v);

static struct range between(double lo, double hi)
{
    return (struct range){true, true, lo, hi};
}

static struct range hull(struct range x, struct range y)
{
    if (!x.known || !y.known)
        return unknown;
    return (struct range){true, x.exact && y.exact, fmin(x.lo, y.lo), fmax(x.hi, y.hi)};
}

static struct range product(struct range x, struct range y)
{
    const double p[4] = {x.lo * y.lo, x.lo * y.hi, x.hi * y.lo, x.hi * y.hi};
    return (struct range){true, x.exact && y.exact,
                          fmin(fmin(p[0], p[1]), fmin(p[2], p[3])),
                          fmax(fmax(p[0], p[1]), fmax(p[2], p[3]))};
}

/* The remainder has the sign of what is divided. */
static struct range remainder_of(struct range x, struct range y)
{
    if (y.lo != y.hi || y.lo < 1)
        return unknown;
    if (x.lo >= 0 && x.hi < y.lo)
        return x;
    return (struct range){true, false, x.lo < 0 ? 1 - y.lo : 0, x.hi > 0 ? y.lo - 1 : 0};
}

/* Integers wrap: what may leave the i32s is not known. */
static struct range whole(struct range r)
{
    return r.known && r.lo >= INT32_MIN && r.hi <= INT32_MAX ? r : unknown;
}

static struct range binary(uint16_t op, struct range x, struct range y)
{
    const bool exact = x.exact && y.exact;
    switch (op) {
    case SX_IADD:
    case SX_ADD:
        return (struct range){true, exact, x.lo + y.lo, x.hi + y.hi};
    case SX_ISUB:
    case SX_SUB:
        return (struct range){true, exact, x.lo - y.hi, x.hi - y.lo};
    case SX_IMUL:
    case SX_MUL:
        return product(x, y);
    case SX_MIN:
        return (struct range){true, exact, fmin(x.lo, y.lo), fmin(x.hi, y.hi)};
    case SX_MAX:
        return (struct range){true, exact, fmax(x.lo, y.lo), fmax(x.hi, y.hi)};
    case SX_IREM:
        return remainder_of(x, y);
    case SX_MULHI:
        return between(0, floor(x.hi * y.hi / 4294967296.0));
    default:
        return unknown;
    }
}

static struct range convert(uint16_t op, struct range x)
{
    switch (op) {
    case SX_NEG:
        return (struct range){true, x.exact, -x.hi, -x.lo};
    case SX_FLOOR:
        return (struct range){true, x.exact, floor(x.lo), floor(x.hi)};
    case SX_F2I:
        return (struct range){true, x.exact, trunc(x.lo), trunc(x.hi)};
    case SX_I2U:
        return x.lo >= 0 ? x : unknown;
    case SX_I2F:
    case SX_U2F:
    case SX_U2I:
        return x;
    default:
        return unknown;
    }
}

static double constant(const struct sx_node *n)
{
    double x;
    const uint32_t w[2] = {n->a, n->b};
    memcpy(&x, w, sizeof x);
    return n->type == SX_FLOAT ? x : n->type == SX_I32 ? (double)(int32_t)n->a : n->a;
}

static struct range expr_range(struct cx *c, const struct node *n, sx_id e)
{
    const struct graph *g = &c->p->graph;
    const struct sx_node *x = &g->sx.node[e];
    const struct type *t = graph_type(g, n->out0);
    struct range r = unknown;

    if (++c->depth > DEPTH) {
        c->depth--;
        return unknown;
    }
    switch (x->op) {
    case SX_K:
        r = between(constant(x), constant(x));
        break;
    case SX_ARG:
        r = value_range(c, graph_in(g, n)[x->a]);
        break;
    case SX_AXIS:
        r = t->dim[x->a].b ? unknown : between(0, t->dim[x->a].c - 1);
        break;
    case SX_RNG:
        r = between(0, UINT32_MAX);
        break;
    case SX_SEL:
        r = hull(expr_range(c, n, x->b), expr_range(c, n, x->c));
        r.exact = false;
        break;
    default: {
        const struct sx_info *info = sx_op_info((enum sx_op)x->op);
        const struct range one = info->is_function ? unknown : expr_range(c, n, x->a);
        if (one.known && info->arity == 1)
            r = convert(x->op, one);
        else if (one.known && info->arity == 2) {
            const struct range two = expr_range(c, n, x->b);
            r = two.known ? binary(x->op, one, two) : unknown;
        }
        break;
    }
    }
    c->depth--;
    return x->type == SX_FLOAT || x->op == SX_RNG || x->type == SX_U32 ? r : whole(r);
}

static struct range setting_range(const struct program *p, const struct leaf *l)
{
    for (uint32_t i = 0; i < p->nsetting; i++) {
        const struct prog_setting *s = &p->setting[i];
        if (s->has_range && !s->is_list && strcmp(s->name, l->path) == 0)
            return between(s->lo, s->hi);
    }
    return unknown;
}

/* Elements of the source that one element of a fold looks at. */
static struct range fold_range(const struct graph *g, const struct node *n)
{
    const struct form *f = &g->form[n->attr];
    const uint32_t reduced = form_reduced(f, n->port);
    double count = 1;
    for (unsigned k = 0; k < f->naxis; k++) {
        if ((reduced >> k & 1) && f->axis[k].b)
            return unknown;
        count *= reduced >> k & 1 ? f->axis[k].c : 1;
    }
    return between(0, count - 1);
}

static struct range value_range(struct cx *c, value_id v)
{
    const struct graph *g = &c->p->graph;
    const struct node *n = &g->node[g->value[v].def];
    struct range r = unknown;

    if (++c->depth > DEPTH) {
        c->depth--;
        return unknown;
    }
    switch (n->op) {
    case OP_MAP:
        r = expr_range(c, n, n->attr);
        break;
    case OP_STOP:
        r = value_range(c, graph_in(g, n)[0]);
        break;
    case OP_FOLD:
        r = v == n->out0 + 1 ? fold_range(g, n) : value_range(c, graph_in(g, n)[0]);
        break;
    case OP_FORM: /* moved elements, and perhaps zeros between them */
        if (n->nin == 1 && !form_reduced(&g->form[n->attr], n->port))
            r = value_range(c, graph_in(g, n)[0]);
        if (r.known && !form_is_view(&g->form[n->attr], n->port)) {
            r = hull(r, between(0, 0));
            r.exact = false;
        }
        break;
    case OP_LEAF:
        if (g->leaf[n->attr].what == LEAF_SETTING)
            r = setting_range(c->p, &g->leaf[n->attr]);
        break;
    default:
        break;
    }
    c->depth--;
    return r;
}

struct range program_range(const struct program *p, value_id v)
{
    struct cx c = {p, 0};
    return value_range(&c, v);
}

enum range_fit range_fit(const struct range *r, int64_t extent)
{
    if (!r->known)
        return RANGE_UNKNOWN;
    if (r->lo >= 0 && r->hi < (double)extent)
        return RANGE_INSIDE;
    if (r->exact || r->hi < 0 || r->lo >= (double)extent)
        return RANGE_OUTSIDE;
    return RANGE_UNKNOWN;
}
