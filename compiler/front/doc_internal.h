/* What doc_read.c asks of doc_text.c: the file as lines, and where a scalar's bytes stand
 * in it. */
#ifndef HYP_COMPILER_FRONT_DOC_INTERNAL_H
#define HYP_COMPILER_FRONT_DOC_INTERNAL_H

#include <yaml.h>

#include "compiler/front/doc.h"

/* A file after the byte order mark is gone and CRLF has become LF: lines and columns are as
 * before. */
struct doc_source {
    const char *text;
    uint32_t n;
    const uint32_t *line; /* where each line begins; one more entry, n, at the end */
    uint32_t nline, file;
    struct { /* the place asked for last: a file of one line is read from left to right */
        size_t line, column;
        uint32_t at;
    } * last;
};

/* False: reported (not UTF-8, control characters, other line ends, over 4 MiB). */
bool doc_source_open(struct arena *a, struct diag_sink *ds, uint32_t file, const char *text,
                     size_t nbytes, struct doc_source *out);
/* The byte of a libyaml mark. */
uint32_t doc_source_offset(const struct doc_source *s, const yaml_mark_t *mark);
struct loc doc_source_loc(const struct doc_source *s, const yaml_mark_t *from,
                          const yaml_mark_t *to);
/* The text of a scalar event, with marks. */
struct doc_text doc_source_text(struct arena *a, const struct doc_source *s,
                                const yaml_event_t *scalar);

#endif
