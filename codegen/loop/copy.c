/* A kernel without what its making has left around it. */
#include "codegen/loop/loop.h"
#include "runtime/base/arena.h"

static const char *copy_name(const char *name, struct arena *a)
{
    return name ? arena_str(a, name) : NULL;
}

static void copy_stage(struct kstage *s, struct arena *a)
{
    s->operand = arena_copy(a, s->operand, s->noperand * sizeof *s->operand);
    for (uint32_t i = 0; i < s->noperand; i++) {
        struct koperand *o = &s->operand[i];
        o->guard = arena_copy(a, o->guard, o->nguard * sizeof *o->guard);
    }
    s->seg = arena_copy(a, s->seg, s->nseg * sizeof *s->seg);
    s->store = arena_copy(a, s->store, s->nstore * sizeof *s->store);
    s->name = copy_name(s->name, a);
}

struct kernel *kernel_copy(const struct kernel *from, struct arena *a)
{
    struct kernel *k = arena_copy(a, from, sizeof *from);
    k->arena = a;
    k->name = copy_name(k->name, a);
    k->sx = sx_copy(&from->sx, a);
    k->buf = arena_copy(a, k->buf, k->nbuf * sizeof *k->buf);
    for (uint32_t i = 0; i < k->nbuf; i++)
        k->buf[i].name = copy_name(k->buf[i].name, a);
    k->rng = arena_copy(a, k->rng, k->nrng * sizeof *k->rng);
    k->stage = arena_copy(a, k->stage, k->nstage * sizeof *k->stage);
    for (uint32_t i = 0; i < k->nstage; i++)
        copy_stage(&k->stage[i], a);
    k->place = arena_copy(a, k->place, k->nplace * sizeof *k->place);
    return k;
}
