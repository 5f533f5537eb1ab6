/*
 * A model file as read: mappings, lists and scalar texts, every one with its place.
 *
 * Scalars are text (YAML's types never apply).  A scalar remembers how its text maps back
 * to the file, so that a position inside an expression becomes file:line:col even where
 * YAML folded lines or resolved escapes.
 */
#ifndef HYP_COMPILER_FRONT_DOC_H
#define HYP_COMPILER_FRONT_DOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/diag.h"

struct arena;
struct expr;

enum doc_kind { DOC_SCALAR, DOC_LIST, DOC_MAP };

struct doc_mark { /* from byte `offset` of the text on, columns count from here by code
                     points */
    uint32_t offset, line, col;
};
struct doc_text { /* decoded text, and where each byte of it stands in the file */
    const char *text;
    uint32_t n;
    struct doc_mark *mark; /* ascending offsets */
    uint32_t nmark;
    uint32_t file;
};
struct doc {
    uint8_t kind;
    bool flow; /* written inside { } or [ ] */
    bool bad;  /* a mistake in it has been reported: say nothing more about it */
    struct loc loc;
    struct doc_text text;    /* DOC_SCALAR */
    struct doc_entry *entry; /* DOC_MAP; DOC_LIST with key.text NULL */
    uint32_t n, cap;
    struct doc *original; /* what an override replaced: the meaning of `original` in here */
    struct expr *expr;    /* cache of the parsed scalar */
    uint32_t *slot;       /* DOC_MAP: hash of keys, once there are many; see doc_find */
    uint32_t nslot;
};
struct doc_entry {
    struct doc_text key; /* as written; key lists and signatures: expr_parse_key */
    struct loc loc;
    struct doc *value;
};

/* The place of byte `offset` of a text, `len` bytes long. */
struct loc doc_at(const struct doc_text *t, uint32_t offset, uint32_t len);

/*
 * One YAML text by the rules of docs/language.md section 2.  `file` is its number in `ds`
 * (whose text is the raw one: byte order mark and CRLF are handled here).  NULL: it is not
 * YAML or over a limit (4 MiB, depth 64, 1,000,000 values), reported.  Other mistakes are
 * reported too, and the tree still comes back, so that one run finds all of them: ask
 * diag_errors().
 */
struct doc *doc_read(struct arena *a, struct diag_sink *ds, uint32_t file, const char *text,
                     size_t nbytes);
struct doc *doc_get(const struct doc *map,
                    const char *key); /* NULL: absent, or no mapping */
struct doc_entry *doc_find(const struct doc *map, const char *key);
bool doc_is_none(const struct doc *d); /* the word `none` */

/* Building, for elaboration. `loc` is the place the text is made for. */
struct doc *doc_scalar(struct arena *a, struct loc loc, const char *text);
struct doc *doc_map(struct arena *a, struct loc loc);
struct doc *doc_list(struct arena *a, struct loc loc);
/* An entry as it is: key text, marks and all. */
void doc_push(struct arena *a, struct doc *to, struct doc_entry entry);
void doc_add(struct arena *a, struct doc *to, const char *key, struct loc loc,
             struct doc *value);

/* The same keys, items and scalar texts; places do not count. */
bool doc_equal(const struct doc *a, const struct doc *b);

/* YAML that doc_read reads back equal. */
char *doc_print(const struct doc *d, struct arena *a);

#endif
