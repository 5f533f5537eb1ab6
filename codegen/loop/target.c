/* The table of targets. */
#include <string.h>

#include "codegen/loop/loop.h"

static const struct target table[] = {
#define TARGET(name, vec, mr, nr, l1, l2, l3, peak, bw2, bw3, bwd)                         \
    {name, vec, mr,         nr,        24,        l1,        l2,                           \
     l3,   2,   (peak)*1e9, (bw2)*1e9, (bw3)*1e9, (bwd)*1e9, 0.9e-6},
#include "codegen/loop/target.def"
#undef TARGET
};

const struct target *target_find(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

const struct target *target_default(void)
{
    return &table[0];
}
