/* What the files that make a model (load, merge, schema, functions, elaborate) share. */
#ifndef HYP_COMPILER_FRONT_MODEL_INTERNAL_H
#define HYP_COMPILER_FRONT_MODEL_INTERNAL_H

#include "compiler/front/model.h"

/* Add the functions of a file's `functions:` to the model's table. */
void functions_add(struct model *m, const struct doc *file, enum function_from from);
/* Add the library's. */
void functions_add_library(struct model *m);
/* options.set laid over the file. */
struct doc *set_apply(struct model *m, struct doc *file);

#endif
