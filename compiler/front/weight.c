/*
 * Weights and states: leaves with paths, and their initial values in the init region.
 *
 * A network called twice meets its weights again; two calls inside one instance that arrive
 * at the same path are E0506.  Initial values are evaluated in a copy of the frame that
 * declares the weight, with the init region's run: other weights there mean their initial
 * values.
 */
#include <string.h>

#include "compiler/front/build.h"
#include "runtime/base/arena.h"

int mb_weight_find(const struct mb *b, const char *path)
{
    const uint32_t i = names_get(&b->weight_index, path);
    return i == NO_NAME ? -1 : (int)i;
}

bool mb_path_under(const char *path, const char *group)
{
    const size_t n = strlen(group);
    return !strncmp(path, group, n) && (path[n] == 0 || path[n] == '.');
}

static int add(struct mb *b, struct prog_weight w, struct frame *f, struct doc *decl)
{
    struct program *p = b->p;
    p->weight = arena_grow(b->a, p->weight, &p->cweight, p->nweight + 1, sizeof *p->weight);
    b->weight = arena_grow(b->a, b->weight, &b->cweight, p->nweight + 1, sizeof *b->weight);
    p->weight[p->nweight] = w;
    b->weight[p->nweight] = (struct weight_info){.index = p->nweight,
                                                 .frame = f,
                                                 .decl = decl,
                                                 .pass = f->in_init ? 0 : f->pass,
                                                 .owner = f};
    names_put(b->a, &b->weight_index, w.path, p->nweight);
    return (int)p->nweight++;
}

/* One key of a declaration as a value, in its frame; NULL: not there. */
static struct val *decl_key(struct mb *b, struct frame *f, struct doc *decl,
                            const char *key, struct doc **d)
{
    *d = decl->kind == DOC_MAP ? doc_get(decl, key) : !strcmp(key, "shape") ? decl : NULL;
    return *d ? mb_eval_doc(b, f, *d, f->site, f->path) : NULL;
}

static bool decl_shape(struct mb *b, struct frame *f, const struct bind *bind,
                       struct type *out)
{
    struct doc *d = NULL;
    struct val *v = decl_key(b, f, bind->doc, "shape", &d);
    if (!v) {
        diag(b->ds, E0202, bind->loc, "key `shape` is missing");
        diag_hint(b->ds, "`%s: {shape: [64]}`", bind->name);
        return false;
    }
    return mb_shape(b, v, d->loc, out);
}

static bool decl_flag(struct mb *b, struct frame *f, struct doc *decl, const char *key,
                      bool *out)
{
    struct doc *d = NULL;
    struct val *v = decl_key(b, f, decl, key, &d);
    if (!v)
        return true;
    if (v->kind == VAL_NUM && (v->is_bool || v->num == 0 || v->num == 1)) {
        *out = v->num != 0;
        return true;
    }
    if (v->kind != VAL_POISON)
        diag(b->ds, E0314, d->loc,
             "expected a condition known when compiling (bool), found %s", mb_show(b, v));
    return false;
}

/* Initial values */

static struct frame *init_frame(struct mb *b, const struct frame *f, const char *path,
                                struct run *r)
{
    struct frame *c = arena_copy(b->a, f, sizeof *f);
    c->run = r;
    c->in_init = r == b->init_run; /* weights there mean their initial values */
    c->site = arena_fmt(b->a, "init/%s", path);
    c->bind = arena_copy(b->a, f->bind, (f->nbind + 1) * sizeof *f->bind);
    for (uint32_t i = 0; i < c->nbind; i++) {
        struct bind *bind = &c->bind[i];
        if (bind->kind == BIND_VALUE)
            continue;
        bind->state = 0;
        bind->value = bind->tuple = NULL;
        if (bind->whole)
            bind->whole = &c->bind[bind->whole - f->bind];
    }
    return c;
}

static value_id filled(struct mb *b, double x, const struct type *t)
{
    return graph_map(b->g, sx_const(&b->g->sx, x), NULL, 0, t);
}

/* v as a value of exactly type t. */
static value_id fit(struct mb *b, struct val *v, const struct type *t, struct loc loc)
{
    struct type joined;
    unsigned axis = 0;
    if (v->kind == VAL_NUM)
        return filled(b, v->num, t);
    const value_id id = mb_f32(b, v, loc);
    if (!id)
        return 0;
    const struct type *have = graph_type(b->g, id);
    if (!type_join(t, have, &joined, &axis) || !mb_same_shape(&joined, t)) {
        diag(b->ds, E0301, loc, "shapes %s and %s do not fit", mb_shape_text(b, t),
             mb_shape_text(b, have));
        diag_note(b->ds, loc, "the initial value is %s, what it is for %s",
                  type_print(have, b->a), type_print(t, b->a));
        return 0;
    }
    return mb_widen(b, id, t);
}

