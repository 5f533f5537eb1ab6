/*
 * Probes: what is watched, and in which region it is computed.
 *
 * A value or image of the cycle just run is an output of its phase.  Everything else gets
 * regions of its own, where the phases it reads are instantiated again: on another source,
 * with frozen weights, with draws under `probe/NAME/`.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler/front/expr_edit.h"
#include "compiler/front/probe.h"
#include "compiler/front/schema.h"
#include "runtime/base/arena.h"

/* Which phases an expression reads */

static bool phase_reads(const struct mb *b, const struct expr *e, uint32_t i)
{
    if (e->kind == EX_NAME) {
        const char *path = e->name;
        const size_t n = strlen(b->phase[i].name);
        if (!strncmp(path, b->phase[i].name, n) && path[n] == '.')
            return true;
        char *prefix = arena_str(b->a, path);
        const struct frame *f = mb_phase_frame((struct mb *)b, b->phase[i].run, i);
        for (char *dot = prefix; dot; dot = strrchr(prefix, '.')) {
            if (dot != prefix)
                *dot = 0;
            if (mb_find((struct frame *)f, prefix))
                return true;
        }
        return false;
    }
    for (uint32_t k = 0; k < e->n; k++)
        if (e->child[k] && phase_reads(b, e->child[k], i))
            return true;
    return false;
}

static void reads_doc(struct mb *b, struct doc *d, bool *read)
{
    for (uint32_t i = 0; d && d->kind == DOC_MAP && i < d->n; i++)
        reads_doc(b, d->entry[i].value, read);
    if (!d || d->kind == DOC_MAP || d->bad)
        return;
    const struct expr *e = expr_parse(b->a, b->ds, d);
    for (uint32_t i = 0; e && i < b->nphase; i++)
        read[i] |= phase_reads(b, e, i);
}

/* The only scheduled phase of those read, or -1: then a region of its own is needed. */
static int sole_phase(const struct mb *b, const bool *read, int *first)
{
    int n = 0;
    *first = -1;
    for (uint32_t i = 0; i < b->nphase; i++) {
        if (!read[i])
            continue;
        n++;
        if (*first < 0 || (b->phase[i].scheduled && !b->phase[*first].scheduled))
            *first = (int)i;
    }
    return n == 1 && b->phase[*first].scheduled ? *first : -1;
}

static int only_phase(struct mb *b, struct doc *probe, int *first)
{
    static const char *const keys[] = {"value", "image", "beside", "of", "nodes"};
    bool *read = arena_array(b->a, b->nphase + 1, sizeof *read);
    for (unsigned k = 0; k < ARRAY_LEN(keys); k++)
        reads_doc(b, doc_get(probe, keys[k]), read);
    return sole_phase(b, read, first);
}

/* The phase of each item of a list of values; NULL: no list, or some have no phase or
 * several. */
static const int *phase_of_each(struct mb *b, struct doc *probe)
{
    struct doc *d = doc_get(probe, "value");
    const struct expr *e = d && !d->bad ? expr_parse(b->a, b->ds, d) : NULL;
    if (!e || e->kind != EX_LIST)
        return NULL;
    int *phase = arena_array(b->a, e->n + 1, sizeof *phase), first;
    for (uint32_t k = 0; k < e->n; k++) {
        bool *read = arena_array(b->a, b->nphase + 1, sizeof *read);
        reads_doc(b, doc_get(probe, "nodes"), read);
        for (uint32_t i = 0; i < b->nphase; i++)
            read[i] |= phase_reads(b, e->child[k], i);
        phase[k] = sole_phase(b, read, &first);
        if (phase[k] < 0)
            return NULL;
    }
    return phase;
}

/* The source that a probe's phases train on: what `from` replaces. */
static const char *trains_on(const struct mb *b, int phase)
{
    const struct program *p = b->p;
    if (phase >= 0 && p->phase[phase].nsource)
        return p->phase[phase].source[0];
    for (uint32_t i = 0; i < p->nphase; i++)
        if (p->phase[i].scheduled && p->phase[i].nsource)
            return p->phase[i].source[0];
    return NULL;
}

/* Frames of probes: they see the phases */

