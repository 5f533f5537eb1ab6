/*
 * The SPMD executor: every thread walks the phase's ops itself and takes its share of each
 * launch.
 *
 * The units of a launch's entries are shared out stage by stage (share.h), with a barrier
 * after each stage.
 */
#include "runtime/exec.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "runtime/base/alloc.h"

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t units_of(const struct hyp_stage *s, int64_t batch)
{
    return s->units_times *
           ceil_div(s->units.c + (int64_t)s->units.b * batch, s->units_div);
}

/* ---- host scalars ---- */

static double host_leaf(const struct exec *x, const struct hyp_sinst *s)
{
    if (s->op == HYP_S_CONST)
        return s->k;
    if (s->op == HYP_S_SETTING)
        return x->setting[s->a];
    return s->a < HYP_COUNTER_FIRST ? x->fixed[s->a] : x->counter[s->a - HYP_COUNTER_FIRST];
}

/* Functions of one number that are no operators. */
static double host_function(uint8_t op, double a)
{
    switch (op) {
    case HYP_S_EXPM1:
        return expm1(a);
    case HYP_S_SIGMOID:
        return a < 0 ? exp(a) / (1 + exp(a)) : 1 / (1 + exp(-a));
    case HYP_S_SOFTPLUS:
        return (a > 0 ? a : 0) + log1p(exp(-fabs(a)));
    case HYP_S_ERF:
        return erf(a);
    case HYP_S_ACOS:
        return acos(a);
    case HYP_S_RSQRT:
        return 1 / sqrt(a);
    default:
        return a; /* HYP_S_COPY */
    }
}

static double host_value(const struct exec *x, const struct hyp_sinst *s)
{
    const double *h = x->host;
    const double a = h[s->a], b = h[s->b], c = h[s->c];
    switch (s->op) {
    case HYP_S_ADD:
        return a + b;
    case HYP_S_SUB:
        return a - b;
    case HYP_S_MUL:
        return a * b;
    case HYP_S_DIV:
        return a / b;
    case HYP_S_NEG:
        return -a;
    case HYP_S_FMA:
        return fma(a, b, c);
    case HYP_S_MIN:
        return a < b ? a : b;
    case HYP_S_MAX:
        return a > b ? a : b;
    case HYP_S_ABS:
        return fabs(a);
    case HYP_S_SQRT:
        return sqrt(a);
    case HYP_S_FLOOR:
        return floor(a);
    case HYP_S_POW:
        return pow(a, b);
    case HYP_S_EXP:
        return exp(a);
    case HYP_S_LOG:
        return log(a);
    case HYP_S_SIN:
        return sin(a);
    case HYP_S_COS:
        return cos(a);
    case HYP_S_TANH:
        return tanh(a);
    case HYP_S_ROUND:
        return nearbyint(a);
    case HYP_S_MOD:
        return a - b * floor(a / b);
    case HYP_S_LT:
        return a < b;
    case HYP_S_LE:
        return a <= b;
    case HYP_S_EQ:
        return a == b;
    case HYP_S_AND:
        return a != 0 && b != 0;
    case HYP_S_OR:
        return a != 0 || b != 0;
    case HYP_S_NOT:
        return a == 0;
    case HYP_S_SEL:
        return a != 0 ? b : c;
    case HYP_S_CLIP:
        return a < b ? b : a > c ? c : a;
    case HYP_S_SIGN:
        return a > 0 ? 1 : a < 0 ? -1 : 0;
    default:
        return host_function(s->op, a);
    }
}

void exec_host(struct exec *x)
{
    for (uint32_t i = 0; i < x->plan->nsinst; i++)
        x->host[i] = x->plan->sinst[i].op <= HYP_S_COUNTER
                         ? host_leaf(x, &x->plan->sinst[i])
                         : host_value(x, &x->plan->sinst[i]);
}

static void fill_params(struct exec *x, uint32_t first, uint32_t end, uint64_t draw)
{
    for (uint32_t i = first; i < end; i++) {
        const struct hyp_param *p = &x->plan->param[i];
        union hyp_word *w = &x->param[i];
        switch (p->kind) {
        case HYP_PARAM_HOST_F32:
            if (x->plan->f64)
                w->d = x->host[p->a];
            else
                w->f = (float)x->host[p->a];
            break;
        case HYP_PARAM_HOST_I32:
            w->i = (int32_t)x->host[p->a];
            break;
        case HYP_PARAM_DRAW_LO:
            w->u = (uint32_t)draw;
            break;
        case HYP_PARAM_DRAW_HI:
            w->u = (uint32_t)(draw >> 32);
            break;
        default:
            w->u = p->a;
            break;
        }
    }
}

