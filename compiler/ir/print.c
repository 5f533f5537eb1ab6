/*
 * The text form of a graph: one line an entry, nodes in id order.
 *
 *   region 2 phase training "compare"
 *   site 1 "compare/z~1" in 2 sample
 *   leaf 1 data "digits.image" f32[B|784]
 *   leaf 4 param "D.w" f32[10,784] version 1 in 2 := %12
 *   %3:f32[B|10] = form [n:B,o:10] += ... (%1, %2) r2 p7 e1 c1
 *   root 2 update 0 leaf 2 := %12
 *   place 7 1:14:5+7 gradient_of 3 "D.z.f2"
 *
 * r, p and e are region, place and written expression, c marks a clone that is computed
 * again; # starts a comment.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "compiler/ir/graph_internal.h"

static const struct {
    enum word_table table;
    unsigned value;
    const char *text;
} words[] = {
#define WORD(table, value, text) {WORDS_##table, value, text},
#include "compiler/ir/words.def"
#undef WORD
};
enum { NWORD = sizeof words / sizeof *words };

const char *graph_word(enum word_table t, unsigned value)
{
    for (unsigned i = 0; i < NWORD; i++)
        if (words[i].table == t && words[i].value == value)
            return words[i].text;
    return NULL;
}

bool graph_word_find(enum word_table t, const char *text, size_t n, unsigned *value)
{
    for (unsigned i = 0; i < NWORD; i++)
        if (words[i].table == t && strlen(words[i].text) == n &&
            !memcmp(words[i].text, text, n)) {
            *value = words[i].value;
            return true;
        }
    return false;
}

struct text {
    struct arena *arena;
    char *s;
    uint32_t n, cap;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *s = arena_vfmt(t->arena, fmt, ap);
    va_end(ap);
    const uint32_t n = (uint32_t)strlen(s);
    t->s = arena_grow(t->arena, t->s, &t->cap, t->n + n + 1, 1);
    memcpy(t->s + t->n, s, n + 1);
    t->n += n;
}

static void put_quoted(struct text *t, const char *s)
{
    put(t, "\"");
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            put(t, "\\%c", *s);
        else if (*s == '\n')
            put(t, "\\n");
        else
            put(t, "%c", *s);
    }
    put(t, "\"");
}

static void put_ext(struct text *t, struct ext e)
{
    if (!e.b || e.c)
        put(t, "%d", e.c);
    if (e.b)
        put(t, "%s", e.c && e.b > 0 ? "+" : "");
    if (e.b && e.b != 1)
        put(t, "%d", e.b);
    if (e.b)
        put(t, "B");
}

static void put_type(struct text *t, const struct type *x)
{
    put(t, "%s[", graph_word(WORDS_dtype, x->dtype));
    for (unsigned i = 0; i < x->rank; i++) {
        if (i > x->sample)
            put(t, ",");
        put_ext(t, x->dim[i]);
        if (i == 0 && x->sample)
            put(t, "|");
    }
    put(t, "]");
}

static void put_leaf(struct text *t, const struct graph *g, leaf_id id)
{
    const struct leaf *l = &g->leaf[id];
    put(t, "leaf %u %s ", id, graph_word(WORDS_leaf_what, l->what));
    put_quoted(t, l->path);
    put(t, " ");
    put_type(t, &l->type);
    if (l->version)
        put(t, " version %u in %u", l->version, l->region);
    if (l->def)
        put(t, " := %%%u", l->def);
    put(t, "\n");
}

static void put_operands(struct text *t, const struct graph *g, const struct node *n)
{
    put(t, " (");
    for (unsigned i = 0; i < n->nin; i++)
        put(t, "%s%%%u", i ? ", " : "", graph_in(g, n)[i]);
    put(t, ")");
}

static void put_node(struct text *t, const struct graph *g, node_id id)
{
    const struct node *n = &g->node[id];
    for (unsigned i = 0; i < n->nout; i++) {
        put(t, "%s%%%u:", i ? " " : "", n->out0 + i);
        put_type(t, graph_type(g, n->out0 + i));
    }
    put(t, " = %s", graph_word(WORDS_graph_op, n->op));
    if (n->op == OP_LEAF)
        put(t, " %u", n->attr);
    if (n->op == OP_GATHER || n->op == OP_SCATTER)
        put(t, " %u", n->attr);
    if (n->op == OP_FOLD)
        put(t, " %s", graph_word(WORDS_combiner, n->comb));
    if (n->op == OP_FORM || n->op == OP_FOLD)
        put(t, " %s", form_print(&g->form[n->attr], n->port, t->arena));
    if (n->op == OP_MAP)
        put(t, " %s", sx_print(&g->sx, n->attr, t->arena, NULL, NULL));
    if (n->op == OP_GRAD && n->missing_zero)
        put(t, " zero");
    if (n->op == OP_GRAD && n->seeded)
        put(t, " seeded");
    if (n->op != OP_LEAF)
        put_operands(t, g, n);
    if (n->op != OP_LEAF)
        put(t, " r%u", n->region);
    if (n->place)
        put(t, " p%u", n->place);
    if (n->expr)
        put(t, " e%u", n->expr);
    if (n->remat)
        put(t, " c%u", n->remat);
    if (n->op == OP_LEAF)
        put(t, " # %s", g->leaf[n->attr].path);
    put(t, "\n");
}

static void put_root(struct text *t, region_id r, const struct root *x)
{
    put(t, "root %u %s %u", r, graph_word(WORDS_root_why, x->why), x->step);
    if (x->variant)
        put(t, " variant %u", x->variant);
    if (x->leaf)
        put(t, " leaf %u", x->leaf);
    put(t, " := %%%u ", x->value);
    if (x->name)
        put_quoted(t, x->name);
    put(t, "\n");
}

static void put_place(struct text *t, const struct graph *g, place_id id)
{
    const struct place *p = &g->place[id];
    put(t, "place %u %u:%u:%u+%u %s %u ", id, p->loc.file, p->loc.line, p->loc.col,
        p->loc.len, graph_word(WORDS_place_why, p->why), p->parent);
    if (p->name)
        put_quoted(t, p->name);
    put(t, "\n");
}

char *graph_print(const struct graph *g, struct arena *a)
{
    struct text t = {.arena = a};
    put(&t, "graph exprs %u\n", g->nexpr);
    for (region_id i = 2; i < g->nregion; i++) {
        put(&t, "region %u %s %s", i, graph_word(WORDS_region_kind, g->region[i].kind),
            g->region[i].training ? "training " : "");
        put_quoted(&t, g->region[i].name);
        put(&t, "\n");
    }
    for (site_id i = 1; i < g->nsite; i++) {
        put(&t, "site %u ", i);
        put_quoted(&t, g->site[i].path);
        put(&t, " in %u %s\n", g->site[i].region,
            g->site[i].per_sample ? "sample" : "batch");
    }
    for (leaf_id i = 1; i < g->nleaf; i++)
        put_leaf(&t, g, i);
    for (node_id i = 1; i < g->nnode; i++)
        put_node(&t, g, i);
    for (region_id r = 1; r < g->nregion; r++)
        for (uint32_t i = 0; i < g->region[r].nroot; i++)
            put_root(&t, r, &g->region[r].root[i]);
    for (place_id i = 1; i < g->nplace; i++)
        put_place(&t, g, i);
    return t.s;
}
