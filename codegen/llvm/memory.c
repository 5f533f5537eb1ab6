/*
 * Loads and stores.  How the index moves along the lanes decides what a load is: not at
 * all, a scalar that is spread; by one, a vector; else a gather of scalars.  A guard never
 * lets an address outside the buffer be read: vectors are masked, scalars read the buffer's
 * first element instead.  What data add to an index is 0 where it is out of range.
 */
#include <string.h>

#include "codegen/llvm/emit.h"

enum { OP_BUF = 3100, OP_LOAD, OP_PAIRS, MEMSET_UNROLL = 8 };

struct memory { /* memory of a buffer or STACK tile */
    LLVMValueRef first;
    uint32_t *version;
    uint8_t dtype;
};

LLVMTypeRef ll_dtype(struct ll *l, uint8_t dtype)
{
    return dtype == DT_F32 ? l->h->f32 : dtype == DT_BOOL ? l->h->i8 : l->h->i32;
}

LLVMTypeRef ll_value_type(struct ll *l, uint8_t dtype)
{
    return dtype == DT_BOOL ? l->h->i1 : ll_dtype(l, dtype);
}

static unsigned align_of(uint8_t dtype)
{
    return dtype == DT_BOOL ? 1 : 4;
}

static LLVMValueRef buffer(struct ll *l, uint32_t id)
{
    bool found;
    LLVMValueRef all = ll_karg(l, 0, l->h->ptr), at = ll_i64(l, (int64_t)id * 8);
    struct ll_place back = ll_hoist(l, 0);
    LLVMValueRef *m = ll_memo(l, 0, OP_BUF, NULL, NULL, id, &found);
    LLVMValueRef v = *m;
    if (!found) {
        v = LLVMBuildGEP2(l->b, l->h->i8, all, &at, 1, "");
        *m = v = LLVMBuildLoad2(l->b, l->h->ptr, v, l->n->buf[id].name);
    }
    ll_unhoist(l, back);
    return v;
}

static struct memory memory_of(struct ll *l, bool tile, uint32_t id)
{
    if (tile)
        return (struct memory){l->tile[id].base, &l->tile[id].version,
                               l->n->tile[id].dtype};
    return (struct memory){buffer(l, id), &l->buf_version[id], l->n->buf[id].dtype};
}

static LLVMValueRef from_memory(struct ll *l, LLVMValueRef v, uint8_t dtype)
{
    if (dtype != DT_BOOL)
        return v;
    return ll_icmp(l, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)));
}

static LLVMValueRef lane_pointer(struct ll *l, const struct ll_at *at, LLVMTypeRef elem,
                                 int32_t i)
{
    LLVMValueRef p = at->base;
    if (at->step.b && l->lane0 + i) {
        LLVMValueRef k = ll_bin(l, LLVMMul, ll_ext(l, at->step), ll_i64(l, l->lane0 + i));
        p = ll_gep(l, elem, p, k);
    }
    return at->lane[i] ? ll_gep(l, elem, p, ll_i64(l, at->lane[i])) : p;
}

/* ---- what data add to an index ---- */

LLVMValueRef ll_pick_holds(struct ll *l, const struct pick *p)
{
    if (!p->from)
        return NULL;
    LLVMValueRef v = ll_load(l, &l->stmt->load[p->from - 1]);
    LLVMValueRef limit = ll_cast(l, LLVMTrunc, ll_ext(l, p->bound), l->h->i32);
    return ll_icmp(l, LLVMIntULT, v, limit);
}

/* In elements, i64, scalar or vector; 0 where it does not hold. */
static LLVMValueRef pick_offset(struct ll *l, const struct pick *p)
{
    if (!p->from)
        return NULL;
    LLVMValueRef v = ll_load(l, &l->stmt->load[p->from - 1]);
    v = ll_select(l, ll_pick_holds(l, p), v, ll_zero(l, v));
    return ll_bin(l, LLVMMul, ll_cast(l, LLVMSExt, v, l->h->i64), ll_ext(l, p->coef));
}

/* ---- loads ---- */

static LLVMValueRef scalar_load(struct ll *l, const struct memory *m, LLVMValueRef p,
                                LLVMValueRef cond)
{
    bool found;
    uint64_t key = (uint64_t)*m->version << 16 | m->dtype;
    LLVMValueRef *memo = ll_memo(l, l->depth, OP_LOAD, p, cond, key, &found);
    if (found)
        return *memo;
    if (cond)
        p = ll_select(l, cond, p, m->first);
    LLVMValueRef v = LLVMBuildLoad2(l->b, ll_dtype(l, m->dtype), p, "");
    LLVMSetAlignment(v, align_of(m->dtype));
    if (cond)
        v = ll_select(l, cond, v, ll_zero(l, v));
    v = from_memory(l, v, m->dtype);
    *memo = v;
    return v;
}

