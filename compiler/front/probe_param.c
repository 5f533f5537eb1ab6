/*
 * Keys of a probe that are no expressions over nodes: numbers, words, the optimizer of a
 * readout.
 */
#include <math.h>
#include <string.h>

#include "compiler/front/probe.h"
#include "runtime/base/arena.h"

/* Keys that are numbers (COUNT: whole ones, from 1), one of some words, or an optimizer. */
enum param_form { NUMBER, COUNT, WORDS, OPTIMIZER };
static const struct {
    const char *key;
    enum param_form form;
    const char *words;
} param_keys[] = {
    {"shape", COUNT, ""},   {"grid", COUNT, ""},
    {"units", COUNT, ""},   {"samples", COUNT, ""},
    {"bins", COUNT, ""},    {"range", NUMBER, ""},
    {"fit", OPTIMIZER, ""}, {"fit_epochs", COUNT, ""},
    {"batch", COUNT, ""},   {"controls", WORDS, "all floor rate shuffled untrained"},
    {"classes", COUNT, ""}, {"features", WORDS, "classifier"},
};

static void add_param(struct probe_cx *c, const char *name, const char *text, double number)
{
    struct prog_probe *p = c->p;
    p->param = arena_grow(c->b->a, p->param, &c->cparam, p->nparam + 1, sizeof *p->param);
    p->param[p->nparam++] =
        (struct prog_param){.name = name, .text = text, .number = number};
}

static void param_word(struct probe_cx *c, const char *name, const char *words,
                       const struct expr *e)
{
    bool must;
    if (e->kind == EX_NAME && mb_probe_word(words, e->name, &must)) {
        add_param(c, name, e->name, 0);
        return;
    }
    diag(c->b->ds, E0203, e->loc, "unknown word `%s`", expr_print(e, c->b->a));
    diag_hint(c->b->ds, strchr(words, ' ') ? "one of: %s" : "`%s`", words);
}

static void param_number(struct probe_cx *c, const char *name, bool count,
                         const struct expr *e)
{
    struct mb *b = c->b;
    struct ecx x = {.f = b->host, .root = e, .site = "host", .number = ""};
    b->g->at = b->p->host;
    const struct val *v = mb_eval(b, &x, e);
    if (v->kind == VAL_POISON)
        return;
    if (v->kind == VAL_NUM && (!count || (v->num >= 1 && v->num == floor(v->num))))
        add_param(c, name, NULL, v->num);
    else
        diag(b->ds, E0305, e->loc, "expected a %snumber known when compiling%s, found %s",
             count ? "whole " : "", count ? ", at least 1" : "",
             v->kind == VAL_NUM ? arena_fmt(b->a, "%g", v->num) : mb_show(b, v));
}

static void param_expr(struct probe_cx *c, const char *name, unsigned row,
                       const struct expr *e)
{
    if (e->kind == EX_LIST || e->kind == EX_TUPLE)
        for (uint32_t i = 0; i < e->n; i++)
            param_expr(c, arena_fmt(c->b->a, "%s.%u", name, i), row, e->child[i]);
    else if (param_keys[row].form == WORDS)
        param_word(c, name, param_keys[row].words, e);
    else
        param_number(c, name, param_keys[row].form == COUNT, e);
}

void mb_probe_params(struct probe_cx *c)
{
    for (unsigned i = 0; i < ARRAY_LEN(param_keys); i++) {
        const char *key = param_keys[i].key;
        struct doc *d = metric_takes(c->row, key) ? doc_get(c->doc, key) : NULL;
        const struct expr *e = d && !d->bad ? expr_parse(c->b->a, c->b->ds, d) : NULL;
        const char *fixed = NULL;
        if (e && param_keys[i].form != OPTIMIZER)
            param_expr(c, key, i, e);
        else if (e && (fixed = mb_fixed_optimizer(c->b, d)) != NULL)
            add_param(c, key, fixed, 0);
    }
}
