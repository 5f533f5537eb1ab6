/*
 * The plan: a compiled model as plain data.  The only bridge between compiler and runtime.
 *
 * Buffers lie in segments at constant offsets planned for the largest batch; kernels hold
 * no addresses, no offsets and no batch.  A phase is a flat program of ops that every pool
 * thread walks. Nothing here is changed after compilation: run-time state is in
 * runtime/exec.h.
 */
#ifndef HYP_RUNTIME_PLAN_H
#define HYP_RUNTIME_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"

#define HYP_PLAN_VERSION 2
#define HYP_PLAN_RANK    9

struct hyp_ext { /* c + b*B */
    int32_t c, b;
};

union hyp_word {
    float f;
    int32_t i;
    uint32_t u;
    double d; /* the double interpreter */
};

/* What a kernel stage is called with. `self` is the kernel's own (the interpreter's nest).
 */
struct hyp_kargs {
    void *const *buf;             /* base addresses of this entry's buffers */
    const union hyp_word *scalar; /* this entry's scalars */
    int64_t batch;
    uint64_t seed;
    const void *self;
    uint32_t *watch; /* this thread's HYP_WATCH words, 64-aligned: one gets bits when a
                        value that is not finite goes into a watched buffer */
};
enum { HYP_WATCH = 16 };
/* Units lo..hi of the stage's grid; scratch: this thread's STACK bytes, 64-aligned. */
typedef void hyp_stage_fn(const struct hyp_kargs *, int64_t lo, int64_t hi, void *scratch);

enum hyp_segment {
    HYP_SEG_STATE,   /* weights, optimizer state, model state: the checkpoint */
    HYP_SEG_SCRATCH, /* arena; empty at the start of every phase */
    HYP_SEG_INPUT,   /* the batch's data, filled before a phase runs */
    HYP_SEG_OUTPUT,  /* what the runtime reads after it: losses, probe values */
    HYP_SEG_COUNT
};
enum hyp_dtype { HYP_F32, HYP_I32, HYP_BOOL /* one byte */, HYP_F64 };

struct hyp_buffer {
    uint8_t segment, dtype;
    uint64_t offset, bytes; /* bytes at the largest batch */
    uint64_t sample_bytes;  /* a smaller batch takes so much less for each sample */
};

struct hyp_stage {
    hyp_stage_fn *fn; /* set by the back end's loader */
    const void *self; /* handed to fn: the interpreter's nest */
    const char *symbol;
    struct hyp_ext units; /* units_times * ceil(units / units_div) */
    int32_t units_div, units_times;
    uint32_t cost; /* of one unit, relative: threads share out units by it; 0 counts as 1 */
};
enum hyp_use { HYP_READ, HYP_WRITE, HYP_READ_WRITE, HYP_PRIVATE /* nobody else's */ };
struct hyp_kernel {
    uint8_t key[32];
    const char *name;
    struct hyp_stage *stage;
    uint32_t nstage, nbuf, nscalar;
    const uint8_t *use; /* by buffer: enum hyp_use */
    uint64_t scratch;   /* STACK bytes a thread */
};
struct hyp_place {   /* a node of the model: "gradient of D.z.f2 (model.yaml:22)" */
    const char *why; /* "", "gradient of ", "update of " */
    const char *name, *file;
    uint32_t line;
    const char *from_file; /* of a library's line: where the model calls it; or NULL */
    uint32_t from_line;
};
struct hyp_entry { /* one kernel of a launch */
    uint32_t kernel;
    uint32_t *buf;           /* nbuf x index into buffers */
    uint32_t *scalar;        /* nscalar x index into the parameter block */
    struct hyp_place *place; /* what it computes, in order */
    uint32_t nplace;
    uint32_t step; /* of the phase's update steps the first that needs it, from 1; 0: none,
                      or the phase has only one */
};

/*
 * Host scalars: a straight-line program in double over settings, counters and earlier
 * results. Result k of the program goes to host slot k.
 */
