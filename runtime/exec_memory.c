/*
 * What a context owns, made before the first phase runs: segments, stacks, and the
 * addresses of every entry's buffers; and what reads it.
 */
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/exec.h"

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
        x->segment[i] = hyp_zeroed(64, p->segment_bytes[i] + 64);
        if (!x->segment[i])
            return false;
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
    const size_t threads = pool_threads(x->pool);
    x->watch = hyp_zeroed(64, threads * HYP_WATCH * sizeof *x->watch);
    x->share = hyp_zeroed(64, threads * sizeof *x->share);
    x->host = hyp_calloc(p->nsinst + 1U, sizeof *x->host);
    x->setting = hyp_calloc(p->nsetting_value + 1U, sizeof *x->setting);
    x->counter = hyp_calloc(p->ncounter + 1U, sizeof *x->counter);
    x->param = hyp_calloc(p->nparam + 1U, sizeof *x->param);
    x->draw = hyp_calloc(p->ndraw + 1U, sizeof *x->draw);
    return x->watch && x->share && x->host && x->setting && x->counter && x->param &&
           x->draw;
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
    for (uint32_t i = 0; i < plan->nsetting_value; i++)
        x->setting[i] = plan->setting_value[i];
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

/* ---- what is in it ---- */

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
