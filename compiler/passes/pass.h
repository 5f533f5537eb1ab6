/*
 * Passes over a program's graph: what runs, in which order, and what must hold in between.
 *
 * A pass is one file, one function and one row of passes.def.  It rebuilds the graph
 * (program_rebuild) or appends to it; it reports what a model may get wrong, prints nothing
 * and keeps nothing outside the program.  passes_run() checks facts and validity after
 * each, times it, and offers the text for dumps.
 */
#ifndef HYP_COMPILER_PASSES_PASS_H
#define HYP_COMPILER_PASSES_PASS_H

#include "compiler/ir/program.h"
#include "compiler/ir/target.h"

enum pass_fact {
    FACT_CONTRACTED = 1, /* no node belongs to a written expression any more */
    FACT_NO_GRAD = 2,    /* no OP_GRAD */
    FACT_NO_STEPS =
        4, /* no phase has update steps left to build; stops and scale_grad are gone */
    FACT_ORDERED = 8 /* every sum has its final order */
};

enum pass_result { PASS_UNCHANGED, PASS_CHANGED, PASS_FAILED }; /* FAILED: reported */

struct pass_cx {
    struct program *program;
    struct diag_sink *diags;
    const struct target *target; /* whose row prices what is recomputed */
    double scarcity;             /* weight of what bytes in memory cost; 0: keep all */
};
typedef enum pass_result pass_fn(struct pass_cx *cx);

struct pass_info {
    const char *name, *doc;
    unsigned needs, keeps, gives;
    pass_fn *run;
};
/* The i-th pass, or NULL behind the last. */
const struct pass_info *pass_info(unsigned i);

struct pass_options {
    const char *dump_after; /* name of a pass, or "all": calls dump with the graph's text */
    const char *stop_after; /* do no further pass; the first run of that name */
    void (*dump)(void *cx, const char *pass, const char *text);
    void (*timed)(void *cx, const char *pass, double seconds); /* may be NULL */
    void *cx;
    const struct target *target; /* NULL: target_default() */
    bool remat_off;              /* keep whatever gradients read */
    double scarcity;             /* of memory; 0 is 1: bytes cost what moving them takes */
    bool twin; /* tests: after each pass replace the graph by what its text reads back as */
};

/* The whole pipeline. False: reported. */
bool passes_run(struct program *p, struct diag_sink *ds, const struct pass_options *o);
/* The last pass, remat, once more: what it decides when memory has become scarcer. */
bool passes_again(struct program *p, struct diag_sink *ds, const struct pass_options *o);
unsigned pass_facts(const struct program *p); /* which hold (FACT_ORDERED excepted) */

/* ---- what passes are made of, for tests too ---- */

/*
 * The gradient of the sum of y with respect to each x[i], appended to the graph; 0 where
 * none arrives.  Nothing may hold OP_GRAD between them.  False: reported (E0509).
 */
bool differentiate(struct graph *g, value_id y, const value_id *x, uint32_t n,
                   struct diag_sink *ds, value_id *out);

/*
 * to[v] != 0: v is replaced.  Clones what depends on replaced values, except `hold`, and
 * answers for each of the n values what stands for it now.  Noise keeps its sites.
 */
void graph_substitute(struct graph *g, const value_id *to, const value_id *hold,
                      uint32_t nhold, const value_id *v, uint32_t n, value_id *out);

/* One tensor's optimizer step; all values are of the graph. */
struct optimizer_io {
    value_id weight, grad, m, v, vmax; /* state as it is: 0 where the rule has none */
    value_id t;                        /* host: number of this step, from 1 */
    value_id scale;                    /* multiplies the gradient first; 0: none */
    region_id host;                    /* where its host scalars are built */
};
struct optimizer_state {
    value_id weight, m, v, vmax;
};
void optimizer_slots(const struct graph *g, const struct prog_optimizer *o, bool *m,
                     bool *v, bool *vmax);
struct optimizer_state optimizer_step(struct graph *g, const struct prog_optimizer *o,
                                      const struct optimizer_io *io);

#endif
