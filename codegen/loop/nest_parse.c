/* Nests from text; nest_validate() judges what they mean. */
#include <ctype.h>
#include <string.h>

#include "codegen/loop/text.h"

enum { MAX_DEPTH = NEST_AXES };

static int find_axis(const void *cx, const char *name, size_t n)
{
    const struct nest *t = cx;
    for (unsigned i = 0; i < t->naxis; i++)
        if (strlen(t->axis_name[i]) == n && memcmp(t->axis_name[i], name, n) == 0)
            return (int)i;
    return -1;
}

static void in_names(struct in *in, struct nest *n)
{
    in_want(in, "axes");
    while (!in->failed) {
        while (*in->at == ' ')
            in->at++;
        if (*in->at == '\n' || !*in->at)
            break;
        size_t len = 0;
        while (isalnum((unsigned char)in->at[len]))
            len++;
        if (len == 0 || len >= sizeof n->axis_name[0] || n->naxis == NEST_AXES) {
            in_fail(in, "names of axes expected");
            break;
        }
        memcpy(n->axis_name[n->naxis++], in->at, len);
        in->at += len;
    }
}

static void in_tile(struct in *in, struct tile *t)
{
    static const char *const spaces[] = {"reg", "stack"};
    t->space = (uint8_t)in_choice(in, spaces, 2);
    t->dtype = (uint8_t)in_choice(in, text_dtypes, 3);
    for (unsigned i = 0; i < 4; i++)
        t->dim[i] = 1;
    in_want(in, "[");
    while (!in->failed && !in_is(in, "]")) {
        if (t->rank)
            in_want(in, ",");
        if (t->rank == 4) {
            in_fail(in, "too many dims");
            return;
        }
        t->dim[t->rank++] = (int32_t)in_number(in);
    }
    t->name = in_quoted(in);
}

static void in_draws(struct in *in, struct nest *n)
{
    uint32_t cap = 0;
    while (in_is(in, "draw")) {
        n->rng = arena_grow(in->a, n->rng, &cap, n->nrng + 1, sizeof *n->rng);
        struct nrng *r = &n->rng[n->nrng];
        if (in_number(in) != n->nrng++)
            in_fail(in, "draws are numbered from 0");
        in_want(in, "scalar $");
        r->scalar = (uint16_t)in_count(in, UINT16_MAX);
        in_want(in, "sample");
        r->sample = in_index(in, find_axis, n);
    }
}

static void in_loads(struct in *in, struct nest *n, struct stmt *st)
{
    uint32_t cap = 0;
    while (in_is(in, ";")) {
        st->load = arena_grow(in->a, st->load, &cap, st->nload + 1, sizeof *st->load);
        struct nload *l = &st->load[st->nload];
        in_want(in, "%");
        if (in_number(in) != st->nload++)
            in_fail(in, "loads are numbered from 0");
        in_want(in, "=");
        l->tile = in_is(in, "&");
        if (!l->tile)
            in_want(in, "#");
        l->id = (uint16_t)in_count(in, UINT16_MAX);
        in_want(in, "[");
        l->index = in_index(in, find_axis, n);
        in_want(in, "]");
        l->guard = in_guards(in, &l->nguard, find_axis, n);
        l->pick = in_pick(in);
    }
}

static void in_value(struct in *in, struct nest *n, struct stmt *st)
{
    st->dst_tile = in_is(in, "&");
    if (!st->dst_tile)
        in_want(in, "#");
    st->dst = (uint16_t)in_count(in, UINT16_MAX);
    in_want(in, "[");
    st->index = in_index(in, find_axis, n);
    in_want(in, "]");
    st->pick = in_pick(in);
    st->op = in_is(in, "+=") ? S_ACC : S_SET;
    if (st->op == S_SET)
        in_want(in, "=");
    st->value = in_sx(in, &n->sx);
    if (in_is(in, "*"))
        st->value2 = in_sx(in, &n->sx);
    in_loads(in, n, st);
}

static struct stmt *in_stmt(struct in *in, struct nest *n, unsigned depth);

