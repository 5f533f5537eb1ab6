/*
 * Names: the bodies of functions, networks and phases, and what a name means inside them.
 *
 * Inwards out: the body's own names, data and state, networks, constants, functions.  A
 * dotted path takes the longest declared prefix; what is left names parts.  Before `(` only
 * functions count, so a node may be called `mean`.
 */
#include "compiler/front/build.h"

#include <string.h>

#include "runtime/base/arena.h"

/* Bodies */

struct special {
    const char *key;
    size_t at; /* offset of the member, or 0: refused */
};
static const struct special specials[] = {
    {"weights", offsetof(struct body, weights)},
    {"state", offsetof(struct body, state)},
    {"next", offsetof(struct body, next)},
    {"taps", offsetof(struct body, taps)},
    {"return", offsetof(struct body, ret)},
    {"ticks", 0},
    {"learn", 0},
    {"integrator", 0},
};

static bool body_special(struct mb *b, struct body *body, const struct doc_entry *e)
{
    if (!strcmp(e->key.text, "about"))
        return true;
    for (unsigned i = 0; i < ARRAY_LEN(specials); i++) {
        if (strcmp(e->key.text, specials[i].key) != 0)
            continue;
        if (specials[i].at) {
            *(struct doc **)(void *)((char *)body + specials[i].at) = e->value;
        } else {
            diag(b->ds, E0001, e->loc, "`%s` is not built yet", e->key.text);
            body->bad = body->refused = true;
        }
        return true;
    }
    return false;
}

static void body_add(struct mb *b, struct body *body, const struct doc_entry *e)
{
    struct expr_key key;
    if (body_special(b, body, e))
        return;
    if (!expr_parse_key(b->a, b->ds, &e->key, &key)) {
        body->bad = true;
        return;
    }
    if (key.is_rate || key.is_call) {
        diag(b->ds, key.is_rate ? E0001 : E0201, e->loc, "%s in a body",
             key.is_rate ? "rates such as `du/dt` are not built yet" : "a signature");
        body->bad = body->refused = true;
        return;
    }
    struct body_node *n = &body->node[body->nnode++];
    *n = (struct body_node){.name = key.path,
                            .name_loc = key.path_loc,
                            .nname = key.npath,
                            .value = e->value,
                            .loc = e->loc};
}

struct body *mb_body(struct mb *b, const struct doc *d, const char *what)
{
    (void)what;
    const size_t key = (size_t)(((uintptr_t)d >> 4) % ARRAY_LEN(b->bodies));
    for (struct body *i = b->bodies[key]; i; i = i->link)
        if (i->doc == d)
            return i;
    struct body *body = arena_alloc(b->a, sizeof *body);
    body->doc = d;
    body->link = b->bodies[key];
    b->bodies[key] = body;
    if (d->kind != DOC_MAP) {
        body->ret = (struct doc *)d;
        return body;
    }
    body->node = arena_array(b->a, d->n + 1, sizeof *body->node);
    for (uint32_t i = 0; i < d->n; i++)
        body_add(b, body, &d->entry[i]);
    return body;
}

struct bind *mb_find(struct frame *f, const char *name)
{
    if (f->index.n) {
        const uint32_t i = names_get(&f->index, name);
        return i == NO_NAME ? NULL : &f->bind[i];
    }
    for (uint32_t i = 0; i < f->nbind; i++)
        if (!strcmp(f->bind[i].name, name))
            return &f->bind[i];
    return NULL;
}

/* Evaluates what a name is bound to; once. */
struct val *mb_bound(struct mb *b, struct frame *f, struct bind *bind)
{
    bind->used = true;
    switch ((enum bind_kind)bind->kind) {
    case BIND_VALUE:
        return bind->value;
    case BIND_DEFAULT:
    case BIND_NODE:
        return mb_node(b, f, bind);
    case BIND_WEIGHT:
        return mb_weight(b, f, bind);
    case BIND_STATE:
        return mb_state(b, f, bind);
    }
    return mb_poison(b);
}

/* Dotted paths: the longest prefix that `f` declares. *rest: what follows its dot, or NULL.
 */
static struct bind *find_prefix(struct mb *b, struct frame *f, const char *path,
                                const char **rest)
{
    char *s = arena_str(b->a, path);
    for (;;) {
        struct bind *bind = mb_find(f, s);
        if (bind) {
            const size_t n = strlen(s);
            *rest = path[n] ? path + n + 1 : NULL;
            return bind;
        }
        char *dot = strrchr(s, '.');
        if (!dot)
            return NULL;
        *dot = 0;
    }
}

