/*
 * Speed of generated kernels beside this machine's FMA peak, measured with each of them: a
 * server for bench/kernels.py, which says what to time.
 *
 *     kernel_bench TARGET [libopenblas.so] < commands
 *
 *     contraction M K N ROLE THREADS               ROLE: forward, dX, dW
 *     convolution IN OUT SIZE KERNEL STRIDE PAD IMAGES ROLE THREADS
 *     map EXPRESSION                               one thread
 *     stream ROWS THREADS KERNEL                   its text; / is the end of a line
 *     peak THREADS                                 nothing but the peak
 *
 * Each answers with one line of JSON: seconds of ours and of the library (contractions),
 * and the peak in flop/s; of streams the bytes that they move, and the seconds of a loop
 * that does nothing else.  A kernel stays compiled as long as the command is the same.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <time.h>

#include "bench/kernel.h"
#include "bench/streams.h"
#include "codegen/llvm/llvm.h"
#include "codegen/loop/lower.h"
#include "compiler/passes/pass.h"
#include "runtime/base/diag.h"

enum { MAP_ROWS = 512, PEAK_STEPS = 4000, LINE = 8192 };

/* ---- the peak: as many independent chains as a register tile has ---- */

static void peak_new(struct bench *b)
{
    const struct target *t = b->target;
    int32_t rows = 12, w = t->vec;
    char *text =
        arena_fmt(b->a,
                  "nest \"peak\" scalars 2 axes u0 k1 m2 j3 m4 j5\n"
                  "  buf #0 f32[64, %d] write \"out\"\n"
                  "  tile &0 reg f32[%d, %d] \"h\"\n"
                  "  stage units 64/1 stack 0\n"
                  "    grid u0 = 0 to 64 step 1 bound 64 {\n"
                  "      tile &0 = 0\n"
                  "      for k1 = 0 to %d step 1 {\n"
                  "        unroll m2 = 0 to %d step 1 {\n"
                  "          vec j3 = 0 to %d step 1 {\n"
                  "            &0[%d*m2 + j3] += $0 * $1\n"
                  "          }\n        }\n      }\n"
                  "      unroll m4 = 0 to %d step 1 {\n"
                  "        vec j5 = 0 to %d step 1 {\n"
                  "          #0[%d*u0 + %d*m4 + j5] = %%0 ; %%0 = &0[%d*m4 + j5]\n"
                  "        }\n      }\n    }\n",
                  rows * w, rows, w, PEAK_STEPS, rows, w, w, rows, w, rows * w, w, w);
    bench_nest(b, text);
}

static double peak_rate(struct bench *b, unsigned threads)
{
    return 64.0 * PEAK_STEPS * 12 * b->target->vec * 2 / bench_seconds(b, threads);
}

/* The best of a while: threads that slept are not at once on processors of their own. */
static double peak_settled(struct bench *b, unsigned threads)
{
    static const double a_while = 0.3;
    const double start = bench_now();
    double best = 0;
    do {
        const double rate = peak_rate(b, threads);
        best = rate > best ? rate : best;
    } while (bench_now() - start < a_while);
    return best;
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

static const char *role_text(struct arena *a, struct shape s, unsigned role)
{
    static const char *(*const text[])(struct arena *, struct shape) = {forward_text,
                                                                        dx_text, dw_text};
    return text[role](a, s);
}

/* ---- the library ---- */

enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };

/* Its integers have 32 or 64 bits: NumPy's has the latter, and a name of its own. */
struct blas {
    void (*gemm)(int, int, int, int, int, int, float, const float *, int, const float *,
                 int, float, float *, int);
    void (*gemm64)(int, int, int, int64_t, int64_t, int64_t, float, const float *, int64_t,
                   const float *, int64_t, float, float *, int64_t);
    void (*set_threads)(int);
};

static bool blas_open(const char *path, struct blas *b)
{
    void *so = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!so)
        return false;
    *(void **)&b->gemm = dlsym(so, "cblas_sgemm");
    *(void **)&b->gemm64 = dlsym(so, "scipy_cblas_sgemm64_");
    *(void **)&b->set_threads = dlsym(so, b->gemm64 ? "scipy_openblas_set_num_threads64_"
                                                    : "openblas_set_num_threads");
    return b->gemm || b->gemm64;
}

struct product { /* the library's operands: as ours, without bias and activation */
    const struct blas *blas;
    struct shape s;
    unsigned role;
    float *x, *w, *y;
};

