/*
 * What may share a kernel: one function for every reason to refuse, cheap ones first.  The
 * schedulers compute any valid kernel, so these keep kernels expressible, ordered, and of
 * a size; whether a merge pays is for the cost model.
 */
#include "compiler/passes/fuse.h"

struct pairing { /* two groups that would be one, in the space `main` */
    uint32_t p, q;
    const struct type *main;
    const struct type *row; /* of what sums along rows give; NULL: there are none */
    bool sibling;
    node_id member; /* whose operands are looked at */
};

bool fuse_is_contract(const struct graph *g, const struct node *n)
{
    return n->op == OP_FORM && g->form[n->attr].nport == 3;
}

static bool holds_sum(const struct fuse_cx *c, uint32_t group, enum group_sum kind)
{
    const struct group *gr = &c->f->group[group];
    for (uint32_t i = 0; i < gr->n; i++)
        if (group_sum_kind(c->g, &c->g->node[gr->node[i]]) == kind)
            return true;
    return false;
}

/* Of the group's sums along rows, which are alike. */
static const struct type *row_type(const struct fuse_cx *c, uint32_t group)
{
    const struct group *gr = &c->f->group[group];
    for (uint32_t i = 0; i < gr->n; i++) {
        const struct node *n = &c->g->node[gr->node[i]];
        if (group_sum_kind(c->g, n) == SUM_ROW)
            return graph_type(c->g, n->out0);
    }
    return NULL;
}

bool fuse_sums_rows(const struct fuse_cx *c, uint32_t group)
{
    return row_type(c, group) != NULL;
}

const struct type *fuse_rows_walked(const struct fuse_cx *c, uint32_t p, uint32_t q)
{
    const struct type *row = row_type(c, p);
    bool walked = false;
    uint8_t d[HYP_RANK];
    if (!row && q != NO_GROUP)
        row = row_type(c, q);
    if (!row || !group_has_places(row))
        return NULL;
    for (unsigned k = 0; k < (q == NO_GROUP ? 1U : 2U); k++) {
        const struct group *gr = &c->f->group[k ? q : p];
        for (uint32_t i = 0; i < gr->n; i++)
            walked |= type_space(graph_type(c->g, c->g->node[gr->node[i]].out0), d) >
                      type_space(row, d);
    }
    return walked ? row : NULL;
}

static uint32_t count_anchors(const struct fuse_cx *c, uint32_t group)
{
    const struct group *gr = &c->f->group[group];
    uint32_t n = 0;
    for (uint32_t i = 0; i < gr->n; i++) {
        const struct node *nd = &c->g->node[gr->node[i]];
        n += fuse_is_contract(c->g, nd) && nd->nin != c->g->form[nd->attr].nport;
    }
    return n;
}

static bool has_own_space(const struct group *gr)
{
    return gr->kind != GROUP_MAP;
}

uint32_t fuse_host(const struct fuse_cx *c, uint32_t p, uint32_t q)
{
    const struct group *gp = &c->f->group[p], *gq = &c->f->group[q];
    uint8_t d[HYP_RANK];
    if (has_own_space(gp) != has_own_space(gq))
        return has_own_space(gp) ? p : q;
    return type_space(&gq->main, d) > type_space(&gp->main, d) ? q : p;
}

/* ---- the checks: true is a reason to refuse ---- */

static bool two_anchors(struct fuse_cx *c, const struct pairing *x)
{
    const struct group *p = &c->f->group[x->p], *q = &c->f->group[x->q];
    if (!has_own_space(p) || !has_own_space(q))
        return false;
    return !x->sibling || p->kind != GROUP_CONTRACT || q->kind != GROUP_CONTRACT ||
           count_anchors(c, x->p) + count_anchors(c, x->q) > ANCHOR_MAX;
}

static bool has_places(const struct pairing *x)
{
    return x->row && group_has_places(x->row);
}

static bool same_dims(const struct type *x, const struct type *y)
{
    struct type t = *y;
    t.dtype = x->dtype;
    return type_eq(x, &t);
}

/* Sums along other rows; rows of places, where a product or another sum walks the space. */
static bool other_rows(struct fuse_cx *c, const struct pairing *x)
{
    const struct type *p = row_type(c, x->p), *q = row_type(c, x->q);
    return (p && q && !group_same_space(p, q)) ||
           (has_places(x) && (has_own_space(&c->f->group[fuse_host(c, x->p, x->q)]) ||
                              holds_sum(c, x->p, SUM_COL) || holds_sum(c, x->q, SUM_COL)));
}

static bool is_aligned(const struct type *main, const struct type *t)
{
    int8_t to[HYP_RANK];
    return group_align(main, t, to) != AT_NONE;
}

