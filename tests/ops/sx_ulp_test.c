/*
 * The own f32 functions against double libm: worst error in ulp over a stride of all f32
 * patterns and the hard ones; with --full over all 2^32.
 *
 * An error is counted in ulps of the float below the exact value, the spacing of denormals
 * at the bottom.  libm's double results are exact enough: they err by 2^-52, an f32 ulp is
 * 2^-23.
 */
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/sx.h"
#include "runtime/base/arena.h"

enum { THREADS = 2 };

static double ref_sigmoid(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static double ref_softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double ref_rsqrt(double x)
{
    return 1 / sqrt(x);
}

struct function {
    enum sx_op op;
    double (*ref)(double);
    double limit; /* ulp */
};

static const struct function functions[] = {
    {SX_FN_exp, exp, 2},
    {SX_FN_expm1, expm1, 2},
    {SX_FN_log, log, 2},
    {SX_FN_tanh, tanh, 2},
    {SX_FN_sigmoid, ref_sigmoid, 2},
    {SX_FN_softplus, ref_softplus, 2},
    {SX_FN_sin, sin, 2},
    {SX_FN_cos, cos, 2},
    {SX_FN_erf, erf, 2},
    {SX_FN_acos, acos, 2},
    {SX_FN_rsqrt, ref_rsqrt, 2},
    {SX_FN_round, rint, 0},
};

static float from_word(uint32_t w)
{
    float x;
    memcpy(&x, &w, sizeof x);
    return x;
}

static uint32_t to_word(float x)
{
    uint32_t w;
    memcpy(&w, &x, sizeof w);
    return w;
}

/* Error of `got` in ulps; infinity where one is NaN or overflows wrongly. */
static double ulps(float got, double want)
{
    int e;

    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got) ? 0 : (double)INFINITY;
    if (isinf(got) || isinf((float)want))
        return (float)want == got || (isinf(got) && fabs(want) > 0x1.fffffep127) ||
                       (isinf((float)want) && fabsf(got) == 0x1.fffffep127F)
                   ? 0
                   : (double)INFINITY;
    (void)frexp(want, &e);
    if (want == 0 || e < -125)
        e = -125;
    return fabs((double)got - want) / ldexp(1, e - 24);
}

struct worst {
    double ulp, sum;
    uint32_t word;
    uint64_t n;
};

struct sweep {
    const struct function *f;
    const struct sx_prog *prog;
    uint64_t first, end, stride;
    const uint32_t *list; /* instead of a range */
    struct worst worst;
};

static void check_block(struct sweep *s, void *scratch, const float *x, uint32_t n)
{
    const void *arg[] = {x};
    const int32_t step[] = {1};
    const struct sx_block env = {.arg = arg, .arg_step = step};
    float y[SX_BLOCK];
    void *out[] = {y};

    sx_prog_run_block(s->prog, &env, n, scratch, out);
    for (uint32_t i = 0; i < n; i++) {
        const double u = ulps(y[i], s->f->ref((double)x[i]));
        s->worst.sum += u;
        s->worst.n++;
        if (u > s->worst.ulp) {
            s->worst.ulp = u;
            s->worst.word = to_word(x[i]);
        }
    }
}

static void *sweep_range(void *arg)
{
    struct sweep *s = arg;
    void *scratch = malloc(sx_prog_scratch(s->prog));
    float x[SX_BLOCK];
    uint32_t n = 0;

    sx_prog_prepare(s->prog, scratch);
    for (uint64_t w = s->first; w < s->end; w += s->stride) {
        x[n++] = from_word(s->list ? s->list[w] : (uint32_t)w);
        if (n == SX_BLOCK) {
            check_block(s, scratch, x, n);
            n = 0;
        }
    }
    if (n)
        check_block(s, scratch, x, n);
    free(scratch);
    return NULL;
}