static void call_blas(void *cx)
{
    const struct product *p = cx;
    const int b = p->s.m, k = p->s.k, n = p->s.n;
    const struct { /* m n k of the call; which are transposed; operands and their rows */
        int m, n, k, ta, tb;
        const float *a, *b;
        int lda, ldb;
        float *c;
    } call[] = {{b, n, k, PLAIN, TRANSPOSED, p->x, p->w, k, k, p->y},
                {b, k, n, PLAIN, PLAIN, p->y, p->w, n, k, p->x},
                {n, k, b, TRANSPOSED, PLAIN, p->y, p->x, n, k, p->w}},
      *c = &call[p->role];
    if (p->blas->gemm64)
        p->blas->gemm64(ROW_MAJOR, c->ta, c->tb, c->m, c->n, c->k, 1, c->a, c->lda, c->b,
                        c->ldb, 0, c->c, c->n);
    else
        p->blas->gemm(ROW_MAJOR, c->ta, c->tb, c->m, c->n, c->k, 1, c->a, c->lda, c->b,
                      c->ldb, 0, c->c, c->n);
}

static double blas_seconds(const struct blas *blas, struct shape s, unsigned role,
                           unsigned threads)
{
    struct arena *a = arena_new();
    const size_t m = (size_t)s.m, k = (size_t)s.k, n = (size_t)s.n;
    struct product p = {blas,
                        s,
                        role,
                        bench_numbers(a, m * k),
                        bench_numbers(a, k * n),
                        bench_numbers(a, m * n)};
    if (blas->set_threads)
        blas->set_threads((int)threads);
    const double t = bench_time(call_blas, &p, threads == 1);
    arena_free(a);
    return t;
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

/* A graph of one read-out; the other ports are leaves. */
static void image_graph(struct graph *g, struct arena *a, const struct form *f,
                        uint8_t port)
{
    value_id in[2];
    graph_init(g, a);
    graph_region(g, REGION_HOST, "host");
    g->at = graph_region(g, REGION_PHASE, "bench");
    g->where = graph_place(g, (struct loc){0}, 0, WHY_WRITTEN, "image");
    for (unsigned j = 0, n = 0; j < 3; j++) {
        struct type t = {.dtype = DT_F32, .rank = f->port[j].rank, .sample = j < 2};
        memcpy(t.dim, f->port[j].shape, sizeof t.dim);
        if (j != port)
            in[n++] = graph_leaf(g, j < 2 ? LEAF_DATA : LEAF_PARAM, 0, 0,
                                 arena_fmt(a, "t%u", j), t);
    }
    graph_root(g, g->at, ROOT_OUTPUT, 0, 0, graph_form(g, f, port, in, port < 2, DT_F32),
               "y");
}

/* Its kernels, after the passes that decide how sums are walked. */
static void image_kernels(struct bench *b, const struct form *f, uint8_t port)
{
    const struct fuse_options all = {.target = b->target, .batch = b->batch};
    struct program *p = arena_alloc(b->a, sizeof *p);
    struct diag_sink *ds = diag_sink_new(b->a, 10);
    struct pass_cx cx = {.program = p, .diags = ds, .target = b->target};
    p->arena = b->a;
    image_graph(&p->graph, b->a, f, port);
    for (unsigned i = 0; pass_info(i); i++)
        if (strcmp(pass_info(i)->name, "factor") == 0 ||
            strcmp(pass_info(i)->name, "order") == 0)
            pass_info(i)->run(&cx);
    const struct fusion *fu = fuse(&p->graph, p->graph.at, &all, b->a);
    for (uint32_t o = 0; o < fu->norder && b->nnest < MOST_KERNELS; o++) {
        const uint32_t i = fu->order[o];
        const struct lowered *l =
            fu->group[i].n ? lower_group(fu, i, slot_of, NULL, b->a, ds) : NULL;
        if (l) {
            b->slot[b->nnest] = l->slot;
            b->nest[b->nnest++] = nest_schedule(l->kernel, b->target, b->a);
        }
    }
    if (!b->nnest) {
        diag_print(ds, stderr, false);
        exit(1);
    }
}

static void convolution(struct bench *b, struct image_shape s, uint8_t port)
{
    const int32_t places = (s.size + 2 * s.pad - s.kernel) / s.stride + 1;
    const int32_t in[3] = {s.in, s.size, s.size}, out[3] = {s.out, places, places};
    const int32_t k[2] = {s.kernel, s.kernel}, stride[2] = {s.stride, s.stride};
    const int32_t pad[2] = {s.pad, s.pad}, dilation[2] = {1, 1};
    const struct form f =
        form_conv((struct ext){0, 1}, in, out, k, stride, pad, dilation, 1);
    image_kernels(b, &f, port);
    bench_compile(b);
}

/* ---- commands ---- */

struct server {
    const struct target *target;
    struct pool *pool;
    struct blas blas;
    bool has_blas;
    struct bench kernel, peak;
    char made[LINE]; /* command that the kernel was made for */
};

static int role_of(const char *name)
{
    static const char *const names[] = {"forward", "dX", "dW"};
    for (int i = 0; i < 3; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

/* The kernel of a command, made if it is not there; false: it still is. */
static bool renew(struct server *s, const char *command, int64_t batch, unsigned threads)
{
    if (strcmp(s->made, command) == 0)
        return false;
    bench_free(&s->kernel);
    bench_new(&s->kernel, s->target, s->pool, batch, threads);
    snprintf(s->made, sizeof s->made, "%s", command);
    return true;
}

/* The library comes last. */
static void answer(struct server *s, double ours, const struct shape *sh, unsigned role,
                   unsigned threads)
{
    printf("{\"ours\": %.9g, \"peak\": %.6g", ours, peak_rate(&s->peak, threads));
    if (sh && s->has_blas)
        printf(", \"blas\": %.9g", blas_seconds(&s->blas, *sh, role, threads));
    printf("}\n");
}

/* The library's threads, and other programs', spin for a while after their work. */
static void wait_for_others(unsigned threads)
{
    if (threads > 1)
        thrd_sleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
}

/* So many passes over n elements or steps that starting them does not count: a run starts
 * its threads once a phase. */
static unsigned passes_of(size_t n)
{
    static const size_t most = 64, total = (size_t)1 << 21;
    return n > total ? 1 : total / n > most ? most : (unsigned)(total / n);
}

static bool time_contraction(struct server *s, const char *line)
{
    struct shape sh;
    unsigned threads;
    char name[16];
    if (sscanf(line, "contraction %d %d %d %15s %u", &sh.m, &sh.k, &sh.n, name, &threads) !=
            5 ||
        role_of(name) < 0 || threads < 1 || threads > THREADS)
        return false;
    const unsigned role = (unsigned)role_of(name);
    if (renew(s, line, sh.m, threads))
        bench_kernel(&s->kernel, role_text(s->kernel.a, sh, role));
    s->kernel.passes = passes_of((size_t)sh.m * (size_t)sh.k * (size_t)sh.n / 16);
    wait_for_others(threads);
    answer(s, bench_seconds(&s->kernel, threads), &sh, role, threads);
    return true;
}

static bool time_convolution(struct server *s, const char *line)
{
    struct image_shape sh;
    unsigned threads;
    int images;
    char name[16];
    if (sscanf(line, "convolution %d %d %d %d %d %d %d %15s %u", &sh.in, &sh.out, &sh.size,
               &sh.kernel, &sh.stride, &sh.pad, &images, name, &threads) != 9 ||
        role_of(name) < 0 || threads < 1 || threads > THREADS)
        return false;
    if (renew(s, line, images, threads))
        convolution(&s->kernel, sh, (uint8_t)role_of(name));
    wait_for_others(threads);
    answer(s, bench_seconds(&s->kernel, threads), NULL, 0, threads);
    return true;
}

static bool time_map(struct server *s, const char *line)
{
    if (strncmp(line, "map ", 4) != 0)
        return false;
    if (renew(s, line, MAP_ROWS, 1))
        bench_kernel(
            &s->kernel,
            arena_fmt(s->kernel.a,
                      "kernel \"map\" scalars 4\n  axes n0:1B j1:64\n"
                      "  buf #0 f32[1B, 64] read \"x\"\n"
                      "  buf #1 f32[1B, 64] write \"y\"\n"
                      "  draw 0 scalar $0 sample 0\n"
                      "  stage 0 map f32 [n0, j1] \"m\"\n    %%0 = #0[64*n0 + j1]\n"
                      "    over {} = %s\n    #1[64*n0 + j1] = it\n",
                      line + 4));
    answer(s, bench_seconds(&s->kernel, 1) / (MAP_ROWS * 64), NULL, 0, 1);
    return true;
}

/* ---- bandwidth ---- */

static size_t elements(const struct kbuf *k, int64_t batch)
{
    size_t n = 1;
    for (unsigned d = 0; d < k->rank; d++)
        n *= (size_t)ext_at(k->dim[d], batch);
    return n;
}

/* The largest buffers of the kernel are its streams. */
struct stream_work {
    struct streams s;
    struct pool *pool;
    size_t n;
    unsigned threads;
    bool around;
};

static void find_streams(const struct bench *b, struct stream_work *w)
{
    const struct nest *n = b->nest[0];
    const uint32_t nbuf = n->nbuf - n->nprivate;
    for (uint32_t i = 0; i < nbuf; i++)
        if (elements(&n->buf[i], b->batch) > w->n)
            w->n = elements(&n->buf[i], b->batch);
    for (uint32_t i = 0; i < nbuf; i++) {
        const struct kbuf *k = &n->buf[i];
        if (elements(k, b->batch) < w->n)
            continue;
        if (k->use != BUF_WRITE && w->s.nin < STREAMS_MOST)
            w->s.in[w->s.nin++] = b->args[0].buf[i];
        if (k->use != BUF_READ && w->s.nout < STREAMS_MOST)
            w->s.out[w->s.nout++] = b->args[0].buf[i];
    }
}

static void stream_part(void *cx, unsigned thread)
{
    const struct stream_work *w = cx;
    const size_t steps = w->n / STREAMS_STEP, from = steps * thread / w->threads,
                 to = steps * (thread + 1) / w->threads;
    for (unsigned i = 0; i < passes_of(w->n); i++) {
        streams_pass(&w->s, from * STREAMS_STEP, to * STREAMS_STEP, w->around);
        if (w->threads > 1)
            pool_barrier(w->pool);
    }
}

static void stream_all(void *cx)
{
    struct stream_work *w = cx;
    if (w->threads > 1)
        pool_run(w->pool, stream_part, w);
    else
        stream_part(w, 0);
}

static double stream_seconds(struct stream_work *w, bool around)
{
    w->around = around;
    return bench_time(stream_all, w, w->threads == 1) / passes_of(w->n);
}

static bool time_stream(struct server *s, const char *line)
{
    long long rows;
    unsigned threads;
    int text;
    if (sscanf(line, "stream %lld %u %n", &rows, &threads, &text) != 2 || threads < 1 ||
        threads > THREADS)
        return false;
    if (renew(s, line, rows, threads)) {
        char *k = arena_fmt(s->kernel.a, "%s", line + text);
        for (char *at = k; (at = strchr(at, '/')) != NULL;)
            *at = '\n';
        bench_kernel(&s->kernel, k);
    }
    struct stream_work w = {.pool = s->pool, .threads = threads};
    find_streams(&s->kernel, &w);
    s->kernel.passes = passes_of(w.n);
    wait_for_others(threads);
    const double ours = bench_seconds(&s->kernel, threads);
    printf("{\"ours\": %.9g, \"bytes\": %.9g, \"through\": %.9g, \"around\": %.9g}\n", ours,
           4.0 * (double)w.n * (w.s.nin + w.s.nout), stream_seconds(&w, false),
           stream_seconds(&w, true));
    return true;
}

static bool tell_peak(struct server *s, const char *line)
{
    unsigned threads;
    if (sscanf(line, "peak %u", &threads) != 1 || threads < 1 || threads > THREADS)
        return false;
    printf("{\"peak\": %.6g}\n", peak_settled(&s->peak, threads));
    return true;
}

int main(int argc, char **argv)
{
    static bool (*const kinds[])(struct server *, const char *) = {
        time_contraction, time_convolution, time_map, time_stream, tell_peak};
    const bool any = argc < 2 || strcmp(argv[1], "host") == 0;
    struct server s = {.target = any ? llvm_host_target() : target_find(argv[1])};
    struct hyp_error err = {0};
    char line[LINE];
    if (!s.target || !llvm_runs_here(s.target) ||
        pool_new(THREADS, &s.pool, &err) != HYP_OK)
        return 1;
    s.has_blas = blas_open(argc > 2 ? argv[2] : NULL, &s.blas);
    bench_new(&s.kernel, s.target, s.pool, 0, 1);
    bench_new(&s.peak, s.target, s.pool, 0, 1);
    peak_new(&s.peak);
    printf("{\"target\": \"%s\", \"tile\": [%d, %d], \"blas\": %s}\n", s.target->name,
           s.target->mr, s.target->nr, s.has_blas ? "true" : "false");
    for (fflush(stdout); fgets(line, sizeof line, stdin); fflush(stdout)) {
        bool done = false;
        line[strcspn(line, "\n")] = 0;
        for (unsigned i = 0; i < sizeof kinds / sizeof *kinds && !done; i++)
            done = kinds[i](&s, line);
        if (!done)
            printf("{\"error\": \"no such command\"}\n");
    }
    bench_free(&s.kernel);
    bench_free(&s.peak);
    pool_free(s.pool);
    return 0;
}
