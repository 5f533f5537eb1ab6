/* Any bytes as a graph's text; what reads must print to a text that reads back equal. */
#include <stdlib.h>

#include "compiler/ir/graph.h"
#include "runtime/base/arena.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct diag_sink *ds = diag_sink_new(a, 3);
    struct graph g, again;
    graph_init(&g, a);
    graph_init(&again, a);
    if (graph_parse(&g, arena_strn(a, (const char *)data, size), ds, 1) &&
        (!graph_parse(&again, graph_print(&g, a), ds, 1) || !graph_equal(&g, &again)))
        abort();
    arena_free(a);
    return 0;
}
