/*
 * Speed of generated kernels against this machine's FMA peak, measured in the same run: the
 * contraction shapes of the shipped models in all three roles, convolutions, and
 * element-wise functions and draws.
 *
 *     kernel_bench [target [windows]]
 *
 * The machine may be shared: a kernel's time is the best of many short runs, and so is the
 * peak's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codegen/backend.h"
#include "codegen/llvm/llvm.h"
#include "codegen/loop/loop.h"
#include "codegen/loop/lower.h"
#include "runtime/base/arena.h"
#include "runtime/base/diag.h"
#include "runtime/pool.h"

enum { BATCH = 512, IMAGES = 64, ROUNDS = 15, THREADS = 2 };

static double clock_now(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double now(void)
{
    return clock_now(CLOCK_MONOTONIC);
}

/* What this thread used: neighbours on a shared machine do not count. */
static double used(void)
{
    return clock_now(CLOCK_THREAD_CPUTIME_ID);
}

/* ---- a kernel, compiled, with memory ---- */

struct bench {
    const struct target *target;
    struct arena *a;
    int64_t batch;
    struct nest *n;
    struct code *code;
    struct loaded_stage *stage;
    struct hyp_kargs args;
    struct pool *pool;
    unsigned threads;
    void *scratch[THREADS];
};

static void *memory(struct arena *a, size_t bytes)
{
    uintptr_t p = (uintptr_t)arena_alloc(a, bytes + 4096);
    return (void *)((p + 63) & ~(uintptr_t)63);
}

static void give_memory(struct bench *b)
{
    void **buf = arena_array(b->a, b->n->nbuf + 1, sizeof *buf);
    uint64_t stack = 64;
    for (uint32_t i = 0; i < b->n->nbuf; i++) {
        const struct kbuf *k = &b->n->buf[i];
        size_t n = 1, row = 1;
        for (unsigned d = 0; d < k->rank; d++) {
            n *= (size_t)ext_at(k->dim[d], b->batch);
            row *= d ? (size_t)ext_at(k->dim[d], b->batch) : 1;
        }
        n += 12 * row;
        float *f = buf[i] = memory(b->a, 4 * n);
        for (size_t e = 0; e < n; e++)
            f[e] = (float)(e * 2654435761U % 1000) * 1e-3F - 0.5F;
    }
    for (uint32_t i = 0; i < b->n->nstage; i++)
        stack = b->n->stage[i].stack_bytes > stack ? b->n->stage[i].stack_bytes : stack;
    for (unsigned t = 0; t < THREADS; t++)
        b->scratch[t] = memory(b->a, (size_t)stack);
    union hyp_word *scalar = arena_array(b->a, b->n->nscalar + 1, sizeof *scalar);
    for (uint32_t i = 0; i < b->n->nscalar; i++)
        scalar[i].f = 1e-3F;
    b->args =
        (struct hyp_kargs){.buf = buf, .scalar = scalar, .batch = b->batch, .seed = 1};
}

static void compile(struct bench *b)
{
    struct diag_sink *ds = diag_sink_new(b->a, 10);
    b->stage = arena_array(b->a, b->n->nstage, sizeof *b->stage);
    b->code = backend_llvm.load(&b->n, 1, b->target, 1, ds, b->stage);
    if (!b->code) {
        diag_print(ds, stderr, false);
        exit(1);
    }
    give_memory(b);
}

static void compile_kernel(struct bench *b, const char *text)
{
    struct diag_sink *ds = diag_sink_new(b->a, 10);
    struct kernel *k =
        kernel_parse(b->a, text, ds, diag_file(ds, "kernel", text, strlen(text)));
    if (!k) {
        diag_print(ds, stderr, false);
        exit(1);
    }
    b->n = nest_schedule(k, b->target, b->a);
    compile(b);
}

static int64_t units(const struct bench *b, const struct nstage *s)
{
    int64_t n = ext_at(s->units, b->batch), d = s->units_div > 1 ? s->units_div : 1;
    return (n + d - 1) / d;
}

static void run(void *cx, unsigned thread)
{
    struct bench *b = cx;
    for (uint32_t s = 0; s < b->n->nstage; s++) {
        int64_t n = units(b, &b->n->stage[s]), lo = n * thread / b->threads,
                hi = n * (thread + 1) / b->threads;
        if (lo < hi)
            b->stage[s].fn(&b->args, lo, hi, b->scratch[thread]);
        if (b->threads > 1)
            pool_barrier(b->pool);
    }
}

