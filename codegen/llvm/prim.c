/*
 * Primitives of scalar expressions as instructions.  No fast-math flag is ever set, so
 * every float operation is IEEE and none is contracted.
 */
#include "codegen/llvm/emit.h"

static LLVMValueRef call1(struct ll *l, const char *name, LLVMValueRef x)
{
    return ll_intrinsic(l, name, l->h->f32, false, &x, 1);
}

/* x / y towards zero, 0 where y is 0, wrapping at the smallest over -1. */
static LLVMValueRef int_div(struct ll *l, bool is_signed, LLVMValueRef x, LLVMValueRef y)
{
    if (!is_signed && LLVMIsConstant(y) && !LLVMIsNull(y))
        return ll_bin(l, LLVMUDiv, x, y);
    if (LLVMIsAConstantInt(y) && LLVMConstIntGetSExtValue(y) > 0)
        return ll_bin(l, LLVMSDiv, x, y);
    LLVMValueRef zero = ll_icmp(l, LLVMIntEQ, y, ll_i32(l, 0));
    if (!is_signed) {
        LLVMValueRef safe = ll_select(l, zero, ll_i32(l, 1), y);
        return ll_select(l, zero, ll_i32(l, 0), ll_bin(l, LLVMUDiv, x, safe));
    }
    LLVMValueRef minus = ll_icmp(l, LLVMIntEQ, y, ll_i32(l, -1));
    LLVMValueRef safe = ll_select(l, ll_bin(l, LLVMOr, zero, minus), ll_i32(l, 1), y);
    LLVMValueRef q = ll_bin(l, LLVMSDiv, x, safe);
    q = ll_select(l, minus, ll_bin(l, LLVMSub, ll_i32(l, 0), x), q);
    return ll_select(l, zero, ll_i32(l, 0), q);
}

static LLVMValueRef int_rem(struct ll *l, bool is_signed, LLVMValueRef x, LLVMValueRef y)
{
    LLVMValueRef q = int_div(l, is_signed, x, y);
    return ll_bin(l, LLVMSub, x, ll_bin(l, LLVMMul, q, y));
}

static LLVMValueRef mulhi(struct ll *l, LLVMValueRef x, LLVMValueRef y)
{
    LLVMValueRef wide = ll_bin(l, LLVMMul, ll_cast(l, LLVMZExt, x, l->h->i64),
                               ll_cast(l, LLVMZExt, y, l->h->i64));
    return ll_cast(l, LLVMTrunc, ll_bin(l, LLVMLShr, wide, ll_i64(l, 32)), l->h->i32);
}

static LLVMValueRef compare(struct ll *l, unsigned op, unsigned type, LLVMValueRef x,
                            LLVMValueRef y)
{
    static const LLVMRealPredicate real[] = {LLVMRealOLT, LLVMRealOLE, LLVMRealOEQ};
    static const LLVMIntPredicate sint[] = {LLVMIntSLT, LLVMIntSLE, LLVMIntEQ};
    static const LLVMIntPredicate uint[] = {LLVMIntULT, LLVMIntULE, LLVMIntEQ};
    unsigned i = op - SX_LT;
    if (type == SX_FLOAT)
        return ll_fcmp(l, real[i], x, y);
    return ll_icmp(l, type == SX_I32 ? sint[i] : uint[i], x, y);
}

static LLVMValueRef shift(struct ll *l, LLVMOpcode op, LLVMValueRef x, LLVMValueRef y)
{
    return ll_bin(l, op, x, ll_bin(l, LLVMAnd, y, ll_i32(l, 31)));
}

