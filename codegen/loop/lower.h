/*
 * Lowering: one fused group of the graph becomes one kernel.
 *
 * The kernel knows neither places in memory nor names of the model: its buffers and scalars
 * are bound to values of the graph by the lists here, so that equal groups give equal
 * kernels.
 */
#ifndef HYP_CODEGEN_LOOP_LOWER_H
#define HYP_CODEGEN_LOOP_LOWER_H

#include "codegen/loop/loop.h"
#include "compiler/ir/group.h"

enum bind_scalar { BIND_HOST, BIND_WORD, BIND_DRAW_LO, BIND_DRAW_HI };
struct binding {
    uint8_t kind;
    value_id host; /* BIND_HOST */
    uint32_t word; /* BIND_WORD: half of a site's hash */
};
/*
 * Where a value lies.  Two values with the same slot share storage: a new weight lies where
 * the old one did.  The caller's function maps a base value to its slot.
 */
typedef uint32_t storage_fn(void *cx, value_id base);

struct lowered {
    struct kernel *kernel;
    uint32_t *slot;  /* of every kernel buffer */
    value_id *value; /* a value that lies there, for its type */
    struct binding *scalar;
    uint32_t nscalar;
    const char *name; /* of the dominant member: "D.z.f2" */
};

/* NULL: reported (E0001: a construct that kernels do not cover yet). */
struct lowered *lower_group(const struct fusion *f, uint32_t group, storage_fn *slot,
                            void *cx, struct arena *a, struct diag_sink *ds);
/* A kernel that copies value `v` (or a host scalar) to slot `to`. */
struct lowered *lower_copy(const struct fusion *f, value_id v, uint32_t to,
                           storage_fn *slot, void *cx, struct arena *a,
                           struct diag_sink *ds);

#endif
