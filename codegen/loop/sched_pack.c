/* Packing. */
#include "codegen/loop/sched.h"

void sched_pack(struct sched *s)
{
    (void)s;
}

sx_id sched_factor(struct sched *s, struct stmt *st, const struct item *it,
                   const struct kseg *seg, unsigned which)
{
    return sched_expr(s, st, &s->k->stage[it->stage], seg->factor[which]);
}
