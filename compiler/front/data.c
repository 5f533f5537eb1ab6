/*
 * Settings, constants and data entries: what a model is given from outside.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler/front/build.h"
#include "runtime/base/arena.h"
#include "runtime/base/json.h"

/* Host scalars */

static struct val *host_eval(struct mb *b, struct doc *d, const char *site)
{
    struct graph *g = b->g;
    const region_id at = g->at;
    const place_id where = g->where;
    g->at = b->p->host;
    g->where = graph_place(g, d->loc, 0, WHY_WRITTEN, NULL);
    g->expr = graph_new_expr(g);
    struct val *v = mb_eval_doc(b, b->host, d, site, NULL);
    g->at = at;
    g->where = where;
    return v;
}

static value_id host_num(struct mb *b, double x)
{
    const region_id at = b->g->at;
    b->g->at = b->p->host;
    const value_id v = graph_const(b->g, x);
    b->g->at = at;
    return v;
}

value_id mb_host_of(struct mb *b, struct val *v, struct loc loc)
{
    if (v->kind == VAL_POISON)
        return 0;
    if (v->kind == VAL_NUM)
        return host_num(b, v->num);
    if (v->kind == VAL_TENSOR && mb_is_host(b, v->v))
        return v->v;
    if (v->kind == VAL_TENSOR) {
        diag(b->ds, E0302, loc,
             "expected a number over settings and run-time scalars, found %s",
             mb_show(b, v));
        diag_hint(b->ds, "what is computed in a phase cannot be read here");
    } else {
        mb_value(b, v, loc);
    }
    return 0;
}

value_id mb_host_value(struct mb *b, struct doc *d)
{
    return mb_host_of(b, host_eval(b, d, "host"), d->loc);
}

bool mb_host_list(struct mb *b, struct doc *d, uint32_t n, value_id *out)
{
    const struct val *v = host_eval(b, d, "host");
    if (v->kind == VAL_POISON)
        return false;
    if ((v->kind != VAL_LIST && v->kind != VAL_TUPLE) || v->n != n) {
        diag(b->ds, E0305, d->loc, "expected a list of %u numbers, found %s", n,
             mb_show(b, v));
        diag_hint(b->ds, "a list setting keeps its length");
        return false;
    }
    for (uint32_t i = 0; i < n; i++)
        if (!(out[i] = mb_host_of(b, v->item[i], d->loc)))
            return false;
    return true;
}

/* Settings */

static bool numbers(struct mb *b, struct doc *d, double **out, uint32_t *n, bool *is_list)
{
    struct val *v = host_eval(b, d, "settings");
    *is_list = v->kind == VAL_LIST || v->kind == VAL_TUPLE;
    *n = *is_list ? v->n : 1;
    *out = arena_array(b->a, *n + 1, sizeof **out);
    if (v->kind == VAL_POISON)
        return false;
    for (uint32_t i = 0; i < *n; i++) {
        const struct val *one = *is_list ? v->item[i] : v;
        if (one->kind != VAL_NUM) {
            diag(b->ds, E0305, d->loc,
                 "a setting is a number or a list of numbers, found %s", mb_show(b, one));
            return false;
        }
        (*out)[i] = one->num;
    }
    return true;
}

static void setting_range(struct mb *b, struct doc *d, struct prog_setting *s)
{
    double *ends = NULL;
    uint32_t n = 0;
    bool is_list = false;
    if (!numbers(b, d, &ends, &n, &is_list))
        return;
    if (n != 2 || ends[0] > ends[1]) {
        diag(b->ds, E0108, d->loc, "expected `[smallest, largest]`");
        return;
    }
    s->has_range = true;
    s->lo = ends[0];
    s->hi = ends[1];
    for (uint32_t i = 0; i < s->n; i++)
        if (s->value[i] < s->lo || s->value[i] > s->hi)
            diag(b->ds, E0804, s->loc, "`%s` is %g, outside its range [%g, %g]", s->name,
                 s->value[i], s->lo, s->hi);
}

