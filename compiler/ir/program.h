/*
 * A program: what the front end hands on.  The graph, and everything about a model that is
 * not a tensor: settings, sources, weights, phases with their update steps, optimizers,
 * schedule, probes.
 *
 * Host scalars (learning rates, conditions of the schedule, ...) are rank-0 values of the
 * graph's host region over SETTING and COUNTER leaves; the runtime evaluates them in
 * double.
 */
#ifndef HYP_COMPILER_IR_PROGRAM_H
#define HYP_COMPILER_IR_PROGRAM_H

#include "compiler/ir/graph.h"

struct prog_setting {
    const char *name, *about;
    double *value; /* n > 1 or is_list: a list */
    uint32_t n;
    bool is_list, has_range;
    double lo, hi;
    struct loc loc;
};

/* A data entry. Keys as in language.md section 10; the runtime's table says which kinds
 * exist. */
struct prog_field {
    const char *name;
    struct type type; /* a sample type */
    bool used;
};
struct prog_source {
    const char *name, *kind, *split, *file;
    const char *parts; /* JSON text of `parts`, or NULL */
    uint64_t parts_seed;
    int64_t take_from, take_to; /* -1: absent */
    int64_t per_class;          /* 0: absent */
    int32_t resize[2];          /* height, width; 0: as stored */
    double scale_lo, scale_hi;  /* 0, 1 */
    uint32_t nmean;
    double mean[4], std[4];
    bool random, drop_last;
    bool
        ordered; /* the file says how: else what no schedule reads stays in its own order */
    value_id batch;    /* host scalar */
    int64_t batch_max; /* upper end of the batch setting's range, for memory planning */
    value_id keep;     /* bool sample value over this source's fields; 0: all */
    region_id keep_region;
    struct prog_field *field;
    uint32_t nfield;
    bool scheduled; /* read by a scheduled phase */
    bool used;      /* by anything */
    struct loc loc;
};

enum opt_rule { OPT_SGD, OPT_ADAM, OPT_ADAMW, OPT_RMSPROP };
struct prog_optimizer {
    const char *group;
    enum opt_rule rule;
    value_id lr, beta1, beta2, eps, momentum, decay,
        weight_decay; /* host scalars, 0: absent */
    bool amsgrad, missing_zero, clip_max, has_bounds;
    value_id clip, low, high; /* 0: none */
    int plateau;              /* index into program.plateau, or -1 */
    struct loc loc;
};
struct prog_plateau {
    const char *watch; /* probe name */
    bool goal_max;
    value_id factor, patience;
    const char *counter; /* COUNTER leaf that holds the multiplier now, 1 at first */
};

struct prog_weight { /* weights and model states, in order of first use */
    const char *path;
    leaf_id leaf;
    bool fixed, state, per_sample;
    int optimizer; /* index, or -1 */
    struct loc loc;
};

struct prog_update {    /* one entry of a step: groups: loss */
    const char *groups; /* as written: "up, down" */
    const char *name;   /* for reports: "compare.loss.D", or "wake.q, p" */
    value_id loss;
    leaf_id *leaf; /* version 0 weights of the groups, not the fixed and frozen */
    uint32_t nleaf;
    bool rests; /* all of them are frozen: only its loss is evaluated */
    struct loc loc;
};
struct prog_step {
    struct prog_update *update;
    uint32_t nupdate;
};
/* The phase's updates while a stage freezes some of its groups. */
struct prog_variant {
    const char *name; /* the groups, for people */
    leaf_id *frozen;  /* weights that rest, in the order of the program's weights */
    uint32_t nfrozen;
};
struct prog_phase {
    const char *name;
    region_id region;
    struct prog_step *step;
    uint32_t nstep;
    value_id *hold; /* values of held nodes */
    uint32_t nhold;
    struct prog_variant *variant; /* beside the whole program */
    uint32_t nvariant, cvariant;
    bool scheduled;
    const char **source; /* data entries it reads */
    uint32_t nsource;
    struct loc loc;
};

struct prog_entry {       /* of a cycle */
    bool repeat;          /* a list of entries instead of a phase */
    uint32_t phase;       /* index */
    uint32_t variant;     /* of the phase, from 1; 0: nothing of it is frozen */
    value_id times, when; /* host scalars; 0: once, always */
    struct prog_entry *entry;
    uint32_t nentry;
};
struct prog_named {
    const char *name;
    const char *of;   /* the probe whose value it is first; NULL: its own */
    uint32_t element; /* of a list setting */
    value_id value;
    region_id region;
};
struct prog_stage {
    struct prog_entry *entry;
    uint32_t nentry;
    value_id epochs, cycles; /* host scalars; 0: absent */
    const char *over;        /* source that counts an epoch, or NULL */
    value_id until;          /* over COUNTER leaves "probe/NAME"; 0: none */
    struct prog_named *set;  /* settings for its duration */
    uint32_t nset;
    struct loc loc;
};

