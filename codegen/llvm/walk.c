/*
 * The walk over the five statements.  Loops are bottom-tested; a register tile that a
 * loop's body writes becomes a phi per vector, and again where a body may be skipped.
 */
#include "codegen/llvm/emit.h"
#include "codegen/loop/index.h"

enum { MOST_UNROLLED = 32 }; /* instructions, roughly, of a loop's body */

static void walk(struct ll *l, const struct stmt *st);

static void walk_body(struct ll *l, const struct stmt *st)
{
    for (uint32_t i = 0; i < st->nbody; i++)
        walk(l, st->body[i]);
}

/* ---- what a body writes ---- */

static void find_writes(struct ll *l, const struct stmt *st, uint8_t *reg, bool bump)
{
    for (uint32_t i = 0; i < st->nbody; i++)
        find_writes(l, st->body[i], reg, bump);
    if (st->op == S_TILE)
        reg[st->tile] |= 2; /* comes to life inside */
    if (st->op != S_SET && st->op != S_ACC)
        return;
    if (!st->dst_tile && l->n->buf[st->dst].watched)
        reg[l->n->ntile] |= 1;
    if (st->dst_tile && l->n->tile[st->dst].space == TILE_REG)
        reg[st->dst] |= 1;
    else if (bump && st->dst_tile)
        ++l->tile[st->dst].version;
    else if (bump)
        ++l->buf_version[st->dst];
}

/* Vectors that are alive around a body and written by it. */
struct carried {
    struct arena *arena;
    LLVMValueRef **slot, *before, *phi;
    uint32_t n;
};

static void carried_find(struct ll *l, const struct stmt *st, bool bump, struct carried *c)
{
    uint32_t room = 1;
    c->arena = arena_new();
    c->n = 0;
    uint8_t *reg = arena_array(c->arena, l->n->ntile + 1U, 1);
    for (uint32_t i = 0; i < st->nbody; i++)
        find_writes(l, st->body[i], reg, bump);
    for (uint32_t t = 0; t <= l->n->ntile; t++)
        room += reg[t] == 1 ? l->tile[t].npiece : 0;
    c->slot = arena_array(c->arena, room, sizeof *c->slot);
    c->before = arena_array(c->arena, room, sizeof *c->before);
    c->phi = arena_array(c->arena, room, sizeof *c->phi);
    for (uint32_t t = 0; t <= l->n->ntile; t++)
        for (uint32_t p = 0; reg[t] == 1 && p < l->tile[t].npiece; p++) {
            if (!l->tile[t].piece[p])
                ll_fault(l, "a tile is written before it comes to life");
            else
                c->slot[c->n++] = &l->tile[t].piece[p];
        }
    for (uint32_t i = 0; i < c->n; i++)
        c->before[i] = *c->slot[i];
}

/* Phis at the builder's place; the slots hold them from here on. */
static void carried_phis(struct ll *l, struct carried *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        c->phi[i] = LLVMBuildPhi(l->b, LLVMTypeOf(c->before[i]), "");
        *c->slot[i] = c->phi[i];
    }
}

/* ---- guarded bodies ---- */

/* Runs the body where cond holds. */
static void guarded(struct ll *l, const struct stmt *st, LLVMValueRef cond)
{
    struct carried c;
    LLVMBasicBlockRef from = LLVMGetInsertBlock(l->b);
    LLVMBasicBlockRef then = ll_block(l, "then"), after = ll_block(l, "after");
    carried_find(l, st, false, &c);
    LLVMBuildCondBr(l->b, cond, then, after);
    LLVMPositionBuilderAtEnd(l->b, then);
    ll_region_open(l, NULL);
    walk_body(l, st);
    ll_region_close(l);
    LLVMBasicBlockRef end = LLVMGetInsertBlock(l->b);
    LLVMBuildBr(l->b, after);
    LLVMPositionBuilderAtEnd(l->b, after);
    for (uint32_t i = 0; i < c.n; i++) {
        LLVMValueRef now = *c.slot[i];
        if (now == c.before[i])
            continue;
        LLVMValueRef phi = LLVMBuildPhi(l->b, LLVMTypeOf(now), "");
        LLVMAddIncoming(phi, &now, &end, 1);
        LLVMAddIncoming(phi, &c.before[i], &from, 1);
        *c.slot[i] = phi;
    }
    arena_free(c.arena);
}

