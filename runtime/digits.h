/*
 * Handwritten-looking digits, drawn: 28 x 28 bytes, 0 background, 255 ink.
 *
 * Sample k of a split depends on (split, k) alone, through integers only, so that every
 * machine has the same images.  Samples can be drawn in any order and by several threads.
 */
#ifndef HYP_RUNTIME_DIGITS_H
#define HYP_RUNTIME_DIGITS_H

#include <stdint.h>

enum { DIGITS_SIDE = 28, DIGITS_PIXELS = 784, DIGITS_TRAIN = 60000, DIGITS_TEST = 10000 };
enum digits_split { DIGITS_SPLIT_TRAIN, DIGITS_SPLIT_TEST };

unsigned digits_label(unsigned split, uint32_t k); /* 0 .. 9 */
void digits_draw(unsigned split, uint32_t k, uint8_t pixels[DIGITS_PIXELS]);

#endif
