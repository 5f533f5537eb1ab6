#include "compiler/passes/memplan.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/arena.h"

enum {
    ORDERS = 4,
    TRIES = 24,   /* of each order */
    LEVELS = 400, /* plans from below */
    MENDS = 6,    /* of the best plan */
    NEAR = 64,    /* what is above the bound by less than this part of it is not improved */
    POWERS = 9,   /* of the life, by quarters */
    SMALL = 1024, /* what is less than this part of the bound decides nothing */
    PAIRS = 5000000 /* of intervals that are looked at, at most: fewer tries of many */
};

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

static uint64_t end_of(const struct interval *x)
{
    return x->offset + aligned(x->bytes);
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
    placed[lo] = (struct placed){x->offset, end_of(x), x->first, x->last};
}

/* Those of the order from `begin` to before `end`, the earlier ones being placed. */
static uint64_t place(struct interval *iv, const struct ranked *order, uint32_t begin,
                      uint32_t end, struct placed *placed)
{
    uint64_t total = 0;
    for (uint32_t i = begin; i < end; i++) {
        struct interval *x = &iv[order[i].id];
        x->offset = tightest(placed, i, x);
        insert(placed, i, x);
        if (end_of(x) > total)
            total = end_of(x);
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

static uint32_t last_launch(const struct interval *iv, uint32_t n)
{
    uint32_t end = 0;
    for (uint32_t i = 0; i < n; i++)
        end = iv[i].last > end ? iv[i].last : end;
    return end;
}

/* The largest sum of sizes alive at one launch; it is one at which some interval begins. */
static uint64_t lower_bound(const struct interval *iv, uint32_t n, struct arena *scratch,
                            uint32_t *peak)
{
    const uint32_t end = last_launch(iv, n);
    uint64_t best = 0;
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
            if ((end_of(x) < total) == (rest == 1))
                scratch[m++] = order[i];
        }
    memcpy(order, scratch, n * sizeof *order);
}

/* One of n; the same ones every time. */
static uint32_t draw(uint64_t *state, uint32_t n)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)((*state >> 33) % n);
}

static void swap_two(struct ranked *order, uint32_t n, uint64_t *state)
{
    struct ranked *x = &order[draw(state, n)], *y = &order[draw(state, n)], kept = *x;
    *x = *y;
    *y = kept;
}

/* An order of the intervals, those that decide first, and the best plan so far: of all
 * totals, with the small ones placed last. */
struct search {
    struct interval *iv;
    struct ranked *order, *scratch;
    uint32_t n, large; /* large: of those that decide */
    struct placed *placed;
    uint64_t *best_offset;
    uint64_t best_large, best, bound, state;
    uint32_t peak;
    uint64_t *height; /* of what is placed at each launch, up to the last */
    uint32_t launches, *head, *next;
};

static void sort(struct search *s)
{
    qsort(s->order, s->large, sizeof *s->order, by_key);
}

static void keep_plan(struct search *s, uint64_t total)
{
    if (total >= s->best)
        return;
    s->best = total;
    for (uint32_t i = 0; i < s->n; i++)
        s->best_offset[i] = s->iv[i].offset;
}

/* The large ones are placed: so are the others, and what is best is kept. */
static void keep_if_better(struct search *s, uint64_t large)
{
    if (large >= s->best_large)
        return;
    s->best_large = large;
    const uint64_t rest = place(s->iv, s->order, s->large, s->n, s->placed);
    keep_plan(s, rest > large ? rest : large);
}

static void try_order(struct search *s, unsigned key, uint64_t tries)
{
    for (uint32_t i = 0; i < s->large; i++)
        s->order[i].key = key_of(&s->iv[s->order[i].id], key, s->peak);
    sort(s);
    for (uint64_t t = 0; t < tries && s->best > s->bound; t++) {
        const uint64_t total = place(s->iv, s->order, 0, s->large, s->placed);
        if (total >= s->best_large)
            swap_two(s->order, s->large, &s->state);
        keep_if_better(s, total);
        raise_tops(s->iv, s->order, s->large, total, s->scratch);
    }
}

/* ---- from below ---- */

/* Launches side by side at which equally much is placed, and least of all. */
struct level {
    uint32_t first, last;
};

static struct level lowest(const uint64_t *height, uint32_t launches)
{
    struct level x = {0, 0};
    for (uint32_t t = 1; t < launches; t++)
        if (height[t] < height[x.first])
            x.first = t;
    x.last = x.first;
    while (x.last + 1 < launches && height[x.last + 1] == height[x.first])
        x.last++;
    return x;
}

static void set_height(struct search *s, struct level x, uint64_t height)
{
    for (uint32_t t = x.first; t <= x.last; t++)
        s->height[t] = height;
}

/* Nothing fits there: it rises to the lower one of its neighbours. */
static void raise_level(struct search *s, struct level x)
{
    uint64_t to = UINT64_MAX;
    if (x.first > 0)
        to = s->height[x.first - 1];
    if (x.last + 1 < s->launches && s->height[x.last + 1] < to)
        to = s->height[x.last + 1];
    set_height(s, x, to);
}

