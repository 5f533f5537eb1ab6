/* Types: how they compare, line up, join and print; which values are the host's. */
#include <string.h>

#include "compiler/ir/graph_internal.h"
#include "runtime/base/arena.h"

bool type_eq(const struct type *x, const struct type *y)
{
    if (x->dtype != y->dtype || x->rank != y->rank || x->sample != y->sample)
        return false;
    for (unsigned i = 0; i < x->rank; i++)
        if (!ext_eq(x->dim[i], y->dim[i]))
            return false;
    return true;
}

struct type type_scalar(enum dtype dt)
{
    return (struct type){.dtype = (uint8_t)dt};
}

int64_t type_elems(const struct type *t, int64_t batch)
{
    int64_t n = 1;
    for (unsigned i = 0; i < t->rank; i++)
        n *= ext_at(t->dim[i], batch);
    return n;
}

static const char *dtype_name(uint8_t dtype)
{
    return dtype == DT_F32 ? "f32" : dtype == DT_I32 ? "i32" : "bool";
}

static char *ext_print(struct ext e, struct arena *a)
{
    if (!e.b)
        return arena_fmt(a, "%d", e.c);
    char *b = e.b == 1 ? arena_str(a, "B") : arena_fmt(a, "%dB", e.b);
    return e.c ? arena_fmt(a, "%s%+d", b, e.c) : b;
}

char *type_print(const struct type *t, struct arena *a)
{
    char *s = arena_str(a, dtype_name(t->dtype));
    for (unsigned i = t->sample; i < t->rank; i++)
        s = arena_fmt(a, "%s%s%s", s, i == t->sample ? "[" : ", ", ext_print(t->dim[i], a));
    if (t->rank > t->sample)
        s = arena_fmt(a, "%s]", s);
    return arena_fmt(a, "%s %s", s, t->sample ? "per sample" : "shared");
}

static bool is_one(struct ext e)
{
    return e.c == 1 && e.b == 0;
}

bool map_align(const struct type *out, const struct type *in, int8_t to[HYP_RANK])
{
    const int nin = in->rank - in->sample, nout = out->rank - out->sample;
    if (nin > nout || (in->sample && !out->sample))
        return false;
    if (in->sample) {
        if (!ext_eq(in->dim[0], out->dim[0]))
            return false;
        to[0] = 0;
    }
    for (int i = 0; i < nin; i++) {
        const int from = in->sample + i, at = out->rank - nin + i;
        if (ext_eq(in->dim[from], out->dim[at]))
            to[from] = (int8_t)at;
        else if (is_one(in->dim[from]))
            to[from] = -1;
        else
            return false;
    }
    return true;
}

bool type_join(const struct type *x, const struct type *y, struct type *out, unsigned *axis)
{
    const unsigned nx = (unsigned)(x->rank - x->sample),
                   ny = (unsigned)(y->rank - y->sample);
    const unsigned n = nx > ny ? nx : ny;
    struct type t = {.dtype = x->dtype, .sample = x->sample || y->sample};
    t.rank = (uint8_t)(n + t.sample);
    if (t.rank > HYP_RANK) {
        *axis = 0;
        return false;
    }
    if (t.sample) {
        t.dim[0] = x->sample ? x->dim[0] : y->dim[0];
        if (x->sample && y->sample && !ext_eq(x->dim[0], y->dim[0])) {
            *axis = 0;
            return false;
        }
    }
    for (unsigned k = 0; k < n; k++) { /* k-th from the right */
        const struct ext dx = k < nx ? x->dim[x->rank - 1 - k] : ext_const(1);
        const struct ext dy = k < ny ? y->dim[y->rank - 1 - k] : ext_const(1);
        const unsigned at = t.rank - 1u - k;
        if (!ext_eq(dx, dy) && !is_one(dx) && !is_one(dy)) {
            *axis = at;
            return false;
        }
        t.dim[at] = is_one(dx) ? dy : dx;
    }
    *out = t;
    return true;
}

bool gather_type(const struct type *src, const struct type *index, uint8_t axis,
                 struct type *out, bool *aligned)
{
    if (axis >= src->rank || index->dtype != DT_I32)
        return false;
    bool fits = axis > 0 && index->rank >= axis && index->sample == src->sample;
    for (unsigned i = 0; fits && i < axis; i++)
        fits = ext_eq(src->dim[i], index->dim[i]);
    const unsigned skip = fits ? axis : 0;
    if (src->rank - 1u + index->rank - skip > HYP_RANK)
        return false;
    if (!fits && ((index->sample && axis > 0) || (src->sample && axis == 0)))
        return false; /* the batch must come first */
    struct type t = {.dtype = src->dtype, .sample = src->sample || index->sample};
    for (unsigned i = 0; i < axis; i++)
        t.dim[t.rank++] = src->dim[i];
    for (unsigned i = skip; i < index->rank; i++)
        t.dim[t.rank++] = index->dim[i];
    for (unsigned i = axis + 1u; i < src->rank; i++)
        t.dim[t.rank++] = src->dim[i];
    *out = t;
    *aligned = fits;
    return true;
}

unsigned type_space(const struct type *t, uint8_t dim[HYP_RANK])
{
    unsigned n = 0;
    for (unsigned i = 0; i < t->rank; i++)
        if (t->dim[i].c != 1 || t->dim[i].b != 0)
            dim[n++] = (uint8_t)i;
    return n;
}

static bool host_node(const struct graph *g, const struct node *n, const bool *host)
{
    const struct type *t = n->nout ? graph_type(g, n->out0) : NULL;
    if (n->op == OP_LEAF)
        return g->leaf[n->attr].what == LEAF_SETTING ||
               g->leaf[n->attr].what == LEAF_COUNTER;
    if ((n->op != OP_MAP && n->op != OP_STOP) || t->rank || t->sample ||
        (n->op == OP_MAP && sx_uses_rng(&g->sx, n->attr)))
        return false;
    for (unsigned i = 0; i < n->nin; i++)
        if (!host[g->value[graph_in(g, n)[i]].def])
            return false;
    return true;
}

bool *graph_hosts(const struct graph *g, struct arena *a)
{
    bool *host = arena_array(a, g->nnode + 1U, sizeof *host);
    for (node_id id = 1; id < g->nnode; id++)
        host[id] = host_node(g, &g->node[id], host);
    return host;
}
