/*
 * Files: whole reads, atomic writes, folders.  Every call goes through a test hook that
 * makes the n-th input or output operation fail (HYP_FAIL_IO=n in the environment, or
 * below).
 */
#ifndef HYP_RUNTIME_BASE_FILE_H
#define HYP_RUNTIME_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

/* Whole file into *data (hyp_free), with a NUL after its end.  HYP_EFORMAT if larger than
 * `limit`. */
enum hyp_status file_read(const char *path, size_t limit, uint8_t **data, size_t *nbytes,
                          struct hyp_error *err);
/* The same, unpacked if it begins as gzip or xz does (unpack.h). */
enum hyp_status file_read_packed(const char *path, size_t limit, uint8_t **data,
                                 size_t *nbytes, struct hyp_error *err);

/*
 * An atomic write: a temporary file beside `path`, fsync, rename, fsync of the folder.
 * Until the rename in file_commit() `path` is untouched, after it the new content is there
 * whole; if only the last step fails, that is reported although the new content is in
 * place.  After a failure, or instead of committing, file_abandon() removes the temporary
 * (more than once: ok).
 */
struct file_writer {
    int fd;
    char path[4096], temp[4096];
    enum hyp_status status; /* the first failure sticks */
    bool fleeting; /* set after file_begin(): no fsync, a crash may lose or damage it */
    size_t nbytes;
};
enum hyp_status file_begin(struct file_writer *w, const char *path, struct hyp_error *err);
enum hyp_status file_write(struct file_writer *w, const void *p, size_t n,
                           struct hyp_error *err);
enum hyp_status file_commit(struct file_writer *w, struct hyp_error *err);
void file_abandon(struct file_writer *w);
/* begin, write all, commit */
enum hyp_status file_put(const char *path, const void *p, size_t n, struct hyp_error *err);

/* Append-only logs (metrics): open, append whole lines, cut back to a length. */
enum hyp_status file_append_open(const char *path, int *fd, struct hyp_error *err);
enum hyp_status file_append(int fd, const void *p, size_t n, struct hyp_error *err);
enum hyp_status file_truncate(const char *path, uint64_t nbytes, struct hyp_error *err);

enum hyp_status file_make_dir(const char *path,
                              struct hyp_error *err); /* parents too; exists: ok */
bool file_exists(const char *path);
bool file_is_dir(const char *path);

void hyp_io_fail_at(uint64_t n); /* as hyp_alloc_fail_at */
uint64_t hyp_io_count(void);

#endif
