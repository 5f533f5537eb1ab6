/*
 * Packing taken out of a nest.
 *
 * A first stage that only lays weights out anew depends on nothing but them: as a nest of
 * its own it runs once for all kernels that pack the same weights alike, beside whatever
 * launch comes before them, and its code is made once.  What it packed is then a buffer
 * like any other.
 */
#include <string.h>

#include "codegen/loop/loop.h"
#include "runtime/base/arena.h"

struct hoist {
    const struct nest *n;
    struct arena *a;
    uint16_t *buf, *tile; /* by number in n: 1 + what it is in the part; 0: not in it yet */
    uint32_t nbuf, ntile; /* of the part */
    uint8_t naxis;
};

static bool is_private(const struct nest *n, uint32_t buf)
{
    return buf + n->nprivate >= n->nbuf;
}

static bool has_batch(const struct kbuf *b)
{
    for (unsigned i = 0; i < b->rank; i++)
        if (b->dim[i].b)
            return true;
    return false;
}

/* ---- does a stage only pack? ---- */

static bool is_constant(const struct index *x)
{
    for (unsigned i = 0; i < x->n; i++)
        if (x->t[i].coef.b)
            return false;
    return !x->off.b && !x->scalar;
}

static bool guards_are_constant(const struct guard *g, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!is_constant(&g[i].index) || g[i].bound.b)
            return false;
    return true;
}

static bool computes_of_loads(const struct nest *n, const struct stmt *st, struct arena *a)
{
    sx_id *order;
    const uint32_t count = sx_postorder(&n->sx, &st->value, 1, a, &order);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t op = n->sx.node[order[i]].op;
        if (op == SX_SCALAR || op == SX_RNG)
            return false;
    }
    return true;
}

static bool only_loads_weights(const struct nest *n, const struct stmt *st)
{
    for (uint32_t i = 0; i < st->nload; i++) {
        const struct nload *l = &st->load[i];
        if (!is_constant(&l->index) || !guards_are_constant(l->guard, l->nguard) ||
            l->pick.from)
            return false;
        if (!l->tile && (is_private(n, l->id) || n->buf[l->id].use != BUF_READ ||
                         has_batch(&n->buf[l->id])))
            return false;
    }
    return true;
}

static bool only_packs(const struct nest *n, const struct stmt *st, struct arena *a)
{
    switch (st->op) {
    case S_FOR:
        if (!is_constant(&st->lo) || !is_constant(&st->hi) || st->bound.b ||
            !guards_are_constant(st->guard, st->nguard))
            return false;
        for (uint32_t i = 0; i < st->nbody; i++)
            if (!only_packs(n, st->body[i], a))
                return false;
        return true;
    case S_SET:
        return (st->dst_tile || (is_private(n, st->dst) && !has_batch(&n->buf[st->dst]) &&
                                 n->buf[st->dst].dtype == DT_F32)) &&
               !st->pick.from && is_constant(&st->index) && only_loads_weights(n, st) &&
               computes_of_loads(n, st, a);
    case S_TILE:
        return true;
    default:
        return false;
    }
}

static bool writes(const struct stmt *st, uint16_t buf)
{
    if (st->op != S_FOR)
        return (st->op == S_SET || st->op == S_ACC) && !st->dst_tile && st->dst == buf;
    for (uint32_t i = 0; i < st->nbody; i++)
        if (writes(st->body[i], buf))
            return true;
    return false;
}

/* What the first stage packs, no other one changes. */
static bool is_final(const struct nest *n)
{
    for (uint32_t b = n->nbuf - n->nprivate; b < n->nbuf; b++)
        for (uint32_t i = 1; i < n->nstage; i++)
            if (writes(n->stage[0].root, (uint16_t)b) &&
                writes(n->stage[i].root, (uint16_t)b))
                return false;
    return true;
}

/* ---- copies of statements, with other numbers ---- */

static uint16_t number(uint16_t *of, uint32_t *n)
{
    if (!*of)
        *of = (uint16_t)++ * n;
    return (uint16_t)(*of - 1);
}

static uint16_t place_of(struct hoist *h, bool tile, uint16_t id)
{
    return tile ? number(&h->tile[id], &h->ntile) : number(&h->buf[id], &h->nbuf);
}

static struct stmt *copy(struct hoist *h, const struct stmt *from)
{
    struct stmt *st = arena_copy(h->a, from, sizeof *from);
    if (st->op == S_FOR) {
        if (st->axis >= h->naxis)
            h->naxis = (uint8_t)(st->axis + 1);
        st->body = arena_array(h->a, st->nbody + 1U, sizeof(struct stmt *));
        for (uint32_t i = 0; i < st->nbody; i++)
            st->body[i] = copy(h, from->body[i]);
        return st;
    }
    if (st->op == S_TILE) {
        st->tile = place_of(h, true, st->tile);
        return st;
    }
    st->load = arena_copy(h->a, st->load, st->nload * sizeof *st->load);
    for (uint32_t i = 0; i < st->nload; i++)
        st->load[i].id = place_of(h, st->load[i].tile, st->load[i].id);
    st->dst = place_of(h, st->dst_tile, st->dst);
    return st;
}

