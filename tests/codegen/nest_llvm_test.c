/*
 * LLVM = nest interpreter, to the bit (any NaN equals any NaN): random kernels, every
 * target row that this machine runs, odd batches.  Buffers lie against a page that must not
 * be touched, slack rows inside.  A failing case prints its seed and the nest.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "codegen/backend.h"
#include "codegen/interp/nest_eval.h"
#include "codegen/llvm/llvm.h"
#include "codegen/loop/loop.h"
#include "runtime/base/arena.h"
#include "runtime/base/diag.h"
#include "tests/prop/kernel_gen.h"

enum { PER_LOAD = 25, STAGES = 16 };

struct fenced { /* memory that ends (or starts) at a forbidden page */
    void *map, *at;
    size_t bytes;
};

static struct fenced fence(size_t n, bool front)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (n + page - 1) / page * page;
    struct fenced f = {.bytes = whole + page};
    f.map = mmap(NULL, f.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(f.map != MAP_FAILED);
    assert_int_equal(mprotect((char *)f.map + (front ? 0 : whole), page, PROT_NONE), 0);
    f.at = (char *)f.map + (front ? page : whole - n);
    return f;
}

struct tried {
    uint64_t seed;
    const struct target *target;
    int64_t batch;
    const struct nest *n;
    const struct loaded_stage *stage;
    struct arena *a;
};

static void complain(const struct tried *t, const char *what)
{
    fprintf(stderr, "seed %llu, target %s, batch %lld: %s\n%s\n",
            (unsigned long long)t->seed, t->target->name, (long long)t->batch, what,
            nest_print(t->n, t->a));
    fail();
}

static size_t bytes_of(const struct kbuf *b, int64_t elems, int64_t batch)
{
    int64_t row = 1;
    for (unsigned i = 1; i < b->rank; i++)
        row *= ext_at(b->dim[i], batch);
    int64_t all = b->rank && b->dim[0].b ? elems + 11 * row : elems;
    return (size_t)all * (b->dtype == DT_BOOL ? 1 : 4);
}

static void run_interp(const struct tried *t, struct kernel_data *d)
{
    struct hyp_kargs args = {.buf = (void *const *)d->buf,
                             .scalar = d->scalar,
                             .batch = t->batch,
                             .seed = 7,
                             .watch = d->watch};
    for (uint32_t i = 0; i < t->n->nstage; i++) {
        args.self = interp_prepare(t->n, i, false, t->a);
        interp_stage_fn(&args, 0, interp_units(t->n, i, t->batch), NULL);
    }
}

static void run_llvm(const struct tried *t, struct kernel_data *d)
{
    struct fenced *f = arena_array(t->a, t->n->nbuf + 1, sizeof *f);
    void **buf = arena_array(t->a, t->n->nbuf + 1, sizeof *buf);
    struct hyp_kargs args = {
        .buf = buf, .scalar = d->scalar, .batch = t->batch, .seed = 7, .watch = d->watch};
    for (uint32_t b = 0; b < t->n->nbuf; b++) {
        size_t n = bytes_of(&t->n->buf[b], d->elems[b], t->batch);
        f[b] = fence(n, (t->seed + b) % 3 == 0 || t->n->buf[b].far);
        buf[b] = f[b].at;
        memcpy(buf[b], d->buf[b], n);
    }
    for (uint32_t i = 0; i < t->n->nstage; i++) {
        struct fenced s = fence((size_t)t->n->stage[i].stack_bytes, false);
        int64_t units = interp_units(t->n, i, t->batch), half = units / 2;
        t->stage[i].fn(&args, half, units, s.at);
        t->stage[i].fn(&args, 0, half, s.at);
        munmap(s.map, s.bytes);
    }
    for (uint32_t b = 0; b < t->n->nbuf; b++) {
        memcpy(d->buf[b], buf[b], bytes_of(&t->n->buf[b], d->elems[b], t->batch));
        munmap(f[b].map, f[b].bytes);
    }
}

static bool same(const void *x, const void *y, uint8_t dtype)
{
    float f, g;
    if (dtype == DT_BOOL)
        return *(const uint8_t *)x == *(const uint8_t *)y;
    memcpy(&f, x, sizeof f);
    memcpy(&g, y, sizeof g);
    return memcmp(x, y, 4) == 0 || (dtype == DT_F32 && f != f && g != g);
}

