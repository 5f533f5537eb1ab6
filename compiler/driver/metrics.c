/*
 * Metrics that learn bring models of their own (graphs/std/metrics), compiled like any
 * other and nested in the plan, so that a run needs no compiler for them.
 */
#include <string.h>

#include "compiler/driver/compile.h"
#include "compiler/driver/compile_internal.h"
#include "runtime/base/arena.h"
#include "runtime/data.h"

#define CLASSES 10 /* of every source with fixed classes */

static const struct {
    const char *metric, *model;
} learns[] = {
    {"class_agreement", "std/metrics/classifier.yaml"},
    {"linear_readout", "std/metrics/readout.yaml"},
};

static const char *model_of(const char *metric)
{
    for (size_t i = 0; metric && i < sizeof learns / sizeof *learns; i++)
        if (strcmp(learns[i].metric, metric) == 0)
            return learns[i].model;
    return NULL;
}

/* Numbers a sample has in what the model is trained on. */
static uint32_t width_of(const struct hyp_plan *p, const struct hyp_probe *probe)
{
    for (uint32_t i = 0; i < probe->nvalue; i++) {
        const struct hyp_probe_value *v = &probe->value[i];
        if (strcmp(v->name, "train.of") != 0 && strcmp(v->name, "of") != 0)
            continue;
        const struct hyp_output *o = &p->phase[v->phase].output[v->output];
        uint32_t n = 1;
        for (unsigned d = o->sample ? 1 : 0; d < o->rank; d++)
            n *= (uint32_t)o->dim[d].c;
        return n;
    }
    return 0;
}

/* Kinds that bring their own classes have to be read for them. */
static uint32_t classes_of(const struct compiled *c)
{
    const struct hyp_plan *p = c->plan;
    for (uint32_t i = 0; i < p->nsource; i++) {
        const struct hyp_source *s = &p->source[i];
        if (!s->scheduled ||
            (strcmp(s->kind, "npy") && strcmp(s->kind, "csv") && strcmp(s->kind, "folder")))
            continue;
        struct hyp_source_desc d;
        struct data_src *src;
        struct hyp_error err = {0};
        hyp_source_defaults(&d);
        d.name = s->name;
        d.kind = s->kind;
        d.split = s->split;
        d.file = s->file;
        for (unsigned k = 0; k < 2; k++)
            d.resize[k] = (uint32_t)s->resize[k];
        if (data_open(&d, c->options.data_dir, c->options.ndata_dir, NULL, &src, &err) !=
            HYP_OK)
            return CLASSES;
        const uint32_t n = data_classes(src);
        data_close(src);
        return n ? n : CLASSES;
    }
    return CLASSES;
}

static struct compiled *compile_nested(struct compiled *c, const char *path, uint32_t width,
                                       const struct compile_options *of)
{
    struct compile_options o = *of;
    const char *set[2];
    bool ok;

    set[0] = arena_fmt(c->arena, "constants.inputs=%u", width);
    set[1] = arena_fmt(c->arena, "constants.classes=%u", classes_of(c));
    o.model = (struct model_options){.set = set, .nset = 2};
    o.pass = (struct pass_options){0};
    o.given_width = width;
    struct compiled *n = compile_model(path, &o, UNTIL_PLAN, &ok);
    n->next = c->nested;
    c->nested = n;
    if (ok)
        return n;
    diag(c->diags, E9999, (struct loc){0}, "the metric's own model %s does not compile",
         path);
    diag_hint(c->diags, "`hypno check` on graphs/%s shows its mistakes", path);
    return NULL;
}

bool compile_metrics(struct compiled *c, const struct compile_options *o)
{
    struct hyp_plan *p = c->plan;
    for (uint32_t i = 0; i < p->nprobe; i++) {
        struct hyp_probe *probe = &p->probe[i];
        const char *path = model_of(probe->metric);
        size_t n_text;
        if (!path || !library_text(path, &n_text) || !width_of(p, probe))
            continue;
        struct compiled *n = compile_nested(c, path, width_of(p, probe), o);
        if (!n)
            return false;
        probe->model = arena_alloc(c->arena, sizeof *probe->model);
        probe->model[0] = n->plan;
        probe->nmodel = 1;
    }
    return true;
}