static LLVMValueRef masked_load(struct ll *l, const struct memory *m, LLVMTypeRef type,
                                LLVMValueRef p, LLVMValueRef mask)
{
    LLVMTypeRef over[] = {type, l->h->ptr};
    LLVMValueRef x[] = {p, ll_i32(l, align_of(m->dtype)), mask, LLVMConstNull(type)};
    return ll_call(l, "llvm.masked.load", over, 2, x, 4);
}

/* A lane each. */
static LLVMValueRef mask_of(struct ll *l, LLVMValueRef cond)
{
    struct ll_place back;
    const bool left = ll_leave_for(l, cond, &back);
    cond = ll_splat(l, cond, l->width);
    if (left)
        ll_unhoist(l, back);
    return cond;
}

static LLVMValueRef vector_load(struct ll *l, const struct memory *m, LLVMValueRef p,
                                LLVMValueRef cond)
{
    bool found;
    uint64_t key = (uint64_t)*m->version << 16 | (uint64_t)l->width << 8 | m->dtype;
    LLVMValueRef *memo = ll_memo(l, l->depth, OP_LOAD, p, cond, key, &found);
    if (found)
        return *memo;
    LLVMTypeRef type = ll_vector(ll_dtype(l, m->dtype), l->width);
    LLVMValueRef v;
    if (cond) {
        v = masked_load(l, m, type, p, mask_of(l, cond));
    } else {
        v = LLVMBuildLoad2(l->b, type, p, "");
        LLVMSetAlignment(v, align_of(m->dtype));
    }
    v = from_memory(l, v, m->dtype);
    *memo = v;
    return v;
}

static LLVMValueRef gather(struct ll *l, const struct memory *m, const struct ll_at *at,
                           LLVMValueRef off, LLVMValueRef cond)
{
    LLVMTypeRef elem = ll_dtype(l, m->dtype);
    LLVMValueRef v = LLVMGetPoison(ll_vector(ll_value_type(l, m->dtype), l->width));
    for (int32_t i = 0; i < l->width; i++) {
        LLVMValueRef c = cond ? ll_lane(l, cond, i) : NULL;
        LLVMValueRef p = lane_pointer(l, at, elem, i);
        LLVMValueRef x =
            scalar_load(l, m, off ? ll_gep(l, elem, p, ll_lane(l, off, i)) : p, c);
        v = LLVMBuildInsertElement(l->b, v, x, ll_i32(l, i), "");
    }
    return v;
}

/* Lanes two elements apart, as a strided window's are. */
static bool is_every_second(const struct ll *l, const struct memory *m,
                            const struct ll_at *at)
{
    if (m->dtype == DT_BOOL || at->step.b || l->width < 4)
        return false;
    for (int32_t i = 0; i < l->width; i++)
        if (at->lane[i] != at->lane[0] + 2 * i)
            return false;
    return true;
}

/*
 * The mask of a pair is that of its lane and nothing, an i64 of which the upper half is 0.
 * Asked for by sign, which is all that AVX2's loads look at: a mask then is the vector
 * itself, and no constants for comparing with 0 and turning the result stay in registers.
 */
static LLVMValueRef mask_of_pairs(struct ll *l, LLVMValueRef cond)
{
    bool found;
    struct ll_place back;
    LLVMTypeRef ints = ll_vector(l->h->i32, 2 * l->width);
    const bool left = cond && ll_leave_for(l, cond, &back);
    LLVMValueRef c = cond ? ll_splat(l, cond, l->width)
                          : LLVMConstAllOnes(ll_vector(l->h->i1, l->width));
    LLVMValueRef *m = ll_memo(l, l->depth, OP_PAIRS, c, NULL, 0, &found);
    if (!found) {
        c = LLVMBuildSExt(l->b, c, ll_vector(l->h->i32, l->width), "");
        c = LLVMBuildZExt(l->b, c, ll_vector(l->h->i64, l->width), "");
        c = LLVMBuildBitCast(l->b, c, ints, "");
        *m = LLVMBuildICmp(l->b, LLVMIntSLT, c, LLVMConstNull(ints), "");
    }
    if (left)
        ll_unhoist(l, back);
    return *m;
}

