/*
 * Draws.  Where the elements of a draw are contiguous along the lanes and start at a
 * multiple of 4, a block of counters is run at once, one counter a lane, and the four words
 * of each are moved to their elements afterwards; normals are made before that move, so
 * that both results of a Box-Muller pair are used.  Two rows that have half a vector each
 * (sched_draw.c walks rows in twos) are one block.  Everything else follows the definition
 * lane by lane: the same bits.
 *
 * Philox multiplies 32 by 32 bits to 64, so counters are kept in the low halves of 64-bit
 * lanes, and what lands in the high halves is never looked at.
 */
#include "codegen/llvm/emit.h"
#include "codegen/loop/index.h"

enum {
    OP_BLOCK = 3400,
    OP_LANES = 3500,
    ROUNDS = 2 /* of Philox in the body of its loop */
};

struct block { /* of lanes start..start+4*count of the open VEC */
    int32_t start, count;
    bool
        spread; /* two vectors of 64-bit lanes, in the order that the transposition wants */
    bool pair;  /* of these lanes in two rows: the second half is the next sample's */
    bool second; /* and that is the row which is asked for */
    LLVMValueRef e0, sample;
    uint32_t draw;
};

/* ---- what is known about an element expression ---- */

/* Its step from lane to lane; false: none that is constant. */
static bool lane_step(const struct ll *l, sx_id e, int64_t *step)
{
    const struct sx_node *n = &l->sx.node[e];
    int64_t x = 0, y = 0;
    *step = 0;
    switch (n->op) {
    case SX_K:
    case SX_SCALAR:
        return true;
    case SX_AXIS:
        *step = l->axis[n->a].kind == LL_LANE;
        return true;
    case SX_IADD:
    case SX_ISUB:
        if (!lane_step(l, n->a, &x) || !lane_step(l, n->b, &y))
            return false;
        *step = n->op == SX_IADD ? x + y : x - y;
        return true;
    case SX_IMUL:
        if (!lane_step(l, n->a, &x) || !lane_step(l, n->b, &y))
            return false;
        if (x && l->sx.node[n->b].op != SX_K)
            return false;
        if (y && l->sx.node[n->a].op != SX_K)
            return false;
        *step = x * (int32_t)l->sx.node[n->b].a + y * (int32_t)l->sx.node[n->a].a;
        return x == 0 || y == 0;
    case SX_IDIV:
    case SX_IREM:
        return lane_step(l, n->a, &x) && lane_step(l, n->b, &y) && x == 0 && y == 0;
    default:
        return false;
    }
}

/* Its value modulo 4 where the lane's axis is 0; -1: unknown. */
static int residue(const struct ll *l, sx_id e)
{
    const struct sx_node *n = &l->sx.node[e];
    const struct ll_axis *a;
    int x, y;
    switch (n->op) {
    case SX_K:
        return (int)(n->a & 3);
    case SX_AXIS:
        a = &l->axis[n->a];
        if (a->kind == LL_LANE)
            return 0;
        if (a->kind == LL_CONST)
            return (int)(a->value & 3);
        return a->kind == LL_RUN && a->mod >= 4 ? (int)((a->rem + a->value) & 3) : -1;
    case SX_IADD:
    case SX_ISUB:
    case SX_IMUL:
        x = residue(l, n->a);
        y = residue(l, n->b);
        if (n->op == SX_IMUL && (x == 0 || y == 0))
            return 0;
        if (x < 0 || y < 0)
            return -1;
        return (n->op == SX_IADD ? x + y : n->op == SX_ISUB ? x + 4 - y : x * y) & 3;
    default:
        return -1;
    }
}

static LLVMValueRef sample_of(struct ll *l, uint32_t draw)
{
    return ll_cast(l, LLVMTrunc, ll_index_value(l, &l->n->rng[draw].sample), l->h->i32);
}

/* The same draw for the sample `more` further on; the number of draws if nothing asks. */
static uint32_t draw_beside(const struct ll *l, uint32_t draw, int32_t more)
{
    const struct nrng *r = &l->n->rng[draw];
    struct index sample = r->sample;
    uint32_t i = 0;
    sample.off.c += more;
    while (i < l->n->nrng && !(l->n->rng[i].scalar == r->scalar &&
                               index_equal(&l->n->rng[i].sample, &sample)))
        i++;
    return i;
}

