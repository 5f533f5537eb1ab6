/* An axis in blocks: two axes, as all that is known of an axis is its extent. */
#include "codegen/loop/sched.h"

/* Is the axis but a part of spaces and plain indices? */
static bool is_space(const struct kernel *k, int axis)
{
    for (uint32_t i = 0; i < k->sx.n; i++)
        if (k->sx.node[i].op == SX_AXIS && (int)k->sx.node[i].a == axis)
            return false;
    for (uint32_t i = 0; i < k->nrng; i++)
        if (k->rng[i].sample_axis == axis)
            return false;
    for (uint32_t i = 0; i < k->nstage; i++) {
        const struct kstage *s = &k->stage[i];
        if (sched_has_axis(s->red, s->nred, axis) ||
            (s->op == K_SCATTER && s->along == axis))
            return false;
        for (uint32_t g = 0; g < s->nseg; g++)
            if (sched_has_axis(s->seg[g].red, s->seg[g].nred, axis))
                return false;
    }
    return true;
}

struct splitting {
    unsigned axis, inner;
    int32_t by;
    bool ok;
};

static void split_index(struct splitting *p, struct index *x)
{
    bool plain;
    if (!index_uses(x, p->axis))
        return;
    const struct ext c = index_coef(x, p->axis, &plain);
    p->ok &= plain && x->n < LOOP_TERMS;
    if (!p->ok)
        return;
    index_term(x, (struct term){(uint8_t)p->axis, 1, 0, ext_mul(c, ext_const(p->by - 1))});
    index_term(x, (struct term){(uint8_t)p->inner, 1, 0, c});
}

static void split_stage(struct splitting *p, struct kstage *s)
{
    for (uint32_t o = 0; o < s->noperand; o++) {
        split_index(p, &s->operand[o].index);
        for (unsigned g = 0; g < s->operand[o].nguard; g++)
            split_index(p, &s->operand[o].guard[g].index);
    }
    for (uint32_t o = 0; o < s->nstore; o++)
        split_index(p, &s->store[o].index);
    for (unsigned i = s->naxis; i-- > 0;) {
        if (s->axis[i] != p->axis)
            continue;
        for (unsigned q = s->naxis++; q > i + 1; q--)
            s->axis[q] = s->axis[q - 1];
        s->axis[i + 1] = (uint8_t)p->inner;
    }
}

const struct kernel *kernel_split(const struct kernel *k, unsigned axis, int32_t by,
                                  struct arena *a)
{
    struct splitting p = {axis, k->naxis, by, true};
    if (k->naxis == LOOP_AXES || !is_space(k, (int)axis))
        return NULL;
    struct kernel *two = kernel_copy(k, a);
    two->axis[two->naxis] = ext_const(by);
    two->axis_name[two->naxis++] = k->axis_name[axis];
    two->axis[axis].c /= by;
    for (uint32_t i = 0; i < two->nstage && p.ok; i++)
        split_stage(&p, &two->stage[i]);
    return p.ok ? two : NULL;
}
