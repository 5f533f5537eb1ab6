/*
 * The order of every sum, from shapes and roles alone (never from threads or tiles).
 *
 * Products (three ports) run one fma chain; where the batch is summed and the output is too
 * small to share among processors (fewer rows than 2 * T_ref units of 24), the batch is cut
 * into chunks of 96 samples: partial results are stored and added, so they should be few.
 * Plain sums along the last axes of the source use 16 lanes; sums over the batch use chunks
 * of 24 rows, the unit in which kernels walk it, so that a kernel adds its own rows up; all
 * others run one chain along the axes that stay.
 */
#include <string.h>

#include "compiler/passes/pass.h"

enum {
    T_REF = 2,
    ROWS = 24,
    FEW_ROWS = 2 * T_REF * ROWS,
    CHUNK_PRODUCTS = 96,
    CHUNK_SUMS = ROWS
};

static int batch_axis(const struct form *f, uint32_t reduced)
{
    for (unsigned k = 0; k < f->naxis; k++)
        if ((reduced >> k & 1) && f->axis[k].b)
            return (int)k;
    return -1;
}

/* Axis `first` becomes the outermost one; the others keep their order. */
static void bring_out(struct form *f, unsigned first)
{
    uint8_t to[HYP_AXES];
    const struct ext e = f->axis[first];
    for (unsigned k = 0; k < f->naxis; k++)
        to[k] = (uint8_t)(k == first ? 0 : k < first ? k + 1 : k);
    memmove(f->axis + 1, f->axis, first * sizeof *f->axis);
    f->axis[0] = e;
    for (unsigned p = 0; p < f->nport; p++)
        for (unsigned i = 0; i < f->port[p].rank; i++)
            for (unsigned k = 0; k < f->port[p].dim[i].n; k++)
                f->port[p].dim[i].axis[k] = (int8_t)to[f->port[p].dim[i].axis[k]];
}

/* The reduced axes are the source's last dims, in order. */
static bool along_last(const struct form *f, unsigned port, uint32_t reduced)
{
    const struct port *src = &f->port[1 - port];
    unsigned before = 0;
    bool in_tail = false;
    for (unsigned i = 0; i < src->rank; i++) {
        const struct dimmap *d = &src->dim[i];
        if (d->n == 0)
            continue;
        if (d->n > 1 || d->coef[0] != 1)
            return false;
        const unsigned axis = (unsigned)d->axis[0];
        const bool gone = reduced >> axis & 1;
        if (in_tail && (!gone || axis < before))
            return false;
        in_tail |= gone;
        before = axis;
    }
    return in_tail;
}

static void set_order(struct form *f, unsigned port)
{
    const uint32_t reduced = form_reduced(f, port);
    const int batch = batch_axis(f, reduced);
    f->order = ORDER_SEQ;
    f->chunk = 0;
    if (!reduced)
        return;
    if (batch >= 0) {
        const struct ext rows = f->port[port].rank ? f->port[port].shape[0] : ext_const(1);
        if (!form_is_direct(f, port) || (f->nport == 3 && (rows.b || rows.c >= FEW_ROWS)))
            return;
        bring_out(f, (unsigned)batch);
        f->order = ORDER_CHUNK;
        f->chunk = f->nport == 3 ? CHUNK_PRODUCTS : CHUNK_SUMS;
        return;
    }
    if (f->nport == 2 && form_is_direct(f, port) && along_last(f, port, reduced))
        f->order = ORDER_LANES;
}

static bool order_node(struct rebuild *r, node_id id)
{
    const struct node *n = &r->from->node[id];
    value_id in[HYP_PORTS];
    if (n->op != OP_FORM || n->nin == r->from->form[n->attr].nport) {
        graph_copy_node(r, id);
        return true;
    }
    struct form f = r->from->form[n->attr];
    const struct type out = r->from->value[n->out0].type;
    for (unsigned i = 0; i < n->nin; i++)
        in[i] = r->map[graph_in(r->from, n)[i]];
    set_order(&f, n->port);
    r->map[n->out0] = graph_form(r->to, &f, n->port, in, out.sample, out.dtype);
    return true;
}

pass_fn pass_order;
enum pass_result pass_order(struct pass_cx *cx)
{
    return program_rebuild(cx->program, order_node, NULL) ? PASS_CHANGED : PASS_FAILED;
}
