/*
 * Runs the compiled kernels of cases.bin and compares with what the interpreter made of
 * them, to the bit (any NaN equals any NaN). Built for the other machine, with table.c.
 *
 *     emulate_run cases.bin
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/plan.h"
#include "tests/codegen/emulate.h"

#define STAGE(name) hyp_stage_fn name;
#include "table.c"
#undef STAGE
#define STAGE(name) name,
static hyp_stage_fn *const stage_fn[] = {
#include "table.c"
};

static void get(FILE *f, void *p, size_t n)
{
    if (n && fread(p, n, 1, f) != 1) {
        fprintf(stderr, "cases.bin is cut short\n");
        exit(1);
    }
}

static void *take(FILE *f, size_t n)
{
    void *p = aligned_alloc(64, (n + 127) / 64 * 64);
    if (!p)
        exit(1);
    get(f, p, n);
    return p;
}

static int same(const char *x, const char *y, uint64_t dtype)
{
    float f, g;
    if (dtype == HYP_BOOL)
        return *x == *y;
    memcpy(&f, x, sizeof f);
    memcpy(&g, y, sizeof g);
    return memcmp(x, y, 4) == 0 || (dtype == HYP_F32 && f != f && g != g);
}

static int compare(const struct emulate_case *c, const struct emulate_buffer *buf,
                   void **have, void **want)
{
    for (uint32_t b = 0; b < c->nbuf; b++) {
        const size_t size = buf[b].dtype == HYP_BOOL ? 1 : 4;
        for (uint64_t i = 0; i < buf[b].elems; i++)
            if (!same((char *)have[b] + i * size, (char *)want[b] + i * size,
                      buf[b].dtype)) {
                fprintf(stderr, "seed %llu, batch %lld: buffer %u, element %llu differs\n",
                        (unsigned long long)c->seed, (long long)c->batch, b,
                        (unsigned long long)i);
                return 0;
            }
    }
    return 1;
}

static void run(const struct emulate_case *c, const struct emulate_stage *stage,
                hyp_stage_fn *const *fn, void **buf, const union hyp_word *scalar)
{
    static _Alignas(64) uint32_t watch[HYP_WATCH];
    const struct hyp_kargs args = {.buf = (void *const *)buf,
                                   .scalar = scalar,
                                   .batch = c->batch,
                                   .seed = EMULATE_SEED,
                                   .watch = watch};
    for (uint32_t s = 0; s < c->nstage; s++) {
        const int64_t units = (int64_t)stage[s].units, half = units / 2;
        void *scratch = aligned_alloc(64, (stage[s].scratch + 127) / 64 * 64);
        if (!scratch)
            exit(1);
        fn[s](&args, half, units, scratch);
        fn[s](&args, 0, half, scratch);
        free(scratch);
    }
}

static void **take_all(FILE *f, const struct emulate_case *c,
                       const struct emulate_buffer *buf)
{
    void **p = calloc(c->nbuf + 1U, sizeof *p);
    if (!p)
        exit(1);
    for (uint32_t b = 0; b < c->nbuf; b++)
        p[b] = take(f, buf[b].bytes);
    return p;
}

static void drop(void **p, uint32_t n)
{
    while (n > 0)
        free(p[--n]);
    free(p);
}

static int one(FILE *f, hyp_stage_fn *const **fn)
{
    struct emulate_case c;
    get(f, &c, sizeof c);
    struct emulate_buffer *buf = take(f, c.nbuf * sizeof *buf);
    struct emulate_stage *stage = take(f, c.nstage * sizeof *stage);
    union hyp_word *scalar = take(f, c.nscalar * sizeof *scalar);
    void **have = take_all(f, &c, buf), **want = take_all(f, &c, buf);
    run(&c, stage, *fn, have, scalar);
    const int ok = compare(&c, buf, have, want);
    *fn += c.nstage;
    drop(have, c.nbuf);
    drop(want, c.nbuf);
    free(buf);
    free(stage);
    free(scalar);
    return ok;
}

int main(int argc, char **argv)
{
    FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;
    hyp_stage_fn *const *fn = stage_fn;
    uint32_t n, bad = 0;
    if (!f) {
        fprintf(stderr, "usage: emulate_run cases.bin\n");
        return 2;
    }
    get(f, &n, sizeof n);
    for (uint32_t i = 0; i < n; i++)
        bad += !one(f, &fn);
    fclose(f);
    printf("%u kernels of %zu stages, %u of them differ\n", n,
           sizeof stage_fn / sizeof *stage_fn, bad);
    return bad != 0;
}
