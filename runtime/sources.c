/*
 * The plan's data sources as a run has them open, and how a batch reaches the INPUT
 * segment.  Samples are cut among the pool's threads; nothing is allocated after opening.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/json.h"
#include "runtime/run.h"

/* ---- opening ---- */

/* {"train": 0.9, "test": 0.1} */
static enum hyp_status read_parts(struct arena *a, const struct hyp_source *s,
                                  struct hyp_source_desc *d, struct hyp_error *err)
{
    size_t where;
    const struct json *j = json_parse(a, s->parts, strlen(s->parts), &where);

    if (!j || j->kind != JSON_OBJECT || j->n > SOURCE_MAX_PARTS)
        return hyp_fail(err, HYP_EARG, "`%s`: at most %d parts with a share each", s->name,
                        SOURCE_MAX_PARTS);
    for (const struct json *c = j->child; c; c = c->next) {
        const double share = c->kind == JSON_STRING ? strtod(c->string, NULL) : c->number;
        d->part[d->npart++] = (struct hyp_source_part){c->key, share};
    }
    d->parts_seed = s->parts_seed;
    return HYP_OK;
}

static enum hyp_status describe(struct arena *a, const struct run *r, uint32_t index,
                                struct hyp_source_desc *d, struct hyp_error *err)
{
    const struct hyp_source *s = &r->plan->source[index];

    hyp_source_defaults(d);
    d->name = s->name;
    d->kind = s->kind;
    d->split = s->split;
    d->file = s->file;
    for (unsigned k = 0; k < 2; k++)
        d->resize[k] = s->resize[k] > 0 ? (uint32_t)s->resize[k] : 0;
    if (s->take_to > 0) {
        d->take[0] = s->take_from > 0 ? (uint32_t)s->take_from : 0;
        d->take[1] = (uint32_t)s->take_to;
    }
    d->per_class = s->per_class > 0 ? (uint32_t)s->per_class : 0;
    d->scale[0] = s->scale_lo;
    d->scale[1] = s->scale_hi;
    d->nmean = s->nmean;
    memcpy(d->mean, s->mean, sizeof s->mean);
    memcpy(d->std, s->std, sizeof s->std);
    d->random = s->random;
    d->drop_last = s->drop_last;
    d->batch = run_source_batch(r, r->x, index);
    return s->parts ? read_parts(a, s, d, err) : HYP_OK;
}

static size_t plan_width(const struct hyp_field *f)
{
    size_t n = 1;
    for (unsigned i = 0; i < f->rank; i++)
        n *= (size_t)f->dim[i];
    return n;
}

/* The plan's fields among the source's, by name; sizes and types must agree. */
static enum hyp_status match_fields(struct run *r, uint32_t index, struct hyp_error *err)
{
    const struct hyp_source *s = &r->plan->source[index];
    struct run_source *o = &r->source[index];
    const struct data_info *info = data_fields(o->src);

    o->field = hyp_calloc(s->nfield + 1U, sizeof *o->field);
    o->width = hyp_calloc(s->nfield + 1U, sizeof *o->width);
    if (!o->field || !o->width)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for `%s`", s->name);
    for (uint32_t k = 0; k < s->nfield; k++) {
        const int f = data_field_find(info, s->field[k].name);
        o->width[k] = plan_width(&s->field[k]);
        if (f < 0 || data_field_size(&info->field[f]) != o->width[k] ||
            (info->field[f].dtype == DATA_I32) != s->field[k].is_int) {
            if (!s->field[k].used)
                continue;
            return hyp_fail(err, HYP_EARG,
                            "`%s` has no field `%s` of the size the model was compiled for",
                            s->name, s->field[k].name);
        }
        o->field[k] = (unsigned)f;
    }
    return HYP_OK;
}

/* ---- keep ---- */

struct keep_cx {
    struct run *run;
    uint32_t source;
};

static enum hyp_status keep_samples(void *cx, const struct data_src *src, uint8_t *keep,
                                    struct hyp_error *err)
{
    const struct keep_cx *k = cx;
    struct run *r = k->run;
    const struct hyp_phase *ph = &r->plan->phase[r->plan->source[k->source].keep_phase];
    struct run_source *o = &r->source[k->source];
    const uint32_t n = data_count(src), step = o->batch_max;
    enum hyp_status st;

