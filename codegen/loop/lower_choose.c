/*
 * Lowering of gathers and scatters: operands that data pick, sums that data send.
 */
#include "codegen/loop/lowering.h"

/*
 * Where the dims of big[p.., at, t..], index[p.., i..] and small[p.., i.., t..]; the index
 * may be the same for all p.
 */
struct chosen {
    struct index big[HYP_RANK], index[HYP_RANK], small[HYP_RANK];
    unsigned np, ni; /* dims p; dims i */
    bool aligned;
};

static struct chosen chosen_dims(const struct type *big, const struct type *index,
                                 uint8_t axis)
{
    struct chosen c = {.np = axis};
    struct type out;
    gather_type(big, index, axis, &out, &c.aligned);
    c.ni = index->rank - (c.aligned ? axis : 0U);
    return c;
}

/* The index's axes from those of `small`. */
static void index_axes(struct chosen *c)
{
    const unsigned skip = c->aligned ? c->np : 0;
    for (unsigned i = 0; i < skip; i++)
        c->index[i] = c->small[i];
    for (unsigned i = 0; i < c->ni; i++)
        c->index[skip + i] = c->small[c->np + i];
}

/* A scalar that the host knows is a term of the index; other data pick. */
static void choose_by(struct lower *l, struct kstage *s, struct koperand *o, value_id index,
                      const struct chosen *c, struct ext stride, struct ext extent)
{
    if (l->f->host[l->g->value[index].def]) {
        const struct binding b = {.kind = BIND_HOST, .host = index};
        const struct index at = {.scalar = (uint16_t)(low_scalar(l, b) + 1),
                                 .scoef = ext_const(1)};
        o->index.scalar = at.scalar;
        o->index.scoef = stride;
        low_add_guard(l, o, at, extent);
        return;
    }
    const uint32_t from = low_add_operand(l, s, low_load(l, index, c->index));
    o->pick = (struct pick){(uint16_t)(from + 1), stride, extent};
}

bool low_gather(struct lower *l, const struct node *n)
{
    const value_id *in = graph_in(l->g, n);
    const struct type *big = graph_type(l->g, in[0]);
    const uint8_t axis = (uint8_t)n->attr;
    struct chosen c = chosen_dims(big, graph_type(l->g, in[1]), axis);
    struct ext stride[HYP_RANK];
    struct kstage *s = low_new_stage(l, n, K_MAP);

    low_value_at(l, graph_type(l->g, n->out0), c.small);
    low_space(l, s, graph_type(l->g, n->out0), c.small);
    index_axes(&c);
    for (unsigned i = 0; i < big->rank; i++)
        c.big[i] = i == axis ? index_const(0) : c.small[i < axis ? i : i - 1 + c.ni];
    low_strides(l, big->dim, big->rank, stride);
    struct koperand o = low_load(l, in[0], c.big);
    choose_by(l, s, &o, in[1], &c, stride[axis], big->dim[axis]);
    s->value = sx_arg(&l->k->sx, low_add_operand(l, s, o), low_sx_type(l, in[0]));
    low_finish(l, n->out0);
    return !l->failed;
}

/* The axes that the values walk and the destination does not: summed, in order. */
static void scatter_axes(struct lower *l, struct kstage *s, const struct type *values,
                         struct chosen *c)
{
    for (unsigned i = 0; i < values->rank; i++) {
        const bool summed = i >= c->np && i < c->np + c->ni;
        c->small[i] = index_const(0);
        if (!summed)
            c->small[i] = c->big[i < c->np ? i : i - c->ni + 1];
        else if (!low_is_one(values->dim[i]) && s->nred < LOOP_RED)
            s->red[s->nred++] =
                (c->small[i] = low_axis(l, values->dim[i], LOW_SUM)).t[0].axis;
        else if (!low_is_one(values->dim[i]))
            l->failed = true;
    }
}

bool low_scatter(struct lower *l, const struct node *n)
{
    const value_id *in = graph_in(l->g, n);
    const struct type *big = graph_type(l->g, n->out0), *values = graph_type(l->g, in[0]);
    const uint8_t axis = (uint8_t)n->attr;
    struct chosen c = chosen_dims(big, graph_type(l->g, in[1]), axis);

    if (values->dtype != DT_F32)
        return low_refuse(l, n, "scatters of whole numbers");
    struct kstage *s = low_new_stage(l, n, K_SCATTER);

    low_value_at(l, big, c.big);
    low_space(l, s, big, c.big);
    if (c.big[axis].n == 0) { /* one place only, but data say who gets there */
        c.big[axis] = low_axis(l, ext_const(1), LOW_SPACE);
        s->axis[s->naxis++] = c.big[axis].t[0].axis;
    }
    s->along = c.big[axis].t[0].axis;
    scatter_axes(l, s, values, &c);
    index_axes(&c);
    s->at = (uint16_t)low_add_operand(l, s, low_load(l, in[1], c.index));
    s->value = sx_arg(&l->k->sx, low_add_operand(l, s, low_load(l, in[0], c.small)),
                      low_sx_type(l, in[0]));
    low_finish(l, n->out0);
    return !l->failed;
}
