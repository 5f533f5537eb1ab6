/* Names to numbers: open addressing, grown by doubling. */
#include <string.h>

#include "compiler/front/names.h"
#include "runtime/base/arena.h"

static uint32_t hash(const char *s)
{
    uint32_t h = 2166136261U;
    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * 16777619U;
    return h;
}

static struct name_slot *find(const struct names *t, const char *key)
{
    uint32_t at = hash(key) & (t->cap - 1);
    while (t->slot[at].key && strcmp(t->slot[at].key, key) != 0)
        at = (at + 1) & (t->cap - 1);
    return &t->slot[at];
}

static void grow(struct arena *a, struct names *t)
{
    const struct names old = *t;
    t->cap = old.cap ? 2 * old.cap : 32;
    t->slot = arena_array(a, t->cap, sizeof *t->slot);
    for (uint32_t i = 0; i < old.cap; i++)
        if (old.slot[i].key)
            *find(t, old.slot[i].key) = old.slot[i];
}

void names_put(struct arena *a, struct names *t, const char *key, uint32_t value)
{
    if (2 * t->n >= t->cap)
        grow(a, t);
    struct name_slot *s = find(t, key);
    if (s->key)
        return; /* the first keeps its place */
    *s = (struct name_slot){key, value};
    t->n++;
}

uint32_t names_get(const struct names *t, const char *key)
{
    const struct name_slot *s = t->cap ? find(t, key) : NULL;
    return s && s->key ? s->value : NO_NAME;
}
