/* The interpreter as a back end: nothing to compile, nests are walked where they stand. */
#include "codegen/backend.h"
#include "codegen/interp/nest_eval.h"
#include "codegen/loop/loop.h"
#include "runtime/base/arena.h"

struct code {
    struct arena *arena;
};

static struct code *load(const struct load_job *job, bool f64, struct loaded_stage *stage,
                         uint32_t *compiled)
{
    struct arena *a = arena_new();
    struct code *c = arena_alloc(a, sizeof *c);

    c->arena = a;
    if (compiled)
        *compiled = 0;
    for (uint32_t i = 0; i < job->n; i++)
        for (uint32_t s = 0; s < job->nest[i]->nstage; s++)
            *stage++ = (struct loaded_stage){interp_stage_fn,
                                             interp_prepare(job->nest[i], s, f64, a)};
    return c;
}

static struct code *load_f32(const struct load_job *job, struct diag_sink *ds,
                             struct loaded_stage *stage, uint32_t *compiled)
{
    (void)ds;
    return load(job, false, stage, compiled);
}

static struct code *load_f64(const struct load_job *job, struct diag_sink *ds,
                             struct loaded_stage *stage, uint32_t *compiled)
{
    (void)ds;
    return load(job, true, stage, compiled);
}

static void release(struct code *c)
{
    arena_free(c->arena);
}

const struct backend backend_interp = {"interp", false, load_f32, release};
const struct backend backend_interp64 = {"interp64", true, load_f64, release};
