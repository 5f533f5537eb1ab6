/* Open addressing, at most half full. */
#include "runtime/base/hash.h"

#include <string.h>

#include "runtime/base/arena.h"

bool hash_next(const struct hash_index *x, uint32_t hash, uint32_t *at, uint32_t *id)
{
    for (; x->cap; ++*at) {
        const struct hash_slot *s = &x->slot[*at & (x->cap - 1)];
        if (!s->id)
            return false;
        if (s->hash == hash) {
            *id = s->id - 1;
            ++*at;
            return true;
        }
    }
    return false;
}

static void place(struct hash_index *x, struct hash_slot s)
{
    uint32_t at = s.hash;
    while (x->slot[at & (x->cap - 1)].id)
        at++;
    x->slot[at & (x->cap - 1)] = s;
}

void hash_add(struct hash_index *x, struct arena *a, uint32_t hash, uint32_t id)
{
    if (2 * ++x->n > x->cap) {
        const struct hash_index old = *x;
        x->cap = old.cap ? 2 * old.cap : 32;
        x->slot = arena_array(a, x->cap, sizeof *x->slot);
        for (uint32_t i = 0; i < old.cap; i++)
            if (old.slot[i].id)
                place(x, old.slot[i]);
    }
    place(x, (struct hash_slot){hash, id + 1});
}

uint32_t hash_bytes(const void *p, size_t nbytes)
{
    const uint8_t *b = p;
    uint32_t h = 2166136261U;
    for (size_t i = 0; i < nbytes; i++)
        h = (h ^ b[i]) * 16777619U;
    return h;
}

uint32_t hash_text(const char *s)
{
    return hash_bytes(s, strlen(s));
}
