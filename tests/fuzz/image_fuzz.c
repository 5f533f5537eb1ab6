/* PNG and JPEG, and what a folder does with the pixels. */
#include "runtime/image.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct image im, small = {0};
    if (image_probe(data, size, "fuzz", &im, NULL) ||
        (uint64_t)im.width * im.height > 1 << 16) /* slow, not wrong */
        return 0;
    if (image_decode(data, size, "fuzz", &im, NULL) == HYP_OK)
        image_resize(&im, 3, 5, &small, NULL);
    image_fini(&small);
    image_fini(&im);
    return 0;
}