/* The body of a for, at one value of its axis: where its guards from `first` on hold. */
static void iteration(struct ll *l, const struct stmt *st, unsigned first)
{
    bool never;
    LLVMValueRef cond = ll_guards(l, st->guard + first, st->nguard - first, &never);
    if (never)
        return;
    if (!cond)
        walk_body(l, st);
    else if (!ll_is_vector(cond))
        guarded(l, st, cond);
    else
        ll_fault(l, "a guard differs from lane to lane");
}

/* ---- loops ---- */

struct range {
    LLVMValueRef lo, hi; /* i64 */
    bool some;           /* at least one iteration, for sure */
    unsigned nguard;     /* the first of the guards are what lo and hi say */
};

static LLVMValueRef smaller(struct ll *l, LLVMValueRef x, LLVMValueRef y)
{
    if (LLVMIsAConstantInt(x) && LLVMIsAConstantInt(y))
        return LLVMConstIntGetSExtValue(x) < LLVMConstIntGetSExtValue(y) ? x : y;
    return ll_select(l, ll_icmp(l, LLVMIntSLT, x, y), x, y);
}

static LLVMValueRef larger(struct ll *l, LLVMValueRef x, LLVMValueRef y)
{
    if (LLVMIsAConstantInt(x) && LLVMIsAConstantInt(y))
        return LLVMConstIntGetSExtValue(x) > LLVMConstIntGetSExtValue(y) ? x : y;
    return ll_select(l, ll_icmp(l, LLVMIntSGT, x, y), x, y);
}

/* The first whole number i for which i * step is at least x; step is a power of two. */
static LLVMValueRef first_step(struct ll *l, LLVMValueRef x, int32_t step)
{
    int32_t shift = 0;
    if (step == 1)
        return x;
    while (1 << shift < step)
        shift++;
    return ll_bin(l, LLVMAShr, ll_bin(l, LLVMAdd, x, ll_i64(l, step - 1)),
                  ll_i64(l, shift));
}

/*
 * A guard along the loop's own axis only says where the loop begins and ends: 0 <= rest +
 * step * i < bound.
 */
static bool is_bound(struct ll *l, const struct stmt *st, const struct guard *g,
                     struct range *r)
{
    bool plain;
    struct index rest = g->index;
    const struct ext step = index_coef(&rest, st->axis, &plain);
    if (st->kind != FOR_SEQ || st->step != 1 || !plain || step.b || step.c < -1 ||
        step.c == 0 || (step.c & (step.c - 1) && step.c != -1))
        return false;
    index_term(&rest, (struct term){st->axis, 1, 0, {-step.c, 0}});
    struct ll_place back = ll_hoist(l, ll_index_depth(l, &rest));
    const LLVMValueRef at = ll_index_value(l, &rest), zero = ll_i64(l, 0);
    const LLVMValueRef room = ll_bin(l, LLVMSub, ll_ext(l, g->bound), at);
    LLVMValueRef lo, hi;
    if (step.c > 0) {
        lo = first_step(l, ll_bin(l, LLVMSub, zero, at), step.c);
        hi = first_step(l, room, step.c);
    } else {
        lo = ll_bin(l, LLVMSub, ll_i64(l, 1), room);
        hi = ll_bin(l, LLVMAdd, at, ll_i64(l, 1));
    }
    ll_unhoist(l, back);
    r->lo = larger(l, r->lo, lo);
    r->hi = smaller(l, r->hi, hi);
    return true;
}

static LLVMValueRef bound_of(struct ll *l, const struct stmt *st)
{
    if (st->bound_div <= 1)
        return ll_ext(l, st->bound);
    if (st->bound.b == 0)
        return ll_i64(l, (st->bound.c + st->bound_div - 1) / st->bound_div);
    LLVMValueRef e = ll_ext(l, (struct ext){st->bound.c + st->bound_div - 1, st->bound.b});
    struct ll_place back = ll_hoist(l, 0);
    LLVMValueRef v = ll_bin(l, LLVMSDiv, e, ll_i64(l, st->bound_div));
    ll_unhoist(l, back);
    return v;
}

