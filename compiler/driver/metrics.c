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

/* Numbers a sample has in what the model is trained on. */
static uint32_t width_of(const struct hyp_plan *p, const struct hyp_probe *probe)
{
    for (uint32_t i = 0; i < probe->nvalue; i++) {
        const struct hyp_probe_value *v = &probe->value[i];
        if (strcmp(v->name, "of") != 0 && strncmp(v->name, "of.", 3) != 0)
            continue;
        const struct hyp_output *o = &p->phase[v->phase].output[v->output];
        uint32_t n = 1;
        for (unsigned d = o->sample ? 1 : 0; d < o->rank; d++)
            n *= (uint32_t)o->dim[d].c;
        return n;
    }
    return 0;
}

bool metrics_read_classes(const char *kind)
{
    return !strcmp(kind, "npy") || !strcmp(kind, "csv") || !strcmp(kind, "folder");
}

static uint32_t classes_of(const struct compiled *c)
{
    const struct hyp_plan *p = c->plan;
    for (uint32_t i = 0; i < p->nsource; i++) {
        const struct hyp_source *s = &p->source[i];
        if (!s->scheduled || !metrics_read_classes(s->kind))
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

/* What is changed in the model: what its source has, and what the probe asks for. */
enum { MOST_SETS = 5 };

static void add_set(const struct hyp_probe *p, const char *param, const char *path,
                    struct compiled *c, const char **set, unsigned *n)
{
    for (uint32_t i = 0; i < p->nparam; i++)
        if (strcmp(p->param[i].name, param) == 0)
            set[(*n)++] = p->param[i].text
                              ? arena_fmt(c->arena, "%s=%s", path, p->param[i].text)
                              : arena_fmt(c->arena, "%s=%.0f", path, p->param[i].number);
}

static unsigned sets_of(struct compiled *c, const struct hyp_probe *p, const char **set)
{
    unsigned n = 0;
    set[n++] = arena_fmt(c->arena, "constants.inputs=%u", width_of(c->plan, p));
    set[n++] = arena_fmt(c->arena, "constants.classes=%u", classes_of(c));
    add_set(p, "fit", "optimizers.readout", c, set, &n);
    add_set(p, "fit_epochs", "epochs", c, set, &n);
    add_set(p, "batch", "batch", c, set, &n);
    return n;
}

/* Was the same model compiled for a probe before this one? */
static struct compiled *compiled_before(const struct compiled *c, const char *path,
                                        const char *const *set, unsigned nset)
{
    for (struct compiled *n = c->nested; n; n = n->next) {
        bool same =
            n->nested_path && strcmp(n->nested_path, path) == 0 && n->options.nset == nset;
        for (unsigned i = 0; same && i < nset; i++)
            same = strcmp(n->options.set[i], set[i]) == 0;
        if (same)
            return n;
    }
    return NULL;
}

static struct compiled *compile_nested(struct compiled *c, const struct hyp_probe *probe,
                                       const char *model, const struct compile_options *of)
{
    struct compile_options o = *of;
    const char **set = arena_array(c->arena, MOST_SETS, sizeof *set);
    const char *path = arena_fmt(c->arena, "std/metrics/%s.yaml", model);
    const unsigned nset = sets_of(c, probe, set);
    bool ok;

    struct compiled *n = compiled_before(c, path, set, nset);
    if (n)
        return n;
    o.model = (struct model_options){.set = set, .nset = nset};
    o.pass = (struct pass_options){0};
    o.given_width = width_of(c->plan, probe);
    n = compile_model(path, &o, UNTIL_PLAN, &ok);
    n->nested_path = path;
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
        const char *model = c->program.probe[i].model;
        if (!model || !width_of(p, probe))
            continue;
        struct compiled *n = compile_nested(c, probe, model, o);
        if (!n)
            return false;
        probe->model = arena_alloc(c->arena, sizeof *probe->model);
        probe->model[0] = n->plan;
        probe->nmodel = 1;
    }
    return true;
}
