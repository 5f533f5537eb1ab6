/* The tables of targets and of variants. */
#include "compiler/ir/target.h"

#include <stddef.h>
#include <string.h>

/* Of a row of 24 and 256 terms. */
enum { BORDER_WORK = 24 * 256 };

static const struct target table[] = {
#define TARGET(name, vec, mr, nr, dk, ds, flight, l1, l2, l3, flops, prims, bw2, bw3, bwd) \
    {name,   vec, mr, nr, dk, ds,          flight,      BORDER_WORK,                       \
     24,     l1,  l2, l3, 2,  (flops)*1e9, (prims)*1e9, {(bw2)*1e9, (bw3)*1e9, (bwd)*1e9}, \
     0.9e-6, 0,   0},
#include "compiler/ir/target.def"
#undef TARGET
};

const struct target *target_at(unsigned i)
{
    return i < sizeof table / sizeof *table ? &table[i] : NULL;
}

const struct target *target_find(const char *name)
{
    const struct target *t;
    for (unsigned i = 0; (t = target_at(i)); i++)
        if (strcmp(t->name, name) == 0)
            break;
    return t;
}

const struct target *target_default(void)
{
    return &table[0];
}

/* ---- variants ---- */

#define VARIANT(name, alteration, doc)                                                     \
    static void vary_##name(struct target *t)                                              \
    {                                                                                      \
        (void)alteration;                                                                  \
    }
#include "compiler/ir/variant.def"
#undef VARIANT

const struct variant target_variant[] = {
#define VARIANT(name, alteration, doc) {#name, doc, vary_##name},
#include "compiler/ir/variant.def"
#undef VARIANT
};
const unsigned target_nvariant = sizeof target_variant / sizeof *target_variant;

/* Rows of a tile divide those of a unit, its columns are whole vectors. */
static bool makes_tiles(const struct target *t)
{
    return t->mr > 0 && t->unit_rows % t->mr == 0 && t->nr >= t->vec && t->nr % t->vec == 0;
}

bool target_vary(const struct target *t, const char *name, struct target *out)
{
    for (unsigned i = 0; i < target_nvariant; i++)
        if (strcmp(target_variant[i].name, name) == 0) {
            *out = *t;
            target_variant[i].alter(out);
            return makes_tiles(out);
        }
    return false;
}
