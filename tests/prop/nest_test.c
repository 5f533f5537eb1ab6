/*
 * nest = kernel, to the bit: random kernels, every target, float and double, units in a
 * shuffled order; no access outside its buffer, nothing read before it is written, every
 * element of what the kernel writes stored exactly once.  A failing case prints its seed,
 * the kernel and the nest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codegen/interp/kernel_eval.h"
#include "codegen/interp/nest_eval.h"
#include "codegen/loop/loop.h"
#include "codegen/loop/lower.h"
#include "compiler/passes/pass.h"
#include "runtime/base/arena.h"
#include "tests/prop/kernel_gen.h"
#include "tests/prop/random_graph.h"

struct tried {
    uint64_t seed;
    const char *target, *variant;
    int64_t batch, expected; /* expected: when it was scheduled */
    bool f64;
    const struct kernel *k;
    const struct nest *n;
    struct arena *a;
};

static uint32_t hoists;  /* nests that ran in two */
static uint32_t borders; /* that left out what lies outside of an image */

static void complain(const struct tried *t, const char *what)
{
    fprintf(stderr, "seed %llu, target %s, variant %s, batch %lld, %s: %s\n%s\n%s\n",
            (unsigned long long)t->seed, t->target, t->variant, (long long)t->batch,
            t->f64 ? "f64" : "f32", what, kernel_print(t->k, t->a), nest_print(t->n, t->a));
    fail();
}

static void run_stage(const struct tried *t, uint32_t id, struct hyp_kargs *args,
                      struct interp_check *check)
{
    struct interp_stage *s = interp_prepare(t->n, id, t->f64, t->a);
    int64_t units = interp_units(t->n, id, t->batch);
    int64_t *order = arena_array(t->a, (size_t)units + 1, sizeof *order);
    uint64_t state = t->seed + id;
    interp_set_check(s, check);
    args->self = s;
    for (int64_t i = 0; i < units; i++)
        order[i] = i;
    for (int64_t i = units - 1; i > 0; i--) {
        int64_t j = gen_below(&state, (int32_t)i + 1), x = order[i];
        order[i] = order[j];
        order[j] = x;
    }
    for (int64_t i = 0; i < units; i++)
        interp_stage_fn(args, order[i], order[i] + 1, NULL);
}

/* Cleared, then added to: stored any number of times. */
static bool scattered(const struct kernel *k, uint32_t buf)
{
    for (uint32_t i = 0; i < k->nstage; i++)
        for (uint32_t o = 0; o < k->stage[i].nstore; o++)
            if (k->stage[i].op == K_SCATTER && k->stage[i].store[o].buf == buf)
                return true;
    return false;
}

static void compare(const struct tried *t, const struct kernel_data *want,
                    const struct kernel_data *got, uint8_t **stored)
{
    for (uint32_t b = 0; b < t->k->nbuf; b++) {
        const struct kbuf *k = &t->k->buf[b];
        size_t size = k->dtype == DT_BOOL ? 1 : k->dtype == DT_F32 && t->f64 ? 8 : 4;
        for (int64_t i = 0; i < want->elems[b]; i++) {
            const char *x = (const char *)want->buf[b] + (size_t)i * size;
            const char *y = (const char *)got->buf[b] + (size_t)i * size;
            if (memcmp(x, y, size) != 0) {
                double dx = size == 8 ? *(const double *)(const void *)x
                                      : (double)*(const float *)(const void *)x;
                double dy = size == 8 ? *(const double *)(const void *)y
                                      : (double)*(const float *)(const void *)y;
                complain(t, arena_fmt(t->a, "buffer %u, element %lld: %.17g, not %.17g", b,
                                      (long long)i, dy, dx));
            }
            if (stored[b][i] != (k->use != BUF_READ) &&
                !(stored[b][i] && scattered(t->k, b)))
                complain(t, arena_fmt(t->a, "buffer %u, element %lld: stored %d times", b,
                                      (long long)i, stored[b][i]));
        }
    }
}

