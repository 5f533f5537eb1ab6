/*
 * One name of the model: where its values live, who reads them, and what was decided about
 * them.
 *
 * A name stands for as many values as the model evaluates it: a network that is called
 * three times has three.  The names are followed through all passes (prog_called).
 */
#include <string.h>

#include "compiler/driver/explain_internal.h"
#include "runtime/base/arena.h"

enum { NAMES_MAX = 64 };

/* ---- what is called so ---- */

/* "compare/z.wake" is asked for as "compare.z.wake". */
static bool same_path(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if ((*a == '/' ? '.' : *a) != (*b == '/' ? '.' : *b))
            return false;
    return !*a && !*b;
}

static bool is_under(const char *path, const char *name)
{
    for (; *name; path++, name++)
        if ((*path == '/' ? '.' : *path) != (*name == '/' ? '.' : *name))
            return false;
    return *path == '.' || *path == '/';
}

/* The value of a function in the node that calls it has the node's name; so has the node.
 */
static bool is_inner(const struct ex *x, const struct prog_called *n)
{
    const place_id parent = x->g->place[n->place].parent;
    return parent && x->called[parent] && strcmp(x->called[parent]->name, n->name) == 0;
}

static bool is_asked(const struct ex *x, const struct prog_called *n, const char *name)
{
    const char *slash = n->name ? strchr(n->name, '/') : NULL;
    return n->name &&
           (same_path(n->name, name) ||
            (slash && same_path(slash + 1, name))) && /* the phase is left out */
           !is_inner(x, n);
}

static bool in_phases(const struct ex *x, region_id r)
{
    for (uint32_t i = 0; i < x->nphase; i++)
        if (x->phase[i].f->region == r)
            return true;
    return false;
}

/* ---- a value in a phase ---- */

static void print_at(const struct ex *x, const struct ex_phase *p, node_id id)
{
    const struct ex_kernel *k = ex_kernel_of(p, id);
    if (k)
        fprintf(x->out, "k%u (launch %u)", k->kernel, k->launch);
    else
        fputs("its readers", x->out);
}

static void print_storage(const struct ex *x, const struct ex_phase *p, value_id v)
{
    const struct plan_memory *m = &x->c->ir.memory[p->id];
    char b[24], o[24];
    for (uint32_t i = 0; i < m->n; i++) {
        const struct plan_life *l = &m->life[i];
        if (l->value != v)
            continue;
        fprintf(x->out, "; %s at %s of the arena, launches %u to %u",
                ex_bytes(b, (double)l->bytes), ex_bytes(o, (double)l->offset), l->first,
                l->last);
        return;
    }
    fputs(p->f->stored[v] ? "; in a place of its own: a result or a state"
                          : "; not stored: it stays in registers",
          x->out);
}

/* Once each: the kernels that read the value, the maps inlined into them by name. */
static void print_readers(const struct ex *x, const struct ex_phase *p, value_id base)
{
    const struct graph *g = x->g;
    struct ex_flow w = {x->out, 14, 14, true};
    uint32_t n = 0;
    for (node_id id = 1; id < g->nnode; id++) {
        const struct node *nd = &g->node[id];
        bool reads = false;
        char text[3 * EX_PLACE], name[EX_PLACE], line[EX_PLACE];
        if (p->f->role[id] != ROLE_COMPUTE && p->f->role[id] != ROLE_INLINE)
            continue;
        for (unsigned i = 0; i < nd->nin; i++)
            reads |= p->f->base[graph_in(g, nd)[i]] == base;
        if (!reads)
            continue;
        const struct ex_kernel *k = ex_kernel_of(p, id);
        ex_name(x, nd->place, name);
        ex_line(x, nd->place, line);
        if (k)
            snprintf(text, sizeof text, "%s %s in k%u%s", name, line, k->kernel,
                     p->f->role[id] == ROLE_INLINE ? " (inlined)" : "");
        else
            snprintf(text, sizeof text, "%s %s (inlined)", name, line);
        if (n++)
            ex_flow_glue(&w, ",");
        else
            fputs("      read by ", x->out);
        ex_flow_word(&w, text);
    }
    if (!n)
        fputs(p->f->stored[base] ? "      read by the runtime" : "      read by nobody",
              x->out);
    ex_flow_end(&w);
}

