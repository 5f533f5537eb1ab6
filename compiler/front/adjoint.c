/*
 * n.T(e): the adjoint of a node n: f(a, ...) that is affine in a, applied to e.
 *
 * It is reverse mode from n to a with e in the place of ones.  The graph between the two is
 * looked through first: where it is affine no derivative depends on a, so that what comes
 * out is W^T e whatever a is.
 */
#include <string.h>

#include "compiler/front/build.h"
#include "runtime/base/arena.h"

struct val *mb_transposed(struct mb *b, struct val *v, struct loc loc)
{
    if (v->kind != VAL_TENSOR || !v->first) {
        diag(b->ds, E0310, loc, "`.T` needs a call that is affine in its first argument");
        diag_hint(b->ds, "`n.T(e)`, for a node `n: f(a, ...)`");
        return mb_poison(b);
    }
    const struct func fn = {.kind = FUNC_ADJOINT, .of = v, .written = "T", .loc = loc};
    struct val *f = mb_word(b, NULL);
    f->kind = VAL_FUNC;
    f->func = arena_copy(b->a, &fn, sizeof fn);
    f->loc = loc;
    return f;
}

/* Of a map: do the derivatives by what depends on a depend on a? */
static bool affine_map(struct graph *g, const struct node *n, const bool *depends)
{
    const unsigned nin = n->nin;
    sx_id d[256] = {0};
    const sx_id result = sx_arg(&g->sx, nin, SX_FLOAT);
    sx_vjp(&g->sx, n->attr, sx_arg(&g->sx, nin + 1, SX_FLOAT), result, d, nin);
    for (unsigned i = 0; i < nin; i++) {
        if (!d[i] || !depends[graph_in(g, n)[i]])
            continue;
        for (unsigned k = 0; k <= nin; k++)
            if (sx_uses_arg(&g->sx, d[i], k) && (k == nin || depends[graph_in(g, n)[k]]))
                return false;
    }
    return true;
}

static bool affine_node(struct graph *g, const struct node *n, const bool *depends)
{
    unsigned k = 0;
    switch ((enum graph_op)n->op) {
    case OP_MAP:
        return affine_map(g, n, depends);
    case OP_FORM: /* linear in each of its tensors; what it goes on from is added */
        for (unsigned i = 0; i + 1 < g->form[n->attr].nport; i++)
            k += depends[graph_in(g, n)[i]];
        return k <= 1;
    case OP_GATHER: /* the index is no float */
    case OP_SCATTER:
    case OP_STOP:
        return true;
    case OP_NOP:
    case OP_LEAF:
    case OP_FOLD:
    case OP_LOOP:
    case OP_GRAD:
    default:
        return false;
    }
}

/* The first node between a and y, in order, that is not affine in a; 0: there is none. */
static node_id not_affine(struct mb *b, value_id y, value_id a)
{
    struct graph *g = b->g;
    const node_id last = g->value[y].def;
    bool *depends = arena_array(b->a, g->nvalue, sizeof *depends);
    bool *needed = arena_array(b->a, last + 1, sizeof *needed);
    needed[last] = true;
    for (node_id id = last; id > 0; id--)
        for (unsigned i = 0; needed[id] && i < g->node[id].nin; i++)
            needed[g->value[graph_in(g, &g->node[id])[i]].def] = true;
    depends[a] = true;
    for (node_id id = 1; id <= last; id++) {
        const struct node n = g->node[id];
        bool any = false;
        for (unsigned i = 0; i < n.nin; i++)
            any |= depends[graph_in(g, &n)[i]];
        if (!needed[id] || !any || n.op == OP_STOP)
            continue;
        if (!affine_node(g, &n, depends))
            return id;
        for (unsigned i = 0; i < n.nout; i++)
            depends[n.out0 + i] = true;
    }
    return 0;
}

/* e as wide as the node; 0: reported. */
static value_id weight_of(struct mb *b, struct val *e, const struct type *t, struct loc loc)
{
    struct type both;
    struct val *v[2] = {mb_tensor(b, mb_f32(b, e, loc)), mb_word(b, NULL)};
    if (!v[0]->v)
        return 0;
    v[1] = mb_tensor(b, graph_map(b->g, sx_const(&b->g->sx, 0), NULL, 0, t));
    if (!mb_join(b, v, 2, loc, &both))
        return 0;
    if (mb_same_shape(&both, t))
        return mb_widen(b, v[0]->v, t);
    diag(b->ds, E0301, loc, "`.T` takes a value of its node's shape, found %s",
         mb_show(b, v[0]));
    diag_hint(b->ds, "the node is %s", type_print(t, b->a));
    return 0;
}

struct val *mb_adjoint(struct mb *b, const struct func *fn, const struct slot *slot,
                       uint32_t nslot, struct loc loc)
{
    const struct val *n = fn->of;
    if (nslot != 1 || slot[0].name || !slot[0].val) {
        diag(b->ds, E0208, loc, "`.T` takes one argument");
        diag_hint(b->ds, "`n.T(e)`");
        return mb_poison(b);
    }
    const value_id a = mb_value(b, n->first, fn->loc);
    if (!a)
        return mb_poison(b);
    const node_id bad = not_affine(b, n->v, a);
    if (bad) {
        diag(b->ds, E0310, fn->loc,
             "`.T` needs a call that is affine in its first argument");
        diag_note(b->ds, b->g->place[b->g->node[bad].place].loc,
                  "this is not affine in it");
        return mb_poison(b);
    }
    struct type t = *graph_type(b->g, n->v);
    t.dtype = DT_F32;
    const value_id w = weight_of(b, slot[0].val, &t, slot[0].loc);
    if (!w)
        return mb_poison(b);
    return mb_tensor(b, graph_adjoint(b->g, n->v, w, a));
}