/* By number of the nest: what is known of the same buffer of the whole one. */
static void **of_buffers(const struct tried *t, const uint16_t *of, uint32_t n,
                         void *const *all)
{
    void **some = arena_array(t->a, n + 1, sizeof *some);
    for (uint32_t i = 0; i < n; i++)
        some[i] = all[of[i]];
    return some;
}

static void run_nest(const struct tried *whole, const struct nest *n, const uint16_t *of,
                     struct hyp_kargs args, uint8_t **stored)
{
    struct tried t = *whole;
    struct interp_check check = {0};
    void **at = of_buffers(&t, of, n->nbuf, (void *const *)stored);
    t.n = n;
    check.stored = (uint8_t *const *)at;
    args.buf = of_buffers(&t, of, n->nbuf, args.buf);
    for (uint32_t i = 0; i < n->nstage; i++) {
        run_stage(&t, i, &args, &check);
        if (check.fault[0])
            complain(&t, check.fault);
    }
}

/* The whole nest, or its packing and the rest. */
static void run_parts(const struct tried *t, bool apart, struct hyp_kargs args,
                      uint8_t **stored)
{
    struct hoisted h;
    uint16_t *of = arena_array(t->a, t->n->nbuf + 1U, sizeof *of);
    bool *seen = arena_array(t->a, t->n->nbuf + 1U, sizeof *seen);
    uint32_t n = t->n->nbuf - t->n->nprivate;
    for (uint32_t i = 0; i < t->n->nbuf; i++)
        of[i] = (uint16_t)i;
    if (!apart || !nest_hoist(t->n, t->a, t->a, &h)) {
        run_nest(t, t->n, of, args, stored);
        return;
    }
    run_nest(t, h.pack, h.of, args, stored);
    for (uint32_t i = 0; i < h.pack->nbuf; i++)
        if (h.pack->buf[i].use == BUF_WRITE) {
            of[n++] = h.of[i];
            seen[h.of[i]] = true;
        }
    for (uint32_t i = t->n->nbuf - t->n->nprivate; i < t->n->nbuf; i++)
        if (!seen[i])
            of[n++] = (uint16_t)i;
    run_nest(t, h.rest, of, args, stored);
    hoists++;
}

static void try_one(const struct tried *t, bool apart)
{
    struct kernel_data want = kernel_data_new(t->k->buf, t->k->nbuf, t->k->nscalar, t->f64,
                                              t->batch, t->seed, t->a);
    struct kernel_data got = kernel_data_new(t->n->buf, t->n->nbuf, t->n->nscalar, t->f64,
                                             t->batch, t->seed, t->a);
    uint8_t **stored = arena_array(t->a, t->n->nbuf + 1, sizeof *stored);
    const struct hyp_kargs args = {.buf = (void *const *)got.buf,
                                   .scalar = got.scalar,
                                   .batch = t->batch,
                                   .seed = 7,
                                   .watch = got.watch};
    for (uint32_t b = 0; b < t->k->nbuf; b++)
        stored[b] = arena_array(t->a, (size_t)got.elems[b] + 1, 1);
    kernel_eval(t->k, t->f64, t->batch, 7, (void *const *)want.buf, want.scalar);
    run_parts(t, apart, args, stored);
    compare(t, &want, &got, stored);
    if (kernel_data_told(&got) != kernel_data_bad(&got, t->n->buf, t->n->nbuf, t->f64))
        complain(t, "watched buffers are told of otherwise than they are");
}

static void nest_is_sound(const struct tried *t, const struct nest *nest)
{
    struct diag_sink *ds = diag_sink_new(t->a, 3);
    char *text = nest_print(nest, t->a);
    struct nest *n = nest_parse(t->a, text, ds, 0);
    diag_print(ds, stderr, false);
    if (!n || strcmp(nest_print(n, t->a), text) != 0)
        complain(t, "the nest does not parse back");
    const char *why = nest_validate(n, t->a);
    if (why)
        complain(t, why);
}

