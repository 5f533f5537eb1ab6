/* A hash table with open addressing; its cells are dense, so that divergences walk them. */
#include "runtime/pattern.h"

#include <math.h>

#include "runtime/base/alloc.h"

bool pattern_init(struct pattern_table *t, uint32_t most)
{
    uint32_t size = 1024;
    while (size < 2 * most)
        size *= 2;
    t->cell = hyp_malloc((most + (size_t)1) * sizeof *t->cell);
    t->slot = hyp_malloc((most + (size_t)1) * sizeof *t->slot);
    t->at = hyp_calloc(size, sizeof *t->at);
    t->mask = size - 1;
    t->n = 0;
    return t->cell && t->slot && t->at;
}

void pattern_fini(struct pattern_table *t)
{
    hyp_free(t->cell);
    hyp_free(t->slot);
    hyp_free(t->at);
    *t = (struct pattern_table){0};
}

void pattern_count(struct pattern_table *t, const uint64_t *key, uint32_t n, unsigned side)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t h = (uint32_t)(key[i] >> 32) & t->mask;
        while (t->at[h] && t->cell[t->at[h] - 1].key != key[i])
            h = (h + 1) & t->mask;
        if (!t->at[h]) {
            t->cell[t->n] = (struct pattern_cell){key[i], {0, 0}};
            t->slot[t->n] = h;
            t->at[h] = ++t->n;
        }
        t->cell[t->at[h] - 1].count[side]++;
    }
}

/* Cells leave in any order: what came before them never lies behind them in a chain. */
void pattern_forget(struct pattern_table *t, uint32_t n)
{
    for (uint32_t i = n; i < t->n; i++)
        t->at[t->slot[i]] = 0;
    for (uint32_t i = 0; i < n; i++)
        t->cell[i].count[1] = 0;
    t->n = n;
}

struct divergence pattern_compare(const struct pattern_table *t, double na, double nb)
{
    if (t->n == 0)
        return (struct divergence){NAN, NAN, NAN};
    return divergence_of(&t->cell[0].count[0], &t->cell[0].count[1],
                         sizeof *t->cell / sizeof(uint32_t), t->n, na, nb);
}

void pattern_digest(const int16_t *column, uint32_t units, size_t stride, uint32_t n,
                    uint64_t *key)
{
    for (uint32_t i = 0; i < n; i++)
        key[i] = 0x9E3779B97F4A7C15U;
    for (uint32_t k = 0; k < units; k++, column += stride)
        for (uint32_t i = 0; i < n; i++) {
            key[i] = (key[i] ^ (uint16_t)column[i]) * 0xFF51AFD7ED558CCDU;
            key[i] ^= key[i] >> 32;
        }
    for (uint32_t i = 0; i < n; i++)
        key[i] |= 1;
}
