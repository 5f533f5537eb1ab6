/* Between the files of explain: what they say is gathered once (explain.c). */
#ifndef HYP_COMPILER_DRIVER_EXPLAIN_INTERNAL_H
#define HYP_COMPILER_DRIVER_EXPLAIN_INTERNAL_H

#include "compiler/driver/explain.h"
#include "compiler/driver/place.h"

enum { EX_WIDTH = 100, EX_PLACE = 256 };

struct ex {
    const struct compiled *c;
    const struct explain_options *o;
    const struct graph *g;
    struct arena *a;
    FILE *out;
    struct ex_phase *phase;
    uint32_t nphase; /* that are wanted */
    bool said[FUSE_WHY_COUNT];
    const struct prog_called *
        *called; /* by place: the name that was noted there; or NULL */
};
struct ex_kernel { /* one entry of a launch */
    uint32_t entry, kernel, launch;
    uint32_t group; /* of the phase's fusion; NO_GROUP: a copy */
    double seconds, moved, saved_seconds, saved_bytes;
};
struct ex_phase {
    uint32_t id; /* of the plan */
    const char *name;
    bool scheduled;
    const struct fusion *f;
    struct ex_kernel *kernel;
    uint32_t nkernel, nlaunch;
    uint32_t *of_group; /* by group: 1 + kernel */
    double seconds, saved_seconds, saved_bytes;
    uint32_t fused[FUSE_KIND_COUNT];
};
/* Refusals of one reason about one name of the model. */
struct ex_refusal {
    const struct fuse_decision **decision;
    uint32_t n;
    double most; /* seconds: over its evaluations, of each the largest */
};

/* The wanted phases. */
void ex_gather(struct ex *x);
/* Of p, largest first; those about `node` alone if it is not 0.  Lives in x->a. */
struct ex_refusal *ex_refusals(const struct ex *x, const struct ex_phase *p, uint32_t *n);
/* The kernel that computes the node, or that the first reader of an inlined one is in. */
const struct ex_kernel *ex_kernel_of(const struct ex_phase *p, node_id id);

/* "wake/h1" as people write it: "wake.h1". */
void ex_dotted(char text[EX_PLACE], const char *before, const char *name);
/* "gradient of D.z.f2" and ":22", "blocks.yaml:7" or "std/critics.yaml:7". */
void ex_name(const struct ex *x, place_id id, char text[EX_PLACE]);
void ex_line(const struct ex *x, place_id id, char text[EX_PLACE]);
/* The line in the user's own files, where there is one. */
const char *ex_file(const struct hyp_place *p, uint32_t *line);
const char *ex_time(char text[24], double seconds);
const char *ex_bytes(char text[24], double bytes);

/* Text that is wrapped at EX_WIDTH: further lines begin at `indent`. */
struct ex_flow {
    FILE *out;
    int col, indent;
    bool fresh; /* nothing printed since the line began */
};
void ex_flow_word(struct ex_flow *w, const char *text);
void ex_flow_text(struct ex_flow *w, const char *text); /* word by word */
void ex_flow_glue(struct ex_flow *w, const char *text); /* to the last word */
void ex_flow_end(struct ex_flow *w);
void ex_bold(const struct ex *x, const char *text);

/* explain_text.c */
/* Does it leave out what lies outside of images? */
bool ex_borders(const struct ex *x, const struct ex_kernel *k);
const char *ex_kind(const struct ex *x, const struct ex_phase *p,
                    const struct ex_kernel *k);
void ex_print_kernel(const struct ex *x, const struct ex_phase *p,
                     const struct ex_kernel *k);
/* Who packs what lies in this buffer of the plan, and for whom. */
void ex_print_packings(const struct ex *x, const struct ex_phase *p, uint32_t buffer);
void ex_print_phase(struct ex *x, const struct ex_phase *p, bool whole);
/* Those that were given so far. */
void ex_print_reasons(const struct ex *x);

#endif
