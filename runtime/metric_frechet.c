/*
 * frechet: the distance between the Gaussians of several values' samples and of one
 * other's, in the last hidden layer of a classifier or, without one, in the values
 * themselves.  Samples are summed as they come: none is kept.
 */
#include <stdio.h>
#include <string.h>

#include "runtime/gauss.h"
#include "runtime/probe.h"

enum { MOST = 16 };

struct frechet {
    struct metric_call *call;
    const struct hyp_probe_value *value[MOST + 1]; /* the last: `against` */
    struct gauss gauss[MOST + 1];
    unsigned n;
    struct nested *classifier; /* or NULL */
    int64_t limit;
    unsigned at; /* of the value whose phase runs */
};

static const struct hyp_output *output_of(const struct frechet *f, unsigned i)
{
    return &f->call->run->plan->phase[f->value[i]->phase].output[f->value[i]->output];
}

static void add_rows(void *cx, const float *row, uint32_t rows, uint32_t width)
{
    struct gauss *g = cx;
    (void)width;
    gauss_add(g, row, rows);
}

static enum hyp_status no_memory(const struct frechet *f, struct hyp_error *err)
{
    return hyp_fail(err, HYP_ENOMEM, "out of memory for probe `%s`", f->call->probe->name);
}

/* All values that the phase of `at` computes. */
static enum hyp_status add_samples(void *cx, const struct exec *x, int64_t batch,
                                   int64_t first, struct hyp_error *err)
{
    struct frechet *f = cx;
    const uint32_t n = (uint32_t)batch;
    enum hyp_status st = HYP_OK;

    (void)first;
    for (unsigned i = 0; st == HYP_OK && i <= f->n; i++) {
        const struct hyp_probe_value *v = f->value[i];
        if (v->phase != f->value[f->at]->phase || v->source != f->value[f->at]->source)
            continue;
        const struct hyp_output *o = output_of(f, i);
        struct rows rows = {.n = n, .width = output_width(o)};
        if (!rows_read(&rows, x, o))
            return no_memory(f, err);
        if (f->classifier)
            st = nested_apply(f->classifier, "inner", rows.v, n, rows.width, add_rows,
                              &f->gauss[i], err);
        else
            gauss_add(&f->gauss[i], rows.v, n);
        rows_fini(&rows);
    }
    return st;
}

static bool ran_before(const struct frechet *f)
{
    for (unsigned i = 0; i < f->at; i++)
        if (f->value[i]->phase == f->value[f->at]->phase &&
            f->value[i]->source == f->value[f->at]->source)
            return true;
    return false;
}

static enum hyp_status find_values(struct frechet *f, struct hyp_error *err)
{
    const struct hyp_probe *p = f->call->probe;
    const struct hyp_probe_value *against = metric_value(f->call, "against");

    for (uint32_t i = 0; i < p->nvalue; i++) {
        const char *name = p->value[i].name;
        if (strcmp(name, "of") != 0 && strncmp(name, "of.", 3) != 0)
            continue;
        if (f->n == MOST)
            return hyp_fail(err, HYP_EARG, "probe `%s`: more than %d values", p->name,
                            MOST);
        f->value[f->n++] = &p->value[i];
    }
    f->value[f->n] = against;
    return f->n && against
               ? HYP_OK
               : hyp_fail(err, HYP_EARG, "probe `%s` lacks `of` or `against`", p->name);
}

static enum hyp_status prepare(struct frechet *f, struct hyp_error *err)
{
    enum hyp_status st = find_values(f, err);

    if (st == HYP_OK && f->call->probe->nmodel)
        st = metric_classifier(f->call, &f->classifier, err);
    if (st != HYP_OK)
        return st;
    const uint32_t width = f->classifier ? nested_width(f->classifier, "inner")
                                         : output_width(output_of(f, f->n));
    if (width < 1 || width > GAUSS_MOST)
        return hyp_fail(err, HYP_EARG, "probe `%s`: %u numbers a sample; at most %d do",
                        f->call->probe->name, width, GAUSS_MOST);
    for (unsigned i = 0; i <= f->n; i++)
        if (!gauss_init(&f->gauss[i], width))
            return no_memory(f, err);
    return HYP_OK;
}

static enum hyp_status set_distances(struct frechet *f, struct hyp_error *err)
{
    double d[MOST];

    for (unsigned i = 0; i < f->n; i++) {
        const enum hyp_status st = metric_stopped(f->call, err);
        if (st != HYP_OK)
            return st;
        if (!gauss_distance(&f->gauss[i], &f->gauss[f->n], &d[i]))
            return no_memory(f, err);
    }
    return metric_set(f->call, NULL, d, f->n, strcmp(f->value[0]->name, "of") != 0, err);
}

enum hyp_status metric_frechet(struct metric_call *c, struct hyp_error *err)
{
    struct frechet f = {.call = c,
                        .limit = (int64_t)metric_param(c->probe, "samples", 10000)};
    enum hyp_status st = prepare(&f, err);

    for (f.at = 0; st == HYP_OK && f.at <= f.n; f.at++) {
        const struct evaluation e = {f.value[f.at]->phase, f.value[f.at]->source, f.limit};
        if (!ran_before(&f))
            st = run_evaluate(c->run, &e, add_samples, &f, err);
    }
    if (st == HYP_OK)
        st = set_distances(&f, err);
    for (unsigned i = 0; i <= f.n; i++)
        gauss_fini(&f.gauss[i]);
    return st;
}
