/*
 * Code for the rows of target.def that this machine does not run: random kernels, by the
 * row and by variants of it, become modules that LLVM accepts and assembly with every
 * stage.  What the code computes is not asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codegen/backend.h"
#include "codegen/llvm/llvm.h"
#include "codegen/loop/loop.h"
#include "runtime/base/arena.h"
#include "tests/prop/kernel_gen.h"

enum { KERNELS = 40 };

/* NULL: *why says what failed. */
static char *code_of(const struct nest *n, const struct target *t, const char **why)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    const bool ok = llvm_print(n, t, LLVM_TEXT_ASM, out, why);
    fclose(out);
    if (ok)
        return text;
    free(text);
    return NULL;
}

/* Only then is a row left out; a kernel that fails says something else. */
static bool is_left_out(const struct target *t)
{
    struct arena *a = arena_new();
    const char *why = NULL;
    char *text = code_of(nest_schedule(kernel_random(1, a), t, a), t, &why);
    const bool out = !text && (strstr(why, "no code generator for this target") ||
                               strstr(why, "makes no code for the target"));
    if (out)
        printf("%s: %s\n", t->name, why);
    free(text);
    arena_free(a);
    return out;
}

/* Every other one by a variant of the row, one after another. */
static struct nest *scheduled(uint32_t seed, const struct target *t, struct arena *a)
{
    struct target row = *t, varied;
    if (seed % 2 &&
        target_vary(t, target_variant[seed / 2 % target_nvariant].name, &varied))
        row = varied;
    return nest_schedule(kernel_random(seed, a), &row, a);
}

static void compile_one(uint32_t seed, const struct target *t)
{
    struct arena *a = arena_new();
    struct nest *n = scheduled(seed, t, a);
    const char *why = "a stage is missing";
    char *text = NULL;
    bool ok = llvm_refused(&n, 1, t) == 1 && (text = code_of(n, t, &why));
    for (uint32_t i = 0; ok && i < n->nstage; i++)
        ok = strstr(text, arena_fmt(a, "\nk0_%u:", i)) != NULL;
    if (!ok)
        fail_msg("seed %u, target %s: %s\n%s", seed, t->name, why, nest_print(n, a));
    free(text);
    arena_free(a);
}

static void code_is_made(void **state)
{
    const struct target *t;
    (void)state;
    for (unsigned i = 0; (t = target_at(i)); i++)
        if (!llvm_runs_here(t) && !is_left_out(t))
            for (uint32_t s = 1; s <= KERNELS; s++)
                compile_one(s, t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(code_is_made)};
    return cmocka_run_group_tests_name("compile", tests, NULL, NULL);
}