    o->src = (struct data_src *)src; /* for the batches below; the caller owns it */
    o->n = n;
    st = match_fields(r, k->source, err);
    for (uint32_t at = 0; st == HYP_OK && at < n; at += step) {
        const uint32_t b = n - at < step ? n - at : step;
        gather_phase(r, r->x, (uint32_t)(ph - r->plan->phase), at, b);
        st = exec_phase(r->x, (uint32_t)(ph - r->plan->phase), b, err);
        for (uint32_t i = 0; st == HYP_OK && i < b; i++) {
            double v;
            exec_read(r->x, ph->output[0].buffer, ph->output[0].dtype, i, 1, &v);
            keep[at + i] = v != 0;
        }
    }
    hyp_free(o->field);
    hyp_free(o->width);
    o->src = NULL;
    o->field = NULL;
    o->width = NULL;
    return st;
}

static enum hyp_status open_source(struct run *r, struct arena *a, uint32_t index,
                                   struct hyp_error *err)
{
    const struct hyp_source *s = &r->plan->source[index];
    struct run_source *o = &r->source[index];
    struct hyp_source_desc *d = arena_alloc(a, sizeof *d);
    struct keep_cx cx = {r, index};
    const struct data_keep keep = {keep_samples, &cx};

    enum hyp_status st = describe(a, r, index, d, err);
    o->batch_max =
        (uint32_t)(d->batch < r->plan->batch_max ? d->batch : r->plan->batch_max);
    if (st == HYP_OK && strcmp(s->kind, "given") == 0 && r->given)
        st = data_give(d, r->given, &o->src, err);
    else if (st == HYP_OK)
        st = data_open_loaded(d, r->opt->dirs, r->opt->ndirs,
                              s->keep_phase >= 0 ? &keep : NULL, r->opt->ahead, &o->src,
                              err);
    if (st != HYP_OK)
        return st;
    o->n = data_count(o->src);
    o->file_order = s->scheduled || !s->random;
    data_set_pass(o->src, 0, r->x->seed);
    return match_fields(r, index, err);
}

static enum hyp_status make_staging(struct run *r, struct hyp_error *err)
{
    r->staging = hyp_calloc(pool_threads(r->pool), r->widest * sizeof *r->staging);
    return r->staging ? HYP_OK : hyp_fail(err, HYP_ENOMEM, "out of memory for batches");
}

static bool has_buffer(const struct run *r, uint32_t buffer)
{
    for (uint32_t i = 0; i < r->ninput; i++)
        if (r->input[i].buffer == buffer)
            return true;
    return false;
}

static enum hyp_status list_inputs(struct run *r, struct hyp_error *err)
{
    const struct hyp_plan *p = r->plan;
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->nphase; i++)
        n += p->phase[i].ninput;
    r->input = hyp_calloc(n + 1U, sizeof *r->input);
    r->stage.input = hyp_calloc(n + 1U, sizeof *r->stage.input);
    r->used = hyp_calloc(p->nsource + 1U, 1);
    if (!r->input || !r->stage.input || !r->used)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for the list of inputs");
    for (uint32_t i = 0; i < p->nphase; i++)
        for (uint32_t k = 0; k < p->phase[i].ninput; k++) {
            const struct hyp_input *in = &p->phase[i].input[k];
            if (has_buffer(r, in->buffer))
                continue;
            r->input[r->ninput++] =
                (struct run_input){in->source, in->field, in->buffer,
                                   p->source[in->source].field[in->field].is_int};
        }
    return HYP_OK;
}

/* Named parts and the like are needed for as long as the sources are open. */
enum hyp_status sources_open(struct run *r, struct hyp_error *err)
{
    enum hyp_status st = HYP_OK;

