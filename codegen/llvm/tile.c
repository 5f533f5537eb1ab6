/*
 * Tiles, which hold what a stage works on.  A REG tile is values: cut into vectors along
 * its last dimension, indexed by constants alone, so that a read is one of the pieces, a
 * shuffle of one, or a strip of pieces turned together.  A STACK tile is memory at a place
 * of its own in the stage's scratch; memory.c loads from it and stores to it.
 */
#include <string.h>

#include "codegen/llvm/emit.h"

static int64_t tile_size(const struct tile *t)
{
    int64_t n = 1;
    for (unsigned d = 0; d < t->rank; d++)
        n *= t->dim[d];
    return n;
}

static bool tile_at(struct ll *l, const struct index *x, const struct tile *t,
                    struct ll_at *at)
{
    int64_t size = tile_size(t);
    *at = ll_index(l, x, NULL, NULL);
    bool ok = !at->base && !at->step.b;
    for (int32_t i = 0; i < l->width && ok; i++)
        ok = at->lane[i] >= 0 && at->lane[i] < size;
    if (!ok)
        ll_fault(l, "a register tile is indexed by a run-time value");
    return ok;
}

/* The piece that exactly these lanes are, or -1. */
static int whole_piece(const struct ll *l, const struct ll_tile *t, const struct ll_at *at)
{
    unsigned p = t->piece_of[at->lane[0]];
    bool whole = at->contiguous && t->width[p] == l->width && t->start[p] == at->lane[0];
    return whole ? (int)p : -1;
}

static LLVMValueRef tile_elem(struct ll *l, const struct ll_tile *t, int64_t at)
{
    unsigned p = t->piece_of[at];
    return ll_lane(l, t->piece[p], (int32_t)(at - t->start[p]));
}

/*
 * The first of as many pieces as there are lanes, of which the lanes are a column, and how
 * wide they are; -1.
 */
static int strip_at(const struct ll *l, const struct ll_tile *t, const struct ll_at *at,
                    int32_t *c)
{
    const int32_t first = t->piece_of[at->lane[0]];
    *c = t->width[first];
    for (int32_t i = 0; i < l->width; i++)
        if (at->lane[i] != at->lane[0] + i * *c || t->piece_of[at->lane[i]] != first + i ||
            t->width[first + i] != *c)
            return -1;
    return *c > 1 && l->width % *c == 0 ? first : -1;
}

static bool is_turned(const struct ll *l, const struct ll_tile *t, int first)
{
    return t->strip && t->turned_in == LLVMGetInsertBlock(l->b) &&
           t->turned_wide == l->width &&
           !memcmp(t->strip, t->piece + first, (size_t)l->width * sizeof *t->piece);
}

/* Pieces first, first + c, ... side by side. */
static LLVMValueRef joined(struct ll *l, const LLVMValueRef *piece, int32_t c)
{
    LLVMValueRef v[LL_LANES];
    int32_t pick[LL_LANES], n = l->width / c;
    for (int32_t i = 0; i < n; i++)
        v[i] = piece[i * c];
    for (int32_t i = 0; i < l->width; i++)
        pick[i] = i;
    for (; n > 1; n /= 2)
        for (int32_t i = 0; i < n; i += 2)
            v[i / 2] = ll_shuffle(l, v[i], v[i + 1], pick, 2 * l->width / n);
    return v[0];
}

/* Of every c lanes of x and y: half their blocks of n lanes, those of x before those of y.
 */
static LLVMValueRef half_blocks(struct ll *l, LLVMValueRef x, LLVMValueRef y, int32_t c,
                                int32_t n, bool odd)
{
    int32_t pick[LL_LANES];
    for (int32_t i = 0; i < l->width; i++) {
        const int32_t in = i % c, of_y = in >= c / 2, block = (in - of_y * c / 2) / n;
        pick[i] = of_y * l->width + (i - in) + (2 * block + odd) * n + in % n;
    }
    return ll_shuffle(l, x, y, pick, l->width);
}

