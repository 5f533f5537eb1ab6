/*
 * Reading the text form of a graph (print.c).  The text may be anything: what does not fit
 * is reported at its line and column, and the whole is validated before it counts.
 */
#include <errno.h>
#include <string.h>

#include "compiler/ir/graph_internal.h"

struct reader {
    struct graph *g;
    struct diag_sink *ds;
    const char *line, *at; /* start of the line, and where we are */
    uint32_t file, lineno;
    bool failed;
};

static bool fail(struct reader *r, const char *what)
{
    const struct loc loc = {r->file, r->lineno, (uint32_t)(r->at - r->line) + 1, 1};
    if (!r->failed)
        diag(r->ds, E0110, loc, "%s", what);
    r->failed = true;
    return false;
}

static void skip(struct reader *r)
{
    while (*r->at == ' ' || *r->at == '\t')
        r->at++;
}

/* The text comes next, after spaces. */
static bool accept(struct reader *r, const char *text)
{
    const size_t n = strlen(text);
    skip(r);
    if (strncmp(r->at, text, n) != 0)
        return false;
    r->at += n;
    return true;
}

static bool expect(struct reader *r, const char *text)
{
    return accept(r, text) || fail(r, "unexpected text in a graph");
}

static bool number(struct reader *r, uint32_t limit, uint32_t *out)
{
    skip(r);
    char *end;
    errno = 0;
    const unsigned long x =
        *r->at >= '0' && *r->at <= '9' ? strtoul(r->at, &end, 10) : ~0UL;
    if (errno || x >= limit)
        return fail(r, "expected a number, or it is out of range");
    r->at = end;
    *out = (uint32_t)x;
    return true;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static bool word(struct reader *r, enum word_table table, uint8_t *out)
{
    skip(r);
    size_t n = 0;
    unsigned v;
    while (is_word(r->at[n]))
        n++;
    if (!graph_word_find(table, r->at, n, &v))
        return fail(r, "unknown word in a graph");
    r->at += n;
    *out = (uint8_t)v;
    return true;
}

static bool quoted(struct reader *r, const char **out)
{
    if (!expect(r, "\""))
        return false;
    const char *end = r->at;
    while (*end && *end != '"' && *end != '\n')
        end += end[0] == '\\' && end[1] && end[1] != '\n' ? 2 : 1;
    char *s = arena_alloc(r->g->arena, (size_t)(end - r->at) + 1), *to = s;
    while (r->at < end) {
        const bool escaped = *r->at == '\\';
        r->at += escaped;
        *to++ = escaped && *r->at == 'n' ? '\n' : *r->at;
        r->at++;
    }
    *out = s;
    return expect(r, "\"");
}

static bool extent(struct reader *r, struct ext *out)
{
    struct ext e = {0};
    for (bool more = true; more; more = *r->at == '+' || *r->at == '-') {
        char *end;
        skip(r);
        const long x = *r->at == 'B' ? 1 : strtol(r->at, &end, 10);
        if (*r->at == 'B')
            end = (char *)(uintptr_t)r->at;
        else if (end == r->at)
            return fail(r, "expected an extent");
        if (x < INT32_MIN / 2 || x > INT32_MAX)
            return fail(r, "an extent out of range");
        r->at = end;
        if (*r->at == 'B') {
            e.b = (int32_t)x;
            r->at++;
        } else {
            e.c = (int32_t)x;
        }
    }
    *out = e;
    return true;
}

static bool type(struct reader *r, struct type *t)
{
    *t = (struct type){0};
    if (!word(r, WORDS_dtype, &t->dtype) || !expect(r, "["))
        return false;
    while (!accept(r, "]")) {
        if (t->rank == HYP_RANK || !extent(r, &t->dim[t->rank]))
            return fail(r, "too many dims");
        t->rank++;
        if (t->rank == 1 && accept(r, "|"))
            t->sample = true;
        else
            accept(r, ",");
    }
    return true;
}

static bool value_ref(struct reader *r, value_id *out)
{
    return expect(r, "%") && number(r, UINT32_MAX, out);
}

/* ---- lines ---- */

static bool line_region(struct reader *r)
{
    uint32_t id;
    uint8_t kind;
    const char *name;
    if (!number(r, r->g->nregion + 1, &id) || id != r->g->nregion)
        return fail(r, "regions are numbered from 2");
    if (!word(r, WORDS_region_kind, &kind))
        return false;
    const bool training = accept(r, "training");
    if (!quoted(r, &name))
        return false;
    graph_region(r->g, kind, name);
    r->g->region[id].training = training;
    return true;
}

static bool line_site(struct reader *r)
{
    uint32_t id, region;
    const char *path;
    if (!number(r, r->g->nsite + 1, &id) || id != r->g->nsite)
        return fail(r, "sites are numbered from 1");
    if (!quoted(r, &path) || !expect(r, "in") || !number(r, r->g->nregion, &region))
        return false;
    const bool sample = accept(r, "sample");
    if (!sample && !expect(r, "batch"))
        return false;
    graph_site(r->g, path, region, sample);
    return true;
}

static bool line_leaf(struct reader *r)
{
    uint32_t id, version = 0;
    struct leaf l = {0};
    if (!number(r, r->g->nleaf + 1, &id) || id != r->g->nleaf)
        return fail(r, "leaves are numbered from 1");
    if (!word(r, WORDS_leaf_what, &l.what) || !quoted(r, &l.path) || !type(r, &l.type))
        return false;
    if (accept(r, "version") && !(number(r, UINT16_MAX, &version) && expect(r, "in") &&
                                  number(r, r->g->nregion, &l.region)))
        return false;
    l.version = (uint16_t)version;
    if (accept(r, ":=") && !value_ref(r, &l.def))
        return false;
    graph_leaf_entry(r->g, &l);
    return true;
}

static bool line_root(struct reader *r)
{
    uint32_t region = 0, step = 0, variant = 0, leaf = 0;
    uint8_t why;
    value_id v = 0;
    const char *name = NULL;
    if (!number(r, r->g->nregion, &region) || !word(r, WORDS_root_why, &why) ||
        !number(r, UINT16_MAX, &step))
        return false;
    if (accept(r, "variant") && !number(r, UINT16_MAX, &variant))
        return false;
    if (accept(r, "leaf") && !number(r, r->g->nleaf, &leaf))
        return false;
    if (!expect(r, ":=") || !value_ref(r, &v))
        return false;
    skip(r);
    if (*r->at == '"' && !quoted(r, &name))
        return false;
    if (!region || !v || v >= r->g->nvalue)
        return fail(r, "no such region or value");
    graph_root(r->g, region, why, (uint16_t)step, leaf, v, name);
    r->g->region[region].root[r->g->region[region].nroot - 1].variant = (uint16_t)variant;
    return true;
}

static bool line_place(struct reader *r)
{
    uint32_t id, parent;
    struct loc l;
    uint8_t why;
    const char *name = NULL;
    if (!number(r, r->g->nplace + 1, &id) || id != r->g->nplace)
        return fail(r, "places are numbered from 1");
    if (!number(r, UINT32_MAX, &l.file) || !expect(r, ":") ||
        !number(r, UINT32_MAX, &l.line) || !expect(r, ":") ||
        !number(r, UINT32_MAX, &l.col) || !expect(r, "+") ||
        !number(r, UINT32_MAX, &l.len) || !word(r, WORDS_place_why, &why) ||
        !number(r, UINT32_MAX, &parent))
        return false;
    skip(r);
    if (*r->at == '"' && !quoted(r, &name))
        return false;
    graph_place(r->g, l, parent, why, name);
    return true;
}

/* ---- nodes ---- */

static bool operands(struct reader *r, struct node *n, value_id *in)
{
    if (!expect(r, "("))
        return false;
    while (!accept(r, ")")) {
        if (n->nin == 255 || !value_ref(r, &in[n->nin]))
            return fail(r, "too many operands");
        if (!in[n->nin] || in[n->nin] >= r->g->nvalue)
            return fail(r, "an operand that is not defined before");
        n->nin++;
        accept(r, ",");
    }
    return true;
}

static bool form_text(struct reader *r, struct node *n)
{
    struct form f = {0};
    unsigned port;
    const char *end = r->at;
    skip(r);
    if (!form_parse(r->at, &f, &port, &end)) {
        r->at = end;
        return fail(r, "not a form");
    }
    r->at = end;
    n->port = (uint8_t)port;
    n->attr = graph_form_id(r->g, &f);
    return true;
}

static bool sx_text(struct reader *r, struct node *n)
{
    const char *end = r->at;
    skip(r);
    n->attr = sx_parse(&r->g->sx, r->at, &end);
    r->at = end;
    return n->attr || fail(r, "not a scalar expression");
}

static bool attributes(struct reader *r, struct node *n, value_id *in)
{
    switch ((enum graph_op)n->op) {
    case OP_LEAF:
        n->region = 1;
        return number(r, r->g->nleaf, &n->attr) &&
               (n->attr || fail(r, "there is no leaf 0"));
    case OP_MAP:
        return sx_text(r, n) && operands(r, n, in);
    case OP_FOLD:
        if (!word(r, WORDS_combiner, &n->comb))
            return false;
        return form_text(r, n) && operands(r, n, in);
    case OP_FORM:
        return form_text(r, n) && operands(r, n, in);
    case OP_GATHER:
    case OP_SCATTER:
        return number(r, HYP_RANK, &n->attr) && operands(r, n, in);
    case OP_GRAD:
        n->missing_zero = accept(r, "zero");
        n->seeded = accept(r, "seeded");
        return operands(r, n, in);
    case OP_STOP:
        return operands(r, n, in);
    case OP_NOP:
    case OP_LOOP:
        break;
    }
    return fail(r, "this node has no text form");
}

static bool marks(struct reader *r, struct node *n)
{
    uint32_t x = 0;
    if (n->op != OP_LEAF && accept(r, "r")) { /* leaves are everybody's */
        if (!number(r, r->g->nregion, &x))
            return false;
        n->region = x;
    }
    if (accept(r, "p")) {
        if (!number(r, UINT32_MAX, &n->place))
            return false;
    }
    if (accept(r, "e")) {
        if (!number(r, UINT32_MAX, &n->expr))
            return false;
    }
    if (accept(r, "c")) {
        if (!number(r, UINT32_MAX, &n->remat))
            return false;
    }
    return n->region || fail(r, "a node needs a region");
}

static bool line_node(struct reader *r)
{
    struct graph *g = r->g;
    struct node n = {0};
    struct type out[255];
    value_id in[256];
    while (!accept(r, "=")) {
        value_id v = 0;
        if (n.nout == 255 || !value_ref(r, &v) || !expect(r, ":") || !type(r, &out[n.nout]))
            return fail(r, "too many outputs");
        if (v != g->nvalue + n.nout)
            return fail(r, "values are numbered in order");
        n.nout++;
    }
    if (!n.nout)
        return fail(r, "a node without output");
    if (!word(r, WORDS_graph_op, &n.op) || !attributes(r, &n, in) || !marks(r, &n))
        return false;
    const node_id before = g->nnode;
    if (graph_add(g, &n, in, out) != before)
        return fail(r, "the same node twice");
    if (n.op == OP_LEAF)
        g->leaf[n.attr].value = g->node[before].out0;
    return true;
}

static bool line(struct reader *r)
{
    static const struct {
        const char *word;
        bool (*read)(struct reader *);
    } kinds[] = {{"region ", line_region},
                 {"site ", line_site},
                 {"leaf ", line_leaf},
                 {"root ", line_root},
                 {"place ", line_place}};
    skip(r);
    if (*r->at == '\n' || !*r->at || *r->at == '#')
        return true;
    if (*r->at == '%')
        return line_node(r);
    if (accept(r, "graph exprs "))
        return number(r, UINT32_MAX, &r->g->nexpr);
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (accept(r, kinds[i].word))
            return kinds[i].read(r);
    return fail(r, "unexpected text in a graph");
}

bool graph_parse(struct graph *g, const char *text, struct diag_sink *ds, uint32_t file)
{
    struct reader r = {
        .g = g, .ds = ds, .line = text, .at = text, .file = file, .lineno = 1};
    while (*r.at) {
        if (!line(&r))
            return false;
        skip(&r);
        if (*r.at && *r.at != '\n' && *r.at != '#')
            return fail(&r, "unexpected text at the end of a line");
        while (*r.at && *r.at != '\n')
            r.at++;
        r.at += *r.at == '\n';
        r.line = r.at;
        r.lineno++;
    }
    const char *wrong = graph_validate(g, g->arena);
    return !wrong || fail(&r, wrong);
}
