/*
 * Compiling a model: file -> merged and elaborated document -> program -> passes -> plan ->
 * code.
 */
#ifndef HYP_COMPILER_DRIVER_COMPILE_H
#define HYP_COMPILER_DRIVER_COMPILE_H

#include "codegen/backend.h"
#include "compiler/driver/plan_build.h"
#include "compiler/front/model.h"
#include "compiler/passes/pass.h"

struct compile_options {
    struct model_options model;
    struct pass_options pass;
    const char *backend; /* "llvm", "interp", "interp64"; NULL: the fastest there is */
    const char *target;  /* row of target.def to make code for; NULL: this machine's */
    unsigned threads;    /* that will run it (tuned.h); 0: all processors; all compile it */
    const char
        *cache_dir; /* where compiled kernels are kept (base/cache.h); NULL: nowhere */
    uint64_t cache_limit;  /* bytes of it */
    const char *tuned_dir; /* what `hypno tune` keeps (tuned.h); NULL: nowhere */
    bool fuse_off;
    bool whole; /* kernels pack weights for themselves, so that each is timed with it */
    uint64_t memory_limit; /* bytes; 0: none */
    uint32_t given_width;  /* numbers in a sample of sources of kind `given` */
    bool load_data;        /* begin to, when the sources are known: compiled.ahead */
};
/* Everything one compilation made; the plan's strings live here. compiled_free() frees all
 * of it. */
struct compiled {
    struct arena *arena;
    struct diag_sink *diags;
    struct model_options options;
    struct model *model;
    struct program program;
    struct plan_ir ir;
    struct hyp_plan *plan; /* NULL until code is wanted */
    const struct backend *backend;
    const struct target *target;
    struct code **code;
    uint32_t ncode, ccode;
    unsigned threads;
    struct cache *cache; /* once code was wanted, if it can be used */
    const char *cache_dir;
    uint64_t cache_limit;
    double seconds; /* all compile work so far */
    uint32_t given_width;
    uint64_t memory_limit;
    struct data_ahead *ahead; /* samples of the sources that are read (data.h), or NULL */
    const char *nested_path;  /* of the model of a metric; else NULL */
    struct compiled *nested, *next; /* the models of metrics; the unfused plan */
};

/* model_options.fields for the runtime's sources; cx is the struct compiled. */
bool driver_fields(void *cx, struct arena *a, const char *kind, const struct doc *entry,
                   struct model_field **field, uint32_t *nfield, const char **why);

/* For c->ahead: begins to load what the program reads. */
struct data_ahead *driver_load_ahead(const struct compiled *c);

/* How far to go. */
enum compile_until { UNTIL_MODEL, UNTIL_PROGRAM, UNTIL_GRAPH, UNTIL_PLAN, UNTIL_CODE };

/* Always returns an object (for its diagnostics); *ok says whether it got there. */
struct compiled *compile_model(const char *path, const struct compile_options *o,
                               enum compile_until until, bool *ok);
void compiled_free(struct compiled *c);
/* The same program in whole kernels, scheduled as `tuned` says, with code: a compilation
 * that is freed with c. NULL: reported, or the two plans exceed the memory. */
struct compiled *compile_beside(struct compiled *c, const struct tuned *tuned);

#endif
