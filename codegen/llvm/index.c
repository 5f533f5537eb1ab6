/*
 * Indices: what varies at run time is a chain of additions, each in the set-up block of the
 * loop whose axis it adds; constants and the lanes' parts stay constants and end in
 * addressing modes.
 */
#include "codegen/llvm/emit.h"

enum { MOD_MAX = 1 << 20, PARTS = LOOP_TERMS * 2 + 4, OP_GEP = 3000, OP_KARG, OP_SCALAR };

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

struct part {
    LLVMValueRef v;
    unsigned depth;
};
struct parts {
    struct part p[PARTS];
    unsigned n;
};

static void add_part(struct parts *s, LLVMValueRef v, unsigned depth)
{
    unsigned i = s->n++;
    for (; i > 0 && s->p[i - 1].depth > depth; i--)
        s->p[i] = s->p[i - 1];
    s->p[i] = (struct part){v, depth};
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

static bool has_digits(const struct term *t)
{
    return t->div > 1 || t->mod;
}

static void run_term(struct ll *l, struct parts *s, const struct term *t)
{
    const struct ll_axis *a = &l->axis[t->axis];
    LLVMValueRef v = a->run;
    struct ll_place back = ll_hoist(l, a->depth);
    if (a->value && has_digits(t))
        v = ll_bin(l, LLVMAdd, v, ll_i64(l, a->value));
    if (t->div > 1)
        v = ll_bin(l, LLVMUDiv, v, ll_i64(l, t->div));
    if (t->mod)
        v = ll_bin(l, LLVMURem, v, ll_i64(l, t->mod));
    v = times(l, v, t->coef);
    ll_unhoist(l, back);
    add_part(s, v, a->depth);
}

/* k * b * B, k and b constant */
static void batch_part(struct ll *l, struct parts *s, int64_t k)
{
    if (k == 0)
        return;
    LLVMValueRef batch = ll_batch(l);
    struct ll_place back = ll_hoist(l, 0);
    LLVMValueRef v = ll_bin(l, LLVMMul, batch, ll_i64(l, k));
    ll_unhoist(l, back);
    add_part(s, v, 0);
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
            off += has_digits(t) ? 0 : t->coef.c * a->value;
            batches += has_digits(t) ? 0 : t->coef.b * a->value;
        } else {
            ll_fault(l, "an index uses an axis outside its loop");
        }
    }
    batch_part(l, s, batches);
    if (x->scalar) {
        LLVMValueRef v = ll_scalar(l, x->scalar - 1U, SX_I32);
        struct ll_place back = ll_hoist(l, 0);
        v = times(l, ll_cast(l, LLVMSExt, v, l->h->i64), x->scoef);
        ll_unhoist(l, back);
        add_part(s, v, 0);
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

static LLVMValueRef chain(struct ll *l, const struct parts *s, LLVMValueRef base,
                          LLVMTypeRef elem, unsigned *depth)
{
    *depth = 0;
    for (unsigned i = 0; i < s->n; i++) {
        if (s->p[i].depth > *depth)
            *depth = s->p[i].depth;
        struct ll_place back = ll_hoist(l, *depth);
        if (elem)
            base = ll_gep(l, elem, base, s->p[i].v);
        else
            base = base ? ll_bin(l, LLVMAdd, base, s->p[i].v) : s->p[i].v;
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

LLVMValueRef ll_guards(struct ll *l, const struct guard *g, unsigned n, bool *never)
{
    LLVMValueRef all = NULL;
    *never = false;
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
