/*
 * latent_geometry and pca: where the classes lie in a layer, and where their samples go
 * when something is done to them.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/philox.h"
#include "runtime/gauss.h"
#include "runtime/plot.h"
#include "runtime/probe.h"

/* Samples of the first classes, class by class, in their own order within one. */
struct latents {
    struct metric_call *call;
    struct rows of, against; /* against.n 0: none */
    uint32_t classes, n;
    uint32_t *sample; /* [n] */
    uint32_t *bound;  /* [classes + 1]: where each begins */
};

static enum hyp_status no_memory(const struct metric_call *c, struct hyp_error *err)
{
    return hyp_fail(err, HYP_ENOMEM, "out of memory for probe `%s`", c->probe->name);
}

static bool sort_samples(struct latents *l, const int32_t *label)
{
    uint32_t at = 0;

    l->sample = hyp_malloc((l->of.n + (size_t)1) * sizeof *l->sample);
    l->bound = hyp_calloc(l->classes + (size_t)1, sizeof *l->bound);
    if (!l->sample || !l->bound)
        return false;
    for (uint32_t i = 0; i < l->of.n; i++)
        if ((uint32_t)label[i] < l->classes)
            l->bound[label[i]]++;
    for (uint32_t k = 0; k <= l->classes; k++) {
        const uint32_t n = l->bound[k];
        l->bound[k] = at;
        at += n;
    }
    l->n = at;
    for (uint32_t i = 0; i < l->of.n; i++)
        if ((uint32_t)label[i] < l->classes)
            l->sample[l->bound[label[i]]++] = i;
    for (uint32_t k = l->classes; k > 0; k--) /* filling has moved them one on */
        l->bound[k] = l->bound[k - 1];
    l->bound[0] = 0;
    return true;
}

static void latents_fini(struct latents *l)
{
    rows_fini(&l->of);
    rows_fini(&l->against);
    hyp_free(l->sample);
    hyp_free(l->bound);
}

static enum hyp_status read_latents(struct latents *l, double classes,
                                    struct hyp_error *err)
{
    static const char *const name[] = {"of", "labels", "against"};
    const unsigned n = metric_value(l->call, "against") ? 3 : 2;
    struct rows rows[3] = {{0}};
    int32_t *label = NULL;

    enum hyp_status st = metric_rows(l->call, name, n, -1, rows, err);
    if (st == HYP_OK)
        st = rows_to_labels(l->call, &rows[1], &label, &l->classes, err);
    rows_fini(&rows[1]);
    l->of = rows[0];
    l->against = rows[2];
    l->classes =
        (uint32_t)fmin(l->classes, metric_param(l->call->probe, "classes", classes));
    if (st == HYP_OK && l->against.v && l->against.n != l->of.n)
        st = hyp_fail(err, HYP_EARG, "probe `%s`: %u samples of `of`, %u of `against`",
                      l->call->probe->name, l->of.n, l->against.n);
    if (st == HYP_OK && !sort_samples(l, label))
        st = no_memory(l->call, err);
    hyp_free(label);
    return st;
}

static const float *row_of(const struct rows *r, uint32_t i)
{
    return r->v + (size_t)i * r->width;
}

/* ---- latent_geometry ---- */

struct means {
    double distance, squared, n;
};

static void add_pair(struct means *m, const float *a, const float *b, uint32_t width)
{
    double s = 0;
    for (uint32_t i = 0; i < width; i++) {
        const double d = (double)a[i] - (double)b[i];
        s += d * d;
    }
    m->distance += sqrt(s);
    m->squared += s;
    m->n++;
}

static void add_mean(struct means *to, const struct means *m)
{
    to->distance += m->distance / m->n;
    to->squared += m->squared / m->n;
    to->n++;
}

enum draws { WITHIN, BETWEEN, MOVED };

