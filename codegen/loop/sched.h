/*
 * Inside the scheduler: a kernel is simplified, cut into groups, and every group becomes
 * one stage of the nest (two with packing).  Files: phase.c, simplify.c, number.c, group.c,
 * group_across.c (cut.h), schedule.c (driver, expressions, places of values),
 * sched_index.c, sched_map.c (columns and points), sched_row.c, sched_row_fold.c,
 * sched_contract.c (tiles of a product: sched_tile.h, sched_sum.c, sched_draw.c,
 * sched_epilogue.c), sched_fetch.c, convolutions (sched_panel.h: sched_box.c,
 * sched_image.c, sched_window.c; sched_border.h: sched_border.c, sched_turn.c),
 * sched_choose.c, sched_pack.c, sched_strip.c, sched_chunk.c, sched_scatter.c, split.c,
 * build.c (statements).
 */
#ifndef HYP_CODEGEN_LOOP_SCHED_H
#define HYP_CODEGEN_LOOP_SCHED_H

#include "codegen/loop/index.h"
#include "codegen/loop/loop.h"
#include "runtime/base/arena.h"

/*
 * A copy with axes of extent 1 gone, neighbours that are always walked together merged into
 * one, and sums of nothing turned into maps.  Axis numbers stay; merged and dropped ones
 * are unused.  With `digits` two may be one of which maps read digits.
 */
struct kernel *kernel_simplify(const struct kernel *k, bool digits, struct arena *a);

/* Pieces that differ by constants become one with an axis more; k itself if there are none.
 */
const struct kernel *kernel_phases(const struct kernel *k, struct arena *a);

/*
 * The axis as two, the inner one of `by` elements (a divisor); NULL where a stage sums over
 * it, or asks for its number.
 */
const struct kernel *kernel_split(const struct kernel *k, unsigned axis, int32_t by,
                                  struct arena *a);

/* ---- groups ---- */

enum { SCHED_CHEAP = 12 }; /* a map is computed again by each of its readers */

enum role {
    ROLE_ANCHOR,  /* a sum walked by register tiles, over the group's space */
    ROLE_POINT,   /* a map over rows and columns */
    ROLE_ROWMAP,  /* a map over rows */
    ROLE_UNITMAP, /* a map of neither */
    ROLE_ROWSUM,  /* sum by lanes or fold over the columns, kept for rows */
    ROLE_COLSUM,  /* sum in chunks over the rows, kept for columns: its partials */
    ROLE_COMBINE, /* adds up the partials of a chunked sum */
    ROLE_FOLD,    /* a fold over windows, for rows and columns */
    ROLE_SCATTER  /* a group of its own */
};
/* Chunked sums are two items: the partials of each segment, and what combines them. */
enum item_part { PART_ALL, PART_PARTIAL, PART_COMBINE };
struct item {
    uint16_t stage, seg;
    uint8_t part, role;
    uint8_t pass;  /* POINT, COLSUM: which walk over the row; ROWMAP, ROWSUM: level of the
                      value */
    int32_t group; /* -1: not yet */
    bool needed_later; /* another pass or group reads it */
};
static inline bool sched_is_row_value(const struct item *it)
{
    return it->role == ROLE_ROWMAP || it->role == ROLE_ROWSUM;
}
struct group {
    int row, col; /* kernel axes, -1: none */
    uint8_t nouter, outer[LOOP_AXES];
    bool chunked; /* anchors are partials of a chunked sum: one unit a block */
    bool rowsum, colsum, scatter;
    bool across; /* rows lie side by side: they are the lanes, columns are walked one by one
                  */
    /* A convolution (sched_window.c): box, the last of the axes that only one factor walks
     * (number `image`, by segment), makes the lanes of a panel, its first axis in blocks;
     * col is its last. */
    bool window, batch; /* batch: box[0] is the batch, and a unit is a block of it */
    uint8_t image[8], nbox, box[LOOP_AXES];
    uint8_t phase; /* 1 + the innermost axis, which both factors walk; 0: none */
    /* Its lanes are box[0] alone (col is no part of it), and what lies outside of the image
     * is left out (sched_border.c).  place: the axes that a unit walks, the last ones of
     * the result, phase included. */
    bool border;
    uint8_t nplace, place[LOOP_AXES];
    int32_t pitch[8], step[8]; /* of what is packed, by segment */
    uint8_t split; /* 1 + an axis that is better two, the inner one of split_by */
    int32_t split_by;
    int32_t block, nr; /* nr: lanes of a panel */
    double used;       /* the share of them that is not idle */
    uint8_t npass;     /* walks over a row */
    uint32_t *item;    /* indices, in order */
    uint32_t nitem, nanchor;
};
/* The axis whose elements are the lanes of a vector; -1: none. */
static inline int group_lanes(const struct group *g)
{
    return g->across ? g->row : g->col;
}
struct groups {
    struct item *item;
    uint32_t nitem;
    struct group *group;
    uint32_t ngroup;
    bool *inlined; /* by stage: evaluated where it is read */
};
void sched_group(const struct kernel *k, const struct target *t, struct arena *a,
                 struct groups *out);
