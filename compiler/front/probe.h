/* A probe being built: what the files of probes share. */
#ifndef HYP_COMPILER_FRONT_PROBE_H
#define HYP_COMPILER_FRONT_PROBE_H

#include "compiler/front/build.h"

/* metric.c: what each kind of probe takes */
struct metric_row {
    const char *name, *keys, *model, *title; /* see metric.def */
    bool built;
};
/* NULL: reported. */
const struct metric_row *mb_probe_row(struct mb *b, const struct doc_entry *probe);
/* Is the word in the list "a! b"?  *must: with a `!`. */
bool mb_probe_word(const char *list, const char *word, bool *must);
/* Is this a key of such a probe?  Of what it is not known yet: any. */
bool mb_probe_takes(const struct doc *probe, const char *key);
bool metric_takes(const struct metric_row *row, const char *key);
/* The model that the metric of this probe trains, or NULL. */
const char *metric_model(const struct metric_row *row, const struct doc *probe,
                         struct arena *a);

/* `over`: the values that names have in one repetition. */
#define OVER_NAMES 8
#define OVER_RUNS  1000
struct over {
    const char *name[OVER_NAMES];
    struct val *list[OVER_NAMES];
    struct loc loc[OVER_NAMES];
    uint32_t at[OVER_NAMES], n;
    uint32_t run, runs; /* which repetition, of how many */
    uint32_t first;     /* the program's probe that is the first of them */
};

struct probe_cx {
    struct mb *b;
    struct doc *doc;
    const struct metric_row *row;
    struct prog_probe *p;
    struct frame *f;     /* NULL: each item of a list has its own */
    const int *phase_of; /* that of its phase */
    struct run *run;
    const char *replace; /* the source that the phases train on */
    const char *base;    /* the probe's name: draws do not depend on the repetition */
    const struct over *over;
    uint32_t cvalue, cparam;
};

/* A frame that sees the phases of `r` and has nodes of its own. */
struct frame *mb_probe_frame(struct mb *b, struct run *r, struct doc *nodes,
                             const char *name, struct loc loc, const struct over *over);
/* A region of its own, where source `replace` is read from `from`. */
struct run *mb_probe_run(struct mb *b, const char *name, const char *sites, bool training,
                         const char *from, const char *replace);
struct val *mb_probe_key(struct mb *b, struct frame *f, struct doc *d, const char *key);
/* Tuples become NAME.0, NAME.1, ..., and lists of what a metric reads. */
void mb_probe_add(struct probe_cx *c, const char *name, struct val *v, struct frame *f,
                  struct loc loc);

/* probe_param.c */
void mb_probe_params(struct probe_cx *c);
/* probe_metric.c */
void mb_probe_metric(struct probe_cx *c);

/* optimizer.c: an optimizer whose arguments are numbers known when compiling, as text;
 * NULL: reported. */
const char *mb_fixed_optimizer(struct mb *b, struct doc *d);

#endif
