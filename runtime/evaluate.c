/*
 * Running phases to look at them: on the cycle just run, on a source, or on fresh draws.
 *
 * Everything but the cycle just run happens in r->y, whose state is a copy: watching never
 * changes a run.
 */
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/probe.h"

static bool is_scheduled(const struct run *r, uint32_t phase)
{
    return r->plan->phase[phase].draw != UINT32_MAX;
}

bool run_left_out(const struct run *r, uint32_t phase)
{
    uint32_t whole = phase;
    for (uint32_t i = 0; i < r->plan->nphase; i++)
        if (r->plan->phase[i].with_probes == (int32_t)phase)
            whole = i;
    return r->cycle_ran && is_scheduled(r, phase) && !r->ran[whole] && !r->ran[phase];
}

/* Do the outputs of this program lie in x from the cycle just run? */
static bool just_ran(const struct run *r, uint32_t phase)
{
    return r->cycle_ran && r->ran[phase];
}

/* No cycle has run: the phase once, on the first samples, in the copy. */
static enum hyp_status run_first(struct run *r, uint32_t phase, evaluate_fn *fn, void *cx,
                                 struct hyp_error *err)
{
    const struct hyp_phase *ph = &r->plan->phase[phase];
    int64_t b = run_setting_batch(r, r->y);

    if (ph->ninput) {
        const uint32_t s = ph->input[0].source;
        b = r->source[s].batch_max < r->source[s].n ? r->source[s].batch_max
                                                    : r->source[s].n;
        gather_phase(r, r->y, phase, 0, (uint32_t)b);
    }
    memset(r->y->draw, 0, r->plan->ndraw * sizeof *r->y->draw);
    const enum hyp_status st = exec_phase(r->y, phase, b, err);
    return st == HYP_OK ? fn(cx, r->y, b, 0, err) : st;
}

static enum hyp_status run_batches(struct run *r, const struct evaluation *e, int64_t n,
                                   int64_t batch, evaluate_fn *fn, void *cx,
                                   struct hyp_error *err)
{
    enum hyp_status st = HYP_OK;

    r->y->eval_draw = 0;
    for (int64_t at = 0; st == HYP_OK && at < n; at += batch) {
        if (run_stopping(r))
            return hyp_fail(err, HYP_ESTOPPED, "stopped by signal %d in a probe",
                            stop_signal());
        const int64_t b = n - at < batch ? n - at : batch;
        gather_phase(r, r->y, e->phase, (uint32_t)at, (uint32_t)b);
        st = exec_phase(r->y, e->phase, b, err);
        if (st == HYP_OK)
            st = fn(cx, r->y, b, at, err);
    }
    return st;
}

uint32_t run_seen(const struct run *r, uint32_t source)
{
    const struct run_source *s = &r->source[source];
    const struct hyp_source *p = &r->plan->source[source];
    const bool drop = p->drop_last && !p->scheduled && s->n >= s->batch_max;
    return drop ? s->n - s->n % s->batch_max : s->n;
}

enum hyp_status run_evaluate(struct run *r, const struct evaluation *e, evaluate_fn *fn,
                             void *cx, struct hyp_error *err)
{
    const struct hyp_phase *ph = &r->plan->phase[e->phase];
    int64_t n, batch = r->plan->batch_max;
    int32_t source = e->source;

    if (source < 0 && is_scheduled(r, e->phase)) {
        if (just_ran(r, e->phase))
            return fn(cx, r->x, r->batch, 0, err);
        if (run_left_out(r, e->phase))
            return HYP_OK;
        return run_first(r, e->phase, fn, cx, err);
    }
    if (source < 0 && ph->ninput)
        source = (int32_t)ph->input[0].source;
    if (source >= 0) {
        n = run_seen(r, (uint32_t)source);
        n = e->limit >= 0 && e->limit < n ? e->limit : n;
        batch = r->source[source].batch_max;
    } else {
        batch = e->limit >= 0 ? batch : run_setting_batch(r, r->y);
        n = e->limit >= 0 ? e->limit : batch;
    }
    return run_batches(r, e, n, batch, fn, cx, err);
}

/* ---- rows ---- */

uint32_t output_width(const struct hyp_output *o)
{
    int64_t n = 1;
    for (uint32_t i = o->sample ? 1 : 0; i < o->rank; i++)
        n *= o->dim[i].c;
    return (uint32_t)n;
}

void rows_fini(struct rows *w)
{
    hyp_free(w->v);
    *w = (struct rows){0};
}

struct take {
    struct metric_call *call;
    const struct hyp_output *output;
    struct rows *to;
    int64_t limit;
};

static void read_floats(const struct exec *x, const struct hyp_output *o, size_t n,
                        float *out)
{
    if (o->dtype == HYP_F32 && !x->plan->f64) {
        memcpy(out, exec_address(x, o->buffer), n * sizeof *out);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        double v;
        exec_read(x, o->buffer, o->dtype, (int64_t)i, 1, &v);
        out[i] = (float)v;
    }
}

