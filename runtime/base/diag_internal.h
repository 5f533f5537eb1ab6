/* What diag.c collects and diag_print.c shows. */
#ifndef HYP_RUNTIME_BASE_DIAG_INTERNAL_H
#define HYP_RUNTIME_BASE_DIAG_INTERNAL_H

#include "runtime/base/diag.h"

struct diag_source {
    const char *name, *text;
    size_t nbytes;
};

struct diag_remark { /* a note; a hint has no location */
    struct loc loc;
    const char *text;
    struct diag_remark *next;
};

struct diag_report {
    enum diag_code code;
    struct loc loc;
    const char *text;
    struct diag_remark *note, **last_note;
    struct diag_remark *hint, **last_hint;
};

struct diag_sink {
    struct arena *arena;
    unsigned limit, nreport, nerror, dropped;
    uint32_t cap, nfile, file_cap;
    struct diag_report **report; /* pointers, so that the tails stay valid when it grows */
    struct diag_source *file;    /* number - 1 */
    struct diag_report *last;    /* takes notes and hints; NULL if it was not stored */
};

struct diag_info {
    const char *name, *text, *help;
    enum diag_severity severity;
};
const struct diag_info *diag_code_info(enum diag_code code);

#endif
