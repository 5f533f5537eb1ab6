/*
 * One node after the other in id order, whole values at a time.  Values are arrays of
 * doubles (integers and bools too); a map runs its program over blocks of the last axis.
 */
#include "codegen/interp/graph_eval.h"

#include <string.h>

#include "runtime/base/arena.h"
#include "runtime/base/philox.h"

struct eval {
    const struct graph_eval *e;
    const struct graph *g;
    struct arena *a, *scratch;
    double **value;   /* by value id */
    const bool *host; /* by node: stays double until something else reads it */
};

static int64_t elems(const struct eval *x, value_id v)
{
    return type_elems(graph_type(x->g, v), x->e->batch);
}

static double *make(struct eval *x, value_id v)
{
    x->value[v] = arena_array(x->a, (size_t)elems(x, v) + 1, sizeof(double));
    return x->value[v];
}

static double *copy_of(struct eval *x, value_id v, value_id from)
{
    double *d = make(x, v);
    memcpy(d, x->value[from], (size_t)elems(x, v) * sizeof *d);
    return d;
}

static void round_all(double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = (double)(float)x[i];
}

static void eval_leaf(struct eval *x, const struct node *n)
{
    const struct leaf *l = &x->g->leaf[n->attr];
    if (l->def) {
        copy_of(x, n->out0, l->def);
        return;
    }
    double *d = make(x, n->out0);
    const bool host = l->what == LEAF_SETTING || l->what == LEAF_COUNTER;
    x->e->leaf(x->e->cx, l, elems(x, n->out0), d);
    if (x->e->f32 && !host && l->type.dtype == DT_F32)
        round_all(d, elems(x, n->out0));
}

/* ---- maps ---- */

enum { LANES = SX_BLOCK };

/* A map under way: `index` is that of the block's first element. */
struct mapping {
    struct eval *x;
    const struct node *n;
    const struct type *t;
    bool f64;
    int64_t index[HYP_RANK + 1], extent[HYP_RANK];
    int64_t (*stride)[HYP_RANK]; /* of each operand, along the output's dims */
    double (*lane)[LANES];       /* of each operand: room for the widest lane */
};

static void find_strides(struct mapping *m)
{
    const struct graph *g = m->x->g;
    for (unsigned i = 0; i < m->n->nin; i++) {
        const struct type *t = graph_type(g, graph_in(g, m->n)[i]);
        int8_t to[HYP_RANK];
        int64_t stride = 1;
        map_align(m->t, t, to);
        for (unsigned d = t->rank; d-- > 0;) {
            if (to[d] >= 0)
                m->stride[i][to[d]] = stride;
            stride *= ext_at(t->dim[d], m->x->e->batch);
        }
    }
}

static void load_lanes(const struct mapping *m, unsigned i, uint32_t n)
{
    const struct graph *g = m->x->g;
    const value_id v = graph_in(g, m->n)[i];
    const uint8_t dtype = graph_type(g, v)->dtype;
    const double *from = m->x->value[v];
    const int64_t step = m->t->rank ? m->stride[i][m->t->rank - 1] : 0;
    for (unsigned d = 0; d < m->t->rank; d++)
        from += m->index[d] * m->stride[i][d];
    for (uint32_t k = 0; k < n; k++) {
        const double x = from[k * step];
        if (dtype == DT_I32)
            ((int32_t *)(void *)m->lane[i])[k] = (int32_t)x;
        else if (dtype == DT_BOOL)
            ((uint32_t *)(void *)m->lane[i])[k] = x != 0;
        else if (m->f64)
            m->lane[i][k] = x;
        else
            ((float *)(void *)m->lane[i])[k] = (float)x;
    }
}

static void store_lanes(const struct mapping *m, const void *lane, uint32_t n, double *to)
{
    for (uint32_t k = 0; k < n; k++) {
        if (m->t->dtype == DT_I32)
            to[k] = ((const int32_t *)lane)[k];
        else if (m->t->dtype == DT_BOOL)
            to[k] = ((const uint32_t *)lane)[k];
        else
            to[k] = m->f64 ? ((const double *)lane)[k] : (double)((const float *)lane)[k];
    }
}