static void setting(struct mb *b, const struct doc_entry *e)
{
    struct program *p = b->p;
    struct doc *value = e->value, *range = NULL, *about = NULL;
    struct prog_setting s = {.name = e->key.text, .loc = e->loc};
    if (e->value->bad)
        return;
    if (e->value->kind == DOC_MAP) {
        value = doc_get(e->value, "value");
        range = doc_get(e->value, "range");
        about = doc_get(e->value, "about");
    }
    if (!value || !numbers(b, value, &s.value, &s.n, &s.is_list))
        return;
    s.about = about ? about->text.text : NULL;
    if (range)
        setting_range(b, range, &s);
    p->setting =
        arena_grow(b->a, p->setting, &p->csetting, p->nsetting + 1, sizeof *p->setting);
    p->setting[p->nsetting++] = s;
}

void mb_settings(struct mb *b)
{
    const struct doc *d = doc_get(b->m->elaborated, "settings");
    for (uint32_t i = 0; d && d->kind == DOC_MAP && i < d->n; i++)
        setting(b, &d->entry[i]);
    b->setting_used = arena_array(b->a, b->p->nsetting + 1, sizeof *b->setting_used);
}

static int setting_find(const struct mb *b, const char *name)
{
    for (uint32_t i = 0; i < b->p->nsetting; i++)
        if (!strcmp(b->p->setting[i].name, name))
            return (int)i;
    return -1;
}

static void no_setting(struct mb *b, const char *name, struct loc loc)
{
    const char **names = arena_array(b->a, b->p->nsetting + 1, sizeof *names);
    const struct doc *declared = doc_get(b->m->elaborated, "settings");
    if (declared && doc_find(declared, name))
        return; /* its own mistake has been reported */
    for (uint32_t i = 0; i < b->p->nsetting; i++)
        names[i] = b->p->setting[i].name;
    const char *near = diag_nearest(name, names, b->p->nsetting);
    diag(b->ds, E0204, loc, "`$%s` is not a setting", name);
    if (mb_find(b->constants, name))
        diag_hint(b->ds, "`%s` is a constant: constants are written without `$`", name);
    else if (near)
        diag_hint(b->ds, "did you mean `$%s`?", near);
    else
        diag_hint(b->ds, "declare it: `settings: {%s: 1}`", name);
}

struct val *mb_setting(struct mb *b, const char *name, struct loc loc)
{
    const int i = setting_find(b, name);
    if (i < 0) {
        if (!strcmp(name, "dt"))
            return mb_num(b, 1);
        no_setting(b, name, loc);
        return mb_poison(b);
    }
    const struct prog_setting *s = &b->p->setting[i];
    const struct type t = type_scalar(DT_F32);
    b->setting_used[i] = true;
    if (!s->is_list)
        return mb_tensor(b, graph_leaf(b->g, LEAF_SETTING, 0, 0, s->name, t));
    struct val **item = arena_array(b->a, s->n + 1, sizeof(struct val *));
    for (uint32_t k = 0; k < s->n; k++)
        item[k] = mb_tensor(b, graph_leaf(b->g, LEAF_SETTING, 0, 0,
                                          arena_fmt(b->a, "%s[%u]", s->name, k), t));
    struct val *v = mb_tuple(b, item, s->n);
    v->kind = VAL_LIST;
    return v;
}

/* Constants: nodes of a frame of their own. */

struct run *mb_run(struct mb *b, region_id region, bool training, const char *prefix)
{
    struct run *r = arena_alloc(b->a, sizeof *r);
    r->region = region;
    r->training = training;
    r->prefix = prefix;
    return r;
}

void mb_constants(struct mb *b)
{
    struct doc *d = doc_get(b->m->elaborated, "constants");
    struct frame *f = mb_frame(b, b->host_run, "constants");
    f->site = "constants";
    f->is_phase = true;
    f->body = mb_body(b, d && d->kind == DOC_MAP ? d : doc_map(b->a, (struct loc){0}),
                      "constants");
    b->constants = f;
    mb_bind_body(b, f);
}

/* Data */

int mb_data_find(const struct mb *b, const char *name)
{
    for (uint32_t i = 0; i < b->ndata; i++)
        if (!strcmp(b->data[i].name, name))
            return (int)i;
    return -1;
}

static bool whole_key(struct mb *b, struct doc *d, int64_t *out)
{
    struct val *v = host_eval(b, d, "data");
    return mb_whole(b, v, d->loc, out);
}

