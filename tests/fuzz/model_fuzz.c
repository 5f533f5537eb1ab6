/*
 * A model file of any bytes, all the way to a plan: names, types, instances, gradients,
 * updates, fusion, memory.  Code is not made: an interpreter's nests are.
 */
#include <stdlib.h>
#include <unistd.h>

#include "compiler/driver/compile.h"
#include "runtime/base/diag.h"
#include "tests/fuzz/target.h"

static char path[] = "/tmp/hypno-model-fuzz-XXXXXX";
static int file = -1;

static void remove_file(void)
{
    unlink(path);
}

static void put(const uint8_t *data, size_t size)
{
    if (file < 0) {
        file = mkstemp(path);
        atexit(remove_file);
    }
    if (file < 0 || ftruncate(file, 0) || pwrite(file, data, size, 0) != (ssize_t)size)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct compile_options o = {
        .backend = "interp", .threads = 1, .memory_limit = 64U << 20};
    bool ok;

    put(data, size);
    struct compiled *c = compile_model(path, &o, UNTIL_PLAN, &ok);
    if (!ok && !diag_errors(c->diags))
        abort(); /* refused without a word */
    compiled_free(c);
    return 0;
}
