/*
 * Runs that are stopped: signals, kill -9, disks that fail, memory that is out, values that
 * are not finite.  What was saved stays whole, and going on equals never having stopped.
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#define LEAKS_BEGIN() __lsan_disable()
#define LEAKS_END()   __lsan_enable()
#else
#define LEAKS_BEGIN() (void)0
#define LEAKS_END()   (void)0
#endif

#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/file.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/scratch.h"
#include "tests/unit/tiny_run.h"

static void train_whole(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    assert_int_equal(tiny_train("whole", -1, -1, false, &s), HYP_OK);
    hyp_summary_fini(&s);
}

/* One epoch, for the tests that try every operation. */
static void train_short(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    tiny_setting[2] = 1;
    assert_int_equal(tiny_train("short", -1, -1, false, &s), HYP_OK);
    hyp_summary_fini(&s);
}

static void go_on_as(const char *name, const char *as)
{
    struct hyp_summary s = {0};
    tiny_reset();
    tiny_setting[2] = strcmp(as, "short") == 0 ? 1 : 4;
    tiny_save_seconds = 0;
    tiny_signals = false;
    const enum hyp_status st = tiny_train(name, -1, -1, true, &s);
    if (st != HYP_OK)
        fail_msg("%s: %s", name, tiny_error.text);
    hyp_summary_fini(&s);
    tiny_assert_same_run(as, name);
}

static void go_on(const char *name)
{
    go_on_as(name, "whole");
}

static void an_interrupt_finishes_the_cycle(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    tiny_log.interrupt = 7;
    tiny_signals = true;
    assert_int_equal(tiny_train("interrupted", -1, -1, false, &s), HYP_ESTOPPED);
    assert_int_equal(s.signal, SIGINT);
    assert_int_equal(s.cycles, 7);
    assert_non_null(strstr(tiny_messages, "--resume"));
    hyp_summary_fini(&s);
    go_on("interrupted");
}

static void interrupt_probe(const char *name, int64_t at, int64_t cycles, const char *text)
{
    struct hyp_summary s = {0};
    tiny_log.interrupt_error = at;
    tiny_signals = true;
    assert_int_equal(tiny_train(name, -1, -1, false, &s), HYP_ESTOPPED);
    assert_int_equal(s.signal, SIGINT);
    assert_int_equal(s.cycles, cycles);
    assert_int_equal(tiny_log.errors, at);
    if (!strstr(tiny_messages, text))
        fail_msg("not %s: %s", text, tiny_messages);
    hyp_summary_fini(&s);
}

/* The probe gives up at once; the run goes on from what was saved, so that the probe runs
 * again: before the first cycle, after the first epoch, after the second, and at the end.
 */
static void an_interrupt_ends_a_probe(void **state)
{
    static const struct {
        int64_t at, cycles;
        const char *text;
    } rows[] = {{3, 0, "from cycle 0 go on"},
                {8, 5, "from cycle 0 go on"},
                {13, 10, "from cycle 5 go on"},
                {34, 20, "from cycle 20 go on"}};
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[32];
        tiny_reset();
        snprintf(name, sizeof name, "in-probe-%u", i);
        interrupt_probe(name, rows[i].at, rows[i].cycles, rows[i].text);
        go_on(name);
    }
}

static void long_epochs(void)
{
    tiny_reset();
    tiny_stage[0].epochs_slot = -1; /* one epoch of 300 cycles */
    tiny_stage[0].cycles_slot = TINY_S_CYCLES;
    tiny_setting[3] = 300;
}

/* Nothing was saved yet, but the copy that is kept for faults is from cycle 256. */
static void an_interrupted_probe_costs_few_cycles(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    long_epochs();
    assert_int_equal(tiny_train("long", -1, -1, false, &s), HYP_OK);
    assert_int_equal(s.cycles, 300);
    hyp_summary_fini(&s);
    long_epochs();
    interrupt_probe("long-in-probe", 8, 300, "from cycle 256 go on");
    long_epochs();
    tiny_signals = false;
    assert_int_equal(tiny_train("long-in-probe", -1, -1, true, &s), HYP_OK);
    assert_int_equal(tiny_log.cycles, 44);
    hyp_summary_fini(&s);
    tiny_assert_same_run("long", "long-in-probe");
}

/* The child saves after every cycle and dies within one; or before anything is saved. */
static void killed_runs_go_on(void **state)
{
    (void)state;
    for (int64_t k = 1; k <= 20; k++) {
        char name[32];
        snprintf(name, sizeof name, "killed%d", (int)k);
        fflush(NULL);
        const pid_t child = fork();
        if (child == 0) {
            alarm(60);
            execl("/proc/self/exe", "run_fault_test", "child", scratch_path(name),
                  name + strlen("killed"), (char *)NULL);
            _exit(9);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        go_on(name);
    }
}

/* In a process of its own (a pool's threads do not survive a fork). */
static int child_main(const char *path, const char *run)
{
    struct hyp_summary s = {0};
    const char *slash = strrchr(path, '/');
    snprintf(scratch_dir, sizeof scratch_dir, "%.*s", (int)(slash - path), path);
    tiny_reset();
    tiny_log.kill = strtol(run, NULL, 10);
    tiny_save_seconds = tiny_log.kill % 2 ? 1e-9 : 1000;
    tiny_train(slash + 1, -1, -1, false, &s);
    return 0;
}

static void failing_disks_lose_nothing(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct hyp_summary s = {0};
        char name[32];
        snprintf(name, sizeof name, "disk%d", (int)n);
        tiny_reset();
        tiny_setting[2] = 1;
        hyp_io_fail_at(n);
        const enum hyp_status st = tiny_train(name, -1, -1, false, &s);
        hyp_io_fail_at(0);
        hyp_summary_fini(&s);
        if (st == HYP_OK)
            break;
        if (st != HYP_EIO)
            fail_msg("operation %d: %d %s", (int)n, st, tiny_error.text);
        assert_true(tiny_error.text[0] != '\0');
        go_on_as(name, "short");
        assert_true(n < 2000);
    }
}

