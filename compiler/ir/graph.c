/*
 * The graph's tables, and the node builders.
 *
 * A node is looked up by what it computes before it is appended, so equal nodes are one.
 * Maps of different written expressions stay apart until canonicalisation has contracted
 * each expression: otherwise one expression's product could lose its fma because another
 * wrote the same product.
 */
#include "compiler/ir/graph.h"

#include <string.h>

#include "compiler/ir/graph_internal.h"
#include "runtime/base/philox.h"

void graph_init(struct graph *g, struct arena *a)
{
    memset(g, 0, sizeof *g);
    g->arena = g->tables = a;
    sx_init(&g->sx, a);
    g->nnode = g->nvalue = g->nform = g->nleaf = g->nsite = g->nplace = g->nregion = 1;
    g->place =
        arena_grow(a, NULL, &g->cplace, 1, sizeof *g->place); /* "no place" is read */
    g->value = arena_grow(a, NULL, &g->cvalue, 1, sizeof *g->value);
    g->leaf = arena_grow(a, NULL, &g->cleaf, 1, sizeof *g->leaf);
    g->operand = arena_grow(a, NULL, &g->coperand, 1, sizeof *g->operand);
    g->at = graph_region(g, REGION_GLOBAL, "global");
}

region_id graph_region(struct graph *g, enum region_kind kind, const char *name)
{
    g->region =
        arena_grow(g->arena, g->region, &g->cregion, g->nregion + 1, sizeof *g->region);
    g->region[g->nregion] =
        (struct region){.kind = (uint8_t)kind, .name = arena_str(g->arena, name)};
    return g->nregion++;
}

place_id graph_place(struct graph *g, struct loc loc, place_id parent, enum place_why why,
                     const char *name)
{
    g->place = arena_grow(g->arena, g->place, &g->cplace, g->nplace + 1, sizeof *g->place);
    g->place[g->nplace] = (struct place){loc, parent, (uint8_t)why, NULL};
    if (name)
        g->place[g->nplace].name = arena_str(g->arena, name);
    return g->nplace++;
}

const char *graph_place_name(const struct graph *g, place_id p)
{
    while (p && !g->place[p].name)
        p = g->place[p].parent;
    return p ? g->place[p].name : "node";
}

uint32_t graph_new_expr(struct graph *g)
{
    return ++g->nexpr;
}

site_id graph_site(struct graph *g, const char *path, region_id region, bool per_sample)
{
    g->site = arena_grow(g->arena, g->site, &g->csite, g->nsite + 1, sizeof *g->site);
    g->site[g->nsite] =
        (struct site){arena_str(g->arena, path), hyp_site(path), region, per_sample};
    return g->nsite++;
}

form_id graph_form_id(struct graph *g, const struct form *f)
{
    for (form_id i = 1; i < g->nform; i++)
        if (form_equal(&g->form[i], f))
            return i;
    g->form = arena_grow(g->arena, g->form, &g->cform, g->nform + 1, sizeof *g->form);
    g->form[g->nform] = *f;
    return g->nform++;
}

/* ---- nodes ---- */

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9E3779B97F4A7C15U;
    return h ^ (h >> 29);
}

static uint64_t node_hash(const struct node *n, const value_id *in)
{
    uint64_t h = mix(n->op, ((uint64_t)n->port << 8) | n->comb);
    h = mix(h, n->attr);
    h = mix(h, ((uint64_t)n->region << 32) | n->expr);
    h = mix(h, n->remat);
    for (unsigned i = 0; i < n->nin; i++)
        h = mix(h, in[i]);
    return h;
}

static bool node_same(const struct graph *g, const struct node *x, const struct node *n,
                      const value_id *in, const struct type *out)
{
    if (x->op != n->op || x->port != n->port || x->comb != n->comb || x->attr != n->attr ||
        x->region != n->region || x->expr != n->expr || x->remat != n->remat ||
        x->nin != n->nin || x->nout != n->nout || x->missing_zero != n->missing_zero)
        return false;
    for (unsigned i = 0; i < n->nin; i++)
        if (g->operand[x->in0 + i] != in[i])
            return false;
    return type_eq(&g->value[x->out0].type, out);
}

