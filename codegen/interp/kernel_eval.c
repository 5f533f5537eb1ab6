/*
 * Every stage's values are kept in an array over its space, so that later stages read them
 * at the same point.  All numbers travel as doubles; in float mode they are exact floats.
 */
#include "codegen/interp/kernel_eval.h"

#include <math.h>

#include "codegen/interp/eval_common.h"
#include "codegen/loop/index.h"

struct keval {
    const struct kernel *k;
    struct arena *arena;
    bool f64;
    int64_t batch;
    uint64_t seed;
    void *const *buf;
    const union hyp_word *scalar;
    double *scalar_value;
    double **value; /* by stage, row-major over its space */
    int64_t at[LOOP_AXES];
    const struct kstage *stage; /* being computed */
    double *arg, *reg;
};

static int64_t extent(const struct keval *e, unsigned axis)
{
    return ext_at(e->k->axis[axis], e->batch);
}

static int64_t flat(const struct keval *e, const uint8_t *axis, unsigned n)
{
    int64_t at = 0;
    for (unsigned i = 0; i < n; i++)
        at = at * extent(e, axis[i]) + e->at[axis[i]];
    return at;
}

static int64_t volume(const struct keval *e, const uint8_t *axis, unsigned n)
{
    int64_t v = 1;
    for (unsigned i = 0; i < n; i++)
        v *= extent(e, axis[i]);
    return v;
}

/* Point number i of a list of axes. */
static void move_to(struct keval *e, const uint8_t *axis, unsigned n, int64_t i)
{
    while (n-- > 0) {
        int64_t x = extent(e, axis[n]);
        e->at[axis[n]] = i % x;
        i /= x;
    }
}

static uint32_t word(void *cx, uint32_t site, int32_t element)
{
    const struct keval *e = cx;
    const struct krng *r = &e->k->rng[site];
    int64_t sample = r->sample_axis < 0 ? 0 : e->at[r->sample_axis];
    return eval_word(e->scalar + r->scalar, e->seed, sample, element);
}

/* What data add to operand p's index; false: out of range. */
static bool picked(const struct keval *e, const struct koperand *p, int64_t *at)
{
    if (!p->pick.from)
        return true;
    const double v = e->arg[p->pick.from - 1];
    *at += ext_at(p->pick.coef, e->batch) * (int64_t)v;
    return v >= 0 && v < (double)ext_at(p->pick.bound, e->batch);
}

static void load_operands(struct keval *e)
{
    const struct kstage *s = e->stage;
    for (uint32_t i = 0; i < s->noperand; i++) {
        const struct koperand *p = &s->operand[i];
        if (p->stage) {
            const struct kstage *q = &e->k->stage[p->id];
            e->arg[i] = e->value[p->id][flat(e, q->axis, q->naxis)];
        } else if (guards_hold(p->guard, p->nguard, e->at, e->batch, e->scalar)) {
            int64_t at = index_eval(&p->index, e->at, e->batch, e->scalar);
            e->arg[i] = picked(e, p, &at)
                            ? eval_get(e->buf[p->id], e->k->buf[p->id].dtype, e->f64, at)
                            : 0;
        } else {
            e->arg[i] = 0;
        }
    }
}

static void run(struct keval *e, const struct sx_prog *p, double *out)
{
    struct sx_env env = {
        .arg = e->arg, .scalar = e->scalar_value, .axis = e->at, .rng = word, .cx = e};
    load_operands(e);
    sx_prog_run(p, &env, e->reg, out);
}

static double add(const struct keval *e, double x, double y)
{
    return e->f64 ? x + y : (double)((float)x + (float)y);
}

static double step(struct keval *e, const struct sx_prog *p, bool two, double acc)
{
    double f[2];
    run(e, p, f);
    if (!two)
        return add(e, acc, f[0]);
    return e->f64 ? fma(f[0], f[1], acc)
                  : (double)fmaf((float)f[0], (float)f[1], (float)acc);
}

static double sum_lanes(struct keval *e, const struct kseg *g, const struct sx_prog *p)
{
    double part[16] = {0};
    int64_t n = volume(e, g->red, g->nred);
    for (int64_t i = 0; i < n; i++) {
        move_to(e, g->red, g->nred, i);
        part[i % 16] = step(e, p, g->factor[1] != 0, part[i % 16]);
    }
    for (int w = 8; w; w /= 2)
        for (int l = 0; l < w; l++)
            part[l] = add(e, part[l], part[l + w]);
    return part[0];
}

static double sum_chain(struct keval *e, const struct kseg *g, const struct sx_prog *p,
                        double acc)
{
    int64_t n = volume(e, g->red, g->nred);
    for (int64_t i = 0; i < n; i++) {
        move_to(e, g->red, g->nred, i);
        acc = step(e, p, g->factor[1] != 0, acc);
    }
    return acc;
}

static double sum_chunks(struct keval *e, const struct kseg *g, const struct sx_prog *p,
                         uint32_t chunk, double total, bool first)
{
    int64_t n = extent(e, g->red[0]), inner = volume(e, g->red + 1, g->nred - 1U);
    for (int64_t lo = 0; lo < n; lo += chunk) {
        int64_t hi = lo + chunk < n ? lo + chunk : n;
        double acc = 0;
        for (int64_t i = lo; i < hi; i++)
            for (int64_t k = 0; k < inner; k++) {
                move_to(e, g->red + 1, g->nred - 1U, k);
                e->at[g->red[0]] = i;
                acc = step(e, p, g->factor[1] != 0, acc);
            }
        total = first && lo == 0 ? acc : add(e, total, acc);
    }
    return total;
}

