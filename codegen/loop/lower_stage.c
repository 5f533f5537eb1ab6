/* Axes, buffers, scalars and draws of a kernel, and what its stages read and store. */
#include "codegen/loop/lowering.h"

#include <string.h>

static const struct index no_index = {0};

/* ---- indices ---- */

/* Sorted by axis, as indices are everywhere. */
void low_index_add(struct lower *l, struct index *ix, uint8_t axis, struct ext coef)
{
    unsigned at = 0;
    while (at < ix->n && ix->t[at].axis < axis)
        at++;
    if (at < ix->n && ix->t[at].axis == axis) {
        ix->t[at].coef.c += coef.c;
        ix->t[at].coef.b += coef.b;
        return;
    }
    if (ix->n == LOOP_TERMS) {
        l->failed = true;
        return;
    }
    for (unsigned i = ix->n++; i > at; i--)
        ix->t[i] = ix->t[i - 1];
    ix->t[at] = (struct term){axis, 1, 0, coef};
}

struct ext low_ext_scale(struct ext e, int32_t by)
{
    return (struct ext){e.c * by, e.b * by};
}

/* Row-major low_strides; a stride is a product, of which at most one factor may hold B. */
void low_strides(struct lower *l, const struct ext *dim, unsigned rank, struct ext *out)
{
    struct ext s = {1, 0};
    for (unsigned i = rank; i-- > 0;) {
        out[i] = s;
        if (s.b && dim[i].b && i > 0)
            l->failed = true;
        s = dim[i].b ? (struct ext){dim[i].c * s.c, dim[i].b * s.c}
                     : low_ext_scale(s, dim[i].c);
    }
}

/* Kernel axis of an extent; a fresh one. */
int8_t low_new_axis(struct lower *l, struct ext extent, char name)
{
    if (l->k->naxis == LOOP_AXES) {
        l->failed = true;
        return 0;
    }
    l->k->axis[l->k->naxis] = extent;
    l->k->axis_name[l->k->naxis] = name;
    return (int8_t)l->k->naxis++;
}

/* The kernel axis of every dim of a member's value; -1 where the extent is 1. */
void low_value_axes(const struct lower *l, const struct type *t, int8_t axis[HYP_RANK])
{
    int8_t to[HYP_RANK];
    group_align(&l->group->main, t, to);
    for (unsigned i = 0; i < t->rank; i++)
        axis[i] = (int8_t)(to[i] < 0 ? -1 : l->main_axis[to[i]]);
}

/* ---- buffers, scalars, draws ---- */

uint16_t low_buffer(struct lower *l, value_id v)
{
    const value_id base = l->f->base[v];
    const uint32_t slot = l->slot(l->cx, base);
    const struct type *t = graph_type(l->g, base);

    for (uint16_t i = 0; i < l->k->nbuf; i++)
        if (l->out->slot[i] == slot)
            return i;
    l->k->buf = arena_grow(l->a, l->k->buf, &l->cbuf, l->k->nbuf + 1, sizeof *l->k->buf);
    l->out->slot =
        arena_grow(l->a, l->out->slot, &l->cslot, l->k->nbuf + 1, sizeof(uint32_t));
    l->out->value =
        arena_grow(l->a, l->out->value, &l->cvalue, l->k->nbuf + 1, sizeof(value_id));
    struct kbuf *b = &l->k->buf[l->k->nbuf];
    b->name = arena_fmt(l->a, "b%u", l->k->nbuf);
    b->dtype = t->dtype;
    b->rank = t->rank;
    memcpy(b->dim, t->dim, sizeof b->dim);
    l->out->slot[l->k->nbuf] = slot;
    l->out->value[l->k->nbuf] = base;
    return (uint16_t)l->k->nbuf++;
}

uint16_t low_scalar(struct lower *l, struct binding b)
{
    for (uint16_t i = 0; i < l->out->nscalar; i++)
        if (b.kind == BIND_HOST && l->out->scalar[i].kind == BIND_HOST &&
            l->out->scalar[i].host == b.host)
            return i;
    l->out->scalar =
        arena_grow(l->a, l->out->scalar, &l->cscalar, l->out->nscalar + 1, sizeof b);
    l->out->scalar[l->out->nscalar] = b;
    l->k->nscalar = l->out->nscalar + 1;
    return (uint16_t)l->out->nscalar++;
}

uint32_t low_draw(struct lower *l, uint32_t site, int8_t batch_axis)
{
    const struct site *s = &l->g->site[site];
    const int8_t sample = s->per_sample ? batch_axis : -1;
    const uint32_t lo = (uint32_t)s->hash, hi = (uint32_t)(s->hash >> 32);

    for (uint32_t i = 0; i < l->k->nrng; i++) {
        const uint16_t j = l->k->rng[i].scalar;
        if (l->out->scalar[j].word == lo && l->out->scalar[j + 1].word == hi &&
            l->k->rng[i].sample_axis == sample)
            return i;
    }
    const uint16_t at = low_scalar(l, (struct binding){.kind = BIND_WORD, .word = lo});
    low_scalar(l, (struct binding){.kind = BIND_WORD, .word = hi});
    low_scalar(l, (struct binding){.kind = BIND_DRAW_LO});
    low_scalar(l, (struct binding){.kind = BIND_DRAW_HI});
    l->k->rng = arena_grow(l->a, l->k->rng, &l->crng, l->k->nrng + 1, sizeof *l->k->rng);
    l->k->rng[l->k->nrng] = (struct krng){at, sample};
    return l->k->nrng++;
}

