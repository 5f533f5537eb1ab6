/* Between the files of the driver. */
#ifndef HYP_COMPILER_DRIVER_COMPILE_INTERNAL_H
#define HYP_COMPILER_DRIVER_COMPILE_INTERNAL_H

#include "compiler/driver/compile.h"

/* The models of metrics that learn, nested in c's plan.  False: reported. */
bool compile_metrics(struct compiled *c, const struct compile_options *o);

#endif
