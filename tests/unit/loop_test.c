/* The loop IR's text and judges: what is wrong is said, and what is right says nothing. */
#include <string.h>

#include "codegen/loop/loop.h"
#include "runtime/base/arena.h"
#include "tests/unit/cmocka_all.h"

static const char kernel_text[] = "kernel \"f\" scalars 1\n"
                                  "  axes n0:1B o1:20 k2:7\n"
                                  "  buf #0 f32[1B, 7] read \"X\"\n"
                                  "  buf #1 f32[20, 7] read \"W\"\n"
                                  "  buf #2 f32[1B, 20] write \"Y\"\n"
                                  "  stage 0 sum f32 [n0, o1] seq \"f\"\n"
                                  "    %0 = #0[7*n0 + k2]\n"
                                  "    %1 = #1[7*o1 + k2]\n"
                                  "    over {k2} += %0 * %1\n"
                                  "  stage 1 map f32 [n0, o1] \"f\"\n"
                                  "    %0 = stage 0\n"
                                  "    over {} = mul(%0, $0)\n"
                                  "    #2[20*n0 + o1] = it\n";

static const char nest_text[] = "nest \"f\" scalars 0 axes a0 a1\n"
                                "  buf #0 f32[1B] read \"X\"\n"
                                "  buf #1 f32[1B] write \"Y\"\n"
                                "  tile &0 reg f32[1, 8] \"t\"\n"
                                "  stage units 1B/8 stack 0\n"
                                "    grid a0 = 0 to 1B step 1 bound 1B/8 {\n"
                                "      tile &0 = 0\n"
                                "      vec a1 = 0 to 8 step 1 when 0 <= 8*a0 + 7 < 1B {\n"
                                "        &0[a1] += %0 ; %0 = #0[8*a0 + a1]\n"
                                "        #1[8*a0 + a1] = neg(%0) ; %0 = &0[a1]\n"
                                "      }\n"
                                "    }\n";

static const char chosen_text[] = "kernel \"g\" scalars 0\n"
                                  "  axes n0:1B t1:20 v2:7\n"
                                  "  buf #0 i32[1B] read \"I\"\n"
                                  "  buf #1 f32[7, 20] read \"T\"\n"
                                  "  buf #2 f32[1B, 20] write \"Y\"\n"
                                  "  buf #3 f32[7, 20] write \"Z\"\n"
                                  "  stage 0 map f32 [n0, t1] \"g\"\n"
                                  "    %0 = #0[n0]\n"
                                  "    %1 = #1[t1] pick 20*%0 < 7\n"
                                  "    over {} = %1\n"
                                  "    #2[20*n0 + t1] = it\n"
                                  "  stage 1 scatter f32 [v2, t1] along v2 at %0 \"s\"\n"
                                  "    %0 = #0[n0]\n"
                                  "    %1 = stage 0\n"
                                  "    over {n0} = %1\n"
                                  "    #3[t1 + 20*v2] = it\n";

static const char added_text[] = "nest \"s\" scalars 0 axes a0 a1\n"
                                 "  buf #0 i32[1B] read \"I\"\n"
                                 "  buf #1 f32[7, 8] write \"Z\"\n"
                                 "  stage units 1/1 stack 0\n"
                                 "    grid a0 = 0 to 1B step 1 bound 1B {\n"
                                 "      vec a1 = 0 to 8 step 1 {\n"
                                 "        #1[a1] pick 8*%0 < 7 += 1 ; %0 = #0[a0]\n"
                                 "      }\n"
                                 "    }\n";

/* `from` becomes `to` in the text: what is then said of it? "parse" where it does not
 * parse. */
struct wrong {
    const char *from, *to, *said;
};

static char *replaced(struct arena *a, const char *text, const struct wrong *w)
{
    const char *at = strstr(text, w->from);
    assert_non_null(at);
    return arena_fmt(a, "%.*s%s%s", (int)(at - text), text, w->to, at + strlen(w->from));
}

