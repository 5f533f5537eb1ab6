/* Axes, buffers, scalars and draws of a kernel, and what its stages read and store. */
#include "codegen/loop/lowering.h"

#include <string.h>

/* ---- indices ---- */

/* Row-major strides; a stride is a product, of which at most one factor may hold B. */
void low_strides(struct lower *l, const struct ext *dim, unsigned rank, struct ext *out)
{
    struct ext s = {1, 0};
    for (unsigned i = rank; i-- > 0;) {
        out[i] = s;
        if (s.b && dim[i].b && i > 0)
            l->failed = true;
        s = dim[i].b ? (struct ext){dim[i].c * s.c, dim[i].b * s.c}
                     : (struct ext){s.c * dim[i].c, s.b * dim[i].c};
    }
}

/* The first name that no axis has. */
static char free_name(const struct kernel *k, enum low_axis use)
{
    static const char *const names[] = {
        [LOW_SPACE] = "nopqrstuijklmvwxyzabcdefghABCDEF",
        [LOW_SUM] = "ijklmabcdefghvwxyzABCDEFnopqrstu",
    };
    const char *c = names[use];
    while (c[1] && memchr(k->axis_name, *c, k->naxis))
        c++;
    return *c;
}

struct index low_axis(struct lower *l, struct ext extent, enum low_axis use)
{
    struct kernel *k = l->k;
    uint8_t at = 0;
    while (at < k->naxis && (l->taken[at] || !ext_eq(k->axis[at], extent)))
        at++;
    if (at == LOOP_AXES) {
        l->failed = true;
        return index_const(0);
    }
    if (at == k->naxis) {
        k->axis_name[at] = free_name(k, use);
        k->axis[at] = extent;
        k->naxis++;
    }
    l->taken[at] = ++l->ntaken;
    return index_axis(at, 1);
}

/* Of a dim, the axis that walks farthest comes first. */
void low_order_axes(struct lower *l)
{
    memset(l->taken, 0, sizeof l->taken);
    l->ntaken = 0;
    for (unsigned d = 0; d < l->group->main.rank; d++)
        for (unsigned n = 0; n < l->main[d].n; n++) {
            const struct term *best = NULL;
            for (unsigned i = 0; i < l->main[d].n; i++)
                if (!l->taken[l->main[d].t[i].axis] &&
                    (!best || l->main[d].t[i].coef.c > best->coef.c))
                    best = &l->main[d].t[i];
            if (best)
                l->taken[best->axis] = ++l->ntaken;
        }
}

void low_value_at(const struct lower *l, const struct type *t, struct index at[HYP_RANK])
{
    int8_t to[HYP_RANK];
    group_align(&l->group->main, t, to);
    for (unsigned i = 0; i < t->rank; i++)
        at[i] = to[i] < 0 ? index_const(0) : l->main[to[i]];
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

/* The axes of an index, in the order of the piece's axes, each once. */
void low_space_of(struct lower *l, struct kstage *s, const struct index *ix)
{
    for (unsigned k = 0; k < ix->n; k++) {
        const uint8_t axis = ix->t[k].axis;
        unsigned to = s->naxis;
        if (memchr(s->axis, axis, s->naxis))
            continue;
        for (; to && l->taken[s->axis[to - 1]] > l->taken[axis]; to--)
            s->axis[to] = s->axis[to - 1];
        s->axis[to] = axis;
        s->naxis++;
    }
}

void low_space(struct lower *l, struct kstage *s, const struct type *t,
               const struct index *at)
{
    for (unsigned i = 0; i < t->rank; i++)
        low_space_of(l, s, &at[i]);
}

/* The stage that made value v, if it is in this group and lines up; -1 otherwise. */
int low_made(const struct lower *l, value_id v)
{
    const value_id base = l->f->base[v];
    int last = -1;
    for (uint32_t at = base, i; hash_next(&l->stage_of, base, &at, &i);)
        last = (int)i > last ? (int)i : last;
    return last;
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

struct index low_address(struct lower *l, const struct type *t, const struct index *at)
{
    struct index ix = index_const(0);
    struct ext stride[HYP_RANK] = {{0}};
    low_strides(l, t->dim, t->rank, stride);
    for (unsigned i = 0; i < t->rank; i++)
        if (stride[i].b && at[i].off.b)
            l->failed = true;
        else
            index_add(&ix, &at[i], stride[i]);
    return ix;
}

struct koperand low_load(struct lower *l, value_id v, const struct index *at)
{
    return (struct koperand){.id = low_buffer(l, v),
                             .index = low_address(l, graph_type(l->g, v), at)};
}

void low_add_store(struct lower *l, struct kstage *s, value_id v)
{
    const struct type *t = graph_type(l->g, v);
    struct kstore *p = arena_array(l->a, s->nstore + 1, sizeof *p);
    struct index at[HYP_RANK];

    if (s->nstore)
        memcpy(p, s->store, s->nstore * sizeof *p);
    low_value_at(l, t, at);
    p[s->nstore++] = (struct kstore){low_buffer(l, v), low_address(l, t, at)};
    s->store = p;
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
    hash_add(&l->stage_of, l->scratch, v, l->k->nstage - 1);
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