/* ---- stages ---- */

struct kstage *low_new_stage(struct lower *l, const struct node *n, uint8_t op)
{
    l->k->stage =
        arena_grow(l->a, l->k->stage, &l->cstage, l->k->nstage + 1, sizeof *l->k->stage);
    struct kstage *s = &l->k->stage[l->k->nstage++];
    s->op = op;
    s->dtype = graph_type(l->g, n->out0)->dtype;
    s->place = n->place;
    s->name = l->g->place[n->place].name;
    return s;
}

void low_space(struct kstage *s, const struct type *t, const int8_t *axis)
{
    for (unsigned i = 0; i < t->rank; i++) {
        unsigned at = s->naxis;
        if (axis[i] < 0)
            continue;
        for (; at && s->axis[at - 1] > axis[i]; at--)
            s->axis[at] = s->axis[at - 1];
        s->axis[at] = (uint8_t)axis[i];
        s->naxis++;
    }
}

/* The stage that made value v, if it is in this group and lines up; NULL otherwise. */
int low_made(const struct lower *l, value_id v)
{
    const value_id base = l->f->base[v];
    return l->stage_of[base] ? l->stage_of[base] - 1 : -1;
}

uint32_t low_add_operand(struct lower *l, struct kstage *s, struct koperand o)
{
    struct koperand *p = arena_array(l->a, s->noperand + 1, sizeof *p);
    if (s->noperand)
        memcpy(p, s->operand, s->noperand * sizeof *p);
    p[s->noperand] = o;
    s->operand = p;
    return s->noperand++;
}

/* Load of value v at the point where its dim i has kernel axis axis[i] (-1: 0). */
struct koperand low_load(struct lower *l, value_id v, const int8_t *axis)
{
    const struct type *t = graph_type(l->g, v);
    struct koperand o = {.id = low_buffer(l, v), .index = no_index};
    struct ext stride[HYP_RANK];

    low_strides(l, t->dim, t->rank, stride);
    for (unsigned i = 0; i < t->rank; i++)
        if (axis[i] >= 0)
            low_index_add(l, &o.index, (uint8_t)axis[i], stride[i]);
    return o;
}

void low_add_store(struct lower *l, struct kstage *s, value_id v)
{
    const struct type *t = graph_type(l->g, v);
    struct kstore *p = arena_array(l->a, s->nstore + 1, sizeof *p);
    int8_t axis[HYP_RANK];
    struct ext stride[HYP_RANK];

    if (s->nstore)
        memcpy(p, s->store, s->nstore * sizeof *p);
    p[s->nstore] = (struct kstore){low_buffer(l, v), no_index};
    low_value_axes(l, t, axis);
    low_strides(l, t->dim, t->rank, stride);
    for (unsigned i = 0; i < t->rank; i++)
        if (axis[i] >= 0)
            low_index_add(l, &p[s->nstore].index, (uint8_t)axis[i], stride[i]);
    s->store = p;
    s->nstore++;
}

void low_add_place(struct lower *l, place_id place)
{
    l->k->place =
        arena_grow(l->a, l->k->place, &l->cplace, l->k->nplace + 1, sizeof(place_id));
    l->k->place[l->k->nplace++] = place;
}

void low_finish(struct lower *l, value_id v)
{
    struct kstage *s = &l->k->stage[l->k->nstage - 1];
    l->stage_of[v] = (uint16_t)l->k->nstage;
    if (l->f->stored[v])
        low_add_store(l, s, v);
    low_add_place(l, s->place);
}

uint8_t low_sx_type(const struct lower *l, value_id v)
{
    const uint8_t dt = graph_type(l->g, v)->dtype;
    return dt == DT_F32 ? SX_FLOAT : dt == DT_I32 ? SX_I32 : SX_BOOL;
}

sx_id low_host(struct lower *l, value_id v)
{
    const struct binding b = {.kind = BIND_HOST, .host = v};
    return sx_scalar(&l->k->sx, low_scalar(l, b), low_sx_type(l, v));
}

sx_id low_use_stage(struct lower *l, struct kstage *s, value_id v, uint32_t stage)
{
    const struct koperand o = {.stage = true, .id = (uint16_t)stage};
    return sx_arg(&l->k->sx, low_add_operand(l, s, o), low_sx_type(l, v));
}

bool low_refuse(struct lower *l, const struct node *n, const char *what)
{
    diag(l->ds, E0001, l->g->place[n->place].loc, "kernels do not cover %s yet", what);
    l->failed = true;
    return false;
}
