/*
 * Judging kernels: ids and axes in range, operands at the same point, expressions over what
 * there is, indices inside their buffers at several batches (the extremes of an affine
 * index suffice), uses as the stores say.
 */
#include <stdint.h>

#include "codegen/loop/index.h"
#include "codegen/loop/loop.h"
#include "runtime/base/arena.h"

struct judge {
    const struct kernel *k;
    struct arena *a;
    const struct kstage *s;
    uint32_t id;
    uint32_t axes; /* of the point where operands are read */
    const char *why;
};

static bool bad(struct judge *j, const char *what)
{
    if (!j->why)
        j->why = arena_fmt(j->a, "stage %u: %s", j->id, what);
    return false;
}

static bool add_axes(struct judge *j, const uint8_t *axis, unsigned n, uint32_t *set)
{
    for (unsigned i = 0; i < n; i++) {
        if (axis[i] >= j->k->naxis)
            return bad(j, "an axis out of range");
        if (*set >> axis[i] & 1)
            return bad(j, "an axis twice");
        *set |= 1U << axis[i];
    }
    return true;
}

/* Smallest and largest value over the whole box. */
static void extremes(const struct judge *j, const struct index *x, int64_t batch,
                     int64_t *lo, int64_t *hi)
{
    *lo = *hi = ext_at(x->off, batch);
    for (unsigned i = 0; i < x->n; i++) {
        const struct term *t = &x->t[i];
        int64_t last = ext_at(j->k->axis[t->axis], batch) - 1, c = ext_at(t->coef, batch);
        last = last < 0 ? 0 : last / t->div;
        if (t->mod && last >= t->mod)
            last = t->mod - 1;
        *(c < 0 ? lo : hi) += c * last;
    }
}

static bool empty(const struct judge *j, int64_t batch)
{
    for (unsigned i = 0; i < j->k->naxis; i++)
        if ((j->axes >> i & 1) && ext_at(j->k->axis[i], batch) <= 0)
            return true;
    return false;
}

static const int64_t batches[] = {0, 1, 5, 6, 7, 23, 24, 25, 97};

/* How far data may move an index; -1: nothing is read. */
static double reach(const struct pick *p, int64_t batch)
{
    if (!p || !p->from)
        return 0;
    const double last = (double)ext_at(p->bound, batch) - 1;
    return last < 0 ? -1 : last * (double)ext_at(p->coef, batch);
}

/* `pick`: what data add to the index, or NULL. */
static bool index_fits(struct judge *j, const struct index *x, uint16_t buf,
                       const struct pick *pick)
{
    for (unsigned i = 0; i < x->n; i++) {
        if (x->t[i].axis >= j->k->naxis || !(j->axes >> x->t[i].axis & 1))
            return bad(j, "an index walks an axis that is not there");
        if (x->t[i].div < 1 || x->t[i].mod < 0)
            return bad(j, "a digit without a divisor");
    }
    if (x->scalar > j->k->nscalar)
        return bad(j, "an index reads a scalar out of range");
    for (unsigned b = 0; b < sizeof batches / sizeof *batches && !x->scalar; b++) {
        int64_t lo, hi, n = 1;
        for (unsigned d = 0; d < j->k->buf[buf].rank; d++)
            n *= ext_at(j->k->buf[buf].dim[d], batches[b]);
        extremes(j, x, batches[b], &lo, &hi);
        const double more = reach(pick, batches[b]);
        if (!empty(j, batches[b]) && more >= 0 &&
            (lo < 0 || (double)hi + more >= (double)n))
            return bad(j, arena_fmt(j->a, "buffer %u is left at batch %d", (unsigned)buf,
                                    (int)batches[b]));
    }
    return true;
}

static bool is_i32(const struct judge *j, const struct koperand *p)
{
    if (p->stage)
        return p->id < j->id && j->k->stage[p->id].dtype == DT_I32;
    return p->id < j->k->nbuf && j->k->buf[p->id].dtype == DT_I32 && !p->pick.from;
}

static bool pick_fits(struct judge *j, const struct koperand *p, uint32_t number)
{
    if (j->s->op != K_MAP || p->pick.from > number)
        return bad(j, "an operand picks by one that is not before it, or in no map");
    if ((p->pick.coef.b && p->pick.bound.b) || p->pick.coef.c < 0 || p->pick.coef.b < 0)
        return bad(j, "a pick whose reach is no extent");
    if (!is_i32(j, &j->s->operand[p->pick.from - 1]))
        return bad(j, "an operand picks by something that is no i32");
    return p->nguard || index_fits(j, &p->index, p->id, &p->pick);
}