static void merge(struct worst *w, const struct worst *v)
{
    if (v->ulp > w->ulp) {
        w->ulp = v->ulp;
        w->word = v->word;
    }
    w->sum += v->sum;
    w->n += v->n;
}

/* Neighbourhoods of powers of two, multiples of pi/2 and of ln 2 / 2, thresholds, the ends.
 */
static uint32_t hard_list(uint32_t *list)
{
    uint32_t n = 0;
    static const float seeds[] = {
        88.72284F,  -87.33655F, -103.97208F, 0.55F,    0.9F,     0.785F,   0.5F,
        1.0F,       4.0F,       20.0F,       1.0F / 3, 4.0F / 3, 2.0F / 3, 9.010913F,
        16.635532F, 17.328679F, -30.0F,      89.0F,    88.376F};

    for (uint32_t e = 0; e <= 255; e++) {
        for (uint32_t d = 0; d < 64; d++)
            list[n++] = (e << 23) + d - 32;
    }
    for (uint32_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        for (uint32_t d = 0; d < 512; d++)
            list[n++] = to_word(seeds[i]) + d - 256;
    }
    for (int k = 1; k < 20000; k++) {
        for (uint32_t d = 0; d < 3; d++) {
            list[n++] = to_word((float)(k * 1.5707963267948966)) + d - 1;
            if (k < 600)
                list[n++] = to_word((float)(k * 0.34657359027997264)) + d - 1;
        }
    }
    /* Known worst cases of argument reduction, and multiples of pi/2 by large powers. */
    list[n++] = to_word(16367173.0F * 0x1p72F);
    for (int e = 14; e < 127; e++) {
        for (uint32_t d = 0; d < 33; d++)
            list[n++] = to_word((float)ldexp(1.5707963267948966, e)) + d - 16;
    }
    for (uint32_t i = 0, m = n; i < m; i++)
        list[n++] = list[i] ^ 0x80000000U;
    return n;
}

static bool check(const struct function *f, uint64_t stride, const uint32_t *list,
                  uint32_t nlist)
{
    struct arena *a = arena_new();
    struct sxb b;
    sx_id root;
    struct sweep s[THREADS], hard;
    pthread_t thread[THREADS];

    sx_init(&b, a);
    root = sx_make(&b, f->op, sx_arg(&b, 0, SX_FLOAT), 0, 0);
    hard = (struct sweep){
        f, sx_compile(a, &b, &root, 1, false), 0, nlist, 1, list, {0, 0, 0, 0}};
    for (unsigned i = 0; i < THREADS; i++) {
        s[i] = hard;
        s[i].list = NULL;
        s[i].first = i * stride;
        s[i].end = UINT64_C(1) << 32;
        s[i].stride = stride * THREADS;
        pthread_create(&thread[i], NULL, sweep_range, &s[i]);
    }
    (void)sweep_range(&hard);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        merge(&hard.worst, &s[i].worst);
    }
    printf("%-12s max %.3f ulp at %a (0x%08x), mean %.4f, %u primitives\n",
           sx_op_info(f->op)->name, hard.worst.ulp, (double)from_word(hard.worst.word),
           hard.worst.word, hard.worst.sum / (double)hard.worst.n, sx_cost(&b, root));
    fflush(stdout);
    arena_free(a);
    return hard.worst.ulp <= f->limit;
}

int main(int argc, char **argv)
{
    const bool full = argc > 1 && !strcmp(argv[1], "--full");
    uint32_t *list = malloc(sizeof *list * 400000);
    const uint32_t n = hard_list(list);
    int failed = 0;

    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (argc > 2 && strcmp(argv[2], sx_op_info(functions[i].op)->name) != 0)
            continue;
        if (!check(&functions[i], full ? 1 : 1021, list, n)) {
            printf("%s exceeds %g ulp\n", sx_op_info(functions[i].op)->name,
                   functions[i].limit);
            failed++;
        }
    }
    free(list);
    return failed != 0;
}
