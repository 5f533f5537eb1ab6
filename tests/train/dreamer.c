#include "tests/train/dreamer.h"

#include "tests/unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/arena.h"

/* ---- waking up ---- */

const char *in_source(struct arena *a, const char *file)
{
    const char *root = getenv("HYP_SOURCE_DIR");
    return arena_fmt(a, "%s/%s", root ? root : ".", file);
}

static void open_exec(struct dreamer *d, const char *file, struct compile_options *o)
{
    struct hyp_error err = {0};
    bool ok;
    o->backend = "interp64";
    o->threads = 2;
    d->c = compile_model(file, o, UNTIL_CODE, &ok);
    if (!ok) {
        diag_print(d->c->diags, stderr, false);
        fail_msg("%s does not compile", file);
    }
    d->p = d->c->plan;
    if (pool_new(1, &d->pool, &err) != HYP_OK ||
        exec_new(d->p, d->pool, 0, &d->x, &err) != HYP_OK ||
        exec_init(d->x, &err) != HYP_OK)
        fail_msg("%s", err.text);
}

static void open_images(struct dreamer *d, const char *dir)
{
    struct hyp_source_desc desc;
    struct hyp_error err = {0};
    hyp_source_defaults(&desc);
    desc.name = desc.kind = "npy";
    desc.scale[0] = -1;
    if (data_open(&desc, &dir, 1, NULL, &d->src, &err) != HYP_OK)
        fail_msg("%s", err.text);
}

struct dreamer wake_up(const char *condition, const char *const *set)
{
    enum { OURS = 10, MOST = 18 };
    struct dreamer d = {.a = arena_new()};
    const char *dir = in_source(d.a, "tests/reference/pad/data");
    const char *all[MOST] = {"data.all.source=npy",    "data.photos.split=none",
                             "data.unseen.split=none", "data.photos.order=file",
                             "data.all.take=[0, 12]",  "settings.batch=4",
                             "data.scored.split=none", "constants.width=2",
                             "constants.latents=6",    "probes=none"};
    struct compile_options o = {.model = {.condition = condition,
                                          .set = all,
                                          .nset = OURS,
                                          .data_dir = &dir,
                                          .ndata_dir = 1}};
    for (; set && *set; set++)
        all[o.model.nset++] = *set;
    open_exec(&d, in_source(d.a, "graphs/papers/dreaming/pad.yaml"), &o);
    open_images(&d, dir);
    return d;
}

struct dreamer wake_up_as(const char *path)
{
    struct dreamer d = {.a = arena_new()};
    struct compile_options o = {0};
    open_exec(&d, path, &o);
    return d;
}

void sleep_well(struct dreamer *d)
{
    exec_free(d->x);
    pool_free(d->pool);
    if (d->src)
        data_close(d->src);
    compiled_free(d->c);
    arena_free(d->a);
}

/* ---- its state ---- */

