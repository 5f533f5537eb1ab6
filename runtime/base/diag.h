/*
 * Source-located diagnostics: collected, ordered, and shown with the offending line.
 *
 * A function that returns false or NULL has already reported why; its caller adds a note
 * or cleans up, and never reports the same fault twice.
 */
#ifndef HYP_RUNTIME_BASE_DIAG_H
#define HYP_RUNTIME_BASE_DIAG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct arena;
struct diag_sink;

/* line and col from 1, col in code points (a tab is one); file 0 is "no location". */
struct loc {
    uint32_t file, line, col, len;
};

enum diag_severity { DIAG_ERROR, DIAG_WARNING, DIAG_RUNTIME };

enum diag_code {
#define DIAG(code, severity, text, help) code,
#include "runtime/base/diag.def" /* DIAG(E0301, ERROR, "shapes do not fit", "long text") */
#undef DIAG
    DIAG_COUNT
};

/* Lives in `a`.  After `limit` reports the rest are counted but not stored. */
struct diag_sink *diag_sink_new(struct arena *a, unsigned limit);

/* Register a source text for printing; both are copied.  Returns its file number, from 1.
 */
uint32_t diag_file(struct diag_sink *ds, const char *name, const char *text, size_t nbytes);
const char *diag_file_name(const struct diag_sink *ds, uint32_t file);

/* Report; diag_note() and diag_hint() attach to the last report.  All copy what they
 * format. */
void diag(struct diag_sink *ds, enum diag_code code, struct loc loc, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void diag_note(struct diag_sink *ds, struct loc loc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void diag_hint(struct diag_sink *ds, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

struct loc diag_place(const struct diag_sink *ds); /* of the last report; file 0: none */
unsigned
diag_errors(const struct diag_sink *ds); /* E and R reports so far, uncounted too */
unsigned diag_count(const struct diag_sink *ds);

struct diag_mark {
    unsigned nreport;
    unsigned nerror;
    unsigned dropped;
};
struct diag_mark diag_mark(const struct diag_sink *ds);        /* to speculate: */
void diag_rewind(struct diag_sink *ds, struct diag_mark mark); /* forget what came since */

/*
 * Print in source order (file, line, col; stable), with line, caret, notes and hint; what
 * was reported twice at one place, once.  Returns the number of errors shown or dropped.
 */
unsigned diag_print(const struct diag_sink *ds, FILE *out, bool colour);
/* One line a report, `E0301@7:12`, for golden tests. */
void diag_print_brief(const struct diag_sink *ds, FILE *out);

const char *diag_code_name(enum diag_code code); /* "E0301" */
const char *diag_code_text(enum diag_code code); /* the short text */
const char *diag_code_help(enum diag_code code); /* what `hypno explain` prints */
bool diag_code_find(const char *name, enum diag_code *out);

/*
 * The nearest of `n` names to `word` by edit distance, or NULL when none is near (at most a
 * third of the letters differ).  Used for "did you mean".
 */
const char *diag_nearest(const char *word, const char *const *names, unsigned n);

#endif