static struct range range_of(struct ll *l, const struct stmt *st)
{
    struct range r = {ll_index_value(l, &st->lo), ll_index_value(l, &st->hi), false, 0};
    if (ll_is_vector(r.lo) || ll_is_vector(r.hi)) {
        ll_fault(l, "a loop's bounds differ from lane to lane");
        r.lo = r.hi = ll_i64(l, 0);
    }
    if (st->bound.c || st->bound.b) {
        r.hi = smaller(l, r.hi, bound_of(l, st));
    }
    while (r.nguard < st->nguard && is_bound(l, st, &st->guard[r.nguard], &r))
        r.nguard++;
    if (LLVMIsAConstantInt(r.lo) && LLVMIsAConstantInt(r.hi))
        r.some = LLVMConstIntGetSExtValue(r.lo) < LLVMConstIntGetSExtValue(r.hi);
    return r;
}

/*
 * Instructions of a body, roughly; MOST_UNROLLED or more where another loop is in it or
 * something may be skipped.
 */
static int64_t body_size(const struct ll *l, const struct stmt *st)
{
    int64_t size = 0, times = 1;
    if (st->op == S_SET || st->op == S_ACC)
        return 1 + st->nload + sx_cost(&l->n->sx, st->value);
    if (st->op == S_FOR && (st->kind == FOR_SEQ || st->nguard))
        return MOST_UNROLLED;
    if (st->op == S_FOR)
        times = st->kind == FOR_VEC ? (st->hi.off.c + l->vec - 1) / l->vec : st->hi.off.c;
    for (uint32_t i = 0; i < st->nbody && size < MOST_UNROLLED; i++)
        size += body_size(l, st->body[i]);
    return size * times;
}

/* Iterations of a short loop that are emitted one after the other: 1, 2 or 4. */
static int64_t unrolled(const struct ll *l, const struct stmt *st, const struct range *r)
{
    if (!r->some || st->nguard || st->kind != FOR_SEQ)
        return 1;
    const int64_t trips =
        (LLVMConstIntGetSExtValue(r->hi) - LLVMConstIntGetSExtValue(r->lo) + st->step - 1) /
        st->step;
    int64_t size = 0, n = 4;
    for (uint32_t i = 0; i < st->nbody; i++)
        size += body_size(l, st->body[i]);
    while (n > 1 && (trips % n || n * size > MOST_UNROLLED))
        n /= 2;
    return n;
}

/* hi is lo + 1 whatever the axes: a name for a value. */
static bool runs_once(const struct stmt *st)
{
    if (st->bound.c || st->bound.b || st->lo.n != st->hi.n ||
        st->lo.scalar != st->hi.scalar)
        return false;
    if (st->lo.off.b != st->hi.off.b || st->lo.off.c + 1 != st->hi.off.c)
        return false;
    if (st->lo.scalar &&
        (st->lo.scoef.c != st->hi.scoef.c || st->lo.scoef.b != st->hi.scoef.b))
        return false;
    for (unsigned i = 0; i < st->lo.n; i++) {
        const struct term *x = &st->lo.t[i], *y = &st->hi.t[i];
        if (x->axis != y->axis || x->div != y->div || x->mod != y->mod ||
            x->coef.c != y->coef.c || x->coef.b != y->coef.b)
            return false;
    }
    return true;
}

/* No loop runs inside, but what is unrolled. */
static bool is_innermost(const struct stmt *st)
{
    for (uint32_t i = 0; i < st->nbody; i++) {
        const struct stmt *in = st->body[i];
        if (!is_innermost(in) || (in->op == S_FOR && in->kind == FOR_SEQ && !runs_once(in)))
            return false;
    }
    return true;
}