static void resuming_on_a_failing_disk_loses_nothing(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    tiny_reset();
    assert_int_equal(tiny_train("halves", -1, 11, false, &s), HYP_OK);
    hyp_summary_fini(&s);
    for (uint64_t n = 1; n < 60; n += 3) {
        tiny_reset();
        hyp_io_fail_at(n);
        const enum hyp_status st = tiny_train("halves", -1, -1, true, &s);
        hyp_io_fail_at(0);
        hyp_summary_fini(&s);
        assert_true(st == HYP_OK || st == HYP_EIO);
    }
    go_on("halves");
}

/* Out of memory inside an arena ends a process; a run's own is an error of the call. */
static jmp_buf out_of_arena;
static void on_oom(void)
{
    longjmp(out_of_arena, 1);
}

static void failing_memory_is_an_error(void **state)
{
    static uint64_t n;
    static struct hyp_summary s;
    (void)state;
    arena_on_oom(on_oom);
    LEAKS_BEGIN(); /* of the calls that on_oom() leaves; a process would end there */
    for (n = 1; n < 5000; n++) {
        char name[32];
        snprintf(name, sizeof name, "memory%d", (int)(n % 50));
        tiny_reset();
        tiny_setting[2] = 1;
        if (setjmp(out_of_arena) != 0) {
            hyp_alloc_fail_at(0);
            continue; /* the command says so and ends; its memory is the system's again */
        }
        hyp_alloc_fail_at(n);
        const enum hyp_status st = tiny_train(name, 1, -1, false, &s);
        hyp_alloc_fail_at(0);
        hyp_summary_fini(&s);
        if (st == HYP_OK)
            break;
        if (st != HYP_ENOMEM)
            fail_msg("allocation %d: %d %s", (int)n, st, tiny_error.text);
    }
    LEAKS_END();
    arena_on_oom(NULL);
    assert_true(n > 50 && n < 5000);
    go_on_as("memory0", "short");
}

static void a_folder_that_cannot_be_made(void **state)
{
    struct hyp_summary s = {0};
    (void)state;
    scratch_put_text("file", "in the way");
    tiny_reset();
    assert_int_equal(tiny_train("file/run", -1, -1, false, &s), HYP_EIO);
    assert_int_equal(tiny_log.cycles, 0);
    hyp_summary_fini(&s);
}

static void not_finite_stops_before_the_next_cycle(void **state)
{
    struct hyp_summary s = {0};
    float w[2], seen;
    (void)state;
    tiny_reset();
    tiny_log.poison = 2 * TINY_SAMPLES + 10; /* cycle 12, in the third epoch */
    assert_int_equal(tiny_train("poisoned", -1, -1, false, &s), HYP_ENONFINITE);
    assert_int_equal(s.cycles, 12);
    assert_non_null(strstr(tiny_error.text, "`w`"));
    assert_non_null(strstr(tiny_error.text, "tiny.yaml:3"));
    assert_string_equal(s.fault, "update of `learn.w` (tiny.yaml:7), phase learn");
    hyp_summary_fini(&s);
    tiny_read_tensor("poisoned", "seen", &seen, sizeof seen);
    assert_true(seen == 2 * TINY_SAMPLES); /* the checkpoint of epoch 2 */
    tiny_read_tensor("poisoned", "w", w, sizeof w);
    assert_true(isfinite(w[0]));
    tiny_read_tensor("poisoned/fault", "seen", &seen, sizeof seen);
    assert_true(seen <= tiny_log.poison - 5);
    assert_true(file_exists(scratch_path("poisoned/fault/report.json")));
    tiny_reset(); /* the replay fails at the same cycle */
    tiny_log.poison = 2 * TINY_SAMPLES + 10;
    assert_int_equal(tiny_train("poisoned/fault", -1, -1, true, &s), HYP_ENONFINITE);
    assert_int_equal(s.cycles, 12);
    hyp_summary_fini(&s);
    go_on("poisoned");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(train_whole),
        cmocka_unit_test(train_short),
        cmocka_unit_test(an_interrupt_finishes_the_cycle),
        cmocka_unit_test(an_interrupt_ends_a_probe),
        cmocka_unit_test(an_interrupted_probe_costs_few_cycles),
        cmocka_unit_test(killed_runs_go_on),
        cmocka_unit_test(failing_disks_lose_nothing),
        cmocka_unit_test(resuming_on_a_failing_disk_loses_nothing),
        cmocka_unit_test(failing_memory_is_an_error),
        cmocka_unit_test(a_folder_that_cannot_be_made),
        cmocka_unit_test(not_finite_stops_before_the_next_cycle),
    };
    if (argc == 4 && strcmp(argv[1], "child") == 0)
        return child_main(argv[2], argv[3]);
    return cmocka_run_group_tests_name("run_fault", tests, tiny_setup, scratch_teardown);
}
