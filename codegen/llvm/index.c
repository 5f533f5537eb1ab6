/*
 * Indices: what varies at run time is a chain of additions, each in the set-up block of the
 * loop whose axis it adds; constants and the lanes' parts stay constants and end in
 * addressing modes.
 */
#include "codegen/loop/index.h"
#include "codegen/llvm/emit.h"

enum { MOD_MAX = 1 << 20, PARTS = LOOP_TERMS * 2 + 4 };
enum { OP_GEP = 3000, OP_KARG, OP_SCALAR, OP_WALKER };

/* ---- arguments ---- */

static LLVMValueRef field(struct ll *l, int64_t byte, LLVMTypeRef type)
{
    LLVMValueRef at = ll_i64(l, byte);
    LLVMValueRef p = LLVMBuildGEP2(l->b, l->h->i8, l->args, &at, 1, "");
    return LLVMBuildLoad2(l->b, type, p, "");
}

LLVMValueRef ll_karg(struct ll *l, int64_t byte, LLVMTypeRef type)
{
    bool found;
    struct ll_place back = ll_hoist(l, 0);
    LLVMValueRef *m = ll_memo(l, 0, OP_KARG, type, NULL, (uint64_t)byte, &found);
    LLVMValueRef v = found ? *m : (*m = field(l, byte, type));
    ll_unhoist(l, back);
    return v;
}

LLVMValueRef ll_batch(struct ll *l)
{
    return ll_karg(l, 16, l->h->i64);
}

LLVMValueRef ll_ext(struct ll *l, struct ext e)
{
    if (e.b == 0)
        return ll_i64(l, e.c);
    LLVMValueRef batch = ll_batch(l);
    struct ll_place back = ll_hoist(l, 0);
    LLVMValueRef v = e.b == 1 ? batch : ll_bin(l, LLVMMul, batch, ll_i64(l, e.b));
    if (e.c)
        v = ll_bin(l, LLVMAdd, v, ll_i64(l, e.c));
    ll_unhoist(l, back);
    return v;
}

LLVMValueRef ll_scalar(struct ll *l, uint32_t slot, enum sx_type type)
{
    bool found;
    LLVMValueRef base = ll_karg(l, 8, l->h->ptr);
    struct ll_place back = ll_hoist(l, 0);
    LLVMValueRef *m =
        ll_memo(l, 0, OP_SCALAR, NULL, NULL, (uint64_t)slot * 4 + type, &found);
    LLVMValueRef v = *m;
    if (!found) {
        LLVMValueRef at = ll_i64(l, (int64_t)slot * 8);
        LLVMValueRef p = LLVMBuildGEP2(l->b, l->h->i8, base, &at, 1, "");
        LLVMTypeRef t = type == SX_FLOAT ? l->h->f32 : l->h->i32;
        v = LLVMBuildLoad2(l->b, t, p, "");
        if (type == SX_BOOL)
            v = LLVMBuildICmp(l->b, LLVMIntNE, v, ll_i32(l, 0), "");
        *m = v;
    }
    ll_unhoist(l, back);
    return v;
}

/* ---- parts of an index ---- */

struct part { /* v * coef, known at a depth */
    LLVMValueRef v;
    struct ext coef;
    unsigned depth;
};
struct parts {
    struct part p[PARTS];
    unsigned n;
};

/* Does an innermost loop count in it? */
static bool counts(const struct ll *l, const struct part *p)
{
    return p->v == l->region[p->depth].counter;
}

/* By depth, a loop's counter before what is made of it. */
static void add_part(const struct ll *l, struct parts *s, struct part part)
{
    unsigned i = s->n++;
    for (; i > 0; i--) {
        const struct part *p = &s->p[i - 1];
        if (p->depth < part.depth ||
            (p->depth == part.depth && counts(l, p) >= counts(l, &part)))
            break;
        s->p[i] = *p;
    }
    s->p[i] = part;
}

static int64_t digit(int64_t x, const struct term *t)
{
    x /= t->div;
    return t->mod ? x % t->mod : x;
}

static LLVMValueRef times(struct ll *l, LLVMValueRef v, struct ext coef)
{
    if (coef.b == 0 && coef.c == 1)
        return v;
    return ll_bin(l, LLVMMul, v, ll_ext(l, coef));
}