static double seconds(struct bench *b, unsigned threads)
{
    double best = 1e9;
    b->threads = threads;
    for (int i = 0; i < ROUNDS; i++) {
        double start = threads > 1 ? now() : used();
        if (threads > 1)
            pool_run(b->pool, run, b);
        else
            run(b, 0);
        double took = (threads > 1 ? now() : used()) - start;
        best = took < best ? took : best;
    }
    return best;
}

static void bench_new(struct bench *b, const struct target *t, struct pool *pool)
{
    *b = (struct bench){.target = t, .a = arena_new(), .pool = pool, .batch = BATCH};
}

static void bench_free(struct bench *b)
{
    backend_llvm.free(b->code);
    arena_free(b->a);
}

/* ---- the peak: as many independent chains as a register tile has ---- */

static void peak_new(struct bench *b)
{
    const struct target *t = b->target;
    int32_t rows = 12, w = t->vec;
    char *text = arena_fmt(b->a,
                           "nest \"peak\" scalars 2 axes u0 k1 m2 j3 m4 j5\n"
                           "  buf #0 f32[64, %d] write \"out\"\n"
                           "  tile &0 reg f32[%d, %d] \"h\"\n"
                           "  stage units 64/1 stack 0\n"
                           "    grid u0 = 0 to 64 step 1 bound 64 {\n"
                           "      tile &0 = 0\n"
                           "      for k1 = 0 to 4000 step 1 {\n"
                           "        unroll m2 = 0 to %d step 1 {\n"
                           "          vec j3 = 0 to %d step 1 {\n"
                           "            &0[%d*m2 + j3] += $0 * $1\n"
                           "          }\n        }\n      }\n"
                           "      unroll m4 = 0 to %d step 1 {\n"
                           "        vec j5 = 0 to %d step 1 {\n"
                           "          #0[%d*u0 + %d*m4 + j5] = %%0 ; %%0 = &0[%d*m4 + j5]\n"
                           "        }\n      }\n    }\n",
                           rows * w, rows, w, rows, w, w, rows, w, rows * w, w, w);
    struct diag_sink *ds = diag_sink_new(b->a, 10);
    b->n = nest_parse(b->a, text, ds, diag_file(ds, "peak", text, strlen(text)));
    if (!b->n) {
        diag_print(ds, stderr, false);
        exit(1);
    }
    compile(b);
}

static double peak_rate(struct bench *b, unsigned threads)
{
    return 64.0 * 4000 * 12 * b->target->vec * 2 / seconds(b, threads);
}

/* ---- contractions ---- */

struct shape {
    int32_t m, k, n;
};

static const char *forward_text(struct arena *a, struct shape s)
{
    return arena_fmt(
        a,
        "kernel \"forward\" scalars 0\n  axes n0:1B o1:%d k2:%d\n"
        "  buf #0 f32[1B, %d] read \"x\"\n  buf #1 f32[%d, %d] read \"w\"\n"
        "  buf #2 f32[%d] read \"b\"\n  buf #3 f32[1B, %d] write \"y\"\n"
        "  stage 0 sum f32 [n0, o1] seq \"s\"\n    %%0 = #0[%d*n0 + k2]\n"
        "    %%1 = #1[%d*o1 + k2]\n    over {k2} += %%0 * %%1\n"
        "  stage 1 map f32 [n0, o1] \"t\"\n    %%0 = #2[o1]\n    %%1 = stage 0\n"
        "    over {} = leaky_relu(add(%%1, %%0), 0.2)\n    #3[%d*n0 + o1] = it\n",
        s.n, s.k, s.k, s.n, s.k, s.n, s.n, s.k, s.k, s.n);
}

static const char *dx_text(struct arena *a, struct shape s)
{
    return arena_fmt(
        a,
        "kernel \"dX\" scalars 0\n  axes n0:1B i1:%d o2:%d\n"
        "  buf #0 f32[1B, %d] read \"dy\"\n  buf #1 f32[%d, %d] read \"w\"\n"
        "  buf #2 f32[1B, %d] read \"f\"\n  buf #3 f32[1B, %d] write \"dx\"\n"
        "  stage 0 sum f32 [n0, i1] seq \"s\"\n    %%0 = #0[%d*n0 + o2]\n"
        "    %%1 = #1[%d*o2 + i1]\n    over {o2} += %%0 * %%1\n"
        "  stage 1 map f32 [n0, i1] \"t\"\n    %%0 = #2[%d*n0 + i1]\n"
        "    %%1 = stage 0\n"
        "    over {} = sel(lt(0, %%0), %%1, mul(%%1, 0.2))\n    #3[%d*n0 + i1] = it\n",
        s.k, s.n, s.n, s.n, s.k, s.k, s.k, s.n, s.k, s.k, s.k);
}

