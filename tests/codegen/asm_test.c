/*
 * The inner loop of a linear layer, as assembly: as many FMAs as the register tile has
 * vectors, and nothing of it on the stack.  Only counted, never compared as text: that
 * varies with LLVM.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codegen/llvm/llvm.h"
#include "codegen/loop/loop.h"
#include "runtime/base/arena.h"
#include "runtime/base/diag.h"

static const char f2[] = "kernel \"f2\" scalars 0\n"
                         "  axes n0:1B o1:512 k2:512\n"
                         "  buf #0 f32[1B, 512] read \"x\"\n"
                         "  buf #1 f32[512, 512] read \"w\"\n"
                         "  buf #2 f32[512] read \"b\"\n"
                         "  buf #3 f32[1B, 512] write \"y\"\n"
                         "  stage 0 sum f32 [n0, o1] seq \"s\"\n"
                         "    %0 = #0[512*n0 + k2]\n"
                         "    %1 = #1[512*o1 + k2]\n"
                         "    over {k2} += %0 * %1\n"
                         "  stage 1 map f32 [n0, o1] \"t\"\n"
                         "    %0 = #2[o1]\n"
                         "    %1 = stage 0\n"
                         "    over {} = leaky_relu(add(%1, %0), 0.2)\n"
                         "    #3[512*n0 + o1] = it\n";

static char *text_of(struct arena *a, const struct target *t, enum llvm_text what)
{
    struct diag_sink *ds = diag_sink_new(a, 10);
    struct kernel *k = kernel_parse(a, f2, ds, diag_file(ds, "f2", f2, sizeof f2 - 1));
    const char *why = NULL;
    char *text, *copy;
    size_t n;
    diag_print(ds, stderr, false);
    assert_non_null(k);
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    if (!llvm_print(nest_schedule(k, t, a), t, what, out, &why))
        fail_msg("%s: %s", t->name, why);
    fclose(out);
    copy = arena_str(a, text);
    free(text);
    return copy;
}

static unsigned count(const char *from, const char *to, const char *word)
{
    unsigned n = 0;
    for (const char *p = from; (p = strstr(p, word)) && p < to; p++)
        n++;
    return n;
}

/* The end of the loop that begins at a label: its last line jumps back there. */
static const char *loop_end(const char *label, const char *next)
{
    char name[64];
    const size_t n = strcspn(label + 1, ":");
    assert_true(n + 2 < sizeof name);
    memcpy(name, label + 1, n);
    strcpy(name + n, "\n");
    const char *back = strstr(label + 1 + n, name);
    return back && back < next ? back : next;
}

/* Of all stretches from a label to the next, the one with the most FMAs. */
static const char *hot_block(const char *text, const char **end)
{
    const char *best = text;
    unsigned most = 0;
    *end = text;
    for (const char *p = text; (p = strstr(p, "\n.LBB")); p++) {
        const char *next = strstr(p + 1, "\n.LBB");
        if (!next)
            next = p + strlen(p);
        unsigned n = count(p, next, "vfmadd");
        if (n > most) {
            most = n;
            best = p;
            *end = loop_end(p, next);
        }
    }
    return best;
}

static void inner_loop(void **state)
{
    const struct target *t = target_find(*state);
    struct arena *a = arena_new();
    const char *end, *asm_text = text_of(a, t, LLVM_TEXT_ASM),
                     *loop = hot_block(asm_text, &end);
    const unsigned want = (unsigned)(t->mr * t->nr / t->vec);
    const bool framed =
        strstr(asm_text, "%rsp, %rbp") != NULL; /* else it is any register */
    if (count(loop, end, "vfmadd") != want || count(loop, end, "rsp") ||
        (framed && count(loop, end, "rbp)")))
        fail_msg("%s: not %u FMAs without stack traffic:%.*s", t->name, want,
                 (int)(end - loop), loop);
    assert_true(count(loop, end, "\tj") >= 1);
    arena_free(a);
}

/* Nothing may be reassociated or contracted. */
static void no_fast_math(void **state)
{
    struct arena *a = arena_new();
    const char *ir = text_of(a, target_find(*state), LLVM_TEXT_IR), *end = ir + strlen(ir);
    assert_true(count(ir, end, "@llvm.fma.") > 0);
    assert_int_equal(count(ir, end, " fast ") + count(ir, end, "contract") +
                         count(ir, end, "reassoc"),
                     0);
    arena_free(a);
}

static void reproduction(void **state)
{
    struct arena *a = arena_new();
    struct diag_sink *ds = diag_sink_new(a, 10);
    const struct target *t = target_find(*state);
    struct kernel *k = kernel_parse(a, f2, ds, diag_file(ds, "f2", f2, sizeof f2 - 1));
    char folder[] = "reproduction-XXXXXX";
    assert_non_null(k);
    assert_non_null(mkdtemp(folder));
    assert_true(llvm_reproduce(nest_schedule(k, t, a), t, folder));
    static const char *const file[] = {"nest.txt", "nest.ll"};
    for (unsigned i = 0; i < 2; i++) {
        char *path = arena_fmt(a, "%s/%s", folder, file[i]);
        FILE *f = fopen(path, "r");
        assert_non_null(f);
        assert_int_not_equal(fgetc(f), EOF);
        fclose(f);
        assert_int_equal(remove(path), 0);
    }
    assert_int_equal(remove(folder), 0);
    assert_false(llvm_reproduce(nest_schedule(k, t, a), t, "no/such/folder"));
    arena_free(a);
}

int main(void)
{
#if defined(__x86_64__)
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(inner_loop, "avx2"),
                                       cmocka_unit_test_prestate(inner_loop, "avx512"),
                                       cmocka_unit_test_prestate(no_fast_math, "avx2"),
                                       cmocka_unit_test_prestate(reproduction, "avx2")};
    return cmocka_run_group_tests_name("asm", tests, NULL, NULL);
#else
    puts("the assembly that is checked is x86-64's");
    return 0;
#endif
}