static struct words words_of(const struct latents *l, enum draws what, uint32_t unit)
{
    char site[256];
    snprintf(site, sizeof site, "probe/%.200s/pairs", l->call->probe->name);
    return (struct words){
        .seed = l->call->run->x->seed, .site = hyp_site(site), .draw = what, .unit = unit};
}

/* Two different samples of one class, as often for each; the mean of the classes' means. */
static struct means within(const struct latents *l, uint32_t pairs)
{
    struct means all = {0, 0, 0};

    for (uint32_t k = 0; k < l->classes; k++) {
        const uint32_t *of = l->sample + l->bound[k], n = l->bound[k + 1] - l->bound[k];
        struct words w = words_of(l, WITHIN, k);
        struct means m = {0, 0, 0};
        for (uint32_t e = 0; n > 1 && e < pairs; e++) {
            const uint32_t a = hyp_mulhi(metric_word(&w, 2 * e), n);
            uint32_t b = hyp_mulhi(metric_word(&w, 2 * e + 1), n - 1);
            b += b >= a;
            add_pair(&m, row_of(&l->of, of[a]), row_of(&l->of, of[b]), l->of.width);
        }
        if (m.n > 0)
            add_mean(&all, &m);
    }
    return all;
}

/* Two samples of different classes. */
static struct means between(const struct latents *l, uint32_t pairs)
{
    struct words w = words_of(l, BETWEEN, 0);
    struct means m = {0, 0, 0};

    for (uint32_t e = 0; e < pairs; e++) {
        const uint32_t a = hyp_mulhi(metric_word(&w, 2 * e), l->n);
        uint32_t k = 0;
        while (l->bound[k + 1] <= a)
            k++;
        const uint32_t own = l->bound[k + 1] - l->bound[k];
        if (own == l->n)
            break; /* there is one class only */
        uint32_t b = hyp_mulhi(metric_word(&w, 2 * e + 1), l->n - own);
        b += b >= l->bound[k] ? own : 0;
        add_pair(&m, row_of(&l->of, l->sample[a]), row_of(&l->of, l->sample[b]),
                 l->of.width);
    }
    return m;
}

/* A sample and what has become of it: each once, in random order. */
static struct means moved(const struct latents *l, uint32_t pairs)
{
    struct words w = words_of(l, MOVED, 0);
    struct means m = {0, 0, 0};

    for (uint32_t e = 0; e < pairs && e < l->n; e++) {
        const uint32_t k = e + hyp_mulhi(metric_word(&w, e), l->n - e);
        const uint32_t i = l->sample[k];
        l->sample[k] = l->sample[e];
        l->sample[e] = i;
        add_pair(&m, row_of(&l->of, i), row_of(&l->against, i), l->of.width);
    }
    return m;
}

/* NAME.PART and NAME.PART_squared: by the mean of distances, and of their squares. */
static enum hyp_status set_ratios(struct metric_call *c, const char *part,
                                  const char *squared, const struct means *m,
                                  const struct means *by, struct hyp_error *err)
{
    const enum hyp_status st =
        metric_number(c, part, (m->distance / m->n) / (by->distance / by->n), err);
    return st == HYP_OK
               ? metric_number(c, squared, (m->squared / m->n) / (by->squared / by->n), err)
               : st;
}

enum hyp_status metric_latent_geometry(struct metric_call *c, struct hyp_error *err)
{
    const double pairs = metric_param(c->probe, "samples", 10000);
    struct latents l = {.call = c};
    enum hyp_status st = read_latents(&l, 1 << 20, err);

    if (st == HYP_OK && pairs > 1 << 26)
        st = hyp_fail(err, HYP_EARG, "probe `%s`: from 1 to 2^26 samples", c->probe->name);
    if (st == HYP_OK && l.classes) {
        const uint32_t n = (uint32_t)pairs;
        const struct means in = within(&l, n < l.classes ? 1 : n / l.classes);
        const struct means out = between(&l, n);
        st = set_ratios(c, NULL, "squared", &in, &out, err);
        if (st == HYP_OK && l.against.v) {
            const struct means m = moved(&l, n);
            st = set_ratios(c, "against", "against_squared", &m, &out, err);
        }
    }
    latents_fini(&l);
    return st;
}

