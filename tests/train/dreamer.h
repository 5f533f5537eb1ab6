/*
 * The shipped PAD model (graphs/papers/dreaming/pad.yaml), narrow, in the double
 * interpreter, phase by phase: twelve images of tests/reference/pad in file order, four a
 * cycle.  What fails, fails the test.
 */
#ifndef HYP_TESTS_TRAIN_DREAMER_H
#define HYP_TESTS_TRAIN_DREAMER_H

#include "compiler/driver/compile.h"
#include "runtime/data.h"
#include "runtime/exec.h"

enum { BATCH = 4, LATENTS = 6, EPOCH = 3 /* cycles */ };

struct arena;
struct dreamer {
    struct arena *a;
    struct compiled *c;
    struct hyp_plan *p;
    struct exec *x;
    struct pool *pool;
    struct data_src *src;
};

/* With a condition of the model or NULL, and overrides up to NULL, or NULL. */
struct dreamer wake_up(const char *condition, const char *const *set);
/* Another model, without data. */
struct dreamer wake_up_as(const char *path);
void sleep_well(struct dreamer *d);
const char *in_source(struct arena *a, const char *file);

/* ---- what it is made of; names are checkpoint names ---- */

const struct hyp_tensor *tensor(const struct dreamer *d, const char *name);
uint64_t count(const struct hyp_tensor *t);
double *values(const struct dreamer *d, const char *name);
double *counter(const struct dreamer *d, const char *weight); /* its updates */
double *setting(const struct dreamer *d, const char *name);
/* optimizer/PATH/which */
const char *moment_of(const struct dreamer *d, const char *weight, const char *which);
bool is_weight_of(const struct hyp_tensor *t, const char *prefix);

/* ---- before and after; memory lies in the arena ---- */

struct memory { /* all that a phase may change */
    uint8_t *state;
    double *counter;
    uint64_t *draw;
};
struct memory remember(const struct dreamer *d);
void go_back(const struct dreamer *d, const struct memory *m);
const double *then(const struct dreamer *d, const struct memory *m, const char *name);
bool unchanged(const struct dreamer *d, const struct memory *m, const char *name);
/* Weights below a prefix, their moments and counters. */
bool all_unchanged(const struct dreamer *d, const struct memory *m, const char *prefix);
/* What Adam was given since `m`, in its one step: (m - m_before / 2) / (1 / 2). */
double *gradient(const struct dreamer *d, const struct memory *m,
                 const struct hyp_tensor *t);

/* ---- time ---- */

void at_cycle(struct dreamer *d, unsigned epoch, unsigned cycle);
double run(struct dreamer *d, const char *phase); /* its loss; 0: it has none */

#endif
