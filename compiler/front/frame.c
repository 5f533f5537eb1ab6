/*
 * Frames: the names of a body, bound, and their nodes, each evaluated when it is first
 * asked for.  Nodes that nothing reads are never built.
 */
#include <string.h>

#include "compiler/front/build.h"
#include "runtime/base/arena.h"

/* Nodes */

static char *node_path(struct mb *b, const char *prefix, const char *name)
{
    if (!prefix || !strcmp(name, "return"))
        return prefix ? arena_str(b->a, prefix) : NULL;
    return *prefix ? arena_fmt(b->a, "%s.%s", prefix, name) : arena_str(b->a, name);
}

static char *node_site(struct mb *b, const char *prefix, const char *name)
{
    return strcmp(name, "return") ? arena_fmt(b->a, "%s/%s", prefix, name)
                                  : arena_str(b->a, prefix);
}

struct mb_saved mb_enter(struct mb *b, struct frame *f, const char *name, struct loc loc)
{
    struct graph *g = b->g;
    const struct mb_saved s = {g->at, g->where, g->expr};
    char *path = f->path ? node_path(b, f->path, name) : node_site(b, f->site, name);
    g->at = f->run->region;
    g->where =
        graph_place(g, loc, f->place, f->is_phase ? WHY_WRITTEN : WHY_CALLED_FROM, path);
    g->expr = graph_new_expr(g);
    return s;
}

void mb_leave(struct mb *b, struct mb_saved s)
{
    b->g->at = s.at;
    b->g->where = s.where;
    b->g->expr = s.expr;
}

/* For reports: what becomes of the value that the model calls so. */
static void note_name(struct mb *b, const struct frame *f, const struct val *v)
{
    struct program *p = b->p;
    if (v->kind != VAL_TENSOR || !v->v)
        return;
    p->called = arena_grow(b->a, p->called, &p->ccalled, p->ncalled + 1, sizeof *p->called);
    p->called[p->ncalled++] = (struct prog_called){.name = b->g->place[b->g->where].name,
                                                   .place = b->g->where,
                                                   .region = f->run->region,
                                                   .value = v->v};
}

/* The expression of one name, under the name `as` (the first of its key list). */
struct val *mb_eval_named(struct mb *b, struct frame *f, const struct expr *e,
                          const char *as, struct loc loc)
{
    const struct mb_saved s = mb_enter(b, f, as, loc);
    struct tally *tally = NULL;
    struct ecx x = {.f = f,
                    .tally = &tally,
                    .root = e,
                    .site = node_site(b, f->site, as),
                    .path = node_path(b, f->path, as),
                    .state_path = node_path(b, f->path ? f->path : f->state_path, as),
                    .number = ""};
    struct val *v = mb_eval(b, &x, e);
    note_name(b, f, v);
    mb_leave(b, s);
    return v;
}

static void circular(struct mb *b, struct frame *f, const struct bind *bind)
{
    char *chain = arena_str(b->a, "");
    for (uint32_t i = 0; i < f->nbind; i++)
        if (f->bind[i].state == 1 && &f->bind[i] != bind)
            chain = arena_fmt(b->a, "%s%s -> ", chain, f->bind[i].name);
    diag(b->ds, E0401, bind->loc, "circular: %s -> %s%s", bind->name, chain, bind->name);
    diag_hint(b->ds, "through a state it would be a recurrence: `state`, `next`");
}

/* The part of a key list: `z, d: E(x)` takes a tuple apart. */
static struct val *tuple_part(struct mb *b, struct frame *f, struct bind *bind,
                              const struct expr *e)
{
    struct bind *whole = bind->whole;
    if (!whole->tuple) {
        whole->tuple = mb_eval_named(b, f, e, bind->node->name[0], bind->node->loc);
        struct val *t = whole->tuple;
        if (t->kind != VAL_POISON && (t->kind != VAL_TUPLE || t->n != bind->nparts)) {
            diag(b->ds, E0309, e->loc, "%u values where %u are expected",
                 t->kind == VAL_TUPLE ? t->n : 1, bind->nparts);
            diag_hint(b->ds, "a key list must name all members of a tuple");
            whole->tuple = mb_poison(b);
        }
    }
    if (whole->tuple->kind == VAL_POISON)
        return whole->tuple;
    return whole->tuple->item[bind->part];
}

static struct val *node_value(struct mb *b, struct frame *f, struct bind *bind)
{
    if (bind->kind == BIND_DEFAULT)
        return mb_eval_named(b, f, bind->expr, bind->name, bind->expr->loc);
    const struct expr *e = expr_parse(b->a, b->ds, bind->doc);
    if (!e)
        return mb_poison(b);
    if (bind->nparts == 1)
        return mb_eval_named(b, f, e, bind->name, bind->loc);
    if (e->kind == EX_TUPLE && e->n == bind->nparts) /* written out: name by name */
        return mb_eval_named(b, f, e->child[bind->part], bind->name, bind->loc);
    return tuple_part(b, f, bind, e);
}

