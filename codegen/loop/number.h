/* Numbers of axes in expressions, for who merges axes. */
#ifndef HYP_CODEGEN_LOOP_NUMBER_H
#define HYP_CODEGEN_LOOP_NUMBER_H

#include "codegen/loop/loop.h"

/* Do the expressions of a kernel ask for axes x and y only as x * n + y? */
bool numbers_pair(const struct kernel *k, uint8_t x, uint8_t y, int32_t n);
/* All expressions again, without multiples of the axis. */
void numbers_drop(struct kernel *k, uint8_t gone);

#endif
