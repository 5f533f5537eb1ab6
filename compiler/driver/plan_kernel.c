/*
 * The kernels of a plan.  Layers repeat and phases share what they compute, so most groups
 * are kernels that were there before: a kernel is scheduled once, and kernels whose nests
 * turn out equal are one.
 */
#include <string.h>

#include "compiler/driver/plan_internal.h"
#include "runtime/base/arena.h"

/* ---- by key ---- */

static struct key_slot *find(const struct key_map *m, const uint8_t key[32])
{
    uint32_t at;
    memcpy(&at, key, sizeof at);
    for (at &= m->cap - 1; m->slot[at].key; at = (at + 1) & (m->cap - 1))
        if (memcmp(m->slot[at].key, key, 32) == 0)
            break;
    return &m->slot[at];
}

/* Where the key's value is or, as long as it is NULL, goes; `key` has to stay. */
static void **at_key(struct arena *a, struct key_map *m, const uint8_t *key)
{
    if (2 * (m->n + 1) > m->cap) {
        const struct key_map old = *m;
        m->cap = old.cap ? 2 * old.cap : 64;
        m->slot = arena_array(a, m->cap, sizeof *m->slot);
        for (uint32_t i = 0; i < old.cap; i++)
            if (old.slot[i].key)
                *find(m, old.slot[i].key) = old.slot[i];
    }
    struct key_slot *s = find(m, key);
    m->n += !s->key;
    s->key = key;
    return &s->value;
}

struct scheduled *plan_nest(struct builder *b, const struct kernel *k)
{
    struct scheduled *s = arena_alloc(b->a, sizeof *s);
    kernel_key(k, s->of);
    void **there = at_key(b->a, &b->kernels, s->of);
    if (*there)
        return *there;
    s->nest = nest_schedule(k, b->target, b->a);
    nest_key(s->nest, b->target, b->plan->backend, s->key);
    return *there = s;
}

/* ---- kernels ---- */

/* hyp_kernel.use */
static uint8_t *uses_of(const struct builder *b, const struct nest *n)
{
    static const uint8_t use[] = {
        [BUF_READ] = HYP_READ, [BUF_WRITE] = HYP_WRITE, [BUF_READ_WRITE] = HYP_READ_WRITE};
    uint8_t *out = arena_array(b->a, n->nbuf + 1U, sizeof *out);
    for (uint32_t i = 0; i < n->nbuf; i++)
        out[i] = i + n->nprivate >= n->nbuf ? HYP_PRIVATE : use[n->buf[i].use];
    return out;
}

static void add_stages(struct builder *b, struct hyp_kernel *k, uint32_t number,
                       const struct nest *n)
{
    k->nstage = n->nstage;
    k->stage = arena_array(b->a, k->nstage, sizeof *k->stage);
    for (uint32_t i = 0; i < k->nstage; i++) {
        const struct nstage *ns = &n->stage[i];
        k->stage[i].symbol = arena_fmt(b->a, "k%u_%u", number, i);
        k->stage[i].units = (struct hyp_ext){ns->units.c, ns->units.b};
        k->stage[i].units_div = ns->units_div;
        k->stage[i].units_times = ns->units_times;
        k->stage[i].cost = nest_unit_cost(n, i, b->target, b->plan->batch_max);
        const uint64_t stack = ns->stack_bytes * (b->opt->f64 ? 2 : 1);
        if (stack > k->scratch)
            k->scratch = stack;
    }
}

static uint32_t add_kernel(struct builder *b, const struct scheduled *s,
                           const struct lowered *low)
{
    struct hyp_plan *p = b->plan;
    const uint32_t id = p->nkernel++;
    p->kernel = arena_grow(b->a, p->kernel, &b->ckernel, id + 1, sizeof *p->kernel);
    b->ir->nest = arena_grow(b->a, b->ir->nest, &b->cnest, id + 1, sizeof *b->ir->nest);
    b->ir->kernel =
        arena_grow(b->a, b->ir->kernel, &b->cwhat, id + 1, sizeof *b->ir->kernel);
    struct hyp_kernel *k = &p->kernel[id];
    memcpy(k->key, s->key, sizeof k->key);
    k->name = low->name;
    k->nbuf = s->nest->nbuf;
    k->nscalar = low->nscalar;
    k->use = uses_of(b, s->nest);
    add_stages(b, k, id, s->nest);
    b->ir->nest[id] = s->nest;
    b->ir->kernel[id] = low->kernel;
    return id;
}

uint32_t plan_kernel(struct builder *b, struct scheduled *s, const struct lowered *low)
{
    if (!s->kernel) {
        void **there = at_key(b->a, &b->nests, s->key);
        const struct scheduled *equal = *there;
        s->kernel = equal ? equal->kernel : 1 + add_kernel(b, s, low);
        if (!equal)
            *there = s;
    }
    return s->kernel - 1;
}
