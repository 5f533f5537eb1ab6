/* Kernels from text; kernel_validate() judges what they mean. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/loop/text.h"

/* x3: the letter is only a name. */
static int find_axis(const void *cx, const char *name, size_t n)
{
    const struct kernel *k = cx;
    if (n < 2 || !isdigit((unsigned char)name[1]))
        return -1;
    long i = strtol(name + 1, NULL, 10);
    return i < k->naxis ? (int)i : -1;
}

static uint8_t in_axes(struct in *in, const struct kernel *k, uint8_t *axis, unsigned cap,
                       const char *close)
{
    uint8_t n = 0;
    while (!in->failed && !in_is(in, close)) {
        if (n == cap) {
            in_fail(in, "too many axes");
            break;
        }
        if (n)
            in_want(in, ",");
        axis[n++] = (uint8_t)in_axis(in, find_axis, k);
    }
    return n;
}

static void in_declared(struct in *in, struct kernel *k)
{
    in_want(in, "axes");
    while (!in->failed) {
        in_space(in);
        const char *at = in->at;
        if (!islower((unsigned char)at[0]) || !isdigit((unsigned char)at[1]))
            break;
        if (k->naxis == LOOP_AXES) {
            in_fail(in, "too many axes");
            break;
        }
        k->axis_name[k->naxis] = at[0];
        in->at++;
        if (in_number(in) != k->naxis)
            in_fail(in, "axes are numbered from 0");
        in_want(in, ":");
        k->axis[k->naxis++] = in_ext(in);
    }
}

static void in_draws(struct in *in, struct kernel *k)
{
    uint32_t cap = 0;
    while (in_is(in, "draw")) {
        k->rng = arena_grow(in->a, k->rng, &cap, k->nrng + 1, sizeof *k->rng);
        struct krng *r = &k->rng[k->nrng];
        if (in_number(in) != k->nrng++)
            in_fail(in, "draws are numbered from 0");
        in_want(in, "scalar $");
        r->scalar = (uint16_t)in_count(in, UINT16_MAX);
        r->sample_axis = -1;
        if (!in_is(in, "shared")) {
            in_want(in, "sample");
            r->sample_axis = (int8_t)in_number(in);
        }
    }
}

static void in_operands(struct in *in, struct kernel *k, struct kstage *s)
{
    uint32_t cap = 0;
    while (in_is(in, "%")) {
        s->operand =
            arena_grow(in->a, s->operand, &cap, s->noperand + 1, sizeof *s->operand);
        struct koperand *p = &s->operand[s->noperand];
        if (in_number(in) != s->noperand++)
            in_fail(in, "operands are numbered from 0");
        in_want(in, "=");
        p->stage = in_is(in, "stage");
        if (!p->stage)
            in_want(in, "#");
        p->id = (uint16_t)in_count(in, UINT16_MAX);
        if (p->stage)
            continue;
        in_want(in, "[");
        p->index = in_index(in, find_axis, k);
        in_want(in, "]");
        p->guard = in_guards(in, &p->nguard, find_axis, k);
        p->pick = in_pick(in);
    }
}

static void in_body(struct in *in, struct kernel *k, struct kstage *s)
{
    uint32_t cap = 0;
    while (in_is(in, "over {")) {
        struct kseg g = {0};
        g.nred = in_axes(in, k, g.red, 4, "}");
        if (s->op != K_SUM) {
            s->nred = g.nred;
            memcpy(s->red, g.red, sizeof s->red);
            in_want(in, "=");
            s->value = in_sx(in, &k->sx);
            return;
        }
        in_want(in, "+=");
        g.factor[0] = in_sx(in, &k->sx);
        if (in_is(in, "*"))
            g.factor[1] = in_sx(in, &k->sx);
        s->seg = arena_grow(in->a, s->seg, &cap, s->nseg + 1, sizeof *s->seg);
        s->seg[s->nseg++] = g;
    }
}

static void in_stores(struct in *in, struct kernel *k, struct kstage *s)
{
    uint32_t cap = 0;
    while (in_is(in, "#")) {
        s->store = arena_grow(in->a, s->store, &cap, s->nstore + 1, sizeof *s->store);
        struct kstore *t = &s->store[s->nstore++];
        t->buf = (uint16_t)in_count(in, UINT16_MAX);
        in_want(in, "[");
        t->index = in_index(in, find_axis, k);
        in_want(in, "]");
        in_want(in, "= it");
    }
}

static void in_stage(struct in *in, struct kernel *k, struct kstage *s)
{
    static const char *const ops[] = {"map", "sum", "fold", "scatter"};
    static const char *const combs[] = {"max", "argmax"};
    s->op = (uint8_t)in_choice(in, ops, 4);
    s->dtype = (uint8_t)in_choice(in, text_dtypes, 3);
    in_want(in, "[");
    s->naxis = in_axes(in, k, s->axis, LOOP_AXES, "]");
    if (s->op == K_SUM)
        s->order = (uint8_t)in_choice(in, text_orders, 3);
    if (s->op == K_SUM && s->order == ORDER_CHUNK)
        s->chunk = (uint16_t)in_count(in, UINT16_MAX);
    if (s->op == K_FOLD)
        s->comb = (uint8_t)in_choice(in, combs, 2);
    if (s->op == K_SCATTER) {
        in_want(in, "along");
        s->along = (uint8_t)in_axis(in, find_axis, k);
        in_want(in, "at %");
        s->at = (uint16_t)in_count(in, UINT16_MAX);
    }
    s->name = in_quoted(in);
    in_operands(in, k, s);
    in_body(in, k, s);
    in_stores(in, k, s);
}

struct kernel *kernel_parse(struct arena *a, const char *text, struct diag_sink *ds,
                            uint32_t file)
{
    struct in in = {.a = a, .text = text, .at = text, .ds = ds, .file = file};
    struct kernel *k = arena_alloc(a, sizeof *k);
    uint32_t cap = 0, none;
    k->arena = a;
    sx_init(&k->sx, a);
    in_want(&in, "kernel");
    k->name = in_quoted(&in);
    in_want(&in, "scalars");
    k->nscalar = (uint32_t)in_count(&in, UINT16_MAX);
    in_declared(&in, k);
    k->buf = in_bufs(&in, &k->nbuf, &none);
    in_draws(&in, k);
    while (in_is(&in, "stage")) {
        k->stage = arena_grow(a, k->stage, &cap, k->nstage + 1, sizeof *k->stage);
        if (in_number(&in) != k->nstage)
            in_fail(&in, "stages are numbered from 0");
        in_stage(&in, k, &k->stage[k->nstage++]);
    }
    in_space(&in);
    if (*in.at)
        in_fail(&in, "a stage expected");
    return in.failed ? NULL : k;
}