static void mark_read(const struct stmt *st, bool *read)
{
    for (uint32_t i = 0; st->op == S_FOR && i < st->nbody; i++)
        mark_read(st->body[i], read);
    for (uint32_t i = 0; (st->op == S_SET || st->op == S_ACC) && i < st->nload; i++)
        if (!st->load[i].tile)
            read[st->load[i].id] = true;
}

/* What is stored for later stages is read by one. */
static void private_ones_are_read(const struct tried *t)
{
    const struct nest *n = t->n;
    bool *read = arena_array(t->a, n->nbuf + 1U, sizeof *read);
    for (uint32_t i = 0; i < n->nstage; i++)
        mark_read(n->stage[i].root, read);
    for (uint32_t i = n->nbuf - n->nprivate; i < n->nbuf; i++)
        if (!read[i])
            complain(t, "nothing reads a private buffer");
}

static void round_trips(const struct tried *t)
{
    struct hoisted h;
    char *k = kernel_print(t->k, t->a);
    struct diag_sink *ds = diag_sink_new(t->a, 3);
    struct kernel *k2 = kernel_parse(t->a, k, ds, 0);
    diag_print(ds, stderr, false);
    if (!k2 || strcmp(kernel_print(k2, t->a), k) != 0)
        complain(t, "the kernel does not parse back");
    const char *why = kernel_validate(k2, t->a);
    if (why)
        complain(t, why);
    nest_is_sound(t, t->n);
    if (!nest_hoist(t->n, t->a, t->a, &h))
        return;
    nest_is_sound(t, h.pack);
    nest_is_sound(t, h.rest);
}

/* By the target's row, or by that as a variant has it. */
static void try_schedule(struct tried *t, const struct target *target, const char *variant)
{
    struct target row = *target;
    if (variant && !target_vary(target, variant, &row))
        return;
    t->target = target->name;
    t->variant = variant ? variant : "none";
    row.batch = t->expected;
    row.threads = (uint32_t)t->expected / 16;
    t->n = nest_schedule(t->k, &row, t->a);
    borders += t->n->borders;
    round_trips(t);
    private_ones_are_read(t);
    try_one(t, (t->seed ^ (uint64_t)t->batch) & 1);
}

static void try_kernel(uint64_t seed, const struct kernel *k, struct arena *a)
{
    static const int64_t batches[] = {1, 2, 5, 6, 7, 23, 24, 25, 47, 49, 50, 200};
    static const int64_t expected[] = {0, 32, 200};
    struct tried t = {.seed = seed, .a = a, .k = k};
    uint64_t state = seed;
    const struct target *row;
    for (unsigned i = 0; (row = target_at(i)); i++) {
        t.f64 = (seed + i) % 3 == 0;
        t.batch = batches[gen_below(&state, 12)];
        t.expected = expected[(seed + (uint64_t)t.batch) % 3];
        try_schedule(&t, row, NULL);
        try_schedule(&t, row, gen_variant(&state));
    }
}

static const struct kernel *parsed(const char *text, struct arena *a)
{
    struct diag_sink *ds = diag_sink_new(a, 3);
    const struct kernel *k = kernel_parse(a, text, ds, 0);
    diag_print(ds, stderr, false);
    assert_non_null(k);
    return k;
}

static void try_seed(uint64_t seed)
{
    struct arena *a = arena_new();
    try_kernel(seed, kernel_random(seed, a), a);
    arena_free(a);
}

static void nest_equals_kernel(void **unused)
{
    (void)unused;
    const char *from = getenv("HYP_SEED"), *count = getenv("HYP_COUNT");
    uint64_t first = from ? strtoull(from, NULL, 10) : 1;
    uint64_t n = count ? strtoull(count, NULL, 10) : from ? 1 : 300;
    for (uint64_t i = 0; i < n; i++)
        try_seed(first + i);
    if (n >= 300)
        assert_in_range(hoists, n / 50, n * 10);
}

/* ---- the largest of a row ---- */