/* What is not placed, by the launch at which it begins: numbers in the order, ascending. */
static void list_all(struct search *s)
{
    for (uint32_t t = 0; t < s->launches; t++)
        s->head[t] = s->large;
    for (uint32_t i = s->large; i-- > 0;) {
        uint32_t *head = &s->head[s->iv[s->order[i].id].first];
        s->next[i] = *head;
        *head = i;
    }
}

/* The first of the order that lives within the level, taken from the lists; large: none. */
static uint32_t take_within(struct search *s, struct level x)
{
    uint32_t best = s->large, *from = &best;
    for (uint32_t t = x.first; t <= x.last; t++) {
        uint32_t *i = &s->head[t];
        while (*i < best && s->iv[s->order[*i].id].last > x.last)
            i = &s->next[*i];
        if (*i < best) {
            best = *i;
            from = i;
        }
    }
    if (best < s->large)
        *from = s->next[best];
    return best;
}

/* Always at the lowest level, the first of the order that fits; given up where that is no
 * better than the best. */
static uint64_t place_from_below(struct search *s)
{
    uint64_t total = 0;
    memset(s->height, 0, s->launches * sizeof *s->height);
    list_all(s);
    for (uint32_t i = 0; i < s->large && total < s->best_large;) {
        const struct level at = lowest(s->height, s->launches);
        const uint32_t found = take_within(s, at);
        if (found == s->large) {
            raise_level(s, at);
            continue;
        }
        struct interval *x = &s->iv[s->order[found].id];
        x->offset = s->height[at.first];
        insert(s->placed, i++, x);
        set_height(s, (struct level){x->first, x->last}, end_of(x));
        total = end_of(x) > total ? end_of(x) : total;
    }
    return total;
}

/* Sizes times powers of the lives, and then up to twice as much. */
static void try_from_below(struct search *s, unsigned try)
{
    for (uint32_t i = 0; i < s->large; i++) {
        const struct interval *x = &s->iv[s->order[i].id];
        const double life = 1.0 + (double)x->last - (double)x->first;
        double key = (double)x->bytes;
        for (unsigned k = 0; k < try % POWERS; k++)
            key *= sqrt(sqrt(life));
        if (try >= POWERS)
            key *= 1.0 + draw(&s->state, 1024) / 1024.0;
        s->order[i].key = key;
    }
    sort(s);
    keep_if_better(s, place_from_below(s));
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

static void begin(struct search *s, struct arena *scratch)
{
    s->order = arena_array(scratch, s->n + 1U, sizeof *s->order);
    s->best_offset = arena_array(scratch, s->n + 1U, sizeof *s->best_offset);
    s->scratch = arena_array(scratch, s->n + 1U, sizeof *s->scratch);
    s->placed = arena_array(scratch, s->n + 1U, sizeof *s->placed);
    s->launches = last_launch(s->iv, s->n) + 1U;
    s->height = arena_array(scratch, s->launches, sizeof *s->height);
    s->head = arena_array(scratch, s->launches, sizeof *s->head);
    s->next = arena_array(scratch, s->n + 1U, sizeof *s->next);
    s->bound = lower_bound(s->iv, s->n, scratch, &s->peak);
    s->large = largest_first(s->iv, s->order, s->n, s->bound);
}

static bool is_near(const struct search *s)
{
    return s->best - s->bound <= s->bound / NEAR;
}

/* The best plan once more from its top to its bottom, the small ones among the others. */
static void mend(struct search *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        s->order[i] = (struct ranked){-(double)s->best_offset[i], i};
    qsort(s->order, s->n, sizeof *s->order, by_key);
    for (unsigned t = 0; t < MENDS && !is_near(s); t++) {
        const uint64_t total = place(s->iv, s->order, 0, s->n, s->placed);
        keep_plan(s, total);
        raise_tops(s->iv, s->order, s->n, total, s->scratch);
    }
}

static uint64_t tries_of(const struct search *s, uint64_t most, uint64_t pairs)
{
    const uint64_t tries = 1 + pairs / ((uint64_t)s->large * s->large + 1);
    return tries < most ? tries : most;
}

uint64_t memplan(struct interval *iv, uint32_t n, struct arena *scratch, uint64_t *bound)
{
    struct search s = {
        .iv = iv, .n = n, .best = UINT64_MAX, .best_large = UINT64_MAX, .state = 1};
    begin(&s, scratch);
    *bound = s.bound;
    for (unsigned o = 0; o < ORDERS; o++)
        try_order(&s, o, tries_of(&s, TRIES, PAIRS));
    for (unsigned t = 0; t < tries_of(&s, LEVELS, 2 * PAIRS) && !is_near(&s); t++)
        try_from_below(&s, t);
    mend(&s);
    for (uint32_t i = 0; i < n; i++)
        iv[i].offset = s.best_offset[i];
    return s.best;
}
