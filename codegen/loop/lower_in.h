/*
 * Inside lowering: what the files share.  lower.c (groups, buffers, maps, copies),
 * lower_form.c (forms and folds), lower_choose.c (gathers and scatters).
 *
 * A group that holds a window (a form whose output dims combine axes) is lowered piece by
 * piece: form_solve() cuts its output into parts whose elements have axes of their own, and
 * all members of the group are lowered once for each part.  So a dim of the group's space
 * is not an axis but an index over axes: "2a+1" for the odd rows.
 */
#ifndef HYP_CODEGEN_LOOP_LOWER_IN_H
#define HYP_CODEGEN_LOOP_LOWER_IN_H

#include "codegen/loop/index.h"
#include "codegen/loop/lower.h"

struct arena;

struct lower {
    const struct fusion *f;
    const struct graph *g;
    struct arena *a;
    struct diag_sink *ds;
    storage_fn *slot;
    void *cx;
    struct lowered *out;
    struct kernel *k;
    const struct group *group;
    uint32_t cbuf, cscalar, crng, cstage, cplace, cslot, cvalue;
    uint16_t *stage_of;          /* by value: 1 + stage, of this piece */
    struct index main[HYP_RANK]; /* the group's dims over kernel axes; 0 for extent 1 */
    bool taken[LOOP_AXES];       /* by this piece; pieces share axes of one extent */
    node_id window;              /* what is lowered in pieces; 0: nothing */
    const struct form_piece *piece;
    bool failed;
};

static inline bool is_one(struct ext e)
{
    return e.c == 1 && e.b == 0;
}
static inline struct ext ext_scale(struct ext e, int32_t by)
{
    return (struct ext){e.c * by, e.b * by};
}

/* Row-major strides; a stride is a product, of which at most one factor may hold B. */
void lower_strides(struct lower *l, const struct ext *dim, unsigned rank, struct ext *out);
/* An axis of this extent that the piece has not got yet. */
struct index lower_axis(struct lower *l, struct ext extent);
/* Where every dim of a member's value stands; nothing for extents of 1. */
void lower_value_at(const struct lower *l, const struct type *t, struct index at[HYP_RANK]);
struct kstage *lower_stage(struct lower *l, const struct node *n, uint8_t op);
void lower_space(struct lower *l, struct kstage *s, const struct type *t);
/* The stage that made value v, if it is in this group and lines up; -1 otherwise. */
int lower_made(const struct lower *l, value_id v);
uint32_t lower_add_operand(struct lower *l, struct kstage *s, struct koperand o);
/* Load of value v where its dim i is at[i]. */
struct koperand lower_load(struct lower *l, value_id v, const struct index *at);
uint16_t lower_buffer(struct lower *l, value_id v);
uint16_t lower_scalar(struct lower *l, struct binding b);
void lower_guard(struct lower *l, struct koperand *o, struct index ix, struct ext bound);
uint8_t lower_type(const struct lower *l, value_id v); /* enum sx_type */
/* The last stage is value v: stored if others read it. */
void lower_finish(struct lower *l, value_id v);
bool lower_refuse(struct lower *l, const struct node *n, const char *what);

/* lower_form.c, lower_choose.c: false: refused or failed */
bool lower_form(struct lower *l, const struct node *n);
bool lower_fold(struct lower *l, const struct node *n);
bool lower_gather(struct lower *l, const struct node *n);
bool lower_scatter(struct lower *l, const struct node *n);
/* The group's form that needs pieces; 0: none.  Its pieces are cut into l->main by
 * lower_piece(). */
node_id lower_find_window(const struct lower *l);
void lower_piece(struct lower *l, const struct form_piece *piece);

#endif
