#include "compiler/passes/memplan.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/arena.h"

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

static int by_offset(const void *x, const void *y)
{
    const struct interval *const *a = x, *const *b = y;
    if ((*a)->offset != (*b)->offset)
        return (*a)->offset < (*b)->offset ? -1 : 1;
    return *a < *b ? -1 : 1;
}

static uint64_t aligned(uint64_t n)
{
    return (n + MEMPLAN_ALIGN - 1) / MEMPLAN_ALIGN * MEMPLAN_ALIGN;
}

/* The tightest gap between the neighbours (ascending by offset) that holds `bytes`. */
static uint64_t tightest(struct interval *const *near, uint32_t n, uint64_t bytes)
{
    uint64_t end = 0, best = 0, slack = UINT64_MAX;
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t gap = near[i]->offset > end ? near[i]->offset - end : 0;
        if (gap >= bytes && gap - bytes < slack) {
            slack = gap - bytes;
            best = end;
        }
        const uint64_t stop = near[i]->offset + aligned(near[i]->bytes);
        end = stop > end ? stop : end;
    }
    return slack == UINT64_MAX ? end : best;
}

static uint64_t place(struct interval *iv, const struct ranked *order, uint32_t n,
                      struct interval **near)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct interval *x = &iv[order[i].id];
        uint32_t m = 0;
        for (uint32_t j = 0; j < i; j++) {
            struct interval *y = &iv[order[j].id];
            if (y->first <= x->last && x->first <= y->last)
                near[m++] = y;
        }
        qsort(near, m, sizeof *near, by_offset);
        x->offset = tightest(near, m, aligned(x->bytes));
        if (x->offset + aligned(x->bytes) > total)
            total = x->offset + aligned(x->bytes);
    }
    return total;
}

static double key_of(const struct interval *x, unsigned order)
{
    const double life = 1.0 + (double)x->last - (double)x->first, size = (double)x->bytes;
    return order == 0 ? size : order == 1 ? size * life : life;
}

uint64_t memplan_bound(const struct interval *iv, uint32_t n, uint32_t *when)
{
    uint64_t best = 0;
    *when = 0;
    for (uint32_t i = 0; i < n; i++) { /* the peak is reached where some interval begins */
        uint64_t sum = 0;
        for (uint32_t j = 0; j < n; j++)
            if (iv[j].first <= iv[i].first && iv[i].first <= iv[j].last)
                sum += aligned(iv[j].bytes);
        if (sum > best) {
            best = sum;
            *when = iv[i].first;
        }
    }
    return best;
}

uint64_t memplan(struct interval *iv, uint32_t n, struct arena *scratch, uint64_t *bound)
{
    struct ranked *order = arena_array(scratch, n + 1U, sizeof *order);
    struct interval **near = arena_array(scratch, n + 1U, sizeof *near);
    uint64_t *keep = arena_array(scratch, n + 1U, sizeof *keep);
    uint64_t best = UINT64_MAX;
    uint32_t when;

    for (unsigned o = 0; o < 3; o++) {
        for (uint32_t i = 0; i < n; i++)
            order[i] = (struct ranked){key_of(&iv[i], o), i};
        qsort(order, n, sizeof *order, by_key);
        const uint64_t total = place(iv, order, n, near);
        if (total >= best)
            continue;
        best = total;
        for (uint32_t i = 0; i < n; i++)
            keep[i] = iv[i].offset;
    }
    for (uint32_t i = 0; i < n; i++)
        iv[i].offset = keep[i];
    *bound = memplan_bound(iv, n, &when);
    return n ? best : 0;
}
