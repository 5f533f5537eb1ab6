/*
 * A panel of a convolution: sched_box.c says what is one and chooses its lanes,
 * sched_image.c packs what its second factor reads, sched_window.c walks tiles of rows over
 * that; sched_border.c and sched_turn.c do so where the image's border is left out.
 */
#ifndef HYP_CODEGEN_LOOP_SCHED_PANEL_H
#define HYP_CODEGEN_LOOP_SCHED_PANEL_H

#include "codegen/loop/sched.h"

struct panel {
    struct item *it;
    const struct kstage *k;
    const struct kseg *seg;
    uint32_t nseg; /* number of the segment */
    int32_t mr, nr, rows;
    int32_t inner;            /* product of the reduced axes but the first */
    int32_t step;             /* of the first reduced axis, to a block of k */
    uint16_t packed, results; /* STACK [step * inner][nr] (at borders: of what is read), and
                                 [places * rows, or mr][nr] */
    bool whole; /* all of k fits a block: a tile is done when it is laid down */
    int32_t phases;
    int32_t places; /* that a unit has results of: phases, or more (sched_border.c) */
    struct index base_row; /* of the results: where the phase's or the panel's begin */
    struct index first;    /* of box[0] */
    struct index k0;       /* the first reduced axis at the block's begin */
};
static inline int32_t panel_extent(const struct sched *s, int axis)
{
    return s->k->axis[axis].c;
}

/* Lane number of the box at the current point: row-major, box[0] from its block's first. */
struct lanes {
    struct index at;
    unsigned opened;
};
/* Loops over all of the box but its last axis. */
struct lanes panel_box_loops(struct sched *s, const struct panel *p);
/* Lanes of the box's last axis: how many, and what the first one's number is. */
int32_t panel_last_lanes(const struct sched *s);
struct index panel_last_first(const struct sched *s, const struct panel *p);
/* The first lane of that box. */
struct index panel_lane(const struct sched *s, struct index box);
/* Does a panel reach beyond the image, or the batch? */
bool panel_is_cut(const struct sched *s);
/* The first reduced axis, within the block: opened. */
unsigned panel_first_loop(struct sched *s, const struct panel *p);
/* k within the block, where all the reduced axes have their loops. */
struct index panel_k(const struct sched *s, const struct panel *p);
/* Packs a block of k for all lanes. */
void panel_pack(struct sched *s, const struct panel *p);

/*
 * sched_turn.c: panels whose lanes are box[0] alone.  What is packed is the part of the
 * image that the unit's places read, as [first reduced axis][element][lane].
 */
int32_t border_depth(const struct sched *s,
                     const struct panel *p);  /* elements of a block */
int32_t border_places(const struct sched *s); /* places of a unit */
void border_pack(struct sched *s, const struct panel *p);
/* Loops over the places: base_row is where a place's results begin. */
unsigned border_place_loops(struct sched *s, struct panel *p);
/* The taps of a place that are inside of the image; *k: which of the packed elements they
 * read. */
unsigned border_k_loops(struct sched *s, const struct panel *p, struct index *k);
/* What follows the sums. */
void border_finish(struct sched *s, const struct panel *p);

#endif
