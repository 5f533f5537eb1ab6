/*
 * Pieces of random kernels, as lowering would make them: buffers are dense, indices walk
 * them row-major, extents lie around those of tiles and lanes; then the tails that follow
 * many kinds of kernels.
 */
#include "tests/prop/kernel_gen_internal.h"

#include <string.h>

#include "codegen/loop/index.h"
#include "runtime/base/arena.h"

bool gen_maybe(struct gen *g, int32_t percent)
{
    return gen_below(&g->state, 100) < percent;
}

int32_t gen_pick(struct gen *g, const int32_t *from, int32_t n)
{
    return from[gen_below(&g->state, n)];
}

static const int32_t rows_of[] = {1, 2, 5, 6, 7, 23, 24, 25, 47, 49, 97};
static const int32_t cols_of[] = {1, 3, 8, 10, 15, 16, 17, 33, 64, 130};
static const int32_t reds_of[] = {1, 2, 7, 64, 65};

int32_t gen_some_rows(struct gen *g)
{
    return PICK(g, rows_of);
}

int32_t gen_some_cols(struct gen *g)
{
    return PICK(g, cols_of);
}

int32_t gen_some_reds(struct gen *g)
{
    return PICK(g, reds_of);
}

struct ext gen_batch_or(struct gen *g, int32_t c)
{
    return gen_maybe(g, 60) ? (struct ext){0, 1} : ext_const(c);
}

uint8_t gen_axis(struct gen *g, char name, struct ext e)
{
    struct kernel *k = g->k;
    k->axis_name[k->naxis] = name;
    k->axis[k->naxis] = e;
    return k->naxis++;
}

uint16_t gen_buffer(struct gen *g, uint8_t dtype, uint8_t use, const uint8_t *ax, uint8_t n)
{
    struct kernel *k = g->k;
    k->buf = arena_grow(g->a, k->buf, &g->cap_buf, k->nbuf + 1, sizeof *k->buf);
    struct kbuf *b = &k->buf[k->nbuf];
    b->name = arena_fmt(g->a, "%c%u", "XYZ"[use], k -> nbuf);
    b->dtype = dtype;
    b->use = use;
    b->far = use != BUF_READ_WRITE && k->nbuf % 2;
    b->watched = use != BUF_READ && dtype == DT_F32 && k->nbuf % 3 != 0;
    b->rank = n;
    for (unsigned i = 0; i < n; i++)
        b->dim[i] = k->axis[ax[i]];
    return (uint16_t)k->nbuf++;
}

struct index gen_walk(struct gen *g, const uint8_t *ax, uint8_t n)
{
    struct index x = index_const(0);
    for (unsigned i = 0; i < n; i++) {
        struct index up = index_const(0);
        index_add(&up, &x, g->k->axis[ax[i]]);
        x = index_sum(up, index_axis(ax[i], 1));
    }
    return x;
}

uint32_t gen_stage(struct gen *g, enum kstage_op op, const uint8_t *ax, uint8_t n)
{
    struct kernel *k = g->k;
    k->stage = arena_grow(g->a, k->stage, &g->cap_stage, k->nstage + 1, sizeof *k->stage);
    struct kstage *s = &k->stage[k->nstage];
    s->op = (uint8_t)op;
    s->dtype = DT_F32;
    s->naxis = n;
    if (n)
        memcpy(s->axis, ax, n);
    s->name = arena_fmt(g->a, "s%u", k->nstage);
    s->operand = arena_array(g->a, 16, sizeof *s->operand);
    s->seg = arena_array(g->a, 4, sizeof *s->seg);
    s->store = arena_array(g->a, 4, sizeof *s->store);
    return k->nstage++;
}

