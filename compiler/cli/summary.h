/* What a run came to, for people or as JSON, last on standard output. */
#ifndef HYP_COMPILER_CLI_SUMMARY_H
#define HYP_COMPILER_CLI_SUMMARY_H

#include <stdbool.h>

#include "runtime/train.h"

/* Probes and losses as a table. */
void summary_values(const struct hyp_summary *s);
void summary_text(const struct hyp_summary *s, const char *run);
bool summary_json(const struct hyp_summary *s); /* false: out of memory */

#endif