enum hyp_sop {
    HYP_S_CONST,   /* k */
    HYP_S_SETTING, /* a: index into setting values */
    HYP_S_COUNTER, /* a: enum hyp_counter, or HYP_COUNTER_FIRST + index into counters */
    HYP_S_ADD,
    HYP_S_SUB,
    HYP_S_MUL,
    HYP_S_DIV,
    HYP_S_NEG,
    HYP_S_FMA,
    HYP_S_MIN,
    HYP_S_MAX,
    HYP_S_ABS,
    HYP_S_SQRT,
    HYP_S_FLOOR,
    HYP_S_POW,
    HYP_S_EXP,
    HYP_S_LOG,
    HYP_S_SIN,
    HYP_S_COS,
    HYP_S_TANH,
    HYP_S_ROUND,
    HYP_S_MOD,
    HYP_S_LT,
    HYP_S_LE,
    HYP_S_EQ,
    HYP_S_AND,
    HYP_S_OR,
    HYP_S_NOT,
    HYP_S_SEL /* a ? b : c */,
    HYP_S_COPY,
    HYP_S_CLIP /* a into [b, c] */,
    HYP_S_SIGN,
    HYP_S_EXPM1,
    HYP_S_SIGMOID,
    HYP_S_SOFTPLUS,
    HYP_S_ERF,
    HYP_S_ACOS,
    HYP_S_RSQRT,
    HYP_S_BAD
};
struct hyp_sinst {
    uint8_t op;
    uint32_t a, b, c; /* slots (or indices, above) */
    double k;
};
enum hyp_counter {
    HYP_COUNTER_BATCH,
    HYP_COUNTER_EPOCH,
    HYP_COUNTER_CYCLE,
    HYP_COUNTER_STEP,
    HYP_COUNTER_TICK,
    HYP_COUNTER_FIRST =
        16 /* named counters: optimizer/PATH/t, plateau multipliers, probe/NAME */
};
enum hyp_param_kind {
    HYP_PARAM_HOST_F32,
    HYP_PARAM_HOST_I32,
    HYP_PARAM_WORD /* u32 constant */,
    HYP_PARAM_DRAW_LO,
    HYP_PARAM_DRAW_HI
};
struct hyp_param { /* one slot of the parameter block */
    uint8_t kind;
    uint32_t a; /* host slot, or the word */
};
struct hyp_named_counter {
    const char *name; /* "optimizer/up.z.s.a.weight/t" */
    double init;
    bool saved; /* belongs to the checkpoint (as i64, or f64 for multipliers) */
    bool is_float;
};

enum hyp_opcode {
    HYP_OP_SCALARS, /* evaluate host slots [a, b), then parameter slots [c, d) */
    HYP_OP_LAUNCH,  /* entries [a, b): run all their units, one stage after the other */
    HYP_OP_COUNT,   /* named counters [a, b) of `list` += 1 */
};
struct hyp_op {
    uint8_t op;
    uint32_t a, b, c, d;
};

struct hyp_output {   /* a named result of a phase */
    const char *name; /* "compare.loss.D", "probe/error/value" */
    uint32_t buffer;
    uint8_t dtype, rank;
    bool sample;    /* dim[0] is the batch */
    bool loss;      /* watched: reported and checked for not finite values */
    int32_t extent; /* > 0: an index, out of range unless in 0..extent-1; name: its place */
    struct hyp_ext dim[HYP_PLAN_RANK];
};
struct hyp_input {          /* a data leaf */
    uint32_t source, field; /* field: index in the source's fields */
    uint32_t buffer;
};
struct hyp_phase {
    const char *name;
    struct hyp_op *op;
    uint32_t nop;
    uint32_t *count_list; /* HYP_OP_COUNT's counters */
    struct hyp_output *output;
    uint32_t noutput;
    struct hyp_input *input;
    uint32_t ninput;
    uint64_t arena_bytes, arena_bound; /* planned, and its lower bound */
    /* The second program of a scheduled phase: with what its probes read; -1 if none. */
    int32_t with_probes;
    /* Of a program that leaves out the updates that a stage freezes: 1 + the phase's whole
     * one, with which it shares names and the buffers that probes read; else 0. */
    uint32_t variant_of;
    bool loaded;   /* its kernels have code */
    uint32_t draw; /* index of the draw-step counter this phase advances; probes and init:
                      UINT32_MAX */
};

struct hyp_tensor {   /* of the state segment, in checkpoint order */
    const char *name; /* path; "optimizer/PATH/m" */
    uint8_t dtype, rank;
    bool weight; /* a trained or fixed weight (what --init loads) */
    bool per_sample;
    struct hyp_ext dim[HYP_PLAN_RANK];
    uint64_t offset, bytes;
    const char *file; /* where it is declared, for messages */
    uint32_t line;
};

struct hyp_setting {
    const char *name;
    uint32_t first, n; /* into setting values */
    bool is_list, has_range;
    double lo, hi;
};

struct hyp_field {
    const char *name;
    bool is_int;
    uint8_t rank;
    int32_t dim[8];
    bool used;
};
struct hyp_source {
    const char *name, *kind, *split, *file;
    const char *parts;
    uint64_t parts_seed;
    int64_t take_from, take_to, per_class;
    int32_t resize[2]; /* height, width; 0: as stored */
    double scale_lo, scale_hi;
    uint32_t nmean;
    double mean[4], std[4];
    bool random, drop_last, scheduled;
    bool unread;    /* by anything: it is not opened */
    uint32_t batch; /* host slot in setup program */
    struct hyp_field *field;
    uint32_t nfield;
    int32_t keep_phase; /* evaluation phase whose output "keep" selects samples; -1: all */
};

