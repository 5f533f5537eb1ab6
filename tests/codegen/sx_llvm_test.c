/*
 * Every primitive, on every operand type, and every function row: generated code = the
 * float interpreter, to the bit (any NaN equals any NaN), at vector widths and odd ones, on
 * nasty values and random words.  A second test draws: words, uniforms and normals in
 * blocks and outside them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codegen/backend.h"
#include "codegen/interp/nest_eval.h"
#include "codegen/llvm/llvm.h"
#include "codegen/loop/index.h"
#include "codegen/loop/loop.h"
#include "runtime/base/arena.h"
#include "runtime/base/diag.h"
#include "runtime/base/philox.h"

enum { VALUES = 4800, MAX_ROWS = 160 }; /* divisible by every width tried */

/* ---- values ---- */

static const uint32_t nasty[] = {
    0,          0x80000000, 1,          0x80000001, 0x007fffff, 0x807fffff, 0x00800000,
    0x3f800000, 0xbf800000, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000,
    0xffc00001, 0x4b000000, 0xcb000001, 0x4f000000, 0xcf000000, 0xcf000001, 0x5f000000,
    0x42b17218, 0xc2ce8ed0, 0x3f000000, 0x40490fdb, 0x4effffff, 0xffffffff, 2,
    31,         32,         0x33800000, 0x34000000};

static uint32_t nth(uint32_t i, uint32_t operand)
{
    const uint32_t n = sizeof nasty / sizeof *nasty;
    if (i < n * n)
        return nasty[operand == 0 ? i % n : operand == 1 ? i / n : (i * 7 + 3) % n];
    const uint32_t counter[4] = {i, operand, 0, 0}, key[2] = {5, 6};
    uint32_t w = philox4x32(counter, key).w[0];
    if (i % 2) /* moderate floats, small integers */
        return i % 4 == 1 ? (w & 0x83ffffffU) | 0x3c000000U : w & 63;
    return w;
}

/* ---- one nest of many stages ---- */

struct row {
    const char *name;
    sx_id e; /* over %0 %1 %2 of raw words */
};
struct rows {
    struct arena *a;
    struct nest *n;
    struct row row[MAX_ROWS];
    uint32_t count;
    int32_t width;
};

static sx_id operand(struct sxb *b, uint32_t i, unsigned type)
{
    sx_id w = sx_arg(b, i, SX_I32);
    if (type == SX_FLOAT)
        return sx_make(b, SX_FROM_BITS, sx_make(b, SX_I2U, w, 0, 0), 0, 0);
    if (type == SX_U32)
        return sx_make(b, SX_I2U, w, 0, 0);
    if (type == SX_BOOL)
        return sx_make(b, SX_LT, w, sx_int(b, 7), 0);
    return w;
}

/* Results leave as words. */
static sx_id as_word(struct sxb *b, sx_id e)
{
    unsigned type = b->node[e].type;
    if (type == SX_FLOAT)
        return sx_make(b, SX_U2I, sx_make(b, SX_BITS, e, 0, 0), 0, 0);
    if (type == SX_U32)
        return sx_make(b, SX_U2I, e, 0, 0);
    if (type == SX_BOOL)
        return sx_make(b, SX_SEL, e, sx_int(b, 1), sx_int(b, 0));
    return e;
}

static void add_row(struct rows *r, const char *name, enum sx_op op, unsigned x, unsigned y,
                    unsigned z)
{
    struct sxb *b = &r->n->sx;
    const struct sx_info *info = sx_op_info(op);
    sx_id in[3] = {operand(b, 0, x), info->arity > 1 ? operand(b, 1, y) : 0,
                   info->arity > 2 ? operand(b, 2, z) : 0};
    sx_id e = sx_make(b, op, in[0], in[1], in[2]);
    assert_true(e && r->count < MAX_ROWS);
    r->row[r->count++] = (struct row){name, e};
}

static struct stmt *new_for(struct rows *r, enum for_kind kind, uint8_t axis, int32_t hi,
                            struct stmt *body)
{
    struct stmt *f = arena_alloc(r->a, sizeof *f);
    *f = (struct stmt){
        .op = S_FOR, .axis = axis, .kind = (uint8_t)kind, .step = 1, .nbody = 1};
    f->hi = index_const(hi);
    f->bound_div = 1;
    f->body = arena_alloc(r->a, sizeof *f->body);
    f->body[0] = body;
    return f;
}

static void add_stage(struct rows *r, uint32_t i)
{
    struct stmt *st = arena_alloc(r->a, sizeof *st);
    struct index at = index_axis(0, r->width);
    index_term(&at, (struct term){1, 1, 0, {1, 0}});
    *st = (struct stmt){.op = S_SET, .dst = 3, .index = at, .nload = 3};
    st->load = arena_array(r->a, 3, sizeof *st->load);
    for (uint16_t k = 0; k < 3; k++)
        st->load[k] = (struct nload){.id = k, .index = at};
    st->value = as_word(&r->n->sx, r->row[i].e);
    int32_t units = VALUES / r->width;
    struct stmt *v = new_for(r, FOR_VEC, 1, r->width, st);
    r->n->stage[i] = (struct nstage){.units = ext_const(units),
                                     .units_div = 1,
                                     .units_times = 1,
                                     .root = new_for(r, FOR_GRID, 0, units, v)};
}

