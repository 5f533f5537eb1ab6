/*
 * Inside of a run: what train.c, schedule.c, watch.c, probe.c and the metrics share.
 */
#ifndef HYP_RUNTIME_RUN_H
#define HYP_RUNTIME_RUN_H

#include "runtime/checkpoint.h"
#include "runtime/data.h"
#include "runtime/exec.h"
#include "runtime/runfolder.h"
#include "runtime/train.h"
#include "runtime/values.h"

/* A source as it is open: the model's fields found among the file's. */
struct run_source {
    struct data_src *src;
    uint32_t n, batch_max;
    unsigned *field; /* by plan field: the source's field */
    size_t *width;   /* by plan field: elements of one sample */
    bool file_order; /* what evaluation reads; else the one pass there is */
};

struct run_loss { /* an output that is watched */
    uint32_t phase, output, value;
};

/* The stage that runs, worked out when it begins. */
struct run_stage {
    int32_t over;           /* source that counts an epoch, or -1 */
    int64_t epochs, cycles; /* -1: no end; cycles: of an epoch, -1: as the data say */
    uint32_t *input;        /* indices into run.input: what its cycles read */
    uint32_t ninput;
};

struct run_input { /* every INPUT buffer that a program reads, once */
    uint32_t source, field, buffer;
    bool is_int;
};

enum { RUN_TIMES = 4096 };

struct arena;
struct blame;

struct run {
    struct hyp_plan *plan;
    struct pool *pool;
    const struct hyp_run_options *opt;
    const struct hyp_run_callbacks *cb;
    struct exec *x; /* trains */
    struct exec *y; /* evaluates: a state of its own; NULL until wanted */
    struct run_source *source;
    struct run_input *input;
    uint32_t ninput;
    uint8_t *used;  /* by source: the stage's cycles read it */
    float *staging; /* a sample of the widest field for each thread (double plans) */
    size_t widest;
    struct arena *source_memory; /* names that open sources refer to */
    struct run_stage stage;
    struct moment now;  /* its state, counters and draws are x's own */
    struct moment kept; /* a copy some cycles old, for the replay of a fault */
    bool have_kept;
    struct values values;
    struct run_loss *loss;
    uint32_t nloss;
    const struct hyp_value **line; /* room for the losses of one metrics line */
    bool *with_probes;             /* by phase: run the twin in this cycle */
    bool *ran;                     /* by phase: its outputs are the cycle's just run */
    struct run_probe *probe;       /* by plan probe */
    struct runfolder *folder;      /* NULL: nothing is written */
    int64_t batch;                 /* of the cycle just run */
    bool epoch_over;               /* the cycle just run was the epoch's last */
    bool cycle_ran;                /* x holds the outputs of a cycle just run */
    struct blame *blame;           /* the cycle is run again to find a fault */
    int64_t entered;               /* stage that r->stage describes; -1: none */
    char fault[320];
    bool looked;                /* the state has been gone through once */
    uint32_t *scan;             /* by thread: the first tensor that is not finite */
    const double *base_setting; /* settings where neither stage nor probe sets them */
    double times[RUN_TIMES];    /* seconds of the last cycles */
    uint64_t ntimes;
    double pace;                       /* seconds a cycle, smoothed */
    double rate_samples, rate_seconds; /* of the last twenty or so cycles */
    int64_t last_loss_log, saved_step;
    double first_cycle, started, last_save, last_plot;
    const struct data_given *given; /* what a source of kind `given` hands out */
    const char *evaluate; /* "eval" and "dream": nothing of the schedule is opened */
};