/* ---- launches ---- */

struct run {
    struct exec *x;
    const struct hyp_phase *phase;
    int64_t batch;
    uint64_t draw;
    uint32_t round; /* of sharing units, before the first launch */
};

static void run_units(const struct run *r, uint32_t e, const struct hyp_stage *s,
                      int64_t lo, int64_t hi, unsigned thread)
{
    struct exec *x = r->x;
    const struct hyp_entry *en = &x->plan->entry[e];
    const struct hyp_kernel *k = &x->plan->kernel[en->kernel];
    union hyp_word *word = x->words[thread];

    for (uint32_t i = 0; i < k->nscalar; i++)
        word[i] = x->param[en->scalar[i]];
    const struct hyp_kargs args = {
        .buf = x->bufs + x->buf_first[e],
        .scalar = word,
        .batch = r->batch,
        .seed = x->seed,
        .self = s->self,
        .watch = x->watch + (size_t)thread * HYP_WATCH,
    };
    s->fn(&args, lo, hi, x->scratch[thread]);
}

/* The same stage of the entries of a launch: their units, one entry after the other. */
struct stage_units {
    const struct run *run;
    uint32_t e0, e1, stage;
    int64_t units, cost; /* all of them */
};

static const struct hyp_stage *stage_of(const struct stage_units *s, uint32_t e)
{
    const struct hyp_plan *p = s->run->x->plan;
    const struct hyp_kernel *k = &p->kernel[p->entry[e].kernel];
    return s->stage < k->nstage ? &k->stage[s->stage] : NULL;
}

static int64_t cost_of(const struct hyp_stage *s)
{
    return s->cost ? s->cost : 1;
}

static void count_units(struct stage_units *s)
{
    for (uint32_t e = s->e0; e < s->e1; e++) {
        const struct hyp_stage *g = stage_of(s, e);
        const int64_t n = g ? units_of(g, s->run->batch) : 0;
        s->units += n;
        s->cost += g ? n * cost_of(g) : 0;
    }
}

/* How many units begin before so much of the cost. */
static int64_t units_before(const struct stage_units *s, int64_t cost)
{
    int64_t units = 0;
    for (uint32_t e = s->e0; e < s->e1 && cost > 0; e++) {
        const struct hyp_stage *g = stage_of(s, e);
        if (!g)
            continue;
        const int64_t n = units_of(g, s->run->batch), some = ceil_div(cost, cost_of(g));
        units += some < n ? some : n;
        cost -= n * cost_of(g);
    }
    return units;
}

static void run_range(const struct stage_units *s, int64_t lo, int64_t hi, unsigned thread)
{
    for (uint32_t e = s->e0; e < s->e1 && hi > 0; e++) {
        const struct hyp_stage *g = stage_of(s, e);
        const int64_t n = g ? units_of(g, s->run->batch) : 0;
        const int64_t from = lo > 0 ? lo : 0, to = hi < n ? hi : n;
        if (from < to)
            run_units(s->run, e, g, from, to, thread);
        lo -= n;
        hi -= n;
    }
}

static void cut(const void *cx, unsigned thread, uint32_t *lo, uint32_t *hi)
{
    const struct stage_units *s = cx;
    const int64_t threads = pool_threads(s->run->x->pool);
    *lo = (uint32_t)units_before(s, s->cost * thread / threads);
    *hi = (uint32_t)units_before(s, s->cost * (thread + 1) / threads);
}

/* A piece is worth some microseconds, so that taking it costs nothing beside. */
static void share_units(const struct stage_units *s, uint32_t round, unsigned thread)
{
    enum { PIECE = 20000 };
    const int64_t least = s->units * PIECE / s->cost;
    const struct share_round r = {s->run->x->share,
                                  pool_threads(s->run->x->pool),
                                  round,
                                  least < s->units ? (uint32_t)least + 1
                                                   : (uint32_t)s->units,
                                  cut,
                                  s};
    uint32_t lo, hi;
    while (share_take(&r, thread, &lo, &hi))
        run_range(s, lo, hi, thread);
}

