/*
 * From files to one merged, checked, elaborated model document.
 *
 * load: reads, follows `extends` and `imports`, merges conditions and settings, checks
 * every key against schema.def.  elaborate: turns layers, pathways and discriminators into
 * networks and phases (docs/language.md section 6); the result has no such keys and is
 * itself a valid model file.
 */
#ifndef HYP_COMPILER_FRONT_MODEL_H
#define HYP_COMPILER_FRONT_MODEL_H

#include "compiler/front/expr.h"
#include "compiler/front/names.h"

struct program;

struct model_field;
struct model_options {
    const char *const *set; /* "lambda=0.3", "constants.latents=32" */
    uint32_t nset;
    const char *condition; /* NULL: none */
    bool go_on; /* after mistakes, come back with what was understood, to find the rest of
                   them */
    const char *const
        *node; /* "x.sleep": values of layers to keep although nothing reads them */
    uint32_t nnode;
    const char *const
        *data_dir; /* folders of --data: shapes of npy, csv and folder sources */
    uint32_t ndata_dir;
    /*
     * What is in a source, asked of the runtime's table by the driver: fills *field
     * (arena), or returns false with *why, which may begin with a code
     * ("E0706 train.gz is missing").  NULL: sources have no fields.
     */
    bool (*fields)(void *cx, struct arena *a, const char *kind, const struct doc *entry,
                   struct model_field **field, uint32_t *nfield, const char **why);
    void *cx;
};
struct model_field {
    const char *name;
    bool is_int;  /* labels: i32 */
    uint8_t rank; /* of one sample */
    int32_t dim[8];
};

enum function_from { FROM_MODEL, FROM_IMPORT, FROM_LIBRARY };
/* Functions by name: the model's own, imported ones, the library's, in that order of
 * hiding. */
struct model_function {
    const char *name;
    const char *signature; /* the key as written */
    struct expr_key key;
    struct doc *body; /* a mapping, or a scalar: only a return */
    enum function_from from;
    struct loc loc;
};

struct model {
    struct arena *arena;
    struct diag_sink *diags;
    struct doc *merged; /* after extends, conditions, --set: what the run folder records */
    struct doc *elaborated; /* layers, pathways, discriminators are gone */
    struct model_function *function;
    uint32_t nfunction, cfunction;
    struct names function_index;
    struct model_options options;
};

/*
 * NULL or false: reported in ds.  With options.go_on a model comes back although mistakes
 * were reported (in documents marked bad); ask diag_errors() before running it.
 */
struct model *model_load(struct arena *a, struct diag_sink *ds, const char *path,
                         const struct model_options *o);
bool model_elaborate(struct model *m);
const struct model_function *model_function(const struct model *m, const char *name);

/* Names, types, instantiation: the elaborated document becomes a program. False: reported.
 */
bool model_build(struct model *m, struct program *p);

/* A shipped library file, built in: "std/layers.yaml"; NULL if there is none of that name.
 */
const char *library_text(const char *name, size_t *nbytes);
const char *library_name(unsigned i); /* the i-th, or NULL */

#endif