static void grow_buckets(struct graph *g)
{
    const uint32_t n = g->nbucket ? 2 * g->nbucket : 256;
    uint32_t *bucket = arena_array(g->tables, n, sizeof *bucket);
    for (node_id id = 1; id < g->nnode; id++) {
        uint64_t at = node_hash(&g->node[id], g->operand + g->node[id].in0);
        while (bucket[at & (n - 1)])
            at++;
        bucket[at & (n - 1)] = id;
    }
    g->bucket = bucket;
    g->nbucket = n;
}

static node_id append(struct graph *g, const struct node *n, const value_id *in,
                      const struct type *out)
{
    const node_id id = g->nnode;
    g->node = arena_grow(g->tables, g->node, &g->cnode, g->nnode + 1, sizeof *g->node);
    g->value =
        arena_grow(g->tables, g->value, &g->cvalue, g->nvalue + n->nout, sizeof *g->value);
    g->operand = arena_grow(g->tables, g->operand, &g->coperand, g->noperand + n->nin,
                            sizeof *g->operand);
    struct node *x = &g->node[id];
    *x = *n;
    x->in0 = g->noperand;
    x->out0 = g->nvalue;
    for (unsigned i = 0; i < n->nin; i++)
        g->operand[g->noperand++] = in[i];
    for (unsigned i = 0; i < n->nout; i++)
        g->value[g->nvalue++] = (struct value){out[i], id, (uint8_t)i};
    g->nnode++;
    return id;
}

node_id graph_add(struct graph *g, const struct node *n, const value_id *in,
                  const struct type *out)
{
    struct node x = *n;
    x.region = x.region ? x.region : g->at;
    x.place = x.place ? x.place : g->where;
    x.expr = x.op == OP_MAP ? (x.expr ? x.expr : g->expr) : 0;
    x.remat = x.op == OP_LEAF ? 0 : x.remat ? x.remat : g->remat;
    for (unsigned i = 0; i < x.nin; i++)
        GRAPH_CHECK(in[i] && in[i] < g->nvalue);
    if (2 * g->nnode >= g->nbucket)
        grow_buckets(g);
    uint64_t at = node_hash(&x, in);
    for (; g->bucket[at & (g->nbucket - 1)]; at++) {
        const node_id id = g->bucket[at & (g->nbucket - 1)];
        if (node_same(g, &g->node[id], &x, in, out))
            return id;
    }
    /* `in` and `out` may point into tables that grow; in an arena the old ones stay
     * readable */
    const node_id id = append(g, &x, in, out);
    g->bucket[at & (g->nbucket - 1)] = id;
    return id;
}

static value_id add1(struct graph *g, const struct node *n, const value_id *in,
                     const struct type *out)
{
    const node_id id = graph_add(g, n, in, out); /* moves the table */
    return g->node[id].out0;
}

/* ---- leaves ---- */

leaf_id graph_leaf_entry(struct graph *g, const struct leaf *l)
{
    g->leaf = arena_grow(g->tables, g->leaf, &g->cleaf, g->nleaf + 1, sizeof *g->leaf);
    g->leaf[g->nleaf] = *l;
    hash_add(&g->leaf_index, g->tables, hash_text(l->path), g->nleaf);
    return g->nleaf++;
}

/* The first such leaf. */
static leaf_id find_leaf(const struct graph *g, enum leaf_what what, uint16_t version,
                         region_id region, const char *path)
{
    const uint32_t hash = hash_text(path);
    leaf_id first = 0;
    for (uint32_t at = hash, i; hash_next(&g->leaf_index, hash, &at, &i);) {
        const struct leaf *l = &g->leaf[i];
        if (l->what == what && l->version == version && l->region == region &&
            !strcmp(l->path, path) && (!first || i < first))
            first = i;
    }
    return first;
}