const struct hyp_tensor *tensor(const struct dreamer *d, const char *name)
{
    for (uint32_t i = 0; i < d->p->ntensor; i++)
        if (strcmp(d->p->tensor[i].name, name) == 0)
            return &d->p->tensor[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

double *values(const struct dreamer *d, const char *name)
{
    return (double *)(void *)(d->x->segment[HYP_SEG_STATE] + tensor(d, name)->offset);
}

uint64_t count(const struct hyp_tensor *t)
{
    return t->bytes / sizeof(double);
}

double *counter(const struct dreamer *d, const char *weight)
{
    const char *name = moment_of(d, weight, "t");
    for (uint32_t i = 0; i < d->p->ncounter; i++)
        if (strcmp(d->p->counter[i].name, name) == 0)
            return &d->x->counter[i];
    fail_msg("no counter %s", name);
    return NULL;
}

double *setting(const struct dreamer *d, const char *name)
{
    for (uint32_t i = 0; i < d->p->nsetting; i++)
        if (strcmp(d->p->setting[i].name, name) == 0)
            return &d->x->setting[d->p->setting[i].first];
    fail_msg("no setting %s", name);
    return NULL;
}

struct memory remember(const struct dreamer *d)
{
    return (struct memory){
        arena_copy(d->a, d->x->segment[HYP_SEG_STATE], d->p->segment_bytes[HYP_SEG_STATE]),
        arena_copy(d->a, d->x->counter, d->p->ncounter * sizeof(double)),
        arena_copy(d->a, d->x->draw, d->p->ndraw * sizeof(uint64_t))};
}

void go_back(const struct dreamer *d, const struct memory *m)
{
    memcpy(d->x->segment[HYP_SEG_STATE], m->state, d->p->segment_bytes[HYP_SEG_STATE]);
    memcpy(d->x->counter, m->counter, d->p->ncounter * sizeof(double));
    memcpy(d->x->draw, m->draw, d->p->ndraw * sizeof(uint64_t));
}

const double *then(const struct dreamer *d, const struct memory *m, const char *name)
{
    return (const double *)(const void *)(m->state + tensor(d, name)->offset);
}

bool unchanged(const struct dreamer *d, const struct memory *m, const char *name)
{
    return memcmp(then(d, m, name), values(d, name), tensor(d, name)->bytes) == 0;
}

/* ---- running ---- */

static uint32_t phase_of(const struct dreamer *d, const char *name)
{
    for (uint32_t i = 0; i < d->p->nphase; i++)
        if (strcmp(d->p->phase[i].name, name) == 0)
            return i;
    fail_msg("no phase %s", name);
    return 0;
}

static void fill(struct dreamer *d, const struct hyp_input *in)
{
    const struct hyp_field *f = &d->p->source[in->source].field[in->field];
    const int k = data_field_find(data_fields(d->src), f->name);
    const uint32_t first = (uint32_t)d->x->fixed[HYP_COUNTER_STEP] % EPOCH * BATCH;
    const size_t n = BATCH * data_field_size(&data_fields(d->src)->field[k]);
    double *at = exec_address(d->x, in->buffer);
    if (f->is_int) {
        data_batch(d->src, (unsigned)k, first, BATCH, at);
        return;
    }
    float *tmp = arena_array(d->a, n, sizeof *tmp);
    data_batch(d->src, (unsigned)k, first, BATCH, tmp);
    for (size_t i = 0; i < n; i++)
        at[i] = (double)tmp[i];
}

/* Runs a phase and returns its loss. */
double run(struct dreamer *d, const char *name)
{
    const uint32_t phase = phase_of(d, name);
    const struct hyp_phase *ph = &d->p->phase[phase];
    struct hyp_error err = {0};
    for (uint32_t i = 0; i < ph->ninput; i++)
        fill(d, &ph->input[i]);
    if (exec_phase(d->x, phase, BATCH, &err) != HYP_OK)
        fail_msg("%s", err.text);
    for (uint32_t i = 0; i < ph->noutput; i++)
        if (ph->output[i].loss)
            return exec_number(d->x, &ph->output[i]);
    return 0;
}

void at_cycle(struct dreamer *d, unsigned epoch, unsigned cycle)
{
    d->x->fixed[HYP_COUNTER_EPOCH] = epoch;
    d->x->fixed[HYP_COUNTER_CYCLE] = cycle;
    d->x->fixed[HYP_COUNTER_STEP] = EPOCH * epoch + cycle;
}

/* ---- weights ---- */

bool is_weight_of(const struct hyp_tensor *t, const char *prefix)
{
    return t->weight && strncmp(t->name, prefix, strlen(prefix)) == 0;
}

const char *moment_of(const struct dreamer *d, const char *weight, const char *which)
{
    return arena_fmt(d->a, "optimizer/%s/%s", weight, which);
}

double *gradient(const struct dreamer *d, const struct memory *m,
                 const struct hyp_tensor *t)
{
    const char *name = moment_of(d, t->name, "m");
    double *g = arena_array(d->a, count(t), sizeof *g);
    for (uint64_t i = 0; i < count(t); i++)
        g[i] = 2 * values(d, name)[i] - then(d, m, name)[i];
    return g;
}

bool all_unchanged(const struct dreamer *d, const struct memory *m, const char *prefix)
{
    for (uint32_t i = 0; i < d->p->ntensor; i++) {
        const char *name = d->p->tensor[i].name;
        if (!is_weight_of(&d->p->tensor[i], prefix))
            continue;
        const double *t = counter(d, name);
        if (!unchanged(d, m, name) || !unchanged(d, m, moment_of(d, name, "m")) ||
            !unchanged(d, m, moment_of(d, name, "v")) ||
            *t != m->counter[t - d->x->counter])
            return false;
    }
    return true;
}
