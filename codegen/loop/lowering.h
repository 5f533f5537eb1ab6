/*
 * Inside lowering.  Files: lower.c (a group, member by member), lower_stage.c (axes,
 * buffers, scalars, stages), lower_map.c (maps, and maps computed where they are read),
 * lower_form.c (sums of products, sums, folds), lower_piece.c (windows),
 * lower_choose.c (elements by index).
 *
 * A group that holds a window (a form whose output dims combine axes) is lowered piece by
 * piece: form_solve() cuts its output into parts whose elements have axes of their own, and
 * all members of the group are lowered once for each part.  So a dim of the group's space
 * is not an axis but an index over axes: "2a+1" for the odd rows.
 */
#ifndef HYP_CODEGEN_LOOP_LOWERING_H
#define HYP_CODEGEN_LOOP_LOWERING_H

#include "codegen/loop/index.h"
#include "codegen/loop/lower.h"
#include "runtime/base/arena.h"
#include "runtime/base/hash.h"

struct lower {
    const struct fusion *f;
    const struct graph *g;
    struct arena *a, *scratch; /* of the kernel; gone when it is done */
    struct diag_sink *ds;
    storage_fn *slot;
    void *cx;
    struct lowered *out;
    struct kernel *k;
    const struct group *group;
    uint32_t cbuf, cscalar, crng, cstage, cplace, cslot, cvalue;
    struct hash_index stage_of; /* by value: stage, of this piece */
    struct inlined *inlined;    /* stages of maps that are computed where they are read */
    uint32_t ninlined, cinlined;
    struct index main[HYP_RANK]; /* the group's dims over kernel axes; 0 for extent 1 */
    uint8_t taken[LOOP_AXES];    /* by axis: its place in the piece's order; 0: not in it */
    uint8_t ntaken;              /* pieces share axes of one extent */
    struct reduced *reduced;     /* axes that are summed */
    uint32_t nreduced, creduced;
    node_id window; /* what is lowered in pieces; 0: nothing */
    const struct form_piece *piece;
    bool failed;
};

/* Every axis of a form's box over kernel axes. */
struct box {
    struct index at[HYP_AXES];
    bool known[HYP_AXES];
    struct koperand holes; /* guards: where they fail no term reaches the output */
};
struct reduced { /* products of the group walk their chains together: link by link */
    unsigned link, place;
    uint8_t axis;
};
/* What a window reads: the value where all guards hold, and 0 elsewhere. */
struct inside {
    const struct guard *guard;
    uint8_t n;
};
struct inlined {
    const struct node *node;
    const struct index *at; /* where the map's dims are for this stage */
    struct inside inside;
    bool zero; /* it is 0 outside */
    uint32_t stage;
};

/* lower_stage.c */
void low_strides(struct lower *l, const struct ext *dim, unsigned rank, struct ext *out);
/* An axis of this extent that the piece has not got yet. */
enum low_axis { LOW_SPACE, LOW_SUM };
struct index low_axis(struct lower *l, struct ext extent, enum low_axis use);
/* The axes of l->main, in the order of its dims, come before all others. */
void low_order_axes(struct lower *l);
/* Where every dim of a member's value stands; 0 for extents of 1. */
void low_value_at(const struct lower *l, const struct type *t, struct index at[HYP_RANK]);
static inline bool low_is_one(struct ext e)
{
    return e.c == 1 && e.b == 0;
}
uint16_t low_buffer(struct lower *l, value_id v);
uint16_t low_scalar(struct lower *l, struct binding b);
uint32_t low_draw(struct lower *l, uint32_t site, int8_t batch_axis);
sx_id low_host(struct lower *l, value_id v);
uint8_t low_sx_type(const struct lower *l, value_id v);

/* A new last stage; what it reads and stores; finished, it stands for value v. */
struct kstage *low_new_stage(struct lower *l, const struct node *n, uint8_t op);
void low_space(struct lower *l, struct kstage *s, const struct type *t,
               const struct index *at);
void low_space_of(struct lower *l, struct kstage *s, const struct index *ix);
uint32_t low_add_operand(struct lower *l, struct kstage *s, struct koperand o);
/* Load of value v where its dim i is at[i]. */
struct koperand low_load(struct lower *l, value_id v, const struct index *at);
struct index low_address(struct lower *l, const struct type *t, const struct index *at);
sx_id low_use_stage(struct lower *l, struct kstage *s, value_id v, uint32_t stage);
int low_made(const struct lower *l, value_id v);
void low_add_store(struct lower *l, struct kstage *s, value_id v);
void low_add_place(struct lower *l, place_id place);
void low_finish(struct lower *l, value_id v);
bool low_refuse(struct lower *l, const struct node *n, const char *what);

/* lower_map.c */
void low_map(struct lower *l, const struct node *n);
/* The map that value v is inlined from; NULL: it lies somewhere. */
const struct node *low_inlined(const struct lower *l, value_id v);
/* The stage that computes it where its dims are there, and gives 0 where that is outside.
 */
uint32_t low_inline(struct lower *l, const struct node *n, const struct index *at,
                    struct inside inside);

/* lower_form.c */
bool low_form(struct lower *l, const struct node *n);
bool low_fold(struct lower *l, const struct node *n);
void low_add_guard(struct lower *l, struct koperand *o, struct index ix, struct ext bound);
/* Does the index surely stay in 0..extent-1? */
bool low_stays_inside(const struct lower *l, const struct index *ix, struct ext extent);

/* lower_piece.c */
/* The group's form that needs pieces; 0: none. */
node_id low_find_window(const struct lower *l);
/* Has each output dim of the piece axes of its own: they become the group's. */
void low_piece(struct lower *l, const struct form_piece *piece);
/* The box of the piece over these axes. */
void low_piece_box(struct lower *l, const struct node *n, struct box *box);

/* lower_choose.c */
bool low_gather(struct lower *l, const struct node *n);
bool low_scatter(struct lower *l, const struct node *n);

#endif
