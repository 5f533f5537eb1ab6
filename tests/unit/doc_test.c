/* Model files: places of what is inside scalars, reading rules, round trips, limits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/front/expr.h"
#include "runtime/base/arena.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/yardstick.h"

struct reading {
    struct arena *a;
    struct diag_sink *ds;
    struct doc *d;
};

static struct reading read_bytes(const char *text, size_t n)
{
    struct reading r = {arena_new(), NULL, NULL};
    r.ds = diag_sink_new(r.a, 1000);
    r.d = doc_read(r.a, r.ds, diag_file(r.ds, "test.yaml", text, n), text, n);
    return r;
}

static struct reading read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

static char *brief(struct reading *r)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    diag_print_brief(r->ds, f);
    fclose(f);
    char *copy = arena_strn(r->a, text, n);
    free(text);
    return copy;
}

static void expect_brief(const char *text, const char *want)
{
    struct reading r = read_text(text);
    assert_string_equal(brief(&r), want);
    arena_free(r.a);
}

/* The place of `word` in the scalar under `key`. */
static void expect_at(const char *text, const char *key, const char *word, uint32_t line,
                      uint32_t col)
{
    struct reading r = read_text(text);
    const struct doc *d = doc_get(r.d, key);
    assert_non_null(d);
    const char *at = strstr(d->text.text, word);
    assert_non_null(at);
    const struct loc l =
        doc_at(&d->text, (uint32_t)(at - d->text.text), (uint32_t)strlen(word));
    if (l.line != line || l.col != col)
        fail_msg("`%s` is at %u:%u, not %u:%u", word, l.line, l.col, line, col);
    arena_free(r.a);
}

static void places_in_scalars(void **state)
{
    (void)state;
    expect_at("a: one two\n", "a", "two", 1, 8);
    expect_at("a: \xc3\xa9\xe2\x82\xac two\n", "a", "two", 1, 7);
    expect_at("a: one\n  two\n\n   three four\n", "a", "two", 2, 3);
    expect_at("a: one\n  two\n\n   three four\n", "a", "four", 4, 10);
    expect_at("a: 'it''s two'\n", "a", "two", 1, 11);
    expect_at("a: 'one\n  it''s\n\n  two'\n", "a", "two", 4, 3);
    expect_at("a: \"\\u00e9\\x41\\tone \\\"two\"\n", "a", "one", 1, 17);
    expect_at("a: \"\\u00e9\\x41\\tone \\\"two\"\n", "a", "two", 1, 23);
    expect_at("a: \"one \\\n    two\\\n    three\"\n", "a", "three", 3, 5);
    expect_at("a: \"one\n  two\"\n", "a", "two", 2, 3);
    expect_at("a: |\n  one\n    two\n  three\n", "a", "two", 3, 5);
    expect_at("a: |2- # note\n    one\n  two\n", "a", "two", 3, 3);
    expect_at("a: >\n  one\n  two\n\n  three\n", "a", "three", 5, 3);
    expect_at("a: >-\n\n  one\n   more\n  two\n", "a", "two", 5, 3);
    expect_at("\xef\xbb\xbf"
              "a: one two\n",
              "a", "two", 1, 8);
    expect_at("b: 1\r\na: one\r\n  two\r\n", "a", "two", 3, 3);
}

static void scalars_are_text(void **state)
{
    (void)state;
    struct reading r =
        read_text("a: 1e-4\nb: on\nc: 'x'\nd: \"x\"\ne: ~normal()\nf: null\n");
    assert_string_equal(doc_get(r.d, "a")->text.text, "1e-4");
    assert_string_equal(doc_get(r.d, "b")->text.text, "on");
    assert_true(doc_equal(doc_get(r.d, "c"), doc_get(r.d, "d")));
    assert_string_equal(doc_get(r.d, "e")->text.text, "~normal()");
    assert_string_equal(doc_get(r.d, "f")->text.text, "null");
    assert_int_equal(diag_count(r.ds), 0);
    arena_free(r.a);
}

