/* Inside of the data layer: what a loader fills, and how it finds files. */
#ifndef HYP_RUNTIME_DATA_IMPL_H
#define HYP_RUNTIME_DATA_IMPL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/data.h"

/* No file of a data set may be larger (unpacked). */
#define DATA_FILE_LIMIT ((size_t)4 << 30)

enum { DATA_PATH_SIZE = 4096 };

struct data_where {
    const struct hyp_source_desc *desc;
    const char *const *dirs;
    unsigned ndirs;
};

enum data_storage { STORE_U8, STORE_F32, STORE_I32, STORE_DRAWN };

/* Draw the pixels of sample k; threads may do so at the same time. */
enum { DATA_DRAWN_MAX = 3072 };
typedef void data_draw_fn(unsigned split, uint32_t k, uint8_t *pixels);

/* All samples of one field, one after the other. */
struct data_column {
    enum data_storage storage;
    void *block;         /* owned */
    void *values;        /* u8, float or int32_t, in the block */
    atomic_uchar *state; /* STORE_DRAWN: 0 not drawn, 1 being drawn, 2 there */
    data_draw_fn *draw;  /* STORE_DRAWN, and its split: 0 training, 1 test */
    unsigned split;
};

struct data_set {
    struct data_info info;
    struct data_column *column; /* info.nfield of them */
    uint32_t n;                 /* samples stored */
    char **class_name;          /* NULL, or `nclass` owned strings */
    uint32_t nclass;
    char note[64]; /* about the files, for people; or "" */
    bool borrowed; /* columns and class names belong to another set */
};

/* ---- an open source ---- */

/* u8 to f32, one table for each channel. */
struct pixel_table {
    float of[256];
};

struct data_src {
    struct hyp_source_desc desc;
    struct data_set set;
    uint32_t n;
    uint32_t *row;   /* the selected samples, in file order */
    uint32_t *order; /* of this pass: indices into row */
    uint64_t site;
    unsigned npixel;
    struct pixel_table *pixel; /* npixel of them; 1 where all channels are alike */
};

/* In data.c: without samples yet; samples 0 .. n - 1, in order; the order of the file. */
enum hyp_status data_src_new(const struct hyp_source_desc *d, struct data_src **out,
                             struct hyp_error *err);
enum hyp_status data_all_rows(struct data_src *s, uint32_t n, struct hyp_error *err);
void data_order_reset(struct data_src *s);
/* Labels 0 .. nclass - 1; a column that holds anything else has no classes. */
void data_count_classes(struct data_src *s);
/* In data_batch.c: do scale, mean and std fit the fields; the tables of pixels. */
enum hyp_status data_check_scale(const struct data_src *s, struct hyp_error *err);
enum hyp_status data_make_pixels(struct data_src *s, struct hyp_error *err);

/* ---- loaders ---- */

typedef enum hyp_status data_open_fn(const struct data_where *w, struct data_set *out,
                                     struct hyp_error *err);
typedef enum hyp_status data_fields_fn(const struct data_where *w, struct data_info *out,
                                       struct hyp_error *err);

/* By the row of data.def that the descriptor names. */
enum hyp_status data_load(const struct data_where *w, struct data_set *out,
                          struct hyp_error *err);
/* What was loaded for an equal descriptor, now the caller's; false: nothing.  Waits. */
bool data_ahead_take(struct data_ahead *a, const struct hyp_source_desc *d,
                     struct data_set *out);

/* One opener and one prober per built row of data.def; on failure the caller frees `out`.
 */
data_open_fn mnist_open, cifar_open, svhn_open, drawn_open, mnist1d_open, npy_open,
    csv_open, folder_open, given_open;
data_fields_fn mnist_fields, cifar_fields, svhn_fields, drawn_fields, mnist1d_fields,
    npy_fields, csv_fields, folder_fields, given_fields;

/* Fields filled in by name; dims end at the first 0. */
enum hyp_status data_add_field(struct data_info *info, const char *name,
                               enum data_dtype dtype, bool image, const uint32_t *dim,
                               struct hyp_error *err);
/* The fields of labelled pictures: image [channels, side, side] and label; the descriptor's
 * split is checked. */
enum hyp_status data_image_fields(const struct data_where *w, uint32_t channels,
                                  uint32_t side, struct data_info *info,
                                  struct hyp_error *err);
/* Columns for the fields of out->info, zeroed. */
enum hyp_status data_add_columns(struct data_set *out, struct hyp_error *err);
/* Room for n samples of field f in its storage; overflow is HYP_ENOMEM. */
enum hyp_status data_room(struct data_set *out, unsigned f, enum data_storage storage,
                          uint32_t n, struct hyp_error *err);
/* Name class c of the nclass there are; the first name makes room for all. */
enum hyp_status data_name_class(struct data_set *out, uint32_t c, const char *name,
                                struct hyp_error *err);
void data_set_fini(struct data_set *s);

/*
 * Find `name`, name.gz or name.xz in DIR/KIND and DIR for each DIR; HYP_EMISSING names the
 * places.  data_find_dir() does the same for a folder.
 */
enum hyp_status data_find(const struct data_where *w, const char *name,
                          char path[DATA_PATH_SIZE], struct hyp_error *err);
enum hyp_status data_find_dir(const struct data_where *w, const char *name,
                              char path[DATA_PATH_SIZE], struct hyp_error *err);
/* Is the descriptor's split (a word) one of the two; *test says which.  HYP_EARG otherwise.
 */
enum hyp_status data_train_test(const struct hyp_source_desc *d, bool *test,
                                struct hyp_error *err);
/* A path that does not fit is HYP_EARG. */
enum hyp_status data_join(char out[DATA_PATH_SIZE], const char *dir, const char *name,
                          struct hyp_error *err);

/* Names in a folder, sorted bytewise, those that begin with a dot left out. */
struct data_names {
    char **name; /* owned */
    uint32_t n, cap;
};
enum hyp_status data_list(const char *dir, struct data_names *out, struct hyp_error *err);
void data_names_fini(struct data_names *names);

/* Damage in the text of a file, for fuzz targets too: parsers of bytes in memory. */
struct idx_array {
    uint32_t rank, dim[3];
    const uint8_t *data; /* into the bytes parsed */
    size_t nbytes;
};
/* IDX of unsigned bytes with the given rank (1 to 3). */
enum hyp_status idx_parse(const uint8_t *bytes, size_t n, const char *file, uint32_t rank,
                          struct idx_array *out, struct hyp_error *err);

/* CIFAR-10's records: whole, and with labels 0 to 9; *count of them. */
enum hyp_status cifar_parse(const uint8_t *bytes, size_t n, const char *file,
                            uint32_t *count, struct hyp_error *err);

/* SVHN's X and y into the two columns of image and label; `limit` as mat_find() has it. */
enum hyp_status svhn_parse(const uint8_t *bytes, size_t n, const char *file, size_t limit,
                           struct data_set *out, struct hyp_error *err);

struct csv_table {
    uint32_t ncolumn, nrow;
    char (*name)[DATA_NAME_SIZE]; /* owned, ncolumn of them */
    float *value;                 /* owned, [ncolumn][nrow] */
};
/* With header_only only names are filled. */
enum hyp_status csv_parse(const uint8_t *bytes, size_t n, const char *file,
                          bool header_only, struct csv_table *out, struct hyp_error *err);
void csv_fini(struct csv_table *t);

#endif