static void in_for(struct in *in, struct nest *n, struct stmt *f, unsigned depth)
{
    uint32_t cap = 0;
    f->op = S_FOR;
    f->axis = (uint8_t)in_axis(in, find_axis, n);
    in_want(in, "=");
    f->lo = in_index(in, find_axis, n);
    in_want(in, "to");
    f->hi = in_index(in, find_axis, n);
    in_want(in, "step");
    f->step = (int32_t)in_number(in);
    f->bound_div = 1;
    if (in_is(in, "bound")) {
        in_space(in);
        f->bound = in_ext(in);
        if (in_is(in, "/"))
            f->bound_div = (int32_t)in_number(in);
    }
    f->guard = in_guards(in, &f->nguard, find_axis, n);
    in_want(in, "{");
    if (depth == MAX_DEPTH)
        in_fail(in, "too deep");
    while (!in->failed && !in_is(in, "}")) {
        f->body = arena_grow(in->a, f->body, &cap, f->nbody + 1, sizeof(struct stmt *));
        f->body[f->nbody++] = in_stmt(in, n, depth + 1);
    }
}

static struct stmt *in_stmt(struct in *in, struct nest *n, unsigned depth)
{
    static const char *const kinds[] = {"grid", "for", "unroll", "vec"};
    struct stmt *st = arena_alloc(in->a, sizeof *st);
    for (unsigned i = 0; i < 4; i++)
        if (in_is(in, kinds[i])) {
            st->kind = (uint8_t)i;
            in_for(in, n, st, depth);
            return st;
        }
    if (in_is(in, "tile")) {
        st->op = S_TILE;
        in_want(in, "&");
        st->tile = (uint16_t)in_count(in, UINT16_MAX);
        st->has_init = in_is(in, "=");
        if (st->has_init)
            st->init = in_double(in);
    } else if (in_is(in, "fetch")) {
        st->op = S_FETCH;
        st->dst_tile = in_is(in, "&");
        if (!st->dst_tile)
            in_want(in, "#");
        st->dst = (uint16_t)in_count(in, UINT16_MAX);
        in_want(in, "[");
        st->index = in_index(in, find_axis, n);
        in_want(in, "]");
    } else {
        in_value(in, n, st);
    }
    return st;
}

static void in_stages(struct in *in, struct nest *n)
{
    uint32_t cap = 0;
    while (in_is(in, "stage")) {
        n->stage = arena_grow(in->a, n->stage, &cap, n->nstage + 1, sizeof *n->stage);
        struct nstage *s = &n->stage[n->nstage++];
        in_want(in, "units");
        in_space(in);
        s->units = in_ext(in);
        in_want(in, "/");
        s->units_div = (int32_t)in_number(in);
        s->units_times = in_is(in, "*") ? (int32_t)in_number(in) : 1;
        in_want(in, "stack");
        s->stack_bytes = (uint64_t)in_count(in, INT32_MAX);
        s->root = in_stmt(in, n, 0);
    }
}

struct nest *nest_parse(struct arena *a, const char *text, struct diag_sink *ds,
                        uint32_t file)
{
    struct in in = {.a = a, .text = text, .at = text, .ds = ds, .file = file};
    struct nest *n = arena_alloc(a, sizeof *n);
    uint32_t cap = 0;
    n->arena = a;
    sx_init(&n->sx, a);
    in_want(&in, "nest");
    n->name = in_quoted(&in);
    in_want(&in, "scalars");
    n->nscalar = (uint32_t)in_count(&in, UINT16_MAX);
    in_names(&in, n);
    n->buf = in_bufs(&in, &n->nbuf, &n->nprivate);
    while (in_is(&in, "tile &")) {
        n->tile = arena_grow(a, n->tile, &cap, n->ntile + 1, sizeof *n->tile);
        if (in_number(&in) != n->ntile)
            in_fail(&in, "tiles are numbered from 0");
        in_tile(&in, &n->tile[n->ntile++]);
    }
    in_draws(&in, n);
    in_stages(&in, n);
    in_space(&in);
    if (*in.at)
        in_fail(&in, "a stage expected");
    return in.failed ? NULL : n;
}
