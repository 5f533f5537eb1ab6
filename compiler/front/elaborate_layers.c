/*
 * Layers and pathways: each pathway is a network of the layers it reads; each layer has a
 * value in wake, in oscillation (one step down from wake) and in sleep (down from sleep).
 */
#include <string.h>

#include "compiler/front/elaborate.h"
#include "compiler/front/text.h"
#include "runtime/base/arena.h"

enum { LONGEST_KEY = 1000 };

const char *const moment_name[MOMENTS] = {"wake", "oscillation", "sleep"};
static const char *const direction_name[] = {"up", "down"};

struct layer *elaborate_layer(const struct elaboration *e, const char *name)
{
    const struct doc *ref = doc_get(e->index, name);
    return ref ? &e->layer[ref->n] : NULL;
}

static bool is_word(const struct doc *d, const char *word)
{
    return d && d->kind == DOC_SCALAR && strcmp(d->text.text, word) == 0;
}

static void read_layers(struct elaboration *e)
{
    const struct doc *layers = doc_get(e->file, "layers");
    const uint32_t n = layers && layers->kind == DOC_MAP && !layers->bad ? layers->n : 0;
    e->layer = arena_array(e->a, n + 1, sizeof *e->layer);
    e->index = doc_map(e->a, (struct loc){0});
    for (uint32_t i = 0; i < n; i++) {
        const struct doc_entry *x = &layers->entry[i];
        const struct doc *credit = doc_get(x->value, "credit");
        struct layer *l = &e->layer[e->nlayer];
        struct doc *ref = doc_map(e->a, x->loc);
        if (strchr(x->key.text, '.')) {
            diag(e->m->diags, E0110, x->loc, "unexpected `.` in the name of a layer");
            diag_hint(e->m->diags, "pathways take layers as arguments: one word");
            continue;
        }
        l->name = x->key.text;
        l->entry = x;
        l->shape = doc_get(x->value, "shape");
        l->drive = doc_get(x->value, "drive");
        l->prior = doc_get(x->value, "prior");
        for (int d = UP; d <= DOWN; d++)
            l->way[d].one_layer = is_word(credit, "one_layer") ||
                                  is_word(doc_get(credit, direction_name[d]), "one_layer");
        ref->n = e->nlayer++;
        doc_add(e->a, e->index, l->name, x->loc, ref);
    }
}

/* The layers that this expression reads, each once; what is called is no layer. */
static void find_layers(struct elaboration *e, const struct expr *x, struct pathway *w,
                        uint32_t *cap)
{
    if (!x)
        return;
    if (x->kind == EX_NAME) {
        const char *name = arena_strn(e->a, x->name, strcspn(x->name, "."));
        if (!elaborate_layer(e, name))
            return;
        for (uint32_t i = 0; i < w->narg; i++)
            if (strcmp(w->arg[i], name) == 0)
                return;
        w->arg = arena_grow(e->a, w->arg, cap, w->narg + 1, sizeof *w->arg);
        w->arg[w->narg++] = name;
        return;
    }
    const bool named = x->kind == EX_CALL && x->child[0]->kind == EX_NAME;
    for (uint32_t i = named; i < x->n; i++)
        find_layers(e, x->child[i], w, cap);
}

/* up.z(x, y); NULL: longer than a key may be, reported. */
static const char *signature(struct elaboration *e, const struct layer *l, enum direction d)
{
    const struct pathway *w = &l->way[d];
    struct text s = {.arena = e->a};
    text_fmt(&s, "%s.%s(", direction_name[d], l->name);
    for (uint32_t i = 0; i < w->narg; i++)
        text_fmt(&s, i ? ", %s" : "%s", w->arg[i]);
    text_put(&s, ")");
    if (s.n <= LONGEST_KEY)
        return s.s;
    diag(e->m->diags, E0902, w->entry->loc,
         "limit exceeded: this pathway reads too many layers");
    return NULL;
}

void elaborate_unknown_layer(struct elaboration *e, const char *name, struct loc loc)
{
    const char **names = arena_array(e->a, e->nlayer + 1, sizeof *names);
    for (uint32_t i = 0; i < e->nlayer; i++)
        names[i] = e->layer[i].name;
    const char *near = diag_nearest(name, names, e->nlayer);
    diag(e->m->diags, E0203, loc, "unknown layer `%s`", name);
    if (near)
        diag_hint(e->m->diags, "did you mean `%s`?", near);
}

