/* Runs of a plan filled in by hand: schedule, metrics, checkpoints, resuming, looking. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/train.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/scratch.h"
#include "tests/unit/tiny_run.h"

/* ---- the schedule ---- */

static void every_sample_is_seen_once_an_epoch(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    assert_int_equal(tiny_train(NULL, -1, -1, false, &s), HYP_OK);
    assert_int_equal(s.cycles, 20); /* 4 epochs of ceil(23 / 5) */
    assert_int_equal(s.epochs, 4);
    assert_int_equal(tiny_log.samples, 4 * TINY_SAMPLES);
    for (int i = 0; i < 20; i++)
        assert_int_equal(tiny_log.batch[i], i % 5 == 4 ? 3 : 5);
    assert_true(tiny_log.first[0] != tiny_log.first[5] ||
                tiny_log.first[1] != tiny_log.first[6]);
    hyp_summary_fini(&s);
}

static void the_short_batch_may_be_dropped(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    tiny_source[0].drop_last = true;
    assert_int_equal(tiny_train(NULL, -1, -1, false, &s), HYP_OK);
    assert_int_equal(s.cycles, 16);
    for (int i = 0; i < 16; i++)
        assert_int_equal(tiny_log.batch[i], 5);
    hyp_summary_fini(&s);
}

static void cycles_alone_are_one_epoch(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    tiny_stage[0].epochs_slot = -1;
    tiny_stage[0].cycles_slot = TINY_S_CYCLES;
    assert_int_equal(tiny_train(NULL, -1, -1, false, &s), HYP_OK);
    assert_int_equal(s.cycles, 7);
    assert_int_equal(s.epochs, 1);
    assert_int_equal(tiny_log.batch[4], 3); /* the pass ends, the next begins */
    assert_int_equal(tiny_log.batch[5], 5);
    hyp_summary_fini(&s);
}

static void stages_follow_one_another(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    tiny.nstage = 2;
    tiny_stage[1].epochs_slot = -1;
    tiny_stage[1].cycles_slot = TINY_S_CYCLES;
    assert_int_equal(tiny_train(NULL, -1, -1, false, &s), HYP_OK);
    assert_int_equal(s.cycles, 27);
    assert_int_equal(s.epochs, 5);
    hyp_summary_fini(&s);
}

static void repetitions_take_new_samples(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    tiny_entry[0].times_slot = TINY_S_THREE;
    assert_int_equal(tiny_train(NULL, 1, -1, false, &s), HYP_OK);
    assert_int_equal(s.cycles, 2); /* 5 5 5, 5 3 and 5 of the next pass */
    assert_int_equal(tiny_log.cycles, 6);
    assert_int_equal(tiny_log.batch[4], 3);
    assert_int_equal(tiny_log.batch[5], 5);
    hyp_summary_fini(&s);
}

static void entries_have_conditions_and_lists(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    tiny_entry[0].when_slot = TINY_S_ODD; /* only where step is odd */
    assert_int_equal(tiny_train(NULL, -1, 6, false, &s), HYP_OK);
    assert_int_equal(tiny_log.cycles, 3);
    hyp_summary_fini(&s);
    tiny_reset();
    tiny_entry[0].repeat = true;
    tiny_entry[0].times_slot = TINY_S_THREE;
    tiny_entry[0].entry = tiny_inner;
    tiny_entry[0].nentry = 1;
    assert_int_equal(tiny_train(NULL, -1, 2, false, &s), HYP_OK);
    assert_int_equal(tiny_log.cycles, 6);
    hyp_summary_fini(&s);
}

static void the_command_says_how_long(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    assert_int_equal(tiny_train(NULL, -1, 3, false, &s), HYP_OK);
    assert_int_equal(s.cycles, 3);
    assert_int_equal(s.epochs, 0);
    assert_null(tiny_value(&s, "error")); /* an epoch has not ended */
    assert_non_null(tiny_value(&s, "learn.loss"));
    assert_non_null(tiny_value(&s, "last"));
    hyp_summary_fini(&s);
    tiny_reset();
    assert_int_equal(tiny_train(NULL, 6, -1, false, &s),
                     HYP_OK); /* longer than the schedule */
    assert_int_equal(s.epochs, 6);
    hyp_summary_fini(&s);
}

static void no_epochs_evaluate_all_probes(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    assert_int_equal(tiny_train(NULL, 0, -1, false, &s), HYP_OK);
    assert_int_equal(s.cycles, 0);
    assert_int_equal(tiny_log.cycles, 1); /* for the probe of a cycle: on a copy */
    assert_non_null(tiny_value(&s, "mean"));
    assert_non_null(tiny_value(&s, "error"));
    assert_non_null(tiny_value(&s, "list"));
    assert_null(tiny_value(&s, "learn.loss"));
    hyp_summary_fini(&s);
}

static void a_cycle_allocates_nothing(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    tiny.nprobe = 0;
    tiny_setting[2] = 3;
    assert_int_equal(tiny_train("quiet", -1, -1, false, &s), HYP_OK);
    for (int i = 1; i < 15; i++)
        if (i % 5 != 0) /* between epochs files are written */
            assert_int_equal(tiny_log.allocations[i], tiny_log.allocations[i - 1]);
    hyp_summary_fini(&s);
}