value_id graph_leaf(struct graph *g, enum leaf_what what, uint16_t version,
                    region_id region, const char *path, struct type type)
{
    leaf_id id = find_leaf(g, what, version, version ? region : 0, path);
    if (!id) {
        const struct leaf l = {.what = (uint8_t)what,
                               .version = version,
                               .region = version ? region : 0,
                               .path = arena_str(g->arena, path),
                               .type = type};
        id = graph_leaf_entry(g, &l);
    }
    GRAPH_CHECK(type_eq(&g->leaf[id].type, &type));
    if (!g->leaf[id].value) {
        const struct node n = {.op = OP_LEAF, .nout = 1, .attr = id, .region = 1};
        g->leaf[id].value = add1(g, &n, NULL, &type);
    }
    return g->leaf[id].value;
}

leaf_id graph_find_leaf(const struct graph *g, enum leaf_what what, const char *path)
{
    return find_leaf(g, what, 0, 0, path);
}

/* ---- maps ---- */

enum sx_type graph_sx_type(uint8_t dtype)
{
    return dtype == DT_F32 ? SX_FLOAT : dtype == DT_I32 ? SX_I32 : SX_BOOL;
}

uint8_t graph_dtype_of(uint8_t sx_type)
{
    return sx_type == SX_FLOAT ? DT_F32 : sx_type == SX_BOOL ? DT_BOOL : DT_I32;
}

static struct type map_type(const struct graph *g, sx_id fn, const value_id *in,
                            uint8_t nin, const struct type *type)
{
    struct type t = type ? *type : (struct type){0};
    for (unsigned i = 0; i < nin; i++) {
        unsigned axis;
        GRAPH_CHECK(type_join(&t, graph_type(g, in[i]), &t, &axis));
    }
    t.dtype = graph_dtype_of(g->sx.node[fn].type);
    return t;
}

/* The constant a value is, as an sx, or 0. */
static sx_id constant_of(const struct graph *g, value_id v)
{
    const struct node *n = &g->node[g->value[v].def];
    return n->op == OP_MAP && n->nin == 0 && g->sx.node[n->attr].op == SX_K ? n->attr : 0;
}

static bool *used_operands(const struct graph *g, sx_id fn, unsigned nin,
                           struct arena *scratch)
{
    bool *used = arena_array(scratch, nin + 1U, sizeof *used);
    sx_id *order;
    const uint32_t n = sx_postorder(&g->sx, &fn, 1, scratch, &order);
    for (uint32_t i = 0; i < n; i++) {
        const struct sx_node *x = &g->sx.node[order[i]];
        if (x->op == SX_ARG) {
            GRAPH_CHECK(x->a < nin);
            used[x->a] = true;
        }
    }
    return used;
}

/*
 * Constants go in, equal operands become one, unused ones go, until nothing changes.
 * Returns the new number of operands.
 */
static uint8_t tidy_operands(struct graph *g, sx_id *fn, value_id *in, uint8_t nin)
{
    struct arena *scratch = arena_new();
    for (bool change = true; change;) {
        const bool *used = used_operands(g, *fn, nin, scratch);
        sx_id arg[256] = {0};
        uint8_t n = 0;
        change = false;
        for (unsigned i = 0; i < nin; i++) {
            unsigned j = 0;
            arg[i] = used[i] ? constant_of(g, in[i]) : 0;
            change |= !used[i] || arg[i];
            if (!used[i] || arg[i])
                continue;
            while (j < n && in[j] != in[i])
                j++;
            change |= j < n;
            arg[i] = sx_arg(&g->sx, j, graph_sx_type(graph_type(g, in[i])->dtype));
            if (j == n)
                in[n++] = in[i];
        }
        if (change)
            *fn = sx_substitute(&g->sx, *fn, arg, nin);
        nin = n;
    }
    arena_free(scratch);
    return nin;
}