static double sum(struct keval *e, struct sx_prog *const *prog)
{
    const struct kstage *s = e->stage;
    double acc = 0;
    for (uint32_t i = 0; i < s->nseg; i++) {
        if (s->order == ORDER_LANES)
            acc = sum_lanes(e, &s->seg[i], prog[i]);
        else if (s->order == ORDER_CHUNK && s->seg[i].nred)
            acc = sum_chunks(e, &s->seg[i], prog[i], s->chunk, acc, i == 0);
        else
            acc = sum_chain(e, &s->seg[i], prog[i], acc);
    }
    return acc;
}

static bool takes_part(const struct keval *e)
{
    for (uint32_t o = 0; o < e->stage->noperand; o++)
        if (!guards_hold(e->stage->operand[o].guard, e->stage->operand[o].nguard, e->at,
                         e->batch, e->scalar))
            return false;
    return true;
}

static double fold(struct keval *e, const struct sx_prog *p)
{
    const struct kstage *s = e->stage;
    int64_t n = volume(e, s->red, s->nred), where = -1;
    double best = 0;
    for (int64_t i = 0; i < n; i++) {
        double v;
        move_to(e, s->red, s->nred, i);
        if (!takes_part(e))
            continue;
        run(e, p, &v);
        if (where < 0 || v > best) {
            best = v;
            where = i;
        }
    }
    return s->comb == COMB_ARGMAX ? (double)where : best == 0 ? 0 : best;
}

/* The naive loop would visit every place for every value; this one goes where `at` says. */
static void scatter(struct keval *e, const struct sx_prog *p, double *out)
{
    const struct kstage *s = e->stage;
    uint8_t rest[LOOP_AXES], nrest = 0;
    for (uint8_t i = 0; i < s->naxis; i++)
        if (s->axis[i] != s->along)
            rest[nrest++] = s->axis[i];
    const int64_t n = volume(e, rest, nrest), m = volume(e, s->red, s->nred);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < m; k++) {
            double v;
            move_to(e, rest, nrest, i);
            move_to(e, s->red, s->nred, k);
            run(e, p, &v);
            const double at = e->arg[s->at];
            if (!(at >= 0 && at < (double)extent(e, s->along)))
                continue;
            e->at[s->along] = (int64_t)at;
            double *to = &out[flat(e, s->axis, s->naxis)];
            *to = add(e, *to, v);
        }
}

static void store(struct keval *e, double v)
{
    const struct kstage *s = e->stage;
    for (uint32_t i = 0; i < s->nstore; i++) {
        int64_t at = index_eval(&s->store[i].index, e->at, e->batch, e->scalar);
        eval_put(e->buf[s->store[i].buf], e->k->buf[s->store[i].buf].dtype, e->f64, at, v);
    }
}

static void eval_stage(struct keval *e, uint32_t id)
{
    const struct kstage *s = &e->k->stage[id];
    const struct sxb *b = &e->k->sx;
    struct sx_prog **prog = arena_array(e->arena, s->nseg + 1, sizeof(struct sx_prog *));
    uint32_t regs = 1;
    for (uint32_t i = 0; i < s->nseg; i++) {
        prog[i] =
            sx_compile(e->arena, b, s->seg[i].factor, s->seg[i].factor[1] ? 2 : 1, e->f64);
        regs = sx_prog_regs(prog[i]) > regs ? sx_prog_regs(prog[i]) : regs;
    }
    if (s->op != K_SUM) {
        prog[0] = sx_compile(e->arena, b, &s->value, 1, e->f64);
        regs = sx_prog_regs(prog[0]) + 1;
    }
    e->stage = s;
    e->arg = arena_array(e->arena, s->noperand + 1, sizeof *e->arg);
    e->reg = arena_array(e->arena, regs, sizeof *e->reg);
    int64_t n = volume(e, s->axis, s->naxis);
    e->value[id] = arena_array(e->arena, (size_t)n + 1, sizeof(double));
    if (s->op == K_SCATTER)
        scatter(e, prog[0], e->value[id]);
    for (int64_t i = 0; i < n; i++) {
        double v;
        move_to(e, s->axis, s->naxis, i);
        if (s->op == K_MAP)
            run(e, prog[0], &v);
        else if (s->op == K_SCATTER)
            v = e->value[id][i];
        else
            v = s->op == K_SUM ? sum(e, prog) : fold(e, prog[0]);
        move_to(e, s->axis, s->naxis, i);
        e->value[id][i] = v;
        store(e, v);
    }
}

void kernel_eval(const struct kernel *k, bool f64, int64_t batch, uint64_t seed,
                 void *const *buf, const union hyp_word *scalar)
{
    struct keval e = {.k = k,
                      .arena = arena_new(),
                      .f64 = f64,
                      .batch = batch,
                      .seed = seed,
                      .buf = buf,
                      .scalar = scalar};
    e.value = arena_array(e.arena, k->nstage + 1, sizeof *e.value);
    e.scalar_value = arena_array(e.arena, k->nscalar + 1, sizeof(double));
    eval_scalars(&k->sx, scalar, f64, e.scalar_value);
    for (uint32_t i = 0; i < k->nstage; i++)
        eval_stage(&e, i);
    arena_free(e.arena);
}
