/*
 * Models that metrics train: compiled std models with one source of kind `given`, run by
 * the same scheduler as any other, in memory and without a folder.
 *
 * Such a model has one schedule, and a probe whose value `of` is a row of scores by class
 * (an evaluation phase over the source's field `x`).
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

static enum hyp_status prepare(struct nested *n, const struct nested_data *d,
                               struct hyp_error *err)
{
    const struct hyp_plan *p = n->run.plan;

    n->setting = hyp_calloc(p->nsetting_value + 1U, sizeof *n->setting);
    if (!n->setting)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for a metric's model");
    memcpy(n->setting, p->setting_value, p->nsetting_value * sizeof *n->setting);
    for (unsigned i = 0; i < 4 && d->setting[i]; i++)
        set_number(n, d->setting[i], d->number[i]);
    n->run.base_setting = n->setting;
    n->given = d->given;
    n->run.given = &n->given;
    n->run.opt = &n->opt;
    const enum hyp_status st = run_open(&n->run, err);
    return st == HYP_OK ? exec_init(n->run.x, err) : st;
}

/* The setting `steps` is how many cycles there will be: what a falling rate needs. */
static enum hyp_status fit(struct nested *n, struct hyp_error *err)
{
    struct run *r = &n->run;
    enum hyp_status st = HYP_OK;

    if (schedule_ready(r)) {
        const int64_t per = schedule_cycles_in_epoch(r), epochs = r->stage.epochs;
        set_number(n, "steps", (double)(per * epochs));
        schedule_enter(r);
    }
    while (st == HYP_OK && schedule_ready(r)) {
        st = schedule_cycle(r, err);
        if (st == HYP_OK && r->epoch_over) {
            schedule_end_epoch(r);
            r->epoch_over = false;
        }
    }
    return st;
}

enum hyp_status nested_train(struct metric_call *c, struct hyp_plan *plan,
                             const struct nested_data *d, struct nested **out,
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
        st = fit(n, err);
    if (st != HYP_OK) {
        nested_free(n);
        return st;
    }
    *out = n;
    return HYP_OK;
}

static const struct hyp_probe_value *scores(const struct hyp_plan *p)
{
    for (uint32_t i = 0; i < p->nprobe; i++)
        for (uint32_t k = 0; k < p->probe[i].nvalue; k++)
            if (strcmp(p->probe[i].value[k].name, "of") == 0)
                return &p->probe[i].value[k];
    return NULL;
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

enum hyp_status nested_classify(struct nested *n, const float *x, uint32_t rows,
                                uint32_t width, int32_t *out, struct hyp_error *err)
{
    struct run *r = &n->run;
    const struct hyp_probe_value *v = scores(r->plan);
    enum hyp_status st = HYP_OK;
    float row[1024];

    if (!v || width != r->source[0].width[0])
        return hyp_fail(err, HYP_EARG,
                        "a metric's model takes %zu numbers a sample, not %u",
                        r->source[0].width[0], width);
    const struct hyp_phase *ph = &r->plan->phase[v->phase];
    const struct hyp_output *o = &ph->output[v->output];
    const uint32_t classes = output_width(o);
    if (classes > sizeof row / sizeof *row)
        return hyp_fail(err, HYP_EARG, "more than 1024 classes");
    for (uint32_t at = 0; st == HYP_OK && at < rows; at += (uint32_t)r->plan->batch_max) {
        const uint32_t left = rows - at;
        const uint32_t b = left < r->plan->batch_max ? left : (uint32_t)r->plan->batch_max;
        fill(r, ph, x + (size_t)at * width, b, width);
        st = exec_phase(r->x, v->phase, b, err);
        for (uint32_t i = 0; st == HYP_OK && i < b; i++) {
            for (uint32_t k = 0; k < classes; k++) {
                double d;
                exec_read(r->x, o->buffer, o->dtype, (int64_t)i * classes + k, 1, &d);
                row[k] = (float)d;
            }
            out[at + i] = row_class(row, classes);
        }
    }
    return st;
}