/* An initial value must not depend on what a phase computes. */
static bool init_clean(struct mb *b, value_id v, region_id region)
{
    const struct graph *g = b->g;
    const struct node *n = &g->node[g->value[v].def];
    if (b->seen[g->value[v].def] == b->stamp)
        return true;
    b->seen[g->value[v].def] = b->stamp;
    if (n->op == OP_LEAF)
        return g->leaf[n->attr].what != LEAF_DATA;
    if (n->region != region && n->region != b->p->host)
        return false;
    for (unsigned i = 0; i < n->nin; i++)
        if (!init_clean(b, graph_in(g, n)[i], region))
            return false;
    return true;
}

/* The declared first value of weight or state i, built in the region of r. */
static value_id init_value(struct mb *b, int i, struct run *r)
{
    struct frame *f = b->weight[i].frame;
    struct doc *decl = b->weight[i].decl;
    const char *path = b->p->weight[i].path;
    const struct type type = b->g->leaf[b->p->weight[i].leaf].type, *t = &type;
    const struct loc loc = b->p->weight[i].loc;
    struct graph *g = b->g;
    struct doc *d = decl->kind == DOC_MAP ? doc_get(decl, "init") : NULL;
    const region_id at = g->at;
    const place_id where = g->where;
    const uint32_t expr = g->expr;
    const struct type *use = b->use;
    const char *site = arena_fmt(b->a, "init/%s", path);
    g->at = r->region;
    g->where = graph_place(g, d ? d->loc : loc, 0, WHY_WRITTEN, site);
    g->expr = graph_new_expr(g);
    b->use = t;
    value_id out = 0;
    if (d) {
        struct frame *c = init_frame(b, f, path, r);
        struct val *v = mb_eval_doc(b, c, d, site, NULL);
        struct ecx x = {.f = c, .site = site, .number = ""};
        if (v->kind == VAL_DIST)
            v = mb_draw(b, &x, v, arena_fmt(b->a, "%s~1", site), t, d->loc);
        out = fit(b, v, t, d->loc);
        mb_new_walk(b);
        if (out && !init_clean(b, out, r->region)) {
            diag(b->ds, E0001, d->loc,
                 "an initial value that depends on values of a phase");
            out = 0;
        }
    } else {
        out = filled(b, 0, t);
    }
    b->use = use;
    g->at = at;
    g->where = where;
    g->expr = expr;
    return out;
}

/* Evaluates the initial value of weight i once, and makes its root. */
static value_id weight_init(struct mb *b, int i, struct loc loc)
{
    const char *path = b->p->weight[i].path;
    if (b->weight[i].init_state == 1) {
        diag(b->ds, E0507, loc, "`init` of weights is circular: `%s` needs itself", path);
        return 0;
    }
    if (b->weight[i].init_state)
        return b->weight[i].init;
    b->weight[i].init_state = 1;
    const leaf_id leaf = b->p->weight[i].leaf;
    const value_id v = init_value(b, i, b->init_run);
    b->weight[i].init_state = 2;
    b->weight[i].init = v;
    if (v)
        graph_root(b->g, b->p->init, ROOT_INIT, 0, leaf, v, NULL);
    return v;
}

/* Weights */

static void owns_weights(struct mb *b, struct frame *f)
{
    while (f->caller && !f->caller->is_phase && !f->caller->is_probe && f->caller->caller)
        f = f->caller;
    if (f->told)
        return;
    f->told = true;
    diag(b->ds, E0501, f->call, "`%s` owns weights and is called in a phase", f->what);
    diag_hint(b->ds, "make it a network: `N: %s(_, ...)` under `networks:`", f->what);
}

static struct val *weight_value(struct mb *b, struct frame *f, int i, struct loc loc)
{
    if (f->in_init) {
        const value_id v = weight_init(b, i, loc);
        return v ? mb_tensor(b, v) : mb_poison(b);
    }
    return mb_tensor(b, b->g->leaf[b->p->weight[i].leaf].value);
}

