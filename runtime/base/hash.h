/*
 * Numbers by hash: an index beside a growing table, so that finding an entry takes no
 * longer in a large one.  The caller keeps the entries and compares them:
 *
 *     for (uint32_t at = hash, id; hash_next(&x, hash, &at, &id);)
 *         if (entry[id] is the one) ...
 *     hash_add(&x, arena, hash, nentry);
 */
#ifndef HYP_RUNTIME_BASE_HASH_H
#define HYP_RUNTIME_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

struct hash_index { /* zeroed: empty */
    struct hash_slot {
        uint32_t hash, id; /* id: 1 + number; 0: free */
    } * slot;
    uint32_t n, cap;
};

/* The next number with that hash, from *at (which begins as the hash) on. */
bool hash_next(const struct hash_index *x, uint32_t hash, uint32_t *at, uint32_t *id);
void hash_add(struct hash_index *x, struct arena *a, uint32_t hash, uint32_t id);

uint32_t hash_bytes(const void *p, size_t nbytes); /* FNV-1a */
uint32_t hash_text(const char *s);

#endif
