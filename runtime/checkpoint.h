/*
 * Checkpoints: everything a run needs to go on, as one safetensors file.
 *
 *     PATH                      the state segment's tensors, in plan order
 *     optimizer/PATH/t          I64; other named counters F64
 *     cursor/epoch, cycle, step, stage, stage_epoch, seed, metrics.csv, metrics.jsonl   I64
 *     cursor/PHASE/draw         I64: runs of the phase so far
 *     cursor/SOURCE/pass, cursor/SOURCE/position                                        I64
 *     cursor/plateau/K/best, cursor/plateau/K/wait                                      F64
 *     cursor/unlogged/LOSS      F64: a loss that no line of the metrics files has yet; NaN:
 * none Metadata: format, version, model (SHA-256 of the elaborated model).
 */
#ifndef HYP_RUNTIME_CHECKPOINT_H
#define HYP_RUNTIME_CHECKPOINT_H

#include "runtime/plan.h"

struct run_cursor {
    uint64_t pass, position; /* position: samples of the pass already used */
};
struct run_plateau {
    double best, wait;
};

/* A run between two cycles. */
struct moment {
    uint8_t *state;              /* the state segment */
    double *counter;             /* by named counter */
    uint64_t *draw;              /* by draw counter */
    struct run_cursor *source;   /* by source */
    struct run_plateau *plateau; /* by plateau */
    uint32_t nloss;
    double *unlogged; /* by loss: what no metrics line has yet; NaN: none */
    uint64_t seed;
    int64_t epoch, cycle, step;      /* cycle: in the epoch */
    int64_t stage, stage_epoch;      /* the schedule's place */
    uint64_t csv_bytes, jsonl_bytes; /* what the metrics files held */
};

/* The names of the losses in the order of their first programs (a phase and its twin share
 * them), and how many; `name` may be NULL. */
uint32_t moment_losses(const struct hyp_plan *plan, const char **name);

/* Memory for all lists; state, counter and draw too where `whole`. */
enum hyp_status moment_init(struct moment *m, const struct hyp_plan *plan, bool whole,
                            struct hyp_error *err);
void moment_fini(struct moment *m, bool whole);
void moment_copy(struct moment *to, const struct moment *from, const struct hyp_plan *plan);

/* Atomically; the file that was there is untouched until the new one is whole. */
enum hyp_status checkpoint_write(const char *path, const struct hyp_plan *plan,
                                 const struct moment *m, struct hyp_error *err);

/* Told of each tensor that differs (and why), one line each. */
typedef void checkpoint_differs(void *cx, const char *text);

/*
 * All of it into m, or nothing: HYP_EMISMATCH where a name, shape or dtype differs.
 * *same_model is false where the elaborated model's text is another one.
 */
enum hyp_status checkpoint_read(const char *path, const struct hyp_plan *plan,
                                struct moment *m, checkpoint_differs *differs, void *cx,
                                bool *same_model, struct hyp_error *err);

/* The weights whose paths stand in `path` into `state`; those that do not match are told.
 * *loaded: how many were taken. */
enum hyp_status checkpoint_read_weights(const char *path, const struct hyp_plan *plan,
                                        uint8_t *state, checkpoint_differs *differs,
                                        void *cx, uint32_t *loaded, struct hyp_error *err);

#endif
