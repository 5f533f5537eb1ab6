/*
 * Windows that move over rows and images: convolutions in both directions, and the largest
 * of a window.  What lies outside of what is read counts as 0.
 */
#include "tests/prop/kernel_gen_internal.h"

#include <string.h>

#include "codegen/loop/index.h"
#include "runtime/base/arena.h"

/* A window that leaves its input: what is outside reads 0. */
void gen_windows(struct gen *g)
{
    uint8_t ax[3], red[2], n = 2;
    int32_t width = 1 + gen_below(&g->state, 4), pad = gen_below(&g->state, width);
    ax[0] = gen_axis(g, 'n', gen_batch_or(g, gen_some_rows(g)));
    ax[1] = gen_axis(g, 'x', ext_const(gen_some_cols(g)));
    red[0] = gen_axis(g, 'u', ext_const(width));
    if (gen_maybe(g, 50))
        ax[n++] = gen_axis(g, 'f', ext_const(gen_some_cols(g)));
    uint32_t s = gen_sum(g, ORDER_SEQ, ax, n, red, 1);
    struct kstage *k = &g->k->stage[s];
    uint16_t x = gen_buffer(g, DT_F32, BUF_READ, ax, 2);
    struct guard *in = arena_array(g->a, 1, sizeof *in);
    in->index = index_offset(index_sum(index_axis(ax[1], 1), index_axis(red[0], 1)), -pad);
    in->bound = g->k->axis[ax[1]];
    struct index at = in->index;
    index_term(&at, (struct term){ax[0], 1, 0, g->k->axis[ax[1]]});
    sx_id v = gen_read_buf(g, s, x, at);
    k->operand[k->noperand - 1].guard = in;
    k->operand[k->noperand - 1].nguard = 1;
    k->seg[0].factor[0] = v;
    red[1] = ax[n - 1];
    k->seg[0].factor[1] = gen_read_new(g, s, red, n == 3 ? 2 : 1);
    uint32_t y = gen_stage(g, K_MAP, ax, n);
    g->k->stage[y].value = gen_mix(g, gen_read_stage(g, y, s), gen_broadcast(g, y, ax, n));
    gen_store_new(g, y);
}

/* Axes of a convolution, and the image [n, c, h, w] that it walks. */
enum { IMG_N, IMG_F, IMG_Y, IMG_X, IMG_C, IMG_U, IMG_V, IMG_AXES };
struct image {
    uint8_t ax[IMG_AXES];
    int32_t stride[2], pad[2], dilation[2], size[2];
};

static struct image gen_image(struct gen *g)
{
    static const int32_t depths[] = {1, 2, 3, 5, 6, 7, 13, 24, 25};
    static const int32_t places[] = {1, 2, 3, 4, 5, 7, 8, 9, 17, 33};
    struct image m;
    for (unsigned d = 0; d < 2; d++) {
        m.stride[d] = 1 + gen_below(&g->state, 3);
        m.dilation[d] = 1 + gen_below(&g->state, 2);
    }
    m.ax[IMG_N] = gen_axis(g, 'n', gen_batch_or(g, 1 + gen_below(&g->state, 3)));
    m.ax[IMG_F] = gen_axis(g, 'f', ext_const(PICK(g, depths)));
    m.ax[IMG_C] = gen_axis(g, 'c', ext_const(1 + gen_below(&g->state, 3)));
    for (unsigned d = 0; d < 2; d++) {
        const int32_t n = places[gen_below(&g->state, d ? 10 : 5)],
                      k = 1 + gen_below(&g->state, 4);
        m.ax[IMG_Y + d] = gen_axis(g, (char)('y' - d), ext_const(n));
        m.ax[IMG_U + d] = gen_axis(g, (char)('u' + d), ext_const(k));
        m.pad[d] = gen_below(&g->state, k);
        m.size[d] = (n - 1) * m.stride[d] + (k - 1) * m.dilation[d] + 1 - 2 * m.pad[d];
        m.size[d] = m.size[d] < 1 ? 1 : m.size[d] + gen_below(&g->state, 2);
    }
    return m;
}

