/* What a fuzz target defines: libFuzzer's entry; replay.c calls it too. */
#ifndef HYP_TESTS_FUZZ_TARGET_H
#define HYP_TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
