/* How values line up with the space of a group. */
#include "compiler/ir/group.h"

#include "runtime/base/arena.h"

const struct fuse_row fuse_kind_row[FUSE_KIND_COUNT] = {
#define FUSE_KIND(id, word, doc) {word, doc, NULL},
#include "compiler/ir/fuse.def"
};
const struct fuse_row fuse_why_row[FUSE_WHY_COUNT] = {
#define FUSE_WHY(id, word, sentence, change) {word, sentence, change},
#include "compiler/ir/fuse.def"
};

enum group_at group_align(const struct type *main, const struct type *t,
                          int8_t to[HYP_RANK])
{
    uint8_t m[HYP_RANK], d[HYP_RANK];
    const unsigned nm = type_space(main, m), n = type_space(t, d);
    enum group_at at = AT_NONE;

    if (n == nm && t->sample == main->sample)
        at = AT_POINT;
    else if (main->sample && nm > n && n && t->sample && d[0] == 0)
        at = AT_ROW;
    else if (main->sample && n + 1 == nm && !t->sample)
        at = AT_COL;
    for (unsigned i = 0; i < t->rank; i++)
        to[i] = -1;
    for (unsigned i = 0; i < n && at != AT_NONE; i++) {
        const bool place = at == AT_ROW && i;
        const uint8_t dim = m[at == AT_COL ? i + 1 : place ? nm - n + i : i];
        if (!ext_eq(main->dim[dim], t->dim[d[i]]) ||
            (place && main->rank - dim != t->rank - d[i])) /* where a map would read it */
            return AT_NONE;
        to[d[i]] = (int8_t)dim;
    }
    return at;
}

bool group_has_places(const struct type *row)
{
    uint8_t d[HYP_RANK];
    return type_space(row, d) > 1;
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
    const bool fold = n->op == OP_FOLD;
    const struct form *f = fold || n->op == OP_FORM ? &g->form[n->attr] : NULL;
    int8_t to[HYP_RANK];

    if (!f || f->nport != 2 || n->nin != 1 || !form_is_plain_sum(f, n->port))
        return SUM_OTHER;
    const enum group_at at =
        group_align(graph_type(g, graph_in(g, n)[0]), graph_type(g, n->out0), to);
    if (at == AT_NONE || !keeps_dims(f, n->port, to))
        return SUM_OTHER;
    if (at == AT_ROW &&
        (group_has_places(graph_type(g, n->out0)) ? !fold && f->order == ORDER_SEQ
                                                  : fold || f->order == ORDER_LANES))
        return SUM_ROW;
    return !fold && at == AT_COL && f->order == ORDER_CHUNK && f->chunk == GROUP_ROWS
               ? SUM_COL
               : SUM_OTHER;
}

static bool plain_port(const struct form *f, unsigned p)
{
    if (!form_is_direct(f, p)) /* a diagonal */
        return false;
    for (unsigned i = 0; i < f->port[p].rank; i++) {
        const struct dimmap *d = &f->port[p].dim[i];
        const struct ext e = f->port[p].shape[i];
        if (d->off.c || d->off.b) /* not all of it is there */
            return false;
        if (d->n == 0 ? e.b || e.c != 1
                      : d->n != 1 || d->coef[0] != 1 || !ext_eq(f->axis[d->axis[0]], e))
            return false;
    }
    return true;
}

static bool has_window(const struct form *f)
{
    for (unsigned p = 0; p < f->nport; p++)
        if (!form_is_direct(f, p))
            return true;
    return false;
}

/* A dim of the batch is an axis as it is: what says that a point is outside is a number. */
static bool batch_is_plain(const struct form *f, unsigned p)
{
    for (unsigned i = 0; i < f->port[p].rank; i++) {
        const struct dimmap *d = &f->port[p].dim[i];
        const struct ext e = f->port[p].shape[i];
        bool batch = e.b || d->off.b;
        for (unsigned k = 0; k < d->n; k++)
            batch |= f->axis[d->axis[k]].b != 0;
        if (batch && (d->n != 1 || d->coef[0] != 1 || d->off.c || d->off.b ||
                      !ext_eq(f->axis[d->axis[0]], e)))
            return false;
    }
    return true;
}

static uint32_t batch_axes(const struct form *f, unsigned p)
{
    uint32_t set = 0;
    for (unsigned d = 0; d < f->port[p].rank; d++)
        for (unsigned k = 0; k < f->port[p].dim[d].n; k++)
            if (f->axis[f->port[p].dim[d].axis[k]].b)
                set |= 1U << f->port[p].dim[d].axis[k];
    return set;
}

/* Has each sample filters of its own?  They are not packed. */
static bool filters_are_of_samples(const struct form *f)
{
    return (batch_axes(f, 0) & batch_axes(f, 1) & batch_axes(f, 2)) != 0;
}

/* Is the output solved into pieces, in which a factor is computed where it is read? */
static bool has_pieces(const struct form *f, unsigned out)
{
    struct form_piece *piece;
    if (form_is_direct(f, out))
        return true;
    struct arena *a = arena_new();
    const bool some = form_pieces(f, out, a, &piece) > 0;
    arena_free(a);
    return some;
}

/* A product, a convolution in any of its roles: operand i as it is packed. */
static bool may_compute_factor(const struct form *f, unsigned out, unsigned i)
{
    const unsigned p = i < out ? i : i + 1;
    if (f->nport != 3 || i > 1)
        return false;
    if (!has_window(f))
        return plain_port(f, out) && plain_port(f, p);
    return batch_is_plain(f, out) && batch_is_plain(f, p) && !filters_are_of_samples(f) &&
           has_pieces(f, out);
}

bool group_reads_window(const struct graph *g, node_id reader)
{
    const struct node *n = &g->node[reader];
    return n->op == OP_FORM && group_sum_kind(g, n) == SUM_OTHER &&
           has_window(&g->form[n->attr]);
}

bool group_may_compute(const struct graph *g, const value_id *base, node_id reader,
                       value_id v)
{
    const struct node *n = &g->node[reader];
    const struct form *f = &g->form[n->attr];
    for (unsigned i = 0; i < n->nin; i++) {
        const value_id in = graph_in(g, n)[i];
        if (base[in] != v)
            continue;
        if (!type_eq(graph_type(g, in), graph_type(g, v)))
            return false;
        if (n->op != OP_MAP && group_sum_kind(g, n) == SUM_OTHER &&
            (n->op != OP_FORM || !may_compute_factor(f, n->port, i)))
            return false;
    }
    return true;
}