struct frame *mb_probe_frame(struct mb *b, struct run *r, struct doc *nodes,
                             const char *name, struct loc loc, const struct over *over)
{
    struct frame *f = mb_frame(b, r, name);
    f->bind = arena_array(b->a, OVER_NAMES, sizeof *f->bind);
    for (uint32_t i = 0; over && i < over->n; i++)
        f->bind[f->nbind++] = (struct bind){.name = over->name[i],
                                            .kind = BIND_VALUE,
                                            .state = 2,
                                            .nparts = 1,
                                            .loc = over->loc[i],
                                            .value = over->list[i]->item[over->at[i]]};
    f->site = arena_fmt(b->a, "probe/%s", name);
    f->is_probe = true;
    f->call = loc;
    f->body =
        mb_body(b, nodes && nodes->kind == DOC_MAP ? nodes : doc_map(b->a, loc), name);
    mb_bind_body(b, f);
    return f;
}

struct run *mb_probe_run(struct mb *b, const char *name, const char *sites, bool training,
                         const char *from, const char *replace)
{
    const region_id region = graph_region(b->g, REGION_PHASE, name);
    b->g->region[region].training = training;
    struct run *r = mb_run(b, region, training, arena_fmt(b->a, "probe/%s/", sites));
    r->from = from;
    r->replace = replace;
    return r;
}

struct val *mb_probe_key(struct mb *b, struct frame *f, struct doc *d, const char *key)
{
    struct graph *g = b->g;
    const char *site = arena_fmt(b->a, "%s/%s", f->site, key);
    g->at = f->run->region;
    g->where = graph_place(g, d->loc, 0, WHY_WRITTEN, site);
    g->expr = graph_new_expr(g);
    return mb_eval_doc(b, f, d, site, NULL);
}

static void add_value(struct probe_cx *c, const char *name, value_id v, region_id region)
{
    struct mb *b = c->b;
    struct prog_probe *p = c->p;
    graph_root(b->g, region, ROOT_OUTPUT, 0, 0, v,
               arena_fmt(b->a, "probe/%s/%s", p->name, name));
    p->value = arena_grow(b->a, p->value, &c->cvalue, p->nvalue + 1, sizeof *p->value);
    p->value[p->nvalue++] = (struct prog_named){.name = name, .value = v, .region = region};
}

/* Tuples become NAME.0, NAME.1, ..., and lists of what a metric reads. */
void mb_probe_add(struct probe_cx *c, const char *name, struct val *v, struct frame *f,
                  struct loc loc)
{
    struct mb *b = c->b;
    if (v->kind == VAL_TUPLE || (v->kind == VAL_LIST && c->p->kind == PROBE_METRIC)) {
        for (uint32_t i = 0; i < v->n; i++)
            mb_probe_add(c, arena_fmt(b->a, "%s.%u", name, i), v->item[i], f, loc);
        return;
    }
    b->g->at = f->run->region;
    const value_id id = v->kind == VAL_POISON ? 0 : mb_value(b, v, loc);
    if (id)
        add_value(c, arena_str(b->a, name), id, f->run->region);
}

static void shared_only(struct mb *b, const struct val *v, struct loc loc)
{
    for (uint32_t i = 0; (v->kind == VAL_TUPLE || v->kind == VAL_LIST) && i < v->n; i++)
        shared_only(b, v->item[i], loc);
    if (v->kind != VAL_TENSOR || !graph_type(b->g, v->v)->sample)
        return;
    diag(b->ds, E0302, loc, "expected one number for the batch, found a sample value: %s",
         mb_show(b, v));
    diag_hint(b->ds, "`mean(...)`");
}

/* every */

