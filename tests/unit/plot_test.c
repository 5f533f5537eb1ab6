/* Plots: well-formed SVG whatever the numbers are; round ticks; nothing shown that is not
 * there. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/plot.h"
#include "runtime/plot_impl.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/scratch.h"

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Tags balance, `&` begins an entity, and no number failed to be one. */
static void check_well_formed(const char *svg)
{
    int depth = 0;
    for (const char *p = strchr(svg, '<'); p; p = strchr(p + 1, '<')) {
        const char *end = strchr(p, '>');
        assert_non_null(end);
        depth += p[1] == '/' ? -1 : end[-1] == '/' ? 0 : 1;
        assert_true(depth >= 0);
    }
    assert_int_equal(depth, 0);
    for (const char *p = strchr(svg, '&'); p; p = strchr(p + 1, '&'))
        assert_true(begins(p, "&lt;") || begins(p, "&gt;") || begins(p, "&amp;"));
    for (const char *p = strstr(svg, "=\""); p; p = strstr(p + 1, "=\""))
        assert_false(begins(p + 2, "nan") || begins(p + 2, "inf") || begins(p + 2, "-"));
    assert_null(strstr(svg, "Mnan"));
    assert_null(strstr(svg, "L-nan"));
}

static char *draw(const struct plot *p)
{
    char *text = NULL;
    size_t n = 0;
    assert_int_equal(plot_svg(p, &text, &n, NULL), HYP_OK);
    assert_int_equal(strlen(text), n);
    check_well_formed(text);
    return text;
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;
    for (const char *p = strstr(text, what); p; p = strstr(p + 1, what))
        n++;
    return n;
}

static void ticks_are_round(void **state)
{
    static const struct {
        double low, high;
        bool log;
        const char *labels;
    } rows[] = {
        {0, 0.93, false, "0.0 0.2 0.4 0.6 0.8 1.0"},
        {3, 47, false, "0 10 20 30 40 50"},
        {-1.2, 1.1, false, "-1.5 -1.0 -0.5 0.0 0.5 1.0 1.5"},
        {0.0021, 0.0049, false, "0.002 0.003 0.004 0.005"},
        {1e6, 3.9e6, false, "1e6 2e6 3e6 4e6"},
        {0, 4e-7, false, "0 1e-7 2e-7 3e-7 4e-7"},
        {5, 5, false, "4.4 4.6 4.8 5.0 5.2 5.4 5.6"},
        {0, 0, false, "-1.0 -0.5 0.0 0.5 1.0"},
        {1, 5000, true, "1 10 100 1000 10000"},
        {0.03, 0.6, true, "0.05 0.1 0.2 0.5"},
        {1e-9, 1e9, true, "1e-9 1e-5 0.1 1000 1e7 1e11"},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct axis a = {.log = rows[i].log, .empty = true, .to = 1};
        char got[512] = "";
        axis_cover(&a, rows[i].low);
        axis_cover(&a, rows[i].high);
        axis_finish(&a, 5, false);
        for (unsigned k = 0; k < a.ntick; k++)
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", k ? " " : "",
                     a.label[k]);
        assert_string_equal(got, rows[i].labels);
        assert_true(axis_place(&a, rows[i].low) >= -1e-12);
        assert_true(axis_place(&a, rows[i].high) <= 1 + 1e-12);
    }
}

static void lines_break_where_nothing_is(void **state)
{
    static const double y[] = {1, 2, NAN, 3, INFINITY, 4, 5};
    const struct plot_series s = {.name = "a<b & \"c\"", .y = y, .n = 7};
    struct plot p = {.kind = PLOT_LINES, .title = "x > y", .nseries = 1, .series = &s};
    (void)state;
    char *text = draw(&p);
    const char *line = strstr(text, "<path fill=\"none\"");
    assert_non_null(line);
    const char *d = strstr(line, " d=\"");
    const char *end = strstr(d, "/>");
    unsigned moves = 0, lines = 0, dots = 0;
    for (const char *c = d; c < end; c++) {
        moves += *c == 'M';
        lines += *c == 'L';
        dots += *c == 'h';
    }
    assert_int_equal(moves, 3);
    assert_int_equal(lines, 2);
    assert_int_equal(dots, 1); /* the 3, alone */
    assert_non_null(strstr(text, "x &gt; y"));
    hyp_free(text);
}

