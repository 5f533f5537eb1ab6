/* The table of metrics, their parameters, and the simplest of them. */
#include "runtime/probe.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/plot.h"

const struct metric metrics[] = {
#define METRIC(name, keys, model, doc) {#name, metric_##name},
#define METRIC_LATER(name)
#include "runtime/base/metric.def"
#undef METRIC
#undef METRIC_LATER
};
const unsigned nmetric = sizeof metrics / sizeof *metrics;

const struct metric *metric_find(const char *name)
{
    for (unsigned i = 0; name && i < nmetric; i++)
        if (strcmp(metrics[i].name, name) == 0)
            return &metrics[i];
    return NULL;
}

const struct hyp_probe_value *metric_value(const struct metric_call *c, const char *name)
{
    for (uint32_t i = 0; i < c->probe->nvalue; i++)
        if (strcmp(c->probe->value[i].name, name) == 0)
            return &c->probe->value[i];
    return NULL;
}

double metric_param(const struct hyp_probe *p, const char *name, double otherwise)
{
    for (uint32_t i = 0; i < p->nparam; i++)
        if (strcmp(p->param[i].name, name) == 0 && !p->param[i].text)
            return p->param[i].number;
    return otherwise;
}

bool metric_wants(const struct hyp_probe *p, const char *name, const char *word)
{
    const size_t n = strlen(name);
    for (uint32_t i = 0; i < p->nparam; i++) {
        const struct hyp_probe_param *x = &p->param[i];
        const bool own =
            strncmp(x->name, name, n) == 0 && (x->name[n] == '\0' || x->name[n] == '.');
        if (own && x->text && (strcmp(x->text, word) == 0 || strcmp(x->text, "all") == 0))
            return true;
    }
    return false;
}

enum hyp_status metric_set(struct metric_call *c, const char *part, const double *v,
                           uint32_t n, bool list, struct hyp_error *err)
{
    const struct hyp_probe *p = c->probe;
    struct values *all = &c->run->values;
    char name[256];
    snprintf(name, sizeof name, part ? "%.180s.%.60s" : "%.180s",
             p->runs ? p->base : p->name, part);
    const uint32_t i = values_find(all, name);
    const enum hyp_status st =
        p->runs ? values_set_part(all, i, v, n, p->run * n, p->runs * n, err)
                : values_set(all, i, v, n, list, err);
    if (st == HYP_OK && c->nlogged < sizeof c->logged / sizeof *c->logged)
        c->logged[c->nlogged++] = i;
    return st;
}

enum hyp_status metric_number(struct metric_call *c, const char *part, double v,
                              struct hyp_error *err)
{
    return metric_set(c, part, &v, 1, false, err);
}

enum hyp_status metric_figure(struct metric_call *c, const struct plot *p,
                              struct hyp_error *err)
{
    char name[200], path[RUNFOLDER_PATH];

    if (!c->pictures)
        return HYP_OK;
    probe_file(c, "plots", "svg", name, sizeof name);
    runfolder_name(c->run->folder, name, path);
    return plot_write(path, p, err);
}

enum hyp_status metric_stopped(const struct metric_call *c, struct hyp_error *err)
{
    return run_stopping(c->run) ? hyp_fail(err, HYP_ESTOPPED,
                                           "stopped by signal %d in "
                                           "probe `%s`",
                                           stop_signal(), c->probe->name)
                                : HYP_OK;
}

uint32_t metric_word(struct words *w, uint32_t i)
{
    if (w->at != 1 + i / 4) {
        const uint32_t counter[4] = {i / 4, w->unit, w->draw, (uint32_t)w->site};
        const uint32_t key[2] = {(uint32_t)w->seed ^ (uint32_t)(w->site >> 32),
                                 (uint32_t)(w->seed >> 32)};
        w->block = philox4x32(counter, key);
        w->at = 1 + i / 4;
    }
    return w->block.w[i % 4];
}

/* ---- accuracy, confusion ---- */