static LLVMValueRef float_prim(struct ll *l, unsigned op, LLVMValueRef x[3])
{
    switch (op) {
    case SX_ADD:
        return ll_bin(l, LLVMFAdd, x[0], x[1]);
    case SX_SUB:
        return ll_bin(l, LLVMFSub, x[0], x[1]);
    case SX_MUL:
        return ll_bin(l, LLVMFMul, x[0], x[1]);
    case SX_DIV:
        return ll_bin(l, LLVMFDiv, x[0], x[1]);
    case SX_NEG:
        return ll_neg(l, x[0]);
    case SX_FMA:
        return ll_intrinsic(l, "llvm.fma", l->h->f32, false, x, 3);
    case SX_MIN:
        return ll_select(l, ll_fcmp(l, LLVMRealOLT, x[0], x[1]), x[0], x[1]);
    case SX_MAX:
        return ll_select(l, ll_fcmp(l, LLVMRealOGT, x[0], x[1]), x[0], x[1]);
    case SX_ABS:
        return call1(l, "llvm.fabs", x[0]);
    case SX_SQRT:
        return call1(l, "llvm.sqrt", x[0]);
    case SX_FLOOR:
        return call1(l, "llvm.floor", x[0]);
    default:
        return NULL;
    }
}

static LLVMValueRef int_prim(struct ll *l, unsigned op, bool is_signed, LLVMValueRef x[3])
{
    switch (op) {
    case SX_IADD:
        return ll_bin(l, LLVMAdd, x[0], x[1]);
    case SX_ISUB:
        return ll_bin(l, LLVMSub, x[0], x[1]);
    case SX_IMUL:
        return ll_bin(l, LLVMMul, x[0], x[1]);
    case SX_IDIV:
        return int_div(l, is_signed, x[0], x[1]);
    case SX_IREM:
        return int_rem(l, is_signed, x[0], x[1]);
    case SX_SHL:
        return shift(l, LLVMShl, x[0], x[1]);
    case SX_SHR:
        return shift(l, is_signed ? LLVMAShr : LLVMLShr, x[0], x[1]);
    case SX_IAND:
        return ll_bin(l, LLVMAnd, x[0], x[1]);
    case SX_IOR:
        return ll_bin(l, LLVMOr, x[0], x[1]);
    case SX_IXOR:
        return ll_bin(l, LLVMXor, x[0], x[1]);
    case SX_MULHI:
        return mulhi(l, x[0], x[1]);
    default:
        return NULL;
    }
}

static LLVMValueRef convert(struct ll *l, unsigned op, LLVMValueRef x)
{
    switch (op) {
    case SX_I2F:
        return ll_cast(l, LLVMSIToFP, x, l->h->f32);
    case SX_U2F:
        return ll_cast(l, LLVMUIToFP, x, l->h->f32);
    case SX_F2I:
        return ll_intrinsic(l, "llvm.fptosi.sat", l->h->i32, true, &x, 1);
    case SX_BITS:
        return ll_cast(l, LLVMBitCast, x, l->h->i32);
    case SX_FROM_BITS:
        return ll_cast(l, LLVMBitCast, x, l->h->f32);
    case SX_I2U:
    case SX_U2I:
        return x;
    default:
        return NULL;
    }
}

LLVMValueRef ll_prim(struct ll *l, const struct sx_node *node, const uint8_t in[3],
                     LLVMValueRef x[3])
{
    unsigned op = node->op;
    LLVMValueRef v = NULL;
    if (op <= SX_FLOOR)
        v = float_prim(l, op, x);
    else if (op <= SX_EQ)
        v = compare(l, op, in[0], x[0], x[1]);
    else if (op == SX_AND)
        v = ll_bin(l, LLVMAnd, x[0], x[1]);
    else if (op == SX_OR)
        v = ll_bin(l, LLVMOr, x[0], x[1]);
    else if (op == SX_NOT)
        v = ll_bin(l, LLVMXor, x[0], LLVMConstInt(l->h->i1, 1, false));
    else if (op == SX_SEL)
        v = ll_select(l, x[0], x[1], x[2]);
    else if (op <= SX_MULHI)
        v = int_prim(l, op, node->type == SX_I32, x);
    else
        v = convert(l, op, x[0]);
    if (!v) {
        ll_fault(l, "a primitive that is not in the table");
        v = LLVMConstNull(ll_type(l, node->type));
    }
    return v;
}
