/*
 * Running a plan: training, evaluating, dreaming.  What `hypno train`, `eval` and `dream`
 * call; nothing here prints, exits or reads the command line.
 *
 * Errors that the command shows with a code of diag.def:
 *     HYP_ENONFINITE  R0951   a loss, weight or state is not finite; RUN/fault/ has the
 * replay HYP_EIO         R0953   the run's files could not be written; what was saved is
 * untouched HYP_EMISMATCH   R0954   the checkpoint does not fit the model; every difference
 * was a message HYP_ESTOPPED            a signal (summary.signal): the cycle was finished,
 * the state saved Data errors are data.h's.  One thread calls; the pool's threads do the
 * work.
 */
#ifndef HYP_RUNTIME_TRAIN_H
#define HYP_RUNTIME_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/plan.h"
#include "runtime/pool.h"

/* Strings and lists are borrowed until the call returns. */
struct hyp_run_options {
    const char *out;  /* run folder; NULL: nothing is written */
    bool resume;      /* go on from out's checkpoint; without one: from the start */
    const char *init; /* safetensors file: weights by path; or NULL */
    int64_t epochs;   /* the run ends after so many in all, -1: as the schedule says; */
    int64_t cycles;   /* 0 epochs (or cycles): the probes are evaluated once */
    uint64_t seed;    /* on resume the checkpoint's counts */
    const char *const *dirs; /* --data */
    unsigned ndirs;
    struct data_ahead *ahead; /* (data.h) samples that are loaded already; or NULL */
    const char *model_text;   /* RUN/model.yaml: the model as merged */
    const char *command;      /* RUN/run.json */
    const char *version;      /* of the program, for run.json */
    double started;           /* CLOCK_MONOTONIC seconds at process start; 0: now */
    double save_seconds;      /* longest time between two checkpoints; 0: 300 */
    bool signals;             /* catch SIGINT and SIGTERM while running */
};
void hyp_run_defaults(struct hyp_run_options *o); /* epochs and cycles -1, the rest 0 */

/* A named result: a loss under `PHASE.NODE`, a probe under its name, a part as NAME.PART.
 */
struct hyp_value {
    const char *name;
    double *v; /* n numbers, NaN and infinities as they came */
    uint32_t n;
    bool list; /* shown as a list, even of one */
    bool loss;
    bool known;    /* false: not due yet */
    bool unlogged; /* computed since the metrics files took it last */
};

struct hyp_progress {
    int64_t epoch, epochs; /* finished; in all, -1: unknown */
    int64_t cycle, cycles; /* of this epoch: finished; in all, -1: unknown */
    int64_t step;          /* cycles since the start of the run */
    double samples_per_second, eta_seconds; /* eta: -1 unknown */
    const struct hyp_value *value;          /* losses and probes, last values */
    uint32_t nvalue;
    bool epoch_end; /* an epoch just ended and its probes are in `value` */
};

enum hyp_message { HYP_MESSAGE_INFO, HYP_MESSAGE_WARNING };

struct hyp_run_callbacks {
    void *cx;
    /* After every cycle (the callee decides how often to draw) and after an epoch's probes.
     */
    void (*progress)(void *cx, const struct hyp_progress *p);
    /* One line for people, without newline: what --init did not find, how to resume ... */
    void (*message)(void *cx, enum hyp_message kind, const char *text);
};

/* Owned: hyp_summary_fini().  Valid (with what was reached) after a failure too. */
struct hyp_summary {
    int64_t cycles, epochs;     /* in all, before --resume included */
    double seconds_per_cycle;   /* median; 0: none ran */
    double first_cycle_seconds; /* process start to the end of the first cycle; 0: none */
    double compile_seconds;
    uint32_t kernels, compiled_kernels; /* all; those that were not in the cache */
    uint64_t arena_bytes, peak_rss_bytes;
    uint32_t nvalue;
    struct hyp_value *value;
    int signal;      /* that stopped the run, or 0 */
    char fault[320]; /* HYP_ENONFINITE: which value, node and line */
};
void hyp_summary_fini(struct hyp_summary *s);
/* The object of `--summary json`, one line without newline; hyp_free().  NULL: no memory.
 */
char *hyp_summary_json(const struct hyp_summary *s);

/* `cb` may be NULL. */
enum hyp_status hyp_train(struct hyp_plan *plan, struct pool *pool,
                          const struct hyp_run_options *o,
                          const struct hyp_run_callbacks *cb, struct hyp_summary *out,
                          struct hyp_error *err);

/* The probes (those named; none: all) on the last checkpoint of o->out; writes nothing. */
enum hyp_status hyp_eval(struct hyp_plan *plan, struct pool *pool,
                         const struct hyp_run_options *o,
                         const struct hyp_run_callbacks *cb, const char *const *probe,
                         unsigned nprobe, struct hyp_summary *out, struct hyp_error *err);

/*
 * n samples of what the plan dreams (plan->dream_phase; `node`: an output "dream/NODE")
 * with the weights of o->out's checkpoint and o->seed, into `file`: .npy, else a PNG sheet
 * (values between the training source's scale; vectors that are no picture: one row each).
 */
enum hyp_status hyp_dream(struct hyp_plan *plan, struct pool *pool,
                          const struct hyp_run_options *o,
                          const struct hyp_run_callbacks *cb, const char *node, uint32_t n,
                          const char *file, struct hyp_error *err);

#endif
