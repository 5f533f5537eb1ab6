/* Keys of compiled code: nests with equal text share it. */
#include <stdio.h>
#include <string.h>

#include "codegen/loop/text.h"
#include "runtime/base/sha256.h"

static void add_text(struct sha256 *h, const char *s)
{
    sha256_add(h, s, strlen(s) + 1);
}

void nest_key(const struct nest *n, const struct target *t, const char *backend,
              uint8_t key[32])
{
    struct arena *a = arena_new();
    struct nest bare = *n; /* names and places of a kernel do not make other code */
    struct out o = {.a = a, .flat = true};
    struct sha256 h;
    char row[128];
    bare.name = "";
    bare.buf = arena_copy(a, n->buf, n->nbuf * sizeof *n->buf);
    for (uint32_t i = 0; i < n->nbuf; i++)
        bare.buf[i].name = "";
    snprintf(row, sizeof row, "%s %d %d %d", t->name, t->vec, t->mr, t->nr);
    sha256_init(&h);
    out_nest(&o, &bare);
    add_text(&h, o.text);
    add_text(&h, row);
    add_text(&h, backend);
    sha256_end(&h, key);
    arena_free(a);
}
