/*
 * Data sources: find the files, load a whole set, and hand out batches in a pass's order.
 *
 * Every sample has fields: `image`, `label`, a column of a table.  A field reaches the
 * model as f32 or i32; images stay u8 in memory and are turned into f32 while a batch is
 * written.
 *
 * What u8 images become (value v, channel c), computed in double and rounded to float once:
 *     low + (high - low) * (v / 255)        with `scale`; [0, 1] gives exactly (float)(v /
 * 255.0) (v / 255 - mean[c]) / std[c]          with `mean` and `std` f32 fields of rank 1
 * and more are stored as [0, 1] and go through the same two formulas; numbers (rank 0) and
 * i32 fields are never scaled.
 *
 * Which samples, in this order: `split` or a part, `take`, `keep`, `per_class`.  Parts are
 * cut from the permutation of all samples by the words of site `parts/KIND` (KIND and not
 * the entry's name, so that the entries that share `parts` are disjoint), draw step 0, with
 * the parts' own seed; the cuts are at n times the sum of shares, rounded; a part keeps
 * file order.
 *
 * Pass p with order `random`: for i = n-1 down to 1 the places i and mulhi(w_i, i + 1) are
 * swapped, w_i being the word of element i at site `data/NAME`, draw step p, sample 0.
 *
 * Errors: HYP_EMISSING (which file, where it was looked for), HYP_EFORMAT (file, offset,
 * expected, found), HYP_EUNSUPPORTED (a source that is not built yet), HYP_EARG (the entry
 * asks for what the source lacks), HYP_EIO, HYP_ENOMEM.
 */
#ifndef HYP_RUNTIME_DATA_H
#define HYP_RUNTIME_DATA_H

#include <stddef.h>

#include "runtime/base/status.h"
#include "runtime/source.h"

enum { DATA_MAX_RANK = 8, DATA_NAME_SIZE = 64 };

enum data_dtype { DATA_F32, DATA_I32 };

struct data_field {
    char name[DATA_NAME_SIZE];
    enum data_dtype dtype;
    bool image;                        /* u8 in memory, [channels, height, width] */
    uint32_t rank, dim[DATA_MAX_RANK]; /* of one sample */
};

/* Known without reading the samples; for fixed kinds without any file. */
struct data_info {
    uint32_t nfield;
    struct data_field *field; /* owned */
};

/* The rows of data.def, for help texts and "did you mean". */
struct data_kind {
    const char *name, *splits, *doc;
    bool built; /* false: HYP_EUNSUPPORTED */
};
extern const struct data_kind data_kinds[];
extern const unsigned data_nkind;

/* order file, last keep, scale [0, 1], everything else off. */
void hyp_source_defaults(struct hyp_source_desc *d);

/* Number of elements of one sample's field. */
size_t data_field_size(const struct data_field *f);

/* Fields and shapes.  Files are looked for in DIR/KIND and DIR for every DIR of `dirs`. */
enum hyp_status data_probe(const struct hyp_source_desc *d, const char *const *dirs,
                           unsigned ndirs, struct data_info *out, struct hyp_error *err);
void data_info_fini(struct data_info *info);

struct data_src;

/*
 * A condition over fields, asked once when everything up to `take` is applied: set keep[i]
 * to 0 for the samples of `src` (in file order, through data_batch) that are to go.
 */
struct data_keep {
    enum hyp_status (*fn)(void *cx, const struct data_src *src, uint8_t *keep,
                          struct hyp_error *err);
    void *cx;
};

/* Load.  `keep` may be NULL.  The source is then in file order; the descriptor's strings
 * are needed until data_close(). */
enum hyp_status data_open(const struct hyp_source_desc *d, const char *const *dirs,
                          unsigned ndirs, const struct data_keep *keep,
                          struct data_src **out, struct hyp_error *err);
void data_close(struct data_src *s); /* NULL is fine */

/*
 * Load the samples of n sources by a thread of its own, for data_open_loaded(); the
 * strings are needed until data_ahead_free(), which waits.  NULL, where there is nothing to
 * load or no thread, is fine everywhere.
 */
struct data_ahead;
struct data_ahead *data_ahead_new(const struct hyp_source_desc *d, uint32_t n,
                                  const char *const *dirs, unsigned ndirs);
void data_ahead_free(struct data_ahead *a);
/* data_open(), with samples loaded ahead if these are the source's. */
enum hyp_status data_open_loaded(const struct hyp_source_desc *d, const char *const *dirs,
                                 unsigned ndirs, const struct data_keep *keep,
                                 struct data_ahead *ahead, struct data_src **out,
                                 struct hyp_error *err);

uint32_t data_count(const struct data_src *s); /* samples of one pass */
/* Batches of one pass: the last is short (keep) or left out (drop). */
uint32_t data_batches(const struct data_src *s);
const struct data_info *data_fields(const struct data_src *s);
int data_field_find(const struct data_info *info, const char *name); /* -1: none */
/* Labels are 0 .. classes - 1; 0 where there is no field `label`. */
uint32_t data_classes(const struct data_src *s);
/* A folder's name, or NULL where classes have none. */
const char *data_class_name(const struct data_src *s, uint32_t c);
/* One line about the files, as how many of several there are; "" where there is nothing
 * to say. */
const char *data_note(const struct data_src *s);
/* The selected samples' numbers in the whole source, in file order (parts are recorded). */
const uint32_t *data_rows(const struct data_src *s);

/* Order for pass p; one thread, no batch being read.  Nothing happens where order is
 * `file`. */
void data_set_pass(struct data_src *s, uint64_t pass, uint64_t seed);

/*
 * Write samples first .. first + count - 1 of the pass, float or int32_t by the field's
 * dtype. Never allocates.  Threads may call it at the same time.
 */
void data_batch(const struct data_src *s, unsigned field, uint32_t first, uint32_t count,
                void *out);

/* The same in file order, whatever the pass. */
void data_batch_file(const struct data_src *s, unsigned field, uint32_t first,
                     uint32_t count, void *out);

/*
 * Kind `given`: samples that are in memory already, with the fields `x` and `label`. Either
 * the first field and the labels of another source (which must outlive this one; its scale
 * counts), or n rows of `width` floats with their labels (borrowed).
 */
struct data_given {
    const struct data_src *of;
    const float *x;
    const int32_t *label;
    uint32_t n, width;
};
enum hyp_status data_give(const struct hyp_source_desc *d, const struct data_given *g,
                          struct data_src **out, struct hyp_error *err);

#endif
