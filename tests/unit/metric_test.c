/* Every metric that learns nothing, against cases worked out by hand. */
#include <math.h>
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

/* The probe `m`, over the table in file order, with its two arguments. */
static void ask(const char *metric, const char *first, uint32_t a, const char *second,
                uint32_t b, struct hyp_summary *s)
{
    scratch_put_text("metric.csv", table);
    tiny_source[0].file = "metric.csv";
    struct hyp_phase *ph = &tiny.phase[TINY_ERROR];
    for (uint32_t i = 0; i < 3; i++)
        column[i].buffer = ph->input[i].buffer;
    ph->output = column;
    ph->noutput = 3;
    value[0] = (struct hyp_probe_value){first, TINY_ERROR, a, 0};
    value[1] = (struct hyp_probe_value){second, TINY_ERROR, b, 0};
    tiny_probe[0] = (struct hyp_probe){.name = "m",
                                       .metric = metric,
                                       .kind = HYP_PROBE_METRIC,
                                       .value = value,
                                       .nvalue = 2,
                                       .param = param,
                                       .nparam = 4};
    tiny.nprobe = 1;
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

static void other_metrics_are_refused(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    tiny_probe[0].kind = HYP_PROBE_METRIC;
    tiny_probe[0].metric = "frechet";
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
        cmocka_unit_test(other_metrics_are_refused),
    };
    return cmocka_run_group_tests_name("metric", tests, tiny_setup, scratch_teardown);
}
