/*
 * Making a model smaller as long as something holds of it (delta debugging): entries of
 * mappings and lists go, in halves, quarters, ... one by one, the last first, since what
 * comes later reads what came before; expressions become parts of themselves; numbers
 * become small.  Until nothing helps any more.
 */
#ifndef HYP_COMPILER_CLI_REDUCE_H
#define HYP_COMPILER_CLI_REDUCE_H

#include <stdbool.h>

#include "compiler/front/doc.h"

struct reducer {
    struct arena *arena;
    /* Does it still hold of this text? */
    bool (*holds)(void *cx, const char *text);
    bool (*stop)(void *cx); /* nothing more is tried */
    void *cx;
};

/* Changes the tree in place.  It holds of the tree before, and of what remains. */
void reduce_doc(const struct reducer *r, struct doc *d);

#endif
