/*
 * W0212 and W0508: what is declared and never used, and weights that nothing trains.
 */
#include <string.h>

#include "compiler/front/build.h"
#include "runtime/base/arena.h"

static void unused(struct mb *b, const char *what, const char *name, struct loc loc,
                   const char *hint)
{
    diag(b->ds, W0212, loc, "%s `%s` is never used", what, name);
    diag_hint(b->ds, "%s", hint);
}

/* Written in the model's own file, not in one that it extends? */
static bool own(const struct mb *b, struct loc loc)
{
    const struct doc *name = doc_get(b->m->merged, "name");
    return loc.file && loc.file == (name ? name->loc.file : b->m->merged->loc.file);
}

/* Nodes that elaboration made are not the user's to remove. */
static bool written(const struct mb *b, const char *phase, const char *node)
{
    const struct doc *phases = doc_get(b->m->merged, "phases");
    const struct doc *nodes = phases ? doc_get(doc_get(phases, phase), "nodes") : NULL;
    return nodes && doc_find(nodes, node);
}

/* Every name that is read somewhere in the document, with all its dotted prefixes. */
static void collect_name(struct mb *b, struct names *t, const char *name)
{
    char *s = arena_str(b->a, name);
    for (char *dot = s; dot; dot = strrchr(s, '.')) {
        if (dot != s)
            *dot = 0;
        if (names_get(t, s) == NO_NAME)
            names_put(b->a, t, arena_str(b->a, s), 0);
    }
}

static void collect_expr(struct mb *b, struct names *t, const struct expr *e)
{
    if (e->name && (e->kind == EX_NAME || e->kind == EX_SETTING))
        collect_name(b, t, e->name);
    for (uint32_t i = 0; i < e->n; i++)
        if (e->child[i])
            collect_expr(b, t, e->child[i]);
}

static void collect(struct mb *b, struct names *t, const struct doc *d)
{
    if (d->expr)
        collect_expr(b, t, d->expr);
    else if (d->kind == DOC_SCALAR)
        collect_name(b, t, d->text.text);
    for (uint32_t i = 0; i < d->n; i++)
        collect(b, t, d->entry[i].value);
}

static bool trained(const struct mb *b, uint32_t i)
{
    const struct prog_weight *w = &b->p->weight[i];
    return w->state || w->fixed || b->weight[i].updated;
}

/* One warning for a network none of whose weights are trained, else one a weight. */
static void untrained(struct mb *b)
{
    for (uint32_t i = 0; i < b->p->nweight; i++) {
        const struct prog_weight *w = &b->p->weight[i];
        if (trained(b, i) || b->weight[i].is_reported)
            continue;
        const struct net *net = NULL;
        for (uint32_t k = 0; k < b->nnet; k++)
            if (mb_path_under(w->path, b->net[k].name))
                net = &b->net[k];
        bool all = net != NULL;
        for (uint32_t k = 0; k < b->p->nweight && all; k++)
            all = !mb_path_under(b->p->weight[k].path, net->name) || !trained(b, k);
        diag(b->ds, W0508, all ? net->loc : w->loc, "weights `%s` are never trained",
             all ? net->name : w->path);
        diag_hint(b->ds, "`fixed: true`, or an update that reaches them");
        for (uint32_t k = 0; k < b->p->nweight && all; k++)
            if (mb_path_under(b->p->weight[k].path, net->name))
                b->weight[k].is_reported = true;
    }
}

static void unused_nodes(struct mb *b, const struct names *read)
{
    for (uint32_t i = 0; i < b->nphase; i++) {
        struct frame *f = mb_phase_frame(b, b->phase[i].run, i);
        if (!b->phase[i].scheduled)
            continue; /* it is there to be asked */
        for (uint32_t k = 0; k < f->nbind; k++) {
            const struct bind *bind = &f->bind[k];
            bool used = bind->used || !own(b, bind->loc) ||
                        !written(b, b->phase[i].name, bind->name);
            for (uint32_t j = 0; j < f->nbind && bind->nparts > 1; j++)
                used |= f->bind[j].node == bind->node && f->bind[j].used;
            const char *path = arena_fmt(b->a, "%s.%s", b->phase[i].name, bind->name);
            used = used || names_get(read, bind->name) != NO_NAME ||
                   names_get(read, path) != NO_NAME; /* by a probe with `from` */
            if (!used)
                unused(b, "node", bind->name, bind->loc,
                       "remove it, or add a probe that reads it");
        }
    }
}

static bool committed(const struct mb *b, leaf_id leaf)
{
    for (uint32_t r = 1; r < b->g->nregion; r++)
        for (uint32_t i = 0; i < b->g->region[r].nroot; i++)
            if (b->g->region[r].root[i].why == ROOT_COMMIT &&
                b->g->region[r].root[i].leaf == leaf)
                return true;
    return false;
}

static void unused_states(struct mb *b)
{
    for (uint32_t i = 0; i < b->states->nbind; i++) {
        const struct bind *bind = &b->states->bind[i];
        const int k = mb_weight_find(b, bind->name);
        if (!own(b, bind->loc))
            continue;
        if (!bind->used) {
            unused(b, "state", bind->name, bind->loc, "remove it");
        } else if (k >= 0 && !committed(b, b->p->weight[k].leaf)) {
            diag(b->ds, W0212, bind->loc, "state `%s` is never written", bind->name);
            diag_hint(b->ds, "commit it: `next: {%s: ...}`", bind->name);
        }
    }
}

void mb_unused(struct mb *b)
{
    for (uint32_t i = 0; i < b->ndata; i++)
        b->p->source[i].used = b->data[i].used;
    if (diag_errors(b->ds) || b->m->options.condition)
        return; /* what failed was not reached; what a condition leaves out is meant to be
                 */
    struct names read = {0};
    const struct doc *conditions = doc_get(b->m->merged, "conditions");
    collect(b, &read, b->m->elaborated);
    if (conditions)
        collect(b, &read, conditions);
    for (uint32_t i = 0; i < b->p->nsetting; i++) {
        const struct prog_setting *s = &b->p->setting[i];
        const bool batch = !strcmp(s->name, "batch");
        if (own(b, s->loc) && !b->setting_used[i] && !batch &&
            names_get(&read, s->name) == NO_NAME)
            unused(b, "setting", s->name, s->loc, "remove it, or write `$` and its name");
    }
    for (uint32_t i = 0; i < b->nnet; i++)
        if (!b->net[i].used && own(b, b->net[i].loc))
            unused(b, "network", b->net[i].name, b->net[i].loc,
                   "remove it, or call it in a phase");
    for (uint32_t i = 0; i < b->ndata; i++)
        if (!b->data[i].used && own(b, b->p->source[i].loc))
            unused(b, "source", b->data[i].name, b->p->source[i].loc,
                   "remove it, or add a probe that reads it");
    for (uint32_t i = 0; i < b->m->nfunction; i++) {
        const struct model_function *fn = &b->m->function[i];
        if (fn->from == FROM_MODEL && own(b, fn->loc) &&
            names_get(&read, fn->name) == NO_NAME)
            unused(b, "function", fn->name, fn->loc, "remove it, or call it");
    }
    unused_states(b);
    unused_nodes(b, &read);
    untrained(b);
}