/* ---- the two nests ---- */

/* A private buffer as others see it. */
static struct kbuf shared(struct kbuf b, uint8_t use)
{
    if (b.rank && b.div > 1)
        b.dim[0].c = (b.dim[0].c + b.div - 1) / b.div;
    b.div = 0;
    b.use = use;
    return b;
}

static struct hoist part_of(const struct nest *n, struct arena *a, struct arena *scratch)
{
    struct hoist h = {.n = n, .a = a};
    h.buf = arena_array(scratch, n->nbuf + 1U, sizeof *h.buf);
    h.tile = arena_array(scratch, n->ntile + 1U, sizeof *h.tile);
    return h;
}

/* `count` stages from `first` on; what is packed has this use. */
static struct nest *part(struct hoist *h, uint32_t first, uint32_t count,
                         const bool *packed, uint8_t use)
{
    const struct nest *n = h->n;
    struct nest *p = arena_copy(h->a, n, sizeof *n);
    p->nstage = count;
    p->stage = arena_copy(h->a, n->stage + first, count * sizeof *p->stage);
    for (uint32_t i = 0; i < count; i++)
        p->stage[i].root = copy(h, p->stage[i].root);
    p->naxis = h->naxis;
    p->ntile = h->ntile;
    p->tile = arena_array(h->a, h->ntile + 1U, sizeof *p->tile);
    for (uint32_t i = 0; i < n->ntile; i++)
        if (h->tile[i])
            p->tile[h->tile[i] - 1] = n->tile[i];
    p->nbuf = h->nbuf;
    p->buf = arena_array(h->a, h->nbuf + 1U, sizeof *p->buf);
    for (uint32_t i = 0; i < n->nbuf; i++)
        if (h->buf[i])
            p->buf[h->buf[i] - 1] = packed[i] ? shared(n->buf[i], use) : n->buf[i];
    return p;
}

static struct nest *packing(struct hoist *h, bool *packed)
{
    const struct nest *n = h->n;
    for (uint32_t i = 0; i < n->nbuf; i++)
        packed[i] = is_private(n, i) && writes(n->stage[0].root, (uint16_t)i);
    struct nest *p = part(h, 0, 1, packed, BUF_WRITE);
    p->name = "pack";
    p->nprivate = p->nscalar = p->nrng = 0;
    return p;
}

/* Most packings come before all else that is private: the statements stay as they are. */
static bool keeps_numbers(const struct hoist *h)
{
    for (uint32_t i = 0; i < h->n->nbuf; i++)
        if (h->buf[i] != i + 1)
            return false;
    return true;
}

/* The same nest from its second stage on. */
static struct nest *tail(const struct hoist *h, const bool *packed)
{
    const struct nest *n = h->n;
    struct nest *p = arena_copy(h->a, n, sizeof *n);
    p->stage = n->stage + 1;
    p->nstage = n->nstage - 1;
    p->buf = arena_copy(h->a, n->buf, n->nbuf * sizeof *p->buf);
    for (uint32_t i = 0; i < n->nbuf; i++)
        if (packed[i])
            p->buf[i] = shared(n->buf[i], BUF_READ);
    return p;
}

/* Buffers: the kernel's, what was packed (in the packing's order), what stays private. */
static struct nest *rest(struct hoist *h, const bool *packed, const struct hoisted *out)
{
    const struct nest *n = h->n;
    uint32_t npacked = 0;
    for (uint16_t i = 0; !is_private(n, i) && i < n->nbuf; i++)
        number(&h->buf[i], &h->nbuf);
    for (uint32_t i = 0; i < out->pack->nbuf; i++)
        if (packed[out->of[i]]) {
            number(&h->buf[out->of[i]], &h->nbuf);
            npacked++;
        }
    for (uint16_t i = 0; i < n->nbuf; i++)
        number(&h->buf[i], &h->nbuf);
    struct nest *p =
        keeps_numbers(h) ? tail(h, packed) : part(h, 1, n->nstage - 1, packed, BUF_READ);
    p->nprivate = n->nprivate - npacked;
    return p;
}

bool nest_hoist(const struct nest *n, struct arena *a, struct arena *of_pack,
                struct hoisted *out)
{
    struct arena *scratch = arena_new();
    const bool can = n->nstage > 1 && n->nprivate && !n->stage[0].units.b &&
                     n->stage[0].root && only_packs(n, n->stage[0].root, scratch) &&
                     is_final(n);
    if (!can) {
        arena_free(scratch);
        return false;
    }
    struct hoist first = part_of(n, of_pack, scratch), others = part_of(n, a, scratch);
    bool *packed = arena_array(scratch, n->nbuf + 1U, sizeof *packed);
    out->pack = packing(&first, packed);
    out->of = arena_array(a, first.nbuf + 1U, sizeof *out->of);
    for (uint32_t i = 0; i < n->nbuf; i++)
        if (first.buf[i])
            out->of[first.buf[i] - 1] = (uint16_t)i;
    out->rest = rest(&others, packed, out);
    arena_free(scratch);
    return true;
}