struct val *mb_node(struct mb *b, struct frame *f, struct bind *bind)
{
    if (bind->state == 2)
        return bind->value;
    if (bind->state == 1) {
        circular(b, f, bind);
        bind->state = 2;
        bind->value = mb_poison(b);
        return bind->value;
    }
    bind->state = 1;
    struct val *v = node_value(b, f, bind);
    if (f->is_phase && !strcmp(f->what, "compare"))
        v = mb_layer_value(b, bind->name, v, bind->loc);
    if (bind->state == 1)
        bind->value = v;
    bind->state = 2;
    return bind->value;
}

/* Frames */

struct frame *mb_frame(struct mb *b, struct run *r, const char *what)
{
    struct frame *f = arena_alloc(b->a, sizeof *f);
    f->run = r;
    f->what = what;
    f->site = r->prefix;
    return f;
}

static void duplicate(struct mb *b, const char *name, struct loc loc, struct loc first)
{
    diag(b->ds, E0206, loc, "`%s` is defined twice", name);
    if (first.file)
        diag_note(b->ds, first, "first here");
}

static struct bind *bind_new(struct mb *b, struct frame *f, const char *name,
                             enum bind_kind kind, struct loc loc)
{
    const struct bind *old = f->body->bad ? NULL : mb_find(f, name);
    if (old)
        duplicate(b, name, loc, old->loc);
    struct bind *bind = &f->bind[f->nbind++];
    *bind = (struct bind){.name = name, .kind = (uint8_t)kind, .loc = loc, .nparts = 1};
    if (f->index.n)
        names_put(b->a, &f->index, name, f->nbind - 1);
    return bind;
}

static void bind_node(struct mb *b, struct frame *f, struct body_node *n)
{
    struct bind *whole = NULL;
    for (uint32_t k = 0; k < n->nname; k++) {
        struct bind *bind = bind_new(b, f, n->name[k], BIND_NODE, n->name_loc[k]);
        whole = whole ? whole : bind;
        bind->node = n;
        bind->doc = n->value;
        bind->part = k;
        bind->nparts = n->nname;
        bind->whole = whole;
    }
}

static void bind_map(struct mb *b, struct frame *f, const struct doc *d,
                     enum bind_kind kind)
{
    struct expr_key key;
    for (uint32_t i = 0; d && d->kind == DOC_MAP && i < d->n; i++) {
        if (!expr_parse_key(b->a, b->ds, &d->entry[i].key, &key))
            continue;
        for (uint32_t k = 0; k < key.npath; k++) {
            struct bind *bind = bind_new(b, f, key.path[k], kind, key.path_loc[k]);
            bind->doc = d->entry[i].value;
        }
    }
}

static uint32_t map_names(struct mb *b, const struct doc *d)
{
    uint32_t n = 0;
    struct expr_key key;
    for (uint32_t i = 0; d && d->kind == DOC_MAP && i < d->n; i++)
        n += expr_parse_key(b->a, b->ds, &d->entry[i].key, &key) ? key.npath : 0;
    return n;
}

/* Adds the names of f->body to what f binds already. */
void mb_bind_body(struct mb *b, struct frame *f)
{
    struct body *body = f->body;
    uint32_t n = f->nbind + map_names(b, body->weights) + map_names(b, body->state);
    for (uint32_t i = 0; i < body->nnode; i++)
        n += body->node[i].nname;
    struct bind *all = arena_array(b->a, n + 1, sizeof *all);
    if (f->nbind)
        memcpy(all, f->bind, f->nbind * sizeof *all);
    f->bind = all;
    if (n > 16) { /* from here on found by hash; the empty name starts it */
        names_put(b->a, &f->index, "", NO_NAME);
        for (uint32_t i = 0; i < f->nbind; i++)
            names_put(b->a, &f->index, all[i].name, i);
    }
    bind_map(b, f, body->weights, BIND_WEIGHT);
    bind_map(b, f, body->state, BIND_STATE);
    for (uint32_t i = 0; i < body->nnode; i++)
        bind_node(b, f, &body->node[i]);
    body->bad = true; /* names twice: reported once */
}

struct val *mb_return(struct mb *b, struct frame *f)
{
    if (f->ret_state)
        return f->ret;
    f->ret_state = 1;
    f->ret = mb_poison(b);
    if (!f->body->ret && f->body->refused)
        return f->ret;
    if (!f->body->ret) {
        diag(b->ds, E0202, f->call, "key `return` is missing in `%s`", f->what);
        diag_hint(b->ds, "`return: h`: what a call gives back");
        return f->ret;
    }
    const struct expr *e = expr_parse(b->a, b->ds, f->body->ret);
    if (e)
        f->ret = mb_eval_named(b, f, e, "return", f->body->ret->loc);
    return f->ret;
}
