/* How many processors this process may run on: at least 1. */
#ifndef HYP_BASE_PROCESSORS_H
#define HYP_BASE_PROCESSORS_H

unsigned hyp_processors(void);

#endif