/* ---- pca ---- */

enum { MOST_CLASSES = 8, MOST_POINTS = 2000 };

/* The points of the figure: of every class the first samples, then where they have gone. */
struct points {
    const float **row;
    uint32_t n, width;                /* all points */
    uint32_t count[2 * MOST_CLASSES]; /* by series */
    double *x, *y, share[2];
};

static void take_points(const struct latents *l, uint32_t most, struct points *p)
{
    const struct rows *kind[] = {&l->of, &l->against};

    for (unsigned s = 0; s < (l->against.v ? 2U : 1U); s++)
        for (uint32_t k = 0; k < l->classes; k++) {
            const uint32_t n = l->bound[k + 1] - l->bound[k];
            p->count[s * MOST_CLASSES + k] = n < most ? n : most;
            for (uint32_t i = 0; i < n && i < most; i++)
                p->row[p->n++] = row_of(kind[s], l->sample[l->bound[k] + i]);
        }
    p->width = l->of.width;
}

/* Products of the points about their mean, [n x n]: its eigenvectors are the points' places
 * on the principal axes, however many dimensions there are. */
static bool products(const struct points *p, double *gram)
{
    double *v = hyp_malloc(((size_t)p->n * p->width + 1) * sizeof *v);

    if (!v)
        return false;
    for (uint32_t k = 0; k < p->width; k++) {
        double mean = 0;
        for (uint32_t i = 0; i < p->n; i++)
            mean += (double)p->row[i][k] / p->n;
        for (uint32_t i = 0; i < p->n; i++)
            v[(size_t)i * p->width + k] = (double)p->row[i][k] - mean;
    }
    for (uint32_t i = 0; i < p->n; i++)
        for (uint32_t j = 0; j <= i; j++) {
            const double *a = v + (size_t)i * p->width, *b = v + (size_t)j * p->width;
            double s = 0;
            for (uint32_t k = 0; k < p->width; k++)
                s += a[k] * b[k];
            gram[(size_t)i * p->n + j] = gram[(size_t)j * p->n + i] = s;
        }
    hyp_free(v);
    return true;
}

/* Places on one axis, the one farthest from 0 being positive. */
static void places(const double *vector, double value, uint32_t n, double *out)
{
    double far = 0;
    for (uint32_t i = 0; i < n; i++) {
        out[i] = value > 0 ? vector[i] / sqrt(value) : 0;
        far = fabs(out[i]) > fabs(far) ? out[i] : far;
    }
    for (uint32_t i = 0; far < 0 && i < n; i++)
        out[i] = -out[i];
}

static bool principal_axes(struct points *p)
{
    double *gram = hyp_malloc(((size_t)p->n * p->n + p->n + 1) * sizeof *gram);
    bool ok = gram && products(p, gram);
    double *value = gram + (size_t)p->n * p->n, total = 0;

    for (uint32_t i = 0; ok && i < p->n; i++)
        total += gram[(size_t)i * p->n + i];
    for (unsigned k = 0; k < 2; k++)
        p->share[k] = NAN;
    if (ok && p->n > 2 && total > 0 && isfinite(total)) {
        orthogonal_rows(gram, p->n, p->n, value);
        places(gram, value[0], p->n, p->x);
        places(gram + p->n, value[1], p->n, p->y);
        for (unsigned k = 0; k < 2; k++)
            p->share[k] = value[k] / total;
    }
    hyp_free(gram);
    return ok;
}

/* What the source calls class k, if the class's first samples have that label there: the
 * probe's labels may be other numbers. */
