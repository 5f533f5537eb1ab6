#include "compiler/driver/plan_check.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/arena.h"

struct extent { /* a buffer while it lives */
    uint64_t from, to;
    uint32_t first, last; /* launches */
    uint32_t buffer;
};
struct check {
    const struct hyp_plan *p;
    struct nest *const *nest;
    struct arena *a;
    uint8_t **access; /* by kernel and buffer: enum of nest_access() */
    const char *why;
    /* by buffer: 1 + launch of its first and last touch in this phase */
    uint32_t *first, *last;
    uint32_t *writer, *toucher; /* by buffer: 1 + entry, of the launch `at` */
    uint32_t *at;               /* by buffer: 1 + number of the launch, over all phases */
    uint32_t nlaunch;           /* over all phases */
    uint32_t *touched, ntouched;
};

static bool bad(struct check *c, const char *what, const char *who, uint32_t number)
{
    if (!c->why)
        c->why = arena_fmt(c->a, "%s (%s %u)", what, who, number);
    return false;
}

/* ---- kernels ---- */

static bool kernel_agrees(struct check *c, uint32_t k)
{
    const struct hyp_kernel *kernel = &c->p->kernel[k];
    const struct nest *n = c->nest[k];

    c->access[k] = arena_array(c->a, n->nbuf + 1U, 1);
    nest_access(n, c->access[k]);
    if (kernel->nbuf != n->nbuf)
        return bad(c, "the plan and the nest have other buffers", "kernel", k);
    for (uint32_t i = 0; i < n->nbuf; i++) {
        const uint8_t use = kernel->use[i], is = c->access[k][i];
        if (use == HYP_PRIVATE)
            continue;
        if ((is & NEST_WRITES) && use == HYP_READ)
            return bad(c, "the nest writes a buffer that the plan says is read", "kernel",
                       k);
        if (!(is & NEST_WRITES) && use != HYP_READ)
            return bad(c, "the nest does not write a buffer that the plan says is written",
                       "kernel", k);
        if ((is & NEST_READS) && use == HYP_WRITE)
            return bad(c, "the nest reads a buffer that the plan says is written", "kernel",
                       k);
    }
    return true;
}

/* ---- launches ---- */

static bool touch(struct check *c, uint32_t entry, uint32_t buffer, uint8_t access,
                  bool own, uint32_t launch)
{
    const uint32_t now = 1 + c->nlaunch;
    if (c->at[buffer] != now) {
        c->at[buffer] = now;
        c->writer[buffer] = c->toucher[buffer] = 0;
    }
    if ((c->writer[buffer] && c->writer[buffer] != 1 + entry) ||
        ((access & NEST_WRITES) && c->toucher[buffer] && c->toucher[buffer] != 1 + entry))
        return bad(c, "two entries of a launch touch what one writes", "entry", entry);
    c->toucher[buffer] = 1 + entry;
    if (access & NEST_WRITES)
        c->writer[buffer] = 1 + entry;
    if (c->p->buffer[buffer].segment != HYP_SEG_SCRATCH)
        return true;
    if (!c->first[buffer]) {
        if ((access & NEST_READS) && !own)
            return bad(c, "a value in the arena is read before it is written", "entry",
                       entry);
        c->first[buffer] = 1 + launch;
        c->touched[c->ntouched++] = buffer;
    }
    c->last[buffer] = 1 + launch;
    return true;
}

/* Stores around the caches are of whole lines. */
static bool lines_fit(struct check *c, uint32_t entry)
{
    const struct hyp_entry *e = &c->p->entry[entry];
    const struct nest *n = c->nest[e->kernel];
    for (uint32_t i = 0; i < n->nbuf; i++)
        if (n->buf[i].far && n->buf[i].use == BUF_WRITE &&
            c->p->buffer[e->buf[i]].offset % 64)
            return bad(c, "a far buffer does not begin a line", "entry", entry);
    return true;
}

static bool entry_fits(struct check *c, uint32_t entry, uint32_t launch)
{
    const struct hyp_entry *e = &c->p->entry[entry];
    const struct hyp_kernel *k = &c->p->kernel[e->kernel];
    if (!lines_fit(c, entry))
        return false;
    for (uint32_t i = 0; i < k->nbuf; i++)
        if (!touch(c, entry, e->buf[i], c->access[e->kernel][i], k->use[i] == HYP_PRIVATE,
                   launch))
            return false;
    return true;
}

/* ---- the arena ---- */