static bool meets_again(struct mb *b, struct frame *f, int i, const struct bind *bind,
                        const struct type *t)
{
    struct weight_info *info = &b->weight[i];
    const char *path = b->p->weight[i].path;
    const struct type *have = &b->g->leaf[b->p->weight[i].leaf].type;
    if (info->pass == f->pass && info->owner != f && !f->in_init) {
        diag(b->ds, E0506, f->call.file ? f->call : bind->loc,
             "two calls share the weight path `%s`", path);
        diag_hint(b->ds, "give one of them a node name");
        return false;
    }
    if (!f->in_init) {
        info->pass = f->pass;
        info->owner = f;
    }
    if (mb_same_shape(have, t))
        return true;
    diag(b->ds, E0301, f->call.file ? f->call : bind->loc,
         "shapes %s and %s do not fit: weight `%s` has the first in an earlier call",
         mb_shape_text(b, have), mb_shape_text(b, t), path);
    return false;
}

static struct val *weight_new(struct mb *b, struct frame *f, struct bind *bind,
                              const char *path, const struct type *t, bool fixed)
{
    graph_leaf(b->g, LEAF_PARAM, 0, 0, path, *t);
    const struct prog_weight w = {.path = path,
                                  .leaf = graph_find_leaf(b->g, LEAF_PARAM, path),
                                  .fixed = fixed,
                                  .optimizer = -1,
                                  .loc = bind->loc};
    const int i = add(b, w, f, bind->doc);
    const value_id init = weight_init(b, i, bind->loc);
    return f->in_init && !init ? mb_poison(b) : weight_value(b, f, i, bind->loc);
}

static struct val *weight_eval(struct mb *b, struct frame *f, struct bind *bind)
{
    struct type t;
    bool exists = true, fixed = false;
    if (!f->path) {
        owns_weights(b, f);
        return mb_poison(b);
    }
    if (!decl_flag(b, f, bind->doc, "when", &exists) ||
        !decl_flag(b, f, bind->doc, "fixed", &fixed) || !decl_shape(b, f, bind, &t))
        return mb_poison(b);
    if (!exists)
        return mb_tensor(b, filled(b, 0, &t));
    const char *path =
        *f->path ? arena_fmt(b->a, "%s.%s", f->path, bind->name) : bind->name;
    const int i = mb_weight_find(b, path);
    if (i < 0)
        return weight_new(b, f, bind, path, &t, fixed);
    return meets_again(b, f, i, bind, &t) ? weight_value(b, f, i, bind->loc) : mb_poison(b);
}

struct val *mb_weight(struct mb *b, struct frame *f, struct bind *bind)
{
    if (bind->state == 2)
        return bind->value;
    if (bind->state == 1) {
        diag(b->ds, f->in_init ? E0507 : E0411, bind->loc, "`%s` depends on itself",
             bind->name);
        return mb_poison(b);
    }
    bind->state = 1;
    bind->value = weight_eval(b, f, bind);
    bind->state = 2;
    return bind->value;
}

/* States */

static bool state_type(struct mb *b, struct frame *f, const struct bind *bind,
                       struct type *t)
{
    struct type shape;
    if (!decl_shape(b, f, bind, &shape))
        return false;
    struct doc *per = bind->doc->kind == DOC_MAP ? doc_get(bind->doc, "per") : NULL;
    bool sample = true;
    if (per) {
        struct val *v = mb_eval_doc(b, f, per, f->site, NULL);
        if (v->kind != VAL_WORD ||
            (strcmp(v->word, "batch") != 0 && strcmp(v->word, "sample") != 0)) {
            if (v->kind != VAL_POISON)
                diag(b->ds, E0203, per->loc, "`per` is `sample` or `batch`");
            return false;
        }
        sample = !strcmp(v->word, "sample");
    }
    *t = shape;
    if (sample) {
        memmove(t->dim + 1, t->dim, t->rank * sizeof t->dim[0]);
        t->dim[0] = (struct ext){0, 1};
        t->rank++;
        t->sample = true;
    }
    return true;
}

static value_id pending_value(const struct run *r, leaf_id leaf)
{
    for (const struct pending *p = r->pending; p; p = p->link)
        if (p->leaf == leaf)
            return p->value;
    return 0;
}

static const char *state_path(struct mb *b, const struct frame *f, const struct bind *bind)
{
    const char *prefix = f->path ? f->path : f->state_path;
    return prefix && *prefix ? arena_fmt(b->a, "%s.%s", prefix, bind->name) : bind->name;
}

/* Resets */

value_id mb_reset_value(struct mb *b, struct run *r, int i)
{
    const leaf_id leaf = b->p->weight[i].leaf;
    for (const struct pending *p = r->fresh; p; p = p->link)
        if (p->leaf == leaf)
            return p->value;
    for (uint32_t k = 0; k < r->nreset; k++) {
        if (!mb_path_under(b->p->weight[i].path, r->reset[k]))
            continue;
        struct pending *p = arena_alloc(b->a, sizeof *p);
        *p = (struct pending){leaf, init_value(b, i, r), r->fresh};
        r->fresh = p;
        return p->value;
    }
    return 0;
}

