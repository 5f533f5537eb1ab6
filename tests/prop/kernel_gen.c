/*
 * Kernels as lowering would make them: buffers are dense, indices walk them row-major
 * (perhaps with the axes in another order), in-place buffers are read and stored by one
 * map.
 */
#include "tests/prop/kernel_gen_internal.h"

#include <math.h>
#include <string.h>

#include "codegen/loop/index.h"
#include "compiler/ir/target.h"
#include "runtime/base/arena.h"

uint32_t gen_next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = *state ^ *state >> 29;
    return (uint32_t)(x * 0x9E3779B97F4A7C15u >> 32);
}

int32_t gen_below(uint64_t *state, int32_t n)
{
    return (int32_t)(gen_next(state) % (uint32_t)n);
}

const char *gen_variant(uint64_t *state)
{
    return target_variant[gen_below(state, (int32_t)target_nvariant)].name;
}

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
static const int32_t places_of[] = {2, 8, 16, 16, 25, 32};

int32_t gen_some_rows(struct gen *g)
{
    return PICK(g, rows_of);
}

int32_t gen_some_cols(struct gen *g)
{
    return PICK(g, cols_of);
}

/* ---- pieces ---- */

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
    b->far = use == BUF_WRITE && k->nbuf % 2;
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

sx_id gen_read_buf(struct gen *g, uint32_t st, uint16_t buf, struct index x)
{
    static const enum sx_type types[] = {SX_FLOAT, SX_I32, SX_BOOL};
    struct kstage *s = &g->k->stage[st];
    s->operand[s->noperand] = (struct koperand){.id = buf, .index = x};
    return sx_arg(&g->k->sx, s->noperand++, types[g->k->buf[buf].dtype]);
}

sx_id gen_read_new(struct gen *g, uint32_t st, const uint8_t *ax, uint8_t n)
{
    return gen_read_buf(g, st, gen_buffer(g, DT_F32, BUF_READ, ax, n), gen_walk(g, ax, n));
}

sx_id gen_read_stage(struct gen *g, uint32_t st, uint32_t from)
{
    struct kstage *s = &g->k->stage[st];
    s->operand[s->noperand] = (struct koperand){.stage = true, .id = (uint16_t)from};
    return sx_arg(&g->k->sx, s->noperand++, SX_FLOAT);
}

void gen_store_new(struct gen *g, uint32_t st)
{
    struct kstage *s = &g->k->stage[st];
    s->store[s->nstore++] =
        (struct kstore){gen_buffer(g, s->dtype, BUF_WRITE, s->axis, s->naxis),
                        gen_walk(g, s->axis, s->naxis)};
}

static sx_id op2(struct gen *g, enum sx_op op, sx_id x, sx_id y)
{
    return sx_make(&g->k->sx, op, x, y, 0);
}

static sx_id number(struct gen *g)
{
    return sx_const(&g->k->sx, (gen_below(&g->state, 17) - 8) / 4.0);
}

/* A draw at the stage's own element; sample: which axis is the batch, or -1. */
static sx_id draw(struct gen *g, uint32_t st, int sample)
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
        e = op2(g, SX_IMUL, e, sx_int(b, k->axis[x].b ? 64 : k->axis[x].c));
        e = op2(g, SX_IADD, e, sx_axis(b, x));
    }
    return gen_maybe(g, 50) ? sx_normal(b, k->nrng++, e) : sx_uniform(b, k->nrng++, e);
}

sx_id gen_mix(struct gen *g, sx_id x, sx_id y)
{
    struct sxb *b = &g->k->sx;
    switch (gen_below(&g->state, 7)) {
    case 0:
        return op2(g, SX_ADD, x, y);
    case 1:
        return op2(g, SX_MUL, x, y);
    case 2:
        return op2(g, SX_SUB, x, op2(g, SX_MUL, y, number(g)));
    case 3:
        return sx_make(b, SX_SEL, op2(g, SX_LT, y, number(g)), x,
                       op2(g, SX_MUL, x, number(g)));
    case 4:
        return op2(g, SX_ADD, x, sx_make(b, SX_FN_tanh, y, 0, 0));
    case 5:
        return sx_make(b, SX_FMA, x, number(g), y);
    default:
        return op2(g, SX_MAX, x, y);
    }
}

/* ---- whole kernels ---- */