static void run_term(struct ll *l, struct parts *s, const struct term *t)
{
    const struct ll_axis *a = &l->axis[t->axis];
    LLVMValueRef v = a->run;
    struct ll_place back = ll_hoist(l, a->depth);
    if (a->value && !term_is_plain(t))
        v = ll_bin(l, LLVMAdd, v, ll_i64(l, a->value));
    if (t->div > 1)
        v = ll_bin(l, LLVMUDiv, v, ll_i64(l, t->div));
    if (t->mod)
        v = ll_bin(l, LLVMURem, v, ll_i64(l, t->mod));
    ll_unhoist(l, back);
    add_part(l, s, (struct part){v, t->coef, a->depth});
}

static void lane_term(const struct ll *l, struct ll_at *at, const struct term *t)
{
    for (int32_t i = 0; i < l->width; i++)
        at->lane[i] += t->coef.c * digit(l->lane0 + i, t);
    if (!t->coef.b)
        return;
    if (t->div != 1 || t->mod || at->step.b)
        at->step = (struct ext){-1, 0}; /* refused by the caller */
    else
        at->step.b = t->coef.b;
}

static void split(struct ll *l, const struct index *x, struct parts *s, struct ll_at *at)
{
    int64_t off = x->off.c;
    int64_t batches = x->off.b;
    for (unsigned i = 0; i < x->n; i++) {
        const struct term *t = &x->t[i];
        const struct ll_axis *a = &l->axis[t->axis];
        if (a->kind == LL_LANE) {
            lane_term(l, at, t);
        } else if (a->kind == LL_CONST) {
            off += t->coef.c * digit(a->value, t);
            batches += t->coef.b * digit(a->value, t);
        } else if (a->kind == LL_RUN) {
            run_term(l, s, t);
            off += term_is_plain(t) ? t->coef.c * a->value : 0;
            batches += term_is_plain(t) ? t->coef.b * a->value : 0;
        } else {
            ll_fault(l, "an index uses an axis outside its loop");
        }
    }
    if (batches) {
        LLVMValueRef v = ll_batch(l);
        struct ll_place back = ll_hoist(l, 0);
        v = ll_bin(l, LLVMMul, v, ll_i64(l, batches));
        ll_unhoist(l, back);
        add_part(l, s, (struct part){v, ext_const(1), 0});
    }
    if (x->scalar) {
        LLVMValueRef v = ll_scalar(l, x->scalar - 1U, SX_I32);
        struct ll_place back = ll_hoist(l, 0);
        v = ll_cast(l, LLVMSExt, v, l->h->i64);
        ll_unhoist(l, back);
        add_part(l, s, (struct part){v, x->scoef, 0});
    }
    for (int32_t i = 0; i < l->width; i++)
        at->lane[i] += off;
}

LLVMValueRef ll_gep(struct ll *l, LLVMTypeRef elem, LLVMValueRef p, LLVMValueRef at)
{
    bool found;
    LLVMValueRef *m = ll_memo(l, l->depth, OP_GEP, p, at, (uintptr_t)elem, &found);
    return found ? *m : (*m = LLVMBuildGEP2(l->b, elem, p, &at, 1, ""));
}

/*
 * Is a pointer at this part better moved than computed?  Addressing modes hold a counter
 * itself, twice and four times; a register each is too much for many.
 */
static bool walks(const struct ll *l, const struct part *p, unsigned depth)
{
    const bool in_address = p->coef.b == 0 && (p->coef.c == 1 || p->coef.c == 2);
    return p->depth > depth && counts(l, p) && !in_address &&
           l->region[p->depth].nwalker < LL_WALKERS;
}

/* base + coef * counter of an innermost loop. */
static LLVMValueRef walker(struct ll *l, const struct part *p, LLVMValueRef base,
                           LLVMTypeRef elem)
{
    bool found;
    struct ll_region *r = &l->region[p->depth];
    const LLVMValueRef coef = ll_ext(l, p->coef);
    struct ll_place back = ll_hoist(l, p->depth);
    LLVMValueRef *m = ll_memo(l, p->depth, OP_WALKER, base, coef, (uintptr_t)elem, &found);
    if (!found) {
        LLVMPositionBuilderBefore(l->b, LLVMGetBasicBlockTerminator(r->before));
        LLVMValueRef at = LLVMBuildMul(l->b, r->first, coef, "");
        if (!LLVMIsNull(at))
            base = LLVMBuildGEP2(l->b, elem, base, &at, 1, "");
        LLVMPositionBuilderBefore(l->b, LLVMGetFirstInstruction(r->setup));
        *m = LLVMBuildPhi(l->b, l->h->ptr, "");
        LLVMAddIncoming(*m, &base, &r->before, 1);
        r->walker[r->nwalker++] = (struct ll_walker){*m, elem, p->coef};
    }
    ll_unhoist(l, back);
    return *m;
}

