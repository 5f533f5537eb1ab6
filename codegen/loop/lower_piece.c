/* Windows: the axes of a piece of their output, and its box over them. */
#include "codegen/loop/lowering.h"

void low_piece(struct lower *l, const struct form_piece *piece)
{
    const struct node *n = &l->g->node[l->window];
    const struct form *f = &piece->form;
    const struct port *q = &f->port[n->port];
    const struct type *t = graph_type(l->g, n->out0);
    uint8_t d[HYP_RANK], m[HYP_RANK];
    const unsigned rank = type_space(t, d);

    type_space(&l->group->main, m);
    for (unsigned i = 0; i < l->group->main.rank; i++)
        l->main[i] = index_const(0);
    for (unsigned i = 0; i < rank; i++) {
        const struct dimmap *dim = &q->dim[d[i]];
        struct index *at = &l->main[m[i]];
        at->off = dim->off;
        for (unsigned k = 0; k < dim->n; k++) {
            const struct ext e = f->axis[dim->axis[k]];
            if (low_is_one(e))
                continue;
            const struct index axis = low_axis(l, e, LOW_SPACE);
            index_add(at, &axis, ext_const(dim->coef[k]));
        }
    }
}

void low_piece_box(struct lower *l, const struct node *n, struct box *box)
{
    const struct form *f = &l->piece->form;
    const struct port *q = &f->port[n->port];
    struct index at[HYP_RANK];

    low_value_at(l, graph_type(l->g, n->out0), at);
    for (unsigned d = 0; d < q->rank; d++)
        for (unsigned k = 0; k < q->dim[d].n; k++) {
            const unsigned x = (unsigned)q->dim[d].axis[k];
            box->known[x] = true;
            box->at[x] = index_const(0);
            for (unsigned i = 0; i < at[d].n; i++) /* coefficients of digits differ */
                if (at[d].t[i].coef.c == q->dim[d].coef[k] &&
                    ext_eq(l->k->axis[at[d].t[i].axis], f->axis[x]))
                    box->at[x] = index_axis(at[d].t[i].axis, 1);
        }
}

node_id low_find_window(const struct lower *l)
{
    for (uint32_t i = 0; i < l->group->n; i++) {
        const struct node *n = &l->g->node[l->group->node[i]];
        if (n->op == OP_FORM && !form_is_direct(&l->g->form[n->attr], n->port) &&
            group_sum_kind(l->g, n) == SUM_OTHER)
            return l->group->node[i];
    }
    return 0;
}
