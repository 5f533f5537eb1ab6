/*
 * What a kernel of some members would do: products, elements, bytes.
 *
 * A value is read from where the traffic since its last use left it: distances are counted
 * along the order of the graph, over every value that is made, as if nothing were fused.
 */
#include <math.h>
#include <string.h>

#include "compiler/passes/fuse.h"

/*
 * The least gain, as a share of the cheaper kernel.  With 0.001 more siblings are fused and
 * the flagship is no faster (batch 64, one thread: 33.1 to 32.5 ms a cycle).
 */
#define WORTH 0.02
/*
 * Products that share the rows' factor are walked together, by tiles of half the columns.
 * Measured: the two heads of 64 x 784 x 512 take 1.31 ms in one walk, 1.12 in two.
 */
#define ONE_WALK 0.85
/*
 * Primitives that the choice costs between a value and the 0 outside of the image.  With it
 * and a load for each operand the price of x + b in a convolution of 64 x 3 x 32 x 32 by 4
 * x 4, 64 filters, is 118 us for its gradient, measured 115; of x * gate, without it, 59
 * and 54.
 */
#define CHOICE 3
/*
 * Primitives that an element of rows along the batch costs which are turned into blocks
 * where they would be read as they lie.  Measured: 430 us for 64 x 32 x 16 x 16, one
 * thread.
 */
#define TURNED 60

/*
 * Elements that a walk over places has to compute at once not to be slower than a map is.
 * Measured: a draw, its norm over 128 channels and 16 places take 2.3 ms, apart 1.5.
 */
#define BUSY_PLACES 32

struct survey { /* of one or two groups that would be one */
    uint32_t p, q;
    bool whole_rows;
    struct fuse_work w;
    double moved; /* bytes read and written, packing not counted */
};

double fuse_bytes(const struct fuse_cx *c, value_id v)
{
    const struct type *t = graph_type(c->g, v);
    return (double)type_elems(t, c->batch) * (t->dtype == DT_BOOL ? 1 : 4);
}

/* ---- distances ---- */

struct distance {
    double now, total;
    double *touched; /* by base value: 1 + traffic at its last use; 0: never */
    bool *found;     /* by base value: its writer's level is known */
};

static bool touch(struct fuse_cx *c, void *cx, node_id reader, unsigned operand)
{
    struct distance *d = cx;
    const struct node *n = &c->g->node[reader];
    const value_id base = c->f->base[graph_in(c->g, n)[operand]];
    const double since = d->touched[base] > 0 ? d->now - (d->touched[base] - 1) : d->total;
    const uint8_t level = (uint8_t)cost_level(c->t, since);

    c->in_level[n->in0 + operand] = level;
    if (!d->found[base])
        c->out_level[base] = level;
    d->found[base] = true;
    d->touched[base] = 1 + d->now;
    return true;
}

static void pass_by(struct fuse_cx *c, struct distance *d, node_id id)
{
    const struct node *n = &c->g->node[id];
    fuse_reads(c, id, touch, d);
    for (unsigned o = 0; o < n->nout; o++) {
        d->now += fuse_bytes(c, n->out0 + o);
        d->touched[n->out0 + o] = 1 + d->now;
    }
}

void fuse_find_levels(struct fuse_cx *c)
{
    struct distance d = {
        .touched = arena_array(c->scratch, c->g->nvalue + 1, sizeof *d.touched),
        .found = arena_array(c->scratch, c->g->nvalue + 1, sizeof *d.found)};
    for (node_id id = 1; id < c->g->nnode; id++)
        for (unsigned o = 0; o < c->g->node[id].nout; o++)
            if (c->f->role[id] == ROLE_COMPUTE)
                d.total += fuse_bytes(c, c->g->node[id].out0 + o);
    memset(c->out_level, cost_level(c->t, d.total), c->g->nvalue + 1);
    for (uint32_t i = 0; i < c->npos; i++)
        for (uint32_t k = 0; k < c->f->group[c->at[i]].n; k++)
            pass_by(c, &d, c->f->group[c->at[i]].node[k]);
}

/* ---- a survey ---- */

static bool inside(struct fuse_cx *c, const struct survey *s, node_id id)
{
    const uint32_t grp = fuse_group_of(c, id);
    return grp != NO_GROUP && (grp == s->p || grp == s->q);
}

/*
 * What an inlined map reads lies as far away as the map's value did for the node that reads
 * it now, if that is farther.
 */
