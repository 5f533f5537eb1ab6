/*
 * Positions: groups stand in an order that every edge follows.  A path between two groups
 * passes only through positions between theirs, so a search for a detour looks at no
 * others, and a merge renumbers no others (Pearce and Kelly's online topological order).
 */
#include <string.h>

#include "compiler/passes/fuse.h"

static void ready(struct fuse_cx *c, struct fuse_heap *h, uint32_t grp)
{
    fuse_push(h, c->a, (struct fuse_item){-(double)c->f->group[grp].node[0], grp});
}

/* Smallest node first among groups that wait for nothing: close to the order of the graph.
 */
void fuse_start_order(struct fuse_cx *c)
{
    struct fuse_heap heap = {0};
    struct fuse_item x;
    uint32_t *waits = arena_array(c->a, c->f->ngroup + 1, sizeof *waits);

    for (node_id id = 1; id < c->g->nnode; id++)
        EACH_LINK(c, e, c->succ[id])
        {
            if (fuse_group_of(c, id) != fuse_group_of(c, c->link[e].node))
                waits[fuse_group_of(c, c->link[e].node)]++;
        }
    for (uint32_t p = 0; p < c->f->ngroup; p++)
        if (c->f->group[p].n && !waits[p])
            ready(c, &heap, p);
    while (fuse_pop(&heap, &x)) {
        c->pos[x.id] = c->npos;
        c->at[c->npos++] = x.id;
        for (uint32_t i = 0; i < c->f->group[x.id].n; i++)
            EACH_LINK(c, e, c->succ[c->f->group[x.id].node[i]])
            {
                const uint32_t to = fuse_group_of(c, c->link[e].node);
                if (to != x.id && !--waits[to])
                    ready(c, &heap, to);
            }
    }
}

bool fuse_detour(struct fuse_cx *c, uint32_t p, uint32_t q, bool direct)
{
    const uint32_t first = c->pos[p] < c->pos[q] ? p : q, last = first == p ? q : p;
    uint32_t stack[SEARCH_MAX], n = 0, seen = 0;

    c->stamp++;
    stack[n++] = first;
    while (n) {
        const uint32_t at = stack[--n];
        const struct group *gr = &c->f->group[at];
        for (uint32_t i = 0; i < gr->n; i++)
            EACH_LINK(c, e, c->succ[gr->node[i]])
            {
                const uint32_t to = fuse_group_of(c, c->link[e].node);
                if (to == NO_GROUP || to == at || c->pos[to] > c->pos[last] ||
                    (at == first && to == last && !direct))
                    continue;
                if (to == last || seen == SEARCH_MAX - 1)
                    return true;
                if (c->group_mark[to] != c->stamp) {
                    c->group_mark[to] = c->stamp;
                    stack[n++] = to;
                    seen++;
                }
            }
    }
    return false;
}

/* In between: what does not follow from the first, then the merged group, then what does.
 */
void fuse_join_order(struct fuse_cx *c, uint32_t p, uint32_t q)
{
    const uint32_t lo = c->pos[p] < c->pos[q] ? c->pos[p] : c->pos[q];
    const uint32_t hi = lo == c->pos[p] ? c->pos[q] : c->pos[p];
    uint32_t n = 0, to = lo, *after = arena_array(c->a, hi - lo + 1, sizeof *after);

    for (uint32_t i = lo; i <= hi; i++) {
        const uint32_t grp = c->at[i];
        if (grp == p || grp == q || grp == NO_GROUP)
            continue;
        if (c->group_mark[grp] == c->stamp)
            after[n++] = grp;
        else
            c->at[to++] = grp;
    }
    c->at[to++] = p;
    memcpy(c->at + to, after, n * sizeof *after);
    for (uint32_t i = to + n; i <= hi; i++)
        c->at[i] = NO_GROUP;
    for (uint32_t i = lo; i < to + n; i++)
        c->pos[c->at[i]] = i;
}

/* ---- when all is merged ---- */

void fuse_compact(struct fuse_cx *c)
{
    struct fusion *f = c->f;
    uint32_t *to = arena_array(c->a, f->ngroup + 1, sizeof *to), n = 0;
    for (uint32_t i = 0; i < f->ngroup; i++)
        if (c->parent[i] == i && f->group[i].n)
            to[i] = n++;
    for (node_id id = 1; id < c->g->nnode; id++)
        if (f->group_of[id] != NO_GROUP)
            f->group_of[id] = to[fuse_group_of(c, id)];
    for (uint32_t i = 0; i < f->ngroup; i++)
        if (c->parent[i] == i && f->group[i].n) {
            f->group[to[i]] = f->group[i];
            f->seconds[to[i]] = f->seconds[i];
            f->moved[to[i]] = f->moved[i];
        }
    f->ngroup = n;
}