/* A million points make a small file that still reaches the extremes. */
static void many_points_are_thinned(void **state)
{
    enum { N = 1000000 };
    double *y = malloc(N * sizeof *y);
    (void)state;
    for (size_t i = 0; i < N; i++)
        y[i] = i == 123456 ? 100 : i == 654400 ? -100 : sin((double)i);
    const struct plot_series s = {.y = y, .n = N};
    const struct plot p = {.kind = PLOT_LINES, .nseries = 1, .series = &s};
    char *text = draw(&p);
    assert_in_range(strlen(text), 1000, 100000);
    const char *line = strstr(text, "stroke-opacity=\"0.30\"");
    assert_non_null(strstr(line, " 32.0"));  /* the field's top, where 100 is */
    assert_non_null(strstr(line, " 404.0")); /* its bottom, where -100 is */
    hyp_free(text);
    free(y);
}

static void dots_on_one_place_are_one(void **state)
{
    static const double x[] = {1, 1, 10, 100, 0, -3}, y[] = {1, 1, 20, 100, 5, 5};
    const struct plot_series s[] = {{.name = "a", .x = x, .y = y, .n = 6},
                                    {.name = "b", .x = y, .y = x, .n = 3}};
    struct plot p = {.kind = PLOT_SCATTER,
                     .log_x = true,
                     .log_y = true,
                     .diagonal = true,
                     .nseries = 2,
                     .series = s};
    (void)state;
    char *text = draw(&p);
    assert_int_equal(count(text, "r=\"3.2\""), 5);
    assert_int_equal(count(text, "r=\"5\""), 2); /* the legend */
    assert_int_equal(count(text, "stroke-dasharray"), 1);
    hyp_free(text);
}

static void bars(void **state)
{
    static const double v[] = {0.25, -1, NAN};
    const struct plot_series s[] = {{.name = "one", .y = v, .n = 1},
                                    {.name = "two", .y = v + 1, .n = 1},
                                    {.name = "three", .y = v + 2, .n = 1},
                                    {.name = "none", .y = v, .n = 0}};
    const struct plot p = {.kind = PLOT_BARS, .nseries = 4, .series = s};
    (void)state;
    char *text = draw(&p);
    assert_int_equal(count(text, "<rect x="), 2);
    assert_int_equal(count(text, "not finite"), 2);
    assert_non_null(strstr(text, ">0.25<"));
    assert_non_null(strstr(text, ">-1<"));
    hyp_free(text);
}

/* Whatever the numbers: well-formed, finite, in bounded time. */
static void survives_any_numbers(void **state)
{
    static const double nasty[] = {0,     -0.0,     1,      -1,  1e-320,   -1e300,
                                   1e299, 1.7e308,  5e-324, NAN, INFINITY, -INFINITY,
                                   1e16,  1e16 + 2, 0.1,    1e-9};
    enum { N = sizeof nasty / sizeof *nasty };
    (void)state;
    for (unsigned a = 0; a < N; a++)
        for (unsigned b = 0; b < N; b++)
            for (unsigned how = 0; how < 12; how++) {
                const double x[] = {nasty[a], nasty[b]}, y[] = {nasty[b], nasty[a]};
                const struct plot_series s = {.name = "s", .x = x, .y = y, .n = 2};
                const struct plot p = {.kind = (enum plot_kind)(how % 3),
                                       .log_x = how / 3 % 2,
                                       .log_y = how / 6,
                                       .diagonal = a % 2,
                                       .nseries = 1,
                                       .series = &s};
                hyp_free(draw(&p));
            }
    const struct plot empty = {.kind = PLOT_LINES};
    char *text = draw(&empty);
    assert_non_null(strstr(text, "no data"));
    hyp_free(text);
}

static void written_or_not_at_all(void **state)
{
    static const double y[] = {1, 2};
    const struct plot_series s = {.name = "a", .y = y, .n = 2};
    const struct plot p = {.kind = PLOT_SCATTER, .nseries = 1, .series = &s};
    (void)state;
    assert_int_equal(plot_write(scratch_path("p.svg"), &p, NULL), HYP_OK);
    assert_true(file_exists(scratch_path("p.svg")));
    enum hyp_status st = HYP_ENOMEM;
    for (uint64_t n = 1; n < 100 && st; n++) {
        hyp_alloc_fail_at(n);
        st = plot_write(scratch_path("q.svg"), &p, NULL);
        hyp_alloc_fail_at(0);
        assert_true(st == HYP_OK || !file_exists(scratch_path("q.svg")));
    }
    assert_int_equal(st, HYP_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_are_round),
        cmocka_unit_test(lines_break_where_nothing_is),
        cmocka_unit_test(many_points_are_thinned),
        cmocka_unit_test(dots_on_one_place_are_one),
        cmocka_unit_test(bars),
        cmocka_unit_test(survives_any_numbers),
        cmocka_unit_test(written_or_not_at_all),
    };
    return cmocka_run_group_tests_name("plot", tests, scratch_setup, scratch_teardown);
}
