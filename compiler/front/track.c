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

/* Replaying the steps on a value, oldest first, and on a slope: with its sign, or of a
 * scale its size. */
struct replay {
    struct val *at, *slope;
    bool is_scale;
};

static struct val *factor(struct mb *b, const struct replay *r, struct val *by,
                          struct loc loc)
{
    return r->is_scale ? mb_ew1(b, SX_ABS, by, loc) : by;
}

static void turned(struct mb *b, struct replay *r, struct loc loc)
{
    if (!r->is_scale)
        r->slope = mb_ew1(b, SX_NEG, r->slope, loc);
}

static void rearranged(struct mb *b, struct val **v, const struct type *t)
{
    if ((*v)->kind == VAL_TENSOR && graph_type(b->g, (*v)->v)->rank)
        *v = mb_tensor(b, graph_reshape(b->g, (*v)->v, t));
}

static bool replay(struct mb *b, const struct step *s, struct replay *r, struct loc loc)
{
    if (!s)
        return true;
    if (!replay(b, s->next, r, loc))
        return false;
    switch (s->op) {
    case STEP_ADD:
        r->at = mb_ew2(b, SX_ADD, r->at, s->by, loc);
        break;
    case STEP_SUB:
        r->at = mb_ew2(b, SX_SUB, r->at, s->by, loc);
        break;
    case STEP_RSUB:
        r->at = mb_ew2(b, SX_SUB, s->by, r->at, loc);
        turned(b, r, loc);
        break;
    case STEP_MUL:
    case STEP_DIV: {
        const int op = s->op == STEP_MUL ? SX_MUL : SX_DIV;
        r->at = mb_ew2(b, op, r->at, s->by, loc);
        r->slope = mb_ew2(b, op, r->slope, factor(b, r, s->by, loc), loc);
        break;
    }
    case STEP_NEG:
        r->at = mb_ew1(b, SX_NEG, r->at, loc);
        turned(b, r, loc);
        break;
    case STEP_RESHAPE:
        rearranged(b, &r->at, &s->type);
        rearranged(b, &r->slope, &s->type);
        break;
    }
    return r->at->kind != VAL_POISON && r->slope->kind != VAL_POISON;
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
    struct replay r = {start(b, t, d->arg[0]), start(b, t, d->arg[1]), true};
    if (!replay(b, t->step, &r, loc))
        return false;
    d->arg[0] = r.at;
    d->arg[1] = r.slope;
    return true;
}

/* low and high, which a negative slope swaps */
static bool moved_ends(struct mb *b, const struct track *t, struct density *d,
                       struct loc loc)
{
    struct val *end[2] = {start(b, t, d->arg[0]), start(b, t, d->arg[1])};
    for (unsigned i = 0; i < 2; i++) {
        struct replay r = {end[i], mb_num(b, 1), true};
        if (!replay(b, t->step, &r, loc))
            return false;
        end[i] = r.at;
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
    struct replay r = {start(b, t, mb_num(b, 0)), start(b, t, mb_num(b, 1)), false};
    if (!replay(b, t->step, &r, loc))
        return false;
    d->shift = r.at;
    d->slope = r.slope;
    return true;
}

static struct ext elements(const struct type *t)
{
    struct ext n = ext_const(1);
    for (unsigned i = 0; i < t->rank; i++)
        n = t->dim[i].b ? (struct ext){n.c * t->dim[i].c, n.c * t->dim[i].b}
                        : (struct ext){n.c * t->dim[i].c, n.b * t->dim[i].c};
    return n;
}

/* Parameters as wide as the node, so that sums over units count all of it.  Those of a
 * categorical have the classes as a further axis and are as wide as they are. */
static bool filled_out(struct mb *b, const struct track *t, struct density *d)
{
    struct type drawn = *graph_type(b->g, t->draw);
    drawn.dtype = DT_F32;
    const bool arranged =
        !mb_same_shape(&drawn, &d->type) && ext_eq(elements(&drawn), elements(&d->type));
    if (d->law == LAW_CATEGORICAL)
        return !arranged;
    for (unsigned i = 0; i < 2 && d->arg[i]; i++) {
        if (d->arg[i]->kind == VAL_POISON)
            return true;
        if (!d->slope || !arranged) {
            d->arg[i] = mb_wide(b, d->arg[i], &d->type);
            continue;
        }
        const struct val *wide = mb_wide(b, d->arg[i], &drawn);
        const value_id v = graph_reshape(b->g, wide->v, &d->type);
        if (!v)
            return false;
        d->arg[i] = mb_tensor(b, v);
    }
    return true;
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
    if (!moved(b, v->track, out, loc))
        return false;
    if (filled_out(b, v->track, out))
        return true;
    diag(b->ds, E0311, loc, "no density: this draw has been rearranged");
    return false;
}
