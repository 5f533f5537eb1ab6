/*
 * Probes: when they are due, values averaged, pictures drawn, metrics called.
 *
 * A probe on the cycle just run needs the program that computes its values (the twin), so
 * what will be due is worked out before each cycle.
 */
#include "runtime/probe.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/image.h"

/* ---- when ---- */

static bool in_list(const struct hyp_probe *p, int64_t epoch)
{
    for (uint32_t i = 0; i < p->nepoch; i++)
        if (p->epoch[i] == epoch)
            return true;
    return false;
}

static bool is_due(const struct hyp_probe *p, enum run_when when, int64_t epoch,
                   int64_t step)
{
    switch (when) {
    case WHEN_START:
        return p->every == HYP_EVERY_LIST && in_list(p, 0);
    case WHEN_CYCLE:
        return p->every == HYP_EVERY_CYCLES && p->period && step % p->period == 0;
    case WHEN_EPOCH:
        return (p->every == HYP_EVERY_EPOCH && (!p->period || epoch % p->period == 0)) ||
               (p->every == HYP_EVERY_LIST && in_list(p, epoch));
    case WHEN_END:
        return p->every == HYP_EVERY_END;
    case WHEN_ONCE:
        break;
    }
    return true;
}

static void want_twins(struct run *r, const struct hyp_probe *p)
{
    for (uint32_t i = 0; i < p->nvalue; i++)
        for (uint32_t k = 0; k < r->plan->nphase; k++)
            if (r->plan->phase[k].with_probes == (int32_t)p->value[i].phase)
                r->with_probes[k] = true;
}

void probes_prepare(struct run *r)
{
    const bool epoch_ends = schedule_epoch_ends(r), run_ends = schedule_run_ends(r);

    memset(r->with_probes, 0, r->plan->nphase * sizeof *r->with_probes);
    for (uint32_t i = 0; i < r->plan->nprobe; i++) {
        const struct hyp_probe *p = &r->plan->probe[i];
        if (is_due(p, WHEN_CYCLE, 0, r->now.step + 1) ||
            (epoch_ends && is_due(p, WHEN_EPOCH, r->now.epoch + 1, 0)) ||
            (run_ends && is_due(p, WHEN_END, 0, 0)))
            want_twins(r, p);
    }
}

/* ---- value ---- */

struct mean {
    const struct hyp_output *output;
    double *sum, *now;
    double weight;
    uint32_t n;
};

static enum hyp_status add_batch(void *cx, const struct exec *x, int64_t batch,
                                 int64_t first, struct hyp_error *err)
{
    struct mean *m = cx;
    (void)first;
    (void)err;
    exec_read(x, m->output->buffer, m->output->dtype, 0, m->n, m->now);
    for (uint32_t i = 0; i < m->n; i++)
        m->sum[i] += (double)batch * m->now[i];
    m->weight += (double)batch;
    return HYP_OK;
}

/* Mean over the batches by their samples; of one batch: the value itself, to the bit. */
static enum hyp_status mean_value(struct metric_call *c, const struct hyp_probe_value *v,
                                  double *out, uint32_t n, struct hyp_error *err)
{
    struct mean m = {.output = &c->run->plan->phase[v->phase].output[v->output], .n = n};
    const struct evaluation e = {v->phase, v->source, -1};
    double *now = hyp_malloc((n + (size_t)1) * sizeof *now);

    if (!now)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for probe `%s`", c->probe->name);
    m.now = now;
    m.sum = out;
    memset(out, 0, n * sizeof *out);
    const enum hyp_status st = run_evaluate(c->run, &e, add_batch, &m, err);
    for (uint32_t i = 0; i < n; i++) /* of a phase that was left out: not a number */
        out[i] = v->source < 0 && m.weight > 0 ? now[i] : out[i] / m.weight;
    hyp_free(now);
    return st;
}

static bool is_value(const struct hyp_probe_value *v)
{
    return strncmp(v->name, "value", 5) == 0;
}

static enum hyp_status probe_value(struct metric_call *c, struct hyp_error *err)
{
    enum { MOST = 4096 };
    uint32_t n = 0, nvalue = 0, rank = 0;
    enum hyp_status st = HYP_OK;
    double *all = hyp_calloc(MOST, sizeof *all);

