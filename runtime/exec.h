/*
 * Executing a plan: a context owns the segments and runs phase programs on a pool.
 *
 * Probes that run phases on other data use a second context over the same plan, into which
 * the state segment is copied first.  Nothing here allocates after exec_new().
 */
#ifndef HYP_RUNTIME_EXEC_H
#define HYP_RUNTIME_EXEC_H

#include "runtime/plan.h"
#include "runtime/pool.h"
#include "runtime/share.h"

struct exec {
    struct hyp_plan *plan;
    struct pool *pool;
    uint8_t *segment[HYP_SEG_COUNT];
    double *host;                    /* results of the host program */
    double *setting;                 /* values now */
    double *counter;                 /* named counters now */
    double fixed[HYP_COUNTER_FIRST]; /* batch, epoch, cycle, step, tick */
    union hyp_word *param;           /* parameter block */
    uint64_t *draw;                  /* by draw counter: runs of that phase so far */
    uint64_t eval_draw;              /* the same for phases without a counter */
    uint64_t seed;
    uint8_t **scratch;      /* STACK bytes of each thread */
    void **bufs;            /* addresses of every entry's buffers, resolved once */
    uint32_t *buf_first;    /* by entry */
    union hyp_word **words; /* per thread: scalars of the entry that runs */
    uint32_t *watch;        /* HYP_WATCH words a thread */
    struct share *share;    /* one a thread */
    uint32_t round;         /* rounds of sharing so far */
    const struct exec
        *host_of; /* the context whose arena, stacks and words are used, or NULL */
    /* Called by thread 0 after each op, no other being in a stage; NULL: not. */
    void (*after_op)(void *cx, const struct hyp_op *op);
    void *after_cx;
};

enum hyp_status exec_new(struct hyp_plan *plan, struct pool *pool, uint64_t seed,
                         struct exec **out, struct hyp_error *err);
/* A second context over x's plan with a state, inputs and outputs of its own; it borrows
 * x's arena, so the two never run at the same time, and x must outlive it. */
enum hyp_status exec_new_beside(struct exec *x, struct exec **out, struct hyp_error *err);
void exec_free(struct exec *x);

/* Run one phase program at batch size `batch` (<= plan->batch_max); its inputs must be
 * filled. */
enum hyp_status exec_phase(struct exec *x, uint32_t phase, int64_t batch,
                           struct hyp_error *err);
/* Initial weights and states. */
enum hyp_status exec_init(struct exec *x, struct hyp_error *err);
/* Evaluate the host program (batch sizes, schedule conditions, learning rates) with the
 * values now. */
void exec_host(struct exec *x);

void *exec_address(const struct exec *x, uint32_t buffer);
/* Element 0 of an output as a number (losses, rank-0 probes). */
double exec_number(const struct exec *x, const struct hyp_output *o);
/* n elements of an output, or of any float or integer buffer, as doubles. */
void exec_read(const struct exec *x, uint32_t buffer, uint8_t dtype, int64_t first,
               int64_t n, double *out);
/* True if nbytes of floats (doubles in a double plan) hold no infinity and no NaN. */
bool exec_finite(const struct exec *x, const void *p, uint64_t nbytes);
/* Has anything not finite gone into the state since the last call? */
bool exec_stored_bad(struct exec *x);
/* True if every float of the state segment is finite; else the tensor's index in *tensor.
 */
bool exec_state_finite(const struct exec *x, uint32_t *tensor);
/* state, settings and counters of `from` into x */
void exec_copy_state(struct exec *x, const struct exec *from);

#endif