static void loop(struct ll *l, const struct stmt *st, const struct range *r)
{
    struct carried c;
    int64_t mod, rem, step = st->kind == FOR_GRID ? 1 : st->step;
    const int64_t times = unrolled(l, st, r);
    if (st->kind == FOR_GRID)
        mod = rem = 0;
    else
        ll_index_mod(l, &st->lo, &mod, &rem);
    if (r->nguard) /* it begins anywhere */
        mod = 1, rem = 0;
    LLVMBasicBlockRef pre = LLVMGetInsertBlock(l->b), setup = ll_block(l, "loop");
    LLVMBasicBlockRef body = ll_block(l, "body"), after = ll_block(l, "done");
    carried_find(l, st, true, &c);
    if (r->some)
        LLVMBuildBr(l->b, setup);
    else
        LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntSLT, r->lo, r->hi, ""), setup,
                        after);
    LLVMPositionBuilderAtEnd(l->b, setup);
    LLVMValueRef i = LLVMBuildPhi(l->b, l->h->i64, l->n->axis_name[st->axis]), lo = r->lo;
    carried_phis(l, &c);
    LLVMBuildBr(l->b, body);
    LLVMPositionBuilderAtEnd(l->b, body);
    ll_region_open(l, setup);
    struct ll_region *region = &l->region[l->depth];
    region->before = pre;
    region->first = lo;
    region->counter = is_innermost(st) ? i : NULL;
    int64_t low = step & -step;
    l->axis[st->axis] =
        (struct ll_axis){LL_RUN, i, 0, l->depth, mod == 0 ? 1 : low < mod ? low : mod, rem};
    for (int64_t k = 0; k < times; k++) {
        l->axis[st->axis].value = k * step;
        iteration(l, st, r->nguard);
    }
    ll_region_close(l);
    l->axis[st->axis].kind = LL_UNSET;
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(l->b);
    ll_walkers_end(l, region, times * step, latch);
    LLVMValueRef next = LLVMBuildAdd(l->b, i, ll_i64(l, times * step), "");
    LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntSLT, next, r->hi, ""), setup, after);
    LLVMAddIncoming(i, &lo, &pre, 1);
    LLVMAddIncoming(i, &next, &latch, 1);
    LLVMPositionBuilderAtEnd(l->b, after);
    for (uint32_t k = 0; k < c.n; k++) {
        LLVMValueRef now = *c.slot[k];
        LLVMAddIncoming(c.phi[k], &c.before[k], &pre, 1);
        LLVMAddIncoming(c.phi[k], &now, &latch, 1);
        if (r->some)
            continue;
        LLVMValueRef phi = LLVMBuildPhi(l->b, LLVMTypeOf(now), "");
        LLVMAddIncoming(phi, &c.before[k], &pre, 1);
        LLVMAddIncoming(phi, &now, &latch, 1);
        *c.slot[k] = phi;
    }
    arena_free(c.arena);
}

static bool index_is_const(const struct index *x)
{
    return x->n == 0 && !x->scalar && x->off.b == 0;
}

static void once(struct ll *l, const struct stmt *st)
{
    struct ll_axis a = {.kind = LL_CONST, .value = st->lo.off.c};
    if (!index_is_const(&st->lo)) {
        a.kind = LL_RUN;
        a.value = 0;
        ll_index_mod(l, &st->lo, &a.mod, &a.rem);
        a.depth = ll_index_depth(l, &st->lo);
        struct ll_at at = ll_index(l, &st->lo, NULL, NULL);
        struct ll_place back = ll_hoist(l, a.depth);
        a.run = ll_i64(l, at.lane[0]);
        if (at.base)
            a.run = at.lane[0] ? ll_bin(l, LLVMAdd, at.base, a.run) : at.base;
        ll_unhoist(l, back);
        if (!at.uniform)
            ll_fault(l, "a loop's bounds differ from lane to lane");
    }
    l->axis[st->axis] = a;
    iteration(l, st, 0);
    l->axis[st->axis].kind = LL_UNSET;
}

static void seq(struct ll *l, const struct stmt *st)
{
    if (runs_once(st)) {
        once(l, st);
        return;
    }
    struct range r = range_of(l, st);
    bool none = !r.some && LLVMIsAConstantInt(r.lo) && LLVMIsAConstantInt(r.hi);
    if (!none)
        loop(l, st, &r);
}

static void unroll(struct ll *l, const struct stmt *st)
{
    for (int32_t i = 0; i < st->hi.off.c; i++) {
        l->axis[st->axis] = (struct ll_axis){.kind = LL_CONST, .value = i};
        iteration(l, st, 0);
    }
    l->axis[st->axis].kind = LL_UNSET;
}

