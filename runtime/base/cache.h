/*
 * A cache on disk: entries by key in one folder, for what can be made again.
 *
 * It never fails: an entry that is missing, damaged or somebody else's is not there, and
 * what cannot be written is not kept.  Entries appear whole (a temporary file, then a
 * rename), so that any number of processes may share a folder.  Calls are thread-safe.
 */
#ifndef HYP_RUNTIME_BASE_CACHE_H
#define HYP_RUNTIME_BASE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache;
struct cache_size {
    uint64_t bytes; /* on disk, in whole blocks */
    uint32_t entries;
};

/*
 * The cache in `dir`, which is made when the first entry is kept.  NULL: it cannot be used,
 * *why (static text) says why: entries are run, so nobody else may be able to put one
 * there.
 */
struct cache *cache_open(const char *dir, uint64_t limit, const char **why);
/* Throws away what was not used for longest if entries were added and there are now more
 * than `limit` bytes.  NULL is fine. */
void cache_close(struct cache *c);

/* Its content (hyp_free), and counts as used. */
bool cache_get(struct cache *c, const uint8_t key[32], uint8_t **data, size_t *nbytes);
void cache_put(struct cache *c, const uint8_t key[32], const void *data, size_t nbytes);

struct cache_size cache_size(const struct cache *c);
bool cache_keeps(struct cache *c);     /* can an entry be written? */
uint32_t cache_clear(struct cache *c); /* how many entries went */

#endif
