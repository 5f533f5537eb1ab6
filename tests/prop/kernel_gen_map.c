/*
 * Kernels of maps, with the sums and largest elements of what maps make.  A buffer that is
 * updated in place is stored by one map, at the points where that reads it.
 */
#include "tests/prop/kernel_gen_internal.h"

void gen_maps(struct gen *g)
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
            x = gen_mix(g, x, gen_draw(g, s, sample));
        if (gen_maybe(g, 15))
            x = gen_mix(g, x,
                        sx_make(&g->k->sx, SX_I2F, sx_axis(&g->k->sx, ax[m - 1]), 0, 0));
        g->k->stage[s].value = x;
        if (i + 1 == stages || gen_maybe(g, 60))
            gen_store_new(g, s);
        last = s;
    }
}

void gen_rows(struct gen *g)
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
            sx_id d = gen_op2(g, SX_SUB, gen_read_stage(g, e, y), gen_read_stage(g, e, m));
            g->k->stage[e].value = sx_make(&g->k->sx, SX_FN_exp, d, 0, 0);
            y = e;
        }
    }
    gen_row_tail(g, ax, y);
    if (gen_maybe(g, 40))
        gen_column_tail(g, ax, y);
}

/* What rows along a middle axis are scaled by, a number for each of their places; y again.
 */
static uint32_t scaled_places(struct gen *g, const uint8_t *ax, uint8_t n, uint32_t y)
{
    const uint8_t row[3] = {ax[0], ax[2], ax[n - 1]};
    uint32_t sq = gen_stage(g, K_MAP, ax, n);
    sx_id v = gen_read_stage(g, sq, y);
    g->k->stage[sq].value =
        gen_mix(g, gen_op2(g, SX_MUL, v, v), gen_read_new(g, sq, row, (uint8_t)(n - 1)));
    uint32_t s = gen_sum(g, ORDER_SEQ, row, (uint8_t)(n - 1), ax + 1, 1);
    g->k->stage[s].seg[0].factor[0] = gen_read_stage(g, s, gen_maybe(g, 60) ? sq : y);
    if (gen_maybe(g, 30))
        gen_store_new(g, s);
    uint32_t r = gen_stage(g, K_MAP, row, (uint8_t)(n - 1));
    g->k->stage[r].value = gen_mix(g, gen_read_stage(g, r, s), gen_broadcast(g, r, row, 1));
    if (gen_maybe(g, 30))
        gen_store_new(g, r);
    uint32_t z = gen_stage(g, K_MAP, ax, n);
    g->k->stage[z].value = gen_mix(g, gen_read_stage(g, z, y), gen_read_stage(g, z, r));
    return z;
}

/* Rows along a middle axis, as the channels at the places of an image. */
void gen_places(struct gen *g)
{
    const uint8_t n = gen_maybe(g, 50) ? 3 : 4;
    uint8_t ax[4];
    ax[0] = gen_axis(g, 'n', gen_batch_or(g, 1 + gen_below(&g->state, 3)));
    ax[1] = gen_axis(g, 'c', ext_const(gen_some_reds(g)));
    ax[2] = gen_axis(g, 'p', ext_const(n > 3 ? 5 : gen_some_cols(g)));
    if (n > 3)
        ax[3] = gen_axis(g, 'q', ext_const(gen_some_cols(g)));
    uint32_t y = gen_stage(g, K_MAP, ax, n);
    sx_id x = gen_mix(g, gen_read_new(g, y, ax, n), gen_broadcast(g, y, ax, n));
    g->k->stage[y].value = gen_maybe(g, 20) ? gen_mix(g, x, gen_draw(g, y, -1)) : x;
    if (gen_maybe(g, 50))
        gen_store_new(g, y);
    uint32_t z = scaled_places(g, ax, n, y);
    if (gen_maybe(g, 50)) {
        if (gen_maybe(g, 50))
            gen_store_new(g, z);
        z = scaled_places(g, ax, n, z);
    }
    gen_store_new(g, z);
}

void gen_scalars(struct gen *g)
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
    g->k->stage[m].value = gen_op2(g, SX_MUL, gen_read_stage(g, m, s), batch);
    gen_store_new(g, m);
    if (gen_maybe(g, 50)) {
        uint32_t w = gen_stage(g, K_MAP, &n, 1);
        g->k->stage[w].value = gen_mix(g, gen_read_stage(g, w, v), gen_read_stage(g, w, m));
        gen_store_new(g, w);
    }
}