static uint32_t number_list(struct mb *b, struct doc *d, double *out, uint32_t max)
{
    double *x = NULL;
    uint32_t n = 0;
    bool is_list = false;
    if (!numbers(b, d, &x, &n, &is_list))
        return 0;
    if (n > max) {
        diag(b->ds, E0309, d->loc, "%u values where at most %u are expected", n, max);
        return 0;
    }
    memcpy(out, x, n * sizeof *x);
    return n;
}

static int64_t whole(double x)
{
    return x >= 1 && x <= INT32_MAX && x == (double)(int64_t)x ? (int64_t)x : 0;
}

/* Upper end of what a batch may be: of a setting its range, else its value; 0: it is none.
 */
static int64_t batch_upper(const struct mb *b, value_id v)
{
    const struct node *n = &b->g->node[b->g->value[v].def];
    struct sx_env env = {0};
    if (n->op == OP_LEAF && b->g->leaf[n->attr].what == LEAF_SETTING) {
        const int i = setting_find(b, b->g->leaf[n->attr].path);
        const struct prog_setting *s = i < 0 ? NULL : &b->p->setting[i];
        if (!s || !whole(s->value[0]))
            return 0;
        return s->has_range ? (int64_t)s->hi : (int64_t)s->value[0];
    }
    return n->op == OP_MAP && !n->nin ? whole(sx_eval_f64(&b->g->sx, n->attr, &env)) : 0;
}

static void source_batch(struct mb *b, struct prog_source *s, struct doc *d)
{
    if (d)
        s->batch = mb_host_value(b, d);
    else if (setting_find(b, "batch") >= 0)
        s->batch = mb_setting(b, "batch", s->loc)->v;
    else
        s->batch = host_num(b, 1);
    s->batch_max = s->batch ? batch_upper(b, s->batch) : 1;
    if (s->batch_max >= 1)
        return;
    diag(b->ds, E0305, d ? d->loc : s->loc,
         "`batch` must be a whole number of at least 1, or a setting");
    s->batch_max = 1;
}

static const char *parts_json(struct mb *b, const struct doc *d)
{
    struct json_writer w;
    json_init(&w);
    json_open(&w, '{');
    for (uint32_t i = 0; d->kind == DOC_MAP && i < d->n; i++) {
        double share = 0;
        number_list(b, d->entry[i].value, &share, 1);
        json_key(&w, d->entry[i].key.text);
        json_number(&w, share);
    }
    json_close(&w);
    const char *text = w.text ? arena_str(b->a, w.text) : NULL;
    json_fini(&w);
    return text;
}

/* [height, width], or one number for both. */
static void source_resize(struct mb *b, struct prog_source *s, struct doc *d)
{
    double x[2];
    const uint32_t n = number_list(b, d, x, 2);
    if (strcmp(s->kind, "folder") != 0) {
        diag(b->ds, E0201, d->loc, "key `resize` is one of source `folder`, not of `%s`",
             s->kind);
        return;
    }
    for (uint32_t i = 0; n && i < 2; i++) {
        s->resize[i] = (int32_t)whole(x[n == 2 ? i : 0]);
        if (!s->resize[i])
            diag(b->ds, E0305, d->loc, "`resize` is [height, width] in whole pixels");
    }
}

static void source_numbers(struct mb *b, struct prog_source *s, const struct doc *d)
{
    double x[4];
    int64_t n = 0;
    struct doc *k = NULL;
    s->take_from = s->take_to = -1;
    s->scale_hi = 1;
    if ((k = doc_get(d, "take")) && number_list(b, k, x, 2) == 2) {
        s->take_from = (int64_t)x[0];
        s->take_to = (int64_t)x[1];
    }
    if ((k = doc_get(d, "per_class")) && whole_key(b, k, &n))
        s->per_class = n;
    if ((k = doc_get(d, "seed")) && whole_key(b, k, &n))
        s->parts_seed = (uint64_t)n;
    if ((k = doc_get(d, "resize")))
        source_resize(b, s, k);
    if ((k = doc_get(d, "scale")) && number_list(b, k, x, 2) == 2) {
        s->scale_lo = x[0];
        s->scale_hi = x[1];
    }
    if ((k = doc_get(d, "mean")))
        s->nmean = number_list(b, k, s->mean, 4);
    if ((k = doc_get(d, "std")) && number_list(b, k, s->std, 4) != s->nmean)
        diag(b->ds, E0309, k->loc, "`mean` and `std` need equally many values");
    if ((k = doc_get(d, "parts")))
        s->parts = parts_json(b, k);
}