value_id graph_map(struct graph *g, sx_id fn, const value_id *in, uint8_t nin,
                   const struct type *type)
{
    GRAPH_CHECK(fn);
    const struct type t = map_type(g, fn, in, nin, type);
    value_id operand[256];
    for (unsigned i = 0; i < nin; i++)
        operand[i] = in[i];
    nin = tidy_operands(g, &fn, operand, nin);
    const struct sx_node *root = &g->sx.node[fn];
    if (root->op == SX_ARG && type_eq(graph_type(g, operand[root->a]), &t))
        return operand[root->a];
    const struct node n = {.op = OP_MAP, .nin = nin, .nout = 1, .attr = fn};
    return add1(g, &n, operand, &t);
}

/* ---- the other classes ---- */

static struct type port_type(const struct port *p, bool sample, uint8_t dtype)
{
    struct type t = {.dtype = dtype, .rank = p->rank, .sample = sample};
    memcpy(t.dim, p->shape, p->rank * sizeof *t.dim);
    return t;
}

static bool port_takes(const struct port *p, const struct type *t)
{
    bool ok = p->rank == t->rank;
    for (unsigned i = 0; ok && i < p->rank; i++)
        ok = ext_eq(p->shape[i], t->dim[i]);
    return ok;
}

/* Settings and counters are scalars of the host, which maps read as such; for all else they
 * are computed. Adding 0 is not folded away: it changes -0. */
static value_id computed(struct graph *g, value_id v)
{
    const struct node *n = &g->node[g->value[v].def];
    const struct type t = *graph_type(g, v);
    const uint8_t what = n->op == OP_LEAF ? g->leaf[n->attr].what : (uint8_t)LEAF_DATA;
    if ((what != LEAF_SETTING && what != LEAF_COUNTER) || t.rank || t.dtype != DT_F32)
        return v;
    const sx_id x = sx_arg(&g->sx, 0, SX_FLOAT);
    return graph_map(g, sx_make(&g->sx, SX_ADD, x, sx_const(&g->sx, 0), 0), &v, 1, &t);
}

value_id graph_form(struct graph *g, const struct form *f, uint8_t port,
                    const value_id *read, bool sample, uint8_t dtype)
{
    const uint8_t nin = (uint8_t)(f->nport - 1);
    const struct type t = port_type(&f->port[port], sample, dtype);
    value_id in[HYP_PORTS];
    for (unsigned i = 0; i < nin; i++)
        in[i] = computed(g, read[i]);
    for (unsigned i = 0; i < nin; i++)
        GRAPH_CHECK(port_takes(&f->port[i < port ? i : i + 1], graph_type(g, in[i])));
    if (nin == 1 && type_eq(&t, graph_type(g, in[0])) && form_is_view(f, port))
        return in[0];
    const struct node n = {
        .op = OP_FORM, .port = port, .nin = nin, .nout = 1, .attr = graph_form_id(g, f)};
    return add1(g, &n, in, &t);
}

value_id graph_form_onto(struct graph *g, const struct form *f, uint8_t port,
                         const value_id *in, value_id acc)
{
    const uint8_t nin = f->nport;
    const struct type t = *graph_type(g, acc);
    value_id all[HYP_PORTS];
    GRAPH_CHECK(port_takes(&f->port[port], &t) && f->order == ORDER_SEQ);
    for (unsigned i = 0; i + 1 < nin; i++) {
        all[i] = computed(g, in[i]);
        GRAPH_CHECK(port_takes(&f->port[i < port ? i : i + 1], graph_type(g, in[i])));
    }
    all[nin - 1] = acc;
    const struct node n = {
        .op = OP_FORM, .port = port, .nin = nin, .nout = 1, .attr = graph_form_id(g, f)};
    return add1(g, &n, all, &t);
}

