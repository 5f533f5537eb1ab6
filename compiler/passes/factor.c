/*
 * Read-outs with few channels at a window's image, as the last layer of a generator and
 * gradients of pictures are: contract, then fold (form_factor).  By phases the few channels
 * are all that shares what is gathered from the other image, and vectors of it are made for
 * three products each; factored, a product makes all channels and taps of a place at once.
 *
 * The order of the sum changes (the contracted axes first, then the taps), so the choice is
 * part of the graph's meaning: from shapes and roles alone.
 */
#include "compiler/passes/pass.h"

enum {
    FEW_CHANNELS = 8, /* more make enough of a gathered vector */
    LEAST_SUM = 16    /* the fold reads and adds what the contraction has summed so far */
};

static bool port_walks(const struct port *p, unsigned axis)
{
    for (unsigned r = 0; r < p->rank; r++)
        for (unsigned k = 0; k < p->dim[r].n; k++)
            if ((unsigned)p->dim[r].axis[k] == axis)
                return true;
    return false;
}

/* An axis of a dim that it shares with no other. */
static bool walks_alone(const struct port *p, unsigned axis)
{
    for (unsigned r = 0; r < p->rank; r++)
        if (p->dim[r].n == 1 && (unsigned)p->dim[r].axis[0] == axis)
            return true;
    return false;
}

/* Channels are what only one operand has; the batch is in the other. */
static bool is_worth(const struct form *f, unsigned p)
{
    const struct port *x = &f->port[p == 0], *y = &f->port[p == 2 ? 1 : 2];
    const uint32_t reduced = form_reduced(f, p);
    int64_t channels = 1, sum = 1;
    for (unsigned k = 0; k < f->naxis; k++) {
        const bool in_x = port_walks(x, k), in_y = port_walks(y, k);
        if (f->axis[k].b && (in_x == in_y || reduced >> k & 1))
            return false;
        if (reduced >> k & 1)
            sum *= in_x && in_y ? f->axis[k].c : 1;
        else if (walks_alone(&f->port[p], k) && in_x != in_y && !f->axis[k].b)
            channels *= f->axis[k].c;
    }
    return channels <= FEW_CHANNELS && sum >= LEAST_SUM;
}

static bool factor_node(struct rebuild *r, node_id id)
{
    const struct node *n = &r->from->node[id];
    struct form contract, fold;
    if (n->op != OP_FORM || n->nin != 2) {
        graph_copy_node(r, id);
        return true;
    }
    const struct form f = r->from->form[n->attr];
    if (f.nport != 3 || form_is_direct(&f, n->port) || !is_worth(&f, n->port) ||
        !form_factor(&f, n->port, &contract, &fold)) {
        graph_copy_node(r, id);
        return true;
    }
    const struct type out = r->from->value[n->out0].type;
    const value_id *old = graph_in(r->from, n);
    const value_id in[2] = {r->map[old[0]], r->map[old[1]]};
    const value_id t = graph_form(r->to, &contract, n->port, in, out.sample, out.dtype);
    r->map[n->out0] = graph_form(r->to, &fold, 1, &t, out.sample, out.dtype);
    return true;
}

pass_fn pass_factor;
enum pass_result pass_factor(struct pass_cx *cx)
{
    return program_rebuild(cx->program, factor_node, NULL) ? PASS_CHANGED : PASS_FAILED;
}
