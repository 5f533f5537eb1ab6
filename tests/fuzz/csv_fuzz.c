#include "runtime/data_impl.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csv_table t;
    csv_parse(data, size, "fuzz", true, &t, NULL);
    csv_fini(&t);
    csv_parse(data, size, "fuzz", false, &t, NULL);
    csv_fini(&t);
    return 0;
}