static uint32_t draw(void *cx, uint32_t id, int32_t element, uint32_t lane)
{
    const struct mapping *m = cx;
    const struct graph_eval *e = m->x->e;
    const struct site *s = &e->graph->site[id];
    int64_t sample = 0;
    if (s->per_sample && m->t->sample)
        sample = m->index[0] + (m->t->rank == 1 ? lane : 0);
    return hyp_random_word(e->seed, s->hash, e->step ? e->step(e->cx, s->region) : 0,
                           (uint32_t)sample, (uint32_t)element);
}

/* On to the next row of the last axis; false after the last. */
static bool next_row(struct mapping *m)
{
    for (int d = (int)m->t->rank - 2; d >= 0; d--) {
        if (++m->index[d] < m->extent[d])
            return true;
        m->index[d] = 0;
    }
    return false;
}

static void run_rows(struct mapping *m, const struct sx_prog *p, double *out)
{
    struct arena *a = m->x->scratch;
    void *scratch = arena_alloc(a, sx_prog_scratch(p) + 16);
    double block[LANES];
    void *const root[1] = {block};
    const void **arg = arena_array(a, m->n->nin + 1U, sizeof *arg);
    int32_t *step = arena_array(a, m->n->nin + 1U, sizeof *step);
    int32_t axis_step[HYP_RANK + 1] = {0};
    const unsigned last = m->t->rank ? m->t->rank - 1U : 0;
    const int64_t width = m->t->rank ? m->extent[last] : 1;
    for (unsigned i = 0; i < m->n->nin; i++) {
        arg[i] = m->lane[i];
        step[i] = 1;
    }
    axis_step[last] = 1;
    const struct sx_block env = {arg, step, NULL, m->index, axis_step, draw, m};
    sx_prog_prepare(p, scratch);
    do {
        for (int64_t at = 0; at < width; at += LANES) {
            const uint32_t n = (uint32_t)(width - at < LANES ? width - at : LANES);
            m->index[last] = at;
            for (unsigned i = 0; i < m->n->nin; i++)
                load_lanes(m, i, n);
            sx_prog_run_block(p, &env, n, scratch, root);
            store_lanes(m, block, n, out);
            out += n;
        }
        m->index[last] = 0;
    } while (next_row(m));
}

static void eval_map(struct eval *x, const struct node *n)
{
    const struct type *t = graph_type(x->g, n->out0);
    struct mapping m = {
        .x = x, .n = n, .t = t, .f64 = x->host[n - x->g->node] || !x->e->f32};
    const sx_id root = n->attr;
    double *out = make(x, n->out0);
    if (!elems(x, n->out0))
        return;
    m.stride = arena_array(x->scratch, n->nin + 1U, sizeof *m.stride);
    m.lane = arena_array(x->scratch, n->nin + 1U, sizeof *m.lane);
    for (unsigned d = 0; d < t->rank; d++)
        m.extent[d] = ext_at(t->dim[d], x->e->batch);
    find_strides(&m);
    run_rows(&m, sx_compile(x->scratch, &x->g->sx, &root, 1, m.f64), out);
    arena_reset(x->scratch);
}

/* ---- forms and folds ---- */

/* Row-major address of a port at a point of the box; -1 outside. */
static int64_t address(const struct port *q, const int64_t *i, int64_t batch)
{
    int64_t at = 0;
    for (unsigned r = 0; r < q->rank; r++) {
        const struct dimmap *d = &q->dim[r];
        const int64_t n = ext_at(q->shape[r], batch);
        int64_t index = ext_at(d->off, batch);
        for (unsigned k = 0; k < d->n; k++)
            index += d->coef[k] * i[d->axis[k]];
        if (index < 0 || index >= n)
            return -1;
        at = at * n + index;
    }
    return at;
}

/*
 * A read-out of two ports that reduces nothing is no sum: it copies (as kernels do, by an
 * index), and what nothing reaches is 0.
 */
static void copy_form(struct eval *x, const struct node *n, const struct form *f,
                      double *out)
{
    const int64_t batch = x->e->batch;
    int64_t i[HYP_AXES] = {0};
    const double *src = x->value[graph_in(x->g, n)[0]];
    const bool round = x->e->f32 && graph_type(x->g, n->out0)->dtype == DT_F32;
    for (bool more = true; more;) {
        const int64_t to = address(&f->port[n->port], i, batch);
        const int64_t from = address(&f->port[1 - n->port], i, batch);
        if (to >= 0 && from >= 0)
            out[to] = round ? (double)(float)src[from] : src[from];
        more = false;
        for (unsigned k = f->naxis; !more && k-- > 0;) {
            more = ++i[k] < ext_at(f->axis[k], batch);
            i[k] = more ? i[k] : 0;
        }
    }
}