static void read_pathways(struct elaboration *e, enum direction d)
{
    const struct doc *all = doc_get(doc_get(e->file, "pathways"), direction_name[d]);
    for (uint32_t i = 0; all && all->kind == DOC_MAP && !all->bad && i < all->n; i++) {
        const struct doc_entry *x = &all->entry[i];
        struct layer *l = elaborate_layer(e, x->key.text);
        uint32_t cap = 0;
        if (!l) {
            elaborate_unknown_layer(e, x->key.text, x->loc);
            continue;
        }
        l->way[d].entry = x;
        if (x->value->bad)
            continue;
        find_layers(e, expr_parse(e->a, e->m->diags, x->value), &l->way[d], &cap);
        const char *key = signature(e, l, d);
        if (key)
            doc_add(e->a, e->networks, key, x->loc, x->value);
    }
}

/* E0601: a drive or an `up` in wake; a prior or a `down` in sleep. */
static void check_values(struct elaboration *e, const struct layer *l, enum direction d)
{
    const char *key = d == UP ? "drive" : "prior", *when = d == UP ? "wake" : "sleep";
    const struct doc_entry *own = doc_find(l->entry->value, key);
    if (l->entry->value->bad || (!own) != (!l->way[d].entry))
        return;
    diag(e->m->diags, E0601, l->entry->loc, "layer `%s` has %s in %s", l->name,
         own ? "two values" : "no value", when);
    if (own) {
        diag_note(e->m->diags, own->loc, "its %s", key);
        diag_note(e->m->diags, l->way[d].entry->loc, "the `%s` pathway into it",
                  direction_name[d]);
    } else {
        diag_hint(e->m->diags, "give it a `%s`, or a pathway under `%s`", key,
                  direction_name[d]);
    }
}

/* ~normal(shape=[64]): the library's distributions take the layer's shape. */
static struct expr *draw_prior(struct elaboration *e, const struct layer *l)
{
    static const char *const known[] = {"normal",     "uniform", "uniform_int",
                                        "bernoulli",  "laplace", "exponential",
                                        "categorical"};
    struct expr *x = make_copy(e, l->prior), *shape = make_copy(e, l->shape);
    if (!x || !shape)
        return NULL;
    struct expr *call = x->kind == EX_UNARY && x->op == XO_DRAW ? x->child[0] : x;
    bool takes = false;
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        takes |= call->kind == EX_CALL && call->child[0]->kind == EX_NAME &&
                 strcmp(call->child[0]->name, known[i]) == 0;
    for (uint32_t i = 1; takes && i < call->n; i++)
        takes =
            !call->child[i]->arg_name || (strcmp(call->child[i]->arg_name, "shape") != 0 &&
                                          strcmp(call->child[i]->arg_name, "like") != 0);
    if (takes) {
        struct expr **child = arena_array(e->a, call->n + 1, sizeof *child);
        memcpy(child, call->child, call->n * sizeof *child);
        shape->arg_name = "shape";
        shape->arg_loc = shape->loc;
        child[call->n++] = shape;
        call->child = child;
        call->depth =
            shape->depth >= call->depth ? (uint16_t)(shape->depth + 1) : call->depth;
    }
    return make_draw(e, x);
}

static struct expr *call_pathway(struct elaboration *e, const struct layer *l,
                                 enum direction d, enum moment of)
{
    const struct pathway *w = &l->way[d];
    const struct loc loc = w->entry->loc;
    struct expr **arg = arena_array(e->a, w->narg + 1, sizeof *arg);
    for (uint32_t i = 0; i < w->narg; i++) {
        arg[i] = make_name(e, loc, arena_fmt(e->a, "%s.%s", w->arg[i], moment_name[of]));
        if (w->one_layer)
            arg[i] = make_call(e, loc, "stop", &arg[i], 1);
    }
    return make_call(e, loc, arena_fmt(e->a, "%s.%s", direction_name[d], l->name), arg,
                     w->narg);
}

static void add_value(struct elaboration *e, const struct layer *l, enum moment when)
{
    const enum direction d = when == WAKE ? UP : DOWN;
    const char *key = arena_fmt(e->a, "%s.%s", l->name, moment_name[when]);
    if (l->way[d].entry)
        add_node(e, e->values, l->way[d].entry->loc, key,
                 call_pathway(e, l, d, when == SLEEP ? SLEEP : WAKE));
    else if (when != WAKE)
        add_node(e, e->values, l->prior ? l->prior->loc : l->entry->loc, key,
                 draw_prior(e, l));
    else if (l->drive)
        doc_add(e->a, e->values, key, l->entry->loc, l->drive);
}

void elaborate_layers(struct elaboration *e)
{
    read_layers(e);
    read_pathways(e, UP);
    read_pathways(e, DOWN);
    for (uint32_t i = 0; i < e->nlayer; i++) {
        check_values(e, &e->layer[i], UP);
        check_values(e, &e->layer[i], DOWN);
    }
    for (enum moment t = WAKE; t < MOMENTS; t++)
        for (uint32_t i = 0; i < e->nlayer; i++)
            add_value(e, &e->layer[i], t);
}