/* A vector twice as wide of which every second element is read, and no other. */
static LLVMValueRef every_second(struct ll *l, const struct memory *m,
                                 const struct ll_at *at, LLVMValueRef cond)
{
    LLVMTypeRef elem = ll_dtype(l, m->dtype), wide = ll_vector(elem, 2 * l->width);
    int32_t pick[LL_LANES];
    LLVMValueRef p = lane_pointer(l, at, elem, 0);
    LLVMValueRef v = masked_load(l, m, wide, p, mask_of_pairs(l, cond));
    for (int32_t i = 0; i < l->width; i++)
        pick[i] = 2 * i;
    return ll_shuffle(l, v, NULL, pick, l->width);
}

/* Two runs, lane about: two phases' results. */
static bool is_two_runs(const struct ll *l, const struct memory *m, const struct ll_at *at)
{
    if (m->dtype == DT_BOOL || at->step.b || l->width < 4)
        return false;
    for (int32_t i = 2; i < l->width; i++)
        if (at->lane[i] != at->lane[i - 2] + 1)
            return false;
    return true;
}

static LLVMValueRef two_runs(struct ll *l, const struct memory *m, const struct ll_at *at)
{
    LLVMTypeRef elem = ll_dtype(l, m->dtype);
    LLVMTypeRef half = ll_vector(elem, l->width / 2);
    int32_t pick[LL_LANES];
    LLVMValueRef run[2];
    for (int32_t i = 0; i < 2; i++) {
        run[i] = LLVMBuildLoad2(l->b, half, lane_pointer(l, at, elem, i), "");
        LLVMSetAlignment(run[i], align_of(m->dtype));
    }
    for (int32_t i = 0; i < l->width; i++)
        pick[i] = i % 2 * (l->width / 2) + i / 2;
    return ll_shuffle(l, run[0], run[1], pick, l->width);
}

/* Each lane one of a few neighbours, all of which are read: digits of the lanes.  How many
 * they are, from the first lane's on; 0: it is not so. */
static int32_t neighbours(const struct ll *l, const struct memory *m,
                          const struct ll_at *at)
{
    bool read[LL_LANES] = {false};
    int32_t n = 0, distinct = 0;
    if (m->dtype == DT_BOOL || at->step.b)
        return 0;
    for (int32_t i = 0; i < l->width; i++) {
        const int64_t off = at->lane[i] - at->lane[0];
        if (off < 0 || off >= l->width)
            return 0;
        n = off < n ? n : (int32_t)off + 1;
        distinct += !read[off];
        read[off] = true;
    }
    return distinct == n && (n & (n - 1)) == 0 ? n : 0;
}

static LLVMValueRef of_neighbours(struct ll *l, const struct memory *m,
                                  const struct ll_at *at, int32_t n)
{
    LLVMTypeRef elem = ll_dtype(l, m->dtype);
    LLVMValueRef v =
        LLVMBuildLoad2(l->b, ll_vector(elem, n), lane_pointer(l, at, elem, 0), "");
    int32_t pick[LL_LANES];
    LLVMSetAlignment(v, align_of(m->dtype));
    for (int32_t i = 0; i < l->width; i++)
        pick[i] = (int32_t)(at->lane[i] - at->lane[0]);
    return ll_shuffle(l, v, NULL, pick, l->width);
}

static LLVMValueRef memory_load(struct ll *l, const struct memory *m, const struct index *x,
                                LLVMValueRef off, LLVMValueRef cond)
{
    LLVMTypeRef elem = ll_dtype(l, m->dtype);
    struct ll_at at = ll_index(l, x, m->first, elem);
    if (off && ll_is_vector(off))
        return gather(l, m, &at, off, cond);
    if (off)
        at.base = ll_gep(l, elem, at.base, off);
    if (at.uniform && cond && ll_is_vector(cond)) {
        LLVMValueRef any =
            ll_intrinsic(l, "llvm.vector.reduce.or", l->h->i1, false, &cond, 1);
        LLVMValueRef v = scalar_load(l, m, lane_pointer(l, &at, elem, 0), any);
        return ll_select(l, cond, v, ll_zero(l, v));
    }
    if (at.uniform)
        return scalar_load(l, m, lane_pointer(l, &at, elem, 0), cond);
    if (at.contiguous)
        return vector_load(l, m, lane_pointer(l, &at, elem, 0), cond);
    if (is_every_second(l, m, &at))
        return every_second(l, m, &at, cond);
    if (!cond && is_two_runs(l, m, &at))
        return two_runs(l, m, &at);
    const int32_t n = cond ? 0 : neighbours(l, m, &at);
    if (n)
        return of_neighbours(l, m, &at, n);
    return gather(l, m, &at, NULL, cond);
}

