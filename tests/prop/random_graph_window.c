/* Windows: pools, convolutions in all roles, what they compute of their operands. */
#include <string.h>

#include "tests/prop/random_graph_internal.h"

/* One window dim h = s o + d k - p over the last axis, the rest plain. */
struct form rg_window_form(struct maker *m, const struct type *t, int32_t *out)
{
    struct form f = {.naxis = t->rank, .nport = 2};
    const unsigned last = t->rank - 1U;
    const int32_t n = t->dim[last].c, k = 1 + (int32_t)rg_below(m, 3);
    const int32_t s = 1 + (int32_t)rg_below(m, 3), d = 1 + (int32_t)rg_below(m, 2);
    const int32_t pad = (int32_t)rg_below(m, 2);
    const int32_t o = (n + 2 * pad - d * (k - 1) - 1) / s + 1;
    *out = n + 2 * pad < d * (k - 1) + 1 ? 0 : o;
    for (unsigned i = 0; i < t->rank; i++) {
        f.axis[i] = i == last ? ext_const(*out) : t->dim[i];
        f.port[0].dim[i] = f.port[1].dim[i] =
            (struct dimmap){.n = 1, .axis = {(int8_t)i}, .coef = {1}};
        f.port[0].shape[i] = t->dim[i];
        f.port[1].shape[i] = f.axis[i];
    }
    f.port[0].rank = f.port[1].rank = t->rank;
    f.axis[f.naxis++] = ext_const(k);
    f.port[0].dim[last] = (struct dimmap){.n = 2,
                                          .axis = {(int8_t)last, (int8_t)t->rank},
                                          .coef = {s, d},
                                          .off = ext_const(-pad)};
    return f;
}

bool rg_has_unit_axis(const struct type *t)
{
    return t->rank > t->sample && !t->dim[t->rank - 1].b;
}

/* Sums, or the largest, of windows; or spread back by the same form. */
value_id rg_window(struct maker *m)
{
    const value_id x = rg_pick(m);
    const struct type *t = graph_type(m->g, x);
    int32_t out;
    if (!rg_has_unit_axis(t) || m->o->no_windows)
        return 0;
    const struct form f = rg_window_form(m, t, &out);
    if (out < 1)
        return 0;
    const value_id y = graph_form(m->g, &f, 1, &x, t->sample, DT_F32);
    return rg_below(m, 2) ? y : graph_form(m->g, &f, 0, &y, t->sample, DT_F32);
}

/* A product along the last axis with a window: a convolution in one dim, or its transpose.
 */
value_id rg_convolution(struct maker *m)
{
    const value_id x = rg_pick(m);
    const struct type t = *graph_type(m->g, x);
    int32_t out;
    if (!rg_has_unit_axis(&t) || t.rank < t.sample + 2 || m->o->no_windows || t.rank > 4)
        return 0;
    struct form f = rg_window_form(m, &t, &out);
    if (out < 1)
        return 0;
    /* port 2: weights [f, c, k]; the channel axis (last but one) is summed, f takes its
     * place */
    const unsigned c = t.rank - 2U;
    const struct ext channels = t.dim[c], filters = ext_const(rg_size(m)),
                     k = f.axis[t.rank];
    if (channels.b)
        return 0;
    const struct port image = f.port[0];
    struct port result = f.port[1];
    const int8_t af = (int8_t)f.naxis;
    f.axis[f.naxis++] = filters;
    result.dim[c].axis[0] = af;
    result.shape[c] = filters;
    f.nport = 3;
    f.port[0] = result;
    f.port[1] = image;
    f.port[2] = (struct port){.rank = 3, .shape = {filters, channels, k}};
    const int8_t axes[3] = {af, (int8_t)c, (int8_t)t.rank};
    for (unsigned i = 0; i < 3; i++)
        f.port[2].dim[i] = (struct dimmap){.n = 1, .axis = {axes[i]}, .coef = {1}};
    value_id in[2] = {x, rg_param(m, 3, f.port[2].shape)};
    const value_id y = graph_form(m->g, &f, 0, in, t.sample, DT_F32);
    if (rg_below(m, 2))
        return y;
    in[0] = y;
    return graph_form(m->g, &f, 1, in, t.sample, DT_F32);
}