bool rows_read(struct rows *w, const struct exec *x, const struct hyp_output *o)
{
    w->v = hyp_malloc(((size_t)w->n * w->width + 1) * sizeof *w->v);
    if (w->v)
        read_floats(x, o, (size_t)w->n * w->width, w->v);
    return w->v != NULL;
}

static bool make_room(struct rows *w, uint64_t need, int64_t limit)
{
    if (need <= w->cap)
        return true;
    uint64_t cap = limit > 0 && w->cap == 0 ? (uint64_t)limit : need + need / 2;
    cap = cap < need ? need : cap;
    float *v = cap < UINT32_MAX ? hyp_realloc(w->v, cap * w->width * sizeof *v) : NULL;
    if (!v)
        return false;
    w->v = v;
    w->cap = (uint32_t)cap;
    return true;
}

static enum hyp_status take_rows(void *cx, const struct exec *x, int64_t batch,
                                 int64_t first, struct hyp_error *err)
{
    const struct take *t = cx;
    const struct hyp_output *o = t->output;
    struct rows *w = t->to;
    const int64_t per = o->sample ? (int64_t)o->dim[0].c + o->dim[0].b * batch : 1;
    int64_t n = per;

    (void)first;
    if (t->limit >= 0 && w->n + n > t->limit)
        n = t->limit - w->n;
    if (n <= 0)
        return HYP_OK;
    if (!make_room(w, w->n + (uint64_t)n, t->limit))
        return hyp_fail(err, HYP_ENOMEM, "out of memory for the samples of probe `%s`",
                        t->call->probe->name);
    read_floats(x, o, (size_t)n * w->width, w->v + (size_t)w->n * w->width);
    w->n += (uint32_t)n;
    return HYP_OK;
}

static const struct hyp_output *output_of(const struct metric_call *c,
                                          const struct hyp_probe_value *v)
{
    return &c->run->plan->phase[v->phase].output[v->output];
}

/* Values of one phase and source are taken in one run of it. */
struct take_many {
    struct take take[ROWS_AT_ONCE];
    unsigned n;
};

static enum hyp_status take_all(void *cx, const struct exec *x, int64_t batch,
                                int64_t first, struct hyp_error *err)
{
    struct take_many *t = cx;
    enum hyp_status st = HYP_OK;
    for (unsigned i = 0; st == HYP_OK && i < t->n; i++)
        st = take_rows(&t->take[i], x, batch, first, err);
    return st;
}

static enum hyp_status collect_phase(struct metric_call *c,
                                     const struct hyp_probe_value *const *v, unsigned n,
                                     unsigned at, int64_t limit, struct rows *out,
                                     struct hyp_error *err)
{
    struct take_many t = {.n = 0};
    const struct evaluation e = {v[at]->phase, v[at]->source, limit};

    for (unsigned i = at; i < n; i++) {
        if (v[i]->phase != e.phase || v[i]->source != e.source)
            continue;
        const struct hyp_output *o = output_of(c, v[i]);
        out[i].width = output_width(o);
        t.take[t.n++] = (struct take){c, o, &out[i], limit};
    }
    return run_evaluate(c->run, &e, take_all, &t, err);
}

enum hyp_status metric_rows(struct metric_call *c, const char *const *name, unsigned n,
                            int64_t limit, struct rows *out, struct hyp_error *err)
{
    const struct hyp_probe_value *v[ROWS_AT_ONCE];
    enum hyp_status st = HYP_OK;

    memset(out, 0, n * sizeof *out);
    for (unsigned i = 0; i < n; i++) {
        v[i] = metric_value(c, name[i]);
        if (!v[i])
            return hyp_fail(err, HYP_EARG, "probe `%s` lacks `%s`", c->probe->name,
                            name[i]);
    }
    for (unsigned i = 0; st == HYP_OK && i < n; i++)
        if (out[i].width == 0)
            st = collect_phase(c, v, n, i, limit, out, err);
    for (unsigned i = 0; st != HYP_OK && i < n; i++)
        rows_fini(&out[i]);
    return st;
}

enum hyp_status rows_to_labels(const struct metric_call *c, const struct rows *w,
                               int32_t **label, uint32_t *classes, struct hyp_error *err)
{
    *label = hyp_malloc((w->n + (size_t)1) * sizeof **label);
    if (!*label)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for labels");
    for (uint32_t i = 0; i < w->n; i++) {
        const int32_t k = row_class(w->v + (size_t)i * w->width, w->width);
        if (k < 0 || k >= 1 << 20)
            return hyp_fail(err, HYP_EARG, "probe `%s`: label %d is no class",
                            c->probe->name, k);
        if ((uint32_t)k >= *classes)
            *classes = (uint32_t)k + 1;
        (*label)[i] = k;
    }
    return HYP_OK;
}

int32_t row_class(const float *row, uint32_t width)
{
    uint32_t best = 0;
    if (width == 1)
        return (int32_t)row[0];
    for (uint32_t i = 1; i < width; i++)
        if (row[i] > row[best])
            best = i;
    return (int32_t)best;
}

/* ---- sides ---- */