uint32_t gen_sum(struct gen *g, enum form_order order, const uint8_t *ax, uint8_t n,
                 const uint8_t *red, uint8_t nred)
{
    uint32_t s = gen_stage(g, K_SUM, ax, n);
    struct kstage *k = &g->k->stage[s];
    k->order = (uint8_t)order;
    k->chunk = order == ORDER_CHUNK ? 24 : 0;
    k->nseg = 1;
    k->seg[0].nred = nred;
    memcpy(k->seg[0].red, red, nred);
    return s;
}

sx_id gen_read_buf(struct gen *g, uint32_t st, uint16_t buf, struct index x)
{
    static const enum sx_type types[] = {SX_FLOAT, SX_I32, SX_BOOL};
    struct kstage *s = &g->k->stage[st];
    s->operand[s->noperand] = (struct koperand){.id = buf, .index = x};
    return sx_arg(&g->k->sx, s->noperand++, types[g->k->buf[buf].dtype]);
}

sx_id gen_read_all(struct gen *g, uint32_t st, uint16_t buf, const uint8_t *ax, uint8_t n)
{
    return gen_read_buf(g, st, buf, gen_walk(g, ax, n));
}

sx_id gen_read_typed(struct gen *g, uint32_t st, uint8_t dtype, const uint8_t *ax,
                     uint8_t n)
{
    return gen_read_all(g, st, gen_buffer(g, dtype, BUF_READ, ax, n), ax, n);
}

sx_id gen_read_new(struct gen *g, uint32_t st, const uint8_t *ax, uint8_t n)
{
    return gen_read_typed(g, st, DT_F32, ax, n);
}

sx_id gen_read_stage(struct gen *g, uint32_t st, uint32_t from)
{
    struct kstage *s = &g->k->stage[st];
    s->operand[s->noperand] = (struct koperand){.stage = true, .id = (uint16_t)from};
    return sx_arg(&g->k->sx, s->noperand++, SX_FLOAT);
}

/* A subset of the axes, in order. */
static uint8_t subset(struct gen *g, const uint8_t *ax, uint8_t n, uint8_t *out)
{
    uint8_t m = 0;
    for (uint8_t i = 0; i < n; i++)
        if (gen_maybe(g, 70))
            out[m++] = ax[i];
    return m;
}

sx_id gen_broadcast(struct gen *g, uint32_t st, const uint8_t *ax, uint8_t n)
{
    uint8_t some[LOOP_AXES];
    uint8_t m = subset(g, ax, n, some);
    return gen_read_new(g, st, some, m);
}

void gen_store(struct gen *g, uint32_t st, uint16_t buf)
{
    struct kstage *s = &g->k->stage[st];
    s->store[s->nstore++] = (struct kstore){buf, gen_walk(g, s->axis, s->naxis)};
}

void gen_store_new(struct gen *g, uint32_t st)
{
    const struct kstage *s = &g->k->stage[st];
    gen_store(g, st, gen_buffer(g, s->dtype, BUF_WRITE, s->axis, s->naxis));
}

sx_id gen_op2(struct gen *g, enum sx_op op, sx_id x, sx_id y)
{
    return sx_make(&g->k->sx, op, x, y, 0);
}

sx_id gen_number(struct gen *g)
{
    return sx_const(&g->k->sx, (gen_below(&g->state, 17) - 8) / 4.0);
}

sx_id gen_draw(struct gen *g, uint32_t st, int sample)
{
    struct kernel *k = g->k;
    struct sxb *b = &k->sx;
    struct krng *all = arena_array(g->a, k->nrng + 1, sizeof *all);
    if (k->nrng)
        memcpy(all, k->rng, k->nrng * sizeof *all);
    all[k->nrng] = (struct krng){(uint16_t)k->nscalar, (int8_t)sample};
    k->rng = all;
    k->nscalar += 4;
    sx_id e = sx_int(b, 0);
    for (unsigned i = 0; i < k->stage[st].naxis; i++) {
        uint8_t x = k->stage[st].axis[i];
        if (x == sample)
            continue;
        e = gen_op2(g, SX_IMUL, e, sx_int(b, k->axis[x].b ? 64 : k->axis[x].c));
        e = gen_op2(g, SX_IADD, e, sx_axis(b, x));
    }
    return gen_maybe(g, 50) ? sx_normal(b, k->nrng++, e) : sx_uniform(b, k->nrng++, e);
}

