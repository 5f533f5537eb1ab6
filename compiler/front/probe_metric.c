/*
 * Metrics: which there are, and the values that each of them reads.
 */
#include <string.h>

#include "compiler/front/probe.h"
#include "runtime/base/arena.h"

/* Which metrics there are; the others of the language are refused. */
struct metric_row {
    const char *name;
    bool built, labels;
};
static const struct metric_row metric_rows[] = {
    {"accuracy", true, true},
    {"confusion", true, true},
    {"class_agreement", true, true},
    {"linear_readout", true, true},
    {"pattern_overlap", true, false},
    {"histogram_kl", true, false},
    {"frechet", false, false},
    {"latent_geometry", false, false},
    {"pca", false, false},
    {"participation", false, false},
    {"alignment_uniformity", false, false},
    {"spread", false, false},
    {"parzen", false, false},
    {"binned_mean", false, false},
    {"auroc", false, false},
    {"effect_size", false, false},
    {"lag", false, false},
    {"power", false, false},
};
/* Keys that are expressions over nodes. */
static const char *const value_keys[] = {"against", "at", "positive", "features"};

static const struct metric_row *metric_find(struct mb *b, const struct doc *d)
{
    const char *names[ARRAY_LEN(metric_rows)];
    for (unsigned i = 0; i < ARRAY_LEN(metric_rows); i++) {
        names[i] = metric_rows[i].name;
        if (strcmp(metric_rows[i].name, d->text.text) != 0)
            continue;
        if (metric_rows[i].built)
            return &metric_rows[i];
        diag(b->ds, E0001, d->loc, "the metric `%s` is not built yet", d->text.text);
        return NULL;
    }
    const char *near = diag_nearest(d->text.text, names, ARRAY_LEN(names));
    diag(b->ds, E0705, d->loc, "unknown kind of metric `%s`", d->text.text);
    if (near)
        diag_hint(b->ds, "did you mean `%s`?", near);
    return NULL;
}

/* `of: [x, z], between: [wake, sleep]`: x.wake, z.wake, x.sleep, z.sleep. */
static void between(struct probe_cx *c, struct doc *of, struct doc *phases)
{
    struct mb *b = c->b;
    const struct expr *e = expr_parse(b->a, b->ds, of),
                      *p = expr_parse(b->a, b->ds, phases);
    if (!e || !p)
        return;
    const uint32_t ne = e->kind == EX_LIST || e->kind == EX_TUPLE ? e->n : 1;
    if ((p->kind != EX_LIST && p->kind != EX_TUPLE) || p->n != 2) {
        diag(b->ds, E0309, phases->loc, "%u values where 2 are expected",
             p->kind == EX_LIST || p->kind == EX_TUPLE ? p->n : 1);
        return;
    }
    for (uint32_t k = 0; k < 2; k++)
        for (uint32_t i = 0; i < ne; i++) {
            const struct expr *layer = ne > 1 || e->kind == EX_LIST ? e->child[i] : e;
            const struct expr *phase = p->child[k];
            if (layer->kind != EX_NAME || phase->kind != EX_NAME) {
                diag(b->ds, E0001, of->loc, "`between` of values that are no layers");
                return;
            }
            char *path = arena_fmt(b->a, "%s.%s", layer->name, phase->name);
            struct doc *node = doc_scalar(b->a, layer->loc, path);
            struct val *v = mb_probe_key(b, c->f, node, "of");
            mb_probe_add(c, arena_fmt(b->a, "of.%s.%u", phase->name, i), v, c->f,
                         layer->loc);
        }
}

static void metric_key(struct probe_cx *c, struct frame *f, const char *key, const char *as,
                       bool flat)
{
    struct doc *d = doc_get(c->doc, key);
    if (!d || d->bad)
        return;
    struct val *v = mb_probe_key(c->b, f, d, key);
    if (flat && v->kind != VAL_POISON)
        v = mb_flat(c->b, v, d->loc);
    mb_probe_add(c, as, v, f, d->loc);
}

/* What a metric that learns is trained on: the training source, in a region of its own. */
static void metric_train(struct probe_cx *c, bool classifier)
{
    struct mb *b = c->b;
    const int s = c->replace ? mb_data_find(b, c->replace) : -1;
    if (diag_errors(b->ds) && (s < 0 || !b->p->source[s].nfield))
        return; /* perhaps the phase that failed reads it */
    if (s < 0 || !b->p->source[s].nfield) {
        diag(b->ds, E0202, c->p->loc,
             "`%s` learns on the training source, and no phase reads one", c->p->metric);
        return;
    }
    struct run *r = mb_probe_run(b, arena_fmt(b->a, "probe/%s/train", c->p->name),
                                 arena_fmt(b->a, "%s/train", c->base), false, NULL, NULL);
    struct frame *f =
        mb_probe_frame(b, r, doc_get(c->doc, "nodes"), arena_fmt(b->a, "%s/train", c->base),
                       c->p->loc, c->over);
    if (classifier) {
        b->g->at = r->region;
        b->g->expr = graph_new_expr(b->g);
        struct val *x = mb_field(b, r, s, b->p->source[s].field[0].name, c->p->loc);
        mb_probe_add(c, "train.of", x->kind == VAL_POISON ? x : mb_flat(b, x, c->p->loc), f,
                     c->p->loc);
    } else {
        metric_key(c, f, "of", "train.of", true);
    }
    metric_key(c, f, "labels", "train.labels", false);
}

static bool has_keys(struct probe_cx *c, const struct metric_row *row)
{
    const char *missing = !doc_get(c->doc, "of")                      ? "of"
                          : row->labels && !doc_get(c->doc, "labels") ? "labels"
                                                                      : NULL;
    if (!missing)
        return true;
    diag(c->b->ds, E0202, c->p->loc, "key `%s` is missing in `%s`", missing, row->name);
    diag_hint(c->b->ds, !strcmp(missing, "of") ? "`of: z.wake`: what is measured"
                                               : "`labels: digits.label`: the classes");
    return false;
}

void mb_probe_metric(struct probe_cx *c, const struct doc *name)
{
    const struct metric_row *row = metric_find(c->b, name);
    struct doc *of = doc_get(c->doc, "of"), *phases = doc_get(c->doc, "between");
    c->p->kind = PROBE_METRIC;
    c->p->metric = name->text.text;
    if (!row || !has_keys(c, row) || of->bad)
        return;
    const bool classifier = !strcmp(row->name, "class_agreement");
    const bool readout = !strcmp(row->name, "linear_readout");
    if (phases)
        between(c, of, phases);
    else
        metric_key(c, c->f, "of", "of", classifier || readout);
    metric_key(c, c->f, "labels", "labels", false);
    metric_key(c, c->f, "test_of", "test_of", readout);
    for (unsigned i = 0; i < ARRAY_LEN(value_keys); i++)
        metric_key(c, c->f, value_keys[i], value_keys[i], false);
    if (classifier || readout)
        metric_train(c, classifier);
}
