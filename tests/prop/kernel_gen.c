/*
 * What a seed means: which kind of kernel it asks for, and what its buffers hold.
 */
#include "tests/prop/kernel_gen_internal.h"

#include <math.h>

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

struct kernel *kernel_random(uint64_t seed, struct arena *a)
{
    static void (*const all[])(struct gen *) = {
        gen_maps,    gen_contract, gen_contract, gen_rows,   gen_chunks,   gen_weights,
        gen_scalars, gen_batched,  gen_spread,   gen_pairs,  gen_in_place, gen_old_value,
        gen_digits,  gen_windows,  gen_types,    gen_gather, gen_scatter,  gen_images,
        gen_images,  gen_pools,    gen_parts,    gen_places};
    struct gen g = {.a = a, .k = arena_alloc(a, sizeof *g.k), .state = seed};
    for (int i = 0; i < 4; i++)
        gen_next(&g.state);
    g.k->arena = a;
    g.k->name = arena_fmt(a, "random %llu", (unsigned long long)seed);
    sx_init(&g.k->sx, a);
    all[gen_below(&g.state, (int32_t)(sizeof all / sizeof *all))](&g);
    return g.k;
}

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
