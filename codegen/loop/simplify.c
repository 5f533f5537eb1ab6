/*
 * Simpler kernels: fewer axes make more spaces equal and more rows long.  Two neighbouring
 * axes merge when every list that has one has both in a row, every index walks them as one,
 * and expressions ask for their numbers only as the place of an element among those of
 * both, as draws do (nor do data choose them: a scatter's axis stays).
 *
 * An inner axis of a few elements makes short lanes.  Where all but what maps read walks it
 * and its neighbour as one, they merge, too; maps then read by digits of the axis.
 */
#include <string.h>

#include "codegen/loop/number.h"
#include "codegen/loop/sched.h"

enum { FEW = 16 }; /* elements of an axis that is worth digits */

struct simplify {
    struct kernel *k;
    const struct kernel *from;
    struct arena *a;
    bool dropped[LOOP_AXES];
    bool numbered[LOOP_AXES]; /* an expression asks for it */
    bool fixed[LOOP_AXES];    /* a draw's sample, or what data choose */
};

static sx_id leaf_drop(void *cx, struct sxb *to, const struct sx_node *leaf, sx_id element)
{
    const struct simplify *m = cx;
    (void)element;
    if (leaf->op == SX_AXIS && m->dropped[leaf->a])
        return sx_int(to, 0);
    return 0;
}

static sx_id import(struct simplify *m, sx_id e)
{
    return e ? sx_rewrite(&m->k->sx, &m->from->sx, e, leaf_drop, m) : 0;
}

static void copy_stage(struct simplify *m, struct kstage *s)
{
    s->operand = arena_copy(m->a, s->operand, s->noperand * sizeof *s->operand);
    for (uint32_t i = 0; i < s->noperand; i++)
        s->operand[i].guard = arena_copy(
            m->a, s->operand[i].guard, s->operand[i].nguard * sizeof *s->operand[i].guard);
    s->store = arena_copy(m->a, s->store, s->nstore * sizeof *s->store);
    s->seg = arena_copy(m->a, s->seg, s->nseg * sizeof *s->seg);
    s->value = import(m, s->value);
    for (uint32_t i = 0; i < s->nseg; i++) {
        s->seg[i].factor[0] = import(m, s->seg[i].factor[0]);
        s->seg[i].factor[1] = import(m, s->seg[i].factor[1]);
    }
}

static void list_drop(uint8_t *list, uint8_t *n, const bool *dropped)
{
    uint8_t m = 0;
    for (uint8_t i = 0; i < *n; i++)
        if (!dropped[list[i]])
            list[m++] = list[i];
    *n = m;
}

static void index_drop(struct index *x, const bool *dropped)
{
    struct index r = {.off = x->off, .scalar = x->scalar, .scoef = x->scoef};
    for (unsigned i = 0; i < x->n; i++)
        if (!dropped[x->t[i].axis])
            index_term(&r, x->t[i]);
    *x = r;
}

typedef void index_fn(struct index *x, const void *cx);

static void each_index(struct kernel *k, index_fn *fn, const void *cx)
{
    for (uint32_t i = 0; i < k->nstage; i++) {
        struct kstage *s = &k->stage[i];
        for (uint32_t o = 0; o < s->noperand; o++) {
            fn(&s->operand[o].index, cx);
            for (unsigned g = 0; g < s->operand[o].nguard; g++)
                fn(&s->operand[o].guard[g].index, cx);
        }
        for (uint32_t o = 0; o < s->nstore; o++)
            fn(&s->store[o].index, cx);
    }
}

static void drop_index(struct index *x, const void *cx)
{
    index_drop(x, cx);
}

static void drop_lists(struct simplify *m, struct kstage *s)
{
    list_drop(s->axis, &s->naxis, m->dropped);
    list_drop(s->red, &s->nred, m->dropped);
    for (uint32_t g = 0; g < s->nseg; g++) {
        if (s->order == ORDER_CHUNK &&
            (s->seg[g].nred == 0 || m->dropped[s->seg[g].red[0]]))
            s->order = ORDER_SEQ; /* one block */
        list_drop(s->seg[g].red, &s->seg[g].nred, m->dropped);
    }
}

/* An axis of extent 1 that heads a chunked sum of several segments stays: it makes the
 * blocks. */
static void find_dropped(struct simplify *m)
{
    const struct kernel *k = m->from;
    for (unsigned x = 0; x < k->naxis; x++)
        m->dropped[x] = ext_eq(k->axis[x], ext_const(1));
    for (uint32_t i = 0; i < k->nstage; i++)
        if (k->stage[i].op == K_SCATTER)
            m->dropped[k->stage[i].along] = false;
    for (uint32_t i = 0; i < k->nstage; i++)
        if (k->stage[i].order == ORDER_CHUNK && k->stage[i].nseg > 1)
            for (uint32_t g = 0; g < k->stage[i].nseg; g++)
                if (k->stage[i].seg[g].nred)
                    m->dropped[k->stage[i].seg[g].red[0]] = false;
}

