/*
 * Indices that do not just walk a buffer: digits of axes, as reshapes leave them, and the
 * values of another operand, which decide where a gather reads or a scatter adds.
 */
#include "tests/prop/kernel_gen_internal.h"

#include <string.h>

#include "codegen/loop/index.h"

/* Digits of axes in indices, as reshapes leave them. */
void gen_digits(struct gen *g)
{
    uint8_t ax[2], inner[1];
    int32_t a = 1 + gen_below(&g->state, 5), b = 1 + gen_below(&g->state, 6);
    ax[0] = gen_axis(g, 'n', gen_batch_or(g, gen_some_rows(g)));
    ax[1] = gen_axis(g, 'c', ext_const(a * b));
    inner[0] = gen_axis(g, 'k', ext_const(gen_some_reds(g)));
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

/* An i32 buffer over the axes, or a map of one: what it holds may be out of range. */
static sx_id index_operand(struct gen *g, uint32_t st, const uint8_t *ax, uint8_t n,
                           uint32_t made)
{
    struct kstage *s = &g->k->stage[st];
    if (made == UINT32_MAX)
        return gen_read_typed(g, st, DT_I32, ax, n);
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
    sx_id x = gen_read_typed(g, s, DT_I32, ax, n);
    g->k->stage[s].value = sx_make(b, SX_ISUB, x, sx_int(b, gen_below(&g->state, 6)), 0);
    if (gen_maybe(g, 30))
        gen_store_new(g, s);
    return s;
}

/* out[n, i, t] = src[n, index[n, i], t], with or without n, i and t. */
void gen_gather(struct gen *g)
{
    static const uint8_t dtypes[] = {DT_F32, DT_F32, DT_I32, DT_BOOL};
    uint8_t ax[3], n = 0, from[3], m = 0, at[2], p = 0;
    const bool aligned = gen_maybe(g, 50), tail = gen_maybe(g, 70);
    ax[n++] = gen_axis(g, 'n', gen_batch_or(g, gen_some_rows(g)));
    if (gen_maybe(g, 50))
        ax[n++] = gen_axis(g, 'i', ext_const(gen_some_cols(g)));
    const uint8_t v = gen_axis(g, 'v',
                               gen_maybe(g, 20) && !aligned ? (struct ext){0, 1}
                                                            : ext_const(gen_some_reds(g)));
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
        gen_row_tail(g, ax, s);
}

/* out[n, index[n, i], t] += in[n, i, t], with or without n and t; one i may be the batch.
 */
void gen_scatter(struct gen *g)
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
    const uint8_t v = ax[n++] = gen_axis(g, 'v', ext_const(gen_some_reds(g)));
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
        k->value = gen_mix(g, k->value, gen_number(g));
    if (gen_maybe(g, 80))
        gen_store_new(g, s);
    if (g->k->stage[s].nstore == 0 || gen_maybe(g, 40)) {
        uint32_t y = gen_stage(g, K_MAP, ax, n);
        g->k->stage[y].value =
            gen_mix(g, gen_read_stage(g, y, s), gen_broadcast(g, y, ax, n));
        gen_store_new(g, y);
    }
}