/* One chain for each element that f reaches, from what is there. */
static void eval_part(struct eval *x, const struct node *n, const struct form *f,
                      bool whole, double *out)
{
    const double *t[HYP_PORTS] = {0};
    if (f->nport == 2 && !whole && !form_reduced(f, n->port)) {
        copy_form(x, n, f, out);
        return;
    }
    for (unsigned i = 0; i + 1 < f->nport; i++)
        t[i < n->port ? i : i + 1] = x->value[graph_in(x->g, n)[i]];
    form_eval_onto(f, n->port, x->e->batch, t, out, x->e->f32);
}

static void eval_form(struct eval *x, const struct node *n)
{
    const struct form *f = &x->g->form[n->attr];
    struct form_piece *piece = NULL;
    double *out = make(x, n->out0);
    const bool goes_on = n->nin == f->nport;
    if (goes_on)
        memcpy(out, x->value[graph_in(x->g, n)[n->nin - 1]],
               (size_t)elems(x, n->out0) * sizeof *out);
    const uint32_t pieces = form_pieces(f, n->port, x->scratch, &piece);
    for (uint32_t i = 0; i < pieces; i++)
        if (!piece[i].zero)
            eval_part(x, n, &piece[i].form, goes_on, out);
    if (pieces == 0)
        eval_part(x, n, f, goes_on || !form_is_direct(f, n->port), out);
    arena_reset(x->scratch);
}

/* Visits the box with the reduced axes innermost; each output's first of the largest, a
 * zero as +0. */
static void eval_fold(struct eval *x, const struct node *n)
{
    const struct form *f = &x->g->form[n->attr];
    const double *src = x->value[graph_in(x->g, n)[0]];
    const uint32_t reduced = form_reduced(f, n->port);
    double *out = make(x, n->out0), *index = make(x, n->out0 + 1);
    int64_t i[HYP_AXES] = {0}, points = 1;
    const int64_t batch = x->e->batch, nout = elems(x, n->out0);
    for (int64_t k = 0; k < nout; k++)
        index[k] = -1;
    for (unsigned k = 0; k < f->naxis; k++)
        points *= ext_at(f->axis[k], batch);
    for (int64_t p = 0; p < points; p++) {
        int64_t rest = p, here = 0, scale = 1;
        for (int pass = 1; pass >= 0;
             pass--) /* the reduced digits are the least significant */
            for (unsigned k = f->naxis; k-- > 0;) {
                const int64_t e = ext_at(f->axis[k], batch);
                if ((reduced >> k & 1) != (uint32_t)pass)
                    continue;
                i[k] = rest % e;
                rest /= e;
                here += pass ? i[k] * scale : 0;
                scale *= pass ? e : 1;
            }
        const int64_t to = address(&f->port[n->port], i, batch);
        const int64_t from = address(&f->port[1 - n->port], i, batch);
        if (to < 0 || from < 0)
            continue;
        if (index[to] < 0 || src[from] > out[to]) {
            out[to] = src[from];
            index[to] = (double)here;
        }
    }
    for (int64_t k = 0; k < nout; k++)
        out[k] = out[k] == 0 ? 0 : out[k];
}

/* ---- gather and scatter ---- */

/* big[p, at, t] against small[p, i, t] */
struct shape3 {
    int64_t p, axis, i, t;
    bool aligned;
};

static struct shape3 shape_of(const struct eval *x, const struct type *big,
                              const struct type *index, uint8_t axis)
{
    struct shape3 s = {.p = 1, .i = 1, .t = 1};
    struct type out;
    gather_type(big, index, axis, &out, &s.aligned);
    for (unsigned d = 0; d < big->rank; d++) {
        const int64_t e = ext_at(big->dim[d], x->e->batch);
        *(d < axis ? &s.p : d == axis ? &s.axis : &s.t) *= d == axis ? 1 : e;
        if (d == axis)
            s.axis = e;
    }
    for (unsigned d = s.aligned ? axis : 0; d < index->rank; d++)
        s.i *= ext_at(index->dim[d], x->e->batch);
    return s;
}

