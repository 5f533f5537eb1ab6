/*
 * Walks over expressions: order, rewriting, queries.
 *
 * The order is the depth-first post-order from the roots with operands left to right, so it
 * depends on structure only, never on ids.
 */
#include <string.h>

#include "ops/sx_priv.h"
#include "runtime/base/arena.h"

enum {
    FIRST_SLOTS = 8,
    FIRST_SHIFT = 29 /* 32 less its binary logarithm */,
    ENTERED = 1,
    DONE = 2
};

struct sx_slot {
    sx_id id; /* 0: free */
    uint32_t at, state;
};

/* The slot of `id`, or the free one where it belongs. */
static struct sx_slot *slot_of(const struct sx_order *o, sx_id id)
{
    uint32_t k = (id * 0x9e3779b1U) >> o->shift;

    while (o->slot[k].id && o->slot[k].id != id)
        k = (k + 1) & (o->nslot - 1);
    return &o->slot[k];
}

uint32_t sx_order_at(const struct sx_order *o, sx_id id)
{
    return slot_of(o, id)->at;
}

static void grow_slots(struct sx_order *o)
{
    const struct sx_slot *old = o->slot;
    const uint32_t nold = o->nslot;

    o->nslot = nold ? nold * 2 : FIRST_SLOTS;
    o->shift = nold ? o->shift - 1 : FIRST_SHIFT;
    o->slot = arena_array(o->arena, o->nslot, sizeof *o->slot);
    for (uint32_t k = 0; k < nold; k++) {
        if (old[k].id)
            *slot_of(o, old[k].id) = old[k];
    }
}

static void enter(struct sx_order *o, sx_id id)
{
    if (++o->nentered * 2 > o->nslot)
        grow_slots(o);
    *slot_of(o, id) = (struct sx_slot){id, 0, ENTERED};
}

static void push(struct sx_order *o, sx_id id)
{
    o->stack = arena_grow(o->arena, o->stack, &o->cap_stack, o->top + 1, sizeof *o->stack);
    o->stack[o->top++] = id;
}

static void finish(struct sx_order *o, struct sx_slot *s)
{
    o->top--;
    if (s->state == DONE)
        return;
    s->state = DONE;
    s->at = o->n;
    o->id = arena_grow(o->arena, o->id, &o->cap_id, o->n + 1, sizeof *o->id);
    o->id[o->n++] = s->id;
}

static void visit(struct sx_order *o, const struct sxb *b, sx_id root)
{
    sx_id in[3];

    push(o, root);
    while (o->top) {
        const sx_id id = o->stack[o->top - 1];
        struct sx_slot *s = slot_of(o, id);
        if (s->id) {
            finish(o, s);
            continue;
        }
        enter(o, id);
        for (unsigned i = sx_operands(&b->node[id], in); i-- > 0;) {
            if (!slot_of(o, in[i])->id)
                push(o, in[i]);
        }
    }
}

void sx_order_operands(const struct sx_order *o, const struct sxb *b, uint32_t k,
                       const sx_id *made, sx_id in[3])
{
    const unsigned arity = sx_operands(&b->node[o->id[k]], in);

    for (unsigned i = 0; i < 3; i++)
        in[i] = i < arity ? made[sx_order_at(o, in[i])] : 0;
}

void sx_order(struct sx_order *o, const struct sxb *b, const sx_id *root, uint32_t nroot,
              struct arena *a)
{
    *o = (struct sx_order){.arena = a};
    grow_slots(o);
    for (uint32_t i = 0; i < nroot; i++) {
        if (root[i])
            visit(o, b, root[i]);
    }
}

uint32_t sx_postorder(const struct sxb *b, const sx_id *root, uint32_t nroot,
                      struct arena *a, sx_id **out)
{
    struct sx_order o;

    sx_order(&o, b, root, nroot, a);
    *out = o.id;
    return o.n;
}

/* Calls fn for every node under root; stops and returns true when fn does. */
typedef bool visit_fn(void *cx, const struct sx_node *n);

static bool any_node(const struct sxb *b, sx_id root, visit_fn *fn, void *cx)
{
    struct arena *a = arena_new();
    sx_id *order;
    const uint32_t n = sx_postorder(b, &root, 1, a, &order);
    bool found = false;

    for (uint32_t i = 0; i < n && !found; i++)
        found = fn(cx, &b->node[order[i]]);
    arena_free(a);
    return found;
}

