/* Every metric that learns nothing, against cases worked out by hand. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/cmocka_all.h"
#include "tests/unit/scratch.h"
#include "tests/unit/tiny_run.h"

/* Four samples: a = 0 1 1 2, b = 0 0 1 2, y = 0 1 2 2, each a value of one unit. */
static struct hyp_output column[] = {
    {.name = "probe/m/a", .rank = 1, .sample = true, .dim = {{0, 1}}},
    {.name = "probe/m/b", .rank = 1, .sample = true, .dim = {{0, 1}}},
    {.name = "probe/m/y", .rank = 1, .sample = true, .dim = {{0, 1}}},
};
static struct hyp_probe_value value[2];
static struct hyp_probe_param param[4];
static const char *table = "a,b,y\n0,0,0\n1,0,1\n1,1,2\n2,2,2\n";

/* The table in file order, its columns the outputs of a phase. */
static void look_at_table(void)
{
    scratch_put_text("metric.csv", table);
    tiny_source[0].file = "metric.csv";
    struct hyp_phase *ph = &tiny.phase[TINY_ERROR];
    for (uint32_t i = 0; i < 3; i++)
        column[i].buffer = ph->input[i].buffer;
    ph->output = column;
    ph->noutput = 3;
    tiny.nprobe = 1;
}

/* The probe `m`, with its two arguments. */
static void ask(const char *metric, const char *first, uint32_t a, const char *second,
                uint32_t b, struct hyp_summary *s)
{
    look_at_table();
    value[0] = (struct hyp_probe_value){first, TINY_ERROR, a, 0};
    value[1] = (struct hyp_probe_value){second, TINY_ERROR, b, 0};
    tiny_probe[0] = (struct hyp_probe){.name = "m",
                                       .metric = metric,
                                       .kind = HYP_PROBE_METRIC,
                                       .value = value,
                                       .nvalue = 2,
                                       .param = param,
                                       .nparam = 4};
    if (tiny_train(NULL, 0, -1, false, s) != HYP_OK)
        fail_msg("%s: %s", metric, tiny_error.text);
}

static void expect(const struct hyp_summary *s, const char *name, double want)
{
    const double *v = tiny_value(s, name);
    assert_non_null(v);
    if (!(fabs(*v - want) < 1e-12))
        fail_msg("%s is %.15g, not %.15g", name, *v, want);
}

static void no_params(void)
{
    for (unsigned i = 0; i < 4; i++)
        param[i] = (struct hyp_probe_param){"none", NULL, 0};
}

static void accuracy_is_a_share(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    no_params();
    ask("accuracy", "of", 0, "labels", 2, &s);
    expect(&s, "m", 0.75);
    hyp_summary_fini(&s);
}

static void confusion_counts_label_by_class(void **state)
{
    static const double want[9] = {1, 0, 0, 0, 1, 0, 0, 1, 1};
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    no_params();
    ask("confusion", "of", 0, "labels", 2, &s);
    expect(&s, "m", 0.75);
    const double *v = tiny_value(&s, "m.counts");
    assert_non_null(v);
    assert_memory_equal(v, want, sizeof want);
    hyp_summary_fini(&s);
}

static void histograms_are_smoothed_and_clipped(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    no_params();
    param[0] = (struct hyp_probe_param){"bins", NULL, 2};
    param[1] = (struct hyp_probe_param){"range.0", NULL, 0};
    param[2] = (struct hyp_probe_param){"range.1", NULL, 2};
    ask("histogram_kl", "of.0", 0, "of.1", 1, &s);
    /* counts 1 3 and 2 2 (the value 2 lies outside), a half added to each */
    expect(&s, "m", 0.3 * log(0.3 / 0.5) + 0.7 * log(0.7 / 0.5));
    hyp_summary_fini(&s);
}

static void patterns_are_compared_with_controls(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    no_params();
    param[0] = (struct hyp_probe_param){"units", NULL, 1};
    param[1] = (struct hyp_probe_param){"controls", "all", 0};
    ask("pattern_overlap", "of.wake.0", 0, "of.sleep.0", 1, &s);
    /* wake 1 2 1, sleep 2 1 1 of the patterns 0 1 2; a half added: 5.5 in all */
    expect(&s, "m", (1.5 * log(1.5 / 2.5) + 2.5 * log(2.5 / 1.5)) / 5.5);
    expect(&s, "m.js", (1.5 * log(1.5 / 2) + 2.5 * log(2.5 / 2)) / 5.5);
    expect(&s, "m.shared", 4.5 / 5.5);
    /* 0 1 against 1 2 */
    expect(&s, "m.floor", (1.5 * log(3) + 0.5 * log(1.0 / 3)) / 3.5);
    /* one unit alone keeps its frequencies however it is permuted */
    expect(&s, "m.shuffled", 0);
    expect(&s, "m.rate", 0);
    /* what is read here does not depend on weights */
    expect(&s, "m.untrained", *tiny_value(&s, "m"));
    hyp_summary_fini(&s);
}

