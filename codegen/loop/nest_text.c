/* Nests as text: declarations, then every stage's statements, two spaces a level. */
#include <stdio.h>
#include <string.h>

#include "codegen/loop/text.h"

static const char *const for_word[] = {"grid", "for", "unroll", "vec"};

static void nest_axis(const void *cx, unsigned axis, char name[16])
{
    const struct nest *n = cx;
    snprintf(name, 16, "%s", n->axis_name[axis]);
}

static void indent(struct out *o, unsigned depth)
{
    for (unsigned i = 0; i < depth && !o->flat; i++)
        out_fmt(o, "  ");
}

static void out_loads(struct out *o, const struct nest *n, const struct stmt *st)
{
    for (uint32_t i = 0; i < st->nload; i++) {
        const struct nload *l = &st->load[i];
        out_fmt(o, "; %%%u = %c%u[", i, l->tile ? '&' : '#', (unsigned)l->id);
        out_index(o, &l->index, nest_axis, n);
        out_fmt(o, "]");
        out_guards(o, l->guard, l->nguard, nest_axis, n);
        out_pick(o, &l->pick);
    }
}

static void out_value(struct out *o, const struct nest *n, const struct stmt *st)
{
    out_fmt(o, "%c%u[", st->dst_tile ? '&' : '#', (unsigned)st->dst);
    out_index(o, &st->index, nest_axis, n);
    out_fmt(o, "]");
    out_pick(o, &st->pick);
    out_fmt(o, " %s ", st->op == S_SET ? "=" : "+=");
    out_sx(o, &n->sx, st->value);
    if (st->value2) {
        out_fmt(o, " * ");
        out_sx(o, &n->sx, st->value2);
    }
    out_fmt(o, " ");
    out_loads(o, n, st);
    out_fmt(o, "\n");
}

static void out_stmt(struct out *o, const struct nest *n, const struct stmt *st,
                     unsigned depth);

static void out_for(struct out *o, const struct nest *n, const struct stmt *f,
                    unsigned depth)
{
    out_fmt(o, "%s %s = ", for_word[f->kind], n->axis_name[f->axis]);
    out_index(o, &f->lo, nest_axis, n);
    out_fmt(o, " to ");
    out_index(o, &f->hi, nest_axis, n);
    out_fmt(o, " step %d", f->step);
    if (f->bound.c || f->bound.b) {
        out_fmt(o, " bound ");
        out_ext(o, f->bound);
        if (f->bound_div > 1)
            out_fmt(o, "/%d", f->bound_div);
    }
    out_guards(o, f->guard, f->nguard, nest_axis, n);
    out_fmt(o, " {\n");
    for (uint32_t i = 0; i < f->nbody; i++)
        out_stmt(o, n, f->body[i], depth + 1);
    indent(o, depth);
    out_fmt(o, "}\n");
}

static void out_fetch(struct out *o, const struct nest *n, const struct stmt *st)
{
    out_fmt(o, "fetch %c%u[", st->dst_tile ? '&' : '#', (unsigned)st->dst);
    out_index(o, &st->index, nest_axis, n);
    out_fmt(o, "]\n");
}

static void out_stmt(struct out *o, const struct nest *n, const struct stmt *st,
                     unsigned depth)
{
    indent(o, depth);
    if (st->op == S_FOR)
        out_for(o, n, st, depth);
    else if (st->op == S_TILE && st->has_init)
        out_fmt(o, "tile &%u = %.17g\n", (unsigned)st->tile, st->init);
    else if (st->op == S_TILE)
        out_fmt(o, "tile &%u\n", (unsigned)st->tile);
    else if (st->op == S_FETCH)
        out_fetch(o, n, st);
    else
        out_value(o, n, st);
}

static void out_tiles(struct out *o, const struct nest *n)
{
    for (uint32_t i = 0; i < n->ntile; i++) {
        const struct tile *t = &n->tile[i];
        out_fmt(o, "  tile &%u %s %s[", i, t->space == TILE_REG ? "reg" : "stack",
                text_dtypes[t->dtype]);
        for (unsigned d = 0; d < t->rank; d++)
            out_fmt(o, "%s%d", d ? ", " : "", t->dim[d]);
        out_fmt(o, "] ");
        out_quoted(o, t->name);
        out_fmt(o, "\n");
    }
}

void out_nest(struct out *o, const struct nest *n)
{
    out_fmt(o, "nest ");
    out_quoted(o, n->name);
    out_fmt(o, " scalars %u axes", n->nscalar);
    for (unsigned i = 0; i < n->naxis; i++)
        out_fmt(o, " %s", n->axis_name[i]);
    out_fmt(o, "\n");
    out_bufs(o, n->buf, n->nbuf, n->nprivate);
    out_tiles(o, n);
    for (uint32_t i = 0; i < n->nrng; i++) {
        out_fmt(o, "  draw %u scalar $%u sample ", i, (unsigned)n->rng[i].scalar);
        out_index(o, &n->rng[i].sample, nest_axis, n);
        out_fmt(o, "\n");
    }
    for (uint32_t i = 0; i < n->nstage; i++) {
        const struct nstage *s = &n->stage[i];
        out_fmt(o, "  stage units ");
        out_ext(o, s->units);
        out_fmt(o, "/%d", s->units_div);
        if (s->units_times > 1)
            out_fmt(o, "*%d", s->units_times);
        out_fmt(o, " stack %llu\n", (unsigned long long)s->stack_bytes);
        out_stmt(o, n, s->root, 2);
    }
}

char *nest_print(const struct nest *n, struct arena *a)
{
    struct out o = {.a = a};
    out_nest(&o, n);
    return o.text;
}