/* Does the stage, or a map inlined into it, read a buffer that the kernel also writes? */
bool stage_is_pinned(const struct kernel *k, uint32_t stage);

bool sched_has_axis(const uint8_t *list, unsigned n, int axis);
/* Of a number so small that it may be the phase of a stride. */
bool sched_is_phase(struct ext e);
/* Of operand `i`, or of a store: those come after the operands. */
static inline const struct index *kstage_index(const struct kstage *s, uint32_t i)
{
    return i < s->noperand ? &s->operand[i].index : &s->store[i - s->noperand].index;
}

/* ---- emission ---- */

enum home_kind { HOME_NONE, HOME_TILE, HOME_BUF };
struct home { /* where a stage's value can be read now */
    uint8_t kind;
    uint16_t id;
    struct index index; /* TILE: over nest axes; BUF: over kernel axes */
};
struct open_body {
    struct stmt *stmt;
    uint32_t cap;
};
/* A range of columns: [lo, lo+len) clipped to the axis; len 0: all of it, else a multiple
 * of width, as is lo: vectors do not end with the range. */
struct cols {
    struct index lo;
    int32_t len;
    int32_t width; /* lanes of the main loop */
    int32_t limit; /* > 0: pretend the axis ends here */
    bool lanes;    /* `lane` must be known: tails come as constants */
};
/* What a walk over rows asks of memory while it computes something else. */
enum fetch {
    FETCH_NOTHING,
    FETCH_ROW, /* the next row: this one is walked again; or the rows after those side by
                  side */
    FETCH_ON   /* what the walk comes to in a while */
};
struct sched {
    struct arena *arena;   /* of the nest */
    struct arena *scratch; /* of all else: gone when the nest is made */
    const struct kernel *k;
    const struct target *t;
    struct nest *n;
    struct groups gs;
    const struct group *g;
    struct index at[LOOP_AXES]; /* kernel axes in nest axes, here */
    struct home *home;          /* by stage */
    uint16_t (*partial)[8];     /* by stage and segment: buffer of its partials */
    struct open_body open[64];
    unsigned depth;
    uint8_t naxis; /* open loops */
    uint32_t cap_buf, cap_tile, cap_stage, cap_rng;
    uint8_t fetch; /* enum fetch */
    bool late;     /* epilogues run with the sums of the tiles that follow */
    bool scalar;   /* digits of axes are taken: no tiles, no lanes */
    int32_t rows;  /* rows of a block: of a unit, or a unit has `tall` of them */
    int32_t tall;
    struct index row0;  /* first row of the unit, or of those side by side */
    struct index unit;  /* number of the block of rows, or of the block of a chunked sum */
    int32_t ncb;        /* blocks of columns */
    int32_t panels;     /* units that the panels of a convolution make; 1: one has all */
    int32_t per_unit;   /* panels of a unit that sums the batch by blocks; else 1 */
    struct index panel; /* number of the unit's panel, or first of these */
    struct cols cols;   /* the unit's columns */
    struct item_tiles *tiles; /* by item */
    struct pack *packs;
    int32_t pack_nr;      /* columns of a panel */
    int32_t pack_mr;      /* rows of a block of packed rows */
    uint16_t *export_buf; /* by stage: 1 + private buffer that other groups read */
};
enum {
    BLOCK_LANES = 8, /* of a vector in a block of packed rows, at most */
    TALL = 8         /* blocks of rows of a tall unit, which has one panel */
};
enum pack_kind { PACK_NONE, PACK_PANELS, PACK_BLOCKS, PACK_ROWS, PACK_CHUNK };
struct pack { /* by stage, segment (8 each) and factor */
    uint8_t kind;
    bool depends_on_col;
    bool in_tile;              /* panels: each unit packs its own, into a STACK tile */
    uint16_t buf;              /* or 1 + tile */
    const struct group *group; /* that packed it */
    int32_t axis, width; /* what it is packed along; columns of a panel, rows of a block */
    uint8_t nshared,
        shared[LOOP_AXES]; /* of blocks: axes that have each blocks of their own */
};
struct tile_point {
    struct index base, lane; /* column = base + lane */
    int32_t width;
    struct index
        block; /* first row of the block that holds the row, where rows are packed */
};
struct item_tiles {
    uint16_t acc;   /* 1 + tile: anchor accumulator, lane partials, column sums */
    uint16_t drawn; /* 1 + tile: what a tile of the sum draws, while its epilogue is made */
    uint16_t stack; /* 1 + tile: values kept for a later walk */
    uint16_t copy;  /* 1 + tile: what becomes of an anchor's accumulators */
};