struct answers {
    struct rows rows[2]; /* of, labels */
    int32_t *label;
    uint32_t n, classes;
};

static enum hyp_status read_answers(struct metric_call *c, struct answers *a,
                                    struct hyp_error *err)
{
    static const char *const name[] = {"of", "labels"};

    *a = (struct answers){0};
    enum hyp_status st = metric_rows(c, name, 2, -1, a->rows, err);
    if (st == HYP_OK)
        st = rows_to_labels(c, &a->rows[1], &a->label, &a->classes, err);
    a->n = a->rows[1].n;
    if (st == HYP_OK && a->rows[0].n != a->n)
        st = hyp_fail(err, HYP_EARG, "probe `%s`: %u samples of `of`, %u labels",
                      c->probe->name, a->rows[0].n, a->n);
    if (a->rows[0].width > a->classes)
        a->classes = a->rows[0].width;
    return st;
}

static void answers_fini(struct answers *a)
{
    rows_fini(&a->rows[0]);
    rows_fini(&a->rows[1]);
    hyp_free(a->label);
}

static int32_t answer(const struct answers *a, uint32_t i)
{
    return row_class(a->rows[0].v + (size_t)i * a->rows[0].width, a->rows[0].width);
}

static double share_right(const struct answers *a)
{
    uint32_t right = 0;
    for (uint32_t i = 0; i < a->n; i++)
        right += answer(a, i) == a->label[i];
    return a->n ? (double)right / a->n : NAN;
}

enum hyp_status metric_accuracy(struct metric_call *c, struct hyp_error *err)
{
    struct answers a;
    enum hyp_status st = read_answers(c, &a, err);
    if (st == HYP_OK)
        st = metric_number(c, NULL, share_right(&a), err);
    answers_fini(&a);
    return st;
}

enum hyp_status metric_confusion(struct metric_call *c, struct hyp_error *err)
{
    struct answers a;
    double *count = NULL;
    enum hyp_status st = read_answers(c, &a, err);

    if (st == HYP_OK && a.classes > 1000)
        st = hyp_fail(err, HYP_EARG, "probe `%s`: more than 1000 classes", c->probe->name);
    if (st == HYP_OK) {
        count = hyp_calloc((size_t)a.classes * a.classes + 1, sizeof *count);
        st = count ? HYP_OK
                   : hyp_fail(err, HYP_ENOMEM, "out of memory for a table of classes");
    }
    for (uint32_t i = 0; st == HYP_OK && i < a.n; i++) {
        const int32_t k = answer(&a, i);
        if (k >= 0 && (uint32_t)k < a.classes)
            count[(uint32_t)a.label[i] * a.classes + (uint32_t)k] += 1;
    }
    if (st == HYP_OK)
        st = metric_number(c, NULL, share_right(&a), err);
    if (st == HYP_OK)
        st = metric_set(c, "counts", count, a.classes * a.classes, true, err);
    hyp_free(count);
    answers_fini(&a);
    return st;
}

/* ---- divergence between counts ---- */

enum { SELDOM = 8 }; /* most cells hold a few samples: their terms are worked out once */

static struct divergence cell_of(double p, double q)
{
    const double m = (p + q) / 2;
    return (struct divergence){p * log(p / q), (p * log(p / m) + q * log(q / m)) / 2,
                               p < q ? p : q};
}

struct divergence divergence_of(const uint32_t *a, const uint32_t *b, size_t stride,
                                size_t n, double na, double nb)
{
    const double ta = na + 0.5 * (double)n, tb = nb + 0.5 * (double)n;
    struct divergence d = {0, 0, 0}, seldom[SELDOM][SELDOM];

    for (uint32_t i = 0; i < SELDOM; i++)
        for (uint32_t k = 0; k < SELDOM; k++)
            seldom[i][k] = cell_of((i + 0.5) / ta, (k + 0.5) / tb);
    for (size_t i = 0; i < n; i++) {
        const uint32_t x = a[i * stride], y = b[i * stride];
        const struct divergence one = x < SELDOM && y < SELDOM
                                          ? seldom[x][y]
                                          : cell_of((x + 0.5) / ta, (y + 0.5) / tb);
        d.kl += one.kl;
        d.js += one.js;
        d.shared += one.shared;
    }
    return d;
}