static const char *word_key(const struct doc *d, const char *key)
{
    const struct doc *k = doc_get(d, key);
    return k && k->kind == DOC_SCALAR ? k->text.text : NULL;
}

static struct type field_type(const struct model_field *f)
{
    struct type t = type_scalar(f->is_int ? DT_I32 : DT_F32);
    t.sample = true;
    t.dim[0] = (struct ext){0, 1};
    t.rank = (uint8_t)(f->rank + 1);
    for (unsigned i = 0; i < f->rank; i++)
        t.dim[i + 1] = ext_const(f->dim[i]);
    return t;
}

/* `why` may begin with the code it is to be reported under: "E0706 train.gz is missing". */
static void fields_failed(struct mb *b, struct loc loc, const char *why)
{
    enum diag_code code = E0705;
    if (!why)
        why = "unknown kind of source";
    char *name = arena_strn(b->a, why, strcspn(why, " "));
    if (diag_code_find(name, &code) && why[strlen(name)])
        why += strlen(name) + 1;
    diag(b->ds, code, loc, "%s", why);
    if (code == E0706)
        diag_hint(b->ds, "`--data DIR` names a folder of files");
}

static void source_fields(struct mb *b, struct prog_source *s, const struct doc *d)
{
    const struct model_options *o = &b->m->options;
    struct model_field *field = NULL;
    uint32_t n = 0;
    const char *why = NULL;
    if (!o->fields)
        return;
    if (!o->fields(o->cx, b->a, s->kind, d, &field, &n, &why)) {
        const struct doc *k = doc_get(d, "source");
        fields_failed(b, k ? k->loc : s->loc, why);
        s->field = NULL;
        s->nfield = 0;
        return;
    }
    s->field = arena_array(b->a, n + 1, sizeof *s->field);
    s->nfield = n;
    for (uint32_t i = 0; i < n; i++) {
        if (s->resize[0] && !strcmp(field[i].name, "image"))
            memcpy(field[i].dim + 1, s->resize, sizeof s->resize);
        s->field[i] =
            (struct prog_field){.name = field[i].name, .type = field_type(&field[i])};
    }
}

/* `keep`: a condition over the fields, in a region of its own. */
static void source_keep(struct mb *b, uint32_t i, struct doc *d)
{
    struct prog_source *s = &b->p->source[i];
    struct graph *g = b->g;
    const region_id at = g->at;
    s->keep_region = graph_region(g, REGION_PHASE, arena_fmt(b->a, "data/%s", s->name));
    struct frame *f = mb_frame(b, mb_run(b, s->keep_region, false, ""), s->name);
    f->is_probe = f->is_phase = true;
    f->site = arena_fmt(b->a, "data/%s", s->name);
    f->bind = arena_array(b->a, s->nfield + 1, sizeof *f->bind);
    for (uint32_t k = 0; k < s->nfield; k++)
        f->bind[f->nbind++] =
            (struct bind){.name = s->field[k].name,
                          .kind = BIND_VALUE,
                          .state = 2,
                          .nparts = 1,
                          .value = mb_field(b, f->run, (int)i, s->field[k].name, d->loc)};
    g->at = s->keep_region;
    g->where = graph_place(g, d->loc, 0, WHY_WRITTEN, f->site);
    g->expr = graph_new_expr(g);
    struct val *v = mb_eval_doc(b, f, d, f->site, NULL);
    const value_id id = v->kind == VAL_TENSOR ? v->v : 0;
    if (id && graph_type(g, id)->dtype == DT_BOOL && graph_type(g, id)->sample) {
        s->keep = id;
        graph_root(g, s->keep_region, ROOT_OUTPUT, 0, 0, id, "keep");
    } else if (v->kind != VAL_POISON) {
        diag(b->ds, E0314, d->loc, "expected a condition (bool) per sample, found %s",
             mb_show(b, v));
        diag_hint(b->ds, "`label != 9`");
    }
    g->at = at;
}