static const char *dw_text(struct arena *a, struct shape s)
{
    return arena_fmt(a,
                     "kernel \"dW\" scalars 0\n  axes o0:%d i1:%d n2:1B\n"
                     "  buf #0 f32[1B, %d] read \"dy\"\n  buf #1 f32[1B, %d] read \"x\"\n"
                     "  buf #2 f32[%d, %d] inplace \"w\"\n"
                     "  stage 0 sum f32 [o0, i1] seq \"s\"\n    %%0 = #0[%d*n2 + o0]\n"
                     "    %%1 = #1[%d*n2 + i1]\n    over {n2} += %%0 * %%1\n"
                     "  stage 1 map f32 [o0, i1] \"t\"\n    %%0 = stage 0\n"
                     "    %%1 = #2[%d*o0 + i1]\n"
                     "    over {} = fma(%%0, 0.001, %%1)\n    #2[%d*o0 + i1] = it\n",
                     s.n, s.k, s.n, s.k, s.n, s.k, s.n, s.k, s.k, s.k);
}

static void against_peak(struct bench *b, struct bench *peak, double flops)
{
    for (unsigned threads = 1; threads <= THREADS; threads++) {
        double rate = flops / seconds(b, threads), p = peak_rate(peak, threads);
        printf("  %u thread%s %6.1f GFLOP/s %3.0f%% of %5.1f", threads,
               threads > 1 ? "s" : " ", rate * 1e-9, 100 * rate / p, p * 1e-9);
    }
    printf("\n");
}

static void contraction(const struct target *t, struct pool *pool, struct shape s,
                        unsigned role)
{
    static const char *(*const text[])(struct arena *, struct shape) = {forward_text,
                                                                        dx_text, dw_text};
    static const char *const name[] = {"forward", "dX", "dW"};
    struct bench b, peak;
    bench_new(&b, t, pool);
    bench_new(&peak, t, pool);
    compile_kernel(&b, text[role](b.a, s));
    peak_new(&peak);
    printf("%4dx%4dx%4d %-8s", s.m, s.k, s.n, name[role]);
    against_peak(&b, &peak, 2.0 * s.m * s.k * s.n);
    bench_free(&b);
    bench_free(&peak);
}

/* ---- convolutions, as the graph's forms are lowered ---- */

struct image_shape {
    int32_t in, out, size, kernel, stride, pad; /* size: rows and columns of the image */
};

static uint32_t slot_of(void *cx, value_id v)
{
    (void)cx;
    return v;
}

/* Kernel of one read-out; the other ports are leaves. */
static struct kernel *image_kernel(struct bench *b, const struct form *f, uint8_t port)
{
    static struct fuse_options all;
    struct graph *g = arena_alloc(b->a, sizeof *g);
    struct diag_sink *ds = diag_sink_new(b->a, 10);
    value_id in[2];
    graph_init(g, b->a);
    graph_region(g, REGION_HOST, "host");
    const region_id phase = g->at = graph_region(g, REGION_PHASE, "bench");
    g->where = graph_place(g, (struct loc){0}, 0, WHY_WRITTEN, "image");
    for (unsigned j = 0, n = 0; j < 3; j++) {
        struct type t = {.dtype = DT_F32, .rank = f->port[j].rank, .sample = j < 2};
        memcpy(t.dim, f->port[j].shape, sizeof t.dim);
        if (j != port)
            in[n++] = graph_leaf(g, j < 2 ? LEAF_DATA : LEAF_PARAM, 0, 0,
                                 arena_fmt(b->a, "t%u", j), t);
    }
    const value_id y = graph_form(g, f, port, in, port < 2, DT_F32);
    graph_root(g, phase, ROOT_OUTPUT, 0, 0, y, "y");
    const struct fusion *fu = fuse(g, phase, &all, b->a);
    struct lowered *l = lower_group(fu, 0, slot_of, NULL, b->a, ds);
    if (!l) {
        diag_print(ds, stderr, false);
        exit(1);
    }
    return l->kernel;
}

