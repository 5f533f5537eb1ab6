/*
 * Judging nests: scopes of axes and tiles, kinds of loops, constant indices of registers,
 * sizes. That every access stays inside its buffer and every element is stored once is
 * proved by running them (tests/prop/nest_test.c): the bounds of loops clip what the
 * indices alone would exceed.
 */
#include <string.h>

#include "codegen/loop/index.h"
#include "codegen/loop/loop.h"
#include "runtime/base/arena.h"

struct judge {
    const struct nest *n;
    struct arena *a;
    const char *why;
    int32_t hi[NEST_AXES];   /* of open unrolled and vec loops */
    uint8_t kind[NEST_AXES]; /* 1 + kind of the open loop over the axis; 0: not open */
    bool *alive;             /* by tile */
    uint64_t stack;
    bool vec; /* inside one */
};

static bool bad(struct judge *j, const char *what)
{
    if (!j->why)
        j->why = what;
    return false;
}

static bool index_ok(struct judge *j, const struct index *x)
{
    for (unsigned i = 0; i < x->n; i++) {
        if (x->t[i].axis >= j->n->naxis || !j->kind[x->t[i].axis])
            return bad(j, "an index over an axis that is not open");
        if (x->t[i].div < 1 || x->t[i].mod < 0)
            return bad(j, "a digit without a divisor");
    }
    return x->scalar <= j->n->nscalar || bad(j, "an index reads a scalar out of range");
}

static bool guards_ok(struct judge *j, const struct guard *g, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!index_ok(j, &g[i].index))
            return false;
    return true;
}

static bool tile_ok(struct judge *j, uint16_t id, const struct index *x)
{
    if (id >= j->n->ntile || !j->alive[id])
        return bad(j, "a tile that is not alive");
    const struct tile *t = &j->n->tile[id];
    if (t->space != TILE_REG)
        return true;
    int64_t size = 1, first = x->off.c, last = x->off.c;
    for (unsigned i = 0; i < t->rank; i++)
        size *= t->dim[i];
    for (unsigned i = 0; i < x->n; i++) {
        uint8_t kind = j->kind[x->t[i].axis];
        if ((kind != 1 + FOR_UNROLL && kind != 1 + FOR_VEC) || x->t[i].div != 1 ||
            x->t[i].mod || x->t[i].coef.b)
            return bad(j, "a register tile indexed by something that runs");
        int64_t most = (int64_t)x->t[i].coef.c * (j->hi[x->t[i].axis] - 1);
        *(most < 0 ? &first : &last) += most;
    }
    if (x->off.b || x->scalar || first < 0 || last >= size)
        return bad(j, "a register tile is left");
    return true;
}

static bool expr_ok(struct judge *j, const struct stmt *st, sx_id e)
{
    const struct sxb *b = &j->n->sx;
    sx_id *order;
    uint32_t n = sx_postorder(b, &e, 1, j->a, &order);
    for (uint32_t i = 0; i < n; i++) {
        const struct sx_node *x = &b->node[order[i]];
        if (x->op == SX_ARG && x->a >= st->nload)
            return bad(j, "an operand out of range");
        if (x->op == SX_SCALAR && x->a >= j->n->nscalar)
            return bad(j, "a scalar out of range");
        if (x->op == SX_AXIS && (x->a >= j->n->naxis || !j->kind[x->a]))
            return bad(j, "an axis that is not open");
        if (x->op == SX_RNG &&
            (x->a >= j->n->nrng || !index_ok(j, &j->n->rng[x->a].sample)))
            return bad(j, "a draw out of range");
    }
    return true;
}

/* By a load before it, of an i32; tiles are not picked from. */
static bool pick_ok(struct judge *j, const struct stmt *st, const struct pick *p, bool tile,
                    uint32_t before)
{
    if (!p->from)
        return true;
    if (tile || p->from > before || p->coef.c < 0 || p->coef.b < 0)
        return bad(j, "a pick from a tile, backwards, or by a load not before it");
    const struct nload *l = &st->load[p->from - 1];
    const uint8_t dtype = l->tile ? j->n->tile[l->id].dtype : j->n->buf[l->id].dtype;
    return dtype == DT_I32 || bad(j, "a pick by something that is no i32");
}

static bool value_ok(struct judge *j, const struct stmt *st)
{
    for (uint32_t i = 0; i < st->nload; i++) {
        const struct nload *l = &st->load[i];
        if (!index_ok(j, &l->index) || !guards_ok(j, l->guard, l->nguard))
            return false;
        if (l->tile ? !tile_ok(j, l->id, &l->index) : l->id >= j->n->nbuf)
            return bad(j, "a buffer out of range");
        if (!pick_ok(j, st, &l->pick, l->tile, i))
            return false;
    }
    if (!pick_ok(j, st, &st->pick, st->dst_tile, st->nload))
        return false;
    if (!index_ok(j, &st->index) || !st->value)
        return bad(j, "a statement without a value");
    if (st->dst_tile ? !tile_ok(j, st->dst, &st->index) : st->dst >= j->n->nbuf)
        return bad(j, "a buffer out of range");
    if (!st->dst_tile && j->n->buf[st->dst].use == BUF_READ)
        return bad(j, "a store to a buffer that is only read");
    return expr_ok(j, st, st->value) && (!st->value2 || expr_ok(j, st, st->value2));
}

