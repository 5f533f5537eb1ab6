/*
 * Launches: which kernels run side by side, and in which order.
 *
 * Groups are taken one after the other as they no longer wait for any: one that leaves less
 * memory in use than before comes at once, else the one that adds least; of equals the one
 * that was ready last, since caches hold what it reads.  What is recomputed is ready when a
 * reader waits for nothing else.  The most bytes in use where every group is a launch of
 * its own are the budget of a second walk: there a launch has as much work as fills
 * processors, as far as the budget goes, and whatever is small.
 */
#include "compiler/passes/fuse.h"

/* Of a launch, on one thread, and of what is small: a share of it, and bytes.  With more in
 * a launch, what kernels make has left the caches when the next launch reads it (cifar-six:
 * 1 to 2 % of a cycle at 4 ms). */
#define LAUNCH_SECONDS 1e-3
#define SMALL_SHARE    (1.0 / 16)
#define SMALL_BYTES    (1 << 16)
#define TRIES          5
#define MORE           1.01 /* than the budget is good enough */

struct use { /* of a base value in the arena */
    double bytes;
    uint32_t readers, left; /* groups that read it; of those, how many have still to run */
};
struct spans { /* values by group */
    uint32_t *first, n, cap;
    value_id *value;
};
struct launcher {
    struct fuse_cx *c;
    struct use *use; /* by base value */
    struct spans made, read;
    bool *again;           /* by group: recomputed */
    uint32_t *waits, *own; /* by group: edges to it; those from groups not recomputed */
    /* of one walk: */
    uint32_t *left, *left_own; /* by group: of waits and own */
    bool *wanted;              /* by group: recomputed, and now it has to be */
    uint32_t *ready, nready;   /* the latest last */
    uint32_t *stack, nstack;
    uint32_t nlevel;
    double now, peak, work; /* bytes in use, the most of them; seconds of the launch */
    double most;            /* bytes that may be in use */
    double enough;          /* seconds of a launch */
};

/* ---- what a group makes and reads ---- */

static void add_value(struct launcher *l, struct spans *s, value_id v)
{
    s->value = arena_grow(l->c->scratch, s->value, &s->cap, s->n + 1, sizeof *s->value);
    s->value[s->n++] = v;
}

static bool in_arena(const struct fuse_cx *c, value_id v)
{
    return c->f->stored[v] && !c->is_root[v] && c->f->base[v] == v &&
           c->f->group_of[c->g->value[v].def] != NO_GROUP;
}

static bool add_read(struct fuse_cx *c, void *cx, node_id reader, unsigned operand)
{
    struct launcher *l = cx;
    const value_id v = c->f->base[graph_in(c->g, &c->g->node[reader])[operand]];
    if (!in_arena(c, v) || c->value_mark[v] == c->value_stamp)
        return true;
    c->value_mark[v] = c->value_stamp;
    l->use[v].readers++;
    add_value(l, &l->read, v);
    return true;
}

static void note_group(struct launcher *l, uint32_t grp)
{
    struct fuse_cx *c = l->c;
    const struct group *gr = &c->f->group[grp];
    l->made.first[grp] = l->made.n;
    l->read.first[grp] = l->read.n;
    c->value_stamp++;
    for (uint32_t i = 0; i < gr->n; i++) {
        const struct node *n = &c->g->node[gr->node[i]];
        for (value_id v = n->out0; v < n->out0 + n->nout; v++)
            if (in_arena(c, v)) {
                c->value_mark[v] = c->value_stamp; /* read here, it is not read again */
                l->use[v].bytes = fuse_bytes(c, v);
                add_value(l, &l->made, v);
            }
    }
    for (uint32_t i = 0; i < gr->n; i++)
        fuse_reads(c, gr->node[i], add_read, l);
}

/* Other groups at the ends of a group's edges (by node: succ or pred), once for every edge.
 */
typedef void edge_fn(struct launcher *l, uint32_t grp, uint32_t other);