static void compare(const struct tried *t, const struct kernel_data *want,
                    const struct kernel_data *got)
{
    for (uint32_t b = 0; b < t->n->nbuf; b++) {
        uint8_t dtype = t->n->buf[b].dtype;
        size_t size = dtype == DT_BOOL ? 1 : 4;
        for (int64_t i = 0; i < want->elems[b]; i++) {
            const char *x = (const char *)want->buf[b] + (size_t)i * size;
            const char *y = (const char *)got->buf[b] + (size_t)i * size;
            if (!same(x, y, dtype))
                complain(t, arena_fmt(t->a, "buffer %u (%s), element %lld", b,
                                      t->n->buf[b].name, (long long)i));
        }
    }
    const bool bad = kernel_data_bad(got, t->n->buf, t->n->nbuf, false);
    if (kernel_data_told(want) != bad || kernel_data_told(got) != bad)
        complain(t, "watched buffers are told of otherwise than they are");
}

/* One float in five is one of those that break rules; slack rows keep their NaNs. */
static void make_nasty(const struct tried *t, const struct kernel_data *d)
{
    static const uint32_t nasty[] = {0x80000000, 1,          0x807fffff, 0x7f7fffff,
                                     0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000,
                                     0xffc00001, 0x3f800000, 0x00800000, 0x4f000000};
    for (uint32_t b = 0; b < t->n->nbuf; b++) {
        uint64_t state = t->seed * 131 + b;
        for (int64_t i = 0; t->n->buf[b].dtype == DT_F32 && i < d->elems[b]; i++)
            if (gen_below(&state, 5) == 0)
                memcpy((float *)d->buf[b] + i, &nasty[gen_below(&state, 12)], 4);
    }
}

static void try_one(struct tried *t)
{
    static const int64_t batches[] = {1, 2, 5, 6, 7, 11, 12, 13, 23, 24, 25, 47, 49, 50};
    uint64_t state = t->seed;
    t->batch = batches[gen_below(&state, 14)];
    struct kernel_data want = kernel_data_new(t->n->buf, t->n->nbuf, t->n->nscalar, false,
                                              t->batch, t->seed, t->a);
    struct kernel_data got = kernel_data_new(t->n->buf, t->n->nbuf, t->n->nscalar, false,
                                             t->batch, t->seed, t->a);
    if (t->seed % 3 == 0) {
        make_nasty(t, &want);
        make_nasty(t, &got);
    }
    run_interp(t, &want);
    run_llvm(t, &got);
    compare(t, &want, &got);
}

/* Two of three by the target's row, the third by a variant of it. */
static struct nest *scheduled(uint64_t seed, const struct target *target, struct arena *a)
{
    struct target row = *target, varied;
    uint64_t state = seed;
    if (seed % 3 == 2 && target_vary(target, gen_variant(&state), &varied))
        row = varied;
    return nest_schedule(kernel_random(seed, a), &row, a);
}

static void try_seeds(uint64_t first, uint32_t n, const struct target *target)
{
    struct arena *a = arena_new();
    struct diag_sink *ds = diag_sink_new(a, 10);
    struct nest *nest[PER_LOAD];
    struct loaded_stage stage[PER_LOAD * STAGES], *at = stage;
    for (uint32_t i = 0; i < n; i++)
        nest[i] = scheduled(first + i, target, a);
    const struct load_job job = {.nest = nest, .n = n, .target = target, .threads = 2};
    struct code *code = backend_llvm.load(&job, ds, stage, NULL);
    diag_print(ds, stderr, false);
    assert_non_null(code);
    for (uint32_t i = 0; i < n; at += nest[i++]->nstage) {
        struct tried t = {
            .seed = first + i, .target = target, .n = nest[i], .stage = at, .a = a};
        try_one(&t);
    }
    backend_llvm.free(code);
    arena_free(a);
}

static void each_target(uint64_t first, uint64_t n)
{
    const struct target *t;
    for (unsigned i = 0; (t = target_at(i)); i++) {
        if (!llvm_runs_here(t))
            continue;
        for (uint64_t s = 0; s < n; s += PER_LOAD)
            try_seeds(first + s, n - s < PER_LOAD ? (uint32_t)(n - s) : PER_LOAD, t);
    }
}

