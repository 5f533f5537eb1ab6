/*
 * class_agreement and linear_readout: accuracies of models that are trained for the purpose
 * (graphs/std/metrics/), the first once a run, the second at every evaluation, once for all
 * repetitions.
 */
#include <math.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/probe.h"

static enum hyp_status need_model(const struct metric_call *c, struct hyp_error *err)
{
    return c->probe->nmodel ? HYP_OK
                            : hyp_fail(err, HYP_EUNSUPPORTED,
                                       "probe `%s`: its metric's model is not in the plan",
                                       c->probe->name);
}

static uint32_t right(const int32_t *a, const int32_t *b, uint32_t n)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < n; i++)
        k += a[i] == b[i];
    return k;
}

/* Share of the rows that the model puts into their class. */
static enum hyp_status grade(struct metric_call *c, struct nested *model,
                             const struct rows *of, const int32_t *label, uint32_t n,
                             double *out, struct hyp_error *err)
{
    if (of->n != n || n == 0)
        return hyp_fail(err, HYP_EARG, "probe `%s`: %u samples, %u labels", c->probe->name,
                        of->n, n);
    int32_t *class = hyp_malloc(n * sizeof *class);
    if (!class)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for probe `%s`", c->probe->name);
    const enum hyp_status st = nested_classify(model, of->v, n, of->width, class, err);
    if (st == HYP_OK)
        *out = (double)right(class, label, n) / n;
    hyp_free(class);
    return st;
}

/* ---- class_agreement ---- */

static const struct run_source *training_source(const struct run *r)
{
    for (uint32_t i = 0; i < r->plan->nsource; i++)
        if (r->plan->source[i].scheduled)
            return &r->source[i];
    return NULL;
}

/* The first field and the labels of a source's first n samples, as the model sees them. */
static enum hyp_status read_source(const struct run_source *s, uint32_t n, struct rows *x,
                                   int32_t **label, struct hyp_error *err)
{
    const struct data_info *info = data_fields(s->src);
    const int at = data_field_find(info, "label");

    *x = (struct rows){.n = n, .width = (uint32_t)data_field_size(&info->field[0])};
    if (at < 0 || info->field[at].dtype != DATA_I32 || info->field[0].dtype != DATA_F32)
        return hyp_fail(err, HYP_EARG, "a classifier needs a source with labels");
    x->v = hyp_malloc((size_t)n * x->width * sizeof *x->v);
    *label = hyp_malloc((size_t)n * sizeof **label);
    if (!x->v || !*label)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for a metric's samples");
    data_batch_file(s->src, 0, 0, n, x->v);
    data_batch_file(s->src, (unsigned)at, 0, n, *label);
    return HYP_OK;
}

/* Its accuracy on the source that the probe looks at. */
static enum hyp_status grade_classifier(struct metric_call *c, struct nested *model,
                                        struct hyp_error *err)
{
    const int32_t from = c->probe->from;
    const struct run_source *s =
        from >= 0 ? &c->run->source[from] : training_source(c->run);
    const uint32_t n = from >= 0 ? run_seen(c->run, (uint32_t)from) : s->n;
    struct rows x = {0};
    int32_t *label = NULL;
    enum hyp_status st = read_source(s, n, &x, &label, err);

    if (st == HYP_OK)
        st = grade(c, model, &x, label, x.n, &c->own->classifier, err);
    rows_fini(&x);
    hyp_free(label);
    return st;
}

static enum hyp_status train_classifier(struct metric_call *c, struct hyp_error *err)
{
    const struct run_source *s = training_source(c->run);
    struct data_given given = {0};

    if (!s)
        return hyp_fail(err, HYP_EARG, "probe `%s` needs a training source",
                        c->probe->name);
    given.of = s->src;
    given.width = (uint32_t)data_field_size(&data_fields(s->src)->field[0]);
    return nested_train(c, c->probe->model[0], &given, &c->own->nested, err);
}

enum hyp_status metric_classifier(struct metric_call *c, struct nested **out,
                                  struct hyp_error *err)
{
    const struct hyp_plan *p = c->run->plan;
    enum hyp_status st = need_model(c, err);