    if (!all)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for probe `%s`", c->probe->name);
    for (uint32_t i = 0; st == HYP_OK && i < c->probe->nvalue; i++) {
        const struct hyp_probe_value *v = &c->probe->value[i];
        const struct hyp_output *o = &c->run->plan->phase[v->phase].output[v->output];
        const uint32_t w = output_width(o);
        if (!is_value(v))
            continue;
        if (o->sample || n + w > MOST)
            st = hyp_fail(err, HYP_EARG,
                          "probe `%s` is not one number for the batch, or too long a list",
                          c->probe->name);
        else
            st = mean_value(c, v, all + n, w, err);
        rank = o->rank;
        n += w;
        nvalue++;
    }
    if (st == HYP_OK && n)
        st = metric_set(c, NULL, all, n, nvalue > 1 || rank > 0, err);
    hyp_free(all);
    return st;
}

/* ---- image ---- */

static void image_shape(const struct hyp_probe *p, const struct hyp_output *o,
                        uint32_t shape[3])
{
    uint32_t n = 0;
    for (; n < 3; n++) {
        char name[16];
        snprintf(name, sizeof name, "shape.%u", n);
        const double d = metric_param(p, name, 0);
        if (!(d >= 1))
            break;
        shape[n] = (uint32_t)d;
    }
    const uint32_t first = o->sample ? 1 : 0;
    for (uint32_t i = first; n == 0 && i < o->rank && i - first < 3 && o->rank - first >= 2;
         i++)
        shape[i - first] = (uint32_t)o->dim[i].c;
    if (n == 0)
        n = o->rank - first >= 2 && o->rank - first <= 3 ? o->rank - first : 0;
    if (n == 0) { /* a vector: one line */
        shape[0] = shape[1] = 1;
        shape[2] = output_width(o);
    } else if (n == 2) {
        shape[2] = shape[1];
        shape[1] = shape[0];
        shape[0] = 1;
    }
}

void probe_file(const struct metric_call *c, const char *folder, const char *ending,
                char *name, size_t n)
{
    const bool cycles = c->probe->every == HYP_EVERY_CYCLES;
    snprintf(name, n, "%s/%.150s-%s%0*lld.%s", folder, c->probe->name,
             cycles ? "cycle" : "epoch", cycles ? 8 : 4,
             (long long)(cycles ? c->run->now.step : c->run->now.epoch), ending);
}

static enum hyp_status write_sheet(struct metric_call *c, const struct image_sheet *s,
                                   struct hyp_error *err)
{
    char name[200], path[RUNFOLDER_PATH];

    probe_file(c, "images", "png", name, sizeof name);
    runfolder_name(c->run->folder, name, path);
    return image_sheet_write(path, s, err);
}

/* beside, image, beside, image ... */
static enum hyp_status draw_pairs(struct metric_call *c, const struct rows rows[2],
                                  unsigned kinds, const uint32_t shape[3],
                                  struct hyp_error *err)
{
    const size_t size = (size_t)shape[0] * shape[1] * shape[2];
    const uint32_t n = (uint32_t)((size_t)rows[0].n * rows[0].width / size);
    float *all = hyp_malloc((n * size * kinds + 1) * sizeof *all);

    if (!all)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for probe `%s`", c->probe->name);
    for (uint32_t i = 0; i < n; i++)
        for (unsigned k = 0; k < kinds; k++)
            memcpy(all + ((size_t)i * kinds + k) * size, rows[kinds - 1 - k].v + i * size,
                   size * sizeof *all);
    const struct image_sheet s = {.values = all,
                                  .n = n * kinds,
                                  .channels = shape[0],
                                  .height = shape[1],
                                  .width = shape[2],
                                  .columns = (uint32_t)metric_param(c->probe, "grid.1", 0),
                                  .low = (float)c->probe->image_lo,
                                  .high = (float)c->probe->image_hi};
    const enum hyp_status st = write_sheet(c, &s, err);
    hyp_free(all);
    return st;
}

