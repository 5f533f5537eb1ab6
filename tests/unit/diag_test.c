/* Diagnostics: order, excerpt and caret, notes, speculation, limits, "did you mean". */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/arena.h"
#include "runtime/base/diag.h"
#include "tests/unit/cmocka_all.h"

struct fixture {
    struct arena *a;
    struct diag_sink *ds;
    char *text;
    size_t n;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->a = arena_new();
    f->ds = diag_sink_new(f->a, 4);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_free(f->a);
    free(f->text);
    free(f);
    return 0;
}

static const char *shown(struct fixture *f, bool colour, bool brief)
{
    free(f->text);
    FILE *out = open_memstream(&f->text, &f->n);
    if (brief)
        diag_print_brief(f->ds, out);
    else
        diag_print(f->ds, out, colour);
    fclose(out);
    return f->text;
}

static void excerpt_counts_code_points(void **state)
{
    struct fixture *f = *state;
    const char *text = "a: 1\n\tz\xc3\xbc: \xce\xb1 + bb\r\nlast";
    const uint32_t n = diag_file(f->ds, "m.yaml", text, strlen(text));
    diag(f->ds, E0301, (struct loc){n, 2, 6, 6}, "shapes [%d] and [%d] do not fit", 2, 3);
    diag_note(f->ds, (struct loc){n, 1, 4, 1}, "from here");
    diag_note(f->ds, (struct loc){0}, "no place");
    diag_hint(f->ds, "use `%s`", "reshape");
    assert_string_equal(shown(f, false, false),
                        "m.yaml:2:6: error[E0301]: shapes [2] and [3] do not fit\n"
                        "   z\xc3\xbc: \xce\xb1 + bb\n"
                        "       ^~~~~~\n"
                        "m.yaml:1:4: note: from here\n"
                        "  a: 1\n"
                        "     ^\n"
                        "note: no place\n"
                        "hint: use `reshape`\n");
}

static void excerpt_shows_a_window_of_a_long_line(void **state)
{
    struct fixture *f = *state;
    enum { N = 1 << 20, CARET = 1000 };
    char *text = malloc(N), want[600];
    memset(text, 'x', N);
    memcpy(text + CARET - 1, "here", 4);
    const uint32_t n = diag_file(f->ds, "m", text, N);
    diag(f->ds, E0301, (struct loc){n, 1, 4, 2}, "at the left");
    diag(f->ds, E0301, (struct loc){n, 1, CARET, 4}, "in the middle");
    char left[161], middle[161];
    memset(left, 'x', 160);
    memset(middle, 'x', 160);
    memcpy(middle + 59, "here", 4);
    left[160] = middle[160] = 0;
    snprintf(want, sizeof want,
             "m:1:4: error[E0301]: at the left\n  %s...\n     ^~\n"
             "m:1:1000: error[E0301]: in the middle\n  ...%s...\n     %59s^~~~\n",
             left, middle, "");
    assert_string_equal(shown(f, false, false), want);
    free(text);
}

static void excerpt_survives_hostile_places(void **state)
{
    struct fixture *f = *state;
    const char *text = "\xff\x1b[2J\n";
    const uint32_t n = diag_file(f->ds, "m", text, strlen(text));
    diag(f->ds, E0301, (struct loc){n, 1, 6, 9}, "end of line");
    diag(f->ds, E0301, (struct loc){n, 1, 7, 1}, "behind it");
    diag(f->ds, E0301, (struct loc){n, 9, 1, 1}, "no such line");
    diag(f->ds, E0301, (struct loc){n + 5, 1, 1, 1}, "no such file");
    assert_string_equal(shown(f, false, false), "m:1:6: error[E0301]: end of line\n"
                                                "  ? [2J\n"
                                                "       ^\n"
                                                "m:1:7: error[E0301]: behind it\n"
                                                "  ? [2J\n"
                                                "m:9:1: error[E0301]: no such line\n"
                                                "error[E0301]: no such file\n");
}

