/* Changing expressions: overrides put `original` in, functions get other parameter names.
 */
#ifndef HYP_COMPILER_FRONT_EXPR_EDIT_H
#define HYP_COMPILER_FRONT_EXPR_EDIT_H

#include "compiler/front/expr.h"

/* A rule for names: `from`, and `from.x` as its part x, become `to`. */
struct expr_change {
    const char *from;
    const struct expr *to;
};
bool expr_mentions(const struct expr *e, const char *name);
/*
 * e with the changes made and its draws numbered anew; unchanged parts are shared.  NULL,
 * with E0902: too deep or too large.
 */
struct expr *expr_change(struct arena *a, struct diag_sink *ds, const struct expr *e,
                         const struct expr_change *change, unsigned nchange);
/* A scalar for this expression: what documents are made of. Numbers its draws. */
struct doc *expr_doc(struct arena *a, struct expr *e, struct loc loc);
struct expr *expr_name(struct arena *a, struct loc loc, const char *name);

#endif
