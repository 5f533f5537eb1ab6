/*
 * Random kernels for another machine, as assembly, with what the nest interpreter makes of
 * them here: what emulate.py runs under an emulator.
 *
 *     emulate_cases FOLDER TARGET FIRST COUNT
 *
 * FOLDER gets kN.s (its stages are kN_0, kN_1, ...), table.c (all stages in order) and
 * cases.bin, which emulate_run.c reads; its layout stands in emulate.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/backend.h"
#include "codegen/interp/nest_eval.h"
#include "codegen/llvm/llvm.h"
#include "codegen/loop/loop.h"
#include "runtime/base/arena.h"
#include "tests/codegen/emulate.h"
#include "tests/prop/kernel_gen.h"

static void stop(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static FILE *create(struct arena *a, const char *folder, const char *name)
{
    FILE *f = fopen(arena_fmt(a, "%s/%s", folder, name), "wb");
    if (!f)
        stop(name, "cannot be written");
    return f;
}

static void put(FILE *f, const void *p, size_t n)
{
    if (n && fwrite(p, n, 1, f) != 1)
        stop("cases.bin", "cannot be written");
}

/* Functions are called k0_STAGE: the number becomes the kernel's. */
static void put_code(FILE *f, const char *text, uint32_t number)
{
    for (const char *p; (p = strstr(text, "k0_")); text = p + 3)
        fprintf(f, "%.*sk%u_", (int)(p - text), text, number);
    fputs(text, f);
}

static void write_code(struct arena *a, const char *folder, const struct nest *n,
                       const struct target *t, uint32_t number)
{
    const char *why = NULL;
    char *text = NULL;
    size_t size;
    FILE *mem = open_memstream(&text, &size);
    if (!mem || !llvm_print(n, t, LLVM_TEXT_ASM, mem, &why))
        stop(t->name, why ? why : "out of memory");
    fclose(mem);
    FILE *f = create(a, folder, arena_fmt(a, "k%u.s", number));
    put_code(f, text, number);
    fclose(f);
    free(text);
}

/* Elements, and after them slack rows that kernels may read. */
static uint64_t bytes_of(const struct kbuf *b, int64_t elems, int64_t batch)
{
    int64_t row = 1;
    for (unsigned i = 1; i < b->rank; i++)
        row *= ext_at(b->dim[i], batch);
    const int64_t all = b->rank && b->dim[0].b ? elems + 11 * row : elems;
    return (uint64_t)all * (b->dtype == DT_BOOL ? 1 : 4);
}

static void put_buffers(FILE *f, const struct nest *n, const struct kernel_data *d,
                        int64_t batch)
{
    for (uint32_t b = 0; b < n->nbuf; b++)
        put(f, d->buf[b], bytes_of(&n->buf[b], d->elems[b], batch));
}

static void run(const struct nest *n, struct kernel_data *d, int64_t batch, struct arena *a)
{
    struct hyp_kargs args = {.buf = (void *const *)d->buf,
                             .scalar = d->scalar,
                             .batch = batch,
                             .seed = EMULATE_SEED,
                             .watch = d->watch};
    for (uint32_t i = 0; i < n->nstage; i++) {
        args.self = interp_prepare(n, i, false, a);
        interp_stage_fn(&args, 0, interp_units(n, i, batch), NULL);
    }
}

static void write_case(FILE *f, const struct nest *n, uint64_t seed, struct arena *a)
{
    static const int64_t batches[] = {1, 2, 5, 6, 7, 11, 12, 13, 23, 24, 25, 47, 49, 50};
    const int64_t batch = batches[seed % 14];
    struct kernel_data d =
        kernel_data_new(n->buf, n->nbuf, n->nscalar, false, batch, seed, a);
    const struct emulate_case head = {seed, batch, n->nbuf, n->nscalar, n->nstage, 0};

    put(f, &head, sizeof head);
    for (uint32_t b = 0; b < n->nbuf; b++) {
        const struct emulate_buffer at = {bytes_of(&n->buf[b], d.elems[b], batch),
                                          (uint64_t)d.elems[b], n->buf[b].dtype};
        put(f, &at, sizeof at);
    }
    for (uint32_t i = 0; i < n->nstage; i++) {
        const struct emulate_stage at = {(uint64_t)interp_units(n, i, batch),
                                         (uint64_t)n->stage[i].stack_bytes};
        put(f, &at, sizeof at);
    }
    put(f, d.scalar, n->nscalar * sizeof *d.scalar);
    put_buffers(f, n, &d, batch);
    run(n, &d, batch, a);
    put_buffers(f, n, &d, batch);
}

int main(int argc, char **argv)
{
    if (argc != 5)
        stop("usage", "emulate_cases FOLDER TARGET FIRST COUNT");
    const char *folder = argv[1];
    const struct target *t = target_find(argv[2]);
    const uint64_t first = strtoull(argv[3], NULL, 10);
    const uint32_t count = (uint32_t)strtoul(argv[4], NULL, 10);
    struct arena *a = arena_new();
    if (!t)
        stop(argv[2], "no such target");
    FILE *cases = create(a, folder, "cases.bin"), *table = create(a, folder, "table.c");
    put(cases, &count, sizeof count);
    for (uint32_t i = 0; i < count; i++) {
        const struct nest *n = nest_schedule(kernel_random(first + i, a), t, a);
        write_code(a, folder, n, t, i);
        write_case(cases, n, first + i, a);
        for (uint32_t s = 0; s < n->nstage; s++)
            fprintf(table, "STAGE(k%u_%u)\n", i, s);
    }
    if (fclose(cases) || fclose(table))
        stop(folder, "cannot be written");
    arena_free(a);
    return 0;
}