static bool operand_fits(struct judge *j, uint32_t number)
{
    const struct koperand *p = &j->s->operand[number];
    if (!p->stage && p->id >= j->k->nbuf)
        return bad(j, "a buffer out of range");
    if (!p->stage && p->pick.from)
        return pick_fits(j, p, number) && operand_fits(j, p->pick.from - 1U);
    if (!p->stage)
        return p->nguard || index_fits(j, &p->index, p->id, NULL);
    if (p->id >= j->id)
        return bad(j, "reads a stage that is not before it");
    const struct kstage *q = &j->k->stage[p->id];
    for (unsigned i = 0; i < q->naxis; i++)
        if (!(j->axes >> q->axis[i] & 1))
            return bad(j, "reads a stage at a point it has not");
    return true;
}

static bool expr_fits(struct judge *j, sx_id e)
{
    const struct sxb *b = &j->k->sx;
    sx_id *order;
    uint32_t n = sx_postorder(b, &e, 1, j->a, &order);
    for (uint32_t i = 0; i < n; i++) {
        const struct sx_node *x = &b->node[order[i]];
        if (x->op == SX_ARG && x->a >= j->s->noperand)
            return bad(j, "an operand out of range");
        if (x->op == SX_SCALAR && x->a >= j->k->nscalar)
            return bad(j, "a scalar out of range");
        if (x->op == SX_RNG && x->a >= j->k->nrng)
            return bad(j, "a draw out of range");
        if (x->op == SX_AXIS && (x->a >= j->k->naxis || !(j->axes >> x->a & 1)))
            return bad(j, "an axis that is not there");
    }
    return true;
}

static bool part_fits(struct judge *j, const uint8_t *red, unsigned nred, const sx_id *e,
                      unsigned ne)
{
    uint32_t space = j->axes;
    bool ok = add_axes(j, red, nred, &j->axes);
    for (unsigned i = 0; ok && i < ne; i++) {
        ok = expr_fits(j, e[i]);
        for (uint32_t o = 0; ok && o < j->s->noperand; o++)
            ok = !sx_uses_arg(&j->k->sx, e[i], o) || operand_fits(j, o);
    }
    j->axes = space;
    return ok;
}

static bool sum_fits(struct judge *j)
{
    const struct kstage *s = j->s;
    if (s->nseg == 0 || (s->order == ORDER_LANES && s->nseg != 1))
        return bad(j, "a sum of no segment, or by lanes of several");
    if (s->order == ORDER_CHUNK && (s->chunk == 0 || s->nseg > 8))
        return bad(j, "a sum in chunks of nothing, or of too many segments");
    for (uint32_t i = 0; i < s->nseg; i++)
        if (!s->seg[i].factor[0] ||
            !part_fits(j, s->seg[i].red, s->seg[i].nred, s->seg[i].factor,
                       s->seg[i].factor[1] ? 2 : 1))
            return bad(j, "a segment without a factor");
    return true;
}

static bool walks(const struct koperand *p, const struct kernel *k, uint8_t axis)
{
    const struct kstage *q = p->stage ? &k->stage[p->id] : NULL;
    for (unsigned i = 0; q && i < q->naxis; i++)
        if (q->axis[i] == axis)
            return true;
    for (unsigned i = 0; i < p->nguard; i++)
        if (index_uses(&p->guard[i].index, axis))
            return true;
    return !q && index_uses(&p->index, axis);
}

/* Destinations are walked plainly along the axis that data decide. */
static bool scatter_stores_fit(struct judge *j)
{
    const struct kstage *s = j->s;
    for (uint32_t i = 0; i < s->nstore; i++) {
        bool plain;
        index_coef(&s->store[i].index, s->along, &plain);
        if (!plain)
            return bad(j, "a scatter's store takes digits of its axis");
        for (uint32_t o = 0; o < s->noperand; o++)
            if (!s->operand[o].stage && s->operand[o].id == s->store[i].buf)
                return bad(j, "a scatter reads what it stores to");
    }
    return true;
}

static bool scatter_fits(struct judge *j)
{
    const struct kstage *s = j->s;
    if (s->along >= j->k->naxis || !(j->axes >> s->along & 1) || s->at >= s->noperand ||
        s->dtype != DT_F32 || j->k->sx.node[s->value].type != SX_FLOAT ||
        !is_i32(j, &s->operand[s->at]))
        return bad(j, "a scatter along no axis, at no i32, or of no floats");
    for (uint32_t o = 0; o < s->noperand; o++)
        if (walks(&s->operand[o], j->k, s->along))
            return bad(j, "a scatter's operand walks its axis");
    const uint32_t space = j->axes;
    bool ok = add_axes(j, s->red, s->nred, &j->axes) && operand_fits(j, s->at);
    j->axes = space;
    return ok && scatter_stores_fit(j);
}

