/*
 * What is a convolution, and which of its axes make the lanes of a panel: of those that one
 * factor alone walks, the innermost, as many whole ones as fit and a block of the next.
 */
#include <string.h>

#include "codegen/loop/sched.h"

enum { MOST_ROWS = 2048, MOST_PHASES = 2 };

static uint32_t axes_of_index(const struct index *x)
{
    uint32_t set = 0;
    for (unsigned i = 0; i < x->n; i++)
        set |= 1U << x->t[i].axis;
    return set;
}

static uint32_t axes_of_load(const struct koperand *p)
{
    uint32_t set = axes_of_index(&p->index);
    for (unsigned i = 0; i < p->nguard; i++)
        set |= axes_of_index(&p->guard[i].index);
    return set;
}

bool sched_factor_axes(const struct kernel *k, const bool *inlined, const struct kstage *s,
                       sx_id e, uint32_t *set)
{
    struct arena *a = arena_new();
    sx_id *order;
    bool ok = e != 0;
    const uint32_t n = sx_postorder(&k->sx, &e, 1, a, &order);
    for (uint32_t i = 0; i < n && ok; i++) {
        const struct sx_node *x = &k->sx.node[order[i]];
        const struct koperand *p = x->op == SX_ARG ? &s->operand[x->a] : NULL;
        if (x->op == SX_AXIS)
            *set |= 1U << x->a;
        else if (x->op == SX_RNG && k->rng[x->a].sample_axis >= 0)
            *set |= 1U << k->rng[x->a].sample_axis;
        else if (p && !p->stage)
            ok = !p->pick.from, *set |= axes_of_load(p);
        else if (p && inlined[p->id])
            ok =
                sched_factor_axes(k, inlined, &k->stage[p->id], k->stage[p->id].value, set);
        for (unsigned q = 0; p && p->stage && q < k->stage[p->id].naxis; q++)
            *set |= 1U << k->stage[p->id].axis[q];
    }
    arena_free(a);
    return ok;
}

static bool is_small(struct ext e)
{
    return e.b == 0;
}

/* The last axes of the list as lanes; what is before them is walked outside. */
static void choose_box(const struct kernel *k, struct group *g, const uint8_t *col,
                       unsigned n, int32_t lanes)
{
    int32_t inside = 1;
    unsigned first = n - 1;
    while (first > 0 && is_small(k->axis[col[first]]) &&
           inside * k->axis[col[first]].c * 2 <= lanes)
        inside *= k->axis[col[first--]].c;
    const bool batch = !is_small(k->axis[col[first]]); /* small images: several of them */
    const int32_t e = batch ? lanes / inside : k->axis[col[first]].c;
    const int32_t most = lanes / inside < e ? lanes / inside : e;
    const int32_t panels = (e + most - 1) / most;
    g->block = (e + panels - 1) / panels; /* even ones */
    g->nr = lanes;
    g->used = (double)e * inside / ((double)panels * lanes);
    g->nbox = g->nouter = 0;
    for (unsigned i = first; i < n; i++)
        g->box[g->nbox++] = col[i];
    for (unsigned i = 0; i < first; i++)
        g->outer[g->nouter++] = col[i];
}

/* As many vectors a row as the target's tiles have, unless one to three leave much fewer
 * lanes idle. */
static void best_box(const struct kernel *k, const struct target *t, struct group *g,
                     const uint8_t *col, unsigned n)
{
    static const int32_t vectors[] = {2, 3, 1};
    struct group best = *g, try = *g;
    choose_box(k, &best, col, n, t->nr);
    for (unsigned i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        choose_box(k, &try, col, n, vectors[i] * t->vec);
        if (try.used > 1.2 * best.used)
            best = try;
    }
    for (unsigned i = 0; i < best.nouter; i++)
        g->outer[g->nouter++] = best.outer[i];
    g->nbox = best.nbox;
    memcpy(g->box, best.box, sizeof g->box);
    g->block = best.block;
    g->nr = best.nr;
    g->used = best.used;
}