/* ---- nests by hand: what the random kernels seldom or never make ---- */

static const char *const by_hand[] = {
    /* a window: a row outside drops the vector, a column outside some of its lanes */
    "nest \"window\" scalars 0 axes n y u v x w\n"
    "  buf #0 f32[1B, 16, 20] read \"x\"\n"
    "  buf #1 f32[1B, 16, 20] write \"y\"\n"
    "  tile &0 reg f32[1, 20] \"h\"\n"
    "  stage units 1B/1 stack 0\n"
    "    grid n = 0 to 1B step 1 bound 1B {\n"
    "      for y = 0 to 16 step 1 {\n"
    "        tile &0 = 0\n"
    "        for u = 0 to 3 step 1 {\n"
    "          for v = 0 to 3 step 1 {\n"
    "            vec x = 0 to 20 step 1 {\n"
    "              &0[x] += %0 * %0 ; %0 = #0[-21 + 320*n + 20*y + 20*u + v + x] when 0 <= "
    "-1 "
    "+ y + u < 16 when 0 <= -1 + x + v < 20\n"
    "            }\n          }\n        }\n"
    "        vec w = 0 to 20 step 1 {\n"
    "          #1[320*n + 20*y + w] = %0 ; %0 = &0[w]\n"
    "        }\n      }\n    }\n",
    /* lanes that run backwards, that lie B apart, that share an element some may not read
     */
    "nest \"strides\" scalars 1 axes n j\n"
    "  buf #0 f32[1B, 12] read \"x\"\n"
    "  buf #1 f32[12, 1B] inplace watched \"y\"\n"
    "  stage units 1B/1 stack 0\n"
    "    grid n = 0 to 1B step 1 bound 1B {\n"
    "      vec j = 0 to 12 step 1 {\n"
    "        #1[1B*j + n] = add(add(%0, %1), add(%2, %3)) ; %0 = #0[11 + 12*n + -1*j]; %1 "
    "= #1[1B*j "
    "+ n] when 0 <= n + -1*j < 5; %2 = #0[-1 + 12*n + 1*$0] when 0 <= -4 + j < 6; %3 = "
    "#0[12*n + 300*j + -300*$0] when 0 <= -1*j + 1*$0 < 1\n"
    "        #1[1B*j + n] = mul(%0, 3) ; %0 = #1[1B*j + n]\n"
    "        #1[1B*j + n] = mul(%0, %0) ; %0 = #1[1B*j + n]\n"
    "      }\n    }\n",
    /* digits of lanes; bools and whole numbers in memory */
    "nest \"digits\" scalars 0 axes n j k\n"
    "  buf #0 f32[1B, 24] read \"x\"\n"
    "  buf #1 f32[1B, 24] write \"y\"\n"
    "  buf #2 bool[1B, 24] write \"b\"\n"
    "  buf #3 i32[1B, 24] write \"i\"\n"
    "  buf #4 f32[1B, 24] write \"z\"\n"
    "  stage units 1B/1 stack 0\n"
    "    grid n = 0 to 1B step 1 bound 1B {\n"
    "      vec j = 0 to 24 step 1 {\n"
    "        #1[24*n + j] = %0 ; %0 = #0[24*n + j/4 + 6*j%4]\n"
    "        #2[24*n + j] = lt(%0, %1) ; %0 = #0[24*n + j]; %1 = #0[24*n + j/8]\n"
    "        #3[24*n + j] = f2i(mul(%0, 100)) ; %0 = #0[24*n + j]\n"
    "      }\n"
    "      vec k = 0 to 24 step 1 {\n"
    "        #4[24*n + k] = sel(%0:b, i2f(%1:i), %2) ; %0 = #2[24*n + k/2] when 0 <= k < "
    "20; "
    "%1 = #3[23 + 24*n + -1*k]; %2 = #0[24*n + k]\n"
    "      }\n    }\n",
    /* register tiles through loops that may not run and bodies that may be skipped */
    "nest \"carried\" scalars 0 axes q k m j p r\n"
    "  buf #0 f32[1B, 8] read \"x\"\n"
    "  buf #1 f32[2, 8] write \"y\"\n"
    "  tile &0 reg f32[2, 8] \"h\"\n"
    "  tile &1 stack f32[1, 150] \"s\"\n"
    "  stage units 1/1 stack 640\n"
    "    for q = 0 to 1 step 1 {\n"
    "      tile &0 = 1\n"
    "      tile &1 = 0.5\n"
    "      for k = 0 to 1B step 3 bound -7+1B {\n"
    "        unroll m = 0 to 2 step 1 when 0 <= -1 + k + m < 20 when 0 <= k < 40 {\n"
    "          vec j = 0 to 8 step 1 {\n"
    "            &0[8*m + j] += %0 ; %0 = #0[8*k + 8*m + j]\n"
    "            &1[8*m + j + k] += %0 ; %0 = &0[15 + -8*m + -1*j]\n"
    "          }\n        }\n      }\n"
    "      unroll p = 0 to 2 step 1 {\n"
    "        vec r = 0 to 8 step 1 {\n"
    "          #1[8*p + r] = add(%0, %1) ; %0 = &0[8*p + r]; %1 = &1[8*p + r + 100]\n"
    "        }\n      }\n    }\n",
    /* loops that name a value, which is not where another counts; pointers moved by loops
       that begin late, guards that such a loop does not change */
    "nest \"named\" scalars 0 axes n i k j m q\n"
    "  buf #0 f32[1B, 96] read \"x\"\n"
    "  buf #1 f32[1B, 96] inplace \"y\"\n"
    "  stage units 1B/1 stack 0\n"
    "    grid n = 0 to 1B step 1 bound 1B {\n"
    "      for i = 0 to 40 step 8 {\n"
    "        for k = i + 16 to i + 17 step 1 when 0 <= i + k < 80 {\n"
    "          vec j = 0 to 8 step 1 {\n"
    "            #1[96*n + k + j] = %0 ; %0 = #0[96*n + 2*k + -16 + j] when 0 <= k + -20 + "
    "j < 30\n"
    "          }\n        }\n      }\n"
    "      for m = 5 to 12 step 2 {\n"
    "        vec q = 0 to 8 step 1 {\n"
    "          #1[96*n + 7*m + q] += %0 ; %0 = #0[96*n + 5*m + q] when 0 <= n + q < 6\n"
    "        }\n      }\n    }\n",
    /* loops that begin and end where their guards say, which may be nowhere */
    "nest \"taps\" scalars 0 axes n y u v w p j\n"
    "  buf #0 f32[1B, 64] read \"x\"\n"
    "  buf #1 f32[1B, 8, 8] write \"z\"\n"
    "  tile &0 reg f32[1, 8] \"h\"\n"
    "  stage units 1B/1 stack 0\n"
    "    grid n = 0 to 1B step 1 bound 1B {\n"
    "      for y = 0 to 8 step 1 {\n"
    "        tile &0 = 0\n"
    "        for u = 0 to 4 step 1 when 0 <= -1 + y + u < 8 when 0 <= 3 + n + -1*u < 5 {\n"
    "          for v = 0 to 9 step 1 when 0 <= y + -1*v + u < 5 when 0 <= 3*v + -4 < 20 {\n"
    "            for w = 0 to 5 step 1 when 0 <= -3 + 2*w + y < 7 when 0 <= 4*w + u + -5 < "
    "-2+1B {\n"
    "              for p = 1 to 6 step 2 bound 4 when 0 <= p + v < 6 {\n"
    "                vec j = 0 to 8 step 1 {\n"
    "                  &0[j] += %0 * %0 ; %0 = #0[64*n + 2*u + 3*v + 2*w + p + j]\n"
    "                }\n              }\n            }\n          }\n        }\n"
    "        vec u = 0 to 8 step 1 {\n"
    "          #1[64*n + 8*y + u] = %0 ; %0 = &0[u]\n"
    "        }\n      }\n    }\n"};

