/* MATLAB files, down to images and labels. */
#include "runtime/data_impl.h"
#include "runtime/mat.h"
#include "tests/fuzz/target.h"

enum { LIMIT = 1 << 20 };

static void as_images(const uint8_t *data, size_t size)
{
    struct hyp_source_desc d;
    const struct data_where w = {&d, NULL, 0};
    struct data_set s = {0};
    hyp_source_defaults(&d);
    d.kind = "svhn";
    if (svhn_fields(&w, &s.info, NULL) == HYP_OK && data_add_columns(&s, NULL) == HYP_OK)
        svhn_parse(data, size, "fuzz", LIMIT, &s, NULL);
    data_set_fini(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mat_array a;
    volatile double sum = 0;
    if (mat_find(data, size, "fuzz", "y", LIMIT, &a, NULL) == HYP_OK && a.count)
        sum = mat_number(&a, 0) + mat_number(&a, a.count - 1);
    (void)sum;
    mat_fini(&a);
    as_images(data, size);
    return 0;
}