/* Blocks of n lanes change places: the b-th of vectors i, i + n, ... is then in i + bn. */
static void turn_blocks(struct ll *l, LLVMValueRef *v, int32_t c, int32_t n)
{
    for (int32_t d = n; d < c; d *= 2)
        for (int32_t i = 0; i < c; i++) {
            if (i & d)
                continue;
            const LLVMValueRef x = v[i], y = v[i + d];
            v[i] = half_blocks(l, x, y, c, n, false);
            v[i + d] = half_blocks(l, x, y, c, n, true);
        }
}

/*
 * Every n lanes of n vectors are turned by themselves: log2 n steps, in which a vector and
 * that half of them further on take turns lane by lane, those of the lower halves first.
 */
static void turn_lanes(struct ll *l, LLVMValueRef *v, int32_t n)
{
    int32_t pick[2][LL_LANES];
    LLVMValueRef was[LL_LANES];
    for (int32_t i = 0; i < l->width; i++) {
        pick[0][i] = i % 2 * l->width + i - i % n + i % n / 2;
        pick[1][i] = pick[0][i] + n / 2;
    }
    for (int32_t s = 1; s < n; s *= 2) {
        memcpy(was, v, (size_t)n * sizeof *v);
        for (int32_t i = 0; i < n; i++)
            v[i] = ll_shuffle(l, was[i / 2], was[i / 2 + n / 2], pick[i % 2], l->width);
    }
}

/*
 * Every c lanes of c vectors are turned.  Blocks of 128 bits and lanes inside of them move
 * in steps of their own: machines have instructions for just that, and LLVM need not find
 * out how a shuffle of all lanes is done.
 */
static void turn_strip(struct ll *l, struct ll_tile *t, int first, int32_t c)
{
    const int32_t n = c < 4 ? c : 4;
    if (!t->strip)
        t->strip = arena_array(l->arena, 2 * LL_LANES, sizeof *t->strip);
    LLVMValueRef *v = t->strip + LL_LANES;
    memcpy(t->strip, t->piece + first, (size_t)l->width * sizeof *v);
    t->turned_in = LLVMGetInsertBlock(l->b);
    t->turned_wide = l->width;
    for (int32_t i = 0; i < c; i++)
        v[i] = joined(l, t->strip + i, c);
    turn_blocks(l, v, c, n);
    for (int32_t i = 0; i < c; i += n)
        turn_lanes(l, v + i, n);
}

/* Of a strip, turned if it is not yet: the vector that these lanes have become. */
static LLVMValueRef turned(struct ll *l, struct ll_tile *t, const struct ll_at *at,
                           int first, int32_t c)
{
    if (!is_turned(l, t, first))
        turn_strip(l, t, first, c);
    return t->strip[LL_LANES + at->lane[0] - t->start[first]];
}

/* Are all lanes of pieces as wide as that of the first? */
static bool of_equal_pieces(const struct ll *l, const struct ll_tile *t,
                            const struct ll_at *at)
{
    const int32_t w = t->width[t->piece_of[at->lane[0]]];
    for (int32_t i = 0; i < l->width; i++)
        if (t->width[t->piece_of[at->lane[i]]] != w)
            return false;
    return w > 1 && w >= l->width;
}

/* The different pieces that the lanes are of, in order of their first lanes. */
static unsigned pieces_of(const struct ll *l, const struct ll_tile *t,
                          const struct ll_at *at, unsigned *piece)
{
    unsigned n = 0;
    for (int32_t i = 0; i < l->width; i++) {
        unsigned k = 0;
        while (k < n && piece[k] != t->piece_of[at->lane[i]])
            k++;
        piece[k] = t->piece_of[at->lane[i]];
        n = k == n ? n + 1 : n;
    }
    return n;
}

