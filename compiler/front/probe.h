/* A probe being built: what the files of probes share. */
#ifndef HYP_COMPILER_FRONT_PROBE_H
#define HYP_COMPILER_FRONT_PROBE_H

#include "compiler/front/build.h"

/* `over`: the values that names have in one repetition. */
#define OVER_NAMES 8
#define OVER_RUNS  1000
struct over {
    const char *name[OVER_NAMES];
    struct val *list[OVER_NAMES];
    struct loc loc[OVER_NAMES];
    uint32_t at[OVER_NAMES], n;
};

struct probe_cx {
    struct mb *b;
    struct doc *doc;
    struct prog_probe *p;
    struct frame *f;
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

/* probe_metric.c */
void mb_probe_metric(struct probe_cx *c, const struct doc *name);

#endif
