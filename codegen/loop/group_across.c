/*
 * Rows along a middle axis, side by side: the sums of a group `across`, what else it
 * computes for a row, and in which walk.
 */
#include <string.h>

#include "codegen/loop/cut.h"

/* A sum in one chain along one axis. */
bool across_is_chain(const struct kstage *s)
{
    return s->op == K_SUM && s->order == ORDER_SEQ && s->nseg == 1 && s->seg[0].nred == 1 &&
           !s->seg[0].factor[1];
}

/* Is it a map at the points that the sum walks, the places of its result behind? */
static bool is_walked(const struct kstage *map, const struct kstage *sum)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < map->naxis && kept < sum->naxis; i++)
        kept += map->axis[i] == sum->axis[kept];
    return map->op == K_MAP && map->naxis == sum->naxis + 1 && kept == sum->naxis &&
           map->axis[kept] == sum->axis[kept - 1] &&
           sched_has_axis(map->axis, map->naxis, sum->seg[0].red[0]);
}

/* Are maps left at the points that the sum walks? Else register tiles walk it. */
bool across_sums(const struct cutter *c, const struct kstage *sum)
{
    const struct kernel *k = c->k;
    if (!across_is_chain(sum) || sum->naxis < 2 || k->axis[sum->seg[0].red[0]].b ||
        k->axis[sum->axis[sum->naxis - 1]].b || sched_has_digits(k))
        return false;
    for (uint32_t i = 0; i < k->nstage; i++) {
        const struct item *map = cut_provider(c, i);
        if (!c->gs->inlined[i] && (!map || map->group < 0) && is_walked(&k->stage[i], sum))
            return true;
    }
    return false;
}

/* Is it a map of a row's values, there? */
static bool is_of_row(const struct kstage *map, const struct kstage *sum)
{
    return map->op == K_MAP && map->naxis == sum->naxis &&
           !memcmp(map->axis, sum->axis, sum->naxis);
}

/* Is it computed once for a row, and read at all points of it? */
bool across_keeps(const struct cutter *c, const struct kstage *map)
{
    for (uint32_t i = 0; i < c->k->nstage; i++)
        if (is_of_row(map, &c->k->stage[i]) && across_sums(c, &c->k->stage[i]))
            return true;
    return false;
}

/* ---- the group ---- */

/* Rows along a middle axis, the last one behind it as lanes: opened by their sum, or by a
 * map before that. */
bool across_opens(const struct cutter *c, struct group *g, const struct item *it)
{
    const struct kstage *first = &c->k->stage[it->stage];
    for (const struct item *x = it; x < c->gs->item + c->gs->nitem; x++) {
        const struct kstage *s = &c->k->stage[x->stage];
        if (x->group >= 0 || !across_sums(c, s) ||
            (x != it && !is_of_row(first, s) && !is_walked(first, s)))
            continue;
        g->across = true;
        g->col = s->seg[0].red[0];
        g->row = s->axis[s->naxis - 1];
        for (unsigned o = 0; o + 1 < s->naxis; o++)
            g->outer[g->nouter++] = s->axis[o];
        return true;
    }
    return false;
}

static bool is_read_by(const struct cutter *c, const struct item *reader,
                       const struct item *it)
{
    struct deps d = {.n = 0};
    cut_deps(c, reader->stage, &d);
    for (unsigned i = 0; i < d.n; i++)
        if (d.item[i] == it)
            return true;
    return false;
}

/* The walk in which it is read first, by its own group. */
static uint8_t first_read(const struct cutter *c, const struct item *it)
{
    const struct groups *gs = c->gs;
    uint8_t first = UINT8_MAX;
    for (uint32_t i = 0; i < gs->nitem; i++) {
        const struct item *r = &gs->item[i];
        const uint8_t pass = (uint8_t)(r->pass - (r->role == ROLE_ROWSUM));
        if (r->group == it->group && pass < first && is_read_by(c, r, it))
            first = pass;
    }
    return first;
}

/* A point of rows side by side that only later walks read is computed there: the tiles of
 * what is kept are large.  But what is stored in place is read before. */
void across_passes(struct cutter *c)
{
    for (uint32_t i = c->gs->nitem; i-- > 0;) {
        struct item *it = &c->gs->item[i];
        if (!c->gs->group[it->group].across || it->role != ROLE_POINT ||
            c->pinned[it->stage])
            continue;
        const uint8_t first = first_read(c, it);
        if (first != UINT8_MAX)
            it->pass = first;
    }
}
