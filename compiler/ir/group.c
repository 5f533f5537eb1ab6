/* How values line up with the space of a group. */
#include "compiler/ir/group.h"

enum group_at group_align(const struct type *main, const struct type *t,
                          int8_t to[HYP_RANK])
{
    uint8_t m[HYP_RANK], d[HYP_RANK];
    const unsigned nm = type_space(main, m), n = type_space(t, d);
    enum group_at at = AT_NONE;

    if (n == nm && t->sample == main->sample)
        at = AT_POINT;
    else if (main->sample && nm > 1 && n == 1 && t->sample && d[0] == 0)
        at = AT_ROW;
    else if (main->sample && n + 1 == nm && !t->sample)
        at = AT_COL;
    for (unsigned i = 0; i < t->rank; i++)
        to[i] = -1;
    for (unsigned i = 0; i < n && at != AT_NONE; i++) {
        const uint8_t dim = m[at == AT_COL ? i + 1 : i];
        if (!ext_eq(main->dim[dim], t->dim[d[i]]))
            return AT_NONE;
        to[d[i]] = (int8_t)dim;
    }
    return at;
}

bool group_same_space(const struct type *x, const struct type *y)
{
    int8_t to[HYP_RANK];
    return group_align(x, y, to) == AT_POINT;
}

/* Every dim of the sum is the operand's dim that it lines up with. */
static bool keeps_dims(const struct form *f, unsigned out, const int8_t *to)
{
    const struct port *src = &f->port[1 - out], *p = &f->port[out];
    for (unsigned i = 0; i < p->rank; i++) {
        const struct dimmap *d = &p->dim[i];
        if (to[i] >= 0 && (d->n != 1 || d->coef[0] != 1 || d->off.c || d->off.b ||
                           d->axis[0] != src->dim[to[i]].axis[0]))
            return false;
    }
    return true;
}

enum group_sum group_sum_kind(const struct graph *g, const struct node *n)
{
    const struct form *f = n->op == OP_FORM ? &g->form[n->attr] : NULL;
    int8_t to[HYP_RANK];

    if (!f || f->nport != 2 || n->nin != 1 || !form_is_plain_sum(f, n->port))
        return SUM_OTHER;
    const enum group_at at =
        group_align(graph_type(g, graph_in(g, n)[0]), graph_type(g, n->out0), to);
    if (at == AT_NONE || !keeps_dims(f, n->port, to))
        return SUM_OTHER;
    if (at == AT_ROW && f->order == ORDER_LANES)
        return SUM_ROW;
    return at == AT_COL && f->order == ORDER_CHUNK && f->chunk == GROUP_ROWS ? SUM_COL
                                                                             : SUM_OTHER;
}
