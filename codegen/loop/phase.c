/*
 * Windows come in pieces: the same stages for every phase of a stride.  Neighbouring pieces
 * that differ by constants only become one, with an axis of extent 2 more, and what was c
 * in one and c + d in the other is c + d * axis.  So their values can be stored side by
 * side, as they lie in the image, and not every second one.
 */
#include <string.h>

#include "codegen/loop/sched.h"

struct joining {
    struct kernel *k; /* the new one */
    const struct kernel *from;
    uint32_t len;  /* stages of a piece */
    uint8_t phase; /* the new axis */
    bool *moves;   /* by new stage: its value depends on it */
    bool near;     /* some store moves by one element along it */
    bool ok;
};

/* ---- one thing of two ---- */

static struct index join_index(struct joining *j, const struct index *x,
                               const struct index *y, bool *moves)
{
    struct index r = *x, rest = *y;
    const int32_t d = y->off.c - x->off.c;
    rest.off = x->off;
    j->ok &= index_equal(x, &rest) && x->off.b == y->off.b && x->n < LOOP_TERMS;
    if (j->ok && d) {
        index_term(&r, (struct term){j->phase, 1, 0, {d, 0}});
        *moves = true;
    }
    return r;
}

/* x without the whole number that it ends in. */
static sx_id split_number(const struct sxb *b, sx_id x, int32_t *number)
{
    const struct sx_node n = b->node[x];
    *number = 0;
    if (n.op != SX_IADD || n.type != SX_I32)
        return x;
    for (unsigned i = 0; i < 2; i++) {
        const struct sx_node k = b->node[i ? n.a : n.b];
        if (k.op == SX_K && k.type == SX_I32) {
            *number = (int32_t)k.a;
            return i ? n.b : n.a;
        }
    }
    return x;
}

static sx_id join_expr(struct joining *j, sx_id x, sx_id y, bool *moves);

static sx_id join_numbers(struct joining *j, sx_id x, int32_t c, int32_t d, bool *moves)
{
    struct sxb *b = &j->k->sx;
    const sx_id step = sx_make(b, SX_IMUL, sx_axis(b, j->phase), sx_int(b, d), 0);
    *moves |= d != 0;
    x = x ? sx_make(b, SX_IADD, x, sx_int(b, c), 0) : sx_int(b, c);
    return d ? sx_make(b, SX_IADD, x, step, 0) : x;
}

static sx_id join_operands(struct joining *j, sx_id x, sx_id y, bool swap, bool *moves)
{
    struct sxb *b = &j->k->sx;
    const struct sx_node p = b->node[x], q = b->node[y];
    const unsigned arity = sx_op_info(p.op)->arity;
    const sx_id in[3] = {arity > 0 ? join_expr(j, p.a, swap ? q.b : q.a, moves) : 0,
                         arity > 1 ? join_expr(j, p.b, swap ? q.a : q.b, moves) : 0,
                         arity > 2 ? join_expr(j, p.c, q.c, moves) : 0};
    return j->ok ? sx_make(b, p.op, in[0], in[1], in[2]) : x;
}

/* An expression whose whole numbers differ, as elements of draws do. */
static sx_id join_expr(struct joining *j, sx_id x, sx_id y, bool *moves)
{
    struct sxb *b = &j->k->sx;
    int32_t c, d;
    if (x == y || !j->ok)
        return x;
    const sx_id bx = split_number(b, x, &c), by = split_number(b, y, &d);
    if (bx != x || by != y)
        return join_numbers(j, join_expr(j, bx, by, moves), c, d - c, moves);
    const struct sx_node p = b->node[x], q = b->node[y];
    const struct sx_info *info = sx_op_info(p.op);
    j->ok = x && y && p.op == q.op && p.type == q.type;
    if (j->ok && p.op == SX_K && p.type == SX_I32)
        return join_numbers(j, 0, (int32_t)p.a, (int32_t)(q.a - p.a), moves);
    if (j->ok && p.op == SX_RNG && p.a == q.a)
        return sx_rng(b, p.a, join_expr(j, p.b, q.b, moves));
    j->ok = j->ok && info;
    if (!j->ok)
        return x;
    const sx_id r = join_operands(j, x, y, false, moves);
    if (j->ok || !info->commutative)
        return r;
    j->ok = true; /* they are sorted by structure, and theirs differs */
    return join_operands(j, x, y, true, moves);
}

/* Stages are read within their piece. */
static void join_operand(struct joining *j, uint32_t first, const struct koperand *x,
                         const struct koperand *y, struct koperand *out, bool *moves)
{
    *out = *x;
    j->ok &= x->stage == y->stage && !x->pick.from && !y->pick.from &&
             x->nguard == y->nguard && x->id + (x->stage ? j->len : 0U) == y->id;
    if (!j->ok)
        return;
    if (x->stage) {
        j->ok = x->id >= first && x->id < first + j->len;
        out->id = (uint16_t)(first / 2 + x->id - first);
        *moves |= j->ok && j->moves[out->id];
        return;
    }
    out->index = join_index(j, &x->index, &y->index, moves);
    out->guard = arena_array(j->k->arena, x->nguard + 1U, sizeof *out->guard);
    for (unsigned i = 0; i < x->nguard; i++) {
        j->ok &= ext_eq(x->guard[i].bound, y->guard[i].bound);
        out->guard[i].bound = x->guard[i].bound;
        out->guard[i].index = join_index(j, &x->guard[i].index, &y->guard[i].index, moves);
    }
}