/* Numbers that are no bytes, some of them not before the second batch. */
static void patterns_of_large_numbers(void **state)
{
    const char *small = table;
    (void)state;
    for (uint32_t batch = 1; batch <= 4; batch++) {
        struct hyp_summary s = {0};
        tiny_reset();
        no_params();
        tiny_setting[0] = batch;
        param[0] = (struct hyp_probe_param){"units", NULL, 1};
        table = "a,b,y\n0,0,0\n44,0,1\n44,44,2\n300,300,2\n"; /* 300 is 44 in a byte */
        ask("pattern_overlap", "of.wake.0", 0, "of.sleep.0", 1, &s);
        expect(&s, "m", (1.5 * log(1.5 / 2.5) + 2.5 * log(2.5 / 1.5)) / 5.5);
        expect(&s, "m.shared", 4.5 / 5.5);
        hyp_summary_fini(&s);
    }
    table = small;
}

/* ---- latent_geometry, pca, frechet ---- */

static struct hyp_probe_value three[3];

/* The probe `m` of a, with the labels y and against b, into the folder `out`. */
static void ask_latents(const char *metric, const char *out, struct hyp_summary *s)
{
    look_at_table();
    three[0] = (struct hyp_probe_value){"of", TINY_ERROR, 0, 0};
    three[1] = (struct hyp_probe_value){"labels", TINY_ERROR, 2, 0};
    three[2] = (struct hyp_probe_value){"against", TINY_ERROR, 1, 0};
    tiny_probe[0] = (struct hyp_probe){.name = "m",
                                       .metric = metric,
                                       .kind = HYP_PROBE_METRIC,
                                       .value = three,
                                       .nvalue = 3,
                                       .param = param,
                                       .nparam = 4};
    if (tiny_train(out, 0, -1, false, s) != HYP_OK)
        fail_msg("%s: %s", metric, tiny_error.text);
}

/* Classes at 0 and 2 (or 10 and 14): within them pairs are 2 and 4 apart, whichever are
 * drawn; a third class of one sample has no pair. */
static void geometry_of_known_distances(void **state)
{
    const char *small = table;
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    no_params();
    table = "a,b,y\n0,0.5,0\n2,2.5,0\n10,9.5,1\n14,13.5,1\n";
    param[0] = (struct hyp_probe_param){"samples", NULL, 100000};
    ask_latents("latent_geometry", NULL, &s);
    /* within: (2 + 4) / 2, squares (4 + 16) / 2; between: 10 14 8 12, squares 100 196 64
     * 144, drawn at random; moved: 0.5 each */
    const double between = 3 / *tiny_value(&s, "m"),
                 square = 10 / *tiny_value(&s, "m.squared");
    assert_true(fabs(between - 11) < 0.03);
    assert_true(fabs(square - 126) < 0.7);
    expect(&s, "m.against", 0.5 / between);
    expect(&s, "m.against_squared", 0.25 / square);
    hyp_summary_fini(&s);
    table = "a,b,y\n0,0,0\n2,2,0\n5,5,1\n"; /* between: 5 and 3 */
    ask_latents("latent_geometry", NULL, &s);
    assert_true(fabs(2 / *tiny_value(&s, "m") - 4) < 0.02);
    hyp_summary_fini(&s);
    param[1] = (struct hyp_probe_param){"classes", NULL, 1};
    ask_latents("latent_geometry", NULL, &s); /* one class only: nothing lies between */
    assert_true(isnan(*tiny_value(&s, "m")));
    hyp_summary_fini(&s);
    table = small;
}

static char *read_text(const char *name)
{
    static char text[1 << 16];
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", scratch_dir, name);
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("%s is not there", name);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return text;
}

/* Of one unit all variance lies on the first axis; of every class two samples are shown,
 * twice. */
