#include "compiler/passes/memplan.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/arena.h"

enum {
    ORDERS = 4,
    SMALL = 1024 /* what is less than this part of the bound decides nothing */
};
/* Each order is tried so often, while the bound is not reached, but not more than so many
 * pairs of intervals are looked at. */
static const struct round {
    unsigned tries;
    uint64_t pairs;
} rounds[] = {{24, 5000000}, {400, 1000000}};

struct ranked {
    double key;
    uint32_t id;
};

static int by_key(const void *x, const void *y)
{
    const struct ranked *a = x, *b = y;
    if (a->key != b->key)
        return a->key > b->key ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

static uint64_t aligned(uint64_t n)
{
    return (n + MEMPLAN_ALIGN - 1) / MEMPLAN_ALIGN * MEMPLAN_ALIGN;
}

struct placed { /* by value: looked through for every interval of every try */
    uint64_t from, to;
    uint32_t first, last;
};

/*
 * The tightest gap for x among those placed (ascending by offset) that live when it does.
 * Who lives then is anybody's guess, so nothing jumps by it.
 */
static uint64_t tightest(const struct placed *placed, uint32_t n, const struct interval *x)
{
    const uint64_t bytes = aligned(x->bytes);
    uint64_t end = 0, best = 0, slack = UINT64_MAX;
    for (uint32_t i = 0; i < n; i++) {
        const struct placed *y = &placed[i];
        const uint64_t lives =
            0 - (uint64_t)((y->first <= x->last) & (x->first <= y->last));
        const uint64_t from = y->from & lives, to = y->to & lives;
        const uint64_t gap = from > end ? from - end : 0;
        if (gap >= bytes && gap - bytes < slack) {
            slack = gap - bytes;
            best = end;
        }
        end = to > end ? to : end;
    }
    return slack == UINT64_MAX ? end : best;
}

static void insert(struct placed *placed, uint32_t n, const struct interval *x)
{
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        const uint32_t mid = (lo + hi) / 2;
        if (placed[mid].from <= x->offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    memmove(placed + lo + 1, placed + lo, (n - lo) * sizeof *placed);
    placed[lo] =
        (struct placed){x->offset, x->offset + aligned(x->bytes), x->first, x->last};
}

static uint64_t place(struct interval *iv, const struct ranked *order, uint32_t n,
                      struct placed *placed)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct interval *x = &iv[order[i].id];
        x->offset = tightest(placed, i, x);
        insert(placed, i, x);
        if (x->offset + aligned(x->bytes) > total)
            total = x->offset + aligned(x->bytes);
    }
    return total;
}

static bool lives_at(const struct interval *x, uint32_t launch)
{
    return x->first <= launch && launch <= x->last;
}

/* Larger ones first, longer ones first, both, or what makes the peak and then larger ones.
 */
static double key_of(const struct interval *x, unsigned order, uint32_t peak)
{
    const double life = 1.0 + (double)x->last - (double)x->first, size = (double)x->bytes;
    switch (order) {
    case 0:
        return size;
    case 1:
        return size * life;
    case 2:
        return life;
    default:
        return lives_at(x, peak) ? 0x1p60 + size : size;
    }
}

/* The largest sum of sizes alive at one launch; it is one at which some interval begins. */
static uint64_t lower_bound(const struct interval *iv, uint32_t n, struct arena *scratch,
                            uint32_t *peak)
{
    uint32_t end = 0;
    uint64_t best = 0;
    for (uint32_t i = 0; i < n; i++)
        end = iv[i].last > end ? iv[i].last : end;
    uint64_t *alive = arena_array(scratch, end + 2U, sizeof *alive); /* as differences */
    for (uint32_t i = 0; i < n; i++) {
        alive[iv[i].first] += aligned(iv[i].bytes);
        alive[iv[i].last + 1] -= aligned(iv[i].bytes);
    }
    for (uint32_t t = 1; t <= end; t++)
        alive[t] += alive[t - 1];
    for (uint32_t i = 0; i < n; i++)
        if (alive[iv[i].first] > best) {
            best = alive[iv[i].first];
            *peak = iv[i].first;
        }
    return best;
}

