/*
 * The schedule: stages, the entries of their cycles, what holds for their duration.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler/front/build.h"
#include "runtime/base/arena.h"

static int phase_find(const struct mb *b, const char *name)
{
    for (uint32_t i = 0; i < b->nphase; i++)
        if (!strcmp(b->phase[i].name, name))
            return (int)i;
    return -1;
}

static void no_phase(struct mb *b, const char *name, struct loc loc)
{
    const char **names = arena_array(b->a, b->nphase + 1, sizeof *names);
    const struct doc *phases = doc_get(b->m->elaborated, "phases");
    if (phases && doc_find(phases, name))
        return; /* its own mistake has been reported */
    for (uint32_t i = 0; i < b->nphase; i++)
        names[i] = b->phase[i].name;
    const char *near = diag_nearest(name, names, b->nphase);
    diag(b->ds, E0203, loc, "unknown phase `%s`", name);
    if (near)
        diag_hint(b->ds, "did you mean `%s`?", near);
}

typedef void named_fn(struct mb *b, const char *name, struct loc loc);

static void mark_scheduled(struct mb *b, const char *name, struct loc loc)
{
    const int i = phase_find(b, name);
    if (i < 0)
        no_phase(b, name, loc);
    else
        b->phase[i].scheduled = true;
}

static void each_entry(struct mb *b, const struct doc *cycle, named_fn *fn)
{
    const uint32_t n = cycle->kind == DOC_LIST ? cycle->n : 1;
    for (uint32_t i = 0; i < n; i++) {
        const struct doc *e = cycle->kind == DOC_LIST ? cycle->entry[i].value : cycle;
        if (e->bad)
            continue;
        if (e->kind == DOC_SCALAR)
            fn(b, e->text.text, e->loc);
        for (uint32_t k = 0; e->kind == DOC_MAP && k < e->n; k++) {
            const char *key = e->entry[k].key.text;
            if (!strcmp(key, "cycle"))
                each_entry(b, e->entry[k].value, fn);
            else if (strcmp(key, "when") != 0 && strcmp(key, "repeat") != 0)
                fn(b, key, e->entry[k].loc);
        }
    }
}

static struct doc *stage_doc(const struct doc *d, uint32_t i)
{
    return d->kind == DOC_LIST ? d->entry[i].value : (struct doc *)d;
}

/* Which phases train: known before any is evaluated. */
void mb_scheduled_names(struct mb *b)
{
    const struct doc *d = doc_get(b->m->elaborated, "schedule");
    for (uint32_t i = 0; d && i < (d->kind == DOC_LIST ? d->n : 1); i++) {
        const struct doc *cycle = doc_get(stage_doc(d, i), "cycle");
        if (cycle && !cycle->bad)
            each_entry(b, cycle, mark_scheduled);
    }
}

static void entries(struct mb *b, const struct doc *cycle, struct prog_entry **out,
                    uint32_t *nout);

static value_id condition(struct mb *b, struct doc *d)
{
    const value_id v = mb_host_value(b, d);
    const struct node *n = v ? &b->g->node[b->g->value[v].def] : NULL;
    const bool constant = n && n->op == OP_MAP && !n->nin; /* `true` became a number */
    if (!v || constant || graph_type(b->g, v)->dtype == DT_BOOL)
        return v;
    diag(b->ds, E0314, d->loc, "expected a condition (bool), found %s",
         type_print(graph_type(b->g, v), b->a));
    diag_hint(b->ds, "`$R > 0`");
    return 0;
}

static bool entry_map(struct mb *b, const struct doc *e, struct prog_entry *out)
{
    bool found = false;
    for (uint32_t k = 0; k < e->n; k++) {
        const char *key = e->entry[k].key.text;
        struct doc *value = e->entry[k].value;
        if (!strcmp(key, "when")) {
            out->when = condition(b, value);
        } else if (!strcmp(key, "repeat")) {
            out->repeat = found = true;
            out->times = mb_host_value(b, value);
        } else if (!strcmp(key, "cycle")) {
            entries(b, value, &out->entry, &out->nentry);
        } else {
            const int i = phase_find(b, key);
            found = i >= 0;
            out->phase = i < 0 ? 0 : (uint32_t)i;
            out->times = mb_host_value(b, value);
        }
    }
    return found;
}

static void entries(struct mb *b, const struct doc *cycle, struct prog_entry **out,
                    uint32_t *nout)
{
    const uint32_t n = cycle->kind == DOC_LIST ? cycle->n : 1;
    *out = arena_array(b->a, n + 1, sizeof **out);
    for (uint32_t i = 0; i < n; i++) {
        const struct doc *e = cycle->kind == DOC_LIST ? cycle->entry[i].value : cycle;
        struct prog_entry row = {0};
        if (e->bad)
            continue;
        if (e->kind == DOC_SCALAR) {
            const int k = phase_find(b, e->text.text);
            if (k < 0)
                continue;
            row.phase = (uint32_t)k;
        } else if (e->kind != DOC_MAP || !entry_map(b, e, &row)) {
            continue;
        }
        (*out)[(*nout)++] = row;
    }
}