sx_id gen_mix(struct gen *g, sx_id x, sx_id y)
{
    struct sxb *b = &g->k->sx;
    switch (gen_below(&g->state, 7)) {
    case 0:
        return gen_op2(g, SX_ADD, x, y);
    case 1:
        return gen_op2(g, SX_MUL, x, y);
    case 2:
        return gen_op2(g, SX_SUB, x, gen_op2(g, SX_MUL, y, gen_number(g)));
    case 3:
        return sx_make(b, SX_SEL, gen_op2(g, SX_LT, y, gen_number(g)), x,
                       gen_op2(g, SX_MUL, x, gen_number(g)));
    case 4:
        return gen_op2(g, SX_ADD, x, sx_make(b, SX_FN_tanh, y, 0, 0));
    case 5:
        return sx_make(b, SX_FMA, x, gen_number(g), y);
    default:
        return gen_op2(g, SX_MAX, x, y);
    }
}

/* ---- tails ---- */

void gen_update(struct gen *g, uint32_t from)
{
    const struct kstage *f = &g->k->stage[from];
    uint8_t ax[LOOP_AXES], n = f->naxis;
    memcpy(ax, f->axis, n);
    uint32_t s = gen_stage(g, K_MAP, ax, n);
    uint16_t buf = gen_buffer(g, DT_F32, BUF_READ_WRITE, ax, n);
    sx_id old = gen_read_all(g, s, buf, ax, n);
    sx_id x = sx_make(&g->k->sx, SX_FMA, old, sx_const(&g->k->sx, 0.5),
                      gen_read_stage(g, s, from));
    g->k->stage[s].value = x;
    gen_store(g, s, buf);
    uint32_t t = gen_stage(g, K_MAP, ax, n);
    g->k->stage[t].value =
        gen_op2(g, SX_SUB, gen_read_new(g, t, ax, n), gen_read_stage(g, t, s));
    gen_store_new(g, t);
}

void gen_row_tail(struct gen *g, const uint8_t ax[2], uint32_t y)
{
    uint32_t sq = gen_stage(g, K_MAP, ax, 2);
    sx_id v = gen_read_stage(g, sq, y);
    g->k->stage[sq].value = gen_op2(g, SX_MUL, v, v);
    uint32_t s = gen_sum(g, ORDER_LANES, ax, 1, ax + 1, 1);
    g->k->stage[s].seg[0].factor[0] = gen_read_stage(g, s, gen_maybe(g, 50) ? sq : y);
    if (gen_maybe(g, 40))
        g->k->stage[s].seg[0].factor[1] = gen_read_stage(g, s, y);
    uint32_t r = gen_stage(g, K_MAP, ax, 1);
    g->k->stage[r].value = gen_mix(g, gen_read_stage(g, r, s), gen_number(g));
    if (gen_maybe(g, 60))
        gen_store_new(g, r);
    if (gen_maybe(g, 70)) {
        uint32_t z = gen_stage(g, K_MAP, ax, 2);
        g->k->stage[z].value = gen_mix(g, gen_read_stage(g, z, y), gen_read_stage(g, z, r));
        gen_store_new(g, z);
    }
}

void gen_column_tail(struct gen *g, const uint8_t ax[2], uint32_t y)
{
    uint32_t s = gen_sum(g, ORDER_CHUNK, ax + 1, 1, ax, 1);
    g->k->stage[s].seg[0].factor[0] = gen_read_stage(g, s, y);
    if (gen_maybe(g, 40))
        g->k->stage[s].seg[0].factor[1] = gen_read_new(g, s, ax, gen_maybe(g, 50) ? 2 : 1);
    if (gen_maybe(g, 50))
        gen_update(g, s);
    else
        gen_store_new(g, s);
}
