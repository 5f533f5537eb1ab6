/* Any bytes as an expression and as a key; what is printed must parse to the same text. */
#include <stdlib.h>
#include <string.h>

#include "compiler/front/expr.h"
#include "runtime/base/arena.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct diag_sink *ds = diag_sink_new(a, 10);
    struct doc *d =
        doc_scalar(a, (struct loc){1, 1, 1, 0}, arena_strn(a, (const char *)data, size));
    struct expr_key key;
    const struct expr *e = expr_parse(a, ds, d);
    expr_parse_key(a, ds, &d->text, &key);
    if (e) {
        const char *text = expr_print(e, a);
        const struct expr *again =
            expr_parse(a, ds, doc_scalar(a, (struct loc){1, 1, 1, 0}, text));
        if (strlen(text) < EXPR_BYTES &&
            (!again || strcmp(expr_print(again, a), text) != 0))
            abort();
    }
    arena_free(a);
    return 0;
}
