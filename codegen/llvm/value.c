/*
 * Types, constants and numbered operations: the same operation on the same operands is
 * emitted once as long as its first emission dominates.  Constants fold in LLVM's builder.
 */
#include <string.h>

#include "codegen/llvm/emit.h"

void ll_fault(struct ll *l, const char *what)
{
    if (!l->fault)
        l->fault = what;
}

LLVMTypeRef ll_type(struct ll *l, enum sx_type type)
{
    return type == SX_FLOAT ? l->h->f32 : type == SX_BOOL ? l->h->i1 : l->h->i32;
}

LLVMTypeRef ll_vector(LLVMTypeRef elem, int32_t width)
{
    return width > 1 ? LLVMVectorType(elem, (unsigned)width) : elem;
}

bool ll_is_vector(LLVMValueRef v)
{
    return LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind;
}

int32_t ll_width(LLVMValueRef v)
{
    return ll_is_vector(v) ? (int32_t)LLVMGetVectorSize(LLVMTypeOf(v)) : 1;
}

LLVMValueRef ll_i32(struct ll *l, int64_t x)
{
    return LLVMConstInt(l->h->i32, (unsigned long long)x & 0xffffffffU, false);
}

LLVMValueRef ll_i64(struct ll *l, int64_t x)
{
    return LLVMConstInt(l->h->i64, (unsigned long long)x, true);
}

LLVMValueRef ll_f32(struct ll *l, double x)
{
    float f = (float)x;
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return LLVMConstBitCast(ll_i32(l, u), l->h->f32);
}

LLVMValueRef ll_zero(struct ll *l, LLVMValueRef like)
{
    (void)l;
    return LLVMConstNull(LLVMTypeOf(like));
}

LLVMValueRef ll_lanes(struct ll *l, LLVMTypeRef elem, const int64_t *x, int32_t width)
{
    LLVMValueRef c[LL_LANES];
    (void)l;
    for (int32_t i = 0; i < width; i++)
        c[i] = LLVMConstInt(elem, (unsigned long long)x[i], true);
    return width == 1 ? c[0] : LLVMConstVector(c, (unsigned)width);
}

/* ---- numbering ---- */

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9E3779B97F4A7C15U;
    return h ^ (h >> 29);
}

LLVMValueRef *ll_memo(struct ll *l, unsigned depth, uint64_t op, const void *a,
                      const void *b, uint64_t c, bool *found)
{
    const uint64_t key[4] = {op | (uint64_t)l->where << 62, (uintptr_t)a, (uintptr_t)b, c};
    uint64_t h = mix(mix(mix(mix(1, key[0]), key[1]), key[2]), key[3]);
    struct ll_memo **head = &l->bucket[h % (sizeof l->bucket / sizeof *l->bucket)];
    *found = true;
    for (struct ll_memo *m = *head; m; m = m->chain)
        if (memcmp(m->key, key, sizeof key) == 0)
            return &m->value;
    struct ll_memo *m = l->spare;
    if (m)
        l->spare = m->sibling;
    else
        m = arena_alloc(l->arena, sizeof *m);
    memcpy(m->key, key, sizeof key);
    m->value = NULL;
    m->chain = *head;
    m->sibling = l->region[depth].memo;
    l->region[depth].memo = m;
    *head = m;
    *found = false;
    return &m->value;
}

static void forget(struct ll *l, struct ll_memo *m)
{
    uint64_t h = mix(mix(mix(mix(1, m->key[0]), m->key[1]), m->key[2]), m->key[3]);
    struct ll_memo **p = &l->bucket[h % (sizeof l->bucket / sizeof *l->bucket)];
    while (*p != m)
        p = &(*p)->chain;
    *p = m->chain;
}

/* ---- scopes ---- */

LLVMBasicBlockRef ll_block(struct ll *l, const char *name)
{
    return LLVMAppendBasicBlockInContext(l->h->cx, l->fn, name);
}

void ll_region_open(struct ll *l, LLVMBasicBlockRef setup)
{
    l->region[++l->depth] = (struct ll_region){.setup = setup};
}

void ll_region_close(struct ll *l)
{
    struct ll_region *r = &l->region[l->depth--];
    while (r->memo) {
        struct ll_memo *m = r->memo;
        forget(l, m);
        r->memo = m->sibling;
        m->sibling = l->spare;
        l->spare = m;
    }
}

