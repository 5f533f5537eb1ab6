/*
 * The one allocator: malloc with a test hook that makes the n-th call fail.
 *
 * Runtime code checks for NULL and returns HYP_ENOMEM.  Compile-time code allocates from
 * arenas (arena.h), which never return NULL.
 */
#ifndef HYP_RUNTIME_BASE_ALLOC_H
#define HYP_RUNTIME_BASE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

void *hyp_malloc(size_t nbytes);
void *hyp_calloc(size_t n, size_t size); /* zeroed; NULL on overflow too */
void *hyp_realloc(void *p, size_t nbytes);
/* Free with hyp_free.  From 16 MiB on it lies on pages of 2 MiB where the system has them.
 */
void *hyp_aligned(size_t align, size_t nbytes);
void *hyp_zeroed(size_t align, size_t nbytes); /* the same, all 0 */
void hyp_free(void *p);
char *hyp_strdup(const char *s);

/*
 * Tests: let call number n (from 1, counted since this call) and all later ones fail; 0
 * turns it off.  Also set by the environment variable HYP_FAIL_ALLOC=n, read once at start.
 */
void hyp_alloc_fail_at(uint64_t n);
uint64_t hyp_alloc_count(void); /* calls so far, thread-safe; a cycle must not change it */

#endif
