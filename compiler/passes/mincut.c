/*
 * Dinic: layers by breadth-first search, then as many augmenting paths along them as there
 * are, until the sink is out of reach.  Searches start at the sink, so that what they last
 * reached is its side of the cut.  Paths are walked without recursion: a network is as deep
 * as the model.
 */
#include "compiler/passes/mincut.h"

#include <string.h>

#include "runtime/base/arena.h"

struct arc { /* 2k and 2k+1 are one edge and its reverse */
    uint32_t to, next;
    int64_t left; /* capacity that is not used */
};
struct mincut {
    struct arena *a;
    uint32_t n, narc, carc, *first; /* by node: 1 + arc */
    struct arc *arc;
    uint32_t *layer, *at, *queue; /* by node: 1 + steps to the sink, 0: none; next arc */
};

struct mincut *mincut_new(struct arena *a, uint32_t n)
{
    struct mincut *m = arena_alloc(a, sizeof *m);
    m->a = a;
    m->n = n;
    m->first = arena_array(a, n, sizeof *m->first);
    m->layer = arena_array(a, n, sizeof *m->layer);
    m->at = arena_array(a, n, sizeof *m->at);
    m->queue = arena_array(a, n, sizeof *m->queue);
    return m;
}

static void add_arc(struct mincut *m, uint32_t from, uint32_t to, int64_t capacity)
{
    m->arc = arena_grow(m->a, m->arc, &m->carc, m->narc + 1, sizeof *m->arc);
    m->arc[m->narc] = (struct arc){to, m->first[from], capacity};
    m->first[from] = ++m->narc;
}

void mincut_edge(struct mincut *m, uint32_t from, uint32_t to, int64_t capacity)
{
    add_arc(m, from, to, capacity);
    add_arc(m, to, from, 0);
}

/* Layers of all nodes from which the sink can be reached.  Is the source one of them? */
static bool find_layers(struct mincut *m, uint32_t source, uint32_t sink)
{
    uint32_t head = 0, tail = 0;
    memset(m->layer, 0, m->n * sizeof *m->layer);
    m->layer[sink] = 1;
    m->queue[tail++] = sink;
    while (head < tail) {
        const uint32_t v = m->queue[head++];
        for (uint32_t i = m->first[v]; i; i = m->arc[i - 1].next) {
            const uint32_t u = m->arc[i - 1].to;
            if (m->arc[(i - 1) ^ 1].left && !m->layer[u]) {
                m->layer[u] = m->layer[v] + 1;
                m->queue[tail++] = u;
            }
        }
    }
    return m->layer[source];
}

/* The next arc of v that leads a layer closer to the sink: 1 + arc, or 0. */
static uint32_t arc_down(struct mincut *m, uint32_t v)
{
    for (; m->at[v]; m->at[v] = m->arc[m->at[v] - 1].next) {
        const struct arc *x = &m->arc[m->at[v] - 1];
        if (x->left && m->layer[x->to] + 1 == m->layer[v])
            return m->at[v];
    }
    return 0;
}

/* One augmenting path; m->queue holds its arcs.  Returns what flows, 0: none is left. */
static int64_t augment(struct mincut *m, uint32_t source, uint32_t sink)
{
    uint32_t n = 0, v = source;
    int64_t flow = INT64_MAX;
    while (v != sink) {
        const uint32_t i = arc_down(m, v);
        if (i) {
            m->queue[n++] = i - 1;
            v = m->arc[i - 1].to;
            continue;
        }
        if (v == source)
            return 0;
        v = m->arc[m->queue[--n] ^ 1].to; /* a dead end */
        m->at[v] = m->arc[m->at[v] - 1].next;
    }
    for (uint32_t i = 0; i < n; i++)
        if (m->arc[m->queue[i]].left < flow)
            flow = m->arc[m->queue[i]].left;
    for (uint32_t i = 0; i < n; i++) {
        m->arc[m->queue[i]].left -= flow;
        m->arc[m->queue[i] ^ 1].left += flow;
    }
    return flow;
}

int64_t mincut_run(struct mincut *m, uint32_t source, uint32_t sink, bool *at_sink)
{
    int64_t total = 0;
    while (total < MINCUT_NEVER && find_layers(m, source, sink)) {
        memcpy(m->at, m->first, m->n * sizeof *m->at);
        for (int64_t flow = 1; flow && total < MINCUT_NEVER; total += flow)
            flow = augment(m, source, sink);
    }
    for (uint32_t i = 0; i < m->n; i++)
        at_sink[i] = m->layer[i];
    return total;
}