enum probe_kind { PROBE_VALUE, PROBE_IMAGE, PROBE_METRIC };
enum probe_every { EVERY_EPOCH, EVERY_CYCLES, EVERY_END, EVERY_LIST };
struct prog_param {
    const char
        *name; /* "bins", "range.0", "shape.1", "grid.0", "units", "samples", "controls" */
    const char *text; /* words; NULL for a number */
    double number;
};
struct prog_probe {
    const char *name, *metric; /* metric: row of the runtime's metric table */
    const char *model;         /* of the library, that the metric trains; or NULL */
    const char *base, *over; /* of a repetition: the probe's name and, where it is one, that
                                of what changes; else NULL */
    double *at;              /* its values in all repetitions */
    uint32_t run, runs;      /* which repetition, of how many; runs 0: there is one */
    enum probe_kind kind;
    enum probe_every every;
    uint32_t period;         /* EVERY_CYCLES, EVERY_EPOCH: so many */
    uint32_t *epoch, nepoch; /* EVERY_LIST */
    const char *from;        /* source, or NULL: the cycle just run */
    bool training;
    struct prog_named
        *value; /* "value" "image" "beside" "of" "of.1" "labels" ...; names of the
                   between-phases of pattern_overlap: "of.wake.0" ... as of[phase][layer] */
    uint32_t nvalue;
    const char **item; /* where the value is a list: its items, as written */
    uint32_t nitem;
    struct prog_param *param;
    uint32_t nparam;
    struct prog_named *set; /* settings for its duration */
    uint32_t nset;
    struct loc loc;
};

struct prog_remat { /* a choice that remat had: a value that gradients and later steps need
                     */
    region_id region;
    place_id place;
    bool recomputed;             /* else kept */
    double keeping, recomputing; /* seconds; of it alone, its operands not counted */
    double bytes;
};

enum called_fate {
    CALLED_HERE,     /* value is what it is */
    CALLED_UNREAD,   /* nothing that runs needs it: dropped */
    CALLED_ABSORBED, /* it became part of the expressions that read it */
};
struct prog_called {  /* a name of the model, and the value it is in the graph by now */
    const char *name; /* "wake/h1", "D.z.f2": once for every evaluation */
    place_id place;
    region_id region;
    value_id value; /* 0: none any more; keeps nothing alive */
    uint8_t fate;
};

struct program {
    struct arena *arena;
    struct graph graph;
    const char *name, *about;
    bool fast;         /* numerics */
    int64_t batch_max; /* of what reads no source: upper end of the setting `batch` */
    region_id host, init;
    struct prog_setting *setting;
    uint32_t nsetting, csetting;
    struct prog_source *source;
    uint32_t nsource, csource;
    struct prog_weight *weight;
    uint32_t nweight, cweight;
    struct prog_optimizer *optimizer;
    uint32_t noptimizer, coptimizer;
    struct prog_plateau *plateau;
    uint32_t nplateau, cplateau;
    struct prog_phase *phase;
    uint32_t nphase, cphase;
    struct prog_stage *stage;
    uint32_t nstage, cstage;
    struct prog_probe *probe;
    uint32_t nprobe, cprobe;
    /* What `hypno dream` may ask for beyond the probes: "x.sleep" in an evaluation region.
     */
    struct prog_named *node;
    uint32_t nnode, cnode;
    struct prog_remat *remat;
    uint32_t nremat, cremat;
    struct prog_called *called;
    uint32_t ncalled, ccalled;
};

/* Only for a probe: not part of a phase without its probes. */
bool root_is_probe(const struct root *r);
int64_t program_batch_max(const struct program *p); /* what memory and prices are for */

/* Every place where the program names a value of its graph (0 included). */
typedef void program_value_fn(void *cx, value_id *v);
void program_each_value(struct program *p, program_value_fn *fn, void *cx);
/* graph_rebuild() for the whole program: what it names stays alive and is renamed. */
bool program_rebuild(struct program *p, rebuild_fn *fn, void *cx);

#endif