    r->widest = 1;
    for (uint32_t i = 0; i < r->plan->nsource; i++)
        for (uint32_t k = 0; k < r->plan->source[i].nfield; k++)
            if (plan_width(&r->plan->source[i].field[k]) > r->widest)
                r->widest = plan_width(&r->plan->source[i].field[k]);
    r->source = hyp_calloc(r->plan->nsource + 1U, sizeof *r->source);
    if (!r->source)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for data");
    r->source_memory = arena_new();
    st = list_inputs(r, err);
    if (st == HYP_OK)
        st = make_staging(r, err);
    exec_host(r->x);
    for (uint32_t i = 0; st == HYP_OK && i < r->plan->nsource; i++)
        if (!r->plan->source[i].unread)
            st = open_source(r, r->source_memory, i, err);
    return st;
}

void sources_close(struct run *r)
{
    for (uint32_t i = 0; r->source && i < r->plan->nsource; i++) {
        data_close(r->source[i].src);
        hyp_free(r->source[i].field);
        hyp_free(r->source[i].width);
    }
    hyp_free(r->source);
    hyp_free(r->input);
    hyp_free(r->stage.input);
    hyp_free(r->used);
    hyp_free(r->staging);
    if (r->source_memory)
        arena_free(r->source_memory);
    r->source = NULL;
}

/* ---- batches ---- */

uint32_t run_source_batch(const struct run *r, const struct exec *x, uint32_t source)
{
    const double b = x->host[r->plan->source[source].batch];
    return b < 1 ? 1 : b > 1e9 ? 1000000000U : (uint32_t)b;
}

int64_t run_setting_batch(const struct run *r, const struct exec *x)
{
    for (uint32_t i = 0; i < r->plan->nsetting; i++)
        if (strcmp(r->plan->setting[i].name, "batch") == 0) {
            const double b = x->setting[r->plan->setting[i].first];
            return b < 1                            ? 1
                   : b < (double)r->plan->batch_max ? (int64_t)b
                                                    : r->plan->batch_max;
        }
    return 1;
}

static void read_rows(const struct gather *g, uint32_t first, uint32_t count, void *out)
{
    const struct run_source *s = &g->run->source[g->input->source];
    const unsigned field = s->field[g->input->field];

    if (g->file_order)
        data_batch_file(s->src, field, first, count, out);
    else
        data_batch(s->src, field, first, count, out);
}

static void gather_share(void *cx, unsigned thread)
{
    const struct gather *g = cx;
    const struct run *r = g->run;
    const uint64_t threads = pool_threads(r->pool);
    const uint32_t lo = (uint32_t)(g->count * thread / threads);
    const uint32_t hi = (uint32_t)(g->count * (thread + 1) / threads);
    const size_t width = r->source[g->input->source].width[g->input->field];
    char *to = exec_address(g->x, g->input->buffer);

    if (!r->plan->f64 || g->input->is_int) {
        if (hi > lo)
            read_rows(g, g->first + lo, hi - lo, to + (g->row + lo) * width * 4);
        return;
    }
    float *one = r->staging + thread * r->widest;
    double *out = (double *)(void *)to + (g->row + lo) * width;
    for (uint32_t i = lo; i < hi; i++) {
        read_rows(g, g->first + i, 1, one);
        for (size_t k = 0; k < width; k++)
            *out++ = (double)one[k];
    }
}

void gather_rows(const struct gather *g)
{
    pool_run(g->run->pool, gather_share, (void *)g);
}

static const struct run_input *input_of(const struct run *r, uint32_t buffer)
{
    for (uint32_t i = 0; i < r->ninput; i++)
        if (r->input[i].buffer == buffer)
            return &r->input[i];
    return NULL;
}

void gather_phase(const struct run *r, struct exec *x, uint32_t phase, uint32_t first,
                  uint32_t count)
{
    const struct hyp_phase *ph = &r->plan->phase[phase];

    for (uint32_t k = 0; k < ph->ninput; k++) {
        const struct run_input *in = input_of(r, ph->input[k].buffer);
        const struct run_source *s = &r->source[in->source];
        uint32_t done = 0;
        while (done < count) {
            const uint32_t at = (uint32_t)(((uint64_t)first + done) % s->n);
            const uint32_t n = s->n - at < count - done ? s->n - at : count - done;
            const struct gather g = {r, x, in, at, n, done, s->file_order};
            gather_rows(&g);
            done += n;
        }
    }
}
