/* The interpreter as a back end: nothing to compile, nests are walked where they stand. */
#include "codegen/backend.h"
#include "codegen/interp/nest_eval.h"
#include "codegen/loop/loop.h"
#include "runtime/base/arena.h"

struct code {
    struct arena *arena;
};

static struct code *load(struct nest *const *nest, uint32_t n, bool f64,
                         struct loaded_stage *stage)
{
    struct arena *a = arena_new();
    struct code *c = arena_alloc(a, sizeof *c);

    c->arena = a;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t s = 0; s < nest[i]->nstage; s++)
            *stage++ =
                (struct loaded_stage){interp_stage_fn, interp_prepare(nest[i], s, f64, a)};
    return c;
}

static struct code *load_f32(struct nest *const *nest, uint32_t n,
                             const struct target *target, unsigned threads,
                             struct diag_sink *ds, struct loaded_stage *stage)
{
    (void)target;
    (void)threads;
    (void)ds;
    return load(nest, n, false, stage);
}

static struct code *load_f64(struct nest *const *nest, uint32_t n,
                             const struct target *target, unsigned threads,
                             struct diag_sink *ds, struct loaded_stage *stage)
{
    (void)target;
    (void)threads;
    (void)ds;
    return load(nest, n, true, stage);
}

static void release(struct code *c)
{
    arena_free(c->arena);
}

const struct backend backend_interp = {"interp", false, load_f32, release};
const struct backend backend_interp64 = {"interp64", true, load_f64, release};
