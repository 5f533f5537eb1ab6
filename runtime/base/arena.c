/*
 * A list of blocks, the newest first; allocation bumps the newest.  Blocks double up to 1
 * MiB, so a large model costs few calls; what does not fit gets a block of its own.
 */
#include "runtime/base/arena.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"

enum { ALIGN = 16, FIRST_BLOCK = 1 << 14, LARGEST_BLOCK = 1 << 20 };

struct block {
    struct block *next;
    size_t used, size; /* of data, which begins HEADER bytes behind the block */
};

struct arena {
    struct block *newest;
    size_t nbytes, next_size;
};

enum { HEADER = (sizeof(struct block) + ALIGN - 1) / ALIGN * ALIGN };

static void abort_oom(void)
{
    abort();
}

static void (*_Atomic oom_hook)(void) = abort_oom;

void arena_on_oom(void (*hook)(void))
{
    atomic_store(&oom_hook, hook ? hook : abort_oom);
}

static void out_of_memory(void)
{
    void (*hook)(void) = atomic_load(&oom_hook);
    hook();
    abort(); /* the hook returned: a broken contract */
}

struct arena *arena_new(void)
{
    struct arena *a = hyp_calloc(1, sizeof *a);
    if (!a)
        out_of_memory();
    a->next_size = FIRST_BLOCK;
    return a;
}

void arena_reset(struct arena *a)
{
    while (a->newest) {
        struct block *next = a->newest->next;
        hyp_free(a->newest);
        a->newest = next;
    }
    a->nbytes = 0;
    a->next_size = FIRST_BLOCK;
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    arena_reset(a);
    hyp_free(a);
}

static struct block *add_block(struct arena *a, size_t nbytes)
{
    size_t size = a->next_size;
    if (size < LARGEST_BLOCK)
        a->next_size *= 2;
    if (size < nbytes)
        size = nbytes;
    if (size > SIZE_MAX - HEADER)
        out_of_memory();
    struct block *b = hyp_malloc(HEADER + size);
    if (!b)
        out_of_memory();
    *b = (struct block){.next = a->newest, .used = 0, .size = size};
    a->newest = b;
    return b;
}

/* Not zeroed; aligned. */
static void *take(struct arena *a, size_t nbytes)
{
    struct block *b = a->newest;
    if (nbytes > SIZE_MAX - 2 * ALIGN)
        out_of_memory();
    const size_t need = (nbytes + ALIGN - 1) / ALIGN * ALIGN;
    if (!b || b->size - b->used < need)
        b = add_block(a, need);
    char *p = (char *)b + HEADER + b->used;
    b->used += need;
    a->nbytes += nbytes;
    return p;
}

void *arena_alloc(struct arena *a, size_t nbytes)
{
    return memset(take(a, nbytes), 0, nbytes);
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
    if (size != 0 && n > SIZE_MAX / size)
        out_of_memory();
    return arena_alloc(a, n * size);
}

void *arena_copy(struct arena *a, const void *p, size_t nbytes)
{
    void *q = take(a, nbytes);
    if (nbytes)
        memcpy(q, p, nbytes);
    return q;
}

char *arena_strn(struct arena *a, const char *s, size_t n)
{
    char *q = take(a, n + 1);
    if (n)
        memcpy(q, s, n);
    q[n] = '\0';
    return q;
}

char *arena_str(struct arena *a, const char *s)
{
    return arena_strn(a, s, strlen(s));
}

char *arena_vfmt(struct arena *a, const char *fmt, va_list ap)
{
    char small[256];
    va_list again;
    va_copy(again, ap);
    const int n = vsnprintf(small, sizeof small, fmt, ap);
    char *q = NULL;
    if (n < 0) { /* an encoding error; nothing sensible to show */
        q = arena_str(a, "");
    } else if ((size_t)n < sizeof small) {
        q = arena_strn(a, small, (size_t)n);
    } else {
        q = take(a, (size_t)n + 1);
        vsnprintf(q, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    return q;
}

char *arena_fmt(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *q = arena_vfmt(a, fmt, ap);
    va_end(ap);
    return q;
}

size_t arena_bytes(const struct arena *a)
{
    return a->nbytes;
}

void *arena_grow(struct arena *a, void *p, uint32_t *cap, uint32_t need, size_t size)
{
    if (need <= *cap)
        return p;
    uint32_t to = *cap > UINT32_MAX / 2 ? UINT32_MAX : *cap * 2;
    if (to < need)
        to = need;
    if (to < 8)
        to = 8;
    void *q = arena_array(a, to, size);
    if (*cap)
        memcpy(q, p, *cap * size);
    *cap = to;
    return q;
}