static void count_reads(struct fuse_cx *c, struct survey *s, node_id id, uint8_t level)
{
    const struct node *n = &c->g->node[id];
    for (unsigned i = 0; i < n->nin; i++) {
        const value_id v = graph_in(c->g, n)[i], base = c->f->base[v];
        const node_id def = c->g->value[base].def;
        const uint8_t own = c->in_level[n->in0 + i], far = own > level ? own : level;
        if (n->op == OP_MAP && c->f->host[c->g->value[v].def])
            continue;
        if (c->f->role[def] == ROLE_INLINE) {
            count_reads(c, s, def, far);
            continue;
        }
        if (c->value_mark[base] == c->value_stamp || inside(c, s, def))
            continue;
        c->value_mark[base] = c->value_stamp;
        s->w.bytes[far] += fuse_bytes(c, base);
        s->moved += fuse_bytes(c, base);
    }
}

static double prims_of(struct fuse_cx *c, node_id id)
{
    if (!c->prims[id])
        c->prims[id] = 1 + sx_cost(&c->g->sx, c->g->node[id].attr);
    return c->prims[id] - 1;
}

/* A convolution's operand as it is packed. */
struct window {
    const struct port *port;
    double points; /* at which it is read */
};

/* Is the map 0 where the window leaves the image?  What has the image's dims is. */
static bool is_zero_outside(struct fuse_cx *c, const struct window *w, node_id id)
{
    const struct node *n = &c->g->node[id];
    bool *zero = arena_array(c->scratch, n->nin + 1U, sizeof *zero);
    for (unsigned i = 0; i < n->nin; i++) {
        const value_id v = graph_in(c->g, n)[i];
        const struct type *t = graph_type(c->g, v);
        const node_id def = c->g->value[c->f->base[v]].def;
        int8_t to[HYP_RANK];
        map_align(graph_type(c->g, n->out0), t, to);
        for (unsigned d = 0; d < t->rank && !c->f->host[def]; d++)
            zero[i] |= to[d] >= 0 && w->port->dim[to[d]].n > 1;
        zero[i] &= c->f->role[def] != ROLE_INLINE || is_zero_outside(c, w, def);
    }
    return sx_is_zero_where(&c->g->sx, n->attr, zero);
}

/* While a block of a sum is packed nothing is multiplied: this is a part of the product. */
static void count_packed(struct fuse_cx *c, struct survey *s, const struct window *w,
                         node_id id)
{
    const struct node *n = &c->g->node[id];
    s->w.product += w->points * (n->nin + prims_of(c, id)) / (c->t->t_ref * c->t->prims);
    for (unsigned i = 0; i < n->nin; i++) {
        const node_id def = c->g->value[c->f->base[graph_in(c->g, n)[i]]].def;
        if (c->f->role[def] == ROLE_INLINE)
            count_packed(c, s, w, def);
    }
}

static void count_in_window(struct fuse_cx *c, struct survey *s, const struct node *n,
                            unsigned operand, node_id map)
{
    const struct form *f = &c->g->form[n->attr];
    const struct window w = {.port = &f->port[operand < n->port ? operand : operand + 1],
                             .points = cost_window(c->t, f, n->port, operand, c->batch)};
    count_packed(c, s, &w, map);
    if (!is_zero_outside(c, &w, map))
        s->w.product += w.points * CHOICE / (c->t->t_ref * c->t->prims);
}

/*
 * Maps inlined into a map are evaluated at its points, into a sum at their own, or at all
 * that its window reads: by each for itself.
 */
static void count_inlined(struct fuse_cx *c, struct survey *s, node_id id, double points)
{
    const struct node *n = &c->g->node[id];
    const bool window = group_reads_window(c->g, id);
    for (unsigned i = 0; i < n->nin; i++) {
        const value_id base = c->f->base[graph_in(c->g, n)[i]];
        const node_id def = c->g->value[base].def;
        if (c->f->role[def] != ROLE_INLINE)
            continue;
        if (window) {
            count_in_window(c, s, n, i, def);
            continue;
        }
        if (c->value_mark[base] == c->value_stamp)
            continue;
        const double at =
            n->op == OP_MAP ? points : (double)type_elems(graph_type(c->g, base), c->batch);
        c->value_mark[base] = c->value_stamp;
        s->w.prims += at * prims_of(c, def);
        count_inlined(c, s, def, at);
    }
}

