/*
 * A plan filled in by hand: y = w . (a, b) + noise, learnt by gradient descent with
 * momentum from a table of three columns.  Its stages are C functions, so the runtime is
 * tested alone.
 */
#ifndef HYP_TESTS_UNIT_TINY_PLAN_H
#define HYP_TESTS_UNIT_TINY_PLAN_H

#include "runtime/plan.h"

enum { TINY_SAMPLES = 23, TINY_BATCH = 5, TINY_DREAM_BATCH = 8 };

enum tiny_phase {
    TINY_INIT,
    TINY_LEARN,        /* scheduled */
    TINY_LEARN_PROBED, /* its twin: gives the mean prediction too */
    TINY_ERROR,        /* evaluation over `table`: mean squared error */
    TINY_DREAM,        /* evaluation without data: 4 numbers a sample */
    TINY_PHASES
};
enum tiny_probe {
    TINY_P_MEAN,
    TINY_P_ERROR,
    TINY_P_DREAMS,
    TINY_P_LAST,
    TINY_P_LIST,
    TINY_PROBES
};

/* What the test may change before a run; everything else is as after tiny_reset(). */
extern struct hyp_plan tiny;
extern struct hyp_sched_stage tiny_stage[2];
extern struct hyp_sched_entry tiny_entry[2], tiny_inner[1];
extern struct hyp_source tiny_source[1];
extern struct hyp_probe tiny_probe[TINY_PROBES];
extern double tiny_setting[4]; /* batch, lr, epochs, cycles */

/* Slots of the host program. */
enum tiny_slot {
    TINY_S_BATCH,
    TINY_S_LR,
    TINY_S_EPOCHS,
    TINY_S_CYCLES,
    TINY_S_T,
    TINY_S_STEP,
    TINY_S_THREE,
    TINY_S_ODD,
    TINY_S_TWO,
    TINY_S_COUNT
};

/* What the stages saw. */
struct tiny_log {
    int64_t cycles;      /* runs of learn */
    int64_t batch[4096]; /* of each */
    float first[4096];   /* column a of its first sample */
    int64_t samples;
    int64_t poison;    /* samples seen after which w becomes infinite; 0: never */
    int64_t kill;      /* run in which the process kills itself */
    int64_t interrupt; /* run in which it gets SIGINT */
    int64_t errors, interrupt_error; /* evaluations of error, and the one that gets it */
    uint64_t allocations[4096];      /* made before that run */
};
extern struct tiny_log tiny_log;

void tiny_reset(void);
/* The table, as FOLDER/tiny.csv. */
void tiny_write_table(const char *folder);

#endif
