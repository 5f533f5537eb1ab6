/*
 * From arguments to a compiled model: what check, show, train, eval and dream share.
 */
#ifndef HYP_COMPILER_CLI_OPEN_H
#define HYP_COMPILER_CLI_OPEN_H

#include "compiler/cli/cmd.h"
#include "compiler/driver/compile.h"

struct data_dirs {
    const char *dir[ARGS_TEXTS];
    uint32_t n;
    char *text; /* $HYPNO_DATA, cut up; owned */
};
/* --data, then the folders of $HYPNO_DATA. */
void data_dirs_init(struct data_dirs *d, const struct args *a);
void data_dirs_fini(struct data_dirs *d);

/*
 * Where compiled kernels are kept: $HYPNO_CACHE (`off`: nowhere), else hypno in
 * $XDG_CACHE_HOME or ~/.cache.  NULL: nowhere, *why (static text) says why.
 */
struct cache_place {
    char dir[4096];
    char tuned[4096]; /* what `hypno tune` keeps, beside them */
    uint64_t limit;
};
const char *open_cache_place(struct cache_place *p, const char **why);

/* What a verb that compiles a model begins with, and what its options point at. */
struct opening {
    struct compile_options o;
    struct data_dirs dirs;
    struct cache_place cache;
};
void opening_init(struct opening *w, const struct args *a);
void opening_fini(struct opening *w);
unsigned open_threads(const struct args *a);
/* The row that code is made for on this machine; of none, the first. */
const struct target *open_target(void);

/*
 * Compile, and show what was reported.  *status is EXIT_FINE, or how to exit.  Always an
 * object; compiled_free().
 */
struct compiled *open_model(const char *path, const struct compile_options *o,
                            enum compile_until until, int *status);
/* Does the plan (if there is one) have the phase?  NULL: any; false: said which there are.
 */
bool open_has_phase(const struct compiled *c, const char *name);
/* Show what was reported since, by code that was made later: EXIT_MISTAKE or EXIT_FAULT. */
int open_failed(const struct compiled *c);

/* RUN/model.yaml into `path`; false: said why. */
bool open_run(const char *run, char *path, size_t size);

/* A status of the runtime, with its code, for people: how to exit. */
int open_runtime_error(const struct compiled *c, enum hyp_status s,
                       const struct hyp_error *err);

#endif