static sx_id read_image(struct gen *g, uint32_t st, const struct image *m)
{
    const uint8_t lead[2] = {m->ax[IMG_N], m->ax[IMG_C]};
    struct guard *in = arena_array(g->a, 2, sizeof *in);
    struct index at = gen_walk(g, lead, 2);
    uint16_t buf = gen_buffer(g, DT_F32, BUF_READ, lead, 2);
    for (unsigned d = 0; d < 2; d++) {
        struct index up = index_const(0), x = index_const(-m->pad[d]);
        index_term(&x, (struct term){m->ax[IMG_Y + d], 1, 0, {m->stride[d], 0}});
        index_term(&x, (struct term){m->ax[IMG_U + d], 1, 0, {m->dilation[d], 0}});
        in[d] = (struct guard){x, ext_const(m->size[d])};
        index_add(&up, &at, ext_const(m->size[d]));
        at = index_sum(up, x);
        g->k->buf[buf].dim[g->k->buf[buf].rank++] = ext_const(m->size[d]);
    }
    const sx_id v = gen_read_buf(g, st, buf, at);
    struct koperand *p = &g->k->stage[st].operand[g->k->stage[st].noperand - 1];
    p->guard = in;
    p->nguard = 2;
    return v;
}

/* What is loaded, or computed of two loads. */
static sx_id gen_mixed(struct gen *g, uint32_t st, const uint8_t *ax, uint8_t n)
{
    const sx_id x = gen_read_new(g, st, ax, n);
    return gen_maybe(g, 50) ? gen_mix(g, x, gen_broadcast(g, st, ax, n)) : x;
}

/*
 * The gradient of filters of one place, perhaps in groups of channels: both factors have
 * rows of memory along the sum.
 */
static void gen_one_place(struct gen *g)
{
    static const int32_t rows[] = {1, 3, 6, 13, 25}, lanes[] = {5, 8, 16, 24, 32, 48};
    static const int32_t places[] = {3, 8, 16, 17, 19, 33};
    const uint8_t n = gen_axis(g, 'n', gen_batch_or(g, 1 + gen_below(&g->state, 3)));
    const uint8_t d = gen_axis(g, 'd', ext_const(1 + gen_below(&g->state, 2)));
    const uint8_t f = gen_axis(g, 'f', ext_const(PICK(g, rows)));
    const uint8_t c = gen_axis(g, 'c', ext_const(PICK(g, lanes)));
    const uint8_t x = gen_axis(g, 'x', ext_const(PICK(g, places)));
    const uint8_t space[] = {d, f, c}, red[] = {n, x}, of_rows[] = {n, d, f, x};
    const uint8_t image[] = {n, d, c, x};
    const uint32_t s = gen_sum(g, ORDER_CHUNK, space, 3, red, 2);
    const unsigned first = gen_maybe(g, 50);
    g->k->stage[s].seg[0].factor[first] = gen_read_new(g, s, image, 4);
    g->k->stage[s].seg[0].factor[1 - first] = gen_mixed(g, s, of_rows, 4);
    gen_store_new(g, s);
}

/* x where the image is, 0 outside. */
static sx_id cut_to_image(struct gen *g, uint32_t st, sx_id x)
{
    struct sxb *b = &g->k->sx;
    const struct koperand *p = &g->k->stage[st].operand[0];
    for (unsigned d = 0; d < p->nguard; d++) {
        const struct index *at = &p->guard[d].index;
        sx_id n = sx_int(b, at->off.c);
        for (unsigned i = 0; i < at->n; i++)
            n = sx_make(b, SX_IADD, n,
                        sx_make(b, SX_IMUL, sx_axis(b, at->t[i].axis),
                                sx_int(b, at->t[i].coef.c), 0),
                        0);
        const sx_id in = sx_make(b, SX_LT, sx_make(b, SX_I2U, n, 0, 0),
                                 sx_u32(b, (uint32_t)p->guard[d].bound.c), 0);
        x = sx_make(b, SX_SEL, in, x, sx_const(b, 0));
    }
    return x;
}

