/*
 * Shipped models as tests run them: compiled, given made-up data (a function of place and
 * cycle), trained for some cycles on some threads.  What comes out is every tensor, counter
 * and loss, to be compared bit by bit.
 */
#ifndef HYP_TESTS_TRAIN_MODEL_RUN_H
#define HYP_TESTS_TRAIN_MODEL_RUN_H

#include "compiler/driver/compile.h"

enum { MODEL_SETS = 10 };
struct model_case {
    const char *path; /* relative to the source folder, or absolute */
    const char *condition, *backend;
    const char *set[MODEL_SETS]; /* overrides, up to the first NULL */
    int64_t batch;               /* the plan's; 0: as the model says */
    bool fuse_off, remat_off;
    double scarcity; /* pass_options */
};
/* The shipped models, those of images narrowed; ends with path NULL. */
extern const struct model_case shipped_models[];

/* cmocka group functions: a cache of compiled kernels for the program, as most of its
 * models are compiled again and again.  Without them there is none. */
int model_cache_setup(void **state);
int model_cache_teardown(void **state);

/* Compiles, or fails the test with the diagnostics. */
struct compiled *model_compile(const struct model_case *m);

/* Every number of a run as text: "cycle1/compare.loss.D 3f80..." a line, and one line of a
 * tensor's hash.  In `a`. */
char *model_train(struct arena *a, struct compiled *c, unsigned threads, int64_t batch,
                  unsigned cycles);

/* Fails the test with the first line that differs. */
void same_run(const char *what, const char *x, const char *y);

#endif