static bool stmt_ok(struct judge *j, const struct stmt *st, unsigned depth);

/* Registers need no fetching. */
static bool fetch_ok(struct judge *j, const struct stmt *st)
{
    const struct nest *n = j->n;
    const bool there = st->dst_tile ? st->dst < n->ntile && j->alive[st->dst] &&
                                          n->tile[st->dst].space == TILE_STACK
                                    : st->dst < n->nbuf;
    return (there && index_ok(j, &st->index)) || bad(j, "a fetch of nothing in memory");
}

static bool for_ok(struct judge *j, const struct stmt *f, unsigned depth)
{
    bool constant = f->lo.n == 0 && f->hi.n == 0 && !f->hi.off.b && !f->hi.scalar;
    if (f->axis >= j->n->naxis || j->kind[f->axis])
        return bad(j, "a loop over an axis that is open already");
    if ((f->kind == FOR_GRID) != (depth == 0) || f->step < 1 || f->bound_div < 1)
        return bad(j, "a grid inside, or a step of nothing");
    if (!index_ok(j, &f->lo) || !index_ok(j, &f->hi))
        return false;
    if ((f->kind == FOR_UNROLL || f->kind == FOR_VEC) &&
        (!constant || f->step != 1 || f->hi.off.c < 1 || f->hi.off.c > 64))
        return bad(j, "an unrolled loop without a constant length");
    if (j->vec)
        return bad(j, "a loop inside a vec");
    j->kind[f->axis] = (uint8_t)(1 + f->kind);
    j->hi[f->axis] = f->hi.off.c;
    j->vec = f->kind == FOR_VEC;
    bool *alive = arena_copy(j->a, j->alive, j->n->ntile * sizeof *alive);
    bool ok = guards_ok(j, f->guard, f->nguard);
    for (uint32_t i = 0; ok && i < f->nbody; i++)
        ok = stmt_ok(j, f->body[i], depth + 1);
    memcpy(j->alive, alive, j->n->ntile * sizeof *alive);
    j->kind[f->axis] = 0;
    j->vec = false;
    return ok;
}

static bool stmt_ok(struct judge *j, const struct stmt *st, unsigned depth)
{
    switch (st->op) {
    case S_FOR:
        return for_ok(j, st, depth);
    case S_TILE:
        if (st->tile >= j->n->ntile || j->vec)
            return bad(j, "a tile out of range, or inside a vec");
        j->alive[st->tile] = true;
        if (j->n->tile[st->tile].space == TILE_STACK) {
            const struct tile *t = &j->n->tile[st->tile];
            uint64_t bytes = t->dtype == DT_BOOL ? 1 : 4;
            for (unsigned i = 0; i < t->rank; i++)
                bytes *= (uint64_t)t->dim[i];
            j->stack += (bytes + 63) & ~(uint64_t)63;
        }
        return true;
    case S_FETCH:
        return fetch_ok(j, st);
    default:
        return value_ok(j, st);
    }
}

/* ---- what is read and written ---- */

static void add_access(const struct stmt *st, uint8_t *access)
{
    if (st->op == S_FOR) {
        for (uint32_t i = 0; i < st->nbody; i++)
            add_access(st->body[i], access);
        return;
    }
    if (st->op != S_SET && st->op != S_ACC)
        return;
    for (uint32_t i = 0; i < st->nload; i++)
        if (!st->load[i].tile && !(access[st->load[i].id] & NEST_WRITES))
            access[st->load[i].id] |= NEST_READS;
    if (st->dst_tile)
        return;
    if (st->op == S_ACC && !(access[st->dst] & NEST_WRITES))
        access[st->dst] |= NEST_READS;
    access[st->dst] |= NEST_WRITES;
}

void nest_access(const struct nest *n, uint8_t *access)
{
    for (uint32_t i = 0; i < n->nbuf; i++)
        access[i] = 0;
    for (uint32_t i = 0; i < n->nstage; i++)
        add_access(n->stage[i].root, access);
}

const char *nest_validate(const struct nest *n, struct arena *a)
{
    struct judge j = {.n = n, .a = a, .alive = arena_array(a, n->ntile + 1, sizeof(bool))};
    for (uint32_t i = 0; i < n->nbuf; i++)
        if (n->buf[i].watched && (n->buf[i].use == BUF_READ || n->buf[i].dtype != DT_F32))
            return "a watched buffer that is not stored to, or no floats";
    for (uint32_t i = 0; i < n->nbuf; i++)
        if (n->buf[i].far && n->buf[i].use == BUF_READ_WRITE)
            return "a far buffer that is read and written";
    for (uint32_t i = 0; i < n->ntile; i++)
        for (unsigned d = 0; d < n->tile[i].rank; d++)
            if (n->tile[i].dim[d] < 1)
                return "a tile of nothing";
    for (uint32_t i = 0; i < n->nstage; i++) {
        j.stack = 0;
        memset(j.alive, 0, n->ntile * sizeof *j.alive);
        if (!n->stage[i].root || n->stage[i].units_div < 1 || n->stage[i].units_times < 1)
            return "a stage without a root";
        if (!stmt_ok(&j, n->stage[i].root, 0))
            return j.why;
        if (j.stack > n->stage[i].stack_bytes)
            return "stack tiles larger than what the stage asks for";
    }
    return NULL;
}