static bool inner_fits(const struct kernel *k, const struct kseg *seg,
                       const struct target *t)
{
    int64_t n = 1;
    for (unsigned i = 1; i < seg->nred; i++) {
        if (!is_small(k->axis[seg->red[i]]))
            return false;
        n *= k->axis[seg->red[i]].c;
    }
    return seg->nred && n * t->nr * 4 <= t->l2 / 2;
}

/* Who walks which axis of the result in a segment. */
struct walkers {
    uint8_t image, row, ncol, nrest, phase;  /* phase: 1 + axis, as the group's */
    uint8_t col[LOOP_AXES], rest[LOOP_AXES]; /* rest: both, or neither */
};

bool sched_is_phase(struct ext e)
{
    return is_small(e) && e.c <= MOST_PHASES;
}

static bool find_walkers(const struct kernel *k, const bool *inlined,
                         const struct kstage *s, const struct kseg *seg, struct walkers *w)
{
    uint32_t set[2] = {0};
    unsigned rows = 0;
    unsigned n = s->naxis;
    *w = (struct walkers){0};
    if (!sched_factor_axes(k, inlined, s, seg->factor[0], &set[0]) ||
        !sched_factor_axes(k, inlined, s, seg->factor[1], &set[1]))
        return false;
    if ((set[0] & set[1]) >> s->axis[n - 1] & 1 && n > 2 &&
        sched_is_phase(k->axis[s->axis[n - 1]]))
        w->phase = (uint8_t)(s->axis[--n] + 1);
    const uint8_t last = s->axis[n - 1];
    w->image = set[1] >> last & 1;
    for (unsigned i = 0; i < n; i++) {
        const uint8_t x = s->axis[i];
        const bool in = set[w->image] >> x & 1, other = set[1 - w->image] >> x & 1;
        if (in && !other)
            w->col[w->ncol++] = x;
        else if (other && !in && is_small(k->axis[x]) && ++rows)
            w->row = x;
        else
            w->rest[w->nrest++] = x;
    }
    return rows == 1 && (w->ncol > 1 || (s->order == ORDER_CHUNK && seg->nred > 1)) &&
           w->ncol && w->col[w->ncol - 1] == last && is_small(k->axis[last]) &&
           k->axis[w->row].c <= MOST_ROWS;
}

static bool same_walkers(const struct walkers *x, const struct walkers *y)
{
    return x->row == y->row && x->ncol == y->ncol && x->phase == y->phase &&
           x->nrest == y->nrest && !memcmp(x->col, y->col, x->ncol) &&
           !memcmp(x->rest, y->rest, x->nrest);
}

bool window_open(const struct kernel *k, const bool *inlined, const struct target *t,
                 struct group *g, const struct kstage *s, uint32_t first, uint32_t nseg)
{
    struct walkers w, all = {0};
    struct group own = {.row = -1};
    if (s->naxis < 2 || nseg > sizeof own.image)
        return false;
    for (uint32_t i = first; i < first + nseg; i++) {
        if (!inner_fits(k, &s->seg[i], t) || !find_walkers(k, inlined, s, &s->seg[i], &w) ||
            (i > first && !same_walkers(&w, &all)))
            return false;
        own.image[i] = w.image;
        all = w;
    }
    memcpy(own.outer, all.rest, all.nrest);
    own.nouter = all.nrest;
    own.row = all.row;
    own.phase = all.phase;
    own.col = all.col[all.ncol - 1];
    struct group border = own;
    best_box(k, t, &own, all.col, all.ncol);
    border.used = own.used;
    if (border_open(k, t, s, first, nseg, all.col, all.ncol, &border))
        own = border;
    own.batch = !is_small(k->axis[own.box[0]]);
    for (unsigned i = 0; (own.batch || s->order == ORDER_CHUNK) && i < own.nouter; i++)
        if (!is_small(k->axis[own.outer[i]]))
            return false;
    own.window = true;
    own.item = g->item;
    *g = own;
    return true;
}
