/*
 * The optimizers, with PyTorch's formulas.
 *
 * Host scalars (step sizes, bias corrections 1 - beta^t) are computed in double once a
 * step; the element-wise rest is one map for each tensor it changes, an expression of its
 * own.
 */
#include "compiler/passes/pass.h"

/* Maps under construction: operands are numbered as they are used. */
struct build {
    struct graph *g;
    value_id in[16];
    uint8_t nin;
};

static sx_id use(struct build *b, value_id v)
{
    unsigned i = 0;
    while (i < b->nin && b->in[i] != v)
        i++;
    if (i == b->nin)
        b->in[b->nin++] = v;
    return sx_arg(&b->g->sx, i, SX_FLOAT);
}

static sx_id make2(struct build *b, enum sx_op op, sx_id x, sx_id y)
{
    return sx_make(&b->g->sx, op, x, y, 0);
}

static value_id finish(struct build *b, sx_id fn, value_id like)
{
    const struct type t = *graph_type(b->g, like);
    b->g->expr = graph_new_expr(b->g);
    const value_id v = graph_map(b->g, fn, b->in, b->nin, &t);
    b->g->expr = 0;
    return v;
}

static bool is_zero(const struct graph *g, value_id v)
{
    if (!v)
        return true;
    const struct node *n = &g->node[g->value[v].def];
    const struct sx_node *x = n->op == OP_MAP ? &g->sx.node[n->attr] : NULL;
    return x && x->op == SX_K && x->a == 0 && x->b == 0;
}

void optimizer_slots(const struct graph *g, const struct prog_optimizer *o, bool *m,
                     bool *v, bool *vmax)
{
    const bool adam = o->rule == OPT_ADAM || o->rule == OPT_ADAMW;
    *m = adam || !is_zero(g, o->momentum);
    *v = o->rule != OPT_SGD;
    *vmax = adam && o->amsgrad;
}

/* An expression of host scalars. */
static value_id host2(struct graph *g, region_id host, enum sx_op op, value_id x,
                      value_id y)
{
    const region_id at = g->at;
    g->at = host;
    const value_id v = graph_op2(g, op, x, y);
    g->at = at;
    return v;
}

static value_id host_sqrt(struct graph *g, region_id host, value_id x)
{
    const region_id at = g->at;
    g->at = host;
    const value_id v = graph_op1(g, SX_SQRT, x);
    g->at = at;
    return v;
}

static value_id host_const(struct graph *g, region_id host, double x)
{
    const region_id at = g->at;
    g->at = host;
    const value_id v = graph_const(g, x);
    g->at = at;
    return v;
}

static value_id one_minus(struct graph *g, region_id host, value_id x)
{
    return host2(g, host, SX_SUB, host_const(g, host, 1), x);
}

/* The gradient as the rule sees it: scaled by clipping, with L2 decay. */
static sx_id gradient(struct build *b, const struct prog_optimizer *o,
                      const struct optimizer_io *io)
{
    sx_id x = use(b, io->grad);
    if (io->scale)
        x = make2(b, SX_MUL, x, use(b, io->scale));
    if (o->clip && o->clip_max) {
        const sx_id c = use(b, o->clip);
        x = make2(b, SX_MIN, c, make2(b, SX_MAX, make2(b, SX_NEG, c, 0), x));
    }
    if (o->rule != OPT_ADAMW && !is_zero(b->g, o->weight_decay))
        x = make2(b, SX_ADD, x,
                  make2(b, SX_MUL, use(b, o->weight_decay), use(b, io->weight)));
    return x;
}

/* old + (1 - beta) (new - old) */
static value_id new_m(struct graph *g, const struct prog_optimizer *o,
                      const struct optimizer_io *io)
{
    struct build b = {.g = g};
    const sx_id x = gradient(&b, o, io), old = use(&b, io->m);
    const sx_id keep = use(&b, one_minus(g, io->host, o->beta1));
    return finish(
        &b, make2(&b, SX_ADD, old, make2(&b, SX_MUL, keep, make2(&b, SX_SUB, x, old))),
        io->weight);
}

