/*
 * Walks over expressions: order, rewriting, queries.
 *
 * The order is the depth-first post-order from the roots with operands left to right, so it
 * depends on structure only, never on ids.
 */
#include <string.h>

#include "ops/sx_priv.h"
#include "runtime/base/arena.h"

struct walk {
    sx_id *out, *stack;
    uint8_t *state; /* by id: 0 new, 1 entered, 2 done */
    uint32_t n, top, cap_out, cap_stack;
    struct arena *a;
};

static void push(struct walk *w, sx_id id)
{
    w->stack = arena_grow(w->a, w->stack, &w->cap_stack, w->top + 1, sizeof *w->stack);
    w->stack[w->top++] = id;
}

static void visit(struct walk *w, const struct sxb *b, sx_id root)
{
    sx_id in[3];

    push(w, root);
    while (w->top) {
        const sx_id id = w->stack[w->top - 1];
        if (w->state[id]) {
            w->top--;
            if (w->state[id] == 1) {
                w->state[id] = 2;
                w->out = arena_grow(w->a, w->out, &w->cap_out, w->n + 1, sizeof *w->out);
                w->out[w->n++] = id;
            }
            continue;
        }
        w->state[id] = 1;
        for (unsigned i = sx_operands(&b->node[id], in); i-- > 0;) {
            if (!w->state[in[i]])
                push(w, in[i]);
        }
    }
}

uint32_t sx_postorder(const struct sxb *b, const sx_id *root, uint32_t nroot,
                      struct arena *a, sx_id **out)
{
    struct walk w = {.a = a};
    sx_id max = 0;

    for (uint32_t i = 0; i < nroot; i++)
        max = root[i] > max ? root[i] : max;
    w.state = arena_array(a, (size_t)max + 1, 1);
    for (uint32_t i = 0; i < nroot; i++) {
        if (root[i])
            visit(&w, b, root[i]);
    }
    *out = w.out;
    return w.n;
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

/* Every node under root through fn or a rebuild; `order` walks `from`, which may be `to`.
 */
static sx_id rewrite_node(struct sxb *to, const struct sxb *from, sx_id id,
                          const sx_id *made, sx_leaf_fn *fn, void *cx)
{
    const struct sx_node n = from->node[id]; /* a copy: building may move the store */
    const sx_id element = n.op == SX_RNG ? made[n.b] : 0;
    sx_id in[3], id2;

    if (n.op > SX_RNG) {
        const unsigned arity = sx_operands(&n, in);
        for (unsigned i = 0; i < 3; i++)
            in[i] = i < arity ? made[in[i]] : 0;
        return sx_make(to, (enum sx_op)n.op, in[0], in[1], in[2]);
    }
    id2 = fn ? fn(cx, to, &n, element) : 0;
    if (id2)
        return id2;
    if (n.op == SX_RNG)
        return sx_rng(to, n.a, element);
    return sx_intern(to, (enum sx_op)n.op, n.type, n.a, n.b, n.c);
}

sx_id sx_rewrite(struct sxb *to, const struct sxb *from, sx_id root, sx_leaf_fn *fn,
                 void *cx)
{
    struct arena *a = arena_new();
    sx_id *order, *made, result;
    const uint32_t n = sx_postorder(from, &root, 1, a, &order);

    made = arena_array(a, (size_t)root + 1, sizeof *made);
    for (uint32_t i = 0; i < n; i++)
        made[order[i]] = rewrite_node(to, from, order[i], made, fn, cx);
    result = made[root];
    arena_free(a);
    return result;
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
