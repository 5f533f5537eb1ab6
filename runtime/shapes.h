/*
 * Coloured shapes, drawn: three planes (red, green, blue) of 32 x 32 bytes.  One shape an
 * image, of any colour, size, place and turn, before a background of any pattern.
 *
 * Sample k of a split depends on (split, k) alone, through integers only, so that every
 * machine has the same images.  Samples can be drawn in any order and by several threads.
 */
#ifndef HYP_RUNTIME_SHAPES_H
#define HYP_RUNTIME_SHAPES_H

#include <stdint.h>

enum {
    SHAPES_SIDE = 32,
    SHAPES_PIXELS = 3 * SHAPES_SIDE * SHAPES_SIDE,
    SHAPES_CLASSES = 10,
    SHAPES_TRAIN = 50000,
    SHAPES_TEST = 10000
};

extern const char *const shapes_name[SHAPES_CLASSES];
unsigned shapes_label(unsigned split, uint32_t k);
void shapes_draw(unsigned split, uint32_t k, uint8_t pixels[SHAPES_PIXELS]);

#endif
