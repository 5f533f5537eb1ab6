/*
 * Stochastic nodes: which draw a value is an affine function of.
 *
 * A value remembers it as a list of steps; where two draws meet, the one that nothing else
 * depends on stays.  For a density the steps are replayed: on the parameters where the law
 * stays the same (normal, laplace, uniform), else as a shift and a slope beside it.
 */
#include <string.h>

#include "compiler/front/build.h"
#include "runtime/base/arena.h"

void mb_new_walk(struct mb *b)
{
    b->seen = arena_grow(b->a, b->seen, &b->cseen, b->g->nnode + 1, sizeof *b->seen);
    b->stamp++;
}

static bool reaches(struct mb *b, value_id v, node_id target)
{
    const struct graph *g = b->g;
    const node_id id = g->value[v].def;
    if (id == target)
        return true;
    if (id < target || b->seen[id] == b->stamp)
        return false;
    b->seen[id] = b->stamp;
    const struct node *n = &g->node[id];
    for (unsigned i = 0; i < n->nin; i++)
        if (reaches(b, graph_in(g, n)[i], target))
            return true;
    return false;
}

bool mb_depends(struct mb *b, value_id v, value_id on)
{
    mb_new_walk(b);
    return reaches(b, v, b->g->value[on].def);
}

static bool depends(struct mb *b, const struct val *v, value_id draw)
{
    return v->kind == VAL_TENSOR && mb_depends(b, v->v, draw);
}

static bool affine_in(int op, uint32_t i, enum step_op *step)
{
    switch (op) {
    case SX_ADD:
        *step = STEP_ADD;
        return true;
    case SX_SUB:
        *step = i ? STEP_RSUB : STEP_SUB;
        return true;
    case SX_MUL:
        *step = STEP_MUL;
        return true;
    case SX_DIV:
        *step = STEP_DIV;
        return i == 0;
    case SX_NEG:
        *step = STEP_NEG;
        return true;
    default:
        return false;
    }
}

static void add_step(struct mb *b, struct val *out, const struct track *t, struct step step)
{
    struct step *s = arena_copy(b->a, &step, sizeof step);
    s->next = t->step;
    out->track = arena_copy(b->a, t, sizeof *t);
    out->track->step = s;
}

void mb_track(struct mb *b, struct val *out, int op, struct val *const *x, uint32_t n)
{
    int best = -1;
    enum step_op step = STEP_ADD, chosen = STEP_ADD;
    for (uint32_t i = 0; i < n; i++) {
        const struct track *t = x[i]->track;
        if (x[i]->lost && !out->lost)
            out->lost = x[i]->lost;
        if (!t)
            continue;
        out->lost = sx_op_info((enum sx_op)op) ? sx_op_info((enum sx_op)op)->name : "this";
        if (!affine_in(op, i, &step) || (n == 2 && depends(b, x[1 - i], t->draw)))
            continue;
        if (best < 0 || t->serial > x[best]->track->serial) {
            best = (int)i;
            chosen = step;
        }
    }
    if (best < 0)
        return;
    out->lost = NULL;
    add_step(b, out, x[best]->track,
             (struct step){.op = chosen, .by = n == 2 ? x[1 - best] : NULL});
}

void mb_track_reshape(struct mb *b, struct val *out, const struct val *x)
{
    if (x->track && out->kind == VAL_TENSOR)
        add_step(b, out, x->track,
                 (struct step){.op = STEP_RESHAPE, .type = *graph_type(b->g, out->v)});
}

/* Replaying the steps on a value, oldest first, and on a slope. */
static bool replay(struct mb *b, const struct step *s, struct val **at, struct val **slope,
                   struct loc loc)
{
    if (!s)
        return true;
    if (!replay(b, s->next, at, slope, loc))
        return false;
    switch (s->op) {
    case STEP_ADD:
        *at = mb_ew2(b, SX_ADD, *at, s->by, loc);
        break;
    case STEP_SUB:
        *at = mb_ew2(b, SX_SUB, *at, s->by, loc);
        break;
    case STEP_RSUB:
        *at = mb_ew2(b, SX_SUB, s->by, *at, loc);
        *slope = mb_ew1(b, SX_NEG, *slope, loc);
        break;
    case STEP_MUL:
        *at = mb_ew2(b, SX_MUL, *at, s->by, loc);
        *slope = mb_ew2(b, SX_MUL, *slope, s->by, loc);
        break;
    case STEP_DIV:
        *at = mb_ew2(b, SX_DIV, *at, s->by, loc);
        *slope = mb_ew2(b, SX_DIV, *slope, s->by, loc);
        break;
    case STEP_NEG:
        *at = mb_ew1(b, SX_NEG, *at, loc);
        *slope = mb_ew1(b, SX_NEG, *slope, loc);
        break;
    case STEP_RESHAPE:
        for (unsigned i = 0; i < 2; i++) {
            struct val **p = i ? slope : at;
            if ((*p)->kind == VAL_TENSOR && graph_type(b->g, (*p)->v)->rank)
                *p = mb_tensor(b, graph_reshape(b->g, (*p)->v, &s->type));
        }
        break;
    }
    return (*at)->kind != VAL_POISON && (*slope)->kind != VAL_POISON;
}