/* Zeros of either sign, and what is no number, do not depend on how a row is walked. */
static void the_largest_has_one_value(void **unused)
{
    static const char *const values[] = {"%0", "mul(%0, 0)", "sqrt(%0)", "mul(%0, -0.0)"};
    static const int columns[] = {1, 2, 7, 16, 33, 64, 70, 300};
    (void)unused;
    for (unsigned i = 0; i < 4 * 8; i++) {
        struct arena *a = arena_new();
        const int n = columns[i / 4];
        const char *text = arena_fmt(a,
                                     "kernel \"largest\" scalars 0\n  axes n0:1B o1:%d\n"
                                     "  buf #0 f32[1B, %d] read \"x\"\n"
                                     "  buf #1 f32[1B] write \"y\"\n"
                                     "  stage 0 fold f32 [n0] max \"m\"\n"
                                     "    %%0 = #0[%d*n0 + o1]\n    over {o1} = %s\n"
                                     "    #1[n0] = it\n",
                                     n, n, n, values[i % 4]);
        const struct kernel *k = parsed(text, a);
        for (uint64_t seed = 1; seed <= 3; seed++)
            try_kernel(seed + 10 * i, k, a);
        arena_free(a);
    }
}

/* ---- rows along a middle axis ---- */

/* A norm over channels in one stage, whatever the number of places: they lie side by side.
 */
static void rows_side_by_side_are_one_stage(void **unused)
{
    static const int places[] = {4, 15, 16, 31, 32, 64, 100, 256};
    const struct target *t = target_find("avx2");
    (void)unused;
    for (unsigned i = 0; i < 2 * sizeof places / sizeof *places; i++) {
        struct arena *a = arena_new();
        const int p = places[i / 2], c = i % 2 ? 700 : 7;
        const struct kernel *k = parsed(
            arena_fmt(a,
                      "kernel \"norm\" scalars 0\n  axes n0:2 o1:%d p2:%d\n"
                      "  buf #0 f32[2, %d, %d] read \"x\"\n"
                      "  buf #1 f32[2, %d, %d] write \"y\"\n"
                      "  stage 0 map f32 [n0, o1, p2] \"square\"\n"
                      "    %%0 = #0[%d*n0 + %d*o1 + p2]\n    over {} = mul(%%0, %%0)\n"
                      "  stage 1 sum f32 [n0, p2] seq \"sum\"\n"
                      "    %%0 = stage 0\n    over {o1} += %%0\n"
                      "  stage 2 map f32 [n0, p2] \"root\"\n"
                      "    %%0 = stage 1\n    over {} = div(1, sqrt(%%0))\n"
                      "  stage 3 map f32 [n0, o1, p2] \"y\"\n    %%0 = stage 2\n"
                      "    %%1 = #0[%d*n0 + %d*o1 + p2]\n    over {} = mul(%%0, %%1)\n"
                      "    #1[%d*n0 + %d*o1 + p2] = it\n",
                      c, p, c, p, c, p, c * p, p, c * p, p, c * p, p),
            a);
        assert_int_equal(nest_schedule(k, t, a)->nstage, 1);
        try_kernel(i, k, a);
        arena_free(a);
    }
}

/* ---- packed panels ---- */

/* Parts of a panel are read where it lies, though another factor walks rows and columns. */
static void parts_of_panels(void **unused)
{
    static const int columns[] = {33, 36, 40, 48, 70, 130};
    (void)unused;
    for (unsigned i = 0; i < 2 * sizeof columns / sizeof *columns; i++) {
        struct arena *a = arena_new();
        const int n = columns[i / 2];
        const char *rows = i % 2 ? "1B" : "50";
        const struct kernel *k =
            parsed(arena_fmt(a,
                             "kernel \"parts\" scalars 0\n  axes n0:%s o1:%d r2:70\n"
                             "  buf #0 f32[%s, %d, 70] read \"x\"\n"
                             "  buf #1 f32[%d, 70] read \"w\"\n"
                             "  buf #2 f32[%s, %d] write \"y\"\n"
                             "  stage 0 sum f32 [n0, o1] seq \"y\"\n"
                             "    %%0 = #0[%d*n0 + 70*o1 + r2]\n    %%1 = #1[70*o1 + r2]\n"
                             "    over {r2} += %%0 * %%1\n    #2[%d*n0 + o1] = it\n",
                             rows, n, rows, n, n, rows, n, 70 * n, n),
                   a);
        for (uint64_t seed = 1; seed <= 3; seed++)
            try_kernel(seed, k, a);
        arena_free(a);
    }
}