static void new_rows(struct rows *r, struct arena *a, int32_t width)
{
    *r = (struct rows){.a = a, .width = width, .n = arena_alloc(a, sizeof *r->n)};
    struct nest *n = r->n;
    n->arena = a;
    n->name = "rows";
    sx_init(&n->sx, a);
    n->naxis = 2;
    n->nbuf = 4;
    n->buf = arena_array(a, 4, sizeof *n->buf);
    for (unsigned i = 0; i < 4; i++) {
        n->buf[i] = (struct kbuf){.name = "b", .dtype = DT_I32, .use = i == 3, .rank = 1};
        n->buf[i].dim[0] = ext_const(VALUES);
    }
}

#define TYPE_F SX_FLOAT
#define TYPE_I SX_I32
#define TYPE_U SX_U32
#define TYPE_B SX_BOOL
#define TYPE__ 0

static void all_rows(struct rows *r)
{
#define SX_CODE(name, suffix, R, A, B, C, expr)                                            \
    add_row(r, #name " " #suffix, SX_##name, TYPE_##A, TYPE_##B, TYPE_##C);
#include "ops/sx_code.def"
#undef SX_CODE
#define OP_EW(name, A, B, C, lo, hi, f64, value, adjoint, doc)                             \
    add_row(r, #name, SX_FN_##name, TYPE_##A, TYPE_##B, TYPE_##C);
#include "ops/elementwise.def"
#undef OP_EW
    r->n->nstage = r->count;
    r->n->stage = arena_array(r->a, r->count, sizeof *r->n->stage);
    for (uint32_t i = 0; i < r->count; i++)
        add_stage(r, i);
}

static double as_double(uint32_t w)
{
    return (int32_t)w;
}

static bool equal_words(const struct sxb *b, sx_id e, uint32_t x, uint32_t y)
{
    bool nan = (x & 0x7fffffff) > 0x7f800000 && (y & 0x7fffffff) > 0x7f800000;
    return x == y || (b->node[e].type == SX_FLOAT && nan);
}

/* The interpreter's answers, which no width changes: computed once. */
static uint32_t answer[MAX_ROWS][VALUES];
static bool answered[MAX_ROWS];

static void answer_row(const struct rows *r, uint32_t i, const uint32_t *in[3])
{
    sx_id e = r->n->stage[i].root->body[0]->body[0]->value;
    for (uint32_t k = 0; k < VALUES && !answered[i]; k++) {
        double arg[3] = {as_double(in[0][k]), as_double(in[1][k]), as_double(in[2][k])};
        struct sx_env env = {.arg = arg};
        answer[i][k] = (uint32_t)(int32_t)sx_eval_f32(&r->n->sx, e, &env);
    }
    answered[i] = true;
}

static void check_row(struct rows *r, uint32_t i, const uint32_t *in[3],
                      const uint32_t *got)
{
    answer_row(r, i, in);
    for (uint32_t k = 0; k < VALUES; k++)
        if (!equal_words(&r->n->sx, r->row[i].e, answer[i][k], got[k]))
            fail_msg("%s, width %d: (%08x, %08x, %08x) gives %08x, not %08x",
                     r->row[i].name, r->width, in[0][k], in[1][k], in[2][k], got[k],
                     answer[i][k]);
}

static void try_width(const struct target *t, int32_t width)
{
    struct arena *a = arena_new();
    struct diag_sink *ds = diag_sink_new(a, 10);
    struct rows r;
    new_rows(&r, a, width);
    all_rows(&r);
    struct loaded_stage *stage = arena_array(a, r.count, sizeof *stage);
    const struct load_job job = {.nest = &r.n, .n = 1, .target = t};
    struct code *code = backend_llvm.load(&job, ds, stage, NULL);
    diag_print(ds, stderr, false);
    assert_non_null(code);
    uint32_t *buf[4];
    for (uint32_t i = 0; i < 4; i++) {
        buf[i] = arena_array(a, VALUES + 16, sizeof **buf);
        for (uint32_t k = 0; i < 3 && k < VALUES; k++)
            buf[i][k] = nth(k, i);
    }
    const struct hyp_kargs args = {.buf = (void *const *)buf, .batch = 1};
    for (uint32_t i = 0; i < r.count; i++) {
        stage[i].fn(&args, 0, VALUES / width, NULL);
        const uint32_t *in[3] = {buf[0], buf[1], buf[2]};
        check_row(&r, i, in, buf[3]);
    }
    backend_llvm.free(code);
    arena_free(a);
}

static void every_row(void **unused)
{
    static const int32_t widths[] = {1, 5, 8, 16, 48};
    (void)unused;
    const struct target *t;
    for (unsigned i = 0; (t = target_at(i)); i++)
        for (unsigned w = 0; llvm_runs_here(t) && w < 5; w++)
            try_width(t, widths[w]);
}

/* ---- draws ---- */

/* out[sample, u*width*step + j*scale + shift]: elements move by `scale` along the lanes. */
static struct nest *draw_nest(struct arena *a, int32_t width, int32_t scale, int32_t shift,
                              int law)
{
    struct rows r;
    new_rows(&r, a, width);
    struct nest *n = r.n;
    n->naxis = 3;
    n->nscalar = 4;
    n->rng = arena_alloc(a, sizeof *n->rng);
    n->nrng = 1;
    n->rng[0].sample = index_axis(2, 1);
    n->buf[3].dtype = law == 0 ? DT_I32 : DT_F32;
    struct sxb *b = &n->sx;
    sx_id u = sx_make(b, SX_IMUL, sx_axis(b, 0), sx_int(b, width * scale), 0);
    sx_id j = sx_make(b, SX_IMUL, sx_axis(b, 1), sx_int(b, scale), 0);
    sx_id e = sx_make(b, SX_IADD, sx_make(b, SX_IADD, u, j, 0), sx_int(b, shift), 0);
    struct stmt *st = arena_alloc(a, sizeof *st);
    struct index at = index_axis(0, width);
    index_term(&at, (struct term){1, 1, 0, {1, 0}});
    index_term(&at, (struct term){2, 1, 0, {4 * width, 0}});
    *st = (struct stmt){.op = S_SET, .dst = 3, .index = at};
    st->value = law == 0   ? sx_make(b, SX_U2I, sx_rng(b, 0, e), 0, 0)
                : law == 1 ? sx_uniform(b, 0, e)
                : law == 2 ? sx_normal(b, 0, e)
                           : sx_gumbel(b, 0, e);
    struct stmt *v = new_for(&r, FOR_VEC, 1, width, st), *s = new_for(&r, FOR_SEQ, 2, 3, v);
    n->nstage = 1;
    n->stage = arena_alloc(a, sizeof *n->stage);
    n->stage[0] = (struct nstage){.units = ext_const(4),
                                  .units_div = 1,
                                  .units_times = 1,
                                  .root = new_for(&r, FOR_GRID, 0, 4, s)};
    return n;
}

static void try_draw(const struct target *t, int32_t width, int32_t scale, int32_t shift,
                     int law)
{
    struct arena *a = arena_new();
    struct diag_sink *ds = diag_sink_new(a, 10);
    struct nest *n = draw_nest(a, width, scale, shift, law);
    struct loaded_stage stage;
    const struct load_job job = {.nest = &n, .n = 1, .target = t};
    struct code *code = backend_llvm.load(&job, ds, &stage, NULL);
    diag_print(ds, stderr, false);
    assert_non_null(code);
    union hyp_word scalar[4] = {{.u = 0x89abcdef}, {.u = 0x12345678}, {.u = 77}, {.u = 3}};
    uint32_t *want = arena_array(a, VALUES, 4), *got = arena_array(a, VALUES, 4);
    void *buf[4] = {NULL, NULL, NULL, want};
    struct hyp_kargs args = {
        .buf = buf, .scalar = scalar, .batch = 1, .seed = 0xfedcba9876543210};
    args.self = interp_prepare(n, 0, false, a);
    interp_stage_fn(&args, 0, 4, NULL);
    buf[3] = got;
    stage.fn(&args, 0, 4, NULL);
    for (int32_t i = 0; i < 12 * width; i++)
        if (want[i] != got[i])
            fail_msg("law %d, width %d, scale %d, shift %d: element %d is %08x, not %08x",
                     law, width, scale, shift, i, got[i], want[i]);
    backend_llvm.free(code);
    arena_free(a);
}

static void draws(void **unused)
{
    static const struct {
        int32_t width, scale, shift;
    } shape[] = {{64, 1, 0}, {32, 1, 0}, {16, 1, 0}, {16, 1, 4},   {16, 1, 2},
                 {16, 2, 0}, {8, 1, 0},  {4, 1, 0},  {1, 1, 3},    {5, 1, 0},
                 {12, 1, 0}, {48, 1, 8}, {24, 1, 0}, {16, -1, 100}};
    (void)unused;
    const struct target *t;
    for (unsigned i = 0; (t = target_at(i)); i++) {
        for (unsigned k = 0; llvm_runs_here(t) && k < sizeof shape / sizeof *shape; k++)
            for (int law = 0; law < 4; law++)
                try_draw(t, shape[k].width, shape[k].scale, shape[k].shift, law);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_row),
                                       cmocka_unit_test(draws)};
    return cmocka_run_group_tests_name("sx_llvm", tests, NULL, NULL);
}