/* The old value of what is updated in place is read by others first, in another shape. */
void gen_in_place(struct gen *g)
{
    uint8_t ax[2];
    ax[0] = gen_axis(g, 'o', ext_const(gen_some_rows(g)));
    ax[1] = gen_axis(g, 'i', ext_const(gen_some_cols(g)));
    uint16_t w = gen_buffer(g, DT_F32, BUF_READ_WRITE, ax, 2);
    if (gen_maybe(g, 40)) { /* something that the update could be joined with */
        uint32_t m = gen_stage(g, K_MAP, ax, 2);
        g->k->stage[m].value = gen_mix(g, gen_read_new(g, m, ax, 2), gen_number(g));
        gen_store_new(g, m);
    }
    bool down = gen_maybe(g, 50);
    const uint8_t *kept = down ? ax + 1 : ax, *red = down ? ax : ax + 1;
    uint32_t s = gen_sum(g, gen_maybe(g, 50) ? ORDER_LANES : ORDER_SEQ, kept, 1, red, 1);
    g->k->stage[s].seg[0].factor[0] = gen_read_all(g, s, w, ax, 2);
    if (gen_maybe(g, 50))
        gen_store_new(g, s);
    if (gen_maybe(g, 50)) { /* along the other axis, or when the first sum is known */
        bool other = gen_maybe(g, 50);
        uint32_t t = gen_sum(g, ORDER_LANES, other ? red : kept, 1, other ? kept : red, 1);
        g->k->stage[t].seg[0].factor[0] = gen_read_all(g, t, w, ax, 2);
        if (!other)
            g->k->stage[t].seg[0].factor[1] = gen_read_stage(g, t, s);
        gen_store_new(g, t);
    }
    if (gen_maybe(g, 50)) { /* and once more at the same point */
        uint32_t c = gen_stage(g, K_MAP, ax, 2);
        g->k->stage[c].value =
            gen_mix(g, gen_read_all(g, c, w, ax, 2), gen_read_new(g, c, kept, 1));
        gen_store_new(g, c);
    }
    uint32_t u = gen_stage(g, K_MAP, ax, 2);
    sx_id old = gen_read_all(g, u, w, ax, 2), more = gen_read_new(g, u, ax, 2);
    if (gen_maybe(g, 60))
        more = gen_op2(g, SX_ADD, more, gen_read_stage(g, u, s));
    g->k->stage[u].value = sx_make(&g->k->sx, SX_FMA, old, sx_const(&g->k->sx, 0.5), more);
    gen_store(g, u, w);
}

/* A value of what is updated in place, wanted after the update by more than its own points.
 */
void gen_old_value(struct gen *g)
{
    uint8_t ax[2];
    ax[0] = gen_axis(g, 'o', ext_const(gen_some_rows(g)));
    ax[1] = gen_axis(g, 'i', ext_const(gen_some_cols(g)));
    uint16_t v = gen_buffer(g, DT_F32, BUF_READ_WRITE, ax, 1);
    uint32_t m = gen_stage(g, K_MAP, ax, 1);
    g->k->stage[m].value = gen_op2(g, SX_MUL, gen_read_all(g, m, v, ax, 1), gen_number(g));
    uint32_t u = gen_stage(g, K_MAP, ax, 1);
    g->k->stage[u].value =
        gen_op2(g, SX_ADD, gen_read_stage(g, u, m), gen_read_new(g, u, ax, 1));
    gen_store(g, u, v);
    uint32_t z = gen_stage(g, K_MAP, ax, 2);
    g->k->stage[z].value = gen_mix(g, gen_read_new(g, z, ax, 2), gen_read_stage(g, z, m));
    gen_store_new(g, z);
}

/* Labels and masks: i32 and bool operands, i32 and bool results. */
void gen_types(struct gen *g)
{
    struct sxb *b = &g->k->sx;
    uint8_t ax[2];
    ax[0] = gen_axis(g, 'n', gen_batch_or(g, gen_some_rows(g)));
    ax[1] = gen_axis(g, 'c', ext_const(gen_some_cols(g)));
    uint32_t s = gen_stage(g, K_MAP, ax, 2);
    sx_id label = gen_read_typed(g, s, DT_I32, ax, 1);
    sx_id mask = gen_read_typed(g, s, DT_BOOL, ax, 2);
    sx_id x = gen_read_new(g, s, ax, 2);
    sx_id hit = sx_make(b, SX_AND, sx_make(b, SX_EQ, label, sx_axis(b, ax[1]), 0), mask, 0);
    int kind = gen_below(&g->state, 3);
    if (kind == 0)
        g->k->stage[s].value = sx_make(b, SX_SEL, hit, x, gen_number(g));
    else if (kind == 1)
        g->k->stage[s].value =
            sx_make(b, SX_OR, hit, sx_make(b, SX_LT, x, gen_number(g), 0), 0);
    else
        g->k->stage[s].value = sx_make(b, SX_IADD, label, sx_make(b, SX_F2I, x, 0, 0), 0);
    g->k->stage[s].dtype = kind == 0 ? DT_F32 : kind == 1 ? DT_BOOL : DT_I32;
    gen_store_new(g, s);
    if (kind == 0)
        gen_row_tail(g, ax, s);
}