/* Half a vector of counters, and as many of another row: they are run together. */
static void join_rows(struct ll *l, struct block *b)
{
    const uint32_t none = l->n->nrng, before = draw_beside(l, b->draw, -1);
    const bool second = before < none && draw_beside(l, b->draw, -2) == none;
    const bool first = before == none && draw_beside(l, b->draw, 1) < none;
    if (2 * b->count != l->vec || l->vec < 8 || !(first || second))
        return;
    b->second = second;
    b->pair = b->spread = true;
    b->count = l->vec;
    if (b->second) {
        b->draw = before;
        b->sample = sample_of(l, before);
    }
}

static bool find_block(struct ll *l, uint32_t draw, sx_id e, struct block *b)
{
    int64_t step;
    if (l->width == 1 || !lane_step(l, e, &step) || step != 1 || residue(l, e) != 0)
        return false;
    int32_t most = 4 * l->vec, start = l->lane0 / most * most, left = l->vec_hi - start;
    int32_t n = left < most ? left : most;
    int32_t count = n / 4;
    if (n % 4 || count < 2 || (count & (count - 1)))
        return false;
    LLVMValueRef sample = sample_of(l, draw);
    if (ll_is_vector(sample))
        return false;
    *b = (struct block){.start = start,
                        .count = count,
                        .spread = count == l->vec && count >= 8,
                        .sample = sample,
                        .draw = draw};
    b->e0 = ll_eval_at(l, e, start);
    join_rows(l, b);
    return !ll_is_vector(b->e0);
}

/* ---- Philox ---- */

static LLVMValueRef low(struct ll *l, LLVMValueRef x)
{
    return ll_bin(l, LLVMAnd, x, ll_i64(l, 0xffffffff));
}

static LLVMValueRef wide(struct ll *l, LLVMValueRef x)
{
    return ll_cast(l, LLVMZExt, x, l->h->i64);
}

static LLVMValueRef word_scalar(struct ll *l, uint32_t slot)
{
    return wide(l, ll_scalar(l, slot, SX_U32));
}

/* Seed and site, once: c2 c3 are counter words, k0 k1 the key; all i64 with 32 bits. */
struct stream {
    LLVMValueRef c2, c3, k0, k1;
};

static struct stream stream_of(struct ll *l, uint32_t draw)
{
    uint32_t at = l->n->rng[draw].scalar;
    LLVMValueRef seed = ll_karg(l, 24, l->h->i64);
    for (unsigned i = 0; i < 4; i++)
        ll_scalar(l, at + i, SX_U32);
    struct ll_place back = ll_hoist(l, 0);
    struct stream s = {.c2 = word_scalar(l, at + 2), .c3 = word_scalar(l, at)};
    s.k0 = ll_bin(l, LLVMXor, low(l, seed), word_scalar(l, at + 1));
    s.k1 = ll_bin(l, LLVMXor, ll_bin(l, LLVMLShr, seed, ll_i64(l, 32)),
                  word_scalar(l, at + 3));
    ll_unhoist(l, back);
    return s;
}

static LLVMValueRef xor3(struct ll *l, LLVMValueRef hi, LLVMValueRef x, LLVMValueRef key)
{
    LLVMValueRef y = ll_bin(l, LLVMXor, ll_bin(l, LLVMLShr, hi, ll_i64(l, 32)), x);
    return ll_bin(l, LLVMXor, y, key);
}

static void one_round(struct ll *l, LLVMValueRef c[4], LLVMValueRef key[2])
{
    LLVMValueRef x = ll_bin(l, LLVMMul, low(l, c[0]), ll_i64(l, 0xD2511F53));
    LLVMValueRef y = ll_bin(l, LLVMMul, low(l, c[2]), ll_i64(l, 0xCD9E8D57));
    c[0] = xor3(l, y, c[1], key[0]);
    c[2] = xor3(l, x, c[3], key[1]);
    c[1] = y;
    c[3] = x;
}

static LLVMValueRef phi_from(struct ll *l, LLVMValueRef x, LLVMBasicBlockRef from)
{
    LLVMValueRef phi = LLVMBuildPhi(l->b, LLVMTypeOf(x), "");
    LLVMAddIncoming(phi, &x, &from, 1);
    return phi;
}

/*
 * n runs side by side.  c[0] and c[1] are the counters' element and sample words; all come
 * back as i64 lanes.  The rounds are a loop: a tenth of the code.
 */