/* What reaches up to the total goes first. */
static void raise_tops(const struct interval *iv, struct ranked *order, uint32_t n,
                       uint64_t total, struct ranked *scratch)
{
    uint32_t m = 0;
    for (unsigned rest = 0; rest < 2; rest++)
        for (uint32_t i = 0; i < n; i++) {
            const struct interval *x = &iv[order[i].id];
            if ((x->offset + aligned(x->bytes) < total) == (rest == 1))
                scratch[m++] = order[i];
        }
    memcpy(order, scratch, n * sizeof *order);
}

/* Any two of the order change places; the same ones every time. */
static void swap_two(struct ranked *order, uint32_t n, uint64_t *state)
{
    uint32_t at[2];
    for (unsigned i = 0; i < 2; i++) {
        *state = *state * 6364136223846793005U + 1442695040888963407U;
        at[i] = (uint32_t)((*state >> 33) % n);
    }
    const struct ranked x = order[at[0]];
    order[at[0]] = order[at[1]];
    order[at[1]] = x;
}

/* Orders of the intervals that decide, and the best one so far: of all totals, with the
 * small ones placed after them. */
struct search {
    struct interval *iv;
    struct ranked *order, *best_order, *scratch;
    uint32_t n, large; /* large: of those that decide */
    struct placed *placed;
    uint64_t best_large, best, bound, state;
    uint32_t peak;
};

static void begin(struct search *s, unsigned key)
{
    for (uint32_t i = 0; i < s->large; i++)
        s->order[i].key = key_of(&s->iv[s->order[i].id], key, s->peak);
    qsort(s->order, s->large, sizeof *s->order, by_key);
}

static void keep_if_better(struct search *s)
{
    const uint64_t total = place(s->iv, s->order, s->n, s->placed);
    if (total >= s->best)
        return;
    s->best = total;
    memcpy(s->best_order, s->order, s->n * sizeof *s->order);
}

static void try_orders(struct search *s, unsigned tries)
{
    for (unsigned t = 0; t < tries && s->best > s->bound; t++) {
        const uint64_t total = place(s->iv, s->order, s->large, s->placed);
        if (total < s->best_large) {
            s->best_large = total;
            keep_if_better(s);
        } else {
            swap_two(s->order, s->large, &s->state);
        }
        raise_tops(s->iv, s->order, s->large, total, s->scratch);
    }
}

/* Those that matter come first, the rest by size. */
static uint32_t largest_first(const struct interval *iv, struct ranked *order, uint32_t n,
                              uint64_t bound)
{
    uint32_t large = 0;
    for (uint32_t i = 0; i < n; i++)
        order[i] = (struct ranked){(double)iv[i].bytes, i};
    qsort(order, n, sizeof *order, by_key);
    while (large < n && iv[order[large].id].bytes >= bound / SMALL)
        large++;
    return large;
}

uint64_t memplan(struct interval *iv, uint32_t n, struct arena *scratch, uint64_t *bound)
{
    struct search s = {
        .iv = iv, .n = n, .best = UINT64_MAX, .best_large = UINT64_MAX, .state = 1};
    s.order = arena_array(scratch, n + 1U, sizeof *s.order);
    s.best_order = arena_array(scratch, n + 1U, sizeof *s.best_order);
    s.scratch = arena_array(scratch, n + 1U, sizeof *s.scratch);
    s.placed = arena_array(scratch, n + 1U, sizeof *s.placed);
    *bound = s.bound = lower_bound(iv, n, scratch, &s.peak);
    s.large = largest_first(iv, s.order, n, s.bound);
    for (unsigned r = 0; r < sizeof rounds / sizeof *rounds; r++) {
        const uint64_t most = 1 + rounds[r].pairs / ((uint64_t)s.large * s.large + 1);
        for (unsigned o = 0; o < ORDERS; o++) {
            begin(&s, o);
            try_orders(&s, most < rounds[r].tries ? (unsigned)most : rounds[r].tries);
        }
    }
    return place(iv, s.best_order, n, s.placed);
}
