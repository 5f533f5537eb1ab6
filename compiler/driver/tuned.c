/*
 * A list in memory, lines of text on disk: NEST THREADS BATCH VARIANT BEFORE AFTER.  A line
 * that does not read is left out.
 */
#include "compiler/driver/tuned.h"

#include <stdio.h>
#include <string.h>

#ifdef HYP_WITH_LLVM
#include "codegen/llvm/llvm.h"
#endif
#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/cache.h"
#include "runtime/base/hash.h"
#include "runtime/base/sha256.h"

enum { LINE = 256, MOST = 20000, LIMIT = 64 << 20 };

struct tuned {
    struct arena *arena;
    struct tuned_kernel *kernel; /* an empty variant: dropped */
    uint32_t n, cap, live;
    struct hash_index by_nest;
    struct tuned_kernel all; /* likewise: there is no such */
};

struct tuned *tuned_new(struct arena *a)
{
    struct tuned *t = arena_alloc(a, sizeof *t);
    t->arena = a;
    return t;
}

void tuned_all(struct tuned *t, const char *variant)
{
    snprintf(t->all.variant, sizeof t->all.variant, "%s", variant);
}

uint32_t tuned_count(const struct tuned *t)
{
    return t->live;
}

static struct tuned_kernel *find(const struct tuned *t, const uint8_t nest[32],
                                 uint32_t threads, int64_t batch)
{
    const uint32_t hash = hash_bytes(nest, 32);
    for (uint32_t at = hash, i; hash_next(&t->by_nest, hash, &at, &i);) {
        struct tuned_kernel *k = &t->kernel[i];
        if (memcmp(k->nest, nest, 32) == 0 && k->threads == threads && k->batch == batch)
            return k;
    }
    return NULL;
}

const struct tuned_kernel *tuned_find(const struct tuned *t, const uint8_t nest[32],
                                      uint32_t threads, int64_t batch)
{
    if (t->all.variant[0])
        return &t->all;
    const struct tuned_kernel *k = find(t, nest, threads, batch);
    return k && k->variant[0] ? k : NULL;
}

void tuned_drop(struct tuned *t, const struct tuned_kernel *k)
{
    struct tuned_kernel *old = find(t, k->nest, k->threads, k->batch);
    if (!old || !old->variant[0])
        return;
    old->variant[0] = 0;
    t->live--;
}

void tuned_add(struct tuned *t, const struct tuned_kernel *k)
{
    struct tuned_kernel *old = find(t, k->nest, k->threads, k->batch);
    tuned_drop(t, k);
    t->live++;
    if (old) {
        *old = *k;
        return;
    }
    t->kernel = arena_grow(t->arena, t->kernel, &t->cap, t->n + 1, sizeof *t->kernel);
    t->kernel[t->n] = *k;
    hash_add(&t->by_nest, t->arena, hash_bytes(k->nest, 32), t->n++);
}

/* ---- on disk ---- */

/* What was measured holds for this processor and for code made by this build. */
static bool machine_key(const struct target *target, uint8_t key[32])
{
#ifdef HYP_WITH_LLVM
    static const uint8_t none[32];
    llvm_object_key(none, target, key);
    return true;
#else
    (void)target, (void)key;
    return false;
#endif
}

static bool parse_key(const char *hex, uint8_t key[32])
{
    char back[65];
    for (unsigned i = 0; i < 32; i++) {
        unsigned byte;
        if (sscanf(hex + 2 * (size_t)i, "%2x", &byte) != 1)
            return false;
        key[i] = (uint8_t)byte;
    }
    sha256_hex(key, back);
    return strcmp(hex, back) == 0;
}

static void add_line(struct tuned *t, const char *line)
{
    struct tuned_kernel k;
    char hex[65];
    long long batch;
    if (sscanf(line, "%64s %u %lld %23s %lf %lf", hex, &k.threads, &batch, k.variant,
               &k.before, &k.after) != 6 ||
        !parse_key(hex, k.nest))
        return;
    k.batch = batch;
    tuned_add(t, &k);
}

static void parse(struct tuned *t, const char *text, size_t n)
{
    char line[LINE];
    for (const char *end = text + n; text < end;) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        const size_t len = (size_t)((stop ? stop : end) - text);
        if (len < sizeof line) {
            memcpy(line, text, len);
            line[len] = 0;
            add_line(t, line);
        }
        text += len + 1;
    }
}

struct tuned *tuned_read(const char *dir, const struct target *target, struct arena *a)
{
    struct tuned *t = tuned_new(a);
    const char *why;
    uint8_t key[32], *text;
    size_t n;
    struct cache *c = dir && machine_key(target, key) ? cache_open(dir, LIMIT, &why) : NULL;
    if (c && cache_get(c, key, &text, &n)) {
        parse(t, (const char *)text, n);
        hyp_free(text);
    }
    cache_close(c);
    return t;
}

bool tuned_write(const char *dir, const struct target *target, const struct tuned *t)
{
    const char *why;
    uint8_t key[32], *back;
    char hex[65];
    size_t n = 0, size = (size_t)t->n * LINE + 1;
    struct cache *c = machine_key(target, key) ? cache_open(dir, LIMIT, &why) : NULL;
    char *text = c ? hyp_malloc(size) : NULL;
    bool ok = false;
    for (uint32_t i = t->n > MOST ? t->n - MOST : 0; text && i < t->n; i++) {
        const struct tuned_kernel *k = &t->kernel[i];
        sha256_hex(k->nest, hex);
        if (k->variant[0])
            n += (size_t)snprintf(text + n, size - n, "%s %u %lld %s %.9g %.9g\n", hex,
                                  k->threads, (long long)k->batch, k->variant, k->before,
                                  k->after);
    }
    if (text) {
        cache_put(c, key, text, n);
        ok = cache_get(c, key, &back, &size);
        if (ok) {
            ok = size == n && memcmp(back, text, n) == 0;
            hyp_free(back);
        }
    }
    hyp_free(text);
    cache_close(c);
    return ok;
}