static void each_edge(struct launcher *l, uint32_t grp, const uint32_t *by_node,
                      edge_fn *fn)
{
    const struct fuse_cx *c = l->c;
    const struct group *gr = &c->f->group[grp];
    for (uint32_t i = 0; i < gr->n; i++)
        EACH_LINK(c, e, by_node[gr->node[i]])
        {
            const uint32_t other = c->f->group_of[c->link[e].node];
            if (other != NO_GROUP && other != grp)
                fn(l, grp, other);
        }
}

static void count_edge(struct launcher *l, uint32_t grp, uint32_t to)
{
    l->waits[to]++;
    l->own[to] += !l->again[grp];
}

static bool all_again(const struct fuse_cx *c, const struct group *gr)
{
    for (uint32_t i = 0; i < gr->n; i++)
        if (!c->g->node[gr->node[i]].remat)
            return false;
    return true;
}

static void survey(struct launcher *l)
{
    struct arena *a = l->c->scratch;
    const uint32_t n = l->c->f->ngroup;
    l->use = arena_array(a, l->c->g->nvalue + 1, sizeof *l->use);
    l->made.first = arena_array(a, n + 1, sizeof *l->made.first);
    l->read.first = arena_array(a, n + 1, sizeof *l->read.first);
    l->again = arena_array(a, n + 1, sizeof *l->again);
    l->waits = arena_array(a, n + 1, sizeof *l->waits);
    l->own = arena_array(a, n + 1, sizeof *l->own);
    l->left = arena_array(a, n + 1, sizeof *l->left);
    l->left_own = arena_array(a, n + 1, sizeof *l->left_own);
    l->wanted = arena_array(a, n + 1, sizeof *l->wanted);
    l->ready = arena_array(a, n + 1, sizeof *l->ready);
    l->stack = arena_array(a, n + 1, sizeof *l->stack);
    for (uint32_t g = 0; g < n; g++) {
        l->again[g] = all_again(l->c, &l->c->f->group[g]);
        note_group(l, g);
        each_edge(l, g, l->c->succ, count_edge);
    }
    l->made.first[n] = l->made.n;
    l->read.first[n] = l->read.n;
}

/* ---- one walk ---- */

static double made(const struct launcher *l, uint32_t grp)
{
    double d = 0;
    for (uint32_t i = l->made.first[grp]; i < l->made.first[grp + 1]; i++)
        d += l->use[l->made.value[i]].bytes;
    return d;
}

/* Bytes in use when the group has run, more than before: what it makes, less what only it
 * has still to read. */
static double rise(const struct launcher *l, uint32_t grp)
{
    double d = made(l, grp);
    for (uint32_t i = l->read.first[grp]; i < l->read.first[grp + 1]; i++)
        if (l->use[l->read.value[i]].left == 1)
            d -= l->use[l->read.value[i]].bytes;
    return d;
}

/* May it join what the launch has?  Its operands stay until the launch ends. */
static bool may_join(const struct launcher *l, uint32_t grp, double more)
{
    const double seconds = l->c->f->seconds[grp];
    if (more <= SMALL_BYTES && seconds <= SMALL_SHARE * l->enough)
        return true;
    return l->work < l->enough && l->now + made(l, grp) <= l->most;
}

/* Place of the next group among those ready; nready: none joins the launch. */
static uint32_t choose(const struct launcher *l, bool first)
{
    uint32_t best = l->nready;
    double least = 0;
    for (uint32_t i = l->nready; i-- > 0;) {
        const uint32_t grp = l->ready[i];
        const double more = rise(l, grp);
        if (!first && !may_join(l, grp, more))
            continue;
        if (more <= 0)
            return i;
        if (best == l->nready || more < least) {
            best = i;
            least = more;
        }
    }
    return best;
}

static void take(struct launcher *l, uint32_t at)
{
    struct fusion *f = l->c->f;
    const uint32_t grp = l->ready[at];
    for (l->nready--; at < l->nready; at++)
        l->ready[at] = l->ready[at + 1];
    f->order[f->norder++] = grp;
    f->level[grp] = l->nlevel;
    l->work += f->seconds[grp];
    l->now += made(l, grp);
    for (uint32_t i = l->read.first[grp]; i < l->read.first[grp + 1]; i++)
        l->use[l->read.value[i]].left--;
}