static void convolution(const struct target *t, struct pool *pool, struct image_shape s,
                        uint8_t port)
{
    static const char *const name[] = {"forward", "dX", "dW"};
    const int32_t places = (s.size + 2 * s.pad - s.kernel) / s.stride + 1;
    const int32_t in[3] = {s.in, s.size, s.size}, out[3] = {s.out, places, places};
    const int32_t k[2] = {s.kernel, s.kernel}, stride[2] = {s.stride, s.stride};
    const int32_t pad[2] = {s.pad, s.pad}, dilation[2] = {1, 1};
    const struct form f =
        form_conv((struct ext){0, 1}, in, out, k, stride, pad, dilation, 1);
    struct bench b, peak;
    bench_new(&b, t, pool);
    bench_new(&peak, t, pool);
    b.batch = IMAGES;
    b.n = nest_schedule(image_kernel(&b, &f, port), t, b.a);
    compile(&b);
    peak_new(&peak);
    printf("%3d->%3d %2dx%2d k%d s%d %-8s", s.in, s.out, s.size, s.size, s.kernel, s.stride,
           name[port]);
    against_peak(&b, &peak,
                 2.0 * IMAGES * s.out * places * places * s.in * s.kernel * s.kernel);
    bench_free(&b);
    bench_free(&peak);
}

static void convolutions(const struct target *t, struct pool *pool)
{
    static const struct image_shape shapes[] = {{64, 128, 16, 4, 2, 1},
                                                {3, 64, 32, 4, 2, 1},
                                                {32, 64, 16, 3, 1, 1},
                                                {16, 32, 14, 4, 2, 1}};
    for (unsigned i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (uint8_t port = 0; port < 3; port++)
            convolution(t, pool, shapes[i], port);
}

/* ---- element by element ---- */

static void element_wise(const struct target *t, struct pool *pool, const char *what,
                         const char *expression)
{
    struct bench b;
    bench_new(&b, t, pool);
    compile_kernel(&b,
                   arena_fmt(b.a,
                             "kernel \"map\" scalars 4\n  axes n0:1B j1:64\n"
                             "  buf #0 f32[1B, 64] read \"x\"\n"
                             "  buf #1 f32[1B, 64] write \"y\"\n"
                             "  draw 0 scalar $0 sample 0\n"
                             "  stage 0 map f32 [n0, j1] \"m\"\n    %%0 = #0[64*n0 + j1]\n"
                             "    over {} = %s\n    #1[64*n0 + j1] = it\n",
                             expression));
    printf("%-10s %6.2f elements/ns\n", what, 1e-9 * BATCH * 64 / seconds(&b, 1));
    bench_free(&b);
}

int main(int argc, char **argv)
{
    static const struct shape shapes[] = {
        {512, 784, 512}, {512, 512, 512}, {512, 64, 512}, {512, 512, 1568}, {512, 512, 64}};
    static const char *const functions[][2] = {
        {"copy", "%0"},
        {"exp", "exp(%0)"},
        {"log", "log(add(%0, 1))"},
        {"tanh", "tanh(%0)"},
        {"sigmoid", "sigmoid(%0)"},
        {"softplus", "softplus(%0)"},
        {"uniform", "uniform01(rng(0, @1))"},
        {"normal", "add(%0, normal(rng(0, iand(@1, -2i)), rng(0, ior(@1, 1i)), @1))"}};
    const struct target *t = argc > 1 ? target_find(argv[1]) : llvm_host_target();
    struct hyp_error err = {0};
    struct pool *pool;
    if (!t || !llvm_runs_here(t) || pool_new(THREADS, &pool, &err) != HYP_OK)
        return 1;
    printf("target %s: register tile %dx%d, vectors of %d\n", t->name, t->mr, t->nr,
           t->vec);
    convolutions(t, pool);
    if (argc > 2) {
        pool_free(pool);
        return 0;
    }
    for (unsigned i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (unsigned role = 0; role < 3; role++)
            contraction(t, pool, shapes[i], role);
    for (unsigned i = 0; i < sizeof functions / sizeof *functions; i++)
        element_wise(t, pool, functions[i][0], functions[i][1]);
    pool_free(pool);
    return 0;
}
