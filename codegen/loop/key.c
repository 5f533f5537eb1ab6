/* Keys: kernels with equal text are one kernel, nests with equal text share code. */
#include <stdio.h>
#include <string.h>

#include "codegen/loop/text.h"
#include "runtime/base/sha256.h"

static void add_text(struct sha256 *h, const char *s)
{
    sha256_add(h, s, strlen(s) + 1);
}

static struct kbuf *nameless(struct arena *a, const struct kbuf *buf, uint32_t n)
{
    struct kbuf *b = arena_copy(a, buf, n * sizeof *b);
    for (uint32_t i = 0; i < n; i++)
        b[i].name = "";
    return b;
}

void kernel_key(const struct kernel *k, uint8_t key[32])
{
    struct arena *a = arena_new();
    struct kernel bare = *k; /* names and places do not make another nest */
    struct out o = {.a = a};
    struct sha256 h;
    bare.name = "";
    bare.buf = nameless(a, k->buf, k->nbuf);
    bare.stage = arena_copy(a, k->stage, k->nstage * sizeof *k->stage);
    for (uint32_t i = 0; i < k->nstage; i++)
        bare.stage[i].name = "";
    out_kernel(&o, &bare);
    sha256_init(&h);
    add_text(&h, o.text);
    sha256_end(&h, key);
    arena_free(a);
}

void nest_key(const struct nest *n, const struct target *t, const char *backend,
              uint8_t key[32])
{
    struct arena *a = arena_new();
    struct nest bare = *n; /* nor other code */
    struct out o = {.a = a, .flat = true};
    struct sha256 h;
    char row[128];
    bare.name = "";
    bare.buf = nameless(a, n->buf, n->nbuf);
    out_nest(&o, &bare);
    snprintf(row, sizeof row, "%s %d %d %d", t->name, t->vec, t->mr, t->nr);
    sha256_init(&h);
    add_text(&h, o.text);
    add_text(&h, row);
    add_text(&h, backend);
    sha256_end(&h, key);
    arena_free(a);
}
