/*
 * Weights are packed once.
 *
 * A kernel whose nest begins by packing weights (codegen/loop/hoist.c) reads them packed
 * instead, and the packing is a task of its own, in the launch before: it fills threads
 * that would wait, and no barrier comes between.  What packs the same values alike before
 * they are replaced does so once, as long as what is packed may be kept without more memory
 * than the phase needs at its fullest launch.
 */
#include <string.h>

#include "compiler/driver/plan_program.h"
#include "runtime/base/arena.h"

struct packing {
    const struct scheduled *pack;
    const uint32_t *slot; /* by buffer of its nest */
    uint32_t task, last;  /* level of the last task that reads it */
};
struct packings {
    struct phase_builder *p;
    struct packing *made;
    struct hash_index by_key; /* of made */
    uint32_t n, cap;
    uint32_t *written; /* by slot: 1 + level of who wrote it last; 0: it was there before */
    bool *launched;    /* by level: is there a task? */
    uint64_t *live, most; /* bytes in the arena, by level; at the fullest */
};

/* ---- memory ---- */

static void measure(struct packings *x)
{
    const struct phase_builder *p = x->p;
    program_touch(x->p);
    for (uint32_t i = 0; i < p->nslot; i++) {
        const struct slot *s = &p->slot[i];
        const uint64_t bytes = plan_align(plan_type_bytes(p->b, &s->type));
        if (!program_in_arena(s))
            continue;
        x->live[s->first] += bytes; /* as differences */
        x->live[s->last + 1] -= bytes;
    }
    for (uint32_t l = 1; l < p->nlevel; l++)
        x->live[l] += x->live[l - 1];
    for (uint32_t i = 0; i < p->ntask; i++)
        x->live[p->task[i].level] += p->task[i].private_bytes;
    for (uint32_t l = 0; l < p->nlevel; l++)
        x->most = x->live[l] > x->most ? x->live[l] : x->most;
}

static struct type type_of(const struct kbuf *b)
{
    struct type t = {.dtype = b->dtype, .rank = b->rank};
    memcpy(t.dim, b->dim, sizeof t.dim);
    return t;
}

static uint64_t bytes_of(const struct packings *x, const struct scheduled *pack)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < pack->nest->nbuf; i++) {
        const struct type t = type_of(&pack->nest->buf[i]);
        if (pack->nest->buf[i].use != BUF_READ)
            sum += plan_align(plan_type_bytes(x->p->b, &t));
    }
    return sum;
}

/* Is there room at all levels from..end-1? */
static bool fits(const struct packings *x, uint32_t from, uint32_t end, uint64_t bytes)
{
    for (uint32_t l = from; l < end; l++)
        if (x->live[l] + bytes > x->most)
            return false;
    return true;
}

static void keep(struct packings *x, uint32_t from, uint32_t end, uint64_t bytes)
{
    for (uint32_t l = from; l < end; l++)
        x->live[l] += bytes;
}

/* ---- what is packed already ---- */

/* 1 + the level at which the last of what is packed was written. */
static uint32_t written(const struct packings *x, const struct scheduled *pack,
                        const uint32_t *slot)
{
    uint32_t last = 0;
    for (uint32_t i = 0; i < pack->nest->nbuf; i++)
        if (pack->nest->buf[i].use == BUF_READ && x->written[slot[i]] > last)
            last = x->written[slot[i]];
    return last;
}

/* Of what is packed, and how. */
static uint32_t hash_of(const struct scheduled *pack, const uint32_t *slot)
{
    uint32_t h;
    memcpy(&h, pack->key, sizeof h);
    for (uint32_t i = 0; i < pack->nest->nbuf; i++)
        if (pack->nest->buf[i].use == BUF_READ)
            h = (h ^ slot[i]) * 16777619U;
    return h;
}

static bool packs_alike(const struct packing *m, const struct scheduled *pack,
                        const uint32_t *slot)
{
    if (memcmp(m->pack->key, pack->key, sizeof pack->key) != 0)
        return false;
    for (uint32_t i = 0; i < pack->nest->nbuf; i++)
        if (pack->nest->buf[i].use == BUF_READ && m->slot[i] != slot[i])
            return false;
    return true;
}

/* The last that packed what lies there alike, be it that or what was there before. */
static struct packing *find(struct packings *x, const struct scheduled *pack,
                            const uint32_t *slot)
{
    const uint32_t hash = hash_of(pack, slot);
    for (uint32_t at = hash, k; hash_next(&x->by_key, hash, &at, &k);)
        if (packs_alike(&x->made[k], pack, slot))
            return &x->made[k];
    return NULL;
}