/* Convolutions at whose borders nothing is multiplied: with a stride, transposed, and a
 * filter's gradient. */
static const char *const convolutions[] = {
    "kernel \"forward\" scalars 0\n"
    "  axes n0:1B o1:20 p2:4 q3:5 i4:7 j5:4 k6:3\n"
    "  buf #0 f32[1B, 7, 8, 10] read \"x\"\n"
    "  buf #1 f32[20, 7, 4, 3] read \"w\"\n"
    "  buf #2 f32[20] read \"b\"\n"
    "  buf #3 f32[1B, 20, 4, 5] write \"y\"\n"
    "  stage 0 sum f32 [n0, o1, p2, q3] seq \"h\"\n"
    "    %0 = #0[560*n0 + 20*p2 + 2*q3 + 80*i4 + 10*j5 + k6 + -11] when 0 <= 2*p2 + j5 + "
    "-1 "
    "< 8 when 0 <= 2*q3 + k6 + -1 < 10\n"
    "    %1 = #1[84*o1 + 12*i4 + 3*j5 + k6]\n"
    "    over {i4, j5, k6} += %0 * %1\n"
    "  stage 1 map f32 [n0, o1, p2, q3] \"y\"\n"
    "    %0 = #2[o1]\n    %1 = stage 0\n    over {} = relu(add(%1, %0))\n"
    "    #3[400*n0 + 20*o1 + 5*p2 + q3] = it\n",
    "kernel \"transposed\" scalars 0\n"
    "  axes n0:1B o1:24 p2:4 q3:4 i4:9 j5:2 k6:2\n"
    "  buf #0 f32[1B, 9, 4, 4] read \"x\"\n"
    "  buf #1 f32[9, 24, 4, 4] read \"w\"\n"
    "  buf #2 f32[1B, 24, 4, 8] write \"y\"\n"
    "  stage 0 sum f32 [n0, o1, p2, q3] seq \"y\"\n"
    "    %0 = #0[144*n0 + 4*p2 + q3 + 16*i4 + -4*j5 + -1*k6] when 0 <= p2 + -1*j5 < 4 when "
    "0 <= q3 + -1*k6 < 4\n"
    "    %1 = #1[16*o1 + 384*i4 + 8*j5 + 2*k6 + 5]\n"
    "    over {i4, j5, k6} += %0 * %1\n"
    "    #2[768*n0 + 32*o1 + 8*p2 + 2*q3] = it\n"
    "  stage 1 sum f32 [n0, o1, p2, q3] seq \"y\"\n"
    "    %0 = #0[144*n0 + 4*p2 + q3 + 16*i4 + -4*j5 + -1*k6 + 1] when 0 <= p2 + -1*j5 < 4 "
    "when 0 <= q3 + -1*k6 + 1 < 4\n"
    "    %1 = #1[16*o1 + 384*i4 + 8*j5 + 2*k6 + 4]\n"
    "    over {i4, j5, k6} += %0 * %1\n"
    "    #2[768*n0 + 32*o1 + 8*p2 + 2*q3 + 1] = it\n",
    "kernel \"gradient\" scalars 0\n"
    "  axes n0:26 o1:32 p2:3 q3:3 i4:1B j5:6 k6:6\n"
    "  buf #0 f32[1B, 26, 6, 6] read \"d\"\n"
    "  buf #1 f32[1B, 32, 6, 6] read \"x\"\n"
    "  buf #2 f32[26, 32, 3, 3] write \"y\"\n"
    "  stage 0 sum f32 [n0, o1, p2, q3] seq \"y\"\n"
    "    %0 = #0[36*n0 + 936*i4 + 6*j5 + k6]\n"
    "    %1 = #1[36*o1 + 6*p2 + q3 + 1152*i4 + 6*j5 + k6 + -7] when 0 <= p2 + j5 + -1 < 6 "
    "when 0 <= q3 + k6 + -1 < 6\n"
    "    over {i4, j5, k6} += %0 * %1\n"
    "    #2[288*n0 + 9*o1 + 3*p2 + q3] = it\n"};