static void run_stage(const struct stage_units *s, uint32_t round, unsigned thread)
{
    uint32_t lo, hi;
    if (s->units < SHARE_UNITS && pool_threads(s->run->x->pool) > 1) {
        share_units(s, round, thread);
        return;
    }
    cut(s, thread, &lo, &hi);
    run_range(s, lo, hi, thread);
}

/* Returns the number of its rounds. */
static uint32_t run_launch(struct run *r, const struct hyp_op *op, uint32_t round,
                           unsigned thread)
{
    const struct hyp_plan *p = r->x->plan;
    uint32_t nstage = 0;
    for (uint32_t e = op->a; e < op->b; e++)
        if (p->kernel[p->entry[e].kernel].nstage > nstage)
            nstage = p->kernel[p->entry[e].kernel].nstage;
    for (uint32_t i = 0; i < nstage; i++) {
        struct stage_units s = {.run = r, .e0 = op->a, .e1 = op->b, .stage = i};
        count_units(&s);
        if (s.units)
            run_stage(&s, round + i, thread);
        pool_barrier(r->x->pool);
    }
    return nstage;
}

static void host_op(struct run *r, const struct hyp_op *op)
{
    struct exec *x = r->x;
    if (op->op == HYP_OP_COUNT) {
        for (uint32_t i = op->a; i < op->b; i++)
            x->counter[r->phase->count_list[i]] += 1;
        return;
    }
    exec_host(x);
    fill_params(x, op->c, op->d, r->draw);
}

static void walk(void *cx, unsigned thread)
{
    struct run *r = cx;
    uint32_t round = r->round;
    for (uint32_t i = 0; i < r->phase->nop; i++) {
        const struct hyp_op *op = &r->phase->op[i];
        if (op->op == HYP_OP_LAUNCH) {
            round += run_launch(r, op, round, thread);
            if (!r->x->after_op)
                continue;
        } else if (thread == 0) {
            host_op(r, op);
        }
        if (thread == 0 && r->x->after_op)
            r->x->after_op(r->x->after_cx, op);
        pool_barrier(r->x->pool);
    }
    if (thread == 0)
        r->x->round = round;
}

/* The first index that left its range. */
static enum hyp_status check_indices(const struct exec *x, const struct hyp_phase *ph,
                                     struct hyp_error *err)
{
    for (uint32_t i = 0; i < ph->noutput; i++) {
        const struct hyp_output *o = &ph->output[i];
        const double v = o->extent ? exec_number(x, o) : 0;
        if (v < 0 || (o->extent && v >= o->extent))
            return hyp_fail(err, HYP_EINDEX,
                            "index out of range: %s takes element %.0f of %d (from 0 to %d)"
                            " in cycle %.0f, phase %s",
                            o->name, v, o->extent, o->extent - 1,
                            x->fixed[HYP_COUNTER_STEP] + 1, ph->name);
    }
    return HYP_OK;
}

enum hyp_status exec_phase(struct exec *x, uint32_t phase, int64_t batch,
                           struct hyp_error *err)
{
    const struct hyp_phase *ph = &x->plan->phase[phase];
    struct run r = {x, ph, batch, 0, x->round + 1};

    if (batch < 0 || batch > x->plan->batch_max)
        return hyp_fail(err, HYP_EARG, "phase %s: batch %lld is larger than planned (%lld)",
                        ph->name, (long long)batch, (long long)x->plan->batch_max);
    if (!ph->loaded && x->plan->load_phase) {
        const enum hyp_status s = x->plan->load_phase(x->plan, phase, err);
        if (s != HYP_OK)
            return s;
    }
    r.draw = ph->draw != UINT32_MAX ? x->draw[ph->draw]++ : x->eval_draw++;
    x->fixed[HYP_COUNTER_BATCH] = (double)batch;
    pool_run(x->pool, walk, &r);
    return check_indices(x, ph, err);
}

enum hyp_status exec_init(struct exec *x, struct hyp_error *err)
{
    x->eval_draw = 0;
    return exec_phase(x, x->plan->init_phase, x->plan->batch_max, err);
}

/* ---- contexts ---- */

void *exec_address(const struct exec *x, uint32_t buffer)
{
    const struct hyp_buffer *b = &x->plan->buffer[buffer];
    return x->segment[b->segment] + b->offset;
}