/* Of all operands, those too that no expression reads. */
static bool operands_exist(struct judge *j)
{
    for (uint32_t o = 0; o < j->s->noperand; o++) {
        const struct koperand *p = &j->s->operand[o];
        if (p->id >= (p->stage ? j->id : j->k->nbuf))
            return bad(j, "reads a stage that is not before it, or a buffer out of range");
    }
    return true;
}

static bool stores_fit(struct judge *j)
{
    const struct kstage *s = j->s;
    for (uint32_t i = 0; i < s->nstore; i++) {
        const struct kstore *t = &s->store[i];
        if (t->buf >= j->k->nbuf || !index_fits(j, &t->index, t->buf, NULL))
            return bad(j, "a buffer out of range");
        if (j->k->buf[t->buf].use == BUF_READ || j->k->buf[t->buf].dtype != s->dtype)
            return bad(j, "stores to a buffer of another use or type");
        for (uint32_t r = j->id + 1; r < j->k->nstage; r++)
            for (uint32_t o = 0; o < j->k->stage[r].noperand; o++)
                if (!j->k->stage[r].operand[o].stage &&
                    j->k->stage[r].operand[o].id == t->buf)
                    return bad(j, "a later stage reads the buffer it stores to");
    }
    return true;
}

static bool stage_fits(struct judge *j)
{
    const struct kstage *s = j->s;
    j->axes = 0;
    if (s->op > K_SCATTER || s->dtype > DT_BOOL || s->naxis > LOOP_AXES ||
        !add_axes(j, s->axis, s->naxis, &j->axes))
        return bad(j, "no such stage");
    if (!operands_exist(j))
        return false;
    if (s->op == K_SUM)
        return sum_fits(j) && stores_fit(j);
    if (!s->value)
        return bad(j, "no value");
    if (s->op == K_SCATTER && !scatter_fits(j))
        return false;
    return part_fits(j, s->red, s->op == K_MAP ? 0 : s->nred, &s->value, 1) &&
           stores_fit(j);
}

static bool buffers_fit(struct judge *j)
{
    for (uint32_t i = 0; i < j->k->nbuf; i++) {
        bool stored = false, read = false;
        for (uint32_t s = 0; s < j->k->nstage; s++) {
            const struct kstage *k = &j->k->stage[s];
            for (uint32_t o = 0; o < k->nstore; o++)
                stored |= k->store[o].buf == i;
            for (uint32_t o = 0; o < k->noperand; o++)
                read |= !k->operand[o].stage && k->operand[o].id == i;
        }
        uint8_t use = j->k->buf[i].use;
        const bool watched_wrongly =
            j->k->buf[i].watched && (use == BUF_READ || j->k->buf[i].dtype != DT_F32);
        const bool far_wrongly = j->k->buf[i].far && use == BUF_READ_WRITE;
        if (stored != (use != BUF_READ) || (read && use == BUF_WRITE) || watched_wrongly ||
            far_wrongly) {
            j->why = arena_fmt(j->a, "buffer %u: not used as declared", i);
            return false;
        }
    }
    return true;
}

static bool extent_ok(struct ext e)
{
    return e.c >= 0 && e.b >= 0 && e.c + (int64_t)e.b > 0 && e.c <= 1 << 30 &&
           e.b <= 1 << 30;
}

/* Extents that count something, of boxes and buffers whose size is a number (at a batch of
 * 1024). */
static const char *extents_fit(const struct kernel *k)
{
    double box = 1;
    if (k->naxis > LOOP_AXES)
        return "too many axes";
    for (unsigned i = 0; i < k->naxis; i++) {
        if (!extent_ok(k->axis[i]))
            return "an axis of no extent";
        box *= (double)ext_at(k->axis[i], 1024);
    }
    for (uint32_t b = 0; b < k->nbuf; b++) {
        double n = 1;
        if (k->buf[b].rank > HYP_RANK || k->buf[b].div > 1 || k->buf[b].div < 0)
            return "a buffer of no shape";
        for (unsigned i = 0; i < k->buf[b].rank; i++) {
            if (!extent_ok(k->buf[b].dim[i]))
                return "a buffer of no extent";
            n *= (double)ext_at(k->buf[b].dim[i], 1024);
        }
        if (n > 1e15)
            return "a buffer too large";
    }
    return box > 1e15 ? "a box too large" : NULL;
}

const char *kernel_validate(const struct kernel *k, struct arena *a)
{
    struct judge j = {.k = k, .a = a};
    const char *why = extents_fit(k);
    if (why)
        return why;
    for (uint32_t i = 0; i < k->nrng; i++)
        if (k->rng[i].scalar + 4U > k->nscalar || k->rng[i].sample_axis >= k->naxis)
            return "a draw out of range";
    for (j.id = 0; j.id < k->nstage; j.id++) {
        j.s = &k->stage[j.id];
        if (!stage_fits(&j))
            return j.why;
    }
    return buffers_fit(&j) ? NULL : j.why;
}