static void source_order_is_stable(void **state)
{
    struct fixture *f = *state;
    const uint32_t one = diag_file(f->ds, "one", "", 0),
                   two = diag_file(f->ds, "two", "", 0);
    diag(f->ds, E0302, (struct loc){two, 1, 1, 1}, "d");
    diag(f->ds, E0301, (struct loc){one, 2, 5, 1}, "b");
    diag(f->ds, W0211, (struct loc){one, 2, 5, 9}, "c");
    diag(f->ds, R0951, (struct loc){one, 2, 4, 1}, "a");
    assert_string_equal(shown(f, false, true),
                        "R0951@2:4\nE0301@2:5\nW0211@2:5\nE0302@1:1\n");
    assert_int_equal(diag_errors(f->ds), 3);
    assert_int_equal(diag_count(f->ds), 4);
}

static void surplus_is_counted(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 6; i++)
        diag(f->ds, E0301, (struct loc){0}, "%d", i);
    diag_note(f->ds, (struct loc){0}, "belongs to a report that was not stored");
    assert_int_equal(diag_errors(f->ds), 6);
    assert_string_equal(shown(f, false, false), "error[E0301]: 0\nerror[E0301]: 1\n"
                                                "error[E0301]: 2\nerror[E0301]: 3\n"
                                                "2 more not shown\n");
}

static void rewinding_forgets(void **state)
{
    struct fixture *f = *state;
    diag(f->ds, E0301, (struct loc){0}, "kept");
    const struct diag_mark m = diag_mark(f->ds);
    for (int i = 0; i < 9; i++)
        diag(f->ds, E0302, (struct loc){0}, "speculation");
    diag_rewind(f->ds, m);
    diag_hint(f->ds, "for nobody");
    assert_int_equal(diag_errors(f->ds), 1);
    assert_string_equal(shown(f, false, false), "error[E0301]: kept\n");
    diag(f->ds, W0211, (struct loc){0}, "goes on");
    assert_string_equal(shown(f, true, false),
                        "\033[1;31merror[E0301]:\033[0m kept\n"
                        "\033[1;35mwarning[W0211]:\033[0m goes on\n");
}

static void codes_have_rows(void **state)
{
    (void)state;
    enum diag_code c;
    for (unsigned i = 0; i < DIAG_COUNT; i++) {
        assert_true(diag_code_find(diag_code_name((enum diag_code)i), &c));
        assert_int_equal(c, i);
        assert_true(strlen(diag_code_text(c)) > 0);
        assert_non_null(diag_code_help(c));
    }
    assert_false(diag_code_find("E0000", &c));
}

static void nearest_names(void **state)
{
    (void)state;
    const char *names[] = {"weight", "bias", "units", "learning_rate"};
    assert_string_equal(diag_nearest("wieght", names, 4), "weight");
    assert_string_equal(diag_nearest("uints", names, 4), "units"); /* a swap counts once */
    assert_string_equal(diag_nearest("lerning_rates", names, 4), "learning_rate");
    assert_null(diag_nearest("kernel", names, 4));
    assert_null(diag_nearest("", names, 4));
    const char *close[] = {"abcd", "abcx"};
    assert_string_equal(diag_nearest("abcx", close, 2), "abcx");
    assert_string_equal(diag_nearest("abcy", close, 2), "abcd"); /* a tie: the first */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(excerpt_counts_code_points, setup, teardown),
        cmocka_unit_test_setup_teardown(excerpt_shows_a_window_of_a_long_line, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(excerpt_survives_hostile_places, setup, teardown),
        cmocka_unit_test_setup_teardown(source_order_is_stable, setup, teardown),
        cmocka_unit_test_setup_teardown(surplus_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(rewinding_forgets, setup, teardown),
        cmocka_unit_test(codes_have_rows),
        cmocka_unit_test(nearest_names),
    };
    return cmocka_run_group_tests_name("diag", tests, NULL, NULL);
}
