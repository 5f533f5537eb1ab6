/* A growing table, searched from the front: runs have tens of names, not thousands. */
#include "runtime/values.h"

#include <math.h>
#include <string.h>

#include "runtime/base/alloc.h"

static bool grow(struct values *v)
{
    const uint32_t cap = v->cap ? 2 * v->cap : 32;
    struct hyp_value *all = hyp_realloc(v->value, cap * sizeof *all);
    if (!all)
        return false;
    v->value = all;
    v->cap = cap;
    return true;
}

uint32_t values_find(struct values *v, const char *name)
{
    for (uint32_t i = 0; i < v->n; i++)
        if (strcmp(v->value[i].name, name) == 0)
            return i;
    if (v->n == v->cap && !grow(v))
        return UINT32_MAX;
    struct hyp_value x = {
        .name = hyp_strdup(name), .v = hyp_calloc(1, sizeof(double)), .n = 1};
    if (!x.name || !x.v) {
        hyp_free((char *)x.name);
        hyp_free(x.v);
        return UINT32_MAX;
    }
    v->value[v->n] = x;
    return v->n++;
}

/* Room for n numbers. */
static enum hyp_status make_room(struct values *v, uint32_t i, uint32_t n,
                                 struct hyp_error *err)
{
    if (i == UINT32_MAX)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for a run's values");
    struct hyp_value *x = &v->value[i];
    if (n > x->n) {
        double *more = hyp_realloc(x->v, n * sizeof *more);
        if (!more)
            return hyp_fail(err, HYP_ENOMEM, "out of memory for `%s`", x->name);
        x->v = more;
    }
    return HYP_OK;
}

enum hyp_status values_set(struct values *v, uint32_t i, const double *number, uint32_t n,
                           bool list, struct hyp_error *err)
{
    const enum hyp_status st = make_room(v, i, n, err);
    if (st != HYP_OK)
        return st;
    struct hyp_value *x = &v->value[i];
    memcpy(x->v, number, n * sizeof *number);
    x->n = n;
    x->list = list;
    x->known = x->unlogged = true;
    return HYP_OK;
}

enum hyp_status values_set_part(struct values *v, uint32_t i, const double *number,
                                uint32_t n, uint32_t first, uint32_t total,
                                struct hyp_error *err)
{
    const enum hyp_status st = make_room(v, i, total, err);
    if (st != HYP_OK)
        return st;
    struct hyp_value *x = &v->value[i];
    for (uint32_t k = x->known ? x->n : 0; k < total; k++)
        x->v[k] = NAN;
    memcpy(x->v + first, number, n * sizeof *number);
    x->n = total;
    x->list = x->known = x->unlogged = true;
    return HYP_OK;
}

void values_fini(struct values *v)
{
    for (uint32_t i = 0; i < v->n; i++) {
        hyp_free((char *)v->value[i].name);
        hyp_free(v->value[i].v);
    }
    hyp_free(v->value);
    *v = (struct values){0};
}