static void line_ends_and_marks(void **state)
{
    (void)state;
    struct reading lf = read_text("a: 1\nb:\n  - x\n  - >\n    y\n    z\n");
    struct reading crlf = read_text("\xef\xbb\xbf"
                                    "a: 1\r\nb:\r\n  - x\r\n  - >\r\n    y\r\n    z\r\n");
    assert_true(doc_equal(lf.d, crlf.d));
    arena_free(lf.a);
    arena_free(crlf.a);
    expect_brief("a: 1\rb: 2\n", "E0101@1:5\n");
    expect_brief("a: 1\n# \xc2\x85\n", "E0101@2:3\n");
    expect_brief("a: x\xe2\x80\xa8y\n", "E0101@1:5\n");
    expect_brief("a: \xff\n", "E0101@1:4\n");
    expect_brief("a: \xc0\xaf\n", "E0101@1:4\n");
    expect_brief("a: \xed\xa0\x80\n", "E0101@1:4\n");
    expect_brief("ab\n\xf0\x9f", "E0101@2:1\n");
    expect_brief("a: \x01\n", "E0101@1:4\n");
    expect_brief("a: \"\\0\"\n", "E0101@1:4\n");
    expect_brief("a: 1\n\xef\xbb\xbf"
                 "b: 2\n",
                 "E0101@2:1\n");
    struct reading nul = read_bytes("a: \0b\n", 6);
    assert_string_equal(brief(&nul), "E0101@1:4\n");
    arena_free(nul.a);
}

/* Keys have at most 1,000 characters and stand on one line. */
static void keys_are_short(void **state)
{
    (void)state;
    for (int n = 999; n <= 1002; n++) {
        struct arena *a = arena_new();
        char *text = arena_alloc(a, 2000);
        memset(text, 'k', (size_t)n);
        strcat(text, ": 1\n");
        struct reading r = read_text(text);
        assert_int_equal(diag_errors(r.ds), n > 1000);
        arena_free(r.a);
        arena_free(a);
    }
    expect_brief("? one\n  two\n: 3\n", "E0101@1:3\n");
    expect_brief("? [a]\n: 3\n", "E0108@1:3\n");
}

static void many_keys_are_found(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    struct doc *d = doc_map(a, (struct loc){0});
    for (int i = 0; i < 5000; i++)
        doc_add(a, d, arena_fmt(a, "key%d", i), (struct loc){0},
                doc_scalar(a, (struct loc){0}, arena_fmt(a, "%d", i)));
    for (int i = 0; i < 5000; i++) {
        const char *key = arena_fmt(a, "key%d", i);
        assert_string_equal(doc_get(d, key)->text.text, key + 3);
    }
    assert_null(doc_get(d, "key5000"));
    arena_free(a);
}

/* Texts that need each of the ways to be written. */
static const char *const awkward[] = {
    "plain",   "two words", "a, b",         "[1, 2]",
    "{x}",     "it's",      "\"quoted\"",   "a: b",
    "a #b",    "a#b",       "- x",          "-x",
    "? y",     "?y",        "*a",           "&a",
    "!a",      "%a",        "@a",           "`a",
    "| a",     "~",         " lead",        "trail ",
    "a\nb",    "a\nb\n",    "a\nb\n\n",     "\na",
    "a\n\nb",  "a\n  b\n",  " a\nb",        "tab\there",
    "a\tb\nc", "\xc3\xa9",  "\xe2\x80\xa8", "\xc2\x85x",
    "a\\b",    "x:",        ":x",           "'",
    "''",      "---",       "...",          "--- a",
    "#",       "a ",        "\xef\xbb\xbf", "\x7f",
    "a b\n c", "a \nb",     "\xef\xbf\xbf", "yes",
    "<<",      ",",         "a,b",          "\x01\x02",
};
enum { NAWKWARD = sizeof awkward / sizeof *awkward };

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static struct doc *random_doc(struct arena *a, uint32_t *seed, int depth)
{
    const struct loc none = {0};
    const uint32_t kind = depth > 0 ? next(seed) % 4 : 0;
    if (kind <= 1)
        return doc_scalar(a, none, awkward[next(seed) % NAWKWARD]);
    struct doc *d = kind == 2 ? doc_map(a, none) : doc_list(a, none);
    d->flow = next(seed) % 3 == 0;
    for (uint32_t i = next(seed) % 5; i > 0; i--) {
        struct doc *v = random_doc(a, seed, depth - 1);
        if (d->flow && v->kind != DOC_SCALAR)
            v->flow = true;
        const char *key = awkward[next(seed) % NAWKWARD];
        if (kind == 2 && (strpbrk(key, "\n") || doc_get(d, key) || !strcmp(key, "~") ||
                          !strcmp(key, "yes") || !strcmp(key, "<<")))
            continue;
        doc_add(a, d, kind == 2 ? key : NULL, none, v);
    }
    return d;
}