/* Its code and the interpreter give the same. */
static void try_nest(struct nest *n, const struct target *target, struct diag_sink *ds,
                     struct arena *a)
{
    static const int64_t batches[] = {1, 5, 8, 11, 50};
    struct loaded_stage stage[STAGES];
    const struct load_job job = {.nest = &n, .n = 1, .target = target};
    struct code *code = n ? backend_llvm.load(&job, ds, stage, NULL) : NULL;
    diag_print(ds, stderr, false);
    if (!n || !code) {
        fail();
        return;
    }
    for (unsigned i = 0; i < sizeof batches / sizeof *batches; i++) {
        struct tried t = {.seed = i,
                          .target = target,
                          .batch = batches[i],
                          .n = n,
                          .stage = stage,
                          .a = a};
        struct kernel_data want =
            kernel_data_new(n->buf, n->nbuf, n->nscalar, false, t.batch, i, a);
        struct kernel_data got =
            kernel_data_new(n->buf, n->nbuf, n->nscalar, false, t.batch, i, a);
        for (uint32_t k = 0; k < n->nscalar; k++)
            want.scalar[k].i = got.scalar[k].i = 1 + (int32_t)i;
        run_interp(&t, &want);
        run_llvm(&t, &got);
        compare(&t, &want, &got);
    }
    backend_llvm.free(code);
}

