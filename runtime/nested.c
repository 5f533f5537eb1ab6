/*
 * Models that metrics train: compiled std models with one source of kind `given`, run by
 * the same scheduler as any other, in memory and without a folder.
 *
 * Such a model has one schedule, and a probe `right` whose value `of` is a row of scores by
 * class (an evaluation phase over the source's field `x`); a classifier also a probe
 * `inner`: its last hidden layer.
 */
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/probe.h"

struct nested {
    struct run run;
    struct hyp_run_options opt;
    struct data_given given;
    double *setting;
};

void nested_free(struct nested *n)
{
    if (!n)
        return;
    run_close(&n->run);
    hyp_free(n->setting);
    hyp_free(n);
}

static void set_number(struct nested *n, const char *name, double v)
{
    const struct hyp_plan *p = n->run.plan;
    for (uint32_t i = 0; i < p->nsetting; i++)
        if (strcmp(p->setting[i].name, name) == 0)
            n->setting[p->setting[i].first] = v;
}

static enum hyp_status prepare(struct nested *n, const struct data_given *d,
                               struct hyp_error *err)
{
    const struct hyp_plan *p = n->run.plan;

    n->setting = hyp_calloc(p->nsetting_value + 1U, sizeof *n->setting);
    if (!n->setting)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for a metric's model");
    memcpy(n->setting, p->setting_value, p->nsetting_value * sizeof *n->setting);
    n->run.base_setting = n->setting;
    n->given = *d;
    n->run.given = &n->given;
    n->run.opt = &n->opt;
    const enum hyp_status st = run_open(&n->run, err);
    return st == HYP_OK ? exec_init(n->run.x, err) : st;
}

/* The setting `steps` is how many cycles there will be: what a falling rate needs. */
static enum hyp_status fit(struct metric_call *c, struct nested *n, struct hyp_error *err)
{
    struct run *r = &n->run;
    enum hyp_status st = HYP_OK;

    if (schedule_ready(r)) {
        const int64_t per = schedule_cycles_in_epoch(r), epochs = r->stage.epochs;
        set_number(n, "steps", (double)(per * epochs));
        schedule_enter(r);
    }
    while (st == HYP_OK && schedule_ready(r)) {
        st = metric_stopped(c, err);
        if (st == HYP_OK)
            st = schedule_cycle(r, err);
        if (st == HYP_OK && r->epoch_over) {
            schedule_end_epoch(r);
            r->epoch_over = false;
        }
    }
    return st;
}

enum hyp_status nested_train(struct metric_call *c, struct hyp_plan *plan,
                             const struct data_given *d, struct nested **out,
                             struct hyp_error *err)
{
    struct nested *n = hyp_calloc(1, sizeof *n);

    if (!n)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for a metric's model");
    hyp_run_defaults(&n->opt);
    n->opt.seed = c->run->x->seed;
    n->run.plan = plan;
    n->run.pool = c->run->pool;
    enum hyp_status st = prepare(n, d, err);
    if (st == HYP_OK)
        st = fit(c, n, err);
    if (st != HYP_OK) {
        nested_free(n);
        return st;
    }
    *out = n;
    return HYP_OK;
}

static const struct hyp_probe_value *value_of(const struct hyp_plan *p, const char *probe)
{
    for (uint32_t i = 0; i < p->nprobe; i++)
        for (uint32_t k = 0; k < p->probe[i].nvalue; k++)
            if (strcmp(p->probe[i].name, probe) == 0 &&
                strcmp(p->probe[i].value[k].name, "of") == 0)
                return &p->probe[i].value[k];
    return NULL;
}

uint32_t nested_width(const struct nested *n, const char *probe)
{
    const struct hyp_plan *p = n->run.plan;
    const struct hyp_probe_value *v = value_of(p, probe);
    return v ? output_width(&p->phase[v->phase].output[v->output]) : 0;
}

static void fill(struct run *r, const struct hyp_phase *ph, const float *x, uint32_t rows,
                 uint32_t width)
{
    for (uint32_t k = 0; k < ph->ninput; k++) {
        const struct hyp_input *in = &ph->input[k];
        const struct hyp_field *f = &r->plan->source[in->source].field[in->field];
        void *to = exec_address(r->x, in->buffer);
        if (f->is_int)
            memset(to, 0, (size_t)rows * 4); /* labels are not what is asked */
        else if (!r->plan->f64)
            memcpy(to, x, (size_t)rows * width * sizeof *x);
        else
            for (size_t i = 0; i < (size_t)rows * width; i++)
                ((double *)to)[i] = (double)x[i];
    }
}

enum hyp_status nested_apply(struct nested *n, const char *probe, const float *x,
                             uint32_t rows, uint32_t width, nested_fn *fn, void *cx,
                             struct hyp_error *err)
{
    struct run *r = &n->run;
    const struct hyp_probe_value *v = value_of(r->plan, probe);
    enum hyp_status st = HYP_OK;

    if (!v || width != r->source[0].width[0])
        return hyp_fail(err, HYP_EARG,
                        "a metric's model takes %zu numbers a sample, not %u",
                        r->source[0].width[0], width);
    const struct hyp_phase *ph = &r->plan->phase[v->phase];
    const struct hyp_output *o = &ph->output[v->output];
    const uint32_t out = output_width(o), most = (uint32_t)r->plan->batch_max;
    float *row = hyp_malloc(((size_t)most * out + 1) * sizeof *row);
    if (!row)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for a metric's model");
    for (uint32_t at = 0; st == HYP_OK && at < rows; at += most) {
        const uint32_t b = rows - at < most ? rows - at : most;
        fill(r, ph, x + (size_t)at * width, b, width);
        st = exec_phase(r->x, v->phase, b, err);
        for (uint32_t i = 0; st == HYP_OK && i < b * out; i++) {
            double d;
            exec_read(r->x, o->buffer, o->dtype, i, 1, &d);
            row[i] = (float)d;
        }
        if (st == HYP_OK)
            fn(cx, row, b, out);
    }
    hyp_free(row);
    return st;
}

struct classes {
    int32_t *out;
    uint32_t n;
};

static void classify(void *cx, const float *row, uint32_t rows, uint32_t width)
{
    struct classes *c = cx;
    for (uint32_t i = 0; i < rows; i++)
        c->out[c->n++] = row_class(row + (size_t)i * width, width);
}

enum hyp_status nested_classify(struct nested *n, const float *x, uint32_t rows,
                                uint32_t width, int32_t *out, struct hyp_error *err)
{
    struct classes c = {out, 0};
    return nested_apply(n, "right", x, rows, width, classify, &c, err);
}
