/*
 * Metrics: the values that each of them reads, and what it trains on.
 */
#include <string.h>

#include "compiler/front/probe.h"
#include "runtime/base/arena.h"

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

/* What samples of a metric that compares vectors are: one vector each; `each`: of every
 * member of a tuple or list. */
static struct val *as_vectors(struct mb *b, struct val *v, bool each, struct loc loc)
{
    if (v->kind == VAL_POISON)
        return v;
    if (each && (v->kind == VAL_LIST || v->kind == VAL_TUPLE)) {
        struct val *list = arena_copy(b->a, v, sizeof *v);
        list->item = arena_array(b->a, v->n + 1, sizeof *list->item);
        for (uint32_t i = 0; i < v->n; i++)
            list->item[i] = as_vectors(b, v->item[i], false, loc);
        return list;
    }
    v = mb_flat(b, v, loc);
    if (v->kind != VAL_TENSOR || graph_type(b->g, v->v)->sample)
        return v;
    diag(b->ds, E0302, loc, "expected a value of each sample, found a shared one: %s",
         mb_show(b, v));
    return mb_poison(b);
}

enum vectors { AS_IT_IS, VECTOR, VECTORS };

static struct val *metric_key(struct probe_cx *c, struct frame *f, const char *key,
                              const char *as, enum vectors form)
{
    struct doc *d = metric_takes(c->row, key) ? doc_get(c->doc, key) : NULL;
    if (!d || d->bad)
        return NULL;
    struct val *v = mb_probe_key(c->b, f, d, key);
    if (form != AS_IT_IS)
        v = as_vectors(c->b, v, form == VECTORS, d->loc);
    mb_probe_add(c, as, v, f, d->loc);
    return v;
}

/* What is trained: once for all repetitions that do not change it */

/* Does the expression, or a node of the probe that it reads, name what `over` changes? */
static bool changes(const struct probe_cx *c, struct doc *d, unsigned depth);
static bool changes_expr(const struct probe_cx *c, const struct expr *e, unsigned depth)
{
    const struct doc *nodes = doc_get(c->doc, "nodes");
    if (e->kind == EX_NAME) {
        const char *first = arena_strn(c->b->a, e->name, strcspn(e->name, "."));
        for (uint32_t i = 0; i < c->over->n; i++)
            if (!strcmp(c->over->name[i], first))
                return true;
        for (uint32_t i = 0; nodes && i < nodes->n; i++)
            if (strstr(nodes->entry[i].key.text, first) &&
                changes(c, nodes->entry[i].value, depth + 1))
                return true;
    }
    for (uint32_t i = 0; i < e->n; i++)
        if (e->child[i] && changes_expr(c, e->child[i], depth))
            return true;
    return false;
}

static bool changes(const struct probe_cx *c, struct doc *d, unsigned depth)
{
    const struct expr *e = d && !d->bad ? expr_parse(c->b->a, c->b->ds, d) : NULL;
    return depth > 32 || (e && changes_expr(c, e, depth));
}

/* The first repetition's region is that of all. */
static bool trained_before(struct probe_cx *c)
{
    struct mb *b = c->b;
    if (!c->over || c->over->run == 0 || changes(c, doc_get(c->doc, "of"), 0) ||
        changes(c, doc_get(c->doc, "labels"), 0))
        return false;
    const struct prog_probe *first = &b->p->probe[c->over->first];
    for (uint32_t i = 0; i < first->nvalue; i++) {
        struct prog_named v = first->value[i];
        if (strncmp(v.name, "train.", 6) != 0)
            continue;
        v.of = first->name;
        c->p->value = arena_grow(b->a, c->p->value, &c->cvalue, c->p->nvalue + 1,
                                 sizeof *c->p->value);
        c->p->value[c->p->nvalue++] = v;
    }
    return true;
}

/* Index of the source that what learns is trained on, or -1: reported. */
static int training_source(struct probe_cx *c)
{
    struct mb *b = c->b;
    const int s = c->replace ? mb_data_find(b, c->replace) : -1;
    if (s >= 0 && b->p->source[s].nfield)
        return s;
    if (!diag_errors(b->ds)) /* else perhaps the phase that failed reads it */
        diag(b->ds, E0202, c->p->loc,
             "`%s` learns on the training source, and no phase reads one", c->p->metric);
    return -1;
}

