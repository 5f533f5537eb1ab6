/*
 * A model file of any bytes: reading, checking, merging with itself, elaborating.  What it
 * prints must read back.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler/front/merge.h"
#include "compiler/front/model_internal.h"
#include "runtime/base/arena.h"
#include "tests/fuzz/target.h"

static void check_round_trip(struct arena *a, struct diag_sink *ds, const struct doc *d)
{
    const char *text = doc_print(d, a);
    const size_t n = strlen(text);
    const struct diag_mark mark = diag_mark(ds);
    const struct doc *again = doc_read(a, ds, diag_file(ds, "printed", text, n), text, n);
    diag_rewind(ds, mark);
    if (!doc_equal(d, again))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model m = {.arena = arena_new()};
    m.diags = diag_sink_new(m.arena, 100);
    const uint32_t file = diag_file(m.diags, "fuzz", (const char *)data, size);
    struct doc *d = doc_read(m.arena, m.diags, file, (const char *)data, size);
    if (d && !diag_errors(m.diags))
        check_round_trip(m.arena, m.diags, d);
    if (d)
        schema_check(m.arena, m.diags, d);
    if (d && d->kind == DOC_MAP) {
        m.merged = merge_normal(m.arena, m.diags, d);
        m.merged = merge_over(&m, m.merged, m.merged);
        functions_add(&m, m.merged, FROM_MODEL);
        if (model_elaborate(&m))
            check_round_trip(m.arena, m.diags, m.elaborated);
    }
    arena_free(m.arena);
    return 0;
}
