/*
 * The run folder: metrics.csv, metrics.jsonl, images/, plots/, model.yaml, run.json and
 * checkpoint.safetensors.
 *
 * Metrics are gathered in memory (logging allocates nothing) and appended as whole lines by
 * runfolder_flush().  Everything else is written atomically.
 */
#ifndef HYP_RUNTIME_RUNFOLDER_H
#define HYP_RUNTIME_RUNFOLDER_H

#include <stddef.h>

#include "runtime/train.h"

enum { RUNFOLDER_PATH = 4096, RUNFOLDER_BUFFER = 1 << 16 };

struct log_file {
    int fd;
    char *text; /* not yet written */
    size_t n;
    uint64_t nbytes; /* written and waiting */
};
struct runfolder {
    char path[RUNFOLDER_PATH - 256];
    struct log_file csv, jsonl;
    bool has_log;
};

/* The folder itself and what is below it; `checkpoint` of a run.  Names fit by the check of
 * runfolder_open(). */
void runfolder_name(const struct runfolder *f, const char *name, char out[RUNFOLDER_PATH]);

/* Make the folder; metrics begin anew, or are cut back to the lengths of a checkpoint. */
enum hyp_status runfolder_open(struct runfolder *f, const char *path,
                               struct hyp_error *err);
enum hyp_status runfolder_begin_metrics(struct runfolder *f, uint64_t csv_bytes,
                                        uint64_t jsonl_bytes, struct hyp_error *err);
void runfolder_close(struct runfolder *f); /* what was not flushed is lost */

/* model.yaml and run.json */
enum hyp_status runfolder_describe(const struct runfolder *f, const struct hyp_plan *plan,
                                   const struct hyp_run_options *o, uint64_t seed,
                                   unsigned threads, int64_t resumed_at,
                                   struct hyp_error *err);

/* One event: n values known now, after `cycle` cycles and `epoch` epochs. */
enum hyp_status runfolder_log(struct runfolder *f, int64_t cycle, int64_t epoch,
                              const struct hyp_value *const *value, uint32_t n,
                              struct hyp_error *err);
enum hyp_status runfolder_flush(struct runfolder *f, struct hyp_error *err);

/*
 * Learning curves from metrics.csv: plots/GROUP.svg for GROUP, GROUP.PART and GROUP[k] of
 * each group, plots/losses.svg for the rest (phase-losses.svg where a group has that name).
 * Of a group `over` a name: GROUP[k] over the n values `at` of that name, a curve for each
 * time (of many: some of them).
 */
struct plot_group {
    const char *name, *over; /* over: NULL where it is one over cycles */
    const char *what;        /* the ordinate's name, or NULL */
    const double *at;
    uint32_t n;
    const char *const *item; /* what NAME[k] is, in the model's words, for figures */
    uint32_t nitem;
};
enum hyp_status runfolder_plots(const struct runfolder *f, const struct plot_group *group,
                                uint32_t ngroup, struct hyp_error *err);

#endif
