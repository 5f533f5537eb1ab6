/* Status codes of the run side, from status.def. */
#ifndef HYP_RUNTIME_BASE_STATUS_H
#define HYP_RUNTIME_BASE_STATUS_H

enum hyp_status {
#define STATUS(name, code, text) name = code,
#include "runtime/base/status.def"
#undef STATUS
};

const char *hyp_strerror(enum hyp_status s); /* static text */

/*
 * Why a run-time call failed: a status and one line for people.  Owned by the caller,
 * passed first-failure-wins; functions that fail fill it once.
 */
struct hyp_error {
    enum hyp_status status;
    char text[512];
};

/* Record (if nothing is recorded yet) and return `s`. err may be NULL. */
enum hyp_status hyp_fail(struct hyp_error *err, enum hyp_status s, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#ifdef __clang_analyzer__ /* what it cannot see across files: the status comes back */
#define hyp_fail(err, s, ...) (hyp_fail(err, s, __VA_ARGS__), (s))
#endif

#endif