static void read_every(struct probe_cx *c)
{
    struct mb *b = c->b;
    struct doc *d = doc_get(c->doc, "every");
    struct prog_probe *p = c->p;
    p->every = EVERY_EPOCH;
    p->period = 1;
    if (!d || d->bad)
        return;
    if (d->kind == DOC_LIST) {
        p->every = EVERY_LIST;
        p->epoch = arena_array(b->a, d->n + 1, sizeof *p->epoch);
        for (uint32_t i = 0; i < d->n; i++)
            if (d->entry[i].value->kind == DOC_SCALAR)
                p->epoch[p->nepoch++] =
                    (uint32_t)strtoul(d->entry[i].value->text.text, NULL, 10);
        return;
    }
    const char *text = d->kind == DOC_SCALAR ? d->text.text : "";
    char *end = NULL;
    const unsigned long n = strtoul(text, &end, 10);
    if (!strcmp(text, "end")) {
        p->every = EVERY_END;
    } else if (n > 0 && n <= UINT32_MAX && end != text) {
        p->every = strstr(end, "epoch") ? EVERY_EPOCH : EVERY_CYCLES;
        p->period = (uint32_t)n;
    } else if (strcmp(text, "epoch") != 0) {
        diag(b->ds, E0108, d->loc, "expected %s", schema_form[FORM_EVERY].words);
    }
}

/* Values and images */

/* Items of a list, each from the cycle just run of its phase. */
static void value_items(struct probe_cx *c, const struct expr *list)
{
    struct mb *b = c->b;
    for (uint32_t i = 0; i < list->n; i++) {
        const char *name = arena_fmt(b->a, "value.%u", i);
        struct expr *e = list->child[i];
        struct frame *f =
            mb_probe_frame(b, b->phase[c->phase_of[i]].run, doc_get(c->doc, "nodes"),
                           c->base, c->p->loc, c->over);
        struct val *v = mb_probe_key(b, f, expr_doc(b->a, e, e->loc), name);
        shared_only(b, v, e->loc);
        mb_probe_add(c, name, v, f, e->loc);
    }
}

/* What figures call the items of a list. */
static void name_items(struct probe_cx *c, struct doc *d)
{
    struct mb *b = c->b;
    const struct expr *e = d && !d->bad ? expr_parse(b->a, b->ds, d) : NULL;
    if (!e || e->kind != EX_LIST)
        return;
    c->p->item = arena_array(b->a, e->n + 1U, sizeof *c->p->item);
    c->p->nitem = e->n;
    for (uint32_t i = 0; i < e->n; i++)
        c->p->item[i] = expr_print(e->child[i], b->a);
}

static void value_probe(struct probe_cx *c, struct doc *d)
{
    c->p->kind = PROBE_VALUE;
    if (d->bad)
        return;
    if (!c->f) {
        value_items(c, expr_parse(c->b->a, c->b->ds, d));
        return;
    }
    struct val *v = mb_probe_key(c->b, c->f, d, "value");
    shared_only(c->b, v, d->loc);
    mb_probe_add(c, "value", v, c->f, d->loc);
}

static void image_probe(struct probe_cx *c, struct doc *d)
{
    struct doc *beside = doc_get(c->doc, "beside");
    c->p->kind = PROBE_IMAGE;
    if (!d->bad)
        mb_probe_add(c, "image", mb_probe_key(c->b, c->f, d, "image"), c->f, d->loc);
    if (beside && !beside->bad)
        mb_probe_add(c, "beside", mb_probe_key(c->b, c->f, beside, "beside"), c->f,
                     beside->loc);
}

static bool from_source(struct probe_cx *c)
{
    struct mb *b = c->b;
    struct doc *d = doc_get(c->doc, "from");
    if (!d || d->kind != DOC_SCALAR || d->bad)
        return true;
    const int i = mb_data_find(b, d->text.text);
    if (i >= 0) {
        c->p->from = b->data[i].name;
        b->data[i].used = true;
        return true;
    }
    const struct doc *all = doc_get(b->m->elaborated, "data");
    if (all && doc_find(all, d->text.text))
        return false; /* its own mistake has been reported */
    const char **names = arena_array(b->a, b->ndata + 1, sizeof *names);
    for (uint32_t k = 0; k < b->ndata; k++)
        names[k] = b->data[k].name;
    const char *near = diag_nearest(d->text.text, names, b->ndata);
    diag(b->ds, E0203, d->loc, "unknown source `%s`", d->text.text);
    if (near)
        diag_hint(b->ds, "did you mean `%s`?", near);
    return false;
}

