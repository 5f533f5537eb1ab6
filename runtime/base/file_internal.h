/* Shared by the file_*.c: the failure hook and system errors. */
#ifndef HYP_RUNTIME_BASE_FILE_INTERNAL_H
#define HYP_RUNTIME_BASE_FILE_INTERNAL_H

#include "runtime/base/file.h"

/* Counts one operation; false, with errno EIO, when it is to fail. */
bool file_io_allowed(void);
/* "cannot <verb> <path>: <errno>", as HYP_EMISSING when that is the reason, else HYP_EIO.
 */
enum hyp_status file_fail(struct hyp_error *err, const char *verb, const char *path);
/* Writes all of it, restarting after signals; *done counts what got through.  false: errno.
 */
bool file_write_all(int fd, const void *p, size_t n, size_t *done);

#endif
