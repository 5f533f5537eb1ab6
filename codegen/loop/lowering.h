/*
 * Inside lowering.  Files: lower.c (a group, member by member), lower_stage.c (axes,
 * buffers, scalars, stages), lower_map.c (maps, and maps computed where they are read),
 * lower_form.c (sums of products, sums, folds), lower_choose.c
 * (elements by index).
 */
#ifndef HYP_CODEGEN_LOOP_LOWERING_H
#define HYP_CODEGEN_LOOP_LOWERING_H

#include "codegen/loop/lower.h"
#include "runtime/base/arena.h"

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
    uint16_t *stage_of;      /* by value: 1 + stage */
    struct inlined *inlined; /* stages of maps that are computed where they are read */
    uint32_t ninlined, cinlined;
    int8_t main_axis[HYP_RANK]; /* kernel axis of the group's dims; -1: extent 1 */
    struct reduced *reduced;    /* axes that are summed */
    uint32_t nreduced, creduced;
    bool failed;
};

struct reduced { /* products of the group walk their chains together: link by link */
    unsigned link, place;
    int8_t axis;
};
struct inlined {
    const struct node *node;
    int8_t axis[HYP_RANK]; /* of the map's dims, where this stage has them */
    uint32_t stage;
};

/* lower_stage.c: indices are sorted by axis */
void low_index_add(struct lower *l, struct index *ix, uint8_t axis, struct ext coef);
struct ext low_ext_scale(struct ext e, int32_t by);
void low_strides(struct lower *l, const struct ext *dim, unsigned rank, struct ext *out);
int8_t low_new_axis(struct lower *l, struct ext extent, char name);
void low_value_axes(const struct lower *l, const struct type *t, int8_t axis[HYP_RANK]);
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
void low_space(struct kstage *s, const struct type *t, const int8_t *axis);
uint32_t low_add_operand(struct lower *l, struct kstage *s, struct koperand o);
struct koperand low_load(struct lower *l, value_id v, const int8_t *axis);
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
/* The stage that computes it where its dims have these axes. */
uint32_t low_inline(struct lower *l, const struct node *n, const int8_t *axis);

/* lower_form.c */
bool low_form(struct lower *l, const struct node *n);
bool low_fold(struct lower *l, const struct node *n);
void low_add_guard(struct lower *l, struct koperand *o, struct index ix, struct ext bound);

/* lower_choose.c */
bool low_gather(struct lower *l, const struct node *n);
bool low_scatter(struct lower *l, const struct node *n);

#endif