static void print_decision(const struct ex *x, const struct fuse_decision *d, node_id id)
{
    const node_id other = d->producer == id ? d->consumer : d->producer;
    char name[EX_PLACE], line[EX_PLACE], t[24], b[24];
    struct ex_flow w = {x->out, 8, 10, true};

    ex_name(x, x->g->node[other].place, name);
    ex_line(x, x->g->node[other].place, line);
    fprintf(x->out, "      %c ", d->why == FUSE_OK ? '+' : '-');
    ex_flow_word(&w, d->producer == id ? "into" : "with");
    ex_flow_word(&w, name);
    ex_flow_word(&w, line);
    ex_flow_glue(&w, ":");
    ex_flow_word(&w, fuse_kind_row[d->kind].word);
    if (d->why == FUSE_OK) {
        ex_flow_text(&w, "fused, saves");
        ex_flow_text(&w, ex_time(t, d->before - d->after));
        ex_flow_text(&w, "and");
        ex_flow_text(&w, ex_bytes(b, d->bytes));
    } else {
        ex_flow_text(&w, "refused:");
        ex_flow_word(&w, fuse_why_row[d->why].word);
        if (d->most > 0) {
            ex_flow_text(&w, "(at most");
            ex_flow_text(&w, ex_time(t, d->most));
            ex_flow_glue(&w, ")");
        }
    }
    ex_flow_end(&w);
}

/* The steps of one node, as product, bias and activation, are no news where they fused. */
static bool same_node(const struct ex *x, const struct fuse_decision *d)
{
    const struct graph *g = x->g;
    const place_id p = g->node[d->producer].place, q = g->node[d->consumer].place;
    return g->place[p].why == g->place[q].why &&
           strcmp(graph_place_name(g, p), graph_place_name(g, q)) == 0;
}

static void print_decisions(struct ex *x, const struct ex_phase *p, node_id id)
{
    for (uint32_t i = 0; i < p->f->nlog; i++) {
        const struct fuse_decision *d = &p->f->log[i];
        if ((d->producer != id && d->consumer != id) ||
            (d->why == FUSE_OK && same_node(x, d)))
            continue;
        print_decision(x, d, id);
        x->said[d->why] |= d->why != FUSE_OK;
    }
}

/* Clones that the rest of the phase computes for itself. */
static void print_again(const struct ex *x, const struct ex_phase *p, place_id place)
{
    for (node_id id = 1; id < x->g->nnode; id++) {
        const struct node *n = &x->g->node[id];
        if (!n->remat || x->g->place[n->place].parent != place ||
            p->f->role[id] == ROLE_DEAD)
            continue;
        fputs("      computed again in ", x->out);
        print_at(x, p, id);
        fputs(" for gradients, in order not to be kept\n", x->out);
    }
}

static void print_choice(const struct ex *x, const struct ex_phase *p, place_id place)
{
    char a[24], b[24], m[24];
    for (uint32_t i = 0; i < x->c->program.nremat; i++) {
        const struct prog_remat *r = &x->c->program.remat[i];
        if (r->region == p->f->region && r->place == place)
            fprintf(x->out, "      %s for gradients: keeping %s costs %s, computing %s\n",
                    r->recomputed ? "recomputed" : "kept", ex_bytes(m, r->bytes),
                    ex_time(a, r->keeping), ex_time(b, r->recomputing));
    }
}

static void print_alias(const struct ex *x, const struct ex_phase *p, value_id v)
{
    const value_id base = p->f->base[v];
    const struct node *n = &x->g->node[x->g->value[base].def];
    char name[EX_PLACE];
    ex_name(x, n->place, name);
    if (n->op == OP_LEAF)
        fprintf(x->out, "is `%s` itself: no kernel\n", x->g->leaf[n->attr].path);
    else
        fprintf(x->out, "a view of the storage of %s: no kernel\n", name);
}

static void print_value(struct ex *x, const struct ex_phase *p, value_id v)
{
    const struct fusion *f = p->f;
    const node_id id = x->g->value[v].def;
    const place_id place = x->g->node[id].place;

    fprintf(x->out, "    %s: ", p->name);
    switch (f->role[id]) {
    case ROLE_DEAD:
        fputs("nothing that runs here needs it\n", x->out);
        return;
    case ROLE_HOST:
        fputs("a number that the host computes, in double, once a run of the phase\n",
              x->out);
        return;
    case ROLE_ALIAS:
        print_alias(x, p, v);
        break;
    case ROLE_INLINE:
        fputs("inlined: all who read it compute it, and nobody stores it\n", x->out);
        break;
    default:
        fputs("computed in ", x->out);
        print_at(x, p, id);
        print_storage(x, p, f->base[v]);
        fputc('\n', x->out);
    }
    print_choice(x, p, place);
    print_again(x, p, place);
    print_readers(x, p, f->base[v]);
    print_decisions(x, p, id);
}