void ll_walkers_end(struct ll *l, const struct ll_region *r, int64_t step,
                    LLVMBasicBlockRef latch)
{
    for (unsigned i = 0; i < r->nwalker; i++) {
        const struct ll_walker *w = &r->walker[i];
        const LLVMValueRef coef = ll_ext(l, w->coef);
        struct ll_place back = ll_hoist(l, 0);
        LLVMValueRef by = ll_bin(l, LLVMMul, coef, ll_i64(l, step));
        ll_unhoist(l, back);
        LLVMValueRef next = LLVMBuildGEP2(l->b, w->elem, w->phi, &by, 1, "");
        LLVMAddIncoming(w->phi, &next, &latch, 1);
    }
}

/* The sum of the parts, on top of a pointer where elem is given. */
static LLVMValueRef chain(struct ll *l, const struct parts *s, LLVMValueRef base,
                          LLVMTypeRef elem, unsigned *depth)
{
    *depth = 0;
    for (unsigned i = 0; i < s->n; i++) {
        const struct part *p = &s->p[i];
        const bool walk = elem && walks(l, p, *depth);
        if (p->depth > *depth)
            *depth = p->depth;
        if (walk) {
            base = walker(l, p, base, elem);
            continue;
        }
        struct ll_place back = ll_hoist(l, p->depth);
        LLVMValueRef v = times(l, p->v, p->coef);
        ll_unhoist(l, back);
        back = ll_hoist(l, *depth);
        if (elem)
            base = ll_gep(l, elem, base, v);
        else
            base = base ? ll_bin(l, LLVMAdd, base, v) : v;
        ll_unhoist(l, back);
    }
    return base;
}

struct ll_at ll_index(struct ll *l, const struct index *x, LLVMValueRef pointer,
                      LLVMTypeRef elem)
{
    struct ll_at at = {.uniform = true, .contiguous = true};
    struct parts s = {.n = 0};
    split(l, x, &s, &at);
    at.base = chain(l, &s, pointer, elem, &at.depth);
    for (int32_t i = 1; i < l->width; i++) {
        at.uniform &= at.lane[i] == at.lane[0];
        at.contiguous &= at.lane[i] == at.lane[0] + i;
    }
    if (at.step.c)
        ll_fault(l, "digits of a lane times the batch");
    if (at.step.b)
        at.uniform = at.contiguous = false;
    return at;
}

LLVMValueRef ll_index_value(struct ll *l, const struct index *x)
{
    struct ll_at at = ll_index(l, x, NULL, NULL);
    LLVMValueRef lanes =
        at.uniform ? ll_i64(l, at.lane[0]) : ll_lanes(l, l->h->i64, at.lane, l->width);
    if (at.step.b) {
        int64_t n[LL_LANES];
        for (int32_t i = 0; i < l->width; i++)
            n[i] = l->lane0 + i;
        LLVMValueRef k = ll_lanes(l, l->h->i64, n, l->width);
        lanes = ll_bin(l, LLVMAdd, lanes, ll_bin(l, LLVMMul, k, ll_ext(l, at.step)));
    }
    if (!at.base)
        return lanes;
    return LLVMIsNull(lanes) ? ll_splat(l, at.base, ll_width(lanes))
                             : ll_bin(l, LLVMAdd, at.base, lanes);
}

unsigned ll_index_depth(const struct ll *l, const struct index *x)
{
    unsigned depth = 0;
    for (unsigned i = 0; i < x->n; i++) {
        const struct ll_axis *a = &l->axis[x->t[i].axis];
        if (a->kind == LL_RUN && a->depth > depth)
            depth = a->depth;
    }
    return depth;
}

/* ---- guards ---- */

/* A bound that may be negative counts as 0: guards are unsigned comparisons. */
static LLVMValueRef guard_limit(struct ll *l, struct ext bound)
{
    LLVMValueRef v = ll_ext(l, bound), zero = ll_i64(l, 0);
    if (bound.c >= 0 && bound.b >= 0)
        return v;
    struct ll_place back = ll_hoist(l, 0);
    v = ll_select(l, ll_icmp(l, LLVMIntSLT, v, zero), zero, v);
    ll_unhoist(l, back);
    return v;
}