static bool probe_place(struct probe_cx *c, bool is_metric)
{
    struct mb *b = c->b;
    int first = -1;
    const int phase = only_phase(b, c->doc, &first);
    if (!from_source(c))
        return false;
    c->replace = trains_on(b, first);
    if (phase < 0 && !c->p->from && !c->p->training &&
        (c->phase_of = phase_of_each(b, c->doc)) != NULL)
        return true;
    if (is_metric || c->p->from || phase < 0 || c->p->training)
        c->run = mb_probe_run(b, arena_fmt(b->a, "probe/%s", c->p->name), c->base,
                              c->p->training, c->p->from, c->replace);
    else
        c->run = b->phase[phase].run;
    c->f = mb_probe_frame(b, c->run, doc_get(c->doc, "nodes"), c->base, c->p->loc, c->over);
    return true;
}

/* The one name whose values are numbers: the abscissa of a curve. */
static void over_numbers(struct mb *b, const struct over *o, struct prog_probe *p)
{
    p->run = o->run;
    p->runs = o->runs;
    p->over = o->n == 1 ? o->name[0] : NULL;
    p->at = arena_array(b->a, o->runs + 1U, sizeof *p->at);
    for (uint32_t i = 0; p->over && i < o->runs; i++) {
        p->at[i] = o->list[0]->item[i]->num;
        if (o->list[0]->item[i]->kind != VAL_NUM)
            p->over = NULL;
    }
}

/* One repetition of a probe; `over` is NULL where there is one only. */
static void probe_once(struct mb *b, const struct doc_entry *e,
                       const struct metric_row *kind, const struct over *over)
{
    struct program *p = b->p;
    struct doc *d = e->value, *k = NULL;
    struct prog_probe row = {.name = e->key.text, .loc = e->loc};
    struct probe_cx c = {
        .b = b, .doc = d, .row = kind, .p = &row, .base = e->key.text, .over = over};
    struct doc *value = doc_get(d, "value"), *image = doc_get(d, "image");
    if (p->nprobe == MB_PROBES) {
        diag(b->ds, E0902, e->loc, "limit exceeded: %d probes, repetitions counted",
             MB_PROBES);
        b->over_limit = true;
    }
    if (b->over_limit)
        return;
    if (over) {
        row.base = e->key.text;
        row.name = arena_fmt(b->a, "%s.%u", row.base, over->run);
        over_numbers(b, over, &row);
    }
    row.training = (k = doc_get(d, "training")) && k->kind == DOC_SCALAR &&
                   !strcmp(k->text.text, "true");
    if (!probe_place(&c, *kind->name))
        return;
    read_every(&c);
    mb_probe_params(&c);
    if ((k = doc_get(d, "settings")))
        mb_setting_values(b, k, &row.set, &row.nset);
    name_items(&c, value ? value : doc_get(d, "of"));
    if (value)
        value_probe(&c, value);
    else if (image)
        image_probe(&c, image);
    else
        mb_probe_metric(&c);
    p->probe = arena_grow(b->a, p->probe, &p->cprobe, p->nprobe + 1, sizeof *p->probe);
    p->probe[p->nprobe++] = row;
}

/* `over: {share: [0, 0.5, 1]}`: the lists, in the order of the file. */
static bool read_over(struct mb *b, struct doc *d, struct over *o, uint32_t *runs)
{
    *runs = 1;
    for (uint32_t i = 0; d->kind == DOC_MAP && i < d->n; i++) {
        struct doc *k = d->entry[i].value;
        const struct expr *e = k->bad ? NULL : expr_parse(b->a, b->ds, k);
        struct ecx x = {.f = b->host, .root = e, .site = "host", .number = ""};
        struct val *v = e ? mb_eval(b, &x, e) : mb_poison(b);
        if (v->kind == VAL_POISON)
            return false;
        if (v->kind != VAL_LIST || !v->n || o->n == OVER_NAMES) {
            diag(b->ds, E0108, k->loc, "expected a list of values for `%s`",
                 d->entry[i].key.text);
            diag_hint(b->ds, "`over: {share: [0, 0.5, 1]}`");
            return false;
        }
        o->name[o->n] = d->entry[i].key.text;
        o->loc[o->n] = d->entry[i].loc;
        o->list[o->n++] = v;
        *runs = *runs > OVER_RUNS ? *runs : *runs * v->n;
    }
    if (*runs <= OVER_RUNS)
        return true;
    diag(b->ds, E0902, d->loc, "limit exceeded: %d repetitions of a probe", OVER_RUNS);
    return false;
}