static void philox(struct ll *l, const struct stream *s, LLVMValueRef (*c)[4], int n)
{
    int32_t width =
        ll_width(c[0][0]) > ll_width(c[0][1]) ? ll_width(c[0][0]) : ll_width(c[0][1]);
    LLVMValueRef key[2] = {ll_splat(l, s->k0, width), ll_splat(l, s->k1, width)},
                 carried[10];
    static const int64_t step[2] = {0x9E3779B9, 0xBB67AE85};
    for (int i = 0; i < n; i++) {
        c[i][2] = s->c2;
        c[i][3] = s->c3;
        for (int k = 0; k < 4; k++)
            c[i][k] = ll_splat(l, c[i][k], width);
    }
    LLVMBasicBlockRef from = LLVMGetInsertBlock(l->b), rounds = ll_block(l, "philox");
    LLVMBasicBlockRef after = ll_block(l, "drawn");
    LLVMBuildBr(l->b, rounds);
    LLVMPositionBuilderAtEnd(l->b, rounds);
    ll_region_open(l, NULL);
    LLVMValueRef count = phi_from(l, ll_i32(l, 10 / ROUNDS), from);
    for (int i = 0; i < 4 * n; i++)
        carried[i] = c[i / 4][i % 4] = phi_from(l, c[i / 4][i % 4], from);
    for (int i = 0; i < 2; i++)
        carried[8 + i] = key[i] = phi_from(l, key[i], from);
    for (int r = 0; r < ROUNDS; r++) {
        for (int i = 0; i < n; i++)
            one_round(l, c[i], key);
        for (int i = 0; i < 2; i++)
            key[i] = ll_bin(l, LLVMAdd, key[i], ll_i64(l, step[i]));
    }
    LLVMValueRef next = LLVMBuildSub(l->b, count, ll_i32(l, 1), "");
    LLVMAddIncoming(count, &next, &rounds, 1);
    for (int i = 0; i < 4 * n; i++)
        LLVMAddIncoming(carried[i], &c[i / 4][i % 4], &rounds, 1);
    for (int i = 0; i < 2; i++)
        LLVMAddIncoming(carried[8 + i], &key[i], &rounds, 1);
    ll_region_close(l);
    LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntNE, next, ll_i32(l, 0), ""), rounds,
                    after);
    LLVMPositionBuilderAtEnd(l->b, after);
}

/* ---- by definition ---- */

static LLVMValueRef narrow(struct ll *l, LLVMValueRef x)
{
    return ll_cast(l, LLVMTrunc, x, l->h->i32);
}

static LLVMValueRef bit(struct ll *l, LLVMValueRef e, int64_t mask)
{
    LLVMValueRef v = ll_bin(l, LLVMAnd, e, ll_i32(l, mask));
    return ll_icmp(l, LLVMIntNE, v, ll_i32(l, 0));
}

/* The four words of every lane's counter. */
static void lane_words(struct ll *l, uint32_t draw, LLVMValueRef e, LLVMValueRef w[4])
{
    bool found;
    LLVMValueRef sample = sample_of(l, draw), *m[4];
    for (uint64_t i = 0; i < 4; i++)
        m[i] = ll_memo(l, l->depth, OP_LANES, e, sample, (uint64_t)draw << 8 | i, &found);
    if (!found) {
        struct stream s = stream_of(l, draw);
        LLVMValueRef c[1][4] = {
            {wide(l, ll_bin(l, LLVMLShr, e, ll_i32(l, 2))), wide(l, sample)}};
        philox(l, &s, c, 1);
        for (int i = 0; i < 4; i++)
            *m[i] = narrow(l, c[0][i]);
    }
    for (int i = 0; i < 4; i++)
        w[i] = *m[i];
}

/* The counter's element is taken from x of (x & ~1) and (x | 1), so that both share a run.
 */
static LLVMValueRef lane_word(struct ll *l, uint32_t draw, sx_id element)
{
    const struct sx_node *n = &l->sx.node[element];
    bool even = n->op == SX_IAND && l->sx.node[n->b].op == SX_K &&
                l->sx.node[n->b].a == 0xfffffffeU;
    bool odd = n->op == SX_IOR && l->sx.node[n->b].op == SX_K && l->sx.node[n->b].a == 1;
    LLVMValueRef e = ll_eval(l, even || odd ? n->a : element);
    LLVMValueRef c[4];
    lane_words(l, draw, e, c);
    if (even || odd)
        return ll_select(l, bit(l, e, 2), c[2 + odd], c[odd]);
    LLVMValueRef one = bit(l, e, 1);
    return ll_select(l, bit(l, e, 2), ll_select(l, one, c[3], c[2]),
                     ll_select(l, one, c[1], c[0]));
}

/* ---- blocks ---- */

/* Lane of a spread block -> counter: what 128-bit unpacking turns into runs of elements. */
static int32_t counter_at(const struct block *b, int32_t lane)
{
    int32_t quads = b->count / 4;
    return b->spread ? lane % 4 * quads + lane / 4 : lane;
}