/* Values of the group are read at the points where they are made. */
static bool reads_here(struct fuse_cx *c, void *cx, node_id reader, unsigned operand)
{
    const struct pairing *x = cx;
    const struct node *n = &c->g->node[x->member];
    const value_id v = graph_in(c->g, &c->g->node[reader])[operand], base = c->f->base[v];
    const uint32_t from = fuse_group_of(c, c->g->value[base].def);

    if (from != x->p && from != x->q)
        return true;
    if (n->op == OP_MAP || group_sum_kind(c->g, n) != SUM_OTHER)
        return group_same_space(graph_type(c->g, v), graph_type(c->g, base)) &&
               is_aligned(x->main, graph_type(c->g, v));
    /* the chain of a sum of products goes on */
    return reader == x->member && fuse_is_contract(c->g, n) &&
           operand + 1U == c->g->form[n->attr].nport;
}

/* A row of a place is the same for all that have the same dims. */
static bool is_at_points(const struct pairing *x, const struct type *t)
{
    return has_places(x) ? same_dims(x->main, t) : group_same_space(x->main, t);
}

static bool member_fits(struct fuse_cx *c, const struct pairing *x, node_id id,
                        bool col_sums)
{
    const struct node *n = &c->g->node[id];
    const enum group_sum sum = group_sum_kind(c->g, n);
    int8_t to[HYP_RANK];

    if (n->op == OP_SCATTER) /* alone: data decide where its values go */
        return false;
    if (sum != SUM_OTHER)
        return is_at_points(x, graph_type(c->g, graph_in(c->g, n)[0]));
    switch (group_align(x->main, graph_type(c->g, n->out0), to)) {
    case AT_POINT:
        return is_at_points(x, graph_type(c->g, n->out0));
    case AT_ROW:
        return n->op == OP_MAP && x->row &&
               group_same_space(x->row, graph_type(c->g, n->out0));
    case AT_COL:
        return n->op == OP_MAP && col_sums;
    case AT_NONE:
        break;
    }
    return false;
}

static bool other_space(struct fuse_cx *c, const struct pairing *x)
{
    const bool col_sums = holds_sum(c, x->p, SUM_COL) || holds_sum(c, x->q, SUM_COL);
    struct pairing at = *x;
    for (unsigned k = 0; k < 2; k++) {
        const struct group *gr = &c->f->group[k ? x->q : x->p];
        for (uint32_t i = 0; i < gr->n; i++) {
            at.member = gr->node[i];
            if (!member_fits(c, x, gr->node[i], col_sums) ||
                !fuse_reads(c, gr->node[i], reads_here, &at))
                return true;
        }
    }
    return false;
}

/* Row sums need the whole row in a unit. */
static bool long_row(struct fuse_cx *c, const struct pairing *x)
{
    uint8_t d[HYP_RANK], of_row[HYP_RANK];
    const unsigned n = type_space(x->main, d);
    const bool product = has_own_space(&c->f->group[fuse_host(c, x->p, x->q)]);
    int64_t row = 1;
    if (!x->row || (has_places(x) && !fuse_rows_walked(c, x->p, x->q)))
        return false;
    const unsigned columns = n - type_space(x->row, of_row);
    for (unsigned i = 1; i < n; i++) {
        if (x->main->dim[d[i]].b)
            return true;
        row *= i <= columns ? x->main->dim[d[i]].c : 1;
    }
    return row > (product ? ROW_CONTRACT_MAX : has_places(x) ? ROW_PLACES_MAX : ROW_MAX);
}

/* Sums in chunks whose units are no rows. */
static bool other_order(struct fuse_cx *c, const struct pairing *x)
{
    return c->f->group[fuse_host(c, x->p, x->q)].kind == GROUP_CHUNK &&
           (holds_sum(c, x->p, SUM_ROW) || holds_sum(c, x->q, SUM_ROW) ||
            holds_sum(c, x->p, SUM_COL) || holds_sum(c, x->q, SUM_COL));
}

/* Members are computed products first, then by number: who waits must come later. */
static bool out_of_order(struct fuse_cx *c, const struct pairing *x)
{
    for (unsigned k = 0; k < 2; k++) {
        const struct group *gr = &c->f->group[k ? x->q : x->p];
        for (uint32_t i = 0; i < gr->n; i++)
            EACH_LINK(c, e, c->succ[gr->node[i]])
            {
                const node_id from = gr->node[i], to = c->link[e].node;
                const uint32_t grp = fuse_group_of(c, to);
                const bool first = fuse_is_contract(c->g, &c->g->node[from]);
                const bool then = fuse_is_contract(c->g, &c->g->node[to]);
                if ((grp == x->p || grp == x->q) && (first == then ? to < from : then))
                    return true;
            }
    }
    return false;
}

static bool too_large(struct fuse_cx *c, const struct pairing *x)
{
    uint32_t operands = 0, members = c->pulled[x->p] + c->pulled[x->q];
    for (unsigned k = 0; k < 2; k++) {
        const struct group *gr = &c->f->group[k ? x->q : x->p];
        members += gr->n;
        for (uint32_t i = 0; i < gr->n; i++)
            operands += c->g->node[gr->node[i]].nin;
    }
    return members > NODE_MAX || operands > OPERAND_MAX;
}

