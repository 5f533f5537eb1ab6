/* Names to numbers, by hash; the first of a name keeps its place. */
#ifndef HYP_COMPILER_FRONT_NAMES_H
#define HYP_COMPILER_FRONT_NAMES_H

#include <stdint.h>

struct arena;

#define NO_NAME UINT32_MAX
struct name_slot {
    const char *key;
    uint32_t value;
};
struct names {
    struct name_slot *slot;
    uint32_t n, cap;
};
void names_put(struct arena *a, struct names *t, const char *key, uint32_t value);
uint32_t names_get(const struct names *t, const char *key);

#endif