/* The counters' element and sample words. */
static void counters(struct ll *l, const struct block *b, int32_t half, LLVMValueRef c[2])
{
    int64_t at[LL_LANES], row[LL_LANES];
    const int32_t n = b->spread ? b->count / 2 : b->count;
    const int32_t of_row = b->pair ? b->count / 2 : b->count;
    for (int32_t i = 0; i < n; i++) {
        at[i] = b->spread ? counter_at(b, i / 2 * 4 + i % 2 + 2 * half) : i;
        row[i] = at[i] / of_row;
        at[i] %= of_row;
    }
    LLVMValueRef first = wide(l, ll_bin(l, LLVMLShr, b->e0, ll_i32(l, 2)));
    c[0] = ll_bin(l, LLVMAdd, first, ll_lanes(l, l->h->i64, at, n));
    c[1] = wide(l, b->sample);
    if (b->pair)
        c[1] = ll_bin(l, LLVMAdd, c[1], ll_lanes(l, l->h->i64, row, n));
}

/* Low words of two vectors of 64-bit lanes, pairs of lanes alternating. */
static LLVMValueRef join(struct ll *l, LLVMValueRef x, LLVMValueRef y)
{
    int32_t n = 2 * ll_width(x), at[LL_LANES];
    LLVMTypeRef type = LLVMVectorType(l->h->i32, (unsigned)n);
    x = LLVMBuildBitCast(l->b, x, type, "");
    y = LLVMBuildBitCast(l->b, y, type, "");
    for (int32_t s = 0; s < n; s += 4) {
        at[s] = s;
        at[s + 1] = s + 2;
        at[s + 2] = n + s;
        at[s + 3] = n + s + 2;
    }
    return ll_shuffle(l, x, y, at, n);
}

static void block_words(struct ll *l, const struct block *b, LLVMValueRef w[4])
{
    struct stream s = stream_of(l, b->draw);
    LLVMValueRef c[2][4];
    for (int32_t half = 0; half < (b->spread ? 2 : 1); half++)
        counters(l, b, half, c[half]);
    philox(l, &s, c, b->spread ? 2 : 1);
    for (int i = 0; i < 4; i++)
        w[i] = b->spread ? join(l, c[0][i], c[1][i]) : narrow(l, c[0][i]);
}

static LLVMValueRef law(struct ll *l, sx_id e, LLVMValueRef w0, LLVMValueRef w1,
                        LLVMValueRef *made)
{
    const struct sx_node *n = &l->law.node[e];
    if (made[e])
        return made[e];
    if (n->op == SX_ARG)
        return made[e] = n->a ? w1 : w0;
    if (n->op == SX_K) {
        uint64_t u = (uint64_t)n->b << 32 | n->a;
        union {
            uint64_t u;
            double d;
        } k = {u};
        return made[e] = n->type == SX_FLOAT ? ll_f32(l, k.d) : ll_i32(l, n->a);
    }
    const sx_id in[3] = {n->a, n->b, n->c};
    LLVMValueRef x[3] = {NULL, NULL, NULL};
    uint8_t type[3] = {0, 0, 0};
    for (unsigned i = 0; i < 3 && i < sx_op_info((enum sx_op)n->op)->arity; i++) {
        x[i] = law(l, in[i], w0, w1, made);
        type[i] = l->law.node[in[i]].type;
    }
    return made[e] = ll_prim(l, n, type, x);
}

static LLVMValueRef normal_of(struct ll *l, int odd, LLVMValueRef w0, LLVMValueRef w1)
{
    if (!l->normal[0]) {
        sx_init(&l->law, l->arena);
        sx_id a = sx_arg(&l->law, 0, SX_U32), b = sx_arg(&l->law, 1, SX_U32);
        for (int i = 0; i < 2; i++)
            l->normal[i] = sx_expand(
                &l->law, sx_make(&l->law, SX_FN_normal, a, b, sx_int(&l->law, i)));
    }
    struct arena *scratch = arena_new();
    LLVMValueRef v = law(l, l->normal[odd], w0, w1,
                         arena_array(scratch, l->law.n, sizeof(LLVMValueRef)));
    arena_free(scratch);
    return v;
}

static LLVMValueRef concat(struct ll *l, LLVMValueRef x, LLVMValueRef y)
{
    int32_t at[LL_LANES], n = 2 * ll_width(x);
    for (int32_t i = 0; i < n; i++)
        at[i] = i;
    return ll_shuffle(l, x, y, at, n);
}