static void axes_of_one_unit(void **state)
{
    static const double want[2] = {1, 0};
    const char *small = table;
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    no_params();
    table = "a,b,y\n0,0.5,0\n2,2.5,0\n10,9.5,1\n14,13.5,1\n9,9,1\n99,99,2\n";
    param[0] = (struct hyp_probe_param){"samples", NULL, 2};
    param[1] = (struct hyp_probe_param){"classes", NULL, 2};
    ask_latents("pca", "axes", &s);
    expect(&s, "m", 1);
    const double *v = tiny_value(&s, "m.axes");
    assert_true(fabs(v[0] - want[0]) < 1e-12 && fabs(v[1] - want[1]) < 1e-12);
    const char *svg = read_text("axes/plots/m-epoch0000.svg");
    unsigned dots = 0, rings = 0;
    for (const char *p = svg; (p = strstr(p, "<g fill=\"")) != NULL; p++) {
        const char *end = strstr(p, "</g>");
        for (const char *q = p; (q = strstr(q, "<circle")) != NULL && q < end; q++)
            *(strncmp(p + 9, "none", 4) == 0 ? &rings : &dots) += 1;
    }
    assert_int_equal(dots, 4);
    assert_int_equal(rings, 4);
    assert_non_null(strstr(svg, ">class 1<"));
    assert_null(strstr(svg, ">class 2<"));
    assert_non_null(strstr(svg, "100.0 % of the variance"));
    hyp_summary_fini(&s);
    table = small;
}

/* a = 0 1 1 2 and b = 0 0 1 2: means 1 and 3/4, variances 2/3 and 11/12. */
static void frechet_of_values(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    no_params();
    ask("frechet", "of", 0, "against", 1, &s);
    expect(&s, "m", 0.0625 + pow(sqrt(2.0 / 3) - sqrt(11.0 / 12), 2));
    hyp_summary_fini(&s);
    param[0] = (struct hyp_probe_param){"samples", NULL, 2}; /* 0 1 and 0 0 */
    ask("frechet", "of.0", 0, "against", 1, &s);
    expect(&s, "m", 0.25 + 0.5);
    hyp_summary_fini(&s);
}

/* ---- repetitions ---- */

static void repetitions_are_a_curve(void **state)
{
    static double at[3] = {0, 0.5, 2};
    static struct hyp_probe_value of[3][2];
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    no_params();
    look_at_table();
    for (uint32_t i = 0; i < 3; i++) { /* shares of 3/4, 1/2 and 1 */
        of[i][0] = (struct hyp_probe_value){"of", TINY_ERROR, i, 0};
        of[i][1] = (struct hyp_probe_value){"labels", TINY_ERROR, 2, 0};
        tiny_probe[i] = (struct hyp_probe){.name = "m.k",
                                           .base = "m",
                                           .over = "share",
                                           .at = at,
                                           .run = i,
                                           .runs = 3,
                                           .metric = "confusion",
                                           .kind = HYP_PROBE_METRIC,
                                           .value = of[i],
                                           .nvalue = 2};
    }
    tiny.nprobe = 3;
    assert_int_equal(tiny_train("curve", 0, -1, false, &s), HYP_OK);
    const double *v = tiny_value(&s, "m"), *counts = tiny_value(&s, "m.counts");
    assert_true(v && counts);
    assert_true(v[0] == 0.75 && v[1] == 0.5 && v[2] == 1);
    expect(&s, "m.area", 0.5 * 0.625 + 1.5 * 0.75);
    assert_true(counts[9 + 3 * 1 + 0] == 1); /* of the second: a 1 was taken for 0 */
    const char *csv = read_text("curve/metrics.csv");
    assert_non_null(strstr(csv, "0,0,m[2],1\n"));
    assert_non_null(strstr(csv, "0,0,m.area,1.4375\n"));
    assert_null(strstr(csv, "m.k"));
    const char *svg = read_text("curve/plots/m.svg");
    assert_non_null(strstr(svg, ">share<"));
    hyp_summary_fini(&s);
}

static void other_metrics_are_refused(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    tiny_probe[0].kind = HYP_PROBE_METRIC;
    tiny_probe[0].metric = "parzen";
    assert_int_equal(tiny_train(NULL, 0, -1, false, &s), HYP_EUNSUPPORTED);
    hyp_summary_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accuracy_is_a_share),
        cmocka_unit_test(confusion_counts_label_by_class),
        cmocka_unit_test(histograms_are_smoothed_and_clipped),
        cmocka_unit_test(patterns_are_compared_with_controls),
        cmocka_unit_test(patterns_of_large_numbers),
        cmocka_unit_test(geometry_of_known_distances),
        cmocka_unit_test(axes_of_one_unit),
        cmocka_unit_test(frechet_of_values),
        cmocka_unit_test(repetitions_are_a_curve),
        cmocka_unit_test(other_metrics_are_refused),
    };
    return cmocka_run_group_tests_name("metric", tests, tiny_setup, scratch_teardown);
}