static void probes_do_not_change_a_run(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    assert_int_equal(tiny_train("watched", -1, -1, false, &s), HYP_OK);
    hyp_summary_fini(&s);
    tiny_reset();
    tiny.nprobe = 0;
    tiny.ncounter = 2;
    assert_int_equal(tiny_train("unwatched", -1, -1, false, &s), HYP_OK);
    hyp_summary_fini(&s);
    tiny_assert_same_tensor("watched", "unwatched", "w");
    tiny_assert_same_tensor("watched", "unwatched", "optimizer/w/m");
}

static void the_value_is_the_mean_by_samples(void **state)
{
    struct hyp_summary s = {0};
    double sum = 0;
    float w[2];
    (void)state;
    tiny_reset();
    assert_int_equal(tiny_train("mean", -1, -1, false, &s), HYP_OK);
    tiny_read_tensor("mean", "w", w, sizeof w);
    for (int i = 0; i < TINY_SAMPLES; i++) {
        const double a = 0.1 * i - 1, b = 0.5 - 0.03 * i * (i % 3);
        const double r = (double)w[0] * a + (double)w[1] * b - (2 * a - b);
        sum += r * r;
    }
    assert_true(fabs(*tiny_value(&s, "error") - sum / TINY_SAMPLES) < 1e-6);
    assert_true(*tiny_value(&s, "learn.loss") < 0.1);
    hyp_summary_fini(&s);
}

/* ---- files ---- */

static void metrics_hold_what_was_due(void **state)
{
    struct hyp_summary s = {0};
    uint8_t *text;
    size_t n;
    (void)state;
    tiny_reset();
    assert_int_equal(tiny_train("files", -1, -1, false, &s), HYP_OK);
    hyp_summary_fini(&s);
    assert_int_equal(file_read(scratch_path("files/metrics.csv"), 1 << 20, &text, &n, NULL),
                     0);
    const char *csv = (const char *)text;
    assert_int_equal(strncmp(csv, "cycle,epoch,name,value\n", 23), 0);
    assert_non_null(strstr(csv, "\n5,0,learn.loss,"));
    assert_non_null(strstr(csv, "\n3,0,mean,"));
    assert_non_null(strstr(csv, "\n18,3,mean,"));
    assert_null(strstr(csv, "\n4,0,mean,"));
    assert_non_null(strstr(csv, "\n5,1,error,"));
    assert_non_null(strstr(csv, "\n0,0,list,"));
    assert_non_null(strstr(csv, "\n10,2,list,"));
    assert_null(strstr(csv, "\n5,1,list,"));
    assert_non_null(strstr(csv, "\n20,4,last,"));
    hyp_free(text);
    static const char *const name[] = {"images/dreams-epoch0001.png",
                                       "images/dreams-epoch0004.png",
                                       "plots/losses.svg",
                                       "plots/error.svg",
                                       "metrics.jsonl",
                                       "model.yaml",
                                       "run.json",
                                       "checkpoint.safetensors"};
    for (unsigned i = 0; i < sizeof name / sizeof *name; i++) {
        char path[64];
        snprintf(path, sizeof path, "files/%s", name[i]);
        assert_true(file_exists(scratch_path(path)));
    }
}

static void the_summary_is_one_object(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    assert_int_equal(tiny_train(NULL, -1, 2, false, &s), HYP_OK);
    *tiny_value(&s, "learn.loss") = NAN;
    char *text = hyp_summary_json(&s);
    assert_non_null(text);
    static const char *const key[] = {
        "\"cycles\":2",         "\"seconds_per_cycle\":", "\"first_cycle_seconds\":",
        "\"compile_seconds\":", "\"kernels\":5",          "\"arena_bytes\":128",
        "\"peak_rss_bytes\":",  "\"values\":{",           "\"learn.loss\":null"};
    for (unsigned i = 0; i < sizeof key / sizeof *key; i++)
        assert_non_null(strstr(text, key[i]));
    assert_null(strstr(text, "\"error\""));
    hyp_free(text);
    hyp_summary_fini(&s);
}

/* ---- going on ---- */

static void a_resumed_run_is_the_same(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    assert_int_equal(tiny_train("whole", -1, -1, false, &s), HYP_OK);
    hyp_summary_fini(&s);
    for (int64_t cut = 0; cut < 20; cut++) {
        char name[32];
        snprintf(name, sizeof name, "cut%d", (int)cut);
        tiny_reset();
        assert_int_equal(tiny_train(name, -1, cut, false, &s), HYP_OK);
        hyp_summary_fini(&s);
        assert_int_equal(tiny_train(name, -1, -1, true, &s), HYP_OK);
        assert_int_equal(s.cycles, 20);
        hyp_summary_fini(&s);
        tiny_assert_same_run("whole", name);
    }
}

static void resuming_without_a_checkpoint_starts_anew(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    assert_int_equal(tiny_train("nothing", -1, -1, true, &s), HYP_OK);
    hyp_summary_fini(&s);
    tiny_assert_same_run("whole", "nothing");
}