static enum hyp_status probe_image(struct metric_call *c, struct hyp_error *err)
{
    static const char *const name[] = {"image", "beside"};
    const unsigned kinds = metric_value(c, "beside") ? 2 : 1;
    const double cells =
        metric_param(c->probe, "grid.0", 8) * metric_param(c->probe, "grid.1", 8);
    const struct hyp_probe_value *v = metric_value(c, "image");
    struct rows rows[2] = {{0}};
    uint32_t shape[3] = {1, 1, 1};

    if (!c->pictures)
        return HYP_OK;
    if (!v)
        return hyp_fail(err, HYP_EARG, "probe `%s` lacks its image", c->probe->name);
    const struct hyp_output *o = &c->run->plan->phase[v->phase].output[v->output];
    image_shape(c->probe, o, shape);
    enum hyp_status st = metric_rows(c, name, kinds, (int64_t)(cells / kinds), rows, err);
    if (st != HYP_OK)
        return st;
    const size_t size = (size_t)shape[0] * shape[1] * shape[2];
    if ((size_t)rows[0].n * rows[0].width < size ||
        (kinds == 2 &&
         (size_t)rows[1].n * rows[1].width != (size_t)rows[0].n * rows[0].width))
        st = hyp_fail(err, HYP_EARG, "probe `%s`: the image has not the given shape",
                      c->probe->name);
    else
        st = draw_pairs(c, rows, kinds, shape, err);
    rows_fini(&rows[0]);
    rows_fini(&rows[1]);
    return st;
}

/* ---- all ---- */

enum hyp_status probes_open(struct run *r, struct hyp_error *err)
{
    r->probe = hyp_calloc(r->plan->nprobe + 1U, sizeof *r->probe);
    if (!r->probe)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for probes");
    for (uint32_t i = 0; i < r->plan->nprobe; i++) {
        const struct hyp_probe *p = &r->plan->probe[i];
        if (p->kind == HYP_PROBE_METRIC && !metric_find(p->metric))
            return hyp_fail(err, HYP_EUNSUPPORTED, "metric `%s` is not built yet",
                            p->metric ? p->metric : "");
    }
    return HYP_OK;
}

void probes_close(struct run *r)
{
    for (uint32_t i = 0; r->probe && i < r->plan->nprobe; i++)
        nested_free(r->probe[i].nested);
    hyp_free(r->probe);
    r->probe = NULL;
}

bool probe_is_called(const struct hyp_probe *p, const char *name)
{
    return strcmp(p->runs ? p->base : p->name, name) == 0;
}

/* What conditions of the schedule and learning rates read as `probe/NAME`. */
static void publish(struct metric_call *c)
{
    const struct run *r = c->run;
    for (uint32_t i = 0; i < r->plan->ncounter && c->nlogged; i++) {
        const char *name = r->plan->counter[i].name;
        if (strncmp(name, "probe/", 6) == 0 && probe_is_called(c->probe, name + 6))
            r->x->counter[i] = r->values.value[c->logged[0]].v[0];
    }
}

static enum hyp_status log_call(const struct metric_call *c, struct hyp_error *err)
{
    struct run *r = c->run;
    const struct hyp_value *v[32];

    for (uint32_t i = 0; i < c->nlogged; i++)
        v[i] = &r->values.value[c->logged[i]];
    return r->folder && c->nlogged
               ? runfolder_log(r->folder, r->now.step, r->now.epoch, v, c->nlogged, err)
               : HYP_OK;
}

static bool reads_copy(const struct run *r, const struct hyp_probe *p)
{
    if (p->kind == HYP_PROBE_METRIC || !r->cycle_ran)
        return true;
    for (uint32_t i = 0; i < p->nvalue; i++)
        if (p->value[i].source >= 0 || !r->ran[p->value[i].phase])
            return true;
    return false;
}

/* The cycle just run left out (`when`) all that the probe reads: there is nothing to tell.
 */
static bool left_out(const struct run *r, const struct hyp_probe *p)
{
    for (uint32_t i = 0; i < p->nvalue; i++)
        if (p->value[i].source >= 0 || !run_left_out(r, p->value[i].phase))
            return false;
    return p->nvalue > 0;
}

/* The area under a curve of one number a repetition, by trapezoids. */
static enum hyp_status set_area(struct metric_call *c, struct hyp_error *err)
{
    const struct hyp_probe *p = c->probe;
    const struct hyp_value *v = &c->run->values.value[c->logged[0]];
    char name[256];
    double area = 0;

