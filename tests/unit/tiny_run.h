/* Running the tiny plan in the scratch folder, and comparing what runs left there. */
#ifndef HYP_TESTS_UNIT_TINY_RUN_H
#define HYP_TESTS_UNIT_TINY_RUN_H

#include <stddef.h>

#include "runtime/train.h"
#include "tests/unit/tiny_plan.h"

extern char tiny_messages[8192]; /* of the last run, a line each */
extern struct hyp_error tiny_error;
extern const char *tiny_init_file; /* --init, in the scratch folder */
extern double tiny_save_seconds;
extern bool tiny_signals;
extern uint64_t tiny_seed;

int tiny_setup(void **state); /* scratch folder and table */

/* out: a name in the scratch folder, or NULL; epochs, cycles: -1 for the schedule's. */
enum hyp_status tiny_train(const char *out, int64_t epochs, int64_t cycles, bool resume,
                           struct hyp_summary *s);
enum hyp_status tiny_eval(const char *out, const char *const *probe, unsigned n,
                          struct hyp_summary *s);
enum hyp_status tiny_dream(const char *out, uint64_t seed, uint32_t n, const char *file);

double *tiny_value(const struct hyp_summary *s, const char *name); /* NULL: not known */
void tiny_read_tensor(const char *run, const char *name, void *out, size_t nbytes);
void tiny_assert_same_tensor(const char *run_a, const char *run_b, const char *name);
/* Checkpoint and metrics, byte for byte. */
void tiny_assert_same_run(const char *a, const char *b);

#endif