/* "of.wake.0" -> the length of "wake"; "of" alone and "of.0": a side of one member */
static size_t side_name(const char *name, const char **at)
{
    if (strncmp(name, "of.", 3) != 0)
        return 0;
    *at = name + 3;
    return strcspn(*at, ".");
}

static bool add_member(const struct metric_call *c, struct side *s,
                       const struct hyp_probe_value *v)
{
    if (s->n == SIDE_MEMBERS)
        return false;
    s->member[s->n] = v;
    s->width[s->n] = output_width(output_of(c, v));
    s->units += s->width[s->n++];
    return true;
}

enum hyp_status metric_sides(struct metric_call *c, struct side side[2],
                             struct hyp_error *err)
{
    const char *name[2] = {NULL, NULL};
    size_t length[2] = {0, 0};

    memset(side, 0, 2 * sizeof *side);
    for (uint32_t i = 0; i < c->probe->nvalue; i++) {
        const char *at = NULL;
        const size_t n = side_name(c->probe->value[i].name, &at);
        unsigned k = 0;
        if (n == 0)
            continue;
        while (k < 2 && name[k] && (length[k] != n || memcmp(name[k], at, n) != 0))
            k++;
        if (k == 2 || !add_member(c, &side[k], &c->probe->value[i]))
            return hyp_fail(err, HYP_EARG, "probe `%s`: two tuples of at most %d members",
                            c->probe->name, SIDE_MEMBERS);
        name[k] = at;
        length[k] = n;
    }
    bool same = side[0].n == side[1].n && side[0].n > 0;
    for (uint32_t i = 0; same && i < side[0].n; i++)
        same = side[0].width[i] == side[1].width[i];
    return same ? HYP_OK
                : hyp_fail(err, HYP_EARG,
                           "probe `%s`: `of` must be two tuples of the same shapes",
                           c->probe->name);
}

struct each_rows {
    struct metric_call *call;
    const struct side *side;
    const struct hyp_probe_value *of; /* a member of the phase that runs */
    side_fn *fn;
    void *cx;
    float *room; /* for members that are no floats; grows */
    size_t nroom;
    int64_t limit;
};

static bool together(const struct hyp_probe_value *a, const struct hyp_probe_value *b)
{
    return a->phase == b->phase && a->source == b->source;
}

/* n rows of a member as floats; NULL: no memory. */
static const float *member_rows(struct each_rows *e, const struct exec *x,
                                const struct hyp_output *o, size_t n)
{
    if (o->dtype == HYP_F32 && !x->plan->f64)
        return exec_address(x, o->buffer);
    if (n > e->nroom) {
        float *more = hyp_realloc(e->room, n * sizeof *more);
        if (!more)
            return NULL;
        e->room = more;
        e->nroom = n;
    }
    for (size_t i = 0; i < n; i++) {
        double v;
        exec_read(x, o->buffer, o->dtype, (int64_t)i, 1, &v);
        e->room[i] = (float)v;
    }
    return e->room;
}

static enum hyp_status batch_rows(void *cx, const struct exec *x, int64_t batch,
                                  int64_t first, struct hyp_error *err)
{
    struct each_rows *e = cx;
    int64_t n = e->limit >= 0 && e->limit - first < batch ? e->limit - first : batch;

    for (unsigned s = 0; n > 0 && s < 2; s++) {
        uint32_t unit = 0;
        for (uint32_t m = 0; m < e->side[s].n; unit += e->side[s].width[m++]) {
            const struct hyp_probe_value *v = e->side[s].member[m];
            const uint32_t w = e->side[s].width[m];
            if (!together(v, e->of))
                continue;
            const float *rows = member_rows(e, x, output_of(e->call, v), (size_t)n * w);
            if (!rows)
                return hyp_fail(err, HYP_ENOMEM, "out of memory for probe `%s`",
                                e->call->probe->name);
            e->fn(e->cx, &(struct side_rows){s, unit, w, rows, first, n});
        }
    }
    return HYP_OK;
}

/* Did a member before this one run its phase? */
static bool ran(const struct side side[2], unsigned s, uint32_t m)
{
    for (unsigned i = 0; i <= s; i++)
        for (uint32_t k = 0; k < (i < s ? side[i].n : m); k++)
            if (together(side[i].member[k], side[s].member[m]))
                return true;
    return false;
}

enum hyp_status metric_each_rows(struct metric_call *c, const struct side side[2],
                                 int64_t limit, side_fn *fn, void *cx,
                                 struct hyp_error *err)
{
    struct each_rows each = {.call = c, .side = side, .fn = fn, .cx = cx, .limit = limit};
    enum hyp_status st = HYP_OK;

    for (unsigned s = 0; s < 2; s++)
        for (uint32_t m = 0; st == HYP_OK && m < side[s].n; m++) {
            each.of = side[s].member[m];
            const struct evaluation e = {each.of->phase, each.of->source, limit};
            if (!ran(side, s, m))
                st = run_evaluate(c->run, &e, batch_rows, &each, err);
        }
    hyp_free(each.room);
    return st;
}
