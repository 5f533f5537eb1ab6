/*
 * hypno tune: races between the table's choice of schedules and others.
 *
 * A race runs cycles of two plans of the model in turns, so that what disturbs one disturbs
 * the other, and takes the fastest run of every launch.  Each variant of the table races
 * once, with all kernels; the best of every kernel run together in a last race against the
 * table, which has to confirm each of them, and the whole cycle.
 */
#include <stdlib.h>
#include <string.h>

#include "codegen/loop/loop.h"
#include "compiler/cli/open.h"
#include "compiler/cli/progress.h"
#include "compiler/cli/tune.h"
#include "runtime/base/arena.h"
#include "runtime/timing.h"

enum { FEWEST = 2, MOST = 400, FINALS = 2 };
static const double margin = 0.97, confirmed = 0.985; /* of the table's time */

struct tuning {
    const struct args *args;
    struct opening opening;
    struct compiled *c;
    struct pool *pool;
    struct hyp_run_options run;
    struct timing *table;
    struct tune_result found;
    uint32_t nvariant; /* that this target has */
    double limit;
    bool quiet, any; /* any: of a test, every other schedule is taken to be faster */
};

/* ---- a race ---- */

struct rival {
    struct compiled *c;
    struct timing *timing;
};

static int failed(const struct tuning *t, enum hyp_status s, const struct hyp_error *err)
{
    return open_runtime_error(t->c, s, err);
}

/* Is the kernel's nest another one there? */
static bool differs(const struct tuning *t, const struct rival *r, uint32_t kernel)
{
    const struct hyp_plan *p = t->c->plan, *q = r->c->plan;
    for (uint32_t e = 0; e < p->nentry; e++)
        if (p->entry[e].kernel == kernel)
            return memcmp(p->kernel[kernel].key, q->kernel[q->entry[e].kernel].key, 32) !=
                   0;
    return false;
}

static bool nothing_differs(const struct tuning *t, const struct rival *r)
{
    for (uint32_t k = 0; k < t->found.nkernel; k++)
        if (differs(t, r, k))
            return false;
    return true;
}

/* Without timing where both plans are the same. */
static int open_rival(struct tuning *t, const struct tuned *with, struct rival *r)
{
    struct hyp_error err = {0};
    r->c = compile_beside(t->c, with);
    if (!r->c && diag_errors(t->c->diags))
        return open_failed(t->c);
    if (!r->c) {
        cli_error("two plans of the model at once need more memory than there is");
        cli_hint("`--memory` raises the limit, a smaller batch lowers the need");
        return EXIT_MISTAKE;
    }
    if (nothing_differs(t, r))
        return EXIT_FINE;
    const enum hyp_status s = timing_open(r->c->plan, t->pool, &t->run, &r->timing, &err);
    return s == HYP_OK ? EXIT_FINE : failed(t, s, &err);
}

/* Rounds of a cycle each; both begin the stage at the same samples and take turns. */
static int race_stage(struct tuning *t, struct rival *r, uint32_t stage, unsigned rounds)
{
    struct hyp_error err = {0};
    enum hyp_status s = HYP_OK;
    if (!timing_stage(t->table, stage) || !timing_stage(r->timing, stage))
        return EXIT_FINE;
    for (unsigned i = 0; s == HYP_OK && i < 2 * rounds; i++)
        s = timing_cycle((i ^ i >> 1) & 1 ? r->timing : t->table, &err);
    return s == HYP_OK ? EXIT_FINE : failed(t, s, &err);
}

static int race(struct tuning *t, const struct tuned *with, unsigned rounds,
                struct rival *r)
{
    int status = open_rival(t, with, r);
    timing_forget(t->table);
    for (uint32_t i = 0; status == EXIT_FINE && r->timing && i < t->c->plan->nstage; i++)
        status = race_stage(t, r, i, rounds);
    return status;
}

/* A cycle of everything: the fastest of each op, so that a disturbed moment does not count.
 */
static double cycle_of(const struct tuning *t, const struct timing *x)
{
    const struct hyp_plan *p = t->c->plan;
    double sum = 0;
    for (uint32_t i = 0; i < p->nphase; i++)
        for (uint32_t o = 0; o < p->phase[i].nop; o++)
            sum += timing_op(x, i, o);
    return sum;
}

/* ---- what a race says of each kernel ---- */

static bool launches(const struct hyp_plan *p, const struct hyp_op *op, uint32_t kernel)
{
    for (uint32_t e = op->a; op->op == HYP_OP_LAUNCH && e < op->b; e++)
        if (p->entry[e].kernel == kernel)
            return true;
    return false;
}

/* Seconds of a cycle that launches with the kernel take; 0: none ran.  Both plans have the
 * same launches. */
static double seconds_of(const struct tuning *t, const struct timing *x, uint32_t kernel)
{
    const struct hyp_plan *p = t->c->plan;
    double sum = 0;
    for (uint32_t i = 0; i < p->nphase; i++)
        for (uint32_t o = 0; o < p->phase[i].nop; o++)
            if (launches(p, &p->phase[i].op[o], kernel))
                sum += timing_op(x, i, o);
    return sum;
}

