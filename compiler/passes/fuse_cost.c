#include "compiler/passes/fuse_cost.h"

#include <math.h>

#define OVERLAP   0.25 /* share of what the longest of the three does not hide */
#define BEST      0.92 /* of the peak, for long chains over whole tiles */
#define TWO_CORES 0.88 /* of twice one core, for caches and clocks that are shared */
#define CHAIN     4.0  /* steps of a chain that starting and storing a tile is worth */
#define COL_BLOCKS                                                                         \
    4.0 /* parts that the columns of 24 rows are cut into, 32 wide at least */
#define MIN_BLOCK 32.0

static double whole(double n, double tile)
{
    return n / (ceil(n / tile) * tile);
}

double cost_product(const struct target *t, double rows, double cols, double k,
                    bool whole_rows)
{
    const double blocks = fmax(1, fmin(COL_BLOCKS, floor(cols / MIN_BLOCK)));
    const double units = ceil(rows / t->unit_rows) * (whole_rows ? 1 : blocks);
    const double e = BEST * whole(rows, t->mr) * whole(cols, 16) * k / (k + CHAIN) *
                     whole(units, t->t_ref);
    if (rows < 1 || cols < 1 || k < 1)
        return 0;
    return 2 * rows * cols * k / (t->t_ref * t->flops * e * TWO_CORES);
}

static double span(const struct form *f, const struct dimmap *m, unsigned k, int64_t batch)
{
    return fabs((double)m->coef[k]) * (double)ext_at(f->axis[m->axis[k]], batch);
}

/* All sums but the outermost fit a panel (sched_window.c). */
static bool is_packed(const struct target *t, const struct form *f, uint32_t reduced)
{
    double inner = 1;
    bool first = true;
    for (unsigned x = 0; x < f->naxis; x++) {
        if (!(reduced >> x & 1))
            continue;
        inner *= first ? 1 : (double)ext_at(f->axis[x], 1);
        first = false;
    }
    return inner * t->nr * 4 <= t->l2 / 2.0;
}

/*
 * Places of an image are packed once for each point of the window; the filters that share a
 * place, or the places that share a filter's element, are rows over that.  Where the output
 * is the image, every element of it has a place of its own, and the axes that make it are
 * walked together (form_solve: the one that spans less is summed).  Sums whose places L2
 * does not hold are not packed: then it is every product of the form.
 */
double cost_window(const struct target *t, const struct form *f, unsigned out,
                   unsigned operand, int64_t batch)
{
    const struct port *p = &f->port[operand < out ? operand : operand + 1],
                      *q = &f->port[out];
    uint32_t set = 0;
    double points = 1;
    for (unsigned d = 0; d < p->rank; d++)
        for (unsigned k = 0; k < p->dim[d].n; k++)
            set |= 1U << p->dim[d].axis[k];
    for (unsigned d = 0; d < q->rank; d++) {
        const struct dimmap *m = &q->dim[d];
        const unsigned o = m->n == 2 && span(f, m, 1, batch) > span(f, m, 0, batch);
        if (m->n == 2 && set >> m->axis[o] & 1)
            set |= 1U << m->axis[1 - o];
    }
    if (!is_packed(t, f, form_reduced(f, out)))
        set = UINT32_MAX;
    for (unsigned x = 0; x < f->naxis; x++)
        points *= set >> x & 1 ? (double)ext_at(f->axis[x], batch) : 1;
    return points;
}

double cost_kernel(const struct target *t, const struct fuse_work *w)
{
    const double elements = w->prims / (t->t_ref * t->prims);
    double memory = 0, longest = fmax(w->product, elements);
    for (unsigned i = 0; i < MEM_LEVELS; i++)
        memory += w->bytes[i] / t->bandwidth[i];
    longest = fmax(longest, memory);
    return longest + OVERLAP * (w->product + elements + memory - longest) + t->launch;
}

enum mem_level cost_level(const struct target *t, double distance)
{
    return distance <= (double)t->l2 * t->t_ref ? MEM_L2
           : distance <= t->l3                  ? MEM_L3
                                                : MEM_DRAM;
}