struct ll_place ll_hoist(struct ll *l, unsigned depth)
{
    struct ll_place back = {LLVMGetInsertBlock(l->b), l->depth, l->where};
    LLVMPositionBuilderBefore(l->b, LLVMGetBasicBlockTerminator(l->region[depth].setup));
    l->depth = depth;
    l->where = LL_SETUP;
    return back;
}

/* The innermost loop's region; 0: there is none. */
static unsigned loop_of(const struct ll *l)
{
    unsigned d = l->depth;
    while (d && !l->region[d].before)
        d--;
    return l->where == LL_BODY ? d : 0;
}

bool ll_leave(struct ll *l, unsigned depth, struct ll_place *back)
{
    const unsigned d = loop_of(l);
    if (depth >= d)
        return false;
    *back = (struct ll_place){LLVMGetInsertBlock(l->b), l->depth, l->where};
    LLVMPositionBuilderBefore(l->b, LLVMGetBasicBlockTerminator(l->region[d].before));
    l->depth = d;
    l->where = LL_BEFORE;
    return true;
}

bool ll_leave_for(struct ll *l, LLVMValueRef v, struct ll_place *back)
{
    const unsigned d = loop_of(l);
    return d && LLVMIsAInstruction(v) &&
           LLVMGetInstructionParent(v) == l->region[d].before && ll_leave(l, 0, back);
}

void ll_unhoist(struct ll *l, struct ll_place back)
{
    l->depth = back.depth;
    l->where = back.where;
    if (back.where != LL_BODY)
        LLVMPositionBuilderBefore(l->b, LLVMGetBasicBlockTerminator(back.block));
    else
        LLVMPositionBuilderAtEnd(l->b, back.block);
}

/* ---- operations ---- */

enum {
    OP_SPLAT = 1000,
    OP_SELECT,
    OP_LANE,
    OP_NEG,
    OP_ICMP = 2000,
    OP_FCMP = 2100,
    OP_CAST = 2200,
    OP_CALL = 4000
};

LLVMValueRef ll_splat(struct ll *l, LLVMValueRef v, int32_t width)
{
    bool found;
    if (width <= 1 || ll_is_vector(v))
        return v;
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(v), (unsigned)width);
    if (LLVMIsConstant(v)) {
        LLVMValueRef c[LL_LANES];
        for (int32_t i = 0; i < width; i++)
            c[i] = v;
        return LLVMConstVector(c, (unsigned)width);
    }
    LLVMValueRef *m = ll_memo(l, l->depth, OP_SPLAT, v, NULL, (uint64_t)width, &found);
    if (found)
        return *m;
    LLVMValueRef one =
        LLVMBuildInsertElement(l->b, LLVMGetPoison(type), v, ll_i32(l, 0), "");
    LLVMValueRef at = LLVMConstNull(LLVMVectorType(l->h->i32, (unsigned)width));
    return *m = LLVMBuildShuffleVector(l->b, one, LLVMGetPoison(type), at, "");
}

/* Both scalars, or both vectors. */
static void level(struct ll *l, LLVMValueRef *x, LLVMValueRef *y)
{
    int32_t w = ll_width(*x), v = ll_width(*y);
    *x = ll_splat(l, *x, v);
    *y = ll_splat(l, *y, w);
}

/* A constant stands second, so that x + 1 and 1 + x are numbered as one. */
static void order(LLVMOpcode op, LLVMValueRef *x, LLVMValueRef *y)
{
    const bool commutes =
        op == LLVMAdd || op == LLVMMul || op == LLVMAnd || op == LLVMOr || op == LLVMXor;
    if (!commutes || !LLVMIsConstant(*x) || LLVMIsConstant(*y))
        return;
    const LLVMValueRef constant = *x;
    *x = *y;
    *y = constant;
}

LLVMValueRef ll_bin(struct ll *l, LLVMOpcode op, LLVMValueRef x, LLVMValueRef y)
{
    bool found;
    level(l, &x, &y);
    order(op, &x, &y);
    LLVMValueRef *m = ll_memo(l, l->depth, op, x, y, 0, &found);
    return found ? *m : (*m = LLVMBuildBinOp(l->b, op, x, y, ""));
}