/* ---- a name ---- */

static void print_fate(const struct ex *x, const struct prog_called *n)
{
    fputs(n->fate == CALLED_ABSORBED
              ? "    removed: it became part of the expressions that read it\n"
              : "    removed: nothing that runs reads it\n",
          x->out);
}

/* Is o's place inside n's? */
static bool is_part(const struct ex *x, const struct prog_called *o,
                    const struct prog_called *n)
{
    place_id p = o->place;
    while (p && p != n->place)
        p = x->g->place[p].parent;
    return p != 0;
}

/* Other names of the value; true: one of them is an earlier evaluation of this name. */
static bool print_equals(const struct ex *x, const struct prog_called *n)
{
    const struct program *p = &x->c->program;
    struct ex_flow w = {x->out, 12, 14, true};
    unsigned found = 0;
    bool again = false;
    for (uint32_t i = 0; i < p->ncalled; i++) {
        const struct prog_called *o = &p->called[i];
        char name[EX_PLACE], line[EX_PLACE], text[2 * EX_PLACE];
        if (o == n || !o->name || o->value != n->value || is_inner(x, o) ||
            is_part(x, o, n) || is_part(x, n, o))
            continue;
        again |= o < n && same_path(o->name, n->name);
        ex_dotted(name, "", o->name);
        ex_line(x, o->place, line);
        snprintf(text, sizeof text, "%s %s", name, line);
        if (found++)
            ex_flow_glue(&w, ",");
        else
            fputs("    equal to ", x->out);
        ex_flow_word(&w, text);
    }
    if (!found)
        return false;
    ex_flow_glue(&w, ":");
    ex_flow_text(&w, "computed once");
    ex_flow_end(&w);
    return again;
}

static void print_called(struct ex *x, const struct prog_called *n, unsigned number,
                         unsigned of)
{
    char line[EX_PLACE], name[EX_PLACE];
    const struct hyp_place pl = place_of(x->g, x->c->diags, n->place);
    ex_line(x, n->place, line);
    ex_dotted(name, "", n->name);
    ex_bold(x, name);
    fprintf(x->out, " %s", line);
    if (pl.from_file)
        fprintf(x->out, " (%s:%u)", pl.file, pl.line);
    if (n->value)
        fprintf(x->out, "  %s", type_print(graph_type(x->g, n->value), x->a));
    if (of > 1)
        fprintf(x->out, ", evaluation %u of %u", number, of);
    fputc('\n', x->out);
    if (!n->value) {
        print_fate(x, n);
        return;
    }
    if (print_equals(x, n))
        return;
    for (uint32_t i = 0; i < x->nphase; i++)
        if (x->phase[i].f->region == n->region)
            print_value(x, &x->phase[i], n->value);
}

static bool print_nodes(struct ex *x, const char *name)
{
    const struct program *p = &x->c->program;
    unsigned of = 0, number = 0;
    for (uint32_t i = 0; i < p->ncalled; i++)
        of += is_asked(x, &p->called[i], name) && in_phases(x, p->called[i].region);
    for (uint32_t i = 0; i < p->ncalled; i++)
        if (is_asked(x, &p->called[i], name) && in_phases(x, p->called[i].region))
            print_called(x, &p->called[i], ++number, of);
    return of > 0;
}

/* ---- weights and states ---- */

static void print_updates(const struct ex *x, const struct ex_phase *p, leaf_id leaf)
{
    for (uint32_t i = 0; i < p->f->nroot; i++) {
        const struct root *r = p->f->root[i];
        if (r->leaf != leaf || r->why == ROOT_OUTPUT)
            continue;
        const node_id id = x->g->value[p->f->base[r->value]].def;
        fputs(r->why == ROOT_UPDATE ? "      updated by " : "      replaced by ", x->out);
        print_at(x, p, id);
        fputs(p->f->twin[leaf] ? ", beside the old value, and copied at the end\n"
                               : ", in place\n",
              x->out);
    }
}

static bool reads_base(const struct ex *x, const struct ex_phase *p, value_id v)
{
    for (node_id id = 1; id < x->g->nnode; id++)
        for (unsigned i = 0; p->f->role[id] != ROLE_DEAD && i < x->g->node[id].nin; i++)
            if (p->f->base[graph_in(x->g, &x->g->node[id])[i]] == v)
                return true;
    return false;
}