static bool largest_arg(void *cx, const struct sx_node *n)
{
    uint32_t *nargs = cx;
    if (n->op == SX_ARG && n->a + 1 > *nargs)
        *nargs = n->a + 1;
    return false;
}

uint32_t sx_args(const struct sxb *b, sx_id root)
{
    uint32_t nargs = 0;
    any_node(b, root, largest_arg, &nargs);
    return nargs;
}

static bool is_arg(void *cx, const struct sx_node *n)
{
    return n->op == SX_ARG && n->a == *(const uint32_t *)cx;
}

bool sx_uses_arg(const struct sxb *b, sx_id root, uint32_t i)
{
    return any_node(b, root, is_arg, &i);
}

static bool is_rng(void *cx, const struct sx_node *n)
{
    (void)cx;
    return n->op == SX_RNG;
}

bool sx_uses_rng(const struct sxb *b, sx_id root)
{
    return any_node(b, root, is_rng, NULL);
}

static bool count_all(void *cx, const struct sx_node *n)
{
    (void)n;
    ++*(uint32_t *)cx;
    return false;
}

uint32_t sx_size(const struct sxb *b, sx_id root)
{
    uint32_t n = 0;
    any_node(b, root, count_all, &n);
    return n;
}

static bool count_inner(void *cx, const struct sx_node *n)
{
    *(uint32_t *)cx += n->op > SX_RNG;
    return false;
}

uint32_t sx_cost(const struct sxb *b, sx_id root)
{
    struct arena *a = arena_new();
    struct sxb own;
    uint32_t n = 0;

    sx_init(&own, a);
    root = sx_expand(&own, sx_import(&own, b, root, NULL, 0));
    any_node(&own, root, count_inner, &n);
    arena_free(a);
    return n;
}

struct sx_hash sx_hash(const struct sxb *b, sx_id root)
{
    return b->hash[root];
}

/* ---- rewriting ---- */

/* One node, its operands remade, through fn or a rebuild. */
static sx_id rewrite_node(struct sxb *to, const struct sx_node *from, const sx_id in[3],
                          sx_leaf_fn *fn, void *cx)
{
    const struct sx_node n = *from; /* a copy: building may move the store */
    sx_id id;

    if (n.op > SX_RNG)
        return sx_make(to, (enum sx_op)n.op, in[0], in[1], in[2]);
    id = fn ? fn(cx, to, &n, in[0]) : 0;
    if (id)
        return id;
    if (n.op == SX_RNG)
        return sx_rng(to, n.a, in[0]);
    return sx_intern(to, (enum sx_op)n.op, n.type, n.a, n.b, n.c);
}

static sx_id rewrite(struct sxb *to, const struct sxb *from, sx_id root, sx_id what,
                     sx_id with, sx_leaf_fn *fn, void *cx)
{
    struct arena *a = arena_new();
    struct sx_order o;
    sx_id *made, in[3], result;

    sx_order(&o, from, &root, 1, a);
    made = arena_array(a, o.n + 1, sizeof *made); /* by place in the order */
    for (uint32_t k = 0; k < o.n; k++) {
        sx_order_operands(&o, from, k, made, in);
        made[k] =
            o.id[k] == what ? with : rewrite_node(to, &from->node[o.id[k]], in, fn, cx);
    }
    result = root ? made[o.n - 1] : 0;
    arena_free(a);
    return result;
}

sx_id sx_rewrite(struct sxb *to, const struct sxb *from, sx_id root, sx_leaf_fn *fn,
                 void *cx)
{
    return rewrite(to, from, root, 0, 0, fn, cx);
}

sx_id sx_replace(struct sxb *b, sx_id root, sx_id what, sx_id with)
{
    return rewrite(b, b, root, what, with, NULL, NULL);
}

struct arg_map {
    const sx_id *arg;
    uint32_t narg;
};

static sx_id map_arg(void *cx, struct sxb *to, const struct sx_node *leaf, sx_id element)
{
    const struct arg_map *m = cx;
    (void)to;
    (void)element;
    return leaf->op == SX_ARG && leaf->a < m->narg ? m->arg[leaf->a] : 0;
}

sx_id sx_import(struct sxb *to, const struct sxb *from, sx_id root, const sx_id *arg,
                uint32_t narg)
{
    struct arg_map m = {arg, narg};
    return sx_rewrite(to, from, root, arg ? map_arg : NULL, &m);
}

sx_id sx_substitute(struct sxb *b, sx_id root, const sx_id *arg, uint32_t narg)
{
    return sx_import(b, b, root, arg, narg);
}