static void documents_round_trip(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 2000; seed++) {
        struct arena *a = arena_new();
        struct diag_sink *ds = diag_sink_new(a, 10);
        uint32_t s = seed;
        struct doc *d = random_doc(a, &s, 4);
        const char *text = doc_print(d, a);
        struct doc *again = doc_read(a, ds, diag_file(ds, "printed", text, strlen(text)),
                                     text, strlen(text));
        if (diag_count(ds) || !doc_equal(d, again)) {
            diag_print(ds, stderr, false);
            fail_msg("seed %u does not read back:\n%s", seed, text);
        }
        arena_free(a);
    }
}

/* Refused as soon as a correct file of that size is read, or nearly, in little memory. */
static void expect_refused(const char *text, size_t n, const char *code)
{
    const double start = seconds_now();
    struct reading r = read_bytes(text, n);
    if (r.d && r.d->kind == DOC_MAP)
        expr_parse(r.a, r.ds, r.d->entry[0].value);
    const double seconds = seconds_now() - start;
    assert_memory_equal(brief(&r), code, strlen(code));
    assert_int_equal(diag_count(r.ds), 1);
    if (seconds > 3 * seconds_to_read() || arena_bytes(r.a) > (size_t)700 << 20)
        fail_msg("%s took %.2f s (reading: %.2f) and %zu MiB", code, seconds,
                 seconds_to_read(), arena_bytes(r.a) >> 20);
    arena_free(r.a);
}

static void attacks_are_refused(void **state)
{
    (void)state;
    enum { SIZE = 4 << 20 };
    char *s = malloc(SIZE + 16);
    assert_non_null(s);
    memset(s, '[', SIZE);
    expect_refused(s, SIZE, "E0902");
    memset(s, 'x', SIZE + 1);
    expect_refused(s, SIZE + 1, "E0902");
    for (int i = 0; i < SIZE; i += 2)
        memcpy(s + i, i ? "a," : "[ ", 2);
    expect_refused(s, SIZE, "E0902");
    for (int i = 0; i < SIZE; i += 2)
        memcpy(s + i, "- ", 2);
    expect_refused(s, SIZE, "E0902");
    memset(s, '(', SIZE);
    memcpy(s, "a: ", 3);
    expect_refused(s, 60000, "E0902");
    expect_refused(s, SIZE, "E0902");
    memset(s, '~', SIZE);
    memcpy(s, "a: ", 3);
    expect_refused(s, 60000, "E0902");
    for (int i = 3; i < 60000; i += 2)
        memcpy(s + i, "1+", 2);
    expect_refused(s, 60000, "E0902");
    for (int i = 3; i < 60000; i += 3)
        memcpy(s + i, "1**", 3);
    expect_refused(s, 60000, "E0902");
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_in_scalars),   cmocka_unit_test(scalars_are_text),
        cmocka_unit_test(line_ends_and_marks), cmocka_unit_test(keys_are_short),
        cmocka_unit_test(many_keys_are_found), cmocka_unit_test(documents_round_trip),
        cmocka_unit_test(attacks_are_refused),
    };
    return cmocka_run_group_tests_name("doc", tests, NULL, NULL);
}
