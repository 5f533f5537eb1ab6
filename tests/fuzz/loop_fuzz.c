/*
 * Text of the loop IR: no input crashes the parsers and judges; what parses prints back; a
 * kernel that is judged valid is scheduled into a valid nest.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/loop/loop.h"
#include "runtime/base/arena.h"
#include "tests/fuzz/target.h"

static void same(const char *x, const char *y)
{
    if (strcmp(x, y) != 0)
        abort();
}

static void kernel_text(struct arena *a, const char *text)
{
    struct kernel *k = kernel_parse(a, text, diag_sink_new(a, 1), 0);
    if (!k)
        return;
    char *again = kernel_print(k, a);
    struct kernel *k2 = kernel_parse(a, again, diag_sink_new(a, 1), 0);
    if (!k2)
        abort();
    same(again, kernel_print(k2, a));
    if (kernel_validate(k, a))
        return;
    if (nest_validate(nest_schedule(k, target_default(), a), a))
        abort();
}

static void nest_text(struct arena *a, const char *text)
{
    struct nest *n = nest_parse(a, text, diag_sink_new(a, 1), 0);
    if (!n)
        return;
    char *again = nest_print(n, a);
    struct nest *n2 = nest_parse(a, again, diag_sink_new(a, 1), 0);
    if (!n2)
        abort();
    same(again, nest_print(n2, a));
    nest_validate(n, a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 20000)
        return 0;
    struct arena *a = arena_new();
    char *text = arena_strn(a, (const char *)data, size);
    if (strncmp(text, "nest", 4) == 0)
        nest_text(a, text);
    else
        kernel_text(a, text);
    arena_free(a);
    return 0;
}
