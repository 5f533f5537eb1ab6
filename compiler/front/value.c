/*
 * Values of the language: numbers known when compiling, tensors of the graph, tuples of
 * values.
 */
#include "compiler/front/build.h"

#include <math.h>
#include <string.h>

#include "runtime/base/arena.h"

static struct val *val_new(struct mb *b, enum val_kind kind)
{
    struct val *v = arena_alloc(b->a, sizeof *v);
    v->kind = (uint8_t)kind;
    return v;
}

struct val *mb_poison(struct mb *b)
{
    return val_new(b, VAL_POISON);
}

struct val *mb_num(struct mb *b, double x)
{
    struct val *v = val_new(b, VAL_NUM);
    v->num = x;
    return v;
}

struct val *mb_bool(struct mb *b, bool x)
{
    struct val *v = mb_num(b, x ? 1 : 0);
    v->is_bool = true;
    return v;
}

struct val *mb_word(struct mb *b, const char *w)
{
    struct val *v = val_new(b, VAL_WORD);
    v->word = w;
    return v;
}

struct val *mb_tensor(struct mb *b, value_id id)
{
    struct val *v = val_new(b, id ? VAL_TENSOR : VAL_POISON);
    v->v = id;
    return v;
}

struct val *mb_tuple(struct mb *b, struct val *const *item, uint32_t n)
{
    struct val *v = val_new(b, VAL_TUPLE);
    v->item = arena_array(b->a, n + 1, sizeof(struct val *));
    for (uint32_t i = 0; i < n; i++)
        v->item[i] = item[i];
    v->n = n;
    for (uint32_t i = 0; i < n && v->leaves <= MB_PARTS; i++)
        v->leaves += item[i] && item[i]->leaves ? item[i]->leaves : 1;
    return v;
}

bool mb_is(const struct val *v, enum val_kind k)
{
    return v && v->kind == k;
}

const char *mb_kind_text(const struct val *v)
{
    static const char *const text[] = {
        "a value that failed", "a number",       "a value", "a tuple", "a list",
        "a function",          "a distribution", "a word"};
    return text[v->kind];
}

char *mb_shape_text(struct mb *b, const struct type *t)
{
    char *s = arena_str(b->a, "[");
    for (unsigned i = t->sample ? 1 : 0, first = 1; i < t->rank; i++, first = 0) {
        const struct ext e = t->dim[i];
        const char *comma = first ? "" : ", ";
        if (!e.b)
            s = arena_fmt(b->a, "%s%s%d", s, comma, e.c);
        else if (!e.c)
            s = e.b == 1 ? arena_fmt(b->a, "%s%sB", s, comma)
                         : arena_fmt(b->a, "%s%s%dB", s, comma, e.b);
        else
            s = arena_fmt(b->a, "%s%s%dB%+d", s, comma, e.b, e.c);
    }
    return arena_fmt(b->a, "%s]", s);
}

char *mb_show(struct mb *b, const struct val *v)
{
    if (v->kind == VAL_TENSOR)
        return type_print(graph_type(b->g, v->v), b->a);
    if (v->kind == VAL_NUM)
        return arena_str(b->a, v->is_bool ? "bool shared" : "f32 shared");
    if (v->kind == VAL_TUPLE)
        return arena_fmt(b->a, "a tuple of %u values", v->n);
    return arena_str(b->a, mb_kind_text(v));
}

/* Host scalars: numbers that the runtime computes in double before a kernel starts. */

static bool host_leaf(const struct leaf *l)
{
    return l->what == LEAF_SETTING || l->what == LEAF_COUNTER;
}

bool mb_is_host(const struct mb *b, value_id v)
{
    const struct type *t = graph_type(b->g, v);
    const struct node *n = &b->g->node[b->g->value[v].def];
    if (t->rank || t->sample)
        return false;
    if (n->op == OP_LEAF)
        return host_leaf(&b->g->leaf[n->attr]);
    return n->op == OP_MAP && n->region == b->p->host;
}

static value_id counter(struct mb *b, const char *name)
{
    return graph_leaf(b->g, LEAF_COUNTER, 0, 0, name, type_scalar(DT_F32));
}