/* ---- sums in chunks of what is computed ---- */

/* What is summed down the columns in chunks is read by these sums alone: it is not stored.
 */
static void chunks_store_sums_alone(void **unused)
{
    static const char text[] =
        "kernel \"sums\" scalars 0\n  axes n0:1B o1:70\n  buf #0 f32[1B, 70] read \"x\"\n"
        "  buf #1 f32[1B, 70] write \"y\"\n  buf #2 f32[1B, 70] write \"w\"\n"
        "  buf #3 f32[70] write \"z\"\n"
        "  stage 0 map f32 [n0, o1] \"y\"\n    %0 = #0[70*n0 + o1]\n    over {} = exp(%0)\n"
        "    #1[70*n0 + o1] = it\n"
        "  stage 1 map f32 [n0, o1] \"half\"\n    %0 = stage 0\n    over {} = div(%0, 2)\n"
        "  stage 2 map f32 [n0, o1] \"w\"\n    %0 = stage 1\n    over {} = exp(%0)\n"
        "    #2[70*n0 + o1] = it\n"
        "  stage 3 sum f32 [o1] chunk 24 \"z\"\n    %0 = stage 1\n    over {n0} += %0\n"
        "    #3[o1] = it\n";
    struct arena *a = arena_new();
    const struct kernel *k = parsed(text, a);
    (void)unused;
    for (uint64_t seed = 1; seed <= 5; seed++)
        try_kernel(seed, k, a);
    arena_free(a);
}

/* What belongs to rows is computed for a block of them and a chunk, before the columns. */
static void chunks_compute_their_rows(void **unused)
{
    static const int rows[] = {1, 10, 48, 31}, columns[] = {70, 128}, inner[] = {1, 3};
    (void)unused;
    for (int i = 0; i < 4 * 2 * 2; i++) {
        struct arena *a = arena_new();
        const int m = rows[i % 4], n = columns[i / 4 % 2], k = inner[i / 8];
        const char *text =
            arena_fmt(a,
                      "kernel \"rows\" scalars 0\n  axes n0:%d o1:%d i2:1B j3:%d\n"
                      "  buf #0 f32[1B, %d, %d] read \"x\"\n"
                      "  buf #1 f32[1B, %d, %d] read \"y\"\n"
                      "  buf #2 f32[%d, %d] write \"z\"\n"
                      "  stage 0 map f32 [n0, i2, j3] \"e\"\n"
                      "    %%0 = #0[n0 + %d*j3 + %d*i2]\n    over {} = exp(sub(%%0, 1))\n"
                      "  stage 1 sum f32 [n0, o1] chunk 24 \"s\"\n"
                      "    %%0 = stage 0\n    %%1 = #1[o1 + %d*j3 + %d*i2]\n"
                      "    over {i2, j3} += %%0 * %%1\n    #2[%d*n0 + o1] = it\n",
                      m, n, k, k, m, k, n, m, n, m, m * k, n, n * k, n);
        const struct kernel *kernel = parsed(text, a);
        try_kernel((uint64_t)i + 1, kernel, a);
        arena_free(a);
    }
}

/* ---- lanes over channels and places ---- */

static int32_t widest_lanes(const struct stmt *st)
{
    int32_t w = st->op == S_FOR && st->kind == FOR_VEC ? st->hi.off.c : 1;
    for (uint32_t i = 0; i < st->nbody; i++) {
        const int32_t in = widest_lanes(st->body[i]);
        w = in > w ? in : w;
    }
    return w;
}

