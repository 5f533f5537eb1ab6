/* cmocka wants these before it. */
#ifndef HYP_TESTS_UNIT_CMOCKA_ALL_H
#define HYP_TESTS_UNIT_CMOCKA_ALL_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#endif