/* A readout: `of` and `labels` over the training source, in a region of its own. */
static void readout_source(struct probe_cx *c)
{
    struct mb *b = c->b;
    const char *sites = arena_fmt(b->a, "%s/train", c->base);
    if (training_source(c) < 0 || trained_before(c))
        return;
    struct run *r = mb_probe_run(b, arena_fmt(b->a, "probe/%s/train", c->p->name), sites,
                                 false, NULL, NULL);
    struct frame *f =
        mb_probe_frame(b, r, doc_get(c->doc, "nodes"), sites, c->p->loc, c->over);
    metric_key(c, f, "of", "train.of", VECTOR);
    metric_key(c, f, "labels", "train.labels", AS_IT_IS);
}

static uint32_t width(const struct mb *b, const struct val *v)
{
    const struct type *t = v && v->kind == VAL_TENSOR ? graph_type(b->g, v->v) : NULL;
    return t && t->sample && t->rank == 2 ? (uint32_t)t->dim[1].c : 0;
}

static void same_width(struct probe_cx *c, const struct val *v, uint32_t want,
                       const char *whose)
{
    struct mb *b = c->b;
    for (uint32_t i = 0; v && (v->kind == VAL_LIST || v->kind == VAL_TUPLE) && i < v->n;
         i++)
        same_width(c, v->item[i], want, whose);
    const uint32_t n = width(b, v);
    if (n && want && n != want)
        diag(b->ds, E0301, v->loc.line ? v->loc : c->p->loc,
             "%u numbers a sample do not fit the %u of %s", n, want, whose);
}

/* A classifier: the first field and the labels of the training source, as they are. */
static uint32_t classifier_source(struct probe_cx *c)
{
    struct mb *b = c->b;
    const int s = training_source(c);
    bool labels = false;
    if (s < 0)
        return 0;
    const struct prog_source *src = &b->p->source[s];
    for (uint32_t i = 0; i < src->nfield; i++)
        labels |= !strcmp(src->field[i].name, "label");
    if (!labels || src->field[0].type.dtype != DT_F32) {
        diag(b->ds, E0202, c->p->loc,
             "`%s` learns on the first field and the labels of `%s`, which lacks one of "
             "them",
             c->p->metric, src->name);
        return 0;
    }
    uint32_t n = 1;
    for (unsigned i = 1; i < src->field[0].type.rank; i++)
        n *= (uint32_t)src->field[0].type.dim[i].c;
    return n;
}

void mb_probe_metric(struct probe_cx *c)
{
    struct doc *of = doc_get(c->doc, "of"), *phases = doc_get(c->doc, "between");
    const char *name = c->row->name;
    c->p->kind = PROBE_METRIC;
    c->p->metric = name;
    c->p->model = metric_model(c->row, c->doc, c->b->a);
    if (of->bad)
        return;
    const bool classifier = c->p->model && !strcmp(c->p->model, "classifier");
    const bool vectors = c->p->model || metric_takes(c->row, "against");
    const enum vectors form = !strcmp(name, "frechet") ? VECTORS
                              : vectors                ? VECTOR
                                                       : AS_IT_IS;
    struct val *v = NULL;
    if (phases && metric_takes(c->row, "between"))
        between(c, of, phases);
    else
        v = metric_key(c, c->f, "of", "of", form);
    metric_key(c, c->f, "labels", "labels", AS_IT_IS);
    struct val *test = metric_key(c, c->f, "test_of", "test_of", VECTOR);
    struct val *other = metric_key(c, c->f, "against", "against", VECTOR);
    same_width(c, test, width(c->b, v), "`of`");
    if (classifier) {
        const uint32_t n = classifier_source(c);
        same_width(c, v, n, "the classifier");
        same_width(c, other, n, "the classifier");
    } else {
        same_width(c, v, width(c->b, other), "`against`");
        if (c->p->model)
            readout_source(c);
    }
}
