/* The table of targets. */
#include "compiler/ir/target.h"

#include <stddef.h>
#include <string.h>

static const struct target table[] = {
#define TARGET(name, vec, mr, nr, dk, ds, l1, l2, l3, flops, prims, bw2, bw3, bwd)         \
    {name,  vec, mr, nr, dk,          ds,          24,                                     \
     l1,    l2,  l3, 2,  (flops)*1e9, (prims)*1e9, {(bw2)*1e9, (bw3)*1e9, (bwd)*1e9},      \
     0.9e-6},
#include "compiler/ir/target.def"
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