/*
 * A few places make no vector, with the channels beside them they do: maps then read what
 * walks only one of both by a digit of the lane, cheap ones of places among them.
 */
static void places_share_lanes_with_channels(void **unused)
{
    static const int channels[] = {5, 16, 70}, places[] = {2, 4, 8, 16};
    (void)unused;
    for (int i = 0; i < 3 * 4; i++) {
        struct arena *a = arena_new();
        const int c = channels[i % 3], p = places[i / 3], n = c * p;
        const char *text = arena_fmt(
            a,
            "kernel \"digits\" scalars 0\n  axes n0:1B c1:%d p2:%d k3:40\n"
            "  buf #0 f32[1B, 40] read \"x\"\n  buf #1 f32[40, %d, %d] read \"w\"\n"
            "  buf #2 f32[1B, %d] read \"place\"\n  buf #3 f32[%d] read \"bias\"\n"
            "  buf #4 f32[1B, %d, %d] write \"y\"\n"
            "  stage 0 sum f32 [n0, c1, p2] seq \"s\"\n    %%0 = #0[40*n0 + k3]\n"
            "    %%1 = #1[%d*k3 + %d*c1 + p2]\n    over {k3} += %%0 * %%1\n"
            "  stage 1 map f32 [n0, p2] \"m\"\n    %%0 = #2[%d*n0 + p2]\n"
            "    over {} = mul(%%0, 2)\n  stage 2 map f32 [n0, c1, p2] \"y\"\n"
            "    %%0 = stage 0\n    %%1 = stage 1\n    %%2 = #3[c1]\n    %%3 = #2[%d*n0 + "
            "p2]\n"
            "    over {} = fma(add(%%0, %%2), %%1, %%3)\n    #4[%d*n0 + %d*c1 + p2] = it\n",
            c, p, c, p, p, c, c, p, n, p, p, p, n, p);
        const struct kernel *k = parsed(text, a);
        const struct nest *nest = nest_schedule(k, target_find("avx512"), a);
        assert_in_range(widest_lanes(nest->stage[nest->nstage - 1].root),
                        n < 16 ? p + 1 : 16, 64);
        try_kernel((uint64_t)i + 1, k, a);
        arena_free(a);
    }
}

/* A column of which vectors begin far out, and a buffer that changes while it is read by
 * digits, which it must not be. */
static void digits_keep_their_limits(void **unused)
{
    static const char *const text[] = {
        "kernel \"far\" scalars 0\n  axes c0:8195 p1:4\n  buf #0 f32[8195, 4] read \"x\"\n"
        "  buf #1 f32[4] read \"place\"\n  buf #2 f32[8195] read \"bias\"\n"
        "  buf #3 f32[8195, 4] write \"y\"\n  stage 0 map f32 [c0, p1] \"y\"\n"
        "    %0 = #0[4*c0 + p1]\n    %1 = #1[p1]\n    %2 = #2[c0]\n"
        "    over {} = fma(%0, %1, %2)\n    #3[4*c0 + p1] = it\n",
        "kernel \"inplace\" scalars 0\n  axes c0:16 p1:4\n  buf #0 f32[16, 4] inplace "
        "\"w\"\n"
        "  stage 0 map f32 [p1] \"first\"\n    %0 = #0[p1]\n    over {} = mul(%0, 2)\n"
        "  stage 1 map f32 [c0, p1] \"w\"\n    %0 = #0[4*c0 + p1]\n    %1 = stage 0\n"
        "    over {} = add(%0, %1)\n    #0[4*c0 + p1] = it\n",
        "kernel \"turned\" scalars 0\n  axes n0:1B c1:8 p2:4\n  buf #0 f32[1B, 8, 4] read "
        "\"x\"\n"
        "  buf #1 f32[4, 1B] read \"t\"\n  buf #2 f32[1B, 8, 4] write \"y\"\n"
        "  stage 0 map f32 [n0, c1, p2] \"y\"\n    %0 = #0[32*n0 + 4*c1 + p2]\n"
        "    %1 = #1[1B*p2 + n0]\n    over {} = mul(%0, %1)\n    #2[32*n0 + 4*c1 + p2] = "
        "it\n"};
    (void)unused;
    for (unsigned i = 0; i < sizeof text / sizeof *text; i++) {
        struct arena *a = arena_new();
        const struct kernel *k = parsed(text[i], a);
        const char *nest = nest_print(nest_schedule(k, target_find("avx512"), a), a);
        assert_int_equal(strstr(nest, "%4]") != NULL, i == 0);
        try_kernel(i + 1, k, a);
        arena_free(a);
    }
}