    if (!p->over || v->n != p->runs || p->runs < 2)
        return HYP_OK;
    for (uint32_t i = 1; i < p->runs; i++)
        area += (p->at[i] - p->at[i - 1]) * (v->v[i] + v->v[i - 1]) / 2;
    snprintf(name, sizeof name, "%.180s.area", p->base);
    const uint32_t i = values_find(&c->run->values, name);
    c->logged[c->nlogged++] = i;
    return values_set(&c->run->values, i, &area, 1, false, err);
}

static enum hyp_status run_probe(struct run *r, uint32_t index, struct hyp_error *err)
{
    const struct hyp_probe *p = &r->plan->probe[index];
    struct metric_call c = {
        .run = r, .probe = p, .own = &r->probe[index], .pictures = r->folder != NULL};
    enum hyp_status st = HYP_OK;

    if (left_out(r, p))
        return HYP_OK;
    if (reads_copy(r, p)) {
        st = run_evaluation(r, err);
        if (st == HYP_OK && p->nset)
            run_apply_settings(r, r->y, p->set, p->nset);
        else if (st == HYP_OK)
            exec_host(r->y);
    }
    if (st != HYP_OK)
        return st;
    if (p->kind == HYP_PROBE_VALUE)
        st = probe_value(&c, err);
    else if (p->kind == HYP_PROBE_IMAGE)
        st = probe_image(&c, err);
    else
        st = metric_find(p->metric)->fn(&c, err);
    if (st != HYP_OK)
        return st;
    if (p->runs && p->run + 1 < p->runs)
        return HYP_OK; /* the last repetition tells of all */
    if (p->runs && c.nlogged)
        st = set_area(&c, err);
    publish(&c);
    return st == HYP_OK ? log_call(&c, err) : st;
}

enum hyp_status probes_run(struct run *r, enum run_when when, struct hyp_error *err)
{
    enum hyp_status st = HYP_OK;
    for (uint32_t i = 0; st == HYP_OK && i < r->plan->nprobe; i++)
        if (is_due(&r->plan->probe[i], when, r->now.epoch, r->now.step))
            st = run_probe(r, i, err);
    return st;
}

enum hyp_status probes_run_named(struct run *r, const char *const *name, unsigned n,
                                 struct hyp_error *err)
{
    enum hyp_status st = HYP_OK;
    for (uint32_t i = 0; st == HYP_OK && i < r->plan->nprobe; i++) {
        bool wanted = n == 0;
        for (unsigned k = 0; k < n; k++)
            wanted = wanted || probe_is_called(&r->plan->probe[i], name[k]);
        if (wanted)
            st = run_probe(r, i, err);
    }
    return st;
}

/* ---- plateau ---- */

/* An epoch that is no better than the best counts; more of them than `patience` in a row
 * multiply the rate by `factor`. */
static void plateau_step(struct run *r, uint32_t index, double v)
{
    const struct hyp_plateau *p = &r->plan->plateau[index];
    struct run_plateau *s = &r->now.plateau[index];
    double *rate = &r->x->counter[p->counter];

    if (p->goal_max ? v > s->best : v < s->best) {
        s->best = v;
        s->wait = 0;
        return;
    }
    s->wait += 1;
    if (s->wait > r->x->host[p->patience_slot]) {
        *rate *= r->x->host[p->factor_slot];
        s->wait = 0;
    }
}

void probes_plateau(struct run *r)
{
    for (uint32_t i = 0; i < r->plan->nplateau; i++) {
        const struct hyp_plateau *p = &r->plan->plateau[i];
        if (p->probe < 0)
            continue;
        const struct hyp_probe *probe = &r->plan->probe[p->probe];
        if (!is_due(probe, WHEN_EPOCH, r->now.epoch, r->now.step) &&
            !is_due(probe, WHEN_CYCLE, r->now.epoch, r->now.step))
            continue;
        const uint32_t v = values_find(&r->values, probe->name);
        if (v != UINT32_MAX && r->values.value[v].known)
            plateau_step(r, i, r->values.value[v].v[0]);
    }
}