static int by_first(const void *x, const void *y)
{
    const struct extent *a = x, *b = y;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return (a->from > b->from) - (a->from < b->from);
}

/* The place of an address among live extents, which ascend and do not meet. */
static uint32_t find(const struct extent *const *live, uint32_t n, uint64_t from)
{
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (live[mid]->from < from)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static uint32_t drop_dead(const struct extent **live, uint32_t n, uint32_t now)
{
    uint32_t m = 0;
    for (uint32_t i = 0; i < n; i++)
        if (live[i]->last >= now)
            live[m++] = live[i];
    return m;
}

/* In the order in which they come to life, each beside those that still do. */
static bool lie_apart(struct check *c, struct extent *x, uint32_t n)
{
    const struct extent **live = arena_array(c->a, n + 1U, sizeof *live);
    uint32_t nlive = 0;
    qsort(x, n, sizeof *x, by_first);
    for (uint32_t i = 0; i < n; i++) {
        if (i && x[i].first != x[i - 1].first)
            nlive = drop_dead(live, nlive, x[i].first);
        const uint32_t at = find(live, nlive, x[i].from);
        if ((at < nlive && live[at]->from < x[i].to) ||
            (at && live[at - 1]->to > x[i].from))
            return bad(c, "two values that live at once lie on one another", "buffer",
                       x[i].buffer);
        memmove(live + at + 1, live + at, (nlive - at) * sizeof(const struct extent *));
        live[at] = &x[i];
        nlive++;
    }
    return true;
}

static struct extent extent_of(const struct check *c, uint32_t buffer, uint32_t first,
                               uint32_t last)
{
    const struct hyp_buffer *b = &c->p->buffer[buffer];
    return (struct extent){b->offset, b->offset + b->bytes, first, last, buffer};
}

static bool phase_fits(struct check *c, uint32_t phase)
{
    const struct hyp_phase *ph = &c->p->phase[phase];
    uint32_t launch = 0;

    c->ntouched = 0;
    for (uint32_t i = 0; i < ph->nop; i++) {
        if (ph->op[i].op != HYP_OP_LAUNCH)
            continue;
        for (uint32_t e = ph->op[i].a; e < ph->op[i].b; e++)
            if (!entry_fits(c, e, launch))
                return false;
        launch++;
        c->nlaunch++;
    }
    struct extent *x = arena_array(c->a, c->ntouched + 1U, sizeof *x);
    for (uint32_t i = 0; i < c->ntouched; i++) {
        const uint32_t b = c->touched[i];
        x[i] = extent_of(c, b, c->first[b], c->last[b]);
        c->first[b] = 0;
    }
    return lie_apart(c, x, c->ntouched);
}

/* ---- what lives for good ---- */

static bool segments_fit(struct check *c)
{
    struct extent *x = arena_array(c->a, c->p->nbuffer + 1U, sizeof *x);
    for (unsigned s = 0; s < HYP_SEG_COUNT; s++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < c->p->nbuffer; i++) {
            if (c->p->buffer[i].segment != s)
                continue;
            x[n] = extent_of(c, i, 0, 0);
            if (x[n++].to > c->p->segment_bytes[s])
                return bad(c, "a value lies outside of its segment", "buffer", i);
        }
        if (s != HYP_SEG_SCRATCH && !lie_apart(c, x, n))
            return false;
    }
    return true;
}

const char *plan_check(const struct hyp_plan *p, struct nest *const *nest, struct arena *a)
{
    struct check c = {.p = p, .nest = nest, .a = a};
    bool ok = true;

    c.access = arena_array(a, p->nkernel + 1U, sizeof *c.access);
    c.first = arena_array(a, p->nbuffer + 1U, sizeof *c.first);
    c.last = arena_array(a, p->nbuffer + 1U, sizeof *c.last);
    c.writer = arena_array(a, p->nbuffer + 1U, sizeof *c.writer);
    c.toucher = arena_array(a, p->nbuffer + 1U, sizeof *c.toucher);
    c.at = arena_array(a, p->nbuffer + 1U, sizeof *c.at);
    c.touched = arena_array(a, p->nbuffer + 1U, sizeof *c.touched);
    for (uint32_t k = 0; ok && k < p->nkernel; k++)
        ok = kernel_agrees(&c, k);
    ok = ok && segments_fit(&c);
    for (uint32_t i = 0; ok && i < p->nphase; i++)
        ok = phase_fits(&c, i);
    return c.why;
}