value_id mb_polynomial(struct mb *b, const double *of, unsigned degree)
{
    struct graph *g = b->g;
    const region_id at = g->at;
    const value_id batch = counter(b, "batch_size");
    g->at = b->p->host;
    sx_id s = sx_const(&g->sx, of[degree]);
    for (unsigned k = degree; k-- > 0;) {
        s = sx_make(&g->sx, SX_MUL, s, sx_arg(&g->sx, 0, SX_FLOAT), 0);
        if (of[k] != 0)
            s = sx_make(&g->sx, SX_ADD, sx_const(&g->sx, of[k]), s, 0);
    }
    const bool itself = degree == 1 && of[1] == 1 && of[0] == 0;
    const value_id v = itself ? batch : graph_map(g, s, &batch, 1, NULL);
    g->at = at;
    return v;
}

value_id mb_ext(struct mb *b, struct ext e)
{
    const double of[] = {e.c, e.b};
    return mb_polynomial(b, of, 1);
}

/* Maps. All operands must have been joined before: what does not fit is asserted in the
 * graph. */
value_id mb_map(struct mb *b, sx_id fn, const value_id *in, uint32_t n,
                const struct type *wide)
{
    struct graph *g = b->g;
    const region_id at = g->at;
    bool host =
        n > 0 && !(wide && (wide->rank || wide->sample)) && !sx_uses_rng(&g->sx, fn);
    for (uint32_t i = 0; i < n && host; i++)
        host = mb_is_host(b, in[i]);
    if (host)
        g->at = b->p->host;
    if (g->nnode > MB_NODES)
        b->over_limit = true;
    const value_id v = graph_map(g, fn, in, (uint8_t)n, wide);
    g->at = at;
    return v;
}

value_id mb_widen(struct mb *b, value_id v, const struct type *t)
{
    const struct type *have = graph_type(b->g, v);
    if (mb_same_shape(have, t))
        return v;
    struct type to = *t;
    to.dtype = have->dtype;
    return graph_broadcast(b->g, v, &to);
}

value_id mb_to_f32(struct mb *b, value_id v)
{
    struct graph *g = b->g;
    const uint8_t dt = graph_type(g, v)->dtype;
    if (dt == DT_F32)
        return v;
    const sx_id x = sx_arg(&g->sx, 0, dt == DT_I32 ? SX_I32 : SX_BOOL);
    const sx_id one = sx_const(&g->sx, 1), zero = sx_const(&g->sx, 0);
    const sx_id s = dt == DT_I32 ? sx_make(&g->sx, SX_I2F, x, 0, 0)
                                 : sx_make(&g->sx, SX_SEL, x, one, zero);
    return mb_map(b, s, &v, 1, NULL);
}

/* A list literal as a tensor: numbers are a selection by the axis, others are stacked. */
static value_id list_value(struct mb *b, struct val *v, struct loc loc)
{
    struct graph *g = b->g;
    value_id in[250];
    struct type wide = type_scalar(DT_F32);
    uint32_t n = 0;
    if (!v->n || v->n > ARRAY_LEN(in)) {
        diag(b->ds, v->n ? E0902 : E0305, loc, "a list of %u values is no tensor", v->n);
        return 0;
    }
    sx_id pick = 0;
    wide.rank = 1;
    wide.dim[0] = ext_const((int32_t)v->n);
    for (uint32_t i = v->n; i-- > 0;) {
        struct val *item = v->item[i];
        sx_id one = 0;
        if (mb_is(item, VAL_NUM)) {
            one = sx_const(&g->sx, item->num);
        } else {
            const value_id t = mb_f32(b, item, loc);
            if (!t)
                return 0;
            if (graph_type(g, t)->rank) {
                const struct val *all = mb_stack_values(b, v->item, v->n, loc);
                return all->kind == VAL_TENSOR ? all->v : 0;
            }
            in[n] = t;
            one = sx_arg(&g->sx, n++, SX_FLOAT);
        }
        const sx_id here =
            sx_make(&g->sx, SX_EQ, sx_axis(&g->sx, 0), sx_int(&g->sx, (int32_t)i), 0);
        pick = pick ? sx_make(&g->sx, SX_SEL, here, one, pick) : one;
    }
    return graph_map(g, pick, in, (uint8_t)n, &wide);
}

/* A list is built in the phase of its members, where an initial value, say, only asks how
 * many there are. */