static void find_numbered(struct simplify *m)
{
    struct kernel *k = m->k;
    for (uint32_t i = 1; i < k->sx.n; i++)
        if (k->sx.node[i].op == SX_AXIS)
            m->numbered[k->sx.node[i].a] = true;
    for (uint32_t i = 0; i < k->nstage; i++)
        if (k->stage[i].op == K_SCATTER)
            m->fixed[k->stage[i].along] = true;
    for (uint32_t i = 0; i < k->nrng; i++) {
        if (k->rng[i].sample_axis >= 0 && m->dropped[k->rng[i].sample_axis])
            k->rng[i].sample_axis = -1;
        if (k->rng[i].sample_axis >= 0)
            m->fixed[k->rng[i].sample_axis] = true;
    }
}

static bool list_merges(const uint8_t *list, uint8_t n, uint8_t x, uint8_t y)
{
    for (uint8_t i = 0; i < n; i++) {
        if (list[i] == x && (i + 1 == n || list[i + 1] != y))
            return false;
        if (list[i] == y && (i == 0 || list[i - 1] != x))
            return false;
    }
    return true;
}

static bool stage_merges(const struct kstage *s, uint8_t x, uint8_t y)
{
    if (!list_merges(s->axis, s->naxis, x, y) || !list_merges(s->red, s->nred, x, y))
        return false;
    for (uint32_t g = 0; g < s->nseg; g++) {
        if (!list_merges(s->seg[g].red, s->seg[g].nred, x, y))
            return false;
        if (s->order == ORDER_CHUNK && s->seg[g].nred && s->seg[g].red[0] == x)
            return false;
    }
    return true;
}

struct pair {
    uint8_t x, y;
    struct ext inner; /* extent of y */
    bool ok;
};

/* Are both axes walked as one, if at all? */
static bool walks_as_one(const struct index *i, const struct pair *p)
{
    bool px, py;
    const struct ext cx = index_coef(i, p->x, &px), cy = index_coef(i, p->y, &py);
    return px && py && (!p->inner.b || !cy.b) && ext_eq(cx, ext_mul(cy, p->inner)) &&
           index_uses(i, p->x) == index_uses(i, p->y);
}

static void check_index(struct index *i, const void *cx)
{
    struct pair *p = (struct pair *)(uintptr_t)cx;
    p->ok &= walks_as_one(i, p);
}

/* Can an operand be read by digits? What is stored to, meanwhile, cannot. */
static bool may_be_digits(const struct kernel *k, const struct kstage *s,
                          const struct koperand *x, const struct pair *p)
{
    bool px, py;
    const struct ext of_x = index_coef(&x->index, p->x, &px),
                     of_y = index_coef(&x->index, p->y, &py);
    return s->op == K_MAP && px && py && !of_x.b && !of_y.b && !x->pick.from &&
           k->buf[x->id].use == BUF_READ;
}

static bool stage_may_have_digits(const struct kernel *k, const struct kstage *s,
                                  const struct pair *p)
{
    for (uint32_t o = 0; o < s->noperand; o++) {
        const struct koperand *x = &s->operand[o];
        if (x->nguard ||
            (!x->stage && !walks_as_one(&x->index, p) && !may_be_digits(k, s, x, p)))
            return false;
    }
    for (uint32_t i = 0; i < s->nstore; i++)
        if (!walks_as_one(&s->store[i].index, p))
            return false;
    return true;
}

/* Is it a cheap map over the inner axis alone, to be computed where it is read? */
static bool is_few(const struct kernel *k, const struct kstage *s, const struct pair *p)
{
    return s->op == K_MAP && !s->nstore && sched_has_axis(s->axis, s->naxis, p->y) &&
           !sched_has_axis(s->axis, s->naxis, p->x) &&
           sx_cost(&k->sx, s->value) <= SCHED_CHEAP;
}

static bool may_have_digits(const struct kernel *k, const struct pair *p)
{
    const int32_t n = k->axis[p->y].c;
    if (k->axis[p->x].b || k->axis[p->y].b || n > FEW || (n & (n - 1)))
        return false;
    for (uint32_t i = 0; i < k->nstage; i++)
        if (!stage_may_have_digits(k, &k->stage[i], p) ||
            (!is_few(k, &k->stage[i], p) && !stage_merges(&k->stage[i], p->x, p->y)))
            return false;
    return true;
}

static bool all_walk_as_one(struct kernel *k, struct pair *p)
{
    for (uint32_t i = 0; i < k->nstage; i++)
        if (!stage_merges(&k->stage[i], p->x, p->y))
            return false;
    p->ok = true;
    each_index(k, check_index, p);
    return p->ok;
}