/* build.c */
struct stmt *nb_for(struct sched *s, enum for_kind kind, struct index lo, struct index hi,
                    int32_t step); /* opened: what follows is its body */
void nb_close(struct sched *s);
struct stmt *nb_stmt(struct sched *s, enum stmt_op op);
void nb_guard(struct sched *s, struct stmt *f, struct index index, struct ext bound);
uint16_t nb_tile(struct sched *s, const char *name, enum tile_space space, uint8_t dtype,
                 int32_t rows, int32_t cols, bool zero); /* comes to life here */
uint16_t nb_private(struct sched *s, const char *name, uint8_t dtype, const struct ext *dim,
                    uint8_t rank, int32_t div);
/* times * ceil(units / div) of them */
void nb_stage(struct sched *s, struct ext units, int32_t div, int32_t times);
void nb_end_stage(struct sched *s);
sx_id nb_load_tile(struct sched *s, struct stmt *st, uint16_t tile, struct index index);
sx_id nb_load_buf(struct sched *s, struct stmt *st, uint16_t buf, struct index index,
                  const struct guard *guard, uint8_t nguard);
sx_id nb_load(struct sched *s, struct stmt *st, const struct nload *l);
struct stmt *nb_set_tile(struct sched *s, uint16_t tile, struct index index);
struct stmt *nb_set_buf(struct sched *s, uint16_t buf, struct index index);

/* sched_index.c: an index over kernel axes, where the walk stands */
struct index sched_index(const struct sched *s, const struct index *x);

/* expr.c: an expression of a kernel stage at s->at, its operands loaded by `st` */
sx_id sched_expr(struct sched *s, struct stmt *st, const struct kstage *stage, sx_id e);
/* The number that an index is: no batch in it. */
sx_id sched_number(struct sched *s, const struct index *x);
/* 1 + the load of the statement that reads a stage's operand. */
uint16_t sched_operand(struct sched *s, struct stmt *st, const struct kstage *stage,
                       uint32_t operand);
void sched_store(struct sched *s, const struct kstage *stage,
                 struct stmt *like); /* all stores */
uint8_t
sched_bind(struct sched *s,
           unsigned axis); /* digits: give the axis a loop of its own; opened loops */

/*
 * sched_map.c: calls fn for vectors of `width` columns from `base`; lane is base mod 16 if
 * `lanes` asks for it and it is constant, else -1.
 */
typedef void cols_fn(struct sched *s, void *cx, struct index base, int32_t width,
                     int32_t lane);
void sched_cols(struct sched *s, const struct cols *c, unsigned axis, cols_fn *fn,
                void *cx);
/* The largest of width, width / 2, ... that fits what is left. */
static inline int32_t sched_fit(int32_t width, int32_t left)
{
    while (width > left)
        width /= 2;
    return width;
}
/* Loops over a list of axes; returns how many were opened. */
unsigned sched_loops(struct sched *s, const uint8_t *axis, unsigned n);
void sched_close(struct sched *s, unsigned n);

/* Primitives of the group's maps. */
uint32_t sched_maps_cost(const struct sched *s);
/* Lanes of them that are walked at once: LANES, two vectors where a processor would not
 * come to the second before the first is done, or four of draws, a counter of which gives
 * four numbers. */
enum { LANES = 16 };
int32_t sched_map_lanes(const struct sched *s);

/* Where a walk stands. */
struct walk {
    uint8_t pass;
    bool replay;           /* values of this pass are in tiles: only sums are walked */
    struct index tile_row; /* of the anchors' tiles */
    int32_t tile_width;
    struct index tile_lane; /* lane of the tile that `base` is */
    bool no_sums;           /* sums along and across rows are walked elsewhere */
    bool reg_colsum;        /* column sums are in registers, one a lane */
    /* Lanes are places: each of these axes is `first` and a digit of their number, which
     * moves through the anchors' tiles by `step`. */
    unsigned ndigit;
    struct walk_digit {
        uint8_t axis;
        int32_t div, mod, step;
        struct index first;
    } digit[LOOP_AXES];
};
void sched_points(struct sched *s, const struct walk *w, struct index base, int32_t width,
                  int32_t lane);