/* One guard that no lane decides: 0 <= index < bound as one unsigned comparison. */
static LLVMValueRef uniform_guard(struct ll *l, const struct ll_at *at, struct ext bound)
{
    LLVMValueRef limit = guard_limit(l, bound);
    struct ll_place back = ll_hoist(l, at->depth);
    LLVMValueRef v = ll_i64(l, at->lane[0]);
    if (at->base)
        v = at->lane[0] ? ll_bin(l, LLVMAdd, at->base, v) : at->base;
    v = ll_icmp(l, LLVMIntULT, v, limit);
    ll_unhoist(l, back);
    return v;
}

static LLVMValueRef lane_guard(struct ll *l, const struct guard *g, const struct ll_at *at)
{
    LLVMValueRef v, limit = guard_limit(l, g->bound);
    if (at->step.b)
        return ll_icmp(l, LLVMIntULT, ll_index_value(l, &g->index), limit);
    v = ll_lanes(l, l->h->i32, at->lane, l->width);
    if (at->base)
        v = ll_bin(l, LLVMAdd, ll_cast(l, LLVMTrunc, at->base, l->h->i32), v);
    return ll_icmp(l, LLVMIntULT, v, ll_cast(l, LLVMTrunc, limit, l->h->i32));
}

static LLVMValueRef all_guards(struct ll *l, const struct guard *g, unsigned n, bool *never)
{
    LLVMValueRef all = NULL;
    for (unsigned i = 0; i < n; i++) {
        struct ll_at at = ll_index(l, &g[i].index, NULL, NULL);
        if (!at.base && at.uniform && g[i].bound.b == 0) {
            *never |= at.lane[0] < 0 || at.lane[0] >= g[i].bound.c;
            continue;
        }
        LLVMValueRef v =
            at.uniform ? uniform_guard(l, &at, g[i].bound) : lane_guard(l, &g[i], &at);
        all = all ? ll_bin(l, LLVMAnd, all, v) : v;
    }
    return all;
}

LLVMValueRef ll_guards(struct ll *l, const struct guard *g, unsigned n, bool *never)
{
    struct ll_place back;
    unsigned depth = 0;
    for (unsigned i = 0; i < n; i++) {
        const unsigned d = ll_index_depth(l, &g[i].index);
        depth = d > depth ? d : depth;
    }
    *never = false;
    const bool left = n && ll_leave(l, depth, &back);
    LLVMValueRef all = all_guards(l, g, n, never);
    if (left)
        ll_unhoist(l, back);
    return all;
}

/* ---- residues, for what must be aligned ---- */

static int64_t power_of(int64_t x)
{
    x = x < 0 ? -x : x;
    return x == 0 || (x & -x) > MOD_MAX ? MOD_MAX : x & -x;
}

void ll_index_mod(const struct ll *l, const struct index *x, int64_t *mod, int64_t *rem)
{
    *mod = x->off.b || x->scalar ? 1 : MOD_MAX;
    *rem = x->off.c;
    for (unsigned i = 0; i < x->n; i++) {
        const struct term *t = &x->t[i];
        const struct ll_axis *a = &l->axis[t->axis];
        int64_t m = 1, r = 0;
        if ((a->kind == LL_CONST || a->kind == LL_LANE) && t->coef.b == 0) {
            m = MOD_MAX;
            r = t->coef.c * digit(a->kind == LL_LANE ? l->lane0 : a->value, t);
        } else if (a->kind == LL_RUN && t->div == 1 && !t->mod && t->coef.b == 0) {
            m = a->mod * power_of(t->coef.c);
            r = (a->rem + a->value) * t->coef.c;
        } else if (a->kind == LL_RUN && t->div == 1 && t->mod && t->coef.b == 0) {
            m = power_of(t->mod) < a->mod ? power_of(t->mod) : a->mod;
            r = (a->rem + a->value) % m * t->coef.c;
            m *= power_of(t->coef.c);
        }
        *mod = m < *mod ? m : *mod;
        *rem += r;
    }
    if (*mod > MOD_MAX)
        *mod = MOD_MAX;
    *rem = (*rem % *mod + *mod) % *mod;
}