static bool is_faster(const struct tuning *t, double before, double now, double share)
{
    return t->any || now <= share * before;
}

static uint32_t note_better(struct tuning *t, const struct rival *r, const char *variant)
{
    uint32_t better = 0;
    for (uint32_t k = 0; k < t->found.nkernel; k++) {
        struct tune_kernel *f = &t->found.kernel[k];
        const double before = seconds_of(t, t->table, k), now = seconds_of(t, r->timing, k);
        f->measured |= before > 0;
        if (before <= 0 || now <= 0 || !differs(t, r, k) ||
            !is_faster(t, before, now, margin))
            continue;
        better++;
        if (f->variant && now / before >= f->after / f->before)
            continue;
        f->variant = variant;
        f->before = before;
        f->after = now;
    }
    return better;
}

/* ---- the races ---- */

/* A first cycle of everything, for what a cycle takes. */
static int rounds_for(struct tuning *t, unsigned *rounds)
{
    struct hyp_error err = {0};
    enum hyp_status s = HYP_OK;
    for (uint32_t i = 0; s == HYP_OK && i < t->c->plan->nstage; i++)
        for (int k = 0; s == HYP_OK && timing_stage(t->table, i) && k < 3; k++)
            s = timing_cycle(t->table, &err);
    const double cycle = cycle_of(t, t->table);
    if (s != HYP_OK)
        return failed(t, s, &err);
    const double n =
        cycle > 0 ? t->limit / (2 * cycle * (t->nvariant + 2 * FINALS)) : FEWEST;
    *rounds = n < FEWEST ? FEWEST : n > MOST ? MOST : (unsigned)n;
    if (!t->quiet)
        fprintf(stderr,
                "%u variants, %u rounds of a cycle of %.3f ms each: %.0f s and compiling\n",
                t->nvariant, *rounds, 1e3 * cycle,
                2 * cycle * *rounds * (t->nvariant + 2 * FINALS));
    return EXIT_FINE;
}

static int try_variant(struct tuning *t, const struct variant *v, unsigned number,
                       unsigned rounds)
{
    struct rival r = {0};
    struct tuned *all = tuned_new(t->c->arena);
    tuned_all(all, v->name);
    const int status = race(t, all, rounds, &r);
    if (status == EXIT_FINE && r.timing) {
        const uint32_t better = note_better(t, &r, v->name);
        if (!t->quiet)
            fprintf(stderr,
                    "%2u of %u  %-14s cycle %.3f ms (table %.3f), %u kernels faster\n",
                    number, t->nvariant, v->name, 1e3 * cycle_of(t, r.timing),
                    1e3 * cycle_of(t, t->table), better);
    }
    timing_close(r.timing);
    return status;
}

static int try_variants(struct tuning *t, unsigned rounds)
{
    unsigned number = 0;
    int status = EXIT_FINE;
    struct target varied;
    for (unsigned i = 0; status == EXIT_FINE && i < target_nvariant; i++)
        if (target_vary(t->c->target, target_variant[i].name, &varied))
            status = try_variant(t, &target_variant[i], ++number, rounds);
    return status;
}

static struct tuned_kernel line_of(const struct tuning *t, uint32_t kernel)
{
    const struct tune_kernel *f = &t->found.kernel[kernel];
    struct tuned_kernel k = {.threads = t->c->threads,
                             .batch = t->c->plan->batch_max,
                             .before = f->before,
                             .after = f->after};
    memcpy(k.nest, t->c->plan->kernel[kernel].key, sizeof k.nest);
    snprintf(k.variant, sizeof k.variant, "%s", f->variant ? f->variant : "");
    return k;
}

static struct tuned *chosen(const struct tuning *t, uint32_t *n)
{
    struct tuned *all = tuned_new(t->c->arena);
    for (uint32_t i = 0; i < t->found.nkernel; i++) {
        const struct tuned_kernel k = line_of(t, i);
        if (k.variant[0])
            tuned_add(all, &k);
    }
    *n = tuned_count(all);
    return all;
}

/* Measured anew: what was luck goes. */
static uint32_t confirm(struct tuning *t, const struct rival *r)
{
    uint32_t gone = 0;
    for (uint32_t k = 0; k < t->found.nkernel; k++) {
        struct tune_kernel *f = &t->found.kernel[k];
        if (!f->variant)
            continue;
        f->before = seconds_of(t, t->table, k);
        f->after = seconds_of(t, r->timing, k);
        if (is_faster(t, f->before, f->after, confirmed))
            continue;
        f->variant = NULL;
        gone++;
    }
    return gone;
}

/* The chosen ones together, and once more without those that were not confirmed. */
static int finals(struct tuning *t, unsigned rounds)
{
    int status = EXIT_FINE;
    uint32_t n, gone = 1;
    for (int i = 0; i < FINALS && gone && status == EXIT_FINE; i++) {
        struct rival r = {0};
        const struct tuned *with = chosen(t, &n);
        if (!n)
            return EXIT_FINE;
        status = race(t, with, 2 * rounds, &r);
        if (status == EXIT_FINE) {
            t->found.before = cycle_of(t, t->table);
            t->found.after = cycle_of(t, r.timing);
            gone = i + 1 < FINALS ? confirm(t, &r) : 0;
        }
        timing_close(r.timing);
    }
    t->found.kept = status == EXIT_FINE && is_faster(t, t->found.before, t->found.after, 1);
    return status;
}