value_id graph_fold(struct graph *g, const struct form *f, uint8_t port, enum combiner comb,
                    value_id in, bool sample, value_id *index)
{
    (void)comb; /* one node has both; which outputs are read says what is computed */
    in = computed(g, in);
    GRAPH_CHECK(f->nport == 2 && port_takes(&f->port[1 - port], graph_type(g, in)));
    struct type out[2] = {port_type(&f->port[port], sample, graph_type(g, in)->dtype)};
    out[1] = out[0];
    out[1].dtype = DT_I32;
    const struct node n = {.op = OP_FOLD,
                           .port = port,
                           .comb = COMB_ARGMAX,
                           .nin = 1,
                           .nout = 2,
                           .attr = graph_form_id(g, f)};
    const value_id v = add1(g, &n, &in, out);
    if (index)
        *index = v + 1;
    return v;
}

value_id graph_gather(struct graph *g, value_id src, value_id index, uint8_t axis)
{
    struct type t;
    bool aligned;
    const value_id in[2] = {src, index};
    GRAPH_CHECK(gather_type(graph_type(g, src), graph_type(g, index), axis, &t, &aligned));
    const struct node n = {.op = OP_GATHER, .nin = 2, .nout = 1, .attr = axis};
    return add1(g, &n, in, &t);
}

value_id graph_scatter(struct graph *g, value_id updates, value_id index, uint8_t axis,
                       const struct type *like)
{
    struct type t, out = *like;
    bool aligned;
    const value_id in[2] = {updates, index};
    GRAPH_CHECK(gather_type(like, graph_type(g, index), axis, &t, &aligned));
    out.dtype = t.dtype = graph_type(g, updates)->dtype;
    GRAPH_CHECK(type_eq(&t, graph_type(g, updates)));
    const struct node n = {.op = OP_SCATTER, .nin = 2, .nout = 1, .attr = axis};
    return add1(g, &n, in, &out);
}

value_id graph_stop(struct graph *g, value_id x)
{
    const struct node n = {.op = OP_STOP, .nin = 1, .nout = 1};
    return add1(g, &n, &x, graph_type(g, x));
}

void graph_grad(struct graph *g, value_id y, const value_id *x, uint8_t n,
                bool missing_zero, value_id *out)
{
    value_id in[256] = {y};
    struct type type[256] = {0};
    GRAPH_CHECK(n < 255);
    for (unsigned i = 0; i < n; i++) {
        in[i + 1] = x[i];
        type[i] = *graph_type(g, x[i]);
    }
    const struct node node = {
        .op = OP_GRAD, .nin = (uint8_t)(n + 1), .nout = n, .missing_zero = missing_zero};
    const value_id v = add1(g, &node, in, type);
    for (unsigned i = 0; i < n; i++)
        out[i] = v + i;
}

value_id graph_adjoint(struct graph *g, value_id y, value_id w, value_id x)
{
    const value_id in[3] = {y, w, x};
    GRAPH_CHECK(type_eq(graph_type(g, y), graph_type(g, w)));
    const struct node node = {
        .op = OP_GRAD, .nin = 3, .nout = 1, .missing_zero = true, .seeded = true};
    return add1(g, &node, in, graph_type(g, x));
}

void graph_root(struct graph *g, region_id r, enum root_why why, uint16_t step,
                leaf_id leaf, value_id v, const char *name)
{
    struct region *x = &g->region[r];
    const region_id at = g->at;
    GRAPH_CHECK(v && v < g->nvalue);
    g->at = r;
    v = why == ROOT_UPDATE ? v : computed(g, v);
    g->at = at;
    x->root = arena_grow(g->arena, x->root, &x->croot, x->nroot + 1, sizeof *x->root);
    x->root[x->nroot++] = (struct root){.why = (uint8_t)why,
                                        .step = step,
                                        .leaf = leaf,
                                        .value = v,
                                        .name = name ? arena_str(g->arena, name) : NULL};
}
