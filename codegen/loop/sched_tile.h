/*
 * Register tiles of a contraction: sched_sum.c sums them, sched_draw.c and
 * sched_epilogue.c have what follows, sched_contract.c walks a panel of columns in them.
 */
#ifndef HYP_CODEGEN_LOOP_SCHED_TILE_H
#define HYP_CODEGEN_LOOP_SCHED_TILE_H

#include "codegen/loop/sched.h"

struct tile_at {
    struct index row;  /* first row */
    struct index base; /* first column */
    int32_t mr, width;
    int32_t panel;           /* lanes of the packed panel that it is of */
    bool guarded;            /* rows may end inside the tile */
    const struct late *late; /* NULL: what follows is computed when the sum is there */
};

/*
 * A tile whose epilogue is computed while the next tile is summed, a row with every few
 * elements of the sum: roots and quotients take no time of the sum's multiplications.
 */
struct late {
    struct ext end; /* rows before which a tile begins */
    int32_t valid;
    bool guarded; /* the last tile has rows that do not exist */
};

/* ---- sched_sum.c ---- */
/* The accumulators of every anchor, summed over all segments. */
void tile_sum(struct sched *s, const struct tile_at *t);
/* After it, of a late tile: rows of the tile before that a short sum had no time for. */
void tile_late_rest(struct sched *s, const struct tile_at *t);
/* Opens what runs where there is a tile (else it is the one after the last). */
unsigned tile_if_there(struct sched *s, const struct tile_at *t);
/* The first sum of the group. */
const struct item *tile_first_anchor(const struct sched *s);

/* ---- sched_draw.c ---- */
/* What the tile draws goes to tiles in memory, which the epilogue reads; and no more. */
void tile_draw(struct sched *s, const struct tile_at *t);
void tile_drawn(struct sched *s);

/* ---- sched_epilogue.c ---- */
/* Are the epilogue's maps worth a copy of the tile in memory, over whose rows they loop? */
bool tile_is_copied(const struct sched *s, int32_t mr);
void tile_make_copies(struct sched *s, const struct tile_at *t);
/* The tile goes to its copies, from their row `row` on. */
void tile_copy(struct sched *s, const struct tile_at *t, struct index row);
/* What follows the sum, over the first `valid` columns: of all rows of the copies that
 * exist, of row `number` of them, or of the accumulators themselves. */
void tile_copied_epilogue(struct sched *s, const struct tile_at *t, int32_t valid);
void tile_copied_row(struct sched *s, const struct tile_at *t, struct index number,
                     int32_t valid);
void tile_epilogue(struct sched *s, const struct tile_at *t, int32_t valid);

#endif
