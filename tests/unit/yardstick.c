#include "tests/unit/yardstick.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "compiler/front/doc.h"
#include "runtime/base/arena.h"
#include "tests/unit/cmocka_all.h"

double seconds_now(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

static double measured(void)
{
    enum { LINE = 5, LINES = (4 << 20) / LINE, SIZE = LINES * LINE };
    char *text = malloc(SIZE);
    assert_non_null(text);
    for (int i = 0; i < LINES; i++)
        memcpy(text + i * LINE, "- ab\n", LINE);
    struct arena *a = arena_new();
    struct diag_sink *ds = diag_sink_new(a, 10);
    const uint32_t file = diag_file(ds, "honest", text, SIZE);
    const double start = seconds_now();
    const struct doc *d = doc_read(a, ds, file, text, SIZE);
    const double seconds = seconds_now() - start;
    assert_true(d && d->n == LINES);
    arena_free(a);
    free(text);
    return seconds;
}

double seconds_to_read(void)
{
    static double seconds;
    if (seconds == 0)
        seconds = measured();
    return seconds;
}
