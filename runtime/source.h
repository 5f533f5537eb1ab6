/*
 * What one entry of a model's `data:` says, as plain data: the plan carries it, the data
 * layer (data.h) opens it.  Strings are borrowed.
 */
#ifndef HYP_RUNTIME_SOURCE_H
#define HYP_RUNTIME_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

enum { SOURCE_MAX_PARTS = 16, SOURCE_MAX_CHANNELS = 16 };

struct hyp_source_part {
    const char *name;
    double share; /* of all samples; the shares sum to at most 1 */
};

struct hyp_source_desc {
    const char *name; /* the entry's name: `digits` of `digits.image` */
    const char *kind; /* a row of data.def */
    const char
        *split; /* "train", "test", a part's name; NULL: the first, or all there is */
    const char
        *file; /* csv: the file; npy, folder: a folder below the data folder; or NULL */
    uint32_t resize[2]; /* height, width; 0: as stored */
    uint32_t take[2];   /* [from, to) of the split; to = 0: all */
    uint32_t size;      /* given: elements of one sample's x */
    uint32_t per_class; /* the first so many of each label; 0: all */
    double scale[2];    /* what the stored range [0, 1] becomes */
    uint32_t nmean;     /* channels given in mean and std; 0: `scale` applies */
    double mean[SOURCE_MAX_CHANNELS], std[SOURCE_MAX_CHANNELS];
    bool random;    /* order: random | file */
    bool drop_last; /* last: drop | keep */
    uint32_t batch;
    uint32_t npart;
    struct hyp_source_part part[SOURCE_MAX_PARTS];
    uint64_t parts_seed;
};

#endif
