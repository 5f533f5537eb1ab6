/* hyp_eval and hyp_dream: looking at a run's last checkpoint, writing nothing into it. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/image.h"
#include "runtime/npy.h"
#include "runtime/probe.h"

static enum hyp_status open_run(struct run *r, struct hyp_error *err)
{
    char path[RUNFOLDER_PATH];
    const char *out = r->opt->out ? r->opt->out : ".";
    enum hyp_status st = run_open(r, err);

    if (st != HYP_OK)
        return st;
    snprintf(path, sizeof path, "%.3900s/checkpoint.safetensors", out);
    return run_load(r, path, err);
}

static struct run *new_run(struct hyp_plan *plan, struct pool *pool,
                           const struct hyp_run_options *o,
                           const struct hyp_run_callbacks *cb, struct hyp_error *err)
{
    struct run *r = hyp_calloc(1, sizeof *r);
    if (!r) {
        hyp_fail(err, HYP_ENOMEM, "out of memory for a run");
        return NULL;
    }
    r->plan = plan;
    r->pool = pool;
    r->opt = o;
    r->cb = cb;
    return r;
}

static enum hyp_status check_names(const struct hyp_plan *plan, const char *const *probe,
                                   unsigned n, struct hyp_error *err)
{
    for (unsigned k = 0; k < n; k++) {
        bool found = false;
        for (uint32_t i = 0; i < plan->nprobe; i++)
            found = found || probe_is_called(&plan->probe[i], probe[k]);
        if (!found)
            return hyp_fail(err, HYP_EARG, "the model has no probe `%s`", probe[k]);
    }
    return HYP_OK;
}

enum hyp_status hyp_eval(struct hyp_plan *plan, struct pool *pool,
                         const struct hyp_run_options *o,
                         const struct hyp_run_callbacks *cb, const char *const *probe,
                         unsigned nprobe, struct hyp_summary *out, struct hyp_error *err)
{
    *out = (struct hyp_summary){0};
    enum hyp_status st = check_names(plan, probe, nprobe, err);
    if (st != HYP_OK)
        return st;
    struct run *r = new_run(plan, pool, o, cb, err);
    if (!r)
        return HYP_ENOMEM;
    st = open_run(r, err);
    if (st == HYP_OK)
        st = probes_run_named(r, probe, nprobe, err);
    run_summary(r, out);
    run_close(r);
    hyp_free(r);
    return st;
}

/* ---- dreams ---- */

struct dream {
    const struct hyp_output *output;
    float *v;
    uint32_t n, width;
    int64_t want;
};

static enum hyp_status take_dream(void *cx, const struct exec *x, int64_t batch,
                                  int64_t first, struct hyp_error *err)
{
    struct dream *d = cx;

    (void)err;
    (void)first;
    const int64_t have = d->output->sample ? batch : 1;
    for (int64_t i = 0; i < have && d->n < d->want; i++, d->n++)
        for (uint32_t k = 0; k < d->width; k++) {
            double v;
            exec_read(x, d->output->buffer, d->output->dtype, i * d->width + k, 1, &v);
            d->v[(size_t)d->n * d->width + k] = (float)v;
        }
    return HYP_OK;
}

/* The phase and output of "dream/NODE", of a probe's image "probe/NODE/image", or the
 * default. */
static bool find_node(const struct hyp_plan *p, const char *node, uint32_t *phase,
                      uint32_t *output)
{
    char dream[256], image[256];

    if (!node) {
        *phase = (uint32_t)p->dream_phase;
        *output = p->dream_output;
        return p->dream_phase >= 0;
    }
    snprintf(dream, sizeof dream, "dream/%.200s", node);
    snprintf(image, sizeof image, "probe/%.200s/image", node);
    for (uint32_t i = 0; i < p->nphase; i++)
        for (uint32_t o = 0; o < p->phase[i].noutput; o++)
            if (strcmp(p->phase[i].output[o].name, dream) == 0 ||
                strcmp(p->phase[i].output[o].name, image) == 0) {
                *phase = i;
                *output = o;
                return true;
            }
    return false;
}