static const char *judge(struct arena *a, const char *text, bool nest)
{
    struct diag_sink *ds = diag_sink_new(a, 4);
    if (nest) {
        const struct nest *n = nest_parse(a, text, ds, 0);
        assert_true(n || diag_errors(ds) == 1);
        return n ? nest_validate(n, a) : "parse";
    }
    const struct kernel *k = kernel_parse(a, text, ds, 0);
    assert_true(k || diag_errors(ds) == 1);
    return k ? kernel_validate(k, a) : "parse";
}

static void judged(const char *text, bool nest, const struct wrong *w, unsigned n)
{
    struct arena *a = arena_new();
    assert_null(judge(a, text, nest));
    for (unsigned i = 0; i < n; i++) {
        const char *said = judge(a, replaced(a, text, &w[i]), nest);
        if (!said || !strstr(said, w[i].said))
            fail_msg("%s -> %s: %s, not %s", w[i].from, w[i].to, said ? said : "nothing",
                     w[i].said);
    }
    arena_free(a);
}

#define COUNT(x) ((unsigned)(sizeof(x) / sizeof *(x)))

static void kernels_are_judged(void **state)
{
    static const struct wrong wrong[] = {
        {"20*n0 + o1", "21*n0 + o1", "buffer 2 is left at batch 5"},
        {"7*n0 + k2", "7*n0 + k2 + -1", "buffer 0 is left at batch 1"},
        {"7*n0 + k2]", "7*n0 + k2 + 1]", "buffer 0 is left"},
        {"%0 = stage 0", "%0 = stage 1", "not before it"},
        {"[n0, o1] seq", "[n0] seq", "an axis that is not there"},
        {"[n0, o1] seq", "[n0, n0] seq", "an axis twice"},
        {"20] write", "20] read", "another use or type"},
        {"7] read \"X\"", "7] write \"X\"", "not used as declared"},
        {"%0 * %1", "%0 * %2", "an operand out of range"},
        {"mul(%0, $0)", "mul(%0, $1)", "a scalar out of range"},
        {"mul(%0, $0)", "mul(%0", "parse"},
        {"k2:7", "k2:0", "an axis of no extent"},
        {"seq", "chunk 0", "in chunks of nothing"},
        {"seq", "sideways", "parse"},
        {"over {k2} += %0 * %1", "over {o1} += %0 * %1", "an axis twice"},
    };
    (void)state;
    judged(kernel_text, false, wrong, COUNT(wrong));
}

static void choices_are_judged(void **state)
{
    static const struct wrong kernels[] = {
        {"pick 20*%0 < 7", "pick 20*%0 < 8", "buffer 1 is left at batch 1"},
        {"pick 20*%0 < 7", "pick 20*%1 < 7", "not before it"},
        {"pick 20*%0 < 7", "pick -20*%0 < 7", "whose reach is no extent"},
        {"buf #0 i32[1B]", "buf #0 f32[1B]", "something that is no i32"},
        {"pick 20*%0 < 7", "pick 20*0 < 7", "parse"},
        {"along v2", "along n0", "along no axis"},
        {"at %0", "at %1", "at no i32"},
        {"at %0", "at %2", "along no axis, at no i32"},
        {"scatter f32", "scatter i32", "of no floats"},
        {"over {n0} = %1", "over {n0} = lt(%1, 0)", "of no floats"},
        {"at %0 \"s\"\n    %0 = #0[n0]", "at %0 \"s\"\n    %0 = #0[v2]",
         "a scatter's operand walks its axis"},
        {"over {n0} = %1", "over {t1} = %1", "an axis twice"},
    };
    static const struct wrong nests[] = {
        {"pick 8*%0 < 7 +=", "pick 8*%1 < 7 +=", "or by a load not before it"},
        {"pick 8*%0 < 7 +=", "pick -8*%0 < 7 +=", "backwards"},
        {"buf #0 i32", "buf #0 f32", "no i32"},
        {"%0 = #0[a0]", "%0 = #0[a0] pick 1*%0 < 7", "or by a load not before it"},
    };
    (void)state;
    judged(chosen_text, false, kernels, COUNT(kernels));
    judged(added_text, true, nests, COUNT(nests));
}