/* A value that was just computed: its stores, and the copies that others read. */
void sched_deliver(struct sched *s, struct item *it, struct index value);
sx_id sched_value_of(struct sched *s, struct stmt *st, uint32_t stage);

/* sched_row.c */
void sched_row_values(struct sched *s, unsigned level);
void sched_unit_values(struct sched *s);
void sched_stack_tiles(struct sched *s);       /* of values kept from walk to walk */
void sched_rows(struct sched *s, bool replay); /* every row of the unit, all its walks */
/* Elements of rows side by side that are walked at once: one value of them is a quarter of
 * L2. */
static inline int32_t sched_most_across(const struct target *t)
{
    return t->l2 / 16;
}
/* Rows side by side that are walked at once, at most. */
int32_t sched_rows_across(const struct sched *s);
struct index sched_row_at(const struct sched *s); /* the row's number among them */
void sched_row_homes(struct sched *s);            /* where values of rows are to be found */

/* sched_row_fold.c: afterwards the stage's home is a scalar */
void sched_row_fold(struct sched *s, struct item *it);

/* sched_contract.c */
void sched_panels(struct sched *s); /* panels of columns outside, rows inside */
/* Is the epilogue of a tile best computed while the next one is summed? */
bool sched_is_late(const struct sched *s);
struct tile_shape {
    int32_t mr, nr;
};
struct tile_shape sched_tile_shape(const struct sched *s);

/*
 * sched_fetch.c: the loops of a sum over one axis that also fetch what the tile (mr rows
 * from `row`, `width` columns from `base`) will be met with; 0: there is nothing to fetch.
 */
unsigned sched_fetching_loop(struct sched *s, uint8_t axis, struct index row,
                             struct index base, int32_t mr, int32_t width);
/* Row `number` of it alone. */
void sched_fetch_row(struct sched *s, struct index number, struct index row,
                     struct index base, int32_t mr, int32_t width);
/* A factor's line of `width` elements some steps along the sum (its axis is `red`). */
void sched_fetch_factor(struct sched *s, const struct kstage *k, sx_id factor, uint8_t red,
                        int32_t width);
/* A panel's lines that the sum, over one axis, comes to some steps later. */
void sched_fetch_panel(struct sched *s, const struct item *it, uint32_t seg, unsigned which,
                       const struct tile_point *t, int32_t width);
/*
 * The loops over a segment's reduced axes but the first, that also fetch the factor's
 * elements there for the tile after this one (mr rows from `row`), if they come line by
 * line.
 */
unsigned sched_fetching_rows(struct sched *s, const struct kstage *k, const struct kseg *g,
                             unsigned which, struct index row, int32_t mr);
/* In a walk that asks for it: what the operand, now at `here`, will read some time later.
 */
void sched_fetch_ahead(struct sched *s, const struct koperand *p, const struct index *here);

/* sched_choose.c: what is packed.  Tall: a unit has many rows and one packed panel.  In
 * units: each packs it itself, into a tile; asked when s->tall is set. */
void sched_choose_packs(struct sched *s);
bool sched_is_tall(const struct sched *s);
bool sched_packs_in_units(const struct sched *s);
bool sched_packs(const struct sched *s);         /* anything? */
bool sched_packs_columns(const struct sched *s); /* all factors of columns are in panels */
struct ext sched_size_of_k(const struct sched *s, const struct kseg *g);
/* Are columns packed even where they lie side by side? */
bool sched_worth_panels(const struct sched *s, const struct kstage *k,
                        const struct kseg *g);
/* The index of a factor that is one load, nothing computed, nothing guarded; or NULL. */
const struct index *sched_plain_load(const struct sched *s, const struct kstage *k,
                                     sx_id e);

/* sched_pack.c: makes packing stages for the group's sums, or what a unit packs for itself;
 * factors are then read from there */
void sched_pack(struct sched *s);
void sched_pack_unit(struct sched *s, struct index panel);
sx_id sched_factor(struct sched *s, struct stmt *st, const struct item *it, uint32_t seg,
                   unsigned which, const struct tile_point *t);
/* Where it is in a panel. */
struct nload sched_panel_load(const struct sched *s, const struct item *it, uint32_t seg,
                              unsigned which, const struct tile_point *t);