static void make_ready(struct launcher *l, uint32_t grp)
{
    if (!l->left[grp] && (!l->again[grp] || l->wanted[grp]))
        l->ready[l->nready++] = grp;
}

static void want(struct launcher *l, uint32_t grp, uint32_t from)
{
    (void)grp;
    if (!l->again[from] || l->wanted[from])
        return;
    l->wanted[from] = true;
    make_ready(l, from);
    l->stack[l->nstack++] = from;
}

/* All that is recomputed for the group, whether it reads that or what is made of it. */
static void want_all(struct launcher *l, uint32_t grp)
{
    each_edge(l, grp, l->c->pred, want);
    while (l->nstack)
        each_edge(l, l->stack[--l->nstack], l->c->pred, want);
}

static void pass_edge(struct launcher *l, uint32_t grp, uint32_t to)
{
    if (!l->again[grp] && !--l->left_own[to] && !l->again[to])
        want_all(l, to);
    if (!--l->left[to])
        make_ready(l, to);
}

/* What nothing reads any more is gone; groups that waited for the launch are ready. */
static void end_launch(struct launcher *l, uint32_t from)
{
    const struct fusion *f = l->c->f;
    if (l->now > l->peak)
        l->peak = l->now;
    l->c->value_stamp++;
    for (uint32_t k = from; k < f->norder; k++) {
        const uint32_t grp = f->order[k];
        for (uint32_t i = l->read.first[grp]; i < l->read.first[grp + 1]; i++) {
            const value_id v = l->read.value[i];
            if (!l->use[v].left && l->c->value_mark[v] != l->c->value_stamp)
                l->now -= l->use[v].bytes;
            l->c->value_mark[v] = l->c->value_stamp;
        }
        each_edge(l, grp, l->c->succ, pass_edge);
    }
    l->nlevel++;
    l->work = 0;
}

static void start(struct launcher *l)
{
    const struct fusion *f = l->c->f;
    for (value_id v = 1; v < l->c->g->nvalue; v++)
        l->use[v].left = l->use[v].readers;
    for (uint32_t g = 0; g < f->ngroup; g++) {
        l->left[g] = l->waits[g];
        l->left_own[g] = l->own[g];
        l->wanted[g] = false;
    }
    for (uint32_t g = f->ngroup; g-- > 0;) {
        if (l->again[g])
            continue;
        make_ready(l, g);
        if (!l->own[g])
            want_all(l, g);
    }
}

/* Levels of all groups, and the order they are taken in. */
static void walk(struct launcher *l, double enough, double most)
{
    struct fusion *f = l->c->f;
    l->enough = enough;
    l->most = most;
    l->now = l->peak = 0;
    l->nlevel = f->norder = 0;
    start(l);
    while (l->nready) {
        const uint32_t from = f->norder;
        for (uint32_t at = choose(l, true); at < l->nready; at = choose(l, false))
            take(l, at);
        end_launch(l, from);
    }
}

/* What is taken first in a launch may not fit; a little less work in each, and it does. */
static void fill_launches(struct launcher *l, double budget)
{
    double least = 0, best = LAUNCH_SECONDS, enough = LAUNCH_SECONDS;
    for (unsigned t = 0; t < TRIES; t++, enough *= 0.9) {
        walk(l, enough, budget);
        if (l->peak <= budget * MORE)
            return;
        if (t == 0 || l->peak < least) {
            least = l->peak;
            best = enough;
        }
    }
    walk(l, best, budget);
}

void fuse_launches(struct fuse_cx *c)
{
    struct launcher l = {.c = c};
    c->f->level = arena_array(c->a, c->f->ngroup + 1, sizeof *c->f->level);
    c->f->order = arena_array(c->a, c->f->ngroup + 1, sizeof *c->f->order);
    survey(&l);
    walk(&l, 0, 0);
    /* what the last cache holds is as good as nothing */
    fill_launches(&l, l.peak > c->t->l3 ? l.peak : c->t->l3);
}