/* Two pieces give their lanes at once, each further one takes a shuffle more. */
static LLVMValueRef shuffled(struct ll *l, const struct ll_tile *t, const struct ll_at *at)
{
    unsigned piece[LL_LANES];
    const unsigned n = pieces_of(l, t, at, piece);
    const int32_t w = t->width[piece[0]];
    LLVMValueRef v = t->piece[piece[0]];
    for (unsigned k = 1; k < n || k == 1; k++) {
        int32_t pick[LL_LANES];
        for (int32_t i = 0; i < w; i++) {
            const unsigned p = i < l->width ? t->piece_of[at->lane[i]] : UINT16_MAX;
            const int32_t off = i < l->width ? (int32_t)(at->lane[i] - t->start[p]) : 0;
            if (k == 1 && p == piece[0])
                pick[i] = off;
            else if (k < n && p == piece[k])
                pick[i] = w + off;
            else
                pick[i] = k > 1 && i < l->width ? i : -1;
        }
        v = ll_shuffle(l, v, k < n ? t->piece[piece[k]] : NULL, pick,
                       k + 1 < n ? w : l->width);
    }
    return v;
}

/* Lanes from anywhere: shuffles of the pieces that they are of, or one by one. */
static LLVMValueRef collected(struct ll *l, const struct ll_tile *t, const struct ll_at *at,
                              LLVMTypeRef elem)
{
    if (of_equal_pieces(l, t, at))
        return shuffled(l, t, at);
    LLVMValueRef v = LLVMGetPoison(ll_vector(elem, l->width));
    for (int32_t i = 0; i < l->width; i++)
        v = LLVMBuildInsertElement(l->b, v, tile_elem(l, t, at->lane[i]), ll_i32(l, i), "");
    return v;
}

LLVMValueRef ll_tile_read(struct ll *l, uint32_t id, const struct index *x)
{
    struct ll_tile *t = &l->tile[id];
    const struct tile *def = &l->n->tile[id];
    LLVMTypeRef elem = ll_value_type(l, def->dtype);
    struct ll_at at;
    int32_t c;
    if (!tile_at(l, x, def, &at))
        return LLVMConstNull(ll_vector(elem, l->width));
    if (l->width == 1 || at.uniform)
        return tile_elem(l, t, at.lane[0]);
    const int p = whole_piece(l, t, &at);
    if (p >= 0)
        return t->piece[p];
    const int strip = strip_at(l, t, &at, &c);
    return strip >= 0 ? turned(l, t, &at, strip, c) : collected(l, t, &at, elem);
}

static void write_elem(struct ll *l, struct ll_tile *t, int64_t at, LLVMValueRef x)
{
    unsigned p = t->piece_of[at];
    if (t->width[p] == 1)
        t->piece[p] = x;
    else
        t->piece[p] =
            LLVMBuildInsertElement(l->b, t->piece[p], x, ll_i32(l, at - t->start[p]), "");
}

/* A run of lanes inside of one piece changes. */
static bool write_run(struct ll *l, struct ll_tile *t, const struct ll_at *at,
                      LLVMValueRef v)
{
    const unsigned p = t->piece_of[at->lane[0]];
    const int32_t off = (int32_t)(at->lane[0] - t->start[p]), w = t->width[p];
    int32_t wide[LL_LANES], pick[LL_LANES];
    if (!at->contiguous || l->width == 1 || off + l->width > w)
        return false;
    for (int32_t i = 0; i < w; i++) {
        const bool inside = i >= off && i < off + l->width;
        wide[i] = inside ? i - off : -1;
        pick[i] = inside ? w + i : i;
    }
    v = ll_shuffle(l, ll_splat(l, v, l->width), NULL, wide, w);
    t->piece[p] = ll_shuffle(l, t->piece[p], v, pick, w);
    return true;
}