static bool pair_merges(struct simplify *m, struct pair *p, bool digits)
{
    struct kernel *k = m->k;
    struct ext ex = k->axis[p->x], ey = k->axis[p->y];
    const bool numbered = m->numbered[p->x] || m->numbered[p->y];
    if (m->fixed[p->x] || m->fixed[p->y] || (ex.b && ey.b))
        return false;
    if ((int64_t)(ex.c + ex.b) * (ey.c + ey.b) > 1 << 30)
        return false;
    p->inner = ey;
    return (digits ? may_have_digits(k, p) : all_walk_as_one(k, p)) &&
           (!numbered || (!ey.b && numbers_pair(k, p->x, p->y, ey.c)));
}

static void merge_index(struct index *x, const void *cx)
{
    const struct pair *p = cx;
    bool gone[LOOP_AXES] = {false}, plain;
    const struct ext of_x = index_coef(x, p->x, &plain), of_y = index_coef(x, p->y, &plain);
    const bool digits = !walks_as_one(x, p);
    gone[p->x] = true;
    gone[p->y] = digits;
    index_drop(x, gone);
    if (!digits)
        return;
    index_term(x, (struct term){p->y, p->inner.c, 0, of_x});
    index_term(x, (struct term){p->y, 1, p->inner.c, of_y});
}

static void merge(struct simplify *m, const struct pair *p)
{
    struct kernel *k = m->k;
    bool gone[LOOP_AXES] = {false};
    gone[p->x] = true;
    m->dropped[p->x] = true;
    if (m->numbered[p->x])
        numbers_drop(k, p->x);
    each_index(k, merge_index, p);
    k->axis[p->y] = ext_mul(k->axis[p->x], k->axis[p->y]);
    for (uint32_t i = 0; i < k->nstage; i++) {
        struct kstage *s = &k->stage[i];
        list_drop(s->axis, &s->naxis, gone);
        list_drop(s->red, &s->nred, gone);
        for (uint32_t g = 0; g < s->nseg; g++)
            list_drop(s->seg[g].red, &s->seg[g].nred, gone);
    }
}

static bool merge_once(struct simplify *m, bool digits)
{
    for (uint8_t x = 0; x < m->k->naxis; x++)
        for (uint8_t y = 0; y < m->k->naxis; y++) {
            struct pair p = {.x = x, .y = y};
            if (x == y || m->dropped[x] || m->dropped[y] || !pair_merges(m, &p, digits))
                continue;
            merge(m, &p);
            return true;
        }
    return false;
}

static bool sums_nothing(const struct kstage *s)
{
    for (uint32_t g = 0; g < s->nseg; g++)
        if (s->seg[g].nred)
            return false;
    return s->op == K_SUM;
}

static void sum_to_map(struct kernel *k, struct kstage *s)
{
    sx_id acc = sx_const(&k->sx, 0);
    for (uint32_t g = 0; g < s->nseg; g++) {
        sx_id x = s->seg[g].factor[0], y = s->seg[g].factor[1];
        acc = y ? sx_make(&k->sx, SX_FMA, x, y, acc) : sx_make(&k->sx, SX_ADD, acc, x, 0);
    }
    s->op = K_MAP;
    s->order = ORDER_SEQ;
    s->value = acc;
    s->nseg = 0;
}

static void fold_to_map(struct kernel *k, struct kstage *s)
{
    s->op = K_MAP;
    s->value =
        s->comb == COMB_ARGMAX ? sx_int(&k->sx, 0) : sched_plus_zero(&k->sx, s->value);
}

struct kernel *kernel_simplify(const struct kernel *from, bool digits, struct arena *a)
{
    struct kernel *k = arena_copy(a, from, sizeof *from);
    struct simplify m = {.k = k, .from = from, .a = a};
    k->arena = a;
    sx_init(&k->sx, a);
    k->rng = arena_copy(a, from->rng, from->nrng * sizeof *from->rng);
    k->stage = arena_copy(a, from->stage, from->nstage * sizeof *from->stage);
    find_dropped(&m);
    for (uint32_t i = 0; i < k->nstage; i++) {
        copy_stage(&m, &k->stage[i]);
        drop_lists(&m, &k->stage[i]);
    }
    each_index(k, drop_index, m.dropped);
    find_numbered(&m);
    while (merge_once(&m, false))
        continue;
    if (digits && !sched_has_digits(k))
        merge_once(&m, true);
    for (uint32_t i = 0; i < k->nstage; i++) {
        if (sums_nothing(&k->stage[i]))
            sum_to_map(k, &k->stage[i]);
        else if (k->stage[i].op == K_FOLD && k->stage[i].nred == 0)
            fold_to_map(k, &k->stage[i]);
    }
    return k;
}