/* Parts */

static void part_names(struct mb *b, const struct frame *f, char **text)
{
    for (uint32_t i = 0; i < f->nbind; i++)
        if (f->bind[i].kind >= BIND_NODE)
            *text = arena_fmt(b->a, "%s%s`%s`", *text, **text ? ", " : "", f->bind[i].name);
}

static struct val *no_part(struct mb *b, struct val *v, const char *name, struct loc loc)
{
    char *names = arena_str(b->a, "");
    diag(b->ds, E0209, loc, "%s has no part `%s`",
         v->frame ? v->frame->what : mb_kind_text(v), name);
    for (const struct frame *f = v->frame; f; f = f->ret ? f->ret->frame : NULL)
        part_names(b, f, &names);
    if (*names)
        diag_hint(b->ds, "it has %s", names);
    else if (v->kind == VAL_TUPLE)
        diag_hint(b->ds, "members are taken by number: `[0]`");
    return mb_poison(b);
}

struct val *mb_part(struct mb *b, struct val *v, const char *name, struct loc loc)
{
    if (v->kind == VAL_POISON)
        return v;
    if (!strcmp(name, "T"))
        return mb_transposed(b, v, loc);
    for (struct frame *f = v->frame; f; f = f->ret ? f->ret->frame : NULL) {
        const char *rest = NULL;
        struct bind *bind = find_prefix(b, f, name, &rest);
        if (!bind || bind->kind < BIND_NODE)
            continue;
        struct val *part = mb_bound(b, f, bind);
        return rest ? mb_part(b, part, rest, loc) : part;
    }
    return no_part(b, v, name, loc);
}

/* What is not in a body */

struct net *mb_net(struct mb *b, const char *name)
{
    const uint32_t i = names_get(&b->net_index, name);
    return i == NO_NAME ? NULL : &b->net[i];
}

static struct val *func_val(struct mb *b, struct func fn)
{
    struct val *v = arena_alloc(b->a, sizeof *v);
    v->kind = VAL_FUNC;
    v->func = arena_copy(b->a, &fn, sizeof fn);
    v->loc = fn.loc;
    return v;
}

static struct val *function_named(struct mb *b, const char *name, struct loc loc)
{
    const struct model_function *fn = model_function(b->m, name);
    const struct prim *prim = fn ? NULL : mb_prim(name);
    if (fn)
        return func_val(
            b, (struct func){.kind = FUNC_MODEL, .fn = fn, .written = name, .loc = loc});
    if (prim)
        return func_val(
            b, (struct func){.kind = FUNC_PRIM, .prim = prim, .written = name, .loc = loc});
    return NULL;
}

static struct val *net_named(struct mb *b, const char *name, struct loc loc)
{
    struct net *net = mb_net(b, name);
    if (!net)
        return NULL;
    net->used = true;
    return func_val(
        b, (struct func){.kind = FUNC_NET, .net = net, .written = name, .loc = loc});
}

/* "D.x.weight": a weight by its path, once something has made it. */
static struct val *weight_named(struct mb *b, const char *path)
{
    const int i = mb_weight_find(b, path);
    if (i < 0)
        return NULL;
    return mb_tensor(b, b->g->leaf[b->p->weight[i].leaf].value);
}

static struct val *scalar_named(struct mb *b, const struct ecx *x, const char *name)
{
    static const char *const counters[] = {"epoch", "cycle", "step", "batch_size"};
    for (unsigned i = 0; i < ARRAY_LEN(counters); i++) {
        if (strcmp(name, counters[i]) != 0)
            continue;
        struct val *v = mb_tensor(
            b, graph_leaf(b->g, LEAF_COUNTER, 0, 0, counters[i], type_scalar(DT_F32)));
        v->is_ext = !strcmp(name, "batch_size");
        v->ext = (struct ext){0, 1};
        return v;
    }
    if (!strcmp(name, "training"))
        return mb_bool(b, x->f->run->training);
    if (!strcmp(name, "true") || !strcmp(name, "false"))
        return mb_bool(b, *name == 't');
    if (!strcmp(name, "pi"))
        return mb_num(b, 3.14159265358979323846);
    if (!strcmp(name, "inf"))
        return mb_num(b, (double)(1.0F / 0.0F));
    return NULL;
}

static struct val *word_named(struct mb *b, const char *name)
{
    static const char *const words[] = {"sample", "batch", "units", "member", "ticks"};
    for (unsigned i = 0; i < ARRAY_LEN(words); i++)
        if (!strcmp(name, words[i]))
            return mb_word(b, words[i]);
    return NULL;
}