/* The shape that some image probe gives to values of this size; else the output's own, a
 * square, or one line. */
static void dream_shape(const struct hyp_plan *p, const struct hyp_output *o,
                        uint32_t width, struct image_sheet *s)
{
    const uint32_t first = o->sample ? 1 : 0, rank = o->rank - first;

    s->channels = s->height = 1;
    s->width = width;
    for (uint32_t i = 0; i < p->nprobe; i++) {
        const double h = metric_param(&p->probe[i], "shape.0", 0);
        const double w = metric_param(&p->probe[i], "shape.1", 0);
        if (h * w == (double)width) {
            s->height = (uint32_t)h;
            s->width = (uint32_t)w;
            return;
        }
    }
    if (rank == 3 || rank == 2) {
        s->channels = rank == 3 ? (uint32_t)o->dim[first].c : 1;
        s->height = (uint32_t)o->dim[first + rank - 2].c;
        s->width = (uint32_t)o->dim[first + rank - 1].c;
    }
}

static enum hyp_status write_npy(const struct dream *d, const char *file,
                                 struct hyp_error *err)
{
    const struct hyp_output *o = d->output;
    uint64_t dim[NPY_MAX_RANK] = {d->n};
    uint32_t rank = 1;

    for (uint32_t i = o->sample ? 1 : 0; i < o->rank && rank < NPY_MAX_RANK; i++)
        dim[rank++] = (uint64_t)o->dim[i].c;
    return npy_write(file, NPY_F32, rank, dim, d->v, err);
}

static enum hyp_status write_png(const struct hyp_plan *p, const struct dream *d,
                                 const char *file, struct hyp_error *err)
{
    struct image_sheet s = {.values = d->v, .n = d->n, .low = 0, .high = 1};

    dream_shape(p, d->output, d->width, &s);
    for (uint32_t i = 0; i < p->nsource; i++)
        if (p->source[i].scheduled) {
            s.low = (float)p->source[i].scale_lo;
            s.high = (float)p->source[i].scale_hi;
            break;
        }
    return image_sheet_write(file, &s, err);
}

static enum hyp_status dream(struct run *r, uint32_t phase, struct dream *d,
                             struct hyp_error *err)
{
    const struct evaluation e = {phase, -1, d->want};
    enum hyp_status st = open_run(r, err);

    if (st != HYP_OK)
        return st;
    r->x->seed = r->opt->seed;
    st = run_evaluation(r, err);
    if (st == HYP_OK) {
        d->v = hyp_calloc((size_t)d->want * d->width + 1, sizeof *d->v);
        st = d->v ? run_evaluate(r, &e, take_dream, d, err)
                  : hyp_fail(err, HYP_ENOMEM, "out of memory for dreams");
    }
    return st;
}

enum hyp_status hyp_dream(struct hyp_plan *plan, struct pool *pool,
                          const struct hyp_run_options *o,
                          const struct hyp_run_callbacks *cb, const char *node, uint32_t n,
                          const char *file, struct hyp_error *err)
{
    uint32_t phase = 0, output = 0;
    const size_t length = strlen(file);

    if (!find_node(plan, node, &phase, &output))
        return hyp_fail(err, HYP_EARG,
                        node ? "the model has nothing to dream called `%s`"
                             : "the model has nothing to dream%s",
                        node ? node : "");
    struct run *r = new_run(plan, pool, o, cb, err);
    if (!r)
        return HYP_ENOMEM;
    struct dream d = {.output = &plan->phase[phase].output[output], .want = n};
    d.width = output_width(d.output);
    enum hyp_status st = dream(r, phase, &d, err);
    if (st == HYP_OK && length > 4 && strcmp(file + length - 4, ".npy") == 0)
        st = write_npy(&d, file, err);
    else if (st == HYP_OK)
        st = write_png(plan, &d, file, err);
    hyp_free(d.v);
    run_close(r);
    hyp_free(r);
    return st;
}
