/*
 * Of the layers' values, those that nothing reads are left out, and those that only probes
 * read come last.  A value that the file's own phase has replaced is not ours to leave out.
 */
#include <string.h>

#include "compiler/front/elaborate.h"
#include "runtime/base/arena.h"

struct prune {
    struct elaboration *e;
    const struct doc *nodes;
    struct doc *ours; /* name -> a document whose n is the number of its entry in nodes */
    bool *read;
    uint32_t *todo, ntodo;
};

static void mark_name(struct prune *p, const char *name)
{
    char *prefix = arena_str(p->e->a, name), *dot;
    do {
        const struct doc *ref = doc_get(p->ours, prefix);
        if (ref && !p->read[ref->n]) {
            p->read[ref->n] = true;
            p->todo[p->ntodo++] = ref->n;
        }
        dot = strrchr(prefix, '.');
        if (dot)
            *dot = 0;
    } while (dot);
}

static void mark_expr(struct prune *p, const struct expr *x)
{
    if (x && x->kind == EX_NAME)
        mark_name(p, x->name);
    for (uint32_t i = 0; x && i < x->n; i++)
        mark_expr(p, x->child[i]);
}

/* Expressions and lists of names alike. */
static void mark_doc(struct prune *p, const struct doc *d)
{
    if (d->expr)
        mark_expr(p, d->expr);
    else if (d->kind == DOC_SCALAR)
        mark_name(p, d->text.text);
    for (uint32_t i = 0; i < d->n; i++)
        mark_doc(p, d->entry[i].value);
}

static void mark_all(struct prune *p)
{
    while (p->ntodo > 0)
        mark_doc(p, p->nodes->entry[p->todo[--p->ntodo]].value);
}

static void mark_probe_expr(struct prune *p, const struct expr *x)
{
    if (x && x->kind == EX_NAME)
        mark_name(p, strncmp(x->name, "compare.", 8) == 0 ? x->name + 8 : x->name);
    for (uint32_t i = 0; x && i < x->n; i++)
        mark_probe_expr(p, x->child[i]);
}

/* `of: [x, z], between: [wake, sleep]` reads x.wake, x.sleep, z.wake, z.sleep. */
static void mark_between(struct prune *p, const struct expr *of, const struct doc *between)
{
    if (of && of->kind == EX_NAME) {
        for (uint32_t i = 0; i < between->n; i++)
            if (between->entry[i].value->kind == DOC_SCALAR)
                mark_name(p, arena_fmt(p->e->a, "%s.%s", of->name,
                                       between->entry[i].value->text.text));
        return;
    }
    for (uint32_t i = 0; of && i < of->n; i++)
        mark_between(p, of->child[i], between);
}

static void mark_probes(struct prune *p)
{
    const struct doc *all = doc_get(p->e->file, "probes");
    for (uint32_t i = 0; all && all->kind == DOC_MAP && i < all->n; i++) {
        const struct doc *probe = all->entry[i].value, *nodes = doc_get(probe, "nodes");
        const struct doc *of = doc_get(probe, "of"), *between = doc_get(probe, "between");
        for (uint32_t k = 0; k < probe->n; k++)
            mark_probe_expr(p, probe->entry[k].value->expr);
        for (uint32_t k = 0; nodes && k < nodes->n; k++)
            mark_probe_expr(p, nodes->entry[k].value->expr);
        if (of && between && between->kind == DOC_LIST)
            mark_between(p, of->expr, between);
    }
    for (uint32_t i = 0; i < p->e->m->options.nnode; i++)
        mark_name(p, p->e->m->options.node[i]);
    mark_all(p);
}

static void find_ours(struct prune *p)
{
    p->ours = doc_map(p->e->a, (struct loc){0});
    p->read = arena_array(p->e->a, p->nodes->n + 1, sizeof *p->read);
    p->todo = arena_array(p->e->a, p->nodes->n + 1, sizeof *p->todo);
    for (uint32_t i = 0; i < p->nodes->n; i++) {
        const struct doc_entry *x = &p->nodes->entry[i];
        struct doc *ref = doc_map(p->e->a, x->loc);
        ref->n = i;
        if (doc_get(p->e->values, x->key.text) == x->value)
            doc_add(p->e->a, p->ours, x->key.text, x->loc, ref);
    }
}

struct doc *elaborate_prune(struct elaboration *e, const struct doc *phase)
{
    struct prune p = {.e = e, .nodes = doc_get(phase, "nodes")};
    struct doc *to = doc_map(e->a, phase->loc), *nodes = doc_map(e->a, phase->loc);
    if (!p.nodes || p.nodes->kind != DOC_MAP)
        return (struct doc *)phase;
    find_ours(&p);
    for (uint32_t i = 0; i < p.nodes->n; i++)
        if (!doc_find(p.ours, p.nodes->entry[i].key.text))
            mark_doc(&p, p.nodes->entry[i].value);
    for (uint32_t i = 0; i < phase->n; i++)
        if (phase->entry[i].value != p.nodes)
            mark_doc(&p, phase->entry[i].value);
    mark_all(&p);
    bool *needed = arena_copy(e->a, p.read, p.nodes->n * sizeof *needed + 1);
    mark_probes(&p);
    for (uint32_t i = 0; i < p.nodes->n; i++)
        if (needed[i] || !doc_find(p.ours, p.nodes->entry[i].key.text))
            doc_push(e->a, nodes, p.nodes->entry[i]);
    for (uint32_t i = 0; i < p.nodes->n; i++)
        if (p.read[i] && !needed[i])
            doc_push(e->a, nodes, p.nodes->entry[i]);
    for (uint32_t i = 0; i < phase->n; i++) {
        struct doc_entry x = phase->entry[i];
        x.value = x.value == p.nodes ? nodes : x.value;
        doc_push(e->a, to, x);
    }
    return to;
}