struct ext gen_batch_or(struct gen *g, int32_t c)
{
    return gen_maybe(g, 60) ? (struct ext){0, 1} : ext_const(c);
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

static void gen_maps(struct gen *g)
{
    uint8_t ax[3], n = (uint8_t)(1 + gen_below(&g->state, 3));
    ax[0] = gen_axis(g, 'n', gen_batch_or(g, gen_some_rows(g)));
    for (uint8_t i = 1; i < n; i++)
        ax[i] = gen_axis(g, (char)('o' + i), ext_const(gen_some_cols(g)));
    int sample = g->k->axis[ax[0]].b ? ax[0] : -1;
    uint32_t last = UINT32_MAX;
    for (int i = 0, stages = 1 + gen_below(&g->state, 4); i < stages; i++) {
        uint8_t m = gen_maybe(g, 75) ? n : (uint8_t)(1 + gen_below(&g->state, n));
        uint32_t s = gen_stage(g, K_MAP, ax, m);
        sx_id x = gen_read_new(g, s, ax, m);
        if (gen_maybe(g, 60))
            x = gen_mix(g, x, gen_broadcast(g, s, ax, m));
        if (gen_maybe(g, 15) && m == 2 && sample < 0) { /* transposed */
            uint8_t back[2] = {ax[1], ax[0]};
            x = gen_mix(g, x, gen_read_new(g, s, back, 2));
        }
        if (last != UINT32_MAX && g->k->stage[last].naxis <= m && gen_maybe(g, 60))
            x = gen_mix(g, x, gen_read_stage(g, s, last));
        if (gen_maybe(g, 25))
            x = gen_mix(g, x, draw(g, s, sample));
        if (gen_maybe(g, 15))
            x = gen_mix(g, x,
                        sx_make(&g->k->sx, SX_I2F, sx_axis(&g->k->sx, ax[m - 1]), 0, 0));
        g->k->stage[s].value = x;
        if (i + 1 == stages || gen_maybe(g, 60))
            gen_store_new(g, s);
        last = s;
    }
}

/* In place: y := y * c + it, over the stage's space. */
static void update_in_place(struct gen *g, uint32_t from)
{
    const struct kstage *f = &g->k->stage[from];
    uint8_t ax[LOOP_AXES], n = f->naxis;
    memcpy(ax, f->axis, n);
    uint32_t s = gen_stage(g, K_MAP, ax, n);
    uint16_t buf = gen_buffer(g, DT_F32, BUF_READ_WRITE, ax, n);
    sx_id old = gen_read_buf(g, s, buf, gen_walk(g, ax, n));
    sx_id x = sx_make(&g->k->sx, SX_FMA, old, sx_const(&g->k->sx, 0.5),
                      gen_read_stage(g, s, from));
    g->k->stage[s].value = x;
    g->k->stage[s].store[g->k->stage[s].nstore++] =
        (struct kstore){buf, gen_walk(g, ax, n)};
    uint32_t t = gen_stage(g, K_MAP, ax, n);
    g->k->stage[t].value =
        op2(g, SX_SUB, gen_read_new(g, t, ax, n), gen_read_stage(g, t, s));
    gen_store_new(g, t);
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

/* A factor over `outer` and the reduced axes, in one order or the other, perhaps through a
 * map. */
static sx_id factor(struct gen *g, uint32_t s, int outer, const uint8_t *red, uint8_t nred)
{
    uint8_t ax[LOOP_AXES], n = 0;
    bool first = gen_maybe(g, 50);
    if (outer >= 0 && first)
        ax[n++] = (uint8_t)outer;
    for (uint8_t i = 0; i < nred; i++)
        ax[n++] = red[i];
    if (outer >= 0 && !first)
        ax[n++] = (uint8_t)outer;
    /* a batch leads its buffer */
    for (uint8_t i = 1; i < n; i++)
        if (g->k->axis[ax[i]].b) {
            uint8_t b = ax[i];
            memmove(ax + 1, ax, i);
            ax[0] = b;
        }
    if (!gen_maybe(g, 25))
        return gen_read_new(g, s, ax, n);
    /* the map comes before the sum: swap the two stages' places */
    uint32_t m = gen_stage(g, K_MAP, ax, n);
    struct kstage sum = g->k->stage[s], map = g->k->stage[m];
    g->k->stage[s] = map;
    g->k->stage[m] = sum;
    sx_id x = gen_read_new(g, s, ax, n);
    g->k->stage[s].value = gen_mix(g, x, gen_read_new(g, s, ax + n - 1, 1));
    return gen_read_stage(g, m, s);
}

/* The sum may have moved behind its maps: it is the last stage. */
static uint32_t contraction(struct gen *g, enum form_order order, const uint8_t *ax,
                            uint8_t n, int row, int col, const uint8_t *red, uint8_t nred)
{
    uint32_t s = gen_sum(g, order, ax, n, red, nred);
    uint32_t nseg = 1U + (uint32_t)gen_below(&g->state, gen_maybe(g, 30) ? 3 : 1);
    for (uint32_t i = 0; i < nseg; i++) {
        sx_id a = factor(g, s, row, red, nred);
        s = g->k->nstage - 1;
        sx_id b = gen_maybe(g, 90) ? factor(g, s, col, red, nred) : 0;
        s = g->k->nstage - 1;
        struct kseg *seg = &g->k->stage[s].seg[i];
        seg->factor[0] = a;
        seg->factor[1] = b;
        seg->nred = nred;
        memcpy(seg->red, red, nred);
        if (gen_maybe(g, 30) && b) {
            seg->factor[0] = b;
            seg->factor[1] = a;
        }
    }
    g->k->stage[s].nseg = nseg;
    return s;
}

static void row_tail(struct gen *g, const uint8_t ax[2], uint32_t y)
{
    uint32_t sq = gen_stage(g, K_MAP, ax, 2);
    sx_id v = gen_read_stage(g, sq, y);
    g->k->stage[sq].value = op2(g, SX_MUL, v, v);
    uint32_t s = gen_sum(g, ORDER_LANES, ax, 1, ax + 1, 1);
    g->k->stage[s].seg[0].factor[0] = gen_read_stage(g, s, gen_maybe(g, 50) ? sq : y);
    if (gen_maybe(g, 40))
        g->k->stage[s].seg[0].factor[1] = gen_read_stage(g, s, y);
    uint32_t r = gen_stage(g, K_MAP, ax, 1);
    g->k->stage[r].value = gen_mix(g, gen_read_stage(g, r, s), number(g));
    if (gen_maybe(g, 60))
        gen_store_new(g, r);
    if (gen_maybe(g, 70)) {
        uint32_t z = gen_stage(g, K_MAP, ax, 2);
        g->k->stage[z].value = gen_mix(g, gen_read_stage(g, z, y), gen_read_stage(g, z, r));
        gen_store_new(g, z);
    }
}

static void column_tail(struct gen *g, const uint8_t ax[2], uint32_t y)
{
    uint32_t s = gen_sum(g, ORDER_CHUNK, ax + 1, 1, ax, 1);
    g->k->stage[s].seg[0].factor[0] = gen_read_stage(g, s, y);
    if (gen_maybe(g, 40))
        g->k->stage[s].seg[0].factor[1] = gen_read_new(g, s, ax, gen_maybe(g, 50) ? 2 : 1);
    if (gen_maybe(g, 50))
        update_in_place(g, s);
    else
        gen_store_new(g, s);
}

static void gen_contract(struct gen *g)
{
    uint8_t ax[2], red[2];
    ax[0] = gen_axis(g, 'n', gen_batch_or(g, gen_some_rows(g)));
    ax[1] = gen_axis(g, 'o', ext_const(gen_some_cols(g)));
    red[0] = gen_axis(g, 'k', ext_const(PICK(g, reds_of)));
    uint8_t nred = gen_maybe(g, 15) ? 2 : 1;
    if (nred == 2)
        red[1] = gen_axis(g, 'l', ext_const(3));
    uint32_t sums = 1U + (uint32_t)gen_below(&g->state, gen_maybe(g, 40) ? 3 : 1), last = 0,
             first = 0;
    for (uint32_t i = 0; i < sums; i++) {
        last = contraction(g, ORDER_SEQ, ax, 2, ax[0], ax[1], red, nred);
        first = i ? first : last;
    }
    uint32_t y = gen_stage(g, K_MAP, ax, 2);
    sx_id x = gen_mix(g, gen_read_stage(g, y, first), gen_read_new(g, y, ax + 1, 1));
    if (last != first)
        x = gen_mix(g, x, gen_read_stage(g, y, last));
    if (gen_maybe(g, 30))
        x = op2(g, SX_ADD, x,
                sx_make(&g->k->sx, SX_FN_softplus, gen_read_new(g, y, ax, 2), 0, 0));
    if (gen_maybe(g, 25))
        x = gen_mix(g, x, draw(g, y, g->k->axis[ax[0]].b ? ax[0] : -1));
    g->k->stage[y].value = x;
    gen_store_new(g, y);
    if (gen_maybe(g, 30))
        gen_store_new(g, first);
    if (gen_maybe(g, 40))
        row_tail(g, ax, y);
    if (gen_maybe(g, 40))
        column_tail(g, ax, y);
    if (gen_maybe(g, 20))
        update_in_place(g, y);
}

static void gen_rows(struct gen *g)
{
    uint8_t ax[2];
    ax[0] = gen_axis(g, 'n', gen_batch_or(g, gen_some_rows(g)));
    ax[1] = gen_axis(g, 'c', ext_const(gen_some_cols(g)));
    uint32_t y = gen_stage(g, K_MAP, ax, 2);
    g->k->stage[y].value =
        gen_mix(g, gen_read_new(g, y, ax, 2), gen_broadcast(g, y, ax, 2));
    if (gen_maybe(g, 50))
        gen_store_new(g, y);
    if (gen_maybe(g, 50)) { /* softmax */
        uint32_t m = gen_stage(g, K_FOLD, ax, 1);
        g->k->stage[m].nred = 1;
        g->k->stage[m].red[0] = ax[1];
        g->k->stage[m].comb = (uint8_t)gen_below(&g->state, 2);
        g->k->stage[m].value = gen_read_stage(g, m, y);
        if (g->k->stage[m].comb == COMB_ARGMAX) {
            g->k->stage[m].dtype = DT_I32;
            gen_store_new(g, m);
        } else {
            uint32_t e = gen_stage(g, K_MAP, ax, 2);
            sx_id d = op2(g, SX_SUB, gen_read_stage(g, e, y), gen_read_stage(g, e, m));
            g->k->stage[e].value = sx_make(&g->k->sx, SX_FN_exp, d, 0, 0);
            y = e;
        }
    }
    row_tail(g, ax, y);
    if (gen_maybe(g, 40))
        column_tail(g, ax, y);
}

static void gen_chunks(struct gen *g)
{
    uint8_t ax[2], red[1], n = (uint8_t)gen_below(&g->state, 3);
    ax[0] = gen_axis(g, 'o', ext_const(gen_some_rows(g)));
    ax[1] = gen_axis(g, 'i', ext_const(gen_some_cols(g)));
    red[0] = gen_axis(g, 'n', gen_batch_or(g, gen_some_rows(g)));
    const uint8_t *space = ax + 2 - n;
    uint32_t s = contraction(g, ORDER_CHUNK, space, n, n > 1 ? space[0] : -1,
                             n ? space[n - 1] : -1, red, 1);
    if (gen_maybe(g, 60))
        update_in_place(g, s);
    else
        gen_store_new(g, s);
}

/* The gradient of weights: rows and lanes from one buffer each, the batch summed in one
 * chain. */
static void gen_weights(struct gen *g)
{
    uint8_t ax[2], red[1];
    ax[0] = gen_axis(g, 'o', ext_const(gen_some_rows(g)));
    ax[1] = gen_axis(g, 'i', ext_const(gen_some_cols(g)));
    red[0] = gen_axis(g, 'n', (struct ext){0, 1});
    uint32_t s = contraction(g, ORDER_SEQ, ax, 2, ax[0], ax[1], red, 1);
    if (gen_maybe(g, 70))
        update_in_place(g, s);
    else
        gen_store_new(g, s);
}

static void gen_scalars(struct gen *g)
{
    uint8_t n = gen_axis(g, 'n', gen_batch_or(g, gen_some_rows(g)));
    uint32_t v = gen_stage(g, K_MAP, &n, 1);
    g->k->stage[v].value = gen_mix(g, gen_read_new(g, v, &n, 1), gen_read_new(g, v, &n, 1));
    if (gen_maybe(g, 50))
        gen_store_new(g, v);
    uint32_t s = gen_sum(g, gen_maybe(g, 60) ? ORDER_CHUNK : ORDER_LANES, NULL, 0, &n, 1);
    g->k->stage[s].seg[0].factor[0] = gen_read_stage(g, s, v);
    uint32_t m = gen_stage(g, K_MAP, NULL, 0);
    sx_id batch = sx_scalar(&g->k->sx, g->k->nscalar++, SX_FLOAT);
    g->k->stage[m].value = op2(g, SX_MUL, gen_read_stage(g, m, s), batch);
    gen_store_new(g, m);
    if (gen_maybe(g, 50)) {
        uint32_t w = gen_stage(g, K_MAP, &n, 1);
        g->k->stage[w].value = gen_mix(g, gen_read_stage(g, w, v), gen_read_stage(g, w, m));
        gen_store_new(g, w);
    }
}

/* One small product a sample. */
static void gen_batched(struct gen *g)
{
    uint8_t ax[3], red[1], two[3];
    ax[0] = gen_axis(g, 'n', gen_batch_or(g, gen_some_rows(g)));
    ax[1] = gen_axis(g, 'r', ext_const(gen_some_rows(g)));
    ax[2] = gen_axis(g, 'c', ext_const(gen_some_cols(g)));
    red[0] = gen_axis(g, 'k', ext_const(PICK(g, reds_of)));
    uint32_t s = gen_sum(g, ORDER_SEQ, ax, 3, red, 1);
    two[0] = ax[0], two[1] = ax[1], two[2] = red[0];
    g->k->stage[s].seg[0].factor[0] = gen_read_new(g, s, two, 3);
    two[0] = ax[0], two[1] = red[0], two[2] = ax[2];
    g->k->stage[s].seg[0].factor[1] = gen_read_new(g, s, two, 3);
    uint32_t y = gen_stage(g, K_MAP, ax, 3);
    g->k->stage[y].value = gen_mix(g, gen_read_stage(g, y, s), gen_broadcast(g, y, ax, 3));
    gen_store_new(g, y);
    if (gen_maybe(g, 50)) {
        uint32_t l = gen_sum(g, ORDER_LANES, ax, 1, ax + 1, 2);
        g->k->stage[l].seg[0].factor[0] = gen_read_stage(g, l, y);
        gen_store_new(g, l);
    }
}

/* Samples that a product spreads over channels and places: a transposed convolution of one
 * place. */
static void gen_spread(struct gen *g)
{
    uint8_t ax[3], red[1], two[3];
    ax[0] = gen_axis(g, 'n', gen_batch_or(g, gen_some_rows(g)));
    ax[1] = gen_axis(g, 'r', ext_const(gen_some_rows(g)));
    ax[2] = gen_axis(g, 'c', ext_const(PICK(g, places_of)));
    red[0] = gen_axis(g, 'k', ext_const(gen_maybe(g, 30) ? PICK(g, reds_of) : 130));
    uint32_t s = gen_sum(g, ORDER_SEQ, ax, 3, red, 1);
    two[0] = ax[0], two[1] = red[0];
    sx_id x = gen_read_new(g, s, two, 2);
    g->k->stage[s].seg[0].factor[0] =
        gen_maybe(g, 40) ? gen_mix(g, x, gen_read_new(g, s, two, 2)) : x;
    two[0] = red[0], two[1] = ax[1], two[2] = ax[2];
    g->k->stage[s].seg[0].factor[1] = gen_read_new(g, s, two, 3);
    uint32_t y = gen_stage(g, K_MAP, ax, 3);
    g->k->stage[y].value = gen_mix(g, gen_read_stage(g, y, s), gen_broadcast(g, y, ax, 3));
    gen_store_new(g, y);
}

/* Distances of all pairs in the batch, as NT-Xent needs them: columns are samples, too. */
static void gen_pairs(struct gen *g)
{
    uint8_t ax[2], red[1], two[2];
    ax[0] = gen_axis(g, 'n', (struct ext){0, 1});
    ax[1] = gen_axis(g, 'm', (struct ext){0, 1});
    red[0] = gen_axis(g, 'k', ext_const(PICK(g, reds_of)));
    uint32_t s = gen_sum(g, ORDER_SEQ, ax, 2, red, 1);
    two[0] = ax[0], two[1] = red[0];
    uint16_t x = gen_buffer(g, DT_F32, BUF_READ, two, 2);
    g->k->stage[s].seg[0].factor[0] = gen_read_buf(g, s, x, gen_walk(g, two, 2));
    two[0] = ax[1];
    g->k->stage[s].seg[0].factor[1] = gen_read_buf(g, s, x, gen_walk(g, two, 2));
    uint32_t y = gen_stage(g, K_MAP, ax, 2);
    g->k->stage[y].value = gen_mix(g, gen_read_stage(g, y, s), number(g));
    gen_store_new(g, y);
    uint32_t l = gen_sum(g, ORDER_LANES, ax, 1, ax + 1, 1);
    g->k->stage[l].seg[0].factor[0] = gen_read_stage(g, l, y);
    gen_store_new(g, l);
}

/* The old value of what is updated in place is read by others first, in another shape. */
static void gen_in_place(struct gen *g)
{
    uint8_t ax[2];
    ax[0] = gen_axis(g, 'o', ext_const(gen_some_rows(g)));
    ax[1] = gen_axis(g, 'i', ext_const(gen_some_cols(g)));
    uint16_t w = gen_buffer(g, DT_F32, BUF_READ_WRITE, ax, 2);
    if (gen_maybe(g, 40)) { /* something that the update could be joined with */
        uint32_t m = gen_stage(g, K_MAP, ax, 2);
        g->k->stage[m].value = gen_mix(g, gen_read_new(g, m, ax, 2), number(g));
        gen_store_new(g, m);
    }
    bool down = gen_maybe(g, 50);
    const uint8_t *kept = down ? ax + 1 : ax, *red = down ? ax : ax + 1;
    uint32_t s = gen_sum(g, gen_maybe(g, 50) ? ORDER_LANES : ORDER_SEQ, kept, 1, red, 1);
    g->k->stage[s].seg[0].factor[0] = gen_read_buf(g, s, w, gen_walk(g, ax, 2));
    if (gen_maybe(g, 50))
        gen_store_new(g, s);
    if (gen_maybe(g, 50)) { /* along the other axis, or when the first sum is known */
        bool other = gen_maybe(g, 50);
        uint32_t t = gen_sum(g, ORDER_LANES, other ? red : kept, 1, other ? kept : red, 1);
        g->k->stage[t].seg[0].factor[0] = gen_read_buf(g, t, w, gen_walk(g, ax, 2));
        if (!other)
            g->k->stage[t].seg[0].factor[1] = gen_read_stage(g, t, s);
        gen_store_new(g, t);
    }
    if (gen_maybe(g, 50)) { /* and once more at the same point */
        uint32_t c = gen_stage(g, K_MAP, ax, 2);
        g->k->stage[c].value = gen_mix(g, gen_read_buf(g, c, w, gen_walk(g, ax, 2)),
                                       gen_read_new(g, c, kept, 1));
        gen_store_new(g, c);
    }
    uint32_t u = gen_stage(g, K_MAP, ax, 2);
    sx_id old = gen_read_buf(g, u, w, gen_walk(g, ax, 2)), more = gen_read_new(g, u, ax, 2);
    if (gen_maybe(g, 60))
        more = op2(g, SX_ADD, more, gen_read_stage(g, u, s));
    g->k->stage[u].value = sx_make(&g->k->sx, SX_FMA, old, sx_const(&g->k->sx, 0.5), more);
    g->k->stage[u].store[g->k->stage[u].nstore++] = (struct kstore){w, gen_walk(g, ax, 2)};
}

/* A value of what is updated in place, wanted after the update by more than its own points.
 */
static void gen_old_value(struct gen *g)
{
    uint8_t ax[2];
    ax[0] = gen_axis(g, 'o', ext_const(gen_some_rows(g)));
    ax[1] = gen_axis(g, 'i', ext_const(gen_some_cols(g)));
    uint16_t v = gen_buffer(g, DT_F32, BUF_READ_WRITE, ax, 1);
    uint32_t m = gen_stage(g, K_MAP, ax, 1);
    g->k->stage[m].value =
        op2(g, SX_MUL, gen_read_buf(g, m, v, gen_walk(g, ax, 1)), number(g));
    uint32_t u = gen_stage(g, K_MAP, ax, 1);
    g->k->stage[u].value =
        op2(g, SX_ADD, gen_read_stage(g, u, m), gen_read_new(g, u, ax, 1));
    g->k->stage[u].store[g->k->stage[u].nstore++] = (struct kstore){v, gen_walk(g, ax, 1)};
    uint32_t z = gen_stage(g, K_MAP, ax, 2);
    g->k->stage[z].value = gen_mix(g, gen_read_new(g, z, ax, 2), gen_read_stage(g, z, m));
    gen_store_new(g, z);
}

/* Digits of axes in indices, as reshapes leave them. */
static void gen_digits(struct gen *g)
{
    uint8_t ax[2], inner[1];
    int32_t a = 1 + gen_below(&g->state, 5), b = 1 + gen_below(&g->state, 6);
    ax[0] = gen_axis(g, 'n', gen_batch_or(g, gen_some_rows(g)));
    ax[1] = gen_axis(g, 'c', ext_const(a * b));
    inner[0] = gen_axis(g, 'k', ext_const(PICK(g, reds_of)));
    uint32_t s = gen_stage(g, K_MAP, ax, 2);
    uint16_t x = gen_buffer(g, DT_F32, BUF_READ, ax, 2);
    struct index at = index_const(0); /* [n, a, b] read as [n, b, a] */
    index_term(&at, (struct term){ax[0], 1, 0, {a * b, 0}});
    index_term(&at, (struct term){ax[1], a, 0, {1, 0}});
    index_term(&at, (struct term){ax[1], 1, a, {b, 0}});
    g->k->stage[s].value =
        gen_mix(g, gen_read_buf(g, s, x, at), gen_broadcast(g, s, ax, 2));
    if (gen_maybe(g, 60))
        gen_store_new(g, s);
    if (gen_maybe(g, 50)) {
        uint32_t l = gen_sum(g, (enum form_order)gen_below(&g->state, 2), ax, 1, ax + 1, 1);
        g->k->stage[l].seg[0].factor[0] = gen_read_stage(g, l, s);
        gen_store_new(g, l);
    } else {
        uint32_t y = gen_sum(g, ORDER_SEQ, ax, 2, inner, 1);
        uint8_t two[2] = {ax[0], inner[0]};
        g->k->stage[y].seg[0].factor[0] = gen_read_new(g, y, two, 2);
        two[0] = inner[0], two[1] = ax[1];
        g->k->stage[y].seg[0].factor[1] = gen_read_new(g, y, two, 2);
        uint32_t z = gen_stage(g, K_MAP, ax, 2);
        g->k->stage[z].value = gen_mix(g, gen_read_stage(g, z, y), gen_read_stage(g, z, s));
        gen_store_new(g, z);
    }
}

/* Labels and masks: i32 and bool operands, i32 and bool results. */
static void gen_types(struct gen *g)
{
    struct sxb *b = &g->k->sx;
    uint8_t ax[2];
    ax[0] = gen_axis(g, 'n', gen_batch_or(g, gen_some_rows(g)));
    ax[1] = gen_axis(g, 'c', ext_const(gen_some_cols(g)));
    uint32_t s = gen_stage(g, K_MAP, ax, 2);
    sx_id label =
        gen_read_buf(g, s, gen_buffer(g, DT_I32, BUF_READ, ax, 1), gen_walk(g, ax, 1));
    sx_id mask =
        gen_read_buf(g, s, gen_buffer(g, DT_BOOL, BUF_READ, ax, 2), gen_walk(g, ax, 2));
    sx_id x = gen_read_new(g, s, ax, 2);
    sx_id hit = sx_make(b, SX_AND, sx_make(b, SX_EQ, label, sx_axis(b, ax[1]), 0), mask, 0);
    int kind = gen_below(&g->state, 3);
    if (kind == 0)
        g->k->stage[s].value = sx_make(b, SX_SEL, hit, x, number(g));
    else if (kind == 1)
        g->k->stage[s].value =
            sx_make(b, SX_OR, hit, sx_make(b, SX_LT, x, number(g), 0), 0);
    else
        g->k->stage[s].value = sx_make(b, SX_IADD, label, sx_make(b, SX_F2I, x, 0, 0), 0);
    g->k->stage[s].dtype = kind == 0 ? DT_F32 : kind == 1 ? DT_BOOL : DT_I32;
    gen_store_new(g, s);
    if (kind == 0)
        row_tail(g, ax, s);
}

/* An i32 buffer over the axes, or a map of one: what it holds may be out of range. */
static sx_id index_operand(struct gen *g, uint32_t st, const uint8_t *ax, uint8_t n,
                           uint32_t made)
{
    struct kstage *s = &g->k->stage[st];
    if (made == UINT32_MAX)
        return gen_read_buf(g, st, gen_buffer(g, DT_I32, BUF_READ, ax, n),
                            gen_walk(g, ax, n));
    s->operand[s->noperand] = (struct koperand){.stage = true, .id = (uint16_t)made};
    return sx_arg(&g->k->sx, s->noperand++, SX_I32);
}

/* A map that moves an index by a constant: another stage decides where to read. */
static uint32_t index_stage(struct gen *g, const uint8_t *ax, uint8_t n)
{
    if (gen_maybe(g, 60))
        return UINT32_MAX;
    struct sxb *b = &g->k->sx;
    uint32_t s = gen_stage(g, K_MAP, ax, n);
    g->k->stage[s].dtype = DT_I32;
    sx_id x =
        gen_read_buf(g, s, gen_buffer(g, DT_I32, BUF_READ, ax, n), gen_walk(g, ax, n));
    g->k->stage[s].value = sx_make(b, SX_ISUB, x, sx_int(b, gen_below(&g->state, 6)), 0);
    if (gen_maybe(g, 30))
        gen_store_new(g, s);
    return s;
}

/* out[n, i, t] = src[n, index[n, i], t], with or without n, i and t. */
static void gen_gather(struct gen *g)
{
    static const uint8_t dtypes[] = {DT_F32, DT_F32, DT_I32, DT_BOOL};
    uint8_t ax[3], n = 0, from[3], m = 0, at[2], p = 0;
    const bool aligned = gen_maybe(g, 50), tail = gen_maybe(g, 70);
    ax[n++] = gen_axis(g, 'n', gen_batch_or(g, gen_some_rows(g)));
    if (gen_maybe(g, 50))
        ax[n++] = gen_axis(g, 'i', ext_const(gen_some_cols(g)));
    const uint8_t v = gen_axis(g, 'v',
                               gen_maybe(g, 20) && !aligned ? (struct ext){0, 1}
                                                            : ext_const(PICK(g, reds_of)));
    memcpy(at, ax, n);
    p = n;
    if (aligned)
        from[m++] = ax[0];
    from[m++] = v;
    if (tail)
        from[m++] = ax[n++] = gen_axis(g, 't', ext_const(gen_some_cols(g)));
    const uint32_t made = index_stage(g, at, p), s = gen_stage(g, K_MAP, ax, n);
    const uint8_t dtype = dtypes[gen_below(&g->state, 4)];
    const sx_id index = index_operand(g, s, at, p, made);
    struct index x = gen_walk(g, from, m), rest = index_const(0);
    bool plain;
    const struct pick pick = {(uint16_t)(g->k->sx.node[index].a + 1),
                              index_coef(&x, v, &plain), g->k->axis[v]};
    for (unsigned i = 0; i < x.n; i++)
        if (x.t[i].axis != v)
            index_term(&rest, x.t[i]);
    g->k->stage[s].value =
        gen_read_buf(g, s, gen_buffer(g, dtype, BUF_READ, from, m), rest);
    g->k->stage[s].operand[g->k->stage[s].noperand - 1].pick = pick;
    g->k->stage[s].dtype = dtype;
    if (dtype == DT_F32 && gen_maybe(g, 50))
        g->k->stage[s].value = gen_mix(g, g->k->stage[s].value, gen_broadcast(g, s, ax, n));
    gen_store_new(g, s);
    if (dtype == DT_F32 && n == 2 && gen_maybe(g, 40))
        row_tail(g, ax, s);
}

/* out[n, index[n, i], t] += in[n, i, t], with or without n and t; one i may be the batch.
 */
static void gen_scatter(struct gen *g)
{
    uint8_t ax[3], n = 0, from[4], m = 0, at[3], p = 0, red[2], nred = 0;
    const bool aligned = gen_maybe(g, 40), tail = gen_maybe(g, 70);
    const uint8_t b = gen_axis(g, 'n', gen_batch_or(g, gen_some_rows(g)));
    if (aligned)
        ax[n++] = from[m++] = at[p++] = b;
    else
        red[nred++] = from[m++] = at[p++] = b;
    if (aligned || gen_maybe(g, 50))
        red[nred++] = from[m++] = at[p++] = gen_axis(g, 'i', ext_const(gen_some_cols(g)));
    const uint8_t v = ax[n++] = gen_axis(g, 'v', ext_const(PICK(g, reds_of)));
    if (tail)
        ax[n++] = gen_axis(g, 't', ext_const(gen_some_cols(g)));
    if (tail && gen_maybe(g, 80)) /* else the same value for all t */
        from[m++] = ax[n - 1];
    const uint32_t made = index_stage(g, at, p), s = gen_stage(g, K_SCATTER, ax, n);
    struct kstage *k = &g->k->stage[s];
    k->along = v;
    k->nred = nred;
    memcpy(k->red, red, nred);
    k->at = (uint16_t)g->k->sx.node[index_operand(g, s, at, p, made)].a;
    k->value = gen_read_new(g, s, from, m);
    if (gen_maybe(g, 40))
        k->value = gen_mix(g, k->value, number(g));
    if (gen_maybe(g, 80))
        gen_store_new(g, s);
    if (g->k->stage[s].nstore == 0 || gen_maybe(g, 40)) {
        uint32_t y = gen_stage(g, K_MAP, ax, n);
        g->k->stage[y].value =
            gen_mix(g, gen_read_stage(g, y, s), gen_broadcast(g, y, ax, n));
        gen_store_new(g, y);
    }
}

struct kernel *kernel_random(uint64_t seed, struct arena *a)
{
    static void (*const all[])(struct gen *) = {
        gen_maps,     gen_contract,  gen_contract, gen_rows,    gen_chunks,
        gen_weights,  gen_scalars,   gen_batched,  gen_spread,  gen_pairs,
        gen_in_place, gen_old_value, gen_digits,   gen_windows, gen_types,
        gen_gather,   gen_scatter,   gen_images,   gen_images,  gen_pools};
    struct gen g = {.a = a, .k = arena_alloc(a, sizeof *g.k), .state = seed};
    for (int i = 0; i < 4; i++)
        gen_next(&g.state);
    g.k->arena = a;
    g.k->name = arena_fmt(a, "random %llu", (unsigned long long)seed);
    sx_init(&g.k->sx, a);
    all[gen_below(&g.state, (int32_t)(sizeof all / sizeof *all))](&g);
    return g.k;
}

/* ---- data ---- */

static void fill(void *p, const struct kbuf *b, bool f64, int64_t i, uint64_t *state,
                 bool slack)
{
    double v = slack ? (double)NAN : gen_below(state, 4001) / 1000.0 - 2;
    if (b->dtype == DT_BOOL)
        ((uint8_t *)p)[i] = gen_below(state, 2) != 0;
    else if (b->dtype == DT_I32)
        ((int32_t *)p)[i] = gen_below(state, 12) - 1;
    else if (f64)
        ((double *)p)[i] = v;
    else
        ((float *)p)[i] = (float)v;
}

struct kernel_data kernel_data_new(const struct kbuf *buf, uint32_t nbuf, uint32_t nscalar,
                                   bool f64, int64_t batch, uint64_t seed, struct arena *a)
{
    struct kernel_data d = {.buf = arena_array(a, nbuf + 1, sizeof(void *)),
                            .elems = arena_array(a, nbuf + 1, sizeof(int64_t)),
                            .scalar = arena_array(a, nscalar + 1, sizeof *d.scalar),
                            .watch = arena_array(a, HYP_WATCH, sizeof *d.watch)};
    for (uint32_t i = 0; i < nbuf; i++) {
        int64_t n = 1, row = 1;
        uint64_t state = seed * 1000 + i;
        for (unsigned k = 0; k < buf[i].rank; k++) {
            int64_t e = ext_at(buf[i].dim[k], batch);
            if (k == 0 && buf[i].div > 1)
                e = (e + buf[i].div - 1) / buf[i].div;
            n *= e;
            row *= k ? e : 1;
        }
        d.elems[i] = n;
        int64_t all = buf[i].rank && buf[i].dim[0].b ? n + 11 * row : n;
        d.buf[i] = arena_array(a, (size_t)all + 16, 8);
        d.buf[i] = (void *)(((uintptr_t)d.buf[i] + 63) & ~(uintptr_t)63);
        for (int64_t k = 0; k < all; k++)
            fill(d.buf[i], &buf[i], f64, k, &state, k >= n);
    }
    for (uint32_t i = 0; i < nscalar; i++) {
        uint64_t state = seed * 77 + i;
        if (f64)
            d.scalar[i].d = gen_below(&state, 100) / 16.0;
        else
            d.scalar[i].f = (float)gen_below(&state, 100) / 16.0f;
    }
    return d;
}

bool kernel_data_told(const struct kernel_data *d)
{
    uint32_t any = 0;
    for (unsigned i = 0; i < HYP_WATCH; i++)
        any |= d->watch[i];
    return any != 0;
}

bool kernel_data_bad(const struct kernel_data *d, const struct kbuf *buf, uint32_t nbuf,
                     bool f64)
{
    bool bad = false;
    for (uint32_t i = 0; i < nbuf; i++)
        for (int64_t k = 0; buf[i].watched && k < d->elems[i]; k++)
            bad |= f64 ? !isfinite(((const double *)d->buf[i])[k])
                       : !isfinite(((const float *)d->buf[i])[k]);
    return bad;
}