/* The axis of the box that the first or last real dim of a port runs along; -1: none. */
static int port_axis(const struct port *p, bool last)
{
    int axis = -1;
    for (unsigned i = 0; i < p->rank; i++)
        if (p->dim[i].n && (p->shape[i].b || p->shape[i].c != 1) && (last || axis < 0))
            axis = p->dim[i].axis[p->dim[i].n - 1];
    return axis;
}

static bool port_has(const struct port *p, int axis)
{
    for (unsigned i = 0; i < p->rank; i++)
        for (unsigned k = 0; k < p->dim[i].n; k++)
            if (p->dim[i].axis[k] == axis)
                return true;
    return false;
}

/* Rows of a convolution are laid down as their map would be, and turned. */
static void count_turned(struct fuse_cx *c, struct survey *s, const struct node *n,
                         unsigned operand)
{
    const value_id base = c->f->base[graph_in(c->g, n)[operand]];
    const double elements = (double)type_elems(graph_type(c->g, base), c->batch);
    s->w.product += TURNED * elements / (c->t->t_ref * c->t->prims);
    s->w.bytes[c->out_level[base]] += fuse_bytes(c, base);
    s->w.bytes[c->in_level[n->in0 + operand]] += fuse_bytes(c, base);
}

/*
 * Factors of columns, rows that do not lie along the chain, and prologues are packed.  True
 * if another product reads the same rows.
 */
static bool count_packing(struct fuse_cx *c, struct survey *s, const struct node *n,
                          const struct form *f)
{
    const int col = port_axis(&f->port[n->port], true);
    const uint32_t reduced = form_reduced(f, n->port);
    const bool window = group_reads_window(c->g, (node_id)(n - c->g->node));
    bool together = false;
    for (unsigned p = 0, i = 0; p < f->nport; p++) {
        if (p == n->port)
            continue;
        const value_id base = c->f->base[graph_in(c->g, n)[i++]];
        const int last = port_axis(&f->port[p], true);
        const bool in_place =
            !port_has(&f->port[p], col) && last >= 0 && reduced >> last & 1;
        const bool computed = c->f->role[c->g->value[base].def] == ROLE_INLINE;
        const bool direct = in_place && !computed;
        const bool again = c->pack_mark[base] == c->value_stamp;
        c->pack_mark[base] = c->value_stamp;
        if (direct && again)
            together = true;
        else if (in_place && window && computed)
            count_turned(c, s, n, i - 1);
        else if (!direct && !again)
            s->w.bytes[MEM_L2] += 2 * fuse_bytes(c, base);
    }
    return together;
}

/* Places of the result along the plain axes that one factor walks, and no other does. */
static double places_of(struct fuse_cx *c, const struct form *f, unsigned out,
                        unsigned factor)
{
    const struct port *q = &f->port[out];
    double places = 1;
    for (unsigned d = 0; d < q->rank; d++) {
        const int axis = q->dim[d].n == 1 ? q->dim[d].axis[0] : -1;
        bool own = axis >= 0 && port_has(&f->port[factor], axis);
        for (unsigned p = 0; p < f->nport; p++)
            own &= p == out || p == factor || !port_has(&f->port[p], axis);
        places *= own ? (double)ext_at(f->axis[axis], c->batch) : 1;
    }
    return places;
}

/* Columns of a product: those of a convolution are all places that share a channel. */
static double columns(struct fuse_cx *c, const struct node *n, double points)
{
    const struct form *f = &c->g->form[n->attr];
    const struct type *t = graph_type(c->g, n->out0);
    uint8_t d[HYP_RANK];
    const unsigned nd = type_space(t, d);
    double rows = points;
    if (!group_reads_window(c->g, (node_id)(n - c->g->node)))
        return nd ? (double)ext_at(t->dim[d[nd - 1]], c->batch) : 1;
    for (unsigned p = 0; p < f->nport; p++)
        if (p != n->port)
            rows = fmin(rows, places_of(c, f, n->port, p));
    return points / rows;
}

static void count_product(struct fuse_cx *c, struct survey *s, const struct node *n)
{
    const struct form *f = &c->g->form[n->attr];
    const double elems = (double)type_elems(graph_type(c->g, n->out0), c->batch);
    const double points = fmax(elems, 1), cols = columns(c, n, points);
    double products = 1;
    for (unsigned i = 0; i < f->naxis; i++)
        products *= (double)ext_at(f->axis[i], c->batch);
    s->w.product +=
        cost_product(c->t, points / cols, cols, products / points, s->whole_rows);
    count_packing(c, s, n, f);
}