/* ---- convolutions in all roles, with what follows them ---- */

struct window {
    int32_t in, out, size, kernel, stride, pad;
};

static uint32_t slot_of(void *cx, value_id v)
{
    (void)cx;
    return v;
}

/* The number of an element of a tensor at a port. */
static sx_id element_number(struct graph *g, const struct form *f, unsigned port)
{
    sx_id e = sx_int(&g->sx, 0);
    for (unsigned d = port < 2; d < f->port[port].rank; d++) {
        const sx_id n = sx_int(&g->sx, f->port[port].shape[d].c);
        e = sx_make(&g->sx, SX_IADD, sx_make(&g->sx, SX_IMUL, e, n, 0), sx_axis(&g->sx, d),
                    0);
    }
    return e;
}

/* What the convolution is to compute itself: 0 where x is, or the other thing. */
static value_id before(struct graph *g, const struct form *f, unsigned port, value_id x)
{
    const site_id site = graph_site(g, "phase/before~1", g->at, port < 2);
    const sx_id e = element_number(g, f, port), v = sx_arg(&g->sx, 0, SX_FLOAT);
    const sx_id fn =
        port == 1
            ? sx_make(&g->sx, SX_SEL, sx_bernoulli(&g->sx, site, e, sx_const(&g->sx, 0.5)),
                      v, sx_const(&g->sx, 0))
            : sx_make(&g->sx, SX_ADD, sx_make(&g->sx, SX_FN_cos, v, 0, 0),
                      sx_normal(&g->sx, site, e), 0);
    return graph_map(g, fn, &x, 1, NULL);
}

/* relu of the read-out and some noise, of which the number of the element is a part.
 * maps: bits of the operands that are. */
static void window_graph(struct graph *g, struct arena *a, const struct form *f,
                         uint8_t port, unsigned maps)
{
    value_id in[2], y;
    graph_init(g, a);
    graph_region(g, REGION_HOST, "host");
    g->at = graph_region(g, REGION_PHASE, "phase");
    g->where = graph_place(g, (struct loc){0}, 0, WHY_WRITTEN, "window");
    for (unsigned j = 0, n = 0; j < 3; j++) {
        if (j == port)
            continue;
        in[n] = form_leaf(g, f, j);
        in[n] = maps >> n & 1 ? before(g, f, j, in[n]) : in[n];
        n++;
    }
    y = graph_form(g, f, port, in, port < 2, DT_F32);
    const sx_id e = element_number(g, f, port);
    const sx_id noise = sx_normal(&g->sx, graph_site(g, "phase/w~1", g->at, port < 2), e);
    const sx_id fn =
        sx_make(&g->sx, SX_FN_relu,
                sx_make(&g->sx, SX_ADD, sx_arg(&g->sx, 0, SX_FLOAT), noise, 0), 0, 0);
    graph_root(g, g->at, ROOT_OUTPUT, 0, 0, graph_map(g, fn, &y, 1, NULL), "y");
}

static unsigned count_inlined(const struct fusion *fu)
{
    unsigned n = 0;
    for (node_id id = 1; id < fu->g->nnode; id++)
        n += fu->role[id] == ROLE_INLINE;
    return n;
}