void ll_tile_write(struct ll *l, uint32_t id, const struct index *x, LLVMValueRef v)
{
    struct ll_tile *t = &l->tile[id];
    struct ll_at at;
    if (!tile_at(l, x, &l->n->tile[id], &at))
        return;
    int p = whole_piece(l, t, &at);
    if (p >= 0) {
        t->piece[p] = ll_splat(l, v, l->width);
        return;
    }
    if (write_run(l, t, &at, v))
        return;
    for (int32_t i = 0; i < l->width; i++)
        if (!at.uniform || i == l->width - 1)
            write_elem(l, t, at.lane[i], ll_lane(l, v, i));
}

/* ---- tiles come to life ---- */

static void cut(struct ll *l, struct ll_tile *t, const struct tile *def)
{
    int32_t inner = def->dim[def->rank ? def->rank - 1 : 0], rows = 1;
    for (unsigned d = 0; d + 1 < def->rank; d++)
        rows *= def->dim[d];
    uint32_t size = (uint32_t)(rows * inner);
    t->piece = arena_array(l->arena, size, sizeof *t->piece);
    t->start = arena_array(l->arena, size, sizeof *t->start);
    t->width = arena_array(l->arena, size, sizeof *t->width);
    t->piece_of = arena_array(l->arena, size, sizeof *t->piece_of);
    for (int32_t r = 0; r < rows; r++)
        for (int32_t at = 0, w = l->vec; at < inner; at += w) {
            while (w > inner - at)
                w /= 2;
            t->start[t->npiece] = r * inner + at;
            t->width[t->npiece] = w;
            for (int32_t i = 0; i < w; i++)
                t->piece_of[r * inner + at + i] = (uint16_t)t->npiece;
            t->npiece++;
        }
}

static uint64_t place_stack(struct ll *l, const struct stmt *st, uint64_t at)
{
    for (uint32_t i = 0; i < st->nbody; i++)
        at = place_stack(l, st->body[i], at);
    if (st->op != S_TILE || l->n->tile[st->tile].space != TILE_STACK)
        return at;
    const struct tile *t = &l->n->tile[st->tile];
    LLVMValueRef off = ll_i64(l, (int64_t)at);
    l->tile[st->tile].base = LLVMBuildGEP2(l->b, l->h->i8, l->scratch, &off, 1, t->name);
    uint64_t bytes = (uint64_t)tile_size(t) * (t->dtype == DT_BOOL ? 1 : 4);
    return at + ((bytes + 63) & ~(uint64_t)63);
}

void ll_tiles_init(struct ll *l, unsigned stage)
{
    const struct nstage *g = &l->n->stage[stage];
    l->tile = arena_array(l->arena, l->n->ntile + 1U, sizeof *l->tile);
    for (uint32_t i = 0; i < l->n->ntile; i++)
        if (l->n->tile[i].space == TILE_REG)
            cut(l, &l->tile[i], &l->n->tile[i]);
    struct ll_place back = ll_hoist(l, 0);
    uint64_t bytes = place_stack(l, g->root, 0);
    ll_unhoist(l, back);
    if (bytes > g->stack_bytes)
        ll_fault(l, "stack tiles need more than the stage's stack_bytes");
}

void ll_tile_start(struct ll *l, const struct stmt *st)
{
    const struct tile *def = &l->n->tile[st->tile];
    struct ll_tile *t = &l->tile[st->tile];
    LLVMTypeRef type = ll_value_type(l, def->dtype);
    LLVMValueRef v = def->dtype == DT_F32
                         ? ll_f32(l, st->init)
                         : LLVMConstInt(type, (unsigned long long)(int64_t)st->init, true);
    if (def->space == TILE_REG) {
        for (uint32_t i = 0; i < t->npiece; i++)
            t->piece[i] = st->has_init ? ll_splat(l, v, t->width[i])
                                       : LLVMGetPoison(ll_vector(type, t->width[i]));
        return;
    }
    ++t->version;
    if (!st->has_init)
        return;
    ll_fill(l, st->tile, (uint64_t)tile_size(def), v);
}
