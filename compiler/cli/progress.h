/*
 * What a run says while it runs, on standard error: on a terminal one line that is drawn
 * again, else a plain line at every epoch's end and every half minute.
 */
#ifndef HYP_COMPILER_CLI_PROGRESS_H
#define HYP_COMPILER_CLI_PROGRESS_H

#include <stdbool.h>

#include "runtime/train.h"

struct progress {
    bool quiet, terminal;
    bool drawn;  /* a line stands on the terminal, without its end */
    double last; /* when it was drawn */
};
void progress_init(struct progress *p, bool quiet);
void progress_end(struct progress *p); /* leaves the cursor on a new line */
/* hyp_run_callbacks; cx is the struct progress. */
void progress_cycle(void *cx, const struct hyp_progress *now);
void progress_message(void *cx, enum hyp_message kind, const char *text);

#endif
