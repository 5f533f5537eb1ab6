/* How long honest work takes on this machine, now: what a hostile file may cost is a
 * multiple of it, so that a slow or busy machine fails no test, and a slow algorithm does.
 */
#ifndef HYP_TESTS_UNIT_YARDSTICK_H
#define HYP_TESTS_UNIT_YARDSTICK_H

/* Seconds of processor time. */
double seconds_now(void);
/* To read a correct file of 4 MiB, the most that is taken: 838,860 short values. Measured
 * once. */
double seconds_to_read(void);

#endif
