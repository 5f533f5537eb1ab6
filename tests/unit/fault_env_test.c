/* HYP_FAIL_ALLOC and HYP_FAIL_IO are read before the first call is counted. */
#include <stdlib.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "tests/unit/cmocka_all.h"

static void environment_sets_the_failing_call(void **state)
{
    (void)state;
    uint8_t *data;
    size_t n;
    assert_int_equal(setenv("HYP_FAIL_ALLOC", "3", 1), 0);
    assert_int_equal(setenv("HYP_FAIL_IO", "2", 1), 0);
    void *p = hyp_malloc(1), *q = hyp_malloc(1);
    assert_non_null(p);
    assert_non_null(q);
    assert_null(hyp_malloc(1));
    hyp_alloc_fail_at(0);
    assert_non_null(q = hyp_realloc(q, 2));
    hyp_free(p);
    hyp_free(q);
    assert_int_equal(file_read("/dev/null", 1, &data, &n, NULL),
                     HYP_EIO); /* open, then stat */
    hyp_io_fail_at(0);
    assert_int_equal(file_read("/dev/null", 1, &data, &n, NULL), HYP_OK);
    hyp_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(environment_sets_the_failing_call)};
    return cmocka_run_group_tests_name("fault_env", tests, NULL, NULL);
}