/* ---- histogram_kl ---- */

struct histogram {
    uint32_t *at[2]; /* by side and sample: its cell; members of a tuple come one by one */
    uint32_t n[2], bins, units;
    int64_t limit;
    double low, high;
};

/* Unit k is digit units - 1 - k of the cell's number. */
static void add_to_cells(void *cx, const struct side_rows *r)
{
    struct histogram *h = cx;
    for (int64_t i = 0; i < r->n && r->first + i < h->limit; i++) {
        size_t at = 0;
        for (uint32_t k = 0; k < r->width; k++) {
            const double t =
                ((double)r->v[i * r->width + k] - h->low) / (h->high - h->low) * h->bins;
            const uint32_t bin = !(t > 0) ? 0 : t >= h->bins ? h->bins - 1 : (uint32_t)t;
            at = at * h->bins + bin;
        }
        for (uint32_t k = r->unit + r->width; k < h->units; k++)
            at *= h->bins;
        h->at[r->side][r->first + i] += (uint32_t)at;
    }
    if (h->n[r->side] < (uint32_t)(r->first + r->n))
        h->n[r->side] = (uint32_t)(r->first + r->n);
}

static enum hyp_status count_cells(struct metric_call *c, struct histogram *h, size_t cells,
                                   double *kl, struct hyp_error *err)
{
    uint32_t *count = hyp_calloc(2 * cells, sizeof *count);

    if (!count)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for probe `%s`", c->probe->name);
    for (unsigned s = 0; s < 2; s++)
        for (uint32_t i = 0; i < h->n[s]; i++)
            count[s * cells + h->at[s][i]]++;
    *kl = divergence_of(count, count + cells, 1, cells, h->n[0], h->n[1]).kl;
    hyp_free(count);
    return HYP_OK;
}

static enum hyp_status fill_cells(struct metric_call *c, const struct side side[2],
                                  struct histogram *h, struct hyp_error *err)
{
    if (h->limit < 1 || h->limit > 1 << 26)
        return hyp_fail(err, HYP_EARG, "probe `%s`: from 1 to 2^26 samples",
                        c->probe->name);
    for (unsigned s = 0; s < 2; s++) {
        h->at[s] = hyp_calloc((size_t)h->limit, sizeof *h->at[s]);
        if (!h->at[s])
            return hyp_fail(err, HYP_ENOMEM, "out of memory for probe `%s`",
                            c->probe->name);
    }
    return metric_each_rows(c, side, h->limit, add_to_cells, h, err);
}

enum hyp_status metric_histogram_kl(struct metric_call *c, struct hyp_error *err)
{
    const double bins = metric_param(c->probe, "bins", 20);
    struct side side[2];
    double kl = NAN;
    enum hyp_status st = metric_sides(c, side, err);

    if (st != HYP_OK)
        return st;
    const double cells = pow(bins, side[0].units);
    if (!(bins >= 1 && cells <= 1e7))
        return hyp_fail(err, HYP_EARG,
                        "probe `%s`: %g bins for each of %u units is too many",
                        c->probe->name, bins, side[0].units);
    struct histogram h = {.bins = (uint32_t)bins,
                          .units = side[0].units,
                          .limit = (int64_t)metric_param(c->probe, "samples", 60000),
                          .low = metric_param(c->probe, "range.0", -4),
                          .high = metric_param(c->probe, "range.1", 4)};
    st = fill_cells(c, side, &h, err);
    if (st == HYP_OK)
        st = count_cells(c, &h, (size_t)cells, &kl, err);
    if (st == HYP_OK)
        st = metric_number(c, NULL, kl, err);
    hyp_free(h.at[0]);
    hyp_free(h.at[1]);
    return st;
}