static value_id built_list(struct mb *b, struct val *v, struct loc loc)
{
    struct graph *g = b->g;
    const region_id at = g->at;
    const bool elsewhere = g->region[at].kind != REGION_PHASE;
    for (uint32_t i = 0; elsewhere && i < v->n && g->at == at; i++) {
        if (mb_is(v->item[i], VAL_NUM))
            continue;
        const value_id t = mb_value(b, v->item[i], loc);
        if (!t)
            return 0;
        const region_id of = g->node[g->value[t].def].region;
        if (g->region[of].kind == REGION_PHASE)
            g->at = of;
    }
    const value_id list = list_value(b, v, loc);
    g->at = at;
    return list;
}

value_id mb_value(struct mb *b, struct val *v, struct loc loc)
{
    if (v->kind == VAL_TENSOR)
        return v->v;
    if (v->kind == VAL_NUM) {
        struct graph *g = b->g;
        const struct type t = type_scalar(DT_BOOL);
        return v->is_bool ? graph_map(g, sx_bool(&g->sx, v->num != 0), NULL, 0, &t)
                          : graph_const(g, v->num);
    }
    if (v->kind == VAL_LIST)
        return built_list(b, v, loc);
    if (v->kind == VAL_TUPLE) {
        diag(b->ds, E0309, loc, "%u values where 1 is expected", v->n);
        diag_hint(b->ds, "`t[0]` is a member, `flatten(t)` one vector");
    } else if (v->kind != VAL_POISON) {
        diag(b->ds, E0307, loc, "expected a value, found %s", mb_kind_text(v));
        diag_hint(b->ds, v->kind == VAL_DIST ? "`~` draws" : "call it");
    }
    return 0;
}

value_id mb_f32(struct mb *b, struct val *v, struct loc loc)
{
    const value_id id = mb_value(b, v, loc);
    return id ? mb_to_f32(b, id) : 0;
}

/* Extents and shapes */

static void not_whole(struct mb *b, const struct val *v, struct loc loc)
{
    diag(b->ds, E0305, loc, "an extent must be a whole number known when compiling");
    if (v->kind == VAL_TENSOR && mb_is_host(b, v->v))
        diag_hint(
            b->ds,
            "this is known only while running: use `constants:` instead of `settings:`");
    else if (v->kind == VAL_NUM)
        diag_hint(b->ds, "this is %g", v->num);
    else
        diag_hint(b->ds, "this is %s", mb_show(b, v));
}

bool mb_whole(struct mb *b, struct val *v, struct loc loc, int64_t *out)
{
    if (v->kind == VAL_POISON)
        return false;
    if (v->kind != VAL_NUM || v->is_bool || v->num != floor(v->num)) {
        not_whole(b, v, loc);
        return false;
    }
    if (fabs(v->num) > INT32_MAX) {
        diag(b->ds, E0902, loc, "limit exceeded: extents go to 2^31 - 1");
        return false;
    }
    *out = (int64_t)v->num;
    return true;
}

bool mb_ext_of(struct mb *b, struct val *v, struct loc loc, struct ext *out)
{
    int64_t n = 0;
    if (v->kind == VAL_TENSOR && v->is_ext) {
        *out = v->ext;
        return true;
    }
    if (!mb_whole(b, v, loc, &n))
        return false;
    *out = ext_const((int32_t)n);
    return true;
}

bool mb_shape(struct mb *b, struct val *v, struct loc loc, struct type *out)
{
    double elems = 1;
    *out = type_scalar(DT_F32);
    if (v->kind == VAL_POISON)
        return false;
    if (v->kind != VAL_LIST && v->kind != VAL_TUPLE) {
        struct val *one[1] = {v};
        struct val list = {.kind = VAL_LIST, .item = one, .n = 1};
        return mb_shape(b, &list, loc, out);
    }
    if (v->n > HYP_RANK - 1) {
        diag(b->ds, E0902, loc, "limit exceeded: rank %u, the limit is %d", v->n,
             HYP_RANK - 1);
        return false;
    }
    for (uint32_t i = 0; i < v->n; i++) {
        if (!mb_ext_of(b, v->item[i], loc, &out->dim[i]))
            return false;
        if (out->dim[i].c < 0 || (out->dim[i].c == 0 && !out->dim[i].b)) {
            diag(b->ds, E0305, loc, "an extent must be at least 1, found %d",
                 out->dim[i].c);
            return false;
        }
        elems *= out->dim[i].b ? 1 : out->dim[i].c;
    }
    out->rank = (uint8_t)v->n;
    if (elems > INT32_MAX) {
        diag(b->ds, E0902, loc, "limit exceeded: %.0f elements in one value", elems);
        return false;
    }
    return true;
}