/* Is the factor in blocks of rows? Then it can be read by the number k alone. */
bool sched_in_blocks(const struct sched *s, const struct item *it, uint32_t seg,
                     unsigned which);
sx_id sched_block(struct sched *s, struct stmt *st, const struct item *it, uint32_t seg,
                  unsigned which, struct index first, struct index k);

/* sched_chunk.c: what a unit's block of rows computes of its chunk, before their columns;
 * a factor of the sum that reads it */
void sched_pack_chunk(struct sched *s);
/* Along a chunked sum's first axis runs a block of it: opened. */
unsigned sched_chunk_loop(struct sched *s, const struct item *it, uint8_t axis);
sx_id sched_chunk_factor(struct sched *s, struct stmt *st, const struct item *it,
                         uint32_t seg, unsigned which);

/* sched_strip.c: what lies along the sum in rows of memory, packed across these rows */
struct strips {
    const struct kstage *k;
    sx_id factor;  /* of it: a plain load */
    uint8_t along; /* the last axis of the sum: its element is the number in the row */
    unsigned axis; /* whose elements are the rows; from `first` on */
    struct index first;
    int32_t rows, wide,
        length; /* turned at once: rows, and elements of each; of `length` */
    struct stmt *(*set)(struct sched *s, void *cx, struct index lane); /* of that row */
    void *cx;
};
void sched_strips(struct sched *s, const struct strips *t);
/*
 * How many of the last reduced axes a load walks as one row of memory, and its length; 0:
 * too short for a strip, or elements of the axis lie side by side already.
 */
unsigned sched_run(const struct sched *s, const struct kstage *k, const struct kseg *g,
                   sx_id factor, unsigned axis, int32_t *length);

/* sched_fold.c: folds whose places are lanes */
bool sched_is_window_fold(const struct kernel *k, const struct kstage *s);
void sched_fold(struct sched *s, struct item *it, struct index base, int32_t width);
/* x, a zero as +0: what a fold gives does not depend on which of two zeros came first. */
sx_id sched_plus_zero(struct sxb *b, sx_id x);

/* sched_chunk.c */
void sched_colsum_tiles(struct sched *s, int32_t width, enum tile_space space);
/* reg: the first lane of `base` in the sums' register tiles; -1: they are in stack tiles */
void sched_colsum_store(struct sched *s, struct index base, int32_t width, int32_t reg);
void sched_partial_store(struct sched *s, struct item *it, struct index value);
void sched_combine(struct sched *s, struct item *it, struct index base, int32_t width);

bool sched_has_window(const struct groups *gs); /* is one of them a convolution? */
/* sched_index.c: are digits of axes taken? Where they are not of lanes, everything is
 * walked one element at a time. */
bool sched_has_digits(const struct kernel *k);
/* The kernel as it is walked, and its groups: with digits of lanes where that helps. */
void sched_simplify(struct sched *s, const struct kernel *k);
/* A stage's values as a dense buffer of its space */
struct index sched_row_major(const struct kernel *k, const struct kstage *st);

/* sched_draw.c: what is drawn for each place of a sum becomes a stage of its own; all of it
 * or nothing: it has to be of the walk that reads it */
void sched_draws_apart(struct sched *s);

/* sched_box.c: the axes that an expression of a stage walks, through inlined maps, are
 * added to the set; false: data choose one */
bool sched_factor_axes(const struct kernel *k, const bool *inlined, const struct kstage *s,
                       sx_id e, uint32_t *set);

/* sched_box.c: is the sum a convolution? Then the group's axes. */
bool window_open(const struct kernel *k, const bool *inlined, const struct target *t,
                 struct group *g, const struct kstage *s, uint32_t first, uint32_t nseg);
/* The group, opened as a convolution, as one without what lies outside of the image:
 * out->used is the share of lanes that are not idle in the other schedule. */
bool border_open(const struct kernel *k, const struct target *t, const struct kstage *s,
                 uint32_t first, uint32_t nseg, const uint8_t *col, unsigned ncol,
                 struct group *out);
void sched_window(struct sched *s);
/* Rows of its tiles. */
int32_t sched_window_rows(const struct sched *s);

/* sched_scatter.c: a unit owns its columns (and outer axes) of the destination */
void sched_scatter(struct sched *s);

#define EACH_ITEM(s, i, it)                                                                \
    for (uint32_t i = 0; i < (s)->g->nitem; i++)                                           \
        for (struct item *it = &(s)->gs.item[(s)->g->item[i]]; it; it = NULL)

#endif
