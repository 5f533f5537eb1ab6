/*
 * malloc behind a counter.  The counter is what tests use twice: to make call n fail, and
 * to show that a stretch of code allocates nothing.
 */
#include "runtime/base/alloc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    PAGE = 64 << 10, /* at least: 64 KiB on some systems */
    LAZY = 16 * PAGE,
    HUGE_PAGE = 2 << 20,
    HUGE = 8 * HUGE_PAGE
};

static _Atomic uint64_t ncall;
static _Atomic uint64_t fail_from; /* number of the first call that fails; 0: none */
static pthread_once_t env_once = PTHREAD_ONCE_INIT;

static void read_env(void)
{
    const char *s = getenv("HYP_FAIL_ALLOC");
    if (s)
        atomic_store(&fail_from, strtoull(s, NULL, 10));
}

/* Count this call; false when it is to fail. */
static bool allowed(void)
{
    pthread_once(&env_once, read_env);
    const uint64_t n = atomic_fetch_add_explicit(&ncall, 1, memory_order_relaxed) + 1;
    const uint64_t from = atomic_load_explicit(&fail_from, memory_order_relaxed);
    return from == 0 || n < from;
}

void *hyp_malloc(size_t nbytes)
{
    return allowed() ? malloc(nbytes ? nbytes : 1) : NULL;
}

void *hyp_calloc(size_t n, size_t size)
{
    if (!allowed() || (size != 0 && n > SIZE_MAX / size))
        return NULL;
    return calloc(n ? n : 1, size ? size : 1);
}

void *hyp_realloc(void *p, size_t nbytes)
{
    return allowed() ? realloc(p, nbytes ? nbytes : 1) : NULL;
}

/*
 * What is walked in strides of kilobytes wants pages of megabytes: fewer faults when it is
 * first touched, and no address that has to be looked up.  Only whole ones, so that no more
 * memory is used; a system that has none gives small ones.
 */
static void want_huge_pages(void *p, size_t nbytes)
{
#ifdef MADV_HUGEPAGE
    (void)madvise(p, nbytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#else
    (void)p;
    (void)nbytes;
#endif
}

void *hyp_aligned(size_t align, size_t nbytes)
{
    void *p = NULL;
    const bool huge = nbytes >= HUGE;
    if (align < sizeof(void *))
        align = sizeof(void *);
    if (!allowed() ||
        posix_memalign(&p, huge ? HUGE_PAGE : align, nbytes ? nbytes : 1) != 0)
        return NULL;
    if (huge)
        want_huge_pages(p, nbytes);
    return p;
}

/*
 * The pages of a large block are given back and come anew, all 0, when they are first
 * touched: by the threads that need them, side by side, and never if nobody does.  What is
 * left at both ends is set.
 */
static bool forget(char *p, size_t nbytes)
{
#ifdef __linux__
    const size_t head = (PAGE - (uintptr_t)p % PAGE) % PAGE;
    const size_t whole = (nbytes - head) / PAGE * PAGE;
    if (madvise(p + head, whole, MADV_DONTNEED) != 0)
        return false;
    memset(p, 0, head);
    memset(p + head + whole, 0, nbytes - head - whole);
    return true;
#else
    (void)p;
    (void)nbytes;
    return false;
#endif
}

void *hyp_zeroed(size_t align, size_t nbytes)
{
    char *p = hyp_aligned(align, nbytes);
    if (p && (nbytes < LAZY || !forget(p, nbytes)))
        memset(p, 0, nbytes);
    return p;
}

void hyp_free(void *p)
{
    free(p);
}

char *hyp_strdup(const char *s)
{
    const size_t n = strlen(s) + 1;
    char *p = hyp_malloc(n);
    if (p)
        memcpy(p, s, n);
    return p;
}

void hyp_alloc_fail_at(uint64_t n)
{
    pthread_once(&env_once, read_env); /* or a later first call would undo this one */
    atomic_store(&fail_from, n == 0 ? 0 : atomic_load(&ncall) + n);
}

uint64_t hyp_alloc_count(void)
{
    return atomic_load(&ncall);
}
