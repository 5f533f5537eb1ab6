#ifndef HYP_COMPILER_CLI_OPS_MANUAL_H
#define HYP_COMPILER_CLI_OPS_MANUAL_H

#include <stdio.h>

void ops_manual(FILE *out); /* docs/ops.md */

#endif