static bool allocate_segments(struct exec *x)
{
    const struct hyp_plan *p = x->plan;
    for (unsigned i = 0; i < HYP_SEG_COUNT; i++) {
        if (i == HYP_SEG_SCRATCH && x->host_of) {
            x->segment[i] = x->host_of->segment[i];
            continue;
        }
        x->segment[i] = hyp_aligned(64, p->segment_bytes[i] + 64);
        if (!x->segment[i])
            return false;
        memset(x->segment[i], 0, p->segment_bytes[i] + 64);
    }
    return true;
}

static bool allocate_stacks(struct exec *x)
{
    const struct hyp_plan *p = x->plan;
    const unsigned threads = pool_threads(x->pool);
    uint64_t stack = 64;
    uint32_t words = 1;

    if (x->host_of) {
        x->scratch = x->host_of->scratch;
        x->words = x->host_of->words;
        return true;
    }
    for (uint32_t i = 0; i < p->nkernel; i++) {
        stack = p->kernel[i].scratch > stack ? p->kernel[i].scratch : stack;
        words = p->kernel[i].nscalar > words ? p->kernel[i].nscalar : words;
    }
    x->scratch = hyp_calloc(threads, sizeof *x->scratch);
    x->words = hyp_calloc(threads, sizeof *x->words);
    for (unsigned i = 0; x->scratch && x->words && i < threads; i++) {
        x->scratch[i] = hyp_aligned(64, (stack + 127) / 64 * 64);
        x->words[i] = hyp_aligned(64, (words * sizeof(union hyp_word) + 127) / 64 * 64);
        if (!x->scratch[i] || !x->words[i])
            return false;
    }
    return x->scratch && x->words;
}

static bool allocate(struct exec *x)
{
    const struct hyp_plan *p = x->plan;

    if (!allocate_segments(x) || !allocate_stacks(x))
        return false;
    const size_t words = (size_t)pool_threads(x->pool) * HYP_WATCH;
    x->watch = hyp_aligned(64, words * sizeof *x->watch);
    if (!x->watch)
        return false;
    memset(x->watch, 0, words * sizeof *x->watch);
    x->share = hyp_aligned(64, pool_threads(x->pool) * sizeof *x->share);
    if (!x->share)
        return false;
    memset(x->share, 0, pool_threads(x->pool) * sizeof *x->share);
    x->host = hyp_calloc(p->nsinst + 1U, sizeof *x->host);
    x->setting = hyp_calloc(p->nsetting_value + 1U, sizeof *x->setting);
    x->counter = hyp_calloc(p->ncounter + 1U, sizeof *x->counter);
    x->param = hyp_calloc(p->nparam + 1U, sizeof *x->param);
    x->draw = hyp_calloc(p->ndraw + 1U, sizeof *x->draw);
    return x->host && x->setting && x->counter && x->param && x->draw;
}

static bool resolve_entries(struct exec *x)
{
    const struct hyp_plan *p = x->plan;
    uint32_t n = 0;

    x->buf_first = hyp_calloc(p->nentry + 1U, sizeof *x->buf_first);
    for (uint32_t e = 0; x->buf_first && e < p->nentry; e++) {
        x->buf_first[e] = n;
        n += p->kernel[p->entry[e].kernel].nbuf;
    }
    x->bufs = hyp_calloc(n + 1U, sizeof *x->bufs);
    if (!x->buf_first || !x->bufs)
        return false;
    for (uint32_t e = 0; e < p->nentry; e++)
        for (uint32_t i = 0; i < p->kernel[p->entry[e].kernel].nbuf; i++)
            x->bufs[x->buf_first[e] + i] = exec_address(x, p->entry[e].buf[i]);
    return true;
}

static enum hyp_status make(struct hyp_plan *plan, struct pool *pool, uint64_t seed,
                            const struct exec *host_of, struct exec **out,
                            struct hyp_error *err)
{
    struct exec *x = hyp_calloc(1, sizeof *x);

    if (x) {
        x->plan = plan;
        x->pool = pool;
        x->seed = seed;
        x->host_of = host_of;
    }
    if (!x || !allocate(x) || !resolve_entries(x)) {
        exec_free(x);
        return hyp_fail(err, HYP_ENOMEM, "no memory for the model's %.2f GiB",
                        (double)(plan->segment_bytes[0] + plan->segment_bytes[1]) / 0x1p30);
    }
    memcpy(x->setting, plan->setting_value, plan->nsetting_value * sizeof *x->setting);
    for (uint32_t i = 0; i < plan->ncounter; i++)
        x->counter[i] = plan->counter[i].init;
    exec_host(x);
    *out = x;
    return HYP_OK;
}