/* Frames: the body's own, then the lexically outer ones. */
static struct val *frame_named(struct mb *b, struct frame *f, const struct expr *e)
{
    for (; f; f = f->outer) {
        const char *rest = NULL;
        struct bind *bind = find_prefix(b, f, e->name, &rest);
        if (!bind)
            continue;
        struct val *v = mb_bound(b, f, bind);
        return rest ? mb_part(b, v, rest, e->loc) : v;
    }
    return NULL;
}

static bool phase_has(struct mb *b, uint32_t i, const char *path)
{
    const struct doc *nodes = doc_get(b->phase[i].doc, "nodes");
    const char *rest = NULL;
    return nodes && nodes->kind == DOC_MAP &&
           find_prefix(b, mb_phase_frame(b, b->phase[i].run, i), path, &rest);
}

/* Outside the phases (probes) a node is PHASE.NODE, or NODE where only one phase has it. */
static struct val *phase_named(struct mb *b, struct ecx *x, const struct expr *e)
{
    int found = -1;
    const char *path = e->name;
    for (uint32_t i = 0; i < b->nphase; i++) {
        const size_t n = strlen(b->phase[i].name);
        if (!strncmp(e->name, b->phase[i].name, n) && e->name[n] == '.' &&
            phase_has(b, i, e->name + n + 1)) {
            found = (int)i;
            path = e->name + n + 1;
            break;
        }
        if (!phase_has(b, i, e->name))
            continue;
        if (found >= 0) {
            diag(b->ds, E0203, e->loc, "`%s` is a node of several phases", e->name);
            diag_hint(b->ds, "`%s.%s` or `%s.%s`", b->phase[found].name, e->name,
                      b->phase[i].name, e->name);
            return mb_poison(b);
        }
        found = (int)i;
    }
    if (found < 0)
        return NULL;
    struct frame *f = mb_phase_frame(b, x->f->run, (uint32_t)found);
    const char *rest = NULL;
    struct bind *bind = find_prefix(b, f, path, &rest);
    struct val *v = mb_bound(b, f, bind);
    return rest ? mb_part(b, v, rest, e->loc) : v;
}

static struct val *data_named(struct mb *b, struct ecx *x, const struct expr *e)
{
    const char *dot = strchr(e->name, '.');
    char *source =
        dot ? arena_strn(b->a, e->name, (size_t)(dot - e->name)) : arena_str(b->a, e->name);
    const int i = mb_data_find(b, source);
    if (i < 0)
        return NULL;
    return mb_field(b, x->f->run, i, dot ? dot + 1 : NULL, e->loc);
}

/* Of `digts.image`: what is near `digts`. */
static const char *nearest_first(struct mb *b, const char *path, const char *const *names,
                                 unsigned n)
{
    const char *first = arena_strn(b->a, path, strcspn(path, "."));
    const char *near = diag_nearest(first, names, n);
    return near && strcmp(near, first) != 0 ? near : NULL;
}

/* Did you mean: everything that could have stood here. */
static void unknown(struct mb *b, const struct ecx *x, const struct expr *e, bool call)
{
    const char *names[2000];
    unsigned n = 0;
    for (const struct frame *f = x->f; f; f = f->outer)
        if (f->body && f->body->refused)
            return;
    if (diag_count(b->ds) >= MB_HINTS) { /* only counted: no search for the nearest */
        diag(b->ds, E0203, e->loc, "unknown %s `%s`", call ? "function" : "name", e->name);
        return;
    }
    for (const struct frame *f = x->f; f; f = f->outer)
        for (uint32_t i = 0; i < f->nbind && n < ARRAY_LEN(names); i++)
            names[n++] = f->bind[i].name;
    for (uint32_t i = 0; i < b->nnet && n < ARRAY_LEN(names); i++)
        names[n++] = b->net[i].name;
    for (uint32_t i = 0; i < b->ndata && n < ARRAY_LEN(names) && !call; i++)
        names[n++] = b->data[i].name;
    for (uint32_t i = 0; i < b->states->nbind && n < ARRAY_LEN(names) && !call; i++)
        names[n++] = b->states->bind[i].name;
    for (uint32_t i = 0; i < b->constants->nbind && n < ARRAY_LEN(names) && !call; i++)
        names[n++] = b->constants->bind[i].name;
    const unsigned values = n;
    for (uint32_t i = 0; i < b->m->nfunction && n < ARRAY_LEN(names); i++)
        names[n++] = b->m->function[i].name;
    for (unsigned i = 0; i < mb_nprims && n < ARRAY_LEN(names); i++)
        names[n++] = mb_prims[i].name;
    const char *near = diag_nearest(e->name, names, n);
    diag(b->ds, E0203, e->loc, "unknown %s `%s`", call ? "function" : "name", e->name);
    for (uint32_t i = 0; i < b->p->nsetting; i++)
        if (!strcmp(b->p->setting[i].name, e->name)) {
            diag_hint(b->ds, "`%s` is a setting: write `$%s`", e->name, e->name);
            return;
        }
    if (call && x->f && mb_find(x->f, e->name)) {
        diag_hint(b->ds, "`%s` is a value: before `(` only functions and networks count",
                  e->name);
        return;
    }
    for (uint32_t i = 0; i < b->nphase; i++)
        if (phase_has(b, i, e->name)) {
            diag_hint(b->ds,
                      "phase `%s` has a node of that name, which cannot be seen from here",
                      b->phase[i].name);
            return;
        }
    const char *dot = strchr(e->name, '.');
    if (!near && dot && (near = nearest_first(b, e->name, names, values)))
        near = arena_fmt(b->a, "%s%s", near, dot);
    if (near)
        diag_hint(b->ds, "did you mean `%s`?", near);
}