/* A factor, computed where it is read: of the image, or of what lies along `other`. */
static uint32_t gen_factor(struct gen *g, const struct image *m, const uint8_t *other)
{
    static const uint8_t window[] = {IMG_N, IMG_C, IMG_Y, IMG_X, IMG_U, IMG_V};
    uint8_t ax[6];
    for (unsigned i = 0; i < 6; i++)
        ax[i] = m->ax[window[i]];
    const uint32_t s = gen_stage(g, K_MAP, other ? other : ax, other ? 4 : 6);
    struct kstage *k = &g->k->stage[s];
    const sx_id x = other ? gen_read_new(g, s, other, 4) : read_image(g, s, m);
    const sx_id y = gen_mix(g, x, gen_broadcast(g, s, k->axis, k->naxis));
    k->value = !other && gen_maybe(g, 60) ? cut_to_image(g, s, y) : y;
    return s;
}

/* The result of a convolution, or its weights' gradient: in a chain or in chunks.  Either
 * factor may be a map. */
void gen_images(struct gen *g)
{
    if (gen_maybe(g, 30)) {
        gen_one_place(g);
        return;
    }
    static const uint8_t result[] = {IMG_N, IMG_F, IMG_Y, IMG_X};
    static const uint8_t weights[] = {IMG_F, IMG_C, IMG_U, IMG_V};
    static const uint8_t sum[] = {IMG_C, IMG_U, IMG_V}, rows[] = {IMG_N, IMG_Y, IMG_X};
    const struct image m = gen_image(g);
    const bool forward = gen_maybe(g, 60);
    uint8_t space[4], other[4], red[3];
    for (unsigned i = 0; i < 4; i++) {
        space[i] = m.ax[forward ? result[i] : weights[i]];
        other[i] = m.ax[forward ? weights[i] : result[i]];
        red[i % 3] = m.ax[forward ? sum[i % 3] : rows[i % 3]];
    }
    const bool chunks = !forward && gen_maybe(g, 50);
    const bool map = gen_maybe(g, 40), other_map = gen_maybe(g, 25);
    const uint32_t image = map ? gen_factor(g, &m, NULL) : 0;
    const uint32_t rest = other_map ? gen_factor(g, &m, other) : 0;
    uint32_t s = gen_sum(g, chunks ? ORDER_CHUNK : ORDER_SEQ, space, 4, red, 3);
    const unsigned first = gen_maybe(g, 50);
    g->k->stage[s].seg[0].factor[first] =
        map ? gen_read_stage(g, s, image) : read_image(g, s, &m);
    g->k->stage[s].seg[0].factor[1 - first] =
        other_map ? gen_read_stage(g, s, rest) : gen_mixed(g, s, other, 4);
    if (gen_maybe(g, 40))
        gen_store_new(g, s);
    uint32_t y = gen_stage(g, K_MAP, space, 4);
    g->k->stage[y].value =
        gen_mix(g, gen_read_stage(g, y, s), gen_broadcast(g, y, space, 4));
    gen_store_new(g, y);
}

/* The largest in windows, its number, or both; every window meets the image, or not. */
void gen_pools(struct gen *g)
{
    const struct image m = gen_image(g);
    const uint8_t space[] = {m.ax[IMG_N], m.ax[IMG_C], m.ax[IMG_Y], m.ax[IMG_X]};
    const bool both = gen_maybe(g, 70), number = gen_maybe(g, 50);
    uint32_t made[2];
    uint16_t buf = 0;
    for (unsigned i = 0; i < 2; i++) {
        const uint32_t s = made[i] = gen_stage(g, K_FOLD, space, 4);
        struct kstage *k = &g->k->stage[s];
        k->value = read_image(g, s, &m);
        if (i && both) /* of the same elements */
            k->operand[0].id = buf;
        buf = k->operand[0].id;
        k->comb = number != (i == 1) ? COMB_ARGMAX : COMB_MAX;
        k->dtype = k->comb == COMB_ARGMAX ? DT_I32 : DT_F32;
        memcpy(k->red, m.ax + IMG_U, 2);
        k->nred = 2;
        if (k->comb == COMB_ARGMAX || gen_maybe(g, 60))
            gen_store_new(g, s);
    }
    const uint32_t largest = made[number], y = gen_stage(g, K_MAP, space, 4);
    g->k->stage[y].value =
        gen_mix(g, gen_read_stage(g, y, largest), gen_broadcast(g, y, space, 4));
    gen_store_new(g, y);
}