enum hyp_status exec_new(struct hyp_plan *plan, struct pool *pool, uint64_t seed,
                         struct exec **out, struct hyp_error *err)
{
    return make(plan, pool, seed, NULL, out, err);
}

enum hyp_status exec_new_beside(struct exec *x, struct exec **out, struct hyp_error *err)
{
    return make(x->plan, x->pool, x->seed, x, out, err);
}

static void free_stacks(struct exec *x)
{
    for (unsigned i = 0; x->scratch && i < pool_threads(x->pool); i++)
        hyp_free(x->scratch[i]);
    for (unsigned i = 0; x->words && i < pool_threads(x->pool); i++)
        hyp_free(x->words[i]);
    hyp_free(x->scratch);
    hyp_free(x->words);
}

void exec_free(struct exec *x)
{
    if (!x)
        return;
    for (unsigned i = 0; i < HYP_SEG_COUNT; i++)
        if (i != HYP_SEG_SCRATCH || !x->host_of)
            hyp_free(x->segment[i]);
    if (!x->host_of)
        free_stacks(x);
    hyp_free(x->watch);
    hyp_free(x->share);
    hyp_free(x->host);
    hyp_free(x->setting);
    hyp_free(x->counter);
    hyp_free(x->param);
    hyp_free(x->draw);
    hyp_free(x->bufs);
    hyp_free(x->buf_first);
    hyp_free(x);
}

/* ---- reading ---- */

void exec_read(const struct exec *x, uint32_t buffer, uint8_t dtype, int64_t first,
               int64_t n, double *out)
{
    const void *p = exec_address(x, buffer);
    for (int64_t i = 0; i < n; i++)
        out[i] = dtype == HYP_I32    ? ((const int32_t *)p)[first + i]
                 : dtype == HYP_BOOL ? ((const uint8_t *)p)[first + i]
                 : x->plan->f64      ? ((const double *)p)[first + i]
                                     : (double)((const float *)p)[first + i];
}

double exec_number(const struct exec *x, const struct hyp_output *o)
{
    double v;
    exec_read(x, o->buffer, o->dtype, 0, 1, &v);
    return v;
}

/*
 * An exponent of all ones is what infinities and NaNs have: one more carries into the sign
 * bit.  Written so that compilers turn it into vectors.
 */
static bool floats_finite(const uint32_t *w, size_t n)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++)
        bad |= (w[i] & 0x7f800000U) + 0x00800000U;
    return !(bad >> 31);
}

static bool doubles_finite(const uint64_t *w, size_t n)
{
    uint64_t bad = 0;
    for (size_t i = 0; i < n; i++)
        bad |= (w[i] & 0x7ff0000000000000U) + 0x0010000000000000U;
    return !(bad >> 63);
}

bool exec_finite(const struct exec *x, const void *p, uint64_t nbytes)
{
    return x->plan->f64 ? doubles_finite(p, nbytes / 8) : floats_finite(p, nbytes / 4);
}

bool exec_stored_bad(struct exec *x)
{
    const size_t words = (size_t)pool_threads(x->pool) * HYP_WATCH;
    uint32_t bad = 0;
    for (size_t i = 0; i < words; i++) {
        bad |= x->watch[i];
        x->watch[i] = 0;
    }
    return bad != 0;
}

bool exec_state_finite(const struct exec *x, uint32_t *tensor)
{
    for (uint32_t i = 0; i < x->plan->ntensor; i++) {
        const struct hyp_tensor *t = &x->plan->tensor[i];
        if (t->dtype != HYP_F32 && t->dtype != HYP_F64)
            continue;
        if (!exec_finite(x, x->segment[HYP_SEG_STATE] + t->offset, t->bytes)) {
            *tensor = i;
            return false;
        }
    }
    return true;
}

void exec_copy_state(struct exec *x, const struct exec *from)
{
    memcpy(x->segment[HYP_SEG_STATE], from->segment[HYP_SEG_STATE],
           x->plan->segment_bytes[HYP_SEG_STATE]);
    memcpy(x->setting, from->setting, x->plan->nsetting_value * sizeof *x->setting);
    memcpy(x->counter, from->counter, x->plan->ncounter * sizeof *x->counter);
    memcpy(x->fixed, from->fixed, sizeof x->fixed);
}
