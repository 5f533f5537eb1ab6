#include "compiler/front/build.h"
void mb_probes(struct mb *b)
{
    (void)b;
}
void mb_unused(struct mb *b)
{
    (void)b;
}