double run_clock(void); /* seconds, monotonic */
void run_message(const struct run *r, enum hyp_message kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Contexts, sources, values.  `r` zeroed but for plan, pool, opt, cb, given. */
enum hyp_status run_open(struct run *r, struct hyp_error *err);
void run_close(struct run *r);

/* sources.c */
enum hyp_status sources_open(struct run *r, struct hyp_error *err);
void sources_close(struct run *r);
/* `count` samples from place `first` of the running pass into the buffer's row `row`. */
struct gather {
    const struct run *run;
    struct exec *x;
    const struct run_input *input;
    uint32_t first, count, row;
    bool file_order;
};
void gather_rows(const struct gather *g);
/* Fill all inputs of `phase` in x with samples first .. first + count - 1, file order; a
 * source that is too short begins again. */
void gather_phase(const struct run *r, struct exec *x, uint32_t phase, uint32_t first,
                  uint32_t count);
uint32_t run_source_batch(const struct run *r, const struct exec *x, uint32_t source);
int64_t run_setting_batch(const struct run *r, const struct exec *x);

/* schedule.c */
/* Move to the place where the next cycle begins; false: the schedule is over. */
bool schedule_ready(struct run *r);
/* The stage of r->now.stage: what it reads, how long it is. */
void schedule_enter(struct run *r);
/* Take sources to where r->now says. */
void schedule_restore_sources(struct run *r);
enum hyp_status schedule_cycle(struct run *r, struct hyp_error *err);
/* Will the next cycle be the last of its epoch (at the latest)?  Of the run? */
bool schedule_epoch_ends(const struct run *r);
bool schedule_run_ends(const struct run *r);
void schedule_end_epoch(struct run *r); /* counters */
void schedule_until(struct run *r);     /* after the epoch's probes: may end the stage */
bool schedule_limit_reached(const struct run *r);
/* -1: unknown */
int64_t schedule_cycles_left(const struct run *r);
int64_t schedule_cycles_in_epoch(const struct run *r);
int64_t schedule_epochs(const struct run *r);
/* Settings as the stage (or a probe) has them, into x. */
void run_apply_settings(const struct run *r, struct exec *x,
                        const struct hyp_stage_set *set, uint32_t nset);

/* watch.c */
/* Losses and state after a cycle; HYP_ENONFINITE with r->fault filled and RUN/fault/ made.
 */
enum hyp_status watch_cycle(struct run *r, struct hyp_error *err);
enum hyp_status watch_before_saving(struct run *r, struct hyp_error *err);
/* Before a cycle: keep a copy now and then. */
void watch_keep(struct run *r);

/* blame.c */
/* Run the cycles after r->kept again, the last of them, `fault_step`, with a look at every
 * node; the node, its line, phase and step into r->fault, if found. */
void blame_cycle(struct run *r, int64_t fault_step);
void blame_phase(struct blame *b, uint32_t phase); /* in that cycle, before each phase */

/* stop.c: SIGINT and SIGTERM.  stop_signal(): the one that came, or 0. */
void stop_catch(void);
void stop_release(void);
int stop_signal(void);
bool run_stopping(const struct run *r); /* one has come, and the run is to heed it */

/* probe.c */
enum run_when { WHEN_START, WHEN_CYCLE, WHEN_EPOCH, WHEN_END, WHEN_ONCE };
enum hyp_status probes_open(struct run *r, struct hyp_error *err);
void probes_close(struct run *r);
/* Before a cycle: which twins are to run. */
void probes_prepare(struct run *r);
/* Evaluate what is due; logs values and writes pictures where there is a folder. */
enum hyp_status probes_run(struct run *r, enum run_when when, struct hyp_error *err);
enum hyp_status probes_run_named(struct run *r, const char *const *name, unsigned n,
                                 struct hyp_error *err);
void probes_plateau(struct run *r); /* after an epoch's probes */

/* The evaluation context, with the run's state in it; from: NULL. */
enum hyp_status run_evaluation(struct run *r, struct hyp_error *err);

/* train.c: where the metrics files are and which losses are not in them yet, into r->now.
 */
void run_note_log(struct run *r);

/* summary.c */
void run_summary(struct run *r, struct hyp_summary *out); /* takes the values */

/* train.c: a checkpoint into the run. */
enum hyp_status run_load(struct run *r, const char *path, struct hyp_error *err);

#endif