static void block_normals(struct ll *l, const struct block *b, LLVMValueRef w[4])
{
    LLVMValueRef x[4];
    if (b->count == l->vec) {
        for (int i = 0; i < 4; i++)
            x[i] = normal_of(l, i & 1, w[i & 2], w[i | 1]);
    } else { /* narrow: one run for both pairs */
        LLVMValueRef first = concat(l, w[0], w[2]), second = concat(l, w[1], w[3]);
        int32_t at[LL_LANES];
        for (int odd = 0; odd < 2; odd++) {
            LLVMValueRef both = normal_of(l, odd, first, second);
            for (int half = 0; half < 2; half++) {
                for (int32_t i = 0; i < b->count; i++)
                    at[i] = half * b->count + i;
                x[odd + 2 * half] = ll_shuffle(l, both, NULL, at, b->count);
            }
        }
    }
    for (int i = 0; i < 4; i++)
        w[i] = x[i];
}

/* Element-major pieces of a spread block, each as wide as a vector. */
static void transpose(struct ll *l, const struct block *b, LLVMValueRef w[4])
{
    LLVMValueRef t[4];
    int32_t at[LL_LANES], n = b->count;
    for (int i = 0; i < 4; i++) { /* lo01 hi01 lo23 hi23 */
        for (int32_t k = 0; k < n; k++)
            at[k] = k / 4 * 4 + (i & 1) * 2 + k % 4 / 2 + (k & 1 ? n : 0);
        t[i] = ll_shuffle(l, w[i & 2], w[i | 1], at, n);
    }
    /* t[0] = lo01, t[1] = hi01, t[2] = lo23, t[3] = hi23 */
    for (int i = 0; i < 4; i++) {
        for (int32_t k = 0; k < n; k++)
            at[k] = k / 4 * 4 + (i & 1) * 2 + k % 2 + (k % 4 >= 2 ? n : 0);
        w[i] = ll_shuffle(l, t[i / 2], t[2 + i / 2], at, n);
    }
}

/* All elements of a narrow block in one vector. */
static LLVMValueRef interleave(struct ll *l, const struct block *b, LLVMValueRef w[4])
{
    int32_t at[LL_LANES], n = b->count;
    for (int32_t k = 0; k < 4 * n; k++)
        at[k] = k % 4 * n + k / 4;
    return ll_shuffle(l, concat(l, w[0], w[1]), concat(l, w[2], w[3]), at, 4 * n);
}

static uint64_t block_key(const struct block *b, int what)
{
    return (uint64_t)b->draw << 32 | (uint64_t)b->start << 16 | (uint64_t)b->count << 8 |
           (uint64_t)what;
}

/* The lanes at hand of a block's words or normals; everything is made at first use, which
 * of two rows is the first one's. */
static LLVMValueRef block_lanes(struct ll *l, const struct block *b, bool normals)
{
    bool found;
    LLVMValueRef *m[4], w[4] = {NULL, NULL, NULL, NULL};
    for (int i = 0; i < 4; i++)
        m[i] = ll_memo(l, l->depth, OP_BLOCK + normals, b->e0, b->sample, block_key(b, i),
                       &found);
    if (!found) {
        block_words(l, b, w);
        if (normals)
            block_normals(l, b, w);
        if (b->spread)
            transpose(l, b, w);
        else
            w[0] = interleave(l, b, w);
        for (int i = 0; i < 4; i++)
            *m[i] = w[i];
    }
    int32_t off = l->lane0 - b->start + (b->second ? 2 * b->count : 0), at[LL_LANES];
    if (b->spread)
        return *m[off / b->count];
    if (l->width == 4 * b->count)
        return *m[0];
    for (int32_t i = 0; i < l->width; i++)
        at[i] = off + i;
    return ll_shuffle(l, *m[0], NULL, at, l->width);
}

LLVMValueRef ll_word(struct ll *l, uint32_t draw, sx_id element)
{
    struct block b;
    if (draw >= l->n->nrng) {
        ll_fault(l, "a draw that the nest does not have");
        return ll_i32(l, 0);
    }
    if (find_block(l, draw, element, &b))
        return block_lanes(l, &b, false);
    return lane_word(l, draw, element);
}

LLVMValueRef ll_normal(struct ll *l, const struct sx_node *call)
{
    struct block b;
    uint32_t draw = l->sx.node[call->a].a;
    if (draw < l->n->nrng && find_block(l, draw, call->c, &b))
        return block_lanes(l, &b, true);
    const struct sx_node n = *call;
    sx_id id = sx_make(&l->sx, SX_FN_normal, n.a, n.b, n.c);
    return ll_eval(l, ll_expand(l, sx_unfold(&l->sx, id)));
}
