/* A batch as it lies in a folder: plain, or packed with gzip or xz. */
#include "runtime/base/alloc.h"
#include "runtime/base/unpack.h"
#include "runtime/data_impl.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const enum unpack_form form = unpack_form(data, size);
    uint8_t *bytes = NULL;
    size_t n = 0;
    uint32_t count = 0;
    if (form == UNPACK_NONE)
        cifar_parse(data, size, "fuzz", &count, NULL);
    else if (unpack(form, data, size, 1 << 20, "fuzz", &bytes, &n, NULL) == HYP_OK)
        cifar_parse(bytes, n, "fuzz", &count, NULL);
    hyp_free(bytes);
    return 0;
}