static const char *first_source(const struct mb *b, const struct prog_entry *e, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const char *found = NULL;
        if (e[i].repeat)
            found = first_source(b, e[i].entry, e[i].nentry);
        else if (b->p->phase[e[i].phase].nsource)
            found = b->p->phase[e[i].phase].source[0];
        if (found)
            return found;
    }
    return NULL;
}

static void stage_over(struct mb *b, struct prog_stage *s, const struct doc *over)
{
    if (!over) {
        s->over = first_source(b, s->entry, s->nentry);
        return;
    }
    s->over = over->text.text;
    const int i = mb_data_find(b, s->over);
    if (i >= 0) {
        b->data[i].used = true;
        return;
    }
    const char **names = arena_array(b->a, b->ndata + 1, sizeof *names);
    for (uint32_t k = 0; k < b->ndata; k++)
        names[k] = b->data[k].name;
    const char *near = diag_nearest(s->over, names, b->ndata);
    diag(b->ds, E0203, over->loc, "unknown source `%s`", s->over);
    if (near)
        diag_hint(b->ds, "did you mean `%s`?", near);
}

/* `until: error < 0.1`: probes are counters "probe/NAME" here. */
static value_id until_value(struct mb *b, struct doc *d)
{
    const struct doc *probes = doc_get(b->m->elaborated, "probes");
    struct frame f = *b->host;
    const uint32_t n = probes && probes->kind == DOC_MAP ? probes->n : 0;
    f.bind = arena_array(b->a, n + 1, sizeof *f.bind);
    for (uint32_t i = 0; i < n; i++) {
        const char *name = probes->entry[i].key.text;
        f.bind[f.nbind++] = (struct bind){
            .name = name,
            .kind = BIND_VALUE,
            .state = 2,
            .nparts = 1,
            .value = mb_tensor(b, graph_leaf(b->g, LEAF_COUNTER, 0, 0,
                                             arena_fmt(b->a, "probe/%s", name),
                                             type_scalar(DT_F32)))};
    }
    b->g->at = b->p->host;
    b->g->expr = graph_new_expr(b->g);
    struct val *v = mb_eval_doc(b, &f, d, "until", NULL);
    if (v->kind == VAL_TENSOR && mb_is_host(b, v->v) &&
        graph_type(b->g, v->v)->dtype == DT_BOOL)
        return v->v;
    if (v->kind != VAL_POISON)
        diag(b->ds, E0314, d->loc, "expected a condition (bool) over probes, found %s",
             mb_show(b, v));
    return 0;
}

/* A setting's numbers for a time: one, or those of a list. */
static uint32_t setting_numbers(struct mb *b, const struct val *s, struct doc *d,
                                value_id **out)
{
    const uint32_t n = s->kind == VAL_LIST ? s->n : 1;
    *out = arena_array(b->a, n + 1U, sizeof **out);
    if (s->kind == VAL_LIST)
        return mb_host_list(b, d, n, *out) ? n : 0;
    **out = mb_host_value(b, d);
    return **out ? 1 : 0;
}

bool mb_setting_values(struct mb *b, const struct doc *d, struct prog_named **out,
                       uint32_t *n)
{
    uint32_t cap = 0;
    for (uint32_t i = 0; d->kind == DOC_MAP && i < d->n; i++) {
        const char *name = d->entry[i].key.text;
        struct val *s = mb_setting(b, name, d->entry[i].loc);
        if (s->kind == VAL_POISON || d->entry[i].value->bad)
            continue;
        value_id *v = NULL;
        const uint32_t count = setting_numbers(b, s, d->entry[i].value, &v);
        *out = arena_grow(b->a, *out, &cap, *n + count + 1, sizeof **out);
        for (uint32_t k = 0; k < count; k++)
            (*out)[(*n)++] = (struct prog_named){
                .name = name, .element = k, .value = v[k], .region = b->p->host};
    }
    return true;
}

static void stage(struct mb *b, struct doc *d)
{
    struct program *p = b->p;
    struct prog_stage s = {.loc = d->loc};
    struct doc *k = NULL;
    if (d->kind != DOC_MAP || d->bad)
        return;
    if ((k = doc_get(d, "cycle")) && !k->bad)
        entries(b, k, &s.entry, &s.nentry);
    if ((k = doc_get(d, "epochs")))
        s.epochs = mb_host_value(b, k);
    if ((k = doc_get(d, "cycles")))
        s.cycles = mb_host_value(b, k);
    if ((k = doc_get(d, "until")))
        s.until = until_value(b, k);
    if ((k = doc_get(d, "settings")))
        mb_setting_values(b, k, &s.set, &s.nset);
    if ((k = doc_get(d, "freeze")) && !k->bad)
        mb_stage_freeze(b, &s, k);
    stage_over(b, &s, doc_get(d, "over"));
    p->stage = arena_grow(b->a, p->stage, &p->cstage, p->nstage + 1, sizeof *p->stage);
    p->stage[p->nstage++] = s;
}

void mb_schedule(struct mb *b)
{
    struct doc *d = doc_get(b->m->elaborated, "schedule");
    for (uint32_t i = 0; d && i < (d->kind == DOC_LIST ? d->n : 1); i++)
        stage(b, stage_doc(d, i));
}
