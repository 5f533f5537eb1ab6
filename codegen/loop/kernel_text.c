/* Kernels as text: a line an axis list, a buffer, a draw; stages with what they read and
 * store. */
#include <stdio.h>
#include <string.h>

#include "codegen/loop/text.h"

static void kernel_axis(const void *cx, unsigned axis, char name[16])
{
    const struct kernel *k = cx;
    char c = k->axis_name[axis];
    snprintf(name, 16, "%c%u", c >= 'a' && c <= 'z' ? c : 'x', axis);
}

static void out_axes(struct out *o, const struct kernel *k, const uint8_t *axis, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char name[16];
        kernel_axis(k, axis[i], name);
        out_fmt(o, "%s%s", i ? ", " : "", name);
    }
}

static void out_operand(struct out *o, const struct kernel *k, uint32_t i,
                        const struct koperand *p)
{
    out_fmt(o, "    %%%u = ", i);
    if (p->stage) {
        out_fmt(o, "stage %u\n", (unsigned)p->id);
        return;
    }
    out_fmt(o, "#%u[", (unsigned)p->id);
    out_index(o, &p->index, kernel_axis, k);
    out_fmt(o, "]");
    out_guards(o, p->guard, p->nguard, kernel_axis, k);
    out_pick(o, &p->pick);
    out_fmt(o, "\n");
}

static void out_seg(struct out *o, const struct kernel *k, const struct kseg *g)
{
    out_fmt(o, "    over {");
    out_axes(o, k, g->red, g->nred);
    out_fmt(o, "} += ");
    out_sx(o, &k->sx, g->factor[0]);
    if (g->factor[1]) {
        out_fmt(o, " * ");
        out_sx(o, &k->sx, g->factor[1]);
    }
    out_fmt(o, "\n");
}

static void out_stage(struct out *o, const struct kernel *k, uint32_t id)
{
    static const char *const op[] = {"map", "sum", "fold", "scatter"};
    const struct kstage *s = &k->stage[id];
    out_fmt(o, "  stage %u %s %s [", id, op[s->op], text_dtypes[s->dtype]);
    out_axes(o, k, s->axis, s->naxis);
    out_fmt(o, "] ");
    if (s->op == K_SUM)
        out_fmt(o, "%s ", text_orders[s->order]);
    if (s->op == K_SUM && s->order == ORDER_CHUNK)
        out_fmt(o, "%u ", (unsigned)s->chunk);
    if (s->op == K_FOLD)
        out_fmt(o, "%s ", s->comb == COMB_MAX ? "max" : "argmax");
    if (s->op == K_SCATTER) {
        out_fmt(o, "along ");
        out_axes(o, k, &s->along, 1);
        out_fmt(o, " at %%%u ", (unsigned)s->at);
    }
    out_quoted(o, s->name);
    out_fmt(o, "\n");
    for (uint32_t i = 0; i < s->noperand; i++)
        out_operand(o, k, i, &s->operand[i]);
    for (uint32_t i = 0; i < s->nseg; i++)
        out_seg(o, k, &s->seg[i]);
    if (s->op != K_SUM) {
        out_fmt(o, "    over {");
        out_axes(o, k, s->red, s->op == K_MAP ? 0 : s->nred);
        out_fmt(o, "} = ");
        out_sx(o, &k->sx, s->value);
        out_fmt(o, "\n");
    }
    for (uint32_t i = 0; i < s->nstore; i++) {
        out_fmt(o, "    #%u[", (unsigned)s->store[i].buf);
        out_index(o, &s->store[i].index, kernel_axis, k);
        out_fmt(o, "] = it\n");
    }
}

void out_kernel(struct out *o, const struct kernel *k)
{
    out_fmt(o, "kernel ");
    out_quoted(o, k->name);
    out_fmt(o, " scalars %u\n  axes", k->nscalar);
    for (unsigned i = 0; i < k->naxis; i++) {
        char name[16];
        kernel_axis(k, i, name);
        out_fmt(o, " %s:", name);
        out_ext(o, k->axis[i]);
    }
    out_fmt(o, "\n");
    out_bufs(o, k->buf, k->nbuf, 0);
    for (uint32_t i = 0; i < k->nrng; i++) {
        out_fmt(o, "  draw %u scalar $%u ", i, (unsigned)k->rng[i].scalar);
        if (k->rng[i].sample_axis < 0)
            out_fmt(o, "shared\n");
        else
            out_fmt(o, "sample %d\n", k->rng[i].sample_axis);
    }
    for (uint32_t i = 0; i < k->nstage; i++)
        out_stage(o, k, i);
}

char *kernel_print(const struct kernel *k, struct arena *a)
{
    struct out o = {.a = a};
    out_kernel(&o, k);
    return o.text;
}
