/* Key lists taken apart, and one document laid over another. */
#ifndef HYP_COMPILER_FRONT_MERGE_H
#define HYP_COMPILER_FRONT_MERGE_H

#include "compiler/front/schema.h"

struct model;

/*
 * A checked file with its key lists taken apart: an entry for each name; in bodies, nodes
 * and `next` only where the value is a written-out tuple.  Twice the same name: E0206.
 */
struct doc *merge_normal(struct arena *a, struct diag_sink *ds, struct doc *file);

/*
 * `over` laid over `base`, both normal.  Neither is changed; parts are shared.  `original`
 * in an override is replaced by what stood there.  `none` stays, until merge_drop_none.
 */
struct doc *merge_over(struct model *m, const struct doc *base, const struct doc *over);

/* The same of the values of one key. */
struct doc *merge_value(struct model *m, const struct schema_key *row, struct doc *base,
                        struct doc *over);

/* Entries of data, layers, discriminators, probes, experiments take from `all` what they
 * lack. */
struct doc *merge_all(struct arena *a, const struct doc *file);
/* Entries that are `none` go, except where that is a value (`learn: none`). */
struct doc *merge_drop_none(struct arena *a, struct diag_sink *ds, struct doc *file);
/* E0608: what is still called `original` in this merged file has nothing to stand for. */
void merge_refuse_original(struct model *m, struct doc *file);

#endif