/* A state of the model, as this run sees it. */
static struct val *state_now(struct mb *b, struct run *r, struct val *v)
{
    const struct node *n =
        v->kind == VAL_TENSOR ? &b->g->node[b->g->value[v->v].def] : NULL;
    if (!r->nreset || !n || n->op != OP_LEAF)
        return v;
    const int i = mb_weight_find(b, b->g->leaf[n->attr].path);
    const value_id fresh = i < 0 ? 0 : mb_reset_value(b, r, i);
    return fresh ? mb_tensor(b, fresh) : v;
}

static struct val *global_named(struct mb *b, struct ecx *x, const struct expr *e)
{
    struct val *v = NULL;
    if (x->f->is_probe && (v = phase_named(b, x, e)))
        return v;
    if ((v = data_named(b, x, e)))
        return v;
    if ((v = frame_named(b, b->states, e)))
        return state_now(b, x->f->run, v);
    if ((v = net_named(b, e->name, e->loc)))
        return v;
    if ((v = weight_named(b, e->name)))
        return v;
    if ((v = frame_named(b, b->constants, e)))
        return v;
    if ((v = scalar_named(b, x, e->name)))
        return v;
    if ((v = function_named(b, e->name, e->loc)))
        return v;
    return word_named(b, e->name);
}

struct val *mb_name(struct mb *b, struct ecx *x, const struct expr *e)
{
    struct val *v = frame_named(b, x->f, e);
    if (!v)
        v = global_named(b, x, e);
    if (v) { /* the same value, found here */
        struct val *copy = arena_copy(b->a, v, sizeof *v);
        copy->loc = e->loc;
        return copy;
    }
    if (!strcmp(e->name, "original")) {
        diag(b->ds, E0608, e->loc, "`original` outside an override");
        return mb_poison(b);
    }
    const size_t n = strlen(e->name);
    if (n > 2 && !strcmp(e->name + n - 2, ".T")) /* of a network or function */
        return mb_transposed(b, mb_word(b, "T"), e->loc);
    if (!strcmp(e->name, "tick"))
        diag(b->ds, E0001, e->loc, "ticks are not built yet");
    else
        unknown(b, x, e, false);
    return mb_poison(b);
}

struct val *mb_callee(struct mb *b, struct ecx *x, const struct expr *e)
{
    if (e->kind != EX_NAME)
        return mb_eval(b, x, e);
    struct val *v = NULL;
    for (struct frame *f = x->f; f; f = f->outer) {
        struct bind *bind = mb_find(f, e->name);
        if (!bind || bind->kind > BIND_DEFAULT)
            continue;
        v = mb_bound(b, f, bind);
        if (v->kind == VAL_POISON)
            return v;
        if (v->kind == VAL_FUNC) {
            struct func fn = *v->func;
            fn.written = e->name;
            fn.loc = e->loc;
            return func_val(b, fn);
        }
    }
    if ((v = net_named(b, e->name, e->loc)))
        return v;
    if ((v = function_named(b, e->name, e->loc)))
        return v;
    const size_t n = strlen(e->name);
    if (n > 2 && !strcmp(e->name + n - 2, ".T"))
        return mb_name(b, x, e);
    unknown(b, x, e, true);
    return mb_poison(b);
}