LLVMValueRef ll_cast(struct ll *l, LLVMOpcode op, LLVMValueRef x, LLVMTypeRef elem)
{
    bool found;
    LLVMTypeRef type = ll_vector(elem, ll_width(x));
    if (type == LLVMTypeOf(x))
        return x;
    LLVMValueRef *m = ll_memo(l, l->depth, OP_CAST + (uint64_t)op, x, type, 0, &found);
    return found ? *m : (*m = LLVMBuildCast(l->b, op, x, type, ""));
}

LLVMValueRef ll_icmp(struct ll *l, LLVMIntPredicate p, LLVMValueRef x, LLVMValueRef y)
{
    bool found;
    level(l, &x, &y);
    LLVMValueRef *m = ll_memo(l, l->depth, OP_ICMP + (uint64_t)p, x, y, 0, &found);
    return found ? *m : (*m = LLVMBuildICmp(l->b, p, x, y, ""));
}

LLVMValueRef ll_fcmp(struct ll *l, LLVMRealPredicate p, LLVMValueRef x, LLVMValueRef y)
{
    bool found;
    level(l, &x, &y);
    LLVMValueRef *m = ll_memo(l, l->depth, OP_FCMP + (uint64_t)p, x, y, 0, &found);
    return found ? *m : (*m = LLVMBuildFCmp(l->b, p, x, y, ""));
}

LLVMValueRef ll_select(struct ll *l, LLVMValueRef c, LLVMValueRef x, LLVMValueRef y)
{
    bool found;
    if (x == y)
        return x;
    level(l, &x, &y);
    int32_t w = ll_width(c);
    x = ll_splat(l, x, w);
    y = ll_splat(l, y, w);
    LLVMValueRef *m = ll_memo(l, l->depth, OP_SELECT, c, x, (uintptr_t)y, &found);
    return found ? *m : (*m = LLVMBuildSelect(l->b, c, x, y, ""));
}

LLVMValueRef ll_neg(struct ll *l, LLVMValueRef x)
{
    bool found;
    LLVMValueRef *m = ll_memo(l, l->depth, OP_NEG, x, NULL, 0, &found);
    return found ? *m : (*m = LLVMBuildFNeg(l->b, x, ""));
}

LLVMValueRef ll_call(struct ll *l, const char *name, LLVMTypeRef *over, unsigned nover,
                     LLVMValueRef *x, unsigned n)
{
    const unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(l->mod, id, over, nover);
    LLVMTypeRef type = LLVMIntrinsicGetType(l->h->cx, id, over, nover);
    return LLVMBuildCall2(l->b, type, f, x, n, "");
}

LLVMValueRef ll_intrinsic(struct ll *l, const char *name, LLVMTypeRef result,
                          bool by_operand, LLVMValueRef *x, unsigned n)
{
    bool found;
    int32_t w = 1;
    for (unsigned i = 0; i < n; i++)
        w = ll_width(x[i]) > w ? ll_width(x[i]) : w;
    for (unsigned i = 0; i < n; i++)
        x[i] = ll_splat(l, x[i], w);
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    uint64_t more = n > 2 ? (uintptr_t)x[2] : 0;
    LLVMValueRef *m =
        ll_memo(l, l->depth, OP_CALL + id, x[0], n > 1 ? x[1] : NULL, more, &found);
    if (found)
        return *m;
    LLVMTypeRef over[2] = {ll_vector(result, w), LLVMTypeOf(x[0])};
    return *m = ll_call(l, name, over, by_operand ? 2 : 1, x, n);
}

LLVMValueRef ll_shuffle(struct ll *l, LLVMValueRef x, LLVMValueRef y, const int32_t *at,
                        int32_t width)
{
    LLVMValueRef mask[LL_LANES];
    for (int32_t i = 0; i < width; i++)
        mask[i] = at[i] < 0 ? LLVMGetPoison(l->h->i32) : ll_i32(l, at[i]);
    if (!y)
        y = LLVMGetPoison(LLVMTypeOf(x));
    LLVMValueRef m = LLVMConstVector(mask, (unsigned)width);
    return LLVMBuildShuffleVector(l->b, x, y, m, "");
}

LLVMValueRef ll_lane(struct ll *l, LLVMValueRef v, int32_t lane)
{
    bool found;
    if (!ll_is_vector(v))
        return v;
    LLVMValueRef *m = ll_memo(l, l->depth, OP_LANE, v, NULL, (uint64_t)lane, &found);
    return found ? *m : (*m = LLVMBuildExtractElement(l->b, v, ll_i32(l, lane), ""));
}