struct val *mb_wide(struct mb *b, struct val *v, const struct type *t)
{
    if (v->kind == VAL_POISON)
        return v;
    if (v->kind == VAL_NUM)
        return mb_tensor(b, graph_map(b->g, sx_const(&b->g->sx, v->num), NULL, 0, t));
    return mb_tensor(b, mb_widen(b, mb_to_f32(b, v->v), t));
}

/* What the steps start from has the draw's shape where one of them is a reshape. */
static struct val *start(struct mb *b, const struct track *t, struct val *v)
{
    const struct type drawn = *graph_type(b->g, t->draw);
    bool arranged = v->kind == VAL_TENSOR;
    for (const struct step *s = t->step; s && !arranged; s = s->next)
        arranged = s->op == STEP_RESHAPE;
    return t->step && arranged ? mb_wide(b, v, &drawn) : v;
}

static bool has_slope(const struct step *s)
{
    while (s && (s->op == STEP_ADD || s->op == STEP_SUB || s->op == STEP_RESHAPE))
        s = s->next;
    return s != NULL;
}

/* mean and scale */
static bool moved_scale(struct mb *b, const struct track *t, struct density *d,
                        struct loc loc)
{
    for (unsigned i = 0; i < 2; i++)
        d->arg[i] = start(b, t, d->arg[i]);
    if (!replay(b, t->step, &d->arg[0], &d->arg[1], loc))
        return false;
    if (has_slope(t->step))
        d->arg[1] = mb_ew1(b, SX_ABS, d->arg[1], loc);
    return true;
}

/* low and high, which a negative slope swaps */
static bool moved_ends(struct mb *b, const struct track *t, struct density *d,
                       struct loc loc)
{
    struct val *end[2] = {start(b, t, d->arg[0]), start(b, t, d->arg[1])};
    for (unsigned i = 0; i < 2; i++) {
        struct val *one = mb_num(b, 1);
        if (!replay(b, t->step, &end[i], &one, loc))
            return false;
    }
    if (has_slope(t->step)) {
        d->arg[0] = mb_ew2(b, SX_FN_minimum, end[0], end[1], loc);
        d->arg[1] = mb_ew2(b, SX_FN_maximum, end[0], end[1], loc);
        return true;
    }
    memcpy(d->arg, end, sizeof end);
    return true;
}

static bool moved(struct mb *b, const struct track *t, struct density *d, struct loc loc)
{
    switch (d->law) {
    case LAW_NORMAL:
    case LAW_LAPLACE:
        return moved_scale(b, t, d, loc);
    case LAW_UNIFORM:
        return moved_ends(b, t, d, loc);
    case LAW_UNIFORM_INT:
    case LAW_BERNOULLI:
    case LAW_EXPONENTIAL:
    case LAW_CATEGORICAL:
    default:
        break;
    }
    if (!t->step)
        return true;
    d->shift = start(b, t, mb_num(b, 0));
    d->slope = start(b, t, mb_num(b, 1));
    return replay(b, t->step, &d->shift, &d->slope, loc);
}

bool mb_density(struct mb *b, struct val *v, struct loc loc, struct density *out)
{
    *out = (struct density){.type = type_scalar(DT_F32)};
    if (v->kind == VAL_POISON)
        return false;
    const bool node = v->kind == VAL_TENSOR && v->track;
    if (v->kind != VAL_DIST && !node) {
        diag(b->ds, E0311, loc, "no density: this is not a stochastic node");
        if (v->lost)
            diag_hint(b->ds, "it lost its distribution in `%s`: only affine maps keep it",
                      v->lost);
        else
            diag_hint(b->ds,
                      "a draw `~normal(...)`, or an affine map of one, has a density");
        return false;
    }
    const struct dist *d = node ? v->track->dist : v->dist;
    out->law = d->law;
    memcpy(out->arg, d->arg, sizeof out->arg);
    if (!node)
        return true;
    out->type = *graph_type(b->g, v->v);
    out->type.dtype = DT_F32;
    return moved(b, v->track, out, loc);
}