/* Maps cost nothing here and launches do: a convolution computes what it can. */
static void try_window(const struct form *f, uint8_t port, const char *target,
                       int64_t batch, unsigned maps)
{
    struct arena *a = arena_new();
    struct program *p = arena_alloc(a, sizeof *p);
    struct diag_sink *ds = diag_sink_new(a, 3);
    const struct target *row = target_find(target);
    struct target eager = *row;
    const struct fuse_options all = {.target = &eager, .batch = 64};
    struct pass_cx cx = {.program = p, .diags = ds, .target = row};
    struct tried t = {.seed = port, .batch = batch, .a = a};
    uint64_t state = (uint64_t)batch + port;
    eager.prims = maps ? 1e18 : row->prims;
    eager.launch = maps ? 1 : row->launch;
    p->arena = a;
    window_graph(&p->graph, a, f, port, maps);
    for (unsigned i = 0; pass_info(i); i++)
        if (strcmp(pass_info(i)->name, "factor") == 0 ||
            strcmp(pass_info(i)->name, "order") == 0)
            assert_int_not_equal(pass_info(i)->run(&cx), PASS_FAILED);
    const struct fusion *fu = fuse(&p->graph, p->graph.at, &all, a);
    assert_int_equal(count_inlined(fu), (maps & 1) + (maps >> 1));
    for (uint32_t o = 0; o < fu->norder; o++) {
        const struct lowered *l = lower_group(fu, fu->order[o], slot_of, NULL, a, ds);
        assert_non_null(l);
        t.k = l->kernel;
        try_schedule(&t, row, NULL);
        try_schedule(&t, row, gen_variant(&state));
        t.expected = 32 + port;
        t.batch = batch > 37 ? 37 : batch;
        try_schedule(&t, row, batch > 1 ? "borders" : "wide_borders");
    }
    arena_free(a);
}

static void nests_of_convolutions(void **unused)
{
    static const struct window windows[] = {{3, 26, 8, 4, 2, 1},  {27, 20, 6, 4, 2, 1},
                                            {9, 13, 5, 3, 1, 1},  {20, 5, 7, 3, 2, 1},
                                            {12, 9, 4, 4, 1, 0},  {33, 1, 4, 4, 1, 0},
                                            {10, 30, 2, 1, 1, 0}, {31, 24, 4, 3, 1, 1},
                                            {16, 9, 5, 5, 1, 2},  {27, 8, 5, 3, 2, 2}};
    static const char *const targets[] = {"avx2", "avx512"};
    static const int64_t batches[] = {1, 5, 98};
    (void)unused;
    for (unsigned i = 0; i < sizeof windows / sizeof *windows; i++)
        for (uint8_t port = 0; port < 3; port++) {
            const struct window *w = &windows[i];
            const int32_t places = (w->size + 2 * w->pad - w->kernel) / w->stride + 1;
            const int32_t in[3] = {w->in, w->size, w->size},
                          out[3] = {w->out, places, places};
            const int32_t k[2] = {w->kernel, w->kernel}, stride[2] = {w->stride, w->stride};
            const int32_t pad[2] = {w->pad, w->pad}, dilation[2] = {1, 1};
            const struct form f =
                form_conv((struct ext){0, 1}, in, out, k, stride, pad, dilation, 1);
            for (unsigned b = 0; b < 3; b++)
                try_window(&f, port, targets[(i + b + port) % 2], batches[b], 0);
            for (unsigned maps = 1; maps < 4; maps++)
                try_window(&f, port, targets[(i + maps) % 2], batches[maps % 2], maps);
        }
    assert_in_range(borders, 40, 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nest_equals_kernel),
                                       cmocka_unit_test(the_largest_has_one_value),
                                       cmocka_unit_test(rows_side_by_side_are_one_stage),
                                       cmocka_unit_test(parts_of_panels),
                                       cmocka_unit_test(chunks_store_sums_alone),
                                       cmocka_unit_test(chunks_compute_their_rows),
                                       cmocka_unit_test(places_share_lanes_with_channels),
                                       cmocka_unit_test(digits_keep_their_limits),
                                       cmocka_unit_test(nests_of_convolutions)};
    return cmocka_run_group_tests_name("nest", tests, NULL, NULL);
}