static void print_leaf(const struct ex *x, leaf_id leaf)
{
    const struct leaf *l = &x->g->leaf[leaf];
    const struct hyp_plan *p = x->c->plan;
    ex_bold(x, l->path);
    fprintf(x->out, "  %s", type_print(&l->type, x->a));
    for (uint32_t i = 0; i < p->ntensor; i++)
        if (strcmp(p->tensor[i].name, l->path) == 0) {
            char b[24], o[24];
            fprintf(x->out, ", %s at %s of the state",
                    ex_bytes(b, (double)p->tensor[i].bytes),
                    ex_bytes(o, (double)p->tensor[i].offset));
        }
    fputc('\n', x->out);
    for (uint32_t i = 0; i < x->nphase; i++) {
        if (!l->value || !reads_base(x, &x->phase[i], l->value))
            continue;
        fprintf(x->out, "    %s:\n", x->phase[i].name);
        print_readers(x, &x->phase[i], l->value);
        if (x->c->ir.leaf_buffer[leaf])
            ex_print_packings(x, &x->phase[i], x->c->ir.leaf_buffer[leaf] - 1);
        print_updates(x, &x->phase[i], leaf);
    }
}

static bool print_leaves(const struct ex *x, const char *name)
{
    bool any = false;
    for (leaf_id i = 1; i < x->g->nleaf; i++) {
        const struct leaf *l = &x->g->leaf[i];
        if (l->version || !same_path(l->path, name))
            continue;
        print_leaf(x, i);
        any = true;
    }
    return any;
}

/* ---- parts of a network or a phase ---- */

static bool print_parts(const struct ex *x, const char *name)
{
    const struct program *p = &x->c->program;
    const char *seen[NAMES_MAX];
    unsigned n = 0;
    struct ex_flow w = {x->out, 4, 4, true};
    for (uint32_t i = 0; i < p->ncalled; i++) {
        const char *s = p->called[i].name;
        bool known = !s || !is_under(s, name);
        for (unsigned k = 0; k < n && !known; k++)
            known = strcmp(seen[k], s) == 0;
        if (known || n == NAMES_MAX)
            continue;
        fputs(n ? "" : "parts to ask for:\n    ", x->out);
        seen[n++] = s;
        ex_flow_word(&w, s);
    }
    for (uint32_t i = 0; i < p->nweight && n < NAMES_MAX; i++)
        if (is_under(p->weight[i].path, name)) {
            fputs(n ? "" : "parts to ask for:\n    ", x->out);
            seen[n++] = p->weight[i].path;
            ex_flow_word(&w, p->weight[i].path);
        }
    if (n)
        ex_flow_end(&w);
    return n > 0;
}

static const char *nearest(const struct ex *x, const char *name)
{
    const struct program *p = &x->c->program;
    const char **names =
        arena_array(x->a, p->ncalled + p->nweight + x->c->plan->nphase + 1U, sizeof *names);
    unsigned n = 0;
    for (uint32_t i = 0; i < p->ncalled; i++)
        if (p->called[i].name)
            names[n++] = p->called[i].name;
    for (uint32_t i = 0; i < p->nweight; i++)
        names[n++] = p->weight[i].path;
    for (uint32_t i = 0; i < x->c->plan->nphase; i++)
        names[n++] = x->c->plan->phase[i].name;
    return diag_nearest(name, names, n); /* the names outlive the arena */
}

static bool print_phase(struct ex *x, const char *name)
{
    bool any = false;
    for (uint32_t i = 0; i < x->nphase; i++)
        if (same_path(x->phase[i].name, name)) {
            ex_print_phase(x, &x->phase[i], true);
            any = true;
        }
    return any;
}

static bool print_values(struct ex *x, const char *name)
{
    const bool nodes = print_nodes(x, name), leaves = print_leaves(x, name);
    return nodes || leaves;
}

bool explain_name(const struct compiled *c, const struct explain_options *o,
                  const char *name, FILE *out, const char **near)
{
    struct explain_options every = *o;
    struct arena *a = arena_new();
    struct ex x = {.c = c, .o = o, .g = &c->program.graph, .a = a, .out = out};
    struct ex all = {.c = c, .o = &every, .g = x.g, .a = a, .out = out};

    every.all = true; /* a name of a probe's phase alone is one too */
    ex_gather(&x);
    ex_gather(&all);
    bool any = print_phase(&all, name);
    any |= print_values(&x, name) || print_values(&all, name);
    any |= print_parts(&all, name);
    for (unsigned i = 0; i < FUSE_WHY_COUNT; i++)
        all.said[i] |= x.said[i];
    ex_print_reasons(&all);
    *near = any ? NULL : nearest(&all, name);
    arena_free(a);
    return any;
}