struct hyp_sched_entry {
    bool repeat;
    uint32_t phase;
    int64_t times_slot, when_slot; /* host slots of the control program; -1: once, always */
    struct hyp_sched_entry *entry;
    uint32_t nentry;
};
struct hyp_stage_set {
    uint32_t value; /* index into setting values */
    uint32_t slot;
};
struct hyp_sched_stage {
    struct hyp_sched_entry *entry;
    uint32_t nentry;
    int64_t epochs_slot, cycles_slot, until_slot; /* -1: absent */
    int32_t over;                                 /* source that counts an epoch, or -1 */
    struct hyp_stage_set *set;
    uint32_t nset;
};

enum hyp_probe_kind { HYP_PROBE_VALUE, HYP_PROBE_IMAGE, HYP_PROBE_METRIC };
enum hyp_every { HYP_EVERY_EPOCH, HYP_EVERY_CYCLES, HYP_EVERY_END, HYP_EVERY_LIST };
struct hyp_probe_value {
    const char *name; /* "value" "of" "of.1" "labels" "train.of" ... */
    uint32_t phase;   /* program that computes it */
    uint32_t output;  /* index into that phase's outputs */
    int32_t source;   /* data the phase runs over; -1: the cycle just run */
};
struct hyp_probe_param {
    const char *name, *text;
    double number;
};
struct hyp_probe {
    const char *name, *metric;
    uint8_t kind, every;
    uint32_t period; /* HYP_EVERY_CYCLES, HYP_EVERY_EPOCH: every so many */
    uint32_t *epoch, nepoch;
    const char *base, *over; /* of a repetition: the probe's name, and that of the number
                                that changes, if it is one; else NULL */
    double *at;              /* that number in all repetitions */
    uint32_t run, runs;      /* which repetition, of how many, all in a row; runs 0: one */
    int32_t from;            /* source index, or -1 */
    double image_lo,
        image_hi; /* values that are black and white: the training source's scale */
    struct hyp_probe_value *value;
    uint32_t nvalue;
    const char **item; /* where the value is a list: its items, as the model writes them */
    uint32_t nitem;
    struct hyp_probe_param *param;
    uint32_t nparam;
    struct hyp_stage_set *set;
    uint32_t nset;
    struct hyp_plan *
        *model; /* compiled std models that this metric trains ("classifier") */
    uint32_t nmodel;
};

struct hyp_plateau { /* multiplies a learning rate when a probe stops getting better */
    int32_t probe;
    bool goal_max;
    uint32_t factor_slot, patience_slot, counter;
};

struct hyp_plan {
    uint32_t version;
    uint8_t model_hash[32]; /* SHA-256 of the elaborated model's text */
    const char *name, *target, *backend;
    bool f64; /* the double interpreter: every F32 buffer holds doubles */
    int64_t batch_max;

    uint64_t segment_bytes[HYP_SEG_COUNT];
    struct hyp_buffer *buffer;
    uint32_t nbuffer;
    struct hyp_kernel *kernel;
    uint32_t nkernel;
    struct hyp_entry *entry;
    uint32_t nentry;
    struct hyp_phase *phase;
    uint32_t nphase;
    uint32_t init_phase; /* initial weights and states */
    struct hyp_tensor *tensor;
    uint32_t ntensor;

    struct hyp_setting *setting;
    uint32_t nsetting;
    double *setting_value;
    uint32_t nsetting_value; /* defaults */
    struct hyp_named_counter *counter;
    uint32_t ncounter;
    struct hyp_sinst *sinst;
    uint32_t nsinst;             /* all host programs, slot = position */
    uint32_t control0, control1; /* the control program: batch sizes, when, times, epochs:
                                    slots [control0, control1) */
    struct hyp_param *param;
    uint32_t nparam;
    uint32_t ndraw; /* draw-step counters */

    struct hyp_source *source;
    uint32_t nsource;
    struct hyp_sched_stage *stage;
    uint32_t nstage;
    struct hyp_probe *probe;
    uint32_t nprobe;
    struct hyp_plateau *plateau;
    uint32_t nplateau;
    int32_t dream_phase; /* what `hypno dream` shows by default; -1: nothing */
    uint32_t dream_output;

    double compile_seconds;
    uint32_t compiled; /* kernels whose code had to be made: it was not in the cache */
    /*
     * Code of a phase is made when it is first wanted (scheduled phases and init at once,
     * probes later). Call before running phase p for the first time; cheap afterwards.
     * NULL: all is loaded.
     */
    enum hyp_status (*load_phase)(struct hyp_plan *, uint32_t p, struct hyp_error *err);
    /*
     * The same model with every node a kernel of its own, for naming the node of a bad
     * value: the same bits, phases, tensors, settings and draw counters in the same order.
     * It lives as long as this plan.  NULL, or answers NULL: it cannot be made.
     */
    struct hyp_plan *(*unfused)(struct hyp_plan *);
    void (*release)(struct hyp_plan *); /* frees code and arenas; NULL: static */
    void *release_cx;
};

#endif