static void nests_are_judged(void **state)
{
    static const struct wrong wrong[] = {
        {"&0[a1] +=", "&0[8*a0 + a1] +=", "indexed by something that runs"},
        {"      tile &0 = 0\n", "", "not alive"},
        {"&0[a1] +=", "&0[a1 + 1] +=", "a register tile is left"},
        {"vec a1 = 0 to 8", "vec a1 = 0 to 1B", "without a constant length"},
        {"vec a1", "vec a0", "open already"},
        {"vec a1", "grid a1", "a grid inside"},
        {"#1[8*a0 + a1] = neg", "#0[8*a0 + a1] = neg", "only read"},
        {"neg(%0)", "neg(%1)", "an operand out of range"},
        {"bound 1B/8", "bound 1B/0", "a step of nothing"},
        {"reg f32[1, 8]", "stack f32[1, 8]", "larger than what the stage asks for"},
        {"&0[a1] += %0", "fetch &0[a1]\n &0[a1] += %0", "a fetch of nothing in memory"},
        {"&0[a1] += %0", "fetch #2[a1]\n &0[a1] += %0", "a fetch of nothing in memory"},
        {"to 8 step 1 when", "to 8 step 1 whenever", "parse"},
        {"= #0[8*a0 + a1]", "= #0[8*a0 + a2]", "parse"},
    };
    (void)state;
    judged(nest_text, true, wrong, COUNT(wrong));
}

/* Names make no other code; everything else does. */
static void keys_follow_the_text(void **state)
{
    struct arena *a = arena_new();
    struct diag_sink *ds = diag_sink_new(a, 4);
    struct wrong name = {"\"X\"", "\"other\"", ""}, code = {"neg(%0)", "abs(%0)", ""};
    const struct nest *n = nest_parse(a, nest_text, ds, 0);
    const struct nest *same = nest_parse(a, replaced(a, nest_text, &name), ds, 0);
    const struct nest *other = nest_parse(a, replaced(a, nest_text, &code), ds, 0);
    uint8_t k[4][32];
    (void)state;
    nest_key(n, target_find("avx2"), "x", k[0]);
    nest_key(same, target_find("avx2"), "x", k[1]);
    nest_key(other, target_find("avx2"), "x", k[2]);
    nest_key(n, target_find("avx512"), "x", k[3]);
    assert_memory_equal(k[0], k[1], 32);
    assert_memory_not_equal(k[0], k[2], 32);
    assert_memory_not_equal(k[0], k[3], 32);
    arena_free(a);
}

/* Private buffers lie one after the other, 64-aligned, with rows of slack where rows are
 * samples. */
static void private_buffers_are_laid_out(void **state)
{
    static const char text[] = "nest \"p\" scalars 0 axes\n"
                               "  buf #0 f32[3] read \"x\"\n"
                               "  buf #1 f32[1B/24, 5] private \"a\"\n"
                               "  buf #2 bool[100] private \"b\"\n";
    struct arena *a = arena_new();
    const struct nest *n = nest_parse(a, text, diag_sink_new(a, 4), 0);
    uint64_t at[2];
    (void)state;
    assert_non_null(n);
    /* (ceil(50 / 24) + 11) * 5 floats = 280 bytes; then 100 bytes */
    assert_int_equal(nest_private_bytes(n, 50, at), 320 + 128);
    assert_int_equal(at[0], 0);
    assert_int_equal(at[1], 320);
    arena_free(a);
}

