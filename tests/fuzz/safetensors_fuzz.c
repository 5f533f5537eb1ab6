#include "runtime/base/arena.h"
#include "runtime/safetensors.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct safetensors s;
    volatile uint8_t last = 0;
    if (safetensors_parse(a, data, size, "fuzz", &s, NULL) == HYP_OK)
        for (uint32_t i = 0; i < s.ntensor; i++)
            if (s.tensor[i].nbytes)
                last = ((const uint8_t *)s.tensor[i].data)[s.tensor[i].nbytes - 1];
    (void)last;
    arena_free(a);
    return 0;
}