/* ---- keeping ---- */

static int keep(struct tuning *t)
{
    const char *dir = t->opening.cache.tuned;
    struct tuned *all = tuned_read(dir, t->c->target, t->c->arena);
    for (uint32_t i = 0; i < t->found.nkernel; i++) {
        const struct tuned_kernel k = line_of(t, i);
        if (!t->found.kernel[i].measured)
            continue;
        if (k.variant[0] && t->found.kept)
            tuned_add(all, &k);
        else
            tuned_drop(all, &k);
    }
    return tuned_write(dir, t->c->target, all)
               ? EXIT_FINE
               : cli_error("%s cannot be written: nothing was kept", dir);
}

static int tune(struct tuning *t)
{
    unsigned rounds = FEWEST;
    int status = rounds_for(t, &rounds);
    if (status == EXIT_FINE)
        status = try_variants(t, rounds);
    if (status == EXIT_FINE)
        status = finals(t, rounds);
    if (status == EXIT_FINE)
        status = keep(t);
    if (status != EXIT_FINE)
        return status;
    if (strcmp(args_text(t->args, OPT_summary, "text"), "json") == 0)
        return tune_json(t->c, &t->found) ? EXIT_FINE : cli_error("out of memory");
    tune_text(t->c, &t->found);
    return EXIT_FINE;
}

/* ---- beginning ---- */

static int refuse(const struct tuning *t)
{
    if (strcmp(t->c->backend->name, "llvm") != 0)
        return cli_error("schedules are measured in compiled code: this machine or build "
                         "has no llvm");
    if (t->c->plan->nstage == 0)
        return cli_error("nothing is trained: the model has no `schedule`");
    return EXIT_FINE;
}

static int begin(struct tuning *t)
{
    const struct args *a = t->args;
    struct hyp_error err = {0};
    struct target varied;
    t->found.nkernel = t->c->plan->nkernel;
    t->found.kernel =
        arena_array(t->c->arena, t->found.nkernel + 1U, sizeof *t->found.kernel);
    for (unsigned i = 0; i < target_nvariant; i++)
        t->nvariant += target_vary(t->c->target, target_variant[i].name, &varied);
    t->limit = (double)args_number(a, OPT_limit, 60);
    t->quiet = a->option[OPT_quiet].given;
    t->any = getenv("HYP_TUNE_ANY") != NULL;
    hyp_run_defaults(&t->run);
    t->run.seed = args_number(a, OPT_seed, 0);
    t->run.dirs = t->opening.dirs.dir;
    t->run.ndirs = t->opening.dirs.n;
    enum hyp_status s = pool_new(open_threads(a), &t->pool, &err);
    if (s == HYP_OK)
        s = timing_open(t->c->plan, t->pool, &t->run, &t->table, &err);
    return s == HYP_OK ? EXIT_FINE : failed(t, s, &err);
}

static int forget(const struct opening *w)
{
    struct arena *a = arena_new();
    const struct target *here = open_target();
    const uint32_t n = tuned_count(tuned_read(w->o.tuned_dir, here, a));
    const bool done = !n || tuned_write(w->o.tuned_dir, here, tuned_new(a));
    arena_free(a);
    if (!done)
        return cli_error("%s cannot be written", w->o.tuned_dir);
    printf("%u tuned kernels forgotten\n", n);
    return EXIT_FINE;
}

static int usage(const struct args *a)
{
    if ((a->n == 1) != a->option[OPT_forget].given)
        return EXIT_FINE;
    cli_error("expected MODEL, or --forget alone");
    fputs("usage: hypno tune [MODEL] [options]   (hypno tune --help)\n", stderr);
    return EXIT_USAGE;
}

int cmd_tune(const struct args *a)
{
    struct tuning t = {.args = a};
    struct cache_place place;
    const char *why;
    int status = usage(a);
    if (status != EXIT_FINE)
        return status;
    if (!open_cache_place(&place, &why))
        return cli_error("there is nowhere to keep what is found: %s", why);
    opening_init(&t.opening, a);
    if (a->option[OPT_forget].given) {
        status = forget(&t.opening);
        opening_fini(&t.opening);
        return status;
    }
    t.opening.o.tuned_dir = NULL; /* races are against the table */
    t.opening.o.whole = true;
    t.c = open_model(a->positional[0], &t.opening.o, UNTIL_CODE, &status);
    if (status == EXIT_FINE)
        status = refuse(&t);
    if (status == EXIT_FINE)
        status = begin(&t);
    if (status == EXIT_FINE)
        status = tune(&t);
    timing_close(t.table);
    if (t.pool)
        pool_free(t.pool);
    compiled_free(t.c);
    opening_fini(&t.opening);
    return status;
}
