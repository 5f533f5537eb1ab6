#include "compiler/driver/compile.h"
#include "compiler/driver/compile_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef HYP_WITH_LLVM
#include "codegen/llvm/llvm.h"
#endif
#include "runtime/base/arena.h"
#include "runtime/base/cache.h"
#include "runtime/base/processors.h"
#include "runtime/base/sha256.h"
#include "runtime/data.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const struct backend *find_backend(const char *name)
{
    static const struct backend *const all[] = {
#ifdef HYP_WITH_LLVM
        &backend_llvm,
#endif
        &backend_interp,
        &backend_interp64,
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (name && strcmp(all[i]->name, name) == 0)
            return all[i];
    return name ? NULL : all[0];
}

#ifdef HYP_WITH_LLVM
/* Code needs a target that it is made for and that this machine runs. */
static bool choose_machine(struct compiled *c, const struct compile_options *o)
{
    const struct target *t = o->target ? c->target : llvm_host_target();
    if (t && llvm_runs_here(t)) {
        c->target = t;
        return true;
    }
    if (o->backend) {
        diag(c->diags, E0705, (struct loc){0}, "no back end `%s` for this machine",
             o->backend);
        diag_hint(c->diags, "it needs AVX2 (x86-64-v3) or NEON; `--backend interp` runs");
        return false;
    }
    diag(c->diags, W0709, (struct loc){0},
         "this machine runs no code of ours: the model runs in the interpreter");
    diag_hint(c->diags, "code needs AVX2 (x86-64-v3) or NEON; `hypno doctor` tells more");
    c->backend = &backend_interp;
    return true;
}
#endif

/* The back end asked for, or the best that this machine runs, and its target row. */
static bool choose_backend(struct compiled *c, const struct compile_options *o)
{
    c->backend = find_backend(o->backend);
    c->target = o->target ? target_find(o->target) : target_default();
    if (!c->backend || !c->target) {
        diag(c->diags, E0705, (struct loc){0}, "no %s `%s` in this build",
             c->backend ? "target" : "back end", c->backend ? o->target : o->backend);
        diag_hint(c->diags, "`hypno doctor` lists them");
        return false;
    }
#ifdef HYP_WITH_LLVM
    if (c->backend == &backend_llvm)
        return choose_machine(c, o);
#endif
    return true;
}

/* ---- code, when it is wanted ---- */

/* Kernels of one phase that have no code yet; marks them. */
static uint32_t missing(const struct hyp_plan *p, const struct hyp_phase *ph, bool *want)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < ph->nop; i++) {
        if (ph->op[i].op != HYP_OP_LAUNCH)
            continue;
        for (uint32_t e = ph->op[i].a; e < ph->op[i].b; e++) {
            const uint32_t k = p->entry[e].kernel;
            if (p->kernel[k].nstage && !p->kernel[k].stage[0].fn && !want[k]) {
                want[k] = true;
                n++;
            }
        }
    }
    return n;
}

/* Opened when it is first wanted; without one if it cannot be used. */
static struct cache *cache_of(struct compiled *c)
{
    const char *why;
    if (!c->cache && c->cache_dir)
        c->cache = cache_open(c->cache_dir, c->cache_limit, &why);
    return c->cache;
}

static bool load_kernels(struct compiled *c, const bool *want)
{
    struct hyp_plan *p = c->plan;
    struct nest **nest = arena_array(c->arena, p->nkernel + 1U, sizeof *nest);
    const uint8_t **key = arena_array(c->arena, p->nkernel + 1U, sizeof *key);
    uint32_t n = 0, nstage = 0, at = 0, compiled = 0;

    for (uint32_t k = 0; k < p->nkernel; k++)
        if (want[k]) {
            key[n] = p->kernel[k].key;
            nest[n++] = c->ir.nest[k];
            nstage += p->kernel[k].nstage;
        }
    struct loaded_stage *stage = arena_array(c->arena, nstage + 1U, sizeof *stage);
    const struct load_job job = {nest, key, n, c->target, hyp_processors(), cache_of(c)};
    struct code *code = c->backend->load(&job, c->diags, stage, &compiled);
    if (!code)
        return false;
    c->code = arena_grow(c->arena, c->code, &c->ccode, c->ncode + 1, sizeof *c->code);
    c->code[c->ncode++] = code;
    p->compiled += compiled;
    for (uint32_t k = 0; k < p->nkernel; k++)
        for (uint32_t s = 0; want[k] && s < p->kernel[k].nstage; s++, at++) {
            p->kernel[k].stage[s].fn = stage[at].fn;
            p->kernel[k].stage[s].self = stage[at].self;
        }
    return true;
}

static enum hyp_status load_phase(struct hyp_plan *p, uint32_t phase, struct hyp_error *err)
{
    struct compiled *c = p->release_cx;
    const double start = now();
    bool *want;

    if (p->phase[phase].loaded)
        return HYP_OK;
    want = arena_array(c->arena, p->nkernel + 1U, sizeof *want);
    if (missing(p, &p->phase[phase], want) && !load_kernels(c, want))
        return hyp_fail(err, HYP_EBUG, "code for phase %s could not be made",
                        p->phase[phase].name);
    p->phase[phase].loaded = true;
    c->seconds += now() - start;
    p->compile_seconds = c->seconds;
    return HYP_OK;
}

static void give_code(struct compiled *c)
{
    c->plan->backend = c->backend->name;
    c->plan->release_cx = c;
    c->plan->load_phase = load_phase;
}

