/*
 * The library's cases (tests/reference/ops and images): the stored files of one folder, and
 * the model with a probe for every value that is to be compared.
 */
#ifndef HYP_TESTS_TRAIN_LIBRARY_CASE_H
#define HYP_TESTS_TRAIN_LIBRARY_CASE_H

#include "runtime/safetensors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

enum { LIBRARY_BATCH = 8 };

struct library_case {
    struct arena *a;
    const char *folder;
    struct safetensors init, expect; /* weights and states by path; values by name */
};

/* Whatever goes wrong fails the test. */
void library_open(struct library_case *f, struct arena *a, const char *folder);
const char *library_path(const struct library_case *f, const char *file);
/* A file's bytes, with a 0 behind them. */
char *library_read(const struct library_case *f, const char *path, size_t *n);
/* The reference's model with the probe `pK` for value K of `expect`, but for those that are
 * no values of nodes; in a file for the caller to remove. */
const char *library_model(const struct library_case *f);
/* "after.PATH": a weight or state at the end of the cycle. */
bool library_is_after(const char *name);
/* Element i of a tensor of either float type. */
double library_number(const struct safetensor *t, int64_t i);
int64_t library_size(const struct safetensor *t);
/* Norm of the difference over that of what is wanted; its own where that is 0. */
double library_error(const struct safetensor *want, const double *got, int64_t n);

#endif
