/*
 * Products summed over an axis: layers, their gradients, batches of small products, pairs
 * of samples.
 */
#include "tests/prop/kernel_gen_internal.h"

#include <string.h>

#include "codegen/loop/index.h"
#include "runtime/base/arena.h"

static const int32_t places_of[] = {2, 8, 16, 16, 25, 32};

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

void gen_contract(struct gen *g)
{
    uint8_t ax[2], red[2];
    ax[0] = gen_axis(g, 'n', gen_batch_or(g, gen_some_rows(g)));
    ax[1] = gen_axis(g, 'o', ext_const(gen_some_cols(g)));
    red[0] = gen_axis(g, 'k', ext_const(gen_some_reds(g)));
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
        x = gen_op2(g, SX_ADD, x,
                    sx_make(&g->k->sx, SX_FN_softplus, gen_read_new(g, y, ax, 2), 0, 0));
    for (unsigned i = 0; i < 4 && gen_maybe(g, i ? 60 : 25); i++)
        x = gen_mix(g, x, gen_draw(g, y, g->k->axis[ax[0]].b ? ax[0] : -1));
    g->k->stage[y].value = x;
    gen_store_new(g, y);
    if (gen_maybe(g, 30))
        gen_store_new(g, first);
    if (gen_maybe(g, 40))
        gen_row_tail(g, ax, y);
    if (gen_maybe(g, 40))
        gen_column_tail(g, ax, y);
    if (gen_maybe(g, 20))
        gen_update(g, y);
}

void gen_chunks(struct gen *g)
{
    uint8_t ax[2], red[1], n = (uint8_t)gen_below(&g->state, 3);
    ax[0] = gen_axis(g, 'o', ext_const(gen_some_rows(g)));
    ax[1] = gen_axis(g, 'i', ext_const(gen_some_cols(g)));
    red[0] = gen_axis(g, 'n', gen_batch_or(g, gen_some_rows(g)));
    const uint8_t *space = ax + 2 - n;
    uint32_t s = contraction(g, ORDER_CHUNK, space, n, n > 1 ? space[0] : -1,
                             n ? space[n - 1] : -1, red, 1);
    if (gen_maybe(g, 60))
        gen_update(g, s);
    else
        gen_store_new(g, s);
}

/* The gradient of weights: rows and lanes from one buffer each, the batch summed in one
 * chain. */
void gen_weights(struct gen *g)
{
    uint8_t ax[2], red[1];
    ax[0] = gen_axis(g, 'o', ext_const(gen_some_rows(g)));
    ax[1] = gen_axis(g, 'i', ext_const(gen_some_cols(g)));
    red[0] = gen_axis(g, 'n', (struct ext){0, 1});
    uint32_t s = contraction(g, ORDER_SEQ, ax, 2, ax[0], ax[1], red, 1);
    if (gen_maybe(g, 70))
        gen_update(g, s);
    else
        gen_store_new(g, s);
}

/* The factors of a product that reaches a part of the rows or columns: outside of it, both
 * read 0. */
static void factors_of_part(struct gen *g, uint32_t s, struct kseg *seg,
                            const uint8_t ax[2], const struct guard *part)
{
    struct kstage *k = &g->k->stage[s];
    for (unsigned w = 0; w < 2; w++) {
        const bool first = g->k->axis[ax[w]].b || gen_maybe(g, 70);
        const uint8_t walked[] = {first ? ax[w] : seg->red[0], first ? seg->red[0] : ax[w]};
        seg->factor[w] = gen_read_new(g, s, walked, 2);
        k->operand[k->noperand - 1].guard = arena_copy(g->a, part, sizeof *part);
        k->operand[k->noperand - 1].nguard = 1;
    }
}

/* Two layers' outputs, one below the other or side by side. */
void gen_parts(struct gen *g)
{
    uint8_t ax[2], red[1];
    const bool rows = gen_maybe(g, 60);
    const struct ext part =
        rows ? gen_batch_or(g, gen_some_rows(g)) : ext_const(gen_some_cols(g));
    const struct ext both = {2 * part.c, 2 * part.b};
    ax[0] = gen_axis(g, 'n', rows ? both : gen_batch_or(g, gen_some_rows(g)));
    ax[1] = gen_axis(g, 'o', rows ? ext_const(gen_some_cols(g)) : both);
    red[0] = gen_axis(g, 'k', ext_const(gen_some_reds(g)));
    uint32_t s = gen_sum(g, ORDER_SEQ, ax, 2, red, 1);
    struct guard in = {index_axis(ax[rows ? 0 : 1], 1), part};
    for (unsigned i = 0; i < 2; i++) {
        struct kseg *seg = &g->k->stage[s].seg[i];
        *seg = (struct kseg){.nred = 1, .red = {red[0]}};
        factors_of_part(g, s, seg, ax, &in);
        in.index.off = (struct ext){-part.c, -part.b};
    }
    g->k->stage[s].nseg = 2;
    uint32_t y = gen_stage(g, K_MAP, ax, 2);
    g->k->stage[y].value = gen_mix(g, gen_read_stage(g, y, s), gen_broadcast(g, y, ax, 2));
    gen_store_new(g, y);
}

/* One small product a sample. */
void gen_batched(struct gen *g)
{
    uint8_t ax[3], red[1], two[3];
    ax[0] = gen_axis(g, 'n', gen_batch_or(g, gen_some_rows(g)));
    ax[1] = gen_axis(g, 'r', ext_const(gen_some_rows(g)));
    ax[2] = gen_axis(g, 'c', ext_const(gen_some_cols(g)));
    red[0] = gen_axis(g, 'k', ext_const(gen_some_reds(g)));
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
void gen_spread(struct gen *g)
{
    uint8_t ax[3], red[1], two[3];
    ax[0] = gen_axis(g, 'n', gen_batch_or(g, gen_some_rows(g)));
    ax[1] = gen_axis(g, 'r', ext_const(gen_some_rows(g)));
    ax[2] = gen_axis(g, 'c', ext_const(PICK(g, places_of)));
    red[0] = gen_axis(g, 'k', ext_const(gen_maybe(g, 30) ? gen_some_reds(g) : 130));
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
void gen_pairs(struct gen *g)
{
    uint8_t ax[2], red[1], two[2];
    ax[0] = gen_axis(g, 'n', (struct ext){0, 1});
    ax[1] = gen_axis(g, 'm', (struct ext){0, 1});
    red[0] = gen_axis(g, 'k', ext_const(gen_some_reds(g)));
    uint32_t s = gen_sum(g, ORDER_SEQ, ax, 2, red, 1);
    two[0] = ax[0], two[1] = red[0];
    uint16_t x = gen_buffer(g, DT_F32, BUF_READ, two, 2);
    g->k->stage[s].seg[0].factor[0] = gen_read_all(g, s, x, two, 2);
    two[0] = ax[1];
    g->k->stage[s].seg[0].factor[1] = gen_read_all(g, s, x, two, 2);
    uint32_t y = gen_stage(g, K_MAP, ax, 2);
    g->k->stage[y].value = gen_mix(g, gen_read_stage(g, y, s), gen_number(g));
    gen_store_new(g, y);
    uint32_t l = gen_sum(g, ORDER_LANES, ax, 1, ax + 1, 1);
    g->k->stage[l].seg[0].factor[0] = gen_read_stage(g, l, y);
    gen_store_new(g, l);
}