/* Products share the axes that they sum where their chains agree, link by link. */
struct axes {
    struct ext extent[KERNEL_AXES];
    unsigned link[KERNEL_AXES], place[KERNEL_AXES], n;
};

static bool add_axis(struct axes *a, unsigned link, unsigned place, struct ext e,
                     unsigned room)
{
    for (unsigned i = 0; i < a->n; i++)
        if (a->link[i] == link && a->place[i] == place && ext_eq(a->extent[i], e))
            return true;
    if (a->n == room)
        return false;
    a->extent[a->n] = e;
    a->link[a->n] = link;
    a->place[a->n++] = place;
    return true;
}

static unsigned link_of(const struct graph *g, const struct node *n)
{
    unsigned link = 0;
    for (; n->nin == g->form[n->attr].nport; link++)
        n = &g->node[g->value[graph_in(g, n)[n->nin - 1]].def];
    return link;
}

static bool too_many_axes(struct fuse_cx *c, const struct pairing *x)
{
    struct axes a = {.n = 0};
    uint8_t d[HYP_RANK];
    const unsigned space = type_space(x->main, d);
    for (unsigned k = 0; k < 2 && x->sibling; k++) {
        const struct group *gr = &c->f->group[k ? x->q : x->p];
        for (uint32_t i = 0; i < gr->n; i++) {
            const struct node *n = &c->g->node[gr->node[i]];
            const struct form *f = &c->g->form[n->attr];
            const bool product = fuse_is_contract(c->g, n);
            const uint32_t reduced = product ? form_reduced(f, n->port) : 0;
            for (unsigned e = 0, place = 0; e < (product ? f->naxis : 0U); e++)
                if ((reduced >> e & 1) && !ext_eq(f->axis[e], ext_const(1)) &&
                    !add_axis(&a, link_of(c->g, n), place++, f->axis[e],
                              KERNEL_AXES - space))
                    return true;
        }
    }
    return false;
}

/* Its output is computed piece by piece, and with it the whole group. */
static bool holds_window(const struct fuse_cx *c, uint32_t group)
{
    const struct group *gr = &c->f->group[group];
    for (uint32_t i = 0; i < gr->n; i++) {
        const struct node *n = &c->g->node[gr->node[i]];
        if (n->op == OP_FORM && group_sum_kind(c->g, n) == SUM_OTHER &&
            !form_is_direct(&c->g->form[n->attr], n->port))
            return true;
    }
    return false;
}

/* One window a group; pieces have no whole rows or columns to sum. */
static bool windows_clash(struct fuse_cx *c, const struct pairing *x)
{
    const bool p = holds_window(c, x->p), q = holds_window(c, x->q);
    return (p && q) ||
           ((p || q) &&
            (x->sibling || holds_sum(c, x->p, SUM_ROW) || holds_sum(c, x->q, SUM_ROW) ||
             holds_sum(c, x->p, SUM_COL) || holds_sum(c, x->q, SUM_COL)));
}

/* What is computed again is so in order not to be kept: not where its operands are made. */
static bool undoes_remat(struct fuse_cx *c, const struct pairing *x)
{
    for (unsigned k = 0; k < 2; k++) {
        const struct group *gr = &c->f->group[k ? x->q : x->p];
        const uint32_t other = k ? x->p : x->q;
        for (uint32_t i = 0; i < gr->n; i++)
            EACH_LINK(c, e, c->g->node[gr->node[i]].remat ? c->pred[gr->node[i]] : 0)
            {
                if (!c->g->node[c->link[e].node].remat &&
                    fuse_group_of(c, c->link[e].node) == other)
                    return true;
            }
    }
    return false;
}

static bool has_detour(struct fuse_cx *c, const struct pairing *x)
{
    return fuse_detour(c, x->p, x->q, x->sibling);
}

enum fuse_why fuse_may_join(struct fuse_cx *c, uint32_t p, uint32_t q, bool sibling)
{
    static const struct {
        enum fuse_why why;
        bool (*refuses)(struct fuse_cx *c, const struct pairing *x);
    } check[] = {
        {FUSE_ANCHOR, two_anchors},  {FUSE_BUDGET, too_large}, {FUSE_BUDGET, too_many_axes},
        {FUSE_ORDER, other_order},   {FUSE_SPACE, other_rows}, {FUSE_SPACE, other_space},
        {FUSE_SPACE, windows_clash}, {FUSE_ROW, long_row},     {FUSE_ALIAS, out_of_order},
        {FUSE_REMAT, undoes_remat},  {FUSE_CYCLE, has_detour},
    };
    const struct type *row = row_type(c, p);
    const struct pairing x = {.p = p,
                              .q = q,
                              .main = &c->f->group[fuse_host(c, p, q)].main,
                              .row = row ? row : row_type(c, q),
                              .sibling = sibling};
    for (unsigned i = 0; i < sizeof check / sizeof *check; i++)
        if (check[i].refuses(c, &x))
            return check[i].why;
    return FUSE_OK;
}
