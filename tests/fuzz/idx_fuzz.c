/* IDX; the first byte chooses the rank asked for. */
#include "runtime/data_impl.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct idx_array a;
    volatile uint8_t last;
    if (size == 0)
        return 0;
    const uint32_t rank = data[0] % 3U + 1;
    if (idx_parse(data + 1, size - 1, "fuzz", rank, &a, NULL) == HYP_OK)
        last = a.data[a.nbytes - 1];
    (void)last;
    return 0;
}
