/*
 * Arenas: memory that is freed all at once.  Compile-time data lives here.
 *
 * Nothing in an arena has a destructor.  Out of memory calls the process's hook, which must
 * not return (the command prints one line and exits 1).  Not thread-safe: one arena, one
 * thread.
 */
#ifndef HYP_RUNTIME_BASE_ARENA_H
#define HYP_RUNTIME_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a); /* NULL is fine */
void arena_reset(struct arena *a);

void *arena_alloc(struct arena *a, size_t nbytes); /* zeroed, aligned to 16 */
void *arena_array(struct arena *a, size_t n,
                  size_t size); /* zeroed; overflow is out of memory */
void *arena_copy(struct arena *a, const void *p, size_t nbytes);
char *arena_str(struct arena *a, const char *s); /* NUL-terminated copy */
char *arena_strn(struct arena *a, const char *s, size_t n);
char *arena_fmt(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
char *arena_vfmt(struct arena *a, const char *fmt, va_list ap);
size_t arena_bytes(const struct arena *a); /* handed out so far */

/*
 * Make room for `need` elements in the growing array at p (capacity *cap); returns the
 * array, perhaps moved.  New elements are zeroed.  x = arena_grow(a, x, &cap, n + 1, sizeof
 * *x);
 */
void *arena_grow(struct arena *a, void *p, uint32_t *cap, uint32_t need, size_t size);

/* Called when memory is out; must not return.  NULL restores the default, which aborts. */
void arena_on_oom(void (*hook)(void));

#endif