/* ---- tasks ---- */

/* The last launch before level `end`, and not before `first`; false: there is none. */
static bool find_launch(const struct packings *x, uint32_t first, uint32_t end,
                        uint32_t *level)
{
    while (end > first)
        if (x->launched[--end]) {
            *level = end;
            return true;
        }
    return false;
}

static struct packing *add(struct packings *x, uint32_t hash)
{
    hash_add(&x->by_key, x->p->scratch, hash, x->n);
    x->made = arena_grow(x->p->scratch, x->made, &x->cap, x->n + 1, sizeof *x->made);
    return &x->made[x->n++];
}

/* A task that packs what lies in these slots, into new ones; in the place of `before`. */
static struct packing *make(struct packings *x, const struct task *t,
                            struct packing *before, uint32_t *slot, uint32_t level)
{
    struct phase_builder *p = x->p;
    struct scheduled *pack = t->scheduled->pack;
    const uint32_t step = t->step;
    struct packing *m = before ? before : add(x, hash_of(pack, slot));
    for (uint32_t i = 0; i < pack->nest->nbuf; i++)
        if (pack->nest->buf[i].use != BUF_READ)
            slot[i] =
                program_add_slot(p, (struct slot){.kind = SLOT_SCRATCH,
                                                  .packed = true,
                                                  .type = type_of(&pack->nest->buf[i])});
    program_add_task(p, t->low, pack, slot, level)->step = step; /* may move the table */
    *m = (struct packing){pack, slot, p->ntask - 1, level};
    return m;
}

/* The task reads what was packed. */
static void use(struct phase_builder *p, struct task *t, struct packing *m)
{
    const struct nest *pack = m->pack->nest;
    struct scheduled *rest = t->scheduled->rest;
    uint32_t *slot = arena_array(p->scratch, rest->nest->nbuf + 1U, sizeof *slot);
    uint32_t n = program_nslot(t);
    memcpy(slot, t->slot, n * sizeof *slot);
    for (uint32_t i = 0; i < pack->nbuf; i++)
        if (pack->buf[i].use != BUF_READ)
            slot[n++] = m->slot[i];
    if (t->step && t->step < p->task[m->task].step)
        p->task[m->task].step = t->step;
    program_set_nest(p, t, rest, slot);
}

static void share(struct packings *x, uint32_t task)
{
    const struct task *t = &x->p->task[task];
    const struct scheduled *pack = t->scheduled->pack;
    uint32_t from, level = t->level;
    if (!pack)
        return;
    const uint64_t bytes = bytes_of(x, pack);
    uint32_t *slot = arena_array(x->p->scratch, pack->nest->nbuf + 1U, sizeof *slot);
    for (uint32_t i = 0; i < pack->nest->nbuf; i++)
        if (pack->nest->buf[i].use == BUF_READ)
            slot[i] = t->slot[t->scheduled->of[i]];

    struct packing *m = find(x, pack, slot);
    const uint32_t since = written(x, pack, slot);
    if (m && x->p->task[m->task].level >= since && fits(x, m->last + 1, level, bytes))
        from = m->last + 1;
    else if (find_launch(x, since, level, &from) && fits(x, from, level, bytes))
        m = make(x, t, m, slot, from);
    else
        return;
    if (from > level) /* another task of this launch has it already */
        x->live[level] -= bytes;
    keep(x, from, level, bytes);
    m->last = level;
    use(x->p, &x->p->task[task], m);
}

/* What a task of this level writes is another value for those after it. */
static void note_written(struct packings *x, const struct task *t)
{
    for (uint32_t i = 0; i < program_nslot(t); i++)
        if (t->nest->buf[i].use != BUF_READ)
            x->written[t->slot[i]] = 1 + t->level;
}

void program_share_packs(struct phase_builder *p)
{
    const uint32_t *order = program_by_level(p), n = p->ntask;
    struct packings x = {.p = p};
    x.written = arena_array(p->scratch, p->nslot + 1U, sizeof *x.written);
    x.launched = arena_array(p->scratch, p->nlevel + 1U, sizeof *x.launched);
    x.live = arena_array(p->scratch, p->nlevel + 1U, sizeof *x.live);
    for (uint32_t i = 0; i < n; i++)
        x.launched[p->task[i].level] = true;
    measure(&x);
    for (uint32_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && p->task[order[end]].level == p->task[order[i]].level;
             end++)
            share(&x, order[end]);
        for (uint32_t k = i; k < end; k++)
            note_written(&x, &p->task[order[k]]);
    }
}