/* beta old + (1 - beta) new^2 */
static value_id new_v(struct graph *g, const struct prog_optimizer *o,
                      const struct optimizer_io *io, value_id beta)
{
    struct build b = {.g = g};
    const sx_id x = gradient(&b, o, io);
    const sx_id keep = use(&b, one_minus(g, io->host, beta));
    const sx_id old = make2(&b, SX_MUL, use(&b, beta), use(&b, io->v));
    const sx_id square = make2(&b, SX_MUL, make2(&b, SX_MUL, keep, x), x);
    return finish(&b, make2(&b, SX_ADD, old, square), io->weight);
}

/* weight - step * change, within bounds. */
static value_id new_weight(struct build *b, const struct prog_optimizer *o,
                           const struct optimizer_io *io, sx_id weight, sx_id step,
                           sx_id change)
{
    sx_id w = make2(b, SX_SUB, weight, make2(b, SX_MUL, step, change));
    if (o->has_bounds)
        w = sx_make(&b->g->sx, SX_FN_clip, w, use(b, o->low), use(b, o->high));
    return finish(b, w, io->weight);
}

/*
 * step m' / (sqrt(v') + eps) with m' = m / c1 and v' = v / c2, both corrections taken out
 * of the elements: lr sqrt(c2) / c1 m / (sqrt(v) + eps sqrt(c2)).
 */
static struct optimizer_state adam(struct graph *g, const struct prog_optimizer *o,
                                   const struct optimizer_io *io)
{
    const region_id host = io->host;
    struct optimizer_state s = {.m = new_m(g, o, io), .v = new_v(g, o, io, o->beta2)};
    struct build b = {.g = g};
    value_id largest = s.v;
    if (o->amsgrad)
        largest = s.vmax = graph_op2(g, SX_MAX, s.v, io->vmax);
    const value_id c1 = one_minus(g, host, host2(g, host, SX_FN_pow, o->beta1, io->t));
    const value_id c2 = one_minus(g, host, host2(g, host, SX_FN_pow, o->beta2, io->t));
    const value_id root = host_sqrt(g, host, c2);
    const value_id step = host2(g, host, SX_DIV, host2(g, host, SX_MUL, o->lr, root), c1);
    const value_id eps = host2(g, host, SX_MUL, o->eps, root);
    sx_id weight = use(&b, io->weight);
    if (o->rule == OPT_ADAMW && !is_zero(g, o->weight_decay)) {
        const value_id decay = host2(g, host, SX_MUL, o->lr, o->weight_decay);
        weight = make2(&b, SX_MUL, weight, use(&b, one_minus(g, host, decay)));
    }
    const sx_id below =
        make2(&b, SX_ADD, make2(&b, SX_SQRT, use(&b, largest), 0), use(&b, eps));
    const sx_id change = make2(&b, SX_DIV, use(&b, s.m), below);
    s.weight = new_weight(&b, o, io, weight, use(&b, step), change);
    return s;
}

/* momentum * old + new */
static value_id new_velocity(struct build *b, const struct prog_optimizer *o,
                             const struct optimizer_io *io, sx_id change)
{
    const sx_id old = make2(b, SX_MUL, use(b, o->momentum), use(b, io->m));
    return finish(b, make2(b, SX_ADD, old, change), io->weight);
}

static struct optimizer_state plain(struct graph *g, const struct prog_optimizer *o,
                                    const struct optimizer_io *io)
{
    struct optimizer_state s = {0};
    struct build b = {.g = g}, w = {.g = g};
    if (o->rule == OPT_RMSPROP)
        s.v = new_v(g, o, io, o->decay);
    sx_id change = gradient(&b, o, io);
    if (s.v) {
        const sx_id root = make2(&b, SX_SQRT, use(&b, s.v), 0);
        change = make2(&b, SX_DIV, change, make2(&b, SX_ADD, root, use(&b, o->eps)));
    }
    if (is_zero(g, o->momentum)) {
        const sx_id weight = use(&b, io->weight);
        s.weight = new_weight(&b, o, io, weight, use(&b, o->lr), change);
        return s;
    }
    s.m = new_velocity(&b, o, io, change);
    const sx_id weight = use(&w, io->weight), step = use(&w, o->lr);
    s.weight = new_weight(&w, o, io, weight, step, use(&w, s.m));
    return s;
}

struct optimizer_state optimizer_step(struct graph *g, const struct prog_optimizer *o,
                                      const struct optimizer_io *io)
{
    return o->rule == OPT_ADAM || o->rule == OPT_ADAMW ? adam(g, o, io) : plain(g, o, io);
}