/* What every run needs at once: initial values and the scheduled phases, in one go. */
static bool load_scheduled(struct compiled *c)
{
    struct hyp_plan *p = c->plan;
    bool *want = arena_array(c->arena, p->nkernel + 1U, sizeof *want);

    for (uint32_t i = 0; i < p->nphase; i++)
        if (i == p->init_phase ||
            (p->phase[i].draw != UINT32_MAX && !p->phase[i].variant_of &&
             !strstr(p->phase[i].name, "(with probes)"))) {
            missing(p, &p->phase[i], want);
            p->phase[i].loaded = true;
        }
    return load_kernels(c, want);
}

/* ---- other plans of the program ---- */

/* Another plan of the same program, in a compilation of its own. */
static struct compiled *beside(struct compiled *c, const struct plan_options *o)
{
    struct arena *a = arena_new();
    struct compiled *n = arena_alloc(a, sizeof *n);
    *n = (struct compiled){.arena = a,
                           .diags = c->diags,
                           .backend = c->backend,
                           .target = c->target,
                           .threads = c->threads,
                           .cache_dir = c->cache_dir,
                           .cache_limit = c->cache_limit};
    n->next = c->nested;
    c->nested = n;
    n->plan = plan_build(&c->program, c->target, o, a, c->diags, &n->ir);
    if (n->plan && c->memory_limit &&
        plan_bytes(c->plan) + plan_bytes(n->plan) > c->memory_limit)
        n->plan = NULL;
    if (n->plan)
        give_code(n);
    return n;
}

/* hyp_plan.unfused */
static struct hyp_plan *unfused(struct hyp_plan *p)
{
    const struct plan_options o = {.fuse_off = true, .f64 = p->f64};
    return beside(p->release_cx, &o)->plan;
}

struct compiled *compile_beside(struct compiled *c, const struct tuned *tuned)
{
    const struct plan_options o = {
        .f64 = c->plan->f64, .whole = true, .tuned = tuned, .threads = c->threads};
    struct compiled *n = beside(c, &o);
    return n->plan && load_scheduled(n) ? n : NULL;
}

/* ---- the way through ---- */

static void hash_model(struct compiled *c)
{
    struct sha256 s;
    const char *text = doc_print(c->model->elaborated, c->arena);
    sha256_init(&s);
    sha256_add(&s, text, strlen(text));
    sha256_end(&s, c->plan->model_hash);
}

/* What a model without a name is called: its file, without folder and ending. */
static const char *stem(struct arena *a, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    return arena_strn(a, base, strcspn(base, "."));
}

static bool run_stages(struct compiled *c, const char *path,
                       const struct compile_options *o, enum compile_until until)
{
    struct pass_options pass = o->pass;
    struct plan_options plan = {.fuse_off = o->fuse_off, .whole = o->whole};

    if (!choose_backend(c, o))
        return false;
    plan.f64 = c->backend->f64;
    plan.threads = c->threads;
    if (o->tuned_dir && !strcmp(c->backend->name, "llvm"))
        plan.tuned = tuned_read(o->tuned_dir, c->target, c->arena);
    pass.target = c->target;
    c->options = o->model;
    if (!c->options.fields) {
        c->options.fields = driver_fields;
        c->options.cx = c;
    }
    c->options.go_on = true; /* so that one run reports every mistake of a file */
    c->model = model_load(c->arena, c->diags, path, &c->options);
    const unsigned errors = diag_errors(c->diags);
    if (!c->model || (!model_elaborate(c->model) && diag_errors(c->diags) > errors))
        return false;
    if (until == UNTIL_MODEL)
        return diag_errors(c->diags) == 0;
    c->program.arena = c->arena;
    if (!model_build(c->model, &c->program) || diag_errors(c->diags))
        return false;
    if (!c->program.name)
        c->program.name = stem(c->arena, path);
    if (until == UNTIL_PROGRAM)
        return true;
    if (o->load_data)
        c->ahead = driver_load_ahead(c);
    if (!passes_run(&c->program, c->diags, &pass) || until == UNTIL_GRAPH)
        return diag_errors(c->diags) == 0;
    c->plan = plan_within(c, &plan, &pass, o->memory_limit);
    if (!c->plan)
        return false;
    give_code(c);
    c->plan->unfused = unfused;
    c->memory_limit = o->memory_limit;
    hash_model(c);
    if (!compile_metrics(c, o))
        return false;
    return until == UNTIL_PLAN || load_scheduled(c);
}

struct compiled *compile_model(const char *path, const struct compile_options *o,
                               enum compile_until until, bool *ok)
{
    const double start = now();
    struct arena *a = arena_new();
    struct compiled *c = arena_alloc(a, sizeof *c);

    c->arena = a;
    c->diags = diag_sink_new(a, 1000);
    c->given_width = o->given_width;
    c->cache_dir = o->cache_dir ? arena_str(a, o->cache_dir) : NULL;
    c->cache_limit = o->cache_limit;
    c->threads = o->threads ? o->threads : hyp_processors();
    *ok = run_stages(c, path, o, until);
    c->seconds = now() - start;
    if (c->plan)
        c->plan->compile_seconds = c->seconds;
    return c;
}

void compiled_free(struct compiled *c)
{
    if (!c)
        return;
    data_ahead_free(c->ahead);
    for (uint32_t i = 0; i < c->ncode; i++)
        c->backend->free(c->code[i]);
    cache_close(c->cache);
    while (c->nested) {
        struct compiled *n = c->nested;
        c->nested = n->next;
        compiled_free(n);
    }
    arena_free(c->arena);
}
