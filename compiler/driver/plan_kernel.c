/*
 * The kernels of a plan.  Layers repeat and phases share what they compute, so most groups
 * are kernels that were there before: a kernel is scheduled once, and kernels whose nests
 * turn out equal are one.
 */
#include <string.h>

#include "compiler/driver/plan_internal.h"
#include "runtime/base/arena.h"

/* Keys are hashes already. */
static uint32_t hash_of(const uint8_t key[32])
{
    uint32_t h;
    memcpy(&h, key, sizeof h);
    return h;
}

static struct scheduled *part(const struct builder *b, struct nest *n, bool packs)
{
    struct scheduled *s = arena_alloc(b->a, sizeof *s);
    s->nest = n;
    s->packs = packs;
    nest_key(n, b->target, b->plan->backend, s->key);
    return s;
}

static struct scheduled *find_pack(const struct builder *b, const uint8_t key[32])
{
    for (uint32_t at = hash_of(key), i; hash_next(&b->by_pack, hash_of(key), &at, &i);)
        if (memcmp(b->pack[i]->key, key, sizeof b->pack[i]->key) == 0)
            return b->pack[i];
    return NULL;
}

/* The packing of the nest, or an equal one that came before. */
static struct scheduled *pack_of(struct builder *b, const struct nest *n,
                                 const struct nest *pack, struct arena *scratch)
{
    uint8_t key[32];
    struct hoisted h;
    nest_key(pack, b->target, b->plan->backend, key);
    struct scheduled *s = find_pack(b, key);
    if (s || !nest_hoist(n, scratch, b->a, &h))
        return s;
    b->pack =
        arena_grow(b->a, b->pack, &b->cpack, b->npack + 1, sizeof(struct scheduled *));
    s = b->pack[b->npack] = part(b, h.pack, true);
    hash_add(&b->by_pack, b->a, hash_of(key), b->npack++);
    return s;
}

static void set_nest(struct builder *b, struct scheduled *s, struct nest *n)
{
    struct arena *scratch = arena_new();
    struct hoisted h;
    s->nest = n;
    s->pack = s->rest = NULL;
    nest_key(n, b->target, b->plan->backend, s->key);
    if (nest_hoist(n, b->a, scratch, &h)) {
        s->pack = pack_of(b, n, h.pack, scratch);
        s->rest = part(b, h.rest, false);
        s->of = h.of;
    }
    arena_free(scratch);
}

/* As the table's row has it, unless a variant was found better than that. */
static void schedule(struct builder *b, struct scheduled *s, const struct kernel *k)
{
    struct target varied;
    set_nest(b, s, nest_schedule(k, b->target, b->a));
    const struct tuned_kernel *tuned =
        b->opt->tuned
            ? tuned_find(b->opt->tuned, s->key, b->opt->threads, b->plan->batch_max)
            : NULL;
    if (!tuned || !target_vary(b->target, tuned->variant, &varied))
        return;
    set_nest(b, s, nest_schedule(k, &varied, b->a));
    s->tuned = tuned;
    if (s->rest)
        s->rest->tuned = tuned;
}

struct scheduled *plan_nest(struct builder *b, const struct kernel *k)
{
    uint8_t from[32];
    kernel_key(k, from);
    for (uint32_t at = hash_of(from), i; hash_next(&b->by_kernel, hash_of(from), &at, &i);)
        if (memcmp(b->scheduled[i]->from, from, sizeof from) == 0)
            return b->scheduled[i];
    struct scheduled *s = arena_alloc(b->a, sizeof *s);
    memcpy(s->from, from, sizeof from);
    schedule(b, s, k);
    b->scheduled = arena_grow(b->a, b->scheduled, &b->cscheduled, b->nscheduled + 1,
                              sizeof(struct scheduled *));
    b->scheduled[b->nscheduled] = s;
    hash_add(&b->by_kernel, b->a, hash_of(from), b->nscheduled++);
    return s;
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
    b->ir->tuned = arena_grow(b->a, b->ir->tuned, &b->ctuned, id + 1, sizeof *b->ir->tuned);
    struct hyp_kernel *k = &p->kernel[id];
    memcpy(k->key, s->key, sizeof k->key);
    k->name = s->packs ? arena_fmt(b->a, "packing for %s", low->name) : low->name;
    k->nbuf = s->nest->nbuf;
    k->nscalar = s->nest->nscalar;
    k->use = uses_of(b, s->nest);
    add_stages(b, k, id, s->nest);
    b->ir->nest[id] = s->nest;
    b->ir->kernel[id] = s->packs ? NULL : kernel_copy(low->kernel, b->a);
    b->ir->tuned[id] = s->tuned;
    return id;
}

uint32_t plan_kernel(struct builder *b, struct scheduled *s, const struct lowered *low)
{
    const struct hyp_plan *p = b->plan;
    const uint32_t hash = hash_of(s->key);
    if (s->kernel)
        return s->kernel - 1;
    for (uint32_t at = hash, i; hash_next(&b->by_nest, hash, &at, &i);)
        if (memcmp(p->kernel[i].key, s->key, sizeof s->key) == 0 &&
            !b->ir->kernel[i] == s->packs)
            s->kernel = 1 + i;
    if (!s->kernel) {
        s->kernel = 1 + add_kernel(b, s, low);
        hash_add(&b->by_nest, b->a, hash, s->kernel - 1);
    }
    return s->kernel - 1;
}