/* Where data point outside: some element of the buffer. */
static LLVMValueRef any_load(struct ll *l, const struct nload *x)
{
    bool never;
    LLVMValueRef cond = ll_guards(l, x->guard, x->nguard, &never), v;
    uint8_t dtype = x->tile ? l->n->tile[x->id].dtype : l->n->buf[x->id].dtype;
    if (never)
        return LLVMConstNull(ll_value_type(l, dtype));
    if (!x->tile || l->n->tile[x->id].space == TILE_STACK) {
        struct memory m = memory_of(l, x->tile, x->id);
        return memory_load(l, &m, &x->index, pick_offset(l, &x->pick), cond);
    }
    v = ll_tile_read(l, x->id, &x->index);
    return cond ? ll_select(l, cond, v, ll_zero(l, v)) : v;
}

LLVMValueRef ll_load(struct ll *l, const struct nload *x)
{
    LLVMValueRef v = any_load(l, x), holds = ll_pick_holds(l, &x->pick);
    return holds ? ll_select(l, holds, v, ll_zero(l, v)) : v;
}

LLVMValueRef ll_current(struct ll *l, const struct stmt *st)
{
    struct nload x = {
        .tile = st->dst_tile, .id = st->dst, .index = st->index, .pick = st->pick};
    return any_load(l, &x);
}

/* ---- hints ---- */

void ll_fetch(struct ll *l, const struct stmt *st)
{
    const struct memory m = memory_of(l, st->dst_tile, st->dst);
    LLVMTypeRef elem = ll_dtype(l, m.dtype);
    const struct ll_at at = ll_index(l, &st->index, m.first, elem);
    LLVMValueRef in[] = {lane_pointer(l, &at, elem, 0), ll_i32(l, 0), ll_i32(l, 3),
                         ll_i32(l, 1)};
    ll_call(l, "llvm.prefetch", &l->h->ptr, 1, in, 4);
}

/* ---- stores ---- */

static LLVMValueRef store_at(struct ll *l, const struct memory *m, LLVMValueRef p,
                             LLVMValueRef v)
{
    LLVMValueRef s = LLVMBuildStore(l->b, v, p);
    LLVMSetAlignment(s, align_of(m->dtype));
    return s;
}

/*
 * Whole vectors at their alignment: buffers begin at lines of the caches.  What is less is
 * stored as ever.
 */
static void store_around(struct ll *l, const struct stmt *st, LLVMValueRef store)
{
    int64_t mod, rem;
    ll_index_mod(l, &st->index, &mod, &rem);
    if (l->width != l->vec || mod < l->vec || rem % l->vec)
        return;
    const unsigned kind = LLVMGetMDKindIDInContext(l->h->cx, "nontemporal", 11);
    LLVMMetadataRef one = LLVMValueAsMetadata(ll_i32(l, 1));
    LLVMSetAlignment(store, 4 * (unsigned)l->vec);
    LLVMSetMetadata(store, kind,
                    LLVMMetadataAsValue(l->h->cx, LLVMMDNodeInContext2(l->h->cx, &one, 1)));
    l->around = true;
}

void ll_stores_end(struct ll *l)
{
    if (!l->around || strncmp(LLVMGetTarget(l->mod), "x86_64", 6) != 0)
        return;
    ll_call(l, "llvm.x86.sse.sfence", NULL, 0, NULL, 0);
    l->around = false;
}

/*
 * The watch: v - v is 0 where v is finite, and not a number else.  The bits gather in a
 * register tile behind the nest's own, as wide as the machine's vectors.
 */
static void watch(struct ll *l, LLVMValueRef v)
{
    struct ll_tile *t = &l->tile[l->n->ntile];
    const int32_t w = ll_width(v);
    LLVMTypeRef type = ll_vector(l->h->i32, w);
    LLVMValueRef d = LLVMBuildFSub(l->b, v, v, "");
    d = LLVMBuildBitCast(l->b, d, type, "");
    LLVMValueRef all = ll_zero(l, t->piece[0]);
    if (w == 1) {
        d = LLVMBuildInsertElement(l->b, all, d, ll_i32(l, 0), "");
    } else if (w < l->vec) {
        int32_t at[LL_LANES];
        for (int32_t i = 0; i < l->vec; i++)
            at[i] = i < w ? i : w; /* an element of the zeros */
        d = ll_shuffle(l, d, LLVMConstNull(type), at, l->vec);
    }
    t->piece[0] = LLVMBuildOr(l->b, t->piece[0], d, "watch");
}