/* The last axis as a diagonal: an axis in two dims, which form_solve() leaves whole. */
value_id rg_diagonal(struct maker *m)
{
    const value_id x = rg_pick(m);
    const struct type *t = graph_type(m->g, x);
    struct form f = {.naxis = t->rank, .nport = 2};
    if (!rg_has_unit_axis(t) || t->rank == HYP_RANK || m->o->no_windows)
        return 0;
    for (unsigned i = 0; i <= t->rank; i++) {
        const unsigned k = i < t->rank ? i : t->rank - 1U;
        f.port[0].shape[i] = f.port[1].shape[i] = f.axis[k] = t->dim[k];
        f.port[0].dim[i] = f.port[1].dim[i] =
            (struct dimmap){.n = 1, .axis = {(int8_t)k}, .coef = {1}};
    }
    f.port[0].rank = (uint8_t)(t->rank + 1);
    f.port[1].rank = t->rank;
    return graph_form(m->g, &f, 0, &x, t->sample, DT_F32);
}

/* A tensor for a port of a form: data, or a weight. */
static value_id port_leaf(struct maker *m, const struct port *q, bool sample)
{
    struct type t = {.dtype = DT_F32, .rank = q->rank, .sample = sample};
    memcpy(t.dim, q->shape, q->rank * sizeof *t.dim);
    return rg_leaf(m, sample ? LEAF_DATA : LEAF_PARAM, &t);
}

/* The number of an element of all dims but the batch. */
static sx_id element_of(struct maker *m, const struct type *t)
{
    struct sxb *b = &m->g->sx;
    sx_id e = sx_int(b, 1);
    for (unsigned d = t->sample; d < t->rank; d++)
        e = sx_make(b, SX_IADD, sx_make(b, SX_IMUL, e, sx_int(b, t->dim[d].c), 0),
                    sx_axis(b, d), 0);
    return e;
}

/* A draw for every element: added, or what some of them are left out by. */
static value_id noisy(struct maker *m, value_id x)
{
    struct sxb *b = &m->g->sx;
    const struct type *t = graph_type(m->g, x);
    const char *path = arena_fmt(m->a, "phase/draw~%u", ++m->nsite);
    const site_id site =
        graph_site(m->g, path, m->region, t->sample && rg_below(m, 3) != 0);
    const sx_id e = element_of(m, t), v = sx_arg(b, 0, SX_FLOAT);
    const sx_id fn =
        rg_below(m, 2) ? sx_make(b, SX_ADD, v, sx_normal(b, site, e), 0)
                       : sx_make(b, SX_SEL, sx_bernoulli(b, site, e, sx_const(b, 0.5)),
                                 sx_make(b, SX_MUL, v, sx_const(b, 2), 0), sx_const(b, 0));
    return graph_map(m->g, fn, &x, 1, NULL);
}

/* What a convolution may compute where it reads x: 0 at 0, or something else. */
static value_id before_window(struct maker *m, value_id x)
{
    static const enum sx_op fn[] = {SX_FN_relu, SX_FN_cos, SX_NEG, SX_FN_sigmoid};
    struct type t = *graph_type(m->g, x);
    if (rg_below(m, 3) == 0)
        x = noisy(m, x);
    if (rg_below(m, 3) == 0)
        x = graph_op2(m->g, SX_MUL, x, rg_leaf(m, t.sample ? LEAF_DATA : LEAF_PARAM, &t));
    for (unsigned d = t.sample; d < t.rank; d++) /* a bias of some dims */
        t.dim[d] = rg_below(m, 2) ? ext_const(1) : t.dim[d];
    if (rg_below(m, 3) == 0)
        x = graph_op2(m->g, SX_ADD, x, rg_param(m, t.rank - t.sample, t.dim + t.sample));
    return rg_below(m, 2) ? x : graph_op1(m->g, fn[rg_below(m, 4)], x);
}

static value_id read_out(struct maker *m, const struct form *f, uint8_t port,
                         const value_id t[3])
{
    const value_id in[2] = {t[port == 0], t[port == 2 ? 1 : 2]};
    return graph_form(m->g, f, port, in, port < 2, DT_F32);
}