/* What is reset and not committed anew holds its initial value from here on. */
void mb_reset_all(struct mb *b, struct run *r)
{
    for (uint32_t k = 0; k < r->nreset; k++) {
        bool found = false;
        for (uint32_t i = 0; i < b->p->nweight; i++) {
            const struct prog_weight *w = &b->p->weight[i];
            if (!w->state || !mb_path_under(w->path, r->reset[k]))
                continue;
            found = true;
            const value_id v = mb_reset_value(b, r, (int)i);
            if (!v || pending_value(r, w->leaf))
                continue;
            struct pending *p = arena_alloc(b->a, sizeof *p);
            *p = (struct pending){w->leaf, v, r->pending};
            r->pending = p;
        }
        if (found)
            continue;
        diag(b->ds, E0203, r->reset_loc[k], "unknown name `%s`: `reset` takes states",
             r->reset[k]);
        diag_hint(b->ds, "declare it under `state:`");
    }
}

static struct val *state_eval(struct mb *b, struct frame *f, struct bind *bind)
{
    struct type t;
    if (!state_type(b, f, bind, &t))
        return mb_poison(b);
    const char *path = state_path(b, f, bind);
    int i = mb_weight_find(b, path);
    if (i < 0) {
        graph_leaf(b->g, LEAF_STATE, 0, 0, path, t);
        const struct prog_weight w = {.path = path,
                                      .leaf = graph_find_leaf(b->g, LEAF_STATE, path),
                                      .state = true,
                                      .per_sample = t.sample,
                                      .optimizer = -1,
                                      .loc = bind->loc};
        i = add(b, w, f, bind->doc);
        weight_init(b, i, bind->loc);
    }
    const leaf_id leaf = b->p->weight[i].leaf;
    value_id later = pending_value(f->run, leaf);
    if (!later)
        later = mb_reset_value(b, f->run, i);
    return mb_tensor(b, later ? later : b->g->leaf[leaf].value);
}

struct val *mb_state(struct mb *b, struct frame *f, struct bind *bind)
{
    if (bind->state == 2)
        return bind->value;
    if (bind->state == 1) {
        diag(b->ds, E0411, bind->loc, "the shape of state `%s` depends on itself",
             bind->name);
        diag_hint(b->ds, "give the extents: `[units]`");
        return mb_poison(b);
    }
    bind->state = 1;
    bind->value = state_eval(b, f, bind);
    bind->state = 2;
    return bind->value;
}

static void not_state(struct mb *b, const struct frame *f, const char *name, struct loc loc)
{
    const char *names[500];
    unsigned n = 0;
    for (uint32_t i = 0; i < f->nbind && n < ARRAY_LEN(names); i++)
        if (f->bind[i].kind == BIND_STATE)
            names[n++] = f->bind[i].name;
    const char *near = diag_nearest(name, names, n);
    diag(b->ds, E0402, loc, "`next` for `%s`, which is no state", name);
    if (near)
        diag_hint(b->ds, "did you mean `%s`?", near);
    else
        diag_hint(b->ds, "declare it under `state:`; a node is always of this tick");
}

void mb_commit(struct mb *b, struct run *r, struct frame *f, const char *name,
               struct loc loc, struct val *v)
{
    struct bind *bind = mb_find(f, name);
    if (!bind || bind->kind != BIND_STATE) {
        not_state(b, f, name, loc);
        return;
    }
    const struct val *s = mb_state(b, f, bind);
    bind->used = true;
    if (s->kind != VAL_TENSOR || v->kind == VAL_POISON)
        return;
    const struct type t = *graph_type(b->g, s->v);
    struct type joined;
    unsigned axis = 0;
    const value_id id = v->kind == VAL_NUM ? filled(b, v->num, &t) : mb_f32(b, v, v->loc);
    if (!id)
        return;
    const struct type *have = graph_type(b->g, id);
    if (!type_join(&t, have, &joined, &axis) || !mb_same_shape(&joined, &t)) {
        diag(b->ds, E0404, v->loc.file ? v->loc : loc, "`next` of `%s` is %s, the state %s",
             name, type_print(have, b->a), type_print(&t, b->a));
        diag_hint(b->ds, have->sample && !t.sample
                             ? "`mean(..., over=batch)` for a state `per: batch`"
                             : "shape and kind must agree");
        return;
    }
    struct pending *p = arena_alloc(b->a, sizeof *p);
    const int i = mb_weight_find(b, state_path(b, f, bind));
    *p = (struct pending){b->p->weight[i].leaf, mb_widen(b, id, &t), r->pending};
    r->pending = p;
}
