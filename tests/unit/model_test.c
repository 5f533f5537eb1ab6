/*
 * Loading whole models: chains of files, overrides that grow, and files made to be slow,
 * which are refused in time and memory that do not depend on what they would become.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/front/merge.h"
#include "compiler/front/model.h"
#include "runtime/base/arena.h"
#include "runtime/base/file.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/yardstick.h"

struct folder {
    char path[64];
    struct arena *a;
    struct diag_sink *ds;
};

static int make_folder(void **state)
{
    struct folder *f = calloc(1, sizeof *f);
    strcpy(f->path, "/tmp/hypno-model-XXXXXX");
    f->a = arena_new();
    f->ds = diag_sink_new(f->a, 1000);
    *state = f;
    return mkdtemp(f->path) ? 0 : -1;
}

static int remove_folder(void **state)
{
    struct folder *f = *state;
    for (int i = 0; i < 100; i++)
        remove(arena_fmt(f->a, "%s/%d.yaml", f->path, i));
    rmdir(f->path);
    arena_free(f->a);
    free(f);
    return 0;
}

static const char *put(struct folder *f, int i, const char *text)
{
    const char *path = arena_fmt(f->a, "%s/%d.yaml", f->path, i);
    assert_int_equal(file_put(path, text, strlen(text), NULL), 0);
    return path;
}

static char *first_code(struct folder *f)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    diag_print_brief(f->ds, out);
    fclose(out);
    char *code = arena_strn(f->a, text, strcspn(text, "@"));
    free(text);
    return code;
}

/* file i extends file i + 1, up to the last */
static struct model *load_chain(struct folder *f, int n, const char *last, const char *each)
{
    const char *path = NULL;
    for (int i = n - 1; i >= 0; i--)
        path = put(f, i,
                   i == n - 1 ? arena_fmt(f->a, "hypnograph: 1\n%s", last)
                              : arena_fmt(f->a, "hypnograph: 1\nextends: %d.yaml\n%s",
                                          i + 1, each));
    return model_load(f->a, f->ds, path, NULL);
}

static void chains_of_files(void **state)
{
    struct folder *f = *state;
    struct model *m =
        load_chain(f, 64, "settings: {a: 1}\n", "settings: {a: original + 1}\n");
    assert_non_null(m);
    const struct expr *e = doc_get(doc_get(m->merged, "settings"), "a")->expr;
    assert_int_equal(e->depth, 64);
    assert_null(doc_get(m->merged, "extends"));
    assert_null(load_chain(f, 65, "settings: {a: 1}\n", ""));
    assert_string_equal(first_code(f), "E0902");
}

static void doubling_is_refused(void **state)
{
    struct folder *f = *state;
    assert_null(
        load_chain(f, 60, "settings: {a: 1}\n", "settings: {a: original * original}\n"));
    assert_string_equal(first_code(f), "E0902");
    assert_true(arena_bytes(f->a) < (size_t)100 << 20);
}

static void imports_meet(void **state)
{
    struct folder *f = *state;
    put(f, 3, "hypnograph: 1\nfunctions: {d(x): x}\n");
    put(f, 2, "hypnograph: 1\nimports: [3.yaml]\nfunctions: {c(x): d(x)}\n");
    put(f, 1,
        "hypnograph: 1\nimports: [./3.yaml, 2.yaml]\nfunctions: {b(x): d(x), linear(x): "
        "x}\n");
    const char *path =
        put(f, 0, "hypnograph: 1\nimports: [1.yaml, 2.yaml]\nfunctions: {c(y): y + 1}\n");
    struct model *m = model_load(f->a, f->ds, path, NULL);
    assert_non_null(m);
    assert_string_equal(model_function(m, "c")->body->text.text, "y + 1");
    assert_int_equal(model_function(m, "d")->from, FROM_IMPORT);
    assert_int_equal(model_function(m, "linear")->from, FROM_IMPORT);
    assert_int_equal(model_function(m, "settle")->from, FROM_LIBRARY);
    assert_null(model_function(m, "e"));
    assert_int_equal(diag_count(f->ds), 1); /* W0211: linear */
    const struct doc *functions = doc_get(m->merged, "functions");
    assert_int_equal(functions->n, 4); /* b, c, d and linear: the file stands for itself */
}

/* `line` with its number in hex for %x, over and over. */
static const char *repeated(struct folder *f, const char *head, const char *line, int n)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    const char *number = strstr(line, "%x");
    fputs(head, out);
    for (int i = 0; i < n; i++) {
        fprintf(out, "%.*s", (int)(number - line), line);
        fprintf(out, "%x%s", i, number + 2);
    }
    fclose(out);
    const char *path = put(f, 0, text);
    free(text);
    return path;
}

/* An entry whose key list has 150 names, in an entry whose key list has 150 names. */
static const char *many_names(struct folder *f, const char *letter)
{
    const char *s = letter;
    for (int i = 1; i < 150; i++)
        s = arena_fmt(f->a, "%s,%s%d", s, letter, i);
    return s;
}

static void expect_soon(struct folder *f, const char *path, const char *code)
{
    struct model_options o = {.go_on = true};
    const double start = seconds_now();
    struct model *m = model_load(f->a, f->ds, path, &o);
    if (m)
        model_elaborate(m);
    const double seconds = seconds_now() - start;
    assert_string_equal(first_code(f), code);
    if (seconds > 4 * seconds_to_read() || arena_bytes(f->a) > (size_t)700 << 20)
        fail_msg("%s took %.2f s (reading: %.2f) and %zu MiB", code, seconds,
                 seconds_to_read(), arena_bytes(f->a) >> 20);
}

static void unknown_keys_in_masses(void **state)
{
    struct folder *f = *state;
    expect_soon(f, repeated(f, "hypnograph: 1\n", "key%x: 1\n", 100000), "E0201");
    assert_int_equal(diag_errors(f->ds), 100000);
}

static void mistakes_in_masses(void **state)
{
    struct folder *f = *state;
    expect_soon(
        f, repeated(f, "hypnograph: 1\nphases:\n w:\n  nodes:\n", "   k%x: )\n", 100000),
        "E0110");
}

static void discriminators_in_masses(void **state)
{
    struct folder *f = *state;
    expect_soon(
        f,
        repeated(f,
                 "hypnograph: 1\nlayers: {x: {shape: [1], drive: 1, prior: normal()}}\n"
                 "discriminators:\n",
                 " d%x: {of: x, net: critic, compare: {sleep: 1}}\n", 20000),
        "E0902");
}

static void names_in_names(void **state)
{
    struct folder *f = *state;
    char *head = arena_str(f->a, "hypnograph: 1\nnetworks:\n");
    const char *names = many_names(f, "w");
    for (int i = 0; i < 60; i++) {
        const char *own = arena_fmt(f->a, "%c%c", 'a' + i % 26, 'A' + i / 26);
        head = arena_fmt(f->a, "%s %s:\n  weights:\n   %s: {shape: [1]}\n", head,
                         many_names(f, own), names);
    }
    expect_soon(f, put(f, 0, head), "E0902");
}

static void cut_lists_in_masses(void **state)
{
    struct folder *f = *state;
    expect_soon(f, repeated(f, "hypnograph: 1\nsettings: {a: 1, ", "k%x, ", 100000),
                "E0104");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        CASE(chains_of_files),    CASE(doubling_is_refused),
        CASE(imports_meet),       CASE(unknown_keys_in_masses),
        CASE(mistakes_in_masses), CASE(discriminators_in_masses),
        CASE(names_in_names),     CASE(cut_lists_in_masses),
    };
#undef CASE
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