static void try_text(const char *text, const struct target *target)
{
    struct arena *a = arena_new();
    struct diag_sink *ds = diag_sink_new(a, 10);
    try_nest(nest_parse(a, text, ds, diag_file(ds, "nest", text, strlen(text))), target, ds,
             a);
    arena_free(a);
}

static void try_convolution(const char *text, const struct target *target)
{
    struct arena *a = arena_new();
    struct diag_sink *ds = diag_sink_new(a, 10);
    struct target row = *target;
    row.batch = 64;
    row.border_work = 0;
    const struct kernel *k =
        kernel_parse(a, text, ds, diag_file(ds, "kernel", text, strlen(text)));
    struct nest *n = k ? nest_schedule(k, &row, a) : NULL;
    assert_true(n && n->borders);
    try_nest(n, target, ds, a);
    arena_free(a);
}

static void nests_by_hand(void **unused)
{
    (void)unused;
    const struct target *t;
    for (unsigned i = 0; (t = target_at(i)); i++) {
        if (!llvm_runs_here(t))
            continue;
        for (unsigned k = 0; k < sizeof by_hand / sizeof *by_hand; k++)
            try_text(by_hand[k], t);
        for (unsigned k = 0; k < sizeof convolutions / sizeof *convolutions; k++)
            try_convolution(convolutions[k], t);
    }
}

/* What cannot be compiled is told, by name, as a fault of ours. */
static void refusals_are_faults(void **unused)
{
    static const char text[] = "nest \"odd lanes\" scalars 0 axes n j\n"
                               "  buf #0 f32[1B, 8] write \"y\"\n"
                               "  stage units 1B/1 stack 0\n"
                               "    grid n = 0 to 1B step 1 bound 1B {\n"
                               "      vec j = 0 to 8 step 1 when 0 <= j < 5 {\n"
                               "        #0[8*n + j] = 1 \n"
                               "      }\n    }\n";
    struct arena *a = arena_new();
    struct diag_sink *ds = diag_sink_new(a, 10);
    struct loaded_stage stage[STAGES];
    struct nest *n = nest_parse(a, text, ds, 0);
    (void)unused;
    assert_non_null(n);
    if (!llvm_host_target())
        skip();
    const struct load_job job = {.nest = &n, .n = 1, .target = llvm_host_target()};
    assert_null(backend_llvm.load(&job, ds, stage, NULL));
    char *said = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&said, &size);
    diag_print(ds, out, false);
    fclose(out);
    assert_non_null(strstr(said, "E9999"));
    assert_non_null(strstr(said, "odd lanes: a guard differs from lane to lane"));
    free(said);
    struct nest *two[] = {nest_schedule(kernel_random(1, a), llvm_host_target(), a), n};
    assert_int_equal(llvm_refused(two, 2, llvm_host_target()), 1);
    assert_int_equal(llvm_refused(two, 1, llvm_host_target()), 1);
    arena_free(a);
}

static void code_equals_nest(void **unused)
{
    const char *from = getenv("HYP_SEED"), *count = getenv("HYP_COUNT");
    (void)unused;
    if (!llvm_host_target())
        skip();
    each_target(from ? strtoull(from, NULL, 10) : 1, count  ? strtoull(count, NULL, 10)
                                                     : from ? 1
                                                            : 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nests_by_hand),
                                       cmocka_unit_test(refusals_are_faults),
                                       cmocka_unit_test(code_equals_nest)};
    return cmocka_run_group_tests_name("nest_llvm", tests, NULL, NULL);
}