static bool same_kind(const struct kstage *x, const struct kstage *y)
{
    bool same = x->op == y->op && x->order == y->order && x->dtype == y->dtype &&
                x->chunk == y->chunk && x->naxis == y->naxis && x->nseg == y->nseg &&
                x->noperand == y->noperand && x->nstore == y->nstore &&
                !memcmp(x->axis, y->axis, x->naxis) && (x->op == K_MAP || x->op == K_SUM) &&
                x->naxis < LOOP_AXES;
    for (uint32_t i = 0; same && i < x->nseg; i++)
        same = x->seg[i].nred == y->seg[i].nred &&
               !memcmp(x->seg[i].red, y->seg[i].red, x->seg[i].nred);
    return same;
}

static void join_segments(struct joining *j, const struct kstage *x, const struct kstage *y,
                          struct kstage *out, bool *moves)
{
    out->seg = arena_copy(j->k->arena, x->seg, x->nseg * sizeof *x->seg);
    for (uint32_t i = 0; i < x->nseg && j->ok; i++)
        for (unsigned w = 0; w < 2; w++)
            out->seg[i].factor[w] =
                join_expr(j, x->seg[i].factor[w], y->seg[i].factor[w], moves);
}

static void join_stage(struct joining *j, uint32_t first, uint32_t i)
{
    const struct kstage *x = &j->from->stage[first + i], *y = x + j->len;
    struct kstage *out = &j->k->stage[first / 2 + i];
    bool moves = false;
    *out = *x;
    if (!(j->ok = same_kind(x, y)))
        return;
    out->operand = arena_array(j->k->arena, x->noperand + 1, sizeof *out->operand);
    out->store = arena_copy(j->k->arena, x->store, x->nstore * sizeof *x->store);
    for (uint32_t o = 0; o < x->noperand && j->ok; o++)
        join_operand(j, first, &x->operand[o], &y->operand[o], &out->operand[o], &moves);
    for (uint32_t o = 0; o < x->nstore && j->ok; o++) {
        const int32_t d = y->store[o].index.off.c - x->store[o].index.off.c;
        j->ok &= x->store[o].buf == y->store[o].buf && d != 0;
        j->near |= d == 1 || d == -1;
        out->store[o].index = join_index(j, &x->store[o].index, &y->store[o].index, &moves);
    }
    join_segments(j, x, y, out, &moves);
    if (j->ok)
        out->value = join_expr(j, x->value, y->value, &moves);
    j->moves[first / 2 + i] = moves;
}

/* ---- a kernel ---- */

/* What is updated in place is read where it is stored. */
static bool reads_its_own(const struct kernel *k, uint16_t buf, const struct index *at)
{
    for (uint32_t i = 0; i < k->nstage; i++)
        for (uint32_t o = 0; o < k->stage[i].noperand; o++) {
            const struct koperand *p = &k->stage[i].operand[o];
            if (!p->stage && p->id == buf && !index_equal(&p->index, at))
                return false;
        }
    return true;
}

static bool is_in_place(const struct kernel *k)
{
    for (uint32_t i = 0; i < k->nstage; i++)
        for (uint32_t o = 0; o < k->stage[i].nstore; o++)
            if (!reads_its_own(k, k->stage[i].store[o].buf, &k->stage[i].store[o].index))
                return false;
    return true;
}

/* Innermost where a store moves by one element along it; else outermost. */
static void add_phase(struct joining *j)
{
    for (uint32_t i = 0; i < j->k->nstage; i++) {
        struct kstage *s = &j->k->stage[i];
        if (!j->moves[i])
            continue;
        if (!j->near)
            memmove(s->axis + 1, s->axis, s->naxis);
        s->axis[j->near ? s->naxis : 0] = j->phase;
        s->naxis++;
    }
}

/* Every second piece into the one before it; NULL: they do not go together. */
static const struct kernel *join(const struct kernel *from, uint32_t len, struct arena *a)
{
    struct kernel *k = arena_copy(a, from, sizeof *from);
    struct joining j = {.k = k, .from = from, .len = len, .phase = from->naxis, .ok = true};
    if (from->naxis == LOOP_AXES)
        return NULL;
    k->arena = a;
    k->sx = sx_copy(&from->sx, a);
    k->axis[k->naxis] = ext_const(2);
    k->axis_name[k->naxis++] = '?';
    k->nstage = from->nstage / 2;
    k->stage = arena_array(a, k->nstage, sizeof *k->stage);
    j.moves = arena_array(a, k->nstage, sizeof *j.moves);
    for (uint32_t first = 0; first < from->nstage && j.ok; first += 2 * len)
        for (uint32_t i = 0; i < len && j.ok; i++)
            join_stage(&j, first, i);
    if (!j.ok || !is_in_place(k))
        return NULL;
    add_phase(&j);
    return k;
}

/* Of sums that are no products the phases are summed side by side as they are.  Maps before
 * the first are computed by it. */
static bool begins_with_product(const struct kernel *k)
{
    const struct kstage *s = k->stage, *end = s + k->nstage;
    while (s < end && s->op == K_MAP && !s->nstore)
        s++;
    for (uint32_t i = 0; s < end && i < s->nseg; i++)
        if (!s->seg[i].factor[1])
            return false;
    return s < end && s->op == K_SUM;
}

const struct kernel *kernel_phases(const struct kernel *k, struct arena *a)
{
    if (!begins_with_product(k))
        return k;
    for (uint32_t pieces = 4; pieces > 1; pieces /= 2) {
        const struct kernel *joined =
            k->nstage % pieces ? NULL : join(k, k->nstage / pieces, a);
        k = joined ? joined : k;
    }
    return k;
}
