/*
 * What a compilation decided, in the model's names and lines: `hypno explain MODEL [NODE]`.
 *
 * Text for people, of at most 100 columns, or one JSON document (explain.def has its keys).
 * All times are the cost model's, of the target's t_ref threads at the largest batch.
 */
#ifndef HYP_COMPILER_DRIVER_EXPLAIN_H
#define HYP_COMPILER_DRIVER_EXPLAIN_H

#include <stdio.h>

#include "compiler/driver/compile.h"

struct explain_options {
    const char *path; /* the model's file: its lines are printed without it */
    const char
        *phase; /* only this one; NULL: the scheduled phases, or with `all` every one */
    bool all;   /* every kernel and every refusal in place of the largest */
    bool colour;
};

/* The whole model. */
void explain_model(const struct compiled *c, const struct explain_options *o, FILE *out);
/*
 * One name: a node ("wake.h1"), a network or a part of it ("E", "E.h2"), a weight, a phase.
 * false: nothing is called so, and nothing was printed; *near: what may have been meant, or
 * NULL.
 */
bool explain_name(const struct compiled *c, const struct explain_options *o,
                  const char *name, FILE *out, const char **near);
void explain_json(const struct compiled *c, const struct explain_options *o, FILE *out);

/* docs/explain.md: reasons, kinds and keys, from their tables. */
void explain_manual(FILE *out);

#endif