/* Operands that maps compute, read by two, of which one reads more of them. */
static value_id computed_convolution(struct maker *m, const struct form *f, uint8_t port)
{
    value_id t[2][3];
    const unsigned first = rg_below(m, 2), more = rg_below(m, 3);
    for (unsigned j = 0; j < 3; j++)
        t[0][j] = t[1][j] = before_window(m, port_leaf(m, &f->port[j], j < 2));
    t[1][more] = before_window(m, t[1][more]);
    rg_keep(m, read_out(m, f, rg_below(m, 2) ? port : (uint8_t)rg_below(m, 3), t[first]));
    return read_out(m, f, port, t[1 - first]);
}

/* Images of two dims with any kernel, stride, pad, dilation and groups; read out at the
 * result, the image (rows that no window reaches, too) or the weights. */
value_id rg_image_convolution(struct maker *m)
{
    int32_t in[3], out[3], k[2], s[2], p[2], d[2];
    const int32_t groups = rg_below(m, 4) ? 1 : 2;
    if (m->o->no_windows)
        return 0;
    in[0] = groups * (1 + (int32_t)rg_below(m, 3));
    out[0] = groups * (1 + (int32_t)rg_below(m, 3));
    for (unsigned i = 0; i < 2; i++) {
        k[i] = 1 + (int32_t)rg_below(m, 5);
        s[i] = 1 + (int32_t)rg_below(m, 3);
        d[i] = 1 + (int32_t)rg_below(m, 2);
        p[i] = (int32_t)rg_below(m, 3);
        out[1 + i] = 1 + (int32_t)rg_below(m, 3);
        const int32_t least = s[i] * (out[1 + i] - 1) + d[i] * (k[i] - 1) + 1 - 2 * p[i];
        in[1 + i] = (least < 1 ? 1 : least) + (int32_t)rg_below(m, (uint32_t)s[i]);
    }
    const struct form f = form_conv((struct ext){0, 1}, in, out, k, s, p, d, groups);
    const uint8_t port = (uint8_t)rg_below(m, 3);
    value_id t[3] = {0};
    if (m->o->computed)
        return computed_convolution(m, &f, port);
    for (unsigned j = 0; j < 3; j++)
        if (j != port)
            t[j] = port_leaf(m, &f.port[j], j < 2);
    return read_out(m, &f, port, t);
}

/* The last axis reversed, or every second element of it. */
value_id rg_stride_or_flip(struct maker *m)
{
    const value_id x = rg_pick(m);
    const struct type *t = graph_type(m->g, x);
    struct form f = {.naxis = t->rank, .nport = 2};
    if (!rg_has_unit_axis(t))
        return 0;
    const unsigned last = t->rank - 1U;
    const int32_t n = t->dim[last].c;
    const bool flip = rg_below(m, 2);
    for (unsigned i = 0; i < t->rank; i++) {
        f.axis[i] = i < last || flip ? t->dim[i] : ext_const((n + 1) / 2);
        f.port[0].dim[i] = f.port[1].dim[i] =
            (struct dimmap){.n = 1, .axis = {(int8_t)i}, .coef = {1}};
        f.port[0].shape[i] = t->dim[i];
        f.port[1].shape[i] = f.axis[i];
    }
    f.port[0].rank = f.port[1].rank = t->rank;
    f.port[0].dim[last].coef[0] = flip ? -1 : 2;
    f.port[0].dim[last].off = ext_const(flip ? n - 1 : 0);
    return graph_form(m->g, &f, 1, &x, t->sample, DT_F32);
}

value_id form_leaf(struct graph *g, const struct form *f, unsigned port)
{
    static const char *const path[] = {"t0", "t1", "t2"};
    struct type t = {.dtype = DT_F32, .rank = f->port[port].rank, .sample = port < 2};
    memcpy(t.dim, f->port[port].shape, sizeof t.dim);
    return graph_leaf(g, port < 2 ? LEAF_DATA : LEAF_PARAM, 0, 0, path[port], t);
}