void ll_watch_start(struct ll *l)
{
    struct ll_tile *t = &l->tile[l->n->ntile];
    t->npiece = 1;
    t->piece = arena_array(l->arena, 1, sizeof *t->piece);
    t->piece[0] = LLVMConstNull(ll_vector(l->h->i32, l->vec));
}

void ll_watch_end(struct ll *l)
{
    LLVMValueRef seen = l->tile[l->n->ntile].piece[0];
    if (LLVMIsConstant(seen))
        return;
    LLVMValueRef at = ll_karg(l, 40, l->h->ptr);
    LLVMValueRef all = LLVMBuildLoad2(l->b, LLVMTypeOf(seen), at, "");
    LLVMSetAlignment(all, 4);
    LLVMValueRef now = LLVMBuildStore(l->b, LLVMBuildOr(l->b, all, seen, ""), at);
    LLVMSetAlignment(now, 4);
}

void ll_store(struct ll *l, const struct stmt *st, LLVMValueRef v)
{
    if (st->dst_tile && l->n->tile[st->dst].space == TILE_REG) {
        ll_tile_write(l, st->dst, &st->index, v);
        return;
    }
    struct memory m = memory_of(l, st->dst_tile, st->dst);
    LLVMTypeRef elem = ll_dtype(l, m.dtype);
    struct ll_at at = ll_index(l, &st->index, m.first, elem);
    LLVMValueRef off = pick_offset(l, &st->pick);
    if (off && ll_is_vector(off))
        ll_fault(l, "where a statement stores differs from lane to lane by data");
    else if (off)
        at.base = ll_gep(l, elem, at.base, off);
    if (m.dtype == DT_BOOL)
        v = ll_cast(l, LLVMZExt, v, l->h->i8);
    if (!st->dst_tile && l->n->buf[st->dst].watched)
        watch(l, v);
    if (l->width == 1 || at.contiguous) {
        LLVMValueRef s =
            store_at(l, &m, lane_pointer(l, &at, elem, 0), ll_splat(l, v, l->width));
        if (!st->dst_tile && l->n->buf[st->dst].far && !off)
            store_around(l, st, s);
    }
    for (int32_t i = 0; l->width > 1 && !at.contiguous && i < l->width; i++)
        store_at(l, &m, lane_pointer(l, &at, elem, i), ll_lane(l, v, i));
    ++*m.version;
}

/* Vectors in a loop when there are many, the rest one by one. */
void ll_fill(struct ll *l, uint32_t tile, uint64_t n, LLVMValueRef v)
{
    const struct memory m = memory_of(l, true, tile);
    uint64_t w = (uint64_t)l->vec, whole = n / w * w, at = 0;
    LLVMTypeRef elem = ll_dtype(l, m.dtype);
    if (m.dtype == DT_BOOL)
        v = ll_cast(l, LLVMZExt, v, l->h->i8);
    LLVMValueRef wide = ll_splat(l, v, l->vec);
    if (whole / w > MEMSET_UNROLL) {
        LLVMBasicBlockRef before = LLVMGetInsertBlock(l->b), loop = ll_block(l, "fill");
        LLVMBasicBlockRef after = ll_block(l, "filled");
        LLVMBuildBr(l->b, loop);
        LLVMPositionBuilderAtEnd(l->b, loop);
        LLVMValueRef i = LLVMBuildPhi(l->b, l->h->i64, ""), zero = ll_i64(l, 0);
        store_at(l, &m, LLVMBuildGEP2(l->b, elem, m.first, &i, 1, ""), wide);
        LLVMValueRef next = LLVMBuildAdd(l->b, i, ll_i64(l, (int64_t)w), "");
        LLVMAddIncoming(i, &zero, &before, 1);
        LLVMAddIncoming(i, &next, &loop, 1);
        LLVMValueRef more =
            LLVMBuildICmp(l->b, LLVMIntULT, next, ll_i64(l, (int64_t)whole), "");
        LLVMBuildCondBr(l->b, more, loop, after);
        LLVMPositionBuilderAtEnd(l->b, after);
        at = whole;
    }
    for (; at < n; at += at < whole ? w : 1) {
        LLVMValueRef k = ll_i64(l, (int64_t)at);
        store_at(l, &m, LLVMBuildGEP2(l->b, elem, m.first, &k, 1, ""),
                 at < whole ? wide : v);
    }
}