static void source(struct mb *b, const struct doc_entry *e)
{
    struct program *p = b->p;
    struct doc *d = e->value;
    struct prog_source s = {.name = e->key.text, .loc = e->loc};
    if (d->bad || d->kind != DOC_MAP)
        return;
    s.kind = word_key(d, "source");
    if (!s.kind)
        return;
    s.split = word_key(d, "split");
    s.file = word_key(d, "file");
    const char *order = word_key(d, "order"), *last = word_key(d, "last");
    s.random = !order || strcmp(order, "file") != 0;
    s.ordered = order != NULL;
    s.drop_last = last && !strcmp(last, "drop");
    source_numbers(b, &s, d);
    source_batch(b, &s, doc_get(d, "batch"));
    source_fields(b, &s, d);
    p->source = arena_grow(b->a, p->source, &p->csource, p->nsource + 1, sizeof *p->source);
    p->source[p->nsource] = s;
    b->data[b->ndata++] = (struct data_info){.name = s.name, .doc = d};
    struct doc *keep = doc_get(d, "keep");
    if (keep)
        source_keep(b, p->nsource, keep);
    p->nsource++;
}

void mb_data(struct mb *b)
{
    const struct doc *d = doc_get(b->m->elaborated, "data");
    const uint32_t n = d && d->kind == DOC_MAP ? d->n : 0;
    b->data = arena_array(b->a, n + 1, sizeof *b->data);
    b->p->csource = n + 1; /* all at once: pointers into it stay */
    b->p->source = arena_array(b->a, n + 1, sizeof *b->p->source);
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(d->entry[i].key.text, "all") != 0)
            source(b, &d->entry[i]);
    const int i = setting_find(b, "batch");
    const struct prog_setting *s = i < 0 ? NULL : &b->p->setting[i];
    b->p->batch_max = !s ? 1 : (int64_t)(s->has_range ? s->hi : s->value[0]);
}

static struct prog_field *field_find(struct prog_source *s, const char *name)
{
    for (uint32_t i = 0; i < s->nfield; i++)
        if (!strcmp(s->field[i].name, name))
            return &s->field[i];
    return NULL;
}

static void no_field(struct mb *b, const struct prog_source *s, const char *name,
                     struct loc loc)
{
    char *list = arena_str(b->a, "");
    if (!s->nfield)
        return; /* why it has none has been reported */
    for (uint32_t i = 0; i < s->nfield; i++)
        list = arena_fmt(b->a, "%s%s`%s` %s", list, i ? ", " : "", s->field[i].name,
                         type_print(&s->field[i].type, b->a));
    if (name)
        diag(b->ds, E0209, loc, "source `%s` has no field `%s`", s->name, name);
    else
        diag(b->ds, E0307, loc, "expected a value, found the source `%s`", s->name);
    diag_hint(b->ds, "it has %s", list);
}

/* `name` of a source; in a run with `from`, the replaced source's fields come from there.
 */
struct val *mb_field(struct mb *b, struct run *r, int source, const char *name,
                     struct loc loc)
{
    struct prog_source *s = &b->p->source[source];
    b->data[source].used = true;
    if (!name || !field_find(s, name)) {
        no_field(b, s, name, loc);
        return mb_poison(b);
    }
    if (r->from && r->replace && !strcmp(r->replace, s->name)) {
        const int k = mb_data_find(b, r->from);
        struct prog_source *other = &b->p->source[k];
        const struct prog_field *mine = field_find(s, name), *f = field_find(other, name);
        if (!f || !type_eq(&f->type, &mine->type)) {
            diag(b->ds, E0806, loc, "`from: %s` lacks the field `%s` that the phase reads",
                 r->from, name);
            return mb_poison(b);
        }
        b->data[k].used = true;
        s = other;
    }
    struct prog_field *f = field_find(s, name);
    f->used = true;
    return mb_tensor(b, graph_leaf(b->g, LEAF_DATA, 0, 0,
                                   arena_fmt(b->a, "%s.%s", s->name, name), f->type));
}
