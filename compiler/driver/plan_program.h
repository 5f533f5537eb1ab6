/*
 * A phase program while it is built.  Files: plan_phase.c (roots, slots, tasks, memory),
 * plan_pack.c (packings of weights as tasks of their own), plan_emit.c (the plan's entries
 * and ops).
 */
#ifndef HYP_COMPILER_DRIVER_PLAN_PROGRAM_H
#define HYP_COMPILER_DRIVER_PLAN_PROGRAM_H

#include "compiler/driver/plan_internal.h"
#include "compiler/passes/memplan.h"

enum slot_kind { SLOT_STATE, SLOT_INPUT, SLOT_OUTPUT, SLOT_SCRATCH };
struct slot {
    uint8_t kind;
    uint32_t buffer; /* of the plan; scratch: assigned after planning */
    struct type type;
    uint32_t first, last; /* levels */
    value_id value;       /* scratch and output; 0: what is packed, or kept */
    bool packed;
    uint32_t life; /* in the arena: its number */
};
struct task { /* one kernel of the phase program */
    const struct lowered *low;
    struct scheduled *scheduled;
    const struct nest *nest; /* scheduled's */
    const uint32_t *slot;    /* of the nest's buffers but its private ones */
    uint32_t level;
    uint64_t *private_at; /* offsets of the nest's private buffers */
    uint64_t private_bytes;
    uint32_t interval;
    uint32_t step;  /* hyp_entry.step */
    uint32_t group; /* 1 + that of fusion; 0: a copy or packing */
};
struct phase_builder {
    struct builder *b;
    struct arena *scratch; /* of what the plan does not keep, kernels as lowered among it */
    struct fusion *f;
    uint32_t id;
    struct hyp_phase *phase;
    const struct hyp_phase *like; /* whose places for probes it shares; or NULL */
    struct slot *slot;
    uint32_t nslot, cslot;
    uint32_t *slot_of;                /* by base value: 1 + slot */
    struct hash_index leaves, params; /* slots by buffer; parameters by what they are */
    struct task *task;
    uint32_t ntask, ctask, nlevel;
    struct interval *life; /* in the arena: of scratch slots and private buffers */
    struct plan_life *what;
    uint32_t nlife;
    uint32_t cop, coutput, cinput;
};

/* plan_phase.c */
uint32_t program_add_slot(struct phase_builder *p, struct slot s);
/* A task of the nest, whose buffers but the private ones lie in these slots. */
struct task *program_add_task(struct phase_builder *p, const struct lowered *low,
                              struct scheduled *s, const uint32_t *slot, uint32_t level);
/* It runs this nest from now on. */
void program_set_nest(struct phase_builder *p, struct task *t, struct scheduled *s,
                      const uint32_t *slot);
/* Slots live from the first task that names them to the last. */
void program_touch(struct phase_builder *p);
bool program_in_arena(const struct slot *s); /* touched, and scratch */
/* Numbers of the tasks, by levels, in order within each. */
const uint32_t *program_by_level(const struct phase_builder *p);

/* plan_pack.c: before memory is planned */
void program_share_packs(struct phase_builder *p);

/* plan_emit.c */
void program_emit(struct phase_builder *p);
/* Of nests, all buffers but the private ones. */
static inline uint32_t program_nslot(const struct task *t)
{
    return t->nest->nbuf - t->nest->nprivate;
}

#endif