static bool is_stored(struct fuse_cx *c, const struct survey *s, value_id v)
{
    if (c->is_root[v])
        return true;
    EACH_LINK(c, e, c->reader[v])
    {
        const node_id id = c->link[e].node;
        if (c->f->role[id] == ROLE_INLINE ? is_stored(c, s, c->g->node[id].out0)
                                          : !inside(c, s, id))
            return true;
    }
    return false;
}

static void count_member(struct fuse_cx *c, struct survey *s, node_id id)
{
    const struct node *n = &c->g->node[id];
    const value_id v = n->nin && n->op != OP_MAP ? graph_in(c->g, n)[0] : n->out0;
    const double points = (double)type_elems(graph_type(c->g, v), c->batch);

    if (fuse_is_contract(c->g, n))
        count_product(c, s, n);
    else
        s->w.prims += points * (n->op == OP_MAP ? prims_of(c, id) : 1);
    count_inlined(c, s, id, points);
    count_reads(c, s, id, MEM_L2);
    for (unsigned o = 0; o < n->nout; o++)
        if (is_stored(c, s, n->out0 + o)) {
            s->w.bytes[c->out_level[n->out0 + o]] += fuse_bytes(c, n->out0 + o);
            s->moved += fuse_bytes(c, n->out0 + o);
        }
}

/* Where maps walk rows of places, these are lanes: of few, most of a vector is idle.  All
 * count, though an operand of some may keep the schedule from walking them as one axis. */
static double idle_lanes(const struct fuse_cx *c, const struct survey *s)
{
    const struct type *row = fuse_rows_walked(c, s->p, s->q);
    if (!row)
        return 1;
    return fmax(1, BUSY_PLACES * (double)c->batch / (double)type_elems(row, c->batch));
}

static double survey(struct fuse_cx *c, struct survey *s)
{
    c->value_stamp++;
    s->whole_rows =
        fuse_sums_rows(c, s->p) || (s->q != NO_GROUP && fuse_sums_rows(c, s->q));
    for (unsigned k = 0; k < (s->q == NO_GROUP ? 1U : 2U); k++) {
        const struct group *gr = &c->f->group[k ? s->q : s->p];
        for (uint32_t i = 0; i < gr->n; i++)
            count_member(c, s, gr->node[i]);
    }
    s->w.prims *= idle_lanes(c, s);
    return cost_kernel(c->t, &s->w);
}

double fuse_group_seconds(struct fuse_cx *c, uint32_t p)
{
    struct survey s = {.p = p, .q = NO_GROUP};
    if (!c->f->group[p].n)
        return 0;
    if (c->seconds[p] < 0) {
        c->seconds[p] = survey(c, &s);
        c->moved[p] = s.moved;
    }
    return c->seconds[p];
}

double fuse_lone_seconds(struct fuse_cx *c, node_id id)
{
    struct survey s = {.p = NO_GROUP, .q = NO_GROUP};
    c->value_stamp++;
    count_member(c, &s, id);
    return cost_kernel(c->t, &s.w);
}

double fuse_joint_seconds(struct fuse_cx *c, uint32_t p, uint32_t q, double *bytes)
{
    struct survey s = {.p = p, .q = q};
    const double seconds = survey(c, &s);
    fuse_group_seconds(c, p);
    fuse_group_seconds(c, q);
    *bytes = c->moved[p] + c->moved[q] - s.moved;
    return seconds;
}

double fuse_most_seconds(struct fuse_cx *c, node_id p, node_id consumer, bool sibling)
{
    const value_id v = c->g->node[p].out0;
    const struct node *n = &c->g->node[consumer];
    double seconds = c->t->launch;
    if (sibling)
        return seconds;
    seconds += fuse_bytes(c, v) / c->t->bandwidth[c->out_level[v]];
    for (unsigned i = 0; i < n->nin; i++)
        if (c->f->base[graph_in(c->g, n)[i]] == v)
            seconds += fuse_bytes(c, v) / c->t->bandwidth[c->in_level[n->in0 + i]];
    return seconds;
}

bool fuse_is_worth(double before, double after, double least)
{
    return before - after > WORTH * least;
}