/* The nest of a draw over [batch, 32 channels, 2, 2]; `by` is added to it. */
static char *nest_of_draw(struct arena *a, const char *place, const char *by)
{
    const char *text = arena_fmt(a,
                                 "kernel \"d\" scalars 4\n"
                                 "  axes n0:1B c1:32 y2:2 x3:2\n"
                                 "  buf #0 f32[1B, 32, 2, 2] write \"d\"\n"
                                 "  buf #1 f32[1B, 32, 2, 2] read \"by\"\n"
                                 "  draw 0 scalar $0 sample 0\n"
                                 "  stage 0 map f32 [n0, c1, y2, x3] \"d\"\n"
                                 "    %%0 = #1[%s]\n"
                                 "    over {} = add(%%0, normal(rng(0, iand(#1=%s, -2i)), "
                                 "rng(0, ior(#1, 1i)), #1))\n"
                                 "    #0[128*n0 + 4*c1 + 2*y2 + x3] = it\n",
                                 by, place);
    const struct kernel *k = kernel_parse(a, text, diag_sink_new(a, 4), 0);
    assert_non_null(k);
    return nest_print(nest_schedule(k, target_find("avx512"), a), a);
}

/* Axes that a draw's element is numbered along merge, in whatever order the sum is; what
 * walks only some of them is read by digits. */
static void numbered_axes_merge(void **state)
{
    static const char all[] = "128*n0 + 4*c1 + 2*y2 + x3", some[] = "128*n0 + 2*y2 + x3";
    static const char nested[] = "iadd(imul(iadd(imul(@1, 2i), @2), 2i), @3)";
    static const char turned[] = "iadd(@3, iadd(imul(@2, 2i), imul(@1, 4i)))";
    static const char apart[] = "iadd(imul(iadd(imul(@1, 2i), @3), 2i), @2)";
    struct arena *a = arena_new();
    (void)state;
    assert_non_null(strstr(nest_of_draw(a, nested, all), "vec a3 = 0 to 64"));
    assert_non_null(strstr(nest_of_draw(a, turned, all), "vec a3 = 0 to 64"));
    assert_non_null(strstr(nest_of_draw(a, nested, some), "%4]"));
    assert_non_null(strstr(nest_of_draw(a, apart, some), "0 to 2 step 1"));
    assert_null(strstr(nest_of_draw(a, apart, all), "0 to 4 step 1"));
    arena_free(a);
}

/* Products in the text of the nest of a gradient of weights, [outputs, inputs]. */
static unsigned products_of(struct arena *a, int outputs, int inputs)
{
    const char *text = arena_fmt(a,
                                 "kernel \"w\" scalars 0\n"
                                 "  axes o0:%d i1:%d n2:1B\n"
                                 "  buf #0 f32[1B, %d] read \"dy\"\n"
                                 "  buf #1 f32[1B, %d] read \"x\"\n"
                                 "  buf #2 f32[%d, %d] write \"dw\"\n"
                                 "  stage 0 sum f32 [o0, i1] seq \"w\"\n"
                                 "    %%0 = #0[%d*n2 + o0]\n"
                                 "    %%1 = #1[%d*n2 + i1]\n"
                                 "    over {n2} += %%0 * %%1\n"
                                 "    #2[%d*o0 + i1] = it\n",
                                 outputs, inputs, outputs, inputs, outputs, inputs, outputs,
                                 inputs, inputs);
    const struct kernel *k = kernel_parse(a, text, diag_sink_new(a, 4), 0);
    unsigned n = 0;
    assert_non_null(k);
    const char *at = nest_print(nest_schedule(k, target_find("avx2"), a), a);
    while ((at = strstr(at, "+= %0 * %1"))) {
        at++;
        n++;
    }
    return n;
}

/* Rows past the last are summed and not stored, where what is read there exists: the last
 * tile has no code of its own. */
static void last_rows_share_code(void **state)
{
    struct arena *a = arena_new();
    (void)state;
    assert_int_equal(products_of(a, 510, 784), 1); /* 85 tiles of 6 */
    assert_int_equal(products_of(a, 512, 784), 1); /* columns where they lie */
    assert_int_equal(products_of(a, 512, 512), 1); /* columns packed */
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_are_judged),
        cmocka_unit_test(nests_are_judged),
        cmocka_unit_test(choices_are_judged),
        cmocka_unit_test(keys_follow_the_text),
        cmocka_unit_test(private_buffers_are_laid_out),
        cmocka_unit_test(numbered_axes_merge),
        cmocka_unit_test(last_rows_share_code),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