static void vec(struct ll *l, const struct stmt *st)
{
    if (l->vec_axis >= 0) {
        ll_fault(l, "one vec loop inside another");
        return;
    }
    l->vec_axis = st->axis;
    l->vec_hi = st->hi.off.c;
    int32_t w = l->vec;
    for (int32_t at = 0; at < l->vec_hi; at += w) {
        while (w > l->vec_hi - at)
            w /= 2;
        l->lane0 = at;
        l->width = w;
        l->axis[st->axis] = w > 1 ? (struct ll_axis){.kind = LL_LANE}
                                  : (struct ll_axis){.kind = LL_CONST, .value = at};
        iteration(l, st, 0);
    }
    l->width = 1;
    l->vec_axis = -1;
    l->axis[st->axis].kind = LL_UNSET;
}

static void grid(struct ll *l, const struct stmt *st)
{
    struct range r = {l->lo, l->hi, false, 0};
    loop(l, st, &r);
}

/* ---- statements ---- */

static LLVMValueRef accumulate(struct ll *l, uint8_t dtype, LLVMValueRef x, LLVMValueRef y,
                               LLVMValueRef acc)
{
    if (dtype == DT_F32) {
        LLVMValueRef in[3] = {x, y, acc};
        return y ? ll_intrinsic(l, "llvm.fma", l->h->f32, false, in, 3)
                 : ll_bin(l, LLVMFAdd, acc, x);
    }
    return ll_bin(l, LLVMAdd, acc, y ? ll_bin(l, LLVMMul, x, y) : x);
}

/* Conversions that a store implies: a bool into numbers, a number into another type. */
static LLVMValueRef as_dtype(struct ll *l, LLVMValueRef v, sx_id e, uint8_t dtype)
{
    unsigned type = l->sx.node[e].type;
    if (dtype == DT_F32 && type == SX_BOOL)
        return ll_cast(l, LLVMUIToFP, v, l->h->f32);
    if (dtype == DT_F32 && type != SX_FLOAT)
        return ll_cast(l, type == SX_I32 ? LLVMSIToFP : LLVMUIToFP, v, l->h->f32);
    if (dtype == DT_I32 && type == SX_BOOL)
        return ll_cast(l, LLVMZExt, v, l->h->i32);
    if ((dtype == DT_I32 && type == SX_FLOAT) || (dtype == DT_BOOL && type != SX_BOOL))
        ll_fault(l, "a statement stores a value of another type");
    return v;
}

static void assign(struct ll *l, const struct stmt *st)
{
    sx_id value, value2;
    uint8_t dtype = st->dst_tile ? l->n->tile[st->dst].dtype : l->n->buf[st->dst].dtype;
    ll_statement(l, st, &value, &value2);
    LLVMValueRef v = as_dtype(l, ll_eval(l, value), value, dtype);
    if (st->op == S_ACC) {
        LLVMValueRef w = value2 ? as_dtype(l, ll_eval(l, value2), value2, dtype) : NULL;
        v = accumulate(l, dtype, v, w, ll_current(l, st));
    }
    LLVMValueRef holds = ll_pick_holds(l, &st->pick);
    if (holds) /* what is there is stored again */
        v = ll_select(l, holds, v, ll_current(l, st));
    if (!l->fault)
        ll_store(l, st, v);
}

static void walk(struct ll *l, const struct stmt *st)
{
    static void (*const loops[])(struct ll *, const struct stmt *) = {
        [FOR_GRID] = grid, [FOR_SEQ] = seq, [FOR_UNROLL] = unroll, [FOR_VEC] = vec};
    if (l->depth + 4 > LL_REGIONS)
        ll_fault(l, "statements are nested too deeply");
    if (l->fault)
        return;
    if (st->op == S_FOR)
        loops[st->kind](l, st);
    else if (st->op == S_TILE)
        ll_tile_start(l, st);
    else if (st->op == S_FETCH)
        ll_fetch(l, st);
    else
        assign(l, st);
}

/* A statement without a grid is one unit. */
void ll_walk_stage(struct ll *l, const struct nstage *g)
{
    if (g->root->op == S_FOR && g->root->kind == FOR_GRID) {
        walk(l, g->root);
        return;
    }
    struct stmt *body[] = {g->root};
    struct stmt unit = {.op = S_FOR, .kind = FOR_SEQ, .body = body, .nbody = 1};
    guarded(l, &unit, LLVMBuildICmp(l->b, LLVMIntSLT, l->lo, l->hi, ""));
}