    for (uint32_t i = 0; st == HYP_OK && i < p->nprobe; i++)
        if (p->probe[i].nmodel && p->probe[i].model[0] == c->probe->model[0] &&
            c->run->probe[i].nested) {
            *out = c->run->probe[i].nested;
            return HYP_OK;
        }
    if (st == HYP_OK)
        st = train_classifier(c, err);
    *out = c->own->nested;
    return st;
}

enum hyp_status metric_class_agreement(struct metric_call *c, struct hyp_error *err)
{
    static const char *const name[] = {"of", "labels"};
    struct rows rows[2] = {{0}};
    struct nested *model = NULL;
    int32_t *label = NULL;
    uint32_t classes = 0;
    double share = NAN;

    enum hyp_status st = metric_classifier(c, &model, err);
    if (st == HYP_OK && !c->own->have_classifier)
        st = grade_classifier(c, model, err);
    c->own->have_classifier = st == HYP_OK;
    if (st == HYP_OK)
        st = metric_rows(c, name, 2, -1, rows, err);
    if (st == HYP_OK)
        st = rows_to_labels(c, &rows[1], &label, &classes, err);
    if (st == HYP_OK)
        st = grade(c, model, &rows[0], label, rows[1].n, &share, err);
    if (st == HYP_OK)
        st = metric_number(c, NULL, share, err);
    if (st == HYP_OK)
        st = metric_number(c, "classifier", c->own->classifier, err);
    rows_fini(&rows[0]);
    rows_fini(&rows[1]);
    hyp_free(label);
    return st;
}

/* ---- linear_readout ---- */

static enum hyp_status fit_readout(struct metric_call *c, struct nested **model,
                                   struct hyp_error *err)
{
    static const char *const name[] = {"train.of", "train.labels"};
    struct rows rows[2] = {{0}};
    int32_t *label = NULL;
    uint32_t classes = 0;

    enum hyp_status st = metric_rows(c, name, 2, -1, rows, err);
    if (st == HYP_OK)
        st = rows_to_labels(c, &rows[1], &label, &classes, err);
    if (st == HYP_OK) {
        const struct data_given given = {NULL, rows[0].v, label, rows[0].n, rows[0].width};
        st = nested_train(c, c->probe->model[0], &given, model, err);
    }
    rows_fini(&rows[0]);
    rows_fini(&rows[1]);
    hyp_free(label);
    return st;
}

/* Repetitions that train on the same samples share one readout, which the first owns. */
static enum hyp_status readout(struct metric_call *c, struct nested **out,
                               struct hyp_error *err)
{
    const struct hyp_probe *p = c->probe;
    struct nested **kept = &(c->own - p->run)->nested;
    const struct hyp_probe_value *mine = metric_value(c, "train.of"), *last = NULL;
    struct metric_call before = *c;

    if (p->run) {
        before.probe--;
        last = metric_value(&before, "train.of");
    }
    enum hyp_status st = need_model(c, err);
    if (st == HYP_OK && !(*kept && mine && last && mine->phase == last->phase &&
                          mine->output == last->output)) {
        nested_free(*kept);
        *kept = NULL;
        st = fit_readout(c, kept, err);
    }
    *out = *kept;
    return st;
}

static void readout_done(struct metric_call *c, bool failed)
{
    const struct hyp_probe *p = c->probe;
    struct run_probe *first = c->own - p->run;

    if (!failed && p->runs && p->run + 1 < p->runs)
        return;
    nested_free(first->nested);
    first->nested = NULL;
}

enum hyp_status metric_linear_readout(struct metric_call *c, struct hyp_error *err)
{
    const char *const name[] = {metric_value(c, "test_of") ? "test_of" : "of", "labels"};
    struct nested *model = NULL;
    struct rows rows[2] = {{0}};
    int32_t *label = NULL;
    uint32_t classes = 0;
    double share = NAN;

    enum hyp_status st = readout(c, &model, err);
    if (st == HYP_OK)
        st = metric_rows(c, name, 2, -1, rows, err);
    if (st == HYP_OK)
        st = rows_to_labels(c, &rows[1], &label, &classes, err);
    if (st == HYP_OK)
        st = grade(c, model, &rows[0], label, rows[1].n, &share, err);
    if (st == HYP_OK)
        st = metric_number(c, NULL, share, err);
    rows_fini(&rows[0]);
    rows_fini(&rows[1]);
    hyp_free(label);
    readout_done(c, st != HYP_OK);
    return st;
}