static const char *class_name(const struct latents *l, uint32_t k)
{
    const struct hyp_probe_value *v = metric_value(l->call, "of");
    const struct run_source *s =
        v && v->source >= 0 ? &l->call->run->source[v->source] : NULL;
    const int at = s && s->file_order ? data_field_find(data_fields(s->src), "label") : -1;
    const char *name =
        at >= 0 && k < data_classes(s->src) ? data_class_name(s->src, k) : NULL;
    for (uint32_t i = l->bound[k]; name && i < l->bound[k + 1] && i < l->bound[k] + 50;
         i++) {
        int32_t label = -1;
        if (l->sample[i] < s->n)
            data_batch_file(s->src, (unsigned)at, l->sample[i], 1, &label);
        name = label == (int32_t)k ? name : NULL;
    }
    return name;
}

static enum hyp_status draw_points(const struct latents *l, const struct points *p,
                                   struct hyp_error *err)
{
    struct plot_series series[2 * MOST_CLASSES];
    char name[MOST_CLASSES][24], label[2][48], title[220];
    unsigned n = 0;
    uint32_t at = 0;

    for (unsigned s = 0; s < 2 * MOST_CLASSES; s++) {
        const unsigned k = s % MOST_CLASSES;
        const bool open = s >= MOST_CLASSES;
        if (!p->count[s])
            continue;
        if (!open && class_name(l, k))
            snprintf(name[k], sizeof name[k], "%.20s", class_name(l, k));
        else if (!open)
            snprintf(name[k], sizeof name[k], "class %u", k);
        series[n++] = (struct plot_series){.name = !open            ? name[k]
                                                   : at == p->n / 2 ? "against"
                                                                    : NULL,
                                           .x = p->x + at,
                                           .y = p->y + at,
                                           .n = p->count[s],
                                           .open = open,
                                           .colour = k + 1};
        at += p->count[s];
    }
    for (unsigned k = 0; k < 2; k++)
        snprintf(label[k], sizeof label[k], "PC%u (%.1f %% of the variance)", k + 1,
                 100 * p->share[k]);
    snprintf(title, sizeof title, "%.150s, epoch %lld", l->call->probe->name,
             (long long)l->call->run->now.epoch);
    const struct plot plot = {.kind = PLOT_SCATTER,
                              .title = title,
                              .x_label = label[0],
                              .y_label = label[1],
                              .nseries = n,
                              .series = series};
    return metric_figure(l->call, &plot, err);
}

static enum hyp_status show_points(const struct latents *l, uint32_t samples,
                                   struct points *p, struct hyp_error *err)
{
    const size_t most = (size_t)l->classes * samples * 2 + 1;

    p->row = hyp_malloc(most * sizeof *p->row);
    p->x = hyp_calloc(most, sizeof *p->x);
    p->y = hyp_calloc(most, sizeof *p->y);
    if (!p->row || !p->x || !p->y)
        return no_memory(l->call, err);
    take_points(l, samples, p);
    if (!principal_axes(p))
        return no_memory(l->call, err);
    enum hyp_status st = draw_points(l, p, err);
    if (st == HYP_OK)
        st = metric_number(l->call, NULL, p->share[0] + p->share[1], err);
    return st == HYP_OK ? metric_set(l->call, "axes", p->share, 2, true, err) : st;
}

enum hyp_status metric_pca(struct metric_call *c, struct hyp_error *err)
{
    const double samples = metric_param(c->probe, "samples", 50);
    struct latents l = {.call = c};
    struct points p = {.n = 0};
    enum hyp_status st = read_latents(&l, 4, err);

    if (st == HYP_OK && (l.classes > MOST_CLASSES || l.classes * samples > MOST_POINTS / 2))
        st =
            hyp_fail(err, HYP_EARG, "probe `%s`: at most %d classes, and %d samples in all",
                     c->probe->name, MOST_CLASSES, MOST_POINTS / 2);
    if (st == HYP_OK)
        st = show_points(&l, (uint32_t)samples, &p, err);
    hyp_free(p.row);
    hyp_free(p.x);
    hyp_free(p.y);
    latents_fini(&l);
    return st;
}