static void eval_gather(struct eval *x, const struct node *n)
{
    const value_id *in = graph_in(x->g, n);
    const struct type *src = graph_type(x->g, in[0]);
    const struct shape3 s = shape_of(x, src, graph_type(x->g, in[1]), (uint8_t)n->attr);
    const double *from = x->value[in[0]], *index = x->value[in[1]];
    double *out = make(x, n->out0);
    for (int64_t p = 0; p < s.p; p++)
        for (int64_t i = 0; i < s.i; i++) {
            const double at = index[s.aligned ? p * s.i + i : i];
            if (at >= 0 && at < (double)s.axis)
                memcpy(out, from + (p * s.axis + (int64_t)at) * s.t,
                       (size_t)s.t * sizeof *out);
            out += s.t;
        }
}

static void eval_scatter(struct eval *x, const struct node *n)
{
    const value_id *in = graph_in(x->g, n);
    const struct type *big = graph_type(x->g, n->out0);
    const struct shape3 s = shape_of(x, big, graph_type(x->g, in[1]), (uint8_t)n->attr);
    const double *from = x->value[in[0]], *index = x->value[in[1]];
    double *out = make(x, n->out0);
    for (int64_t p = 0; p < s.p; p++)
        for (int64_t i = 0; i < s.i; i++, from += s.t) {
            const double at = index[s.aligned ? p * s.i + i : i];
            if (!(at >= 0 && at < (double)s.axis))
                continue;
            double *to = out + (p * s.axis + (int64_t)at) * s.t;
            for (int64_t k = 0; k < s.t; k++)
                to[k] =
                    x->e->f32 ? (double)((float)to[k] + (float)from[k]) : to[k] + from[k];
        }
}

/* ---- all ---- */

static bool eval_node(struct eval *x, const struct node *n)
{
    switch ((enum graph_op)n->op) {
    case OP_LEAF:
        eval_leaf(x, n);
        return true;
    case OP_MAP:
        eval_map(x, n);
        return true;
    case OP_FORM:
        eval_form(x, n);
        return true;
    case OP_FOLD:
        eval_fold(x, n);
        return true;
    case OP_GATHER:
        eval_gather(x, n);
        return true;
    case OP_SCATTER:
        eval_scatter(x, n);
        return true;
    case OP_STOP:
        copy_of(x, n->out0, graph_in(x->g, n)[0]);
        return true;
    case OP_NOP:
    case OP_LOOP:
    case OP_GRAD:
        break;
    }
    return false;
}

static bool *needed(const struct eval *x, const value_id *want, uint32_t n)
{
    const struct graph *g = x->g;
    bool *need = arena_array(x->a, g->nnode, sizeof *need);
    for (uint32_t i = 0; i < n; i++)
        need[g->value[want[i]].def] = true;
    for (node_id id = g->nnode; id-- > 1;) {
        const struct node *node = &g->node[id];
        for (unsigned i = 0; need[id] && i < node->nin; i++)
            need[g->value[graph_in(g, node)[i]].def] = true;
        if (need[id] && node->op == OP_LEAF && g->leaf[node->attr].def)
            need[g->value[g->leaf[node->attr].def].def] = true;
    }
    return need;
}

bool graph_eval(const struct graph_eval *e, struct arena *a, const value_id *want,
                uint32_t n, double **out)
{
    struct eval x = {.e = e, .g = e->graph, .a = a, .scratch = arena_new()};
    x.value = arena_array(a, x.g->nvalue, sizeof *x.value);
    x.host = graph_hosts(x.g, a);
    const bool *need = needed(&x, want, n);
    bool ok = true;
    for (node_id id = 1; ok && id < x.g->nnode; id++)
        if (need[id])
            ok = eval_node(&x, &x.g->node[id]);
    for (uint32_t i = 0; ok && i < n; i++) {
        out[i] = x.value[want[i]];
        if (e->f32 && graph_type(x.g, want[i])->dtype == DT_F32)
            round_all(out[i], elems(&x, want[i]));
    }
    arena_free(x.scratch);
    return ok;
}
