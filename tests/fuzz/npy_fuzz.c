#include "runtime/npy.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct npy_array a;
    volatile double sum = 0;
    if (npy_parse(data, size, "fuzz", &a, NULL) == HYP_OK && a.count)
        sum = npy_number(&a, 0) + npy_number(&a, a.count - 1);
    (void)sum;
    return 0;
}