static void probe(struct mb *b, const struct doc_entry *e)
{
    struct doc *d = e->value, *k = NULL;
    struct over over = {.n = 0};
    if (d->bad || d->kind != DOC_MAP)
        return;
    if ((doc_get(d, "value") != NULL) + (doc_get(d, "image") != NULL) +
            (doc_get(d, "metric") != NULL) !=
        1)
        return; /* reported where keys are checked */
    const struct metric_row *kind = mb_probe_row(b, e);
    if (!kind)
        return;
    if (!(k = doc_get(d, "over"))) {
        probe_once(b, e, kind, NULL);
        return;
    }
    b->g->at = b->p->host;
    over.first = b->p->nprobe;
    if (!read_over(b, k, &over, &over.runs))
        return;
    const unsigned errors = diag_errors(b->ds);
    for (uint32_t i = 0; i < over.runs && diag_errors(b->ds) == errors; i++) {
        uint32_t rest = i; /* the last name changes fastest */
        struct over *one = arena_copy(b->a, &over, sizeof over);
        one->run = i;
        for (uint32_t j = one->n; j-- > 0; rest /= one->list[j]->n)
            one->at[j] = rest % one->list[j]->n;
        probe_once(b, e, kind, one);
    }
}

/* What `hypno dream` shows */

static bool has_node(struct mb *b, const char *name)
{
    const struct expr e = {.kind = EX_NAME, .name = name};
    for (uint32_t i = 0; i < b->nphase; i++)
        if (phase_reads(b, &e, i))
            return true;
    return false;
}

static void dream(struct mb *b, struct doc *d, const char *name)
{
    struct program *p = b->p;
    for (uint32_t i = 0; i < p->nnode; i++)
        if (!strcmp(p->node[i].name, name))
            return;
    const region_id region =
        graph_region(b->g, REGION_PHASE, arena_fmt(b->a, "dream/%s", name));
    struct run *r = mb_run(b, region, false, "dream/");
    struct frame *f = mb_probe_frame(b, r, NULL, name, d->loc, NULL);
    f->site = arena_fmt(b->a, "dream/%s", name);
    struct val *v = mb_probe_key(b, f, d, "node");
    if (v->kind != VAL_TENSOR)
        return;
    graph_root(b->g, region, ROOT_OUTPUT, 0, 0, v->v, f->site);
    p->node = arena_grow(b->a, p->node, &p->cnode, p->nnode + 1, sizeof *p->node);
    p->node[p->nnode++] =
        (struct prog_named){.name = name, .value = v->v, .region = region};
}

/* Of the command line: a text of its own, so that a mistake in it has a place. */
static struct doc *given_node(struct mb *b, const char *node)
{
    const uint32_t n = (uint32_t)strlen(node);
    const struct loc loc = {diag_file(b->ds, "--node", node, n), 1, 1, n};
    return doc_scalar(b->a, loc, node);
}

static void dreams(struct mb *b)
{
    const struct model_options *o = &b->m->options;
    const struct doc *layers = doc_get(b->m->merged, "layers");
    for (uint32_t i = 0; i < o->nnode; i++)
        dream(b, given_node(b, o->node[i]), o->node[i]);
    if (layers && layers->kind == DOC_MAP && layers->n) {
        const char *bottom = layers->entry[0].key.text;
        if (!strcmp(bottom, "all") && layers->n > 1)
            bottom = layers->entry[1].key.text;
        char *name = arena_fmt(b->a, "%s.sleep", bottom);
        if (has_node(b, name)) {
            dream(b, doc_scalar(b->a, layers->loc, name), name);
            return;
        }
    }
    struct doc *probes = doc_get(b->m->elaborated, "probes");
    struct doc *image = probes ? doc_get(doc_get(probes, "dreams"), "image") : NULL;
    if (image && !image->bad && image->kind == DOC_SCALAR)
        dream(b, image, image->text.text);
}

void mb_probes(struct mb *b)
{
    const struct doc *d = doc_get(b->m->elaborated, "probes");
    for (uint32_t i = 0; d && d->kind == DOC_MAP && i < d->n; i++)
        if (strcmp(d->entry[i].key.text, "all") != 0)
            probe(b, &d->entry[i]);
    dreams(b);
}