static void another_model_is_refused_whole(void **state)
{
    struct hyp_summary s = {0};
    struct hyp_tensor other[3];
    (void)state;
    tiny_reset();
    memcpy(other, tiny.tensor, sizeof other);
    other[0].name = "v";
    other[2].dim[0].c = 2;
    other[2].bytes = 8;
    tiny.tensor = other;
    assert_int_equal(tiny_train("whole", -1, -1, true, &s), HYP_EMISMATCH);
    assert_non_null(strstr(tiny_messages, "`v` is not in the file"));
    assert_non_null(strstr(tiny_messages, "`w` is not in the model"));
    assert_non_null(
        strstr(tiny_messages, "`seen` is F32[1] in the file and F32[2] in the model"));
    hyp_summary_fini(&s);
}

static void weights_can_be_taken_from_a_file(void **state)
{
    struct hyp_summary s = {0};
    struct hyp_tensor other[3];
    float w[2], v[2];
    (void)state;
    tiny_reset();
    tiny_init_file = "whole/checkpoint.safetensors";
    assert_int_equal(tiny_train("init", 0, -1, false, &s), HYP_OK);
    hyp_summary_fini(&s);
    tiny_read_tensor("whole", "w", w, sizeof w);
    tiny_read_tensor("init", "w", v, sizeof v);
    assert_memory_equal(w, v, sizeof w);
    memcpy(other, tiny.tensor, sizeof other);
    other[0].name = "elsewhere";
    tiny.tensor = other;
    assert_int_equal(tiny_train("init2", 0, -1, false, &s), HYP_OK);
    assert_non_null(strstr(tiny_messages, "`elsewhere` is not in the file"));
    tiny_init_file = NULL;
    hyp_summary_fini(&s);
}

/* ---- looking ---- */

static void eval_repeats_the_last_values(void **state)
{
    struct hyp_summary s = {0}, e = {0};
    static const char *const only[] = {"error"};
    (void)state;
    tiny_reset();
    assert_int_equal(tiny_train("look", -1, -1, false, &s), HYP_OK);
    assert_int_equal(tiny_eval("look", NULL, 0, &e), HYP_OK);
    assert_true(*tiny_value(&e, "error") == *tiny_value(&s, "error"));
    assert_non_null(tiny_value(&e, "last"));
    hyp_summary_fini(&e);
    assert_int_equal(tiny_eval("look", only, 1, &e), HYP_OK);
    assert_null(tiny_value(&e, "last"));
    hyp_summary_fini(&e);
    static const char *const wrong[] = {"eror"};
    assert_int_equal(tiny_eval("look", wrong, 1, &e), HYP_EARG);
    hyp_summary_fini(&s);
    hyp_summary_fini(&e);
}

static void dreams_are_drawn_and_counted(void **state)
{
    uint8_t *a, *b;
    size_t na, nb;
    (void)state;
    tiny_reset();
    assert_int_equal(tiny_dream("look", 1, 20, "one.npy"), HYP_OK);
    assert_int_equal(tiny_dream("look", 2, 20, "two.npy"), HYP_OK);
    assert_int_equal(tiny_dream("look", 1, 9, "sheet.png"), HYP_OK);
    assert_int_equal(file_read(scratch_path("one.npy"), 1 << 20, &a, &na, NULL), 0);
    assert_int_equal(file_read(scratch_path("two.npy"), 1 << 20, &b, &nb, NULL), 0);
    assert_int_equal(na, nb);
    assert_int_equal(na % 64, 20 * 4 * 4 % 64);
    assert_memory_not_equal(a, b, na); /* another seed */
    const float *v = (const float *)(const void *)(a + na - 20 * 16);
    assert_true(v[0] != v[8 * 4]); /* the second batch draws anew */
    hyp_free(a);
    hyp_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_is_seen_once_an_epoch),
        cmocka_unit_test(the_short_batch_may_be_dropped),
        cmocka_unit_test(cycles_alone_are_one_epoch),
        cmocka_unit_test(stages_follow_one_another),
        cmocka_unit_test(repetitions_take_new_samples),
        cmocka_unit_test(entries_have_conditions_and_lists),
        cmocka_unit_test(the_command_says_how_long),
        cmocka_unit_test(no_epochs_evaluate_all_probes),
        cmocka_unit_test(a_cycle_allocates_nothing),
        cmocka_unit_test(probes_do_not_change_a_run),
        cmocka_unit_test(the_value_is_the_mean_by_samples),
        cmocka_unit_test(metrics_hold_what_was_due),
        cmocka_unit_test(the_summary_is_one_object),
        cmocka_unit_test(a_resumed_run_is_the_same),
        cmocka_unit_test(resuming_without_a_checkpoint_starts_anew),
        cmocka_unit_test(another_model_is_refused_whole),
        cmocka_unit_test(weights_can_be_taken_from_a_file),
        cmocka_unit_test(eval_repeats_the_last_values),
        cmocka_unit_test(dreams_are_drawn_and_counted),
    };
    return cmocka_run_group_tests_name("run", tests, tiny_setup, scratch_teardown);
}
